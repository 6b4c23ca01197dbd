"""Classifiers of crop series on real data: ``python -m benchmarks.crops canada|ucr|train [...]``.

``canada`` and ``ucr`` score presets by cross-validation, ``train`` saves a checkpoint with its card.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr

import xsentinel as xs
from benchmarks.crops_data import canada, ucr
from xsentinel import samples
from xsentinel.blocks.model import Model, read_network, save_model
from xsentinel.simulate.nomenclature import CLASSES
from xsentinel.training.crop_presets import CROP_PRESETS, CropPreset
from xsentinel.training.crops import MONTHLY, probabilities, train_crops
from xsentinel.training.series import limits, planes, read_series

FOREST_GRID = {"min_samples_leaf": [1, 3], "max_features": ["sqrt", 0.3], "class_weight": [None, "balanced"]}
"""What the baseline is tuned over, by macro-F1 of three inner folds of whole blocks."""

PLAIN = 25
"""Epochs on 46 dates, series as they are: varied ones (noise, dates hidden) cost two points there, 74.6 instead of 76.3 %."""

LONG = {
    "tempcnn": {"widths": [64, 64, 64], "kernel": 5, "dense": 256, "dropout": 0.4},
    "inceptiontime": {"width": 32, "kernels": [15, 7, 3], "depth": 6, "dropout": 0.3},
    "rocket": {"biases": 10},
}
"""Settings for 46 dates instead of 12."""


def presets(names: Sequence[str], n_dates: int, epochs: int | None = None) -> Iterator[tuple[str, CropPreset, int]]:
    """Give name, preset and members; ``ltae*5`` is an ensemble of five."""
    for text in names:
        name, _, members = text.partition("*")
        preset = CROP_PRESETS[name]
        preset = replace(preset, epochs=epochs or preset.epochs)
        if n_dates > 12 and name in LONG:
            preset = replace(preset, settings=LONG[name])
        yield text, preset if n_dates == 12 else replace(preset, variation=None, epochs=epochs or PLAIN), int(members or 1)


def answers(data: xr.Dataset, fold: int, preset: CropPreset, members: int, seed: int) -> np.ndarray:
    """Train without a fold; give the probabilities of its samples, (sample, code − 1)."""
    test = np.flatnonzero(data["fold"].values == fold)
    monthly = MONTHLY if data.sizes["time"] == 12 else None
    with tempfile.TemporaryDirectory() as folder:
        rest = data.isel(sample=np.flatnonzero(data["fold"].values != fold))
        model = train_crops(rest, folder, preset=preset, seed=seed, periods=monthly, progress=False, ensemble=members)
        found = probabilities(read_network(model), model.card.channels, data["reflectance"].values[test])
    out = np.zeros((len(test), int(data["label"].max())), np.float32)
    out[:, [c.code - 1 for c in model.card.classes]] = found
    return out


def tuned_forest(data: xr.Dataset, fold: int, seed: int) -> np.ndarray:
    """Give scikit-learn's random forest, its settings chosen by cross-validation within the other folds."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import GridSearchCV, GroupKFold

    from xsentinel.models.series import fill

    series = read_series(data)
    x = planes(series.values, limits(series)).reshape(len(series.codes), data.sizes["time"], -1)
    features, inside = fill(x).flatten(1).numpy(), data["fold"].values != fold
    grower = RandomForestClassifier(200, random_state=seed)
    search = GridSearchCV(grower, FOREST_GRID, scoring="f1_macro", cv=GroupKFold(3))
    groups = np.unique(data["block"].values, return_inverse=True)[1] if "block" in data.coords else np.arange(len(inside))
    search.fit(features[inside], series.codes[inside], groups=groups[inside])
    out = np.zeros((int((~inside).sum()), int(data["label"].max())), np.float32)
    out[:, search.classes_ - 1] = search.predict_proba(features[~inside])
    return out


def score(data: xr.Dataset, found: list[np.ndarray]) -> str:
    """Give OA, macro-F1 over all samples, and mean and range of macro-F1 over folds."""
    from sklearn.metrics import accuracy_score, f1_score

    codes, folds = data["label"].values, data["fold"].values
    tests = [np.flatnonzero(folds == k) for k in range(len(found))]
    told = [p.argmax(1) + 1 for p in found]
    truth, all_ = np.concatenate([codes[t] for t in tests]), np.concatenate(told)
    each = [f1_score(codes[t], a, average="macro", labels=np.unique(codes[t]), zero_division=0) for t, a in zip(tests, told, strict=True)]
    macro = f1_score(truth, all_, average="macro")
    spread = f"{100 * np.mean(each):.1f} ({100 * min(each):.0f}–{100 * max(each):.0f})"
    return f"{100 * accuracy_score(truth, all_):.1f} | {100 * macro:.1f} | {spread}"


def table(data: xr.Dataset, names: Sequence[str], n_folds: int, seed: int, epochs: int | None) -> None:
    """Print a row a preset."""
    classes = len(set(data["label"].values.tolist()))
    print(f"{data.sizes['sample']} samples, {classes} classes, {data.sizes['time']} dates, {n_folds} of 5 folds, seed {seed}\n")
    print("| model | OA % | macro-F1 % | macro-F1 of folds | seconds |\n|---|---|---|---|---|")
    rows = [*presets([n for n in names if n != "tuned"], data.sizes["time"], epochs)]
    if "tuned" in names:
        start = time.perf_counter()
        found = [tuned_forest(data, k, seed) for k in range(n_folds)]
        print(f"| random forest, tuned | {score(data, found)} | {time.perf_counter() - start:.0f} |", flush=True)
    for text, preset, members in rows:
        start = time.perf_counter()
        found = [answers(data, k, preset, members, seed) for k in range(n_folds)]
        print(f"| {text} | {score(data, found)} | {time.perf_counter() - start:.0f} |", flush=True)


SOURCES = {
    "canada": "points of Agriculture and Agri-Food Canada, 2017, with monthly Sentinel-2 composites (WorldCereal)",
    "ucr": "UCR archive, Crop",
    "simulated": "xsentinel.simulate.landscape, 2018: no real land",
}
"""Where labels are from, for the card."""

SIMULATED = {1: 44.0, 2: 47.0, 3: 50.0, 4: 53.0, 5: 56.0}
"""Seeds and latitudes of the landscapes that ``crops-simulated`` learns from; the last is held out."""


def simulated(each: int = 250, size: int = 256) -> xr.Dataset:
    """Give samples of simulated landscapes, monthly composites of a year; the truth of the last one validates."""
    told = pd.DataFrame([{"source": c.code, "class": c.name, "colour": c.colour} for c in CLASSES])
    parts = {}
    for seed, latitude in SIMULATED.items():
        scene = xs.simulate.landscape((size, size), "2018", seed=seed, latitude=latitude)
        labels = samples.from_raster(scene.truth["class"], scene.cube, legend=samples.legend(told), erode=10)
        table = samples.draw(labels, samples.Equal(each), seed=seed)
        parts[str(seed)] = samples.extract(scene.cube.s2.mask_clouds(dilate=20).s2.composite("MS"), table)
    joined = samples.concat(parts)
    last = str(max(SIMULATED))
    return joined.assign_coords(split=("sample", np.where(joined["tile"].values == last, "validation", "train")))


def train(which: str, folder: Path, name: str, preset: str, seed: int) -> Model:
    """Train on all samples of a set and save."""
    data = {"canada": canada, "ucr": ucr, "simulated": simulated}[which]()
    ((_, chosen, members),) = presets([preset], data.sizes["time"])
    monthly = None if which == "ucr" else MONTHLY
    model = train_crops(data, folder, preset=chosen, name=name, seed=seed, periods=monthly, ensemble=members, progress=False)
    scores = model.card.scores
    if which != "simulated":
        dealt = samples.folds(data, 5, by="block" if "block" in data.coords else "sample", seed=seed)
        found = score(dealt, [answers(dealt, k, chosen, members, seed) for k in range(5)])
        scores = {"5 folds apart in place, OA % | macro-F1 % | macro-F1 of folds %": found}
    card = replace(model.card, scores=scores, training=model.card.training | {"data": SOURCES[which]})
    return save_model(read_network(model), card, folder)


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crops", description=__doc__)
    parser.add_argument("what", choices=["canada", "ucr", "train"])
    parser.add_argument("models", nargs="*", help="Presets, with *5 for an ensemble of five, and tuned for the tuned random forest.")
    parser.add_argument("--folds", type=int, default=5, help="Of five, how many are done.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="Of networks, instead of their presets'.")
    parser.add_argument("--on", choices=["canada", "ucr", "simulated"], default="canada", help="Of train.")
    parser.add_argument("--name", help="Of train: of the model.")
    parser.add_argument("--folder", type=Path, default=Path("models"), help="Of train.")
    parser.add_argument("--threads", type=int, default=2)
    told = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(told.threads)
    if told.what == "train":
        for preset in told.models or ["tempcnn" if told.on == "ucr" else "ltae"]:
            print(train(told.on, told.folder, told.name or f"crops-{told.on}-{preset.replace('*', '-')}", preset, told.seed))
        return
    every = ["tuned", *CROP_PRESETS, "ltae*5"]
    if told.what == "canada":
        table(samples.folds(canada(), 5, by="block", seed=told.seed), told.models or every, told.folds, told.seed, told.epochs)
    else:
        table(samples.folds(ucr(), 5, by="sample", seed=told.seed), told.models or every, told.folds, told.seed, told.epochs)


if __name__ == "__main__":
    main()
