"""When the satellites pass, and where sun and sensor then stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from xsentinel.cube import parse_dates
from xsentinel.errors import TimeError
from xsentinel.kernels.hashing import draw, hash_many

REPEAT = 10
"""Days after which a satellite passes again on the same orbit."""

SECOND_ORBIT = 3
"""Days by which the neighbouring orbit, that overlaps, is later."""

VIEWS = ((8.0, 105.0), (5.2, 285.0))
"""Zenith and azimuth of the view from the two orbits, degrees: of a place between them (tile 31UDS)."""

PASSES = (10.9, 11.05)
"""Local solar time (h) at which the two orbits pass."""

MISSING = 0.08
"""Share of passes without a product."""

OBLIQUITY = 23.44
"""Of the ecliptic, degrees."""

EPOCH = pd.Timestamp("2015-06-23")
"""Launch of Sentinel-2A; days of the repeat cycle count from here."""


@dataclass(frozen=True)
class Overpass:
    """One acquisition."""

    time: pd.Timestamp
    """UTC."""
    day: int
    """Since the epoch."""
    platform: int
    """0 is S2A, 1 is S2B."""
    orbit: int
    """0 or 1."""
    angles: tuple[float, float, float]
    """Sun zenith, view zenith and relative azimuth, degrees."""
    azimuths: tuple[float, float]
    """Of sun and view, degrees from north."""


def overpasses(start: str, end: str, *, seed: int = 0, orbits: int = 2) -> pd.DatetimeIndex:
    """Give the times at which Sentinel-2A and B pass over a place, with some lost.

    Each orbit is seen every five days, by the two satellites in turn; 8 % of the passes have no product.

    Parameters
    ----------
    start, end : str
        First and last day.
    seed : int
        Of what is lost.
    orbits : {1, 2}
        Where swaths overlap, two orbits see a place, three days apart.

    Returns
    -------
    pandas.DatetimeIndex
        UTC.

    Raises
    ------
    TimeError
        If a day cannot be read, or there is none between the two.

    Examples
    --------
    >>> import xsentinel as xs
    >>> len(xs.simulate.overpasses("2018-01-01", "2018-12-31", orbits=1))
    65
    """
    if orbits not in (1, 2):
        raise TimeError(f"orbits is {orbits!r}; a place is seen from 1 orbit, or from 2 where swaths overlap")
    first, last = parse_dates([start, end])
    days = pd.date_range(first.normalize(), last.normalize(), freq="D")
    if not len(days):
        raise TimeError(f"there is no day from {start} to {end}; give the earlier first")
    since = (days - EPOCH).days.to_numpy()
    on = [since % (REPEAT // 2) == orbit * SECOND_ORBIT for orbit in range(orbits)]
    bits = hash_many(np.uint64(seed), since.astype(np.int64), 3)
    kept = np.array([draw(b, 1) for b in bits]) >= MISSING
    hours = np.where(on[0], PASSES[0], PASSES[1]) * 3600
    chosen = np.any(on, 0) & kept
    times: pd.DatetimeIndex = (days + pd.to_timedelta(np.round(hours), unit="s"))[chosen]
    return times


def read_dates(dates: str | Sequence[object], seed: int) -> pd.DatetimeIndex:
    """Give the times of a year ("2018"), or those listed, in order.

    Raises
    ------
    TimeError
        If one cannot be read or stands twice, or there is none.
    """
    if isinstance(dates, str):
        if not (dates.isdigit() and len(dates) == 4):
            raise TimeError(f"dates is {dates!r}; give a year such as '2018', a list of dates, or xs.simulate.overpasses(start, end)")
        return overpasses(f"{dates}-01-01", f"{dates}-12-31", seed=seed)
    times = parse_dates(dates).sort_values()
    if not len(times) or times.has_duplicates:
        raise TimeError(f"dates holds {len(times)} dates, {len(times.unique())} of them distinct; give one or more, each once")
    if times.tz is not None:
        times = times.tz_convert(None)
    midnight = times == times.normalize()
    return times.where(~midnight, times + pd.Timedelta(hours=PASSES[0]))


def sun_position(day_of_year: float, hour: float, latitude: float) -> tuple[float, float]:
    """Give zenith and azimuth (clockwise from north) of the sun, degrees, at a local solar time (h).

    By spherical trigonometry with the declination of Cooper (1969), to about a degree.
    """
    declination = np.deg2rad(OBLIQUITY) * np.sin(2 * np.pi * (284 + day_of_year) / 365)
    angle, phi = np.deg2rad(15 * (hour - 12)), np.deg2rad(latitude)
    height = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(angle)
    south = np.sin(phi) * np.cos(declination) * np.cos(angle) - np.cos(phi) * np.sin(declination)
    west = np.cos(declination) * np.sin(angle)
    return float(np.rad2deg(np.arccos(height))), float((np.rad2deg(np.arctan2(west, south)) + 180) % 360)


def plan(times: pd.DatetimeIndex, latitude: float) -> tuple[Overpass, ...]:
    """Say which satellite passes at each time, from which orbit, under which sun."""
    return tuple(_overpass(time, latitude) for time in times)


def _overpass(time: pd.Timestamp, latitude: float) -> Overpass:
    day = int((time - EPOCH).days)
    phase = day % REPEAT
    orbit = int(phase % 5 >= SECOND_ORBIT)
    sza, saa = sun_position(time.day_of_year, PASSES[orbit], latitude)
    vza, vaa = VIEWS[orbit]
    raa = abs((saa - vaa + 180) % 360 - 180)
    return Overpass(time, day, int(phase >= REPEAT // 2), orbit, (sza, vza, raa), (saa, vaa))


def year_and_day(overs: Sequence[Overpass]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Give years and days of year."""
    return np.array([o.time.year for o in overs], np.int64), np.array([o.time.day_of_year for o in overs], np.float64)
