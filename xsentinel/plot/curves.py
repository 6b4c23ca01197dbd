"""Pictures of series: spectra in time, past and forecast, phase diagrams, estimates with their interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xsentinel.bands import BANDS
from xsentinel.cube import band_variables
from xsentinel.errors import TimeError, XSentinelError
from xsentinel.lines import observed_of, series_of, shade_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DRAWN = 12
"""Bands that are drawn at most; of more, as many spread over all."""


def spectra(
    ds: xr.Dataset,
    *,
    pixel: tuple[int, int] | None = None,
    future: xr.Dataset | None = None,
    bands: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the bands of a pixel, or the mean of all, in time; and their forecast behind (Fig. 4 of Estopinan et al.).

    Parameters
    ----------
    ds : xarray.Dataset
        A cube: bands (time, y, x), or with fewer of these dims.
    pixel : (int, int), optional
        Row and column; the mean of all pixels if not given.
    future : xarray.Dataset, optional
        What `forecast` gave: dashed, with a shade between ``<band>_lower`` and ``<band>_upper`` where they are.
    bands : sequence of str, optional
        All by default.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    TimeError, XSentinelError
        If there is no time, or the band or pixel is not there.
    """
    import matplotlib.pyplot as plt

    names = _names(ds, bands)
    series = [series_of(ds, name, pixel) for name in names]  # before a figure is made that nobody would close
    ax = plt.subplots(figsize=(9, 4), layout="constrained")[1] if ax is None else ax
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.95, len(names)))
    for name, values, colour in zip(names, series, colours, strict=True):
        there = np.isfinite(values)
        ax.plot(ds["time"].values[there], values[there], ".-", color=colour, linewidth=1, markersize=3, label=_label(name))
        if future is not None and name in future:
            ax.plot(future["time"].values, series_of(future, name, pixel), "--", color=colour, linewidth=1.5)
            if f"{name}_lower" in future:
                low, high = (series_of(future, f"{name}_{e}", pixel) for e in ("lower", "upper"))
                ax.fill_between(future["time"].values, low, high, color=colour, alpha=0.12, linewidth=0)
    ax.set_ylabel("reflectance")
    ax.set_title(_where(ds, pixel) + ("; dashed: forecast" if future is not None else ""), fontsize="medium", loc="left")
    ax.legend(fontsize="small", ncols=-(-len(names) // 6), loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    ax.tick_params(axis="x", labelrotation=30)
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
    import matplotlib.pyplot as plt

    (name,) = _names(ds, [band])
    truth = series_of(ds, name, pixel)
    ax = plt.subplots(figsize=(5, 4.5), layout="constrained")[1] if ax is None else ax
    ax.plot(truth[1:], np.diff(truth), color="0.75", linewidth=4, label="observed")
    for k, (title, other) in enumerate((others or {}).items()):
        line = series_of(other, name, pixel)
        ax.plot(line[1:], np.diff(line), color=f"C{k}", linewidth=1.2, label=title)
    ax.set_xlabel(f"reflectance of {_label(name)}")
    ax.set_ylabel("left difference a step")
    ax.set_title(_where(ds, pixel), fontsize="medium", loc="left")
    ax.legend(fontsize="small")
    return ax


def series(
    ds: xr.Dataset,
    variable: str | None = None,
    *,
    pixel: tuple[int, int] | None = None,
    parcel: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a variable in time with its interval, what was observed and what was filled apart.

    Parameters
    ----------
    ds : xarray.Dataset
        Maps (time, y, x) or parcels (parcel, time): with ``<variable>_lower`` and ``<variable>_upper`` an interval is shaded, else with
        ``<variable>_std`` twice that; with ``source`` or ``filled`` (0: observed) dates that were not observed are hollow.
    variable : str, optional
        The first of floating point numbers if not given.
    pixel : (int, int), optional
        Row and column; the mean of all pixels if neither it nor `parcel` is given.
    parcel : optional
        Name of a parcel; its neighbours are not drawn.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    TimeError, XSentinelError
        If there is no time, or the variable, pixel or parcel is not there.
    """
    import matplotlib.pyplot as plt

    if parcel is not None:
        ds = _of_parcel(ds, parcel)
    name = _first_float(ds) if variable is None else _names(ds, [variable])[0]
    values, shade, told = series_of(ds, name, pixel), shade_of(ds, name, pixel), observed_of(ds, pixel)
    ax = plt.subplots(figsize=(9, 3.5), layout="constrained")[1] if ax is None else ax
    there, times = np.isfinite(values), ds["time"].values
    if shade is not None:
        ax.fill_between(times[there], shade[0][there], shade[1][there], color=SERIES, alpha=0.2, linewidth=0, label=shade[2])
    ax.plot(times[there], values[there], "-", color=SERIES, linewidth=1)
    seen = there if told is None else there & told
    ax.plot(times[seen], values[seen], "o", color=SERIES, markersize=5, label="observed" if told is not None else None)
    if told is not None and (there & ~told).any():
        hollow = there & ~told
        ax.plot(times[hollow], values[hollow], "o", markerfacecolor="white", color=SERIES, markersize=5, label="not observed")
    unit = ds[name].attrs.get("units", "")
    ax.set_ylabel(f"{name} [{unit}]" if unit not in ("", "1") else name)
    place = f"parcel {parcel}" if parcel is not None else _where(ds, pixel)
    ax.set_title(f"{ds[name].attrs.get('long_name', name)}; {place}", fontsize="medium", loc="left")
    if shade is not None or told is not None:
        ax.legend(fontsize="small", frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    ax.tick_params(axis="x", labelrotation=30)
    return ax


SERIES = "#0072B2"
"""Blue of Okabe and Ito, which the colour-blind tell from grey and orange."""


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


def _where(ds: xr.Dataset, pixel: tuple[int, int] | None) -> str:
    dates = f"{str(ds['time'].values[0])[:10]} to {str(ds['time'].values[-1])[:10]}"
    return f"{'mean of all pixels' if pixel is None else f'pixel {tuple(pixel)}'}, {dates}"
