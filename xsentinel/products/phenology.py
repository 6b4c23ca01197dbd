"""Seasons of a series: when growth starts, peaks and ends, a pixel or parcel each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from xsentinel.cube import check_times
from xsentinel.errors import TimeError, XSentinelError
from xsentinel.kernels.double_logistic import fit_seasons
from xsentinel.kernels.season_curve import FIT_MARKS, HOW, PARAMETERS, draw_curves
from xsentinel.kernels.seasons import MARKS, season_marks
from xsentinel.kernels.threads import n_cores

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]
Method = Literal["threshold", "double_logistic"]

SAID = {
    "start": "start of the season",
    "peak": "day of the greatest value",
    "end": "end of the season",
    "length": "length of the season",
    "base": "lowest value about the peak",
    "maximum": "greatest value",
    "amplitude": "greatest value less the base",
    "integral": "integral from start to end",
    "greening": "day of the steepest rise",
    "senescence": "day of the steepest fall",
    "greening_rate": "slope at the steepest rise",
    "senescence_rate": "slope at the steepest fall",
    "rmse": "root mean square of what the dates lie off the curve",
    "fit": "how the fit went",
}
DAYS = ("start", "peak", "end", "greening", "senescence", "rise")
"""Columns that are days of the season's year."""


@dataclass(frozen=True)
class Rule:
    """How seasons are told."""

    marks: tuple[str, ...]
    """Variables, the first columns of what ``run`` gives."""
    run: Callable[..., Float64]
    """(series, days, edges, threshold, least, n_threads=[, weights=]) → (series, season, column)."""
    references: str
    parameters: tuple[str, ...] = ()
    """The columns behind, of a curve that can be drawn."""
    curve: Callable[..., Array] | None = None
    """(parameters (series, season, parameter), days, season of each day) → (series, day)."""


METHODS = {
    "threshold": Rule(MARKS, season_marks, "Jönsson & Eklundh (2004), TIMESAT"),
    "double_logistic": Rule(
        FIT_MARKS, fit_seasons, "Beck et al. (2006), Gonsamo et al. (2013), Jönsson & Eklundh (2004)", PARAMETERS, draw_curves
    ),
}
"""One row a method."""


def phenology(
    data: xr.DataArray,
    *,
    method: Method = "threshold",
    threshold: float = 0.2,
    first_month: int = 1,
    least: float = 0.0,
    years: tuple[int, int] | None = None,
    weights: xr.DataArray | None = None,
    fitted: bool | Sequence[object] = False,
) -> xr.Dataset:
    r"""Tell start, peak and end of each growing season, on the series itself or on a double logistic fitted to it.

    The season starts and ends where, to each side of its peak, it falls below :math:`b + s\,(x_{max} - b)`, s being the threshold
    (Jönsson & Eklundh 2004). With "threshold", x is the line between the dates, and b the lowest value on that side: noise is not
    smoothed away, so give a smoothed series or the means of parcels. With "double_logistic", x is a curve,

    .. math:: f(t) = b + \frac{c_1}{1 + e^{-(t - S) / r}} - \frac{c_2}{1 + e^{-(t - A) / q}}

    fitted to the dates seen in each year by least squares, values far from it losing weight (Tukey's bisquare): give the series as
    it is, with its gaps. It is the curve of Beck et al. (2006) and of TIMESAT (c₁ = c₂) with a level of its own on each side, as
    Gonsamo et al. (2013) have it: a field is not after harvest what it was in winter. It has one rise and one fall: of grass that is
    cut, or two crops a year, it shows the outline.

    Parameters
    ----------
    data : xarray.DataArray (time, …)
        An index or LAI of pixels or parcels, NaN where nothing was seen; lazy or not.
    method : {"threshold", "double_logistic"}
    threshold : float
        s, above 0 to below 1.
    first_month : int
        Month that a season's year begins in, such as 9 for winter crops or the southern hemisphere.
    least : float
        Amplitude below which a year has no season, in units of the data.
    years : (int, int), optional
        First and last year; those that lie wholly in the series, or the only one that it touches, if not given. A year is
        named by the calendar year that it ends in.
    weights : xarray.DataArray (time, …), optional
        Of the dates in the fit, such as the share of a parcel that was clear; 0 and NaN leave a date out.
    fitted : bool or sequence of dates
        Give the curve too, at the dates of the series or these.

    Returns
    -------
    xarray.Dataset
        (year, …), float32: ``start``, ``peak``, ``end`` (day of the season's year, 1.0 on its first day), ``length`` (days),
        ``base``, ``maximum``, ``amplitude`` (units of the data), ``integral`` (units × days, from start to end). NaN where
        there is no season, and for a start or end that the series does not fall to.

        Of a double logistic also ``greening`` and ``senescence`` (days of its inflections, S and A), ``greening_rate`` and
        ``senescence_rate`` (slopes there, units a day), ``rmse`` (of all dates seen, units of the data) and ``fit`` (uint8, CF
        flags: fitted, too few dates, that is below eight, no season, not converged), NaN where that is not "fitted". Days outside
        of the dates seen are NaN. With ``fitted``, ``fitted`` (time, …), units of the data.

    Raises
    ------
    TimeError
        If there are no dates, none in the years asked for, or weights are of others.
    XSentinelError
        If threshold or month are out of range, or a method has no curve.

    References
    ----------
    Jönsson & Eklundh (2004), TIMESAT, Computers & Geosciences 30, 833–845. Beck et al. (2006), Remote Sensing of Environment 100,
    321–334. Gonsamo, Chen & D'Odorico (2013), Ecological Indicators 29, 203–207.

    Examples
    --------
    >>> times = pd.date_range("2020-01-01", "2020-12-31", freq="5D")
    >>> curve = np.exp(-(((np.arange(74) * 5 - 180) / 50) ** 2)).astype(np.float32)
    >>> found = phenology(xr.DataArray(curve, {"time": times}, "time"), threshold=0.5)
    >>> found.start.values.round().tolist(), found.peak.values.tolist()
    ([139.0], [181.0])
    """
    rule = _rule(method, threshold, first_month, weights is not None or fitted is not False)
    if "time" not in data.dims or not data.sizes["time"]:
        raise TimeError("the data have no dimension time with dates; phenology needs a series")
    check_times(data)
    data = data.sortby("time")
    times = pd.DatetimeIndex(data["time"].values)
    starts = _starts(times, first_month, years)
    days, edges = _days(times, starts[0]), np.array([times.searchsorted(s) for s in starts], np.int64)
    columns = (*rule.marks, *rule.parameters)
    options = {"rule": rule, "days": days, "edges": edges, "offsets": _days(pd.DatetimeIndex(starts[:-1]), starts[0]),
               "threshold": threshold, "least": least, "n_threads": n_cores() if data.chunks is None else 1}  # fmt: skip
    series = [_one_chunk(data), *([] if weights is None else [_one_chunk(_alike(weights, times))])]
    marks = xr.apply_ufunc(
        _marks, *series, input_core_dims=[["time"]] * len(series), output_core_dims=[["year", "mark"]], dask="parallelized",
        kwargs=options, output_dtypes=[np.float32],
        dask_gufunc_kwargs={"output_sizes": {"year": len(starts) - 1, "mark": len(columns)}},
    )  # fmt: skip
    found = _label(marks, data, starts, rule.marks).assign_attrs(method=method, threshold=threshold, references=rule.references)
    if fitted is False:
        return found
    return found.assign(fitted=_curve(marks, data, starts, rule, data["time"] if fitted is True else fitted))


def _rule(method: str, threshold: float, first_month: int, with_curve: bool) -> Rule:
    """Look a method up, and check what is asked of it."""
    if method not in METHODS:
        raise XSentinelError(f"method is {method!r}; give one of {', '.join(METHODS)}")
    if not 0 < threshold < 1:
        raise XSentinelError(f"threshold is {threshold}; it is a share of the amplitude, above 0 and below 1")
    if first_month not in range(1, 13):
        raise XSentinelError(f"first_month is {first_month}; give 1 … 12")
    if with_curve and METHODS[method].curve is None:
        curves = ", ".join(repr(m) for m, rule in METHODS.items() if rule.curve)
        raise XSentinelError(f"method {method!r} fits no curve; weights and fitted are of method {curves}")
    return METHODS[method]


def _starts(times: pd.DatetimeIndex, first_month: int, years: tuple[int, int] | None) -> list[pd.Timestamp]:
    """Give the first day of each year, and that behind the last."""
    back = 0 if first_month == 1 else 1
    first = times[0].year + back * (times[0].month >= first_month)
    last = times[-1].year + back * (times[-1].month >= first_month)
    if years is None:
        whole = [y for y in range(first, last + 1) if _begin(y, first_month) + pd.Timedelta(days=31) >= times[0]
                 and _begin(y + 1, first_month) - pd.Timedelta(days=31) <= times[-1]]  # fmt: skip
        years = (whole[0], whole[-1]) if whole else (first, last)
    if years[0] > years[1] or years[1] < first or years[0] > last:
        raise TimeError(f"years are {years[0]} to {years[1]}; the series has {first} to {last}")
    return [_begin(y, first_month) for y in range(years[0], years[1] + 2)]


def _begin(year: int, first_month: int) -> pd.Timestamp:
    return pd.Timestamp(year - (first_month != 1), first_month, 1)


def _days(times: pd.DatetimeIndex, since: pd.Timestamp) -> Float64:
    days: Float64 = ((times - since) / np.timedelta64(1, "D")).to_numpy(np.float64)
    return days


def _one_chunk(data: xr.DataArray) -> xr.DataArray:
    return data if data.chunks is None else data.chunk(time=-1)


def _alike(weights: xr.DataArray, times: pd.DatetimeIndex) -> xr.DataArray:
    """Check that weights are of the same dates, and bring them to their order."""
    if "time" not in weights.dims or set(weights["time"].values) != set(times.values):
        raise TimeError("weights have other dates than the data, or none; give them as (time, …) at the same times")
    return weights.sortby("time")


def _marks(
    values: Array, weights: Array | None = None, *, rule: Rule, days: Float64, edges: Array, offsets: Float64, threshold: float,
    least: float, n_threads: int,
) -> npt.NDArray[np.float32]:  # fmt: skip
    """Give columns (…, year, column) of series (…, time), days counted from each year's first day, which is 1."""
    flat = np.ascontiguousarray(values, np.float32).reshape(-1, values.shape[-1])
    options: dict[str, Any] = {"n_threads": n_threads}
    if weights is not None:
        options["weights"] = np.broadcast_to(weights, values.shape).astype(np.float32).reshape(flat.shape)
    out = rule.run(flat, days, edges, threshold, least, **options)
    for k, name in enumerate((*rule.marks, *rule.parameters)):
        if name in DAYS:
            out[..., k] += 1 - offsets
    return out.astype(np.float32).reshape(*values.shape[:-1], *out.shape[1:])


def _label(marks: xr.DataArray, data: xr.DataArray, starts: list[pd.Timestamp], names: tuple[str, ...]) -> xr.Dataset:
    units = str(data.attrs.get("units", "1"))
    of = {"integral": f"{units} day".removeprefix("1 "), "length": "day"} | dict.fromkeys(DAYS, "day of the year")
    of |= dict.fromkeys(("greening_rate", "senescence_rate"), f"{units} day-1".removeprefix("1 "))
    what = data.attrs.get("long_name", "the series" if data.name is None else data.name)
    rest = [d for d in data.dims if d != "time"]
    kept = {k: v for k, v in data.attrs.items() if k == "grid_mapping"}
    found = {}
    for k, mark in enumerate(names):
        said = {"long_name": f"{SAID[mark]} of {what}", "units": of.get(mark, units)} | kept
        found[mark] = marks.isel(mark=k, drop=True).transpose("year", *rest)
        found[mark].attrs = said
    if "fit" in found:
        flags = {"long_name": SAID["fit"], "flag_values": np.arange(len(HOW), dtype=np.uint8), "flag_meanings": " ".join(HOW)} | kept
        found["fit"] = found["fit"].astype(np.uint8)
        found["fit"].attrs = flags
    years = [s.year for s in starts[1:]] if starts[0].month != 1 else [s.year for s in starts[:-1]]
    first = xr.DataArray(pd.DatetimeIndex(starts[:-1]), dims="year", attrs={"long_name": "first day of the year"})
    return xr.Dataset(found).assign_coords(year=years, first_day=first)


def _curve(marks: xr.DataArray, data: xr.DataArray, starts: list[pd.Timestamp], rule: Rule, dates: Any) -> xr.DataArray:
    """Draw the curves at dates, each by the year that it lies in."""
    times = pd.DatetimeIndex(np.asarray(dates))
    seasons = np.searchsorted(pd.DatetimeIndex(starts), times, side="right") - 1
    seasons = np.where(seasons < len(starts) - 1, seasons, -1)
    days = 1 + _days(times, starts[0]) - _days(pd.DatetimeIndex(starts[:-1]), starts[0])[seasons]
    parameters = marks.isel(mark=slice(len(rule.marks), None))
    drawn: xr.DataArray = xr.apply_ufunc(
        _draw, parameters, input_core_dims=[["year", "mark"]], output_core_dims=[["time"]], dask="parallelized",
        kwargs={"rule": rule, "days": days, "seasons": seasons}, output_dtypes=[np.float32],
        dask_gufunc_kwargs={"output_sizes": {"time": len(times)}},
    )  # fmt: skip
    kept = {k: v for k, v in data.attrs.items() if k in ("units", "grid_mapping")}
    what = data.attrs.get("long_name", "the series" if data.name is None else data.name)
    drawn = drawn.transpose(*("time" if d == "time" else d for d in data.dims)).assign_coords(time=times)
    drawn.attrs = {"long_name": f"curve fitted to {what}"} | kept
    return drawn


def _draw(parameters: Array, *, rule: Rule, days: Float64, seasons: Array) -> Array:
    """Give curves (…, time) of parameters (…, year, parameter)."""
    flat = np.ascontiguousarray(parameters, np.float64).reshape(-1, *parameters.shape[-2:])
    out: Array = rule.curve(flat, days, seasons)  # type: ignore[misc]
    return out.reshape(*parameters.shape[:-2], len(days))
