"""Marks of a growing season: start, peak and end of a series, by a share of its amplitude."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.compiled import compiled
from xsentinel.kernels.threads import over_pixels

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

MARKS = ("start", "peak", "end", "length", "base", "maximum", "amplitude", "integral")
"""What `season_marks` gives, in order."""


@compiled
def gather_seen(series: Float32, first: int, last: int, places: Array) -> int:
    """Write the places first … last − 1 that hold a value, and return how many."""
    n = 0
    for k in range(first, last):
        if np.isfinite(series[k]):
            places[n] = k
            n += 1
    return n


@compiled
def crossing(series: Float32, days: Float64, inner: int, outer: int, level: float) -> Any:
    """Give the day at which the line from one date to another crosses a level."""
    rise = np.float64(series[inner]) - series[outer]
    return days[inner] + (days[outer] - days[inner]) * (series[inner] - level) / rise


@compiled
def flank(series: Float32, days: Float64, places: Array, peak: int, step: int, stop: int, share: float) -> tuple[float, float]:
    """Walk down from the peak, places peak, peak + step … before stop; give the lowest value and the day that crosses a share."""
    lowest = np.float64(series[places[peak]])
    for k in range(peak, stop, step):
        lowest = min(lowest, np.float64(series[places[k]]))
    level = lowest + share * (series[places[peak]] - lowest)
    for k in range(peak + step, stop, step):
        if series[places[k]] < level:
            return lowest, crossing(series, days, places[k - step], places[k], level)
    return lowest, np.nan


@compiled
def area_between(series: Float32, days: Float64, places: Array, n: int, start: float, end: float) -> Any:
    """Integrate the line through the values from one day to another."""
    total = 0.0
    for k in range(n - 1):
        a, b = days[places[k]], days[places[k + 1]]
        low, high = max(a, start), min(b, end)
        if high > low:
            slope = (np.float64(series[places[k + 1]]) - series[places[k]]) / (b - a)
            middle = (low + high) / 2
            total += (high - low) * (series[places[k]] + slope * (middle - a))
    return total


@compiled
def marks_of(series: Float32, days: Float64, edges: Array, share: float, least: float, first: int, last: int, out: Float64) -> None:
    """Write the `MARKS` of series first … last − 1 in each season, (series, season, 8); series (series, time)."""
    places = np.empty(series.shape[1], np.int64)
    for i in range(first, last):
        for s in range(len(edges) - 1):
            out[i, s] = np.nan
            n = gather_seen(series[i], edges[s], edges[s + 1], places)
            if n < 3:
                continue
            top = 0
            for k in range(1, n):
                if series[i, places[k]] > series[i, places[top]]:
                    top = k
            before, start = flank(series[i], days, places, top, -1, -1, share)
            after, end = flank(series[i], days, places, top, 1, n, share)
            base, maximum = (before + after) / 2, np.float64(series[i, places[top]])
            if maximum - base < least or maximum == base:
                continue
            out[i, s, 0], out[i, s, 1], out[i, s, 2], out[i, s, 3] = start, days[places[top]], end, end - start
            out[i, s, 4], out[i, s, 5], out[i, s, 6] = base, maximum, maximum - base
            if start == start and end == end:
                out[i, s, 7] = area_between(series[i], days, places, n, start, end)


def season_marks(series: Float32, days: Float64, edges: Array, share: float = 0.2, least: float = 0.0, n_threads: int = 1) -> Float64:
    r"""Give start, peak, end and size of the largest rise of each series in each season.

    From the peak down to each side, the season begins (ends) where the series falls below
    :math:`b + s\,(x_{max} - b)`, b the lowest value on that side: the share s of its amplitude, on the line between dates.

    Parameters
    ----------
    series : (series, time), float32
        NaN where nothing was seen.
    days : (time,), float64
        Rising.
    edges : (season + 1,), int
        First date of each season, and one behind the last of the last.
    share : float
        0 … 1.
    least : float
        Amplitude below which there is no season.
    n_threads : int

    Returns
    -------
    (series, season, 8), float64
        start, peak, end (days), length (days), base (mean of the lowest values before and after), maximum, amplitude, integral
        from start to end (value × days). All NaN without a season; start or end NaN if the series does not fall so far.

    Examples
    --------
    >>> season_marks(np.array([[0, 0, 2, 0, 0]], np.float32), np.arange(5) * 10.0, np.array([0, 5]), 0.5)[0, 0, :4].tolist()
    [15.0, 20.0, 25.0, 10.0]
    """
    out = np.empty((len(series), len(edges) - 1, len(MARKS)))
    over_pixels(lambda a, b: marks_of(series, days, edges, share, least, a, b, out), len(series), n_threads, 4096)
    return out
