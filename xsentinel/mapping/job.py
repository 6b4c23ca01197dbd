"""Mapping jobs as files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from os import PathLike
from pathlib import Path
from typing import Any

from xsentinel.batch.jobfile import OPENING, check_keys, load_mapping, placed
from xsentinel.errors import ReadError, did_you_mean
from xsentinel.samples import Equal, Legend, Proportional, Stratified, legend
from xsentinel.samples.rules import Rule

RULES: dict[str, type[Any]] = {"stratified": Stratified, "proportional": Proportional, "equal": Equal}


@dataclass(frozen=True)
class Tile:
    """A piece of land: its images, and a thematic map of it."""

    name: str
    cube: str
    """What xsentinel.open reads."""
    labels: str
    """Polygons (anything that GDAL reads), or a raster of source values (GeoTIFF, NetCDF, Zarr)."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What every mapping job is asked for."""

    tiles: tuple[Tile, ...]
    output: Path
    """Folder of all that it makes."""
    legend: Legend
    how: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """How cubes are opened."""
    mask: Mapping[str, Any] | None = field(default_factory=dict, hash=False)
    """Options of mask_clouds; None: clouds are masked already."""
    start: str | None = None
    """First day of the season; that of the first date if not given."""
    column: str | None = None
    """Of polygons: source values."""
    erode: float = 0.0
    """Metres along borders without label."""
    train: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Options of the training: preset, epochs, seed …"""
    maps: bool = True
    """Whether the tiles are mapped at the end."""
    block: float = 1000.0
    """Metres along a square of land that falls to one side of a split."""

    @property
    def seed(self) -> int:
        """Of draws, splits and training."""
        return int(self.train.get("seed", 0))


@dataclass(frozen=True, kw_only=True)
class CropJob(Job):
    """What a crop-mapping job is asked for."""

    rule: Rule
    """How many samples of each class."""
    split: Mapping[str, float] = field(default_factory=lambda: {"train": 0.6, "validation": 0.2, "test": 0.2}, hash=False)
    """Shares of samples, by whole blocks."""
    reliable: float | None = 0.25
    """Quantile of the confidence above which a label is confirmed; None: one training, nothing selected."""


@dataclass(frozen=True, kw_only=True)
class LandcoverJob(Job):
    """What a job of land cover is asked for."""

    split: Mapping[str, float] = field(default_factory=lambda: {"train": 0.6, "validation": 0.07, "test": 0.33}, hash=False)
    """Shares of labelled pixels, by whole polygons."""


def read_crop_job(path: str | PathLike[str]) -> CropJob:
    """Read a job file of crops.

    ::

        tiles:                          # where images and labels are
          west: {cube: west.zarr, labels: parcels.gpkg}
          east: {cube: products/, labels: map.tif}
        output: crops/
        legend: legend.csv              # or {Maize: [1200], Cereals: [1100, 1500]}
        draw: {rule: stratified, a_most: 20000, b_most: 500, a_least: 60000, b_least: 500}
        # draw: {rule: equal, n: 1000}, or {rule: proportional, n: 20000}
        open: {resolution: 10}          # what follows may be left out
        mask_clouds: {dilate: 60}       # or false
        start: 2018-01
        column: crop                    # of polygons
        erode: 10                       # metres
        split: {train: 0.6, validation: 0.2, test: 0.2}
        block: 1000                     # metres
        train: {preset: paper, epochs: 60, seed: 0}
        reliable: 0.25                  # or false
        maps: true

    Relative paths are those of the folder that the file lies in.

    Parameters
    ----------
    path : path
        Of the file.

    Returns
    -------
    CropJob

    Raises
    ------
    ReadError
        If it is no such file.
    XSentinelError
        If legend or rule cannot be understood.

    Examples
    --------
    >>> read_crop_job("job.yaml").output  # doctest: +SKIP
    """
    file = Path(path)
    found = load_mapping(file, "xsentinel train crops --help")
    shared = _shared(file, found, ("draw",), ("split", "reliable"))
    reliable = found.get("reliable", 0.25)
    told = {"split": found["split"]} if "split" in found else {}
    return CropJob(rule=_rule(file, found["draw"]), reliable=None if reliable is False else float(reliable), **shared, **told)


def read_landcover_job(path: str | PathLike[str]) -> LandcoverJob:
    """Read a job file of land cover.

    ::

        tiles:                          # where images and labels are
          west: {cube: west.zarr, labels: polygons.gpkg}
          east: {cube: products/, labels: map.tif}
        output: landcover/
        legend: legend.csv              # or {Water: [51], Forest: [31, 32]}
        open: {resolution: 10}          # what follows may be left out
        mask_clouds: {dilate: 60}       # or false
        start: 2018-01-01
        column: code                    # of polygons
        erode: 10                       # metres
        split: {train: 0.6, validation: 0.07, test: 0.33}
        block: 1000                     # metres along squares of land that is in no polygon
        train: {preset: fgunet, epochs: 50, seed: 0, dates: 33, indices: [NDVI], processes: 2}
        maps: true

    Relative paths are those of the folder that the file lies in.

    Parameters
    ----------
    path : path
        Of the file.

    Returns
    -------
    LandcoverJob

    Raises
    ------
    ReadError
        If it is no such file.
    XSentinelError
        If the legend cannot be understood.

    Examples
    --------
    >>> read_landcover_job("job.yaml").output  # doctest: +SKIP
    """
    file = Path(path)
    found = load_mapping(file, "xsentinel train landcover --help")
    shared = _shared(file, found, (), ("split",))
    return LandcoverJob(**shared, **({"split": found["split"]} if "split" in found else {}))


KEYS = ("tiles", "output", "legend")
"""What every job has."""
MORE = ("open", "mask_clouds", "start", "column", "erode", "block", "train", "maps", "other")
"""What every job may have."""


NUMBERS = {"erode": 0, "block": 1, "reliable": 0}
"""Keys that are numbers → the least."""


def _shared(file: Path, found: Mapping[str, Any], keys: tuple[str, ...], more: tuple[str, ...]) -> dict[str, Any]:
    """Read the fields of `Job`; keys are what this kind of job must have beside them, more what it may have."""
    must, may = (*KEYS, *keys), (*MORE, *more)
    missing, odd = [key for key in must if key not in found], sorted(set(map(str, found)) - {*must, *may})
    if missing or odd:
        near = did_you_mean(odd[0], [*must, *may]) if odd else ""
        raise ReadError(f"{file} lacks {', '.join(missing) or 'nothing'} and has {', '.join(odd) or 'nothing'} that is not known{near}; it "
                        f"may have {', '.join((*must, *may))}")  # fmt: skip
    check_keys(f"{file}: open", found.get("open") or {}, OPENING)
    for key, low in NUMBERS.items():
        if key in found and found[key] is not False and not (_is_number(found[key]) and found[key] >= low):
            raise ReadError(f"{file}: {key} is {found[key]!r:.40}; give a number, {low} or more")
    mask, table = found.get("mask_clouds", {}), found["legend"]
    return {
        "tiles": _tiles(file, found["tiles"]),
        "output": file.parent / str(found["output"]),
        "legend": legend(table if isinstance(table, Mapping) else file.parent / str(table), other=found.get("other")),
        "how": found.get("open") or {},
        "mask": None if mask is False else (mask if isinstance(mask, Mapping) else {}),
        "start": None if found.get("start") is None else str(found["start"]),
    } | {key: found[key] for key in ("column", "erode", "block", "train", "maps") if key in found}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _tiles(file: Path, told: Any) -> tuple[Tile, ...]:
    if not isinstance(told, Mapping) or not told:
        raise ReadError(f"{file}: tiles are {told!r:.60}; give each a name, and its cube and labels")
    tiles = []
    for name, one in told.items():
        if not isinstance(one, Mapping) or set(one) != {"cube", "labels"}:
            raise ReadError(f"{file}: tile {name} is {one!r:.60}; give its cube and its labels")
        tiles.append(Tile(str(name), placed(file, one["cube"]), placed(file, one["labels"])))
    return tuple(tiles)


def _rule(file: Path, told: Any) -> Rule:
    name = told.get("rule") if isinstance(told, Mapping) else None
    if name not in RULES:
        raise ReadError(f"{file}: draw is {told!r:.80}; its rule is one of {', '.join(RULES)}")
    kind, options = RULES[name], {k: v for k, v in told.items() if k != "rule"}
    try:
        rule: Rule = kind(**options)
    except TypeError as err:
        raise ReadError(f"{file}: the rule {name} takes {', '.join(f.name for f in fields(kind))}; found {', '.join(options)}") from err
    return rule
