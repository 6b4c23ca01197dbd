"""Integers without metadata: what they can only mean, and when they could mean two things."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.bands import BANDS, BASELINE_4_OFFSET, SCALE_FACTOR
from xsentinel.cube import band_variables
from xsentinel.errors import UnitsError
from xsentinel.io.offset import Harmonise

PROBE = 256
"""Values along each dimension that are read to see whether counts carry the offset of baseline 04.00."""

DARK_SHARE = 0.1
"""Per cent of the values that count as the darkest."""


def settle_counts(parts: list[xr.Dataset], label: str, harmonise: Harmonise = "auto") -> list[xr.Dataset]:
    """Write scale and offset on integer bands that have none, where the pixels allow no doubt.

    Level-2A counts are 1e-4 reflectance, 0 is no data. Whether −0.1 is to be added since baseline 04.00,
    a file without metadata does not say: where the darkest pixels lie below 0.1, it is not, as no
    reflectance is negative. Parts are of the same dates and so of the same products: one settles all. ``harmonise``
    settles it without a look: "offset" adds −0.1, "none" does not.

    Raises
    ------
    UnitsError
        If the darkest pixels allow both, or counts are of 8 bits.
    """
    bare = [_bare(part) for part in parts]
    names = [name for part in bare for name in part]
    if not names:
        return parts
    _refuse_pictures(parts, bare, label)
    if harmonise != "auto":
        return _written(parts, bare, BASELINE_4_OFFSET if harmonise == "offset" else 0.0)
    dark = min(_dark_count(part[name]) for part, found in zip(parts, bare, strict=True) for name in found)
    if dark * SCALE_FACTOR + BASELINE_4_OFFSET >= 0:
        raise UnitsError(
            f"{label} holds counts without scale and offset, and the darkest of {', '.join(names)} is {dark:.0f}: they may "
            f"carry the offset of 1000 of baselines from 04.00 on, or be cloud. Write what holds as attributes "
            f"(scale_factor 0.0001, add_offset -0.1 or 0), or into the file (rasterio: dst.scales, dst.offsets); "
            f"or give harmonise='offset' or 'none'"
        )
    return _written(parts, bare, 0.0)


def _refuse_pictures(parts: list[xr.Dataset], bare: list[list[str]], label: str) -> None:
    """Refuse integers of 8 bits, which are a picture, stretched by a rule of its own."""
    small = [name for part, found in zip(parts, bare, strict=True) for name in found if part[name].dtype.itemsize == 1]
    if small:
        raise UnitsError(
            f"{', '.join(small)} of {label} hold integers of 8 bits, as a quicklook does; counts of reflectance have 16: open the bands "
            f"of the product itself; if value = count · a + b is known, write a and b into the file (rasterio: dst.scales, dst.offsets)"
        )


def _written(parts: list[xr.Dataset], bare: list[list[str]], offset: float) -> list[xr.Dataset]:
    attrs = {"scale_factor": SCALE_FACTOR, "add_offset": offset}
    return [
        part.assign({n: part[n].assign_attrs({"_FillValue": 0} | part[n].attrs | attrs) for n in found})
        for part, found in zip(parts, bare, strict=True)
    ]


def _bare(part: xr.Dataset) -> list[str]:
    """Name the optical bands of integers that do not tell their scale."""
    optical = [n for n in band_variables(part) if not BANDS[n].is_radar]
    return [n for n in optical if part[n].dtype.kind in "iu" and "scale_factor" not in part[n].attrs]


def _dark_count(band: xr.DataArray) -> float:
    """Give the darkest counts of a sample; of a sparser one of all blocks if that one has no data."""
    windows = {d: _windows(n) for d, n in band.sizes.items()}
    every = {d: slice(None, None, max(1, n // PROBE)) for d, n in band.sizes.items()}
    dates = {"time": slice(None, None, max(1, band.sizes["time"] // 8))} if "time" in band.sizes else {}
    for sample in (windows | dates, every | dates):
        counts = band.isel(sample).values
        there = counts[counts != band.attrs.get("_FillValue", 0)]
        if there.size:
            return float(np.percentile(there, DARK_SHARE))
    return 0.0


def _windows(n: int) -> slice | npt.NDArray[np.intp]:
    """Pick four evenly spaced runs, so that few blocks of a large file are read."""
    if n <= PROBE:
        return slice(None)
    run = PROBE // 4
    starts = np.linspace(0, n - run, 4).astype(np.intp)
    return np.unique(starts[:, None] + np.arange(run))
