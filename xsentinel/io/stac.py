"""Pixels of STAC items by odc-stac, on their own grids; then as products."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import xarray as xr

from xsentinel.bands import BANDS, SCALE_FACTOR
from xsentinel.errors import ReadError
from xsentinel.io.angle_layers import AngleLayer, Name, TileAngles
from xsentinel.io.container import MAX_TEXT
from xsentinel.io.images import BLOCK, Piece, dark_count, lazy
from xsentinel.io.offset import DARK_BANDS, DARK_SHARE, Harmonise, settle_shift
from xsentinel.io.safe_metadata import TileFacts, parse_tile
from xsentinel.io.source import Chunks, Raw
from xsentinel.io.stac_items import SceneItem, check_kinds, import_stac, read_item

TIMEOUT_S = 30
"""Seconds to wait for granule metadata."""

Groups = dict[tuple[Any, ...], list[SceneItem]]


def raws_of_items(sources: Sequence[Any], chunks: Chunks, harmonise: Harmonise, geobox: Any = None) -> dict[int, list[Raw]]:
    """Give for each UTM zone one Raw a resolution, its dates in order; of radar, one on the grid asked for.

    Raises
    ------
    ReadError
        If an item is not understood, or its files are not there.
    UnitsError
        If an offset contradicts the pixels.
    """
    items = newest([read_item(s) for s in sources])
    check_kinds(items)
    _check_files(items)
    zones: dict[int, list[SceneItem]] = defaultdict(list)
    for item in items:
        zones[item.epsg].append(item)
    if items[0].kind == "radar":
        first = min(zones)
        return {first: [_radar(items, geobox, f"EPSG:{first}", chunks)]}
    shifts = _shifts(items, harmonise)
    return {epsg: _optical(group, shifts, epsg, chunks) for epsg, group in sorted(zones.items())}


def newest(items: list[SceneItem]) -> list[SceneItem]:
    """Leave out what was processed again: of one tile, platform and time the newest baseline, then processing, stays."""
    kept: dict[tuple[Any, ...], SceneItem] = {}
    for item in sorted(items, key=lambda i: (i.baseline, i.generated)):
        key = (
            item.place,
            item.platform,
            item.time.astype("datetime64[s]"),
            item.label if item.kind == "radar" or not item.baseline else "",
        )
        kept[key] = item
    return sorted(kept.values(), key=lambda i: (i.time, i.label))


def local_path(href: str) -> Path | None:
    """Give the path of a file that is on this machine, None for what lies elsewhere."""
    parts = urlsplit(href)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return Path(href) if len(parts.scheme) <= 1 and not href.startswith("/vsi") else None


def _check_files(items: list[SceneItem]) -> None:
    for item in items:
        for key in item.assets.values():
            path = local_path(item.source.assets[key].href)
            if path is not None and not path.is_file():
                raise ReadError(
                    f"{item.label}: asset {key!r} is at {path}, where no file is; download it, or leave the asset out of the item"
                )


def _shifts(items: list[SceneItem], harmonise: Harmonise) -> dict[int, int]:
    """Settle each item's offset; of items that lie elsewhere the pixels of one a catalogue and baseline are looked at."""
    seen: set[Any] = set()

    def settle(item: SceneItem) -> int:
        assert item.claim is not None
        kind = (item.source.collection_id, item.baseline, item.claim.shift)
        is_near = all(local_path(item.source.assets[k].href) is not None for k in item.assets.values())
        look = is_near or kind not in seen
        seen.add(kind)
        return settle_shift(item.claim, harmonise, lambda: _dark(item) if look else iter(()))

    return {id(item): settle(item) for item in items}


def _dark(item: SceneItem) -> Iterator[tuple[str, float]]:
    for band in DARK_BANDS:
        key = next((k for (name, r), k in sorted(item.assets.items(), key=lambda a: -a[0][1]) if name == band), None)
        if key is None:
            continue
        href = item.source.assets[key].href
        path = local_path(href)
        stamp = (path.stat().st_size, path.stat().st_mtime_ns) if path else (0, 0)
        counts = dark_count(Piece(str(path or href), stamp, 0, 0, (0, 0)), DARK_SHARE)
        if counts is not None:
            yield band, counts


def _optical(items: list[SceneItem], shifts: dict[int, int], epsg: int, chunks: Chunks) -> list[Raw]:
    """Load the items of one zone: one Raw a resolution."""
    days = _days(items)
    times = [min(i.time for i in day) for day in days.values()]
    granules = _granules(items)
    resolutions = sorted({r for i in items for _, r in i.assets})
    return [
        Raw(_labelled(_load(days, times, resolution, shifts, chunks), days, granules, epsg), items[0].label)
        for resolution in resolutions
        if _common(items, resolution)
    ]


def _days(items: list[SceneItem]) -> Groups:
    """Group items by solar day, platform and, for radar, track."""
    days: Groups = defaultdict(list)
    for item in items:
        longitude = float(np.mean(item.source.bbox[::2])) if item.source.bbox else item.epsg % 100 * 6 - 183
        noon = item.time + np.timedelta64(round(longitude * 240), "s")
        days[str(noon)[:10], item.platform, item.place if item.kind == "radar" else ""].append(item)
    return dict(sorted(days.items(), key=lambda d: min(i.time for i in d[1])))


def _common(items: list[SceneItem], resolution: int) -> list[str]:
    """Name the bands that all items have at a resolution."""
    return sorted(set.intersection(*({n for n, r in i.assets if r == resolution} for i in items)))


def _load(days: Groups, times: list[np.datetime64], resolution: int, shifts: dict[int, int], chunks: Chunks) -> xr.Dataset:
    """Load all dates on the grid of their files, offsets brought to the lowest; one call a set of asset names and offset."""
    items = [i for day in days.values() for i in day]
    names = _common(items, resolution)
    lowest = min(shifts[id(i)] for i in items)
    geobox = _own_grid(items, names, resolution)
    batches: dict[tuple[Any, ...], list[tuple[int, SceneItem]]] = defaultdict(list)
    for t, day in enumerate(days.values()):
        for item in sorted(day, key=lambda i: (i.baseline, i.generated), reverse=True):
            batches[tuple(item.assets[n, resolution] for n in names), shifts[id(item)]].append((t, item))
    parts = []
    for (keys, shift), batch in batches.items():
        ds = _by_odc(batch, times, dict(zip(keys, names, strict=True)), geobox, chunks)
        parts.append(ds.map(lambda v, by=shift - lowest: v.where(v == 0, v + by).astype(v.dtype) if by and v.name in BANDS else v))
    ds = _one_over_other(parts)
    attrs = {"scale_factor": SCALE_FACTOR, "add_offset": lowest * SCALE_FACTOR, "_FillValue": np.uint16(0)}
    return ds.assign({n: ds[n].assign_attrs(attrs) for n in names if n in BANDS})


def _by_odc(
    batch: list[tuple[int, SceneItem]], times: list[np.datetime64], names: dict[str, str], geobox: Any, chunks: Chunks
) -> xr.Dataset:
    """Load items that share asset names; those of a date lie over one another in the order given."""
    odc = import_stac("odc.stac")
    options = {"dtype": "uint16", "nodata": 0, "groupby": "time", "preserve_original_order": True}
    found: xr.Dataset = odc.load(_dated(batch, times), bands=list(names), geobox=geobox, chunks=_cut(chunks), **options)
    ds = found.rename({key: name for key, name in names.items() if key != name}).assign_coords(
        time=found["time"].values.astype("datetime64[ns]")
    )
    return ds.assign({n: ds[n].drop_attrs().astype(np.uint16 if n in BANDS else np.uint8) for n in names.values()})


def _dated(batch: list[tuple[int, SceneItem]], times: list[np.datetime64]) -> list[Any]:
    """Give copies of the items, all of a date with one time.

    They have no links: with one to itself, an item's local files would be looked for on the catalogue's server.
    """
    out = []
    for t, item in batch:
        copy = item.source.clone()
        copy.clear_links()
        for key in item.assets.values():
            path = local_path(copy.assets[key].href)
            copy.assets[key].href = str(path.resolve()) if path else copy.assets[key].href
        copy.datetime = times[t].astype("datetime64[us]").item().replace(tzinfo=UTC)
        out.append(copy)
    return out


def _cut(chunks: Chunks) -> dict[str, int]:
    return {"time": 1, "y": BLOCK, "x": BLOCK} | {k: v for k, v in (chunks or {}).items() if k in ("y", "x")}


def _one_over_other(parts: list[xr.Dataset]) -> xr.Dataset:
    """Join dates; where two parts have one, data of the first go before no data."""
    ds = parts[0]
    for part in parts[1:]:
        common = np.intersect1d(ds["time"], part["time"])
        if common.size:
            over, under = ds.sel(time=common), part.sel(time=common)
            rest = [p.sel(time=~p["time"].isin(common)) for p in (ds, part)]
            ds = xr.concat([_laid(over, under), *(r for r in rest if r.sizes["time"])], "time")
        else:
            ds = xr.concat([ds, part], "time")
    return ds.sortby("time")


def _laid(over: xr.Dataset, under: xr.Dataset) -> xr.Dataset:
    return over.map(lambda v: v.where(v != 0, under[v.name]).astype(v.dtype))


def _own_grid(items: list[SceneItem], names: list[str], resolution: int) -> Any:
    """Lay out the grid of the items' own pixels."""
    from odc.geo.geobox import geobox_union_conservative

    boxes = [_file_grid(item, item.assets[names[0], resolution]) for item in items]
    return geobox_union_conservative(list(dict.fromkeys(boxes)))


def _file_grid(item: SceneItem, key: str) -> Any:
    """Give the grid of an asset by its metadata, or by its file's header."""
    from affine import Affine
    from odc.geo.geobox import GeoBox

    extra = item.source.assets[key].extra_fields
    shape, transform = (extra.get(f"proj:{k}", item.source.properties.get(f"proj:{k}")) for k in ("shape", "transform"))
    if shape and transform:
        return GeoBox(tuple(shape), Affine(*transform[:6]), f"EPSG:{item.epsg}")
    import rasterio

    href = item.source.assets[key].href
    try:
        with rasterio.open(local_path(href) or href) as file:
            return GeoBox(file.shape, file.transform, file.crs.to_wkt())
    except (rasterio.errors.RasterioError, AttributeError) as err:
        raise ReadError(f"{item.label}: asset {key!r} tells no grid (proj:shape, proj:transform) and cannot be opened: {err}") from err


def _granules(items: list[SceneItem]) -> dict[int, TileFacts]:
    """Read the granule metadata of the items that have any in reach."""
    with ThreadPoolExecutor(8) as pool:
        texts = pool.map(_granule_text, items)
        return {id(i): parse_tile(t, f"granule metadata of {i.label}") for i, t in zip(items, texts, strict=True) if t is not None}


def _granule_text(item: SceneItem) -> bytes | None:
    """Fetch granule metadata; None if they are out of reach."""
    if item.granule is None:
        return None
    from urllib.request import urlopen  # brings http and ssl along

    path = local_path(item.granule)
    try:
        if path is not None:
            return path.read_bytes() if path.is_file() and path.stat().st_size <= MAX_TEXT else None
        if not item.granule.startswith(("http://", "https://")):
            return None
        with urlopen(item.granule, timeout=TIMEOUT_S) as answer:  # its scheme is checked above
            text: bytes = answer.read(MAX_TEXT + 1)
    except OSError:
        return None
    return text if len(text) <= MAX_TEXT else None


def _labelled(ds: xr.Dataset, days: Groups, granules: dict[int, TileFacts], epsg: int) -> xr.Dataset:
    """Write what is known of each date: platform, baseline, angles."""
    dates = list(days.values())
    ds = ds.drop_vars("spatial_ref").assign_attrs(crs=f"EPSG:{epsg}")
    ds = ds.assign_coords(
        platform=("time", np.array([d[0].platform for d in dates]), {"source": "STAC properties"}),
        processing_baseline=("time", np.array([max(i.baseline for i in d) for d in dates]), {"long_name": "processing baseline"}),
    )
    if all(id(i) in granules and granules[id(i)].angles is not None for d in dates for i in d):
        return ds.assign_coords(_pixel_angles(ds, dates, granules))
    return ds.assign_coords(_mean_angles(dates))


def _pixel_angles(ds: xr.Dataset, dates: list[list[SceneItem]], granules: dict[int, TileFacts]) -> dict[str, Any]:
    """Interpolate the nodes of each date's granules."""
    step = float(ds["x"][1] - ds["x"][0])
    top, left = float(ds["y"][0]) + step / 2, float(ds["x"][0]) - step / 2
    tiles = []
    for day in dates:
        facts = [granules[id(i)] for i in day]
        tiles.append(
            tuple(
                TileAngles(f.angles, round((top - f.corner[0]) / step), round((f.corner[1] - left) / step), dict(f.shapes)[round(step)])
                for f in facts
                if f.angles is not None
            )
        )
    shape = (len(dates), ds.sizes["y"], ds.sizes["x"])
    names: tuple[Name, ...] = ("sza", "vza", "raa")
    source = {"source": "granule metadata, mean of detectors and bands"}
    return {n: (("time", "y", "x"), lazy(AngleLayer(tuple(tiles), n, shape, step), (BLOCK, BLOCK), {}), source) for n in names}


def _mean_angles(dates: list[list[SceneItem]]) -> dict[str, Any]:
    """Give the angles that the properties of all items tell, one a date."""
    source = {"source": "STAC properties, mean of the tile"}
    out: dict[str, Any] = {}
    suns, views = ([getattr(d[0], k) for d in dates] for k in ("sun", "view"))
    if all(suns):
        out |= {n: ("time", np.array([s[i] for s in suns], np.float32), source) for i, n in enumerate(("sza", "saa"))}
    if all(views):
        out |= {n: ("time", np.array([v[i] for v in views], np.float32), source) for i, n in enumerate(("vza", "vaa"))}
    return out


def _radar(items: list[SceneItem], geobox: Any, crs: str, chunks: Chunks) -> Raw:
    """Load backscatter in power on the grid asked for, or on its own."""
    days = _days(items)
    times = [min(i.time for i in day) for day in days.values()]
    resolution = min(r for i in items for _, r in i.assets)
    names = _common(items, resolution)
    keys = {items[0].assets[n, resolution]: n for n in names}
    batch = [(t, item) for t, day in enumerate(days.values()) for item in day]
    grid = geobox or _own_grid([i for i in items if f"EPSG:{i.epsg}" == crs], names, resolution)
    ds = _power_by_odc(batch, times, keys, grid, chunks)
    return Raw(ds.drop_vars("spatial_ref").assign_attrs(crs=grid.crs.to_wkt()), items[0].label)


def _power_by_odc(
    batch: list[tuple[int, SceneItem]], times: list[np.datetime64], names: dict[str, str], geobox: Any, chunks: Chunks
) -> xr.Dataset:
    """Load backscatter, resampled as power."""
    odc = import_stac("odc.stac")
    options = {"dtype": "float32", "groupby": "time", "resampling": "bilinear"}
    found: xr.Dataset = odc.load(_dated(batch, times), bands=list(names), geobox=geobox, chunks=_cut(chunks), **options)
    ds = found.rename({k: n for k, n in names.items() if k != n}).assign_coords(time=found["time"].values.astype("datetime64[ns]"))
    return ds.assign({n: ds[n].where(ds[n] > 0).drop_attrs().assign_attrs(backscatter="power") for n in names.values()})
