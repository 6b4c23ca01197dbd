"""New files take the places of old ones once they are whole."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xsentinel.errors import WriteError
from xsentinel.io.stores import METADATA as ZARR_METADATA

OTHER_FORMS = (".tif", ".tiff", ".nc", ".nc4", ".h5", ".png", ".jpg", ".jpeg", ".csv", ".gpkg", ".parquet")
"""Suffixes that promise something else than Zarr."""


def check_zarr_name(path: str) -> None:
    """Refuse to write a Zarr store under the name of another form.

    Raises
    ------
    WriteError
        If the name ends so.
    """
    suffix = Path(path).suffix.lower()
    if suffix in OTHER_FORMS:
        stem = path[: -len(suffix)]
        raise WriteError(
            f"{path} is to be a Zarr store, and {suffix} promises another form; name it {stem}.zarr, "
            f"and write {suffix} from it: .s2.to_cog() (GeoTIFF), .s2.to_netcdf(), .s2.to_file() (tables of parcels)"
        )


@contextmanager
def progress_bar(show: bool) -> Iterator[None]:
    """Show how much of what dask computes is done: a bar in a terminal or notebook, elsewhere a line now and then."""
    if not show:
        yield
        return
    from tqdm.dask import TqdmCallback

    live = sys.stderr.isatty() or "ipykernel" in sys.modules
    with TqdmCallback(desc="computing", unit="task", delay=0.5, mininterval=0.1 if live else 10):
        yield


@contextmanager
def in_place_of(paths: list[Path], overwrite: bool) -> Iterator[list[Path]]:
    """Give new places to write to, which take the places of paths once all is written.

    So what stands there stays whole if writing fails, and may be what is being read.
    """
    for path in paths:
        check_free(path, overwrite)
    try:
        paths[0].parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=paths[0].parent) as folder:
            partial = [Path(folder) / path.name for path in paths]
            yield partial
            for path, new in zip(paths, partial, strict=True):
                if path.is_dir():
                    shutil.rmtree(path)
                new.replace(path)
    except (OSError, RuntimeError) as err:  # netCDF4 raises RuntimeError for a full disk
        if isinstance(err, WriteError):
            raise
        raise WriteError(f"{paths[0]} could not be written: {err}; check that its folder may be written to and the disk has space") from err


def check_free(path: Path, overwrite: bool) -> None:
    """Check that something may be written.

    Raises
    ------
    WriteError
        If something stands there and is not to be replaced, or is no Zarr store.
    """
    if not path.exists():
        return
    if not overwrite:
        raise WriteError(f"{path} exists; give another name, or overwrite=True (--overwrite) to replace it")
    if path.is_dir() and any(path.iterdir()) and not any((path / name).is_file() for name in ZARR_METADATA):
        raise WriteError(f"{path} is a folder but no Zarr store, so it is not replaced; give another name, or remove it yourself")
