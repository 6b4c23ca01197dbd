"""The shell's verbs on dynamics: forecast, train dynamics, evaluate dynamics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xsentinel.cli import models
from xsentinel.cli.options import (
    CSV,
    DEVICE,
    DILATE,
    FOLDER,
    HELD_OUT,
    INPUTS,
    KEEP_CLOUDS,
    MEMORY_LIMIT,
    OUTPUT,
    OVERWRITE,
    PROGRESS,
    RESUME,
    SEED,
    clear,
    errors_to_usage,
    examples,
    many,
    named_cubes,
    opening,
    report,
    tell_table,
)
from xsentinel.io.write import write


@click.command(
    epilog=examples(
        "xsentinel forecast cube.zarr future.zarr --steps 36 --confidence 0.95",
        "xsentinel forecast cube.zarr future.zarr --model models/ --memory-limit 4GB",
    )
)
@INPUTS
@OUTPUT
@opening
@click.option(
    "--model",
    default="climatology",
    show_default=True,
    help="climatology, persistence, harmonic, koopman; or the card (.json) or folder of a model that forecasts.",
)
@click.option("--steps", type=int, default=73, show_default=True, help="Dates to forecast.")
@click.option("--freq", help="Step without a model, such as 10D; 5D if not given.")
@click.option("--spread", is_flag=True, help="Write the standard deviation of each band too.")
@click.option("--confidence", type=float, help="Share such as 0.95: write the ends of that interval of each band too.")
@DEVICE
@DILATE
@KEEP_CLOUDS
@MEMORY_LIMIT
@OVERWRITE
@PROGRESS
@errors_to_usage
def forecast(inputs: tuple[Path, ...], output: Path, how: dict[str, Any], model: str, **options: Any) -> None:
    """Carry the spectra of INPUT on in time.

    Clouds are masked by SCL first. OUTPUT holds the bands at future dates, and forecast_flags.
    """
    cube = clear(inputs, how, options)
    named = {key: options[key] for key in ("steps", "freq", "spread", "confidence", "device", "memory_limit")}
    future = cube.s2.forecast(model, **named)
    report(write(future, output, overwrite=options["overwrite"], progress=options["progress"]))


@models.train.command("dynamics", epilog=examples("xsentinel train dynamics cube.zarr models/ --where forest.gpkg --until 2020-01-01"))
@INPUTS
@FOLDER
@opening
@click.option(
    "--preset",
    default="default",
    show_default=True,
    help="default, for two years and more; short, for less; paper, paper-euler, paper-lstm.",
)
@click.option("--name", default="dynamics", show_default=True, help="Of the model and its files.")
@SEED
@HELD_OUT
@click.option("--where", help="Variable of INPUT that is true on the pixels of the class; or a file of polygons.")
@click.option("--until", help="Date from which on nothing is looked at.")
@click.option("--limit", type=int, default=2000, show_default=True, help="Series of each INPUT at the most.")
@RESUME
@KEEP_CLOUDS
@PROGRESS
@errors_to_usage
def train_dynamics(inputs: tuple[Path, ...], folder: Path, how: dict[str, Any], where: str | None, **options: Any) -> None:
    """Learn how spectra go on in time.

    Each INPUT is a cube of its own. Writes the weights (.safetensors), their card (.json) and a checkpoint to FOLDER;
    xsentinel forecast --model FOLDER runs the model.
    """
    from xsentinel.training import train_dynamics as run

    named = ("preset", "name", "until", "held_out", "limit", "seed", "resume", "progress")
    model = run(named_cubes(inputs, how, options["keep_clouds"]), folder, where=_class(where), **{key: options[key] for key in named})
    click.echo(repr(model))


def _class(where: str | None) -> Any:
    """Read polygons where a file is named."""
    if where is None or not Path(where).exists():
        return where
    from xsentinel.samples.files import read_polygons

    return read_polygons(where)


@models.evaluate.command(
    "dynamics", epilog=examples("xsentinel evaluate dynamics models/ cube.zarr --since 2020-01-01,2020-07-01 --horizons 6,36")
)
@click.argument("model")
@INPUTS
@opening
@many("--since", required=True, help="First dates that are not known.")
@many("--horizons", default=("6", "18", "36", "73"), help="Steps: a row up to each.")
@click.option("--exact", is_flag=True, help="Rows of those very steps, as in Table 1 of Estopinan et al.")
@click.option("--baselines/--alone", default=True, show_default=True, help="climatology, persistence, harmonic and koopman beside it.")
@CSV
@KEEP_CLOUDS
@errors_to_usage
def evaluate_dynamics(model: str, inputs: tuple[Path, ...], how: dict[str, Any], csv: Path | None, **options: Any) -> None:
    """Compare forecasts by MODEL with what each INPUT shows from a date on.

    MODEL is the card or folder of a model, or a method by its name. Prints RMSE and spectral angle, both times 1000,
    the coverage of the 95 % interval and the share of pixels that diverged, by horizon.
    """
    from xsentinel.kernels.forecast import BASELINES
    from xsentinel.training import evaluate_dynamics as run

    methods = [model, *(m for m in BASELINES if options["baselines"] and m != model)]
    horizons = [int(h) for h in options["horizons"]]
    cubes = named_cubes(inputs, how, options["keep_clouds"])
    table = run(methods, cubes, since=list(options["since"]), horizons=horizons, exact=options["exact"])
    tell_table(table, csv, ".3g")
