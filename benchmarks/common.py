"""What benchmarks share: the layout of the data, the tile of real pixels, the machine's limit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
import xarray as xr

import xsentinel as xs
from xsentinel.kernels.threads import n_cores

BANDS = ("B03", "B04", "B05", "B06", "B07", "B8A", "B11", "B12")
ANGLES = {"sza": 27.0, "vza": 5.0, "raa": 100.0}


@dataclass(frozen=True)
class Layout:
    """Size and cut of the data that a benchmark works on."""

    side: int
    """Pixels of a square scene along a side."""
    chunk: int
    """Pixels of a chunk along a side."""
    seed: int = 0
    """Of the jitter."""

    @property
    def pixels(self) -> int:
        """Pixels of the scene."""
        return self.side * self.side


TILE = Layout(5490, 1024)
"""A whole Sentinel-2 tile at 20 m."""

SMALL = Layout(500, 256)
"""What a test run goes through, to keep the benchmarks alive."""


@dataclass(frozen=True)
class Series:
    """Size of the time series that a benchmark works on."""

    pixels: int
    """Of one band."""
    some_pixels: int
    """What middling peers get."""
    few_pixels: int
    """What slow peers get; a power of two."""
    n_bands: int
    n_times: ClassVar[int] = 73


SERIES = Series(1024 * 1024, 1 << 17, 1 << 13, 10)
"""A year every five days, ten bands."""

SMALL_SERIES = Series(2048, 1024, 64, 2)
"""What a test run goes through."""


@cache
def tile(layout: Layout, bands: tuple[str, ...] = BANDS) -> xr.Dataset:
    """Give bands of uint16 counts: the Zurich sample repeated, jittered so that repeats do not compress."""
    sample = xs.sample("zurich", mask_and_scale=False)
    rng = np.random.default_rng(layout.seed)
    cube = xr.Dataset()
    for band in bands:
        counts = sample[band].values[0]
        repeats = [-(-layout.side // n) for n in counts.shape]
        jitter = rng.integers(0, 17, (layout.side, layout.side), dtype=np.uint16)
        values = np.tile(counts, repeats)[: layout.side, : layout.side] + jitter
        cube[band] = ("time", "y", "x"), values[None], sample[band].attrs
    steps = 20.0 * np.arange(layout.side)
    cube = cube.assign_coords(
        time=sample.time, y=5_300_010 - steps, x=400_010 + steps, platform="S2A", **{a: ("time", [v]) for a, v in ANGLES.items()}
    )
    return cube.rio.write_crs("EPSG:32632")


def copy_bytes(source: np.ndarray, target: np.ndarray) -> None:
    """Copy with all cores: the limit of whatever reads and writes as many bytes."""
    n = n_cores()
    edges = np.linspace(0, source.size, n + 1).astype(int)
    with ThreadPoolExecutor(n) as pool:
        list(pool.map(lambda i: np.copyto(target[edges[i] : edges[i + 1]], source[edges[i] : edges[i + 1]]), range(n)))
