"""The two cubes that come with the package."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest

import xsentinel as xs
from xsentinel.io.samples import SAMPLES


def test_they_are_small_and_say_where_they_come_from() -> None:
    folder = files("xsentinel.data")
    sizes = [len(folder.joinpath(f"{name}.zarr.zip").read_bytes()) for name in SAMPLES]
    assert sum(sizes) <= 6e6
    text = folder.joinpath("samples.md").read_text(encoding="utf8")
    for name in SAMPLES:
        assert f"{name}.zarr.zip" in text
        cube = xs.sample(name, chunks="auto")
        assert cube.attribution == "contains modified Copernicus Sentinel data 2015-2021"
        assert cube.title.lower() == name
        assert "from" in cube.source


def test_zurich() -> None:
    cube = xs.sample("zurich")
    assert dict(cube.sizes) == {"time": 1, "y": 400, "x": 500}
    assert [*cube.data_vars] == ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"]
    assert {v.dtype for v in cube.data_vars.values()} == {np.dtype("float32")}
    assert cube.chunks == {}
    assert str(cube.time.values[0])[:10] == "2019-05-30"
    assert set(np.atleast_1d(cube.platform.values)) == {"S2A"}
    assert (cube.sza.item(), cube.vza.item(), cube.raa.item()) == (27, 5, 100)
    assert "nominal" in cube.sza.source
    assert cube.rio.crs.to_epsg() == 32632
    assert cube.rio.resolution() == (10, -10)
    assert 0.01 < float(cube.B04.median()) < 0.1 < float(cube.B08.median()) < 0.6


def test_romania() -> None:
    cube = xs.sample("romania", mask_and_scale=False)
    assert dict(cube.sizes) == {"time": 66, "y": 80, "x": 80}
    assert [*cube.data_vars] == ["B02", "B03", "B04", "B08", "SCL"]
    assert cube.B02.dtype == np.uint16
    assert cube.indexes["time"].is_monotonic_increasing
    assert set(cube.time.dt.year.values) == {2018, 2019}
    assert set(cube.platform.values) == {"S2A", "S2B"}
    assert cube.rio.crs.to_epsg() == 3035
    assert 20 < float(cube.sza.min()) < float(cube.sza.max()) < 75


@pytest.mark.parametrize("name", SAMPLES)
def test_options_are_those_of_open(name: str) -> None:
    lazy = xs.sample(name, resolution=20, chunks="auto")
    assert lazy.B04.chunks is not None
    fine = xs.sample(name).B04.values
    cells = fine.reshape(fine.shape[0], fine.shape[1] // 2, 2, fine.shape[2] // 2, 2)
    n = np.isfinite(cells).sum((2, 4))
    expected = np.where(n, np.nansum(cells.astype(float), (2, 4)) / np.maximum(n, 1), np.nan)
    np.testing.assert_allclose(lazy.B04, expected, rtol=1e-6)


def test_unknown_name() -> None:
    with pytest.raises(xs.ReadError, match="there is no sample 'paris'; the samples are zurich, romania"):
        xs.sample("paris")  # type: ignore[arg-type]
