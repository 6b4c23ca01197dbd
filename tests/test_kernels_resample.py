"""Resampling and decoding against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from xsentinel.kernels.resample import coarsen_mean, coarsen_nearest, refine_bilinear, refine_nearest
from xsentinel.kernels.scale import decode


def field(shape: tuple[int, ...], gaps: float = 0.3, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.uniform(0, 1, shape).astype(np.float32)
    values[rng.uniform(size=shape) < gaps] = np.nan
    return values


@pytest.mark.parametrize("factor", [2, 3, 6])
@pytest.mark.parametrize("shape", [(12, 18), (2, 13, 17), (1, 1, 1), (3, 2, 7, 5)])
def test_mean_is_that_of_the_pixels_that_are_there(shape, factor):
    values = field(shape)
    out = coarsen_mean(values, factor)
    flat, coarse = values.reshape(-1, *shape[-2:]), out.reshape(-1, *out.shape[-2:])
    assert out.shape[-2:] == (-(-shape[-2] // factor), -(-shape[-1] // factor))
    assert out.dtype == np.float32
    for i, r, c in np.ndindex(coarse.shape):
        cell = flat[i, r * factor : (r + 1) * factor, c * factor : (c + 1) * factor]
        there = cell[~np.isnan(cell)]
        assert (np.isnan(coarse[i, r, c]) and not there.size) or coarse[i, r, c] == pytest.approx(there.mean(), rel=1e-6)


@given(st.integers(1, 30), st.integers(1, 30), st.sampled_from([2, 3, 4]))
def test_nearest_to_finer_and_back_is_the_same(height, width, factor):
    classes = np.random.default_rng(1).integers(0, 12, (2, height, width)).astype(np.uint8)
    fine = refine_nearest(classes, factor)
    assert fine.dtype == np.uint8
    assert np.array_equal(coarsen_nearest(fine, factor), classes)
    assert np.array_equal(coarsen_mean(fine.astype(np.float32), factor), classes)


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_bilinear_is_that_of_scipy(factor):
    values = field((9, 11), gaps=0)
    rows, columns = ((np.arange(n * factor) + 0.5) / factor - 0.5 for n in values.shape)
    grid = np.meshgrid(rows, columns, indexing="ij")
    expected = map_coordinates(values.astype(np.float64), grid, order=1, mode="nearest")
    out = refine_bilinear(values, factor)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, expected, atol=1e-6)


def test_bilinear_keeps_a_plane_inside_and_spreads_gaps():
    y, x = np.mgrid[0:6, 0:7].astype(np.float32)
    fine = refine_bilinear(2 * x + 3 * y, 2)
    fy, fx = ((np.arange(2 * n) + 0.5) / 2 - 0.5 for n in (6, 7))
    np.testing.assert_allclose(fine[1:-1, 1:-1], (2 * fx + 3 * fy[:, None])[1:-1, 1:-1], rtol=1e-6)
    holed = (2 * x + 3 * y).copy()
    holed[2, 3] = np.nan
    assert np.isnan(refine_bilinear(holed, 2)).sum() == 16


def test_a_constant_stays():
    flat = np.full((1, 7, 9), 0.37, np.float32)
    for out in (coarsen_mean(flat, 2), refine_bilinear(flat, 3)):
        np.testing.assert_allclose(out, 0.37, rtol=1e-6)


@given(st.integers(0, 65_535), st.floats(-0.2, 0.2), st.sampled_from([0.0, 65_535.0, np.nan]))
def test_nodata_is_compared_before_anything_is_computed(count, offset, nodata):
    counts = np.array([[count, 0, 65_535, 7]], np.uint16)
    out = decode(counts, 1e-4, offset, nodata)
    assert out.shape == counts.shape
    assert out.dtype == np.float32
    assert np.array_equal(np.isnan(out), counts == nodata)
    there = counts != nodata
    np.testing.assert_allclose(out[there], counts[there] * 1e-4 + offset, atol=1e-6)


def test_counts_below_the_offset_become_negative_not_huge():
    assert decode(np.array([500], np.uint16), 1e-4, -0.1, 0.0)[0] == pytest.approx(-0.05)
    assert decode(np.array([-32768], np.int16), 1e-4, 0.0, -32768.0)[0] != 0
