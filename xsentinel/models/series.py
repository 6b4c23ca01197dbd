"""Networks over a series: each pixel by itself, its dates in order, each date's bands and whether it was seen."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from xsentinel.models.network import Masks, Network, Sampler, Site

PIXELS = 1024
"""Series run at once: with more, what a recurrent layer keeps no longer fits into the second-level cache."""


class SeriesNetwork(Network):
    """A network that classifies the series of a pixel: ``classify(series, masks)``.

    Parameters
    ----------
    n_in, dates : int
        Planes of all dates together, those of the first date first; the last plane of each date is 1 where the
        date was seen and 0 where it is missing, all its other planes being 0 then.

    Raises
    ------
    ValueError
        If the planes cannot be shared among the dates.
    """

    is_of_series = True

    def __init__(self, n_in: int, dates: int) -> None:
        super().__init__()
        if dates < 1 or n_in % dates:
            raise ValueError(f"{n_in} planes cannot be of {dates} dates")
        self.dates, self.planes = dates, n_in // dates

    def forward(self, x: Tensor, masks: Masks | None = None) -> Tensor:
        """x: (batch, date × plane, y, x) → (batch, output, y, x)."""
        n, _, height, width = x.shape
        series = x.permute(0, 2, 3, 1).reshape(n * height * width, self.dates, self.planes)
        each = [m if m is None or len(m) == 1 else m.repeat_interleave(height * width, 0) for m in masks or [None] * len(self.sites)]
        return self.classify(series, each).reshape(n, height, width, -1).permute(0, 3, 1, 2)

    @abstractmethod
    def classify(self, series: Tensor, masks: Masks) -> Tensor:
        """series: (pixel, date, plane) → (pixel, output), before any softmax."""

    def freeze(self, dtype: torch.dtype = torch.float32) -> SeriesRunner:
        """Give the network as it is run, some pixels at a time."""
        return SeriesRunner(self, dtype)


class SeriesRunner:
    """A network over series run some pixels after the others, so that what it keeps of them stays in cache."""

    def __init__(self, network: SeriesNetwork, dtype: torch.dtype) -> None:
        import copy

        self.network, self.dtype = copy.deepcopy(network).to(dtype).eval(), dtype

    def once(self, x: Tensor) -> Tensor:
        """x: (batch, date × plane, y, x) of dtype → (batch, output, y, x), float32; nothing dropped."""
        return next(iter(self.sampler([[None] * len(self.network.sites)])(x)))

    def sampler(self, masks: Sequence[Masks]) -> Sampler:
        """Give the function x → one answer as of `once` a set of masks."""
        return lambda x: (self._run(x, one) for one in masks)

    def _run(self, x: Tensor, masks: Masks) -> Tensor:
        n, _, height, width = x.shape
        network, here = self.network, [m if m is None else m.to(x.device, self.dtype) for m in masks]
        series = x.permute(0, 2, 3, 1).reshape(-1, network.dates, network.planes)
        at_once = PIXELS if x.device.type == "cpu" else 64 * PIXELS
        parts = [network.classify(part, here).float() for part in torch.split(series, at_once)]
        return torch.cat(parts).reshape(n, height, width, -1).permute(0, 3, 1, 2)


def scale(x: Tensor, mask: Tensor | None) -> Tensor:
    """Multiply the features of x, (pixel, feature) or (pixel, date, feature), by a mask: the same at all dates."""
    if mask is None:
        return x
    return x * (mask if x.ndim == 2 else mask[:, None]).to(x.dtype)


def scale_channels(x: Tensor, mask: Tensor | None) -> Tensor:
    """Multiply the channels of x, (pixel, channel, date), by a mask."""
    return x if mask is None else x * mask[:, :, None].to(x.dtype)


def sites(widths: Sequence[int], rate: float) -> tuple[Site, ...]:
    """Give a site of dropout behind each layer.

    Raises
    ------
    ValueError
        If the rate is not from 0 to below 1.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"dropout is {rate}; it is a rate from 0 to below 1")
    return tuple(Site(width, rate) for width in widths)


def seen(series: Tensor) -> Tensor:
    """Give which dates were seen, (pixel, date), bool."""
    return series[..., -1] > 0.5


def fill(series: Tensor) -> Tensor:
    """Give the bands of series, missing dates on the line between their neighbours, the ends held; (pixel, date, band)."""
    there, n = seen(series), series.shape[1]
    index = torch.arange(n, device=series.device).expand(there.shape)
    before = torch.where(there, index, -1).cummax(1).values
    after = n - 1 - torch.where(there.flip(1), index, -1).cummax(1).values.flip(1)
    before, after = torch.where(before < 0, after, before), torch.where(after >= n, before, after)
    before, after = before.clamp(0, n - 1), after.clamp(0, n - 1)
    share = (index - before).to(series.dtype) / (after - before).clamp(min=1).to(series.dtype)
    low, high = (series[..., :-1].gather(1, at[..., None].expand(-1, -1, series.shape[2] - 1)) for at in (before, after))
    return torch.lerp(low, high, share[..., None])
