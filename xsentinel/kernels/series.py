"""Time series of many pixels: checks, dates, and blocks of pixels as float32 with NaN for gaps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xsentinel.errors import GridError, TimeError, UnitsError, XSentinelError
from xsentinel.kernels.compiled import compiled
from xsentinel.kernels.memory import LANES, fetch, stream
from xsentinel.kernels.threads import over_pixels

BLOCK = 512
"""Pixels worked on together: 73 dates of two float32 layers take 300 kB, well inside L2."""
AHEAD = 4
"""Rows asked for before they are read: 2.7 values per ns reach a block, 0.9 without it."""

NAN = np.float32(np.nan)
INF = np.float32(np.inf)
LARGEST = np.finfo(np.float32).max

Extrapolate = Literal[False, "nearest"]
Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Dates:
    """Input and output dates, ready for the kernels."""

    t_in: Float32
    """(time_in) days since the first input date, strictly increasing."""
    t_out: Float32
    """(time_out) days since the first input date, strictly increasing."""
    last: NDArray[np.int64]
    """(time_out) index of the last input date at or before each output date; -1 where none is."""
    same: NDArray[np.int64]
    """(time_out) index of the input date equal to each output date; time_in where none is."""

    def table(self) -> tuple[NDArray[Any], ...]:
        """Return what the kernels take: the four above, and the input indices from last to first.

        The sweeps back read their index from that array. With a plain ``range`` LLVM tests once
        whether whole arrays overlap, which neighbouring rows of one array do, and then runs its
        scalar loop: 2.4 instead of 11 values per ns.
        """
        n = self.t_in.size
        return self.t_in, self.t_out, self.last, self.same, np.arange(n - 1, -1, -1)


def check_days(days: ArrayLike, name: str) -> NDArray[np.float64]:
    """Return dates as float64 days; refuse what is not 1-D, finite and strictly increasing."""
    t = np.asarray(days, dtype=np.float64)
    if t.ndim != 1:
        raise TimeError(f"{name} has {t.ndim} dimensions; give one date in days per time step")
    if not np.isfinite(t).all():
        raise TimeError(f"{name} holds NaN or infinite days; drop these dates first")
    if (np.diff(t) <= 0).any():
        at = int(np.flatnonzero(np.diff(t) <= 0)[0])
        raise TimeError(
            f"{name} must increase strictly, but {name}[{at}] = {t[at]} is followed by {t[at + 1]}; "
            "sort the dates and merge those of the same day"
        )
    return t


def prepare_dates(t_in: ArrayLike, t_out: ArrayLike) -> Dates:
    """Make the dates relative to the first input date and look up each output date among them.

    The origin is removed in float64 and the rest kept in float32: 3 s are told apart over a year,
    21 s over ten years.
    """
    source, target = check_days(t_in, "t_in"), check_days(t_out, "t_out")
    origin = source[0] if source.size else 0.0
    first, second = (source - origin).astype(np.float32), (target - origin).astype(np.float32)
    if (np.diff(first) <= 0).any() or (np.diff(second) <= 0).any():
        raise TimeError("two dates lie within a few seconds of one another; merge them first")
    last = np.searchsorted(first, second, side="right") - 1
    equal = np.zeros(second.size, bool)
    equal[last >= 0] = first[last[last >= 0]] == second[last >= 0]
    return Dates(first, second, last, np.where(equal, last, first.size))


def prepare_limits(max_gap: float | None, extrapolate: Extrapolate) -> Float32:
    """Return (longest gap filled, furthest reach beyond the ends) in days; a reach of -1 is none."""
    if extrapolate not in (False, "nearest"):
        raise XSentinelError(f"extrapolate is {extrapolate!r}; give False or 'nearest'")
    if max_gap is not None and not max_gap >= 0:
        raise XSentinelError(f"max_gap is {max_gap}; give days >= 0, or None for no limit")
    gap = LARGEST if max_gap is None else min(np.float32(max_gap), LARGEST)
    return np.array([gap, gap if extrapolate else -1.0], np.float32)


def prepare_values(values: NDArray[Any], n_in: int) -> tuple[NDArray[Any], tuple[int, ...]]:
    """Return `values` as C-contiguous (time, pixel), and the shape of its pixels."""
    if values.dtype not in LOADERS:
        raise UnitsError(f"values are {values.dtype}; give float32 (NaN = gap), uint16 or a bool mask of valid")
    if values.ndim < 1 or values.shape[0] != n_in:
        raise GridError(f"values have shape {values.shape} but t_in has {n_in} dates; time comes first")
    pixels = values.shape[1:]
    return np.ascontiguousarray(values).reshape(n_in, int(np.prod(pixels, dtype=np.int64))), pixels


def prepare_decoding(dtype: np.dtype[Any], nodata: float | None, scale: float, offset: float) -> Float32:
    """Return (nodata, scale, offset); only uint16 is scaled, so that float32 keeps every bit."""
    if dtype != np.uint16 and (scale != 1 or offset != 0):
        raise UnitsError(f"values are {dtype}: scale and offset apply to uint16 only; leave them 1 and 0")
    return np.array([np.nan if nodata is None else nodata, scale, offset], np.float32)


@compiled
def fetch_row(values: Any, i: int, first: int, per_line: int) -> None:
    """Ask for the block row that will be read `AHEAD` rows after row `i`."""
    n = values.shape[0]
    row = values[(i + AHEAD) % n]
    first += BLOCK * ((i + AHEAD) // n)
    for k in range(first, first + BLOCK, per_line):
        fetch(row, k)


@compiled
def load_float32(values: Float32, first: int, n: int, decoding: Float32, x: Float32) -> None:
    """Copy a block of float32 series; nodata becomes NaN."""
    nodata = decoding[0]
    for i in range(values.shape[0]):
        fetch_row(values, i, first, LANES)
        source = values[i, first : first + n]
        row = x[i]
        for k in range(n):
            v = source[k]
            row[k] = v if v != nodata else NAN


@compiled
def load_uint16(values: NDArray[np.uint16], first: int, n: int, decoding: Float32, x: Float32) -> None:
    """Decode a block of uint16 series: ``stored * scale + offset``, nodata to NaN."""
    nodata, scale, offset = decoding[0], decoding[1], decoding[2]
    for i in range(values.shape[0]):
        fetch_row(values, i, first, 2 * LANES)
        source = values[i, first : first + n]
        row = x[i]
        for k in range(n):
            v = np.float32(source[k])
            row[k] = v * scale + offset if v != nodata else NAN


@compiled
def load_bool(values: NDArray[np.bool_], first: int, n: int, decoding: Float32, x: Float32) -> None:
    """Turn a block of a validity mask into 1 (valid) and NaN (gap)."""
    one = np.float32(1)
    for i in range(values.shape[0]):
        fetch_row(values, i, first, 4 * LANES)
        source = values[i, first : first + n]
        row = x[i]
        for k in range(n):
            row[k] = one if source[k] else NAN


LOADERS: dict[np.dtype[Any], Callable[..., None]] = {
    np.dtype(np.float32): load_float32,
    np.dtype(np.uint16): load_uint16,
    np.dtype(np.bool_): load_bool,
}
"""The loader of each stored dtype. Each writes the first `n` lanes of a scratch made by `scratch`."""


@compiled
def scratch(n_in: int) -> Float32:
    """Return (time_in + 1, BLOCK) of NaN: the row after the last date stands for "no date"."""
    return np.full((n_in + 1, BLOCK), NAN)


@compiled
def store_row(row: Float32, out: Any, j: int, first: int, n: int) -> None:
    """Write the first `n` lanes of a row to one date of the output, past the caches where it can."""
    target = out[j, first : first + n]
    for k in range(n):
        target[k] = row[k]


@compiled
def stream_row(row: Float32, out: Float32, j: int, first: int, n: int) -> None:
    """Do as `store_row`; whole blocks that start on a cache line go past the caches."""
    target = out[j, first : first + n]
    if n < BLOCK or target.ctypes.data % 64 != 0:
        store_row(row, out, j, first, n)
    else:
        for k in range(0, BLOCK, LANES):
            stream(target, row, k)


@compiled
def note_next(x: Float32, t_in: Float32, back: NDArray[np.int64], next_t: Float32) -> None:
    """Write the date of the first valid value at or after each input date (inf: none)."""
    next_t[t_in.size] = INF
    for i in back:
        t = t_in[i]
        value, here, after = x[i], next_t[i], next_t[i + 1]
        for k in range(BLOCK):
            v, t_after = value[k], after[k]
            here[k] = t if v == v else t_after


@compiled
def finish_block(
    y: Float32,
    x: Float32,
    next_t: Float32,
    dates: Any,
    limits: Float32,
    keep: bool,
    out: Float32,
    first: int,
    n: int,
) -> None:
    """Write a block of smoothed series: NaN in long gaps and beyond the ends, observations if kept."""
    t_in, t_out, last, same, back = dates
    max_gap, reach = limits[0], limits[1]
    past = np.full(BLOCK, -INF, np.float32)
    note_next(x, t_in, back, next_t)
    i = 0
    for j in range(t_out.size):
        while i <= last[j]:
            t, value = t_in[i], x[i]
            for k in range(BLOCK):
                v, t_past = value[k], past[k]
                past[k] = t if v == v else t_past
            i += 1
        t, row, ahead = t_out[j], y[j], next_t[i]
        for k in range(BLOCK):
            v, t_a, t_b = row[k], past[k], ahead[k]
            inside = (t_b - t_a <= max_gap) | (t == t_a)
            before = (t_a == -INF) & (t_b - t <= reach)
            beyond = (t_b == INF) & (t - t_a <= reach)
            row[k] = v if inside | before | beyond else NAN
        if keep and same[j] < t_in.size:
            value = x[same[j]]
            for k in range(BLOCK):
                v, w = value[k], row[k]
                row[k] = v if v == v else w
        stream_row(row, out, j, first, n)


def aligned(shape: tuple[int, int], dtype: type[np.generic]) -> NDArray[Any]:
    """Return an empty array that starts on a cache line, as `stream_row` wants it."""
    size = shape[0] * shape[1] * np.dtype(dtype).itemsize
    memory = np.empty(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(dtype).reshape(shape)


def run_series(
    kernel: Callable[..., None],
    values: NDArray[Any],
    dates: Dates,
    decoding: Float32,
    options: tuple[Any, ...],
    dtype: type[np.generic] = np.float32,
    n_threads: int = 1,
) -> NDArray[Any]:
    """Run ``kernel(load, values, decoding, dates, *options, out, start, stop)`` over all pixels.

    Parameters
    ----------
    kernel : callable
        A compiled kernel over a range of pixels.
    values : numpy.ndarray (time_in, ...), float32, uint16 or bool
        Series; anything after time is a pixel.
    dates : Dates
        Their dates and those wanted.
    decoding : numpy.ndarray (3), float32
        nodata, scale, offset.
    options : tuple
        What else the kernel takes.
    dtype : numpy dtype
        Of the output.
    n_threads : int
        Threads over ranges of pixels; the answer does not depend on it.

    Returns
    -------
    numpy.ndarray (time_out, ...), `dtype`
    """
    flat, pixels = prepare_values(values, dates.t_in.size)
    out = aligned((dates.t_out.size, flat.shape[1]), dtype)
    load = LOADERS[values.dtype]
    table = dates.table()

    def task(start: int, stop: int) -> None:
        kernel(load, flat, decoding, table, *options, out, start, stop)

    over_pixels(task, flat.shape[1], n_threads, step=BLOCK)
    return out.reshape(dates.t_out.size, *pixels)
