"""Smoothing of class maps beside scipy and scikit-image, on one core each; and how much of a simulated map it puts right.

Peers that are slow get fewer pixels; ratios are per pixel. scikit-image is taken where it is there (``pip install scikit-image``).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

import xsentinel as xs
from benchmarks.common import Layout
from xsentinel.kernels.confusion import count_pairs
from xsentinel.kernels.majority import smooth_majority
from xsentinel.kernels.probabilities import LEAST, smooth_bayes

CLASSES = 15
SIZES = [3, 7]
FEW = 128
"""Pixels along a side that slow peers get."""


@cache
def classes(side: int) -> np.ndarray:
    """Give fields of 16 × 16 pixels, a twentieth of the pixels of any class."""
    rng = np.random.default_rng(0)
    n = -(-side // 16)
    fields = np.kron(rng.integers(1, CLASSES + 1, (n, n), dtype=np.uint8), np.ones((16, 16), np.uint8))[:side, :side]
    odd = rng.random(fields.shape, dtype=np.float32) < 0.05
    return np.where(odd, rng.integers(1, CLASSES + 1, fields.shape, dtype=np.uint8), fields)


@cache
def chances(side: int) -> np.ndarray:
    """Give probabilities (class, y, x) of the same fields."""
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 1, (CLASSES, side, side)).astype(np.float32)
    logits += 4 * (np.arange(1, CLASSES + 1)[:, None, None] == classes(side))
    odds = np.exp(logits)
    probability: np.ndarray = odds / odds.sum(0)
    return probability


def measure(benchmark: Any, group: str, what: str, role: str, pixels: int, run: Callable[[], Any]) -> Any:
    benchmark.group = f"{group}, one core"
    benchmark.extra_info.update({"what": what, "role": role, "pixels": pixels})
    return benchmark.pedantic(run, rounds=3, warmup_rounds=1)


def inside(values: np.ndarray, size: int) -> np.ndarray:
    """Give what peers, which see more or less beyond the border, have in common."""
    return values[..., size:-size, size:-size]


@pytest.mark.parametrize("size", SIZES)
def test_majority(benchmark: Any, layout: Layout, size: int) -> None:
    side = min(layout.side, 2048)
    measure(benchmark, f"Majority, {size} × {size}, uint8", "xsentinel", "ours", side * side, lambda: smooth_majority(classes(side), size))


def mode(window: np.ndarray) -> float:
    """Give the code with more votes than each other, the centre's if there is none."""
    counts = np.bincount(window.astype(np.intp))
    top = np.flatnonzero(counts == counts.max())
    return float(top[0] if top.size == 1 else window[window.size // 2])


@pytest.mark.parametrize("size", SIZES)
def test_majority_of_generic_filter(benchmark: Any, size: int) -> None:
    field = classes(FEW)
    found = measure(
        benchmark, f"Majority, {size} × {size}, uint8", "scipy.ndimage.generic_filter, bincount", "peer", FEW * FEW,
        lambda: ndimage.generic_filter(field, mode, size),
    )  # fmt: skip
    np.testing.assert_array_equal(inside(found, size), inside(smooth_majority(field, size), size))


@pytest.mark.parametrize("size", SIZES)
def test_majority_of_counts(benchmark: Any, size: int) -> None:
    """The way of numpy: a box filter a class."""
    field = classes(4 * FEW)

    def run() -> np.ndarray:
        votes = np.stack([ndimage.uniform_filter((field == k).astype(np.float32), size) for k in range(1, CLASSES + 1)])
        winner: np.ndarray = votes.argmax(0) + 1
        return winner

    found = measure(benchmark, f"Majority, {size} × {size}, uint8", "scipy.ndimage.uniform_filter a class", "peer", field.size, run)
    alike = inside(found == smooth_majority(field, size), size).mean()
    assert alike > 0.9  # ties go to the first class


@pytest.mark.parametrize("size", SIZES)
def test_majority_of_skimage(benchmark: Any, layout: Layout, size: int) -> None:
    rank = pytest.importorskip("skimage.filters.rank", reason="peer: pip install scikit-image")
    field = classes(min(layout.side, 1024))
    found = measure(
        benchmark, f"Majority, {size} × {size}, uint8", "skimage.filters.rank.majority", "peer", field.size,
        lambda: rank.majority(field, np.ones((size, size), np.uint8)),
    )  # fmt: skip
    assert inside(found == smooth_majority(field, size), size).mean() > 0.9  # ties go otherwise


@pytest.mark.parametrize("size", [3, 9])
def test_bayes(benchmark: Any, layout: Layout, size: int) -> None:
    side = min(layout.side, 512)
    group = f"Bayes, {size} × {size}, {CLASSES} classes"
    measure(benchmark, group, "xsentinel", "ours", side * side, lambda: smooth_bayes(chances(side), size, 20.0))


def bayes_numpy(probability: np.ndarray, size: int) -> np.ndarray:
    """Windows as views, the highest half by partition."""
    p = np.clip(probability, LEAST, 1 - LEAST)
    logits = np.log(p / (1 - p))
    reach, kept = size // 2, -(-size * size // 2)
    out = []
    for layer in logits:
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(layer, reach, mode="reflect"), (size, size))
        highest = -np.partition(-windows.reshape(*layer.shape, -1), kept - 1, axis=-1)[..., :kept]
        mean, spread = highest.mean(-1), highest.var(-1, ddof=1)
        out.append((spread * layer + 20 * mean) / (spread + 20))
    chance = 1 / (1 + np.exp(-np.stack(out)))
    smooth: np.ndarray = chance / chance.sum(0)
    return smooth


@pytest.mark.parametrize("size", [3, 9])
def test_bayes_of_numpy(benchmark: Any, size: int) -> None:
    values = chances(FEW)
    group = f"Bayes, {size} × {size}, {CLASSES} classes"
    found = measure(benchmark, group, "numpy, sliding windows and partition", "peer", FEW * FEW, lambda: bayes_numpy(values, size))
    np.testing.assert_allclose(inside(found, size), inside(smooth_bayes(values, size, 20.0), size), atol=1e-4)


def test_smoothing_and_accuracy(benchmark: Any, layout: Layout) -> None:
    """A pixel-wise classifier as good as noise lets it be, before and after: in the notes of the benchmark."""
    land = xs.simulate.landscape((min(layout.side, 600),) * 2, ["2019-06-01"], seed=5)
    truth = land.truth["class"].compute()
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 1, (17, *truth.shape)).astype(np.float32) + 3 * (np.arange(1, 18)[:, None, None] == truth.values)
    probability = (np.exp(logits) / np.exp(logits).sum(0)).astype(np.float32)
    found = truth.copy(data=(probability.argmax(0) + 1).astype(np.uint8)).to_dataset(name="class")
    found["probability"] = ("category", "y", "x"), probability
    maps = {"as it was": found, **{f"{m} {n} × {n}": found.s2.smooth(m, size=n) for m in ("majority", "bayes") for n in (3, 5, 9)}}
    accuracy = {name: xs.accuracy.assess(m, truth).overall_accuracy for name, m in maps.items()}
    benchmark.group = "Smoothing a noisy map of a simulated landscape, overall accuracy"
    said = {k: f"{100 * v:.1f} %" for k, v in accuracy.items()}
    benchmark.extra_info.update({"what": "xs.accuracy.assess", "role": "ours", "pixels": truth.size, **said})
    benchmark.pedantic(xs.accuracy.assess, (found, truth), rounds=3)
    assert max(accuracy.values()) > accuracy["as it was"]


def test_confusion(benchmark: Any, layout: Layout) -> None:
    field = classes(min(layout.side, 4096))
    other = np.roll(field, 1)
    measure(benchmark, "Confusion matrix, uint8", "xsentinel", "ours", field.size, lambda: count_pairs(field, other))


def test_confusion_of_scikit_learn(benchmark: Any, layout: Layout) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    field = classes(min(layout.side, 1024)).reshape(-1)
    other = np.roll(field, 1)
    found = measure(
        benchmark, "Confusion matrix, uint8", "sklearn.metrics.confusion_matrix", "peer", field.size,
        lambda: metrics.confusion_matrix(other, field),
    )  # fmt: skip
    np.testing.assert_array_equal(found, xs.accuracy.assess(field, other).confusion)
