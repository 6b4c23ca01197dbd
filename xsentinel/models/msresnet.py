"""MSResNet (Wang et al. 2018, CSI-Net): residual convolutions along time at three lengths side by side."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from xsentinel.models.network import Masks
from xsentinel.models.series import SeriesNetwork, scale, sites


class Residual(nn.Module):
    """Two convolutions along time with batch normalisation, and a way around them; every second date is kept if asked."""

    def __init__(self, n_in: int, width: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(n_in, width, kernel, stride, kernel // 2, bias=False)
        self.second = nn.Conv1d(width, width, kernel, 1, kernel // 2, bias=False)
        self.first_norm, self.second_norm = nn.BatchNorm1d(width), nn.BatchNorm1d(width)
        straight = n_in == width and stride == 1
        self.around = nn.Identity() if straight else nn.Sequential(nn.Conv1d(n_in, width, 1, stride, bias=False), nn.BatchNorm1d(width))

    def forward(self, x: Tensor) -> Tensor:
        """x: (pixel, n_in, date) → (pixel, width, date / stride rounded up)."""
        y = self.second_norm(self.second(functional.relu(self.first_norm(self.first(x)))))
        return functional.relu(y + self.around(x))


class MSResNet(SeriesNetwork):
    """A convolution, then a branch of residual blocks a length, the mean over time of each, a dense layer.

    Parameters
    ----------
    n_in, n_out, dates : int
        Planes in, classes out.
    widths : sequence of int
        Channels of the blocks of a branch; each after the first halves the dates. 64, 128, 256 in the paper.
    kernels : sequence of int
        Dates of the convolutions of each branch, odd.
    dropout : float
        Rate behind the means over time; none in the paper.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        dates: int,
        widths: Sequence[int] = (32, 64, 128),
        kernels: Sequence[int] = (3, 5, 7),
        dropout: float = 0.0,
    ) -> None:
        super().__init__(n_in, dates)
        self.stem = nn.Sequential(nn.Conv1d(self.planes, widths[0], 7, padding=3, bias=False), nn.BatchNorm1d(widths[0]), nn.ReLU())
        pairs = list(pairwise((widths[0], *widths)))
        self.branches = nn.ModuleList(
            nn.Sequential(*(Residual(a, b, k, 1 if place == 0 else 2) for place, (a, b) in enumerate(pairs))) for k in kernels
        )
        self.head = nn.Linear(widths[-1] * len(kernels), n_out)
        self.sites = sites((widths[-1] * len(kernels),), dropout)

    def classify(self, series: Tensor, masks: Masks) -> Tensor:
        """series: (pixel, date, plane) → (pixel, class)."""
        x = self.stem(series.transpose(1, 2))
        out: Tensor = self.head(scale(torch.cat([branch(x).mean(2) for branch in self.branches], 1), masks[0]))
        return out
