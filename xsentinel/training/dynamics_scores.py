"""How forecasts do on what came after: the columns of Estopinan's Table 1, for any model and method on any cube."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from xsentinel.cube import parse_dates
from xsentinel.errors import TimeError, XSentinelError
from xsentinel.forecasting import Method, Source, carry_on, chosen_bands, decoded, find_method, sort_dates
from xsentinel.kernels.forecast import BASELINES, spectral_angle

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Compared:
    """What was seen at one date after the past, and what was forecast for it."""

    step: int
    truth: Float32
    """(band, pixel)."""
    mean: Float32
    std: Float32


def evaluate_dynamics(
    models: Sequence[Source],
    cubes: Mapping[str, xr.Dataset],
    *,
    since: object | Sequence[object],
    horizons: Sequence[int] = (6, 18, 36, 73),
    exact: bool = False,
    freq: str | None = None,
) -> pd.DataFrame:
    """Compare forecasts with the observations that followed.

    Parameters
    ----------
    models : sequence of str, path or Model
        Models that forecast, and methods by name: "climatology", "persistence", "harmonic", "koopman".
    cubes : mapping from str to xarray.Dataset
        Named cubes, clouds masked, that go on after ``since``.
    since : date or sequence of dates
        First date that is not known; several are put together.
    horizons : sequence of int
        Steps, rising: a row for what lies up to each, beyond the one before; 0 to 30, 90, 180 and 365 days by
        default.
    exact : bool
        Rows of those very steps instead, as in Table 1.
    freq : str, optional
        Step of the methods, "5D" if not given.

    Returns
    -------
    pandas.DataFrame
        ``cube, model, steps, n`` (observations of a pixel), ``RMSE`` and ``SAE`` (mean spectral angle, radians), both
        · 10³, ``coverage`` of the 95 % interval, ``diverged`` share of pixels.

    Raises
    ------
    XSentinelError
        As `forecast`.
    TimeError
        If nothing was seen after a date.

    Examples
    --------
    >>> import xsentinel as xs
    >>> from xsentinel.training import evaluate_dynamics
    >>> cube = xs.sample("romania").s2.mask_clouds()
    >>> table = evaluate_dynamics(["climatology", "persistence"], {"forest": cube}, since="2019-01-01")
    >>> list(table.steps.unique())
    ['1–6', '7–18', '19–36', '37–73']
    """
    if not models or list(horizons) != sorted(set(horizons)) or min(horizons, default=0) < 1:
        raise XSentinelError(
            f"there are {len(models)} models, and horizons are {list(horizons)}; give one or more, and rising steps from 1 on"
        )
    origins = [since] if isinstance(since, str) or not isinstance(since, Sequence) else list(since)
    rows = []
    for name, cube in cubes.items():
        for model in models:
            method = find_method(model, freq if isinstance(model, str) and model in BASELINES else None)
            pairs, gone = [], []
            for origin in origins:
                found, diverged = compare(cube, method, origin, max(horizons))
                pairs += found
                gone.append(diverged)
            for low, high in zip((0, *horizons), horizons, strict=False):
                first = high if exact else low + 1
                chosen = [p for p in pairs if first <= p.step <= high]
                said = {"cube": name, "model": method.name, "steps": str(high) if exact or first == high else f"{first}–{high}"}
                rows.append(said | _scores(chosen) | {"diverged": float(np.mean(gone))})
    return pd.DataFrame(rows)


def compare(cube: xr.Dataset, method: Method, since: object, steps: int) -> tuple[list[Compared], float]:
    """Give forecasts and observations at each date from ``since`` on, up to so many steps, and the share that diverged."""
    cube, first = sort_dates(cube), np.datetime64(parse_dates([since])[0], "ns")
    after = cube["time"].values >= first
    if after.all() or not after.any():
        raise TimeError(
            f"{int((~after).sum())} dates lie before {since!s:.10} and {int(after.sum())} from it on; forecasts need some of both"
        )
    past, seen = (chosen_bands(cube.isel(time=chosen), method) for chosen in (~after, after))
    done, _ = carry_on(past, method, steps, ("std",))
    names = [str(b.name) for b in seen]
    mean, std = (np.stack([done[n + e].values.reshape(steps, -1) for n in names], 1) for e in ("", "_std"))
    truth = np.stack([decoded(b).values.reshape(b.sizes["time"], -1) for b in seen], 1)
    wait = (seen[0]["time"].values - past[0]["time"].values[-1]) / method.step.to_timedelta64()
    at = np.clip(np.round(wait).astype(int), 1, None)
    pairs = [Compared(int(k), truth[i], mean[k - 1], std[k - 1]) for i, k in enumerate(at) if k <= steps]
    return pairs, float((done["forecast_flags"].values.reshape(steps, -1)[-1] & 2 > 0).mean())


def _scores(pairs: Sequence[Compared]) -> dict[str, float]:
    """Score all pairs of a row together."""
    if not pairs:
        return {"n": 0, "RMSE": np.nan, "SAE": np.nan, "coverage": np.nan}
    truth, mean, std = (np.concatenate([getattr(p, f) for p in pairs], 1) for f in ("truth", "mean", "std"))
    apart = (mean - truth).astype(np.float64)
    both = np.isfinite(apart)
    angle = spectral_angle(truth, mean, axis=0)
    inside = (np.abs(apart) <= 1.96 * std)[both & np.isfinite(std)]
    return {
        "n": int(both.all(0).sum()),
        "RMSE": 1e3 * float(np.sqrt((apart[both] ** 2).mean())) if both.any() else np.nan,
        "SAE": 1e3 * float(np.nanmean(angle)) if np.isfinite(angle).any() else np.nan,
        "coverage": float(inside.mean()) if inside.size and np.nanmax(std) > 0 else np.nan,
    }
