"""Least squares of a double logistic: Levenberg–Marquardt on its four bent parameters, the three straight ones solved for.

A curve is f(t) = b + c₁ σ((t − S)/r) − c₂ σ((t − S − L)/q), kept as (S, ln r, L, ln q, b, c₁, c₂). For the first four given, the
shape, the last three follow from linear least squares (variable projection, Golub & Pereyra 1973), so that only the shape is
searched, with Kaufman's Jacobian.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.compiled import compiled

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]

N_LINES, N_SHAPE = 3, 4
"""Parameters solved for, and searched."""

N_CURVE = N_LINES + N_SHAPE

N_STEPS = 150
"""Steps that are tried at most."""

NEAR = 1e-3
"""A step that moves less than so many days, and scales by less than that share, is the last."""

FLAT = 1e-8
"""So is one that lowers the misfit by less than this share."""

SINGULAR = 1e-10
"""Share of a column that must be left when those before it are taken out, to tell its coefficient; else that is 0."""


@compiled
def sigmoid(u):
    """Rise from 0 to 1."""
    return 1.0 / (1.0 + math.exp(-min(max(u, -40.0), 40.0)))


@compiled
def write_columns(x: Float64, n: int, curve: Float64, columns: Float64) -> None:
    """Write what the coefficients are of, 1, σ, −σ, and their derivatives by the shape but for c₁ and c₂, (date, 7)."""
    r, q = math.exp(curve[1]), math.exp(curve[3])
    for t in range(n):
        u, v = (x[t] - curve[0]) / r, (x[t] - curve[0] - curve[2]) / q
        up, down = sigmoid(u), sigmoid(v)
        bend_up, bend_down = up * (1 - up), down * (1 - down)
        columns[t, 0], columns[t, 1], columns[t, 2] = 1.0, up, -down
        columns[t, 3], columns[t, 4] = -bend_up / r, -u * bend_up
        columns[t, 5], columns[t, 6] = bend_down / q, v * bend_down


@compiled
def project(x: Float64, y: Float64, w: Float64, n: int, curve: Float64, columns: Float64) -> float:
    """Write the columns of a shape and the coefficients that fit best; give the misfit."""
    write_columns(x, n, curve, columns)
    system = np.zeros((N_LINES, N_LINES + 1))
    for t in range(n):
        for i in range(N_LINES):
            one = w[t] * columns[t, i]
            for j in range(i, N_LINES):
                system[i, j] += one * columns[t, j]
            system[i, N_LINES] += one * y[t]
    eliminate(system, N_LINES)
    for i in range(N_LINES - 1, -1, -1):
        value = system[i, N_LINES]
        for j in range(i + 1, N_LINES):
            value -= system[i, j] * curve[N_SHAPE + j]
        curve[N_SHAPE + i] = value / system[i, i] if system[i, i] > 0 else 0.0
    misfit = 0.0
    for t in range(n):
        misfit += w[t] * rest(y, t, curve, columns) ** 2
    return misfit


@compiled
def rest(y: Float64, t: int, curve: Float64, columns: Float64) -> Any:
    """Give what a value lies above the curve."""
    return y[t] - curve[4] - curve[5] * columns[t, 1] - curve[6] * columns[t, 2]


@compiled
def eliminate(system: Float64, n: int) -> None:
    """Take the first n unknowns out of the rows behind, of a symmetric system of which the upper half is given, right side last."""
    for i in range(n):
        whole = system[i, i]
        for k in range(i):
            whole += system[k, i] * system[k, i] / system[k, k] if system[k, k] > 0 else 0.0
        if system[i, i] <= SINGULAR * whole:
            system[i, i] = 0.0
            continue
        for k in range(i + 1, len(system)):
            factor = system[i, k] / system[i, i]
            for j in range(k, system.shape[1]):
                system[k, j] -= factor * system[i, j]


@compiled
def normal_equations(y: Float64, w: Float64, n: int, curve: Float64, columns: Float64, system: Float64) -> None:
    """Write matrix and right side of the step of the shape, (7, 8): the last four rows, with what the coefficients take up taken out."""
    system.fill(0.0)
    row = np.empty(N_CURVE + 1)
    for t in range(n):
        up, down = curve[5] * columns[t, 3], curve[6] * columns[t, 5]
        row[0], row[1], row[2] = columns[t, 0], columns[t, 1], columns[t, 2]
        row[3], row[4], row[5], row[6] = up + down, curve[5] * columns[t, 4], down, curve[6] * columns[t, 6]
        row[7] = rest(y, t, curve, columns)
        for i in range(N_CURVE):
            one = w[t] * row[i]
            for j in range(i, N_CURVE + 1):
                system[i, j] += one * row[j]
    eliminate(system, N_LINES)


@compiled
def damp(system: Float64, damping: float, curve: Float64, bounds: Float64, damped: Float64) -> None:
    """Write the damped system, (4, 5); a parameter that would leave its bounds at once gets the step 0."""
    for i in range(N_SHAPE):
        for j in range(i, N_SHAPE + 1):
            damped[i, j] = system[N_LINES + i, N_LINES + j]
    for i in range(N_SHAPE):
        outward = (curve[i] <= bounds[i, 0] and damped[i, 4] < 0) or (curve[i] >= bounds[i, 1] and damped[i, 4] > 0)
        if outward or damped[i, i] <= 0:
            for j in range(N_SHAPE):
                damped[min(i, j), max(i, j)] = 0.0
            damped[i, i], damped[i, 4] = 1.0, 0.0
        else:
            damped[i, i] *= 1 + damping


@compiled
def move(damped: Float64, curve: Float64, bounds: Float64, tried: Float64) -> Any:
    """Solve for the step and write the shape after it, within bounds; give the largest move."""
    eliminate(damped, N_SHAPE)
    step, largest = np.zeros(N_SHAPE), 0.0
    for i in range(N_SHAPE - 1, -1, -1):
        value = damped[i, N_SHAPE]
        for j in range(i + 1, N_SHAPE):
            value -= damped[i, j] * step[j]
        step[i] = value / damped[i, i] if damped[i, i] > 0 else 0.0
        tried[i] = min(max(curve[i] + step[i], bounds[i, 0]), bounds[i, 1])
        largest = max(largest, abs(tried[i] - curve[i]))
    return largest


@compiled
def within(curve: Float64, bounds: Float64) -> Any:
    """Tell whether a curve rises and falls by no more than it may, and is not higher halfway: else it stands up in a gap."""
    up, down = sigmoid(0.5 * curve[2] / math.exp(curve[1])), sigmoid(-0.5 * curve[2] / math.exp(curve[3]))
    steps = curve[5] > 0 and curve[6] > 0 and max(curve[5], curve[6]) < bounds[4, 0]
    return steps and curve[4] + curve[5] * up - curve[6] * down < bounds[4, 1]


@compiled
def descend(x: Float64, y: Float64, w: Float64, n: int, bounds: Float64, columns: Float64, curve: Float64) -> bool:
    """Move the curve, in place, to the nearest least misfit; False if that is not reached.

    Parameters
    ----------
    x, y, w : (date,), float64
        Days, values and weights of the first n dates.
    n : int
    bounds : (5, 2), float64
        Of the shape, and the greatest height of rise and fall and level of the top.
    columns : (date, 7), float64
        Scratch; in the end those of the last shape that was tried.
    curve : (7,), float64
        Its shape is where to begin; it is where it ended.
    """
    system, damped = np.empty((N_CURVE, N_CURVE + 1)), np.empty((N_SHAPE, N_SHAPE + 1))
    tried = np.empty(N_CURVE)
    damping = 1e-2
    misfit = project(x, y, w, n, curve, columns)
    normal_equations(y, w, n, curve, columns, system)
    for _ in range(N_STEPS):
        damp(system, damping, curve, bounds, damped)
        moved = move(damped, curve, bounds, tried)
        new = project(x, y, w, n, tried, columns)
        if new < misfit and within(tried, bounds):
            done = moved < NEAR or misfit - new < FLAT * misfit
            misfit, damping = new, max(damping / 5, 1e-9)
            for i in range(N_CURVE):
                curve[i] = tried[i]
            if done:
                return True
            normal_equations(y, w, n, curve, columns, system)
        elif moved < 1e-3 * NEAR or damping > 1e9:
            return True
        else:
            damping *= 4
    return False
