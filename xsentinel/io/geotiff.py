"""GeoTIFF: multi-band files with band descriptions, and folders of files of one or more bands."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xsentinel.bands import band_name, platform_name
from xsentinel.cube import STORAGE_ATTRS
from xsentinel.errors import BandError, ReadError, UnitsError
from xsentinel.io.source import Chunks, Raw
from xsentinel.io.told import Told
from xsentinel.io.understand import NAME_BANDS, SCENE_CLASS_NAMES

SUFFIXES = (".tif", ".tiff")

FORMAT_TAGS = ("AREA_OR_POINT", "OVR_RESAMPLING_ALG", "datetime")
"""Tags that say how or when a file was made, and not what is in it."""

LAYER_TAGS = ("long_name", "standard_name", "units", "comment", "ancillary_variables", "flag_masks", "flag_values", "flag_meanings")
"""Tags of what `to_cog` writes that belong to the variable."""

SCENE_TAGS = ("Conventions", "source", "references", "title", "attribution", "notes", "left_out")
"""Tags of what `to_cog` writes that belong to the Dataset."""

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
    time: np.datetime64 | None
    """Acquisition, None if neither name nor tags tell it."""
    platform: str
    """S2A, S2B or S2C; empty if neither name nor tags tell it."""
    scale: float | None
    """Value a count; None if the file does not tell."""
    offset: float
    nodata: float | None
    grid: tuple[object, ...]
    """CRS, transform and shape: layers that share it lie on one grid."""
    tags: tuple[tuple[str, str], ...]


@dataclass(frozen=True, eq=False)
class GeotiffReader:
    """GeoTIFF files."""

    told: Told = field(default_factory=Told)
    """What their user tells of them."""

    form = "GeoTIFF (.tif with band descriptions, or a folder of files named by band and date)"

    def can_read(self, path: Path) -> bool:
        """Tell by the suffix, of the file or of the files in the folder."""
        return path.suffix.lower() in SUFFIXES or (path.is_dir() and bool(_files(path)))

    def read(self, path: Path, chunks: Chunks) -> list[Raw]:
        """Group layers by grid, and within it by date and band."""
        dates = self.told.dated(_files(path))
        layers = [layer for file, date in dates.items() for layer in describe(file, self.told, date)]
        grids: dict[tuple[object, ...], list[Layer]] = defaultdict(list)
        for layer in layers:
            grids[layer.grid].append(layer)
        return [Raw(self._placed(_stack(group, chunks)), str(path)) for group in grids.values()]

    def _placed(self, ds: xr.Dataset) -> xr.Dataset:
        """Write the CRS that is told, if any; it is that of the files that have one."""
        import rioxarray  # noqa: F401  (registers .rio)

        placed: xr.Dataset = ds.rio.write_crs(self.told.crs) if self.told.crs else ds
        return placed


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)


def describe(path: Path, told: Told, date: np.datetime64 | None) -> list[Layer]:
    """Read what a file says of its bands, and what is told of it.

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
            tags = file.tags()
            names = _told_names(path, file.descriptions, told) if told.bands else _layer_names(path, file.descriptions)
            time, platform = _time(path, tags), _platform(path, tags)
            crs = told.placed(file.crs, path)
            grid = (crs.to_wkt() if crs else None, tuple(file.transform), file.shape)
            kept = tuple(sorted((k, v) for k, v in tags.items() if k not in FORMAT_TAGS))
            integers = np.dtype(file.dtypes[0]).kind in "iu"
            stored = zip(file.indexes, names, file.scales, file.offsets, strict=True)
            return [
                Layer(path, i, name, date or own or time, platform, _scale(scale, offset, integers), offset, file.nodata, grid, kept)
                for i, (name, own), scale, offset in stored
            ]
    except rasterio.errors.RasterioIOError as err:
        raise ReadError(f"{path} cannot be opened as GeoTIFF: {err}; copy or download it again") from err


def _scale(scale: float, offset: float, integers: bool) -> float | None:
    return None if integers and scale == 1 and offset == 0 else scale


def _layer_names(path: Path, descriptions: tuple[str | None, ...]) -> list[tuple[str, np.datetime64 | None]]:
    """Name each band, and its date where the description tells it."""
    tokens = [name for token in re.split(r"[_\-. ]", path.stem) if (name := _layer_name(token))]
    one = len(descriptions) == 1 and len(set(tokens)) == 1
    if all(descriptions) and not (one and _layer_name(str(descriptions[0])) is None):
        return [_described(str(d)) for d in descriptions]
    if one:
        return [(tokens[0], _described(str(descriptions[0]))[1])]
    raise BandError(
        f"{path} has {len(descriptions)} bands without descriptions, and its name tells {', '.join(tokens) or 'no band'}; "
        f"name the bands in order: {NAME_BANDS}, or write them into the file (rasterio: dst.descriptions = ('B02', 'B03', ...))"
    )


def _told_names(path: Path, descriptions: tuple[str | None, ...], told: Told) -> list[tuple[str, np.datetime64 | None]]:
    """Name each band as it is told, its date where the description tells it."""
    own = [_described(str(d))[1] for d in descriptions]
    return list(zip([_layer_name(name) or name for name in told.named(path, descriptions)], own, strict=True))


def _described(text: str) -> tuple[str, np.datetime64 | None]:
    """Split 'B02 2019-05-30T10:30:29', as `to_cog` writes it, into band and date."""
    match = re.fullmatch(r"(.+) (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)", text)
    name, date = (match.group(1), np.datetime64(match.group(2), "ns")) if match else (text, None)
    return _layer_name(name) or name, date


def _layer_name(text: str) -> str | None:
    return "SCL" if text.strip().lower() in SCENE_CLASS_NAMES else band_name(text)


def _platform(path: Path, tags: dict[str, str]) -> str:
    return next((p for text in (tags.get("platform"), path.name, path.parent.name) if (p := platform_name(text)) is not None), "")


def _time(path: Path, tags: dict[str, str]) -> np.datetime64 | None:
    """Find the acquisition time in tags or in the file's name, else in the folder's."""
    texts = [v for k, v in tags.items() if k.lower() in ("datetime", "time", "acquisition_time", "sensing_time")]
    for text in [*texts, path.stem, path.parent.name]:
        for match in re.finditer(r"(?<!\d)(20\d\d)-?([01]\d)-?([0-3]\d)(?:T(\d\d):?(\d\d):?(\d\d))?(?!\d)", text):
            year, month, day, *clock = match.groups()
            clock = [c or "00" for c in clock]
            try:
                return np.datetime64(f"{year}-{month}-{day}T{':'.join(clock)}", "ns")
            except ValueError:
                continue
    return None


def _stack(layers: list[Layer], chunks: Chunks) -> xr.Dataset:
    """Put the layers of one grid together: a variable a band, its dates along time."""
    by_name: dict[str, dict[np.datetime64 | None, Layer]] = defaultdict(dict)
    for layer in layers:
        if layer.time in by_name[layer.name] or (by_name[layer.name] and None in {layer.time, *by_name[layer.name]}):
            other = next(iter(by_name[layer.name].values())).path
            raise ReadError(f"{layer.path} and {other} both hold {layer.name} of the same or an unknown date; name files by date")
        by_name[layer.name][layer.time] = layer
    times = sorted({layer.time for layer in layers}, key=str)
    for name, dated in by_name.items():
        if lacking := [str(t)[:10] if t is not None else "an unknown date" for t in times if t not in dated]:
            raise ReadError(f"{name} is missing at {', '.join(lacking[:5])}; add its files, or open the dates apart")
    ds = xr.Dataset({name: _variable([dated[t] for t in times], chunks) for name, dated in by_name.items()})
    ds = ds.assign_coords(time=np.array([t if t is not None else np.datetime64("NaT") for t in times], "datetime64[ns]"))
    common = set.intersection(*(set(layer.tags) for layer in layers))
    attrs = {k: v for k, v in sorted(common) if k not in LAYER_TAGS}
    if times == [None] and "xsentinel_version" in dict(common):
        ds = ds.isel(time=0, drop=True)  # a map of a season, say: `to_cog` would have written its date
    return _with_platforms(ds.assign_attrs(attrs), layers, times)


def _with_platforms(ds: xr.Dataset, layers: list[Layer], times: list[np.datetime64 | None]) -> xr.Dataset:
    """Write the platform that the files of each date tell."""
    told = {t: {layer.platform for layer in layers if layer.time == t} - {""} for t in times}
    if mixed := [str(t)[:10] for t, names in told.items() if len(names) > 1]:
        raise ReadError(f"files of several platforms have the date {mixed[0]}; open them apart, or put the time of day into their names")
    names = [next(iter(told[t]), "") for t in times]
    if not any(names):
        return ds
    attrs = {"source": "file name"}
    return ds.assign_coords(platform=("time", np.array(names), attrs) if "time" in ds.dims else ((), names[0], attrs))


def _variable(layers: list[Layer], chunks: Chunks) -> xr.DataArray:
    dates = [_pixels(layer, chunks) for layer in layers]
    storages = {repr(sorted(d.attrs.items())) for d in dates}  # as text, as NaN is not equal to itself
    if len(storages) > 1:
        raise UnitsError(
            f"{layers[0].name} has another scale, offset or nodata on some dates ({'; '.join(sorted(storages))}); open these "
            f"dates apart, each with its own, and join them with xarray.concat"
        )
    out = xr.concat(dates, "time", combine_attrs="override", join="exact") if len(dates) > 1 else dates[0].expand_dims("time")
    out.attrs = dates[0].attrs | _product_attrs(dict(layers[0].tags))
    return out


def _product_attrs(tags: dict[str, str]) -> dict[str, object]:
    """Give the attributes that `to_cog` wrote as tags, if it did."""
    if "xsentinel_version" not in tags:
        return {}
    attrs: dict[str, object] = {k: v for k, v in tags.items() if k not in (*STORAGE_ATTRS, *SCENE_TAGS)}
    return attrs | {k: np.array(tags[k].split(), np.uint8) for k in ("flag_masks", "flag_values") if k in tags}


def _pixels(layer: Layer, chunks: Chunks) -> xr.DataArray:
    """Open one band lazily, with its storage as attributes."""
    import rioxarray

    auto = {"x": CHUNK, "y": CHUNK, "band": 1}
    cut = None if chunks is None else (auto | {k: v for k, v in chunks.items() if k in auto})
    file: Any = rioxarray.open_rasterio(layer.path, chunks=cut, masked=False)
    band: xr.DataArray = file.sel(band=layer.index, drop=True)
    attrs: dict[str, object] = {} if layer.nodata is None else {"_FillValue": layer.nodata}
    if layer.name != "SCL":
        attrs = ({"_FillValue": 0} if band.dtype.kind in "iu" and band_name(layer.name) else {}) | attrs
        if layer.scale is not None and (layer.scale, layer.offset) != (1, 0):
            attrs |= {"scale_factor": layer.scale, "add_offset": layer.offset}
    out = band.rename(layer.name)
    out.attrs, out.encoding = attrs, {}
    return out
