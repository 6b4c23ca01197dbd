"""A virtual cube far larger than memory through the temporal chain: ``python -m benchmarks.scale [GB ...]``.

The cube is made block by block when it is asked for and never stored; each size runs in a process of its own,
so that its memory can be read. Printed: seconds, GB/s, peak resident memory; time should grow with size.
With a date a chunk (DATES_A_CHUNK = 1) dask's graph itself takes a gigabyte at 60 GB.
"""

from __future__ import annotations

import subprocess
import sys
import time
from functools import cache, partial
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import rioxarray  # noqa: F401  (registers .rio)
import xarray as xr

import xsentinel  # noqa: F401  (registers .s2)
from benchmarks.zarr_job import peak_memory_gb

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
N_TIMES, CHUNK, DATES_A_CHUNK, MEMORY_LIMIT = 73, 512, 8, 1_000_000_000


@cache
def _base(low: int) -> np.ndarray:
    """Draw one chunk of counts, or of scene classes for low 0."""
    rng = np.random.default_rng(low)
    if low == 0:
        return rng.choice(np.array([4, 5, 8, 9], np.uint8), (1, CHUNK, CHUNK), p=[0.35, 0.15, 0.2, 0.3])
    return rng.integers(low, low + 2000, (1, CHUNK, CHUNK), dtype=np.uint16)


def _counts(low: int, block_info: Any = None) -> np.ndarray:
    """Make a chunk from its place alone: the same draw, moved, and brightened by date. As cheap as reading."""
    t, y, x = (first for first, _ in block_info[None]["array-location"])
    n = block_info[None]["chunk-shape"][0]
    moved = np.concatenate([np.roll(_base(low), (7 * (t + i) + y // CHUNK + x // CHUNK) % CHUNK, axis=1) for i in range(n)])
    return moved if low == 0 else moved + np.uint16(3 * t)


def virtual_cube(gigabytes: float) -> xr.Dataset:
    """Give a lazy cube of ten uint16 bands and scene classes that would take so much, eight dates a chunk."""
    side = round(np.sqrt(gigabytes * 1e9 / (N_TIMES * (2 * len(BANDS) + 1))) / CHUNK) * CHUNK
    dates = tuple(min(DATES_A_CHUNK, N_TIMES - t) for t in range(0, N_TIMES, DATES_A_CHUNK))
    chunks = (dates, (CHUNK,) * (side // CHUNK), (CHUNK,) * (side // CHUNK))

    def layer(low: int) -> da.Array:
        dtype = np.uint16 if low else np.uint8
        return da.map_blocks(partial(_counts, low), chunks=chunks, dtype=dtype, meta=np.empty((0, 0, 0), dtype))

    attrs = {"scale_factor": 1e-4, "add_offset": 0.0, "_FillValue": np.uint16(0)}
    variables: dict[str, Any] = {b: (("time", "y", "x"), layer(300 * i + 1), attrs) for i, b in enumerate(BANDS)}
    variables["SCL"] = (("time", "y", "x"), layer(0), {})
    metres = 10.0 * np.arange(side)
    times = pd.date_range("2021-01-03", periods=N_TIMES, freq="5D").to_numpy()
    return xr.Dataset(variables, {"time": times, "y": 5e6 - metres, "x": 4e5 + metres}).rio.write_crs("EPSG:32632")


def run(gigabytes: float) -> None:
    """Mask, normalise by the cube's own percentiles, composite and fill; keep a number a date."""
    cube = virtual_cube(gigabytes)
    start = time.perf_counter()
    clear = cube.s2.mask_clouds()
    scaled = clear.s2.normalise(clear.s2.statistics())
    monthly = scaled.s2.composite("MS", memory_limit=MEMORY_LIMIT)
    filled = monthly.s2.fill_gaps("linear", layers=False, memory_limit=MEMORY_LIMIT)
    means = filled[list(BANDS)].mean(("y", "x")).compute()
    seconds = time.perf_counter() - start
    assert all(np.isfinite(v).any() for v in means.data_vars.values())
    size = cube.nbytes / 1e9
    print(f"{size:8.1f} GB  {seconds:8.1f} s  {size / seconds:6.2f} GB/s  peak {peak_memory_gb():.2f} GB", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        run(float(sys.argv[2]))
    else:
        for size in sys.argv[1:] or ["5", "20", "60"]:
            subprocess.run([sys.executable, "-m", "benchmarks.scale", "--one", size], check=True)
