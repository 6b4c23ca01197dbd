"""What is written can be read again, here and by others, and nothing is lost on the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr

import xsentinel as xs
from tests.cubes import make_cube
from xsentinel.io.write import to_netcdf, write

SHAPE = (3, 70, 50)


@pytest.fixture(scope="module")
def maps() -> xr.Dataset:
    """LAI and its flags of three dates, with all coordinates and attributes."""
    return xs.open(make_cube(SHAPE)).s2.lai()


def same_values(got: xr.Dataset, want: xr.Dataset) -> None:
    assert set(got.variables) == set(want.variables)
    assert set(got.coords) == set(want.coords)
    for name in want.variables:
        assert got[name].dims == want[name].dims, name
        assert got[name].dtype == want[name].dtype, name
        np.testing.assert_array_equal(got[name], want[name], err_msg=str(name))


def same_attrs(got: xr.Dataset, want: xr.Dataset) -> None:
    assert got.attrs == want.attrs
    for name in (*want.data_vars, "sza", "platform", "time"):
        expected = {k: v for k, v in want[name].attrs.items() if k != "grid_mapping"}
        found = dict(got[name].attrs)
        for key in ("flag_masks",):
            if key in expected:
                np.testing.assert_array_equal(found.pop(key), expected.pop(key))
        if name != "platform":
            assert found == expected, name


STORES: dict[str, Callable[[xr.Dataset, Path], Any]] = {
    "v3.zarr": lambda ds, path: ds.s2.to_zarr(path),
    "v2.zarr": lambda ds, path: ds.s2.to_zarr(path, zarr_format=2),
    "file.nc": to_netcdf,
    "by_suffix.zarr": write,
    "by_suffix.nc": write,
}


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("lazy", [False, True])
def test_maps_come_back_to_the_bit(tmp_path: Path, maps: xr.Dataset, store: str, lazy: bool) -> None:
    STORES[store](maps.chunk(time=1, y=32) if lazy else maps, tmp_path / store)
    again = xs.open(tmp_path / store, chunks=None)
    same_values(again, maps)
    same_attrs(again, maps)
    assert again.rio.crs == maps.rio.crs
    assert again.rio.transform() == maps.rio.transform()
    assert again.lai_flags.attrs["flag_masks"].dtype == np.uint8
    assert list(again.platform.values) == ["S2A", "S2B", "S2C"]
    assert [p.name for p in tmp_path.iterdir()] == [store]  # nothing else is left behind


@pytest.mark.parametrize("store", ["v3.zarr", "v2.zarr", "file.nc"])
def test_plain_xarray_reads_it(tmp_path: Path, maps: xr.Dataset, store: str) -> None:
    STORES[store](maps, tmp_path / store)
    engine = "netcdf4" if store.endswith("nc") else "zarr"
    options = {} if engine == "netcdf4" else {"consolidated": store.startswith("v2")}
    with xr.open_dataset(tmp_path / store, engine=engine, decode_coords="all", **options) as plain:
        np.testing.assert_array_equal(plain.lai, maps.lai)
        assert plain.lai.dtype == np.float32
        assert plain.lai_flags.dtype == np.uint8
        assert plain.lai.attrs["units"] == "m2 m-2"
        assert plain.lai.attrs["standard_name"] == "leaf_area_index"
        assert plain.lai.attrs["ancillary_variables"] == "lai_flags"
        assert plain.lai.attrs["coefficients_digest"] == maps.coefficients_digest
        assert plain.lai.encoding["grid_mapping"] == "spatial_ref"
        assert plain.rio.crs.to_epsg() == 32632
        assert "spatial_ref" in plain.coords
        np.testing.assert_array_equal(plain.time, maps.time)


@pytest.mark.parametrize("store", ["v3.zarr", "v2.zarr", "file.nc"])
def test_counts_stay_counts_with_their_storage(tmp_path: Path, store: str) -> None:
    cube = make_cube(SHAPE, stored=True)
    cube = cube.assign(B03=cube.B03.assign_attrs(add_offset=-0.1))
    STORES[store](xs.open(cube, mask_and_scale=False), tmp_path / store)
    again = xs.open(tmp_path / store, mask_and_scale=False, chunks=None)
    for band in cube.data_vars:
        assert again[band].dtype == np.uint16
        np.testing.assert_array_equal(again[band], cube[band])
        assert {k: float(again[band].attrs[k]) for k in ("scale_factor", "add_offset", "_FillValue")} == {
            "scale_factor": 1e-4,
            "add_offset": -0.1 if band == "B03" else 0.0,
            "_FillValue": 0.0,
        }
    expected = np.where(cube.B03 == 0, np.nan, cube.B03.values * 1e-4 - 0.1)
    np.testing.assert_allclose(xs.open(tmp_path / store).B03, expected, atol=1e-6)


def test_a_cube_that_was_read_can_be_written_again(tmp_path: Path, maps: xr.Dataset) -> None:
    maps.s2.to_zarr(tmp_path / "a.zarr")
    xs.open(tmp_path / "a.zarr").s2.to_zarr(tmp_path / "b.zarr")
    to_netcdf(xs.open(tmp_path / "b.zarr"), tmp_path / "c.nc")
    xs.open(tmp_path / "c.nc").s2.to_zarr(tmp_path / "d.zarr", zarr_format=2)
    again = xs.open(tmp_path / "d.zarr", chunks=None)
    same_values(again, maps)
    same_attrs(again, maps)


def test_zarr_chunks_are_those_of_dask_made_regular(tmp_path: Path, maps: xr.Dataset) -> None:
    maps.chunk(time=1, y=(30, 20, 20), x=25).s2.to_zarr(tmp_path / "even.zarr")
    assert xs.open(tmp_path / "even.zarr").lai.chunks == ((1, 1, 1), (30, 30, 10), (25, 25))
    ragged = maps.chunk(y=(10, 40, 20), x=(20, 30))
    ragged.s2.to_zarr(tmp_path / "ragged.zarr")
    again = xs.open(tmp_path / "ragged.zarr")
    assert again.lai.chunks == ((3,), (40, 30), (30, 20))
    np.testing.assert_array_equal(again.lai, maps.lai)
    maps.assign(lai=maps.lai.chunk(y=7), lai_flags=maps.lai_flags.chunk(y=10)).s2.to_zarr(tmp_path / "each.zarr")
    np.testing.assert_array_equal(xs.open(tmp_path / "each.zarr").lai_flags, maps.lai_flags)


def test_numpy_arrays_are_cut_into_bounded_chunks(tmp_path: Path) -> None:
    values = np.zeros((20, 1030, 1030), np.uint8)
    coords = {"y": -10.0 * np.arange(1030), "x": 10.0 * np.arange(1030)}
    xr.Dataset({"SCL": (("time", "y", "x"), values)}, coords).s2.to_zarr(tmp_path / "c.zarr")
    assert xs.open(tmp_path / "c.zarr").SCL.chunks == ((4,) * 5, (1024, 6), (1024, 6))


WRITERS: dict[str, Callable[..., Any]] = {"a.zarr": lambda ds, path, **k: ds.s2.to_zarr(path, **k), "a.nc": to_netcdf, "a.tif": write}


@pytest.mark.parametrize("name", WRITERS)
def test_overwrite_is_refused_or_allowed(tmp_path: Path, maps: xr.Dataset, name: str) -> None:
    path, one = tmp_path / "new" / name, maps.isel(time=0)
    WRITERS[name](one, path)
    with pytest.raises(xs.WriteError, match=rf"{name} exists; give another name, or overwrite=True \(--overwrite\)"):
        WRITERS[name](one, path)
    twice = one.assign(lai=one.lai * 2)
    WRITERS[name](twice, path, overwrite=True)
    np.testing.assert_array_equal(xs.open(path).lai.values.squeeze(), twice.lai)


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_being_read_may_be_replaced(tmp_path: Path, maps: xr.Dataset, name: str) -> None:
    path = tmp_path / name
    WRITERS[name](maps, path)
    lazy = xs.open(path, chunks={})
    WRITERS[name](lazy.assign(lai=(lazy.lai + 1).assign_attrs(lazy.lai.attrs)), path, overwrite=True)
    np.testing.assert_array_equal(xs.open(path).lai, maps.lai + 1)


@pytest.mark.parametrize("name", WRITERS)
def test_a_failed_write_leaves_the_old_file_and_no_debris(tmp_path: Path, maps: xr.Dataset, name: str) -> None:
    def fail(block: np.ndarray) -> np.ndarray:
        if block.size > 1:
            raise OSError(28, "No space left on device")
        return block

    path = tmp_path / name
    WRITERS[name](maps[["lai"]], path)
    broken = maps[["lai"]].chunk().map(lambda v: v.copy(data=v.data.map_blocks(fail, dtype=v.dtype, meta=v.data._meta)))
    broken.lai.attrs = maps.lai.attrs
    with pytest.raises(xs.WriteError, match=r"could not be written: .*No space left.*disk has space"):
        WRITERS[name](broken.assign_attrs(maps.attrs), path, overwrite=True)
    np.testing.assert_array_equal(xs.open(path).lai, maps.lai)
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", WRITERS)
def test_unwritable_folder(tmp_path: Path, maps: xr.Dataset, name: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(xs.WriteError, match=rf"file/{name} could not be written: .*check that its folder may be written to"):
        WRITERS[name](maps, tmp_path / "file" / name)


def test_a_folder_that_is_no_store_is_never_replaced(tmp_path: Path, maps: xr.Dataset) -> None:
    home = tmp_path / "home.zarr"
    home.mkdir()
    (home / "thesis.txt").write_text("years of work")
    with pytest.raises(xs.WriteError, match=r"home\.zarr is a folder but no Zarr store, so it is not replaced"):
        maps.s2.to_zarr(home, overwrite=True)
    assert (home / "thesis.txt").read_text() == "years of work"


def test_unknown_suffix(tmp_path: Path, maps: xr.Dataset) -> None:
    with pytest.raises(xs.WriteError, match=r"suffix '\.png'; end it in \.zarr, \.tif or \.nc"):
        write(maps, tmp_path / "lai.png")
    with pytest.raises(xs.WriteError, match=r"suffix ''; end it in \.tif"):
        maps.s2.to_cog(tmp_path / "lai")
    assert not list(tmp_path.iterdir())


def test_input_is_unchanged_by_writing(tmp_path: Path, maps: xr.Dataset) -> None:
    ds = maps.assign_attrs(odd={"a": None}, sure=True)
    before = ds.copy(deep=True)
    encodings = {v: dict(ds[v].encoding) for v in ds.variables}
    for name in WRITERS:
        WRITERS[name](ds, tmp_path / name)
    assert ds.identical(before)
    assert {v: ds[v].encoding for v in ds.variables} == encodings
    assert ds.attrs["odd"] == {"a": None}
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        assert (file.odd, file.sure) == ('{"a": null}', "true")


# ---- Cloud-Optimised GeoTIFF -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large() -> xr.Dataset:
    """Two dates, large enough for overviews."""
    return xs.open(make_cube((2, 700, 600), gaps=0.02)).s2.lai()


@pytest.fixture(scope="module")
def cog(large: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cog") / "map.tif"
    files = large.s2.to_cog(path)
    assert files == [str(path), str(path.with_name("map_flags.tif"))]
    return path


def test_cog_is_one_by_the_words_of_rasterio(cog: Path, large: xr.Dataset) -> None:
    with rasterio.open(cog) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.profile["tiled"]
        assert file.block_shapes == [(512, 512)] * 2
        assert file.overviews(1) == [2]
        assert file.dtypes == ("float32", "float32")
        assert np.isnan(file.nodata)
        assert file.descriptions == ("lai 2019-04-01T10:30:00", "lai 2019-04-06T10:30:00")
        assert file.units == ("m2 m-2", "m2 m-2")
        assert file.crs.to_epsg() == 32632
        assert file.transform == large.rio.transform()
        tags = file.tags()
        assert tags["standard_name"] == "leaf_area_index"
        assert tags["coefficients_digest"] == large.coefficients_digest
        assert "datetime" not in tags
        np.testing.assert_array_equal(file.read(), large.lai)
        half = file.read(1, out_shape=(350, 300), resampling=rasterio.enums.Resampling.nearest)
    cells = large.lai.values[0].reshape(350, 2, 300, 2)
    n = np.isfinite(cells).sum((1, 3))
    means = np.where(n, np.nansum(cells, (1, 3)) / np.maximum(n, 1), np.nan)
    np.testing.assert_allclose(half, means, atol=1e-4)


def test_cog_is_one_by_the_words_of_rio_cogeo(cog: Path) -> None:
    from rio_cogeo import cog_validate

    for path in (cog, cog.with_name("map_flags.tif")):
        assert cog_validate(path, strict=True) == (True, [], [])


def test_cog_of_flags(cog: Path, large: xr.Dataset) -> None:
    with rasterio.open(cog.with_name("map_flags.tif")) as file:
        assert file.dtypes == ("uint8", "uint8")
        assert file.nodata is None
        assert file.tags()["flag_masks"] == "1 2 4 8 16 32 64"
        assert file.tags()["xsentinel_version"] == xs.__version__
        np.testing.assert_array_equal(file.read(), large.lai_flags)
        half = file.read(1, out_shape=(350, 300))
    assert set(np.unique(half)) <= set(np.unique(large.lai_flags))  # no means of bits


def test_cog_comes_back_as_maps(cog: Path, large: xr.Dataset) -> None:
    again = xs.open([cog, cog.with_name("map_flags.tif")], chunks=None)
    np.testing.assert_array_equal(again.lai, large.lai)
    np.testing.assert_array_equal(again.lai_flags, large.lai_flags)
    np.testing.assert_array_equal(again.time, large.time)
    for key in ("units", "standard_name", "long_name", "ancillary_variables", "coefficients_digest"):
        assert again.lai.attrs[key] == large.lai.attrs[key]
    np.testing.assert_array_equal(again.lai_flags.attrs["flag_masks"], large.lai_flags.attrs["flag_masks"])
    assert again.attrs == large.attrs
    with rioxarray.open_rasterio(cog, masked=True) as plain:
        np.testing.assert_array_equal(plain, large.lai)


def test_cog_of_dask_and_ragged_chunks_is_equal(tmp_path: Path, cog: Path, large: xr.Dataset) -> None:
    large.chunk(time=1, y=(100, 350, 250), x=(599, 1)).s2.to_cog(tmp_path / "map.tif")
    for name in ("map.tif", "map_flags.tif"):
        assert (tmp_path / name).read_bytes() == cog.with_name(name).read_bytes()


def test_cog_of_one_date_and_of_an_array(tmp_path: Path, maps: xr.Dataset) -> None:
    for name, layer in (("one", maps.lai.isel(time=[1])), ("scalar", maps.lai.isel(time=1)), ("none", maps.lai.isel(time=1, drop=True))):
        path = tmp_path / f"{name}.tif"
        assert layer.s2.to_cog(path) == [str(path)]
        with rasterio.open(path) as file:
            assert file.descriptions == ("lai",)
            assert file.tags().get("datetime", "none")[:19] == ("none" if name == "none" else "2019-04-06T10:30:00")
            np.testing.assert_array_equal(file.read(1), maps.lai[1])
    assert xs.open(tmp_path / "scalar.tif").time.values[0] == maps.time.values[1]


@pytest.mark.parametrize("lazy", [False, True])
def test_a_cube_of_one_date_is_one_file_of_its_bands(tmp_path: Path, lazy: bool) -> None:
    cube = xs.sample("zurich", mask_and_scale=not lazy, chunks="auto" if lazy else None).isel(y=slice(70))
    cube = cube.assign(SCL=xr.zeros_like(cube.B04, np.uint8).assign_attrs({}))
    files = cube.s2.to_cog(tmp_path / "cube.tif")
    assert [Path(f).name for f in files] == ["cube.tif", "cube_SCL.tif"]
    back = xs.open(files[0], mask_and_scale=not lazy)
    assert list(back.data_vars) == [v for v in cube.data_vars if v != "SCL"]
    assert back.time.values == cube.time.values
    for band in back.data_vars:
        np.testing.assert_array_equal(back[band].values.squeeze(), cube[band].values.squeeze())
        assert back[band].attrs.get("scale_factor") == cube[band].attrs.get("scale_factor")


def test_cog_of_counts_keeps_scale_and_nodata(tmp_path: Path) -> None:
    cube = make_cube((2, 8, 8), stored=True)
    cube = cube.assign(B03=cube.B03.assign_attrs(add_offset=-0.1))
    files = cube[["B03", "B04"]].s2.to_cog(tmp_path / "cube.tif")
    assert [Path(f).name for f in files] == ["cube.tif", "cube_B04.tif"]
    with rasterio.open(files[0]) as file:
        assert (file.scales, file.offsets, file.nodata) == ((1e-4, 1e-4), (-0.1, -0.1), 0)
    again = xs.open(files, mask_and_scale=False)
    for band in ("B03", "B04"):
        np.testing.assert_array_equal(again[band], cube[band])
        assert again[band].attrs["add_offset"] == cube[band].attrs["add_offset"]


def test_south_up_and_turned_input_is_brought_north_up(tmp_path: Path, maps: xr.Dataset) -> None:
    turned = maps.isel(y=slice(None, None, -1), x=slice(None, None, -1)).transpose("x", "time", "y")
    turned.lai.s2.to_cog(tmp_path / "a.tif")
    with rasterio.open(tmp_path / "a.tif") as file:
        assert file.transform == maps.rio.transform()
        np.testing.assert_array_equal(file.read(), maps.lai)


def test_packed_cog_tells_its_scale(tmp_path: Path, maps: xr.Dataset) -> None:
    maps.lai.s2.to_cog(tmp_path / "a.tif", pack="int16")
    with rasterio.open(tmp_path / "a.tif") as file:
        assert (file.dtypes[0], file.nodata, file.scales[0], file.offsets[0]) == ("int16", -32768, 1e-3, 0)
    np.testing.assert_allclose(xs.open(tmp_path / "a.tif").lai.values, maps.lai.values, atol=5.1e-4)


def test_cog_names_that_would_clash_are_told_apart(tmp_path: Path, maps: xr.Dataset) -> None:
    files = maps.assign(flags=maps.lai_flags).isel(time=0).s2.to_cog(tmp_path / "a.tif")
    assert [Path(f).name for f in files] == ["a.tif", "a_lai_flags.tif", "a_flags.tif"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.drop_vars("spatial_ref"), r"lai has no CRS, which a GeoTIFF needs: ds\.rio\.write_crs"),
        (lambda m: m.expand_dims(model=2), "lai has the dimension model; a GeoTIFF has bands for time only: select one of it"),
        (lambda m: m.isel(y=[0]), "lai cannot be placed on the map: the pixel size along y is unknown"),
        (lambda m: m.mean("y"), "nothing to write: no variable has dims y and x among lai, lai_flags"),
    ],
)
def test_what_a_geotiff_cannot_hold(tmp_path: Path, maps: xr.Dataset, change: Callable[[xr.Dataset], xr.Dataset], message: str) -> None:
    with pytest.raises(xs.GridError, match=message):
        change(maps).s2.to_cog(tmp_path / "a.tif")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["lai.tif", "q.NC", "fields.csv"])
def test_a_zarr_store_has_no_name_of_another_form(tmp_path: Path, maps: xr.Dataset, name: str) -> None:
    with pytest.raises(xs.WriteError, match=rf"{name} is to be a Zarr store, and .* promises another form; name it .*\.zarr"):
        maps.s2.to_zarr(tmp_path / name)
    with pytest.raises(xs.WriteError, match="is to be a Zarr store"):
        xs.run(maps.chunk(), tmp_path / name)
    assert not list(tmp_path.iterdir())
