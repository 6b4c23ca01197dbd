"""STAC items as products are: the newest of each date, offsets settled, dates labelled with platform and angles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import xarray as xr

from xsentinel.errors import ReadError
from xsentinel.io.angle_layers import AngleLayer, Name, TileAngles
from xsentinel.io.container import MAX_TEXT
from xsentinel.io.images import BLOCK, Piece, dark_count, lazy
from xsentinel.io.offset import DARK_BANDS, DARK_SHARE, Harmonise, settle_shift
from xsentinel.io.safe_metadata import TileFacts, parse_tile
from xsentinel.io.source import Chunks, Raw
from xsentinel.io.stac_items import SceneItem, check_kinds, local_path, read_item
from xsentinel.io.stac_pixels import common_bands, load_counts, load_power
from xsentinel.io.target import Request, geobox_of_like

TIMEOUT_S = 30
"""Seconds to wait for granule metadata."""

Groups = dict[tuple[Any, ...], list[SceneItem]]


def raws_of_items(sources: Sequence[Any], chunks: Chunks, harmonise: Harmonise, request: Request) -> dict[int, list[Raw]]:
    """Give for each UTM zone one Raw a resolution, its dates in order; of radar, one on the grid of ``like``.

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
        geobox = None if request.like is None else geobox_of_like(request)
        return {min(zones): [Raw(load_power(list(_days(items).values()), geobox, chunks), items[0].label)]}
    shifts = _shifts(items, harmonise)
    return {epsg: _optical(group, shifts, request, chunks) for epsg, group in sorted(zones.items())}


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


def _optical(items: list[SceneItem], shifts: dict[int, int], request: Request, chunks: Chunks) -> list[Raw]:
    """Load the items of one zone: one Raw a resolution."""
    days = _days(items)
    granules = _granules(items)
    raws = []
    for resolution in sorted({r for i in items for _, r in i.assets}):
        if common_bands(items, resolution):
            ds = load_counts(list(days.values()), resolution, shifts, request, chunks)
            raws.append(Raw(_labelled(ds, days, granules, items[0].epsg), items[0].label))
    return raws


def _days(items: list[SceneItem]) -> Groups:
    """Group items by solar day, platform and, for radar, track."""
    days: Groups = defaultdict(list)
    for item in items:
        longitude = float(np.mean(item.source.bbox[::2])) if item.source.bbox else item.epsg % 100 * 6 - 183
        noon = item.time + np.timedelta64(round(longitude * 240), "s")
        days[str(noon)[:10], item.platform, item.place if item.kind == "radar" else ""].append(item)
    return dict(sorted(days.items(), key=lambda d: min(i.time for i in d[1])))


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
