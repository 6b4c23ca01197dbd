"""Pixels of STAC items by odc-stac, on the grid of their files or on one that is asked for."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC
from typing import Any

import numpy as np
import xarray as xr

from xsentinel.bands import BANDS, SCALE_FACTOR
from xsentinel.errors import ReadError
from xsentinel.io.images import BLOCK
from xsentinel.io.offset import shifted
from xsentinel.io.source import Chunks
from xsentinel.io.stac_items import SceneItem, import_stac, local_path
from xsentinel.io.target import Request, bounds_in

COARSEST_M = 60
"""Pixel size of the coarsest bands."""

FRAME_M = 1200
"""Metres around a box that are loaded: more than any resampling reaches."""


def common_bands(items: list[SceneItem], resolution: int) -> list[str]:
    """Name the bands that all items have at a resolution."""
    return sorted(set.intersection(*({n for n, r in i.assets if r == resolution} for i in items)))


def load_counts(days: list[list[SceneItem]], resolution: int, shifts: dict[int, int], request: Request, chunks: Chunks) -> xr.Dataset:
    """Load dates of optical items on the grid of their files, offsets brought to the lowest; one call a set of asset names and offset.

    Of a box that is asked for, no more than a frame around it enters the graph.

    Parameters
    ----------
    days : list of list of SceneItem
        The items of each date, of one UTM zone.
    resolution : int
        Which of the grids, m.
    shifts : dict
        Counts to add by item (its id).
    request : Request
    chunks : dict or None
        Along y and x.
    """
    items = [i for day in days for i in day]
    names = common_bands(items, resolution)
    lowest = min(shifts[id(i)] for i in items)
    geobox = _framed(_own_grid(items, names, resolution), request)
    times = [min(i.time for i in day) for day in days]
    batches: dict[tuple[Any, ...], list[tuple[int, SceneItem]]] = defaultdict(list)
    for t, day in enumerate(days):
        for item in sorted(day, key=lambda i: (i.baseline, i.generated), reverse=True):
            batches[tuple(item.assets[n, resolution] for n in names), shifts[id(item)]].append((t, item))
    parts = []
    for (keys, shift), batch in batches.items():
        ds = _by_odc(batch, times, dict(zip(keys, names, strict=True)), geobox, chunks)
        parts.append(ds.map(lambda v, by=shift - lowest: shifted(v, by) if v.name in BANDS else v))
    ds = _one_over_other(parts)
    attrs = {"scale_factor": SCALE_FACTOR, "add_offset": lowest * SCALE_FACTOR, "_FillValue": np.uint16(0)}
    return ds.assign({n: ds[n].assign_attrs(attrs) for n in names if n in BANDS})


def _by_odc(
    batch: list[tuple[int, SceneItem]], times: list[np.datetime64], names: dict[str, str], geobox: Any, chunks: Chunks
) -> xr.Dataset:
    """Load items that share asset names; those of a date lie over one another in the order given."""
    odc = import_stac("odc.stac")
    options = {"dtype": "uint16", "nodata": 0, "groupby": "time", "preserve_original_order": True, "driver": _driver()}
    found: xr.Dataset = odc.load(_dated(batch, times), bands=list(names), geobox=geobox, chunks=_cut(chunks), **options)
    ds = found.rename({key: name for key, name in names.items() if key != name}).assign_coords(
        time=found["time"].values.astype("datetime64[ns]")
    )
    return ds.assign({n: ds[n].drop_attrs().astype(np.uint16 if n in BANDS else np.uint8) for n in names.values()})


def _driver() -> Any:
    from xsentinel.io.stac_driver import Driver  # brings odc along, which may not be installed

    return Driver()


def _dated(batch: list[tuple[int, SceneItem]], times: list[np.datetime64]) -> list[Any]:
    """Give copies of the items, all of a date with one time.

    They have no links: with one to itself, an item's local files would be looked for on the catalogue's server.
    """
    out = []
    for t, item in batch:
        copy = item.source.clone()
        copy.clear_links()
        for key in item.assets.values():
            path = local_path(copy.assets[key].href)
            copy.assets[key].href = str(path.resolve()) if path else copy.assets[key].href
        copy.datetime = times[t].astype("datetime64[us]").item().replace(tzinfo=UTC)
        out.append(copy)
    return out


def _cut(chunks: Chunks) -> dict[str, int]:
    return {"time": 1, "y": BLOCK, "x": BLOCK} | {k: v for k, v in (chunks or {}).items() if k in ("y", "x")}


def _one_over_other(parts: list[xr.Dataset]) -> xr.Dataset:
    """Join dates; where two parts have one, data of the first go before no data."""
    ds = parts[0]
    for part in parts[1:]:
        common = np.intersect1d(ds["time"], part["time"])
        if common.size:
            over, under = ds.sel(time=common), part.sel(time=common)
            rest = [p.sel(time=~p["time"].isin(common)) for p in (ds, part)]
            ds = xr.concat([_laid(over, under), *(r for r in rest if r.sizes["time"])], "time")
        else:
            ds = xr.concat([ds, part], "time")
    return ds.sortby("time")


def _laid(over: xr.Dataset, under: xr.Dataset) -> xr.Dataset:
    return over.map(lambda v: v.where(v != 0, under[v.name]).astype(v.dtype))


def _own_grid(items: list[SceneItem], names: list[str], resolution: int) -> Any:
    """Lay out the grid of the items' own pixels."""
    from odc.geo.geobox import geobox_union_conservative

    boxes = [_file_grid(item, item.assets[names[0], resolution]) for item in items]
    return geobox_union_conservative(list(dict.fromkeys(boxes)))


def _framed(geobox: Any, request: Request) -> Any:
    """Cut a grid to the box asked for and a frame, by whole pixels of the coarsest bands, so that all resolutions are cut alike."""
    from affine import Affine
    from odc.geo.geobox import GeoBox
    from rasterio.crs import CRS

    box = bounds_in(request, CRS.from_wkt(geobox.crs.to_wkt()))
    if box is None:
        return geobox
    step, left, top = geobox.affine.a, geobox.affine.c, geobox.affine.f
    unit = max(1, round(COARSEST_M / step))
    near = (box[0] - FRAME_M - left) / step, (top - box[3] - FRAME_M) / step
    far = (box[2] + FRAME_M - left) / step, (top - box[1] + FRAME_M) / step
    size = geobox.shape[1], geobox.shape[0]
    first = [int(np.clip(np.floor(n / unit), 0, s // unit)) * unit for n, s in zip(near, size, strict=True)]
    last = [int(np.clip(np.ceil(n / unit) * unit, 0, s)) for n, s in zip(far, size, strict=True)]
    if any(b <= a for a, b in zip(first, last, strict=True)):
        return geobox  # it lies outside, which is said when the cube is cut
    affine = Affine(step, 0, left + first[0] * step, 0, geobox.affine.e, top + first[1] * geobox.affine.e)
    return GeoBox((last[1] - first[1], last[0] - first[0]), affine, geobox.crs)


def _file_grid(item: SceneItem, key: str) -> Any:
    """Give the grid of an asset by its metadata, or by its file's header."""
    from affine import Affine
    from odc.geo.geobox import GeoBox

    extra = item.source.assets[key].extra_fields
    shape, transform = (extra.get(f"proj:{k}", item.source.properties.get(f"proj:{k}")) for k in ("shape", "transform"))
    if shape and transform:
        return GeoBox(tuple(shape), Affine(*transform[:6]), f"EPSG:{item.epsg}")
    import rasterio

    href = item.source.assets[key].href
    try:
        with rasterio.open(local_path(href) or href) as file:
            return GeoBox(file.shape, file.transform, file.crs.to_wkt())
    except (rasterio.errors.RasterioError, AttributeError) as err:
        raise ReadError(f"{item.label}: asset {key!r} tells no grid (proj:shape, proj:transform) and cannot be opened: {err}") from err


def load_power(days: list[list[SceneItem]], geobox: Any, chunks: Chunks) -> xr.Dataset:
    """Load dates of radar items in power on a grid, or on that of the first of their own zones if it is None.

    Parameters
    ----------
    days : list of list of SceneItem
        The items of each date.
    geobox : odc.geo.geobox.GeoBox or None
    chunks : dict or None
        Along y and x.
    """
    items = [i for day in days for i in day]
    times = [min(i.time for i in day) for day in days]
    resolution = min(r for i in items for _, r in i.assets)
    names = common_bands(items, resolution)
    keys = {items[0].assets[n, resolution]: n for n in names}
    batch = [(t, item) for t, day in enumerate(days) for item in day]
    grid = geobox or _own_grid([i for i in items if i.epsg == min(other.epsg for other in items)], names, resolution)
    ds = _power_by_odc(batch, times, keys, grid, chunks)
    return ds.drop_vars("spatial_ref").assign_attrs(crs=grid.crs.to_wkt())


def _power_by_odc(
    batch: list[tuple[int, SceneItem]], times: list[np.datetime64], names: dict[str, str], geobox: Any, chunks: Chunks
) -> xr.Dataset:
    """Load backscatter, resampled as power."""
    odc = import_stac("odc.stac")
    options = {"dtype": "float32", "groupby": "time", "resampling": "bilinear", "driver": _driver()}
    found: xr.Dataset = odc.load(_dated(batch, times), bands=list(names), geobox=geobox, chunks=_cut(chunks), **options)
    ds = found.rename({k: n for k, n in names.items() if k != n}).assign_coords(time=found["time"].values.astype("datetime64[ns]"))
    return ds.assign({n: ds[n].where(ds[n] > 0).drop_attrs().assign_attrs(backscatter="power") for n in names.values()})
