"""Accuracies and areas of classes from a stratified sample, the mapped classes its strata."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]


class Estimates(NamedTuple):
    """What a sample says of the whole map, with standard errors; areas as shares of the map."""

    matrix: Float64
    """(map, reference), estimated share of the area in each cell."""
    overall_accuracy: float
    overall_accuracy_se: float
    users_accuracy: Float64
    """(class,)."""
    users_accuracy_se: Float64
    producers_accuracy: Float64
    """(class,)."""
    producers_accuracy_se: Float64
    area: Float64
    """(class,), share of the map that is of the class by the reference."""
    area_se: Float64


def estimate_strata(counts: npt.NDArray[Any], mapped: npt.NDArray[Any]) -> Estimates:
    r"""Estimate accuracies and areas (Olofsson et al. 2014, equations 1 to 11).

    With the sample's counts :math:`n_{ij}` of map class i and reference class j, and the share of the map
    :math:`W_i` of class i, the estimated share of a cell and its sums are

    .. math:: \hat p_{ij} = W_i \frac{n_{ij}}{n_{i\cdot}}, \quad \hat O = \sum_j \hat p_{jj}, \quad
              \hat U_i = \hat p_{ii} / \hat p_{i\cdot}, \quad \hat P_j = \hat p_{jj} / \hat p_{\cdot j}

    and their variances, as a simple random sample is drawn in each stratum,

    .. math:: V(\hat O) = \sum_i W_i^2 \frac{\hat U_i (1 - \hat U_i)}{n_{i\cdot} - 1}, \quad
              V(\hat U_i) = \frac{\hat U_i (1 - \hat U_i)}{n_{i\cdot} - 1}, \quad
              V(\hat p_{\cdot j}) = \sum_i \frac{W_i \hat p_{ij} - \hat p_{ij}^2}{n_{i\cdot} - 1}

    .. math:: V(\hat P_j) = \frac{1}{\hat p_{\cdot j}^2} \Big[ W_j^2 (1 - \hat P_j)^2 V(\hat U_j) +
              \hat P_j^2 \sum_{i \ne j} W_i^2 \frac{n_{ij}}{n_{i\cdot}} \Big(1 - \frac{n_{ij}}{n_{i\cdot}}\Big) / (n_{i\cdot} - 1) \Big]

    Parameters
    ----------
    counts : numpy.ndarray (map, reference), of the sample
    mapped : numpy.ndarray (class,)
        Mapped area of each class, in any unit; 0 for a class that is not mapped.

    Returns
    -------
    Estimates
        A class that is mapped but not sampled makes all but its own row NaN; one sampled once, the standard errors.

    References
    ----------
    Olofsson et al. (2014), Good practices for estimating area and assessing accuracy of land change, Remote
    Sensing of Environment 148, 42–57.

    Examples
    --------
    >>> found = estimate_strata(np.array([[97, 0, 3], [3, 279, 18], [2, 1, 97]]), np.array([22353, 1122543, 610228]))
    >>> found.producers_accuracy.round(2)
    array([0.48, 0.99, 0.9 ])
    """
    weight, sampled = (mapped / mapped.sum()).astype(np.float64), counts.sum(1, keepdims=True).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(weight[:, None] > 0, counts / sampled, 0.0)
        cell = weight[:, None] * share
        variance = np.where(weight[:, None] > 0, share * (1 - share) / (sampled - 1), 0.0)
        area, right = cell.sum(0), np.diagonal(share)
        producers = np.diagonal(cell) / area
        users = np.where(weight > 0, right, np.nan)
        spread = weight[:, None] ** 2 * variance
        own = np.diagonal(spread)
        producers_variance = ((1 - producers) ** 2 * own + producers**2 * (spread.sum(0) - own)) / area**2
        return Estimates(
            cell, float(np.trace(cell)), float(np.sqrt(own.sum())),
            users, np.where(weight > 0, np.sqrt(np.diagonal(variance)), np.nan),
            producers, np.sqrt(np.maximum(producers_variance, 0)),
            area, np.sqrt(spread.sum(0)),
        )  # fmt: skip
