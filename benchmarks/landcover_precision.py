"""Mixed bfloat16 against float32 in the training of FG-UNET: time of a step, and kappa on simulated land, seed by seed.

python -m benchmarks.landcover_precision [--side 256] [--epochs 8] [--steps 50] [--seeds 3]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
import xarray as xr

import xsentinel as xs
from xsentinel.models.card import EqualDates
from xsentinel.models.fgunet import FGUNet
from xsentinel.training import LANDCOVER_PRESETS, train_landcover
from xsentinel.training.landcover_loop import masked_loss

DATES = 6


def seconds_a_step(mixed: bool, channels_last: bool, rounds: int = 4) -> float:
    """The paper's network and batch: eight patches of 64 pixels, 330 planes, 17 classes; the best of some rounds."""
    torch.manual_seed(0)
    network = FGUNet(330, 17, 33)
    network = network.to(memory_format=torch.channels_last) if channels_last else network
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    x, places = torch.rand(8, 64, 64, 330).permute(0, 3, 1, 2), torch.randint(-1, 17, (8, 64, 64))
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            loss = masked_loss(network(x), places, None)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        times.append(time.perf_counter() - start)
    return min(times)


def tile(seed: int, side: int) -> tuple[xr.Dataset, xr.Dataset]:
    days = [pd.Timestamp("2018-01-01") + pd.Timedelta(days=d) for d in EqualDates().days(DATES)]
    scene = xs.simulate.landscape((side, side), days, seed=seed)
    labels = xr.Dataset({"label": scene.labels(share=0.6), "parcel": scene.truth["parcel"]})
    return scene.cube.drop_vars("SCL").compute(), labels.compute()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("side", 256), ("epochs", 8), ("steps", 50), ("seeds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    for mixed in (False, True):
        for channels_last in (False, True):
            what = f"{'mixed bf16' if mixed else 'fp32':10} {'channels last' if channels_last else 'channels first':14}"
            print(f"{what} {seconds_a_step(mixed, channels_last):6.2f} s a step of eight patches", flush=True)
    settings = {"groups": 2, "widths": [16, 32, 64], "pixel": [64, 32, 16]}
    preset = replace(LANDCOVER_PRESETS["fgunet"], settings=settings, patch=32, batch=4, rate=3e-3, cycle=True, weighted=False)
    tiles = {"a": tile(1, args.side), "b": tile(2, args.side)}
    for seed in range(args.seeds):
        for precision in ("fp32", "bf16"):
            with tempfile.TemporaryDirectory() as out:
                how = {"epochs": args.epochs, "steps": args.steps, "dates": DATES, "progress": False, "precision": precision}
                model = train_landcover(tiles, out, preset=preset, seed=seed, **how)
                seconds = pd.read_csv(Path(out) / "checkpoints" / "landcover" / "history.csv").seconds.median()
            print(f"seed {seed} {precision}: {model.card.scores['test all']}; {seconds:.1f} s an epoch", flush=True)


if __name__ == "__main__":
    main()
