"""Grids of angles: mean over detectors, gaps filled, and from their nodes to pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.compiled import compiled

Grid = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.float32]


def mean_zenith(grids: Grid) -> Grid:
    """Average grids where they have values, NaN where none has.

    Parameters
    ----------
    grids : (detector, row, column), float64, degrees

    Examples
    --------
    >>> mean_zenith(np.array([[[4.0, np.nan]], [[6.0, np.nan]]]))
    array([[ 5., nan]])
    """
    there = np.isfinite(grids)
    n = there.sum(0)
    total = np.where(there, grids, 0).sum(0)
    return np.where(n > 0, total / np.maximum(n, 1), np.nan)


def mean_azimuth(grids: Grid) -> Grid:
    """Average directions on the circle, 0…360 degrees, so that 359 and 1 give 0.

    Parameters
    ----------
    grids : (detector, row, column), float64, degrees

    Examples
    --------
    >>> mean_azimuth(np.array([[[350.0]], [[30.0]]]))
    array([[10.]])
    """
    east, north = np.sin(np.deg2rad(grids)), np.cos(np.deg2rad(grids))
    return np.rad2deg(np.arctan2(mean_zenith(east), mean_zenith(north))) % 360


def fill_nearest(grid: Grid) -> Grid:
    """Give nodes without a value that of the nearest node that has one; all NaN stays so."""
    there = np.isfinite(grid)
    if there.all() or not there.any():
        return grid
    rows, columns = np.nonzero(there)
    lacking = np.nonzero(~there)
    apart = (lacking[0][:, None] - rows) ** 2 + (lacking[1][:, None] - columns) ** 2
    nearest = apart.argmin(1)
    filled = grid.copy()
    filled[lacking] = grid[rows[nearest], columns[nearest]]
    return filled


def at_pixels(grid: Grid, rows: Grid, columns: Grid) -> Pixels:
    """Interpolate linearly between nodes; level beyond the outermost.

    Parameters
    ----------
    grid : (row, column), float64
    rows, columns : (y,), (x,), float64
        Where the pixels lie, counted in nodes.

    Returns
    -------
    (y, x), float32

    Examples
    --------
    >>> at_pixels(np.array([[0.0, 1.0], [10.0, 11.0]]), np.array([-3.0, 0.5]), np.array([0.25, 1.0]))
    array([[0.25, 1.  ],
           [5.25, 6.  ]], dtype=float32)
    """
    out = np.empty((rows.size, columns.size), np.float32)
    _at_pixels(_blended(grid, rows), *_neighbour(columns, grid.shape[1]), out)
    return out


def between_at_pixels(one: Grid, other: Grid, rows: Grid, columns: Grid) -> Pixels:
    """Interpolate two fields of directions as unit vectors and give the angle between them, 0…180 degrees.

    So nothing jumps at north.

    Parameters
    ----------
    one, other : (row, column), float64, degrees
        Azimuths at nodes.
    rows, columns : (y,), (x,), float64
        Where the pixels lie, counted in nodes.

    Returns
    -------
    (y, x), float32

    Examples
    --------
    >>> between_at_pixels(np.full((2, 2), 350.0), np.full((2, 2), 30.0), np.array([0.5]), np.array([0.5])).round(3)
    array([[40.]], dtype=float32)
    """
    out = np.empty((rows.size, columns.size), np.float32)
    sin1, cos1, sin2, cos2 = (_blended(part(np.deg2rad(grid)), rows) for grid in (one, other) for part in (np.sin, np.cos))
    left, weight = _neighbour(columns, one.shape[1])
    _between(sin1, cos1, sin2, cos2, left, weight, out)
    return out


def _blended(grid: Grid, rows: Grid) -> Grid:
    """Interpolate along y: a line of nodes for each row of pixels."""
    top, w = _neighbour(rows, grid.shape[0])
    out: Grid = grid[top] * (1 - w)[:, None] + grid[np.minimum(top + 1, grid.shape[0] - 1)] * w[:, None]
    return out


@compiled
def _at_pixels(lines, left, weight, out):
    for i in range(out.shape[0]):
        line = lines[i]
        for j in range(out.shape[1]):
            n = left[j]
            out[i, j] = line[n] + (line[min(n + 1, line.size - 1)] - line[n]) * weight[j]


@compiled
def _between(sin1, cos1, sin2, cos2, left, weight, out):
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            n, m, w = left[j], min(left[j] + 1, sin1.shape[1] - 1), weight[j]
            s1, c1 = sin1[i, n] + (sin1[i, m] - sin1[i, n]) * w, cos1[i, n] + (cos1[i, m] - cos1[i, n]) * w
            s2, c2 = sin2[i, n] + (sin2[i, m] - sin2[i, n]) * w, cos2[i, n] + (cos2[i, m] - cos2[i, n]) * w
            out[i, j] = np.abs(np.arctan2(s1 * c2 - c1 * s2, c1 * c2 + s1 * s2)) * 57.29577951308232


def _neighbour(places: Grid, n: int) -> tuple[npt.NDArray[np.intp], Grid]:
    inside = places.clip(0, n - 1)
    first = np.minimum(inside.astype(np.intp), max(n - 2, 0))
    return first, inside - first
