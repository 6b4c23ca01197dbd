"""EOPF products to test with: the groups of real ones, the images of a scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from tests.products import Images, Spec, angle_grids

NAMES_OF = {
    10: ("B02", "B03", "B04", "B08"),
    20: ("B02", "B03", "B04", "B05", "B06", "B07", "B8A", "B11", "B12"),
    60: ("B01", "B02", "B04", "B09", "B12"),
}


def write_eopf(
    path: Path, spec: Spec, images: Images, grids: dict[str, np.ndarray] | None = None, zarr_format: Any = 2, **attrs: Any
) -> Path:
    """Write a product; ``grids`` are those of `angle_grids`: sun and two detectors."""
    tree: dict[str, xr.Dataset] = {}
    storage = {"scale_factor": 1e-4, "add_offset": (spec.offset or 0) * 1e-4, "_FillValue": np.uint16(0), "proj:epsg": spec.epsg}
    for resolution, names in NAMES_OF.items():
        axes = axes_of(spec, images["B04", resolution].shape, resolution)
        bands = {n.lower(): (("y", "x"), images[n, resolution], storage) for n in names if (n, resolution) in images}
        tree[f"measurements/reflectance/r{resolution}m"] = xr.Dataset(bands, axes)
        if (scl := images.get(("SCL", resolution))) is not None and resolution > 10:
            tree[f"conditions/mask/l2a_classification/r{resolution}m"] = xr.Dataset({"scl": (("y", "x"), scl)}, axes)
        if resolution == 20:
            masks = {n.lower(): (("y", "x"), images[n, 20]) for n in ("CLD", "SNW")}
            tree["quality/probability/r20m"] = xr.Dataset(masks, axes)
    tree["conditions/geometry"] = geometry(spec, grids or angle_grids(spec))
    properties = {
        "datetime": None,
        "start_datetime": spec.time,
        "platform": f"sentinel-{spec.platform[1:].lower()}",
        "processing:version": spec.baseline,
    }
    discovery = {"id": spec.name.removesuffix(".SAFE"), "properties": properties}
    root = {"stac_discovery": discovery, "other_metadata": {"horizontal_CRS_code": f"EPSG:{spec.epsg}"}} | attrs
    xr.DataTree.from_dict({"/": xr.Dataset(attrs=root), **tree}).to_zarr(path, zarr_format=zarr_format, consolidated=False)
    return path


def axes_of(spec: Spec, shape: tuple[int, ...], resolution: int) -> dict[str, np.ndarray]:
    return {
        "y": spec.corner[0] - resolution * (np.arange(shape[0]) + 0.5),
        "x": spec.corner[1] + resolution * (np.arange(shape[1]) + 0.5),
    }


def geometry(spec: Spec, grids: dict[str, np.ndarray]) -> xr.Dataset:
    sun = np.stack([grids["sun zenith"], grids["sun azimuth"]])
    view = np.stack([np.stack([grids[f"view {k} {d}"] for k in ("zenith", "azimuth")]) for d in (1, 2)])
    return xr.Dataset(
        {
            "sun_angles": (("angle", "y", "x"), sun),
            "viewing_incidence_angles": (("band", "detector", "angle", "y", "x"), np.stack([view, view])),
        },
        {
            "angle": np.array(["zenith", "azimuth"], object),  # fixed-length text has no Zarr 3 specification
            "y": spec.corner[0] - 5000 * np.arange(23),
            "x": spec.corner[1] + 5000 * np.arange(23),
            "band": np.array(["b02", "b8a"], object),
            "detector": [1, 2],
        },
    )
