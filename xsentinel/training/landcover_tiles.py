"""Tiles of land cover made ready to learn from: cubes brought to equal dates and labels split, each stored once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.batch.run import run
from xsentinel.blocks.reduce import Reduction, reduce_blocks
from xsentinel.classes import LabelClass, classes_of
from xsentinel.cube import check_reflectance, encoding_of, pixel_size, select_bands
from xsentinel.errors import BandError, GridError, XSentinelError
from xsentinel.kernels.tally import Tally, add_tallies, summarise, tally
from xsentinel.models.card import INDICES, Card, Channel
from xsentinel.samples.sides import sides_of, split_polygons
from xsentinel.seasons import prepare
from xsentinel.training.tiles import Kept, Tile

Array = npt.NDArray[Any]

PERCENTILES = (3.0, 97.0)
"""What becomes 0 and 1 (Stoian et al. 2019, section 3.3.1)."""


@dataclass(frozen=True)
class Ready:
    """A tile to learn from or to score on."""

    name: str
    bands: tuple[xr.DataArray, ...]
    """Channels of the card (time, y, x)."""
    labels: xr.Dataset
    """``label`` and ``side`` (y, x)."""

    def tile(self, kept: Kept) -> Tile:
        """Give it for cutting windows."""
        return Tile.of(self.name, self.bands, kept)


@dataclass(frozen=True)
class Storing:
    """Where and how what is lazy is stored once."""

    folder: Path
    progress: bool = True

    def place(self, kind: str, name: str) -> str:
        """Give the path of a tile's store."""
        return str(self.folder / kind / f"{name}.zarr")


def make_ready(
    name: str,
    cube: xr.Dataset,
    labels: xr.Dataset | xr.DataArray,
    card: Card,
    shares: Mapping[str, float],
    seed: int,
    start: str | None,
    storing: Storing,
) -> Ready:
    """Bring a tile to what a model takes, its labels split by polygons; what would be computed again and again is stored once.

    A cube in memory, or one that is at the dates of the model already, is taken as it is. Any other is filled and written
    block by block as counts, in chunks of 64 pixels and all dates, of which a patch touches few; lazy labels likewise. An
    interrupted run goes on with what is there.

    Raises
    ------
    GridError
        If labels and cube are not on the same pixels.
    BandError, TimeError
        If the cube lacks bands, or does not fit the dates.
    XSentinelError
        As `split_polygons`.
    """
    _check_grid(name, cube, labels)
    there = prepare(cube, card, start)
    first = _channel(there, card, name)[0]
    if first.chunks is not None and not _has(cube, there):
        bands_only = _without_indices(card)
        task = partial(prepare, card=bands_only, start=start)
        stored = _stored(task, storing.place("tiles", name), storing, source=cube, halo=0, layout="series", pack="uint16")
        there = prepare(stored, card, start)
    split = labels if isinstance(labels, xr.Dataset) and sides_of(labels) else split_polygons(labels, shares, seed=seed)
    if split["side"].chunks is not None:
        wanted = split[["label", "side"]]
        split = _stored(wanted, storing.place("labels", name), storing, layout="map").assign_coords({d: split[d] for d in ("y", "x")})
    return Ready(name, tuple(_channel(there, card, name)), split)


def _check_grid(name: str, cube: xr.Dataset, labels: xr.Dataset | xr.DataArray) -> None:
    for dim in ("y", "x"):
        own, other = cube.sizes.get(dim), labels.sizes.get(dim)
        if own != other or (dim in cube.coords and dim in labels.coords and not np.allclose(cube[dim], labels[dim], rtol=0, atol=1e-3)):
            raise GridError(
                f"tile {name}: cube and labels differ along {dim} ({own} and {other} pixels, or other coordinates); lay the labels on the "
                f"cube's grid with xsentinel.samples.rasterise or from_raster"
            )


def _has(cube: xr.Dataset, there: xr.Dataset) -> bool:
    """Tell whether a cube was at its dates before."""
    return "time" in cube.indexes and cube.indexes["time"].equals(there.indexes["time"])


def _without_indices(card: Card) -> Card:
    from dataclasses import replace

    from xsentinel.seasons import needed_bands

    return replace(card, channels=tuple(Channel(band, 0.0, 1.0) for band in needed_bands(card)))


def _stored(what: Any, place: str, storing: Storing, **how: Any) -> xr.Dataset:
    """Write what is not there yet, and open it as stored."""
    run(what, place, resume=True, progress=storing.progress, **how)
    opened: xr.Dataset = xr.open_zarr(place, consolidated=False, mask_and_scale=False)
    return opened


def _channel(there: xr.Dataset, card: Card, name: str) -> list[xr.DataArray]:
    """Give the inputs of a card, in order."""
    bands = {str(b.name): b for b in select_bands(there, [b for b in card.bands if b not in INDICES], f"tile {name}")}
    found = [bands[b] if b in bands else there[b] for b in card.bands]
    if found[0].sizes.get("time", 1) != card.dates:
        raise GridError(f"tile {name} has {found[0].sizes.get('time', 1)} dates, and {card.dates} are learnt from")
    return found


def resolution_of(cubes: Mapping[str, xr.Dataset]) -> float:
    """Give the pixel size that all cubes share.

    Raises
    ------
    GridError
        If they share none.
    """
    sizes = {name: round(abs(pixel_size(cube)[1]), 2) for name, cube in cubes.items()}
    if len(set(sizes.values())) != 1:
        raise GridError(f"the tiles have pixels of {', '.join(f'{n} {s:g}' for n, s in sizes.items())}; open them all with one resolution=")
    return next(iter(sizes.values()))


def classes_in(tiles: Sequence[Ready]) -> tuple[LabelClass, ...]:
    """Give the classes of all tiles' labels, in the order of their codes.

    Raises
    ------
    XSentinelError
        If a code means one class here and another there.
    """
    found: dict[int, LabelClass] = {}
    for tile in tiles:
        for one in classes_of(tile.labels["label"].attrs):
            other = found.setdefault(one.code, one)
            if other.meaning != one.meaning:
                raise XSentinelError(f"class {one.code} is {other.name} in one tile and {one.name} in {tile.name}; give all one legend")
    return tuple(found[code] for code in sorted(found))


def channels_of(tiles: Sequence[Ready], names: Sequence[str]) -> tuple[Channel, ...]:
    """Give the channels of bands and indices: 3rd and 97th percentile of all values at all dates of all tiles.

    Exact for 16-bit integers, within 0.024 % for floats; all tiles are read once, block by block.

    Raises
    ------
    BandError
        If a channel shows nothing, or always the same.
    UnitsError
        If values are no reflectance.
    """
    decoded = [_alike([tile.bands[k] for tile in tiles]) for k in range(len(names))]
    codes = [encoding_of(bands[0]) for bands in decoded]
    counts = [Reduction(partial(_count, nodata=code.nodata), add_tallies, _itself) for code in codes]
    found: list[list[Tally]] = [[] for _ in names]
    for t in range(len(tiles)):
        parts = reduce_blocks([bands[t].data for bands in decoded], counts)
        for own, part in zip(found, parts, strict=True):
            own.extend(part)
    channels = []
    for name, code, tallies in zip(names, codes, found, strict=True):
        whole = add_tallies(tallies)
        if not whole.counts.size:
            raise BandError(f"{name} has no valid value in any tile; drop it, or look at the clouds that were masked")
        summary = summarise(whole, *PERCENTILES)
        low, high = (v * code.scale + code.offset for v in (summary.low, summary.high))
        if name not in INDICES:
            check_reflectance(np.array([low, high]), name)
        if not np.float32(high - low) > 0:
            raise BandError(f"{name} is {low:g} almost everywhere; there is nothing to normalise: drop it")
        channels.append(Channel(name, float(low), float(high)))
    return tuple(channels)


def _alike(bands: list[xr.DataArray]) -> list[xr.DataArray]:
    """Give a band of several tiles, decoded if they store it in more than one way."""
    bands = [b.transpose("time", "y", "x") for b in bands]
    codes = [encoding_of(b) for b in bands]
    if len({(b.dtype, c.scale, c.offset, str(c.nodata)) for b, c in zip(bands, codes, strict=True)}) == 1:
        return bands
    return [
        (b.where(b != c.nodata) * np.float32(c.scale) + np.float32(c.offset)).astype(np.float32).drop_attrs() if b.dtype.kind in "iu" else b
        for b, c in zip(bands, codes, strict=True)
    ]


def _count(block: Array, n_threads: int, nodata: float) -> Tally:
    return tally(block, nodata, n_threads=n_threads)


def _itself(part: Tally) -> Tally:
    return part
