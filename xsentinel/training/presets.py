"""Settings to train with, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from xsentinel.errors import XSentinelError
from xsentinel.training.augment import Augmentation

Chosen = TypeVar("Chosen")

TEN_BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")


@dataclass(frozen=True)
class Schedule:
    """How a network that gives one map is trained, whatever it sees."""

    patch: int = 48
    """Pixels along a side."""
    crop: int = 0
    """Pixels at the border of a patch that the loss leaves out."""
    batch: int = 16
    """Patches."""
    steps: int = 8000
    optimiser: Literal["adam", "decayed", "rmsprop"] = "adam"
    """adam, its rate in one cycle; decayed: adam, its rate × 0.2 after each third of the steps; rmsprop, its rate constant."""
    rate: float = 4e-3
    """Learning rate, the highest of its schedule."""
    loss: Literal["huber", "mse"] = "huber"
    """mse; or huber: squared below 0.05 LAI, absolute above."""
    whole: float = 0.5
    """Share of each batch that is trained without dropout: one pass without it is then as good as the mean of many with."""
    freeze_norm: float = 0.2
    """Share of the steps after which batch normalisation keeps its statistics."""


@dataclass(frozen=True)
class Preset(Schedule):
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


PRESETS = {
    "default": Preset(),
    "paper": Preset(
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
    "mlp": Preset(
        network="mlp",
        settings={"widths": [256, 128, 64], "dropout": 0.0},
        geometry=False,
        optimiser="adam",
        rate=1e-3,
        freeze_norm=1.0,
    ),
}
"""``paper``: Albughdadi et al. (2020), sections 3 and 4.4; ``mlp``: their baseline, on our training set."""


def get_preset(name: str) -> Preset:
    """Give a preset by name.

    Raises
    ------
    XSentinelError
        If there is none of that name.
    """
    return find_preset(name, PRESETS)


def find_preset(name: str, presets: Mapping[str, Chosen]) -> Chosen:
    """Give one of several presets by name.

    Raises
    ------
    XSentinelError
        If there is none of that name.
    """
    if name not in presets:
        raise XSentinelError(f"preset {name!r} is not known; the presets are {', '.join(presets)}")
    return presets[name]
