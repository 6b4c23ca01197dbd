"""Masks by class, and masked values, in one pass each."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.compiled import compiled
from xsentinel.kernels.threads import over_pixels


@compiled
def _hide(values, hidden, fill, out, start, stop):
    source, mask, target = values[start:stop], hidden[start:stop], out[start:stop]
    for p in range(target.size):
        target[p] = fill if mask[p] else source[p]


def hide(values: npt.NDArray[Any], hidden: npt.NDArray[np.bool_], fill: float, n_threads: int = 1) -> npt.NDArray[Any]:
    """Give the values with ``fill`` where hidden, in their own dtype.

    numpy's and xarray's ``where`` take four to five times as long on uint16.

    Parameters
    ----------
    values : array
    hidden : array of bool
        Broadcast to the values.
    fill : float
        Of the values' dtype.
    n_threads : int
    """
    flat = np.ascontiguousarray(values).reshape(-1)
    mask = np.ascontiguousarray(np.broadcast_to(hidden, values.shape)).reshape(-1)
    out = np.empty_like(flat)
    over_pixels(lambda start, stop: _hide(flat, mask, flat.dtype.type(fill), out, start, stop), flat.size, n_threads)
    return out.reshape(values.shape)


@compiled
def _is_one_of(classes, table, out, start, stop):
    source, target = classes[start:stop], out[start:stop]
    for p in range(target.size):
        target[p] = table[source[p]]


def is_one_of(classes: npt.NDArray[np.uint8], codes: tuple[int, ...], n_threads: int = 1) -> npt.NDArray[np.bool_]:
    """Tell which pixels are of one of the classes, by a table of 256 entries.

    Examples
    --------
    >>> is_one_of(np.array([4, 9, 3], np.uint8), (3, 9)).tolist()
    [False, True, True]
    """
    table = np.isin(np.arange(256), codes)
    flat = np.ascontiguousarray(classes).reshape(-1)
    out = np.empty(flat.shape, np.bool_)
    over_pixels(lambda start, stop: _is_one_of(flat, table, out, start, stop), flat.size, n_threads)
    return out.reshape(classes.shape)
