"""Cubes and maps to Zarr and NetCDF, without loss and in bounded memory; and by suffix to any form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xsentinel.cube import grid_mapping_name
from xsentinel.errors import WriteError
from xsentinel.io.cog import to_cog
from xsentinel.io.outlines import encode_outlines
from xsentinel.io.pack import Pack, pack_floats
from xsentinel.io.place import check_zarr_name, in_place_of, progress_bar
from xsentinel.io.zarr_layout import Layout, check_layout, cut_for, geo_attrs, on_grid, rechunk, with_gdal_crs
from xsentinel.version import CONVENTIONS

PIXELS = 1024
"""Pixels a chunk along y and x, where an array in memory has no chunks of its own."""

VALUES = 1 << 22
"""Values a chunk at most: 16 MiB of float32."""


def write(ds: xr.Dataset, path: str | PathLike[str], **options: Any) -> list[str]:
    """Write by suffix: .zarr, .tif (one Cloud-Optimised GeoTIFF a variable) or .nc.

    Parameters
    ----------
    ds : xarray.Dataset
    path : path
    **options
        Of `to_zarr`, `to_cog` or `to_netcdf`.

    Returns
    -------
    list of str
        The files and stores written.

    Raises
    ------
    WriteError
        If the suffix is none of these, or something stands there already.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".zarr":
        to_zarr(ds, path, **options)
        return [str(path)]
    if suffix in (".tif", ".tiff"):
        return to_cog(ds, path, **options)
    if suffix == ".nc":
        return to_netcdf(ds, path, **options)
    raise WriteError(f"{path} has the suffix {suffix!r}; end it in .zarr, .tif or .nc")


def to_zarr(
    ds: xr.Dataset,
    path: str | PathLike[str],
    *,
    zarr_format: int = 3,
    layout: Layout | None = None,
    pack: Pack | None = None,
    scale: float | Mapping[str, float] | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> None:
    """Write a cube, maps or parcels to a Zarr store with CF and GeoZarr attributes.

    Parameters
    ----------
    ds : xarray.Dataset
        Chunks that are ragged inside are made regular. Outlines of parcels become text (hexadecimal well-known binary), which
        `xsentinel.open` turns back, and ``shapely.from_wkb``; text that is missing becomes ''.
    path : path
        A folder, new unless ``overwrite``.
    zarr_format : {3, 2}
    layout : {"series", "map"}, optional
        Cut for reading pixels through time (64² pixels of up to 128 dates) or maps of a date (512² pixels), in
        format 3 with shards of 512² and 2048² pixels. One chunk a dask chunk if not given.
    pack : {"uint16", "int16"}, optional
        Write floats as scaled integers; floats stay float32 if not given. `xsentinel.open` and xarray decode.
    scale : float or mapping, optional
        Value a packed count, for all variables or by name; 1e-4 for reflectance, 1e-3 for LAI if not given.
    overwrite : bool
        Replace what stands there.
    progress : bool
        Show a bar.

    Raises
    ------
    WriteError
        If the path exists and is not to be replaced, cannot be written, or packed values do not fit.

    Examples
    --------
    >>> import tempfile, xsentinel as xs
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     xs.sample("zurich").s2.lai().s2.to_zarr(f"{folder}/lai.zarr")
    ...     print(list(xs.open(f"{folder}/lai.zarr").data_vars))
    ['lai', 'lai_flags']
    """
    check_zarr_name(str(path))
    check_layout(layout)
    ready = portable(pack_floats(_regular(ds), pack, scale))
    if layout is None:
        values = {str(n): v.variable for n, v in ready.data_vars.items()} | on_grid(ready)
        encoding = {name: _zarr_chunks(v) for name, v in values.items()}
    else:
        ready, encoding = cut_for(ready, layout, zarr_format)
    ready = with_gdal_crs(ready.assign_attrs(geo_attrs(ready)))
    with in_place_of([Path(path)], overwrite) as (partial,), progress_bar(progress):
        ready.to_zarr(partial, mode="w", zarr_format=zarr_format, encoding=encoding, consolidated=zarr_format == 2)


def to_netcdf(
    ds: xr.Dataset,
    path: str | PathLike[str],
    *,
    pack: Pack | None = None,
    scale: float | Mapping[str, float] | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> list[str]:
    """Write a cube, maps or parcels to one compressed NetCDF-4 file with CF attributes.

    Parameters
    ----------
    ds, path, pack, scale, overwrite, progress
        As `to_zarr`.

    Returns
    -------
    list of str
        The file written.

    Raises
    ------
    WriteError
        If the path exists and is not to be replaced, cannot be written, or packed values do not fit.

    Examples
    --------
    >>> import tempfile, xsentinel as xs
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = xs.sample("zurich").s2.lai().s2.to_netcdf(f"{folder}/lai.nc")
    ...     print(len(files), list(xs.open(files[0], chunks=None).data_vars))
    1 ['lai', 'lai_flags']
    """
    ready = _plain_attrs(portable(pack_floats(ds, pack, scale)))
    ready.attrs = CONVENTIONS | ready.attrs
    encoding = {v: {"zlib": True, "complevel": 1, "shuffle": True} for v in ready.data_vars if ready[v].dtype.kind in "iuf"}
    with in_place_of([Path(path)], overwrite) as (partial,), progress_bar(progress):
        ready.to_netcdf(partial, engine="netcdf4", encoding=encoding)
    return [str(path)]


def _plain_attrs(ds: xr.Dataset) -> xr.Dataset:
    """Write attributes that NetCDF has no type for, such as mappings and truth values, as JSON text."""
    holders: list[Any] = [ds, *ds.variables.values()]
    for holder in holders:
        holder.attrs = {k: json.dumps(v, default=str) if isinstance(v, dict | bool | None) else v for k, v in holder.attrs.items()}
    return ds


def portable(ds: xr.Dataset) -> xr.Dataset:
    """Drop how the source was encoded, keep which coordinate holds the CRS; text and outlines as variable-length strings."""
    mapping = {v: m for v in ds.data_vars if {"y", "x"} <= set(ds[v].dims) and (m := grid_mapping_name(ds[v]))}
    clean = encode_outlines(ds.drop_encoding())
    # fixed-length text has no Zarr 3 specification, and zarr warns of it
    texts = {v: clean[v].compute().astype(object) for v in clean.variables if clean[v].dtype.kind in "UT"}
    placed = {v: clean[v].assign_attrs(grid_mapping=m) for v, m in mapping.items()}
    return (
        clean.assign(placed)
        .assign({v: t for v, t in texts.items() if v in clean.data_vars})
        .assign_coords({v: t for v, t in texts.items() if v in clean.coords})
    )


def _regular(ds: xr.Dataset) -> xr.Dataset:
    """Make dask chunks equal but for the last, as Zarr wants them."""
    unified = ds.unify_chunks()
    ragged = {d: max(c) for d, c in unified.chunks.items() if len(set(c[:-1])) > 1 or c[-1] > c[0]}
    return rechunk(unified, ragged) if ragged else unified


def _zarr_chunks(values: xr.Variable) -> dict[str, Any]:
    if values.chunks is not None or not values.ndim or values.dtype.kind not in "iuf":
        return {}
    sides: dict[Any, int] = {d: min(n, PIXELS) for d, n in values.sizes.items() if d in ("y", "x")}
    rest = max(1, VALUES // max(1, int(np.prod(list(sides.values())))))
    return {"chunks": tuple(sides.get(d, max(1, min(n, rest))) for d, n in values.sizes.items())}
