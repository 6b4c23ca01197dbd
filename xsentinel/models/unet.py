"""The U-Net of Albughdadi et al. (2020): blocks of two convolutions, channel dropout after each block."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from xsentinel.models.folded import FoldedUNet
from xsentinel.models.layers import Block
from xsentinel.models.network import Masks, Network, Site, drop


def reads(first: int, last: int, n_levels: int) -> tuple[int, int]:
    """Give the first and the last pixel along a side that a U-Net reads for those of its answer.

    Examples
    --------
    >>> reads(0, 0, 3), reads(3, 3, 3)
    ((-22, 21), (-18, 25))
    """
    first, last = first - 2, last + 2
    if n_levels == 1:
        return first, last
    below = reads(first // 2, last // 2, n_levels - 1)
    return min(first, 2 * below[0]) - 2, max(last, 2 * below[1] + 1) + 2


class UNet(Network):
    """A U-Net of any width and depth.

    Down: a block a level, 2×2 max pooling between. Up: nearest upsampling by 2, concatenation behind the
    skip connection, a block a level. A 1×1 convolution, linear, ends it.

    Parameters
    ----------
    n_in, n_out : int
        Planes in and out.
    widths : sequence of int
        Channels of each level, from full resolution down; 32, 64, 128, 256 make the paper's.
    dropout : float or sequence of float
        Rate after each block: the levels on the way down, then those on the way up; one for all.
    norm : bool
        Batch normalisation.
    """

    def __init__(
        self, n_in: int, n_out: int, widths: Sequence[int] = (32, 64, 128, 256), dropout: float | Sequence[float] = 0.5, norm: bool = True
    ) -> None:
        super().__init__()
        n_levels = len(widths)
        rates = [float(dropout)] * (2 * n_levels - 1) if isinstance(dropout, int | float) else list(dropout)
        if len(rates) != 2 * n_levels - 1:
            raise ValueError(f"{len(rates)} rates of dropout for {2 * n_levels - 1} blocks")
        if not all(0 <= rate < 1 for rate in rates):
            raise ValueError(f"dropout is {rates}; rates are from 0 to below 1")
        ups = list(pairwise(widths))[::-1]
        self.down = nn.ModuleList(Block(a, b, norm) for a, b in pairwise((n_in, *widths)))
        self.up = nn.ModuleList(Block(above + below, above, norm) for above, below in ups)
        self.head = nn.Conv2d(widths[0], n_out, 1)
        self.sites = tuple(Site(width, rate) for width, rate in zip((*widths, *(above for above, _ in ups)), rates, strict=True))
        self.stride = 2 ** (n_levels - 1)
        self.radius = 7 * self.stride - 5

    def forward(self, x: Tensor, masks: Masks | None = None) -> Tensor:
        """x: (batch, n_in, y, x), y and x multiples of the stride → (batch, n_out, y, x)."""
        out: Tensor = self.head(self.features(x, masks))
        return out

    def features(self, x: Tensor, masks: Masks | None = None) -> Tensor:
        """Give what the head sees: (batch, widths[0], y, x)."""
        left = iter(masks or [None] * len(self.sites))
        skips = []
        for level, block in enumerate(self.down):
            x = drop(block(functional.max_pool2d(x, 2) if level else x), next(left))
            skips.append(x)
        for block, skip in zip(self.up, skips[-2::-1], strict=True):
            x = drop(block(torch.cat([skip, functional.interpolate(x, scale_factor=2, mode="nearest")], 1)), next(left))
        return x

    def freeze(self, dtype: torch.dtype = torch.float32) -> FoldedUNet:
        """Give the network with normalisation folded into its convolutions, and thinned for each sample."""
        return FoldedUNet(list(self.down), list(self.up), self.head, dtype)
