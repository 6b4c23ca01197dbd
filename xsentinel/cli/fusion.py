"""The shell's verbs on fusion of radar and past leaf area: train fusion, evaluate fusion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

import xsentinel as xs
from xsentinel.cli.options import (
    CSV,
    FOLDER,
    HELD_OUT,
    PATIENCE,
    PRECISION,
    PROCESSES,
    PROGRESS,
    RESUME,
    SAMPLES,
    SEED,
    errors_to_usage,
    examples,
    opened,
    opening,
    tell_table,
)

Pairs = tuple[tuple[Path, Path], ...]

CUBE_AND_RADAR = (click.Path(path_type=Path), click.Path(path_type=Path))


def pairs(name: str, words: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give an option that takes a cube and its radar, as often as wanted."""
    return click.option(name, metavar="S2 S1", type=CUBE_AND_RADAR, multiple=True, help=words)


TRIPLETS = click.option(
    "--triplets",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    multiple=True,
    help="Folder of triplets of the competition (s1, s2, s2-mask); those with faults are skipped and told.",
)
TABLE = click.option("--table", help="CSV of the triplets to take, in each of these folders.")


@click.command(
    "fusion", epilog=examples("xsentinel train fusion models/ --pair west.zarr west-s1.zarr --pair east.zarr east-s1.zarr --resolution 20")
)
@FOLDER
@pairs("--pair", "A cube and the radar of the same place, any dates; as often as there are places.")
@TRIPLETS
@TABLE
@opening
@click.option("--preset", default="default", show_default=True, help="default; or paper (Wang et al. 2023).")
@click.option("--name", default="fusion", show_default=True, help="Of the model and its files.")
@SEED
@HELD_OUT
@click.option("--initial", help="A model to go on from.")
@click.option("--steps", type=int, help="Batches of the whole network; as many as the preset says if not given.")
@click.option("--pretraining", type=int, help="Batches of each encoder by itself; as many as the preset says if not given.")
@PRECISION
@PATIENCE
@PROCESSES
@RESUME
@PROGRESS
@errors_to_usage
def train_fusion(folder: Path, pair: Pairs, triplets: tuple[Path, ...], table: str | None, how: dict[str, Any], **options: Any) -> None:
    """Train a network for LAI under clouds on radar and past LAI.

    Writes the weights (.safetensors), their card (.json) and checkpoints to FOLDER; xsentinel lai --model FOLDER runs the model.
    """
    from xsentinel.training import FUSION_PRESETS
    from xsentinel.training import train_fusion as run
    from xsentinel.training.presets import find_preset

    preset = find_preset(options.pop("preset"), FUSION_PRESETS)
    asked = {key: options.pop(key) for key in ("steps", "pretraining")}
    preset = replace(preset, **{key: value for key, value in asked.items() if value is not None})
    model = run(_sources(pair, how) | _of_triplets(triplets, table), folder, preset=preset, **options)
    click.echo(repr(model))


@click.command("fusion", epilog=examples("xsentinel evaluate fusion fusion --pair site.zarr site-s1.zarr --resolution 20 --samples 30"))
@click.argument("model")
@pairs("--pair", "A cube and its radar, where it was trained or beside.")
@pairs("--other", "A cube and its radar of another area.")
@pairs("--train", "A cube and its radar that regressions of pixels, MLR and RF, are fitted to.")
@opening
@SAMPLES
@click.option("--hidden", type=int, default=0, show_default=True, help="Looks at each date more, its past hidden by clouds of other dates.")
@click.option("--limit", type=int, help="Dates of a place at the most, evenly spaced.")
@SEED
@CSV
@errors_to_usage
def evaluate_fusion(model: str, pair: Pairs, other: Pairs, train: Pairs, how: dict[str, Any], csv: Path | None, **options: Any) -> None:
    """Measure MODEL under clouds, with what it must beat beside it.

    MODEL is fusion, or the card or folder of a model of your own. Prints RMSE [LAI], R2 and bias where the two dates
    before were clear, partly cloudy and cloudy, and in other areas, of the model, the last clear LAI, linear filling in
    time (which sees the future), and, with --train, multiple linear regression and a random forest of pixels.
    """
    from xsentinel.training import evaluate_fusion as run

    beside, known = _sources(other, how), _sources(train, how)
    frame = run(model, _sources(pair, how), other=beside, train=known, **options)
    tell_table(frame, csv, ".3f")


def _sources(paths: Pairs, how: dict[str, Any]) -> dict[str, Any]:
    """Open cubes, and radar on the grid of each."""
    from xsentinel.training import FusionSource

    found = {}
    for s2, s1 in paths:
        cube = opened(s2, how)
        found[s2.stem if s2.stem not in found else str(s2)] = FusionSource(cube, xs.open(s1, like=cube))
    return found


def _of_triplets(folders: tuple[Path, ...], table: str | None) -> dict[str, Any]:
    """Read triplets that have a target, and tell what was skipped."""
    from xsentinel.io.triplets import read_triplets
    from xsentinel.training import FusionSource

    found: dict[str, Any] = {}
    for folder in folders:
        read = read_triplets(folder, table, skip=True)
        click.echo(repr(read))
        found |= {f"{folder.name}/{name}": FusionSource(ds[["lai", "SCL"]], ds[["VV", "VH"]]) for name, ds in read.found.items()}
    return found
