"""Statistics of zones: pixels with weights, the same pixels at every date."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.compiled import compiled
from xsentinel.kernels.threads import over_pixels

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

MOMENTS = ("count", "mean", "std", "min", "max", "sum")
"""What `moments` gives, in order."""


class Zones(NamedTuple):
    """The pixels of each zone, one zone after the other."""

    starts: npt.NDArray[np.int64]
    """(zone + 1,): where the pixels of each begin, and the end of the last."""
    cells: npt.NDArray[np.int64]
    """(pixel of a zone,): its place in the flattened plane."""
    weights: Float32
    """(pixel of a zone,): share of the pixel that the zone covers, above 0 to 1."""


@compiled
def moments_of(values: Float32, starts: Array, cells: Array, weights: Float32, first: int, last: int, out: Float64) -> None:
    """Write the `MOMENTS` of zones first … last − 1, (zone, time, 6)."""
    for zone in range(first, last):
        for t in range(values.shape[0]):
            n, total, low, high = 0.0, 0.0, np.inf, -np.inf
            for k in range(starts[zone], starts[zone + 1]):
                v, w = np.float64(values[t, cells[k]]), np.float64(weights[k])
                if v == v:
                    n += w
                    total += w * v
                    low, high = min(low, v), max(high, v)
            if n == 0:
                out[zone, t, 0] = 0
                out[zone, t, 1:] = np.nan
                continue
            mean, spread = total / n, 0.0
            for k in range(starts[zone], starts[zone + 1]):
                v, w = np.float64(values[t, cells[k]]), np.float64(weights[k])
                if v == v:
                    spread += w * (v - mean) ** 2
            out[zone, t] = n, mean, np.sqrt(spread / n), low, high, total


@compiled
def sort_seen(values: Float32, cells: Array, weights: Float32, seen: Float32, of_seen: Float64) -> int:
    """Write the values that are there in rising order, their weights beside them, and return how many."""
    n = 0
    for k in range(len(cells)):
        v = values[cells[k]]
        if v == v:
            seen[n], of_seen[n] = v, weights[k]
            n += 1
    order = np.argsort(seen[:n])
    seen[:n], of_seen[:n] = seen[:n][order], of_seen[:n][order]
    return n


@compiled
def quantiles_of(
    values: Float32, starts: Array, cells: Array, weights: Float32, wanted: Float64, first: int, last: int, out: Float64
) -> None:
    """Write weighted quantiles of zones first … last − 1, (zone, time, quantile)."""
    longest = 0
    for zone in range(first, last):
        longest = max(longest, starts[zone + 1] - starts[zone])
    seen, of_seen, places = np.empty(longest, np.float32), np.empty(longest), np.empty(longest)
    for zone in range(first, last):
        here = slice(starts[zone], starts[zone + 1])
        for t in range(values.shape[0]):
            n = sort_seen(values[t], cells[here], weights[here], seen, of_seen)
            total = 0.0
            for k in range(n):
                places[k] = k * of_seen[k] + (n - 1) * total
                total += of_seen[k]
            for q in range(len(wanted)):
                out[zone, t, q] = np.nan if n == 0 else between(places[:n], seen[:n], wanted[q] * (n - 1) * total)


@compiled
def between(places: Float64, values: Float32, place: float) -> Any:
    """Give the value at a place on the line through values at rising places, the ends held."""
    above = np.searchsorted(places, place, "right")
    if above == 0:
        return values[0]
    if above == len(places):
        return values[-1]
    share = (place - places[above - 1]) / (places[above] - places[above - 1])
    return values[above - 1] + share * (np.float64(values[above]) - values[above - 1])


@compiled
def majorities_of(values: Float32, starts: Array, cells: Array, weights: Float32, first: int, last: int, out: Float64) -> None:
    """Write the value of the largest weight, of several the least, of zones first … last − 1, (zone, time)."""
    longest = 0
    for zone in range(first, last):
        longest = max(longest, starts[zone + 1] - starts[zone])
    seen, of_seen = np.empty(longest, np.float32), np.empty(longest)
    for zone in range(first, last):
        here = slice(starts[zone], starts[zone + 1])
        for t in range(values.shape[0]):
            n = sort_seen(values[t], cells[here], weights[here], seen, of_seen)
            best, most, k = np.nan, 0.0, 0
            while k < n:
                v, total = seen[k], 0.0
                while k < n and seen[k] == v:
                    total += of_seen[k]
                    k += 1
                if total > most * (1 + 1e-9):
                    best, most = v, total
            out[zone, t] = best


def moments(values: Float32, zones: Zones, n_threads: int = 1) -> Float64:
    r"""Give count, mean, standard deviation, minimum, maximum and sum of each zone at each date.

    .. math:: n = \sum w_i, \quad \bar x = \sum w_i x_i / n, \quad s = \sqrt{\sum w_i (x_i - \bar x)^2 / n}

    Parameters
    ----------
    values : (time, pixel), float32
        NaN is left out.
    zones : Zones
    n_threads : int

    Returns
    -------
    (zone, time, 6), float64
        A zone without values has count 0 and NaN.

    Examples
    --------
    >>> zones = Zones(np.array([0, 2]), np.array([0, 1]), np.array([1, 0.5], np.float32))
    >>> moments(np.array([[1, 4, 9]], np.float32), zones)[0, 0, :3].round(3).tolist()
    [1.5, 2.0, 1.414]
    """
    out = np.empty((len(zones.starts) - 1, len(values), len(MOMENTS)))
    over_pixels(lambda a, b: moments_of(values, *zones, a, b, out), len(out), n_threads, 64)
    return out


def quantiles(values: Float32, zones: Zones, wanted: Float64, n_threads: int = 1) -> Float64:
    r"""Give weighted quantiles of each zone at each date.

    Values in rising order stand at :math:`S_k = (k-1)\,w_k + (n-1)\sum_{i<k} w_i`, the quantile q at
    :math:`q\,(n-1)\sum w_i`, on the line between its neighbours; with equal weights that is numpy's default.

    Parameters
    ----------
    values : (time, pixel), float32
        NaN is left out.
    zones : Zones
    wanted : (quantile,), 0 … 1
    n_threads : int

    Returns
    -------
    (zone, time, quantile), float64

    Examples
    --------
    >>> zones = Zones(np.array([0, 3]), np.arange(3), np.ones(3, np.float32))
    >>> quantiles(np.array([[1, 4, 9]], np.float32), zones, np.array([0.5, 0.25])).tolist()
    [[[4.0, 2.5]]]
    """
    out = np.empty((len(zones.starts) - 1, len(values), len(wanted)))
    over_pixels(lambda a, b: quantiles_of(values, *zones, wanted, a, b, out), len(out), n_threads, 64)
    return out


def majorities(values: Float32, zones: Zones, n_threads: int = 1) -> Float64:
    """Give the value that covers the largest part of each zone at each date, of several the least; (zone, time).

    Examples
    --------
    >>> zones = Zones(np.array([0, 3]), np.arange(3), np.array([1, 0.3, 0.8], np.float32))
    >>> majorities(np.array([[1, 4, 4]], np.float32), zones).tolist()
    [[4.0]]
    """
    out = np.empty((len(zones.starts) - 1, len(values)))
    over_pixels(lambda a, b: majorities_of(values, *zones, a, b, out), len(out), n_threads, 64)
    return out
