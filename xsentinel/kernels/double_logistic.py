"""Curves of a growing season: a rise and a fall fitted to each series by least squares."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.compiled import compiled
from xsentinel.kernels.levenberg import N_CURVE, N_SHAPE, descend, project, rest, sigmoid
from xsentinel.kernels.season_curve import (
    FIT,
    FIT_MARKS,
    FITTED,
    NO_SEASON,
    NOT_CONVERGED,
    PARAMETERS,
    RMSE,
    TOO_FEW,
    value_at,
    write_marks,
)
from xsentinel.kernels.threads import over_pixels

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

LEAST_SEEN = N_CURVE + 1
"""Dates that seven parameters need, and one more that can tell of misfit."""

SHORTEST, MARGIN = 5.0, 60.0
"""Days between rise and fall at least; days that they may lie outside of the season's dates, where growth began before."""

SCALES = (2.0, 60.0)
"""Bounds of r and q, days: a harvest between two passes, and growth that takes the whole year."""

HIGHEST, ABOVE = 2.0, 0.25
"""Heights of rise and fall at most, and how far the top may lie above all values, in ranges of the values."""

N_NODES, START_SCALES = 16, (7.0, 20.0)
"""Places of rise and fall, and their scales, that the search begins with."""

APART = 1.5
"""Rise and fall are that many times their scales apart in the beginning: closer, they stand for a high hump that they cut from."""

ROUNDS, BISQUARE = 3, 4.685
"""Reweightings, and multiples of the residuals' spread beyond which a value has no weight: 95 % efficient at normal noise."""


@compiled
def start_shapes(days: Float64, first: int, last: int) -> tuple[Float64, Float64]:
    """Give logistic curves at dates first … last − 1, (date, node × scale), and the place and scale of each."""
    places = np.empty((N_NODES * len(START_SCALES), 2))
    span = days[last - 1] - days[first]
    for k in range(N_NODES):
        for s in range(len(START_SCALES)):
            places[k * len(START_SCALES) + s, 0] = days[first] + (k + 0.5) / N_NODES * span
            places[k * len(START_SCALES) + s, 1] = START_SCALES[s]
    curves = np.empty((last - first, len(places)))
    for t in range(last - first):
        for k in range(len(places)):
            curves[t, k] = sigmoid((days[first + t] - places[k, 0]) / places[k, 1])
    return curves, places


@compiled
def gram(y: Float64, w: Float64, curves: Float64, rows: Array, n: int, products: Float64, sums: Float64) -> tuple[float, float]:
    """Sum the products of all pairs of curves, of each with the values and alone; give the sums of weights and of values."""
    products.fill(0.0)
    sums.fill(0.0)
    total, level = 0.0, 0.0
    for t in range(n):
        row = curves[rows[t]]
        total += w[t]
        level += w[t] * y[t]
        for i in range(row.size):
            one = w[t] * row[i]
            sums[0, i] += one
            sums[1, i] += one * y[t]
            for j in range(row.size):
                products[i, j] += one * row[j]
    return total, level


@compiled
def first_guess(y: Float64, w: Float64, curves: Float64, places: Float64, rows: Array, n: int, work: Any, curve: Float64) -> bool:
    """Choose rise and fall among the start's curves by least squares; False if no rise and fall lower the misfit."""
    products, sums = work
    total, level = gram(y, w, curves, rows, n, products, sums)
    best = 0.0
    for i in range(len(places)):
        spread_i, along_i = products[i, i] - sums[0, i] ** 2 / total, sums[1, i] - sums[0, i] * level / total
        for j in range(len(places)):
            spread_j, along_j = products[j, j] - sums[0, j] ** 2 / total, sums[0, j] * level / total - sums[1, j]
            both = sums[0, i] * sums[0, j] / total - products[i, j]
            det = spread_i * spread_j - both * both
            apart = places[j, 0] - places[i, 0] >= APART * (places[i, 1] + places[j, 1])
            if not apart or det <= 1e-9 * spread_i * spread_j:
                continue
            up, down = (along_i * spread_j - along_j * both) / det, (along_j * spread_i - along_i * both) / det
            gain = up * along_i + down * along_j
            if up > 0 and down > 0 and gain > best:
                best = gain
                curve[0], curve[1] = places[i, 0], math.log(places[i, 1])
                curve[2], curve[3] = places[j, 0] - places[i, 0], math.log(places[j, 1])
    return best > 0


@compiled
def median_of(values: Float64, n: int) -> Any:
    """Sort the first n values in place (a season has too few dates for more than insertion), and give the middle one."""
    for k in range(1, n):
        one, place = values[k], k
        while place > 0 and values[place - 1] > one:
            values[place] = values[place - 1]
            place -= 1
        values[place] = one
    return (values[(n - 1) // 2] + values[n // 2]) / 2


@compiled
def reweigh(y: Float64, prior: Float64, n: int, curve: Float64, columns: Float64, w: Float64) -> bool:
    """Take weight from values far from the curve, by Tukey's bisquare; False if the curve meets the values anyway."""
    sizes = np.empty(n)
    for t in range(n):
        sizes[t] = abs(rest(y, t, curve, columns))
    spread = 1.4826 * median_of(sizes, n) * math.sqrt(n / max(n - N_CURVE, 1.0))
    if spread <= 1e-6 * (curve[5] + curve[6]):
        return False
    for t in range(n):
        far = rest(y, t, curve, columns) / (BISQUARE * spread)
        w[t] = prior[t] * max(1 - far * far, 0.0) ** 2
    return True


@compiled
def fit_one(x: Float64, y: Float64, prior: Float64, n: int, start: Any, work: Any, curve: Float64) -> int:
    """Fit a curve to one series of n dates, and say how it went."""
    w, columns, bounds, grams = work
    if n < LEAST_SEEN:
        return TOO_FEW
    low, high = y[0], y[0]
    for t in range(n):
        w[t] = prior[t]
        low, high = min(low, y[t]), max(high, y[t])
    bounds[N_SHAPE, 0], bounds[N_SHAPE, 1] = HIGHEST * (high - low), high + ABOVE * (high - low)
    if not first_guess(y, w, start[0], start[1], start[2], n, grams, curve):
        return NO_SEASON
    converged = descend(x, y, w, n, bounds, columns, curve)
    for _ in range(ROUNDS):
        project(x, y, w, n, curve, columns)
        if not reweigh(y, prior, n, curve, columns, w):
            break
        converged = descend(x, y, w, n, bounds, columns, curve)
    if not (curve[5] > 0 and curve[6] > 0):
        return NO_SEASON
    return FITTED if converged else NOT_CONVERGED


@compiled
def gather(values: Float32, weights: Float32, days: Float64, edges: tuple[int, int], seen: Any) -> int:
    """Write days, values and weights of a season's dates that show something, and their places in it; return how many."""
    rows, x, y, prior = seen
    n = 0
    for k in range(edges[0], edges[1]):
        if np.isfinite(values[k]) and weights[k] > 0:
            rows[n], x[n], y[n], prior[n] = k - edges[0], days[k], values[k], weights[k]
            n += 1
    return n


@compiled
def bound(first: float, last: float, bounds: Float64) -> None:
    """Write the least and greatest shape in a season of these days."""
    bounds[0, 0], bounds[0, 1] = first - MARGIN, last
    bounds[2, 0], bounds[2, 1] = SHORTEST, last - first + 2 * MARGIN
    for k in (1, 3):
        bounds[k, 0], bounds[k, 1] = math.log(SCALES[0]), math.log(SCALES[1])


@compiled
def write_fit(x: Float64, y: Float64, n: int, curve: Float64, out: Float64) -> None:
    """Write the RMSE over all dates seen, and the parameters."""
    total = 0.0
    for t in range(n):
        total += (y[t] - value_at(x[t], curve)) ** 2
    out[RMSE] = math.sqrt(total / n)
    for k in range(N_CURVE):
        out[FIT + 1 + k] = curve[k]


@compiled
def curves_of(
    series: Float32, weights: Float32, days: Float64, edges: Array, share: float, least: float, first: int, last: int, out: Float64
) -> None:
    """Write the `FIT_MARKS` and `PARAMETERS` of series first … last − 1 in each season, (series, season, 21)."""
    n_days, n_starts = series.shape[1], N_NODES * len(START_SCALES)
    curve, bounds, w = np.empty(N_CURVE), np.empty((N_SHAPE + 1, 2)), np.empty(n_days)
    rows, x, y, prior = np.empty(n_days, np.int64), np.empty(n_days), np.empty(n_days), np.empty(n_days)
    work = (w, np.empty((n_days, N_CURVE)), bounds, (np.empty((n_starts, n_starts)), np.empty((2, n_starts))))
    for s in range(len(edges) - 1):
        if edges[s + 1] <= edges[s]:
            continue
        curves, starts = start_shapes(days, edges[s], edges[s + 1])
        bound(days[edges[s]], days[edges[s + 1] - 1], bounds)
        for i in range(first, last):
            n = gather(series[i], weights[i % len(weights)], days, (edges[s], edges[s + 1]), (rows, x, y, prior))
            how = fit_one(x, y, prior, n, (curves, starts, rows), work, curve)
            if how == FITTED:
                how = write_marks(curve, (x[0], x[n - 1]), (share, least), out[i, s])
            if how == FITTED:
                write_fit(x, y, n, curve, out[i, s])
            out[i, s, FIT] = how


def fit_seasons(
    series: Float32,
    days: Float64,
    edges: Array,
    share: float = 0.2,
    least: float = 0.0,
    *,
    weights: Float32 | None = None,
    n_threads: int = 1,
) -> Float64:
    r"""Fit a double logistic to each series in each season, and give the marks of the curve.

    .. math:: f(t) = b + \frac{c_1}{1 + e^{-(t - S) / r}} - \frac{c_2}{1 + e^{-(t - A) / q}}

    by weighted least squares over the dates seen: the best of some hundred curves begins the search, Levenberg and Marquardt's
    steps end it, and three times more after values far from the curve have lost weight (Tukey's bisquare, scaled by the median of
    the residuals). Bounds: r and q 2 … 60 days, A ≥ S + 5, S from 60 days before the dates on; the top at most a quarter of the
    values' range above them, lest a curve stand up in a gap.

    The marks are those of `season_marks`, of the curve between the first and the last date seen in place of the line between dates.

    Parameters
    ----------
    series : (series, time), float32
        NaN where nothing was seen.
    days : (time,), float64
        Rising.
    edges : (season + 1,), int
        First date of each season, and one behind the last of the last.
    share : float
        Of the curve's amplitude, at which the season starts and ends.
    least : float
        Amplitude below which there is no season.
    weights : (series or 1, time), float32, optional
        Of the dates; 0 leaves out.
    n_threads : int

    Returns
    -------
    (series, season, 21), float64
        `FIT_MARKS`, then `PARAMETERS`. All NaN but "fit" where that is not `FITTED`; a start or end NaN where the curve has no
        flank between the dates seen, inflections where they lie outside of these.

    References
    ----------
    Beck et al. (2006), Remote Sensing of Environment 100, 321–334, with a level on each side as Gonsamo et al. (2013), Ecological
    Indicators 29, 203–207.

    Examples
    --------
    >>> days = np.arange(0.0, 365, 10)
    >>> curve = 0.5 + 4 / (1 + np.exp(-(days - 120) / 9)) - 4 / (1 + np.exp(-(days - 250) / 7))
    >>> fit_seasons(curve.astype(np.float32)[None], days, np.array([0, 37]), 0.5)[0, 0, :3].round(1).tolist()
    [120.0, 192.1, 250.0]
    """
    out = np.full((len(series), len(edges) - 1, len(FIT_MARKS) + len(PARAMETERS)), np.nan)
    out[..., FIT] = TOO_FEW
    prior = np.ones((1, series.shape[1]), np.float32) if weights is None else weights
    over_pixels(lambda a, b: curves_of(series, prior, days, edges, share, least, a, b, out), len(series), n_threads, 256)
    return out
