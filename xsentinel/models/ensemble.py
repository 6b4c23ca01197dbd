"""Several networks of one kind, trained apart, whose probabilities are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, cast

import torch
from torch import Tensor

from xsentinel.models.network import Frozen, Masks, Network, Sampler


class Ensemble(Network):
    """Members that vote with equal weight.

    Parameters
    ----------
    members : sequence of Network
        Over series; alike.
    """

    is_of_series = True

    def __init__(self, members: Sequence[Network]) -> None:
        super().__init__()
        first: Any = members[0]
        self.dates, self.planes, self.stride, self.radius = first.dates, first.planes, first.stride, first.radius
        self.members = torch.nn.ModuleList(members)
        self.sites = tuple(site for member in members for site in member.sites)

    def parts(self) -> list[tuple[Network, slice]]:
        """Give the members, and where their sites are among all."""
        members = [cast(Network, m) for m in self.members]
        ends = accumulate((len(m.sites) for m in members), initial=0)
        return [(m, slice(*bounds)) for m, bounds in zip(members, pairwise(ends), strict=True)]

    def forward(self, x: Tensor, masks: Masks | None = None) -> Tensor:
        """x: (batch, date × plane, y, x) → (batch, class, y, x), logarithms of the mean probabilities."""
        every = masks or [None] * len(self.sites)
        return average([member(x, every[here]) for member, here in self.parts()], 1)

    def freeze(self, dtype: torch.dtype = torch.float32) -> Together:
        """Give the members as they are run."""
        return Together(self, [member.freeze(dtype) for member, _ in self.parts()])


class Together:
    """Members of an ensemble, each as it runs by itself."""

    def __init__(self, network: Ensemble, members: Sequence[Frozen]) -> None:
        self.members, self.dtype, self.places = members, members[0].dtype, [here for _, here in network.parts()]

    def once(self, x: Tensor) -> Tensor:
        """x: (batch, date × plane, y, x) of dtype → (batch, output, y, x), float32; nothing dropped."""
        return average([member.once(x) for member in self.members], 1)

    def sampler(self, masks: Sequence[Masks]) -> Sampler:
        """Give the function x → one answer as of `once` a set of masks."""
        each = [m.sampler([one[here] for one in masks]) for m, here in zip(self.members, self.places, strict=True)]
        return lambda x: (average(answers, 1) for answers in zip(*(sample(x) for sample in each), strict=True))


def average(answers: Sequence[Tensor], dim: int) -> Tensor:
    """Give the logarithms of the mean probabilities of answers before softmax, classes along dim; float32."""
    return torch.stack([one.float().softmax(dim) for one in answers]).mean(0).clamp(min=1e-6).log()
