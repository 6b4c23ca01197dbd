"""Majorities and smoothed probabilities against slow twins, and their laws."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xsentinel.errors import UnitsError, XSentinelError
from xsentinel.kernels.majority import smooth_majority
from xsentinel.kernels.probabilities import LEAST, describe, smooth_bayes
from xsentinel.kernels.selection import highest_network

DTYPES = (np.uint8, np.int8, np.uint16, np.int16, np.int32, np.int64)
SIZES = (1, 3, 5, 9)
SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 14))


def maps(dtype: type) -> st.SearchStrategy[np.ndarray]:
    return SHAPES.flatmap(lambda shape: hnp.arrays(dtype, shape, elements=st.integers(0, 3)))


def windows(shape: tuple[int, int], y: int, x: int, size: int) -> list[tuple[int, int]]:
    reach = size // 2
    return [
        (i, j) for i in range(y - reach, y + reach + 1) for j in range(x - reach, x + reach + 1) if 0 <= i < shape[0] and 0 <= j < shape[1]
    ]


def majority(classes: np.ndarray, size: int, nodata: int | None) -> np.ndarray:
    """The rule, pixel by pixel."""
    out = classes.copy()
    for y, x in np.ndindex(classes.shape):
        votes = Counter(int(classes[p]) for p in windows(classes.shape, y, x, size) if classes[p] != nodata)
        ranking = votes.most_common(2)
        if classes[y, x] != nodata and (len(ranking) == 1 or ranking[0][1] > ranking[1][1]):
            out[y, x] = ranking[0][0]
    return out


def bayes(probability: np.ndarray, size: int, variance: list[float], share: float) -> np.ndarray:
    """The formulas, pixel by pixel, in float64."""
    p = np.clip(probability.astype(np.float64), LEAST, 1 - LEAST)
    logits = np.log(p / (1 - p))
    logits[:, np.isnan(logits).any(0)] = np.nan
    out = np.full(p.shape, np.nan)
    for y, x in np.ndindex(p.shape[1:]):
        for c in range(len(p)):
            values = sorted((v for w in windows(p.shape[1:], y, x, size) if not math.isnan(v := logits[c][w])), reverse=True)
            here = logits[c, y, x]
            if math.isnan(here):
                continue
            highest = values[: math.ceil(share * len(values))]
            s2 = np.var(highest, ddof=1) if len(highest) > 1 else 0.0
            total = s2 + variance[c]
            new = (s2 * here + variance[c] * np.mean(highest)) / total if total else here
            out[c, y, x] = 1 / (1 + math.exp(-new))
    return out / out.sum(0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("nodata", [None, 0, 2])
@settings(max_examples=15)
@given(classes=st.sampled_from(DTYPES).flatmap(maps))
def test_majority_equals_its_rule(classes: np.ndarray, size: int, nodata: int | None) -> None:
    before = classes.copy()
    found = smooth_majority(classes, size, nodata=nodata)
    assert found.dtype == classes.dtype
    np.testing.assert_array_equal(found, majority(classes, size, nodata))
    np.testing.assert_array_equal(classes, before)


@given(classes=maps(np.uint8), size=st.sampled_from(SIZES), seed=st.integers(0, 99))
def test_names_of_classes_do_not_matter(classes: np.ndarray, size: int, seed: int) -> None:
    codes = np.random.default_rng(seed).permutation(256).astype(np.uint8)
    np.testing.assert_array_equal(smooth_majority(codes[classes], size), codes[smooth_majority(classes, size)])


@given(classes=maps(np.uint8), size=st.sampled_from(SIZES))
def test_mirrors_and_turns_commute(classes: np.ndarray, size: int) -> None:
    for turn in (np.fliplr, np.flipud, np.transpose):
        np.testing.assert_array_equal(smooth_majority(turn(classes), size), turn(smooth_majority(classes, size)))


@given(shape=SHAPES, size=st.sampled_from(SIZES), code=st.integers(0, 255))
def test_a_constant_map_stays(shape: tuple[int, int], size: int, code: int) -> None:
    field = np.full(shape, code, np.uint8)
    np.testing.assert_array_equal(smooth_majority(field, size), field)


@given(size=st.sampled_from((3, 5, 7)), y=st.integers(0, 8), x=st.integers(0, 8))
def test_a_single_odd_pixel_goes(size: int, y: int, x: int) -> None:
    field = np.full((9, 9), 3, np.uint8)
    field[y, x] = 7
    np.testing.assert_array_equal(smooth_majority(field, size), 3)
    beside_gap = field.copy()
    beside_gap[0] = 0
    np.testing.assert_array_equal(smooth_majority(beside_gap, size, nodata=0) == 0, beside_gap == 0)


def test_majority_of_stacks_threads_and_strides() -> None:
    stack = np.random.default_rng(0).integers(0, 5, (3, 150, 101)).astype(np.uint8)
    wanted = np.stack([smooth_majority(plane, 5) for plane in stack])
    np.testing.assert_array_equal(smooth_majority(stack, 5, n_threads=3), wanted)
    np.testing.assert_array_equal(smooth_majority(np.asfortranarray(stack), 5), wanted)
    np.testing.assert_array_equal(smooth_majority(stack[:, ::2, ::-1], 5)[:, :, ::-1], smooth_majority(stack[:, ::2], 5))
    assert smooth_majority(stack[:0], 3).shape == (0, 150, 101)
    negative = np.array([[-1, -1, -1], [-1, 5, -1], [-1, -1, -1]], np.int8)
    assert smooth_majority(negative, 3).tolist() == np.full((3, 3), -1).tolist()
    assert smooth_majority(negative, 3, nodata=-1).tolist() == negative.tolist()
    assert smooth_majority(negative, 3, nodata=255).tolist() == np.full((3, 3), -1).tolist()  # no int8


@settings(max_examples=15)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
@given(shape=st.tuples(st.integers(1, 4), st.integers(1, 13), st.integers(1, 15)), seed=st.integers(0, 2**16), gaps=st.booleans())
def test_bayes_equals_its_formulas(shape: tuple[int, ...], seed: int, gaps: bool, size: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    p = np.moveaxis(rng.dirichlet(np.full(shape[0], 0.4), shape[1:]), -1, 0).astype(np.float32)
    if gaps:
        p[rng.integers(shape[0]), rng.random(shape[1:]) < 0.1] = np.nan
    variance = rng.uniform(0, 30, shape[0]).tolist()
    found = smooth_bayes(p, size, variance, share=share)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, bayes(p, size, variance, share), atol=3e-6)
    there = ~np.isnan(p).any(0)
    np.testing.assert_allclose(found.sum(0)[there], 1, atol=1e-6)
    assert np.isnan(found[:, ~there]).all()


@given(chance=st.floats(0, 1, width=32), size=st.sampled_from(SIZES), variance=st.floats(0, 100))
def test_constant_probabilities_stay(chance: float, size: int, variance: float) -> None:
    p = np.stack([np.full((10, 80), chance, np.float32), np.full((10, 80), 1 - chance, np.float32)])
    np.testing.assert_allclose(smooth_bayes(p, size, variance), p, atol=2 * LEAST)


def test_rounded_probabilities_are_no_gaps() -> None:
    p = np.zeros((2, 3, 3), np.float32)
    p[0] = np.nextafter(np.float32(1), np.float32(2))
    np.testing.assert_allclose(smooth_bayes(p, 3, 20.0), [np.ones((3, 3)), np.zeros((3, 3))], atol=2 * LEAST)


def test_an_odd_pixel_follows_and_a_border_stays() -> None:
    p = np.full((2, 40, 90), 0.1, np.float32)
    p[0, :, :45] = 0.9
    p[1] = 1 - p[0]
    p[:, 20, 20] = 0.3, 0.7
    smooth = smooth_bayes(p, 9, 20.0)
    chosen = smooth.argmax(0)
    assert (chosen[:, :45] == 0).all()
    assert (chosen[:, 45:] == 1).all()
    # without noise nothing moves, where neighbours are not all alike
    assert smooth_bayes(p, 9, 1e-9, share=1)[0, 20, 20] == pytest.approx(0.3, abs=1e-3)


def test_bayes_of_stacks_and_threads() -> None:
    p = np.moveaxis(np.random.default_rng(0).dirichlet(np.ones(3), (2, 70, 150)), -1, 1).astype(np.float32)
    wanted = np.stack([smooth_bayes(plane, 5, 10.0) for plane in p])
    np.testing.assert_array_equal(smooth_bayes(p, 5, 10.0, n_threads=3), wanted)
    np.testing.assert_array_equal(smooth_bayes(p[:, :, ::2], 5, 10.0), np.stack([smooth_bayes(q, 5, 10.0) for q in p[:, :, ::2]]))
    assert smooth_bayes(p[:0], 5, 10.0).shape == (0, 3, 70, 150)


@given(n=st.integers(1, 40), seed=st.integers(0, 2**16))
def test_networks_bring_the_highest_to_the_end(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    k = int(rng.integers(1, n + 1))
    rows = rng.integers(0, 20, n).tolist()
    moved = list(rows)
    for i, j, use in highest_network(n, k).tolist():
        small, large = min(moved[i], moved[j]), max(moved[i], moved[j])
        moved[i], moved[j] = (small if use & 1 else 99), (large if use & 2 else 99)
    assert sorted(moved[n - k :]) == sorted(rows)[n - k :]


@given(hnp.arrays(np.float64, (5, 4), elements=st.floats(0.01, 1)))
def test_what_probabilities_come_to(weights: np.ndarray) -> None:
    p = weights / weights.sum(-1, keepdims=True)
    place, confidence, margin, entropy = describe(p)
    np.testing.assert_allclose(margin, np.sort(p, -1)[:, -1] - np.sort(p, -1)[:, -2], rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(place, p.argmax(-1))
    np.testing.assert_allclose(confidence, p.max(-1), rtol=1e-6)
    np.testing.assert_allclose(entropy, [-sum(v * math.log(v) / math.log(4) for v in row) for row in p], rtol=1e-5)
    assert (entropy <= 1 + 1e-6).all()
    missing = describe(np.where(np.arange(5)[:, None] == 2, np.nan, p))
    assert np.isnan([layer[2] for layer in missing[1:]]).all()
    assert not np.isnan([layer[1] for layer in missing[1:]]).any()
    assert [float(layer[0]) for layer in describe(np.ones((1, 1)))] == [0, 1, 1, 0]


def test_what_is_refused() -> None:
    field = np.ones((4, 4), np.uint8)
    for size in (2, 0, -3, 103, 3.0, True):
        with pytest.raises(XSentinelError, match=f"size is {size}"):
            smooth_majority(field, size)
    with pytest.raises(UnitsError, match="float64"):
        smooth_majority(field.astype(float), 3)
    p = np.full((2, 3, 3), 0.5)
    with pytest.raises(XSentinelError, match="share is 0"):
        smooth_bayes(p, 3, 1.0, share=0)
    with pytest.raises(XSentinelError, match="one for each of 2 classes"):
        smooth_bayes(p, 3, [1.0, 2.0, 3.0])
    with pytest.raises(XSentinelError, match="variance is -1"):
        smooth_bayes(p, 3, -1)
    with pytest.raises(UnitsError, match="uint8"):
        smooth_bayes(field[None], 3, 1.0)
