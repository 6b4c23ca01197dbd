"""`mask_clouds` against plain numpy, on real scene classes."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xsentinel as xs
from tests.conftest import raise_if_dask_computes

HIDDEN = (0, 1, 3, 8, 9, 10)


@pytest.fixture(scope="module")
def cube() -> xr.Dataset:
    return xs.sample("romania").isel(time=slice(0, 20))


@pytest.fixture(scope="module")
def stored() -> xr.Dataset:
    return xs.sample("romania", mask_and_scale=False).isel(time=slice(0, 20))


def test_reflectance_is_nan_where_hidden(cube: xr.Dataset) -> None:
    before = cube.copy(deep=True)
    masked = cube.s2.mask_clouds()
    hidden = np.isin(cube.SCL.values, HIDDEN)
    assert 0.1 < hidden.mean() < 0.9
    for band in ("B02", "B08"):
        np.testing.assert_array_equal(masked[band].values, np.where(hidden, np.nan, cube[band].values))
        assert masked[band].dtype == np.float32
        assert masked[band].attrs == cube[band].attrs
    xr.testing.assert_identical(masked.SCL, cube.SCL)
    assert masked.attrs == cube.attrs
    xr.testing.assert_identical(masked.coords.to_dataset(), cube.coords.to_dataset())
    assert cube.identical(before)


def test_integers_take_their_fill_value(stored: xr.Dataset) -> None:
    masked = stored.s2.mask_clouds()
    hidden = np.isin(stored.SCL.values, HIDDEN)
    np.testing.assert_array_equal(masked.B04.values, np.where(hidden, 0, stored.B04.values))
    assert masked.B04.dtype == np.uint16
    assert masked.B04.attrs == stored.B04.attrs
    other = stored.assign(B04=stored.B04.drop_attrs().assign_attrs(missing_value=65535)).s2.mask_clouds()
    np.testing.assert_array_equal(other.B04.values, np.where(hidden, 65535, stored.B04.values))


@pytest.mark.parametrize("as_stored", [False, True])
def test_lazy_equals_eager(cube: xr.Dataset, stored: xr.Dataset, as_stored: bool) -> None:
    eager = stored if as_stored else cube
    with raise_if_dask_computes():
        lazy = eager.chunk(time=7, y=33).s2.mask_clouds()
    assert lazy.B02.chunks == ((7, 7, 6), (33, 33, 14), (80,))
    for band in ("B02", "SCL"):
        xr.testing.assert_identical(lazy[band].drop_vars("platform").compute(), eager.s2.mask_clouds()[band].drop_vars("platform"))


@pytest.mark.parametrize(
    ("classes", "codes"),
    [
        (["snow_or_ice"], [11]),
        ([6, "vegetation"], [6, 4]),
        ((np.int64(9),), [9]),
        ("cloud_shadow", [3]),
        (8, [8]),
        ([], []),
    ],
)
def test_classes_by_name_and_code(cube: xr.Dataset, classes: object, codes: list[int]) -> None:
    hidden = np.isin(cube.SCL.values, codes)
    masked = cube.s2.mask_clouds(classes=classes)
    np.testing.assert_array_equal(masked.B03.values, np.where(hidden, np.nan, cube.B03.values))


def test_scene_classes_that_xarray_decoded(cube: xr.Dataset) -> None:
    """Plain xarray makes NaN of class 0 where it is the fill value: still no data."""
    decoded = cube.assign(SCL=cube.SCL.where(cube.SCL != 9).astype("f4"))
    hidden = np.isin(cube.SCL.values, HIDDEN)
    np.testing.assert_array_equal(np.isnan(decoded.s2.mask_clouds().B02.values), hidden | np.isnan(cube.B02.values))


def test_radar_and_other_variables_are_left_alone(cube: xr.Dataset) -> None:
    more = cube.assign(VV=cube.B02 * 0 - 12, ndvi=cube.B08 - cube.B04)
    masked = more.s2.mask_clouds()
    xr.testing.assert_identical(masked.VV, more.VV)
    xr.testing.assert_identical(masked.ndvi, more.ndvi)


def test_errors(cube: xr.Dataset, stored: xr.Dataset) -> None:
    with pytest.raises(xs.BandError, match=r"needs the scene classification SCL; the dataset has B02.*ds\.where\(clear\)"):
        cube.drop_vars("SCL").s2.mask_clouds()
    for wrong in ("fog", 12, -1):
        with pytest.raises(xs.BandError, match=f"{wrong!r} is not a scene class; the classes are no_data, .*snow_or_ice"):
            cube.s2.mask_clouds(classes=[wrong])
    bare = stored.assign(B02=stored.B02.drop_attrs())
    with pytest.raises(xs.UnitsError, match=r"B02 holds integers without _FillValue.*assign_attrs\(_FillValue=0\)"):
        bare.s2.mask_clouds()
    coarse = cube.assign(SCL=cube.SCL.isel(y=slice(0, 40)).drop_vars("y").rename(y="v"))
    with pytest.raises(xs.GridError, match=r"SCL is .*all bands must be on one grid"):
        coarse.s2.mask_clouds()
