"""Crop types on simulated land of known truth, printed as Markdown: ``python -m benchmarks.crops_simulated findings|reliable``.

After Weikmann, Paris & Bruzzone (2021): three tiles with dates of their own, and thematic maps with wrong labels.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import count
from time import perf_counter

import dask
import numpy as np
import pandas as pd
import torch
import xarray as xr

import xsentinel as xs
from xsentinel import samples
from xsentinel.accuracy import Assessment
from xsentinel.blocks.model import Model
from xsentinel.models.card import Periods
from xsentinel.training import reliable, train_crops

SIDE, RESOLUTION = 256, 20
"""Pixels of a tile along a side, and metres of a pixel."""

SEASON = ("2017-09-01", "2018-08-31")
"""An agronomic year, as in the paper."""

MONTHS = Periods(first_month=9)

BLOCK = 640.0
"""Metres along a side of the squares that are held out as a whole."""

CROPS = {
    "Winter cereals": [1],
    "Spring cereals": [2],
    "Rapeseed": [3],
    "Maize": [4],
    "Sunflower": [5],
    "Root crops": [6],
    "Grassland": [7],
    "Perm. plantations": [11, 12],
}
LEGEND = samples.legend(CROPS, other="drop")

RULE = samples.Stratified(3000, 150, 3000, 150)
"""n = 3000 p + 150 of each class: 4200 of a tile, less where a class is rare."""

BATCH = 64
"""Samples of a step, in all presets used here."""

FEW = 0.05
"""Share of parcels that have a label where labels are few."""

LEAST = 1
"""Dates that a pixel must have been seen at."""

PAPER = {"whole series, middle": 83.23, "composites, middle": 80.89, "composites, neighbours": 66.18, "composites, all three": 84.54}
"""OA% of table 1 of Weikmann et al."""


@dataclass(frozen=True)
class Tile:
    """A landscape as one gets it, in memory, and its truth."""

    land: xs.simulate.Landscape
    cube: xr.Dataset
    """Clear observations."""
    truth: xr.DataArray
    """Code of LEGEND, 0 where there is no crop."""
    parcels: xr.DataArray
    """Number of the parcel."""
    held: xr.DataArray
    """Whether a pixel is in a block that is held out."""

    @property
    def months(self) -> xr.Dataset:
        """Give twelve monthly composites."""
        return self.cube.s2.composite("MS")

    def labels(self, share_wrong: float = 0.0, outdated: float = 0.0, *, share: float = 1.0, seed: int = 0) -> xr.Dataset:
        """Give a crop map of all parcels or a share of them, eroded by a pixel: outlines right, crops not always.

        Labels are changed to any class, and those that then name no crop are left out, so that more are changed.
        """
        wrong = 2 * share_wrong / (1 + share_wrong)
        raw = self.land.labels(share=share, wrong=wrong, outdated=outdated, seed=seed).compute(num_workers=1)
        return samples.from_raster(raw.where(self.truth > 0, 0), self.cube, legend=LEGEND, erode=RESOLUTION, parcels=self.parcels)

    def tested(self) -> xr.DataArray:
        """Give the true labels of held-out blocks, eroded, of parcels with no pixel elsewhere; 0 else."""
        label = self.labels()["label"]
        elsewhere = np.unique(self.parcels.values[~self.held.values])
        return label.where(self.held & ~self.parcels.isin(elsewhere), 0)


def make_tile(dates: int, orbits: int, seed: int, latitude: float) -> Tile:
    """Simulate a tile at the clearest so many passes of the season, as archives are searched."""
    times = xs.simulate.overpasses(*SEASON, seed=seed, orbits=orbits)
    corner = xs.simulate.landscape((48, 48), list(times), seed=seed, resolution=RESOLUTION, latitude=latitude)
    clear = corner.cube.s2.clear_share().compute().values
    chosen = times[np.sort(np.argsort(-clear, kind="stable")[:dates])]
    land = xs.simulate.landscape((SIDE, SIDE), list(chosen), seed=seed, resolution=RESOLUTION, latitude=latitude)
    cube = land.cube.s2.mask_clouds(dilate=60).drop_vars("SCL", errors="ignore").compute()
    known = land.truth[["class", "parcel"]].compute()
    truth = samples.from_raster(known["class"], cube, legend=LEGEND)["label"]
    return Tile(land, cube, truth, known["parcel"], _held_out(truth, known["parcel"]))


def _held_out(truth: xr.DataArray, parcels: xr.DataArray) -> xr.DataArray:
    """Hold out the blocks of 30 % of the crops' pixels."""
    every = samples.draw(xr.Dataset({"label": truth, "parcel": parcels}), samples.Equal(truth.size), block=BLOCK)
    sides = samples.split(every, shares={"train": 0.7, "test": 0.3})
    place = np.floor(truth["y"] / BLOCK).astype(np.int64) * 1_000_000 + np.floor(truth["x"] / BLOCK).astype(np.int64)
    return place.isin(sides["block"].values[sides["split"].values == "test"])


TILES = {"west": (40, 1, 21, 48.7), "middle": (70, 2, 22, 48.0), "east": (40, 1, 23, 47.3)}
"""Dates, orbits, seed, latitude of three neighbours: the middle one lies where two orbits overlap."""


@cache
def tile_of(name: str) -> Tile:
    """Give one of the three."""
    return make_tile(*TILES[name])


def training(tile: Tile, labels: xr.Dataset, cube: xr.Dataset, seed: int) -> xr.Dataset:
    """Draw samples by the paper's rule, outside the held-out blocks, and take their series."""
    kept = labels.assign(label=labels["label"].where(~tile.held, 0).assign_attrs(labels["label"].attrs))
    return samples.extract(cube, samples.draw(kept, RULE, seed=seed))


class Trainer:
    """Trains in a folder that goes when all is done."""

    def __init__(self, preset: str) -> None:
        self.preset, self.folder, self.names = preset, tempfile.TemporaryDirectory(), (f"m{k}" for k in count())

    def __call__(self, drawn: xr.Dataset, *, epochs: int, seed: int, periods: Periods | None = MONTHS, **run: object) -> Model:
        """Train for so many epochs."""
        how = {"preset": self.preset, "name": next(self.names), "least": LEAST, "progress": False} | run
        return train_crops(drawn, self.folder.name, periods=periods, resolution=RESOLUTION, epochs=epochs, seed=seed, **how)


def tested(model: Model, cube: xr.Dataset, truth: xr.DataArray) -> Assessment:
    """Assess the map of a model where the truth is held out."""
    return xs.accuracy.assess(cube.s2.crops(model)["class"], truth, ignore=0, classes={c.code: c.name for c in LEGEND.classes})


def print_rows(head: list[str], rows: list[list[str]]) -> None:
    """Print a Markdown table."""
    for row in (head, ["---", *["---:"] * (len(head) - 1)], *rows):
        print(f"| {' | '.join(row)} |", flush=True)
    print(flush=True)


def sets(share: float, seed: int) -> Iterator[tuple[str, xr.Dataset, xr.Dataset, Periods | None]]:
    """Give what is learnt from, by name: samples, the middle tile's cube as the model takes it, and periods."""
    land, middle = {name: tile_of(name) for name in TILES}, tile_of("middle")
    labels = {name: tile.labels(share=share, seed=seed) for name, tile in land.items()}
    drawn = {name: training(tile, labels[name], tile.months, seed) for name, tile in land.items()}
    around = {name: part for name, part in drawn.items() if name != "middle"}
    whole = training(middle, labels["middle"], middle.cube, seed)
    names, months = list(PAPER), middle.months
    yield names[0], whole, middle.cube, None
    yield names[1], drawn["middle"], months, MONTHS
    # months have the same starts in all tiles
    yield names[2], samples.concat(around), months, MONTHS
    yield names[3], samples.concat(drawn), months, MONTHS


def findings(preset: str, steps: int, share: float, seeds: int) -> None:
    """Print the paper's table 1 as simulated land has it: labels of a share of the parcels, as many steps for each set."""
    truth, train = tile_of("middle").tested(), Trainer(preset)
    found: dict[str, list[tuple[Assessment, int, int]]] = {}
    for seed in range(seeds):
        for name, drawn, cube, periods in sets(share, seed):
            start, n = perf_counter(), drawn.sizes["sample"]
            model = train(drawn, epochs=max(1, round(steps / (n // BATCH))), seed=seed, periods=periods)
            trained = perf_counter()
            result = tested(model, cube, truth)
            found.setdefault(name, []).append((result, n, drawn.sizes["time"]))
            print(f"{preset}, {share:.0%}, seed {seed}, {name}: OA {100 * result.overall_accuracy:.2f}, trained in "
                  f"{trained - start:.0f} s, mapped in {perf_counter() - trained:.0f} s", file=sys.stderr, flush=True)  # fmt: skip
    rows = [[name, str(runs[0][2]), f"{np.mean([r[1] for r in runs]):.0f}", *_scores([r[0] for r in runs]), f"{PAPER[name]:.2f}"]
            for name, runs in found.items()]  # fmt: skip
    title = f"{preset}, {share:.0%} of parcels labelled"
    print_rows([title, "dates", "samples", "OA%", "macro F1%", "OA% in the paper"], rows)
    print_classes(title, {name: [r[0] for r in runs] for name, runs in found.items()})


def _scores(runs: list[Assessment]) -> list[str]:
    """Give overall accuracy and macro F1: the mean over seeds, and half the range."""
    values = 100 * np.array([[r.overall_accuracy, r.macro_f1] for r in runs])
    return [f"{m:.2f}" + (f" ± {s:.2f}" if len(runs) > 1 else "") for m, s in zip(values.mean(0), np.ptp(values, 0) / 2, strict=True)]


def print_classes(preset: str, found: dict[str, list[Assessment]]) -> None:
    """Print PA, UA and F1 by class, means over seeds, in the form of the paper's table 1."""
    means = {name: pd.concat([r.table() for r in runs]).groupby(level=0, sort=False).mean() for name, runs in found.items()}
    first = next(iter(found.values()))[0]
    head = [preset, *(f"{name}: PA%" if k == 0 else ("UA%", "F1%")[k - 1] for name in means for k in range(3)), "test pixels"]
    support = first.scores["support"].astype(int).astype(str)
    rows = [[c, *("–" if np.isnan(v) else f"{v:.1f}" for m in means.values() for v in m.loc[c]), support.get(c, "")]
            for c in next(iter(means.values())).index]  # fmt: skip
    print_rows(head, rows)


FAULTS = {"none": (0.0, 0.0), "10 %": (0.1, 0.0), "20 %": (0.2, 0.0), "30 %": (0.3, 0.0), "outdated": (0.0, 0.3)}
"""Share of labels that are wrong at random, and of those that name the crop of a year before."""

Row = dict[str, float]


def reliable_samples(preset: str, epochs: int, faults: dict[str, tuple[float, float]], seeds: int) -> None:
    """Print what selecting reliable samples gives back of what wrong labels take."""
    scene, train, rows = Scene(tile_of("middle")), Trainer(preset), []
    for name, shares in faults.items():
        runs = [one_method(scene, train, epochs, shares, seed) for seed in range(seeds)]
        print(preset, epochs, name, runs, file=sys.stderr, flush=True)
        found = {k: np.array([r[k] for r in runs]) for k in runs[0]}
        rows.append([name, *(f"{v.mean():.1f}" + (f" ± {np.ptp(v) / 2:.1f}" if seeds > 1 else "") for v in found.values())])
    print_rows([f"labels at fault ({preset}, {epochs} epochs)", *(f"{k} %" for k in runs[0])], rows)


class Scene:
    """A tile's composites and what is tested, made once."""

    def __init__(self, tile: Tile) -> None:
        self.tile, self.months, self.truth = tile, tile.months.compute(), tile.tested()

    def oa(self, maps: xr.Dataset) -> float:
        """Give the overall accuracy where the truth is held out, per cent."""
        return 100 * xs.accuracy.assess(maps["class"], self.truth, ignore=0).overall_accuracy


def one_method(scene: Scene, train: Trainer, epochs: int, faults: tuple[float, float], seed: int) -> Row:
    """Run the method of the paper on a map with faults, and the same without its selection; give percentages."""
    tile, months = scene.tile, scene.months
    given = tile.labels(*faults, seed=seed)
    label = given["label"].where(~tile.held, 0).assign_attrs(given["label"].attrs)
    weak = train(training(tile, given, months, seed), epochs=epochs, seed=seed, weighted=True)
    maps = months.s2.crops(weak)
    chosen = reliable(label, maps.where(~tile.held).assign({"class": maps["class"].where(~tile.held, 0)}))
    again = {"epochs": epochs, "seed": seed + 100, "initial": weak, "weighted": False}
    final = train(training(tile, given.assign(label=chosen), months, seed + 100), **again)
    plain = train(training(tile, given, months, seed + 100), **again)
    found = {"wrong": wrong_share(label, tile), "wrong after selection": wrong_share(chosen, tile), "kept": kept_share(chosen, label)}
    scores = {"OA weak": maps, "OA final, selected": months.s2.crops(final), "OA final, all labels": months.s2.crops(plain)}
    return found | {k: scene.oa(m) for k, m in scores.items()}


def wrong_share(label: xr.DataArray, tile: Tile) -> float:
    """Give the share of labels that are not true, per cent."""
    there = label.values > 0
    return 100 * float((label.values != tile.truth.values)[there].mean())


def kept_share(chosen: xr.DataArray, label: xr.DataArray) -> float:
    """Give the share of labels that were kept, per cent."""
    return 100 * float((chosen.values > 0).sum() / (label.values > 0).sum())


def main() -> None:
    """Print what is asked for."""
    asked = sys.argv[1:] or ["findings", "reliable"]
    torch.set_num_threads(1)
    with dask.config.set(num_workers=1):
        if "findings" in asked:
            findings("ltae", 1950, 1.0, 1)
            findings("paper", 1300, 1.0, 1)
            findings("ltae", 1000, FEW, 3)
        if "reliable" in asked:
            reliable_samples("ltae", 5, FAULTS, 2)
            reliable_samples("ltae", 20, {k: FAULTS[k] for k in ("20 %", "none")}, 1)  # long enough to learn faults by heart


if __name__ == "__main__":
    main()
