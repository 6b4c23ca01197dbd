"""What a map can show of a cube: colour composites, values, classes and flags, each with its colours and words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.bands import BANDS, CLOUDY_CLASSES, band_name, scene_class_values
from xsentinel.classes import palette
from xsentinel.cube import band_variables, nodata_code
from xsentinel.style import (
    COMBINATIONS,
    LEGEND,
    MISSING,
    NOTHING,
    channels_of,
    combined,
    flag_colours,
    flag_text,
    palette_of,
    reflectance_of,
    stretch_limits,
    stretched,
    unit_of,
    value_limits,
    values_of,
)

STACKED = 40
"""Members of a further dimension, such as the probabilities of classes, that are shown one by one at most."""

MARK = "#d4145a"
"""Marks clouds; no class of the scene has it."""

NO_DATA = -1
"""Code of a pixel without data in maps of classes."""

Limits = tuple[float, float]
Arrays = tuple[npt.NDArray[Any], ...]


@dataclass(frozen=True)
class Layer:
    """Something that a map can show."""

    name: str
    """By which it is chosen."""
    title: str
    """As a person reads it."""
    kind: Literal["composite", "values", "classes"]
    parts: tuple[xr.DataArray, ...]
    """(time, y, x) or (y, x): red, green and blue of a composite, else one."""

    @property
    def label(self) -> str:
        """Name and unit, for colour bar and axis."""
        unit = unit_of(self.parts[0])
        return self.name + (f" [{unit}]" if unit else "")

    def decode(self, read: list[xr.DataArray]) -> Arrays:
        """Give what was read as float32 values, of classes as codes, `NO_DATA` where missing."""
        if self.kind == "composite":
            return tuple(reflectance_of(b) for b in read)
        (values,) = (values_of(b) for b in read)
        if self.kind == "classes":
            there = np.isfinite(values) if values.dtype.kind == "f" else np.ones(values.shape, bool)
            return (np.where(there, values, NO_DATA).astype(np.int64),)
        nodata = nodata_code(self.parts[0]) if values.dtype.kind in "iu" else None
        return (values.astype(np.float32) if nodata is None else np.where(values == nodata, np.nan, values).astype(np.float32),)

    def limits(self, arrays: Arrays, stretch: Limits) -> Limits | None:
        """Give the values at the ends of the colours; None where nothing tells."""
        if self.kind == "classes" or not all(np.isfinite(a).any() for a in arrays):
            return None
        return stretch_limits(np.stack(arrays, -1), stretch) if self.kind == "composite" else value_limits(self.name, arrays[0])

    def paint(self, arrays: Arrays, limits: Limits | None, legend: Legend) -> npt.NDArray[np.uint8]:
        """Give the colours, (y, x, 3)."""
        low, high = limits or (0.0, 1.0)
        if self.kind == "composite":
            return (stretched(np.stack(arrays, -1), low, high) * 255 + 0.5).astype(np.uint8)
        if self.kind == "classes":
            codes, index = np.unique(arrays[0], return_inverse=True)
            return np.array([channels_of(legend.colour(int(c))) for c in codes], np.uint8)[index.reshape(arrays[0].shape)]
        table = np.array([channels_of(c) for c in ramp(self.name)], np.uint8)
        there = np.isfinite(arrays[0])
        share = ((np.where(there, arrays[0], low) - low) / max(high - low, 1e-12)).clip(0, 1)
        coloured = table[(share * (len(table) - 1) + 0.5).astype(np.intp)]
        return np.where(there[..., None], coloured, np.array(channels_of(MISSING), np.uint8))


class Legend:
    """Colours and words of the classes of a layer, the same whatever part of it is looked at."""

    def __init__(self, layer: Layer) -> None:
        self._of = layer.parts[0]
        self._colours: dict[int, str] = {NO_DATA: MISSING}
        values = np.atleast_1d(self._of.attrs.get("flag_values", [])).astype(int)
        if layer.kind == "classes" and values.size:
            told = "flag_colors" in self._of.attrs or values.size <= LEGEND or str(self._of.name) == "SCL"
            self._colours |= dict(zip(values.tolist(), flag_colours(self._of, values) if told else palette(values.size), strict=True))

    def colour(self, code: int) -> str:
        """Give the colour of a code; combinations of flags get theirs in the order in which they are met, as many as are told apart."""
        if code not in self._colours:
            codes = [*(c for c in self._colours if c != NO_DATA), code]
            free = "flag_masks" in self._of.attrs and len(codes) <= LEGEND
            self._colours[code] = flag_colours(self._of, np.array(codes))[-1] if free else NOTHING if code == 0 else MISSING
        return self._colours[code]

    def text(self, code: int) -> str:
        """Give the words of a code."""
        return "no data" if code == NO_DATA else flag_text(self._of, code)


def ramp(name: str) -> list[str]:
    """Give the 256 colours of a variable's colour bar."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(c) for c in colormaps[palette_of(name)](np.linspace(0, 1, 256))]


def layers_of(ds: xr.Dataset) -> dict[str, Layer]:
    """List what a map can show of a dataset: colour composites first, then variables, then maps of classes that are coordinates."""
    found = [*_composites(ds), *_variables(ds)]
    return {layer.name: layer for layer in found}


def first_of(layers: dict[str, Layer]) -> str:
    """Choose what is shown first: true or another colour composite, else values, else what there is."""
    kinds = {layer.kind: name for name, layer in reversed(layers.items())}
    return next(kinds[kind] for kind in ("composite", "values", "classes") if kind in kinds)


def _composites(ds: xr.Dataset) -> Iterator[Layer]:
    bands = band_variables(ds)
    for name in COMBINATIONS:
        there = combined(name, bands)
        if not set(there) <= set(bands):
            continue
        parts = tuple(_bare(ds[bands[b]].rename(b)) for b in there)
        if _is_map(parts[0]) and all(p.sizes == parts[0].sizes for p in parts):
            yield Layer(name, f"{name} ({', '.join(there)})", "composite", parts)


def _variables(ds: xr.Dataset) -> Iterator[Layer]:
    for variable in (*ds.data_vars, *(v for v in ds.coords if "flag_meanings" in ds[v].attrs)):
        layer = ds[variable]
        further = [d for d in layer.dims if d not in ("time", "y", "x")]
        if not further:
            yield from _one(layer, str(variable))
        elif len(further) == 1 and layer.sizes[further[0]] <= STACKED:
            for k, member in enumerate(_members(ds, str(further[0]))):
                yield from _one(layer.isel({further[0]: k}), f"{variable}: {member}")


def _members(ds: xr.Dataset, dim: str) -> list[str]:
    if dim not in ds.coords:
        return [str(k) for k in range(ds.sizes[dim])]
    if "flag_meanings" in ds[dim].attrs:
        return [flag_text(ds[dim], int(code)) for code in ds[dim].values]
    return [str(v) for v in ds[dim].values]


def _one(layer: xr.DataArray, name: str) -> Iterator[Layer]:
    if not _is_map(layer) or layer.dtype.kind not in "biuf":
        return
    if layer.dtype.kind == "b" and "flag_meanings" not in layer.attrs:
        layer = layer.assign_attrs(flag_values=[0, 1], flag_meanings="no yes")
    band = band_name(name)
    words = layer.attrs.get("long_name", BANDS[band].long_name if band else "")
    title = f"{name} ({words})" if words and words != name else name
    classes = "flag_meanings" in layer.attrs and bool({"flag_values", "flag_masks"} & set(layer.attrs))
    yield Layer(name, title, "classes" if classes else "values", (_bare(layer).rename(name),))


def _is_map(layer: xr.DataArray) -> bool:
    return {"y", "x"} <= set(layer.dims) <= {"time", "y", "x"} and 0 not in layer.shape


def _bare(layer: xr.DataArray) -> xr.DataArray:
    """Leave out coordinates that would be read along, such as angles of every pixel."""
    dims = [d for d in ("time", "y", "x") if d in layer.dims]
    return layer.reset_coords(drop=True).transpose(*dims)


def cloudy_of(scl: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Tell where scene classes say that clouds, their shadows or faults hide the ground."""
    return np.isin(scl, scene_class_values([c for c in CLOUDY_CLASSES if c != "no_data"]))
