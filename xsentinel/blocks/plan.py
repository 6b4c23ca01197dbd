"""Chunk and halo arithmetic on ints: no arrays, no graphs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from xsentinel.errors import GridError


def align_chunks(chunks: tuple[int, ...], stride: int, least: int) -> tuple[int, ...]:
    """Move chunk edges to multiples of ``stride`` and join what is shorter than ``least`` to its neighbour.

    Every chunk starts on the stride's grid; the last one takes what remains.

    Parameters
    ----------
    chunks : tuple of int
        Sizes along one dimension.
    stride : int
        Chunks start at its multiples.
    least : int
        No chunk is shorter, unless the whole dimension is.

    Raises
    ------
    GridError
        If stride or least are not positive.

    Examples
    --------
    >>> align_chunks((64, 64, 2), stride=4, least=24)
    (64, 66)
    >>> align_chunks((50, 50, 50), stride=4, least=1)
    (48, 52, 50)
    """
    if stride < 1 or least < 0:
        raise GridError(f"stride is {stride} and least is {least}; they must be positive")
    total, edge = sum(chunks), 0
    edges = [0]
    for size in chunks[:-1]:
        edge += size
        aligned = edge // stride * stride
        if aligned - edges[-1] >= max(least, 1) and total - aligned >= max(least, 1):
            edges.append(aligned)
    edges.append(total)
    return tuple(stop - start for start, stop in pairwise(edges))


@dataclass(frozen=True)
class Window:
    """A stretch of one dimension: what is read, and what of the answer is kept."""

    read: slice
    """Of the block with its margins."""
    keep: slice
    """Of what was read."""
    write: slice
    """Of the block without its margins."""


def plan_windows(n: int, margins: tuple[int, int], side: int, halo: int, stride: int) -> list[Window]:
    """Cut a block of n pixels between margins into windows of about equal size, each read with its halo.

    Windows start at multiples of the stride. Where the block ends, so does the scene, unless there is a
    margin of a whole halo.

    Parameters
    ----------
    n : int
        Pixels of the block without its margins.
    margins : (int, int)
        Pixels of the neighbours before and after it: 0 or the halo.
    side : int
        Pixels that a window keeps, about: as many windows are taken as come nearest to it.
    halo, stride : int
        Of the network; the halo is a multiple of the stride.

    Raises
    ------
    GridError
        If the side is shorter than the stride.

    Examples
    --------
    >>> [(w.read.start, w.read.stop, w.write.start, w.write.stop) for w in plan_windows(100, (0, 4), 40, 4, 2)]
    [(0, 38, 0, 34), (30, 72, 34, 68), (64, 104, 68, 100)]
    """
    if side < stride:
        raise GridError(f"windows of {side} pixels are shorter than the stride of the network, {stride}")
    before, after = margins
    count = max(1, (2 * n + side) // (2 * side))
    step = max(-(-n // (count * stride)) * stride, stride)
    windows = []
    for start in range(0, n, step):
        stop = min(start + step, n)
        first, last = max(start - halo, -before), min(stop + halo, n + after)
        windows.append(Window(slice(first + before, last + before), slice(start - first, stop - first), slice(start, stop)))
    return windows


def waste(n: int, side: int, halo: int, stride: int) -> float:
    """Give the share of pixels that halos add to a square scene of n² pixels cut into windows.

    Examples
    --------
    >>> round(waste(5490, 320, 10, 2), 3)
    0.12
    """
    read = sum(w.read.stop - w.read.start for w in plan_windows(n, (0, 0), side, halo, stride))
    return float(read / n) ** 2 - 1
