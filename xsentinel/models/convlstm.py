"""Long short-term memory whose gates are convolutions (Shi et al. 2015), one step of a sequence at a time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xsentinel.models.finegrained import Memory, begin


class ConvLSTM(nn.Module):
    r"""A layer of convolutional long short-term memory, as Keras counts it: one bias, no peepholes.

    .. math:: i, f, g, o = W * [x_t, h_{t-1}] + b, \quad c_t = \sigma(f)\,c_{t-1} + \sigma(i)\tanh(g), \quad h_t = \sigma(o)\tanh(c_t)

    Parameters
    ----------
    n_in, n_out : int
        Channels of its input and of its state.
    kernel : int
        Of the convolutions, odd; 1: each pixel by itself.
    """

    def __init__(self, n_in: int, n_out: int, kernel: int) -> None:
        super().__init__()
        self.gates = nn.Conv2d(n_in + n_out, 4 * n_out, kernel, padding=kernel // 2)
        self.n_out = n_out
        begin(self.gates)
        with torch.no_grad():
            self.gates.bias[n_out : 2 * n_out] = 1  # type: ignore[index]  # it begins by remembering

    def forward(self, x: Tensor, memory: Memory | None = None) -> Tensor:
        """x: (batch, n_in, y, x) → (batch, n_out, y, x), within ±1; its state is taken from the memory and left there."""
        held = {} if memory is None else memory
        zero = x.new_zeros(x.shape[0], self.n_out, *x.shape[2:])
        hidden, cell = held.get(self, (zero, zero))
        i, f, g, o = self.gates(torch.cat([x, hidden], 1)).chunk(4, 1)
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        hidden = torch.sigmoid(o) * torch.tanh(cell)
        held[self] = hidden, cell
        return hidden
