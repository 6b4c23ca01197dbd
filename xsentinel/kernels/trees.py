"""Decision trees over the series of pixels: dates filled along time, then down all trees, tree after tree.

Pixels are taken in blocks that stay in the second-level cache with one tree; within a block, groups of pixels go
down side by side, so that the processor waits for the nodes of many at once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from xsentinel.errors import XSentinelError
from xsentinel.kernels.compiled import compiled, inlined

BLOCK = 512
"""Pixels that a tree is gone down with before the next tree is."""

GROUP = 32
"""Pixels that go down side by side."""

_jit: Any = compiled  # Any: the functions below carry no types, blocks call them
_inline: Any = inlined


class Trees(NamedTuple):
    """Trees whose nodes stand level by level, the children of a node side by side, a leaf its own child."""

    feature: npt.NDArray[np.int32]
    """(tree, node)."""
    threshold: npt.NDArray[np.float32]
    """(tree, node): to the first child up to it, infinity in leaves."""
    child: npt.NDArray[np.int32]
    """(tree, node): the first of both."""
    value: npt.NDArray[np.float32]
    """(tree, node, class), or (tree, node, 1) of trees that are of one class each."""
    of_class: npt.NDArray[np.int64]
    """(tree,): class of each; not looked at where a value is of all classes."""
    depth: npt.NDArray[np.int64]
    """(tree,): decisions on the longest way down."""


def pack_trees(
    feature: npt.NDArray[Any],
    threshold: npt.NDArray[Any],
    left: npt.NDArray[Any],
    right: npt.NDArray[Any],
    value: npt.NDArray[Any],
    of_class: npt.NDArray[Any],
) -> Trees:
    """Bring trees, nodes in any order, into that of `Trees`.

    Parameters
    ----------
    feature, threshold, left, right : (tree, node)
        Up to the threshold to the left; leaves lead to themselves; the root is node 0.
    value : (tree, node, class or 1)
    of_class : (tree,)

    Raises
    ------
    XSentinelError
        If children are not within the tree, or it has a circle.
    """
    shape = feature.shape
    if min(left.min(), right.min()) < 0 or max(left.max(), right.max()) >= shape[1]:
        raise XSentinelError(f"children of trees are not among their {shape[1]} nodes: the weights are damaged; save the model again")
    packed = Trees(
        np.zeros(shape, np.int32),
        np.full(shape, np.inf, np.float32),
        np.tile(np.arange(shape[1], dtype=np.int32), (shape[0], 1)),
        np.zeros(value.shape, np.float32),
        of_class.astype(np.int64),
        np.zeros(shape[0], np.int64),
    )
    for k in range(shape[0]):
        order = _by_level(left[k], right[k], packed.child[k], packed.depth[k : k + 1])
        inner = left[k][order] != order
        n = len(order)
        packed.feature[k, :n] = np.where(inner, feature[k][order], 0)
        packed.threshold[k, :n] = np.where(inner, threshold[k][order], np.float32(np.inf))
        packed.value[k, :n] = value[k][order]
    return packed


def _by_level(left: npt.NDArray[Any], right: npt.NDArray[Any], child: npt.NDArray[Any], depth: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Give the nodes level by level; write where the children of each then stand, and how many levels there are."""
    level, order, n = np.zeros(1, np.int64), [np.zeros(1, np.int64)], 1
    while True:
        inner = left[level] != level
        at = np.flatnonzero(inner) + n - len(level)
        level = np.stack([left[level[inner]], right[level[inner]]], 1).ravel().astype(np.int64)
        if not len(level):
            return np.concatenate(order)
        if n + len(level) > len(left):
            raise XSentinelError(f"a tree of {len(left)} nodes leads in a circle: the weights are damaged; save the model again")
        child[at] = n + 2 * np.arange(len(at))
        order.append(level)
        n += len(level)
        depth += 1


@_inline
def _fill(series, x, steps):
    """Write the bands of one series, (date, band + 1), missing dates on the line between neighbours, the ends held."""
    n_dates, n_bands = series.shape[0], series.shape[1] - 1
    before = -1
    for t in range(n_dates):
        before = t if series[t, n_bands] > np.float32(0.5) else before
        steps[t] = before
    after = n_dates
    for t in range(n_dates - 1, -1, -1):
        after = t if series[t, n_bands] > np.float32(0.5) else after
        low = steps[t] if steps[t] >= 0 else after
        high = after if after < n_dates else low
        low, high = min(low, n_dates - 1), min(high, n_dates - 1)
        share = np.float32(t - low) / np.float32(max(high - low, 1))
        for k in range(n_bands):
            x[t * n_bands + k] = series[low, k] + share * (series[high, k] - series[low, k])


@_inline
def _descend(x, feature, threshold, child, depth, node):
    """Bring the nodes of GROUP pixels, (GROUP, feature), to their leaves."""
    node[:] = np.uint32(0)
    for _ in range(depth):
        moved = np.uint32(0)
        for p in range(GROUP):
            at = node[p]
            # infinity in leaves: nothing goes to their right; NaN does, as it does in scikit-learn
            beyond = np.uint32(0) if (x[p, feature[at]] <= threshold[at]) | (np.uint32(child[at]) == at) else np.uint32(1)
            following = np.uint32(child[at]) + beyond
            moved |= following ^ at
            node[p] = following
        if moved == 0:
            break


@_jit
def run_trees(series, trees, total):
    """Add what all trees say of each pixel, in the order of the trees.

    Parameters
    ----------
    series : (pixel, date, band + 1), float32
        The last plane is 1 where the date was seen, 0 elsewhere.
    trees : Trees
    total : (pixel, class), float32
        Added to.
    """
    n, n_dates, planes = series.shape
    n_trees, _, wide = trees.value.shape
    x, steps = np.zeros((BLOCK, n_dates * (planes - 1)), np.float32), np.empty(n_dates, np.int64)
    node = np.empty(GROUP, np.uint32)
    for begin in range(0, n, BLOCK):
        end = min(begin + BLOCK, n)
        for p in range(begin, end):
            _fill(series[p], x[p - begin], steps)
        for k in range(n_trees):
            feature, threshold, child, value = trees.feature[k], trees.threshold[k], trees.child[k], trees.value[k]
            for start in range(begin, end, GROUP):
                _descend(x[start - begin : start - begin + GROUP], feature, threshold, child, trees.depth[k], node)
                for p in range(min(GROUP, end - start)):
                    row, leaf = total[start + p], node[p]
                    if wide == 1:
                        row[trees.of_class[k]] += value[leaf, 0]
                    else:
                        for c in range(wide):
                            row[c] += value[leaf, c]
