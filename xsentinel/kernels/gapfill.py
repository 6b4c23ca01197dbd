"""Gap filling, all methods by name; and the two layers that say what was filled.

Every ``fill_*`` takes ``(values, t_in, t_out, *, ...)`` with values (time_in, ...) and returns
(time_out, ...) float32. They share `max_gap`, `extrapolate`, `nodata`, `scale`, `offset` and
`n_threads`, described once in `fill_linear`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xsentinel.kernels.cressman import fill_cressman
from xsentinel.kernels.linear import days_row, fill_linear, fill_nearest, filled_row, join_neighbours
from xsentinel.kernels.savgol import fill_savgol
from xsentinel.kernels.series import (
    Float32,
    prepare_dates,
    prepare_decoding,
    prepare_limits,
    run_series,
    store_row,
    stream_row,
)
from xsentinel.kernels.whittaker import fill_whittaker

__all__ = [
    "days_to_observation",
    "fill_cressman",
    "fill_linear",
    "fill_nearest",
    "fill_savgol",
    "fill_whittaker",
    "flag_filled",
]


def flag_filled(
    values: NDArray[Any],
    t_in: ArrayLike,
    t_out: ArrayLike,
    *,
    nodata: float | None = None,
    n_threads: int = 1,
) -> NDArray[np.uint8]:
    """Flag the output dates that are not observations.

    Bands that share their gaps share this layer: give one band, or the mask of valid observations.

    Parameters
    ----------
    values : numpy.ndarray (time_in, ...), float32, uint16 or bool
        One band (gaps are NaN and `nodata`), or a mask that is True where observed.
    t_in, t_out : array-like (time_in), (time_out), days
        Dates given and wanted.
    nodata : float, optional
        Stored value of a gap.
    n_threads : int
        Threads over pixels.

    Returns
    -------
    numpy.ndarray (time_out, ...), uint8
        0 where the date is that of a valid observation; 1 elsewhere, filled or still a gap.

    Examples
    --------
    >>> flag_filled(np.array([[True], [False]]), [0, 10], [0, 5, 10]).ravel()
    array([0, 1, 1], dtype=uint8)
    """
    decoding = prepare_decoding(values.dtype, nodata, 1.0, 0.0)
    options = (filled_row, store_row, prepare_limits(None, False))
    dates = prepare_dates(t_in, t_out)
    return run_series(join_neighbours, values, dates, decoding, options, np.uint8, n_threads)


def days_to_observation(
    values: NDArray[Any],
    t_in: ArrayLike,
    t_out: ArrayLike,
    *,
    nodata: float | None = None,
    n_threads: int = 1,
) -> Float32:
    """Measure the days from each output date to the nearest valid observation, before or after.

    Parameters
    ----------
    values : numpy.ndarray (time_in, ...), float32, uint16 or bool
        One band (gaps are NaN and `nodata`), or a mask that is True where observed.
    t_in, t_out : array-like (time_in), (time_out), days
        Dates given and wanted.
    nodata : float, optional
        Stored value of a gap.
    n_threads : int
        Threads over pixels.

    Returns
    -------
    numpy.ndarray (time_out, ...), float32, days
        0 at observations; NaN for a series without any.

    Examples
    --------
    >>> days_to_observation(np.array([[True], [False]]), [0, 10], [0, 5, 10]).ravel()
    array([ 0.,  5., 10.], dtype=float32)
    """
    decoding = prepare_decoding(values.dtype, nodata, 1.0, 0.0)
    options = (days_row, stream_row, prepare_limits(None, False))
    dates = prepare_dates(t_in, t_out)
    return run_series(join_neighbours, values, dates, decoding, options, np.float32, n_threads)
