"""A foreign Dataset, as its store holds it, to the names, dims, CRS and coordinates of a cube."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr

from xsentinel.bands import BANDS, SCENE_CLASSES, band_name, platform_name
from xsentinel.cube import STORAGE_ATTRS, band_variables, check_times
from xsentinel.errors import GridError, ReadError
from xsentinel.geometry import angle_variables, find_angles, platform_from_orbit, with_angle_attrs

DIM_ALIASES = {
    "time": ("time", "timestamp", "t", "date", "datetime", "dates"),
    "y": ("y", "northing", "lat", "latitude"),
    "x": ("x", "easting", "lon", "longitude"),
    "band": ("band", "bands", "variable"),
}

SCENE_CLASS_NAMES = ("scl", "scene_classification", "scene_class", "scene_classification_map")

PRODUCT_ID_NAMES = ("productid", "product_id", "product_uri", "platform", "s2:product_uri", "sentinel:product_id", "spacecraft")

STALE_ATTRS = ("crs", "crs_wkt", "grid_mapping", "proj:epsg", "epsg", "resolution", "res", "transform", "bounds", "platform")
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
        raise ReadError(f"{label} holds no Sentinel-2 band, scene classes or xsentinel product; it has {_list(ds.data_vars)}")
    check_times(ds)
    ds = _order(ds)
    return _write_crs(ds, crs)


def is_cube(ds: xr.Dataset) -> bool:
    """Tell whether a Dataset holds bands, scene classes or one of our products."""
    return bool(band_variables(ds)) or "SCL" in ds or any("xsentinel_version" in v.attrs for v in ds.data_vars.values())


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
    """Make a variable of each band of arrays that have a band dimension with names."""
    if "band" not in ds.dims or "band" not in ds.coords:
        return ds
    labels = [str(v) for v in ds["band"].values]
    stacked = [v for v in ds.data_vars if "band" in ds[v].dims]
    if not all(band_name(b) or b.lower() in SCENE_CLASS_NAMES for b in labels):
        return ds
    split = {b: ds[v].isel(band=i, drop=True) for v in stacked for i, b in enumerate(labels)}
    if len(split) < len(stacked) * len(labels):
        raise GridError(f"several variables have a band dimension ({_list(stacked)}); open or select one of them")
    return ds.drop_vars([*stacked, "band"]).assign(split)


def _rename_bands(ds: xr.Dataset) -> xr.Dataset:
    bands = band_variables(ds)
    ds = ds.rename({variable: name for name, variable in bands.items() if variable != name})
    return ds.assign({name: _tidy_band(ds[name]) for name in bands})


def _tidy_band(band: xr.DataArray) -> xr.DataArray:
    """Keep of a band's attributes how it is stored; take the rest from the table."""
    fact = BANDS[str(band.name)]
    attrs = {k: band.attrs[k] for k in STORAGE_ATTRS if k in band.attrs}
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
    out = (values.compute() if values.ndim < 2 else values).astype(np.float32)
    fill = values.attrs.get("_FillValue", np.nan)
    out = out.where(out != np.float32(fill)) * np.float32(values.attrs.get("scale_factor", 1)) + np.float32(
        values.attrs.get("add_offset", 0)
    )
    out.attrs = {k: v for k, v in values.attrs.items() if k in ("source", "comment")}
    return out


def _place_platform(ds: xr.Dataset, crs: Any, label: str) -> xr.Dataset:
    """Find each date's platform: in a product name, an attribute, the path, or the orbit's phase."""
    names, source = _named_platforms(ds, label)
    if names is None and "time" in ds.dims and crs is not None and ds.indexes["time"].dtype.kind == "M":
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
    if "time" in ds.indexes and not ds.indexes["time"].is_monotonic_increasing:
        ds = ds.sortby("time")
        ds.attrs["notes"] = "; ".join(filter(None, [ds.attrs.get("notes"), "times were not in order and have been sorted"]))
    return ds


def find_crs(ds: xr.Dataset) -> Any:
    """Give the CRS that a Dataset names in any of the usual ways, None if it names none."""
    import rioxarray  # noqa: F401  (registers .rio)
    from rasterio.crs import CRS

    mappings = [v for v in ds.variables if {"crs_wkt", "spatial_ref", "grid_mapping_name"} & set(ds[v].attrs)]
    for variable in mappings:
        attrs = ds[variable].attrs
        wkt = attrs.get("crs_wkt", attrs.get("spatial_ref"))
        if wkt:
            return _crs_of_wkt(wkt)
    for holder in (ds, *ds.data_vars.values()):
        for key in ("crs", "crs_wkt", "proj:code", "proj:epsg", "epsg"):
            if (value := holder.attrs.get(key)) is not None:
                code = re.search(r"(?:^|epsg:)\s*(\d{4,6})$", str(value).strip().lower())
                return CRS.from_epsg(int(code.group(1))) if code else CRS.from_user_input(value)
    return None


def _crs_of_wkt(wkt: str) -> Any:
    """Read WKT, by the code that it ends with where its parameters match no code (TOWGS84 and the like)."""
    from rasterio.crs import CRS

    crs = CRS.from_wkt(wkt)
    named = re.search(r'(?:AUTHORITY|ID)\["EPSG",\s*"?(\d+)"?\]\]\s*$', wkt)
    return CRS.from_epsg(int(named.group(1))) if named and crs.to_epsg() is None else crs


def _write_crs(ds: xr.Dataset, crs: Any) -> xr.Dataset:
    """Write spatial_ref as rioxarray does, and nothing else that speaks of a CRS."""
    mappings = [v for v in ds.variables if {"crs_wkt", "spatial_ref", "grid_mapping_name"} & set(ds[v].attrs)]
    ds = ds.drop_vars(mappings)
    ds.attrs = {k: v for k, v in ds.attrs.items() if k not in STALE_ATTRS}
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
