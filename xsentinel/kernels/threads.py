"""One thread pool over ranges of pixels, for eager arrays; under dask the workers are the threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

GRAIN = 1 << 18
"""Pixels a range: 1 MiB of float32, long enough to hide the cost of handing it over (20 µs)."""


def n_cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def over_pixels(run: Callable[[int, int], object], n_pixels: int, n_threads: int = 1) -> None:
    """Call run(start, stop) for ranges that cover n_pixels, on n_threads threads."""
    ranges = [(start, min(start + GRAIN, n_pixels)) for start in range(0, n_pixels, GRAIN)]
    if n_threads == 1 or len(ranges) < 2:
        for start, stop in ranges:
            run(start, stop)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        for done in [pool.submit(run, start, stop) for start, stop in ranges]:
            done.result()
