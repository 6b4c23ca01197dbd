"""Settings to train a network of leaf area index with, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from xsentinel.bands import TEN_BANDS
from xsentinel.training.augment import Augmentation
from xsentinel.training.presets import Schedule


@dataclass(frozen=True)
class LaiPreset(Schedule):
    """A network for LAI and how it is trained."""

    network: str = "unet"
    """A row of `xsentinel.models.networks.NETWORKS`."""
    settings: Mapping[str, Any] = field(default_factory=lambda: {"widths": [16, 32], "dropout": [0.0, 0.5, 0.5]}, hash=False)
    bands: tuple[str, ...] = TEN_BANDS
    geometry: bool = True
    """Whether sun and view angles and the platform are inputs."""
    limits: Literal["pixels", "paper"] = "pixels"
    """What a band is normalised by: percentiles over pixels within SL2P's domain, or the paper's, over images."""
    augmentation: Augmentation | None = field(default_factory=Augmentation)
    """None: patches as they are."""


LAI_PRESETS = {
    "default": LaiPreset(),
    "paper": LaiPreset(
        settings={"widths": [32, 64, 128, 256], "dropout": 0.5},
        geometry=False,
        limits="paper",
        patch=128,
        crop=16,
        batch=64,
        optimiser="rmsprop",
        rate=1e-3,
        loss="mse",
        whole=0.0,
        freeze_norm=1.0,
        augmentation=None,
    ),
    "mlp": LaiPreset(
        network="mlp",
        settings={"widths": [256, 128, 64], "dropout": 0.0},
        geometry=False,
        optimiser="adam",
        rate=1e-3,
        freeze_norm=1.0,
    ),
}
"""``paper``: Albughdadi et al. (2020), sections 3 and 4.4; ``mlp``: their baseline, on our training set."""
