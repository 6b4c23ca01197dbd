"""Plans on ints, tiles on arrays."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import raise_if_dask_computes
from xsentinel.blocks.plan import align_chunks
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
