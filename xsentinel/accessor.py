"""``.s2`` on Datasets and DataArrays: one line each, no state, no logic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeVar

import xarray as xr

from xsentinel import info as info_
from xsentinel import plot as plot_
from xsentinel.bands import CLOUDY_CLASSES
from xsentinel.io import write as write_
from xsentinel.products import biophysical as biophysical_
from xsentinel.products import clouds as clouds_
from xsentinel.products.biophysical import DomainRule

if TYPE_CHECKING:
    from matplotlib.axes import Axes

F = TypeVar("F", bound=Callable[..., Any])


def borrow(function: Callable[..., Any]) -> Callable[[F], F]:
    """Give a method the docstring of the function that it calls."""

    def place(method: F) -> F:
        method.__doc__ = function.__doc__
        method.__wrapped_function__ = function  # type: ignore[attr-defined]
        return method

    return place


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


class DataArrayPlot:
    """Pictures of a map."""

    def __init__(self, da: xr.DataArray) -> None:
        self._da = da

    @borrow(plot_.map_array)
    def map(self, *, time: Any = None, ax: Axes | None = None, **style: Any) -> Axes:
        return plot_.map_array(self._da, time=time, ax=ax, **style)


@xr.register_dataset_accessor("s2")
class S2Dataset:
    """Sentinel-2 verbs on a Dataset: ``ds.s2.<verb>()``."""

    def __init__(self, ds: xr.Dataset) -> None:
        self._ds = ds

    @property
    def plot(self) -> DatasetPlot:
        """Pictures: ``ds.s2.plot.rgb()``, ``ds.s2.plot.map("lai")``."""
        return DatasetPlot(self._ds)

    @borrow(info_.info)
    def info(self) -> info_.CubeInfo:
        return info_.info(self._ds)

    @borrow(clouds_.mask_clouds)
    def mask_clouds(self, *, classes: Sequence[str | int] = CLOUDY_CLASSES) -> xr.Dataset:
        return clouds_.mask_clouds(self._ds, classes=classes)

    @borrow(biophysical_.lai)
    def lai(
        self,
        *,
        model: str = "sl2p",
        resolution: int | None = None,
        domain: DomainRule = "flag",
        angles: Mapping[str, object] | None = None,
        platform: str | Sequence[str] | None = None,
    ) -> xr.Dataset:
        return biophysical_.lai(self._ds, model=model, resolution=resolution, domain=domain, angles=angles, platform=platform)

    @borrow(biophysical_.biophysical)
    def biophysical(
        self,
        *variables: str,
        resolution: int | None = None,
        domain: DomainRule = "flag",
        angles: Mapping[str, object] | None = None,
        platform: str | Sequence[str] | None = None,
    ) -> xr.Dataset:
        return biophysical_.biophysical(self._ds, *variables, resolution=resolution, domain=domain, angles=angles, platform=platform)

    @borrow(write_.to_zarr)
    def to_zarr(
        self,
        path: str | PathLike[str],
        *,
        zarr_format: int = 3,
        overwrite: bool = False,
        progress: bool = False,
    ) -> None:
        return write_.to_zarr(self._ds, path, zarr_format=zarr_format, overwrite=overwrite, progress=progress)

    @borrow(write_.to_cog)
    def to_cog(self, path: str | PathLike[str], *, overwrite: bool = False, progress: bool = False) -> list[str]:
        return write_.to_cog(self._ds, path, overwrite=overwrite, progress=progress)


@xr.register_dataarray_accessor("s2")
class S2DataArray:
    """Sentinel-2 verbs on a DataArray: ``da.s2.<verb>()``."""

    def __init__(self, da: xr.DataArray) -> None:
        self._da = da

    @property
    def plot(self) -> DataArrayPlot:
        """Pictures: ``lai.s2.plot.map()``."""
        return DataArrayPlot(self._da)

    @borrow(write_.to_cog)
    def to_cog(self, path: str | PathLike[str], *, overwrite: bool = False, progress: bool = False) -> list[str]:
        return write_.to_cog(self._da, path, overwrite=overwrite, progress=progress)
