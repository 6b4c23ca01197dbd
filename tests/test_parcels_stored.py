"""Parcels and their seasons in tables and stores: what is written comes back with its outlines."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401  (registers .rio)
import shapely
import xarray as xr

import xsentinel as xs

N = 4
STORES = ("t.zarr", "t.nc", "v2.zarr")


@pytest.fixture(scope="module")
def fields() -> xr.Dataset:
    """Leaf area of four fields over two years, one without a crop's name, one with a hole, one of two parts."""
    times = pd.date_range("2018-01-01", "2019-12-31", freq="12D")
    day = times.day_of_year.to_numpy()[:, None, None]
    peak = 150.0 + 10 * np.arange(8).reshape(2, 4)
    lai = (0.5 + 4 * np.exp(-(((day - peak) / 40) ** 2))).astype(np.float32)
    coords = {"time": times, "y": [5_000_015.0, 5_000_005.0], "x": 400_005.0 + 10 * np.arange(4)}
    cube = xr.Dataset({"lai": xr.DataArray(lai, coords, ("time", "y", "x"), attrs={"units": "m2 m-2"})}).rio.write_crs(32631)
    x, y = 400_000.0, 5_000_000.0
    shapes = [shapely.box(x + 10 * k, y, x + 10 * k + 10, y + 20) for k in range(N)]
    shapes[1] -= shapely.box(x + 13, y + 5, x + 16, y + 9.123456789)
    shapes[2] = shapely.MultiPolygon([shapely.box(x + 20, y, x + 24, y + 20), shapely.box(x + 26, y, x + 30, y + 20)])
    table = gpd.GeoDataFrame({"name": list("abcd"), "crop": ["wheat", None, "maïs", "oats"], "area": range(N)}, geometry=shapes, crs=32631)
    return cube.s2.parcels(table, name="name", stats=("mean", "count"))


def seasons(fields: xr.Dataset) -> xr.Dataset:
    return fields.lai_mean.s2.phenology()


def test_seasons_of_parcels_keep_their_labels(fields):
    found = seasons(fields)
    assert set(fields.coords) - {"time"} <= set(found.coords)
    assert found.start.dims == ("year", "parcel")
    assert found.geometry.attrs["crs"] == "EPSG:32631"
    assert all(a.equals(b) for a, b in zip(found.geometry.values, fields.geometry.values, strict=True))
    np.testing.assert_allclose(found.peak.sel(parcel="a"), 170, atol=12)  # two pixels, of 150 and 190
    lazy = seasons(fields.chunk(parcel=3, time=10)).compute()
    xr.testing.assert_identical(lazy.drop_vars("geometry"), found.drop_vars("geometry"))


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.gpkg"])
@pytest.mark.parametrize("by", ["time", "year"])
def test_tables_by_date_and_by_year(fields, tmp_path, name, by):
    ds = fields if by == "time" else seasons(fields)
    (file,) = ds.s2.to_file(tmp_path / name)
    read = {"csv": pd.read_csv, "parquet": gpd.read_parquet, "gpkg": gpd.read_file}[name[2:]]
    table = read(file)
    assert len(table) == N * ds.sizes[by]
    assert list(table.columns[:2]) == ["parcel", by]
    assert set(ds.data_vars) <= set(table.columns)
    row = table.iloc[ds.sizes[by] + 1]  # the second of parcel b
    value = "lai_mean" if by == "time" else "peak"
    assert row["parcel"] == "b"
    assert row[value] == pytest.approx(float(ds[value].sel(parcel="b").isel({by: 1})), rel=1e-6)
    if name != "t.csv":
        assert table.crs.to_epsg() == 32631
        assert row.geometry.equals(ds.geometry.values[1])


def test_a_table_has_dates_or_years(fields):
    with pytest.raises(xs.XSentinelError, match=r"parcels by .*year.*time|parcels by .*time.*year"):
        seasons(fields).assign(lai=fields.lai_mean).s2.to_table()


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("by", ["time", "year"])
def test_stores_give_back_what_they_were_given(fields, tmp_path, store, by):
    ds, path = fields if by == "time" else seasons(fields), tmp_path / store
    if store.endswith(".nc"):
        ds.s2.to_netcdf(path)
    else:
        ds.s2.to_zarr(path, **({"zarr_format": 2} if store.startswith("v2") else {}))
    lazy = xs.open(path)
    assert lazy[next(iter(ds))].chunks is not None
    back = xs.open(path, chunks=None)
    assert set(back.data_vars) == set(ds.data_vars)
    for a, b in zip(back.geometry.values, ds.geometry.values, strict=True):
        assert shapely.equals_exact(a, b, tolerance=0)
    assert back.geometry.attrs == ds.geometry.attrs
    assert back.crop.values.tolist() == ["wheat", "", "maïs", "oats"]
    for name in {*ds.data_vars, "parcel", by, "area"}:
        np.testing.assert_array_equal(back[name], ds[name], err_msg=name)
        assert back[name].dtype == ds[name].dtype or name == "time"
        assert back[name].attrs.keys() >= ds[name].attrs.keys()
    assert back.s2.to_table().geometry.tolist() == ds.s2.to_table().geometry.tolist()
    if by == "time":
        np.testing.assert_array_equal(seasons(back).start, seasons(fields).start)


def test_packed_parcels(fields, tmp_path):
    fields.s2.to_zarr(tmp_path / "t.zarr", pack="int16", scale={"lai_mean": 1e-3, "lai_count": 0.01})
    back = xs.open(tmp_path / "t.zarr")
    assert back.lai_mean.dtype == np.float32
    np.testing.assert_allclose(back.lai_mean, fields.lai_mean, atol=6e-4)


def test_what_a_store_cannot_hold(fields, tmp_path):
    odd = fields.assign_coords(owner=("parcel", np.array([["a"], None, ["b"], ["c"]], object)))
    with pytest.raises(xs.WriteError, match="owner holds list"):
        odd.s2.to_zarr(tmp_path / "t.zarr")
    fields.s2.to_zarr(tmp_path / "t.zarr")
    with pytest.raises(xs.GridError, match="cannot be joined"):
        xs.open([tmp_path / "t.zarr", xs.sample("zurich")])
    text = np.array(["not", "a", "geometry", "!"], object)
    broken = xr.open_zarr(tmp_path / "t.zarr", consolidated=False).load().drop_encoding()
    broken.assign_coords(geometry=("parcel", text, broken.geometry.attrs)).to_zarr(tmp_path / "b.zarr", consolidated=False)
    with pytest.raises(xs.ReadError, match="no geometries"):
        xs.open(tmp_path / "b.zarr")
