"""The whole way of Weikmann et al. (2021) on simulated land whose crop map is partly wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xsentinel as xs
from xsentinel import samples
from xsentinel.training import reliable, train_crops
from xsentinel.training.crop_presets import CropPreset

CROPS = {"Winter cereals": [1], "Spring cereals": [2], "Rapeseed": [3], "Maize": [4], "Root crops": [6], "Grassland": [7]}
LEGEND = samples.legend(CROPS, other="drop")
SMALL = CropPreset("ltae", {"width": 64, "heads": 8, "keys": 8, "dense": 64, "dropout": 0.2}, epochs=6, rate=5e-3, weighted=True)
RULE = samples.Stratified(1200, 60, 1200, 60)


@pytest.fixture(scope="module")
def land() -> xs.simulate.Landscape:
    dates = xs.simulate.overpasses("2018-01-01", "2018-12-31", seed=3)[::3]
    return xs.simulate.landscape((128, 128), list(dates), seed=3, resolution=20, latitude=48.0)


def wrong(label: xr.DataArray, truth: xr.DataArray) -> float:
    there = label.values > 0
    return float((label.values != truth.values)[there].mean())


def test_reliable_samples_lower_the_share_of_wrong_labels_and_help(land: xs.simulate.Landscape, tmp_path: Path) -> None:
    months = land.cube.s2.mask_clouds().s2.composite("MS").compute()
    kinds = land.truth["class"].compute()
    truth = samples.from_raster(kinds, months, legend=LEGEND)["label"]
    outlines = {"erode": 20, "parcels": land.truth["parcel"].compute()}
    noisy = land.labels(share=1, wrong=0.4, seed=1).compute().where(truth > 0, 0)
    given = samples.from_raster(noisy, months, legend=LEGEND, **outlines)
    # the eastern third is for tests, and is never learnt from
    east = xr.DataArray(np.arange(128) >= 85, {"x": months.x}, ("x",))
    label = given["label"].where(~east, 0).assign_attrs(given["label"].attrs)

    table = samples.draw(given.assign(label=label), RULE, seed=1)
    weak = train_crops(samples.extract(months, table), tmp_path, preset=SMALL, name="weak", resolution=20, least=1, progress=False)
    maps = months.s2.crops(weak)
    chosen = reliable(label, maps)
    assert 0.1 < wrong(label, truth) < 0.4
    assert wrong(chosen, truth) < wrong(label, truth) / 2
    assert (chosen > 0).sum() > 0.4 * (label > 0).sum()

    table = samples.draw(given.assign(label=chosen), RULE, seed=2)
    drawn = samples.extract(months, table)
    final = train_crops(drawn, tmp_path, preset=SMALL, name="final", initial=weak, weighted=False, resolution=20, least=1, progress=False)
    reference = truth.where(east & (samples.from_raster(kinds, months, legend=LEGEND, **outlines)["label"] > 0), 0)
    scores = [xs.accuracy.assess(m["class"], reference, ignore=0).overall_accuracy for m in (maps, months.s2.crops(final))]
    assert scores[1] >= scores[0] > 0.6


def test_a_map_that_is_all_but_certain_keeps_the_labels_that_it_confirms() -> None:
    flags = {"flag_values": np.array([1, 2], np.uint8), "flag_meanings": "maize rye"}
    labels = xr.DataArray(np.array([[1, 1, 1, 2]], np.uint8), dims=("y", "x"), attrs=flags)
    maps = xr.Dataset(
        {"class": labels.copy(data=np.array([[1, 1, 2, 2]], np.uint8)), "confidence": (("y", "x"), np.float32([[1, 1, 1, 1]]))}
    )
    assert reliable(labels, maps).values.tolist() == [[1, 1, 0, 2]]
