"""Windows cut out of cubes larger than memory, straight from their chunks, those read lately kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from itertools import product
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.cube import Encoding, encoding_of
from xsentinel.errors import GridError
from xsentinel.kernels.scale import decode

Array = npt.NDArray[Any]


class Kept:
    """Blocks read lately, up to so many bytes: the one not asked for the longest goes first. For several threads.

    Parameters
    ----------
    limit : int, bytes

    Examples
    --------
    >>> kept = Kept(100)
    >>> [len(kept.get(k, lambda: np.zeros(8))) for k in (1, 2, 1)], kept.n_read, kept.n_bytes
    ([8, 8, 8], 3, 64)
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.n_bytes, self.n_read = limit, 0, 0
        self._blocks: OrderedDict[Hashable, Array] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, read: Callable[[], Array]) -> Array:
        """Give a block, read if it is not here; two threads that miss the same one at once both read it."""
        with self._lock:
            found = self._blocks.get(key)
            if found is not None:
                self._blocks.move_to_end(key)
                return found
        block = read()
        with self._lock:
            self.n_read += 1
            if key not in self._blocks and block.nbytes <= self.limit:
                self._blocks[key] = block
                self.n_bytes += block.nbytes
                while self.n_bytes > self.limit:
                    self.n_bytes -= self._blocks.popitem(last=False)[1].nbytes
        return block


@dataclass(frozen=True, eq=False)
class Tile:
    """The bands of a cube, in the order of a network's channels."""

    name: str
    parts: tuple[Any, ...]
    """Bands, numpy or dask, as stored: each (time, y, x), or several together, (band, time, y, x)."""
    codes: tuple[Encoding, ...]
    """How each part is stored."""
    kept: Kept
    """Blocks of it and of other tiles."""
    starts: tuple[tuple[Array, ...], ...] = field(init=False)
    """Where the blocks of each part begin and the last ends, along its dimensions."""

    def __post_init__(self) -> None:
        starts = tuple(tuple(_starts(sizes) for sizes in getattr(p, "chunks", [(n,) for n in p.shape])) for p in self.parts)
        object.__setattr__(self, "starts", starts)

    @classmethod
    def of(cls, name: str, parts: Sequence[xr.DataArray], kept: Kept) -> Tile:
        """Take bands as they are: in memory, lazy, or still on disk.

        Raises
        ------
        GridError
            If one has no time.
        """
        arrays = []
        for part in parts:
            if "time" not in part.dims:
                raise GridError(f"{part.name} of tile {name} has no dimension time; land cover is learnt from several dates")
            on_disk = part.chunks is None and not part.variable._in_memory
            part = part.chunk(part.encoding.get("preferred_chunks", {})) if on_disk else part
            arrays.append(part.transpose(..., "time", "y", "x").data)
        return cls(name, tuple(arrays), tuple(encoding_of(p) for p in parts), kept)

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels along y and x."""
        return self.parts[0].shape[-2], self.parts[0].shape[-1]

    @property
    def sizes(self) -> list[int]:
        """Bands of each part."""
        return [p.shape[0] if p.ndim == 4 else 1 for p in self.parts]

    @property
    def is_mixed(self) -> bool:
        """Whether bands are stored in several ways, so that windows are decoded."""
        return len({p.dtype for p in self.parts}) > 1

    @property
    def encodings(self) -> tuple[Encoding, ...]:
        """How the values of each band of a window are stored."""
        return tuple(Encoding() if self.is_mixed else code for code, n in zip(self.codes, self.sizes, strict=True) for _ in range(n))

    def cut(self, row: int, column: int, side: int) -> Array:
        """Give a window (time, band, y, x): as stored, or of mixed bands decoded, float32."""
        n_times = self.parts[0].shape[-3]
        dtype = np.float32 if self.is_mixed else self.parts[0].dtype
        out = np.empty((n_times, sum(self.sizes), side, side), dtype)
        first = 0
        for k, n in enumerate(self.sizes):
            window = (slice(0, n), slice(0, n_times), slice(row, row + side), slice(column, column + side))
            here = out[:, first : first + n].swapaxes(0, 1)
            self._fill(k, window[4 - self.parts[k].ndim :], here if self.parts[k].ndim == 4 else here[0])
            first += n
        return out

    def _fill(self, k: int, window: tuple[slice, ...], out: Array) -> None:
        """Copy a window of one part out of its blocks."""
        for number in product(*(_touched(s, w) for s, w in zip(self.starts[k], window, strict=True))):
            block = self._block(k, number)
            corner = [int(s[i]) for s, i in zip(self.starts[k], number, strict=True)]
            begins = [max(w.start, c) for w, c in zip(window, corner, strict=True)]
            ends = [min(w.stop, c + n) for w, c, n in zip(window, corner, block.shape, strict=True)]
            source = block[tuple(slice(b - c, e - c) for b, e, c in zip(begins, ends, corner, strict=True))]
            place = tuple(slice(b - w.start, e - w.start) for b, e, w in zip(begins, ends, window, strict=True))
            code = self.codes[k]
            out[place] = decode(source, code.scale, code.offset, code.nodata) if self.is_mixed else source

    def _block(self, k: int, number: tuple[int, ...]) -> Array:
        """Give one block of a part."""
        part = self.parts[k]
        if isinstance(part, np.ndarray):
            return part
        return self.kept.get((self.name, k, number), lambda: _computed(part, number))


def _touched(starts: Array, window: slice) -> range:
    """Give the numbers of the blocks that a window touches along one dimension."""
    return range(int(np.searchsorted(starts, window.start, "right")) - 1, int(np.searchsorted(starts, window.stop)))


def _starts(sizes: Sequence[int]) -> Array:
    return np.concatenate([[0], np.cumsum(sizes)])


def _computed(array: Any, number: tuple[int, ...]) -> Array:
    """Compute one block of a dask array in this thread; of its graph only what leads to the block is laid out."""
    from dask.local import get_sync

    key = (array.name, *number)
    return np.asarray(get_sync(array.dask.cull([key]).to_dict(), key))
