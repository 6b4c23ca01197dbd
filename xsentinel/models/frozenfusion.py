"""A late fusion as it is run: group after group, their shares of the answer added up, nothing joined; samples thinned.

A sample of channel dropout with one mask for all groups is a smaller network, as in `folded`: channels that are dropped are
cut out of the layer that makes them and of the one that takes them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from xsentinel.models.convolution import convolve, convolve_upsampled, upsampled_weight
from xsentinel.models.finegrained import FineGrained
from xsentinel.models.folded import Weights, kept
from xsentinel.models.network import WHOLE, Masks, Region

PIXELS = {torch.float32: 1024, torch.bfloat16: 2048}
"""Pixels that go through the pixel path together: what is between its layers then stays in the second-level cache."""
LANES = {torch.float32: 16, torch.bfloat16: 32}
"""Widths of matrices are padded to multiples of it, which fill vector and matrix units."""
WHOLES = {torch.float32: torch.int32, torch.bfloat16: torch.int16}
"""Whole numbers of as many bits. Of the same bits their maximum with 0 is the ReLU of the number, twice as fast in bfloat16."""
REACH = 2
"""Pixels that the two convolutions of a block see around one."""

Take = Callable[[int, slice, Tensor], None]
"""(group, rows, (pixel, feature)): what is done with the features of some rows of the region that is wanted."""


@dataclass(frozen=True)
class Shared:
    """The body that all groups go through, as one set of masks leaves it."""

    down: tuple[Weights, ...]
    up: tuple[Weights, ...]
    pixel: tuple[Tensor, ...]
    """Matrices (in, out); the row of the channel that is 1 everywhere holds the bias."""


def region_before(wanted: Region, shape: tuple[int, int]) -> Region:
    """Give what a block on the way up must compute for a region of its answer to be right: its reach, then even bounds.

    Examples
    --------
    >>> region_before((slice(7, 20), slice(0, 9)), (24, 10))
    (slice(4, 22, None), slice(0, 10, None))
    """
    rows, columns = (
        slice(max(s.start - REACH, 0) // 2 * 2, min(-(-(s.stop + REACH) // 2) * 2, n)) for s, n in zip(wanted, shape, strict=True)
    )
    return rows, columns


def bounded(region: Region, shape: Sequence[int]) -> Region:
    """Give a region with its bounds as numbers."""
    rows, columns = (slice(*s.indices(n)[:2]) for s, n in zip(region, shape, strict=True))
    return rows, columns


def _halved(s: slice) -> slice:
    return slice(s.start // 2, s.stop // 2)


def _inside(wanted: Region, computed: Region) -> Region:
    """Give where a region lies in another one."""
    rows, columns = (slice(w.start - c.start, w.stop - c.start) for w, c in zip(wanted, computed, strict=True))
    return rows, columns


class FrozenBody:
    """A body ready to run over all groups; nothing in it changes, so threads share it."""

    def __init__(self, body: FineGrained, groups: int, clip: bool, dtype: torch.dtype) -> None:
        self.blocks = [[_weights(layer) for layer in cast(Any, block)] for block in (*body.down, *body.up)]
        self.layers = [_weights(layer) for layer in body.pixel]
        self.n_down, self.n_sites, self.groups, self.clip, self.inner = len(body.down), len(body.sites), groups, clip, dtype
        self.planes = (self.blocks[0][0] if self.blocks else self.layers[0])[0].shape[1]
        self.channels = padded(self.planes + 1, dtype)
        self.n_trunk = self.blocks[-1][1][0].shape[0] if self.blocks else 0
        self.n_features = self.n_trunk + (padded(self.layers[-1][0].shape[0], dtype) if self.layers else 0)

    def thinned(self, masks: Masks) -> Shared:
        """Give the body that a set of masks leaves."""
        device = (self.blocks[0][0] if self.blocks else self.layers[0])[0].device
        placed = [None if m is None else m.to(device) for m in masks]
        n = len(self.blocks)
        blocks = [self._block(k, mask) for k, mask in enumerate(placed[:n])]
        return Shared(tuple(blocks[: self.n_down]), tuple(blocks[self.n_down :]), tuple(self._matrices(placed[n:])))

    def _block(self, k: int, mask: Tensor | None) -> Weights:
        """Thin a block between its convolutions, and bring it to the precision and layout that it is used in."""
        (first, first_bias), (second, second_bias) = self.blocks[k]
        first, first_bias = first[kept(mask)], first_bias[kept(mask)]
        second = second if mask is None else (second * mask[0][:, None, None])[:, kept(mask)]
        n_skip = first.shape[1] if k < self.n_down else self.blocks[k][1][0].shape[0]
        skip, below = first[:, :n_skip], first[:, n_skip:]
        if k == 0:  # the image is padded, and has a channel that is 1
            skip = functional.pad(skip, (0, 0, 0, 0, 0, self.channels - n_skip))
        large = self._placed(upsampled_weight(below)) if below.shape[1] else None
        return Weights(self._placed(skip), first_bias.to(self.inner), large, self._placed(second), second_bias.to(self.inner))

    def _placed(self, weight: Tensor) -> Tensor:
        return weight.to(self.inner).contiguous(memory_format=torch.channels_last)

    def _matrices(self, masks: Masks) -> Iterable[Tensor]:
        """Give the pixel path as matrices, thinned between its layers."""
        scale: Tensor | None = None
        for k, ((weight, bias), mask) in enumerate(zip(self.layers, (*masks, None), strict=False)):
            flat = weight[:, :, 0, 0] if scale is None else (weight[:, :, 0, 0] * scale[0])[:, kept(scale)]
            flat, bias, scale = flat[kept(mask)], bias[kept(mask)], mask
            matrix = self._matrix(flat, bias)
            yield matrix if k + 1 < len(self.layers) else matrix[:, : self.n_features - self.n_trunk].contiguous()

    def _matrix(self, weight: Tensor, bias: Tensor) -> Tensor:
        n_out, n_in = weight.shape
        out = weight.new_zeros(padded(n_in + 1, self.inner), padded(n_out + 1, self.inner))
        out[:n_in, :n_out], out[n_in, :n_out], out[n_in, n_out] = weight.T, bias, 1
        return out.to(self.inner)

    def images(self, planes: Tensor) -> Iterator[Tensor]:
        """Give the image of each group, (y, x, channel), of planes (y, x, group × plane): the same memory, filled again."""
        image = planes.new_zeros((*planes.shape[:2], self.channels), dtype=self.inner)
        image[..., self.planes] = 1
        for group in range(self.groups):
            image[..., : self.planes] = planes[..., group * self.planes : (group + 1) * self.planes]
            if self.clip:
                _whole(image).clamp_(0, _bits(1.0, self.inner))
            yield image

    def run(self, images: Iterable[Tensor], shared: Shared, wanted: Region, take: Take) -> None:
        """Run over the image of each group; hand on what is found in the region that is wanted."""
        work: list[Tensor] = []
        for group, image in enumerate(images):
            work = work or self._work(image[wanted], shared)
            trunk = self._trunk(image.permute(2, 0, 1)[None], shared, wanted) if self.n_down else None
            self._pixels(image[wanted], trunk, shared, work, partial(take, group))

    def _trunk(self, x: Tensor, shared: Shared, wanted: Region) -> Tensor:
        """Run the U-Net; give (1, feature, y, x) of the region that is wanted."""
        skips = []
        for level, w in enumerate(shared.down):
            x = convolve(functional.max_pool2d(x, 2) if level else x, w.first, w.first_bias)
            x = convolve(x, w.second, w.second_bias)
            skips.append(x)
        needed, computed = [wanted], []
        for skip in skips[:-1]:
            computed.append(region_before(needed[-1], (skip.shape[2], skip.shape[3])))
            needed.append((_halved(computed[-1][0]), _halved(computed[-1][1])))
        x = x[..., needed[-1][0], needed[-1][1]]
        for w, skip, own, wide in zip(shared.up, skips[-2::-1], needed[-2::-1], computed[::-1], strict=True):
            large = convolve_upsampled(x, cast(Tensor, w.below))
            x = convolve(skip[..., wide[0], wide[1]], w.first, w.first_bias, add=large)
            rows, columns = _inside(own, wide)
            x = convolve(x, w.second, w.second_bias)[..., rows, columns]
        return x

    def _work(self, image: Tensor, shared: Shared) -> list[Tensor]:
        """Make room for a step of the pixel path, once: memory that is always fresh costs as much as the products."""
        height, width, n_in = image.shape
        rows = min(height, max(1, PIXELS[self.inner] // width)) if image.device.type == "cpu" else height
        return [image.new_empty(rows, width, n) for n in (n_in, *(m.shape[1] for m in shared.pixel[:-1]), self.n_features)]

    def _pixels(
        self, image: Tensor, trunk: Tensor | None, shared: Shared, work: list[Tensor], take: Callable[[slice, Tensor], None]
    ) -> None:
        """Run the pixel path over (y, x, channel), some rows at a time, and hand on both paths' features."""
        for start in range(0, len(image), len(work[0])):
            rows = slice(start, min(start + len(work[0]), len(image)))
            n = rows.stop - start
            x, *between, found = work if n == len(work[0]) else [part[:n] for part in work]
            if trunk is not None:
                found[..., : self.n_trunk].copy_(trunk[0, :, rows].permute(1, 2, 0))
            if shared.pixel:
                x.copy_(image[rows])
                for matrix, out in zip(shared.pixel, (*between, found[..., self.n_trunk :]), strict=True):
                    torch.mm(x.flatten(0, 1), matrix, out=out.flatten(0, 1))
                    _whole(out).clamp_(min=0)
                    x = out
            take(rows, found.flatten(0, 1))


def _whole(x: Tensor) -> Tensor:
    """See numbers as whole ones of the same bits: the same order where they are not negative, and negative where they are."""
    return x.view(WHOLES[x.dtype])


def _bits(value: float, dtype: torch.dtype) -> int:
    return int(_whole(torch.tensor(value, dtype=dtype)))


def padded(n: int, dtype: torch.dtype) -> int:
    """Give a width rounded up to whole lanes."""
    return -(-n // LANES[dtype]) * LANES[dtype]


def _weights(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Copy weight and bias, float32: who trains on must not change what runs."""
    convolution = cast(nn.Conv2d, layer)
    return convolution.weight.detach().float().clone(), cast(Tensor, convolution.bias).detach().float().clone()


@dataclass(frozen=True)
class Images:
    """The planes of one map as a body takes them, group by group."""

    groups: Tensor
    """(group, y, x, channel), in the precision that is multiplied in: the planes, clipped, then a channel of 1, then 0."""


class Fused:
    """What runs a body over all groups."""

    crops = True
    """It is told which region of its answer is wanted, and computes less for it."""
    dtype = torch.float32

    def __init__(self, body: FineGrained, groups: int, clip: bool, dtype: torch.dtype) -> None:
        self.body = FrozenBody(body, groups, clip, dtype)
        self.plain = self.body.thinned([None] * self.body.n_sites)

    def once(self, x: Tensor | Images, wanted: Region = WHOLE) -> Tensor:
        """x: (batch, date × plane, y, x), float32 → (batch, n_out, y, x) of the region that is wanted; nothing dropped."""
        return self._run(x, self.plain, wanted)

    def sampler(self, masks: Sequence[Masks]) -> Callable[..., Iterable[Tensor]]:
        """Give the function x, region → one answer as of `once` a set of masks."""
        networks = [self.body.thinned(one) for one in masks]

        def samples(x: Tensor | Images, wanted: Region = WHOLE) -> Iterable[Tensor]:
            return (self._run(x, network, wanted) for network in networks)

        return samples

    def _run(self, x: Tensor | Images, network: Shared, wanted: Region) -> Tensor:
        maps: list[Iterable[Tensor]] = [x.groups] if isinstance(x, Images) else [self.body.images(one.permute(1, 2, 0)) for one in x]
        region = bounded(wanted, x.groups.shape[1:3] if isinstance(x, Images) else x.shape[2:])
        return torch.stack([self._one(images, network, region) for images in maps]).permute(0, 3, 1, 2)

    @abstractmethod
    def _one(self, images: Iterable[Tensor], network: Shared, region: Region) -> Tensor:
        """Give (y, x, n_out) of a region of one map."""


class FrozenFusion(Fused):
    """A late fusion with a linear classifier, ready to run; nothing in it changes, so threads share it."""

    def __init__(self, body: FineGrained, head: nn.Conv2d, groups: int, clip: bool, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(body, groups, clip, dtype)
        weight, self.bias = _weights(head)
        each = weight[:, :, 0, 0].reshape(len(weight), groups, -1).permute(1, 2, 0)  # (group, feature, n_out)
        self.head = functional.pad(each, (0, 0, 0, self.body.n_features - each.shape[1])).to(dtype).contiguous()

    def _one(self, images: Iterable[Tensor], network: Shared, region: Region) -> Tensor:
        height, width = (s.stop - s.start for s in region)
        total = self.bias.expand(height, width, -1).clone()

        def add(group: int, rows: slice, found: Tensor) -> None:
            part = total[rows]
            part.view(-1, part.shape[-1]).add_(found @ self.head[group])

        self.body.run(images, network, region, add)
        return total
