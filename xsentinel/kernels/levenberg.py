"""Least squares of a double logistic: Levenberg–Marquardt on four bent parameters, the two straight ones solved for at each step.

A curve is b + a · g(t), g(t) = σ((t − S)/r) − σ((t − S − L)/q), with shape = (S, ln r, L, ln q). For a shape given, b and a follow
from a line fitted to g (variable projection, Golub & Pereyra 1973), so that only the shape is searched, with Kaufman's Jacobian.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.compiled import compiled

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]

N_SHAPE = 4
"""Parameters of a shape."""

N_STEPS = 80
"""Steps that are tried at most."""

NEAR = 1e-3
"""A step that moves less than so many days, and scales by less than that share, is the last."""

FLAT = 1e-10
"""So is one that lowers the misfit by less than this share."""


@compiled
def sigmoid(u):
    """Rise from 0 to 1."""
    return 1.0 / (1.0 + math.exp(-min(max(u, -40.0), 40.0)))


@compiled
def project(x: Float64, y: Float64, w: Float64, n: int, shape: Float64, columns: Float64) -> tuple[float, float, float]:
    """Write g and its derivatives by the shape, (date, 5); give base, height and misfit of the best line through g."""
    r, q = math.exp(shape[1]), math.exp(shape[3])
    total, mean, level = 0.0, 0.0, 0.0
    for t in range(n):
        u, v = (x[t] - shape[0]) / r, (x[t] - shape[0] - shape[2]) / q
        up, down = sigmoid(u), sigmoid(v)
        bend_up, bend_down = up * (1 - up), down * (1 - down)
        columns[t, 0] = up - down
        columns[t, 1], columns[t, 2] = bend_down / q - bend_up / r, -u * bend_up
        columns[t, 3], columns[t, 4] = bend_down / q, v * bend_down
        total += w[t]
        mean += w[t] * columns[t, 0]
        level += w[t] * y[t]
    mean, level = mean / total, level / total
    along, spread = 0.0, 0.0
    for t in range(n):
        g = columns[t, 0] - mean
        along += w[t] * g * (y[t] - level)
        spread += w[t] * g * g
    height = along / spread if spread > 1e-12 * total else 0.0
    base, misfit = level - height * mean, 0.0
    for t in range(n):
        misfit += w[t] * (y[t] - base - height * columns[t, 0]) ** 2
    return base, height, misfit


@compiled
def normal_equations(y: Float64, w: Float64, n: int, fit: Any, columns: Float64, system: Float64) -> None:
    """Write the matrix (4, 4) and the right side (column 4) of the step, with what base and height take up projected out."""
    sums = np.zeros((N_SHAPE + 1, N_SHAPE + 3))
    total = 0.0
    for t in range(n):
        rest = y[t] - fit[0] - fit[1] * columns[t, 0]
        total += w[t]
        for i in range(N_SHAPE + 1):
            one = w[t] * columns[t, i]
            sums[i, 5] += one
            sums[i, 6] += one * rest
            for j in range(i, N_SHAPE + 1):
                sums[i, j] += one * columns[t, j]
    spread = sums[0, 0] - sums[0, 5] ** 2 / total
    for i in range(1, N_SHAPE + 1):
        along_i = sums[0, i] - sums[0, 5] * sums[i, 5] / total
        for j in range(i, N_SHAPE + 1):
            along_j = sums[0, j] - sums[0, 5] * sums[j, 5] / total
            value = sums[i, j] - sums[i, 5] * sums[j, 5] / total - (along_i * along_j / spread if spread > 1e-12 * total else 0.0)
            system[i - 1, j - 1] = system[j - 1, i - 1] = fit[1] * fit[1] * value
        system[i - 1, 4] = fit[1] * sums[i, 6]


@compiled
def damp(system: Float64, damping: float, shape: Float64, bounds: Float64, a: Float64) -> None:
    """Write the damped system; a parameter that would leave its bounds at once gets the step 0."""
    for i in range(N_SHAPE):
        for j in range(N_SHAPE + 1):
            a[i, j] = system[i, j]
    for i in range(N_SHAPE):
        outward = (shape[i] <= bounds[i, 0] and a[i, 4] < 0) or (shape[i] >= bounds[i, 1] and a[i, 4] > 0)
        if outward:
            a[i, 4] = 0.0
            for j in range(N_SHAPE):
                a[i, j] = a[j, i] = 0.0
        a[i, i] = 1.0 if outward or a[i, i] <= 0 else a[i, i] * (1 + damping)


@compiled
def solve(a: Float64, step: Float64) -> None:
    """Solve for the step by elimination, in place; the matrix is positive and damped, so that no pivots are sought."""
    for i in range(N_SHAPE):
        pivot = max(a[i, i], 1e-300)
        for k in range(i + 1, N_SHAPE):
            factor = a[k, i] / pivot
            for j in range(i, N_SHAPE + 1):
                a[k, j] -= factor * a[i, j]
        a[i, i] = pivot
    for i in range(N_SHAPE - 1, -1, -1):
        step[i] = a[i, 4]
        for j in range(i + 1, N_SHAPE):
            step[i] -= a[i, j] * step[j]
        step[i] /= a[i, i]


@compiled
def bounded(shape: Float64, step: Float64, bounds: Float64, tried: Float64) -> float:
    """Write the shape after a step, within bounds; give the largest move, in units of the last step that is tried."""
    move = 0.0
    for i in range(N_SHAPE):
        tried[i] = min(max(shape[i] + step[i], bounds[i, 0]), bounds[i, 1])
        move = max(move, abs(tried[i] - shape[i]))
    return move / NEAR


@compiled
def descend(x: Float64, y: Float64, w: Float64, n: int, bounds: Float64, columns: Float64, shape: Float64) -> bool:
    """Move the shape, in place, to the nearest least misfit; False if that is not reached.

    Parameters
    ----------
    x, y, w : (date,), float64
        Days, values and weights of the first n dates.
    n : int
    bounds : (4, 2), float64
    columns : (date, 5), float64
        Scratch.
    shape : (4,), float64
        Where to begin; where it ended.
    """
    system, damped = np.empty((N_SHAPE, N_SHAPE + 1)), np.empty((N_SHAPE, N_SHAPE + 1))
    step, tried = np.empty(N_SHAPE), np.empty(N_SHAPE)
    damping = 1e-2
    fit = project(x, y, w, n, shape, columns)
    normal_equations(y, w, n, fit, columns, system)
    for _ in range(N_STEPS):
        damp(system, damping, shape, bounds, damped)
        solve(damped, step)
        move = bounded(shape, step, bounds, tried)
        new = project(x, y, w, n, tried, columns)
        if new[2] < fit[2] and new[1] > 0:
            done = move < 1 or fit[2] - new[2] < FLAT * fit[2]
            fit, damping = new, max(damping / 5, 1e-9)
            for i in range(N_SHAPE):
                shape[i] = tried[i]
            if done:
                return True
            normal_equations(y, w, n, fit, columns, system)
        elif move < 1e-3 or damping > 1e9:
            return True
        else:
            damping *= 4
    return False
