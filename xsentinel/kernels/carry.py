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
    values : (time, pixel), float32
    dates : (pixel,), int16
        Indices; below 0 for none.
    otherwise : (pixel,), float32
    out : (pixel,), float32
        Written.
    """
    for p in range(dates.size):
        value = values[dates[p], p] if dates[p] >= 0 else otherwise[p]
        out[p] = value if value == value else otherwise[p]
