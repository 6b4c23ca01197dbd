"""What every compositing kernel shares: gaps, groups of dates, ranges of pixels, tiles of several bands.

Arrays are C-contiguous ``(time, pixel)``. A kernel takes whole arrays and the range ``start, stop`` of pixels to
work on, writes into ``out`` and holds no lock, hence ranges run in any number of threads. No kernel lets pixels
meet, and none contracts or reorders arithmetic, hence any split of the pixels gives the same bits.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from xsentinel.errors import GridError, TimeError, UnitsError
from xsentinel.kernels.compiled import compiled
from xsentinel.kernels.threads import over_pixels

Values: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.uint16]
Float32: TypeAlias = npt.NDArray[np.float32]
UInt16: TypeAlias = npt.NDArray[np.uint16]
Int16: TypeAlias = npt.NDArray[np.int16]
Int32: TypeAlias = npt.NDArray[np.int32]
Int64: TypeAlias = npt.NDArray[np.int64]

TILE_PIXELS = 128  # of which a tile is a multiple
TILE_VALUES = 1 << 18  # float32 values of a tile: 1 MiB, so that what was packed is still in L2 when used


class Encoding(NamedTuple):
    """How values are stored: reflectance = stored * scale + offset, except gaps."""

    nodata: np.float32 | np.uint16
    """Stored value of a gap; NaN is always one."""
    least: np.float32 | np.uint16
    """Least value of the dtype."""
    greatest: np.float32 | np.uint16
    """Greatest value of the dtype."""
    scale: np.float32
    """Reflectance [1] of one stored unit."""
    offset: np.float32
    """Reflectance [1] of stored zero."""


def encoding_of(values: Values, nodata: float | None = None, scale: float = 1.0, offset: float = 0.0) -> Encoding:
    """Describe stored values in their own dtype, so that a kernel never converts what it compares.

    Parameters
    ----------
    values : numpy.ndarray (time, pixel), float32 or uint16
        Stored values.
    nodata : float, optional
        Stored value of a gap: 0 for uint16 unless given; none but NaN for float32 unless given.
    scale, offset : float, reflectance [1]
        reflectance = stored * scale + offset.

    Returns
    -------
    Encoding
        The same with numpy scalars.
    """
    if values.ndim != 2 or not values.flags.c_contiguous:
        raise GridError(
            f"values must be C-contiguous (time, pixel), found shape {values.shape}, strides {values.strides}: "
            "pass numpy.ascontiguousarray(values).reshape(n_times, -1)"
        )
    factors = np.float32(scale), np.float32(offset)
    if values.dtype == np.float32:
        gap = np.float32(np.nan if nodata is None else nodata)
        return Encoding(gap, np.float32(-np.inf), np.float32(np.inf), *factors)
    if values.dtype == np.uint16:
        return Encoding(_gap_uint16(nodata), np.uint16(0), np.uint16(0xFFFF), *factors)
    raise UnitsError(f"values must be float32 or uint16, found {values.dtype}: convert with values.astype('float32')")


def _gap_uint16(nodata: float | None) -> np.uint16:
    """Give the stored value of a gap, 0 where none is given (None or NaN)."""
    if nodata is None or np.isnan(nodata):
        return np.uint16(0)
    if nodata not in range(0x10000):
        raise UnitsError(f"nodata is {nodata}; values are uint16: give a whole number from 0 to 65535")
    return np.uint16(nodata)


def dates_of_groups(groups: npt.ArrayLike, n_times: int, n_groups: int) -> list[Int64]:
    """List the dates of each group, in order of time.

    Parameters
    ----------
    groups : array_like (time,), int
        Group of each date, 0 to n_groups - 1; -1 for a date not used.
    n_times, n_groups : int
        Number of dates in the values, and of groups in the result.

    Returns
    -------
    list of numpy.ndarray (date of the group,), int64
        Indices along time.

    Examples
    --------
    >>> [dates.tolist() for dates in dates_of_groups([0, 1, 0, -1], 4, 2)]
    [[0, 2], [1]]
    """
    group = np.asarray(groups)
    if group.shape != (n_times,) or group.dtype.kind not in "iu":
        raise TimeError(
            f"groups must be {n_times} integers, one a date, found shape {group.shape}, {group.dtype}: "
            "give the group of each date, -1 for none"
        )
    if group.size and (int(group.min()) < -1 or int(group.max()) >= n_groups):
        raise TimeError(f"groups must lie in -1 to {n_groups - 1}, found {group.min()} to {group.max()}: raise n_groups")
    return [np.flatnonzero(group == g) for g in range(n_groups)]


@compiled
def pack_band(values: Values, dates: Int64, encoding: Encoding, start: int, packed: Float32, present: Float32) -> None:
    """Copy some dates and pixels of a band as reflectance, 0 in gaps, and mark gaps in ``present``.

    Parameters
    ----------
    values : numpy.ndarray (time, pixel), float32 or uint16
        Stored values.
    dates : numpy.ndarray (date of the group,), int64
        Indices along time.
    encoding : Encoding
        Of values.
    start : int
        First pixel.
    packed : numpy.ndarray (date of the group, pixel of the tile), float32, reflectance [1]
        Written.
    present : numpy.ndarray (date of the group, pixel of the tile), float32, 1 or 0
        Set to 0 where the band has a gap or is infinite; else left.
    """
    nodata, scale, offset = encoding.nodata, encoding.scale, encoding.offset
    width = packed.shape[1]
    for k in range(dates.size):
        source = values[dates[k], start : start + width]
        target, seen = packed[k], present[k]
        for p in range(width):
            stored = source[p]
            value = np.float32(stored) * scale + offset
            # NaN and infinity are the numbers that differ from 0 when taken from themselves
            gap = (stored == nodata) | (value - value != np.float32(0))
            target[p] = np.float32(0) if gap else value
            seen[p] = np.float32(0) if gap else seen[p]


class Composite(NamedTuple):
    """One value a group and pixel."""

    values: Float32
    """(group, pixel), or (band, group, pixel) of several bands; float32, reflectance [1], NaN without data."""
    n_obs: UInt16
    """(group, pixel), uint16, number of valid dates."""


class Tile(NamedTuple):
    """Some pixels of all bands at the dates of one group."""

    values: Float32
    """(band, date of the group, pixel of the tile), reflectance [1], 0 in gaps."""
    present: Float32
    """(date of the group, pixel of the tile), 1 where no band has a gap, else 0."""
    dates: Int64
    """(date of the group,), indices along time."""
    group: int
    """Index of the group."""
    start: int
    """First pixel."""
    stop: int
    """Last pixel + 1."""


class Layers(NamedTuple):
    """Bands on one grid, each with its encoding, and the dates of the groups."""

    bands: Sequence[Values]
    """Each (time, pixel), stored values."""
    encodings: Sequence[Encoding]
    """One a band."""
    groups: Sequence[Int64]
    """Dates of each group."""

    @property
    def n_pixels(self) -> int:
        """Number of pixels of each band."""
        return int(self.bands[0].shape[1])

    def tile(self, group: int, start: int, stop: int) -> Tile:
        """Pack pixels start to stop at the dates of a group."""
        dates = self.groups[group]
        shape = dates.size, stop - start
        values = np.empty((len(self.bands), *shape), np.float32)
        present = np.ones(shape, np.float32)
        for b, (band, encoding) in enumerate(zip(self.bands, self.encodings, strict=True)):
            pack_band(band, dates, encoding, start, values[b], present)
        return Tile(values, present, dates, group, start, stop)

    def run_tiles(self, work: Callable[[Tile], None], n_threads: int = 1) -> None:
        """Call ``work`` on all tiles, small enough for L2, in so many threads."""

        def task(start: int, stop: int) -> None:
            for group, dates in enumerate(self.groups):
                step = max(TILE_VALUES // (len(self.bands) * max(dates.size, 1)) // TILE_PIXELS * TILE_PIXELS, TILE_PIXELS)
                for first in range(start, stop, step):
                    work(self.tile(group, first, min(first + step, stop)))

        over_pixels(task, self.n_pixels, n_threads, step=TILE_PIXELS)


def layers_of(bands: Sequence[Values], groups: npt.ArrayLike, n_groups: int, encoding: tuple[float | None, float, float]) -> Layers:
    """Check bands and groups against each other and describe them.

    Parameters
    ----------
    bands : sequence of numpy.ndarray (time, pixel), float32 or uint16; or one array (band, time, pixel)
        Stored values.
    groups : array_like (time,), int
        Group of each date; -1 for none.
    n_groups : int
        Number of groups.
    encoding : (float or None, float, float)
        nodata, scale, offset, as in ``encoding_of``.

    Returns
    -------
    Layers
        To run kernels on.
    """
    shapes = {band.shape for band in bands}
    if len(shapes) != 1:
        raise GridError(f"bands must be one or more and of one shape, found {sorted(shapes)}: resample them first")
    encodings = [encoding_of(band, *encoding) for band in bands]
    return Layers(tuple(bands), encodings, dates_of_groups(groups, bands[0].shape[0], n_groups))
