"""Classifiers of series: maps of crops beside the bare network, products of matrices, scikit-learn; then Zarr to Zarr."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from benchmarks.common import Layout, tile
from benchmarks.test_sl2p import job, note
from xsentinel.bands import TEN_BANDS
from xsentinel.blocks.fast import freeze
from xsentinel.blocks.model import Model, read_network, save_model
from xsentinel.blocks.threads import one_torch_thread
from xsentinel.classes import LabelClass
from xsentinel.kernels.threads import n_cores
from xsentinel.models.card import Card, Channel, Periods
from xsentinel.models.forest import Forest
from xsentinel.models.networks import build_network
from xsentinel.models.series import SeriesNetwork, fill
from xsentinel.training.crop_presets import CropPreset
from xsentinel.training.grow import grow_trees

MONTHS, CLASSES = 12, 16
TEN_M = 10_980**2
"""Pixels of a tile at 10 m."""
AT_ONCE = (256, 512, 1024, 2048)
"""Series at once among which the bare network's best is looked for."""
NETWORKS = {
    "lstm": ("lstm", {"widths": [200, 125, 100]}),
    "ltae": ("ltae", {"width": 128, "heads": 16, "keys": 8, "dense": 128}),
}
LSTM = "LSTM 200-125-100, 12 monthly composites of ten bands"
LTAE = "L-TAE, 12 monthly composites of ten bands"
FOREST = "Random forest, 12 monthly composites of ten bands"
ZARR = "LSTM 200-125-100, 36 single dates to monthly composites to a map of crops, Zarr to Zarr, nothing stored between"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@pytest.fixture(scope="module")
def part(layout: Layout) -> Layout:
    """Give a part of a tile, whole windows of it: a pixel costs as much in a larger one."""
    return Layout(2 * 179, 179) if layout.side > 1000 else Layout(32, 32)


def cube_of(layout: Layout, times: pd.DatetimeIndex) -> xr.Dataset:
    """Give counts of several dates: the real sample, brighter and darker by band and date."""
    base, rng = tile(layout, TEN_BANDS), np.random.default_rng(1)
    cube = xr.Dataset(coords={"time": times, "y": 5_300_010 - 10.0 * np.arange(layout.side), "x": 400_010 + 10.0 * np.arange(layout.side)})
    for band in TEN_BANDS:
        factors = rng.uniform(0.7, 1.3, (len(times), 1, 1)).astype(np.float32)
        cube[band] = ("time", "y", "x"), (base[band].values * factors).astype(np.uint16), base[band].attrs
    return cube.rio.write_crs("EPSG:32632")


@cache
def composites(layout: Layout, dtype: str) -> xr.Dataset:
    cube = cube_of(layout, pd.date_range("2018-01-01", periods=MONTHS, freq="MS"))
    if dtype == "uint16":
        return cube
    bands = {b: (("time", "y", "x"), cube[b].values * np.float32(1e-4), {"units": "1"}) for b in TEN_BANDS}
    return cube.assign(bands)


def saved(folder: Path, network: str, settings: dict[str, Any], built: SeriesNetwork | None = None) -> Model:
    """Save a classifier with random weights, or one that was grown."""
    channels = tuple(Channel(band, 0.0, 0.4) for band in TEN_BANDS)
    classes = tuple(LabelClass(k + 1, f"crop_{k}", "#123456") for k in range(CLASSES))
    card = Card(network, network, settings, channels, (), 10, 1, 0, "Apache-2.0", MONTHS, classes, MONTHS // 2, Periods())
    torch.manual_seed(0)
    return save_model(build_network(card) if built is None else built, card, folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("crops")


def series(n: int, seed: int = 0) -> torch.Tensor:
    """Give (pixel, date, plane), a tenth of the dates missing."""
    rng = np.random.default_rng(seed)
    values = rng.random((n, MONTHS, len(TEN_BANDS) + 1), np.float32)
    values[..., -1] = rng.random((n, MONTHS)) > 0.1
    return torch.from_numpy(values * values[..., -1:])


def on_cores(run: Callable[[], object], n: int) -> Callable[[], None]:
    """Give a function that runs something n times, on all cores, one thread each."""

    def one(_: int) -> None:
        with one_torch_thread(), torch.inference_mode():
            run()

    def all_of_them() -> None:
        with ThreadPoolExecutor(n_cores()) as pool:
            list(pool.map(one, range(n)))

    return all_of_them


def measure(benchmark: Any, run: Callable[[], Any], rounds: int = 2) -> Any:
    """Measure, and say how long a whole tile at 10 m would take."""
    done = benchmark.pedantic(run, rounds=rounds, warmup_rounds=1)
    if benchmark.enabled and benchmark.stats is not None:
        minutes = benchmark.stats.stats.median / benchmark.extra_info["pixels"] * TEN_M / 60
        benchmark.extra_info["a tile at 10 m"] = f"{minutes:.1f} min"
    return done


GROUPS = {"lstm": LSTM, "ltae": LTAE}


@pytest.mark.parametrize("stored", ["uint16", "float32"])
@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("name", NETWORKS)
def test_map(benchmark: Any, part: Layout, folder: Path, name: str, precision: Any, stored: str) -> None:
    cube, model = composites(part, stored), saved(folder, *NETWORKS[name])
    note(benchmark, part, f"cube.s2.crops, {stored}", "ours" if stored == "uint16" else "", f"{GROUPS[name]}, {precision}")
    maps = measure(benchmark, lambda: cube.s2.crops(model, precision=precision))
    assert (maps["class"].values > 0).all()


@pytest.mark.parametrize("at_once", AT_ONCE)
@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("name", NETWORKS)
def test_torch(benchmark: Any, part: Layout, folder: Path, name: str, precision: str, at_once: int) -> None:
    """The module as torch runs it; of the LSTM layers of nn.LSTM."""
    network: Any = read_network(saved(folder, *NETWORKS[name])).to(DTYPES[precision])
    x, n = series(at_once).to(DTYPES[precision]), max(1, part.pixels // 4 // at_once)
    note(benchmark, part, f"plain torch module, {at_once} series at once", "limit", f"{GROUPS[name]}, {precision}")
    benchmark.extra_info["pixels"] = n * at_once
    with torch.inference_mode():
        measure(benchmark, on_cores(lambda: network.classify(x, [None] * len(network.sites)), n))


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("name", NETWORKS)
def test_runner(benchmark: Any, part: Layout, folder: Path, name: str, precision: str) -> None:
    """The bare network as it is run: nothing read, decoded or decided."""
    runner = freeze(read_network(saved(folder, *NETWORKS[name])), DTYPES[precision])
    x = series(32 * 1024 if part.side > 100 else 1024).to(DTYPES[precision])
    planes, n = x.reshape(1, len(x), 1, -1).permute(0, 3, 1, 2), max(1, part.pixels // 2 // len(x))
    note(benchmark, part, "bare network as it is run", "limit", f"{GROUPS[name]}, {precision}")
    benchmark.extra_info["pixels"] = n * len(x)
    measure(benchmark, on_cores(lambda: runner.once(planes), n))


@pytest.mark.parametrize("precision", DTYPES)
def test_products(benchmark: Any, part: Layout, precision: str) -> None:
    """As many operations as the layers of the LSTM have, in one large product of matrices."""
    widths = (len(TEN_BANDS) + 1, *NETWORKS["lstm"][1]["widths"])
    operations = 2 * MONTHS * sum(4 * b * (a + b) for a, b in pairwise(widths))
    side = 2048 if part.side > 100 else 256
    a = torch.rand(side, side).to(DTYPES[precision])
    n = max(1, round(part.pixels / 4 * operations / (2 * side**3)))
    note(benchmark, part, "matrix products of as many operations", "limit", f"{LSTM}, {precision}", mflop_a_pixel=operations / 1e6)
    benchmark.extra_info["pixels"] = round(n * 2 * side**3 / operations)
    measure(benchmark, on_cores(lambda: a @ a, n))


@pytest.fixture(scope="module")
def forest(part: Layout) -> tuple[Forest, Any, dict[str, Any]]:
    """A forest as the preset grows it, of 500 trees, and scikit-learn's of the same settings."""
    from sklearn.ensemble import RandomForestClassifier

    x, n_trees = series(5000 if part.side > 100 else 300), 500 if part.side > 100 else 20
    filled = fill(x).flatten(1).numpy()
    mixed = filled[:, :CLASSES] + filled[:, CLASSES : 2 * CLASSES] + np.random.default_rng(2).normal(0, 0.2, (len(x), CLASSES))
    places, grower = mixed.argmax(1), {"n_estimators": n_trees, "max_features": "sqrt"}
    planes = x.reshape(len(x), -1, 1, 1)
    grown, settings = grow_trees(planes, places, CropPreset("forest", fit="trees", grower=grower), planes.shape[1], MONTHS, CLASSES, 0)
    return grown, RandomForestClassifier(random_state=0, n_jobs=n_cores(), **grower).fit(filled, places), settings


def test_forest_map(benchmark: Any, part: Layout, folder: Path, forest: tuple[Forest, Any, dict[str, Any]]) -> None:
    grown, _, settings = forest
    model, cube = saved(folder, "forest", settings, grown), composites(part, "uint16")
    said = ", ".join(f"{k} {v}" for k, v in settings.items() if k != "votes")
    note(benchmark, part, "cube.s2.crops, uint16", "ours", FOREST, of=said)
    maps = measure(benchmark, lambda: cube.s2.crops(model))
    assert (maps["class"].values > 0).all()


@pytest.mark.parametrize(("what", "role"), [("bare trees as they are run", "limit"), ("module in torch", "peer"), ("scikit-learn", "peer")])
def test_forest_bare(benchmark: Any, part: Layout, forest: tuple[Forest, Any, dict[str, Any]], what: str, role: str) -> None:
    """The same rows for all three; scikit-learn gets them with missing dates filled."""
    grown, peer, _ = forest
    x = torch.from_numpy(
        np.stack([a.values for a in composites(part, "uint16").data_vars.values() if a.ndim == 3], -1) * np.float32(2.5e-4)
    )
    rows = torch.cat([x, torch.ones_like(x[..., :1])], -1).permute(1, 2, 0, 3).reshape(-1, MONTHS, len(TEN_BANDS) + 1)[: 1 << 16]
    note(benchmark, part, what, role, FOREST)
    benchmark.extra_info["pixels"] = len(rows)
    parts = torch.split(rows, len(rows) // n_cores())
    if what == "scikit-learn":
        filled = rows[..., :-1].reshape(len(rows), -1).numpy()
        measure(benchmark, lambda: peer.predict_proba(filled), 2)
        ours = freeze(grown, torch.float32).once(rows.reshape(1, len(rows), 1, -1).permute(0, 3, 1, 2)).exp()[0, :, :, 0].T.numpy()
        assert np.abs(ours - peer.predict_proba(filled)).max() < 1.1e-4
        return
    runner = freeze(grown, torch.float32) if role == "limit" else grown.freeze()
    turns = iter([one.reshape(1, len(one), 1, -1).permute(0, 3, 1, 2) for one in parts] * 10)
    measure(benchmark, on_cores(lambda: runner.once(next(turns)), len(parts)), 2)


def test_zarr(benchmark: Any, part: Layout, folder: Path, tmp_path: Path) -> None:
    """From a cube of single dates, lazily; in a process of its own so that its memory can be read."""
    layout = Layout(768, 256) if part.side > 100 else Layout(48, 32)
    saved(folder / "model", *NETWORKS["lstm"])
    store = folder / "dates.zarr"
    dates = cube_of(layout, pd.date_range("2018-01-03", "2018-12-29", periods=36 if part.side > 100 else 14).normalize())
    dates.chunk({"time": 1, "y": layout.chunk, "x": layout.chunk}).s2.to_zarr(store)
    run = job("crops", store, tmp_path / "out.zarr")
    stored = f"{sum(a.nbytes for a in dates.data_vars.values()) / 1e9:.2f} GB"
    note(benchmark, layout, "open → crops → to_zarr, bf16 where there is", "ours", ZARR, peak=f"{run['peak_gb']:.2f} GB", dates=stored)
    benchmark.pedantic(lambda: None, rounds=1)
    if benchmark.enabled and benchmark.stats is not None:
        benchmark.stats.stats.data[:] = [run["seconds"]]
        benchmark.extra_info["a tile at 10 m"] = f"{run['seconds'] / layout.pixels * TEN_M / 60:.1f} min"
    assert run["peak_gb"] < 3
