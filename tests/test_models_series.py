"""Networks over series: gaps in time, forests, ROCKET, ensembles; each against a slow twin."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xsentinel.models.ensemble import Ensemble
from xsentinel.models.forest import Forest
from xsentinel.models.lstm import LSTM
from xsentinel.models.ltae import LTAE
from xsentinel.models.rocket import LENGTH, Rocket
from xsentinel.models.series import fill
from xsentinel.models.tempcnn import TempCNN

DATES, BANDS, CLASSES = 7, 2, 3


def series(n=5, seed=0, missing=0.4, dates=DATES, bands=BANDS):
    """Give (pixel, date, band + 1) with dates missing, their bands at 0."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, dates, bands + 1)).astype(np.float32)
    x[..., -1] = rng.random((n, dates)) >= missing
    x[..., :-1] *= x[..., -1:]
    return torch.from_numpy(x)


def filled_slowly(x):
    out = np.zeros((*x.shape[:2], x.shape[2] - 1), np.float32)
    for p, one in enumerate(x.numpy()):
        there = np.flatnonzero(one[:, -1] > 0.5)
        for b in range(out.shape[2]):
            if there.size:
                out[p, :, b] = np.interp(np.arange(len(one)), there, one[there, b])
    return out


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 1), st.integers(1, 9))
def test_gaps_in_time_are_filled_on_a_line_and_ends_held(seed, missing, dates):
    x = series(6, seed, missing, dates)
    np.testing.assert_allclose(fill(x).numpy(), filled_slowly(x), atol=1e-5)


def test_attention_passes_over_dates_that_were_not_seen():
    network = LTAE(DATES * (BANDS + 1), CLASSES, DATES, width=16, heads=4, keys=4, dense=8).eval()
    x = series(missing=0.3)
    there = x[..., -1] > 0.5
    other = torch.where((x[..., -1:] > 0.5), x, torch.cat([torch.randn(5, DATES, BANDS), torch.zeros(5, DATES, 1)], 2))
    assert not torch.equal(x, other)
    assert there.any(1).all()
    torch.testing.assert_close(network.classify(x, [None] * 3), network.classify(other, [None] * 3))


@pytest.mark.parametrize("kind", [LSTM, TempCNN, LTAE])
def test_a_date_that_was_not_seen_is_no_reflectance_of_the_mean(kind):
    torch.manual_seed(0)
    network = kind(DATES * (BANDS + 1), CLASSES, DATES).eval()
    x = torch.zeros(1, DATES, BANDS + 1)
    seen = x.clone()
    seen[..., -1] = 1
    masks = [None] * len(network.sites)
    assert not torch.allclose(network.classify(x, masks), network.classify(seen, masks), atol=1e-4)


def test_planes_that_no_number_of_dates_shares():
    with pytest.raises(ValueError, match="20 planes cannot be of 7 dates"):
        LSTM(20, CLASSES, 7)


def n_parameters(network):
    return sum(p.numel() for p in network.parameters())


def test_the_lstm_of_the_paper():
    """Four gates of a layer: inputs, states and torch's two biases; ten bands and the plane of what was seen."""
    widths, planes, classes = (200, 125, 100), 11, 15
    inputs = (planes, *widths[:-1])
    gates = sum(4 * w * (i + w + 2) for i, w in zip(inputs, widths, strict=True))
    assert n_parameters(LSTM(12 * planes, classes, 12)) == gates + widths[-1] * classes + classes == 426_215


def random_forest(trees=3, nodes=7, votes=True, seed=0):
    """Full binary trees of depth 2 with random decisions."""
    rng = np.random.default_rng(seed)
    forest = Forest(DATES * (BANDS + 1), CLASSES, DATES, trees=trees, nodes=nodes, depth=2, votes=votes)
    forest.feature[:] = torch.from_numpy(rng.integers(0, DATES * BANDS, (trees, nodes)).astype(np.int16))
    children = np.array([[1, 2], [3, 4], [5, 6], [3, 3], [4, 4], [5, 5], [6, 6]], np.int32)
    forest.left[:], forest.right[:] = torch.from_numpy(children[:, 0]), torch.from_numpy(children[:, 1])
    forest.threshold[:] = torch.from_numpy(rng.normal(scale=0.5, size=(trees, nodes)).astype(np.float32))
    forest.value[:] = torch.from_numpy(rng.dirichlet(np.ones(CLASSES), (trees, nodes)).astype(np.float32)[..., : forest.value.shape[2]])
    forest.of_class[:] = torch.from_numpy(rng.integers(0, CLASSES, trees))
    return forest


@pytest.mark.parametrize("votes", [True, False])
def test_a_forest_decides_as_its_trees_do(votes):
    forest, x = random_forest(votes=votes), series(40, missing=0.2)
    features = filled_slowly(x).reshape(40, -1)
    total = np.zeros((40, CLASSES))
    for p, row in enumerate(features):
        for t in range(3):
            node = 0
            for _ in range(2):
                goes_left = row[int(forest.feature[t, node])] <= float(forest.threshold[t, node])
                node = int((forest.left if goes_left else forest.right)[t, node])
            if votes:
                total[p] += forest.value[t, node].numpy() / 3
            else:
                total[p, int(forest.of_class[t])] += float(forest.value[t, node, 0])
    found = forest.classify(x, [])
    np.testing.assert_allclose((found.softmax(1) if votes else found).numpy(), total, atol=1e-5)


def test_rocket_counts_the_share_above_each_bias():
    network = Rocket((BANDS + 1) * 12, CLASSES, 12, biases=2)
    rng = np.random.default_rng(1)
    network.mixing[:] = torch.from_numpy(rng.integers(0, 2, network.mixing.shape).astype(np.float32))
    network.biases[:] = torch.from_numpy(rng.normal(size=network.biases.shape).astype(np.float32))
    x = series(3, dates=12, missing=0.3)
    filled = filled_slowly(x)
    found = network.features(x).numpy().reshape(3, 2, 2, 84)  # straight and differences, biases, kernels
    for way, k, bias in ((0, 5, 0), (0, 83, 1), (1, 40, 1)):
        for p in range(3):
            line = filled[p] @ network.mixing[way, k].numpy()
            if way:
                line = np.concatenate([[0], np.diff(line)])
            weights = network.weights[k, 0].numpy()
            padded = np.pad(line, LENGTH // 2)
            answer = np.array([padded[i : i + LENGTH] @ weights for i in range(12)])
            assert found[p, way, bias, k] == pytest.approx((answer > float(network.biases[way, k, bias])).mean(), abs=1e-6)
    assert (network.weights.sum((1, 2)) == 0).all(), "kernels tell no level"


def test_an_ensemble_averages_probabilities():
    torch.manual_seed(0)
    members = [LSTM(DATES * (BANDS + 1), CLASSES, DATES, widths=[5], dropout=0.4) for _ in range(3)]
    network, x = Ensemble(members).eval(), series()
    expected = torch.stack([m.classify(x, [None]).softmax(1) for m in members]).mean(0)
    torch.testing.assert_close(network(x.flatten(1)[..., None, None]).softmax(1)[..., 0, 0], expected)
    assert len(network.sites) == 3
