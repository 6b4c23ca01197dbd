"""Angles at pixels, made from the nodes of granules when asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from xsentinel.io.safe_metadata import AngleGrid
from xsentinel.kernels.angles import at_pixels, between_at_pixels, fill_nearest

Name = Literal["sza", "vza", "raa"]


@dataclass(frozen=True, eq=False)
class TileAngles:
    """The angles of one tile, where it lies on the grid."""

    grid: AngleGrid
    row: int
    """Row of the grid that the tile's first row lies on; may be negative."""
    column: int
    shape: tuple[int, int]
    """Rows and columns of the tile."""

    def at(self, name: Name, rows: slice, columns: slice, resolution_m: float) -> npt.NDArray[np.float32]:
        """Interpolate an angle to pixels of the tile, counted from its corner; degrees."""
        y = (np.arange(rows.start, rows.stop) + 0.5) * resolution_m / self.grid.step_m[0]
        x = (np.arange(columns.start, columns.stop) + 0.5) * resolution_m / self.grid.step_m[1]
        if name != "raa":
            return at_pixels(fill_nearest(self.grid.sun_zenith if name == "sza" else self.grid.view_zenith), y, x)
        sun, view = (fill_nearest(g) for g in (self.grid.sun_azimuth, self.grid.view_azimuth))
        return between_at_pixels(sun, view, y, x)


def merge_grids(grids: list[AngleGrid]) -> AngleGrid:
    """Join the halves of a tile: the first grid's nodes, the others' where it has none."""
    first = grids[0]
    views = {}
    for name in ("sun_zenith", "sun_azimuth", "view_zenith", "view_azimuth"):
        values = getattr(first, name)
        for other in grids[1:]:
            more = getattr(other, name)
            if more.shape == values.shape:
                values = np.where(np.isfinite(values), values, more)
        views[name] = values
    return AngleGrid(first.step_m, **views)


@dataclass(frozen=True, eq=False)
class AngleLayer:
    """One angle at many dates, (time, y, x), an array to dask, float32 degrees."""

    dates: tuple[tuple[TileAngles, ...], ...]
    """For each date its tiles; pixels outside all are NaN."""
    name: Name
    shape: tuple[int, int, int]
    resolution_m: float

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """Float32."""
        return np.dtype(np.float32)

    @property
    def ndim(self) -> int:
        """Three."""
        return 3

    def __getitem__(self, key: tuple[slice, slice, slice]) -> npt.NDArray[np.float32]:
        """Interpolate a window of some dates."""
        times, rows, columns = (range(*k.indices(n)) for k, n in zip(key, self.shape, strict=True))
        out = np.full((len(times), len(rows), len(columns)), np.nan, np.float32)
        for i, t in enumerate(times):
            for tile in reversed(self.dates[t]):
                self._lay(tile, rows, columns, out[i])
        return out

    def _lay(self, tile: TileAngles, rows: range, columns: range, out: npt.NDArray[np.float32]) -> None:
        top, bottom = max(rows.start, tile.row), min(rows.stop, tile.row + tile.shape[0])
        left, right = max(columns.start, tile.column), min(columns.stop, tile.column + tile.shape[1])
        if top >= bottom or left >= right:
            return
        values = tile.at(
            self.name, slice(top - tile.row, bottom - tile.row), slice(left - tile.column, right - tile.column), self.resolution_m
        )
        out[top - rows.start : bottom - rows.start, left - columns.start : right - columns.start] = values
