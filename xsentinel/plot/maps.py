"""Maps of one variable with units, colour bar and scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.errors import XSentinelError
from xsentinel.plot.dates import pick
from xsentinel.plot.flags import draw_flags
from xsentinel.plot.place import colour_bar, finish, new_axes, show, thin
from xsentinel.style import MISSING, palette_of, quantity_of, value_limits, values_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
    (layer,), title = pick([thin(da)], time)
    return draw_layer(layer, new_axes(ax), title, style)


def draw_layer(layer: xr.DataArray, ax: Axes, title: str, style: dict[str, Any]) -> Axes:
    """Draw a loaded layer (y, x) under its long name."""
    heading = f"{layer.attrs.get('long_name', layer.name)}  {title}"
    if "flag_meanings" in layer.attrs:
        return draw_flags(layer, ax, heading)
    values = values_of(layer)
    image = show(ax, values, layer, **{**_default_style(str(layer.name), values, style), **style})
    image.set_cmap(image.cmap.with_extremes(bad=MISSING))
    colour_bar(ax, image, quantity_of(layer), _beyond(values, image.norm))
    return finish(ax, layer, heading)


def _default_style(name: str, values: npt.NDArray[Any], given: dict[str, Any]) -> dict[str, Any]:
    low, high = value_limits(name, values)
    limits = {} if "norm" in given else {"vmin": low, "vmax": high}
    return {"cmap": palette_of(name), **limits}


def _beyond(values: npt.NDArray[Any], norm: Any) -> Literal["neither", "min", "max", "both"]:
    """Tell on which sides values lie beyond the colours."""
    finite = values[np.isfinite(values)]
    below, above = bool((finite < norm.vmin).any()), bool((finite > norm.vmax).any())
    return "both" if below and above else "min" if below else "max" if above else "neither"
