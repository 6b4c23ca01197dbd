"""What scikit-learn fits, written into networks: forests, boosted trees, the linear end of ROCKET."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xsentinel.models.forest import Forest
from xsentinel.models.rocket import Rocket
from xsentinel.models.series import fill

Array = npt.NDArray[Any]


class Growth(Protocol):
    """What a preset says of trees."""

    @property
    def fit(self) -> str:
        """Boosting, or anything else for a random forest."""

    @property
    def weighted(self) -> bool:
        """Whether classes count alike, however many samples they have."""

    @property
    def grower(self) -> Mapping[str, Any]:
        """What scikit-learn's estimator is made with."""


def grow_trees(x: Tensor, places: Array, preset: Growth, n_in: int, dates: int, n_classes: int, seed: int) -> tuple[Forest, dict[str, Any]]:
    """Grow a random forest, or boosted trees, over series with missing dates filled; give it and its settings.

    Parameters
    ----------
    x : Tensor (sample, date × plane, 1, 1)
    places : (sample,), int
        Classes 0 … n_classes − 1.
    preset : Growth
    n_in, dates, n_classes : int
    seed : int
    """
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

    features = fill(x.reshape(len(x), dates, -1)).flatten(1).numpy()
    votes = preset.fit != "boosting"
    kind: Any = RandomForestClassifier if votes else GradientBoostingClassifier
    weighting = "balanced" if preset.weighted else None
    more = {"n_jobs": torch.get_num_threads(), "class_weight": weighting} if votes else {}
    grown = kind(random_state=seed, **preset.grower, **more).fit(features, places)
    trees = list(np.ravel(grown.estimators_))
    columns = np.asarray(grown.classes_, np.int64)
    settings = {
        "trees": len(trees),
        "nodes": max(t.tree_.node_count for t in trees),
        "depth": max(t.tree_.max_depth for t in trees),
        "votes": votes,
    }
    forest = Forest(n_in, n_classes, dates, **settings)
    for k, tree in enumerate(trees):
        _write(forest, k, tree.tree_, columns, 1.0 if forest.votes else float(preset.grower["learning_rate"]))
    if not forest.votes:
        # of two classes scikit-learn steps for the second only
        each = columns if grown.estimators_.shape[1] > 1 else columns[1:]
        forest.of_class[:] = torch.from_numpy(np.tile(each, len(trees) // len(each)))
        forest.start[:] = torch.log(torch.from_numpy(np.bincount(places, minlength=n_classes) / len(places)).clamp(min=1e-6))
    return forest, settings


def _write(forest: Forest, k: int, tree: Any, columns: Array, step: float) -> None:
    """Write one tree into the tensors."""
    n, itself = tree.node_count, np.arange(tree.node_count)
    leaf = tree.children_left < 0
    forest.feature[k, :n] = torch.from_numpy(np.where(leaf, 0, tree.feature).astype(np.int16))
    forest.left[k, :n] = torch.from_numpy(np.where(leaf, itself, tree.children_left).astype(np.int32))
    forest.right[k, :n] = torch.from_numpy(np.where(leaf, itself, tree.children_right).astype(np.int32))
    # the greatest float32 that is not above it decides as the float64 does
    exact = tree.threshold
    rounded = exact.astype(np.float32)
    forest.threshold[k, :n] = torch.from_numpy(np.where(rounded > exact, np.nextafter(rounded, np.float32(-np.inf)), rounded))
    values = tree.value[:, 0]
    if forest.votes:
        shares = values / values.sum(1, keepdims=True)
        forest.value[k, :n][:, torch.from_numpy(columns)] = torch.from_numpy(shares.astype(np.float32))
    else:
        forest.value[k, :n] = torch.from_numpy((step * values).astype(np.float32))


def fit_rocket(network: Rocket, x: Tensor, places: Array, seed: int) -> None:
    """Draw the bands and biases of ROCKET's kernels from the samples, and fit its linear end by ridge regression.

    The penalty is chosen by leave-one-out among 10⁻³ … 10⁴; answers are scaled so that their softmax fits best to
    samples that the halves of them were not fitted to.
    """
    from sklearn.linear_model import RidgeClassifier, RidgeClassifierCV

    rng = np.random.default_rng(seed)
    series = x.reshape(len(x), network.dates, -1)
    with torch.inference_mode():
        _draw(network, series, rng)
        features = torch.cat([network.features(part) for part in torch.split(series, 512)])
        network.centre[:], network.spread[:] = features.mean(0), features.std(0).clamp(min=1e-4) * features.shape[1] ** 0.5
        scaled = ((features - network.centre) / network.spread).numpy()
        ridge = RidgeClassifierCV(alphas=np.logspace(-3, 4, 15)).fit(scaled, places)
        half = rng.random(len(places)) < 0.5
        n_classes = network.head.out_features
        apart = np.empty((len(places), n_classes), np.float32)
        for side in (half, ~half):
            weight, bias = _linear(RidgeClassifier(alpha=ridge.alpha_).fit(scaled[side], places[side]), n_classes)
            apart[~side] = scaled[~side] @ weight.T + bias
        sharp = _sharpness(apart, places)
        weight, bias = _linear(ridge, n_classes)
        network.head.weight[:], network.head.bias[:] = torch.from_numpy(sharp * weight), torch.from_numpy(sharp * bias)


def _linear(ridge: Any, n_classes: int) -> tuple[Array, Array]:
    """Give weights and biases of all classes, far down for those that were not there."""
    weight = np.zeros((n_classes, ridge.coef_.shape[1]), np.float32)
    bias = np.full(n_classes, -2.0, np.float32)
    two = len(ridge.coef_) == 1
    weight[ridge.classes_] = np.concatenate([-ridge.coef_, ridge.coef_]) if two else ridge.coef_
    bias[ridge.classes_] = np.concatenate([-ridge.intercept_, ridge.intercept_]) if two else ridge.intercept_
    return weight, bias


def _draw(network: Rocket, series: Tensor, rng: np.random.Generator) -> None:
    """Choose 1 … 9 bands for each kernel, and quantiles of its answer to one sample as biases."""
    n_bands = network.planes - 1
    for k in range(len(network.mixing)):
        for j in range(network.mixing.shape[1]):
            n_chosen = int(2 ** rng.uniform(0, np.log2(min(n_bands, 9) + 1)))
            network.mixing[k, j, rng.choice(n_bands, min(n_bands, n_chosen), replace=False)] = 1.0
        some = series[torch.from_numpy(rng.choice(len(series), min(len(series), 64), replace=False))]
        answers = network.responses(some, k).permute(1, 0, 2)
        quantiles = torch.from_numpy(((np.arange(network.biases.shape[2]) + 1) * 0.6180339887 % 1).astype(np.float32))
        for j, answer in enumerate(answers):
            network.biases[k, j] = torch.quantile(answer[int(rng.integers(len(answer)))], quantiles)


def _sharpness(answers: Array, places: Array) -> np.float32:
    """Give the factor of the answers at which the likelihood of the classes is greatest."""
    factors = np.geomspace(0.5, 30, 40)
    logits, truth = torch.from_numpy(answers), torch.from_numpy(places)
    losses = [float(torch.nn.functional.cross_entropy(logits * float(f), truth)) for f in factors]
    return np.float32(factors[int(np.argmin(losses))])
