"""``xsentinel assess``: what it prints and writes, for each form of file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.image import imread

import xsentinel as xs
from tests.test_accuracy import FLAGS, make_map
from tests.test_cli import refused, shell
from xsentinel.errors import ReadError
from xsentinel.io.classes import open_classes

FORMS = (".tif", ".nc", ".zarr")


def write(layer: xr.DataArray, path: Path) -> Path:
    ds = layer.to_dataset(name=layer.name)
    {".tif": ds.s2.to_cog, ".nc": ds.s2.to_netcdf, ".zarr": ds.s2.to_zarr}[path.suffix](path)
    return path


@pytest.fixture(scope="module")
def maps() -> tuple[xr.DataArray, xr.DataArray]:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, (40, 50)).astype(np.uint8)
    mapped = np.where(rng.random(truth.shape) < 0.8, truth, rng.integers(0, 4, truth.shape)).astype(np.uint8)
    return make_map(mapped, **FLAGS, _FillValue=np.uint8(0)), make_map(truth, **FLAGS, _FillValue=np.uint8(0)).rename("label")


@pytest.mark.parametrize("form", FORMS)
def test_maps_come_back_as_written(maps: tuple[xr.DataArray, xr.DataArray], form: str, tmp_path: Path) -> None:
    layer = open_classes(write(maps[0], tmp_path / f"map{form}"))
    assert layer.chunks is not None
    assert layer.dtype == np.uint8
    np.testing.assert_array_equal(layer, maps[0])
    assert xs.accuracy.assess(layer, maps[1]).confusion.equals(xs.accuracy.assess(*maps).confusion)
    assert xs.accuracy.areas(layer).equals(xs.accuracy.areas(maps[0]))


def test_assess_prints_and_writes(maps: tuple[xr.DataArray, xr.DataArray], tmp_path: Path) -> None:
    mapped, reference = write(maps[0], tmp_path / "map.tif"), write(maps[1], tmp_path / "reference.zarr")
    files = {name: tmp_path / f"out.{name}" for name in ("csv", "md", "png")}
    result = shell("assess", mapped, reference, "--areas", "--csv", files["csv"], "--markdown", files["md"], "--plot", files["png"])
    wanted = xs.accuracy.assess(*maps, areas=maps[0])
    assert result.stdout == f"{wanted}\n" + "".join(f"wrote {f}\n" for f in files.values())
    pd.testing.assert_frame_equal(pd.read_csv(files["csv"], index_col=0), wanted.table())
    assert files["md"].read_text() == wanted.to_markdown()
    assert imread(files["png"]).std() > 0.05
    without = shell("assess", mapped, reference, "--ignore", "maize", "--ignore", "2").stdout
    assert "1 classes" in without
    assert "maize" not in without


def test_what_is_refused(maps: tuple[xr.DataArray, xr.DataArray], tmp_path: Path) -> None:
    mapped = write(maps[0], tmp_path / "map.nc")
    assert "does not exist" in refused("assess", mapped, tmp_path / "nowhere.tif")
    smaller = write(maps[1].isel(y=slice(1, None)), tmp_path / "small.nc")
    assert "the maps have y 40, x 50 and y 39, x 50" in refused("assess", mapped, smaller)
    broken = tmp_path / "broken.tif"
    broken.write_bytes(b"no picture")
    assert "cannot be opened as GeoTIFF" in refused("assess", broken, mapped)
    (tmp_path / "map.csv").write_text("1,2")
    assert "of no form" in refused("assess", mapped, tmp_path / "map.csv")
    assert "matrix.xyz cannot be written" in shell("assess", mapped, mapped, "--plot", tmp_path / "matrix.xyz", code=2).stderr
    two = xr.Dataset({"a": maps[0], "b": maps[0]})
    two.to_netcdf(tmp_path / "two.nc")
    assert "has a, b; say by --variable" in refused("assess", mapped, tmp_path / "two.nc")
    assert open_classes(tmp_path / "two.nc", "b").name == "b"
    xr.concat([maps[0], maps[0]], "band").transpose("band", "y", "x").rio.to_raster(tmp_path / "bands.tif")
    with pytest.raises(ReadError, match="several bands"):
        open_classes(tmp_path / "bands.tif")
