"""Growth of each parcel at each date: double logistics that vary by parcel and year."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.compiled import compiled
from xsentinel.kernels.hashing import draw, hash_of, uniform
from xsentinel.kernels.mosaic import COVER_BITS

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

YEAR = 365.25
"""Days."""

PARCEL_DAYS, YEAR_DAYS = 7.0, 6.0
"""Standard deviations of the dates of a parcel in a year, and of a year over all parcels, days."""

LAI, STATE, STRAW, FLOWER = range(4)
"""What `grow` gives."""


@compiled
def logistic(value):
    """Rise from 0 to 1."""
    return 1.0 / (1.0 + math.exp(-min(max(value, -40.0), 40.0)))


@compiled
def _normal(bits, k):
    """Give a number of mean 0 and variance 1, within ±3.5: four uniforms added."""
    total = 0.0
    for i in range(4):
        total += draw(bits, 4 * k + i)
    return (total - 2.0) * 1.7320508


@compiled
def _season(season, bits, common, day):
    """Give the leaf area of a growth period at a day, how far it is dead, and days since its end."""
    shift = YEAR_DAYS * common + PARCEL_DAYS * _normal(bits, 0)
    start, end = season[1] + shift, season[2] + 0.7 * shift + 3.0 * _normal(bits, 1)
    peak = season[0] * min(max(1.0 + 0.17 * _normal(bits, 2), 0.4), 1.5)
    area = peak * max(logistic((day - start) / season[3]) - logistic((day - end) / season[4]), 0.0)
    return area, logistic((day - end + 1.5 * season[4]) / season[4]), day - end, day - start


@compiled
def _residue(since, delay):
    """Give the share of straw that is still there, some days after the harvest."""
    return logistic(since / 3.0) * (1.0 - logistic((since - delay) / 8.0))


@compiled
def _plant(key, seed, seasons, facts, year, day, commons, out):
    """Add up the growth periods of three years."""
    base, straw, flower = facts[0], facts[1], facts[2]
    area, dead, litter, bloom = base, 0.08 * base, 0.0, 0.0
    for back in range(-1, 2):
        bits = hash_of(seed, key, year + back)
        for s in range(seasons.shape[0]):
            if seasons[s, 0] == 0:
                continue
            own = hash_of(bits, s, 0)
            grown, old, since, age = _season(seasons[s], own, commons[back + 1], day - YEAR * back)
            area += grown
            dead += grown * old
            litter = max(litter, _residue(since, 12.0 + 70.0 * draw(own, 40)))
            if seasons[s, 0] > 2:
                bloom += math.exp(-(((age - 20.0) / 10.0) ** 2))
    out[LAI] = area
    out[STATE] = min(dead / max(area, 1e-3), 1.0)
    out[STRAW] = straw * (0.2 + 0.8 * litter)
    out[FLOWER] = flower * min(bloom, 1.0)


@compiled
def grow(keys: Int64, seed: np.uint64, seasons: Float64, facts: Float64, years: Int64, days: Float64) -> Float32:
    """Give the growth of parcels at dates.

    Parameters
    ----------
    keys : (parcel,), int64
        As `key_of` packs them; the cover is read from them.
    seed : uint64
    seasons : (cover, season, 5), float64
        Peak, start, end, rise, fall of each growth period; a peak of 0 is none.
    facts : (cover, 3), float64
        Leaf area in winter, share of straw, share of flowers.
    years : (time,), int64
    days : (time,), float64
        Day of year.

    Returns
    -------
    (parcel, time, 4), float32
        Leaf area index, state (0 green … 1 dead), shares of straw on the ground and of flowers in the view.
    """
    out = np.empty((keys.size, days.size, 4), np.float32)
    commons = np.empty(3)
    for t in range(days.size):
        for back in range(3):
            commons[back] = _normal(hash_of(seed + np.uint64(99), years[t] + back - 1, 0), 0)
        for i in range(keys.size):
            cover = keys[i] & ((1 << COVER_BITS) - 1)
            _plant(keys[i], seed, seasons[cover], facts[cover], years[t], days[t], commons, out[i, t])
    return out


@compiled
def traits(keys: Int64, seed: np.uint64) -> Float32:
    """Give what a parcel keeps: structure of its canopy 0…1 and brightness of its ground 0.4…1.05, (parcel, 2), float32."""
    out = np.empty((keys.size, 2), np.float32)
    for i in range(keys.size):
        bits = hash_of(seed + np.uint64(77), keys[i], 0)
        out[i, 0] = uniform(bits)
        out[i, 1] = 0.4 + 0.65 * draw(bits, 1)
    return out
