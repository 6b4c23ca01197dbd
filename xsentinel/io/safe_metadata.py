"""What MTD_MSIL2A.xml and MTD_TL.xml say, as records; entities off, every figure checked."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.bands import band_name, platform_name
from xsentinel.errors import ReadError
from xsentinel.kernels.angles import mean_azimuth, mean_zenith

PHYSICAL_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
"""Bands in the order of their ids, where a product does not list them."""

Grid = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ProductFacts:
    """What a product says of itself."""

    name: str
    """Its name, S2A_MSIL2A_….SAFE."""
    platform: str
    """S2A, S2B or S2C."""
    baseline: str
    """Processing baseline, such as 05.09."""
    time: np.datetime64
    """Start of sensing, UTC."""
    generated: np.datetime64
    """When it was processed, UTC."""
    orbit: str
    """Relative orbit; '' if not told."""
    quantification: float
    """Counts a reflectance of one."""
    offsets: tuple[tuple[str, float], ...] | None
    """Counts to add to each band; None if the product lists none."""
    images: tuple[str, ...]
    """Image files, without suffix."""


@dataclass(frozen=True, eq=False)
class AngleGrid:
    """Angles at the nodes of a tile, degrees, NaN where no detector looks."""

    step_m: tuple[float, float]
    """Between nodes, along y and x."""
    sun_zenith: Grid
    sun_azimuth: Grid
    view_zenith: Grid
    """Mean over detectors, then over bands."""
    view_azimuth: Grid


@dataclass(frozen=True, eq=False)
class TileFacts:
    """What a granule says of itself."""

    tile: str
    """Name in the grid of tiles, such as 32TMT."""
    epsg: int
    """Code of its UTM zone."""
    corner: tuple[float, float]
    """Outer corner of the first pixel: (y, x), m."""
    shapes: tuple[tuple[int, tuple[int, int]], ...]
    """Rows and columns by resolution in m."""
    strip: np.datetime64
    """Start of its data strip, or its own sensing time, UTC."""
    angles: AngleGrid | None
    """None if the granule has none."""


def parse_product(text: bytes, label: str) -> ProductFacts:
    """Read MTD_MSIL2A.xml.

    Raises
    ------
    ReadError
        If it is no XML, of another sensor or level, or lacks what reading needs.
    """
    root = _root(text, label)
    _check_level(root, label)
    name = _text(root, ("PRODUCT_URI", "PRODUCT_URI_2A"), label)
    platform = platform_name(_text(root, ("SPACECRAFT_NAME",), label))
    if platform is None:
        raise ReadError(f"{label} is of {_text(root, ('SPACECRAFT_NAME',), label)}, not of Sentinel-2; xsentinel reads S2A, S2B and S2C")
    baseline = _text(root, ("PROCESSING_BASELINE",), label)
    if not re.fullmatch(r"\d\d\.\d\d", baseline):
        raise ReadError(f"{label} has the processing baseline {baseline!r}, which is none; download the product again")
    return ProductFacts(
        name=name,
        platform=platform,
        baseline=baseline,
        time=_time(_text(root, ("DATATAKE_SENSING_START", "PRODUCT_START_TIME"), label), label),
        generated=_time(_text(root, ("GENERATION_TIME",), label), label),
        orbit=_optional(root, "SENSING_ORBIT_NUMBER"),
        quantification=_quantification(root, label),
        offsets=_offsets(root, label),
        images=tuple(t for tag in ("IMAGE_FILE", "IMAGE_FILE_2A", "IMAGE_ID_2A") for e in root.iter(tag) if (t := (e.text or "").strip())),
    )


def parse_tile(text: bytes, label: str) -> TileFacts:
    """Read MTD_TL.xml.

    Raises
    ------
    ReadError
        If it is no XML, or its grid or angles are not what a tile's are.
    """
    root = _root(text, label)
    tile_id = _text(root, ("TILE_ID", "TILE_ID_2A"), label)
    found = re.search(r"_T(\d\d[A-Z]{3})(?:_|$)", tile_id)
    code = re.fullmatch(r"EPSG:(32[67]\d\d)", _text(root, ("HORIZONTAL_CS_CODE",), label).upper())
    if found is None or code is None:
        raise ReadError(f"{label} names no tile or no UTM zone (TILE_ID {tile_id!r}); download the product again")
    strip = re.search(r"_S(\d{8}T\d{6})", _optional(root, "DATASTRIP_ID"))
    return TileFacts(
        tile=found.group(1),
        epsg=int(code.group(1)),
        corner=_corner(root, label),
        shapes=_shapes(root, label),
        strip=_time(strip.group(1) if strip else _text(root, ("SENSING_TIME",), label), label),
        angles=_angles(root, label),
    )


def _root(text: bytes, label: str) -> Any:
    """Parse XML with entities and document types off."""
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        return fromstring(text, forbid_dtd=True)
    except DefusedXmlException as err:
        raise ReadError(f"{label} declares entities or a document type ({err}), which no product does; do not use it") from err
    except (ParseError, ValueError, LookupError) as err:
        raise ReadError(f"{label} is no well-formed XML: {err}; download the product again") from err


def _check_level(root: Any, label: str) -> None:
    tag = root.tag.rpartition("}")[2]
    level = _optional(root, "PROCESSING_LEVEL")
    if "1C" in tag or "1C" in level or "1B" in level:
        raise ReadError(
            f"{label} is of Level-1C, reflectance at the top of the atmosphere; leaf area index and all else here need Level-2A: "
            f"download the product S2x_MSIL2A of the same time, or process it with Sen2Cor"
        )
    if "Level-2A" not in tag:
        raise ReadError(f"{label} is no metadata of a Sentinel-2 Level-2A product (its root is {tag!r}); give the .SAFE folder or its zip")


def _optional(root: Any, tag: str) -> str:
    element = next(root.iter(tag), None)
    return "" if element is None or element.text is None else element.text.strip()


def _text(root: Any, tags: tuple[str, ...], label: str) -> str:
    found = next((t for tag in tags if (t := _optional(root, tag))), "")
    if not found:
        raise ReadError(f"{label} has no {tags[0]}; it is incomplete: download the product again")
    return found


def _number(text: str, what: str, label: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise ReadError(f"{label} has {what} {text[:40]!r}, which is no number; download the product again")
    return value


def _time(text: str, label: str) -> np.datetime64:
    plain = re.sub(r"^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)", r"\1-\2-\3T\4:\5:\6", text).removesuffix("Z")
    time: Any = np.datetime64("NaT", "ns")
    with suppress(ValueError, OverflowError):
        time = np.datetime64(plain, "ns") if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?", plain) else time
    if np.isnat(time) or not np.datetime64("2015-01-01") < time < np.datetime64("2100-01-01"):
        raise ReadError(f"{label} has the time {text[:40]!r}, which no Sentinel-2 product has; download the product again")
    return np.datetime64(time, "ns")


def _quantification(root: Any, label: str) -> float:
    for tag in ("BOA_QUANTIFICATION_VALUE", "L2A_BOA_QUANTIFICATION_VALUE"):
        if text := _optional(root, tag):
            value = _number(text, tag, label)
            if value < 1:
                break
            return value
    raise ReadError(f"{label} has no BOA_QUANTIFICATION_VALUE of one or more, so counts cannot be read; download the product again")


def _offsets(root: Any, label: str) -> tuple[tuple[str, float], ...] | None:
    """Give the counts to add by band, whose ids the product's own list names."""
    names = {e.get("bandId"): band_name(e.get("physicalBand", "")) for e in root.iter("Spectral_Information")}
    standard = {str(i): name for i, name in enumerate(PHYSICAL_BANDS)}
    found = {}
    for element in root.iter("BOA_ADD_OFFSET"):
        band = names.get(element.get("band_id")) or standard.get(element.get("band_id", ""))
        value = _number((element.text or "").strip(), "BOA_ADD_OFFSET", label)
        if band is None or abs(value) > 5000 or value != int(value):
            raise ReadError(f"{label} has the BOA_ADD_OFFSET {value:g} of band {element.get('band_id')!r}; download the product again")
        found[band] = value
    return tuple(sorted(found.items())) or None


def _corner(root: Any, label: str) -> tuple[float, float]:
    corners = {tuple(_number(_optional(g, t), t, label) for t in ("ULY", "ULX")) for g in root.iter("Geoposition")}
    if len(corners) != 1:
        raise ReadError(f"{label} has {len(corners) or 'no'} upper left corners, a tile has one; download the product again")
    ((y, x),) = corners
    return y, x


def _shapes(root: Any, label: str) -> tuple[tuple[int, tuple[int, int]], ...]:
    shapes = {}
    for size in root.iter("Size"):
        resolution, rows, columns = (
            _number(t, "size", label) for t in (size.get("resolution", ""), *(_optional(size, t) for t in ("NROWS", "NCOLS")))
        )
        if resolution not in (10, 20, 60) or not (1 <= rows <= 20_000 and 1 <= columns <= 20_000):
            raise ReadError(f"{label} has a grid of {rows:g} × {columns:g} pixels of {resolution:g} m; download the product again")
        shapes[int(resolution)] = (int(rows), int(columns))
    if not shapes:
        raise ReadError(f"{label} tells no grid (Size); download the product again")
    return tuple(sorted(shapes.items()))


def _angles(root: Any, label: str) -> AngleGrid | None:
    sun = next(root.iter("Sun_Angles_Grid"), None)
    views = list(root.iter("Viewing_Incidence_Angles_Grids"))
    if sun is None or not views:
        return None
    zenith = _grid(sun, "Zenith", label)
    shape = zenith.shape
    by_band: dict[str, list[tuple[Grid, Grid]]] = {}
    for view in views:
        pair = _grid(view, "Zenith", label), _grid(view, "Azimuth", label)
        if {g.shape for g in pair} != {shape}:
            raise ReadError(f"{label} has angle grids of several shapes, {shape} and {pair[0].shape}; download the product again")
        by_band.setdefault(view.get("bandId", ""), []).append(pair)
    zeniths = [mean_zenith(np.stack([z for z, _ in pairs])) for pairs in by_band.values()]
    azimuths = [mean_azimuth(np.stack([a for _, a in pairs])) for pairs in by_band.values()]
    azimuth = _grid(sun, "Azimuth", label)
    if azimuth.shape != shape:
        raise ReadError(f"{label} has angle grids of several shapes, {shape} and {azimuth.shape}; download the product again")
    return AngleGrid(_steps(sun, label), zenith, azimuth, mean_zenith(np.stack(zeniths)), mean_azimuth(np.stack(azimuths)))


def _steps(sun: Any, label: str) -> tuple[float, float]:
    y, x = (_number(_optional(sun, tag), tag, label) for tag in ("ROW_STEP", "COL_STEP"))
    if min(y, x) <= 0:
        raise ReadError(f"{label} has angle grids with a step of {min(y, x):g} m; download the product again")
    return y, x


def _grid(parent: Any, kind: str, label: str) -> Grid:
    """Read a grid of numbers, NaN allowed, all rows of one length."""
    element = parent.find(kind)
    rows = [] if element is None else [(e.text or "").split() for e in element.iter("VALUES")]
    try:
        grid = np.array(rows, np.float64)
    except ValueError:
        grid = np.empty(0)
    low, high = (0, 90) if kind == "Zenith" else (-360, 360)
    if grid.ndim != 2 or min(grid.shape) < 2 or max(grid.shape) > 1000:
        raise ReadError(f"{label} has a grid of {kind.lower()} angles that is no table of numbers; download the product again")
    known = grid[~np.isnan(grid)]
    if ((known < low) | (known > high)).any():
        raise ReadError(f"{label} has {kind.lower()} angles outside {low}…{high} degrees; download the product again")
    return grid
