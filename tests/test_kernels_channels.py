"""Filling the planes of a network against an obvious twin in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xsentinel.kernels.channels import fill_channels, fill_dates, fill_groups

GEOMETRY = 7.5
"""What stands in the planes of geometry."""


def beside(n, height, width):
    """Planes of geometry, all one number."""
    return np.broadcast_to(np.float32(GEOMETRY), (n, height, width))


def twin(stored, gain, shift, nodata, out, valid):
    """Decode and normalise all, then put 0 where a band is missing."""
    values = stored.astype(np.float64)
    missing = ~np.isfinite(values) | (values == nodata.astype(np.float64)[:, None, None])
    seen = valid & ~missing.any(0)
    filled = out.astype(np.float64)
    filled[..., : len(stored)] = np.moveaxis(values * gain[:, None, None] + shift[:, None, None], 0, -1)
    return np.where(seen[..., None], filled, 0), seen


def stored_bands(dtype, shape, seed=0, gaps=0.2):
    """Bands as stored, gaps each its own: 0 in counts, NaN, infinity and −9999 in reflectance."""
    rng = np.random.default_rng(seed)
    gap = rng.random(shape) < gaps
    if dtype == np.uint16:
        return np.where(gap, 0, rng.integers(1, 65_536, shape)).astype(dtype)
    values = rng.uniform(-0.1, 1.5, shape).astype(dtype)
    values[gap] = rng.choice([np.nan, np.inf, -np.inf, -9999], gap.sum())
    return values


def scaling(dtype, n_bands, seed=0):
    """Gain, shift and nodata of each band; the last float band has no nodata value."""
    rng = np.random.default_rng(seed)
    gain, shift = rng.uniform(0.5, 4, n_bands), rng.normal(0, 0.3, n_bands)
    if dtype == np.uint16:
        return (gain * 1e-4).astype(np.float32), shift.astype(np.float32), np.zeros(n_bands, np.float32)
    nodata = np.full(n_bands, -9999, np.float32)
    nodata[-1] = np.nan
    return gain.astype(np.float32), shift.astype(np.float32), nodata


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("n_extra", [0, 2])
@given(
    n_bands=st.integers(1, 5),
    height=st.integers(1, 9),
    width=st.integers(1, 40),
    gaps=st.sampled_from([0.0, 0.1, 1.0]),
    seed=st.integers(0, 999),
)
def test_planes_against_twin(dtype, n_extra, n_bands, height, width, gaps, seed):
    stored, factors = stored_bands(dtype, (n_bands, height, width), seed, gaps), scaling(dtype, n_bands, seed)
    out = np.full((height, width, n_bands + n_extra), GEOMETRY, np.float32)
    valid = np.random.default_rng(seed).random((height, width)) < 0.9
    filled, seen = twin(stored, *factors, out, valid)
    before = stored.copy()
    fill_channels(stored, *factors, beside(n_extra, height, width), out, valid)
    np.testing.assert_allclose(out, filled, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(valid, seen)
    np.testing.assert_array_equal(stored, before)
    assert (out[seen][:, n_bands:] == GEOMETRY).all()
    assert (out[~seen] == 0).all()


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_a_part_of_larger_arrays_is_filled_and_no_more(dtype):
    stored, factors = stored_bands(dtype, (3, 5, 6)), scaling(dtype, 3)
    large, wide = np.full((4, 9, 8, 5), GEOMETRY, np.float32), np.ones((4, 5, 11), np.bool_)
    filled, seen = twin(stored, *factors, large[2, :5, :6], wide[2, :, 3:9])
    untouched, still = large.copy(), wide.copy()
    fill_channels(stored, *factors, beside(2, 5, 6), large[2, :5, :6], wide[2, :, 3:9])
    np.testing.assert_allclose(large[2, :5, :6], filled, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(wide[2, :, 3:9], seen)
    large[2, :5, :6], wide[2, :, 3:9] = untouched[2, :5, :6], still[2, :, 3:9]
    np.testing.assert_array_equal(large, untouched)
    np.testing.assert_array_equal(wide, still)


def test_part_of_a_band_is_no_number():
    factors = np.ones(2, np.float32), np.zeros(2, np.float32), np.array([np.nan, -1], np.float32)
    values = np.array([[[1, np.nan, 3, np.inf, 5, -1]], [[1, 2, -1, 4, -np.inf, 6]]], np.float32)
    out, valid = np.full((1, 6, 3), GEOMETRY, np.float32), np.ones((1, 6), np.bool_)
    fill_channels(values, *factors, beside(1, 1, 6), out, valid)
    assert valid.tolist() == [[True, False, False, False, False, True]]  # −1 is a value where it is not nodata
    assert out[0].tolist() == [[1, 1, GEOMETRY], [0] * 3, [0] * 3, [0] * 3, [0] * 3, [-1, 6, GEOMETRY]]


def test_counts_of_all_sizes_and_any_nodata():
    stored = np.array([[[0, 1, 65_535, 65_534]]], np.uint16)
    for nodata, missing in ((0, 0), (65_535, 2), (np.nan, None)):
        out, valid = np.zeros((1, 4, 1), np.float32), np.ones((1, 4), np.bool_)
        fill_channels(stored, *(np.array([v], np.float32) for v in (1, 0, nodata)), beside(0, 1, 4), out, valid)
        assert valid.tolist() == [[k != missing for k in range(4)]]
        assert out[0, :, 0].tolist() == [0 if k == missing else v for k, v in enumerate([0, 1, 65_535, 65_534])]


def test_what_is_unset_stays_unset():
    stored, valid = np.ones((2, 1, 3), np.float32), np.array([[True, False, True]])
    out = np.full((1, 3, 2), GEOMETRY, np.float32)
    fill_channels(stored, *(np.full(2, v, np.float32) for v in (2, 1, np.nan)), beside(0, 1, 3), out, valid)
    assert valid.tolist() == [[True, False, True]]
    assert out[0].tolist() == [[3, 3], [0, 0], [3, 3]]


def test_low_becomes_0_and_high_1():
    scale, offset, low, high = 1e-4, -0.1, 0.02, 0.42
    stored = np.array([[[1200, 5200, 3200]]], np.uint16)
    factors = [np.array([v], np.float32) for v in (scale / (high - low), (offset - low) / (high - low), 0)]
    out, valid = np.zeros((1, 3, 1), np.float32), np.ones((1, 3), np.bool_)
    fill_channels(stored, *factors, beside(0, 1, 3), out, valid)
    np.testing.assert_allclose(out[0, :, 0], [0, 1, 0.5], atol=1e-6)


def test_a_gap_in_geometry_is_a_gap():
    stored, planes = np.ones((1, 2, 3), np.float32), np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    planes[1, 0, 2] = np.nan
    out, valid = np.full((2, 3, 3), 9, np.float32), np.ones((2, 3), np.bool_)
    fill_channels(stored, *(np.ones(1, np.float32), np.zeros(1, np.float32), np.full(1, np.nan, np.float32)), planes, out, valid)
    assert valid.tolist() == [[True, True, False], [True, True, True]]
    assert out[0].tolist() == [[1, 0, 6], [1, 1, 7], [0, 0, 0]]
    assert out[1].tolist() == [[1, 3, 9], [1, 4, 10], [1, 5, 11]]


def dates_twin(stored, gain, shift, nodata, least):
    """Decode and normalise each date, 0 and unseen where a band is missing; all 0 where too few dates are seen."""
    values = stored.astype(np.float64)
    lost = ~np.isfinite(values) | (values == nodata.astype(np.float64)[:, None, None])
    seen = ~lost.any(1)
    scaled = np.where(lost.any(1, keepdims=True), 0, values * gain[:, None, None] + shift[:, None, None])
    out = np.moveaxis(np.concatenate([scaled, seen[:, None]], 1), (2, 3), (0, 1))
    valid = seen.sum(0) >= least
    return np.where(valid[..., None, None], out, 0), valid


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@given(
    n_dates=st.integers(1, 4),
    n_bands=st.integers(1, 3),
    height=st.integers(1, 5),
    width=st.integers(1, 20),
    least=st.integers(1, 4),
    gaps=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    seed=st.integers(0, 999),
)
def test_series_are_as_the_twin_fills_them(dtype, n_dates, n_bands, height, width, least, gaps, seed):
    stored = stored_bands(dtype, (n_dates, n_bands, height, width), seed, gaps)
    gain, shift, nodata = scaling(dtype, n_bands, seed)
    out, valid = np.full((height, width, n_dates, n_bands + 1), np.nan, np.float32), np.zeros((height, width), np.bool_)
    fill_dates(stored, gain, shift, nodata, least, out, valid)
    expected, expected_valid = dates_twin(stored, gain, shift, nodata, least)
    np.testing.assert_array_equal(valid, expected_valid)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("half", [False, True])
@given(
    groups=st.integers(1, 4),
    per=st.integers(1, 5),
    height=st.integers(1, 5),
    width=st.integers(1, 30),
    clip=st.booleans(),
    seed=st.integers(0, 999),
)
def test_images_of_groups_against_twin(dtype, half, groups, per, height, width, clip, seed):
    n, n_channels = groups * per, per + 3
    stored, factors = stored_bands(dtype, (n, height, width), seed, 0.05), scaling(dtype, n, seed)
    large, valid = (
        np.full((groups, height + 1, width + 2, n_channels), 7, np.uint16 if half else np.float32),
        np.empty((height, width), bool),
    )
    out = large[:, :height, :width]
    fill_groups(stored, *factors, clip, half, out, valid)
    planes, seen = twin(stored, *factors, np.zeros((height, width, n), np.float32), np.ones((height, width), bool))
    planes = np.where(seen[..., None], planes.clip(0, 1) if clip else planes, 0)
    found = torch.from_numpy(out.copy())
    values = (found.view(torch.bfloat16) if half else found).float().numpy()
    expected = planes.reshape(height, width, groups, per).transpose(2, 0, 1, 3)
    np.testing.assert_allclose(values[..., :per], expected, rtol=2**-8 if half else 1e-5, atol=1e-5)
    assert (values[..., per] == 1).all()
    assert (values[..., per + 1 :] == 0).all()
    np.testing.assert_array_equal(valid, seen)
    assert (large[:, height:] == 7).all()
    assert (large[:, :, width:] == 7).all()


def test_bfloat16_is_rounded_as_torch_rounds():
    values = np.random.default_rng(0).uniform(-3, 3, (4, 6, 50)).astype(np.float32)
    values[0, 0, :4] = [1.00390625, 1.01171875, 0, -0.0]  # ties: to the even one
    factors = np.ones(4, np.float32), np.zeros(4, np.float32), np.full(4, np.nan, np.float32)
    out, valid = np.empty((1, 6, 50, 5), np.uint16), np.empty((6, 50), bool)
    fill_groups(values, *factors, False, True, out, valid)
    theirs = torch.from_numpy(values).bfloat16().permute(1, 2, 0)
    torch.testing.assert_close(torch.from_numpy(out[0, ..., :4].copy()).view(torch.bfloat16), theirs, rtol=0, atol=0)
