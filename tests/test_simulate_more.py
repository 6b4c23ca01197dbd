"""What goes with a simulated landscape: labels, parcels, radar; and the series under a daily sun."""

from __future__ import annotations

import math

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import xsentinel as xs
from tests.conftest import raise_if_dask_computes
from xsentinel.errors import XSentinelError
from xsentinel.kernels.backscatter import speckle
from xsentinel.simulate.daily import MATERIALS
from xsentinel.simulate.table import load_table

DATES = ["2018-02-14", "2018-05-05", "2018-07-01"]


@pytest.fixture(scope="module")
def scene():
    return xs.simulate.landscape((130, 140), DATES, seed=2)


@pytest.fixture(scope="module")
def land(scene) -> xr.Dataset:
    return scene.truth[["class", "parcel"]].compute()


def test_all_labels_are_the_truth(scene, land):
    xr.testing.assert_equal(scene.labels(share=1).compute(), land["class"].rename("label"))


def test_labels_are_of_whole_parcels_in_the_share_asked_for(scene, land):
    labels = scene.labels(share=0.3).compute()
    for parcel in np.unique(land.parcel)[1:]:
        of_parcel = labels.values[land.parcel.values == parcel]
        assert (of_parcel == of_parcel[0]).all()
    assert 0.15 < float((labels > 0).mean()) < 0.45
    assert (scene.labels(share=0.3, seed=1).values != labels.values).any()


def test_wrong_and_outdated_labels_come_in_their_shares(scene, land):
    wrong = scene.labels(share=1, wrong=0.2).compute()
    assert 0.1 < float((wrong != land["class"]).mean()) < 0.3
    assert int(wrong.min()) >= 1
    assert int(wrong.max()) <= 17
    fields = land["class"].isin(range(1, 8))
    outdated = scene.labels(share=1, outdated=1).compute()
    assert (outdated == land["class"]).where(~fields, True).all()
    assert float((outdated != land["class"]).where(fields).mean()) > 0.5


def test_erosion_leaves_what_lies_within(scene, land):
    eroded = scene.labels(share=1, eroded=20).compute().values
    parcel = land.parcel.values
    for i, j in np.random.default_rng(0).integers(2, 128, (300, 2)):
        around = parcel[i - 2 : i + 3, j - 2 : j + 3]
        if parcel[i, j]:
            assert (eroded[i, j] > 0) == (around == parcel[i, j]).all()


@settings(max_examples=6)
@given(st.integers(20, 140), st.integers(20, 140))
def test_labels_and_radar_do_not_depend_on_chunks(scene, y, x):
    other = xs.simulate.landscape((130, 140), DATES, seed=2, chunks={"y": y, "x": x})
    how = {"share": 0.4, "wrong": 0.1, "outdated": 0.2, "eroded": 15}
    with raise_if_dask_computes():
        labels, radar = other.labels(**how), other.radar.isel(time=[1, 4])
    xr.testing.assert_identical(labels.compute(), scene.labels(**how).compute())
    xr.testing.assert_identical(radar.compute(), scene.radar.isel(time=[1, 4]).compute())


def test_parcels_are_polygons_of_their_pixels(scene, land):
    pytest.importorskip("geopandas", reason="parcels as polygons need geopandas")
    frame = scene.parcels()
    own, n = np.unique(land.parcel, return_counts=True)
    assert frame.parcel.is_unique
    assert dict(zip(frame.parcel, frame.area / 100, strict=True)) == pytest.approx(dict(zip(own[1:], n[1:], strict=True)))
    assert frame.crs == land.rio.crs
    middle = frame.geometry.representative_point()
    there = land["class"].sel(x=xr.DataArray(middle.x), y=xr.DataArray(middle.y), method="nearest").values
    assert (there == frame["class"]).all()
    assert set(frame.class_name) <= set(land["class"].flag_meanings.split())


def test_radar_follows_leaves_and_water(scene, land):
    radar = xs.simulate.landscape((130, 140), "2018", seed=2).radar.isel(time=slice(0, None, 10)).compute()
    assert (np.diff(radar.time) == np.timedelta64(60, "D")).all()
    forest = radar.VH.where(land["class"].isin([8, 9])).median()
    fields = radar.VH.where(land["class"] == 4).median(("y", "x"))
    assert forest > fields.max()
    assert fields.sel(time=slice("2018-07-10", "2018-09-05")).mean() > fields.sel(time=slice("2018-03-01", "2018-05-10")).mean() + 1
    assert (radar.VV.median() - radar.VH.median()).item() == pytest.approx(8, abs=2)


# PROSAIL (prosail 2.0.5, S2-SRF 3.0) away from the table's nodes, over dry soil at half its brightness, by the functions
# of benchmarks/simulate_table.py: canopy, structure and state; platform; LAI; sza, vza, raa; the ten bands
PROSAIL = [
    (("cereal", 0, 0), 1, 0.4, (52, 2, 27), [0.0817, 0.104, 0.108, 0.1359, 0.1826, 0.1983, 0.2083, 0.2136, 0.226, 0.193]),
    (("maize", 0, 1), 1, 1.0, (26, 3, 171), [0.0637, 0.0966, 0.0843, 0.1361, 0.1938, 0.2149, 0.2304, 0.2385, 0.2268, 0.1688]),
    (("rape", 1, 1), 1, 2.2, (48, 7, 50), [0.0379, 0.1049, 0.0375, 0.1526, 0.37, 0.4446, 0.4744, 0.4886, 0.2082, 0.0793]),
    (("broadleaf", 0, 2), 0, 3.1, (61, 7, 92), [0.0287, 0.0672, 0.0923, 0.1559, 0.2101, 0.2651, 0.323, 0.3581, 0.332, 0.1794]),
    (("grass", 1, 2), 1, 0.7, (71, 4, 100), [0.0502, 0.0957, 0.1128, 0.1707, 0.2108, 0.2414, 0.2719, 0.2878, 0.2731, 0.1763]),
    (("deciduous", 1, 2), 0, 4.6, (40, 7, 42), [0.0491, 0.1318, 0.1477, 0.2561, 0.3358, 0.4024, 0.4674, 0.5063, 0.3913, 0.1772]),
    (("conifer", 1, 2), 1, 3.5, (28, 6, 50), [0.0364, 0.0857, 0.1018, 0.173, 0.2251, 0.2687, 0.3147, 0.3392, 0.218, 0.0722]),
    (("shrub", 1, 0), 0, 1.5, (67, 5, 27), [0.0316, 0.067, 0.0281, 0.0915, 0.3299, 0.4065, 0.4099, 0.4112, 0.1879, 0.0745]),
]


@pytest.mark.parametrize(("canopy", "platform", "lai", "angles", "expected"), PROSAIL, ids=[c[0][0] for c in PROSAIL])
def test_the_table_is_prosail(canopy, platform, lai, angles, expected):
    table, (name, structure, state) = load_table(), canopy
    soil = 0.5 * table.ground[platform, table.grounds.index("dry soil")]
    found = table.reflectance(platform, angles, (table.canopies.index(name), state / 2, float(structure), lai), soil)
    np.testing.assert_allclose(found, expected, atol=4e-3)


@pytest.mark.parametrize("looks", [4.4, 17.6])
def test_speckle_is_gamma_of_its_looks(looks):
    linear = 10 ** (speckle(np.full((300, 300), 0.1, np.float32), (0, 0), np.uint64(3), looks).astype(float) / 10)
    assert linear.mean() == pytest.approx(0.1, rel=0.01)
    assert (linear.mean() / linear.std()) ** 2 == pytest.approx(looks, rel=0.05)


@pytest.mark.parametrize("change", [{"share": 1.5}, {"wrong": -0.1}, {"outdated": 2}, {"eroded": -1}])
def test_labels_refuse_what_is_no_share(scene, change):
    with pytest.raises(XSentinelError, match=next(iter(change))):
        scene.labels(**change)


@settings(max_examples=15)
@given(st.integers(0, 95), st.integers(0, 9), st.floats(0, 80))
def test_hapke_is_its_formula(t, b, view):
    series = xs.simulate.hapke((2, 2), days=2, seed=3, bands=10, view=view)
    w = float(series.albedo[b, 1, 0])
    theta = math.radians(45 - 25 * math.cos(2 * math.pi * (t / 2 - 12) / 24))
    root = math.sqrt(1 - w)
    expected = w / ((1 + 2 * math.cos(math.radians(view)) * root) * (1 + 2 * math.cos(theta) * root))
    assert float(series.reflectance[t, b, 1, 0]) == pytest.approx(expected, rel=1e-5)
    assert float(series.incidence[t]) == pytest.approx(math.degrees(theta), abs=1e-3)


def test_hapke_is_daily_and_of_the_papers_size():
    series = xs.simulate.hapke((4, 5), seed=1)
    assert series.reflectance.shape == (960, 144, 4, 5)
    assert series.reflectance.dtype == np.float32
    np.testing.assert_allclose(series.reflectance[:48], series.reflectance[48:96], rtol=1e-5)
    assert 0 < series.reflectance.min() < series.reflectance.max() < 1
    assert set(series.material.values.ravel()) <= set(MATERIALS)
    step = abs(series.reflectance.diff("time")).max()
    assert step < 0.05
    noon = series.reflectance.sel(time="2020-06-02T12:00")
    assert (noon <= series.reflectance.sel(time="2020-06-02T00:00")).all()


def test_a_band_of_hapke_has_its_materials_red_edge():
    series = xs.simulate.hapke((6, 6), days=1, seed=1, bands=10)
    grass = series.reflectance.isel(time=0).where(series.material == "grass").mean(("y", "x"))
    assert grass.sel(band="B08") > 3 * grass.sel(band="B04")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"shape": (0, 2)}, "rows and columns"),
        ({"bands": 12}, "144"),
        ({"step_minutes": 0}, "step above 0"),
        ({"view": 90}, "between 0 and 80"),
        ({"seed": -2}, "4294967295"),
    ],
)
def test_hapke_refuses(change, says):
    with pytest.raises(XSentinelError, match=says):
        xs.simulate.hapke(**change)
