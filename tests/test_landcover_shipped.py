"""The land cover model that comes with the package, on land that it was not trained on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xsentinel as xs
from xsentinel.accuracy import assess
from xsentinel.simulate.nomenclature import CLASSES

DAYS = tuple(pd.date_range("2018-01-03", "2018-12-28", freq="12D"))


@pytest.fixture(scope="module")
def land() -> xs.simulate.Landscape:
    return xs.simulate.landscape((72, 80), DAYS, seed=31, latitude=47.5, chunks={"time": -1, "y": 72, "x": 80})


def test_it_maps_an_unseen_landscape(land: xs.simulate.Landscape) -> None:
    maps = land.cube.s2.mask_clouds(dilate=60).s2.landcover("landcover-simulated").compute()
    result = assess(maps["class"], land.truth["class"])
    assert result.kappa > 0.7
    inside = maps["confidence"].where(maps["class"] == land.truth["class"])
    wrong = maps["confidence"].where(maps["class"] != land.truth["class"])
    assert float(inside.mean()) > float(wrong.mean()) + 0.1


def test_its_card_says_what_it_was_trained_on() -> None:
    card = xs.load_model("landcover-simulated").card
    assert (card.network, card.dates, card.stride, card.radius) == ("fgunet", 33, 4, 23)
    assert [(c.code, c.name) for c in card.classes] == [(c.code, c.name.replace("_", " ")) for c in CLASSES]
    assert card.equal_dates is not None
    assert "no real land" in card.training["data"]
    assert any("forest" in name for name in card.scores)


def test_where_nothing_was_seen_there_is_no_class(land: xs.simulate.Landscape) -> None:
    cube = land.cube.isel(y=slice(32), x=slice(32)).drop_vars("SCL").compute()
    hidden = cube.where((cube["x"] > cube["x"][7]) | (cube["y"] > cube["y"][-8]))
    maps = hidden.s2.landcover("landcover-simulated")
    gone = xr.ufuncs.isnan(hidden["B04"]).all("time")
    assert gone.any()
    np.testing.assert_array_equal(maps["class"].values == 0, gone.values)
