"""The shell's verbs on land cover."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xsentinel.cli.classes import classifying, map_classes
from xsentinel.cli.options import CSV, DEVICE, PRECISION, PROGRESS, RESUME, errors_to_usage, examples, report, tell_table

JOB_EXAMPLE = """\b
A job file, from images and sparse labels to a map of one's own:
  tiles:
    west: {cube: west.zarr, labels: polygons.gpkg}
    east: {cube: products/, labels: map.tif}
  output: landcover/
  legend: legend.csv              # columns source and class; or {Water: [51], Forest: [31, 32]}
  open: {resolution: 10}          # what follows may be left out
  mask_clouds: {dilate: 60}
  start: 2018-01-01               # of the season; that of each cube if not given
  column: code                    # of polygons
  erode: 10                       # metres
  split: {train: 0.6, validation: 0.07, test: 0.33}
  block: 1000                     # metres along squares of land that is in no polygon
  train: {preset: fgunet, epochs: 50, seed: 0, dates: 33, precision: auto}
  maps: true
\b
Presets: fgunet, unet, mlp, lstm, tsfgunet, forest; features, with initial: MODEL. What train may hold beside the
preset: epochs, steps, weighted, indices, dates, initial, precision, patience, processes, cache, threads.
"""


@click.command(epilog=examples("xsentinel landcover cube.zarr cover.zarr --model landcover-simulated --probabilities"))
@classifying
def landcover(inputs: tuple[Path, ...], output: Path, how: dict[str, Any], **options: Any) -> None:
    """Map land cover of INPUT by a classifier of a year's series and of what lies around each pixel.

    Clouds are masked by SCL first; single dates are brought to the equal dates, or composites, that the model takes,
    without being stored. OUTPUT holds the class with names and colours, its confidence, margin and entropy.
    """
    map_classes("landcover", inputs, output, how, options)


@click.command("landcover", epilog=JOB_EXAMPLE)
@click.argument("source", metavar="JOB", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@RESUME
@PROGRESS
@errors_to_usage
def train_landcover(source: Path, resume: bool, progress: bool) -> None:
    """Train a network of land cover on sparse labels, by a job file (.yaml).

    The method of Stoian et al. (2019): series are filled and brought to equal dates, labels are split by whole polygons,
    FG-UNET or one of its baselines is trained on patches, scored on polygons that it has not seen, and maps the tiles.
    The model, its checkpoints, scores.csv and maps go to the job's folder.
    """
    from xsentinel.mapping import map_landcover, read_landcover_job

    job = read_landcover_job(source)
    click.echo(repr(map_landcover(job, resume=resume, progress=progress)))
    if (job.output / "scores.csv").exists():
        report([str(job.output / "scores.csv")])


@click.command("landcover", epilog=examples("xsentinel evaluate landcover models/ job.yaml --side all --csv scores.csv"))
@click.argument("model")
@click.argument("source", metavar="JOB", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--side", default="test", show_default=True, help="Of the job's split by polygons, or all.")
@PRECISION
@DEVICE
@CSV
@errors_to_usage
def evaluate_landcover(model: str, source: Path, side: str, csv: Path | None, **how: Any) -> None:
    """Score MODEL on the labels of the tiles of JOB, a file as xsentinel train landcover takes it.

    Prints labelled pixels, overall accuracy, kappa, macro-F1 and the F1 of each class, tile by tile and of all together.
    """
    from xsentinel.mapping import read_landcover_job, score_landcover

    tell_table(score_landcover(model, read_landcover_job(source), side=side, **how), csv, ".4f", index=True)
