"""`fill_gaps` as a product: dates, layers, labels, laziness, bad input, real cubes."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import xsentinel as xs
from tests.conftest import raise_if_dask_computes
from tests.cubes import make_cube
from xsentinel.gapfill import METHODS, fill_gaps

FEW = ("B04", "B8A")


def gappy(shape=(12, 5, 6), **more) -> xr.Dataset:
    """Give a cube whose bands share their gaps."""
    cube = make_cube(shape, FEW, gaps=0, **more)
    hidden = np.random.default_rng(1).uniform(size=shape) < 0.4
    missing = (np.uint16(0),) if more.get("stored") else ()
    return cube.map(lambda b: b.where(~hidden, *missing), keep_attrs=True)


def test_linear_is_that_of_numpy():
    cube = gappy()
    filled = fill_gaps(cube, "linear", layers=False)
    days = (cube.time.values - cube.time.values[0]) / np.timedelta64(1, "D")
    for band in FEW:
        for y, x in np.ndindex(5, 6):
            series = cube[band].values[:, y, x].astype(float)
            there = ~np.isnan(series)
            expected = np.interp(days, days[there], series[there], left=np.nan, right=np.nan) if there.any() else series * np.nan
            np.testing.assert_allclose(filled[band].values[:, y, x], expected, rtol=2e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("freq", [None, "4D"])
@pytest.mark.parametrize("stored", [False, True])
def test_dask_equals_numpy_to_the_bit(method, freq, stored):
    cube = gappy(stored=stored)
    whole = fill_gaps(cube, method, freq=freq)
    with raise_if_dask_computes():
        lazy = fill_gaps(cube.chunk({"time": 5, "y": 2, "x": 3}), method, freq=freq, memory_limit=2 * 10**6)
    xr.testing.assert_identical(lazy.compute(), whole)
    assert whole.B04.dtype == whole.days_to_observation.dtype == np.float32
    assert whole.filled.dtype == np.uint8


@given(st.integers(1, 12), st.integers(1, 5), st.integers(1, 6), st.sampled_from(list(METHODS)))
def test_any_chunking_gives_the_same_bits(t, y, x, method):
    cube = gappy()
    xr.testing.assert_identical(fill_gaps(cube.chunk({"time": t, "y": y, "x": x}), method).compute(), fill_gaps(cube, method))


@pytest.mark.parametrize("method", ["linear", "nearest", "cressman"])
def test_observations_stay_as_they_are(method):
    cube = gappy()
    filled = fill_gaps(cube, method)
    for band in FEW:
        np.testing.assert_array_equal(filled[band].where(cube[band].notnull()), cube[band])
    np.testing.assert_array_equal(filled.filled == 0, cube.B04.notnull())
    np.testing.assert_array_equal(filled.days_to_observation == 0, cube.B04.notnull())


def test_order_of_the_dates_is_irrelevant():
    cube = gappy()
    order = np.random.default_rng(0).permutation(12)
    xr.testing.assert_identical(fill_gaps(cube.isel(time=order)), fill_gaps(cube))


def test_own_dates_keep_what_belongs_to_them():
    cube = gappy().assign(SCL=(("time", "y", "x"), np.full((12, 5, 6), 4, np.uint8)), height=(("y", "x"), np.ones((5, 6))))
    own, regular = fill_gaps(cube), fill_gaps(cube, freq="5D")
    assert {"SCL", "height", "filled"} <= set(own.data_vars)
    assert {"platform", "sza", "spatial_ref"} <= set(own.coords)
    assert "SCL" not in regular
    assert "height" in regular
    assert regular.rio.crs == cube.rio.crs


def test_regular_dates_have_the_geometry_of_the_nearest():
    cube = gappy()
    times = cube.time.values
    between = [times[0] - np.timedelta64(9, "D"), times[3], times[3] + (times[4] - times[3]) // 4, times[-1] + np.timedelta64(1, "D")]
    regular = fill_gaps(cube, dates=between)
    assert regular.sza.values.tolist() == cube.sza.values[[0, 3, 3, -1]].tolist()
    assert regular.platform.values.tolist() == cube.platform.values[[0, 3, 3, -1]].tolist()
    assert regular.sza.attrs["cell_methods"] == "time: nearest"
    one = fill_gaps(cube.isel(time=[2]), dates=between[:2], extrapolate="nearest")
    assert one.sza.values.tolist() == cube.sza.values[[2, 2]].tolist()


def test_leaf_area_index_of_a_regular_series():
    series = xs.sample("zurich", resolution=20).isel(x=slice(0, 8), y=slice(0, 8))
    doubled = xr.concat([series.assign_coords(time=series.time + np.timedelta64(d, "D")) for d in (0, 20)], "time")
    lai = fill_gaps(doubled, freq="5D").s2.lai().lai
    assert lai.sizes["time"] == 5
    np.testing.assert_allclose(lai.isel(time=2), lai.isel(time=0), atol=2e-6)


def test_dates_of_the_result():
    cube = gappy()
    regular = fill_gaps(cube, freq="5D").time.values
    assert regular[0] == np.datetime64("2019-04-01")
    assert set(np.diff(regular)) == {np.timedelta64(5, "D")}
    given_ = fill_gaps(cube, dates=["2019-04-20", "2019-04-10"]).time.values
    np.testing.assert_array_equal(given_, pd.to_datetime(["2019-04-10", "2019-04-20"]))
    assert fill_gaps(cube, freq="5D").time.dtype == cube.time.dtype


def test_what_was_seen_on_a_day_is_the_observation_of_that_day():
    cube = gappy()
    times = pd.date_range("2020-01-01 10:53", periods=12, freq="5D")
    filled = fill_gaps(cube.assign_coords(time=times), "linear", freq="5D")
    seen = cube.B04.notnull() & cube.B8A.notnull()
    assert (filled.time.dt.hour == 0).all()
    np.testing.assert_array_equal(filled.filled == 0, seen.values)
    np.testing.assert_array_equal(filled.days_to_observation == 0, seen.values)
    np.testing.assert_array_equal(filled.B04.values[seen.values], cube.B04.values[seen.values])
    twice = cube.assign_coords(time=times.where(np.arange(12) != 1, times[0] + pd.Timedelta("1h")))
    assert float(fill_gaps(twice, "linear", freq="5D").filled.mean()) == 1


def test_products_are_filled_as_bands_are():
    cube = gappy()
    lai = xr.Dataset({"lai": cube.B04, "lai_flags": cube.B04.isnull().astype(np.uint8)}, attrs=cube.attrs)
    filled = fill_gaps(lai, "whittaker", freq="4D")
    assert list(filled.data_vars) == ["lai", "filled", "days_to_observation"]
    np.testing.assert_array_equal(filled.lai, fill_gaps(cube[["B04"]], "whittaker", freq="4D").B04)
    xr.testing.assert_identical(fill_gaps(lai.chunk(y=2), "whittaker", freq="4D").compute(), filled)
    assert list(fill_gaps(lai, "linear", layers=False).data_vars) == ["lai", "lai_flags"]


def test_max_gap_and_edges():
    cube = make_cube((4, 1, 1), ("B04",), gaps=0)
    cube["B04"][:] = np.array([np.nan, 0.2, np.nan, 0.4], np.float32)[:, None, None]
    assert fill_gaps(cube).B04.isnull().values.ravel().tolist() == [True, False, False, False]
    assert fill_gaps(cube, extrapolate="nearest").B04.values.ravel().tolist() == pytest.approx([0.2, 0.2, 0.3, 0.4])
    assert fill_gaps(cube, max_gap=9).B04.isnull().values.ravel().tolist() == [True, False, True, False]
    assert fill_gaps(cube, max_gap=10).B04.notnull().values.ravel().tolist() == [False, True, True, True]


def test_no_observation_stays_missing():
    cube = gappy().map(lambda b: b * np.nan)
    filled = fill_gaps(cube, extrapolate="nearest")
    assert filled.B04.isnull().all()
    assert (filled.filled == 1).all()
    assert filled.days_to_observation.isnull().all()


def test_labels_and_input():
    cube = gappy(stored=True)
    before, attrs = cube.copy(deep=True), copy.deepcopy(cube.B04.attrs)
    filled = fill_gaps(cube, "whittaker", lmbda=50)
    assert cube.B04.attrs == attrs
    xr.testing.assert_identical(cube, before)
    assert filled.B04.attrs["gap_filling"] == "whittaker {'lmbda': 50}"
    assert filled.B04.attrs["grid_mapping"] == "spatial_ref"
    assert "scale_factor" not in filled.B04.attrs
    assert filled.days_to_observation.attrs["units"] == "day"
    assert 0 < float(filled.B04.median()) < 1


def test_options_reach_the_method():
    cube = gappy()
    rough, smooth = (fill_gaps(cube, "whittaker", lmbda=v).B04.diff("time").std() for v in (0.1, 1e5))
    assert float(smooth) < float(rough)
    near, far = (fill_gaps(cube, "cressman", radius=r).B04 for r in (3, 100))
    assert not np.allclose(near, far, equal_nan=True)


def test_the_plan_is_printed_before_anything_runs(capsys):
    with raise_if_dask_computes():
        fill_gaps(gappy().chunk({"time": 1}), explain=True)
    assert "12 dates × 5 × 6 pixels, rechunked once, time contiguous (source chunks 1 × 5 × 6)" in capsys.readouterr().out
    fill_gaps(gappy(), explain=True)
    assert "in memory" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda c: fill_gaps(c, "spline"), xs.XSentinelError, "'spline' is not known; the methods are linear, nearest"),
        (lambda c: fill_gaps(c, "cressman", lmbda=3), xs.XSentinelError, "cressman takes no lmbda; it takes radius, weights, keep_valid"),
        (lambda c: fill_gaps(c, freq="5D", dates=["2019-04-02"]), xs.TimeError, "both given"),
        (lambda c: fill_gaps(c, freq="5 parsecs"), xs.TimeError, "'5 parsecs', which pandas does not know"),
        (lambda c: fill_gaps(c, dates=[]), xs.TimeError, "holds 0 dates"),
        (lambda c: fill_gaps(c, dates=["2019-04-02"] * 2), xs.TimeError, "1 of them repeated"),
        (lambda c: fill_gaps(c.isel(time=0)), xs.TimeError, "no dimension time"),
        (lambda c: fill_gaps(c.drop_vars(FEW)), xs.BandError, "needs at least one band"),
        (lambda c: fill_gaps(c.assign_coords(time=c.time.values[[0] * 12])), xs.TimeError, "stand more than once"),
        (lambda c: fill_gaps(c, max_gap=-1), xs.XSentinelError, "max_gap is -1"),
        (lambda c: fill_gaps(c, extrapolate="line"), xs.XSentinelError, "extrapolate is 'line'"),
        (lambda c: fill_gaps(c, "whittaker", lmbda=-1), xs.XSentinelError, "lmbda is -1"),
        (lambda c: fill_gaps(c, "savgol", window=99), xs.XSentinelError, "window"),
        (lambda c: fill_gaps(c.transpose("y", "x", "time")), xs.GridError, "transpose"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call(gappy())


def test_hidden_observations_of_a_real_cube_are_found_again(data: Path):
    # the table of all methods and bands: python -m benchmarks.accuracy
    cube = xs.open(data / "cubes" / "worldcereal" / "00002806639B424A", resolution=20, chunks=None).s2.mask_clouds()
    rng = np.random.default_rng(0)
    hide = rng.uniform(size=cube.B8A.shape) < 0.1
    seen = cube[["B8A"]].where(~hide)
    truth = cube.B8A.where(hide)
    # medians: the scene classes miss some clouds, which no filling can foresee
    climate = float(abs(seen.B8A.mean("time") - truth).median())
    for method in ("linear", "cressman", "whittaker"):
        assert float(abs(fill_gaps(seen, method, extrapolate="nearest").B8A - truth).median()) < 0.9 * climate
