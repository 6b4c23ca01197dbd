"""Products of many dates and neighbouring tiles to one time series a resolution."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import xarray as xr

from xsentinel.bands import BANDS
from xsentinel.errors import GridError, UnitsError
from xsentinel.io.angle_layers import AngleLayer, Name, TileAngles, merge_grids
from xsentinel.io.images import Layer, blocks_of, lazy
from xsentinel.io.offset import Harmonise
from xsentinel.io.safe import Scene, scene_shifts
from xsentinel.io.source import Chunks, Raw
from xsentinel.kernels.threads import n_cores

SAME_STRIP = np.timedelta64(5, "s")
"""Data strips that begin within this time are one, processed twice; halves of a tile are minutes apart."""

PROBABILITIES = {"CLD": "cloud probability", "SNW": "snow probability"}


@dataclass(frozen=True, eq=False)
class Date:
    """What one date is made of."""

    scenes: tuple[Scene, ...]
    """Those that go first have the newest baseline."""

    @property
    def time(self) -> np.datetime64:
        """When sensing began."""
        return min(s.facts.time for s in self.scenes)


@dataclass(frozen=True, eq=False)
class Series:
    """Dates on one grid."""

    dates: tuple[Date, ...]
    corner: tuple[float, float]
    """Outer corner of the grid: (y, x), m."""
    far: tuple[float, float]
    """The opposite one."""
    shifts: dict[int, dict[str, int]]
    """Counts to add by scene (its id) and band."""

    @property
    def scenes(self) -> list[Scene]:
        """All of them."""
        return [scene for date in self.dates for scene in date.scenes]


def raws_by_zone(scenes: Sequence[Scene], chunks: Chunks, harmonise: Harmonise) -> dict[int, list[Raw]]:
    """Give for each UTM zone one Raw a resolution, its dates in order.

    Of a solar day, platform and orbit, the newest processing of each part is taken; halves of a tile and
    neighbouring tiles are joined, data before nodata. Offsets that differ between dates are brought to one.

    Raises
    ------
    GridError
        If tiles of a zone do not touch one another.
    UnitsError
        If scales differ, or an offset contradicts the pixels.
    """
    kept = newest(scenes)
    with ThreadPoolExecutor(max(2, n_cores())) as pool:
        shifts = dict(zip(map(id, kept), pool.map(lambda s: scene_shifts(s, harmonise), kept), strict=True))
    zones: dict[int, list[Scene]] = defaultdict(list)
    for scene in kept:
        zones[scene.tile.epsg].append(scene)
    return {epsg: _raws(_series(group, shifts), epsg, chunks) for epsg, group in sorted(zones.items())}


def newest(scenes: Sequence[Scene]) -> list[Scene]:
    """Leave out what was processed again: of one tile and data strip the newest baseline, then processing, stays."""
    kept: list[Scene] = []
    for scene in sorted(scenes, key=_processing, reverse=True):
        same = (s for s in kept if s.tile.tile == scene.tile.tile and s.facts.platform == scene.facts.platform)
        if not any(abs(s.tile.strip - scene.tile.strip) < SAME_STRIP for s in same):
            kept.append(scene)
    return kept


def _processing(scene: Scene) -> tuple[float, np.datetime64]:
    return float(scene.facts.baseline), scene.facts.generated


def solar_day(scene: Scene) -> str:
    """Give the day by the sun at the scene's UTM zone."""
    longitude = scene.tile.epsg % 100 * 6 - 183
    noon = scene.facts.time + np.timedelta64(round(longitude * 240), "s")
    return str(noon)[:10]


def _series(scenes: list[Scene], shifts: dict[int, dict[str, int]]) -> Series:
    _check_neighbours(scenes)
    groups: dict[tuple[Any, ...], list[Scene]] = defaultdict(list)
    for scene in scenes:
        groups[solar_day(scene), scene.facts.platform, scene.facts.orbit].append(scene)
    dates = sorted((Date(tuple(sorted(g, key=_processing, reverse=True))) for g in groups.values()), key=lambda d: d.time)
    boxes = [_box(s) for s in scenes]
    corner = max(b[0] for b in boxes), min(b[1] for b in boxes)
    far = min(b[2] for b in boxes), max(b[3] for b in boxes)
    return Series(tuple(dates), corner, far, shifts)


def _box(scene: Scene) -> tuple[float, float, float, float]:
    """Give top, left, bottom, right."""
    resolution, (rows, columns) = scene.tile.shapes[0]
    top, left = scene.tile.corner
    return top, left, top - rows * resolution, left + columns * resolution


def _check_neighbours(scenes: list[Scene]) -> None:
    """Check that every tile touches another, all the way to the first."""
    boxes = {s.tile.tile: _box(s) for s in scenes}
    reached = {next(iter(boxes))}
    while more := {t for t in boxes if t not in reached and any(_touch(boxes[t], boxes[r]) for r in reached)}:
        reached |= more
    if apart := sorted(set(boxes) - reached):
        names = sorted({s.label for s in scenes if s.tile.tile in apart})
        raise GridError(
            f"tile {', '.join(apart)} does not touch {', '.join(sorted(reached))}, so they make no map ({names[0]}); "
            f"leave it out, or open tiles that lie apart each on their own"
        )


def _touch(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] >= other[2] and other[0] >= one[2] and one[1] <= other[3] and other[1] <= one[3]


def _raws(series: Series, epsg: int, chunks: Chunks) -> list[Raw]:
    label = series.scenes[0].label
    quantifications = {s.facts.quantification: s.label for s in series.scenes}
    if len(quantifications) > 1:
        told = ", ".join(f"{q:g} in {name}" for q, name in quantifications.items())
        raise UnitsError(f"products have different BOA_QUANTIFICATION_VALUE ({told}); open them apart and join the cubes (xarray.concat)")
    resolutions = sorted({r for s in series.scenes for _, r in s.images})
    raws = [Raw(_dataset(series, resolution, epsg, chunks), label) for resolution in resolutions]
    return [raw for raw in raws if raw.ds.data_vars]


def _dataset(series: Series, resolution: int, epsg: int, chunks: Chunks) -> xr.Dataset:
    """Label the layers of one resolution."""
    shape = tuple(round(abs(a - b) / resolution) for a, b in zip(series.corner, series.far, strict=True))
    names = set.intersection(*({n for n, r in s.images if r == resolution} for s in series.scenes))
    cut = _cutter(series, resolution, chunks)
    size = (len(series.dates), shape[0], shape[1])
    variables = {name: (("time", "y", "x"), cut(_layer(series, name, resolution, size)), _attrs(series, name)) for name in sorted(names)}
    ds = xr.Dataset(variables, attrs={"crs": f"EPSG:{epsg}"} | _notes(series, resolution, names))
    if names and all(s.tile.angles is not None for s in series.scenes):
        source = {"source": "granule metadata, mean of detectors and bands"}
        angles = {n: (("time", "y", "x"), cut(_angle_layer(series, n, resolution, size)), source) for n in get_args(Name)}
        ds = ds.assign_coords(angles)
    platforms = np.array([d.scenes[0].facts.platform for d in series.dates])
    baselines = np.array([d.scenes[0].facts.baseline for d in series.dates])
    return ds.assign_coords(
        time=np.array([d.time for d in series.dates], "datetime64[ns]"),
        y=series.corner[0] - resolution * (np.arange(shape[0]) + 0.5),
        x=series.corner[1] + resolution * (np.arange(shape[1]) + 0.5),
        platform=("time", platforms, {"source": "product metadata"}),
        processing_baseline=("time", baselines, {"long_name": "processing baseline"}),
    )


def _cutter(series: Series, resolution: int, chunks: Chunks) -> Callable[[Any], Any]:
    scene = series.scenes[0]
    name = min((n for n, r in scene.images if r == resolution), default=None)
    blocks, _ = ((0, 0), "") if name is None else blocks_of(scene.piece(name, resolution, series.corner))
    return lambda layer: lazy(layer, blocks, chunks)


def _layer(series: Series, name: str, resolution: int, size: tuple[int, int, int]) -> Layer:
    """Place a band's images; dates without offset are shifted up to those with, as negative reflectance would be cut off below."""
    common = _common_shift(series, name)
    dates = tuple(
        tuple(s.piece(name, resolution, series.corner, series.shifts[id(s)].get(name, 0) - common) for s in date.scenes)
        for date in series.dates
    )
    return Layer(dates, size, np.dtype(np.uint16 if name in BANDS else np.uint8))


def _common_shift(series: Series, name: str) -> int:
    """Give the lowest of the scenes' offsets, in counts."""
    return min(series.shifts[id(s)].get(name, 0) for s in series.scenes) if name in BANDS else 0


def _attrs(series: Series, name: str) -> dict[str, object]:
    """Say how a layer's integers are to be read."""
    if name in PROBABILITIES:
        return {"long_name": PROBABILITIES[name], "units": "percent"}
    if name not in BANDS:
        return {}
    quantification = series.scenes[0].facts.quantification
    return {"scale_factor": 1 / quantification, "add_offset": _common_shift(series, name) / quantification, "_FillValue": np.uint16(0)}


def _notes(series: Series, resolution: int, names: set[str]) -> dict[str, str]:
    """Name the bands that some dates lack at this resolution."""
    dropped = {n for s in series.scenes for n, r in s.images if r == resolution} - names
    return {"notes": f"not all products have {', '.join(sorted(dropped))} at {resolution} m"} if dropped else {}


def _angle_layer(series: Series, name: Name, resolution: int, size: tuple[int, int, int]) -> AngleLayer:
    return AngleLayer(tuple(_tile_angles(d, series.corner, resolution) for d in series.dates), name, size, resolution)


def _tile_angles(date: Date, corner: tuple[float, float], resolution: int) -> tuple[TileAngles, ...]:
    """Give each tile's nodes, halves of a tile joined."""
    tiles: dict[str, list[Scene]] = defaultdict(list)
    for scene in date.scenes:
        tiles[scene.tile.tile].append(scene)
    out = []
    for scenes in tiles.values():
        facts = scenes[0].tile
        row, column = (round(abs(a - b) / resolution) for a, b in zip(corner, facts.corner, strict=True))
        grids = [s.tile.angles for s in scenes if s.tile.angles is not None]
        out.append(TileAngles(merge_grids(grids), row, column, dict(facts.shapes)[resolution]))
    return tuple(out)
