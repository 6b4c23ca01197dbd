"""The tiles of a job: their cubes and labels, and whose the folder is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import xarray as xr

from xsentinel import samples
from xsentinel.bands import band_name
from xsentinel.errors import ReadError, StoreError, XSentinelError
from xsentinel.io.classes import open_classes
from xsentinel.io.open import open as open_cube
from xsentinel.mapping.job import Job, Tile
from xsentinel.products.clouds import mask_clouds
from xsentinel.samples.files import read_polygons
from xsentinel.training.loop import helps

RASTERS = (".tif", ".tiff", ".nc", ".zarr")
"""Labels that are no polygons."""


def claim(job: Job, resume: bool) -> None:
    """Write down what the folder is of, or see that it is of this job.

    Raises
    ------
    StoreError
        If it holds another job, or this one and it is not to be resumed.
    ReadError
        If it cannot be told.
    """
    text = json.dumps(asdict(replace(job, output=Path())), default=str, sort_keys=True)
    mark = {"job": json.loads(text), "digest": hashlib.sha256(text.encode()).hexdigest()}
    file = job.output / "job.json"
    if file.exists():
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError) as err:
            raise ReadError(f"{file} cannot be read: {err}; give another folder") from err
        if found.get("digest") != mark["digest"]:
            other = [key for key, value in mark["job"].items() if found.get("job", {}).get(key) != value]
            raise StoreError(f"{job.output} holds another job, which differs in {', '.join(other) or 'its version'}; give another folder")
        if not resume and not helps():
            raise StoreError(f"{job.output} holds this job already; resume it (--resume), or give another folder")
    job.output.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(mark, indent=1), encoding="utf-8")


def cube_of(job: Job, tile: Tile) -> xr.Dataset:
    """Open the bands of a tile, clouds masked as the job says."""
    cube = open_cube(tile.cube, **job.how)
    if job.mask is not None and "SCL" in cube:
        cube = mask_clouds(cube, **job.mask)
    bands: xr.Dataset = cube[[v for v in cube.data_vars if band_name(v) is not None]]
    return bands


def labels_of(job: Job, tile: Tile, grid: xr.Dataset) -> xr.Dataset:
    """Lay the labels of a tile on the pixels of its cube."""
    if Path(tile.labels).suffix.lower() in RASTERS:
        return samples.from_raster(open_classes(tile.labels), grid, legend=job.legend, erode=job.erode)
    if job.column is None:
        raise XSentinelError(f"tile {tile.name} has polygons ({tile.labels}); say by column which of their columns names the class")
    return samples.rasterise(read_polygons(tile.labels), grid, column=job.column, legend=job.legend, erode=job.erode)
