"""What a GeoTIFF does not tell of itself, and its user does: bands, dates and CRS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from xsentinel.bands import band_name
from xsentinel.cube import parse_dates
from xsentinel.errors import BandError, GridError, ReadError, TimeError, did_you_mean
from xsentinel.io.target import read_crs


class Telling(TypedDict, total=False):
    """As `xsentinel.open` takes it."""

    bands: str | Sequence[str]
    time: Any
    assume_crs: Any


@dataclass(frozen=True, eq=False)
class Told:
    """What is told of GeoTIFFs; nothing where a field is empty."""

    bands: tuple[str, ...] = ()
    """Names in the order of the file."""
    dates: tuple[np.datetime64, ...] = ()
    """One for all files, or one for each."""
    crs: Any = None
    """Of files that have none."""

    def __bool__(self) -> bool:
        return bool(self.bands or self.dates or self.crs)

    @classmethod
    def read(cls, given: Mapping[str, Any], known: Sequence[str]) -> Told:
        """Read what `xsentinel.open` was given beside its other options, which are ``known``.

        Raises
        ------
        TypeError
            If an option is none.
        BandError, TimeError, GridError
            If a value is none.
        """
        if strange := [key for key in given if key not in Telling.__annotations__]:
            names = [*known, *Telling.__annotations__]
            raise TypeError(f"open takes no {strange[0]!r}{did_you_mean(strange[0], names)}; it takes {', '.join(names)}")
        crs = given.get("assume_crs")
        return cls(_names(given.get("bands")), _dates(given.get("time")), None if crs is None else read_crs(crs))

    def named(self, path: Path, described: Sequence[str | None]) -> list[str]:
        """Give the names of a file's bands, in order.

        Raises
        ------
        BandError
            If there are not as many, or the file says otherwise.
        """
        if len(self.bands) != len(described):
            raise BandError(
                f"{path} has {len(described)} bands, and bands= names {len(self.bands)} ({', '.join(self.bands)}); name each, in order"
            )
        for name, own in zip(self.bands, described, strict=True):
            meant = band_name(str(own).split(" ")[0])
            if meant is not None and meant != band_name(name):
                raise BandError(f"bands= calls a band {name} that {path} describes as {own}; leave bands= out, or mend the file")
        return list(self.bands)

    def dated(self, paths: Sequence[Path]) -> dict[Path, np.datetime64 | None]:
        """Give each file its date, None where none is told.

        Raises
        ------
        TimeError
            If there are several dates, but not one for each file.
        """
        if len(self.dates) <= 1:
            return dict.fromkeys(paths, next(iter(self.dates), None))
        if len(self.dates) != len(paths):
            raise TimeError(
                f"time= gives {len(self.dates)} dates, and {paths[0].parent} has {len(paths)} files; give one, or one for each in the "
                f"order of their names"
            )
        return dict(zip(paths, self.dates, strict=True))

    def placed(self, crs: Any, path: Path) -> Any:
        """Give the CRS of a file.

        Raises
        ------
        GridError
            If the file has another one.
        """
        if crs and self.crs and crs != self.crs:
            raise GridError(f"{path} is in {crs.to_string():.40}, and assume_crs= is for files without a CRS; crs= brings it to another")
        return crs or self.crs

    def refuse(self, source: Any) -> None:
        """Refuse what is told of a source that is no GeoTIFF.

        Raises
        ------
        ReadError
            In any case.
        """
        given = [key for key, value in (("bands", self.bands), ("time", self.dates), ("assume_crs", self.crs)) if value]
        what = str(source) if isinstance(source, str | PathLike) else f"a {type(source).__name__}"
        raise ReadError(
            f"{'=, '.join(given)}= tell what a GeoTIFF, or a folder of them, does not, and {what} is none; leave it out, and change what "
            f"was read instead: ds.rename(...), ds.assign_coords(time=...), ds.rio.write_crs(...)"
        )


def _names(bands: Any) -> tuple[str, ...]:
    names = (bands,) if isinstance(bands, str) else tuple(bands or ())
    meant = [band_name(name) or str(name).strip() for name in names]
    odd = [name for name, own in zip(names, meant, strict=True) if not isinstance(name, str) or not own or meant.count(own) > 1]
    if odd:
        raise BandError(f"bands= holds {odd[0]!r}, empty or twice; name each band of the file once, in order: bands=['B02', 'B03']")
    return tuple(meant)


def _dates(time: Any) -> tuple[np.datetime64, ...]:
    if time is None:
        return ()
    found = parse_dates([time] if np.ndim(time) == 0 else list(time)).tz_localize(None)
    if not len(found) or found.isna().any():
        raise TimeError(f"time= is {time!r:.60}; give the date of the file, such as time='2019-05-30'")
    return tuple(found.to_numpy("datetime64[ns]"))
