"""Majority filter of maps of classes: the class that most of a window has."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.errors import UnitsError, XSentinelError
from xsentinel.kernels.compiled import compiled
from xsentinel.kernels.threads import over_pixels

Array = npt.NDArray[Any]
Counts = npt.NDArray[np.uint16]

LARGEST = 101
"""Pixels of the side of a window at most: votes are counted in 16 bits."""
ROWS = 32
"""Rows a thread takes at a time are multiples of this."""


def check_size(size: int) -> int:
    """Check the side of a window.

    Raises
    ------
    XSentinelError
        If it is not odd, or too large.
    """
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size % 2 == 0 or not 1 <= size <= LARGEST:
        raise XSentinelError(f"size is {size!r}; give an odd number of pixels, 3 to {LARGEST}, so that the window has a centre")
    return int(size)


@compiled
def count_alike(plane: Any, y: int, reach: int, void: int, same: Counts, votes: Counts, columns: Counts) -> None:
    """Count, for each pixel of a row, the votes of its window and those for its own class.

    Views without offsets keep the loops free of tests of indices, so that they run over many pixels at once.
    """
    n_rows, n_columns = plane.shape
    same[:] = 0
    votes[:] = 0
    columns[:] = 0
    furthest = min(reach, n_columns - 1)
    for other in range(max(y - reach, 0), min(y + reach + 1, n_rows)):
        row = plane[other]
        for x in range(n_columns):
            columns[x] += np.uint16(row[x] != void)
        for dx in range(-furthest, furthest + 1):
            first, last = max(-dx, 0), min(n_columns - dx, n_columns)
            centre, beside, alike = plane[y, first:last], row[first + dx : last + dx], same[first:last]
            for x in range(last - first):
                alike[x] += np.uint16(beside[x] == centre[x])
    for dx in range(-furthest, furthest + 1):
        first, last = max(-dx, 0), min(n_columns - dx, n_columns)
        beside, there = columns[first + dx : last + dx], votes[first:last]
        for x in range(last - first):
            there[x] += beside[x]


@compiled
def most_frequent(plane: Any, y: int, x: int, reach: int, void: int, counts: npt.NDArray[np.int32]) -> Any:
    """Return the class of a window that has more votes than each other, the centre's own if there is none."""
    n_rows, n_columns = plane.shape
    top, bottom = max(y - reach, 0), min(y + reach + 1, n_rows)
    left, right = max(x - reach, 0), min(x + reach + 1, n_columns)
    best, most, leaders = np.int64(plane[y, x]), 0, 0
    for i in range(top, bottom):
        for code in plane[i, left:right]:
            if code == void:
                continue
            counts[code] += 1
            if counts[code] > most:
                best, most, leaders = np.int64(code), counts[code], 1
            elif counts[code] == most:
                leaders += 1
    for i in range(top, bottom):
        for code in plane[i, left:right]:
            counts[code] = 0
    return best if leaders == 1 else np.int64(plane[y, x])


@compiled
def filter_rows(planes: Any, reach: int, void: int, out: Any, start: int, stop: int) -> None:
    """Filter the rows ``start <= row < stop`` of a stack (plane, y, x), counted through all planes.

    A class with half of the votes cannot be outvoted: where the centre has it, which in most of a map it has,
    nothing more is to be done, and that test runs over whole rows at once.
    """
    n_rows, n_columns = planes.shape[1:]
    same, votes, columns = np.zeros(n_columns, np.uint16), np.zeros(n_columns, np.uint16), np.zeros(n_columns, np.uint16)
    counts = np.zeros(1 << (8 * planes.itemsize), np.int32)
    for row in range(start, stop):
        plane, y = planes[row // n_rows], row % n_rows
        source, target = plane[y], out[row // n_rows, y]
        count_alike(plane, y, reach, void, same, votes, columns)
        for x in range(n_columns):
            target[x] = source[x]
            if 2 * same[x] < votes[x] and source[x] != void:
                target[x] = most_frequent(plane, y, x, reach, void, counts)


def smooth_majority(classes: Array, size: int, *, nodata: float | None = None, n_threads: int = 1) -> Array:
    """Give each pixel the class that has more votes in the window around it than each other class.

    Where no class has more votes than each other, the pixel keeps its own. The window ends at the border of the plane.

    Parameters
    ----------
    classes : numpy.ndarray (..., y, x), integer
        Codes; each plane (y, x) by itself.
    size : int, pixels
        Side of the window, odd.
    nodata : int, optional
        Code that neither votes nor is replaced.
    n_threads : int
        Threads over rows.

    Returns
    -------
    numpy.ndarray (..., y, x), dtype of `classes`

    Examples
    --------
    >>> smooth_majority(np.array([[1, 1, 1], [1, 2, 1], [3, 3, 3]], np.uint8), 3)
    array([[1, 1, 1], [1, 1, 1], [3, 3, 3]], dtype=uint8)
    """
    reach = check_size(size) // 2
    if classes.dtype.kind not in "iu" or classes.ndim < 2:
        raise UnitsError(f"classes are {classes.dtype} with shape {classes.shape}; give integer codes (..., y, x)")
    if classes.dtype.itemsize > 2:
        return _by_places(classes, size, nodata, n_threads)
    planes = np.ascontiguousarray(classes).reshape(-1, *classes.shape[-2:])
    limits = np.iinfo(planes.dtype)
    # only whether codes are equal matters: those with a sign go by their bits
    bits = planes.view(f"u{planes.itemsize}")
    void = -1 if nodata is None or not limits.min <= nodata <= limits.max else int(nodata) % (1 << (8 * planes.itemsize))
    out = np.empty_like(bits)
    if out.size:

        def run(start: int, stop: int) -> None:
            filter_rows(bits, reach, void, out, start, stop)

        over_pixels(run, bits.shape[0] * bits.shape[1], n_threads, step=ROWS)
    return out.view(planes.dtype).reshape(classes.shape)


def _by_places(classes: Array, size: int, nodata: float | None, n_threads: int) -> Array:
    """Filter codes of more than 16 bits by their places among those that occur."""
    codes, places = np.unique(classes, return_inverse=True)
    if codes.size > 1 << 16:
        raise UnitsError(f"{codes.size} different codes occur, which are no classes; give at most 65536")
    where = np.flatnonzero(codes == nodata) if nodata is not None else np.array([])
    small = places.reshape(classes.shape).astype(np.uint16)
    smooth = smooth_majority(small, size, nodata=int(where[0]) if where.size else None, n_threads=n_threads)
    out: Array = codes[smooth]
    return out
