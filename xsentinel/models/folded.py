"""A U-Net as it is run: normalisation folded in, upsampling folded in, each Monte Carlo sample a smaller network.

A sample of channel dropout with one mask for a whole scene *is* a smaller network: the rows and columns of
dropped channels are cut out of the weights, and what is kept is scaled by 1/(1 − rate). What lies before the
first dropout, and the half of a sum that does, is computed once for all samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from xsentinel.models.convolution import convolve, convolve_upsampled, upsampled_weight
from xsentinel.models.layers import Block
from xsentinel.models.network import Masks, Sampler

Once = Callable[[str, bool, Callable[[], Tensor]], Tensor]


@dataclass(frozen=True)
class Weights:
    """One block: first and second convolution, without normalisation."""

    first: Tensor
    """(n_out, n_in, 3, 3): of the only input, or of the skip connection."""
    first_bias: Tensor
    below: Tensor | None
    """(n_below, n_out, 4, 4): of the level below, as `upsampled_weight` has it; None on the way down."""
    second: Tensor
    second_bias: Tensor
    drops: bool = False
    """Whether channels are dropped behind this block, so that what follows is each sample's own."""


@dataclass(frozen=True)
class Thinned:
    """A whole network of one sample."""

    down: tuple[Weights, ...]
    up: tuple[Weights, ...]
    head: Tensor
    """(n_out, n_in, 1, 1)"""
    head_bias: Tensor


def fold(convolution: nn.Conv2d, norm: nn.Module) -> tuple[Tensor, Tensor]:
    r"""Give weight and bias with the batch normalisation that follows folded in, float32.

    .. math:: w' = w\,\gamma/\sqrt{v + \epsilon}, \quad b' = \beta + (b - m)\,\gamma/\sqrt{v + \epsilon}
    """
    weight = convolution.weight.detach().float().clone()  # a copy: who trains on must not change what runs
    bias = weight.new_zeros(weight.shape[0]) if convolution.bias is None else convolution.bias.detach().float().clone()
    if not isinstance(norm, nn.BatchNorm2d):
        return weight, bias
    mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    scale = norm.weight.detach() / torch.sqrt(variance + norm.eps)
    return weight * scale[:, None, None, None], norm.bias.detach() + (bias - mean) * scale


def fold_block(block: Block, n_skip: int | None) -> Weights:
    """Fold one block; n_skip channels of its input come by the skip connection, all if None."""
    (first, first_bias), (second, second_bias) = fold(block.first, block.first_norm), fold(block.second, block.second_norm)
    below = None if n_skip is None else upsampled_weight(first[:, n_skip:])
    return Weights(first[:, :n_skip], first_bias, below, second, second_bias)


def kept(mask: Tensor | None) -> Tensor | slice:
    """Give the indices of the channels that a mask keeps."""
    return slice(None) if mask is None else torch.nonzero(mask[0])[:, 0]


def thin(weights: Weights, first: Tensor | None, below: Tensor | None, mask: Tensor | None) -> Weights:
    """Cut dropped channels out of a block: of its input, of the level below, and, by ``mask``, of its output."""
    second, bias = weights.second, weights.second_bias
    if mask is not None:
        second, bias = second * mask[0][:, None, None, None], bias * mask[0]
    return Weights(
        weights.first[:, kept(first)],
        weights.first_bias,
        None if weights.below is None else weights.below[kept(below)],
        second[kept(mask)],
        bias[kept(mask)],
        mask is not None,
    )


def _channels_last(weight: Tensor) -> Tensor:
    return weight.contiguous(memory_format=torch.channels_last)


class FoldedUNet:
    """A U-Net ready to run; nothing in it changes, so threads share it."""

    def __init__(
        self,
        down: Sequence[nn.Module],
        up: Sequence[nn.Module],
        head: nn.Conv2d,
        dtype: torch.dtype = torch.float32,
        outer: torch.dtype = torch.float32,
    ) -> None:
        blocks = [cast(Block, block) for block in (*down, *up)]
        # the first convolution stays in float32 whatever follows: rounding reflectance to eight bits costs three times
        # as much accuracy as all other rounding together
        self.dtype, self.inner, self.n_down = outer, dtype, len(down)
        skips = [None] * len(down) + [block.second.out_channels for block in blocks[len(down) :]]
        self.whole = [fold_block(block, n_skip) for block, n_skip in zip(blocks, skips, strict=True)]
        self.head = head.weight.detach().float().clone(), cast(Tensor, head.bias).detach().float().clone()
        self.plain = self.thinned([None] * len(blocks))

    def thinned(self, masks: Masks, given: Tensor | None = None) -> Thinned:
        """Give the network that a set of masks leaves, for inputs of which ``given`` is the mask."""
        placed = [None if mask is None else mask.to(self.head[0].device) for mask in masks]
        down, up = placed[: self.n_down], placed[self.n_down :]
        before = [given, *down[:-1]]
        way_down = [thin(w, first, None, mask) for w, first, mask in zip(self.whole, before, down, strict=False)]
        below = [down[-1], *up][: len(up)]
        way_up = [thin(*four) for four in zip(self.whole[self.n_down :], down[-2::-1], below, up, strict=True)]
        last = up[-1] if up else down[-1]
        blocks = [self._placed(w, k == 0) for k, w in enumerate((*way_down, *way_up))]
        head, bias = self.head[0][:, kept(last)].to(self.inner), self.head[1].to(self.inner)
        return Thinned(tuple(blocks[: self.n_down]), tuple(blocks[self.n_down :]), _channels_last(head), bias)

    def _placed(self, w: Weights, is_first: bool) -> Weights:
        """Bring weights to the precision and layout that they are used in."""
        outer = self.dtype if is_first else self.inner
        first, second = _channels_last(w.first.to(outer)), _channels_last(w.second.to(self.inner))
        below = None if w.below is None else _channels_last(w.below.to(self.inner))
        return Weights(first, w.first_bias.to(outer), below, second, w.second_bias.to(self.inner), w.drops)

    def once(self, x: Tensor) -> Tensor:
        """x: (batch, channel, y, x), float32 → (batch, output, y, x), float32; nothing dropped."""
        return answer(self.features(x, self.plain), self.plain)

    def features(self, x: Tensor, network: Thinned) -> Tensor:
        """Give what the head of a network thinned from this one sees."""
        return _features(x, network, lambda key, shared, compute: compute())

    def sampler(self, masks: Sequence[Masks]) -> Sampler:
        """Give the function x → one answer as of `once` a set of masks, what samples have in common computed once."""
        networks = [self.thinned(one) for one in masks]
        return lambda x: (answer(seen, network) for seen, network in zip(featured(x, networks), networks, strict=True))


def featured(x: Tensor, networks: Sequence[Thinned]) -> Iterator[Tensor]:
    """Give what the head of each network sees, what they have in common computed once."""
    done: dict[str, Tensor] = {}

    def once(key: str, shared: bool, compute: Callable[[], Tensor]) -> Tensor:
        if not shared:
            return compute()
        if key not in done:
            done[key] = compute()
        return done[key]

    for network in networks:
        yield _features(x, network, once)


def answer(features: Tensor, network: Thinned) -> Tensor:
    """Do what ends a network, float32."""
    return functional.conv2d(features, network.head, network.head_bias).float()


def _features(x: Tensor, network: Thinned, once: Once) -> Tensor:
    """Run one network up to its head; ``once(key, shared, compute)`` may give what an earlier sample computed if it is shared."""
    shared, skips = True, []
    for level, w in enumerate(network.down):
        if level:
            x = once(f"pool {level}", shared, partial(functional.max_pool2d, x, 2))
        x = once(f"down {level} first", shared, partial(_first, x, w))
        shared = shared and not w.drops
        x = once(f"down {level}", shared, partial(convolve, x, w.second, w.second_bias))
        skips.append((x, shared))
    for level, (w, (skip, skip_shared)) in enumerate(zip(network.up, skips[-2::-1], strict=True)):
        x = _join((x, shared), (skip, skip_shared), w, f"up {level}", once)
        shared = shared and skip_shared and not w.drops
        x = once(f"up {level}", shared, partial(convolve, x, w.second, w.second_bias))
    return x


def _first(x: Tensor, w: Weights) -> Tensor:
    """Do the first convolution of a block on the way down, and go on in the precision of the second."""
    return convolve(x, w.first, w.first_bias).to(w.second.dtype)


def _join(below: tuple[Tensor, bool], skip: tuple[Tensor, bool], w: Weights, key: str, once: Once) -> Tensor:
    """Do the first convolution on the way up: the sum of one of the skip connection and one of the level below."""
    (x, x_shared), (beside, beside_shared), weight = below, skip, cast(Tensor, w.below)
    if x_shared == beside_shared:
        return once(f"{key} first", x_shared, lambda: convolve(beside, w.first, w.first_bias, add=convolve_upsampled(x, weight)))
    one = once(f"{key} skip", beside_shared, partial(convolve, beside, w.first, w.first_bias, relu=False))
    other = once(f"{key} below", x_shared, partial(convolve_upsampled, x, weight))
    own, common = (one, other) if x_shared else (other, one)  # what samples share must stay as it is
    return own.add_(common).relu_()
