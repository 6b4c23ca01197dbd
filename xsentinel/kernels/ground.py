"""Reflectance of a block of ground at one date: the covers of each pixel, seen through their canopies."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.canopy import DEEPEST, lai_place, of_state
from xsentinel.kernels.compiled import compiled
from xsentinel.kernels.hashing import bell, hash_of
from xsentinel.kernels.phenology import FLOWER, LAI, STATE, STRAW

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]
UInt8 = npt.NDArray[np.uint8]

SOIL = -1
"""Kind of ground of a cover that stands on soil; others are rows of the table of grounds."""

DRY, WET, DEAD = range(3)
"""Rows of the table of grounds: dry and wet soil, straw."""


@compiled
def fold(
    table: Float32, grounds: Float32, flower: int, growth: Float32, traits: Float32, covers: Float32, moisture: float
) -> tuple[Float32, Float32]:
    """Give, for each parcel at a date, its canopy's line at each leaf area, and its ground.

    Parameters
    ----------
    table : (canopy, state, structure, lai, band, 3), float32
        At the date's geometry.
    grounds : (ground, band), float32
    flower : int
        Row of flowers among the grounds.
    growth : (parcel, 4), float32
        As `grow`.
    traits : (parcel, 2), float32
    covers : (parcel, 3), float32
        Canopy, ground (or SOIL) and shade of the parcel's cover.
    moisture : float
        Of soil, 0…1.

    Returns
    -------
    lines : (parcel, lai, band, 3), float32
    floor : (parcel, band), float32
        Reflectance of the ground.
    """
    n_lai, n_band = table.shape[3], table.shape[4]
    lines, floor = np.empty((growth.shape[0], n_lai, n_band, 3), np.float32), np.empty((growth.shape[0], n_band), np.float32)
    one = np.float32(1)
    for p in range(growth.shape[0]):
        of_state(table, int(covers[p, 0]), growth[p, STATE], traits[p, 0], lines[p])
        bloom, kind = growth[p, FLOWER], int(covers[p, 1])
        straw, wet = growth[p, STRAW], np.float32(min(max(moisture + 0.3 * (np.float32(0.7) - traits[p, 1]), 0.0), 1.0))
        for b in range(n_band):
            soil = traits[p, 1] * ((one - wet) * grounds[DRY, b] + wet * grounds[WET, b])
            bare = soil if kind == SOIL else traits[p, 1] * np.float32(1.4) * grounds[kind, b]
            floor[p, b] = (one - straw) * bare + straw * np.float32(0.8) * grounds[DEAD, b]
            for i in range(n_lai):
                # crowns hide more of each other where there are more leaves
                seen = (one - bloom) * (one - covers[p, 2] * np.float32(i) / np.float32(n_lai - 1))
                lines[p, i, b, 0] = seen * lines[p, i, b, 0] + bloom * grounds[flower, b]
                lines[p, i, b, 1] *= seen
    return lines, floor


@compiled
def textures(shape: tuple[int, int], corner: tuple[int, int], seed: np.uint64, smooth: Float32) -> Float32:
    """Give relative deviations of leaf area, (y, x), float32: patches of a smooth field, and each pixel's own."""
    out = np.empty(shape, np.float32)
    for i in range(shape[0]):
        for j in range(shape[1]):
            own = bell(hash_of(seed, corner[0] + i, corner[1] + j))
            out[i, j] = np.float32(0.75) * smooth[i, j] + np.float32(0.65) * own
    return out


@compiled
def leaf_area(growth: Float32, parcels: Int32, counts: UInt8, spread: Float32, texture: Float32) -> Float32:
    """Give the leaf area index of pixels, over all that they hold.

    Parameters
    ----------
    growth : (parcel, 4), float32
    parcels : (y, x, slot), int32
        Rows of the growth.
    counts : (y, x, slot), uint8
        Samples of nine.
    spread : (parcel,), float32
        Relative spread of leaf area within the parcel's cover.
    texture : (y, x), float32

    Returns
    -------
    (y, x), float32, m² m⁻²
    """
    height, width, slots = parcels.shape
    out = np.zeros((height, width), np.float32)
    for i in range(height):
        for j in range(width):
            for k in range(slots):
                if counts[i, j, k]:
                    p = parcels[i, j, k]
                    area = pixel_area(growth[p, LAI], spread[p], texture[i, j])
                    out[i, j] += np.float32(counts[i, j, k]) / np.float32(9) * area
    return out


@compiled
def pixel_area(area, spread, texture):
    """Give the leaf area index of a cover in a pixel."""
    factor = np.float32(1) + spread * texture
    return min(area * min(max(factor, np.float32(0.4)), np.float32(1.6)), np.float32(DEEPEST))


@compiled
def reflect(
    lines: Float32, floor: Float32, growth: Float32, parcels: Int32, counts: UInt8, spread: Float32, texture: Float32, tone: Float32
) -> Float32:
    """Give the reflectance of pixels.

    Parameters
    ----------
    lines, floor : as `fold`
    growth, parcels, counts, spread, texture : as `leaf_area`
    tone : (y, x), float32
        Relative deviation of the ground's brightness.

    Returns
    -------
    (band, y, x), float32
    """
    height, width, slots = parcels.shape
    n_band = floor.shape[1]
    out = np.zeros((n_band, height, width), np.float32)
    total = np.empty(n_band, np.float32)
    one = np.float32(1)
    for i in range(height):
        for j in range(width):
            total[:] = 0
            bright = one + tone[i, j]
            for k in range(slots):
                if counts[i, j, k] == 0:
                    continue
                p = parcels[i, j, k]
                below, share = lai_place(pixel_area(growth[p, LAI], spread[p], texture[i, j]), lines.shape[1])
                low, high = lines[p, below], lines[p, below + 1]
                part = np.float32(counts[i, j, k]) / np.float32(9)
                for b in range(n_band):
                    a0 = low[b, 0] + share * (high[b, 0] - low[b, 0])
                    a1 = low[b, 1] + share * (high[b, 1] - low[b, 1])
                    a2 = low[b, 2] + share * (high[b, 2] - low[b, 2])
                    r = bright * floor[p, b]
                    total[b] += part * (a0 + a1 * r / (one - a2 * r))
            for b in range(n_band):
                out[b, i, j] = total[b]
    return out
