"""Label maps on a cube's grid, from polygons: checked, brought to its CRS, eroded, burnt block by block."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.errors import GridError, XSentinelError
from xsentinel.samples.files import Polygons, as_polygons
from xsentinel.samples.labels import Grid, grid_of, placed
from xsentinel.samples.legends import Legend, as_text

if TYPE_CHECKING:
    import geopandas as gpd

Array = npt.NDArray[Any]
Overlap = Literal["drop", "raise"]

SHOWN = 5
"""Rows that a message names at most."""

FINE = 65536
"""Corners of polygons lie on this fraction of a pixel (0.2 mm of 10 m). So they are exact numbers wherever a block starts,
and a pixel whose centre is right on a border goes to the same side in each."""

ONE_AT_A_TIME = Lock()
"""Rasterio silences a warning of its own while it opens its dataset in memory, and not for sure where several threads do."""

TRUE_SCALE = 0.01
"""A CRS whose metres are off by less than this, relative, is used for erosion; else the UTM zone of the polygons."""


@dataclass(frozen=True)
class Shapes:
    """Polygons that are burnt, in pixels of the grid (column, row), in the order of their classes."""

    geometries: Array
    """shapely polygons (n), none empty."""
    codes: npt.NDArray[np.uint8]
    """Class of each (n), ascending."""
    parcels: npt.NDArray[np.uint32]
    """Number of each (n): row of the table + 1."""

    @property
    def boxes(self) -> npt.NDArray[np.float64]:
        """Least column and row, greatest column and row of each (n, 4)."""
        import shapely

        return np.asarray(shapely.bounds(self.geometries)).reshape(-1, 4)

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, which: Any) -> Shapes:
        return Shapes(self.geometries[which], self.codes[which], self.parcels[which])


def rasterise(
    polygons: Polygons,
    cube: xr.Dataset | xr.DataArray,
    *,
    column: str,
    legend: Legend,
    erode: float = 0.0,
    overlap: Overlap = "drop",
) -> xr.Dataset:
    """Burn polygons onto a cube's grid: class and number of the polygon that each pixel's centre lies in.

    Each polygon is shrunk by `erode` first, in true metres: in the cube's CRS if its scale is true to 1 % there, else in
    the polygons' UTM zone. A pixel that polygons of two classes claim gets no label.

    Parameters
    ----------
    polygons : geopandas.GeoDataFrame or path
        Polygons of any CRS, with a column of source values; or the file that they are in (.gpkg, .geojson, .shp, .parquet).
    cube : xarray.Dataset or xarray.DataArray (…, y, x)
        Gives the grid, and the chunks if it is lazy.
    column : str
        Source values; polygons without one, or of one that the legend drops, are left out.
    legend : Legend
        Which source values belong to which class.
    erode : float, m
        Taken off each polygon along its whole border.
    overlap : {"drop", "raise"}
        Whether pixels that are claimed by two classes lose their label, counted in the attributes, or are an error.

    Returns
    -------
    xarray.Dataset
        ``label`` (y, x), uint8 with CF flags, 0 for no label; ``parcel`` (y, x), uint32, the polygon's row + 1, 0 for none.
        Lazy if the cube is. The attributes count polygons: in all, burnt, outside, without a class, eroded away; tell contested
        pixels, classes without a pixel, and the CRS that polygons came in.

    Raises
    ------
    GridError
        If a CRS is unknown, or no polygon touches the cube.
    XSentinelError
        If the column is missing, source values are not in the legend, geometries are empty, invalid or no polygons, or
        classes overlap and `overlap` is "raise".

    Examples
    --------
    >>> import geopandas, rioxarray, shapely
    >>> from xsentinel import samples
    >>> cube = xr.DataArray(np.zeros((4, 4)), {"y": [70, 50, 30, 10], "x": [10, 30, 50, 70]}, ("y", "x")).rio.write_crs(32632)
    >>> fields = geopandas.GeoDataFrame({"crop": ["maize"]}, geometry=[shapely.box(0, 0, 60, 80)], crs=32632)
    >>> rasterise(fields, cube, column="crop", legend=samples.legend({"Maize": ["maize"]}), erode=15).label.values
    array([[0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]], dtype=uint8)
    """
    if overlap not in ("drop", "raise"):
        raise XSentinelError(f"overlap is {overlap!r}; give 'drop' or 'raise'")
    if not 0 <= erode < math.inf:
        raise XSentinelError(f"erode is {erode} m; give 0 or more")
    grid, polygons = grid_of(cube), as_polygons(polygons)
    _check(polygons, column)
    codes = legend.encode(polygons[column].to_numpy(), f"column {column!r}")
    shapes, counts = _prepared(polygons, codes, grid, erode)
    contested = _contested(shapes, grid)
    if contested and overlap == "raise":
        raise XSentinelError(
            f"{contested} pixels lie in polygons of two classes; mend the polygons, or give overlap='drop' to leave those without a label"
        )
    label, parcel = _burnt(shapes, grid)
    empty = [c.meaning for c in legend.classes if not _has_pixel(c.code, shapes, grid)]
    out = placed(
        {
            "label": (("y", "x"), label, legend.attrs | {"erode_m": float(erode)}),
            "parcel": (("y", "x"), parcel, {"long_name": "polygon: its row + 1, 0 where there is none"}),
        },
        cube,
    )
    facts = {"contested_pixels": contested, "empty_classes": " ".join(empty), "polygons_crs": polygons.crs.to_string()}
    return out.assign_attrs(counts | facts)


def _check(polygons: gpd.GeoDataFrame, column: str) -> None:
    """Check that polygons are polygons, with a CRS and the column."""
    if column not in polygons.columns:
        raise XSentinelError(f"the polygons have no column {column!r}; they have {', '.join(map(str, polygons.columns))}")
    check_polygons(polygons)


def check_polygons(polygons: gpd.GeoDataFrame) -> None:
    """Check that polygons are polygons, with a CRS.

    Raises
    ------
    GridError
        If they have no CRS.
    XSentinelError
        If some are empty, cross themselves, or are no polygons: with their rows, and how to mend them.
    """
    if polygons.crs is None:
        raise GridError("the polygons have no CRS; polygons.set_crs('EPSG:...') tells it")
    shape = polygons.geometry
    empty = (shape.isna() | shape.is_empty).to_numpy()
    invalid = ~(shape.is_valid.to_numpy() | empty)
    other = ~(shape.geom_type.isin(["Polygon", "MultiPolygon"]).to_numpy() | empty)
    faults = (
        (empty, "are empty", "polygons[~(polygons.is_empty | polygons.geometry.isna())] leaves them out"),
        (invalid, "are not valid (they cross themselves)", "polygons.make_valid() mends them"),
        (other, "are no polygons", "polygons[polygons.geom_type.isin(['Polygon', 'MultiPolygon'])] leaves them out"),
    )
    for fault, what, advice in faults:
        if fault.any():
            rows = [as_text(name) for name in polygons.index[fault][:SHOWN]]
            more = ", …" if fault.sum() > SHOWN else ""
            raise XSentinelError(f"{fault.sum()} of {len(polygons)} geometries {what}: rows {', '.join(rows)}{more}; {advice}")


def _prepared(polygons: gpd.GeoDataFrame, codes: npt.NDArray[np.uint8], grid: Grid, erode: float) -> tuple[Shapes, dict[str, int]]:
    """Bring polygons to the grid's CRS, leave out what has no class or lies outside, erode, and sort by class."""
    import shapely

    outline, touches = outlines_on(polygons, grid)
    chosen = touches & (codes > 0)
    kept = _shrunk(outline[chosen], erode).to_numpy()
    there = ~shapely.is_empty(kept)
    shapes = Shapes(in_pixels(kept[there], grid), codes[chosen][there], np.flatnonzero(chosen).astype(np.uint32)[there] + np.uint32(1))
    counts = {
        "polygons": len(polygons),
        "polygons_burnt": len(shapes),
        "polygons_outside": int((~touches).sum()),
        "polygons_without_class": int((touches & (codes == 0)).sum()),
        "polygons_eroded_away": int((~there).sum()),
    }
    return shapes[np.argsort(shapes.codes, kind="stable")], counts


def outlines_on(polygons: gpd.GeoDataFrame, grid: Grid) -> tuple[gpd.GeoSeries, npt.NDArray[np.bool_]]:
    """Give polygons in the CRS of a grid, and which of them touch it.

    Raises
    ------
    GridError
        If none does.
    """
    import shapely

    outline = polygons.geometry.to_crs(grid.crs.to_wkt())
    touches: npt.NDArray[np.bool_] = shapely.intersects(outline.values, shapely.box(*grid.bounds))
    if not touches.any():
        west, south, east, north = outline.total_bounds
        left, bottom, right, top = grid.bounds
        raise GridError(
            f"none of the {len(polygons)} polygons touches the cube: they lie at x {west:g}–{east:g}, y {south:g}–{north:g} in "
            f"{grid.crs}, the cube at x {left:g}–{right:g}, y {bottom:g}–{top:g}; check that their CRS ({polygons.crs}) is right"
        )
    return outline, touches


def in_pixels(geometries: Array, grid: Grid) -> Array:
    """Bring polygons from the CRS to columns and rows."""
    import shapely

    a, b, c, d, e, f = tuple(~grid.transform)[:6]
    to_pixels = np.array([[a, d], [b, e]])
    return cast("Array", shapely.transform(geometries, lambda xy: np.round((xy @ to_pixels + (c, f)) * FINE) / FINE))


def _shrunk(outline: gpd.GeoSeries, erode: float) -> gpd.GeoSeries:
    """Take metres off the border of polygons."""
    if not erode or outline.empty:
        return outline
    metre = _units_a_metre(outline)
    if metre is not None:
        return outline.buffer(-erode * metre)
    local = outline.to_crs(outline.estimate_utm_crs())
    return local.buffer(-erode).to_crs(outline.crs)


def _units_a_metre(outline: gpd.GeoSeries) -> float | None:
    """Give the units of the CRS in a metre on the ground, None where they are degrees or not true."""
    if outline.crs.is_geographic:
        return None
    from pyproj import Proj, Transformer

    west, south, east, north = outline.total_bounds
    to_degrees = Transformer.from_crs(outline.crs, outline.crs.geodetic_crs, always_xy=True)
    longitude, latitude = to_degrees.transform([west, west, east, east], [south, north, south, north])
    scale = Proj(outline.crs).get_factors(longitude, latitude)
    away = np.abs(np.array([scale.meridional_scale, scale.parallel_scale]) - 1).max()
    return 1 / float(outline.crs.axis_info[0].unit_conversion_factor) if away < TRUE_SCALE else None


def _burnt(shapes: Shapes, grid: Grid) -> tuple[Any, Any]:
    """Give label and parcel (y, x), lazily by the chunks of the grid."""
    if grid.chunks is None:
        rows, columns = (slice(0, n) for n in grid.shape)
        both = burn(shapes, rows, columns)
        return both[0].astype(np.uint8), both[1]
    import dask.array as da
    from dask.delayed import delayed

    task, edges = delayed(burn, pure=True), [np.concatenate([[0], np.cumsum(sizes)]).tolist() for sizes in grid.chunks]
    down, across = ([slice(*ends) for ends in pairwise(along)] for along in edges)
    both = da.block([[_lazy(task(_touching(shapes, r, c), r, c), r, c) for c in across] for r in down])
    return both[0].astype(np.uint8), both[1]


def _lazy(block: Any, rows: slice, columns: slice) -> Any:
    import dask.array as da

    shape = (2, rows.stop - rows.start, columns.stop - columns.start)
    return da.from_delayed(block, shape, np.uint32, meta=np.empty((0, 0, 0), np.uint32))


def _touching(shapes: Shapes, rows: slice, columns: slice) -> Shapes:
    """Choose the polygons whose boxes reach into a block."""
    west, north, east, south = shapes.boxes.T
    return shapes[(west < columns.stop) & (east > columns.start) & (north < rows.stop) & (south > rows.start)]


def burn(shapes: Shapes, rows: slice, columns: slice) -> npt.NDArray[np.uint32]:
    """Give label and parcel of a block: (2, y, x), uint32.

    Burnt in the order of their classes and once more against it, the last one winning, polygons give the greatest and
    the least class that claims a pixel; where the two differ it is contested and gets none.
    """
    from rasterio.features import rasterize
    from rasterio.transform import Affine

    shape = rows.stop - rows.start, columns.stop - columns.start
    out = np.zeros((2, *shape), np.uint32)
    if not len(shapes):
        return out
    corner = Affine.translation(columns.start, rows.start)
    numbered = list(zip(shapes.geometries, range(1, len(shapes) + 1), strict=True))
    with ONE_AT_A_TIME:
        ends = [rasterize(order, shape, transform=corner, dtype=np.uint32) for order in (numbered, numbered[::-1])]
    code, parcel = (np.concatenate([[0], v]).astype(np.uint32) for v in (shapes.codes, shapes.parcels))
    sure = code[ends[0]] == code[ends[1]]
    out[0], out[1] = code[ends[0]] * sure, parcel[ends[0]] * sure
    return out


def _window(box: npt.NDArray[np.float64], grid: Grid) -> tuple[slice, slice] | None:
    """Give the rows and columns that a box reaches, None if there are none."""
    low, high = np.floor(box[:2]).astype(int), np.ceil(box[2:]).astype(int)
    columns, rows = (slice(max(low[k], 0), min(high[k], n)) for k, n in ((0, grid.shape[1]), (1, grid.shape[0])))
    return (rows, columns) if rows.stop > rows.start and columns.stop > columns.start else None


def _contested(shapes: Shapes, grid: Grid) -> int:
    """Count the pixels that polygons of two classes claim, looking only where the boxes of such polygons meet."""
    import shapely

    boxes = shapes.boxes
    first, second = shapely.STRtree(shapes.geometries).query(shapes.geometries)
    pairs = (first < second) & (shapes.codes[first] != shapes.codes[second])
    found: set[int] = set()
    for i, j in zip(first[pairs], second[pairs], strict=True):
        if not shapely.intersects(*shapes.geometries[[i, j]]):
            continue
        window = _window(np.concatenate([boxes[[i, j], :2].max(0), boxes[[i, j], 2:].min(0)]), grid)
        if window is not None:
            both = [burn(shapes[[k]], *window)[1] > 0 for k in (i, j)]
            y, x = np.nonzero(both[0] & both[1])
            found.update(((y + window[0].start) * grid.shape[1] + x + window[1].start).tolist())
    return len(found)


def _has_pixel(code: int, shapes: Shapes, grid: Grid) -> bool:
    """Tell whether any of a class's polygons, the largest first, has a pixel to itself."""
    import shapely

    own = shapes[shapes.codes == code]
    for k in np.argsort(-shapely.area(own.geometries), kind="stable"):
        window = _window(own.boxes[k], grid)
        if window is not None and (burn(_touching(shapes, *window), *window)[0] == code).any():
            return True
    return False
