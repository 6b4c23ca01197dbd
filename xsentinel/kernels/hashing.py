"""Random numbers that depend on a place and a date, never on what was drawn before."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.compiled import compiled

STEP = np.uint64(0x9E3779B97F4A7C15)
FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@compiled
def mix(value):
    """Scramble 64 bits (the finaliser of splitmix64; Steele, Lea & Flood 2014)."""
    z = (value ^ (value >> np.uint64(30))) * FIRST
    z = (z ^ (z >> np.uint64(27))) * SECOND
    return z ^ (z >> np.uint64(31))


@compiled
def hash_of(seed, a, b):
    """Hash a seed (uint64) and two integers of either sign to uint64."""
    return mix(mix(seed + np.uint64(a) * STEP) + np.uint64(b) * STEP + STEP)


@compiled
def uniform(bits):
    """Turn hashed bits into a float64 in 0…1, 1 excluded."""
    return np.int64(bits >> np.uint64(11)) * (1.0 / (1 << 53))


@compiled
def draw(bits: np.uint64, k: Any) -> Any:
    """Give the k-th of many independent float64 in 0…1 that belong to hashed bits."""
    return uniform(mix(bits + np.uint64(k + 1) * STEP))


@compiled
def bell(bits: np.uint64) -> np.float32:
    """Turn hashed bits into a float32 of mean 0 and variance 1: four uniforms added, within ±3.5."""
    low, high = np.uint64(0xFFFF), np.uint64(16)
    total = np.int64(bits & low) + np.int64((bits >> high) & low)
    total += np.int64((bits >> np.uint64(32)) & low) + np.int64(bits >> np.uint64(48))
    return np.float32(total - 131070) * np.float32(1.7320508 / 65536)


def salted(seed: int | np.uint64, salt: int) -> np.uint64:
    """Give another seed (uint64), of a seed and a number, outside of kernels."""
    return np.uint64(hash_of(np.uint64(seed), salt, 0))


@compiled
def hash_many(seed: np.uint64, a: npt.NDArray[np.int64], b: int) -> npt.NDArray[np.uint64]:
    """Hash a seed with integers, (n,) and a number → (n,), uint64."""
    out = np.empty(a.size, np.uint64)
    for i in range(a.size):
        out[i] = hash_of(seed, a[i], b)
    return out


@compiled
def hash_pixels(seed: np.uint64, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Hash a seed with rows and columns, (n,) each → (n,), uint64."""
    out = np.empty(rows.size, np.uint64)
    for i in range(rows.size):
        out[i] = hash_of(seed, rows[i], columns[i])
    return out
