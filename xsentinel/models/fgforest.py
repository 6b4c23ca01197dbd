"""A random forest over what a trained FG-UNET finds, as Stoian et al. (2019, §6) advise: context, and a robust classifier."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from xsentinel.models.finegrained import FineGrained
from xsentinel.models.forest import Forest
from xsentinel.models.latefusion import Groups
from xsentinel.models.network import Masks


class FGForest(Groups):
    """The body of an `FGUNet`, and decision trees over its features of all groups in place of the linear layer.

    Feature k of group g is feature g × n_features + k of the trees; nothing is missing to them.

    Parameters
    ----------
    n_in, n_out, dates : int
        Planes in, classes out.
    groups, pixel, widths, dropout, clip
        As of `FGUNet`.
    trees, nodes, depth, votes
        As of `Forest`.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        dates: int,
        groups: int = 11,
        pixel: Sequence[int] = (200, 100, 50),
        widths: Sequence[int] = (32, 64, 128),
        dropout: float = 0.0,
        clip: bool = True,
        **trees: int,
    ) -> None:
        super().__init__(n_in, dates, groups, lambda n: FineGrained(n, widths, pixel, dropout), clip)
        self.forest = Forest(self.groups * (self.body.n_features + 1), n_out, self.groups, **trees)  # type: ignore[arg-type]

    def forward(self, x: Tensor, masks: Masks | None = None) -> Tensor:
        """x: (batch, date × plane, y, x), y and x multiples of the stride → (batch, n_out, y, x)."""
        n, _, height, width = x.shape
        series = self.series(self.features(x, masks))
        return self.forest.classify(series, ()).reshape(n, height, width, -1).permute(0, 3, 1, 2)

    def series(self, features: Tensor) -> Tensor:
        """Give (batch, group × feature, y, x) as the trees take it: (pixel, group, feature and whether it is there)."""
        found = features.permute(0, 2, 3, 1).reshape(-1, self.groups, self.body.n_features)
        return torch.cat([found, found.new_ones(len(found), self.groups, 1)], 2)
