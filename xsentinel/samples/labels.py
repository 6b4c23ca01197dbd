"""Label maps on a cube's grid, from another raster: aggregated by a legend, borders eroded, lazily."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.blocks.tiles import Tiling, map_tiles
from xsentinel.cube import pixel_m, pixel_size
from xsentinel.errors import GridError, XSentinelError
from xsentinel.kernels.borders import keep_within
from xsentinel.kernels.morphology import footprint_widths
from xsentinel.samples.legends import Legend

Array = npt.NDArray[Any]

SPATIAL_REF = "spatial_ref"


@dataclass(frozen=True)
class Grid:
    """The pixels of a cube, and how lazily they come."""

    crs: Any
    """rasterio CRS."""
    transform: Any
    """Affine, of the outer corner of the first pixel."""
    shape: tuple[int, int]
    """Pixels along y and x."""
    chunks: tuple[tuple[int, ...], tuple[int, ...]] | None
    """Along y and x; None for a cube in memory."""

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north."""
        x = sorted((self.transform.c, self.transform.c + self.transform.a * self.shape[1]))
        y = sorted((self.transform.f, self.transform.f + self.transform.e * self.shape[0]))
        return x[0], y[0], x[1], y[1]


def grid_of(cube: xr.Dataset | xr.DataArray, what: str = "cube") -> Grid:
    """Read the grid of a cube, or of what else it is called in errors.

    Raises
    ------
    GridError
        If the CRS is not known or coordinates are not regular.
    """
    import rioxarray  # noqa: F401  (registers .rio)
    from affine import Affine

    crs = cube.rio.crs
    if crs is None:
        raise GridError(f"the CRS of the {what} is unknown, so where it lies is not known; .rio.write_crs('EPSG:...') tells it")
    dy, dx = pixel_size(cube)
    transform = Affine(dx, 0, float(cube["x"][0]) - dx / 2, 0, dy, float(cube["y"][0]) - dy / 2)
    holders = cube.data_vars.values() if isinstance(cube, xr.Dataset) else [cube]
    lazy = [h.variable.chunksizes for h in holders if {"y", "x"} <= set(h.variable.chunksizes)]
    chunks = (lazy[0]["y"], lazy[0]["x"]) if lazy else None
    return Grid(crs, transform, (cube.sizes["y"], cube.sizes["x"]), chunks)


def from_raster(
    raster: xr.DataArray, cube: xr.Dataset | xr.DataArray, *, legend: Legend, erode: float = 0.0, parcels: xr.DataArray | None = None
) -> xr.Dataset:
    """Bring a raster of labels to a cube's grid: nearest pixel, aggregated by a legend, borders eroded.

    A pixel keeps its label if all pixels whose centres lie within `erode` of its own have the same source value (or, with
    `parcels`, lie in the same parcel): crops are eroded before they are aggregated, as a border between two kinds of cereal
    is one between two fields. Beyond the edge of the cube there is no border.

    Parameters
    ----------
    raster : xarray.DataArray (y, x)
        Source values, with a CRS; its nodata and NaN are no label, and so is 0 if the legend's table says nothing of it.
    cube : xarray.Dataset or xarray.DataArray (…, y, x)
        Gives the grid, and the chunks if it is lazy.
    legend : Legend
        Which source values belong to which class.
    erode : float, m
        Distance to borders within which pixels lose their label.
    parcels : xarray.DataArray (y, x), integers, optional
        Number of the parcel at each pixel of the cube's own grid, 0 where there is none.

    Returns
    -------
    xarray.Dataset
        ``label`` (y, x), uint8 with CF flags, 0 for no label; and ``parcel`` (y, x), int64, if it was given.

    Raises
    ------
    GridError
        If a CRS is unknown, the raster does not touch the cube, or metres are not known.
    XSentinelError
        If the raster has values that the legend does not know (in a lazy cube: when these are computed).

    Examples
    --------
    >>> import rioxarray
    >>> from xsentinel import samples
    >>> raster = xr.DataArray([[1100, 1100, 1500, 1200]] * 3, {"y": [50, 30, 10], "x": [10, 30, 50, 70]}, ("y", "x")).rio.write_crs(32632)
    >>> legend = samples.legend({"Cereals": [1100, 1500], "Maize": [1200]})
    >>> from_raster(raster, raster, legend=legend, erode=20).label.values[1]
    array([1, 0, 0, 0], dtype=uint8)
    """
    if not 0 <= erode < math.inf:
        raise XSentinelError(f"erode is {erode} m; give 0 or more")
    grid = grid_of(cube)
    values = _on_grid(raster, cube, grid)
    if parcels is not None and (parcels.sizes["y"], parcels.sizes["x"]) != grid.shape:
        raise GridError(f"parcels are {dict(parcels.sizes)} and the cube {grid.shape[0]} y × {grid.shape[1]} x; bring them to its grid")
    label = _encoded(values, legend, "the raster" if raster.name is None else f"raster {raster.name}")
    if erode > 0:
        inside = _eroded(values if parcels is None else _like_chunks(parcels.data, grid), erode / pixel_m(_as_dataset(cube), "erode"))
        label = label * inside
    if parcels is not None:
        label = label * (_like_chunks(parcels.data, grid) != 0)
    out = {"label": (("y", "x"), label, legend.attrs | {"erode_m": float(erode)})}
    if parcels is not None:
        out["parcel"] = (("y", "x"), _like_chunks(parcels.data, grid).astype(np.int64), {"long_name": "parcel, 0 where there is none"})
    return placed(out, cube)


def placed(variables: dict[str, Any], cube: xr.Dataset | xr.DataArray) -> xr.Dataset:
    """Put variables (y, x) onto the coordinates of a cube."""
    ds = xr.Dataset(variables, {d: cube[d] for d in ("y", "x")})
    for variable in ds.data_vars.values():
        variable.encoding["grid_mapping"] = SPATIAL_REF
    written: xr.Dataset = ds.drop_vars([c for c in ds.coords if c not in ("y", "x")]).rio.write_crs(cube.rio.crs)
    return written


def _as_dataset(cube: xr.Dataset | xr.DataArray) -> xr.Dataset:
    return cube if isinstance(cube, xr.Dataset) else cube.to_dataset(name="cube")


def _like_chunks(data: Any, grid: Grid) -> Any:
    """Give data (y, x) the chunks of the cube, or bring it into memory if the cube is."""
    if grid.chunks is None:
        return np.asarray(data)
    import dask.array as da

    return da.asarray(data).rechunk(grid.chunks)


def _on_grid(raster: xr.DataArray, cube: xr.Dataset | xr.DataArray, grid: Grid) -> Any:
    """Give the raster's values on the cube's grid: as they are if it is the same, else those of the nearest pixels."""
    if isinstance(raster, str | PathLike):
        raise XSentinelError(
            f"the raster is the path {str(raster)!r}; open it first: rioxarray.open_rasterio({str(raster)!r}).squeeze('band', drop=True), "
            f"or xsentinel.open(...)['class'] of a map of ours"
        )
    if raster.ndim != 2 or set(raster.dims) != {"y", "x"}:
        raise GridError(f"the raster has dims {', '.join(map(str, raster.dims))}; labels are (y, x): squeeze or select others")
    raster = raster.transpose("y", "x")
    own = grid_of(raster, "raster")
    same = (
        own.shape == grid.shape
        and own.crs == grid.crs
        and np.allclose(own.transform, grid.transform, rtol=0, atol=abs(grid.transform.a) / 100)
    )
    nodata = _nodata(raster)
    if same:
        values = _like_chunks(raster.data, grid)
    else:
        _check_touch(own, grid)
        values = _like_chunks(_nearest(raster, cube, nodata), grid)
    if raster.dtype.kind == "f" or nodata is None or nodata == 0:
        return values
    return _block_map(partial(_without, nodata=nodata), values, values.dtype)


def _without(block: Array, nodata: float) -> Array:
    return np.where(block == nodata, 0, block).astype(block.dtype)


def _nodata(raster: xr.DataArray) -> float | None:
    given = next((raster.attrs[k] for k in ("_FillValue", "missing_value", "nodata", "NoData") if k in raster.attrs), raster.rio.nodata)
    return None if given is None or np.isnan(given) else float(given)


def _nearest(raster: xr.DataArray, cube: xr.Dataset | xr.DataArray, nodata: float | None) -> Any:
    """Resample to the cube's grid, nearest pixel."""
    from odc.geo.geobox import GeoBox
    from odc.geo.xr import xr_reproject

    grid = grid_of(cube)
    geobox = GeoBox(grid.shape, grid.transform, grid.crs.to_wkt())
    empty = np.nan if raster.dtype.kind == "f" else nodata or 0
    return xr_reproject(raster.odc.assign_crs(raster.rio.crs.to_wkt()), geobox, resampling="nearest", dst_nodata=empty).data


def _check_touch(own: Grid, grid: Grid) -> None:
    from rasterio.warp import transform_bounds

    west, south, east, north = transform_bounds(own.crs, grid.crs, *own.bounds)
    left, bottom, right, top = grid.bounds
    if west >= right or east <= left or south >= top or north <= bottom:
        raise GridError(
            f"the raster lies outside the cube: x {west:g}–{east:g}, y {south:g}–{north:g} in {grid.crs}, "
            f"the cube x {left:g}–{right:g}, y {bottom:g}–{top:g}; check that both are of one place and their CRS is right"
        )


def _block_map(function: Any, values: Any, dtype: Any) -> Any:
    if isinstance(values, np.ndarray):
        return function(values)
    import dask.array as da

    return da.map_blocks(function, values, dtype=dtype, meta=np.empty((0, 0), dtype))


def _encoded(values: Any, legend: Legend, what: str) -> Any:
    return _block_map(partial(legend.encode, what=what), values, np.uint8)


def _eroded(pieces: Any, radius: float) -> Any:
    """Tell where no other piece is within a radius, pixels."""
    widths = footprint_widths(radius * (1 + 1e-6), "disk")
    return map_tiles(partial(_within, widths=widths), pieces, Tiling(np.bool_, widths.size - 1))


def _within(block: Array, widths: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    whole = np.nan_to_num(block, nan=-1).astype(np.int64) if block.dtype.kind == "f" else block
    if whole.dtype.kind not in "iu":
        raise XSentinelError(f"the raster holds {block.dtype}; labels are integers, or whole numbers as float")
    return keep_within(np.ascontiguousarray(whole), widths)
