"""Runners by kernels give what the module gives, and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

import xsentinel  # noqa: F401 – the accessor
from xsentinel.blocks import fast
from xsentinel.blocks.fast import freeze
from xsentinel.blocks.model import save_model
from xsentinel.classes import LabelClass
from xsentinel.errors import XSentinelError
from xsentinel.models.card import Card, Channel
from xsentinel.models.ensemble import Ensemble
from xsentinel.models.lstm import LSTM
from xsentinel.models.ltae import LTAE
from xsentinel.models.network import draw_masks
from xsentinel.models.series import SeriesRunner, fill
from xsentinel.training.crop_presets import CropPreset
from xsentinel.training.grow import grow_trees

DATES, BANDS = 6, 4
N_IN = DATES * (BANDS + 1)


def scene(height=40, width=50, seed=0):
    """Give (1, date × plane, y, x), a third of the dates missing."""
    rng = np.random.default_rng(seed)
    planes = rng.random((1, DATES, BANDS + 1, height, width)).astype(np.float32)
    planes[:, :, -1] = rng.random((1, DATES, height, width)) > 0.3
    return torch.from_numpy((planes * planes[:, :, -1:]).reshape(1, N_IN, height, width))


def lstm(seed=0, **settings):
    torch.manual_seed(seed)
    network = LSTM(N_IN, 5, DATES, **({"widths": [40, 21, 10], "dropout": 0.4} | settings)).eval()
    with torch.no_grad():
        network.head.weight.normal_(0, 3)
    return network


@torch.inference_mode()
def test_lstm_in_bf16_is_nearer_to_fp32_than_torch():
    network, x = lstm(), scene()
    exact, runner = network.freeze().once(x), freeze(network, torch.bfloat16)
    assert not isinstance(runner, SeriesRunner)
    ours = (runner.once(x.bfloat16()) - exact).square().mean().sqrt()
    plain = (network.freeze(torch.bfloat16).once(x.bfloat16()) - exact).square().mean().sqrt()
    assert ours < 0.02 * exact.std()
    assert ours < plain


@torch.inference_mode()
@pytest.mark.parametrize("height", [1, 21, 40])
def test_lstm_in_bf16_does_not_depend_on_the_cut(height):
    network, x = freeze(lstm(), torch.bfloat16), scene().bfloat16()
    whole = network.once(x)
    for left in (0, 7):
        assert torch.equal(network.once(x[:, :, -height:, left:]), whole[:, :, -height:, left:])
    both = network.once(torch.cat([x, x.flip(2)]))
    assert torch.equal(both, torch.cat([whole, whole.flip(2)]))


@torch.inference_mode()
@pytest.mark.parametrize("members", [1, 2])
def test_samples_are_those_of_the_module(members):
    network = lstm() if members == 1 else Ensemble([lstm(k) for k in range(members)]).eval()
    x = scene(9, 8)
    masks = [draw_masks(network.sites, 3, sample) for sample in range(3)]
    ours = list(freeze(network, torch.bfloat16).sampler(masks)(x.bfloat16()))
    module = list(network.freeze().sampler(masks)(x))
    assert len(ours) == len(module) == 3
    for one, exact in zip(ours, module, strict=True):
        assert (one - exact).square().mean().sqrt() < 0.03 * exact.std()
    assert not torch.equal(ours[0], ours[1])


@torch.inference_mode()
def test_an_ensemble_in_fp32_is_the_module():
    network, x = Ensemble([lstm(0), lstm(1)]).eval(), scene(9, 8)
    masks = [draw_masks(network.sites, 3, sample) for sample in range(2)]
    runner, module = freeze(network, torch.float32), network.freeze()
    torch.testing.assert_close(runner.once(x), module.once(x), rtol=1e-5, atol=1e-5)
    for one, other in zip(runner.sampler(masks)(x), module.sampler(masks)(x), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("network", "dtype"),
    [
        (lstm(), torch.float32),
        (LTAE(N_IN, 5, DATES, width=16, heads=4), torch.bfloat16),
    ],
)
def test_what_is_not_faster_runs_as_before(network, dtype):
    assert isinstance(freeze(network, dtype), SeriesRunner)


def grown(fit, **grower):
    x = scene(30, 30, seed=1).permute(2, 3, 1, 0).reshape(-1, N_IN, 1, 1)
    places = (3 * x[:, 0] + 2 * x[:, 8]).numpy()[:, 0, 0].astype(int).clip(0, 2)
    forest, _ = grow_trees(x, places, CropPreset("forest", fit=fit, grower=grower), N_IN, DATES, 3, 0)
    return forest, x, places


GROWERS = {"trees": {"n_estimators": 30}, "boosting": {"n_estimators": 10, "learning_rate": 0.2, "max_depth": 3}}


@torch.inference_mode()
@pytest.mark.parametrize("fit", GROWERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_trees_are_those_of_the_module(fit, dtype):
    forest, _, _ = grown(fit, **GROWERS[fit])
    x = scene(31, 33).to(dtype)
    runner = freeze(forest, dtype)
    assert not isinstance(runner, SeriesRunner)
    torch.testing.assert_close(runner.once(x), forest.freeze().once(x.float()), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(next(iter(runner.sampler([[]])(x))), runner.once(x), rtol=0, atol=0)


@torch.inference_mode()
@pytest.mark.parametrize("fit", GROWERS)
def test_trees_are_those_of_scikit_learn(fit):
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

    forest, x, places = grown(fit, **GROWERS[fit])
    kind = RandomForestClassifier if fit == "trees" else GradientBoostingClassifier
    peer = kind(random_state=0, **GROWERS[fit]).fit(fill(x.reshape(len(x), DATES, -1)).flatten(1).numpy(), places)
    new = scene(20, 21, seed=5)
    features = fill(new.permute(0, 2, 3, 1).reshape(-1, DATES, BANDS + 1)).flatten(1).numpy()
    ours = freeze(forest, torch.float32).once(new).softmax(1)[0].flatten(1).T.numpy()
    # a share of 0 counts as 1e-4, so that its logarithm is a number
    np.testing.assert_allclose(ours, peer.predict_proba(features), atol=3e-4)


def test_trees_that_look_beyond_their_inputs_are_refused():
    forest, _, _ = grown("trees", n_estimators=2)
    forest.feature[0, 0] = 1000
    with pytest.raises(XSentinelError, match="feature 1000 of 24"):
        freeze(forest, torch.float32)


def test_maps_by_kernels_are_the_same_for_any_chunking(tmp_path):
    forest, _, _ = grown("trees", n_estimators=20)
    names = ("B02", "B03", "B04", "B08")
    classes = tuple(LabelClass(k + 1, f"crop_{k}", "#123456") for k in range(3))
    settings = {"trees": 20, "nodes": forest.feature.shape[1], "depth": forest.depth}
    card = Card("grown", "forest", settings, tuple(Channel(b, 0, 1) for b in names), (), 10, 1, 0, "MIT", DATES, classes, 2)
    model = save_model(forest, card, tmp_path)
    values = scene(30, 41).reshape(DATES, BANDS + 1, 30, 41).numpy()
    values = np.where(values[:, -1:] > 0, values, np.nan)
    times = np.arange("2018-01", "2018-07", dtype="datetime64[M]").astype("datetime64[ns]")
    cube = xr.Dataset({b: (("time", "y", "x"), values[:, k], {"units": "1"}) for k, b in enumerate(names)}, {"time": times})
    options = {"probabilities": True, "precision": "auto"}
    maps, parts = cube.s2.crops(model, **options), cube.chunk({"y": 7, "x": 13, "time": 1}).s2.crops(model, **options).compute()
    np.testing.assert_array_equal(parts["class"], maps["class"])
    xr.testing.assert_allclose(parts, maps, rtol=0, atol=1e-6)  # torch takes logarithms eight at a time or one by one
    assert len(np.unique(maps["class"])) == 4  # 0 where too few dates were seen


def test_the_table_holds_networks():
    assert {kind.__name__ for kind in fast.FAST} == {"LSTM", "Forest", "FGForest", "Ensemble"}
