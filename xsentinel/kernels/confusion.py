"""Pairs of classes and how often they occur: counts of parts that add up to those of the whole, and their scores."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.compiled import compiled
from xsentinel.kernels.threads import over_pixels

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]


class Pairs(NamedTuple):
    """The pairs of values that occur at the same place of two layers, in increasing order."""

    first: Array
    """(pair,), int64, or float64 where the layer holds floats; NaN for all that is NaN."""
    second: Array
    """(pair,), likewise."""
    counts: Int64
    """(pair,), at least 1."""


class Scores(NamedTuple):
    """How well classes agree; each (class,), NaN where nothing says."""

    producers_accuracy: Float64
    """Share of the reference of a class that is mapped as it (recall); NaN without reference."""
    users_accuracy: Float64
    """Share of what is mapped as a class that is it (precision); NaN if none is mapped so."""
    f1: Float64
    """Harmonic mean of the two, 2 n_kk / (n_k. + n_.k): 0 of a class that is never found; NaN without reference."""
    support: Int64
    """Count of the reference."""


@compiled
def count_bytes(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8], start: int, stop: int, tables: Int64) -> None:
    """Add the pairs of a range to four tables in turn: runs of one pair would wait for each other in one."""
    for i in range(start, stop):
        tables[i & 3, (np.intp(first[i]) << 8) | np.intp(second[i])] += 1


def count_pairs(first: Array, second: Array, *, n_threads: int = 1) -> Pairs:
    """Count which values of two layers stand at the same place.

    Parameters
    ----------
    first, second : numpy.ndarray (...), integer, bool or float, of one shape
        Layers of uint8 are counted in tables, others by sorting.
    n_threads : int

    Examples
    --------
    >>> count_pairs(np.array([1, 1, 2], np.uint8), np.array([1, 1, 3], np.uint8))
    Pairs(first=array([1, 2]), second=array([1, 3]), counts=array([2, 1]))
    """
    if first.dtype == np.uint8 and second.dtype == np.uint8:
        return _count_bytes(np.ascontiguousarray(first).reshape(-1), np.ascontiguousarray(second).reshape(-1), n_threads)
    return _sorted(first, second, np.ones(first.size, np.int64))


def _sorted(first: Array, second: Array, counts: Int64) -> Pairs:
    """Bring equal pairs together."""
    (a, rows), (b, columns) = _levels(first), _levels(second)
    keys, places = np.unique(rows * b.size + columns, return_inverse=True)
    total = np.zeros(keys.size, np.int64)
    np.add.at(total, places, counts)
    return Pairs(a[keys // max(b.size, 1)], b[keys % max(b.size, 1)], total)


def _levels(layer: Array) -> tuple[Array, Int64]:
    """Give the values that occur, and the place of each pixel's among them."""
    wide = np.float64 if layer.dtype.kind == "f" else np.int64
    levels, places = np.unique(layer.reshape(-1), return_inverse=True)
    return levels.astype(wide), places.astype(np.int64)


def _count_bytes(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8], n_threads: int) -> Pairs:
    total, lock = np.zeros(1 << 16, np.int64), Lock()

    def run(start: int, stop: int) -> None:
        tables = np.zeros((4, 1 << 16), np.int64)
        count_bytes(first, second, start, stop, tables)
        with lock:
            np.add(total, tables.sum(0), out=total)

    over_pixels(run, first.size, n_threads)
    used = np.flatnonzero(total)
    return Pairs(used >> 8, used & 255, total[used])


def add_pairs(parts: Sequence[Pairs]) -> Pairs:
    """Give the pairs of several parts together.

    Examples
    --------
    >>> part = count_pairs(np.array([1, 2]), np.array([1, 3]))
    >>> add_pairs([part, part]).counts
    array([2, 2])
    """
    first, second, counts = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return _sorted(first, second, counts)


def score_classes(confusion: Array) -> Scores:
    """Score the classes of a confusion matrix.

    Parameters
    ----------
    confusion : numpy.ndarray (reference, predicted), counts

    Examples
    --------
    >>> score_classes(np.array([[3, 1], [0, 0]])).f1
    array([0.857..., nan])
    """
    reference, predicted, right = confusion.sum(1), confusion.sum(0), np.diagonal(confusion)
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = np.where(reference > 0, 2 * right / (reference + predicted), np.nan)
        return Scores(right / reference, right / predicted, f1, reference.astype(np.int64))


def overall_accuracy(confusion: Array) -> float:
    """Give the share on the diagonal; NaN of no counts.

    Examples
    --------
    >>> overall_accuracy(np.array([[3, 1], [0, 0]]))
    0.75
    """
    n = float(confusion.sum())
    return float(np.trace(confusion)) / n if n else float("nan")


def kappa(confusion: Array) -> float:
    """Give Cohen's (1960) kappa, (p_o - p_e) / (1 - p_e); NaN if chance alone agrees always.

    Examples
    --------
    >>> round(kappa(np.array([[20, 5], [10, 15]])), 6)
    0.4
    """
    n = float(confusion.sum())
    if not n:
        return float("nan")
    chance = float(confusion.sum(1) @ (confusion.sum(0) / n)) / n
    return (overall_accuracy(confusion) - chance) / (1 - chance) if chance < 1 else float("nan")
