"""The table of canopy and ground reflectance that comes with the package."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.canopy import DEEPEST, HALF, at_angles, lai_place, of_state

Float32 = npt.NDArray[np.float32]

SZA_NODES = (15.0, 30.0, 45.0, 57.0, 67.0, 77.0)
"""Sun zenith angles of the table, degrees."""

VIEW_ZENITH = 10.0
"""View zenith angle of the oblique nodes, degrees; their azimuths from the sun are 0, 90 and 180."""

"""Bands of the table."""


def lai_of(share: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Give the leaf area index at a share 0…1 of its axis."""
    u = share * DEEPEST / (DEEPEST + HALF)
    return HALF * u / (1 - u)


def view_weights(vza: float, raa: float) -> npt.NDArray[np.float64]:
    """Give the weights of nadir and of the oblique views at 0, 90 and 180 degrees: a parabola in cos(raa)."""
    c, oblique = np.cos(np.deg2rad(raa)), vza / VIEW_ZENITH
    return np.array([1 - oblique, oblique * c * (c + 1) / 2, oblique * (1 - c * c), oblique * c * (c - 1) / 2])


@dataclass(frozen=True, eq=False)
class CanopyTable:
    """PROSAIL at its nodes, convolved with the bands of Sentinel-2A and B."""

    canopies: tuple[str, ...]
    """Kinds of canopy."""
    grounds: tuple[str, ...]
    """Kinds of ground."""
    lines: Float32
    """(platform, sza, view, canopy, state, structure, lai, band, 3): see `soil_line`."""
    ground: Float32
    """(platform, ground, band), reflectance."""

    def at(self, platform: int, angles: tuple[float, float, float]) -> Float32:
        """Give the table (canopy, state, structure, lai, band, 3) at sza, vza, raa (degrees), held at its ends."""
        sza, vza, raa = angles
        place = float(np.interp(sza, SZA_NODES, np.arange(len(SZA_NODES))))
        below = min(int(place), len(SZA_NODES) - 2)
        lines = self.lines[platform]
        flat = at_angles(lines.reshape(*lines.shape[:2], -1), below, place - below, view_weights(vza, raa))
        return flat.reshape(lines.shape[2:])

    def reflectance(
        self, platform: int, angles: tuple[float, float, float], canopy: tuple[int, float, float, float], soil: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        """Give the reflectance (band) of canopy, state, structure and LAI over soil (band)."""
        kind, state, structure, lai = canopy
        line = np.empty(tuple(self.lines.shape)[6:], np.float32)
        of_state(self.at(platform, angles), kind, state, structure, line)
        below, share = lai_place(np.float32(lai), line.shape[0])
        a, b, c = np.moveaxis((1 - share) * line[below] + share * line[below + 1], -1, 0)
        out: npt.NDArray[Any] = a + b * soil / (1 - c * soil)
        return out

    def save(self, path: Path) -> None:
        """Write the table, half precision."""
        np.savez_compressed(
            path, canopies=np.array(self.canopies), grounds=np.array(self.grounds), lines=self.lines.astype(np.float16), ground=self.ground
        )


@cache
def load_table() -> CanopyTable:
    """Read the table that comes with the package."""
    with (files("xsentinel.data") / "canopy.npz").open("rb") as file, np.load(file) as stored:
        canopies, grounds = (tuple(map(str, stored[name])) for name in ("canopies", "grounds"))
        return CanopyTable(canopies, grounds, stored["lines"].astype(np.float32), stored["ground"])
