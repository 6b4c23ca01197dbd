"""Dilation and erosion against scipy, and their laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from xsentinel.errors import UnitsError, XSentinelError
from xsentinel.kernels.morphology import dilate, erode, footprint_widths

RADII = [0, 0.9, 1, 1.5, 2.9, 6, 13.3, 40]
SHAPES = [(1, 1), (5, 70), (100, 64), (37, 200), (3, 1000), (130, 63)]
MASKS = hnp.arrays(bool, st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 140)))
FOOTPRINTS = {"radius": st.floats(0, 9) | st.floats(0, 80), "shape": st.sampled_from(["disk", "square"])}


def footprint(radius, shape):
    reach = int(radius)
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    return x * x + y * y <= radius * radius if shape == "disk" else np.ones((2 * reach + 1,) * 2, bool)


@pytest.mark.parametrize("size", SHAPES)
@pytest.mark.parametrize("radius", RADII)
@pytest.mark.parametrize("shape", ["disk", "square"])
def test_equals_scipy(shape, radius, size):
    draw, structure = np.random.default_rng(0).random(size), footprint(radius, shape)
    np.testing.assert_array_equal(dilate(draw < 0.02, radius, shape=shape), ndimage.binary_dilation(draw < 0.02, structure))
    np.testing.assert_array_equal(
        erode(draw < 0.98, radius, shape=shape),
        ndimage.binary_erosion(draw < 0.98, structure, border_value=1),
    )


@pytest.mark.parametrize("value", [False, True])
def test_empty_and_full_masks_stay(value):
    mask = np.full((2, 70, 90), value)
    for act in (dilate, erode):
        np.testing.assert_array_equal(act(mask, 5), mask)


def test_disk_is_a_distance():
    mask = np.random.default_rng(0).random((90, 110)) < 0.01
    distance = ndimage.distance_transform_edt(~mask)
    for radius in (1.0, 2.5, 7.0):
        np.testing.assert_array_equal(dilate(mask, radius), distance <= radius)


def test_stack_threads_dtypes_and_strides():
    stack = np.random.default_rng(0).random((5, 150, 101)) < 0.02
    wanted = np.stack([dilate(plane, 4.2) for plane in stack])
    np.testing.assert_array_equal(dilate(stack, 4.2, n_threads=3), wanted)
    found = dilate(stack.astype(np.uint8) * 200, 4.2)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, wanted.astype(np.uint8))
    np.testing.assert_array_equal(dilate(np.asfortranarray(stack), 4.2), wanted)
    np.testing.assert_array_equal(dilate(stack[:, ::2], 4.2), np.stack([dilate(p[::2], 4.2) for p in stack]))
    assert dilate(stack[:0], 3).shape == (0, 150, 101)
    assert dilate(stack[:, :, :0], 3).shape == (5, 150, 0)


@given(mask=MASKS, **FOOTPRINTS)
@settings(max_examples=60, deadline=None)
def test_dilation_is_extensive_and_erosion_its_dual(mask, radius, shape):
    grown = dilate(mask, radius, shape=shape)
    assert (grown >= mask).all()
    np.testing.assert_array_equal(erode(mask, radius, shape=shape), ~dilate(~mask, radius, shape=shape))


@given(column=st.integers(0, 299), reach=st.integers(0, 299))
@settings(max_examples=100, deadline=None)
def test_one_pixel_grows_to_an_interval(column, reach):
    mask = np.zeros((1, 300), bool)
    mask[0, column] = True
    wanted = abs(np.arange(300) - column) <= reach
    np.testing.assert_array_equal(dilate(mask, reach, shape="square")[0], wanted)


@given(mask=MASKS, more=st.integers(0, 2**16), **FOOTPRINTS)
@settings(max_examples=60, deadline=None)
def test_dilation_is_monotone_in_mask_and_radius(mask, more, radius, shape):
    larger = mask | (np.random.default_rng(more).random(mask.shape) < 0.1)
    grown = dilate(mask, radius, shape=shape)
    assert (dilate(larger, radius, shape=shape) >= grown).all()
    assert (dilate(mask, radius + 1.3, shape=shape) >= grown).all()


@given(mask=MASKS, **FOOTPRINTS)
@settings(max_examples=60, deadline=None)
def test_closing_covers_and_opening_is_covered(mask, radius, shape):
    assert (erode(dilate(mask, radius, shape=shape), radius, shape=shape) >= mask).all()
    assert (dilate(erode(mask, radius, shape=shape), radius, shape=shape) <= mask).all()


def test_footprints_and_bad_input():
    assert footprint_widths(5, "disk").tolist() == [5, 4, 4, 4, 3, 0]
    assert footprint_widths(2.7, "square").tolist() == [2, 2, 2]
    with pytest.raises(XSentinelError, match="radius"):
        dilate(np.zeros((3, 3), bool), -1)
    with pytest.raises(XSentinelError, match="disk"):
        dilate(np.zeros((3, 3), bool), 1, shape="cross")
    with pytest.raises(UnitsError, match="mask is float64"):
        dilate(np.zeros((3, 3)), 1)
