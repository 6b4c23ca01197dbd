"""Scores against those of scikit-learn and scipy, then laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from xsentinel.kernels.scores import Agreement, agreement, rank_correlation

SIZES = st.integers(2, 200)
SEEDS = st.integers(0, 10_000)


def pairs(n, seed, dtype=np.float64, level=3.0):
    rng = np.random.default_rng(seed)
    reference = rng.normal(level, 1, n)
    return reference.astype(dtype), (0.8 * reference + rng.normal(0.3, 0.5, n)).astype(dtype)


def assert_scores(found: Agreement, y, p):
    """Compare with the formulas written out, in float64, one pair at a time."""
    y, p = [float(v) for v in y], [float(v) for v in p]
    n, apart = len(y), [b - a for a, b in zip(y, p, strict=True)]
    mean = sum(y) / n
    assert found.n == n
    assert found.distance == pytest.approx(sum(map(abs, apart)) / n)
    assert found.mse == pytest.approx(sum(d * d for d in apart) / n)
    assert found.r2 == pytest.approx(1 - sum(d * d for d in apart) / sum((v - mean) ** 2 for v in y))
    assert found.correlation == pytest.approx(float(stats.pearsonr(y, p).statistic))


@given(SIZES, SEEDS, st.sampled_from([np.float32, np.float64]))
def test_agreement_is_its_formulas(n, seed, dtype):
    y, p = pairs(n, seed, dtype)
    assert_scores(agreement(y, p), y, p)


def test_agreement_is_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    y, p = pairs(500, 0)
    found = agreement(y, p)
    assert found.distance == pytest.approx(metrics.mean_absolute_error(y, p))
    assert found.mse == pytest.approx(metrics.mean_squared_error(y, p))
    assert found.r2 == pytest.approx(metrics.r2_score(y, p))


@given(SIZES, SEEDS, st.sampled_from([np.nan, np.inf, -np.inf]))
def test_only_pairs_that_are_both_finite_count(n, seed, missing):
    rng = np.random.default_rng(seed)
    y, p = pairs(n, seed)
    longer, other = np.insert(y, [0, n // 2, n], [missing, 5.0, missing]), np.insert(p, [0, n // 2, n], [1.0, missing, missing])
    order = rng.permutation(n + 3)
    assert_scores(agreement(longer[order], other[order]), y, p)


def test_arrays_of_any_shape():
    y, p = pairs(60, 1)
    assert agreement(y.reshape(3, 4, 5), p.reshape(3, 4, 5)) == agreement(y, p)


def test_float32_is_summed_in_float64():
    y, p = pairs(200_000, 2, np.float32, level=1000)
    double = agreement(y.astype(np.float64), p.astype(np.float64))
    assert agreement(y, p) == double


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_pairs_have_no_score(n):
    y, p = np.full(4, np.nan), np.ones(4)
    y[:n] = 2
    found = agreement(y, p)
    assert found.n == n
    assert np.isnan([found.correlation, found.distance, found.mse, found.r2]).all()


def test_a_reference_that_does_not_vary():
    found = agreement(np.array([2.0, 2.0, 2.0]), np.array([1.0, 2.0, 4.0]))
    assert np.isnan(found.correlation)
    assert (found.distance, found.mse, found.r2) == (1.0, pytest.approx(5 / 3), -np.inf)
    same = agreement(np.full(3, 2.0), np.full(3, 2.0))
    assert (same.distance, same.mse) == (0, 0)
    assert np.isnan([same.correlation, same.r2]).all()


def test_an_estimate_that_does_not_vary():
    found = agreement(np.array([1.0, 2.0, 3.0]), np.full(3, 2.0))
    assert np.isnan(found.correlation)
    assert found.r2 == 0


@given(SIZES, SEEDS)
def test_laws_of_agreement(n, seed):
    y, p = pairs(n, seed)
    found, scaled = agreement(y, p), agreement(2 * y + 4, 2 * p + 4)
    same = agreement(y, y)
    assert (same.correlation, same.distance, same.mse, same.r2) == (pytest.approx(1), 0, 0, 1)
    assert found.distance <= found.mse**0.5 * (1 + 1e-12)
    assert abs(found.correlation) <= 1 + 1e-12
    assert found.r2 <= found.correlation**2 + 1e-9
    assert (scaled.correlation, scaled.r2) == (pytest.approx(found.correlation), pytest.approx(found.r2))
    assert (scaled.distance, scaled.mse) == (pytest.approx(2 * found.distance), pytest.approx(4 * found.mse))


DISTINCT = hnp.arrays(np.float64, st.integers(2, 80), elements=st.floats(-1e6, 1e6), unique=True)


@given(DISTINCT, st.data())
def test_rank_correlation_is_that_of_scipy(a, data):
    b = data.draw(hnp.arrays(np.float64, a.size, elements=st.floats(-1e6, 1e6), unique=True))
    assert rank_correlation(a, b) == pytest.approx(float(stats.spearmanr(a, b).statistic), abs=1e-9)


@given(DISTINCT)
def test_laws_of_rank_correlation(a):
    assert rank_correlation(a, a) == pytest.approx(1)
    assert rank_correlation(a, -a) == pytest.approx(-1)
    assert rank_correlation(np.argsort(np.argsort(a)), a) == pytest.approx(1)


def test_rank_correlation_of_arrays_of_any_shape():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 4, 5))
    assert rank_correlation(a, b) == rank_correlation(a.ravel(), b.ravel())


@pytest.mark.parametrize("n", [0, 1])
def test_rank_correlation_of_fewer_than_two(n):
    assert np.isnan(rank_correlation(np.ones(n), np.ones(n)))
