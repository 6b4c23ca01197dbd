"""A joined cube to the grid asked for: cut where pixels agree, warped lazily where not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from xsentinel.cube import pixel_size
from xsentinel.errors import GridError, UnitsError
from xsentinel.io.grid import grid_of
from xsentinel.io.radar import decibels_of, power_of
from xsentinel.io.target import TELL_CRS, Request, bounds_in, crop, geobox_of_like, kind_of

ALIGNED = 0.01
"""Pixels whose edges differ by less than this share are the same."""


def needs_warp(parts: list[xr.Dataset], request: Request) -> bool:
    """Tell whether another CRS is asked for, or pixels that do not nest with those of the data."""
    crs = parts[0].rio.crs
    if request.crs is not None and request.crs != crs:
        if crs is None:
            raise GridError(f"the data have no CRS and cannot be brought to {request.crs}; {TELL_CRS}")
        return True
    if request.like is None:
        return False
    grids = [grid_of(p) for p in parts]
    return not any(_nests(g.resolution, g.edge, request) for g in grids)


def _nests(resolution: float | None, edge: tuple[float, float] | None, request: Request) -> bool:
    if resolution is None or edge is None or request.resolution is None or request.bounds is None:
        return False
    ratio = max(resolution, request.resolution) / min(resolution, request.resolution)
    away = (edge[0] - request.bounds[3]) / request.resolution, (edge[1] - request.bounds[0]) / request.resolution
    return abs(ratio - round(ratio)) < 1e-3 and all(abs(a - round(a)) < ALIGNED for a in away)


def base_resolution(parts: list[xr.Dataset], request: Request) -> float | None:
    """Give the pixel size to join parts at before they are warped: the nearest that is not coarser than asked for."""
    found = sorted({g.resolution for p in parts if (g := grid_of(p)).resolution is not None})
    asked = request.resolution
    if asked is None or not found:
        return found[0] if found else None
    return max((r for r in found if r <= asked * (1 + 1e-6)), default=found[0])


def cut_to(cube: xr.Dataset, request: Request) -> xr.Dataset:
    """Cut a cube to the very pixels asked for; those of ``like`` that it does not cover are no data."""
    if request.like is not None:
        return _match(cube, request.like)
    bounds = bounds_in(request, cube.rio.crs)
    return cube if bounds is None else crop([cube], bounds)[0]


def _match(cube: xr.Dataset, like: xr.Dataset) -> xr.Dataset:
    """Give a cube the coordinates of another whose pixels are the same, or more or fewer."""
    fills = {n: 0 if v.dtype.kind in "iu" else np.nan for n, v in _of_pixels(cube).items()}
    step = abs(pixel_size(like)[1])
    wanted = {d: like[d].assign_attrs(cube[d].attrs) for d in ("y", "x")}
    out: xr.Dataset = cube.reindex(wanted, method="nearest", tolerance=step * ALIGNED, fill_value=fills)
    return out


def _of_pixels(ds: xr.Dataset) -> dict[Any, xr.DataArray]:
    """Give variables and coordinates that have a value a pixel."""
    return {n: v for n, v in (*ds.data_vars.items(), *ds.coords.items()) if {"y", "x"} <= set(v.dims)}


def warp(cube: xr.Dataset, geobox: Any, request: Request) -> xr.Dataset:
    """Resample every variable to another grid, lazily, each kind in its own way; no data first of all.

    Parameters
    ----------
    cube : xarray.Dataset
        Joined, decoded.
    geobox : odc.geo.geobox.GeoBox
    request : Request
    """
    import odc.geo.xr  # noqa: F401  (registers .odc)

    names = list(_of_pixels(cube))
    coarser = geobox.crs == cube.odc.crs and abs(geobox.resolution.x) > abs(pixel_size(cube)[1]) * 1.5
    placed = {}
    for name in names:
        values = cube[name].drop_vars([c for c in cube[name].coords if c not in ("time", "y", "x", "spatial_ref")])
        method = request.method(str(name))
        method = "average" if coarser and method in ("bilinear", "cubic") else method
        _check_counts(values, method)
        placed[name] = _reprojected(values, geobox, method)
    flat = {n: c for n, c in cube.coords.items() if not {"y", "x"} & set(c.dims) and n != "spatial_ref"}
    ds = xr.Dataset(placed, flat | _axes(geobox), cube.attrs).rio.write_crs(geobox.crs.to_epsg() or geobox.crs.to_wkt())
    coords = [n for n in placed if n in cube.coords]
    placed_on: xr.Dataset = ds.rio.write_coordinate_system().set_coords(coords)
    return placed_on


def _reprojected(values: xr.DataArray, geobox: Any, method: str) -> xr.Variable:
    """Resample one variable; backscatter as power."""
    from odc.geo.xr import xr_reproject

    is_power = kind_of(str(values.name)) == "radar" and values.dtype.kind == "f" and method != "nearest"
    source = _each(power_of, values) if is_power else values
    out = xr_reproject(source, geobox, resampling=method, dst_nodata=np.nan if values.dtype.kind == "f" else 0)
    return xr.Variable(values.dims, (_each(decibels_of, out) if is_power else out).data, values.attrs)


def _each(function: Callable[[Any], Any], values: xr.DataArray) -> xr.DataArray:
    out: xr.DataArray = xr.apply_ufunc(function, values, dask="parallelized", output_dtypes=[np.float32])
    return out


def _check_counts(values: xr.DataArray, method: str) -> None:
    if kind_of(str(values.name)) in ("reflectance", "radar") and values.dtype.kind in "iu" and method != "nearest":
        raise UnitsError(
            f"{values.name} needs resampling, which gives fractions of counts; leave mask_and_scale=True, or give resampling='nearest'"
        )


def _axes(geobox: Any) -> dict[str, Any]:
    """Give the coordinates of a grid's pixels."""
    affine, (rows, columns) = geobox.affine, geobox.shape
    return {"y": affine.f + affine.e * (np.arange(rows) + 0.5), "x": affine.c + affine.a * (np.arange(columns) + 0.5)}


def geobox_for(cubes: list[xr.Dataset], request: Request) -> Any:
    """Lay out the grid asked for: over the box, or over all cubes; its edges at multiples of the resolution."""
    from odc.geo.geobox import GeoBox

    if request.like is not None:
        return geobox_of_like(request)
    crs = request.crs or cubes[0].rio.crs
    resolution = request.resolution or _natural_resolution(cubes[0], crs)
    bounds = bounds_in(request, crs) or _union(cubes, crs)
    return GeoBox.from_bbox(bounds, crs.to_wkt(), resolution=resolution, tight=False)


def _natural_resolution(cube: xr.Dataset, crs: Any) -> float:
    if crs.is_geographic:
        raise GridError(
            f"the pixel size in {crs} is in degrees, and there is no natural one; say it: open(..., crs=..., resolution=0.0001)"
        )
    return abs(pixel_size(cube)[1])


def _union(cubes: list[xr.Dataset], crs: Any) -> tuple[float, float, float, float]:
    boxes = [bounds_in(Request(bounds=c.rio.bounds(), bounds_crs=c.rio.crs), crs) for c in cubes]
    known = np.array([b for b in boxes if b is not None])
    west, south = known[:, :2].min(0)
    east, north = known[:, 2:].max(0)
    return float(west), float(south), float(east), float(north)


def merge(cubes: list[xr.Dataset]) -> xr.Dataset:
    """Join cubes of one grid: dates of one solar day and platform as one, data of the first before no data."""
    if len(cubes) == 1:
        return cubes[0]
    names = [n for n in cubes[0].data_vars if all(n in c for c in cubes)]
    days: dict[tuple[Any, ...], list[xr.Dataset]] = {}
    for cube in cubes:
        for i in range(cube.sizes["time"]):
            date = cube[names].isel(time=slice(i, i + 1))
            key = (str(date["time"].values[0])[:16], *(np.atleast_1d(date[c].values)[0] for c in ("platform",) if c in date.coords))
            days.setdefault(key, []).append(date)
    joined = [_over(parts) for _, parts in sorted(days.items())]
    return xr.concat(joined, "time", coords="minimal", compat="override", join="exact", combine_attrs="override") if joined else cubes[0]


def _over(parts: list[xr.Dataset]) -> xr.Dataset:
    """Lay parts of one date over one another."""
    out = parts[0]
    for part in parts[1:]:
        part = part.assign_coords(time=out["time"])
        pixels = list(_of_pixels(out))
        filled = {n: out[n].where(out[n].notnull() if out[n].dtype.kind == "f" else out[n] != 0, part[n].variable) for n in pixels}
        out = out.assign({n: v for n, v in filled.items() if n in out.data_vars}).assign_coords(
            {n: v for n, v in filled.items() if n in out.coords}
        )
    return out
