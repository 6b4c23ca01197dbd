"""Curves of a growing season: a rise and a fall fitted to each series by least squares, and the marks of the curve."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.compiled import compiled
from xsentinel.kernels.levenberg import N_SHAPE, descend, project, sigmoid
from xsentinel.kernels.seasons import MARKS
from xsentinel.kernels.threads import over_pixels

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

FIT_MARKS = (*MARKS, "greening", "senescence", "greening_rate", "senescence_rate", "rmse", "fit")
"""Marks of a curve, in order."""

RMSE, FIT = len(FIT_MARKS) - 2, len(FIT_MARKS) - 1

PARAMETERS = ("base", "height", "rise", "rise_scale", "duration", "fall_scale")
"""What a curve is drawn from: b, a (units), S (day), r, A − S, q (days)."""

HOW = ("fitted", "too_few_dates", "no_season", "not_converged")
"""What the values 0 … 3 of the mark "fit" mean."""

FITTED, TOO_FEW, NO_SEASON, NOT_CONVERGED = range(len(HOW))

LEAST_SEEN = 7
"""Dates that six parameters need, and one more that can tell of misfit."""

SHORTEST, MARGIN = 5.0, 60.0
"""Days between rise and fall at least; days that they may lie outside of the season's dates, where growth began before."""

SCALES = (2.0, 60.0)
"""Bounds of r and q, days: a harvest between two passes, and growth that takes the whole year."""

N_NODES, START_SCALES = 16, (7.0, 20.0)
"""Places of rise and fall, and their scales, that the search begins with."""

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
def first_guess(y: Float64, w: Float64, curves: Float64, places: Float64, rows: Array, n: int, work: Any, shape: Float64) -> bool:
    """Choose rise and fall among the start's curves by least squares; False if no hump lowers the misfit."""
    products, sums = work
    total, level = gram(y, w, curves, rows, n, products, sums)
    best = 0.0
    for i in range(len(places)):
        for j in range(len(places)):
            if places[j, 0] <= places[i, 0]:
                continue
            mean = sums[0, i] - sums[0, j]
            spread = products[i, i] - 2 * products[i, j] + products[j, j] - mean * mean / total
            along = sums[1, i] - sums[1, j] - mean * level / total
            if along > 0 and spread > 1e-9 * total and along * along / spread > best:
                best = along * along / spread
                shape[0], shape[1] = places[i, 0], math.log(places[i, 1])
                shape[2], shape[3] = places[j, 0] - places[i, 0], math.log(places[j, 1])
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
def reweigh(y: Float64, prior: Float64, n: int, fit: Any, columns: Float64, w: Float64) -> bool:
    """Take weight from values far from the curve, by Tukey's bisquare; False if the curve meets the values anyway."""
    sizes = np.empty(n)
    for t in range(n):
        sizes[t] = abs(y[t] - fit[0] - fit[1] * columns[t, 0])
    spread = 1.4826 * median_of(sizes, n) * math.sqrt(n / max(n - 6.0, 1.0))
    if spread <= 1e-6 * fit[1]:
        return False
    for t in range(n):
        far = (y[t] - fit[0] - fit[1] * columns[t, 0]) / (BISQUARE * spread)
        w[t] = prior[t] * max(1 - far * far, 0.0) ** 2
    return True


@compiled
def lean(day: float, shape: Float64) -> Any:
    """Tell whether the curve rises (above 0) or falls: logarithm of the rise's slope less that of the fall's."""
    u, v = abs(day - shape[0]) / math.exp(shape[1]), abs(day - shape[0] - shape[2]) / math.exp(shape[3])
    return v - u + 2 * (math.log1p(math.exp(-v)) - math.log1p(math.exp(-u))) + shape[3] - shape[1]


@compiled
def top_of(shape: Float64) -> Any:
    """Give the day of the curve's greatest value: between rise and fall, or just outside where one is slow and they are close."""
    low, high = shape[0], shape[0] + shape[2]
    for _ in range(60):
        if lean(low, shape) > 0:
            break
        low -= math.exp(shape[1])
    for _ in range(60):
        if lean(high, shape) < 0:
            break
        high += math.exp(shape[3])
    for _ in range(50):
        middle = (low + high) / 2
        if lean(middle, shape) > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


@compiled
def hump(day: float, shape: Float64) -> Any:
    """Give the curve of base 0 and height 1 at a day."""
    return sigmoid((day - shape[0]) / math.exp(shape[1])) - sigmoid((day - shape[0] - shape[2]) / math.exp(shape[3]))


@compiled
def slope(day: float, shape: Float64) -> Any:
    """Give the slope of `hump`."""
    r, q = math.exp(shape[1]), math.exp(shape[3])
    up, down = sigmoid((day - shape[0]) / r), sigmoid((day - shape[0] - shape[2]) / q)
    return up * (1 - up) / r - down * (1 - down) / q


@compiled
def hump_area(day: float, shape: Float64) -> Any:
    """Give the integral of `hump` up to a day."""
    r, q = math.exp(shape[1]), math.exp(shape[3])
    u, v = (day - shape[0]) / r, (day - shape[0] - shape[2]) / q
    return r * (max(u, 0.0) + math.log1p(math.exp(-abs(u)))) - q * (max(v, 0.0) + math.log1p(math.exp(-abs(v))))


@compiled
def cross(inner: float, outer: float, level: float, shape: Float64) -> float:
    """Find the day between the top and an outer day where the hump has a level; NaN if it does not fall so far."""
    if hump(outer, shape) >= level:
        return np.nan
    for _ in range(50):
        middle = (inner + outer) / 2
        if hump(middle, shape) >= level:
            inner = middle
        else:
            outer = middle
    return (inner + outer) / 2


@compiled
def write_marks(base: float, height: float, shape: Float64, seen: Any, rule: Any, out: Float64) -> int:
    """Write the marks of a curve by share and least amplitude, of which days first … last were seen; say whether it is a season."""
    (first, last), (share, least) = seen, rule
    peak = min(max(top_of(shape), first), last)
    top = hump(peak, shape)
    if not top > 0 or height * top < least:
        return NO_SEASON
    start, end = cross(peak, first, share * top, shape), cross(peak, last, share * top, shape)
    out[0], out[1], out[2], out[3] = start, peak, end, end - start
    out[4], out[5], out[6] = base, base + height * top, height * top
    out[7] = base * (end - start) + height * (hump_area(end, shape) - hump_area(start, shape))
    for k in range(2):
        day = shape[0] + k * shape[2]
        if first <= day <= last:
            out[8 + k], out[10 + k] = day, height * slope(day, shape)
    return FITTED


@compiled
def fit_one(x: Float64, y: Float64, prior: Float64, n: int, start: Any, work: Any, shape: Float64) -> tuple[int, float, float]:
    """Fit one series of n dates; give how it went, base and height."""
    w, columns, bounds, grams = work
    if n < LEAST_SEEN:
        return TOO_FEW, 0.0, 0.0
    for t in range(n):
        w[t] = prior[t]
    if not first_guess(y, w, start[0], start[1], start[2], n, grams, shape):
        return NO_SEASON, 0.0, 0.0
    converged = descend(x, y, w, n, bounds, columns, shape)
    fit = project(x, y, w, n, shape, columns)
    for _ in range(ROUNDS):
        if not reweigh(y, prior, n, fit, columns, w):
            break
        converged = descend(x, y, w, n, bounds, columns, shape)
        fit = project(x, y, w, n, shape, columns)
    if not fit[1] > 0:
        return NO_SEASON, 0.0, 0.0
    return FITTED if converged else NOT_CONVERGED, fit[0], fit[1]


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
def write_fit(x: Float64, y: Float64, n: int, curve: Any, out: Float64) -> None:
    """Write the RMSE over all dates seen, and the parameters."""
    base, height, shape = curve
    total = 0.0
    for t in range(n):
        total += (y[t] - base - height * hump(x[t], shape)) ** 2
    out[RMSE] = math.sqrt(total / n)
    out[FIT + 1], out[FIT + 2], out[FIT + 3], out[FIT + 4] = base, height, shape[0], math.exp(shape[1])
    out[FIT + 5], out[FIT + 6] = shape[2], math.exp(shape[3])


@compiled
def curves_of(
    series: Float32, weights: Float32, days: Float64, edges: Array, share: float, least: float, first: int, last: int, out: Float64
) -> None:
    """Write the `FIT_MARKS` and `PARAMETERS` of series first … last − 1 in each season, (series, season, 20)."""
    n_days, n_starts = series.shape[1], N_NODES * len(START_SCALES)
    shape, bounds, w = np.empty(N_SHAPE), np.empty((N_SHAPE, 2)), np.empty(n_days)
    rows, x, y, prior = np.empty(n_days, np.int64), np.empty(n_days), np.empty(n_days), np.empty(n_days)
    work = (w, np.empty((n_days, N_SHAPE + 1)), bounds, (np.empty((n_starts, n_starts)), np.empty((2, n_starts))))
    for s in range(len(edges) - 1):
        if edges[s + 1] <= edges[s]:
            continue
        curves, starts = start_shapes(days, edges[s], edges[s + 1])
        bound(days[edges[s]], days[edges[s + 1] - 1], bounds)
        for i in range(first, last):
            n = gather(series[i], weights[i % len(weights)], days, (edges[s], edges[s + 1]), (rows, x, y, prior))
            how, base, height = fit_one(x, y, prior, n, (curves, starts, rows), work, shape)
            if how == FITTED:
                how = write_marks(base, height, shape, (x[0], x[n - 1]), (share, least), out[i, s])
            if how == FITTED:
                write_fit(x, y, n, (base, height, shape), out[i, s])
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

    .. math:: f(t) = b + a \left( \frac{1}{1 + e^{-(t - S) / r}} - \frac{1}{1 + e^{-(t - A) / q}} \right)

    by weighted least squares over the dates seen: the best of some hundred curves begins the search, Levenberg and Marquardt's
    steps end it, and three times more after values far from the curve have lost weight by Tukey's bisquare of the residuals'
    median. Bounds: r and q 2 … 60 days, A ≥ S + 5, S within 60 days of the dates.

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
    (series, season, 20), float64
        `FIT_MARKS`, then `PARAMETERS`. All NaN but "fit" where that is not `FITTED`; start, end and what follows from them NaN
        where they lie outside of the dates seen.

    References
    ----------
    Beck et al. (2006), Remote Sensing of Environment 100, 321–334; Jönsson & Eklundh (2004), Computers & Geosciences 30, 833–845.

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


@compiled
def draw(parameters: Float64, days: Float64, seasons: Array, out: Float32) -> None:
    """Write the curves of series at days, (series, time)."""
    shape = np.empty(N_SHAPE)
    for i in range(len(parameters)):
        for t in range(len(days)):
            if seasons[t] < 0:
                out[i, t] = np.nan
                continue
            one = parameters[i, seasons[t]]
            shape[0], shape[1], shape[2], shape[3] = one[2], math.log(one[3]), one[4], math.log(one[5])
            out[i, t] = one[0] + one[1] * hump(days[t], shape)


def draw_curves(parameters: Float64, days: Float64, seasons: Array) -> Float32:
    """Draw fitted curves.

    Parameters
    ----------
    parameters : (series, season, 6), float64
        `PARAMETERS`, NaN where there is no curve.
    days : (time,), float64
        In the count that the parameters' days have.
    seasons : (time,), int
        Season of each day; −1 of none.

    Returns
    -------
    (series, time), float32
    """
    out = np.empty((len(parameters), len(days)), np.float32)
    draw(parameters, days, seasons, out)
    return out
