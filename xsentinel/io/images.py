"""Image files of many dates as one lazy array: windows are read when asked for, straight to the grid."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.errors import ReadError
from xsentinel.io.source import Chunks
from xsentinel.kernels.scale import shift_counts

BLOCK = 1024
"""Pixels a chunk along y and x at least, where the file's own blocks are smaller."""

OPEN_FILES = 24
"""Files that each thread keeps open."""

OVERVIEW, SMALL, RINGING = 8, 512, 4
"""Of the look at dark pixels: reduction, pixels below which an image is read whole, pixels near no data left out."""

GDAL_OPTIONS = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": "NO"}
"""Neighbouring files are not looked for: thousands lie beside an image in a folder of products."""

Box = tuple[slice, slice]


@dataclass(frozen=True)
class Piece:
    """One image, where it lies on the grid."""

    path: str
    """As GDAL opens it."""
    stamp: tuple[int, int]
    """Size and time of change of the file: another file of the same name is not the same."""
    row: int
    """Row of the grid that the image's first row lies on; may be negative."""
    column: int
    shape: tuple[int, int]
    """Rows and columns that the image must have."""
    shift: int = 0
    """Counts to add where there are data."""


@dataclass(frozen=True)
class Layer:
    """One band at many dates, (time, y, x), an array to dask: what is sliced is read."""

    dates: tuple[tuple[Piece, ...], ...]
    """For each date its images; where the first has no data, the next is taken."""
    shape: tuple[int, int, int]
    dtype: Any
    nodata: int = 0

    @property
    def ndim(self) -> int:
        """Three."""
        return 3

    def __getitem__(self, key: tuple[slice, slice, slice]) -> npt.NDArray[Any]:
        """Read a window of some dates; steps are not supported, as dask asks for none."""
        times, *box = (range(*k.indices(n)) for k, n in zip(key, self.shape, strict=True))
        rows, columns = (slice(r.start, r.stop) for r in box)
        out = np.full((len(times), rows.stop - rows.start, columns.stop - columns.start), self.nodata, self.dtype)
        for i, t in enumerate(times):
            for n, piece in enumerate(self.dates[t]):
                if not self._lay(piece, (rows, columns), out[i], fresh=n == 0):
                    break
        return out

    def _lay(self, piece: Piece, box: Box, out: npt.NDArray[Any], *, fresh: bool) -> bool:
        """Put an image where there are no data yet, nowhere any if ``fresh``; tell whether any such place is left."""
        wanted = tuple(_overlap(b, first, n) for b, first, n in zip(box, (piece.row, piece.column), piece.shape, strict=True))
        if any(w.stop <= w.start for w in wanted):
            return True
        there = tuple(slice(w.start - first, w.stop - first) for w, first in zip(wanted, (piece.row, piece.column), strict=True))
        target = out[tuple(slice(w.start - b.start, w.stop - b.start) for w, b in zip(wanted, box, strict=True))]
        values = shift_counts(read_window(piece, there), piece.shift, self.nodata)
        if fresh:
            target[...] = values
        else:
            np.copyto(target, values, where=target == self.nodata)
        return bool((out == self.nodata).any())


def _overlap(wanted: slice, first: int, n: int) -> slice:
    return slice(max(wanted.start, first), min(wanted.stop, first + n))


def stamp_of(path: Path) -> tuple[int, int]:
    """Give size and time of change of a file."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


class _OpenFiles(threading.local):
    """The files that a thread read last."""

    def __init__(self) -> None:
        self.files: OrderedDict[tuple[str, tuple[int, int]], Any] = OrderedDict()

    def get(self, piece: Piece) -> Any:
        key = (piece.path, piece.stamp)
        if key in self.files:
            self.files.move_to_end(key)
            return self.files[key]
        import rasterio

        with rasterio.Env(**GDAL_OPTIONS):
            self.files[key] = rasterio.open(piece.path)
        while len(self.files) > OPEN_FILES:
            self.files.popitem(last=False)[1].close()
        return self.files[key]


_FILES = _OpenFiles()


def read_window(piece: Piece, box: tuple[slice, ...]) -> npt.NDArray[Any]:
    """Read a window of an image.

    Raises
    ------
    ReadError
        If it cannot be opened or decoded, or has another size than its product says.
    """
    from rasterio.errors import RasterioError
    from rasterio.windows import Window

    try:
        file = _FILES.get(piece)
        if file.shape != piece.shape:
            raise ReadError(
                f"{piece.path} has {file.shape[0]} × {file.shape[1]} pixels, and its product's grid {piece.shape[0]} × {piece.shape[1]}; "
                f"it is not of this product: download it again"
            )
        rows, columns = box
        out: npt.NDArray[Any] = file.read(1, window=Window.from_slices((rows.start, rows.stop), (columns.start, columns.stop)))
    except RasterioError as err:
        raise ReadError(f"{piece.path} cannot be decoded ({err}); it is truncated or damaged: download the product again") from err
    return out


def blocks_of(piece: Piece) -> tuple[tuple[int, int], str]:
    """Give the block shape and dtype of an image."""
    from rasterio.errors import RasterioError

    try:
        file = _FILES.get(piece)
    except RasterioError as err:
        raise ReadError(f"{piece.path} cannot be opened as an image ({err}); download the product again") from err
    return file.block_shapes[0], str(file.dtypes[0])


def lazy(layer: Any, blocks: tuple[int, int], chunks: Chunks) -> Any:
    """Give what has shape, dtype and slices as a dask array, in multiples of the file's own blocks; in memory if chunks is None."""
    import dask.array as da

    if chunks is None:
        return layer[tuple(slice(0, n) for n in layer.shape)]
    own = tuple(min(n, b * max(1, BLOCK // b)) for n, b in zip(layer.shape[1:], blocks, strict=True))
    cut = (chunks.get("time", 1), chunks.get("y", own[0]), chunks.get("x", own[1]))
    return da.from_array(layer, chunks=cut, asarray=False, fancy=False, lock=False, meta=np.empty((0, 0, 0), layer.dtype))


def dark_count(piece: Piece, share: float) -> float | None:
    """Give the counts below which the darkest ``share`` per cent lie, of an overview; None if there are no data.

    In an overview, wavelets ring where data meet no data: what lies near that is left out, and of an image
    with hardly anything else, or a small one, all pixels are read.
    """
    from rasterio.errors import RasterioError

    try:
        file = _FILES.get(piece)
        small = min(file.shape) < SMALL
        counts = file.read(1, out_shape=None if small else tuple(n // OVERVIEW for n in file.shape))
        there = counts != 0 if small else _inside(counts != 0)
        if not small and there.sum() < SMALL:
            counts = file.read(1)
            there = counts != 0
    except RasterioError as err:
        raise ReadError(f"{piece.path} cannot be decoded ({err}); it is truncated or damaged: download the product again") from err
    return float(np.percentile(counts[there], share)) if there.any() else None


def _inside(there: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Leave out what is within a few pixels of no data."""
    for axis in (0, 1):
        padded = np.pad(there, [(RINGING, RINGING) if a == axis else (0, 0) for a in (0, 1)], constant_values=True)
        there = np.lib.stride_tricks.sliding_window_view(padded, 2 * RINGING + 1, axis).min(-1)
    return there
