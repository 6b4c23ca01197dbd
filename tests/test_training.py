"""Training: patches, split, teacher, batches, calibration, the loop itself on a small real scene, and resumption."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

import xsentinel as xs
from tests.cubes import make_cube
from xsentinel.bands import TEN_BANDS
from xsentinel.models.card import Calibration
from xsentinel.training import LAI_PRESETS, evaluate_lai, train_lai
from xsentinel.training.augment import Augmentation, Augmenter
from xsentinel.training.batches import LaiBatches, channels_of, normalise, real_batches
from xsentinel.training.calibrate import HeldOut, calibrate, coverage
from xsentinel.training.patches import band_limits, collect, pixel_limits, split_by_place
from xsentinel.training.presets import find_preset
from xsentinel.training.spectra import read_spectra
from xsentinel.training.teacher import TEACHER_BANDS, in_range, label_lai

SMALL = replace(LAI_PRESETS["default"], steps=6, batch=2, patch=32)


@pytest.fixture(scope="module")
def cubes() -> dict[str, xr.Dataset]:
    scene = xs.sample("zurich", resolution=20)
    return {"zurich/west": scene.isel(x=slice(0, 120)), "zurich/east": scene.isel(x=slice(120, None))}


@pytest.fixture(scope="module")
def patches(cubes: dict[str, xr.Dataset]) -> list:
    return collect(cubes, TEN_BANDS, 32)


def test_patches_are_pieces_of_the_cubes(cubes: dict[str, xr.Dataset], patches: list) -> None:
    assert {p.source for p in patches} == {"zurich"}
    for patch in patches[:3]:
        name, _, corner = patch.place.rpartition("/")
        y, x = map(int, corner.split("-"))
        expected = cubes[name].isel(time=0, y=slice(y, y + 32), x=slice(x, x + 32)).to_dataarray("band").sel(band=list(TEN_BANDS))
        np.testing.assert_array_equal(patch.bands, expected)
        np.testing.assert_allclose(patch.cosines, np.cos(np.deg2rad([5, 27, 100])), atol=1e-5)
        assert patch.is_s2b is False
    assert len({p.place for p in patches}) == len(patches) == len(collect(cubes, TEN_BANDS, 32, seed=5))
    assert len(collect(cubes, TEN_BANDS, 32, limit=3)) == 3
    lazy = {name: cube.chunk({"x": 50}) for name, cube in cubes.items()}
    assert [p.place for p in collect(lazy, TEN_BANDS, 32)] == [p.place for p in patches]


def test_stored_counts_become_the_same_patches() -> None:
    counts, floats = ({"a": make_cube((1, 32, 32), TEN_BANDS, stored=s, gaps=0.01)} for s in (True, False))
    np.testing.assert_allclose(collect(counts, TEN_BANDS, 32)[0].bands, collect(floats, TEN_BANDS, 32)[0].bands, atol=1e-6)


def test_what_shows_nothing_is_no_patch() -> None:
    with pytest.raises(xs.XSentinelError, match="none of 1 patches of 1 cubes shows 30%"):
        collect({"a": make_cube((1, 32, 32), TEN_BANDS, gaps=0.99)}, TEN_BANDS, 32)
    with pytest.raises(xs.BandError, match=r"training needs .*missing: B02, B08"):
        collect({"a": make_cube((1, 32, 32))}, TEN_BANDS, 32)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.7])
def test_no_place_is_on_both_sides(patches: list, share: float) -> None:
    train, held = split_by_place(patches, share)
    assert len(train) + len(held) == len(patches)
    assert held
    assert not {p.place for p in train} & {p.place for p in held}
    assert [p.place for p in split_by_place(patches, share)[1]] == [p.place for p in held]
    with pytest.raises(xs.XSentinelError, match="all patches are of one place"):
        split_by_place(patches[:1], share)


def test_limits_are_those_of_the_paper(patches: list) -> None:
    stack = [np.nanpercentile(p.bands[3], (2, 98)) for p in patches]
    low, high = band_limits(patches)[3]
    assert low == pytest.approx(min(s[0] for s in stack))
    assert high == pytest.approx(max(s[1] for s in stack))


def test_limits_by_pixels_leave_clouds_out(patches: list) -> None:
    names = list(TEN_BANDS)
    limits = pixel_limits(patches, lambda bands: in_range(bands, names))
    assert all(0 < low < high < 0.8 for low, high in limits)
    cube = xs.sample("zurich", resolution=20)
    truth = cube.s2.lai()
    inside = cube.B04.where((truth.lai_flags & 32) == 0).values
    low, high = limits[names.index("B04")]
    assert np.nanmean(inside < low) == pytest.approx(0.02, abs=0.01)
    assert np.nanmean(inside > high) == pytest.approx(0.02, abs=0.01)
    assert high < band_limits(patches)[names.index("B04")][1]


def test_the_teacher_is_sl2p() -> None:
    cube = make_cube((3, 20, 20), gaps=0.05)
    bands = np.stack([cube[b].values for b in TEACHER_BANDS], 1)
    cosines = np.cos(np.deg2rad(np.stack([cube[a].values for a in ("vza", "sza", "raa")], 1))).astype(np.float32)
    lai, flags = label_lai(bands, cosines, (cube.platform != "S2A").values)
    maps = cube.s2.lai()
    np.testing.assert_allclose(lai, maps.lai, atol=1e-5)
    assert (flags != maps.lai_flags.values).mean() < 1e-3  # folding angles into the bias may move a value across an edge


def test_augmented_patches_are_reflectance_of_many_kinds(patches: list) -> None:
    augmenter = Augmenter(patches, 48, Augmentation(), spectra=np.full((3, 10), 0.2, np.float32))
    drawn = [augmenter.draw(np.random.default_rng(i)) for i in range(20)]
    assert {d.shape for d in drawn} == {(10, 48, 48)}
    assert {d.dtype for d in drawn} == {np.dtype(np.float32)}
    values = np.concatenate([d[np.isfinite(d)] for d in drawn])
    assert values.min() >= 1e-4
    assert values.max() < 10
    assert 0 < np.mean([np.isnan(d).any() for d in drawn]) < 1
    assert all((np.isnan(d).any(0) == np.isnan(d).all(0)).all() for d in drawn)
    np.testing.assert_array_equal(augmenter.draw(np.random.default_rng(3)), drawn[3])
    cosines = augmenter.draw_angles(np.random.default_rng(0), 1000)
    assert np.rad2deg(np.arccos(cosines[:, 1].min())) < 78.1
    assert cosines[:, 0].min() > 0.97


def test_without_augmentation_patches_are_real(patches: list) -> None:
    preset = replace(LAI_PRESETS["paper"], patch=32, batch=3)
    rows = LaiBatches(patches, channels_of(preset, band_limits(patches)), preset, seed=0, first=0, last=1)
    bands = rows.draw(np.random.default_rng(0)).bands
    pixels = {tuple(v) for p in patches for v in p.bands.reshape(10, -1).T}
    assert all(tuple(v) in pixels for v in bands[0].reshape(10, -1).T[::97])


def test_batches_are_a_function_of_seed_and_number(patches: list) -> None:
    channels = channels_of(SMALL, band_limits(patches))
    make = lambda **k: LaiBatches(patches, channels, SMALL, **({"seed": 1, "first": 0, "last": 4} | k))  # noqa: E731
    inputs, truth, counts = next(iter(make()))
    assert inputs.shape == (2, 14, 32, 32)
    assert truth.shape == counts.shape == (2, 32, 32)
    assert inputs.dtype == truth.dtype == torch.float32
    assert torch.isfinite(inputs).all()
    assert torch.isfinite(truth).all()
    assert not inputs.permute(0, 2, 3, 1)[~torch.isfinite(truth)].any()
    third = list(make())[2]
    torch.testing.assert_close(next(iter(make(first=2)))[0], third[0], rtol=0, atol=0)
    for other in (make(seed=2), make(rank=1), make(first=1)):
        assert (next(iter(other))[0] - inputs).abs().max() > 0.01
    assert len(make(first=1)) == 3


def test_training_and_prediction_see_the_same_inputs(patches: list) -> None:
    """A network that gives back one of its inputs: the two paths to it agree."""
    from xsentinel.blocks.model import Model
    from xsentinel.blocks.predict import Predictor
    from xsentinel.cube import Encoding
    from xsentinel.models.card import Card, Output

    channels = channels_of(SMALL, band_limits(patches))
    card = Card("same", "unet", {}, channels, (Output("lai", "", ""),), 20, 2, 9, "")
    bands = patches[0].bands[None].copy()
    bands[0, 2, 5, 6] = np.nan
    cosines = np.array([patches[0].cosines], np.float32)
    planes = [np.full((1, 1, 1), v, np.float32) for v in (cosines[0, 1], cosines[0, 0], cosines[0, 2], 1.0)]
    seen, _ = Predictor(Model(card, ""), (Encoding(),) * 10)._channels(bands, planes)
    trained = normalise(bands, cosines, np.array([True]), channels)
    np.testing.assert_allclose(seen[0], trained[0].permute(1, 2, 0), atol=1e-6)


def test_held_out_patches_keep_their_own_angles(patches: list) -> None:
    patch, batch = next(real_batches(patches))
    assert batch.bands.shape[0] == 1
    np.testing.assert_array_equal(batch.cosines[0], np.float32(patch.cosines))
    untold = replace(patch, cosines=None, is_s2b=None)
    assert next(real_batches([untold], draws=5))[1].bands.shape[0] == 5


def test_a_calibrated_interval_holds_what_it_says() -> None:
    rng = np.random.default_rng(0)

    def place(n: int) -> HeldOut:
        mean, spread = rng.uniform(0, 6, n), rng.uniform(0.01, 0.3, n)
        return HeldOut(mean + rng.normal(0, 1, n) * np.hypot(0.03, 2 * spread), mean, spread)

    found = calibrate({"a": place(20_000), "b": place(3000)}, 30)
    levels = [level for level, _ in found.quantiles]
    assert levels == sorted(levels)
    assert {"a", "b"} == found.coverage.keys()
    fresh = place(20_000)
    for confidence in (0.5, 0.8, 0.95):
        assert coverage(found, fresh, confidence) == pytest.approx(confidence, abs=0.015)
    wide, narrow = (HeldOut(fresh.truth[k], fresh.mean[k], fresh.spread[k]) for k in (fresh.spread > 0.2, fresh.spread < 0.05))
    assert coverage(found, wide) == pytest.approx(0.95, abs=0.02)  # not only on average: where the spread is wide, and where it is not
    assert coverage(found, narrow) == pytest.approx(0.95, abs=0.03)
    assert isinstance(found, Calibration)


def test_each_place_counts_the_same() -> None:
    def constant(error: float, n: int) -> HeldOut:
        return HeldOut(np.full(n, 1 + error), np.ones(n), np.full(n, 0.1))

    found = calibrate({"large": constant(0.01, 10_000), "small": constant(0.5, 100)}, 30)
    assert coverage(found, constant(0.5, 10)) == 1.0


@pytest.fixture(scope="module")
def trained(cubes: dict[str, xr.Dataset], tmp_path_factory: pytest.TempPathFactory) -> xs.Model:
    return train_lai(cubes, tmp_path_factory.mktemp("trained"), preset=SMALL, name="mine", progress=False)


@pytest.mark.filterwarnings("ignore")
def test_a_model_is_trained_and_runs(trained: xs.Model, cubes: dict[str, xr.Dataset]) -> None:
    card = xs.load_model(Path(trained.path).parent / "mine.json").card
    assert card == trained.card
    assert card.bands == TEN_BANDS
    assert [c.name for c in card.geometry] == ["cos_sza", "cos_vza", "cos_raa", "s2b"]
    assert (card.stride, card.radius, card.resolution_m) == (2, 9, 20)
    assert card.training["steps"] == 6
    assert card.calibration is not None
    maps = cubes["zurich/east"].s2.lai(model=trained, samples=3)
    assert np.isfinite(maps.lai).all()
    table = evaluate_lai(trained, {"east": cubes["zurich/east"]}, samples=3)
    assert list(table.columns[:6]) == ["image", "pixels", "correlation", "distance", "MSE", "R2"]
    truth = cubes["zurich/east"].s2.lai()
    inside = truth.lai.where((truth.lai_flags & (8 | 16 | 32)) == 0)
    assert table.distance[0] == pytest.approx(float(abs(inside - maps.lai).mean()), rel=1e-4)
    assert table.MSE[0] == pytest.approx(float(((inside - maps.lai) ** 2).mean()), rel=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_the_same_seed_trains_the_same_model(trained: xs.Model, cubes: dict[str, xr.Dataset], tmp_path: Path) -> None:
    again = train_lai(cubes, tmp_path, preset=SMALL, name="mine", progress=False)
    assert again.card.digest == trained.card.digest
    other = train_lai(cubes, tmp_path / "other", preset=SMALL, name="mine", progress=False, seed=1)
    assert other.card.digest != trained.card.digest


@pytest.mark.filterwarnings("ignore")
def test_training_learns(cubes: dict[str, xr.Dataset], trained: xs.Model, tmp_path: Path) -> None:
    longer = train_lai(cubes, tmp_path, preset=replace(SMALL, steps=150, batch=4), progress=False)
    scores = [float(evaluate_lai(m, cubes, samples=0, by_date=False).distance.mean()) for m in (trained, longer)]
    assert scores[1] < 0.6 * scores[0]


@pytest.mark.filterwarnings("ignore")
def test_a_resumed_run_ends_where_an_undisturbed_one_does(
    cubes: dict[str, xr.Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xsentinel.training.loop.STEPS_AN_EPOCH", 3)
    whole = train_lai(cubes, tmp_path / "whole", preset=SMALL, progress=False)

    def stop(self: object, *_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        step = "xsentinel.training.loop.Regression.training_step"
        from xsentinel.training.loop import Regression

        original = Regression.training_step
        broken.setattr(step, lambda self, b, i: stop(self) if self.global_step == 4 else original(self, b, i))
        with pytest.raises(BaseException):  # noqa: B017, PT011  (Lightning turns an interrupt into its own exit)
            train_lai(cubes, tmp_path / "broken", preset=SMALL, progress=False)
    resumed = train_lai(cubes, tmp_path / "broken", preset=SMALL, progress=False, resume=True)
    assert resumed.card.digest == whole.card.digest


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["paper", "mlp"])
def test_other_presets_train(cubes: dict[str, xr.Dataset], tmp_path: Path, name: str) -> None:
    preset = replace(LAI_PRESETS[name], steps=2, batch=2, patch=48, crop=8)
    if name == "paper":
        preset = replace(preset, settings={"widths": [4, 8, 8, 8], "dropout": 0.5})
    model = train_lai(cubes, tmp_path, preset=preset, name=name, progress=False)
    assert model.card.geometry == ()
    assert (model.card.calibration is None) == (name == "mlp")
    assert np.isfinite(cubes["zurich/east"].s2.lai(model=model).lai).all()


def test_presets_are_the_papers() -> None:
    paper = LAI_PRESETS["paper"]
    assert (paper.patch, paper.crop, paper.batch, paper.rate, paper.loss, paper.optimiser) == (128, 16, 64, 1e-3, "mse", "rmsprop")
    assert paper.settings == {"widths": [32, 64, 128, 256], "dropout": 0.5}
    with pytest.raises(xs.XSentinelError, match="preset 'best' is not known; the presets are default, paper, mlp"):
        find_preset("best", LAI_PRESETS)


def test_bad_requests_are_named(cubes: dict[str, xr.Dataset], tmp_path: Path) -> None:
    with pytest.raises(xs.XSentinelError, match="train_lai has no epochs; it takes resume"):
        train_lai(cubes, tmp_path, epochs=3)
    coarse = {"a": cubes["zurich/west"], "b": cubes["zurich/east"].isel(x=slice(None, None, 2))}
    with pytest.raises(xs.XSentinelError, match=r"the cubes have pixels of a 20, b 40"):
        train_lai(coarse, tmp_path, preset=SMALL)
    with pytest.raises(xs.XSentinelError, match="domain is 'all'; it is one of range, grid, any"):
        evaluate_lai("lai-unet", cubes, domain="all")


def test_spectra_from_a_table(tmp_path: Path) -> None:
    path = tmp_path / "spectra.csv"
    path.write_text("name,B04,red edge,B8A\nsoil,0.2,0.3,0.4\nleaf,0.03,0.1,0.5\n")
    np.testing.assert_allclose(read_spectra(path, ("B8A", "B04")), [[0.4, 0.2], [0.5, 0.03]])
    with pytest.raises(xs.BandError, match="has no column of B02; it has name, B04"):
        read_spectra(path, ("B02",))
    path.write_text("B04\n2000\n")
    with pytest.raises(xs.UnitsError, match="no reflectance between 0 and 1, up to 2000"):
        read_spectra(path, ("B04",))
    with pytest.raises(xs.ReadError, match="cannot be read as a table"):
        read_spectra(tmp_path / "none.csv", ("B04",))


TWO_PROCESSES = """
import sys, xsentinel as xs
from dataclasses import replace
from xsentinel.training import LAI_PRESETS, train_lai
if __name__ == "__main__":
    scene = xs.sample("zurich", resolution=20)
    cubes = {"w": scene.isel(x=slice(0, 120)), "e": scene.isel(x=slice(120, None))}
    preset = replace(LAI_PRESETS["default"], steps=4, batch=2, patch=32)
    print(train_lai(cubes, sys.argv[1], preset=preset, progress=False, processes=2).card.digest)
"""


def test_two_processes_train_together(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(TWO_PROCESSES)
    done = subprocess.run([sys.executable, script, tmp_path / "out"], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "out" / "lai.safetensors").exists()
