"""Seasons of simulated fields and the time that they take: ``python -m benchmarks.phenology [--side 48]``, one core.

Accuracy: a simulated year with clouds and noise; the truth is the same threshold (half the amplitude) on the daily leaf area of the
simulation, which knows no noise. Once leaf area is the truth at the dates that are clear, with errors of 10 % and 0.05 and one
date in twenty lowered as by thin cloud; once it is SL2P's of the simulated cube. The smoother's λ is that which does best
here: a user has no truth to choose it by.

Real fields (with ``XSENTINEL_DATA``): no truth is there, but a curve that is right meets dates that it was not fitted to. A fifth of the
clear dates is held back, and what each way says of them compared with SL2P's leaf area, pixel by pixel.

Speed: the same series, beside ``scipy.optimize.curve_fit`` with the same curve and bounds, begun where a user would begin it. No other
package for it that PyPI has runs on Linux (phenofit and phenology hold libraries for Windows; TIMESAT is not there).
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from scipy.optimize import OptimizeWarning, curve_fit

import xsentinel as xs
from xsentinel.kernels.double_logistic import fit_seasons
from xsentinel.kernels.gapfill import fill_linear, fill_whittaker

YEAR, HALF = 2018, 0.5
LAMBDAS = (1e2, 1e3, 1e4, 3e4, 1e5)
GROUPS = {"crops, one harvest": (1, 2, 3, 4, 5, 6), "trees and shrubs": (8, 10, 11), "grassland, cut": (7,)}
"""Classes of the simulation."""

NAMES = ("start", "end")


def scenes(side: int, orbits: int, seed: int) -> tuple[xr.DataArray, xr.DataArray, xr.Dataset]:
    """Give SL2P's leaf area at clear dates, true leaf area at the same dates, and daily truth."""
    dates = xs.simulate.overpasses(f"{YEAR}-01-01", f"{YEAR}-12-31", seed=seed, orbits=orbits)
    seen = xs.simulate.landscape((side, side), list(dates), seed=seed, resolution=20)
    daily = [str(d)[:10] for d in pd.date_range(f"{YEAR}-01-01", f"{YEAR}-12-31")]
    truth = xs.simulate.landscape((side, side), daily, seed=seed, resolution=20).truth[["lai", "class"]].compute()
    found = seen.cube.s2.mask_clouds(dilate=40).s2.lai().lai.compute()
    return found, seen.truth["lai"].compute().where(found.notnull()), truth


def with_errors(lai: xr.DataArray, seed: int) -> xr.DataArray:
    """Add noise, and lower one value in twenty."""
    rng = np.random.default_rng(seed)
    noisy = lai.values * (1 + rng.normal(0, 0.1, lai.shape)) + rng.normal(0, 0.05, lai.shape)
    hit = rng.random(lai.shape) < 0.05
    noisy[hit] *= rng.uniform(0.1, 0.8, hit.sum())
    return lai.copy(data=noisy.astype(np.float32))


def smoothed(lai: xr.DataArray, lmbda: float) -> xr.DataArray:
    """Smooth onto every fifth day."""
    times = pd.date_range(f"{YEAR}-01-01", f"{YEAR}-12-31", freq="5D")
    first = np.datetime64(f"{YEAR}-01-01")
    given, wanted = ((np.asarray(t) - first) / np.timedelta64(1, "D") for t in (lai.time, times))
    values = fill_whittaker(lai.values, given, wanted, lmbda=lmbda)
    return xr.DataArray(values, {"time": times, "y": lai.y, "x": lai.x}, ("time", "y", "x"))


def marks(lai: xr.DataArray, method: str) -> xr.Dataset:
    """Tell the season of the year."""
    return lai.s2.phenology(method=method, threshold=HALF, least=1.0, years=(YEAR, YEAR)).isel(year=0)


def errors(found: xr.Dataset, true: xr.Dataset, here: np.ndarray) -> list[np.ndarray]:
    """Give errors of start and end where a season is, days."""
    return [(found[m] - true[m]).values[here & np.isfinite(true.start.values) & np.isfinite(true.end.values)] for m in NAMES]


def row(name: str, group: str, wrong: list[np.ndarray]) -> str:
    """Write mean absolute error and bias of start and end, and the share that was found."""
    there = [e[np.isfinite(e)] for e in wrong]
    both = np.isfinite(wrong[0]) & np.isfinite(wrong[1])
    cells = [f"{np.abs(e).mean():.1f} ({np.median(np.abs(e)):.1f}, {e.mean():+.1f})" for e in there]
    return f"| {name} | {group} | {len(both)} | {cells[0]} | {cells[1]} | {both.mean():.1%} |"


def accuracy(side: int, seeds: int) -> None:
    """Print errors of start and end."""
    print("| leaf area, dates a year | method | cover | series | start: mean error, d (median, bias) | end | found |")
    print("|---|---|---|---|---|---|---|")
    for orbits in (1, 2):
        made = [scenes(side, orbits, seed) for seed in range(3, 3 + seeds)]
        for source in ("truth with errors", "SL2P of the cube"):
            series = [with_errors(m[1], k) if source.startswith("truth") else m[0] for k, m in enumerate(made)]
            clear = np.mean([float(s.notnull().sum("time").mean()) for s in series])
            true = [marks(m[2].lai, "threshold") for m in made]
            classes = [m[2]["class"].values for m in made]
            ways: dict[str, list[xr.Dataset]] = {"threshold": [marks(s, "threshold") for s in series]}
            for lmbda in LAMBDAS:
                ways[f"Whittaker {lmbda:g}, threshold"] = [marks(smoothed(s, lmbda), "threshold") for s in series]
            ways["double logistic"] = [marks(s, "double_logistic") for s in series]
            for group, codes in GROUPS.items():
                wrong = {
                    w: [
                        np.concatenate(e)
                        for e in zip(*(errors(f, t, np.isin(c, codes)) for f, t, c in zip(found, true, classes, strict=True)), strict=True)
                    ]
                    for w, found in ways.items()
                }
                tuned = min((w for w in ways if w.startswith("Whit")), key=lambda w: np.nanmean(np.abs(np.concatenate(wrong[w]))))
                for way in ("threshold", f"Whittaker {LAMBDAS[0]:g}, threshold", tuned, "double logistic"):
                    print(row(f"{source}, {clear:.0f} | {way}", group, wrong[way]), flush=True)


def held_out(data: Path) -> None:
    """Print errors at dates held back, over a year of Belgian fields."""
    cube = xs.open(data / "cubes" / "worldcereal" / "00002806639B424A", resolution=20, chunks=None)
    lai = cube.s2.mask_clouds(dilate=40).s2.lai().lai.sel(time=str(YEAR)).compute()
    rng = np.random.default_rng(0)
    away = rng.random(lai.sizes["time"]) < 0.2
    kept = lai.where(xr.DataArray(~away, {"time": lai.time}, "time"))
    fitted = kept.s2.phenology(method="double_logistic", years=(YEAR, YEAR), fitted=True)
    days = ((lai.time.values - lai.time.values[0]) / np.timedelta64(1, "D")).astype(float)
    ways = {"linear": fill_linear(kept.values, days, days)}
    ways |= {f"Whittaker {lmbda:g}": fill_whittaker(kept.values, days, days, lmbda=lmbda) for lmbda in LAMBDAS}
    ways["double logistic"] = fitted.fitted.values
    there = np.all([np.isfinite(v) for v in ways.values()], 0) & np.isfinite(lai.values) & away[:, None, None]
    converged = float((fitted.fit == 0).mean())
    print(f"\n| Belgium {YEAR}, {there.sum()} values held back, {converged:.1%} fitted | RMSE, LAI | mean absolute error |\n|---|---|---|")
    for name, values in ways.items():
        wrong = (values - lai.values)[there]
        print(f"| {name} | {np.sqrt((wrong**2).mean()):.2f} | {np.abs(wrong).mean():.2f} |")


def curve(t: np.ndarray, s: float, r: float, d: float, q: float, b: float, up: float, down: float) -> np.ndarray:
    """Give the double logistic."""
    return b + up / (1 + np.exp(-(t - s) / r)) - down / (1 + np.exp(-(t - s - d) / q))


def by_scipy(series: np.ndarray, days: np.ndarray) -> int:
    """Fit each series; return how many did not converge."""
    lost = 0
    for values in series:
        there = np.isfinite(values)
        t, y = days[there], values[there].astype(float)
        span, peak = np.ptp(y), t[np.argmax(y)]
        first = (max(peak - 50, t[0]), 10, 100, 10, y.min(), span, span)
        bounds = ([t[0] - 60, 2, 5, 2, -np.inf, 0, 0], [t[-1], 60, 485, 60, np.inf, np.inf, np.inf])
        try:
            curve_fit(curve, t, y, first, bounds=bounds)
        except RuntimeError:
            lost += 1
    return lost


def timed(run: Callable[[], object]) -> float:
    """Give the least seconds of three runs, after one that compiles."""
    run()
    took = []
    for _ in range(3):
        start = time.process_time()
        run()
        took.append(time.process_time() - start)
    return min(took)


def speed(side: int, few: int) -> None:
    """Print microseconds a series, beside scipy."""
    lai = with_errors(scenes(side, 2, 3)[1], 0)
    series = np.ascontiguousarray(lai.values.reshape(lai.sizes["time"], -1).T)
    series = series[np.isfinite(series).sum(1) > 10]
    days = ((lai.time.values - lai.time.values[0]) / np.timedelta64(1, "D")).astype(float)
    edges = np.array([0, len(days)])
    ours = timed(lambda: fit_seasons(series, days, edges)) / len(series)
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        lost = by_scipy(series[:few], days)
    theirs = (time.process_time() - start) / few
    n = np.isfinite(series).sum(1).mean()
    print(f"\n| {len(series)} series of {n:.0f} dates seen, one core | µs a series | |\n|---|---|---|")
    print(f"| xsentinel, three reweightings and all marks | {ours * 1e6:.0f} | {1 / ours:.0f} series a second |")
    print(
        f"| scipy curve_fit, least squares once ({few} series, {lost} without result) | {theirs * 1e6:.0f} | {theirs / ours:.0f} × ours |"
    )


def main() -> None:
    """Print what is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=48)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--few", type=int, default=200)
    asked = parser.parse_args()
    print(f"xsentinel {xs.__version__}")
    accuracy(asked.side, asked.seeds)
    if folder := os.environ.get("XSENTINEL_DATA"):
        held_out(Path(folder))
    speed(asked.side, asked.few)


if __name__ == "__main__":
    main()
