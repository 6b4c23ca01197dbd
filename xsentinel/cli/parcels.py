"""The shell's verb on parcels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xsentinel.cli.options import INPUTS, OUTPUT, OVERWRITE, errors_to_usage, examples, many, opened, opening, report


@click.command(
    epilog=examples(
        "xsentinel parcels lai.zarr fields.gpkg fields.csv --name id",
        "xsentinel parcels maps.zarr fields.gpkg fields.parquet -v lai,lai_std --stats mean,p10,p90",
    )
)
@INPUTS
@click.argument("polygons", type=click.Path(path_type=Path, exists=True))
@OUTPUT
@opening
@many(
    "--stats",
    default=("mean", "std", "p10", "count"),
    help="Of mean, std, min, max, sum, count, valid (share of the area with data), median, p0 … p100, majority (of classes).",
)
@many("-v", "--variables", help="Of INPUT; all if not given.")
@click.option("--centres", is_flag=True, help="Count pixels whose centre lies inside, whole, not each by the share covered.")
@click.option("--name", help="Column of POLYGONS that names the parcels; their rows if not given.")
@OVERWRITE
@errors_to_usage
def parcels(inputs: tuple[Path, ...], polygons: Path, output: Path, how: dict[str, Any], **options: Any) -> None:
    """Summarise INPUT over POLYGONS: a table with a row for each parcel and date.

    INPUT is maps or a cube; POLYGONS a file that geopandas reads (.gpkg, .geojson, .shp, .parquet); OUTPUT ends in .csv,
    .parquet (GeoParquet) or .gpkg.
    """
    from xsentinel.io.table import write_table
    from xsentinel.samples.files import read_polygons

    maps = opened(list(inputs), how)
    if options["variables"]:
        maps = maps[list(options["variables"])]
    chosen = {"stats": list(options["stats"]), "coverage": not options["centres"], "name": options["name"]}
    report(write_table(maps.s2.parcels(read_polygons(polygons), **chosen), output, overwrite=options["overwrite"]))
