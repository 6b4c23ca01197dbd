"""Statistics of parcels: each polygon's pixels, weighted by the share that it covers, at every date."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.blocks.zones import over_zones
from xsentinel.cube import STORAGE_ATTRS, check_times, nodata_code
from xsentinel.errors import XSentinelError
from xsentinel.kernels.scale import decode
from xsentinel.kernels.threads import n_cores
from xsentinel.kernels.zonal import MOMENTS, Zones, majorities, moments, quantiles
from xsentinel.samples.files import Polygons, as_polygons
from xsentinel.samples.labels import Grid, grid_of
from xsentinel.samples.polygons import check_polygons, in_pixels, outlines_on

if TYPE_CHECKING:
    import geopandas as gpd

Array = npt.NDArray[Any]

DEFAULT = ("mean", "std", "p10", "count")

SAID = {
    "count": "number of pixels with data, by the share that the parcel covers",
    "valid": "share of the parcel's area with data",
    "mean": "mean",
    "std": "standard deviation",
    "min": "minimum",
    "max": "maximum",
    "sum": "sum",
    "median": "median",
    "majority": "value of the largest area",
}
"""Statistics by name → what they are; beside them ``p0`` … ``p100``, percentiles."""


class Wanted(NamedTuple):
    """Statistics that are asked for."""

    names: tuple[str, ...]
    quantiles: tuple[float, ...]
    """Of those that are percentiles, in order."""


def parcels(
    data: xr.Dataset | xr.DataArray,
    polygons: Polygons,
    *,
    stats: Sequence[str] = DEFAULT,
    coverage: bool = True,
    name: str | None = None,
) -> xr.Dataset:
    r"""Summarise maps over parcels: one row a polygon, one value a date.

    Each pixel counts by the share of it that the polygon covers, as exactextract tells it; the share is worked out once for
    all dates, not once a date. With :math:`w_i` the shares of pixels with data:

    .. math:: n = \sum w_i, \quad \bar x = \sum w_i x_i / n, \quad s = \sqrt{\sum w_i (x_i - \bar x)^2 / n}

    and percentiles weighted likewise (type 7, which with equal weights is numpy's).

    Parameters
    ----------
    data : xarray.Dataset or xarray.DataArray ([time,] y, x)
        Maps with a CRS; integers with ``scale_factor`` are decoded, their nodata and NaN left out. Of a Dataset all
        variables with y and x, but bit flags; of maps of classes no statistic but count, valid and majority. Lazy ones
        stay so: a task holds the window of some parcels and one chunk of dates.
    polygons : geopandas.GeoDataFrame, GeoSeries or path
        Polygons and multi-polygons of any CRS, brought to that of the maps; or the file that they are in (.gpkg, .geojson,
        .shp, .parquet).
    stats : sequence of str
        Of "mean", "std", "min", "max", "sum", "count" (pixels with data), "valid" (share of the area with data), "median",
        "p0" … "p100" (percentiles), "majority" (of classes).
    coverage : bool
        Whether pixels count by the covered share; else those count whole whose centre lies inside.
    name : str, optional
        Column whose values name the parcels; the table's index if not given.

    Returns
    -------
    xarray.Dataset
        Each statistic as (parcel, time), float32, in the units of the map; of a Dataset each is named ``<variable>_<statistic>``.
        NaN where a parcel shows nothing. Coordinates: ``parcel``, ``geometry`` (in the CRS of the maps, its attribute
        ``crs``; ``ds.swap_dims(parcel="geometry").xvec.set_geom_indexes("geometry", crs=ds.geometry.crs)`` gives xvec's), and
        the table's other columns. ``ds.s2.to_table()`` makes a GeoDataFrame of it.

    Raises
    ------
    GridError
        If a CRS is unknown, or no polygon touches the maps.
    XSentinelError
        If geometries are empty, invalid or no polygons, a statistic is not known, or names repeat.

    References
    ----------
    Baston, exactextract, https://github.com/isciences/exactextract.

    Examples
    --------
    >>> import geopandas, shapely
    >>> import xsentinel as xs
    >>> lai = xs.sample("zurich", resolution=20).s2.lai().lai
    >>> x, y = float(lai.x[10]), float(lai.y[10])
    >>> fields = geopandas.GeoDataFrame({"crop": ["maize"]}, geometry=[shapely.box(x, y - 100, x + 60, y)], crs=lai.rio.crs)
    >>> found = parcels(lai, fields)
    >>> list(found), found["count"].values.tolist(), found.crop.values.tolist()
    (['mean', 'std', 'p10', 'count'], [[15.0]], ['maize'])
    """
    wanted, layers, polygons = _wanted(stats), _layers(data), as_polygons(polygons)
    check_polygons(polygons)
    grid = grid_of(data)
    outline, _ = outlines_on(polygons, grid)
    shapes = _placed(outline, grid)
    found: dict[str, xr.DataArray] = {}
    for layer in layers:
        own, dims = _fitting(wanted, layer), ("parcel", "time") if "time" in layer.dims else ("parcel",)
        if own.names:
            values = _summarised(layer, shapes, grid, own, coverage)
        for k, stat in enumerate(own.names):
            key = f"{layer.name}_{stat}" if isinstance(data, xr.Dataset) else stat
            found[key] = xr.DataArray(values[k], dims=dims, attrs=_attrs(layer, stat))
    if not found:
        raise XSentinelError(f"of maps of classes {', '.join(stats)} say nothing; give stats=('majority', 'valid')")
    times = next((la["time"] for la in layers if "time" in la.dims), None)
    coords = _coords(polygons, outline, name) | ({} if times is None else {"time": times.variable})
    attrs = data.attrs if isinstance(data, xr.Dataset) else {}
    return xr.Dataset(found, coords, attrs | {"coverage": "exact" if coverage else "centres"})


def _wanted(stats: Sequence[str]) -> Wanted:
    """Read the names of statistics."""
    if isinstance(stats, str):
        stats = (stats,)
    known = {f"p{q}" for q in range(101)} | set(SAID)
    unknown = [s for s in stats if s not in known]
    if unknown or not len(stats) or len(set(stats)) < len(stats):
        raise XSentinelError(
            f"stats are {list(stats)}; give each once, of {', '.join(SAID)}, and percentiles such as 'p10'"
            + (f"; {', '.join(map(repr, unknown))} are not known" if unknown else "")
        )
    return _with_quantiles(stats)


def _with_quantiles(stats: Sequence[str]) -> Wanted:
    shares = [_share(stat) for stat in stats]
    return Wanted(tuple(stats), tuple(share for share in shares if share is not None))


def _fitting(wanted: Wanted, layer: xr.DataArray) -> Wanted:
    """Give the statistics that make sense of a map: of codes no mean, of bits nothing."""
    if "flag_masks" in layer.attrs:
        return Wanted((), ())
    if "flag_values" in layer.attrs:
        return _with_quantiles([s for s in wanted.names if s in ("count", "valid", "majority")])
    return wanted


def _share(stat: str) -> float | None:
    """Give the quantile of a percentile, None of other statistics."""
    if stat == "median":
        return 0.5
    return int(stat[1:]) / 100 if stat[1:].isdigit() else None


def _layers(data: xr.Dataset | xr.DataArray) -> list[xr.DataArray]:
    """Give the maps, each ([time,] y, x)."""
    every = list(data.data_vars.values()) if isinstance(data, xr.Dataset) else [data]
    maps = [a for a in every if {"y", "x"} <= set(a.dims)]
    if not maps:
        names = ", ".join(str(a.name) for a in every)
        raise XSentinelError(f"there is no map (y, x) to summarise; the data have {names or 'nothing'}")
    odd = [a for a in maps if set(a.dims) - {"time", "y", "x"} or a.dtype.kind not in "iufb"]
    if odd:
        a = odd[0]
        raise XSentinelError(f"{a.name} has dims {', '.join(map(str, a.dims))} of {a.dtype}; parcels takes numbers ([time,] y, x): select")
    check_times(data)
    return [a.transpose(*(d for d in ("time", "y", "x") if d in a.dims)) for a in maps]


def _placed(outline: gpd.GeoSeries, grid: Grid) -> Array:
    """Give polygons in (column, −row) of the grid, in which any grid is north up with pixels of 1."""
    import shapely

    placed: Array = shapely.transform(in_pixels(outline.to_numpy(), grid), lambda xy: xy * (1, -1))
    return placed


def _summarised(layer: xr.DataArray, shapes: Array, grid: Grid, wanted: Wanted, coverage: bool) -> Any:
    """Give (statistic, parcel[, time]), float32, numpy or dask as the map."""
    timed = "time" in layer.dims
    data = layer.data if timed else layer.data[None]
    nodata = nodata_code(layer)
    storage = float(layer.attrs.get("scale_factor", 1)), float(layer.attrs.get("add_offset", 0)), np.nan if nodata is None else nodata
    run = _Summary(wanted, storage, n_cores() if isinstance(data, np.ndarray) else 1)
    out = over_zones(run, data, shapes, len(wanted.names), coverage=coverage)
    return out if timed else out[..., 0]


@dataclass(frozen=True)
class _Summary:
    """A window of maps and the parcels in it → (statistic, parcel, time)."""

    wanted: Wanted
    storage: tuple[float, float, float]
    """Scale, offset, nodata."""
    n_threads: int = 1

    def __call__(self, block: Array, zones: Zones) -> npt.NDArray[np.float32]:
        scale, offset, nodata = self.storage
        values = decode(np.ascontiguousarray(block), scale, offset, nodata) if (scale, offset) != (1, 0) or nodata == nodata else block
        flat = np.ascontiguousarray(values, np.float32).reshape(len(block), -1)
        basic, found = dict(zip(MOMENTS, moments(flat, zones, self.n_threads).transpose(2, 0, 1), strict=True)), {}
        levels = quantiles(flat, zones, np.array(self.wanted.quantiles), self.n_threads) if self.wanted.quantiles else None
        area = np.add.reduceat(np.append(zones.weights, 0).astype(np.float64), zones.starts[:-1]) * (np.diff(zones.starts) > 0)
        ranks = iter(range(len(self.wanted.quantiles)))
        for stat in self.wanted.names:
            if stat == "valid":
                found[stat] = basic["count"] / np.where(area > 0, area, np.nan)[:, None]
            elif stat == "majority":
                found[stat] = majorities(flat, zones, self.n_threads)
            else:
                found[stat] = basic[stat] if stat in basic else levels[..., next(ranks)]  # type: ignore[index]
        return np.stack([found[s] for s in self.wanted.names]).astype(np.float32)


def _attrs(layer: xr.DataArray, stat: str) -> dict[Hashable, Any]:
    """Give the CF attributes of a statistic."""
    what = layer.attrs.get("long_name", "value" if layer.name is None else layer.name)
    if stat in ("count", "valid"):
        return {"long_name": SAID[stat], "units": "1"}
    flags = {"flag_values", "flag_meanings", "flag_colors", "flag_masks"}
    kept = {k: v for k, v in layer.attrs.items() if k not in {*STORAGE_ATTRS, "grid_mapping", "ancillary_variables", "standard_name"}}
    own = kept if stat == "majority" else {k: v for k, v in kept.items() if k not in flags}
    words = SAID.get(stat, f"{stat[1:]}th percentile")
    return own | {"long_name": f"{words} of {what} over the parcel", "cell_methods": f"area: {words.replace(' ', '_')}"}


def _coords(polygons: gpd.GeoDataFrame, outline: gpd.GeoSeries, name: str | None) -> dict[str, Any]:
    """Give parcels, their geometry and the table's columns."""
    if name is not None and name not in polygons.columns:
        raise XSentinelError(f"the polygons have no column {name!r}; they have {', '.join(map(str, polygons.columns))}")
    names = polygons.index.to_numpy() if name is None else polygons[name].to_numpy()
    if len(set(names.tolist())) < len(names):
        what = "the index" if name is None else f"column {name!r}"
        raise XSentinelError(f"{what} names parcels more than once; polygons.reset_index(drop=True) numbers them")
    others = [c for c in polygons.columns if c not in (polygons.geometry.name, name, "parcel", "time", "geometry")]
    coords: dict[str, Any] = {"parcel": ("parcel", names), "geometry": ("parcel", outline.to_numpy(), {"crs": outline.crs.to_string()})}
    return coords | {str(c): ("parcel", polygons[c].to_numpy()) for c in others}
