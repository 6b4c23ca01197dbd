"""The shell's verbs on models: train and evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xsentinel.cli.options import (
    CSV,
    FILE,
    FOLDER,
    HELD_OUT,
    INPUTS,
    KEEP_CLOUDS,
    PATIENCE,
    PROCESSES,
    PROGRESS,
    RESUME,
    SEED,
    errors_to_usage,
    examples,
    named_cubes,
    opening,
    tell_table,
)


@click.group()
def train() -> None:
    """Train models; needs the extra xsentinel[train]."""


@train.command(
    "lai",
    epilog=examples(
        "xsentinel train lai west.zarr east.zarr models/ --resolution 20 --preset paper",
        "xsentinel train lai west.zarr east.zarr models/ --resolution 20 --resume",
    ),
)
@INPUTS
@FOLDER
@opening
@click.option("--preset", default="default", show_default=True, help="default; paper (Albughdadi et al. 2020); or mlp, their baseline.")
@click.option("--name", default="lai", show_default=True, help="Of the model and its files.")
@SEED
@HELD_OUT
@click.option("--steps", type=int, help="Batches; as many as the preset says if not given.")
@click.option("--spectra", type=FILE, help="CSV of more spectra: a column of reflectance a band.")
@PATIENCE
@PROCESSES
@RESUME
@KEEP_CLOUDS
@PROGRESS
@errors_to_usage
def train_lai(inputs: tuple[Path, ...], folder: Path, how: dict[str, Any], preset: str, **options: Any) -> None:
    """Train a network for LAI on SL2P's answers.

    Each INPUT is a cube of its own. Writes the weights (.safetensors), their card (.json) and checkpoints to
    FOLDER; xsentinel lai --model FOLDER runs the model.
    """
    from dataclasses import replace

    from xsentinel.training import LAI_PRESETS
    from xsentinel.training import train_lai as run
    from xsentinel.training.presets import find_preset
    from xsentinel.training.spectra import read_spectra

    chosen = find_preset(preset, LAI_PRESETS)
    chosen = replace(chosen, steps=options["steps"] or chosen.steps)
    spectra = read_spectra(options["spectra"], chosen.bands) if options["spectra"] else None
    named = ("name", "seed", "held_out", "patience", "processes", "resume", "progress")
    cubes = named_cubes(inputs, how, options["keep_clouds"])
    model = run(cubes, folder, preset=chosen, spectra=spectra, **{key: options[key] for key in named})
    click.echo(repr(model))


@click.group()
def evaluate() -> None:
    """Measure models."""


@evaluate.command("lai", epilog=examples("xsentinel evaluate lai unet cube.zarr --resolution 20 --csv scores.csv"))
@click.argument("model")
@INPUTS
@opening
@click.option("--samples", type=int, default=30, show_default=True, help="Monte Carlo samples; 0: one pass only.")
@click.option(
    "--domain",
    type=click.Choice(["range", "grid", "any"]),
    default="range",
    show_default=True,
    help="Pixels that count: inputs within SL2P's min–max, also on its grid (SNAP's rule), or all.",
)
@click.option("--by-date/--whole", default=True, show_default=True, help="A row a date before that of each cube.")
@CSV
@KEEP_CLOUDS
@errors_to_usage
def evaluate_lai(model: str, inputs: tuple[Path, ...], how: dict[str, Any], csv: Path | None, **options: Any) -> None:
    """Compare MODEL with SL2P on each INPUT, clouds masked by SCL.

    MODEL is unet, or the card or folder of a model of your own. Prints correlation, average distance, MSE
    and R2 (tables 4 to 6 of Albughdadi et al. 2020), the interval of the mean and sigma over the samples, the
    coverage of the 95 % predictive interval, the rank correlation of sigma and error, and the seconds of a pass.
    """
    from xsentinel.training import evaluate_lai as run

    cubes = named_cubes(inputs, how, options["keep_clouds"])
    table = run(model, cubes, samples=options["samples"], domain=options["domain"], by_date=options["by_date"])
    tell_table(table, csv, ".4f")
