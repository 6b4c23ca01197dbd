"""Parcels of a map as polygons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from xsentinel.errors import XSentinelError

if TYPE_CHECKING:
    import geopandas as gpd


def outlines(land: xr.Dataset) -> gpd.GeoDataFrame:
    """Trace parcels (int64, 0 for none) along pixels, each with its class.

    Raises
    ------
    XSentinelError
        If geopandas is not there.
    """
    try:
        import geopandas as gpd
    except ModuleNotFoundError as err:
        raise XSentinelError("parcels as polygons need geopandas: pip install 'xsentinel[parcels]'") from err
    from rasterio.features import shapes
    from shapely.geometry import shape

    own, first, places = np.unique(land.parcel.values, return_index=True, return_inverse=True)
    numbers = places.reshape(land.parcel.shape).astype(np.int32)
    traced = [
        (shape(outline), int(n)) for outline, n in shapes(numbers, numbers > 0 if own[0] == 0 else None, transform=land.rio.transform())
    ]
    codes = land["class"].values.ravel()[first]
    names = dict(zip(land["class"].flag_values.tolist(), land["class"].flag_meanings.split(), strict=True))
    columns = {"parcel": [own[n] for _, n in traced], "class": [codes[n] for _, n in traced]}
    columns["class_name"] = [names[int(c)] for c in columns["class"]]
    frame = gpd.GeoDataFrame(columns, geometry=[s for s, _ in traced], crs=land.rio.crs)
    return frame.dissolve("parcel", as_index=False)
