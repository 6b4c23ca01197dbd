"""The U-Net as it is run against the module that was trained, and the convolutions that it is made of."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from xsentinel.models import convolution, folded
from xsentinel.models.convolution import convolve, convolve_upsampled, upsampled_weight
from xsentinel.models.folded import fold
from xsentinel.models.network import draw_masks
from xsentinel.models.unet import UNet

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
LAWS = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])

needs_onednn = pytest.mark.skipif(not convolution.is_fused(torch.zeros(1)), reason="this build of torch has no oneDNN")


@pytest.fixture
def plain(monkeypatch):
    """Make convolutions take the path of torch without oneDNN's fused ones."""
    monkeypatch.setattr(convolution, "is_fused", lambda x: False)


def trained(n_in=3, n_out=1, widths=(6, 8), dropout=0.5, norm=True, seed=0):
    """Give a U-Net in evaluation mode, statistics of its normalisation far from 0 and 1."""
    torch.manual_seed(seed)
    network = UNet(n_in, n_out, widths, dropout, norm)
    with torch.no_grad():
        for layer in (m for m in network.modules() if isinstance(m, nn.BatchNorm2d)):
            layer.running_mean.normal_(0, 0.3)
            layer.running_var.uniform_(0.3, 3)
            layer.weight.uniform_(0.5, 1.5)
            layer.bias.normal_(0.2, 0.3)
    return network.eval()


def scene(network, batch=1, rows=3, columns=2, seed=0, channels_last=False):
    n_in = network.down[0].first.in_channels
    shape = (batch, n_in, rows * network.stride, columns * network.stride)
    x = torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))
    return x.contiguous(memory_format=torch.channels_last) if channels_last else x


@st.composite
def networks(draw):
    """A U-Net of 1 to 3 levels, any of its blocks without dropout, and a scene for it."""
    widths = draw(st.lists(st.integers(1, 24), min_size=1, max_size=3))
    rates = draw(st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.8]), min_size=2 * len(widths) - 1, max_size=2 * len(widths) - 1))
    n_in, n_out, seed = draw(st.integers(1, 5)), draw(st.integers(1, 2)), draw(st.integers(0, 2**20))
    network = trained(n_in, n_out, widths, rates, draw(st.booleans()), seed)
    batch, rows, columns = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    return network, scene(network, batch, rows, columns, seed, draw(st.booleans()))


@LAWS
@given(networks())
@torch.no_grad()
def test_once_is_the_module(case):
    network, x = case
    torch.testing.assert_close(network.freeze().once(x), network(x), **CLOSE)


@LAWS
@given(networks(), st.integers(1, 3), st.integers(0, 99))
@torch.no_grad()
def test_each_sample_is_the_module_with_its_masks(case, n_samples, seed):
    network, x = case
    before = x.clone()
    masks = [draw_masks(network.sites, seed, sample) for sample in range(n_samples)]
    answers = list(network.freeze().sampler(masks)(x))
    assert len(answers) == n_samples
    for answer, one in zip(answers, masks, strict=True):
        torch.testing.assert_close(answer, network(x, one), **CLOSE)
    assert torch.equal(x, before)


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("rate", [0, 0.5])
@torch.no_grad()
def test_a_unet_of_one_level(norm, rate):
    network = trained(3, 2, [7], rate, norm)
    x, masks = scene(network, 2, 5, 6), [draw_masks(network.sites, 0, sample) for sample in range(3)]
    frozen = network.freeze()
    torch.testing.assert_close(frozen.once(x), network(x), **CLOSE)
    for answer, one in zip(frozen.sampler(masks)(x), masks, strict=True):
        torch.testing.assert_close(answer, network(x, one), **CLOSE)


PATTERNS = [(0, 0, 0), (0, 0, 0.5), (0, 0.5, 0), (0.5, 0, 0), (0, 0.5, 0.5), (0.5, 0.5, 0.5)]


@pytest.mark.parametrize("pattern", PATTERNS)
@torch.no_grad()
def test_a_sampler_gives_the_same_answers_again_and_in_between(pattern):
    network = trained(dropout=pattern)
    x, other = scene(network, 2), scene(network, 2, seed=1)
    sampler = network.freeze().sampler([draw_masks(network.sites, 0, sample) for sample in range(4)])
    first = [answer.clone() for answer in sampler(x)]
    for answer, _, again in zip(sampler(x), sampler(other), first, strict=True):  # two scenes at a time
        torch.testing.assert_close(answer, again, rtol=0, atol=0)


@pytest.mark.parametrize("pattern", PATTERNS)
@torch.no_grad()
def test_earlier_answers_stay_when_later_ones_are_computed(pattern):
    network = trained(dropout=pattern)
    x, masks = scene(network), [draw_masks(network.sites, 0, sample) for sample in range(4)]
    given_out, kept = [], []
    for answer in network.freeze().sampler(masks)(x):
        given_out.append(answer)
        kept.append(answer.clone())
    for answer, copy, one in zip(given_out, kept, masks, strict=True):
        assert torch.equal(answer, copy)
        torch.testing.assert_close(answer, network(x, one), **CLOSE)


@torch.no_grad()
def test_the_order_and_number_of_samples_change_no_answer():
    network = trained(widths=(6, 7, 8), dropout=(0, 0.5, 0.5, 0.5, 0))
    x, frozen = scene(network), network.freeze()
    masks = [draw_masks(network.sites, 0, sample) for sample in range(4)]
    together = [answer.clone() for answer in frozen.sampler(masks)(x)]
    for answer, backward in zip(together, list(frozen.sampler(masks[::-1])(x))[::-1], strict=True):
        assert torch.equal(answer, backward)
    for answer, one in zip(together, masks, strict=True):
        (alone,) = frozen.sampler([one])(x)
        assert torch.equal(answer, alone)


@pytest.mark.parametrize(
    ("pattern", "shared", "own"),
    [
        # two convolutions down and two at the bottom, one of the skip connection, one more up
        ((0, 0, 0), 6, 0),
        ((0, 0, 0.5), 5, 1),
        ((0, 0.5, 0), 4, 2),
        ((0, 0.5, 0.5), 4, 2),
        ((0.5, 0, 0), 1, 5),
        ((0.5, 0.5, 0.5), 1, 5),
    ],
)
@torch.no_grad()
def test_what_samples_share_is_computed_once(monkeypatch, pattern, shared, own):
    calls = Counter()

    def counting(name, function):
        def counted(*arguments, **options):
            calls[name] += 1
            return function(*arguments, **options)

        monkeypatch.setattr(folded, name, counted)

    counting("convolve", convolve)
    counting("convolve_upsampled", convolve_upsampled)
    network = trained(dropout=pattern)
    n = 5
    list(network.freeze().sampler([draw_masks(network.sites, 0, sample) for sample in range(n)])(scene(network)))
    assert calls["convolve"] == shared + n * own
    assert calls["convolve_upsampled"] == (n if any(pattern[:2]) else 1)


@torch.no_grad()
def test_a_sample_is_a_smaller_network():
    network = trained(4, 1, (10, 12), (0.5, 0.25, 0.8))
    left = network.freeze().thinned(draw_masks(network.sites, 0, 0))
    (top, bottom), (up,) = left.down, left.up
    assert top.first.shape == (10, 4, 3, 3)
    assert top.second.shape == (5, 10, 3, 3)
    assert bottom.first.shape == (12, 5, 3, 3)
    assert bottom.second.shape == (9, 12, 3, 3)
    assert up.first.shape == (10, 5, 3, 3)
    assert up.below.shape == (9, 10, 4, 4)
    assert up.second.shape == (2, 10, 3, 3)
    assert left.head.shape == (1, 2, 1, 1)


@needs_onednn
@LAWS
@given(networks(), st.integers(0, 99))
@torch.no_grad()
def test_fused_and_plain_paths_agree(case, seed):
    network, x = case
    frozen, masks = network.freeze(), [draw_masks(network.sites, seed, 0)]
    fused = [frozen.once(x), *frozen.sampler(masks)(x)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolution, "is_fused", lambda x: False)
        for one, other in zip(fused, [frozen.once(x), *frozen.sampler(masks)(x)], strict=True):
            torch.testing.assert_close(one, other, **CLOSE)


@torch.no_grad()
def test_the_plain_path_is_the_module(plain):
    network = trained(dropout=(0, 0.5, 0.5))
    x, masks = scene(network, 2), [draw_masks(network.sites, 0, sample) for sample in range(3)]
    before, frozen = x.clone(), network.freeze()
    torch.testing.assert_close(frozen.once(x), network(x), **CLOSE)
    for answer, one in zip(frozen.sampler(masks)(x), masks, strict=True):
        torch.testing.assert_close(answer, network(x, one), **CLOSE)
    assert torch.equal(x, before)


@pytest.mark.parametrize("fused", [pytest.param(True, marks=needs_onednn), False])
@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("added", [True, False])
@torch.no_grad()
def test_a_convolution_with_what_follows_it(monkeypatch, fused, channels_last, relu, added):
    monkeypatch.setattr(convolution, "is_fused", lambda x: fused)
    torch.manual_seed(0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x, add = (torch.randn(2, n, 6, 4).contiguous(memory_format=layout) for n in (3, 5))
    weight, bias = torch.randn(5, 3, 3, 3).contiguous(memory_format=layout), torch.randn(5)
    expected = functional.conv2d(x, weight, bias, padding=1) + (add if added else 0)
    expected = expected.clamp(min=0) if relu else expected
    before = x.clone(), weight.clone(), bias.clone()
    answer = convolve(x, weight, bias, relu=relu, add=add.clone() if added else None)
    torch.testing.assert_close(answer, expected, **CLOSE)
    assert all(torch.equal(a, b) for a, b in zip((x, weight, bias), before, strict=True))


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 5), st.integers(1, 5), st.booleans())
@torch.no_grad()
def test_a_convolution_of_an_upsampled_image(n_in, n_out, height, width, biased):
    torch.manual_seed(n_in + 10 * n_out)
    x, weight = torch.randn(2, n_in, height, width), torch.randn(n_out, n_in, 3, 3)
    bias = torch.randn(n_out) if biased else None
    transposed = upsampled_weight(weight)
    assert transposed.shape == (n_in, n_out, 4, 4)
    expected = functional.conv2d(functional.interpolate(x, scale_factor=2, mode="nearest"), weight, bias, padding=1)
    answer = convolve_upsampled(x, transposed, bias)
    assert answer.shape == (2, n_out, 2 * height, 2 * width)
    torch.testing.assert_close(answer, expected, **CLOSE)  # borders and all


@pytest.mark.parametrize("norm", [True, False])
@torch.no_grad()
def test_folding_a_normalisation(norm):
    network = trained(norm=norm)
    block, x = network.down[0], scene(network)
    weight, bias = fold(block.first, block.first_norm)
    torch.testing.assert_close(functional.conv2d(x, weight, bias, padding=1), block.first_norm(block.first(x)), **CLOSE)


@pytest.mark.parametrize("fused", [True, False])
@torch.no_grad()
def test_bfloat16_is_near(monkeypatch, fused):
    if not fused:
        monkeypatch.setattr(convolution, "is_fused", lambda x: False)
    network = trained(5, 2, (8, 12, 16), (0, 0.5, 0.5, 0.5, 0.5))
    x, masks = scene(network, 2, 4, 4), [draw_masks(network.sites, 0, sample) for sample in range(2)]
    frozen = network.freeze(torch.bfloat16)
    given = x.to(frozen.dtype)
    answers = [frozen.once(given), *frozen.sampler(masks)(given)]
    for answer, one in zip(answers, [None, *masks], strict=True):
        expected = network(x, one)
        assert answer.dtype == torch.float32
        assert not torch.equal(answer, expected)
        assert (answer - expected).abs().max() < 0.2 * expected.std()
        assert (answer - expected).square().mean().sqrt() < 0.05 * expected.std()
