"""Settings to train a fusion of radar and past leaf area with, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from xsentinel.models.planes import CARRIED, SEASON, TRIPLET, FusionInputs
from xsentinel.training.presets import Schedule


@dataclass(frozen=True)
class FusionPreset(Schedule):
    """A network of radar and past leaf area, and how it is trained."""

    settings: Mapping[str, Any] = field(default_factory=lambda: {"widths": [16, 32, 64], "decoder_widths": [16, 32, 64]}, hash=False)
    """Of `xsentinel.models.fusion.Fusion`."""
    planes: tuple[str, ...] = CARRIED + SEASON
    """Rows of `xsentinel.models.planes.FUSION`, then those of the season."""
    inputs: FusionInputs = field(default_factory=lambda: FusionInputs(s1_tolerance_days=3.0))
    """How dates are chosen."""
    patch: int = 32
    batch: int = 32
    steps: int = 2000
    """Of the whole network, from end to end."""
    pretraining: int = 600
    """Steps of each encoder by itself before."""
    loss: Literal["huber", "mse"] = "mse"
    freeze_norm: float = 0.5
    shares: tuple[float, float] = (0.1, 0.15)
    """Of the losses of the radar's and of the optical encoder, beside 1 of the decoder."""
    hiding: float = 0.5
    """Chance that the past of a patch is hidden in part, by clouds of other dates."""
    radar_jitter: tuple[float, float] = (1.5, 0.7)
    """dB by which radar is shifted in training, all dates of a patch alike, and each by itself; standard deviations."""
    scaling: float = 0.15
    """Standard deviation of the logarithm that leaf area of a patch, given and to be found, is scaled by in training."""
    cloudy_weight: float = 2.0
    """Weight of pixels of which neither of the two dates before is known; 1 for all others."""


FUSION_PRESETS = {
    "default": FusionPreset(),
    "paper": FusionPreset(
        settings={"widths": [32, 64, 128], "decoder_widths": [64, 128, 256], "dropout": 0.0},
        planes=TRIPLET + SEASON,
        inputs=FusionInputs(),
        patch=64,
        steps=8000,
        pretraining=8000,
        optimiser="decayed",
        rate=1e-3,
        whole=1.0,
        freeze_norm=1.0,
        hiding=0.0,
        radar_jitter=(0.0, 0.0),
        scaling=0.0,
        cloudy_weight=1.0,
    ),
}
"""``default``: thinner, of each pixel's last two clear dates; Adam in one cycle, which gets further in few steps than two decays.
``paper``: Wang et al. (2023), sections 3 and 4.1, widths of the authors' code; without dropout, of which they have none, and so without
an interval."""
