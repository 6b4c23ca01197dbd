"""Where a map lies: axes, pixels thinned to what is seen, extent, scale bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xsentinel.cube import pixel_size
from xsentinel.errors import GridError
from xsentinel.style import metres_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DRAWN = 1600
"""Pixels along a side that are drawn at most; larger maps are thinned."""


def new_axes(ax: Axes | None) -> Axes:
    """Give the axes back, or those of a new figure of pyplot."""
    if ax is not None:
        return ax
    from matplotlib import pyplot as plt

    return plt.subplots(figsize=(7, 6), layout="constrained")[1]


def thin(layer: xr.DataArray) -> xr.DataArray:
    """Take every n-th pixel of a map with more than are seen."""
    step = max(1, -(-max(layer.sizes["y"], layer.sizes["x"]) // DRAWN))
    return layer.isel(y=slice(None, None, step), x=slice(None, None, step)) if step > 1 else layer


def extent_of(layer: xr.DataArray) -> tuple[float, float, float, float] | None:
    """Give west, east, south and north edge, None for pixels without a size."""
    try:
        dy, dx = (abs(step) for step in pixel_size(layer))
    except GridError:
        return None
    x, y = layer["x"].values, layer["y"].values
    return x.min() - dx / 2, x.max() + dx / 2, y.min() - dy / 2, y.max() + dy / 2


def origin_of(layer: xr.DataArray) -> Any:
    """Tell at which end the first row lies."""
    try:
        return "lower" if pixel_size(layer)[0] > 0 else "upper"
    except GridError:
        return "upper"


def finish(ax: Axes, layer: xr.DataArray, title: str) -> Axes:
    """Give a map its title and its scale bar instead of ticks."""
    ax.set_title(title.strip(), fontsize="medium", loc="left")
    ax.set_xticks([])
    ax.set_yticks([])
    extent, metres = extent_of(layer), metres_of(layer)
    if extent is not None and metres is not None:
        _scale_bar(ax, extent, metres)
    return ax


def _scale_bar(ax: Axes, extent: tuple[float, float, float, float], metres: float) -> None:
    """Draw a bar of a round length, about a quarter of the width."""
    west, east, south, north = extent
    wish = (east - west) * metres / 4
    power = 10 ** np.floor(np.log10(wish))
    length = max(k * power for k in (1, 2, 5) if k * power <= wish)
    width = length / metres
    x, y = west + 0.05 * (east - west), south + 0.05 * (north - south)
    style = {"solid_capstyle": "butt", "zorder": 5}
    ax.plot([x, x + width], [y, y], color="white", linewidth=6, **style)  # type: ignore[arg-type]
    ax.plot([x, x + width], [y, y], color="black", linewidth=3, **style)  # type: ignore[arg-type]
    text = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    box = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.5}
    ax.text(x + width / 2, y + 0.02 * (north - south), text, ha="center", va="bottom", fontsize="small", bbox=box, zorder=5)
