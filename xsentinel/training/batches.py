"""Batches for LAI: patches drawn, varied, labelled by SL2P and normalised; batch i is a function of seed and i."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from xsentinel.kernels.sl2p import OUT_OF_RANGE, TOO_HIGH, TOO_LOW
from xsentinel.models.card import Channel
from xsentinel.training.augment import Augmentation, Augmenter
from xsentinel.training.lai_presets import LaiPreset
from xsentinel.training.patches import Patch
from xsentinel.training.teacher import TEACHER_BANDS, label_lai

Float32 = npt.NDArray[np.float32]

BAD = TOO_LOW | TOO_HIGH
"""Flags of answers that the loss leaves out: beyond SL2P's own range."""

OUTSIDE = BAD | OUT_OF_RANGE
"""Flags of answers that scores and calibration leave out: also those to a band outside SL2P's min–max."""

VIEW = Channel("cos_vza", 0.97, 1.0, default=0.996)
GEOMETRY = (
    Channel("cos_sza", 0.0, 1.0),
    VIEW,
    Channel("cos_raa", -1.0, 1.0, default=0.0),
    Channel("s2b", 0.0, 1.0),
)
"""Defaults: a view of 5° across the sun's plane, in the middle of what occurs."""


def channels_of(preset: LaiPreset, limits: Sequence[tuple[float, float]]) -> tuple[Channel, ...]:
    """Give the inputs of a preset, bands normalised by their limits."""
    bands = tuple(Channel(band, *ends) for band, ends in zip(preset.bands, limits, strict=True))
    return bands + (GEOMETRY if preset.geometry else ())


@dataclass(frozen=True)
class Batch:
    """What a step is trained on, before it is a tensor."""

    bands: Float32
    """(patch, band, y, x), reflectance, NaN in gaps."""
    cosines: Float32
    """(patch, 3)"""
    is_s2b: npt.NDArray[np.bool_]

    def tensors(self, channels: Sequence[Channel], left_out: int = BAD) -> tuple[Tensor, Tensor, Tensor]:
        """Give inputs (patch, channel, y, x), LAI (patch, y, x), and where it counts: no gap, none of the flags left out."""
        names = [c.name for c in channels]
        lai, flags = label_lai(self.bands[:, [names.index(band) for band in TEACHER_BANDS]], self.cosines, self.is_s2b)
        counts = np.isfinite(self.bands).all(1) & np.isfinite(lai) & (flags & left_out == 0)
        inputs = normalise(self.bands, self.cosines, self.is_s2b, channels)
        return inputs, torch.from_numpy(np.where(counts, lai, np.float32(0))), torch.from_numpy(counts)


def normalise(bands: Float32, cosines: Float32, is_s2b: npt.NDArray[np.bool_], channels: Sequence[Channel]) -> Tensor:
    """Bring patches to a network's inputs, gaps at 0 in all channels, as the predictor does."""
    geometry = {"cos_vza": cosines[:, 0], "cos_sza": cosines[:, 1], "cos_raa": cosines[:, 2], "s2b": is_s2b}
    n_bands = bands.shape[1]
    low = np.array([c.low for c in channels], np.float32)[:, None, None]
    width = np.array([c.high - c.low for c in channels], np.float32)[:, None, None]
    seen = np.isfinite(bands).all(1, keepdims=True)
    out = np.empty((len(bands), len(channels), *bands.shape[2:]), np.float32)
    out[:, :n_bands] = bands
    for k, channel in enumerate(channels[n_bands:], n_bands):
        out[:, k] = geometry[channel.name][:, None, None]
    return torch.from_numpy(np.where(seen, (out - low) / width, np.float32(0))).contiguous(memory_format=torch.channels_last)


class LaiBatches(IterableDataset[tuple[Tensor, Tensor, Tensor]]):
    """Batches first … last − 1 of an endless row; each process of several draws its own.

    Parameters
    ----------
    patches : sequence of Patch
    channels : sequence of Channel
    preset : LaiPreset
    seed, first, last, rank : int
    spectra : (spectrum, band), float32, optional
        For textures.
    """

    def __init__(
        self, patches: Sequence[Patch], channels: Sequence[Channel], preset: LaiPreset, *, seed: int, first: int, last: int, rank: int = 0,
        spectra: Float32 | None = None,
    ) -> None:  # fmt: skip
        still = Augmentation(0, 0, 0, 0, 0, 0, (0.0,), 0)
        self.augmenter = Augmenter(patches, preset.patch, preset.augmentation or still, spectra)
        self.varied = preset.augmentation is not None
        self.channels, self.batch, self.key, self.range = channels, preset.batch, (seed, rank), range(first, last)

    def __len__(self) -> int:
        return len(self.range)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for i in self.range:
            yield self.draw(np.random.default_rng((*self.key, i))).tensors(self.channels)

    def draw(self, rng: np.random.Generator) -> Batch:
        """Draw one batch; angles and platform are drawn too, as the teacher can answer for any."""
        bands = np.stack([self.augmenter.draw(rng) for _ in range(self.batch)])
        return Batch(bands, self.augmenter.draw_angles(rng, self.batch), rng.random(self.batch) < 0.5)


def real_batches(patches: Sequence[Patch], seed: int = 0, draws: int = 3) -> Iterator[tuple[Patch, Batch]]:
    """Give held-out patches as they are, with their own angles and platform, or several drawn where the cube tells none."""
    rng, angles = np.random.default_rng(seed), Augmenter(patches, 1, Augmentation())
    for patch in patches:
        n = 1 if patch.cosines is not None else draws
        cosines = angles.draw_angles(rng, n) if patch.cosines is None else np.array([patch.cosines], np.float32)
        is_s2b = rng.random(n) < 0.5 if patch.is_s2b is None else np.full(n, patch.is_s2b)
        height, width = (size - size % 8 if size >= 8 else size for size in patch.bands.shape[1:])
        yield patch, Batch(np.repeat(patch.bands[None, :, :height, :width], n, 0), cosines, is_s2b)
