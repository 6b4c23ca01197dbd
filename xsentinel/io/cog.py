"""Maps to Cloud-Optimised GeoTIFF, block by block."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xsentinel.bands import SCENE_CLASSES, band_name
from xsentinel.cube import STORAGE_ATTRS, pixel_size
from xsentinel.errors import GridError, WriteError
from xsentinel.io.pack import Pack, pack_floats
from xsentinel.io.place import in_place_of, progress_bar


def to_cog(
    obj: xr.Dataset | xr.DataArray,
    path: str | PathLike[str],
    *,
    pack: Pack | None = None,
    scale: float | Mapping[str, float] | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> list[str]:
    """Write maps to Cloud-Optimised GeoTIFF: a file a variable, a band a date; a cube of one date: its bands in one file.

    Tiled, DEFLATE, with overviews (averages, of flags and classes the nearest pixel), nodata, units, band
    names, and of classes of one date a colour table. Pixels are written block by block; memory stays bounded.

    Parameters
    ----------
    obj : xarray.Dataset or DataArray, (time, y, x) or (y, x)
        With a CRS.
    path : path
        Ends in .tif. Of several variables the first has this name, the others get theirs appended: ``map.tif``
        (lai), ``map_flags.tif`` (lai_flags), ``map_fapar.tif``. Sentinel-2 bands of one date that are stored alike
        go into one file, ``cube.tif``, as QGIS and `xsentinel.open` read it; what else there is beside it: ``cube_SCL.tif``.
    pack, scale
        As `to_zarr`; scale and offset stand in the file's header.
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
        If a file exists and is not to be replaced, cannot be written, or packed values do not fit.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import xsentinel as xs
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = xs.sample("zurich").s2.lai().s2.to_cog(f"{folder}/lai.tif")
    ...     print([Path(file).name for file in files])
    ['lai.tif', 'lai_flags.tif']
    """
    named = obj.to_dataset(name="map" if obj.name is None else obj.name) if isinstance(obj, xr.DataArray) else obj
    maps = pack_floats(named, pack, scale)
    layers = [v for v in maps.data_vars if {"y", "x"} <= set(maps[v].dims)]
    if not layers:
        raise GridError(f"nothing to write: no variable has dims y and x among {', '.join(map(str, maps.data_vars)) or 'none'}; give maps")
    if Path(path).suffix.lower() not in (".tif", ".tiff"):
        raise WriteError(f"{path} has the suffix {Path(path).suffix!r}; end it in .tif")
    joined = _bands_together([maps[v] for v in layers])
    ready = [_ready(layer, maps.attrs) for layer in joined]
    files = _file_names(Path(path), [str(layer.name) for layer in joined])
    with in_place_of(files, overwrite) as partial:
        for file, layer in zip(partial, ready, strict=True):
            _write_cog(layer, file, progress)
    return [str(file) for file in files]


def _bands_together(layers: list[xr.DataArray]) -> list[xr.DataArray]:
    """Join Sentinel-2 bands of one date that are stored alike, (band, y, x), before what else there is."""
    bands = [v for v in layers if band_name(v.name) is not None and v.sizes.get("time", 1) == 1]
    if len({(v.dims, v.shape, v.dtype, *(str(v.attrs.get(k)) for k in STORAGE_ATTRS)) for v in bands}) != 1 or len(bands) < 2:
        return layers
    flat = [v.squeeze("time") if "time" in v.dims else v for v in bands]
    names = xr.IndexVariable("band", [str(v.name) for v in bands])
    joined = xr.concat(flat, names, combine_attrs="drop_conflicts", coords="minimal", compat="override").rename("cube")
    return [joined, *(v for v in layers if v.name not in names.values)]


def _file_names(path: Path, variables: list[str]) -> list[Path]:
    """Name the first variable's file as asked, the others by what sets them apart: map.tif, map_flags.tif."""
    tails = [v.removeprefix(f"{variables[0]}_") for v in variables[1:]]
    tails = tails if len(set(tails)) == len(tails) else variables[1:]
    return [path, *(path.with_name(f"{path.stem}_{tail}{path.suffix}") for tail in tails)]


def _ready(layer: xr.DataArray, common: dict[Any, Any]) -> xr.DataArray:
    """Check that a layer fits a GeoTIFF; north up, with the attributes of its Dataset too."""
    import rioxarray  # noqa: F401  (registers .rio)

    if extra := set(layer.dims) - {"time", "y", "x", *(["band"] if layer.name == "cube" else [])}:
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
        raise WriteError(f"{file.name} could not be written: {err}; give a path in a folder that may be written") from err
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
    if "band" in layer.dims:
        return [str(name) for name in layer["band"].values]
    if layer.sizes.get("time", 1) == 1:
        return [str(layer.name)]
    dates = [str(t)[:19] for t in layer["time"].values] if "time" in layer.coords else [str(i + 1) for i in range(layer.sizes["time"])]
    return [f"{layer.name} {date}" for date in dates]
