"""Corners of a map of classes, drawn over it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xarray as xr

from xsentinel.accuracy.corners import corner_precision, corners
from xsentinel.plot.maps import map_array
from xsentinel.plot.place import entitle

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def map_corners(
    da: xr.DataArray,
    reference: xr.DataArray | None = None,
    *,
    radius: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the sharp corners of a map of classes over it, or which corners of a reference it keeps.

    Parameters
    ----------
    da : xarray.DataArray (y, x)
        Map of classes.
    reference : xarray.DataArray (y, x), optional
        Of the same pixels: its corners are drawn, those found again and those lost; without, those of the map.
    radius : float, optional
        As `xsentinel.accuracy.corner_precision`.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    GridError, XSentinelError
        As `xsentinel.accuracy.corner_precision`.
    """
    ax = map_array(da, ax=ax)
    if reference is None:
        table = corners(da)
        marked, text = [("o", "#000000", table)], f"{len(table)} corners"
    else:
        found = corner_precision(da, reference, radius=radius)
        there = found.reference["found"]
        marked = [("o", "#000000", found.reference[there]), ("x", "#d4145a", found.reference[~there])]
        text = f"{there.sum()} of {len(there)} corners found again (o), the others lost (×)"
    for form, colour, table in marked:
        ax.plot(table["x"], table["y"], form, color=colour, markerfacecolor="white", markersize=4.5, markeredgewidth=1.2, zorder=4)
    entitle(ax, f"{ax.get_title(loc='left')}  {text}")
    return ax
