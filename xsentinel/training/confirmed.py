"""Labels that a first map confirms: the reliable samples of Weikmann et al. (2021)."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.blocks.reduce import Reduction, reduce_blocks
from xsentinel.errors import GridError, XSentinelError

Array = npt.NDArray[Any]

CODES = 256
"""Of uint8."""

STEPS = 1024
"""Steps of confidence from 0 to 1 that a quantile is found to."""


def reliable(labels: xr.DataArray, maps: xr.Dataset, *, quantile: float = 0.25) -> xr.DataArray:
    r"""Keep the labels that a map agrees with, and is sure of.

    A pixel labelled u stays if the map gives it to u with a confidence above the ``quantile`` of the confidence of all
    pixels that the map gives to u:

    .. math:: M^{pred} = M^{ref} = u \;\wedge\; p > Q_{0.25}\{p : M^{pred} = u\}

    Parameters
    ----------
    labels : xarray.DataArray (y, x)
        uint8 with CF flags, 0 for none: the thematic map, which may be wrong.
    maps : xarray.Dataset
        ``class`` and ``confidence`` (y, x) on the same grid, as `crops` gives them, with the same codes.
    quantile : float
        Of each class, from 0 to below 1; 0.25 in the paper. 0 keeps all that agree.

    Returns
    -------
    xarray.DataArray (y, x)
        The labels, 0 where one is not reliable; lazy if they are. The thresholds of the classes stand in its attributes
        (``least_confidence``, in the order of ``flag_values``), found in one pass over the maps, to 1/1024;
        at most 1023/1024, so that a class that is mapped with all but certainty keeps its labels.

    Raises
    ------
    GridError
        If labels and maps are not on one grid.
    XSentinelError
        If a map is missing, or the quantile is out of range.

    References
    ----------
    Weikmann, Paris & Bruzzone (2021), section 2.

    Examples
    --------
    >>> flags = {"flag_values": np.array([1, 2], np.uint8), "flag_meanings": "maize rye"}
    >>> labels = xr.DataArray(np.array([[1, 1, 1, 2, 2]], np.uint8), dims=("y", "x"), attrs=flags)
    >>> maps = xr.Dataset({"class": labels.copy(data=np.array([[1, 1, 2, 2, 2]], np.uint8)),
    ...                    "confidence": (("y", "x"), np.array([[0.6, 0.9, 0.9, 0.5, 0.8]], np.float32))})
    >>> reliable(labels, maps).values
    array([[0, 1, 0, 0, 2]], dtype=uint8)
    """
    missing = [name for name in ("class", "confidence") if name not in maps]
    if missing or not 0 <= quantile < 1:
        raise XSentinelError(
            f"reliable needs the maps class and confidence, and a quantile from 0 to below 1; missing: {', '.join(missing) or 'none'}, "
            f"quantile: {quantile}"
        )
    found, sure = (maps[name].transpose("y", "x") for name in ("class", "confidence"))
    label = labels.transpose("y", "x")
    try:
        xr.align(label, found, join="exact", copy=False)
    except ValueError as err:
        raise GridError(f"labels and maps are not on one grid: {err}; lay the labels on the grid of the cube that was mapped") from err
    limits = _limits(found, sure, quantile)
    kept = xr.apply_ufunc(partial(_keep, limits=limits), label, found, sure, dask="parallelized", output_dtypes=[label.dtype])
    codes = np.atleast_1d(label.attrs.get("flag_values", []))
    said = {"reliable_quantile": quantile, "least_confidence": limits[codes].astype(np.float32)} if codes.size else {}
    out: xr.DataArray = kept.assign_attrs(label.attrs | said).rename(label.name)
    return out


def _limits(found: xr.DataArray, sure: xr.DataArray, quantile: float) -> npt.NDArray[np.float32]:
    """Give the confidence above which a label of each code is reliable, (256,): the upper end of the quantile's step."""
    if quantile == 0:
        return np.zeros(CODES, np.float32)
    keys = xr.apply_ufunc(_keyed, found, sure, dask="parallelized", output_dtypes=[np.uint32]).data
    ((counts,),) = reduce_blocks([keys[None]], [Reduction(_counted, sum, lambda part: part)])
    below = counts.reshape(CODES, STEPS).cumsum(1)
    steps = (below < np.maximum(quantile * below[:, -1:], 1)).sum(1)
    # of the last step nothing would be above its upper end: a network that is all but sure keeps what it is all but sure of
    out: npt.NDArray[np.float32] = (np.minimum(steps + 1, STEPS - 1) / STEPS).astype(np.float32)
    return out


def _keyed(found: Array, sure: Array) -> Array:
    """Give class and step of confidence as one number; where there is no class, that of class 0."""
    step = np.clip(np.nan_to_num(sure) * STEPS, 0, STEPS - 1).astype(np.uint32)
    keys: Array = found.astype(np.uint32) * np.uint32(STEPS) + step
    return keys


def _counted(keys: Array, _: int) -> Array:
    counts: Array = np.bincount(keys.ravel(), minlength=CODES * STEPS)
    return counts


def _keep(label: Array, found: Array, sure: Array, limits: Array) -> Array:
    kept: Array = np.where((label == found) & (sure > limits[found]), label, label.dtype.type(0))
    return kept
