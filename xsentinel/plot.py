"""Pictures: colour composites and maps with units, colour bar and scale; matplotlib stays outside until drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.accuracy.corners import corner_precision, corners
from xsentinel.bands import CLOUDY_CLASSES, scene_class_values
from xsentinel.cube import date_index, pixel_size, select_bands
from xsentinel.errors import GridError, TimeError, XSentinelError
from xsentinel.style import (
    LEGEND,
    MISSING,
    PALETTES,
    flag_colours,
    flag_text,
    metres_of,
    reflectance_of,
    stretch_limits,
    stretched,
    unit_of,
    value_limits,
    values_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DRAWN = 1600
"""Pixels along a side that are drawn at most; larger maps are thinned."""


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
    layers = [_thin(b) for b in select_bands(ds, bands, "a colour composite")]
    picked, title = _pick(layers, _clearest(ds) if time is None else time)
    image = np.stack([reflectance_of(b) for b in picked], -1)
    shown = stretched(image, *stretch_limits(image, stretch))
    ax = _axes(ax)
    ax.imshow(shown, extent=_extent(picked[0]), origin=_origin(picked[0]), interpolation="nearest")
    return _finish(ax, picked[0], f"{' '.join(bands)}  {title}")


def map_variable(ds: xr.Dataset, variable: str | None = None, *, time: Any = None, ax: Axes | None = None, **style: Any) -> Axes:
    """Draw one variable of a Dataset as a map.

    Parameters
    ----------
    ds : xarray.Dataset
    variable : str, optional
        By default the first that holds floating point numbers.
    time, ax, **style
        As `map_array`.
    """
    # a map of classes is a coordinate where a dimension has its name
    placed = [v for v in ds.coords if "flag_values" in ds[v].attrs and {"y", "x"} <= set(ds[v].dims)]
    names = [str(v) for v in (*ds.data_vars, *placed)]
    if variable is None:
        variable = next((v for v in names if ds[v].dtype.kind == "f" and {"y", "x"} <= set(ds[v].dims)), None)
    if variable is None or variable not in names:
        raise XSentinelError(f"variable {variable!r} is not there to draw; the dataset has {', '.join(names) or 'none'}")
    return map_array(ds[variable], time=time, ax=ax, **style)


def map_array(da: xr.DataArray, *, time: Any = None, ax: Axes | None = None, **style: Any) -> Axes:
    """Draw a map with units, colour bar and scale; layers with flags get a legend instead.

    Parameters
    ----------
    da : xarray.DataArray, (time, y, x) or (y, x)
    time : date, index or None
        Which date, such as "2019-05-30" or an index; None takes the one with the most data, the first of
        layers of flags, and the title says so.
    ax : matplotlib Axes, optional
    **style
        ``cmap``, ``vmin``, ``vmax`` and what else `Axes.imshow` takes. By default from 0 to the 98th
        percentile; of variables that may be negative, from the 2nd. Arrows at the colour bar's ends
        say that there are values beyond.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    TimeError, GridError
        If the date is not there, or there are other dims.
    """
    if not {"y", "x"} <= set(da.dims) <= {"time", "y", "x"}:
        raise GridError(f"{da.name} has dims {', '.join(map(str, da.dims))}; a map has (time, y, x) or (y, x): select one of others (isel)")
    (layer,), title = _pick([_thin(da)], time)
    ax = _axes(ax)
    heading = f"{da.attrs.get('long_name', da.name)}  {title}"
    if "flag_meanings" in da.attrs:
        return _flag_map(layer, ax, heading)
    values = values_of(layer)
    chosen = {**_default_style(str(da.name), values, style), "interpolation": "nearest", **style}
    image = ax.imshow(values, extent=_extent(layer), origin=_origin(layer), **chosen)
    image.set_cmap(image.cmap.with_extremes(bad=MISSING))
    unit = unit_of(da)
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.8, pad=0.02, extend=_beyond(values, image.norm))
    bar.set_label(f"{da.name}" + (f" [{unit}]" if unit else ""))
    return _finish(ax, layer, heading)


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
    ax.set_title(f"{ax.get_title(loc='left')}  {text}".strip(), fontsize="medium", loc="left")
    return ax


def _default_style(name: str, values: npt.NDArray[Any], given: dict[str, Any]) -> dict[str, Any]:
    low, high = value_limits(name, values)
    limits = {} if "norm" in given else {"vmin": low, "vmax": high}
    return {"cmap": PALETTES.get(name, "viridis"), **limits}


def _beyond(values: npt.NDArray[Any], norm: Any) -> Literal["neither", "min", "max", "both"]:
    """Tell on which sides values lie beyond the colours."""
    finite = values[np.isfinite(values)]
    below, above = bool((finite < norm.vmin).any()), bool((finite > norm.vmax).any())
    return "both" if below and above else "min" if below else "max" if above else "neither"


def _flag_map(layer: xr.DataArray, ax: Axes, heading: str) -> Axes:
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
        index, extent=_extent(layer), origin=_origin(layer), interpolation="nearest",
        cmap=ListedColormap(colours), vmin=-0.5, vmax=len(colours) - 0.5,
    )  # fmt: skip
    shares = [*counts[:n], counts[n:].sum()]
    patches = [
        Patch(facecolor=c, edgecolor="#888888", label=f"{text}, {100 * n / layer.size:.{0 if n / layer.size >= 0.01 else 1}f} %")
        for c, text, n in zip(colours, labels, shares, strict=False)
    ]
    ax.legend(handles=patches, loc="upper left", bbox_to_anchor=(0, -0.01), borderaxespad=0, frameon=False, fontsize="x-small")
    return _finish(ax, layer, heading)


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    from matplotlib import pyplot as plt

    return plt.subplots(figsize=(7, 6), layout="constrained")[1]


def _thin(layer: xr.DataArray) -> xr.DataArray:
    step = max(1, -(-max(layer.sizes["y"], layer.sizes["x"]) // DRAWN))
    return layer.isel(y=slice(None, None, step), x=slice(None, None, step)) if step > 1 else layer


def _pick(layers: list[xr.DataArray], time: Any) -> tuple[list[xr.DataArray], str]:
    """Select one date of layers, loaded, with the text that names it."""
    if "time" not in layers[0].dims:
        return [b.compute() for b in layers], _date(layers[0])
    n = layers[0].sizes["time"]
    note = ""
    if time is None or isinstance(time, _Choice):
        choice = time or _fullest(layers[0])
        index, note = choice.index, f" ({choice.how} of {n} dates)" if n > 1 else ""
    else:
        index = int(time) if isinstance(time, int | np.integer) else date_index(layers[0], time)
    if not -n <= index < n:
        raise TimeError(f"time {time!r} is not there; the cube has {n} dates, 0 to {n - 1}")
    picked = [b.isel(time=index).compute() for b in layers]
    return picked, _date(picked[0]) + note


@dataclass(frozen=True)
class _Choice:
    """A date that nobody named."""

    index: int
    """Along time."""
    how: str
    """Why it is this one, for the title."""


def _clearest(ds: xr.Dataset) -> _Choice | None:
    """Choose the date with the fewest cloudy pixels, the first of equals; None without scene classes."""
    if "SCL" not in ds or "time" not in ds["SCL"].dims:
        return None
    scl = _thin(ds["SCL"])
    hidden = scl.isin(scene_class_values((*CLOUDY_CLASSES, "snow_or_ice"))).mean(("y", "x")).values
    return _Choice(int(hidden.argmin()), "clearest")


def _fullest(layer: xr.DataArray) -> _Choice:
    """Choose the date with the most data; of layers that do not tell what is missing, the first."""
    if "flag_masks" in layer.attrs:
        return _Choice(0, "first")
    missing = 0 if "flag_values" in layer.attrs else layer.attrs.get("_FillValue", np.nan)
    share = (layer.notnull() & (layer != missing)).mean(("y", "x")).values
    return _Choice(int(share.argmax()), "most data")


def _date(layer: xr.DataArray) -> str:
    if "time" not in layer.coords or np.isnat(layer["time"].values):
        return ""
    return str(layer["time"].values)[:10]


def _extent(layer: xr.DataArray) -> tuple[float, float, float, float] | None:
    try:
        dy, dx = (abs(step) for step in pixel_size(layer))
    except GridError:
        return None
    x, y = layer["x"].values, layer["y"].values
    return x.min() - dx / 2, x.max() + dx / 2, y.min() - dy / 2, y.max() + dy / 2


def _origin(layer: xr.DataArray) -> Any:
    try:
        return "lower" if pixel_size(layer)[0] > 0 else "upper"
    except GridError:
        return "upper"


def _finish(ax: Axes, layer: xr.DataArray, title: str) -> Axes:
    ax.set_title(title.strip(), fontsize="medium", loc="left")
    ax.set_xticks([])
    ax.set_yticks([])
    extent, metres = _extent(layer), metres_of(layer)
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
