"""From the dates of a cube to those that a model takes: a season's periods, and composites in them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from xsentinel.composite import composite
from xsentinel.cube import band_variables, check_times, encoding_of
from xsentinel.errors import TimeError
from xsentinel.models.card import Card, Periods

MONTHS = 12


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
    wanted = [variable for band, variable in band_variables(chosen).items() if band in card.bands]
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
    lost = {v: encoding_of(a).nodata if a.dtype.kind in "iu" else np.nan for v, a in ds.data_vars.items() if "time" in a.dims}
    fill = {v: ds[v].dtype.type(value) for v, value in lost.items()}
    return ds.drop_vars([c for c, a in ds.coords.items() if "time" in a.dims and c != "time"]).reindex(time=starts, fill_value=fill)
