"""Small tiles of land cover that tests learn from, in this process and in others; and trainings that tests kill or share."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import rioxarray  # noqa: F401
import xarray as xr

from xsentinel.bands import TEN_BANDS
from xsentinel.classes import LabelClass, flag_attrs
from xsentinel.models.card import EqualDates
from xsentinel.training.landcover_presets import LANDCOVER_PRESETS

CLASSES = (LabelClass(2, "Wheat", "#e69f00"), LabelClass(7, "Maize", "#56b4e9"), LabelClass(9, "Forest", "#009e73"))
N_DATES = 4
SMALL = replace(
    LANDCOVER_PRESETS["fgunet"], settings={"groups": 2, "widths": [6, 8], "pixel": [8, 8]}, patch=32, batch=2, rate=5e-3, weighted=False
)
DAYS = [pd.Timestamp("2018-01-01") + pd.Timedelta(days=d) for d in EqualDates().days(N_DATES)]


def tile(seed, side=96, stored=False, share=0.5, dates=DAYS):
    """Fields of 12 pixels, of three classes that differ in season and brightness; some of them labelled."""
    rng = np.random.default_rng(seed)
    n = side // 12
    kind, known = rng.choice(3, (n, n), p=[0.5, 0.35, 0.15]), rng.random((n, n)) < share
    place = kind.repeat(12, 0).repeat(12, 1)
    season = np.array([[0.1, 0.5, 0.3, 0.1], [0.1, 0.2, 0.5, 0.3], [0.3, 0.35, 0.35, 0.3]])
    when = np.interp([pd.Timestamp(d).day_of_year for d in dates], [d.day_of_year for d in DAYS], np.arange(4))
    green = np.stack([np.stack([np.interp(t, np.arange(4), s) for s in season])[place] for t in when])
    coords = {"time": dates, "y": 5e6 - 10 * np.arange(side) - 5.0, "x": 4e5 + 10 * np.arange(side) + 5.0 + seed * 1e5}
    cube = xr.Dataset(coords=coords)
    for k, band in enumerate(TEN_BANDS):
        values = (0.05 + 0.02 * k + green * (0.5 if k > 4 else -0.05) + rng.normal(0, 0.03, green.shape)).astype(np.float32)
        if stored:
            counts = np.clip(np.round((values + 0.1) * 1e4), 1, 65535).astype(np.uint16)
            cube[band] = ("time", "y", "x"), counts, {"scale_factor": 1e-4, "add_offset": -0.1, "_FillValue": 0}
        else:
            cube[band] = ("time", "y", "x"), values
    parcel = np.arange(1, n * n + 1).reshape(n, n).repeat(12, 0).repeat(12, 1)
    codes = np.where(known.repeat(12, 0).repeat(12, 1), np.array([2, 7, 9])[place], 0).astype(np.uint8)
    labels = xr.Dataset(
        {"label": (("y", "x"), codes, flag_attrs(CLASSES)), "parcel": (("y", "x"), parcel)}, {d: cube[d] for d in ("y", "x")}
    )
    return cube.rio.write_crs(32631), labels.rio.write_crs(32631)


def tiles(**how):
    return {"west": tile(1, **how), "east": tile(2, **how)}


def train(out, **how):
    from xsentinel.training import train_landcover

    given = {"preset": SMALL, "dates": N_DATES, "epochs": 12, "steps": 8, "progress": False, "scores": False, "precision": "fp32"} | how
    return train_landcover(given.pop("tiles", None) or tiles(stored=True), out, **given)


if __name__ == "__main__":
    n = int(sys.argv[2])
    train(sys.argv[1], processes=n, preset=replace(SMALL, batch=4 // n, warm_up=0), epochs=int(sys.argv[3]), steps=8 * n)
