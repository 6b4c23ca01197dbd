"""What a path is that is no cube: what was found there, and what to do with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from xsentinel.errors import ReadError
from xsentinel.io.container import is_product_metadata

IMAGES = (".jp2", ".j2k")

ADVICE = {
    ".csv": "a table; xsentinel.samples.from_table makes samples of one, and xsentinel run takes one as the tiles of a job file",
    ".gpkg": "a file of polygons; maps.s2.parcels(...) summarises maps over them",
    ".shp": "a file of polygons; maps.s2.parcels(...) summarises maps over them",
    ".parquet": "a table or a file of polygons; maps.s2.parcels(...) summarises maps over polygons",
    ".yaml": "a job file; xsentinel run does what it says",
    ".yml": "a job file; xsentinel run does what it says",
    ".safetensors": "the weights of a model; xsentinel.load_model reads it",
    ".png": "a picture; open the bands of the product itself",
    ".jpg": "a picture; open the bands of the product itself",
}
"""Suffix of a file → what it is, and what reads it."""

TRIPLET_FOLDERS = ("s1", "s2", "s2-mask")

LISTED = 5
"""Names that a message lists at most."""


def refusal(path: Path, forms: Sequence[str], is_known: Callable[[Path], bool]) -> ReadError:
    """Give the error for a path that no reader takes.

    Parameters
    ----------
    path : Path
        Of a file or folder that is there.
    forms : sequence of str
        What is read, in words.
    is_known : callable
        Whether a path can be read.
    """
    product = next((p for p in path.resolve().parents if p.suffix.upper() == ".SAFE" or _is_product(p)), None)
    if product is not None:
        return ReadError(f"{path} lies inside the product {product}; give that, whole, and say resolution=10 or 20")
    if path.is_dir():
        return ReadError(f"{path} {_folder(path, is_known)}; xsentinel reads {'; '.join(forms)}")
    suffix = path.suffix.lower()
    if suffix in IMAGES:
        return ReadError(
            f"{path} is one image of a product; give the .SAFE folder or .zip that it came in (or make a GeoTIFF of it: gdal_translate)"
        )
    if suffix in ADVICE:
        return ReadError(f"{path} is {ADVICE[suffix]}; xsentinel.open reads {'; '.join(forms)}")
    return ReadError(f"{path} is of no form that xsentinel reads: {'; '.join(forms)}")


def _is_product(folder: Path) -> bool:
    try:
        return any(is_product_metadata(p.name) for p in folder.glob("MTD_*.xml"))
    except OSError:
        return False


def _folder(path: Path, is_known: Callable[[Path], bool]) -> str:
    """Say what lies in a folder."""
    inside = sorted(path.iterdir())
    if not inside:
        return "is an empty folder"
    folders = [p.name for p in inside if p.is_dir()]
    if set(TRIPLET_FOLDERS) <= set(folders):
        return "holds triplets of Sentinel-1 and leaf area index (s1, s2, s2-mask): xsentinel.read_triplets reads them"
    known = [p.name for p in inside if (p.is_dir() or p.suffix.lower() in (".zip", ".nc")) and is_known(p)]
    if known:
        return f"holds {_names(known)}, which can be opened: give one of them, or a list"
    kinds = Counter(p.suffix or "without suffix" for p in inside if p.is_file())
    told = [f"{n} {kind}" for kind, n in kinds.most_common(LISTED)]
    images = ", images of a product: give the .SAFE folder or .zip that they came in" if {k.lower() for k in kinds} & set(IMAGES) else ""
    return f"holds no cube but {', '.join(told) or 'no file'}" + (f" and the folders {_names(folders)}" if folders else "") + images


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")
