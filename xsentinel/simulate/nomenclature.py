"""What grows and stands in a landscape: a row of a table each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from xsentinel.classes import LabelClass
from xsentinel.kernels.mosaic import DENSE, DIFFUSE, FARM, FOREST


@dataclass(frozen=True)
class Season:
    """A rise and a fall of leaf area: a double logistic."""

    peak: float
    """Leaf area index that it adds, m² m⁻²."""
    start: float
    """Day of year half-way up; below 1 is the year before."""
    end: float
    """Day of year half-way down."""
    rise: float = 10.0
    """Time scale of the rise, days."""
    fall: float = 7.0
    """Time scale of the fall, days."""


@dataclass(frozen=True)
class Cover:
    """A kind of ground cover."""

    name: str
    """One word."""
    class_name: str
    """Class that it belongs to."""
    ground: str
    """Row of the table of ground reflectance; "soil" is dry or wet soil by its moisture."""
    canopy: str = "grass"
    """Row of the table of canopies."""
    base: float = 0.0
    """Leaf area index in winter, m² m⁻²."""
    seasons: tuple[Season, ...] = ()
    """Growth in a year."""
    straw: float = 0.0
    """Share of the ground under straw or litter after the fall."""
    shade: float = 0.0
    """Share of the crown hidden in its own shadows, which a flat canopy has not."""
    texture: float = 0.12
    """Relative spread of leaf area from pixel to pixel."""
    flower: float = 0.0
    """Share of the view taken by yellow flowers at their best."""
    shares: tuple[tuple[int, float], ...] = ()
    """Zones that it stands in, and its share there."""
    warmth: float = 0.0
    """Growth of its share, e-folds for each 10 degrees of latitude towards the equator."""


CLASSES = tuple(
    LabelClass(value, name, colour)
    for value, (name, colour) in enumerate(
        (
            ("winter_cereal", "#e8c66a"),
            ("spring_cereal", "#f2dfa0"),
            ("rapeseed", "#ffff00"),
            ("maize", "#e29b2d"),
            ("sunflower", "#ff8c5a"),
            ("root_crop", "#a05a8c"),
            ("grassland", "#a6d96a"),
            ("deciduous_forest", "#1a9641"),
            ("conifer_forest", "#00552b"),
            ("shrub", "#7d8f3c"),
            ("orchard", "#66c2a5"),
            ("vineyard", "#8c2d62"),
            ("urban_dense", "#a50f15"),
            ("urban_diffuse", "#ef6548"),
            ("road", "#4d4d4d"),
            ("water", "#2b83ba"),
            ("bare", "#c8b49b"),
        ),
        start=1,
    )
)

YARD = 2
"""Zone of yards and gardens less zone of the town that they are in."""


def _town(zone: int, name: str, street: float, roofs: tuple[float, ...], yards: tuple[float, ...]) -> tuple[Cover, ...]:
    """Give the covers of a town: a street, four roofs, and what yards are of."""
    grounds = ("tile", "slate", "concrete", "metal")
    covers = [Cover(f"{name}_street", name, "asphalt", shares=((zone, street),))]
    covers += [Cover(f"{name}_{g}", name, g, shares=((zone, s),)) for g, s in zip(grounds, roofs, strict=True)]
    lawn = (Season(2.0, 85, 300, 20, 25),)
    tree = (Season(4.2, 112, 300, 7, 9),)
    shares = [((zone + YARD, share),) for share in yards]
    covers.append(Cover(f"{name}_yard", name, "concrete", shares=shares[0]))
    covers.append(Cover(f"{name}_lawn", name, "soil", "grass", 0.9, lawn, shares=shares[1]))
    covers.append(Cover(f"{name}_tree", name, "soil", "deciduous", 0.4, tree, shade=0.3, shares=shares[2]))
    return tuple(covers)


# Dates of the plain north of the Alps at 47° N; later by 3.5 days a degree northwards (Hopkins' law, 4 days, less).
COVERS = (
    Cover("winter_cereal", "winter_cereal", "soil", "cereal", 0.05, (Season(0.9, -50, 176, 14, 8), Season(4.3, 100, 178, 11, 6)), 0.7,
          shares=((FARM, 0.23),)),
    Cover("spring_cereal", "spring_cereal", "soil", "cereal", 0.05, (Season(4.2, 122, 192, 9, 7),), 0.6,
          shares=((FARM, 0.07),), warmth=-0.4),
    Cover("rapeseed", "rapeseed", "soil", "rape", 0.1, (Season(1.4, -90, 174, 14, 8), Season(3.6, 88, 176, 10, 8)), 0.5,
          flower=0.3, shares=((FARM, 0.09),)),
    Cover("maize", "maize", "soil", "maize", 0.05, (Season(4.6, 172, 262, 10, 9),), 0.4, shares=((FARM, 0.16),), warmth=0.5),
    Cover("sunflower", "sunflower", "soil", "broadleaf", 0.05, (Season(3.2, 168, 235, 9, 9),), 0.3, shares=((FARM, 0.03),), warmth=2.0),
    Cover("root_crop", "root_crop", "soil", "broadleaf", 0.05, (Season(4.3, 160, 272, 11, 9),), 0.1, shares=((FARM, 0.08),), warmth=-0.5),
    Cover("grassland", "grassland", "soil", "grass", 1.0, (Season(2.2, 85, 158, 15, 7), Season(1.6, 182, 300, 12, 22)), 0.1,
          shares=((FARM, 0.20), (FOREST, 0.06))),
    Cover("deciduous_forest", "deciduous_forest", "soil", "deciduous", 0.5, (Season(4.8, 115, 300, 7, 9),), 0.8, 0.25, 0.2,
          shares=((FOREST, 0.55), (FARM, 0.04))),
    Cover("conifer_forest", "conifer_forest", "soil", "conifer", 3.0, (Season(0.9, 140, 290, 20, 25),), 0.3, 0.42, 0.2,
          shares=((FOREST, 0.33), (FARM, 0.01)), warmth=-0.6),
    Cover("shrub", "shrub", "soil", "shrub", 0.9, (Season(1.3, 115, 290, 15, 20),), 0.4, 0.15, 0.3,
          shares=((FOREST, 0.05), (FARM, 0.01)), warmth=0.5),
    Cover("orchard", "orchard", "soil", "shrub", 0.7, (Season(2.0, 110, 300, 9, 14),), 0.2, 0.15, 0.3, shares=((FARM, 0.03),), warmth=0.6),
    Cover("vineyard", "vineyard", "soil", "shrub", 0.3, (Season(1.4, 140, 285, 11, 12),), 0.1, 0.1, 0.2,
          shares=((FARM, 0.02),), warmth=1.6),
    Cover("road", "road", "asphalt"),
    Cover("water", "water", "clear water"),
    Cover("bare", "bare", "soil", "grass", 0.05, (Season(0.4, 100, 280, 20, 25),), 0.1, shares=((FARM, 0.03), (FOREST, 0.01)), warmth=0.5),
    *_town(DENSE, "urban_dense", 0.08, (0.42, 0.28, 0.16, 0.06), (0.55, 0.25, 0.20)),
    *_town(DIFFUSE, "urban_diffuse", 0.08, (0.55, 0.25, 0.09, 0.03), (0.16, 0.52, 0.32)),
)  # fmt: skip

FIXED = ("road", "water", "grassland", "deciduous_forest")
"""Covers of roads, water, field margins and hedges."""

SEASONS = 2
"""Growth periods that a row may have."""


@cache
def running_shares(latitude: float) -> npt.NDArray[np.float64]:
    """Give the running shares of covers (column) in farm, forest, towns and yards (row) at a latitude."""
    warm = (47.0 - abs(latitude)) / 10
    shares = np.zeros((6, len(COVERS)))
    for k, cover in enumerate(COVERS):
        for zone, share in cover.shares:
            shares[zone, k] = share * np.exp(cover.warmth * warm)
    return np.cumsum(shares / shares.sum(1, keepdims=True), 1)


def class_values() -> npt.NDArray[np.uint8]:
    """Give the code of the class of each cover."""
    codes = {c.name: c.code for c in CLASSES}
    return np.array([codes[c.class_name] for c in COVERS], np.uint8)
