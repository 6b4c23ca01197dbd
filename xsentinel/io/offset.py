"""Whether counts carry the offset of baseline 04.00: what metadata say, held against the pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal, get_args

import xarray as xr

from xsentinel.bands import BASELINE_4_OFFSET, SCALE_FACTOR
from xsentinel.errors import UnitsError
from xsentinel.kernels.scale import shift_counts

Harmonise = Literal["auto", "offset", "none"]

SHIFT = round(BASELINE_4_OFFSET / SCALE_FACTOR)
"""Counts to add since baseline 04.00: −1000."""

DARK_BANDS = ("B04", "B12", "B02")
"""Bands whose darkest pixels tell: vegetation and water in red, water and snow in the shortwave, deserts in blue."""

DARK_SHARE = 0.5
"""Per cent of an overview's pixels that count as the darkest."""

UNSHIFTED_BELOW = 600.0
"""Darkest counts below this are of no shifted product: reflectance would be below −0.04."""

SHIFTED_RANGE = (950.0, 1500.0)
"""Darkest counts in this range, in all dark bands, are of a shifted product; brighter ones may be cloud."""


@dataclass(frozen=True)
class Claim:
    """What a product's or an item's metadata say of its offset."""

    label: str
    """Product, for messages."""
    shift: int | None
    """Counts to add; None if metadata that should tell do not."""
    source: str
    """Where that stands."""


def check_harmonise(harmonise: str) -> None:
    """Check the option.

    Raises
    ------
    UnitsError
        If it is none of the three.
    """
    if harmonise not in get_args(Harmonise):
        raise UnitsError(f"harmonise is {harmonise!r}; it is one of {', '.join(get_args(Harmonise))}")


def baseline_shift(baseline: str) -> int:
    """Give the counts to add by processing baseline, such as '05.09'."""
    return SHIFT if float(baseline) >= 4 else 0


def settle_shift(claim: Claim, harmonise: Harmonise, dark: Callable[[], Iterator[tuple[str, float]]]) -> int:
    """Decide the counts to add to a product: what it says, if its pixels do not gainsay.

    Parameters
    ----------
    claim : Claim
    harmonise : {"auto", "offset", "none"}
        By metadata and pixels; add the offset in any case; never add it.
    dark : callable
        Gives band and darkest counts, one band after the other; asked for only as far as needed.

    Raises
    ------
    UnitsError
        If metadata and pixels contradict one another, or metadata themselves.
    """
    if harmonise != "auto":
        return 0 if harmonise == "none" else (claim.shift or SHIFT)
    choices = "harmonise='offset' adds −1000 all the same, harmonise='none' adds nothing"
    if claim.shift is None:
        raise UnitsError(f"{claim.label}: {claim.source}; if you know how it was made: {choices}")
    return _held_against_pixels(claim, claim.shift, choices, dark)


def _held_against_pixels(claim: Claim, shift: int, choices: str, dark: Callable[[], Iterator[tuple[str, float]]]) -> int:
    darkest: tuple[str, float] | None = None
    for band, counts in islice(dark(), 2 if shift else None):  # of shifted products a desert's blue tells nothing more
        if shift and counts < UNSHIFTED_BELOW:
            raise UnitsError(
                f"{claim.label} would be shifted twice: {claim.source} asks for {shift}, but the darkest {DARK_SHARE:g} % of {band} lie "
                f"at {counts:.0f} counts, which would be a reflectance of {(counts + shift) * SCALE_FACTOR:.3f}: the offset has been "
                f"taken out already. If so, give harmonise='none'; if not, {choices}"
            )
        if not shift and counts < SHIFTED_RANGE[0]:
            return shift
        darkest = min(darkest or (band, counts), (band, counts), key=lambda d: d[1])
    if darkest and not shift and darkest[1] <= SHIFTED_RANGE[1]:
        raise UnitsError(
            f"{claim.label} would not be shifted: {claim.source} asks for no offset, but nothing in {', '.join(DARK_BANDS)} is darker "
            f"than {darkest[1]:.0f} counts ({darkest[0]}), as if 1000 had been added. If so, give harmonise='offset'; if the scene is "
            f"that bright, {choices}"
        )
    return shift


def shifted(counts: xr.DataArray, by: int) -> xr.DataArray:
    """Add to counts, lazily, without wrapping; 0, no data, stays."""
    if not by:
        return counts
    out: xr.DataArray = xr.apply_ufunc(
        shift_counts, counts, kwargs={"shift": by, "nodata": 0}, dask="parallelized", output_dtypes=[counts.dtype], keep_attrs=True
    )
    return out
