"""Data of `benchmarks.fusion`: simulated landscapes, kept in a folder once made, and the real site with radar."""

from __future__ import annotations

import os
from pathlib import Path

import dask
import numpy as np
import xarray as xr

import xsentinel as xs
from xsentinel.training import FusionSource

DATA = Path(os.environ.get("XSENTINEL_DATA", ""))
RESOLUTION = 20
SIDE, OTHER_SIDE = 192, 128
"""Pixels of a landscape that is trained on and of one that is not, along a side."""

TRAINED = {
    "a": (1, 50.0, "2018"), "b": (2, 47.5, "2017"), "c": (3, 52.5, "2019"), "d": (4, 45.0, "2018"), "e": (5, 55.0, "2019"),
    "f": (6, 49.0, "2020"), "g": (7, 43.0, "2017"), "h": (8, 51.0, "2016"), "i": (9, 48.0, "2019"), "j": (10, 53.5, "2018"),
}  # fmt: skip
OTHER = {"k": (101, 50.5, "2018"), "l": (102, 46.0, "2021"), "m": (103, 54.0, "2019"), "n": (104, 41.0, "2018")}
"""Name → seed, degrees north, year."""


def simulated(name: str, folder: Path) -> xr.Dataset:
    """Give a landscape: ``SCL`` and SL2P's ``lai`` as seen, ``truth`` (SL2P under a clear sky), ``lai_true`` (of the ground), and radar.

    Radar has a time of its own, ``time_s1``.
    """
    path = folder / f"{name}.nc"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = _simulate(*(TRAINED | OTHER)[name], SIDE if name in TRAINED else OTHER_SIDE)
        made.to_netcdf(path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)
    return xr.load_dataset(path, engine="netcdf4", decode_coords="all")


def _simulate(seed: int, latitude: float, year: str, side: int) -> xr.Dataset:
    land = xs.simulate.landscape((side, side), year, seed=seed, resolution=RESOLUTION, latitude=latitude)
    with dask.config.set(scheduler="synchronous"):
        made = land.cube[["SCL"]].assign(lai=land.cube.s2.lai()["lai"], truth=land.unclouded.s2.lai()["lai"], lai_true=land.truth["lai"])
        radar = land.radar.drop_vars("spatial_ref").rename(time="time_s1")
        return made.merge(radar, compat="override").compute()


def source_of(land: xr.Dataset, rows: slice = slice(None), columns: slice = slice(None)) -> FusionSource:
    """Give a part of a simulated landscape as a source: SL2P as seen goes in, SL2P under a clear sky is to be found."""
    part = land.isel(y=rows, x=columns)
    radar = part[["VV", "VH"]].rename(time_s1="time")
    return FusionSource(part[["SCL", "lai"]], radar, part["truth"])


def real_sources() -> dict[str, FusionSource]:
    """Give the Belgian site of WorldCereal that has all bands and radar; the other one lacks B03 and B04, and so SL2P."""
    folder = DATA / "cubes" / "worldcereal" / "00002806639B424A"
    s2 = xs.open(folder, resolution=RESOLUTION, chunks=None)
    with xr.open_dataset(next(folder.glob("S1_*.nc"))) as file:
        s1 = file[["VV", "VH"]].rename(timestamp="time").astype(np.float32).load()
    return {"worldcereal/00002806639B424A": FusionSource(s2, s1)}
