"""``.s2`` on DataArrays: one line each, no state, no logic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import xarray as xr

from xsentinel import explore as explore_
from xsentinel.accessor.borrow import Verbs, borrow
from xsentinel.accessor.plots import DataArrayPlot
from xsentinel.io import cog as cog_
from xsentinel.io.pack import Pack
from xsentinel.products import parcels as parcels_
from xsentinel.products import phenology as phenology_
from xsentinel.products import smooth as smooth_
from xsentinel.products.phenology import Method as PhenologyMethod
from xsentinel.products.smooth import Method as SmoothMethod
from xsentinel.products.smooth import Variance
from xsentinel.samples.files import Polygons

if TYPE_CHECKING:
    from xsentinel.explore.explorer import Explorer


@xr.register_dataarray_accessor("s2")
class S2DataArray(Verbs, kind="DataArray"):
    """Sentinel-2 verbs on a DataArray: ``da.s2.<verb>()``."""

    def __init__(self, da: xr.DataArray) -> None:
        self._da = da

    @property
    def plot(self) -> DataArrayPlot:
        """Pictures: ``lai.s2.plot.map()``."""
        return DataArrayPlot(self._da)

    @borrow(explore_.explore_array)
    def explore(self, *, time: Any = None, width: int = 720) -> Explorer:
        return explore_.explore_array(self._da, time=time, width=width)

    @borrow(smooth_.smooth_map)
    def smooth(
        self,
        method: SmoothMethod = "majority",
        *,
        size: int | None = None,
        variance: Variance = 20.0,
        share: float = 0.5,
    ) -> xr.DataArray:
        return smooth_.smooth_map(self._da, method, size=size, variance=variance, share=share)

    @borrow(parcels_.parcels)
    def parcels(
        self,
        polygons: Polygons,
        *,
        stats: Sequence[str] = parcels_.DEFAULT,
        coverage: bool = True,
        name: str | None = None,
    ) -> xr.Dataset:
        return parcels_.parcels(self._da, polygons, stats=stats, coverage=coverage, name=name)

    @borrow(phenology_.phenology)
    def phenology(
        self,
        *,
        method: PhenologyMethod = "threshold",
        threshold: float = 0.2,
        first_month: int = 1,
        least: float = 0.0,
        years: tuple[int, int] | None = None,
        weights: xr.DataArray | None = None,
        fitted: bool | Sequence[object] = False,
    ) -> xr.Dataset:
        return phenology_.phenology(
            self._da, method=method, threshold=threshold, first_month=first_month, least=least, years=years, weights=weights, fitted=fitted
        )  # fmt: skip

    @borrow(cog_.to_cog)
    def to_cog(
        self,
        path: str | PathLike[str],
        *,
        pack: Pack | None = None,
        scale: float | Mapping[str, float] | None = None,
        overwrite: bool = False,
        progress: bool = False,
    ) -> list[str]:
        return cog_.to_cog(self._da, path, pack=pack, scale=scale, overwrite=overwrite, progress=progress)
