"""Spectra carried on in time, by learnt dynamics or by what they are held against, with their doubt."""

from __future__ import annotations

from collections.abc import Hashable
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from xsentinel.cube import STORAGE_ATTRS, grid_mapping_name
from xsentinel.errors import XSentinelError, check_numbers
from xsentinel.forecasting import (
    DIVERGED,
    MISSING,
    Method,
    Source,
    carry_on,
    check_doubt,
    chosen_bands,
    decoded,
    find_method,
    layer_name,
    sort_dates,
)
from xsentinel.version import CONVENTIONS

FLAGS = {"flag_masks": np.array([MISSING, DIVERGED], np.uint8), "flag_meanings": "no_observation_near_the_end diverged"}


def forecast(
    ds: xr.Dataset,
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
    r"""Carry the spectra of each pixel, or of each class, on in time.

    A model brings the end of each series to the regular dates that it was trained at and goes on step by step:

    .. math:: X_{t+1} = X_t + \mathrm{RK4}(\delta)(X_t), \qquad X = [s, s']

    with :math:`\delta` a network learnt by `xsentinel.training.train_dynamics` (Estopinan et al.). Four methods
    learn nothing: "climatology" (the mean of the same days of all years), "persistence", "harmonic" (a line and two
    waves a year) and "koopman" (dynamic mode decomposition); ``xsentinel.kernels.forecast`` says their formulas.

    Parameters
    ----------
    ds : xarray.Dataset
        A cube with clouds masked: bands (time, y, x), float32 reflectance [1] with NaN gaps, or integers as
        stored. Any dates; all of them for the methods that learn nothing, the last months for a model.
    model : str, path or Model
        A method by its name, or a model as `xsentinel.load_model` finds it.
    steps : int
        Dates to forecast, from one step after the cube's last.
    freq : str, optional
        Step of the methods that learn nothing, "5D" if not given; a model has its own.
    by : str or DataArray (y, x), optional
        Classes, or the variable that holds them: the mean spectrum of each is carried on, and the result has the
        dimension ``class`` instead of y and x.
    spread : bool
        Add ``<band>_std``.
    confidence : float, optional
        Share, such as 0.95: add ``<band>_lower`` and ``<band>_upper``, between which so many observations
        should lie if errors are normal.
    device : str
        Of a model: "cpu", "cuda".
    memory_limit : int or str, optional
        What the blocks in work may come near: bytes, or a text such as "8GB"; half of the machine's memory if not given.

    Returns
    -------
    xarray.Dataset
        The bands (float32, reflectance) at future dates, ``forecast_flags`` (uint8; 1: no observation near the end
        of the series, 2: the forecast left all bounds and is NaN from then on), and the extras asked for; lazy if
        the input is. ``forecast_reference_time`` is the last date of the cube. The standard deviation joins the
        spread of an ensemble's members and the errors on held-out series at that step; of methods, see there.

    Raises
    ------
    XSentinelError
        If the model forecasts nothing, steps are below 1, or the confidence is no share.
    BandError, GridError, TimeError, UnitsError
        If the cube does not fit.

    References
    ----------
    Estopinan, Tochon & Drumetz, Learning Sentinel-2 spectral dynamics for long-run predictions using residual
    neural networks.

    Examples
    --------
    >>> import xsentinel as xs
    >>> cube = xs.sample("romania").s2.mask_clouds()
    >>> future = cube.s2.forecast("harmonic", steps=73, confidence=0.95)
    >>> future.sizes["time"], str(future.time.values[0])[:10]
    (73, '2019-11-28')
    """
    method = find_method(model, freq, device)
    check_numbers(steps=steps, confidence=confidence)
    if steps < 1:
        raise XSentinelError(f"steps is {steps}; give 1 or more dates to forecast")
    if confidence is not None and not 0 < confidence < 1:
        raise XSentinelError(f"confidence is {confidence:g}; it is a share between 0 and 1, such as 0.95")
    extras = (*(("std",) if spread else ()), *(("lower", "upper") if confidence else ()))
    if extras:
        check_doubt(method)
    bands = chosen_bands(sort_dates(ds), method)
    bands = bands if by is None else _means(bands, ds, by)
    width = NormalDist().inv_cdf((1 + confidence) / 2) if confidence else 0.0
    done, times = carry_on(bands, method, steps, extras, width, memory_limit)
    _describe(done, bands, method, extras, confidence, grid_mapping_name(ds) if by is None else None)
    return xr.Dataset(
        {name: array.variable for name, array in done.items()}, _coords(ds, bands[0], times), CONVENTIONS | ds.attrs | method.said
    )


def _means(bands: list[xr.DataArray], ds: xr.Dataset, by: str | xr.DataArray) -> list[xr.DataArray]:
    """Average each band over the pixels of each class."""
    if isinstance(by, str) and by not in ds:
        raise XSentinelError(f"by is {by!r}, which is no variable of the cube; it has {', '.join(map(str, ds.data_vars))}")
    labels = ds[by] if isinstance(by, str) else by
    if set(labels.dims) != set(bands[0].dims) - {"time"}:
        raise XSentinelError(f"by has the dims {labels.dims}; classes are a map (y, x) of the cube's pixels")
    classes = np.unique(labels.values)
    classes = classes[np.isfinite(classes)] if classes.dtype.kind == "f" else classes
    return [_class_means(decoded(b), labels, classes).rename(b.name).assign_attrs(_kept(b)) for b in bands]


def _class_means(band: xr.DataArray, labels: xr.DataArray, classes: npt.NDArray[Any]) -> xr.DataArray:
    means = [band.where(labels == c).mean(("y", "x")) for c in classes]
    return xr.concat(means, pd.Index(classes, name="class")).transpose("time", "class").astype(np.float32)


def _kept(band: xr.DataArray) -> dict[Hashable, Any]:
    return {k: v for k, v in band.attrs.items() if k not in (*STORAGE_ATTRS, "ancillary_variables", "cell_methods")}


def _describe(
    done: dict[str, xr.DataArray],
    bands: list[xr.DataArray],
    method: Method,
    extras: tuple[str, ...],
    confidence: float | None,
    mapping: str | None,
) -> None:
    """Put attributes on."""
    shared = method.said | ({"grid_mapping": mapping} if mapping else {})
    words = {"std": "standard deviation of {}", "lower": f"lower end of the {confidence or 0:.0%} interval of {{}}"}
    words["upper"] = words["lower"].replace("lower", "upper")
    for band in bands:
        name, long_name = str(band.name), f"forecast {band.attrs.get('long_name', f'reflectance of {band.name}')}"
        beside = " ".join(["forecast_flags", *(layer_name(name, e) for e in extras)])
        done[name].attrs = {**_kept(band), "long_name": long_name, "units": "1", **shared, "ancillary_variables": beside}
        for extra in extras:
            own = {} if extra == "std" else {"interval": "predictive", "confidence": confidence}
            done[layer_name(name, extra)].attrs = {"long_name": words[extra].format(long_name), "units": "1", **shared, **own}
    done["forecast_flags"].attrs = {"long_name": "what went wrong with a forecast", **FLAGS, **shared}


def _coords(ds: xr.Dataset, band: xr.DataArray, times: npt.NDArray[np.datetime64]) -> dict[Hashable, Any]:
    """Give the coordinates of the future: those of the past that do not change in time, and its own dates."""
    dims = set(band.dims)
    coords = {k: c for k, c in (dict(ds.coords) | dict(band.coords)).items() if "time" not in c.dims and set(c.dims) <= dims}
    reference = {"standard_name": "forecast_reference_time", "long_name": "last date of the past"}
    return coords | {
        "time": xr.DataArray(times, dims="time", attrs=ds["time"].attrs),
        "forecast_reference_time": xr.DataArray(band["time"].values[-1], attrs=reference),
    }
