"""Fill gaps by a weighted mean of the observations around a date (Cressman)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xsentinel.errors import XSentinelError
from xsentinel.kernels.compiled import compiled, contracted
from xsentinel.kernels.memory import settle
from xsentinel.kernels.series import (
    BLOCK,
    NAN,
    Dates,
    Extrapolate,
    Float32,
    finish_block,
    prepare_dates,
    prepare_decoding,
    prepare_limits,
    run_series,
    scratch,
)

LEAST_WEIGHT = 1e-6
"""Gaussian weights below this count as 0: an observation further than 5.26 radii is not used."""
LANES = 128
"""Pixels averaged together: 97 rows of values and of weights take 100 kB of L2."""
STRIDE = 4
"""Input dates added up together; the list of each output date is padded to a multiple of it."""


def cressman_weights(dates: Dates, radius: float, weights: str) -> tuple[Float32, NDArray[np.int64]]:
    """Return weights (time_out, width) and the first input date (time_out) that each row starts at.

    Rows start early enough to fit into the input dates; weights beyond the reach are 0. The row of
    input dates past the last one stands for padding and has weight 0 as well.
    """
    t_in, t_out = dates.t_in.astype(np.float64), dates.t_out.astype(np.float64)
    squared = (t_out[:, None] - t_in[None, :]) ** 2 / radius**2
    if weights == "gaussian":
        table = np.exp(-0.5 * squared)
        table[table < LEAST_WEIGHT] = 0
    else:
        table = np.maximum(1 - squared, 0) / (1 + squared)
    n_in, used = t_in.size, table > 0
    n_before = np.cumsum(used, axis=1)
    begin = np.count_nonzero(n_before == 0, axis=1)
    begin[~used.any(axis=1)] = 0
    span = np.count_nonzero((n_before > 0) & (np.cumsum(used[:, ::-1], axis=1)[:, ::-1] > 0), axis=1)
    width = -(-int(span.max(initial=1)) // STRIDE) * STRIDE
    padded = np.zeros((t_out.size, n_in + width), np.float32)
    padded[:, :n_in] = table
    rows = np.take_along_axis(padded, begin[:, None] + np.arange(width), axis=1)
    return rows, begin


@compiled
def split_valid(x: Float32, n_in: int, first: int, y: Float32, valid: Float32) -> None:
    """Write LANES pixels from lane `first` on: values with 0 in the gaps, and 1 and 0 for valid and not."""
    one, zero = np.float32(1), np.float32(0)
    for i in range(n_in):
        source, value, flag = x[i, first : first + LANES], y[i], valid[i]
        for k in range(LANES):
            v = source[k]
            value[k] = v if v == v else zero
        for k in range(LANES):
            v = source[k]
            flag[k] = one if v == v else zero


@contracted
def add_dates(w: Float32, y: Float32, total: Float32) -> None:
    """Write the weighted sum of the rows of `y`, four at a time."""
    total[:] = 0
    for i in range(0, w.size, STRIDE):
        w0, w1, w2, w3 = w[i], w[i + 1], w[i + 2], w[i + 3]
        y0, y1, y2, y3 = y[i], y[i + 1], y[i + 2], y[i + 3]
        for k in range(LANES):
            total[k] += (w0 * y0[k] + w1 * y1[k]) + (w2 * y2[k] + w3 * y3[k])


@compiled
def weigh_date(w: Float32, y: Float32, valid: Float32, weight: Float32, row: Float32) -> None:
    """Write the weighted mean of one output date; NaN where no observation has a weight."""
    add_dates(w, y, row)
    add_dates(w, valid, weight)
    for k in range(LANES):
        v, total = row[k], weight[k]
        row[k] = v / total if total > 0 else NAN


@compiled
def last_valid(x: Float32, t_in: Float32, order: NDArray[np.int64], value: Float32, date: Float32) -> None:
    """Write the last valid value met in `order` and its date; both NaN where there is none."""
    value[:] = NAN
    date[:] = NAN
    for i in order:
        source, t = x[i], t_in[i]
        for k in range(BLOCK):
            v, old = source[k], value[k]
            value[k] = v if v == v else old
        for k in range(BLOCK):
            v, old = source[k], date[k]
            date[k] = t if v == v else old


@compiled
def hold_ends(x: Float32, dates: Any, fitted: Float32) -> None:
    """Before the first and after the last observation put that observation itself."""
    t_in, t_out, back = dates[0], dates[1], dates[4]
    ends = np.empty((4, BLOCK), np.float32)
    a, t_a, b, t_b = ends[0], ends[1], ends[2], ends[3]
    last_valid(x, t_in, back, a, t_a)
    last_valid(x, t_in, np.arange(t_in.size), b, t_b)
    for j in range(t_out.size):
        t, row = t_out[j], fitted[j]
        for k in range(BLOCK):
            v, first = row[k], a[k]
            row[k] = first if t < t_a[k] else v
        for k in range(BLOCK):
            v, last = row[k], b[k]
            row[k] = last if t > t_b[k] else v


@compiled
def weigh_dates(  # noqa: PLR0913
    load: Any,
    values: Any,
    decoding: Float32,
    dates: Any,
    weights: Float32,
    begin: NDArray[np.int64],
    limits: Float32,
    keep: bool,
    out: Float32,
    start: int,
    stop: int,
) -> None:
    """Fill the pixels ``start <= p < stop`` by the weighted mean of each output date."""
    n_in, n_out, width = values.shape[0], out.shape[0], weights.shape[1]
    x, next_t, weight = scratch(n_in), scratch(n_in), np.empty(LANES, np.float32)
    y, valid = np.zeros((n_in + width, LANES), np.float32), np.zeros((n_in + width, LANES), np.float32)
    fitted = np.empty((n_out, BLOCK), np.float32)
    for first in range(start, stop, BLOCK):
        n = min(BLOCK, stop - first)
        load(values, first, n, decoding, x)
        for lane in range(0, n, LANES):
            split_valid(x, n_in, lane, y, valid)
            for j in range(n_out):
                rows = slice(begin[j], begin[j] + width)
                weigh_date(weights[j], y[rows], valid[rows], weight, fitted[j, lane : lane + LANES])
        if limits[1] >= 0:
            hold_ends(x, dates, fitted)
        finish_block(fitted, x, next_t, dates, limits, keep, out, first, n)
    settle()


def fill_cressman(  # noqa: PLR0913
    values: NDArray[Any],
    t_in: ArrayLike,
    t_out: ArrayLike,
    *,
    radius: float = 10.0,
    weights: Literal["gaussian", "cressman"] = "gaussian",
    keep_valid: bool = True,
    max_gap: float | None = None,
    extrapolate: Extrapolate = False,
    nodata: float | None = None,
    scale: float = 1.0,
    offset: float = 0.0,
    n_threads: int = 1,
) -> Float32:
    r"""Fill each gap with the weighted mean of the valid observations around it.

    .. math:: z(t) = \sum_i w(t - t_i) y_i \Big/ \sum_i w(t - t_i)

    over the valid observations i, with :math:`w(d) = \exp(-d^2 / 2 R^2)` ("gaussian") or
    :math:`w(d) = (R^2 - d^2) / (R^2 + d^2)` within R and 0 beyond ("cressman").
    Gaussian weights below 1e-6 are taken as 0: a date further than 5.26 R from every observation
    stays NaN, and with Cressman's own weights a date further than R.

    Parameters
    ----------
    values, t_in, t_out, max_gap, nodata, scale, offset, n_threads
        As in `fill_linear`.
    radius : float, days
        R.
    weights : "gaussian" or "cressman"
        The function w.
    keep_valid : bool
        Return observations as they are; False puts the weighted mean there too.
    extrapolate : False or "nearest"
        Before the first and after the last observation: NaN, or that observation's value.

    Returns
    -------
    numpy.ndarray (time_out, ...), float32
        In the unit of the (decoded) values; NaN where nothing could be filled.

    References
    ----------
    G. P. Cressman, An operational objective analysis system, Monthly Weather Review 87, 1959.
    Gaussian weights of 10 days: A. Estopinan et al., on Sentinel-2 dynamics.

    Examples
    --------
    >>> y = np.array([[1.0], [np.nan], [3.0]], np.float32)
    >>> fill_cressman(y, [0, 10, 20], [0, 10, 20]).ravel()
    array([1., 2., 3.], dtype=float32)
    """
    if not 0 < radius < np.inf:
        raise XSentinelError(f"radius is {radius}; give days > 0")
    if weights not in ("gaussian", "cressman"):
        raise XSentinelError(f"weights is {weights!r}; give 'gaussian' or 'cressman'")
    dates = prepare_dates(t_in, t_out)
    decoding = prepare_decoding(values.dtype, nodata, scale, offset)
    options = (*cressman_weights(dates, radius, weights), prepare_limits(max_gap, extrapolate), keep_valid)
    return run_series(weigh_dates, values, dates, decoding, options, n_threads=n_threads)
