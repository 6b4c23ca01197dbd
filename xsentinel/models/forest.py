"""Trees as tensors: random forests and boosted trees that scikit-learn grew, run as a network is."""

from __future__ import annotations

import torch
from torch import Tensor

from xsentinel.models.network import Masks
from xsentinel.models.series import SeriesNetwork, fill


class Forest(SeriesNetwork):
    """Decision trees over the bands of all dates, missing dates filled along time.

    Parameters
    ----------
    n_in, n_out, dates : int
        Planes in, classes out.
    trees, nodes : int
        How many there are, and how many nodes the largest has.
    depth : int
        Decisions on the longest way down.
    votes : bool
        Whether leaves hold shares of classes, which are averaged (random forest); else they hold steps, which are
        added up (boosted trees).
    """

    feature: Tensor
    left: Tensor
    right: Tensor
    threshold: Tensor
    value: Tensor
    start: Tensor
    of_class: Tensor

    def __init__(self, n_in: int, n_out: int, dates: int, trees: int = 1, nodes: int = 1, depth: int = 1, votes: bool = True) -> None:
        super().__init__(n_in, dates)
        self.depth, self.votes = depth, votes
        for name in ("feature", "left", "right"):
            self.register_buffer(name, torch.zeros(trees, nodes, dtype=torch.int16 if name == "feature" else torch.int32))
        self.register_buffer("threshold", torch.zeros(trees, nodes))
        # a boosted tree steps for one class only
        self.register_buffer("value", torch.zeros(trees, nodes, n_out if votes else 1))
        self.register_buffer("start", torch.zeros(n_out))
        self.register_buffer("of_class", torch.zeros(trees, dtype=torch.int64))

    def classify(self, series: Tensor, masks: Masks) -> Tensor:
        """series: (pixel, date, plane) → (pixel, class), logarithms of shares or sums of steps."""
        x = fill(series.float()).flatten(1)
        total = self.start.expand(len(x), -1).clone()
        for k in range(len(self.feature)):
            node = self._leaf(x, k)
            if self.votes:
                total += self.value[k][node]
            else:
                total[:, self.of_class[k]] += self.value[k, :, 0][node]
        return answer(total, len(self.feature), self.votes)

    def _leaf(self, x: Tensor, k: int) -> Tensor:
        """Give the leaf of tree k that each pixel comes to."""
        node = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        feature, threshold = self.feature[k].long(), self.threshold[k]
        left, right = self.left[k].long(), self.right[k].long()
        for _ in range(self.depth):
            value = x.gather(1, feature[node][:, None])[:, 0]
            node = torch.where(value <= threshold[node], left[node], right[node])  # leaves lead to themselves
        return node


def answer(total: Tensor, trees: int, votes: bool) -> Tensor:
    """Give logarithms of the mean of votes, or the sum of steps as it is."""
    return (total / trees).clamp(min=1e-4).log() if votes else total
