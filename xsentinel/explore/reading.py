"""Reading what a view shows: one date of a window of a layer, thinned, in pieces where it is much; or all dates of a pixel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.explore.layers import NO_DATA, Arrays, Layer
from xsentinel.explore.window import Run, Window, cost, pieces
from xsentinel.lines import clear_of

AT_ONCE = 25_000_000
"""Values that are read while a person waits, about half a second of decoding; more is read in pieces, beside."""


class Reading:
    """One date of a window of a layer, and of the scene classes beside it."""

    def __init__(self, layer: Layer, window: Window, date: int | None, scl: xr.DataArray | None = None) -> None:
        self.layer, self.window = layer, window
        sources = (*layer.parts, *(() if scl is None else (scl,)))
        self._sources = [_at(source, date) for source in sources]
        self.cost = sum(cost(source, window) for source in sources)
        """Values that are touched."""
        self.lazy = any(source.chunks is not None for source in sources)
        """Whether reading may take long however little is read: nobody knows what stands behind a lazy array."""
        shape = (window.y.n, window.x.n)
        missing = NO_DATA if layer.kind == "classes" else np.nan
        self.arrays: Arrays = tuple(np.full(shape, missing, np.int64 if layer.kind == "classes" else np.float32) for _ in layer.parts)
        """What has been read, missing where it has not yet; rows in the order of the cube."""
        self.scl = None if scl is None else np.zeros(shape, np.uint8)
        """Scene classes, 0 where they have not been read."""
        self.done = np.zeros(window.y.n, bool)
        """Rows that have been read."""

    def pieces(self) -> list[Run]:
        """Give the rows in pieces of whole chunks, each read in moderate time; one if all is."""
        rows = pieces(self.window.y, self._sources[0].chunksizes.get("y"))
        n_joined = max(1, int(len(rows) * AT_ONCE / 4 / max(self.cost, 1)))
        groups = [rows[k : k + n_joined] for k in range(0, len(rows), n_joined)]
        return [Run(g[0].start, g[-1].stop, self.window.y.step) for g in groups]

    def _rows(self, piece: Run) -> slice:
        first = (piece.start - self.window.y.start) // self.window.y.step
        return slice(first, first + piece.n)

    def has(self, piece: Run) -> bool:
        """Tell whether a piece has been read."""
        return bool(self.done[self._rows(piece)].all())

    def read(self, piece: Run) -> None:
        """Read a piece into its place."""
        picked, rows = {"y": piece.picked, "x": self.window.x.picked}, self._rows(piece)
        parts = _compute([source.isel(picked) for source in self._sources])
        for target, values in zip(self.arrays, self.layer.decode(parts[: len(self.arrays)]), strict=True):
            target[rows] = values
        if self.scl is not None:
            self.scl[rows] = np.nan_to_num(parts[-1].values)
        self.done[rows] = True

    def read_all(self) -> Reading:
        """Read all, and give itself."""
        for piece in self.pieces():
            self.read(piece)
        return self


BESIDE = ("lower", "upper", "std")
"""What a variable's interval is called, behind its name."""

TELLING = ("SCL", "source", "filled")
"""Variables that tell at which dates the ground was seen."""


def pixel_of(ds: xr.Dataset, layer: Layer) -> xr.Dataset:
    """Give what belongs to a layer, with the interval of its values and what tells where they were seen; lazily."""
    beside = [f"{layer.name}_{end}" for end in BESIDE] + [name for name in TELLING if layer.kind != "classes"]
    found = {name: ds[name].reset_coords(drop=True) for name in beside if name in ds and set(ds[name].dims) == set(layer.parts[0].dims)}
    return xr.Dataset({str(part.name): part for part in layer.parts} | found)


def clear_by_date(scl: xr.DataArray, window: Window) -> npt.NDArray[np.float64]:
    """Give the share of clear pixels of each date, of what a window picks."""
    clear = clear_of(scl.isel(y=window.y.picked, x=window.x.picked).to_dataset(name="SCL"))
    assert clear is not None
    share: npt.NDArray[np.float64] = clear.mean(("y", "x")).values
    return share


def _at(layer: xr.DataArray, date: int | None) -> xr.DataArray:
    return layer.isel(time=date, drop=True) if "time" in layer.dims else layer


def _compute(layers: list[xr.DataArray]) -> list[xr.DataArray]:
    """Compute layers together, so that what they share is read once."""
    bare = {str(k): layer.drop_vars(list(layer.coords)) for k, layer in enumerate(layers)}
    read = xr.Dataset(bare).compute()
    return [read[k].assign_attrs(layer.attrs).rename(layer.name) for k, layer in zip(bare, layers, strict=True)]
