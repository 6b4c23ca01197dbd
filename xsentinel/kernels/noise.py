"""Value noise: smooth random fields that can be asked for anywhere, at a point or along rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.compiled import compiled
from xsentinel.kernels.hashing import hash_of, uniform

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

VARIANCE = 0.205
"""Of value noise of one octave over many cells: 1/3 at the lattice, less between."""


@compiled
def smooth(share):
    """Ease 0…1 with flat ends (Perlin 2002)."""
    return share * share * share * (share * (share * 6.0 - 15.0) + 10.0)


@compiled
def noise_at(seed: np.uint64, y: float, x: float) -> Any:
    """Give value noise of unit cells at a point: mean 0, within ±1."""
    row, column = np.floor(y), np.floor(x)
    i, j = np.int64(row), np.int64(column)
    v, u = smooth(y - row), smooth(x - column)
    top = uniform(hash_of(seed, i, j)) * (1 - u) + uniform(hash_of(seed, i, j + 1)) * u
    bottom = uniform(hash_of(seed, i + 1, j)) * (1 - u) + uniform(hash_of(seed, i + 1, j + 1)) * u
    return 2.0 * (top * (1 - v) + bottom * v) - 1.0


@compiled
def fractal_at(seed, y, x, octaves):
    """Give fractal noise at a point: each octave half as large and half as strong; about unit variance."""
    total, weight, power = 0.0, 1.0, 0.0
    for k in range(octaves):
        scale = 1 << k
        total += weight * noise_at(seed + np.uint64(k), y * scale + 0.37 * k, x * scale + 0.71 * k)
        power += weight * weight
        weight *= 0.5
    return total / np.sqrt(VARIANCE * power)


@compiled
def add_octave(out, seed, corner, shift, step, weight):
    """Add value noise to a field.

    A place is computed from the pixel's own row and column, so that it is the same to the bit in any block.

    Parameters
    ----------
    out : (y, x), float32
        The noise is added to it, times weight.
    seed : uint64
    corner : tuple of int
        Row and column of the first pixel in the scene.
    shift : tuple of float
        Pixels by which the field is moved up and to the left.
    step : float
        Cells of the noise a pixel.
    weight : float
    """
    height, width = out.shape
    for i in range(height):
        y = (corner[0] + i + shift[0]) * step
        row = np.int64(np.floor(y))
        v = np.float32(smooth(y - row))
        j = 0
        while j < width:
            column = np.int64(np.floor((corner[1] + j + shift[1]) * step))
            left = _edge(seed, row, column, v)
            slope = _edge(seed, row, column + 1, v) - left
            while j < width:
                x = (corner[1] + j + shift[1]) * step - column
                if x >= 1.0:
                    break
                out[i, j] += np.float32(weight) * (left + np.float32(smooth(x)) * slope)
                j += 1


@compiled
def _edge(seed, row, column, v):
    """Give the noise at a column of the lattice, between two of its rows."""
    above, below = uniform(hash_of(seed, row, column)), uniform(hash_of(seed, row + 1, column))
    return np.float32(2.0 * (above + (below - above) * v) - 1.0)


@compiled
def field(
    shape: tuple[int, int], seed: np.uint64, corner: tuple[int, int], shift: tuple[float, float], step: float, weights: Float64
) -> Float32:
    """Give a fractal field on a grid.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    seed : uint64
    corner, shift
        As `add_octave`.
    step : float
        Cells of the first octave a pixel; each next octave has twice as many.
    weights : (octave,), float64

    Returns
    -------
    (y, x), float32, about unit variance
    """
    out = np.zeros(shape, np.float32)
    power = np.sqrt(VARIANCE * (weights * weights).sum())
    for k in range(weights.size):
        moved = (shift[0] + 0.5 + 0.37 * k / step, shift[1] + 0.5 + 0.71 * k / step)
        add_octave(out, seed + np.uint64(k), corner, moved, step * (1 << k), weights[k] / power)
    return out
