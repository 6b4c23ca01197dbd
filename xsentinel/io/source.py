"""What a reader must be, and what it hands over."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import xarray as xr

Chunks = dict[Any, Any] | None
"""As `xarray.open_dataset` takes them; None for arrays in memory."""


@dataclass(frozen=True, eq=False)
class Raw:
    """One Dataset as its store holds it: one grid, integers undecoded, foreign names."""

    ds: xr.Dataset
    """Opened with ``mask_and_scale=False``."""
    label: str
    """Path, for messages."""


class Reader(Protocol):
    """A form that Sentinel-2 comes in."""

    form: str
    """What to call it in messages."""

    def can_read(self, path: Path) -> bool:
        """Tell from the name, and at most a look at the folder, whether this is the form."""

    def read(self, path: Path, chunks: Chunks) -> list[Raw]:
        """Open lazily, one Raw for each grid."""
