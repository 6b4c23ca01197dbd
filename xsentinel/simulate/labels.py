"""Labels such as one gets in practice: few, eroded, some wrong, some of last year."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.errors import XSentinelError
from xsentinel.kernels.hashing import draw, hash_many, salted
from xsentinel.kernels.mosaic import COVER_BITS, FARM
from xsentinel.simulate.nomenclature import CLASSES, class_values, running_shares
from xsentinel.simulate.scene import Scene, largest, parcel_of

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Labelling:
    """What is labelled, and how badly."""

    share: float
    """Of parcels that have a label."""
    wrong: float
    """Of labels that are of any other class."""
    outdated: float
    """Of labels of fields that say what grew there before."""
    eroded: int
    """Pixels without label along the borders of parcels."""
    seed: int
    """Of what is drawn, beside that of the scene."""

    def __post_init__(self) -> None:
        for name in ("share", "wrong", "outdated"):
            if not 0 <= getattr(self, name) <= 1:
                raise XSentinelError(f"{name} is {getattr(self, name)!r}; it is a share between 0 and 1")


def draw_labels(scene: Scene, rows: range, columns: range, how: Labelling) -> Array:
    """Give labels, (y, x), uint8; 0 where there is none."""
    margin = how.eroded
    around = (range(r.start - margin, r.stop + margin) for r in (rows, columns))
    keys = largest(scene, *around)
    inside = keys[margin : keys.shape[0] - margin, margin : keys.shape[1] - margin]
    groups, places = np.unique(inside, return_inverse=True)
    labels = _of_groups(groups, scene, how)[places.reshape(inside.shape)]
    return np.where(_within(_pieces(keys), margin), labels, 0).astype(np.uint8)


def _of_groups(groups: Array, scene: Scene, how: Labelling) -> Array:
    """Give each parcel its label, 0 for none; a town's or a river's block counts as one."""
    bits = hash_many(salted(salted(scene.root, how.seed), 500), groups >> COVER_BITS, 0)
    u = np.array([[draw(b, k) for k in range(5)] for b in bits]).reshape(-1, 5)
    truth = class_values()[groups & ((1 << COVER_BITS) - 1)]
    farm = running_shares(scene.latitude)[FARM]
    before = class_values()[np.searchsorted(farm, u[:, 3], side="right").clip(0, farm.size - 1)]
    other = (truth + (u[:, 4] * (len(CLASSES) - 1)).astype(int)) % len(CLASSES) + 1
    grown = np.isin(truth, FIELD_CLASSES)
    labels = np.where(grown & (u[:, 1] < how.outdated), before, truth)
    labels = np.where(u[:, 2] < how.wrong, other, labels)
    return np.where(u[:, 0] < how.share, labels, 0)


FIELD_CLASSES = np.arange(1, 8, dtype=np.uint8)
"""Classes that may change from year to year."""


def _pieces(keys: Array) -> Array:
    """Give numbers to what borders are between: parcels, and elsewhere classes."""
    parcel = parcel_of(keys)
    return np.where(parcel > 0, parcel, -class_values()[keys & ((1 << COVER_BITS) - 1)].astype(np.int64))


def _within(pieces: Array, margin: int) -> Array:
    """Tell where all pixels up to a distance along rows and columns are of the same piece."""
    size = 2 * margin + 1
    windows = np.lib.stride_tricks.sliding_window_view(pieces, (size, size))
    out: Array = windows.max((-2, -1)) == windows.min((-2, -1))
    return out
