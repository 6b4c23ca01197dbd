"""A product's files, in a folder or a zip, opened without trusting what it says of itself."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from xsentinel.errors import ReadError

MAX_RATIO = 100
"""Times that a zip may grow when unpacked; images of Sentinel-2 do not compress."""

MAX_GROWTH = 64 << 20
"""Bytes that a zip may always unpack to."""

MAX_TEXT = 64 << 20
"""Bytes of metadata that are read at most; a product's are below 2 MB."""


@dataclass(frozen=True)
class Container:
    """Files of one product."""

    path: Path
    """Folder or zip."""
    prefix: str
    """Folder inside a zip that the product lies in, '' or ending in '/'."""
    files: tuple[str, ...]
    """Names inside the product, with '/' between."""

    @property
    def is_zip(self) -> bool:
        """Whether the files lie in a zip."""
        return self.path.is_file()

    def locate(self, name: str) -> str:
        """Give the name by which GDAL opens a file."""
        return f"/vsizip/{self.path.resolve()}/{self.prefix}{name}" if self.is_zip else str(self.path.resolve() / name)

    def read(self, name: str) -> bytes:
        """Read metadata, up to a size that no product's exceed.

        Raises
        ------
        ReadError
            If it is larger, or cannot be read.
        """
        try:
            if self.is_zip:
                with zipfile.ZipFile(self.path) as archive, archive.open(f"{self.prefix}{name}") as file:
                    text = file.read(MAX_TEXT + 1)
            else:
                with (self.path / name).open("rb") as file:
                    text = file.read(MAX_TEXT + 1)
        except (OSError, RuntimeError, zipfile.BadZipFile, NotImplementedError) as err:
            raise ReadError(f"{name} in {self.path} cannot be read: {err}; download the product again") from err
        if len(text) > MAX_TEXT:
            raise ReadError(f"{name} in {self.path} is larger than {MAX_TEXT >> 20} MB, which no product's metadata are; download it again")
        return text


def names_in_zip(path: Path) -> list[str]:
    """List the members of what begins and ends as a zip.

    Raises
    ------
    ReadError
        If what is between is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (OSError, zipfile.BadZipFile, NotImplementedError) as err:
        raise ReadError(f"{path} cannot be opened as zip: {err}; download it again") from err


def open_container(path: Path) -> Container:
    """List a product's files.

    Raises
    ------
    ReadError
        If a zip is damaged, has members that leave its folder, or grows beyond measure.
    """
    if path.is_file():
        return _open_zip(path)
    files = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
    return Container(path, "", tuple(files))


def _open_zip(path: Path) -> Container:
    names_in_zip(path)
    with zipfile.ZipFile(path) as archive:
        members = [m for m in archive.infolist() if not m.is_dir()]
    for member in members:
        _check_member(path, member)
    _check_growth(path, members)
    prefix = _prefix(path, [m.filename for m in members])
    return Container(path, prefix, tuple(sorted(m.filename[len(prefix) :] for m in members if m.filename.startswith(prefix))))


def _check_member(path: Path, member: zipfile.ZipInfo) -> None:
    name = member.filename
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if ".." in parts or name.startswith(("/", "\\")) or ":" in parts[0]:
        raise ReadError(f"{path} has the member {name!r}, which would leave its folder; it is no product of ESA: do not use it")
    if member.flag_bits & 1:
        raise ReadError(f"{path} has the encrypted member {name!r}; unpack it with its password and open the folder")
    if (member.external_attr >> 16) & 0o170000 == 0o120000:
        raise ReadError(f"{path} has the link {name!r}, which may leave its folder; it is no product of ESA: do not use it")


def _check_growth(path: Path, members: list[zipfile.ZipInfo]) -> None:
    unpacked, packed = sum(m.file_size for m in members), sum(m.compress_size for m in members)
    if unpacked > MAX_GROWTH and unpacked > MAX_RATIO * max(packed, 1):
        raise ReadError(
            f"{path} unpacks from {packed / 1e6:.1f} to {unpacked / 1e6:.0f} MB, more than {MAX_RATIO} times; "
            f"no product does: it is damaged or made to fill the disk"
        )


def _prefix(path: Path, names: list[str]) -> str:
    """Find the folder of the product in a zip."""
    tops = sorted({n.rpartition("/")[0] + "/" for n in names if is_product_metadata(n)})
    if len(tops) > 1:
        raise ReadError(
            f"{path} holds {len(tops)} products ({', '.join(t.rstrip('/') for t in tops[:3])}); unpack it and open them as a list"
        )
    return tops[0].lstrip("/") if tops else ""


def is_product_metadata(name: str) -> bool:
    """Tell the metadata of a whole product by its name, of Level-1C too."""
    last = name.rpartition("/")[2].upper()
    return last in ("MTD_MSIL2A.XML", "MTD_MSIL1C.XML") or (last.startswith("S2") and "_MTD_SAF" in last and last.endswith(".XML"))
