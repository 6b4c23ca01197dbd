"""How a model of LAI does beside SL2P: the columns of Albughdadi's tables 4 to 6, for any model on any cube."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from time import perf_counter
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from xsentinel.blocks.model import Model, load_model
from xsentinel.blocks.predict import Execution, Precision
from xsentinel.errors import XSentinelError
from xsentinel.inference import Sampling, infer
from xsentinel.kernels.scores import Agreement, agreement, rank_correlation
from xsentinel.kernels.sl2p import OUT_OF_DOMAIN, OUT_OF_RANGE, TOO_HIGH, TOO_LOW
from xsentinel.sl2p import estimate
from xsentinel.training.calibrate import HeldOut, coverage

Domain = Literal["range", "grid", "any"]

LEFT_OUT = {"range": OUT_OF_RANGE | TOO_LOW | TOO_HIGH, "grid": OUT_OF_DOMAIN | TOO_LOW | TOO_HIGH, "any": TOO_LOW | TOO_HIGH}
"""Flags of SL2P that take a pixel out of the comparison: by min–max, by SNAP's own rule, or only answers beyond its range."""


@dataclass(frozen=True)
class Row:
    """One image, or all of a cube."""

    image: str
    scores: Agreement
    interval: float
    """Half-width of the confidence interval of the mean: t σ/√T, as in tables 5 and 6 (two-sided)."""
    sigma: float
    """Mean standard deviation over the samples."""
    coverage: float
    """Share of pixels that the 95 % predictive interval holds."""
    rank: float
    """Rank correlation of σ and the absolute error."""
    seconds: float
    """Of one pass."""

    def columns(self) -> dict[str, Any]:
        """Lay the row out."""
        s = self.scores
        return {
            "image": self.image,
            "pixels": s.n,
            "correlation": s.correlation,
            "distance": s.distance,
            "MSE": s.mse,
            "R2": s.r2,
            "interval": self.interval,
            "sigma": self.sigma,
            "coverage 95 %": self.coverage,
            "rank": self.rank,
            "seconds": self.seconds,
        }


def evaluate_lai(
    model: str | PathLike[str] | Model,
    cubes: Mapping[str, xr.Dataset],
    *,
    samples: int = 30,
    domain: Domain = "range",
    by_date: bool = True,
    precision: Precision = "fp32",
) -> pd.DataFrame:
    """Compare a model with SL2P over clear pixels.

    Parameters
    ----------
    model : str, path or Model
        As `xsentinel.load_model`.
    cubes : mapping from str to xarray.Dataset
        Named cubes, clouds masked, with all that SL2P and the model need.
    samples : int
        Monte Carlo samples; 0: one pass only.
    domain : {"range", "grid", "any"}
        Pixels that count: inputs within SL2P's min–max; also on its grid of cells (SNAP's rule); or all.
    by_date : bool
        A row a date, before that of the whole cube.
    precision : {"fp32", "bf16", "auto"}

    Returns
    -------
    pandas.DataFrame
        Columns of tables 4 to 6: correlation, average distance [LAI], MSE, R², interval, σ, seconds of one
        pass; and the coverage of the 95 % predictive interval, and the rank correlation of σ with the error.

    Raises
    ------
    XSentinelError
        If the domain is not known, or as `lai`.

    Examples
    --------
    >>> import xsentinel as xs
    >>> from xsentinel.training import evaluate_lai
    >>> table = evaluate_lai("lai-unet", {"zurich": xs.sample("zurich", resolution=20)}, by_date=False)
    >>> bool(table.correlation[0] > 0.99)
    True
    """
    if domain not in LEFT_OUT:
        raise XSentinelError(f"domain is {domain!r}; it is one of {', '.join(LEFT_OUT)}")
    found = load_model(model)
    rows = [row for name, cube in cubes.items() for row in _cube_rows(name, cube, found, samples, domain, by_date, precision)]
    return pd.DataFrame([row.columns() for row in rows])


def _cube_rows(name: str, cube: xr.Dataset, model: Model, samples: int, domain: Domain, by_date: bool, precision: Precision) -> list[Row]:
    truth = estimate(cube, ("lai",)).compute()
    reference = truth["lai"].where((truth["lai_flags"] & LEFT_OUT[domain]) == 0).values
    execution = Execution(precision=precision)
    infer(cube, model, Sampling(), execution)["lai"].compute()  # reads the weights
    start = perf_counter()
    once = infer(cube, model, Sampling(), execution)["lai"].compute()
    seconds = perf_counter() - start
    maps = infer(cube, model, Sampling(samples), execution) if samples else {"lai": once, "lai_std": once * np.nan}
    mean, spread = (maps[key].compute().values for key in ("lai", "lai_std"))
    times = [str(t)[:10] for t in np.atleast_1d(cube["time"].values)] if "time" in cube.coords and by_date else []
    n_dates = reference.shape[0] if reference.ndim == 3 else 1
    rows = []
    if len(times) > 1:
        rows = [_row(f"{name} {t}", reference[i], mean[i], spread[i], model, samples, seconds / n_dates) for i, t in enumerate(times)]
    return [*rows, _row(name, reference, mean, spread, model, samples, seconds)]


def _row(name: str, truth: Any, mean: Any, spread: Any, model: Model, samples: int, seconds: float) -> Row:
    from scipy.special import stdtrit

    both = np.isfinite(truth) & np.isfinite(mean)
    y, m, s = truth[both], mean[both], spread[both]
    scores, nan = agreement(y, m), float("nan")
    if not samples or not y.size:
        return Row(name, scores, nan, nan, nan, nan, seconds)
    sigma = float(s.mean())
    held = coverage(model.card.calibration, HeldOut(y, m, s)) if model.card.calibration else nan
    interval = sigma * float(stdtrit(samples - 1, 0.975)) / samples**0.5
    return Row(name, scores, interval, sigma, held, rank_correlation(s, np.abs(y - m)), seconds)
