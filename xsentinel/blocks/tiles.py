"""Functions of a neighbourhood over numpy or dask arrays: the only overlap in the package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.blocks.plan import align_chunks

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Margins:
    """How many pixels of its neighbours a block brings along on each side: 0 at the edge of the scene."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0


Trimming = Callable[..., Array]
"""(*blocks, margins=Margins) → (..., y, x): a function of blocks with margins that gives its answer without them."""


@dataclass(frozen=True)
class Tiling:
    """What a function of (..., y, x) blocks needs around it and makes of their size."""

    dtype: Any
    """Of the result."""
    halo: int = 0
    """Pixels of neighbourhood on each side; a multiple of ``coarsen`` and ``stride``."""
    coarsen: int = 1
    """Input pixels an output pixel along y and x; blocks start at multiples of it."""
    refine: int = 1
    """Output pixels an input pixel along y and x."""
    stride: int = 1
    """Blocks start at its multiples."""
    least: int = 1
    """Pixels along a side below which a chunk is joined to its neighbour: its halo would be most of its work."""
    leading: tuple[int, ...] | None = None
    """Sizes of the result before y and x, one chunk each; None: as the input. −1 stands for the chunks of the input."""


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
    return map_trimming(_Trim(function, tiling), [data], tiling)


def map_trimming(function: Trimming, arrays: Sequence[Any], tiling: Tiling) -> Any:
    """Apply a function that cuts the margins off by itself, so that it need not work on what is cut.

    Parameters
    ----------
    function : Trimming
        Blocks of the arrays with their margins → the block without.
    arrays : sequence of arrays in memory or dask.array.Array, (..., y, x)
        The first says how blocks are cut; the others have the same dimensions, or 1 where they do not vary.
        Dask if the first is.
    tiling : Tiling
    """
    first = arrays[0]
    if not hasattr(first, "dask"):
        return function(*arrays, margins=Margins())
    import dask.array as da

    y, x = first.ndim - 2, first.ndim - 1
    step = int(np.lcm(tiling.coarsen, tiling.stride))
    aligned = {d: align_chunks(first.chunks[d], step, max(tiling.halo, step, tiling.least)) for d in (y, x)}
    # one block along a dimension has no neighbour there, and may be shorter than the halo
    depth = {d: tiling.halo if len(aligned[d]) > 1 else 0 for d in (y, x)}
    chunks = (*first.chunks[:y], aligned[y], aligned[x])
    padded = [_padded(a, chunks, depth) for a in arrays]
    run = _Placed(function, (depth[y], depth[x]), (len(aligned[y]), len(aligned[x])))
    leading = tiling.leading or (-1,) * y
    sizes = tuple(c if n < 0 else (n,) for n, c in zip(leading, first.chunks[:y], strict=True))
    sizes += tuple(tuple(_size(n, tiling) for n in aligned[d]) for d in (y, x))
    return da.map_blocks(run, *padded, dtype=tiling.dtype, chunks=sizes, meta=np.empty((0,) * len(sizes), tiling.dtype))


def _padded(array: Any, chunks: tuple[tuple[int, ...], ...], depth: dict[int, int]) -> Any:
    """Rechunk as planned, dimensions of size 1 apart, and bring the neighbours' margins to each block."""
    import dask.array as da

    own = {d: depth[d] if array.shape[d] > 1 else 0 for d in depth}
    fitting = da.asarray(array).rechunk(tuple(c if n > 1 else (1,) for n, c in zip(array.shape, chunks, strict=True)))
    return da.overlap.overlap(fitting, own, "none", allow_rechunk=False) if any(own.values()) else fitting


def _size(n: int, tiling: Tiling) -> int:
    return -(-n * tiling.refine // tiling.coarsen)


@dataclass(frozen=True)
class _Placed:
    """A trimming function that is told its margins by the place of its block."""

    function: Trimming
    depth: tuple[int, int]
    n_blocks: tuple[int, int]

    def __call__(self, *blocks: Array, block_id: tuple[int, ...] | None = None) -> Array:
        (i, j), (rows, columns) = (block_id or (0, 0))[-2:], self.n_blocks
        depth_y, depth_x = self.depth
        margins = Margins(depth_y * (i > 0), depth_y * (i < rows - 1), depth_x * (j > 0), depth_x * (j < columns - 1))
        return self.function(*blocks, margins=margins)


@dataclass(frozen=True)
class _Trim:
    """A function of blocks, its answer cut."""

    function: Callable[[Array], Array]
    tiling: Tiling

    def __call__(self, *blocks: Array, margins: Margins) -> Array:
        done = self.function(blocks[0])
        top, bottom, left, right = (
            n * self.tiling.refine // self.tiling.coarsen for n in (margins.top, margins.bottom, margins.left, margins.right)
        )
        return done[..., top : done.shape[-2] - bottom, left : done.shape[-1] - right]
