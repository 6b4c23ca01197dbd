"""What a fusion of radar and past leaf area is trained on: series of cubes, cut by place, and patches of single dates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.blocks.fusion import LAYERS, Dates, Past
from xsentinel.errors import BandError, GridError, XSentinelError
from xsentinel.fusion import gather
from xsentinel.kernels.sl2p import TOO_HIGH, TOO_LOW
from xsentinel.models.planes import SEASON, FusionInputs
from xsentinel.sl2p import estimate
from xsentinel.triplets import season_of

Float32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]

MOST_LAI = 8.0
"""Of SL2P's training data."""

LEAST_TARGET = 0.1
"""Share of the pixels of a patch that must have a target."""


@dataclass(frozen=True)
class FusionSource:
    """A place to learn from, or to be measured at."""

    s2: xr.Dataset
    """``SCL`` (time, y, x), and leaf area index as ``lai``, or the bands and angles that SL2P makes it of."""
    s1: xr.Dataset
    """``VV`` and ``VH`` (time, y, x), dB, on the same grid; any dates."""
    truth: xr.DataArray | None = None
    """Leaf area index to be found, (time, y, x), where it is known under clouds too, as of simulated land; None: that of clear pixels."""


@dataclass(frozen=True)
class FusionSeries:
    """All dates of one place."""

    source: str
    """Name of the family that the place belongs to."""
    place: str
    """Where: what is of one place is never on both sides of a split."""
    layers: Float32
    """(layer, time, y, x): `xsentinel.blocks.fusion.LAYERS`, leaf area NaN where it is not known."""
    target: Float32
    """(time, y, x), m² m⁻², NaN where it is not known."""
    dates: Dates
    season: Float32
    """(time, 2): sine and cosine of the day of the year."""
    times: tuple[str, ...]
    """YYYY-MM-DD."""
    inputs: FusionInputs

    @cached_property
    def whole(self) -> Bool:
        """Tell which dates have a whole triplet, with radar at all three, (time,)."""
        seen = np.isfinite(self.layers[LAYERS.index("vv")]).any((1, 2))
        before = self.dates.before
        found: Bool = seen & (before >= 0).all(1) & seen[before].all(1)
        return found

    @cached_property
    def seen(self) -> Bool:
        """Tell which dates have radar, (time,)."""
        found: Bool = np.isfinite(self.layers[LAYERS.index("vv")]).any((1, 2))
        return found

    def usable(self, names: Sequence[str], least: float = LEAST_TARGET) -> npt.NDArray[np.intp]:
        """Give the dates that planes can be made of and that have a target."""
        fixed = any(name.endswith(("_t1", "_t2")) for name in names)
        aimed = np.isfinite(self.target).mean((1, 2)) >= least
        return np.flatnonzero(aimed & (self.whole if fixed else self.seen))

    def cut(self, rows: slice, columns: slice) -> FusionSeries:
        """Give a part of the place, as views."""
        return replace(self, layers=self.layers[..., rows, columns], target=self.target[..., rows, columns])

    def past(self, date: int, hidden: Bool | None = None) -> tuple[Past, int]:
        """Give what was known at a date, as long ago as ages go, and its index there; the last dates before partly hidden."""
        first = int(np.searchsorted(self.dates.days, self.dates.days[date] - self.inputs.max_age_days - self.inputs.max_gap_days))
        layers = self.layers[:, first : date + 1]
        if hidden is not None:
            layers = layers.copy()
            n = min(len(hidden), date - first)
            where = hidden[len(hidden) - n :]
            layers[LAYERS.index("lai"), date - first - n : date - first][where] = np.nan
            layers[LAYERS.index("class"), date - first - n : date - first][where] = 0
        before = self.dates.before[first : date + 1]
        shifted = np.where(before >= first, before - first, -1)
        return Past(list(layers), Dates(self.dates.days[first : date + 1], shifted), self.inputs), date - first

    def planes(self, date: int, names: Sequence[str], hidden: Bool | None = None) -> Float32:
        """Give the planes of a date in natural units, (plane, y, x), season among them; NaN in all where there is no answer."""
        past, at = self.past(date, hidden)
        bands = [n for n in names if n not in SEASON]
        out = np.empty((len(names), *self.target.shape[1:]), np.float32)
        out[[names.index(n) for n in bands]] = past.planes(at, bands)
        for k, name in enumerate(SEASON):
            if name in names:
                out[names.index(name)] = self.season[date, k]
        out[:, np.isnan(out).any(0)] = np.nan
        return out


def read_series(name: str, source: FusionSource, inputs: FusionInputs) -> FusionSeries:
    """Read a place into memory: leaf area by SL2P where none is given, classes of the mask, and the radar of each date.

    Raises
    ------
    XSentinelError
        As `xsentinel.fusion.gather`, the place named; or if SCL is missing, or the truth has other dates.
    """
    s2, s1 = (ds.transpose("time", "y", "x", ...) if {"time", "y", "x"} <= set(ds.dims) else ds for ds in (source.s2, source.s1))
    try:
        if "SCL" not in s2:
            raise BandError(f"s2 has no SCL, which tells clouds; it has {', '.join(map(str, s2.data_vars)) or 'nothing'}")
        lai, answered = _leaf_area(s2)
        given = gather(s2, lai, s1, inputs)
        layers = np.stack([layer.values.astype(np.float32) for layer in given.layers])
        layers[0][layers[1] == 0] = np.nan
        target = np.where(answered, layers[0], np.float32(np.nan)) if source.truth is None else _truth(s2, source.truth)
    except XSentinelError as err:
        raise type(err)(f"source {name}: {err}") from err
    times = s2["time"].values
    season, days = np.stack(season_of(times), 1), tuple(str(t)[:10] for t in times)
    return FusionSeries(name.partition("/")[0], name, layers, target.clip(0, MOST_LAI), given.dates, season, days, inputs)


def _leaf_area(s2: xr.Dataset) -> tuple[xr.DataArray, Bool]:
    """Give leaf area index as given, or SL2P's; and where it may be a target: not where it is beyond SL2P's own range."""
    if "lai" in s2:
        return s2["lai"], np.ones(s2["lai"].shape, np.bool_)
    found = estimate(s2, ("lai",)).compute()
    return found["lai"], (found["lai_flags"] & (TOO_LOW | TOO_HIGH)).values == 0


def _truth(s2: xr.Dataset, truth: xr.DataArray) -> Float32:
    sizes = {d: s2.sizes[d] for d in ("time", "y", "x")}
    if dict(truth.sizes) != sizes:
        raise GridError(f"truth has {dict(truth.sizes)}, and s2 {sizes}; give it on the grid and dates of s2")
    return truth.transpose("time", "y", "x").values.astype(np.float32)


def collect_series(sources: Mapping[str, FusionSource], inputs: FusionInputs, size: int) -> list[FusionSeries]:
    """Read sources, and cut each into places of ``size`` pixels along a side, or a little more.

    Raises
    ------
    XSentinelError
        If a source lacks what is needed, or no date of any has radar, past and target.
    """
    if not sources:
        raise XSentinelError("there is nothing to learn from or to measure at; give at least one source, a cube and its radar")
    found = [part for name, source in sources.items() for part in _parts(read_series(name, source, inputs), size)]
    if not any(part.usable(()).size for part in found):
        raise XSentinelError(
            f"none of {len(sources)} sources has a date with a target and radar within {inputs.s1_tolerance_days:g} days; are the radar's "
            f"dates those of the cube, and is not all of it masked?"
        )
    return found


def _parts(series: FusionSeries, size: int) -> Iterable[FusionSeries]:
    """Cut a place into several."""
    edges = [np.linspace(0, n, max(1, n // size) + 1).astype(int) for n in series.target.shape[1:]]
    for top, bottom in zip(edges[0][:-1], edges[0][1:], strict=True):
        for left, right in zip(edges[1][:-1], edges[1][1:], strict=True):
            part = series.cut(slice(top, bottom), slice(left, right))
            yield replace(part, place=f"{series.place}/{top}-{left}")
