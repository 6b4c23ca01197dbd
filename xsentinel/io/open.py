"""`open`: any of the forms that Sentinel-2 comes in, to one cube on one grid, lazily."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Literal

import xarray as xr

from xsentinel.errors import ReadError
from xsentinel.io.counts import settle_counts
from xsentinel.io.geotiff import GeotiffReader
from xsentinel.io.grid import join
from xsentinel.io.source import Chunks, Raw, Reader
from xsentinel.io.stores import NetcdfReader, ZarrReader
from xsentinel.io.understand import content, understand

READERS: tuple[Reader, ...] = (ZarrReader(), NetcdfReader(), GeotiffReader())

Source = str | PathLike[str] | xr.Dataset | xr.DataArray


def open(  # noqa: A001  (xsentinel.open reads as xarray.open_dataset does)
    source: Source | Sequence[Source],
    *,
    resolution: float | None = None,
    chunks: Chunks | Literal["auto"] = "auto",
    mask_and_scale: bool = True,
) -> xr.Dataset:
    """Open Sentinel-2 as a cube.

    Parameters
    ----------
    source : path, Dataset, DataArray, or a sequence of them
        A Zarr store (format 2 or 3, folder or .zip), a NetCDF file, a multi-band GeoTIFF with band
        descriptions, or a folder of NetCDF files or GeoTIFFs of one place; several sources, such as a
        10 m and a 20 m file, are joined on one grid. A Dataset or DataArray in memory is understood in
        the same way: aliases, dims, CRS, storage.
    resolution : float, optional
        Pixel size of the cube, m. Bands that are finer are averaged, NaN left out; coarser ones are
        interpolated linearly; scene classes and other integers take the nearest pixel. May be left out
        where all bands have one grid.
    chunks : "auto", dict or None
        Dask chunks: "auto" are the store's own (1024 pixels for GeoTIFF), None reads into memory.
    mask_and_scale : bool
        Decode counts to float32 reflectance with NaN. If False, the integers stay as stored, with
        ``scale_factor``, ``add_offset`` and ``_FillValue`` as attributes: half the traffic for what
        takes them so, such as ``ds.s2.lai()``; resampling then is not possible.

    Returns
    -------
    xarray.Dataset
        A variable a band (B01 … B12, B8A; VV, VH in dB) with dims (time, y, x), float32 reflectance [1];
        ``SCL`` (uint8); coordinates ``spatial_ref``, and where known ``platform``, ``sza``, ``vza``,
        ``raa`` (degrees). Other variables of the source are kept.

    Raises
    ------
    ReadError
        If the source is not there, broken, or of no known form.
    BandError, UnitsError, GridError, TimeError
        If what is in it is ambiguous or does not fit together.

    Examples
    --------
    >>> import xsentinel as xs
    >>> cube = xs.open(xs.sample("zurich"), resolution=20)
    >>> dict(cube.sizes)
    {'time': 1, 'y': 200, 'x': 250}
    """
    raws = [raw for one in _each(source) for raw in _read(one, {} if chunks == "auto" else chunks)]
    used, left_out = _sort_out(raws)
    parts = settle_counts([understand(raw.ds, raw.label) for raw in used], used[0].label)
    cube = join(parts, resolution, mask_and_scale)
    if left_out:
        cube.attrs["left_out"] = ", ".join(left_out)
    return cube.load() if chunks is None else cube


def _each(source: Source | Sequence[Source]) -> list[Source]:
    if isinstance(source, str | PathLike | xr.Dataset | xr.DataArray):
        return [source]
    if not source:
        raise ReadError("nothing to open: the list of sources is empty")
    return list(source)


def _read(source: Source, chunks: Chunks) -> list[Raw]:
    if isinstance(source, xr.DataArray):
        whole = source.to_dataset(name="data" if source.name is None or source.name in source.coords else source.name)
        return _read(whole.assign_attrs(source.attrs), chunks)
    if isinstance(source, xr.Dataset):
        there = {d: n for d, n in (chunks or {}).items() if d in source.dims}
        return [Raw(source.chunk(there) if there else source, "the Dataset")]
    path = Path(source).expanduser()
    if not path.exists():
        raise ReadError(f"{path} does not exist (looked in {Path.cwd()}); check the name, or give the folder that it lies in")
    for reader in READERS:
        if reader.can_read(path):
            return reader.read(path, chunks)
    raise ReadError(f"{path} is of no form that xsentinel reads: {'; '.join(r.form for r in READERS)}")


def _sort_out(raws: list[Raw]) -> tuple[list[Raw], list[str]]:
    """Of several files keep those of one kind: optical bands and scene classes before radar, before the rest."""
    kinds = [content(raw.ds) for raw in raws]
    best = next((kind for kind in ("optical", "radar", "other") if kind in kinds), "other")
    used = [raw for raw, kind in zip(raws, kinds, strict=True) if kind == best]
    return used, [Path(raw.label).name for raw, kind in zip(raws, kinds, strict=True) if kind != best]
