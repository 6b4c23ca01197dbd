"""Parts on nested grids to one cube: each band from the grid nearest to the one asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from xsentinel.bands import BANDS
from xsentinel.blocks.tiles import Tiling, map_tiles
from xsentinel.cube import STORAGE_ATTRS, Encoding, encoding_of, pixel_size
from xsentinel.errors import GridError, SeveralGridsError, TimeError, UnitsError
from xsentinel.io.radar import in_power
from xsentinel.io.target import kind_of
from xsentinel.kernels.resample import coarsen_mean, coarsen_nearest, refine_bilinear, refine_cubic, refine_nearest
from xsentinel.kernels.scale import decode

Method = Callable[[str], str]

USUAL = (10.0, 20.0)
"""Pixel sizes that cubes of products mostly are brought to, the one that has most of the bands last."""

ALIGNED = 0.01
"""Grids whose edges differ by less than this share of a pixel are the same."""


@dataclass(frozen=True)
class Grid:
    """A north–south, west–east grid."""

    crs: Any
    resolution: float | None
    """Pixel size in units of the CRS; None where there are no coordinates."""
    edge: tuple[float, float] | None
    """Outer corner of the first pixel: (y, x)."""


def grid_of(ds: xr.Dataset) -> Grid:
    """Read the grid of a part.

    Raises
    ------
    GridError
        If coordinates are not regular or pixels not square.
    """
    if not {"y", "x"} <= set(ds.coords) or min(ds.sizes["y"], ds.sizes["x"]) < 2:
        return Grid(ds.rio.crs, None, None)
    dy, dx = pixel_size(ds)
    if not np.isclose(abs(dy), abs(dx), rtol=1e-3):
        raise GridError(f"pixels are not square: {abs(dy):g} by {abs(dx):g}; warp the data first (rio.reproject)")
    return Grid(ds.rio.crs, abs(dx), (float(ds["y"][0]) - dy / 2, float(ds["x"][0]) - dx / 2))


REFINE = {"nearest": (refine_nearest, 0), "bilinear": (refine_bilinear, 1), "cubic": (refine_cubic, 2)}
"""How to go finer: function, and pixels of neighbourhood."""


def join(parts: list[xr.Dataset], resolution: float | None, mask_and_scale: bool, method: Method = lambda _: "bilinear") -> xr.Dataset:
    """Bring parts to one grid and one Dataset, values decoded unless asked otherwise.

    ``method`` gives for a variable's name how it goes finer, and "nearest" if it is to go coarser so too.

    Raises
    ------
    GridError
        If no resolution is given and parts differ, if CRS or edges differ, or if pixels do not nest.
    TimeError
        If parts have different times.
    """
    grids = [grid_of(part) for part in parts]
    target = _target(parts, grids, resolution)
    _check_together(parts, grids)
    ranked = sorted(zip(parts, grids, strict=True), key=lambda pair: _distance(pair[1], target))
    chosen: dict[Any, xr.DataArray] = {}
    for part, grid in ranked:
        factor = _factor(grid, target)
        for name, values in ({**part.data_vars} | _pixel_coords(part)).items():
            if name not in chosen:
                chosen[name] = _place(_decoded(values, mask_and_scale), factor, mask_and_scale, method(str(name)))
    _check_cover(chosen)
    axes = _axes(ranked[0][0], _factor(ranked[0][1], target))
    placed = {name: values.variable for name, values in chosen.items()}
    cube = xr.Dataset(placed, _other_coords(parts) | axes, ranked[0][0].attrs)
    return _in_order(cube.set_coords([name for part in parts for name in _pixel_coords(part)]))


def _pixel_coords(part: xr.Dataset) -> dict[Any, xr.DataArray]:
    """Coordinates that have a value a pixel, such as angles."""
    return {name: c.reset_coords(drop=True) for name, c in part.coords.items() if {"y", "x"} & set(c.dims) and name not in ("y", "x")}


def _axes(part: xr.Dataset, factor: Fraction) -> dict[Any, xr.DataArray]:
    """Give the coordinates y and x of the cube."""
    there = [d for d in ("y", "x") if d in part.coords]
    if factor == 1:
        return {d: part[d] for d in there}
    sizes = {d: -(-part.sizes[d] * factor.numerator // factor.denominator) for d in there}
    return {d: _coordinate(part[d].reset_coords(drop=True), sizes[d], factor) for d in there}


def _check_cover(chosen: dict[Any, xr.DataArray]) -> None:
    """Check that all variables have as many pixels; aligned by label, the rest would silently be NaN."""
    shapes = {name: (v.sizes["y"], v.sizes["x"]) for name, v in chosen.items() if {"y", "x"} <= set(v.dims)}
    first = next(iter(shapes), None)
    for name, shape in shapes.items():
        if shape != shapes[first]:
            raise GridError(
                f"{first} covers {shapes[first][0]} y × {shapes[first][1]} x pixels but {name} covers {shape[0]} y × {shape[1]} x: "
                f"the sources are not of one area; crop them to one first (sel, rio.clip_box)"
            )


def _in_order(cube: xr.Dataset) -> xr.Dataset:
    bands = [name for name in BANDS if name in cube]
    ordered = [*bands, *(["SCL"] if "SCL" in cube else [])]
    return cube[[*ordered, *(v for v in cube.data_vars if v not in ordered)]]


def _other_coords(parts: list[xr.Dataset]) -> dict[Any, xr.DataArray]:
    """Coordinates that are not of the pixels: CRS, platform, angles."""
    return {name: c for part in reversed(parts) for name, c in part.coords.items() if not {"y", "x"} & set(c.dims)}


def _target(parts: list[xr.Dataset], grids: list[Grid], resolution: float | None) -> float | None:
    found = sorted({round(g.resolution, 6) for g in grids if g.resolution is not None})
    if resolution is not None:
        if resolution <= 0:
            raise GridError(f"resolution is {resolution}; it is a pixel size in metres, such as 10 or 20")
        return float(resolution)
    if len(found) > 1:
        raise _several(parts, grids, found)
    return found[0] if found else None


def _several(parts: list[xr.Dataset], grids: list[Grid], found: list[float]) -> SeveralGridsError:
    """Say which pixel sizes there are, and which one to take."""
    usual = [size for size in USUAL if size in found]
    mostly = f" (mostly {' or '.join(f'{size:g}' for size in usual)})" if usual else ""
    where: dict[float, list[str]] = {size: [] for size in found}
    for part, grid in zip(parts, grids, strict=True):
        if grid.resolution is not None:
            where[round(grid.resolution, 6)] += map(str, part.data_vars)
    sizes = ", ".join(f"{size:g}" for size in found)
    return SeveralGridsError(
        f"the bands lie on grids of {sizes} m; say which to bring them to{mostly}: open(..., resolution={(usual or found)[-1]:g})", where
    )


def _distance(grid: Grid, target: float | None) -> tuple[bool, float]:
    """Rank grids: the target itself, then finer ones, then coarser, the nearest first."""
    if grid.resolution is None or target is None:
        return False, 0.0
    return grid.resolution > target * (1 + 1e-6), abs(np.log(grid.resolution / target))


def _factor(grid: Grid, target: float | None) -> Fraction:
    """Output pixels an input pixel."""
    if target is None:
        return Fraction(1)
    if grid.resolution is None:
        raise GridError(
            f"the data have no coordinates y and x of two or more values, so their resolution is not known and {target:g} m out of reach"
        )
    factor = Fraction(grid.resolution / target).limit_denominator(100)
    if 1 not in (factor.numerator, factor.denominator) or abs(float(factor) * target / grid.resolution - 1) > 1e-3:
        raise GridError(
            f"pixels of {grid.resolution:g} do not nest with {target:g}; give a whole multiple or part of {grid.resolution:g}, "
            f"or warp first (rio.reproject)"
        )
    return factor


def _check_together(parts: list[xr.Dataset], grids: list[Grid]) -> None:
    for part, grid in zip(parts[1:], grids[1:], strict=True):
        if grid.crs != grids[0].crs:
            raise GridError(f"sources have different CRS, {grids[0].crs} and {grid.crs}; bring them to one first (rio.reproject)")
        _check_edges(grids[0], grid)
        _check_same_times(parts[0], part)


def _check_edges(one: Grid, other: Grid) -> None:
    if one.edge is None or other.edge is None or one.resolution is None or other.resolution is None:
        return
    shift = np.abs(np.subtract(one.edge, other.edge)).max()
    if shift > ALIGNED * min(one.resolution, other.resolution):
        raise GridError(
            f"grids of {one.resolution:g} and {other.resolution:g} m start at (y, x) {one.edge} and {other.edge}, "
            f"{shift:g} apart; crop them to one corner first (sel, rio.clip_box)"
        )


def _check_same_times(one: xr.Dataset, other: xr.Dataset) -> None:
    if "time" not in one.indexes or "time" not in other.indexes:
        return
    odd = one.indexes["time"].symmetric_difference(other.indexes["time"])
    if len(odd):
        raise TimeError(
            f"sources differ in {len(odd)} of their times ({one.sizes['time']} and {other.sizes['time']}), such as {odd[0]}; "
            f"open them apart and select the common ones first"
        )


def _is_measured(values: xr.DataArray) -> bool:
    """Tell whether means make sense: not of classes, nor of azimuths, which jump from 360 to 0."""
    return str(values.name) in BANDS or (values.dtype.kind == "f" and values.name not in ("saa", "vaa"))


def _decoded(values: xr.DataArray, mask_and_scale: bool) -> xr.DataArray:
    """Turn counts to float32, NaN for nodata; leave scene classes and other integers alone."""
    ours = values.dtype.kind in "iu" and {"xsentinel_version", "scale_factor"} <= set(values.attrs)
    if not (str(values.name) in BANDS or ours) or not mask_and_scale:
        return values
    nodata = float(values.attrs.get("_FillValue", np.nan))
    encoding = Encoding(values.attrs["scale_factor"], values.attrs.get("add_offset", 0.0), nodata) if ours else encoding_of(values)
    arguments = {"scale": encoding.scale, "offset": encoding.offset, "nodata": encoding.nodata}
    out: xr.DataArray = xr.apply_ufunc(decode, values, kwargs=arguments, dask="parallelized", output_dtypes=[np.float32], keep_attrs=True)
    out.attrs = {k: v for k, v in values.attrs.items() if k not in STORAGE_ATTRS}
    return out


def _place(values: xr.DataArray, factor: Fraction, mask_and_scale: bool, method: str) -> xr.DataArray:
    """Bring one variable to the target's pixels."""
    if factor == 1 or not {"y", "x"} <= set(values.dims):
        return values
    measured = _is_measured(values) and method != "nearest"
    if measured and not mask_and_scale and values.dtype.kind in "iu":
        raise UnitsError(
            f"{values.name} needs resampling, which gives fractions of counts; leave mask_and_scale=True, or open its own resolution"
        )
    coarsen, refine = factor.denominator, factor.numerator
    halo = 0
    if coarsen > 1:
        function = partial(coarsen_mean if measured else coarsen_nearest, factor=coarsen)
    else:
        finer, halo = REFINE[method if measured and method in REFINE else "bilinear" if measured else "nearest"]
        function = partial(finer, factor=refine)
    if measured and kind_of(str(values.name)) == "radar":
        function = partial(in_power, function)
    dtype = np.dtype(np.float32) if measured else values.dtype
    source = values.astype(dtype, copy=False)
    data = map_tiles(function, source.data, Tiling(dtype, halo, coarsen, refine))
    return xr.DataArray(data, dims=values.dims, name=values.name, attrs=values.attrs)


def _coordinate(centres: xr.DataArray, n: int, factor: Fraction) -> xr.DataArray:
    values = centres.values
    step = (values[-1] - values[0]) / (values.size - 1)
    finer = step / float(factor)
    return xr.DataArray(values[0] - step / 2 + finer * (np.arange(n) + 0.5), dims=centres.dims, attrs=centres.attrs)
