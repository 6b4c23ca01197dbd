"""InceptionTime (Ismail Fawaz et al. 2020, DMKD 34): convolutions of several lengths side by side, six deep."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from xsentinel.models.network import Masks
from xsentinel.models.series import SeriesNetwork, scale, sites


class Inception(nn.Module):
    """A bottleneck, convolutions of several lengths and a pooled branch side by side, batch normalisation, ReLU."""

    def __init__(self, n_in: int, width: int, kernels: Sequence[int]) -> None:
        super().__init__()
        self.narrow = nn.Conv1d(n_in, width, 1, bias=False) if n_in > 1 else nn.Identity()
        inner = width if n_in > 1 else 1
        self.convolutions = nn.ModuleList(nn.Conv1d(inner, width, k, padding=k // 2, bias=False) for k in kernels)
        self.pooled = nn.Conv1d(n_in, width, 1, bias=False)
        self.norm = nn.BatchNorm1d(width * (len(kernels) + 1))

    def forward(self, x: Tensor) -> Tensor:
        """x: (pixel, n_in, date) → (pixel, width × (kernels + 1), date)."""
        narrow = self.narrow(x)
        beside = self.pooled(functional.max_pool1d(x, 3, 1, 1))
        return functional.relu(self.norm(torch.cat([*(c(narrow) for c in self.convolutions), beside], 1)))


class InceptionTime(SeriesNetwork):
    """Inception modules with a shortcut around each three, the mean over time, a dense layer.

    Parameters
    ----------
    n_in, n_out, dates : int
        Planes in, classes out.
    width : int
        Channels of each branch; 32 in the paper.
    kernels : sequence of int
        Dates of the convolutions, odd; 40, 20 and 10 in the paper (made odd here), for long series.
    depth : int
        Modules; 6 in the paper.
    dropout : float
        Rate behind the mean over time; none in the paper.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        dates: int,
        width: int = 32,
        kernels: Sequence[int] = (39, 19, 9),
        depth: int = 6,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(n_in, dates)
        if any(k % 2 == 0 for k in kernels):
            raise ValueError(f"kernels of {list(kernels)} dates; take odd numbers, which have a middle")
        outer = width * (len(kernels) + 1)
        self.layers = nn.ModuleList(Inception(self.planes if k == 0 else outer, width, kernels) for k in range(depth))
        starts = [self.planes if k == 0 else outer for k in range(0, depth - 2, 3)]
        self.shortcuts = nn.ModuleList(nn.Sequential(nn.Conv1d(a, outer, 1, bias=False), nn.BatchNorm1d(outer)) for a in starts)
        self.head = nn.Linear(outer, n_out)
        self.sites = sites((outer,), dropout)

    def classify(self, series: Tensor, masks: Masks) -> Tensor:
        """series: (pixel, date, plane) → (pixel, class)."""
        x = start = series.transpose(1, 2)
        for k, layer in enumerate(self.layers):
            x = layer(x)
            if k % 3 == 2:
                x = start = functional.relu(x + self.shortcuts[k // 3](start))
        out: Tensor = self.head(scale(x.mean(2), masks[0]))
        return out
