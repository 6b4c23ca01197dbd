"""What a newcomer tries in the first quarter of an hour, and what then happens or is said."""

from __future__ import annotations

import inspect
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import pytest
import rasterio
import rioxarray  # noqa: F401  (registers .rio)
import xarray as xr
from click.testing import CliRunner

import xsentinel as xs
from tests.products import Spec, write_safe
from xsentinel.batch.report import Report
from xsentinel.cli import main
from xsentinel.cli.options import in_shell
from xsentinel.mapping import read_crop_job

PLACE = {"y": 5_000_005.0 - 10 * np.arange(60), "x": 600_005.0 + 10 * np.arange(50)}


def class_map(**attrs: Any) -> xr.Dataset:
    """Give a map of two classes as our verbs give one: of a season, so without a date."""
    codes = np.ones((60, 50), np.uint8)
    codes[15:45, 10:40] = 2
    flags = {"flag_values": np.array([1, 2], np.uint8), "flag_meanings": "Maize Winter_wheat", "xsentinel_version": xs.__version__}
    return xr.Dataset({"class": (("y", "x"), codes, flags | attrs)}, PLACE).rio.write_crs("EPSG:32632")


# ---- maps come back as they went -------------------------------------------------------------------------------------


def test_a_class_map_comes_back_from_geotiff_as_it_went(tmp_path: Path) -> None:
    went = class_map()
    went.s2.to_cog(tmp_path / "crops.tif")
    came = xs.open(tmp_path / "crops.tif")
    assert came["class"].dims == ("y", "x")
    assert "time" not in came.coords
    assert came.s2.info().notes == ""
    np.testing.assert_array_equal(came["class"], went["class"])
    assert xs.accuracy.assess(came, went).overall_accuracy == 1


def test_a_band_without_a_date_keeps_its_unknown_one_and_is_not_called_sorted(tmp_path: Path) -> None:
    band = class_map()["class"].astype(np.uint16).rename("B04")
    band.attrs = {}
    folder = tmp_path / "plain"
    folder.mkdir()
    band.s2.to_cog(folder / "B04.tif")
    cube = xs.open(folder / "B04.tif")
    assert np.isnat(cube.time.values).all()
    assert cube.s2.info().notes == ""


def test_times_out_of_order_are_still_told() -> None:
    cube = xr.Dataset({"B04": (("time", "y", "x"), np.full((3, 60, 50), 0.1, np.float32))}, PLACE).rio.write_crs(32632)
    cube = xs.open(cube.assign_coords(time=np.array(["2019-06-01", "NaT", "2019-05-01"], "datetime64[ns]")))
    assert "have been sorted" in cube.attrs["notes"]
    assert [str(t)[:10] for t in cube.time.values] == ["2019-05-01", "2019-06-01", "NaT"]


def test_maps_with_one_date_are_compared_with_maps_of_none() -> None:
    plain = class_map()
    dated = plain.expand_dims(time=[np.datetime64("2018-06-01", "ns")])
    for one, other in ((plain, dated), (dated, plain), (dated, dated)):
        assert xs.accuracy.assess(one, other).overall_accuracy == 1
    assert xs.accuracy.corner_precision(dated, plain).ratio == 1
    assert xs.accuracy.areas(dated).sum() == 30.0
    with pytest.raises(xs.GridError, match="coordinate 'time'"):
        xs.accuracy.assess(dated, dated.assign_coords(time=[np.datetime64("2019-06-01", "ns")]))


# ---- GeoTIFFs that tell little ---------------------------------------------------------------------------------------


def plain_tif(path: Path, n: int = 3, dtype: str = "uint16", **profile: Any) -> Path:
    """Write a stack of bands without descriptions, date and, if asked, CRS."""
    where = {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 600_000, 0, -10, 5_000_000), "nodata": 0, "height": 8, "width": 9}
    path.parent.mkdir(exist_ok=True)
    names = profile.pop("names", None)
    with rasterio.open(path, "w", driver="GTiff", count=n, dtype=dtype, **(where | profile)) as file:
        file.write(np.stack([np.full(file.shape, 200 + 10 * k) for k in range(n)]).astype(dtype))
        if names:
            file.descriptions = names
    return path


def test_bands_date_and_crs_of_a_plain_stack_can_be_told(tmp_path: Path) -> None:
    path = plain_tif(tmp_path / "plain" / "stack.tif", crs=None)
    cube = xs.open(path, bands=["blue", "B3", "SCL"], time="2019-05-30T10:30", assume_crs="EPSG:32633", harmonise="none")
    assert list(cube) == ["B02", "B03", "SCL"]
    assert str(cube.time.values[0])[:16] == "2019-05-30T10:30"
    assert cube.rio.crs.to_epsg() == 32633
    assert float(cube.B03[0, 0, 0]) == pytest.approx(0.021)


def test_a_folder_takes_one_date_or_one_for_each_file(tmp_path: Path) -> None:
    for name in "ab":
        plain_tif(tmp_path / "plain" / f"{name}.tif", 2)
    told = {"bands": ["B02", "B03"], "harmonise": "none"}
    cube = xs.open(tmp_path / "plain", time=["2019-05-30", np.datetime64("2019-06-04")], **told)
    assert [str(t)[:10] for t in cube.time.values] == ["2019-05-30", "2019-06-04"]
    with pytest.raises(xs.TimeError, match=r"gives 3 dates, and .*plain has 2 files"):
        xs.open(tmp_path / "plain", time=["2019-05-30", "2019-06-04", "2019-06-09"], **told)
    one = xs.open(plain_tif(tmp_path / "parts" / "B02.tif", 1), time="2019-05-30", harmonise="none")
    assert str(one.time.values[0])[:10] == "2019-05-30"


@pytest.mark.parametrize(
    ("told", "error", "words"),
    [
        ({"bands": ["B02"]}, xs.BandError, r"has 3 bands, and bands= names 1 \(B02\)"),
        ({"bands": ["B02", "blue", "B04"]}, xs.BandError, "empty or twice"),
        ({"bands": ["B03", "B02", "x"]}, xs.BandError, r"bands= calls a band B03 that .*stack\.tif describes as B2"),
        ({"time": "spring"}, xs.TimeError, "'spring' is no date"),
        ({"assume_crs": "EPSG:32633"}, xs.GridError, "assume_crs= is for files without a CRS"),
        ({"assume_crs": "EPSG:1"}, xs.GridError, "is no CRS that PROJ knows"),
        ({"resoluton": 20}, TypeError, r"open takes no 'resoluton' \(did you mean resolution\?\)"),
    ],
)
def test_what_is_told_of_a_stack_is_checked(tmp_path: Path, told: dict[str, Any], error: type[Exception], words: str) -> None:
    path = plain_tif(tmp_path / "plain" / "stack.tif", names=("B2", "B3", "x"))
    with pytest.raises(error, match=words):
        xs.open(path, **told)


def test_messages_name_what_can_be_told(tmp_path: Path) -> None:
    bare = plain_tif(tmp_path / "plain" / "stack.tif")
    with pytest.raises(xs.BandError, match=r"name the bands in order: open\(\.\.\., bands="):
        xs.open(bare)
    numbered = plain_tif(tmp_path / "plain" / "numbered.tif", names=("Band 1", "Band 2", "Band 3"))
    with pytest.raises(xs.ReadError, match=r"it has Band 1, Band 2, Band 3; name its bands in order: open\(\.\.\., bands="):
        xs.open(numbered)
    adrift = xs.open(plain_tif(tmp_path / "plain" / "B02.tif", 1, crs=None), harmonise="none")
    assert "assume_crs='EPSG:...'" in adrift.s2.info().crs


def test_only_geotiffs_are_told_anything_of(tmp_path: Path) -> None:
    with pytest.raises(xs.ReadError, match=r"bands=, time= tell what a GeoTIFF, .*a Dataset is none.*ds\.rename"):
        xs.open(xs.sample("zurich"), bands=["B02"], time="2019-05-30")
    class_map().s2.to_zarr(tmp_path / "map.zarr")
    with pytest.raises(xs.ReadError, match=r"assume_crs= tell .*map\.zarr is none"):
        xs.open(tmp_path / "map.zarr", assume_crs="EPSG:32632")


def test_eight_bits_are_no_reflectance(tmp_path: Path) -> None:
    path = plain_tif(tmp_path / "S2A_20190530.tif", dtype="uint8", names=("B2", "B3", "B4"))
    for harmonise in ("auto", "none"):
        with pytest.raises(xs.UnitsError, match=r"B02, B03, B04 of .* hold integers of 8 bits, as a quicklook does"):
            xs.open(path, harmonise=harmonise)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = [0.004] * 3, [0.0] * 3
    assert float(xs.open(path).B02[0, 0, 0]) == pytest.approx(0.8)


def test_times_of_text_are_told_from_dates() -> None:
    cube = xs.sample("zurich").assign_coords(time=["2019-05-30"])
    assert "1, which are no dates" in cube.s2.info().dates
    with pytest.raises(xs.TimeError, match="the times are text such as '2019-05-30'; make dates of them"):
        cube.s2.composite()


# ---- URLs ------------------------------------------------------------------------------------------------------------


def test_zarr_is_opened_by_url(tmp_path: Path) -> None:
    import fsspec

    cube = xs.sample("zurich").isel(x=slice(20), y=slice(20))
    cube.s2.to_zarr(tmp_path / "cube.zarr")
    cube.s2.to_zarr(tmp_path / "two.zarr", zarr_format=2)
    memory = fsspec.filesystem("memory")
    for name in ("cube.zarr", "two.zarr"):
        memory.put(str(tmp_path / name), f"memory://first_steps/{name}", recursive=True)
        by_url = xs.open(f"memory://first_steps/{name}")
        assert by_url.chunks
        xr.testing.assert_identical(by_url.compute(), xs.open(tmp_path / name).compute())
    xr.testing.assert_identical(xs.open(f"file://{tmp_path}/cube.zarr").compute(), xs.open(tmp_path / "cube.zarr").compute())
    assert xs.open("memory://first_steps/cube.zarr", resolution=20).sizes["x"] == 10


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("memory://nowhere/cube.zarr", "there is no Zarr store at memory://nowhere/cube.zarr, and of URLs only Zarr is read"),
        ("memory://nowhere/S2A.SAFE", "download the file first"),
        ("gopher://x/y.zarr", "gopher://x/y.zarr cannot be reached: Protocol not known"),
    ],
)
def test_urls_of_anything_else_are_refused(url: str, words: str) -> None:
    with pytest.raises(xs.ReadError, match=words):
        xs.open(url)


# ---- the shell -------------------------------------------------------------------------------------------------------


def shell(*words: Any, status: int = 0) -> str:
    """Run a command; give what it prints."""
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == status, done.output
    return done.output


def test_the_shell_tells_of_a_stack_and_reads_urls(tmp_path: Path) -> None:
    import fsspec

    path = plain_tif(tmp_path / "plain" / "stack.tif", crs=None)
    told = ("--bands", "B02,B03,B04", "--time", "2019-05-30", "--assume-crs", "EPSG:32633", "--harmonise", "none")
    said = shell("info", path, *told)
    assert "bands      B02, B03, B04" in said
    assert "2019-05-30" in said
    assert "EPSG:32633" in said
    class_map().s2.to_zarr(tmp_path / "map.zarr")
    fsspec.filesystem("memory").put(str(tmp_path / "map.zarr"), "memory://first_shell/map.zarr", recursive=True)
    assert "60 y × 50 x" in shell("info", "memory://first_shell/map.zarr")
    assert "resolution is 0.0" in shell("info", "memory://first_shell/map.zarr", "--resolution", "0", status=2)


def test_the_shell_tells_the_grids_of_a_product(tmp_path: Path) -> None:
    for name, size in (("B02", 10), ("B05", 20), ("B01", 60)):
        n = 240 // size
        where = {"transform": rasterio.Affine(size, 0, 600_000, 0, -size, 5_000_000), "height": n, "width": n}
        plain_tif(tmp_path / "parts" / f"20190530_{name}.tif", 1, **where)
    with pytest.raises(xs.GridError, match=r"grids of 10, 20, 60 m.*\(mostly 10 or 20\): open\(\.\.\., resolution=20\)"):
        xs.open(tmp_path / "parts", harmonise="none")
    said = shell("info", tmp_path / "parts", "--harmonise", "none")
    assert "--resolution 10, 20 …: 10 m: B02; 20 m: B05; 60 m: B01; brought to 20 m: 12 y × 12 x, pixels of 20 m" in said
    refused = shell("convert", tmp_path / "parts", tmp_path / "out.zarr", "--harmonise", "none", status=2)
    assert "say which to bring them to (mostly 10 or 20): --resolution 20" in " ".join(refused.split())


@pytest.mark.parametrize(
    ("python", "flags"),
    [
        ("is there already; give overwrite=True to replace it", "is there already; give --overwrite to replace it"),
        ("or overwrite=True (--overwrite) to begin", "or --overwrite to begin"),
        ("or give start='2017-01-01'.", "or give --start 2017-01-01."),
        ("name it in classes=, or leave it out by ignore=[1200, 'Maize']", "name it in --classes, or leave it out by --ignore 1200,Maize"),
        ("by another mask alone: classes=(), mask=hidden", "by another mask alone: classes=(), mask=hidden"),
        ("xsentinel.open(..., bands=['B02', 'B03', ...]), or ds.rename(x=1)", "--bands B02,B03,..., or ds.rename(x=1)"),
        ("ds.assign_coords(time=...), ds.isel(time=0), f(x, time=pandas.to_datetime(t))",) * 2,
        ("time='2019-05-30' of it", "--time 2019-05-30 of it"),
        ("the progress=False of it; samples=30", "the --no-progress of it; samples=30"),
    ],
)
def test_errors_of_the_shell_speak_its_flags(python: str, flags: str) -> None:
    names = ("--overwrite", "--progress/--no-progress", "--start", "--classes", "--ignore", "--bands", "--time")
    options = [click.Option([n], is_flag="gress" in n or "over" in n) for n in names]
    assert in_shell(python, options) == flags


def test_an_existing_output_is_refused_by_the_flag(tmp_path: Path) -> None:
    class_map().s2.to_zarr(tmp_path / "map.zarr")
    refused = " ".join(shell("convert", tmp_path / "map.zarr", tmp_path / "map.zarr", status=2).split())
    assert "exists; give another name, or --overwrite to replace it" in refused


# ---- models and jobs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["crops", "landcover"])
def test_help_and_errors_name_the_models_of_the_task(verb: str) -> None:
    own = {"crops": ["crops-simulated", "crops-canada"], "landcover": ["landcover-simulated"]}
    said = "".join(shell(verb, "--help").split())
    assert f"Onethatcomesalong({','.join(own[verb])})" in said
    with pytest.raises(xs.ReadError) as refused:
        getattr(xs.sample("zurich").s2, verb)(own[verb][-1].replace("a", "", 1))
    told = str(refused.value)
    assert f"(did you mean {own[verb][-1]}?); give one of {', '.join(own[verb])}, or the folder" in told
    assert "pickle" not in told


def test_a_wrong_model_is_told_near_ones_and_pickles_are_still_refused() -> None:
    with pytest.raises(xs.ReadError, match=r"no model 'lai-unt' \(did you mean lai-unet\?\)"):
        xs.load_model("lai-unt")
    with pytest.raises(xs.ReadError, match=r"weights\.pt is not there: .*run code"):
        xs.load_model("weights.pt")


def test_a_lazy_dataset_needs_no_source() -> None:
    cube = xs.sample("zurich", chunks="auto")
    with pytest.raises(xs.XSentinelError, match="leave source= out"):
        xs.plan(cube, "copy.zarr", source=cube)


def test_what_the_docstring_of_run_says_of_reports_can_be_called() -> None:
    said = re.search(r"\.to_html\((\w*)\)", xs.run.__doc__ or "")
    assert said is not None
    assert [said[1]] == list(inspect.signature(Report.to_html).parameters)[1:]


# ---- polygons and maps by their paths --------------------------------------------------------------------------------


@pytest.fixture
def fields(tmp_path: Path) -> Any:
    import geopandas
    import shapely

    shapes = [shapely.box(600_100, 4_999_700, 600_200, 4_999_800), shapely.box(600_300, 4_999_500, 600_400, 4_999_600)]
    return geopandas.GeoDataFrame({"crop": ["Maize", "Wheat"]}, geometry=shapes, crs=32632)


def test_polygons_are_taken_by_path_and_as_a_series(tmp_path: Path, fields: Any) -> None:
    fields.to_file(tmp_path / "fields.gpkg")
    fields.to_crs(4326).to_file(tmp_path / "fields.geojson")
    layer = class_map()["class"].astype(np.float32).rename("lai")
    layer.attrs = {}
    wanted = layer.s2.parcels(fields, stats=["mean", "count"])
    for given in (tmp_path / "fields.gpkg", str(tmp_path / "fields.geojson"), fields.geometry):
        found = layer.s2.parcels(given, stats=["mean", "count"])
        np.testing.assert_allclose(found["count"], wanted["count"], rtol=1e-4)
        np.testing.assert_allclose(found["mean"], wanted["mean"], rtol=1e-4)
    legend = xs.samples.legend({"Maize": ["Maize"], "Wheat": ["Wheat"]})
    label = xs.samples.rasterise(str(tmp_path / "fields.gpkg"), layer, column="crop", legend=legend).label
    np.testing.assert_array_equal(label, xs.samples.rasterise(fields, layer, column="crop", legend=legend).label)
    assert (label == 1).sum() == 100


@pytest.mark.parametrize(
    ("given", "words"), [([1, 2], "the polygons are a list; give a geopandas.GeoDataFrame"), ("no.gpkg", "no.gpkg do not exist")]
)
def test_what_is_no_polygons_is_named(given: Any, words: str) -> None:
    with pytest.raises(xs.XSentinelError, match=words):
        class_map().s2.parcels(given)


def test_without_geopandas_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "geopandas", None)
    with pytest.raises(xs.XSentinelError, match=r"pip install 'xsentinel\[parcels\]'"):
        class_map().s2.parcels("fields.gpkg")


def test_paths_of_maps_are_told_to_be_opened() -> None:
    with pytest.raises(xs.XSentinelError, match=r"'a\.tif' is a path, .* xsentinel\.open\('a\.tif'\)"):
        xs.accuracy.assess("a.tif", "b.tif")
    with pytest.raises(xs.XSentinelError, match=r"the raster is the path 'map\.nc'; open it first"):
        xs.samples.from_raster("map.nc", class_map(), legend=xs.samples.legend({"Maize": [1]}))  # type: ignore[arg-type]


@pytest.mark.parametrize(("verb", "model"), [("crops", "crops-canada"), ("landcover", "landcover-simulated")])
def test_the_start_that_is_suggested_is_the_season_with_most_dates(verb: str, model: str) -> None:
    days = pd.date_range("2017-08-01", "2018-11-20", freq="9D")
    one = xs.sample("zurich").isel(x=slice(4), y=slice(4), time=0, drop=True)
    cube = one.expand_dims(time=days).drop_vars("platform", errors="ignore")
    with pytest.raises(xs.TimeError, match=r"give start='(\S+)', which has most of them \(36 of 53\)") as refused:
        getattr(cube.s2, verb)(model)
    start = re.search(r"start='(\S+)'", str(refused.value))
    assert start is not None
    assert start[1] == "2018-01-01"
    with pytest.raises(xs.BandError, match="missing"):  # the dates of that season do
        getattr(cube.drop_vars("B04").s2, verb)(model, start=start[1])


JOB = "input: cube.zarr\noutput: out.zarr\nopen: {resolution: 20}\nsteps:\n  - mask_clouds: {dilate: 60}\noptions: {workers: 1}\n"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("resolution: 20", "resoluton: 20", "open has 'resoluton' (did you mean resolution?)"),
        ("resolution: 20", "resolution: 20m", "resolution is '20m'; it is a pixel size in metres"),
        ("workers: 1", "memory: 8GB", "options has 'memory' (did you mean memory_limit?)"),
        ("workers: 1", "workers: two", "options cannot be done with workers: 'two'"),
        ("workers: 1", "block: big", "options cannot be done with block: 'big'"),
        ("dilate: 60", "dilate 60", "step mask_clouds takes no 'dilate 60' (did you mean dilate?)"),
        ("dilate: 60", "dilat: 60", "step mask_clouds takes no 'dilat' (did you mean dilate?); it takes classes, dilate"),
        ("dilate: 60", "dilate: 60m", "step mask_clouds cannot be done with dilate: '60m'"),
        ("output:", "ouput:", "has ouput; a job file has input, open, steps, output, tiles, options (did you mean output?)"),
        ("steps:", "steps: [", "cannot be read as YAML"),
    ],
)
def test_slips_in_job_files_are_told_in_a_line(tmp_path: Path, old: str, new: str, words: str) -> None:
    cube = xs.sample("zurich").isel(x=slice(20), y=slice(20))
    cube.assign(SCL=cube.B04.notnull().astype(np.uint8) * 4).s2.to_zarr(tmp_path / "cube.zarr")
    (tmp_path / "job.yaml").write_text(JOB.replace(old, new))
    said = shell("run", tmp_path / "job.yaml", "--no-progress", status=2)
    assert words in said.splitlines()[-1]
    assert not (tmp_path / "out.zarr").exists()


def test_a_job_file_that_is_not_there(tmp_path: Path) -> None:
    assert "nojob.yaml does not exist (looked in" in shell("run", tmp_path / "nojob.yaml", status=2)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("erode: 10m", "erode is '10m'; give a number, 0 or more"),
        ("reliable: most", "reliable is 'most'; give a number"),
        ("open: {resoluton: 10}", r"open has 'resoluton' \(did you mean resolution\?\)"),
        ("colum: crop", r"has colum that is not known \(did you mean column\?\)"),
    ],
)
def test_slips_in_mapping_jobs_are_told(tmp_path: Path, key: str, words: str) -> None:
    text = (
        f"tiles: {{west: {{cube: a.zarr, labels: b.gpkg}}}}\noutput: crops\nlegend: {{Maize: [1]}}\ndraw: {{rule: equal, n: 10}}\n{key}\n"
    )
    (tmp_path / "job.yaml").write_text(text)
    with pytest.raises(xs.ReadError, match=words):
        read_crop_job(tmp_path / "job.yaml")


# ---- what is no cube -------------------------------------------------------------------------------------------------


@pytest.fixture
def safes(tmp_path: Path) -> Path:
    folder = tmp_path / "products"
    folder.mkdir()
    for k in range(3):
        spec = replace(Spec(), time=f"2019-0{k + 5}-30T10:30:29.024Z", strip=f"20190{k + 5}30T103024")
        write_safe(folder, spec)
    return folder


def test_what_lies_inside_a_product_names_the_product(safes: Path) -> None:
    product = sorted(safes.iterdir())[0]
    image = next(product.rglob("*_20m.jp2"))
    for path in (product / "GRANULE", image.parent, image):
        with pytest.raises(xs.ReadError, match=rf"lies inside the product {product}; give that"):
            xs.open(path)


def test_all_broken_products_of_a_folder_are_named(safes: Path) -> None:
    products = sorted(safes.iterdir())
    for product in products[:2]:
        (product / "MTD_MSIL2A.xml").write_text("<broken")
    with pytest.raises(xs.ReadError, match=r"2 of the 3 products in .* cannot be read, so none is; give a list of the others") as refused:
        xs.open(safes, resolution=20)
    assert all(str(product) in str(refused.value) for product in products[:2])
    assert xs.open(products[2:], resolution=20).sizes["time"] == 1


def test_folders_and_files_that_are_no_cube_are_described(tmp_path: Path) -> None:
    folder = tmp_path / "some"
    (folder / "sub").mkdir(parents=True)
    with pytest.raises(xs.ReadError, match="sub is an empty folder; xsentinel reads Zarr"):
        xs.open(folder / "sub")
    for name in ("a.txt", "b.txt", "c.csv", "d.jp2"):
        (folder / name).write_text("x")
    with pytest.raises(xs.ReadError, match=r"holds no cube but 2 \.txt, 1 \.csv, 1 \.jp2 and the folders sub, images of a product"):
        xs.open(folder)
    with pytest.raises(xs.ReadError, match=r"c\.csv is a table; xsentinel\.samples\.from_table"):
        xs.open(folder / "c.csv")
    with pytest.raises(xs.ReadError, match=r"d\.jp2 is one image of a product"):
        xs.open(folder / "d.jp2")
    class_map().s2.to_zarr(folder / "map.zarr")
    with pytest.raises(xs.ReadError, match=r"holds map\.zarr, which can be opened"):
        xs.open(folder)


def test_a_folder_of_triplets_is_told(tmp_path: Path) -> None:
    for name in ("s1", "s2", "s2-mask"):
        (tmp_path / "chips" / name).mkdir(parents=True)
    with pytest.raises(xs.ReadError, match=r"xsentinel\.read_triplets reads them"):
        xs.open(tmp_path / "chips")


NUMBERS = {
    "max_gap of fill_gaps": (lambda c: c.s2.fill_gaps(max_gap="30D"), "max_gap is '30D'; give a number, without quotes or units"),
    "max_gap of bridge_gaps": (lambda c: c.s2.bridge_gaps(max_gap="30D"), "max_gap is '30D'; give a number"),
    "samples": (lambda c: c.s2.crops("crops-canada", samples="30"), "samples is '30'; give a number"),
    "steps": (lambda c: c.s2.forecast(steps="5"), "steps is '5'; give a number"),
    "max": (lambda c: c.s2.drop_cloudy(max="0.5"), "max is '0.5'; give a number"),
    "probability": (lambda c: c.s2.mask_clouds(probability="40"), "probability is '40'; give a number"),
    "lower": (lambda c: c.s2.statistics(lower="2"), "lower is '2'; give a number"),
    "confidence": (lambda c: xs.accuracy.assess([1], [1], confidence="95"), "confidence is '95'; give a number"),
    "resolution": (lambda c: xs.open(c, resolution="20m"), "resolution is '20m'; it is a pixel size in metres"),
    "table": (lambda c: c.s2.extract(None), "the table is a NoneType; give a Dataset of samples with x and y"),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_text_for_a_number_is_our_error(case: str) -> None:
    call, words = NUMBERS[case]
    with pytest.raises(xs.XSentinelError, match=words):
        call(xs.sample("romania").isel(x=slice(4), y=slice(4)))


# ---- maps of other people --------------------------------------------------------------------------------------------


def test_classes_are_matched_by_name_where_both_maps_have_names() -> None:
    ours = class_map()["class"]
    codes = np.where(ours.values == 1, 4, 1).astype(np.uint8)  # Maize is 4, Winter wheat 1
    codes[0], codes[1] = 2, 9
    flags = {"flag_values": np.array([1, 2, 4, 9], np.uint8), "flag_meanings": "winter_wheat Oats maize Meadow"}
    theirs = ours.copy(data=codes).assign_attrs(flags)
    found = xs.accuracy.assess(ours, theirs)
    assert found.confusion.to_dict() == {
        "Maize": {"Maize": 2000, "Winter wheat": 0, "Oats": 50, "Meadow": 50},
        "Winter wheat": {"Maize": 0, "Winter wheat": 900, "Oats": 0, "Meadow": 0},
        "Oats": dict.fromkeys(["Maize", "Winter wheat", "Oats", "Meadow"], 0),
        "Meadow": dict.fromkeys(["Maize", "Winter wheat", "Oats", "Meadow"], 0),
    }
    lazy = xs.accuracy.assess(ours.chunk(y=7), theirs.chunk(x=9))
    pd.testing.assert_frame_equal(lazy.confusion, found.confusion)
    assert xs.accuracy.assess(ours, theirs, ignore=["Oats", "Meadow"]).overall_accuracy == 1
    assert xs.accuracy.assess(ours, theirs, ignore=[2, 9]).n == 2000  # each map's own codes: wheat there, oats and meadow here
    assert xs.accuracy.compare(ours, xr.ones_like(ours), theirs, ignore=["Oats", "Meadow"]).first_only == 900


def test_maps_that_share_no_name_are_refused_where_codes_mean_two_things() -> None:
    ours = class_map()["class"]
    theirs = ours.assign_attrs(flag_meanings="Mais Winterweizen").rename("label")
    with pytest.raises(xs.XSentinelError, match=r"code 1 is 'Maize' in class and 'Mais' in label, and no class has the same name in both"):
        xs.accuracy.assess(ours, theirs)


def test_the_shell_assesses_by_a_legend(tmp_path: Path) -> None:
    ours = class_map()["class"]
    ours.s2.to_cog(tmp_path / "crops.tif")
    register = ours.copy(data=np.where(ours == 1, 1200, 1100).astype(np.uint16)).rename("lpis")
    register[0] = 65535
    register.attrs = {"_FillValue": 65535}
    register.s2.to_cog(tmp_path / "register.tif")
    (tmp_path / "legend.csv").write_text("source,class\n1100,Winter wheat\n1200,Maize\n")
    said = shell("assess", tmp_path / "crops.tif", tmp_path / "register.tif", "--legend", tmp_path / "legend.csv")
    assert re.search(r"Maize +100\.00 +100\.00 +100\.00 +2050", said)
    refused = shell("assess", tmp_path / "crops.tif", tmp_path / "register.tif", status=2)
    assert "or leave it out by --ignore 1100,1200" in " ".join(refused.split())
