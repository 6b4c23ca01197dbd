"""The kernels that fill series in time, by name: one table for the verb and for what starts a forecast."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.cressman import fill_cressman
from xsentinel.kernels.linear import fill_linear, fill_nearest
from xsentinel.kernels.savgol import fill_savgol
from xsentinel.kernels.whittaker import fill_whittaker

FILLINGS: dict[str, Callable[..., npt.NDArray[np.float32]]] = {
    "linear": fill_linear,
    "nearest": fill_nearest,
    "cressman": fill_cressman,
    "whittaker": fill_whittaker,
    "savgol": fill_savgol,
}
"""Name → kernel."""
