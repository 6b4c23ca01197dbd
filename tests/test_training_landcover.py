"""Training of land cover: the loss, the schedule, what is learnt, any storage, killed and resumed, several processes, forests, errors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
import yaml
from click.testing import CliRunner
from sklearn.ensemble import RandomForestClassifier

import xsentinel as xs
from tests.landcover import CLASSES, DAYS, N_DATES, SMALL, tile, tiles, train
from xsentinel.bands import TEN_BANDS
from xsentinel.blocks.model import load_model, read_network
from xsentinel.classes import LabelClass, flag_attrs
from xsentinel.cli import main
from xsentinel.models.card import EqualDates
from xsentinel.models.fgunet import FGUNet
from xsentinel.products.normalise import statistics
from xsentinel.samples import labels_on, split_polygons
from xsentinel.training import LANDCOVER_PRESETS, evaluate_landcover, leave_one_out, train_landcover
from xsentinel.training.landcover import SHARES
from xsentinel.training.landcover_loop import class_weights, masked_loss, warm_up
from xsentinel.training.landcover_tiles import Ready, channels_of

ROOT = Path(__file__).parents[1]


def loss_slowly(answer, places, weights):
    """Equation 1 of Stoian et al. (2019), pixel by pixel: one-hot vectors, of zeros where there is no label."""
    total = 0.0
    for n in range(places.shape[0]):
        for i in range(places.shape[1]):
            for j in range(places.shape[2]):
                p = np.exp(answer[n, :, i, j]) / np.exp(answer[n, :, i, j]).sum()
                truth = np.zeros(answer.shape[1]) if places[n, i, j] < 0 else np.eye(answer.shape[1])[places[n, i, j]]
                total -= sum(w * y * np.log(q) for w, y, q in zip(weights, truth, p, strict=True))
    return total / places.size


def test_the_loss_is_equation_1_and_unlabelled_pixels_lose_nothing():
    rng = np.random.default_rng(0)
    answer = rng.normal(0, 2, (2, 3, 5, 4)).astype(np.float32)
    places = rng.choice([-1, 0, 1, 2], (2, 5, 4), p=[0.5, 0.3, 0.1, 0.1])
    x = torch.from_numpy(answer).requires_grad_()
    for weights in (np.ones(3, np.float32), np.array([0.5, 3.0, 1.5], np.float32)):
        own = None if (weights == 1).all() else torch.from_numpy(weights)
        loss = masked_loss(x, torch.from_numpy(places), own)
        np.testing.assert_allclose(float(loss.detach()), loss_slowly(answer, places, weights), rtol=1e-5)
    loss.backward()
    lost = x.grad.abs().sum(1).numpy()
    assert (lost[places < 0] == 0).all()
    assert (lost[places >= 0] > 0).all()
    nothing = masked_loss(x, torch.full((2, 5, 4), -1), None)
    assert float(nothing.detach()) == 0


def test_weights_are_those_of_equation_4_with_mean_1():
    pixels = np.array([600, 300, 100])
    found = class_weights(pixels.tolist()).numpy()
    np.testing.assert_allclose(found / found[0], (pixels.sum() / pixels) / (pixels.sum() / pixels[0]), rtol=1e-6)
    np.testing.assert_allclose((found * pixels).sum() / pixels.sum(), 1, rtol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 8])
def test_the_warm_up_is_equation_3(n):
    rates = [1e-3 * warm_up(i, n, 5) for i in range(7)]
    np.testing.assert_allclose(rates[:6], [1e-3 / n * ((n - 1) / 5 * i + 1) for i in range(6)])
    assert rates[6] == 1e-3


def history(out, name="landcover"):
    return pd.read_csv(out / "checkpoints" / name / "history.csv")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("trained")
    return out, train(out, scores=True)


def test_a_network_learns_and_its_card_says_how(trained):
    out, model = trained
    card, rows = model.card, history(out)
    assert [c.code for c in card.classes] == [2, 7, 9]
    assert card.bands == TEN_BANDS
    assert (card.dates, card.equal_dates, card.resolution_m) == (N_DATES, EqualDates(), 10)
    assert (card.stride, card.radius) == (2, 9)
    assert rows.loss.iloc[-1] < rows.loss.iloc[0] / 2
    assert rows.kappa.iloc[-1] > 0.8
    assert list(rows.step) == [8 * (k + 1) for k in range(12)]
    assert card.training["tiles"] == "west, east"
    labels = {name: split_polygons(own, SHARES)[["label", "side"]] for name, (_, own) in tiles(stored=True).items()}
    n_train = sum(int((labels_on(own, "train") == 7).sum()) for own in labels.values())
    assert f"Maize {n_train}," in card.training["labelled pixels"]
    scores = evaluate_landcover(model, {name: (tiles(stored=True)[name][0], labels[name]) for name in labels})
    assert list(scores.index) == ["west", "east", "all"]
    assert card.scores["test all"].startswith(f"n {scores.n['all']}, OA {scores.OA['all']:.4f}, kappa {scores.kappa['all']:.4f}")
    assert scores.kappa["all"] > 0.8
    maps = tile(1)[0].s2.landcover(model)
    truth = labels_on(labels["west"], "test")
    assert float((maps["class"] == truth).where(truth > 0).mean()) == pytest.approx(scores.OA["west"], abs=0.02)


def test_training_is_a_function_of_its_seed_whatever_the_cubes_are_stored_in(tmp_path):
    short = {"epochs": 2, "steps": 3}
    model = train(tmp_path / "memory", **short)
    cubes = {name: (cube.chunk(time=3, y=50, x=60), labels.chunk(y=50)) for name, (cube, labels) in tiles(stored=True).items()}
    cubes["west"][0].to_zarr(tmp_path / "west.zarr", consolidated=False)
    opened = xr.open_zarr(tmp_path / "west.zarr", mask_and_scale=False, consolidated=False, chunks=None)
    again = train(tmp_path / "lazy", tiles=cubes | {"west": (opened, cubes["west"][1])}, cache=500_000, **short)
    assert again.card.digest == model.card.digest
    assert train(tmp_path / "other", seed=1, **short).card.digest != model.card.digest


def test_channels_are_the_exact_percentiles_of_all_tiles():
    cubes = {name: cube for name, (cube, _) in tiles(stored=True).items()}
    ready = [Ready(name, tuple(cube[b] for b in TEN_BANDS), TEN_BANDS, xr.Dataset()) for name, cube in cubes.items()]
    found = {c.name: c for c in channels_of(ready, TEN_BANDS)}
    both = np.concatenate([cube.B08.values.ravel() for cube in cubes.values()]) * 1e-4 - 0.1
    np.testing.assert_allclose((found["B08"].low, found["B08"].high), np.percentile(both, (3, 97)), rtol=1e-9)
    alone = {c.name: c for c in channels_of(ready[:1], TEN_BANDS)}
    package = statistics(cubes["west"], method="stoian")
    assert all((alone[b].low, alone[b].high) == (package[b].low, package[b].high) for b in TEN_BANDS)
    floats = Ready("f", tuple(tile(2)[0][b].chunk(y=40) for b in TEN_BANDS), TEN_BANDS, xr.Dataset())
    mixed = {c.name: c for c in channels_of([ready[0], floats], TEN_BANDS)}
    np.testing.assert_allclose(mixed["B08"].high, found["B08"].high, rtol=1e-3)


def test_a_lazy_cube_of_single_dates_is_filled_and_stored_once(tmp_path):
    dates = list(pd.date_range("2018-01-05", "2018-12-25", freq="25D"))
    cube, labels = tile(1, dates=dates)
    cube = cube.where(np.random.default_rng(0).random(cube.B04.shape) > 0.3)
    lazy = {"west": (cube.chunk(time=2, y=48, x=96), labels.chunk(y=48))}
    model = train(tmp_path, tiles=lazy, epochs=1, indices=("NDVI",))
    assert model.card.bands == (*TEN_BANDS, "NDVI")
    store = xr.open_zarr(tmp_path / "tiles" / "west.zarr", consolidated=False, mask_and_scale=False)
    assert store.reflectance.dtype == np.uint16
    assert store.reflectance.chunks == ((10,), (4,), (64, 32), (64, 32))
    assert list(store.time.values) == [np.datetime64(d) for d in DAYS]
    at = xs.seasons.at_equal_dates(cube, EqualDates(), N_DATES)
    np.testing.assert_allclose(store.reflectance[6] * 1e-4 - 0.1, at.B08, atol=6e-5)
    np.testing.assert_allclose(store["index"][0], (at.B08 - at.B04) / (at.B08 + at.B04), rtol=1e-4)
    before = (tmp_path / "tiles" / "west.zarr" / "zarr.json").stat().st_mtime_ns
    again = train(tmp_path, tiles=lazy, epochs=1, indices=("NDVI",))
    assert (tmp_path / "tiles" / "west.zarr" / "zarr.json").stat().st_mtime_ns == before
    assert again.card.digest == model.card.digest


@pytest.fixture
def one_thread():
    """Let sums have one order: with several threads a resumed network rounds otherwise, and steps carry that on."""
    n = torch.get_num_threads()
    torch.set_num_threads(1)
    yield {"OMP_NUM_THREADS": "1"}
    torch.set_num_threads(n)


def test_a_training_that_is_killed_goes_on_as_if_it_had_not_been(one_thread, tmp_path):
    whole = train(tmp_path / "whole", preset=replace(SMALL, batch=4, warm_up=0), epochs=12)
    out, table = tmp_path / "killed", tmp_path / "killed" / "checkpoints" / "landcover" / "history.csv"
    command = [sys.executable, "-m", "tests.landcover", str(out), "1", "12"]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | one_thread | {"PYTHONPATH": str(ROOT)}, start_new_session=True)
    while not (table.exists() and table.read_text().count("\n") > 3):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    n_before = len(history(out))
    assert n_before < 12
    assert not (out / "landcover.safetensors").exists()
    resumed = train(out, preset=replace(SMALL, batch=4, warm_up=0), epochs=12, resume=True)
    columns = ["epoch", "step", "rate", "loss", "kappa"]
    pd.testing.assert_frame_equal(history(out)[columns], history(tmp_path / "whole")[columns], rtol=1e-6)
    assert resumed.card.digest == whole.card.digest


def test_two_processes_learn_what_one_does_with_twice_the_batch(tmp_path):
    one = train(tmp_path / "one", preset=replace(SMALL, batch=4, warm_up=0), epochs=4)
    command = [sys.executable, "-m", "tests.landcover", str(tmp_path / "two"), "2", "4"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    both = load_model(tmp_path / "two")
    rows, alone = history(tmp_path / "two"), history(tmp_path / "one")
    np.testing.assert_allclose(rows.kappa, alone.kappa, atol=0.02)
    np.testing.assert_allclose(rows.loss, alone.loss, rtol=0.01)
    assert both.card.training["preset"] != one.card.training["preset"]


def test_a_model_is_trained_on(trained, tmp_path):
    _, model = trained
    cube, labels = tile(5, stored=True)
    labels = labels.assign(label=labels.label.where(labels.label != 9, 0).astype(np.uint8).assign_attrs(labels.label.attrs))
    new = train_landcover({"new": (cube, labels)}, tmp_path, preset=SMALL, initial=model, name="fine", epochs=1, steps=4, progress=False)
    assert new.card.channels == model.card.channels
    assert new.card.classes == model.card.classes
    assert new.card.training["from"] == "landcover"
    assert float(evaluate_landcover(new, {"new": (cube, labels)}).kappa["all"]) > 0.7
    other = labels.assign(
        label=labels.label.assign_attrs(flag_attrs((*CLASSES[:1], LabelClass(7, "Rye", "#000000"), LabelClass(8, "Oats", "#111111"))))
    )
    other["label"][:24, :24] = 8
    with pytest.raises(xs.XSentinelError, match="does not know 8 Oats; it knows 2 Wheat, 7 Maize, 9 Forest"):
        train_landcover({"new": (cube, other)}, tmp_path, preset=SMALL, initial=model, progress=False)
    with pytest.raises(xs.XSentinelError, match="take the preset that it was trained with"):
        train_landcover({"new": (cube, labels)}, tmp_path, preset="unet", initial=model, progress=False)


def test_a_forest_is_scikit_learns_on_the_pixels_of_the_training_side(tmp_path):
    growth = {"n_estimators": 12, "max_depth": 6, "min_samples_split": 10}
    preset = replace(LANDCOVER_PRESETS["forest"], pixels=10**6, grower=growth)
    given = {name: (cube, split_polygons(labels, SHARES)) for name, (cube, labels) in tiles().items()}
    model = train(tmp_path, tiles=given, preset=preset, scores=True)
    assert (model.card.network, model.card.least_dates, model.card.radius) == ("forest", N_DATES, 0)
    x, y = [], []
    for cube, labels in given.values():
        own = labels_on(labels, "train").values
        rows, columns = np.nonzero(own)
        x.append(np.stack([cube[b].values[:, rows, columns] for b in TEN_BANDS], 2).transpose(1, 0, 2).reshape(len(rows), -1))
        y.append(own[rows, columns])
    grown = RandomForestClassifier(random_state=0, class_weight="balanced", **growth).fit(np.concatenate(x), np.concatenate(y))
    cube = tile(7)[0]
    pixels = np.stack([cube[b].values for b in TEN_BANDS], 3).transpose(1, 2, 0, 3).reshape(96 * 96, -1)
    told = cube.s2.landcover(model)["class"].values.ravel()
    assert (told == grown.predict(pixels)).mean() > 0.97  # as good a forest, of other draws of the same pixels
    assert "kappa" in model.card.scores["test all"]


def test_a_forest_on_features_takes_what_the_network_finds(trained, tmp_path):
    _, model = trained
    preset = replace(LANDCOVER_PRESETS["features"], pixels=300, grower={"n_estimators": 10})
    features = train(tmp_path, preset=preset, initial=model, name="features")
    network, trunk = read_network(features), read_network(model)
    assert isinstance(trunk, FGUNet)
    for key, value in trunk.body.state_dict().items():
        torch.testing.assert_close(network.body.state_dict()[key], value)
    assert features.card.channels == model.card.channels
    scores = evaluate_landcover(features, {"new": tile(8, stored=True)})
    assert scores.kappa["all"] > 0.7
    with pytest.raises(xs.XSentinelError, match="needs a trained network"):
        train(tmp_path, preset=preset)


def test_patience_keeps_the_best_epoch(tmp_path):
    train(tmp_path, epochs=12, patience=2, preset=replace(SMALL, rate=0.03))
    rows = history(tmp_path)
    best = torch.load(tmp_path / "checkpoints" / "landcover" / "best.ckpt", weights_only=True)["state_dict"]
    network = read_network(load_model(tmp_path))
    assert len(rows) < 12 or rows.kappa.idxmax() >= 9
    torch.testing.assert_close(network.state_dict()["head.weight"], best["network.head.weight"])


def test_mixed_precision_learns_as_well(tmp_path):
    train(tmp_path, precision="bf16")
    assert history(tmp_path).kappa.iloc[-1] > 0.8


def bad(cube=lambda c: c, labels=lambda d: d):
    images, known = tile(1)
    return {"west": (cube(images), labels(known))}


def coarser():
    return {"a": tile(1), "b": tuple(d.isel(y=slice(None, None, 2), x=slice(None, None, 2)) for d in tile(2))}


def of_one_class(labels):
    return labels.assign(label=labels.label.where(labels.label == 2, 0).astype(np.uint8).assign_attrs(labels.label.attrs))


@pytest.mark.parametrize(
    ("given", "how", "words"),
    [
        (dict, {}, "there are no tiles to learn from"),
        (lambda: bad(labels=lambda d: d.isel(y=slice(0, 50))), {}, "cube and labels differ along y"),
        (lambda: bad(cube=lambda c: c.drop_vars("B11")), {}, "missing: B11"),
        (lambda: bad(labels=of_one_class), {}, "two or more"),
        (lambda: bad(cube=lambda c: c.isel(time=slice(0, 3))), {"dates": None}, "cannot be built"),
        (bad, {"preset": "resnet"}, "the presets are fgunet, unet, mlp"),
        (bad, {"colour": 1}, "train_landcover has no colour; it takes epochs"),
        (bad, {"precision": "fp16"}, "it is 'fp32', 'bf16' or 'auto'"),
        (lambda: bad(cube=lambda c: c + 5000), {}, "reflectance is between 0 and 1"),
        (coarser, {}, "pixels of a 10, b 20"),
        (lambda: bad(cube=lambda c: c * 0 + 0.2), {}, "almost everywhere"),
        (bad, {"patience": 2, "shares": {"train": 0.6, "test": 0.4}}, "watches the side 'validation'"),
    ],
)
def test_what_cannot_be_learnt_from(tmp_path, given, how, words):
    with pytest.raises(xs.XSentinelError, match=words):
        train_landcover(given(), tmp_path, **{"preset": SMALL, "dates": N_DATES, "epochs": 1, "steps": 1, "progress": False} | how)


def test_classes_are_of_one_legend(tmp_path):
    cube, labels = tile(2)
    other = labels.assign(label=labels.label.assign_attrs(flag_attrs((*CLASSES[:2], LabelClass(9, "Water", "#0000ff")))))
    with pytest.raises(xs.XSentinelError, match="class 9 is Forest in one tile and Water in east"):
        train(tmp_path, tiles={"west": tile(1), "east": (cube, other)})


def test_each_tile_is_scored_by_a_model_that_has_not_seen_it(tmp_path):
    given = tiles()
    labels = given["west"][1]
    labels["label"][:24, :24] = 5  # a class of one tile alone
    labels["label"].attrs = flag_attrs((*CLASSES, LabelClass(5, "Ice", "#ffffff")))
    preset = replace(LANDCOVER_PRESETS["forest"], grower={"n_estimators": 8})
    table = leave_one_out(given, tmp_path, preset=preset, dates=N_DATES, progress=False)
    assert list(table.index) == ["west", "east"]
    assert table.n["west"] == int((labels.label > 0).sum())
    assert table["Ice"]["west"] == 0
    assert np.isnan(table["Ice"]["east"])
    assert load_model(tmp_path / "east").card.training["tiles"] == "west"
    assert table["Wheat"].min() > 0.8
    with pytest.raises(xs.XSentinelError, match="takes two or more"):
        leave_one_out({"west": given["west"]}, tmp_path)


@pytest.fixture
def job(tmp_path):
    """A job of two tiles: polygons and a raster, of classes by a legend."""
    import geopandas as gpd
    from shapely.geometry import box

    for name, (cube, labels) in tiles(stored=True).items():
        cube.to_zarr(tmp_path / f"{name}.zarr", consolidated=False)
        if name == "east":
            labels.label.drop_attrs(deep=False).rio.to_raster(tmp_path / "east.tif")
            continue
        rows = [(k * 12, j * 12, int(labels.label.values[k * 12, j * 12])) for k in range(8) for j in range(8)]
        shapes = [box(x := float(labels.x[c]) - 5, (y := float(labels.y[r]) + 5) - 120, x + 120, y) for r, c, _ in rows]
        frame = gpd.GeoDataFrame({"code": [v for *_, v in rows]}, geometry=shapes, crs=32631)
        frame[frame.code > 0].to_file(tmp_path / "west.gpkg")
    told = {
        "tiles": {"west": {"cube": "west.zarr", "labels": "west.gpkg"}, "east": {"cube": "east.zarr", "labels": "east.tif"}},
        "output": "out",
        "legend": {"Wheat": [2], "Maize": [7], "Forest": [9]},
        "column": "code",
        "block": 120,
        "train": {"preset": "forest", "dates": N_DATES, "seed": 1},
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(told))
    return tmp_path, told


def test_a_job_from_the_shell(job):
    folder, told = job
    runner, path = CliRunner(), str(folder / "job.yaml")
    done = runner.invoke(main, ["train", "landcover", path, "--no-progress"])
    assert done.exit_code == 0, done.output
    assert "forest" in done.output
    scores = pd.read_csv(folder / "out" / "scores.csv", index_col="tile")
    assert scores.kappa["all"] > 0.9
    maps = xr.open_zarr(folder / "out" / "maps" / "west.zarr", consolidated=False)
    assert maps["class"].attrs["flag_meanings"] == "Forest Maize Wheat"
    scored = runner.invoke(main, ["evaluate", "landcover", str(folder / "out" / "landcover.json"), path, "--csv", str(folder / "own.csv")])
    assert scored.exit_code == 0, scored.output
    pd.testing.assert_frame_equal(pd.read_csv(folder / "own.csv", index_col="tile"), scores)
    whole = runner.invoke(main, ["evaluate", "landcover", str(folder / "out" / "landcover.json"), path, "--side", "all"])
    n_labelled = sum(int((labels.label > 0).sum()) for _, labels in tiles().values())
    assert f"{n_labelled:.4f}" in whole.output
    refused = runner.invoke(main, ["train", "landcover", path, "--no-progress"])
    assert refused.exit_code == 2
    assert "holds this job already" in refused.output
    before = (folder / "out" / "landcover.safetensors").stat().st_mtime_ns
    assert runner.invoke(main, ["train", "landcover", path, "--no-progress", "--resume"]).exit_code == 0
    assert (folder / "out" / "landcover.safetensors").stat().st_mtime_ns == before
    (folder / "job.yaml").write_text(yaml.safe_dump(told | {"draw": {"rule": "equal"}}))
    assert "has draw that is not known" in runner.invoke(main, ["train", "landcover", path]).output
    assert "Presets: fgunet" in runner.invoke(main, ["train", "landcover", "--help"]).output
