"""Statistics of parcels as tables: GeoDataFrame, CSV, GeoParquet."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xsentinel.errors import WriteError, XSentinelError

if TYPE_CHECKING:
    import geopandas as gpd

GEOMETRY = "geometry"


def to_table(ds: xr.Dataset) -> gpd.GeoDataFrame:
    """Lay statistics of parcels out as a table: a row for each parcel and date, or parcel and year.

    Parameters
    ----------
    ds : xarray.Dataset
        As ``.s2.parcels()`` gives it: (parcel, time), or (parcel); or ``.s2.phenology()`` of it: (year, parcel). Computed if it
        is lazy.

    Returns
    -------
    geopandas.GeoDataFrame
        ``parcel``, ``time`` or ``year`` if there are any, the variables, the other coordinates, and ``geometry``.

    Raises
    ------
    XSentinelError
        If the Dataset holds no parcels, or both dates and years.

    Examples
    --------
    >>> import shapely
    >>> coords = {"parcel": ["a"], "geometry": ("parcel", np.array([shapely.box(0, 0, 1, 1)]), {"crs": "EPSG:32632"})}
    >>> to_table(xr.Dataset({"mean": ("parcel", [1.5])}, coords))
      parcel  mean                        geometry
    0      a   1.5  POLYGON ((1 0, 1 1, 0 1, 0 0, 1 0))
    """
    import geopandas as gpd

    if "parcel" not in ds.dims or GEOMETRY not in ds.coords:
        raise XSentinelError(f"a table is made of parcels with their geometry, as .s2.parcels() gives them; found {dict(ds.sizes)}")
    others = [d for d in ds.dims if d != "parcel"]
    if len(others) > 1:
        raise XSentinelError(f"the Dataset has parcels by {', '.join(map(str, others))}; a table has one of these: select variables")
    ds = ds.compute()
    frame = ds.drop_vars(GEOMETRY).to_dataframe(dim_order=["parcel", *others]).reset_index()
    shapes = np.repeat(ds[GEOMETRY].values, [ds.sizes[d] for d in others] or 1)
    return gpd.GeoDataFrame(frame, geometry=shapes, crs=ds[GEOMETRY].attrs.get("crs"))


def write_table(ds: xr.Dataset, path: str | PathLike[str], *, overwrite: bool = False) -> list[str]:
    """Write statistics of parcels as a table, by the suffix: ``.csv`` (without outlines), ``.parquet`` (GeoParquet) or ``.gpkg``.

    Parameters
    ----------
    ds : xarray.Dataset
        As `to_table` takes it.
    path : path
    overwrite : bool
        Replace a file that is there.

    Returns
    -------
    list of str
        The file.

    Raises
    ------
    WriteError
        If the file is there, cannot be written, or its suffix is not known.

    Examples
    --------
    >>> lai.s2.parcels(fields).s2.to_file("fields.csv")  # doctest: +SKIP
    """
    file = Path(path)
    write = WRITERS.get(file.suffix.lower())
    if write is None:
        raise WriteError(f"{file} ends in {file.suffix or 'nothing'}; tables are written to {', '.join(WRITERS)}")
    if file.exists() and not overwrite:
        raise WriteError(f"{file} is there already; give overwrite=True to replace it")
    table = to_table(ds)
    try:
        write(table, file)
    except (OSError, ImportError) as err:
        raise WriteError(f"the table cannot be written to {file}: {err}") from err
    return [str(file)]


def _to_csv(table: gpd.GeoDataFrame, file: Path) -> None:
    table.drop(columns=GEOMETRY).to_csv(file, index=False)


def _to_parquet(table: gpd.GeoDataFrame, file: Path) -> None:
    table.to_parquet(file, index=False)


def _to_geopackage(table: gpd.GeoDataFrame, file: Path) -> None:
    table.to_file(file, driver="GPKG", engine="pyogrio")


WRITERS: dict[str, Any] = {".csv": _to_csv, ".parquet": _to_parquet, ".gpkg": _to_geopackage}
