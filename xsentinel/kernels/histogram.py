"""Statistics of an arbitrarily large band in one pass: histograms that add, and percentiles of them.

uint16 has 65,536 values, so one count for each is the band's whole distribution: percentiles, mean
and deviation of it are exact, and the counts of chunks, files and workers add up in any order.
float32 is counted in 2**20 intervals of equal relative width, with the error stated below.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xsentinel.errors import UnitsError, XSentinelError
from xsentinel.kernels.compiled import compiled
from xsentinel.kernels.threads import over_pixels

Counts = NDArray[np.int64]

N_VALUES = 65_536
"""Values of uint16."""
SKETCH_BITS = 20
"""Sign, exponent and 11 bits of the mantissa: a percentile is off by at most 2**-12 of itself."""
LONGEST = 1 << 30
"""Values counted at most before the 32-bit tables are emptied."""
PART = 1 << 20
"""Values counted at least by a thread at a time: the zeroing and adding of its counts stays below 5 %."""


@dataclass(frozen=True)
class Moments:
    """What a histogram says about all its values at once."""

    n: int
    """Valid values."""
    mean: float
    """In the unit of the levels; NaN if there are none."""
    std: float
    """Population standard deviation (ddof 0)."""
    minimum: float
    """Smallest level with a count."""
    maximum: float
    """Largest level with a count."""


@compiled
def count_values(words: NDArray[np.uint64], counts: Counts) -> None:
    """Add uint16 values, read four at a time, to (65536) counts.

    Four tables in turn: equal neighbours (clouds, nodata) would otherwise wait for one another's store.
    """
    tables = np.zeros((4, N_VALUES), np.uint32)
    t0, t1, t2, t3 = tables[0], tables[1], tables[2], tables[3]
    one, mask = np.uint32(1), np.uint64(0xFFFF)
    for i in range(words.size):
        word = words[i]
        t0[word & mask] += one
        t1[(word >> np.uint64(16)) & mask] += one
        t2[(word >> np.uint64(32)) & mask] += one
        t3[word >> np.uint64(48)] += one
    for v in range(N_VALUES):
        counts[v] += np.int64(t0[v]) + np.int64(t1[v]) + np.int64(t2[v]) + np.int64(t3[v])


@compiled
def add_keys(pattern: NDArray[np.uint32], shift: int, table: NDArray[np.uint32]) -> None:
    """Add float32 bit patterns to (2**(32 - shift) + 8) counts, of which the last eight take the NaN.

    Flipping the sign of positive and all bits of negative patterns makes their order that of the
    floats. NaN goes to eight spare counts in turn, not to wait for one another's store.
    """
    sign, rest, infinite = np.uint32(0x80000000), np.uint32(0x7FFFFFFF), np.uint32(0x7F800000)
    dropped, one, n_bins = np.uint32(shift), np.uint32(1), table.size - 8
    for i in range(pattern.size):
        u = pattern[i]
        key = ~u if u >= sign else u | sign
        table[np.int64(key >> dropped) if u & rest <= infinite else n_bins + (i & 7)] += one


@compiled
def count_keys(pattern: NDArray[np.uint32], shift: int, counts: Counts) -> None:
    """Add float32 bit patterns to (2**(32 - shift)) counts; NaN is left out."""
    table = np.zeros(counts.size + 8, np.uint32)
    add_keys(pattern, shift, table)
    for v in range(counts.size):
        counts[v] += np.int64(table[v])


def _count_all(count: Callable[[NDArray[Any], Counts], None], values: NDArray[Any], counts: Counts, n_threads: int) -> None:
    """Run a counting function over every value of an array, each thread into counts of its own."""
    if not values.flags.c_contiguous:
        # copied in parts, as a whole array might not fit twice, but not in small ones: each has its table to zero
        if values.ndim > 1 and values[0].size >= PART:
            for part in values:
                _count_all(count, part, counts, n_threads)
            return
        values = np.ascontiguousarray(values)
    lock, flat = threading.Lock(), values.reshape(-1)
    if n_threads == 1 and flat.size <= LONGEST:
        count(flat, counts)
        return

    def task(start: int, stop: int) -> None:
        for first in range(start, stop, LONGEST):
            own = np.zeros_like(counts)
            count(flat[first : min(first + LONGEST, stop)], own)
            with lock:
                np.add(counts, own, out=counts)

    over_pixels(task, flat.size, n_threads, step=PART)


def _count_uint16(part: NDArray[np.uint16], counts: Counts) -> None:
    """Count four values at a time, and the up to three left over."""
    whole = part.size // 4 * 4
    count_values(part[:whole].view(np.uint64), counts)
    np.add.at(counts, part[whole:], 1)


def histogram_uint16(values: NDArray[np.uint16], *, nodata: int | None = 0, n_threads: int = 1) -> Counts:
    """Count each value of a band as stored.

    Parameters
    ----------
    values : numpy.ndarray (...), uint16
        Stored numbers of one band, any shape.
    nodata : int, optional
        Value left out.
    n_threads : int
        Threads over the values.

    Returns
    -------
    numpy.ndarray (65536), int64
        Count of each value. Counts of parts add up to the counts of the whole.

    Examples
    --------
    >>> histogram_uint16(np.array([0, 3, 3, 7], np.uint16))[:8]
    array([0, 0, 0, 2, 0, 0, 0, 1])
    """
    if values.dtype != np.uint16:
        raise UnitsError(f"values are {values.dtype}; give uint16, or use sketch_float32 for float32")
    counts = np.zeros(N_VALUES, np.int64)
    _count_all(_count_uint16, values, counts, n_threads)
    if nodata is not None:
        counts[nodata] = 0
    return counts


def sketch_float32(values: NDArray[np.float32], *, bits: int = SKETCH_BITS, n_threads: int = 1) -> Counts:
    r"""Count float32 values in intervals of equal relative width, NaN left out.

    An interval is what the top `bits` bits of the number (sign, 8 of exponent, rest of mantissa) have
    in common. With the middle of an interval for its values, every order statistic, hence every
    percentile p between x_k and x_k+1, is off by at most

    .. math:: |p' - p| \le 2^{-(bits - 8)} \max(|x_k|, |x_{k+1}|, 2^{-126})

    With 20 bits: 0.024 %, or 7e-5 at a reflectance of 0.3.

    Parameters
    ----------
    values : numpy.ndarray (...), float32
        One band, any shape and unit.
    bits : int, 10 to 24
        Bits kept.
    n_threads : int
        Threads over the values.

    Returns
    -------
    numpy.ndarray (2**bits), int64
        Counts, for `sketch_levels`; counts of parts add up to the counts of the whole.

    Examples
    --------
    >>> counts = sketch_float32(np.array([0.5, np.nan, 0.25], np.float32))
    >>> int(counts.sum())
    2
    """
    if values.dtype != np.float32:
        raise UnitsError(f"values are {values.dtype}; give float32, or use histogram_uint16 for uint16")
    if not 10 <= bits <= 24:
        raise XSentinelError(f"bits is {bits}; give 10 to 24")
    counts = np.zeros(1 << bits, np.int64)

    def count(part: NDArray[np.float32], own: Counts) -> None:
        count_keys(part.view(np.uint32), 32 - bits, own)

    _count_all(count, values, counts, n_threads)
    return counts


def sketch_levels(bits: int = SKETCH_BITS) -> NDArray[np.float64]:
    """Return the middle of each interval of `sketch_float32`, (2**bits) float64, increasing."""
    key = np.arange(1 << bits, dtype=np.uint64) << (32 - bits)
    edges = np.stack([key, key + (1 << (32 - bits)) - 1]).astype(np.uint32)
    pattern = np.where(edges >= 0x80000000, edges ^ np.uint32(0x80000000), ~edges)
    pattern = np.where(pattern & 0x7FFFFFFF > 0x7F800000, pattern & np.uint32(0xFF800000), pattern)
    low, high = pattern.astype(np.uint32).view(np.float32).astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(low == high, low, low + 0.5 * (high - low)))


def percentiles_of_counts(counts: Counts, q: ArrayLike, levels: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Return percentiles of counted values, by numpy's default rule ("linear").

    With :math:`h = (n - 1) q / 100`, the percentile lies between the order statistics floor(h) and
    floor(h) + 1, at the fractional part of h (Hyndman and Fan, type 7). Of a uint16 histogram it is
    the very number `numpy.percentile` gives for the valid values.

    Parameters
    ----------
    counts : numpy.ndarray (level), int64
        Of `histogram_uint16` or `sketch_float32`, or sums of these.
    q : array-like (...), percent
        0 to 100.
    levels : numpy.ndarray (level), float64, optional
        Value of each count, increasing; 0, 1, 2, ... if not given. `sketch_levels` for a sketch.

    Returns
    -------
    numpy.ndarray (...), float64
        In the unit of the levels (stored numbers for uint16); NaN if nothing was counted.

    Examples
    --------
    >>> percentiles_of_counts(histogram_uint16(np.array([0, 10, 20], np.uint16)), [0, 50, 100])
    array([10., 15., 20.])
    """
    share = np.true_divide(np.asarray(q, np.float64), 100)
    if not ((share >= 0) & (share <= 1)).all():
        raise XSentinelError(f"q is {q!r}; give percentages from 0 to 100")
    upto = np.cumsum(counts)
    n = int(upto[-1])
    if n == 0:
        return np.full(share.shape, np.nan)
    place = (n - 1) * share
    below = np.floor(place)
    rank = below.astype(np.int64)
    found = [np.searchsorted(upto, np.minimum(k, n - 1), side="right") for k in (rank, rank + 1)]
    low, high = (k.astype(np.float64) if levels is None else levels[k] for k in found)
    return interpolate(low, high, place - below)


def interpolate(low: NDArray[np.float64], high: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate from the nearer end, as numpy does, so that the last bit agrees too."""
    with np.errstate(invalid="ignore"):
        step = high - low
        between = np.where(share < 0.5, low + step * share, high - step * (1 - share))
    return np.asarray(np.where((low == high) | (share == 0), low, between))


def moments_of_counts(counts: Counts, levels: NDArray[np.float64] | None = None) -> Moments:
    """Return number, mean, standard deviation, minimum and maximum of counted values.

    Exact to float64 rounding for a uint16 histogram; of a sketch each is off by no more than one
    value can be (see `sketch_float32`). As counts are integers the answer does not depend on how
    the values were cut in parts.

    Parameters
    ----------
    counts, levels
        As in `percentiles_of_counts`.

    Returns
    -------
    Moments

    Examples
    --------
    >>> moments_of_counts(histogram_uint16(np.array([0, 10, 20], np.uint16)))
    Moments(n=2, mean=15.0, std=5.0, minimum=10.0, maximum=20.0)
    """
    used = np.flatnonzero(counts)
    if used.size == 0:
        return Moments(0, np.nan, np.nan, np.nan, np.nan)
    value = used.astype(np.float64) if levels is None else levels[used]
    share = counts[used].astype(np.float64)
    n = int(counts.sum())
    # fsum rounds once: where the arrays lie in memory, and how numpy adds, change no bit
    mean = math.fsum(share * value) / n
    std = math.sqrt(math.fsum(share * (value - mean) ** 2) / n)
    return Moments(n, mean, std, float(value[0]), float(value[-1]))
