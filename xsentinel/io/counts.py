"""Integers without metadata: what they can only mean, and when they could mean two things."""

from __future__ import annotations

import numpy as np
import xarray as xr

from xsentinel.bands import BASELINE_4_OFFSET, SCALE_FACTOR
from xsentinel.cube import band_variables
from xsentinel.errors import UnitsError

PROBE = 256
"""Values along each dimension that are read to see whether counts carry the offset of baseline 04.00."""

DARK_SHARE = 0.1
"""Per cent of the values that count as the darkest."""


def settle_counts(ds: xr.Dataset, label: str) -> xr.Dataset:
    """Write scale and offset on integer bands that have none, where the pixels allow no doubt.

    Level-2A counts are 1e-4 reflectance, 0 is no data. Whether −0.1 is to be added since baseline 04.00,
    a file without metadata does not say: where the darkest pixels lie below 0.1, it is not, as no
    reflectance is negative.

    Raises
    ------
    UnitsError
        If the darkest pixels allow both.
    """
    bare = [n for n in band_variables(ds) if ds[n].dtype.kind in "iu" and "scale_factor" not in ds[n].attrs and n not in ("VV", "VH")]
    if not bare:
        return ds
    dark = min(_dark_count(ds[name]) for name in bare)
    if dark * SCALE_FACTOR + BASELINE_4_OFFSET >= 0:
        raise UnitsError(
            f"{label} holds counts without scale and offset, and the darkest of {', '.join(bare)} is {dark:.0f}: they may "
            f"carry the offset of 1000 of baselines from 04.00 on, or be cloud. Write what holds as attributes "
            f"(scale_factor 0.0001, add_offset -0.1 or 0), or into the file (rasterio: dst.scales, dst.offsets)"
        )
    attrs = {"scale_factor": SCALE_FACTOR, "add_offset": 0.0}
    return ds.assign({n: ds[n].assign_attrs({"_FillValue": 0} | ds[n].attrs | attrs) for n in bare})


def _dark_count(band: xr.DataArray) -> float:
    every = {d: slice(None, None, max(1, n // PROBE)) for d, n in band.sizes.items()}
    every |= {"time": slice(None, None, max(1, band.sizes["time"] // 8))} if "time" in band.sizes else {}
    counts = band.isel(every).values
    there = counts[counts != band.attrs.get("_FillValue", 0)]
    return float(np.percentile(there, DARK_SHARE)) if there.size else 0.0
