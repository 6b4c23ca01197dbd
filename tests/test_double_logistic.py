"""Seasons by a fitted curve: against scipy, against the marks of the dense curve, and laws."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit

import xsentinel as xs
from tests.conftest import raise_if_dask_computes
from xsentinel.kernels.double_logistic import BISQUARE, ROUNDS, fit_seasons
from xsentinel.kernels.season_curve import FIT_MARKS, FITTED, HOW, draw_curves
from xsentinel.kernels.seasons import MARKS, season_marks

AT = {name: k for k, name in enumerate(FIT_MARKS)}
SEEDS = st.integers(0, 2**32 - 1)


def curve(t, s, r, length, q, b, up, down):
    return b + up / (1 + np.exp(-(t - s) / r)) - down / (1 + np.exp(-(t - s - length) / q))


def draw(rng: np.random.Generator) -> np.ndarray:
    """Give a season as fields have them: (S, r, A − S, q, b, c₁, c₂)."""
    up = rng.uniform(1, 5)
    return np.array([rng.uniform(90, 150), rng.uniform(5, 15), rng.uniform(80, 140), rng.uniform(5, 15), rng.uniform(0, 1), up,
                     up * rng.uniform(0.8, 1.2)])  # fmt: skip


def days_of(rng: np.random.Generator, n: int = 50) -> np.ndarray:
    """Give uneven dates of a year."""
    return np.sort(rng.choice(np.arange(0, 366), n, replace=False)).astype(float)


def fit(series: np.ndarray, days: np.ndarray, **options) -> np.ndarray:
    return fit_seasons(np.atleast_2d(series).astype(np.float32), days, np.array([0, len(days)]), 0.5, **options)[:, 0]


def shape_of(found: np.ndarray) -> np.ndarray:
    """Give (S, r, L, q, b, c₁, c₂) of what was found."""
    p = found[len(FIT_MARKS) :]
    return np.array([p[0], np.exp(p[1]), p[2], np.exp(p[3]), *p[4:]])


def slow(t: np.ndarray, y: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Fit by scipy, and again with the bisquare's weights."""
    w, found = np.ones(len(t)), first
    bounds = ([t[0] - 60, 2, 5, 2, -np.inf, 0, 0], [t[-1], 60, t[-1] - t[0] + 120, 60, np.inf, np.inf, np.inf])
    for _ in range(ROUNDS + 1):
        there = w > 0
        found, _ = curve_fit(curve, t[there], y[there], found, sigma=1 / np.sqrt(w[there]), bounds=bounds)
        rest = y - curve(t, *found)
        spread = 1.4826 * np.median(np.abs(rest)) * np.sqrt(len(t) / (len(t) - 7))
        w = np.maximum(1 - (rest / (BISQUARE * spread)) ** 2, 0) ** 2
    return found


@settings(max_examples=2)
@given(SEEDS)
def test_scipy_finds_the_same_curve(seed):
    rng = np.random.default_rng(seed)
    days, truth = days_of(rng, 60), draw(rng)
    y = (curve(days, *truth) + rng.normal(0, 0.02 * truth[5], 60)).astype(np.float32)
    found, theirs = fit(y, days)[0], slow(days, y.astype(float), truth)
    assert found[AT["fit"]] == FITTED
    ours = curve(days, *shape_of(found))
    np.testing.assert_allclose(ours, curve(days, *theirs), atol=5e-3 * truth[5])
    np.testing.assert_allclose(found[AT["rmse"]], np.sqrt(np.mean((y - curve(days, *theirs)) ** 2)), rtol=1e-2)


@given(SEEDS)
def test_a_curve_without_noise_is_found_again_and_its_marks_are_those_of_its_daily_values(seed):
    rng = np.random.default_rng(seed)
    days, truth = days_of(rng), draw(rng)
    found = fit(curve(days, *truth), days)[0]
    assert found[AT["fit"]] == FITTED
    assert found[AT["rmse"]] < 1e-4
    np.testing.assert_allclose(shape_of(found), truth, rtol=0.01, atol=0.02)
    dense = np.linspace(days[0], days[-1], 20001)
    marks = season_marks(curve(dense, *truth).astype(np.float32)[None], dense, np.array([0, 20001]), 0.5)[0, 0]
    close = {"peak": 0.5, "integral": 0.5, "base": 5e-3, "maximum": 5e-3, "amplitude": 5e-3}
    for name in MARKS:
        assert found[AT[name]] == pytest.approx(marks[AT[name]], abs=close.get(name, 0.1)), name
    inflections = truth[0], truth[0] + truth[2]
    np.testing.assert_allclose(found[[AT["greening"], AT["senescence"]]], inflections, atol=0.2)
    slopes = [np.subtract(*curve(np.array([d + 0.01, d - 0.01]), *truth)) / 0.02 for d in inflections]
    np.testing.assert_allclose(found[[AT["greening_rate"], AT["senescence_rate"]]], slopes, rtol=0.03)


@given(SEEDS, st.integers(-200, 200), st.floats(0.1, 10), st.floats(-3, 3))
def test_days_move_with_the_dates_and_levels_with_the_data(seed, shift, gain, offset):
    rng = np.random.default_rng(seed)
    days, truth = days_of(rng), draw(rng)
    y = curve(days, *truth) + rng.normal(0, 0.01 * truth[5], 50)
    plain, moved, scaled = fit(y, days)[0], fit(y, days + shift)[0], fit(gain * y + offset, days)[0]
    for name in ("start", "peak", "end", "greening", "senescence"):
        assert moved[AT[name]] == pytest.approx(plain[AT[name]] + shift, abs=0.2)
        assert scaled[AT[name]] == pytest.approx(plain[AT[name]], abs=0.2)
    for name in ("amplitude", "rmse", "greening_rate", "senescence_rate"):
        assert scaled[AT[name]] == pytest.approx(gain * plain[AT[name]], rel=0.03)
    for name in ("base", "maximum"):
        assert scaled[AT[name]] == pytest.approx(gain * plain[AT[name]] + offset, abs=0.02 * gain * truth[5])


@given(SEEDS, st.floats(0, 0.5))
def test_dates_without_data_or_weight_are_as_if_they_were_not(seed, share):
    rng = np.random.default_rng(seed)
    days, truth = days_of(rng), draw(rng)
    gaps = rng.random(50) < share
    gaps[[0, -1]] = False  # the search begins at places between the first and last date
    y = curve(days, *truth) + rng.normal(0, 0.05, 50)
    left_out = fit(y[~gaps], days[~gaps])
    np.testing.assert_array_equal(fit(np.where(gaps, np.nan, y), days), left_out)
    np.testing.assert_array_equal(fit(y, days, weights=np.where(gaps, 0, 1).astype(np.float32)[None]), left_out)
    np.testing.assert_allclose(fit(y, days, weights=np.full((1, 50), 4, np.float32)), fit(y, days), rtol=1e-2, atol=0.05)


def test_some_clouds_that_were_not_seen_move_little():
    rng = np.random.default_rng(0)
    days = np.arange(0.0, 365, 6)
    truths = [draw(rng) for _ in range(50)]
    clear = np.array([curve(days, *t) + rng.normal(0, 0.05, len(days)) for t in truths])
    cloudy = np.where(rng.random(clear.shape) < 0.08, 0.2 * clear, clear)
    moved = np.abs(fit(cloudy, days) - fit(clear, days))[:, [AT["start"], AT["end"]]]
    assert np.median(moved) < 0.5
    assert np.quantile(moved, 0.9) < 5


def test_how_it_went():
    days = np.arange(0.0, 360, 10)
    season = curve(days, 120, 9, 100, 8, 0.5, 3, 3)
    few = np.where(np.arange(36) % 5, np.nan, season)  # eight dates
    fewer = np.where(np.arange(36) % 6, np.nan, season)
    found = fit(np.stack([season, few, fewer, np.full(36, 0.4), np.linspace(0, 1, 36), np.full(36, np.nan)]), days)
    said = [HOW[int(k)] for k in found[:, AT["fit"]]]
    assert said[:4] == ["fitted", "fitted", "too_few_dates", "no_season"]
    assert said[5] == "too_few_dates"
    assert np.isnan(np.delete(found[[2, 3, 5]], AT["fit"], 1)).all()
    assert HOW[int(fit(season, days[:36])[0, AT["fit"]])] == "fitted"
    big = fit_seasons(season.astype(np.float32)[None], days, np.array([0, 36]), 0.5, 3.5)[0, 0]
    assert HOW[int(big[AT["fit"]])] == "no_season"
    assert not np.isfinite(fit_seasons(season.astype(np.float32)[None], days, np.array([36, 36]))[0, 0, 0])


def test_threads_and_neighbours_change_nothing():
    rng = np.random.default_rng(3)
    days = days_of(rng)
    series = np.array([curve(days, *draw(rng)) + rng.normal(0, 0.2, 50) for _ in range(600)])
    whole = fit(series, days)
    np.testing.assert_array_equal(fit(series, days, n_threads=2), whole)
    np.testing.assert_array_equal(fit(series[300:], days), whole[300:])


def test_curves_are_drawn_from_their_parameters():
    rng = np.random.default_rng(4)
    days, truth = days_of(rng), draw(rng)
    found = fit(curve(days, *truth), days)
    drawn = draw_curves(found[:, None, len(FIT_MARKS) :], days, np.zeros(50, np.int64))
    np.testing.assert_allclose(drawn[0], curve(days, *truth), atol=1e-4)


def maps(years: int = 2, shape: tuple[int, int] = (3, 4), seed: int = 0) -> xr.DataArray:
    """Give pixels of some years, a third of the dates missing, one pixel without any."""
    rng = np.random.default_rng(seed)
    times = pd.date_range("2018-01-01", f"{2017 + years}-12-31", freq="6D")
    day = times.day_of_year.to_numpy().astype(float)
    series = np.array([curve(day, *draw(rng)) + rng.normal(0, 0.05, len(day)) for _ in range(shape[0] * shape[1])])
    series[rng.random(series.shape) < 0.3] = np.nan
    series[0] = np.nan
    coords = {"time": times, "y": np.arange(shape[0]) * -10.0, "x": np.arange(shape[1]) * 10.0}
    values = series.T.reshape(len(day), *shape).astype(np.float32)
    return xr.DataArray(
        values, coords, ("time", "y", "x"), "lai", {"units": "m2 m-2", "long_name": "leaf area index", "standard_name": "leaf_area_index"}
    )


def test_maps_say_what_they_are():
    lai = maps()
    found = lai.s2.phenology(method="double_logistic", threshold=0.5)
    assert list(found) == list(FIT_MARKS)
    assert found.year.values.tolist() == [2018, 2019]
    assert found.start.dims == ("year", "y", "x")
    assert {found[m].dtype.name for m in FIT_MARKS[:-1]} == {"float32"}
    assert found.fit.dtype == np.uint8
    assert found.fit.attrs["flag_meanings"].split() == list(HOW)
    assert found.fit.values[:, 0, 0].tolist() == [1, 1]
    assert np.isnan(found.drop_vars("fit").isel(y=0, x=0).to_array()).all()
    assert found.greening_rate.attrs["units"] == "m2 m-2 day-1"
    assert found.rmse.attrs["units"] == "m2 m-2"
    assert found.attrs["method"] == "double_logistic"
    assert 0.03 < float(found.rmse.median()) < 0.07
    raw = lai.s2.phenology(threshold=0.5)
    assert float(np.abs(found.start - raw.start).median()) < 6
    assert "standard_name" not in found.start.attrs
    assert "Gonsamo" in found.attrs["references"]


@given(st.integers(1, 3), st.integers(1, 4), st.integers(5, 122))
@settings(max_examples=8)
def test_lazy_is_the_same_for_any_chunking(rows, columns, dates):
    lai, options = maps(), {"method": "double_logistic", "fitted": True}
    whole = lai.s2.phenology(**options)
    with raise_if_dask_computes():
        lazy = lai.chunk({"time": dates, "y": rows, "x": columns}).s2.phenology(**options)
    assert lazy.start.chunks is not None
    xr.testing.assert_identical(lazy.compute(), whole)


def test_the_curve_at_dates_of_ones_own():
    lai = maps()
    own = lai.s2.phenology(method="double_logistic", fitted=True).fitted
    assert own.dims == lai.dims
    assert own.attrs["units"] == "m2 m-2"
    assert float(np.abs(own - lai).max()) < 0.4
    assert own.isel(y=0, x=0).isnull().all()
    daily = pd.date_range("2017-12-30", "2020-01-02")
    dense = lai.s2.phenology(method="double_logistic", fitted=daily).fitted
    assert np.isnan(dense.values[[0, 1, -2, -1]]).all()
    np.testing.assert_allclose(dense.sel(time=own.time), own, atol=1e-5)
    autumn = lai.s2.phenology(method="double_logistic", first_month=9, years=(2019, 2019), fitted=True)
    assert autumn.fitted.sel(time="2018-10").notnull().any()
    assert autumn.fitted.sel(time="2018-08").isnull().all()


def test_weights_by_date_and_by_pixel():
    lai = maps()
    bad = lai.copy()
    bad[20:30] = 0
    weights = xr.ones_like(lai.time, np.float32).drop_attrs()
    weights[20:30] = 0
    kept, plain = (a.s2.phenology(method="double_logistic", weights=w) for a, w in ((bad, weights), (lai.where(weights > 0), None)))
    xr.testing.assert_identical(kept, plain)
    each = weights.broadcast_like(lai).transpose(*lai.dims).chunk(x=1)
    xr.testing.assert_identical(bad.chunk(x=1).s2.phenology(method="double_logistic", weights=each).compute(), plain)
    with pytest.raises(xs.TimeError, match="other dates"):
        lai.s2.phenology(method="double_logistic", weights=weights[1:])


def test_parcels_keep_their_outlines_and_are_written(tmp_path):
    shapes = np.array([shapely.box(k, 0, k + 1, 1) for k in range(12)])
    told = {"parcel": list("abcdefghijkl"), "geometry": ("parcel", shapes, {"crs": "EPSG:32631"})}
    fields = maps().stack(parcel=("y", "x")).drop_vars(["parcel", "y", "x"]).assign_coords(told)
    count = xr.ones_like(fields).drop_attrs()
    found = fields.s2.phenology(method="double_logistic", weights=count)
    assert found.geometry.attrs == {"crs": "EPSG:32631"}
    np.testing.assert_array_equal(found.start.values.reshape(2, 3, 4), maps().s2.phenology(method="double_logistic").start)
    found.s2.to_zarr(tmp_path / "t.zarr")
    back = xs.open(tmp_path / "t.zarr", chunks=None)
    assert back.fit.dtype == np.uint8
    xr.testing.assert_equal(back.drop_vars("geometry"), found.drop_vars("geometry"))
    (file,) = found.s2.to_file(tmp_path / "t.csv")
    assert pd.read_csv(file).fit.tolist() == found.fit.transpose("parcel", "year").values.ravel().tolist()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"method": "gaussian"}, "threshold, double_logistic"),
        ({"fitted": True}, "'threshold' fits no curve"),
        ({"weights": xr.DataArray([1.0], dims="time")}, "fits no curve; weights"),
    ],
)
def test_what_there_is_not(options, says):
    with pytest.raises(xs.XSentinelError, match=says):
        maps().s2.phenology(**options)


def test_a_romanian_forest_is_green_from_april_to_autumn():
    cube = xs.sample("romania").isel(y=slice(0, 40), x=slice(0, 40)).s2.mask_clouds(dilate=40)
    ndvi = ((cube.B08 - cube.B04) / (cube.B08 + cube.B04)).median(("y", "x"), skipna=True)
    found = ndvi.s2.phenology(method="double_logistic", threshold=0.5, years=(2018, 2018)).isel(year=0)
    assert found.fit == FITTED
    assert 85 < found.start < 130
    assert 260 < found.end < 340
    assert found.maximum > 0.75


def test_no_curve_stands_up_in_a_gap():
    rng = np.random.default_rng(7)
    days = np.r_[np.arange(15.0, 215, 8), np.arange(255.0, 330, 8)]
    series = 0.3 + 0.1 * np.exp(-(((days - 235) / 12) ** 2)) + rng.normal(0, 0.1, (300, len(days)))
    found = fit(series, days)
    drawn = draw_curves(found[:, None, len(FIT_MARKS) :], np.arange(15.0, 330), np.zeros(315, np.int64))
    span = series.max(1) - series.min(1)
    there = found[:, AT["fit"]] == FITTED
    assert there.mean() > 0.8
    assert (drawn.max(1) < series.max(1) + 0.6 * span)[there].all()
