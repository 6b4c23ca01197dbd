"""Where a map lies: axes, pixels thinned to what is seen, extent, scale bar; titles and legends that fit."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.cube import pixel_size
from xsentinel.errors import GridError, XSentinelError
from xsentinel.style import metres_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.image import AxesImage

DRAWN = 1600
"""Pixels along a side that are drawn at most; larger maps are thinned."""

IN_A_ROW = 4
"""Maps side by side at most."""

LETTER_IN = {"medium": 0.08, "x-small": 0.048}
"""Width of a letter on the mean, inches, of matplotlib's own font."""


def new_axes(ax: Axes | None, size: tuple[float, float] = (7, 6)) -> Axes:
    """Give the axes back, or those of a new figure of pyplot, of a size in inches."""
    if ax is not None:
        return ax
    from matplotlib import pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def panels(names: Sequence[str], axes: Sequence[Axes] | npt.NDArray[Any] | None, layer: xr.DataArray, entries: int = 0) -> npt.NDArray[Any]:
    """Give an axes to each map of a layer's shape, side by side and zoomed together, or check those given.

    ``entries`` of a legend, of half the width each, get room below.

    Raises
    ------
    XSentinelError
        If there are not as many axes as maps.
    """
    if axes is not None:
        given = np.array(axes, object).ravel()
        if given.size != len(names):
            raise XSentinelError(f"axes has {given.size}; {len(names)} maps are drawn: {', '.join(names)}")
        return given
    from matplotlib import pyplot as plt

    rows = -(-len(names) // IN_A_ROW)
    columns = -(-len(names) // rows)
    high = float(np.clip(4.6 * layer.sizes["y"] / layer.sizes["x"], 2.5, 7)) + 0.8 + 0.07 * entries
    figure, grid = plt.subplots(
        rows, columns, figsize=(5.2 * columns, high * rows), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for spare in grid.ravel()[len(names) :]:
        spare.remove()
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)  # type: ignore[union-attr,call-arg]
    return grid.ravel()[: len(names)]


def thin(layer: xr.DataArray, side: int | None = None) -> xr.DataArray:
    """Take every n-th pixel of a map with more along a side than are seen.

    Raises
    ------
    GridError
        If it is no map: there are other dims.
    """
    if not {"y", "x"} <= set(layer.dims) <= {"time", "y", "x"}:
        found = ", ".join(map(str, layer.dims)) or "none"
        raise GridError(f"{layer.name} has dims {found}; a map has (time, y, x) or (y, x): select one of others (isel)")
    layer = layer.transpose(..., "y", "x")
    step = max(1, -(-max(layer.sizes["y"], layer.sizes["x"]) // (side or DRAWN)))
    return layer.isel(y=slice(None, None, step), x=slice(None, None, step)) if step > 1 else layer


def show(ax: Axes, values: npt.NDArray[Any], layer: xr.DataArray, **style: Any) -> AxesImage:
    """Draw the pixels of a layer where they lie."""
    return ax.imshow(values, extent=extent_of(layer), origin=origin_of(layer), **{"interpolation": "nearest", **style})


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
    entitle(ax, title)
    ax.set_xticks([])
    ax.set_yticks([])
    extent, metres = extent_of(layer), metres_of(layer)
    if extent is not None and metres is not None:
        _scale_bar(ax, extent, metres)
    return ax


def entitle(ax: Axes, title: str) -> None:
    """Set a title in as many lines as it needs, broken between its parts, which two spaces divide, if that is enough."""
    fits = max(20, int(_room(ax) / LETTER_IN["medium"]))
    parts = [title.strip()] if len(title.strip()) <= fits else title.strip().split("  ")
    ax.set_title("\n".join(textwrap.fill(part, fits) for part in parts), fontsize="medium", loc="left")


def legend_below(ax: Axes, entries: Sequence[tuple[str, str]]) -> None:
    """Put colours and what they mean below a map, in as many columns as there is room for."""
    from matplotlib.patches import Patch

    patches = [Patch(facecolor=colour, edgecolor="#888888", label=text) for colour, text in entries]
    columns = next(k for k in range(len(entries), 0, -1) if k == 1 or _wide([t for _, t in entries], k) <= _room(ax))
    ax.legend(
        handles=patches, ncols=columns, loc="upper left", bbox_to_anchor=(0, -0.01), borderaxespad=0, frameon=False, fontsize="x-small"
    )


def _wide(texts: Sequence[str], columns: int) -> float:
    """Give the width of a legend, inches, filled column by column, the first of them with what is over."""
    longest = [max(map(len, column)) for column in np.array_split(np.array(texts, object), columns)]
    return sum(0.46 + LETTER_IN["x-small"] * n for n in longest)


def colour_bar(ax: Axes, image: ScalarMappable, label: str, extend: Literal["neither", "min", "max", "both"] = "neither") -> None:
    """Put a colour bar as high as the map beside it; where no layout makes room for it, it takes some of the map's place."""
    figure = ax.get_figure(root=True)
    if figure is not None and figure.get_layout_engine() is not None:
        figure.colorbar(image, cax=ax.inset_axes((1.02, 0, 0.035, 1)), extend=extend, label=label)
        return
    wide, high = _box(ax)
    shrink = float(np.clip(0.85 * wide * _shape(ax) / high, 0.3, 1.0))
    ax.figure.colorbar(image, ax=ax, shrink=shrink, aspect=22 * shrink, pad=0.02, extend=extend, label=label)


def _box(ax: Axes) -> tuple[float, float]:
    """Give width and height of the place of an axes, inches, before a map takes its part of it."""
    dpi, place, root = ax.figure.dpi, ax.get_subplotspec(), ax.get_figure(root=True)
    if place is None or root is None or root.get_layout_engine() is None:
        return ax.bbox.width / dpi, ax.bbox.height / dpi
    rows, columns = place.get_gridspec().get_geometry()  # where a layout will use nearly all of the figure, once it is drawn
    wide, high = ax.figure.bbox.width / dpi / columns, ax.figure.bbox.height / dpi / rows
    return 0.94 * wide * len(place.colspan), 0.9 * high * len(place.rowspan)


def _shape(ax: Axes) -> float:
    """Give height by width of what is drawn."""
    west, east = ax.get_xlim()
    south, north = ax.get_ylim()
    return abs(north - south) / abs(east - west)


def _room(ax: Axes) -> float:
    """Give the width from a map's left edge to the right end of its place, inches."""
    wide, high = _box(ax)
    if ax.get_aspect() == "auto":
        return wide
    return (wide + min(wide, high / _shape(ax))) / 2


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
