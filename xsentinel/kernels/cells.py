"""Pixels of classes counted in squares of a grid, and in windows of several squares."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.compiled import compiled


@compiled
def count_cells(codes: npt.NDArray[np.uint8], places: npt.NDArray[np.int64], corner: tuple[int, int], side: int, out: Any) -> None:
    """Add the pixels of each class of a block to the squares that they lie in.

    Parameters
    ----------
    codes : (y, x), uint8
        A block of a label map.
    places : (256,), int64
        Place of each code among the classes, −1 of none.
    corner : two of int
        Row and column of the block's first pixel, from that of ``out``'s first square.
    side : int
        Pixels along a square.
    out : (row of squares, column of squares, class), int32
        Added to; pixels beyond it are left out.
    """
    for i in range(codes.shape[0]):
        row = (corner[0] + i) // side
        if row >= out.shape[0]:
            break
        for j in range(codes.shape[1]):
            place, column = places[codes[i, j]], (corner[1] + j) // side
            if place >= 0 and column < out.shape[1]:
                out[row, column, place] += 1


def sum_windows(cells: npt.NDArray[np.int32], n: int) -> npt.NDArray[np.int32]:
    """Add up windows of n × n squares, by a table of sums (summed areas).

    Parameters
    ----------
    cells : (row, column, class), int32
    n : int
        Squares along a window.

    Returns
    -------
    numpy.ndarray (row − n + 1, column − n + 1, class), int32

    Examples
    --------
    >>> sum_windows(np.arange(6, dtype=np.int32).reshape(2, 3, 1), 2)[..., 0]
    array([[ 8, 12]], dtype=int32)
    """
    sums = np.zeros((cells.shape[0] + 1, cells.shape[1] + 1, cells.shape[2]), np.int64)
    np.cumsum(np.cumsum(cells, 0, dtype=np.int64), 1, out=sums[1:, 1:])
    windows: npt.NDArray[np.int32] = (sums[n:, n:] - sums[:-n, n:] - sums[n:, :-n] + sums[:-n, :-n]).astype(np.int32)
    return windows
