"""The planes of a network that fuses radar and past leaf area, made of blocks of all dates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.blocks.plan import Window
from xsentinel.blocks.predict import Predictor
from xsentinel.blocks.tiles import Margins
from xsentinel.cube import check_decibels
from xsentinel.kernels.carry import carry, days_since, take_dates
from xsentinel.models.planes import FusionInputs

Float32 = npt.NDArray[np.float32]
Int16 = npt.NDArray[np.int16]

LAYERS = ("lai", "class", "vv", "vh")
"""What a block holds of each date, in this order."""


@dataclass(frozen=True, eq=False)
class Dates:
    """When the dates of a block are, and which make triplets."""

    days: npt.NDArray[np.float64]
    """(time,), rising."""
    before: npt.NDArray[np.int64]
    """(time, 2): t−1 and t−2 of each, −1 for none, as `xsentinel.triplets.triplets` gives them."""

    def __dask_tokenize__(self) -> tuple[object, ...]:
        return type(self).__name__, self.days.tobytes(), self.before.tobytes()


EVERYWHERE = (slice(None), slice(None))


@dataclass(frozen=True)
class Past:
    """A block of all dates, and what was known at each."""

    layers: Sequence[Float32]
    """Of each of `LAYERS` (time, y, x), or an array of all. ``lai`` m² m⁻², NaN where it is not known; ``class`` a number of
    `MASK_CLASSES`, 0 where ``lai`` is not to be used; ``vv``, ``vh`` dB, NaN where there is no radar."""
    dates: Dates
    inputs: FusionInputs

    @cached_property
    def clear(self) -> Float32:
        """Give leaf area where it may be used, NaN elsewhere, (time, y, x)."""
        lai, classes = self.layers[0], self.layers[1]
        return np.where(classes > 0, lai, np.float32(np.nan))

    @cached_property
    def carried(self) -> dict[str, Int16]:
        """Give the last and the last but one clear date before each, (time, y, x), −1 for none."""
        last, before = np.empty(self.clear.shape, np.int16), np.empty(self.clear.shape, np.int16)
        flat = [a.reshape(len(self.dates.days), -1) for a in (self.clear, last, before)]
        carry(flat[0], self.dates.days, float(self.inputs.max_age_days), *flat[1:])
        return {"last": last, "before": before}

    def planes(self, date: int, names: Sequence[str], place: tuple[slice, slice] = EVERYWHERE) -> Float32:
        """Give the planes of one date, (plane, y, x), float32, in natural units.

        No NaN where the network can be run: leaf area is 0 and its class 0 where it is not known, its age then the greatest allowed,
        and its radar that of the date itself. NaN in the first plane where the network cannot be run: no radar at the date, of a triplet
        at any of its dates, no whole triplet, or fewer clear dates than asked for.

        Parameters
        ----------
        date : int
            Index along time.
        names : sequence of str
            Of `xsentinel.models.planes.FUSION`.
        place : (slice, slice)
            Rows and columns; all by default.
        """
        lai, classes, vv, vh = (layer[(slice(None), *place)] for layer in (self.clear, *self.layers[1:]))
        slots = {slot: self._slot(date, slot, place) for slot in dict.fromkeys(n.partition("_")[2] for n in names)}
        nothing = np.zeros(lai.shape[1:], np.float32)
        known = {"lai": (lai, nothing), "class": (classes, nothing), "vv": (vv, vv[date]), "vh": (vh, vh[date])}
        out = np.empty((len(names), *lai.shape[1:]), np.float32)
        for plane, name in zip(out, names, strict=True):
            quantity, _, slot = name.partition("_")
            if quantity == "age":
                plane[:] = self._ages(date, slots[slot])
            else:
                values, otherwise = known[quantity]
                take_dates(values, slots[slot], otherwise, plane)
        out[0][self._wanting(date, slots, lai, (vv, vh))] = np.nan
        return out

    def _slot(self, date: int, slot: str, place: tuple[slice, slice]) -> Int16:
        """Give the date of each pixel in a slot, (y, x), −1 for none."""
        if slot in ("last", "before"):
            carried: Int16 = self.carried[slot][(date, *place)]
            return carried
        there = date if slot == "t0" else int(self.dates.before[date, int(slot[1]) - 1])
        return np.broadcast_to(np.int16(there), self.layers[0][0][place].shape)

    def _ages(self, date: int, dates: Int16) -> Float32:
        ages = (self.dates.days[date] - self.dates.days).astype(np.float32)
        return np.where(dates >= 0, ages[dates], np.float32(self.inputs.max_age_days))

    def _wanting(self, date: int, slots: dict[str, Int16], lai: Float32, radar: Sequence[Float32]) -> npt.NDArray[np.bool_]:
        """Give where the network cannot be run, (y, x)."""
        wanting = np.zeros(lai.shape[1:], np.bool_)
        for there in [date, *(int(d.flat[0]) for name, d in slots.items() if name.startswith("t"))]:
            for band in radar:
                wanting |= np.isnan(band[there]) if there >= 0 else np.True_
        if self.inputs.least_observations:
            known = np.zeros(wanting.shape, np.int16)
            for dates in (d for name, d in slots.items() if name != "t0"):
                known += self._known(lai, dates)
            wanting |= known < self.inputs.least_observations
        return wanting

    def _known(self, lai: Float32, dates: Int16) -> npt.NDArray[np.bool_]:
        """Give where a slot holds a clear date, (y, x)."""
        found = np.empty(dates.shape, np.float32)
        take_dates(lai, dates, np.full(dates.shape, np.nan, np.float32), found)
        there: npt.NDArray[np.bool_] = ~np.isnan(found)
        return there


@dataclass(frozen=True)
class _Planes:
    """Planes of all dates as if they were one array (time, plane, y, x), made where a window is cut out."""

    past: Past
    names: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        n_times, height, width = self.past.clear.shape
        return n_times, len(self.names), height, width

    def __getitem__(self, key: tuple[slice, slice, slice, slice]) -> Float32:
        times, _, rows, columns = key
        return np.stack([self.past.planes(t, self.names, (rows, columns)) for t in range(*times.indices(self.shape[0]))])


@dataclass(frozen=True, kw_only=True)
class Fuser(Predictor):
    """A network of radar and past leaf area over blocks (time, layer, y, x) of all dates: `LAYERS`, float32.

    Gives (time, output and one, y, x), float32: leaf area where it is known at the date, what the network answers elsewhere, and last the
    days since it was known, 0 where it is. Windows where all is known are not run.
    """

    dates: Dates
    everywhere: bool = False
    """Whether the network answers also where leaf area is known, to be compared with it."""

    def __dask_tokenize__(self) -> tuple[object, ...]:
        return *super().__dask_tokenize__(), self.dates.__dask_tokenize__(), self.everywhere

    @property
    def n_planes(self) -> int:
        """Planes of what is given back."""
        return self.n_out + 1

    def __call__(self, stored: Any, *geometry: Any, margins: Margins) -> Float32:
        """Take stored (time, layer, y, x), and planes beside them, each (map, 1, y or 1, x or 1), float32."""
        layers = [stored[:, k, :, :] for k in range(len(LAYERS))]
        for name, values in zip(("VV", "VH"), layers[2:], strict=True):
            check_decibels(values, name)
        card = self.model.card
        assert card.fusion is not None
        past = Past(layers, self.dates, card.fusion)
        if any(name.endswith(("last", "before")) for name in card.bands):
            _ = past.carried  # before threads share it
        answers = super().__call__(_Planes(past, card.bands), *geometry, margins=margins)  # type: ignore[arg-type]
        lai = _inner(layers[0], margins)
        if not self.everywhere:
            first = answers[:, [output.name for output in card.outputs].index("lai")]
            np.copyto(first, lai, where=~np.isnan(lai))
        return np.concatenate([answers, self._since(lai)[:, None]], 1)

    def check(self, stored: Any) -> None:
        """Refuse nothing: planes are made of what was checked."""

    def _since(self, lai: Float32) -> Float32:
        """Give days since leaf area was known, (time, y, x)."""
        out = np.empty(lai.shape, np.float32)
        flat = [a.reshape(len(self.dates.days), -1) for a in (np.ascontiguousarray(lai), out)]
        days_since(flat[0], self.dates.days, flat[1])
        return out

    def _window(self, stored: Any, geometry: tuple[Any, ...], out: Any, place: tuple[slice, Window, Window]) -> None:
        """Do one window of one or more maps, if anything is wanted of it."""
        maps, y, x = place
        wanted = np.isnan(stored.past.layers[0][maps, y.read, x.read][:, y.keep, x.keep]) | self.everywhere
        if wanted.any():
            super()._window(stored, geometry, out, place)
            mine = out[maps, :, y.write, x.write]
            np.copyto(mine, np.float32(np.nan), where=~wanted[:, None])


def _inner(values: Float32, margins: Margins) -> Float32:
    """Cut margins off."""
    height, width = values.shape[-2:]
    return values[..., margins.top : height - margins.bottom, margins.left : width - margins.right]
