"""Parcels: against exactextract, a slow twin, and laws."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401  (registers .rio)
import shapely
import xarray as xr
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import xsentinel as xs
from tests.conftest import raise_if_dask_computes
from xsentinel.cli import main
from xsentinel.kernels.zonal import Zones, majorities, moments, quantiles

STATS = ("mean", "std", "min", "max", "sum", "count", "valid", "median", "p10", "p90", "majority")


def maps(shape=(3, 40, 50), gaps=0.2, step=10.0, seed=0) -> xr.DataArray:
    """Give a map in UTM, some of it missing."""
    rng = np.random.default_rng(seed)
    values = rng.normal(3, 1, shape).astype(np.float32)
    values[rng.random(shape) < gaps] = np.nan
    coords = {
        "time": pd.date_range("2020-04-01", periods=shape[0], freq="10D"),
        "y": 5_000_000 - step * (np.arange(shape[1]) + 0.5),
        "x": 400_000 + step * (np.arange(shape[2]) + 0.5),
    }
    attrs = {"long_name": "leaf area index", "units": "m2 m-2"}
    return xr.DataArray(values, coords, ("time", "y", "x"), "lai", attrs).rio.write_crs(32631)


def fields(n=25, seed=1, size=120.0) -> gpd.GeoDataFrame:
    """Give crooked fields, one of two parts, one partly outside, one wholly, one with a hole."""
    rng = np.random.default_rng(seed)
    shapes = []
    for _ in range(n):
        x, y = 400_000 + rng.uniform(20, 380), 5_000_000 - rng.uniform(20, 280)
        angles = np.sort(rng.uniform(0, 2 * np.pi, 7))
        radius = rng.uniform(0.2, 0.5, 7) * size
        shapes.append(shapely.Polygon(np.c_[x + radius * np.cos(angles), y + radius * np.sin(angles)]).buffer(0))
    shapes[0] = shapely.MultiPolygon(
        [shapely.box(400_012, 4_999_900, 400_057, 4_999_940), shapely.box(400_200, 4_999_700, 400_233, 4_999_777)]
    )
    shapes[1] = shapely.box(399_900, 4_999_900, 400_060, 5_000_100)
    shapes[2] = shapely.box(500_000, 4_999_900, 500_060, 5_000_100)
    shapes[3] = shapely.box(400_100, 4_999_700, 400_300, 4_999_900) - shapely.box(400_150, 4_999_750, 400_250, 4_999_850)
    return gpd.GeoDataFrame({"crop": rng.choice(["maize", "wheat"], n), "area": np.arange(n)}, geometry=shapes, crs=32631)


def test_exactextract_says_the_same():
    from exactextract import exact_extract
    from exactextract.raster import NumPyRasterSource

    lai, parcels = maps(), fields()
    found = lai.s2.parcels(parcels, stats=STATS)
    box = {"xmin": 400_000, "xmax": 400_500, "ymin": 4_999_600, "ymax": 5_000_000}
    ops = {"mean": "mean", "std": "stdev", "min": "min", "max": "max", "sum": "sum", "count": "count", "median": "median",
           "p10": "quantile(q=0.1)", "p90": "quantile(q=0.9)"}  # fmt: skip
    for t in range(3):
        source = NumPyRasterSource(lai.values[t], **box, nodata=np.nan, srs_wkt=parcels.crs.to_wkt())
        theirs = exact_extract(source, parcels, list(ops.values()), output="pandas").to_numpy(float)
        for k, stat in enumerate(ops):
            ours = found[stat].values[:, t].astype(float)
            expected = np.where(np.isnan(theirs[:, k]) & (stat == "sum"), np.nan, theirs[:, k])
            if stat == "sum":  # of nothing theirs is 0, ours no data
                ours = np.nan_to_num(ours)
                expected = np.nan_to_num(expected)
            np.testing.assert_allclose(ours, expected, rtol=2e-5, atol=2e-5, err_msg=stat)


def test_labels_and_attributes():
    lai, parcels = maps(), fields()
    found = lai.s2.parcels(parcels, name="area")
    assert list(found) == ["mean", "std", "p10", "count"]
    assert found["mean"].dims == ("parcel", "time")
    assert found["mean"].dtype == np.float32
    assert found.parcel.values.tolist() == list(range(25))
    assert found.crop.values.tolist() == parcels.crop.tolist()
    assert found["mean"].attrs["units"] == "m2 m-2"
    assert "leaf area index" in found["mean"].attrs["long_name"]
    assert found["count"].attrs["units"] == "1"
    assert found.geometry.values[3].equals(parcels.geometry[3])
    xr.testing.assert_identical(found.time.drop_attrs(), lai.time.drop_vars("spatial_ref").drop_attrs())
    assert np.isnan(found["mean"].values[2]).all()
    assert (found["count"].values[2] == 0).all()


@given(st.integers(1, 40), st.integers(1, 50), st.integers(1, 3))
def test_lazy_is_the_same_for_any_chunking(rows, columns, times):
    lai, parcels = maps(), fields(10)
    whole = lai.s2.parcels(parcels, stats=STATS)
    with raise_if_dask_computes():
        lazy = lai.chunk({"time": times, "y": rows, "x": columns}).s2.parcels(parcels, stats=STATS)
    assert lazy["mean"].chunks is not None
    xr.testing.assert_identical(lazy.compute(), whole)


def test_centres_are_those_of_rasterio():
    from rasterio.features import geometry_mask

    lai, parcels = maps(gaps=0), fields()
    found = lai.s2.parcels(parcels, stats=("mean", "count"), coverage=False)
    for k, shape in enumerate(parcels.geometry):
        inside = geometry_mask([shape], (40, 50), lai.rio.transform(), invert=True)
        assert found["count"].values[k].tolist() == [inside.sum()] * 3
        if inside.any():
            np.testing.assert_allclose(found["mean"].values[k], lai.values[:, inside].mean(1), rtol=1e-5)


def test_another_crs_and_a_map_upside_down():
    lai, parcels = maps(), fields()
    here = lai.s2.parcels(parcels)
    np.testing.assert_allclose(lai.s2.parcels(parcels.to_crs(4326))["mean"], here["mean"], rtol=1e-4)
    turned = lai.isel(y=slice(None, None, -1)).s2.parcels(parcels)
    np.testing.assert_allclose(turned["mean"], here["mean"], rtol=1e-5)
    np.testing.assert_allclose(turned["count"], here["count"], rtol=1e-5)


def test_counts_are_decoded_and_nodata_left_out():
    lai, parcels = maps().clip(0.01).round(2), fields()
    packed = (lai.fillna(0) * 100).round().astype(np.uint16).assign_attrs(scale_factor=0.01, add_offset=0.0, _FillValue=0)
    np.testing.assert_allclose(packed.s2.parcels(parcels)["mean"], lai.s2.parcels(parcels)["mean"], atol=1e-4)


def test_of_classes_the_largest_and_of_bits_nothing():
    lai, parcels = maps(gaps=0), fields()
    flags = {"flag_values": np.array([1, 2], np.uint8), "flag_meanings": "maize wheat"}
    classes = xr.where(lai.isel(time=0) > 3, 1, 2).astype(np.uint8).assign_attrs(flags).rename("class")
    classes[:5] = 0
    bits = classes.assign_attrs(flag_masks=np.array([1, 2], np.uint8)).rename("lai_flags")
    found = (
        xr.Dataset({"lai": lai, "class": classes, "lai_flags": bits})
        .rio.write_crs(32631)
        .s2.parcels(parcels, stats=("mean", "majority", "valid"))
    )
    assert set(found) == {"lai_mean", "lai_majority", "lai_valid", "class_majority", "class_valid"}
    assert found["class_majority"].dims == ("parcel",)
    assert found["class_majority"].attrs["flag_meanings"] == "maize wheat"
    assert set(np.unique(found["class_majority"].dropna("parcel"))) <= {1, 2}
    with pytest.raises(xs.XSentinelError, match="majority"):
        classes.rio.write_crs(32631).s2.parcels(parcels, stats=("mean",))


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda a, p: (a, p.set_crs(None, allow_override=True)), xs.GridError, "no CRS"),
        (lambda a, p: (a, p.set_geometry(p.geometry.translate(1e6))), xs.GridError, "none of the 25 polygons touches"),
        (lambda a, p: (a, p.set_geometry([shapely.Polygon(), *p.geometry[1:]])), xs.XSentinelError, "1 of 25 geometries are empty"),
        (lambda a, p: (a, p.set_index("crop")), xs.XSentinelError, "more than once"),
        (lambda a, p: (a.drop_vars("spatial_ref"), p), xs.GridError, "CRS of the cube is unknown"),
        (lambda a, p: (a.isel(y=0), p), xs.XSentinelError, "no map"),
    ],
)
def test_bad_input(change, error, says):
    lai, parcels = change(maps(), fields())
    with pytest.raises(error, match=says):
        lai.s2.parcels(parcels)


@pytest.mark.parametrize("stats", [("p101",), (), ("mean", "mean"), ("variety",)])
def test_unknown_statistics(stats):
    with pytest.raises(xs.XSentinelError, match="stats are"):
        maps().s2.parcels(fields(), stats=stats)


def slow(values: np.ndarray, zones: Zones, zone: int) -> tuple[np.ndarray, np.ndarray]:
    """Give values that are there and their weights."""
    here = slice(zones.starts[zone], zones.starts[zone + 1])
    v, w = values[zones.cells[here]].astype(float), zones.weights[here].astype(float)
    return v[np.isfinite(v)], w[np.isfinite(v)]


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 30), st.sampled_from([0.0, 0.5, 1.0]))
def test_kernels_are_their_slow_twins(seed, n_zones, n_pixels, gaps):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 4, (2, n_pixels)).astype(np.float32)
    values[rng.random(values.shape) < gaps] = np.nan
    sizes = rng.integers(0, n_pixels + 1, n_zones)
    cells = np.concatenate([rng.permutation(n_pixels)[:n] for n in sizes] + [np.empty(0, int)]).astype(np.int64)
    zones = Zones(np.concatenate([[0], np.cumsum(sizes)]), cells, rng.uniform(0.01, 1, len(cells)).astype(np.float32))
    base, half, most = moments(values, zones), quantiles(values, zones, np.array([0.0, 0.5, 1.0])), majorities(values, zones)
    for zone in range(n_zones):
        for t in range(2):
            v, w = slow(values[t], zones, zone)
            if not v.size:
                assert base[zone, t, 0] == 0
                assert np.isnan([*base[zone, t, 1:], *half[zone, t], most[zone, t]]).all()
                continue
            mean = np.average(v, weights=w)
            expected = [w.sum(), mean, np.sqrt(np.average((v - mean) ** 2, weights=w)), v.min(), v.max(), (w * v).sum()]
            np.testing.assert_allclose(base[zone, t], expected, rtol=1e-9, atol=1e-12)
            assert half[zone, t, 0] == v.min()
            assert half[zone, t, 2] == v.max()
            assert v.min() <= half[zone, t, 1] <= v.max()
            totals = {x: w[v == x].sum() for x in sorted(set(v))}
            assert totals[most[zone, t]] >= max(totals.values()) * (1 - 1e-8)


@given(st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=40), st.floats(0, 1))
def test_quantiles_of_equal_weights_are_those_of_numpy(values, share):
    zones = Zones(np.array([0, len(values)]), np.arange(len(values)), np.full(len(values), 0.7, np.float32))
    found = quantiles(np.array([values], np.float32), zones, np.array([share]))
    np.testing.assert_allclose(found[0, 0, 0], np.quantile(np.array(values, float), share), rtol=1e-5, atol=1e-5)


def test_tables(tmp_path):
    found = maps().s2.parcels(fields())
    table = found.s2.to_table()
    assert len(table) == 75
    assert table.crs.to_epsg() == 32631
    row = table.iloc[4]
    assert row["mean"] == found["mean"].sel(parcel=row["parcel"], time=row["time"])
    assert row.geometry.equals(found.geometry.values[1])
    (csv,), (parquet,) = found.s2.to_file(tmp_path / "t.csv"), found.s2.to_file(tmp_path / "t.parquet")
    assert list(pd.read_csv(csv).columns) == ["parcel", "time", "mean", "std", "p10", "count", "crop", "area"]
    assert gpd.read_parquet(parquet).geometry.iloc[4].equals(row.geometry)
    with pytest.raises(xs.WriteError, match="overwrite"):
        found.s2.to_file(tmp_path / "t.csv")
    with pytest.raises(xs.WriteError, match=r"\.txt"):
        found.s2.to_file(tmp_path / "t.txt")
    with pytest.raises(xs.XSentinelError, match="parcels"):
        maps().to_dataset().s2.to_table()


def test_geometry_is_what_xvec_takes():
    import xvec  # noqa: F401

    found = maps().s2.parcels(fields(5))
    indexed = found.swap_dims(parcel="geometry").xvec.set_geom_indexes("geometry", crs=found.geometry.crs)
    near = indexed.xvec.query("geometry", shapely.box(400_010, 4_999_905, 400_030, 4_999_935))
    assert 0 in near.parcel.values.tolist()


def test_lai_of_a_simulated_year_over_its_own_parcels(tmp_path):
    scene = xs.simulate.landscape((64, 64), ["2018-05-05", "2018-06-14"], seed=5, chunks={"y": 32, "x": 32})
    parcels = scene.parcels()
    found = scene.truth.s2.parcels(parcels, stats=("mean", "majority", "count"), name="parcel").compute()
    crops = found["class_majority"].values == found["class"].values
    assert crops[found["lai_count"].values[:, 0] > 4].mean() > 0.97
    truth = scene.truth.compute()
    for number in found.parcel.values[::7]:
        inside = truth["parcel"].values == number
        np.testing.assert_allclose(found["lai_mean"].sel(parcel=number), truth["lai"].values[:, inside].mean(1), rtol=1e-4)


def test_the_shell(tmp_path):
    cube = xs.sample("zurich", resolution=20).isel(x=slice(0, 60), y=slice(0, 60))
    lai = cube.s2.lai()
    lai.s2.to_zarr(tmp_path / "lai.zarr")
    x, y = float(lai.x[10]), float(lai.y[10])
    shape = gpd.GeoDataFrame(
        {"field": ["a", "b"]}, geometry=[shapely.box(x, y - 200, x + 100, y), shapely.box(x, y, x + 70, y + 50)], crs=lai.rio.crs
    )
    shape.to_file(tmp_path / "fields.gpkg")
    files = [str(tmp_path / name) for name in ("lai.zarr", "fields.gpkg", "out.csv")]
    run = CliRunner().invoke(main, ["parcels", *files, "--name", "field"])
    assert run.exit_code == 0, run.output
    table = pd.read_csv(tmp_path / "out.csv")
    assert table["parcel"].tolist() == ["a", "b"]
    np.testing.assert_allclose(table["lai_mean"], lai.lai.s2.parcels(shape)["mean"].values.ravel(), rtol=1e-4)
    again = CliRunner().invoke(main, ["parcels", *files])
    assert again.exit_code == 2
    assert "overwrite" in again.output


def test_agreement_of_two_products_by_crop():
    sl2p, parcels = maps((6, 40, 50), gaps=0), fields()
    other = sl2p + np.float32(0.1)
    first, second = (m.s2.parcels(parcels)["mean"] for m in (sl2p, other))
    table = xs.accuracy.agreement(first, second, by="crop")
    assert table.index.tolist() == ["maize", "wheat", "all"]
    assert table.parcels.tolist() == [*pd.Series(parcels.crop).value_counts().sort_index(), 25]
    np.testing.assert_allclose(table.distance, 0.1, atol=1e-5)
    np.testing.assert_allclose(table.mse, 0.01, atol=1e-5)
    np.testing.assert_allclose(table.correlation, 1, atol=1e-5)
    np.testing.assert_allclose(table["2020-04-21"], 0.1, atol=1e-5)
    with pytest.raises(xs.GridError, match="same time"):
        xs.accuracy.agreement(first, second.isel(time=slice(1, None)), by="crop")
    with pytest.raises(xs.XSentinelError, match="'kind'"):
        xs.accuracy.agreement(first, second, by="kind")
    with pytest.raises(xs.GridError, match="parcel, time"):
        xs.accuracy.agreement(sl2p, other)


@pytest.mark.parametrize("layout", [None, "map", "series"])
def test_maps_with_angles_at_pixels_come_from_zarr(layout, tmp_path):
    lai, parcels = maps((3, 700, 700)), fields()
    there = {"sza": (("time", "y", "x"), np.full(lai.shape, 40.0, np.float32))}
    lai.to_dataset().assign_coords(there).s2.to_zarr(tmp_path / "lai.zarr", layout=layout)
    cube = xs.open(tmp_path / "lai.zarr")
    assert cube.sza.variable.chunks == cube.lai.variable.chunks
    xr.testing.assert_allclose(cube.lai.s2.parcels(parcels).compute().drop_attrs(), lai.s2.parcels(parcels).drop_attrs(), rtol=1e-6)
    apart = cube.assign_coords(sza=cube.sza.variable.chunk(y=100))  # as other programs write them
    xr.testing.assert_identical(apart.lai.s2.parcels(parcels).compute(), cube.lai.s2.parcels(parcels).compute())
