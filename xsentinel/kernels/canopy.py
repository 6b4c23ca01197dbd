"""Canopy reflectance between the nodes of a table, over any ground."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.compiled import compiled

Float32 = npt.NDArray[np.float32]

HALF = 2.0
"""Leaf area index half-way along the axis: nodes are even in L / (L + HALF), as reflectance saturates."""

DEEPEST = 8.0
"""Leaf area index of the last node, m² m⁻²."""


def soil_line(reflectance: npt.NDArray[Any], soils: npt.NDArray[Any]) -> npt.NDArray[Any]:
    r"""Find a, b, c of the reflectance of a canopy over ground of reflectance r.

    .. math:: R = a + \frac{b\,r}{1 - c\,r}

    a is what the canopy returns over black ground, b the two-way passage, c what the canopy sends back down: the
    form of SAIL's own equations (Verhoef 1984), exact for one wavelength but for the hot spot.

    Parameters
    ----------
    reflectance : numpy.ndarray, (..., 3, platform, band)
        Over black ground and two greys.
    soils : numpy.ndarray, (3,)
        Reflectance of the three; the first is 0.

    Returns
    -------
    numpy.ndarray, (..., platform, band, 3)
    """
    black, dark, light = np.moveaxis(reflectance, -3, 0)
    _, r, s = soils
    slope_dark, slope_light = (dark - black) / r, (light - black) / s
    ratio = slope_dark / np.maximum(slope_light, 1e-9)
    c = np.clip((1 - ratio) / (s - r * ratio), 0.0, 0.95)
    return np.stack([black, slope_dark * (1 - c * r), c], -1)


@compiled
def at_angles(table: Float32, sun: int, weight: float, views: npt.NDArray[np.float64]) -> Float32:
    """Interpolate a table to one geometry.

    Parameters
    ----------
    table : (sza, view, value), float32
    sun : int
        Node of the sun zenith below.
    weight : float
        Share of the node above.
    views : (view,), float64
        Weights of the views.

    Returns
    -------
    (value,), float32
    """
    out = np.zeros(table.shape[2], np.float32)
    for i in range(2):
        for v in range(table.shape[1]):
            share = np.float32((weight if i else 1.0 - weight) * views[v])
            for k in range(out.size):
                out[k] += share * table[sun + i, v, k]
    return out


@compiled
def of_state(table: Float32, canopy: int, state: float, structure: float, out: Float32) -> None:
    """Interpolate a canopy between its states (0 green, 1 dead) and its two structures (0…1).

    Parameters
    ----------
    table : (canopy, state, structure, lai, band, 3), float32
    canopy : int
    state, structure : float
        0…1.
    out : (lai, band, 3), float32
        Written.
    """
    place = min(max(state, 0.0), 1.0) * (table.shape[1] - 1)
    below = min(int(place), table.shape[1] - 2)
    shares = (place - below, min(max(structure, 0.0), 1.0))
    lower, upper = table[canopy, below], table[canopy, below + 1]
    old, wide = np.float32(shares[0]), np.float32(shares[1])
    one = np.float32(1)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for k in range(3):
                young = (one - wide) * lower[0, i, j, k] + wide * lower[1, i, j, k]
                aged = (one - wide) * upper[0, i, j, k] + wide * upper[1, i, j, k]
                out[i, j, k] = (one - old) * young + old * aged


@compiled
def lai_place(lai: np.float32, n: int) -> tuple[int, np.float32]:
    """Give the node below a leaf area index, and the share of the node above."""
    top = np.float32(DEEPEST / (DEEPEST + HALF))
    place = lai / (lai + np.float32(HALF)) / top * np.float32(n - 1)
    below = min(int(place), n - 2)
    return below, place - np.float32(below)
