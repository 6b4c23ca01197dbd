"""Products through `xarray.open_dataset`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xsentinel as xs
from tests.conftest import raise_if_dask_computes
from tests.products import write_safe, zipped
from xsentinel.io.backend import XSentinelBackend


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_safe(tmp_path_factory.mktemp("backend"))


@pytest.mark.parametrize("engine", ["xsentinel", None, XSentinelBackend])
def test_it_is_what_open_gives(product: Path, engine: object) -> None:
    with raise_if_dask_computes():
        lazily = xr.open_dataset(product, engine=engine, resolution=20)
        chunked = xr.open_dataset(product, engine=engine, resolution=20, chunks={})
    expected = xs.open(product, resolution=20).compute()
    xr.testing.assert_identical(lazily.compute(), expected)
    xr.testing.assert_identical(chunked.compute(), expected)
    assert chunked.B04.chunks == xs.open(product, resolution=20).B04.chunks


def test_selections_and_options(product: Path) -> None:
    box = (472_700.0, 5_256_700.0, 473_100.0, 5_257_100.0)
    ds = xr.open_dataset(product, engine="xsentinel", resolution=20, bbox=box, drop_variables=["B01", "B09"])
    assert "B09" not in ds
    whole = xs.open(product, resolution=20, bbox=box).B8A.values
    np.testing.assert_array_equal(ds.B8A.isel(time=0, y=[3, 1], x=slice(2, 9, 2)).values, whole[0][[3, 1]][:, 2:9:2])
    np.testing.assert_array_equal(ds.B8A.isel(time=0, y=5).values, whole[0, 5])
    counts = xr.open_dataset(product, engine="xsentinel", resolution=20, mask_and_scale=False, resampling="nearest")
    assert counts.B8A.dtype == np.uint16


def test_guesses(product: Path, tmp_path: Path) -> None:
    backend = XSentinelBackend()
    assert backend.guess_can_open(product)
    assert backend.guess_can_open(str(zipped(product, tmp_path)))
    xs.sample("zurich").s2.to_zarr(tmp_path / "cube.zarr")
    (tmp_path / "a.zip").write_bytes(b"PK")
    for other in (tmp_path / "cube.zarr", tmp_path / "a.zip", tmp_path / "none", 42, None):
        assert not backend.guess_can_open(other)
    with pytest.raises(xs.ReadError, match="no form"):
        xr.open_dataset(tmp_path / "a.zip", engine="xsentinel")
