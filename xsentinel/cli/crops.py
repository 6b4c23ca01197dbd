"""The shell's verbs on crop types: map, train, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xsentinel.cli.classes import classifying, map_classes
from xsentinel.cli.options import CSV, MARKDOWN, PLOT, PROGRESS, RESUME, errors_to_usage, examples, tell_scores

JOB_EXAMPLE = """\b
A job file, from images and a thematic map to a map of one's own:
  tiles:
    west: {cube: west.zarr, labels: parcels.gpkg}
    east: {cube: products/, labels: map.tif}
  output: crops/
  legend: legend.csv              # columns source and class; or {Maize: [1200], Cereals: [1100, 1500]}
  draw: {rule: stratified, a_most: 20000, b_most: 500, a_least: 60000, b_least: 500}
  open: {resolution: 10}          # what follows may be left out
  mask_clouds: {dilate: 60}
  start: 2018-01
  column: crop                    # of polygons
  erode: 10                       # metres
  split: {train: 0.6, validation: 0.2, test: 0.2}
  block: 1000                     # metres
  train: {preset: paper, epochs: 60, seed: 0}
  reliable: 0.25                  # or false: no selection
"""


@click.command(epilog=examples("xsentinel crops cube.zarr crops.tif --model crops-canada --dilate 60 --smooth majority"))
@classifying
def crops(inputs: tuple[Path, ...], output: Path, how: dict[str, Any], **options: Any) -> None:
    """Map crop types of INPUT by a classifier of each pixel's series.

    Clouds are masked by SCL first; single dates become the monthly composites that the model takes, without being
    stored. OUTPUT holds the class with names and colours, its confidence, margin and entropy.
    """
    map_classes("crops", inputs, output, how, options)


@click.command("crops", epilog=JOB_EXAMPLE)
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), required=False)
@click.option(
    "--preset", help="Of samples: ltae if not given; paper, lstm, starrnn, msresnet, inceptiontime, tempcnn, forest, boosting, rocket."
)
@click.option("--name", help="Of samples: of the model and its files; crops if not given.")
@click.option("--epochs", type=int, help="Of samples: as many as the preset says if not given.")
@click.option("--ensemble", type=int, help="Of samples: networks whose probabilities are averaged; 1 if not given.")
@click.option("--seed", type=int, help="Of samples: 0 if not given.")
@RESUME
@PROGRESS
@errors_to_usage
def train_crops(source: Path, folder: Path | None, resume: bool, progress: bool, **options: Any) -> None:
    """Train a classifier of crop types, by a job file or on samples.

    SOURCE is a job file (.yaml), which is done whole: samples of a thematic map, a first network, the labels that its
    map confirms, the final network, maps and scores. Or samples as xsentinel.samples saves them (.zarr, .nc), on which
    one network is trained and written to FOLDER.
    """
    given = {key: value for key, value in options.items() if value is not None}
    if source.suffix.lower() in (".yaml", ".yml"):
        if folder is not None or given:
            raise click.UsageError(f"a job file says all by itself; leave out {', '.join([*(['FOLDER'] if folder else []), *given])}")
        from xsentinel.mapping import map_crops, read_crop_job

        click.echo(str(map_crops(read_crop_job(source), resume=resume, progress=progress)))
        return
    if folder is None:
        raise click.UsageError("give the FOLDER that the model is written to")
    from xsentinel import samples
    from xsentinel.training import train_crops as run

    click.echo(repr(run(samples.open(source), folder, resume=resume, progress=progress, **given)))


@click.command("crops", epilog=examples("xsentinel evaluate crops models/ samples.zarr --side validation --plot matrix.png"))
@click.argument("model")
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@click.option("--side", help="Of samples that are split, or all; test if they are split and this is not given.")
@CSV
@MARKDOWN
@PLOT
@errors_to_usage
def evaluate_crops(model: str, source: Path, side: str | None, **files: Path | None) -> None:
    """Score MODEL on labelled samples, SOURCE, as xsentinel.samples saves them.

    Prints producer's and user's accuracy and F1 of each class, overall accuracy, kappa and macro-F1.
    """
    from xsentinel import samples
    from xsentinel.training import evaluate_crops as run

    tell_scores(run(model, samples.open(source), side=side), **files)
