"""Simulated landscapes beside real cubes, printed: ``XSENTINEL_DATA=... python -m benchmarks.simulate [real|sl2p|speed ...]``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import dask
import numpy as np
import pandas as pd
import xarray as xr

import xsentinel as xs
from tests.cubes import npz_cube
from xsentinel.bands import TEN_BANDS
from xsentinel.kernels.threads import n_cores

FIELDS = tuple(range(1, 8))
"""Classes of arable land and grassland."""


@dataclass(frozen=True)
class Pair:
    """A real cube and one simulated to be like it: same dates, pixels and latitude, clear by its SCL."""

    name: str
    real: xr.Dataset
    simulated: xr.Dataset


def masked(cube: xr.Dataset) -> xr.Dataset:
    """Give the ten bands, clear pixels only."""
    return cube.s2.mask_clouds()[list(TEN_BANDS)].compute() if "SCL" in cube else cube[list(TEN_BANDS)].compute()


def simulated(dates: list[object], latitude: float, seeds: int, side: int, *, fields: bool = False) -> list[xr.Dataset]:
    """Give simulated cubes of some seeds, 20 m, clear pixels, of fields only where asked."""
    cubes = []
    for seed in range(seeds):
        scene = xs.simulate.landscape((side, side), dates, seed=seed + 100, resolution=20, latitude=latitude)
        cube = masked(scene.cube)
        cubes.append(cube.where(scene.truth["class"].isin(FIELDS).compute()) if fields else cube)
    return cubes


def pairs(data: Path) -> Iterator[Pair]:
    """Give fields of Belgium over 16 months, and all covers of Upper Austria on a day in June."""
    site = xs.open(data / "cubes" / "worldcereal" / "00002806639B424A", resolution=20, chunks=None)
    made = simulated(list(site.time.values), 50.8, 6, 48, fields=True)
    yield Pair("Belgium, fields, 118 dates", masked(site), xr.concat(made, "y", join="override"))
    patches = [npz_cube(p) for p in sorted((data / "lai_scenes" / "bigearthnet_v2").rglob("*.npz"))]
    patches = [p[list(TEN_BANDS)].drop_vars(["x", "y"]) for p in patches if set(TEN_BANDS) <= set(p)]
    real = xr.concat([p.assign_coords(time=patches[0].time) for p in patches], "y", join="override", coords="minimal", compat="override")
    made = []
    for seed in range(18):
        scene = xs.simulate.landscape((60, 60), ["2017-06-13"], seed=seed + 100, resolution=20, latitude=48.0)
        clear = (scene.truth.cloud < 0.01) & (scene.truth.shadow < 0.05) & (scene.truth["class"] != 16)
        made.append(scene.cube[list(TEN_BANDS)].where(clear).compute())
    yield Pair("Upper Austria, land, 2017-06-13", real.where(real.B08 > 0.08), xr.concat(made, "y", join="override"))


def table(cube: xr.Dataset) -> pd.DataFrame:
    """Give clear observations: bands, and the day of year."""
    days = cube.time.dt.dayofyear.broadcast_like(cube.B04)
    frame = pd.DataFrame({b: cube[b].values.ravel() for b in TEN_BANDS} | {"day": days.values.ravel()})
    return frame.dropna()


def print_bands(real: pd.DataFrame, made: pd.DataFrame) -> None:
    """Print means, spreads, quantiles of bands, simulated / real, and how their correlations differ."""
    print(f"  {'reflectance · 10³, simulated / real':<36}" + "".join(f"{b:>10}" for b in TEN_BANDS))
    rows = {"mean": lambda f: f.mean(), "standard deviation": lambda f: f.std()}
    rows |= {f"{q:.0%} quantile": lambda f, q=q: f.quantile(q) for q in (0.05, 0.5, 0.95)}
    for title, statistic in rows.items():
        ours, theirs = (1e3 * statistic(f[list(TEN_BANDS)]) for f in (made, real))
        print(f"  {title:<36}" + "".join(f"{a:5.0f}/{b:4.0f}" for a, b in zip(ours, theirs, strict=True)))
    ours, theirs = (f[list(TEN_BANDS)].corr().to_numpy() for f in (made, real))
    upper = np.triu_indices(len(TEN_BANDS), 1)
    gap = np.abs(ours - theirs)[upper]
    worst = [
        f"{TEN_BANDS[i[k]]}–{TEN_BANDS[j[k]]} {ours[i[k], j[k]]:.2f}/{theirs[i[k], j[k]]:.2f}"
        for i, j in [upper]
        for k in gap.argsort()[:-4:-1]
    ]
    print(f"  correlations of bands: mean difference {gap.mean():.3f}; largest: {', '.join(worst)}")


def print_lai(pair: Pair) -> None:
    """Print SL2P's LAI by bins of NDVI."""
    edges, rows = np.arange(0.1, 1.0, 0.1), {}
    for title, cube in (("simulated", pair.simulated), ("real", pair.real)):
        angles = {} if "sza" in cube.coords else {"angles": {"sza": 28.0, "vza": 5.0, "raa": 100.0}, "platform": "S2A"}
        lai, ndvi = cube.s2.lai(**angles).lai.values.ravel(), cube.s2.index("NDVI").NDVI.values.ravel()
        rows[title] = [np.nanmedian(lai[(ndvi > a) & (ndvi < a + 0.1)]) if ((ndvi > a) & (ndvi < a + 0.1)).any() else np.nan for a in edges]
    print(f"  {'LAI (SL2P) by NDVI from':<36}" + "".join(f"{e:>10.1f}" for e in edges))
    print(f"  {'':<36}" + "".join(f"{a:5.2f}/{b:4.2f}" for a, b in zip(rows["simulated"], rows["real"], strict=True)))


def roughness(cube: xr.Dataset, band: str) -> float:
    """Give the median deviation of a clear observation from the line between its clear neighbours within 25 days each."""
    values, days = cube[band].values.reshape(cube.sizes["time"], -1), cube.time.values.astype("datetime64[h]").astype(float) / 24
    found = []
    for series in values.T:
        ok = np.isfinite(series)
        v, t = series[ok], days[ok]
        line = v[:-2] + (v[2:] - v[:-2]) * (t[1:-1] - t[:-2]) / (t[2:] - t[:-2])
        found.append(np.abs(v[1:-1] - line)[(t[2:] - t[:-2]) < 25])
    return 1e3 * float(np.median(np.concatenate(found)))


def print_time(pair: Pair) -> None:
    """Print temporal roughness by band."""
    print(
        f"  {'temporal roughness · 10³':<36}"
        + "".join(f"{roughness(pair.simulated, b):5.1f}/{roughness(pair.real, b):4.1f}" for b in TEN_BANDS)
    )


def print_clear(data: Path) -> None:
    """Print the clear share of real sites and of simulated ones of the same dates and latitude, and its persistence."""
    print("clear share (SCL), share of dates nearly all clear / all clouded, autocorrelation of the next date")
    for name, place, latitude in (("Belgium", "worldcereal/00002806639B424A", 50.8), ("Romania", "romania", 45.6)):
        real = xs.open(data / "cubes" / place, resolution=20, chunks=None)
        dates = list(real.time.values)
        shares = [real.s2.clear_share().compute()]
        shares += [
            xs.simulate.landscape((32, 32), dates, seed=s, resolution=20, latitude=latitude).cube.s2.clear_share().compute()
            for s in range(8)
        ]
        rows = [(float(s.mean()), float((s > 0.9).mean()), float((s < 0.1).mean()), s.to_series().autocorr(1)) for s in shares]
        made = np.mean(rows[1:], 0)
        print(f"  {name:<10} simulated {made[0]:.2f}, {made[1]:.2f} / {made[2]:.2f}, {made[3]:+.2f}; real "
              f"{rows[0][0]:.2f}, {rows[0][1]:.2f} / {rows[0][2]:.2f}, {rows[0][3]:+.2f}")  # fmt: skip


def print_forest(real: pd.DataFrame, made: pd.DataFrame, n: int = 6000) -> None:
    """Print how well a random forest tells simulated from real, tested on other pixels, and by what."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    halves = [(f.iloc[: len(f) // 2], f.iloc[len(f) // 2 :]) for f in (real, made)]
    train, test = (
        pd.concat([h[k].iloc[rng.choice(len(h[k]), min(n, len(h[k])), replace=False)].assign(made=i) for i, h in enumerate(halves)])
        for k in (0, 1)
    )
    for title, columns in (("bands", list(TEN_BANDS)), ("bands and day", [*TEN_BANDS, "day"])):
        model = RandomForestClassifier(200, min_samples_leaf=5, n_jobs=2, random_state=0).fit(train[columns], train.made)
        auc = roc_auc_score(test.made, model.predict_proba(test[columns])[:, 1])
        order = np.argsort(model.feature_importances_)[::-1][:4]
        told = ", ".join(f"{columns[k]} {model.feature_importances_[k]:.2f}" for k in order)
        alone = {b: roc_auc_score(test.made, test[b]) for b in TEN_BANDS}
        print(f"  random forest by {title}: AUC {auc:.3f}; tells by {told}")
    print("  one band alone, AUC: " + ", ".join(f"{b} {a:.2f}" for b, a in alone.items()))


def compare(data: Path) -> None:
    """Print all comparisons with real cubes."""
    for pair in pairs(data):
        frames = table(pair.real), table(pair.simulated)
        print(f"{pair.name}: {len(frames[1])} simulated, {len(frames[0])} real observations")
        print_bands(*frames)
        print_lai(pair)
        if pair.real.sizes["time"] > 1:
            print_time(pair)
        print_forest(*frames)
    print_clear(data)


def sl2p() -> None:
    """Print the error of SL2P on simulated reflectance against the true LAI."""
    scene = xs.simulate.landscape((256, 256), "2018", seed=1, resolution=20)
    truth, lai = scene.truth.compute(), scene.cube.s2.lai().lai.compute()
    clear = (truth.cloud == 0) & (truth.shadow < 0.02)
    names = dict(zip(truth["class"].flag_values, truth["class"].flag_meanings.split(), strict=True))
    print("SL2P on simulated reflectance against the true LAI (published theoretical RMSE 0.89)")
    groups = {"fields, clear": clear & truth["class"].isin(FIELDS), "all land, clear": clear & (truth["class"] != 16)}
    groups |= {name: clear & (truth["class"] == value) for value, name in names.items()}
    for name, where in groups.items():
        d, t = (lai - truth.lai).where(where), truth.lai.where(where)
        print(f"  {name:<18} RMSE {float(np.sqrt((d**2).mean())):.2f}  bias {float(d.mean()):+.2f}  true mean {float(t.mean()):.2f}")


def speed() -> None:
    """Print the time of 1024² pixels × 73 dates × ten bands, of the SCL and of the truth."""
    dates = list(np.datetime64("2018-01-01") + 5 * np.arange(73))
    xs.simulate.landscape((16, 16), dates[:1]).cube.load()
    print(f"1024² pixels × 73 dates, {n_cores()} threads, seconds")
    for name in ("ten bands", "SCL", "lai, cloud, shadow", "ten bands, block by date"):
        chunks = {"time": 1, "y": 1024, "x": 1024} if "date" in name else None
        scene = xs.simulate.landscape((1024, 1024), dates, seed=3, mask_and_scale=False, chunks=chunks)
        layers = {"SCL": [scene.cube.SCL], "lai, cloud, shadow": [scene.truth[v] for v in ("lai", "cloud", "shadow")]}
        arrays = layers.get(name, [scene.cube[b] for b in TEN_BANDS])
        start = perf_counter()
        dask.compute(*(a.data.max() for a in arrays), num_workers=n_cores())
        print(f"  {name:<26} {perf_counter() - start:6.1f}", flush=True)


def main() -> None:
    """Print what is asked for, or all."""
    asked = sys.argv[1:] or ["real", "sl2p", "speed"]
    if "real" in asked:
        compare(Path(os.environ["XSENTINEL_DATA"]))
    if "sl2p" in asked:
        sl2p()
    if "speed" in asked:
        speed()


if __name__ == "__main__":
    main()
