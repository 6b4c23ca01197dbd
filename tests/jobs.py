"""Jobs that tests kill: run in processes of their own, each noting which blocks it computed."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import dask.array as da
import numpy as np
import rioxarray  # noqa: F401  (registers .rio)
import xarray as xr

import xsentinel as xs

SIDE, BLOCK = 400, 80
"""Pixels of the scene and of a block along a side: 25 blocks, larger than the window by which a form is found out."""

N_BLOCKS = (SIDE // BLOCK) ** 2


def scene(side: int = SIDE, n_times: int = 3) -> xr.Dataset:
    """Reflectance of one band, in chunks that are not the blocks."""
    t, y, x = np.ogrid[0:n_times, 0:side, 0:side]
    values = ((t * 7919 + y * 104729 + x * 1299709) % 10007 / 20014).astype(np.float32)
    values[:, 5:9, 30:90] = np.nan
    axes = {"y": 5e6 - 10.0 * np.arange(side), "x": 4e5 + 10.0 * np.arange(side)}
    axes["time"] = np.array(["2020-01-01", "2020-01-06", "2020-01-11"], "datetime64[ns]")[:n_times]
    data = da.from_array(values, chunks=(1, 100, 90), name="scene-of-tests")
    ds = xr.Dataset({"B04": (("time", "y", "x"), data)}, axes)
    return ds.rio.write_crs("EPSG:32632")


@dataclass(frozen=True)
class Work:
    """A function of a cube that takes a while, notes where it was, and may fail a few times first."""

    notes: str = ""
    """Folder of the notes, a file a call."""
    seconds: float = 0.0
    fails: tuple[int, int, int] = (-1, -1, 0)
    """Row and column of the block's first pixel, of those that fail, and how often."""

    def __call__(self, ds: xr.Dataset) -> xr.Dataset:
        row, column = round((5e6 - float(ds.y[0])) / 10), round((float(ds.x[0]) - 4e5) / 10)
        out = xr.Dataset(coords=ds.coords)
        values = ds.B04.load(scheduler="synchronous") * np.float32(2)
        out["lai"] = values.assign_attrs(units="m2 m-2", long_name="leaf area index", grid_mapping="spatial_ref")
        out["n_obs"] = values.notnull().sum("time").astype(np.uint8)
        if self.notes and ds.sizes["y"] == BLOCK:
            Path(self.notes, f"{row}-{column}-{os.getpid()}-{time.monotonic_ns()}").touch()
        if (row, column) == self.fails[:2] and len(list(Path(self.notes).glob(f"{row}-{column}-*"))) <= self.fails[2]:
            raise OSError(5, "Input/output error")
        time.sleep(self.seconds)
        return out


def job(store: str, notes: str, seconds: float = 0.02) -> None:
    """Run, or go on."""
    xs.run(Work(notes, seconds), store, source=scene(), halo=0, block=BLOCK, workers=2, resume=True, progress=False)


def job_of_a_person(store: str, notes: str, seconds: float) -> None:
    """Run as from a terminal, where Ctrl-C interrupts; what a shell starts in the background ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    job(store, notes, seconds)
