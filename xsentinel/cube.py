"""The cube: what a Dataset must be to be one, and how labels come off and go on again."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from xsentinel.bands import BANDS, MAX_REFLECTANCE, band_name
from xsentinel.classes import NO_LABEL
from xsentinel.errors import BandError, GridError, TimeError, UnitsError

DIMS = ("time", "y", "x")

STORAGE_ATTRS = ("scale_factor", "add_offset", "_FillValue", "missing_value")
"""Attributes that say how integers are to be read."""


LEAST_SAMPLE = 32
"""Values that are judged by at the least: a few may be those of a ship."""


@dataclass(frozen=True)
class Encoding:
    """How a variable's values are stored: value = stored · scale + offset, nodata apart."""

    scale: float = 1.0
    """Value a count."""
    offset: float = 0.0
    """Value of count 0."""
    nodata: float = float("nan")
    """Stored value that means no data; NaN where there is none."""


def band_variables(ds: xr.Dataset) -> dict[str, Hashable]:
    """Map band names to the variables that hold them, aliases understood.

    Raises
    ------
    BandError
        If two variables mean the same band.
    """
    found: dict[str, Hashable] = {}
    for variable in ds.data_vars:
        name = band_name(variable)
        if name is None:
            continue
        if name in found:
            raise BandError(f"variables {found[name]!r} and {variable!r} both mean band {name}; drop or rename one of them")
        found[name] = variable
    return {name: found[name] for name in BANDS if name in found}


def select_bands(ds: xr.Dataset, names: Iterable[str], purpose: str = "this", advice: str = "") -> list[xr.DataArray]:
    """Give the named bands in order, aliases understood, checked to share one grid with dims in the order time, y, x.

    Raises
    ------
    BandError
        If a band is missing.
    GridError, TimeError
        As `check_dims`.
    """
    names = [band_name(name) or name for name in names]
    there = band_variables(ds)
    missing = [name for name in names if name not in there]
    if missing:
        raise BandError(
            f"{purpose} needs {', '.join(names)}; missing: {', '.join(missing)}; the dataset has "
            f"{', '.join(there) or 'no band'}{_other_names(ds, there)}. Open the missing bands too, or rename the variables{advice}"
        )
    bands = [ds[there[name]].rename(name) for name in names]
    check_dims(bands)
    return bands


def _other_names(ds: xr.Dataset, there: dict[str, Hashable]) -> str:
    others = [str(v) for v in ds.data_vars if v not in there.values()]
    return f" (and variables {', '.join(others)})" if others else ""


def check_dims(bands: list[xr.DataArray]) -> None:
    """Check that bands share dims, in the order time, y, x, of more than zero size, with distinct times.

    Raises
    ------
    GridError
        If dims differ, are in another order, unknown or of size zero.
    TimeError
        If a time stands twice.
    """
    first = bands[0]
    for band in bands:
        if band.dims != first.dims or band.shape != first.shape:
            raise GridError(
                f"{first.name} is {_shape(first)} but {band.name} is {_shape(band)}; all bands must be on one grid: "
                f"xsentinel.open(..., resolution=...) joins bands of several resolutions"
            )
    if list(first.dims) != [d for d in DIMS if d in first.dims]:
        raise GridError(
            f"{first.name} has dims {_shape(first)}; a cube has (time, y, x) in this order: "
            f"ds.transpose('time', 'y', 'x'), and ds.rename(...) where a dimension has another name"
        )
    if 0 in first.shape:
        raise GridError(f"the cube is empty: {first.name} is {_shape(first)}; check the selection (sel, isel, slice) before it")
    check_times(first)


def parse_dates(dates: Iterable[object]) -> pd.DatetimeIndex:
    """Read dates in any form that pandas knows, each by itself.

    Raises
    ------
    TimeError
        If one cannot be read.
    """
    read = []
    for date in dates:
        try:
            read.append(pd.Timestamp(date))  # type: ignore[arg-type]
        except (ValueError, TypeError) as err:
            raise TimeError(f"{date!r} is no date; write it as 2019-05-30 or 2019-05-30T10:30") from err
    return pd.DatetimeIndex(read)


def date_index(obj: xr.DataArray | xr.Dataset, time: Any) -> int:
    """Find the first date within what is named: a day, a month, or a time to the second.

    Raises
    ------
    TimeError
        If there is none, or no times.
    """
    if "time" not in obj.coords:
        raise TimeError(f"the cube has no times, so {time!r} is not among them; give an index, 0 to {obj.sizes['time'] - 1}")
    times = obj["time"].values
    try:
        wanted = np.datetime64(str(time))
    except ValueError as err:
        raise TimeError(f"time {time!r} is no date; write it as 2019-05-30, or give an index") from err
    found = np.flatnonzero(times.astype(wanted.dtype) == wanted)
    if not found.size:
        near = times[np.argmin(np.abs(times - wanted.astype(times.dtype)))]
        raise TimeError(f"time {time!r} is not there; the nearest of {times.size} dates is {str(near)[:10]}")
    return int(found[0])


def _shape(band: xr.DataArray) -> str:
    return "(" + ", ".join(f"{d}: {n}" for d, n in zip(band.dims, band.shape, strict=True)) + ")"


def check_times(obj: xr.DataArray | xr.Dataset) -> None:
    """Check that times are no text, and that none stands twice.

    Raises
    ------
    TimeError
        If they are, or one does.
    """
    if "time" not in obj.dims or "time" not in obj.coords:
        return
    times = obj.indexes["time"]
    if len(times) and isinstance(times[0], str):
        raise TimeError(
            f"the times are text such as {times[0]!r}; make dates of them: ds.assign_coords(time=pandas.to_datetime(ds.time.values))"
        )
    repeated = times[times.duplicated()].unique()
    if len(repeated):
        raise TimeError(
            f"{len(repeated)} of {len(times)} times stand more than once, such as {repeated[0]}; keep one of each: "
            f"ds.drop_duplicates('time'), or ds.groupby('time').first() where they are halves of a scene"
        )


def encoding_of(band: xr.DataArray) -> Encoding:
    """Read how a band is stored from its attributes.

    Raises
    ------
    UnitsError
        If integers come without a scale_factor, or with one that is not of reflectance.
    """
    attrs = band.attrs
    radar = str(band.name) in ("VV", "VH")
    if band.dtype.kind in "iu" and "scale_factor" not in attrs:
        raise UnitsError(
            f"{band.name} holds integers ({band.dtype}) without scale_factor, so its units are unknown; give "
            f"attrs scale_factor=0.0001, add_offset (0, or -0.1 for baselines from 04.00 on) and _FillValue=0, "
            f"or convert to reflectance between 0 and 1"
        )
    nodata = attrs.get("_FillValue", attrs.get("missing_value", np.nan))
    encoding = Encoding(float(attrs.get("scale_factor", 1.0)), float(attrs.get("add_offset", 0.0)), float(nodata))
    limit = np.iinfo(band.dtype).max * encoding.scale if band.dtype.kind in "iu" else 0
    if band.dtype.itemsize <= 2 and limit > MAX_REFLECTANCE and not radar:
        raise UnitsError(
            f"{band.name} is stored as {band.dtype} with scale_factor {encoding.scale:g}, which reaches {limit:g}; "
            f"reflectance is between 0 and 1: the scale_factor of Sentinel-2 Level-2A is 0.0001"
        )
    return encoding


def nodata_code(layer: xr.DataArray) -> float | None:
    """Give the stored value that means no data; None if nothing says so.

    The ``_FillValue`` or ``missing_value`` in attributes or encoding; without, of a map of classes 0, unless its
    ``flag_values`` name 0 as a class. Where there are no flags, 0 is a value like others.

    Examples
    --------
    >>> nodata_code(xr.DataArray([0, 7], attrs={"flag_values": [7], "flag_meanings": "maize"}))
    0.0
    >>> nodata_code(xr.DataArray([0, 7])) is None
    True
    """
    for key in ("_FillValue", "missing_value"):
        found = layer.attrs.get(key, layer.encoding.get(key))
        if found is not None and not np.isnan(float(found)):
            return float(found)
    flags = layer.attrs.get("flag_values")
    if flags is None or "flag_meanings" not in layer.attrs:
        return None
    named = flags.replace(",", " ").split() if isinstance(flags, str) else np.atleast_1d(flags)
    return None if NO_LABEL in [int(v) for v in named] else float(NO_LABEL)


def check_reflectance(values: np.ndarray[Any, Any], name: str) -> None:
    """Check a sample of float values to be reflectance.

    Raises
    ------
    UnitsError
        If values exceed what any 16-bit product can hold.
    """
    if values.dtype.kind != "f" or values.size == 0:
        return
    sample = values[..., :: max(1, values.shape[-1] // 64)] if values.ndim else values
    top = np.max(sample, initial=-np.inf, where=np.isfinite(sample))
    if top > MAX_REFLECTANCE:
        raise UnitsError(
            f"{name} reaches {top:g}; reflectance is between 0 and 1. If these are counts of 0–10000, divide by 10000 "
            f"(and subtract 0.1 first-hand offset for baselines from 04.00 on), or keep the integers with attrs scale_factor=0.0001"
        )


def check_decibels(values: np.ndarray[Any, Any], name: str) -> None:
    """Check a sample of backscatter to be in decibels.

    Raises
    ------
    UnitsError
        If nothing of it is below 0, as power never is and decibels of most ground are.
    """
    sample = values[..., :: max(1, values.shape[-1] // 64)] if values.ndim else values
    there = sample[np.isfinite(sample)]
    if there.size >= LEAST_SAMPLE and there.min() >= 0:
        raise UnitsError(
            f"{name} lies between {there.min():.3g} and {there.max():.3g}, and decibels of most ground are below 0; if this is power, "
            f"10 * np.log10 makes decibels of it, and xsentinel.open does so by itself"
        )


def grid_mapping_name(obj: xr.DataArray | xr.Dataset) -> str | None:
    """Give the coordinate that holds the CRS, None if there is none."""
    for holder in (obj, *(obj.data_vars.values() if isinstance(obj, xr.Dataset) else ())):
        name = holder.attrs.get("grid_mapping", holder.encoding.get("grid_mapping"))
        if name is not None and name in obj.coords:
            return str(name)
    return "spatial_ref" if "spatial_ref" in obj.coords else None


def pixel_size(obj: xr.DataArray | xr.Dataset) -> tuple[float, float]:
    """Give the size of a pixel along y and x in units of the CRS; negative where coordinates descend.

    Raises
    ------
    GridError
        If a coordinate is missing, shorter than two, or not regular.
    """
    return _step(obj, "y"), _step(obj, "x")


def pixel_m(ds: xr.Dataset, purpose: str) -> float:
    """Give the size of a pixel in metres.

    Raises
    ------
    GridError
        If the CRS is not known or not in metres, or pixels are not square.
    """
    import rioxarray  # noqa: F401  (registers .rio)

    crs = ds.rio.crs
    if crs is None:
        raise GridError(f"{purpose} are in metres, and the CRS is unknown; ds.rio.write_crs('EPSG:...') tells it")
    unit = "degrees" if crs.is_geographic else crs.linear_units
    if unit not in ("metre", "meter", "m"):
        raise GridError(
            f"{purpose} are in metres, and the CRS {crs.to_string():.40} is in {unit}; "
            f"bring the cube to one in metres, such as ds.rio.reproject(ds.rio.estimate_utm_crs())"
        )
    dy, dx = (abs(step) for step in pixel_size(ds))
    if not np.isclose(dy, dx, rtol=1e-3):
        raise GridError(f"{purpose} need square pixels, and these are {dy:g} m × {dx:g} m (y, x); reproject to square ones")
    return dx


def _step(obj: xr.DataArray | xr.Dataset, dim: str) -> float:
    if dim not in obj.coords or obj.sizes.get(dim, 0) < 2:
        raise GridError(
            f"the pixel size along {dim} is unknown: it needs a coordinate {dim!r} of at least two values; assign_coords gives one"
        )
    values = obj[dim].values.astype(np.float64)
    steps = np.diff(values)
    if not np.allclose(steps, steps[0], rtol=1e-3):
        raise GridError(
            f"coordinate {dim!r} is not regular: steps from {steps.min():g} to {steps.max():g}; bring it to a grid of equal pixels"
        )
    return float((values[-1] - values[0]) / (values.size - 1))
