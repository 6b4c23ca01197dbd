"""From the dates of a cube to those that a model takes: composites of a season's periods, or equal dates of a season."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from xsentinel.bands import BANDS
from xsentinel.composite import composite
from xsentinel.cube import band_variables, check_times, encoding_of, select_bands
from xsentinel.errors import TimeError
from xsentinel.gapfill import fill_gaps
from xsentinel.indices import find_index, index
from xsentinel.models.card import INDICES, Card, EqualDates, Periods

MONTHS = 12
LEAST_SHARE = 0.5
"""Of a season that single dates must span before it is filled: beyond them nothing is known."""


def prepare(ds: xr.Dataset, card: Card, start: str | None = None) -> xr.Dataset:
    """Bring a cube to what a model takes: to its dates, lazily, and with the indices among its inputs.

    Indices are computed of the cube at the dates of the model, where it does not have them.

    Parameters
    ----------
    ds : xarray.Dataset
        A cube: bands (time, y, x), clouds masked, of single dates or of those that the model takes.
    card : Card
    start : str, optional
        First day of the season.

    Raises
    ------
    TimeError
        If the dates do not fit.
    BandError
        If a band that is filled or that an index needs is missing.
    """
    if card.equal_dates is None:
        there = in_periods(ds, card, start)
    else:
        wanted = list(needed_bands(card))
        there = at_equal_dates(ds, card.equal_dates, card.dates, wanted, start)
    lacking = [name for name in card.bands if name in INDICES and name not in there]
    return there.assign(index(there, *lacking).data_vars) if lacking else there


def needed_bands(card: Card) -> tuple[str, ...]:
    """Give the bands of a cube that the inputs of a model are made of, in the order of the table of bands."""
    named = {band for name in card.bands for band in (find_index(name).bands if name in INDICES else (name,))}
    return tuple(band for band in BANDS if band in named)


def at_equal_dates(ds: xr.Dataset, equal: EqualDates, n: int, bands: Sequence[str] | None = None, start: str | None = None) -> xr.Dataset:
    """Bring a cube of single dates to n equal dates of a season, gaps filled; one of those dates is given as it is.

    Parameters
    ----------
    ds : xarray.Dataset
        Bands (time, y, x), clouds masked.
    equal : EqualDates
    n : int
        Dates of the season.
    bands : sequence of str, optional
        Those that are wanted; all that are there if not given.
    start : str, optional
        First day of the season; dates before it and after its end are left out. By default that of the first date,
        and all must lie in it.

    Returns
    -------
    xarray.Dataset
        Bands (time, y, x), float32, NaN where a pixel was never seen; lazy if the input is.

    Raises
    ------
    TimeError
        If dates lie outside the season, or span less than half of it.
    BandError
        If a band is missing.
    """
    if "time" not in ds.dims or not ds.sizes["time"]:
        raise TimeError(f"{n} equal dates of a season are wanted; the cube has no dimension time with dates")
    check_times(ds)
    times = pd.DatetimeIndex(ds["time"].values)
    first, end = _equal_season(times, equal, start)
    dates = first + pd.to_timedelta(equal.days(n), unit="D")
    if len(times) == n and (times.normalize() == dates).all():
        return ds
    inside = (times >= first) & (times < end)
    _check_inside(times, inside, (first, end), f"{n} equal dates", start)
    chosen = ds.isel(time=np.flatnonzero(inside))
    there = band_variables(chosen)
    wanted = [str(b.name) for b in select_bands(chosen, bands, f"a season of {n} equal dates")] if bands else list(there)
    options = {"extrapolate": "nearest"} | dict(equal.options)
    return fill_gaps(chosen[[there[b] for b in wanted]], equal.method, dates=list(dates), layers=False, **options)  # type: ignore[arg-type]


def _equal_season(times: pd.DatetimeIndex, equal: EqualDates, start: str | None) -> tuple[pd.Timestamp, pd.Timestamp]:
    """Give the first day of the season that was asked for, or of the first date, and the day after its last."""
    first = _date(start) if start is not None else pd.Timestamp(f"{times[0].year}-{equal.first}")
    if f"{first:%m-%d}" != equal.first:
        raise TimeError(f"seasons begin on {equal.first} here, and start is {first:%Y-%m-%d}; give '{first.year}-{equal.first}'")
    if first > times[0] and start is None:
        first -= pd.DateOffset(years=1)
    years = equal.span_days // 365  # whole ones end where the next season begins, leap years too
    return first, max(first + pd.Timedelta(days=equal.span_days), first + pd.DateOffset(years=years))


def _check_inside(times: pd.DatetimeIndex, inside: Any, season: tuple[pd.Timestamp, pd.Timestamp], what: str, start: str | None) -> None:
    """Refuse dates outside the season where no start was given, and such as span too little of it."""
    first, end = season
    own = f"the cube runs from {times[0]:%Y-%m-%d} to {times[-1]:%Y-%m-%d}"
    runs = f"{what} from {first:%Y-%m-%d} to before {end:%Y-%m-%d} are wanted, and {own}"
    if not inside.all() and start is None:
        raise TimeError(f"{runs}; select dates of one season, or give start='{first:%Y-%m-%d}'")
    spanned = (times[inside][-1] - times[inside][0]) / (end - first) if inside.any() else 0
    if spanned < LEAST_SHARE:
        raise TimeError(
            f"{runs}: its {int(inside.sum())} dates of that season span {spanned:.0%} of it; open more dates, or give another start"
        )


def in_periods(ds: xr.Dataset, card: Card, start: str | None = None) -> xr.Dataset:
    """Bring a cube to the periods that a model takes: composites made of dates, or put in their places.

    Raises
    ------
    TimeError
        If the dates do not fit.
    """
    if card.periods is None:
        if start is not None:
            raise TimeError(f"model {card.name} takes {card.dates} dates as they are, and no start; select them from the cube")
        return ds
    if "time" not in ds.dims or not ds.sizes["time"]:
        raise TimeError(f"model {card.name} takes {card.dates} dates of composites; the cube has no dimension time with dates")
    check_times(ds)
    times = pd.DatetimeIndex(ds["time"].values)
    edges = season(ds, card.periods, card.dates, start)
    inside = (times >= edges[0]) & (times < edges[-1])
    if not inside.all() and start is None:
        raise TimeError(
            f"model {card.name} takes {card.dates} periods ({card.periods.freq}) from month {card.periods.first_month} on, and the cube "
            f"runs from {times[0]:%Y-%m-%d} to {times[-1]:%Y-%m-%d}; select dates of one season, or give start='{edges[0]:%Y-%m-%d}'"
        )
    if not inside.any():
        raise TimeError(
            f"no date of the cube ({times[0]:%Y-%m-%d} to {times[-1]:%Y-%m-%d}) lies in the {card.dates} periods from "
            f"{edges[0]:%Y-%m-%d} on; give another start"
        )
    n_seen, least = len(np.unique(edges.searchsorted(times[inside], side="right"))), card.least_dates or card.dates
    if n_seen < least:
        raise TimeError(
            f"the cube has dates in {n_seen} of the {card.dates} periods from {edges[0]:%Y-%m-%d} on, and model {card.name} needs "
            f"{least} or more; open more dates"
        )
    chosen = ds.isel(time=np.flatnonzero(inside))
    if times[inside].isin(edges[:-1]).all():
        return _placed(chosen, edges[:-1])
    wanted = [variable for band, variable in band_variables(chosen).items() if band in needed_bands(card)]
    return composite(chosen[wanted], list(edges), method=card.periods.method)  # type: ignore[arg-type]


def season(ds: xr.Dataset, periods: Periods, n: int, start: str | None = None) -> pd.DatetimeIndex:
    """Give the starts of n periods and the end of the last: those from a start on, or of the season of the first date.

    Raises
    ------
    TimeError
        If the start is no date, or in another month than the periods begin in.
    """
    times = pd.DatetimeIndex(ds["time"].values)
    step = pd.tseries.frequencies.to_offset(periods.freq)
    first = _date(start) if start is not None else step.rollback(times[0].normalize())
    for _ in range(MONTHS):
        if start is not None or first.month == periods.first_month:
            break
        first -= step
    if first.month != periods.first_month:
        raise TimeError(f"seasons begin in month {periods.first_month} here, and start is {first:%Y-%m-%d}; give a start in that month")
    return pd.date_range(first, periods=n + 1, freq=step)


def _date(text: str) -> pd.Timestamp:
    try:
        return pd.Timestamp(text).normalize()
    except (ValueError, TypeError) as err:
        raise TimeError(f"start is {text!r}, which is no date ({err}); write it as '2018-01'") from err


def _placed(ds: xr.Dataset, starts: pd.DatetimeIndex) -> xr.Dataset:
    """Put composites in the places of their periods, no data where there is none."""
    if ds.sizes["time"] == len(starts):
        return ds
    bands = set(band_variables(ds).values())
    lost = {v: np.nan if a.dtype.kind == "f" else 0 for v, a in ds.data_vars.items() if "time" in a.dims}  # of layers: nothing seen
    lost |= {v: encoding_of(ds[v]).nodata for v in bands & lost.keys() if ds[v].dtype.kind in "iu"}
    fill = {v: ds[v].dtype.type(value) for v, value in lost.items()}
    return ds.drop_vars([c for c, a in ds.coords.items() if "time" in a.dims and c != "time"]).reindex(time=starts, fill_value=fill)
