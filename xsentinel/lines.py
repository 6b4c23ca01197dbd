"""Series in time of a pixel or of all: values, what is shaded beside them, which dates were observed or clear."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.bands import CLOUDY_CLASSES, scene_class_values
from xsentinel.cube import band_variables, encoding_of
from xsentinel.errors import XSentinelError
from xsentinel.kernels.scale import decode


def series_of(ds: xr.Dataset, name: str, pixel: tuple[int, int] | None) -> npt.NDArray[Any]:
    """Give the series of a pixel, or the mean over all, NaN in gaps."""
    band = ds[name]
    space = [d for d in band.dims if d != "time"]
    if pixel is not None and space:
        if any(not -band.sizes[d] <= i < band.sizes[d] for d, i in zip(space, pixel, strict=False)):
            raise XSentinelError(f"pixel {pixel} is not there; the cube has {dict(band.sizes)}")
        band = band.isel(dict(zip(space, pixel, strict=False)))
    if band.dtype.kind in "iu":
        code = encoding_of(band)
        band = band.copy(data=decode(band.values, code.scale, code.offset, code.nodata))
    mean: npt.NDArray[Any] = band.mean([d for d in band.dims if d != "time"]).values
    return mean


def shade_of(ds: xr.Dataset, name: str, pixel: tuple[int, int] | None) -> tuple[npt.NDArray[Any], npt.NDArray[Any], str] | None:
    """Give the lower and the upper end of what is shaded, and what it is."""
    for lower, upper in _ends(name):
        if lower in ds and upper in ds:
            low, high = (series_of(ds, end, pixel) for end in (lower, upper))
            share = ds[lower].attrs.get("confidence")
            return low, high, f"{100 * share:g}% interval" if share else "interval"
    beside = f"{name}_std" if f"{name}_std" in ds else name.removesuffix("mean") + "std"
    if beside == name or beside not in ds:
        return None
    middle, spread = series_of(ds, name, pixel), series_of(ds, beside, pixel)
    of_pixels = "area: standard_deviation" in str(ds[beside].attrs.get("cell_methods", ""))
    return middle - 2 * spread, middle + 2 * spread, "± 2 standard deviations" + (" of the pixels" if of_pixels else "")


def _ends(name: str) -> list[tuple[str, str]]:
    """Name the ends of an interval, and the same statistic of them over parcels: of lai_mean lai_lower_mean and lai_upper_mean."""
    stem, _, statistic = name.rpartition("_")
    ends = [(f"{name}_lower", f"{name}_upper")]
    return ends + ([(f"{stem}_lower_{statistic}", f"{stem}_upper_{statistic}")] if stem else [])


def observed_of(ds: xr.Dataset, pixel: tuple[int, int] | None) -> npt.NDArray[np.bool_] | None:
    """Tell which dates were observed, by most pixels; None where the dataset does not say."""
    layer = next((v for v in ("source", "filled") if v in ds and "time" in ds[v].dims), None)
    if layer is None:
        return None
    meanings = dict(
        zip(ds[layer].attrs.get("flag_meanings", "observed").split(), np.atleast_1d(ds[layer].attrs.get("flag_values", 0)), strict=False)
    )
    hit = (ds[layer] == meanings.get("observed", 0)).astype(np.float32).drop_attrs().to_dataset(name=layer)
    return series_of(hit, layer, pixel) >= 0.5


def clear_of(ds: xr.Dataset) -> xr.DataArray | None:
    """Tell which pixels show the ground: by scene class, else where the first band is there; None where nothing tells."""
    if "SCL" in ds:
        return ~ds["SCL"].isin([*scene_class_values(CLOUDY_CLASSES), 0])
    bands = list(band_variables(ds).values())
    return ds[bands[0]].notnull() if bands and ds[bands[0]].dtype.kind == "f" else None
