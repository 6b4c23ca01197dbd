"""The store that a job writes: any Zarr store by path or URL, and the ledger of finished blocks inside it."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.batch.plan import Blocks
from xsentinel.blocks.cut import Window
from xsentinel.errors import ReadError, StoreError, WriteError, XSentinelError
from xsentinel.io.place import check_free, check_zarr_name
from xsentinel.io.stores import METADATA as ZARR_METADATA

LEDGER = "xsentinel_run"
"""Group inside the store that holds the ledger: no variable, so that nobody who opens the store meets it."""

DONE = "done"
"""Its array: a chunk a block, written when all of the block's bytes are."""

DIGEST_BYTES = 16

ROW = struct.Struct(f"<B7x{DIGEST_BYTES}s3d")
"""Of a block: 1, the digest of its bytes, seconds, share of valid values, bytes."""


@dataclass(frozen=True)
class Record:
    """What the ledger says of a finished block."""

    digest: bytes
    """Of the values of all variables as stored."""
    seconds: float
    valid: float
    """Share of the first variable's values that are data, 0…1."""
    n_bytes: int

    def pack(self) -> bytes:
        """Give the row of the ledger."""
        return ROW.pack(1, self.digest, self.seconds, self.valid, float(self.n_bytes))

    @classmethod
    def unpack(cls, row: bytes) -> Record | None:
        """Read a row; None if the block is not done."""
        done, digest, seconds, valid, n_bytes = ROW.unpack(row)
        return cls(digest, seconds, valid, int(n_bytes)) if done == 1 else None


@dataclass(frozen=True)
class Store:
    """Where a job writes: picklable, opened anew in each process."""

    url: str
    """A path, or a URL that fsspec knows (s3://bucket/map.zarr)."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of fsspec's file system."""

    def __post_init__(self) -> None:
        check_zarr_name(self.url)

    @property
    def is_local(self) -> bool:
        """Whether it is a folder on this machine."""
        return "://" not in self.url

    def open(self, *, read_only: bool = False) -> Any:
        """Give the Zarr store."""
        from zarr.storage import FsspecStore, LocalStore

        if self.is_local:
            return LocalStore(Path(self.url), read_only=read_only)
        return FsspecStore.from_url(self.url, storage_options=dict(self.options) or None, read_only=read_only)

    def exists(self) -> bool:
        """Tell whether anything stands there; an empty folder is nothing."""
        import fsspec

        if self.is_local:
            path = Path(self.url)
            return (path.is_dir() and any(path.iterdir())) or path.is_file()
        filesystem, path = fsspec.core.url_to_fs(self.url, **self.options)
        filesystem.invalidate_cache()
        return bool(filesystem.exists(path))

    def remove(self) -> None:
        """Remove the Zarr store that stands there.

        Raises
        ------
        WriteError
            If anything else does.
        """
        import fsspec

        if self.is_local:
            check_free(Path(self.url), overwrite=True)
        filesystem, path = fsspec.core.url_to_fs(self.url, **self.options)
        if not self.is_local and not any(filesystem.exists(f"{path}/{name}") for name in ZARR_METADATA):
            raise WriteError(f"{self.url} is no Zarr store, so it is not replaced; give another name, or remove it yourself")
        filesystem.rm(path, recursive=True)

    def attribute(self, name: str) -> Any:
        """Give an attribute of the root group, None if there is none."""
        import zarr

        try:
            group: Any = zarr.open_group(self.open(read_only=True), mode="r", use_consolidated=False)
            return group.attrs.get(name)
        except (OSError, KeyError, ValueError):
            return None

    @contextmanager
    def appearing(self) -> Iterator[Store]:
        """Give a place to write what then appears here at once; object stores have no such place and are written to as they are."""
        if not self.is_local:
            yield self
            return
        path = Path(self.url)
        new = path.with_name(f".{path.name}.beginning")
        with writing(self.url):
            shutil.rmtree(new, ignore_errors=True)  # of a job that was killed here
            new.parent.mkdir(parents=True, exist_ok=True)
        yield Store(str(new))
        with writing(self.url):
            new.rename(path)

    def tidy(self) -> None:
        """Remove what a killed process left of a file that it was writing; nobody reads it, as files appear at once when whole."""
        if self.is_local:
            for path in Path(self.url).rglob("*.partial"):
                path.unlink(missing_ok=True)

    def read(self, variables: list[str], region: Window) -> dict[str, npt.NDArray[Any]]:
        """Read the values of a block as they are stored.

        Raises
        ------
        ReadError
            If a chunk is damaged.
        """
        group = self._group("r")
        out = {}
        for name in variables:
            array = group[name]
            try:
                out[name] = np.asarray(array[_index(array, region)])
            except Exception as err:  # whatever the codec raises
                raise ReadError(
                    f"{name} of {self.url} cannot be read at {in_words(region)}: {err}; run the job again with resume=True, verify=True"
                ) from err
        return out

    def write(self, values: Mapping[str, npt.NDArray[Any]], region: Window) -> None:
        """Write a block.

        Raises
        ------
        StoreError
            If the store cannot be written.
        """
        group = self._group("r+")
        with writing(self.url):
            for name, block in values.items():
                array = group[name].with_config({"write_empty_chunks": True})  # so that all NaN come back bit by bit
                array[_index(array, region)] = block

    def _group(self, mode: Any) -> Any:
        import zarr

        try:
            return zarr.open_group(self.open(read_only=mode == "r"), mode=mode, use_consolidated=False)
        except (OSError, ValueError, KeyError) as err:
            raise ReadError(f"{self.url} cannot be opened as a Zarr group: {err}; give the store of a job") from err


def as_store(target: str | PathLike[str] | Store) -> Store:
    """Understand what a user gave as target."""
    return target if isinstance(target, Store) else Store(str(target))


@contextmanager
def writing(url: str) -> Iterator[None]:
    """Turn what a full or read-only disk raises into our error."""
    try:
        yield
    except (OSError, ValueError) as err:  # zarr raises ValueError for a store that is read-only
        if isinstance(err, XSentinelError):
            raise
        raise StoreError(f"{url} cannot be written: {err}; see that there is space and that it may be written, then resume") from err


def digest_of(values: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Give BLAKE2b of the bytes of all variables, in the order of their names."""
    total = blake2b(digest_size=DIGEST_BYTES)
    for name in sorted(values):
        total.update(name.encode())
        total.update(np.ascontiguousarray(values[name]).view(np.uint8).data)
    return total.digest()


def _index(array: Any, region: Window) -> tuple[slice, ...]:
    names = array.metadata.dimension_names or ()
    return tuple(region.get(n, slice(None)) for n in names)


def in_words(region: Window) -> str:
    """Say where a block lies."""
    return ", ".join(f"{d} {s.start}…{s.stop}" for d, s in region.items())


@dataclass(frozen=True)
class Ledger:
    """Which blocks of a job are finished; lives in the store that it speaks of."""

    store: Store

    def create(self, fingerprint: Mapping[str, Any], blocks: Blocks, variables: tuple[str, ...]) -> None:
        """Write an empty one: first its rows, then what it speaks of, so that what can be read is whole."""
        import zarr

        geometry = {"shape": blocks.shape, "variables": variables}
        with writing(self.store.url):
            store = self.store.open()
            zarr.create_array(
                store, name=f"{LEDGER}/{DONE}", shape=(len(blocks) * ROW.size,), chunks=(ROW.size,), dtype="uint8", fill_value=0,
                compressors=None, filters=None,
            )  # fmt: skip
            group: Any = zarr.open_group(store, mode="a", path=LEDGER)
            group.attrs.put({"fingerprint": dict(fingerprint), **geometry})

    def geometry(self) -> tuple[Blocks, list[str]]:
        """Give the blocks and the variables that are written block by block.

        Raises
        ------
        ReadError
            If there is no ledger.
        """
        attrs = self._attrs()
        if attrs is None:
            raise ReadError(f"{self.store.url} has no ledger; it was not written by xsentinel.run")
        height, width = attrs["shape"]
        return Blocks.of((height, width), attrs["fingerprint"]["blocks"]), list(attrs["variables"])

    def fingerprint(self) -> dict[str, Any] | None:
        """Give that of the job that wrote the store; None if there is no ledger."""
        attrs = self._attrs()
        return None if attrs is None else dict(attrs["fingerprint"])

    def _attrs(self) -> dict[str, Any] | None:
        import zarr

        try:
            group: Any = zarr.open_group(self.store.open(read_only=True), mode="r", path=LEDGER, use_consolidated=False)
            attrs = dict(group.attrs)
        except (OSError, KeyError, ValueError):
            return None
        return attrs if {"fingerprint", "shape", "variables"} <= set(attrs) else None

    def mark(self, block: int, record: Record) -> None:
        """Write that a block is finished, in one object."""
        with writing(self.store.url):
            self._done("r+")[block * ROW.size : (block + 1) * ROW.size] = np.frombuffer(record.pack(), np.uint8)

    def clear(self, block: int) -> None:
        """Write that a block is not finished."""
        with writing(self.store.url):
            self._done("r+")[block * ROW.size : (block + 1) * ROW.size] = np.zeros(ROW.size, np.uint8)

    def find(self, block: int) -> Record | None:
        """Give the record of a block; None if it is not finished."""
        return Record.unpack(_row(self._done("r"), block).tobytes())

    def read(self) -> dict[int, Record]:
        """Give the records of the finished blocks; one whose row is damaged is not finished."""
        done = self._done("r")
        n = done.shape[0] // ROW.size
        try:
            rows = np.asarray(done[:]).reshape(n, ROW.size)
        except Exception:  # a row that was cut off: look at each
            rows = np.stack([_row(done, i) for i in range(n)]) if n else np.zeros((0, ROW.size), np.uint8)
        found = ((i, Record.unpack(rows[i].tobytes())) for i in np.nonzero(rows[:, 0] == 1)[0])
        return {int(i): record for i, record in found if record is not None}

    def _done(self, mode: Any) -> Any:
        import zarr

        return zarr.open_array(self.store.open(read_only=mode == "r"), mode=mode, path=f"{LEDGER}/{DONE}")


def _row(done: Any, block: int) -> npt.NDArray[np.uint8]:
    try:
        return np.asarray(done[block * ROW.size : (block + 1) * ROW.size])
    except Exception:  # cut off in mid-write
        return np.zeros(ROW.size, np.uint8)
