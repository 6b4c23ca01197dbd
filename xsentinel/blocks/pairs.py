"""Pairs of classes of two maps, counted block by block."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.blocks.reduce import Reduction, reduce_blocks
from xsentinel.kernels.confusion import Pairs, add_pairs, count_pairs
from xsentinel.kernels.threads import n_cores

Objects = npt.NDArray[np.object_]


def count_maps(first: Any, second: Any) -> Pairs:
    """Count the pairs of values of two arrays of one shape; of lazy ones in one pass, a pair of blocks at a time.

    Parameters
    ----------
    first, second : numpy.ndarray or dask.array.Array, of one shape, of one to three dimensions

    Examples
    --------
    >>> count_maps(np.array([1, 1, 2], np.uint8), np.array([1, 1, 3], np.uint8)).counts
    array([2, 1])
    """
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return count_pairs(first, second, n_threads=n_cores())
    import dask.array as da

    like = first if hasattr(first, "dask") else second
    together = [da.asarray(array).rechunk(like.chunks) for array in (first, second)]
    ones = tuple((1,) * len(sizes) for sizes in like.chunks)
    parts = da.map_blocks(_part, *together, dtype=object, chunks=ones, meta=np.empty((0,) * like.ndim, object))
    ((found,),) = reduce_blocks([parts[(None,) * (3 - like.ndim)]], [Reduction(_merge, add_pairs, _itself)])
    return found  # type: ignore[no-any-return]


def _part(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> Objects:
    """Give the pairs of a block as an array of one object."""
    part = np.empty((1,) * first.ndim, object)
    part.flat[0] = count_pairs(first, second)
    return part


def _merge(parts: Objects, n_threads: int) -> Pairs:
    return add_pairs(parts.ravel().tolist())


def _itself(part: Pairs) -> Pairs:
    return part
