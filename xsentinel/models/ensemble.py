"""Several networks of one kind, trained apart, whose probabilities are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from xsentinel.models.network import Masks
from xsentinel.models.series import SeriesNetwork


class Ensemble(SeriesNetwork):
    """Members that vote with equal weight.

    Parameters
    ----------
    members : sequence of SeriesNetwork
    """

    def __init__(self, members: Sequence[SeriesNetwork]) -> None:
        first = members[0]
        super().__init__(first.dates * first.planes, first.dates)
        self.members = torch.nn.ModuleList(members)
        self.sites = tuple(site for member in members for site in member.sites)

    def classify(self, series: Tensor, masks: Masks) -> Tensor:
        """series: (pixel, date, plane) → (pixel, class), logarithms of the mean probabilities."""
        ends = [0]
        for member in self.members:
            ends.append(ends[-1] + len(member.sites))  # type: ignore[arg-type]
        answers = [m.classify(series, masks[a:b]) for m, (a, b) in zip(self.members, pairwise(ends), strict=True)]  # type: ignore[operator]
        return average(answers, -1)


def average(answers: Sequence[Tensor], dim: int) -> Tensor:
    """Give the logarithms of the mean probabilities of answers before softmax, classes along dim; float32."""
    return torch.stack([one.float().softmax(dim) for one in answers]).mean(0).clamp(min=1e-6).log()
