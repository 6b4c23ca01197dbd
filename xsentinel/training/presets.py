"""What the settings to train with share, and how they are found by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from xsentinel.errors import XSentinelError

Chosen = TypeVar("Chosen")


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


def find_preset(preset: str | Chosen, presets: Mapping[str, Chosen]) -> Chosen:
    """Give a preset by its name; settings of one's own as they are.

    Raises
    ------
    XSentinelError
        If there is none of that name.
    """
    if not isinstance(preset, str):
        return preset
    if preset not in presets:
        raise XSentinelError(f"preset {preset!r} is not known; the presets are {', '.join(presets)}")
    return presets[preset]
