"""`mask_clouds` and its kin against plain numpy and scipy, on real scene classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

import xsentinel as xs
from tests.conftest import raise_if_dask_computes
from tests.cubes import make_cube
from xsentinel.bands import CLOUDY_CLASSES, SCENE_CLASSES
from xsentinel.products.clouds import clear_share, drop_cloudy, mask_clouds

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
    with pytest.raises(xs.BandError, match=r"needs bands to mask; the dataset has SCL"):
        cube[["SCL"]].s2.mask_clouds()
    bare = stored.assign(B02=stored.B02.drop_attrs())
    with pytest.raises(xs.UnitsError, match=r"B02 holds integers without _FillValue.*assign_attrs\(_FillValue=0\)"):
        bare.s2.mask_clouds()
    coarse = cube.assign(SCL=cube.SCL.isel(y=slice(0, 40)).drop_vars("y").rename(y="v"))
    with pytest.raises(xs.GridError, match=r"SCL is .*all bands must be on one grid"):
        coarse.s2.mask_clouds()


# ---- distances -------------------------------------------------------------------------------------------------------


def footprint(metres: float, size: float, shape: str = "disk") -> np.ndarray:
    """Offsets within a distance, by the distance itself."""
    reach = int(metres // size) + 1
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1] * size
    return (np.hypot(dy, dx) if shape == "disk" else np.maximum(abs(dy), abs(dx))) <= metres


def dilated(mask: np.ndarray, metres: float, size: float, shape: str = "disk") -> np.ndarray:
    return ndimage.binary_dilation(mask, footprint(metres, size, shape)[None])


def eroded(mask: np.ndarray, metres: float, size: float, shape: str = "disk") -> np.ndarray:
    return ndimage.binary_erosion(mask, footprint(metres, size, shape)[None], border_value=1)


def hidden(cube: xr.Dataset, **options: object) -> np.ndarray:
    """Where `mask_clouds` hides, seen on a band without gaps."""
    full = cube.assign(B02=xr.ones_like(cube.SCL if "SCL" in cube else next(iter(cube.values())), np.float32))
    return np.isnan(mask_clouds(full, **options).B02.values)


@pytest.fixture(scope="module", params=["romania", "worldcereal"])
def real(request: pytest.FixtureRequest) -> xr.Dataset:
    if request.param == "romania":
        return xs.sample("romania")[["B02", "SCL"]].isel(time=slice(0, 30))
    data: Path = request.getfixturevalue("data")
    cube = xs.open(data / "cubes" / "worldcereal" / "00002806639B424A", resolution=10, chunks=None)
    return cube[["B02", "SCL"]].isel(time=slice(0, 30)).load()


@pytest.mark.parametrize("shape", ["disk", "square"])
@pytest.mark.parametrize(("erode", "dilate"), [(0, 25), (0, 60), (20, 0), (15, 45), (10, 200)])
def test_distances_as_scipy_does(real: xr.Dataset, erode: float, dilate: float, shape: str) -> None:
    scl = real.SCL.values
    loose = eroded(np.isin(scl, (3, 8, 9, 10)), erode, 10, shape)
    wanted = dilated(loose | (scl == 1), dilate, 10, shape) | (scl == 0)
    np.testing.assert_array_equal(hidden(real, dilate=dilate, erode=erode, shape=shape), wanted)


def test_metres_by_class(real: xr.Dataset) -> None:
    scl = real.SCL.values
    core = eroded(np.isin(scl, (3, 8, 9, 10)), 10, 10)
    wanted = dilated(core & (scl == 9), 100, 10) | dilated(core & (scl == 3), 60, 10) | np.isin(scl, (0, 1)) | core
    np.testing.assert_array_equal(hidden(real, dilate={"cloud_high_probability": 100, 3: 60}, erode=10), wanted)


def test_one_distance_for_each_class_is_that_distance(real: xr.Dataset) -> None:
    each = dict.fromkeys((c for c in CLOUDY_CLASSES if c != "no_data"), 40)
    np.testing.assert_array_equal(hidden(real, dilate=each, erode=10), hidden(real, dilate=40, erode=10))


def square_cube(scl: np.ndarray) -> xr.Dataset:
    """Scene classes on a grid of 20 m, with a band."""
    cube = make_cube((1, *scl.shape), ("B02",), gaps=0)
    return cube.assign(SCL=(("time", "y", "x"), scl[None].astype(np.uint8)))


def test_no_data_grows_only_if_asked_and_is_never_eroded() -> None:
    scl = np.full((9, 9), 4)
    scl[4, 4] = 0
    scl[0, 8] = 1
    there = (scl == 0)[None]
    np.testing.assert_array_equal(hidden(square_cube(scl), classes="no_data", dilate=60, erode=60), there)
    np.testing.assert_array_equal(hidden(square_cube(scl), classes="no_data", dilate={"no_data": 40}), dilated(there, 40, 20))
    np.testing.assert_array_equal(hidden(square_cube(scl), erode=60), np.isin(scl, (0, 1))[None])


def test_specks_vanish_and_clouds_grow_by_the_difference() -> None:
    scl = np.full((40, 40), 4)
    scl[5, 5] = 8
    scl[20:30, 20:30] = 9
    mask = hidden(square_cube(scl), erode=40, dilate=60, shape="square")[0]
    wanted = np.zeros_like(mask)
    wanted[19:31, 19:31] = True
    np.testing.assert_array_equal(mask, wanted)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 25),
    st.integers(2, 25),
    st.sampled_from([0.0, 20.0, 45.0, 130.0]),
    st.sampled_from([0.0, 20.0, 30.0]),
    st.sampled_from(["disk", "square"]),
    st.integers(5, 17),
    st.integers(5, 17),
)
def test_any_chunks_give_the_same(seed: int, height: int, width: int, dilate: float, erode: float, shape: str, cy: int, cx: int) -> None:
    rng = np.random.default_rng(seed)
    cube = make_cube((2, height, width), ("B02", "B08"), stored=bool(seed % 2), gaps=0)
    cube["SCL"] = (
        ("time", "y", "x"),
        rng.choice([0, 1, 3, 4, 5, 9], (2, height, width), p=[0.05, 0.05, 0.1, 0.3, 0.3, 0.2]).astype(np.uint8),
    )
    cube["CLD"] = ("time", "y", "x"), rng.integers(0, 101, (2, height, width)).astype(np.uint8)
    own = xr.DataArray(rng.uniform(size=(height, width)) < 0.1, dims=("y", "x"))
    options = {"dilate": {"cloud_shadow": dilate, "mask": 20, "probability": 30}, "erode": erode, "shape": shape, "mask": own}
    with raise_if_dask_computes():
        lazy = mask_clouds(cube.chunk(y=cy, x=cx), probability=97, **options)
        share = clear_share(cube.chunk(y=cy, x=cx), probability=97, **options)
    xr.testing.assert_identical(lazy.compute(), mask_clouds(cube, probability=97, **options))
    xr.testing.assert_identical(share.compute(), clear_share(cube, probability=97, **options))
    assert lazy.B02.chunks == cube.B02.chunk(y=cy, x=cx).chunks


@given(st.integers(0, 2**32 - 1), st.floats(0, 200), st.floats(0, 200), st.sets(st.sampled_from([c.meaning for c in SCENE_CLASSES])))
def test_masks_grow_with_metres_and_classes(seed: int, a: float, b: float, classes: set[str]) -> None:
    cube = square_cube(np.random.default_rng(seed).choice(12, (15, 22)))
    few, near, far = sorted(classes)[::2], min(a, b), max(a, b)
    plain = np.isin(cube.SCL.values, [c.value for c in SCENE_CLASSES if c.meaning in classes])
    first, second = (hidden(cube, classes=tuple(classes), dilate=m) for m in (near, far))
    assert (plain <= first).all()
    assert (first <= second).all()
    assert (hidden(cube, classes=few, dilate=near) <= first).all()
    assert (hidden(cube, classes=tuple(classes), dilate=near, erode=far) <= first).all()
    assert (hidden(cube, classes=tuple(classes), dilate=near) <= hidden(cube, classes=tuple(classes), dilate=near, shape="square")).all()


def test_inexact_coordinates_do_not_lose_a_pixel(cube: xr.Dataset) -> None:
    wide = cube.assign_coords(x=cube.x * (1 + 1e-9))
    np.testing.assert_array_equal(hidden(wide, dilate=60), hidden(cube, dilate=60))


def test_less_than_a_pixel_adds_nothing(cube: xr.Dataset) -> None:
    xr.testing.assert_identical(mask_clouds(cube, dilate=9.9, erode=9.9), mask_clouds(cube))


def test_one_date_without_time(cube: xr.Dataset) -> None:
    whole = mask_clouds(cube, dilate=50).isel(time=3)
    xr.testing.assert_identical(mask_clouds(cube.isel(time=3), dilate=50), whole)
    assert float(clear_share(cube.isel(time=3))) == pytest.approx(float(clear_share(cube)[3]))
    assert clear_share(cube.isel(time=3)).dims == ()


def test_input_is_unchanged(stored: xr.Dataset) -> None:
    before = stored.copy(deep=True)
    own = stored.B02 > 3000
    given_mask = own.copy(deep=True)
    mask_clouds(stored, dilate=30, erode=10, mask=own)
    drop_cloudy(stored, dilate=30, mask=own)
    assert stored.identical(before)
    assert own.identical(given_mask)


# ---- other masks -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own(cube: xr.Dataset) -> xr.DataArray:
    return cube.B02 > 0.08


def test_a_mask_joins_the_classes(cube: xr.Dataset, own: xr.DataArray) -> None:
    classes = np.isin(cube.SCL.values, HIDDEN)
    assert (own.values & ~classes).any()
    assert (~own.values & classes).any()
    np.testing.assert_array_equal(hidden(cube, mask=own), own.values | classes)
    np.testing.assert_array_equal(hidden(cube.assign(mine=own), mask="mine"), own.values | classes)
    np.testing.assert_array_equal(hidden(cube, mask=own.transpose("x", "time", "y").drop_vars(["x", "time"])), own.values | classes)


def test_a_mask_alone_needs_no_scene_classes(cube: xr.Dataset, own: xr.DataArray) -> None:
    bare = cube.drop_vars("SCL")
    np.testing.assert_array_equal(hidden(bare, classes=(), mask=own, dilate=30), dilated(own.values, 30, 10))
    np.testing.assert_array_equal(hidden(bare, classes=(), mask=own, dilate={"mask": 30}), dilated(own.values, 30, 10))
    np.testing.assert_array_equal(hidden(bare, classes=(), mask=own[2], dilate=30)[5], dilated(own.values[2:3], 30, 10)[0])
    assert not hidden(bare, classes=()).any()


def test_a_mask_of_dates_hides_them_whole(cube: xr.Dataset) -> None:
    dates = cube.time.dt.month.isin([6, 7])
    cloudy = dilated(np.isin(cube.SCL.values, (1, 3, 8, 9, 10)), 30, 10) | (cube.SCL.values == 0)
    for lazy in (False, True):
        given_cube = cube.chunk(y=30) if lazy else cube
        np.testing.assert_array_equal(hidden(given_cube, mask=dates, dilate=30), cloudy | dates.values[:, None, None])
    np.testing.assert_array_equal(hidden(cube, classes=(), mask=dates, dilate=30, erode=30)[:, 0, 0], dates)


def test_a_mask_of_places_holds_for_all_dates(cube: xr.Dataset, own: xr.DataArray) -> None:
    masked = mask_clouds(cube, classes=(), mask=own[0], dilate=20)
    assert masked.B02.dims == ("time", "y", "x")
    np.testing.assert_array_equal(np.isnan(masked.B02), np.isnan(cube.B02) | dilated(own.values[:1], 20, 10))
    share = clear_share(cube, classes=(), mask=own[0])
    np.testing.assert_array_equal(share, np.full(20, 1 - own.values[0].mean(), np.float32))


@pytest.mark.parametrize("name", ["CLD", "MSK_CLDPRB", "cld", "cloud_probability"])
def test_probability(cube: xr.Dataset, name: str) -> None:
    values = np.random.default_rng(0).integers(0, 101, cube.SCL.shape).astype(np.uint8)
    values[0, :5] = 255
    layer = xr.DataArray(values, dims=("time", "y", "x"), attrs={"_FillValue": 255})
    wanted = (values > 40) & (values != 255)
    np.testing.assert_array_equal(hidden(cube.assign({name: layer}), classes=(), probability=40), wanted)
    np.testing.assert_array_equal(hidden(cube.assign({name: layer}), classes=(), probability=40.5), wanted)
    decoded = layer.where(layer != 255).astype("f4").drop_attrs()
    np.testing.assert_array_equal(hidden(cube.assign({name: decoded}), classes=(), probability=40), wanted)
    share = (decoded / 100).assign_attrs(units="1")
    np.testing.assert_array_equal(hidden(cube.assign({name: share}), classes=(), probability=40.5), wanted)
    scaled = layer.assign_attrs(units="1", scale_factor=0.01)
    np.testing.assert_array_equal(hidden(cube.assign({name: scaled}), classes=(), probability=40), wanted)
    np.testing.assert_array_equal(
        hidden(cube.assign({name: layer}), probability=99, dilate={"probability": 30}),
        dilated((values > 99) & (values != 255), 30, 10) | np.isin(cube.SCL, HIDDEN),
    )


# ---- shares ----------------------------------------------------------------------------------------------------------


def test_clear_share_is_of_all_pixels(real: xr.Dataset) -> None:
    share = clear_share(real)
    np.testing.assert_array_equal(share.values, (1 - np.isin(real.SCL, HIDDEN).mean((1, 2))).astype(np.float32))
    assert share.dtype == np.float32
    assert share.dims == ("time",)
    assert share.name == "clear_share"
    assert share.attrs["units"] == "1"
    xr.testing.assert_identical(share.time.reset_coords(drop=True), real.time.reset_coords(drop=True))
    assert "platform" in share.coords
    np.testing.assert_array_equal(clear_share(real, classes=()), np.ones(30, np.float32))
    np.testing.assert_array_equal(clear_share(real, dilate=70), (1 - hidden(real, dilate=70).mean((1, 2))).astype(np.float32))


def test_clear_share_reads_no_band(real: xr.Dataset) -> None:
    xr.testing.assert_identical(clear_share(real[["SCL"]], dilate=30), clear_share(real, dilate=30))


def test_drop_cloudy_keeps_clear_dates(real: xr.Dataset) -> None:
    share = np.isin(real.SCL, HIDDEN).mean((1, 2))
    kept = drop_cloudy(real.assign_attrs(notes="sorted"), max=0.3)
    assert 0 < kept.sizes["time"] < 30
    wanted = real.isel(time=np.flatnonzero(share <= 0.3))
    xr.testing.assert_identical(kept.drop_attrs(deep=False), wanted.drop_attrs(deep=False))
    assert kept.attrs["notes"] == f"sorted; drop_cloudy dropped {30 - kept.sizes['time']} of 30 dates, more than 30 % hidden"
    assert kept.s2.info().notes.startswith(kept.attrs["notes"])


def test_drop_cloudy_stays_lazy_and_reads_no_band(real: xr.Dataset) -> None:
    def refuse(block: np.ndarray) -> np.ndarray:
        raise AssertionError("a band was read")

    lazy = real.chunk(time=4, y=30)
    lazy["B02"] = lazy.B02.copy(data=lazy.B02.data.map_blocks(refuse, dtype=np.float32, meta=np.empty((0, 0, 0), np.float32)))
    kept = drop_cloudy(lazy, max=0.3, dilate=30)
    assert kept.B02.chunks is not None
    np.testing.assert_array_equal(kept.time, drop_cloudy(real, max=0.3, dilate=30).time)


def test_the_limit_itself_is_kept() -> None:
    scl = np.full((2, 5), 4)
    scl[0, 0] = 9
    cube = square_cube(scl)
    xr.testing.assert_identical(drop_cloudy(cube, max=0.1), cube)
    with pytest.raises(xs.TimeError, match="none of the 1 dates has at most 9 % hidden; the least is 10 %, at 2019-04-01: raise max"):
        drop_cloudy(cube, max=0.09)


# ---- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"dilate": -1}, xs.XSentinelError, "dilate is -1; give metres, 0 or more"),
        ({"dilate": True}, xs.XSentinelError, "dilate is True; give metres"),
        ({"dilate": "60 m"}, xs.XSentinelError, "dilate is '60 m'; give metres"),
        ({"erode": np.inf}, xs.XSentinelError, "erode is inf; give metres"),
        ({"erode": np.nan}, xs.XSentinelError, "erode is nan; give metres"),
        ({"dilate": {"fog": 10}}, xs.BandError, "'fog' is not a scene class; the classes are no_data"),
        ({"dilate": {"water": 10}}, xs.XSentinelError, "dilate names 'water', which is not among what is hidden"),
        ({"dilate": {"mask": 10}}, xs.XSentinelError, "dilate names 'mask', which is not among what is hidden"),
        ({"dilate": {"cloud_shadow": 10, 3: 20}}, xs.XSentinelError, "dilate names 3 twice, with 10 and 20 m"),
        ({"dilate": {9: None}}, xs.XSentinelError, r"dilate\[9\] is None; give metres"),
        ({"shape": "circle"}, xs.XSentinelError, "shape is 'circle'; give 'disk' or 'square'"),
        ({"probability": 0.4}, xs.XSentinelError, "probability is 0.4; it is in per cent"),
        ({"probability": 101}, xs.XSentinelError, "probability is 101; it is in per cent"),
        ({"probability": 40}, xs.BandError, "needs the cloud probability CLD .*; the dataset has B02.*open it too"),
        ({"mask": "mine"}, xs.BandError, "mask 'mine' is no variable of the dataset, which has B02"),
        ({"mask": np.ones((20, 80, 80), bool)}, xs.XSentinelError, "mask is a ndarray; give an xarray.DataArray"),
        ({"mask": "SCL"}, xs.UnitsError, "mask holds uint8; give booleans, true where hidden: mask > 0"),
    ],
)
def test_what_is_refused(cube: xr.Dataset, options: dict[str, object], error: type[Exception], words: str) -> None:
    for verb in (mask_clouds, clear_share, drop_cloudy):
        with pytest.raises(error, match=words):
            verb(cube, **options)


def test_two_probabilities_are_refused(cube: xr.Dataset) -> None:
    with pytest.raises(xs.BandError, match="the dataset has both 'CLD' and 'cloud_probability'; drop one"):
        mask_clouds(cube.assign(CLD=cube.SCL, cloud_probability=cube.SCL), probability=40)


def test_masks_of_other_grids_are_refused(cube: xr.Dataset, own: xr.DataArray) -> None:
    for other in (own.isel(x=slice(0, 40)), own.rename(x="v"), own.expand_dims("band"), own.isel(x=0)):
        with pytest.raises(xs.GridError, match=r"mask is \{.*and the cube \{'time': 20, 'y': 80, 'x': 80\}"):
            mask_clouds(cube, mask=other)
    with pytest.raises(xs.GridError, match=r"coordinate 'y' runs from .* bring the mask onto the cube's, such as mask\.sel\(y=ds\.y\)"):
        mask_clouds(cube, mask=own.isel(y=slice(None, None, -1)))
    with pytest.raises(xs.TimeError, match=r"coordinate 'time' runs from .*the cube's from 2018-01-07"):
        mask_clouds(cube, mask=own.assign_coords(time=own.time + np.timedelta64(1, "D")))
    near = own.assign_coords(x=own.x + 1e-4)
    xr.testing.assert_identical(mask_clouds(cube, mask=near), mask_clouds(cube, mask=own))


def test_metres_need_a_grid_in_metres(cube: xr.Dataset) -> None:
    for options in ({"dilate": 60}, {"erode": 20}):
        with pytest.raises(xs.GridError, match=r"CRS is unknown; ds\.rio\.write_crs"):
            mask_clouds(cube.drop_vars("spatial_ref"), **options)
        with pytest.raises(xs.GridError, match=r"CRS EPSG:4326 is in degrees; bring the cube to one in metres.*estimate_utm_crs"):
            mask_clouds(cube.rio.write_crs("EPSG:4326"), **options)
        with pytest.raises(xs.GridError, match="CRS EPSG:2263 is in US survey foot"):
            mask_clouds(cube.rio.write_crs("EPSG:2263"), **options)
        with pytest.raises(xs.GridError, match="pixel size along y is unknown: it needs a coordinate 'y'"):
            mask_clouds(cube.drop_vars("y"), **options)
        with pytest.raises(xs.GridError, match=r"need square pixels, and these are 10 m × 20 m"):
            mask_clouds(cube.isel(x=slice(None, None, 2)), **options)
        with pytest.raises(xs.GridError, match="coordinate 'x' is not regular"):
            mask_clouds(cube.isel(x=[0, 1, 4, 5]), **options)
    xr.testing.assert_equal(mask_clouds(cube.drop_vars(["spatial_ref", "x", "y"])).B02.variable, mask_clouds(cube).B02.variable)


@pytest.mark.parametrize("wrong", [50, -0.1, np.nan])
def test_max_is_a_share(cube: xr.Dataset, wrong: float) -> None:
    with pytest.raises(xs.XSentinelError, match=f"max is {wrong!r}; it is the greatest share of hidden pixels, between 0 and 1"):
        drop_cloudy(cube, max=wrong)


def test_dropping_needs_dates(cube: xr.Dataset) -> None:
    with pytest.raises(xs.TimeError, match="the dataset has no dimension time"):
        drop_cloudy(cube.isel(time=0))
