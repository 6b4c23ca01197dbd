"""Chunk and halo arithmetic on ints: no arrays, no graphs."""

from __future__ import annotations

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
