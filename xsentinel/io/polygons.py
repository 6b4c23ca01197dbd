"""Polygons from files, by geopandas."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from xsentinel.errors import ReadError, XSentinelError

if TYPE_CHECKING:
    import geopandas as gpd


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
    try:
        return geopandas.read_parquet(path) if Path(path).suffix.lower() == ".parquet" else geopandas.read_file(path)
    except Exception as err:  # pyogrio raises its own kinds
        raise ReadError(f"the polygons {path} cannot be read: {err}; give a file that geopandas reads, .gpkg say") from err
