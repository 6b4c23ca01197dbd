"""Trainings of land cover and the maps that they give, kept so that a run that stops loses nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import xarray as xr

from benchmarks.landcover_data import TILES, Tile, note, tiles
from xsentinel import samples
from xsentinel.blocks.model import Model, load_model, read_network
from xsentinel.training import train_landcover
from xsentinel.training.landcover_presets import LANDCOVER_PRESETS, LandcoverPreset

STEPS = 450
"""Of all networks but those with a memory, LSTM and TSFG-UNET."""

SHORT = {"cycle": True, "rate": 2e-3, "epochs": 1, "patch": 48, "batch": 4, "weighted": False}
"""How networks are trained here in minutes instead of the paper's hours: smaller patches and batches, one cycle of the rate; classes
are balanced by the draw of patches alone: with weights too, kappa after 200 steps was 0.78, without 0.89 (one tile)."""

SMALL = {"patch": 32, "batch": 4}
"""What a step of networks with a memory, and of the FG-UNET that they are compared with, is made of."""
SMALL_STEPS = 40

REFERENCES = 2
"""Forests on different parts of the labels, whose corners are sought."""

FEW = 0.25
"""Share of the polygons learnt from that a tile gives to a model that was made elsewhere."""


@dataclass(frozen=True)
class Plan:
    """A training and what is mapped with it."""

    preset: str
    learnt: tuple[str, ...] = tuple(TILES)
    """Tiles that are learnt from."""
    few: str = ""
    """The tile that gives a few labels only."""
    mapped: tuple[str, ...] = tuple(TILES)
    part: int | None = None
    """Which part of the polygons is left out."""
    initial: str = ""
    """The run that is gone on from."""
    steps: int = STEPS
    changed: Mapping[str, Any] = field(default_factory=dict)
    """Of the preset."""
    indices: tuple[str, ...] = ()
    seed: int = 0
    side: int | None = None
    """Pixels along the corner of each tile that is mapped; None: all."""

    def labels(self, tile: Tile) -> xr.Dataset:
        """Give the labels that are learnt from on a tile, as side train."""
        if self.part is None and tile.name != self.few:
            return tile.labels
        known = samples.labels_on(tile.labels, "train")
        cut = {"few": FEW, "rest": 1 - FEW} if self.part is None else {f"part{k}": 1 / REFERENCES for k in range(REFERENCES)}
        side = samples.split_polygons(tile.labels[["parcel"]].assign(label=known), cut, seed=1)["side"]
        kept = known.where(side == 1 if self.part is None else side != self.part + 1, 0).assign_attrs(known.attrs)
        there = (kept > 0).astype(np.uint8).assign_attrs(flag_values=np.array([1], np.uint8), flag_meanings="train")
        return tile.labels[["parcel"]].assign(label=kept, side=there)


@dataclass(frozen=True)
class Run:
    """What came of a plan."""

    name: str
    facts: Mapping[str, Any]
    folder: Path

    @cached_property
    def maps(self) -> dict[str, np.ndarray]:
        """Give codes (y, x) by tile."""
        return {name: np.load(self.folder / "maps" / f"{self.name}-{name}.npy") for name in self.facts["mapped"]}

    @property
    def model(self) -> Model:
        """Give the model."""
        return load_model(self.folder / "models" / f"{self.name}.json")


def settled(plan: Plan) -> LandcoverPreset:
    """Give the preset of a plan."""
    chosen = LANDCOVER_PRESETS[plan.preset]
    if chosen.fit == "descent":
        chosen = replace(chosen, **SHORT, steps=plan.steps)
    return replace(chosen, **plan.changed)


def carry_out(name: str, plan: Plan, folder: Path) -> Run:
    """Train and map, or give what was done before."""
    told = folder / "runs" / f"{name}.json"
    if not told.exists():
        land = tiles(folder)
        pairs = {n: (land[n].cube, plan.labels(land[n])) for n in dict.fromkeys((*plan.learnt, *([plan.few] if plan.few else [])))}
        initial = {"initial": folder / "models" / f"{plan.initial}.json"} if plan.initial else {"indices": plan.indices}
        start = process_time()
        how = {"precision": "bf16", "progress": False, "scores": False, "threads": 1}
        model = train_landcover(pairs, folder / "models", preset=settled(plan), name=name, seed=plan.seed, **initial, **how)
        facts = {"train_s": process_time() - start, "mapped": list(plan.mapped), "steps": plan.steps} | _size(model)
        facts |= _map(name, model, {n: land[n] for n in plan.mapped}, plan.side, folder)
        told.parent.mkdir(parents=True, exist_ok=True)
        told.write_text(json.dumps(facts))
        note(f"{name}: trained in {facts['train_s']:.0f} s of CPU, mapped at {facts['mpx_s']:.3f} Mpx/s")
    return Run(name, json.loads(told.read_text()), folder)


def _size(model: Model) -> dict[str, int]:
    network = read_network(model)
    return {"parameters": sum(p.numel() for p in network.parameters()), "bytes": Path(model.path).stat().st_size}


def _map(name: str, model: Model, land: Mapping[str, Tile], side: int | None, folder: Path) -> dict[str, float]:
    """Map tiles and keep the maps."""
    (folder / "maps").mkdir(parents=True, exist_ok=True)
    start, pixels = process_time(), 0
    for tile in land.values():
        cube = tile.cube.isel(y=slice(side), x=slice(side))
        found = cube.s2.landcover(model, precision="bf16")["class"]
        np.save(folder / "maps" / f"{name}-{tile.name}.npy", found.values)
        pixels += found.size
    return {"mpx_s": pixels / 1e6 / (process_time() - start)}
