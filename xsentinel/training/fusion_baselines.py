"""What a fusion must beat: the last clear leaf area, linear filling, and regressions of single pixels on the same features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from xsentinel.blocks.fusion import LAYERS
from xsentinel.kernels.linear import fill_linear
from xsentinel.models.planes import MASK_CLASSES
from xsentinel.training.fusion_batches import Bool, Sample, sample_of
from xsentinel.training.fusion_series import FusionSeries

Float32 = npt.NDArray[np.float32]

MOST_PIXELS = 60_000
"""That regressions are fitted to."""

TREES, LEAF = 60, 5
"""Of the random forest, and samples in a leaf at the least."""


class Regressor(Protocol):
    """What scikit-learn's regressors are."""

    def fit(self, x: Any, y: Any) -> Any:
        """Learn."""
        ...

    def predict(self, x: Any) -> Any:
        """Answer."""
        ...


def seen_lai(series: FusionSeries, date: int, hidden: Bool | None = None) -> Float32:
    """Give leaf area of all dates, (time, y, x), NaN where it is not known, at the date itself, and where the past is hidden."""
    lai: Float32 = series.layers[LAYERS.index("lai")].copy()
    lai[date] = np.nan
    if hidden is not None:
        n = min(len(hidden), date)
        lai[date - n : date][hidden[len(hidden) - n :]] = np.nan
    return lai


def last_clear(series: FusionSeries, date: int, hidden: Bool | None = None) -> Float32:
    """Give the last leaf area before a date that is known, however old, (y, x); NaN if there is none."""
    past = seen_lai(series, date, hidden)[:date]
    out = np.full(series.target.shape[1:], np.nan, np.float32)
    for image in past:
        np.copyto(out, image, where=np.isfinite(image))
    return out


def linear(series: FusionSeries, date: int, hidden: Bool | None = None) -> Float32:
    """Give leaf area on the line between the known dates before and after a date, (y, x): it sees the future."""
    lai = seen_lai(series, date, hidden)
    filled: Float32 = fill_linear(lai, series.dates.days, series.dates.days[date : date + 1])[0]
    return filled


def features(planes: Float32, names: Sequence[str]) -> Float32:
    """Give the planes of pixels as regressions take them, (pixel, feature): classes one-hot, all else as it is."""
    columns: list[Float32] = []
    for plane, name in zip(planes.reshape(len(planes), -1), names, strict=True):
        if name.startswith("class_"):
            columns += [(plane == k).astype(np.float32) for k in range(len(MASK_CLASSES))]
        else:
            columns.append(plane)
    return np.stack(columns, 1)


def fit_pixels(series: Sequence[FusionSeries], names: Sequence[str], *, seed: int = 0, most: int = MOST_PIXELS) -> dict[str, Regressor]:
    """Fit multiple linear regression and a random forest to pixels of the dates that a network would be trained on."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.linear_model import LinearRegression

    rng = np.random.default_rng(seed)
    dated = [(one, date) for one in series for date in one.usable(names)]
    chosen = [dated[i] for i in rng.permutation(len(dated))[:2000]]
    each = max(1, most // max(1, len(chosen)))
    drawn = [_pixels(sample_of(one, date, names), names, each, rng) for one, date in chosen]
    x, y = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    forest = RandomForestRegressor(TREES, min_samples_leaf=LEAF, max_features=0.5, n_jobs=1, random_state=seed)
    return {"MLR": LinearRegression().fit(x, y), "RF": forest.fit(x, y)}


def _pixels(sample: Sample, names: Sequence[str], n: int, rng: np.random.Generator) -> tuple[Float32, Float32]:
    """Draw pixels that have a target and an answer."""
    there = np.flatnonzero(np.isfinite(sample.target) & np.isfinite(sample.planes[0]))
    chosen = rng.permutation(there)[:n]
    return features(sample.planes.reshape(len(names), -1)[:, chosen], names), sample.target.reshape(-1)[chosen]


def answer_pixels(fitted: Regressor, planes: Float32, names: Sequence[str]) -> Float32:
    """Give the answers of a regression, (y, x), NaN where there is none."""
    out = np.full(planes.shape[1:], np.nan, np.float32)
    there = np.isfinite(planes[0])
    if there.any():
        out[there] = fitted.predict(features(planes[:, there], names)).clip(0, 8)
    return out
