"""Maps of leaf area index and its kin that come from elsewhere: whether they are what their name says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from xsentinel.bands import SCENE_CLASSES
from xsentinel.errors import UnitsError

MAP_NAMES = ("lai", "fapar", "fcover", "ccc", "cwc")
"""Variables that are maps, whoever made them."""

PROBE = 64
"""Values along each dimension that are read."""


def check_maps(ds: xr.Dataset, label: str) -> None:
    """Check that maps without our provenance are measured values, and not the classes of a mask.

    Looks into GeoTIFFs, the form in which masks were found under the name of a map, and Datasets in memory; other
    stores are not read while they are opened.

    Raises
    ------
    UnitsError
        If a map holds whole numbers only, such as codes of scene classes.
    """
    if Path(label).suffix.lower() not in (".tif", ".tiff") and any(v.chunks for v in ds.data_vars.values()):
        return
    foreign = [v for v in ds.data_vars if str(v) in MAP_NAMES and "xsentinel_version" not in ds[v].attrs and ds[v].dtype.kind == "f"]
    for name in foreign:
        if (codes := class_codes(ds[name])) is not None:
            raise UnitsError(
                f"{name} of {label} holds nothing but the whole numbers {codes}, as codes of scene classes do: it is a mask (SCL) and no "
                f"{name}; find the right file, or name it SCL"
            )


def class_codes(values: xr.DataArray) -> str | None:
    """Name the codes that a sample holds, None if it holds more than codes, or hardly any."""
    sample = values.isel({d: slice(None, None, max(1, n // PROBE)) for d, n in values.sizes.items()}).values
    found = np.unique(sample[np.isfinite(sample)])
    known = {float(c.value) for c in SCENE_CLASSES}
    return ", ".join(f"{v:g}" for v in found) if found.size > 1 and set(found.tolist()) <= known else None
