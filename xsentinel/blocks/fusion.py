"""The planes of a network that fuses radar and past leaf area, made of blocks of all dates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.carry import carry, take_dates
from xsentinel.models.planes import FusionInputs

Float32 = npt.NDArray[np.float32]
Int16 = npt.NDArray[np.int16]

LAYERS = ("lai", "class", "vv", "vh")
"""What a block holds of each date, in this order."""


@dataclass(frozen=True)
class Dates:
    """When the dates of a block are, and which make triplets."""

    days: npt.NDArray[np.float64]
    """(time,), rising."""
    before: npt.NDArray[np.int64]
    """(time, 2): t−1 and t−2 of each, −1 for none, as `xsentinel.triplets.triplets` gives them."""

    def __dask_tokenize__(self) -> tuple[object, ...]:
        return type(self).__name__, self.days.tobytes(), self.before.tobytes()


@dataclass(frozen=True)
class Past:
    """A block of all dates, and what was known at each."""

    layers: Float32
    """(layer, time, y, x): `LAYERS`. ``lai`` m² m⁻², NaN where the class is 0; ``class`` a number of `MASK_CLASSES`; ``vv``, ``vh`` dB, NaN
    where there is no radar."""
    dates: Dates
    inputs: FusionInputs

    @cached_property
    def _flat(self) -> Float32:
        n_layers, n_times = self.layers.shape[:2]
        return np.ascontiguousarray(self.layers).reshape(n_layers, n_times, -1)

    @cached_property
    def _carried(self) -> dict[str, Int16]:
        """Give the last and the last but one clear date before each, (time, pixel)."""
        clear = self._flat[0]
        last, before = np.empty(clear.shape, np.int16), np.empty(clear.shape, np.int16)
        carry(clear, self.dates.days, float(self.inputs.max_age_days), last, before)
        return {"last": last, "before": before}

    def planes(self, date: int, names: Sequence[str]) -> Float32:
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
        """
        slots = {name: self._slot(date, name) for name in dict.fromkeys(n.partition("_")[2] for n in names)}
        out = np.empty((len(names), *self.layers.shape[2:]), np.float32)
        for k, name in enumerate(names):
            quantity, _, slot = name.partition("_")
            self._fill(date, quantity, slots[slot], out[k].reshape(-1))
        wanting = self._wanting(date, slots)
        out[0].reshape(-1)[wanting] = np.nan
        return out

    def _slot(self, date: int, slot: str) -> Int16:
        """Give the date of each pixel in a slot, (pixel,), −1 for none."""
        if slot in ("last", "before"):
            carried: Int16 = self._carried[slot][date]
            return carried
        there = date if slot == "t0" else int(self.dates.before[date, int(slot[1]) - 1])
        return np.full(self._flat.shape[-1], there, np.int16)

    def _fill(self, date: int, quantity: str, dates: Int16, out: Float32) -> None:
        """Write one plane."""
        if quantity == "age":
            ages = (self.dates.days[date] - self.dates.days).astype(np.float32)
            out[:] = np.where(dates >= 0, ages[dates], np.float32(self.inputs.max_age_days))
            return
        values = self._flat[LAYERS.index(quantity)]
        otherwise = values[date] if quantity in ("vv", "vh") else np.zeros(out.size, np.float32)
        take_dates(values, dates, otherwise, out)

    def _wanting(self, date: int, slots: dict[str, Int16]) -> npt.NDArray[np.bool_]:
        """Give where the network cannot be run, (pixel,)."""
        radar = self._flat[LAYERS.index("vv") :]
        fixed = [date, *(int(d[0]) for name, d in slots.items() if name.startswith("t"))]
        wanting = np.zeros(radar.shape[-1], np.bool_)
        for there in fixed:
            wanting |= np.isnan(radar[:, there]).any(axis=0) if there >= 0 else np.True_
        if self.inputs.least_observations:
            past = [d for name, d in slots.items() if name != "t0"]
            known: Any = sum(self._known(d) for d in past)
            wanting |= known < self.inputs.least_observations
        return wanting

    def _known(self, dates: Int16) -> npt.NDArray[np.bool_]:
        """Give where a slot holds a clear date, (pixel,)."""
        found = np.empty(dates.size, np.float32)
        take_dates(self._flat[0], dates, np.full(dates.size, np.nan, np.float32), found)
        there: npt.NDArray[np.bool_] = ~np.isnan(found)
        return there
