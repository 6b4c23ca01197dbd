"""Zarr stores, format 2 and 3, folders or zips, and NetCDF files."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr

from xsentinel.errors import ReadError
from xsentinel.io.source import Chunks, Raw

METADATA = ("zarr.json", ".zgroup", ".zmetadata")


class ZarrReader:
    """A Zarr group, in a folder or a zip."""

    form = "Zarr (.zarr folder or .zip)"

    def can_read(self, path: Path) -> bool:
        """Tell whether a group's metadata stand at the top."""
        if path.suffix.lower() == ".zip" and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return bool(set(METADATA) & set(archive.namelist()))
        return path.is_dir() and any((path / name).is_file() for name in METADATA)

    def read(self, path: Path, chunks: Chunks) -> list[Raw]:
        """Open the group in its own chunks."""
        from zarr.storage import LocalStore, ZipStore

        store = ZipStore(path, mode="r") if path.is_file() else LocalStore(path, read_only=True)
        return [_open_group(store, str(path), chunks, partial(_is_consolidated, path))]


def _open_group(store: Any, label: str, chunks: Chunks, is_consolidated: Callable[[], bool]) -> Raw:
    try:
        how: dict[str, Any] = {"mask_and_scale": False, "decode_coords": True, "consolidated": is_consolidated()}
        ds = xr.open_dataset(store, engine="zarr", chunks=chunks, **how)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:  # zarr checks few of the types in its JSON
        raise ReadError(f"{label} has the metadata of a Zarr group but cannot be opened: {err}; write or copy it again") from err
    # a store without consolidated metadata lists its arrays in an order that changes from call to call
    return Raw(ds[sorted(ds.data_vars, key=str)], label)


def _is_consolidated(path: Path) -> bool:
    if path.is_file():
        return False
    if (path / ".zmetadata").is_file():
        return True
    v3 = path / "zarr.json"
    return v3.is_file() and _tells_consolidated(v3.read_bytes())


def _tells_consolidated(text: bytes) -> bool:
    return json.loads(text).get("consolidated_metadata") is not None


def is_url(source: object) -> bool:
    """Tell a URL that is no local file."""
    return isinstance(source, str) and "://" in source and not source.startswith("file://")


def open_url(url: str, chunks: Chunks) -> Raw:
    """Open the Zarr group at a URL that fsspec knows, in its own chunks.

    Raises
    ------
    ReadError
        If nothing is there, or no Zarr, or the place is not known or out of reach.
    """
    import fsspec
    from zarr.storage import FsspecStore

    try:
        filesystem, path = fsspec.core.url_to_fs(url)
        there = [name for name in METADATA if filesystem.exists(f"{path.rstrip('/')}/{name}")]
    except ImportError as err:
        raise ReadError(f"{url} needs a package that is not installed: {err}") from err
    except Exception as err:  # each kind of store raises its own
        raise ReadError(f"{url} cannot be reached: {err}; check the address, and what the store wants of who reads it") from err
    if not there:
        raise ReadError(f"there is no Zarr store at {url}, and of URLs only Zarr is read; check the address, or download the file first")

    def is_consolidated() -> bool:
        whole = "zarr.json" in there and _tells_consolidated(filesystem.cat_file(f"{path.rstrip('/')}/zarr.json"))
        return ".zmetadata" in there or whole

    return _open_group(FsspecStore.from_url(url, read_only=True), url, chunks, is_consolidated)


class NetcdfReader:
    """One NetCDF file, or a folder of those of one place."""

    form = "NetCDF (.nc, or a folder of them on nested grids)"

    def can_read(self, path: Path) -> bool:
        """Tell by the suffix."""
        return path.suffix in (".nc", ".nc4") or (path.is_dir() and any(path.glob("*.nc")))

    def read(self, path: Path, chunks: Chunks) -> list[Raw]:
        """Open each file in its own chunks."""
        return [_open_netcdf(file, chunks) for file in ([path] if path.is_file() else sorted(path.glob("*.nc")))]


def _open_netcdf(path: Path, chunks: Chunks) -> Raw:
    try:
        ds = xr.open_dataset(path, engine="netcdf4", chunks=chunks, mask_and_scale=False, decode_coords=True)
    except (OSError, ValueError) as err:
        raise ReadError(f"{path} cannot be opened as NetCDF: {err}; if the file is complete, try ncdump -h on it") from err
    return Raw(ds, str(path))
