"""Legends and label maps: aggregated, eroded in metres, burnt by centres, the same for any chunks, honest about faults."""

from __future__ import annotations

import itertools

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401  (registers .rio)
import shapely
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.conftest import raise_if_dask_computes
from xsentinel import XSentinelError, samples, simulate
from xsentinel.classes import classes_of
from xsentinel.errors import GridError
from xsentinel.kernels.borders import keep_within
from xsentinel.kernels.morphology import footprint_widths

CROPS = samples.legend({"Maize": ["maize"], "Cereals": ["wheat", "rye"]})


def grid(shape=(30, 40), size=10.0, crs=32632, chunks=None):
    y, x = 5_000_000 - size * (np.arange(shape[0]) + 0.5), 600_000 + size * (np.arange(shape[1]) + 0.5)
    cube = xr.DataArray(np.zeros(shape, np.float32), {"y": y, "x": x}, ("y", "x")).rio.write_crs(crs)
    return cube.chunk(y=chunks[0], x=chunks[1]) if chunks else cube


def fields(crops, shapes, crs=32632):
    return gpd.GeoDataFrame({"crop": crops}, geometry=shapes, crs=crs)


def box(west, south, east, north):
    return shapely.box(600_000 + west, 5_000_000 - north, 600_000 + east, 5_000_000 - south)


# legends


def test_a_legend_aggregates_and_reads_back(tmp_path):
    table = samples.legend({"Winter wheat": [1110, 1111], "Maize": [1200], None: [9998]}, other="Other")
    table.to_csv(tmp_path / "legend.csv")
    again = samples.legend(tmp_path / "legend.csv")
    assert again == table
    values = np.array([[1200.0, np.nan, 1110], [9998, 0, 77]])
    np.testing.assert_array_equal(again.encode(values), [[2, 0, 1], [0, 0, 3]])
    assert [c.name for c in classes_of(again.attrs)] == ["Winter wheat", "Maize", "Other"]


@given(st.dictionaries(st.integers(1, 500), st.integers(0, 6), min_size=1), st.sampled_from([None, "drop", "class 3", "rest"]))
def test_any_legend_survives_csv_and_encodes_as_its_table_says(tmp_path_factory, mapping, other):
    frame = pd.DataFrame({"source": list(mapping), "class": [f"class {k}" if k else "" for k in mapping.values()]})
    if not any(mapping.values()) and other in (None, "drop"):
        with pytest.raises(XSentinelError, match="0 classes"):
            samples.legend(frame, other=other)
        return
    table = samples.legend(frame, other=other)
    path = tmp_path_factory.mktemp("legend") / "l.csv"
    table.to_csv(path)
    assert samples.legend(path) == table
    names = ["", *(c.name for c in table.classes)]
    assert [names[k] for k in table.encode(list(mapping))] == list(frame["class"])
    if other:
        assert names[table.encode([777])[0]] == ("" if other == "drop" else other)


def test_numbers_and_colours_of_a_table_are_kept():
    frame = pd.DataFrame(
        {"source": ["a", "b", "c"], "class": [2, 1, 2], "name": ["Rye", "Oat", "Rye"], "colour": ["#111111", "", "#111111"]}
    )
    table = samples.legend(frame)
    assert [(c.code, c.name) for c in table.classes] == [(1, "Oat"), (2, "Rye")]
    assert table.classes[1].colour == "#111111"
    np.testing.assert_array_equal(table.encode(np.array(["a", "b", "c"])), [2, 1, 2])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CROPS.encode(["maize", "oats", 12]), "does not know: 12, oats; add them"),
        (lambda: CROPS.encode(np.arange(100, 130)), "100, 101.* and 20 more"),
        (lambda: samples.legend({"a": [1], "b": [1]}), "1 stand for more than one class"),
        (lambda: samples.legend({f"class {k}": [k] for k in range(1, 300)}), "299 classes; give 1 … 255"),
        (lambda: samples.legend(pd.DataFrame({"code": [1]})), "no column source, class; it has code"),
        (lambda: samples.legend(pd.DataFrame({"source": [1, 2], "class": [1, 1], "name": ["a", "b"]})), "more than one name: a, b"),
        (lambda: samples.legend({}), "0 classes"),
    ],
)
def test_faulty_legends_are_named(make, message):
    with pytest.raises(XSentinelError, match=message):
        make()


# borders


def within_slowly(pieces, radius):
    n, m = pieces.shape
    out = np.ones((n, m), bool)
    for y in range(n):
        for x in range(m):
            for v in range(n):
                for u in range(m):
                    if (v - y) ** 2 + (u - x) ** 2 <= radius**2 and pieces[v, u] != pieces[y, x]:
                        out[y, x] = False
    return out


@given(arrays(np.int16, st.tuples(st.integers(1, 9), st.integers(1, 11)), elements=st.integers(0, 2)), st.floats(0, 4))
def test_borders_equal_their_slow_twin(pieces, radius):
    np.testing.assert_array_equal(keep_within(pieces, footprint_widths(radius, "disk")), within_slowly(pieces, radius))


# polygons


def burnt_slowly(frame, cube, codes, erode=0.0):
    """Class and row + 1 of the polygon that holds each centre; none where two classes do."""
    label, parcel = (np.zeros(cube.shape, np.uint32) for _ in range(2))
    shapes = [shape.buffer(-erode) for shape in frame.geometry.to_crs(cube.rio.crs)]
    for i, y in enumerate(cube.y.values):
        for j, x in enumerate(cube.x.values):
            held = [k for k, shape in enumerate(shapes) if codes[k] and shape.contains(shapely.Point(x, y))]
            if len({codes[k] for k in held}) == 1:
                label[i, j], parcel[i, j] = codes[held[0]], max(held) + 1
    return label, parcel


def random_fields(seed, n=12):
    rng = np.random.default_rng(seed)
    corners = [rng.uniform(-40, (440, 340), (5, 2)) for _ in range(n)]
    shapes = [shapely.convex_hull(shapely.MultiPoint(c * 0.4 + rng.uniform(0, (250, 180)) + (600_000, 4_999_700))) for c in corners]
    return fields(rng.choice(["maize", "wheat", "rye"], n), shapes)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("erode", [0.0, 12.0])
def test_polygons_are_burnt_as_by_hand(seed, erode):
    frame, cube = random_fields(seed), grid()
    made = samples.rasterise(frame, cube, column="crop", legend=CROPS, erode=erode)
    label, parcel = burnt_slowly(frame, cube, CROPS.encode(frame.crop), erode)
    np.testing.assert_array_equal(made.label, label)
    np.testing.assert_array_equal(made.parcel, parcel)
    assert (made.label.dtype, made.parcel.dtype) == (np.uint8, np.uint32)
    assert made.rio.crs == cube.rio.crs


@pytest.mark.parametrize("chunks", [(30, 40), (7, 9), (1, 40), (13, 5)])
def test_labels_of_polygons_are_lazy_and_the_same_for_any_chunks(chunks):
    frame = random_fields(1)
    whole = samples.rasterise(frame, grid(), column="crop", legend=CROPS, erode=5)
    with raise_if_dask_computes():
        lazy = samples.rasterise(frame, grid(chunks=chunks), column="crop", legend=CROPS, erode=5)
    assert lazy.label.chunks is not None
    xr.testing.assert_identical(lazy.compute(), whole)


@pytest.mark.parametrize("size", [20.0, 10.0])
def test_a_centre_on_a_border_goes_to_one_side_in_every_chunking(size):
    """Parcels of 10 m pixels on a grid of 20 m: borders run through centres."""
    edges = np.arange(0, 310, 30)
    frame = fields(["maize", "wheat"] * 5, [box(a, 10, b, 190) for a, b in itertools.pairwise(edges)])
    maps = [samples.rasterise(frame, grid((15, 20), size, chunks=c), column="crop", legend=CROPS) for c in (None, (1, 1), (4, 3))]
    assert maps[0].attrs["contested_pixels"] == 0
    assert (maps[0].label.values > 0).any(axis=0)[: int(300 / size)].all()
    for other in maps[1:]:
        np.testing.assert_array_equal(other.label, maps[0].label)


def test_a_contested_pixel_has_no_label_and_is_counted():
    frame = fields(["maize", "wheat", "rye"], [box(0, 0, 100, 100), box(80, 0, 200, 100), box(150, 0, 250, 100)])
    made = samples.rasterise(frame, grid(), column="crop", legend=CROPS)
    assert made.attrs["contested_pixels"] == 2 * 10
    assert (made.label.values[:10, 8:10] == 0).all()
    assert (made.label.values[:10, 10:25] == 2).all()  # wheat over rye is Cereals all the same
    with pytest.raises(XSentinelError, match="20 pixels lie in polygons of two classes"):
        samples.rasterise(frame, grid(), column="crop", legend=CROPS, overlap="raise")


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857", "EPSG:3035"])
def test_polygons_of_another_crs_are_brought_to_the_cube(crs):
    frame = random_fields(2).iloc[:3]
    here = samples.rasterise(frame, grid(), column="crop", legend=CROPS, erode=8)
    there = samples.rasterise(frame.to_crs(crs), grid(), column="crop", legend=CROPS, erode=8)
    # lines that are straight in one CRS bend by millimetres in another
    assert (here.label != there.label).mean() < 0.005
    assert there.attrs["polygons_crs"] == crs


@pytest.mark.parametrize(("crs", "centre"), [(3857, 60.0), (4326, 60.0), (2154, 46.9)])
def test_erosion_is_in_metres_on_the_ground(crs, centre):
    """A square of 200 m less 50 m on each side is 1 ha, whatever the CRS of the cube says a metre is."""
    lon = 7.44 if crs == 2154 else 9.0
    square = gpd.GeoSeries([shapely.Point(lon, centre)], crs=4326)
    square = square.to_crs(square.estimate_utm_crs()).buffer(100, cap_style="square")
    there = square.to_crs(crs)
    west, south, east, north = there.total_bounds
    x, y = np.linspace(west, east, 200), np.linspace(north, south, 200)
    cube = xr.DataArray(np.zeros((200, 200)), {"y": y, "x": x}, ("y", "x")).rio.write_crs(crs)
    frame = gpd.GeoDataFrame({"crop": ["maize"]}, geometry=square.values, crs=square.crs)
    counts = [int((samples.rasterise(frame, cube, column="crop", legend=CROPS, erode=e).label > 0).sum()) for e in (0, 50)]
    assert counts[1] / counts[0] == pytest.approx(0.25, rel=0.03)


def test_what_is_not_burnt_is_counted():
    shapes = [box(0, 0, 100, 100), box(5000, 0, 5100, 100), box(200, 0, 300, 100), box(120, 0, 130, 100)]
    legend = samples.legend({"Maize": ["maize"], "Hops": ["hops"]}, other="drop")
    attrs = samples.rasterise(fields(["maize", "maize", "fallow", "hops"], shapes), grid(), column="crop", legend=legend, erode=10).attrs
    assert {k: attrs[k] for k in attrs if k.startswith("polygons_") and k != "polygons_crs"} == {
        "polygons_burnt": 1, "polygons_outside": 1, "polygons_without_class": 1, "polygons_eroded_away": 1,
    }  # fmt: skip
    assert attrs["empty_classes"] == "Hops"


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda f: f.set_crs(None, allow_override=True), GridError, "polygons have no CRS"),
        (lambda f: f.rename(columns={"crop": "kind"}), XSentinelError, "no column 'crop'; they have kind, geometry"),
        (lambda f: f.assign(crop="oats"), XSentinelError, "column 'crop' has values that the legend does not know: oats"),
        (lambda f: f.translate(1e5).to_frame("geometry").assign(crop="rye"), GridError, "none of the 2 polygons touches the cube"),
        (lambda f: f.set_geometry([shapely.Polygon(), f.geometry[1]], crs=f.crs), XSentinelError, "1 of 2 geometries are empty: rows 0"),
        (lambda f: f.set_geometry([None, f.geometry[1]], crs=f.crs), XSentinelError, "1 of 2 geometries are empty: rows 0"),
        (lambda f: f.set_geometry(f.boundary), XSentinelError, "2 of 2 geometries are no polygons"),
        (
            lambda f: f.set_geometry([f.geometry[0], shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])], crs=f.crs),
            XSentinelError,
            "1 of 2 geometries are not valid .*: rows 1",
        ),
    ],
)
def test_faulty_polygons_are_named(change, kind, message):
    frame = fields(["maize", "wheat"], [box(0, 0, 100, 100), box(200, 0, 300, 100)])
    with pytest.raises(kind, match=message):
        samples.rasterise(change(frame), grid(), column="crop", legend=CROPS)


def test_the_cube_must_say_where_it_is():
    frame = fields(["maize"], [box(0, 0, 100, 100)])
    with pytest.raises(GridError, match="CRS of the cube is unknown"):
        samples.rasterise(frame, grid().drop_vars("spatial_ref"), column="crop", legend=CROPS)
    with pytest.raises(XSentinelError, match="erode is -1 m"):
        samples.rasterise(frame, grid(), column="crop", legend=CROPS, erode=-1)


@pytest.fixture(scope="module")
def land():
    return simulate.landscape(shape=(150, 150), dates=["2019-06-01"], seed=3, chunks={"y": 64, "x": 64})


def test_parcels_of_a_landscape_give_its_classes_back(land):
    frame, truth = land.parcels(), land.truth.compute()
    legend = samples.legend({name: [name] for name in truth["class"].flag_meanings.split()})
    made = samples.rasterise(frame, land.cube, column="class_name", legend=legend).compute()
    there = truth.parcel.values > 0
    np.testing.assert_array_equal(made.label.values, np.where(there, truth["class"].values, 0))
    number = {p: k + 1 for k, p in enumerate(frame.parcel)}
    np.testing.assert_array_equal(made.parcel.values[there], [number[p] for p in truth.parcel.values[there]])
    gone = set(np.unique(made.label)) ^ {0, *(c.code for c in legend.classes)}
    assert made.attrs["empty_classes"].split() == [legend.classes[k - 1].meaning for k in sorted(gone)]


# rasters


def test_a_raster_of_the_same_grid_is_aggregated_and_eroded(land):
    truth = land.truth.compute()
    legend = samples.legend({"Cereals": [1, 2], "Grassland": [7]}, other="drop")
    for chunks in (None, {"y": 64, "x": 64}, {"y": 37, "x": 150}):
        cube = land.cube.compute() if chunks is None else land.cube.chunk(chunks)
        made = samples.from_raster(truth["class"], cube, legend=legend, erode=20)
        expected = legend.encode(truth["class"].values) * within_by_shifts(truth["class"].values, 2)
        np.testing.assert_array_equal(made.label, expected)
        by_parcel = samples.from_raster(truth["class"], cube, legend=legend, erode=20, parcels=truth.parcel)
        inside = within_by_shifts(truth.parcel.values, 2) & (truth.parcel.values != 0)
        np.testing.assert_array_equal(by_parcel.label, legend.encode(truth["class"].values) * inside)
        np.testing.assert_array_equal(by_parcel.parcel, truth.parcel)


def within_by_shifts(pieces, radius):
    padded, out = np.pad(pieces, radius, mode="edge"), np.ones(pieces.shape, bool)
    n, m = pieces.shape
    rows, columns = np.mgrid[:n, :m]
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            if dy**2 + dx**2 <= radius**2:
                there = (rows + dy >= 0) & (rows + dy < n) & (columns + dx >= 0) & (columns + dx < m)
                out &= ~there | (padded[radius + dy : radius + dy + n, radius + dx : radius + dx + m] == pieces)
    return out


def test_a_raster_is_lazy_where_the_cube_is(land):
    labels = land.labels(share=0.5)
    legend = samples.legend({"Maize": [4]}, other="drop")
    with raise_if_dask_computes():
        made = samples.from_raster(labels, land.cube, legend=legend, erode=10)
    assert made.label.chunks == land.cube.B04.chunks[1:]
    assert set(np.unique(made.label)) <= {0, 1}


@pytest.mark.parametrize("site", ["00002806639B424A", "000028085BF08E7E"])
def test_real_crop_maps_come_to_the_grid_of_a_cube(data, site):
    import xsentinel as xs

    folder = data / "cubes" / "worldcereal" / site
    crops = xr.open_dataset(next(folder.glob("OUTPUT*.nc"))).CT.rio.write_crs("EPSG:32631").load()
    cube = xs.open(next(folder.glob("S2_L2A_20m*.nc")))
    legend = samples.legend({"Cereals": [1110, 1910], "Maize": [1200], "Grass": [9120]}, other="Other crops")
    made = samples.from_raster(crops, cube, legend=legend)
    assert made.label.shape == (cube.sizes["y"], cube.sizes["x"])
    for y, x in ((3, 5), (17, 30), (31, 31)):
        # the centre of a 20 m pixel is a corner of four of 10 m: the nearest is any of them
        around = crops.values[2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
        assert int(made.label[y, x]) in legend.encode(around)
    same = samples.from_raster(crops, crops, legend=legend)
    np.testing.assert_array_equal(same.label, legend.encode(crops.values))
    counts = samples.priors(same)
    assert int(counts.pixels.sel({"class": "Maize"})) == int((crops == 1200).sum())
    assert (samples.from_raster(crops, crops, legend=legend, erode=20).label.values > 0).sum() < counts.pixels.sum()


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda r: r.assign_coords(x=r.x + 1e5), GridError, "raster lies outside the cube"),
        (lambda r: r.drop_vars("spatial_ref"), GridError, "CRS"),
        (lambda r: r.expand_dims("time"), GridError, "dims time, y, x"),
        (lambda r: r + 5, XSentinelError, "raster crop has values that the legend does not know: 6"),
    ],
)
def test_faulty_rasters_are_named(change, kind, message):
    raster = grid().astype(np.uint8).rename("crop") + np.uint8(1)
    legend = samples.legend({"Maize": [1]})
    assert (samples.from_raster(raster, grid(), legend=legend).label == 1).all()
    with pytest.raises(kind, match=message):
        samples.from_raster(change(raster), grid(), legend=legend)


def test_nodata_of_a_raster_is_no_label():
    raster = (grid().astype(np.uint8) + np.uint8(255)).assign_attrs(_FillValue=255)
    raster[0, 0] = 1
    made = samples.from_raster(raster, grid(), legend=samples.legend({"Maize": [1]}))
    assert int((made.label > 0).sum()) == 1
