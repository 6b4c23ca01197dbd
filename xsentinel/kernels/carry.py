"""The last two clear dates of each pixel, carried on to every date."""

from __future__ import annotations

from typing import Any

import numpy as np

from xsentinel.kernels.compiled import compiled

_jit: Any = compiled  # Any: the functions below carry no types, blocks call them


@_jit
def carry(values, days, max_age, last, before):
    """Write for each date which clear date was the last before it, and which the one before that; −1 for none.

    Dates go by, each pixel keeping two numbers: all pixels of a date at once, which lie side by side in memory.

    Parameters
    ----------
    values : (time, pixel), float32
        NaN where a pixel was not clear.
    days : (time,), float64
        Rising.
    max_age : float
        Days between a date and those carried on to it, at the most.
    last, before : (time, pixel), int16
        Written: indices of dates.
    """
    n_times, n_pixels = values.shape
    one, two = np.full(n_pixels, -1, np.int16), np.full(n_pixels, -1, np.int16)
    for t in range(n_times):
        oldest = np.int16(0)
        while days[t] - days[oldest] > max_age:
            oldest += np.int16(1)
        for p in range(n_pixels):
            last[t, p] = one[p] if one[p] >= oldest else np.int16(-1)
            before[t, p] = two[p] if two[p] >= oldest else np.int16(-1)
        now = np.int16(t)
        for p in range(n_pixels):
            seen = values[t, p] == values[t, p]
            two[p] = one[p] if seen else two[p]
            one[p] = now if seen else one[p]


@_jit
def take_dates(values, dates, otherwise, out):
    """Write each pixel's value at a date of its own, another where there is no date or no value.

    Parameters
    ----------
    values : (time, y, x), float32
    dates : (y, x), int16
        Indices; below 0 for none.
    otherwise : (y, x), float32
    out : (y, x), float32
        Written.
    """
    for i in range(dates.shape[0]):
        for j in range(dates.shape[1]):
            value = values[dates[i, j], i, j] if dates[i, j] >= 0 else otherwise[i, j]
            out[i, j] = value if value == value else otherwise[i, j]


@_jit
def days_since(values, days, out):
    """Write how long ago each pixel was last seen, 0 where it is seen, NaN before it ever was.

    Parameters
    ----------
    values : (time, pixel), float32
        NaN where a pixel was not seen.
    days : (time,), float64
        Rising.
    out : (time, pixel), float32
        Written.
    """
    seen = np.full(values.shape[1], np.nan)
    for t in range(values.shape[0]):
        for p in range(seen.size):
            seen[p] = days[t] if values[t, p] == values[t, p] else seen[p]
            out[t, p] = days[t] - seen[p]
