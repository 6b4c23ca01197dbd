"""The shell: one verb a function of the package."""

from __future__ import annotations

import click

import xsentinel as xs
from xsentinel.cli import accuracy, crops, dynamics, jobs, landcover, maps, models


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(xs.__version__, prog_name="xsentinel")
def main() -> None:
    """Sentinel-2 to cubes, and cubes to maps of leaf area index, its uncertainty, crop types and land cover.

    INPUT is what xsentinel.open reads: Level-2A products (.SAFE folder or .zip) or a folder of them, a file of
    STAC items (.json), EOPF or other Zarr, NetCDF, GeoTIFF, or a folder of these; several are joined on one grid.
    OUTPUT is written by its suffix: .zarr, .tif (one Cloud-Optimised GeoTIFF a variable, a band a date) or .nc.
    """


MAPS = (maps.demo, maps.info, maps.convert, maps.mask, maps.composite, maps.fill_gaps, maps.lai, dynamics.forecast)

models.train.add_command(crops.train_crops)
models.train.add_command(landcover.train_landcover)
models.evaluate.add_command(crops.evaluate_crops)
models.evaluate.add_command(landcover.evaluate_landcover)

for command in (*MAPS, crops.crops, landcover.landcover, jobs.run, models.train, models.evaluate, accuracy.assess):
    main.add_command(command)
