"""From cubes and sparse labels to a model of land cover, its scores and maps, in one job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from xsentinel.batch.run import run
from xsentinel.blocks.model import Model, load_model
from xsentinel.mapping.job import LandcoverJob
from xsentinel.mapping.tiles import claim, cube_of, labels_of
from xsentinel.products.landcover import landcover
from xsentinel.samples import labels_on, split_polygons
from xsentinel.training import evaluate_landcover, train_landcover
from xsentinel.training.landcover_scores import scores_of
from xsentinel.training.landcover_tiles import open_joined

Tiles = dict[str, tuple[xr.Dataset, xr.Dataset]]
"""Name → cube and labels."""


def map_landcover(job: LandcoverJob, *, resume: bool = False, progress: bool = True) -> Model:
    """Train a model of land cover on a job's tiles, score it on polygons that it has not seen, and map the tiles.

    Parameters
    ----------
    job : LandcoverJob
        As `read_landcover_job` reads it.
    resume : bool
        Go on with what an earlier run of the same job left. Without it a folder that holds one is refused.
    progress : bool
        Show bars.

    Returns
    -------
    Model
        Its scores beside it in ``scores.csv``.

    Raises
    ------
    StoreError
        If the folder holds another job, or this one and `resume` is not asked for.
    XSentinelError
        As the steps do.

    Examples
    --------
    >>> from xsentinel.mapping import map_landcover, read_landcover_job
    >>> map_landcover(read_landcover_job("job.yaml"))  # doctest: +SKIP
    """
    claim(job, resume)
    done = job.output / "landcover.json"
    tiles = tiles_of(job)
    if not done.exists():
        told: dict[str, Any] = dict(job.train) | {"resume": resume, "progress": progress, "scores": False}
        train_landcover(tiles, job.output, name="landcover", start=job.start, **told)
    model = load_model(done)
    maps = {name: _mapped(job, name, cube, model, progress) for name, (cube, _) in tiles.items()} if job.maps else {}
    if "test" in job.split:
        _scored(job, model, tiles, maps).to_csv(job.output / "scores.csv")
    return model


def _mapped(job: LandcoverJob, name: str, cube: xr.Dataset, model: Model, progress: bool) -> xr.DataArray:
    """Map a tile, block by block, from what the training has stored of it if it has; what is done of it stays."""
    place, stored = str(job.output / "maps" / f"{name}.zarr"), job.output / "tiles" / f"{name}.zarr"
    source = open_joined(stored, model.card.bands) if stored.exists() else cube
    run(landcover(source, model, start=job.start), place, resume=True, progress=progress)
    found: xr.Dataset = xr.open_zarr(place, consolidated=False, mask_and_scale=False)
    return found["class"].assign_coords({d: cube[d] for d in ("y", "x")})


def _scored(job: LandcoverJob, model: Model, tiles: Tiles, maps: dict[str, xr.DataArray]) -> pd.DataFrame:
    """Score maps, or what a model would map, on the side "test"."""
    if not maps:
        return evaluate_landcover(model, tiles, start=job.start)
    return scores_of(model, {name: (maps[name], labels_on(labels, "test")) for name, (_, labels) in tiles.items()})


def tiles_of(job: LandcoverJob, split: bool = True) -> Tiles:
    """Open the tiles of a job, their labels split by polygons.

    Parameters
    ----------
    job : LandcoverJob
    split : bool
        Whether labels fall to sides.
    """
    tiles = {}
    for tile in job.tiles:
        cube = cube_of(job, tile)
        labels = labels_of(job, tile, cube)
        tiles[tile.name] = cube, split_polygons(labels, job.split, seed=job.seed, block=job.block) if split else labels
    return tiles


def score_landcover(model: str | Path | Model, job: LandcoverJob, side: str = "test", **how: Any) -> pd.DataFrame:
    """Score a model on the labels of a job's tiles: those of one side of its split, or all.

    Parameters
    ----------
    model : str, path or Model
        As `xsentinel.load_model`.
    job : LandcoverJob
        As `read_landcover_job` gives it.
    side : str
        Or "all", of every label.
    **how
        As of `evaluate_landcover`.

    Returns
    -------
    pandas.DataFrame
        As of `evaluate_landcover`.

    Raises
    ------
    XSentinelError
        If no tile has a label on that side, or as the model's mapping does.

    Examples
    --------
    >>> from xsentinel.mapping import read_landcover_job, score_landcover
    >>> score_landcover("landcover-simulated", read_landcover_job("job.yaml"))  # doctest: +SKIP
    """
    tiles = tiles_of(job, split=side != "all")
    return evaluate_landcover(model, tiles, side=side, start=job.start, **how)
