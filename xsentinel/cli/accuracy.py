"""The shell's verb on maps of classes: assess."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import xsentinel as xs
from xsentinel.cli.options import CSV, FILE, MARKDOWN, PLOT, errors_to_usage, examples, many, tell_scores
from xsentinel.io.classes import encode_map, open_classes


@click.command(
    epilog=examples(
        "xsentinel assess map.tif reference.tif --ignore 0 --plot matrix.png",
        "xsentinel assess map.tif sample.tif --areas --csv scores.csv",
        "xsentinel assess crops.tif register.tif --legend legend.csv",
    )
)
@click.argument("map", type=click.Path(path_type=Path))
@click.argument("reference", type=click.Path(path_type=Path))
@many("--ignore", help="Classes to leave out, by code or name, such as 0 where it means no label.")
@click.option("--legend", type=FILE, help="Of REFERENCE: a table (.csv) with the columns source, its codes, and class, the names in MAP.")
@click.option("--areas", is_flag=True, help="Estimate the area of each class (Olofsson et al. 2014): REFERENCE must be a random sample.")
@click.option("--confidence", type=float, default=0.95, show_default=True, help="Of the intervals of areas.")
@click.option("--variable", help="Variable of both files that holds the classes; class or label, or the only one, if not given.")
@CSV
@MARKDOWN
@PLOT
@click.option("--corners", is_flag=True, help="Tell the share of REFERENCE's sharp corners that MAP keeps (Stoian et al. 2019).")
@errors_to_usage
def assess(map: Path, reference: Path, ignore: tuple[str, ...], areas: bool, corners: bool, **options: Any) -> None:  # noqa: A002
    """Assess MAP, a map of classes, against REFERENCE on the same pixels.

    Both are GeoTIFFs of one band, NetCDF or Zarr. Prints producer's and user's accuracy and F1 of each class,
    overall accuracy, kappa, macro- and weighted F1. Pixels of no data in either are left out. Where both name their
    classes, those of one name are one; --legend names the codes of REFERENCE.
    """
    mapped, truth = (open_classes(path, options["variable"]) for path in (map, reference))
    if options["legend"]:
        truth = encode_map(truth, xs.samples.legend(options["legend"]))
    silent = [int(code) if code.lstrip("-").isdigit() else code for code in ignore]
    given = {"ignore": silent, "confidence": options["confidence"], "areas": mapped if areas else None}
    tell_scores(xs.accuracy.assess(mapped, truth, **given), options["csv"], options["markdown"], options["plot"])
    if corners:
        click.echo(f"corners: {xs.accuracy.corner_precision(mapped, truth, ignore=silent)}")
