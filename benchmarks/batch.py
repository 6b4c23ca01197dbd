"""Large jobs: ``python -m benchmarks.batch [plan | overhead | flat | workers | tile | paper]``, all but tile if none is named.

plan       a virtual cube of 1 TB: seconds and memory of planning it, then a hundredth of its blocks run
overhead   the same blocks by the runner and by a bare loop
flat       more and more virtual tiles: blocks in work and memory stay what they are
workers    one worker process and two, on work that only computes
tile       a simulated full tile of six dates: mask → composite → U-Net with its uncertainty → Zarr
paper      France and Europe for a year, from throughputs measured here
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import rioxarray  # noqa: F401  (registers .rio)
import xarray as xr

import xsentinel as xs
from benchmarks.zarr_job import peak_memory_gb
from xsentinel.bands import TEN_BANDS
from xsentinel.batch.progress import resident_bytes

STEPS: list[Any] = [{"mask_clouds": {"dilate": 40}}, {"composite": {"freq": "MS"}}, {"lai": {"platform": "S2A"}}]
GIGABYTE = 1e9


@dataclass(frozen=True)
class Virtual:
    """Counts made from their place when they are asked for, (time, y, x); an array to dask."""

    shape: tuple[int, int, int]
    low: int
    """Of the counts; 0: scene classes, a fifth of them cloud."""

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint16 if self.low else np.uint8)

    @property
    def ndim(self) -> int:
        return 3

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        times, rows, columns = (range(*k.indices(n)) for k, n in zip(key, self.shape, strict=True))
        field = _field(rows, columns)
        out = np.empty((len(times), len(rows), len(columns)), self.dtype)
        for i, t in enumerate(times):
            out[i] = np.where((field + 61 * t) % 5 == 0, 9, 4) if self.low == 0 else field + np.uint16(self.low + 3 * t)
        return out


@lru_cache(64)
def _field(rows: range, columns: range) -> np.ndarray:
    y, x = np.arange(rows.start, rows.stop)[:, None], np.arange(columns.start, columns.stop)
    return ((y // 7 * 131 + x // 9 * 71) % 997).astype(np.uint16)


def virtual_cube(gigabytes: float, n_times: int = 73, chunk: int = 512) -> xr.Dataset:
    """Give a cube of ten bands and scene classes that would take so much; its graph is not made until it is cut."""
    side = max(1, round(np.sqrt(gigabytes * GIGABYTE / (n_times * 21)) / chunk)) * chunk
    shape = n_times, side, side

    def layer(low: int) -> Any:
        source = Virtual(shape, low)
        meta = np.empty((0, 0, 0), source.dtype)
        return da.from_array(source, chunks=(8, chunk, chunk), asarray=False, fancy=False, lock=False, meta=meta, name=f"v{low}-{shape}")

    attrs = {"scale_factor": 1e-4, "add_offset": 0.0, "_FillValue": np.uint16(0)}
    variables: dict[str, Any] = {b: (("time", "y", "x"), layer(300 * i + 200), attrs) for i, b in enumerate(TEN_BANDS)}
    variables["SCL"] = (("time", "y", "x"), layer(0), {})
    times = pd.date_range("2021-01-03", periods=n_times, freq="5D").to_numpy()
    axes = {"time": times, "y": 5e6 - 20.0 * np.arange(side), "x": 4e5 + 20.0 * np.arange(side)}
    angles = {a: ("time", np.full(n_times, v, np.float32)) for a, v in (("sza", 30.0), ("vza", 5.0), ("raa", 100.0))}
    return xr.Dataset(variables, axes | angles).rio.write_crs("EPSG:32632")


def plan_terabyte(folder: Path) -> None:
    cube = virtual_cube(1000)
    xs.plan(STEPS, folder / "warm.zarr", source=virtual_cube(0.1), memory_limit=2 * 10**9)  # imports what is imported once
    before, start = peak_memory_gb(), time.perf_counter()
    planned = xs.plan(STEPS, folder / "lai.zarr", source=cube, memory_limit=2 * 10**9)
    seconds = time.perf_counter() - start
    print(f"{cube.nbytes / 1e12:.2f} TB planned in {seconds:.2f} s with {(peak_memory_gb() - before) * 1e3:.0f} MB more than before")
    print(planned.explain())
    n = len(planned.job.blocks)
    report = planned.run(only=range(0, n, 100), progress=False)
    print(f"{len(report.records)} of {n} blocks, spread over the scene: {report.seconds:.1f} s, peak {peak_memory_gb():.2f} GB resident")
    print(f"all of them would take {report.seconds * n / len(report.records) / 3600:.1f} h on two cores")


def overhead(folder: Path) -> None:
    cube = virtual_cube(10)
    planned = xs.plan(STEPS, folder / "lai.zarr", source=cube, memory_limit=2 * 10**9)
    wanted = range(0, len(planned.job.blocks), max(1, len(planned.job.blocks) // 24))
    bare_loop(planned, list(wanted)[:4], folder / "bare.zarr")  # compiles
    ratios = []
    for _ in range(5):
        shutil.rmtree(folder / "lai.zarr", ignore_errors=True)
        ours = planned.run(only=wanted, progress=False).seconds
        bare = bare_loop(planned, list(wanted), folder / "bare.zarr")
        ratios.append(ours / bare)
        print(f"{len(wanted)} blocks: runner {ours:.2f} s, bare loop on as many threads {bare:.2f} s, ratio {ratios[-1]:.3f}")
    print(f"overhead of the runner, median of five: {100 * (np.median(ratios) - 1):.1f} %")


def bare_loop(planned: Any, wanted: list[int], target: Path) -> float:
    """Compute and write the same blocks, and nothing else: no ledger, digests or retries."""
    from concurrent.futures import ThreadPoolExecutor
    from dataclasses import replace

    import zarr

    job = replace(planned.job, store=xs.batch.Store(str(target)))
    shutil.rmtree(target, ignore_errors=True)
    job.begin()
    group = zarr.open_group(target, mode="r+", use_consolidated=False)

    def one(index: int) -> None:
        task = job.task(index)
        for name, values in task.values().items():
            group[name][:, task.region["y"], task.region["x"]] = values

    start = time.perf_counter()
    with ThreadPoolExecutor(planned.workers) as pool:
        list(pool.map(one, wanted))
    return time.perf_counter() - start


def flat(folder: Path) -> None:
    """Run trivial blocks of more and more virtual tiles, and look at what is held at once."""
    for tiles in (1, 5, 20):
        cube = virtual_cube(0.046 * tiles, n_times=2, chunk=64).drop_vars("SCL")[["B04"]]
        planned = xs.plan(lambda c: c[["B04"]] + 0, folder / f"{tiles}.zarr", source=cube, halo=0, block=64, workers=2)
        before = resident_bytes()
        report = planned.run(only=range(0, len(planned.job.blocks), 2), progress=False)
        grown = max(report.peak_bytes - before, 0) / 1e6
        told = f"{len(report.records)} run in {report.seconds:.1f} s: at most 3 in work, {grown:.0f} MB more"
        print(f"{len(planned.job.blocks):7d} blocks planned, {told}")


def busy(ds: xr.Dataset) -> xr.Dataset:
    """Compute in this thread for a while, and touch little memory."""
    out = ds[["B04"]].astype(np.float32)
    total = 0
    for i in range(6_000_000):
        total = (total * 31 + i) % 1_000_003
    return out + np.float32(total % 1)


def workers(folder: Path) -> None:
    from distributed import Client, LocalCluster

    cube = virtual_cube(0.5, n_times=2)[["B04"]]
    seconds = {}
    for n in (1, 2):
        with LocalCluster(n_workers=n, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster, Client(cluster) as client:
            planned = xs.plan(busy, folder / f"{n}.zarr", source=cube, halo=0, block=512)
            planned.run(only=range(n), client=client, progress=False)  # imports
            report = planned.run(overwrite=True, only=range(24), client=client, progress=False)
            seconds[n] = report.seconds
            print(f"{n} worker processes: {len(report.records)} blocks in {report.seconds:.1f} s")
    print(f"two are {seconds[1] / seconds[2]:.2f} × as fast as one")


def full_tile(folder: Path) -> None:
    """Write a tile of six dates, a simulated landscape of 1098² pixels five times over, then run the chain on it."""
    dates = xs.simulate.overpasses("2021-05-01", "2021-06-30")[::4]
    land = xs.simulate.landscape((1098, 1098), dates, seed=5, resolution=20, mask_and_scale=False).cube.load()
    cube = land.isel(y=slice(0), x=slice(0)).drop_dims(("y", "x"))
    for name, values in land.data_vars.items():
        cube[name] = ("time", "y", "x"), da.tile(da.from_array(values.values, chunks=(1, 1098, 1098)), (1, 5, 5)), values.attrs
    metres = 20.0 * np.arange(5490)
    cube = cube.assign_coords(y=float(land.y[0]) - metres, x=float(land.x[0]) + metres).rio.write_crs(land.rio.crs)
    cube.s2.to_zarr(folder / "tile.zarr")
    (folder / "job.yaml").write_text(
        "input: tile.zarr\nopen: {mask_and_scale: false}\nsteps:\n  - mask_clouds: {dilate: 60}\n  - composite: {freq: MS}\n"
        "  - lai: {model: unet, samples: 10}\noutput: lai.zarr\noptions: {memory_limit: 4GB, pack: int16}\n"
    )
    command = [sys.executable, "-c", "from xsentinel.cli import main; main()", "run", str(folder / "job.yaml"), "--report"]
    subprocess.run([*command, str(folder / "report.json"), "--no-progress"], check=True)
    print(json.dumps({k: v for k, v in json.loads((folder / "report.json").read_text()).items() if k != "fingerprint"}, indent=1))


RATES = {
    "Zarr": 123e6,  # values read and decoded: test_sl2p.py, eight bands of a tile in 1.96 s, outputs written
    "JPEG 2000": 8.8e6,  # test_reading.py, xs.open of one date; instead of Zarr
    "medians": 2.4e9,  # values: test_time.py
    "U-Net": 3.2e6,  # pixels: test_inference.py, a tile in 9.3 s
    "30 samples": 0.33e6,  # pixels: the same, in 91 s
}
"""A second on two cores, as README has them (the first and third on a Zen 5, the others on a Zen 3)."""


def paper(_: Path) -> None:
    """Say what France and Europe take: 73 dates of ten bands at 10 m, monthly composites, LAI of each as if the network were for 10 m."""
    for name, tiles in (("one tile", 1), ("11 tiles (Stoian 2019)", 11), ("France, about 70 tiles", 70), ("the EU, about 450 tiles", 450)):
        pixels = 10980**2 * tiles
        values, maps = pixels * 73 * 10, 12 * pixels
        amounts = {"Zarr": values, "JPEG 2000": values, "medians": values, "U-Net": maps, "30 samples": maps}
        told = ", ".join(f"{k} {2 * amounts[k] / rate / 3600:,.0f}" for k, rate in RATES.items())
        sizes = f"{2 * values / 1e12:.1f} TB of counts in, {2 * maps / 1e12:.2f} TB a map out, {tiles * 484:,} blocks of 512²"
        print(f"{name}: {sizes}; core-hours: {told}")
    print("from JPEG 2000 decoding is the bottleneck, so cubes are kept in Zarr; then the network with its samples, which a GPU takes")


COMMANDS = {"plan": plan_terabyte, "overhead": overhead, "flat": flat, "workers": workers, "tile": full_tile, "paper": paper}


def main(names: list[str]) -> None:
    if names[:1] == ["--one"]:
        with tempfile.TemporaryDirectory() as folder:
            COMMANDS[names[1]](Path(folder))
        return
    for name in names or [n for n in COMMANDS if n != "tile"]:
        print(f"— {name}", flush=True)
        subprocess.run([sys.executable, "-m", "benchmarks.batch", "--one", name], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
