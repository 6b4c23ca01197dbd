"""How values become colours, units and words: what pictures and the interactive map share."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.bands import BANDS, SCENE_CLASSES
from xsentinel.classes import SAFE_COLOURS, palette
from xsentinel.cube import encoding_of
from xsentinel.kernels.scale import decode

BRIGHT = 0.3
"""Reflectance that cloud and snow exceed in all bands."""

GAMMA = 1.4
"""Brightens the dark half of colour composites."""

MISSING = "#b8b8b8"
"""Grey of pixels without data."""

NOTHING = "#f2f2f2"
"""Light grey of flags that have nothing to say."""

PALETTES = {"lai": "YlGn", "fapar": "YlGn", "fcover": "YlGn", "ccc": "YlGn", "cwc": "YlGnBu"}
"""Colour maps with even steps of lightness, readable by the colour-blind; viridis for the rest."""

SPREADS = "magma"
"""Colour map of standard deviations and widths of intervals: dark where one is sure."""

UNITS = {"1": "", "percent": "%", "degree": "°", "degrees": "°"}
"""Units that are written otherwise than in CF."""

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

LEGEND = 9
"""Flags that get a colour at most where they have none of their own."""


COMBINATIONS = {
    "true colour": ("B04", "B03", "B02"),
    "false colour": ("B08", "B04", "B03"),
    "shortwave infrared": ("B12", "B8A", "B04"),
    "agriculture": ("B11", "B08", "B02"),
}
"""Red, green and blue of the combinations that have a name; false colour shows vegetation red."""

STAND_INS = {"B08": "B8A", "B8A": "B08", "B12": "B11"}
"""Which band stands for which, where a cube lacks it."""


def combined(name: str, there: Container[str]) -> tuple[str, ...]:
    """Give the bands of a combination, neighbours in place of those that are not there.

    Examples
    --------
    >>> combined("false colour", {"B03", "B04", "B8A"})
    ('B8A', 'B04', 'B03')
    """
    return tuple(STAND_INS[b] if b not in there and STAND_INS.get(b) in there else b for b in COMBINATIONS[name])


def palette_of(name: str) -> str:
    """Give the colour map of a variable.

    Examples
    --------
    >>> palette_of("lai"), palette_of("lai_std"), palette_of("NDVI")
    ('YlGn', 'magma', 'viridis')
    """
    return SPREADS if name.endswith(("_std", "_width")) else PALETTES.get(name, "viridis")


def unit_of(layer: xr.DataArray) -> str:
    """Give the unit as a person writes it, '' for none.

    Examples
    --------
    >>> unit_of(xr.DataArray(attrs={"units": "m2 m-2"})), unit_of(xr.DataArray(attrs={"units": "ug cm-2"}))
    ('m² m⁻²', 'µg cm⁻²')
    """
    unit = str(layer.attrs.get("units", ""))
    raised = re.sub(r"(?<=[A-Za-z])-?\d+\b", lambda power: power[0].translate(RAISED), unit)
    return UNITS.get(unit, re.sub(r"\bug\b", "µg", raised))


def quantity_of(layer: xr.DataArray) -> str:
    """Give the name of a layer with its unit; of a band of reflectance, that word.

    Examples
    --------
    >>> quantity_of(xr.DataArray(0.0, name="lai", attrs={"units": "m2 m-2"})), quantity_of(xr.DataArray(0.0, name="B08"))
    ('lai [m² m⁻²]', 'B08, reflectance')
    """
    unit, band = unit_of(layer), BANDS.get(str(layer.name))
    if not unit and band is not None:
        return f"{layer.name}, {'backscatter [dB]' if band.is_radar else 'reflectance'}"
    return f"{layer.name} [{unit}]" if unit else str(layer.name)


def reflectance_of(band: xr.DataArray) -> npt.NDArray[np.float32]:
    """Give the values of a band, decoded where it is stored as integers.

    Raises
    ------
    UnitsError
        As `xsentinel.cube.encoding_of`.
    """
    encoding = encoding_of(band)
    return decode(band.values, encoding.scale, encoding.offset, encoding.nodata)


def values_of(layer: xr.DataArray) -> npt.NDArray[Any]:
    """Give the values of any layer, decoded where it says how it is stored."""
    return reflectance_of(layer) if "scale_factor" in layer.attrs else layer.values


def value_limits(name: str, values: npt.NDArray[Any]) -> tuple[float, float]:
    """Give the values at the ends of a colour bar: 0 to the 98th percentile, from the 2nd where they may be negative."""
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, (2, 98)) if finite.size else (0.0, 1.0)
    bottom = 0.0 if name in PALETTES else min(float(low), 0.0)
    return bottom, max(float(high), bottom + 1e-6)


def stretch_limits(image: npt.NDArray[np.float32], stretch: tuple[float, float], *, apart: bool = False) -> tuple[Any, Any]:
    """Give the reflectances that become black and white: percentiles of all bands, cloud and snow left out unless they are the most.

    Parameters
    ----------
    image : array (y, x, 3), reflectance [1], NaN where missing
    stretch : (float, float)
        Percentiles.
    apart : bool
        Whether each band has limits of its own, arrays of 3, instead of two numbers for all.
    """
    there = np.isfinite(image).all(-1)
    ground = there & ~(image > BRIGHT).all(-1)
    sample = image[ground if 2 * ground.sum() > there.sum() else there]
    if not sample.size:
        return 0.0, 1.0
    low, high = np.percentile(sample, stretch, axis=0 if apart else None)
    return (low.astype(np.float32), high.astype(np.float32)) if apart else (float(low), float(high))


def stretched(image: npt.NDArray[np.float32], low: Any, high: Any) -> npt.NDArray[np.float32]:
    """Give the colours of reflectances, 0…1, grey where a band is missing."""
    shown: npt.NDArray[np.float32] = np.clip((image - low) / np.maximum(high - low, np.float32(1e-6)), 0, 1) ** (1 / GAMMA)
    shown[~np.isfinite(image).all(-1)] = np.array(channels_of(MISSING)) / 255
    return shown


def channels_of(colour: str) -> tuple[int, ...]:
    """Split a colour into red, green and blue.

    Examples
    --------
    >>> channels_of("#e69f00")
    (230, 159, 0)
    """
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def flag_colours(layer: xr.DataArray, codes: npt.NDArray[Any]) -> list[str]:
    """Give classes their own colours, those of scene classes or of a palette; to bits light grey for 0 and distinct colours."""
    legend = {c.value: c for c in SCENE_CLASSES}
    if "flag_values" in layer.attrs and layer.attrs["flag_meanings"].split() == [c.meaning for c in SCENE_CLASSES]:
        return [legend[int(code)].colour if int(code) in legend else MISSING for code in codes]
    known = np.atleast_1d(layer.attrs.get("flag_values", [])).tolist()
    if known:
        by_place = iter(palette(len(known)))  # so that a class has one colour in all maps
        own = layer.attrs.get("flag_colors", "").split() or [NOTHING if k == 0 else next(by_place) for k in known]
        told = dict(zip(known, own, strict=False))
        return [told.get(int(code), MISSING) for code in codes]
    distinct = iter(SAFE_COLOURS)
    return [NOTHING if code == 0 else next(distinct) for code in codes]


def flag_text(layer: xr.DataArray, code: int) -> str:
    """Give what a flag or a combination of flags means."""
    meanings = layer.attrs["flag_meanings"].split()
    if "flag_values" in layer.attrs:
        by_value = dict(zip(np.asarray(layer.attrs["flag_values"]).tolist(), meanings, strict=False))
        return str(by_value.get(code, code or "no label")).replace("_", " ")
    masks = np.asarray(layer.attrs["flag_masks"]).tolist()
    return " + ".join(m.replace("_", " ") for k, m in zip(masks, meanings, strict=False) if code & k) or "none"


def percent(share: float) -> str:
    """Write a share.

    Examples
    --------
    >>> percent(0.274), percent(0.0041), percent(0)
    ('27 %', '0.4 %', '0 %')
    """
    if 0 < share < 0.0005:
        return "<0.1 %"
    return f"{100 * share:.{0 if share >= 0.01 or share == 0 else 1}f} %"


def metres_of(layer: xr.DataArray | xr.Dataset) -> float | None:
    """Give the length of the CRS's unit, None if it is not known or an angle."""
    import rioxarray  # noqa: F401  (registers .rio)

    crs = layer.rio.crs
    return float(crs.linear_units_factor[1]) if crs is not None and crs.is_projected else None
