"""Pictures of series: spectra in time, past and forecast, phase diagrams, estimates with their interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.bands import BANDS
from xsentinel.cube import band_variables
from xsentinel.errors import TimeError, XSentinelError
from xsentinel.lines import observed_of, series_of, shade_of
from xsentinel.plot.place import entitle, new_axes
from xsentinel.style import quantity_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DRAWN = 12
"""Bands that are drawn at most; of more, as many spread over all."""


def spectra(
    ds: xr.Dataset,
    *,
    bands: Sequence[str] | None = None,
    pixel: tuple[int, int] | None = None,
    future: xr.Dataset | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the bands of a pixel, or the mean of all, in time; and their forecast behind (Fig. 4 of Estopinan et al.).

    Parameters
    ----------
    ds : xarray.Dataset
        A cube: bands (time, y, x), or with fewer of these dims.
    bands : sequence of str, optional
        All by default.
    pixel : (int, int), optional
        Row and column; the mean of all pixels if not given.
    future : xarray.Dataset, optional
        What `forecast` gave: dashed, with a shade between ``<band>_lower`` and ``<band>_upper`` where they are.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    TimeError, XSentinelError
        If there is no time, or the band or pixel is not there.
    """
    import matplotlib as mpl

    names = _names(ds, bands)
    series = [series_of(ds, name, pixel) for name in names]  # before a figure is made that nobody would close
    ax = new_axes(ax, (9, 4))
    colours = mpl.colormaps["viridis"](np.linspace(0, 0.9, len(names)))
    for name, values, colour in zip(names, series, colours, strict=True):
        there = np.isfinite(values)
        ax.plot(ds["time"].values[there], values[there], ".-", color=colour, linewidth=1, markersize=3, label=_label(name))
        if future is not None and name in future:
            ax.plot(future["time"].values, series_of(future, name, pixel), "--", color=colour, linewidth=1.5)
            if f"{name}_lower" in future:
                low, high = (series_of(future, f"{name}_{e}", pixel) for e in ("lower", "upper"))
                ax.fill_between(future["time"].values, low, high, color=colour, alpha=0.12, linewidth=0)
    ax.set_ylabel(_shared_quantity(ds, names))
    entitle(ax, f"{_where(pixel)}, {_span(ds)}" + ("; dashed: forecast" if future is not None else ""))
    ax.legend(fontsize="small", ncols=-(-len(names) // 6), loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    _date_ticks(ax)
    return ax


def phase(
    ds: xr.Dataset,
    band: str,
    *,
    pixel: tuple[int, int] | None = None,
    others: Mapping[str, xr.Dataset] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a band against its left difference, as an orbit (Fig. 3 of Estopinan et al.).

    Parameters
    ----------
    ds : xarray.Dataset
        A regular series, such as of `fill_gaps`, thick and grey.
    band : str
    pixel : (int, int), optional
        Row and column; the mean of all pixels if not given.
    others : mapping from str to xarray.Dataset, optional
        Forecasts of the same step, each a line with its name.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    TimeError, XSentinelError
        If there is no time, or the band or pixel is not there.
    """
    (name,) = _names(ds, [band])
    truth = series_of(ds, name, pixel)
    ax = new_axes(ax, (5.5, 4.5))
    ax.plot(truth[1:], np.diff(truth), color="0.75", linewidth=4, label="observed")
    for k, (title, other) in enumerate((others or {}).items()):
        line = series_of(other, name, pixel)
        ax.plot(line[1:], np.diff(line), color=LINES[k % len(LINES)], linewidth=1.2, label=title)
    ax.set_xlabel(quantity_of(ds[name]))
    ax.set_ylabel("left difference a step")
    entitle(ax, f"{_where(pixel)}, {_span(ds)}")
    ax.legend(fontsize="small", frameon=False)
    return ax


def series(
    ds: xr.Dataset,
    variable: str | None = None,
    *,
    pixel: tuple[int, int] | Sequence[tuple[int, int]] | None = None,
    parcel: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a variable in time with its interval, what was observed and what was filled apart.

    Parameters
    ----------
    ds : xarray.Dataset
        Maps (time, y, x) or parcels (parcel, time): with ``<variable>_lower`` and ``<variable>_upper`` an interval is shaded, else with
        ``<variable>_std`` twice that; with ``source`` or ``filled`` (0: observed) dates that were not observed are hollow.
        Of parcels' ``lai_mean`` the interval is from ``lai_lower_mean`` to ``lai_upper_mean``, else twice ``lai_std``.
    variable : str, optional
        The first of floating point numbers if not given.
    pixel : (int, int), or a list of them, optional
        Row and column; the mean of all pixels if neither it nor `parcel` is given.
    parcel : name, or a list of names, optional
        A parcel, or several, seven at most, each a line of its own colour.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    TimeError, XSentinelError
        If there is no time, or the variable, pixel or parcel is not there, or more are asked for than colours can tell apart.

    Examples
    --------
    >>> import xsentinel as xs
    >>> filled = xs.sample("romania").s2.mask_clouds().s2.fill_gaps("linear")
    >>> ax = series(filled, "B08", pixel=[(3, 4), (40, 50)])
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['pixel (3, 4)', 'pixel (40, 50)', 'observed', 'not observed']
    """
    name = _first_float(ds) if variable is None else _names(ds, [variable])[0]
    parts = _parts(ds, pixel, parcel)
    lines = [_Line(label, series_of(part, name, at), shade_of(part, name, at), observed_of(part, at)) for label, part, at in parts]
    ax = new_axes(ax, (9, 3.5))
    times = ds["time"].values
    for colour, line in zip(LINES, lines, strict=False):
        _draw(ax, times, line, colour)
    ax.set_ylabel(quantity_of(ds[name]))
    place = parts[0][0] if len(parts) == 1 else f"{len(parts)} {'pixels' if parcel is None else 'parcels'}"
    entitle(ax, f"{ds[name].attrs.get('long_name', name)}; {place}, {_span(ds)}")
    _legend(ax, lines)
    _date_ticks(ax)
    return ax


LINES = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#000000")
"""Colours of Okabe and Ito, but yellow, which is lost on white."""


class _Line(NamedTuple):
    """A series to draw."""

    name: str
    values: npt.NDArray[Any]
    shade: tuple[npt.NDArray[Any], npt.NDArray[Any], str] | None
    """Lower and upper end, and what they are."""
    observed: npt.NDArray[np.bool_] | None
    """Which dates were observed; None where nobody says."""


def _parts(ds: xr.Dataset, pixel: Any, parcel: Any) -> list[tuple[str, xr.Dataset, tuple[int, int] | None]]:
    """Give what each line is called, the dataset that it is of, and its pixel."""
    if parcel is not None:
        names = list(parcel) if isinstance(parcel, list | np.ndarray | xr.DataArray) else [parcel]
        names = [n.item() if hasattr(n, "item") else n for n in names]
        found = [(f"parcel {name}", _of_parcel(ds, name), pixel) for name in names]
    elif pixel is not None and np.ndim(pixel) == 2:
        found = [(f"pixel {(int(row), int(column))}", ds, (int(row), int(column))) for row, column in pixel]
    else:
        found = [(_where(pixel), ds, pixel)]
    if not 0 < len(found) <= len(LINES):
        raise XSentinelError(f"{len(found)} series are asked for; give 1 to {len(LINES)}, which colours can tell apart")
    return found


def _draw(ax: Axes, times: npt.NDArray[Any], line: _Line, colour: str) -> None:
    """Draw a series, full where observed, hollow where not, over its shade."""
    there = np.isfinite(line.values)
    if line.shade is not None:
        low, high, words = line.shade
        ax.fill_between(times[there], low[there], high[there], color=colour, alpha=0.2, linewidth=0, label=words)
    ax.plot(times[there], line.values[there], "-", color=colour, linewidth=1, label=line.name)
    seen = there if line.observed is None else there & line.observed
    ax.plot(times[seen], line.values[seen], "o", color=colour, markersize=5, label="observed")
    if (there & ~seen).any():
        hollow = there & ~seen
        ax.plot(times[hollow], line.values[hollow], "o", markerfacecolor="white", color=colour, markersize=5, label="not observed")


def _legend(ax: Axes, lines: list[_Line]) -> None:
    """Put beside the lines their names, and once for all what points and shades are."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    several = len(lines) > 1
    shared = "0.4" if several else LINES[0]
    entries: list[Any] = [Line2D([], [], color=c, label=k.name) for c, k in zip(LINES, lines, strict=False)] if several else []
    if any(k.observed is not None for k in lines):
        drawn = {str(artist.get_label()) for artist in ax.lines}
        point: dict[str, Any] = {"color": shared, "marker": "o", "linestyle": "", "markersize": 5}
        entries.append(Line2D([], [], label="observed", **point))
        entries += [Line2D([], [], label="not observed", markerfacecolor="white", **point)] if "not observed" in drawn else []
    shade = next((k.shade[2] for k in lines if k.shade is not None), None)
    entries += [] if shade is None else [Patch(color=shared, alpha=0.2, linewidth=0, label=shade)]
    if entries:
        ax.legend(handles=entries, fontsize="small", frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _of_parcel(ds: xr.Dataset, parcel: Any) -> xr.Dataset:
    if "parcel" not in ds.dims:
        raise XSentinelError(f"there are no parcels to choose {parcel!r} from; the dims are {', '.join(map(str, ds.dims))}")
    try:
        return ds.sel(parcel=parcel)
    except KeyError as err:
        few = ", ".join(map(str, ds["parcel"].values[:5]))
        raise XSentinelError(f"parcel {parcel!r} is not there; there are {ds.sizes['parcel']}, such as {few}") from err


def _first_float(ds: xr.Dataset) -> str:
    _names(ds, [])
    found = next((str(v) for v, a in ds.data_vars.items() if a.dtype.kind == "f" and "time" in a.dims), None)
    if found is None:
        raise XSentinelError(f"the dataset has no series to draw; it has {', '.join(map(str, ds.data_vars)) or 'nothing'}")
    return found


def _names(ds: xr.Dataset, bands: Sequence[str] | None) -> list[str]:
    if "time" not in ds.dims or "time" not in ds.coords:
        raise TimeError("the dataset has no dimension time, along which series could be drawn")
    if bands is None:
        found = [str(v) for v in band_variables(ds).values()] or [str(v) for v, a in ds.data_vars.items() if "time" in a.dims]
        if not found:
            raise XSentinelError(f"the dataset has no series to draw; it has {', '.join(map(str, ds.data_vars)) or 'nothing'}")
        return [found[k] for k in np.unique(np.linspace(0, len(found) - 1, min(DRAWN, len(found))).round().astype(int))]
    missing = [b for b in bands if b not in ds]
    if missing:
        raise XSentinelError(f"{', '.join(missing)} cannot be drawn; the dataset has {', '.join(map(str, ds.data_vars))}")
    return list(bands)


def _label(name: str) -> str:
    return f"{name} ({BANDS[name].centre_nm:.0f} nm)" if name in BANDS and np.isfinite(BANDS[name].centre_nm) else name


def _shared_quantity(ds: xr.Dataset, names: Sequence[str]) -> str:
    """Give what all lines show: their quantity without the name, or their units."""
    found = {quantity_of(ds[n]).removeprefix(n).strip(", ") for n in names}
    return " or ".join(sorted(found - {""})) or "value"


def _where(pixel: tuple[int, int] | None) -> str:
    return "mean of all pixels" if pixel is None else f"pixel {tuple(pixel)}"


def _span(ds: xr.Dataset) -> str:
    return f"{str(ds['time'].values[0])[:10]} to {str(ds['time'].values[-1])[:10]}"


def _date_ticks(ax: Axes) -> None:
    """Write dates short, the year only where it changes."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator()
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
