"""Maps side by side: an estimate with its uncertainty, classes with their confidence, dates with their composite."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.cube import date_index
from xsentinel.errors import TimeError, XSentinelError
from xsentinel.lines import clear_of
from xsentinel.plot.colour import check_stretch, colour_layers, image_of, limits_of
from xsentinel.plot.dates import choose, loaded, pick
from xsentinel.plot.maps import draw_layer
from xsentinel.plot.place import finish, panels, show, thin
from xsentinel.style import percent, stretched

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BEFORE = 5
"""Dates beside a composite at most; of more, as many spread over all."""


def uncertainty(
    ds: xr.Dataset, variable: str | None = None, *, time: Any = None, axes: Sequence[Axes] | npt.NDArray[Any] | None = None
) -> npt.NDArray[Any]:
    """Draw an estimate beside its standard deviation and the width of its interval, in its units.

    Parameters
    ----------
    ds : xarray.Dataset
        With a variable (time, y, x) or (y, x), such as ``lai``, and ``<variable>_std``, or ``<variable>_lower`` and
        ``<variable>_upper``, or both; what `lai` with samples and `forecast` give.
    variable : str, optional
        By default the first that has any of these beside it.
    time : date, index or None
        As `map`; one date for all.
    axes : sequence of matplotlib Axes, optional
        One a map; those of a new figure, which zoom together, if not given.

    Returns
    -------
    array of matplotlib Axes
        The estimate's, then the standard deviation's and the width's, as far as they are there.

    Raises
    ------
    TimeError, XSentinelError
        If the date is not there, or the variable or its uncertainty.

    Examples
    --------
    >>> import xsentinel as xs
    >>> maps = xs.sample("zurich", resolution=20).isel(y=slice(40), x=slice(60)).s2.lai(model="unet", samples=5)
    >>> [ax.images[0].colorbar.ax.get_ylabel() for ax in uncertainty(maps)]
    ['lai [m² m⁻²]', 'lai_std [m² m⁻²]', 'lai_width [m² m⁻²]']
    """
    names = [str(v) for v in ds.data_vars]
    beside = {v: _spreads(ds, v) for v in names if {"y", "x"} <= set(ds[v].dims)}
    variable = next((v for v, found in beside.items() if found), None) if variable is None else variable
    if variable not in beside or not beside[variable]:
        wanted = variable or "<variable>"
        raise XSentinelError(
            f"there is no {wanted} with {wanted}_std, or {wanted}_lower and {wanted}_upper, to draw; the dataset has "
            f"{', '.join(names) or 'nothing'}. Estimates get them by samples, as in ds.s2.lai(model='unet', samples=30)"
        )
    layers, title = pick([thin(a) for a in (ds[variable], *beside[variable])], time)
    axes = panels([str(a.name) for a in layers], axes, layers[0])
    for layer, ax in zip(layers, axes, strict=True):
        draw_layer(layer, ax, title, {} if layer is layers[0] else {"vmin": 0.0})
    return axes


def _spreads(ds: xr.Dataset, name: str) -> list[xr.DataArray]:
    """Give the standard deviation of a variable and the width of its interval, as far as they are there."""
    found = [ds[f"{name}_std"]] if f"{name}_std" in ds else []
    if f"{name}_lower" in ds and f"{name}_upper" in ds:
        words = str(ds[f"{name}_lower"].attrs.get("long_name", "lower end of the interval")).replace("lower end", "width")
        width = (ds[f"{name}_upper"] - ds[f"{name}_lower"]).rename(f"{name}_width")
        found.append(width.assign_attrs(long_name=words, units=ds[name].attrs.get("units", "")))
    return found


def classes(
    ds: xr.Dataset, variable: str | None = None, *, time: Any = None, axes: Sequence[Axes] | npt.NDArray[Any] | None = None
) -> npt.NDArray[Any]:
    """Draw a map of classes with its legend, and beside it how sure each pixel's class is.

    Parameters
    ----------
    ds : xarray.Dataset
        With a map (y, x) or (time, y, x) that has ``flag_values``, such as `crops` and `landcover` give; ``confidence``, if
        it is there, is drawn beside it from 0 to 1.
    variable : str, optional
        By default the first with ``flag_values``.
    time : date, index or None
        As `map`; one date for both.
    axes : sequence of matplotlib Axes, optional
        One a map; those of a new figure, which zoom together, if not given.

    Returns
    -------
    array of matplotlib Axes

    Raises
    ------
    TimeError, XSentinelError
        If the date is not there, or there is no map of classes.

    Examples
    --------
    >>> import xsentinel as xs
    >>> [ax] = classes(xs.sample("romania"), "SCL", time=0)
    >>> ax.get_title(loc="left")
    'scene classification  2018-01-07'
    """
    # a map of classes is a coordinate where a dimension has its name
    there = [str(v) for v in (*ds.data_vars, *ds.coords) if "flag_values" in ds[v].attrs and {"y", "x"} <= set(ds[v].dims)]
    variable = next(iter(there), None) if variable is None else variable
    if variable not in there:
        found = ", ".join(there) or "none"
        raise XSentinelError(f"{variable or 'a map'} with flag_values is not there to draw; maps of classes in the dataset: {found}")
    layers, title = pick([thin(a) for a in (ds[variable], *([ds["confidence"]] if "confidence" in ds else []))], time)
    axes = panels([str(a.name) for a in layers], axes, layers[0], entries=len(np.unique(layers[0])))
    for layer, ax in zip(layers, axes, strict=True):
        draw_layer(layer, ax, title, {"vmin": 0.0, "vmax": 1.0})
    return axes


def before_after(
    ds: xr.Dataset,
    after: xr.Dataset,
    *,
    bands: str | Sequence[str] = "true colour",
    time: Any = None,
    stretch: tuple[float, float] = (2.0, 98.0),
    axes: Sequence[Axes] | npt.NDArray[Any] | None = None,
) -> npt.NDArray[Any]:
    r"""Draw dates of a cube beside their composite, all by the stretch of the composite.

    Parameters
    ----------
    ds : xarray.Dataset
        A cube (time, y, x), before.
    after : xarray.Dataset
        What `composite` made of it: the dates of the period are drawn beside it. Or what `mask_clouds`, `fill_gaps` or
        another verb made of it at the same times.
    bands : str or sequence of three str
        As `rgb`.
    time : date, index or None
        A day of the cube draws that date beside its composite; a month, or an index into the composites, the dates of
        the period, five at most. None takes the period with the most data.
    stretch : (float, float)
        As `rgb`, of the composite.
    axes : sequence of matplotlib Axes, optional
        One a map, the last the composite's; those of a new figure, which zoom together, if not given.

    Returns
    -------
    array of matplotlib Axes

    Raises
    ------
    BandError, TimeError, XSentinelError
        If a band, or a date before or after, is not there; or as `rgb`.

    Examples
    --------
    >>> import xsentinel as xs
    >>> cube = xs.sample("romania")
    >>> monthly = cube.s2.mask_clouds().s2.composite("MS")
    >>> axes = before_after(cube, monthly, time="2018-08-05")
    >>> [ax.get_title(loc="left").replace("\n", " ") for ax in axes]
    ['2018-08-05, 33 % clear', 'median of 5 dates, 2018-08-01 to 2018-08-31 true colour (B04 B03 B02)']
    """
    check_stretch(stretch)
    (before, words), (made, _) = colour_layers(ds, bands), colour_layers(after, bands)
    pairing = _matched(ds, after, made[0], time)
    parts = [b.isel(time=k) for k in pairing.before for b in before] + [b.isel(time=pairing.after) for b in made]
    parts = loaded(parts)
    images = [image_of(parts[k : k + 3]) for k in range(0, len(parts), 3)]
    limits = limits_of(images[-1] if np.isfinite(images[-1]).any() else np.concatenate(images), stretch, made)
    titles = [*_days(ds, pairing.before), f"{_made_of(after, made[0], pairing)}  {words}"]
    axes = panels(titles, axes, parts[0])
    for ax, image, layer, title in zip(axes, images, parts[::3], titles, strict=True):
        show(ax, stretched(image, *limits), layer)
        finish(ax, layer, title)
    return axes


def _days(ds: xr.Dataset, dates: list[int]) -> list[str]:
    """Write dates, and how much of each is clear where scene classes tell."""
    days = [str(t)[:10] for t in ds["time"].values[dates]]
    clear = clear_of(ds) if "SCL" in ds else None
    if clear is None or "time" not in clear.dims:
        return days
    shares = clear.isel(time=dates).mean(("y", "x")).values
    return [f"{day}, {percent(share)} clear" for day, share in zip(days, shares, strict=True)]


@dataclass(frozen=True)
class _Pairing:
    """What is drawn before, and what after."""

    before: list[int]
    """Dates of the cube."""
    after: int
    """The composite, along its time."""
    n: int
    """Dates of the cube in the composite's period."""


def _matched(ds: xr.Dataset, after: xr.Dataset, layer: xr.DataArray, time: Any) -> _Pairing:
    """Find the dates and the composite that are asked for."""
    for cube, what in ((ds, "before"), (after, "after")):
        if "time" not in cube.dims or "time" not in cube.coords:
            raise TimeError(f"the cube {what} has no dimension time with dates, by which before and after belong together")
    named = None if time is None or isinstance(time, int | np.integer) else date_index(ds, time)
    if named is None:
        period = choose(layer, time)[0] % after.sizes["time"]
        found = _within(ds, after, period)
    else:
        spans = [_within(ds, after, k) for k in range(after.sizes["time"])]
        period = next((k for k, span in enumerate(spans) if named in span), -1)
        found = spans[period] if period >= 0 else np.array([], int)
    if not found.size:
        asked = f"period {str(after['time'].values[period])[:10]}" if named is None else f"date {str(ds['time'].values[named])[:10]}"
        raise TimeError(
            f"{asked} has nothing on the other side: a cube before and its composite after belong together by time and period_end, "
            "others by the same times; give a time that both have"
        )
    one_day = named is not None and np.datetime64(str(time)).dtype not in (np.dtype("M8[M]"), np.dtype("M8[Y]"))
    drawn = (
        [named]
        if named is not None and one_day
        else found[np.unique(np.linspace(0, len(found) - 1, min(BEFORE, len(found))).round().astype(int))]
    )
    return _Pairing([int(k) for k in drawn], period, len(found))


def _within(ds: xr.Dataset, after: xr.Dataset, period: int) -> npt.NDArray[np.intp]:
    """Give the dates of a cube in the period of a composite; where there are no periods, those at the same time."""
    times, start = ds["time"].values, after["time"].values[period]
    if "period_end" not in after.coords:
        return np.flatnonzero(times == start)
    return np.flatnonzero((times >= start) & (times < after["period_end"].values[period]))


def _made_of(after: xr.Dataset, layer: xr.DataArray, pairing: _Pairing) -> str:
    """Say what is drawn after."""
    start = str(after["time"].values[pairing.after])[:10]
    if "period_end" not in after.coords:
        return f"{start}, after"
    last = str(after["period_end"].values[pairing.after] - np.timedelta64(1, "ns"))[:10]
    how = re.search(r"time: (\w+)", str(layer.attrs.get("cell_methods", "")))
    note = f" ({len(pairing.before)} drawn)" if 1 < len(pairing.before) < pairing.n else ""
    return f"{how[1] if how else 'composite'} of {pairing.n} dates{note}, {start} to {last}"
