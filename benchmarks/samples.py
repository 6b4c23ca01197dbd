"""Draw samples of a whole tile and extract them from a Zarr cube larger than the memory that it takes.

    python -m benchmarks.samples [--pixels 2048] [--samples 20000]

Prints seconds, and the memory that the process grew by at most (resident, read ten times a second) beside the size of the cube.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pandas as pd
import rioxarray  # noqa: F401  (registers .rio)
import xarray as xr

import xsentinel as xs
from xsentinel.classes import LabelClass, flag_attrs, palette

BANDS = ("B04", "B08", "B11", "B12")
CHUNK = 256


def rss_bytes() -> int:
    """Give the resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def axes(n: int) -> dict[str, np.ndarray]:
    """Give the coordinates of n × n pixels of 10 m."""
    return {"y": 5_700_005.0 - 10 * np.arange(n), "x": 300_005.0 + 10 * np.arange(n)}


def classes_of_place(block_info: dict) -> np.ndarray:
    """Give labels of 15 classes, each half as frequent as the one before, by chance."""
    place = block_info[None]
    rng = np.random.default_rng(place["chunk-location"])
    return np.minimum(rng.geometric(0.5, place["chunk-shape"]), 15).astype(np.uint8)


def label_map(n: int) -> xr.DataArray:
    """Give a lazy map of labels."""
    sizes = (*(1024,) * (n // 1024), *((n % 1024,) if n % 1024 else ()))
    data = da.map_blocks(classes_of_place, chunks=(sizes, sizes), dtype=np.uint8, meta=np.empty((0, 0), np.uint8))
    classes = tuple(LabelClass(k + 1, f"class {k + 1}", c) for k, c in enumerate(palette(15)))
    return xr.DataArray(data, axes(n), ("y", "x"), attrs=flag_attrs(classes)).rio.write_crs(32633)


def write_cube(path: Path, n: int) -> int:
    """Write 12 months of counts; give the bytes of the cube as reflectance in memory."""
    attrs = {"scale_factor": 1e-4, "add_offset": 0.0, "_FillValue": np.uint16(0)}
    cube = xr.Dataset(coords=axes(n) | {"time": pd.date_range("2018", periods=12, freq="MS")}).rio.write_crs(32633)
    for k, band in enumerate(BANDS):
        values = da.random.default_rng(k).integers(1, 9000, (12, n, n), dtype=np.uint16, chunks=(12, CHUNK, CHUNK))
        cube[band] = ("time", "y", "x"), values, attrs
    cube.to_zarr(path, consolidated=False)
    return 12 * n * n * len(BANDS) * 4


class Watch:
    """The greatest growth of resident memory while something runs."""

    def __enter__(self) -> Watch:
        self.start, self.peak, self.stop, self.began = rss_bytes(), 0, threading.Event(), time.perf_counter()
        self.thread = threading.Thread(target=self._look)
        self.thread.start()
        return self

    def _look(self) -> None:
        while not self.stop.wait(0.1):
            self.peak = max(self.peak, rss_bytes() - self.start)

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()
        self.seconds = time.perf_counter() - self.began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pixels", type=int, default=2048, help="along a side of the cube")
    parser.add_argument("--tile", type=int, default=10980, help="pixels along a side of the map of labels to draw from")
    parser.add_argument("--samples", type=int, default=20_000)
    given = parser.parse_args()
    rule = xs.samples.Stratified(given.samples, 200, 2 * given.samples, 200)
    with dask.config.set(scheduler="threads", num_workers=1), tempfile.TemporaryDirectory() as folder:
        with Watch() as watch:
            drawn = xs.samples.draw(label_map(given.tile), rule)
        print(f"draw: {drawn.sizes['sample']} of {given.tile**2 / 1e6:.0f} Mpx in {watch.seconds:.1f} s, +{watch.peak >> 20} MiB")
        size = write_cube(Path(folder) / "cube.zarr", given.pixels)
        table = xs.samples.draw(label_map(given.pixels), rule)
        cube = xs.open(Path(folder) / "cube.zarr")
        for out in (None, Path(folder) / "samples.zarr"):
            with Watch() as watch:
                made = xs.samples.extract(cube, table, path=out)
            where = "memory" if out is None else "Zarr"
            print(
                f"extract to {where}: {made.sizes['sample']} series of {size >> 20} MiB in {watch.seconds:.1f} s, +{watch.peak >> 20} MiB"
            )


if __name__ == "__main__":
    main()
