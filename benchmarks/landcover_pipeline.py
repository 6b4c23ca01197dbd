"""Training of FG-UNET from a Zarr store ten times as large as the memory it may use, against training from memory.

python -m benchmarks.landcover_pipeline [--side 1024] [--epochs 4] [--steps 4] [--preset fgunet] [--precision auto]
python -m benchmarks.landcover_pipeline --scaling    # one process and two, a thread each, from memory
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import rioxarray  # noqa: F401  (registers .rio)
import xarray as xr

from xsentinel.bands import TEN_BANDS
from xsentinel.classes import LabelClass, flag_attrs, palette
from xsentinel.cube import Encoding
from xsentinel.models.card import Card, Channel, EqualDates
from xsentinel.training.landcover_batches import Cutter, Source
from xsentinel.training.landcover_tiles import open_joined
from xsentinel.training.places import Draw
from xsentinel.training.tiles import Kept, Tile

DATES = 33
CLASSES = tuple(LabelClass(k + 1, f"class {k + 1}", colour) for k, colour in enumerate(palette(17)))


def made(side: int, chunks: int = 512) -> xr.Dataset:
    """A cube of counts a day after the equal dates, (33, side, side), ten bands, lazily: fields of 8 pixels and noise."""
    import dask.array as da

    sizes = ((DATES,), *((chunks,) * (side // chunks),) * 2)
    times = [pd.Timestamp("2018-01-02") + pd.Timedelta(days=d) for d in EqualDates().days(DATES)]
    coords = {"time": times, "y": 5e6 - 10 * np.arange(side) - 5.0, "x": 4e5 + 10 * np.arange(side) + 5.0}
    attrs = {"scale_factor": 1e-4, "add_offset": 0.0, "_FillValue": np.uint16(0)}
    data = {
        b: (("time", "y", "x"), da.map_blocks(block, b, chunks=sizes, dtype=np.uint16, meta=np.empty((0,) * 3, np.uint16)), attrs)
        for b in TEN_BANDS
    }
    return xr.Dataset(data, coords).rio.write_crs(32631)


def block(band: str, block_info: dict | None = None) -> np.ndarray:
    place = block_info[None]
    rng = np.random.default_rng([TEN_BANDS.index(band), *place["chunk-location"]])
    n_times, height, width = place["chunk-shape"]
    fields = rng.integers(300, 4000, (n_times, height // 8, width // 8)).repeat(8, 1).repeat(8, 2)
    return (fields + rng.integers(-60, 60, fields.shape)).astype(np.uint16)


def labels_of(cube: xr.Dataset) -> xr.Dataset:
    """Labels of a fifth of the fields of 16 pixels."""
    side = cube.sizes["y"] // 16
    rng = np.random.default_rng(1)
    codes = np.where(rng.random((side, side)) < 0.2, rng.integers(1, 18, (side, side)), 0).astype(np.uint8)
    parcel = np.arange(1, side * side + 1).reshape(side, side)
    maps = {name: (("y", "x"), values.repeat(16, 0).repeat(16, 1)) for name, values in (("label", codes), ("parcel", parcel))}
    out = xr.Dataset(maps, {d: cube[d] for d in ("y", "x")})
    out["label"].attrs = flag_attrs(CLASSES)
    return out.rio.write_crs(32631)


def trained(source: str, args: argparse.Namespace) -> dict[str, float]:
    """Train in this process; give patches per second after the first epoch, and memory."""
    from xsentinel.training import train_landcover

    folder = Path(args.folder)
    cube = made(args.side)
    cube = open_joined(folder / "tiles" / "a.zarr", TEN_BANDS).compute() if source == "memory" else cube
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    how = {"shares": {"train": 0.67, "test": 0.33}, "scores": False, "progress": False, "cache": args.cache, "precision": args.precision}
    how |= {"processes": args.processes}
    train_landcover({"a": (cube, labels_of(cube))}, folder, preset=args.preset, epochs=args.epochs, steps=args.steps, **how)
    seconds = pd.read_csv(folder / "checkpoints" / "landcover" / "history.csv").seconds.to_numpy()[1:]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"patches_per_second": float(8 * args.steps / np.median(seconds)), "peak": peak, "before": before}


def read_alone(folder: Path, args: argparse.Namespace, n: int = 60) -> tuple[float, float]:
    """Patches that one thread reads and normalises, per second and per second of the processor."""
    stored = open_joined(folder / "tiles" / "a.zarr", TEN_BANDS)
    joined = xr.open_zarr(folder / "tiles" / "a.zarr", consolidated=False, mask_and_scale=False)["reflectance"]
    kept = Kept(args.cache)
    card = Card("a", "fgunet", {}, tuple(Channel(b, 0.0, 0.4) for b in TEN_BANDS), (), 10, 1, 0, "", DATES, CLASSES)
    labels = Tile("labels", (labels_of(stored)["label"].data[None],), (Encoding(),), kept)
    cutter = Cutter([Source(Tile.of("a", [joined], kept), labels)], card, 64)
    rng = np.random.default_rng(0)
    draws = [Draw(0, *(16 * rng.integers((args.side - 64) // 16, size=2)).tolist(), 0) for _ in range(n)]
    cutter(draws[:2])
    start, own = time.perf_counter(), time.process_time()
    for draw in draws:
        cutter([draw])
    return n / (time.perf_counter() - start), n / (time.process_time() - own)


def process(source: str, folder: str, args: argparse.Namespace, **other: int) -> dict[str, float]:
    """Train in a process of its own."""
    told = {k: getattr(args, k) for k in ("side", "epochs", "steps", "preset", "precision", "processes")} | other
    run = [sys.executable, "-m", "benchmarks.landcover_pipeline", "--source", source, "--folder", folder]
    done = subprocess.run([*run, *(f"--{k}={v}" for k, v in told.items())], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def scale(folder: str, args: argparse.Namespace) -> None:
    """Compare one process with two, each with one thread and batches of eight patches."""
    os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    rows = {n: [process("memory", folder, args, processes=n, steps=n * args.steps) for _ in range(args.rounds)] for n in (1, 2)}
    best = {n: max(row["patches_per_second"] for row in found) for n, found in rows.items()}
    print(f"one process {best[1]:.2f} patches/s, two {best[2]:.2f}: {best[2] / best[1]:.2f} times as many")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--preset", default="fgunet")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--folder", help="Where the tile is stored; a temporary one if not given.")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--scaling", action="store_true")
    parser.add_argument("--source", choices=["zarr", "memory"], help="One process of the comparison.")
    args = parser.parse_args()
    size = DATES * len(TEN_BANDS) * args.side**2 * 2
    args.cache = size // 10
    if args.source:
        print(json.dumps(trained(args.source, args)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or temporary
        process("zarr", folder, args, epochs=2, steps=1)  # fills gaps and stores the tile
        if args.scaling:
            scale(folder, args)
            return
        print(f"cube of {size / 1e6:.0f} MB in Zarr; chunks kept up to {args.cache / 1e6:.0f} MB; {args.preset}, {args.precision}")
        wall, cpu = read_alone(Path(folder), args)
        print(f"reading alone, one thread: {wall:.1f} patches/s, {cpu:.1f} a second of the processor")
        found: dict[str, list[dict[str, float]]] = {"memory": [], "zarr": []}
        for _ in range(args.rounds):
            for source, rows in found.items():
                rows.append(process(source, folder, args))
    for source, rows in found.items():
        peak, before = (max(r[k] for r in rows) for k in ("peak", "before"))
        each = ", ".join(f"{r['patches_per_second']:.2f}" for r in rows)
        print(f"from {source:6}: {each} patches/s; {peak / 1e6:.0f} MB resident at the most, {before / 1e6:.0f} MB before training")
    best = {source: max(r["patches_per_second"] for r in rows) for source, rows in found.items()}
    print(f"ratio of the best: {best['zarr'] / best['memory']:.3f}")


if __name__ == "__main__":
    main()
