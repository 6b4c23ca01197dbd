"""Stored integers to physical values, in one pass."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt


@numba.njit(nogil=True, error_model="numpy", fastmath={"contract"})
def _decode(values, scale, offset, nodata, out):
    for p in range(values.size):
        value = np.float32(values[p])
        out[p] = np.float32(np.nan) if value == nodata else value * scale + offset


def decode(values: npt.NDArray[Any], scale: float, offset: float, nodata: float) -> npt.NDArray[np.float32]:
    """Give stored · scale + offset as float32, NaN where stored = nodata.

    Nodata is compared before anything is computed, so nothing wraps and no offset makes it valid.

    Parameters
    ----------
    values : array, integers of up to 16 bits or floats
    scale, offset : float
    nodata : float
        NaN for none; NaN in ``values`` stays NaN.
    """
    flat = np.ascontiguousarray(values).reshape(-1)
    out = np.empty(flat.shape, np.float32)
    _decode(flat, np.float32(scale), np.float32(offset), np.float32(nodata), out)
    return out.reshape(values.shape)
