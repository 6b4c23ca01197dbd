"""What every network of the package is: a function of a tensor and of the channels that are dropped."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Masks = Sequence[Tensor | None]
"""One a site: (1 or batch, channel), 0 where a channel is dropped and 1/(1 − rate) where it is kept; None: nothing is dropped."""

Region = tuple[slice, slice]
"""Rows and columns of an answer."""

WHOLE: Region = (slice(None), slice(None))

Sampler = Callable[[Tensor], Iterable[Tensor]]
"""(batch, channel, y, x) → as many (batch, output, y, x) as there are samples."""


@dataclass(frozen=True)
class Site:
    """A place where channels are dropped: always as many of them, which ones is drawn.

    A fixed number keeps the rate for each channel, with less spread between samples than independent draws,
    and makes every sample a network of one width, which vector units can be filled with.
    """

    n_channels: int
    rate: float
    """Share that is dropped, 0 to below 1; 0: none ever."""

    @property
    def n_dropped(self) -> int:
        """Number of channels that a mask drops; one always stays."""
        return min(round(self.n_channels * self.rate), self.n_channels - 1)

    def masks(self, order: npt.NDArray[np.intp]) -> Tensor | None:
        """Give (mask, channel): 0 where a channel is among the first of its order, 1/(1 − share dropped) elsewhere."""
        if not self.n_dropped:
            return None
        keep = np.ones(order.shape, np.float32)
        np.put_along_axis(keep, order[:, : self.n_dropped], 0, 1)
        return torch.from_numpy(keep * np.float32(self.n_channels / (self.n_channels - self.n_dropped)))


def draw(sites: Sequence[Site], n_masks: int, generator: np.random.Generator) -> Masks:
    """Draw masks (n_masks, channel) for each site, None where nothing is dropped."""
    return [site.masks(generator.permuted(np.tile(np.arange(site.n_channels), (n_masks, 1)), axis=1)) for site in sites]


def draw_masks(sites: Sequence[Site], seed: int, sample: int) -> Masks:
    """Draw the masks of one Monte Carlo sample: a function of seed and sample alone, whatever the block.

    Every tile of a scene is then seen by the same thinned network, so that maps of mean and spread have no seams.
    """
    generator = np.random.Generator(np.random.Philox(key=[seed, sample]))
    return draw(sites, 1, generator)


def drop(x: Tensor, mask: Tensor | None) -> Tensor:
    """Multiply the channels of x, (batch, channel, y, x), by a mask."""
    return x if mask is None else x * mask[:, :, None, None].to(x.dtype)


class Frozen(Protocol):
    """A trained network as it is run: once, or once a Monte Carlo sample.

    One with an attribute ``crops`` takes a `Region` behind x, and gives that of its answer only.
    """

    dtype: torch.dtype
    """Of what it takes."""

    def once(self, x: Tensor) -> Tensor:
        """x: (batch, channel, y, x) of dtype → (batch, output, y, x), float32; nothing dropped."""
        ...

    def sampler(self, masks: Sequence[Masks]) -> Sampler:
        """Give the function x → one answer as of `once` a set of masks."""
        ...


class Masked:
    """A network run as it stands, channels multiplied by masks: what a network without a faster form gets."""

    def __init__(self, network: Network, dtype: torch.dtype) -> None:
        self.network, self.dtype = copy.deepcopy(network).to(dtype).eval(), dtype

    def once(self, x: Tensor) -> Tensor:
        """x: (batch, channel, y, x) of dtype → (batch, output, y, x), float32; nothing dropped."""
        out: Tensor = self.network(x)
        return out.float()

    def sampler(self, masks: Sequence[Masks]) -> Sampler:
        """Give the function x → one answer as of `once` a set of masks."""
        return lambda x: (self.network(x, [None if m is None else m.to(x.device) for m in one]).float() for one in masks)


class Network(nn.Module):
    """A network: ``forward(x, masks)``, with x (batch, channel, y, x) normalised and gaps 0."""

    stride: int = 1
    """Heights and widths that it takes are multiples of it."""
    radius: int | None = 0
    """Pixels around one that its value may depend on."""
    is_of_series: bool = False
    """Whether it is built with the number of dates, whose planes it tells apart."""
    sites: tuple[Site, ...] = ()
    """Where channels are dropped, in order."""

    def freeze(self, dtype: torch.dtype = torch.float32) -> Frozen:
        """Give the network as it is run, in the precision asked for."""
        return Masked(self, dtype)
