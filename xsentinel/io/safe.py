"""SAFE products of Level-2A, folders or zips, of every layout: which file is what."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xsentinel.bands import BANDS
from xsentinel.errors import ReadError
from xsentinel.io.container import Container, is_product_metadata, names_in_zip, open_container
from xsentinel.io.images import Piece, dark_count, stamp_of
from xsentinel.io.offset import DARK_BANDS, DARK_SHARE, Claim, Harmonise, baseline_shift, settle_shift
from xsentinel.io.safe_metadata import ProductFacts, TileFacts, parse_product, parse_tile

# T32TMT_20190530T103031_B02_20m.jp2, L2A_T32TMT_…_B02_20m.jp2 (baselines up to 02.06), S2A_USER_MSI_L2A_TL_…_T32TMT_B02_20m.jp2
# (before December 2016); mirrors keep GeoTIFF
IMAGE = re.compile(r"_(B\d[\dA]|SCL|CLD|SNW)_(10|20|60)m(?:\.(?:jp2|tiff?))?$", re.IGNORECASE)
MASK = re.compile(r"MSK_(CLD|SNW)PRB_(20|60)m\.(?:jp2|tiff?)$", re.IGNORECASE)
GRANULE = re.compile(r"GRANULE/([^/]+)/(?:MTD_TL|[^/]*_MTD_L2A_TL_[^/]*|S2[^/]*_TL_[^/]*)\.xml$", re.IGNORECASE)

FORM = "SAFE (Level-2A folder or .zip, or a folder of them)"


@dataclass(frozen=True, eq=False)
class Scene:
    """One granule of a product: where its images are and how to read them."""

    label: str
    """Path of the product."""
    facts: ProductFacts
    tile: TileFacts
    images: dict[tuple[str, int], str]
    """Image as GDAL opens it, by band and resolution in m."""
    stamps: dict[tuple[str, int], tuple[int, int]]
    """Size and time of change of each image's file."""

    def piece(self, name: str, resolution: int, corner: tuple[float, float], shift: int = 0) -> Piece:
        """Place an image on the grid that begins at corner (y, x)."""
        row = round((corner[0] - self.tile.corner[0]) / resolution)
        column = round((self.tile.corner[1] - corner[1]) / resolution)
        key = (name, resolution)
        return Piece(self.images[key], self.stamps[key], row, column, dict(self.tile.shapes)[resolution], shift)


def is_safe(path: Path) -> bool:
    """Tell a product, or a folder of products, by names alone."""
    if path.suffix.lower() == ".zip" and zipfile.is_zipfile(path):
        return any(is_product_metadata(n) for n in names_in_zip(path))
    if path.is_file():
        return is_product_metadata(path.name)
    return bool(products_in(path))


def products_in(path: Path) -> list[Path]:
    """List the products of a path: itself, or those in the folder."""
    if path.is_file():
        return [path.parent if is_product_metadata(path.name) else path]
    if path.suffix.upper() == ".SAFE" or any(is_product_metadata(p.name) for p in path.iterdir()):
        return [path]
    return sorted(p for p in path.iterdir() if (p.is_dir() and p.suffix.upper() == ".SAFE") or (p.suffix.lower() == ".zip" and is_safe(p)))


def read_scenes(path: Path) -> list[Scene]:
    """Read the metadata of a product; one scene a granule.

    Raises
    ------
    ReadError
        If metadata or images are missing or broken, or of another level or sensor.
    """
    container = open_container(path)
    facts = _product(container)
    granules = sorted({m.group(0): m.group(1) for n in container.files if (m := GRANULE.search(n))}.items())
    if not granules:
        raise ReadError(f"{path} has no granule metadata (GRANULE/…/MTD_TL.xml); it is incomplete: download it again")
    return [_scene(container, facts, name, folder) for name, folder in granules]


def _product(container: Container) -> ProductFacts:
    names = sorted(n for n in container.files if "/" not in n and is_product_metadata(n))
    if not names:
        raise ReadError(f"{container.path} has no MTD_MSIL2A.xml; give the .SAFE folder itself, or download it again if it is incomplete")
    return parse_product(container.read(names[0]), f"{container.path}/{names[0]}")


def _scene(container: Container, facts: ProductFacts, metadata: str, folder: str) -> Scene:
    tile = parse_tile(container.read(metadata), f"{container.path}/{metadata}")
    files = [n for n in container.files if f"GRANULE/{folder}/" in n and ("/IMG_DATA/" in n or "/QI_DATA/" in n)]
    names = {(m.group(1).upper(), int(m.group(2))): n for n in files if (m := IMAGE.search(n) or MASK.search(n)) and "." in n[m.start() :]}
    resolutions = dict(tile.shapes)
    names = {key: n for key, n in names.items() if key[1] in resolutions}
    if not names:
        raise ReadError(f"{container.path} has no images in GRANULE/{folder}/IMG_DATA; it holds metadata only: download it again")
    _check_complete(container, facts, folder, names)
    zipped = stamp_of(container.path) if container.is_zip else None
    stamps = {key: zipped or stamp_of(container.path / n) for key, n in names.items()}
    for key, (size, _) in stamps.items():
        if size == 0:
            raise ReadError(f"{names[key]} in {container.path} is empty; download the product again")
    return Scene(str(container.path), facts, tile, {key: container.locate(n) for key, n in names.items()}, stamps)


def _check_complete(container: Container, facts: ProductFacts, folder: str, names: dict[tuple[str, int], str]) -> None:
    """Check that of each resolution that is there, no listed image is missing."""
    there = {resolution for _, resolution in names}
    for listed in facts.images:
        match = IMAGE.search(listed)
        if match is None or (f"GRANULE/{folder}/" not in listed and "GRANULE/" in listed):
            continue
        key = match.group(1).upper(), int(match.group(2))
        if key[1] in there and key not in names:
            raise ReadError(
                f"{listed} is listed in the metadata of {container.path} but not there; download the product again "
                f"(a resolution may be left out, but as a whole)"
            )


def scene_shifts(scene: Scene, harmonise: Harmonise) -> dict[str, int]:
    """Give the counts to add to each band, metadata and pixels agreeing.

    Raises
    ------
    UnitsError
        If they do not.
    """
    facts = scene.facts
    listed = dict(facts.offsets or ())
    if facts.offsets is None and baseline_shift(facts.baseline):
        source = f"its baseline {facts.baseline} should list BOA_ADD_OFFSET, and its MTD_MSIL2A.xml lists none"
        claim = Claim(scene.label, None, source)
    else:
        told = (
            f"BOA_ADD_OFFSET in MTD_MSIL2A.xml (baseline {facts.baseline})"
            if listed
            else f"baseline {facts.baseline} without BOA_ADD_OFFSET"
        )
        claim = Claim(scene.label, round(listed.get(DARK_BANDS[0], 0)), told)
    shift = settle_shift(claim, harmonise, lambda: _dark(scene))
    if harmonise == "none":
        return {}
    return {name: round(listed.get(name, shift)) for name, _ in scene.images if name in BANDS}


def _dark(scene: Scene) -> Iterator[tuple[str, float]]:
    """Give the darkest counts, of the coarsest image of each dark band."""
    for band in DARK_BANDS:
        resolution = max((r for name, r in scene.images if name == band), default=None)
        counts = resolution and dark_count(scene.piece(band, resolution, scene.tile.corner), DARK_SHARE)
        if counts:
            yield band, counts
