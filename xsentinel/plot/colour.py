"""Colour composites."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.cube import band_variables, select_bands
from xsentinel.errors import XSentinelError
from xsentinel.plot.dates import clearest, pick
from xsentinel.plot.marks import draw_marks, scene_layer
from xsentinel.plot.place import finish, new_axes, show, thin
from xsentinel.style import COMBINATIONS, combined, reflectance_of, stretch_limits, stretched

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHORT = {"true": "true colour", "false": "false colour", "swir": "shortwave infrared"}

VISIBLE = ("B01", "B02", "B03", "B04")


def rgb(
    ds: xr.Dataset,
    *,
    bands: str | Sequence[str] = "true colour",
    time: Any = None,
    stretch: tuple[float, float] = (2.0, 98.0),
    clouds: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw a colour composite.

    Parameters
    ----------
    ds : xarray.Dataset
        A cube.
    bands : str or sequence of three str
        A combination by its name, "true colour", "false colour" (near infrared as red), "shortwave infrared" or
        "agriculture", B8A in place of B08 where only that is there; or the bands of red, green and blue.
    time : date, index or None
        Which date, such as "2019-05-30" or an index; None takes the clearest by the scene classes, or the
        one with the most data where there are none, and the title says so.
    stretch : (float, float)
        Percentiles that become black and white: of all three bands together where all are visible light, which keeps
        colours true, else of each band by itself.
        Pixels above 0.3 in all three, clouds and snow, are left out unless they are the most.
    clouds : bool
        Outline and tint clouds, cirrus, cloud shadow and snow as ``SCL`` tells them; a legend gives their shares.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    BandError, TimeError, GridError
        If a band or the date is not there, or scene classes to mark.
    XSentinelError
        If the combination is not known, or the stretch is none.

    Examples
    --------
    >>> import xsentinel as xs
    >>> ax = rgb(xs.sample("romania"), bands="false colour", time="2018-07", clouds=True)
    >>> ax.get_title(loc="left")
    'false colour (B08 B04 B03)  2018-07-01'
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['cloud, 0 %', 'thin cirrus, 0 %', 'cloud shadow, 0 %', 'snow or ice, 0 %']
    """
    check_stretch(stretch)
    layers, words = colour_layers(ds, bands)
    marked = [scene_layer(ds)] if clouds else []
    picked, title = pick([*layers, *marked], clearest(ds) if time is None else time)
    image = image_of(picked[:3])
    ax = new_axes(ax)
    show(ax, stretched(image, *limits_of(image, stretch, picked)), picked[0])
    if clouds:
        draw_marks(ax, picked[3])
    return finish(ax, picked[0], f"{words}  {title}")


def check_stretch(stretch: tuple[float, float]) -> None:
    """Check that percentiles rise.

    Raises
    ------
    XSentinelError
        If they do not.
    """
    if not 0 <= stretch[0] < stretch[1] <= 100:
        raise XSentinelError(f"stretch is {stretch}; it is two percentiles that rise from 0 to 100, such as (2, 98)")


def colour_layers(ds: xr.Dataset, bands: str | Sequence[str], side: int | None = None) -> tuple[list[xr.DataArray], str]:
    """Give red, green and blue of a cube, thinned to what is seen, and the words for them.

    Raises
    ------
    BandError, XSentinelError
        If a band is not there, or the combination is not known.
    """
    if not isinstance(bands, str):
        if len(bands) != 3:
            raise XSentinelError(f"bands has {len(bands)} names; a colour composite takes three: red, green, blue")
        return [thin(b, side) for b in select_bands(ds, bands, "a colour composite")], " ".join(bands)
    key = bands.lower().replace("color", "colour").strip()
    name = SHORT.get(key, key)
    if name not in COMBINATIONS:
        raise XSentinelError(f"bands is {bands!r}; name one of {', '.join(map(repr, COMBINATIONS))}, or give three bands")
    own = combined(name, band_variables(ds))
    return [thin(b, side) for b in select_bands(ds, own, name)], f"{name} ({' '.join(own)})"


def limits_of(image: npt.NDArray[np.float32], stretch: tuple[float, float], layers: Sequence[xr.DataArray]) -> tuple[Any, Any]:
    """Give the reflectances that become black and white in an image of three bands; of visible light the same for all."""
    return stretch_limits(image, stretch, apart=not all(b.name in VISIBLE for b in layers[:3]))


def image_of(layers: Sequence[xr.DataArray]) -> npt.NDArray[np.float32]:
    """Give the reflectance (…, 3) of three loaded bands."""
    return np.stack([reflectance_of(b) for b in layers], -1)
