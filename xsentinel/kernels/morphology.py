"""Grow and shrink masks: exact dilation and erosion by a square or a disk, 64 pixels at a time.

Each row is packed to bits, widened by shifts, and or-ed into the rows above and below as far as the
footprint reaches there. Any footprint whose rows are centred intervals can be done so.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xsentinel.errors import UnitsError, XSentinelError
from xsentinel.kernels.compiled import compiled
from xsentinel.kernels.threads import over_pixels

Bytes = NDArray[np.uint8]
Words = NDArray[np.uint64]
Shape = Literal["disk", "square"]

GATHER = np.uint64(0x0102040810204080)
"""Multiplied with eight bytes of 0 or 1, it puts them side by side into the top byte."""
SPREAD = ((np.arange(256)[:, None] >> np.arange(8)) & 1).astype(np.uint8).view(np.uint64).ravel()
"""The eight bytes of 0 or 1 of each byte of bits."""
ROWS = 64
"""Rows a thread takes at a time are multiples of this."""


def footprint_widths(radius: float, shape: Shape) -> NDArray[np.int64]:
    """Return how far the footprint reaches left and right, for each row 0, 1, ... away from its centre.

    Parameters
    ----------
    radius : float, pixels
        "disk" holds the offsets with dx² + dy² <= radius²; "square" has the side 2 floor(radius) + 1.
    shape : "disk" or "square"
        Footprint.

    Returns
    -------
    numpy.ndarray (floor(radius) + 1), int64, pixels

    Examples
    --------
    >>> footprint_widths(2.0, "disk")
    array([2, 1, 0])
    """
    if not 0 <= radius < 1e6:
        raise XSentinelError(f"radius is {radius}; give pixels >= 0")
    if shape not in ("disk", "square"):
        raise XSentinelError(f"shape is {shape!r}; give 'disk' or 'square'")
    reach = math.floor(radius)
    if shape == "square":
        return np.full(reach + 1, reach)
    dy, dx = np.ogrid[: reach + 1, 1 : reach + 1]
    inside: NDArray[np.bool_] = dx * dx + dy * dy <= radius * radius
    return np.asarray(inside.sum(axis=1, dtype=np.int64))


@compiled
def pack_row(mask: Bytes, invert: bool, row: Bytes, bits: Words) -> bool:
    """Pack a row of bytes to bits, between two words of zeros; False if none is set."""
    for k in range(mask.size):
        row[k] = (mask[k] != 0) != invert
    eight = row.view(np.uint64)
    anything = np.uint64(0)
    for i in range(bits.size - 2):
        word = np.uint64(0)
        for b in range(8):
            word |= ((eight[8 * i + b] * GATHER) >> np.uint64(56)) << np.uint64(8 * b)
        bits[i + 1] = word
        anything |= word
    return bool(anything != 0)


@compiled
def unpack_row(bits: Words, invert: bool, row: Bytes, out: Bytes) -> None:
    """Write the bits of a row as bytes."""
    eight = row.view(np.uint64)
    for i in range(bits.size - 2):
        word = bits[i + 1]
        for b in range(8):
            eight[8 * i + b] = SPREAD[(word >> np.uint64(8 * b)) & np.uint64(255)]
    for k in range(out.size):
        out[k] = (row[k] != 0) != invert


@compiled
def widen_row(bits: Words, step: int, wide: Words) -> None:
    """Write each bit and those `step` (1 to 63) to its left and right."""
    near, far = np.uint64(step), np.uint64(64 - step)
    for i in range(1, bits.size - 1):
        here = bits[i]
        wide[i] = here | (here << near) | (bits[i - 1] >> far) | (here >> near) | (bits[i + 1] << far)


@compiled
def spread_row(pair: Words, widths: NDArray[np.int64], y: int, rows: tuple[int, int], ring: Words) -> None:
    """Widen row `y` step by step and or it into every row that the footprint reaches.

    A row widened by w may step by w + 1: every pixel is then reached without leaving the row on the
    way, as bits beyond its border are lost.
    """
    now, width = 0, 0
    for dy in range(widths.size - 1, -1, -1):
        while width < widths[dy]:
            step = min(widths[dy] - width, width + 1, 63)
            widen_row(pair[now], step, pair[1 - now])
            now, width = 1 - now, width + step
        for target in (y - dy, y + dy):
            if rows[0] <= target < rows[1]:
                source, sink = pair[now], ring[target % ring.shape[0]]
                for i in range(source.size):
                    sink[i] |= source[i]


@compiled
def dilate_rows(mask: Bytes, widths: NDArray[np.int64], invert: bool, out: Bytes, start: int, stop: int) -> None:
    """Dilate rows ``start <= y < stop`` of a plane (y, x); with `invert` the background, that is, erode."""
    n_rows, n_columns = mask.shape
    reach, n_words = widths.size - 1, (n_columns + 63) // 64
    row = np.zeros(64 * n_words, np.uint8)
    pair = np.zeros((2, n_words + 2), np.uint64)
    ring = np.zeros((2 * reach + 1, n_words + 2), np.uint64)
    for y in range(max(start - reach, 0), stop + reach):
        if y < n_rows:
            row[n_columns:] = 0
            if pack_row(mask[y], invert, row, pair[0]):
                spread_row(pair, widths, y, (start, stop), ring)
        done = y - reach
        if done >= start:
            unpack_row(ring[done % ring.shape[0]], invert, row, out[done])
            ring[done % ring.shape[0]] = 0


@compiled
def dilate_planes(planes: Any, widths: NDArray[np.int64], invert: bool, out: Any, start: int, stop: int) -> None:
    """Dilate the rows ``start <= row < stop`` of a stack (plane, y, x), counted through all planes."""
    n_rows = planes.shape[1]
    for p in range(start // n_rows, (stop - 1) // n_rows + 1):
        first, last = max(start - p * n_rows, 0), min(stop - p * n_rows, n_rows)
        dilate_rows(planes[p], widths, invert, out[p], first, last)


def _morph(mask: NDArray[Any], radius: float, shape: Shape, invert: bool, n_threads: int) -> NDArray[Any]:
    """Dilate a mask, or its background."""
    if mask.dtype not in (np.bool_, np.uint8) or mask.ndim < 2:
        raise UnitsError(f"mask is {mask.dtype} with shape {mask.shape}; give bool or uint8 (..., y, x)")
    widths = footprint_widths(radius, shape)
    planes = np.ascontiguousarray(mask).view(np.uint8).reshape(math.prod(mask.shape[:-2]), *mask.shape[-2:])
    out = np.empty_like(planes)
    if out.size:

        def task(start: int, stop: int) -> None:
            dilate_planes(planes, widths, invert, out, start, stop)

        over_pixels(task, planes.shape[0] * planes.shape[1], n_threads, step=ROWS)
    return out.view(mask.dtype).reshape(mask.shape)


def dilate(mask: NDArray[Any], radius: float, *, shape: Shape = "disk", n_threads: int = 1) -> NDArray[Any]:
    """Set every pixel that has a set pixel within the footprint.

    Parameters
    ----------
    mask : numpy.ndarray (..., y, x), bool or uint8
        Set where not 0; each (y, x) plane by itself. Beyond its border nothing is set.
    radius : float, pixels
        "disk": Euclidean distance between pixel centres, at most this; "square": floor(radius)
        pixels to each side.
    shape : "disk" or "square"
        Footprint.
    n_threads : int
        Threads over rows.

    Returns
    -------
    numpy.ndarray (..., y, x), dtype of `mask`
        1 (True) where set.

    Examples
    --------
    >>> dilate(np.array([[0, 0, 1, 0, 0]], np.uint8), 1)
    array([[0, 1, 1, 1, 0]], dtype=uint8)
    """
    return _morph(mask, radius, shape, False, n_threads)


def erode(mask: NDArray[Any], radius: float, *, shape: Shape = "disk", n_threads: int = 1) -> NDArray[Any]:
    """Keep only pixels whose whole footprint is set; beyond the border everything counts as set.

    Parameters and Returns are those of `dilate`, of which this is the dual:
    ``erode(m) == ~dilate(~m)``.

    Examples
    --------
    >>> erode(np.array([[0, 1, 1, 1, 1]], np.uint8), 1)
    array([[0, 0, 1, 1, 1]], dtype=uint8)
    """
    return _morph(mask, radius, shape, True, n_threads)
