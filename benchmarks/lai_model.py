"""Train the shipped LAI models, and measure them on sources that they were not trained on.

``XSENTINEL_DATA=... python -m benchmarks.lai_model train FOLDER --steps 6000`` trains on all sources and prints how the
model does on each; with ``--leave-out SOURCE`` it is trained on the others; ``--preset mlp`` and ``--preset paper-thin``
train the baselines. ``... rescore MODEL`` prints how a trained model does on each source, ``... platforms`` how far
SL2P's answers for S2A and S2B lie apart.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pandas as pd
import torch
import xarray as xr

import xsentinel as xs
from tests.cubes import npz_cube
from xsentinel.bands import TEN_BANDS
from xsentinel.blocks.model import read_network
from xsentinel.kernels.scores import agreement, rank_correlation
from xsentinel.training.batches import OUTSIDE
from xsentinel.training.calibrate import HeldOut, coverage
from xsentinel.training.lai import answers, train_lai
from xsentinel.training.lai_presets import LAI_PRESETS, LaiPreset
from xsentinel.training.patches import Patch, collect
from xsentinel.training.teacher import TEACHER_BANDS, label_lai

DATA = Path(os.environ.get("XSENTINEL_DATA", ""))
LEAVE_OUT = ("bigearthnet", "worldcereal", "zurich")


def preset_named(name: str) -> LaiPreset:
    """Give a preset of the package, or ``paper-thin``: the paper's, of half its width and a level less, for two cores."""
    if name != "paper-thin":
        return LAI_PRESETS[name]
    return replace(LAI_PRESETS["paper"], settings={"widths": [16, 32, 64], "dropout": 0.5}, batch=16, patch=96)


def cubes() -> dict[str, xr.Dataset]:
    """Open all real scenes that have the ten bands, at 20 m, clouds masked where there are scene classes."""
    scenes = DATA / "lai_scenes"
    found = {"zurich/2019": xs.open(scenes / "zurich" / "S2A_20190530_T32TMT_L2A_10m_shared.tif", resolution=20, chunks=None)}
    for version in ("v1", "v2"):
        for path in sorted((scenes / f"bigearthnet_{version}").glob("*.npz")):
            found[f"bigearthnet/{path.stem}"] = npz_cube(path).compute()
    belgium = xs.open(DATA / "cubes" / "worldcereal" / "00002806639B424A", resolution=20, chunks=None)
    found["worldcereal/00002806639B424A"] = belgium.s2.mask_clouds(dilate=40)
    return found


def spectra(patches: list[Patch]) -> np.ndarray:
    """Read the spectra of SL2P's test cases; B02 and B08, which they lack, by regression on real pixels."""
    tables = [pd.read_csv(path) for path in sorted((DATA.parent / "sl2p").glob("cases_S2?_20m_lai.csv"))]
    known = pd.concat(tables)[list(TEACHER_BANDS)].to_numpy(np.float64)
    pixels = np.concatenate([p.bands.reshape(len(p.bands), -1)[:, ::5] for p in patches], 1).T
    pixels = pixels[np.isfinite(pixels).all(1)].astype(np.float64)
    columns = [TEN_BANDS.index(band) for band in TEACHER_BANDS]
    rest = [k for k in range(len(TEN_BANDS)) if k not in columns]
    design = np.c_[pixels[:, columns], np.ones(len(pixels))]
    fit = np.linalg.lstsq(design, pixels[:, rest], rcond=None)[0]
    out = np.empty((len(known), len(TEN_BANDS)), np.float32)
    out[:, columns], out[:, rest] = known, np.c_[known, np.ones(len(known))] @ fit
    return out


def train(folder: Path, name: str, preset: LaiPreset, leave_out: str | None, progress: bool) -> xs.Model:
    """Train on all sources but one."""
    chosen = {key: cube for key, cube in cubes().items() if key.partition("/")[0] != leave_out}
    more = spectra(collect(chosen, TEN_BANDS, preset.patch)) if preset.augmentation else None
    return train_lai(chosen, folder, preset=preset, name=name, spectra=more, progress=progress)


def measure(model: xs.Model, source: str) -> str:
    """Say how a model does on one source: clear pixels in the domain (min–max), several angles where the cube tells none."""
    kept = {key: cube for key, cube in cubes().items() if key.partition("/")[0] == source}
    held = answers(read_network(model), model.card, collect(kept, model.card.bands, 64))
    truth, mean, spread = (np.concatenate([getattr(h, f) for h in held.values()]) for f in ("truth", "mean", "spread"))
    s = agreement(truth, mean)
    text = f"{source:<12} n {s.n:7d}  r {s.correlation:.4f}  R2 {s.r2:.4f}  distance {s.distance:.4f}"
    if model.card.calibration:
        inside = coverage(model.card.calibration, HeldOut(truth, mean, spread))
        rank = rank_correlation(spread, np.abs(truth - mean))
        text += f"  sigma {spread.mean():.3f}  rank {rank:.2f}  coverage of the 95 % interval {inside:.3f}"
    return text


@click.group()
@click.option("--threads", type=int, default=0, help="Threads of torch; all cores if not given.")
def main(threads: int) -> None:
    """Train and measure models of LAI on the real scenes under XSENTINEL_DATA."""
    if threads:
        torch.set_num_threads(threads)


@main.command("train")
@click.argument("folder", type=Path)
@click.option("--preset", default="default")
@click.option("--name", default="lai-unet")
@click.option("--steps", type=int)
@click.option("--leave-out", type=click.Choice(LEAVE_OUT))
@click.option("--progress/--no-progress", default=True)
def train_command(folder: Path, preset: str, name: str, steps: int | None, leave_out: str | None, progress: bool) -> None:
    """Train on all sources, or all but one."""
    chosen = preset_named(preset)
    model = train(folder, name, replace(chosen, steps=steps or chosen.steps), leave_out, progress)
    click.echo(repr(model))
    for source in LEAVE_OUT:
        click.echo(("left out:  " if source == leave_out else "trained on: ") + measure(model, source))


@main.command("platforms")
def platforms() -> None:
    """Print how far SL2P's answers for S2A and S2B lie apart on the same pixels."""
    for source in LEAVE_OUT:
        kept = {key: cube for key, cube in cubes().items() if key.partition("/")[0] == source}
        apart = []
        for patch in collect(kept, TEN_BANDS, 64):
            bands = patch.bands[None, [TEN_BANDS.index(band) for band in TEACHER_BANDS]]
            cosines = np.cos(np.deg2rad([[5.0, 45.0, 100.0]])).astype(np.float32)
            answers_ = [label_lai(bands, cosines, np.array([is_s2b])) for is_s2b in (False, True)]
            inside = np.isfinite(answers_[0][0]) & ((answers_[0][1] | answers_[1][1]) & OUTSIDE == 0)
            apart.append(np.abs(answers_[1][0] - answers_[0][0])[inside])
        click.echo(f"{source:<12} mean |S2B − S2A| {np.concatenate(apart).mean():.3f} LAI")


@main.command("rescore")
@click.argument("model")
def rescore(model: str) -> None:
    """Measure a trained model on each source."""
    for source in LEAVE_OUT:
        click.echo(measure(xs.load_model(model), source))


if __name__ == "__main__":
    main()
