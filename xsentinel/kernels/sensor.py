"""The instrument: point spread, sampling at 10 and 20 m, noise, counts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.compiled import compiled
from xsentinel.kernels.hashing import bell, hash_of

Float32 = npt.NDArray[np.float32]


@compiled
def blur(image: Float32, side: np.float32, drift: tuple[np.float32, np.float32]) -> Float32:
    """Blur by three taps each way and move, (y, x) → (y − 2, x − 2).

    Parameters
    ----------
    image : (y, x), float32
    side : float32
        Weight of each neighbour.
    drift : tuple of float32
        Pixels, within ±0.5, by which the sampling is displaced down and to the right.

    Returns
    -------
    (y − 2, x − 2), float32
    """
    height, width = image.shape[0] - 2, image.shape[1] - 2
    rows = np.empty((height, image.shape[1]), np.float32)
    out = np.empty((height, width), np.float32)
    before, after = side + max(-drift[0], np.float32(0)), side + max(drift[0], np.float32(0))
    left, right = side + max(-drift[1], np.float32(0)), side + max(drift[1], np.float32(0))
    middle, centre = np.float32(1) - before - after, np.float32(1) - left - right
    for i in range(height):
        for j in range(image.shape[1]):
            rows[i, j] = middle * image[i + 1, j] + before * image[i, j] + after * image[i + 2, j]
        for j in range(width):
            out[i, j] = centre * rows[i, j + 1] + left * rows[i, j] + right * rows[i, j + 2]
    return out


@compiled
def halve(image: Float32) -> Float32:
    """Give the means of two by two pixels, float32."""
    out = np.empty((image.shape[0] // 2, image.shape[1] // 2), np.float32)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            upper = image[2 * i, 2 * j] + image[2 * i, 2 * j + 1]
            out[i, j] = np.float32(0.25) * (upper + (image[2 * i + 1, 2 * j] + image[2 * i + 1, 2 * j + 1]))
    return out


@compiled
def record(image: Float32, corner: tuple[int, int], seed: np.uint64, gain: np.float32, noise: tuple[np.float32, np.float32]) -> None:
    """Add gain and noise, in place.

    Parameters
    ----------
    image : (y, x), float32, reflectance
    corner : tuple of int
        Row and column of the first pixel on the band's own grid.
    seed : uint64
        Of band and date.
    gain : float32
    noise : tuple of float32
        Standard deviation in the dark, and its growth with reflectance.
    """
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            value = gain * image[i, j]
            spread = noise[0] + noise[1] * abs(value)
            image[i, j] = value + spread * bell(hash_of(seed, corner[0] + i, corner[1] + j))


@compiled
def count(image: Float32, window: tuple[int, int], repeat: int, out: npt.NDArray[np.uint16]) -> None:
    """Write a window as counts of 1e-4, 1…65535.

    Parameters
    ----------
    image : (y, x), float32, reflectance
    window : tuple of int
        Row and column, in output pixels, of the image at which the output starts.
    repeat : int
        Output pixels a pixel, along each side.
    out : (y, x), uint16
        Written.
    """
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            value = np.round(image[(window[0] + i) // repeat, (window[1] + j) // repeat] * np.float32(1e4))
            out[i, j] = np.uint16(min(max(value, np.float32(1)), np.float32(65535)))
