"""Smoothing of class maps through the accessor: lazy as eager, labels kept, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import rioxarray  # noqa: F401  (registers .rio)
import xarray as xr

import xsentinel as xs
from tests.conftest import raise_if_dask_computes
from xsentinel.errors import BandError, GridError, UnitsError, XSentinelError
from xsentinel.kernels.majority import smooth_majority
from xsentinel.kernels.probabilities import smooth_bayes

CODES = np.array([1, 4, 9], np.uint8)
CHUNKS = [{"y": 20, "x": 20}, {"y": 7, "x": 53}, {"y": (1, 2, 34), "x": 13}, {"y": 3, "x": 3}]


def make_maps(dim: str = "category", dates: int = 0) -> xr.Dataset:
    """Fields of three classes with noise and gaps, as a classifier gives them."""
    rng = np.random.default_rng(0)
    fields = np.kron(rng.integers(0, 3, (4, 6)), np.ones((10, 9), int))[:37, :53]
    shape = (dates, *fields.shape) if dates else fields.shape
    logits = rng.normal(0, 1.2, (3, *shape)) + 2 * (np.arange(3).reshape(3, *[1] * len(shape)) == fields)
    chances = (np.exp(logits) / np.exp(logits).sum(0)).astype(np.float32)
    gaps = rng.random(shape) < 0.03
    classes = np.where(gaps, 0, CODES[chances.argmax(0)]).astype(np.uint8)
    chances[:, gaps] = np.nan
    dims = ("time", "y", "x")[-len(shape) :]
    flags = {"flag_values": CODES, "flag_meanings": "maize wheat grass", "flag_colors": "#ff0000 #00ff00 #0000ff"}
    ds = xr.Dataset(
        {
            "class": (dims, classes, {"long_name": "crop", "_FillValue": np.uint8(0), "grid_mapping": "spatial_ref", **flags}),
            "probability": ((dim, *dims), chances, {"units": "1"}),
            "confidence": (dims, chances.max(0), {"units": "1", "long_name": "confidence of the model"}),
            "margin": (dims, np.diff(np.sort(chances, 0)[-2:], axis=0)[0], {"units": "1"}),
            "entropy": (dims, -(chances * np.log(chances)).sum(0) / np.float32(np.log(3)), {"units": "1"}),
        },
        {"y": 5_000_010.0 - 20 * np.arange(37), "x": 600_010.0 + 20 * np.arange(53)},
        {"source": "a model"},
    )
    return ds.rio.write_crs("EPSG:32632")


OPTIONS: list[dict[str, Any]] = [
    {"method": "majority"},
    {"method": "majority", "size": 7},
    {"method": "bayes"},
    {"method": "bayes", "size": 5},
]


@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_any_chunking_gives_the_same(chunks: dict[str, Any], options: dict[str, Any]) -> None:
    maps = make_maps()
    before = maps.copy(deep=True)
    wanted = maps.s2.smooth(**options)
    with raise_if_dask_computes():
        lazy = maps.chunk({"category": 1, **chunks}).s2.smooth(**options)
    assert all(lazy[name].chunks is not None for name in ("class", "probability", "confidence", "margin", "entropy"))
    assert {n: v.dtype for n, v in lazy.items()} == {n: v.dtype for n, v in wanted.items()}
    xr.testing.assert_identical(lazy.compute(), wanted)
    xr.testing.assert_identical(maps, before)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_labels_stay(options: dict[str, Any]) -> None:
    maps = make_maps()
    smooth = maps.s2.smooth(**options)
    assert list(smooth) == list(maps)
    assert smooth.attrs == maps.attrs
    xr.testing.assert_identical(smooth.coords.to_dataset(), maps.coords.to_dataset())
    for name, layer in maps.items():
        assert smooth[name].dims == layer.dims
        assert smooth[name].dtype == layer.dtype
        assert {k: v for k, v in smooth[name].attrs.items() if k != "smoothing"}.keys() == layer.attrs.keys()
    assert smooth["class"].attrs["smoothing"].startswith(options["method"])
    np.testing.assert_array_equal(smooth["class"] == 0, maps["class"] == 0)


def test_majority_is_the_kernel_and_confidence_follows() -> None:
    maps = make_maps()
    smooth = maps.s2.smooth(size=5)
    np.testing.assert_array_equal(smooth["class"], smooth_majority(maps["class"].values, 5, nodata=0))
    assert (smooth["class"] != maps["class"]).mean() > 0.05
    place = np.searchsorted(CODES, smooth["class"])
    wanted = np.where(smooth["class"] == 0, np.nan, np.take_along_axis(maps.probability.values, place.clip(0, 2)[None], 0)[0])
    np.testing.assert_array_equal(smooth.confidence, wanted)
    xr.testing.assert_identical(smooth.probability, maps.probability)
    xr.testing.assert_identical(smooth.entropy, maps.entropy)
    kept = (smooth["class"] == maps["class"]).values
    np.testing.assert_array_equal(smooth.margin, np.where(kept, maps.margin, np.nan))
    bare = maps.drop_vars(["probability", "entropy"]).s2.smooth(size=5)
    changed = (bare["class"] != maps["class"]).values
    np.testing.assert_array_equal(bare.confidence, np.where(changed, np.nan, maps.confidence))
    xr.testing.assert_identical(maps["class"].s2.smooth(size=5), smooth["class"])


def test_bayes_is_the_kernel_and_all_follows() -> None:
    maps = make_maps()
    smooth = maps.s2.smooth("bayes", size=5, variance={"wheat": 3})
    chances = smooth_bayes(maps.probability.values, 5, [20, 3, 20])
    np.testing.assert_array_equal(smooth.probability, chances)
    there = maps["class"].values != 0
    np.testing.assert_allclose(smooth.probability.sum("category").values[there], 1, atol=1e-6)
    np.testing.assert_array_equal(smooth["class"].values[there], CODES[chances.argmax(0)][there])
    np.testing.assert_array_equal(smooth.confidence, chances.max(0))
    np.testing.assert_allclose(smooth.entropy, -(chances * np.log(chances)).sum(0) / np.log(3), rtol=1e-5)
    np.testing.assert_allclose(smooth.margin, np.diff(np.sort(chances, 0)[-2:], axis=0)[0], atol=1e-6)
    alone = maps.probability.s2.smooth("bayes", size=5, variance=[20, 3, 20])
    np.testing.assert_array_equal(alone, chances)
    added = maps[["class", "probability"]].s2.smooth("bayes")
    assert added.confidence.attrs == {"long_name": "probability of the class", "units": "1", "grid_mapping": "spatial_ref"}
    assert {"margin", "entropy"} <= set(added)


@pytest.mark.parametrize("method", ["majority", "bayes"])
def test_a_dimension_called_class_as_the_map(method: Any) -> None:
    """Xarray makes a coordinate of the map when probabilities have a dimension of its name."""
    named, other = make_maps("class"), make_maps("category")
    assert "class" in named.coords
    smooth, wanted = named.s2.smooth(method, size=5), other.s2.smooth(method, size=5)
    for name in ("class", "probability", "confidence", "margin", "entropy"):
        np.testing.assert_array_equal(smooth[name], wanted[name])
    np.testing.assert_array_equal(smooth.probability["class"], wanted["class"])


@pytest.mark.parametrize("method", ["majority", "bayes"])
def test_dates_are_maps_of_their_own(method: Any) -> None:
    maps = make_maps(dates=2)
    smooth = maps.s2.smooth(method)
    for t in range(2):
        single = maps.isel(time=t).s2.smooth(method)
        for name in maps:
            np.testing.assert_array_equal(smooth[name].isel(time=t), single[name])
    moved = maps.assign(probability=maps.probability.transpose("y", "time", "x", "category")).s2.smooth(method)
    np.testing.assert_array_equal(moved["class"], smooth["class"])


@pytest.mark.parametrize("method", ["majority", "bayes"])
def test_maps_as_crops_gives_them(method: Any) -> None:
    """No ``_FillValue``, 0 for no class, the map a coordinate of the probabilities, codes along their dimension."""
    maps, wanted = make_maps("class"), make_maps().s2.smooth(method, size=5)
    del maps["class"].attrs["_FillValue"]
    assert (maps["class"] == 0).any()
    smooth = maps.assign_coords(class_code=("class", CODES)).chunk({"y": 20}).s2.smooth(method, size=5)
    for name in ("class", "confidence", "margin", "entropy"):
        np.testing.assert_array_equal(smooth[name], wanted[name])
    assert xs.accuracy.assess(smooth, maps).n_left_out == (maps["class"] == 0).sum()


def test_codes_follow_the_order_of_probabilities() -> None:
    maps = make_maps("class").assign_coords(class_code=("class", CODES))
    mixed = maps.isel({"class": [2, 0, 1]})
    xr.testing.assert_equal(mixed.s2.smooth("bayes")["class"], maps.s2.smooth("bayes")["class"])


def test_noise_goes_and_accuracy_rises() -> None:
    land = xs.simulate.landscape((150, 200), ["2019-06-01"], seed=4)
    truth = land.truth["class"].compute()
    rng = np.random.default_rng(0)
    noisy = truth.copy(data=np.where(rng.random(truth.shape) < 0.15, rng.integers(1, 18, truth.shape), truth).astype(np.uint8))
    before, after = (xs.accuracy.assess(m, truth).overall_accuracy for m in (noisy, noisy.s2.smooth()))
    assert after > before + 0.05


def test_what_is_refused() -> None:
    maps = make_maps()
    with pytest.raises(XSentinelError, match="method 'mode' is not known; the methods are majority, bayes"):
        maps.s2.smooth("mode")
    with pytest.raises(XSentinelError, match="size is 4"):
        maps.s2.smooth(size=4)
    with pytest.raises(BandError, match="needs a map called class"):
        maps.drop_vars("class").s2.smooth()
    with pytest.raises(BandError, match="needs the probability"):
        maps.drop_vars("probability").s2.smooth("bayes")
    with pytest.raises(XSentinelError, match="2 flag_values with names, and probability 3"):
        maps.assign({"class": maps["class"].assign_attrs(flag_values=CODES[:2])}).s2.smooth("bayes")
    with pytest.raises(XSentinelError, match="variance names oats, which are none of the classes maize, wheat, grass"):
        maps.s2.smooth("bayes", variance={"oats": 3})
    with pytest.raises(XSentinelError, match="variance by name"):
        maps.probability.s2.smooth("bayes", variance={"wheat": 3})
    with pytest.raises(XSentinelError, match="one for each of 3 classes"):
        maps.chunk().s2.smooth("bayes", variance=[1, 2])
    with pytest.raises(XSentinelError, match=r"share is 1\.5"):
        maps.chunk().s2.smooth("bayes", share=1.5)
    with pytest.raises(UnitsError, match="class holds float32"):
        maps["class"].astype(np.float32).s2.smooth()
    with pytest.raises(UnitsError, match="probability holds int16"):
        (maps.probability.fillna(0) * 1e4).astype(np.int16).s2.smooth("bayes")
    with pytest.raises(GridError, match="has dims category, y, x; a map of classes has"):
        maps.probability.fillna(0).astype(np.uint8).s2.smooth()
    with pytest.raises(GridError, match=r"probabilities have \(class, y, x\)"):
        maps.confidence.s2.smooth("bayes")
    with pytest.raises(GridError, match="a cube has"):
        maps["class"].transpose("x", "y").s2.smooth()
