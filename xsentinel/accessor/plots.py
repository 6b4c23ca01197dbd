"""``.s2.plot`` on Datasets and DataArrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy.typing as npt
import xarray as xr

from xsentinel import plot as plot_
from xsentinel.accessor.borrow import borrow

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes


class DatasetPlot:
    """Pictures of a cube."""

    def __init__(self, ds: xr.Dataset) -> None:
        self._ds = ds

    @borrow(plot_.rgb)
    def rgb(
        self,
        *,
        bands: str | Sequence[str] = "true colour",
        time: Any = None,
        stretch: tuple[float, float] = (2.0, 98.0),
        clouds: bool = False,
        ax: Axes | None = None,
    ) -> Axes:
        return plot_.rgb(self._ds, bands=bands, time=time, stretch=stretch, clouds=clouds, ax=ax)

    @borrow(plot_.map_variable)
    def map(self, variable: str | None = None, *, time: Any = None, ax: Axes | None = None, **style: Any) -> Axes:
        return plot_.map_variable(self._ds, variable, time=time, ax=ax, **style)

    @borrow(plot_.uncertainty)
    def uncertainty(
        self, variable: str | None = None, *, time: Any = None, axes: Sequence[Axes] | npt.NDArray[Any] | None = None
    ) -> npt.NDArray[Any]:
        return plot_.uncertainty(self._ds, variable, time=time, axes=axes)

    @borrow(plot_.classes)
    def classes(
        self, variable: str | None = None, *, time: Any = None, axes: Sequence[Axes] | npt.NDArray[Any] | None = None
    ) -> npt.NDArray[Any]:
        return plot_.classes(self._ds, variable, time=time, axes=axes)

    @borrow(plot_.before_after)
    def before_after(
        self,
        after: xr.Dataset,
        *,
        bands: str | Sequence[str] = "true colour",
        time: Any = None,
        stretch: tuple[float, float] = (2.0, 98.0),
        axes: Sequence[Axes] | npt.NDArray[Any] | None = None,
    ) -> npt.NDArray[Any]:
        return plot_.before_after(self._ds, after, bands=bands, time=time, stretch=stretch, axes=axes)

    @borrow(plot_.animate)
    def animate(
        self,
        path: str | PathLike[str] | None = None,
        *,
        variable: str | None = None,
        bands: str | Sequence[str] = "true colour",
        stretch: tuple[float, float] = (2.0, 98.0),
        clouds: bool = False,
        least: float = 0.0,
        fps: float = 4.0,
        progress: bool = False,
        ax: Axes | None = None,
        **style: Any,
    ) -> FuncAnimation | str:
        return plot_.animate(
            self._ds, path, variable=variable, bands=bands, stretch=stretch, clouds=clouds, least=least, fps=fps, progress=progress, ax=ax,
            **style,
        )  # fmt: skip

    @borrow(plot_.spectra)
    def spectra(
        self,
        *,
        bands: Sequence[str] | None = None,
        pixel: tuple[int, int] | None = None,
        future: xr.Dataset | None = None,
        ax: Axes | None = None,
    ) -> Axes:
        return plot_.spectra(self._ds, bands=bands, pixel=pixel, future=future, ax=ax)

    @borrow(plot_.series)
    def series(
        self,
        variable: str | None = None,
        *,
        pixel: tuple[int, int] | Sequence[tuple[int, int]] | None = None,
        parcel: Any = None,
        ax: Axes | None = None,
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

    @borrow(plot_.animate_map)
    def animate(
        self,
        path: str | PathLike[str] | None = None,
        *,
        least: float = 0.0,
        fps: float = 4.0,
        progress: bool = False,
        ax: Axes | None = None,
        **style: Any,
    ) -> FuncAnimation | str:
        return plot_.animate_map(self._da, path, least=least, fps=fps, progress=progress, ax=ax, **style)

    @borrow(plot_.scatter)
    def scatter(
        self, estimate: xr.DataArray, *, limits: tuple[float, float] | None = None, bins: int = 150, ax: Axes | None = None
    ) -> Axes:
        return plot_.scatter(self._da, estimate, limits=limits, bins=bins, ax=ax)

    @borrow(plot_.map_corners)
    def corners(self, reference: xr.DataArray | None = None, *, radius: float | None = None, ax: Axes | None = None) -> Axes:
        return plot_.map_corners(self._da, reference, radius=radius, ax=ax)
