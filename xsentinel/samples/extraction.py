"""Series of samples out of a cube of any size: only the blocks that hold samples are read, a few at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.bands import known_band
from xsentinel.cube import Encoding, band_variables, check_reflectance, encoding_of, pixel_size, select_bands
from xsentinel.errors import BandError, GridError
from xsentinel.samples.tables import assemble, open, save_in_parts  # noqa: A004

Array = npt.NDArray[Any]


def extract(
    cube: xr.Dataset,
    table: xr.Dataset,
    *,
    bands: Sequence[str] | None = None,
    path: str | PathLike[str] | None = None,
    n_blocks: int = 8,
    progress: bool = False,
) -> xr.Dataset:
    """Take the series of samples out of a cube.

    Of a lazy cube, be it opened or the result of other verbs, only the blocks that hold samples are computed, `n_blocks`
    places at a time; so memory holds these, and the samples unless they go to `path`.

    Parameters
    ----------
    cube : xarray.Dataset (time, y, x)
        Bands as reflectance, or integers with scale_factor; lazy or in memory.
    table : xarray.Dataset
        Samples with ``x`` and ``y`` (sample), the centres of pixels in the cube's CRS, of `draw` or one's own; its other
        variables and coordinates go along.
    bands : sequence of str, optional
        Names or aliases; by default all that the cube has.
    path : path, optional
        Zarr store to write samples to, one part after the other.
    n_blocks : int
        Blocks of land in memory at a time; each as large as the chunks of the cube.
    progress : bool
        Show a bar.

    Returns
    -------
    xarray.Dataset
        ``reflectance`` (sample, time, band), float32 [1], NaN where there is no data; with `path`, lazily read from there.
        Coordinates: those of the table, ``label`` (sample), ``time``, ``band``. The attribute ``resolution_m`` is the pixel's
        side, which `train_crops` writes into a model's card.

    Raises
    ------
    BandError
        If a band is missing.
    GridError
        If samples lie outside the cube, or in another CRS.

    Examples
    --------
    >>> import xsentinel as xs
    >>> cube = xs.sample("romania")
    >>> table = xr.Dataset({"label": ("sample", [1, 2])}, {"x": cube.x[[3, 8]].drop_vars("x").rename(x="sample"),
    ...                    "y": cube.y[[4, 5]].drop_vars("y").rename(y="sample")})
    >>> made = extract(cube, table, bands=["red", "nir"])
    >>> bool((made.reflectance[1, :, 0].values == cube.B04[:, 5, 8].values).all()), made.band.values.tolist()
    (True, ['B04', 'B08'])
    """
    names = [known_band(band).name for band in bands] if bands is not None else list(band_variables(cube))
    if not names:
        raise BandError(f"the cube has no band; its variables are {', '.join(map(str, cube.data_vars)) or 'none'}")
    layers = [_lazily(band) for band in select_bands(cube, names, "extract")]
    if "time" not in layers[0].dims:
        layers = [band.expand_dims("time") for band in layers]
    places = _places(cube, table)
    if min(cube.sizes["y"], cube.sizes["x"]) > 1:
        table = table.assign_attrs(resolution_m=round(abs(pixel_size(cube)[1]), 3))
    parts = _parts(layers, places, n_blocks, progress)
    axes = {"time": layers[0]["time"].variable if "time" in layers[0].coords else np.arange(layers[0].sizes["time"]), "band": names}
    if path is not None:
        shape = table.sizes["sample"], layers[0].sizes["time"], len(names)
        save_in_parts(parts, shape, table, axes, path)
        return open(path)
    values = np.full((table.sizes["sample"], layers[0].sizes["time"], len(names)), np.nan, np.float32)
    for members, part in parts:
        values[members] = part
    return assemble(values, table, axes)


def _lazily(band: xr.DataArray) -> xr.DataArray:
    """Give a band that is still on disk the chunks that it has there."""
    if band.chunks is None and not band.variable._in_memory:
        return band.chunk(band.encoding.get("preferred_chunks", {}))
    return band


@dataclass(frozen=True)
class Places:
    """Rows and columns of samples in the cube."""

    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]


def _places(cube: xr.Dataset, table: xr.Dataset) -> Places:
    """Find the pixel of each sample."""
    import rioxarray  # noqa: F401  (registers .rio)

    if not isinstance(table, xr.Dataset):
        raise GridError(f"the table is a {type(table).__name__}; give a Dataset of samples with x and y, such as samples.draw gives")
    missing = [name for name in ("x", "y") if name not in table]
    if missing:
        raise GridError(f"the table has no {' and no '.join(missing)} (sample), the centres of pixels; samples.draw gives one that has")
    if "spatial_ref" in table.coords and cube.rio.crs is not None and table.rio.crs != cube.rio.crs:
        raise GridError(f"the samples are in {table.rio.crs} and the cube in {cube.rio.crs}; draw them from labels on the cube's own grid")
    found = []
    for dim, step in zip(("y", "x"), pixel_size(cube), strict=True):
        exact = (table[dim].values - float(cube[dim][0])) / step
        index = np.round(exact).astype(np.int64)
        away = (index < 0) | (index >= cube.sizes[dim])
        if away.any():
            low, high = np.sort(cube[dim].values[[0, -1]])
            raise GridError(
                f"{away.sum()} of {away.size} samples lie outside the cube, such as {dim} = {table[dim].values[away][0]:g}; "
                f"the cube has {dim} from {low:g} to {high:g}: leave them out, or give the cube that they were drawn on"
            )
        found.append(index)
    return Places(*found)


def _parts(layers: list[xr.DataArray], places: Places, n_blocks: int, progress: bool) -> Iterator[tuple[Array, Array]]:
    """Give (samples, their values as (sample, time, band)), block by block."""
    from tqdm import tqdm

    codes = [encoding_of(band) for band in layers]
    names = [str(band.name) for band in layers]
    groups = _groups(layers[0], places)
    batches = [groups[k : k + n_blocks] for k in range(0, len(groups), n_blocks)]
    for batch in tqdm(batches, unit="blocks", unit_scale=n_blocks, disable=not progress):
        for members, stored in zip(batch, _computed(layers, places, batch), strict=True):
            values = [_decoded(np.asarray(s), code) for s, code in zip(stored, codes, strict=True)]
            for name, band in zip(names, values, strict=True):
                check_reflectance(band, name)
            yield members, np.stack(values, -1)


def _computed(layers: list[xr.DataArray], places: Places, batch: list[Array]) -> list[list[Array]]:
    """Give the stored values of each group of samples, for each band (sample, time), computed together."""
    from dask.base import compute

    picks = [[_picked(band.data, places.rows[m], places.columns[m]) for band in layers] for m in batch]
    done: list[list[Array]] = list(compute(*picks))
    return done


def _picked(data: Any, rows: Array, columns: Array) -> Any:
    """Take pixels (sample, time) out of a block (time, y, x) that holds them all."""
    top, left = int(rows.min()), int(columns.min())
    block = data[:, top : int(rows.max()) + 1, left : int(columns.max()) + 1]
    if isinstance(block, np.ndarray):
        return _take(block, rows - top, columns - left)
    import dask.array as da

    whole = block.rechunk({1: -1, 2: -1})
    return da.map_blocks(
        _take, whole, rows - top, columns - left, dtype=data.dtype, drop_axis=(1, 2), new_axis=0,
        chunks=((rows.size,), whole.chunks[0]), meta=np.empty((0, 0), data.dtype),
    )  # fmt: skip


def _take(block: Array, rows: Array, columns: Array) -> Array:
    return np.ascontiguousarray(block[:, rows, columns].T)


def _groups(band: xr.DataArray, places: Places) -> list[Array]:
    """Give the samples of each block of the cube that holds any, in the order of their first sample."""
    if band.chunks is None:
        return [np.arange(places.rows.size)] if places.rows.size else []
    edges = [np.cumsum(band.variable.chunksizes[d]) for d in ("y", "x")]
    number = np.searchsorted(edges[0], places.rows, "right") * len(edges[1]) + np.searchsorted(edges[1], places.columns, "right")
    order = np.argsort(number, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(number[order])) + 1)
    return sorted(groups, key=lambda members: int(members[0])) if order.size else []


def _decoded(stored: Array, code: Encoding) -> npt.NDArray[np.float32]:
    """Give reflectance of what is stored, NaN for no data."""
    values = stored.astype(np.float32) * np.float32(code.scale) + np.float32(code.offset)
    return np.where(stored == code.nodata, np.float32(np.nan), values)
