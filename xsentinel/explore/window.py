"""Which pixels a view of a map shows: arithmetic on ints, apart from arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import xarray as xr

from xsentinel.cube import pixel_size
from xsentinel.errors import GridError


@dataclass(frozen=True)
class Axis:
    """A regular coordinate."""

    first: float
    """Centre of the first pixel, in units of the CRS."""
    step: float
    """From one pixel to the next; negative where coordinates descend."""
    n: int
    """Pixels."""

    def position(self, place: float) -> float:
        """Count pixels from the outer edge of the first to a place."""
        return (place - self.first) / self.step + 0.5

    def place(self, position: float) -> float:
        """Give the place of a position."""
        return self.first + (position - 0.5) * self.step

    @property
    def ends(self) -> tuple[float, float]:
        """Outer edges, the lower first."""
        low, high = sorted((self.place(0), self.place(self.n)))
        return low, high


@dataclass(frozen=True)
class Run:
    """Every so many pixels along an axis: of each cell of ``step`` pixels the middle one."""

    start: int
    """First pixel of the first cell."""
    stop: int
    """Behind the last pixel."""
    step: int
    """Pixels a cell."""

    @property
    def picked(self) -> slice:
        """The pixels that are read."""
        length = self.stop - self.start
        return slice(self.start + (self.step if self.step // 2 < length else length) // 2, self.stop, self.step)

    @property
    def n(self) -> int:
        """How many they are."""
        return len(range(self.stop)[self.picked])

    def ends(self, axis: Axis) -> tuple[float, float]:
        """Give the outer edges of the cells, the lower first."""
        low, high = sorted((axis.place(self.start), axis.place(self.start + self.n * self.step)))
        return low, high


@dataclass(frozen=True)
class Window:
    """What is read for a view."""

    y: Run
    x: Run


def axes_of(layer: xr.DataArray) -> tuple[Axis, Axis]:
    """Give the axes y and x of a map; rows from the top and columns where the coordinates are not regular."""
    n_y, n_x = layer.sizes["y"], layer.sizes["x"]
    try:
        dy, dx = pixel_size(layer)
    except GridError:
        return Axis(-0.5, -1.0, n_y), Axis(0.5, 1.0, n_x)
    return Axis(float(layer["y"][0]), dy, n_y), Axis(float(layer["x"][0]), dx, n_x)


def run_of(axis: Axis, low: float, high: float, n_drawn: int) -> Run | None:
    """Give the pixels between two places, thinned to about as many as are drawn; None if there are none.

    Cells begin at whole multiples of the step, so the same pixels are picked while the map is dragged about.

    Examples
    --------
    >>> run_of(Axis(first=5.0, step=10.0, n=100), 200.0, 600.0, 10)
    Run(start=20, stop=60, step=4)
    """
    first, last = sorted((axis.position(low), axis.position(high)))
    step = max(1, round((last - first) / n_drawn))
    start = max(0, math.floor(first / step + 1e-6) * step)
    stop = min(axis.n, math.ceil(last / step - 1e-6) * step)
    return Run(start, stop, step) if start < stop else None


def pieces(run: Run, chunks: Sequence[int] | None) -> list[Run]:
    """Cut a run where chunks end, so that no chunk is read twice; one piece where there are no chunks.

    Examples
    --------
    >>> pieces(Run(0, 100, 10), (45, 55))
    [Run(start=0, stop=40, step=10), Run(start=40, stop=100, step=10)]
    """
    if chunks is None:
        return [run]
    cuts = [run.start + len(range(border)[run.picked]) * run.step for border in (0, *accumulate(chunks))]
    return [Run(a, min(b, run.stop), run.step) for a, b in pairwise(cuts) if a < b]


def cost(layer: xr.DataArray, window: Window, all_dates: bool = False) -> int:
    """Count the values that reading one date, or all, of a window touches: of lazy layers whole chunks."""
    total = 1
    for dim in layer.dims:
        run = {"y": window.y, "x": window.x}.get(str(dim))
        chunks = layer.chunksizes.get(dim)
        if run is None:
            total *= layer.sizes[dim] if all_dates else max(chunks or (1,))
        elif chunks is None:
            total *= run.n
        else:
            total *= sum(b - a for a, b in pairwise((0, *accumulate(chunks))) if len(range(b)[run.picked]) > len(range(a)[run.picked]))
    return total


def middle(layer: xr.DataArray, axes: tuple[Axis, Axis], n_drawn: int) -> Window:
    """Give the window of the chunk in the middle, thinned."""
    runs = []
    for dim, axis in zip(("y", "x"), axes, strict=True):
        borders = (0, *accumulate(layer.chunksizes.get(dim, (axis.n,))))
        start, stop = next((a, b) for a, b in pairwise(borders) if a <= axis.n // 2 < b)
        runs.append(Run(start, stop, max(1, (stop - start) // n_drawn)))
    return Window(*runs)
