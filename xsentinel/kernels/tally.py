"""What values a band takes and how often: tallies of parts that add up to the tally of the whole."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.histogram import (
    PART,
    SKETCH_BITS,
    add_keys,
    histogram_uint16,
    moments_of_counts,
    percentiles_of_counts,
    sketch_float32,
    sketch_levels,
)

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]

SKETCH_ERROR = 2.0 ** -(SKETCH_BITS - 8)
"""Relative error of a level that stands for floats."""

FEW = 1 << 16
"""Floats that are sorted faster than a million counts are set to zero and searched for the few that are not."""


class Tally(NamedTuple):
    """The values that occur, as stored. Of integers each; of floats the middles of intervals (`sketch_float32`)."""

    levels: Float64
    """(level,), increasing."""
    counts: npt.NDArray[np.int64]
    """(level,), at least 1."""
    least: float
    """Smallest value; inf if there is none."""
    greatest: float
    """Largest value; -inf if there is none."""


class Summary(NamedTuple):
    """What a tally says about all its values at once, as stored."""

    n: int
    """Values."""
    low: float
    """Lower percentile."""
    high: float
    """Upper percentile."""
    mean: float
    std: float
    """Population standard deviation (ddof 0)."""
    minimum: float
    maximum: float


def tally(values: Array, nodata: float = math.nan, *, extremes: bool = False, n_threads: int = 1) -> Tally:
    """Count the values of an array; NaN, infinity and nodata are left out.

    Parameters
    ----------
    values : numpy.ndarray (...), integer or float
    nodata : float
        Stored value of a gap; NaN for none.
    extremes : bool
        Take the least and the greatest of floats exactly, in a further pass, instead of from the levels.
    n_threads : int

    Examples
    --------
    >>> tally(np.array([0, 3, 3, 7], np.uint16), 0)
    Tally(levels=array([3., 7.]), counts=array([2, 1]), least=3.0, greatest=7.0)
    """
    if values.dtype.kind in "iub":
        levels, counts = _count_integers(values, n_threads)
        return _without(levels, counts, levels != nodata)
    floats = values.astype(np.float32, copy=False)
    floats = floats if math.isnan(nodata) else np.where(floats == np.float32(nodata), np.float32(np.nan), floats)
    levels, counts = _count_floats(floats, n_threads)
    found = _without(levels, counts, np.isfinite(levels))
    if not extremes or not found.counts.size:
        return found
    if found.counts.size < counts.size:
        floats = floats[np.isfinite(floats)]
    return found._replace(least=float(np.fmin.reduce(floats, axis=None)), greatest=float(np.fmax.reduce(floats, axis=None)))


def _without(levels: Float64, counts: npt.NDArray[np.int64], keep: npt.NDArray[np.bool_]) -> Tally:
    levels, counts = levels[keep], counts[keep]
    return Tally(levels, counts, float(np.min(levels, initial=np.inf)), float(np.max(levels, initial=-np.inf)))


def _count_integers(values: Array, n_threads: int) -> tuple[Float64, npt.NDArray[np.int64]]:
    """Count integers: of up to 16 bits by a histogram, wider ones by sorting."""
    if values.dtype.itemsize > 2:
        wide, counts = np.unique(values, return_counts=True)
        return wide.astype(np.float64), counts.astype(np.int64)
    signed = values.dtype.kind == "i"
    # signed numbers with their first bit flipped are unsigned ones in the same order
    words: npt.NDArray[np.uint16] = (
        np.ascontiguousarray(values, np.int16).view(np.uint16) ^ np.uint16(0x8000) if signed else values.astype(np.uint16, copy=False)
    )
    counts = histogram_uint16(words, nodata=None, n_threads=n_threads)
    used = np.flatnonzero(counts)
    return used.astype(np.float64) - (0x8000 if signed else 0), counts[used]


def _count_floats(values: npt.NDArray[np.float32], n_threads: int) -> tuple[Float64, npt.NDArray[np.int64]]:
    """Count floats in the intervals of the sketch."""
    if FEW < values.size <= PART:
        return _count_in_scratch(np.ascontiguousarray(values).reshape(-1))
    if values.size > FEW:
        counts = sketch_float32(values, n_threads=n_threads)
        used = np.flatnonzero(counts)
        return _levels()[used], counts[used]
    pattern = np.ascontiguousarray(values[values == values]).view(np.uint32)
    keys = np.where(pattern >> np.uint32(31), ~pattern, pattern | np.uint32(0x80000000)) >> np.uint32(32 - SKETCH_BITS)
    used, n = np.unique(keys, return_counts=True)
    return _levels()[used], n.astype(np.int64)


_scratch = threading.local()


def _count_in_scratch(values: npt.NDArray[np.float32]) -> tuple[Float64, npt.NDArray[np.int64]]:
    """Count the floats of a block in a table that its thread keeps: fresh pages would take longer than the counting."""
    table = getattr(_scratch, "table", None)
    if table is None:
        table = _scratch.table = np.zeros((1 << SKETCH_BITS) + 8, np.uint32)
    add_keys(values.view(np.uint32), 32 - SKETCH_BITS, table)
    used = np.flatnonzero(table[:-8])
    counts = table[used].astype(np.int64)
    table[used], table[-8:] = 0, 0
    return _levels()[used], counts


@lru_cache(maxsize=1)
def _levels() -> Float64:
    return sketch_levels()


def add_tallies(tallies: Sequence[Tally]) -> Tally:
    """Give the tally of several parts together.

    Examples
    --------
    >>> part = tally(np.array([3, 7], np.uint16))
    >>> add_tallies([part, part]).counts
    array([2, 2])
    """
    levels = np.concatenate([t.levels for t in tallies])
    counts = np.concatenate([t.counts for t in tallies])
    order = np.argsort(levels, kind="stable")
    levels, counts = levels[order], counts[order]
    starts = np.flatnonzero(np.diff(levels, prepend=np.nan) != 0)
    total = np.add.reduceat(counts, starts) if starts.size else counts
    return Tally(levels[starts], total, min(t.least for t in tallies), max(t.greatest for t in tallies))


def summarise(found: Tally, lower: float, upper: float) -> Summary:
    """Give number, percentiles (numpy's rule) and moments; all but the number NaN if nothing was counted.

    Examples
    --------
    >>> summarise(tally(np.array([0, 10, 20], np.uint16)), 0, 50)
    Summary(n=3, low=0.0, high=10.0, mean=10.0, std=8.16496580927726, minimum=0.0, maximum=20.0)
    """
    n = int(found.counts.sum())
    if n == 0:
        return Summary(0, *[math.nan] * 6)
    low, high = (float(v) for v in percentiles_of_counts(found.counts, [lower, upper], found.levels))
    # the ends may be known better than by their levels
    low, high = (found.least if lower == 0 else max(low, found.least)), (found.greatest if upper == 100 else min(high, found.greatest))
    moments = moments_of_counts(found.counts, found.levels)
    return Summary(n, low, high, moments.mean, moments.std, found.least, found.greatest)


def join_summaries(parts: Sequence[Summary]) -> Summary:
    """Join the summaries of several images: the least lower and the greatest upper percentile, moments of all.

    Examples
    --------
    >>> dark, bright = (summarise(tally(np.array(v, np.uint16)), 0, 100) for v in ([1, 3], [5, 7]))
    >>> join_summaries([dark, bright])
    Summary(n=4, low=1.0, high=7.0, mean=4.0, std=2.23606797749979, minimum=1.0, maximum=7.0)
    """
    seen = [p for p in parts if p.n]
    if len(seen) < 2:
        return seen[0] if seen else parts[0]
    n = sum(p.n for p in seen)
    mean = math.fsum(p.n * p.mean for p in seen) / n
    square = math.fsum(p.n * (p.std**2 + (p.mean - mean) ** 2) for p in seen) / n
    ends = min(p.minimum for p in seen), max(p.maximum for p in seen)
    return Summary(n, min(p.low for p in seen), max(p.high for p in seen), mean, math.sqrt(square), *ends)
