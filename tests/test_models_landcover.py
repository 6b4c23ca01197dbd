"""Networks of land cover: parameters of the paper, late fusion beside a slow twin, neighbourhoods, memory, trees."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xsentinel.blocks.fast import freeze
from xsentinel.blocks.model import read_network, save_model
from xsentinel.classes import LabelClass
from xsentinel.models import frozenfusion
from xsentinel.models.card import Card, Channel
from xsentinel.models.convlstm import ConvLSTM
from xsentinel.models.fgforest import FGForest
from xsentinel.models.fglstm import FGLSTM
from xsentinel.models.fgunet import FGUNet
from xsentinel.models.network import Masked, draw_masks
from xsentinel.models.tsfgunet import TSFGUNet
from xsentinel.training.crop_presets import CropPreset
from xsentinel.training.grow import grow_trees

DATES, BANDS, CLASSES = 33, 10, 17
TABLE_2 = {
    "MLP 3 layers": (FGUNet, {"widths": ()}, 40_717),
    "LSTM 3 layers": (FGLSTM, {}, 324_024),
    "U-Net 3 steps": (FGUNet, {"pixel": ()}, 485_297),
    "FG-UNET": (FGUNet, {}, 525_997),
    "TSFG-UNET": (TSFGUNet, {}, 4_137_272),
}


@pytest.mark.parametrize("row", TABLE_2)
def test_as_many_parameters_as_the_paper_says(row):
    kind, settings, n = TABLE_2[row]
    network = kind(DATES * BANDS, CLASSES, DATES, **settings)
    assert sum(p.numel() for p in network.parameters()) == n


def scene(network, height=24, width=20, seed=0):
    torch.manual_seed(seed)
    return torch.rand(1, network.dates * network.planes, height, width) * 1.4 - 0.2


def slowly(network, x):
    """Take group after group through the body by hand, every layer by its formula, in float64."""
    body, per = network.body, network.dates // network.groups * network.planes
    found = []
    for g in range(network.groups):
        y = x[:, g * per : (g + 1) * per].double().clamp(0, 1)
        trunk, skips = y, []
        for level, (first, second) in enumerate(body.down):
            trunk = torch.nn.functional.max_pool2d(trunk, 2) if level else trunk
            for layer in (first, second):
                trunk = torch.nn.functional.conv2d(trunk, layer.weight.double(), layer.bias.double(), padding=1).clamp(min=0)
            skips.append(trunk)
        for (first, second), skip in zip(body.up, skips[-2::-1], strict=True):
            trunk = torch.cat([skip, trunk.repeat_interleave(2, 2).repeat_interleave(2, 3)], 1)
            for layer in (first, second):
                trunk = torch.nn.functional.conv2d(trunk, layer.weight.double(), layer.bias.double(), padding=1).clamp(min=0)
        for layer in body.pixel:
            y = (torch.einsum("oi,biyx->boyx", layer.weight[:, :, 0, 0].double(), y) + layer.bias.double()[:, None, None]).clamp(min=0)
        found += [trunk, y]
    together = torch.cat(found, 1)
    return torch.einsum("oi,biyx->boyx", network.head.weight[:, :, 0, 0].double(), together) + network.head.bias.double()[:, None, None]


def thin(seed=0, **settings):
    torch.manual_seed(seed)
    network = FGUNet(6 * 4, 5, 6, **({"groups": 3, "pixel": (9, 7), "widths": (6, 8, 9)} | settings)).eval()
    for p in network.parameters():
        torch.nn.init.normal_(p, 0, 0.3)
    with torch.no_grad():
        network.head.weight /= network(scene(network)).std()
    return network


@torch.no_grad()
def test_late_fusion_is_one_network_over_each_group():
    network = thin()
    x = scene(network)
    torch.testing.assert_close(network(x).double(), slowly(network, x), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(network.freeze().once(x).double(), slowly(network, x), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_planes_are_clipped_and_gaps_stay_zero():
    network = thin()
    x = scene(network)
    torch.testing.assert_close(network(x), network(x.clamp(0, 1)), rtol=0, atol=0)
    assert not torch.allclose(thin(clip=False)(x), network(x))
    frozen, zero = network.freeze(), torch.zeros_like(x)
    torch.testing.assert_close(frozen.once(zero), network(zero), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(frozen.once(-zero - 1e-30), network(zero), rtol=1e-5, atol=1e-5)


REGIONS = [(slice(8, 16), slice(5, 11)), (slice(0, 3), slice(19, 20)), (slice(23, 24), slice(0, 20)), (slice(1, 23), slice(7, 8))]


@torch.no_grad()
@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("settings", [{}, {"widths": (6,)}, {"pixel": ()}, {"widths": ()}, {"dropout": 0.4}])
def test_a_region_of_the_answer_is_that_of_the_whole(region, settings):
    network = thin(**settings)
    x, masks = scene(network), [draw_masks(network.sites, 1, k) for k in range(2)]
    frozen = network.freeze()
    torch.testing.assert_close(frozen.once(x, region), network(x)[..., region[0], region[1]], rtol=1e-5, atol=1e-5)
    for answer, one in zip(frozen.sampler(masks)(x, region), masks, strict=True):
        torch.testing.assert_close(answer, network(x, one)[..., region[0], region[1]], rtol=1e-5, atol=5e-5)


@torch.no_grad()
@pytest.mark.parametrize("pixels", [1, 7, 50, 10_000])
def test_pixels_at_once_change_nothing(monkeypatch, pixels):
    network, x = thin(), scene(thin())
    whole = network.freeze().once(x)
    monkeypatch.setitem(frozenfusion.PIXELS, torch.float32, pixels)
    torch.testing.assert_close(network.freeze().once(x), whole, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_a_sample_is_a_thinner_network():
    network = thin(dropout=0.5)
    frozen = network.freeze()
    masks = draw_masks(network.sites, 0, 0)
    thinned, whole = frozen.body.thinned(masks), frozen.plain
    assert [w.first.shape[0] for w in thinned.down] == [3, 4, 5]
    assert [w.second.shape[1] for w in thinned.up] == [4, 3]
    assert [w.second.shape[0] for w in thinned.down] == [w.second.shape[0] for w in whole.down]
    assert all(not torch.equal(a, b) for a, b in zip(thinned.pixel[1:], whole.pixel[1:], strict=True))


def test_the_memory_of_a_layer_is_a_long_short_term_memory():
    """Of 1×1 gates each pixel is a sequence that torch's own LSTM takes."""
    torch.manual_seed(0)
    layer, memory = ConvLSTM(3, 5, 1), {}
    theirs = torch.nn.LSTM(3, 5)
    with torch.no_grad():
        flat = layer.gates.weight[:, :, 0, 0]
        theirs.weight_ih_l0[:], theirs.weight_hh_l0[:] = flat[:, :3], flat[:, 3:]
        theirs.bias_ih_l0[:], theirs.bias_hh_l0[:] = layer.gates.bias, 0
        x = torch.randn(7, 2, 3, 4, 6)
        ours = torch.stack([layer(step, memory) for step in x])
        expected = theirs(x.permute(0, 1, 3, 4, 2).reshape(7, -1, 3))[0]
    torch.testing.assert_close(ours.permute(0, 1, 3, 4, 2).reshape(7, -1, 5), expected, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_dates_far_back_are_remembered_and_their_order_counts():
    torch.manual_seed(0)
    network = FGLSTM(8 * 2, 3, 8, pixel=(6,)).eval()
    x = torch.rand(1, 16, 2, 2)
    early = x.clone()
    early[:, :2] = 1 - early[:, :2]
    assert (network(early) - network(x)).abs().max() > 1e-4
    assert (network(x.reshape(1, 8, 2, 2, 2).flip(1).reshape(x.shape)) - network(x)).abs().max() > 1e-3


@torch.no_grad()
def test_one_class_can_be_near_certain():
    network = FGLSTM(4, CLASSES, 2, pixel=(3,)).eval()
    network.head.gates.weight.zero_()
    gates = network.head.gates.bias.reshape(4, CLASSES)
    gates[:] = 30
    gates[2] = torch.where(torch.arange(CLASSES) == 3, 30, -30)
    assert network(torch.rand(1, 4, 1, 1)).softmax(1)[0, 3] > 0.999


@pytest.fixture(scope="module")
def grown():
    """A body with random weights, and a forest that scikit-learn grew over what it finds."""
    from sklearn.ensemble import RandomForestClassifier

    network = thin()
    x = scene(network, 32, 32)
    settings = {"groups": 3, "pixel": [9, 7], "widths": [6, 8, 9]}
    places = (slowly(network, x)[0, :3] - slowly(network, x)[0, :3].mean((1, 2))[:, None, None]).argmax(0).flatten().numpy()
    bare = FGForest(6 * 4, 3, 6, **settings)
    bare.body.load_state_dict(network.body.state_dict())
    with torch.no_grad():
        series = bare.series(bare.features(x))
    planes, preset = series.reshape(len(series), -1, 1, 1), CropPreset("forest", fit="trees", grower={"n_estimators": 12, "max_depth": 7})
    forest, more = grow_trees(planes, places, preset, planes.shape[1], 3, 3, 0)
    done = FGForest(6 * 4, 3, 6, **settings, **more).eval()
    done.body.load_state_dict(network.body.state_dict())
    done.forest.load_state_dict(forest.state_dict())
    theirs = RandomForestClassifier(12, max_depth=7, random_state=0, class_weight="balanced" if preset.weighted else None)
    features = series[..., :-1].flatten(1).numpy()
    return done, x, theirs.fit(features, places).predict_proba(features), settings | more


@torch.no_grad()
def test_a_forest_over_features_is_that_of_scikit_learn(grown):
    network, x, expected, _ = grown
    found = network(x).exp()[0].permute(1, 2, 0).reshape(-1, 3)
    np.testing.assert_allclose(found, np.clip(expected, 1e-4, None), atol=1e-5)
    assert (expected.max(1) > 0.9).mean() > 0.1


@torch.no_grad()
def test_a_forest_over_features_by_kernels(grown):
    network, x, _, _ = grown
    runner = freeze(network, torch.float32)
    assert not isinstance(runner, Masked)
    near = (runner.once(x) - network(x)).abs().amax(1)  # a feature may fall on the other side of a threshold
    assert (near < 1e-5).float().mean() > 0.99
    region = slice(5, 20), slice(9, 32)
    torch.testing.assert_close(runner.once(x, region), runner.once(x)[..., region[0], region[1]])
    coarse = freeze(network, torch.bfloat16).once(x)
    assert (coarse.argmax(1) == network(x).argmax(1)).float().mean() > 0.9


def test_a_forest_over_features_saves_and_loads(grown, tmp_path):
    network, x, _, settings = grown
    channels = tuple(Channel(b, 0.0, 1.0) for b in ("B02", "B03", "B04", "B08"))
    classes = tuple(LabelClass(k, f"c{k}", "#123456") for k in (1, 2, 3))
    card = Card("trees", "fgforest", settings, channels, (), 10, network.stride, network.radius, "Apache-2.0", 6, classes)
    read = read_network(save_model(network, card, tmp_path))
    with torch.no_grad():
        torch.testing.assert_close(read(x), network(x), rtol=0, atol=0)


def test_the_receptive_field_is_23_pixels_around():
    """What changes at a pixel when another one does: 23 pixels away and no further, on every side (the paper: "23 pixels")."""
    torch.manual_seed(0)
    network = FGUNet(3, 2, 3, groups=1, pixel=(), clip=False).double()
    for p in network.parameters():
        torch.nn.init.normal_(p, 0.05, 0.1)
    x = torch.rand(1, 3, 72, 72, dtype=torch.float64)
    reach = []
    with torch.no_grad():
        for shift in range(4):
            y, other = 32 + shift, x.clone()
            other[:, :, y, y] += 100
            rows, columns = torch.nonzero((network(other) != network(x)).any(1)[0], as_tuple=True)
            reach += [y - int(rows.min()), int(rows.max()) - y, y - int(columns.min()), int(columns.max()) - y]
    assert max(reach) == network.radius == 23
