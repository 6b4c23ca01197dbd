"""Which date of a cube is drawn, and the words that say so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xsentinel.bands import CLOUDY_CLASSES, scene_class_values
from xsentinel.cube import date_index
from xsentinel.errors import TimeError
from xsentinel.plot.place import thin


def pick(layers: list[xr.DataArray], time: Any) -> tuple[list[xr.DataArray], str]:
    """Select one date of layers, loaded, with the text that names it."""
    if "time" not in layers[0].dims:
        return loaded(layers), date_text(layers[0])
    index, note = choose(layers[0], time)
    picked = loaded([b.isel(time=index, missing_dims="ignore") for b in layers])
    return picked, date_text(picked[0]) + note


def loaded(layers: list[xr.DataArray]) -> list[xr.DataArray]:
    """Compute layers together, so that what they share is read once."""
    from dask.base import compute

    return list(compute(*layers))


def choose(layer: xr.DataArray, time: Any) -> tuple[int, str]:
    """Give the index of the date that is named, or of the one that nobody named, with the words that say why."""
    n, note = layer.sizes["time"], ""
    if time is None or isinstance(time, Choice):
        choice = time or fullest(layer)
        index, note = choice.index, f" ({choice.how} of {n} dates)" if n > 1 else ""
    else:
        index = int(time) if isinstance(time, int | np.integer) else date_index(layer, time)
    if not -n <= index < n:
        raise TimeError(f"time {time!r} is not there; the cube has {n} dates, 0 to {n - 1}")
    return index, note


@dataclass(frozen=True)
class Choice:
    """A date that nobody named."""

    index: int
    """Along time."""
    how: str
    """Why it is this one, for the title."""


def clearest(ds: xr.Dataset) -> Choice | None:
    """Choose the date with the fewest cloudy pixels, the first of equals; None without scene classes."""
    if "SCL" not in ds or "time" not in ds["SCL"].dims:
        return None
    scl = thin(ds["SCL"])
    hidden = scl.isin(scene_class_values((*CLOUDY_CLASSES, "snow_or_ice"))).mean(("y", "x")).values
    return Choice(int(hidden.argmin()), "clearest")


def fullest(layer: xr.DataArray) -> Choice:
    """Choose the date with the most data; of layers that do not tell what is missing, the first."""
    if "flag_masks" in layer.attrs:
        return Choice(0, "first")
    missing = 0 if "flag_values" in layer.attrs else layer.attrs.get("_FillValue", np.nan)
    share = (layer.notnull() & (layer != missing)).mean(("y", "x")).values
    return Choice(int(share.argmax()), "most data")


def date_text(layer: xr.DataArray) -> str:
    """Write the day of a layer of one date, '' if it has none."""
    if "time" not in layer.coords or np.isnat(layer["time"].values):
        return ""
    return str(layer["time"].values)[:10]
