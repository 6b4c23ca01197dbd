"""Training of dynamics on the series of a class, and their card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from xsentinel.blocks.model import Model, save_model
from xsentinel.blocks.rollout import phase_at
from xsentinel.cube import band_variables, parse_dates
from xsentinel.errors import BandError, TimeError, XSentinelError
from xsentinel.models.card import Card, Channel, Forecast, Output
from xsentinel.models.dynamics import Dynamics
from xsentinel.models.networks import build_network
from xsentinel.training.dynamics_loop import Learner, States, fit_dynamics
from xsentinel.training.dynamics_presets import DYNAMICS_PRESETS, DynamicsPreset
from xsentinel.training.dynamics_series import Series, class_pixels, make_series, split_series
from xsentinel.training.options import take
from xsentinel.training.presets import find_preset
from xsentinel.version import __version__

Float32 = npt.NDArray[np.float32]

HORIZONS = (1, 2, 4, 8, 16, 24, 36, 54, 73, 120)
"""Steps ahead at which errors are measured for the card."""

HINDCASTS = 12
"""Dates of the past from which series held out are forecast for that."""

OPTIONS = {"resume": False, "progress": True, "limit": 2000, "neighbours": True}


def train_dynamics(
    cubes: Mapping[str, xr.Dataset],
    folder: str | PathLike[str],
    *,
    preset: str | DynamicsPreset = "default",
    name: str = "dynamics",
    seed: int = 0,
    held_out: float = 0.2,
    where: Any = None,
    until: object = None,
    **run: Any,
) -> Model:
    """Learn how the spectra of a class go on in time, from cubes that show it.

    Series become regular (Gaussian Cressman of 10 days unless the preset says otherwise), reflectance is divided by
    its maximum over all pixels, dates and bands, and the network learns the state a step later, or several. How far
    off it is at each horizon is measured on series held out, of the same years, and written into the card.

    Parameters
    ----------
    cubes : mapping from str to xarray.Dataset
        Named cubes, clouds masked, with the same bands: those of Sentinel-2, or else all variables with a time.
    folder : path
        For ``<name>.safetensors``, ``<name>.json`` and the checkpoint.
    preset : str or DynamicsPreset
        "default", "short", "paper", "paper-euler", "paper-lstm"; or settings of your own.
    name : str
    seed : int
        Of the split, the first weights and the starts.
    held_out : float
        Share of the series of each cube, for the measured errors.
    where : None, str, DataArray (y, x) of bool, GeoDataFrame, or a mapping from names of cubes to these
        Pixels of the class, whose four neighbours are taken along as in the paper; None: all pixels.
    until : date, optional
        What lies on it or later is not looked at.
    **run
        ``resume`` (False): go on from the checkpoint in ``folder``; ``progress`` (True); ``limit`` (2000): series of
        each cube; ``neighbours`` (True).

    Returns
    -------
    Model

    Raises
    ------
    XSentinelError
        If the cubes lack bands or dates, or show too little.

    Examples
    --------
    >>> from xsentinel.training import train_dynamics
    >>> model = train_dynamics({"forest": cube}, "models", where="forest", until="2020-01-01")  # doctest: +SKIP
    >>> cube.s2.forecast(model, steps=73, confidence=0.95)  # doctest: +SKIP
    """
    chosen, options = find_preset(preset, DYNAMICS_PRESETS), take("train_dynamics", run, OPTIONS)
    kept = {key: _before(cube, until) for key, cube in cubes.items()}
    bands = _shared_bands(kept)
    state = Forecast(chosen.step_days, dict(chosen.filling), chosen.base)
    masks = {key: class_pixels(c, where[key] if isinstance(where, Mapping) else where, options["neighbours"]) for key, c in kept.items()}
    series = {key: make_series(c, bands, state, masks[key], options["limit"], seed, chosen.causal) for key, c in kept.items()}
    train, held = split_series(series, held_out, seed)
    high = max(s.high for s in train.values())
    if not 0 < high < np.inf:
        raise XSentinelError("the cubes have no valid pixel of the class; look at the clouds that are masked")
    torch.manual_seed(seed)
    card = _card(name, chosen, bands, high, kept, state)
    network = build_network(card)
    assert isinstance(network, Dynamics)
    set_coordinates(network, list(train.values()), high, (chosen.floor, chosen.pace_floor))
    fit_dynamics(
        Learner(network, States.of(network, train.values(), high), chosen, seed),
        Path(folder),
        resume=options["resume"],
        progress=options["progress"],
    )
    network.eval()
    horizons, errors = hindcast_errors(network, held if any(s.filled.shape[2] for s in held.values()) else train, high)
    told = replace(state, horizons=horizons, errors=errors)
    return save_model(network, replace(card, forecast=told, training=_told(chosen, train, kept, seed)), folder)


def _before(cube: xr.Dataset, until: object) -> xr.Dataset:
    if until is None:
        return cube
    end = np.datetime64(parse_dates([until])[0], "ns")
    before = cube.isel(time=cube["time"].values < end)
    if before.sizes["time"] < 2:
        raise TimeError(f"{before.sizes['time']} dates lie before {until!s:.10}, and dynamics need a series; give a later date")
    return before


def _shared_bands(cubes: Mapping[str, xr.Dataset]) -> tuple[str, ...]:
    """Give the bands of all cubes, or the variables with a time where there are none."""
    found = {key: tuple(map(str, band_variables(c).values())) or _series_of(c) for key, c in cubes.items()}
    if len(set(found.values())) != 1 or not next(iter(found.values()), ()):
        said = "; ".join(f"{key}: {', '.join(names) or 'none'}" for key, names in found.items())
        raise BandError(f"dynamics are learnt of the same bands in all cubes; they have {said or 'no cube'}")
    return next(iter(found.values()))


def _series_of(cube: xr.Dataset) -> tuple[str, ...]:
    return tuple(str(v) for v, a in cube.data_vars.items() if "time" in a.dims and a.dtype.kind == "f")


def _card(name: str, preset: DynamicsPreset, bands: Sequence[str], high: float, cubes: Mapping[str, xr.Dataset], state: Forecast) -> Card:
    settings = {"scheme": preset.scheme, "width": preset.width, "members": preset.members, "dates": preset.dates, "turn": preset.turn}
    settings["components"] = preset.components or len(bands)
    channels = tuple(Channel(band, 0.0, high) for band in bands)
    outputs = tuple(Output(band, f"reflectance of {band}, a step later", "1") for band in bands)
    return Card(name, "dynamics", settings, channels, outputs, _pixel(cubes), 1, 0, "Apache-2.0", dates=preset.dates, forecast=state)


def _pixel(cubes: Mapping[str, xr.Dataset]) -> float:
    """Give the pixel size, for the record: series do not depend on it; 0 if it is not told."""
    cube = next(iter(cubes.values()))
    return round(abs(float(cube["x"][1] - cube["x"][0])), 2) if "x" in cube.coords and cube.sizes["x"] > 1 else 0.0


def _told(preset: DynamicsPreset, train: Mapping[str, Series], cubes: Mapping[str, xr.Dataset], seed: int) -> dict[str, Any]:
    spans = {key: f"{str(c['time'].values[0])[:10]} to {str(c['time'].values[-1])[:10]}" for key, c in cubes.items()}
    return {
        "series": {key: s.filled.shape[2] for key, s in train.items()},
        "dates": spans,
        "stages": [f"{s.steps} steps, rollout {s.rollout}, noise {s.noise:g}" for s in preset.stages],
        "seed": seed,
        "xsentinel": __version__,
        "torch": torch.__version__,
    }


def set_coordinates(network: Dynamics, series: Sequence[Series], high: float, floors: tuple[float, float]) -> None:
    """Let the network see principal components, of spectra and of differences none scaled to less than a share of the largest."""
    parts = [s.filled.transpose(0, 2, 1).reshape(-1, network.n_bands) / high for s in series]
    spectra = torch.from_numpy(np.concatenate([p[np.isfinite(p).all(1)] for p in parts])).double()
    center = spectra.mean(0)
    spread, axes = torch.linalg.eigh(torch.cov((spectra - center).T, correction=0))
    spread, axes = spread.flip(0)[: network.rank].clamp(min=0).sqrt(), axes.flip(1)[:, : network.rank]
    spread = spread.clamp(min=max(floors[0] * float(spread[0]), 1e-12))
    network.set_coordinates(center, axes / spread, (axes * spread).T, torch.ones(network.rank))
    states = [network.states(torch.from_numpy(s.filled / np.float32(high)))[:, network.rank :] for s in series]
    differences = torch.cat([s.transpose(1, 2).reshape(-1, network.rank) for s in states])
    pace = differences[differences.isfinite().all(1)].std(0, correction=0)
    network.pace.copy_(pace.clamp(min=max(floors[1] * float(pace.max()), 1e-12)))


def hindcast_errors(network: Dynamics, series: Mapping[str, Series], high: float) -> tuple[tuple[int, ...], tuple[tuple[float, ...], ...]]:
    """Give horizons and the RMSE [1] of each band there, of what was observed, forecast from several dates of the past."""
    reach = max((len(s.dates) for s in series.values()), default=0) - network.dates
    horizons = tuple(h for h in HORIZONS if h <= max(reach // 2, 1))
    squares, counts = (np.zeros((len(horizons), network.n_bands)) for _ in range(2))
    for one in series.values():
        last = len(one.dates) - 1 - horizons[-1]
        for start in np.unique(np.linspace(network.dates - 1, max(last, network.dates - 1), HINDCASTS).astype(int)):
            rollout = _hindcast(network, one, int(start), horizons[-1], high)
            for k, horizon in enumerate(h for h in horizons if start + h < len(one.dates)):
                apart = rollout[horizon - 1] - one.observed[start + horizon]
                squares[k] += np.nansum(apart.astype(np.float64) ** 2, 1)
                counts[k] += np.isfinite(apart).sum(1)
    seen = np.asarray((counts > 0).all(1))
    errors = np.sqrt(squares[seen] / counts[seen])
    return tuple(h for h, s in zip(horizons, seen, strict=True) if s), tuple(tuple(float(f"{v:.6g}") for v in e) for e in errors)


def _hindcast(network: Dynamics, series: Series, start: int, steps: int, high: float) -> list[Float32]:
    """Forecast from a date of the past, the mean of all members, (band, series), reflectance."""
    pairs = series.filled[start - network.dates + 1 : start + 1] if network.dates > 2 else series.known[start]
    spectra = torch.from_numpy(np.ascontiguousarray(pairs) / np.float32(high))
    with torch.inference_mode():
        return [s.mean(0).numpy() * np.float32(high) for s in network.rollout(spectra, steps, phase_at(float(series.dates[start])))]
