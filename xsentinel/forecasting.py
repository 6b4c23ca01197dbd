"""Series of a labelled cube carried on in time: what a method takes, and what it makes of a block."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from xsentinel.blocks.model import Model, load_model
from xsentinel.blocks.predict import Execution
from xsentinel.blocks.rollout import Rollout, forecast_of
from xsentinel.blocks.series import Output, contiguous_in_time, map_series, plan_cube
from xsentinel.cube import Encoding, band_variables, check_dims, encoding_of, select_bands
from xsentinel.errors import BandError, ReadError, TimeError, XSentinelError
from xsentinel.kernels.forecast import BASELINES, Float32, Float64, Forecaster
from xsentinel.kernels.scale import decode
from xsentinel.version import __version__

MISSING, DIVERGED = 1, 2
"""Bits of ``forecast_flags``."""

LIMIT = 2.0
"""Reflectance that nothing on the ground reaches: a forecast beyond it, of either sign, has diverged."""

STEP = "5D"
"""Between dates of a forecast without a model."""

Source = str | PathLike[str] | Model


@dataclass(frozen=True)
class Method:
    """What carries series on, and at which dates."""

    name: str
    carry: Forecaster | Rollout
    step: pd.Timedelta
    bands: tuple[str, ...] | None
    """What it takes; None: any."""
    said: dict[str, Any]
    """Provenance."""


def find_method(model: Source, freq: str | None = None, device: str = "cpu") -> Method:
    """Find a method by name, or a model that forecasts.

    Raises
    ------
    XSentinelError
        If there is none, or the step does not fit.
    """
    if isinstance(model, str) and model in BASELINES:
        return Method(model, BASELINES[model], _step(freq or STEP), None, {"model": model, "xsentinel_version": __version__})
    if isinstance(model, str) and "/" not in model and "." not in model and not _is_known(model):
        raise XSentinelError(f"model {model!r} is not known; give {', '.join(map(repr, BASELINES))}, or the path of a model that forecasts")
    found = load_model(model)
    step = pd.Timedelta(forecast_of(found.card).step_days, unit="D").round("s")
    if freq is not None and _step(freq) != step:
        raise TimeError(f"freq is {freq!r}, and model {found.card.name} goes on by steps of {step}; leave freq out")
    said = {"model": found.card.name, "weights_digest": f"sha256:{found.card.digest}", "xsentinel_version": __version__}
    return Method(found.card.name, Rollout(found, Execution(device)), step, found.card.bands, said)


def _is_known(name: str) -> bool:
    """Tell whether a name without slash or dot is a model that can be loaded."""
    try:
        load_model(name)
    except ReadError:
        return False
    return True


def _step(freq: str) -> pd.Timedelta:
    """Read a step of fixed length."""
    try:
        step = pd.Timedelta(freq)
    except ValueError as err:
        raise TimeError(f"freq is {freq!r}, which is no fixed step ({err}); such as '5D' or '30min'") from err
    if not step > pd.Timedelta(0):
        raise TimeError(f"freq is {freq!r}; a forecast goes forward, such as '5D'")
    return step


def check_doubt(method: Method) -> None:
    """Refuse a spread that nothing is known of.

    Raises
    ------
    XSentinelError
        If a model is no ensemble and has no measured errors.
    """
    if isinstance(method.carry, Rollout):
        card = method.carry.model.card
        if not forecast_of(card).horizons and card.settings.get("members", 1) < 2:
            raise XSentinelError(
                f"model {card.name} is no ensemble and its errors were not measured, so its forecast has no spread; "
                f"leave spread and confidence out"
            )


def sort_dates(ds: xr.Dataset) -> xr.Dataset:
    """Bring dates into order.

    Raises
    ------
    TimeError
        If there are fewer than two.
    """
    if "time" not in ds.dims or "time" not in ds.indexes or ds.sizes["time"] < 2:
        raise TimeError("a forecast needs the past: a dimension time of two dates or more; open several dates together")
    return ds if ds.indexes["time"].is_monotonic_increasing else ds.sortby("time")


def chosen_bands(ds: xr.Dataset, method: Method) -> list[xr.DataArray]:
    """Choose what is carried on: the model's bands, or all.

    Raises
    ------
    BandError, GridError, TimeError, XSentinelError
        If one is missing, they are not on one grid, or they are normalised.
    """
    if method.bands is None:
        names: list[Hashable] = list(band_variables(ds).values()) or [v for v, a in ds.data_vars.items() if "time" in a.dims]
        if not names:
            raise BandError(f"a forecast needs at least one band; the dataset has {', '.join(map(str, ds.data_vars)) or 'nothing'}")
        bands = [ds[n] for n in names]
    elif set(method.bands) <= set(ds.data_vars):
        bands = [ds[n] for n in method.bands]
    else:
        bands = select_bands(ds, method.bands, f"model {method.name}")
    check_dims(bands)
    normalised = [str(b.name) for b in bands if "normalisation" in b.attrs]
    if normalised:
        raise XSentinelError(f"{', '.join(normalised)} are normalised already; forecasts take reflectance and normalise by themselves")
    return bands


def decoded(band: xr.DataArray) -> xr.DataArray:
    """Bring a band to float32 reflectance."""
    if band.dtype.kind == "f":
        return band.astype(np.float32)
    code = encoding_of(band)
    return band.where(band != code.nodata).astype(np.float32) * np.float32(code.scale) + np.float32(code.offset)


def days_since_1970(times: npt.NDArray[np.datetime64]) -> Float64:
    """Give dates as days."""
    return np.asarray((times - np.datetime64("1970-01-01", "ns")) / np.timedelta64(1, "D"), np.float64)


def carry_on(
    bands: list[xr.DataArray],
    method: Method,
    steps: int,
    extras: tuple[str, ...] = (),
    width: float = 0.0,
    memory_limit: int | str | None = None,
) -> tuple[dict[str, xr.DataArray], npt.NDArray[np.datetime64]]:
    """Carry bands on; give ``<band>``, ``<band>_<extra>`` and ``forecast_flags``, without coordinates, and their dates.

    Parameters
    ----------
    bands : list of DataArray (time, ...)
        As `chosen_bands` gives them.
    method : Method
    steps : int
    extras : tuple of {"std", "lower", "upper"}
    width : float
        Standard deviations from the forecast to ``lower`` and ``upper``.
    memory_limit : int, optional
        As of `forecast`.
    """
    past = bands[0]["time"].values.astype("datetime64[ns]")
    times = past[-1] + method.step.to_timedelta64() * np.arange(1, steps + 1)
    names = [layer_name(str(b.name), extra) for extra in ("", *extras) for b in bands]
    outputs = [*(Output(name, np.float32) for name in names), Output("forecast_flags", np.uint8)]
    options = {
        "carry": method.carry,
        "t_in": days_since_1970(past),
        "t_out": days_since_1970(times),
        "encodings": tuple(encoding_of(b) for b in bands),
        "extras": extras,
        "width": width,
    }
    plan = plan_cube(bands, steps * (2 + len(extras)) + past.size, memory_limit)
    return map_series(_carry_block, contiguous_in_time(bands, plan), outputs, times, options), times


def layer_name(band: str, extra: str) -> str:
    """Name a layer beside a band."""
    return f"{band}_{extra}" if extra else band


def _carry_block(
    *stored: npt.NDArray[Any],
    carry: Forecaster | Rollout,
    t_in: Float64,
    t_out: Float64,
    encodings: tuple[Encoding, ...],
    extras: tuple[str, ...],
    width: float,
    n_threads: int,
) -> tuple[npt.NDArray[Any], ...]:
    """Carry a block of bands (time, ...) on: those of the mean, of each extra, and the flags."""
    shape = (t_out.size, *stored[0].shape[1:])
    values = np.stack([reflectance(b, e).reshape(t_in.size, -1) for b, e in zip(stored, encodings, strict=True)], 1)
    if isinstance(carry, Rollout):
        carry = Rollout(carry.model, carry.execution, bool(extras), n_threads)
    mean, std = carry(values, t_in, t_out)
    flags = bound(mean)
    gone = flags[:, None] & DIVERGED > 0
    np.copyto(mean, np.nan, where=gone)
    np.copyto(std, np.nan, where=~np.isfinite(mean))
    planes = [mean] + [std if e == "std" else mean + np.float32(width if e == "upper" else -width) * std for e in extras]
    return (*(p[:, k].reshape(shape) for p in planes for k in range(len(stored))), flags.reshape(shape))


def bound(mean: Float32) -> npt.NDArray[np.uint8]:
    """Flag (time, series) of forecasts (time, band, series): those that never started, and those that left all bounds."""
    missing = np.isnan(mean[0]).any(0)
    with np.errstate(invalid="ignore"):
        beyond = (np.abs(mean) > LIMIT).any(1) | (np.isnan(mean).any(1) & ~missing)
    gone = np.logical_or.accumulate(beyond, axis=0)
    flags: npt.NDArray[np.uint8] = (MISSING * missing[None] + DIVERGED * gone).astype(np.uint8)
    return flags


def reflectance(stored: npt.NDArray[Any], code: Encoding) -> Float32:
    """Decode a block where it is stored as integers."""
    if stored.dtype.kind == "f":
        return stored.astype(np.float32, copy=False)
    return decode(stored, code.scale, code.offset, code.nodata)
