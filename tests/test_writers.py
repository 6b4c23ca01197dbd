"""Layouts, packing and attributes of what is written: read again by xarray, rioxarray and GDAL, nothing lost."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
import zarr

import xsentinel as xs
from tests.cubes import make_cube

SHAPE = (3, 70, 90)


@pytest.fixture(scope="module")
def cube() -> xr.Dataset:
    """Reflectance, as decoded from counts."""
    return xs.open(make_cube(SHAPE, stored=True))


@pytest.fixture(scope="module")
def maps(cube: xr.Dataset) -> xr.Dataset:
    return cube.s2.lai()


# ---- layouts ---------------------------------------------------------------------------------------------------------

CUTS = {
    ("series", 3): ((3, 64, 64), (3, 512, 512)),
    ("map", 3): ((1, 512, 512), (1, 2048, 2048)),
    ("series", 2): ((3, 64, 64), None),
    ("map", 2): ((1, 64, 64), None),
}


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(("layout", "zarr_format"), CUTS)
def test_layouts(cube: xr.Dataset, tmp_path: Path, layout: str, zarr_format: int, lazy: bool) -> None:
    source = cube.chunk(time=1, y=32, x=40) if lazy else cube
    source.s2.to_zarr(tmp_path / "c.zarr", layout=layout, zarr_format=zarr_format)
    stored = zarr.open_group(tmp_path / "c.zarr", mode="r")["B04"]
    chunks, shards = CUTS[layout, zarr_format]
    assert stored.shards == shards
    if zarr_format == 3:
        assert stored.chunks == chunks
    again = xs.open(tmp_path / "c.zarr", chunks=None)
    for name, values in cube.variables.items():
        np.testing.assert_array_equal(again[name], values, err_msg=str(name))


def test_unknown_layout(cube: xr.Dataset, tmp_path: Path) -> None:
    with pytest.raises(xs.WriteError, match="layout is 'cube'; it is one of series, map, or None"):
        cube.s2.to_zarr(tmp_path / "c.zarr", layout="cube")


# ---- attributes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_geozarr_and_cf_attributes(maps: xr.Dataset, tmp_path: Path, zarr_format: int) -> None:
    path = tmp_path / "lai.zarr"
    maps.s2.to_zarr(path, zarr_format=zarr_format)
    attrs = dict(zarr.open_group(path, mode="r").attrs)
    assert attrs["proj:code"] == "EPSG:32632"
    a, b, c, d, e, f = attrs["spatial:transform"]
    assert rasterio.Affine(a, b, c, d, e, f) == maps.rio.transform()
    assert attrs["spatial:shape"] == [70, 90]
    assert attrs["spatial:dimensions"] == ["y", "x"]
    assert tuple(attrs["spatial:bbox"]) == maps.rio.bounds()
    assert {c["name"] for c in attrs["zarr_conventions"]} == {"proj:", "spatial:"}
    again = xs.open(path)
    assert not [k for k in again.attrs if k.startswith(("proj:", "spatial:", "zarr_"))]
    assert "_CRS" not in again.lai.attrs
    with xr.open_dataset(path, engine="zarr", decode_coords="all", consolidated=zarr_format == 2) as plain:
        assert plain.rio.crs.to_epsg() == 32632
        assert plain.rio.transform() == maps.rio.transform()


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_gdal_reads_the_store(maps: xr.Dataset, tmp_path: Path, zarr_format: int) -> None:
    path = tmp_path / "lai.zarr"
    maps.s2.to_zarr(path, zarr_format=zarr_format)
    try:
        file = rasterio.open(f'ZARR:"{path}":/lai:0')
    except rasterio.errors.RasterioIOError as err:
        pytest.skip(f"this GDAL reads no such Zarr: {err}")
    with file:
        assert file.crs.to_epsg() == 32632
        assert file.transform.almost_equals(maps.rio.transform())
        np.testing.assert_array_equal(file.read(1), maps.lai.values[0])


def test_netcdf_is_cf(maps: xr.Dataset, tmp_path: Path) -> None:
    maps.s2.to_netcdf(tmp_path / "lai.nc")
    with xr.open_dataset(tmp_path / "lai.nc", decode_coords="all") as plain:
        assert plain.attrs["Conventions"].startswith("CF-")
        assert plain.rio.crs.to_epsg() == 32632
        assert plain.x.attrs["standard_name"] == "projection_x_coordinate"
        np.testing.assert_array_equal(plain.lai, maps.lai)
    with rasterio.open(f'NETCDF:"{tmp_path / "lai.nc"}":lai') as file:
        assert file.crs.to_epsg() == 32632
        assert file.transform.almost_equals(maps.rio.transform())


# ---- packing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", ["uint16", "int16"])
@pytest.mark.parametrize("store", ["c.zarr", "c.nc"])
def test_packed_reflectance_of_counts_comes_back_exactly(cube: xr.Dataset, tmp_path: Path, pack: str, store: str) -> None:
    path = tmp_path / store
    (cube.s2.to_netcdf if store.endswith("nc") else cube.s2.to_zarr)(path, pack=pack)
    again = xs.open(path, chunks=None)
    how = {"engine": "netcdf4"} if store.endswith("nc") else {"engine": "zarr", "consolidated": False}
    with xr.open_dataset(path, mask_and_scale=False, **how) as raw:
        assert raw.B04.dtype == np.dtype(pack)
    for band in ("B03", "B8A", "B12"):
        assert again[band].dtype == np.float32
        np.testing.assert_allclose(again[band], cube[band], atol=3e-7)  # counts are exact, their float32 forms to rounding
    with xr.open_dataset(path, **how) as plain:
        np.testing.assert_allclose(plain.B8A, cube.B8A, atol=3e-7)


def test_packed_maps(maps: xr.Dataset, tmp_path: Path) -> None:
    maps.s2.to_zarr(tmp_path / "lai.zarr", pack="int16")
    again = xs.open(tmp_path / "lai.zarr", chunks=None)
    assert again.lai.dtype == np.float32
    np.testing.assert_allclose(again.lai, maps.lai, atol=0.5001e-3)
    np.testing.assert_array_equal(again.lai_flags, maps.lai_flags)
    assert again.lai.attrs["units"] == "m2 m-2"
    spread = maps[["lai"]].assign(lai_std=maps.lai * 0.1, lai_lower=maps.lai * 0.8, lai_upper=maps.lai * 1.2)
    spread.s2.to_zarr(tmp_path / "spread.zarr", pack="int16")
    with xr.open_zarr(tmp_path / "spread.zarr", mask_and_scale=False, consolidated=False) as raw:
        assert {v: raw[v].attrs["scale_factor"] for v in raw.data_vars} == dict.fromkeys(("lai", "lai_std", "lai_lower", "lai_upper"), 1e-3)
    maps.s2.to_zarr(tmp_path / "fine.zarr", pack="int16", scale={"lai": 5e-4})
    np.testing.assert_allclose(xs.open(tmp_path / "fine.zarr").lai, maps.lai, atol=2.6e-4)


def test_packed_bytes_are_half(cube: xr.Dataset, tmp_path: Path) -> None:
    noisy = cube + np.float32(1e-6) * np.random.default_rng(0).random(SHAPE, np.float32)
    noisy.s2.to_zarr(tmp_path / "float.zarr")
    noisy.s2.to_zarr(tmp_path / "packed.zarr", pack="uint16")
    size = {n: sum(p.stat().st_size for p in (tmp_path / f"{n}.zarr").rglob("*") if p.is_file()) for n in ("float", "packed")}
    assert size["packed"] < 0.65 * size["float"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pack": "int16", "scale": 1e-6}, r"B\w+ has \d+ values such as .* int16 with scale 1e-06 holds .*give a larger scale="),
        ({"pack": "uint8"}, "pack is 'uint8'; it is one of uint16, int16"),
        ({"scale": 1.0}, "scale is 1.0, but pack is not given"),
        ({"pack": "int16", "scale": -1.0}, r"B03 has no scale to be packed with \(found -1.0\)"),
    ],
)
@pytest.mark.parametrize("lazy", [False, True])
def test_what_cannot_be_packed(cube: xr.Dataset, tmp_path: Path, options: dict[str, object], message: str, lazy: bool) -> None:
    with pytest.raises(xs.WriteError, match=message):
        (cube.chunk(y=32) if lazy else cube).s2.to_zarr(tmp_path / "c.zarr", **options)
    assert not (tmp_path / "c.zarr").exists()


# ---- colours ---------------------------------------------------------------------------------------------------------


def test_classes_get_a_colour_table(cube: xr.Dataset, tmp_path: Path) -> None:
    classes = np.resize(np.arange(12, dtype=np.uint8), SHAPE)
    one = cube.assign(SCL=(("time", "y", "x"), classes))[["SCL"]].isel(time=[0])
    xs.open(one).s2.to_cog(tmp_path / "scl.tif")
    with rasterio.open(tmp_path / "scl.tif") as file:
        colours = file.colormap(1)
        assert colours[4] == (0, 160, 0, 255)
        assert colours[6] == (0, 0, 255, 255)
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        np.testing.assert_array_equal(file.read(1), classes[0])
    own = one.SCL.rename("crop").assign_attrs(flag_values=np.array([0, 1], np.uint8), flag_colors="#000000 #ff8000")
    own.s2.to_cog(tmp_path / "crop.tif")
    with rasterio.open(tmp_path / "crop.tif") as file:
        assert file.colormap(1)[1] == (255, 128, 0, 255)


def test_attributes_survive_as_json(maps: xr.Dataset, tmp_path: Path) -> None:
    maps.s2.to_zarr(tmp_path / "lai.zarr", layout="map", pack="int16")
    text = json.loads((tmp_path / "lai.zarr" / "lai" / "zarr.json").read_text())["attributes"]
    assert text["units"] == "m2 m-2"
    assert text["scale_factor"] == pytest.approx(1e-3)
