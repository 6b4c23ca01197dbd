"""The plan of blocks of whole series, and functions of series over numpy and dask."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import raise_if_dask_computes
from xsentinel.blocks.series import Output, allowed_bytes, contiguous_in_time, cut, map_series, plan_cube, plan_series
from xsentinel.errors import GridError, XSentinelError

SIZES = st.lists(st.integers(1, 3000), min_size=1, max_size=4).map(tuple)


def test_blocks_stay_as_the_source_has_them_where_they_fit():
    plan = plan_series(((73,), (1024, 1024), (1024, 976)), 73 * 8, 10**10, 2)
    assert plan.block == (1024, 1024)
    assert plan.n_blocks == 4
    assert not plan.is_rechunked
    assert "as they are in the source" in str(plan)


@given(st.integers(1, 200), SIZES, SIZES, st.integers(1, 5000), st.integers(10**8, 10**10), st.integers(1, 16))
def test_blocks_fit_and_never_join_source_chunks(n_times, rows, columns, pixel_bytes, limit, workers):
    try:
        plan = plan_series(((1,) * n_times, rows, columns), pixel_bytes, limit, workers)
    except GridError:
        assert pixel_bytes * 32 * 32 > 0.25 * limit / workers / 4
        return
    assert plan.block_bytes <= 0.25 * limit / workers or max(plan.block) <= 32
    assert plan.block[0] <= max(rows)
    assert plan.block[1] <= max(columns)
    for sizes, side in ((rows, plan.block[0]), (columns, plan.block[1])):
        pieces = cut(sizes, side)
        assert sum(pieces) == sum(sizes)
        assert max(pieces) <= side
        assert set(np.cumsum(sizes)) <= set(np.cumsum(pieces))
    assert plan.n_blocks == len(cut(rows, plan.block[0])) * len(cut(columns, plan.block[1]))


def test_a_series_too_long_for_the_memory_is_refused():
    with pytest.raises(GridError, match=r"series of 100000 bytes a pixel do not fit: 32 × 32 .*raise memory_limit"):
        plan_series(((10,), (64,), (64,)), 100_000, 10**8, 2)


def test_a_memory_limit_is_bytes_or_words():
    assert [allowed_bytes(limit) for limit in ("2GB", "1.5 MB", 10**6)] == [2 * 10**9, 1_500_000, 10**6]
    assert allowed_bytes(None) > 10**8
    for limit in ("much", 0, -5):
        with pytest.raises(XSentinelError, match=f"memory_limit is {limit!r}; give bytes, or a text such as '8GB'"):
            allowed_bytes(limit)


def cube(shape=(5, 6, 7)) -> xr.DataArray:
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    return xr.DataArray(values, {"time": np.arange(shape[0]).astype("datetime64[D]").astype("datetime64[ns]")}, ("time", "y", "x"), "B04")


def both(a, b, n_threads, shift):
    assert a.flags.c_contiguous
    return np.stack([a[0] + shift, b[-1]]), (a > b).sum(0).astype(np.uint16)


@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 7), st.integers(2 * 10**6, 10**8))
def test_series_are_the_same_for_any_chunking(t, y, x, limit):
    one, other = cube(), cube() * 2 - 1
    outputs = [Output("ends", np.float32), Output("count", np.uint16, has_time=False)]
    times = one.time.values[[0, -1]]
    whole = map_series(both, [one, other], outputs, times, {"shift": 3})
    with raise_if_dask_computes():
        lazy = [a.chunk({"time": t, "y": y, "x": x}) for a in (one, other)]
        plan = plan_cube(lazy, 2, limit)
        parts = map_series(both, contiguous_in_time(lazy, plan), outputs, times, {"shift": 3})
    for name in ("ends", "count"):
        assert parts[name].dtype == whole[name].dtype
        assert parts[name].dims == whole[name].dims
        np.testing.assert_array_equal(parts[name].compute(), whole[name])


def test_arrays_in_memory_need_no_plan():
    assert plan_cube([cube()], 2) is None
    assert contiguous_in_time([cube()], None)[0].chunks is None
