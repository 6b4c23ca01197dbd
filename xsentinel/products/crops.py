"""Crop types by a trained classifier of series."""

from __future__ import annotations

from os import PathLike

import numpy as np
import pandas as pd
import xarray as xr

from xsentinel.blocks.model import Model, load_model
from xsentinel.blocks.predict import Execution, Precision
from xsentinel.composite import composite
from xsentinel.cube import band_variables, check_times, encoding_of
from xsentinel.errors import TimeError, XSentinelError
from xsentinel.inference import Sampling, classify, provenance
from xsentinel.models.card import Card, Periods

MONTHS = 12


def crops(
    ds: xr.Dataset,
    model: str | PathLike[str] | Model,
    *,
    start: str | None = None,
    probabilities: bool = False,
    samples: int = 0,
    seed: int = 0,
    precision: Precision = "fp32",
    device: str = "cpu",
) -> xr.Dataset:
    r"""Map crop types by a classifier of each pixel's series.

    The model's card says what it takes: most take twelve monthly composites, the band-wise median of what was seen of
    each month (Weikmann et al. 2021). A cube of single dates is brought to them on the way, lazily and block by block,
    without being stored; mask its clouds first. A cube of composites is taken as it is. A month that a pixel was not
    seen in stays missing and the network is told so; nothing is filled in.

    Parameters
    ----------
    ds : xarray.Dataset
        A cube: bands (time, y, x), float32 reflectance [1] with NaN gaps or uint16 as stored, clouds masked.
    model : str, path or Model
        As `xsentinel.load_model` finds it; "crops-canada" and "crops-simulated" come along.
    start : str, optional
        First day of the first period, such as "2018-01"; dates before it and after the last period are left out.
        By default all dates must lie within the periods of one season.
    probabilities : bool
        Whether the probability of each class comes too.
    samples : int
        Monte Carlo samples of the network's dropout, whose probabilities are averaged; 0: one pass, nothing dropped.
    seed : int
        Of the samples.
    precision : {"fp32", "bf16", "auto"}
        As `lai`.
    device : str
        As `lai`.

    Returns
    -------
    xarray.Dataset
        ``class`` (y, x), uint8, CF flags with names and colours, 0 where too few dates were seen (no class has the
        code 0); ``confidence``, the probability :math:`p_1` of the class; ``margin`` :math:`p_1 - p_2`; ``entropy``
        :math:`-\sum_u p_u \ln p_u / \ln U`, from 0 to 1; all float32, NaN where there is no class. With samples
        ``mutual_information``, the part of the entropy that the samples disagree by. With probabilities
        ``probability`` (class, y, x), ``class_code`` along it; as xarray lets no variable be named as a dimension of
        another, ``class`` then is a coordinate. Lazy if the input is.

    Raises
    ------
    TimeError
        If the dates do not fit the model's periods or number of dates.
    XSentinelError
        If the model tells no classes apart, or the cube lacks what it takes.

    References
    ----------
    Weikmann, Paris & Bruzzone (2021), TimeSen2Crop, IEEE JSTARS 14, and the report on the LSTM for large-scale crop
    type mapping.

    Examples
    --------
    >>> import xsentinel as xs
    >>> days = [f"2018-{month:02}-{day:02}" for month in range(1, 13) for day in (5, 15, 25)]
    >>> scene = xs.simulate.landscape((32, 32), days, seed=9)
    >>> maps = scene.cube.s2.mask_clouds().s2.crops("crops-simulated").compute()
    >>> list(maps), bool((maps["class"] == scene.truth["class"]).mean() > 0.7)
    (['class', 'confidence', 'margin', 'entropy'], True)
    """
    found = load_model(model)
    if not found.card.classes:
        raise XSentinelError(f"model {found.card.name} estimates {', '.join(o.name for o in found.card.outputs)} and maps no crops")
    sampling, execution = Sampling(samples, seed), Execution(device, precision)
    maps = classify(in_periods(ds, found.card, start), found, sampling, execution, probabilities)
    source = {"Conventions": "CF-1.11", "source": "Copernicus Sentinel-2 MSI"}
    return xr.Dataset(maps, attrs=source | provenance(found, sampling, execution))


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
