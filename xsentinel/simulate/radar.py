"""What Sentinel-1 sees of a landscape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from xsentinel.kernels.backscatter import scatter
from xsentinel.kernels.hashing import salted
from xsentinel.simulate.nomenclature import COVERS
from xsentinel.simulate.scene import Scene, fine_window

POLARISATIONS = ("VV", "VH")
REVISIT = 6
"""Days between passes of Sentinel-1A and B."""

PASS = pd.Timedelta(hours=5, minutes=50)
"""Time of day of a descending pass, UTC."""

INCIDENCE = 38.0
"""Degrees from the vertical."""

LOOKS = 4.4
"""Equivalent number of looks of a GRD product (Copernicus, Sentinel-1 product definition)."""


@dataclass(frozen=True)
class WaterCloud:
    """The water-cloud model of a polarisation, with leaf area index as the vegetation."""

    leaves: float
    """Backscatter of an endless canopy, linear."""
    attenuation: float
    """Of one unit of leaf area, one way at nadir."""
    dry: float
    """Backscatter of dry soil, dB."""
    wet: float
    """Growth from dry to wet soil, dB."""


MODELS = (WaterCloud(0.17, 0.11, -13.0, 8.0), WaterCloud(0.046, 0.09, -21.5, 6.0))
"""VV and VH, so that fields come near the medians of the Belgian site of WorldCereal, −8.6 and −16.3 dB."""

STANDING = {"urban_dense": (-4.0, -11.0), "urban_diffuse": (-7.0, -14.0), "road": (-13.0, -20.0), "water": (-21.0, -28.0)}
STANDING |= {"deciduous_forest": (-8.8, -14.0), "conifer_forest": (-9.3, -14.5)}
"""Backscatter of what the model is not for, dB."""


def radar_times(first: pd.Timestamp, last: pd.Timestamp) -> pd.DatetimeIndex:
    """Give the passes from the day of the first date to that of the last."""
    return pd.date_range(first.normalize(), last.normalize(), freq=f"{REVISIT}D") + PASS


def backscatter(scene: Scene, times: range, rows: range, columns: range) -> npt.NDArray[np.float32]:
    """Give VV and VH, (polarisation, time, y, x), float32, dB, with speckle."""
    ground = scene.ground(fine_window(scene, rows, columns))
    growth = ground.growth(times)
    fixed = np.array([STANDING.get(c.class_name, (np.nan, np.nan)) for c in COVERS])[ground.covers].T
    out = np.empty((len(POLARISATIONS), len(times), len(rows), len(columns)), np.float32)
    looks = LOOKS * (scene.resolution / 10) ** 2
    for p, model in enumerate(MODELS):
        facts = np.array([model.leaves, model.attenuation, model.dry, model.wet, np.cos(np.deg2rad(INCIDENCE))])
        for i, t in enumerate(times):
            power = scatter(np.ascontiguousarray(growth[:, i]), fixed[p], ground.places, ground.counts, facts, scene.weather[t].moisture)
            seed = salted(salted(scene.root, scene.overs[t].day), 900 + p)
            out[p, i] = ground.speckled(power, seed, looks)
    return out
