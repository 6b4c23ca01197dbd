"""Functions of a neighbourhood over numpy or dask arrays: the only overlap in the package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.blocks.plan import align_chunks

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Tiling:
    """What a function of (..., y, x) blocks needs around it and makes of their size."""

    dtype: Any
    """Of the result."""
    halo: int = 0
    """Pixels of neighbourhood on each side; a multiple of ``coarsen``."""
    coarsen: int = 1
    """Input pixels an output pixel along y and x; blocks start at multiples of it."""
    refine: int = 1
    """Output pixels an input pixel along y and x."""


def map_tiles(function: Callable[[Array], Array], data: Any, tiling: Tiling) -> Any:
    """Apply a function to (..., y, x) data: at once to numpy, block by block to dask.

    At the edge of the scene a block gets no halo and the function sees the edge itself; between blocks
    it sees ``halo`` true pixels, whose results are cut off. So the result is the same for any chunking.

    Parameters
    ----------
    function : callable
        (..., y, x) → (..., y · refine / coarsen rounded up, x · …), of ``tiling.dtype``.
    data : numpy.ndarray or dask.array.Array, (..., y, x)
    tiling : Tiling
    """
    if isinstance(data, np.ndarray):
        return function(data)
    import dask.array as da

    y, x = data.ndim - 2, data.ndim - 1
    stride, halo = tiling.coarsen, tiling.halo
    aligned = data.rechunk({d: align_chunks(data.chunks[d], stride, max(halo, stride)) for d in (y, x)})
    # one block along a dimension has no neighbour there, and may be shorter than the halo
    depth = {d: halo if len(aligned.chunks[d]) > 1 else 0 for d in (y, x)}
    padded = da.overlap.overlap(aligned, depth, "none", allow_rechunk=False)
    chunks = tuple(c if d < y else tuple(_size(n, tiling) for n in c) for d, c in enumerate(padded.chunks))
    done = padded.map_blocks(function, dtype=tiling.dtype, chunks=chunks, meta=np.empty((0,) * data.ndim, tiling.dtype))
    cut = {d: n * tiling.refine // tiling.coarsen for d, n in depth.items()}
    return da.overlap.trim_overlap(done, cut, "none")


def _size(n: int, tiling: Tiling) -> int:
    return -(-n * tiling.refine // tiling.coarsen)
