"""Smooth and fill with the Savitzky-Golay filter, on regular dates."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xsentinel.errors import TimeError, XSentinelError
from xsentinel.kernels.compiled import compiled, contracted
from xsentinel.kernels.linear import join_block, linear_row
from xsentinel.kernels.memory import settle
from xsentinel.kernels.series import (
    BLOCK,
    LARGEST,
    Extrapolate,
    Float32,
    check_days,
    finish_block,
    prepare_dates,
    prepare_decoding,
    prepare_limits,
    run_series,
    scratch,
    store_row,
)


def savgol_weights(n: int, window: int, polyorder: int) -> tuple[Float32, NDArray[np.int64]]:
    """Return weights (n, window) and the first step (n) of the window of each step.

    A polynomial is fitted by least squares to the window around a step; the first and last half
    windows take it from the first and last whole window.
    """
    if not 0 <= polyorder < window or window % 2 == 0:
        raise XSentinelError(f"window is {window} and polyorder {polyorder}; give an odd window > polyorder >= 0")
    if n < window:
        raise TimeError(f"t_out has {n} dates but the window needs {window}; shorten the window")
    half = window // 2
    powers = np.arange(polyorder + 1)
    place = (np.arange(window) - half) / max(half, 1)
    solve = np.linalg.pinv(place[:, None] ** powers)
    rows = (place[:, None] ** powers) @ solve
    begin = np.clip(np.arange(n) - half, 0, n - window)
    return rows[np.arange(n) - begin].astype(np.float32), begin


@contracted
def smooth_step(w: Float32, y: Float32, row: Float32) -> None:
    """Write the weighted sum of a window (odd, so one row and then pairs of rows)."""
    w0, y0 = w[0], y[0]
    for k in range(BLOCK):
        row[k] = w0 * y0[k]
    for i in range(1, w.size, 2):
        w1, w2, y1, y2 = w[i], w[i + 1], y[i], y[i + 1]
        for k in range(BLOCK):
            row[k] += w1 * y1[k] + w2 * y2[k]


@compiled
def smooth_steps(  # noqa: PLR0913
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
    """Fill linearly, then filter the pixels ``start <= p < stop``."""
    n_in, n_out, window = values.shape[0], out.shape[0], weights.shape[1]
    x, carried, next_t = scratch(n_in), scratch(n_in), scratch(n_in)
    filled, smooth = np.empty((n_out, BLOCK), np.float32), np.empty((n_out, BLOCK), np.float32)
    everything = np.array([LARGEST, LARGEST], np.float32)
    for first in range(start, stop, BLOCK):
        n = min(BLOCK, stop - first)
        load(values, first, n, decoding, x)
        carried[:] = x
        join_block(linear_row, store_row, carried, next_t, dates, everything, filled, 0, BLOCK)
        for j in range(n_out):
            smooth_step(weights[j], filled[begin[j] : begin[j] + window], smooth[j])
        finish_block(smooth, x, next_t, dates, limits, keep, out, first, n)
    settle()


def fill_savgol(  # noqa: PLR0913
    values: NDArray[Any],
    t_in: ArrayLike,
    t_out: ArrayLike,
    *,
    window: int = 7,
    polyorder: int = 2,
    keep_valid: bool = False,
    max_gap: float | None = None,
    extrapolate: Extrapolate = False,
    nodata: float | None = None,
    scale: float = 1.0,
    offset: float = 0.0,
    n_threads: int = 1,
) -> Float32:
    """Interpolate linearly to regular dates, then smooth with a moving polynomial.

    The gaps are filled linearly in true time (ends held), and each output date takes the value of
    the polynomial that fits the `window` dates around it best in least squares; the first and last
    half windows take it from the first and last whole window.

    Parameters
    ----------
    values, t_in, max_gap, nodata, scale, offset, n_threads
        As in `fill_linear`.
    t_out : array-like (time_out), days
        Dates wanted, equally spaced, at least `window` of them.
    window : int, dates
        Width, odd.
    polyorder : int
        Degree, less than `window`.
    keep_valid : bool
        Return observations as they are; False smooths them too.
    extrapolate : False or "nearest"
        Before the first and after the last observation: NaN, or the filter over held ends.

    Returns
    -------
    numpy.ndarray (time_out, ...), float32
        In the unit of the (decoded) values; NaN where nothing could be filled.

    References
    ----------
    A. Savitzky and M. J. E. Golay, Analytical Chemistry 36, 1627-1639, 1964.

    Examples
    --------
    >>> y = np.array([[1.0], [np.nan], [3.0], [4.0]], np.float32)
    >>> fill_savgol(y, [0, 5, 10, 15], [0, 5, 10, 15], window=3, polyorder=1).round(4).ravel()
    array([1., 2., 3., 4.], dtype=float32)
    """
    steps = np.diff(check_days(t_out, "t_out"))
    if steps.size and np.ptp(steps) > 1e-3 * steps[0]:
        raise TimeError(
            f"t_out has steps of {steps.min():g} to {steps.max():g} days, but this filter needs equal ones; "
            "ask for a regular step such as 5 days, or use fill_whittaker"
        )
    dates = prepare_dates(t_in, t_out)
    decoding = prepare_decoding(values.dtype, nodata, scale, offset)
    table = savgol_weights(dates.t_out.size, window, polyorder)
    options = (*table, prepare_limits(max_gap, extrapolate), keep_valid)
    return run_series(smooth_steps, values, dates, decoding, options, n_threads=n_threads)
