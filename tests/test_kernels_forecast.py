"""Forecasts that learn nothing, beside slow twins, and their laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xsentinel.kernels.forecast import (
    BASELINES,
    YEAR,
    forecast_climatology,
    forecast_harmonic,
    forecast_koopman,
    forecast_persistence,
    season_mean,
    spectral_angle,
)


def past(n_times=150, n_bands=2, n_series=5, gaps=0.3, seed=0):
    rng = np.random.default_rng(seed)
    t = 17_000 + np.cumsum(rng.integers(2, 12, n_times)).astype(float)
    season = np.cos(2 * np.pi * t / YEAR)[:, None, None]
    y = 0.3 + 0.1 * season * rng.uniform(0.5, 1.5, (1, n_bands, n_series)) + rng.normal(0, 0.02, (n_times, n_bands, n_series))
    y[rng.uniform(size=y.shape) < gaps] = np.nan
    return y.astype(np.float32), t


def ahead(t, n=20, step=5.0):
    return t[-1] + step * np.arange(1, n + 1)


def test_climatology_is_its_formula():
    y, t = past()
    at = ahead(t)
    mean, spread = forecast_climatology(y, t, at)
    for j, b, k in [(0, 0, 0), (7, 1, 3), (19, 0, 4)]:
        d = np.array([min(abs(at[j] - u) % YEAR, YEAR - abs(at[j] - u) % YEAR) for u in t])
        w = np.exp(-(d**2) / 200) + 1e-3 * np.exp(-(d**2) / (2 * 45**2))
        series = y[:, b, k].astype(float)
        seen = np.isfinite(series)
        want = (w * series)[seen].sum() / w[seen].sum()
        np.testing.assert_allclose(mean[j, b, k], want, rtol=1e-4)
        assert 0.005 < spread[j, b, k] < 0.1


def test_a_mean_of_other_years_leaves_out_this_one():
    y, t = past(gaps=0)
    other = season_mean(y, t, t[-1:], apart=180)
    far = y.copy()
    far[t > t[-1] - 180] = 9
    np.testing.assert_array_equal(season_mean(far, t, t[-1:], apart=180), other)
    assert not np.allclose(season_mean(far, t, t[-1:]), other)


def test_persistence_is_the_last_valid_value():
    y, t = past()
    mean, spread = forecast_persistence(y, t, ahead(t, 3))
    for b, k in np.ndindex(2, 5):
        valid = y[np.isfinite(y[:, b, k]), b, k]
        assert (mean[:, b, k] == valid[-1]).all()
        np.testing.assert_allclose(spread[:, b, k], np.sqrt(2) * valid.std(ddof=1), rtol=1e-3)


@pytest.mark.parametrize("n_times", [60, 150])
def test_harmonic_is_least_squares(n_times):
    y, t = past(n_times)
    at = ahead(t)
    mean, spread = forecast_harmonic(y, t, at)
    has_trend = t[-1] - t[0] > 2 * YEAR

    def terms(u):
        u = np.asarray(u)
        waves = [f(2 * np.pi * k * u / YEAR) for k in (1, 2) for f in (np.cos, np.sin)]
        return np.stack([np.ones_like(u), *([u - t.mean()] if has_trend else []), *waves], 1)

    for b, k in np.ndindex(2, 5):
        seen = np.isfinite(y[:, b, k])
        c, *_ = np.linalg.lstsq(terms(t[seen]), y[seen, b, k].astype(float), rcond=None)
        np.testing.assert_allclose(mean[:, b, k], terms(at) @ c, atol=2e-4)
        left = y[seen, b, k] - terms(t[seen]) @ c
        np.testing.assert_allclose(spread[0, b, k], np.sqrt((left**2).sum() / (seen.sum() - len(c))), rtol=1e-3)


def test_koopman_continues_a_linear_oscillation():
    t = 17_000 + 5.0 * np.arange(80)
    y = (0.3 + 0.1 * np.cos(2 * np.pi * t / 90))[:, None, None].astype(np.float32) * np.array([1, 0.5], np.float32)[None, :, None]
    mean, spread = forecast_koopman(y, t, ahead(t))
    want = (0.3 + 0.1 * np.cos(2 * np.pi * ahead(t) / 90))[:, None] * np.array([1, 0.5])
    np.testing.assert_allclose(mean[:, :, 0], want, atol=0.02)
    assert (np.diff(spread[:, 0, 0]) >= -1e-6).all()


@pytest.mark.parametrize("name", BASELINES)
@given(seed=st.integers(0, 1000), gaps=st.sampled_from([0.0, 0.5, 0.95]))
def test_laws_of_all(name, seed, gaps):
    y, t = past(60, n_series=3, gaps=gaps, seed=seed)
    y[:, :, 2] = np.nan  # never seen
    kept = y.copy()
    mean, spread = BASELINES[name](y, t, ahead(t, 73))
    np.testing.assert_array_equal(y, kept)
    assert mean.dtype == spread.dtype == np.float32
    assert mean.shape == spread.shape == (73, 2, 3)
    assert np.isnan(mean[..., 2]).all()
    assert not np.nanmin(spread, initial=0) < 0
    alone = BASELINES[name](y[..., 1:2], t, ahead(t, 73))[0]
    np.testing.assert_allclose(alone[..., 0], mean[..., 1], rtol=1e-3, atol=1e-4)
    if name in ("persistence", "climatology"):  # means lie between what was seen
        for b in range(2):
            seen = y[np.isfinite(y[:, b, 0]), b, 0]
            if seen.size:
                assert (mean[:, b, 0] >= seen.min() - 1e-5).all()
                assert (mean[:, b, 0] <= seen.max() + 1e-5).all()


@given(st.integers(0, 99), st.floats(0.1, 10))
def test_an_angle_does_not_see_brightness(seed, gain):
    a, b = np.random.default_rng(seed).uniform(0.01, 1, (2, 10))
    np.testing.assert_allclose(spectral_angle(a, gain * b), np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b)), rtol=1e-6, atol=1e-7)
    assert spectral_angle(a, gain * a) < 1e-7
