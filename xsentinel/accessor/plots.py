"""``.s2.plot`` on Datasets and DataArrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import xarray as xr

from xsentinel import plot as plot_
from xsentinel.accessor.borrow import borrow

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class DatasetPlot:
    """Pictures of a cube."""

    def __init__(self, ds: xr.Dataset) -> None:
        self._ds = ds

    @borrow(plot_.rgb)
    def rgb(
        self,
        *,
        bands: Sequence[str] = ("B04", "B03", "B02"),
        time: Any = None,
        stretch: tuple[float, float] = (2.0, 98.0),
        ax: Axes | None = None,
    ) -> Axes:
        return plot_.rgb(self._ds, bands=bands, time=time, stretch=stretch, ax=ax)

    @borrow(plot_.map_variable)
    def map(self, variable: str | None = None, *, time: Any = None, ax: Axes | None = None, **style: Any) -> Axes:
        return plot_.map_variable(self._ds, variable, time=time, ax=ax, **style)

    @borrow(plot_.spectra)
    def spectra(
        self,
        *,
        pixel: tuple[int, int] | None = None,
        future: xr.Dataset | None = None,
        bands: Sequence[str] | None = None,
        ax: Axes | None = None,
    ) -> Axes:
        return plot_.spectra(self._ds, pixel=pixel, future=future, bands=bands, ax=ax)

    @borrow(plot_.series)
    def series(
        self, variable: str | None = None, *, pixel: tuple[int, int] | None = None, parcel: Any = None, ax: Axes | None = None
    ) -> Axes:
        return plot_.series(self._ds, variable, pixel=pixel, parcel=parcel, ax=ax)

    @borrow(plot_.calendar)
    def calendar(self, *, ax: Axes | None = None) -> Axes:
        return plot_.calendar(self._ds, ax=ax)

    @borrow(plot_.phase)
    def phase(
        self,
        band: str,
        *,
        pixel: tuple[int, int] | None = None,
        others: Mapping[str, xr.Dataset] | None = None,
        ax: Axes | None = None,
    ) -> Axes:
        return plot_.phase(self._ds, band, pixel=pixel, others=others, ax=ax)


class DataArrayPlot:
    """Pictures of a map."""

    def __init__(self, da: xr.DataArray) -> None:
        self._da = da

    @borrow(plot_.map_array)
    def map(self, *, time: Any = None, ax: Axes | None = None, **style: Any) -> Axes:
        return plot_.map_array(self._da, time=time, ax=ax, **style)

    @borrow(plot_.scatter)
    def scatter(
        self, estimate: xr.DataArray, *, limits: tuple[float, float] | None = None, bins: int = 150, ax: Axes | None = None
    ) -> Axes:
        return plot_.scatter(self._da, estimate, limits=limits, bins=bins, ax=ax)

    @borrow(plot_.map_corners)
    def corners(self, reference: xr.DataArray | None = None, *, radius: float | None = None, ax: Axes | None = None) -> Axes:
        return plot_.map_corners(self._da, reference, radius=radius, ax=ax)
