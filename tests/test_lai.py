"""`lai` by networks as a product: labels, laziness, intervals, bad input, the shipped models on real scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import xsentinel as xs
from tests.conftest import raise_if_dask_computes
from tests.cubes import make_cube
from tests.networks import CALIBRATION, TEN_BANDS, random_model
from xsentinel.blocks.model import Model
from xsentinel.kernels.scores import agreement
from xsentinel.models.card import Output


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return random_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def cube() -> xr.Dataset:
    return make_cube((3, 41, 37), TEN_BANDS)


def test_labels_and_provenance(model: Model, cube: xr.Dataset) -> None:
    before = cube.copy(deep=True)
    maps = cube.s2.lai(model=model, samples=4, seed=7)
    xr.testing.assert_identical(cube, before)
    assert list(maps) == ["lai", "lai_std", "lai_lower", "lai_upper"]
    assert {v.dtype for v in maps.data_vars.values()} == {np.dtype(np.float32)}
    assert maps.lai.dims == ("time", "y", "x")
    xr.testing.assert_identical(maps.coords.to_dataset().drop_attrs(deep=False), cube.coords.to_dataset())
    assert maps.rio.crs == cube.rio.crs
    attrs = maps.lai.attrs
    assert attrs["standard_name"] == "leaf_area_index"
    assert attrs["units"] == "m2 m-2"
    assert attrs["grid_mapping"] == "spatial_ref"
    assert attrs["ancillary_variables"] == "lai_std lai_lower lai_upper"
    said = {"model": "random", "weights_digest": f"sha256:{model.card.digest}", "samples": 4, "seed": 7, "precision": "fp32"}
    for holder in (maps, maps.lai, maps.lai_upper):
        assert holder.attrs.items() >= said.items()
        assert holder.attrs["xsentinel_version"] == xs.__version__
    assert maps.lai_std.attrs["standard_name"] == "leaf_area_index standard_error"
    assert maps.lai_lower.attrs["long_name"] == "lower end of the 95% interval that holds the answer of SL2P"
    assert maps.lai_lower.attrs["interval"] == "predictive"


def test_one_pass_gives_lai_alone(model: Model, cube: xr.Dataset) -> None:
    maps = cube.s2.lai(model=model)
    assert list(maps) == ["lai"]
    assert "samples" not in maps.attrs
    assert "ancillary_variables" not in maps.lai.attrs
    missing = np.isnan(np.stack([cube[b] for b in TEN_BANDS])).any(0)
    np.testing.assert_array_equal(np.isnan(maps.lai), missing)


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("chunks", [{"time": 1, "y": 20, "x": 13}, {"time": 3, "y": 41, "x": 37}, {"time": 2, "y": 7, "x": 30}])
def test_lazy_and_eager_agree(model: Model, stored: bool, chunks: dict[str, int]) -> None:
    cube = make_cube((3, 41, 37), TEN_BANDS, stored=stored)
    with raise_if_dask_computes():
        lazy = cube.chunk(chunks).s2.lai(model=model, samples=3)
    assert all(v.chunks for v in lazy.data_vars.values())
    whole = cube.s2.lai(model=model, samples=3)
    xr.testing.assert_allclose(lazy.compute(), whole, atol=1e-5)
    assert lazy.lai.attrs == whole.lai.attrs
    assert not any(isinstance(v.data, type(lazy.lai.data)) for v in whole.data_vars.values())


def test_stored_counts_and_reflectance_agree(model: Model) -> None:
    counts, floats = (make_cube((1, 30, 30), TEN_BANDS, stored=s) for s in (True, False))
    np.testing.assert_allclose(counts.s2.lai(model=model).lai, floats.s2.lai(model=model).lai, atol=1e-5)
    mixed = floats.assign(B02=counts.B02)
    np.testing.assert_allclose(mixed.s2.lai(model=model).lai, floats.s2.lai(model=model).lai, atol=1e-5)


def test_dates_are_independent_and_may_be_missing(model: Model, cube: xr.Dataset) -> None:
    maps = cube.s2.lai(model=model, samples=3)
    one = cube.isel(time=1).s2.lai(model=model, samples=3)
    assert one.lai.dims == ("y", "x")
    np.testing.assert_allclose(one.lai, maps.lai.isel(time=1), atol=1e-5)
    np.testing.assert_allclose(cube.isel(time=[2, 0]).s2.lai(model=model).lai[1], cube.s2.lai(model=model).lai[0], atol=1e-5)


def test_angles_of_each_pixel(model: Model, cube: xr.Dataset) -> None:
    full = cube.assign_coords({a: cube[a].broadcast_like(cube.B02) for a in ("sza", "vza", "raa")})
    np.testing.assert_allclose(full.s2.lai(model=model).lai, cube.s2.lai(model=model).lai, atol=1e-5)
    np.testing.assert_allclose(full.chunk({"y": 20, "x": 20}).s2.lai(model=model).lai, cube.s2.lai(model=model).lai, atol=1e-5)
    tilted = full.assign_coords(sza=full.sza + 20)
    assert abs(tilted.s2.lai(model=model).lai - cube.s2.lai(model=model).lai).max() > 1e-3


def test_angles_and_platform_may_be_given(model: Model, cube: xr.Dataset) -> None:
    bare = cube.drop_vars(["sza", "vza", "raa", "platform"])
    given = bare.s2.lai(model=model, angles={a: cube[a].values for a in ("sza", "vza", "raa")}, platform=list(cube.platform.values))
    np.testing.assert_array_equal(given.lai, cube.s2.lai(model=model).lai)


def test_what_the_cube_does_not_tell_is_said(model: Model, cube: xr.Dataset) -> None:
    maps = cube.drop_vars(["vza", "raa"]).s2.lai(model=model)
    assert maps.lai.attrs["assumed"] == "cos_vza = 0.996, cos_raa = 0: the cube does not tell"
    assert "assumed" not in cube.s2.lai(model=model).lai.attrs


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95])
def test_the_predictive_interval_is_its_formula(model: Model, cube: xr.Dataset, confidence: float) -> None:
    maps = cube.s2.lai(model=model, samples=5, confidence=confidence)
    q = np.interp(confidence, *zip(*CALIBRATION.quantiles, strict=True))
    half = q * np.sqrt(0.05**2 + (1.5 * maps.lai_std) ** 2 + (0.02 * maps.lai) ** 2)
    np.testing.assert_allclose(maps.lai_upper, (maps.lai + half).clip(0, 8), atol=1e-5)
    np.testing.assert_allclose(maps.lai_lower, (maps.lai - half).clip(0, 8), atol=1e-5)


@pytest.mark.parametrize(("samples", "t"), [(30, 2.045), (5, 2.776)])
def test_the_interval_of_the_mean_is_two_sided(model: Model, cube: xr.Dataset, samples: int, t: float) -> None:
    maps = cube.s2.lai(model=model, samples=samples, interval="mean")
    assert round(stats.t.ppf(0.975, samples - 1), 3) == t
    half = stats.t.ppf(0.975, samples - 1) * maps.lai_std / np.sqrt(samples)
    np.testing.assert_allclose(maps.lai_upper - maps.lai, half, atol=1e-5)
    assert maps.lai_upper.attrs["interval"] == "mean"
    assert "confidence interval of the mean" in maps.lai_upper.attrs["long_name"]


def without(*names: str) -> xr.Dataset:
    return make_cube((3, 21, 17), TEN_BANDS).drop_vars(names)


BAD_CUBES = {
    "missing bands": (lambda: without("B02", "B11"), xs.BandError, "model random needs B02, .*missing: B02, B11; the dataset has B03"),
    "no sun angle": (lambda: without("sza"), xs.GeometryError, r"the dataset has no sza \(sun zenith angle\)"),
    "no platform": (lambda: without("platform"), xs.GeometryError, "the dataset has no platform"),
    "other pixels": (
        lambda: make_cube((1, 20, 20), TEN_BANDS).isel(y=slice(None, None, 3)),
        xs.GridError,
        r"model random was trained at 20 m, and the pixels are 60 × 20 .*xsentinel.open\(..., resolution=20\)",
    ),
    "degrees": (
        lambda: without().assign_coords(x=7 + 2e-4 * np.arange(17), y=47 - 2e-4 * np.arange(21)),
        xs.GridError,
        "trained at 20 m, and the pixels are 0.0002 × 0.0002",
    ),
    "counts without scale": (lambda: without() * 10_000, xs.UnitsError, "B02 reaches .*reflectance is between 0 and 1"),
    "integers without scale": (
        lambda: make_cube((3, 21, 17), TEN_BANDS, stored=True).drop_attrs(),
        xs.UnitsError,
        "holds integers .* without scale_factor",
    ),
    "normalised before": (lambda: without().s2.normalise(), xs.UnitsError, "B02 is normalised already .*give it the reflectance"),
    "empty": (lambda: without().isel(x=slice(0, 0)), xs.GridError, "the cube is empty"),
    "order of dims": (lambda: without().transpose("y", "x", "time"), xs.GridError, r"a cube has \(time, y, x\) in this order"),
    "times twice": (lambda: without().isel(time=[0, 0, 1]), xs.TimeError, "stand more than once"),
}


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("what", BAD_CUBES)
def test_bad_cubes_are_named(model: Model, what: str, chunked: bool) -> None:
    spoil, error, message = BAD_CUBES[what]
    cube = spoil()
    with pytest.raises(error, match=message):
        (cube.chunk() if chunked else cube).s2.lai(model=model, samples=2).compute()


def test_too_few_dates(tmp_path: Path) -> None:
    model = random_model(tmp_path, name="three", dates=3)
    with pytest.raises(xs.TimeError, match=r"takes 3 dates together and the cube has 2; .*fill_gaps\(dates=...\)"):
        make_cube((2, 20, 20), TEN_BANDS).s2.lai(model=model)
    cube = make_cube((3, 40, 30), TEN_BANDS)
    maps = cube.s2.lai(model=model, samples=2)
    assert maps.lai.dims == ("y", "x")
    xr.testing.assert_allclose(cube.chunk({"time": 1, "y": 13, "x": 30}).s2.lai(model=model, samples=2).compute(), maps, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "unet9"}, "model 'unet9' is not known; the models for lai are 'sl2p', 'unet'"),
        (
            {"model": "sl2p", "samples": 30},
            "samples cannot be given here: SL2P gives one answer and its flags; leave out, or take model='unet'",
        ),
        ({"model": "unet", "sample": 5}, r"lai has no option 'sample' \(did you mean samples"),
        ({"model": "unet", "foo": 1}, "lai has no option 'foo'; it takes model"),
        ({"modle": "unet"}, r"lai has no option 'modle' \(did you mean model"),
        ({"model": "sl2p", "seed": 3}, "seed cannot be given here"),
        ({"model": "unet", "domain": "mask"}, "domain cannot be given here: a network takes the inputs of its card"),
        ({"model": "unet", "resolution": 20}, "resolution cannot be given here"),
        ({"model": "unet", "samples": 1}, "samples is 1; give 0 for one pass without dropout, or 2 or more"),
        ({"model": "unet", "samples": -3}, "samples is -3"),
        ({"model": "unet", "samples": 2, "seed": -1}, "seed is -1"),
        ({"model": "unet", "samples": 2, "confidence": 95}, "confidence is 95; it is a share between 0 and 1"),
        ({"model": "unet", "samples": 2, "confidence": 0.9999}, "confidence is 0.9999; model lai-unet was calibrated from 0.5 to 0.99"),
        ({"model": "unet", "interval": "both"}, "interval is 'both'; it is 'predictive'"),
        ({"model": "unet", "precision": "half"}, "precision is 'half'"),
        ({"model": "weights.pt"}, "weights.pt is not there: a model is a .safetensors file .*pickled weights"),
    ],
)
def test_bad_arguments_are_named(cube: xr.Dataset, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(xs.XSentinelError, match=message):
        cube.s2.lai(**arguments)


def test_a_model_of_something_else(tmp_path: Path, cube: xr.Dataset) -> None:
    model = random_model(tmp_path, name="height", outputs=(Output("height", "canopy height", "m"),))
    with pytest.raises(xs.XSentinelError, match="model height estimates height, not lai"):
        cube.s2.lai(model=model)


def test_a_model_without_calibration_has_the_interval_of_the_mean_only(tmp_path: Path, cube: xr.Dataset) -> None:
    model = random_model(tmp_path, name="raw", calibration=None)
    with pytest.raises(xs.XSentinelError, match=r"model raw was not calibrated.*interval='mean'"):
        cube.s2.lai(model=model, samples=2)
    assert "lai_upper" in cube.s2.lai(model=model, samples=2, interval="mean")


def test_the_shipped_model_answers_as_sl2p_does() -> None:
    cube = xs.sample("zurich", resolution=20)
    truth = cube.s2.lai()
    inside = truth.lai.where((truth.lai_flags & 32) == 0)
    found = agreement(inside.values, cube.s2.lai(model="unet").lai.values)
    assert found.correlation > 0.998
    assert found.r2 > 0.995
    assert found.distance < 0.05


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_coarser_numbers_keep_the_accuracy(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bfloat16 moves the scores by no more than 1e-3; computed here by whatever the processor has."""
    from xsentinel.blocks import predict

    monkeypatch.setattr("xsentinel.models.convolution.has_bf16_units", lambda: True)
    cube = xs.sample("zurich", resolution=20)
    truth = cube.s2.lai()
    inside = truth.lai.where((truth.lai_flags & 32) == 0).values
    maps = cube.s2.lai(model="unet", precision=precision)
    predict._frozen.cache_clear()
    assert maps.attrs["precision"] == precision
    exact, found = agreement(inside, cube.s2.lai(model="unet").lai.values), agreement(inside, maps.lai.values)
    assert abs(found.r2 - exact.r2) < 1e-3
    assert abs(found.distance - exact.distance) < 1e-3


def test_the_shipped_interval_holds_on_the_sample() -> None:
    cube = xs.sample("zurich", resolution=20)
    truth = cube.s2.lai()
    inside = truth.lai.where((truth.lai_flags & 32) == 0)
    maps = cube.s2.lai(model="unet", samples=30)
    held = ((inside >= maps.lai_lower) & (inside <= maps.lai_upper)).values[inside.notnull().values].mean()
    assert 0.9 < held <= 1
    assert float(maps.lai_std.mean()) > 0


def test_the_shipped_card_says_what_it_was_trained_on() -> None:
    card = xs.load_model("lai-unet").card
    assert card.licence == "Apache-2.0"
    assert {"teacher", "patches", "held out", "steps", "seed"} <= card.training.keys()
    assert card.scores
    assert card.calibration.coverage
