"""Long gaps of series crossed by dynamics: forward from the left end, then bent to meet the right one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from xsentinel.blocks.rollout import Rollout, base_of, forecast_of, phase_at
from xsentinel.kernels.forecast import Forecaster
from xsentinel.kernels.linear import fill_linear

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Advance = Callable[[Float32, Float32, int], Float32]
"""(before, now, step) → next, each (band, series): what the date after the step-th should be."""


def bridge(
    values: Float32, t_in: Float64, dates: Float64, carry: Forecaster | Rollout, max_gap: float
) -> tuple[Float32, npt.NDArray[np.uint8]]:
    r"""Give values at regular dates: on a line over short gaps, by dynamics over those longer than max_gap days.

    From the left end of a gap, at a, the dynamics give f(t) up to the right end, at b, where the observation y is
    missed by a little. That is spread over the gap:

    .. math:: z(t) = f(t) - \frac{t - t_a}{t_b - t_a}\,\big(f(t_b) - y_b\big)

    Parameters
    ----------
    values : (time, band, series), float32
        Reflectance with gaps.
    t_in, dates : (time), (time_out), days since 1970-01-01
        ``dates`` are a step of the dynamics apart.
    carry : Forecaster or Rollout
        A model; or a method whose own path from date to date is followed.
    max_gap : float
        Days.

    Returns
    -------
    (time_out, band, series), float32; (time_out, series), uint8
        Values, NaN before the first and after the last observation; 1 where dynamics crossed a gap.
    """
    base: Float32 | float = 0.0
    if isinstance(carry, Rollout):
        forecast = forecast_of(carry.model.card)
        base = base_of(values, t_in, dates, forecast)
        values = values - base_of(values, t_in, t_in, forecast)
    flat = np.ascontiguousarray(values.reshape(t_in.size, -1))
    short = fill_linear(flat, t_in, dates, max_gap=max_gap).reshape(dates.size, *values.shape[1:])
    known = np.asarray(np.isfinite(short).all(1))
    advance = _by_model(carry, dates) if isinstance(carry, Rollout) else _by_path(carry(values, t_in, dates)[0])
    path, told = _forward(short, known, advance)
    out = _bend(path, told, short, known) + base
    later = np.logical_or.accumulate(known[::-1], axis=0)[::-1]
    np.copyto(out, np.nan, where=~later[:, None])
    return out, np.asarray(np.isfinite(out).all(1) & ~known, np.uint8)


def _by_path(path: Float32) -> Advance:
    """Follow the way of a path."""
    return lambda before, now, k: now + (path[k + 1] - path[k])


def _by_model(carry: Rollout, dates: Float64) -> Advance:
    def advance(before: Float32, now: Float32, k: int) -> Float32:
        return carry.next(np.stack([before, now]), phase_at(dates[k]))

    return advance


def _forward(short: Float32, known: npt.NDArray[np.bool_], advance: Advance) -> tuple[Float32, Float32]:
    """Go through time; give the path, observed where it can be, and what was told of each date by the one before."""
    path, told = short.copy(), np.full_like(short, np.nan)
    for k in range(1, len(short) - 1):
        # after a gap the path jumps to the observation: the slope there is the one that was told
        jump = known[k] & ~known[k - 1]
        before = np.where(jump & np.isfinite(told[k]), path[k] - (told[k] - path[k - 1]), path[k - 1])
        before = np.where(np.isfinite(before), before, path[k])
        told[k + 1] = advance(before, path[k], k)
        path[k + 1] = np.where(known[k + 1], short[k + 1], told[k + 1])
    return path, told


def _bend(path: Float32, told: Float32, short: Float32, known: npt.NDArray[np.bool_]) -> Float32:
    """Spread what was missed at the right end of each gap over it."""
    out, n = path.copy(), len(path)
    count = np.zeros(known.shape, np.int32)
    for k in range(1, n):
        count[k] = np.where(known[k], 0, count[k - 1] + 1)
    missed, length = np.zeros_like(path[0]), np.ones(known.shape[1], np.float32)
    for k in range(n - 1, 0, -1):
        ends = known[k] & ~known[k - 1]
        missed = np.where(ends, told[k] - short[k], missed)
        length = np.where(ends, count[k - 1] + 1, length)
        out[k] = np.where(known[k], path[k], path[k] - missed * (count[k] / length))
    return out
