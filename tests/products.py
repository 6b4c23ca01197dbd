"""Level-2A products to test with: real counts in lossless JPEG 2000, metadata real or of the same form."""

from __future__ import annotations

import functools
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

import xsentinel as xs

BANDS_OF = {
    10: ("B02", "B03", "B04", "B08"),
    20: ("B02", "B03", "B04", "B05", "B06", "B07", "B8A", "B11", "B12", "SCL"),
    60: ("B01", "B02", "B04", "B09", "B12", "SCL"),
}
"""Images of a product, by resolution; real ones have more at 60 m."""

IDS = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12")

Images = dict[tuple[str, int], np.ndarray]


def block_mean(values: np.ndarray, factor: int) -> np.ndarray:
    """Rounded mean of factor × factor counts, all of them data."""
    height, width = values.shape
    cells = values.reshape(height // factor, factor, width // factor, factor).astype(np.float64)
    return np.floor(cells.mean((1, 3)) + 0.5).astype(values.dtype)


def images_of(bands: dict[str, np.ndarray], shift: int = 0) -> Images:
    """Give the images of three resolutions from ten bands at 10 m; sizes are multiples of six."""
    out: Images = {}
    sources = bands | {"B01": bands["B02"], "B09": bands["B8A"]}
    for resolution, names in BANDS_OF.items():
        for name in names:
            if name == "SCL":
                bright = block_mean(bands["B02"], resolution // 10)
                out[name, resolution] = np.where(bright > 2500, 9, np.where(bright > 1500, 3, 4)).astype(np.uint8)
            else:
                counts = block_mean(sources[name], resolution // 10)
                out[name, resolution] = np.where(counts == 0, 0, counts + shift).astype(np.uint16)
    out["CLD", 20] = np.where(out["SCL", 20] == 9, 80, 5).astype(np.uint8)
    out["SNW", 20] = np.zeros_like(out["CLD", 20])
    return out


@functools.cache
def sample_bands(size: int = 120, row: int = 60, column: int = 60) -> dict[str, np.ndarray]:
    """Real counts of a few fields, from the sample that is shipped."""
    sample = xs.sample("zurich", mask_and_scale=False)
    bands = [v for v in sample.data_vars if str(v).startswith("B")]
    return {str(b): sample[b].values[0, row : row + size, column : column + size] for b in bands}


@dataclass(frozen=True)
class Spec:
    """What the metadata of a made-up product say."""

    platform: str = "S2A"
    time: str = "2019-05-30T10:30:29.024Z"
    generated: str = "2019-05-30T13:00:00.000Z"
    baseline: str = "02.12"
    orbit: int = 108
    tile: str = "32TMT"
    epsg: int = 32632
    corner: tuple[int, int] = (5257500, 472500)
    """Outer corner, (y, x)."""
    strip: str = "20190530T103024"
    offset: int | None = None
    """In the list of the metadata; None for no list."""
    quantification: str = "10000"
    level: str = "2A"
    spacecraft: str = ""
    drop: tuple[str, ...] = ()
    """Elements of the XML to leave out."""
    edits: tuple[tuple[str, str], ...] = ()
    """Patterns and what takes their place, in both XML files."""
    prefix: str = ""
    """Before the names of images, 'L2A_' in old products."""
    suffix: str = ".jp2"
    old_masks: bool = False
    """Cloud probability named as before baseline 02.07."""
    angle: float = 30.0
    angle_bands: int = 2
    """Bands that have grids of view angles, 13 in real products."""
    images: tuple[tuple[str, int], ...] = field(default=())
    """Images to list but not to write."""

    @property
    def stamp(self) -> str:
        """The time in names."""
        return re.sub(r"[-:]|\.\d+Z", "", self.time)

    @property
    def name(self) -> str:
        """The name of the product."""
        made = re.sub(r"[-:]|\.\d+Z", "", self.generated)
        return f"{self.platform}_MSIL{self.level}_{self.stamp}_N{self.baseline.replace('.', '')}_R{self.orbit:03}_T{self.tile}_{made}.SAFE"

    @property
    def granule(self) -> str:
        """The folder of the granule."""
        return f"L{self.level}_T{self.tile}_A020559_{self.stamp}"


def edited(text: str, spec: Spec) -> str:
    for tag in spec.drop:
        text = re.sub(rf"<{tag}[ >].*?</{tag}>", "", text, flags=re.DOTALL)
    for pattern, new in spec.edits:
        text = re.sub(pattern, new, text, flags=re.DOTALL)
    return text


def product_xml(spec: Spec, stems: list[str]) -> str:
    listed = "".join(f"<IMAGE_FILE>{s}</IMAGE_FILE>" for s in stems)
    offsets = "".join(f'<BOA_ADD_OFFSET band_id="{i}">{spec.offset}</BOA_ADD_OFFSET>' for i in range(13))
    offset_list = "" if spec.offset is None else f"<BOA_ADD_OFFSET_VALUES_LIST>{offsets}</BOA_ADD_OFFSET_VALUES_LIST>"
    spectral = "".join(f'<Spectral_Information bandId="{i}" physicalBand="{b}"/>' for i, b in enumerate(IDS))
    name = f"Level-{spec.level}_User_Product"
    return edited(
        f'<?xml version="1.0" encoding="UTF-8"?><n1:{name} xmlns:n1="https://psd.example/{name}.xsd"><n1:General_Info><Product_Info>'
        f"<PRODUCT_START_TIME>{spec.time}</PRODUCT_START_TIME><PRODUCT_URI>{spec.name}</PRODUCT_URI>"
        f"<PROCESSING_LEVEL>Level-{spec.level}</PROCESSING_LEVEL><PROCESSING_BASELINE>{spec.baseline}</PROCESSING_BASELINE>"
        f"<GENERATION_TIME>{spec.generated}</GENERATION_TIME><Datatake>"
        f"<SPACECRAFT_NAME>{spec.spacecraft or f'Sentinel-{spec.platform[1:]}'}</SPACECRAFT_NAME>"
        f"<DATATAKE_SENSING_START>{spec.time}</DATATAKE_SENSING_START><SENSING_ORBIT_NUMBER>{spec.orbit}</SENSING_ORBIT_NUMBER></Datatake>"
        f"<Granule>{listed}</Granule></Product_Info><Product_Image_Characteristics><QUANTIFICATION_VALUES_LIST>"
        f'<BOA_QUANTIFICATION_VALUE unit="none">{spec.quantification}</BOA_QUANTIFICATION_VALUE></QUANTIFICATION_VALUES_LIST>{offset_list}'
        f"{spectral}</Product_Image_Characteristics></n1:General_Info></n1:{name}>",
        spec,
    )


def grid_xml(tag: str, values: np.ndarray) -> str:
    rows = "".join(f"<VALUES>{' '.join('NaN' if np.isnan(v) else f'{v:.6g}' for v in row)}</VALUES>" for row in values)
    steps = '<COL_STEP unit="m">5000</COL_STEP><ROW_STEP unit="m">5000</ROW_STEP>'
    return f"<{tag}>{steps}<Values_List>{rows}</Values_List></{tag}>"


def angle_grids(spec: Spec) -> dict[str, np.ndarray]:
    """Nodes of a plane for the sun, and for two detectors that share the middle column and see 350° and 10°."""
    y, x = np.mgrid[0:23, 0:23].astype(float)
    left, right = np.where(x <= 11, 0.0, np.nan), np.where(x >= 11, 0.0, np.nan)
    return {
        "sun zenith": spec.angle + 0.05 * y + 0.02 * x,
        "sun azimuth": 150 + 0.1 * x - 0.03 * y,
        "view zenith 1": 4 + 0.1 * x + left,
        "view azimuth 1": (345 + 0.5 * y + left) % 360,
        "view zenith 2": 6 + 0.1 * x + right,
        "view azimuth 2": (5 + 0.5 * y + right) % 360,
    }


def tile_xml(spec: Spec, n10: tuple[int, int]) -> str:
    sizes = "".join(
        f'<Size resolution="{r}"><NROWS>{n10[0] * 10 // r}</NROWS><NCOLS>{n10[1] * 10 // r}</NCOLS></Size>'
        f'<Geoposition resolution="{r}"><ULX>{spec.corner[1]}</ULX><ULY>{spec.corner[0]}</ULY><XDIM>{r}</XDIM></Geoposition>'
        for r in (10, 20, 60)
    )
    grids = angle_grids(spec)
    sun = grid_xml("Zenith", grids["sun zenith"]) + grid_xml("Azimuth", grids["sun azimuth"])
    views = "".join(
        f'<Viewing_Incidence_Angles_Grids bandId="{band}" detectorId="{d}">'
        f"{grid_xml('Zenith', grids[f'view zenith {d}'])}{grid_xml('Azimuth', grids[f'view azimuth {d}'])}</Viewing_Incidence_Angles_Grids>"
        for band in range(spec.angle_bands)
        for d in (1, 2)
    )
    return edited(
        f'<?xml version="1.0" encoding="UTF-8"?><n1:Level-2A_Tile_ID xmlns:n1="https://psd.example/tile.xsd"><n1:General_Info>'
        f"<TILE_ID>{spec.platform}_OPER_MSI_L2A_TL_ESRI_{spec.stamp}_A020559_T{spec.tile}_N{spec.baseline}</TILE_ID>"
        f"<DATASTRIP_ID>{spec.platform}_OPER_MSI_L2A_DS_ESRI_{spec.stamp}_S{spec.strip}_N{spec.baseline}</DATASTRIP_ID>"
        f"<SENSING_TIME>{spec.time}</SENSING_TIME></n1:General_Info><n1:Geometric_Info><Tile_Geocoding>"
        f"<HORIZONTAL_CS_CODE>EPSG:{spec.epsg}</HORIZONTAL_CS_CODE>{sizes}</Tile_Geocoding><Tile_Angles><Sun_Angles_Grid>{sun}</Sun_Angles_Grid>"
        f"{views}</Tile_Angles></n1:Geometric_Info></n1:Level-2A_Tile_ID>",
        spec,
    )


def write_image(path: Path, values: np.ndarray, epsg: int, corner: tuple[float, float], resolution: int) -> Path:
    """Write lossless JPEG 2000 with tiles of 1024 pixels, or GeoTIFF by suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES", "BLOCKXSIZE": 1024, "BLOCKYSIZE": 1024}
    options = {"driver": "GTiff", "compress": "DEFLATE"} if path.suffix == ".tif" else options
    placed = {"crs": f"EPSG:{epsg}", "transform": from_origin(corner[1], corner[0], resolution, resolution)}
    height, width = values.shape
    with rasterio.open(path, "w", height=height, width=width, count=1, dtype=values.dtype, **options, **placed) as file:
        file.write(values, 1)
    return path


def image_path(spec: Spec, name: str, resolution: int) -> str:
    """Where an image lies in a product, without suffix."""
    granule = f"GRANULE/{spec.granule}"
    if name in ("CLD", "SNW"):
        mask = f"{spec.prefix}T{spec.tile}_{spec.stamp}_{name}_{resolution}m" if spec.old_masks else f"MSK_{name}PRB_{resolution}m"
        return f"{granule}/QI_DATA/{mask}"
    return f"{granule}/IMG_DATA/R{resolution}m/{spec.prefix}T{spec.tile}_{spec.stamp}_{name}_{resolution}m"


def write_safe(root: Path, spec: Spec | None = None, images: Images | None = None) -> Path:
    """Write a small product of the same form as real ones."""
    spec = spec or Spec()
    images = images if images is not None else images_of(sample_bands(), -spec.offset if spec.offset else 0)
    folder = root / spec.name
    for (name, resolution), values in images.items():
        write_image(folder / f"{image_path(spec, name, resolution)}{spec.suffix}", values, spec.epsg, spec.corner, resolution)
    stems = [image_path(spec, n, r) for n, r in [*images, *spec.images] if n not in ("CLD", "SNW")]
    shape = next((np.array(v.shape) * r // 10 for (_, r), v in images.items()), (120, 120))
    (folder / "GRANULE" / spec.granule).mkdir(parents=True, exist_ok=True)
    (folder / f"MTD_MSIL{spec.level}.xml").write_text(product_xml(spec, stems))
    (folder / "GRANULE" / spec.granule / "MTD_TL.xml").write_text(tile_xml(spec, (int(shape[0]), int(shape[1]))))
    return folder


def zipped(product: Path, target: Path | None = None) -> Path:
    """Zip a product as the catalogues do, its folder inside."""
    base = (target or product.parent) / product.stem
    return Path(shutil.make_archive(str(base), "zip", product.parent, product.name))


REAL = {
    "02.12": "S2A_MSIL2A_20190212T192651_N0212_R013_T07HFE_20201007T160857.SAFE",
    "04.00": "S2B_MSIL2A_20220413T150759_N0400_R025_T33XWJ_20220414T082126.SAFE",
    "05.09": "S2A_MSIL2A_20230625T234621_N0509_R073_T01WCS_20230626T022157.SAFE",
}
"""Products whose real metadata are at hand, by baseline."""

REAL_SHAPE = {10: 10980, 20: 5490, 60: 1830}


@dataclass(frozen=True)
class RealProduct:
    """A product of real metadata and geometry, and what was written into it."""

    path: Path
    baseline: str
    images: Images
    """Counts of the scene, which lies in the tile at ``place``; all around it is no data."""
    place: tuple[int, int]
    """Row and column of the scene's first pixel at 10 m."""
    spec: Spec
    """Corner, EPSG, tile of the metadata."""

    def window(self, resolution: int) -> tuple[slice, slice]:
        """Where the scene lies at a resolution."""
        height, width = self.images["B02", 20].shape
        row, column = (p * 10 // resolution for p in self.place)
        return slice(row, row + height * 20 // resolution), slice(column, column + width * 20 // resolution)

    @property
    def bbox(self) -> tuple[float, float, float, float]:
        """Box of the scene in the CRS of the tile."""
        top, left = self.spec.corner[0] - 10 * self.place[0], self.spec.corner[1] + 10 * self.place[1]
        height, width = self.images["B02", 20].shape
        return left, top - 20 * height, left + 20 * width, top


def real_product(data: Path, root: Path, baseline: str, bands: dict[str, np.ndarray], place: tuple[int, int]) -> RealProduct:
    """Join real metadata to images of whole tiles, 10980² pixels at 10 m, that hold the scene at ``place``."""
    source = data / "safe" / REAL[baseline]
    folder = root / source.name
    shutil.copytree(source, folder, copy_function=shutil.copyfile)
    for path in [folder, *folder.rglob("*")]:
        os.chmod(path, 0o755 if path.is_dir() else 0o644)
    text = next(folder.glob("GRANULE/*/MTD_TL.xml")).read_text()
    number = {tag: int(re.search(rf"<{tag}>(\d+)<", text).group(1)) for tag in ("ULX", "ULY")}
    listed = re.findall(r"<IMAGE_FILE>(.*?)</IMAGE_FILE>", (folder / "MTD_MSIL2A.xml").read_text())
    images = images_of(bands, 0 if baseline < "04" else 1000)
    epsg = int(re.search(r"EPSG:(\d+)<", text).group(1))
    spec = replace(Spec(), baseline=baseline, corner=(number["ULY"], number["ULX"]), epsg=epsg)
    product = RealProduct(folder, baseline, images, place, spec)
    jobs = [(s, m.group(1), int(m.group(2))) for s in listed if (m := re.search(r"_(B\d[\dA]|SCL)_(10|20|60)m$", s))]
    jobs = [*jobs, *((f"{s}/QI_DATA/MSK_{n}PRB_20m", n, 20) for s in ["/".join(listed[0].split("/")[:2])] for n in ("CLD", "SNW"))]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda job: write_tile(product, *job), jobs))
    return product


def write_tile(product: RealProduct, stem: str, name: str, resolution: int) -> None:
    """Write one image of a whole tile; those that the scene has not at this resolution are averages of what it has at 20 m."""
    n = REAL_SHAPE[resolution]
    values = product.images.get((name, resolution))
    if values is None:
        values = block_mean(
            product.images["B8A" if name == "B08" else name if (name, 20) in product.images else "B02", 20], resolution // 20
        )
        product.images[name, resolution] = values
    whole = np.zeros((n, n), values.dtype)
    whole[product.window(resolution)] = values
    write_image(product.path / f"{stem}.jp2", whole, product.spec.epsg, product.spec.corner, resolution)
