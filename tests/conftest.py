"""Fixtures and profiles that all tests share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

if "PYTEST_XDIST_WORKER" in os.environ:  # a process a core: threads of torch would wait for one another's cores, spinning
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import dask
import hypothesis
import matplotlib as mpl
import pytest

from tests.products import REAL, RealProduct, real_product

mpl.use("agg")

hypothesis.settings.register_profile("dev", max_examples=25, deadline=None)
hypothesis.settings.register_profile("ci", max_examples=25, deadline=None, derandomize=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real scenes; tests that need it skip where there is none."""
    folder = os.environ.get("XSENTINEL_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("XSENTINEL_DATA names no folder of real scenes")
    return Path(folder)


@pytest.fixture(autouse=True)
def figures_are_closed() -> Iterator[None]:
    """No figure outlives a test."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@contextmanager
def raise_if_dask_computes() -> Iterator[None]:
    """Fail if anything lazy is computed inside."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("dask computed while only a graph was to be built")

    with dask.config.set(scheduler=refuse):
        yield


def _seen_place(facts: Any, shape: tuple[int, int]) -> tuple[int, int]:
    """Choose where a scene lies in a tile: in the middle of what a detector sees, on whole pixels of 60 m."""
    import numpy as np

    rows, columns = np.nonzero(np.isfinite(facts.angles.view_zenith))
    middle = np.median(rows) * 500, np.median(columns) * 500
    row, column = (int(min(max(m - n // 2, 0), 10980 - n)) // 6 * 6 for m, n in zip(middle, shape, strict=True))
    return row, column


@pytest.fixture(scope="session")
def real_products(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, RealProduct]:
    """Products of three baselines: real metadata, whole tiles, pixels of the Zurich scene."""
    import rasterio

    from xsentinel.io.safe_metadata import parse_tile

    with rasterio.open(data / "lai_scenes" / "zurich" / "S2A_20190530_T32TMT_L2A_10m_shared.tif") as file:
        bands = dict(zip(file.descriptions, file.read()[:, :720, :1080], strict=True))
    root = tmp_path_factory.mktemp("products")
    out = {}
    for baseline, name in REAL.items():
        text = next((data / "safe" / name).glob("GRANULE/*/MTD_TL.xml")).read_bytes()
        out[baseline] = real_product(data, root, baseline, bands, _seen_place(parse_tile(text, name), (720, 1080)))
    return out
