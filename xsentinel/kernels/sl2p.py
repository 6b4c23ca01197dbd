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


@_inline
def _load(bands, cosines, nodata, x, valid, start, n):
    """Bring n pixels of every band to float32 rows; note the pixels that all bands have."""
    valid[:] = 1
    for k in range(len(bands)):
        band, missing = bands[k], nodata[k]
        row = x[k]
        for p in range(n):
            value = np.float32(band[start + p])
            row[p] = value
            # inf - inf and NaN - NaN are not 0: one test for both
            valid[p] &= np.uint8((value - value == 0) & (value != missing))
    for k in range(cosines.shape[0]):
        row = x[len(bands) + k]
        for p in range(n):
            value = cosines[k, start + p]
            row[p] = value
            valid[p] &= np.uint8(value - value == 0)


@_inline
def _cells(x, domain, first_band, last_band, code, flag):
    """Write the number of the cell of bands first…last in base 9; 0 and a flag where a band is off the grid."""
    code[:] = 0
    for k in range(first_band, last_band):
        row = x[k]
        low, high = domain.low[k], domain.high[k]
        slope, intercept = domain.slope[k], domain.intercept[k]
        for p in range(BLOCK):
            outside = (row[p] < low) | (row[p] > high)
            digit = np.int32(np.floor(row[p] * slope + intercept)) - np.int32(2)
            off = (digit < 0) | (digit > 8)
            code[p] = code[p] * np.int32(9) + (np.int32(0) if off else digit)
            flag[p] |= (np.uint8(OUT_OF_RANGE) if outside else np.uint8(0)) | (np.uint8(OUT_OF_GRID) if off else np.uint8(0))


@_inline
def _check_domain(x, n_bands, domain, codes, flag):
    """Flag the pixels outside min–max, outside the grid, or both (SNAP's single bit)."""
    flag[:] = 0
    half = n_bands // 2
    _cells(x, domain, 0, half, codes[0], flag)
    _cells(x, domain, half, n_bands, codes[1], flag)
    for p in range(BLOCK):
        flag[p] |= domain.grid[domain.first[codes[0, p]], domain.second[codes[1, p]]]
    for p in range(BLOCK):
        flag[p] |= np.uint8(OUT_OF_DOMAIN) if flag[p] != 0 else np.uint8(0)


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
        under, over = v < low, v > high
        near = (v >= low - tolerance) & (v <= high + tolerance)
        f = np.uint8(CLAMPED_TO_MIN) if near else np.uint8(TOO_LOW)
        g = np.uint8(CLAMPED_TO_MAX) if near else np.uint8(TOO_HIGH)
        f = domain_flag[p] | (f if under else np.uint8(0)) | (g if over else np.uint8(0))
        flag[p] = f if valid[p] != 0 else np.uint8(0)
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
    codes = np.zeros((2, BLOCK), np.int32)
    valid, inside, flag = np.empty(BLOCK, np.uint8), np.empty(BLOCK, np.uint8), np.empty(BLOCK, np.uint8)
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
            flags[v, begin : begin + n] = flag[:n]
