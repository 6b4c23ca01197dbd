"""Mapped areas of classes."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import pandas as pd
import xarray as xr

from xsentinel.accuracy.legend import Ignore, flags_of, ignored_codes, legend, map_of, missing, one_map, silent_codes
from xsentinel.blocks.pairs import count_maps
from xsentinel.cube import pixel_size
from xsentinel.errors import GridError


def areas(labels: xr.DataArray | xr.Dataset, *, ignore: Ignore = None) -> pd.Series[float]:
    """Measure the mapped area of each class: pixels times the area of a pixel.

    What a map shows is not the area of a class, as errors do not cancel: `assess` with ``areas`` estimates that.

    Parameters
    ----------
    labels : xarray.DataArray (y, x), or Dataset with ``class``
        Map of codes, with a CRS in metres; lazy ones are counted block by block. ``_FillValue``, NaN and
        ``ignore`` are left out.
    ignore : code or name, or a sequence of them, optional
        Left out.

    Returns
    -------
    pandas.Series by class, float64, ha
        All classes of the flags, 0 where there is none; without flags, the codes that occur.

    Raises
    ------
    GridError
        If there are other dims than y and x, or pixels have no size in metres.
    XSentinelError
        If a code occurs that the flags do not name.

    Examples
    --------
    >>> import xsentinel as xs
    >>> land = xs.simulate.landscape((60, 80), ["2019-06-01"], seed=1)
    >>> float(xs.accuracy.areas(land.truth).sum())
    48.0
    """
    layer = one_map(map_of(labels))
    if set(layer.dims) != {"y", "x"}:
        raise GridError(f"{layer.name} has dims {', '.join(map(str, layer.dims))}; areas are of one map (y, x): select a date")
    names: dict[int, Hashable] = {**flags_of(layer)}
    pairs = count_maps(layer.data, layer.data)  # the same blocks, read once
    kept = ~missing(pairs.first, silent_codes(layer, ignored_codes(ignore, names)))
    counts = dict(zip(pairs.first[kept].astype(int).tolist(), pairs.counts[kept].tolist(), strict=True))
    known = legend(pairs.first[kept], names, list(names) or None)
    size = pixel_ha(layer)
    return pd.Series({name: counts.get(code, 0) * size for code, name in known.items()}, dtype=np.float64, name="area_ha").rename_axis(
        "class"
    )


def pixel_ha(layer: xr.DataArray) -> float:
    """Give the area of a pixel in hectares.

    Raises
    ------
    GridError
        If the CRS is not known or is in degrees.
    """
    import rioxarray  # noqa: F401  (registers .rio)

    crs = layer.rio.crs
    if crs is None or not crs.is_projected:
        what = "no CRS" if crs is None else f"the CRS {crs.to_string():.40}, in degrees"
        raise GridError(
            f"{layer.name} has {what}, so its pixels have no area in hectares; write the CRS (rio.write_crs) or reproject to UTM"
        )
    dy, dx = pixel_size(layer)
    return float(abs(dy * dx) * crs.linear_units_factor[1] ** 2 / 10_000)
