"""Stored integers to physical values, and these to the range of a model, in one pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.compiled import contracted
from xsentinel.kernels.threads import over_pixels


@contracted
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


@contracted
def _standardise(values, encoding, shift, width, limits, out, start, stop):
    scale, offset, nodata = encoding
    low, high = limits
    source, target = values[start:stop], out[start:stop]
    for p in range(target.size):
        stored = np.float32(source[p])
        value = np.float32(np.nan) if stored == nodata else stored * scale + offset
        value = (value - shift) / width
        value = low if value < low else value
        target[p] = high if value > high else value


def standardise(
    values: npt.NDArray[Any],
    encoding: tuple[float, float, float],
    shift: float,
    width: float,
    *,
    clip: bool = False,
    n_threads: int = 1,
) -> npt.NDArray[np.float32]:
    """Give (value - shift) / width as float32, of value = stored · scale + offset as `decode` gives it.

    Parameters
    ----------
    values : array, integers of up to 16 bits or floats
    encoding : (scale, offset, nodata)
        As in `decode`.
    shift, width : float
        In the unit of the values; the width is not 0.
    clip : bool
        Bring what lies below 0 to 0 and above 1 to 1; NaN stays NaN.
    n_threads : int

    Examples
    --------
    >>> standardise(np.array([0, 1000, 3000, 9000], np.uint16), (1e-4, 0, 0), 0.1, 0.4, clip=True).round(4)
    array([nan, 0. , 0.5, 1. ], dtype=float32)
    """
    flat = np.ascontiguousarray(values).reshape(-1)
    out = np.empty(flat.shape, np.float32)
    ends = (0.0, 1.0) if clip else (-np.inf, np.inf)
    numbers = tuple(np.float32(v) for v in encoding), np.float32(shift), np.float32(width), tuple(np.float32(v) for v in ends)
    over_pixels(lambda start, stop: _standardise(flat, *numbers, out, start, stop), flat.size, n_threads)
    return out.reshape(values.shape)


def shift_counts(counts: npt.NDArray[Any], shift: int, nodata: int) -> npt.NDArray[Any]:
    """Add to counts that are data, without wrapping and without making data nodata.

    Parameters
    ----------
    counts : array, integers of up to 16 bits
    shift, nodata : int

    Examples
    --------
    >>> shift_counts(np.array([0, 900, 5000, 65000], np.uint16), 1000, 0)
    array([    0,  1900,  6000, 65535], dtype=uint16)
    """
    if not shift:
        return counts
    limit = np.iinfo(counts.dtype)
    moved = (counts.astype(np.int32) + shift).clip(max(limit.min, nodata + 1), limit.max)
    return np.where(counts == nodata, nodata, moved).astype(counts.dtype)
