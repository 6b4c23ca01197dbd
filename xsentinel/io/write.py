"""Cubes and maps to Zarr and to Cloud-Optimised GeoTIFF, without loss and in bounded memory."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xsentinel.bands import SCENE_CLASSES
from xsentinel.cube import STORAGE_ATTRS, grid_mapping_name, pixel_size
from xsentinel.errors import GridError, WriteError
from xsentinel.io.pack import Pack, pack_floats
from xsentinel.io.stores import METADATA as ZARR_METADATA
from xsentinel.io.zarr_layout import Layout, check_layout, cut_for, geo_attrs, rechunk, with_gdal_crs

PIXELS = 1024
"""Pixels a chunk along y and x, where an array in memory has no chunks of its own."""

VALUES = 1 << 22
"""Values a chunk at most: 16 MiB of float32."""


@contextmanager
def progress_bar(show: bool) -> Iterator[None]:
    """Show dask's bar while something is computed."""
    from dask.diagnostics.progress import ProgressBar

    with ProgressBar(minimum=0.5) if show else nullcontext():
        yield


def write(ds: xr.Dataset, path: str | PathLike[str], *, overwrite: bool = False, progress: bool = False) -> list[str]:
    """Write by suffix: .zarr, .tif (one Cloud-Optimised GeoTIFF a variable) or .nc.

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
        to_zarr(ds, path, overwrite=overwrite, progress=progress)
        return [str(path)]
    if suffix in (".tif", ".tiff"):
        return to_cog(ds, path, overwrite=overwrite, progress=progress)
    if suffix == ".nc":
        return to_netcdf(ds, path, overwrite=overwrite, progress=progress)
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
    """Write a cube or maps to a Zarr store with CF and GeoZarr attributes.

    Parameters
    ----------
    ds : xarray.Dataset
        Chunks that are ragged inside are made regular.
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
    check_layout(layout)
    ready = portable(pack_floats(_regular(ds), pack, scale))
    if layout is None:
        encoding = {str(v): _zarr_chunks(ready[v]) for v in ready.data_vars}
    else:
        ready, encoding = cut_for(ready, layout, zarr_format)
    ready = with_gdal_crs(ready.assign_attrs(geo_attrs(ready)))
    with _in_place_of([Path(path)], overwrite) as (partial,), progress_bar(progress):
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
    """Write a cube or maps to one compressed NetCDF-4 file with CF attributes.

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
    """
    ready = _plain_attrs(portable(pack_floats(ds, pack, scale)))
    ready.attrs.setdefault("Conventions", "CF-1.11")
    encoding = {v: {"zlib": True, "complevel": 1, "shuffle": True} for v in ready.data_vars if ready[v].dtype.kind in "iuf"}
    with _in_place_of([Path(path)], overwrite) as (partial,), progress_bar(progress):
        ready.to_netcdf(partial, engine="netcdf4", encoding=encoding)
    return [str(path)]


def _plain_attrs(ds: xr.Dataset) -> xr.Dataset:
    """Write attributes that NetCDF has no type for, such as mappings and truth values, as JSON text."""
    holders: list[Any] = [ds, *ds.variables.values()]
    for holder in holders:
        holder.attrs = {k: json.dumps(v, default=str) if isinstance(v, dict | bool | None) else v for k, v in holder.attrs.items()}
    return ds


@contextmanager
def _in_place_of(paths: list[Path], overwrite: bool) -> Iterator[list[Path]]:
    """Give new places to write to, which take the places of paths once all is written.

    So what stands there stays whole if writing fails, and may be what is being read.
    """
    for path in paths:
        _check_free(path, overwrite)
    try:
        paths[0].parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=paths[0].parent) as folder:
            partial = [Path(folder) / path.name for path in paths]
            yield partial
            for path, new in zip(paths, partial, strict=True):
                if path.is_dir():
                    shutil.rmtree(path)
                new.replace(path)
    except (OSError, RuntimeError) as err:  # netCDF4 raises RuntimeError for a full disk
        if isinstance(err, WriteError):
            raise
        raise WriteError(f"{paths[0]} could not be written: {err}; check that its folder may be written to and the disk has space") from err


def _check_free(path: Path, overwrite: bool) -> None:
    if not path.exists():
        return
    if not overwrite:
        raise WriteError(f"{path} exists; give another name, or overwrite=True (--overwrite) to replace it")
    if path.is_dir() and any(path.iterdir()) and not any((path / name).is_file() for name in ZARR_METADATA):
        raise WriteError(f"{path} is a folder but no Zarr store, so it is not replaced; give another name, or remove it yourself")


def portable(ds: xr.Dataset) -> xr.Dataset:
    """Drop how the source was encoded, keep which coordinate holds the CRS; text as variable-length strings."""
    mapping = {v: m for v in ds.data_vars if {"y", "x"} <= set(ds[v].dims) and (m := grid_mapping_name(ds[v]))}
    clean = ds.drop_encoding()
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


def _zarr_chunks(values: xr.DataArray) -> dict[str, Any]:
    if values.chunks is not None or not values.ndim or values.dtype.kind not in "iuf":
        return {}
    sides: dict[Any, int] = {d: min(n, PIXELS) for d, n in values.sizes.items() if d in ("y", "x")}
    rest = max(1, VALUES // max(1, int(np.prod(list(sides.values())))))
    return {"chunks": tuple(sides.get(d, max(1, min(n, rest))) for d, n in values.sizes.items())}


def to_cog(obj: xr.Dataset | xr.DataArray, path: str | PathLike[str], *, overwrite: bool = False, progress: bool = False) -> list[str]:
    """Write maps to Cloud-Optimised GeoTIFF: a file a variable, a band a date.

    Tiled, DEFLATE, with overviews (averages, of flags and classes the nearest pixel), nodata, units, band
    names, and of classes of one date a colour table. Pixels are written block by block; memory stays bounded.

    Parameters
    ----------
    obj : xarray.Dataset or DataArray, (time, y, x) or (y, x)
        With a CRS.
    path : path
        Ends in .tif. Of several variables the first has this name, the others get theirs appended: ``map.tif``
        (lai), ``map_flags.tif`` (lai_flags), ``map_fapar.tif``.
    overwrite : bool
        Replace what stands there.
    progress : bool
        Show a bar.

    Returns
    -------
    list of str
        The files written.

    Raises
    ------
    GridError
        If there is no CRS.
    WriteError
        If a file exists and is not to be replaced, or cannot be written.
    """
    maps = obj.to_dataset(name="map" if obj.name is None else obj.name) if isinstance(obj, xr.DataArray) else obj
    layers = [v for v in maps.data_vars if {"y", "x"} <= set(maps[v].dims)]
    if not layers:
        raise GridError(f"nothing to write: no variable has dims y and x among {', '.join(map(str, maps.data_vars)) or 'none'}")
    if Path(path).suffix.lower() not in (".tif", ".tiff"):
        raise WriteError(f"{path} has the suffix {Path(path).suffix!r}; end it in .tif")
    ready = [_ready(maps[v], maps.attrs) for v in layers]
    files = _file_names(Path(path), [str(v) for v in layers])
    with _in_place_of(files, overwrite) as partial:
        for file, layer in zip(partial, ready, strict=True):
            _write_cog(layer, file, progress)
    return [str(file) for file in files]


def _file_names(path: Path, variables: list[str]) -> list[Path]:
    """Name the first variable's file as asked, the others by what sets them apart: map.tif, map_flags.tif."""
    tails = [v.removeprefix(f"{variables[0]}_") for v in variables[1:]]
    tails = tails if len(set(tails)) == len(tails) else variables[1:]
    return [path, *(path.with_name(f"{path.stem}_{tail}{path.suffix}") for tail in tails)]


def _ready(layer: xr.DataArray, common: dict[Any, Any]) -> xr.DataArray:
    """Check that a layer fits a GeoTIFF; north up, with the attributes of its Dataset too."""
    import rioxarray  # noqa: F401  (registers .rio)

    if extra := set(layer.dims) - {"time", "y", "x"}:
        raise GridError(
            f"{layer.name} has the dimension {', '.join(map(str, extra))}; a GeoTIFF has bands for time only: select one of it (isel)"
        )
    if layer.rio.crs is None:
        raise GridError(f"{layer.name} has no CRS, which a GeoTIFF needs: ds.rio.write_crs('EPSG:32632') with your own code")
    return _north_up(layer.transpose(..., "y", "x")).assign_attrs(common | layer.attrs)


def _north_up(layer: xr.DataArray) -> xr.DataArray:
    try:
        dy, dx = pixel_size(layer)
    except GridError as err:
        raise GridError(f"{layer.name} cannot be placed on the map: {err}") from err
    turned = {d: slice(None, None, -1) for d, wrong in (("y", dy > 0), ("x", dx < 0)) if wrong}
    return layer.isel(turned)


def _write_cog(layer: xr.DataArray, file: Path, progress: bool) -> None:
    from rasterio.errors import RasterioError
    from rasterio.shutil import copy

    is_measured = layer.dtype.kind == "f" or "scale_factor" in layer.attrs
    options = {"overview_resampling": "average" if is_measured else "nearest", "predictor": "YES" if is_measured else "NO"}
    plain = file.with_suffix(".plain.tif")
    try:
        _write_plain(layer, plain, progress)
        copy(plain, file, driver="COG", compress="DEFLATE", bigtiff="IF_SAFER", **options)
    except RasterioError as err:
        raise WriteError(f"{file.name} could not be written: {err}") from err
    plain.unlink()


def _write_plain(layer: xr.DataArray, file: Path, progress: bool) -> None:
    """Write a tiled GeoTIFF block by block, with names, units, storage and tags."""
    import rasterio

    names = _band_names(layer)
    keep = ("y", "x", "spatial_ref", layer.rio.grid_mapping)
    plain = layer.copy(deep=False).drop_vars([c for c in layer.coords if c not in keep])
    plain.attrs, plain.encoding = {}, {}
    nodata = layer.attrs.get("_FillValue", np.nan if layer.dtype.kind == "f" else None)
    if nodata is not None:
        plain = plain.rio.write_nodata(nodata)
    lock = threading.Lock() if plain.chunks is not None else None
    with progress_bar(progress):
        plain.rio.to_raster(file, tiled=True, lock=lock, compress="NONE", bigtiff="IF_SAFER")
    with rasterio.open(file, "r+") as dst:
        dst.descriptions = names
        dst.units = [str(layer.attrs.get("units", ""))] * len(names)
        if "scale_factor" in layer.attrs:
            dst.scales = [float(layer.attrs["scale_factor"])] * len(names)
            dst.offsets = [float(layer.attrs.get("add_offset", 0))] * len(names)
        if (colours := _colours(layer)) and len(names) == 1:
            dst.write_colormap(1, colours)
        dst.update_tags(**_tags(layer))


def _colours(layer: xr.DataArray) -> dict[int, tuple[int, int, int, int]]:
    """Give the colour of each class: those of the scene classes, or the layer's own flag_colors (#rrggbb)."""
    if layer.dtype != np.uint8:
        return {}
    told = str(layer.attrs.get("flag_colors", "")).split()
    values = [int(v) for v in np.atleast_1d(layer.attrs.get("flag_values", []))]
    if layer.name == "SCL":
        values, told = [c.value for c in SCENE_CLASSES], [c.colour for c in SCENE_CLASSES]
    if len(told) != len(values):
        return {}
    return {v: (*bytes.fromhex(colour.removeprefix("#")), 255) for v, colour in zip(values, told, strict=True)}


def _tags(layer: xr.DataArray) -> dict[str, str]:
    """Give attributes as text, lists of numbers with spaces between; and the date if there is one."""
    attrs = {k: v for k, v in layer.attrs.items() if k not in (*STORAGE_ATTRS, "grid_mapping")}
    tags = {str(k): " ".join(map(str, v.tolist())) if isinstance(v, np.ndarray) and v.ndim else str(v) for k, v in attrs.items()}
    if "time" in layer.coords and layer["time"].size == 1 and layer["time"].notnull().all():
        tags["datetime"] = str(np.atleast_1d(layer["time"].values)[0])
    return tags


def _band_names(layer: xr.DataArray) -> list[str]:
    if layer.sizes.get("time", 1) == 1:
        return [str(layer.name)]
    dates = [str(t)[:19] for t in layer["time"].values] if "time" in layer.coords else [str(i + 1) for i in range(layer.sizes["time"])]
    return [f"{layer.name} {date}" for date in dates]
