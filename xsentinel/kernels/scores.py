"""How well estimates agree with a reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Agreement:
    """The scores of Albughdadi et al. (2020), section 5.1."""

    n: int
    """Pairs."""
    correlation: float
    """Pearson's r."""
    distance: float
    """Mean of the absolute differences, in the units of the values: their average Euclidean distance."""
    mse: float
    """Mean of the squared differences (the paper's equation 6 lacks the square)."""
    r2: float
    """1 − sum of squared differences / sum of squares of the reference about its mean."""


def agreement(reference: npt.NDArray[Any], estimate: npt.NDArray[Any]) -> Agreement:
    """Score estimates against a reference, both of any shape, where both are finite; NaN if fewer than two are.

    Examples
    --------
    >>> agreement(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0]))
    Agreement(n=3, correlation=0.98..., distance=0.33..., mse=0.33..., r2=0.5)
    """
    both = np.isfinite(reference) & np.isfinite(estimate)
    y, p = reference[both].astype(np.float64), estimate[both].astype(np.float64)
    if y.size < 2:
        return Agreement(y.size, *(float("nan"),) * 4)
    apart, spread = p - y, float(((y - y.mean()) ** 2).sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        r = float(((y - y.mean()) * (p - p.mean())).sum() / np.sqrt(np.float64(spread) * ((p - p.mean()) ** 2).sum()))
        r2 = float(1 - (apart**2).sum() / np.float64(spread))
    return Agreement(y.size, r, float(np.abs(apart).mean()), float((apart**2).mean()), r2)


def rank_correlation(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Give Spearman's correlation of two arrays without ties of note; NaN of fewer than two pairs.

    Examples
    --------
    >>> round(rank_correlation(np.array([1.0, 2.0, 9.0]), np.array([2.0, 3.0, 4.0])), 6)
    1.0
    """
    if a.size < 2:
        return float("nan")
    first, second = (np.argsort(np.argsort(v.ravel(), kind="stable"), kind="stable").astype(np.float64) for v in (a, b))
    return float(np.corrcoef(first, second)[0, 1])
