"""Land cover: maps by FG-UNET, its U-Net and its pixel path beside the bare modules and products of matrices."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from benchmarks.common import Layout
from benchmarks.test_crops import DTYPES, cube_of, measure, on_cores
from benchmarks.test_sl2p import note
from xsentinel.bands import TEN_BANDS
from xsentinel.blocks.fast import freeze
from xsentinel.blocks.model import Model, read_network, save_model
from xsentinel.classes import LabelClass
from xsentinel.models.card import Card, Channel, EqualDates
from xsentinel.models.networks import build_network

DATES, CLASSES = 33, 17
SIDES = (32, 64, 128, 256)
"""Windows among which the bare module's best is looked for; all its pixels count, those of its halo too."""
NETWORKS: dict[str, dict[str, Any]] = {"FG-UNET": {}, "U-Net 3 steps": {"pixel": []}, "MLP 3 layers": {"widths": []}}
"""Rows of the paper's Table 2 → settings."""


@pytest.fixture(scope="module")
def part(layout: Layout) -> Layout:
    """Give a part of a tile, whole windows of it: a pixel costs as much in a larger one."""
    return Layout(480, 240) if layout.side > 1000 else Layout(32, 32)


@cache
def dates(layout: Layout, stored: str) -> xr.Dataset:
    """Give counts, or reflectance, at the equal dates of a year."""
    days = np.datetime64("2018-01-01", "ns") + np.array(EqualDates().days(DATES)) * np.timedelta64(1, "D")
    cube = cube_of(layout, pd.DatetimeIndex(days))
    if stored == "uint16":
        return cube
    return cube.assign({b: (("time", "y", "x"), cube[b].values * np.float32(1e-4), {"units": "1"}) for b in TEN_BANDS})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("landcover")


def saved(folder: Path, name: str) -> Model:
    """Save a classifier with random weights."""
    channels = tuple(Channel(band, 0.0, 0.4) for band in TEN_BANDS)
    classes = tuple(LabelClass(k + 1, f"class_{k}", "#123456") for k in range(CLASSES))
    card = Card(name, "fgunet", NETWORKS[name], channels, (), 10, 1, 0, "Apache-2.0", DATES, classes, equal_dates=EqualDates())
    torch.manual_seed(0)
    network = build_network(card)
    return save_model(network, replace(card, stride=network.stride, radius=network.radius), folder)


def operations(network: Any) -> float:
    """Count operations a pixel of the module as it is written: two a product, at the size of each level."""
    body, total = network.body, 2.0 * network.head.weight.numel()
    for blocks in (body.down, body.up[::-1]):
        for level, block in enumerate(blocks):
            total += network.groups * sum(2 * layer.weight.numel() for layer in block) / 4**level
    return total + network.groups * sum(2 * layer.weight.numel() for layer in body.pixel)


@pytest.mark.parametrize("stored", ["uint16", "float32"])
@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("name", NETWORKS)
def test_map(benchmark: Any, part: Layout, folder: Path, name: str, precision: Any, stored: str) -> None:
    cube, model = dates(part, stored), saved(folder, name)
    note(benchmark, part, f"cube.s2.landcover, {stored}", "ours" if stored == "uint16" else "", f"{name}, {precision}")
    maps = measure(benchmark, lambda: cube.s2.landcover(model, precision=precision))
    assert (maps["class"].values > 0).all()


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("name", NETWORKS)
def test_torch(benchmark: Any, part: Layout, folder: Path, name: str, precision: str, side: int) -> None:
    """The module as torch runs it, over windows that are there already, normalised, with no halo to pay for."""
    side = side if part.side > 100 else 16
    network = read_network(saved(folder, name)).to(DTYPES[precision])
    x = torch.rand(1, DATES * len(TEN_BANDS), side, side).to(DTYPES[precision]).contiguous(memory_format=torch.channels_last)
    n = max(2, part.pixels // 4 // side**2)
    note(benchmark, part, f"plain torch module, windows of {side}", "peer", f"{name}, {precision}")
    benchmark.extra_info["pixels"] = n * side**2
    measure(benchmark, on_cores(lambda: network(x), n), 1)


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("name", NETWORKS)
def test_runner(benchmark: Any, part: Layout, folder: Path, name: str, precision: str) -> None:
    """The bare network as it is run: nothing read, decoded or decided, no halo."""
    runner, side = freeze(read_network(saved(folder, name)), DTYPES[precision]), part.chunk
    x = torch.rand(1, side, side, DATES * len(TEN_BANDS)).permute(0, 3, 1, 2)
    note(benchmark, part, "bare network as it is run", "limit", f"{name}, {precision}")
    benchmark.extra_info["pixels"] = 2 * side**2
    measure(benchmark, on_cores(lambda: runner.once(x), 2))


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("name", NETWORKS)
def test_products(benchmark: Any, part: Layout, folder: Path, name: str, precision: str) -> None:
    """As many operations as the module has, in one large product of matrices."""
    each, side = operations(build_network(saved(folder, name).card)), 1024 if part.side > 100 else 256
    a = torch.rand(side, side).to(DTYPES[precision])
    n = max(2, round(part.pixels / 4 * each / (2 * side**3)))
    note(benchmark, part, "matrix products of as many operations", "limit", f"{name}, {precision}", mflop_a_pixel=round(each / 1e6, 2))
    benchmark.extra_info["pixels"] = round(n * 2 * side**3 / each)
    measure(benchmark, on_cores(lambda: a @ a, n))


@pytest.mark.parametrize("samples", [0, 10])
def test_samples(benchmark: Any, part: Layout, folder: Path, samples: int) -> None:
    """Monte Carlo dropout at the rate of the authors' code, 0.2: each sample a thinner network."""
    model = saved(folder, "FG-UNET")
    card = replace(model.card, name="dropping", settings={"dropout": 0.2})
    dropping, layout = save_model(read_network(model), card, folder), Layout(part.side // 2, part.chunk)
    note(benchmark, layout, f"{samples} samples" if samples else "one pass", "" if samples else "ours", "FG-UNET, bf16, samples of dropout")
    measure(benchmark, lambda: dates(layout, "uint16").s2.landcover(dropping, samples=samples, precision="bf16"), 1)
