"""LAI under clouds over a series: beside the bare network at its best, and what is carried on beside a copy."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from benchmarks.common import Layout, tile
from benchmarks.test_inference import on_windows
from benchmarks.test_sl2p import note
from tests.networks import fusion_model
from xsentinel.bands import TEN_BANDS
from xsentinel.blocks.model import Model, read_network
from xsentinel.blocks.plan import waste
from xsentinel.blocks.predict import WINDOW
from xsentinel.kernels.carry import carry
from xsentinel.models.planes import CARRIED

CLOUDS = "LAI under clouds, six dates of which three are cloudy, fp32"
CARRY = "last two clear dates of each pixel, 73 dates float32"
N_DATES, CLOUDY = 6, (2, 4, 5)


@cache
def model() -> Model:
    """A network of half the paper's widths; what its weights are does not change how fast it is."""
    sizes = {"widths": [16, 32, 64], "decoder_widths": [32, 64, 128]}
    return fusion_model(Path(mkdtemp()), CARRIED, settings=sizes)


@cache
def series(layout: Layout) -> tuple[xr.Dataset, xr.Dataset]:
    """Give a cube of a quarter of the layout's side, cloudless or all under cloud, and its radar."""
    side = layout.side // 4
    one = tile(layout, TEN_BANDS).isel(y=slice(side), x=slice(side), time=0, drop=True)
    times = np.datetime64("2019-05-01T10:30", "ns") + 5 * np.timedelta64(1, "D") * np.arange(N_DATES)
    cube = one.expand_dims(time=times).assign_coords(platform="S2A", sza=27.0, vza=5.0, raa=100.0)
    scl = np.full((N_DATES, side, side), 4, np.uint8)
    scl[list(CLOUDY)] = 9
    cube = cube.assign(SCL=(("time", "y", "x"), scl)).copy(deep=True)
    rng = np.random.default_rng(layout.seed)
    radar = {name: (("time", "y", "x"), rng.uniform(-20, -8, scl.shape).astype(np.float32)) for name in ("VV", "VH")}
    return cube, xr.Dataset(radar, {d: cube[d] for d in ("time", "y", "x")}).rio.write_crs(cube.rio.crs)


def hidden(layout: Layout) -> int:
    """Pixels under cloud."""
    return len(CLOUDY) * (layout.side // 4) ** 2


def padded(layout: Layout) -> int:
    """Pixels that the network sees, halos and all."""
    card, side = model().card, layout.side // 4
    assert card.halo is not None
    return round(hidden(layout) * (1 + waste(side, WINDOW, card.halo, card.stride)))


def test_pipeline(benchmark: Any, layout: Layout) -> None:
    cube, s1 = series(layout)
    note(benchmark, layout, "cube.s2.lai(model=…, s1=s1), SL2P and all", "ours", CLOUDS, pixels=hidden(layout))
    maps = benchmark.pedantic(lambda: cube.s2.lai(model=model(), s1=s1), rounds=2, warmup_rounds=1)
    assert bool((maps.source[2:3] == 2).any())
    assert not bool((maps.source[:2] == 2).any())


@pytest.mark.parametrize("side", [256, 408, 600])
def test_bare_network(benchmark: Any, layout: Layout, side: int) -> None:
    frozen = read_network(model()).freeze()
    n_in = model().card.n_in
    note(benchmark, layout, f"bare folded network, as many padded pixels, {side}²", "limit", CLOUDS, pixels=hidden(layout))
    run = on_windows(frozen.once, side, padded(layout), torch.float32, n_in)
    benchmark.pedantic(run, rounds=2, warmup_rounds=1)


def test_plain_torch(benchmark: Any, layout: Layout) -> None:
    note(benchmark, layout, "plain torch module, channels last, 408²", "peer", CLOUDS, pixels=hidden(layout))
    run = on_windows(read_network(model()), 408, padded(layout), torch.float32, model().card.n_in)
    benchmark.pedantic(run, rounds=1, warmup_rounds=1)


@cache
def values(layout: Layout) -> np.ndarray:
    rng = np.random.default_rng(layout.seed)
    found = rng.uniform(0, 6, (73, layout.pixels // 30)).astype(np.float32)
    found[rng.uniform(size=found.shape) < 0.5] = np.nan
    return found


def test_carry(benchmark: Any, layout: Layout) -> None:
    lai, days = values(layout), 5.0 * np.arange(73)
    out = np.empty((2, *lai.shape), np.int16)
    note(benchmark, layout, "kernel, one core", "ours", CARRY, pixels=lai.size)
    benchmark.pedantic(lambda: carry(lai, days, 60.0, *out), rounds=3, warmup_rounds=1)
    assert out.max() == 71


def test_accumulate(benchmark: Any, layout: Layout) -> None:
    """As one would with numpy: the last clear date only, however old."""
    lai, dates = values(layout), np.arange(73, dtype=np.int16)[:, None]
    note(benchmark, layout, "numpy.maximum.accumulate, the last date only", "peer", CARRY, pixels=lai.size)
    benchmark.pedantic(lambda: np.maximum.accumulate(np.where(np.isnan(lai), np.int16(-1), dates), 0), rounds=3, warmup_rounds=1)
