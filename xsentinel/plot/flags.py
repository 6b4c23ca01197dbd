"""Maps of flags and classes, with a legend that gives their shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.plot.place import finish, legend_below, show
from xsentinel.style import LEGEND, MISSING, flag_colours, flag_text, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage


def draw_flags(layer: xr.DataArray, ax: Axes, heading: str) -> Axes:
    """Draw each class, or combination of flags, that occurs in a colour of its own, most frequent first in the legend."""
    codes, counts = np.unique(layer.values, return_counts=True)
    codes, counts = codes[np.argsort(-counts, kind="stable")], -np.sort(-counts)
    n = len(codes) if "flag_values" in layer.attrs else LEGEND
    shown, rest = codes[:n], codes[n:]
    colours, labels = flag_colours(layer, shown), [flag_text(layer, int(k)) for k in shown]
    if rest.size:
        colours, labels = [*colours, MISSING], [*labels, f"{rest.size} rarer combinations"]
    draw_codes(ax, layer, shown, colours)
    shares = [*counts[:n], *([counts[n:].sum()] if rest.size else [])]
    legend_below(ax, [(c, f"{text}, {percent(k / layer.size)}") for c, text, k in zip(colours, labels, shares, strict=True)])
    return finish(ax, layer, heading)


def draw_codes(ax: Axes, layer: xr.DataArray, codes: npt.NDArray[Any], colours: Sequence[str]) -> AxesImage:
    """Draw codes in their colours; those not named take the last colour."""
    from matplotlib.colors import ListedColormap

    return show(ax, places_of(layer.values, codes), layer, cmap=ListedColormap(list(colours)), vmin=-0.5, vmax=len(colours) - 0.5)


def places_of(values: npt.NDArray[Any], codes: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Give where in a list of codes each value stands, past its end what is not in it.

    Examples
    --------
    >>> places_of(np.array([[7, 3], [9, 7]]), np.array([7, 3]))
    array([[0, 1],
           [2, 0]])
    """
    order = np.argsort(codes)
    found = np.minimum(np.searchsorted(codes, values, sorter=order), len(codes) - 1)
    places: npt.NDArray[np.intp] = np.where(codes[order[found]] == values, order[found], len(codes))
    return places
