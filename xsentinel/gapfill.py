"""Gap filling and regular series: each band's clear dates to all dates, and what was done where."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Sequence
from functools import reduce
from operator import and_
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from xsentinel.blocks.fillings import FILLINGS
from xsentinel.blocks.series import Output, SeriesPlan, contiguous_in_time, map_series, plan_cube
from xsentinel.cube import STORAGE_ATTRS, band_variables, check_dims, encoding_of, grid_mapping_name, parse_dates
from xsentinel.errors import BandError, TimeError, XSentinelError, check_numbers
from xsentinel.geometry import geometry_of_nearest
from xsentinel.kernels.gapfill import days_to_observation, flag_filled
from xsentinel.kernels.scale import decode

METHODS = FILLINGS
"""Kernels by name; what they take beyond `COMMON` are the options of the method."""

COMMON = {"values", "t_in", "t_out", "max_gap", "extrapolate", "nodata", "scale", "offset", "n_threads"}

LAYERS: dict[str, dict[str, Any]] = {
    "filled": {
        "long_name": "whether the value is filled",
        "flag_values": np.array([0, 1], np.uint8),
        "flag_meanings": "observed filled_or_missing",
    },
    "days_to_observation": {"long_name": "time to the nearest observation", "units": "day"},
}


def fill_gaps(
    ds: xr.Dataset,
    method: Literal["linear", "nearest", "cressman", "whittaker", "savgol"] = "linear",
    *,
    freq: str | None = None,
    dates: Sequence[object] | None = None,
    max_gap: float | None = None,
    extrapolate: Literal[False, "nearest"] = False,
    layers: bool = True,
    memory_limit: int | str | None = None,
    explain: bool = False,
    **options: Any,
) -> xr.Dataset:
    r"""Fill the gaps of each band in time, at the cube's own dates or on a regular or given grid of dates.

    Linear: :math:`z(t) = y_a + (y_b - y_a)\,(t - t_a)/(t_b - t_a)` between the observations a and b around t, in
    true time. The kernels of the other methods say their formulas (``xsentinel.kernels``).

    Parameters
    ----------
    ds : xarray.Dataset
        A cube with clouds masked: bands (time, y, x), float32 reflectance [1] with NaN gaps, or integers as
        stored with ``_FillValue``. Or a product: indices, LAI, all that is float in time. Needs all of time: see ``explain``.
    method : str
        "linear", "nearest"; "cressman" (Gaussian weights of ``radius`` 10 days, or ``weights="cressman"``, his
        own); "whittaker" (``lmbda`` 100, ``envelope=0.9`` follows the upper envelope of an index);
        "savgol" (``window`` 7, ``polyorder`` 2, on the dates of the result).
    freq : str, optional
        Regular dates from the day of the first to that of the last, such as "5D" or "MS".
    dates : sequence of dates, optional
        Dates of the result. Without ``freq`` and ``dates``, the cube's own. Whole days, as ``freq`` gives, stand for all of the
        day: what was seen at 10:50 on a day is the observation of that day (unless a day was seen twice).
    max_gap : float, optional
        Days between two observations beyond which the gap between them stays.
    extrapolate : False or "nearest"
        Before the first and after the last observation: NaN, or the value at that observation.
    layers : bool
        Add ``filled`` and ``days_to_observation``; an observation is a date with data in all bands.
    memory_limit : int or str, optional
        What the blocks in work may come near: bytes, or a text such as "8GB"; half of the machine's memory if not given.
    explain : bool
        Print the plan of blocks before anything runs.
    **options
        Of the method, as above, and ``keep_valid`` (cressman, whittaker, savgol): whether observations stay.

    Returns
    -------
    xarray.Dataset
        The bands, float32; ``filled`` (uint8: 1 where the date is no observation) and
        ``days_to_observation`` (float32, days) unless ``layers=False``. With new dates, angles and platform
        are those of the nearest of the old ones, and what else belongs to those (scene classes) is left out.

    Raises
    ------
    XSentinelError
        If the method or an option is not known.
    TimeError
        If there are no dates, dates stand twice, or both freq and dates are given.

    References
    ----------
    Cressman (1959), Monthly Weather Review 87; Eilers (2003), Analytical Chemistry 75; Savitzky & Golay
    (1964), Analytical Chemistry 36.

    Examples
    --------
    >>> import xsentinel as xs
    >>> series = xs.sample("romania").s2.mask_clouds().s2.fill_gaps("linear", freq="10D")
    >>> series.sizes["time"]
    69
    """
    check_numbers(max_gap=max_gap)
    kernel = _method(method, options)
    names = list(band_variables(ds).values()) or _measured(ds)
    if not names:
        raise BandError(
            f"fill_gaps needs at least one band, index or map with dates; the dataset has {', '.join(map(str, ds.data_vars)) or 'nothing'}"
        )
    ds = _sorted(ds)
    check_dims([ds[n] for n in names])
    wanted = _wanted(ds, freq, dates)
    plan = plan_cube([ds[names[0]]], len(wanted), memory_limit)
    if explain:
        print(f"{plan}, a band after the other" if plan else "the cube is in memory: one block")  # noqa: T201
    bands = contiguous_in_time([ds[n] for n in names], plan)
    common = {"t_in": _days(_observed(ds["time"].values, wanted), ds), "t_out": _days(wanted, ds)}
    arguments = common | {"max_gap": max_gap, "extrapolate": extrapolate} | options
    filled = {str(b.name): _fill_band(kernel, b, wanted, arguments) for b in bands}
    said = _layers([_seen([ds[n] for n in names])], plan, wanted, common) if layers else {}
    return _label(ds, filled | said, wanted, f"{method} {options}" if options else method)


def _measured(ds: xr.Dataset) -> list[Hashable]:
    """Give the variables of products that are filled: what is measured, floats in time; not its flags."""
    return [name for name, values in ds.data_vars.items() if values.dtype.kind == "f" and "time" in values.dims]


def _method(method: str, options: dict[str, Any]) -> Callable[..., npt.NDArray[np.float32]]:
    if method not in METHODS:
        raise XSentinelError(f"method {method!r} is not known; the methods are {', '.join(METHODS)}")
    takes = [p for p in inspect.signature(METHODS[method]).parameters if p not in COMMON]
    unknown = [o for o in options if o not in takes]
    if unknown:
        raise XSentinelError(f"{method} takes no {', '.join(unknown)}; it takes {', '.join(takes) or 'no options'}")
    return METHODS[method]


def _sorted(ds: xr.Dataset) -> xr.Dataset:
    if "time" not in ds.dims or "time" not in ds.indexes:
        raise TimeError("the dataset has no dimension time with dates, along which gaps could be filled; open several dates together")
    return ds if ds.indexes["time"].is_monotonic_increasing else ds.sortby("time")


def _wanted(ds: xr.Dataset, freq: str | None, dates: Sequence[object] | None) -> npt.NDArray[np.datetime64]:
    own = ds["time"].values
    if freq is not None and dates is not None:
        raise TimeError("freq and dates are both given; one of them says the dates of the result")
    if freq is not None:
        try:
            regular = pd.date_range(pd.Timestamp(own[0]).normalize(), pd.Timestamp(own[-1]).normalize(), freq=freq)
        except ValueError as err:
            raise TimeError(f"freq is {freq!r}, which pandas does not know ({err}); such as '5D', 'MS' or '2W'") from err
        if not len(regular):
            raise TimeError(
                f"freq {freq!r} gives no date between {str(own[0])[:10]} and {str(own[-1])[:10]}; take a shorter one, or dates="
            )
        return regular.to_numpy().astype(own.dtype)
    if dates is None:
        return np.asarray(own)
    given = parse_dates(dates).sort_values()
    if not len(given) or given.has_duplicates:
        raise TimeError(f"dates holds {len(given)} dates, {int(given.duplicated().sum())} of them repeated; give each date once")
    return given.to_numpy().astype(own.dtype)


def _observed(own: npt.NDArray[np.datetime64], wanted: npt.NDArray[np.datetime64]) -> npt.NDArray[np.datetime64]:
    """Give the times of the observations: their days, where the dates wanted are whole days and no day was seen twice."""
    days = own.astype("datetime64[D]")
    by_day = bool((wanted == wanted.astype("datetime64[D]")).all()) and len(np.unique(days)) == len(days)
    return days.astype(own.dtype) if by_day else own


def _days(times: npt.NDArray[np.datetime64], ds: xr.Dataset) -> npt.NDArray[np.float64]:
    return np.asarray((times - ds["time"].values[0]) / np.timedelta64(1, "D"), np.float64)


def _fill_band(
    kernel: Callable[..., npt.NDArray[np.float32]], band: xr.DataArray, wanted: npt.NDArray[np.datetime64], arguments: dict[str, Any]
) -> xr.DataArray:
    """Fill one band, decoded on the way in where it is stored as integers."""
    encoding = encoding_of(band)

    def fill(values: npt.NDArray[Any], n_threads: int, **given: Any) -> tuple[npt.NDArray[np.float32]]:
        if values.dtype == np.uint16:
            stored = {"nodata": encoding.nodata, "scale": encoding.scale, "offset": encoding.offset}
            return (kernel(values, n_threads=n_threads, **given, **stored),)
        floats = values if values.dtype == np.float32 else decode(values, encoding.scale, encoding.offset, encoding.nodata)
        return (kernel(floats, n_threads=n_threads, **given, nodata=None if np.isnan(encoding.nodata) else encoding.nodata),)

    return map_series(fill, [band], [Output("band", np.float32)], wanted, arguments)["band"]


def _seen(bands: Sequence[xr.DataArray]) -> xr.DataArray:
    """Tell where all bands have data: a byte a pixel, whatever the number of bands."""
    there = [(b == b) & (b != encoding_of(b).nodata) for b in bands]
    return reduce(and_, [t.drop_attrs() for t in there])


def _layers(
    seen: list[xr.DataArray], plan: SeriesPlan | None, wanted: npt.NDArray[np.datetime64], dates: dict[str, Any]
) -> dict[str, xr.DataArray]:
    def say(mask: npt.NDArray[np.bool_], n_threads: int, **dates: Any) -> tuple[npt.NDArray[Any], ...]:
        return flag_filled(mask, **dates, n_threads=n_threads), days_to_observation(mask, **dates, n_threads=n_threads)

    outputs = [Output("filled", np.uint8), Output("days_to_observation", np.float32)]
    return map_series(say, contiguous_in_time(seen, plan), outputs, wanted, dates)


def _label(ds: xr.Dataset, data: dict[str, xr.DataArray], wanted: npt.NDArray[np.datetime64], how: str) -> xr.Dataset:
    """Put the result's dates, coordinates and attributes on."""
    same = len(wanted) == ds.sizes["time"] and bool((wanted == ds["time"].values).all())
    mapping = grid_mapping_name(ds)
    placed = {"grid_mapping": mapping} if mapping else {}
    for name, array in data.items():
        kept = {k: v for k, v in ds[name].attrs.items() if k not in STORAGE_ATTRS} if name in ds else LAYERS[name]
        array.attrs = {**kept, **placed, "gap_filling": how}
    coords = {k: c for k, c in ds.coords.items() if same or "time" not in c.dims}
    if not same:
        coords.update(geometry_of_nearest(ds, wanted))
        coords["time"] = xr.DataArray(wanted, dims="time", attrs=ds["time"].attrs)
    rest = {v: a for v, a in ds.data_vars.items() if str(v) not in data and (same or "time" not in a.dims)}
    return xr.Dataset({name: array.variable for name, array in data.items()} | rest, coords, ds.attrs)
