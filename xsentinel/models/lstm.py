"""The recurrent network of Weikmann et al. (2021): LSTM layers of falling width, the last state classified."""

from __future__ import annotations

from collections.abc import Sequence

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
    both : bool
        Whether a second stack reads the dates backwards; the paper's does not.
    """

    def __init__(
        self, n_in: int, n_out: int, dates: int, widths: Sequence[int] = (200, 125, 100), dropout: float = 0.0, both: bool = False
    ) -> None:
        super().__init__(n_in, dates)
        if not widths:
            raise ValueError("it takes a width or more")
        ways = 2 if both else 1
        inner = [ways * width for width in widths]
        given = (self.planes, *inner[:-1])
        self.layers = nn.ModuleList(nn.LSTM(a, b, batch_first=True, bidirectional=both) for a, b in zip(given, widths, strict=True))
        self.head = nn.Linear(inner[-1], n_out)
        self.sites, self.both = sites(inner, dropout), both

    def classify(self, series: Tensor, masks: Masks) -> Tensor:
        """series: (pixel, date, plane) → (pixel, class)."""
        for layer, mask in zip(self.layers, masks, strict=True):
            series = scale(layer(series)[0], mask)
        last = series.amax(1) if self.both else series[:, -1]
        out: Tensor = self.head(last)
        return out
