"""Pictures that compare: two products pixel by pixel, and the dates of a cube by their clouds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from xsentinel.errors import GridError, TimeError
from xsentinel.kernels.scores import agreement
from xsentinel.lines import clear_of
from xsentinel.plot.place import colour_bar, entitle, new_axes
from xsentinel.style import unit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 2_000_000
"""Pairs that are counted at most; of more, every n-th."""


def scatter(
    reference: xr.DataArray, estimate: xr.DataArray, *, limits: tuple[float, float] | None = None, bins: int = 150, ax: Axes | None = None
) -> Axes:
    """Draw two maps of one quantity against each other, the density of pairs as colour (Figs. 5 to 8 of Albughdadi et al.).

    The text gives Pearson's r, R², RMSE, the mean difference and the number of pairs, of all that are drawn.

    Parameters
    ----------
    reference, estimate : xarray.DataArray
        Of the same dims and sizes; computed if lazy.
    limits : (float, float), optional
        Of both axes; from the 0.1st to the 99.9th percentile of both if not given.
    bins : int
        Cells along an axis.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    GridError
        If the two are not of the same pixels.
    """
    from matplotlib.colors import LogNorm

    if reference.sizes != estimate.sizes:
        raise GridError(f"reference is {dict(reference.sizes)} and estimate {dict(estimate.sizes)}; bring them to the same pixels")
    first, second = _pairs(reference, estimate.transpose(*reference.dims))
    low, high = limits or _limits(first, second)
    ax = new_axes(ax, (5.8, 5))
    edges = np.linspace(low, high, bins + 1)
    counts = np.histogram2d(first, second, bins=(edges, edges))[0]
    image = ax.pcolormesh(edges, edges, np.where(counts > 0, counts, np.nan).T, norm=LogNorm(1, max(counts.max(), 2)), cmap="viridis")
    ax.plot([low, high], [low, high], color="0.3", linewidth=1, linestyle="--")
    ax.set(aspect="equal", xlim=(low, high), ylim=(low, high))
    colour_bar(ax, image, "pairs in a cell")
    ax.set_xlabel(_named(reference, "reference"))
    ax.set_ylabel(_named(estimate, "estimate"))
    ax.text(
        0.03,
        0.97,
        _said(first, second),
        transform=ax.transAxes,
        va="top",
        fontsize="small",
        bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none"},
    )
    entitle(ax, _dates(reference))
    return ax


def _pairs(reference: xr.DataArray, estimate: xr.DataArray) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Give the pairs that both have."""
    step = max(1, reference.size // POINTS)
    first, second = (a.values.ravel()[::step] for a in (reference, estimate))
    both = np.isfinite(first) & np.isfinite(second)
    if not both.any():
        raise GridError("the two maps have no pixel in common that both show")
    return first[both], second[both]


def _limits(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> tuple[float, float]:
    low, high = np.percentile(np.concatenate([first, second]), (0.1, 99.9))
    return float(low), float(max(high, low + 1e-6))


def _dates(layer: xr.DataArray) -> str:
    """Write the date of a layer, or how many there are from when to when; '' where it has none."""
    if "time" not in layer.coords or np.isnat(layer["time"].values).any():
        return ""
    days = [str(t)[:10] for t in np.atleast_1d(layer["time"].values)]
    return days[0] if len(days) == 1 else f"{len(days)} dates, {min(days)} to {max(days)}"


def _named(layer: xr.DataArray, role: str) -> str:
    unit = unit_of(layer)
    return f"{role}: {layer.attrs.get('long_name', layer.name)}" + (f" [{unit}]" if unit else "")


def _said(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> str:
    found = agreement(first, second)
    bias = float((second.astype(np.float64) - first).mean())
    return f"r {found.correlation:.3f}\nR² {found.r2:.3f}\nRMSE {found.mse**0.5:.3f}\nbias {bias:+.3f}\nn {found.n:,}"


def calendar(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw a cube's dates on a calendar, a row a year, coloured by the share of clear pixels.

    Parameters
    ----------
    ds : xarray.Dataset
        With ``SCL``; or with clouds masked, then by the share of pixels of the first band that are there.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    TimeError
        If there are no dates, or nothing tells clouds.
    """
    import matplotlib.dates as mdates

    shares, times = _clear(ds), pd.DatetimeIndex(ds["time"].values)
    years = list(range(times[0].year, times[-1].year + 1))
    ax = new_axes(ax, (10, 1.2 + 0.35 * len(years)))
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(times.day_of_year - 1, unit="D")
    rows = [years.index(y) for y in times.year]
    mark: Any = _tall(ax, times)
    dots = ax.scatter(days, rows, c=100 * shares, vmin=0, vmax=100, cmap="cividis", s=144, marker=mark, edgecolors="0.5", linewidths=0.3)
    ax.figure.colorbar(dots, ax=ax, label="clear [%]", pad=0.01)
    ax.set_yticks(range(len(years)), [str(y) for y in years])
    ax.set_ylim(len(years) - 0.5, -0.5)
    ax.set_xlim(pd.Timestamp("2019-12-28"), pd.Timestamp("2021-01-03"))  # type: ignore[arg-type]
    ax.xaxis.set_major_locator(mdates.MonthLocator())
    ax.xaxis.set_major_formatter(mdates.DateFormatter("%b"))
    entitle(ax, f"{len(times)} dates, {(shares >= 0.5).sum()} at least half clear")
    return ax


def _tall(ax: Axes, times: pd.DatetimeIndex) -> list[tuple[float, float]]:
    """Give the corners of a mark twelve points high, and as wide as the nearest two dates leave room for, up to four days."""
    gaps = np.diff(times.normalize().unique().sort_values()) / np.timedelta64(1, "D")
    day = ax.bbox.width / ax.figure.dpi * 72 / 371
    half = min(0.9 * day * float(np.clip(gaps.min(initial=4), 1, 4)) / 12, 1.0)
    return [(-half, -1), (half, -1), (half, 1), (-half, 1)]


def _clear(ds: xr.Dataset) -> npt.NDArray[np.float64]:
    """Give the share of clear pixels of each date."""
    if "time" not in ds.coords or "time" not in ds.dims:
        raise TimeError("the dataset has no dimension time with dates, so there is no calendar of them")
    clear = clear_of(ds)
    if clear is None:
        raise TimeError("nothing tells where the dates are clear; give a cube with SCL, or one whose clouds are masked")
    share: npt.NDArray[np.float64] = clear.mean([d for d in clear.dims if d != "time"]).values
    return share
