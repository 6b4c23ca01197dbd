"""L-TAE (Garnot & Landrieu 2020): attention over time by one learnt query a head, and only to dates that were seen."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from xsentinel.models.network import Masks
from xsentinel.models.series import SeriesNetwork, scale, seen, sites


class LTAE(SeriesNetwork):
    """Each date's bands embedded, its place in the row added; heads that share the features attend; two dense layers.

    Parameters
    ----------
    n_in, n_out, dates : int
        Planes in, classes out.
    width : int
        Features of a date, a multiple of the heads.
    heads, keys : int
        Heads, and numbers in the key of each.
    dense : int
        Units of the dense layer.
    dropout : float
        Rate behind embedding, attention and dense layer.
    """

    def __init__(
        self, n_in: int, n_out: int, dates: int, width: int = 128, heads: int = 16, keys: int = 8, dense: int = 128, dropout: float = 0.2
    ) -> None:
        super().__init__(n_in, dates)
        if width % heads:
            raise ValueError(f"{width} features cannot be shared among {heads} heads")
        self.heads = heads
        self.first, self.second = nn.Linear(self.planes, width), nn.Linear(width, width)
        self.places = nn.Parameter(_places(dates, width))
        self.norm = nn.LayerNorm(width)
        self.keys = nn.Linear(width, heads * keys)
        self.query = nn.Parameter(torch.randn(heads, keys) / keys**0.5)
        self.dense, self.dense_norm = nn.Linear(width, dense), nn.LayerNorm(dense)
        self.head = nn.Linear(dense, n_out)
        self.sites = sites((width, width, dense), dropout)

    def classify(self, series: Tensor, masks: Masks) -> Tensor:
        """series: (pixel, date, plane) → (pixel, class)."""
        n, dates, _ = series.shape
        x = self.norm(self.second(functional.gelu(self.first(series))) + self.places.to(series.dtype))
        x = scale(x, masks[0])
        keys = self.keys(x).reshape(n, dates, self.heads, -1)
        scores = torch.einsum("ndhk,hk->nhd", keys, self.query.to(x.dtype))
        scores = scores.masked_fill(~seen(series)[:, None], -1e4).softmax(-1)
        values = x.reshape(n, dates, self.heads, -1)
        x = scale(torch.einsum("nhd,ndhv->nhv", scores, values).reshape(n, -1), masks[1])
        x = scale(functional.gelu(self.dense_norm(self.dense(x))), masks[2])
        out: Tensor = self.head(x)
        return out


def _places(dates: int, width: int) -> Tensor:
    """Give sines and cosines of the place of each date, (date, width)."""
    turns = torch.arange(dates)[:, None] / (2.0 * dates) ** (torch.arange(0, width, 2) / width)
    return torch.cat([turns.sin(), turns.cos()], 1)[:, :width]
