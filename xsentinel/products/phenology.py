"""Seasons of a series: when growth starts, peaks and ends, a pixel or parcel each."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from xsentinel.cube import check_times
from xsentinel.errors import TimeError, XSentinelError
from xsentinel.kernels.seasons import MARKS, season_marks

SAID = {
    "start": "start of the season",
    "peak": "day of the greatest value",
    "end": "end of the season",
    "length": "length of the season",
    "base": "mean of the lowest values before and after the peak",
    "maximum": "greatest value",
    "amplitude": "greatest value less the base",
    "integral": "integral from start to end",
}
DAYS = ("start", "peak", "end")


def phenology(
    data: xr.DataArray, *, threshold: float = 0.2, first_month: int = 1, least: float = 0.0, years: tuple[int, int] | None = None
) -> xr.Dataset:
    r"""Tell start, peak and end of each growing season, by the share of the seasonal amplitude (Jönsson & Eklundh 2004).

    In each year the greatest value is the peak. To each side of it the season starts (ends) where the series, on the line between
    its dates, falls below :math:`b + s\,(x_{max} - b)`, b being the lowest value on that side and s the threshold. Noise is not
    smoothed away: give a filled or smoothed series (``fill_gaps("whittaker", freq="5D")``), or the means of parcels.

    Parameters
    ----------
    data : xarray.DataArray (time, …)
        An index or LAI of pixels or parcels, NaN where nothing was seen; lazy or not.
    threshold : float
        s, above 0 to below 1.
    first_month : int
        Month that a season's year begins in, such as 9 for winter crops or the southern hemisphere.
    least : float
        Amplitude below which a year has no season, in units of the data.
    years : (int, int), optional
        First and last year; those that lie wholly in the series, or the only one that it touches, if not given. A year is
        named by the calendar year that it ends in.

    Returns
    -------
    xarray.Dataset
        (year, …), float32: ``start``, ``peak``, ``end`` (day of the season's year, 1.0 on its first day), ``length`` (days),
        ``base``, ``maximum``, ``amplitude`` (units of the data), ``integral`` (units × days, from start to end). NaN where
        there is no season, and for a start or end that the series does not fall to.

    Raises
    ------
    TimeError
        If there are no dates, or none in the years asked for.
    XSentinelError
        If threshold or month are out of range.

    References
    ----------
    Jönsson & Eklundh (2004), TIMESAT, Computers & Geosciences 30, 833–845.

    Examples
    --------
    >>> times = pd.date_range("2020-01-01", "2020-12-31", freq="5D")
    >>> curve = np.exp(-(((np.arange(74) * 5 - 180) / 50) ** 2)).astype(np.float32)
    >>> found = phenology(xr.DataArray(curve, {"time": times}, "time"), threshold=0.5)
    >>> found.start.values.round().tolist(), found.peak.values.tolist()
    ([139.0], [181.0])
    """
    if not 0 < threshold < 1:
        raise XSentinelError(f"threshold is {threshold}; it is a share of the amplitude, above 0 and below 1")
    if first_month not in range(1, 13):
        raise XSentinelError(f"first_month is {first_month}; give 1 … 12")
    if "time" not in data.dims or not data.sizes["time"]:
        raise TimeError("the data have no dimension time with dates; phenology needs a series")
    check_times(data)
    data = data.sortby("time")
    times = pd.DatetimeIndex(data["time"].values)
    starts = _starts(times, first_month, years)
    edges = np.array([times.searchsorted(s) for s in starts], np.int64)
    days = ((times - times[0]) / np.timedelta64(1, "D")).to_numpy(np.float64)
    offsets = np.array([(s - times[0]) / np.timedelta64(1, "D") for s in starts[:-1]])
    marks = xr.apply_ufunc(
        _marks, _one_chunk(data), input_core_dims=[["time"]], output_core_dims=[["year", "mark"]], dask="parallelized",
        kwargs={"days": days, "edges": edges, "offsets": offsets, "threshold": threshold, "least": least},
        output_dtypes=[np.float32], dask_gufunc_kwargs={"output_sizes": {"year": len(starts) - 1, "mark": len(MARKS)}},
    )  # fmt: skip
    return _label(marks, data, starts, threshold)


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


def _one_chunk(data: xr.DataArray) -> xr.DataArray:
    return data if data.chunks is None else data.chunk(time=-1)


def _marks(
    values: npt.NDArray[Any], days: npt.NDArray[np.float64], edges: npt.NDArray[np.int64], offsets: npt.NDArray[np.float64],
    threshold: float, least: float,
) -> npt.NDArray[np.float32]:  # fmt: skip
    """Give marks (…, year, mark) of series (…, time), days counted from each year's first day, which is 1."""
    flat = np.ascontiguousarray(values, np.float32).reshape(-1, values.shape[-1])
    out = season_marks(flat, days, edges, threshold, least)
    out[..., : len(DAYS)] += 1 - offsets[:, None]
    return out.astype(np.float32).reshape(*values.shape[:-1], len(offsets), len(MARKS))


def _label(marks: xr.DataArray, data: xr.DataArray, starts: list[pd.Timestamp], threshold: float) -> xr.Dataset:
    units = str(data.attrs.get("units", "1"))
    of = {"integral": f"{units} day".removeprefix("1 "), "length": "day"} | dict.fromkeys(DAYS, "day of the year")
    what = data.attrs.get("long_name", "the series" if data.name is None else data.name)
    rest = [d for d in data.dims if d != "time"]
    kept = {k: v for k, v in data.attrs.items() if k == "grid_mapping"}
    found = {}
    for k, mark in enumerate(MARKS):
        said = {"long_name": f"{SAID[mark]} of {what}", "units": of.get(mark, units)} | kept
        found[mark] = marks.isel(mark=k, drop=True).transpose("year", *rest).assign_attrs(said)
    years = [s.year for s in starts[1:]] if starts[0].month != 1 else [s.year for s in starts[:-1]]
    attrs = {"threshold": threshold, "references": "Jönsson & Eklundh (2004), TIMESAT"}
    first = xr.DataArray(pd.DatetimeIndex(starts[:-1]), dims="year", attrs={"long_name": "first day of the year"})
    return xr.Dataset(found, attrs=attrs).assign_coords(year=years, first_day=first)
