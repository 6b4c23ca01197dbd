"""Patches of land cover: where they are, how they are drawn, cut from chunks, turned, normalised and made ahead."""

from __future__ import annotations

import threading
import time

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import xsentinel as xs
from xsentinel.classes import LabelClass
from xsentinel.cube import Encoding
from xsentinel.kernels.cells import count_cells, sum_windows
from xsentinel.models.card import Card, Channel
from xsentinel.training.landcover_batches import Ahead, Cutter, Epoch, Source
from xsentinel.training.places import Draw, count_labels, find_places, turned
from xsentinel.training.tiles import Kept, Tile

BANDS = ("B04", "B08", "B11")
CLASSES = (LabelClass(2, "Wheat", "#e69f00"), LabelClass(7, "Maize", "#56b4e9"), LabelClass(9, "Rape", "#009e73"))


def label_map(height=70, width=83, seed=0, share=0.2):
    rng = np.random.default_rng(seed)
    small = np.where(rng.random((height // 6 + 1, width // 6 + 1)) < share, rng.choice([2, 7, 9, 30], (height // 6 + 1, width // 6 + 1)), 0)
    return xr.DataArray(small.repeat(6, 0).repeat(6, 1)[:height, :width].astype(np.uint8), dims=("y", "x"))


def places_slowly(label, codes, patch, step, least):
    """The twin: every position looked at by itself."""
    found = {}
    height, width = label.shape[0] // step * step, label.shape[1] // step * step
    for row in range(0, height - patch + 1, step):
        for column in range(0, width - patch + 1, step):
            window = label[row : row + patch, column : column + patch]
            found[row, column] = [int((window == code).sum()) for code in codes]
    valid = {place: n for place, n in found.items() if sum(n) >= max(1, least * patch**2)}
    rare = [k for k in range(len(codes)) if not any(n[k] for n in valid.values())]
    return {place: n for place, n in found.items() if place in valid or any(n[k] for k in rare)}


@given(
    st.integers(20, 50),
    st.integers(20, 50),
    st.sampled_from([(16, 4), (16, 16), (12, 6), (20, 5)]),
    st.sampled_from([0.0, 0.1, 0.5]),
    st.integers(0, 3),
)
def test_places_are_those_of_the_slow_twin(height, width, sizes, least, seed):
    label = label_map(height, width, seed)
    slow = places_slowly(label.values, (2, 7, 9), *sizes, least)
    if not slow:
        with pytest.raises(xs.XSentinelError, match="holds a label"):
            find_places([label], (2, 7, 9), *sizes, least)
        return
    for given_label in (label, label.chunk(y=17, x=23)):
        found = find_places([given_label], (2, 7, 9), *sizes, least)
        assert {(row, column): n for (_, row, column), n in zip(found.corners.tolist(), found.pixels.tolist(), strict=True)} == slow


def test_cells_and_windows_add_up():
    label = label_map()
    cells = count_labels(label, (2, 7, 9), 5)
    assert cells.shape == (14, 16, 3)
    assert cells.sum() == np.isin(label.values[:70, :80], (2, 7, 9)).sum()
    windows = sum_windows(cells, 3)
    assert windows.shape == (12, 14, 3)
    assert windows[4, 2, 1] == (label.values[20:35, 10:25] == 7).sum()
    beyond = np.zeros((1, 1, 1), np.int32)
    count_cells(np.full((9, 9), 2, np.uint8), np.arange(256) * 0, (0, 0), 4, beyond)
    assert beyond[0, 0, 0] == 16


def test_a_class_is_drawn_first_then_one_of_its_patches():
    labels = [label_map(96, 96, seed) for seed in (1, 2)]
    labels[1] = labels[1].where(labels[1] != 9, 0)  # a tile without the third class
    labels[0][40:, :] = labels[0][40:, :].where(labels[0][40:, :] != 9, 0)
    places = find_places(labels, (2, 7, 9), 24, 8)
    drawn = places.draw(3000, (5, 17))
    assert drawn == places.draw(3000, (5, 17))
    assert drawn != places.draw(3000, (5, 18))
    assert len({d.symmetry for d in drawn}) == 8
    of = {tuple(corner): k for k, corner in enumerate(places.corners.tolist())}
    for k, pool in enumerate(places.of_class):
        own = [of[d[:3]] in set(pool.tolist()) for d in drawn]
        assert np.mean(own) > 0.3  # a third is drawn for each class, and others hold it too
        assert (places.pixels[pool, k] >= 0.1 * 24**2).all() or (places.pixels[:, k] < 0.1 * 24**2).all()
    evenly = places.draw(3000, (5, 17), by_class=False)
    third = set(places.of_class[2].tolist())
    assert np.mean([of[d[:3]] in third for d in evenly]) < np.mean([of[d[:3]] in third for d in drawn]) / 2
    counted = np.bincount([of[d[:3]] for d in evenly], minlength=len(of))
    assert counted.min() > 0


def test_places_that_cannot_be():
    with pytest.raises(xs.GridError, match="patches are 96 wide; give larger tiles"):
        find_places([label_map()], (2, 7), 96, 8)
    with pytest.raises(xs.GridError, match="give a step that patches are a multiple of"):
        find_places([label_map()], (2, 7), 32, 12)


def test_a_square_is_turned_eight_ways():
    square = np.arange(12).reshape(2, 2, 3)
    ways = {turned(square, k).tobytes() for k in range(8)}
    assert len(ways) == 8
    assert turned(square, 0).tobytes() == square.tobytes()
    assert {turned(square, k)[..., 0].sum() for k in range(8)} == {square[..., 0].sum()}


def cube(height=50, width=41, seed=0, kind="uint16", n_dates=4):
    rng = np.random.default_rng(seed)
    times = pd.date_range("2018-01-01", periods=n_dates, freq="MS")
    ds = xr.Dataset(coords={"time": times, "y": -10.0 * np.arange(height), "x": 10.0 * np.arange(width)})
    for band in BANDS:
        counts = rng.integers(1, 5000, (n_dates, height, width)).astype(np.uint16)
        counts[rng.random(counts.shape) < 0.02] = 0
        attrs = {"scale_factor": 1e-4, "add_offset": -0.1, "_FillValue": 0}
        ds[band] = ("time", "y", "x"), counts, attrs
        if kind == "float32" or (kind == "mixed" and band == "B11"):
            values = np.where(counts == 0, np.nan, counts * np.float32(1e-4) - np.float32(0.1)).astype(np.float32)
            ds[band] = ("time", "y", "x"), values
    return ds


@given(st.integers(0, 29), st.integers(0, 20), st.integers(1, 20), st.integers(1, 50), st.integers(1, 41), st.sampled_from([1, 3, 4]))
def test_windows_are_those_of_the_whole_cube(row, column, side, chunk_y, chunk_x, chunk_t):
    ds = cube()
    tile = Tile.of("a", [ds[b].chunk(time=chunk_t, y=chunk_y, x=chunk_x) for b in BANDS], Kept(10_000))
    window = ds.isel(y=slice(row, row + side), x=slice(column, column + side))
    expected = np.stack([window[b].values for b in BANDS], 1)
    found = tile.cut(row, column, side)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(Tile.of("a", [ds[b] for b in BANDS], Kept(0)).cut(row, column, side), expected)


@given(st.integers(0, 29), st.integers(0, 20), st.integers(1, 20), st.integers(1, 4), st.integers(1, 50), st.integers(1, 41))
def test_bands_stored_together_are_as_bands_apart(row, column, side, chunk_b, chunk_y, chunk_x):
    apart, floats = [cube()[b] for b in BANDS], [cube(kind="float32")[b] for b in BANDS]
    joined = xr.concat([b.rename("r") for b in apart], "band").chunk(band=chunk_b, y=chunk_y, x=chunk_x)
    tile = Tile.of("a", [joined], Kept(10**5))
    np.testing.assert_array_equal(tile.cut(row, column, side), Tile.of("b", apart, Kept(0)).cut(row, column, side))
    assert len(tile.encodings) == 3
    beside = Tile.of("c", [joined, floats[0]], Kept(10**5)).cut(row, column, side)
    np.testing.assert_array_equal(beside[:, 3], floats[0][:, row : row + side, column : column + side])
    np.testing.assert_allclose(beside[:, 0], floats[0][:, row : row + side, column : column + side], atol=1e-6)


def test_bands_stored_in_two_ways_are_decoded():
    mixed, floats = (Tile.of("a", [cube(kind=k)[b].chunk(y=16) for b in BANDS], Kept(10**6)) for k in ("mixed", "float32"))
    assert mixed.is_mixed
    assert not floats.is_mixed
    np.testing.assert_allclose(mixed.cut(3, 4, 20), floats.cut(3, 4, 20), atol=1e-7)


def test_a_lazy_cube_is_read_block_by_block_and_blocks_lately_read_are_kept():
    n_computed = []

    def noted(block):
        n_computed.append(block.shape)
        return block

    data = da.map_blocks(
        noted, da.from_array(cube(64, 64).B04.values, chunks=(4, 16, 16)), dtype=np.uint16, meta=np.empty((0, 0, 0), np.uint16)
    )
    band = xr.DataArray(data, dims=("time", "y", "x"), name="B04", attrs={"scale_factor": 1e-4})
    kept = Kept(3 * 4 * 16 * 16 * 2)
    tile = Tile.of("a", [band], kept)
    tile.cut(0, 0, 16)
    assert n_computed == [(4, 16, 16)]
    tile.cut(0, 8, 16)  # touches one more
    assert len(n_computed) == 2
    tile.cut(4, 4, 8)
    assert len(n_computed) == 2
    for row in range(0, 48, 8):
        for column in range(0, 48, 8):
            tile.cut(row, column, 16)
            assert kept.n_bytes <= kept.limit
    before = len(n_computed)
    tile.cut(0, 0, 16)  # long gone
    assert len(n_computed) == before + 1


def card_of(n_dates=4, **more):
    channels = tuple(Channel(b, low, high) for b, low, high in zip(BANDS, (0.0, 0.02, 0.05), (0.3, 0.45, 0.33), strict=True))
    return Card("a", "fgunet", {"groups": 2}, channels, (), 10, 1, 0, "", n_dates, CLASSES, **more)


@pytest.mark.parametrize("kind", ["uint16", "float32", "mixed"])
def test_patches_are_normalised_by_the_card_gaps_at_zero_and_unlabelled(kind):
    ds, card = cube(kind=kind), card_of()
    kept = Kept(10**6)
    label = label_map(50, 41, share=0.6)
    source = Source(Tile.of("a", [ds[b].chunk(y=16) for b in BANDS], kept), Tile("l", (label.data[None],), (Encoding(),), kept))
    cutter = Cutter([source], card, 20)
    inputs, places = cutter([Draw(0, 16, 8, 0), Draw(0, 16, 8, 6)])
    assert inputs.shape == (2, 12, 20, 20)
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    stored = source.tile.cut(16, 8, 20)
    values = np.stack([cube(kind="float32")[b].values[:, 16:36, 8:28] for b in BANDS], 1)
    low, high = (np.array([getattr(c, end) for c in card.channels], np.float32)[:, None, None] for end in ("low", "high"))
    seen = np.isfinite(values).all((0, 1))
    expected = np.where(seen, (values - low) / (high - low), 0).reshape(12, 20, 20)
    np.testing.assert_allclose(inputs[0].numpy(), expected, atol=2e-6)
    own = np.where(seen, np.select([label.values[16:36, 8:28] == c.code for c in CLASSES], [0, 1, 2], -1), -1)
    np.testing.assert_array_equal(places[0].numpy(), own)
    np.testing.assert_array_equal(places[1].numpy(), turned(own, 6))
    np.testing.assert_array_equal(inputs[1].numpy(), np.moveaxis(turned(np.moveaxis(inputs[0].numpy(), 0, 2), 6), 2, 0))
    assert (places[0].numpy()[~seen] == -1).all()
    assert stored.shape == (4, 3, 20, 20)


def test_what_is_made_ahead_comes_in_order_and_is_never_much():
    alive, most, made = set(), [], []
    lock = threading.Lock()

    def make(k):
        with lock:
            made.append(k)
            alive.add(k)
            most.append(len(alive))
        time.sleep(0.001 * (k % 3))
        return k

    ahead = Ahead(make, 12, depth=3, threads=2)
    got = []
    for first, last in ((0, 5), (5, 12)):
        for k in Epoch(ahead, first, last):
            got.append(k)
            with lock:
                alive.discard(k)
    assert got == list(range(12))
    assert sorted(made) == list(range(12))
    assert max(most) <= 4
    ahead.close()
    assert list(Ahead(make, 3, threads=0).between(0, 3)) == [0, 1, 2]


def test_what_goes_wrong_ahead_is_told_where_it_is_asked_for():
    def make(k):
        if k == 2:
            raise xs.ReadError("chunk 2 is damaged")
        return k

    ahead = Ahead(make, 5, threads=2)
    with pytest.raises(xs.ReadError, match="chunk 2 is damaged"):
        list(ahead.between(0, 5))
    ahead.close()
