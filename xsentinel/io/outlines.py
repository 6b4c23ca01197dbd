"""Parcels in Zarr and NetCDF: outlines as text, in hexadecimal well-known binary, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.errors import GridError, ReadError, WriteError
from xsentinel.io.source import Raw

PARCEL, GEOMETRY = "parcel", "geometry"

MARK, KIND = "geometry_encoding", "WKB, hexadecimal"
"""Attribute of outlines that are text; PostGIS, shapely and geopandas read it (``shapely.from_wkb``)."""


def has_outlines(ds: xr.Dataset) -> bool:
    """Tell whether a Dataset is of parcels with their outlines, in memory."""
    return GEOMETRY in ds.coords and ds[GEOMETRY].dtype == object and ds[GEOMETRY].dims == (PARCEL,)


def encode_outlines(ds: xr.Dataset) -> xr.Dataset:
    """Turn the outlines of parcels to text that any store holds, hexadecimal well-known binary; other Datasets stay as they are.

    Raises
    ------
    WriteError
        If another coordinate of parcels holds neither text nor numbers.
    """
    if not has_outlines(ds):
        return ds
    import shapely

    told = dict(ds[GEOMETRY].attrs) | {MARK: KIND}
    text = np.asarray(shapely.to_wkb(ds[GEOMETRY].values, hex=True), object)
    columns = {c: (v.dims, _text(v.values, str(c)), v.attrs) for c, v in ds.coords.items() if v.dtype == object and c != GEOMETRY}
    return ds.assign_coords({GEOMETRY: (PARCEL, text, told)} | columns)


def _text(values: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """Give text, '' where there is none; stores have no other kind of object."""
    missing = np.array([v is None or v != v for v in values.tolist()])
    odd = [v for v, gone in zip(values.tolist(), missing, strict=True) if not gone and not isinstance(v, str)]
    if odd:
        raise WriteError(
            f"{name} holds {type(odd[0]).__name__} such as {odd[0]!r:.40}; stores hold text or numbers: make it so, or drop it"
        )
    return np.where(missing, "", values).astype(object)


def parcels_in(raws: list[Raw]) -> xr.Dataset | None:
    """Give the Dataset of parcels that a store holds, decoded, None if it holds none.

    Raises
    ------
    ReadError
        If outlines are no geometries.
    GridError
        If it is to be joined with others.
    """
    tables = [raw for raw in raws if PARCEL in raw.ds.dims and GEOMETRY in raw.ds.variables and MARK in raw.ds[GEOMETRY].attrs]
    if not tables:
        return None
    if len(raws) > 1:
        raise GridError(f"{tables[0].label} holds parcels, which cannot be joined with {len(raws) - 1} other sources; open it apart")
    import shapely

    ds = xr.decode_cf(tables[0].ds)
    packed = [v for v in ds.data_vars if ds[v].dtype == np.float64 and tables[0].ds[v].dtype.kind in "iu"]
    ds = ds.assign({v: ds[v].astype(np.float32) for v in packed})
    ds = ds.assign_coords({c: v.astype(object) if v.dtype.kind in "UT" else v for c, v in ds.coords.items()})
    ds = ds.assign_coords({c: v.compute() for c, v in ds.coords.items() if v.chunks is not None})
    told = {k: v for k, v in ds[GEOMETRY].attrs.items() if k != MARK}
    try:
        shapes = shapely.from_wkb(ds[GEOMETRY].values)
    except (shapely.errors.GEOSException, TypeError) as err:
        raise ReadError(f"{tables[0].label} holds outlines that are no geometries: {err}; write it again") from err
    return ds.assign_coords({GEOMETRY: (PARCEL, shapes, told)})
