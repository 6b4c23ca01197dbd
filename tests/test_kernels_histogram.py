"""Histograms and percentiles against numpy, and their laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xsentinel.errors import UnitsError, XSentinelError
from xsentinel.kernels.histogram import (
    histogram_uint16,
    moments_of_counts,
    percentiles_of_counts,
    sketch_float32,
    sketch_levels,
)

Q = [0, 0.1, 2, 3, 25, 33.3, 50, 66.6, 97, 98, 99.99, 100]
STORED = hnp.arrays(np.uint16, st.integers(0, 60), elements=st.integers(0, 65535) | st.integers(0, 5))
FLOATS = hnp.arrays(np.float32, st.integers(1, 60), elements=st.floats(-(2.0**100), 2.0**100, width=32))


def test_counts_equal_bincount():
    values = np.random.default_rng(0).gamma(3, 900, (7, 41, 43)).astype(np.uint16)
    wanted = np.bincount(values.ravel(), minlength=65536)
    np.testing.assert_array_equal(histogram_uint16(values, nodata=None), wanted)
    wanted[0] = 0
    np.testing.assert_array_equal(histogram_uint16(values), wanted)
    wanted = np.bincount(values[1::2, ::3, 5].ravel(), minlength=65536)
    wanted[77] = 0
    np.testing.assert_array_equal(histogram_uint16(values[1::2, ::3, 5], nodata=77), wanted)


def test_threads_are_irrelevant():
    values = np.random.default_rng(0).integers(0, 65536, 5_000_003).astype(np.uint16)
    np.testing.assert_array_equal(histogram_uint16(values, n_threads=3), histogram_uint16(values))
    floats = values.astype(np.float32)
    np.testing.assert_array_equal(sketch_float32(floats, n_threads=3), sketch_float32(floats))


@given(STORED)
@settings(max_examples=150, deadline=None)
def test_percentiles_equal_numpy(values):
    found = percentiles_of_counts(histogram_uint16(values), Q)
    valid = values[values > 0]
    wanted = np.percentile(valid, Q) if valid.size else np.full(len(Q), np.nan)
    np.testing.assert_array_equal(found, wanted)


def test_percentiles_of_a_real_sized_band():
    values = np.random.default_rng(0).gamma(3, 900, 1_000_003).astype(np.uint16)
    found = percentiles_of_counts(histogram_uint16(values), Q)
    np.testing.assert_array_equal(found, np.percentile(values[values > 0], Q))
    assert percentiles_of_counts(histogram_uint16(values), 50).shape == ()


@given(STORED)
@settings(max_examples=50, deadline=None)
def test_moments_equal_numpy(values):
    found, valid = moments_of_counts(histogram_uint16(values)), values[values > 0].astype(float)
    assert found.n == valid.size
    if valid.size:
        wanted = valid.mean(), valid.std(), valid.min(), valid.max()
        np.testing.assert_allclose((found.mean, found.std, found.minimum, found.maximum), wanted, rtol=1e-12, atol=1e-9)
    else:
        assert np.isnan([found.mean, found.std, found.minimum, found.maximum]).all()


@given(STORED, STORED)
@settings(max_examples=50, deadline=None)
def test_histograms_add(first, second):
    both = histogram_uint16(np.concatenate([first, second]))
    np.testing.assert_array_equal(histogram_uint16(first) + histogram_uint16(second), both)


@given(FLOATS, FLOATS)
@settings(max_examples=50, deadline=None)
def test_sketches_add(first, second):
    both = sketch_float32(np.concatenate([first, second]))
    np.testing.assert_array_equal(sketch_float32(first) + sketch_float32(second), both)


@pytest.mark.parametrize("bits", [12, 16, 20])
@given(values=FLOATS, gaps=st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_sketch_keeps_its_bound(bits, values, gaps):
    counts = sketch_float32(np.concatenate([values, np.full(gaps, np.nan, np.float32)]), bits=bits)
    assert counts.sum() == values.size
    found = percentiles_of_counts(counts, Q, sketch_levels(bits))
    ordered = np.sort(values.astype(np.float64))
    place = (values.size - 1) * np.array(Q) / 100
    low, high = ordered[np.floor(place).astype(int)], ordered[np.ceil(place).astype(int)]
    bound = 2.0 ** -(bits - 8) * np.maximum(np.maximum(abs(low), abs(high)), 2.0**-126)
    wanted = np.percentile(values.astype(np.float64), Q)
    assert (abs(found - wanted) <= bound * (1 + 1e-9)).all()


@pytest.mark.parametrize("bits", [12, 20])
def test_every_level_lies_in_its_own_interval(bits):
    """The bound for one number, over all exponents: level and number share an interval, half of it apart."""
    rng = np.random.default_rng(0)
    pattern = rng.integers(0, 2**32, 200_000, dtype=np.uint32)
    values = pattern.view(np.float32)
    values = values[np.isfinite(values)]
    levels = sketch_levels(bits)
    nearest = np.searchsorted(levels[: np.argmax(levels)], values.astype(np.float64))
    around = levels[np.clip(np.stack([nearest - 1, nearest]), 0, None)]
    error = abs(around - values.astype(np.float64)).min(axis=0)
    assert (error <= 2.0 ** -(bits - 8) * np.maximum(abs(values.astype(np.float64)), 2.0**-126)).all()


def test_infinities_and_zeros_of_a_sketch():
    values = np.array([-np.inf, -0.0, 0.0, np.inf], np.float32)
    found = percentiles_of_counts(sketch_float32(values), [0, 100], sketch_levels())
    np.testing.assert_array_equal(found, [-np.inf, np.inf])
    middle = percentiles_of_counts(sketch_float32(values), [40, 60], sketch_levels())
    assert (abs(middle) < 2.0**-126).all()


def test_constant_band_has_no_rounding():
    values = np.full(1001, 0.5, np.float32)
    moments = moments_of_counts(sketch_float32(values), sketch_levels())
    assert moments.std == 0
    assert abs(moments.mean - 0.5) <= 0.5 * 2**-12


def test_bad_input_is_named():
    with pytest.raises(UnitsError, match="sketch_float32"):
        histogram_uint16(np.zeros(3, np.float32))
    with pytest.raises(UnitsError, match="histogram_uint16"):
        sketch_float32(np.zeros(3, np.uint16))
    with pytest.raises(XSentinelError, match="bits"):
        sketch_float32(np.zeros(3, np.float32), bits=30)
    with pytest.raises(XSentinelError, match="0 to 100"):
        percentiles_of_counts(np.zeros(65536, np.int64), [101])


def test_long_strided_arrays_are_copied_in_parts():
    values = np.random.default_rng(0).integers(0, 9, (2, 1100, 2000)).astype(np.uint16)[:, :, ::2]
    wanted = np.bincount(values.ravel(), minlength=65536)
    np.testing.assert_array_equal(histogram_uint16(values, nodata=None), wanted)
    np.testing.assert_array_equal(histogram_uint16(values.transpose(2, 0, 1), nodata=None, n_threads=2), wanted)
