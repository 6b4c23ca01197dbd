"""One thread pool over ranges of pixels, for eager arrays; under dask the workers are the threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from xsentinel.errors import XSentinelError

GRAIN = 1 << 18
"""Pixels a range at least: 1 MiB of float32, long enough to hide the cost of handing it over (20 µs)."""

RANGES_PER_THREAD = 4
"""A slow thread leaves its last ranges to the others."""


def n_cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def over_pixels(run: Callable[[int, int], object], n_pixels: int, n_threads: int = 1, step: int = GRAIN) -> None:
    """Call run(start, stop) for ranges that cover n_pixels, on n_threads threads.

    Parameters
    ----------
    run : callable
        Writes its own part of an output, and releases the GIL.
    n_pixels : int
        Length of the whole range.
    n_threads : int
        1 runs once, in the calling thread; within a dask worker leave it at that.
    step : int
        Every bound but the last is a multiple of it: the width of a block, so that no block is cut.

    Raises
    ------
    XSentinelError
        If there is no thread to run on.
    """
    if n_threads < 1:
        raise XSentinelError(f"n_threads is {n_threads}; give 1 or more")
    if n_threads == 1 or n_pixels <= step:
        run(0, n_pixels)
        return
    size = -(-n_pixels // (RANGES_PER_THREAD * n_threads * step)) * step
    ranges = [(start, min(start + size, n_pixels)) for start in range(0, n_pixels, size)]
    with ThreadPoolExecutor(n_threads) as pool:
        for done in [pool.submit(run, start, stop) for start, stop in ranges]:
            done.result()
