"""Cloud masks from the scene classification."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from xsentinel.bands import BANDS, CLOUDY_CLASSES, scene_class_values
from xsentinel.cube import band_variables, check_dims
from xsentinel.errors import BandError, UnitsError


def mask_clouds(ds: xr.Dataset, *, classes: Sequence[str | int] | str | int = CLOUDY_CLASSES) -> xr.Dataset:
    """Make pixels NaN where the scene classification says that the ground is hidden.

    Parameters
    ----------
    ds : xarray.Dataset
        A cube with ``SCL`` (time, y, x), uint8.
    classes : sequence of str or int, or one of them
        Scene classes to mask, by CF meaning or code; by default no data, saturated or defective, cloud
        shadow, clouds of medium and high probability and thin cirrus.

    Returns
    -------
    xarray.Dataset
        The cube with NaN in float bands, ``_FillValue`` in integer bands, where the mask holds; ``SCL``,
        radar, which sees through clouds, and all else unchanged.

    Raises
    ------
    BandError
        If there is no SCL or a class is not known.
    UnitsError
        If an integer band has no ``_FillValue`` to write.

    Examples
    --------
    >>> import xsentinel as xs
    >>> cube = xs.sample("romania")
    >>> bool(cube.B04.notnull().mean() > cube.s2.mask_clouds().B04.notnull().mean())
    True
    """
    if "SCL" not in ds:
        raise BandError(
            f"mask_clouds needs the scene classification SCL; the dataset has {', '.join(map(str, ds.data_vars))}. "
            f"Open it with the bands, or mask by your own: ds.where(clear)"
        )
    codes = scene_class_values((classes,) if isinstance(classes, str | int) else tuple(classes))
    names = [variable for name, variable in band_variables(ds).items() if not BANDS[name].is_radar]
    check_dims([*(ds[n] for n in names), ds["SCL"]])
    scl = ds["SCL"].fillna(0) if ds["SCL"].dtype.kind == "f" else ds["SCL"]  # NaN: what xarray makes of class 0, no data
    clear = ~scl.isin(np.array(codes, scl.dtype))
    return ds.assign({name: _masked(ds[name], clear) for name in names})


def _masked(band: xr.DataArray, clear: xr.DataArray) -> xr.DataArray:
    """Keep the band where clear, with dtype and attributes as they are."""
    if band.dtype.kind == "f":
        return band.where(clear)
    nodata = band.attrs.get("_FillValue", band.attrs.get("missing_value"))
    if nodata is None:
        raise UnitsError(
            f"{band.name} holds integers without _FillValue, so there is no value for what is masked; assign_attrs(_FillValue=0)"
        )
    return band.where(clear, band.dtype.type(nodata))
