"""Forecasts of spectra, printed: ``python -m benchmarks.dynamics table|speed`` and, with XSENTINEL_DATA, ``real|gaps``.

``table`` rebuilds Table 1 of Estopinan et al. on `xsentinel.simulate.hapke`; ``--save FOLDER`` keeps its models.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import click
import numpy as np
import pandas as pd
import torch
import xarray as xr

import xsentinel as xs
from xsentinel.blocks.model import Model, save_model
from xsentinel.blocks.rollout import Rollout
from xsentinel.kernels.forecast import BASELINES
from xsentinel.kernels.threads import n_cores
from xsentinel.models.card import Card, Channel, Forecast, Output
from xsentinel.models.networks import build_network
from xsentinel.training import evaluate_dynamics, train_dynamics
from xsentinel.training.dynamics_presets import DynamicsPreset, Stage

TEN = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
PAPER = pd.DataFrame(
    {"LSTM": (27.7, 48.5, 27.5, 49.8), "Euler": (31.4, 32.9, 92.5, 2367), "RK4": (0.45, 3.01, 2.33, 33.6)}, index=[12, 24, 36, 120]
)
"""RMSE · 10³ of Table 1."""

HORIZONS = (1, 12, 24, 36, 120, 1000)
TRAINED, STEP = 960, 1 / 48
"""Half-hours of 20 days; days of one."""

SYNTHETIC = DynamicsPreset(components=16, floor=3e-3, pace_floor=1e-2, freq="30min", filling={"method": "linear"})
ORBIT = (
    Stage(1, 16000, rate=5e-3, noise=1e-2),
    Stage(24, 1500, rate=1e-3, batch=64, noise=3e-3, decay=1),
    Stage(96, 600, rate=5e-4, batch=64, noise=3e-3, decay=1),
    Stage(24, 4000, rate=3e-4, batch=128, noise=1e-3),
)
STEADY = (
    Stage(1, 12000, rate=5e-3, noise=1e-1),
    Stage(48, 1200, rate=3e-4, batch=64, noise=1e-1),
    Stage(24, 3000, rate=3e-4, batch=128, noise=1e-2),
)
ONE_STEP = (Stage(1, 12000, rate=5e-3),)
RUNS = {
    "RK4, one step": replace(SYNTHETIC, stages=ONE_STEP),
    "Euler, one step": replace(SYNTHETIC, scheme="euler", stages=ONE_STEP),
    "LSTM, one step": replace(SYNTHETIC, scheme="lstm", dates=25, stages=(Stage(1, 800, rate=4e-3, batch=64),)),
    "RK4, rollouts": replace(SYNTHETIC, stages=ORBIT),
    "RK4, rollouts, noise": replace(SYNTHETIC, components=10, stages=STEADY),
}
"""The first three are the paper's way; the others go on with rollouts, from starts moved off the orbit by noise, little or much."""


def daily(side: int = 8, days: int = 50) -> xr.Dataset:
    """Give Hapke's spectra, a variable a band."""
    return xs.simulate.hapke((side, side), days=days, seed=0).reflectance.to_dataset("band")


@click.group()
def main() -> None:
    """Print the tables of README."""
    pd.options.display.width = 200
    torch.set_num_threads(1)


@main.command()
@click.option("--save", type=Path, help="Folder for the models.")
@click.option("--run", "chosen", multiple=True, help="Those of the table that are wanted, by the beginning of their names.")
def table(save: Path | None, chosen: tuple[str, ...]) -> None:
    """Rebuild Table 1: train on 20 days, go on from four times of day."""
    truth, folder = daily(), save or Path(tempfile.mkdtemp())
    since = [str(t) for t in truth.time.values[TRAINED + np.array([0, 12, 24, 37])]]
    print("RMSE · 10³ (spectral angle · 10³) at t +", *HORIZONS)
    for name, preset in RUNS.items():
        if chosen and not name.startswith(chosen):
            continue
        start = perf_counter()
        file = name.replace(", ", "-").replace(" ", "-").lower()
        model = train_dynamics({"hapke": truth.isel(time=slice(TRAINED))}, folder, preset=preset, name=file, held_out=0, progress=False)
        seconds = perf_counter() - start
        scores = evaluate_dynamics([model], {"hapke": truth}, since=since, horizons=HORIZONS, exact=True)
        cells = [f"{r.RMSE:.3g} ({r.SAE:.2g})" for r in scores.itertuples()]
        print(f"{name:<34}{'  '.join(f'{c:>16}' for c in cells)}   diverged {scores.diverged.iloc[0]:.0%}, {seconds:.0f} s", flush=True)
    print("paper's RMSE · 10³ at 12, 24, 36, 120:", {k: list(v) for k, v in PAPER.items()})


def clear(cube: xr.Dataset) -> xr.Dataset:
    """Leave out clouds by SCL, and what it misses: snow and haze, bright in the blue."""
    masked = cube.s2.mask_clouds(dilate=40) if "SCL" in cube else cube
    bands = [str(b) for b in masked.data_vars if b in TEN]
    return masked[bands].where(masked.B02 < 0.15)


def crop(path: Path) -> xr.Dataset:
    """Read the pixel of 502 dates as a cube of one."""
    rows = pd.read_csv(path)
    time = pd.to_datetime(rows.Tile.str[:15], format="%Y%m%dT%H%M%S")
    rows = rows.assign(time=time).drop_duplicates("time").sort_values("time")
    there = (rows.QA60 == 0).to_numpy()
    names = {b: f"B{b[1:].zfill(2)}" for b in rows.columns if b.startswith("B") and b != "B8A"} | {"B8A": "B8A"}
    values = {
        n: (("time", "y", "x"), np.where(there, rows[b] * 1e-4, np.nan).astype(np.float32)[:, None, None])
        for b, n in names.items()
        if n in TEN
    }
    return xr.Dataset(values, {"time": rows.time.to_numpy("datetime64[ns]")})


def places(data: Path) -> dict[str, tuple[xr.Dataset, str, tuple[str, ...]]]:
    """Give cubes, the first date that is not known, and the presets to try."""
    cubes = data / "cubes"
    forest = xs.open(cubes / "romania", resolution=20, chunks=None)
    fields = xs.open(cubes / "worldcereal" / "00002806639B424A", resolution=20, chunks=None)
    long, brief = ("default", "short", "paper", "paper-euler", "paper-lstm"), ("short", "paper", "paper-euler", "paper-lstm")
    return {
        "Romania, forest, 2020": (clear(forest), "2020-01-01", long),
        "Belgium, fields, from 2018-07": (clear(fields), "2018-07-01", brief),
        "crop pixel, 2024 and 2025": (clear(crop(cubes / "3_crop_sentinel2.csv")), "2024-01-01", long),
    }


def origins(cube: xr.Dataset, since: str) -> list[str]:
    """Give the first date that is not known and, every two months after, more to start from."""
    last = pd.Timestamp(cube.time.values[-1]) - pd.Timedelta("60D")
    return [str(d)[:10] for d in pd.date_range(since, min(last, pd.Timestamp(since) + pd.Timedelta("700D")), freq="2MS")]


@main.command()
@click.option("--save", type=Path, help="Folder for the models.")
def real(save: Path | None) -> None:
    """Train to a date, forecast what follows, from that date and from every second month after; all models and methods."""
    for name, (cube, since, presets) in places(Path(os.environ["XSENTINEL_DATA"])).items():
        folder, models = (save or Path(tempfile.mkdtemp())) / name.split(",")[0].replace(" ", "-").lower(), []
        for preset in presets:
            start = perf_counter()
            models.append(train_dynamics({"here": cube}, folder, preset=preset, name=preset, until=since, limit=400, progress=False))
            print(f"{name}: {preset} trained in {perf_counter() - start:.0f} s", flush=True)
        for starts in ([since], origins(cube, since)):
            scores = evaluate_dynamics([*models, *BASELINES], {name: cube}, since=starts)
            order = list(dict.fromkeys(scores.steps))
            print(f"\n{name}: from {starts[0]}" + (f" and {len(starts) - 1} later dates" if len(starts) > 1 else ""))
            print("RMSE · 10³ | spectral angle · 10³ | coverage of the 95 % interval, by steps of 5 days; n:", *scores.n[: len(order)])
            wide = scores.pivot(index="model", columns="steps", values=["RMSE", "SAE", "coverage"]).reindex(columns=order, level=1)
            print(
                wide.reindex([m.card.name for m in models] + list(BASELINES))
                .round({c: 2 if c[0] == "coverage" else 1 for c in wide})
                .to_string(),
                flush=True,
            )


WINDOWS = (("2020-03-10", "2020-05-20"), ("2020-05-10", "2020-07-20"), ("2020-07-10", "2020-09-20"), ("2020-09-01", "2020-11-10"))
"""Of the forest, hidden one after the other."""


@main.command()
def gaps() -> None:
    """Hide 70 days of 2020 in the forest, and find them again by a line, by methods, and by dynamics trained to 2019."""
    cube = clear(xs.open(Path(os.environ["XSENTINEL_DATA"]) / "cubes" / "romania", resolution=20, chunks=None))
    folder = Path(tempfile.mkdtemp())
    models = [
        train_dynamics({"a": cube}, folder, preset=p, name=p, until="2020-01-01", limit=400, progress=False) for p in ("default", "short")
    ]
    errors: dict[str, list[np.ndarray]] = {}
    for start, end in WINDOWS:
        hidden = (cube.time >= np.datetime64(start)) & (cube.time <= np.datetime64(end))
        seen, truth = cube.where(~hidden), cube.isel(time=hidden.values)
        found = {"line": seen.s2.fill_gaps("linear", freq="5D", layers=False)}
        found |= {m if isinstance(m, str) else m.card.name: seen.s2.bridge_gaps(m) for m in ("harmonic", "climatology", *models)}
        for name, filled in found.items():
            at = filled.interp(time=truth.time)
            apart = [(at[b] - truth[b]).values.ravel() for b in truth.data_vars]
            errors.setdefault(name, []).append(np.concatenate(apart))
    print("RMSE · 10³ of 70 days hidden, " + ", ".join(s[5:] for s, _ in WINDOWS) + "; together")
    for name, parts in errors.items():
        cells = [1e3 * np.sqrt(np.nanmean(p**2)) for p in (*parts, np.concatenate(parts))]
        print(f"  {name:<12}" + "".join(f"{c:8.1f}" for c in cells))


def any_model(folder: Path, width: int = 150, members: int = 1) -> Model:
    """Save an RK4 ResNet of ten bands that is not trained: as fast as any other."""
    channels, outputs = tuple(Channel(b, 0.0, 1.0) for b in TEN), tuple(Output(b, b, "1") for b in TEN)
    settings = {"scheme": "rk4", "width": width, "members": members}
    card = Card("any", "dynamics", settings, channels, outputs, 20, 1, 0, "Apache-2.0", dates=2, forecast=Forecast(5.0))
    return save_model(build_network(card), card, folder)


def peak(n_threads: int) -> float:
    """Measure operations a second of a product of matrices of 1024² in float32."""
    torch.set_num_threads(n_threads)
    a, out = torch.rand(1024, 1024), torch.empty(1024, 1024)
    seconds = best(lambda: [torch.mm(a, a, out=out) for _ in range(10)], 5)
    torch.set_num_threads(1)
    return 20 * 1024**3 / seconds


def best(run: Callable[[], object], rounds: int) -> float:
    """Time a function: the shortest of some rounds, after one that does not count."""
    times = []
    for _ in range(rounds + 1):
        start = perf_counter()
        run()
        times.append(perf_counter() - start)
    return min(times[1:])


@main.command()
@click.option("--pixels", type=int, default=1_000_000, show_default=True)
@click.option("--steps", type=int, default=73, show_default=True)
def speed(pixels: int, steps: int) -> None:
    """Time 73 steps of ten bands, b = 150, over a million pixels in blocks, beside the peak of matrix products."""
    with tempfile.TemporaryDirectory() as folder:
        model = any_model(Path(folder))
        block = 1 << 17
        past = np.random.default_rng(0).uniform(0, 0.5, (2, 10, block)).astype(np.float32)
        t_in = np.array([18000.0, 18005.0])
        t_out = t_in[-1] + 5.0 * np.arange(1, steps + 1)
        operations = 4 * 2 * (20 * 150 + 150 * 20)
        for n_threads in sorted({1, n_cores()}):
            run = Rollout(model, has_spread=False, n_threads=n_threads)
            top = peak(n_threads)
            seconds = best(lambda run=run: [run(past, t_in, t_out) for _ in range(-(-pixels // block))], 1)  # type: ignore[misc]
            done = -(-pixels // block) * block * steps
            share = done * operations / seconds / max(top, peak(n_threads))
            print(
                f"{n_threads} threads: {done / seconds:.2e} pixels · steps a second, {done * operations / seconds / 1e9:.0f} GFLOP/s, "
                f"{share:.0%} of matrix products ({top / 1e9:.0f}); a tile of 30 M pixels: {30.1e6 * steps / done * seconds:.0f} s"
            )


if __name__ == "__main__":
    main()
