"""How dynamics are learnt: the paper's way, and those that held best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import pi
from typing import Any

import pandas as pd

from xsentinel.kernels.forecast import YEAR


@dataclass(frozen=True)
class Stage:
    """One part of a training, with a learning rate that rises and falls once."""

    rollout: int
    """Steps ahead that are compared; 1 in the paper."""
    steps: int
    """Of Adam."""
    rate: float = 4e-3
    """The highest."""
    batch: int = 256
    """Starts a step, of each member."""
    noise: float = 0.0
    """Largest standard deviation of what is added to starts, in standardised units; drawn for each between a
    hundredth of it and all of it. It teaches the way back to the orbit."""
    decay: float = 2.0
    """A step q ahead weighs 1/q to this power."""


@dataclass(frozen=True)
class DynamicsPreset:
    """A network, what it sees, and how it is trained."""

    scheme: str = "rk4"
    """rk4, euler or lstm."""
    width: int = 150
    """b."""
    members: int = 1
    """Networks of the ensemble."""
    components: int | None = None
    """Principal components carried on; all if not given."""
    floor: float = 0.05
    """Least scale of a component, as a share of the first's: what is smaller is mostly noise."""
    pace_floor: float = 0.05
    """The same of differences in time."""
    season: bool = False
    """Whether the time of year is an input: right for what the year drives, wrong for what goes its own way."""
    base: str = ""
    """"climatology": carry on how far a series is from its own mean of other years; needs two years or more."""
    causal: bool = False
    """Start from what was known at each date, as a forecast must; else from series filled with hindsight."""
    dates: int = 2
    """Spectra that a forecast starts from; more than two for an LSTM."""
    freq: str = "5D"
    """Step."""
    filling: Mapping[str, Any] = field(default_factory=lambda: {"method": "cressman", "radius": 10.0}, hash=False)
    """How series become regular: a method of fill_gaps and its options."""
    stages: tuple[Stage, ...] = (Stage(1, 4000),)
    energy: float = 0.0
    """Weight of the squared difference between the mean squared norms of a rollout and of the truth."""
    period: int = 0
    """Steps after which a state should come back; 0: none is asked for."""
    period_weight: float = 0.0
    """Weight of the squared distance from coming back."""

    @property
    def step_days(self) -> float:
        """Give the step in days."""
        return pd.Timedelta(self.freq) / pd.Timedelta(1, "D")

    @property
    def turn(self) -> float:
        """Give what the phase of the year moves on by in a step, radians; 0 if it is no input."""
        return 2 * pi * self.step_days / YEAR if self.season else 0.0


PAPER = DynamicsPreset(stages=(Stage(1, 6000),))

DYNAMICS_PRESETS = {
    "default": DynamicsPreset(
        width=32,
        members=5,
        floor=0.2,
        base="climatology",
        causal=True,
        stages=(Stage(1, 500), Stage(24, 400, rate=2e-3, batch=64, decay=0.5)),
    ),
    "short": DynamicsPreset(
        width=32, members=5, floor=0.2, causal=True, stages=(Stage(1, 500), Stage(24, 400, rate=2e-3, batch=64, decay=0.5))
    ),
    "paper": PAPER,
    "paper-euler": replace(PAPER, scheme="euler"),
    "paper-lstm": replace(PAPER, scheme="lstm", dates=13, stages=(Stage(1, 2000),)),
}
"""``default``: an ensemble on differences from each series' climatology, for cubes of two years and more; ``short``: the
same on reflectance, for less; ``paper``: Estopinan's RK4 ResNet with one-step training, and its rivals."""
