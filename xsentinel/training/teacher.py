"""SL2P as a teacher: a function, so that any spectrum can be labelled."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.sl2p import OUT_OF_RANGE, missing_floats, run_sl2p
from xsentinel.kernels.sl2p_tables import Storage, fold_domain, fold_network, load_set

Float32 = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]

TEACHER_BANDS = load_set("S2A", 20).bands
"""What SL2P looks at, in its order."""


def label_lai(bands: Float32, cosines: Float32, is_s2b: npt.NDArray[np.bool_]) -> tuple[Float32, UInt8]:
    """Label patches with SL2P's LAI and flags.

    Parameters
    ----------
    bands : (patch, band, y, x), float32
        Reflectance of `TEACHER_BANDS`.
    cosines : (patch, 3), float32
        cos(VZA), cos(SZA), cos(RAA).
    is_s2b : (patch,), bool
        Which coefficients.

    Returns
    -------
    lai : (patch, y, x), float32
        m² m⁻², NaN where a band is missing.
    flags : (patch, y, x), uint8
        As `xsentinel.products.biophysical`.
    """
    n, _, height, width = bands.shape
    lai, flags = np.empty((n, height, width), np.float32), np.empty((n, height, width), np.uint8)
    for platform in ("S2A", "S2B"):
        which = np.flatnonzero(is_s2b == (platform == "S2B"))
        if which.size:
            lai[which], flags[which] = _label(bands[which], cosines[which], *_tables(platform))
    return lai, flags


def in_range(bands: Float32, names: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Say where (patch, band, y, x) lies within the min–max of SL2P's definition domain, none missing."""
    ordered = bands[:, [names.index(band) for band in TEACHER_BANDS]]
    lai, flags = label_lai(ordered, np.full((len(bands), 3), 0.8, np.float32), np.zeros(len(bands), np.bool_))
    found: npt.NDArray[np.bool_] = np.isfinite(lai) & np.isfinite(bands).all(1) & (flags & OUT_OF_RANGE == 0)
    return found


@lru_cache(maxsize=2)
def _tables(platform: str) -> tuple[Any, Any]:
    coefficients, stored = load_set(platform, 20), Storage((1.0,) * len(TEACHER_BANDS), (0.0,) * len(TEACHER_BANDS))
    return fold_network(coefficients, ("lai",), stored, None), fold_domain(coefficients, stored)


def _label(bands: Float32, cosines: Float32, network: Any, domain: Any) -> tuple[Float32, UInt8]:
    n, n_bands, height, width = bands.shape
    flat = tuple(np.ascontiguousarray(bands[:, k]).reshape(-1) for k in range(n_bands))
    rows = np.ascontiguousarray(np.repeat(cosines.T.astype(np.float32), height * width, 1))
    out, flags = np.empty((1, flat[0].size), np.float32), np.empty((1, flat[0].size), np.uint8)
    run_sl2p(missing_floats, flat, rows, np.full(n_bands, np.nan, np.float32), network, domain, out, flags, 0, flat[0].size)
    return out.reshape(n, height, width), flags.reshape(n, height, width)
