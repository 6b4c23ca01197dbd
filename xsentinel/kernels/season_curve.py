"""The curve of a season, f(t) = b + c₁ σ((t − S)/r) − c₂ σ((t − A)/q): its values, its marks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.compiled import compiled
from xsentinel.kernels.levenberg import sigmoid
from xsentinel.kernels.seasons import MARKS

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

FIT_MARKS = (*MARKS, "greening", "senescence", "greening_rate", "senescence_rate", "rmse", "fit")
"""Marks of a curve, in order."""

RMSE, FIT = len(FIT_MARKS) - 2, len(FIT_MARKS) - 1

PARAMETERS = ("rise", "log_rise_scale", "duration", "log_fall_scale", "base_before", "rise_height", "fall_height")
"""What a curve is drawn from: S (day), ln r, A − S (days), ln q, b, c₁, c₂ (units)."""

HOW = ("fitted", "too_few_dates", "no_season", "not_converged")
"""What the values 0 … 3 of the mark "fit" mean."""

FITTED, TOO_FEW, NO_SEASON, NOT_CONVERGED = range(len(HOW))


@compiled
def value_at(day: float, curve: Float64) -> Any:
    """Give the curve's value."""
    up, down = (day - curve[0]) / math.exp(curve[1]), (day - curve[0] - curve[2]) / math.exp(curve[3])
    return curve[4] + curve[5] * sigmoid(up) - curve[6] * sigmoid(down)


@compiled
def slope_at(day: float, curve: Float64) -> Any:
    """Give the curve's slope."""
    r, q = math.exp(curve[1]), math.exp(curve[3])
    up, down = sigmoid((day - curve[0]) / r), sigmoid((day - curve[0] - curve[2]) / q)
    return curve[5] * up * (1 - up) / r - curve[6] * down * (1 - down) / q


@compiled
def area_to(day: float, curve: Float64) -> Any:
    """Give the curve's integral up to a day, but for a constant."""
    r, q = math.exp(curve[1]), math.exp(curve[3])
    u, v = (day - curve[0]) / r, (day - curve[0] - curve[2]) / q
    rise, fall = max(u, 0.0) + math.log1p(math.exp(-abs(u))), max(v, 0.0) + math.log1p(math.exp(-abs(v)))
    return curve[4] * day + curve[5] * r * rise - curve[6] * q * fall


@compiled
def lean(day: float, curve: Float64) -> Any:
    """Tell whether the curve rises (above 0) or falls: logarithm of the rise's slope less that of the fall's, exact far out too."""
    u, v = abs(day - curve[0]) / math.exp(curve[1]), abs(day - curve[0] - curve[2]) / math.exp(curve[3])
    height = math.log(curve[5] / curve[6]) + curve[3] - curve[1]
    return v - u + 2 * (math.log1p(math.exp(-v)) - math.log1p(math.exp(-u))) + height


@compiled
def turn(low: float, high: float, rises: bool, curve: Float64) -> Any:
    """Find the day between two where the curve turns, that rises at first or falls."""
    for _ in range(50):
        middle = (low + high) / 2
        if (lean(middle, curve) > 0) == rises:
            low = middle
        else:
            high = middle
    return (low + high) / 2


@compiled
def top_of(curve: Float64) -> Any:
    """Give the day of the curve's greatest value: between rise and fall, or just outside where one is slow and they are close."""
    low, high = curve[0], curve[0] + curve[2]
    for _ in range(60):
        if lean(low, curve) > 0:
            break
        low -= math.exp(curve[1])
    for _ in range(60):
        if lean(high, curve) < 0:
            break
        high += math.exp(curve[3])
    return turn(low, high, True, curve)


@compiled
def side(peak: float, edge: float, share: float, curve: Float64) -> tuple[float, float]:
    """Give the lowest value from the peak to an edge, and the day where the curve has a share of what it rises by."""
    forward = edge > peak
    if (lean(edge, curve) > 0) == forward:  # the slower of rise and fall leaves a dip before the edge
        edge = turn(min(peak, edge), max(peak, edge), False, curve)
    top, low = value_at(peak, curve), value_at(edge, curve)
    if not low < top:
        return top, np.nan
    inner, level = peak, low + share * (top - low)
    for _ in range(50):
        middle = (inner + edge) / 2
        if value_at(middle, curve) >= level:
            inner = middle
        else:
            edge = middle
    return low, (inner + edge) / 2


@compiled
def write_marks(curve: Float64, seen: Any, rule: Any, out: Float64) -> int:
    """Write the marks of a curve by share and least amplitude, of which days first … last were seen; say whether it is a season."""
    (first, last), (share, least) = seen, rule
    peak = min(max(top_of(curve), first), last)
    (before, start), (after, end) = side(peak, first, share, curve), side(peak, last, share, curve)
    top, base = value_at(peak, curve), (before + after) / 2
    if not top > base or top - base < least:
        return NO_SEASON
    out[0], out[1], out[2], out[3] = start, peak, end, end - start
    out[4], out[5], out[6], out[7] = base, top, top - base, area_to(end, curve) - area_to(start, curve)
    for k in range(2):
        day = curve[0] + k * curve[2]
        if first <= day <= last:
            out[8 + k], out[10 + k] = day, slope_at(day, curve)
    return FITTED


@compiled
def draw(parameters: Float64, days: Float64, seasons: Array, out: Float32) -> None:
    """Write the curves of series at days, (series, time)."""
    for i in range(len(parameters)):
        for t in range(len(days)):
            out[i, t] = value_at(days[t], parameters[i, seasons[t]]) if seasons[t] >= 0 else np.nan


def draw_curves(parameters: Float64, days: Float64, seasons: Array) -> Float32:
    """Draw fitted curves.

    Parameters
    ----------
    parameters : (series, season, 7), float64
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
