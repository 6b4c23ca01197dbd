"""Reductions of whole cubes over numpy or dask arrays: parts of blocks, added up in a tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.threads import n_cores

Array = npt.NDArray[Any]
Objects = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Reduction:
    """How blocks become an answer: count each, merge the parts, finish what is merged."""

    count: Callable[[Array, int], Any]
    """(block, n_threads) → part; small, for many parts wait to be merged."""
    merge: Callable[[list[Any]], Any]
    """Parts → part, in any order and grouping."""
    finish: Callable[[Any], Any]
    """Part of the whole → answer."""
    by_date: bool = False
    """One answer for each entry of the first dimension, instead of one for all."""

    @property
    def axes(self) -> tuple[int, ...]:
        """The dimensions of (time, y, x) that are reduced."""
        return (1, 2) if self.by_date else (0, 1, 2)

    def count_block(self, block: Array, n_threads: int = 1, **_: object) -> Objects:
        """Give the parts of a block as (date or 1, 1, 1)."""
        parts = [block[t : t + 1] for t in range(block.shape[0])] if self.by_date else [block]
        return _packed([self.count(part, n_threads) for part in parts])

    def merge_parts(self, nested: Any, **_: object) -> Objects:
        """Merge nested lists of parts, entry by entry."""
        parts = _flat(nested)
        return _packed([self.merge(list(together)) for together in zip(*(p.flat for p in parts), strict=True)])

    def finish_parts(self, nested: Any, **_: object) -> Objects:
        """Merge for the last time and finish."""
        return _packed([self.finish(part) for part in self.merge_parts(nested).flat])


def reduce_blocks(arrays: Sequence[Any], reductions: Sequence[Reduction]) -> list[list[Any]]:
    """Reduce each array by its reduction; dask arrays all in one pass, so that what they share is read once.

    Parts are merged in a tree of at most eight branches, as soon as they are there: what is in memory
    grows with the logarithm of the number of blocks.

    Parameters
    ----------
    arrays : sequence of numpy.ndarray or dask.array.Array, (time, y, x)
    reductions : sequence of Reduction
        One an array.

    Returns
    -------
    list of lists
        The answers of each array: one a date, or one.

    Examples
    --------
    >>> total = Reduction(lambda block, n_threads: int(block.sum()), sum, lambda part: part)
    >>> reduce_blocks([np.ones((2, 3, 4))], [total])
    [[24]]
    """
    answers: list[Any] = []
    for array, reduction in zip(arrays, reductions, strict=True):
        if isinstance(array, np.ndarray):
            answers.append(reduction.finish_parts([reduction.count_block(array, n_cores())]))
        else:
            answers.append(_lazy(array, reduction))
    if any(not isinstance(a, np.ndarray) for a in answers):
        from dask.base import compute

        answers = list(compute(*answers))
    return [list(answer.flat) for answer in answers]


def _lazy(array: Any, reduction: Reduction) -> Any:
    import dask.array as da

    return da.reduction(
        array,
        chunk=reduction.count_block,
        combine=reduction.merge_parts,
        aggregate=reduction.finish_parts,
        axis=reduction.axes,
        keepdims=True,
        dtype=object,
        concatenate=False,
        meta=np.empty((0, 0, 0), object),
        split_every=dict.fromkeys(reduction.axes, 2),
    )


def _packed(parts: list[Any]) -> Objects:
    """Put objects into an array (object, 1, 1), which dask can carry."""
    packed = np.empty((len(parts), 1, 1), object)
    for i, part in enumerate(parts):
        packed[i, 0, 0] = part
    return packed


def _flat(nested: Any) -> list[Objects]:
    """Flatten what dask hands over: one array, or lists of lists of them."""
    if isinstance(nested, np.ndarray):
        return [nested]
    return [array for inner in nested for array in _flat(inner)]
