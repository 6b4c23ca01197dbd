"""Bands as stored to the input planes of a network: decoded, normalised, gaps at zero, channels innermost."""

from __future__ import annotations

from typing import Any

import numpy as np

from xsentinel.kernels.compiled import compiled, inlined

_jit: Any = compiled  # Any: the functions below carry no types, blocks call them
_inline: Any = inlined


@_inline
def _decode(line, gain, shift, nodata, plane, seen):
    """Decode and normalise one line of a band; unset seen where it is missing."""
    for j in range(line.size):
        value = np.float32(line[j])
        # of NaN and infinity, value - value is not 0
        seen[j] = seen[j] if (value - value == 0) & (value != nodata) else np.int32(0)
        plane[j] = value * gain + shift


@_jit
def fill_channels(stored, gain, shift, nodata, geometry, out, valid):
    """Write (value · gain + shift) of each band into its channel, then geometry; where any is missing, 0 into all.

    All channels of a row are written at once, while they are in L1: a plane at a time would go through the
    whole of ``out`` once a plane, which took three times as long.

    Parameters
    ----------
    stored : (band, y, x), uint16 or float32
    gain, shift : (band,), float32
        Decoding and normalisation in one: (stored · scale + offset − low) / (high − low).
    nodata : (band,), float32
        Stored value that means no data; NaN for a band that has none. NaN and infinity always do.
    geometry : (plane, y, x), float32
        Normalised; NaN is missing. Strides may be 0.
    out : (y, x, band and plane), float32
        Written.
    valid : (y, x), bool
        Unset where a band or a plane is missing; what is unset on entry stays so.
    """
    n_bands, height, width = stored.shape
    # planar first, where the arithmetic is done eight at a time; then a row of pixels at once, while it is in L1
    planes, seen = np.empty((n_bands, width), np.float32), np.empty(width, np.int32)
    for i in range(height):
        row, here = out[i], valid[i]
        for j in range(width):
            seen[j] = here[j]
        for k in range(n_bands):
            _decode(stored[k, i], gain[k], shift[k], nodata[k], planes[k], seen)
        for j in range(width):
            for k in range(geometry.shape[0]):
                value = geometry[k, i, j]
                seen[j] = seen[j] if value - value == 0 else np.int32(0)
                row[j, n_bands + k] = value
            here[j] = seen[j] != 0
            if here[j]:
                for k in range(n_bands):
                    row[j, k] = planes[k, j]
            else:
                for k in range(row.shape[1]):
                    row[j, k] = np.float32(0)


@_jit
def fill_dates(stored, gain, shift, nodata, least, out, valid):
    """Write (value · gain + shift) of the bands of several dates into a pixel's series, and which dates were seen.

    A date that misses a band counts as not seen: its planes are 0, the last of them too, which is 1 elsewhere. A pixel
    seen at fewer than ``least`` dates is all 0.

    Parameters
    ----------
    stored : (date, band, y, x), uint16 or float32
    gain, shift : (band,), float32
        As of `fill_channels`.
    nodata : (band,), float32
        As of `fill_channels`.
    least : int
        Dates.
    out : (y, x, date, band + 1), float32
        Written.
    valid : (y, x), bool
        Written: whether enough dates were seen.
    """
    n_dates, n_bands, height, width = stored.shape
    planes, seen = np.empty((n_bands, width), np.float32), np.empty(width, np.int32)
    total = np.empty(width, np.int32)
    for i in range(height):
        total[:] = 0
        for t in range(n_dates):
            seen[:] = 1
            for k in range(n_bands):
                _decode(stored[t, k, i], gain[k], shift[k], nodata[k], planes[k], seen)
            for j in range(width):
                row = out[i, j, t]
                there = np.float32(seen[j])
                for k in range(n_bands):
                    row[k] = planes[k, j] if seen[j] else np.float32(0)
                row[n_bands] = there
                total[j] += seen[j]
        for j in range(width):
            valid[i, j] = total[j] >= least
            if not valid[i, j]:
                out[i, j] = 0


@_inline
def _write(line, seen, clip, half, row):
    """Write one line of a plane as float32, or as the upper half of it (bfloat16, to the nearest, ties to even); 0 where unseen."""
    for j in range(line.size):
        value = line[j] if seen[j] else np.float32(0)
        line[j] = min(max(value, np.float32(0)), np.float32(1)) if clip else value
    if half:
        bits = line.view(np.uint32)
        for j in range(line.size):
            row[j] = (bits[j] + np.uint32(0x7FFF) + ((bits[j] >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    else:
        for j in range(line.size):
            row[j] = line[j]


@_jit
def fill_groups(stored, gain, shift, nodata, clip, half, out, valid):
    """Write (value · gain + shift) of the bands of groups of dates into an image a group; where any is missing, 0 into all.

    Channels of an image: its planes, then one that is 1 everywhere, then 0.

    Parameters
    ----------
    stored : (group × plane, y, x), uint16 or float32
    gain, shift, nodata : (group × plane,), float32
        As of `fill_channels`.
    clip : bool
        Whether to clip to 0 … 1.
    half : bool
        Whether out holds the bits of bfloat16.
    out : (group, y, x, channel), float32 or uint16
        Written.
    valid : (y, x), bool
        Written: where nothing is missing.
    """
    n_bands, height, width = stored.shape
    groups, n_channels = out.shape[0], out.shape[3]
    per = n_bands // groups
    planes, seen, rows = np.empty((n_bands, width), np.float32), np.empty(width, np.int32), np.empty((n_bands, width), out.dtype)
    one = out.dtype.type(0x3F80 if half else 1)
    for i in range(height):
        seen[:] = 1
        for k in range(n_bands):
            _decode(stored[k, i], gain[k], shift[k], nodata[k], planes[k], seen)
        for k in range(n_bands):
            _write(planes[k], seen, clip, half, rows[k])
        for j in range(width):
            valid[i, j] = seen[j] != 0
        for g in range(groups):
            for j in range(width):
                pixel = out[g, i, j]
                for c in range(per):
                    pixel[c] = rows[g * per + c, j]
                pixel[per] = one
                for c in range(per + 1, n_channels):
                    pixel[c] = 0
