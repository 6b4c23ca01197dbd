"""TSFG-UNET (Stoian et al. 2019): the fine-grained U-Net with a memory of dates in each of its layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from xsentinel.models.convlstm import ConvLSTM
from xsentinel.models.finegrained import FineGrained, Memory
from xsentinel.models.latefusion import Groups
from xsentinel.models.network import Masks

GAIN = 10.0
"""The states of the last layer lie within ±1, of which no softmax of 17 classes is above 0.32."""


class TSFGUNet(Groups):
    """FG-UNET with convolutional LSTM layers in place of convolutions, and one in place of the linear classifier.

    With 33 dates of ten bands, 17 classes and each date by itself it has exactly the 4,137,272 parameters of the
    paper's Table 2 (with eleven groups of three dates it would be 4,176,312): so the paper's takes one date a step,
    as the authors' published code does, and its last layer is 1×1 LSTM too. Two things are ours: the logistic function
    in place of Keras' piecewise linear one, and answers that are `GAIN` times the last state.

    Its neighbourhood is wide: where a state is convolved at each step, what is seen goes on by a pixel of the
    coarsest level a date; 151 pixels with 33 dates.

    Parameters
    ----------
    n_in, n_out, dates : int
        Planes in, classes out.
    groups : int, optional
        Steps of the memory; None: each date.
    pixel, widths, dropout, clip
        As of `FGUNet`.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        dates: int,
        groups: int | None = None,
        pixel: Sequence[int] = (200, 100, 50),
        widths: Sequence[int] = (32, 64, 128),
        dropout: float = 0.0,
        clip: bool = True,
    ) -> None:
        super().__init__(n_in, dates, groups, lambda n: FineGrained(n, widths, pixel, dropout, ConvLSTM), clip)
        self.head = ConvLSTM(self.body.n_features, n_out, 1)
        if widths:
            self.radius = self.body.radius + (self.groups - 1) * self.stride

    def forward(self, x: Tensor, masks: Masks | None = None) -> Tensor:
        """x: (batch, date × plane, y, x), y and x multiples of the stride → (batch, n_out, y, x)."""
        memory: Memory = {}
        for group in torch.chunk(self.clipped(x), self.groups, 1):
            state: Tensor = self.head(self.body(group, masks, memory), memory)
        return GAIN * state
