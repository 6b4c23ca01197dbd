"""`open`: any of the forms that Sentinel-2 comes in, to one cube on one grid, lazily."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Unpack
from urllib.parse import unquote, urlsplit

import xarray as xr

from xsentinel.errors import GridError, ReadError
from xsentinel.io.counts import settle_counts
from xsentinel.io.eopf import FORM as EOPF_FORM
from xsentinel.io.eopf import is_eopf, raws_of_eopf
from xsentinel.io.geotiff import GeotiffReader
from xsentinel.io.grid import join
from xsentinel.io.offset import Harmonise, check_harmonise
from xsentinel.io.outlines import parcels_in
from xsentinel.io.radar import to_decibels
from xsentinel.io.safe import FORM as SAFE_FORM
from xsentinel.io.safe import Scene, is_safe, products_in, read_scenes
from xsentinel.io.series import raws_by_zone
from xsentinel.io.source import Chunks, Raw, Reader
from xsentinel.io.stac import raws_of_items
from xsentinel.io.stac_items import items_in
from xsentinel.io.stores import NetcdfReader, ZarrReader, is_url, open_url
from xsentinel.io.target import Request, bounds_in, crop, make_request
from xsentinel.io.told import Telling, Told
from xsentinel.io.understand import content, understand
from xsentinel.io.unknown import refusal
from xsentinel.io.warp import base_resolution, cut_to, geobox_for, merge, needs_warp, warp

FORMS = (ZarrReader.form, NetcdfReader.form, GeotiffReader.form, SAFE_FORM, EOPF_FORM)

Source = Any
"""A path, a Dataset or DataArray, a STAC item or collection of items (pystac, or its JSON)."""

OPTIONS = ("resolution", "bbox", "crs", "like", "resampling", "harmonise", "chunks", "mask_and_scale")
"""Of `open`, beside those of `Telling`."""

MARGIN = 4
"""Pixels of the coarsest band that are read around a box, so that resampling at its edge is as in the whole."""


def open(  # noqa: A001  (xsentinel.open reads as xarray.open_dataset does)
    source: Source | Sequence[Source],
    *,
    resolution: float | None = None,
    bbox: Sequence[float] | None = None,
    crs: Any = None,
    like: xr.Dataset | xr.DataArray | None = None,
    resampling: str | Mapping[str, str] | None = None,
    harmonise: Harmonise = "auto",
    chunks: Chunks | Literal["auto"] = "auto",
    mask_and_scale: bool = True,
    **told: Unpack[Telling],
) -> xr.Dataset:
    """Open Sentinel-2 as a cube.

    Parameters
    ----------
    source : path, Dataset, DataArray, STAC item, or a sequence of them
        A Level-2A product (.SAFE folder or .zip), a folder or list of them: one tile or neighbouring ones
        become one time series, of a solar day the newest processing, offsets date by date. STAC items of
        Sentinel-2 or Sentinel-1 (RTC), a collection of them, their JSON or its path. EOPF products of a tile. A Zarr store
        (format 2 or 3, folder, .zip or URL), a NetCDF file, a multi-band GeoTIFF with band descriptions, or a
        folder of NetCDF files or GeoTIFFs of one place; several sources, such as a 10 m and a 20 m file,
        are joined on one grid. A Dataset or DataArray in memory is understood in the same way: aliases,
        dims, CRS, storage.
    resolution : float, optional
        Pixel size of the cube, m. Bands that are finer are averaged, NaN left out; coarser ones are
        interpolated linearly; scene classes and other integers take the nearest pixel. May be left out
        where all bands have one grid.
    bbox : (west, south, east, north), optional
        Box to read, widened to whole pixels: in degrees if they can be that, else in ``crs``, or in the
        CRS of the data.
    crs : optional
        CRS to bring the cube to, lazily. Products of several UTM zones need it.
    like : Dataset or DataArray, optional
        A cube whose very pixels are to be matched, instead of the three above.
    resampling : str or mapping, optional
        How to go finer or to another CRS: "bilinear" (default), "cubic" or "nearest", for all bands or by
        kind ("reflectance", "radar", "classes", "probability", "angles") or band.
    harmonise : {"auto", "offset", "none"}
        The offset of −1000 counts since baseline 04.00: "auto" goes by metadata and refuses if the darkest
        pixels contradict; "offset" adds it in any case, "none" in none. Of stores other than products,
        this is asked only of counts that come without scale and offset.
    chunks : "auto", dict or None
        Dask chunks: "auto" are the store's own (1024 pixels for GeoTIFF), None reads into memory.
    mask_and_scale : bool
        Decode counts to float32 reflectance with NaN. If False, the integers stay as stored, with
        ``scale_factor``, ``add_offset`` and ``_FillValue`` as attributes: half the traffic for what
        takes them so, such as ``ds.s2.lai()``; resampling then is not possible.
    **told
        Of GeoTIFFs, and folders of them, what they do not tell themselves: ``bands``, their names in the order of the
        file; ``time``, the date, of a folder one for all files or one for each in the order of their names;
        ``assume_crs``, the CRS of files that have none (``crs`` brings to another).

    Returns
    -------
    xarray.Dataset
        A variable a band (B01 … B12, B8A; VV, VH in dB) with dims (time, y, x), float32 reflectance [1];
        ``SCL`` (uint8); coordinates ``spatial_ref``, and where known ``platform``, ``sza``, ``vza``,
        ``raa`` (degrees). Other variables of the source are kept. Of parcels that ``to_zarr`` or ``to_netcdf`` wrote,
        the Dataset as it was: nothing of the grid is asked for.

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
    check_harmonise(harmonise)
    request = make_request(resolution, bbox, crs, like, resampling)
    groups = _groups(_each(source), {} if chunks == "auto" else chunks, harmonise, request, Told.read(told, OPTIONS))
    if (table := parcels_in([raw for raws in groups.values() for raw in raws])) is not None:
        return table.load() if chunks is None else table
    if len(groups) > 1 and request.crs is None:
        zones = ", ".join(f"EPSG:{epsg}" for epsg in groups)
        raise GridError(f"the products lie in several UTM zones ({zones}); say which grid to bring them to: open(..., crs='{zones[:10]}')")
    prepared = [_prepare(raws, harmonise, request) for raws in groups.values()]
    cube = _place(prepared, request, mask_and_scale)
    return cube.load() if chunks is None else cube


def _groups(sources: list[Any], chunks: Chunks, harmonise: Harmonise, request: Request, told: Told) -> dict[int, list[Raw]]:
    """Read all sources: one group of Raws, or one for each UTM zone of products."""
    scenes: list[Scene] = []
    items: list[Any] = []
    raws: list[Raw] = []
    eopf: list[Path] = []
    for one in sources:
        path = _existing(one)
        if told and not _is_geotiff(path):
            told.refuse(one)
        if path is not None and is_safe(path):
            scenes += _scenes(path)
        elif path is not None and is_eopf(path):
            eopf.append(path)
        elif (found := items_in(one)) is not None:
            items += found
        else:
            raws += _read(one, chunks, told)
    if scenes and items:
        raise ReadError("products and STAC items cannot be joined; open them apart and join the cubes (xarray.concat)")
    raws += raws_of_eopf(eopf, chunks, harmonise) if eopf else []
    zones = raws_by_zone(scenes, chunks, harmonise) if scenes else {0: []}
    if items:
        zones = raws_of_items(items, chunks, harmonise, request)
    if len(zones) > 1 and raws:
        raise GridError(f"{raws[0].label} cannot be joined with products of several UTM zones; open it apart")
    return {epsg: [*found, *raws] for epsg, found in zones.items()}


def _scenes(path: Path) -> list[Scene]:
    """Read the products of a path; of several name all that are broken."""
    found, broken, products = list[Scene](), list[ReadError](), products_in(path)
    for product in products:
        try:
            found += read_scenes(product)
        except ReadError as err:
            broken.append(err)
    if len(products) == 1 and broken:
        raise broken[0]
    if broken:
        told = "; ".join(map(str, broken))
        raise ReadError(
            f"{len(broken)} of the {len(products)} products in {path} cannot be read, so none is; give a list of the others: {told}"
        )
    return found


def _prepare(raws: list[Raw], harmonise: Harmonise, request: Request) -> list[xr.Dataset]:
    """Bring raw Datasets to parts of a cube, cut to the box that is asked for."""
    used, left_out = _sort_out(raws)
    understood = [understand(to_decibels(raw.ds, raw.label), raw.label) for raw in used]
    parts = settle_counts(understood, used[0].label, harmonise)
    if left_out:
        parts[0].attrs["left_out"] = ", ".join(left_out)
    bounds = bounds_in(request, parts[0].rio.crs)
    return parts if bounds is None else crop(parts, bounds, None if needs_warp(parts, request) else request.resolution, MARGIN)


def _place(groups: list[list[xr.Dataset]], request: Request, mask_and_scale: bool) -> xr.Dataset:
    """Join the parts of each group, and bring the cubes to the grid that is asked for."""
    warped = len(groups) > 1 or needs_warp(groups[0], request)
    cubes = []
    for parts in groups:
        resolution = base_resolution(parts, request) if warped else request.resolution
        cube = join(parts, resolution, mask_and_scale, request.method)
        cubes.append(cube.assign_attrs({k: p.attrs[k] for p in parts for k in ("left_out", "notes") if k in p.attrs}))
    if not warped:
        return cut_to(cubes[0], request)
    geobox = geobox_for(cubes, request)
    return merge([warp(cube, geobox, request) for cube in cubes])


def _existing(source: Any) -> Path | None:
    """Give a source's path, None for a Dataset, STAC items or a URL.

    Raises
    ------
    ReadError
        If nothing is there.
    """
    if not isinstance(source, str | PathLike) or is_url(source):
        return None
    path = Path(unquote(urlsplit(str(source)).path) if str(source).startswith("file://") else source).expanduser()
    if not path.exists():
        raise ReadError(f"{path} does not exist (looked in {Path.cwd()}); check the name, or give the folder that it lies in")
    return path


def _each(source: Any) -> list[Any]:
    if isinstance(source, str | PathLike | xr.Dataset | xr.DataArray | Mapping) or hasattr(source, "to_dict"):
        return [source]
    try:
        sources = list(source)
    except TypeError as err:
        raise ReadError(f"{source!r:.60} cannot be opened; give a path, a Dataset, STAC items, or a list of them") from err
    if not sources:
        raise ReadError("nothing to open: the list of sources is empty; give one or more")
    return sources


def _read(source: Any, chunks: Chunks, told: Told) -> list[Raw]:
    if isinstance(source, xr.DataArray):
        whole = source.to_dataset(name="data" if source.name is None or source.name in source.coords else source.name)
        return _read(whole.assign_attrs(source.attrs), chunks, told)
    if isinstance(source, xr.Dataset):
        there = {d: n for d, n in (chunks or {}).items() if d in source.dims}
        return [Raw(source.chunk(there) if there else source, "the Dataset")]
    if is_url(source):
        return [open_url(source, chunks)]
    path = _existing(source)
    if path is None:
        raise ReadError(f"{source!r:.60} cannot be opened; give a path, a Dataset, STAC items, or a list of them")
    reader = _reader(path, told)
    if reader is None:
        raise refusal(path, FORMS, lambda other: is_safe(other) or is_eopf(other) or _reader(other, told) is not None)
    return reader.read(path, chunks)


def _reader(path: Path, told: Told) -> Reader | None:
    """Give the reader of a store or file, None if there is none."""
    readers: tuple[Reader, ...] = (ZarrReader(), NetcdfReader(), GeotiffReader(told))
    return next((reader for reader in readers if reader.can_read(path)), None)


def _is_geotiff(path: Path | None) -> bool:
    return path is not None and not is_safe(path) and not is_eopf(path) and isinstance(_reader(path, Told()), GeotiffReader)


def _sort_out(raws: list[Raw]) -> tuple[list[Raw], list[str]]:
    """Of several files keep those of one kind: optical bands and scene classes before radar, before the rest."""
    kinds = [content(raw.ds) for raw in raws]
    best = next((kind for kind in ("optical", "radar", "other") if kind in kinds), "other")
    used = [raw for raw, kind in zip(raws, kinds, strict=True) if kind == best]
    return used, [Path(raw.label).name for raw, kind in zip(raws, kinds, strict=True) if kind != best]
