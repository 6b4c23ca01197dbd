"""Land that land cover is learnt from: simulated tiles of four climates with all of their truth, made once and kept."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import xarray as xr

import xsentinel as xs
from xsentinel import samples
from xsentinel.models.card import EqualDates
from xsentinel.simulate.nomenclature import CLASSES

SIDE = 400
"""Pixels of 10 m of a tile along a side."""

TILES = {"south": (10, 42.0), "middle": (1, 46.0), "north": (9, 50.0), "far north": (6, 54.0)}
"""Seed and latitude. Seeds were chosen by their truth alone: all classes occur, but in the last one no dense town."""

UNSEEN = ("unseen", 8, 48.0)
"""A tile that nothing is learnt from."""

DATES = tuple(pd.Timestamp("2018-01-01") + pd.Timedelta(days=day) for day in EqualDates().days(33))
"""The 33 equal dates of a year."""

SHARE, ERODED, WRONG = 0.3, 10.0, 0.0
"""Share of parcels that have a label, metres along their borders that have none, share of labels that are wrong."""

CLEAR = 0.05
"""Share of a date's pixels that must be clear; others only cost time."""

ROAD = next(c.code for c in CLASSES if c.name == "road")
TEXTURED = ("urban dense", "urban diffuse", "road", "vineyard", "orchard")
"""Classes that neighbours help to tell, by the paper and by what is simulated."""


def note(*words: object) -> None:
    """Say how far it is, beside the tables."""
    print(*words, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Tile:
    """A tile, in memory."""

    name: str
    cube: xr.Dataset
    """Ten bands at 33 dates, gaps filled."""
    truth: xr.DataArray
    """The class of every pixel."""
    labels: xr.Dataset
    """``label``, ``parcel`` and ``side`` (train or test): what is known of it."""

    @property
    def tested(self) -> xr.DataArray:
        """Labels of the parcels that are tested; 0 else."""
        return samples.labels_on(self.labels, "test")

    @cached_property
    def edges(self) -> xr.DataArray:
        """The truth of pixels that touch one of another class, sideways or by a corner; 0 else."""
        from scipy.ndimage import maximum_filter, minimum_filter

        codes = self.truth.values
        edge = maximum_filter(codes, 3) != minimum_filter(codes, 3)
        return self.truth.where(edge, 0).assign_attrs(self.truth.attrs)


def default_folder() -> Path:
    """Give where tiles, models and results are kept unless told otherwise."""
    return Path(tempfile.gettempdir()) / "xsentinel-landcover"


def tiles(folder: Path, names: tuple[str, ...] = tuple(TILES)) -> dict[str, Tile]:
    """Give tiles, simulated if they are not there yet."""
    return {name: _read(name, folder) for name in names}


def unseen(folder: Path) -> Tile:
    """Give the tile that nothing is learnt from."""
    return _read(UNSEEN[0], folder)


def _read(name: str, folder: Path) -> Tile:
    path = folder / "tiles" / f"{name.replace(' ', '-')}.zarr"
    if not path.exists():
        start = perf_counter()
        _simulate(name).to_zarr(path.with_suffix(".part"), mode="w", consolidated=False)
        path.with_suffix(".part").rename(path)
        note(f"{name}: simulated in {perf_counter() - start:.0f} s")
    ds = xr.open_zarr(path, chunks=None, consolidated=False).set_coords("spatial_ref").load()
    known = ds[["label", "parcel"]]
    return Tile(name, ds.drop_vars(["class", "label", "parcel"]), ds["class"], samples.split_polygons(known))


def _simulate(name: str) -> xr.Dataset:
    """Simulate a tile as one gets it: a year's passes of both satellites, clouds masked, gaps filled linearly."""
    seed, latitude = {**TILES, UNSEEN[0]: UNSEEN[1:]}[name]
    times = xs.simulate.overpasses("2018-01-01", "2018-12-31", seed=seed, orbits=1)
    corner = xs.simulate.landscape((48, 48), list(times), seed=seed, latitude=latitude)
    clear = corner.cube.s2.clear_share().compute(num_workers=1).values
    chosen = list(times[clear > CLEAR])
    land = xs.simulate.landscape((SIDE, SIDE), chosen, seed=seed, latitude=latitude)
    cube = land.cube.s2.mask_clouds(dilate=60).drop_vars("SCL", errors="ignore").compute(num_workers=1)
    filled = cube.s2.fill_gaps("linear", dates=DATES, extrapolate="nearest", layers=False).compute(num_workers=1)
    note(f"{name}: {len(chosen)} of {len(times)} passes taken")
    truth = land.truth[["class", "parcel"]].compute(num_workers=1)
    filled = filled.drop_vars(["platform", "sza", "vza", "raa"], errors="ignore")
    layers = {**truth.data_vars, "label": _labels(land, truth["class"])}
    return filled.assign({name: layer.drop_vars(set(layer.coords) - {"y", "x"}) for name, layer in layers.items()})


def _labels(land: xs.simulate.Landscape, truth: xr.DataArray) -> xr.DataArray:
    """Give labels of a share of the parcels without their borders, and of as many roads, which are nothing but borders."""
    eroded, whole = (land.labels(share=SHARE, eroded=e, wrong=WRONG).compute(num_workers=1) for e in (ERODED, 0.0))
    known: xr.DataArray = eroded.where((truth != ROAD) | (whole != ROAD), ROAD).astype(np.uint8)
    return known.rename("label").assign_attrs(eroded.attrs)
