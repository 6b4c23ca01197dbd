"""Intervals that hold: how errors on places held out follow from the spread of the samples and the estimate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.models.card import Calibration

Array = npt.NDArray[np.float64]

LEVELS = (0.5, 0.68, 0.8, 0.9, 0.95, 0.98, 0.99)
"""Confidences whose quantiles a card holds."""


@dataclass(frozen=True)
class HeldOut:
    """Answers on one place that the network was not trained on."""

    truth: npt.NDArray[Any]
    """(pixel,)"""
    mean: npt.NDArray[Any]
    """(pixel,): over the samples."""
    spread: npt.NDArray[Any]
    """(pixel,): standard deviation over the samples."""


def calibrate(places: Mapping[str, HeldOut], samples: int) -> Calibration:
    """Learn an interval from places held out, each place counting the same however large it is.

    The scale is the one under which the errors are likeliest as Laplace's distribution; its quantiles are then
    read off the scaled errors themselves (split conformal prediction), so that no distribution is assumed.

    Parameters
    ----------
    places : mapping from str to HeldOut
    samples : int
        Monte Carlo samples behind the means and spreads.
    """
    from scipy.optimize import minimize

    held = [h for h in places.values() if h.truth.size]
    error = np.concatenate([np.abs(h.truth - h.mean) for h in held]).astype(np.float64)
    mean, spread = (np.concatenate([getattr(h, f) for h in held]).astype(np.float64) for f in ("mean", "spread"))
    weight = np.concatenate([np.full(h.truth.size, 1 / h.truth.size) for h in held])

    def loss(logs: Array) -> float:
        a, b, c = np.exp(logs)
        width = Calibration(a, b, c, (), samples).scale(mean, spread)
        return float(np.average(np.log(width) + error / width, weights=weight))

    start = np.log([max(float(np.median(error)), 1e-3), 0.5, 0.02])
    found = np.exp(minimize(loss, start, method="Nelder-Mead", options={"maxiter": 300}).x)
    floor, slope, level = (float(f"{value:.4g}") for value in found)
    rough = Calibration(floor, slope, level, (), samples)
    done = replace(rough, quantiles=_quantiles(error / rough.scale(mean, spread), weight))
    return replace(done, coverage={name: coverage(done, place) for name, place in places.items()})


def _quantiles(scores: Array, weight: Array) -> tuple[tuple[float, float], ...]:
    order = np.argsort(scores)
    share = np.cumsum(weight[order]) / weight.sum()
    return tuple((level, float(f"{scores[order][np.searchsorted(share, level)]:.4g}")) for level in LEVELS)


def coverage(calibration: Calibration, held: HeldOut, confidence: float = 0.95) -> float:
    """Give the share of a place's pixels that the interval of a confidence holds."""
    inside = np.abs(held.truth - held.mean) <= calibration.half_width(held.mean, held.spread, confidence)
    return float(f"{inside.mean():.4f}") if inside.size else float("nan")
