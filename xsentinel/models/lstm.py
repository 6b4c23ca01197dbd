"""The recurrent network of Weikmann et al. (2021): LSTM layers of falling width, the last state classified."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from xsentinel.models.network import Masks
from xsentinel.models.series import SeriesNetwork, scale, sites


class LSTM(SeriesNetwork):
    """Layers of long short-term memory, dropout behind each, a dense layer on the state after the last date.

    Parameters
    ----------
    n_in, n_out, dates : int
        Planes in, classes out.
    widths : sequence of int
        Units of each layer; 200, 125, 100 in the paper.
    dropout : float
        Rate behind each layer, the same units at all dates.
    """

    def __init__(self, n_in: int, n_out: int, dates: int, widths: Sequence[int] = (200, 125, 100), dropout: float = 0.0) -> None:
        super().__init__(n_in, dates)
        if not widths:
            raise ValueError("it takes a width or more")
        self.layers = nn.ModuleList(nn.LSTM(a, b, batch_first=True) for a, b in pairwise((self.planes, *widths)))
        self.head = nn.Linear(widths[-1], n_out)
        self.sites = sites(widths, dropout)

    def classify(self, series: Tensor, masks: Masks) -> Tensor:
        """series: (pixel, date, plane) → (pixel, class)."""
        for layer, mask in zip(self.layers, masks, strict=True):
            series = scale(layer(series)[0], mask)
        out: Tensor = self.head(series[:, -1])
        return out
