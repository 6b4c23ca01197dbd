"""Level-2A products, real metadata joined to real pixels: what is read agrees with what was written and with the XML read by hand."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import xarray as xr

import xsentinel as xs
from tests.conftest import raise_if_dask_computes
from tests.products import RealProduct, Spec, images_of, sample_bands, write_image, write_safe, zipped

BASELINES = ("02.12", "04.00", "05.09")
OLD = Spec()
NEW = Spec(time="2022-06-03T10:30:29.024Z", generated="2022-06-03T13:00:00.000Z", baseline="04.00", strip="20220603T103024", offset=-1000)


OLD_TAGS = (
    ("PRODUCT_URI", "PRODUCT_URI_2A"),
    ("BOA_QUANTIFICATION_VALUE", "L2A_BOA_QUANTIFICATION_VALUE"),
    ("IMAGE_FILE", "IMAGE_ID_2A"),
)
"""Names of elements before baseline 02.07."""


def reflectance(counts: np.ndarray, shift: int = 0) -> np.ndarray:
    return np.where(counts == 0, np.nan, (counts.astype(np.float64) - shift) * 1e-4)


# ---- real products ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("baseline", BASELINES)
def test_whole_tile_is_lazy_and_on_its_grid(real_products: dict[str, RealProduct], baseline: str) -> None:
    product = real_products[baseline]
    with raise_if_dask_computes():
        cube = xs.open(product.path, resolution=20)
    assert dict(cube.sizes) == {"time": 1, "y": 5490, "x": 5490}
    assert cube.rio.crs.to_epsg() == product.spec.epsg
    top, left = product.spec.corner
    assert cube.rio.bounds() == (left, top - 109_800, left + 109_800, top)
    assert cube.B05.chunks[1][0] == 1024
    assert cube.platform.item() == product.path.name[:3]
    assert str(cube.time.values[0])[:19].replace("-", "").replace(":", "") == product.path.name[11:26]
    assert cube.processing_baseline.item() == baseline


@pytest.mark.parametrize("resolution", [10, 20, 60])
@pytest.mark.parametrize("baseline", BASELINES)
def test_values_are_those_written(real_products: dict[str, RealProduct], baseline: str, resolution: int) -> None:
    product = real_products[baseline]
    shift = 0 if baseline < "04" else 1000
    cube = xs.open(product.path, resolution=resolution, bbox=product.bbox)
    for name in ("B02", "B04", "B05", "B09", "B8A"):
        if (name, resolution) in product.images:
            expected = reflectance(product.images[name, resolution], shift)
            np.testing.assert_allclose(cube[name].values[0], expected, rtol=0, atol=2e-7, err_msg=name)
            assert cube[name].dtype == np.float32
    assert cube.B08.attrs["units"] == "1"
    if resolution > 10:
        np.testing.assert_array_equal(cube.SCL.values[0], product.images["SCL", resolution])
    assert set(np.unique(cube.CLD)) == {5, 80}
    assert cube.CLD.dtype == np.uint8


def test_nothing_outside_the_scene(real_products: dict[str, RealProduct]) -> None:
    product = real_products["05.09"]
    rows, columns = product.window(20)
    cube = xs.open(product.path, resolution=20)
    window = cube.B04.isel(y=slice(rows.start - 3, rows.start + 2), x=slice(columns.start, columns.start + 4)).values[0]
    assert np.isnan(window[:3]).all()
    assert np.isfinite(window[3:]).all()


def by_hand(text: str, kind: str) -> np.ndarray:
    """Give the mean view grid, or the sun's, by the standard library and plain loops."""
    root = ElementTree.fromstring(text)
    bands: dict[str, list[tuple[list[list[float]], list[list[float]]]]] = {}
    for grid in root.iter("Viewing_Incidence_Angles_Grids" if kind.startswith("v") else "Sun_Angles_Grid"):
        pair = [[[float(v) for v in row.text.split()] for row in grid.find(k).iter("VALUES")] for k in ("Zenith", "Azimuth")]
        bands.setdefault(grid.get("bandId", ""), []).append((pair[0], pair[1]))
    out = np.full((23, 23), np.nan)
    for i in range(23):
        for j in range(23):
            means = []
            for grids in bands.values():
                zeniths = [z[i][j] for z, _ in grids if z[i][j] == z[i][j]]
                units = [np.exp(1j * np.deg2rad(a[i][j])) for _, a in grids if a[i][j] == a[i][j]]
                if zeniths:
                    means.append(sum(zeniths) / len(zeniths) if kind.endswith("za") else np.exp(1j * np.angle(sum(units))))
            if means:
                out[i, j] = sum(means) / len(means) if kind.endswith("za") else np.rad2deg(np.angle(sum(means))) % 360
    return out


@pytest.mark.parametrize("baseline", BASELINES)
def test_angles_at_pixels_agree_with_an_independent_computation(real_products: dict[str, RealProduct], baseline: str) -> None:
    product = real_products[baseline]
    text = next(product.path.glob("GRANULE/*/MTD_TL.xml")).read_text()
    grids = {kind: by_hand(text, kind) for kind in ("sza", "saa", "vza", "vaa")}
    cube = xs.open(product.path, resolution=20)
    checked = 0
    for i, j in np.argwhere(np.isfinite(grids["vza"][:-1, :-1] + grids["vza"][1:, :-1] + grids["vza"][:-1, 1:] + grids["vza"][1:, 1:])):
        fy, fx = 0.3, 0.8  # of the way between nodes: 5000 m are 250 pixels
        pixel = {"y": int((i + fy) * 250), "x": int((j + fx) * 250)}
        fy, fx = (pixel["y"] + 0.5) / 250 - i, (pixel["x"] + 0.5) / 250 - j
        weights = np.array([[(1 - fy) * (1 - fx), (1 - fy) * fx], [fy * (1 - fx), fy * fx]])
        corner = {k: g[i : i + 2, j : j + 2] for k, g in grids.items()}
        saa, vaa = (np.rad2deg(np.angle((weights * np.exp(1j * np.deg2rad(corner[k]))).sum())) for k in ("saa", "vaa"))
        found = cube[["sza", "vza", "raa"]].isel(pixel).compute()
        assert found.sza.item() == pytest.approx((weights * corner["sza"]).sum(), abs=1e-4)
        assert found.vza.item() == pytest.approx((weights * corner["vza"]).sum(), abs=1e-4)
        apart = abs(saa - vaa) % 360
        assert found.raa.item() == pytest.approx(min(apart, 360 - apart), abs=1e-3)
        checked += 1
        if checked == 12:
            break
    assert checked


@pytest.mark.parametrize("baseline", BASELINES)
def test_lai_of_a_real_product(real_products: dict[str, RealProduct], baseline: str) -> None:
    product = real_products[baseline]
    maps = xs.open(product.path, resolution=20, bbox=product.bbox).s2.lai().compute()
    others = {b: xs.open(real_products[b].path, resolution=20, bbox=real_products[b].bbox) for b in BASELINES}
    assert 1 < float(maps.lai.median()) < 4
    # the same pixels by another baseline, offset and all, differ by the angles only
    same = {b: c.B8A.values for b, c in others.items()}
    np.testing.assert_allclose(same["02.12"], same["05.09"], atol=2e-7)


def test_zip_gives_the_same(real_products: dict[str, RealProduct], tmp_path: Path) -> None:
    product = real_products["05.09"]
    folder = xs.open(product.path, resolution=20, bbox=product.bbox)
    packed = xs.open(zipped(product.path, tmp_path), resolution=20, bbox=product.bbox)
    assert folder.identical(packed)
    xr.testing.assert_identical(folder.s2.lai().compute(), packed.s2.lai().compute())


# ---- layouts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec",
    [
        replace(OLD, prefix="L2A_", old_masks=True, baseline="02.05", edits=OLD_TAGS),
        replace(OLD, suffix=".tif"),
        replace(OLD, baseline="02.07"),
        replace(OLD, baseline="02.14"),
        replace(NEW, baseline="05.10"),
        replace(NEW, baseline="05.11", platform="S2C", time="2025-06-03T10:30:29.024Z"),
    ],
    ids=lambda s: f"{s.baseline} {s.prefix}{s.suffix}",
)
def test_every_layout(tmp_path: Path, spec: Spec) -> None:
    cube = xs.open(write_safe(tmp_path, spec), resolution=20)
    written = images_of(sample_bands())
    np.testing.assert_allclose(cube.B11.values[0], reflectance(written["B11", 20]), atol=2e-7)
    np.testing.assert_array_equal(cube.CLD.values[0], written["CLD", 20])
    assert cube.platform.item() == spec.platform


def test_a_product_may_be_named_by_its_metadata_or_its_folder(tmp_path: Path) -> None:
    product = write_safe(tmp_path)
    whole = xs.open(product, resolution=20)
    assert whole.identical(xs.open(product / "MTD_MSIL2A.xml", resolution=20))
    assert whole.identical(xs.open(tmp_path, resolution=20))


def test_a_resolution_may_be_left_out(tmp_path: Path) -> None:
    product = write_safe(tmp_path)
    shutil.rmtree(next(product.glob("GRANULE/*/IMG_DATA/R10m")))
    cube = xs.open(product, resolution=20)
    assert "B8A" in cube
    assert "B08" not in cube


def test_offsets_are_read_band_by_band(tmp_path: Path) -> None:
    product = write_safe(tmp_path, NEW)
    path = product / "MTD_MSIL2A.xml"
    path.write_text(re.sub(r'(BOA_ADD_OFFSET band_id="8">)-1000', r"\g<1>-900", path.read_text()))
    cube = xs.open(product, resolution=20)
    counts = images_of(sample_bands(), 1000)
    np.testing.assert_allclose(cube.B8A.values[0], reflectance(counts["B8A", 20], 900), atol=2e-7)
    np.testing.assert_allclose(cube.B11.values[0], reflectance(counts["B11", 20], 1000), atol=2e-7)


def test_negative_reflectance_is_kept_and_nodata_is_not_shifted(tmp_path: Path) -> None:
    images = images_of(sample_bands(), 1000)
    images["B12", 20][:2] = [[990], [0]]
    cube = xs.open(write_safe(tmp_path, NEW, images), resolution=20)
    assert cube.B12.values[0, 0] == pytest.approx(-0.001, abs=1e-6)
    assert np.isnan(cube.B12.values[0, 1]).all()


# ---- series ----------------------------------------------------------------------------------------------------------


def test_dates_become_one_cube_with_their_own_offsets(tmp_path: Path) -> None:
    products = [write_safe(tmp_path, NEW), write_safe(tmp_path, OLD)]
    with raise_if_dask_computes():
        cube = xs.open(products, resolution=20)
    assert [str(t)[:10] for t in cube.time.values] == ["2019-05-30", "2022-06-03"]
    assert list(cube.processing_baseline.values) == ["02.12", "04.00"]
    np.testing.assert_allclose(cube.B04[0], cube.B04[1], atol=1e-7)
    counts = xs.open(products, resolution=20, mask_and_scale=False, resampling="nearest")
    assert counts.B05.dtype == np.uint16
    assert counts.B05.attrs["add_offset"] == pytest.approx(-0.1)
    np.testing.assert_array_equal(counts.B05[0], counts.B05[1])
    np.testing.assert_allclose(counts.s2.lai().lai, cube.s2.lai().lai, atol=2e-4)


def test_newest_processing_of_a_solar_day(tmp_path: Path) -> None:
    bands = sample_bands()
    darker = {n: (v * 0.5).astype(np.uint16) for n, v in bands.items()}
    again = replace(OLD, baseline="05.00", generated="2023-01-01T00:00:00.000Z", offset=-1000)
    products = [write_safe(tmp_path, OLD, images_of(darker)), write_safe(tmp_path, again)]
    for order in (products, products[::-1]):
        cube = xs.open(order, resolution=20)
        assert cube.sizes["time"] == 1
        assert cube.processing_baseline.item() == "05.00"
        np.testing.assert_allclose(cube.B04.values[0], reflectance(images_of(bands)["B04", 20]), atol=2e-7)


def test_halves_of_a_tile_are_merged_data_before_nodata(tmp_path: Path) -> None:
    whole = images_of(sample_bands())
    halves = [{k: v.copy() for k, v in whole.items()} for _ in range(2)]
    for (_, _), left, right in zip(whole, halves[0].values(), halves[1].values(), strict=True):
        middle = left.shape[1] // 2
        left[:, middle:], right[:, :middle] = 0, 0
    later = replace(OLD, strip="20190530T104000", generated="2019-05-30T15:00:00.000Z")
    cube = xs.open([write_safe(tmp_path, OLD, halves[0]), write_safe(tmp_path, later, halves[1])], resolution=20)
    assert cube.sizes["time"] == 1
    for name in ("B04", "B8A", "SCL", "CLD"):
        expected = whole[name, 20] if name in ("SCL", "CLD") else reflectance(whole[name, 20])
        np.testing.assert_allclose(cube[name].values[0], expected, atol=2e-7, err_msg=name)


def neighbour(columns: int = 96) -> Spec:
    return replace(OLD, tile="32TNT", corner=(OLD.corner[0], OLD.corner[1] + 10 * columns), generated="2019-05-30T14:00:00.000Z")


def test_neighbouring_tiles_become_one_map(tmp_path: Path) -> None:
    sources = sample_bands(240, 0, 0)
    west = {n: v[:120, :120] for n, v in sources.items()}
    east = {n: v[:120, 96:216] for n, v in sources.items()}
    products = [write_safe(tmp_path, neighbour(), images_of(east)), write_safe(tmp_path, OLD, images_of(west))]
    cube = xs.open(products, resolution=20)
    assert dict(cube.sizes) == {"time": 1, "y": 60, "x": 108}
    expected = images_of({n: v[:120, :216] for n, v in sources.items()})
    np.testing.assert_allclose(cube.B04.values[0], reflectance(expected["B04", 20]), atol=2e-7)
    assert np.isfinite(cube.sza).all()
    assert float(abs(cube.sza.diff("x")).max()) < 0.7  # no seam but that of the made-up planes


def test_mixed_zones_are_brought_to_the_crs_asked_for(tmp_path: Path) -> None:
    from rasterio.warp import transform

    x, y = transform("EPSG:32632", "EPSG:32633", [OLD.corner[1]], [OLD.corner[0]])
    east = replace(OLD, tile="33TUN", epsg=32633, corner=(round(y[0] / 60) * 60, round(x[0] / 60) * 60))
    products = [write_safe(tmp_path, OLD), write_safe(tmp_path, east)]
    cube = xs.open(products, resolution=20, crs="EPSG:32632")
    assert cube.sizes["time"] == 1
    assert cube.rio.crs.to_epsg() == 32632
    alone = xs.open(products[0], resolution=20)
    again = cube.B04.sel(y=alone.y, x=alone.x, method="nearest")
    np.testing.assert_allclose(again.values, alone.B04.values, atol=2e-7)  # the first zone goes first, its pixels untouched
    assert cube.B04.notnull().sum() > alone.B04.size


# ---- grids -----------------------------------------------------------------------------------------------------------


def test_bbox_in_degrees_and_in_metres(tmp_path: Path) -> None:
    product = write_safe(tmp_path)
    whole = xs.open(product, resolution=20)
    box = (472_790.0, 5_256_610.0, 473_110.0, 5_256_990.0)
    cut = xs.open(product, resolution=20, bbox=box)
    assert cut.rio.bounds() == (472_780, 5_256_600, 473_120, 5_257_000)
    xr.testing.assert_identical(cut.B04.compute(), whole.B04.sel(x=cut.x, y=cut.y).compute())
    from rasterio.warp import transform_bounds

    degrees = xs.open(product, resolution=20, bbox=transform_bounds("EPSG:32632", "EPSG:4326", *box))
    west, south, east, north = degrees.rio.bounds()
    assert west <= 472_790 < 473_110 <= east
    assert south <= 5_256_610 < 5_256_990 <= north


def test_like_gives_the_very_pixels(tmp_path: Path) -> None:
    product = write_safe(tmp_path)
    whole = xs.open(product, resolution=20)
    like = whole.B04.isel(x=slice(3, 20), y=slice(4, 10)).shift(x=0)
    xr.testing.assert_allclose(xs.open(product, like=like).B04.compute(), like.compute())
    wider = like.reindex(x=np.arange(472_410.0, 472_700, 20), fill_value=0)
    cube = xs.open(product, like=wider)
    assert cube.x.equals(wider.x)
    assert np.isnan(cube.B04.sel(x=slice(None, 472_500))).all()
    assert (cube.SCL.sel(x=slice(None, 472_500)) == 0).all()


def test_another_crs_agrees_with_rasterio(tmp_path: Path) -> None:
    product = write_safe(tmp_path)
    source = xs.open(product, resolution=20)
    with raise_if_dask_computes():
        cube = xs.open(product, resolution=20, crs="EPSG:3035")
    expected = source.B04.compute().rio.reproject(
        "EPSG:3035", transform=cube.rio.transform(), shape=cube.B04.shape[1:], resampling=1, nodata=np.nan
    )
    np.testing.assert_allclose(cube.B04.values, expected.values, atol=1e-6)
    classes = source.SCL.compute().rio.reproject(
        "EPSG:3035", transform=cube.rio.transform(), shape=cube.SCL.shape[1:], resampling=0, nodata=0
    )
    np.testing.assert_array_equal(cube.SCL.values, classes.values)
    assert cube.SCL.dtype == np.uint8
    assert {"sza", "vza", "raa", "platform"} <= set(cube.coords)


@pytest.mark.parametrize("method", ["nearest", "bilinear", "cubic"])
def test_resampling_by_kind(tmp_path: Path, method: str) -> None:
    product = write_safe(tmp_path)
    cube = xs.open(product, resolution=10, resampling={"reflectance": method})
    coarse = reflectance(images_of(sample_bands())["B05", 20])
    fine = cube.B05.values[0]
    if method == "nearest":
        np.testing.assert_allclose(fine, coarse.repeat(2, 0).repeat(2, 1), atol=2e-7)
    else:
        assert not np.allclose(fine, coarse.repeat(2, 0).repeat(2, 1), atol=1e-3)
        means = fine.reshape(60, 2, 60, 2).mean((1, 3))
        assert np.corrcoef(means.ravel(), coarse.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("chunks", [{}, {"x": 17, "y": 23}, None])
def test_same_values_for_any_chunks(tmp_path: Path, chunks: Any) -> None:
    product = write_safe(tmp_path)
    cube = xs.open(product, resolution=10, chunks=chunks)
    xr.testing.assert_identical(cube.compute(), xs.open(product, resolution=10).compute())


def test_another_file_of_the_same_name_is_seen(tmp_path: Path) -> None:
    product = write_safe(tmp_path)
    before = xs.open(product, resolution=20).B05.mean().compute().item()
    path = next(product.glob("GRANULE/*/IMG_DATA/R20m/*_B05_20m.jp2"))
    write_image(path, images_of(sample_bands())["B05", 20] * np.uint16(2), OLD.epsg, OLD.corner, 20)
    assert xs.open(product, resolution=20).B05.mean().compute().item() == pytest.approx(2 * before, rel=1e-4)
