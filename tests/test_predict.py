"""The engine: windows, tiles, gaps, samples, threads, precision; the same answer however the scene is cut."""

from __future__ import annotations

import pickle
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import xsentinel as xs
from tests.conftest import raise_if_dask_computes
from tests.networks import TEN_BANDS, random_model
from xsentinel.blocks import predict
from xsentinel.blocks.model import Model, read_network
from xsentinel.blocks.predict import Execution, Predictor, moments
from xsentinel.blocks.threads import on_threads, one_torch_thread
from xsentinel.blocks.tiles import Margins, Tiling, map_trimming
from xsentinel.cube import Encoding
from xsentinel.models.network import draw_masks

COUNTS = (Encoding(1e-4, 0.0, 0.0),) * 10
FLOATS = (Encoding(),) * 10


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return random_model(tmp_path_factory.mktemp("model"), geometry=())


@pytest.fixture(scope="module")
def model_with_geometry(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return random_model(tmp_path_factory.mktemp("geometry"))


def counts(shape: tuple[int, ...], gaps: float = 0.02, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 5000, shape, dtype=np.uint16)
    values[rng.uniform(size=shape) < gaps / shape[1]] = 0
    return values


def run(predictor: Predictor, data: object, *planes: object, least: int = 1) -> object:
    card = predictor.model.card
    tiling = Tiling(np.float32, card.halo, stride=card.stride, least=least, leading=(-1, predictor.n_out))
    return map_trimming(predictor, [data, *planes], tiling)


def twin(model: Model, stored: np.ndarray, samples: int = 0, seed: int = 0) -> np.ndarray:
    """Run the module itself over the whole scene, in float64, each sample kept."""
    net, card = read_network(model).double(), model.card
    valid = (stored != 0).all(1, keepdims=True)
    x = np.where(valid, stored * 1e-4 / 0.4, 0.0)
    height, width = x.shape[2:]
    grown = [-n % card.stride for n in (height, width)]
    x = np.pad(x, [(0, 0), (0, 0), (0, grown[0]), (0, grown[1])])
    with torch.no_grad():
        tensor = torch.from_numpy(x)
        if samples:
            ys = np.stack(
                [net(tensor, [None if m is None else m.double() for m in draw_masks(net.sites, seed, s)]).numpy() for s in range(samples)]
            )
            y = np.concatenate([ys.mean(0), ys.std(0, ddof=1)], 1)
        else:
            y = net(tensor).numpy()
    y[:, :1] = y[:, :1].clip(0, 8)
    return np.where(valid, y[:, :, :height, :width], np.nan)


@pytest.mark.parametrize("samples", [0, 5])
def test_the_whole_scene_is_what_the_module_gives(model: Model, samples: int) -> None:
    stored = counts((2, 10, 61, 43))
    found = run(Predictor(model, COUNTS, samples, seed=3), stored)
    assert found.dtype == np.float32
    assert np.isnan(found).any()
    np.testing.assert_allclose(found, twin(model, stored, samples, 3), atol=1e-5)
    assert np.nanstd(found[:, 0]) > 0.01


CHUNKS = st.lists(st.integers(1, 70), min_size=1, max_size=4).map(tuple)


@settings(max_examples=20)
@given(rows=CHUNKS, columns=CHUNKS, dates=st.integers(1, 3), samples=st.sampled_from([0, 3]))
def test_any_chunking_gives_the_same(model: Model, rows: tuple[int, ...], columns: tuple[int, ...], dates: int, samples: int) -> None:
    stored = counts((dates, 10, sum(rows), sum(columns)))
    predictor = Predictor(model, COUNTS, samples)
    with raise_if_dask_computes():
        lazy = run(predictor, da.from_array(stored, chunks=(1, 5, rows, columns)).rechunk({1: -1}))
    whole = run(predictor, stored)
    assert lazy.shape == whole.shape
    assert lazy.dtype == whole.dtype
    np.testing.assert_allclose(lazy.compute(scheduler="threads"), whole, atol=1e-5)


@pytest.mark.parametrize("side", [24, 57, 100, 1000])
def test_windows_of_any_side_give_the_same(model: Model, monkeypatch: pytest.MonkeyPatch, side: int) -> None:
    stored = counts((1, 10, 130, 117))
    whole = run(Predictor(model, COUNTS, 2), stored)
    monkeypatch.setattr(predict, "WINDOW", side)
    np.testing.assert_allclose(run(Predictor(model, COUNTS, 2), stored), whole, atol=1e-5)


def test_a_halo_that_is_too_small_is_seen(model: Model) -> None:
    """The tests above would pass no such thing: with a stride less, tiles differ from the whole."""
    stored = counts((1, 10, 130, 117), gaps=0)
    lazy = da.from_array(stored, chunks=(1, 10, 40, 40))
    predictor = Predictor(model, COUNTS)
    short = Tiling(np.float32, model.card.halo - 2 * model.card.stride, stride=model.card.stride, leading=(-1, 1))
    assert np.abs(map_trimming(predictor, [lazy], short).compute() - run(predictor, stored)).max() > 1e-5


def test_threads_and_schedulers_change_nothing(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "WINDOW", 24)
    stored = counts((2, 10, 90, 70))
    one = run(Predictor(model, COUNTS, 4, n_threads=1), stored)
    np.testing.assert_array_equal(run(Predictor(model, COUNTS, 4, n_threads=3), stored), one)
    lazy = run(Predictor(model, COUNTS, 4), da.from_array(stored, chunks=(1, 10, 40, 40)))
    for scheduler in ("synchronous", "threads"):
        np.testing.assert_allclose(lazy.compute(scheduler=scheduler), one, atol=1e-5)


def test_torch_keeps_its_threads(model: Model) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        seen: list[int] = []

        def look(_: int) -> None:
            with one_torch_thread():
                seen.append(torch.get_num_threads())

        on_threads(look, range(6), 3)
        assert seen == [1] * 6
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_errors_in_a_window_come_out(model: Model) -> None:
    def fail(_: int) -> None:
        raise RuntimeError("in a thread")

    with pytest.raises(RuntimeError, match="in a thread"):
        on_threads(fail, range(2), 2)


def test_float_and_uint16_agree(model: Model) -> None:
    stored = counts((1, 10, 40, 30))
    floats = np.where(stored == 0, np.nan, stored * np.float32(1e-4)).astype(np.float32)
    np.testing.assert_allclose(run(Predictor(model, FLOATS), floats), run(Predictor(model, COUNTS), stored), atol=1e-5)


def test_gaps_stay_where_they_are_and_reach_their_neighbours_as_zero(model: Model) -> None:
    stored = counts((1, 10, 40, 40), gaps=0)
    stored[0, 3, 20, 20] = 0
    found = run(Predictor(model, COUNTS, 3), stored)
    assert np.isnan(found[0, :, 20, 20]).all()
    assert np.isfinite(found).sum() == found.size - 2
    other = stored.copy()
    other[0, :3, 20, 20] = 4000  # what other bands hold there does not matter
    np.testing.assert_array_equal(run(Predictor(model, COUNTS, 3), other), found)


@pytest.mark.parametrize("shape", [(1, 10, 1, 1), (1, 10, 3, 50), (2, 10, 1, 9), (3, 10, 5, 5)])
def test_scenes_smaller_than_anything(model: Model, shape: tuple[int, ...]) -> None:
    stored = counts(shape, gaps=0)
    found = run(Predictor(model, COUNTS), stored)
    np.testing.assert_allclose(found, twin(model, stored), atol=1e-5)
    np.testing.assert_allclose(run(Predictor(model, COUNTS), da.from_array(stored, chunks=(1, 10, 2, 2))).compute(), found, atol=1e-5)


def test_nothing_but_gaps_costs_no_network(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Predictor, "_run", lambda *_: pytest.fail("the network ran"))
    assert np.isnan(run(Predictor(model, COUNTS), np.zeros((1, 10, 20, 20), np.uint16))).all()


def test_samples_are_a_function_of_the_seed(model: Model) -> None:
    stored = counts((1, 10, 20, 20), gaps=0)
    first, again, other = (run(Predictor(model, COUNTS, 3, seed), stored) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other)[:, 0].mean() > 1e-3
    assert (first[:, 1] > 0).all()


def test_moments_are_those_of_numpy() -> None:
    y = torch.randn(7, 2, 1, 4, 3)
    found = moments(iter(y)).numpy()
    np.testing.assert_allclose(found[:, :1], y.numpy().mean(0), atol=1e-6)
    np.testing.assert_allclose(found[:, 1:], y.numpy().std(0, ddof=1), atol=1e-6)


def test_a_predictor_travels(model: Model) -> None:
    stored = counts((1, 10, 20, 20))
    predictor = Predictor(model, COUNTS, 2)
    text = pickle.dumps(predictor)
    assert len(text) < 10_000  # the path of the weights, not the weights
    np.testing.assert_array_equal(pickle.loads(text)(stored, margins=Margins()), predictor(stored, margins=Margins()))


def test_equal_work_has_equal_names(model: Model) -> None:
    lazy = da.from_array(counts((1, 10, 60, 60)), chunks=(1, 10, 30, 30), name="cube")
    names = [run(Predictor(model, COUNTS, samples, seed), lazy).name for samples, seed in ((0, 0), (0, 0), (2, 0), (2, 1))]
    assert names[0] == names[1]
    assert len(set(names)) == 3


def test_weights_are_read_once_a_process(model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fresh = random_model(tmp_path, name="once", geometry=())
    reads = []
    monkeypatch.setattr(predict, "read_network", lambda m: reads.append(m) or read_network(m))
    lazy = da.from_array(counts((4, 10, 60, 60)), chunks=(1, 10, 30, 30))
    run(Predictor(fresh, COUNTS, 2), lazy).compute(scheduler="threads", num_workers=4)
    assert len(reads) == 1


def test_planes_of_geometry_count_and_their_gaps_too(model_with_geometry: Model) -> None:
    stored = counts((2, 10, 30, 30), gaps=0)
    flat = [np.full((2, 1, 1, 1), v, np.float32) for v in (0.8, 0.99, 0.1, 0.0)]
    predictor = Predictor(model_with_geometry, COUNTS)
    found = run(predictor, stored, *flat)
    full = [np.broadcast_to(p, (2, 1, 30, 30)).copy() for p in flat]
    np.testing.assert_array_equal(run(predictor, stored, *full), found)
    lazy = da.from_array(stored, chunks=(1, 10, 20, 20))
    np.testing.assert_allclose(run(predictor, lazy, *full).compute(), found, atol=1e-5)
    np.testing.assert_allclose(run(predictor, lazy, *flat).compute(), found, atol=1e-5)
    full[0][1, 0, 4, 5] = np.nan
    gapped = run(predictor, stored, *full)
    assert np.isnan(gapped[1, 0, 4, 5])
    assert np.isfinite(gapped).sum() == gapped.size - 1
    flat[0] = flat[0] * 0.5
    assert np.abs(run(predictor, stored, *flat) - found).max() > 1e-3


def test_several_dates_make_one_map(tmp_path: Path) -> None:
    model = random_model(tmp_path, name="three", geometry=(), dates=3)
    stored = counts((3, 10, 40, 30), gaps=0)
    lazy = da.from_array(stored, chunks=(3, 10, 20, 20))
    predictor = Predictor(model, COUNTS)
    tiling = Tiling(np.float32, model.card.halo, stride=model.card.stride, leading=(1, 1))
    whole = map_trimming(predictor, [stored], tiling)
    assert whole.shape == (1, 1, 40, 30)
    np.testing.assert_allclose(map_trimming(predictor, [lazy], tiling).compute(), whole, atol=1e-5)
    reordered = map_trimming(predictor, [stored[::-1].copy()], tiling)
    assert np.abs(reordered - whole).max() > 1e-3


def test_bf16_where_there_are_units_else_fp32(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = counts((1, 10, 40, 40), gaps=0)
    exact = run(Predictor(model, COUNTS), stored)
    monkeypatch.setattr("xsentinel.models.convolution.has_bf16_units", lambda: False)
    assert not Execution(precision="bf16").is_bf16
    monkeypatch.setattr("xsentinel.models.convolution.has_bf16_units", lambda: True)
    assert Execution(precision="auto").is_bf16
    assert not Execution().is_bf16
    predict._frozen.cache_clear()
    coarse = run(Predictor(model, COUNTS, execution=Execution(precision="bf16")), stored)
    predict._frozen.cache_clear()
    assert coarse.dtype == np.float32
    assert 0 < np.abs(coarse - exact).max() < 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp16"}, "precision is 'fp16'; it is 'fp32', 'bf16' or 'auto'"),
        ({"device": "tpu"}, "device is 'tpu'; it is 'cpu', 'cuda'"),
    ],
)
def test_bad_execution_is_named(options: dict[str, str], message: str) -> None:
    with pytest.raises(xs.XSentinelError, match=message):
        Execution(**options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there() -> None:
    with pytest.raises(xs.XSentinelError, match="torch finds no CUDA device here; use device='cpu'"):
        Execution("cuda").check()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_same(model: Model) -> None:
    stored = counts((1, 10, 300, 200))
    found = run(Predictor(model, COUNTS, 3, execution=Execution("cuda")), stored)
    np.testing.assert_allclose(found, run(Predictor(model, COUNTS, 3), stored), atol=1e-3)


def test_reflectance_in_other_units_is_refused(model: Model) -> None:
    with pytest.raises(xs.UnitsError, match="B02 reaches"):
        run(Predictor(model, FLOATS), counts((1, 10, 20, 20)).astype(np.float32))


def test_bands_of_a_real_scene(model: Model) -> None:
    cube = xs.sample("zurich", resolution=20)
    lazy = cube.chunk({"y": 90, "x": 77})
    with dask.config.set(scheduler="threads"):
        xr.testing.assert_allclose(lazy.s2.lai(model=model, samples=3).compute(), cube.s2.lai(model=model, samples=3), atol=1e-5)
    assert set(TEN_BANDS) <= set(cube.data_vars)
