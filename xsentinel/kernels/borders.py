"""Borders between pieces of a map: pixels whose whole neighbourhood is of one piece."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.compiled import compiled


@compiled
def keep_within(pieces: Any, widths: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Tell where all pixels of the footprint are of the piece of its centre; what lies beyond the array counts as so.

    Parameters
    ----------
    pieces : (y, x), integers
        Number of the piece that each pixel is of.
    widths : (radius + 1), int64, pixels
        How far the footprint reaches left and right, for each row 0, 1, … away (`footprint_widths`).

    Returns
    -------
    (y, x), bool

    Examples
    --------
    >>> keep_within(np.array([[1, 1, 1, 2, 2]]), np.array([1, 0])).astype(int)
    array([[1, 1, 0, 0, 1]])
    """
    n_rows, n_columns = pieces.shape
    keep = np.ones(pieces.shape, np.bool_)
    for y in range(n_rows):
        for dy in range(1 - widths.size, widths.size):
            other = y + dy
            if not 0 <= other < n_rows:
                continue
            for dx in range(-widths[abs(dy)], widths[abs(dy)] + 1):
                # along a row, so that it vectorises: 30 m of 10 m pixels are 28 comparisons a pixel
                for x in range(max(0, -dx), min(n_columns, n_columns - dx)):
                    keep[y, x] &= pieces[y, x] == pieces[other, x + dx]
    return keep
