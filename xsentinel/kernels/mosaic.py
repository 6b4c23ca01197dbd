"""The lie of the land: which covers, of which parcels, a pixel holds and in what shares.

Everything is a function of the seed and a place. The land is cut into blocks, cells of a Voronoi diagram of
jittered sites; their borders carry roads and hedges. A block is of a town, a forest or a farm, as smooth fields
say at its site, and is cut by two families of jittered lines into parcels, or by streets and plots into houses,
yards and gardens. Rivers are where a smooth field changes sign, lakes where another is high.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.compiled import compiled
from xsentinel.kernels.hashing import draw, hash_of, mix
from xsentinel.kernels.noise import fractal_at, noise_at

PIXEL = 10.0
"""Size of a pixel of the mosaic, m."""

SIDE = 3
"""Samples along a side of a pixel that is not of one cover."""

SURE = 8.0
"""Distance (m) over which a cover must hold for a pixel, 7.1 m from middle to corner, to be of it alone."""

SLOTS = 5
"""Covers that a pixel can hold; further ones go with the last."""

BLOCK = 450.0
"""Distance between the sites of blocks, m."""

FARM, FOREST, DIFFUSE, DENSE = range(4)
"""Zones; each has a row in the table of shares."""

ROAD, WATER, MARGIN, RIPARIAN = range(4)
"""Columns of the table of fixed covers."""

TOWN_LEVEL, DENSE_LEVEL, FOREST_LEVEL, LAKE_LEVEL = 1.35, 1.9, 0.8, 2.1
"""Of unit-variance fields, above which a zone or a lake lies."""

OFFSET, WIDE, NARROW = 8192, 14, 7
"""Added to the row and column of a block, and bits that it and a parcel's place in it take in a key."""

COVER_BITS = 6

NOWHERE = -64
"""Number in its block of what is in no parcel: roads, water, hedges, towns."""


@compiled
def key_of(row, column, i, j, cover):
    """Pack a block, a parcel's place in it and a cover into one positive int64."""
    key = ((row + OFFSET) << WIDE) | (column + OFFSET)
    key = (((key << NARROW) | ((i + 64) & 127)) << NARROW) | ((j + 64) & 127)
    return (key << COVER_BITS) | cover


@compiled
def _site(seed, row, column):
    """Give the site of a block, m."""
    bits = hash_of(seed, row, column)
    return (row + 0.1 + 0.8 * draw(bits, 0)) * BLOCK, (column + 0.1 + 0.8 * draw(bits, 1)) * BLOCK


@compiled
def _block(seed, y, x):
    """Give the block of a place: row, column, distance to its border (m), and the hash of that border."""
    row, column = np.int64(np.floor(y / BLOCK)), np.int64(np.floor(x / BLOCK))
    near, far = np.inf, np.inf
    a, b, c, d = row, column, row, column
    for k in range(9):
        i, j = row + np.int64(k // 3 - 1), column + np.int64(k % 3 - 1)
        sy, sx = _site(seed, i, j)
        distance = (sy - y) ** 2 + (sx - x) ** 2
        if distance < near:
            far, c, d = near, a, b
            near, a, b = distance, i, j
        elif distance < far:
            far, c, d = distance, i, j
    ay, ax = _site(seed, a, b)
    cy, cx = _site(seed, c, d)
    apart = np.sqrt((ay - cy) ** 2 + (ax - cx) ** 2)
    return a, b, (far - near) / (2 * apart), hash_of(seed, a, b) ^ hash_of(seed, c, d)


@compiled
def _zone(seed, row, column):
    """Tell what a block is of, from the fields of towns and forests at its site."""
    y, x = _site(seed, row, column)
    town = fractal_at(seed + np.uint64(11), y / 2600, x / 2600, 3)
    if town > TOWN_LEVEL:
        return DENSE if town > DENSE_LEVEL else DIFFUSE
    return FOREST if fractal_at(seed + np.uint64(23), y / 1900, x / 1900, 3) > FOREST_LEVEL else FARM


@compiled
def _cut(bits, place, width):
    """Find the strip between jittered lines: its number and the distance to the nearer line."""
    i = np.int64(np.floor(place / width))
    low = (i + 0.5 * draw(bits, i) - 0.25) * width
    high = (i + 1 + 0.5 * draw(bits, i + 1) - 0.25) * width
    if place < low:
        i, high = i - 1, low
        low = (i + 0.5 * draw(bits, i) - 0.25) * width
    elif place >= high:
        i, low = i + 1, high
        high = (i + 1 + 0.5 * draw(bits, i + 1) - 0.25) * width
    return i, min(place - low, high - place)


@compiled
def _turned(seed, row, column, y, x):
    """Give a place in the block's own axes, and the block's hash."""
    sy, sx = _site(seed, row, column)
    bits = mix(hash_of(seed, row, column) + np.uint64(5))
    angle = np.pi * draw(bits, 0)
    c, s = np.cos(angle), np.sin(angle)
    return c * (y - sy) + s * (x - sx), c * (x - sx) - s * (y - sy), bits


@compiled
def _choose(shares, u):
    """Find where a draw falls among running shares."""
    k = 0
    while k < shares.size - 1 and u >= shares[k]:
        k += 1
    return k


@compiled
def _parcel(seed, row, column, zone, shares, y, x):
    """Give the parcel of a place: its two numbers in the block, its cover, and the distance to its border (m)."""
    a, b, bits = _turned(seed, row, column, y, x)
    grown = 2.5 if zone == FOREST else 1.0
    i, da = _cut(bits, a, grown * (55.0 + 150.0 * draw(bits, 300) ** 2))
    j, db = _cut(mix(bits + np.uint64(i + 64)), b, grown * (140.0 + 300.0 * draw(bits, 301)))
    own = hash_of(bits, i, j)
    # neighbours often grow the same
    u = draw(bits, 302) if draw(own, 0) < 0.25 else draw(own, 1)
    return i, j, _choose(shares[zone], u), min(da, db)


@compiled
def _plot(seed, row, column, zone, shares, y, x):
    """Give the variant and the cover of a place in a town: street, roof, yard, lawn or tree."""
    a, b, bits = _turned(seed, row, column, y, x)
    dense = zone == DENSE
    _, da = _cut(bits, a, 55.0 if dense else 75.0)
    _, db = _cut(bits + np.uint64(9), b, 100.0 if dense else 150.0)
    if min(da, db) < 4.5:
        return np.int64(0), _choose(shares[zone], 0.0)
    size = 15.0 if dense else 19.0
    p, q = np.int64(np.floor(a / size)), np.int64(np.floor(b / size))
    own = hash_of(bits, p, q)
    half = (0.36 + 0.14 * draw(own, 0)) if dense else (0.22 + 0.12 * draw(own, 0))
    inside = abs(a / size - p - 0.5) < half and abs(b / size - q - 0.5) < half
    if inside and draw(own, 1) < 0.85:
        return np.int64(draw(own, 2) * 8), _choose(shares[zone], draw(own, 3))
    garden = hash_of(own, np.int64(np.floor(a / 7.0)), np.int64(np.floor(b / 7.0)))
    return np.int64(draw(own, 4) * 8), _choose(shares[zone + 2], draw(garden, 0))


@compiled
def _sample(seed, shares, fixed, river, y, x):
    """Give the key of a place, given the distance to the river (m), and how far around it is sure to hold (m)."""
    row, column, border, edge = _block(seed, y, x)
    if river < 0:
        return key_of(row, column, NOWHERE, NOWHERE, fixed[WATER]), -river
    zone = _zone(seed, row, column)
    if river < 12 and zone < DIFFUSE:
        return key_of(row, column, NOWHERE, NOWHERE, fixed[RIPARIAN]), 0.0
    kind = draw(edge, 0)
    if border < 2.0 + 3.0 * draw(edge, 1) and kind < 0.35:
        return key_of(row, column, NOWHERE, NOWHERE, fixed[ROAD]), 0.0
    if zone >= DIFFUSE:
        variant, cover = _plot(seed, row, column, zone, shares, y, x)
        return key_of(row, column, variant, NOWHERE, cover), 0.0
    i, j, cover, margin = _parcel(seed, row, column, zone, shares, y, x)
    if zone == FARM and border < 5.0 and kind > 0.75:
        return key_of(row, column, NOWHERE, NOWHERE, fixed[RIPARIAN]), 0.0
    if zone == FARM and min(margin, border) < 1.2:
        return key_of(row, column, NOWHERE, NOWHERE, fixed[MARGIN]), 0.0
    return key_of(row, column, i, j, cover), min(margin - 1.2, border - 5.0, river - 12.0)


@compiled
def _river(seed, y, x):
    """Give the distance (m) to the bank of a river or lake, negative in water; true near it, and its slope."""
    cell, h = 3800.0, 5.0
    here = fractal_at(seed + np.uint64(31), y / cell, x / cell, 3)
    dy = (fractal_at(seed + np.uint64(31), (y + h) / cell, x / cell, 3) - here) / h
    dx = (fractal_at(seed + np.uint64(31), y / cell, (x + h) / cell, 3) - here) / h
    slope = np.sqrt(dy * dy + dx * dx) + 1e-5
    half = 4.0 + 12.0 * abs(noise_at(seed + np.uint64(37), y / 9000.0, x / 9000.0))
    river = abs(here) / slope - half
    lake = (LAKE_LEVEL - fractal_at(seed + np.uint64(41), y / 1700, x / 1700, 3)) * 400.0
    if lake < river:
        return lake, 0.0, 0.0
    sign = 1.0 if here > 0 else -1.0
    return river, sign * dy / slope, sign * dx / slope


@compiled
def _put(keys, counts, key, count):
    """Add samples of a key to a pixel."""
    for k in range(SLOTS):
        if counts[k] == 0 or keys[k] == key or k == SLOTS - 1:
            if counts[k] == 0:
                keys[k] = key
            counts[k] += count
            return


@compiled
def lay_out(
    shape: tuple[int, int], corner: tuple[int, int], seed: np.uint64, shares: npt.NDArray[np.float64], fixed: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Find what each pixel holds.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of pixels of 10 m.
    corner : tuple of int
        Row and column of the first pixel in the scene; may be negative.
    seed : uint64
    shares : (6, cover), float64
        Running shares of covers in farm, forest, and roofs and streets (first) of diffuse and dense towns, and
        in the yards of the two.
    fixed : (4,), int64
        Covers of roads, water, field margins and hedges.

    Returns
    -------
    keys : (slot, y, x), int64
        See `key_of`; −1 where a slot is empty.
    counts : (slot, y, x), uint8
        Samples of nine.
    """
    keys = np.full((shape[0], shape[1], SLOTS), -1, np.int64)
    counts = np.zeros((shape[0], shape[1], SLOTS), np.uint8)
    for i in range(shape[0]):
        for j in range(shape[1]):
            y, x = (corner[0] + i + 0.5) * PIXEL, (corner[1] + j + 0.5) * PIXEL
            river, dy, dx = _river(seed, y, x)
            # lines bend a little
            wy = y + 30.0 * noise_at(seed + np.uint64(51), y / 380.0, x / 380.0)
            wx = x + 30.0 * noise_at(seed + np.uint64(52), y / 380.0, x / 380.0)
            for k in range(-1, SIDE * SIDE):
                v, u = ((k // SIDE + 0.5) / SIDE - 0.5) * PIXEL, ((k % SIDE + 0.5) / SIDE - 0.5) * PIXEL
                if k < 0:
                    v, u = 0.0, 0.0
                key, sure = _sample(seed, shares, fixed, river + dy * v + dx * u, wy + v, wx + u)
                if k < 0 and sure > SURE:
                    _put(keys[i, j], counts[i, j], key, SIDE * SIDE)
                    break
                if k >= 0:
                    _put(keys[i, j], counts[i, j], key, 1)
    return keys, counts
