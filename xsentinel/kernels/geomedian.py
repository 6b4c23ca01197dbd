"""Geometric medians of spectra over groups of dates, and the deviations from them.

References
----------
D. Roberts, N. Mueller, A. McIntyre (2017), High-dimensional pixel composites from Earth observation time series, IEEE
TGRS 55, 6254-6264; D. Roberts, B. Dunn, N. Mueller (2018), Open Data Cube products using high-dimensional statistics
of time series, IGARSS; L. M. Ostresh (1978), Operations Research 26, 597-609.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from xsentinel.errors import GridError
from xsentinel.kernels.compiled import compiled
from xsentinel.kernels.composite import reduce_median
from xsentinel.kernels.geomedian_pairs import reduce_paired
from xsentinel.kernels.observations import (
    Composite,
    Float32,
    Tile,
    Values,
    encoding_of,
    layers_of,
)
from xsentinel.kernels.selection import median_network

BLOCK_PIXELS = 128  # 10 bands of 73 dates take 365 KiB of the L2
MAX_ITERATIONS = 200
# Beyond, an iteration over the square of the number of dates costs more than one over 10 bands
MAX_PAIRED_DATES = 16
RELAXATION = np.float32(1.5)  # any of 1 to 2 converges (Ostresh)
TINY = np.float32(1e-20)


class Deviations(NamedTuple):
    """Medians over dates of the distance to the geometric median; (group, pixel), float32, NaN without data."""

    smad: Float32
    """Of 1 - cosine of the angle [1]."""
    emad: Float32
    """Of the Euclidean distance, reflectance [1]."""
    bcmad: Float32
    """Of the Bray-Curtis dissimilarity [1]."""


@compiled
def approach_dates(values: Float32, present: Float32, start: int, median: Float32, mean: Float32, work: Float32) -> None:
    """Write the mean of dates weighted with 1 / (distance to ``median``); both (band, pixel)."""
    n_bands, width = median.shape
    square, total = work[0], work[1]
    mean[:] = np.float32(0)
    total[:] = np.float32(0)
    for k in range(values.shape[1]):
        square[:] = np.float32(0)
        for b in range(n_bands):
            value, middle = values[b, k, start : start + width], median[b]
            for p in range(width):
                square[p] += (value[p] - middle[p]) * (value[p] - middle[p])
        seen = present[k, start : start + width]
        for p in range(width):
            square[p] = seen[p] / np.sqrt(square[p] if square[p] > TINY else TINY)
            total[p] += square[p]
        for b in range(n_bands):
            value, row = values[b, k, start : start + width], mean[b]
            for p in range(width):
                row[p] += square[p] * value[p]
    for b in range(n_bands):
        row = mean[b]
        for p in range(width):
            row[p] /= total[p]


@compiled
def advance_unsettled(median: Float32, mean: Float32, settled: Float32, tolerance: np.float32, work: Float32) -> bool:
    """Move unsettled medians towards the mean and beyond; mark those within tolerance; say if any is left."""
    n_bands, width = median.shape
    square = work[0]
    square[:] = np.float32(0)
    for b in range(n_bands):
        middle, target = median[b], mean[b]
        for p in range(width):
            change = target[p] - middle[p]
            square[p] += change * change
            moved = middle[p] + RELAXATION * change
            middle[p] = middle[p] if settled[p] > np.float32(0) else moved
    n_left = 0
    for p in range(width):
        near = square[p] > tolerance * tolerance
        settled[p] = settled[p] if near else np.float32(1)
        n_left += 1 if settled[p] == np.float32(0) else 0
    return n_left > 0


@compiled
def reduce_direct(values: Float32, present: Float32, tolerance: np.float32, out: Float32) -> None:
    """Reduce a tile to its geometric median through its bands; parameters as in ``reduce_paired``."""
    n_bands, n_pixels = out.shape
    for start in range(0, n_pixels, BLOCK_PIXELS):
        width = min(BLOCK_PIXELS, n_pixels - start)
        median, mean = np.empty((n_bands, width), np.float32), np.empty((n_bands, width), np.float32)
        settled, work = np.zeros(width, np.float32), np.empty((2, width), np.float32)
        start_mean(values, present, start, median, work)
        for _ in range(MAX_ITERATIONS):
            approach_dates(values, present, start, median, mean, work)
            if not advance_unsettled(median, mean, settled, tolerance, work):
                break
        for b in range(n_bands):
            out[b, start : start + width] = median[b]


@compiled
def start_mean(values: Float32, present: Float32, start: int, median: Float32, work: Float32) -> None:
    """Write the mean over valid dates (band, pixel), NaN where there is none."""
    n_bands, width = median.shape
    total = work[0]
    median[:] = np.float32(0)
    total[:] = np.float32(0)
    for k in range(values.shape[1]):
        seen = present[k, start : start + width]
        for p in range(width):
            total[p] += seen[p]
        for b in range(n_bands):
            value, row = values[b, k, start : start + width], median[b]
            for p in range(width):
                row[p] += seen[p] * value[p]
    for b in range(n_bands):
        row = median[b]
        for p in range(width):
            row[p] /= total[p]


@compiled
def sum_differences(x: Float32, m: Float32, euclid: Float32, plus: Float32, minus: Float32) -> None:
    """Add one band's (x - m)^2, |x + m| and |x - m|."""
    for p in range(x.size):
        euclid[p] += (x[p] - m[p]) * (x[p] - m[p])
    for p in range(x.size):
        plus[p] += abs(x[p] + m[p])
        minus[p] += abs(x[p] - m[p])


@compiled
def measure_angle(values: Float32, k: int, median: Float32, size: Float32, angle: Float32) -> None:
    """Write 1 - cosine of the angle of date k with the median, as half the square between unit vectors.

    So written it keeps its digits where 1 - cosine cancels: angles between dates are small.
    """
    width = angle.size
    norm = np.zeros(width, np.float32)
    angle[:] = np.float32(0)
    for b in range(median.shape[0]):
        row = values[b, k]
        for p in range(width):
            norm[p] += row[p] * row[p]
    for p in range(width):
        norm[p] = np.float32(1) / np.sqrt(norm[p])
    for b in range(median.shape[0]):
        row, middle = values[b, k], median[b]
        for p in range(width):
            difference = row[p] * norm[p] - middle[p] * size[p]
            angle[p] += np.float32(0.5) * difference * difference


@compiled
def measure_deviations(values: Float32, present: Float32, median: Float32, out: Float32) -> None:
    """Write the distances of each date to the median, NaN in gaps.

    Parameters
    ----------
    values : numpy.ndarray (band, date of the group, pixel of the tile), float32, reflectance [1]
        0 in gaps.
    present : numpy.ndarray (date of the group, pixel of the tile), float32
        1 where the date is valid, else 0.
    median : numpy.ndarray (band, pixel of the tile), float32, reflectance [1]
        Geometric median.
    out : numpy.ndarray (3, date of the group, pixel of the tile), float32
        Written: 1 - cosine [1], Euclidean distance [reflectance, 1], Bray-Curtis dissimilarity [1].
    """
    n_bands, n_dates, n_pixels = values.shape
    size = np.zeros(n_pixels, np.float32)
    for b in range(n_bands):
        for p in range(n_pixels):
            size[p] += median[b, p] * median[b, p]
    for p in range(n_pixels):
        size[p] = np.float32(1) / np.sqrt(size[p])
    plus = np.empty(n_pixels, np.float32)
    for k in range(n_dates):
        angle, euclid, minus, seen = out[0, k], out[1, k], out[2, k], present[k]
        measure_angle(values, k, median, size, angle)
        euclid[:] = np.float32(0)
        minus[:] = np.float32(0)
        plus[:] = np.float32(0)
        for b in range(n_bands):
            sum_differences(values[b, k], median[b], euclid, plus, minus)
        for p in range(n_pixels):
            euclid[p] = np.sqrt(euclid[p]) if seen[p] > np.float32(0) else np.float32(np.nan)
        for p in range(n_pixels):
            minus[p] = minus[p] / plus[p] if seen[p] > np.float32(0) else np.float32(np.nan)
        for p in range(n_pixels):
            angle[p] = angle[p] if seen[p] > np.float32(0) else np.float32(np.nan)


def compose_geomedian(
    bands: Sequence[Values],
    groups: npt.ArrayLike,
    n_groups: int,
    *,
    nodata: float | None = None,
    scale: float = 1.0,
    offset: float = 0.0,
    tolerance: float = 1e-6,
    n_threads: int = 1,
) -> Composite:
    """Reduce each group of dates to the geometric median of its valid spectra.

    A date is a gap where any band is NaN, infinite or ``nodata``. Two dates give their mean.

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
    tolerance : float, reflectance [1]
        Length of the step at which the iteration ends; after 200 steps it ends anyhow.
    n_threads : int
        Number of threads.

    Returns
    -------
    Composite
        values (band, group, pixel), float32, reflectance [1]; n_obs (group, pixel), uint16.

    Examples
    --------
    >>> red, nir = np.array([[0.0], [0.3], [0.3]], np.float32), np.array([[0.0], [0.4], [0.4]], np.float32)
    >>> compose_geomedian([red, nir], [0, 0, 0], 1).values.ravel().round(4).tolist()
    [0.30000001192092896, 0.4000000059604645]
    """
    layers = layers_of(bands, groups, n_groups, (nodata, scale, offset))
    shape = len(layers.groups), layers.n_pixels
    out, n_obs = np.empty((len(bands), *shape), np.float32), np.empty(shape, np.uint16)

    def work(tile: Tile) -> None:
        here = tile.group, slice(tile.start, tile.stop)
        reduce = reduce_paired if tile.dates.size <= MAX_PAIRED_DATES else reduce_direct
        median = np.empty((len(bands), tile.stop - tile.start), np.float32)
        reduce(tile.values, tile.present, np.float32(tolerance), median)
        out[:, tile.group, tile.start : tile.stop] = median
        n_obs[here] = tile.present.sum(axis=0)

    layers.run_tiles(work, n_threads)
    return Composite(out, n_obs)


def compose_deviations(
    bands: Sequence[Values],
    geomedian: Float32,
    groups: npt.ArrayLike,
    *,
    nodata: float | None = None,
    scale: float = 1.0,
    offset: float = 0.0,
    n_threads: int = 1,
) -> Deviations:
    """Reduce each group of dates to the median distances of its valid spectra x to their geometric median m.

    With sums over bands: smad of 1 - sum(x m) / sqrt(sum(x^2) sum(m^2)), emad of sqrt(sum((x - m)^2)), bcmad of
    sum(abs(x - m)) / sum(abs(x + m)).

    Parameters
    ----------
    bands, groups, nodata, scale, offset, n_threads
        As in ``compose_geomedian``.
    geomedian : numpy.ndarray (band, group, pixel), float32, reflectance [1]
        Its result.

    Returns
    -------
    Deviations
        smad, emad, bcmad (group, pixel), float32.

    Examples
    --------
    >>> band = np.array([[0.1], [0.2], [0.4]], np.float32)
    >>> median = compose_geomedian([band], [0, 0, 0], 1).values
    >>> compose_deviations([band], median, [0, 0, 0]).emad.item()
    0.10000000149011612
    """
    layers = layers_of(bands, groups, geomedian.shape[1], (nodata, scale, offset))
    shape = len(layers.groups), layers.n_pixels
    if geomedian.shape != (len(bands), *shape):
        raise GridError(f"geomedian must be (band, group, pixel) {(len(bands), *shape)}, found {geomedian.shape}")
    out = np.full((3, *shape), np.nan, np.float32)

    def work(tile: Tile) -> None:
        n_dates, n_pixels = tile.present.shape
        if not n_dates:
            return
        here = slice(tile.start, tile.stop)
        median = np.ascontiguousarray(geomedian[:, tile.group, here], np.float32)
        distances, n_obs = np.empty((3, n_dates, n_pixels), np.float32), np.empty(n_pixels, np.uint16)
        measure_deviations(tile.values, tile.present, median, distances)
        for distance, target in zip(distances, out, strict=True):
            plain, dates = encoding_of(distance), np.arange(n_dates)
            median_of = target[tile.group, here]
            reduce_median(distance, dates, median_network(n_dates), plain, 0, n_pixels, median_of, n_obs)

    layers.run_tiles(work, n_threads)
    return Deviations(*out)
