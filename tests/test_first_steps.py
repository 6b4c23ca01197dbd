"""What a newcomer tries in the first quarter of an hour, and what then happens or is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rioxarray  # noqa: F401  (registers .rio)
import xarray as xr

import xsentinel as xs

PLACE = {"y": 5_000_005.0 - 10 * np.arange(60), "x": 600_005.0 + 10 * np.arange(50)}


def class_map(**attrs: Any) -> xr.Dataset:
    """Give a map of two classes as our verbs give one: of a season, so without a date."""
    codes = np.ones((60, 50), np.uint8)
    codes[15:45, 10:40] = 2
    flags = {"flag_values": np.array([1, 2], np.uint8), "flag_meanings": "Maize Winter_wheat", "xsentinel_version": xs.__version__}
    return xr.Dataset({"class": (("y", "x"), codes, flags | attrs)}, PLACE).rio.write_crs("EPSG:32632")


# ---- maps come back as they went -------------------------------------------------------------------------------------


def test_a_class_map_comes_back_from_geotiff_as_it_went(tmp_path: Path) -> None:
    went = class_map()
    went.s2.to_cog(tmp_path / "crops.tif")
    came = xs.open(tmp_path / "crops.tif")
    assert came["class"].dims == ("y", "x")
    assert "time" not in came.coords
    assert came.s2.info().notes == ""
    np.testing.assert_array_equal(came["class"], went["class"])
    assert xs.accuracy.assess(came, went).overall_accuracy == 1


def test_a_band_without_a_date_keeps_its_unknown_one_and_is_not_called_sorted(tmp_path: Path) -> None:
    band = class_map()["class"].astype(np.uint16).rename("B04")
    band.attrs = {}
    folder = tmp_path / "plain"
    folder.mkdir()
    band.s2.to_cog(folder / "B04.tif")
    cube = xs.open(folder / "B04.tif")
    assert np.isnat(cube.time.values).all()
    assert cube.s2.info().notes == ""


def test_times_out_of_order_are_still_told() -> None:
    cube = xr.Dataset({"B04": (("time", "y", "x"), np.full((3, 60, 50), 0.1, np.float32))}, PLACE).rio.write_crs(32632)
    cube = xs.open(cube.assign_coords(time=np.array(["2019-06-01", "NaT", "2019-05-01"], "datetime64[ns]")))
    assert "have been sorted" in cube.attrs["notes"]
    assert [str(t)[:10] for t in cube.time.values] == ["2019-05-01", "2019-06-01", "NaT"]


def test_maps_with_one_date_are_compared_with_maps_of_none() -> None:
    plain = class_map()
    dated = plain.expand_dims(time=[np.datetime64("2018-06-01", "ns")])
    for one, other in ((plain, dated), (dated, plain), (dated, dated)):
        assert xs.accuracy.assess(one, other).overall_accuracy == 1
    assert xs.accuracy.corner_precision(dated, plain).ratio == 1
    assert xs.accuracy.areas(dated).sum() == 30.0
    with pytest.raises(xs.GridError, match="coordinate 'time'"):
        xs.accuracy.assess(dated, dated.assign_coords(time=[np.datetime64("2019-06-01", "ns")]))
