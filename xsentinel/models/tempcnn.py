"""TempCNN (Pelletier, Webb & Petitjean 2019, Remote Sensing 11, 523): convolutions along time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from xsentinel.models.network import Masks
from xsentinel.models.series import SeriesNetwork, scale, scale_channels, sites


class TempCNN(SeriesNetwork):
    """Convolutions along time with batch normalisation, ReLU and dropout, a dense layer over all dates, a linear one.

    Parameters
    ----------
    n_in, n_out, dates : int
        Planes in, classes out.
    widths : sequence of int
        Channels of the convolutions; three of 64 in the paper.
    kernel : int
        Dates of a convolution, odd; 5 in the paper.
    dense : int
        Units of the dense layer; 256 in the paper.
    dropout : float
        Rate behind each layer; 0.5 in the paper, here of whole channels.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        dates: int,
        widths: Sequence[int] = (64, 64, 64),
        kernel: int = 5,
        dense: int = 256,
        dropout: float = 0.5,
    ) -> None:
        super().__init__(n_in, dates)
        if kernel % 2 == 0:
            raise ValueError(f"a kernel of {kernel} dates has no middle; take an odd number")
        pairs = list(pairwise((self.planes, *widths)))
        self.layers = nn.ModuleList(nn.Conv1d(a, b, kernel, padding=kernel // 2, bias=False) for a, b in pairs)
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in widths)
        self.dense, self.dense_norm = nn.Linear(widths[-1] * dates, dense, bias=False), nn.BatchNorm1d(dense)
        self.head = nn.Linear(dense, n_out)
        self.sites = sites((*widths, dense), dropout)

    def classify(self, series: Tensor, masks: Masks) -> Tensor:
        """series: (pixel, date, plane) → (pixel, class)."""
        x = series.transpose(1, 2)
        for layer, norm, mask in zip(self.layers, self.norms, masks[:-1], strict=True):
            x = scale_channels(functional.relu(norm(layer(x))), mask)
        x = scale(functional.relu(self.dense_norm(self.dense(x.flatten(1)))), masks[-1])
        out: Tensor = self.head(x)
        return out
