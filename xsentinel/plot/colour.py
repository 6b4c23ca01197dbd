"""Colour composites."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xsentinel.cube import select_bands
from xsentinel.errors import XSentinelError
from xsentinel.plot.dates import clearest, pick
from xsentinel.plot.place import extent_of, finish, new_axes, origin_of, thin
from xsentinel.style import reflectance_of, stretch_limits, stretched

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def rgb(
    ds: xr.Dataset,
    *,
    bands: Sequence[str] = ("B04", "B03", "B02"),
    time: Any = None,
    stretch: tuple[float, float] = (2.0, 98.0),
    ax: Axes | None = None,
) -> Axes:
    """Draw a colour composite.

    Parameters
    ----------
    ds : xarray.Dataset
        A cube.
    bands : sequence of three str
        Red, green and blue: true colour by default; ("B08", "B04", "B03") shows vegetation red.
    time : date, index or None
        Which date, such as "2019-05-30" or an index; None takes the clearest by the scene classes, or the
        one with the most data where there are none, and the title says so.
    stretch : (float, float)
        Percentiles of all three bands together that become black and white; one stretch keeps colours true.
        Pixels above 0.3 in all three, clouds and snow, are left out unless they are the most.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    BandError, TimeError, GridError
        If a band or the date is not there.
    """
    if not 0 <= stretch[0] < stretch[1] <= 100:
        raise XSentinelError(f"stretch is {stretch}; it is two percentiles that rise from 0 to 100, such as (2, 98)")
    if len(bands) != 3:
        raise XSentinelError(f"bands has {len(bands)} names; a colour composite takes three: red, green, blue")
    layers = [thin(b) for b in select_bands(ds, bands, "a colour composite")]
    picked, title = pick(layers, clearest(ds) if time is None else time)
    image = np.stack([reflectance_of(b) for b in picked], -1)
    shown = stretched(image, *stretch_limits(image, stretch))
    ax = new_axes(ax)
    ax.imshow(shown, extent=extent_of(picked[0]), origin=origin_of(picked[0]), interpolation="nearest")
    return finish(ax, picked[0], f"{' '.join(bands)}  {title}")
