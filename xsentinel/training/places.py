"""Where patches can be cut out of labelled tiles, which classes each holds, and which come next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.errors import GridError, XSentinelError
from xsentinel.kernels.cells import count_cells, sum_windows

Array = npt.NDArray[Any]

LEAST_LABELLED = 0.1
"""Share of pixels of a patch that have a label, and of those that are of the class it is drawn for (Stoian et al. 2019,
sections 3.3.2 and 3.3.6)."""

BATCH = 64
"""Blocks of labels that are computed at a time."""

SYMMETRIES = 8
"""Of a square: quarter turns, and their mirror images."""


class Draw(NamedTuple):
    """A patch to cut and how to turn it."""

    tile: int
    row: int
    """Of its first pixel."""
    column: int
    """Of its first pixel."""
    symmetry: int
    """0 … 7: as many quarter turns as its last two bits say, then mirrored if 4 or more."""


@dataclass(frozen=True)
class Places:
    """Patches that may be cut from tiles."""

    corners: npt.NDArray[np.int32]
    """(patch, 3): tile, row and column of the first pixel."""
    pixels: npt.NDArray[np.uint32]
    """(patch, class): labelled pixels."""
    of_class: tuple[npt.NDArray[np.int64], ...]
    """Of each class that is in any patch, those that are drawn for it."""

    def draw(self, n: int, key: tuple[int, ...], by_class: bool = True) -> list[Draw]:
        """Draw n patches: a class, each as likely, then one of its patches; what is drawn is a function of the key alone.

        Parameters
        ----------
        n : int
        key : tuple of int
            Seed and step.
        by_class : bool
            Otherwise each patch is as likely.
        """
        rng = np.random.default_rng(key)
        drawn = []
        for _ in range(n):
            pool = self.of_class[rng.integers(len(self.of_class))] if by_class else None
            patch = int(rng.integers(len(self.corners)) if pool is None else pool[rng.integers(len(pool))])
            tile, row, column = map(int, self.corners[patch])
            drawn.append(Draw(tile, row, column, int(rng.integers(SYMMETRIES))))
        return drawn


def turned(image: Array, symmetry: int) -> Array:
    """Turn and mirror an image (y, x, …), one of eight ways.

    Examples
    --------
    >>> turned(np.array([[1, 2], [3, 4]]), 5)
    array([[4, 2],
           [3, 1]])
    """
    out = np.rot90(image, symmetry & 3)
    return out[:, ::-1] if symmetry & 4 else out


def find_places(labels: Sequence[xr.DataArray], codes: Sequence[int], patch: int, step: int, least: float = LEAST_LABELLED) -> Places:
    """Find the patches that hold labels enough, tile by tile, labels read block by block and bands not at all.

    A class is drawn for from patches of which it is at least the same share; if there is none, from all that hold it, if
    need be also such as have labels too few.

    Parameters
    ----------
    labels : sequence of xarray.DataArray (y, x)
        Codes of each tile, 0 without label; lazy or not.
    codes : sequence of int
        Of the classes, in order.
    patch, step : int
        Pixels along a patch, and between two positions; the patch is a multiple of the step.
    least : float
        Share of the patch's pixels.

    Raises
    ------
    GridError
        If a tile is smaller than a patch, or the patch no multiple of the step.
    XSentinelError
        If there is no patch at all.
    """
    if step < 1 or patch % step:
        raise GridError(f"positions are {step} pixels apart and patches {patch} wide; give a step that patches are a multiple of")
    found = [_of_tile(label, codes, patch, step, least) for label in labels]
    corners = np.concatenate([np.insert(own, 0, k, 1) for k, (own, _) in enumerate(found)]).astype(np.int32)
    pixels = np.concatenate([counts for _, counts in found])
    enough = pixels >= least * patch**2
    of_class = []
    for k in range(len(codes)):
        drawn_for = np.flatnonzero(enough[:, k]) if enough[:, k].any() else np.flatnonzero(pixels[:, k])
        if drawn_for.size:
            of_class.append(drawn_for)
    if not of_class:
        raise XSentinelError(f"no patch of {patch} pixels holds a label; give tiles with labels inside them")
    return Places(corners, pixels, tuple(of_class))


def _of_tile(label: xr.DataArray, codes: Sequence[int], patch: int, step: int, least: float) -> tuple[Array, Array]:
    """Give corners (patch, 2) and pixels (patch, class) of one tile."""
    if min(label.sizes["y"], label.sizes["x"]) < patch:
        raise GridError(f"a tile is {label.sizes['y']} × {label.sizes['x']} pixels, and patches are {patch} wide; give larger tiles")
    counts = sum_windows(count_labels(label, codes, step), patch // step)
    total = counts.sum(2)
    valid = total >= max(1, least * patch**2)
    rare = (counts > 0).any((0, 1)) & ~(counts[valid] > 0).any(0)
    valid |= (counts[..., rare] > 0).any(2)
    return np.argwhere(valid) * step, counts[valid].astype(np.uint32)


def count_labels(label: xr.DataArray, codes: Sequence[int], side: int) -> npt.NDArray[np.int32]:
    """Count the pixels of each class in squares of a map that are whole, (row, column, class), block by block."""
    places = np.full(256, -1, np.int64)
    places[list(codes)] = np.arange(len(codes))
    label = label.transpose("y", "x")
    out = np.zeros((label.sizes["y"] // side, label.sizes["x"] // side, len(codes)), np.int32)
    for corner, block in _blocks(label):
        count_cells(np.ascontiguousarray(block, np.uint8), places, corner, side, out)
    return out


def _blocks(label: xr.DataArray) -> Any:
    """Give each block of a map with its corner, a few computed at a time."""
    if label.chunks is None:
        yield (0, 0), label.values
        return
    from dask.base import compute

    starts = [np.concatenate([[0], np.cumsum(sizes)])[:-1].tolist() for sizes in label.chunks]
    tasks = label.data.to_delayed()
    numbers = list(product(*(range(len(s)) for s in starts)))
    for first, last in pairwise([*range(0, len(numbers), BATCH), len(numbers)]):
        some = numbers[first:last]
        for (i, j), block in zip(some, compute(*(tasks[i, j] for i, j in some)), strict=True):
            yield (starts[0][i], starts[1][j]), block
