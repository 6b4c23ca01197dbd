"""Plans on ints, tiles on arrays."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import raise_if_dask_computes
from xsentinel.blocks.plan import Window, align_chunks, plan_windows, waste
from xsentinel.blocks.tiles import Tiling, map_tiles
from xsentinel.errors import GridError
from xsentinel.kernels.resample import coarsen_mean, coarsen_nearest, refine_bilinear, refine_nearest

CHUNKS = st.lists(st.integers(1, 40), min_size=1, max_size=6).map(tuple)


@pytest.mark.parametrize(
    ("chunks", "stride", "least", "plan"),
    [
        ((64, 64, 2), 4, 24, (64, 66)),  # a short tail joins its neighbour
        ((64, 64, 24), 4, 24, (64, 64, 24)),  # just long enough
        ((50, 50, 50), 4, 1, (48, 52, 50)),  # edges move down to the stride
        ((5,), 4, 24, (5,)),  # the whole dimension is shorter
        ((1, 1, 1, 1), 2, 1, (2, 2)),
        ((10, 10), 1, 0, (10, 10)),
    ],
)
def test_plans(chunks, stride, least, plan):
    assert align_chunks(chunks, stride, least) == plan


@given(CHUNKS, st.integers(1, 16), st.integers(0, 50))
def test_plan_laws(chunks, stride, least):
    plan = align_chunks(chunks, stride, least)
    assert sum(plan) == sum(chunks)
    assert all(edge % stride == 0 for edge in np.cumsum(plan)[:-1])
    assert len(plan) == 1 or min(plan) >= max(least, 1)


def test_a_plan_needs_a_positive_stride():
    with pytest.raises(GridError, match="stride is 0"):
        align_chunks((4,), 0, 1)


@pytest.mark.parametrize(
    ("n", "margins", "side", "windows"),
    [
        (10, (0, 0), 20, [Window(slice(0, 10), slice(0, 10), slice(0, 10))]),
        (8, (4, 4), 8, [Window(slice(0, 16), slice(4, 12), slice(0, 8))]),
        (
            12,  # two of 6 rounded up to the stride
            (0, 0),
            6,
            [Window(slice(0, 12), slice(0, 8), slice(0, 8)), Window(slice(4, 12), slice(4, 8), slice(8, 12))],
        ),
        (
            9,  # the halo reaches beyond the next window
            (4, 0),
            4,
            [Window(slice(0, 13), slice(4, 12), slice(0, 8)), Window(slice(8, 13), slice(4, 5), slice(8, 9))],
        ),
        (0, (0, 0), 8, []),
    ],
)
def test_windows(n, margins, side, windows):
    assert plan_windows(n, margins, side, halo=4, stride=4) == windows


@given(st.data(), st.integers(1, 400), st.integers(0, 6), st.sampled_from([1, 2, 3, 4, 8]))
def test_window_laws(data, n, n_halos, stride):
    halo, side = n_halos * stride, data.draw(st.integers(stride, 200))
    before, after = data.draw(st.tuples(st.sampled_from([0, halo]), st.sampled_from([0, halo])))
    windows = plan_windows(n, (before, after), side, halo, stride)
    assert np.concatenate([np.arange(n)[w.write] for w in windows]).tolist() == list(range(n))
    block = np.arange(-before, n + after)  # the place of each pixel that is there
    for w in windows:
        assert w.write.start % stride == 0
        assert 0 < w.write.stop - w.write.start <= -(-3 * side // (2 * stride)) * stride
        assert 0 <= w.read.start < w.read.stop <= block.size
        assert (w.read.start - before) % stride == 0
        read = block[w.read]
        assert 0 <= w.keep.start < w.keep.stop <= read.size
        np.testing.assert_array_equal(read[w.keep], np.arange(n)[w.write])
        # a whole halo on each side, or all that there is
        assert read[0] == max(w.write.start - halo, -before)
        assert read[-1] == min(w.write.stop + halo, n + after) - 1


@given(st.integers(1, 400), st.integers(1, 200))
def test_windows_are_of_about_equal_size(n, side):
    sizes = [w.write.stop - w.write.start for w in plan_windows(n, (0, 0), side, 0, 1)]
    assert max(sizes) <= 1.5 * side
    assert len(sizes) == 1 or side / 2 <= sizes[0]
    assert len(set(sizes[:-1])) <= 1
    assert len(sizes) == -(-n // sizes[0])


@given(st.integers(1, 90), st.integers(0, 6), st.sampled_from([1, 2, 4]))
def test_windows_give_what_the_whole_gives(n, halo, stride):
    halo = -(-halo // stride) * stride
    values = np.random.default_rng(n).integers(0, 99, n + 2 * halo)

    def around(line):
        padded = np.pad(line, halo)
        return sum(padded[k : k + line.size] for k in range(2 * halo + 1))

    for before, after in ((0, 0), (halo, 0), (halo, halo)):
        line = values[: before + n + after]
        out = np.zeros(n, int)
        for w in plan_windows(n, (before, after), 3 * stride, halo, stride):
            out[w.write] = around(line[w.read])[w.keep]
        np.testing.assert_array_equal(out, around(line)[before : before + n])


@pytest.mark.parametrize(("side", "stride"), [(7, 8), (0, 1), (1, 2), (-3, 1)])
def test_a_window_is_no_shorter_than_the_stride(side, stride):
    with pytest.raises(GridError, match=f"windows of {side} pixels are shorter than the stride of the network, {stride}"):
        plan_windows(100, (0, 0), side, 8, stride)


@given(st.integers(1, 600), st.integers(1, 12), st.sampled_from([1, 2, 4, 8]), st.data())
def test_larger_windows_waste_less(n, n_halos, stride, data):
    sides = sorted(data.draw(st.lists(st.integers(stride, 700), min_size=2, max_size=8)))
    wasted = [waste(n, side, n_halos * stride, stride) for side in sides]
    assert wasted == sorted(wasted, reverse=True)
    assert min(wasted) >= 0
    assert waste(n, n + stride, n_halos * stride, stride) == 0
    assert waste(n, sides[0], 0, stride) == 0


def test_waste_is_counted_in_pixels():
    # four windows of 10 in a line of 40, halo 2: 12 + 14 + 14 + 12 pixels are read
    assert waste(40, 10, 2, 1) == pytest.approx((52 / 40) ** 2 - 1)


def blur(values: np.ndarray) -> np.ndarray:
    """Sum 5 × 5 neighbours, zeros beyond the scene."""
    padded = np.pad(values, [(0, 0)] * (values.ndim - 2) + [(2, 2), (2, 2)])
    return sum(padded[..., i : i + values.shape[-2], j : j + values.shape[-1]] for i in range(5) for j in range(5)).astype(np.float32)


@given(CHUNKS, CHUNKS, st.integers(1, 3))
def test_a_neighbourhood_is_the_same_for_any_chunking(rows, columns, dates):
    data = np.arange(dates * sum(rows) * sum(columns), dtype=np.float32).reshape(dates, sum(rows), sum(columns)) % 97
    lazy = da.from_array(data, chunks=(1, rows, columns))
    with raise_if_dask_computes():
        tiled = map_tiles(blur, lazy, Tiling(np.float32, halo=2))
    assert tiled.shape == data.shape
    np.testing.assert_array_equal(tiled.compute(), map_tiles(blur, data, Tiling(np.float32, halo=2)))


RESAMPLERS = [(coarsen_mean, 1, 0), (coarsen_nearest, 1, 0), (refine_bilinear, 0, 1), (refine_nearest, 0, 0)]


@given(CHUNKS, CHUNKS, st.sampled_from(RESAMPLERS), st.sampled_from([2, 3]), st.floats(0, 0.5))
def test_resampling_is_the_same_for_any_chunking(rows, columns, resampler, factor, gaps):
    function, coarser, halo = resampler
    rng = np.random.default_rng(0)
    data = rng.normal(size=(2, sum(rows), sum(columns))).astype(np.float32)
    data[rng.uniform(size=data.shape) < gaps] = np.nan
    tiling = Tiling(np.float32, halo, *((factor, 1) if coarser else (1, factor)))
    whole = function(data, factor)
    tiled = map_tiles(lambda block: function(block, factor), da.from_array(data, chunks=(2, rows, columns)), tiling)
    assert tiled.shape == whole.shape
    assert tiled.dtype == whole.dtype == np.float32
    np.testing.assert_array_equal(tiled.compute(), whole)
