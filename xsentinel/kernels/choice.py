"""Composites that take all bands of a pixel from one date: the medoid, or the date with the best score.

Every function reduces bands (time, pixel) to (band, group, pixel). A date is a gap where any band is NaN, infinite
or ``nodata``; a group without data is NaN and counts 0 observations.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from xsentinel.errors import GridError
from xsentinel.kernels.compiled import compiled
from xsentinel.kernels.distances import add_distance, square_distance
from xsentinel.kernels.observations import (
    Float32,
    Int16,
    Layers,
    Tile,
    UInt16,
    Values,
    encoding_of,
    layers_of,
    pack_band,
)

BLOCK_PIXELS = 512


class Selection(NamedTuple):
    """The values of one date a group and pixel."""

    values: Float32
    """(band, group, pixel), reflectance [1], NaN without data."""
    n_obs: UInt16
    """(group, pixel), number of dates valid in all bands."""
    date: Int16
    """(group, pixel), index along time of the date taken, -1 without data."""


@compiled
def choose_least(cost: Float32, present: Float32, chosen: Int16, n_obs: UInt16) -> None:
    """Choose the first present date of least cost.

    Parameters
    ----------
    cost, present : numpy.ndarray (date of the group, pixel of the tile), float32
        Cost, finite; 1 where the date is valid, else 0.
    chosen : numpy.ndarray (pixel of the tile,), int16
        Written: index of the date within the group, -1 if none.
    n_obs : numpy.ndarray (pixel of the tile,), uint16
        Written: number of valid dates.
    """
    least = np.full(chosen.size, np.inf, np.float32)
    chosen[:] = -1
    n_obs[:] = 0
    for k in range(cost.shape[0]):
        row, seen = cost[k], present[k]
        for p in range(chosen.size):
            valid = seen[p] > np.float32(0)
            better = valid & (row[p] < least[p])
            least[p] = row[p] if better else least[p]
            chosen[p] = np.int16(k) if better else chosen[p]
            n_obs[p] += 1 if valid else 0


@compiled
def take_chosen(packed: Float32, chosen: Int16, out: Float32) -> None:
    """Write the value of each pixel's chosen date, NaN where none is, for one band (date, pixel)."""
    for p in range(chosen.size):
        out[p] = np.float32(np.nan)
    for k in range(packed.shape[0]):
        row = packed[k]
        for p in range(chosen.size):
            out[p] = row[p] if chosen[p] == k else out[p]


@compiled
def sum_distances(values: Float32, present: Float32, total: Float32) -> None:
    """Sum each date's Euclidean distances to all valid dates.

    Parameters
    ----------
    values : numpy.ndarray (band, date of the group, pixel of the tile), float32, reflectance [1]
        0 in gaps.
    present : numpy.ndarray (date of the group, pixel of the tile), float32
        1 where the date is valid, else 0.
    total : numpy.ndarray (date of the group, pixel of the tile), float32, reflectance [1]
        Written.
    """
    n_dates, n_pixels = present.shape
    squares = np.empty(BLOCK_PIXELS, np.float32)
    total[:] = np.float32(0)
    for first in range(0, n_pixels, BLOCK_PIXELS):
        last = min(first + BLOCK_PIXELS, n_pixels)
        for j in range(n_dates):
            for k in range(j):
                between = squares[: last - first]
                square_distance(values, j, k, first, between)
                add_distance(between, present[j, first:last], total[k, first:last])
                add_distance(between, present[k, first:last], total[j, first:last])


def _compose_choice(layers: Layers, cost_of: Callable[[Tile], Float32], n_threads: int) -> Selection:
    """Take from each group the date of least cost; ``cost_of`` may also unset ``tile.present``."""
    shape = len(layers.groups), layers.n_pixels
    out = np.empty((len(layers.bands), *shape), np.float32)
    n_obs, date = np.empty(shape, np.uint16), np.empty(shape, np.int16)

    def work(tile: Tile) -> None:
        here = tile.group, slice(tile.start, tile.stop)
        chosen = np.empty(tile.stop - tile.start, np.int16)
        choose_least(cost_of(tile), tile.present, chosen, n_obs[here])
        for b, packed in enumerate(tile.values):
            take_chosen(packed, chosen, out[b][here])
        # index -1 takes the last entry, which says that no date was chosen
        date[here] = np.append(tile.dates, -1)[chosen]

    layers.run_tiles(work, n_threads)
    return Selection(out, n_obs, date)


def compose_medoid(
    bands: Sequence[Values],
    groups: npt.ArrayLike,
    n_groups: int,
    *,
    nodata: float | None = None,
    scale: float = 1.0,
    offset: float = 0.0,
    n_threads: int = 1,
) -> Selection:
    """Take from each group the date whose spectrum is nearest to all others.

    The medoid is the valid date d of least sum over valid dates e of sqrt(sum over bands (x_d - x_e)^2); of equals
    the first.

    Parameters
    ----------
    bands : sequence of numpy.ndarray (time, pixel), float32 or uint16; or one array (band, time, pixel)
        Stored values, C-contiguous.
    groups : array_like (time,), int
        Group of each date, 0 to n_groups - 1; -1 for a date not used.
    n_groups : int
        Number of groups.
    nodata : float, optional
        Stored value of a gap beside NaN; 0 for uint16 unless given.
    scale, offset : float, reflectance [1]
        reflectance = stored * scale + offset.
    n_threads : int
        Number of threads.

    Returns
    -------
    Selection
        values (band, group, pixel), float32, reflectance [1]; n_obs, uint16, and date, int16, (group, pixel).

    References
    ----------
    N. Flood (2013), Seasonal composite Landsat TM/ETM+ images using the medoid, Remote Sensing 5, 6481-6500.

    Examples
    --------
    >>> band = np.array([[.1], [.2], [.9]], np.float32)
    >>> compose_medoid([band, band], [0, 0, 0], 1).date.item()
    1
    """

    def cost_of(tile: Tile) -> Float32:
        total = np.empty_like(tile.present)
        sum_distances(tile.values, tile.present, total)
        return total

    return _compose_choice(layers_of(bands, groups, n_groups, (nodata, scale, offset)), cost_of, n_threads)


def compose_best(
    bands: Sequence[Values],
    score: Float32,
    groups: npt.ArrayLike,
    n_groups: int,
    *,
    highest: bool = True,
    nodata: float | None = None,
    scale: float = 1.0,
    offset: float = 0.0,
    n_threads: int = 1,
) -> Selection:
    """Take from each group the valid date of the best score; of equals the first.

    With an index such as NDVI as score this is the maximum-index composite.

    Parameters
    ----------
    bands, groups, n_groups, nodata, scale, offset, n_threads
        As in ``compose_medoid``.
    score : numpy.ndarray (time, pixel), float32
        Score of each date and pixel, any unit; NaN where the date is not to be taken.
    highest : bool
        Whether the highest score is the best, else the lowest.

    Returns
    -------
    Selection
        values (band, group, pixel), float32, reflectance [1]; n_obs, uint16, and date, int16, (group, pixel).

    Examples
    --------
    >>> band, ndvi = np.array([[.1], [.2], [.9]], np.float32), np.array([[.3], [.7], [np.nan]], np.float32)
    >>> compose_best([band], ndvi, [0, 0, 0], 1).date.item()
    1
    """
    cost_encoding = encoding_of(score, scale=-1.0 if highest else 1.0)
    layers = layers_of(bands, groups, n_groups, (nodata, scale, offset))
    if score.shape != bands[0].shape:
        raise GridError(f"score has shape {score.shape}, bands {bands[0].shape}: give one score a date and pixel")

    def cost_of(tile: Tile) -> Float32:
        cost = np.empty_like(tile.present)
        pack_band(score, tile.dates, cost_encoding, tile.start, cost, tile.present)
        return cost

    return _compose_choice(layers, cost_of, n_threads)
