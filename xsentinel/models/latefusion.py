"""Late fusion: one network over each group of dates, what it finds put together at the end."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from xsentinel.models.finegrained import FineGrained
from xsentinel.models.frozenfusion import FrozenFusion
from xsentinel.models.network import Masks, Network

Make = Callable[[int], FineGrained]
"""Planes of a group → the network that all groups go through."""


class Groups(Network):
    """A network whose dates are taken in groups of as many, all through one body (Stoian et al. 2019, §3.2.3).

    Parameters
    ----------
    n_in, dates : int
        Planes of all dates together, those of the first date first.
    groups : int
        How many there are; None: each date by itself.
    make : callable
        Planes of a group → body.
    clip : bool
        Whether planes are clipped to 0 … 1 (equation 2 of the paper); the 0 that stands for gaps stays 0.

    Raises
    ------
    ValueError
        If the planes cannot be shared among the dates, or the dates among the groups.
    """

    is_of_series = True

    def __init__(self, n_in: int, dates: int, groups: int | None, make: Make, clip: bool = True) -> None:
        super().__init__()
        n_groups = dates if groups is None else groups
        if dates < 1 or n_in % dates:
            raise ValueError(f"{n_in} planes cannot be of {dates} dates")
        if n_groups < 1 or dates % n_groups:
            raise ValueError(f"{dates} dates cannot be shared among {n_groups} groups")
        self.dates, self.groups, self.planes, self.clip = dates, n_groups, n_in // dates, clip
        self.body = make(n_in // n_groups)
        self.sites, self.stride, self.radius = self.body.sites, self.body.stride, self.body.radius

    def clipped(self, x: Tensor) -> Tensor:
        """Give the planes as the body takes them."""
        return x.clamp(0, 1) if self.clip else x

    def features(self, x: Tensor, masks: Masks | None = None) -> Tensor:
        """Give what the body finds in each group, those of the first group first.

        x: (batch, date × plane, y, x) → (batch, group × feature, y, x). The same channels are dropped in all groups, so
        that a Monte Carlo sample remains one network that they share.
        """
        n, _, height, width = x.shape
        each = [m if m is None or len(m) == 1 else m.repeat_interleave(self.groups, 0) for m in masks or [None] * len(self.sites)]
        found: Tensor = self.body(self.clipped(x).reshape(n * self.groups, -1, height, width), each)
        return found.reshape(n, -1, height, width)


class LateFusion(Groups):
    """Groups of dates through one body, all that it finds classified by one linear layer.

    Parameters
    ----------
    n_in, n_out, dates : int
        Planes in, classes out.
    groups, make, clip
        As of `Groups`.
    """

    def __init__(self, n_in: int, n_out: int, dates: int, groups: int | None, make: Make, clip: bool = True) -> None:
        super().__init__(n_in, dates, groups, make, clip)
        self.head = nn.Conv2d(self.groups * self.body.n_features, n_out, 1)
        nn.init.xavier_uniform_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, masks: Masks | None = None) -> Tensor:
        """x: (batch, date × plane, y, x), y and x multiples of the stride → (batch, n_out, y, x)."""
        out: Tensor = self.head(self.features(x, masks))
        return out

    def freeze(self, dtype: torch.dtype = torch.float32) -> FrozenFusion:
        """Give the network as it is run: group after group, thinned for each sample."""
        return FrozenFusion(self.body, self.head, self.groups, self.clip, dtype)
