"""Classifiers of series and how each is trained, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Variation:
    """How far series are varied while a network learns; in units of each band's standard deviation."""

    noise: float = 0.05
    """Of each value."""
    brightness: float = 0.05
    """Of a series as a whole, all bands and dates."""
    hidden: float = 0.1
    """Chance of a date to count as not seen."""


@dataclass(frozen=True)
class CropPreset:
    """A classifier of series and how it is trained."""

    network: str
    """A row of `xsentinel.models.networks.NETWORKS`."""
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    fit: Literal["descent", "trees", "boosting", "rocket"] = "descent"
    """How: by gradient descent, or by what scikit-learn grows."""
    epochs: int = 60
    """Times that every sample is seen."""
    batch: int = 64
    """Samples."""
    optimiser: Literal["adamw", "rmsprop"] = "adamw"
    rate: float = 2e-3
    """Learning rate, the highest of a one-cycle schedule for adamw, constant for rmsprop."""
    decay: float = 0.05
    """Weight decay of adamw."""
    weighted: bool = False
    """Whether the loss of class u counts n_max/n_u."""
    smoothing: float = 0.0
    """Share of the label that is spread over all classes."""
    variation: Variation | None = field(default_factory=Variation)
    """None: series as they are."""
    grower: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What scikit-learn's estimator is made with."""


CROP_PRESETS = {
    "paper": CropPreset(
        "lstm", {"widths": [200, 125, 100]}, optimiser="rmsprop", rate=1e-3, decay=0.0, weighted=True, variation=None, epochs=60
    ),
    "lstm": CropPreset("lstm", {"widths": [200, 125, 100], "dropout": 0.3}),
    "starrnn": CropPreset("starrnn", {"widths": [128, 128, 128], "dropout": 0.3}),
    "msresnet": CropPreset("msresnet", {"widths": [32, 64, 128], "dropout": 0.3}),
    "inceptiontime": CropPreset("inceptiontime", {"width": 32, "kernels": [9, 5, 3], "depth": 6, "dropout": 0.3}),
    "tempcnn": CropPreset("tempcnn", {"widths": [64, 64, 64], "kernel": 5, "dense": 256, "dropout": 0.5}),
    "ltae": CropPreset("ltae", {"width": 128, "heads": 16, "keys": 8, "dense": 128, "dropout": 0.2}),
    "forest": CropPreset("forest", fit="trees", grower={"n_estimators": 500, "max_features": "sqrt", "min_samples_leaf": 1}),
    "boosting": CropPreset(
        "forest",
        {"votes": False},
        fit="boosting",
        grower={"n_estimators": 150, "learning_rate": 0.1, "max_depth": 4, "subsample": 0.7, "max_features": "sqrt"},
    ),
    "rocket": CropPreset("rocket", {"biases": 10}, fit="rocket"),
}
"""``paper``: Weikmann et al. (2021), loss weighted; the others are of their authors, trained as did best here."""
