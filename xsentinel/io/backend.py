"""``xarray.open_dataset(..., engine="xsentinel")``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray, BackendEntrypoint
from xarray.core import indexing


class LazyArray(BackendArray):
    """What a dask array would give, read when indexed, in the thread that asks."""

    def __init__(self, array: Any) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Read a selection."""
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> Any:
        out = self.array
        for axis in reversed(range(len(key))):  # an integer drops its axis, so the last goes first
            out = out[(slice(None),) * axis + (key[axis],)]
        return np.asarray(out.compute(scheduler="synchronous"))


class XSentinelBackend(BackendEntrypoint):
    """Sentinel-2 products for xarray, as `xsentinel.open` reads them."""

    description = "Sentinel-2 Level-2A (SAFE, zip, EOPF Zarr) as a cube of reflectance, by xsentinel"
    open_dataset_parameters = (
        "filename_or_obj",
        "drop_variables",
        "resolution",
        "bbox",
        "crs",
        "like",
        "resampling",
        "harmonise",
        "mask_and_scale",
    )

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        resolution: float | None = None,
        bbox: Sequence[float] | None = None,
        crs: Any = None,
        like: xr.Dataset | xr.DataArray | None = None,
        resampling: str | Mapping[str, str] | None = None,
        harmonise: Any = "auto",
        mask_and_scale: bool | None = True,
    ) -> xr.Dataset:
        """Open as `xsentinel.open` does; ``chunks={}`` of xarray gives the store's own."""
        from xsentinel.io.open import open as open_cube

        grid = {"resolution": resolution, "bbox": bbox, "crs": crs, "like": like, "resampling": resampling}
        cube = open_cube(filename_or_obj, **grid, harmonise=harmonise, mask_and_scale=True if mask_and_scale is None else mask_and_scale)
        dropped = [drop_variables] if isinstance(drop_variables, str) else list(drop_variables or ())
        return _lazily(cube.drop_vars(dropped, errors="ignore"))

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Tell a product by its names alone, so that `xarray.open_dataset` needs no engine."""
        from xsentinel.io.eopf import is_eopf
        from xsentinel.io.safe import is_safe

        if not isinstance(filename_or_obj, str | PathLike):
            return False
        path = Path(filename_or_obj)
        try:
            return path.exists() and (is_safe(path) or is_eopf(path))
        except OSError:
            return False


def _lazily(cube: xr.Dataset) -> xr.Dataset:
    """Put dask arrays into xarray's own lazy ones, which it chunks as it is asked to."""
    placed = {}
    for name, variable in cube.variables.items():
        if variable.chunks is None:
            continue
        data = indexing.LazilyIndexedArray(LazyArray(variable.data))
        chunks = {d: c[0] for d, c in zip(variable.dims, variable.chunks, strict=True)}
        placed[name] = xr.Variable(variable.dims, data, variable.attrs, {"preferred_chunks": chunks})
    coords = {n: v for n, v in placed.items() if n in cube.coords}
    return cube.assign({n: v for n, v in placed.items() if n not in coords}).assign_coords(coords)
