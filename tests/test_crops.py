"""Crop maps: the engine over series, periods, gaps, classes and their doubt; lazily and the same for any chunking."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import xarray as xr

import xsentinel as xs
from tests.conftest import raise_if_dask_computes
from tests.cubes import make_cube
from xsentinel.blocks.decide import decide
from xsentinel.blocks.model import read_network, save_model
from xsentinel.classes import LabelClass
from xsentinel.models.card import Card, Channel, Periods
from xsentinel.models.networks import build_network
from xsentinel.seasons import in_periods

BANDS = ("B03", "B04", "B05", "B06", "B07", "B8A", "B11", "B12")
CLASSES = (LabelClass(3, "Winter wheat", "#e8c66a"), LabelClass(7, "Maize", "#f2a000"), LabelClass(200, "Sugar beet", "#c05080"))
LTAE = {"width": 16, "heads": 4, "keys": 4, "dense": 12, "dropout": 0.4}


def save(folder, *, dates=12, least=6, periods=Periods(), network="ltae", settings=None, bands=BANDS, name="test"):  # noqa: B008
    channels = tuple(Channel(b, 0.1, 0.3) for b in bands)
    settings = LTAE if settings is None else settings
    card = Card(name, network, settings, channels, (), 20.0, 1, 0, "Apache-2.0", dates, CLASSES, least, periods)
    torch.manual_seed(3)
    net = build_network(card)
    torch.nn.init.normal_(net.head.weight, 0, 2)
    return save_model(net, card, folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save(tmp_path_factory.mktemp("crops"))


def monthly(shape=(12, 9, 11), gaps=0.15, stored=False, seed=0, bands=BANDS):
    times = np.array([f"2018-{m:02}-01" for m in range(1, 13)], "datetime64[ns]")[: shape[0]]
    return make_cube(shape, bands, gaps=gaps, stored=stored, seed=seed).assign_coords(time=times)


def twin(model, cube):
    """Run the module itself over each pixel's series."""
    card = model.card
    values = np.stack([cube[b].values for b in card.bands], 1).transpose(2, 3, 0, 1)  # y, x, date, band
    seen = np.isfinite(values).all(-1, keepdims=True)
    x = np.where(seen, (values - 0.1) / 0.2, 0).astype(np.float32)
    series = torch.from_numpy(np.concatenate([x, seen], -1).astype(np.float32)).reshape(-1, card.dates, card.planes)
    network = read_network(model)
    with torch.no_grad():
        p = network.classify(series, [None] * len(network.sites)).softmax(1).numpy().reshape(*values.shape[:2], -1)
    enough = seen[..., 0].sum(-1) >= card.least_dates
    return np.where(enough[..., None], p, np.nan), enough


def test_maps_are_those_of_the_module(model):
    cube = monthly(gaps=0.1)
    maps = cube.s2.crops(model, probabilities=True)
    p, enough = twin(model, cube)
    assert 0.2 < enough.mean() < 1
    assert {3, 7, 200} >= set(np.unique(maps["class"].values[enough]).tolist())
    ordered = np.sort(p, -1)
    np.testing.assert_allclose(maps.probability.transpose("y", "x", "class").values, p, atol=1e-5)
    np.testing.assert_allclose(maps.confidence.values, ordered[..., -1], atol=1e-5)
    np.testing.assert_allclose(maps.margin.values, ordered[..., -1] - ordered[..., -2], atol=1e-5)
    np.testing.assert_allclose(maps.entropy.values, -(p * np.log(p)).sum(-1) / np.log(3), atol=1e-5)
    codes = np.array([3, 7, 200])[np.nan_to_num(p).argmax(-1)]
    np.testing.assert_array_equal(maps["class"].values, np.where(enough, codes, 0))


def test_maps_carry_labels_and_provenance(model):
    cube = monthly()
    maps = cube.s2.crops(model)
    assert list(maps) == ["class", "confidence", "margin", "entropy"]
    assert maps["class"].dtype == np.uint8
    assert maps["class"].dims == ("y", "x")
    attrs = maps["class"].attrs
    assert attrs["flag_values"].tolist() == [3, 7, 200]
    assert attrs["flag_meanings"] == "Winter_wheat Maize Sugar_beet"
    assert attrs["flag_colors"].split()[1] == "#f2a000"
    assert attrs["grid_mapping"] == "spatial_ref"
    assert attrs["model"] == "test"
    assert attrs["weights_digest"].startswith("sha256:")
    assert maps.rio.crs == cube.rio.crs
    xr.testing.assert_equal(maps.x, cube.x)
    assert "class" in cube.s2.crops(model, probabilities=True)
    assert cube.s2.crops(model, probabilities=True).class_code.values.tolist() == [3, 7, 200]


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("samples", [0, 3])
@pytest.mark.parametrize("chunks", [{"time": 1, "y": 4, "x": 3}, {"time": 12, "y": 9, "x": 5}, {"time": 5, "y": 2, "x": 11}])
def test_lazy_maps_are_the_same(model, stored, samples, chunks):
    cube = monthly(stored=stored)
    eager = cube.s2.crops(model, samples=samples, seed=1, probabilities=True)
    with raise_if_dask_computes():
        lazy = cube.chunk(chunks).s2.crops(model, samples=samples, seed=1, probabilities=True)
    assert all(lazy[name].chunks is not None for name in ("class", "confidence", "probability"))
    assert ("mutual_information" in lazy) is bool(samples)
    xr.testing.assert_allclose(lazy.compute(), eager, rtol=1e-5, atol=1e-6)
    assert lazy["class"].dtype == eager["class"].dtype


def test_samples_average_probabilities(model):
    cube = monthly((12, 6, 5))
    maps = cube.s2.crops(model, samples=20, seed=0, probabilities=True)
    again, other = (cube.s2.crops(model, samples=20, seed=s) for s in (0, 1))
    np.testing.assert_array_equal(maps.confidence.values, again.confidence.values)
    assert not np.array_equal(maps.confidence.values, other.confidence.values)
    seen = maps["class"].values > 0
    np.testing.assert_allclose(maps.probability.sum("class").values[seen], 1, atol=1e-5)
    assert (maps.mutual_information.values[seen] >= 0).all()
    assert (maps.mutual_information.values[seen] <= maps.entropy.values[seen] + 1e-6).all()
    assert maps.mutual_information.values[seen].max() > 0.01


def test_single_dates_become_composites(model):
    days = np.arange("2018-01-03", "2018-12-28", 9, "datetime64[D]").astype("datetime64[ns]")
    cube = make_cube((len(days), 8, 7), BANDS, gaps=0.5).assign_coords(time=days)
    direct = cube.s2.crops(model)
    xr.testing.assert_identical(direct, cube.s2.composite("MS").s2.crops(model))
    with raise_if_dask_computes():
        lazy = cube.chunk(time=4, y=5, x=4).s2.crops(model)
    xr.testing.assert_allclose(lazy.compute(), direct, rtol=1e-5, atol=1e-6)


def test_months_without_dates_stay_missing(model):
    whole = monthly(gaps=0)
    holes = whole.copy()
    for band in BANDS:
        holes[band][[0, 1, 7]] = np.nan
    part = whole.isel(time=[2, 3, 4, 5, 6, 8, 9, 10, 11])
    xr.testing.assert_allclose(part.s2.crops(model), holes.s2.crops(model))
    placed = in_periods(monthly(gaps=0.2, stored=True).isel(time=slice(2, None)), model.card)
    assert placed.sizes["time"] == 12
    assert placed.B04.dtype == np.uint16
    assert (placed.B04.values[:2] == 0).all()
    days = np.arange("2018-03-03", "2018-12-28", 9, "datetime64[D]").astype("datetime64[ns]")
    cube = make_cube((len(days), 8, 7), BANDS, gaps=0.5).assign_coords(time=days)
    composites = cube.s2.composite("MS")  # with n_obs, whole numbers without a scale
    assert composites.sizes["time"] == 10
    xr.testing.assert_identical(composites.s2.crops(model), cube.s2.crops(model))
    assert (in_periods(composites, model.card).n_obs.values[:2] == 0).all()


def test_all_cloudy_is_no_class(model):
    maps = (monthly() * np.nan).s2.crops(model)
    assert (maps["class"].values == 0).all()
    assert np.isnan(maps.confidence.values).all()


def test_a_year_from_september_on(model, tmp_path):
    autumn = save(tmp_path, periods=Periods(first_month=9), name="autumn")
    times = np.array([f"2017-{m:02}-01" for m in range(9, 13)] + [f"2018-{m:02}-01" for m in range(1, 9)], "datetime64[ns]")
    cube = monthly(gaps=0).assign_coords(time=times)
    assert (cube.s2.crops(autumn)["class"].values > 0).any()
    asked = r"takes 12 periods \(MS\); .*the cube runs from 2017-09-01 to 2018-08-01; .*give start='2018-01-01'"
    with pytest.raises(xs.TimeError, match=asked):
        cube.s2.crops(model)
    assert (cube.s2.crops(model, start="2018-01")["class"].values > 0).any()
    with pytest.raises(xs.TimeError, match="seasons begin in month 1 here, and start is 2018-03-01"):
        cube.s2.crops(model, start="2018-03")
    with pytest.raises(xs.TimeError, match=r"dates in 5 of the 12 periods from 2018-01-01 on, and model test needs 6"):
        cube.isel(time=slice(9)).s2.crops(model, start="2018-01")
    with pytest.raises(xs.TimeError, match="no date of the cube"):
        cube.s2.crops(model, start="2020-01")
    with pytest.raises(xs.TimeError, match="'soon', which is no date"):
        cube.s2.crops(model, start="soon")


def test_what_does_not_fit(model, tmp_path):
    with pytest.raises(xs.BandError, match="missing: B05"):
        monthly().drop_vars("B05").s2.crops(model)
    with pytest.raises(xs.TimeError, match="no dimension time"):
        monthly().isel(time=0).s2.crops(model)
    own = save(tmp_path / "own", periods=None, dates=7, least=3, name="own")
    with pytest.raises(xs.TimeError, match="takes 7 dates together and the cube has 12"):
        monthly().s2.crops(own)
    with pytest.raises(xs.TimeError, match="and no start"):
        monthly((7, 4, 4)).s2.crops(own, start="2018-01")
    assert (monthly((7, 4, 4)).s2.crops(own)["class"].values > 0).any()
    with pytest.raises(xs.XSentinelError, match="model lai-unet estimates lai and maps no crops"):
        monthly().s2.crops("lai-unet")
    with pytest.raises(xs.XSentinelError, match="model test estimates classes, not lai"):
        monthly().s2.lai(model=model)


def test_an_index_as_a_band(tmp_path):
    found = save(tmp_path, bands=("NDVI",), dates=5, least=2, periods=None, name="index")
    cube = monthly((5, 4, 6))
    values = (cube.B8A - cube.B04) / (cube.B8A + cube.B04)
    maps = cube.assign(NDVI=values.astype(np.float32)).s2.crops(found)
    assert (maps["class"].values > 0).any()
    with pytest.raises(xs.BandError, match="index NDVI needs B04, B08; missing: B08"):
        cube.s2.crops(found)


def test_decisions_against_numpy():
    rng = np.random.default_rng(0)
    logits = [torch.from_numpy(rng.normal(size=(2, 4, 3, 5)).astype(np.float32)) for _ in range(6)]
    planes = decide(iter(logits), sampled=True).numpy()
    each = np.stack([np.exp(x.numpy()) / np.exp(x.numpy()).sum(1, keepdims=True) for x in logits])
    p = each.mean(0)
    entropy = lambda q, axis: -(q * np.log(q)).sum(axis) / np.log(4)  # noqa: E731
    np.testing.assert_array_equal(planes[:, 0], p.argmax(1))
    np.testing.assert_allclose(planes[:, 1], p.max(1), rtol=1e-5)
    np.testing.assert_allclose(planes[:, 3], entropy(p, 1), rtol=1e-5)
    np.testing.assert_allclose(planes[:, 4], entropy(p, 1) - entropy(each, 2).mean(0), atol=1e-5)
    np.testing.assert_allclose(planes[:, 5:], p, rtol=1e-5)


def test_maps_are_written_and_read(model, tmp_path):
    maps = monthly().s2.crops(model)
    maps.s2.to_cog(tmp_path / "crops.tif")
    maps.s2.to_zarr(tmp_path / "crops.zarr")
    found = xr.open_zarr(tmp_path / "crops.zarr", consolidated=False, mask_and_scale=False)
    np.testing.assert_array_equal(found["class"].values, maps["class"].values)
    assert found["class"].attrs["flag_meanings"] == "Winter_wheat Maize Sugar_beet"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"least_dates": 0}, "at least 0 of 12 dates"),
        ({"least_dates": 13}, "at least 13 of 12 dates"),
        ({"classes": CLASSES[:1]}, r"codes of classes are \[3\]"),
        ({"classes": (CLASSES[0], LabelClass(3, "Rye", "#000000"))}, r"codes of classes are \[3, 3\]"),
        ({"classes": ()}, "outputs, stride, dates or resolution"),
    ],
)
def test_cards_that_make_no_sense(model, change, words):
    from dataclasses import replace

    with pytest.raises(xs.ReadError, match=words):
        Card.from_json(replace(model.card, **change).to_json())
    assert Card.from_json(model.card.to_json()) == model.card


def test_classes_beside_probabilities_are_drawn_too(model):
    maps = monthly(gaps=0).s2.crops(model, probabilities=True)
    assert "class" in maps.coords
    figure, axes = plt.subplots()
    maps.s2.plot.map("class", ax=axes)
    words = [text.get_text() for text in axes.get_legend().get_texts()]
    assert any("Winter wheat" in word for word in words)
    plt.close(figure)


def test_a_job_maps_and_smooths_crops_block_by_block(model, tmp_path):
    cube = monthly((12, 40, 36), gaps=0.02).chunk(y=16, x=16)
    steps = [{"crops": {"model": model.path}}, {"smooth": {"method": "majority", "size": 5}}]
    xs.run(steps, tmp_path / "crops.zarr", source=cube, block=16, progress=False)
    found = xr.open_zarr(tmp_path / "crops.zarr", consolidated=False, mask_and_scale=False)
    expected = cube.s2.crops(model).s2.smooth("majority", size=5).compute()
    np.testing.assert_array_equal(found["class"].values, expected["class"].values)
    np.testing.assert_allclose(found["confidence"].values, expected["confidence"].values, atol=1e-5)


def test_a_classifier_may_take_the_sun_as_well(tmp_path):
    channels = (*(Channel(b, 0.1, 0.3) for b in BANDS), Channel("cos_sza", 0.0, 1.0))
    card = Card("sun", "mlp", {"widths": [8], "dropout": 0.0}, channels, (), 20.0, 1, 0, "Apache-2.0", 3, CLASSES)
    torch.manual_seed(0)
    found = save_model(build_network(card), card, tmp_path)
    cube = monthly((3, 6, 5), gaps=0)
    low, high = (cube.assign_coords(sza=("time", np.full(3, sza, np.float32))).s2.crops(found) for sza in (20, 75))
    assert (low["class"].values > 0).all()
    assert not np.allclose(low.confidence, high.confidence)
    with raise_if_dask_computes():
        lazy = cube.assign_coords(sza=("time", np.full(3, 20, np.float32))).chunk(y=4, x=3).s2.crops(found)
    xr.testing.assert_allclose(lazy.compute(), low, rtol=1e-5, atol=1e-6)
