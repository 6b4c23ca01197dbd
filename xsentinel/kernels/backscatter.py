"""Radar backscatter by the water-cloud model, and speckle."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.compiled import compiled
from xsentinel.kernels.hashing import bell, hash_of
from xsentinel.kernels.phenology import LAI

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


@compiled
def scatter(
    growth: Float32, fixed: Float64, parcels: npt.NDArray[np.int32], counts: npt.NDArray[np.uint8], facts: Float64, moisture: float
) -> Float32:
    r"""Give the backscatter of pixels.

    .. math:: \sigma^0 = A\cos\theta\,(1 - \tau^2) + \tau^2\,\sigma^0_{soil},
              \quad \tau^2 = e^{-2BL/\cos\theta}

    (Attema & Ulaby 1978), with L the leaf area index and the soil linear in moisture, in dB.

    Parameters
    ----------
    growth : (parcel, 4), float32
        As `grow`.
    fixed : (parcel,), float64
        Backscatter in dB where the model does not hold, else NaN.
    parcels : (y, x, slot), int32
    counts : (y, x, slot), uint8
        Samples of nine.
    facts : (5,), float64
        A, B, soil when dry (dB), its growth to wet (dB), the cosine of incidence.
    moisture : float
        0…1.

    Returns
    -------
    (y, x), float32, linear
    """
    own = np.empty(growth.shape[0], np.float32)
    for p in range(own.size):
        through = np.exp(-2.0 * facts[1] * growth[p, LAI] / facts[4])
        soil = 10.0 ** (0.1 * (facts[2] + facts[3] * moisture))
        own[p] = facts[0] * facts[4] * (1.0 - through) + through * soil if np.isnan(fixed[p]) else 10.0 ** (0.1 * fixed[p])
    height, width, slots = parcels.shape
    out = np.zeros((height, width), np.float32)
    for i in range(height):
        for j in range(width):
            for k in range(slots):
                if counts[i, j, k]:
                    out[i, j] += np.float32(counts[i, j, k]) / np.float32(9) * own[parcels[i, j, k]]
    return out


@compiled
def speckle(power: Float32, corner: tuple[int, int], seed: np.uint64, looks: float) -> Float32:
    """Multiply power by speckle and give decibels, (y, x), float32.

    Speckle is gamma of mean 1 with ``looks`` as its shape, drawn by Wilson & Hilferty's cube (1931).
    """
    height, width = power.shape
    out = np.empty((height, width), np.float32)
    spread = 1.0 / (9.0 * looks)
    for i in range(height):
        for j in range(width):
            root = 1.0 - spread + np.sqrt(spread) * bell(hash_of(seed, corner[0] + i, corner[1] + j))
            out[i, j] = 10.0 * np.log10(power[i, j] * max(root, 0.1) ** 3)
    return out
