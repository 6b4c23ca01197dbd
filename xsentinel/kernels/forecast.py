"""Forecasts without learning, which learnt ones are held against: each a function of the past of a series.

Every ``forecast_*`` takes ``(values, t_in, t_out)`` with values (time_in, band, series), float32, NaN in gaps, and
days since 1970-01-01, the dates wanted regular and one step after the last given. It returns the forecast and its
standard deviation, each (time_out, band, series), float32; NaN where the past tells too little.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.linear import fill_linear

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Forecaster = Callable[[Float32, Float64, Float64], tuple[Float32, Float32]]

YEAR = 365.2425
"""Days."""

WINDOW = 10.0
"""Days of the year around one that its climatology looks at (standard deviation of Gaussian weights)."""

FAR = 45.0
"""The same for days of the year that nothing was seen near."""

HARMONICS = 2
"""Waves a year of the regression: one a year, and one twice a year."""

RIDGE = 1e-3
"""Of the mean variance, added to normal equations, so that series with few dates have a solution."""

AT_ONCE = 4096
"""Series whose normal equations are solved together."""


def forecast_persistence(values: Float32, t_in: Float64, t_out: Float64) -> tuple[Float32, Float32]:
    r"""Hold the last observation of each band; its standard deviation is :math:`\sqrt 2` times that of the past.

    Examples
    --------
    >>> y = np.array([0.1, 0.3, np.nan], np.float32)[:, None, None]
    >>> forecast_persistence(y, np.arange(3.0), np.arange(3.0, 5.0))[0].ravel()
    array([0.3, 0.3], dtype=float32)
    """
    seen = np.isfinite(values)
    last = values.shape[0] - 1 - np.argmax(seen[::-1], axis=0)
    held = np.take_along_axis(values, last[None], 0)
    shape = (t_out.size, *values.shape[1:])
    n = seen.sum(0)
    middle = _divide(np.where(seen, values, 0).sum(0), n)
    spread = np.sqrt(2 * _divide(np.where(seen, (values - middle) ** 2, 0).sum(0), n - 1))
    return np.broadcast_to(held, shape).copy(), np.broadcast_to(spread, shape).astype(np.float32)


def forecast_climatology(values: Float32, t_in: Float64, t_out: Float64) -> tuple[Float32, Float32]:
    r"""Take the mean of all years around the same day of the year.

    .. math:: \hat y(t) = \sum_i w_i y_i \Big/ \sum_i w_i, \quad
              w_i = e^{-d(t, t_i)^2 / 2 \cdot 10^2} + 10^{-3} e^{-d(t, t_i)^2 / 2 \cdot 45^2}

    with d the distance in days of the year: where no year has anything near, what is farther counts. The variance is
    that about this mean, with the mean square error of the dates left out one by one as one more observation.

    Examples
    --------
    >>> t = np.array([0.0, 182.0])
    >>> y = np.array([0.1, 0.5], np.float32)[:, None, None]
    >>> forecast_climatology(y, t, np.array([365.0]))[0].ravel().round(3)
    array([0.1], dtype=float32)
    """
    mean, square = (season_mean(v, t_in, t_out) for v in (values, values**2))
    missed = (values - season_mean(values, t_in, t_in, apart=0.01)) ** 2
    seen = np.isfinite(missed)
    missed = _divide(np.where(seen, missed, 0).sum(0), seen.sum(0))
    total = (_likeness(t_out, t_in) @ seen.reshape(t_in.size, -1).astype(np.float32)).reshape(mean.shape)
    spread = np.sqrt((np.maximum(square - mean**2, 0) * total + missed) / (total + 1))
    return mean, spread.astype(np.float32)


def season_mean(values: Float32, t_in: Float64, t: Float64, apart: float = 0.0) -> Float32:
    """Give the weighted mean (time, band, series) of `forecast_climatology` at dates t, of observations at least ``apart`` days away.

    Examples
    --------
    >>> y = np.array([0.1, 0.3], np.float32)[:, None, None]
    >>> season_mean(y, np.array([0.0, 365.0]), np.array([0.0]), apart=180).ravel()
    array([0.3], dtype=float32)
    """
    seen = np.isfinite(values).reshape(t_in.size, -1)
    flat = np.where(seen, values.reshape(t_in.size, -1), 0)
    weights = np.where(np.abs(t[:, None] - t_in[None]) < apart, np.float32(0), _likeness(t, t_in))
    return _divide(weights @ flat, weights @ seen.astype(np.float32)).reshape(t.size, *values.shape[1:])


def _likeness(t: Float64, t_in: Float64) -> Float32:
    """Give weights (time, time_in) by days of the year."""
    apart = np.abs((t[:, None] - t_in[None] + YEAR / 2) % YEAR - YEAR / 2)
    out: Float32 = (np.exp(-0.5 * (apart / WINDOW) ** 2) + 1e-3 * np.exp(-0.5 * (apart / FAR) ** 2)).astype(np.float32)
    return out


def forecast_harmonic(values: Float32, t_in: Float64, t_out: Float64) -> tuple[Float32, Float32]:
    r"""Continue a line and two waves a year, fitted by least squares; the standard deviation is of its residuals.

    .. math:: \hat y(t) = a + b t + \sum_{k=1}^{2} c_k \cos(2\pi k t / \text{year}) + d_k \sin(2\pi k t / \text{year})

    The line is fitted only where the past is longer than two years, as it would follow the season otherwise.

    Examples
    --------
    >>> t = np.arange(0, 1000.0, 10)
    >>> y = (0.3 + 0.1 * np.cos(2 * np.pi * t / 365.2425)).astype(np.float32)[:, None, None]
    >>> future, _ = forecast_harmonic(y, t, np.array([1010.0]))
    >>> bool(abs(future[0, 0, 0] - 0.3 - 0.1 * np.cos(2 * np.pi * 1010 / 365.2425)) < 1e-3)
    True
    """
    past, future = _waves(t_in, t_in), _waves(t_out, t_in)
    n_terms = past.shape[1]
    products = (past[:, :, None] * past[:, None, :]).reshape(t_in.size, -1)
    flat = values.reshape(t_in.size, -1)
    mean, spread = np.empty((t_out.size, flat.shape[1]), np.float32), np.empty(flat.shape[1], np.float32)
    for start in range(0, flat.shape[1], AT_ONCE):
        y = flat[:, start : start + AT_ONCE].astype(np.float64)
        seen = np.isfinite(y)
        y = np.where(seen, y, 0)
        gram = (seen.T.astype(np.float64) @ products).reshape(-1, n_terms, n_terms) + 1e-6 * np.eye(n_terms)
        terms = np.linalg.solve(gram, (y.T @ past)[..., None])[..., 0]
        n = seen.sum(0)
        left = np.where(seen, y - past @ terms.T, 0)
        enough = n >= 2 * n_terms
        mean[:, start : start + AT_ONCE] = np.where(enough, future @ terms.T, np.nan)
        spread[start : start + AT_ONCE] = np.where(enough, np.sqrt((left**2).sum(0) / np.maximum(n - n_terms, 1)), np.nan)
    shape = (t_out.size, *values.shape[1:])
    return mean.reshape(shape), np.broadcast_to(spread, mean.shape).reshape(shape).copy()


def _waves(t: Float64, t_in: Float64) -> Float64:
    """Give the terms (time, term) of the regression; time in years from the middle of the past."""
    years = (t - (t_in[0] + t_in[-1]) / 2) / YEAR
    angles = 2 * np.pi * t[:, None] / YEAR * np.arange(1, HARMONICS + 1)
    trend = [years] if t_in[-1] - t_in[0] > 2 * YEAR else []
    return np.column_stack([np.ones(t.size), *trend, np.cos(angles), np.sin(angles)])


def forecast_koopman(values: Float32, t_in: Float64, t_out: Float64) -> tuple[Float32, Float32]:
    r"""Continue by the linear map that carries each series on best (dynamic mode decomposition).

    :math:`X_{t+1} - m = A\,(X_t - m)` with :math:`X = [s, s']` on regular dates, filled on a line, and A by least
    squares with a small ridge, series by series, brought to a spectral radius of 1 at most. The covariance of its
    residuals, carried on by A as a Kalman filter does, gives the standard deviation.

    Examples
    --------
    >>> t = np.arange(0, 400.0, 5)
    >>> y = (0.3 + 0.1 * np.cos(2 * np.pi * t / 100)).astype(np.float32)[:, None, None]
    >>> future, _ = forecast_koopman(y, t, np.array([400.0, 405.0]))
    >>> bool(abs(future[1, 0, 0] - 0.3 - 0.1 * np.cos(2 * np.pi * 405 / 100)) < 0.01)
    True
    """
    step, last = t_out[0] - t_in[-1], t_in[-1]
    n_dates = max(int((last - t_in[0]) // step) + 1, 2)
    dates = last - step * np.arange(n_dates)[::-1]
    n_bands, n_series = values.shape[1:]
    flat = np.ascontiguousarray(values.reshape(t_in.size, -1))
    filled = fill_linear(flat, t_in, dates, extrapolate="nearest").reshape(n_dates, n_bands, n_series)
    out = np.full((2, t_out.size, n_bands, n_series), np.nan, np.float32)
    for start in range(0, n_series, AT_ONCE // 8):
        chosen = slice(start, start + AT_ONCE // 8)
        series = np.moveaxis(filled[:, :, chosen], 2, 0).astype(np.float64)
        there = np.isfinite(series).all((1, 2))
        if there.any() and n_dates > 3:
            out[:, :, :, chosen][..., there] = np.moveaxis(_linear_dynamics(series[there], t_out.size), 1, -1)
    return out[0], out[1]


def _linear_dynamics(series: Float64, steps: int) -> Float64:
    """Carry series (series, time, band) on; give (mean and deviation, series, step, band)."""
    n_bands = series.shape[2]
    states = np.concatenate([series[:, 1:], np.diff(series, axis=1)], 2)
    middle = states.mean(1, keepdims=True)
    states = states - middle
    scale = states.std(1, keepdims=True) + 1e-6
    before, after = states[:, :-1] / scale, states[:, 1:] / scale
    gram = before.transpose(0, 2, 1) @ before / before.shape[1] + RIDGE * np.eye(2 * n_bands)
    carry = np.linalg.solve(gram, before.transpose(0, 2, 1) @ after / before.shape[1])
    radius = np.abs(np.linalg.eigvals(carry)).max(1)
    carry = carry / np.maximum(radius, 1)[:, None, None]
    left = after - before @ carry
    noise = left.transpose(0, 2, 1) @ left / left.shape[1]
    state, covariance = states[:, -1:] / scale, np.zeros_like(noise)
    out = np.empty((2, len(series), steps, n_bands))
    for k in range(steps):
        state = state @ carry
        covariance = carry.transpose(0, 2, 1) @ covariance @ carry + noise
        out[0, :, k] = (state * scale + middle)[:, 0, :n_bands]
        out[1, :, k] = (np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)) * scale[:, 0])[:, :n_bands]
    return out


BASELINES: dict[str, Forecaster] = {
    "persistence": forecast_persistence,
    "climatology": forecast_climatology,
    "harmonic": forecast_harmonic,
    "koopman": forecast_koopman,
}
"""Forecasts by name."""


def spectral_angle(truth: npt.NDArray[np.floating], estimate: npt.NDArray[np.floating], axis: int = -1) -> Float64:
    r"""Give the angle between spectra along an axis, radians: :math:`\arccos(a \cdot b / |a||b|)`; NaN where a band is.

    Examples
    --------
    >>> round(float(spectral_angle(np.array([1.0, 0.0]), np.array([1.0, 1.0]))), 3)
    0.785
    """
    a, b = truth.astype(np.float64), estimate.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        a, b = (v / np.linalg.norm(v, axis=axis, keepdims=True) for v in (a, b))
    # the half-angle form, as arccos loses half the digits of small angles
    out: Float64 = 2 * np.arctan2(np.linalg.norm(a - b, axis=axis), np.linalg.norm(a + b, axis=axis))
    return out


def _divide(a: npt.NDArray[np.floating], b: npt.NDArray[np.number]) -> Float32:
    """Divide, NaN where b is not above 1e-12."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(b > 1e-12, a / b, np.nan).astype(np.float32)
