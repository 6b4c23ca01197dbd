"""The SL2P network over flat pixels: five tanh neurons a variable, domain test and output rule, fused.

One pass reads each band once and writes every requested variable with its flags. Pixels are taken in
blocks of 1024 that stay in the first-level cache; every block is computed whole, its tail padded, so
that a pixel's value does not depend on where a chunk or a thread range begins: the same to the bit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.compiled import contracted, inlined
from xsentinel.kernels.memory import fetch

Float32 = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]

BLOCK = 1024
"""Pixels a block: 12 rows of float32 inputs and the scratch fill a 48 KiB L1; measured best of 256…4096."""

LINE = 32
"""uint16 values in a cache line."""

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
ONE, TWO, NINE, ELEVEN = (np.float32(v) for v in (1, 2, 9, 11))

_jit: Any = contracted  # Any: the functions below carry no types, products call them
_inline: Any = inlined


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
    """The definition domain, in stored values: the occupied cells among ten from min to max of each band."""

    slope: Float32
    """(band,): cell = floor(slope · value + intercept); min–max is 1…11, the grid 2…10."""
    intercept: Float32
    """(band,)."""
    first: npt.NDArray[np.int32]
    """(9 ** (n_band // 2),): where in ``grid`` the row for the cells of the first half of the bands starts."""
    second: npt.NDArray[np.int32]
    """(9 ** (n_band - n_band // 2),): which entry of the row the cells of the other half take; 0 if none."""
    grid: UInt8
    """(row and entry,): OUT_OF_GRID where no cell of the published list stands, else 0; row 0 is of no cell."""


# Inside a block masks and flags are int32, as wide as the floats beside them: uint8 would spend its time
# on packing and unpacking lanes. Rows are taken as slices, not by start + p: numba would test each such sum
# for a negative index, and no loop would vectorise.


@_inline
def missing_counts(row, missing, valid):
    """Unset valid where a row of former integers is nodata."""
    for p in range(row.size):
        valid[p] = valid[p] if row[p] != missing else ZERO


@_inline
def missing_floats(row, missing, valid):
    """Unset valid where a row is nodata, NaN or infinite: of these, x - x is not 0."""
    for p in range(row.size):
        valid[p] = valid[p] if (row[p] - row[p] == 0) & (row[p] != missing) else ZERO


@_inline
def _load(bands, cosines, nodata, missing, x, valid, start, n):
    """Bring n pixels of every band to float32 rows; note the pixels that all bands have."""
    valid[:] = 1
    for k in range(len(bands)):
        band, row = bands[k][start : start + n], x[k, :n]
        # the hardware does not foresee the next block of each of eight far streams
        for p in range(0, n, LINE):
            fetch(bands[k], start + BLOCK + p)
        for p in range(n):
            row[p] = np.float32(band[p])
        missing(row, nodata[k], valid)
    for k in range(cosines.shape[0]):
        row, cosine = x[len(bands) + k, :n], cosines[k, start : start + n]
        for p in range(n):
            row[p] = cosine[p]
        missing_floats(row, np.float32(np.nan), valid)


@_inline
def _cells(x, domain, first_band, last_band, code, span):
    """Write the number of the cell of bands first…last in base 9, as a float; widen the span of cells met."""
    code[:] = 0
    least, greatest = span[0], span[1]
    for k in range(first_band, last_band - 1, 2):  # two bands a sweep: half the traffic to L1, twice as fast
        one, other = x[k], x[k + 1]
        slope, intercept = domain.slope[k : k + 2], domain.intercept[k : k + 2]
        for p in range(BLOCK):
            cell, next_cell = one[p] * slope[0] + intercept[0], other[p] * slope[1] + intercept[1]
            low, high = (cell, next_cell) if cell < next_cell else (next_cell, cell)
            least[p] = low if low < least[p] else least[p]
            greatest[p] = high if high > greatest[p] else greatest[p]
            # float32 holds every code exactly: 9⁴ < 2²⁴
            code[p] = (code[p] * NINE + (np.floor(cell) - TWO)) * NINE + (np.floor(next_cell) - TWO)
    if (last_band - first_band) % 2:
        row, slope_, intercept_ = x[last_band - 1], domain.slope[last_band - 1], domain.intercept[last_band - 1]
        for p in range(BLOCK):
            cell = row[p] * slope_ + intercept_
            least[p] = cell if cell < least[p] else least[p]
            greatest[p] = cell if cell > greatest[p] else greatest[p]
            code[p] = code[p] * NINE + (np.floor(cell) - TWO)


@_inline
def _check_domain(x, n_bands, domain, scratch, flag):
    """Flag the pixels outside min–max, outside the grid, or both (SNAP's single bit)."""
    first_code, second_code, span = scratch[0], scratch[1], scratch[2:]
    span[0, :], span[1, :] = np.float32(np.inf), np.float32(-np.inf)
    half = n_bands // 2
    _cells(x, domain, 0, half, first_code, span)
    _cells(x, domain, half, n_bands, second_code, span)
    for p in range(BLOCK):
        outside = (span[0, p] < ONE) | (span[1, p] > ELEVEN)
        # the span passes over NaN, a code does not: what is NaN must not become an index
        known = (first_code[p] == first_code[p]) & (second_code[p] == second_code[p])
        on = (span[0, p] >= TWO) & (span[1, p] < ELEVEN) & known
        first_code[p] = first_code[p] if on else np.float32(0)
        second_code[p] = second_code[p] if on else np.float32(0)
        flag[p] = (RANGE_BIT if outside else ZERO) | (ZERO if on else GRID_BIT)
    for p in range(BLOCK):
        # int32 tables and unsigned indices: the two look-ups become gather instructions
        cell = domain.first[np.uint32(first_code[p])] + domain.second[np.uint32(second_code[p])]
        flag[p] |= np.int32(domain.grid[np.uint32(cell)])
    for p in range(BLOCK):
        flag[p] |= DOMAIN_BIT if flag[p] != 0 else ZERO


@_inline
def _neuron(x, weights, bias, total):
    """Write bias + weights · x, GROUP inputs a sweep."""
    total[:] = bias
    for k in range(0, weights.size, GROUP):
        a, b, c, d = x[k], x[k + 1], x[k + 2], x[k + 3]
        wa, wb, wc, wd = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        for p in range(BLOCK):
            total[p] += wa * a[p] + wb * b[p] + wc * c[p] + wd * d[p]


@_inline
def _add_tanh(total, weight, y):
    """Y += weight · tanh(total). A division each is as fast as one for all five, which needs two more rows."""
    for p in range(BLOCK):
        t = total[p] if total[p] > -TANH_END else -TANH_END
        t = t if t < TANH_END else TANH_END
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
def run_sl2p(missing, bands, cosines, nodata, network, domain, out, flags, start, stop):
    """Compute every variable of ``network`` and its flags for pixels start…stop.

    Parameters
    ----------
    missing : function
        `missing_counts` if all bands are integers, else `missing_floats`.
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
    x, scratch, y = np.zeros((n_inputs, BLOCK), np.float32), np.zeros((4, BLOCK), np.float32), np.empty(BLOCK, np.float32)
    valid, inside, flag = np.empty(BLOCK, np.int32), np.empty(BLOCK, np.int32), np.empty(BLOCK, np.int32)
    for begin in range(start, stop, BLOCK):
        n = min(BLOCK, stop - begin)
        _load(bands, cosines, nodata, missing, x, valid, begin, n)
        _check_domain(x, len(bands), domain, scratch, inside)
        for v in range(n_variables):
            y[:] = network.limits[v, 0]
            for h in range(n_neurons):
                _neuron(x, network.weights[v, h], network.bias[v, h], scratch[0])
                _add_tanh(scratch[0], network.out_weights[v, h], y)
            _limit(y, network.limits[v], valid, inside, flag)
            out[v, begin : begin + n] = y[:n]
            target = flags[v, begin : begin + n]
            for p in range(n):
                target[p] = np.uint8(flag[p])
