"""`composite` as a product: periods, methods, labels, laziness, bad input, real cubes."""

from __future__ import annotations

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
from xsentinel.composite import METHODS, composite, group_dates

BANDS = ("B02", "B04", "B8A")


def year(shape=(30, 4, 5), **more) -> xr.Dataset:
    cube = make_cube(shape, BANDS, gaps=0, **more)
    hidden = np.random.default_rng(2).uniform(size=shape) < 0.5
    missing = (np.uint16(0),) if more.get("stored") else ()
    times = pd.date_range("2019-01-03T10:30", periods=shape[0], freq="12D").to_numpy()
    return cube.map(lambda b: b.where(~hidden, *missing), keep_attrs=True).assign_coords(time=times)


@pytest.mark.filterwarnings("ignore:.*(All-NaN|Mean of empty).*:RuntimeWarning")
@pytest.mark.parametrize("method", ["median", "mean"])
def test_months_are_those_of_numpy(method):
    cube = year()
    out = composite(cube, "MS", method=method)
    assert out.sizes["time"] == 12
    for i, start in enumerate(out.time.values):
        of_month = cube.sel(time=cube.time.dt.month == pd.Timestamp(start).month)
        for band in BANDS:
            np.testing.assert_allclose(out[band][i], getattr(np, f"nan{method}")(of_month[band], 0), rtol=3e-6)
        np.testing.assert_array_equal(out.n_obs[i], of_month.B04.notnull().sum("time"))


def score(cube: xr.Dataset) -> dict:
    return {"score": -cube.B02}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stored", [False, True])
def test_dask_equals_numpy_to_the_bit(method, stored):
    cube = year(stored=stored)
    scores = -year().B02.fillna(9)
    whole = composite(cube, "QS-DEC", method=method, score=scores if method == "best" else None)
    lazy_cube = cube.chunk({"time": 7, "y": 2, "x": 3})
    with raise_if_dask_computes():
        lazy = composite(lazy_cube, "QS-DEC", method=method, score=scores.chunk() if method == "best" else None)
    xr.testing.assert_identical(lazy.compute(), whole)
    assert whole.B04.dtype == np.float32
    assert whole.n_obs.dtype == np.uint16


@given(st.integers(1, 30), st.integers(1, 4), st.integers(1, 5), st.sampled_from(["median", "geomedian", "max"]))
def test_any_chunking_gives_the_same_bits(t, y, x, method):
    cube = year()
    chunked = cube.chunk({"time": t, "y": y, "x": x})
    xr.testing.assert_identical(composite(chunked, method=method).compute(), composite(cube, method=method))


@pytest.mark.parametrize("method", ["median", "mean", "geomedian", "medoid", "max"])
def test_a_composite_lies_between_least_and_greatest(method):
    cube = year()
    out = composite(cube, "YS", method=method)
    for band in BANDS:
        assert (out[band].isel(time=0) <= cube[band].max("time") + 1e-6).all()
        assert (out[band].isel(time=0) >= cube[band].min("time") - 1e-6).all()


@pytest.mark.parametrize("method", ["median", "mean", "geomedian", "max"])
def test_order_of_the_dates_is_irrelevant(method):
    cube = year()
    order = np.random.default_rng(0).permutation(30)
    a, b = composite(cube.isel(time=order), method=method), composite(cube, method=method)
    for band in BANDS:
        np.testing.assert_allclose(a[band], b[band], atol=3e-4 if method == "geomedian" else 1e-6)


def test_max_takes_the_greenest_date_whole():
    cube = year()
    out = composite(cube, "YS", method="max")
    ndvi = (cube.B8A - cube.B04) / (cube.B8A + cube.B04)
    best = ndvi.fillna(-9).argmax("time")
    np.testing.assert_array_equal(out.date_index[0], best)
    for band in BANDS:
        np.testing.assert_array_equal(out[band][0], cube[band].isel(time=best))


def test_counts_and_reflectance_agree():
    counts, floats = year(stored=True), year()
    for method in ("median", "geomedian", "medoid"):
        a, b = composite(counts, method=method), composite(floats, method=method)
        np.testing.assert_allclose(a.B04, b.B04, atol=2e-4 if method == "geomedian" else 1e-6)
        np.testing.assert_array_equal(a.n_obs, b.n_obs)


@pytest.mark.parametrize(
    ("freq", "starts"),
    [
        ("MS", ["2019-01-01", "2019-02-01", "2019-03-01"]),
        ("QS-DEC", ["2018-12-01", "2019-03-01"]),
        ("YS", ["2019-01-01"]),
        ("30D", ["2019-01-05", "2019-02-04", "2019-03-06"]),
        (["2019-01-01", "2019-01-20", "2019-06-01"], ["2019-01-01", "2019-01-20"]),
    ],
)
def test_periods(freq, starts):
    times = pd.DatetimeIndex([pd.Timestamp(t) for t in ("2019-01-05", "2019-01-31T23:59", "2019-03-14")])
    groups = group_dates(xr.Dataset(coords={"time": times}), freq)
    np.testing.assert_array_equal(groups.starts, pd.to_datetime(starts))
    for date, group in zip(times, groups.of_date, strict=True):
        assert groups.starts[group] <= date.to_datetime64() < groups.ends[group]


def test_dates_outside_given_edges_are_not_used():
    out = composite(year(), ["2019-03-01", "2019-05-01"], method="mean")
    inside = year().sel(time=slice("2019-03-01", "2019-04-30"))
    np.testing.assert_array_equal(out.n_obs[0], inside.B04.notnull().sum("time"))


def test_a_month_without_dates_is_nan_and_said():
    cube = year()
    cube = cube.sel(time=cube.time.dt.month != 6)
    out = composite(cube)
    assert out.B04.sel(time="2019-06-01").isnull().all()
    assert (out.n_obs.sel(time="2019-06-01") == 0).all()
    assert out.notes == "1 of 12 periods have no date and are NaN"


def test_labels():
    cube = year(stored=True).assign(height=(("y", "x"), np.ones((4, 5))))
    out = composite(cube, method="geomedian")
    assert set(out.data_vars) == {*BANDS, "smad", "emad", "bcmad", "n_obs", "height"}
    assert out.rio.crs == cube.rio.crs
    assert out.B04.attrs["cell_methods"] == "time: geomedian"
    assert out.B04.attrs["grid_mapping"] == "spatial_ref"
    assert "scale_factor" not in out.B04.attrs
    assert (out.period_end.values[:-1] == out.time.values[1:]).all()
    assert set(out.platform.values) <= set(cube.platform.values)


def test_angles_and_platform_of_periods():
    cube = year()
    n = cube.sizes["time"]
    platforms = np.where(np.arange(n) % 3 == 0, "S2B", "S2A")
    cube = cube.assign_coords(sza=("time", np.linspace(20, 60, n, dtype=np.float32)), vza=5.0, platform=("time", platforms))
    cube = cube.sel(time=cube.time.dt.month != 6)
    out = composite(cube)
    expected = cube.sza.groupby("time.month").mean()
    np.testing.assert_allclose(out.sza.values[[0, 11]], expected.values[[0, -1]], rtol=1e-5)
    assert out.sza.values[5] == pytest.approx(float(cube.sza.mean()), rel=1e-5)  # no date in June
    assert out.sza.dtype == np.float32
    assert out.vza.item() == 5
    assert out.platform.values.tolist() == ["S2A"] * 12
    per_pixel = cube.assign_coords(sza=(("time", "y", "x"), np.broadcast_to(cube.sza.values[:, None, None], cube.B04.shape)))
    np.testing.assert_allclose(composite(per_pixel.chunk(y=2)).sza[0], out.sza[0], rtol=1e-5)


def test_the_plan_is_printed(capsys):
    composite(year().chunk({"time": 1}), explain=True)
    assert "30 dates × 4 × 5 pixels, rechunked once" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda c: composite(c, method="mode"), xs.XSentinelError, "'mode' is not known; the methods are median, mean"),
        (lambda c: composite(c, method="best"), xs.XSentinelError, "needs a score .found None.*score=ds.s2.index"),
        (lambda c: composite(c, "best of"), xs.TimeError, "'best of', which pandas does not know"),
        (lambda c: composite(c, ["2019-01-01", "soon"]), xs.TimeError, "'soon' is no date"),
        (lambda c: composite(c, ["2019-01-01"]), xs.TimeError, "edges of the periods are 1 dates"),
        (lambda c: composite(c, ["2019-03-01", "2019-01-01"]), xs.TimeError, "each later than the one before"),
        (lambda c: composite(c.isel(time=0)), xs.TimeError, "no dimension time"),
        (lambda c: composite(c.isel(time=slice(0, 0))), xs.TimeError, "no dimension time"),
        (lambda c: composite(c[["spatial_ref"]]), xs.BandError, "at least one band"),
        (lambda c: composite(c.drop_vars("B04"), method="max"), xs.BandError, "NDVI needs B04"),
        (lambda c: composite(c.assign_coords(time=c.time.where(c.time > c.time[3]).values)), xs.TimeError, "4 of 30 times are unknown"),
        (lambda c: composite(c.transpose("y", "x", "time")), xs.GridError, "transpose"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call(year())


def test_real_months_lie_among_the_clear_values(data: Path):
    cube = xs.open(data / "cubes" / "romania", resolution=10).s2.mask_clouds()
    monthly = composite(cube, "MS").compute()
    assert monthly.sizes["time"] == 66
    some = monthly.isel(time=int(monthly.n_obs.mean(("y", "x")).argmax("time")))
    dates = cube.sel(time=slice(some.time.values, some.period_end.values - np.timedelta64(1, "ns"))).compute()
    np.testing.assert_allclose(some.B04, dates.B04.median("time"), rtol=1e-6)
    assert int(some.n_obs.max()) == int(dates.B04.notnull().sum("time").max())


def test_best_keeps_away_from_clouds():
    cube = make_cube((2, 40, 60), BANDS, gaps=0)
    scl = np.full((2, 40, 60), 4, np.uint8)
    scl[0, :, :20], scl[1, :, -5:] = 9, 9
    cube = cube.assign({b: cube[b] * 0 + v for b, v in zip(BANDS, (0.05, 0.06, 0.3), strict=True)})
    cube = cube.assign(SCL=(("time", "y", "x"), scl))
    whole = composite(cube, "YS", method="best")
    taken = whole.date_index.isel(time=0)
    assert (taken[:, :35] == 1).all()  # nearer to the great cloud of the first date than to the small one of the second
    assert (taken[:, -8:] == 0).all()
    xr.testing.assert_identical(composite(cube.chunk({"y": 17, "x": 23}), "YS", method="best").compute(), whole)


def test_best_keeps_away_from_haze():
    cube = make_cube((2, 5, 6), BANDS, gaps=0)
    values = {"B02": [0.05, 0.15], "B04": [0.06, 0.14], "B8A": [0.3, 0.3]}
    cube = cube.assign({b: cube[b] * 0 + xr.DataArray(np.float32(v), dims="time") for b, v in values.items()})
    cube = cube.assign(SCL=(("time", "y", "x"), np.full((2, 5, 6), 4, np.uint8)))
    assert (composite(cube, "YS", method="best").date_index == 0).all()
    assert (composite(cube.isel(time=[1, 0]), "YS", method="best").date_index == 1).all()
