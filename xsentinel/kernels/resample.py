"""Between grids whose pixels nest: mean to coarser, bilinear to finer, nearest for classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.compiled import compiled


@compiled
def _mean(values, factor, out):
    layers, height, width = values.shape
    for i in range(layers):
        for r in range(out.shape[1]):
            for c in range(out.shape[2]):
                total, n = np.float32(0), 0
                for y in range(r * factor, min((r + 1) * factor, height)):
                    for x in range(c * factor, min((c + 1) * factor, width)):
                        value = values[i, y, x]
                        if value == value:
                            total += value
                            n += 1
                out[i, r, c] = total / np.float32(n) if n else np.float32(np.nan)


def coarsen_mean(values: npt.NDArray[np.float32], factor: int) -> npt.NDArray[np.float32]:
    """Average factor × factor pixels, those that are not NaN; an incomplete last cell, what it has.

    Parameters
    ----------
    values : (..., y, x), float32

    Returns
    -------
    (..., ceil(y / factor), ceil(x / factor)), float32
    """
    *lead, height, width = values.shape
    flat = np.ascontiguousarray(values).reshape(-1, height, width)
    out = np.empty((flat.shape[0], -(-height // factor), -(-width // factor)), np.float32)
    _mean(flat, factor, out)
    return out.reshape(*lead, *out.shape[1:])


def coarsen_nearest(values: npt.NDArray[Any], factor: int) -> npt.NDArray[Any]:
    """Take of every factor × factor pixels the one at the centre (below and right of it if even)."""
    *_, height, width = values.shape
    rows = np.minimum(np.arange(factor // 2, height + factor // 2, factor), height - 1)
    columns = np.minimum(np.arange(factor // 2, width + factor // 2, factor), width - 1)
    return values[..., rows[:, None], columns[None, :]]


def refine_nearest(values: npt.NDArray[Any], factor: int) -> npt.NDArray[Any]:
    """Repeat every pixel factor × factor times."""
    return values.repeat(factor, -2).repeat(factor, -1)


def _weights(n: int, factor: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """Left and right neighbour of each fine pixel's centre, and the weight of the right one."""
    centre = (np.arange(n * factor) + 0.5) / factor - 0.5
    left = np.floor(centre).astype(np.intp)
    weight = (centre - left).astype(np.float32)
    return left.clip(0), (left + 1).clip(max=n - 1), weight


def refine_bilinear(values: npt.NDArray[np.float32], factor: int) -> npt.NDArray[np.float32]:
    """Interpolate linearly between pixel centres, level beyond the outermost; NaN in gives NaN around.

    Parameters
    ----------
    values : (..., y, x), float32

    Returns
    -------
    (..., y · factor, x · factor), float32
    """
    top, bottom, w = _weights(values.shape[-2], factor)
    one = np.float32(1)
    rows = values[..., top, :] * (one - w)[:, None] + values[..., bottom, :] * w[:, None]
    left, right, w = _weights(values.shape[-1], factor)
    fine: npt.NDArray[np.float32] = rows[..., left] * (one - w) + rows[..., right] * w
    return fine


def refine_cubic(values: npt.NDArray[np.float32], factor: int) -> npt.NDArray[np.float32]:
    """Interpolate by Keys' cubic convolution (a = −½) between pixel centres; NaN in gives NaN around.

    Parameters
    ----------
    values : (..., y, x), float32

    Returns
    -------
    (..., y · factor, x · factor), float32
    """
    return _cubic(_cubic(values.swapaxes(-1, -2), factor).swapaxes(-1, -2), factor)


def _cubic(values: npt.NDArray[np.float32], factor: int) -> npt.NDArray[np.float32]:
    """Interpolate along the last axis, the outermost pixels repeated beyond the edge."""
    n = values.shape[-1]
    centre = (np.arange(n * factor) + 0.5) / factor - 0.5
    first = np.floor(centre).astype(np.intp)
    t = centre - first
    weights = (
        ((-0.5 * t + 1) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1,
        ((-1.5 * t + 2) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    )
    out = np.zeros((*values.shape[:-1], n * factor), np.float32)
    for place, weight in zip(range(-1, 3), weights, strict=True):
        out += values[..., (first + place).clip(0, n - 1)] * weight.astype(np.float32)
    return out
