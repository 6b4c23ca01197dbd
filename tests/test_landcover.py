"""Land cover maps: equal dates of a season, indices, neighbourhoods, lazily and the same for any chunking; real data; the shell."""

from __future__ import annotations

from dataclasses import replace

import dask
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import xsentinel as xs
from tests.conftest import raise_if_dask_computes
from tests.cubes import make_cube
from tests.networks import TEN_BANDS
from tests.test_crops import save as save_crops
from xsentinel.batch.steps import Steps
from xsentinel.blocks.model import load_model, read_network, save_model
from xsentinel.classes import LabelClass
from xsentinel.cli import main
from xsentinel.models.card import Card, Channel, EqualDates, Periods
from xsentinel.models.networks import build_network
from xsentinel.seasons import at_equal_dates, prepare

CLASSES = (LabelClass(2, "Dense urban", "#a50f15"), LabelClass(5, "Water", "#2b83ba"), LabelClass(9, "Forest", "#1a9641"))
THIN = {"groups": 3, "pixel": [9, 6], "widths": [6, 8], "dropout": 0.4}
DATES = 6
INDICES = (Channel("NDVI", -0.2, 0.9), Channel("NDWI", -0.8, 0.8), Channel("brightness", 0.05, 0.4))


def save(folder, *, name="cover", network="fgunet", settings=None, extra=(), dates=DATES, equal=EqualDates(), resolution=20.0):  # noqa: B008
    channels = (*(Channel(b, 0.02, 0.45) for b in TEN_BANDS), *extra)
    settings = THIN if settings is None else settings
    card = Card(name, network, settings, channels, (), resolution, 1, 0, "Apache-2.0", dates, CLASSES, equal_dates=equal)
    torch.manual_seed(3)
    net = build_network(card)
    if hasattr(net, "head") and hasattr(net.head, "weight"):
        torch.nn.init.normal_(net.head.weight, 0, 3)
        with torch.no_grad():  # so that no class is everywhere
            net.head.bias -= net(torch.rand(1, card.n_in, 24, 24)).mean((0, 2, 3))
    return save_model(net, replace(card, stride=net.stride, radius=net.radius), folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save(tmp_path_factory.mktemp("landcover"))


def year(shape=(24, 21, 17), gaps=0.3, stored=False, seed=0):
    days = pd.date_range("2018-01-04", "2018-12-28", periods=shape[0]).normalize()
    return make_cube(shape, TEN_BANDS, gaps=gaps, stored=stored, seed=seed).assign_coords(time=days)


def at_dates(cube, n=DATES, first="2018-01-01"):
    """Fill gaps by numpy's own interpolation, pixel by pixel, at the middles of n parts of 365 days."""
    wanted = np.array([365 * (2 * k + 1) // (2 * n) for k in range(n)])
    own = (cube.time.values - np.datetime64(first)) / np.timedelta64(1, "D")
    out = {}
    for band in TEN_BANDS:
        series = cube[band].values.reshape(len(own), -1)
        filled = np.full((n, series.shape[1]), np.nan, np.float32)
        for p, one in enumerate(series.T):
            seen = np.isfinite(one)
            if seen.any():
                filled[:, p] = np.interp(wanted, own[seen], one[seen])
        out[band] = filled.reshape(n, *cube[band].shape[1:])
    return out


def twin(model, planes):
    """Run the module itself over the whole scene, (date × band, y, x), padded to its stride."""
    valid = np.isfinite(planes).all(0)
    lows = np.array([c.low for c in model.card.channels] * model.card.dates, np.float32)[:, None, None]
    highs = np.array([c.high for c in model.card.channels] * model.card.dates, np.float32)[:, None, None]
    x = np.where(valid, (planes - lows) / (highs - lows), 0).astype(np.float32)
    grown = [-n % model.card.stride for n in x.shape[1:]]
    x = np.pad(x, [(0, 0), (0, grown[0]), (0, grown[1])])
    with torch.no_grad():
        p = read_network(model)(torch.from_numpy(x)[None]).softmax(1)[0].numpy()
    return np.where(valid, p[:, : valid.shape[0], : valid.shape[1]], np.nan)


def test_maps_are_those_of_the_module_at_equal_dates(model):
    cube = year(gaps=0.6)
    for band in TEN_BANDS:
        cube[band][:, 3, 5] = np.nan  # never seen
    maps = cube.s2.landcover(model, probabilities=True)
    filled = at_dates(cube)
    p = twin(model, np.stack([filled[b][k] for k in range(DATES) for b in TEN_BANDS]))
    np.testing.assert_allclose(maps.probability.values, p, atol=2e-5)
    seen = np.isfinite(p[0])
    assert (~seen).sum() == 1
    codes = np.array([2, 5, 9])[np.nan_to_num(p).argmax(0)]
    assert (maps["class"].values == np.where(seen, codes, 0)).mean() > 0.99
    assert len(np.unique(maps["class"].values)) > 2
    assert not seen[3, 5]
    assert maps["class"].values[3, 5] == 0


def test_maps_carry_labels_and_provenance(model):
    cube = year((12, 9, 8))
    maps = cube.s2.landcover(model)
    assert list(maps) == ["class", "confidence", "margin", "entropy"]
    assert maps["class"].dtype == np.uint8
    assert maps["class"].attrs["flag_meanings"] == "Dense_urban Water Forest"
    assert maps["class"].attrs["flag_colors"] == "#a50f15 #2b83ba #1a9641"
    assert maps["class"].attrs["grid_mapping"] == "spatial_ref"
    assert maps.attrs["model"] == "cover"
    assert maps.attrs["weights_digest"].startswith("sha256:")
    assert maps.rio.crs == cube.rio.crs
    xr.testing.assert_equal(maps.x, cube.x)


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("samples", [0, 3])
@pytest.mark.parametrize("chunks", [{"time": 1, "y": 4, "x": 17}, {"time": 24, "y": 10, "x": 9}, {"time": 5, "y": 21, "x": 6}])
def test_lazy_maps_are_the_same(model, stored, samples, chunks):
    cube = year(stored=stored)
    eager = cube.s2.landcover(model, samples=samples, seed=1, probabilities=True)
    with raise_if_dask_computes():
        lazy = cube.chunk(chunks).s2.landcover(model, samples=samples, seed=1, probabilities=True)
    assert all(lazy[name].chunks is not None for name in ("class", "confidence", "probability"))
    done = lazy.compute()
    xr.testing.assert_allclose(done.drop_vars("class_code"), eager.drop_vars("class_code"), rtol=1e-5, atol=2e-5)
    assert done.class_code.dtype == eager.class_code.dtype


@settings(max_examples=12)
@given(rows=st.lists(st.integers(1, 60), min_size=1, max_size=3), columns=st.lists(st.integers(1, 60), min_size=1, max_size=3))
def test_any_chunking_gives_the_same(model, rows, columns):
    cube = year((DATES, sum(rows), sum(columns)), gaps=0.01)
    cube = cube.assign_coords(time=np.datetime64("2018-01-01", "ns") + np.array(EqualDates().days(DATES)) * np.timedelta64(1, "D"))
    whole = cube.s2.landcover(model)
    lazy = cube.chunk(y=tuple(rows), x=tuple(columns)).s2.landcover(model).compute(scheduler="synchronous")
    np.testing.assert_allclose(lazy.confidence, whole.confidence, atol=2e-5)
    np.testing.assert_array_equal(lazy["class"] == 0, whole["class"] == 0)


def test_a_cube_at_equal_dates_is_taken_as_it_is(model):
    cube = year((DATES, 9, 8), gaps=0.02, stored=True)
    days = np.datetime64("2019-01-01", "ns") + np.array(EqualDates().days(DATES)) * np.timedelta64(1, "D")
    there = cube.assign_coords(time=days + np.timedelta64(10, "h"))
    assert prepare(there, model.card) is there
    assert there.s2.landcover(model)["class"].values.any()
    assert prepare(there.isel(time=slice(1, None)), model.card) is not there


def test_single_dates_are_filled_lazily(model):
    cube = year(gaps=0.5)
    eager = at_equal_dates(cube, EqualDates(), DATES)
    assert eager.sizes["time"] == DATES
    assert [str(d)[:10] for d in eager.time.values[[0, -1]]] == ["2018-01-31", "2018-12-01"]
    expected = at_dates(cube)
    for band in TEN_BANDS:
        np.testing.assert_allclose(eager[band].values, expected[band], atol=1e-5)
    with raise_if_dask_computes():
        lazy = at_equal_dates(cube.chunk(time=3, y=5, x=6), EqualDates(), DATES)
    xr.testing.assert_allclose(lazy.compute(), eager)


@pytest.mark.parametrize("samples", [0, 3])
def test_bfloat16_changes_little(model, samples):
    cube = year((24, 40, 30), stored=True)
    fine, coarse = (cube.s2.landcover(model, samples=samples, precision=p, probabilities=True) for p in ("fp32", "bf16"))
    assert np.abs(coarse.probability - fine.probability).mean() < 0.01
    assert (coarse.class_code == fine.class_code).mean() > 0.97
    lazy = cube.chunk(y=17, x=11).s2.landcover(model, samples=samples, precision="bf16", probabilities=True)
    np.testing.assert_allclose(lazy.probability.compute(scheduler="synchronous"), coarse.probability, atol=0.03)


@given(st.integers(2, 60), st.integers(60, 800))
def test_laws_of_equal_dates(n, span):
    days = np.array(EqualDates(span_days=span).days(n))
    assert len(days) == n
    assert days[0] >= 0
    assert days[-1] < span
    steps = np.diff(days)
    assert steps.min() >= 1
    assert steps.max() - steps.min() <= 1
    assert abs(days[0] - (span - 1 - days[-1])) <= 1  # as far from the start as from the end


def test_seasons_and_dates_that_do_not_fit(model, tmp_path):
    cube = year()
    shifted = cube.assign_coords(time=cube.time.values + np.timedelta64(6, "D"))
    with pytest.raises(xs.TimeError, match=r"6 equal dates from 2018-01-01 to before 2019-01-01 are wanted.* to 2019-01-03; select dates"):
        shifted.s2.landcover(model)
    assert (shifted.s2.landcover(model, start="2018-01-01")["class"].values > 0).any()
    assert (shifted.s2.landcover(model, start="2018")["class"].values > 0).any()
    with pytest.raises(xs.TimeError, match=r"seasons begin on 01-01 here, and start is 2018-03-01; give '2018-01-01'"):
        cube.s2.landcover(model, start="2018-03-01")
    with pytest.raises(xs.TimeError, match=r"its 0 dates of that season span 0% of it; open more dates"):
        cube.s2.landcover(model, start="2020-01-01")
    with pytest.raises(xs.TimeError, match=r"its 1 dates of that season span 0% of it"):
        cube.isel(time=[4]).s2.landcover(model)
    with pytest.raises(xs.TimeError, match=r"its 10 dates of that season span 3[0-9]% of it"):
        cube.isel(time=slice(5, 15)).s2.landcover(model)
    with pytest.raises(xs.TimeError, match="'soon', which is no date"):
        cube.s2.landcover(model, start="soon")
    with pytest.raises(xs.TimeError, match="no dimension time"):
        cube.isel(time=0).s2.landcover(model)
    with pytest.raises(xs.BandError, match=r"a season of 6 equal dates needs .*; missing: B05"):
        cube.drop_vars("B05").s2.landcover(model)
    with pytest.raises(xs.XSentinelError, match="model lai-unet estimates lai and maps no land cover"):
        cube.s2.landcover("lai-unet")
    with pytest.raises(xs.GridError, match="trained at 10 m, and the pixels are 20"):
        cube.s2.landcover(save(tmp_path, resolution=10.0))


def test_seasons_from_another_month_on_and_leap_years():
    equal = EqualDates("10-01")
    times = pd.date_range("2019-10-03", "2020-09-30", periods=20).normalize()
    cube = make_cube((20, 3, 4), ["B04"]).assign_coords(time=times)
    assert str(at_equal_dates(cube, equal, 4).time.values[0])[:10] == "2019-11-15"
    leap = cube.assign_coords(time=pd.date_range("2020-01-01", "2020-12-31", periods=20).normalize())
    assert at_equal_dates(leap, EqualDates(), 4).sizes["time"] == 4  # the 366th day is of the same season
    half = EqualDates("05-01", 120, "linear", {"max_gap": 1.0})
    summer = cube.assign_coords(time=pd.date_range("2020-05-02", "2020-08-20", periods=20).normalize())
    gaps = [int(at_equal_dates(summer, e, 8).B04.isnull().sum()) for e in (half, replace(half, options={}))]
    assert gaps[0] > gaps[1]


def test_indices_are_computed_of_the_filled_bands(tmp_path):
    model = save(tmp_path, name="indices", extra=INDICES)
    cube = year((24, 9, 8), gaps=0.4, stored=True)
    there = prepare(cube, model.card)
    assert {"NDVI", "NDWI", "brightness"} <= set(there)
    np.testing.assert_allclose(there.NDVI, (there.B08 - there.B04) / (there.B08 + there.B04), atol=1e-6)
    np.testing.assert_allclose(there.NDWI, (there.B03 - there.B08) / (there.B03 + there.B08), atol=1e-6)
    np.testing.assert_allclose(there.brightness, sum(there[b] for b in TEN_BANDS) / 10, atol=1e-6)
    maps = cube.s2.landcover(model, probabilities=True)
    planes = np.stack([there[c.name].values[k] for k in range(DATES) for c in model.card.channels])
    np.testing.assert_allclose(maps.probability.values, twin(model, planes), atol=2e-5)
    own = there.assign(NDVI=there.NDVI * 0)
    assert prepare(own, model.card).NDVI.max() == 0  # what the cube has counts
    lazy = cube.chunk(y=5, x=5).s2.landcover(model, probabilities=True)
    np.testing.assert_allclose(lazy.probability.compute(), maps.probability, atol=2e-5)


def test_indices_of_composites(tmp_path):
    card = save(tmp_path, extra=INDICES[:1]).card
    monthly = replace(card, equal_dates=None, periods=Periods(), dates=12)
    there = prepare(year(gaps=0), monthly)
    assert there.sizes["time"] == 12
    assert there.NDVI.dims == ("time", "y", "x")


def test_any_classifier_runs_and_either_verb(model, tmp_path):
    crops = save_crops(tmp_path, bands=("B03", "B04", "B08"))
    cube = year((36, 8, 7), gaps=0.2)
    xr.testing.assert_identical(cube.s2.landcover(crops), cube.s2.crops(crops))
    xr.testing.assert_identical(cube.s2.landcover(model), cube.s2.crops(model))


@pytest.mark.parametrize(
    ("network", "settings"),
    [
        ("fgunet", {"groups": 2, "pixel": [], "widths": [5, 6, 7]}),
        ("fgunet", {"groups": 6, "pixel": [8, 5], "widths": []}),
        ("fglstm", {"pixel": [6, 5]}),
        ("tsfgunet", {"pixel": [5], "widths": [4, 5]}),
    ],
)
def test_other_networks_of_the_paper(tmp_path, network, settings):
    model = save(tmp_path, network=network, settings=settings)
    cube = year((24, 30, 26), gaps=0.2)
    filled = at_dates(cube)
    p = twin(model, np.stack([filled[b][k] for k in range(DATES) for b in TEN_BANDS]))
    lazy = cube.chunk(y=13, x=11).s2.landcover(model, probabilities=True)
    np.testing.assert_allclose(lazy.probability.compute(scheduler="synchronous"), p, atol=2e-5)


@pytest.mark.parametrize("field", [{"first": "02-29"}, {"first": "13-01"}, {"first": 4}, {"span_days": 5}, {"method": 3}])
def test_cards_that_make_no_sense(model, field):
    text = replace(model.card, equal_dates=replace(EqualDates(), **field)).to_json()
    with pytest.raises(xs.ReadError, match=r"its season begins at|make no sense"):
        Card.from_json(text)
    with pytest.raises(xs.ReadError, match="and periods too, make no sense"):
        Card.from_json(replace(model.card, periods=Periods()).to_json())


def test_equal_dates_travel_with_a_card(model):
    card = replace(model.card, equal_dates=EqualDates("03-01", 240, "whittaker", {"lmbda": 10.0}))
    assert Card.from_json(card.to_json()) == card
    assert Card.from_json(replace(card, equal_dates=None).to_json()).equal_dates is None
    assert load_model(model.path).card.equal_dates == EqualDates()


@pytest.mark.parametrize("settings", [THIN | {"groups": 4}, THIN | {"groups": 0}, THIN | {"pixel": [-1]}, THIN | {"dropout": 1}])
def test_settings_that_do_not_fit(model, settings):
    with pytest.raises(xs.ReadError, match="fgunet cannot be built with"):
        build_network(replace(model.card, settings=settings))


def test_a_job_knows_the_neighbourhood(model):
    cube = year((24, 9, 8))
    steps = Steps.of([{"mask_clouds": {}}, {"landcover": {"model": model.path}}, {"smooth": {"method": "majority"}}])
    assert (steps.halo(cube), steps.stride()) == (model.card.halo + 1, model.card.stride)
    assert (Steps.of([{"landcover": {"model": model.path}}])(cube)["class"].values > 0).any()


@pytest.fixture(scope="module")
def site(data):
    return xs.open(data / "cubes" / "worldcereal" / "00002806639B424A", resolution=10).s2.mask_clouds()


def test_a_real_site_from_end_to_end(site, tmp_path):
    """64 × 64 pixels in Belgium, 118 dates: to 33 dates, through the paper's layers, thinner."""
    settings = {"groups": 11, "pixel": [24, 12], "widths": [8, 12, 16]}
    model = save(tmp_path, settings=settings, extra=INDICES, dates=33, resolution=10.0)
    with raise_if_dask_computes():
        maps = site.s2.landcover(model, start="2018-01-01", probabilities=True)
    with dask.config.set(scheduler="synchronous"):
        maps = maps.compute()
        other = site.chunk(time=30, y=40, x=29).s2.landcover(model, start="2018-01-01", probabilities=True).compute()
    np.testing.assert_allclose(other.probability, maps.probability, atol=5e-5)
    assert (maps.class_code.values > 0).all()
    assert maps.rio.crs == site.rio.crs
    assert maps.sizes == {"y": 64, "x": 64, "class": 3}
    assert maps.class_code.attrs["flag_meanings"] == "Dense_urban Water Forest"
    assert float(maps.probability.std()) > 0.01
    with pytest.raises(xs.TimeError, match="select dates of one season, or give start='2018-01-01'"):
        site.s2.landcover(model)


def test_the_shell(site, tmp_path):
    model = save(tmp_path, resolution=10.0)
    part = site[list(TEN_BANDS)].sel(time="2018").isel(time=slice(None, None, 3), y=slice(24), x=slice(20)).compute()
    part.s2.to_zarr(tmp_path / "cube.zarr")
    run = CliRunner().invoke(
        main,
        ["landcover", str(tmp_path / "cube.zarr"), str(tmp_path / "map.tif"), "--model", model.path, "--start", "2018-01-01",
         "--smooth", "majority", "--keep-clouds", "--no-progress"],
    )  # fmt: skip
    assert run.exit_code == 0, run.output
    expected = part.s2.landcover(model, start="2018-01-01").s2.smooth("majority")
    written = xr.open_dataarray(tmp_path / "map.tif", engine="rasterio", mask_and_scale=False)
    np.testing.assert_array_equal(written.squeeze().values, expected["class"].values)
    failed = CliRunner().invoke(
        main, ["landcover", str(tmp_path / "cube.zarr"), str(tmp_path / "o.tif"), "--model", "lai-unet", "--keep-clouds"]
    )
    assert failed.exit_code == 2
    assert "maps no land cover" in failed.output
