"""Long gaps crossed by dynamics instead of a line."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.blocks.bridge import bridge
from xsentinel.blocks.rollout import Rollout
from xsentinel.blocks.series import Output, contiguous_in_time, map_series, plan_cube
from xsentinel.cube import STORAGE_ATTRS, Encoding, encoding_of, grid_mapping_name
from xsentinel.errors import XSentinelError, check_numbers
from xsentinel.forecasting import Source, chosen_bands, days_since_1970, find_method, reflectance, sort_dates
from xsentinel.version import CONVENTIONS

BRIDGES = ("climatology", "harmonic")
"""Methods that tell a path at any date."""


def bridge_gaps(
    ds: xr.Dataset,
    model: Source = "harmonic",
    *,
    freq: str | None = None,
    max_gap: float = 30.0,
    device: str = "cpu",
    memory_limit: int | str | None = None,
) -> xr.Dataset:
    r"""Bring a cube to regular dates, its long gaps crossed by learnt dynamics or by the season's usual way.

    Over gaps up to ``max_gap`` days on a line. Over longer ones the dynamics go on from the left end, and what they
    miss the right end by is spread over the gap: :math:`z(t) = f(t) - (t - t_a)/(t_b - t_a)\,(f(t_b) - y_b)`.

    Parameters
    ----------
    ds : xarray.Dataset
        A cube with clouds masked, as `forecast` takes it.
    model : str, path or Model
        "harmonic" or "climatology", fitted to the whole series; or a model that forecasts.
    freq : str, optional
        Step, "5D" if not given; a model has its own.
    max_gap : float
        Days between two observations up to which a line is trusted.
    device, memory_limit
        As `forecast`.

    Returns
    -------
    xarray.Dataset
        The bands (float32, reflectance) from the first date on, NaN before a pixel's first and after its last
        observation; ``bridged`` (uint8): 1 where dynamics crossed a gap.

    Raises
    ------
    XSentinelError
        If the model cannot start anywhere, as an LSTM or persistence; else as `forecast`.

    Examples
    --------
    >>> import xsentinel as xs
    >>> cube = xs.sample("romania").s2.mask_clouds()
    >>> cube.s2.bridge_gaps("harmonic", max_gap=30).sizes["time"]
    138
    """
    method = find_method(model, freq, device)
    if not (method.name in BRIDGES or (isinstance(method.carry, Rollout) and method.carry.model.card.dates == 2)):
        raise XSentinelError(
            f"{method.name} cannot start in the middle of a series; take {' or '.join(BRIDGES)}, or a model of rk4 or euler"
        )
    check_numbers(max_gap=max_gap)
    if not max_gap >= 0:
        raise XSentinelError(f"max_gap is {max_gap}; give days, 0 or more")
    ds = sort_dates(ds)
    bands = chosen_bands(ds, method)
    past = bands[0]["time"].values.astype("datetime64[ns]")
    times = np.arange(past[0], past[-1] + np.timedelta64(1, "ns"), method.step.to_timedelta64())
    plan = plan_cube(bands, 5 * times.size, memory_limit)
    options = {"method": method.carry, "t_in": days_since_1970(past), "dates": days_since_1970(times), "max_gap": float(max_gap)}
    options["encodings"] = tuple(encoding_of(b) for b in bands)
    outputs = [*(Output(str(b.name), np.float32) for b in bands), Output("bridged", np.uint8)]
    done = map_series(_bridge_block, contiguous_in_time(bands, plan), outputs, times, options)
    mapping = grid_mapping_name(ds)
    placed = {"gap_filling": f"line to {max_gap:g} days, then {method.name}"} | ({"grid_mapping": mapping} if mapping else {})
    for band in bands:
        kept = {k: v for k, v in band.attrs.items() if k not in (*STORAGE_ATTRS, "ancillary_variables")}
        done[str(band.name)].attrs = {**kept, "units": "1", **placed, "ancillary_variables": "bridged"}
    done["bridged"].attrs = {
        "long_name": "what the value is",
        "flag_values": np.array([0, 1], np.uint8),
        "flag_meanings": "observed_or_line dynamics",
    } | placed
    coords = {k: c for k, c in ds.coords.items() if "time" not in c.dims} | {"time": ("time", times, ds["time"].attrs)}
    return xr.Dataset({name: a.variable for name, a in done.items()}, coords, CONVENTIONS | ds.attrs | method.said)


def _bridge_block(
    *stored: npt.NDArray[Any],
    method: Any,
    t_in: npt.NDArray[np.float64],
    dates: npt.NDArray[np.float64],
    max_gap: float,
    encodings: tuple[Encoding, ...],
    n_threads: int,
) -> tuple[npt.NDArray[Any], ...]:
    """Bridge a block of bands (time, ...)."""
    shape = (dates.size, *stored[0].shape[1:])
    values = np.stack([reflectance(b, e).reshape(t_in.size, -1) for b, e in zip(stored, encodings, strict=True)], 1)
    out, flags = bridge(values, t_in, dates, method, max_gap)
    return (*(out[:, k].reshape(shape) for k in range(len(stored))), flags.reshape(shape))
