"""Training of FG-UNET from a Zarr store ten times as large as the memory it may use, against training from memory.

python -m benchmarks.landcover_pipeline [--side 1024] [--epochs 4] [--steps 4] [--preset fgunet] [--precision auto]
"""

from __future__ import annotations

import argparse
import json
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

import xsentinel as xs
from xsentinel.classes import LabelClass, flag_attrs, palette
from xsentinel.models.card import EqualDates
from xsentinel.training.presets import TEN_BANDS

DATES = 33
CLASSES = tuple(LabelClass(k + 1, f"class {k + 1}", colour) for k, colour in enumerate(palette(17)))


def made(side: int, chunks: int = 512) -> xr.Dataset:
    """A cube of counts at the equal dates, (33, side, side), ten bands, lazily: fields of 8 pixels and noise."""
    import dask.array as da

    sizes = ((DATES,), *((chunks,) * (side // chunks),) * 2)
    times = [pd.Timestamp("2018-01-01") + pd.Timedelta(days=d) for d in EqualDates().days(DATES)]
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


def trained(store: str, source: str, args: argparse.Namespace) -> dict[str, float]:
    """Train in this process; give patches per second after the first epoch, and memory."""
    from xsentinel.training import train_landcover

    cube = xr.open_zarr(store, consolidated=False, mask_and_scale=False)
    cube = cube.compute() if source == "memory" else cube
    with tempfile.TemporaryDirectory() as out:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        how = {
            "shares": {"train": 0.67, "test": 0.33},
            "scores": False,
            "progress": False,
            "cache": args.cache,
            "precision": args.precision,
        }
        train_landcover({"a": (cube, labels_of(cube))}, out, preset=args.preset, epochs=args.epochs, steps=args.steps, **how)
        seconds = pd.read_csv(Path(out) / "checkpoints" / "landcover" / "history.csv").seconds.to_numpy()[1:]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"patches_per_second": float(8 * args.steps / np.median(seconds)), "peak": peak, "before": before}


def read_alone(store: str, cache: int, n: int = 40) -> float:
    """Patches per second that one thread reads and normalises."""
    from xsentinel.cube import Encoding
    from xsentinel.models.card import Card, Channel
    from xsentinel.training.landcover_batches import Cutter, Source
    from xsentinel.training.places import Draw
    from xsentinel.training.tiles import Kept, Tile

    cube = xr.open_zarr(store, consolidated=False, mask_and_scale=False)
    kept = Kept(cache)
    card = Card("a", "fgunet", {}, tuple(Channel(b, 0.0, 0.4) for b in TEN_BANDS), (), 10, 1, 0, "", DATES, CLASSES)
    labels = Tile("labels", (labels_of(cube)["label"].data[None],), (Encoding(),), kept)
    cutter = Cutter([Source(Tile.of("a", [cube[b] for b in TEN_BANDS], kept), labels)], card, 64)
    rng = np.random.default_rng(0)
    draws = [Draw(0, *(16 * rng.integers((cube.sizes["y"] - 64) // 16, size=2)).tolist(), 0) for _ in range(n)]
    cutter(draws[:2])
    start = time.perf_counter()
    for draw in draws:
        cutter([draw])
    return n / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--preset", default="fgunet")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--store", help="Where the cube is, or is made; a temporary folder if not given.")
    parser.add_argument("--source", choices=["zarr", "memory"], help="One process of the comparison.")
    args = parser.parse_args()
    size = DATES * len(TEN_BANDS) * args.side**2 * 2
    args.cache = size // 10
    if args.source:
        print(json.dumps(trained(args.store, args.source, args)))
        return
    with tempfile.TemporaryDirectory() as folder:
        store = args.store or f"{folder}/cube.zarr"
        if not Path(store).exists():
            xs.run(made(args.side), store, layout="series", progress=False)
        print(f"cube of {size / 1e6:.0f} MB in Zarr; chunks kept up to {args.cache / 1e6:.0f} MB; {args.preset}, {args.precision}")
        print(f"reading alone, one thread: {read_alone(store, args.cache):.1f} patches/s")
        found = {"memory": [], "zarr": []}
        told = [f"--{k}={getattr(args, k)}" for k in ("side", "epochs", "steps", "preset", "precision")]
        for _ in range(args.rounds):
            for source, rows in found.items():
                run = [sys.executable, "-m", "benchmarks.landcover_pipeline", "--source", source, "--store", store, *told]
                rows.append(json.loads(subprocess.run(run, check=True, capture_output=True, text=True).stdout.splitlines()[-1]))
    speed = {source: max(r["patches_per_second"] for r in rows) for source, rows in found.items()}
    for source, rows in found.items():
        peak, before = (max(r[k] for r in rows) for k in ("peak", "before"))
        each = ", ".join(f"{r['patches_per_second']:.2f}" for r in rows)
        print(f"from {source:6}: {each} patches/s; {peak / 1e6:.0f} MB resident at the most, {before / 1e6:.0f} MB before training")
    print(f"ratio of the best: {speed['zarr'] / speed['memory']:.3f}")


if __name__ == "__main__":
    main()
