"""Fill gaps from the two neighbours in time: linear, nearest; and how far these neighbours are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xsentinel.kernels.compiled import compiled
from xsentinel.kernels.memory import settle
from xsentinel.kernels.series import (
    BLOCK,
    INF,
    NAN,
    Extrapolate,
    Float32,
    prepare_dates,
    prepare_decoding,
    prepare_limits,
    run_series,
    scratch,
    stream_row,
)


@compiled
def between(t: float, a: float, t_a: float, b: float, t_b: float) -> float:
    """Interpolate linearly between a and b; rounding never leaves their interval."""
    v = a + (b - a) * ((t - t_a) / (t_b - t_a))
    v = max(v, min(a, b))
    return min(v, max(a, b))


@compiled
def closest(t: float, a: float, t_a: float, b: float, t_b: float) -> float:
    """Take the nearer value; the earlier one of two equally near."""
    return a if t - t_a <= t_b - t else b


@compiled
def limit(v: Any, t: float, limits: tuple[float, float], a: float, t_a: float, b: float, t_b: float) -> Any:
    """Keep an observation as it is, a filled value within the limits; NaN elsewhere."""
    v = v if t_b - t_a <= limits[0] else NAN
    v = b if (t_a == -INF) & (t_b - t <= limits[1]) else v
    v = a if (t_b == INF) & (t - t_a <= limits[1]) else v
    return a if t_a == t else v


@compiled
def linear_row(t: float, limits: Float32, past: Float32, past_t: Float32, ahead: Float32, ahead_t: Float32, row: Float32) -> None:
    """Write one date, interpolated."""
    pair = limits[0], limits[1]
    for k in range(BLOCK):
        a, t_a, b, t_b = past[k], past_t[k], ahead[k], ahead_t[k]
        row[k] = limit(between(t, a, t_a, b, t_b), t, pair, a, t_a, b, t_b)


@compiled
def nearest_row(t: float, limits: Float32, past: Float32, past_t: Float32, ahead: Float32, ahead_t: Float32, row: Float32) -> None:
    """Write one date from the nearest observation."""
    pair = limits[0], limits[1]
    for k in range(BLOCK):
        a, t_a, b, t_b = past[k], past_t[k], ahead[k], ahead_t[k]
        row[k] = limit(closest(t, a, t_a, b, t_b), t, pair, a, t_a, b, t_b)


@compiled
def days_row(t: float, limits: Float32, past: Float32, past_t: Float32, ahead: Float32, ahead_t: Float32, row: Float32) -> None:
    """Write the days from one date to the nearest observation; NaN where there is none."""
    for k in range(BLOCK):
        days = min(t - past_t[k], ahead_t[k] - t)
        row[k] = days if days < INF else NAN


@compiled
def filled_row(t: float, limits: Float32, past: Float32, past_t: Float32, ahead: Float32, ahead_t: Float32, row: Float32) -> None:
    """Write 0 where one date was observed and 1 where it was not."""
    yes, no = np.float32(1), np.float32(0)
    for k in range(BLOCK):
        row[k] = no if past_t[k] == t else yes


@compiled
def carry_back(x: Float32, t_in: Float32, back: NDArray[np.int64], next_t: Float32) -> None:
    """Replace each gap by the next valid value (NaN: none) and note its date (inf: none)."""
    next_t[t_in.size] = INF
    for i in back:
        t = t_in[i]
        value, value_after, time, time_after = x[i], x[i + 1], next_t[i], next_t[i + 1]
        for k in range(BLOCK):
            v, v_after, t_after = value[k], value_after[k], time_after[k]
            valid = v == v
            value[k] = v if valid else v_after
            time[k] = t if valid else t_after


@compiled
def carry_on(t: float, ahead: Float32, ahead_t: Float32, past: Float32, past_t: Float32) -> None:
    """Note the value of an input date as the last one, where it is valid."""
    for k in range(BLOCK):
        v, v_past, t_past = ahead[k], past[k], past_t[k]
        valid = ahead_t[k] == t
        past[k] = v if valid else v_past
        past_t[k] = t if valid else t_past


@compiled
def join_block(
    rule: Any,
    store: Any,
    x: Float32,
    next_t: Float32,
    dates: Any,
    limits: Float32,
    out: Any,
    first: int,
    n: int,
) -> None:
    """Fill a block of series, (time_in + 1, BLOCK) to (time_out, pixel); `x` is overwritten."""
    t_in, t_out, last, _, back = dates
    past, past_t = np.full(BLOCK, NAN), np.full(BLOCK, -INF)
    row = np.empty(BLOCK, np.float32)
    carry_back(x, t_in, back, next_t)
    i = 0
    for j in range(t_out.size):
        while i <= last[j]:
            carry_on(t_in[i], x[i], next_t[i], past, past_t)
            i += 1
        rule(t_out[j], limits, past, past_t, x[i], next_t[i], row)
        store(row, out, j, first, n)


@compiled
def join_neighbours(
    load: Any,
    values: Any,
    decoding: Float32,
    dates: Any,
    rule: Any,
    store: Any,
    limits: Float32,
    out: Any,
    start: int,
    stop: int,
) -> None:
    """Fill the pixels ``start <= p < stop`` by a rule of the two valid neighbours.

    One sweep back and one forth over a block that stays in cache; the rows of the array itself
    lie so far apart that they would evict one another.
    """
    x, next_t = scratch(values.shape[0]), scratch(values.shape[0])
    for first in range(start, stop, BLOCK):
        n = min(BLOCK, stop - first)
        load(values, first, n, decoding, x)
        join_block(rule, store, x, next_t, dates, limits, out, first, n)
    settle()


def fill_linear(
    values: NDArray[Any],
    t_in: ArrayLike,
    t_out: ArrayLike,
    *,
    max_gap: float | None = None,
    extrapolate: Extrapolate = False,
    nodata: float | None = None,
    scale: float = 1.0,
    offset: float = 0.0,
    n_threads: int = 1,
) -> Float32:
    """Interpolate each series linearly in true time between its valid observations.

    .. math:: z(t) = y_a + (y_b - y_a) (t - t_a) / (t_b - t_a)

    with a and b the valid observations around t. At the date of an observation the observation
    itself is returned, to the bit.

    Parameters
    ----------
    values : numpy.ndarray (time_in, ...), float32 or uint16
        Any unit. Gaps are NaN and `nodata`.
    t_in, t_out : array-like (time_in), (time_out), days
        Dates given and wanted, from any common origin, strictly increasing.
    max_gap : float, optional, days
        Between two observations further apart than this the gap stays NaN; beyond the ends a value
        is held no longer than this.
    extrapolate : False or "nearest"
        Before the first and after the last observation: NaN, or that observation's value.
    nodata : float, optional
        Stored value of a gap (uint16: usually 0).
    scale, offset : float
        For uint16: ``stored * scale + offset`` is the value.
    n_threads : int
        Threads over pixels; the answer does not depend on it, to the bit.

    Returns
    -------
    numpy.ndarray (time_out, ...), float32
        In the unit of the (decoded) values; NaN where nothing could be filled.

    Examples
    --------
    >>> y = np.array([[1.0], [np.nan], [4.0]], np.float32)
    >>> fill_linear(y, [0, 10, 30], [0, 10, 20, 30]).ravel()
    array([1., 2., 3., 4.], dtype=float32)
    """
    decoding = prepare_decoding(values.dtype, nodata, scale, offset)
    options = (linear_row, stream_row, prepare_limits(max_gap, extrapolate))
    return run_series(join_neighbours, values, prepare_dates(t_in, t_out), decoding, options, n_threads=n_threads)


def fill_nearest(
    values: NDArray[Any],
    t_in: ArrayLike,
    t_out: ArrayLike,
    *,
    max_gap: float | None = None,
    extrapolate: Extrapolate = False,
    nodata: float | None = None,
    scale: float = 1.0,
    offset: float = 0.0,
    n_threads: int = 1,
) -> Float32:
    """Take the valid observation nearest in time; the earlier one of two equally near.

    Parameters and Returns are those of `fill_linear`.

    Examples
    --------
    >>> y = np.array([[1.0], [np.nan], [4.0]], np.float32)
    >>> fill_nearest(y, [0, 10, 30], [0, 10, 20, 30]).ravel()
    array([1., 1., 4., 4.], dtype=float32)
    """
    decoding = prepare_decoding(values.dtype, nodata, scale, offset)
    options = (nearest_row, stream_row, prepare_limits(max_gap, extrapolate))
    return run_series(join_neighbours, values, prepare_dates(t_in, t_out), decoding, options, n_threads=n_threads)
