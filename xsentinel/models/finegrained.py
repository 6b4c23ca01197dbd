"""What FG-UNET (Stoian et al. 2019) makes of one group of dates: a U-Net, and beside it a path of single pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from xsentinel.models.network import Masks, Site, drop
from xsentinel.models.series import sites

Memory = dict[nn.Module, Any]
"""What layers with a memory hold between two groups."""


class Convolution(nn.Conv2d):
    """A convolution with a border of zeros, then ReLU; weights as Keras begins with them (Glorot), biases 0."""

    def __init__(self, n_in: int, n_out: int, kernel: int) -> None:
        super().__init__(n_in, n_out, kernel, padding=kernel // 2)
        begin(self)

    def forward(self, x: Tensor, memory: Memory | None = None) -> Tensor:
        """x: (batch, n_in, y, x) → (batch, n_out, y, x); it has no memory."""
        return functional.relu(super().forward(x))


def begin(layer: nn.Conv2d) -> None:
    """Draw weights evenly within Glorot's bounds, set biases to 0: without normalisation torch's own start too small."""
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class FineGrained(nn.Module):
    """A U-Net without normalisation, and a path of 1×1 convolutions beside it: (batch, n_in, y, x) → (batch, n_features, y, x).

    The U-Net has two 3×3 layers a level, 2×2 max pooling down, nearest upsampling and concatenation up, and ends with
    ``widths[0]`` features; the pixel path has a layer of each of ``pixel`` widths, and ends with the last.

    Parameters
    ----------
    n_in : int
        Planes of a group.
    widths : sequence of int
        Channels of each level of the U-Net, from full resolution down; none: no U-Net.
    pixel : sequence of int
        Channels of the layers of the pixel path; none: no such path.
    dropout : float
        Rate between the two layers of each block (§3.1 of the paper) and between layers of the pixel path.
    layer : callable
        (n_in, n_out, kernel) → a layer that is called with a tensor and the memory.

    Raises
    ------
    ValueError
        If both paths are empty, a width is not positive, or the rate is not from 0 to below 1.
    """

    def __init__(
        self,
        n_in: int,
        widths: Sequence[int],
        pixel: Sequence[int],
        dropout: float = 0.0,
        layer: Callable[[int, int, int], nn.Module] = Convolution,
    ) -> None:
        super().__init__()
        if not (widths or pixel):
            raise ValueError("widths and pixel are both empty; give layers to one of them at least")
        if any(width < 1 for width in (*widths, *pixel)):
            raise ValueError(f"widths {list(widths)} and pixel {list(pixel)} must be positive")
        ups = list(pairwise(widths))[::-1]
        self.down = nn.ModuleList(_block(layer, a, b) for a, b in pairwise((n_in, *widths)))
        self.up = nn.ModuleList(_block(layer, above + below, above) for above, below in ups)
        self.pixel = nn.ModuleList(layer(a, b, 1) for a, b in pairwise((n_in, *pixel)))
        self.n_features = sum((*widths[:1], *pixel[-1:]))
        self.sites: tuple[Site, ...] = sites((*widths, *(above for above, _ in ups), *pixel[:-1]), dropout)
        self.stride = 2 ** (len(widths) - 1) if widths else 1
        self.radius = 7 * self.stride - 5 if widths else 0

    def forward(self, x: Tensor, masks: Masks | None = None, memory: Memory | None = None) -> Tensor:
        """x: (batch, n_in, y, x), y and x multiples of the stride → (batch, n_features, y, x), those of the U-Net first."""
        left = iter(masks or [None] * len(self.sites))
        paths = ([self._trunk(x, left, memory)] if self.down else []) + ([self._path(x, left, memory)] if self.pixel else [])
        return paths[0] if len(paths) == 1 else torch.cat(paths, 1)

    def _trunk(self, x: Tensor, masks: Iterator[Tensor | None], memory: Memory | None) -> Tensor:
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = _run(block, functional.max_pool2d(x, 2) if level else x, next(masks), memory)
            skips.append(x)
        for block, skip in zip(self.up, skips[-2::-1], strict=True):
            large = functional.interpolate(x, scale_factor=2, mode="nearest")
            x = _run(block, torch.cat([skip, large], 1), next(masks), memory)
        return x

    def _path(self, x: Tensor, masks: Iterator[Tensor | None], memory: Memory | None) -> Tensor:
        for k, layer in enumerate(self.pixel):
            x = layer(drop(x, next(masks)) if k else x, memory)
        return x


def _block(layer: Callable[[int, int, int], nn.Module], n_in: int, n_out: int) -> nn.ModuleList:
    return nn.ModuleList([layer(n_in, n_out, 3), layer(n_out, n_out, 3)])


def _run(block: Any, x: Tensor, mask: Tensor | None, memory: Memory | None) -> Tensor:
    """Run the two layers of a block, channels dropped between them."""
    first, second = block
    done: Tensor = second(drop(first(x, memory), mask), memory)
    return done
