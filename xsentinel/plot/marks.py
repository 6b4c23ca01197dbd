"""Clouds, their shadows and snow marked on a colour composite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.bands import scene_class_values
from xsentinel.errors import BandError
from xsentinel.plot.place import legend_below, show, thin
from xsentinel.style import channels_of, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

TINT = 0.35
"""Opacity inside an outline."""

LINE = 1 / 300
"""Width of an outline by the longer side of the map; a pixel at least."""


@dataclass(frozen=True)
class Mark:
    """What is marked."""

    name: str
    """In the legend."""
    classes: tuple[str | int, ...]
    """Scene classes."""
    colour: str
    """Of outline and tint; of Okabe & Ito, which the colour-blind tell apart."""


MARKS = (
    Mark("cloud", ("cloud_medium_probability", "cloud_high_probability"), "#e69f00"),
    Mark("thin cirrus", ("thin_cirrus",), "#f0e442"),
    Mark("cloud shadow", ("cloud_shadow",), "#cc79a7"),
    Mark("snow or ice", ("snow_or_ice",), "#56b4e9"),
)


def scene_layer(ds: xr.Dataset, side: int | None = None) -> xr.DataArray:
    """Give the scene classes, thinned to what is seen.

    Raises
    ------
    BandError
        If there are none.
    """
    if "SCL" not in ds:
        found = ", ".join(map(str, ds.data_vars)) or "nothing"
        raise BandError(f"clouds=True marks what the scene classes SCL tell; the dataset has {found}. Add SCL, or leave clouds=False")
    return thin(ds["SCL"], side)


def overlay(codes: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Give colours (y, x, 4), 0…1, of scene classes (y, x): outlined and tinted where marked, else transparent.

    Examples
    --------
    >>> overlay(np.array([[4, 9], [3, 4]]))[..., 3]
    array([[0., 1.],
           [1., 0.]], dtype=float32)
    """
    from scipy.ndimage import binary_erosion

    colours = np.zeros((*codes.shape, 4), np.float32)
    width = max(1, round(LINE * max(codes.shape)))
    for mark in MARKS:
        inside = np.isin(codes, scene_class_values(mark.classes))
        core = binary_erosion(inside, iterations=width, border_value=1)
        colours[inside] = (*(c / 255 for c in channels_of(mark.colour)), 1)
        colours[core, 3] = TINT
    return colours


def draw_marks(ax: Axes, layer: xr.DataArray, *, shares: bool = True) -> AxesImage:
    """Mark a layer of scene classes (y, x) over what is drawn, with a legend of all marks and their shares of the pixels."""
    codes = layer.values
    entries = []
    for mark in MARKS:
        share = np.isin(codes, scene_class_values(mark.classes)).mean()
        entries.append((mark.colour, f"{mark.name}, {percent(share)}" if shares else mark.name))
    legend_below(ax, entries)
    return show(ax, overlay(codes), layer, zorder=3)
