"""Networks over a whole tile: beside the bare network at its best, plain torch, and the limit of matrix products."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

import xsentinel as xs
from benchmarks.common import Layout, tile
from benchmarks.test_sl2p import job, note
from xsentinel.bands import TEN_BANDS
from xsentinel.blocks.model import read_network
from xsentinel.blocks.plan import waste
from xsentinel.blocks.predict import WINDOW
from xsentinel.blocks.threads import one_torch_thread
from xsentinel.kernels.threads import n_cores
from xsentinel.models.convolution import has_bf16_units
from xsentinel.models.network import Network

ONE_TILE = "U-Net LAI, one 20 m tile, ten uint16 bands to float32, fp32"
SAMPLED = "U-Net LAI with 30 Monte Carlo samples"
BF16 = "U-Net LAI, one 20 m tile, bf16"
ZARR = "U-Net LAI, one 20 m tile, Zarr to Zarr"
SIDES = (128, 192, 256, 336, 512, 1024)
"""Windows among which the bare network's best is looked for."""


@cache
def network() -> Network:
    return read_network(xs.load_model("lai-unet"))


def flops(net: Network) -> float:
    """Multiplications and additions a pixel, as the module is written: none saved by folding."""
    total, n_levels = 0.0, len(net.down)  # type: ignore[arg-type]
    for k, block in enumerate([*net.down, *net.up]):  # type: ignore[misc]
        level = k if k < n_levels else 2 * n_levels - 2 - k
        total += sum(2 * p.numel() for name, p in block.named_parameters() if p.ndim == 4) / 4**level
    return total + 2 * net.head.weight.numel()  # type: ignore[operator,union-attr]


def padded(layout: Layout) -> int:
    """Pixels that a network sees, halos and all."""
    card = xs.load_model("lai-unet").card
    assert card.halo is not None
    return round(layout.pixels * (1 + waste(layout.side, WINDOW, card.halo, card.stride)))


def on_windows(
    run: Callable[[torch.Tensor], object], side: int, pixels: int, dtype: torch.dtype, n_in: int | None = None
) -> Callable[[], None]:
    """Give a function that runs windows of a side, on all cores, one thread each, until so many pixels are done."""
    n_in = n_in or network().down[0].first.in_channels  # type: ignore[index,union-attr,assignment]
    x = torch.rand(1, n_in, side, side, dtype=dtype)  # type: ignore[call-overload]
    x = x.contiguous(memory_format=torch.channels_last)
    n_windows = -(-pixels // side**2)

    def one(_: int) -> None:
        with one_torch_thread(), torch.inference_mode():
            run(x)

    def all_windows() -> None:
        with ThreadPoolExecutor(n_cores()) as pool:
            list(pool.map(one, range(n_windows)))

    return all_windows


def test_pipeline(benchmark: Any, layout: Layout) -> None:
    cube = tile(layout, TEN_BANDS)
    card = xs.load_model("lai-unet").card
    halo = f"{100 * waste(layout.side, WINDOW, card.halo or 0, card.stride):.1f} %"
    note(benchmark, layout, 'cube.s2.lai(model="unet"), new memory', "ours", ONE_TILE, halos=halo)
    maps = benchmark.pedantic(lambda: cube.s2.lai(model="unet"), rounds=3, warmup_rounds=1)
    assert np.isfinite(maps.lai.values).all()


@pytest.mark.parametrize("side", SIDES)
def test_bare_network(benchmark: Any, layout: Layout, side: int) -> None:
    frozen = network().freeze()
    note(benchmark, layout, f"bare folded network, as many padded pixels, {side}²", "limit", ONE_TILE)
    benchmark.pedantic(on_windows(frozen.once, side, padded(layout), torch.float32), rounds=3, warmup_rounds=1)


@pytest.mark.parametrize("side", [336, 1024])
def test_plain_torch(benchmark: Any, layout: Layout, side: int) -> None:
    note(benchmark, layout, f"plain torch module, channels last, {side}²", "peer", ONE_TILE)
    benchmark.pedantic(on_windows(network(), side, padded(layout), torch.float32), rounds=1, warmup_rounds=1)


def test_products(benchmark: Any, layout: Layout) -> None:
    """As many floating-point operations as the module has, in one large product of matrices."""
    n = 2048 if layout.side > 1000 else 256
    a, repeats = torch.rand(n, n), max(1, round(flops(network()) * padded(layout) / (2 * n**3)))
    note(benchmark, layout, "matrix products of as many operations", "limit", ONE_TILE, gflop=round(repeats * 2 * n**3 / 1e9))
    benchmark.pedantic(lambda: [a @ a for _ in range(repeats)], rounds=2, warmup_rounds=1)


@pytest.mark.parametrize(("samples", "role"), [(0, "ours"), (30, "")])
def test_samples(benchmark: Any, layout: Layout, samples: int, role: str) -> None:
    cube = tile(layout, TEN_BANDS)
    note(benchmark, layout, f"{samples} samples" if samples else "one pass", role, SAMPLED)
    maps = benchmark.pedantic(lambda: cube.s2.lai(model="unet", samples=samples), rounds=1, warmup_rounds=0 if samples else 1)
    assert np.isfinite(maps.lai.values).all()


def test_masked_samples(benchmark: Any, layout: Layout) -> None:
    """One sample as peers run it: the whole network, channels multiplied by a mask."""
    sites = network().sites
    masks = [torch.ones(1, site.n_channels) for site in sites]
    note(benchmark, layout, "plain torch module, masked, one of 30 samples", "peer", SAMPLED)
    benchmark.pedantic(on_windows(lambda x: network()(x, masks), 336, padded(layout), torch.float32), rounds=1, warmup_rounds=1)


@pytest.mark.skipif(not has_bf16_units(), reason="this processor does not multiply in bfloat16")
@pytest.mark.parametrize(("precision", "role"), [("bf16", "ours"), ("fp32", "")])
def test_bf16(benchmark: Any, layout: Layout, precision: Any, role: str) -> None:
    cube = tile(layout, TEN_BANDS)
    note(benchmark, layout, precision, role, BF16)
    maps = benchmark.pedantic(lambda: cube.s2.lai(model="unet", precision=precision), rounds=3, warmup_rounds=1)
    assert np.isfinite(maps.lai.values).all()


@pytest.fixture(scope="module")
def store(layout: Layout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tile") / "tile.zarr"
    cube: xr.Dataset = tile(layout, TEN_BANDS)
    cube.chunk({"y": layout.chunk, "x": layout.chunk}).s2.to_zarr(path)
    return path


@pytest.mark.parametrize(
    ("kind", "what", "role"),
    [
        ("unet", 'open → lai(model="unet") → to_zarr', "ours"),
        ("unet_sampled", "the same with 30 samples", ""),
        ("bare", "read inputs, write outputs only", "limit"),
    ],
)
def test_zarr(benchmark: Any, layout: Layout, store: Path, kind: str, what: str, role: str, tmp_path: Path) -> None:
    if layout.side < 1000 and role != "ours":
        pytest.skip("one job shows that they run; the others are for --benchmark-enable")
    run = job(kind, store, tmp_path / "out.zarr")
    note(benchmark, layout, what, role, ZARR, peak=f"{run['peak_gb']:.2f} GB")
    benchmark.pedantic(lambda: None, rounds=1)
    if benchmark.enabled and benchmark.stats is not None:
        benchmark.stats.stats.data[:] = [run["seconds"]]
    assert layout.side < 1000 or run["peak_gb"] < 3
