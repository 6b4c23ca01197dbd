"""Reading products: a date at 20 m beside rasterio alone and odc-stac, and a hundred dates opened lazily.

``pytest benchmarks/test_reading.py --benchmark-enable``
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

import xsentinel as xs
from benchmarks.common import Layout
from tests.products import Spec, images_of, sample_bands, write_safe

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B8A", "B11", "B12")
"""Read at 20 m, where a product holds them so."""

N_DATES = 100
THREADS = 2


@pytest.fixture(scope="session")
def reading(pytestconfig: pytest.Config) -> Layout:
    """A quarter of a tile when measuring, a few fields when only run as tests."""
    return Layout(2562, 1024) if pytestconfig.getoption("benchmark_enable") else Layout(60, 1024)


@pytest.fixture(scope="session")
def product(reading: Layout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A product of real counts, repeated and jittered so that repeats do not compress, at 10, 20 and 60 m."""
    n = reading.side * 2
    rng = np.random.default_rng(reading.seed)
    source = sample_bands(396, 0, 0)
    repeats = -(-n // 396)
    bands = {}
    for name, counts in source.items():
        jitter = rng.integers(0, 17, (n, n), dtype=np.uint16)
        bands[name] = np.maximum(np.tile(counts, (repeats, repeats))[:n, :n], 1) + jitter
    return write_safe(tmp_path_factory.mktemp("reading"), Spec(angle_bands=13), images_of(bands))


def windows(path: Path) -> Iterator[tuple[Path, Window]]:
    """Cut an image as the cube is cut."""
    with rasterio.open(path) as file:
        for row in range(0, file.height, 1024):
            for column in range(0, file.width, 1024):
                yield path, Window(column, row, min(1024, file.width - column), min(1024, file.height - row))


def by_rasterio(product: Path) -> list[np.ndarray]:
    """Read the same windows of the same files, each opened once a thread, and nothing else."""
    jobs = [w for b in BANDS for w in windows(next(product.glob(f"GRANULE/*/IMG_DATA/R20m/*_{b}_20m.jp2")))]
    opened: dict[Any, Any] = {}

    def read(job: tuple[Path, Window]) -> np.ndarray:
        key = (threading.get_ident(), job[0])
        if key not in opened:
            opened[key] = rasterio.open(job[0])
        return opened[key].read(1, window=job[1])

    with ThreadPoolExecutor(THREADS) as pool:
        out = list(pool.map(read, jobs))
    for file in opened.values():
        file.close()
    return out


def by_us(product: Path) -> Any:
    with dask.config.set(scheduler="threads", num_workers=THREADS):
        return xs.open(product, resolution=20)[list(BANDS)].compute()


def by_odc(product: Path) -> Any:
    """Load the same files by odc-stac; counts, neither masked nor scaled."""
    odc = pytest.importorskip("odc.stac")
    pystac = pytest.importorskip("pystac")
    from tests.test_same_scene import as_item

    item = as_item(product, Spec())
    with rasterio.open(next(product.glob("GRANULE/*/IMG_DATA/R20m/*_B05_20m.jp2"))) as file:
        side = file.width
    grid = {"proj:shape": [side, side], "proj:transform": [20, 0, Spec().corner[1], 0, -20, Spec().corner[0]]}
    item["assets"] = {f"{b}_20m": item["assets"][f"{b}_20m"] | grid for b in BANDS}
    with dask.config.set(scheduler="threads", num_workers=THREADS):
        keys = list(item["assets"])
        cut = {"y": 1024, "x": 1024}
        return odc.load(
            [pystac.Item.from_dict(item)], bands=keys, chunks=cut, dtype="uint16", nodata=0, crs="EPSG:32632", resolution=20
        ).compute()


CONTENDERS = {
    "xs.open, masked, scaled, float32": (by_us, "ours"),
    "rasterio, the same windows, counts": (by_rasterio, "limit"),
    "odc-stac, counts": (by_odc, "peer"),
}


@pytest.mark.benchmark(group="one date of nine bands at 20 m from JPEG 2000")
@pytest.mark.parametrize("what", CONTENDERS)
def test_one_date(benchmark: Any, product: Path, reading: Layout, what: str, tmp_path: Path) -> None:
    function, role = CONTENDERS[what]
    benchmark.extra_info.update(what=what, role=role, pixels=reading.pixels * len(BANDS))
    benchmark.pedantic(function, setup=lambda: ((unseen(product, tmp_path),), {}), rounds=5)


def unseen(product: Path, folder: Path) -> Path:
    """Give the product under another path, so that no file of it is open and no block of it decoded."""
    out = folder / str(len(list(folder.iterdir()))) / product.name
    for path in product.rglob("*.*"):
        if path.is_file():
            target = out / path.relative_to(product)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(path)
    return out


@pytest.fixture(scope="session")
def dates(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Products of many dates, metadata as large as real ones, whose images are one another's."""
    n = N_DATES if pytestconfig.getoption("benchmark_enable") else 3
    root = tmp_path_factory.mktemp("dates")
    images = images_of({k: np.tile(v, (5, 5)) for k, v in sample_bands().items()})
    first = write_safe(root, Spec(angle_bands=13), images)
    out = [first]
    for i in range(1, n):
        day = str(np.datetime64("2019-05-30") + 5 * i)
        spec = replace(Spec(angle_bands=13), time=f"{day}T10:30:29.024Z", strip=f"{day.replace('-', '')}T103024")
        out.append(write_safe(root, spec, {}))
        for path in first.rglob("*.jp2"):
            target = out[-1] / str(path.relative_to(first)).replace(Spec().stamp, spec.stamp)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(path)
        text = (first / "GRANULE" / Spec().granule / "MTD_TL.xml").read_text().replace("S20190530", f"S{day.replace('-', '')}")
        (out[-1] / "GRANULE" / spec.granule / "MTD_TL.xml").write_text(text)
    return out


@pytest.mark.benchmark(group="opening 100 dates lazily")
@pytest.mark.parametrize("resolution", [10, 20])
def test_many_dates(benchmark: Any, dates: list[Path], resolution: int) -> None:
    benchmark.extra_info.update(what=f"xs.open of {len(dates)} products, {resolution} m", role="ours" if resolution == 20 else "also")
    cube = benchmark.pedantic(xs.open, (dates,), {"resolution": resolution}, rounds=2)
    assert cube.sizes["time"] == len(dates)
    assert cube.B04.chunks is not None
