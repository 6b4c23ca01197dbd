"""Angles under their many names, and the platform from the orbit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import xsentinel as xs
from xsentinel.geometry import ANGLES, find_angles, platform_from_orbit, relative_azimuth


@pytest.mark.parametrize(("name", "alias"), [(n, a) for n, angle in ANGLES.items() for a in angle.aliases])
def test_every_alias_is_found_and_kept_in_float32(name, alias):
    names = {"sza": "sza", "vza": "vza", "raa": "raa"} | ({name: alias} if name in ("sza", "vza", "raa") else {})
    ds = xr.Dataset(coords={v: ("time", [10.0, 20.0]) for v in names.values()})
    if name in ("saa", "vaa"):
        other = {"saa": "vaa", "vaa": "saa"}[name]
        ds = ds.drop_vars("raa").assign_coords({alias.upper(): ("time", [10.0, 20.0]), other: ("time", [40.0, 5.0])})
    found = find_angles(ds)
    assert set(found) == {"sza", "vza", "raa"}
    assert all(a.dtype == np.float32 and a.attrs["units"] == "degree" for a in found.values())
    if name in ("saa", "vaa"):
        np.testing.assert_allclose(found["raa"], [30, 15])


@given(st.floats(-360, 360), st.floats(-360, 360))
def test_relative_azimuth_keeps_its_cosine_and_lies_in_0_180(saa, vaa):
    raa = float(relative_azimuth(xr.DataArray(saa), xr.DataArray(vaa)))
    assert 0 <= raa <= 180
    assert np.cos(np.deg2rad(raa)) == pytest.approx(np.cos(np.deg2rad(saa - vaa)), abs=1e-6)


PRODUCTS = [  # platform, sensing time of the tile, latitude of the tile: from product metadata
    ("S2A", "2019-02-12T19:33:32", -36.1),
    ("S2B", "2022-04-13T15:08:07", 79.0),
    ("S2A", "2023-06-25T23:47:14", 65.0),
    ("S2B", "2019-06-29T21:25:29", 60.9),
    ("S2A", "2018-07-21T05:37:21", 0.5),
    ("S2A", "2020-07-14T11:55:52", 20.4),
]


@pytest.mark.parametrize(("platform", "time", "latitude"), PRODUCTS)
def test_platform_of_known_products(platform, time, latitude):
    assert platform_from_orbit(np.array([time], "datetime64[ns]"), latitude)[0] == platform


def test_platform_of_every_qvidja_date_is_that_of_its_product_name(data: Path):
    cube = xs.open(data / "cubes" / "qvidja" / "Block 1example_netcdf.nc")
    assert cube.platform.attrs["source"] == "variable productid"
    assert np.array_equal(platform_from_orbit(cube.time.values, 64.7), cube.platform.values)


def test_platform_is_not_told_where_it_cannot_be():
    times = np.array(["2018-06-01", "2026-01-01T10:30:00", "2019-05-30T10:56:00"], "datetime64[ns]")
    assert platform_from_orbit(times, 47.0).tolist() == ["", "", ""]
    assert platform_from_orbit(np.array(["2016-06-01"], "datetime64[ns]"), 47.0).tolist() == ["S2A"]
