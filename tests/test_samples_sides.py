"""Label maps split by polygons: whole polygons, shares a class, any chunking, land in no parcel, bad labels."""

from __future__ import annotations

import numpy as np
import pytest
import rioxarray  # noqa: F401
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import xsentinel as xs
from tests.conftest import raise_if_dask_computes
from xsentinel.classes import LabelClass, flag_attrs
from xsentinel.samples import labels_on, split_polygons
from xsentinel.samples.sides import sides_of

CLASSES = (LabelClass(1, "Wheat", "#e69f00"), LabelClass(4, "Maize", "#56b4e9"), LabelClass(9, "Rape", "#009e73"))
THREE = {"train": 0.6, "validation": 0.1, "test": 0.3}


def labels(side=96, seed=0, in_parcels=0.8, crs=32631):
    """Rectangular parcels of three classes and several sizes, unlabelled pixels, and land in no parcel."""
    rng = np.random.default_rng(seed)
    parcel = np.zeros((side, side), np.int64)
    label = np.zeros((side, side), np.uint8)
    for k in range(1, 150):
        y, x = rng.integers(0, side, 2)
        height, width = rng.integers(2, 12, 2)
        parcel[y : y + height, x : x + width] = k * 1000 if rng.random() < in_parcels else 0
        label[y : y + height, x : x + width] = rng.choice([1, 4, 9], p=[0.6, 0.3, 0.1])
    label[rng.random(label.shape) < 0.1] = 0
    coords = {"y": 5e6 - 10 * np.arange(side) - 5.0, "x": 4e5 + 10 * np.arange(side) + 5.0}
    ds = xr.Dataset({"label": (("y", "x"), label, flag_attrs(CLASSES)), "parcel": (("y", "x"), parcel)}, coords)
    return ds.rio.write_crs(crs) if crs else ds


def test_polygons_are_whole_and_shares_hold_in_each_class():
    ds = labels()
    found = split_polygons(ds, THREE, seed=1)
    assert sides_of(found) == {"train": 1, "validation": 2, "test": 3}
    side, label, parcel = found.side.values, found.label.values, found.parcel.values
    assert ((side > 0) == (label > 0)).all()
    for number in np.unique(parcel[parcel > 0]):
        assert len(np.unique(side[(parcel == number) & (label > 0)])) <= 1
    for code in (1, 4):  # of the third class there are few polygons
        own = label == code
        shares = [(side[own] == k).mean() for k in (1, 2, 3)]
        np.testing.assert_allclose(shares, list(THREE.values()), atol=0.05)


def test_land_in_no_parcel_falls_to_sides_by_squares():
    ds = labels(in_parcels=0.0).drop_vars("parcel")
    found = split_polygons(ds, seed=2, block=120)
    rows, columns = np.floor(ds.y.values / 120), np.floor(ds.x.values / 120)
    for row in np.unique(rows):
        for column in np.unique(columns):
            inside = found.side.values[np.ix_(rows == row, columns == column)]
            assert len(np.unique(inside[inside > 0])) <= 1
    assert abs((found.side == 1).sum() / (found.label > 0).sum() - 0.67) < 0.03
    assert split_polygons(ds["label"], seed=2, block=120).side.identical(found.side)


@given(st.integers(30, 97), st.integers(30, 97), st.integers(0, 5))
def test_any_chunking_gives_the_same_sides_lazily(height, width, seed):
    ds = labels(seed=3)
    whole = split_polygons(ds, seed=seed)
    lazy = split_polygons(ds.chunk(y=height, x=width), seed=seed)
    assert lazy.side.chunks is not None
    assert lazy.side.dtype == np.uint8
    xr.testing.assert_identical(lazy.side.compute(), whole.side)


def test_a_split_is_a_function_of_its_seed_and_of_parcels_alone():
    ds = labels()
    first, again, other = (split_polygons(ds, seed=s).side for s in (0, 0, 1))
    assert first.equals(again)
    there = ds.label > 0
    assert 0.4 < float((first == other).where(there).mean()) < 0.9
    # where a parcel lies in a map that is cut or turned does not matter, only which and how large the parcels are
    assert split_polygons(ds.isel(y=slice(None, None, -1))).side.isel(y=slice(None, None, -1)).equals(first)


def test_labels_of_a_side():
    found = split_polygons(labels().chunk(y=40))
    with raise_if_dask_computes():
        train, test = labels_on(found, "train"), labels_on(found, "test")
    assert ((train + test) == found.label).all()
    assert train.dtype == np.uint8
    assert train.attrs["flag_meanings"] == found.label.attrs["flag_meanings"] == "Wheat Maize Rape"
    with pytest.raises(xs.XSentinelError, match="no side 'validation'; they have train, test"):
        labels_on(found, "validation")
    with pytest.raises(xs.XSentinelError, match="split_polygons makes it"):
        labels_on(labels(), "train")


def test_a_class_of_one_polygon_is_on_one_side_and_it_is_said():
    ds = labels()
    ds["label"][:3, :3], ds["parcel"][:3, :3] = 9, 77
    ds["label"] = ds.label.where((ds.label != 9) | (ds.parcel == 77), 0)
    assert split_polygons(ds).side.attrs["missing"] in ("test: 9", "train: 9")


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (lambda ds: ds, {"shares": {"train": 0.5, "test": 0.4}}, "positive ones that add up to 1"),
        (lambda ds: ds, {"shares": {"to train on": 0.5, "test": 0.5}}, "a name of one word"),
        (lambda ds: ds.assign(label=ds.label * 0), {}, "no label at all"),
        (lambda ds: ds.assign(parcel=ds.parcel * 0 + 5), {}, "are of 1 polygons"),
        (lambda _: labels(crs=None), {}, "lie in no parcel, and blocks are in metres, and the CRS is unknown"),
        (lambda _: labels(crs=None)["label"], {}, "the CRS is unknown"),
        (lambda ds: ds.drop_vars("x"), {}, "no coordinate x"),
    ],
)
def test_labels_that_cannot_be_split(change, options, words):
    with pytest.raises(xs.XSentinelError, match=words):
        split_polygons(change(labels()), **options)
