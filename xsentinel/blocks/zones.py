"""Maps over zones, lazily: zones that lie together are done together, each in one window that holds it whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.errors import XSentinelError
from xsentinel.kernels.zonal import Zones

Array = npt.NDArray[Any]
Summary = Callable[[Array, Zones], npt.NDArray[np.float32]]
"""(time, y, x) and zones of that window → (statistic, zone, time)."""

LOCAL = 'LOCAL_CS["pixels",UNIT["pixel",1]]'
"""The CRS of (column, −row), in which any grid is north up with pixels of 1."""


@dataclass(frozen=True)
class Batch:
    """Zones that are done together."""

    rows: slice
    columns: slice
    """Window that holds them all."""
    members: npt.NDArray[np.int64]
    """Which of them."""


def over_zones(run: Summary, data: Any, shapes: Array, n_stats: int, *, coverage: bool) -> Any:
    """Give (statistic, zone, time), float32: at once of a numpy array, by a task a batch and chunk of dates of a dask array.

    Parameters
    ----------
    run : callable
    data : (time, y, x)
    shapes : (zone,), shapely geometries in (column, −row)
    n_stats : int
        Statistics that it gives.
    coverage : bool
        As `zones_of`.
    """
    if isinstance(data, np.ndarray):
        return run(data, zones_of(shapes, slice(0, data.shape[1]), slice(0, data.shape[2]), coverage))
    import dask.array as da
    from dask.delayed import delayed

    batches = plan_batches(shapes, data.shape[1:], data.chunks[1:])
    cover, summarise = delayed(zones_of, pure=True), delayed(run, pure=True)
    parts = []
    for batch in batches:
        window = data[:, batch.rows, batch.columns].rechunk({1: -1, 2: -1})
        zones = cover(shapes[batch.members], batch.rows, batch.columns, coverage)
        blocks = window.to_delayed(optimize_graph=False)[:, 0, 0]
        sizes = [(n_stats, len(batch.members), n) for n in window.chunks[0]]
        done = [da.from_delayed(summarise(b, zones), s, np.float32) for b, s in zip(blocks, sizes, strict=True)]
        parts.append(da.concatenate(done, 2))
    order = np.argsort(np.concatenate([b.members for b in batches]))
    return da.concatenate(parts, 1).rechunk({1: -1})[:, order]


def zones_of(shapes: Array, rows: slice, columns: slice, coverage: bool) -> Zones:
    """Give the pixels of a window that each shape covers, and their shares.

    Parameters
    ----------
    shapes : (zone,), shapely geometries in (column, −row)
    rows, columns : slice
    coverage : bool
        Whether shares count; else the centre decides.

    Raises
    ------
    XSentinelError
        If exactextract is not there.
    """
    import geopandas as gpd
    import shapely

    try:
        from exactextract import exact_extract
        from exactextract.raster import NumPyRasterSource
    except ImportError as err:
        raise XSentinelError("statistics of parcels need exactextract: pip install 'xsentinel[parcels]'") from err
    shape = rows.stop - rows.start, columns.stop - columns.start
    box = {"xmin": columns.start, "xmax": columns.stop, "ymin": -rows.stop, "ymax": -rows.start}
    source = NumPyRasterSource(np.zeros(shape, np.uint8), **box, srs_wkt=LOCAL)
    found = exact_extract(source, gpd.GeoDataFrame(geometry=shapes, crs=LOCAL), ["cell_id", "coverage"], output="pandas")
    cells, weights = [np.asarray(c, np.int64) for c in found["cell_id"]], [np.asarray(w, np.float32) for w in found["coverage"]]
    if not coverage:
        for k, cell in enumerate(cells):
            y, x = np.divmod(cell, shape[1])
            inside = shapely.contains_xy(shapes[k], x + columns.start + 0.5, -(y + rows.start + 0.5))
            cells[k], weights[k] = cell[inside], np.ones(int(inside.sum()), np.float32)
    starts = np.concatenate([[0], np.cumsum([len(c) for c in cells])]).astype(np.int64)
    return Zones(starts, np.concatenate([np.empty(0, np.int64), *cells]), np.concatenate([np.empty(0, np.float32), *weights]))


LOCAL = 'LOCAL_CS["pixels",UNIT["pixel",1]]'
"""The CRS of (column, −row)."""


def plan_batches(shapes: Array, size: tuple[int, int], chunks: tuple[tuple[int, ...], ...]) -> list[Batch]:
    """Put zones together that begin in the same chunk; one that is larger than its chunk goes by itself.

    Parameters
    ----------
    shapes : (zone,), shapely geometries in (column, −row)
    size : (int, int)
        Rows and columns of the maps.
    chunks : of y and x
    """
    import shapely

    west, south, east, north = np.nan_to_num(shapely.bounds(shapes)).T
    first, last = _clipped(-north, -south, size[0]), _clipped(west, east, size[1])
    edges = [np.concatenate([[0], np.cumsum(c)]) for c in chunks]
    at = [np.searchsorted(e, a[0], "right") - 1 for e, a in zip(edges, (first, last), strict=True)]
    wide = [(a[1] - a[0]) > np.diff(e)[k] for e, a, k in zip(edges, (first, last), at, strict=True)]
    number = at[0] * len(chunks[1]) + at[1]
    alone = wide[0] | wide[1]
    number = np.where(alone, number.max() + 1 + np.arange(len(number)), number)
    order = np.argsort(number, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(number[order])) + 1)
    return [Batch(slice(*_span(first, g)), slice(*_span(last, g)), g) for g in groups]


def _clipped(low: Array, high: Array, n: int) -> tuple[Array, Array]:
    """Give first and last + 1 of the pixels that boxes reach, one at the least, within the maps."""
    start = np.clip(np.floor(low), 0, n - 1).astype(np.int64)
    return start, np.clip(np.ceil(high), start + 1, n).astype(np.int64)


def _span(ends: tuple[Array, Array], members: Array) -> tuple[int, int]:
    return int(ends[0][members].min()), int(ends[1][members].max())
