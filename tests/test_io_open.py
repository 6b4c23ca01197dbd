"""Every form that `open` reads, compared with an independent decode of the same files, and every way it refuses."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import dask.array as da
import netCDF4
import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
from rioxarray._io import RasterioArrayWrapper
from xarray.backends.netCDF4_ import NetCDF4ArrayWrapper
from xarray.backends.zarr import ZarrArrayWrapper

import xsentinel as xs
from tests.conftest import raise_if_dask_computes
from tests.cubes import BANDS_20M, make_cube, npz_cube

TEN_BANDS = ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"]


def stored(path: Path, *names: str) -> list[np.ndarray]:
    """Read variables as they lie in a NetCDF file, by netCDF4 alone."""
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        return [np.asarray(file[name][:]) for name in names]


def reflectance(counts: np.ndarray) -> np.ndarray:
    return np.where(counts == 0, np.nan, counts * 1e-4)


def block_mean(values: np.ndarray, factor: int) -> np.ndarray:
    """Mean of factor × factor pixels, NaN left out, by nothing but numpy."""
    *lead, height, width = values.shape
    cells = values.reshape(*lead, height // factor, factor, width // factor, factor)
    n = np.isfinite(cells).sum((-3, -1))
    return np.where(n, np.nansum(cells, (-3, -1)) / np.maximum(n, 1), np.nan)


def bilinear(values: np.ndarray, factor: int) -> np.ndarray:
    """Linear between pixel centres, level beyond them, by `numpy.interp` along one axis after the other."""
    for axis in (-2, -1):
        n = values.shape[axis]
        fine = (np.arange(n * factor) + 0.5) / factor - 0.5
        values = np.apply_along_axis(lambda line, n=n, fine=fine: np.interp(fine, np.arange(n), line), axis, values)
    return values


@pytest.fixture
def no_pixels(monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[None]]:
    """Fail inside if anything of two dims or more is read from a file; text, which NetCDF keeps as such, is not counted."""
    wrappers = {NetCDF4ArrayWrapper: "_getitem", ZarrArrayWrapper: "__getitem__", RasterioArrayWrapper: "_getitem"}

    @contextmanager
    def watch() -> Iterator[None]:
        with monkeypatch.context() as patch:
            for wrapper, name in wrappers.items():
                patch.setattr(wrapper, name, refusing(getattr(wrapper, name)))
            yield

    return watch


def refusing(read: Callable[..., Any]) -> Callable[..., Any]:
    def checked(self: Any, *args: Any, **kwargs: Any) -> Any:
        assert len(self.shape) < 2 or np.dtype(self.dtype).kind == "S", f"pixels were read: {self.shape}"
        return read(self, *args, **kwargs)

    return checked


# ---- WorldCereal -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(data: Path) -> Path:
    return data / "cubes" / "worldcereal" / "00002806639B424A"


def file_of(site: Path, start: str) -> Path:
    return next(site.glob(f"{start}*.nc"))


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize("resolution", [10, 20])
def test_worldcereal_pair_on_one_grid(site: Path, resolution: int, as_list: bool, no_pixels: Any) -> None:
    fine, coarse = file_of(site, "S2_L2A_10m"), file_of(site, "S2_L2A_20m")
    with no_pixels():
        cube = xs.open([fine, coarse] if as_list else site, resolution=resolution)
    assert [*cube.data_vars] == [*TEN_BANDS, "SCL"]
    n = 640 // resolution
    assert dict(cube.sizes) == {"time": 118, "y": n, "x": n}
    assert cube.rio.crs.to_epsg() == 32631
    assert cube.rio.bounds() == (501360, 5629040, 502000, 5629680)
    assert cube.rio.transform() == rasterio.Affine(resolution, 0, 501360, 0, -resolution, 5629680)
    (b04,), (b11, scl) = stored(fine, "B04"), stored(coarse, "B11", "SCL")
    if resolution == 20:
        expected = {"B04": block_mean(reflectance(b04), 2), "B11": reflectance(b11), "SCL": scl}
    else:
        expected = {"B04": reflectance(b04), "B11": bilinear(reflectance(b11), 2), "SCL": scl.repeat(2, 1).repeat(2, 2)}
    for name, values in expected.items():
        np.testing.assert_allclose(cube[name].values, values, rtol=3e-7, atol=2e-7, err_msg=name)
    assert {v.dtype for v in cube[TEN_BANDS].data_vars.values()} == {np.dtype("float32")}
    assert cube.SCL.dtype == np.uint8
    assert ("left_out" in cube.attrs) == (not as_list)
    if not as_list:
        assert "OUTPUT_POLY" in cube.left_out
        assert "S1_GRD" in cube.left_out


def test_worldcereal_angles_and_platforms(site: Path) -> None:
    cube = xs.open(site, resolution=20)
    path = file_of(site, "S2_L2A_20m")
    sza, vza, saa, vaa = stored(path, "sunZenithAngles", "viewZenithMean", "sunAzimuthAngles", "viewAzimuthMean")
    np.testing.assert_array_equal(cube.sza, sza)
    np.testing.assert_array_equal(cube.vza, vza)
    apart = np.abs(saa.astype(float) - vaa)
    np.testing.assert_allclose(cube.raa, np.minimum(apart, 360 - apart), atol=1e-4)
    assert cube.raa.attrs["units"] == "degree"
    assert cube.sza.attrs["standard_name"] == "solar_zenith_angle"
    assert cube.platform.dims == ("time",)
    # the two satellites pass one relative orbit five days apart, so that each keeps its phase of ten days
    assert set(cube.platform.values) == {"S2A", "S2B"}
    days = (cube.indexes["time"].normalize() - cube.indexes["time"].normalize()[0]).days.to_numpy()
    orbits = {name: set(days[cube.platform.values == name] % 10) for name in ("S2A", "S2B")}
    assert not orbits["S2A"] & orbits["S2B"]
    assert {(d + 5) % 10 for d in orbits["S2A"]} == orbits["S2B"]


def test_worldcereal_site_of_20_m_bands_needs_no_resolution(data: Path, no_pixels: Any) -> None:
    folder = data / "cubes" / "worldcereal" / "000028085BF08E7E"
    with no_pixels():
        cube = xs.open(folder)
    (b05,) = stored(file_of(folder, "S2_L2A_20m"), "B05")
    np.testing.assert_allclose(cube.B05.values, reflectance(b05), atol=1e-7)
    assert cube.sizes["time"] == 146
    assert float(cube.raa.min()) >= 0
    assert float(cube.raa.max()) <= 180


def test_worldcereal_radar_alone_is_opened_as_decibel(site: Path) -> None:
    path = file_of(site, "S1_GRD")
    cube = xs.open(path)
    (vv,) = stored(path, "VV")
    np.testing.assert_allclose(cube.VV.values, reflectance(vv), rtol=1e-6)
    assert cube.VV.units == "dB"
    assert "platform" not in cube.coords or not set(np.atleast_1d(cube.platform.values)) & {"S2A", "S2B", "S2C"}


# ---- Romania, qvidja, Zurich, BigEarthNet ----------------------------------------------------------------------------


def test_romania_counts_without_scale(data: Path) -> None:
    folder = data / "cubes" / "romania"
    fine, coarse = sorted(folder.glob("*.nc"))
    (b2, scl10), (b8a, b3_20, scl20) = stored(fine, "B2", "SCL"), stored(coarse, "B8A", "B3", "SCL")
    at_10, at_20 = xs.open(folder, resolution=10), xs.open(folder, resolution=20)
    assert [*at_20.data_vars] == ["B02", "B03", "B04", "B08", "B8A", "B11", "SCL"]
    for cube, n in ((at_10, 100), (at_20, 50)):
        assert dict(cube.sizes) == {"time": 140, "y": n, "x": n}
        assert cube.rio.crs.to_epsg() == 3035
        assert str(cube.time.values[0])[:10] == "2015-08-01"
    np.testing.assert_allclose(at_10.B02.values, reflectance(b2), atol=1e-7)
    np.testing.assert_allclose(at_10.B8A.values, bilinear(reflectance(b8a), 2), atol=2e-7)
    np.testing.assert_allclose(at_20.B02.values, block_mean(reflectance(b2), 2), atol=2e-7)
    np.testing.assert_allclose(at_20.B03.values, reflectance(b3_20), atol=1e-7)  # the file of the asked grid goes first
    np.testing.assert_array_equal(at_10.SCL, scl10)
    np.testing.assert_array_equal(at_20.SCL, scl20)
    assert np.isnan(at_10.B02.values[b2 == 0]).all()


def test_romania_integers_as_stored(data: Path) -> None:
    path = next((data / "cubes" / "romania").glob("*10m.nc"))
    cube = xs.open(path, mask_and_scale=False)
    (b2,) = stored(path, "B2")
    assert cube.B02.dtype == np.uint16
    np.testing.assert_array_equal(cube.B02, b2)
    assert (cube.B02.scale_factor, cube.B02.add_offset, cube.B02.attrs["_FillValue"]) == (1e-4, 0, 0)


def test_qvidja_dims_dtype_platform_classes(data: Path, no_pixels: Any) -> None:
    path = sorted((data / "cubes" / "qvidja").glob("*.nc"))[0]
    with no_pixels():
        cube = xs.open(path)
    (bands, scl, saa, vaa) = stored(path, "band_data", "SCL", "sun_azimuth", "view_azimuth")
    with netCDF4.Dataset(path) as file:
        names = [f"B{str(b)[1:].zfill(2)}" for b in file["band"][:]]
        products = [str(p) for p in file["productid"][:]]
    for i, name in enumerate(names):
        assert cube[name].dims == ("time", "y", "x")
        assert cube[name].dtype == np.float32
        np.testing.assert_array_equal(cube[name], bands[:, i].transpose(0, 2, 1).astype(np.float32))
    assert list(cube.platform.values) == [p[:3] for p in products]
    assert (scl == -99999).any()
    np.testing.assert_array_equal(cube.SCL, np.where(scl < 0, 0, scl).transpose(0, 2, 1))
    assert cube.SCL.dtype == np.uint8
    apart = np.abs(saa - vaa)
    np.testing.assert_allclose(cube.raa, np.minimum(apart, 360 - apart), atol=1e-3)
    assert cube.rio.crs.to_epsg() == 32634
    assert cube.y.values[0] < cube.y.values[-1]  # south up, as stored
    assert {"lai", "fapar", "productid"} <= set(cube.data_vars)


@pytest.fixture(scope="module")
def zurich(data: Path) -> Path:
    return next((data / "lai_scenes" / "zurich").glob("*.tif"))


def test_zurich_geotiff(zurich: Path) -> None:
    cube = xs.open(zurich)
    with rasterio.open(zurich) as file:
        counts, transform, names = file.read(), file.transform, file.descriptions
    assert tuple(cube.data_vars) == names
    for i in (0, 9):
        np.testing.assert_allclose(cube[names[i]].values[0], reflectance(counts[i]), atol=1e-7)
    assert str(cube.time.values[0]) == "2019-05-30T00:00:00.000000000"
    assert set(np.atleast_1d(cube.platform.values)) == {"S2A"}
    assert cube.rio.crs.to_epsg() == 32632
    assert cube.rio.transform() == transform
    assert cube.B02.chunks is not None


def test_zurich_geotiff_coarser(zurich: Path) -> None:
    cube = xs.open(zurich, resolution=20, chunks={"x": 300, "y": 200})
    with rasterio.open(zurich) as file:
        red = reflectance(file.read(3)).astype(float)
    np.testing.assert_allclose(cube.B04.values[0, :, :551], block_mean(red[:, :1102], 2), atol=2e-7)
    assert cube.sizes["x"] == 552  # the last, incomplete pixel keeps what it has
    np.testing.assert_allclose(cube.B04.values[0, :, 551], block_mean(red[:, 1102:].repeat(2, 1), 2)[:, 0], atol=2e-7)
    assert cube.rio.transform() == rasterio.Affine(20, 0, 472480, 0, -20, 5257490)


def test_bigearthnet_patch(data: Path) -> None:
    path = sorted((data / "lai_scenes" / "bigearthnet_v2").glob("*.npz"))[0]
    cube = npz_cube(path)
    with np.load(path) as patch:
        b04, b11, b01, vv = (patch[n].astype(float) for n in ("B04", "B11", "B01", "VV"))
    np.testing.assert_allclose(cube.B04.values[0], block_mean(np.where(b04 == 0, np.nan, b04 / 10_000), 2), atol=2e-7)
    np.testing.assert_allclose(cube.B11.values[0], b11 / 10_000, atol=1e-7)
    np.testing.assert_allclose(cube.B01.values[0], bilinear(b01 / 10_000, 3), atol=2e-7)
    np.testing.assert_allclose(cube.VV.values[0], 10 * np.log10(block_mean(10 ** (vv / 10), 2)), rtol=1e-5)  # the mean of power


# ---- Zarr ------------------------------------------------------------------------------------------------------------

COUNTS = np.array([[[0, 1, 999, 1000], [1001, 2345, 65534, 65535]]], np.uint16)


def packed(offset: float = -0.1) -> xr.Dataset:
    """Counts with scale, offset and nodata as CF attributes."""
    attrs = {"scale_factor": 1e-4, "add_offset": offset, "_FillValue": np.uint16(0)}
    coords = {"time": [np.datetime64("2022-06-01T10:00", "ns")], "y": [30.0, 10.0], "x": [10.0, 30.0, 50.0, 70.0]}
    ds = xr.Dataset(dict.fromkeys(("red", "B8A"), (("time", "y", "x"), COUNTS, attrs)), coords)
    return ds.rio.write_crs("EPSG:32632")


def zip_folder(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.write(file, file.relative_to(folder).as_posix())
    return path


@pytest.mark.parametrize("as_zip", [False, True])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr_with_offset_never_makes_nodata_valid(tmp_path: Path, zarr_format: int, as_zip: bool, no_pixels: Any) -> None:
    folder = tmp_path / "cube.zarr"
    packed().to_zarr(folder, zarr_format=zarr_format, consolidated=zarr_format == 2)
    path = zip_folder(folder, tmp_path / "cube.zarr.zip") if as_zip else folder
    with no_pixels():
        cube = xs.open(path)
    expected = np.where(COUNTS == 0, np.nan, COUNTS * 1e-4 - 0.1)
    for band in ("B04", "B8A"):
        np.testing.assert_allclose(cube[band], expected, atol=1e-6)
        assert cube[band].dtype == np.float32
    assert np.isnan(cube.B04.values[0, 0, 0])
    assert cube.rio.crs.to_epsg() == 32632
    raw = xs.open(path, mask_and_scale=False)
    np.testing.assert_array_equal(raw.B04, COUNTS)
    assert raw.B04.add_offset == -0.1


def test_nodata_stays_nodata_through_resampling(tmp_path: Path) -> None:
    cube = xs.open(packed(), resolution=40)
    valid = np.where(COUNTS == 0, np.nan, COUNTS * 1e-4 - 0.1)
    np.testing.assert_allclose(cube.B04, block_mean(valid, 2), atol=1e-6)
    assert np.isnan(xs.open(packed(), resolution=10).B04.values[0, :2, :2]).all()


def test_zarr_is_opened_in_its_own_chunks(tmp_path: Path) -> None:
    make_cube((4, 20, 30), stored=True).chunk(time=1, y=10, x=15).s2.to_zarr(tmp_path / "c.zarr")
    assert xs.open(tmp_path / "c.zarr").B03.chunks == ((1,) * 4, (10, 10), (15, 15))
    assert xs.open(tmp_path / "c.zarr", chunks={"time": 4, "y": 20}).B03.chunks == ((4,), (20,), (15, 15))
    assert xs.open(tmp_path / "c.zarr", chunks=None).chunks == {}
    assert xs.open(str(tmp_path / "c.zarr"), chunks=None).identical(xs.open(tmp_path / "c.zarr").compute())


# ---- folders of GeoTIFFs ---------------------------------------------------------------------------------------------


def write_tif(path: Path, values: np.ndarray, *, size: float = 10, corner: tuple[float, float] = (472480, 5257490), **profile: Any) -> Path:
    layers = values if values.ndim == 3 else values[None]
    names, tags = profile.pop("names", None), profile.pop("tags", {})
    scales, offsets = profile.pop("scale", None), profile.pop("offset", 0.0)
    shape = {"count": layers.shape[0], "height": layers.shape[1], "width": layers.shape[2], "dtype": layers.dtype}
    where = {"crs": "EPSG:32632", "transform": rasterio.Affine(size, 0, corner[0], 0, -size, corner[1])}
    with rasterio.open(path, "w", driver="GTiff", **(shape | where | profile)) as dst:
        dst.write(layers)
        if names:
            dst.descriptions = names
        if scales is not None:
            dst.scales, dst.offsets = [scales] * dst.count, [offsets] * dst.count
        dst.update_tags(**tags)
    return path


@pytest.fixture(scope="module")
def pixels(zurich: Path) -> dict[str, np.ndarray]:
    """Sixty by sixty pixels of a real scene, clear farmland."""
    with rasterio.open(zurich) as file:
        window = rasterio.windows.Window(300, 500, 60, 60)
        return dict(zip(file.descriptions, file.read(window=window), strict=True))


def test_folder_of_dates_resolutions_and_aliases(tmp_path: Path, pixels: dict[str, np.ndarray]) -> None:
    scl = np.full((30, 30), 4, np.uint8)
    scl[:5] = 9
    for day, platform, shift in (("20190604", "S2B", 7), ("20190530", "S2A", 0)):
        write_tif(tmp_path / f"{platform}_{day}T103029_B2.tif", pixels["B02"] + np.uint16(shift))
        write_tif(tmp_path / f"{platform}_{day}T103029_nir.tiff", pixels["B08"] + np.uint16(shift))
        write_tif(tmp_path / f"{platform}_{day}T103029_b8a.TIF", pixels["B8A"][::2, ::2] + np.uint16(shift), size=20)
        write_tif(tmp_path / f"{platform}_{day}T103029_SCL_20m.tif", scl, size=20)
    cube = xs.open(tmp_path, resolution=20)
    assert [*cube.data_vars] == ["B02", "B08", "B8A", "SCL"]
    assert [str(t)[:19] for t in cube.time.values] == ["2019-05-30T10:30:29", "2019-06-04T10:30:29"]
    assert list(cube.platform.values) == ["S2A", "S2B"]
    np.testing.assert_allclose(cube.B02.values[1], block_mean((pixels["B02"] + 7.0) * 1e-4, 2), atol=1e-6)
    np.testing.assert_allclose(cube.B8A.values[0], pixels["B8A"][::2, ::2] * 1e-4, atol=1e-7)
    np.testing.assert_array_equal(cube.SCL.values[1], scl)
    fine = xs.open(tmp_path, resolution=10, chunks={"y": 16, "x": 16})
    np.testing.assert_array_equal(fine.SCL.values[0], scl.repeat(2, 0).repeat(2, 1))
    np.testing.assert_allclose(fine.B8A.values[1], bilinear((pixels["B8A"][::2, ::2] + 7.0) * 1e-4, 2), atol=1e-6)


def test_folder_of_scene_classes_at_another_resolution_keeps_them(tmp_path: Path, pixels: dict[str, np.ndarray]) -> None:
    write_tif(tmp_path / "20190530_B04.tif", pixels["B04"])
    write_tif(tmp_path / "20190530_SCL.tif", np.full((30, 30), 5, np.uint8), size=20)
    cube = xs.open(tmp_path, resolution=10)
    assert (cube.SCL == 5).all()
    assert cube.SCL.shape == (1, 60, 60)


def test_folder_without_any_date(tmp_path: Path, pixels: dict[str, np.ndarray]) -> None:
    folder = tmp_path / "undated"
    folder.mkdir()
    for band in ("B03", "B04"):
        write_tif(folder / f"{band}.tif", pixels[band])
    cube = xs.open(folder)
    assert [*cube.data_vars] == ["B03", "B04"]
    assert np.isnat(cube.time.values).all()
    assert "platform" not in cube.coords


def test_float_files_of_several_dates_with_nan_as_nodata(tmp_path: Path, pixels: dict[str, np.ndarray]) -> None:
    values = (pixels["B04"] * 1e-4).astype(np.float32)
    values[0, 0] = np.nan
    for day in ("20190530", "20190604"):
        write_tif(tmp_path / f"{day}_nir08.tif", values, nodata=np.nan)
    cube = xs.open(tmp_path)
    np.testing.assert_array_equal(cube.B8A.values, [values, values])


def test_scale_offset_and_date_in_the_file(tmp_path: Path, pixels: dict[str, np.ndarray]) -> None:
    counts = pixels["B04"] + np.uint16(1000)
    counts[0, 0] = 0
    stack = np.stack([counts, counts + np.uint16(5)])
    options = {"names": ("red", "swir16"), "scale": 1e-4, "offset": -0.1, "nodata": 0, "tags": {"datetime": "2022-07-01T10:20:30Z"}}
    cube = xs.open(write_tif(tmp_path / "S2C_stack.tif", stack, **options))
    expected = pixels["B04"] * 1e-4
    expected[0, 0] = np.nan
    np.testing.assert_allclose(cube.B04.values[0], expected, atol=1e-6)
    assert [*cube.data_vars] == ["B04", "B11"]
    assert str(cube.time.values[0])[:19] == "2022-07-01T10:20:30"
    assert set(np.atleast_1d(cube.platform.values)) == {"S2C"}


def test_file_name_names_the_band_where_the_description_does_not(tmp_path: Path, pixels: dict[str, np.ndarray]) -> None:
    write_tif(tmp_path / "T32TMT_20190530_B11_20m.tif", pixels["B11"], names=("surface reflectance",))
    assert [*xs.open(tmp_path).data_vars] == ["B11"]


# ---- in memory -------------------------------------------------------------------------------------------------------


def test_dataset_in_memory_is_understood_and_not_changed() -> None:
    cube = make_cube((2, 6, 6), stored=True)
    foreign = cube.rename(time="timestamp", y="lat", x="lon", B03="green", B8A="nir08").transpose("lon", "lat", "timestamp")
    foreign.attrs = {"crs": "+init=epsg:32632", "keep": "me"}
    foreign = foreign.drop_vars("spatial_ref")
    before = foreign.copy(deep=True)
    opened = xs.open(foreign)
    assert foreign.identical(before)
    assert {v: foreign[v].encoding for v in foreign.variables} == {v: before[v].encoding for v in before.variables}
    assert [*opened.data_vars] == list(BANDS_20M)
    assert opened.B03.dims == ("time", "y", "x")
    np.testing.assert_allclose(opened.B03, reflectance(cube.B03.values), atol=1e-7)
    assert opened.attrs == {"keep": "me"}
    assert opened.rio.crs.to_epsg() == 32632
    assert opened.B03.attrs["long_name"] == "green"


@pytest.mark.parametrize("dim", ["band", "bands", "variable"])
def test_dataarray_with_a_band_dimension(dim: str) -> None:
    cube = make_cube((2, 6, 5))
    array = cube.to_dataarray(dim).transpose("time", dim, "y", "x")
    opened = xs.open(array)
    assert [*opened.data_vars] == list(BANDS_20M)
    for band in BANDS_20M:
        np.testing.assert_array_equal(opened[band], cube[band])
    assert list(opened.platform.values) == ["S2A", "S2B", "S2C"][:2]


def test_dataarray_as_rioxarray_gives_it(zurich: Path) -> None:
    with rioxarray.open_rasterio(zurich, chunks={"x": 512, "y": 512}) as array:
        cube = xs.open(array.isel(x=slice(0, 50), y=slice(0, 50)))
        assert [*cube.data_vars] == TEN_BANDS
        np.testing.assert_allclose(cube.B12[:, :].values, reflectance(array[9, :50, :50].values), atol=1e-7)
        assert cube.rio.crs.to_epsg() == 32632


def test_lone_band_as_dataarray() -> None:
    cube = make_cube((1, 4, 4))
    assert [*xs.open(cube.B05.rename("rededge1")).data_vars] == ["B05"]


def test_lazy_dataset_stays_lazy_and_takes_chunks() -> None:
    cube = make_cube((2, 40, 40), stored=True).drop_vars(["platform", "sza", "vza", "raa"]).chunk(y=20)
    with raise_if_dask_computes():
        opened = xs.open(cube, resolution=40)
        assert xs.open(cube, chunks={"time": 1}).B03.chunks == ((1, 1), (20, 20), (40,))
    assert opened.B03.chunks is not None
    loaded = xs.open(cube, chunks=None)
    assert loaded.chunks == {}
    assert cube.B03.chunks is not None  # the caller's own is not loaded with it


def test_unsorted_times_are_sorted_and_noted() -> None:
    cube = make_cube((3, 4, 4))
    opened = xs.open(cube.isel(time=[2, 0, 1]))
    xr.testing.assert_equal(opened.B04, xs.open(cube).B04)
    assert opened.attrs["notes"] == "times were not in order and have been sorted"
    assert "notes" not in xs.open(cube).attrs
    assert "sorted" in opened.s2.info().notes


def test_angles_of_each_pixel_follow_the_pixels() -> None:
    cube = make_cube((1, 4, 4), stored=True)
    sza = np.arange(16, dtype=np.float32).reshape(1, 4, 4) + 30
    cube = cube.assign_coords(sza=(("time", "y", "x"), sza), vaa=(("time", "y", "x"), np.where(sza % 2, 359.0, 1.0)), saa=("time", [180.0]))
    opened = xs.open(cube, resolution=40)
    np.testing.assert_allclose(opened.sza, block_mean(sza, 2))
    assert set(np.unique(opened.vaa)) <= {1, 359}  # a mean over north would point south
    assert xs.open(cube).sza.dims == ("time", "y", "x")


def test_crs_of_cf_parameters_alone() -> None:
    cube = make_cube((1, 4, 4))
    attrs = {k: v for k, v in cube.spatial_ref.attrs.items() if k not in ("crs_wkt", "spatial_ref", "GeoTransform")}
    assert "grid_mapping_name" in attrs
    cube["spatial_ref"] = ((), 0, attrs)
    crs = xs.open(cube).rio.crs
    assert crs.is_projected
    assert crs.to_dict()["zone"] == 32 if "zone" in crs.to_dict() else crs.to_dict()["lon_0"] == 9


# ---- the dark-pixel probe --------------------------------------------------------------------------------------------


def bare_counts(low: int, shape: tuple[int, int] = (8, 8)) -> xr.Dataset:
    counts = np.full((1, *shape), low + 500, np.uint16)
    counts[..., ::2] = low
    coords = {"time": [np.datetime64("2023-01-01", "ns")], "y": 20.0 * np.arange(shape[0])[::-1], "x": 20.0 * np.arange(shape[1])}
    return xr.Dataset({"B04": (("time", "y", "x"), counts)}, coords).rio.write_crs("EPSG:32632")


@pytest.mark.parametrize(("low", "fails"), [(999, False), (1000, True), (1500, True)])
def test_counts_without_scale_are_refused_where_dark_pixels_allow_both(low: int, fails: bool) -> None:
    if fails:
        with pytest.raises(xs.UnitsError, match=rf"darkest of B04 is {low}.*offset of 1000.*scale_factor 0.0001, add_offset -0.1 or 0"):
            xs.open(bare_counts(low))
    else:
        assert float(xs.open(bare_counts(low)).B04.min()) == pytest.approx(low * 1e-4)


def test_probe_reads_few_blocks_of_a_large_file_and_all_of_an_empty_sample() -> None:
    read = set()

    def block(values: np.ndarray, block_info: Any = None) -> np.ndarray:
        if block_info:
            read.add(tuple(block_info[0]["chunk-location"]))
        return values

    big = bare_counts(100, (2000, 2000)).chunk(y=100, x=100)
    big["B04"] = big.B04.copy(data=da.map_blocks(block, big.B04.data, dtype=np.uint16, meta=np.empty((0, 0, 0), np.uint16)))
    xs.open(big)
    assert 0 < len(read) <= 64
    corner = xr.zeros_like(bare_counts(100, (1000, 1000)).astype(np.uint16))
    corner.B04[:, 100:200, 100:200] = 1600  # between the windows
    with pytest.raises(xs.UnitsError, match="darkest of B04 is 1600"):
        xs.open(corner)


def test_only_counts_without_scale_are_probed(tmp_path: Path, data: Path, zurich: Path, no_pixels: Any) -> None:
    for path in (next((data / "cubes" / "romania").glob("*10m.nc")), zurich):
        with no_pixels(), pytest.raises(AssertionError, match="pixels were read"):
            xs.open(path)
    write_tif(tmp_path / "S2A_20190530_B04.tif", np.full((8, 8), 5000, np.uint16), scale=1e-4)
    with no_pixels():
        assert xs.open(tmp_path).B04.chunks is not None


# ---- refusals --------------------------------------------------------------------------------------------------------


def parts(size: float = 20, shift: float = 0, n: int = 4, band: str = "B05", crs: str = "EPSG:32632", day: int = 1) -> xr.Dataset:
    times = [np.datetime64(f"2019-01-{day:02}", "ns")]
    coords = {"time": times, "y": 1000 - size * (np.arange(n) + 0.5) + shift, "x": size * (np.arange(n) + 0.5) + shift}
    return xr.Dataset({band: (("time", "y", "x"), np.ones((1, n, n), np.float32))}, coords).rio.write_crs(crs)


BAD: dict[str, tuple[Callable[[], Any], dict[str, Any], type[Exception], str]] = {
    "empty list": (list, {}, xs.ReadError, "nothing to open: the list of sources is empty"),
    "two grids": (lambda: [parts(), parts(10, n=8, band="B02")], {}, xs.GridError, r"grids of 10, 20 m; .*open\(\.\.\., resolution=20\)"),
    "negative resolution": (parts, {"resolution": -10}, xs.GridError, "resolution is -10; it is a pixel size in metres, such as 10 or 20"),
    "no nesting": (parts, {"resolution": 15}, xs.GridError, "pixels of 20 do not nest with 15; give a whole multiple or part of 20"),
    "shifted": (
        lambda: [parts(), parts(10, 5, n=8, band="B02")],
        {"resolution": 20},
        xs.GridError,
        "start at .* 5 apart; crop them to one corner",
    ),
    "other area": (
        lambda: [parts(), parts(10, n=6, band="B02")],
        {"resolution": 20},
        xs.GridError,
        "B05 covers 4 y × 4 x pixels but B02 covers 3 y × 3 x.*crop them to one",
    ),
    "other CRS": (
        lambda: [parts(), parts(band="B02", crs="EPSG:32633")],
        {},
        xs.GridError,
        "different CRS, EPSG:32632 and EPSG:32633; bring them to one",
    ),
    "other times": (lambda: [parts(), parts(band="B02", day=2)], {}, xs.TimeError, r"differ in 2 of their times .*select the common ones"),
    "duplicate times": (
        lambda: xr.concat([parts(), parts()], "time"),
        {},
        xs.TimeError,
        r"1 of 2 times stand more than once, such as 2019-01-01.*drop_duplicates",
    ),
    "one band twice": (
        lambda: parts().assign(rededge1=parts().B05),
        {},
        xs.BandError,
        "'B05' and 'rededge1' both mean band B05; drop or rename",
    ),
    "classes twice": (
        lambda: parts().assign(SCL=parts().B05.astype("u1"), scene_class=parts().B05.astype("u1")),
        {},
        xs.BandError,
        "SCL, scene_class all mean the scene classes; drop or rename",
    ),
    "two time dims": (
        lambda: parts().expand_dims(date=[0]),
        {},
        xs.GridError,
        "dimensions .*(time, date|date, time), which all mean time; merge or drop",
    ),
    "two stacks": (
        lambda: xr.Dataset({n: (("band", "y", "x"), np.ones((1, 2, 2))) for n in "ab"}, {"band": ["B02"]}),
        {},
        xs.GridError,
        r"several variables have a band dimension \(a, b\); open or select one",
    ),
    "band twice in a stack": (
        lambda: xr.DataArray(np.ones((2, 2, 2)), {"band": ["B02", "B02"]}, ("band", "y", "x")),
        {},
        xs.BandError,
        "B02 more than once along band; drop or rename",
    ),
    "nothing of ours": (
        lambda: xr.Dataset({"ndvi": (("y", "x"), np.ones((2, 2)))}),
        {},
        xs.ReadError,
        "holds no Sentinel-2 band, scene classes or xsentinel product; it has ndvi",
    ),
    "no CRS at all": (
        lambda: parts().drop_vars("spatial_ref").assign_attrs(crs="nonsense"),
        {},
        xs.GridError,
        r"'nonsense' is no CRS .*ds\.rio\.write_crs",
    ),
    "oblong pixels": (
        lambda: parts().assign_coords(y=1000 - 30 * np.arange(4.0)),
        {},
        xs.GridError,
        "pixels are not square: 30 by 20; warp",
    ),
    "one pixel to another size": (
        lambda: parts().isel(y=[0], x=[0]),
        {"resolution": 10},
        xs.GridError,
        "no coordinates y and x of two or more values.* 10 m out of reach",
    ),
    "integers to another size": (
        lambda: make_cube((1, 4, 4), stored=True),
        {"resolution": 10, "mask_and_scale": False},
        xs.UnitsError,
        "needs resampling, which gives fractions of counts; leave mask_and_scale=True",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_refusals_in_memory(case: str) -> None:
    make, options, kind, message = BAD[case]
    with pytest.raises(kind, match=message):
        xs.open(make(), **options)


def test_missing_path_and_unknown_forms(tmp_path: Path) -> None:
    with pytest.raises(xs.ReadError, match=r"nowhere\.zarr does not exist \(looked in .*\); check the name"):
        xs.open(tmp_path / "nowhere.zarr")
    (tmp_path / "a.txt").write_text("no cube")
    for path, what in (
        (tmp_path, r"holds no cube but 1 \.txt; xsentinel reads"),
        (tmp_path / "a.txt", "is of no form that xsentinel reads:"),
    ):
        with pytest.raises(xs.ReadError, match=rf"{what} Zarr .*; NetCDF .*; GeoTIFF"):
            xs.open(path)
    (tmp_path / "b.zip").write_bytes(b"PK no zip at all")
    with pytest.raises(xs.ReadError, match="no form"):
        xs.open(tmp_path / "b.zip")


def test_corrupt_netcdf(tmp_path: Path, site: Path) -> None:
    whole = file_of(site, "S2_L2A_20m").read_bytes()
    (tmp_path / "cut.nc").write_bytes(whole[:3000])
    (tmp_path / "text.nc").write_text("hello")
    for name in ("cut.nc", "text.nc"):
        with pytest.raises(xs.ReadError, match=rf"{name} cannot be opened as NetCDF: .*ncdump -h"):
            xs.open(tmp_path / name)


def test_truncated_geotiff(tmp_path: Path, zurich: Path) -> None:
    (tmp_path / "20190530_B02.tif").write_bytes(zurich.read_bytes()[:64])
    with pytest.raises(xs.ReadError, match=r"20190530_B02\.tif cannot be opened as GeoTIFF: .*copy or download it again"):
        xs.open(tmp_path)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_broken_zarr_metadata(tmp_path: Path, zarr_format: int) -> None:
    path = tmp_path / "cube.zarr"
    packed().to_zarr(path, zarr_format=zarr_format, consolidated=zarr_format == 2)
    broken = path / ("zarr.json" if zarr_format == 3 else ".zmetadata")
    for text in ("{", '{"zarr_format": 9, "node_type": "group"}', "[]"):
        broken.write_text(text)
        with pytest.raises(xs.ReadError, match=r"has the metadata of a Zarr group but cannot be opened: .*; write or copy it again"):
            xs.open(path)


def test_zarr_array_without_its_metadata(tmp_path: Path) -> None:
    path = tmp_path / "cube.zarr"
    packed().drop_vars("B8A").to_zarr(path, zarr_format=3, consolidated=False)
    shutil.rmtree(path / "red")
    with pytest.raises(xs.ReadError, match=r"holds no Sentinel-2 band.*it has spatial_ref"):
        xs.open(path)


def test_geotiff_without_names(tmp_path: Path, pixels: dict[str, np.ndarray]) -> None:
    write_tif(tmp_path / "20190530.tif", np.stack([pixels["B02"], pixels["B03"]]))
    with pytest.raises(xs.BandError, match=r"2 bands without descriptions, and its name tells no band; name the bands .*dst\.descriptions"):
        xs.open(tmp_path)


def test_geotiff_named_by_two_bands(tmp_path: Path, pixels: dict[str, np.ndarray]) -> None:
    write_tif(tmp_path / "B02_B03_20190530.tif", pixels["B02"])
    with pytest.raises(xs.BandError, match="its name tells B02, B03"):
        xs.open(tmp_path)


def test_geotiffs_of_one_band_and_date(tmp_path: Path, pixels: dict[str, np.ndarray]) -> None:
    for name in ("20190530_B02.tif", "20190530_blue.tif"):
        write_tif(tmp_path / name, pixels["B02"])
    with pytest.raises(xs.ReadError, match=r"blue\.tif and .*B02\.tif both hold B02 of the same or an unknown date; name files by date"):
        xs.open(tmp_path)


def test_geotiffs_of_one_band_and_no_date(tmp_path: Path, pixels: dict[str, np.ndarray]) -> None:
    folder = tmp_path / "undated"
    folder.mkdir()
    for name in ("a_B02.tif", "b_B02.tif"):
        write_tif(folder / name, pixels["B02"])
    with pytest.raises(xs.ReadError, match="both hold B02 of the same or an unknown date"):
        xs.open(folder)


def test_band_missing_at_a_date(tmp_path: Path, pixels: dict[str, np.ndarray]) -> None:
    for name in ("20190530_B02", "20190604_B02", "20190604_B03"):
        write_tif(tmp_path / f"{name}.tif", pixels["B02"])
    with pytest.raises(xs.ReadError, match="B03 is missing at 2019-05-30; add its files, or open the dates apart"):
        xs.open(tmp_path)


def test_storage_differs_between_dates(tmp_path: Path, pixels: dict[str, np.ndarray]) -> None:
    write_tif(tmp_path / "20190530_B02.tif", pixels["B02"], scale=1e-4, offset=0.0)
    write_tif(tmp_path / "20220604_B02.tif", pixels["B02"], scale=1e-4, offset=-0.1)
    with pytest.raises(xs.UnitsError, match=r"B02 has another scale, offset or nodata on some dates .*open these dates apart"):
        xs.open(tmp_path)


def test_two_platforms_of_one_date(tmp_path: Path, pixels: dict[str, np.ndarray]) -> None:
    write_tif(tmp_path / "S2A_20190530_B02.tif", pixels["B02"])
    write_tif(tmp_path / "S2B_20190530_B03.tif", pixels["B03"])
    with pytest.raises(xs.ReadError, match="files of several platforms have the date 2019-05-30; open them apart"):
        xs.open(tmp_path)


def test_float_counts_are_refused_when_used() -> None:
    cube = make_cube((1, 4, 4), gaps=0)
    counts = cube.map(lambda b: b * np.float32(10_000), keep_attrs=True).assign_coords(cube.coords)
    for ds in (xs.open(counts), counts):
        with pytest.raises(xs.UnitsError, match=r"reflectance is between 0 and 1.*divide by 10000"):
            ds.s2.lai()
    lazy = xs.open(counts.chunk()).s2.lai()
    with pytest.raises(xs.UnitsError, match="divide by 10000"):
        lazy.compute()


def test_sources_may_be_mixed(tmp_path: Path, pixels: dict[str, np.ndarray]) -> None:
    sources: Sequence[Any] = [parts(), write_tif(tmp_path / "2019-01-01_B02.tif", np.full((8, 8), 500, np.uint16), corner=(0, 1000))]
    cube = xs.open(sources, resolution=20)
    assert cube.B02.values == pytest.approx(0.05)
    assert dict(cube.sizes) == {"time": 1, "y": 4, "x": 4}
