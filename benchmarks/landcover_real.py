"""Land cover of two real sites in Belgium of 640 m each, by thirds of their polygons: WorldCereal's reference maps."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

import xsentinel as xs
from benchmarks.landcover_data import note
from benchmarks.landcover_runs import SHORT
from benchmarks.landcover_scores import print_table
from xsentinel import samples
from xsentinel.accuracy import Assessment
from xsentinel.training import train_landcover
from xsentinel.training.landcover_presets import LANDCOVER_PRESETS, LandcoverPreset

SITES = {"00002806639B424A": (10, "2018-01-01", 10.0), "000028085BF08E7E": (20, "2019-01-01", 0.0)}
"""Metres of a pixel, first day of the season, metres of borders without label."""

LEGEND = samples.legend({"Annual crops": [11], "Grassland": [13], "Built-up": [60]}, other="drop")

THIRDS = {"first": 1 / 3, "second": 1 / 3, "third": 1 / 3}

STEPS = 120


def site(name: str, folder: Path) -> tuple[xr.Dataset, xr.Dataset]:
    """Give a cube with clouds masked, and labels split into thirds by whole polygons."""
    resolution, _, eroded = SITES[name]
    cube = xs.open(folder / name, resolution=resolution, chunks=None).s2.mask_clouds(dilate=20)
    known = xr.open_dataset(next((folder / name).glob("OUTPUT*.nc")))
    kinds = known["LC"] * 10_000 + known["CT"].fillna(0)
    place = {"y": cube["y"], "x": cube["x"], "method": "nearest"}
    parcels = kinds.copy(data=_numbered(kinds.values)).sel(**place).assign_coords(y=cube["y"], x=cube["x"])
    raster = known["LC"].sel(**place).assign_coords(y=cube["y"], x=cube["x"]).rio.write_crs(cube.rio.crs)
    labels = samples.from_raster(raster, cube, legend=LEGEND, erode=eroded, parcels=parcels)
    return cube, samples.split_polygons(labels, THIRDS)


def _numbered(kinds: np.ndarray) -> np.ndarray:
    """Number what hangs together of one kind, from 1 on."""
    from scipy.ndimage import label

    out = np.zeros(kinds.shape, np.int64)
    for kind in np.unique(kinds):
        pieces, _ = label(kinds == kind)
        out[pieces > 0] = pieces[pieces > 0] + out.max()
    return out


def settled(preset: str, cube: xr.Dataset) -> LandcoverPreset:
    """Give a preset for so small a site: patches of half of it, few labels asked for."""
    chosen = LANDCOVER_PRESETS[preset]
    bands = tuple(band for band in chosen.bands if band in cube)
    if chosen.fit == "descent":
        small = {"patch": 32, "step": 8 if cube.sizes["y"] > 32 else 32, "least": 0.02, "steps": STEPS}
        return replace(chosen, bands=bands, **SHORT | small)
    return replace(chosen, bands=bands, patch=32)


def crossed(name: str, preset: str, cube: xr.Dataset, labels: xr.Dataset) -> Assessment:
    """Assess a third of the polygons by what is learnt from the two others, three times, all together."""
    found = []
    for number, third in enumerate(THIRDS, 1):
        learnt = (labels["side"] != number).astype(np.uint8) * (labels["label"] > 0).astype(np.uint8)
        side = learnt.assign_attrs(flag_values=np.array([1], np.uint8), flag_meanings="train")
        with tempfile.TemporaryDirectory() as folder:
            how = {"start": SITES[name][1], "progress": False, "scores": False}
            model = train_landcover({name: (cube, labels.assign(side=side))}, folder, preset=settled(preset, cube), **how)
            told = cube.s2.landcover(model, start=SITES[name][1])["class"].compute()
        truth = samples.labels_on(labels, third)
        found.append(xs.accuracy.assess(told, truth, ignore=0, classes={c.code: c.name for c in LEGEND.classes}))
        note(name, preset, third, found[-1])
    return Assessment(sum(r.confusion for r in found[1:]) + found[0].confusion, 0)


def real() -> None:
    """Print scores of both sites."""
    data = Path(os.environ["XSENTINEL_DATA"]) / "cubes" / "worldcereal"
    for name in SITES:
        cube, labels = site(name, data)
        polygons = np.unique(labels["parcel"].values[labels["label"].values > 0]).size
        rows = {}
        for preset in ("forest", "fgunet"):
            result = crossed(name, preset, cube, labels)
            f1 = {f"F1 % {c}": f"{100 * v:.1f}" for c, v in result.scores["f1"].items()}
            overall = {"OA %": f"{100 * result.overall_accuracy:.1f}", "kappa": f"{result.kappa:.3f}"}
            rows[preset] = overall | f1
        pixels = int((labels["label"] > 0).sum())
        print_table(f"{name}, {SITES[name][0]} m, {pixels} labelled pixels in {polygons} polygons, by thirds", rows)
