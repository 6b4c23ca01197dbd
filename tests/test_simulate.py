"""Simulated landscapes: the same to the bit however cut, true to their truth, sensible to physics and to SL2P."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import xsentinel as xs
from tests.conftest import raise_if_dask_computes
from xsentinel.bands import CLOUDY_CLASSES, TEN_BANDS, scene_class_values
from xsentinel.errors import GridError, TimeError, XSentinelError
from xsentinel.simulate.nomenclature import CLASSES, COVERS, running_shares
from xsentinel.simulate.overpass import plan, sun_position
from xsentinel.simulate.table import load_table

DATES = ["2018-02-14", "2018-05-05", "2018-06-22", "2018-08-21", "2018-10-10"]
SHAPE = (42, 51)


@pytest.fixture(scope="module")
def whole() -> dict[int, tuple[xr.Dataset, xr.Dataset]]:
    scenes = {
        r: xs.simulate.landscape(SHAPE, DATES, seed=5, resolution=r, mask_and_scale=False, chunks={"y": 99, "x": 99}) for r in (10, 20)
    }
    return {r: (s.cube.compute(), s.truth.compute()) for r, s in scenes.items()}


@pytest.fixture(scope="module")
def year() -> tuple[xr.Dataset, xr.Dataset]:
    scene = xs.simulate.landscape((120, 120), "2018", seed=9, resolution=20)
    return scene.cube.compute(), scene.truth.compute()


@settings(max_examples=12)
@given(st.sampled_from([10, 20]), st.integers(1, 5), st.integers(9, 60), st.integers(9, 60))
def test_a_block_is_a_part_of_the_whole(whole, resolution, t, y, x):
    scene = xs.simulate.landscape(SHAPE, DATES, seed=5, resolution=resolution, mask_and_scale=False, chunks={"time": t, "y": y, "x": x})
    xr.testing.assert_identical(scene.cube.compute(), whole[resolution][0])
    xr.testing.assert_identical(scene.truth.compute(), whole[resolution][1])


def test_a_larger_scene_holds_the_smaller_and_more_dates_the_fewer(whole):
    scene = xs.simulate.landscape((60, 70), ["2018-05-05", "2018-06-01", "2018-08-21"], seed=5, mask_and_scale=False)
    part = scene.cube.isel(y=slice(0, SHAPE[0]), x=slice(0, SHAPE[1]), time=[0, 2]).compute()
    xr.testing.assert_identical(part, whole[10][0].isel(time=[1, 3]))


def test_nothing_is_computed_until_asked_for():
    with raise_if_dask_computes():
        scene = xs.simulate.landscape((20_003, 20_003), "2018", seed=1, chunks={"time": 1, "y": 2000, "x": 2000})
        corner = scene.cube.isel(y=slice(-3, None), x=slice(-3, None))
    assert scene.cube.B02.data.nbytes > 1e11
    assert corner.B02.isel(time=0).compute().notnull().all()


def test_a_seed_is_another_landscape(whole):
    other = xs.simulate.landscape(SHAPE, DATES, seed=6, mask_and_scale=False)
    assert (other.truth["class"].values != whole[10][1]["class"].values).mean() > 0.5
    assert (other.cube.B08.values != whole[10][0].B08.values).mean() > 0.9


def test_counts_and_reflectance_are_the_same(whole):
    floats = xs.simulate.landscape(SHAPE, DATES, seed=5).cube
    assert floats.B11.dtype == np.float32
    np.testing.assert_allclose(floats.B11, whole[10][0].B11 * 1e-4, rtol=1e-6)
    assert xs.open(whole[10][0]).s2.info() is not None


def test_20m_bands_are_pairs_of_pixels_at_10m(whole):
    cube = whole[10][0].isel(y=slice(0, 42), x=slice(0, 50))
    for band in ("B05", "B8A", "B12", "SCL"):
        values = cube[band].values
        assert (values[:, ::2] == values[:, 1::2]).all()
        assert (values[..., ::2] == values[..., 1::2]).all()
    assert (cube.B04.values[:, ::2] != cube.B04.values[:, 1::2]).mean() > 0.8


def test_a_parcel_is_of_one_class(year):
    truth = year[1]
    land = pd.DataFrame({"parcel": truth.parcel.values.ravel(), "class": truth["class"].values.ravel()}).query("parcel > 0")
    assert land.groupby("parcel")["class"].nunique().max() == 1
    assert land.parcel.nunique() > 100
    assert set(np.unique(truth["class"])) <= {c.code for c in CLASSES}


def test_leaf_area_is_within_what_its_class_can_grow(year):
    truth = year[1]
    pure = truth["class"].where(truth.parcel > 0)
    for name in ("maize", "winter_cereal", "grassland", "conifer_forest", "deciduous_forest"):
        cover = next(c for c in COVERS if c.name == name)
        value = next(c.code for c in CLASSES if c.name == name)
        lai = truth.lai.where(pure == value)
        assert 0.5 * sum(s.peak for s in cover.seasons) < lai.quantile(0.95) < 8
        assert lai.min("time").median() < 1.35 * cover.base + 0.35
    maize = truth.lai.where(truth["class"] == 4).median(("y", "x"))
    assert maize.idxmax().dt.month in (7, 8)
    assert (maize.sel(time="2018-03") < 0.5).all()


def test_clouds_are_bright_and_shadows_dark(year):
    cube, truth = year
    cloud, clear = truth.cloud > 0.95, (truth.cloud == 0) & (truth.shadow == 0)
    assert cube.B02.where(cloud).min() > cube.B02.where(clear).quantile(0.99)
    shaded = (truth.cloud == 0) & (truth.shadow > 0.95)
    same_dates = (shaded.mean(("y", "x")) > 0.05) & (clear.mean(("y", "x")) > 0.05)
    ratio = (cube.B08.where(shaded).mean(("y", "x")) / cube.B08.where(clear).mean(("y", "x"))).where(same_dates)
    assert same_dates.sum() >= 3
    assert ratio.max() < 0.6


def shift_of(moved: np.ndarray, still: np.ndarray) -> complex:
    """Find by how much one image is moved against another, north + i · east, by phase correlation."""
    product = np.fft.rfft2(moved - moved.mean()) * np.conj(np.fft.rfft2(still - still.mean()))
    peak = np.fft.irfft2(product / (np.abs(product) + 1e-3))
    half = np.array(peak.shape) // 2
    down, right = (np.array(np.unravel_index(peak.argmax(), peak.shape)) + half) % peak.shape - half
    return complex(-down, right)


def test_a_shadow_lies_away_from_the_sun():
    truth = xs.simulate.landscape((500, 500), "2018", seed=4, resolution=20).truth
    truth = truth.isel(time=truth.sza < 60).isel(time=slice(0, None, 7))[["cloud", "shadow"]].compute()
    partly = [t for t in range(truth.sizes["time"]) if 0.1 < truth.cloud[t].mean() < 0.9]
    right = []
    for t in partly:
        sza, saa, vza, vaa = (np.deg2rad(truth[name][t].item()) for name in ("sza", "saa", "vza", "vaa"))
        # seen aslant, the cloud itself is displaced away from the sensor
        expected = np.tan(vza) * np.exp(1j * vaa) - np.tan(sza) * np.exp(1j * saa)
        right.append(abs(np.angle(shift_of(truth.shadow[t].values, truth.cloud[t].values) / expected, deg=True)) < 2)
    assert len(right) >= 5
    assert np.mean(right) >= 0.75


def test_the_classifier_finds_most_clouds_and_errs_on_some(year):
    cube, truth = year
    seen = cube.SCL.isin(scene_class_values(list(CLOUDY_CLASSES)))
    there = (truth.cloud > 0.3) | (truth.shadow > 0.6)
    missed, false = float((~seen & there).sum() / there.sum()), float((seen & ~there).sum() / (~there).sum())
    assert 0.001 < missed < 0.08
    assert 0.005 < false < 0.15
    water = (truth["class"] == 16) & ~seen
    assert (cube.SCL.where(water) == 6).mean() == pytest.approx(float(water.mean()), rel=0.3)


def test_cloud_cover_persists(year):
    share = year[1].cloud.mean(("y", "x")).to_series()
    assert 0.35 < share.mean() < 0.85
    assert (share < 0.05).mean() > 0.05
    assert (share > 0.95).mean() > 0.2


def test_sl2p_finds_the_leaf_area(year):
    cube, truth = (ds.isel(time=slice(0, None, 3)) for ds in year)
    clear = (truth.cloud == 0) & (truth.shadow < 0.02) & (truth.parcel > 0) & truth["class"].isin(range(1, 8))
    error = (cube.s2.lai().lai - truth.lai).where(clear)
    assert abs(error.mean()) < 0.5
    assert np.sqrt((error**2).mean()) < 1.0


def test_winter_sun_is_low_and_orbits_alternate():
    assert sun_position(172, 12, 50)[0] == pytest.approx(50 - 23.44, abs=0.2)
    assert sun_position(355, 10.9, 50)[0] > 70
    assert sun_position(100, 10.0, 50)[1] < 180 < sun_position(100, 14.0, 50)[1]
    times = xs.simulate.overpasses("2018-01-01", "2018-12-31", seed=3)
    assert set(np.diff(times.normalize()).astype("timedelta64[D]").astype(int)) >= {2, 3, 5}
    overs = plan(times, 50.0)
    assert {(o.platform, o.orbit) for o in overs} == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_shares_sum_to_one_and_follow_the_climate():
    for latitude in (-40.0, 35.0, 50.0, 65.0):
        assert running_shares(latitude)[:, -1] == pytest.approx(1)
    sunflower = [c.name for c in COVERS].index("sunflower")
    south, north = (np.diff(running_shares(lat)[0])[sunflower - 1] for lat in (40.0, 55.0))
    assert south > 3 * north


def test_the_table_knows_bare_soil_and_saturates():
    table, soil = load_table(), np.full(len(TEN_BANDS), 0.2, np.float32)
    bare = table.reflectance(0, (40.0, 5.0, 90.0), (0, 0.0, 0.5, 0.0), soil)
    np.testing.assert_allclose(bare, 0.2, atol=2e-3)
    deep = [table.reflectance(1, (40.0, 5.0, 90.0), (1, 0.0, 0.5, lai), soil) for lai in (1.0, 5.0, 7.0)]
    nir, red = TEN_BANDS.index("B08"), TEN_BANDS.index("B04")
    assert deep[2][nir] - deep[1][nir] < 0.2 * (deep[1][nir] - deep[0][nir])
    assert deep[2][red] < 0.05 < 0.4 < deep[2][nir]


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"shape": (0, 4)}, GridError, "rows and columns"),
        ({"shape": (4, 4.0)}, GridError, "whole numbers"),
        ({"resolution": 60}, GridError, "10 or 20"),
        ({"latitude": 80}, GridError, "between -60 and 65"),
        ({"seed": -1}, XSentinelError, "4294967295"),
        ({"dates": []}, TimeError, "one or more"),
        ({"dates": ["2018-05-05", "2018-05-05"]}, TimeError, "each once"),
        ({"dates": "spring"}, TimeError, "a year such as"),
        ({"dates": ["2018-13-01"]}, TimeError, "no date"),
        ({"chunks": {"band": 1}}, GridError, "time, y and x"),
    ],
)
def test_bad_input_is_refused(change, error, says):
    given_ = {"shape": (4, 4), "dates": ["2018-05-05"]} | change
    with pytest.raises(error, match=says):
        xs.simulate.landscape(given_.pop("shape"), given_.pop("dates"), **given_)


def test_overpasses_refuse_what_is_not():
    with pytest.raises(TimeError, match="swaths overlap"):
        xs.simulate.overpasses("2018-01-01", "2018-02-01", orbits=3)
    with pytest.raises(TimeError, match="earlier first"):
        xs.simulate.overpasses("2018-02-01", "2018-01-01")
    with pytest.raises(AttributeError, match="no attribute"):
        _ = xs.simulate.nothing


def test_import_stays_light():
    code = "import sys, xsentinel; print([m for m in sys.modules if m.startswith('xsentinel.simulate.')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
