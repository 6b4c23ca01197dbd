"""Distances between spectra of two dates, for many pixels at once."""

import numpy as np

from xsentinel.kernels.compiled import compiled
from xsentinel.kernels.observations import Float32


@compiled
def square_distance(values: Float32, one: int, other: int, start: int, squares: Float32) -> None:
    """Sum over bands the squared differences of two dates.

    Parameters
    ----------
    values : numpy.ndarray (band, date of the group, pixel of the tile), float32, reflectance [1]
        Spectra, finite.
    one, other : int
        The two dates.
    start : int
        First pixel.
    squares : numpy.ndarray (pixel,), float32, reflectance squared [1]
        Written, for as many pixels as it has.
    """
    squares[:] = np.float32(0)
    for b in range(values.shape[0]):
        # rows are taken one by one: a slice over bands would lose contiguity, and the loop its vectors (15 x slower)
        x = values[b, one, start : start + squares.size]
        y = values[b, other, start : start + squares.size]
        for p in range(squares.size):
            squares[p] += (x[p] - y[p]) * (x[p] - y[p])


@compiled
def add_distance(squares: Float32, present: Float32, total: Float32) -> None:
    """Add the root of ``squares`` to ``total`` where ``present`` is 1; all (pixel,), float32."""
    for p in range(total.size):
        total[p] += np.sqrt(squares[p]) * present[p]
