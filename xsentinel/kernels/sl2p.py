"""The SL2P network over flat pixels: five tanh neurons a variable, domain test and output rule, fused.

One pass reads each band once and writes every requested variable with its flags. Pixels are taken in
blocks of 1024 that stay in the first-level cache; every block is computed whole, its tail padded, so
that a pixel's value does not depend on where a chunk or a thread range begins: the same to the bit.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]

BLOCK = 1024
"""Pixels a block: 12 rows of float32 inputs and the scratch fill a 48 KiB L1; measured best of 256…4096."""

GROUP = 4
"""Inputs summed in one sweep; rows are padded to a multiple of it, with weights of zero."""

OUT_OF_DOMAIN = 1
CLAMPED_TO_MIN = 2
CLAMPED_TO_MAX = 4
TOO_LOW = 8
TOO_HIGH = 16
OUT_OF_RANGE = 32
OUT_OF_GRID = 64

ZERO = np.int32(0)
NINE = np.uint32(9)
DOMAIN_BIT, RANGE_BIT, GRID_BIT = np.int32(OUT_OF_DOMAIN), np.int32(OUT_OF_RANGE), np.int32(OUT_OF_GRID)
MIN_BIT, MAX_BIT, LOW_BIT, HIGH_BIT = (np.int32(bit) for bit in (CLAMPED_TO_MIN, CLAMPED_TO_MAX, TOO_LOW, TOO_HIGH))

# tanh(x) = x P(x²) / Q(x²) on |x| ≤ 8.5: a weighted least-squares (Lawson) fit of our own. Its error
# is 3.1e-8, in float32 arithmetic 3.7e-7 (test_tanh_is_within_5e7_of_numpy); beyond 8.5 it stands
# at the end value, 1 - 8e-8.
TANH_END = np.float32(8.5)
P0, P1, P2, P3, P4, P5 = (
    np.float32(v)
    for v in (
        0.9999998443771404,
        0.12942331703082682,
        0.0029459842540299915,
        9.505873879815529e-06,
        -1.3530029425818574e-08,
        2.027435497331197e-11,
    )
)
Q1, Q2, Q3 = (np.float32(v) for v in (0.46275603682002603, 0.023865371179090888, 2.3164098944537784e-04))
ONE = np.float32(1.0)

_jit = numba.njit(nogil=True, error_model="numpy", fastmath={"contract"})
_inline = numba.njit(nogil=True, error_model="numpy", fastmath={"contract"}, inline="always")


class Network(NamedTuple):
    """Folded weights of one or more variables: they take stored values, not normalised ones."""

    weights: Float32
    """(variable, neuron, input padded to GROUP): of the bands as stored, then of per-pixel cosines."""
    bias: Float32
    """(variable, neuron)."""
    out_weights: Float32
    """(variable, neuron): scaled to physical units."""
    limits: Float32
    """(variable, 4): output bias, valid minimum, valid maximum, tolerance; physical units."""


class Domain(NamedTuple):
    """The definition domain, in stored values: min–max of each band and the occupied cells."""

    low: Float32
    """(band,): least value inside."""
    high: Float32
    """(band,): greatest value inside."""
    slope: Float32
    """(band,): cell = floor(slope · value + intercept)."""
    intercept: Float32
    """(band,)."""
    first: npt.NDArray[np.int16]
    """(9 ** (n_band // 2),): row of ``grid`` for the cells of the first half of the bands, 0 if none."""
    second: npt.NDArray[np.int16]
    """(9 ** (n_band - n_band // 2),): column of ``grid`` for the other half, 0 if none."""
    grid: UInt8
    """(row, column): OUT_OF_GRID where no cell of the published list stands, else 0."""


# Inside a block masks and flags are int32, as wide as the floats beside them: with uint8 the loads took
# 3.5 times and the domain test twice as long, spent on packing and unpacking lanes (benchmarks/test_sl2p.py).


@_inline
def _load(bands, cosines, nodata, x, valid, start, n):
    """Bring n pixels of every band to float32 rows; note the pixels that all bands have."""
    valid[:] = 1
    for k in range(len(bands)):
        # slices, not start + p: numba would test each sum for a negative index, and no loop would vectorise
        band, missing = bands[k][start : start + n], nodata[k]
        row = x[k]
        for p in range(n):
            row[p] = np.float32(band[p])
        for p in range(n):
            # inf - inf and NaN - NaN are not 0: one test for both
            valid[p] = valid[p] if (row[p] - row[p] == 0) & (row[p] != missing) else ZERO
    for k in range(cosines.shape[0]):
        row, cosine = x[len(bands) + k], cosines[k, start : start + n]
        for p in range(n):
            row[p] = cosine[p]
            valid[p] = valid[p] if row[p] - row[p] == 0 else ZERO


@_inline
def _cells(x, domain, first_band, last_band, code, flag):
    """Write the number of the cell of bands first…last in base 9; 0 and a flag where a band is off the grid."""
    code[:] = 0
    for k in range(first_band, last_band):
        row = x[k]
        low, high = domain.low[k], domain.high[k]
        slope, intercept = domain.slope[k], domain.intercept[k]
        for p in range(BLOCK):
            cell = row[p] * slope + intercept
            # truncation is floor here: cells below 2 are off the grid, and NaN fails both comparisons
            on = (cell >= 2) & (cell < 11)
            digit = np.uint32(np.int32(cell if on else 2) - 2)
            code[p] = code[p] * NINE + digit
            outside = (row[p] < low) | (row[p] > high)
            flag[p] |= (ZERO if on else GRID_BIT) | (RANGE_BIT if outside else ZERO)


@_inline
def _check_domain(x, n_bands, domain, codes, flag):
    """Flag the pixels outside min–max, outside the grid, or both (SNAP's single bit)."""
    flag[:] = 0
    half = n_bands // 2
    _cells(x, domain, 0, half, codes[0], flag)
    _cells(x, domain, half, n_bands, codes[1], flag)
    for p in range(BLOCK):
        flag[p] |= np.int32(domain.grid[domain.first[codes[0, p]], domain.second[codes[1, p]]])
    for p in range(BLOCK):
        flag[p] |= DOMAIN_BIT if flag[p] != 0 else ZERO


@_inline
def _sum_inputs(x, weights, bias, total):
    """Total = bias + weights · x, GROUP inputs a sweep."""
    total[:] = bias
    for k in range(0, weights.size, GROUP):
        a, b, c, d = x[k], x[k + 1], x[k + 2], x[k + 3]
        wa, wb, wc, wd = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        for p in range(BLOCK):
            total[p] += wa * a[p] + wb * b[p] + wc * c[p] + wd * d[p]


@_inline
def _add_tanh(total, weight, y):
    """Y += weight · tanh(total)."""
    for p in range(BLOCK):
        t = min(max(total[p], -TANH_END), TANH_END)
        u = t * t
        over = t * (P0 + u * (P1 + u * (P2 + u * (P3 + u * (P4 + u * P5)))))
        y[p] += weight * over / (ONE + u * (Q1 + u * (Q2 + u * Q3)))


@_inline
def _limit(y, limits, valid, domain_flag, flag):
    """Apply the output rule: clamp within the tolerance, flag, NaN where an input is missing."""
    low, high, tolerance = limits[1], limits[2], limits[3]
    for p in range(BLOCK):
        v = y[p]
        near = (v >= low - tolerance) & (v <= high + tolerance)
        under = (MIN_BIT if near else LOW_BIT) if v < low else ZERO
        over = (MAX_BIT if near else HIGH_BIT) if v > high else ZERO
        flag[p] = (domain_flag[p] | under | over) if valid[p] != 0 else ZERO
        clamped = min(max(v, low), high) if near else v
        y[p] = clamped if valid[p] != 0 else np.float32(np.nan)


@_jit
def run_sl2p(bands, cosines, nodata, network, domain, out, flags, start, stop):
    """Compute every variable of ``network`` and its flags for pixels start…stop.

    Parameters
    ----------
    bands : tuple of (pixel,) arrays, uint16 or float32
        As stored; ``network`` and ``domain`` have the scale and the offset folded in.
    cosines : (0 or 3, pixel), float32
        cos(VZA), cos(SZA), cos(SAA−VAA) a pixel; no rows where they are folded into the bias.
    nodata : (band,), float32
        Stored value that means no data; NaN for a band that has none. NaN and infinity always do.
    network, domain : Network, Domain
        Folded tables.
    out : (variable, pixel), float32
        Written. NaN where an input is missing.
    flags : (variable, pixel), uint8
        Written.
    start, stop : int
        The pixels to do.
    """
    n_variables, n_neurons, n_inputs = network.weights.shape
    x = np.zeros((n_inputs, BLOCK), np.float32)
    y, total = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    codes = np.zeros((2, BLOCK), np.uint32)
    valid, inside, flag = np.empty(BLOCK, np.int32), np.empty(BLOCK, np.int32), np.empty(BLOCK, np.int32)
    for begin in range(start, stop, BLOCK):
        n = min(BLOCK, stop - begin)
        _load(bands, cosines, nodata, x, valid, begin, n)
        _check_domain(x, len(bands), domain, codes, inside)
        for v in range(n_variables):
            y[:] = network.limits[v, 0]
            for h in range(n_neurons):
                _sum_inputs(x, network.weights[v, h], network.bias[v, h], total)
                _add_tanh(total, network.out_weights[v, h], y)
            _limit(y, network.limits[v], valid, inside, flag)
            out[v, begin : begin + n] = y[:n]
            target = flags[v, begin : begin + n]
            for p in range(n):
                target[p] = np.uint8(flag[p])
