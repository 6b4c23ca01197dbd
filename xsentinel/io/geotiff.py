"""GeoTIFF: multi-band files with band descriptions, and folders of files of one or more bands."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xsentinel.bands import band_name, platform_name
from xsentinel.errors import BandError, ReadError, UnitsError
from xsentinel.io.source import Chunks, Raw
from xsentinel.io.understand import SCENE_CLASS_NAMES

SUFFIXES = (".tif", ".tiff")

CHUNK = 1024
"""Pixels a chunk along y and x where the file's own blocks are smaller."""


@dataclass(frozen=True)
class Layer:
    """One band of one file."""

    path: Path
    index: int
    """Band number in the file, from 1."""
    name: str
    """Band, SCL, or the description as it stands."""
    time: np.datetime64
    """Acquisition, NaT if neither name nor tags tell it."""
    scale: float | None
    """Value a count; None if the file does not tell."""
    offset: float
    nodata: float | None
    grid: tuple[object, ...]
    """CRS, transform and shape: layers that share it lie on one grid."""
    tags: tuple[tuple[str, str], ...]


class GeotiffReader:
    """GeoTIFF files."""

    form = "GeoTIFF (.tif with band descriptions, or a folder of files named by band and date)"

    def can_read(self, path: Path) -> bool:
        """Tell by the suffix, of the file or of the files in the folder."""
        return path.suffix.lower() in SUFFIXES or (path.is_dir() and bool(_files(path)))

    def read(self, path: Path, chunks: Chunks) -> list[Raw]:
        """Group layers by grid, and within it by date and band."""
        layers = [layer for file in _files(path) for layer in describe(file)]
        grids: dict[tuple[object, ...], list[Layer]] = defaultdict(list)
        for layer in layers:
            grids[layer.grid].append(layer)
        return [Raw(_stack(group, chunks), str(path)) for group in grids.values()]


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)


def describe(path: Path) -> list[Layer]:
    """Read what a file says of its bands.

    Raises
    ------
    ReadError
        If it is not a readable GeoTIFF.
    BandError
        If neither descriptions nor the file's name tell which band is which.
    """
    import rasterio

    try:
        with rasterio.open(path) as file:
            names = _layer_names(path, file.descriptions)
            tags = tuple(sorted(file.tags().items()))
            time = _time(path, dict(tags))
            grid = (file.crs.to_wkt() if file.crs else None, tuple(file.transform), file.shape)
            integers = np.dtype(file.dtypes[0]).kind in "iu"
            return [
                Layer(path, i, name, time, _scale(scale, offset, integers), offset, file.nodata, grid, tags)
                for i, name, scale, offset in zip(file.indexes, names, file.scales, file.offsets, strict=True)
            ]
    except rasterio.errors.RasterioIOError as err:
        raise ReadError(f"{path} cannot be opened as GeoTIFF: {err}") from err


def _scale(scale: float, offset: float, integers: bool) -> float | None:
    return None if integers and scale == 1 and offset == 0 else scale


def _layer_names(path: Path, descriptions: tuple[str | None, ...]) -> list[str]:
    if all(descriptions):
        return [_layer_name(str(d)) or str(d) for d in descriptions]
    tokens = [name for token in re.split(r"[_\-. ]", path.stem) if (name := _layer_name(token))]
    if len(descriptions) == 1 and len(set(tokens)) == 1:
        return tokens[:1]
    raise BandError(
        f"{path} has {len(descriptions)} bands without descriptions, and its name tells {', '.join(tokens) or 'no band'}; "
        f"name the bands in the file (gdal_edit or rasterio: dst.descriptions = ('B02', 'B03', ...))"
    )


def _layer_name(text: str) -> str | None:
    return "SCL" if text.strip().lower() in SCENE_CLASS_NAMES else band_name(text)


def _time(path: Path, tags: dict[str, str]) -> np.datetime64:
    """Find the acquisition time in tags or in the file's name, else in the folder's."""
    texts = [v for k, v in tags.items() if k.lower() in ("datetime", "time", "acquisition_time", "sensing_time")]
    for text in [*texts, path.stem, path.parent.name]:
        if (match := re.search(r"(20\d\d)-?([01]\d)-?([0-3]\d)(?:T(\d\d):?(\d\d):?(\d\d))?(?!\d)", text)) is not None:
            year, month, day, *clock = match.groups()
            clock = [c or "00" for c in clock]
            try:
                return np.datetime64(f"{year}-{month}-{day}T{':'.join(clock)}", "ns")
            except ValueError:
                continue
    return np.datetime64("NaT", "ns")


def _stack(layers: list[Layer], chunks: Chunks) -> xr.Dataset:
    """Put the layers of one grid together: a variable a band, its dates along time."""
    by_name: dict[str, dict[np.datetime64, Layer]] = defaultdict(dict)
    for layer in layers:
        if layer.time in by_name[layer.name] or (np.isnat(layer.time) and by_name[layer.name]):
            other = next(iter(by_name[layer.name].values())).path
            raise ReadError(f"{layer.path} and {other} both hold {layer.name} of the same or an unknown date; name files by date")
        by_name[layer.name][layer.time] = layer
    times = sorted({layer.time for layer in layers})
    for name, dated in by_name.items():
        if lacking := [str(t)[:10] for t in times if t not in dated]:
            raise ReadError(f"{name} is missing at {', '.join(lacking[:5])}; add its files, or open the dates apart")
    variables = {name: _variable([dated[t] for t in times], chunks) for name, dated in by_name.items()}
    first = layers[0]
    ds = xr.Dataset(variables).assign_coords(time=np.array(times, "datetime64[ns]"))
    ds.attrs = {k: v for k, v in first.tags if k not in ("AREA_OR_POINT", "OVR_RESAMPLING_ALG")}
    platform = platform_name(first.path.name) or platform_name(first.path.parent.name)
    return ds.assign_attrs(platform=platform) if platform else ds


def _variable(layers: list[Layer], chunks: Chunks) -> xr.DataArray:
    dates = [_pixels(layer, chunks) for layer in layers]
    storages = {tuple(sorted(d.attrs.items())) for d in dates}
    if len(storages) > 1:
        raise UnitsError(
            f"{layers[0].name} has another scale, offset or nodata on some dates ({storages}); open these dates apart, "
            f"each with its own, and join them with xarray.concat"
        )
    out = xr.concat(dates, "time", combine_attrs="override", join="exact") if len(dates) > 1 else dates[0].expand_dims("time")
    out.attrs = dates[0].attrs
    return out


def _pixels(layer: Layer, chunks: Chunks) -> xr.DataArray:
    """Open one band lazily, with its storage as attributes."""
    import rioxarray

    auto = {"x": CHUNK, "y": CHUNK, "band": 1}
    cut = None if chunks is None else (auto | {k: v for k, v in chunks.items() if k in auto})
    file: Any = rioxarray.open_rasterio(layer.path, chunks=cut, masked=False)
    band: xr.DataArray = file.sel(band=layer.index, drop=True)
    attrs: dict[str, object] = {}
    if layer.nodata is not None:
        attrs["_FillValue"] = layer.nodata
    if band.dtype.kind in "iu" and layer.name != "SCL":
        attrs = {"_FillValue": 0} | attrs
        if layer.scale is not None:
            attrs |= {"scale_factor": layer.scale, "add_offset": layer.offset}
    out = band.rename(layer.name)
    out.attrs, out.encoding = attrs, {}
    return out
