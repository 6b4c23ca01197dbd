"""``.s2`` on Datasets: one line each, no state, no logic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, Unpack

import xarray as xr

from xsentinel import composite as composite_
from xsentinel import explore as explore_
from xsentinel import gapfill as gapfill_
from xsentinel import indices as indices_
from xsentinel import info as info_
from xsentinel.accessor.borrow import Verbs, borrow
from xsentinel.accessor.plots import DatasetPlot
from xsentinel.bands import CLOUDY_CLASSES
from xsentinel.blocks.model import Model
from xsentinel.blocks.predict import Precision
from xsentinel.forecasting import Source
from xsentinel.io import cog as cog_
from xsentinel.io import table as table_
from xsentinel.io import write as write_
from xsentinel.io.pack import Pack
from xsentinel.io.zarr_layout import Layout
from xsentinel.products import anomaly as anomaly_
from xsentinel.products import biophysical as biophysical_
from xsentinel.products import bridge as bridge_
from xsentinel.products import clouds as clouds_
from xsentinel.products import crops as crops_
from xsentinel.products import forecast as forecast_
from xsentinel.products import lai as lai_
from xsentinel.products import landcover as landcover_
from xsentinel.products import normalise as normalise_
from xsentinel.products import parcels as parcels_
from xsentinel.products import smooth as smooth_
from xsentinel.products.clouds import Classes, Dilation, Mask, Shape
from xsentinel.products.lai import Inference
from xsentinel.products.normalise import Method as StatisticsMethod
from xsentinel.products.smooth import Method as SmoothMethod
from xsentinel.products.smooth import Variance
from xsentinel.samples import extraction as extraction_
from xsentinel.samples.files import Polygons
from xsentinel.sl2p import DomainRule
from xsentinel.statistics import Statistics

if TYPE_CHECKING:
    import geopandas as gpd

    from xsentinel.explore.explorer import Explorer


@xr.register_dataset_accessor("s2")
class S2Dataset(Verbs, kind="Dataset"):
    """Sentinel-2 verbs on a Dataset: ``ds.s2.<verb>()``."""

    def __init__(self, ds: xr.Dataset) -> None:
        self._ds = ds

    @property
    def plot(self) -> DatasetPlot:
        """Pictures: ``ds.s2.plot.rgb()``, ``ds.s2.plot.map("lai")``."""
        return DatasetPlot(self._ds)

    @borrow(explore_.explore)
    def explore(
        self, *, show: str | None = None, time: Any = None, stretch: tuple[float, float] = (2.0, 98.0), width: int = 720
    ) -> Explorer:
        return explore_.explore(self._ds, show=show, time=time, stretch=stretch, width=width)

    @borrow(info_.info)
    def info(self) -> info_.CubeInfo:
        return info_.info(self._ds)

    @borrow(clouds_.mask_clouds)
    def mask_clouds(
        self,
        *,
        classes: Classes = CLOUDY_CLASSES,
        dilate: Dilation = 0,
        erode: float = 0,
        shape: Shape = "disk",
        mask: Mask = None,
        probability: float | None = None,
    ) -> xr.Dataset:
        return clouds_.mask_clouds(self._ds, classes=classes, dilate=dilate, erode=erode, shape=shape, mask=mask, probability=probability)

    @borrow(clouds_.clear_share)
    def clear_share(
        self,
        *,
        classes: Classes = CLOUDY_CLASSES,
        dilate: Dilation = 0,
        erode: float = 0,
        shape: Shape = "disk",
        mask: Mask = None,
        probability: float | None = None,
    ) -> xr.DataArray:
        return clouds_.clear_share(self._ds, classes=classes, dilate=dilate, erode=erode, shape=shape, mask=mask, probability=probability)

    @borrow(clouds_.drop_cloudy)
    def drop_cloudy(
        self,
        *,
        max: float = 0.5,  # noqa: A002  (drop_cloudy(max=0.5) reads as it is meant)
        classes: Classes = CLOUDY_CLASSES,
        dilate: Dilation = 0,
        erode: float = 0,
        shape: Shape = "disk",
        mask: Mask = None,
        probability: float | None = None,
    ) -> xr.Dataset:
        return clouds_.drop_cloudy(
            self._ds, max=max, classes=classes, dilate=dilate, erode=erode, shape=shape, mask=mask, probability=probability
        )

    @borrow(indices_.index)
    def index(self, *names: str, **constants: float) -> xr.Dataset:
        return indices_.index(self._ds, *names, **constants)

    @borrow(normalise_.statistics)
    def statistics(self, *, lower: float = 2, upper: float = 98, method: StatisticsMethod = "percentile") -> Statistics:
        return normalise_.statistics(self._ds, lower=lower, upper=upper, method=method)

    @borrow(normalise_.normalise)
    def normalise(
        self,
        stats: Statistics | None = None,
        *,
        lower: float = 2,
        upper: float = 98,
        method: StatisticsMethod = "percentile",
        clip: bool | None = None,
    ) -> xr.Dataset:
        return normalise_.normalise(self._ds, stats, lower=lower, upper=upper, method=method, clip=clip)

    @borrow(composite_.composite)
    def composite(
        self,
        freq: str | Sequence[object] = "MS",
        *,
        method: Literal["median", "mean", "geomedian", "medoid", "max", "best"] = "median",
        score: str | xr.DataArray | None = None,
        memory_limit: int | str | None = None,
        explain: bool = False,
    ) -> xr.Dataset:
        return composite_.composite(self._ds, freq, method=method, score=score, memory_limit=memory_limit, explain=explain)

    @borrow(gapfill_.fill_gaps)
    def fill_gaps(
        self,
        method: Literal["linear", "nearest", "cressman", "whittaker", "savgol"] = "linear",
        *,
        freq: str | None = None,
        dates: Sequence[object] | None = None,
        max_gap: float | None = None,
        extrapolate: Literal[False, "nearest"] = False,
        layers: bool = True,
        memory_limit: int | str | None = None,
        explain: bool = False,
        **options: Any,
    ) -> xr.Dataset:
        return gapfill_.fill_gaps(
            self._ds, method, freq=freq, dates=dates, max_gap=max_gap, extrapolate=extrapolate, layers=layers,
            memory_limit=memory_limit, explain=explain, **options,
        )  # fmt: skip

    @borrow(forecast_.forecast)
    def forecast(
        self,
        model: Source = "climatology",
        *,
        steps: int = 73,
        freq: str | None = None,
        by: str | xr.DataArray | None = None,
        spread: bool = False,
        confidence: float | None = None,
        device: str = "cpu",
        memory_limit: int | str | None = None,
    ) -> xr.Dataset:
        return forecast_.forecast(
            self._ds, model, steps=steps, freq=freq, by=by, spread=spread, confidence=confidence, device=device, memory_limit=memory_limit
        )  # fmt: skip

    @borrow(anomaly_.anomaly)
    def anomaly(
        self,
        model: Source = "climatology",
        *,
        since: object,
        freq: str | None = None,
        device: str = "cpu",
        memory_limit: int | str | None = None,
    ) -> xr.Dataset:
        return anomaly_.anomaly(self._ds, model, since=since, freq=freq, device=device, memory_limit=memory_limit)

    @borrow(bridge_.bridge_gaps)
    def bridge_gaps(
        self,
        model: Source = "harmonic",
        *,
        freq: str | None = None,
        max_gap: float = 30.0,
        device: str = "cpu",
        memory_limit: int | str | None = None,
    ) -> xr.Dataset:
        return bridge_.bridge_gaps(self._ds, model, freq=freq, max_gap=max_gap, device=device, memory_limit=memory_limit)

    @borrow(lai_.lai)
    def lai(
        self,
        model: str | PathLike[str] | Model = "sl2p",
        *,
        s1: xr.Dataset | None = None,
        samples: int = 0,
        confidence: float = 0.95,
        resolution: int | None = None,
        domain: DomainRule = "flag",
        angles: Mapping[str, object] | None = None,
        platform: str | Sequence[str] | None = None,
        **inference: Unpack[Inference],
    ) -> xr.Dataset:
        return lai_.lai(
            self._ds, model, s1=s1, samples=samples, confidence=confidence, resolution=resolution, domain=domain, angles=angles,
            platform=platform, **inference,
        )  # fmt: skip

    @borrow(crops_.crops)
    def crops(
        self,
        model: str | PathLike[str] | Model,
        *,
        start: str | None = None,
        probabilities: bool = False,
        samples: int = 0,
        seed: int = 0,
        precision: Precision = "fp32",
        device: str = "cpu",
    ) -> xr.Dataset:
        return crops_.crops(
            self._ds, model, start=start, probabilities=probabilities, samples=samples, seed=seed, precision=precision, device=device
        )  # fmt: skip

    @borrow(landcover_.landcover)
    def landcover(
        self,
        model: str | PathLike[str] | Model,
        *,
        start: str | None = None,
        probabilities: bool = False,
        samples: int = 0,
        seed: int = 0,
        precision: Precision = "fp32",
        device: str = "cpu",
    ) -> xr.Dataset:
        return landcover_.landcover(
            self._ds, model, start=start, probabilities=probabilities, samples=samples, seed=seed, precision=precision, device=device
        )  # fmt: skip

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

    @borrow(smooth_.smooth)
    def smooth(
        self,
        method: SmoothMethod = "majority",
        *,
        size: int | None = None,
        variance: Variance = 20.0,
        share: float = 0.5,
    ) -> xr.Dataset:
        return smooth_.smooth(self._ds, method, size=size, variance=variance, share=share)

    @borrow(extraction_.extract)
    def extract(
        self,
        table: xr.Dataset,
        *,
        bands: Sequence[str] | None = None,
        path: str | PathLike[str] | None = None,
        n_blocks: int = 8,
        progress: bool = False,
    ) -> xr.Dataset:
        return extraction_.extract(self._ds, table, bands=bands, path=path, n_blocks=n_blocks, progress=progress)

    @borrow(write_.to_zarr)
    def to_zarr(
        self,
        path: str | PathLike[str],
        *,
        zarr_format: int = 3,
        layout: Layout | None = None,
        pack: Pack | None = None,
        scale: float | Mapping[str, float] | None = None,
        overwrite: bool = False,
        progress: bool = False,
    ) -> None:
        return write_.to_zarr(
            self._ds, path, zarr_format=zarr_format, layout=layout, pack=pack, scale=scale, overwrite=overwrite, progress=progress
        )  # fmt: skip

    @borrow(write_.to_netcdf)
    def to_netcdf(
        self,
        path: str | PathLike[str],
        *,
        pack: Pack | None = None,
        scale: float | Mapping[str, float] | None = None,
        overwrite: bool = False,
        progress: bool = False,
    ) -> list[str]:
        return write_.to_netcdf(self._ds, path, pack=pack, scale=scale, overwrite=overwrite, progress=progress)

    @borrow(parcels_.parcels)
    def parcels(
        self,
        polygons: Polygons,
        *,
        stats: Sequence[str] = parcels_.DEFAULT,
        coverage: bool = True,
        name: str | None = None,
    ) -> xr.Dataset:
        return parcels_.parcels(self._ds, polygons, stats=stats, coverage=coverage, name=name)

    @borrow(table_.to_table)
    def to_table(self) -> gpd.GeoDataFrame:
        return table_.to_table(self._ds)

    @borrow(table_.write_table)
    def to_file(self, path: str | PathLike[str], *, overwrite: bool = False) -> list[str]:
        return table_.write_table(self._ds, path, overwrite=overwrite)

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
        return cog_.to_cog(self._ds, path, pack=pack, scale=scale, overwrite=overwrite, progress=progress)
