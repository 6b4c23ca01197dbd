"""Masks that grow and shrink by a distance, tile by tile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial, reduce
from operator import or_
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.blocks.tiles import Tiling, map_tiles
from xsentinel.kernels.morphology import Shape, dilate, erode
from xsentinel.kernels.threads import n_cores


@dataclass(frozen=True)
class Part:
    """How a part of a mask grows and shrinks."""

    distance: float
    """Dilation."""
    firm: bool
    """Whether it is kept from erosion."""


STILL = Part(0.0, True)
"""What neither grows nor shrinks."""


@dataclass(frozen=True)
class Growth:
    """What a block of bits, one a part, needs to know; distances in pixels."""

    parts: tuple[Part, ...]
    erode: float
    shape: Shape
    n_threads: int

    @property
    def halo(self) -> int:
        """How far away pixels matter."""
        return int(self.erode) + max(int(part.distance) for part in self.parts)


def grow(parts: Mapping[Part, xr.DataArray], erode: float, shape: Shape, pixel: float) -> xr.DataArray:
    """Erode the union of a mask's parts, dilate what is left of each by its own distance, and join them.

    Beyond the scene all counts as set in erosion and as not set in dilation. All parts go through one
    overlap; the result is the same for any chunks.

    Parameters
    ----------
    parts : mapping from Part to xarray.DataArray, bool, at least one and at most 16
        Of (time, y, x), (y, x) or, if they are `STILL`, (time), without coordinates.
    erode : float
        Distance, in the unit of `pixel`, as those of the parts.
    shape : {"disk", "square"}
        Of the neighbourhood.
    pixel : float
        Side of a pixel.

    Returns
    -------
    xarray.DataArray, bool
        With all dims of the parts, in the order time, y, x; lazy if a part is.

    Examples
    --------
    >>> cloud, shadow = (xr.DataArray([line], dims=("y", "x")) for line in ([False, True] + [False] * 4, [False] * 5 + [True]))
    >>> grow({Part(20, False): cloud, Part(0, False): shadow}, 0, "disk", pixel=20).values.astype(int)
    array([[1, 1, 1, 0, 0, 1]])
    """
    moving = {part: mask for part, mask in parts.items() if part != STILL}
    done = [parts[STILL]] if STILL in parts else []
    if erode or any(part.distance for part in moving):
        done += [_moved(moving, erode, shape, pixel)] if moving else []
    else:
        done += list(moving.values())
    return _ordered(reduce(or_, done))


def _ordered(mask: xr.DataArray) -> xr.DataArray:
    return mask.transpose("time", "y", "x", missing_dims="ignore")


def _moved(parts: Mapping[Part, xr.DataArray], erode: float, shape: Shape, pixel: float) -> xr.DataArray:
    """Put the parts into bits and go through the tiles."""
    bits = _ordered(reduce(or_, [mask.astype(np.uint16) * np.uint16(1 << k) for k, mask in enumerate(parts.values())]))
    scale = (1 + 1e-6) / pixel  # coordinates are inexact: 60 m are three pixels of 20.000001 m too
    n_threads = n_cores() if bits.chunks is None else 1
    growth = Growth(tuple(Part(p.distance * scale, p.firm) for p in parts), erode * scale, shape, n_threads)
    return bits.copy(data=map_tiles(partial(_grow_block, growth=growth), bits.data, Tiling(np.bool_, growth.halo)))


def _grow_block(bits: npt.NDArray[np.uint16], growth: Growth) -> npt.NDArray[np.bool_]:
    """Do one block."""
    how: dict[str, Any] = {"shape": growth.shape, "n_threads": growth.n_threads}
    loose = np.uint16(sum(1 << k for k, part in enumerate(growth.parts) if not part.firm))
    core = erode(bits & loose != 0, growth.erode, **how) if growth.erode >= 1 else None
    grown = np.zeros(bits.shape, np.bool_)
    for k, part in enumerate(growth.parts):
        mask = bits & np.uint16(1 << k) != 0
        if core is not None and not part.firm:
            mask &= core
        grown |= dilate(mask, part.distance, **how) if part.distance >= 1 else mask
    return grown
