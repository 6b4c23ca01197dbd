"""Maps of flags and classes, with a legend that gives their shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from xsentinel.plot.place import extent_of, finish, origin_of
from xsentinel.style import LEGEND, MISSING, flag_colours, flag_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_flags(layer: xr.DataArray, ax: Axes, heading: str) -> Axes:
    """Draw each combination of flags that occurs in a colour of its own, most frequent first in the legend."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    codes, counts = np.unique(layer.values, return_counts=True)
    codes, counts = codes[np.argsort(-counts, kind="stable")], -np.sort(-counts)
    n = len(codes) if "flag_colors" in layer.attrs else LEGEND
    shown, rest = codes[:n], codes[n:]
    colours, labels = flag_colours(layer, shown), [flag_text(layer, int(k)) for k in shown]
    index = np.zeros(layer.shape, np.intp)
    for i, code in enumerate(shown):
        index[layer.values == code] = i
    if rest.size:
        index[np.isin(layer.values, rest)] = len(colours)
        colours, labels = [*colours, MISSING], [*labels, f"{rest.size} rarer combinations"]
    ax.imshow(
        index, extent=extent_of(layer), origin=origin_of(layer), interpolation="nearest",
        cmap=ListedColormap(colours), vmin=-0.5, vmax=len(colours) - 0.5,
    )  # fmt: skip
    shares = [*counts[:n], counts[n:].sum()]
    patches = [
        Patch(facecolor=c, edgecolor="#888888", label=f"{text}, {100 * n / layer.size:.{0 if n / layer.size >= 0.01 else 1}f} %")
        for c, text, n in zip(colours, labels, shares, strict=False)
    ]
    ax.legend(handles=patches, loc="upper left", bbox_to_anchor=(0, -0.01), borderaxespad=0, frameon=False, fontsize="x-small")
    return finish(ax, layer, heading)
