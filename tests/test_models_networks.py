"""One contract for every row of the table of networks, then what each promises; masks of dropout."""

from __future__ import annotations

import pickle
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from xsentinel.errors import ReadError
from xsentinel.models.card import Card, Channel, Output
from xsentinel.models.mlp import MLP
from xsentinel.models.network import Site, draw, draw_masks
from xsentinel.models.networks import NETWORKS, build_network
from xsentinel.models.unet import UNet

N_IN, N_OUT = 3, 2
SETTINGS = {
    "unet": (
        {"widths": [8]},
        {"widths": [6, 8], "dropout": [0, 0.5, 0.5]},
        {"widths": [7, 9], "norm": False, "dropout": 0},
        {"widths": [6, 7, 9], "dropout": [0.2, 0, 0.5, 0, 0.4]},
        {"widths": [5, 6, 7, 8], "norm": False},
    ),
    "mlp": ({"widths": [9]}, {"widths": [16, 8], "dropout": 0.25}, {"widths": [8, 8, 8], "dropout": 0}),
}
"""Beside the defaults, with which every network of the table is tested."""
SERIES = {
    "lstm": ({"widths": [8, 5], "dropout": 0.4}, {"widths": [6], "dropout": 0.4}, {"widths": [5], "ensemble": 2}),
    "starrnn": ({"widths": [8, 8], "dropout": 0.3}, {"widths": [7, 5]}),
    "msresnet": ({"widths": [6, 8], "dropout": 0.5}, {"widths": [4, 4, 6], "kernels": [3, 5]}),
    "inceptiontime": ({"width": 4, "kernels": [5, 3], "depth": 6, "dropout": 0.5}, {"width": 3, "kernels": [3], "depth": 3}),
    "tempcnn": ({"widths": [8, 6], "kernel": 3, "dense": 12, "dropout": 0.5}, {"widths": [5], "dense": 7, "ensemble": 2}),
    "ltae": ({"width": 16, "heads": 4, "keys": 4, "dense": 10, "dropout": 0.5}, {"width": 8, "heads": 2, "dropout": 0}),
    "fgunet": (
        {"groups": 5, "pixel": [9, 7, 6], "widths": [6, 8], "dropout": 0.4},
        {"groups": 1, "pixel": [], "widths": [5, 6, 7], "dropout": 0.3},
        {"groups": 5, "pixel": [8, 6], "widths": [], "dropout": 0.5, "clip": False},
        {"groups": 5, "pixel": [5], "widths": [4], "ensemble": 2},
    ),
    "fglstm": ({"pixel": [6, 5], "dropout": 0.4}, {"groups": 1, "pixel": [4]}),
    "tsfgunet": ({"pixel": [5, 4], "widths": [4, 5], "dropout": 0.4}, {"groups": 1, "pixel": [], "widths": [4]}),
}
"""Networks over series of DATES dates: the settings that each is tested with."""
GROWN = ("forest", "rocket", "fgforest")
"""Networks that are fitted, not trained; tests/test_models_series.py and tests/test_models_landcover.py have them."""
DATES = 5
CASES = [
    pytest.param(name, settings, id=f"{name}-{settings}")
    for name in NETWORKS
    if name not in GROWN
    for settings in (SERIES[name] if name in SERIES else ({"dropout": 0.5}, *SETTINGS.get(name, ())))
]
every_network = pytest.mark.parametrize(("name", "settings"), CASES)


def card_of(name, settings, n_in=N_IN, n_out=N_OUT):
    channels = tuple(Channel(band, 0.0, 0.5) for band in ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")[:n_in])
    outputs = tuple(Output(f"y{k}", "what is estimated", "1") for k in range(n_out))
    over = {"dates": DATES, "least_dates": 2} if name in SERIES or name in GROWN else {}
    return Card("test", name, settings, channels, outputs, 20, 1, 0, "Apache-2.0", **over)


def n_planes(network):
    return network.dates * network.planes if hasattr(network, "dates") else N_IN


def built(name, settings, seed=0):
    """Build a network as if trained: statistics of its normalisation far from 0 and 1; in evaluation mode."""
    torch.manual_seed(seed)
    network = build_network(card_of(name, settings))
    with torch.no_grad():
        for norm in (m for m in network.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)):
            norm.running_mean.normal_(0, 0.3)
            norm.running_var.uniform_(0.3, 3)
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.normal_(0.2, 0.3)
    return network.eval()


def scene(network, n_rows=2, n_columns=3, batch=1, seed=0):
    """Give (batch, channel, y, x) of that many strides along y and x."""
    shape = (batch, n_planes(network), n_rows * network.stride, n_columns * network.stride)
    return all_seen(network, torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32)))


def all_seen(network, x):
    """Let every date of a series count as seen."""
    if hasattr(network, "dates"):
        x[:, network.planes - 1 :: network.planes] = 1
    return x


def masks_of(network, sample=0):
    return draw_masks(network.sites, 3, sample)


@torch.no_grad()
def reach(network, masks):
    """Measure how many columns away a pixel changes the answer, over all places of it in the stride."""
    stride = network.stride
    n = -(-(2 * network.radius + 4) // stride) * stride + 3 * stride
    scenes = all_seen(network, torch.randn((1, n_planes(network), stride, n), dtype=torch.float64)).repeat(stride + 1, 1, 1, 1)
    columns = n // 2 // stride * stride + torch.arange(stride)
    for k, column in enumerate(columns):  # the last scene is as it was
        scenes[k, :, stride // 2, column] += 1e4 * torch.tensor([(-1.0) ** (k + c) for c in range(scenes.shape[1])])
    answers = network(scenes, masks)
    changed = (answers[:-1] != answers[-1]).any(1).any(1)
    away = (torch.arange(n)[None] - columns[:, None]).abs()
    assert changed.any()
    assert not changed[:, [0, -1]].any(), "the scene is too small to tell"
    return int(away[changed].max())


@every_network
@pytest.mark.parametrize("masked", [False, True])
def test_the_declared_radius_is_the_one_measured(name, settings, masked):
    network = built(name, settings).double()
    masks = masks_of(network) if masked else None
    assert reach(network, masks) == network.radius


@pytest.mark.parametrize(("n_levels", "radius"), [(1, 2), (2, 9), (3, 23), (4, 51)])
def test_the_radius_of_a_unet_by_its_levels(n_levels, radius):
    network = UNet(N_IN, 1, [8] * n_levels)
    assert (network.radius, network.stride) == (radius, 2 ** (n_levels - 1))


@every_network
@torch.no_grad()
def test_the_stride_is_the_least_shift_that_shifts_the_answer(name, settings):
    network = built(name, settings).double()
    stride = network.stride
    inside = slice(network.radius + stride, -(network.radius + stride))
    n = 2 * (network.radius + stride) + 2 * stride
    wide = all_seen(network, torch.randn((1, n_planes(network), 2 * stride, -(-n // stride) * stride), dtype=torch.float64))
    for shift in range(1, stride + 1):
        shifted = network(wide.roll(shift, 3)).roll(-shift, 3)[..., inside]
        error = (shifted - network(wide)[..., inside]).abs().max()
        assert error < 1e-12 if shift == stride else error > 1e-9


@every_network
@torch.no_grad()
def test_an_answer_has_the_shape_and_precision_asked_for(name, settings):
    network = built(name, settings)
    x = scene(network, 3, 2, batch=2)
    for answer in (network(x), network(x, masks_of(network))):
        assert answer.shape == (2, N_OUT, *x.shape[2:])
        assert answer.dtype == torch.float32
        assert answer.isfinite().all()


@every_network
@torch.no_grad()
def test_scenes_of_a_batch_do_not_meet(name, settings):
    network = built(name, settings)
    x = scene(network, batch=3)
    for whole, one in zip(network(x, masks_of(network)), x, strict=True):
        torch.testing.assert_close(network(one[None], masks_of(network))[0], whole, rtol=1e-5, atol=1e-5)


@every_network
def test_every_parameter_learns(name, settings):
    network = built(name, settings).train()
    x = scene(network, 4, 4, batch=2)
    masks = draw(network.sites, 2, np.random.default_rng(0))
    network(x, masks).square().mean().backward()
    assert sum(p.numel() for p in network.parameters())
    assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


@every_network
@torch.no_grad()
def test_weights_carry_over(name, settings):
    network, other = built(name, settings), built(name, settings, seed=1)
    x = scene(network)
    assert not torch.equal(other(x), network(x))
    other.load_state_dict(network.state_dict())
    torch.testing.assert_close(other(x), network(x), rtol=0, atol=0)
    torch.testing.assert_close(pickle.loads(pickle.dumps(network))(x), network(x), rtol=0, atol=0)


@every_network
@torch.no_grad()
def test_masks_drop_channels_where_there_are_any_to_drop(name, settings):
    network = built(name, settings)
    x = scene(network)
    assert torch.equal(network(x, [None] * len(network.sites)), network(x))
    one, two, again = (network(x, masks_of(network, sample)) for sample in (0, 1, 0))
    assert torch.equal(one, again)
    drops = any(site.n_dropped for site in network.sites)
    assert torch.equal(one, network(x)) is not drops
    assert torch.equal(one, two) is not drops


@every_network
@torch.no_grad()
def test_a_site_is_a_width_of_the_network(name, settings):
    network = built(name, settings)
    for k, site in enumerate(network.sites):
        masks = [None] * len(network.sites)
        masks[k] = torch.zeros(1, site.n_channels)
        assert not torch.equal(network(scene(network), masks), network(scene(network)))


@every_network
@torch.no_grad()
def test_a_frozen_network_answers_as_it_did(name, settings):
    network = built(name, settings)
    x = scene(network, 3, 3, batch=2)
    masks = [masks_of(network, sample) for sample in range(3)]
    frozen = network.freeze()
    once = frozen.once(x)
    assert frozen.dtype == once.dtype == torch.float32
    torch.testing.assert_close(once, network(x), rtol=1e-5, atol=1e-5)
    answers = list(frozen.sampler(masks)(x))
    assert len(answers) == 3
    for answer, one in zip(answers, masks, strict=True):
        assert answer.dtype == torch.float32
        torch.testing.assert_close(answer, network(x, one), rtol=1e-5, atol=1e-5)


@every_network
@torch.no_grad()
def test_bfloat16_is_near(name, settings):
    network = built(name, settings)
    x, masks = scene(network, 3, 3, batch=2), [masks_of(network)]
    frozen = network.freeze(torch.bfloat16)
    given = x.to(frozen.dtype)
    for answer, one in zip([frozen.once(given), *frozen.sampler(masks)(given)], [None, *masks], strict=True):
        expected = network(x, one)
        assert answer.dtype == torch.float32
        assert not torch.equal(answer, expected)
        assert (answer - expected).square().mean().sqrt() < 0.05 * expected.std()


@every_network
@torch.no_grad()
def test_freezing_leaves_the_network_as_it_was(name, settings):
    network = built(name, settings).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    frozen = network.freeze()
    list(frozen.sampler([masks_of(network)])(scene(network)))
    frozen.once(scene(network))
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@every_network
@torch.no_grad()
def test_a_frozen_network_does_not_learn_what_the_network_does(name, settings):
    network = built(name, settings)
    x = scene(network)
    frozen = network.freeze()
    sampler = frozen.sampler([masks_of(network)])
    once, sampled = frozen.once(x).clone(), next(iter(sampler(x))).clone()
    for value in network.state_dict().values():
        value.add_(1)
    torch.testing.assert_close(frozen.once(x), once, rtol=0, atol=0)
    torch.testing.assert_close(next(iter(sampler(x))), sampled, rtol=0, atol=0)


@every_network
@torch.no_grad()
def test_a_network_is_frozen_on_the_device_where_it_lies(name, settings):
    network = built(name, settings).to("meta")  # stands for a GPU: it too takes no tensors of the CPU
    x = scene(network).to("meta")
    answer = network.freeze().once(x)
    assert answer.device.type == "meta"
    assert answer.shape == (1, N_OUT, *x.shape[2:])


def n_parameters(network):
    return sum(p.numel() for p in network.parameters())


def test_the_mlp_of_the_paper():
    network = MLP(10, 1)
    assert [layer.out_channels for layer in network.layers] == [256, 128, 64]
    assert n_parameters(network) == 10 * 256 + 256 + 256 * 128 + 128 + 128 * 64 + 64 + 64 * 1 + 1 == 44_033
    assert [(site.n_channels, site.rate) for site in network.sites] == [(256, 0.5), (128, 0.5), (64, 0.5)]


@pytest.mark.parametrize("widths", [[4], [5, 7], [3, 4, 6], [32, 64, 128, 256]])
@pytest.mark.parametrize("norm", [True, False])
def test_parameters_of_a_unet(widths, norm):
    beside = 4 if norm else 2  # two convolutions a block: scale and shift each, or a bias each
    blocks = [*pairwise([10, *widths]), *((above + below, above) for above, below in pairwise(widths))]
    convolutions = sum(9 * n_in * n_out + 9 * n_out * n_out + beside * n_out for n_in, n_out in blocks)
    network = UNet(10, 2, widths, norm=norm)
    assert n_parameters(network) == convolutions + 2 * widths[0] + 2
    assert [site.n_channels for site in network.sites] == [*widths, *widths[-2::-1]]


@torch.no_grad()
def test_a_mlp_sees_one_pixel():
    network = built("mlp", {"widths": [9, 5]})
    x = scene(network, 4, 5)
    weights = [layer.weight[:, :, 0, 0] for layer in (*network.layers, network.head)]
    biases = [layer.bias for layer in (*network.layers, network.head)]
    values = x.permute(0, 2, 3, 1)
    for k, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        values = values @ weight.T + bias
        values = values.clamp(min=0) if k < 2 else values
    torch.testing.assert_close(network(x), values.permute(0, 3, 1, 2), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("dropout", "words"),
    [
        ([0.5, 0.5], "2 rates of dropout for 3 blocks"),
        ([0.5] * 4, "4 rates of dropout for 3 blocks"),
        ([], "0 rates of dropout for 3 blocks"),
        ([0.5, 1.0, 0.5], "rates are from 0 to below 1"),
        ([0.5, -0.1, 0.5], "rates are from 0 to below 1"),
        (float("nan"), "rates are from 0 to below 1"),
        (1, "rates are from 0 to below 1"),
    ],
)
def test_rates_that_a_unet_refuses(dropout, words):
    with pytest.raises(ValueError, match=words):
        UNet(3, 1, [4, 8], dropout)
    with pytest.raises(ReadError, match=rf"model test: unet cannot be built with .*{words}"):
        build_network(card_of("unet", {"widths": [4, 8], "dropout": dropout}))


@pytest.mark.parametrize("dropout", [1.0, 1.5, -0.1, float("nan"), [0.5, 0.5], "half"])
def test_rates_that_a_mlp_refuses(dropout):
    with pytest.raises(ReadError, match="model test: mlp cannot be built with"):
        build_network(card_of("mlp", {"widths": [4, 8], "dropout": dropout}))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    "settings", [{"colour": "green"}, {"widths": 4}, {"widths": []}, {"widths": [-4, 8]}, {"widths": [0, 8]}, {"widths": [4.5]}]
)
def test_settings_that_no_network_takes(name, settings):
    if name == "tsfgunet" and settings == {"widths": []}:
        settings = {"widths": [], "pixel": []}  # one of its paths may be missing
    with pytest.raises(ReadError, match=f"model test: {name} cannot be built with"):
        build_network(card_of(name, settings))


def test_a_network_that_is_not_in_the_table():
    with pytest.raises(ReadError, match=rf"model test is a 'transformer', .* it knows {', '.join(NETWORKS)}"):
        build_network(card_of("transformer", {}))


SITES = st.builds(Site, st.integers(1, 40), st.floats(0, 0.99))
SEEDS = st.integers(0, 2**63 - 1)


@given(st.lists(SITES, min_size=1, max_size=4), SEEDS, st.integers(0, 10_000))
def test_laws_of_masks(sites, seed, sample):
    for site, mask in zip(sites, draw_masks(sites, seed, sample), strict=True):
        n, dropped = site.n_channels, min(round(site.n_channels * site.rate), site.n_channels - 1)
        assert site.n_dropped == dropped < n
        if not dropped:
            assert mask is None
            continue
        assert mask.shape == (1, n)
        assert mask.dtype == torch.float32
        assert int((mask == 0).sum()) == dropped
        assert set(mask[mask != 0].tolist()) == {float(np.float32(n / (n - dropped)))}
        assert float(mask.mean()) == pytest.approx(1, rel=1e-6)


@given(SEEDS, st.integers(0, 1000), st.integers(1, 5))
def test_masks_are_a_function_of_seed_and_sample(seed, sample, n_sites):
    sites = [Site(48, 0.5)] * n_sites

    def drawn(*key):
        return torch.cat(list(draw_masks(sites, *key)), 1)

    first = drawn(seed, sample)
    torch.rand(3)
    drawn(seed, sample + 1)
    torch.testing.assert_close(drawn(seed, sample), first, rtol=0, atol=0)
    assert not torch.equal(drawn(seed, sample + 1), first)
    assert not torch.equal(drawn(seed + 1 if seed < 2**62 else seed - 1, sample), first)
    assert not torch.equal(drawn(sample, seed) if sample != seed else drawn(seed, sample + 2), first)


def test_masks_leave_the_generators_of_others_alone():
    state, other = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002  (the old one, which a user may rely on)
    draw_masks([Site(8, 0.5)], 0, 0)
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(np.random.get_state()[1], other)  # noqa: NPY002


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_no_channel_is_favoured(rate):
    site = Site(10, rate)
    n = 1500
    masks = torch.cat([draw_masks([site], 1, sample)[0] for sample in range(n)])
    spread = (rate / (1 - rate) / n) ** 0.5  # of the mean of n values 0 or 1/(1 − rate)
    np.testing.assert_allclose(masks.mean(0), 1, atol=4.5 * spread)


def test_sites_are_drawn_apart():
    sites = [Site(20, 0.5), Site(20, 0.5)]
    agree = [torch.equal(*draw_masks(sites, 0, sample)) for sample in range(50)]
    assert not any(agree)


def test_many_masks_of_a_batch_are_drawn_apart():
    (masks, none) = draw([Site(30, 0.4), Site(30, 0)], 50, np.random.default_rng(0))
    assert none is None
    assert masks.shape == (50, 30)
    assert ((masks == 0).sum(1) == 12).all()
    assert len({tuple(row) for row in masks.tolist()}) == 50


@pytest.mark.parametrize(("n", "rate", "dropped"), [(1, 0.9, 0), (2, 0.9, 1), (8, 0.99, 7), (10, 0.04, 0), (10, 0.5, 5), (3, 0, 0)])
def test_one_channel_always_stays(n, rate, dropped):
    assert Site(n, rate).n_dropped == dropped
