"""Grids of angles: mean over detectors, gaps filled, and from their nodes to pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Grid = npt.NDArray[np.float64]


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


def at_pixels(grid: Grid, rows: Grid, columns: Grid) -> Grid:
    """Interpolate linearly between nodes; level beyond the outermost.

    Parameters
    ----------
    grid : (row, column), float64
    rows, columns : (y,), (x,), float64
        Where the pixels lie, counted in nodes.
    """
    top, w = _neighbour(rows, grid.shape[0])
    lines = grid[top] * (1 - w)[:, None] + grid[np.minimum(top + 1, grid.shape[0] - 1)] * w[:, None]
    left, w = _neighbour(columns, grid.shape[1])
    out: Grid = lines[:, left] * (1 - w) + lines[:, np.minimum(left + 1, grid.shape[1] - 1)] * w
    return out


def _neighbour(places: Grid, n: int) -> tuple[npt.NDArray[np.intp], Grid]:
    inside = places.clip(0, n - 1)
    first = np.minimum(inside.astype(np.intp), max(n - 2, 0))
    return first, inside - first
