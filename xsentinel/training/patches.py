"""Patches of real cubes to train on, and their split by place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.cube import encoding_of, pixel_size, select_bands
from xsentinel.errors import GridError, XSentinelError
from xsentinel.geometry import find_angles, resolve_platforms

Float32 = npt.NDArray[np.float32]


class HasPlace(Protocol):
    """What a split by place looks at."""

    @property
    def source(self) -> str:
        """Name of its family."""
        ...

    @property
    def place(self) -> str:
        """Where it is."""
        ...


Placed = TypeVar("Placed", bound=HasPlace)

LEAST_VALID = 0.3
"""Share of pixels that a patch must show."""

LEAST_SIDE = 16
"""Pixels below which what is left at the edge of a cube is no patch."""


@dataclass(frozen=True)
class Patch:
    """A piece of one date of a cube."""

    source: str
    """Name of the cube, or of the family that it belongs to."""
    place: str
    """Where: patches of one place are never on both sides of a split."""
    date: str
    bands: Float32
    """(band, y, x), reflectance, NaN where missing."""
    cosines: tuple[float, float, float] | None
    """cos(VZA), cos(SZA), cos(RAA); None where the cube does not tell."""
    is_s2b: bool | None
    """Whether SL2P takes the coefficients of 2B; None where the cube does not tell."""


def collect(cubes: Mapping[str, xr.Dataset], bands: Sequence[str], size: int, limit: int = 4000, seed: int = 0) -> list[Patch]:
    """Cut cubes into patches; read no more than ``limit`` of them, drawn evenly over places and dates.

    Parameters
    ----------
    cubes : mapping from str to xarray.Dataset
        Named cubes, clouds masked; what stands before a slash in a name is the source, such as ``region/site``.
    bands : sequence of str
    size : int
        Pixels along a side.
    limit : int
        Patches in memory at the most: 4000 of ten bands and 64² pixels are 650 MB.
    seed : int
        Of the draw.

    Raises
    ------
    XSentinelError
        If no patch shows enough.
    """
    places = [
        (name, time, y, x)
        for name, cube in cubes.items()
        for time in range(cube.sizes.get("time", 1))
        for y in _starts(cube.sizes["y"], size)
        for x in _starts(cube.sizes["x"], size)
    ]
    order = np.random.default_rng(seed).permutation(len(places))
    patches: list[Patch] = []
    for i in order:
        if len(patches) == limit:
            break
        name, time, y, x = places[i]
        patch = _cut(name, cubes[name], bands, time, (y, x), size)
        if np.isfinite(patch.bands).all(0).mean() >= LEAST_VALID:
            patches.append(patch)
    if not patches:
        raise XSentinelError(
            f"none of {len(places)} patches of {len(cubes)} cubes shows {LEAST_VALID:.0%} of its pixels; are all dates masked, or "
            f"the cubes smaller than {LEAST_SIDE} pixels?"
        )
    return patches


def _starts(n: int, size: int) -> Iterable[int]:
    return (start for start in range(0, n, size) if min(size, n - start) >= LEAST_SIDE)


def _cut(name: str, cube: xr.Dataset, bands: Sequence[str], time: int, corner: tuple[int, int], size: int) -> Patch:
    """Read one patch."""
    piece = cube.isel(y=slice(corner[0], corner[0] + size), x=slice(corner[1], corner[1] + size))
    piece = piece.isel(time=time) if "time" in piece.dims else piece
    values = np.stack([_reflectance(band) for band in select_bands(piece, bands, "training")])
    angles = find_angles(piece)
    told = {"vza", "sza", "raa"} <= angles.keys()
    cosines = tuple(float(np.cos(np.deg2rad(angles[a].mean()))) for a in ("vza", "sza", "raa")) if told else None
    is_s2b = bool(resolve_platforms(piece).item() != "S2A") if "platform" in piece.variables else None
    date = str(piece["time"].values)[:10] if "time" in piece.coords else ""
    return Patch(name.partition("/")[0], f"{name}/{corner[0]}-{corner[1]}", date, values, cosines, is_s2b)  # type: ignore[arg-type]


def _reflectance(band: xr.DataArray) -> Float32:
    code, values = encoding_of(band), band.values
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    decoded = values.astype(np.float32) * np.float32(code.scale) + np.float32(code.offset)
    decoded[values == code.nodata] = np.nan
    return decoded


def split_by_place(patches: Sequence[Placed], share: float, seed: int = 0) -> tuple[list[Placed], list[Placed]]:
    """Split patches, or series, into those to train on and those held out: a share of the places of each source, drawn.

    Raises
    ------
    XSentinelError
        If there is only one place in all.
    """
    places: dict[str, list[str]] = {}
    for patch in patches:
        if patch.place not in places.setdefault(patch.source, []):
            places[patch.source].append(patch.place)
    rng, held = np.random.default_rng(seed), set()
    for names in places.values():
        held |= set(rng.permutation(sorted(names))[: round(share * len(names))].tolist())
    if not held and sum(map(len, places.values())) > 1:
        held = {sorted(name for names in places.values() for name in names)[0]}
    train, test = [p for p in patches if p.place not in held], [p for p in patches if p.place in held]
    if not train or not test:
        raise XSentinelError("all patches are of one place, which cannot be split; give more cubes, or larger ones")
    return train, test


def band_limits(patches: Sequence[Patch]) -> tuple[tuple[float, float], ...]:
    """Give low and high of each band: the least 2nd and the greatest 98th percentile over patches (Albughdadi et al. 2020)."""
    ends = np.array([np.nanpercentile(p.bands.reshape(len(p.bands), -1), (2, 98), axis=1) for p in patches])
    return tuple((float(low), float(high)) for low, high in zip(ends[:, 0].min(0), ends[:, 1].max(0), strict=True))


def pixel_limits(patches: Sequence[Patch], counts: Callable[[Float32], npt.NDArray[np.bool_]]) -> tuple[tuple[float, float], ...]:
    """Give low and high of each band: 2nd and 98th percentile over the pixels that count, each patch by at most 500 of them.

    The rule of `band_limits` follows the brightest cloud that a mask left, and vegetation fills a tenth of its range.

    Parameters
    ----------
    patches : sequence of Patch
    counts : callable
        (1, band, y, x) → (1, y, x), where a pixel counts.
    """
    chosen = []
    for patch in patches:
        pixels = patch.bands[:, counts(patch.bands[None])[0]]
        chosen.append(pixels[:, :: max(1, pixels.shape[1] // 500)])
    ends = np.percentile(np.concatenate(chosen, 1), (2, 98), axis=1)
    return tuple((float(low), float(high)) for low, high in zip(*ends, strict=True))


def describe(patches: Sequence[Patch]) -> dict[str, Any]:
    """Say in a card what patches there were."""
    sources = sorted({p.source for p in patches})
    return {
        source: f"{sum(p.source == source for p in patches)} patches of {len({p.place for p in patches if p.source == source})} places"
        for source in sources
    }


def resolution_of(cubes: Mapping[str, xr.Dataset]) -> float:
    """Give the pixel size that all cubes share.

    Raises
    ------
    GridError
        If they share none.
    """
    sizes = {name: round(abs(pixel_size(cube)[1]), 2) for name, cube in cubes.items()}
    if len(set(sizes.values())) != 1:
        raise GridError(f"the cubes have pixels of {', '.join(f'{n} {s:g}' for n, s in sizes.items())}; open them all with one resolution=")
    return next(iter(sizes.values()))
