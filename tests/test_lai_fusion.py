"""Leaf area under clouds: the product against its parts, at real sites and in simulated landscapes."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import torch
import xarray as xr
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import xsentinel as xs
from tests.conftest import raise_if_dask_computes
from tests.cubes import make_cube
from tests.networks import fusion_model
from tests.test_fusion_planes import layers
from xsentinel.blocks import predict
from xsentinel.blocks.fusion import Dates, Fuser, Past
from xsentinel.blocks.model import Model, read_network
from xsentinel.blocks.tiles import Tiling, map_trimming
from xsentinel.cli import main
from xsentinel.cube import Encoding
from xsentinel.fusion import gather
from xsentinel.models.planes import CARRIED, MASK_CLASSES, TRIPLET, FusionInputs
from xsentinel.triplets import season_of, triplets

NAMES = {"triplet": TRIPLET, "carried": CARRIED}
SITE = "00002806639B424A"


@pytest.fixture(scope="module", params=NAMES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return fusion_model(tmp_path_factory.mktemp("model"), NAMES[request.param], name=request.param)


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest) -> tuple[xr.Dataset, xr.Dataset]:
    """Forty real dates and their radar."""
    folder = request.getfixturevalue("data") / "cubes" / "worldcereal" / SITE
    cube = xs.open([next(folder.glob("S2_L2A_10m*")), next(folder.glob("S2_L2A_20m*"))], resolution=20, chunks=None)
    s1 = xs.open(next(folder.glob("S1*")), like=cube, chunks=None)
    return cube.isel(time=slice(20, 60)).load(), s1.load()


@pytest.fixture(scope="module")
def scene() -> tuple[xr.Dataset, xr.Dataset]:
    """A small simulated landscape in spring."""
    dates = xs.simulate.overpasses("2018-04-01", "2018-06-15")
    found = xs.simulate.landscape((44, 36), list(dates), seed=3, resolution=20)
    return found.cube.load(), found.radar.load()


def made_up() -> tuple[xr.Dataset, xr.Dataset]:
    """Six dates five days apart with gaps, and radar a day after each."""
    cube, rng = make_cube((6, 21, 17), gaps=0.2), np.random.default_rng(1)
    s1 = xr.Dataset({name: (("time", "y", "x"), rng.uniform(-22, -6, (6, 21, 17)).astype(np.float32)) for name in ("VV", "VH")})
    s1 = s1.assign_coords(time=cube.time.values + np.timedelta64(19, "h"), y=cube.y, x=cube.x)
    return cube, s1.rio.write_crs(cube.rio.crs)


def expected(cube: xr.Dataset, s1: xr.Dataset, model: Model) -> np.ndarray:
    """Run the module in double precision over the whole scene, date by date."""
    card = model.card
    seen = cube.s2.lai().lai
    given = gather(cube, seen, s1, card.fusion)
    past = Past([layer.values for layer in given.layers], given.dates, card.fusion)
    network = read_network(model).double()
    low, width = (np.array(v)[:, None, None] for v in ([c.low for c in card.channels], [c.high - c.low for c in card.channels]))
    out = given.layers[0].values.copy()
    for t in range(len(out)):
        planes = past.planes(t, card.bands)
        valid = np.isfinite(planes).all(0)
        season = np.stack([np.broadcast_to(s[t], valid.shape) for s in season_of(cube.time.values)])
        x = np.where(valid, (np.concatenate([planes, season]) - low) / width, 0)
        padded = np.pad(x, [(0, 0), *((0, -n % card.stride) for n in valid.shape)])
        with torch.no_grad():
            answer = network(torch.from_numpy(padded)[None])[0, 0].numpy()[: valid.shape[0], : valid.shape[1]].clip(0, 8)
        out[t] = np.where(np.isnan(out[t]) & valid, answer, out[t])
    return out


def check(cube: xr.Dataset, s1: xr.Dataset, model: Model) -> xr.Dataset:
    """Check the maps of a cube against the module and SL2P."""
    maps, seen = cube.s2.lai(model=model, s1=s1), cube.s2.lai().lai
    assert list(maps) == ["lai", "days_to_observation", "source"]
    clear = seen.notnull() & ~cube.SCL.isin([0, 1, 3, 8, 9, 10]) if "SCL" in cube else seen.notnull()
    np.testing.assert_array_equal(maps.source == 1, clear)
    np.testing.assert_array_equal(maps.lai.where(clear), seen.where(clear))
    np.testing.assert_allclose(maps.lai, expected(cube, s1, model), atol=2e-5)
    np.testing.assert_array_equal(maps.source == 2, maps.lai.notnull() & ~clear)
    np.testing.assert_array_equal(maps.days_to_observation == 0, clear)
    assert {v.dtype.name for v in maps.values()} == {"float32", "uint8"}
    return maps


def test_a_real_site(site: tuple[xr.Dataset, xr.Dataset], model: Model) -> None:
    maps = check(*site, model)
    share = np.bincount(maps.source.values.ravel(), minlength=3) / maps.source.size
    assert share[1] > 0.3
    assert share[2] > 0.2
    assert float(maps.lai.where(maps.source == 2).std()) > 0.05


def test_a_simulated_landscape(scene: tuple[xr.Dataset, xr.Dataset], model: Model) -> None:
    maps = check(*scene, model)
    assert int((maps.source == 2).sum()) > 500


def test_attributes(site: tuple[xr.Dataset, xr.Dataset], model: Model) -> None:
    maps = site[0].s2.lai(model=model, s1=site[1])
    assert maps.lai.attrs["standard_name"] == "leaf_area_index"
    assert maps.lai.attrs["units"] == "m2 m-2"
    assert maps.lai.attrs["ancillary_variables"] == "source days_to_observation"
    assert maps.lai.attrs["weights_digest"] == f"sha256:{model.card.digest}"
    assert maps.lai.attrs["coefficient_sets"] == "S2A_20m S2B_20m"
    assert "assumed" not in maps.lai.attrs
    assert maps.source.attrs["flag_meanings"] == "none observed fused"
    assert maps.source.attrs["flag_values"].tolist() == [0, 1, 2]
    assert maps.attrs["source"] == "Copernicus Sentinel-1 SAR and Sentinel-2 MSI"
    assert all(v.attrs["grid_mapping"] == "spatial_ref" for v in maps.values())
    apart = (maps.radar_time.values.astype("datetime64[D]") - maps.time.values.astype("datetime64[D]")) / np.timedelta64(1, "D")
    assert np.abs(apart).max() <= 3
    assert set(maps.radar_time.values) <= set(site[1].time.values)
    assert maps.rio.crs == site[0].rio.crs


def test_lazy_maps_are_the_same(site: tuple[xr.Dataset, xr.Dataset], model: Model) -> None:
    cube, s1 = site
    whole = cube.s2.lai(model=model, s1=s1, samples=2)
    with raise_if_dask_computes():
        lazy = cube.chunk({"time": 7, "y": 19, "x": 16}).s2.lai(model=model, s1=s1.chunk({"time": 11}), samples=2)
    assert all(v.chunks is not None for v in lazy.values())
    xr.testing.assert_allclose(lazy.compute(), whole, atol=1e-5)
    for name, values in lazy.items():
        assert values.attrs.keys() == whole[name].attrs.keys()
        assert values.dtype == whole[name].dtype
    again = cube.chunk({"time": 7, "y": 19, "x": 16}).s2.lai(model=model, s1=s1.chunk({"time": 11}), samples=2)
    assert lazy.lai.data.name == again.lai.data.name
    other = cube.chunk({"time": 7, "y": 19, "x": 16}).s2.lai(model=model, s1=s1.isel(time=slice(None, -70)).chunk(), samples=2)
    assert other.lai.data.name != lazy.lai.data.name


DAYS = np.array([0.0, 5, 10, 15, 20, 25])


def stack(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Give random layers (time, layer, y, x): cloud in patches, some radar missing."""
    rng = np.random.default_rng(seed)
    clear = np.kron(rng.uniform(size=(len(DAYS), 40, 40)) > 0.5, np.ones((1, 4, 4), bool))[:, : shape[0], : shape[1]]
    lai = np.where(clear, rng.uniform(0, 6, clear.shape), np.nan)
    classes = np.where(clear, rng.choice([0, 1, 3, 4, 5], clear.shape, p=[0.05, 0.1, 0.6, 0.2, 0.05]), rng.choice([0, 2], clear.shape))
    radar = np.where(rng.uniform(size=(2, *clear.shape)) > 0.02, rng.uniform(-25, -5, (2, *clear.shape)), np.nan)
    return np.stack([lai, classes, *radar], 1).astype(np.float32)


def fuser(model: Model, **options: Any) -> Fuser:
    how = {"samples": 0} | options
    dates = Dates(DAYS, triplets(DAYS, model.card.fusion.max_gap_days))
    return Fuser(model, (Encoding(),) * len(model.card.bands), dates=dates, **how)


SEASON = [np.linspace(-0.5, 0.5, 6, dtype=np.float32).reshape(6, 1, 1, 1), np.full((6, 1, 1, 1), 0.8, np.float32)]


def run(one: Fuser, stored: Any) -> Any:
    card = one.model.card
    tiling = Tiling(np.float32, card.halo or 0, stride=card.stride, leading=(-1, one.n_planes))
    return map_trimming(one, [stored, *SEASON], tiling)


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A network of a radius of 18 and a stride of 2."""
    sizes = {"widths": [6, 8], "decoder_widths": [8, 9], "dropout": 0.3, "encoder_dropout": 0.3}
    return fusion_model(tmp_path_factory.mktemp("deep"), CARRIED, name="deep", settings=sizes)


CHUNKS = st.lists(st.integers(1, 60), min_size=1, max_size=3).map(tuple)


@settings(max_examples=12)
@given(rows=CHUNKS, columns=CHUNKS, samples=st.sampled_from([0, 3]), everywhere=st.booleans())
def test_any_tiles_give_the_same(deep: Model, rows: tuple[int, ...], columns: tuple[int, ...], samples: int, everywhere: bool) -> None:
    stored = stack((min(sum(rows), 160), min(sum(columns), 160)))
    one = fuser(deep, samples=samples, everywhere=everywhere)
    lazy = run(one, da.from_array(stored, chunks=(6, 4, max(rows), max(columns))))
    whole = run(one, stored)
    assert whole.shape == lazy.shape == (6, 3 if samples else 2, *stored.shape[2:])
    np.testing.assert_allclose(lazy.compute(scheduler="synchronous"), whole, atol=1e-5)


@pytest.mark.parametrize("side", [20, 57])
def test_windows_of_any_side_give_the_same(deep: Model, monkeypatch: pytest.MonkeyPatch, side: int) -> None:
    stored = stack((90, 70))
    stored[2:4, 0, :50] = 1  # windows that are not run
    whole = run(fuser(deep), stored)
    monkeypatch.setattr(predict, "WINDOW", side)
    np.testing.assert_allclose(run(fuser(deep, n_threads=3), stored), whole, atol=1e-5)


def test_a_halo_that_is_too_small_is_seen(deep: Model) -> None:
    stored, one = stack((90, 70)), fuser(deep)
    assert (deep.card.radius, deep.card.halo) == (17, 18)
    short = Tiling(np.float32, deep.card.halo - 10, stride=2, leading=(-1, 2))
    lazy = map_trimming(one, [da.from_array(stored, chunks=(6, 4, 30, 30)), *SEASON], short)
    assert np.nanmax(np.abs(lazy.compute() - run(one, stored))) > 1e-5


def test_a_fuser_is_pickled_and_told_apart(deep: Model) -> None:
    one, stored = fuser(deep), stack((12, 12))
    np.testing.assert_array_equal(run(pickle.loads(pickle.dumps(one)), stored), run(one, stored))
    others = [fuser(deep, everywhere=True), fuser(deep, samples=2), Fuser(deep, one.encodings, dates=Dates(DAYS + 1, one.dates.before))]
    tokens = {str(f.__dask_tokenize__()) for f in (one, fuser(deep), *others)}
    assert len(tokens) == 4


def test_everywhere_the_network_is_not_told_of_the_date(deep: Model) -> None:
    stored = stack((20, 24))
    answers = run(fuser(deep, everywhere=True), stored)
    changed = stored.copy()
    known = ~np.isnan(changed[-1, 0])
    changed[-1, 0][known] += 2
    again = run(fuser(deep, everywhere=True), changed)
    np.testing.assert_array_equal(again[-1, 0], answers[-1, 0])
    assert np.isfinite(answers[-1, 0][known]).mean() > 0.9
    np.testing.assert_array_equal(run(fuser(deep), changed)[-1, 0][known], changed[-1, 0][known])


def test_nothing_after_a_date_is_used(site: tuple[xr.Dataset, xr.Dataset], model: Model) -> None:
    cube, s1 = site
    whole = cube.s2.lai(model=model, s1=s1)
    part = cube.isel(time=slice(0, 25)).s2.lai(model=model, s1=s1)
    xr.testing.assert_identical(part, whole.isel(time=slice(0, 25)).assign_attrs(part.attrs))


def test_without_radar_only_what_was_seen(site: tuple[xr.Dataset, xr.Dataset], model: Model) -> None:
    cube, s1 = site
    day = cube.time.values[30].astype("datetime64[D]")
    far = s1.sel(time=np.abs((s1.time.values.astype("datetime64[D]") - day).astype(int)) > 5)
    maps = cube.s2.lai(model=model, s1=far)
    assert np.isnat(maps.radar_time.values[30])
    assert maps.lai.attrs["dates_without_s1"] == int(np.isnat(maps.radar_time.values).sum()) > 0
    assert set(np.unique(maps.source[30])) <= {0, 1}
    whole = cube.s2.lai(model=model, s1=s1)
    np.testing.assert_array_equal(maps.source == 1, whole.source == 1)
    np.testing.assert_array_equal(maps.lai.where(maps.source == 1), whole.lai.where(whole.source == 1))


def test_samples_and_intervals(site: tuple[xr.Dataset, xr.Dataset], model: Model) -> None:
    cube, s1 = site
    maps = cube.s2.lai(model=model, s1=s1, samples=5, confidence=0.9)
    assert list(maps) == ["lai", "lai_std", "lai_lower", "lai_upper", "days_to_observation", "source"]
    assert maps.lai.attrs["ancillary_variables"] == "source days_to_observation lai_std lai_lower lai_upper"
    fused = maps.source == 2
    for name in ("lai_std", "lai_lower", "lai_upper"):
        np.testing.assert_array_equal(maps[name].notnull(), fused)
    assert bool(((maps.lai_lower <= maps.lai) & (maps.lai <= maps.lai_upper)).where(fused, True).all())
    assert float(maps.lai_std.where(fused).mean()) > 0
    seen = cube.s2.lai(model=model, s1=s1)
    np.testing.assert_array_equal(maps.lai.where(maps.source == 1), seen.lai.where(seen.source == 1))


def test_no_predictive_interval_without_calibration(tmp_path: Path) -> None:
    raw = fusion_model(tmp_path, CARRIED, calibration=None)
    cube, s1 = made_up()
    with pytest.raises(xs.XSentinelError, match="model fused was not calibrated"):
        cube.s2.lai(model=raw, s1=s1, samples=2)
    assert "lai_lower" in cube.s2.lai(model=raw, s1=s1, samples=2, interval="mean")


def test_as_many_clear_dates_as_the_card_asks_for(tmp_path: Path) -> None:
    cube, s1 = made_up()
    few, many = (fusion_model(tmp_path, CARRIED, FusionInputs(least_observations=n), name=f"n{n}") for n in (0, 2))
    first = cube.s2.lai(model=few, s1=s1)
    assert int((first.source == 2)[0].sum()) > 50
    strict = cube.s2.lai(model=many, s1=s1)
    assert int((strict.source == 2)[:2].sum()) == 0
    assert int((strict.source == 2)[2:].sum()) > 50


def test_classes_of_the_mask(model: Model) -> None:
    cube, s1 = made_up()
    scl = np.arange(6 * 21 * 17).reshape(6, 21, 17) % 12
    given = gather(cube.assign(SCL=(("time", "y", "x"), scl.astype(np.uint8))), cube.s2.lai().lai, s1, FusionInputs())
    known, classes = (layer.values for layer in given.layers[:2])
    there = cube.s2.lai().lai.notnull().values
    np.testing.assert_array_equal(np.isfinite(known), there & ~np.isin(scl, [0, 1, 3, 8, 9, 10]))
    names = {2: "dark_area", 3: "cloud_shadow", 4: "vegetation", 5: "not_vegetated", 6: "water"}
    for value in range(12):
        code = MASK_CLASSES.index(names.get(value, "hidden"))
        at = classes[(scl == value) & (there | (value == 3))]
        assert (at == code).all()
        assert at.size
    assert (classes[~there & (scl != 3)] == 0).all()


def test_a_cube_without_scene_classes_says_what_is_assumed(model: Model) -> None:
    cube, s1 = made_up()
    maps = check(cube, s1, model)
    assert maps.lai.attrs["assumed"] == "class of the mask = vegetation where there is leaf area: the cube has no SCL"


def test_dates_in_any_order(model: Model) -> None:
    cube, s1 = made_up()
    order = [3, 0, 5, 2, 1, 4]
    maps = cube.isel(time=order).s2.lai(model=model, s1=s1.isel(time=order))
    xr.testing.assert_identical(maps, cube.s2.lai(model=model, s1=s1))


def test_a_cube_stored_as_counts(model: Model) -> None:
    (cube, s1), counts = made_up(), make_cube((6, 21, 17), gaps=0.2, stored=True)
    xr.testing.assert_allclose(counts.s2.lai(model=model, s1=s1), cube.s2.lai(model=model, s1=s1), atol=1e-4)


def test_a_mask_that_was_grown_before(site: tuple[xr.Dataset, xr.Dataset], model: Model) -> None:
    cube, s1 = site
    grown = cube.s2.mask_clouds(dilate=60)
    maps, before = grown.s2.lai(model=model, s1=s1), cube.s2.lai(model=model, s1=s1)
    np.testing.assert_allclose(maps.lai, expected(grown, s1, model), atol=2e-5)
    lost = (before.source == 1) & (maps.source != 1)
    assert int(lost.sum()) > 300
    np.testing.assert_array_equal(maps.source == 1, grown.s2.lai().lai.notnull())


def test_radar_stored_as_integers(model: Model) -> None:
    cube, s1 = made_up()
    rounded = (s1 * 100).round()
    attrs = {"scale_factor": 0.01, "add_offset": 0.0, "_FillValue": np.int16(0)}
    packed = s1.assign({name: band.fillna(0).astype(np.int16).assign_attrs(attrs) for name, band in rounded.items()})
    want = cube.s2.lai(model=model, s1=(rounded * np.float32(0.01)).astype(np.float32))
    xr.testing.assert_allclose(cube.s2.lai(model=model, s1=packed), want, atol=1e-4)


def edited(edit: Callable[[xr.Dataset], Any]) -> Callable[[], Any]:
    return lambda: edit(made_up()[1])


BAD_RADAR = {
    "missing VH": (edited(lambda s: s.drop_vars("VH")), xs.BandError, "the radar, s1, needs VV, VH; missing: VH; the dataset has VV"),
    "not a dataset": (edited(lambda s: s.VV), xs.XSentinelError, "s1 is a DataArray; give a Dataset with VV and VH"),
    "other size": (edited(lambda s: s.isel(x=slice(1, None))), xs.GridError, r"s1 \(21 × 16\) and the cube \(21 × 17\) differ in size"),
    "shifted": (
        edited(lambda s: s.assign_coords(x=s.x + 10)),
        xs.GridError,
        "x of s1 runs from 600020.0 .* that of the cube from 600010.0",
    ),
    "other CRS": (
        edited(lambda s: s.rio.write_crs("EPSG:32631")),
        xs.GridError,
        "s1 is in EPSG:32631 and the cube in EPSG:32632; bring it there",
    ),
    "order of dims": (edited(lambda s: s.transpose("y", "x", "time")), xs.GridError, r"a cube has \(time, y, x\) in this order"),
    "power": (edited(lambda s: 10 ** (s / 10)), xs.UnitsError, "VV lies between .* decibels of most ground are below 0; if this is power"),
    "power by its units": (
        edited(lambda s: s.assign(VV=s.VV.assign_attrs(units="1"))),
        xs.UnitsError,
        "VV of s1 is power by its attributes; give decibels",
    ),
    "other year": (
        edited(lambda s: s.assign_coords(time=s.time + np.timedelta64(365, "D"))),
        xs.TimeError,
        "no date of s1 is within 3 days of one of the cube .*cube from 2019-04-01 to 2019-04-26 and s1 from 2020-04-01 to 2020-04-26",
    ),
    "no time": (edited(lambda s: s.isel(time=0, drop=True)), xs.TimeError, "s1 has no dimension time with a coordinate"),
    "times twice": (edited(lambda s: s.isel(time=[0, 0, 1])), xs.TimeError, "stand more than once"),
    "nothing": (lambda: None, xs.XSentinelError, "sees radar where clouds hide the ground; give it: lai"),
}


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("what", BAD_RADAR)
def test_bad_radar_is_named(model: Model, what: str, chunked: bool) -> None:
    spoil, error, message = BAD_RADAR[what]
    cube, s1 = made_up()[0], spoil()
    if chunked and s1 is not None:
        cube, s1 = cube.chunk(), s1.chunk()
    with pytest.raises(error, match=message):
        cube.s2.lai(model=model, s1=s1).compute()


def test_bad_cubes_are_named(model: Model, tmp_path: Path) -> None:
    cube, s1 = made_up()
    with pytest.raises(xs.TimeError, match="needs dates before each; the cube has no dimension time"):
        cube.isel(time=0).s2.lai(model=model, s1=s1)
    half = {"y": cube.y.values[0] - 10 * np.arange(21), "x": cube.x.values[0] + 10 * np.arange(17)}
    with pytest.raises(xs.GridError, match="was trained at 20 m, and the pixels are 10 × 10"):
        cube.assign_coords(half).s2.lai(model=model, s1=s1.assign_coords(half))
    with pytest.raises(xs.GeometryError, match="the dataset has no sza"):
        cube.drop_vars("sza").s2.lai(model=model, s1=s1)
    with pytest.raises(xs.XSentinelError, match="s1 cannot be given here: SL2P gives one answer"):
        cube.s2.lai(s1=s1)
    with pytest.raises(
        xs.XSentinelError, match=r"s1 cannot be given here: a network takes the inputs of its card.*or for s1 model='fusion'"
    ):
        cube.s2.lai(model="unet", s1=s1)


def test_the_shell_gives_what_python_gives(tmp_path: Path, model: Model) -> None:
    cube, s1 = made_up()
    cube.s2.to_zarr(tmp_path / "cube.zarr")
    s1.s2.to_zarr(tmp_path / "s1.zarr")
    out = tmp_path / "lai.zarr"
    words = ["lai", tmp_path / "cube.zarr", out, "--model", model.path, "--s1", tmp_path / "s1.zarr", "--no-progress"]
    result = CliRunner().invoke(main, [str(w) for w in words])
    assert result.exit_code == 0, result.output
    got, want = xs.open(out, chunks=None), cube.s2.lai(model=model, s1=s1)
    for name in want:
        np.testing.assert_allclose(got[name], want[name], atol=1e-5)
    lacking = CliRunner().invoke(main, [str(w) for w in words[:5]])
    assert lacking.exit_code == 2
    assert "sees radar where clouds hide the ground" in " ".join(lacking.output.split())


def test_a_large_job_takes_the_lazy_maps(tmp_path: Path, model: Model) -> None:
    cube, s1 = made_up()
    maps = cube.chunk({"y": 8}).s2.lai(model=model, s1=s1)
    xs.run(maps, tmp_path / "out.zarr", block=16, progress=False)
    want = cube.s2.lai(model=model, s1=s1)
    got = xs.open(tmp_path / "out.zarr", chunks=None)
    np.testing.assert_allclose(got.lai, want.lai, atol=1e-5)
    np.testing.assert_array_equal(got.source, want.source)
    with pytest.raises(xs.XSentinelError, match=r"which a step cannot be given; give xsentinel\.run the lazy maps"):
        xs.run([{"lai": {"model": model.path}}], tmp_path / "steps.zarr", source=cube, progress=False)


def test_the_layers_of_the_test_of_planes_are_those_of_a_fuser() -> None:
    assert layers().shape[0] == stack((8, 8)).shape[1] == 4
