"""Which dates belong together: radar to each optical date, and the dates before it. Arithmetic on days, no arrays of pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Days = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Times = npt.NDArray[np.datetime64]

NONE = -1
"""Stands for a date that there is not."""


def days_of(times: Any, since: np.datetime64 | None = None) -> Days:
    """Give days since the first date, or another, float64.

    Examples
    --------
    >>> days_of(np.array(["2018-05-01", "2018-05-03T12"], "datetime64[ns]")).tolist()
    [0.0, 2.5]
    """
    given: Times = np.asarray(times, "datetime64[ns]")
    start = given[0] if since is None else since.astype("datetime64[ns]")
    days: Days = (given - start) / np.timedelta64(1, "D")
    return days


@dataclass(frozen=True)
class Pairs:
    """The radar of each optical date."""

    index: Indices
    """(time,): of the radar's dates; −1 where none is near enough."""
    apart: Days
    """(time,): days from the optical date to that of its radar, NaN where there is none."""


def pair(optical: Any, radar: Any, tolerance_days: float) -> Pairs:
    """Find the radar nearest to each optical date, by day of the calendar, the earlier of two as near.

    Radar passes in the morning or evening, so that times of day say nothing: 30 May 05:50 and 31 May 23:00 are a day apart.

    Parameters
    ----------
    optical, radar : (time,) datetime64
        In any order.
    tolerance_days : float
        Calendar days between the two, at the most; Wang et al. (2023) allow 1.

    Examples
    --------
    >>> days = np.array(["2018-05-01", "2018-05-06", "2018-05-11"], "datetime64[ns]")
    >>> radar = np.array(["2018-05-02T05:50", "2018-05-08T05:50"], "datetime64[ns]")
    >>> pair(days, radar, 1).index.tolist(), pair(days, radar, 3).apart.tolist()
    ([0, -1, -1], [1.0, 2.0, -3.0])
    """
    one, two = (np.asarray(t, "datetime64[D]").astype(np.float64) for t in (optical, radar))
    if not two.size:
        return Pairs(np.full(one.size, NONE, np.int64), np.full(one.size, np.nan))
    order = np.argsort(two, kind="stable")
    difference = two[order][None] - one[:, None]
    nearest = np.abs(difference).argmin(1)
    apart = difference[np.arange(one.size), nearest]
    near = np.abs(apart) <= tolerance_days
    return Pairs(np.where(near, order[nearest], NONE), np.where(near, apart, np.nan))


def triplets(days: Days, max_gap_days: float) -> Indices:
    """Give the two dates before each, (time, 2): t−1 and t−2; −1 where a gap is longer than allowed, or the series has not begun.

    Parameters
    ----------
    days : (time,), float64
        Rising.
    max_gap_days : float
        Between t−2 and t−1, and between t−1 and t.

    Examples
    --------
    >>> triplets(np.array([0.0, 5, 10, 30, 35]), 7).tolist()
    [[-1, -1], [0, -1], [1, 0], [-1, -1], [3, -1]]
    """
    near = np.diff(days, prepend=-np.inf) <= max_gap_days
    one = np.where(near, np.arange(days.size) - 1, NONE)
    two = np.where(near & near[one], one - 1, NONE)
    return np.stack([one, two], 1)


def season_of(times: Any) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    r"""Give sine and cosine of the day of the year, (time,), float32: :math:`2\pi\,(d - 1)/365.25`.

    Examples
    --------
    >>> [values.round(1).tolist() for values in season_of(np.array(["2018-01-01", "2018-04-02"], "datetime64[ns]"))]
    [[0.0, 1.0], [1.0, 0.0]]
    """
    given: Times = np.asarray(times, "datetime64[D]")
    day = (given - given.astype("datetime64[Y]")).astype(np.float64)
    angle = 2 * np.pi * day / 365.25
    return np.sin(angle).astype(np.float32), np.cos(angle).astype(np.float32)
