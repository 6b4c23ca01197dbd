"""Backscatter of Sentinel-1 to decibels, and back to power where pixels are averaged."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.bands import BANDS, band_name
from xsentinel.errors import UnitsError

Values = npt.NDArray[np.float32]
Resampling = Callable[[Values], Values]

PROBE = 64
"""Values along each dimension that are read to see whether backscatter is power or decibels."""

MAX_POWER = 50.0
"""Median above which values are neither: calibrated power of land is below 1."""


def to_decibels(ds: xr.Dataset, label: str) -> xr.Dataset:
    """Turn VV and VH of power to dB; what is in dB already, or stored as integers with a scale, stays.

    Raises
    ------
    UnitsError
        If values are neither power nor dB, such as uncalibrated counts.
    """
    radar = [v for v in ds.data_vars if (name := band_name(v)) is not None and BANDS[name].is_radar and ds[v].dtype.kind == "f"]
    power = [v for v in radar if ds[v].attrs.get("backscatter") == "power" or (_unit(ds[v]) != "db" and _is_power(ds[v], label))]
    return ds.assign({v: _decibels(ds[v]) for v in power})


def _unit(values: xr.DataArray) -> str:
    return str(values.attrs.get("units", "")).lower()


def _is_power(values: xr.DataArray, label: str) -> bool:
    """Tell by a sample: power is never negative, and decibels of most ground are."""
    sample = values.isel({d: slice(None, None, max(1, n // PROBE)) for d, n in values.sizes.items()}).values
    there = sample[np.isfinite(sample) & (sample != 0) & (sample != values.attrs.get("_FillValue", np.nan))]
    if not there.size or (there < 0).any():
        return False
    if np.median(there) > MAX_POWER:
        raise UnitsError(
            f"{values.name} of {label} has a median of {np.median(there):.0f}, which is neither power nor decibels: "
            f"raw counts of a GRD must be calibrated and terrain-corrected first; take RTC (sentinel-1-rtc)"
        )
    return True


def _decibels(values: xr.DataArray) -> xr.DataArray:
    """Give decibels of power, NaN where it is not positive."""
    out: xr.DataArray = xr.apply_ufunc(decibels_of, values, dask="parallelized", output_dtypes=[np.float32])
    out.attrs = {k: v for k, v in values.attrs.items() if k != "backscatter"} | {"units": "dB"}
    return out


def decibels_of(power: Values) -> Values:
    """Give 10 · log₁₀ of power, float32, NaN where it is not positive."""
    positive = np.where(power > 0, power, np.float32(np.nan)).astype(np.float32)
    return np.log10(positive) * np.float32(10)


def power_of(decibels: Values) -> Values:
    """Give 10^(dB / 10), float32."""
    out: Values = np.exp2(decibels.astype(np.float32) * np.float32(np.log2(10) / 10))
    return out


def in_power(function: Resampling, decibels: Values) -> Values:
    """Resample backscatter as power: the mean of decibels is not that of what they stand for."""
    return decibels_of(function(power_of(decibels)))
