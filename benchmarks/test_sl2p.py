"""SL2P: the kernel on a whole tile beside numpy and satellitetools, and the whole job from Zarr to Zarr."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from benchmarks.common import ANGLES, BANDS, Layout, copy_bytes, tile
from xsentinel.kernels.sl2p import missing_counts, run_sl2p
from xsentinel.kernels.sl2p_tables import Storage, fold_domain, fold_network, load_set
from xsentinel.kernels.threads import n_cores, over_pixels

ONE_TILE = "SL2P, one 20 m tile, eight uint16 bands to float32 with flags"
ZARR = "SL2P LAI, one 20 m tile, Zarr to Zarr"
STRIP = 305
"""Rows that the peers take at a time: they need gigabytes for a tile, and run faster on a strip."""


def note(benchmark: Any, layout: Layout, what: str, role: str, group: str = ONE_TILE, **more: object) -> None:
    benchmark.group = group
    benchmark.extra_info.update({"what": what, "role": role, "pixels": layout.pixels, **more})


def kernel(cube: xr.Dataset, names: tuple[str, ...]) -> Callable[[], np.ndarray]:
    """Give the kernel over all cores, tables folded and output memory there."""
    coefficients = load_set("S2A", 20)
    stored = Storage((1e-4,) * 8, (0.0,) * 8)
    cosines = np.cos(np.deg2rad([ANGLES["vza"], ANGLES["sza"], ANGLES["raa"]]))
    tables = fold_network(coefficients, names, stored, cosines), fold_domain(coefficients, stored)
    bands = tuple(np.ascontiguousarray(cube[b].values).reshape(-1) for b in BANDS)
    out, flags = np.zeros((len(names), bands[0].size), np.float32), np.zeros((len(names), bands[0].size), np.uint8)
    rest = np.empty((0, 0), np.float32), np.zeros(8, np.float32), *tables, out, flags

    def run() -> np.ndarray:
        over_pixels(lambda start, stop: run_sl2p(missing_counts, bands, *rest, start, stop), bands[0].size, n_cores())
        return out

    return run


@pytest.mark.parametrize(
    ("names", "what", "role"),
    [(("lai",), "xsentinel kernel, lai", "ours"), (("lai", "fapar", "fcover", "ccc", "cwc"), "xsentinel kernel, all five variables", "")],
)
def test_kernel(benchmark: Any, layout: Layout, names: tuple[str, ...], what: str, role: str) -> None:
    cube = tile(layout)
    note(benchmark, layout, what, role)
    out = benchmark.pedantic(kernel(cube, names), rounds=9, warmup_rounds=2)
    np.testing.assert_allclose(out[0].reshape(cube.B03.shape), cube.s2.lai().lai, atol=1e-5)


def test_product(benchmark: Any, layout: Layout) -> None:
    cube = tile(layout)
    note(benchmark, layout, "xsentinel, cube.s2.lai(), new memory", "")
    result = benchmark.pedantic(cube.s2.lai, rounds=9, warmup_rounds=2)
    assert np.isfinite(result.lai.values).all()


def test_copy(benchmark: Any, layout: Layout) -> None:
    source = np.ones(layout.pixels * (len(BANDS) * 2 + 4 + 1) // 8, np.float32)  # half is read, half written
    target = np.empty_like(source)
    note(benchmark, layout, "memory copy of as many bytes", "limit")
    benchmark.pedantic(copy_bytes, (source, target), rounds=9, warmup_rounds=2)


def numpy_lai(cube: xr.Dataset) -> np.ndarray:
    """Vectorised float32 numpy, in strips, with min–max and output flags but no grid."""
    record = json.loads(files("xsentinel.data").joinpath("sl2p.json").read_text())["sets"]["S2A_20m"]
    c = {k: np.asarray(v, np.float32) for k, v in record["lai"].items() if k != "inputs"}
    low, high = (np.asarray(record["definition_domain"][k], np.float32)[:, None] for k in ("band_min", "band_max"))
    cosines = np.cos(np.deg2rad([ANGLES["vza"], ANGLES["sza"], ANGLES["raa"]])).astype(np.float32)
    shape = cube.B03.shape[1:]
    out, flags = np.empty(shape, np.float32), np.empty(shape, np.uint8)
    slope, half = 2 / (c["input_max"] - c["input_min"]), (c["output_max"] - c["output_min"]) / 2
    for row in range(0, shape[0], STRIP):
        x = np.stack([cube[b].values[0, row : row + STRIP].ravel() for b in BANDS]).astype(np.float32) * np.float32(1e-4)
        flag = ((x < low) | (x > high)).any(0).astype(np.uint8)
        full = np.concatenate([x, np.broadcast_to(cosines[:, None], (3, x.shape[1]))])
        hidden = np.tanh(c["hidden_weights"] @ ((full - c["input_min"][:, None]) * slope[:, None] - 1) + c["hidden_bias"][:, None])
        y = (c["output_weights"] @ hidden + c["output_bias"] + 1) * half + c["output_min"]
        for side, over, bits in ((c["valid_min"], y < c["valid_min"], (2, 8)), (c["valid_max"], y > c["valid_max"], (4, 16))):
            near = np.abs(y - side) <= c["tolerance"]
            flag |= np.where(over, np.where(near, bits[0], bits[1]), 0).astype(np.uint8)
            y = np.where(over & near, side, y)
        out[row : row + STRIP], flags[row : row + STRIP] = y.reshape(-1, shape[1]), flag.reshape(-1, shape[1])
    return out


def test_numpy(benchmark: Any, layout: Layout) -> None:
    cube = tile(layout)
    note(benchmark, layout, "numpy, float32, vectorised, lai", "peer")
    out = benchmark.pedantic(numpy_lai, (cube,), rounds=2)
    apart = np.abs(out - cube.s2.lai().lai.values[0]) > 2e-3
    assert apart.sum() < 1e-6 * layout.pixels + 3  # pixels at the very edge of the tolerance


@pytest.mark.filterwarnings("ignore")
def test_satellitetools(benchmark: Any, layout: Layout) -> None:
    biophys = pytest.importorskip("satellitetools.biophys.biophys", reason="peer: pip install satellitetools earthengine-api xmltodict")
    cube = tile(layout)
    strips = []
    for row in range(0, layout.side, STRIP):
        part = cube.isel(time=0, y=slice(row, row + STRIP))
        bands = np.stack([part[b].values for b in BANDS]) * 1e-4
        cosines = [np.full(bands.shape[1:], np.cos(np.deg2rad(ANGLES[a]))) for a in ("vza", "sza", "raa")]
        stack = xr.DataArray(np.concatenate([bands, cosines]), {"y": part.y, "x": part.x}, ("band", "y", "x"))
        strips.append(stack)

    def run() -> None:
        for stack in strips:
            biophys.SNAPBiophysProcessor(stack, biophys.BiophysVariable.LAI).run()

    note(benchmark, layout, "satellitetools, lai (min–max only, no flags)", "peer")
    benchmark.pedantic(run, rounds=1)


# The whole job, each run in a process of its own so that its memory can be read


def job(kind: str, source: Path, target: Path) -> dict[str, float]:
    code = Path(__file__).with_name("zarr_job.py")
    done = subprocess.run([sys.executable, str(code), kind, str(source), str(target)], capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    shutil.rmtree(target)
    return result


@pytest.fixture(scope="module")
def store(layout: Layout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tile") / "tile.zarr"
    tile(layout).chunk({"y": layout.chunk, "x": layout.chunk}).s2.to_zarr(path)
    return path


@pytest.mark.parametrize(
    ("kind", "what", "role"), [("lai", "open → lai → to_zarr", "ours"), ("bare", "read inputs, write outputs only", "limit")]
)
def test_zarr(benchmark: Any, layout: Layout, store: Path, kind: str, what: str, role: str, tmp_path: Path) -> None:
    if layout.side < 1000 and role != "ours":
        pytest.skip("one job shows that they run; the others are for --benchmark-enable")
    runs = [job(kind, store, tmp_path / f"{i}.zarr") for i in range(1 if layout.side < 1000 else 5)]
    peak = max(r["peak_gb"] for r in runs)
    note(benchmark, layout, what, role, ZARR, peak=f"{peak:.2f} GB")
    turns = iter(runs)
    benchmark.pedantic(lambda: None, rounds=1)
    if benchmark.enabled and benchmark.stats is not None:
        benchmark.stats.stats.data[:] = [r["seconds"] for r in turns]
    assert layout.side < 1000 or kind == "bare" or peak < 1.5
