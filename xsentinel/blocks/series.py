"""Functions of whole time series over numpy or dask arrays, and the plan of blocks that they need."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from dask.utils import parse_bytes

from xsentinel.errors import GridError, XSentinelError
from xsentinel.kernels.threads import n_cores

SHARE = 0.25
"""Of the memory limit that the blocks in work take: source chunks that wait and results that leave need the rest."""

LEAST_SIDE = 32
"""Pixels along a side below which a block is not cut further: its overhead would exceed its work."""


@dataclass(frozen=True)
class SeriesPlan:
    """How a cube is cut into blocks that hold all of time."""

    n_times: int
    source: tuple[int, int, int]
    """Largest chunk of the source: (time, y, x)."""
    block: tuple[int, int]
    """Largest block: (y, x)."""
    n_blocks: int
    block_bytes: int
    """Inputs, outputs and scratch of one block."""
    n_workers: int
    memory_limit: int
    """Bytes."""

    @property
    def is_rechunked(self) -> bool:
        """Whether blocks differ from the source's chunks."""
        return self.source != (self.n_times, *self.block)

    @property
    def peak_bytes(self) -> int:
        """Blocks in work at a time, twice, as chunks wait to be joined and results to be taken."""
        return 2 * self.n_workers * self.block_bytes

    def __str__(self) -> str:
        how = "rechunked once, time contiguous" if self.is_rechunked else "as they are in the source"
        return (
            f"{self.n_blocks} blocks of {self.n_times} dates × {self.block[0]} × {self.block[1]} pixels, {how} "
            f"(source chunks {' × '.join(map(str, self.source))})\n"
            f"{self.block_bytes / 1e6:.0f} MB a block, {self.n_workers} at a time: about {self.peak_bytes / 1e6:.0f} MB "
            f"of {self.memory_limit / 1e6:.0f} MB allowed"
        )


def allowed_bytes(memory_limit: int | str | None) -> int:
    """Give the bytes that are allowed: those told, by number or in words; half of the machine's memory of None.

    Raises
    ------
    XSentinelError
        If it is no size.

    Examples
    --------
    >>> allowed_bytes("1.5GB"), allowed_bytes(1000)
    (1500000000, 1000)
    """
    if memory_limit is None:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    try:
        found = parse_bytes(memory_limit)
    except (ValueError, TypeError):
        found = 0
    if found <= 0:
        raise XSentinelError(f"memory_limit is {memory_limit!r}; give bytes, or a text such as '8GB'")
    return found


def plan_series(chunks: Sequence[tuple[int, ...]], pixel_bytes: int, memory_limit: int, n_workers: int) -> SeriesPlan:
    """Choose blocks of whole series: the source's chunks, halved along their longer side until they fit.

    Parameters
    ----------
    chunks : sequence of three tuples of int
        Of the source along time, y and x.
    pixel_bytes : int
        What one pixel of a block needs: all its inputs, outputs and scratch.
    memory_limit : int
        Bytes that all blocks in work together may come near.
    n_workers : int
        Blocks worked on at a time.

    Raises
    ------
    GridError
        If even the smallest block does not fit.

    Examples
    --------
    >>> print(plan_series(((1,) * 73, (1024,) * 5, (1024,) * 5), 73 * 4 * 11, 2_000_000_000, 2))
    400 blocks of 73 dates × 256 × 256 pixels, rechunked once, time contiguous (source chunks 1 × 1024 × 1024)
    211 MB a block, 2 at a time: about 842 MB of 2000 MB allowed
    """
    height, width = max(chunks[1], default=1), max(chunks[2], default=1)
    budget = SHARE * memory_limit / n_workers
    while height * width * pixel_bytes > budget and max(height, width) > LEAST_SIDE:
        height, width = (-(-height // 2), width) if height >= width else (height, -(-width // 2))
    if height * width * pixel_bytes > budget:
        raise GridError(
            f"series of {pixel_bytes} bytes a pixel do not fit: {height} × {width} pixels take {height * width * pixel_bytes / 1e6:.0f} MB "
            f"and {n_workers} blocks at a time are allowed {SHARE * memory_limit / 1e6:.0f} MB; raise memory_limit, or select fewer dates"
        )
    n_blocks = int(np.prod([sum(-(-size // side) for size in sizes) for sizes, side in zip(chunks[1:], (height, width), strict=True)]))
    n_times, source = sum(chunks[0]), tuple(max(c, default=0) for c in chunks)
    return SeriesPlan(n_times, source, (height, width), n_blocks, height * width * pixel_bytes, n_workers, memory_limit)  # type: ignore[arg-type]


def cut(sizes: tuple[int, ...], side: int) -> tuple[int, ...]:
    """Cut each chunk into parts of at most ``side``, so that no block takes from two source chunks."""
    return tuple(min(side, size - start) for size in sizes for start in range(0, size, side))


def plan_cube(bands: Sequence[xr.DataArray], n_out: int, memory_limit: int | str | None = None) -> SeriesPlan | None:
    """Plan the blocks for bands (time, y, x) and as many outputs of n_out dates; None for arrays in memory."""
    lazy = next((b for b in bands if b.chunks is not None), None)
    if lazy is None:
        return None
    sizes = dict(zip(lazy.dims, lazy.chunks or (), strict=True))
    n_times = lazy.sizes["time"]
    pixel_bytes = sum(n_times * b.dtype.itemsize + n_out * 4 for b in bands)
    chunks = [sizes.get(d, (1,)) for d in ("time", "y", "x")]
    return plan_series(chunks, pixel_bytes, allowed_bytes(memory_limit), n_cores())


def contiguous_in_time(bands: Sequence[xr.DataArray], plan: SeriesPlan | None) -> list[xr.DataArray]:
    """Rechunk bands as planned, all alike; arrays in memory are left alone."""
    if plan is None:
        return list(bands)
    sizes = next(dict(zip(b.dims, b.chunks, strict=True)) for b in bands if b.chunks is not None)
    target: dict[Any, Any] = {"time": -1}
    target |= {d: cut(sizes[d], side) for d, side in zip(("y", "x"), plan.block, strict=True) if d in sizes}
    return [b.chunk(target) for b in bands]


@dataclass(frozen=True)
class Output:
    """One result of a function of series."""

    name: str
    dtype: type[np.generic]
    has_time: bool = True
    """Whether it has a value a date of the result, or one for all."""


def map_series(
    function: Callable[..., tuple[npt.NDArray[Any], ...]],
    bands: Sequence[xr.DataArray],
    outputs: Sequence[Output],
    times: npt.NDArray[np.datetime64],
    options: Mapping[str, Any],
) -> dict[str, xr.DataArray]:
    """Apply a function of blocks (time, ...) to bands: at once to numpy, block by block to dask.

    Time stays the first axis throughout. With time as a core dimension of ``xarray.apply_ufunc``, which goes
    last, dask moves the transposition before the rechunking and every block is copied twice with long
    strides: a monthly median of 73 dates took twenty times as long.

    Parameters
    ----------
    function : callable
        (time, ...) arrays, one a band, and options → arrays (time_out, ...) or (...), one an output. It also
        takes ``n_threads``: all cores for arrays in memory, 1 under dask, where the workers are the threads.
    bands : sequence of DataArray (time, y, x) or with fewer of these dims
        Chunked alike, one chunk in time.
    outputs : sequence of Output
    times : (time_out,) datetime64
    options : mapping
        Passed on.
    """
    lazy = next((b.data for b in bands if b.chunks is not None), None)
    if lazy is None:
        arrays: Sequence[Any] = function(*(np.ascontiguousarray(b.values) for b in bands), **options, n_threads=n_cores())
    else:
        arrays = _map_dask(partial(_run_block, function, dict(options)), [b.data for b in bands], outputs, len(times))
    dims = bands[0].dims
    return {o.name: xr.DataArray(a, dims=dims if o.has_time else dims[1:], name=o.name) for o, a in zip(outputs, arrays, strict=True)}


def _run_block(function: Callable[..., Any], options: dict[str, Any], *arrays: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], ...]:
    return tuple(function(*(np.ascontiguousarray(a) for a in arrays), **options, n_threads=1))


def _take(block: tuple[npt.NDArray[Any], ...], i: int, has_time: bool) -> npt.NDArray[Any]:
    return block[i] if has_time else block[i][None]


def _map_dask(run: Callable[..., Any], arrays: Sequence[Any], outputs: Sequence[Output], n_out: int) -> list[Any]:
    """Make one task a block that gives all outputs, and one that takes each."""
    import dask.array as da

    sizes = next(a for a in arrays if isinstance(a, da.Array)).chunks
    blocks = [a if isinstance(a, da.Array) else da.from_array(a, chunks=sizes) for a in arrays]
    together = da.map_blocks(run, *blocks, chunks=((1,), *sizes[1:]), dtype=object, meta=np.empty((0,) * len(sizes), object))
    taken = []
    for i, output in enumerate(outputs):
        chunks = ((n_out if output.has_time else 1,), *sizes[1:])
        meta = np.empty((0,) * len(sizes), output.dtype)
        one = together.map_blocks(_take, i, output.has_time, chunks=chunks, dtype=output.dtype, meta=meta)
        taken.append(one if output.has_time else one[0])
    return taken
