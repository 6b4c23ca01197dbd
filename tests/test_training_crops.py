"""Training of classifiers of series: what they learn, seeds, resuming, going on, trees as scikit-learn's, bad samples; the job."""

from __future__ import annotations

import json

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from click.testing import CliRunner

import xsentinel as xs
from xsentinel import samples
from xsentinel.blocks.model import load_model, read_network
from xsentinel.classes import LabelClass, flag_attrs
from xsentinel.cli import main
from xsentinel.mapping import map_crops, read_crop_job
from xsentinel.training import evaluate_crops, reliable, train_crops
from xsentinel.training.classify import Batches, Labelled
from xsentinel.training.crop_presets import CROP_PRESETS, CropPreset
from xsentinel.training.crops import probabilities
from xsentinel.training.series import planes, read_series, weights

CLASSES = (LabelClass(1, "Wheat", "#e69f00"), LabelClass(4, "Maize", "#56b4e9"), LabelClass(9, "Rape", "#009e73"))
BANDS = ("B04", "B08", "B11")
SMALL = CropPreset("ltae", {"width": 16, "heads": 4, "keys": 4, "dense": 16, "dropout": 0.1}, epochs=12, batch=32, rate=5e-3)


def crop_samples(n=240, dates=12, gaps=0.15, seed=0, noise=0.03):
    """Series of three classes that peak in different months, unequally many, in blocks."""
    rng = np.random.default_rng(seed)
    place = rng.choice(3, n, p=[0.6, 0.3, 0.1])
    months = np.arange(dates)
    green = np.exp(-0.5 * ((months - np.array([4, 7, 2])[place][:, None]) / 1.5) ** 2)
    bands = np.array([0.12, 0.2, 0.25]) + green[..., None] * np.array([-0.08, 0.3, -0.1])
    values = (bands + rng.normal(0, noise, bands.shape)).astype(np.float32)
    values[rng.random((n, dates)) < gaps] = np.nan
    codes = np.array([1, 4, 9], np.uint8)[place]
    times = pd.date_range("2018-01-01", periods=dates, freq="MS")
    return xr.Dataset(
        {"reflectance": (("sample", "time", "band"), values)},
        {
            "label": ("sample", codes, flag_attrs(CLASSES)),
            "block": ("sample", rng.integers(0, 12, n)),
            "time": times,
            "band": list(BANDS),
        },
    )


def learnt(tmp_path, data=None, preset=SMALL, **kw):
    return train_crops(crop_samples() if data is None else data, tmp_path, preset=preset, progress=False, **kw)


def accuracy_of(model, seed=5):
    data = crop_samples(seed=seed)
    p = probabilities(read_network(model), model.card.channels, data.reflectance.values)
    return float((np.array([c.code for c in model.card.classes])[p.argmax(1)] == data.label.values).mean())


def test_a_network_learns_and_its_card_says_how(tmp_path):
    data = samples.split(crop_samples(), shares={"train": 0.7, "validation": 0.3})
    model = learnt(tmp_path, data)
    assert accuracy_of(model) > 0.9
    assert [c.code for c in model.card.classes] == [1, 4, 9]
    assert model.card.bands == BANDS
    assert (model.card.dates, model.card.least_dates, model.card.periods.freq) == (12, 6, "MS")
    assert model.card.training["samples"] == int((data.split == "train").sum())
    assert "macro F1" in model.card.scores["validation"]
    item = json.loads((tmp_path / "crops.json").read_text())
    assert item["properties"]["mlm:tasks"] == ["classification"]
    assert item["properties"]["mlm:output"][0]["classification:classes"][1] == {"value": 4, "name": "Maize", "color_hint": "56b4e9"}


def test_training_is_a_function_of_its_seed(tmp_path):
    short = CropPreset("tempcnn", {"widths": [8], "dense": 16, "dropout": 0.4}, epochs=2)
    digests = [learnt(tmp_path / f"{k}", preset=short, seed=s).card.digest for k, s in enumerate((0, 0, 1))]
    assert digests[0] == digests[1] != digests[2]


def test_a_resumed_training_is_that_of_one_go(tmp_path):
    one = CropPreset(**{**SMALL.__dict__, "epochs": 4})
    straight = learnt(tmp_path / "a", preset=one)
    from unittest.mock import patch

    from xsentinel.training import classify

    real = classify.Classification.training_step

    def killed(self, batch, i):
        if self.current_epoch == 2:
            raise KeyboardInterrupt
        return real(self, batch, i)

    with patch.object(classify.Classification, "training_step", killed), pytest.raises((KeyboardInterrupt, SystemExit)):
        learnt(tmp_path / "b", preset=one)
    assert (tmp_path / "b" / "checkpoints" / "crops-0" / "last.ckpt").exists()
    assert learnt(tmp_path / "b", preset=one, resume=True).card.digest == straight.card.digest


def test_going_on_from_a_network(tmp_path):
    weak = learnt(tmp_path, preset=SMALL, name="weak", weighted=True)
    assert "weighted n_max/n_u" in weak.card.training["preset"]
    more = learnt(tmp_path, crop_samples(seed=2), preset=SMALL, name="more", initial=weak, epochs=1, weighted=False)
    assert more.card.training["from"] == "weak"
    assert more.card.channels == weak.card.channels
    assert accuracy_of(more) > 0.9
    some = crop_samples(seed=2)
    some = some.isel(sample=np.flatnonzero(some.label.values != weak.card.classes[-1].code))
    assert learnt(tmp_path, some, preset=SMALL, name="some", initial=weak, epochs=1).card.classes == weak.card.classes
    with pytest.raises(xs.XSentinelError, match="network ltae, not lstm"):
        learnt(tmp_path, preset="lstm", initial=weak)
    with pytest.raises(xs.XSentinelError, match="number of dates 12, not 5"):
        learnt(tmp_path, crop_samples().isel(time=slice(5)), initial=weak, periods=None)


def test_the_pixel_of_the_samples_is_that_of_the_model(tmp_path):
    model = learnt(tmp_path, crop_samples().assign_attrs(resolution_m=20.0), epochs=1)
    assert model.card.resolution_m == 20


def test_an_ensemble_is_better_than_chance_and_stored_as_one(tmp_path):
    model = learnt(tmp_path, preset=SMALL, ensemble=2)
    assert model.card.settings["ensemble"] == 2
    assert accuracy_of(model) > 0.9


@pytest.mark.parametrize("name", ["forest", "boosting", "rocket"])
def test_what_scikit_learn_fits(tmp_path, name):
    preset = CROP_PRESETS[name]
    small = {"forest": {"n_estimators": 20}, "boosting": {"n_estimators": 10}, "rocket": {}}[name]
    model = learnt(tmp_path, preset=CropPreset(**{**preset.__dict__, "grower": {**preset.grower, **small}}))
    assert accuracy_of(model) > 0.85
    with pytest.raises(xs.XSentinelError, match="cannot be started from"):
        learnt(tmp_path, preset=preset, initial=model)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fit", ["trees", "boosting"])
def test_trees_answer_as_scikit_learn_does(fit, n_classes):
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

    from xsentinel.models.series import fill
    from xsentinel.training.grow import grow_trees
    from xsentinel.training.series import limits

    data = crop_samples(150)
    series = read_series(data.isel(sample=data.label.values < (9 if n_classes == 2 else 255)))
    x = planes(series.values, limits(series))
    grower = {"n_estimators": 8, "max_features": 0.5} | ({} if fit == "trees" else {"learning_rate": 0.2})
    preset = CropPreset("forest", fit=fit, grower=grower)
    forest, settings = grow_trees(x, series.places, preset, x.shape[1], 12, n_classes, 3)
    kind = RandomForestClassifier if fit == "trees" else GradientBoostingClassifier
    features = fill(x.reshape(len(x), 12, -1)).flatten(1).numpy()
    theirs = kind(random_state=3, **grower).fit(features, series.places).predict_proba(features)
    ours = forest.classify(x.reshape(len(x), 12, -1), []).softmax(1).numpy()
    np.testing.assert_allclose(ours, theirs, atol=2e-3 if fit == "trees" else 1e-5)  # shares of 0 count as 1e-4
    assert settings["trees"] == (24 if (fit, n_classes) == ("boosting", 3) else 8)


def test_batches_hold_every_sample_once():
    data = crop_samples(101)
    series = read_series(data)
    from xsentinel.training.series import limits

    labelled = Labelled(planes(series.values, limits(series)), __import__("torch").from_numpy(series.places))
    still = CropPreset("ltae", batch=32, variation=None)
    batches = Batches(labelled, still, 12, (0, 0, 2, 1))
    seen = np.concatenate([y.numpy() for _, y in batches])
    assert len(batches) == 3
    assert sorted(seen.tolist()) == sorted(series.places.tolist())


def test_weights_of_classes():
    np.testing.assert_allclose(weights(np.array([0, 0, 0, 0, 1, 1, 2]), 3).numpy(), [1, 2, 4])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.drop_vars("label"), "samples hold reflectance"),
        (lambda d: d.transpose("time", "sample", "band"), "samples hold reflectance"),
        (lambda d: d.assign_coords(label=("sample", np.full(240, 77, np.uint8), d.label.attrs)), r"unknown codes \[77\]"),
        (lambda d: d.isel(sample=d.label.values == 1), "of 1 known classes"),
        (lambda d: d.assign(reflectance=d.reflectance.where(d.band != "B08")), "no sample shows B08"),
        (lambda d: d.assign_coords(split=("sample", ["test"] * 240)), "no labelled sample is of the split 'train'"),
    ],
)
def test_samples_that_cannot_be_learnt_from(tmp_path, change, words):
    with pytest.raises(xs.XSentinelError, match=words):
        learnt(tmp_path, change(crop_samples()))


def test_options_that_are_not_known(tmp_path):
    with pytest.raises(xs.XSentinelError, match="train_crops has no depth"):
        learnt(tmp_path, depth=3)
    with pytest.raises(xs.XSentinelError, match="least is 0"):
        learnt(tmp_path, least=0)
    with pytest.raises(xs.XSentinelError, match="preset 'best' is not known"):
        learnt(tmp_path, preset="best")


@pytest.mark.parametrize("chunks", [None, {"y": 7, "x": 5}])
def test_reliable_labels_are_confirmed_and_sure(chunks):
    rng = np.random.default_rng(0)
    labels = xr.DataArray(
        rng.integers(0, 3, (40, 30)).astype(np.uint8), dims=("y", "x"), attrs=flag_attrs((*CLASSES[:1], LabelClass(2, "B", "#000000")))
    )
    found = labels.copy(data=rng.integers(0, 3, (40, 30)).astype(np.uint8))
    sure = xr.DataArray(rng.random((40, 30), np.float32), dims=("y", "x")).where(found > 0)
    maps = xr.Dataset({"class": found, "confidence": sure})
    kept = reliable(labels, maps.chunk(chunks) if chunks else maps).compute()
    for code in (1, 2):
        limit = np.quantile(sure.values[found.values == code], 0.25)
        certain = (labels.values == code) & (found.values == code) & (sure.values > limit + 2e-3)
        none = (labels.values == code) & ((found.values != code) | (sure.values < limit - 2e-3))
        assert (kept.values[certain] == code).all()
        assert (kept.values[none] == 0).all()
    all_ = reliable(labels, maps, quantile=0)
    np.testing.assert_array_equal(all_.values, np.where(labels == found, labels, 0))
    with pytest.raises(xs.GridError, match="not on one grid"):
        reliable(labels.assign_coords(x=np.arange(30)), maps.assign_coords(x=np.arange(1, 31)))
    with pytest.raises(xs.XSentinelError, match="missing: confidence"):
        reliable(labels, maps[["class"]])


def test_training_and_scoring_from_the_shell(tmp_path):
    data = samples.split(crop_samples(), shares={"train": 0.7, "test": 0.3})
    samples.save(data, tmp_path / "s.zarr")
    run = CliRunner().invoke
    drawn, folder = str(tmp_path / "s.zarr"), str(tmp_path / "m")
    told = run(main, ["train", "crops", drawn, folder, "--preset", "ltae", "--epochs", "3", "--no-progress"])
    assert told.exit_code == 0, told.output
    assert "ltae" in told.output
    files = {k: tmp_path / f"table.{k}" for k in ("csv", "md", "png")}
    where = [part for flag, k in (("--csv", "csv"), ("--markdown", "md"), ("--plot", "png")) for part in (flag, str(files[k]))]
    told = run(main, ["evaluate", "crops", folder, drawn, *where])
    assert told.exit_code == 0, told.output
    assert "OA%" in told.output
    assert all(f.stat().st_size > 50 for f in files.values())
    assert run(main, ["evaluate", "crops", folder, drawn, "--side", "odd"]).exit_code == 2
    assert run(main, ["train", "crops", drawn]).exit_code == 2
    whole, tested = (evaluate_crops(tmp_path / "m", data, side=side).n for side in ("all", None))
    assert (whole, tested) == (data.sizes["sample"], int((data.split == "test").sum()))
    with pytest.raises(xs.XSentinelError, match="the samples have 12 dates of B04"):
        evaluate_crops(tmp_path / "m", data.isel(band=[0]))


def job_folder(tmp_path):
    """Two small simulated tiles in the form a user has them: Zarr and labels as GeoTIFF and polygons."""
    for name, seed in {"west": 11, "east": 12}.items():
        scene = xs.simulate.landscape(
            (72, 72), [f"2018-{m:02}-{d:02}" for m in range(4, 11) for d in (7, 22)], seed=seed, mask_and_scale=False
        )
        scene.cube.s2.to_zarr(tmp_path / f"{name}.zarr")
        if name == "west":
            scene.labels(share=1, wrong=0.1).compute().rio.to_raster(tmp_path / "west.tif")
        else:
            fields = scene.parcels()
            assert isinstance(fields, gpd.GeoDataFrame)
            fields[fields.parcel > 0].to_crs(4326).to_file(tmp_path / "east.gpkg")
    job = {
        "tiles": {
            "west": {"cube": "west.zarr", "labels": "west.tif"},
            "east": {"cube": "east.zarr", "labels": "east.gpkg"},
        },
        "output": "crops",
        "legend": {"Crops": list(range(1, 8)), "Rest": list(range(8, 18))},
        "draw": {"rule": "stratified", "a_most": 100, "b_most": 40, "a_least": 100, "b_least": 40},
        "start": "2018-01",
        "column": "class",
        "erode": 5,
        "block": 240,
        "train": {"preset": "ltae", "epochs": 4, "seed": 0, "least": 2},
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    return job


def test_a_job_from_cubes_to_scores(tmp_path):
    job = job_folder(tmp_path)
    run = CliRunner().invoke
    told = run(main, ["train", "crops", str(tmp_path / "job.yaml"), "--no-progress"])
    assert told.exit_code == 0, told.output
    assert "OA%" in told.output
    out = tmp_path / "crops"
    weak, kept = (samples.open(out / f"{name}-samples.zarr") for name in ("weak", "reliable"))
    assert set(weak.tile.values.tolist()) == {"west", "east"}
    sides = {}
    for drawn in (weak, kept):  # a block keeps its side in the second draw
        for tile, block, side in zip(drawn.tile.values, drawn.block.values, drawn.split.values, strict=True):
            assert sides.setdefault((tile, block), side) == side or drawn is kept
    assert weak.attrs["resolution_m"] == 10
    final = load_model(out / "crops.json")
    assert final.card.resolution_m == 10
    assert final.card.training["from"] == "weak"
    maps = xr.open_zarr(out / "maps" / "east-crops.zarr", consolidated=False, mask_and_scale=False)
    assert set(np.unique(maps["class"].values).tolist()) <= {0, 1, 2}
    assert (out / "assessment.png").stat().st_size > 1000
    before = (out / "crops.safetensors").stat().st_mtime_ns
    refused = run(main, ["train", "crops", str(tmp_path / "job.yaml"), "--no-progress"])
    assert refused.exit_code == 2
    assert "holds this job already" in refused.output
    assert run(main, ["train", "crops", str(tmp_path / "job.yaml"), "--no-progress", "--resume"]).exit_code == 0
    assert (out / "crops.safetensors").stat().st_mtime_ns == before
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job | {"erode": 20}))
    with pytest.raises(xs.StoreError, match="holds another job, which differs in erode"):
        map_crops(read_crop_job(tmp_path / "job.yaml"), resume=True)
    chosen = ["--model", str(out / "crops.json"), "--start", "2018-01", "--smooth", "majority", "--no-progress"]
    mapped = run(main, ["crops", str(tmp_path / "west.zarr"), str(tmp_path / "w.zarr"), *chosen])
    assert mapped.exit_code == 0, mapped.output


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tiles": {}}, "give each a name"),
        ({"tiles": {"a": {"cube": "x.zarr"}}}, "give its cube and its labels"),
        ({"draw": {"rule": "random"}}, "its rule is one of stratified, proportional, equal"),
        ({"draw": {"rule": "equal", "m": 3}}, "the rule equal takes n; found m"),
        ({"colour": "green"}, "has colour that is not known"),
        ({"legend": {"A": [1], "B": [1]}}, "1"),
    ],
)
def test_jobs_that_cannot_be_read(tmp_path, change, words):
    tiles, rule = {"a": {"cube": "x.zarr", "labels": "y.tif"}}, {"rule": "equal", "n": 3}
    job = {"tiles": tiles, "output": "o", "legend": {"A": [1], "B": [2]}, "draw": rule}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job | change))
    with pytest.raises(xs.XSentinelError, match=words):
        read_crop_job(tmp_path / "job.yaml")
    with pytest.raises(xs.ReadError, match=r"none\.yaml does not exist"):
        read_crop_job(tmp_path / "none.yaml")
