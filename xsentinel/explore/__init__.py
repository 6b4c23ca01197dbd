"""An interactive map of a cube or a product, in a notebook, from a server or as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xsentinel.cube import check_times, date_index
from xsentinel.errors import GridError, TimeError, XSentinelError
from xsentinel.explore.layers import Layer, first_of, layers_of
from xsentinel.explore.reading import AT_ONCE, clear_by_date
from xsentinel.explore.window import Run, Window, axes_of, cost, middle
from xsentinel.style import metres_of

if TYPE_CHECKING:
    from xsentinel.explore.explorer import Explorer

SAMPLED = 256
"""Pixels along a side by which the clearest date is chosen."""


def explore(
    ds: xr.Dataset,
    *,
    show: str | None = None,
    time: Any = None,
    stretch: tuple[float, float] = (2.0, 98.0),
    width: int = 720,
) -> Explorer:
    """Open an interactive map with a time slider.

    A menu chooses what is shown: colour composites, each variable with its colour bar, maps of classes and flags
    with their legend. Pointing tells value, class and coordinates; a click draws the series of that pixel below,
    with its interval where the dataset has one, and a click into the series goes to that date. Zooming reads finer
    pixels: only those in view, thinned to the screen; what takes long appears piece by piece.

    Parameters
    ----------
    ds : xarray.Dataset
        A cube or a product of it, (time, y, x) or (y, x); lazy or not. Clouds can be marked and the share of clear
        pixels is told where there is ``SCL``.
    show : str, optional
        What is shown first: "true colour", "false colour", "shortwave infrared" or a variable. By default true
        colour, else the first variable of floating point numbers, else the first map of classes.
    time : date, index or None
        Which date is first, such as "2019-05-30" or an index; None takes the clearest by the scene classes, of
        the whole or of its middle, where these are read in a moment; else the one with the most data of what is in memory;
        else the first.
    stretch : (float, float)
        Percentiles of all three bands of a composite that become black and white, as in `.s2.plot.rgb()`, of the
        first view; a button takes those of the view that is shown.
    width : int
        Of the map, in pixels of the screen.

    Returns
    -------
    Explorer
        Shows itself in a notebook; ``.servable()`` for `panel serve`, ``.show()`` opens a browser, ``.save("map.html")`` writes
        a page of one date.

    Raises
    ------
    XSentinelError
        If panel is not installed, nothing of the dataset can be drawn, or `show` is not there.
    TimeError
        If the date is not there, or stands twice.

    Examples
    --------
    >>> import xsentinel as xs
    >>> explore(xs.sample("zurich"), show="false colour").page().layer.title
    'false colour (B08, B04, B03)'
    """
    if not 0 <= stretch[0] < stretch[1] <= 100:
        raise XSentinelError(f"stretch is {stretch}; it is two percentiles that rise from 0 to 100, such as (2, 98)")
    layers = layers_of(ds)
    if not layers:
        raise XSentinelError(f"the dataset has nothing to draw with dims (time, y, x) or (y, x); it has {_names(ds)}")
    check_times(ds)
    show = first_of(layers) if show is None else show
    if show not in layers:
        raise XSentinelError(f"{show!r} is not there to show; there are {', '.join(layers)}")
    return _open(ds, layers, show, time, stretch, width)


def explore_array(
    da: xr.DataArray,
    *,
    time: Any = None,
    width: int = 720,
) -> Explorer:
    """Open an interactive map of one variable with a time slider, as `.s2.explore()` of a Dataset does.

    Parameters
    ----------
    da : xarray.DataArray, (time, y, x) or (y, x)
    time, width
        As there.

    Returns
    -------
    Explorer

    Raises
    ------
    GridError
        If there are other dims.
    XSentinelError, TimeError
        As there.

    Examples
    --------
    >>> import xsentinel as xs
    >>> explore_array(xs.sample("romania").s2.index("NDVI")["NDVI"], time="2018-07").page().layer.name
    'NDVI'
    """
    if not {"y", "x"} <= set(da.dims):
        raise GridError(f"{da.name} has dims {', '.join(map(str, da.dims))}; a map has (time, y, x) or (y, x)")
    name = "values" if da.name is None else str(da.name)
    return explore(da.rename(name).to_dataset(promote_attrs=False), show=None, time=time, width=width)


def _open(ds: xr.Dataset, layers: dict[str, Layer], show: str, time: Any, stretch: tuple[float, float], width: int) -> Explorer:
    try:
        import panel as pn

        from xsentinel.explore.explorer import Explorer
        from xsentinel.explore.page import Content
    except ImportError as err:
        raise XSentinelError('the interactive map needs panel, which is not installed: pip install "xsentinel[explore]"') from err
    if not pn.extension._loaded:  # by whom else, as that one wanted it
        pn.extension(inline=True)  # no network is needed
    scl = layers["SCL"].parts[0] if "SCL" in layers else None
    date = _date(ds, layers[show], scl, time)
    metres = metres_of(ds)
    return Explorer(Content(ds, layers, scl, _place(ds, metres), metres, show, date, stretch, width))


def _date(ds: xr.Dataset, layer: Layer, scl: xr.DataArray | None, time: Any) -> int:
    """Find the date that is shown first."""
    n = ds.sizes.get("time", 1)
    if time is not None:
        index = int(time) if isinstance(time, int | np.integer) else date_index(ds, time)
        if not -n <= index < n:
            raise TimeError(f"time {time!r} is not there; the cube has {n} dates, 0 to {n - 1}")
        return index % n
    if scl is not None and "time" in scl.dims:
        whole = Window(*(Run(0, m, max(1, m // SAMPLED)) for m in (scl.sizes["y"], scl.sizes["x"])))
        parts = (whole, middle(scl, axes_of(scl), SAMPLED))
        few = next((part for part in parts if cost(scl, part, all_dates=True) <= 4 * AT_ONCE), None)
        return 0 if few is None else int(clear_by_date(scl, few).argmax())
    part = layer.parts[0]
    if "time" not in part.dims or part.chunks is not None or layer.kind == "classes":
        return 0
    step = {d: slice(None, None, max(1, part.sizes[d] // SAMPLED)) for d in ("y", "x")}
    return int(part.isel(step).notnull().mean(("y", "x")).values.argmax())


def _place(ds: xr.Dataset, metres: float | None) -> str:
    """Say what the coordinates are."""
    if ds.rio.crs is None:
        return ""
    return f"{'[m] ' if metres == 1 else ''}({ds.rio.crs.to_string():.20})"


def _names(ds: xr.Dataset) -> str:
    return ", ".join(f"{v} {tuple(map(str, a.dims))}" for v, a in ds.data_vars.items()) or "no variable"
