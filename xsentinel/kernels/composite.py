"""Composites of one band over groups of dates: median and mean.

Every function reduces (time, pixel) to (group, pixel). Gaps are NaN in float32 and ``nodata`` in uint16; a group
without data is NaN and counts 0 observations.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.compiled import compiled
from xsentinel.kernels.observations import (
    Composite,
    Encoding,
    Float32,
    Int64,
    UInt16,
    Values,
    dates_of_groups,
    encoding_of,
)
from xsentinel.kernels.selection import median_network
from xsentinel.kernels.threads import over_pixels

BLOCK_PIXELS = 512  # rows of a month of float32 take 14 KiB of the 32 to 48 KiB of L1


@compiled
def fill_rows(values: Values, dates: Int64, encoding: Encoding, start: int, rows: Values, gaps: UInt16) -> None:
    """Copy dates to rows, gaps filled in turn with the greatest and the least value, and count gaps."""
    nodata, least, greatest = encoding.nodata, encoding.least, encoding.greatest
    width = gaps.size
    for p in range(width):
        gaps[p] = 0
    for k in range(dates.size):
        source = values[dates[k], start : start + width]
        row = rows[k]
        for p in range(width):
            value = source[p]
            gap = (value != value) | (value == nodata)
            n_gaps = gaps[p]
            filled = least if n_gaps & 1 else greatest
            row[p] = filled if gap else value
            gaps[p] = n_gaps + 1 if gap else n_gaps


@compiled
def compare_rows(rows: Values, network: Int64, width: int) -> None:
    """Apply comparators (smaller row, larger row, use) in place; write only what is used."""
    for c in range(network.shape[0]):
        small, large, use = rows[network[c, 0]], rows[network[c, 1]], network[c, 2]
        if use == 3:
            for p in range(width):
                x, y = small[p], large[p]
                small[p] = x if x < y else y
                large[p] = y if x < y else x
        elif use == 1:
            for p in range(width):
                x, y = small[p], large[p]
                small[p] = x if x < y else y
        else:
            for p in range(width):
                x, y = small[p], large[p]
                large[p] = y if x < y else x


@compiled
def middle_of_rows(rows: Values, encoding: Encoding, out: Float32, gaps: UInt16) -> None:
    """Write the median of selected rows as reflectance, and turn the count of gaps into that of values."""
    n = rows.shape[0]
    low, high = rows[max((n - 1) // 2 - n % 2, 0)], rows[n // 2]
    # an odd number of values has its median in the upper row if the number of dates is odd, else in the lower
    single = high if n % 2 else low
    scale, offset = encoding.scale, encoding.offset
    half = np.float32(0.5)
    for p in range(out.size):
        n_obs = n - gaps[p]
        pair = half * np.float32(low[p]) + half * np.float32(high[p])
        median = np.float32(single[p]) if n_obs & 1 else pair
        out[p] = median * scale + offset if n_obs > 0 else np.float32(np.nan)
        gaps[p] = n_obs


@compiled
def reduce_median(
    values: Values, dates: Int64, network: Int64, encoding: Encoding, start: int, stop: int, out: Float32, n_obs: UInt16
) -> None:
    """Reduce the dates of one group to their median.

    Parameters
    ----------
    values : numpy.ndarray (time, pixel), float32 or uint16
        Stored values.
    dates : numpy.ndarray (date of the group,), int64
        Indices along time, at least one.
    network : numpy.ndarray (comparator, 3), int64
        ``median_network(dates.size)``.
    encoding : Encoding
        Of values.
    start, stop : int
        Pixels to reduce.
    out : numpy.ndarray (pixel,), float32, reflectance [1]
        Written.
    n_obs : numpy.ndarray (pixel,), uint16
        Written: number of valid dates.
    """
    rows = np.empty((dates.size, BLOCK_PIXELS), values.dtype)
    for first in range(start, stop, BLOCK_PIXELS):
        last = min(first + BLOCK_PIXELS, stop)
        fill_rows(values, dates, encoding, first, rows, n_obs[first:last])
        compare_rows(rows, network, last - first)
        middle_of_rows(rows, encoding, out[first:last], n_obs[first:last])


@compiled
def reduce_mean(values: Values, dates: Int64, encoding: Encoding, start: int, stop: int, out: Float32, n_obs: UInt16) -> None:
    """Reduce the dates of one group to their mean; parameters as in ``reduce_median``."""
    nodata, scale, offset = encoding.nodata, encoding.scale, encoding.offset
    for first in range(start, stop, BLOCK_PIXELS):
        last = min(first + BLOCK_PIXELS, stop)
        total, count = out[first:last], n_obs[first:last]
        total[:] = np.float32(0)
        count[:] = 0
        for k in range(dates.size):
            source = values[dates[k], first:last]
            for p in range(total.size):
                value = source[p]
                gap = (value != value) | (value == nodata)
                total[p] += np.float32(0) if gap else np.float32(value)
                count[p] += 0 if gap else 1
        for p in range(total.size):
            # without data 0 / 0 gives the NaN that is due
            total[p] = total[p] / np.float32(count[p]) * scale + offset


def _compose_band(
    values: Values,
    groups: Sequence[Int64],
    reduce_group: Callable[[Int64, int, int, Float32, UInt16], None],
    n_threads: int,
) -> Composite:
    """Reduce each group, range by range; groups without dates are filled."""
    shape = len(groups), values.shape[1]
    # left empty so that each thread is the first to touch its own pages: filled here they took a tenth of the time
    out, n_obs = np.empty(shape, np.float32), np.empty(shape, np.uint16)

    def task(start: int, stop: int) -> None:
        for group, dates in enumerate(groups):
            if dates.size:
                reduce_group(dates, start, stop, out[group], n_obs[group])
            else:
                out[group, start:stop], n_obs[group, start:stop] = np.nan, 0

    over_pixels(task, values.shape[1], n_threads, step=BLOCK_PIXELS)
    return Composite(out, n_obs)


def compose_median(
    values: Values,
    groups: npt.ArrayLike,
    n_groups: int,
    *,
    nodata: float | None = None,
    scale: float = 1.0,
    offset: float = 0.0,
    n_threads: int = 1,
) -> Composite:
    """Reduce each group of dates to the median of its valid values.

    An even number of values gives the mean of the middle two. uint16 is selected as integers; only the result is
    turned into reflectance.

    Parameters
    ----------
    values : numpy.ndarray (time, pixel), float32 or uint16
        Stored values, C-contiguous.
    groups : array_like (time,), int
        Group of each date, 0 to n_groups - 1; -1 for a date not used.
    n_groups : int
        Number of groups.
    nodata : float, optional
        Stored value of a gap beside NaN; 0 for uint16 unless given.
    scale, offset : float, reflectance [1]
        reflectance = stored * scale + offset.
    n_threads : int
        Number of threads.

    Returns
    -------
    Composite
        values (group, pixel), float32, reflectance [1]; n_obs (group, pixel), uint16.

    Examples
    --------
    >>> stored = np.array([[100], [0], [300], [200]], np.uint16)
    >>> compose_median(stored, [0, 0, 0, 1], 2, scale=1e-4).values.ravel().tolist()
    [0.019999999552965164, 0.019999999552965164]
    """
    encoding = encoding_of(values, nodata, scale, offset)

    def reduce_group(dates: Int64, start: int, stop: int, out: Float32, n_obs: UInt16) -> None:
        reduce_median(values, dates, median_network(dates.size), encoding, start, stop, out, n_obs)

    return _compose_band(values, dates_of_groups(groups, len(values), n_groups), reduce_group, n_threads)


def compose_mean(
    values: Values,
    groups: npt.ArrayLike,
    n_groups: int,
    *,
    nodata: float | None = None,
    scale: float = 1.0,
    offset: float = 0.0,
    n_threads: int = 1,
) -> Composite:
    """Reduce each group of dates to the mean of its valid values; see ``compose_median`` for the rest.

    Examples
    --------
    >>> stored = np.array([[100], [0], [400], [200]], np.uint16)
    >>> compose_mean(stored, [0, 0, 0, 1], 2).values.ravel().tolist()
    [250.0, 200.0]
    """
    encoding = encoding_of(values, nodata, scale, offset)

    def reduce_group(dates: Int64, start: int, stop: int, out: Float32, n_obs: UInt16) -> None:
        reduce_mean(values, dates, encoding, start, stop, out, n_obs)

    return _compose_band(values, dates_of_groups(groups, len(values), n_groups), reduce_group, n_threads)
