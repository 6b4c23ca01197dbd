"""Pairs against a dictionary, and their laws."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xsentinel.kernels.confusion import Pairs, add_pairs, count_pairs, kappa, overall_accuracy, score_classes

DTYPES = [np.uint8, np.int8, np.uint16, np.int64, np.float32, bool]


def layers(dtype: type, largest: int = 5) -> st.SearchStrategy[tuple[np.ndarray, np.ndarray]]:
    values = st.booleans() if dtype is bool else st.integers(0, largest)
    return hnp.array_shapes(max_dims=3, max_side=9, min_side=0).flatmap(lambda s: st.tuples(*[hnp.arrays(dtype, s, elements=values)] * 2))


def as_counter(pairs: Pairs) -> Counter[tuple[float, float]]:
    assert (np.diff([complex(a, b) for a, b in zip(pairs.first, pairs.second, strict=True)]) != 0).all()
    return Counter({(float(a), float(b)): int(n) for a, b, n in zip(*pairs, strict=True)})


@given(st.sampled_from(DTYPES).flatmap(layers))
def test_pairs_are_counted(both: tuple[np.ndarray, np.ndarray]) -> None:
    first, second = both
    found = count_pairs(first, second)
    assert as_counter(found) == Counter(zip(first.ravel().astype(float), second.ravel().astype(float), strict=True))
    assert found.counts.sum() == first.size
    assert (found.counts > 0).all()


@given(layers(np.uint8, 255))
def test_tables_and_sorting_agree(both: tuple[np.ndarray, np.ndarray]) -> None:
    for one, other in zip(count_pairs(*both), count_pairs(*(b.astype(np.int32) for b in both)), strict=True):
        np.testing.assert_array_equal(one, other)


@given(st.lists(layers(np.uint8), min_size=1, max_size=4))
def test_pairs_add(parts: list[tuple[np.ndarray, np.ndarray]]) -> None:
    whole = count_pairs(*(np.concatenate([p[k].ravel() for p in parts]) for k in (0, 1)))
    for one, other in zip(add_pairs([count_pairs(*p) for p in parts]), whole, strict=True):
        np.testing.assert_array_equal(one, other)


def test_threads_strides_and_gaps() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 200, (2, 900, 1200)).astype(np.uint8)
    for one, other in zip(count_pairs(first, second, n_threads=3), count_pairs(first, second), strict=True):
        np.testing.assert_array_equal(one, other)
    assert as_counter(count_pairs(first[::7, ::3], second[::7, ::3])) == Counter(
        zip(first[::7, ::3].ravel().astype(float), second[::7, ::3].ravel().astype(float), strict=True)
    )
    gaps = count_pairs(np.array([np.nan, np.nan, 1.0]), np.array([2, 2, 2]))
    assert gaps.counts.tolist() == [1, 2]
    assert np.isnan(gaps.first[1])


def test_scores_of_nothing() -> None:
    empty = np.zeros((2, 2), np.int64)
    assert np.isnan(score_classes(empty).f1).all()
    assert np.isnan([overall_accuracy(empty), kappa(empty)]).all()


@given(hnp.arrays(np.int64, (4, 4), elements=st.integers(0, 50)))
def test_scores_lie_between_zero_and_one(confusion: np.ndarray) -> None:
    scores = score_classes(confusion)
    for values in scores[:3]:
        assert ((values >= 0) & (values <= 1) | np.isnan(values)).all()
    order = np.array([2, 0, 3, 1])
    mixed = score_classes(confusion[np.ix_(order, order)])
    np.testing.assert_array_equal(mixed.f1, scores.f1[order])
    assert kappa(confusion[np.ix_(order, order)]) == pytest.approx(kappa(confusion), nan_ok=True)
    swapped = score_classes(confusion.T)
    np.testing.assert_array_equal(swapped.users_accuracy, scores.producers_accuracy)
