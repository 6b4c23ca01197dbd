"""Items of real catalogues, their assets pointed at local files: bands, offset by each catalogue's rule, angles, radar."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401  (registers .rio)
import xarray as xr
from rasterio.transform import Affine

import xsentinel as xs
from tests.conftest import raise_if_dask_computes
from tests.products import Images, Spec, images_of, sample_bands, tile_xml
from xsentinel.io.stac_items import read_item

pystac = pytest.importorskip("pystac")

PLACE = (3000, 3000)
"""Row and column at 10 m where the scene lies in a tile."""

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12", "SCL")
COMMON = ("coastal", "blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "nir09", "swir16", "swir22", "scl")
COMMON_NAMES = dict(zip(BANDS, COMMON, strict=True))

NATIVE = {"B01": 60, "B09": 60} | dict.fromkeys(("B02", "B03", "B04", "B08"), 10)


def resolution_of(name: str) -> int:
    return NATIVE.get(name, 20)


def write_tile(path: Path, values: np.ndarray, epsg: int, transform: Any, shape: Any, place: tuple[int, int] = PLACE) -> None:
    """Write a whole tile's GeoTIFF of which only the scene takes space."""
    step = transform[0]
    row, column = (round(p * 10 / step) for p in place)
    options = {"driver": "GTiff", "tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "DEFLATE", "SPARSE_OK": True}
    nodata = 0 if values.dtype.kind == "u" else -32768
    placed = {"crs": f"EPSG:{epsg}", "transform": Affine(*transform[:6]), "nodata": nodata, "height": shape[0], "width": shape[1]}
    with rasterio.open(path, "w", count=1, dtype=values.dtype, **placed, **options) as file:
        file.write(values, 1, window=((row, row + values.shape[0]), (column, column + values.shape[1])))


def localised(item: dict[str, Any], folder: Path, images: Images, place: tuple[int, int] = PLACE) -> dict[str, Any]:
    """Point the assets that are bands at files on this machine; leave out the rest."""
    item = copy.deepcopy(item)
    folder.mkdir(parents=True, exist_ok=True)
    code = str(item["properties"].get("proj:epsg") or item["properties"]["proj:code"]).removeprefix("EPSG:")
    names = {v: k for k, v in COMMON_NAMES.items()}
    kept = {}
    for key, asset in item["assets"].items():
        name = names.get(key, key.split("_")[0].upper())
        if (name, resolution_of(name)) in images:
            path = folder / f"{key}.tif"
            write_tile(path, images[name, resolution_of(name)], int(code), asset["proj:transform"], asset["proj:shape"], place)
            kept[key] = asset | {"href": str(path)}
        elif key in ("granule-metadata", "granule_metadata"):
            kept[key] = asset
    return item | {"assets": kept}


def scene_images(shift: int = 0) -> Images:
    return images_of(sample_bands(), shift)


def made_item(catalogue: str, date: str = "2022-06-03", **properties: Any) -> dict[str, Any]:
    """Give an item as Earth Search v1 or the Copernicus Data Space write them."""
    grid = {r: {"proj:transform": [r, 0, 399960, 0, -r, 5300040], "proj:shape": [109800 // r] * 2} for r in (10, 20, 60)}
    raster = {"nodata": 0, "data_type": "uint16", "scale": 0.0001, "offset": -0.1}
    assets = {}
    for name, common in COMMON_NAMES.items():
        r = resolution_of(name)
        key = common if catalogue == "v1" else f"{name}_{r}m"
        bands = {"raster:bands": [raster]} if catalogue == "v1" else {"bands": [{f"raster:{k}": v for k, v in raster.items()}]}
        assets[key] = {"href": f"https://example.org/{name}.tif", "roles": ["data", "reflectance"], "gsd": r, **grid[r]}
        assets[key] |= {} if name == "SCL" else bands
    own = {"proj:code": "EPSG:32632", "platform": "sentinel-2a", "constellation": "sentinel-2", "datetime": f"{date}T10:30:29.024Z"}
    if catalogue == "v1":
        own |= {"s2:processing_baseline": "04.00", "grid:code": "MGRS-32TMT", "earthsearch:boa_offset_applied": True}
        own |= {"view:sun_elevation": 60.0, "view:sun_azimuth": 150.0}
    else:
        own |= {"processing:version": "05.11", "grid:code": "MGRS-32TMT", "view:sun_elevation": 60.0, "view:sun_azimuth": 150.0}
        own |= {"view:incidence_angle": 5.0, "view:azimuth": 100.0}
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": f"S2A_32TMT_{date}_{catalogue}",
        "collection": "sentinel-2-l2a",
        "geometry": {"type": "Polygon", "coordinates": [[[7, 46], [9, 46], [9, 49], [7, 49], [7, 46]]]},
        "bbox": [8.0, 47.0, 9.0, 48.0],
        "links": [],
        "properties": own | properties,
        "assets": assets,
    }


@pytest.fixture(scope="module")
def stored(data: Path) -> dict[str, dict[str, Any]]:
    """The stored items of real catalogues, by id."""
    out = {}
    for path in sorted((data / "stac").glob("*.json")):
        found = json.loads(path.read_bytes())
        for item in found if isinstance(found, list) else [found]:
            out[f"{path.stem}/{item['id']}"] = item
    return out


def bbox_of(item: dict[str, Any], images: Images) -> tuple[float, float, float, float]:
    left, top = (next(a["proj:transform"][i] for a in item["assets"].values() if "proj:transform" in a) for i in (2, 5))
    height, width = images["B04", 20].shape
    x, y = left + 10 * PLACE[1], top - 10 * PLACE[0]
    return x, y - 20 * height, x + 20 * width, y


# ---- real items ------------------------------------------------------------------------------------------------------


def test_all_stored_items_parse(stored: dict[str, dict[str, Any]]) -> None:
    read = {key: read_item(pystac.Item.from_dict(item)) for key, item in stored.items()}
    assert len(read) >= 11
    for key, item in read.items():
        if item.kind == "radar":
            assert {n for n, _ in item.assets} == {"VV", "VH"}, key
        else:
            assert {n for n, _ in item.assets} >= {"B02", "B03", "B04", "B05", "B08", "B8A", "B11", "B12", "SCL"}, key
            assert item.claim.shift == (0 if item.baseline < "04" else -1000), key
            assert item.platform in ("S2A", "S2B")
    assert {i.baseline for i in read.values()} >= {"02.12", "02.14", "04.00", "05.10"}


@pytest.mark.parametrize("which", ["S2A_28QCH_20200714", "T06VVN_20201006T080531/", "raster_ext/", "sentinel-2-item/", "T47XML"])
def test_real_items_over_local_files(stored: dict[str, dict[str, Any]], which: str, tmp_path: Path) -> None:
    item = next(v for k, v in stored.items() if which in k)
    baseline = read_item(pystac.Item.from_dict(item)).baseline
    images = scene_images(0 if baseline < "04" else 1000)
    local = localised(item, tmp_path, images)
    with raise_if_dask_computes():
        cube = xs.open(local, resolution=20, bbox=bbox_of(local, images))
    assert dict(cube.sizes) == {"time": 1, "y": 60, "x": 60}
    written = scene_images()
    np.testing.assert_allclose(cube.B8A.values[0], written["B8A", 20] * 1e-4, atol=2e-7)
    exact = written["B04", 10].reshape(60, 2, 60, 2).mean((1, 3)) * 1e-4
    np.testing.assert_allclose(cube.B04.values[0], exact, atol=2e-7)
    np.testing.assert_array_equal(cube.SCL.values[0], written["SCL", 20])
    if "s2:mean_solar_zenith" in item["properties"]:
        assert cube.sza.values == pytest.approx(item["properties"]["s2:mean_solar_zenith"], abs=1e-4)


def test_forms_of_items(stored: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    item = next(v for k, v in stored.items() if "sentinel-2-item" in k)
    images = scene_images(1000)
    local = localised(item, tmp_path, images)
    path = tmp_path / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [local]}))
    forms = [local, pystac.Item.from_dict(local), [local], pystac.ItemCollection([pystac.Item.from_dict(local)]), path, str(path)]
    cubes = [xs.open(form, resolution=20, bbox=bbox_of(local, images)) for form in forms]
    assert all(cube.equals(cubes[0]) for cube in cubes[1:])


# ---- rules of the catalogues -----------------------------------------------------------------------------------------

RULES: dict[str, tuple[str, dict[str, Any], int | None]] = {
    "Earth Search v1, taken out already": ("v1", {}, 0),
    "Earth Search v1, left in": ("v1", {"earthsearch:boa_offset_applied": False}, -1000),
    "Earth Search v1, flag of old": ("v1", {"earthsearch:boa_offset_applied": None, "sentinel:boa_offset_applied": True}, 0),
    "Copernicus Data Space": ("cdse", {}, -1000),
}


@pytest.mark.parametrize("rule", RULES)
def test_offset_rules(rule: str) -> None:
    catalogue, properties, shift = RULES[rule]
    item = read_item(pystac.Item.from_dict(made_item(catalogue, **properties)))
    assert item.claim.shift == shift
    assert item.claim.source


def without(item: dict[str, Any], *names: str) -> dict[str, Any]:
    """Take the raster extension and some properties away."""
    for asset in item["assets"].values():
        for key in ("raster:bands", "bands"):
            asset.pop(key, None)
    for name in names:
        item["properties"].pop(name, None)
    return item


def test_offset_by_baseline_where_nothing_else_tells() -> None:
    old = without(made_item("cdse", **{"processing:version": "02.14"}))
    new = without(made_item("cdse"))
    assert [read_item(pystac.Item.from_dict(i)).claim.shift for i in (old, new)] == [0, -1000]
    none = read_item(pystac.Item.from_dict(without(made_item("cdse"), "processing:version")))
    assert none.claim.shift is None


@pytest.mark.parametrize("catalogue", ["v1", "cdse"])
def test_dates_of_several_offsets(catalogue: str, tmp_path: Path) -> None:
    v1 = catalogue == "v1"
    first = localised(made_item(catalogue), tmp_path / "a", scene_images(0 if v1 else 1000))
    other = made_item(catalogue, "2022-06-08", **({"earthsearch:boa_offset_applied": False} if v1 else {}))
    second = localised(other, tmp_path / "b", scene_images(1000))
    with raise_if_dask_computes():
        cube = xs.open([second, first], resolution=20, bbox=bbox_of(first, scene_images()))
    assert [str(t)[:10] for t in cube.time.values] == ["2022-06-03", "2022-06-08"]
    for name in ("B04", "B8A"):
        np.testing.assert_allclose(cube[name][0], cube[name][1], atol=2e-7)
    np.testing.assert_allclose(cube.B8A[0], scene_images()["B8A", 20] * 1e-4, atol=2e-7)
    assert cube.sza.values == pytest.approx(30)
    assert ("raa" in cube.coords) == (not v1)
    assert cube.platform.values.tolist() == ["S2A", "S2A"]


def test_a_flag_that_lies_is_refused_and_can_be_overruled(tmp_path: Path) -> None:
    lies = localised(made_item("v1", **{"earthsearch:boa_offset_applied": False}), tmp_path, scene_images())
    bbox = bbox_of(lies, scene_images())
    with pytest.raises(
        xs.UnitsError, match=r"STAC item .* would be shifted twice: raster:offset .* asks for -1000, but the darkest .*'none'"
    ):
        xs.open(lies, resolution=20, bbox=bbox)
    cube = xs.open(lies, resolution=20, bbox=bbox, harmonise="none")
    np.testing.assert_allclose(cube.B8A[0], scene_images()["B8A", 20] * 1e-4, atol=2e-7)
    truth = localised(made_item("v1"), tmp_path / "b", scene_images(1000))
    with pytest.raises(xs.UnitsError, match=r"would not be shifted: .* as if 1000 had been added.*harmonise='offset'"):
        xs.open(truth, resolution=20, bbox=bbox)
    again = xs.open(truth, resolution=20, bbox=bbox, harmonise="offset")
    np.testing.assert_allclose(again.B8A[0], cube.B8A[0], atol=2e-7)


def test_newest_processing_and_halves(tmp_path: Path) -> None:
    old = localised(made_item("cdse", **{"processing:version": "04.00"}), tmp_path / "a", images_of(sample_bands(row=200), 1000))
    old["id"] += "_old"
    new = localised(made_item("cdse"), tmp_path / "b", scene_images(1000))
    cube = xs.open([old, new], resolution=20, bbox=bbox_of(new, scene_images()))
    assert cube.sizes["time"] == 1
    assert cube.processing_baseline.item() == "05.11"
    np.testing.assert_allclose(cube.B8A[0], scene_images()["B8A", 20] * 1e-4, atol=2e-7)


# ---- angles ----------------------------------------------------------------------------------------------------------


def with_granule(item: dict[str, Any], href: str) -> dict[str, Any]:
    item["assets"]["granule_metadata"] = {"href": href, "roles": ["metadata"]}
    return item


def granule_text() -> str:
    return tile_xml(Spec(corner=(5300040, 399960)), (10980, 10980))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "MTD_TL.xml").write_text(granule_text())

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_angles_of_granule_metadata(tmp_path: Path, served: str) -> None:
    (tmp_path / "MTD_TL.xml").write_text(granule_text())
    item = localised(made_item("v1"), tmp_path / "a", scene_images())
    bbox = bbox_of(item, scene_images())
    near = xs.open(with_granule(item, str(tmp_path / "MTD_TL.xml")), resolution=20, bbox=bbox)
    far = xs.open(with_granule(item, f"{served}/MTD_TL.xml"), resolution=20, bbox=bbox)
    lost = xs.open(with_granule(item, f"{served}/none.xml"), resolution=20, bbox=bbox)
    assert near.sza.dims == ("time", "y", "x")
    y, x = (5300040 - float(near.y[7])) / 5000, (float(near.x[9]) - 399960) / 5000
    assert float(near.sza[0, 7, 9]) == pytest.approx(30 + 0.05 * y + 0.02 * x, abs=1e-4)
    assert near.equals(far)
    assert lost.sza.dims == ("time",)
    assert float(near.s2.lai().lai.compute().median()) > 0.5
    with pytest.raises(xs.GeometryError, match=r"no vza .*raa"):
        lost.s2.lai()


# ---- radar -----------------------------------------------------------------------------------------------------------


def test_radar_in_decibels_on_the_optical_grid(stored: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    item = next(v for k, v in stored.items() if "sentinel-1-rtc" in k)
    rng = np.random.default_rng(0)
    power = {n: rng.gamma(4, m / 4, (300, 400)).astype(np.float32) for n, m in (("vv", 0.1), ("vh", 0.02))}
    local = copy.deepcopy(item)
    transform, shape = item["properties"]["proj:transform"], item["properties"]["proj:shape"]
    for name, values in power.items():
        values[:3] = -32768
        write_tile(tmp_path / f"{name}.tif", values, 32633, transform, shape, (0, 0))
        local["assets"][name]["href"] = str(tmp_path / f"{name}.tif")
    left, top = transform[2], transform[5]
    like = xr.Dataset(coords={"y": top - 15.0 - 10 * np.arange(100), "x": left + 15.0 + 10 * np.arange(120)}).rio.write_crs("EPSG:32633")
    with raise_if_dask_computes():
        cube = xs.open(local, like=like)
    assert cube.x.equals(like.x)
    assert cube.VV.units == "dB"
    expected = np.where(power["vv"] > 0, 10 * np.log10(np.where(power["vv"] > 0, power["vv"], 1)), np.nan)[1:101, 1:121]
    np.testing.assert_allclose(cube.VV.values[0], expected, atol=1e-4)
    assert np.isnan(cube.VH.values[0, :2]).all()
    optical = like.assign(B04=(("y", "x"), np.zeros((100, 120), np.float32)))
    assert set(xr.merge([optical, cube.isel(time=0, drop=True)[["VV", "VH"]]], compat="override").data_vars) == {"B04", "VV", "VH"}


def test_radar_of_power_in_a_file_becomes_decibels(tmp_path: Path) -> None:
    power = np.full((1, 4, 4), 0.1, np.float32)
    ds = xr.Dataset(
        dict.fromkeys(("vv", "vh"), (("time", "y", "x"), power)),
        {"time": [np.datetime64("2020-01-01", "ns")], "y": np.arange(4.0)[::-1], "x": np.arange(4.0)},
    )
    cube = xs.open(ds.rio.write_crs("EPSG:32632"))
    np.testing.assert_allclose(cube.VV, -10, atol=1e-6)
    again = xs.open(cube)
    np.testing.assert_allclose(again.VV, -10, atol=1e-6)


def gamma_cube(n: int = 24) -> tuple[np.ndarray, xr.Dataset]:
    """Speckled power, and the cube of its decibels."""
    power = np.random.default_rng(3).gamma(1, 0.1, (1, n, n)).astype(np.float32)
    axes = {"time": [np.datetime64("2020-01-01", "ns")], "y": 5e6 + 10 * np.arange(n)[::-1], "x": 4e5 + 10.0 * np.arange(n)}
    return power, xr.Dataset({"vv": (("time", "y", "x"), power)}, axes).rio.write_crs("EPSG:32632")


@pytest.mark.parametrize("stored_as", ["power", "decibels", "packed"])
def test_radar_is_averaged_as_power(stored_as: str, tmp_path: Path) -> None:
    power, ds = gamma_cube()
    if stored_as != "power":
        path = tmp_path / "s1.zarr"
        xs.open(ds).s2.to_zarr(path, pack="int16" if stored_as == "packed" else None)
        coarse = xs.open(path, resolution=20)
    else:
        coarse = xs.open(ds, resolution=20)
    means = power.reshape(1, 12, 2, 12, 2).mean((2, 4))
    np.testing.assert_allclose(coarse.VV, 10 * np.log10(means), atol=3e-3 if stored_as == "packed" else 2e-5)
    assert coarse.VV.units == "dB"


def test_radar_is_warped_as_power() -> None:
    power, ds = gamma_cube()
    wide = xs.open(ds, crs="EPSG:32632", bbox=(4e5 + 10, 5e6 + 10, 4e5 + 210, 5e6 + 210), resolution=20)
    turned = xs.open(ds, crs="EPSG:32633", resolution=120, resampling="average").VV.values
    assert wide.VV.units == "dB"
    seen = turned[np.isfinite(turned)]
    assert np.abs(10 ** (seen / 10) - power.mean()).max() < 0.03  # the mean of decibels would lie 2.5 dB lower


# ---- what is read ----------------------------------------------------------------------------------------------------


def test_no_more_than_the_box_enters_the_graph(tmp_path: Path) -> None:
    item = localised(made_item("cdse"), tmp_path, scene_images(1000))
    bbox = bbox_of(item, scene_images())
    cut, whole = xs.open(item, resolution=20, bbox=bbox), xs.open(item, resolution=20)
    n_cut, n_whole = (len(dict(cube.B04.__dask_graph__())) for cube in (cut, whole))
    assert n_cut < 20 < n_whole
    xr.testing.assert_identical(cut.compute(), whole.sel(x=cut.x, y=cut.y).compute())
    for resolution in (10, 60):
        assert xs.open(item, resolution=resolution, bbox=bbox).sizes["y"] == 1200 // resolution


def test_a_broken_asset_says_so_when_it_is_read(tmp_path: Path) -> None:
    item = localised(made_item("cdse"), tmp_path, scene_images(1000))
    path = Path(item["assets"]["B8A_20m"]["href"])
    content = path.read_bytes()
    path.write_bytes(content[:2000] + bytes(len(content) - 2000))
    cube = xs.open(item, resolution=20, bbox=bbox_of(item, scene_images()))
    with pytest.raises(xs.ReadError, match=r"B8A_20m\.tif cannot be read .*download it again"):
        cube.B8A.compute()
