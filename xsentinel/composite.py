"""Composites: the dates of each period to one cloud-free value, or spectrum, a pixel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from xsentinel.bands import CLOUDY_CLASSES, scene_class_values
from xsentinel.blocks.distance import clear_distance
from xsentinel.blocks.series import Output, contiguous_in_time, map_series, plan_cube
from xsentinel.cube import (
    STORAGE_ATTRS,
    Encoding,
    band_variables,
    check_dims,
    check_times,
    encoding_of,
    grid_mapping_name,
    parse_dates,
    pixel_m,
)
from xsentinel.errors import BandError, TimeError, XSentinelError
from xsentinel.geometry import geometry_of_periods
from xsentinel.kernels.choice import compose_best, compose_medoid
from xsentinel.kernels.composite import compose_mean, compose_median
from xsentinel.kernels.geomedian import compose_deviations, compose_geomedian
from xsentinel.kernels.scale import decode

Array = npt.NDArray[Any]

CLOUD_REACH_M = 1500.0
"""Distance to cloud, m, from which on it no longer counts in the score of the best pixel."""


@dataclass(frozen=True)
class Groups:
    """Which date belongs to which period."""

    starts: npt.NDArray[np.datetime64]
    """(period,): first moment of each."""
    ends: npt.NDArray[np.datetime64]
    """(period,): first moment after each."""
    of_date: npt.NDArray[np.int64]
    """(time,): period of each date, −1 for none."""


@dataclass(frozen=True)
class Method:
    """One way to reduce a period."""

    reduce: Callable[[list[Array], dict[str, Any]], tuple[Array, ...]]
    """(time, pixel) arrays, stored alike, and arguments → one (period, pixel) a band, then the extras and counts."""
    extras: tuple[tuple[str, type[np.generic], dict[str, str]], ...] = ()
    """Names, dtypes and attributes of further results."""
    by_band: bool = False
    """Whether bands are reduced each alone, so that a block holds only one."""


def _median(bands: list[Array], arguments: dict[str, Any]) -> tuple[Array, ...]:
    return tuple(compose_median(bands[0], **arguments))


def _mean(bands: list[Array], arguments: dict[str, Any]) -> tuple[Array, ...]:
    return tuple(compose_mean(bands[0], **arguments))


def _geomedian(bands: list[Array], arguments: dict[str, Any]) -> tuple[Array, ...]:
    result = compose_geomedian(bands, **arguments)
    spread = compose_deviations(bands, result.values, **{k: v for k, v in arguments.items() if k != "n_groups"})
    return *result.values, *spread, result.n_obs


def _medoid(bands: list[Array], arguments: dict[str, Any]) -> tuple[Array, ...]:
    result = compose_medoid(bands, **arguments)
    return *result.values, result.date, result.n_obs


def _best(bands: list[Array], arguments: dict[str, Any]) -> tuple[Array, ...]:
    """Take the date of the best score, which comes as the last array."""
    *bands, score = bands
    result = compose_best(bands, score, **arguments)
    return *result.values, result.date, result.n_obs


DATE = (("date_index", np.int16, {"long_name": "index along the input's time of the date taken, -1 for none"}),)
DEVIATIONS = (
    ("smad", np.float32, {"long_name": "spectral median absolute deviation (cosine distance)", "units": "1"}),
    ("emad", np.float32, {"long_name": "Euclidean median absolute deviation", "units": "1"}),
    ("bcmad", np.float32, {"long_name": "Bray–Curtis median absolute deviation", "units": "1"}),
)

METHODS = {
    "median": Method(_median, by_band=True),
    "mean": Method(_mean, by_band=True),
    "geomedian": Method(_geomedian, DEVIATIONS),
    "medoid": Method(_medoid, DATE),
    "best": Method(_best, DATE),
    "max": Method(_best, DATE),
}


def composite(
    ds: xr.Dataset,
    freq: str | Sequence[object] = "MS",
    *,
    method: Literal["median", "mean", "geomedian", "medoid", "max", "best"] = "median",
    score: str | xr.DataArray | None = None,
    memory_limit: int | str | None = None,
    explain: bool = False,
) -> xr.Dataset:
    """Reduce the dates of each period to one value a pixel.

    Parameters
    ----------
    ds : xarray.Dataset
        A cube with clouds masked: bands (time, y, x), float32 reflectance [1] with NaN gaps, or uint16 as
        stored with ``_FillValue``. Needs all of time: see ``explain``.
    freq : str or sequence of dates
        Periods: "MS" calendar months, "QS-DEC" seasons, "10D" ten days from the first date on, "YS" years;
        or the edges of n periods as n + 1 dates, each period from its edge to just before the next.
    method : str
        "median" and "mean" of each band (even counts averaged); "geomedian", with its median absolute
        deviations ``smad``, ``emad``, ``bcmad``; "medoid", the observed spectrum nearest to all others; "max",
        the date of the greatest ``score`` (an index; NDVI by default); "best", likewise of any score.
    score : str or DataArray (time, y, x), optional
        For "max" and "best": a variable's name, or values; the highest wins. By default NDVI for "max"; for
        "best" the distance to the clouds of ``SCL`` (0…1, in steps up to 1500 m) plus the absence of haze
        (0…1, of B02 and B04), of equals the date nearest to the middle of the series.
    memory_limit : int or str, optional
        What the blocks in work may come near: bytes, or a text such as "8GB"; half of the machine's memory if not given.
    explain : bool
        Print the plan of blocks before anything runs.

    Returns
    -------
    xarray.Dataset
        The bands, float32, a date a period (its start), NaN where a period has no data; ``n_obs`` (uint16),
        the dates with data in all bands, for "median" and "mean" in the band that has the fewest; and the
        method's extras. Coordinates ``period_end``, the mean angles of each period's dates, and their most frequent
        platform.

    Raises
    ------
    XSentinelError
        If the method is not known, or needs a score.
    TimeError, BandError
        If there are no dates, or no bands.

    References
    ----------
    Roberts, Mueller & McIntyre (2017), IEEE TGRS 55 (geomedian); Roberts, Dunn & Mueller (2018), IGARSS (MADs);
    Flood (2013), Remote Sensing 5 (medoid); Griffiths et al. (2013), IEEE JSTARS 6, and Frantz et al. (2017),
    IJAEOG 54 (best pixel).

    Examples
    --------
    >>> import xsentinel as xs
    >>> monthly = xs.sample("romania").s2.mask_clouds().s2.composite("MS", method="median")
    >>> monthly.sizes["time"], int(monthly.n_obs.max())
    (23, 5)
    """
    names = [str(v) for v in band_variables(ds).values()]
    how = _check_method(method, names, ds)
    groups = group_dates(ds, freq)
    bands = [ds[n] for n in names]
    check_dims(bands)
    arrays = bands + ([_score(ds, method, score)] if how.reduce is _best else [])
    plan = plan_cube(arrays[:1] if how.by_band else arrays, len(groups.starts), memory_limit)
    if explain:
        print(f"{plan}{', a band after the other' if how.by_band else ''}" if plan else "the cube is in memory: one block")  # noqa: T201
    data = _reduce(contiguous_in_time(arrays, plan), names, how, groups)
    return _label(ds, data, groups, method, how)


def _reduce(arrays: list[xr.DataArray], names: list[str], how: Method, groups: Groups) -> dict[str, xr.DataArray]:
    """Reduce each band alone, or all together."""
    together = [(names, arrays)] if not how.by_band else [([n], [a]) for n, a in zip(names, arrays, strict=True)]
    data: dict[str, xr.DataArray] = {}
    for bands, inputs in together:
        outputs = [*(Output(n, np.float32) for n in bands), *(Output(n, d) for n, d, _ in how.extras), Output("n_obs", np.uint16)]
        options = {"how": how, "encodings": [encoding_of(b) for b in inputs[: len(bands)]], "groups": groups}
        found = map_series(_reduce_block, inputs, outputs, groups.starts, options)
        fewest = found.pop("n_obs") if "n_obs" not in data else xr.ufuncs.minimum(data["n_obs"], found.pop("n_obs"))
        data |= {**found, "n_obs": fewest}
    return data | {"n_obs": data.pop("n_obs")}


def _check_method(method: str, names: list[str], ds: xr.Dataset) -> Method:
    if method not in METHODS:
        raise XSentinelError(f"method {method!r} is not known; the methods are {', '.join(METHODS)}")
    if not names:
        raise BandError(f"composite needs at least one band; the dataset has {', '.join(map(str, ds.data_vars)) or 'nothing'}")
    if "time" not in ds.dims or "time" not in ds.indexes or not ds.sizes["time"]:
        raise TimeError("the dataset has no dimension time with dates to reduce; open several dates together")
    return METHODS[method]


def group_dates(ds: xr.Dataset, freq: str | Sequence[object]) -> Groups:
    """Sort the dates of a cube into periods.

    Raises
    ------
    TimeError
        If freq is not known, or the edges do not rise.
    """
    times = pd.DatetimeIndex(ds["time"].values)
    if times.hasnans:
        raise TimeError(
            f"{int(np.isnat(times.to_numpy()).sum())} of {len(times)} times are unknown (NaT); tell them: open(..., time='2019-05-30') of "
            f"a GeoTIFF, else ds.assign_coords(time=pandas.to_datetime([...]))"
        )
    check_times(ds)
    edges = _edges(times, freq) if isinstance(freq, str) else parse_dates(freq)
    if len(edges) < 2 or not edges.is_monotonic_increasing or edges.has_duplicates:
        raise TimeError(f"the edges of the periods are {len(edges)} dates; give two or more, each later than the one before")
    index = edges.searchsorted(times, side="right") - 1
    of_date = np.where((index >= 0) & (index < len(edges) - 1), index, -1).astype(np.int64)
    values = edges.to_numpy().astype(ds["time"].dtype)
    return Groups(values[:-1], values[1:], of_date)


def _edges(times: pd.DatetimeIndex, freq: str) -> pd.DatetimeIndex:
    """Give the starts of all periods from the first date's to the last date's, and the end of the last."""
    try:
        step = pd.tseries.frequencies.to_offset(freq)
    except ValueError as err:
        raise TimeError(f"freq is {freq!r}, which pandas does not know ({err}); such as 'MS', 'QS-DEC', 'YS' or '10D'") from err
    first, last = times.min().normalize(), times.max()
    start = step.rollback(first) if not isinstance(step, pd.offsets.Tick | pd.offsets.Day) else first
    edges = pd.date_range(start, last + step, freq=step)
    return edges if edges[-1] > last else pd.DatetimeIndex([*edges, edges[-1] + step])


def _score(ds: xr.Dataset, method: str, score: str | xr.DataArray | None) -> xr.DataArray:
    """Give the score of each date and pixel as float32."""
    if isinstance(score, xr.DataArray):
        return score.astype(np.float32)
    if isinstance(score, str) and score in ds:
        return ds[score].astype(np.float32)
    if score is None and method == "max":
        red, nir = (_reflectance(ds[v]) for v in _pair(ds))
        return ((nir - red) / (nir + red)).rename("NDVI").astype(np.float32)
    if score is None and "SCL" in ds and {"B02", "B04"} <= set(band_variables(ds)):
        return _best_score(ds)
    raise XSentinelError(
        f"method {method!r} needs a score (found {score!r}): a variable of the dataset or a DataArray (time, y, x), "
        f"such as score=ds.s2.index('NDVI').NDVI; the score of 'best' by itself needs SCL, B02 and B04"
    )


def _best_score(ds: xr.Dataset) -> xr.DataArray:
    """Score each date and pixel by its distance to cloud, its haze and its day (after Griffiths 2013, Frantz 2017)."""
    hidden = ds["SCL"].isin(np.array(scene_class_values(CLOUDY_CLASSES), ds["SCL"].dtype))
    reach = max(1.0, CLOUD_REACH_M / pixel_m(ds, "distances to cloud"))
    cloud = hidden.copy(data=clear_distance(hidden.data, reach))
    blue, red = (_reflectance(ds[band_variables(ds)[b]]) for b in ("B02", "B04"))
    # haze-optimised transformation (Zhu & Woodcock 2012): above 0 for haze and thin cloud
    haze = (np.float32(0.5) - (blue - np.float32(0.5) * red - np.float32(0.08)) / np.float32(0.1)).clip(0, 1)
    days = ((ds["time"] - ds["time"].mean()) / np.timedelta64(1, "D")).astype(np.float32)
    late = np.float32(1e-4) * abs(days)  # ties go to the date nearest to the middle of all
    return (cloud + haze - late).transpose(*ds["SCL"].dims).astype(np.float32).rename("score")


def _pair(ds: xr.Dataset) -> list[Any]:
    there = band_variables(ds)
    nir = next((b for b in ("B08", "B8A") if b in there), None)
    if nir is None or "B04" not in there:
        raise BandError(f"the greatest NDVI needs B04 and B08 or B8A; the dataset has {', '.join(there)}; give score= another index")
    return [there["B04"], there[nir]]


def _reflectance(band: xr.DataArray) -> xr.DataArray:
    e = encoding_of(band)
    if e == Encoding():
        return band
    return band.where(band != e.nodata).astype(np.float32) * np.float32(e.scale) + np.float32(e.offset)


def _reduce_block(*arrays: Array, how: Method, encodings: list[Encoding], groups: Groups, n_threads: int) -> tuple[Array, ...]:
    """Reduce one block: stored counts as they are where all bands are stored alike, else decoded."""
    n_times, pixels = arrays[0].shape[0], arrays[0].shape[1:]
    bands, scores = arrays[: len(encodings)], arrays[len(encodings) :]
    arguments: dict[str, Any] = {"groups": groups.of_date, "n_groups": len(groups.starts), "n_threads": n_threads}
    alike = len({e if e.nodata == e.nodata else (e.scale, e.offset) for e in encodings}) == 1
    if alike and all(b.dtype == np.uint16 for b in bands):
        e = encodings[0]
        arguments |= {"nodata": None if np.isnan(e.nodata) else e.nodata, "scale": e.scale, "offset": e.offset}
    else:
        bands = tuple(_decoded(b, e) for b, e in zip(bands, encodings, strict=True))
    flat = [np.ascontiguousarray(b).reshape(n_times, -1) for b in (*bands, *scores)]
    return tuple(r.reshape(len(groups.starts), *pixels) for r in how.reduce(flat, arguments))


def _decoded(values: Array, encoding: Encoding) -> Array:
    if values.dtype == np.float32 and np.isnan(encoding.nodata) and encoding.scale == 1:
        return values
    return decode(values, encoding.scale, encoding.offset, encoding.nodata)


def _label(ds: xr.Dataset, data: dict[str, xr.DataArray], groups: Groups, method: str, how: Method) -> xr.Dataset:
    """Put periods, coordinates and attributes on."""
    mapping = grid_mapping_name(ds)
    placed = {"grid_mapping": mapping} if mapping else {}
    extras = {name: attrs for name, _, attrs in how.extras} | {"n_obs": {"long_name": "number of observations", "units": "1"}}
    for name, array in data.items():
        own = extras.get(name) or {k: v for k, v in ds[name].attrs.items() if k not in STORAGE_ATTRS}
        array.attrs = dict(own) | placed | ({} if name in extras else {"cell_methods": f"time: {method}", "ancillary_variables": "n_obs"})
    empty = int((np.bincount(groups.of_date[groups.of_date >= 0], minlength=len(groups.starts)) == 0).sum())
    coords = {k: c for k, c in ds.coords.items() if "time" not in c.dims}
    coords.update(geometry_of_periods(ds, groups.of_date, len(groups.starts)))
    coords["time"] = xr.DataArray(groups.starts, dims="time", attrs={"long_name": "start of the period"})
    coords["period_end"] = xr.DataArray(groups.ends, dims="time", attrs={"long_name": "end of the period, not in it"})
    note = [f"{empty} of {len(groups.starts)} periods have no date and are NaN"] if empty else []
    attrs = ds.attrs | ({"notes": "; ".join(filter(None, [ds.attrs.get("notes"), *note]))} if note else {})
    static = {v: a for v, a in ds.data_vars.items() if "time" not in a.dims}
    return xr.Dataset({n: a.variable for n, a in data.items()} | static, coords, attrs)
