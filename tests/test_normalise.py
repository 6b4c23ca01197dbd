"""`statistics` and `normalise` against numpy, on real cubes, over chunks, dtypes and methods; and their errors."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import xsentinel as xs
from tests.conftest import raise_if_dask_computes
from tests.cubes import make_cube
from xsentinel.blocks.reduce import Reduction, reduce_blocks
from xsentinel.kernels.tally import SKETCH_ERROR
from xsentinel.products.normalise import normalise, statistics
from xsentinel.statistics import BandStatistics, Statistics

METHODS = ("percentile", "minmax", "zscore", "albughdadi", "stoian")
BANDS = ("B04", "B8A")
SHAPE = (5, 23, 19)


def add_radar(cube: xr.Dataset, seed: int = 1) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    values = rng.normal(-12, 3, tuple(cube.sizes[d] for d in ("time", "y", "x"))).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    return cube.assign(VV=(("time", "y", "x"), values, {"units": "dB"}))


@pytest.fixture(scope="module")
def stored() -> xr.Dataset:
    cube = make_cube(SHAPE, BANDS, stored=True)
    cube["B04"][2] = 0  # a date without data
    scl = (("time", "y", "x"), np.full(SHAPE, 4, np.uint8))
    return add_radar(cube).assign(SCL=scl, ndvi=cube.B8A * 0.5)


@pytest.fixture(scope="module")
def cube() -> xr.Dataset:
    return add_radar(make_cube(SHAPE, BANDS))


def physical(band: xr.DataArray) -> np.ndarray:
    """Give float64 values, NaN in gaps."""
    attrs, values = band.attrs, band.values.astype(np.float64)
    values = np.where(values == attrs.get("_FillValue", np.nan), np.nan, values)
    return values * attrs.get("scale_factor", 1) + attrs.get("add_offset", 0)


def twin(band: xr.DataArray, method: str, lower: float = 2, upper: float = 98) -> tuple[float, float]:
    """Give shift and width by the definition."""
    values = physical(band)
    valid = values[np.isfinite(values)]
    if method == "zscore":
        return valid.mean(), valid.std()
    if method == "albughdadi":
        images = [v[np.isfinite(v)] for v in values if np.isfinite(v).any()]
        low, high = min(np.percentile(v, lower) for v in images), max(np.percentile(v, upper) for v in images)
        return low, high - low
    low, high = np.percentile(valid, {"minmax": (0, 100), "stoian": (3, 97)}.get(method, (lower, upper)))
    return low, high - low


@pytest.mark.parametrize("method", METHODS)
def test_integers_are_exact(stored: xr.Dataset, method: str) -> None:
    stats = statistics(stored, method=method)
    assert stats.bands == ("B04", "B8A", "VV")
    for name in BANDS:
        np.testing.assert_allclose(stats.transform(name), twin(stored[name], method), rtol=1e-12)
        assert stats[name].error == 0
        assert stats[name].n == np.isfinite(physical(stored[name])).sum()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_are_within_the_stated_error(cube: xr.Dataset, method: str, dtype: type) -> None:
    cube = cube.astype(dtype, keep_attrs=True)
    stats = statistics(cube, method=method)
    for name in ("B04", "B8A", "VV"):
        shift, width = twin(cube[name], method)
        low, high = (shift, shift + width) if method != "zscore" else twin(cube[name], "percentile") @ np.array([[1, 1], [0, 1]])
        entry = stats[name]
        largest = max(abs(np.nanmin(cube[name])), abs(np.nanmax(cube[name])))
        assert entry.error == (0 if method == "minmax" else SKETCH_ERROR)
        np.testing.assert_allclose([entry.low, entry.high], [low, high], rtol=1e-7 if method == "minmax" else SKETCH_ERROR, atol=1e-9)
        np.testing.assert_allclose(stats.transform(name), (shift, width), atol=2 * SKETCH_ERROR * largest)


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "u4", "i8"])
def test_every_integer_type_is_exact(dtype: str) -> None:
    values = np.random.default_rng(0).integers(1, 100, SHAPE).astype(dtype)
    attrs = {"scale_factor": 1e-4, "add_offset": 0.0, "_FillValue": 7}
    ds = xr.Dataset({"B04": (("time", "y", "x"), values, attrs)})
    np.testing.assert_allclose(statistics(ds).transform("B04"), twin(ds.B04, "percentile"), rtol=1e-12)
    low, width = twin(ds.B04, "percentile")
    np.testing.assert_allclose(normalise(ds, clip=False).B04, (physical(ds.B04) - low) / width, atol=2e-6)


@pytest.mark.parametrize("lower", [0, 0.5, 10])
@pytest.mark.parametrize("upper", [60, 99.9, 100])
def test_any_percentiles(stored: xr.Dataset, lower: float, upper: float) -> None:
    stats = statistics(stored, lower=lower, upper=upper)
    np.testing.assert_allclose(stats.transform("B8A"), twin(stored.B8A, "percentile", lower, upper), rtol=1e-12)
    assert (stats.lower, stats.upper) == (lower, upper)


@pytest.mark.parametrize("method", METHODS)
def test_normalised_values_by_the_definition(stored: xr.Dataset, method: str) -> None:
    before = stored.copy(deep=True)
    scaled = normalise(stored, method=method)
    for name in BANDS:
        shift, width = twin(stored[name], method)
        wanted = (physical(stored[name]) - shift) / width
        wanted = np.clip(wanted, 0, 1) if method in ("percentile", "stoian") else wanted
        np.testing.assert_allclose(scaled[name], wanted, atol=3e-6)
        assert scaled[name].dtype == np.float32
        assert scaled[name].attrs["units"] == "1"
        assert scaled[name].attrs["grid_mapping"] == "spatial_ref"
        assert scaled[name].attrs["normalisation"].startswith(f"{method}, lower ")
    assert set(scaled.B04.attrs) == {"long_name", "units", "normalisation", "grid_mapping"}
    assert scaled.B04.attrs["long_name"] == "red"
    assert np.isnan(scaled.B04[2]).all()
    for name in ("SCL", "ndvi"):
        xr.testing.assert_identical(scaled[name], stored[name])
    xr.testing.assert_identical(scaled.coords.to_dataset(), stored.coords.to_dataset())
    assert stored.identical(before)


def test_provenance_says_the_very_numbers(cube: xr.Dataset) -> None:
    stats = statistics(cube)
    said = normalise(cube.assign(B04=cube.B04.assign_attrs(long_name="my red")), stats)
    shift, width = stats.transform("B04")
    assert said.B04.attrs["normalisation"] == f"percentile, lower 2, upper 98: (x - {shift!r}) / {width!r}, clipped to 0 and 1"
    assert said.B04.attrs["long_name"] == "my red"


def test_clip_on_demand(cube: xr.Dataset) -> None:
    for method, clips in (("percentile", True), ("stoian", True), ("minmax", False), ("albughdadi", False), ("zscore", False)):
        assert statistics(cube, method=method).clip is clips
    wide, narrow = normalise(cube, clip=False), normalise(cube, clip=True)
    assert float(wide.B04.min()) < 0
    assert float(wide.B04.max()) > 1
    np.testing.assert_array_equal(narrow.B04, wide.B04.clip(0, 1))
    np.testing.assert_array_equal(normalise(cube, statistics(cube), clip=False).B04, wide.B04)


CHUNKS = st.fixed_dictionaries({"time": st.integers(1, 6), "y": st.integers(1, 23), "x": st.integers(2, 19)})


@settings(max_examples=30)  # each builds and computes six graphs
@given(CHUNKS, st.sampled_from(METHODS), st.booleans())
def test_chunks_change_no_bit(chunks: dict[str, int], method: str, as_stored: bool) -> None:
    eager = add_radar(make_cube(SHAPE, BANDS, stored=as_stored))
    lazy = eager.chunk(chunks)
    stats = statistics(eager, method=method)
    assert statistics(lazy, method=method) == stats
    with raise_if_dask_computes():
        scaled = normalise(lazy, stats)
    assert scaled.B04.chunks == lazy.B04.chunks
    wanted = normalise(eager, stats)
    for name in stats.bands:
        xr.testing.assert_identical(scaled[name].compute(), wanted[name])


def test_what_is_lazy_by_half_and_schedulers(stored: xr.Dataset) -> None:
    wanted = statistics(stored)
    half = stored.assign(B04=stored.B04.chunk(time=2, y=7))
    for scheduler in ("synchronous", "threads"):
        with dask.config.set(scheduler=scheduler):
            assert statistics(half) == wanted
    assert normalise(half).B8A.chunks is None
    xr.testing.assert_identical(normalise(half).compute(), normalise(stored))


def test_all_bands_in_one_pass(cube: xr.Dataset) -> None:
    """What bands share, such as a mask, is computed once."""
    seen = []

    def count(block: np.ndarray) -> np.ndarray:
        seen.append(block.shape)
        return block > 0.5

    scl = xr.DataArray(np.random.default_rng(0).random(SHAPE), dims=("time", "y", "x")).chunk(time=2)
    clear = xr.apply_ufunc(count, scl, dask="parallelized", output_dtypes=[bool])
    statistics(cube.drop_vars("VV").where(clear))
    assert len(seen) == 3


@pytest.mark.parametrize("method", METHODS)
def test_order_of_dates_is_irrelevant(stored: xr.Dataset, method: str) -> None:
    assert statistics(stored.isel(time=[3, 0, 4, 2, 1]), method=method) == statistics(stored, method=method)


@pytest.mark.parametrize("method", METHODS)
@given(power=st.integers(-6, 2), seed=st.integers(0, 99))
def test_scaling_changes_no_normalised_value(method: str, power: int, seed: int) -> None:
    cube = make_cube((3, 9, 8), BANDS, seed=seed)
    scaled = cube * np.float32(2.0**power)
    one, other = statistics(cube, method=method), statistics(scaled, method=method)
    np.testing.assert_array_equal(np.array(other.transform("B04")), np.array(one.transform("B04")) * 2.0**power)
    np.testing.assert_array_equal(normalise(scaled, other).B04, normalise(cube, one).B04)


def test_without_time_and_by_alias() -> None:
    cube = make_cube((1, 21, 17), BANDS, stored=True)
    image = cube.isel(time=0).drop_vars("time")
    for method in METHODS:
        wanted, found = statistics(cube, method=method), statistics(image, method=method)
        assert dict(found.by_band) == dict(wanted.by_band)
        assert (found.source.start, found.source.n_dates) == (None, 1)
    named = normalise(image.rename(B04="red"))
    assert list(named) == ["red", "B8A"]
    np.testing.assert_array_equal(named.red, normalise(cube).B04[0])


def test_stored_and_decoded_are_the_same_bits() -> None:
    stored, cube = (xs.sample("romania", mask_and_scale=s)[["B04", "B08", "SCL"]] for s in (False, True))
    stats = statistics(stored)
    xr.testing.assert_identical(normalise(cube, stats).B04.variable, normalise(stored, stats).B04.variable)


def test_infinite_values_are_left_out(cube: xr.Dataset) -> None:
    wanted = statistics(cube)
    strange = cube.copy(deep=True)
    gaps = np.isnan(strange.VV.values)
    strange.VV.values[gaps] = np.inf
    for method in ("percentile", "minmax"):
        assert statistics(strange, method=method) == statistics(cube, method=method)
    assert np.isfinite(wanted["VV"].maximum)


# real cubes


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", ["10m", "20m"])
def test_romania(data: Path, size: str, method: str) -> None:
    path = data / "cubes" / "romania" / f"sentinel2_cube_subset_romania_{size}.nc"
    stored = xs.open(path, mask_and_scale=False)
    stats = statistics(stored, method=method)
    for name in stats.bands:
        np.testing.assert_allclose(stats.transform(name), twin(stored[name], method), rtol=1e-12)
    assert statistics(stored.chunk(time=33, y=41, x=29), method=method) == stats
    assert (stats.source.n_dates, stats.source.crs) == (stored.sizes["time"], "EPSG:3035")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("site", ["00002806639B424A", "000028085BF08E7E"])
def test_worldcereal(data: Path, site: str, method: str) -> None:
    folder = data / "cubes" / "worldcereal" / site
    path = next(folder.glob("S2_L2A_20m_*.nc"))
    cube = xs.open(path, chunks=None)
    found = statistics(cube, method=method)
    for name in found.bands:
        shift, width = twin(cube[name], method)
        top = found[name].maximum
        np.testing.assert_allclose(found.transform(name), (shift, width), atol=2 * SKETCH_ERROR * top)
    scaled = normalise(cube, found)
    share = float((scaled.B05 <= 1).sum() / scaled.B05.notnull().sum())
    assert share > 0.8
    np.testing.assert_array_equal(np.isnan(scaled.B05), np.isnan(cube.B05))


# the record


def test_record_survives_json_and_disk(stored: xr.Dataset, tmp_path: Path) -> None:
    for method in METHODS:
        stats = statistics(stored, method=method)
        assert Statistics.from_json(stats.to_json()) == stats
        stats.save(tmp_path / "stats.json")
        assert Statistics.load(str(tmp_path / "stats.json")) == stats
        assert hash(stats) == hash(Statistics.from_json(stats.to_json()))
    assert json.loads(stats.to_json())["bands"]["B04"]["low"] == stats["B04"].low
    assert stats.source == type(stats.source)("2019-04-01", "2019-04-21", 5, "EPSG:32632", xs.__version__)


def test_record_is_shown(cube: xr.Dataset) -> None:
    stats = statistics(cube)
    head, names, *rows = repr(stats).splitlines()
    assert head == "Statistics by percentile, 2 to 98, clipped, of 5 dates (2019-04-01 to 2019-04-21), EPSG:32632"
    assert names.split() == ["band", "low", "high", "mean", "std", "minimum", "maximum", "n", "error"]
    assert [r.split()[0] for r in rows] == list(stats.bands)
    assert len({len(r) for r in rows}) == 1
    html = stats._repr_html_()
    assert html.count("<tr>") == 4
    assert "EPSG:32632" in html
    nowhere = make_cube((1, 2, 2), BANDS).drop_vars("spatial_ref")
    nowhere = nowhere.map(lambda b: b.drop_attrs())
    assert repr(statistics(nowhere, method="zscore")).startswith("Statistics by zscore, of 1 date (2019-04-01), CRS unknown")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("{", r"no JSON: Expecting property name"),
        ("[1]", r"not of statistics: its format is list, not 'xsentinel statistics 1'"),
        ('{"format": "x"}', r"its format is 'x'"),
        ({"bands": None}, r"incomplete: .*save them again with Statistics\.save"),
        ({"bands": {"B04": {"low": 1}}}, r"incomplete: .*missing 7 required"),
        ({"source": {}}, r"incomplete"),
    ],
)
def test_bad_json_is_named(stored: xr.Dataset, change: object, message: str) -> None:
    text = change if isinstance(change, str) else json.dumps(json.loads(statistics(stored).to_json()) | change)
    with pytest.raises(xs.ReadError, match=message):
        Statistics.from_json(text)


def test_bad_numbers_and_files_are_named(stored: xr.Dataset, tmp_path: Path) -> None:
    stats = statistics(stored)
    record = json.loads(stats.to_json())
    for bad, shown in (("0.1", "'0.1'"), (True, "True"), (None, "None"), (float("nan"), "nan")):
        record["bands"]["B04"]["low"] = bad
        with pytest.raises(xs.ReadError, match=f"low of B04 is {shown} in these statistics, which is no finite number"):
            Statistics.from_json(json.dumps(record))
    with pytest.raises(xs.ReadError, match=r"none\.json cannot be read: .*No such file.*Statistics\.save wrote"):
        Statistics.load(tmp_path / "none.json")
    with pytest.raises(xs.WriteError, match=r"cannot be written: No such file or directory; give a path"):
        stats.save(tmp_path / "no" / "stats.json")
    with pytest.raises(xs.XSentinelError, match=r"method is 'robust'; give one of percentile, minmax"):
        replace(stats, method="robust")


# errors


def test_errors_of_statistics(cube: xr.Dataset, stored: xr.Dataset) -> None:
    with pytest.raises(xs.BandError, match=r"statistics need bands; the dataset has ndvi"):
        statistics(stored[["ndvi"]])
    with pytest.raises(xs.BandError, match=r"B04 has no valid value: all of 2185 are gaps; check the mask"):
        statistics(cube.assign(B04=cube.B04 * np.nan))
    with pytest.raises(xs.XSentinelError, match=r"method is 'robust'; give one of percentile, minmax, zscore, albughdadi, stoian"):
        statistics(cube, method="robust")  # type: ignore[arg-type]
    for lower, upper in ((98, 2), (-1, 98), (2, 101), (5, 5)):
        with pytest.raises(xs.XSentinelError, match=rf"lower is {lower} and upper {upper}; give percentages with 0 <= lower"):
            statistics(cube, lower=lower, upper=upper)
    for method in ("minmax", "zscore", "stoian"):
        with pytest.raises(xs.XSentinelError, match=f"'{method}' takes no percentiles, found 1 and 99; method='percentile' does"):
            statistics(cube, lower=1, upper=99, method=method)
    counts = cube.assign(B04=cube.B04 * 10_000)
    for wrong in (counts, counts.chunk(y=7)):
        with pytest.raises(xs.UnitsError, match=r"B04 reaches .*divide by 10000"):
            statistics(wrong)
    with pytest.raises(xs.UnitsError, match="without scale_factor"):
        statistics(stored.assign(B04=stored.B04.drop_attrs()))
    with pytest.raises(xs.GridError, match="all bands must be on one grid"):
        statistics(stored.assign(B04=stored.B04.isel(y=slice(3)).drop_vars("y").rename(y="v")))
    with pytest.raises(xs.TimeError, match="stand more than once"):
        statistics(cube.isel(time=[0, 0, 1]))


def test_errors_of_normalise(cube: xr.Dataset, stored: xr.Dataset) -> None:
    stats = statistics(cube)
    with pytest.raises(xs.XSentinelError, match=r"stats are given and so are lower, upper or method"):
        normalise(cube, stats, lower=1)
    with pytest.raises(xs.XSentinelError, match=r"clip=True is for methods that scale to 0 and 1; leave it out"):
        normalise(cube, method="zscore", clip=True)
    with pytest.raises(xs.BandError, match=r"statistics have B04, B8A, but the cube also has VV; drop these, ds\.drop_vars\(\['VV'\]\)"):
        normalise(cube, statistics(cube[["B04", "B8A"]]))
    flat = cube.assign(B04=cube.B04 * 0 + np.float32(0.25))
    with pytest.raises(xs.BandError, match=r"B04 is constant: low = high = 0\.25\d* of 19\d\d values; there is nothing to normalise"):
        normalise(flat)
    with pytest.raises(xs.BandError, match=r"B04 is constant: a standard deviation of 0 of"):
        normalise(flat, method="zscore")
    with pytest.raises(xs.BandError, match=r"the statistics have no B11; they have B04, B8A, VV"):
        stats["B11"]


def test_check(cube: xr.Dataset, stored: xr.Dataset) -> None:
    stats = statistics(cube)
    for fits in (cube, cube.chunk(), stored, cube * np.nan, cube.isel(time=0), cube.where(cube > 0.9)):
        stats.check(fits)
    with pytest.raises(
        xs.BandError, match=r"a cube for these statistics needs B04, B8A, VV; missing: B04; .*or compute statistics of its own"
    ):
        stats.check(cube.drop_vars("B04"))
    with pytest.raises(xs.UnitsError, match=r"B04 is normalised already \(percentile, lower 2"):
        stats.check(normalise(cube.chunk(), stats))
    with pytest.raises(xs.UnitsError, match=r"B04 reaches \d+.*keep the integers with attrs scale_factor"):
        stats.check(cube.assign(B04=cube.B04 * 10_000))
    with pytest.raises(xs.UnitsError, match=r"VV lies between .*one is linear power, the other dB; convert the cube"):
        stats.check(cube.assign(VV=10 ** (cube.VV / 10)))
    with pytest.raises(xs.UnitsError, match=r"VV has a median of -1\d\d\d.*, far from its statistics, -1"):
        stats.check(cube.assign(VV=cube.VV * 100))
    counts = replace(stats["B04"], low=200.0, high=5000.0)
    by_band = dict(stats.by_band) | {"B04": counts}
    with pytest.raises(xs.UnitsError, match=r"the statistics of B04 reach from 200 to 5000, which is not reflectance"):
        replace(stats, by_band=by_band).check(cube)


def test_a_lazy_cube_of_counts_is_refused_when_computed(cube: xr.Dataset) -> None:
    stats = statistics(cube)
    with raise_if_dask_computes():
        wrong = normalise(cube.assign(B04=cube.B04 * 10_000).chunk(y=7), stats)
    with pytest.raises(xs.UnitsError, match=r"B04 reaches \d+"):
        wrong.B04.compute()


# the reduction


@given(CHUNKS, st.booleans())
def test_reduce_blocks_in_any_chunks(chunks: dict[str, int], by_date: bool) -> None:
    values = np.random.default_rng(0).integers(0, 1000, SHAPE)
    total = Reduction(lambda block, n_threads: int(block.sum()), sum, lambda part: part, by_date)
    lazy = xr.DataArray(values, dims=("time", "y", "x")).chunk(chunks).data
    wanted = values.sum((1, 2)).tolist() if by_date else [values.sum()]
    assert reduce_blocks([values, lazy], [total, total]) == [wanted, wanted]


def test_entries_have_no_default() -> None:
    with pytest.raises(TypeError, match=re.escape("missing 8 required positional arguments")):
        BandStatistics()  # type: ignore[call-arg]
