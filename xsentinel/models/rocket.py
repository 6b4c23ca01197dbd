"""MiniRocket (Dempster, Schmidt & Webb 2021): fixed convolutions along time, shares of positive values, a linear classifier."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn import functional

from xsentinel.models.network import Masks
from xsentinel.models.series import SeriesNetwork, fill

LENGTH = 9
"""Dates under a kernel: six weights of −1 and three of 2."""


class Rocket(SeriesNetwork):
    """The 84 kernels at several dilations, each on some bands, its share of values above each of some biases.

    Parameters
    ----------
    n_in, n_out, dates : int
        Planes in, classes out.
    biases : int
        A kernel and dilation.
    differences : bool
        Whether the series of differences between dates are looked at too, as MultiRocket does.
    """

    weights: Tensor
    mixing: Tensor
    biases: Tensor
    centre: Tensor
    spread: Tensor

    def __init__(self, n_in: int, n_out: int, dates: int, biases: int = 10, differences: bool = True) -> None:
        super().__init__(n_in, dates)
        bands = self.planes - 1
        weights = torch.full((84, 1, LENGTH), -1.0)
        for k, places in enumerate(combinations(range(LENGTH), 3)):
            weights[k, 0, list(places)] = 2.0
        self.register_buffer("weights", weights, persistent=False)
        self.dilations = _dilations(dates)
        self.ways = 2 if differences else 1
        n_kernels = self.ways * len(self.dilations)
        self.register_buffer("mixing", torch.zeros(n_kernels, 84, bands))
        self.register_buffer("biases", torch.zeros(n_kernels, 84, biases))
        n_features = n_kernels * 84 * biases
        self.register_buffer("centre", torch.zeros(n_features))
        self.register_buffer("spread", torch.ones(n_features))
        self.head = nn.Linear(n_features, n_out)

    def classify(self, series: Tensor, masks: Masks) -> Tensor:
        """series: (pixel, date, plane) → (pixel, class)."""
        out: Tensor = self.head(((self.features(series) - self.centre) / self.spread).to(series.dtype))
        return out

    def responses(self, series: Tensor, k: int) -> Tensor:
        """Give the answers of the 84 kernels at one dilation, (pixel, 84, date)."""
        x = fill(series).transpose(1, 2)
        if k >= len(self.dilations):
            x = functional.pad(x.diff(dim=2), (1, 0))
        mixed = torch.einsum("kb,nbt->nkt", self.mixing[k].to(x.dtype), x)
        dilation = self.dilations[k % len(self.dilations)]
        return functional.conv1d(mixed, self.weights.to(x.dtype), padding=LENGTH // 2 * dilation, dilation=dilation, groups=84)

    def features(self, series: Tensor) -> Tensor:
        """Give the shares of positive values, (pixel, feature)."""
        parts = []
        for k in range(len(self.biases)):
            answers = self.responses(series, k)
            parts += [(answers > bias[:, None]).float().mean(2) for bias in self.biases[k].to(answers.dtype).unbind(1)]
        return torch.cat(parts, 1)


def _dilations(dates: int) -> list[int]:
    """Give powers of 2 up to where the kernel is about as long as the series."""
    longest = max(1, (dates - 1) // (LENGTH - 1))
    return [2**k for k in range(longest.bit_length())]
