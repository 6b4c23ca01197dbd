"""Zarr stores, format 2 and 3, folders or zips, and NetCDF files."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

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
        try:
            ds = xr.open_dataset(
                store,  # type: ignore[arg-type]
                engine="zarr",
                chunks=chunks,
                mask_and_scale=False,
                decode_coords=True,
                consolidated=_is_consolidated(path),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:  # zarr checks few of the types in its JSON
            raise ReadError(f"{path} has the metadata of a Zarr group but cannot be opened: {err}; write or copy it again") from err
        # a store without consolidated metadata lists its arrays in an order that changes from call to call
        return [Raw(ds[sorted(ds.data_vars, key=str)], str(path))]


def _is_consolidated(path: Path) -> bool:
    if path.is_file():
        return False
    if (path / ".zmetadata").is_file():
        return True
    v3 = path / "zarr.json"
    return v3.is_file() and json.loads(v3.read_bytes()).get("consolidated_metadata") is not None


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
