"""One scene through every form: the same reflectance and the same leaf area index, to the bit where arithmetic allows."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from rasterio.transform import from_origin

import xsentinel as xs
from tests.conftest import raise_if_dask_computes
from tests.eopf import write_eopf
from tests.products import Spec, images_of, sample_bands, write_safe, zipped
from tests.test_safe import NEW, OLD

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B8A", "B11", "B12")


def write_stack(path: Path, spec: Spec, images: dict[tuple[str, int], np.ndarray]) -> Path:
    """Write the 20 m bands and classes as one GeoTIFF, described, with scale and offset."""
    with rasterio.open(
        path, "w", driver="GTiff", count=len(BANDS), dtype="uint16", height=60, width=60, nodata=0,
        crs=f"EPSG:{spec.epsg}", transform=from_origin(spec.corner[1], spec.corner[0], 20, 20),
    ) as file:  # fmt: skip
        file.write(np.stack([images[b, 20] for b in BANDS]))
        file.descriptions = BANDS
        file.scales, file.offsets = [1e-4] * len(BANDS), [(spec.offset or 0) * 1e-4] * len(BANDS)
        file.update_tags(datetime=spec.time.removesuffix("Z"), platform=f"Sentinel-{spec.platform[1:]}")
    return path


def as_item(product: Path, spec: Spec) -> dict[str, object]:
    """Describe a product's own files as the Copernicus Data Space does."""
    left, top = spec.corner[1], spec.corner[0]
    assets: dict[str, object] = {"granule_metadata": {"href": str(next(product.glob("GRANULE/*/MTD_TL.xml"))), "roles": ["metadata"]}}
    for path in sorted(product.glob("GRANULE/*/IMG_DATA/*/*.jp2")):
        name, size = path.stem.split("_")[-2:]
        r = int(size[:2])
        grid = {"proj:transform": [r, 0, left, 0, -r, top], "proj:shape": [1200 // r] * 2}
        raster = {} if name == "SCL" else {"bands": [{"raster:scale": 1e-4, "raster:offset": (spec.offset or 0) * 1e-4}]}
        assets[f"{name}_{size}"] = {"href": str(path), "roles": ["data", "reflectance"], **grid, **raster}
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": product.stem, "collection": "sentinel-2-l2a", "links": [], "assets": assets,
        "geometry": {"type": "Polygon", "coordinates": [[[8, 47], [9, 47], [9, 48], [8, 48], [8, 47]]]}, "bbox": [8, 47, 9, 48],
        "properties": {
            "datetime": spec.time, "platform": f"sentinel-{spec.platform[1:].lower()}", "constellation": "sentinel-2",
            "proj:code": f"EPSG:{spec.epsg}", "processing:version": spec.baseline, "grid:code": "MGRS-32TMT",
        },
    }  # fmt: skip


@pytest.mark.parametrize("spec", [OLD, NEW], ids=["02.12", "04.00"])
def test_same_reflectance_and_lai_through_every_form(spec: Spec, tmp_path: Path) -> None:
    pytest.importorskip("odc.stac")
    images = images_of(sample_bands(), -spec.offset if spec.offset else 0)
    safe = write_safe(tmp_path, spec, images)
    forms = {
        "SAFE": safe,
        "zip": zipped(safe, tmp_path),
        "STAC": as_item(safe, spec),
        "EOPF": write_eopf(tmp_path / "eopf.zarr", spec, images),
        "EOPF, Zarr 3": write_eopf(tmp_path / "eopf3.zarr", spec, images, zarr_format=3),
        "GeoTIFF": write_stack(tmp_path / f"{safe.stem}.tif", spec, images),
    }
    cubes = {}
    for form, source in forms.items():
        with raise_if_dask_computes():
            cubes[form] = xs.open(source, resolution=20)
    first = cubes["SAFE"].compute()
    maps = first.s2.lai()
    assert 0.5 < float(maps.lai.median()) < 5
    for form, cube in cubes.items():
        for band in BANDS:
            np.testing.assert_array_equal(cube[band].values, first[band].values, err_msg=f"{form} {band}")
        seconds = [c.time.values.astype("datetime64[s]") for c in (cube, first)]  # GeoTIFF names tell no fractions
        np.testing.assert_array_equal(*seconds, err_msg=form)
        np.testing.assert_array_equal(np.unique(cube.platform), np.unique(first.platform))
        angles = {} if form != "GeoTIFF" else {a: first[a].variable for a in ("sza", "vza", "raa")}
        if not angles:
            for angle in ("sza", "vza", "raa"):
                np.testing.assert_allclose(cube[angle].values, first[angle].values, atol=1e-4, err_msg=form)
            np.testing.assert_array_equal(cube.SCL.values, first.SCL.values, err_msg=form)
        lai = (cube.assign_coords(angles) if angles else cube).s2.lai()
        np.testing.assert_allclose(lai.lai.values, maps.lai.values, atol=1e-5, err_msg=form)
    for form in ("zip", "STAC"):
        xr.testing.assert_equal(cubes[form].s2.lai().compute(), cubes["SAFE"].s2.lai().compute())


def test_eopf_products_of_several_dates(tmp_path: Path) -> None:
    images = images_of(sample_bands())
    shifted = images_of(sample_bands(), 1000)
    paths = [write_eopf(tmp_path / "b.zarr", NEW, shifted), write_eopf(tmp_path / "a.zarr", OLD, images)]
    cube = xs.open(paths, resolution=20)
    assert [str(t)[:10] for t in cube.time.values] == ["2019-05-30", "2022-06-03"]
    np.testing.assert_allclose(cube.B8A[0], cube.B8A[1], atol=2e-7)
    assert cube.sza.dims == ("time", "y", "x")
    np.testing.assert_array_equal(cube.CLD[0], images["CLD", 20])
    other = replace(NEW, corner=(NEW.corner[0], NEW.corner[1] + 1200), time="2022-06-08T10:30:29.024Z")
    with pytest.raises(xs.GridError, match="EOPF products of several tiles come as one list; open each"):
        xs.open([paths[0], write_eopf(tmp_path / "c.zarr", other, shifted)], resolution=20)


def test_eopf_offset_guard_and_zip(tmp_path: Path) -> None:
    path = write_eopf(tmp_path / "a.zarr", NEW, images_of(sample_bands()))
    with pytest.raises(xs.UnitsError, match=r"would be shifted twice: add_offset of its bands \(-1000 counts\).*harmonise='none'"):
        xs.open(path, resolution=20)
    assert float(xs.open(path, resolution=20, harmonise="none").B04.min()) > 0
    whole = write_eopf(tmp_path / "b.zarr", OLD, images_of(sample_bands()))
    packed = shutil.make_archive(str(tmp_path / "b"), "zip", whole)
    assert xs.open(packed, resolution=20).B8A.equals(xs.open(whole, resolution=20).B8A)
