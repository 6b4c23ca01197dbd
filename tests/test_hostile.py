"""Broken, hostile and mistaken input: each is refused with an error that says what was found and what to do."""

# ruff: noqa: E501  (tables of cases, one a line)

from __future__ import annotations

import copy
import json
import re
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr

import xsentinel as xs
from tests.eopf import write_eopf
from tests.products import Spec, images_of, sample_bands, write_image, write_safe, zipped
from tests.test_safe import NEW, OLD
from tests.test_stac import made_item, without


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A product without fault."""
    return write_safe(tmp_path_factory.mktemp("whole"), OLD)


@pytest.fixture
def product(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, to be broken."""
    return Path(shutil.copytree(whole, tmp_path / whole.name))


def edit(pattern: str, new: str, name: str = "MTD_MSIL2A.xml") -> Callable[[Path], Any]:
    """Replace the first match in a metadata file."""

    def broken(product: Path) -> Path:
        path = next(product.rglob(name))
        text, n = re.subn(pattern, new, path.read_text(), count=1, flags=re.DOTALL)
        assert n == 1, pattern
        path.write_text(text)
        return product

    return broken


def tile(pattern: str, new: str) -> Callable[[Path], Any]:
    return edit(pattern, new, "MTD_TL.xml")


def text_of(name: str, text: str | bytes) -> Callable[[Path], Any]:
    def broken(product: Path) -> Path:
        path = next(product.rglob(name))
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return product

    return broken


def image(product: Path, name: str = "B05_20m") -> Path:
    return next(product.rglob(f"*_{name}.jp2"))


def remove(pattern: str) -> Callable[[Path], Any]:
    def broken(product: Path) -> Path:
        for path in product.rglob(pattern):
            path.unlink()
        return product

    return broken


def truncated(product: Path) -> Path:
    path = image(product)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return product


def emptied(product: Path) -> Path:
    image(product).write_bytes(b"")
    return product


def other_size(product: Path) -> Path:
    write_image(image(product), np.ones((30, 30), np.uint16), OLD.epsg, OLD.corner, 20)
    return product


def no_image(product: Path) -> Path:
    image(product).write_text("this is no image")
    return product


def with_member(name: str, data: bytes = b"x", attributes: int = 0) -> Callable[[Path], Any]:
    def broken(product: Path) -> Path:
        path = zipped(product)
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = attributes, zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
        return path

    return broken


def cut_zip(product: Path) -> Path:
    path = zipped(product)
    content = bytearray(path.read_bytes())
    where = content.rindex(b"PK\x01\x02")
    content[where : where + 4] = b"XXXX"
    path.write_bytes(content)
    return path


def encrypted(product: Path) -> Path:
    path = zipped(product)
    content = bytearray(path.read_bytes())
    for match in re.finditer(rb"PK\x01\x02", bytes(content)):
        content[match.start() + 8] |= 1
    path.write_bytes(content)
    return path


def two_in_a_zip(product: Path) -> Path:
    path = zipped(product)
    with zipfile.ZipFile(path, "a") as archive:
        archive.write(product / "MTD_MSIL2A.xml", "S2B_other.SAFE/MTD_MSIL2A.xml")
    return path


def and_another(spec: Spec) -> Callable[[Path], Any]:
    return lambda product: [product, write_safe(product.parent, spec, images_of(sample_bands(), -spec.offset if spec.offset else 0))]


def unlike(spec: Spec, shift: int) -> Callable[[Path], Any]:
    """A product whose pixels are not what its metadata say."""
    return lambda product: write_safe(product.parent / "other", spec, images_of(sample_bands(), shift))


BOMB = b"\0" * (70 << 20)
LAUGHS = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;&b;&b;">]><a>&c;</a>'
OUTSIDE = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'
FAR = replace(OLD, tile="32TPT", corner=(OLD.corner[0], OLD.corner[1] + 6000), generated="2019-05-30T15:00:00.000Z")
OTHER_ZONE = replace(OLD, tile="33TUN", epsg=32633)
READ, UNITS, GRID = xs.ReadError, xs.UnitsError, xs.GridError

PRODUCTS: dict[str, tuple[Callable[[Path], Any], type[Exception], str]] = {
    "XML cut off": (text_of("MTD_MSIL2A.xml", "<a><b>"), READ, r"MTD_MSIL2A\.xml is no well-formed XML: .*download the product again"),
    "XML empty": (text_of("MTD_MSIL2A.xml", ""), READ, "is no well-formed XML"),
    "XML binary": (text_of("MTD_TL.xml", b"\x00\xff\xfe\x01"), READ, r"MTD_TL\.xml is no well-formed XML"),
    "entities in the product": (text_of("MTD_MSIL2A.xml", LAUGHS), READ, "declares entities or a document type .*do not use it"),
    "outside entity in the granule": (text_of("MTD_TL.xml", OUTSIDE), READ, "declares entities or a document type"),
    "another document": (text_of("MTD_MSIL2A.xml", "<a/>"), READ, "is no metadata of a Sentinel-2 Level-2A product .*give the .SAFE folder"),
    "Level-1C": (lambda product: write_safe(product.parent / "other", replace(OLD, level="1C"), {}), READ, "is of Level-1C, reflectance at the top .*need Level-2A: download .*Sen2Cor"),
    "no name": (edit("<PRODUCT_URI>.*?</PRODUCT_URI>", ""), READ, "has no PRODUCT_URI; it is incomplete"),
    "no spacecraft": (edit("<SPACECRAFT_NAME>.*?</SPACECRAFT_NAME>", ""), READ, "has no SPACECRAFT_NAME"),
    "another sensor": (edit("Sentinel-2A<", "Landsat-8<"), READ, "is of Landsat-8, not of Sentinel-2; xsentinel reads S2A"),
    "no baseline": (edit("02.12</PROC", "new</PROC"), READ, "has the processing baseline 'new', which is none"),
    "no time": (edit("<DATATAKE_SENSING_START>.*?</DATATAKE_SENSING_START>", ""), READ, "XX"),
    "time that is none": (edit("<DATATAKE_SENSING_START>2019", "<DATATAKE_SENSING_START>soon"), READ, "has the time 'soon-05.*which no Sentinel-2 product has"),
    "time before launch": (edit("<DATATAKE_SENSING_START>2019", "<DATATAKE_SENSING_START>1999"), READ, "has the time '1999-05"),
    "scale of zero": (edit(">10000<", ">0<"), READ, "no BOA_QUANTIFICATION_VALUE of one or more"),
    "scale that is text": (edit(">10000<", ">ten thousand<"), READ, "BOA_QUANTIFICATION_VALUE 'ten thousand', which is no number"),
    "offset that is text": (edit("<BOA_QUANT", '<BOA_ADD_OFFSET band_id="1">x</BOA_ADD_OFFSET><BOA_QUANT'), READ, "BOA_ADD_OFFSET 'x', which is no number"),
    "offset beyond measure": (edit("<BOA_QUANT", '<BOA_ADD_OFFSET band_id="1">-9999</BOA_ADD_OFFSET><BOA_QUANT'), READ, "BOA_ADD_OFFSET -9999 of band '1'"),
    "offset of no band": (edit("<BOA_QUANT", '<BOA_ADD_OFFSET band_id="77">-1000</BOA_ADD_OFFSET><BOA_QUANT'), READ, "of band '77'"),
    "offset not told": (edit(">02.12<", ">05.09<"), UNITS, "its baseline 05.09 should list BOA_ADD_OFFSET, .*lists none; .*harmonise='offset' adds"),
    "no tile": (tile("_T32TMT_", "_"), READ, "names no tile or no UTM zone .*download the product again"),
    "no UTM": (tile("EPSG:32632", "EPSG:4326"), READ, "names no tile or no UTM zone"),
    "two corners": (tile("<ULX>472500", "<ULX>472510"), READ, "has 2 upper left corners, a tile has one"),
    "corner that is text": (tile("<ULX>472500", "<ULX>west"), READ, "ULX 'west', which is no number"),
    "grid of no size": (tile("<NROWS>120<", "<NROWS>-1<"), READ, "has a grid of -1 × 120 pixels of 10 m"),
    "ragged angles": (tile("<VALUES>[^ ]* ", "<VALUES>"), READ, "grid of zenith angles that is no table of numbers"),
    "angles that are text": (tile("<VALUES>[^ ]* ", "<VALUES>north "), READ, "grid of zenith angles that is no table of numbers"),
    "angles beyond the horizon": (tile("<VALUES>[^ ]* ", "<VALUES>123 "), READ, "has zenith angles outside 0…90 degrees"),
    "angles without a step": (tile('<COL_STEP unit="m">5000', '<COL_STEP unit="m">0'), READ, "has angle grids with a step of 0 m"),
    "product without metadata": (remove("MTD_MSIL2A.xml"), READ, "has no MTD_MSIL2A.xml; give the .SAFE folder itself"),
    "no granule metadata": (remove("MTD_TL.xml"), READ, "has no granule metadata .*incomplete: download it again"),
    "no images": (remove("*.jp2"), READ, "has no images in GRANULE/.*/IMG_DATA; it holds metadata only"),
    "an image is missing": (remove("*B05_20m.jp2"), READ, "B05_20m is listed in the metadata of .* but not there; download the product again"),
    "an image is empty": (emptied, READ, r"B05_20m\.jp2 in .* is empty; download the product again"),
    "an image is cut off": (truncated, READ, r"B05_20m\.jp2 cannot be decoded .*truncated or damaged: download"),
    "an image of another size": (other_size, READ, r"has 30 × 30 pixels, and its product's grid 60 × 60"),
    "an image is text": (no_image, READ, r"B05_20m\.jp2 cannot be decoded"),
    "zip leaves its folder": (with_member("../../etc/evil.jp2"), READ, r"has the member '../../etc/evil\.jp2', which would leave its folder"),
    "zip with a root path": (with_member("/etc/evil.jp2"), READ, "has the member '/etc/evil.jp2', which would leave its folder"),
    "zip with backslashes": (with_member("..\\evil.jp2"), READ, "which would leave its folder"),
    "zip bomb": (with_member("S2A.SAFE/bomb.jp2", BOMB), READ, r"unpacks from .* to .* MB, more than 100 times.*made to fill the disk"),
    "zip with a link": (with_member("S2A.SAFE/link", b"/etc/passwd", 0o120777 << 16), READ, "has the link 'S2A.SAFE/link', which may leave"),
    "zip with two products": (two_in_a_zip, READ, "holds 2 products .*unpack it and open them as a list"),
    "zip damaged": (cut_zip, READ, "is of no form that xsentinel reads|cannot be opened as zip"),
    "zip encrypted": (encrypted, READ, "has the encrypted member .*unpack it with its password"),
    "a tile that lies apart": (and_another(FAR), GRID, r"tile 32TPT does not touch 32TMT, so they make no map .*leave it out|tile 32TMT does not touch 32TPT"),
    "two UTM zones": (and_another(OTHER_ZONE), GRID, r"in several UTM zones \(EPSG:32632, EPSG:32633\).*open\(\.\.\., crs='EPSG:32632'\)"),
    "two scales": (and_another(replace(NEW, quantification="5000")), UNITS, "have different BOA_QUANTIFICATION_VALUE .*open them apart"),
    "shifted twice": (unlike(NEW, 0), UNITS, r"would be shifted twice: BOA_ADD_OFFSET .* asks for -1000, but the darkest .* of B\d\d lie at \d+ counts, .*'none'"),
    "not shifted": (unlike(OLD, 1000), UNITS, r"would not be shifted: baseline 02.12 .* darker than 1\d\d\d counts .*harmonise='offset'"),
}  # fmt: skip
PRODUCTS["no time"] = (
    edit("<DATATAKE_SENSING_START>.*?</DATATAKE_SENSING_START>|<PRODUCT_START_TIME>.*?</PRODUCT_START_TIME>(.*)<DATATAKE_SENSING_START>.*?</DATATAKE_SENSING_START>", r"\1"),
    READ,
    "has no DATATAKE_SENSING_START",
)  # fmt: skip


@pytest.mark.parametrize("case", PRODUCTS)
def test_products(case: str, product: Path) -> None:
    make, kind, message = PRODUCTS[case]
    source = make(product)
    with pytest.raises(kind, match=message):
        xs.open(source, resolution=20).compute()


REQUESTS: dict[str, tuple[dict[str, Any], str]] = {
    "box elsewhere": ({"bbox": (10.0, 10.0, 11.0, 11.0)}, "bbox lies outside the data: x from .* give .west, south, east, north"),
    "box turned": ({"bbox": (9.0, 47.0, 8.0, 48.0)}, "each west < east and south < north"),
    "box of three": ({"bbox": (9.0, 47.0, 8.0)}, r"it is \(west, south, east, north\)"),
    "box of nothing": ({"bbox": (np.nan, 47.0, 8.0, 48.0)}, "bbox is .*nan"),
    "no CRS": ({"crs": "EPSG:999999"}, "'EPSG:999999' is no CRS that PROJ knows .*such as 'EPSG:32632'"),
    "degrees without a size": ({"crs": "EPSG:4326"}, "the pixel size in EPSG:4326 is in degrees.*say it"),
    "like without CRS": ({"like": xr.Dataset(coords={"y": [2.0, 1.0], "x": [1.0, 2.0]})}, "given by like= has no CRS"),
    "like and more": ({"like": xr.Dataset(coords={"y": [2.0, 1.0], "x": [1.0, 2.0]}), "resolution": 20}, "like= gives the grid, and so does resolution="),
    "resampling unknown": ({"resampling": "magic"}, "resampling has 'reflectance': 'magic'; it is one of nearest, bilinear"),
    "classes averaged": ({"resampling": {"classes": "bilinear"}}, "classes cannot be resampled by 'bilinear'"),
    "harmonise unknown": ({"harmonise": "yes", "resolution": 20}, "harmonise is 'yes'; it is one of auto, offset, none"),
    "resolution of nothing": ({"resolution": -10}, "resolution is -10; it is a pixel size in metres"),
    "resolution that does not nest": ({"resolution": 17}, "pixels of .* do not nest with 17"),
    "no resolution": ({}, r"the bands lie on grids of 10, 20, 60 m; say which .*open\(\.\.\., resolution="),
}  # fmt: skip


@pytest.mark.parametrize("case", REQUESTS)
def test_requests(case: str, whole: Path) -> None:
    options, message = REQUESTS[case]
    with pytest.raises(xs.XSentinelError, match=message):
        xs.open(whole, **options)


def item(**changes: Any) -> dict[str, Any]:
    """An item of which some properties are changed; None takes one away."""
    out = made_item("cdse")
    out |= {k: v for k, v in changes.items() if k in out}
    out["properties"] |= {k: v for k, v in changes.items() if k not in out}
    out["properties"] = {k: v for k, v in out["properties"].items() if v is not None or k == "datetime"}
    return out


def odd_offset() -> dict[str, Any]:
    out = item()
    out["assets"]["B02_10m"]["bands"][0]["raster:offset"] = -0.33
    return out


def radar_item() -> dict[str, Any]:
    out = item(collection="sentinel-1-rtc", id="S1A_IW_GRDH", constellation="sentinel-1", platform="sentinel-1a")
    out["assets"] = {k: {"href": "https://example.org/x.tif", "roles": ["data"], "gsd": 10} for k in ("vv", "vh")}
    return out


ITEMS: dict[str, tuple[Callable[[], Any], str]] = {
    "another sensor": (lambda: item(collection="landsat-c2-l2", id="LC08", constellation=None, platform="landsat-8"), "is not of Sentinel-2 or Sentinel-1"),
    "Level-1C": (lambda: item(collection="sentinel-2-l1c"), "is of Level-1C.*take the Level-2A collection"),
    "no CRS": (lambda: item(**{"proj:code": None}), "tells no CRS .*must be terrain-corrected first: take RTC"),
    "no platform": (lambda: item(platform="", id="x"), "names no platform .*give items with the property platform"),
    "no offset and no baseline": (lambda: without(item(), "processing:version"), "tells neither raster:offset nor its processing baseline; .*harmonise="),
    "offset of no product": (odd_offset, "has raster:offset -0.33 and scale 0.0001, which no product has"),
    "no band": (lambda: item(assets={"thumbnail": {"href": "x.png", "roles": ["thumbnail"]}}), "has no asset that is a band; it has thumbnail"),
    "radar without polarisations": (lambda: radar_item() | {"assets": {}}, "has neither VV nor VH"),
    "radar and optical": (lambda: [item(), radar_item()], r"are of Sentinel-2 and Sentinel-1; open them apart, .*like=cube"),
    "no item": (lambda: {"type": "Catalog"}, "holds no STAC items"),
    "item cut off": (lambda: {"type": "Feature", "id": "x"}, "is no valid STAC item"),
    "nothing": (list, "the list of sources is empty"),
    "a number": (lambda: 42, "42 cannot be opened; give a path, a Dataset, STAC items"),
    "numbers": (lambda: [42], "42 cannot be opened"),
}  # fmt: skip


@pytest.mark.parametrize("case", ITEMS)
def test_items(case: str) -> None:
    make, message = ITEMS[case]
    with pytest.raises(xs.XSentinelError, match=message):
        xs.open(make(), resolution=20)


def test_items_whose_files_are_gone(tmp_path: Path) -> None:
    found = copy.deepcopy(item())
    for asset in found["assets"].values():
        asset["href"] = str(tmp_path / "gone.tif")
    path = tmp_path / "item.json"
    path.write_text(json.dumps(found))
    with pytest.raises(xs.ReadError, match=r"asset 'B01_60m' is at .*gone\.tif, where no file is; download it"):
        xs.open(path, resolution=20)
    path.write_text("{")
    with pytest.raises(xs.ReadError, match=r"item\.json cannot be read as JSON"):
        xs.open(path)


EOPF: dict[str, tuple[dict[str, Any], Spec, str]] = {
    "no time": ({"stac_discovery": {"id": "S2A_MSIL2A", "properties": {}}}, OLD, "tells no datetime in stac_discovery"),
    "Level-1C": ({"stac_discovery": {"id": "S2A_MSIL1C", "properties": {"datetime": "2020-01-01T00:00:00Z"}}}, OLD, "is of Level-1C"),
    "another sensor": ({"stac_discovery": {"id": "S3A_OL_2", "properties": {"platform": "sentinel-3a"}}}, OLD, "is not of Sentinel-2 .*'sentinel-3a'"),
    "shifted twice": ({}, NEW, "would be shifted twice: add_offset of its bands"),
}  # fmt: skip


@pytest.mark.parametrize("case", EOPF)
def test_eopf_products(case: str, tmp_path: Path) -> None:
    attrs, spec, message = EOPF[case]
    path = write_eopf(tmp_path / "product.zarr", spec, images_of(sample_bands()), **attrs)
    with pytest.raises(xs.XSentinelError, match=message):
        xs.open(path, resolution=20)


def test_lai_that_is_a_mask(data: Path, tmp_path: Path) -> None:
    folder = data / "s1s2_lai" / "leaf_nothing_behind" / "s2"
    bad, good = (sorted(folder.glob(f"LATVIA*-{i}-25-29.tiff"))[0] for i in ("0-0", "1-0"))
    for path in (bad, good):
        with rasterio.open(path) as file:
            values, profile = file.read(1).astype(np.float32), file.profile
        with rasterio.open(tmp_path / f"{path.stem}.tif", "w", **profile | {"dtype": "float32"}) as file:
            file.write(values, 1)
            file.descriptions = ("lai",)
    with pytest.raises(
        xs.UnitsError, match=r"lai of .*LATVIA.* holds nothing but the whole numbers 2, .*7, as codes of scene classes do.*no lai"
    ):
        xs.open(tmp_path / f"{bad.stem}.tif")
    assert float(xs.open(tmp_path / f"{good.stem}.tif").lai.max()) > 1


def test_there_are_enough_cases() -> None:
    assert len(PRODUCTS) + len(REQUESTS) + len(ITEMS) + len(EOPF) >= 80
