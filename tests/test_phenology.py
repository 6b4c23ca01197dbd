"""Seasons: against a slow twin, laws, and the calendar of a simulated landscape."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import xsentinel as xs
from tests.conftest import raise_if_dask_computes
from xsentinel.kernels.seasons import MARKS, season_marks


def slow(series: np.ndarray, days: np.ndarray, share: float) -> list[float]:
    """Give the marks of one series, one season."""
    there = np.isfinite(series)
    x, t = series[there].astype(float), days[there]
    if len(x) < 3:
        return [np.nan] * 8
    top = int(np.argmax(x))
    left, right = x[: top + 1], x[top:]
    base = (left.min() + right.min()) / 2
    if x[top] == base:
        return [np.nan] * 8
    fine = np.unique(np.concatenate([np.linspace(t[0], t[-1], 20001), t]))
    line = np.interp(fine, t, x)
    below_left = (fine < t[top]) & (line < left.min() + share * (x[top] - left.min()))
    below_right = (fine > t[top]) & (line < right.min() + share * (x[top] - right.min()))
    start = fine[below_left].max() if below_left.any() else np.nan
    end = fine[below_right].min() if below_right.any() else np.nan
    inside = (fine >= start) & (fine <= end)
    area = np.trapezoid(line[inside], fine[inside]) if inside.any() else np.nan
    return [start, t[top], end, end - start, base, x[top], x[top] - base, area]


@given(st.integers(0, 2**32 - 1), st.integers(3, 30), st.sampled_from([0.1, 0.2, 0.5, 0.9]))
def test_kernel_is_its_slow_twin(seed, n, share):
    rng = np.random.default_rng(seed)
    days = np.cumsum(rng.uniform(1, 10, n))
    series = rng.normal(size=(3, n)).astype(np.float32)
    series[rng.random(series.shape) < 0.2] = np.nan
    found = season_marks(series, days, np.array([0, n]), share)[:, 0]
    for k in range(3):
        np.testing.assert_allclose(found[k], slow(series[k], days, share), atol=0.15)


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 10), st.floats(-3, 3))
def test_gain_and_offset_move_no_day(seed, gain, offset):
    rng = np.random.default_rng(seed)
    series, days = rng.normal(size=(4, 20)).astype(np.float32), np.arange(20) * 10.0
    plain = season_marks(series, days, np.array([0, 20]))
    other = season_marks((series * np.float32(gain) + np.float32(offset)), days, np.array([0, 20]))
    np.testing.assert_allclose(other[..., :4], plain[..., :4], atol=0.05)
    np.testing.assert_allclose(other[..., 6], plain[..., 6] * gain, rtol=1e-3, atol=1e-4)


def series(years=2) -> xr.DataArray:
    """Give pixels whose season peaks on day 150, 160 … of each year."""
    times = pd.date_range("2018-01-01", f"{2018 + years - 1}-12-31", freq="5D")
    peak = 150 + 10 * np.arange(6).reshape(2, 3)
    day = times.day_of_year.to_numpy()[:, None, None]
    values = (0.5 + 4 * np.exp(-(((day - peak) / 40) ** 2))).astype(np.float32)
    coords = {"time": times, "y": [10.0, 0.0], "x": [0.0, 10.0, 20.0]}
    return xr.DataArray(values, coords, ("time", "y", "x"), "lai", {"units": "m2 m-2", "long_name": "leaf area index"})


def test_maps_of_seasons():
    found = series().s2.phenology(threshold=0.5)
    assert list(found) == list(MARKS)
    assert found.year.values.tolist() == [2018, 2019]
    assert found.start.dims == ("year", "y", "x")
    assert found.start.dtype == np.float32
    half = 40 * np.sqrt(np.log(2))
    expected = 150 + 10 * np.arange(6).reshape(2, 3)
    np.testing.assert_allclose(found.start, np.broadcast_to(expected - half, (2, 2, 3)), atol=1.5)
    np.testing.assert_allclose(found.end, np.broadcast_to(expected + half, (2, 2, 3)), atol=1.5)
    np.testing.assert_allclose(found.peak, np.broadcast_to(expected, (2, 2, 3)), atol=2.5)
    np.testing.assert_allclose(found.maximum, 4.5, atol=0.05)
    assert found.integral.attrs["units"] == "m2 m-2 day"
    assert found.start.attrs["units"] == "day of the year"


def test_lazy_and_other_dims():
    whole = series().s2.phenology()
    with raise_if_dask_computes():
        lazy = series().chunk({"time": 20, "y": 1, "x": 2}).s2.phenology()
    xr.testing.assert_identical(lazy.compute(), whole)
    table = series().stack(parcel=("y", "x")).reset_index("parcel").transpose("parcel", "time")
    np.testing.assert_array_equal(table.s2.phenology().start.values.reshape(2, 2, 3), whole.start.values)
    one = series().isel(y=0, x=1)
    np.testing.assert_array_equal(one.s2.phenology().peak.values, whole.peak.values[:, 0, 1])


def test_years_that_begin_in_autumn():
    moved = series(3)
    moved = moved.assign_coords(time=moved.time + np.timedelta64(243, "D"))  # January becomes September
    found = moved.s2.phenology(first_month=9)
    assert found.year.values.tolist() == [2019, 2020, 2021]
    assert found.first_day.values[0] == np.datetime64("2018-09-01")
    np.testing.assert_allclose(found.peak.values[0, 0], [150, 160, 170], atol=3)


def test_no_season_where_nothing_grows():
    flat = series().copy(data=np.full(series().shape, 0.4, np.float32))
    assert np.isnan(flat.s2.phenology().to_array()).all()
    assert np.isnan(series().s2.phenology(least=9).to_array()).all()
    assert series().s2.phenology(years=(2019, 2019)).year.values.tolist() == [2019]


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"threshold": 1}, xs.XSentinelError, "threshold is 1"),
        ({"first_month": 13}, xs.XSentinelError, "first_month is 13"),
        ({"years": (2025, 2026)}, xs.TimeError, "2018 to 2019"),
    ],
)
def test_bad_options(options, error, says):
    with pytest.raises(error, match=says):
        series().s2.phenology(**options)


def test_without_dates():
    with pytest.raises(xs.TimeError, match="no dimension time"):
        series().isel(time=0).s2.phenology()


def test_maize_of_a_simulated_year_comes_after_cereals():
    dates = [str(d)[:10] for d in pd.date_range("2018-01-05", "2018-12-20", freq="10D").values]
    scene = xs.simulate.landscape((96, 96), dates, seed=4, resolution=20)
    found = scene.truth["lai"].s2.phenology(least=1.0).isel(year=0).compute()
    classes = scene.truth["class"].compute()
    names = dict(zip(classes.flag_meanings.split(), classes.flag_values, strict=True))
    peak = {name: float(found.peak.where(classes == code).median()) for name, code in names.items() if name in ("winter_cereal", "maize")}
    assert 120 < peak["winter_cereal"] < 185
    assert 195 < peak["maize"] < 275
