"""A foreign Dataset, as its store holds it, to the names, dims, CRS and coordinates of a cube."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from typing import Any, Literal

import numpy as np
import xarray as xr

from xsentinel.bands import BANDS, SCENE_CLASSES, band_name, platform_name
from xsentinel.cube import STORAGE_ATTRS, band_variables, check_times
from xsentinel.errors import BandError, GridError, ReadError
from xsentinel.geometry import angle_variables, find_angles, platform_from_orbit, with_angle_attrs
from xsentinel.io.maps import MAP_NAMES, check_maps

NAME_BANDS = "open(..., bands=['B02', 'B03', ...])"
"""How to name the bands of a GeoTIFF that does not."""

DIM_ALIASES = {
    "time": ("time", "timestamp", "t", "date", "datetime", "dates"),
    "y": ("y", "northing", "lat", "latitude"),
    "x": ("x", "easting", "lon", "longitude"),
    "band": ("band", "bands", "variable"),
}

SCENE_CLASS_NAMES = ("scl", "scene_classification", "scene_class", "scene_classification_map")

PRODUCT_ID_NAMES = ("productid", "product_id", "product_uri", "platform", "s2:product_uri", "sentinel:product_id", "spacecraft")

STALE_ATTRS = (
    "crs",
    "crs_wkt",
    "grid_mapping",
    "proj:epsg",
    "epsg",
    "resolution",
    "res",
    "transform",
    "bounds",
    "platform",
    "zarr_conventions",
)
"""Attributes that a cube says in its own way, or that resampling makes untrue."""


def understand(ds: xr.Dataset, label: str) -> xr.Dataset:
    """Bring a raw Dataset to a cube's form, values still as stored.

    Parameters
    ----------
    ds : xarray.Dataset
        Opened with ``mask_and_scale=False``.
    label : str
        What to call it in messages: its path.

    Raises
    ------
    ReadError
        If nothing of Sentinel-2 is in it.
    GridError, TimeError, BandError
        If dims, times or names are ambiguous.
    """
    ds = _split_bands(_rename_dims(ds.copy(), label))
    ds = _rename_bands(ds)
    crs = find_crs(ds)
    ds = _scene_classes(_place_angles(_place_platform(ds, crs, label)))
    if not is_cube(ds):
        advice = f"name its bands in order: {NAME_BANDS}" if _is_geotiff(label) else "if some are bands, rename them: ds.rename({...})"
        raise ReadError(f"{label} holds no Sentinel-2 band, scene classes or xsentinel product; it has {_list(ds.data_vars)}; {advice}")
    check_times(ds)
    check_maps(ds, label)
    ds = _order(ds)
    return _write_crs(ds, crs)


def is_cube(ds: xr.Dataset) -> bool:
    """Tell whether a Dataset holds bands, scene classes or one of our products."""
    return (
        bool(band_variables(ds))
        or "SCL" in ds
        or bool(set(MAP_NAMES) & set(ds.data_vars))
        or any("xsentinel_version" in v.attrs for v in ds.data_vars.values())
    )


def content(ds: xr.Dataset) -> Literal["optical", "radar", "other"]:
    """Tell what a raw Dataset holds, before its names are understood."""
    labels = [label for v in ds.data_vars.values() for label in (v.name, *_band_labels(v))]
    bands = [BANDS[name] for label in labels if (name := band_name(label)) is not None]
    if any(not b.is_radar for b in bands) or any(str(label).lower() in SCENE_CLASS_NAMES for label in labels):
        return "optical"
    return "radar" if bands else "other"


def _band_labels(values: xr.DataArray) -> list[str]:
    """Give the names along a band dimension: its coordinate, or long_name as rioxarray fills it; none if they are not of bands."""
    dim = next((d for d in values.dims if str(d).lower() in DIM_ALIASES["band"]), None)
    if dim is None:
        return []
    long_name = values.attrs.get("long_name", ())
    for labels in (values[dim].values if dim in values.coords else (), (long_name,) if isinstance(long_name, str) else long_name):
        if len(labels) == values.sizes[dim] and all(band_name(b) or str(b).lower() in SCENE_CLASS_NAMES for b in labels):
            return [str(b) for b in labels]
    return []


def _is_geotiff(label: str) -> bool:
    return label.lower().endswith((".tif", ".tiff"))


def _list(names: Any) -> str:
    return ", ".join(map(str, names)) or "no variables"


def _rename_dims(ds: xr.Dataset, label: str) -> xr.Dataset:
    renames: dict[Hashable, str] = {}
    for name, aliases in DIM_ALIASES.items():
        found = [d for d in ds.dims if str(d).lower() in aliases]
        if len(found) > 1:
            raise GridError(f"{label} has dimensions {_list(found)}, which all mean {name}; merge or drop one of them")
        if found and found[0] != name:
            renames[found[0]] = name
    return ds.rename(renames)


def _split_bands(ds: xr.Dataset) -> xr.Dataset:
    """Make a variable of each band of an array that has a band dimension with names."""
    stacked = {v: labels for v in ds.data_vars if (labels := _band_labels(ds[v]))}
    if not stacked:
        return ds
    if len(stacked) > 1:
        raise GridError(f"several variables have a band dimension ({_list(stacked)}); open or select one of them")
    ((variable, labels),) = stacked.items()
    repeated = sorted({label for label in labels if labels.count(label) > 1})
    if repeated:
        raise BandError(f"{variable} holds {_list(repeated)} more than once along band; drop or rename one of them")
    split = {label: ds[variable].isel(band=i, drop=True) for i, label in enumerate(labels)}
    return ds.drop_vars([variable, "band"], errors="ignore").assign(split)


def _rename_bands(ds: xr.Dataset) -> xr.Dataset:
    bands = band_variables(ds)
    ds = ds.rename({variable: name for name, variable in bands.items() if variable != name})
    others = {v: _tidy_other(ds[v]) for v in ds.data_vars if v not in bands}
    return ds.assign({name: _tidy_band(ds[name]) for name in bands} | others)


def _tidy_other(values: xr.DataArray) -> xr.DataArray:
    """Drop how a variable that is no band lay in its store; flags as CF wants them, of the variable's dtype."""
    out = values.copy(deep=False)
    mapping = out.encoding.get("grid_mapping")
    out.attrs.pop("_CRS", None)  # for GDAL
    out.encoding = {} if mapping is None else {"grid_mapping": mapping}
    if out.dtype.kind == "f" and np.isnan(out.attrs.get("_FillValue", 0)):
        del out.attrs["_FillValue"]
    lists = [k for k in ("flag_masks", "flag_values") if k in out.attrs and out.dtype.kind in "iu"]
    return out.assign_attrs({k: np.atleast_1d(out.attrs[k]).astype(out.dtype) for k in lists})


def _tidy_band(band: xr.DataArray) -> xr.DataArray:
    """Keep of a band's attributes how it is stored; take the rest from the table."""
    fact = BANDS[str(band.name)]
    attrs = {k: band.attrs[k] for k in STORAGE_ATTRS if k in band.attrs}
    if band.dtype.kind in "iu" and (attrs.get("scale_factor", 1), attrs.get("add_offset", 0)) == (1, 0):
        attrs = {k: v for k, v in attrs.items() if k not in ("scale_factor", "add_offset")}  # GDAL's words for not told
    out = band.astype(np.float32) if band.dtype == np.float64 else band.copy(deep=False)
    out.attrs = attrs | {"long_name": fact.long_name, "units": "dB" if fact.is_radar else "1"}
    if not fact.is_radar:
        out.attrs |= {"standard_name": "surface_bidirectional_reflectance", "radiation_wavelength_nm": fact.centre_nm}
    out.encoding = {}
    return out


def _scene_classes(ds: xr.Dataset) -> xr.Dataset:
    found = [v for v in ds.data_vars if str(v).lower() in SCENE_CLASS_NAMES]
    if not found:
        return ds
    if len(found) > 1:
        raise BandError(f"variables {_list(found)} all mean the scene classes; drop or rename one of them")
    raw = ds[found[0]]
    known = (raw >= 0) & (raw < len(SCENE_CLASSES))
    scl = raw.where(known, 0).astype(np.uint8)
    scl.attrs = scene_class_attrs()
    scl.encoding = {}
    return ds.drop_vars([found[0]]).assign(SCL=scl)


def scene_class_attrs() -> dict[str, object]:
    """Give the CF attributes of the scene classification layer."""
    return {
        "long_name": "scene classification",
        "flag_values": np.array([c.value for c in SCENE_CLASSES], np.uint8),
        "flag_meanings": " ".join(c.meaning for c in SCENE_CLASSES),
    }


def _place_angles(ds: xr.Dataset) -> xr.Dataset:
    """Make coordinates sza, vza and raa (and the azimuths) of what says so."""
    there = angle_variables(ds)
    if not there:
        return ds
    for variable in there.values():
        ds = ds.assign({variable: _unpack(ds[variable])})
    angles = find_angles(ds)
    azimuths = {n: with_angle_attrs(ds[there[n]].reset_coords(drop=True), n) for n in ("saa", "vaa") if n in there}
    return ds.drop_vars(list(there.values())).assign_coords(angles | azimuths)


def _unpack(values: xr.DataArray) -> xr.DataArray:
    out = (values.compute() if values.ndim < 2 else values).astype(np.float32, copy=False)
    if set(STORAGE_ATTRS) & set(values.attrs):
        scale, offset = np.float32(values.attrs.get("scale_factor", 1)), np.float32(values.attrs.get("add_offset", 0))
        out = out.where(out != np.float32(values.attrs.get("_FillValue", np.nan))) * scale + offset
    out.attrs = {k: v for k, v in values.attrs.items() if k in ("source", "comment")}
    return out


def _place_platform(ds: xr.Dataset, crs: Any, label: str) -> xr.Dataset:
    """Find each date's platform: in a product name, an attribute, the path, or the orbit's phase."""
    names, source = _named_platforms(ds, label)
    if names is None and content(ds) == "optical" and "time" in ds.indexes and crs is not None and ds.indexes["time"].dtype.kind == "M":
        latitude = _latitude(ds, crs)
        names, source = platform_from_orbit(ds["time"].values, latitude), "sensing time and orbit phase"
        if (names == "").all():
            return ds
    if names is None:
        return ds
    dims = ("time",) if names.ndim else ()
    attrs = {"long_name": "satellite platform", "source": source}
    return ds.drop_vars("platform", errors="ignore").assign_coords(platform=xr.Variable(dims, names, attrs))


def _named_platforms(ds: xr.Dataset, label: str) -> tuple[np.ndarray[Any, Any] | None, str]:
    for variable in ds.variables:
        values = ds[variable]
        if str(variable).lower() in PRODUCT_ID_NAMES and values.dims in ((), ("time",)):
            names = np.array([platform_name(v) or "" for v in np.atleast_1d(values.values)], "<U3").reshape(values.shape)
            if (names != "").any():
                return names, str(values.attrs.get("source", f"variable {variable}"))
    for key in PRODUCT_ID_NAMES:
        if (name := platform_name(ds.attrs.get(key, ""))) is not None:
            return np.array(name), f"attribute {key}"
    name = platform_name(re.split(r"[\\/]", label)[-1])
    return (np.array(name), "file name") if name else (None, "")


def _latitude(ds: xr.Dataset, crs: Any) -> float:
    from rasterio.warp import transform

    x, y = (float(ds[d].values[[0, -1]].mean()) for d in ("x", "y"))
    return float(transform(crs, "EPSG:4326", [x], [y])[1][0])


def _order(ds: xr.Dataset) -> xr.Dataset:
    """Bring dims to (time, y, x, others) and times into order, saying so."""
    lead = [d for d in ("time", "y", "x") if d in ds.dims]
    ds = ds.transpose(*lead, ...)
    places = np.argsort(ds["time"].values, kind="stable") if "time" in ds.indexes else np.arange(0)  # unknown dates last
    if (places != np.arange(places.size)).any():
        ds = ds.isel(time=places)
        ds.attrs["notes"] = "; ".join(filter(None, [ds.attrs.get("notes"), "times were not in order and have been sorted"]))
    return ds


def find_crs(ds: xr.Dataset) -> Any:
    """Give the CRS that a Dataset names in any of the usual ways, None if it names none.

    Raises
    ------
    GridError
        If what it names is no CRS.
    """
    import rioxarray  # noqa: F401  (registers .rio)
    from pyproj.exceptions import CRSError as ProjError
    from rasterio.errors import CRSError

    for told in _told_crs(ds):
        try:
            return _read_crs(told)
        except (CRSError, ProjError, ValueError) as err:
            text = str(told)[:60]
            raise GridError(f"{text!r} is no CRS that PROJ knows ({err}); write the right one: ds.rio.write_crs('EPSG:...')") from err
    return None


def _told_crs(ds: xr.Dataset) -> Iterator[Any]:
    """Give what speaks of a CRS: grid mapping variables, then attributes."""
    for variable in _grid_mappings(ds):
        attrs = ds[variable].attrs
        yield attrs.get("crs_wkt") or attrs.get("spatial_ref") or attrs
    for holder in (ds, *ds.data_vars.values()):
        yield from (holder.attrs[key] for key in ("crs", "crs_wkt", "proj:code", "proj:epsg", "epsg") if key in holder.attrs)


def _grid_mappings(ds: xr.Dataset) -> list[Hashable]:
    return [v for v in ds.variables if {"crs_wkt", "spatial_ref", "grid_mapping_name"} & set(ds[v].attrs)]


def _read_crs(told: Any) -> Any:
    """Read a code, WKT, or the parameters of a CF grid mapping.

    WKT is read by the code that it ends with where its parameters match no code (TOWGS84 and the like).
    """
    import pyproj
    from rasterio.crs import CRS

    if isinstance(told, dict):
        return CRS.from_wkt(pyproj.CRS.from_cf(told).to_wkt())
    code = re.search(r"(?:^|epsg:)\s*(\d{4,6})$", str(told).strip().lower())
    if code:
        return CRS.from_epsg(int(code.group(1)))
    crs = CRS.from_user_input(told)
    named = re.search(r'(?:AUTHORITY|ID)\["EPSG",\s*"?(\d+)"?\]\]\s*$', str(told))
    return CRS.from_epsg(int(named.group(1))) if named and crs.to_epsg() is None else crs


def _write_crs(ds: xr.Dataset, crs: Any) -> xr.Dataset:
    """Write spatial_ref as rioxarray does, and nothing else that speaks of a CRS."""
    ds = ds.drop_vars(_grid_mappings(ds))
    ds.attrs = {k: v for k, v in ds.attrs.items() if k not in STALE_ATTRS and not str(k).startswith(("proj:", "spatial:"))}
    for variable in ds.variables.values():
        variable.attrs.pop("grid_mapping", None)
        variable.encoding.pop("grid_mapping", None)
    ds = ds.assign_coords({d: _float_coordinate(ds[d]) for d in ("y", "x") if d in ds.coords})
    if crs is None:
        return ds
    placed: xr.Dataset = ds.rio.write_crs(crs).rio.write_coordinate_system()
    return placed


def _float_coordinate(values: xr.DataArray) -> xr.DataArray:
    return values.astype(np.float64)
