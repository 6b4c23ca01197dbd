"""Probabilities of classes: Bayesian smoothing over a window, and what they say of a pixel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.errors import UnitsError, XSentinelError
from xsentinel.kernels.compiled import compiled
from xsentinel.kernels.composite import compare_rows
from xsentinel.kernels.majority import ROWS, check_size
from xsentinel.kernels.selection import highest_network
from xsentinel.kernels.threads import over_pixels

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

WIDTH = 64
"""Pixels that go through a network of comparators together: their windows fit into the L1 cache."""

LEAST = 1e-4
"""Probabilities nearer to 0 or 1 are taken as this far away: their logits would have no bound."""


@compiled
def keep_highest(values: Float64, n: int, kept: int) -> None:
    """Move the `kept` highest of the first n values to the front, in any order (Hoare's selection)."""
    low, high = 0, n - 1
    while low < high:
        pivot = values[(low + high) >> 1]
        i, j = low, high
        while i <= j:
            while values[i] > pivot:
                i += 1
            while values[j] < pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if kept - 1 <= j:
            high = j
        elif kept - 1 >= i:
            low = i
        else:
            return


@compiled
def gather(plane: Float32, y: int, x: int, reach: int, values: Float64) -> int:
    """Write the values of a window that are there one after the other, and return how many."""
    n = 0
    for i in range(max(y - reach, 0), min(y + reach + 1, plane.shape[0])):
        for j in range(max(x - reach, 0), min(x + reach + 1, plane.shape[1])):
            value = plane[i, j]
            values[n] = value
            n += value == value
    return n


@compiled
def posterior_mean(x: float, values: Float64, n: int, share: float, variance: float) -> float:
    """Return the mean of the posterior of a logit, its prior from the highest of the n values around it."""
    kept = int(np.ceil(share * n))
    if kept < n:
        keep_highest(values, n, kept)
    mean = 0.0
    for k in range(kept):
        mean += values[k]
    mean /= kept
    spread = 0.0
    for k in range(kept):
        spread += (values[k] - mean) ** 2
    spread = spread / (kept - 1) if kept > 1 else 0.0
    total = spread + variance
    weight = spread / total if total > 0 else 1.0
    return mean + weight * (x - mean)


@compiled
def smooth_whole(
    plane: Float32, y: int, first: int, reach: int, kept: int, network: Int64, variance: float, rows: Float32, work: Float32, out: Float32
) -> None:
    """Smooth the pixels from `first` on of which the whole window lies in the plane, many at once; NaN if it has a gap.

    Writes out; the windows' pixels stand in rows, a pixel a column.
    """
    width, n = out.size, rows.shape[0]
    mean, spread, gap = work[0, :width], work[1, :width], work[2, :width]
    mean[:] = 0
    spread[:] = 0
    gap[:] = 0
    k = 0
    for other in range(y - reach, y + reach + 1):
        for start in range(first - reach, first + reach + 1):
            source, row = plane[other, start : start + width], rows[k, :width]
            for p in range(width):
                row[p] = source[p]
                gap[p] += source[p] - source[p]
            k += 1
    compare_rows(rows, network, width)
    for k in range(n - kept, n):
        row = rows[k, :width]
        for p in range(width):
            mean[p] += row[p]
    for p in range(width):
        mean[p] /= np.float32(kept)
    for k in range(n - kept, n):
        row = rows[k, :width]
        for p in range(width):
            spread[p] += (row[p] - mean[p]) * (row[p] - mean[p])
    centre, noise, degrees = plane[y, first : first + width], np.float32(variance), np.float32(max(kept - 1, 1))
    for p in range(width):
        s2 = spread[p] / degrees
        total = s2 + noise
        weight = s2 / total if total > 0 else np.float32(1)
        out[p] = mean[p] + weight * (centre[p] - mean[p]) + gap[p]


@compiled
def smooth_row(plane: Float32, y: int, reach: int, share: float, network: Int64, variance: float, out: Float32) -> None:
    """Smooth a row of logits: pixels with whole windows together, the rest one by one."""
    n_rows, n_columns = plane.shape
    n = (2 * reach + 1) ** 2
    rows, work, values = np.empty((n, WIDTH), np.float32), np.empty((3, WIDTH), np.float32), np.empty(n + 1, np.float64)
    out[:] = np.nan
    if reach <= y < n_rows - reach:
        for first in range(reach, n_columns - reach, WIDTH):
            last = min(first + WIDTH, n_columns - reach)
            smooth_whole(plane, y, first, reach, int(np.ceil(share * n)), network, variance, rows, work, out[first:last])
    for x in range(n_columns):
        here = plane[y, x]
        if out[x] != out[x] and here == here:
            out[x] = posterior_mean(here, values, gather(plane, y, x, reach, values), share, variance)


@compiled
def smooth_rows(logits: Float32, reach: int, share: float, network: Int64, variance: Float64, out: Float32, start: int, stop: int) -> None:
    """Smooth the rows ``start <= row < stop`` of a stack (plane, class, y, x), counted through all planes."""
    n_classes, n_rows, n_columns = logits.shape[1:]
    total = np.empty(n_columns, np.float32)
    for row in range(start, stop):
        p, y = row // n_rows, row % n_rows
        total[:] = 0
        for c in range(n_classes):
            target = out[p, c, y]
            smooth_row(logits[p, c], y, reach, share, network, variance[c], target)
            for x in range(n_columns):
                target[x] = np.float32(1) / (np.float32(1) + np.exp(-target[x]))
                total[x] += target[x]
        for c in range(n_classes):
            target = out[p, c, y]
            for x in range(n_columns):
                target[x] /= total[x]


def check_prior(n_classes: int, variance: npt.ArrayLike, share: float) -> Float64:
    """Check the options of `smooth_bayes`, and give the variance of each class.

    Raises
    ------
    XSentinelError
        If the share or a variance is not possible, or there are not as many as classes.
    """
    if not 0 < share <= 1:
        raise XSentinelError(f"share is {share!r}; it is of the pixels of the window, above 0 and at most 1, such as 0.5")
    spread = np.asarray(variance, np.float64)
    if spread.shape not in ((), (n_classes,)) or not (np.isfinite(spread) & (spread >= 0)).all():
        raise XSentinelError(f"variance is {variance!r}; give one number, 0 or more, or one for each of {n_classes} classes")
    return np.broadcast_to(spread, n_classes).copy()


def smooth_bayes(probability: Array, size: int, variance: npt.ArrayLike, *, share: float = 0.5, n_threads: int = 1) -> Float32:
    r"""Smooth probabilities of classes by those of a window, class by class.

    With the logit :math:`x = \ln(p / (1 - p))` of a pixel, and mean m and variance :math:`s^2` (ddof 1) of the
    highest logits of its window as prior, the posterior mean is

    .. math:: \hat x = \frac{s^2 x + \sigma^2 m}{s^2 + \sigma^2}

    Where neighbours agree (:math:`s^2` small) a pixel follows them, where they differ it keeps its own. Back
    to probabilities, these are divided by their sum. The window ends at the border of the plane.

    Parameters
    ----------
    probability : numpy.ndarray (..., class, y, x), float
        Pixels of which a class is NaN have no vote and stay NaN.
    size : int, pixels
        Side of the window, odd.
    variance : float or (class,)
        :math:`\sigma^2`, of the logit of a pixel about what it should be: greater, smoother.
    share : float
        Of the logits of the window, the highest of which are the prior, above 0 to 1.
    n_threads : int
        Threads over rows.

    Returns
    -------
    numpy.ndarray (..., class, y, x), float32
        Sums to 1 over the classes.

    References
    ----------
    Camara et al. (2024), Bayesian inference for post-processing of remote sensing image classification,
    Remote Sensing 16(23), 4572.

    Examples
    --------
    >>> field = np.full((2, 3, 3), 0.9, np.float32)
    >>> field[0, 1, 1], field[1] = 0.3, 1 - field[0]
    >>> smooth_bayes(field, 3, 20.0)[:, 1, 1].round(1)
    array([0.9, 0.1], dtype=float32)
    """
    reach = check_size(size) // 2
    if probability.dtype.kind != "f" or probability.ndim < 3:
        raise UnitsError(f"probability is {probability.dtype} with shape {probability.shape}; give floats (..., class, y, x)")
    variances = check_prior(probability.shape[-3], variance, share)
    logits = _logits(probability).reshape(-1, *probability.shape[-3:])
    out = np.empty_like(logits)
    n = (2 * reach + 1) ** 2
    network = highest_network(n, math.ceil(share * n))
    if out.size:

        def run(start: int, stop: int) -> None:
            smooth_rows(logits, reach, float(share), network, variances, out, start, stop)

        over_pixels(run, logits.shape[0] * logits.shape[2], n_threads, step=ROWS)
    return out.reshape(probability.shape)


def _logits(probability: Array) -> Float32:
    """Give the logits, NaN in all classes where one is NaN."""
    chances = np.clip(probability.astype(np.float32, copy=False), 0, 1)  # a mean of probabilities may round to more than 1
    # bounds of the logits themselves, as 1 - LEAST is a float32 only nearly
    bound = np.float32(math.log((1 - LEAST) / LEAST))
    with np.errstate(divide="ignore", invalid="ignore"):
        logits = np.clip(np.log(chances / (1 - chances)), -bound, bound)
    missing = np.isnan(logits).any(-3, keepdims=True)
    if missing.any():
        logits = np.where(missing, np.float32(np.nan), logits)
    return np.ascontiguousarray(logits)


def describe(probability: Array) -> tuple[npt.NDArray[np.intp], Float32, Float32, Float32]:
    r"""Say what the probabilities of a pixel come to.

    Parameters
    ----------
    probability : numpy.ndarray (..., class), float

    Returns
    -------
    place : numpy.ndarray (...), int
        Of the most probable class, the first of equals; 0 where a probability is NaN.
    confidence, margin, entropy : numpy.ndarray (...), float32
        Its probability; that less the next one's; :math:`-\sum p \ln p / \ln n` of n classes, from 0 to 1. NaN where
        a probability is NaN.

    Examples
    --------
    >>> place, confidence, margin, entropy = describe(np.array([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]))
    >>> place, margin, entropy.round(2)
    (array([0, 2]), array([0., 1.], dtype=float32), array([0.63, 0.  ], dtype=float32))
    """
    n, gap = probability.shape[-1], np.isnan(probability).any(-1)
    place = np.where(gap, 0, np.argmax(probability, -1))
    highest = np.partition(probability, n - 2, -1)[..., n - 2 :] if n > 1 else np.concatenate([0 * probability, probability], -1)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(probability == 0, 0, probability * np.log(probability))
    entropy = (0 - terms.sum(-1)) / math.log(max(n, 2))
    confidence, margin = highest[..., 1], highest[..., 1] - highest[..., 0]
    return place, *(np.where(gap, np.nan, v).astype(np.float32) for v in (confidence, margin, entropy))  # type: ignore[return-value]
