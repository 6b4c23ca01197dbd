"""Networks of land cover and how each is trained, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from xsentinel.bands import TEN_BANDS


@dataclass(frozen=True)
class LandcoverPreset:
    """A network of land cover and how it is trained."""

    network: str = "fgunet"
    """A row of `xsentinel.models.networks.NETWORKS`."""
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    fit: Literal["descent", "trees", "features"] = "descent"
    """How: by gradient descent; a forest on pixels; a forest on what a trained network finds at pixels."""
    bands: tuple[str, ...] = TEN_BANDS
    patch: int = 64
    """Pixels along a patch."""
    step: int = 16
    """Pixels between two positions of patches."""
    least: float = 0.1
    """Share of a patch's pixels that have a label."""
    by_class: bool = True
    """Whether the class is drawn first, then a patch that holds it."""
    batch: int = 8
    """Patches."""
    epochs: int = 50
    steps: int | None = None
    """Batches of an epoch, of all processes together; None: as many as show all labelled land about once."""
    rate: float = 1e-3
    """Learning rate of Adam."""
    warm_up: int = 5
    """Epochs in which the rate grows, by equation 3 of Stoian et al. (2019): with one process it does not change."""
    cycle: bool = False
    """One-cycle schedule instead, with ``rate`` the highest."""
    weighted: bool = True
    """Whether the loss of class k counts n_tot/n_k (equation 4), the mean weight of a labelled pixel brought to 1."""
    pixels: int = 10_000
    """Of a forest: pixels of each class that it grows on, at the most."""
    grower: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What scikit-learn's estimator is made with."""


TREES = {"n_estimators": 100, "max_depth": 20, "min_samples_split": 10}
"""Section 4.2 of the paper; a node of less than ten samples is not split, as OpenCV's minimum is."""

LANDCOVER_PRESETS = {
    "fgunet": LandcoverPreset(),
    "unet": LandcoverPreset(settings={"pixel": []}),
    "mlp": LandcoverPreset(settings={"widths": []}),
    "lstm": LandcoverPreset("fglstm"),
    "tsfgunet": LandcoverPreset("tsfgunet"),
    "forest": LandcoverPreset("forest", fit="trees", grower=TREES),
    "features": LandcoverPreset("fgforest", fit="features", grower=TREES),
}
"""The networks of Stoian et al. (2019), trained as there; ``forest``, their baseline; ``features``, what they advise in section 6:
a forest on what a trained network finds."""
