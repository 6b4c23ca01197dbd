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
from xsentinel.cube import check_reflectance, encoding_of, select_bands
from xsentinel.errors import BandError, GridError, XSentinelError
from xsentinel.io.pack import pack_floats
from xsentinel.kernels.tally import Tally, add_tallies, summarise, tally
from xsentinel.models.card import INDICES, Card, Channel
from xsentinel.samples.sides import sides_of, split_polygons
from xsentinel.seasons import prepare
from xsentinel.training.tiles import Kept, Tile

Array = npt.NDArray[Any]

REFLECTANCE, INDEX = "reflectance", "index"
"""Variables of a stored tile."""

PERCENTILES = (3.0, 97.0)
"""What becomes 0 and 1 (Stoian et al. 2019, section 3.3.1)."""


@dataclass(frozen=True)
class Ready:
    """A tile to learn from or to score on."""

    name: str
    parts: tuple[xr.DataArray, ...]
    """Channels in order: each (time, y, x), or several together, (band or feature, time, y, x)."""
    names: tuple[str, ...]
    """Of the channels."""
    labels: xr.Dataset
    """``label`` and ``side`` (y, x)."""

    @property
    def bands(self) -> tuple[xr.DataArray, ...]:
        """Channels (time, y, x)."""
        each = [band for part in self.parts for band in (part if part.ndim == 4 else [part])]
        return tuple(band.rename(name) for band, name in zip(each, self.names, strict=True))

    def tile(self, kept: Kept) -> Tile:
        """Give it for cutting windows."""
        return Tile.of(self.name, self.parts, kept)


@dataclass(frozen=True)
class Storing:
    """Where and how what is lazy is stored once."""

    folder: Path
    progress: bool = True

    def place(self, kind: str, name: str) -> str:
        """Give the path of a tile's store."""
        return str(self.folder / kind / f"{name}.zarr")


@dataclass(frozen=True)
class Making:
    """What is made of cubes and labels."""

    shares: Mapping[str, float]
    """Of the sides of a split by polygons."""
    block: float
    """Metres along a square of land in no parcel."""
    seed: int
    """Of the split."""
    start: str | None
    """First day of the season."""


def make_ready(name: str, cube: xr.Dataset, labels: xr.Dataset | xr.DataArray, card: Card, how: Making, storing: Storing) -> Ready:
    """Bring a tile to what a model takes, its labels split by polygons; what would be computed again and again is stored once.

    A cube in memory, or one that is at the dates of the model already, is taken as it is. Any other is filled and written
    block by block as counts, all bands and dates of 64 × 64 pixels in one chunk, so that a patch takes two or three reads;
    lazy labels likewise. An interrupted run goes on with what is there.

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
    there = prepare(cube, card, how.start)
    if _channels(there, card, name)[0].chunks is None or _has(cube, there):
        parts = _channels(there, card, name)
    else:
        task = partial(_joined, card=card, start=how.start)
        stored = _stored(task, storing.place("tiles", name), storing, source=cube, halo=0, layout="series")
        parts = [stored[v] for v in (REFLECTANCE, INDEX) if v in stored]
    split = (
        labels
        if isinstance(labels, xr.Dataset) and sides_of(labels)
        else split_polygons(labels, how.shares, seed=how.seed, block=how.block)
    )
    if split["side"].chunks is not None:
        wanted = split[["label", "side"]]
        split = _stored(wanted, storing.place("labels", name), storing, layout="map").assign_coords({d: split[d] for d in ("y", "x")})
    return Ready(name, tuple(parts), card.bands, split)


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


def _joined(cube: xr.Dataset, card: Card, start: str | None) -> xr.Dataset:
    """Give all bands of a card together, (band, time, y, x), as counts, and behind them its indices, float32."""
    there = prepare(cube, card, start)
    channels = _channels(there, card, "")
    bands = xr.Dataset({str(c.name): c for c in channels if c.name not in INDICES})
    packed = pack_floats(bands.drop_vars([c for c in bands.coords if c not in bands.dims and c != "spatial_ref"]), "uint16")
    together = {"band": (REFLECTANCE, list(packed.data_vars.values()))}
    indices = [c.reset_coords(drop=True).drop_attrs(deep=False) for c in channels if c.name in INDICES]
    together |= {"feature": (INDEX, indices)} if indices else {}
    stacked = {
        name: xr.concat([part.rename(name) for part in parts], dim, combine_attrs="drop_conflicts")
        for dim, (name, parts) in together.items()
    }
    return xr.Dataset(stacked)


def _stored(what: Any, place: str, storing: Storing, **how: Any) -> xr.Dataset:
    """Write what is not there yet, and open it as stored."""
    run(what, place, resume=True, progress=storing.progress, **how)
    opened: xr.Dataset = xr.open_zarr(place, consolidated=False, mask_and_scale=False)
    return opened


def _channels(there: xr.Dataset, card: Card, name: str) -> list[xr.DataArray]:
    """Give the inputs of a card, in order."""
    bands = {str(b.name): b for b in select_bands(there, [b for b in card.bands if b not in INDICES], f"tile {name}")}
    found = [bands[b] if b in bands else there[b] for b in card.bands]
    if found[0].sizes.get("time", 1) != card.dates:
        raise GridError(f"tile {name} has {found[0].sizes.get('time', 1)} dates, and {card.dates} are learnt from; give all tiles as many")
    return found


def open_joined(path: Path, names: Sequence[str]) -> xr.Dataset:
    """Open a tile that a training has stored, as a cube of its channels."""
    stored = xr.open_zarr(path, consolidated=False, mask_and_scale=False)
    tile = Ready(path.stem, tuple(stored[v] for v in (REFLECTANCE, INDEX) if v in stored), tuple(names), xr.Dataset())
    return xr.Dataset({str(b.name): b for b in tile.bands})


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
