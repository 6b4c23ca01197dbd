"""Pictures of series: spectra in time, past and forecast, and phase diagrams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.bands import BANDS
from xsentinel.cube import band_variables, encoding_of
from xsentinel.errors import TimeError, XSentinelError
from xsentinel.kernels.scale import decode

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
    series = [_series(ds, name, pixel) for name in names]  # before a figure is made that nobody would close
    ax = plt.subplots(figsize=(9, 4), layout="constrained")[1] if ax is None else ax
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.95, len(names)))
    for name, values, colour in zip(names, series, colours, strict=True):
        there = np.isfinite(values)
        ax.plot(ds["time"].values[there], values[there], ".-", color=colour, linewidth=1, markersize=3, label=_label(name))
        if future is not None and name in future:
            ax.plot(future["time"].values, _series(future, name, pixel), "--", color=colour, linewidth=1.5)
            if f"{name}_lower" in future:
                low, high = (_series(future, f"{name}_{e}", pixel) for e in ("lower", "upper"))
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
    truth = _series(ds, name, pixel)
    ax = plt.subplots(figsize=(5, 4.5), layout="constrained")[1] if ax is None else ax
    ax.plot(truth[1:], np.diff(truth), color="0.75", linewidth=4, label="observed")
    for k, (title, other) in enumerate((others or {}).items()):
        line = _series(other, name, pixel)
        ax.plot(line[1:], np.diff(line), color=f"C{k}", linewidth=1.2, label=title)
    ax.set_xlabel(f"reflectance of {_label(name)}")
    ax.set_ylabel("left difference a step")
    ax.set_title(_where(ds, pixel), fontsize="medium", loc="left")
    ax.legend(fontsize="small")
    return ax


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


def _series(ds: xr.Dataset, name: str, pixel: tuple[int, int] | None) -> npt.NDArray[Any]:
    """Give the series of a pixel, or the mean over all, NaN in gaps."""
    band = ds[name]
    space = [d for d in band.dims if d != "time"]
    if pixel is not None and space:
        if any(not -band.sizes[d] <= i < band.sizes[d] for d, i in zip(space, pixel, strict=False)):
            raise XSentinelError(f"pixel {pixel} is not there; the cube has {dict(band.sizes)}")
        band = band.isel(dict(zip(space, pixel, strict=False)))
    if band.dtype.kind in "iu":
        code = encoding_of(band)
        band = band.copy(data=decode(band.values, code.scale, code.offset, code.nodata))
    mean: npt.NDArray[Any] = band.mean([d for d in band.dims if d != "time"]).values
    return mean


def _label(name: str) -> str:
    return f"{name} ({BANDS[name].centre_nm:.0f} nm)" if name in BANDS and np.isfinite(BANDS[name].centre_nm) else name


def _where(ds: xr.Dataset, pixel: tuple[int, int] | None) -> str:
    dates = f"{str(ds['time'].values[0])[:10]} to {str(ds['time'].values[-1])[:10]}"
    return f"{'mean of all pixels' if pixel is None else f'pixel {tuple(pixel)}'}, {dates}"
