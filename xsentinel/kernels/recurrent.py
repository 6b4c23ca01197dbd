"""The gates of a long short-term memory, bfloat16 in and out, the cell kept in float32.

bfloat16 numbers are the upper halves of float32 ones, and numba reads them so: as uint16, shifted. They are rounded to
the nearest, ties to even, as torch and the processor do.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from xsentinel.kernels.compiled import contracted, inlined
from xsentinel.kernels.sl2p import ONE, P0, P1, P2, P3, P4, P5, Q1, Q2, Q3, TANH_END

HALF = np.float32(0.5)
UPPER, ALMOST_HALF, LAST_BIT = np.uint32(16), np.uint32(0x7FFF), np.uint32(1)

_jit: Any = contracted  # Any: the functions below carry no types, blocks call them
_inline: Any = inlined


@_inline
def _tanh(x):
    """Give tanh x to 4e-7, by the rational function of SL2P's kernel."""
    t = x if x > -TANH_END else -TANH_END
    t = t if t < TANH_END else TANH_END
    u = t * t
    return t * (P0 + u * (P1 + u * (P2 + u * (P3 + u * (P4 + u * P5))))) / (ONE + u * (Q1 + u * (Q2 + u * Q3)))


@_inline
def _sigmoid(x):
    return HALF + HALF * _tanh(HALF * x)


@_jit
def step_lstm(gates, bias, cell, own, first, after):
    r"""Go one date on: :math:`c \leftarrow \sigma(f)\,c + \sigma(i)\tanh g`, and write :math:`h = \sigma(o)\tanh c` twice.

    Parameters
    ----------
    gates : (pixel, 4 × unit), uint16
        bfloat16: i, f, g, o of all units, bias not yet added.
    bias : (4 × unit,), float32
    cell : (pixel, unit), float32
        c; replaced.
    own : (pixel, first + unit or more), uint16
        Input of this layer at the next date; h is written, bfloat16, from column ``first`` on.
    first : int
    after : (pixel, unit or more), uint16
        Input of the next layer at this date; h is written from its first column on.
    """
    n, units = cell.shape
    line = np.empty(4 * units, np.uint32)
    wide = line.view(np.float32)
    for p in range(n):
        row, c, here, there = gates[p], cell[p], own[p][first : first + units], after[p][:units]
        for j in range(4 * units):
            line[j] = np.uint32(row[j]) << UPPER
        for j in range(4 * units):
            wide[j] += bias[j]
        enter, keep, new, out = wide[:units], wide[units : 2 * units], wide[2 * units : 3 * units], wide[3 * units :]
        for j in range(units):
            c[j] = _sigmoid(keep[j]) * c[j] + _sigmoid(enter[j]) * _tanh(new[j])
            enter[j] = _sigmoid(out[j]) * _tanh(c[j])
        for j in range(units):
            here[j] = np.uint16((line[j] + ALMOST_HALF + ((line[j] >> UPPER) & LAST_BIT)) >> UPPER)
        for j in range(units):
            there[j] = here[j]
