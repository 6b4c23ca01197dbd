"""Training of land cover from sparse labels, and its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
import xarray as xr

from xsentinel.blocks.model import Model, load_model, read_network, save_model
from xsentinel.classes import LabelClass
from xsentinel.cube import Encoding
from xsentinel.errors import XSentinelError
from xsentinel.models.card import Card, Channel, EqualDates
from xsentinel.models.network import Network
from xsentinel.models.networks import build_network
from xsentinel.samples import priors
from xsentinel.samples.sides import labels_on, sides_of
from xsentinel.training.classify import descend, fresh
from xsentinel.training.landcover_batches import Cutter, Source
from xsentinel.training.landcover_forest import drawn_pixels, grow_forest, grow_on_features
from xsentinel.training.landcover_loop import PatchClassification, Patches, class_weights
from xsentinel.training.landcover_presets import LANDCOVER_PRESETS, LandcoverPreset
from xsentinel.training.landcover_scores import evaluate_landcover, score_tiles
from xsentinel.training.landcover_tiles import Making, Ready, Storing, channels_of, classes_in, make_ready
from xsentinel.training.loop import helps
from xsentinel.training.options import is_mixed, take
from xsentinel.training.patches import resolution_of
from xsentinel.training.places import Draw, Places, count_labels, find_places
from xsentinel.training.presets import find_preset
from xsentinel.training.tiles import Kept, Tile
from xsentinel.version import __version__

Tiles = Mapping[str, tuple[xr.Dataset, xr.Dataset | xr.DataArray]]
"""Name → cube and labels."""

SHARES = {"train": 0.6, "validation": 0.07, "test": 0.33}
"""The paper's 67 % to learn from and 33 % to score, a tenth of the former to watch the training by."""

HELD_PATCHES = 256
"""On which an epoch is scored, at the most."""


@dataclass(frozen=True)
class Run:
    """How `train_landcover` runs."""

    epochs: int | None = None
    """Instead of the preset's, as the two that follow."""
    steps: int | None = None
    weighted: bool | None = None
    shares: Mapping[str, float] = field(default_factory=lambda: SHARES)
    """Of the sides that labels are split into."""
    block: float = 1000.0
    """Metres along a square of land in no parcel, which falls to one side."""
    start: str | None = None
    """First day of the season of all tiles; each cube's own if not given."""
    season: EqualDates = EqualDates()  # noqa: RUF009  (frozen)
    """Which days the equal dates are."""
    precision: Literal["fp32", "bf16", "auto"] = "auto"
    """Of the training: bf16 for mixed precision; auto: where the processor multiplies in it. Faster there, and in two
    trials scores as good (``python -m benchmarks.landcover_precision``)."""
    patience: int | None = None
    """Epochs without a better kappa on "validation" after which to stop; the best weights count then."""
    processes: int = 1
    """Of this machine, that learn together (DDP)."""
    resume: bool = False
    """Whether to go on from the last checkpoint."""
    progress: bool = True
    cache: int = 1 << 30
    """Bytes of chunks read lately that are kept."""
    threads: int = 2
    """That read patches beside the training."""
    scores: bool = True
    """Whether the tiles are mapped at the end, to score on the side "test"."""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Run:
        """Read options.

        Raises
        ------
        XSentinelError
            If one is not known.
        """
        run = cls(**take("train_landcover", given, vars(cls())))
        is_mixed(run.precision)  # says so if it is not known
        return run

    @property
    def mixed(self) -> bool:
        """Whether bfloat16 is used where the processor can."""
        return is_mixed(self.precision)


def train_landcover(
    tiles: Tiles,
    folder: str | PathLike[str],
    *,
    preset: str | LandcoverPreset = "fgunet",
    name: str = "landcover",
    seed: int = 0,
    initial: str | PathLike[str] | Model | None = None,
    indices: Sequence[str] = (),
    dates: int | None = 33,
    **run: Any,
) -> Model:
    r"""Train a network of land cover on tiles of which few pixels are labelled, and save it with its card.

    The method of Stoian et al. (2019): cubes are filled linearly and brought to equal dates; labels are split by whole
    polygons; patches with labels on a tenth of their pixels are drawn class by class over all tiles, turned and mirrored,
    and read while the network learns, so that tiles may be larger than memory; bands are normalised by their 3rd and
    97th percentile; the cross-entropy is weighted by :math:`n_{tot}/n_k`, and unlabelled pixels lose nothing.

    Parameters
    ----------
    tiles : mapping from name to (cube, labels)
        Cubes (time, y, x) of one pixel size, clouds masked, in memory or lazy; labels on the same pixels, as
        `xsentinel.samples.rasterise` and `from_raster` give them, with ``parcel`` if there are polygons. Labels that
        `split_polygons` has split keep their sides: "train", and if they are there "validation" and "test".
    folder : path
        For ``<name>.safetensors``, ``<name>.json``, checkpoints with a table of the epochs (``history.csv``), and
        what is stored of lazy tiles.
    preset : str or LandcoverPreset
        "fgunet", "unet", "mlp", "lstm", "tsfgunet"; "forest", on single pixels; "features", a forest on what the network
        given as `initial` finds; or settings of your own.
    name : str
    seed : int
        Of the split, the first weights, the patches, dropout and what scikit-learn draws.
    initial : str, path or Model, optional
        A model to go on from, such as for another year: its normalisation and classes are kept; tiles may lack some of them.
    indices : sequence of str
        Further channels: "NDVI", "NDWI", "brightness".
    dates : int, optional
        Equal dates of the season; None: the cubes' own, as many in each tile.
    **run
        Fields of `xsentinel.training.landcover.Run`: ``epochs``, ``steps`` (an epoch), ``weighted``, ``shares``, ``block``,
        ``start``, ``season``, ``precision`` ("auto"), ``patience``, ``processes`` (1; those beside the first end when the training
        does), ``resume`` (False), ``progress`` (True), ``cache`` (2³⁰ bytes), ``threads`` (2), ``scores`` (True).

    Returns
    -------
    Model

    Raises
    ------
    XSentinelError
        If there are fewer than two classes to learn, or tiles, labels or the model to start from do not fit together.
    GridError, TimeError, BandError, UnitsError
        If cubes or labels do not fit.

    References
    ----------
    Stoian, Poulain, Inglada, Poughon & Derksen (2019), Land Cover Maps Production with High Resolution Satellite Image
    Time Series and Convolutional Neural Networks, Remote Sensing 11, 1986.

    Examples
    --------
    >>> from xsentinel.training import train_landcover
    >>> model = train_landcover({"west": (cube, labels)}, "models", name="mine")  # doctest: +SKIP
    >>> cube.s2.landcover(model)  # doctest: +SKIP
    """
    options = Run.of(run)
    chosen = _chosen(preset, options)
    start = None if initial is None else load_model(initial)
    rough = _rough(name, chosen, start, tiles, tuple(indices), dates, options)
    storing = Storing(Path(folder), options.progress)
    how = Making(options.shares, options.block, seed, options.start)
    ready = [make_ready(n, cube, labels, rough, how, storing) for n, (cube, labels) in tiles.items()]
    learnt = _Learnt.of(ready, rough, start)
    card = replace(rough, channels=learnt.channels, classes=learnt.classes)
    network, card = _fit(card, chosen, learnt, start, Path(folder), seed, options)
    _leave_if_second()
    training = _describe(chosen, learnt, options, seed) | ({} if start is None else {"from": start.card.name})
    card = replace(card, stride=network.stride, radius=network.radius, training=training)
    model = save_model(network, card, folder)
    return save_model(network, replace(card, scores=score_tiles(model, ready)), folder) if options.scores else model


def leave_one_out(tiles: Tiles, folder: str | PathLike[str], *, seed: int = 0, **how: Any) -> pd.DataFrame:
    """Train as many models as there are tiles, each without one of them, and score each on the tile that it has not seen.

    Parameters
    ----------
    tiles : mapping from name to (cube, labels)
        Two or more, as of `train_landcover`. All labels of the tile left out count.
    folder : path
        Holds a folder for each tile afterwards.
    seed : int
    **how
        As of `train_landcover`.

    Returns
    -------
    pandas.DataFrame
        A row a tile, as `evaluate_landcover` gives it.

    Raises
    ------
    XSentinelError
        If there is only one tile, or as the training does.

    Examples
    --------
    >>> leave_one_out({"west": (cube, labels), "east": (other, more)}, "folds", epochs=20)  # doctest: +SKIP
    """
    if len(tiles) < 2:
        raise XSentinelError(f"{len(tiles)} tile; to leave one out takes two or more")
    rows = []
    for name, (cube, labels) in tiles.items():
        others = {n: tile for n, tile in tiles.items() if n != name}
        model = train_landcover(others, Path(folder) / name, seed=seed, scores=False, **how)
        whole = labels["label"] if isinstance(labels, xr.Dataset) else labels
        rows.append(evaluate_landcover(model, {name: (cube, whole)}, start=how.get("start")).drop("all"))
    return pd.concat(rows)


def _chosen(preset: str | LandcoverPreset, run: Run) -> LandcoverPreset:
    """Give the preset, with what is told instead of its own."""
    chosen = find_preset(preset, LANDCOVER_PRESETS)
    told = {key: getattr(run, key) for key in ("epochs", "steps", "weighted") if getattr(run, key) is not None}
    return replace(chosen, **told)


def _rough(
    name: str, preset: LandcoverPreset, start: Model | None, tiles: Tiles, indices: tuple[str, ...], dates: int | None, run: Run
) -> Card:
    """Give a card without normalisation and classes; of a model to start from, what it takes."""
    if not tiles:
        raise XSentinelError("there are no tiles to learn from; give {name: (cube, labels)}")
    pixel = resolution_of({n: cube for n, (cube, _) in tiles.items()})
    if start is None:
        if preset.fit == "features":
            raise XSentinelError("a forest on features needs a trained network; give it as initial")
        n_dates = dates or len(next(iter(tiles.values()))[0]["time"])
        channels = tuple(Channel(band, 0.0, 1.0) for band in (*preset.bands, *indices))
        equal = None if dates is None else run.season
        return Card(
            name, preset.network, dict(preset.settings), channels, (), pixel, 1, 0, "Apache-2.0", n_dates, equal_dates=equal
        )  # fmt: skip
    card = start.card
    other = preset.fit == "descent" and (card.network, dict(card.settings)) != (preset.network, dict(preset.settings))
    if other or preset.fit == "trees" or not card.classes or indices:
        raise XSentinelError(
            f"model {card.name} ({card.network} {dict(card.settings)}) cannot be started from with the preset of "
            f"{preset.network} {dict(preset.settings)}{' and indices' if indices else ''}: take the preset that it was trained with"
        )
    if not np.isclose(pixel, card.resolution_m, rtol=0.01):
        raise XSentinelError(
            f"model {card.name} is of {card.resolution_m:g} m, and the tiles have pixels of {pixel:g} m; open them at its size"
        )
    return replace(card, name=name, scores={}, calibration=None, digest="")


@dataclass(frozen=True, eq=False)
class _Learnt:
    """What is learnt from."""

    ready: Sequence[Ready]
    maps: Sequence[xr.DataArray]
    """Labels of the side "train"."""
    classes: tuple[LabelClass, ...]
    pixels: tuple[int, ...]
    """Of each class."""
    channels: tuple[Channel, ...]

    @classmethod
    def of(cls, ready: Sequence[Ready], card: Card, start: Model | None) -> _Learnt:
        maps = [labels_on(tile.labels, "train") for tile in ready]
        known = classes_in(ready)
        counts: dict[int, int] = {c.code: 0 for c in known}
        for found in map(priors, maps):
            for code, n in zip(found["code"].values.tolist(), found["pixels"].values.tolist(), strict=True):
                counts[code] += n
        there = tuple((c, counts[c.code]) for c in known if counts[c.code])
        if start is not None:
            own = {c.code: n for c, n in there}
            strange = [c for c, _ in there if c.code not in {k.code for k in start.card.classes}]
            if strange:
                raise XSentinelError(
                    f"model {start.card.name} does not know {', '.join(f'{c.code} {c.name}' for c in strange)}; it knows "
                    f"{', '.join(f'{c.code} {c.name}' for c in start.card.classes)}"
                )
            there = tuple((c, own.get(c.code, 0)) for c in start.card.classes)
        if sum(n > 0 for _, n in there) < 2:
            raise XSentinelError(f"{len(there)} class is labelled on the side 'train' of all tiles; give two or more")
        channels = channels_of(ready, card.bands) if start is None else start.card.channels
        return cls(ready, maps, tuple(c for c, _ in there), tuple(n for _, n in there), channels)

    def cutter(self, card: Card, maps: Sequence[xr.DataArray], kept: Kept, side: int) -> Cutter:
        """Give what cuts patches with the labels of one side."""
        sources = []
        for tile, labels in zip(self.ready, maps, strict=True):
            own = Tile(f"{tile.name} {labels.name}", (labels.transpose("y", "x").data[None],), (Encoding(),), kept)
            sources.append(Source(tile.tile(kept), own))
        return Cutter(sources, card, side)

    def places(self, preset: LandcoverPreset) -> Places:
        """Find the patches of the classes that there are."""
        codes = [c.code for c, n in zip(self.classes, self.pixels, strict=True) if n]
        return find_places(self.maps, codes, preset.patch, preset.step, preset.least)

    def held(self, preset: LandcoverPreset) -> tuple[list[xr.DataArray], tuple[Draw, ...]] | None:
        """Give the labels of the side "validation" and patches of them, side by side, drawn evenly."""
        if not all("validation" in sides_of(tile.labels) for tile in self.ready):
            return None
        maps = [labels_on(tile.labels, "validation") for tile in self.ready]
        codes = [c.code for c in self.classes]
        counts = [count_labels(m, codes, preset.patch).sum(2) for m in maps]
        corners = np.concatenate([np.insert(np.argwhere(c > 0) * preset.patch, 0, k, 1) for k, c in enumerate(counts)])
        if not len(corners):
            return None
        order = np.random.default_rng(0).permutation(len(corners))[:HELD_PATCHES]
        return maps, tuple(Draw(int(t), int(row), int(column), 0) for t, row, column in corners[np.sort(order)])


def _fit(card: Card, preset: LandcoverPreset, learnt: _Learnt, start: Model | None, out: Path, seed: int, run: Run) -> tuple[Network, Card]:
    """Fit as the preset says; give the network and its card."""
    kept = Kept(run.cache)
    cutter = learnt.cutter(card, [m.rename("train") for m in learnt.maps], kept, preset.patch)
    if preset.fit != "descent":
        pixels = drawn_pixels(learnt.maps, preset.pixels, seed)
        if preset.fit == "trees":
            return grow_forest(cutter, pixels, preset, seed)
        assert start is not None
        return grow_on_features(cutter, pixels, read_network(start), preset, seed)
    torch.manual_seed(seed)
    network = build_network(card) if start is None else read_network(start)
    looks = learnt.held(preset)
    held = None if looks is None else (learnt.cutter(card, [m.rename("validation") for m in looks[0]], kept, preset.patch), looks[1])
    if held is None and run.patience is not None:
        raise XSentinelError("patience watches the side 'validation', on which no tile has labels; give it a share, or leave patience out")
    places = learnt.places(preset)
    steps = preset.steps or max(1, len(places.corners) * preset.step**2 // preset.patch**2 // preset.batch)
    patches = Patches(cutter, places, held, run.threads)
    network = network.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    task = PatchClassification(network, preset, patches, max(1, steps // run.processes), run.processes, seed)
    task.weights = class_weights(learnt.pixels) if preset.weighted else None
    folder = fresh(out / "checkpoints" / card.name, run.resume or helps())
    limits: dict[str, Any] = {"precision": "bf16-mixed"} if run.mixed else {}
    told: dict[str, Any] = {key: getattr(run, key) for key in ("resume", "processes", "progress", "patience")}
    try:
        descend(task, folder, epochs=preset.epochs, **told, **limits)
    finally:
        task.close()
    return network.eval(), card


def _leave_if_second() -> None:
    """End a process that only helped the first to train: what follows is done once."""
    if helps():
        raise SystemExit(0)


def _describe(preset: LandcoverPreset, learnt: _Learnt, run: Run, seed: int) -> dict[str, Any]:
    """Say in a card what was learnt from and how."""
    names = ", ".join(f"{c.name} {n}" for c, n in zip(learnt.classes, learnt.pixels, strict=True))
    how = (
        f"{preset.epochs} epochs, adam {preset.rate:g}, batches of {preset.batch} patches of {preset.patch}, "
        f"{'mixed bf16' if run.mixed else 'fp32'}{', loss weighted n_tot/n_k' if preset.weighted else ''}"
        if preset.fit == "descent"
        else f"{preset.fit} {dict(preset.grower)}, {preset.pixels} pixels a class at the most"
    )
    versions = {"xsentinel": __version__, "torch": torch.__version__}
    return {"tiles": ", ".join(t.name for t in learnt.ready), "labelled pixels": names, "preset": how, "seed": seed} | versions
