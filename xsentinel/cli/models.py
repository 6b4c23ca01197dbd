"""The shell's verbs on models: train and evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xsentinel.cli.options import INPUTS, KEEP_CLOUDS, PROGRESS, errors_to_usage, opened, opening


@click.group()
def train() -> None:
    """Train models; needs the extra xsentinel[train]."""


@train.command("lai")
@INPUTS
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@opening
@click.option("--preset", default="default", show_default=True, help="default; paper (Albughdadi et al. 2020); or mlp, their baseline.")
@click.option("--name", default="lai", show_default=True, help="Of the model and its files.")
@click.option("--steps", type=int, help="Batches; as many as the preset says if not given.")
@click.option("--spectra", type=click.Path(path_type=Path, dir_okay=False), help="CSV of more spectra: a column of reflectance a band.")
@click.option("--held-out", type=float, default=0.2, show_default=True, help="Share of places for calibration and scores.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--patience", type=int, help="Stop after so many looks (each 250 steps) at the held-out places without a better one.")
@click.option("--processes", type=int, default=1, show_default=True, help="Processes on this machine that share the work.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in FOLDER.")
@KEEP_CLOUDS
@PROGRESS
@errors_to_usage
def train_lai(inputs: tuple[Path, ...], folder: Path, how: dict[str, Any], preset: str, **options: Any) -> None:
    """Train a network for LAI on SL2P's answers.

    Each INPUT is a cube of its own. Writes the weights (.safetensors), their card (.json) and checkpoints to
    FOLDER; xsentinel lai --model FOLDER runs the model.
    """
    from dataclasses import replace

    from xsentinel.training import train_lai as run
    from xsentinel.training.presets import get_preset
    from xsentinel.training.spectra import read_spectra

    chosen = get_preset(preset)
    chosen = replace(chosen, steps=options["steps"] or chosen.steps)
    spectra = read_spectra(options["spectra"], chosen.bands) if options["spectra"] else None
    named = ("name", "seed", "held_out", "patience", "processes", "resume", "progress")
    model = run(_cubes(inputs, how, options), folder, preset=chosen, spectra=spectra, **{key: options[key] for key in named})
    click.echo(repr(model))


@click.group()
def evaluate() -> None:
    """Measure models."""


@evaluate.command("lai")
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
@click.option("--csv", type=click.Path(path_type=Path, dir_okay=False), help="Write the table there too.")
@KEEP_CLOUDS
@errors_to_usage
def evaluate_lai(model: str, inputs: tuple[Path, ...], how: dict[str, Any], csv: Path | None, **options: Any) -> None:
    """Compare MODEL with SL2P on each INPUT, clouds masked by SCL.

    MODEL is unet, or the card or folder of a model of your own. Prints correlation, average distance, MSE
    and R2 (tables 4 to 6 of Albughdadi et al. 2020), the interval of the mean and sigma over the samples, the
    coverage of the 95 % predictive interval, the rank correlation of sigma and error, and the seconds of a pass.
    """
    from xsentinel.products.lai import MODELS
    from xsentinel.training.evaluate import evaluate_lai as run

    cubes = _cubes(inputs, how, options)
    table = run(MODELS.get(model, model), cubes, samples=options["samples"], domain=options["domain"], by_date=options["by_date"])
    click.echo(table.to_string(index=False, float_format=lambda v: f"{v:.4f}"))
    if csv:
        table.to_csv(csv, index=False)
        click.echo(f"wrote {csv}")


def _cubes(inputs: tuple[Path, ...], how: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Open each input as a cube of its own, named by its file."""
    cubes = {}
    for path in inputs:
        cube = opened(path, how)
        name = path.stem if path.stem not in cubes else str(path)
        cubes[name] = cube if options["keep_clouds"] or "SCL" not in cube else cube.s2.mask_clouds()
    return cubes
