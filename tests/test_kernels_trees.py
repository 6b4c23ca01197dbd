"""Decision trees against a walk down each, pixel after pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xsentinel.errors import XSentinelError
from xsentinel.kernels.trees import BLOCK, pack_trees, run_trees


def random_trees(rng, n_trees, n_nodes, n_features, wide):
    """Trees grown by splitting a leaf at random, the numbers of their nodes shuffled; leaves lead to themselves."""
    shape = (n_trees, n_nodes)
    feature, threshold = rng.integers(0, n_features, shape).astype(np.int16), rng.normal(0, 1, shape).astype(np.float32)
    left = np.tile(np.arange(n_nodes), (n_trees, 1))
    right = left.copy()
    for k in range(n_trees):
        free = list(rng.permutation(np.arange(1, n_nodes)))
        leaves = [0]
        for _ in range(int(rng.integers(0, n_nodes // 2 + 1))):
            if len(free) < 2:
                break
            node = leaves.pop(int(rng.integers(len(leaves))))
            left[k, node], right[k, node] = free.pop(), free.pop()
            leaves += [left[k, node], right[k, node]]
    return feature, threshold, left, right, rng.random((*shape, wide)).astype(np.float32), rng.integers(0, 3, n_trees)


def random_series(rng, n, dates, bands):
    series = rng.normal(0, 1, (n, dates, bands + 1)).astype(np.float32)
    series[..., -1] = rng.random((n, dates)) < 0.6
    return series * series[..., -1:]


def filled(series):
    """Missing dates on the line between neighbours; nothing seen: 0."""
    there = np.flatnonzero(series[:, -1] > 0.5)
    if not len(there):
        return np.zeros(series.shape[0] * (series.shape[1] - 1))
    return np.stack([np.interp(np.arange(len(series)), there, band[there]) for band in series[:, :-1].T.astype(np.float64)], 1).ravel()


def twin(series, trees, n_classes):
    feature, threshold, left, right, value, of_class = trees
    total = np.zeros((len(series), n_classes))
    for p, one in enumerate(series):
        x = filled(one)
        for k in range(len(feature)):
            node = 0
            while left[k, node] != node:
                node = left[k, node] if x[feature[k, node]] <= threshold[k, node] else right[k, node]
            if value.shape[2] == 1:
                total[p, of_class[k]] += value[k, node, 0]
            else:
                total[p] += value[k, node]
    return total


@pytest.mark.parametrize("wide", [1, 3])
@given(
    n=st.integers(0, 70),
    dates=st.integers(1, 6),
    bands=st.integers(1, 4),
    n_trees=st.integers(1, 5),
    nodes=st.integers(1, 30),
    seed=st.integers(0, 999),
)
def test_trees_against_twin(wide, n, dates, bands, n_trees, nodes, seed):
    rng = np.random.default_rng(seed)
    trees, series = random_trees(rng, n_trees, nodes, dates * bands, wide), random_series(rng, n, dates, bands)
    total = np.zeros((n, 3), np.float32)
    run_trees(series, pack_trees(*trees), total)
    np.testing.assert_allclose(total, twin(series, trees, 3), rtol=1e-5, atol=1e-6)


def test_any_cut_gives_the_same_bits():
    rng = np.random.default_rng(0)
    packed, series = pack_trees(*random_trees(rng, 20, 60, 12, 3)), random_series(rng, 2 * BLOCK + 37, 4, 3)
    whole, parts = np.zeros((len(series), 3), np.float32), np.zeros((len(series), 3), np.float32)
    run_trees(series, packed, whole)
    for a, b in ((0, 1), (1, BLOCK + 5), (BLOCK + 5, len(series))):
        run_trees(series[a:b], packed, parts[a:b])
    np.testing.assert_array_equal(parts, whole)
    assert len(np.unique(whole)) > 10


@pytest.mark.parametrize(
    ("left", "right", "message"), [([1, 0], [1, 0], "circle"), ([2, 1], [1, 1], "not among"), ([-1, 1], [1, 1], "not among")]
)
def test_damaged_trees_are_refused(left, right, message):
    zeros = np.zeros((1, 2))
    with pytest.raises(XSentinelError, match=message):
        pack_trees(zeros, zeros, np.array([left]), np.array([right]), np.zeros((1, 2, 1)), np.zeros(1))
