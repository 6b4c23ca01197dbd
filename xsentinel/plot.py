"""Pictures: colour composites and maps with units, colour bar and scale; matplotlib stays outside until drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.cube import encoding_of, pixel_size, select_bands
from xsentinel.errors import GridError, TimeError, XSentinelError
from xsentinel.kernels.scale import decode

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DRAWN = 1600
"""Pixels along a side that are drawn at most; larger maps are thinned."""

MISSING = "#b8b8b8"
"""Grey of pixels without data."""

PALETTES = {"lai": "YlGn", "fapar": "YlGn", "fcover": "YlGn", "ccc": "YlGn", "cwc": "YlGnBu"}
"""Colour maps with even steps of lightness, readable by the colour-blind; viridis for the rest."""

UNITS = {"m2 m-2": "m² m⁻²", "ug cm-2": "µg cm⁻²", "g cm-2": "g cm⁻²", "1": ""}


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
        Which date; None takes the one with the most data, and the title says so.
    stretch : (float, float)
        Percentiles of all three bands together that become black and white; one stretch keeps colours true.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    BandError, TimeError, GridError
        If a band or the date is not there.
    """
    if len(bands) != 3:
        raise XSentinelError(f"bands has {len(bands)} names; a colour composite takes three: red, green, blue")
    picked, title = _pick([_thin(b) for b in select_bands(ds, bands, "a colour composite")], time)
    image = np.stack([_reflectance(b) for b in picked], -1)
    there = np.isfinite(image).all(-1)
    low, high = np.percentile(image[there], stretch) if there.any() else (0.0, 1.0)
    shown = np.clip((image - low) / max(high - low, 1e-6), 0, 1) ** (1 / 1.4)
    shown[~there] = np.array([int(MISSING[i : i + 2], 16) for i in (1, 3, 5)]) / 255
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
    names = [str(v) for v in ds.data_vars]
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
        Which date; None takes the one with the most data, and the title says so.
    ax : matplotlib Axes, optional
    **style
        ``cmap``, ``vmin``, ``vmax`` and what else `Axes.imshow` takes. By default from 0, or the 2nd
        percentile where values are negative, to the 98th.

    Returns
    -------
    matplotlib Axes
    """
    if not {"y", "x"} <= set(da.dims):
        raise GridError(f"{da.name} has dims {', '.join(map(str, da.dims))}; a map needs y and x")
    (layer,), title = _pick([_thin(da)], time)
    ax = _axes(ax)
    heading = f"{da.attrs.get('long_name', da.name)}  {title}"
    if "flag_meanings" in da.attrs:
        return _flag_map(layer, ax, heading)
    values = _reflectance(layer) if "scale_factor" in layer.attrs else layer.values
    image = ax.imshow(
        values,
        extent=_extent(layer),
        origin=_origin(layer),
        **(_default_style(str(da.name), values) | {"interpolation": "nearest"} | style),
    )
    image.cmap.set_bad(MISSING)
    unit = UNITS.get(da.attrs.get("units", ""), da.attrs.get("units", ""))
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.8, pad=0.02, extend="max")
    bar.set_label(f"{da.name}" + (f" [{unit}]" if unit else ""))
    return _finish(ax, layer, heading)


def _default_style(name: str, values: npt.NDArray[Any]) -> dict[str, Any]:
    from matplotlib import colormaps

    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, (2, 98)) if finite.size else (0.0, 1.0)
    return {"cmap": colormaps[PALETTES.get(name, "viridis")].copy(), "vmin": min(low, 0.0), "vmax": max(high, low + 1e-6)}


def _flag_map(layer: xr.DataArray, ax: Axes, heading: str) -> Axes:
    """Draw each combination of flags that occurs in a colour of its own, most frequent first in the legend."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    codes, counts = np.unique(layer.values, return_counts=True)
    codes = codes[np.argsort(-counts)][:10]
    colours = ["#f2f2f2", *_SAFE][: codes.size] if 0 in codes[:1] else _SAFE[: codes.size]
    index = np.full(layer.shape, np.nan)
    for i, code in enumerate(codes):
        index[layer.values == code] = i
    ax.imshow(
        index, extent=_extent(layer), origin=_origin(layer), interpolation="nearest",
        cmap=ListedColormap(list(colours)), vmin=-0.5, vmax=codes.size - 0.5,
    )  # fmt: skip
    patches = [Patch(facecolor=c, edgecolor="#888888", label=_flag_text(layer, int(k))) for k, c in zip(codes, colours, strict=True)]
    ax.legend(handles=patches, loc="upper left", bbox_to_anchor=(1.02, 1), frameon=False, fontsize="small")
    return _finish(ax, layer, heading)


# Okabe & Ito (2008), with two greys: ten colours that the colour-blind tell apart.
_SAFE = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#000000", "#777777", "#dddddd"]


def _flag_text(layer: xr.DataArray, code: int) -> str:
    meanings = layer.attrs["flag_meanings"].split()
    if "flag_values" in layer.attrs:
        by_value = dict(zip(np.asarray(layer.attrs["flag_values"]).tolist(), meanings, strict=False))
        return str(by_value.get(code, code)).replace("_", " ")
    masks = np.asarray(layer.attrs["flag_masks"]).tolist()
    return " + ".join(m.replace("_", " ") for k, m in zip(masks, meanings, strict=False) if code & k) or "none"


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
        return [b.load() for b in layers], _date(layers[0])
    n = layers[0].sizes["time"]
    note = ""
    if time is None:
        index = int(_data_share(layers[0]).argmax()) if n > 1 else 0
        note = f" (most data of {n} dates)" if n > 1 else ""
    elif isinstance(time, int | np.integer):
        index = int(time)
    else:
        found = layers[0].indexes["time"].get_indexer([np.datetime64(str(time))], method="nearest")
        index = int(found[0])
    if not -n <= index < n:
        raise TimeError(f"time {time!r} is not there; the cube has {n} dates, 0 to {n - 1}")
    picked = [b.isel(time=index).load() for b in layers]
    return picked, _date(picked[0]) + note


def _data_share(layer: xr.DataArray) -> npt.NDArray[Any]:
    missing = layer.attrs.get("_FillValue", np.nan)
    return np.asarray((layer.notnull() & (layer != missing)).mean(("y", "x")).values)


def _date(layer: xr.DataArray) -> str:
    if "time" not in layer.coords or np.isnat(layer["time"].values):
        return ""
    return str(layer["time"].values)[:10]


def _reflectance(band: xr.DataArray) -> npt.NDArray[np.float32]:
    encoding = encoding_of(band)
    return decode(band.values, encoding.scale, encoding.offset, encoding.nodata)


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
    extent = _extent(layer)
    if extent is not None and abs(extent[1] - extent[0]) > 1:
        _scale_bar(ax, extent)
    return ax


def _scale_bar(ax: Axes, extent: tuple[float, float, float, float]) -> None:
    """Draw a bar of a round length, about a quarter of the width."""
    west, east, south, north = extent
    wish = (east - west) / 4
    power = 10 ** np.floor(np.log10(wish))
    length = max(k * power for k in (1, 2, 5) if k * power <= wish)
    x, y = west + 0.05 * (east - west), south + 0.05 * (north - south)
    style = {"solid_capstyle": "butt", "zorder": 5}
    ax.plot([x, x + length], [y, y], color="white", linewidth=6, **style)  # type: ignore[arg-type]
    ax.plot([x, x + length], [y, y], color="black", linewidth=3, **style)  # type: ignore[arg-type]
    text = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    box = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.5}
    ax.text(x + length / 2, y + 0.02 * (north - south), text, ha="center", va="bottom", fontsize="small", bbox=box, zorder=5)
