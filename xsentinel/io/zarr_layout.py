"""How a Zarr store is cut, and the attributes by which others find its place on the map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import xarray as xr

from xsentinel.cube import pixel_size
from xsentinel.errors import GridError, WriteError

Layout = Literal["series", "map"]


@dataclass(frozen=True)
class Cut:
    """Sizes of chunks and of the shards that hold them."""

    dates: int
    """Dates a chunk and shard."""
    pixels: int
    """Pixels a chunk along y and x."""
    shard_pixels: int
    """Pixels a shard along y and x, a multiple."""


LAYOUTS = {"series": Cut(128, 64, 512), "map": Cut(1, 512, 2048)}
"""A pixel's years in one chunk of 2 MiB; or a date's map in chunks of 1 MiB; shards of 16 to 128 MiB of float32."""

CONVENTIONS = [
    {
        "name": name,
        "uuid": uuid,
        "schema_url": f"https://raw.githubusercontent.com/zarr-conventions/{repository}/refs/tags/v1/schema.json",
        "spec_url": f"https://github.com/zarr-conventions/{repository}/blob/v1/README.md",
        "description": description,
    }
    for name, repository, uuid, description in (
        ("proj:", "geo-proj", "f17cb550-5864-4468-aeb7-f3180cfb622f", "Coordinate reference system information for geospatial data"),
        ("spatial:", "spatial", "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4", "Spatial coordinate information"),
    )
]
"""The conventions of GeoZarr that the attributes follow."""


def check_layout(layout: str | None) -> None:
    """Check the option.

    Raises
    ------
    WriteError
        If it is no layout.
    """
    if layout is not None and layout not in get_args(Layout):
        raise WriteError(f"layout is {layout!r}; it is one of {', '.join(get_args(Layout))}, or None for the chunks that the cube has")


def cut_for(ds: xr.Dataset, layout: Layout, zarr_format: int) -> tuple[xr.Dataset, dict[str, Any]]:
    """Give a Dataset chunked by what is written at once, and the encoding of its chunks and shards."""
    cut = LAYOUTS[layout]
    outer = {"y": cut.shard_pixels, "x": cut.shard_pixels} if zarr_format == 3 else {"y": cut.pixels, "x": cut.pixels}
    whole = {"time": min(cut.dates, max(1, ds.sizes.get("time", 1)))} | outer
    encoding = {}
    for name, values in on_grid(ds).items():
        sizes = {d: whole.get(str(d), n) for d, n in values.sizes.items()}
        inner = {d: cut.pixels if d in ("y", "x") else n for d, n in sizes.items()}
        encoding[name] = {"chunks": tuple(inner.values())} | ({"shards": tuple(sizes.values())} if zarr_format == 3 else {})
    return rechunk(ds, whole), encoding


def on_grid(ds: xr.Dataset) -> dict[str, xr.Variable]:
    """Give what lies on the grid, coordinates such as angles too: all of it is cut alike, as xarray asks when it is read."""
    return {str(n): v for n, v in ds.variables.items() if {"y", "x"} <= set(v.dims)}


def rechunk(ds: xr.Dataset, sizes: dict[Any, int]) -> xr.Dataset:
    """Cut what is lazy, and nothing else: text of a dask array cannot be written."""
    cut = {n: v.chunk({d: s for d, s in sizes.items() if d in v.dims}) for n, v in ds.variables.items() if v.chunks is not None}
    coords = {n: v for n, v in cut.items() if n in ds.coords}
    return ds.assign({n: v for n, v in cut.items() if n not in coords}).assign_coords(coords)


def geo_attrs(ds: xr.Dataset) -> dict[str, Any]:
    """Give the GeoZarr attributes of a group: CRS, transform, shape; none if the place is not known."""
    import rioxarray  # noqa: F401  (registers .rio)

    try:
        dy, dx = pixel_size(ds)
    except GridError:
        return {}
    if ds.rio.crs is None:
        return {}
    x, y = float(ds["x"][0]) - dx / 2, float(ds["y"][0]) - dy / 2
    rows, columns = ds.sizes["y"], ds.sizes["x"]
    ends = sorted((x, x + dx * columns)), sorted((y, y + dy * rows))
    epsg = ds.rio.crs.to_epsg()
    return {
        "zarr_conventions": CONVENTIONS,
        **({"proj:code": f"EPSG:{epsg}"} if epsg else {}),
        "proj:wkt2": ds.rio.crs.to_wkt(version="WKT2_2019"),
        "spatial:dimensions": ["y", "x"],
        "spatial:transform_type": "affine",
        "spatial:transform": [dx, 0.0, x, 0.0, dy, y],
        "spatial:shape": [rows, columns],
        "spatial:bbox": [ends[0][0], ends[1][0], ends[0][1], ends[1][1]],
        "spatial:registration": "pixel",
    }


def with_gdal_crs(ds: xr.Dataset) -> xr.Dataset:
    """Write the CRS on each array as GDAL's Zarr driver looks for it; QGIS reads by it."""
    import rioxarray  # noqa: F401  (registers .rio)

    if ds.rio.crs is None:
        return ds
    told = {"wkt": ds.rio.crs.to_wkt(version="WKT2_2019")}
    return ds.assign({v: ds[v].assign_attrs(_CRS=told) for v in ds.data_vars if {"y", "x"} <= set(ds[v].dims)})
