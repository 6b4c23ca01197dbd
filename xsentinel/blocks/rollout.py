"""A network that carries spectra on, as a picklable function of numpy series: fill, start, step by step, measure doubt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from math import cos, pi, sin
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xsentinel.blocks.fillings import FILLINGS
from xsentinel.blocks.model import Model, read_network
from xsentinel.blocks.predict import Execution
from xsentinel.blocks.threads import on_threads, one_torch_thread
from xsentinel.errors import ReadError
from xsentinel.kernels.forecast import YEAR, season_mean
from xsentinel.models.card import Card, Forecast

if TYPE_CHECKING:
    from torch import Tensor

    from xsentinel.models.dynamics import Dynamics
    from xsentinel.models.fast_rollout import FastRollout

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

AT_ONCE = 768
"""Series carried on together: their hidden layer of 150 in float32, 0.5 MB, stays in a core's cache."""

CUDA_AT_ONCE = 1 << 18
"""The same on a GPU, which needs more of them to be filled."""

REACH = 60.0
"""Days before a date that a filling looks back."""

EPSILON = 1e-6
"""Days by which dates are rounded."""

AGE, PRIOR = 10.0, 0.3
"""Days after which a difference from the base counts 0.6, and the weight of no difference."""

_reading = Lock()


def phase_at(days: float) -> tuple[float, float]:
    """Give cosine and sine of the time of year, of days since 1970-01-01."""
    angle = 2 * pi * days / YEAR
    return cos(angle), sin(angle)


def regular_dates(last: float, step: float, n: int) -> Float64:
    """Give n dates that end at the last."""
    return last - step * np.arange(n, dtype=np.float64)[::-1]


def forecast_of(card: Card) -> Forecast:
    """Give how a card's network is started.

    Raises
    ------
    ReadError
        If it is none that forecasts.
    """
    if card.forecast is None:
        raise ReadError(
            f"model {card.name} estimates {', '.join(o.name for o in card.outputs)} of a date and carries nothing on in time; "
            f"give one that train_dynamics made"
        )
    return card.forecast


@dataclass(frozen=True)
class Rollout:
    """A model as a forecast of series: the interface of `xsentinel.kernels.forecast`.

    Each series by itself: there is no halo, and blocks may be cut anywhere.
    """

    model: Model
    execution: Execution = field(default_factory=Execution)
    has_spread: bool = True
    """Whether the standard deviation is asked for; without it the mean stands in its place, and half the memory is enough."""
    n_threads: int = 1
    """Blocks of series worked on side by side; 1 under dask, where the workers are the threads."""

    def __dask_tokenize__(self) -> tuple[object, ...]:
        return type(self).__name__, self.model.__dask_tokenize__(), self.execution, self.has_spread

    def __call__(self, values: Float32, t_in: Float64, t_out: Float64) -> tuple[Float32, Float32]:
        """Take values (time, band, series), reflectance with gaps; give mean and standard deviation, (time_out, band, series)."""
        card = self.model.card
        forecast, step = forecast_of(card), forecast_of(card).step_days
        base = base_of(values, t_in, t_out, forecast)
        values = values - base_of(values, t_in, t_in, forecast)
        starts = start_series(values, t_in, np.array([t_out[0] - step]), card.dates, forecast)[0]
        mean = np.empty((t_out.size, *values.shape[1:]), np.float32)
        spread = np.empty_like(mean) if self.has_spread else None
        n, size = values.shape[2], AT_ONCE if self.execution.device == "cpu" else CUDA_AT_ONCE
        parts = [slice(a, min(a + size, n)) for a in range(0, n, size)]
        on_threads(partial(self._part, starts, phase_at(t_out[0] - step), mean, spread), parts, self.n_threads)
        mean += base
        return mean, mean if spread is None else self._doubt(spread)

    def _part(self, starts: Float32, phase: tuple[float, float], mean: Float32, spread: Float32 | None, part: slice) -> None:
        """Carry one block of series on."""
        import torch

        with torch.inference_mode():
            for k, member in enumerate(self.members(starts[:, :, part], phase, len(mean))):
                answer = member * self._high
                mean[k, :, part] = (answer.mean(0) if len(answer) > 1 else answer[0]).cpu().numpy()
                if spread is not None:
                    spread[k, :, part] = answer.std(0).cpu().numpy() if len(answer) > 1 else 0

    def members(self, starts: Float32, phase: tuple[float, float], steps: int) -> Iterator[Tensor]:
        """Give (member, band, series), normalised, of step after step, of starts (date, band, series), reflectance."""
        import torch

        spectra = torch.from_numpy(np.ascontiguousarray(starts) / np.float32(self._high)).to(self.execution.device)
        with _reading:
            network = _fast(self.model, self.execution)
        return network.rollout(spectra, steps, phase)

    def next(self, spectra: Float32, phase: tuple[float, float]) -> Float32:
        """Give the mean (band, series) over members one step after the last of spectra (date, band, series), reflectance."""
        import torch

        n, parts = spectra.shape[2], []
        with torch.inference_mode(), one_torch_thread():
            for a in range(0, n, AT_ONCE):
                answer = next(iter(self.members(spectra[:, :, a : a + AT_ONCE], phase, 1)))
                parts.append(answer.mean(0).cpu().numpy() * np.float32(self._high))
        return np.concatenate(parts, 1)

    @property
    def _high(self) -> float:
        """What the network sees as 1: of all bands the same."""
        return self.model.card.channels[0].high

    def _doubt(self, spread: Float32) -> Float32:
        """Add the errors that were measured to the spread of the ensemble."""
        errors = measured_errors(self.model.card, len(spread))
        if errors is None:
            return spread
        out: Float32 = np.sqrt(spread**2 + errors[:, :, None] ** 2)
        return out


def measured_errors(card: Card, steps: int) -> Float32 | None:
    """Give the errors (step, band) that were measured, between horizons on a line, beyond the last as there; None if none were."""
    known = forecast_of(card)
    if not known.horizons:
        return None
    at = np.arange(1, steps + 1)
    return np.column_stack([np.interp(at, known.horizons, one) for one in zip(*known.errors, strict=True)]).astype(np.float32)


def base_of(values: Float32, t_in: Float64, t: Float64, forecast: Forecast) -> Float32:
    """Give what values (time, band, series) are held against at dates t: 0, or their mean of other years around the same day."""
    if not forecast.base:
        return np.zeros((1, 1, 1), np.float32)
    return season_mean(values, t_in, t, apart=YEAR / 2)


def start_series(values: Float32, t_in: Float64, ends: Float64, n: int, forecast: Forecast) -> Float32:
    """Give the n dates up to each of ``ends``, (end, date, band, series), of what was known then.

    Differences from a base are a mean, weighted by age, with an observation of no difference among them: where the
    last look is long ago, they are small. Without a base, they are filled as the card says, and the last observation is
    held for two months at most.
    """
    out = np.full((ends.size, n, *values.shape[1:]), np.nan, np.float32)
    if not forecast.base:
        held = replace(forecast, filling={"extrapolate": "nearest"} | dict(forecast.filling))
        for k, end in enumerate(ends):
            seen = slice(int(np.searchsorted(t_in, end - REACH - n * forecast.step_days)), int(np.searchsorted(t_in, end + EPSILON)))
            if seen.stop > seen.start:
                out[k] = fill_series(values[seen], t_in[seen], regular_dates(end, forecast.step_days, n), held)
        return out
    flat = values.reshape(t_in.size, -1)
    there = np.isfinite(flat)
    flat, there = np.where(there, flat, 0), there.astype(np.float32)
    for k, end in enumerate(ends):
        ages = (regular_dates(end, forecast.step_days, n)[:, None] - t_in[None]) / AGE
        weights = np.where(t_in[None] < end + EPSILON, np.exp(-0.5 * ages**2), 0).astype(np.float32)
        out[k] = ((weights @ flat) / (weights @ there + PRIOR)).reshape(n, *values.shape[1:])
    return out


def fill_series(values: Float32, t_in: Float64, dates: Float64, forecast: Forecast) -> Float32:
    """Bring values (time, band, series) to regular dates, as the network's card says."""
    options: dict[str, Any] = dict(forecast.filling)
    kernel = FILLINGS[options.pop("method", "cressman")]
    flat = np.ascontiguousarray(values.reshape(t_in.size, -1), np.float32)
    return kernel(flat, t_in, dates, **options).reshape(dates.size, *values.shape[1:])


@lru_cache(maxsize=8)
def _network(model: Model, execution: Execution) -> Dynamics:
    """Read a network once a process, however many blocks ask for it."""
    from xsentinel.models.dynamics import Dynamics

    execution.check()
    network = read_network(model)
    if not isinstance(network, Dynamics):
        raise ReadError(
            f"model {model.card.name} is a {model.card.network}, which carries nothing on in time; give one that train_dynamics made"
        )
    return network.to(execution.device)


@lru_cache(maxsize=8)
def _fast(model: Model, execution: Execution) -> FastRollout | Dynamics:
    from xsentinel.models.fast_rollout import FastRollout

    network = _network(model, execution)
    return network if network.scheme == "lstm" else FastRollout(network)
