"""Polygons from files, by geopandas."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xsentinel.errors import ReadError, XSentinelError

if TYPE_CHECKING:
    import geopandas as gpd


Polygons = Any
"""A GeoDataFrame, a GeoSeries, or the path of a file of polygons."""


def as_polygons(polygons: Polygons) -> gpd.GeoDataFrame:
    """Give polygons as a GeoDataFrame: a path is read, a GeoSeries becomes its only column.

    Raises
    ------
    ReadError
        If a file cannot be read.
    XSentinelError
        If they are something else, or geopandas is not there.

    Examples
    --------
    >>> import geopandas, shapely
    >>> list(as_polygons(geopandas.GeoSeries([shapely.box(0, 0, 1, 1)], crs=32632)))
    ['geometry']
    """
    if isinstance(polygons, str | PathLike):
        return read_polygons(polygons)
    if hasattr(polygons, "crs") and hasattr(polygons, "geometry"):
        return polygons if hasattr(polygons, "columns") else polygons.to_frame("geometry")
    raise XSentinelError(
        f"the polygons are a {type(polygons).__name__}; give a geopandas.GeoDataFrame, a GeoSeries, or the path of a file of them"
    )


def read_polygons(path: str | PathLike[str]) -> gpd.GeoDataFrame:
    """Read a file of polygons: GeoPackage, GeoJSON, shapefile, GeoParquet, and what else geopandas reads.

    Raises
    ------
    ReadError
        If it cannot be read.
    XSentinelError
        If geopandas is not there.

    Examples
    --------
    >>> read_polygons("fields.gpkg")  # doctest: +SKIP
    """
    try:
        import geopandas
    except ImportError as err:
        raise XSentinelError("polygons need geopandas: pip install 'xsentinel[parcels]'") from err
    if not Path(path).expanduser().exists() and "://" not in str(path):
        raise ReadError(f"the polygons {path} do not exist (looked in {Path.cwd()}); check the name")
    try:
        return geopandas.read_parquet(path) if Path(path).suffix.lower() == ".parquet" else geopandas.read_file(path)
    except Exception as err:  # pyogrio raises its own kinds
        raise ReadError(f"the polygons {path} cannot be read: {err}; give a file that geopandas reads, .gpkg say") from err
