"""Functions of single pixels over numpy or dask arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.kernels.threads import n_cores


def map_pixels(
    function: Callable[..., npt.NDArray[Any]], first: xr.DataArray, *others: xr.DataArray, dtype: npt.DTypeLike, **options: Any
) -> xr.DataArray:
    """Apply a function of blocks that takes ``n_threads``: all cores for arrays in memory, 1 under dask.

    Parameters
    ----------
    function : callable
        Blocks of ``first`` and ``others``, broadcast against one another, to one of ``dtype``.
    first, others : xarray.DataArray
        The attributes of the first are kept.
    dtype : dtype
        Of the result.
    **options
        Passed on.
    """
    options["n_threads"] = n_cores() if all(a.chunks is None for a in (first, *others)) else 1
    out: xr.DataArray = xr.apply_ufunc(
        function, first, *others, kwargs=options, dask="parallelized", output_dtypes=[np.dtype(dtype)], keep_attrs="override"
    )
    return out
