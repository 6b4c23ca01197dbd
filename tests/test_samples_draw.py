"""Samples drawn, split and extracted: rules as written, the same for any chunks, whole groups on one side, only what is needed read."""

from __future__ import annotations

import tracemalloc

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401  (registers .rio)
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from tests.cubes import make_cube
from xsentinel import XSentinelError, samples
from xsentinel.classes import LabelClass, classes_of, flag_attrs, palette
from xsentinel.errors import BandError, GridError, ReadError, TimeError, UnitsError, WriteError
from xsentinel.kernels.hashing import hash_of, salted


def label_map(shape=(60, 50), n=4, seed=0, size=20.0, chunks=None):
    rng = np.random.default_rng(seed)
    label = rng.choice(n + 1, shape, p=[0.2, *(0.8 * 0.5 ** np.arange(n) / (0.5 ** np.arange(n)).sum())]).astype(np.uint8)
    y, x = 5_000_000 - size * (np.arange(shape[0]) + 0.5), 600_000 + size * (np.arange(shape[1]) + 0.5)
    classes = tuple(LabelClass(k + 1, f"class {k + 1}", c) for k, c in enumerate(palette(n)))
    parcel = (np.arange(shape[0])[:, None] // 4 * 100 + np.arange(shape[1]) // 5 + 1).astype(np.uint32)
    ds = xr.Dataset({"label": (("y", "x"), label, flag_attrs(classes)), "parcel": (("y", "x"), parcel)}, {"y": y, "x": x})
    ds = ds.rio.write_crs(32632)
    return ds.chunk(y=chunks[0], x=chunks[1]) if chunks else ds


# rules and priors


def test_priors_count_what_there_is():
    labels = label_map()
    for given_labels in (labels, labels.label, label_map(chunks=(7, 50))):
        found = samples.priors(given_labels)
        assert found.pixels.values.tolist() == [int((labels.label == k).sum()) for k in range(1, 5)]
        assert float(found.share.sum()) == pytest.approx(1)
        assert found["class"].values.tolist() == ["class 1", "class 2", "class 3", "class 4"]


def test_the_rule_of_the_paper_by_hand():
    """Shares .4 .3 .2 .1: the 65th percentile is at place 1.95 of 0 … 3, between .2 and .3."""
    pixels = np.array([4000, 1000, 2000, 3000])
    assert np.quantile(pixels / 1e4, 0.65) == pytest.approx(0.295)
    made = samples.Stratified(a_most=1000, b_most=50, a_least=3000, b_least=20).wish(pixels)
    assert made.tolist() == [1000 * 0.4 + 50, 3000 * 0.1 + 20, 3000 * 0.2 + 20, 1000 * 0.3 + 50]


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=20).filter(any), st.integers(0, 5000))
def test_rules_keep_their_laws(pixels, n):
    pixels = np.array(pixels)
    proportional = samples.Proportional(n).wish(pixels)
    assert proportional.sum() == min(n, max(pixels.sum(), n)) or n > pixels.sum()
    assert (np.abs(proportional - n * pixels / pixels.sum()) <= 1).all() or n > pixels.sum()
    assert (samples.Equal(n).wish(pixels) == np.where(pixels, n, 0)).all()
    assert (samples.Stratified(0, n, 0, n).wish(pixels) == samples.Equal(n).wish(pixels)).all()
    assert (samples.Stratified(n, 3, n, 3).wish(pixels)[pixels > 0] >= 3).all()


def test_nothing_can_be_drawn_of_nothing():
    labels = label_map()
    with pytest.raises(XSentinelError, match="no pixel has a label"):
        samples.draw(labels.assign(label=labels.label * np.uint8(0)), samples.Equal(5))
    with pytest.raises(XSentinelError, match="codes 9 occur"):
        samples.priors(labels.label.where(labels.label != 1, 9).astype(np.uint8))
    with pytest.raises(XSentinelError, match="labels are int64"):
        samples.priors(labels.label.astype(np.int64))
    with pytest.raises(XSentinelError, match="no variable 'label'"):
        samples.priors(labels[["parcel"]])
    with pytest.raises(XSentinelError, match="quantile is 65"):
        samples.Stratified(1, 1, 1, 1, quantile=65)


# drawing


def drawn_slowly(labels, counts, seed):
    """The pixels of least hash of each class, all hashed and sorted."""
    size = 20.0
    found = set()
    for code, n in counts.items():
        rows, columns = np.nonzero(labels.label.values == code)
        y, x = labels.y.values[rows], labels.x.values[columns]
        keys = [
            (int(hash_of(salted(seed, 1), int(np.floor(v / size + 1e-3)), int(np.floor(u / size + 1e-3)))), v, u)
            for v, u in zip(y, x, strict=True)
        ]
        found |= {(code, v, u) for _, v, u in sorted(keys)[:n]}
    return found


def as_set(table):
    return set(zip(table.label.values.tolist(), table.y.values.tolist(), table.x.values.tolist(), strict=True))


@pytest.mark.parametrize("seed", [0, 7])
def test_drawing_equals_its_slow_twin(seed):
    labels = label_map()
    assert as_set(samples.draw(labels, samples.Equal(20), seed=seed)) == drawn_slowly(labels, dict.fromkeys(range(1, 5), 20), seed)


@pytest.mark.parametrize("chunks", [(60, 50), (7, 11), (1, 50), (59, 3)])
def test_drawing_is_the_same_for_any_chunks(chunks):
    rule = samples.Stratified(100, 10, 200, 10)
    xr.testing.assert_identical(samples.draw(label_map(chunks=chunks), rule, seed=3), samples.draw(label_map(), rule, seed=3))


def test_what_is_drawn_depends_on_the_place_alone():
    labels = label_map()
    whole, part = samples.draw(labels, samples.Equal(10_000)), samples.draw(labels.isel(y=slice(10, 40), x=slice(5, 45)), samples.Equal(50))
    assert as_set(part) <= as_set(whole)
    flipped = samples.draw(labels.isel(y=slice(None, None, -1)), samples.Equal(30))
    assert as_set(flipped) == as_set(samples.draw(labels, samples.Equal(30)))
    assert as_set(samples.draw(labels, samples.Equal(10))) < as_set(samples.draw(labels, samples.Equal(30)))
    assert as_set(samples.draw(labels, samples.Equal(10), seed=1)) != as_set(samples.draw(labels, samples.Equal(10)))


def test_a_short_class_is_capped_and_said():
    labels = label_map()
    have = samples.priors(labels).pixels.values
    table = samples.draw(labels, samples.Equal(int(have[3]) + 5))
    assert np.bincount(table.label)[1:].tolist() == [min(int(have[3]) + 5, int(n)) for n in have]
    assert table.attrs["short_classes"] == f"class_4:{have[3]}/{have[3] + 5}"


def test_the_table_says_where_samples_lie():
    labels = label_map()
    table = samples.draw(labels, samples.Equal(40), block=200)
    there = labels.sel(y=table.y, x=table.x)
    np.testing.assert_array_equal(there.label, table.label)
    np.testing.assert_array_equal(there.parcel, table.parcel)
    np.testing.assert_array_equal(table.block, table.y.values // 200 * 1_000_000 + table.x.values // 200)
    assert (np.diff(table.block) >= 0).all()
    assert classes_of(table.label.attrs) == classes_of(labels.label.attrs)
    assert table.rio.crs == labels.rio.crs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.rio.write_crs(4326), "blocks are in metres"),
        (lambda m: m.drop_vars(["x", "y"]), "no coordinates y and x"),
    ],
)
def test_maps_without_a_place_are_refused(change, message):
    with pytest.raises(GridError, match=message):
        samples.draw(change(label_map()), samples.Equal(5))


# splits


def table_of(groups, labels, by="block"):
    return xr.Dataset({"label": ("sample", np.asarray(labels))}, {by: ("sample", np.asarray(groups))})


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 4)), min_size=12, max_size=300).filter(lambda v: len({g for g, _ in v}) >= 3),
    st.integers(0, 5),
    st.sampled_from(["block", "parcel"]),
)
def test_no_group_is_on_two_sides(pairs, seed, by):
    groups, labels = (np.array(v) for v in zip(*pairs, strict=True))
    groups = groups + 1
    made = samples.split(table_of(groups, labels, by), by=by, seed=seed)
    sides = pd.crosstab(groups, made.split.values)
    assert ((sides > 0).sum(axis=1) == 1).all()
    order = np.random.default_rng(seed).permutation(len(groups))
    again = samples.split(table_of(groups[order], labels[order], by), by=by, seed=seed)
    np.testing.assert_array_equal(again.split, made.split.values[order])


def test_shares_come_near_and_rare_classes_are_everywhere():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 100, 5000)
    labels = np.where(np.isin(groups, [3, 50, 77]) & (rng.uniform(size=5000) < 0.2), 5, rng.choice([1, 2, 3], 5000, p=[0.7, 0.25, 0.05]))
    made = samples.split(table_of(groups, labels))
    counts = pd.crosstab(labels, made.split.values)[["train", "validation", "test"]]
    assert (counts > 0).all().all()
    away = counts.div(counts.sum(axis=1), axis=0).sub([0.6, 0.2, 0.2]).abs().max(axis=1)
    assert (away[[1, 2]] < 0.02).all()
    assert away[3] < 0.06  # 268 samples in 100 blocks, two or three in each
    folds = samples.folds(table_of(groups, labels), 3)
    assert (pd.crosstab(labels, folds.fold.values) > 0).all().all()
    assert np.abs(np.bincount(folds.fold.values) / 5000 - 1 / 3).max() < 0.02


def test_samples_by_themselves_are_dealt_class_by_class():
    labels = np.repeat([1, 2, 3], [100, 50, 10])
    made = samples.split(xr.Dataset({"label": ("sample", labels)}), by="sample")
    assert pd.crosstab(labels, made.split.values)[["train", "validation", "test"]].to_numpy().tolist() == [
        [60, 20, 20],
        [30, 10, 10],
        [6, 2, 2],
    ]


def test_blocks_of_another_size_and_tiles_apart():
    table = samples.draw(label_map(), samples.Equal(100), block=100)
    made = samples.split(table, block=400, seed=1)
    squares = made.y.values // 400 * 1000 + made.x.values // 400
    assert ((pd.crosstab(squares, made.split.values) > 0).sum(axis=1) == 1).all()
    two = table_of([1, 1, 1, 1], [1, 1, 1, 1]).assign_coords(tile=("sample", ["a", "a", "b", "b"]))
    sides = samples.split(two, shares={"train": 0.5, "test": 0.5}).split.values
    assert sides[0] == sides[1] != sides[2] == sides[3]


def test_samples_in_no_parcel_go_by_themselves():
    made = samples.split(table_of([0] * 10, [1] * 10, "parcel"), by="parcel", shares={"a": 0.5, "b": 0.5})
    assert (made.split == "a").sum() == 5


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"shares": {"train": 0.9, "test": 0.3}}, "add up to 1"),
        ({"shares": {"train": 1.2, "test": -0.2}}, "positive"),
        ({"by": "parcel"}, "no 'parcel' to split by; their coordinates are block"),
        ({"by": "tile"}, "by is 'tile'"),
        ({}, "of 2 blocks, and 3 sides"),
    ],
)
def test_impossible_splits_are_refused(how, message):
    with pytest.raises(XSentinelError, match=message):
        samples.split(table_of([1, 2], [1, 1]), **how)
    with pytest.raises(XSentinelError, match="1 folds"):
        samples.folds(table_of([1, 2], [1, 1]), 1)


# extraction


def cube_and_table(stored=False, n=40):
    cube = make_cube((3, 60, 50), ("B03", "B04", "B8A"), stored=stored)
    labels = label_map().assign_coords(y=cube.y, x=cube.x)
    return cube, samples.draw(labels, samples.Equal(n), block=200)


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("chunks", [None, {"time": 1, "y": 13, "x": 17}, {"time": 2, "y": 60, "x": 5}])
def test_series_are_those_of_the_pixels(stored, chunks):
    cube, table = cube_and_table(stored)
    made = samples.extract(cube if chunks is None else cube.chunk(chunks), table)
    assert made.reflectance.dims == ("sample", "time", "band")
    assert made.reflectance.dtype == np.float32
    for k, band in enumerate(("B03", "B04", "B8A")):
        values = cube[band].sel(y=table.y, x=table.x).transpose("sample", "time")
        expected = values.where(values != 0) * np.float32(1e-4) if stored else values
        np.testing.assert_allclose(made.reflectance[:, :, k], expected, rtol=1e-6)
    assert {"label", "x", "y", "parcel", "block", "time", "band", "spatial_ref"} <= set(made.coords)
    assert classes_of(made.label.attrs) == classes_of(table.label.attrs)


def test_only_blocks_with_samples_are_computed():
    cube, table = cube_and_table()
    seen = []

    def look(block, block_info=None):
        seen.append(block_info[0]["chunk-location"])
        return block

    lazy = cube.chunk(time=3, y=20, x=10)[["B03"]]
    lazy["B03"] = lazy.B03.copy(data=da.map_blocks(look, lazy.B03.data, dtype=np.float32, meta=np.empty((0, 0, 0), np.float32)))
    few = table.isel(sample=(table.y > float(cube.y[20])).values & (table.x < float(cube.x[20])).values)
    samples.extract(lazy, few)
    assert few.sizes["sample"] > 10
    assert set(seen) == {(0, 0, 0), (0, 0, 1)}
    assert len(seen) == 2


def test_series_of_a_lazy_expression():
    cube, table = cube_and_table()
    monthly = cube.chunk(time=3, y=20, x=25).s2.composite("MS")
    whole = samples.extract(cube.s2.composite("MS"), table)
    xr.testing.assert_identical(samples.extract(monthly, table), whole)
    assert whole.sizes["time"] == monthly.sizes["time"]


def test_a_cube_larger_than_memory_is_read_block_by_block(tmp_path):
    """256 MiB of cube, at most 48 MiB in memory at a time."""
    n = 2048
    make = da.map_blocks(
        lambda block_info=None: np.full((16, 128, 128), 0.1 * block_info[None]["chunk-location"][2], np.float32),
        chunks=((16,), (128,) * (n // 128), (128,) * (n // 128)), dtype=np.float32, meta=np.empty((0, 0, 0), np.float32),
    )  # fmt: skip
    y, x = 5_000_000 - 20.0 * np.arange(n), 600_000 + 20.0 * np.arange(n)
    cube = xr.Dataset({"B04": (("time", "y", "x"), make)}, {"time": pd.date_range("2018", periods=16), "y": y, "x": x}).rio.write_crs(32632)
    rows, columns = np.divmod(np.random.default_rng(0).choice(n * n, 2000, replace=False), n)
    table = xr.Dataset({"label": ("sample", np.ones(2000, np.uint8))}, {"y": ("sample", y[rows]), "x": ("sample", x[columns])})
    assert cube.nbytes > 256 << 20
    tracemalloc.start()
    try:
        made = samples.extract(cube, table, path=tmp_path / "series.zarr")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 48 << 20
    np.testing.assert_allclose(made.reflectance.values[:, 0, 0], 0.1 * (columns // 128), rtol=1e-6)


@pytest.mark.parametrize("chunks", [None, {"time": 1, "y": 13, "x": 17}])
def test_series_written_as_they_come_equal_those_in_memory(tmp_path, chunks):
    cube, table = cube_and_table()
    table = samples.split(table)
    cube = cube if chunks is None else cube.chunk(chunks)
    written = samples.extract(cube, table, path=tmp_path / "s.zarr")
    assert written.reflectance.chunks is not None
    xr.testing.assert_identical(written.compute(), samples.extract(cube, table))
    with pytest.raises(WriteError, match="exists"):
        samples.extract(cube, table, path=tmp_path / "s.zarr")


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda c, t: (c, t.assign_coords(x=t.x + 900)), GridError, r"samples lie outside the cube, such as x = .*; the cube has x from"),
        (lambda c, t: (c.drop_vars(list(c.data_vars)), t), BandError, "no band"),
        (lambda c, t: (c, t.drop_vars("x")), GridError, "no x"),
        (lambda c, t: (c.rio.write_crs(32633), t), GridError, "samples are in EPSG:32632 and the cube in EPSG:32633"),
        (lambda c, t: (c * 1e4, t), UnitsError, "reflectance is between 0 and 1"),
    ],
)
def test_what_does_not_fit_is_named(change, kind, message):
    cube, table = change(*cube_and_table())
    with pytest.raises(kind, match=message):
        samples.extract(cube, table)


# tables, joining, saving


@pytest.mark.parametrize("name", ["samples.zarr", "samples.nc"])
def test_samples_survive_a_file(tmp_path, name):
    cube, table = cube_and_table()
    made = samples.concat({"a": samples.split(samples.extract(cube, table)), "b": samples.split(samples.extract(cube, table))})
    samples.save(made, tmp_path / name)
    again = samples.open(tmp_path / name)
    xr.testing.assert_identical(again.compute(), made)
    assert classes_of(again.label.attrs) == classes_of(table.label.attrs)
    assert again.split.dtype.kind == "U"
    with pytest.raises(WriteError, match="exists"):
        samples.save(made, tmp_path / name)
    samples.save(made.isel(sample=slice(3)), tmp_path / name, overwrite=True)
    assert samples.open(tmp_path / name).sizes["sample"] == 3


def test_a_folder_that_is_no_store_is_never_replaced(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("one")
    with pytest.raises(WriteError, match="no Zarr store"):
        samples.save(cube_and_table()[1], tmp_path / "thesis", overwrite=True)
    make_cube().to_netcdf(tmp_path / "cube.nc")
    with pytest.raises(ReadError, match="holds no samples"):
        samples.open(tmp_path / "cube.nc")


def test_only_alike_samples_are_joined():
    cube, table = cube_and_table()
    made = samples.extract(cube, table)
    joined = samples.concat({"a": made, "b": made.rio.write_crs(32633)})
    assert "spatial_ref" not in joined.coords
    assert np.unique(joined.tile).tolist() == ["a", "b"]
    for change, what in ((made.isel(time=[0, 1]), "differ in time"), (made.isel(band=[0]), "differ in band")):
        with pytest.raises(XSentinelError, match=what):
            samples.concat({"a": made, "b": change})
    other = made.assign_coords(label=made.label.assign_attrs(flag_meanings="p q r s"))
    with pytest.raises(XSentinelError, match="different classes"):
        samples.concat({"a": made, "b": other})
    with pytest.raises(XSentinelError, match="no samples to join"):
        samples.concat({})


def long_table():
    frame = pd.DataFrame({"id": np.repeat(["p", "q", "r"], 2), "day": ["2017-01-01", "2017-02-01"] * 3, "crop": np.repeat([1, 2, 9], 2)})
    return frame.assign(red=[100, 200, 300, 65535, 5, 6], cell=np.repeat(["u", "v", "w"], 2))


def from_long(frame, **change):
    how = {
        "bands": {"red": "red"},
        "sample": "id",
        "time": "day",
        "label": "crop",
        "scale": 1e-4,
        "nodata": 65535,
        "coords": {"block": "cell"},
    }
    return samples.from_table(frame, legend=samples.legend({"Maize": [1], "Rye": [2], None: [9]}), **how | change)


def test_a_table_of_rows_becomes_samples():
    made = from_long(long_table().sample(frac=1, random_state=1))
    np.testing.assert_allclose(made.reflectance[:, :, 0], [[0.01, 0.02], [0.03, np.nan]], rtol=1e-6)
    assert made.band.values.tolist() == ["B04"]
    assert made.block.values.tolist() == ["u", "v"]
    assert made.label.values.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("frame", "change", "kind", "message"),
    [
        (long_table().drop(columns="day"), {}, XSentinelError, "no column day"),
        (pd.concat([long_table(), long_table()[:1]]), {}, TimeError, "1 rows repeat a date .* 2017-01-01.* of p"),
        (long_table().assign(crop=[1, 2, 2, 2, 1, 1]), {}, XSentinelError, "'crop' changes within sample p"),
        (long_table().assign(crop=7), {}, XSentinelError, "does not know: 7"),
        (long_table(), {"bands": {"red": "red", "B04": "red"}}, BandError, "mean B04, B04"),
    ],
)
def test_faulty_tables_are_named(frame, change, kind, message):
    with pytest.raises(kind, match=message):
        from_long(frame, **change)


def test_real_monthly_fields(data):
    pytest.importorskip("pyarrow")
    from benchmarks.crops_data import canada

    made = canada()
    assert dict(made.sizes) == {"sample": 1668, "time": 12, "band": 9}
    assert (np.bincount(made.label)[1:] >= 50).all()
    frame = pd.read_parquet(data / "crops" / "canada_monthly" / "train.parquet")
    row = frame[(frame.sample_id == made.id.values[7]) & (frame.timestamp == "2017-06-30T22:00")].iloc[0]
    assert float(made.reflectance[7].sel(time="2017-07-01", band="B08")) == pytest.approx(row["S2-L2A-B08"] * 1e-4)
    parts = samples.split(made)
    sides = pd.crosstab(parts.block.values, parts.split.values)
    assert ((sides > 0).sum(axis=1) == 1).all()
    assert (pd.crosstab(parts.label.values, parts.split.values) > 0).all().all()
    gaps = float(np.isnan(made.reflectance).mean())
    assert 0.07 < gaps < 0.09


def test_real_ucr_series(data):
    from benchmarks.crops_data import ucr

    made = ucr()
    assert dict(made.sizes) == {"sample": 7200, "time": 46, "band": 1}
    assert np.bincount(made.label)[1:].tolist() == [300] * 24
