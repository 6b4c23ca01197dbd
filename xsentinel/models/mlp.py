"""The multilayer perceptron that Albughdadi et al. (2020) set beside their U-Net: each pixel by itself."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from xsentinel.models.network import Masks, Network, Site, drop


class MLP(Network):
    """Dense layers with ReLU over the channels of each pixel, dropout after each, a linear one at the end.

    Parameters
    ----------
    n_in, n_out : int
        Planes in and out.
    widths : sequence of int
        Of the hidden layers; 256, 128, 64 in the paper (10-256-128-64-1).
    dropout : float
        Rate after each hidden layer.
    """

    def __init__(self, n_in: int, n_out: int, widths: Sequence[int] = (256, 128, 64), dropout: float = 0.5) -> None:
        super().__init__()
        if not widths or not 0 <= dropout < 1:
            raise ValueError(f"widths are {list(widths)} and dropout is {dropout}; it takes a width or more, and a rate from 0 to below 1")
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairwise((n_in, *widths)))
        self.head = nn.Conv2d(widths[-1], n_out, 1)
        self.sites = tuple(Site(width, dropout) for width in widths)

    def forward(self, x: Tensor, masks: Masks | None = None) -> Tensor:
        """x: (batch, channel, y, x) → (batch, output, y, x)."""
        for layer, mask in zip(self.layers, masks or [None] * len(self.layers), strict=True):
            x = drop(functional.relu(layer(x)), mask)
        out: Tensor = self.head(x)
        return out
