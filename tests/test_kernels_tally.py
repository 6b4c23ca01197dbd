"""Tallies against numpy, and their laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xsentinel.kernels import tally as tally_
from xsentinel.kernels.tally import SKETCH_ERROR, add_tallies, join_summaries, summarise, tally

INTEGERS = (np.uint8, np.int8, np.uint16, np.int16, np.int32, np.uint32, np.int64)
VALUES = st.sampled_from(INTEGERS).flatmap(lambda d: hnp.arrays(d, st.tuples(st.integers(0, 5), st.integers(0, 9))))
FLOATS = hnp.arrays(np.float32, st.integers(0, 50), elements=st.floats(-1e6, 1e6, width=32) | st.sampled_from([np.nan, np.inf, -np.inf]))


def assert_same(one, other):
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right)


@given(VALUES, st.integers(-3, 3))
def test_integers_are_counted_exactly(values, nodata):
    levels, counts = np.unique(values[values != nodata], return_counts=True)
    found = tally(values, nodata)
    assert_same(found[:2], (levels, counts))
    assert (found.least, found.greatest) == ((levels.min(), levels.max()) if levels.size else (np.inf, -np.inf))


@given(FLOATS)
def test_floats_are_counted_within_the_error(values):
    valid = np.sort(values[np.isfinite(values)]).astype(np.float64)
    found = tally(values)
    assert found.counts.sum() == valid.size
    spread = np.repeat(found.levels, found.counts)
    assert (abs(spread - valid) <= SKETCH_ERROR * np.maximum(abs(valid), 2.0**-126)).all()
    exact = tally(values, extremes=True)
    assert_same(exact[:2], found[:2])
    assert (exact.least, exact.greatest) == ((valid[0], valid[-1]) if valid.size else (np.inf, -np.inf))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_nodata_of_floats(dtype):
    found = tally(np.array([-999, 0.5, np.nan, -999], dtype), -999)
    assert found.counts.tolist() == [1]


def test_sorting_and_counting_agree(monkeypatch):
    values = np.random.default_rng(0).normal(0, 0.3, 20_000).astype(np.float32)
    values[::7] = np.nan
    values[:3] = 0.0, -0.0, np.inf
    sorted_ = tally(values)
    monkeypatch.setattr(tally_, "FEW", 0)
    for _ in range(2):  # the table that the thread keeps is left empty
        assert_same(sorted_, tally(values))
    monkeypatch.setattr(tally_, "PART", 0)
    assert_same(sorted_, tally(values, n_threads=2))
    assert_same(sorted_, tally(values[::-1]))


@given(st.lists(hnp.arrays(np.uint16, st.integers(0, 30), elements=st.integers(0, 9)), min_size=1, max_size=5))
def test_tallies_add(parts):
    assert_same(add_tallies([tally(p, 0) for p in parts]), tally(np.concatenate(parts), 0))


def test_summary_equals_numpy():
    values = np.random.default_rng(0).integers(0, 65_536, 10_001).astype(np.uint16)
    found, floats = summarise(tally(values), 2, 98), values.astype(np.float64)
    assert (found.low, found.high) == tuple(np.percentile(values, [2, 98]))
    assert found.n == values.size
    np.testing.assert_allclose(found[3:], (floats.mean(), floats.std(), floats.min(), floats.max()), rtol=1e-14)
    assert np.isnan(summarise(tally(values[:0]), 2, 98)[1:]).all()


def test_joined_summaries():
    values = np.random.default_rng(0).integers(0, 9999, (5, 1001)).astype(np.uint16)
    parts = [summarise(tally(v), 2, 98) for v in values] + [summarise(tally(values[:0]), 2, 98)]
    found, floats = join_summaries(parts), values.astype(np.float64)
    low, high = np.percentile(values, [2, 98], axis=1)
    assert (found.n, found.low, found.high) == (values.size, low.min(), high.max())
    np.testing.assert_allclose(found[3:], (floats.mean(), floats.std(), floats.min(), floats.max()), rtol=1e-13)
    assert join_summaries(parts[::-1]) == found
    assert join_summaries(parts[-1:]).n == 0
