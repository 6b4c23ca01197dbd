"""Maps of classes as files: codes as stored, with what they mean."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.cube import nodata_code
from xsentinel.errors import ReadError
from xsentinel.io.geotiff import SUFFIXES as GEOTIFF
from xsentinel.io.stores import NetcdfReader, ZarrReader
from xsentinel.samples.legends import Legend

NAMES = ("class", "label")
"""Variables that are taken first."""
CHUNK = 1024
"""Pixels a block along y and x of GeoTIFFs."""


def open_classes(path: str | PathLike[str], variable: str | None = None) -> xr.DataArray:
    """Open a map of classes, lazily, codes and nodata as stored.

    Parameters
    ----------
    path : path
        GeoTIFF of one band, NetCDF or Zarr.
    variable : str, optional
        Of NetCDF and Zarr; by default ``class``, ``label``, or the only one on a grid.

    Returns
    -------
    xarray.DataArray (time, y, x) or (y, x)
        Integers, or floats where such are stored; attributes ``_FillValue``, ``flag_values`` and ``flag_meanings``
        where the file has them.

    Raises
    ------
    ReadError
        If there is no such file, it cannot be read, or it does not say which variable it is.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise ReadError(f"{path} does not exist (looked in {Path.cwd()}); check the name")
    if path.suffix.lower() in GEOTIFF:
        return _open_tif(path)
    reader = next((r for r in (ZarrReader(), NetcdfReader()) if r.can_read(path)), None)
    if reader is None:
        raise ReadError(f"{path} is of no form that maps of classes are read from: give GeoTIFF, NetCDF or Zarr")
    raws = reader.read(path, {})
    if len(raws) != 1:
        raise ReadError(f"{path} holds {len(raws)} NetCDF files; give one of them")
    return _choose(raws[0].ds, path, variable)


def _open_tif(path: Path) -> xr.DataArray:
    import rioxarray
    from rasterio.errors import RasterioIOError

    try:
        file = rioxarray.open_rasterio(path, chunks={"x": CHUNK, "y": CHUNK}, masked=False)
    except RasterioIOError as err:
        raise ReadError(f"{path} cannot be opened as GeoTIFF: {err}; copy or download it again") from err
    if not isinstance(file, xr.DataArray) or file.sizes["band"] != 1:
        raise ReadError(f"{path} has several bands; a map of classes has one: write the band to a file of its own (gdal_translate -b)")
    layer = file.isel(band=0, drop=True).rename(path.stem)
    kept = ("_FillValue", "long_name", "flag_values", "flag_meanings", "flag_colors")
    layer.attrs = {k: v for k, v in layer.attrs.items() if k in kept}
    return layer


def _choose(ds: xr.Dataset, path: Path, variable: str | None) -> xr.DataArray:
    """Give the variable that is asked for, or the one that must be meant."""
    there = [str(v) for v in ds.variables if {"y", "x"} <= set(ds[v].dims)]
    found = [variable] if variable else [n for n in NAMES if n in there][:1] or there
    if len(found) != 1 or found[0] not in there:
        raise ReadError(f"{path} has {', '.join(there) or 'no variable on a grid (y, x)'}; say by --variable which is the map of classes")
    layer = ds[found[0]]
    if "time" in layer.dims and layer.sizes["time"] == 1:
        layer = layer.isel(time=0, drop=True)
    return layer.assign_attrs(flag_values=np.atleast_1d(layer.attrs["flag_values"])) if "flag_values" in layer.attrs else layer


def encode_map(layer: xr.DataArray, legend: Legend) -> xr.DataArray:
    """Give a map of source values as the classes of a legend, lazily; its nodata are no label.

    Raises
    ------
    XSentinelError
        If there are values that the legend does not know, when they are computed.
    """
    nodata = nodata_code(layer)

    def encoded(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        return legend.encode(values if nodata is None else np.where(values == nodata, 0, values), f"map {layer.name}")

    out: xr.DataArray = xr.apply_ufunc(encoded, layer, dask="parallelized", output_dtypes=[np.uint8])
    out.attrs = legend.attrs
    return out
