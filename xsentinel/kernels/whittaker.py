"""Smooth and fill with the Whittaker smoother, second order, on true dates."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xsentinel.errors import XSentinelError
from xsentinel.kernels.compiled import compiled, contracted
from xsentinel.kernels.memory import settle
from xsentinel.kernels.series import (
    BLOCK,
    NAN,
    Dates,
    Extrapolate,
    Float32,
    finish_block,
    prepare_dates,
    prepare_decoding,
    prepare_limits,
    run_series,
    scratch,
)

Float64 = NDArray[np.float64]

LANES = 64
"""Pixels solved together: five float64 rows of 64 lanes over 73 dates take 187 kB of L2."""
WIDTH = 5 * LANES
"""float64 of one node: 1/d, l, z, u (see `eliminate`), and one row of no use but alignment."""


def whittaker_nodes(dates: Dates) -> tuple[Float64, NDArray[np.int64], NDArray[np.int64]]:
    """Return the nodes (input and output dates), the input date of each, and the node of each output date.

    A node without an input date has the index time_in, whose row of the scratch is all gaps.
    """
    nodes = np.union1d(dates.t_in, dates.t_out)
    source = np.full(nodes.size, dates.t_in.size)
    source[np.searchsorted(nodes, dates.t_in)] = np.arange(dates.t_in.size)
    return nodes.astype(np.float64), source, np.searchsorted(nodes, dates.t_out)


def whittaker_penalty(nodes: Float64, lmbda: float, penalty: str) -> Float64:
    r"""Return the three bands of :math:`\lambda D^T D` on and above the diagonal, (3, node + 2) float64.

    Two leading zeros stand for the nodes before the first. With "days" the rows of D are second
    divided differences; with "steps" they are (1, -2, 1).
    """
    n = nodes.size
    bands = np.zeros((3, n + 2))
    if n < 3:
        return bands
    x = nodes if penalty == "days" else np.arange(n, dtype=np.float64)
    step, span = np.diff(x), x[2:] - x[:-2] if penalty == "days" else np.ones(n - 2)
    left, right = 1 / (step[:-1] * span), 1 / (step[1:] * span)
    middle = -(left + right)
    bands[0, 2:n] += left * left
    bands[0, 3 : n + 1] += middle * middle
    bands[0, 4 : n + 2] += right * right
    bands[1, 2:n] += left * middle
    bands[1, 3 : n + 1] += middle * right
    bands[2, 2:n] += left * right
    return lmbda * bands


@contracted
def eliminate(s: Float64, y: Float32, w: Float32, p0: float, p1: float, before: Any) -> None:
    """Take one node through the factorisation ``L d L'`` and the forward solve.

    `s` holds the rows of the node before the last, the last one and this one, side by side, each
    r = 1/d, l (node, node + 1), z, and u = l d. `before` is the second band of the penalty at the
    two nodes before. The other factor, l (node, node + 2), is that band times r.
    """
    p2_1, p2_2 = before
    one = 1.0
    for k in range(LANES):
        r2, z2 = s[k], s[2 * LANES + k]
        r1, l1, z1 = s[WIDTH + k], s[WIDTH + LANES + k], s[WIDTH + 2 * LANES + k]
        u1 = s[WIDTH + 3 * LANES + k]
        weight = np.float64(w[k])
        d = p0 + weight - u1 * l1 - p2_2 * p2_2 * r2
        r = one / d if d > 0 else 0.0
        u = p1 - u1 * (p2_1 * r1)
        s[2 * WIDTH + k] = r
        s[2 * WIDTH + LANES + k] = u * r
        s[2 * WIDTH + 2 * LANES + k] = weight * np.float64(y[k]) - l1 * z1 - p2_2 * r2 * z2
        s[2 * WIDTH + 3 * LANES + k] = u


@contracted
def substitute(s: Float64, p2: float) -> None:
    """Take one node through the backward solve; `s` holds this node and the two after it."""
    for k in range(LANES):
        r, l1, z = s[k], s[LANES + k], s[2 * LANES + k]
        z1, z2 = s[WIDTH + 2 * LANES + k], s[2 * WIDTH + 2 * LANES + k]
        s[2 * LANES + k] = r * (z - p2 * z2) - l1 * z1


@compiled
def solve(system: Float64, y: Float32, w: Float32, nodes: Any, bands: Float64) -> None:
    """Solve ``(W + penalty) z = W y`` for LANES pixels; two zero nodes lie before and after the nodes."""
    source, back = nodes[0], nodes[1]
    n = source.size
    for i in range(n):
        s = system[i * WIDTH : (i + 3) * WIDTH]
        before = (bands[2, i + 1], bands[2, i])
        eliminate(s, y[source[i]], w[source[i]], bands[0, i + 2], bands[1, i + 2], before)
    for i in back:
        substitute(system[(i + 2) * WIDTH : (i + 5) * WIDTH], bands[2, i + 2])


@compiled
def weigh_valid(x: Float32, first: int, y: Float32, w: Float32, lone: Float32) -> None:
    """Write LANES pixels from lane `first` on: values with 0 in the gaps, and weights 1 and 0.

    `lone` becomes the value of a series with one observation only, NaN for others.
    """
    one, zero = np.float32(1), np.float32(0)
    n_valid = np.zeros(LANES, np.float32)
    lone[:] = 0
    for i in range(x.shape[0]):
        source, value, weight = x[i, first : first + LANES], y[i], w[i]
        for k in range(LANES):
            v = source[k]
            value[k] = v if v == v else zero
        for k in range(LANES):
            v = source[k]
            weight[k] = one if v == v else zero
        for k in range(LANES):
            lone[k] += value[k]
            n_valid[k] += weight[k]
    for k in range(LANES):
        v = lone[k]
        lone[k] = v if n_valid[k] == one else NAN


@compiled
def weigh_envelope(system: Float64, y: Float32, w: Float32, source: NDArray[np.int64], share: float) -> bool:
    """Give observations above the curve the weight `share`, those below the rest; False if none changed."""
    above, below, zero = np.float32(share), np.float32(1 - share), np.float32(0)
    n_changed = 0
    for i in range(source.size):
        if source[i] < y.shape[0] - 1:
            o = (i + 2) * WIDTH + 2 * LANES
            z, value, weight = system[o : o + LANES], y[source[i]], w[source[i]]
            for k in range(LANES):
                old = weight[k]
                new = above if np.float64(value[k]) > z[k] else below
                new = new if old > zero else zero
                n_changed += new != old
                weight[k] = new
    return n_changed > 0


@compiled
def take_nodes(system: Float64, w: Float32, lone: Float32, nodes: Any, hold: bool, fitted: Float32, first: int) -> None:
    """Write the solution at the output dates; beyond the observations that of the nearest one, if held.

    One observation leaves the slope undetermined: the series is that value.
    """
    source, back, targets = nodes
    if hold:
        hold_solution(system, w, source, back)
        hold_solution(system, w, source, np.arange(source.size))
    for j in range(targets.size):
        o = (targets[j] + 2) * WIDTH + 2 * LANES
        z, row = system[o : o + LANES], fitted[j, first : first + LANES]
        for k in range(LANES):
            v, only = np.float32(z[k]), lone[k]
            row[k] = only if only == only else v


@compiled
def hold_solution(system: Float64, w: Float32, source: NDArray[np.int64], order: NDArray[np.int64]) -> None:
    """Replace the solution after the last observation met in `order` by the solution at that one."""
    held, n_left = np.zeros(LANES), np.zeros(LANES, np.float32)
    one, zero = np.float32(1), np.float32(0)
    for i in order:
        weight = w[source[i]]
        for k in range(LANES):
            n_left[k] += one if weight[k] > zero else zero
    for i in order:
        weight, z = w[source[i]], system[(i + 2) * WIDTH + 2 * LANES : (i + 3) * WIDTH - 2 * LANES]
        for k in range(LANES):
            n_left[k] -= one if weight[k] > zero else zero
        for k in range(LANES):
            v, h = z[k], held[k]
            held[k] = v if weight[k] > zero else h
        for k in range(LANES):
            v, h = z[k], held[k]
            z[k] = v if n_left[k] > zero else h


@compiled
def smooth_nodes(  # noqa: PLR0913
    load: Any,
    values: Any,
    decoding: Float32,
    dates: Any,
    nodes: Any,
    bands: Float64,
    envelope: tuple[float, int],
    limits: Float32,
    keep: bool,
    out: Float32,
    start: int,
    stop: int,
) -> None:
    """Smooth the pixels ``start <= p < stop``."""
    n_in, n_out = values.shape[0], out.shape[0]
    x, next_t = scratch(n_in), scratch(n_in)
    y, w = np.empty((n_in + 1, LANES), np.float32), np.empty((n_in + 1, LANES), np.float32)
    lone = np.empty(LANES, np.float32)
    system = np.zeros((nodes[0].size + 4) * WIDTH)
    fitted = np.empty((n_out, BLOCK), np.float32)
    for first in range(start, stop, BLOCK):
        n = min(BLOCK, stop - first)
        load(values, first, n, decoding, x)
        for lane in range(0, n, LANES):
            weigh_valid(x, lane, y, w, lone)
            solve(system, y, w, nodes, bands)
            for _ in range(envelope[1]):
                if not weigh_envelope(system, y, w, nodes[0], envelope[0]):
                    break
                solve(system, y, w, nodes, bands)
            take_nodes(system, w, lone, nodes, limits[1] >= 0, fitted, lane)
        finish_block(fitted, x, next_t, dates, limits, keep, out, first, n)
    settle()


def fill_whittaker(  # noqa: PLR0913
    values: NDArray[Any],
    t_in: ArrayLike,
    t_out: ArrayLike,
    *,
    lmbda: float = 100.0,
    penalty: Literal["days", "steps"] = "days",
    envelope: float | None = None,
    n_iter: int = 10,
    keep_valid: bool = False,
    max_gap: float | None = None,
    extrapolate: Extrapolate = False,
    nodata: float | None = None,
    scale: float = 1.0,
    offset: float = 0.0,
    n_threads: int = 1,
) -> Float32:
    r"""Find the smoothest series close to the observations.

    .. math:: z = \arg\min \sum_i w_i (y_i - z_i)^2 + \lambda \sum_k (D z)_k^2

    with w = 1 at valid observations and 0 in gaps, over the input and the output dates together.
    Between observations the gap is filled by the curve of least second difference. The system is
    solved in float64 inside a block and returned as float32.

    Parameters
    ----------
    values, t_in, t_out, max_gap, nodata, scale, offset, n_threads
        As in `fill_linear`.
    lmbda : float
        :math:`\lambda`: larger is smoother. In days⁴ for `penalty` "days", a pure number for "steps".
    penalty : "days" or "steps"
        D z: second divided differences in days,
        :math:`((z_2-z_1)/(t_2-t_1) - (z_1-z_0)/(t_1-t_0))/(t_2-t_0)`; or plain differences
        :math:`z_2 - 2 z_1 + z_0` of neighbours, for dates on a regular grid.
        On daily dates "days" with four times the lambda equals "steps".
    envelope : float, optional, 0.5 to 1
        Follow the upper envelope, for indices that clouds only lower (NDVI): observations above the
        curve weigh this much, those below 1 minus this; 0.9 is usual.
    n_iter : int
        At most so many reweightings.
    keep_valid : bool
        Return observations as they are; False smooths them too.
    extrapolate : False or "nearest"
        Before the first and after the last observation: NaN, or the curve's value at that date.

    Returns
    -------
    numpy.ndarray (time_out, ...), float32
        In the unit of the (decoded) values; NaN where nothing could be filled.

    References
    ----------
    P. H. C. Eilers, A perfect smoother, Analytical Chemistry 75, 3631-3636, 2003.
    P. H. C. Eilers and H. F. M. Boelens, Baseline correction with asymmetric least squares smoothing, 2005.

    Examples
    --------
    >>> y = np.array([[1.0], [np.nan], [3.0], [4.0]], np.float32)
    >>> fill_whittaker(y, [0, 5, 10, 15], [0, 5, 10, 15]).round(4).ravel()
    array([1., 2., 3., 4.], dtype=float32)
    """
    if not 0 < lmbda < np.inf:
        raise XSentinelError(f"lmbda is {lmbda}; give a positive number")
    if penalty not in ("days", "steps"):
        raise XSentinelError(f"penalty is {penalty!r}; give 'days' or 'steps'")
    if envelope is not None and not 0.5 <= envelope < 1:
        raise XSentinelError(f"envelope is {envelope}; give the weight of values above the curve, 0.5 to below 1")
    dates = prepare_dates(t_in, t_out)
    days, source, targets = whittaker_nodes(dates)
    nodes = (source, np.arange(source.size - 1, -1, -1), targets)
    reweighting = (0.5, 0) if envelope is None else (float(envelope), n_iter)
    bands, limits = whittaker_penalty(days, lmbda, penalty), prepare_limits(max_gap, extrapolate)
    options = (nodes, bands, reweighting, limits, keep_valid)
    decoding = prepare_decoding(values.dtype, nodata, scale, offset)
    return run_series(smooth_nodes, values, dates, decoding, options, n_threads=n_threads)
