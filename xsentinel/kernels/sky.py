"""What lies between the ground and the sensor: clouds, their shadows, haze; and what a classifier makes of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xsentinel.bands import SCENE_CLASSES
from xsentinel.kernels.compiled import compiled
from xsentinel.kernels.hashing import hash_of, uniform

Float32 = npt.NDArray[np.float32]

DARK, SHADOW, VEGETATION, SOIL, WATER, UNSURE, MEDIUM, HIGH, CIRRUS = (c.value for c in SCENE_CLASSES[2:11])
"""Codes of the scene classification, from dark areas to thin cirrus."""


@compiled
def opacity(field: Float32, level: float, softness: float) -> Float32:
    """Turn a field into the opacity of clouds: 0 below a level, easing to 1 above, (y, x), float32."""
    out = np.empty(field.shape, np.float32)
    for i in range(field.shape[0]):
        for j in range(field.shape[1]):
            depth = (field[i, j] - np.float32(level)) / np.float32(softness)
            depth = min(max(depth, np.float32(0)), np.float32(1))
            out[i, j] = depth * depth * (np.float32(3) - np.float32(2) * depth)
    return out


@compiled
def veil(ground: Float32, cloud: Float32, shadow: Float32, haze: Float32, optics: Float32) -> None:
    """Put clouds, shadows and haze over the ground, in place.

    Parameters
    ----------
    ground : (band, y, x), float32, reflectance
        Changed.
    cloud, shadow : (y, x), float32, opacity 0…1
    haze : (y, x), float32
    optics : (4, band), float32
        Reflectance of thick cloud, share of light that a shadow takes, reflectance and loss of haze of 1.
    """
    one = np.float32(1)
    for b in range(ground.shape[0]):
        bright, dim, path, loss = optics[0, b], optics[1, b], optics[2, b], optics[3, b]
        for i in range(ground.shape[1]):
            for j in range(ground.shape[2]):
                lit = ground[b, i, j] * (one - dim * shadow[i, j])
                seen = lit * (one - loss * haze[i, j]) + path * haze[i, j]
                c = cloud[i, j]
                ground[b, i, j] = (one - c) * seen + c * bright * (np.float32(0.55) + np.float32(0.45) * c)


@compiled
def classify(
    cloud: Float32,
    shadow: Float32,
    cirrus: Float32,
    lai: Float32,
    water: Float32,
    corner: tuple[int, int],
    seed: np.uint64,
    wobble: Float32,
) -> npt.NDArray[np.uint8]:
    """Classify as Sen2Cor does, errors and all.

    Parameters
    ----------
    cloud, shadow, cirrus : (y, x), float32, opacity 0…1
    lai, water : (y, x), float32
        Leaf area index; share of water.
    corner : tuple of int
        Row and column of the first pixel, for the errors of single pixels.
    seed : uint64
    wobble : (y, x), float32
        Of unit variance: where the borders of what is found lie out or in, and clouds are seen where there are none.

    Returns
    -------
    (y, x), uint8
    """
    out = np.empty(cloud.shape, np.uint8)
    for i in range(cloud.shape[0]):
        for j in range(cloud.shape[1]):
            w, u = wobble[i, j], uniform(hash_of(seed, corner[0] + i, corner[1] + j))
            c = cloud[i, j] + 0.16 * w + 0.04 * (u - 0.5)
            if c > 0.62:
                out[i, j] = HIGH
            elif c > 0.35 or (w > 2.4 and lai[i, j] < 0.7):
                out[i, j] = MEDIUM
            elif cirrus[i, j] + 0.05 * w > 0.16:
                out[i, j] = CIRRUS
            elif shadow[i, j] + 0.3 * w > 0.6:
                out[i, j] = SHADOW if u < 0.85 else DARK
            elif water[i, j] > 0.55:
                out[i, j] = WATER
            elif lai[i, j] > 0.75 + 0.5 * (u - 0.5):
                out[i, j] = VEGETATION
            else:
                out[i, j] = SOIL if u < 0.93 else UNSURE
    return out
