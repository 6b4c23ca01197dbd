"""STAC items of the catalogues that hold Sentinel-2 and Sentinel-1: what each says of bands, offset and angles."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import numpy as np

from xsentinel.bands import BANDS, band_name, platform_name
from xsentinel.errors import ReadError, XSentinelError
from xsentinel.io.offset import SHIFT, Claim, baseline_shift
from xsentinel.io.understand import SCENE_CLASS_NAMES

Angles = tuple[float, float]
"""Zenith and azimuth, degrees."""

PROBABILITY_ASSETS = {"cloud": "CLD", "cld": "CLD", "cld_20m": "CLD", "snow": "SNW", "snw": "SNW", "snw_20m": "SNW"}

GRANULE_ASSETS = ("granule-metadata", "granule_metadata")

APPLIED = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")


@dataclass(frozen=True, eq=False)
class SceneItem:
    """One item, understood."""

    source: Any
    """The pystac.Item."""
    label: str
    kind: Literal["optical", "radar"]
    assets: Mapping[tuple[str, int], str]
    """Asset by band and resolution in m."""
    time: np.datetime64
    platform: str
    baseline: str
    """'' if not told, and of radar."""
    generated: str
    epsg: int
    place: str
    """Tile, or the track of radar."""
    claim: Claim | None
    """What it says of its offset; None of radar."""
    sun: Angles | None
    view: Angles | None
    granule: str | None
    """Where its granule metadata are."""


def items_in(source: Any) -> list[Any] | None:
    """Give the pystac items of what may be an item, a collection of them, their JSON or its path; None if it is none of these.

    Raises
    ------
    ReadError
        If it is one but cannot be read.
    """
    if isinstance(source, str | Path) and str(source).lower().endswith((".json", ".geojson")):
        return _from_json(_load(Path(source)), str(source))
    if isinstance(source, Mapping) and not hasattr(source, "data_vars"):
        return _from_json(source, "the STAC item")
    if hasattr(source, "assets") and hasattr(source, "to_dict"):
        return [source]
    return list(source.items) if hasattr(source, "items") and hasattr(source, "to_dict") and not hasattr(source, "dims") else None


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as err:
        raise ReadError(f"{path} cannot be read as JSON: {err}; give STAC items, an item collection, or a file of them") from err


def _from_json(found: Any, label: str) -> list[Any]:
    pystac = import_stac("pystac")
    features = found.get("features", [found]) if isinstance(found, Mapping) else found
    if not isinstance(features, list) or not all(isinstance(f, Mapping) and f.get("type") == "Feature" for f in features):
        raise ReadError(f"{label} holds no STAC items (GeoJSON features with assets); give an item, or a FeatureCollection of items")
    try:
        return [pystac.Item.from_dict(dict(f), preserve_dict=True) for f in features]
    except (KeyError, ValueError, TypeError, AttributeError, pystac.STACError, pystac.STACTypeError) as err:
        raise ReadError(f"{label} is no valid STAC item: {type(err).__name__} {err}; ask the catalogue for it again") from err


def import_stac(name: str) -> Any:
    """Import pystac or odc.stac, or say how to get them."""
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as err:
        raise ReadError(f"STAC items need {name}, which is not installed; pip install 'xsentinel[stac]'") from err


def read_item(item: Any) -> SceneItem:
    """Understand an item.

    Raises
    ------
    ReadError
        If it is of another sensor or level, or lacks bands, time, grid or platform.
    """
    label = f"STAC item {item.id}"
    properties = item.properties
    if item.datetime is None:
        raise ReadError(f"{label} has no datetime; ask the catalogue for it again")
    assets = _assets(item)
    kind = _kind(item, assets, label)
    epsg = _epsg(item, label)
    baseline = _baseline(properties) if kind == "optical" else ""
    return SceneItem(
        source=item,
        label=label,
        kind=kind,
        assets=assets,
        time=np.datetime64(item.datetime.replace(tzinfo=None), "ns"),
        platform=_platform(item, label) if kind == "optical" else str(properties.get("platform", "")),
        baseline=baseline,
        generated=str(properties.get("s2:generation_time", properties.get("created", ""))),
        epsg=epsg,
        place=_place(item),
        claim=_claim(item, assets, baseline, label) if kind == "optical" else None,
        sun=_sun(properties),
        view=_pair(properties, "view:incidence_angle", "view:azimuth"),
        granule=next((item.assets[k].href for k in GRANULE_ASSETS if k in item.assets), None),
    )


def _assets(item: Any) -> dict[tuple[str, int], str]:
    """Map band and resolution to the asset that holds it."""
    found: dict[tuple[str, int], str] = {}
    for key, asset in item.assets.items():
        stem, _, size = key.lower().partition("_")
        stem = key.lower() if not re.fullmatch(r"\d0m", size) else stem
        name = "SCL" if stem in SCENE_CLASS_NAMES else PROBABILITY_ASSETS.get(stem) or band_name(stem)
        if name is None or not set(asset.roles or ["data"]) & {"data", "reflectance"}:
            continue
        found.setdefault((name, _resolution(asset, name, size)), key)
    return found


def _resolution(asset: Any, name: str, size: str) -> int:
    extra = asset.extra_fields
    for told in ((extra.get("proj:transform") or [None])[0], size.removesuffix("m"), extra.get("gsd")):
        if told and str(told).replace(".", "", 1).isdigit() and float(told) >= 1:
            return round(float(told))
    return BANDS[name].resolution_m if name in BANDS else 20


def _kind(item: Any, assets: dict[tuple[str, int], str], label: str) -> Literal["optical", "radar"]:
    names = {name for name, _ in assets}
    about = " ".join(
        str(v) for v in (item.collection_id, item.id, item.properties.get("constellation"), item.properties.get("platform"))
    ).lower()
    if re.search(r"sentinel[- ]?1|\bs1[a-d]", about):
        if not names & {"VV", "VH"}:
            raise ReadError(f"{label} has neither VV nor VH among its assets ({', '.join(item.assets)}); take a dual-polarised one")
        return "radar"
    if not re.search(r"sentinel[- ]?2|\bs2[a-d]", about):
        raise ReadError(f"{label} is not of Sentinel-2 or Sentinel-1 (collection {item.collection_id!r}); xsentinel reads these")
    if re.search(r"l1c\b|level-1c|s2msi1c", f"{about} {item.properties.get('s2:product_type', '')}".lower()):
        raise ReadError(f"{label} is of Level-1C, reflectance at the top of the atmosphere; take the Level-2A collection (sentinel-2-l2a)")
    if not names & (set(BANDS) | {"SCL"}):
        raise ReadError(f"{label} has no asset that is a band; it has {', '.join(item.assets) or 'none'}")
    return "optical"


def _epsg(item: Any, label: str) -> int:
    properties = item.properties
    codes = [properties.get("proj:code"), properties.get("proj:epsg"), *(a.extra_fields.get("proj:code") for a in item.assets.values())]
    found = next((m for code in codes if code is not None and (m := re.fullmatch(r"(?:EPSG:)?(\d{4,5})", str(code)))), None)
    if found is None:
        raise ReadError(
            f"{label} tells no CRS (proj:code); radar in the geometry of its orbit (GRD) must be terrain-corrected first: take RTC"
        )
    return int(found.group(1))


def _platform(item: Any, label: str) -> str:
    for text in (item.properties.get("platform"), item.id):
        if (name := platform_name(text)) is not None:
            return name
    raise ReadError(f"{label} names no platform (found {item.properties.get('platform')!r}); give items with the property platform")


def _place(item: Any) -> str:
    properties = item.properties
    told = properties.get("s2:mgrs_tile") or properties.get("grid:code") or properties.get("sat:relative_orbit")
    match = re.search(r"_T?(\d\d[A-Z]{3})_", item.id)
    return str(told or (match.group(1) if match else item.id)).removeprefix("MGRS-")


def _baseline(properties: Mapping[str, Any]) -> str:
    """Give the processing baseline from its property, or from the name of the product."""
    for key in ("s2:processing_baseline", "sentinel:processing_baseline", "processing:version"):
        if re.fullmatch(r"\d\d?\.\d\d", str(properties.get(key, ""))):
            return str(properties[key]).zfill(5)
    names = " ".join(str(properties.get(k, "")) for k in ("s2:product_uri", "sentinel:product_id", "s2:granule_id", "s2:datatake_id"))
    match = re.search(r"_N(\d\d)\.?(\d\d)", names)
    return f"{match.group(1)}.{match.group(2)}" if match else ""


def _claim(item: Any, assets: dict[tuple[str, int], str], baseline: str, label: str) -> Claim:
    """Say which offset an item's counts need, by the rule of its catalogue."""
    applied = next((told for k in APPLIED if (told := item.properties.get(k)) is not None), None)
    if applied:
        return Claim(label, 0, f"{APPLIED[0]} true (the offset in raster:bands is of the original)")
    raster = _raster_offset(item, assets)
    if raster is not None and (raster or applied is None):
        return Claim(label, raster, "raster:offset of its assets")
    if baseline:
        return Claim(label, baseline_shift(baseline), f"processing baseline {baseline} of a catalogue that leaves counts as they are")
    return Claim(label, None, "it tells neither raster:offset nor its processing baseline")


def _raster_offset(item: Any, assets: dict[tuple[str, int], str]) -> int | None:
    """Give the counts to add that the raster extension asks for, None if it does not tell."""
    told = {o for (name, _), key in assets.items() if name in BANDS for o in _told(item.assets[key])}
    if len(told) > 1:
        raise ReadError(f"STAC item {item.id} has different raster:offset in its bands ({sorted(told)}); open the product itself")
    return next(iter(told), None)


def _told(asset: Any) -> Iterator[int]:
    extra = asset.extra_fields
    for band in (*(extra.get("raster:bands") or ()), *(extra.get("bands") or ()), extra):
        offset, scale = (band.get(k, band.get(f"raster:{k}")) for k in ("offset", "scale"))
        if isinstance(offset, int | float) and isinstance(scale, int | float) and scale:
            counts = round(offset / scale)
            if counts not in (0, SHIFT):
                raise ReadError(f"asset {asset.title or asset.href} has raster:offset {offset} and scale {scale}, which no product has")
            yield counts


def _sun(properties: Mapping[str, Any]) -> Angles | None:
    mean = _pair(properties, "s2:mean_solar_zenith", "s2:mean_solar_azimuth")
    other = _pair(properties, "view:sun_elevation", "view:sun_azimuth")
    return mean or (None if other is None else (90 - other[0], other[1]))


def _pair(properties: Mapping[str, Any], zenith: str, azimuth: str) -> Angles | None:
    values = properties.get(zenith), properties.get(azimuth)
    return (float(values[0]), float(values[1])) if all(isinstance(v, int | float) for v in values) else None  # type: ignore[arg-type]


def check_kinds(items: list[SceneItem]) -> None:
    """Check that items are of one kind.

    Raises
    ------
    XSentinelError
        If radar and optical items come together.
    """
    kinds = {i.kind: i.label for i in items}
    if len(kinds) > 1:
        raise XSentinelError(
            f"{kinds['optical']} and {kinds['radar']} are of Sentinel-2 and Sentinel-1; open them apart, the radar on the grid of the "
            f"optical cube: s1 = xs.open(radar_items, like=cube)"
        )


def local_path(href: str) -> Path | None:
    """Give the path of a file that is on this machine, None for what lies elsewhere."""
    parts = urlsplit(href)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return Path(href) if len(parts.scheme) <= 1 and not href.startswith("/vsi") else None
