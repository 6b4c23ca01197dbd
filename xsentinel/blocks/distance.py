"""How far pixels lie from what a mask hides, in steps, over numpy or dask arrays."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.blocks.tiles import Tiling, map_tiles
from xsentinel.kernels.morphology import dilate

STEPS = (1, 2, 4, 8, 16, 32)
"""Parts of the greatest distance, as 1/32 of it, at which the score rises."""


def clear_distance(hidden: Any, reach: float) -> Any:
    """Score the distance to the nearest hidden pixel from 0 (hidden) to 1 (at ``reach`` or further).

    Parameters
    ----------
    hidden : (..., y, x) bool, numpy or dask
    reach : float
        Pixels from which on distance no longer matters.

    Returns
    -------
    (..., y, x) float32
        0, 1/6 … 1 in doubling steps of distance.
    """
    radii = [reach * step / STEPS[-1] for step in STEPS]
    tiling = Tiling(np.float32, halo=int(np.ceil(reach)))
    return map_tiles(partial(_score_block, radii=radii), hidden, tiling)


def _score_block(hidden: npt.NDArray[np.bool_], radii: list[float]) -> npt.NDArray[np.float32]:
    near = sum(dilate(hidden, radius).astype(np.float32) for radius in radii)
    return np.where(hidden, np.float32(0), np.float32(1) - near / np.float32(len(radii))).astype(np.float32)
