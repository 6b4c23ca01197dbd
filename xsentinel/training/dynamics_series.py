"""Series of pixels to learn dynamics from: chosen by class, made regular, and what was known at each date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.blocks.rollout import base_of, fill_series, start_series
from xsentinel.errors import TimeError, XSentinelError
from xsentinel.forecasting import days_since_1970, decoded, sort_dates
from xsentinel.models.card import Forecast

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """Regular series of one cube's pixels, reflectance."""

    dates: Float64
    """(time), days since 1970-01-01, a step apart."""
    filled: Float32
    """(time, band, series), with hindsight."""
    known: Float32
    """(time, 2, band, series): the last two dates, as they were known at each."""
    observed: Float32
    """(time, band, series): the mean of what was seen within half a step, NaN where nothing was."""
    high: float
    """The largest reflectance, filled; with a base, the others are differences from it."""

    def part(self, chosen: npt.NDArray[np.intp]) -> Series:
        """Give some of the series."""
        return Series(self.dates, self.filled[..., chosen], self.known[..., chosen], self.observed[..., chosen], self.high)


def class_pixels(cube: xr.Dataset, where: Any = None, neighbours: bool = True) -> npt.NDArray[np.bool_]:
    """Tell which pixels (y, x) are of the class, with their four direct neighbours as in the paper.

    Parameters
    ----------
    cube : xarray.Dataset
    where : None, str, DataArray (y, x) of bool, or GeoDataFrame of polygons
        None: all. A name is a variable of the cube.
    neighbours : bool
        Add the four neighbours of each.

    Raises
    ------
    XSentinelError
        If there are none, or ``where`` does not fit.
    """
    shape = cube.sizes["y"], cube.sizes["x"]
    if where is None:
        return np.ones(shape, np.bool_)
    mask = _rasterised(cube, where) if hasattr(where, "geometry") else _mapped(cube, where)
    if mask.shape != shape:
        raise XSentinelError(f"the mask has {mask.shape} pixels and the cube {shape}; give it on the pixels of the cube")
    if not mask.any():
        raise XSentinelError("the class has no pixel in the cube; look at the mask, or at the CRS of the polygons")
    if neighbours:
        grown = np.pad(mask, 1)
        mask = grown[1:-1, 1:-1] | grown[:-2, 1:-1] | grown[2:, 1:-1] | grown[1:-1, :-2] | grown[1:-1, 2:]
    return mask


def _mapped(cube: xr.Dataset, where: Any) -> npt.NDArray[np.bool_]:
    if isinstance(where, str) and where not in cube:
        raise XSentinelError(f"{where!r} is no variable of the cube; it has {', '.join(map(str, cube.data_vars))}")
    layer = cube[where] if isinstance(where, str) else where
    return np.asarray(layer.values, np.bool_)


def _rasterised(cube: xr.Dataset, polygons: Any) -> npt.NDArray[np.bool_]:
    """Burn polygons into the grid of a cube: pixels whose centre lies inside."""
    import rioxarray  # noqa: F401  (registers .rio)
    from rasterio.features import geometry_mask

    crs = cube.rio.crs
    shapes = polygons.to_crs(crs).geometry if crs is not None and polygons.crs is not None else polygons.geometry
    inside: npt.NDArray[np.bool_] = geometry_mask(shapes, (cube.sizes["y"], cube.sizes["x"]), cube.rio.transform(), invert=True)
    return inside


def make_series(
    cube: xr.Dataset, bands: Sequence[str], forecast: Forecast, pixels: npt.NDArray[np.bool_], limit: int, seed: int, causal: bool = True
) -> Series:
    """Bring the pixels of a class to regular series, at most ``limit`` of them, drawn by seed.

    Raises
    ------
    TimeError
        If the cube is too short.
    """
    cube = sort_dates(cube)
    flat = np.flatnonzero(pixels)
    if len(flat) > limit:
        flat = np.sort(np.random.default_rng(seed).choice(flat, limit, replace=False))
    layers = [decoded(cube[band]).transpose("time", "y", "x").values.reshape(cube.sizes["time"], -1)[:, flat] for band in bands]
    values, t = np.stack(layers, 1).astype(np.float32), days_since_1970(cube["time"].values.astype("datetime64[ns]"))
    n = int((t[-1] - t[0]) / forecast.step_days + 1e-6) + 1
    if n < 4:
        raise TimeError(f"the cube spans {t[-1] - t[0]:g} days, {n} steps of {forecast.step_days:g}; dynamics need four at the least")
    dates = t[0] + forecast.step_days * np.arange(n)
    high = float(np.nanmax(fill_series(values, t, dates, forecast), initial=-np.inf))
    values = values - base_of(values, t, t, forecast)
    filled = fill_series(values, t, dates, forecast)
    known = start_series(values, t, dates, 2, forecast) if causal else _pairs(filled)
    return Series(dates, filled, known, _observed(values, t, dates), high)


def _pairs(filled: Float32) -> Float32:
    before = np.concatenate([np.full_like(filled[:1], np.nan), filled[:-1]])
    return np.stack([before, filled], 1)


def _observed(values: Float32, t: Float64, dates: Float64) -> Float32:
    step = dates[1] - dates[0]
    nearest = np.clip(np.round((t - dates[0]) / step).astype(int), 0, dates.size - 1)
    total, n = np.zeros((dates.size, *values.shape[1:]), np.float32), np.zeros((dates.size, *values.shape[1:]), np.float32)
    seen = np.isfinite(values)
    np.add.at(total, nearest, np.where(seen, values, 0))
    np.add.at(n, nearest, seen)
    with np.errstate(invalid="ignore"):
        return np.where(n > 0, total / n, np.nan).astype(np.float32)


def split_series(series: Mapping[str, Series], held_out: float, seed: int) -> tuple[dict[str, Series], dict[str, Series]]:
    """Hold a share of each cube's series out."""
    train, held = {}, {}
    for name, one in series.items():
        order = np.random.default_rng(seed).permutation(one.filled.shape[2])
        n_held = round(held_out * order.size)
        train[name], held[name] = one.part(np.sort(order[n_held:])), one.part(np.sort(order[:n_held]))
    return train, held
