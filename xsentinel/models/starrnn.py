"""StarRNN (Turkoglu, D'Aronco & Wegner 2021, IEEE TPAMI): stacked recurrent units that can be trained deep."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from xsentinel.models.network import Masks
from xsentinel.models.series import SeriesNetwork, scale, sites


class StarLayer(nn.Module):
    r"""A layer of STAR units.

    .. math:: k_t = \sigma(W_k x_t + U_k h_{t-1} + b_k), \quad z_t = \tanh(W_z x_t + b_z), \quad
              h_t = \tanh((1 - k_t) \circ h_{t-1} + k_t \circ z_t)
    """

    def __init__(self, n_in: int, width: int) -> None:
        super().__init__()
        self.given, self.kept = nn.Linear(n_in, 2 * width), nn.Linear(width, width, bias=False)
        nn.init.orthogonal_(self.given.weight)
        nn.init.orthogonal_(self.kept.weight)
        nn.init.zeros_(self.given.bias)
        with torch.no_grad():
            # gates begin at memories of 2 … 12 dates
            self.given.bias[:width] = -torch.log(torch.rand(width) * 10 + 1)

    def forward(self, x: Tensor) -> Tensor:
        """x: (pixel, date, n_in) → (pixel, date, width)."""
        gates, values = self.given(x).chunk(2, -1)
        values = values.tanh()
        state, states = torch.zeros_like(values[:, 0]), []
        for gate, value in zip(gates.unbind(1), values.unbind(1), strict=True):
            state = torch.lerp(state, value, torch.sigmoid(gate + self.kept(state))).tanh()
            states.append(state)
        return torch.stack(states, 1)


class StarRNN(SeriesNetwork):
    """Layers of STAR units, dropout behind each, a dense layer on the state after the last date.

    Parameters
    ----------
    n_in, n_out, dates : int
        Planes in, classes out.
    widths : sequence of int
        Units of each layer.
    dropout : float
        Rate behind each layer, the same units at all dates.
    """

    def __init__(self, n_in: int, n_out: int, dates: int, widths: Sequence[int] = (128, 128, 128), dropout: float = 0.0) -> None:
        super().__init__(n_in, dates)
        self.layers = nn.ModuleList(StarLayer(a, b) for a, b in pairwise((self.planes, *widths)))
        self.head = nn.Linear(widths[-1], n_out)
        self.sites = sites(widths, dropout)

    def classify(self, series: Tensor, masks: Masks) -> Tensor:
        """series: (pixel, date, plane) → (pixel, class)."""
        for layer, mask in zip(self.layers, masks, strict=True):
            series = scale(layer(series), mask)
        out: Tensor = self.head(series[:, -1])
        return out
