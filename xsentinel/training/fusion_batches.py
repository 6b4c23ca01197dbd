"""Batches for a fusion of radar and past leaf area: patches of dates, their past hidden by clouds of other dates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from xsentinel.blocks.fusion import LAYERS
from xsentinel.errors import XSentinelError
from xsentinel.models.card import Channel
from xsentinel.models.planes import limits_of
from xsentinel.training.fusion_presets import FusionPreset
from xsentinel.training.fusion_series import FusionSeries

Float32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]

TRIES = 50
"""Patches that are looked at for one with a target, before the last is taken as it is."""


def channels_of(preset: FusionPreset) -> tuple[Channel, ...]:
    """Give the inputs of a preset."""
    return tuple(Channel(name, *limits_of(name, preset.inputs)) for name in preset.planes)


def normalise(planes: Float32, channels: Sequence[Channel]) -> Tensor:
    """Bring planes (patch, plane, y, x) to a network's inputs, gaps at 0 in all of them."""
    low, high = (np.array([getattr(c, f) for c in channels], np.float32)[:, None, None] for f in ("low", "high"))
    seen = np.isfinite(planes).all(1, keepdims=True)  # as the predictor has it
    scaled = np.where(seen, (planes - low) / (high - low), np.float32(0))
    return torch.from_numpy(scaled).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Sample:
    """One date of one place, or a patch of it."""

    planes: Float32
    """(plane, y, x), natural units, NaN where there is no answer."""
    target: Float32
    """(y, x), NaN where there is none."""
    n_known: npt.NDArray[np.uint8]
    """(y, x): of the two dates before, how many showed the pixel."""


def sample_of(series: FusionSeries, date: int, names: Sequence[str], hidden: Bool | None = None) -> Sample:
    """Give a date of a place, some of its past hidden."""
    known = np.isfinite(series.layers[LAYERS.index("lai"), max(date - 2, 0) : date])
    if hidden is not None and len(known):
        known[-len(hidden) :] &= ~hidden[-len(known) :]
    return Sample(series.planes(date, names, hidden), series.target[date], known.sum(0).astype(np.uint8))


class Hider:
    """Draws what clouds of other dates would have hidden.

    Parameters
    ----------
    series : sequence of FusionSeries
        Whose masks are taken: pixels that were not known.
    """

    def __init__(self, series: Sequence[FusionSeries]) -> None:
        self.series = series

    def draw(self, rng: np.random.Generator, shape: tuple[int, int], n_dates: int) -> Bool:
        """Draw what is hidden of the last dates, (time, y, x): dates in a row of one place, so that bad weather lasts as it does."""
        chosen = self.series[int(rng.integers(len(self.series)))]
        start = int(rng.integers(max(1, len(chosen.times) - n_dates + 1)))
        hidden = np.isnan(chosen.layers[LAYERS.index("lai"), start : start + n_dates])
        if rng.random() < 0.5:
            hidden = hidden[:, ::-1]
        if rng.random() < 0.5:
            hidden = hidden[:, :, ::-1]
        repeats = [-(-n // size) for n, size in zip(shape, hidden.shape[1:], strict=True)]
        corner = [int(rng.integers(n * r - m + 1)) for n, r, m in zip(hidden.shape[1:], repeats, shape, strict=True)]
        wide = np.tile(hidden, (1, *repeats))
        return np.ascontiguousarray(wide[:, corner[0] : corner[0] + shape[0], corner[1] : corner[1] + shape[1]])


class FusionBatches(IterableDataset[tuple[Tensor, Tensor, Tensor]]):
    """Batches first … last − 1 of an endless row; batch i is a function of seed, rank and i.

    Each is (inputs, target, weight): the weight is 0 where there is no target or no answer, and greater where the dates before are hidden.

    Parameters
    ----------
    series : sequence of FusionSeries
        Each counts the same.
    preset : FusionPreset
    seed, first, last, rank : int
    """

    def __init__(self, series: Sequence[FusionSeries], preset: FusionPreset, *, seed: int, first: int, last: int, rank: int = 0) -> None:
        self.names, self.channels, self.preset = preset.planes, channels_of(preset), preset
        dated = [(one, one.usable(self.names)) for one in series]
        self.dated = [(one, dates) for one, dates in dated if dates.size]
        if not self.dated:
            raise XSentinelError(
                f"none of {len(series)} places has a date with a target and what the planes of the preset need; "
                f"give longer series, or radar nearer to their dates"
            )
        self.hider = Hider(series)
        self.key, self.range = (seed, rank), range(first, last)

    def __len__(self) -> int:
        return len(self.range)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for i in self.range:
            rng = np.random.default_rng((*self.key, i))
            yield tensors([self.draw(rng) for _ in range(self.preset.batch)], self.channels, self.preset.cloudy_weight)

    def draw(self, rng: np.random.Generator) -> Sample:
        """Draw a patch, turned, its past perhaps hidden."""
        for _ in range(TRIES):
            sample = self._try(rng)
            if np.isfinite(sample.target + sample.planes[0]).any():
                break
        turns, mirror = int(rng.integers(4)), rng.random() < 0.5

        def turned(values: Any) -> Any:
            around = np.rot90(values, turns, (-2, -1))
            return np.ascontiguousarray(around[..., ::-1] if mirror else around)

        return Sample(*(turned(values) for values in padded(sample, self.preset.patch)))

    def _try(self, rng: np.random.Generator) -> Sample:
        series, dates = self.dated[int(rng.integers(len(self.dated)))]
        date, size = int(dates[rng.integers(dates.size)]), self.preset.patch
        rows, columns = (_window(rng, n, size) for n in series.target.shape[1:])
        piece = varied(series.cut(rows, columns), self.preset, rng)
        hidden = None
        if rng.random() < self.preset.hiding:
            hidden = self.hider.draw(rng, piece.target.shape[1:], int(rng.integers(1, 8)))
        return sample_of(piece, date, self.names, hidden)


def varied(series: FusionSeries, preset: FusionPreset, rng: np.random.Generator) -> FusionSeries:
    """Shift the radar of a place, all dates and each by itself, and scale its leaf area and what is to be found alike.

    Sensors, angles and soils shift backscatter from land to land, and a network that learnt its absolute level on one fails on the next.
    """
    shared, each = preset.radar_jitter
    if not (shared or each or preset.scaling):
        return series
    layers, n_dates = series.layers.copy(), len(series.times)
    for name in ("vv", "vh"):
        shift = rng.normal(0, shared) + rng.normal(0, each, (n_dates, 1, 1))
        layers[LAYERS.index(name)] += shift.astype(np.float32)
    scale = np.float32(np.exp(rng.normal(0, preset.scaling)))
    layers[LAYERS.index("lai")] *= scale
    return replace(series, layers=layers, target=series.target * scale)


def padded(sample: Sample, size: int) -> tuple[Float32, Float32, npt.NDArray[np.uint8]]:
    """Give planes, target and what was known, widened to a size with gaps."""
    more = [(0, max(0, size - n)) for n in sample.target.shape]
    gaps = {"constant_values": np.nan}
    planes, target = np.pad(sample.planes, [(0, 0), *more], **gaps), np.pad(sample.target, more, **gaps)  # type: ignore[call-overload]
    return planes, target, np.pad(sample.n_known, more)


def _window(rng: np.random.Generator, n: int, size: int) -> slice:
    """Draw where a patch lies along an axis."""
    if n < size:
        return slice(0, n)
    start = int(rng.integers(n - size + 1))
    return slice(start, start + size)


def tensors(samples: Sequence[Sample], channels: Sequence[Channel], cloudy_weight: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Give inputs (patch, plane, y, x), target and weight (patch, y, x) of samples of one size."""
    planes, target = np.stack([s.planes for s in samples]), np.stack([s.target for s in samples])
    counts = np.isfinite(target) & np.isfinite(planes[:, 0])
    weight = np.where(np.stack([s.n_known for s in samples]) == 0, np.float32(cloudy_weight), np.float32(1)) * counts
    return (
        normalise(planes, channels),
        torch.from_numpy(np.where(counts, target, np.float32(0))),
        torch.from_numpy(weight.astype(np.float32)),
    )
