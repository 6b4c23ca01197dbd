"""EOPF Sentinel-2 products: Level-2A in Zarr, groups of measurements, conditions and quality."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xsentinel.bands import BANDS, SCALE_FACTOR, band_name, platform_name
from xsentinel.cube import band_variables
from xsentinel.errors import GridError, ReadError
from xsentinel.io.angle_layers import AngleLayer, Name, TileAngles
from xsentinel.io.container import names_in_zip
from xsentinel.io.images import BLOCK, lazy
from xsentinel.io.offset import DARK_BANDS, DARK_SHARE, Claim, Harmonise, settle_shift, shifted
from xsentinel.io.safe_metadata import AngleGrid
from xsentinel.io.source import Chunks, Raw
from xsentinel.kernels.angles import mean_azimuth, mean_zenith

FORM = "EOPF (Sentinel-2 Level-2A .zarr folder or .zip)"

REFLECTANCE = "measurements/reflectance"

BESIDE = {
    "conditions/mask/l2a_classification": {"scl": "SCL"},
    "quality/probability": {"cld": "CLD", "snw": "SNW"},
}
"""Groups with a subgroup a resolution that hold more than bands."""


@dataclass(frozen=True, eq=False)
class Product:
    """One product, opened."""

    label: str
    root: xr.DataTree
    time: np.datetime64
    platform: str
    baseline: str
    crs: str

    def group(self, path: str) -> xr.Dataset | None:
        """Give a group's variables, None if there is no such group."""
        node = self.root
        for part in path.split("/"):
            if part not in node.children:
                return None
            node = node.children[part]
        return node.to_dataset(inherit=False)


def is_eopf(path: Path) -> bool:
    """Tell by the groups that every product has."""
    if path.is_dir():
        return (path / REFLECTANCE).is_dir()
    if path.suffix.lower() != ".zip" or not zipfile.is_zipfile(path):
        return False
    return any(n.startswith(f"{REFLECTANCE}/") for n in names_in_zip(path))


def raws_of_eopf(paths: list[Path], chunks: Chunks, harmonise: Harmonise) -> list[Raw]:
    """Give one Raw a resolution, the products along time, offsets brought to the lowest.

    Raises
    ------
    ReadError
        If a product is broken, or of another sensor or level.
    GridError
        If products are of several tiles.
    UnitsError
        If an offset contradicts the pixels.
    """
    products = sorted((_open(p) for p in paths), key=lambda p: p.time)
    if len({p.time for p in products}) < len(products):
        products = list({p.time: p for p in sorted(products, key=lambda p: p.baseline)}.values())
        products.sort(key=lambda p: p.time)
    shifts = [_shift(p, harmonise) for p in products]
    resolutions = [r for r in (10, 20, 60) if all(p.group(f"{REFLECTANCE}/r{r}m") is not None for p in products)]
    if not resolutions:
        raise ReadError(f"{products[0].label} has no group {REFLECTANCE}/r10m, r20m or r60m with bands; download it again")
    raws = []
    for resolution in resolutions:
        parts = [_dataset(p, resolution, (shift, min(shifts)), chunks) for p, shift in zip(products, shifts, strict=True)]
        raws.append(Raw(_stack(parts), products[0].label))
    return raws


def _open(path: Path) -> Product:
    """Open a product; arrays are xarray's lazy ones, so that looking at a few starts no scheduler."""
    from zarr.storage import LocalStore, ZipStore

    store: Any = ZipStore(path, mode="r") if path.is_file() else LocalStore(path, read_only=True)
    try:
        root = xr.open_datatree(store, engine="zarr", chunks=None, mask_and_scale=False, decode_times=False, consolidated=False)
        return _understood(path, root)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
        if isinstance(err, ReadError):
            raise
        raise ReadError(f"{path} has the groups of an EOPF product but cannot be opened: {err}; download it again") from err


def _understood(path: Path, root: xr.DataTree) -> Product:
    """Read what stands at the root."""
    discovery, other = (root.attrs.get(k) or {} for k in ("stac_discovery", "other_metadata"))
    properties = discovery.get("properties", {})
    about = f"{discovery.get('id', '')} {path.name}"
    if "L1C" in about or "MSIL1C" in str(properties.get("product:type", "")):
        raise ReadError(f"{path} is of Level-1C, reflectance at the top of the atmosphere; take the Level-2A product of the same time")
    platform = platform_name(properties.get("platform", "")) or platform_name(about)
    if platform is None:
        raise ReadError(f"{path} is not of Sentinel-2 (platform {properties.get('platform')!r}); xsentinel reads S2A, S2B and S2C")
    told = properties.get("start_datetime") or properties.get("datetime")
    if told is None:
        raise ReadError(f"{path} tells no datetime in stac_discovery; download it again")
    crs = other.get("horizontal_CRS_code") or properties.get("proj:code") or properties.get("proj:epsg") or _crs_of_bands(root)
    if crs is None:
        raise ReadError(f"{path} tells no CRS (proj:epsg, horizontal_CRS_code); download it again")
    text = str(crs) if ":" in str(crs) else f"EPSG:{crs}"
    time = np.datetime64(str(told).removesuffix("Z").removesuffix("+00:00"), "ns")
    baseline = str(properties.get("processing:version", properties.get("s2:processing_baseline", "")))
    return Product(str(path), root, time, platform, baseline, text)


def _crs_of_bands(root: xr.DataTree) -> Any:
    return next((v.attrs["proj:epsg"] for node in root.subtree for v in node.data_vars.values() if "proj:epsg" in v.attrs), None)


def _shift(product: Product, harmonise: Harmonise) -> int:
    """Settle the counts to add: add_offset of the bands, held against the pixels."""
    told = set()
    for resolution in (60, 20, 10):
        group = product.group(f"{REFLECTANCE}/r{resolution}m")
        for variable in band_variables(group).values() if group is not None else ():
            attrs = _stored_attrs(group[variable]) if group is not None else {}
            told.add(round(attrs.get("add_offset", 0) / attrs.get("scale_factor", SCALE_FACTOR)))
    source = f"add_offset of its bands ({', '.join(map(str, sorted(told)))} counts)"
    return settle_shift(Claim(product.label, next(iter(told)) if len(told) == 1 else None, source), harmonise, lambda: _dark(product))


def _stored_attrs(values: xr.DataArray) -> dict[str, Any]:
    """Give scale and offset, which older products keep below _eopf_attrs."""
    inner = values.attrs.get("_eopf_attrs")
    return (inner if isinstance(inner, dict) else {}) | values.attrs


def _dark(product: Product) -> Iterator[tuple[str, float]]:
    for band in DARK_BANDS:
        for resolution in (60, 20, 10):
            group = product.group(f"{REFLECTANCE}/r{resolution}m")
            variable = None if group is None else band_variables(group).get(band)
            if group is None or variable is None:
                continue
            counts = group[variable].values
            if (there := counts[counts != 0]).size:
                yield band, float(np.percentile(there, DARK_SHARE))
            break


def _chunked(group: xr.Dataset, chunks: Chunks) -> xr.Dataset:
    """Put arrays into dask, in the store's own chunks where no others are asked for."""
    if chunks is None:
        return group
    own: dict[Any, int] = next((v.encoding.get("preferred_chunks", {}) for v in group.data_vars.values()), {})
    return group.chunk({d: chunks.get(d, own.get(d, n)) for d, n in group.sizes.items()})


def _dataset(product: Product, resolution: int, shifts: tuple[int, int], chunks: Chunks) -> xr.Dataset:
    """Bring one resolution of a product to the form of a Raw; ``shifts`` are its own and the lowest of all."""
    shift, lowest = shifts
    found = product.group(f"{REFLECTANCE}/r{resolution}m")
    assert found is not None
    group = _chunked(found, chunks)
    variables = {name: _counts(group[v], shift - lowest) for name, v in band_variables(group).items()}
    for path, names in BESIDE.items():
        beside = product.group(f"{path}/r{resolution}m")
        if beside is not None:
            more = _chunked(beside, chunks)
            variables |= {new: more[old].drop_attrs() for old, new in names.items() if old in more}
    ds = xr.Dataset({n: v.variable for n, v in variables.items()}, {d: _axis(group, d, product) for d in ("y", "x")}).expand_dims("time")
    attrs = {"scale_factor": SCALE_FACTOR, "add_offset": lowest * SCALE_FACTOR, "_FillValue": np.uint16(0)}
    ds = ds.assign({n: ds[n].drop_attrs().assign_attrs(attrs if n in BANDS else {}) for n in ds.data_vars})
    ds = ds.assign_coords(
        time=[product.time],
        platform=("time", [product.platform], {"source": "product metadata"}),
        processing_baseline=("time", [product.baseline], {"long_name": "processing baseline"}),
    )
    return ds.assign_coords(_angles(product, ds)).assign_attrs(crs=product.crs)


def _axis(group: xr.Dataset, dim: str, product: Product) -> Any:
    if dim not in group.coords:
        raise ReadError(f"{product.label} has bands without the coordinate {dim}; download it again")
    return group[dim].values.astype(np.float64)


def _counts(values: xr.DataArray, by: int) -> xr.DataArray:
    if values.dtype != np.uint16:
        raise ReadError(f"band {band_name(values.name)} is stored as {values.dtype}, and an EOPF product's are uint16; open it with xarray")
    return shifted(values, by)


def _angles(product: Product, ds: xr.Dataset) -> dict[str, Any]:
    """Interpolate the geometry group's nodes to pixels; none if there is no such group."""
    group = product.group("conditions/geometry")
    if group is None or not {"sun_angles", "viewing_incidence_angles"} <= set(group.data_vars):
        return {}
    kinds = [str(k) for k in group["angle"].values]
    sun = group["sun_angles"].transpose("angle", "y", "x").values.astype(np.float64)
    view = group["viewing_incidence_angles"].transpose("angle", "band", "detector", "y", "x").values.astype(np.float64)
    zenith, azimuth = kinds.index("zenith"), kinds.index("azimuth")
    zeniths = mean_zenith(np.stack([mean_zenith(b) for b in view[zenith]]))
    azimuths = mean_azimuth(np.stack([mean_azimuth(b) for b in view[azimuth]]))
    y, x = group["y"].values.astype(np.float64), group["x"].values.astype(np.float64)
    grid = AngleGrid((abs(y[1] - y[0]), abs(x[1] - x[0])), sun[zenith], sun[azimuth], zeniths, azimuths)
    step = abs(float(ds["x"][1] - ds["x"][0]))
    top, left = float(ds["y"][0]) + step / 2, float(ds["x"][0]) - step / 2
    size = int((y.size - 1) * grid.step_m[0] / step), int((x.size - 1) * grid.step_m[1] / step)
    tile = TileAngles(grid, round((top - y[0]) / step), round((x[0] - left) / step), size)
    shape = (1, ds.sizes["y"], ds.sizes["x"])
    names: tuple[Name, ...] = ("sza", "vza", "raa")
    source = {"source": "geometry group, mean of detectors and bands"}
    return {n: (("time", "y", "x"), lazy(AngleLayer(((tile,),), n, shape, step), (BLOCK, BLOCK), {}), source) for n in names}


def _stack(parts: list[xr.Dataset]) -> xr.Dataset:
    """Put products along time."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    for part in parts[1:]:
        if part.attrs["crs"] != first.attrs["crs"] or not all(part[d].equals(first[d]) for d in ("y", "x")):
            raise GridError("EOPF products of several tiles come as one list; open each tile apart, then xarray.combine_by_coords")
    names = [n for n in first.data_vars if all(n in p for p in parts)]
    return xr.concat([p[names] for p in parts], "time", combine_attrs="override", coords="minimal", compat="override", join="exact")
