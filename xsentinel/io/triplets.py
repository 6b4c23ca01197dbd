"""Triplets of the competition that Wang et al. (2023) took part in: radar, leaf area and masks of three dates, as GeoTIFF."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.bands import BANDS, SCENE_CLASSES
from xsentinel.errors import GridError, ReadError, UnitsError, XSentinelError

NAME = re.compile(
    r"^(?P<area>.+)_(?P<first>\d{4}-\d\d-\d\d)_(?P<last>\d{4}-\d\d-\d\d)-(?P<date>\d)-(?P<of>\d+)-(?P<row>\d+)-(?P<column>\d+)$"
)
"""<Country>_<Area>_<DateFrom>_<DateTo>-<measurement>-<lstm>-<row>-<column>; measurement 0 is t−2, 1 is t−1, 2 is t."""

STEP_DAYS = 6
"""Between measurements: names tell the first and the last date only, of three in 12 days, four in 18, five in 24; dates of the table are
within two days of this rule."""

S1, S2, MASK = "s1", "s2", "s2-mask"
BANDS_IN = {S1: 2, S2: 1, MASK: 1}
"""Folder → bands of its files."""

LEAST_DB, MOST_DB = -60.0, 40.0
"""Of single pixels: shadow and corner reflectors."""

LEAST_LAI, MOST_LAI = -2.0, 15.0
"""SL2P's raw answers, which the files hold, lie between; its training data between 0 and 8."""

APART_DB = 1.0
"""Between the medians of VV and VH, at the least, for the bands to be told apart: VH is weaker over all land."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class TripletName:
    """What the name of a file tells."""

    area: str
    """Country and area."""
    first: str
    last: str
    """First and last date of the series, YYYY-MM-DD."""
    date: int
    """Measurement: 0 is t−2, 1 is t−1, 2 is t."""
    row: int
    column: int
    """Of the square of 256 pixels."""

    @property
    def series(self) -> str:
        """Name the series that the file is of."""
        return f"{self.area}_{self.first}_{self.last}"

    @property
    def times(self) -> npt.NDArray[np.datetime64]:
        """Give the three dates, the first one as told and one more each six days: right to a day or two."""
        return np.datetime64(self.first, "ns") + np.arange(3) * np.timedelta64(STEP_DAYS, "D")


def parse_name(name: str) -> TripletName:
    """Read the name of a file of the competition.

    Raises
    ------
    ReadError
        If it is none.

    Examples
    --------
    >>> parse_name("KALININGRAD_GUSEV_2018-04-07_2018-04-19-1-0-7-23.tiff")
    TripletName(area='KALININGRAD_GUSEV', first='2018-04-07', last='2018-04-19', date=1, row=7, column=23)
    """
    found = NAME.match(Path(name).stem)
    try:
        if found is None:
            raise ValueError("it is not of this form")
        first, last = (str(np.datetime64(found[k], "D")) for k in ("first", "last"))
        if first > last or int(found["date"]) > 2:
            raise ValueError("its dates or its measurement are out of order")
    except ValueError as err:
        raise ReadError(f"{name!r} is no file of a triplet ({err}); names are Country_Area_2018-04-07_2018-04-19-0-0-7-23.tiff") from err
    return TripletName(found["area"], first, last, *(int(found[k]) for k in ("date", "row", "column")))


@dataclass(frozen=True)
class Triplets:
    """Triplets that were read, and those that were not."""

    found: Mapping[str, xr.Dataset]
    """Name of the series, row and column → ``lai``, ``SCL``, ``VV``, ``VH`` (time: 3, y, x)."""
    skipped: Mapping[str, str] = field(default_factory=dict)
    """The same → what is wrong."""

    def __repr__(self) -> str:
        kinds: dict[str, int] = {}
        for reason in self.skipped.values():
            kind = "a file is not there" if "is not there" in reason else reason
            kinds[kind] = kinds.get(kind, 0) + 1
        lines = [f"  {n} skipped: {reason}" for reason, n in kinds.items()]
        return "\n".join([f"<xsentinel triplets: {len(self.found)} read, {len(self.skipped)} skipped>", *lines])


def read_triplets(
    folder: str | PathLike[str],
    table: str | PathLike[str] | None = None,
    *,
    skip: bool = False,
    dates: Mapping[str, Sequence[object]] | None = None,
    polarisations: Sequence[str] | None = None,
) -> Triplets:
    """Read all triplets of a folder into memory, 2.6 MB each; `iter_triplets` gives them one by one.

    Parameters
    ----------
    folder : path
        With the folders ``s1`` (VV and VH, dB), ``s2`` (leaf area index) and ``s2-mask`` (scene classes of Sen2Cor).
    table : path, optional
        CSV with three names a row, t−2, t−1, t, and a head; taken in ``folder`` if it is a bare name. None: whatever is in ``s1``.
    skip : bool
        Whether triplets with faults are left out and told in ``skipped``, instead of raised.
    dates : mapping, optional
        From a series ("UK_WALES_2018-06-21_2018-07-03") to its three dates, where they are known.
    polarisations : ("VV", "VH") or ("VH", "VV"), optional
        The bands of ``s1`` in order. By default what files tell, else the stronger is VV: the competition's own files hold VH
        first, against its description.

    Returns
    -------
    Triplets
        Of each ``lai`` (float32, m² m⁻², NaN at t where there is no target), ``SCL`` (uint8, 0 there), ``VV``, ``VH`` (float32, dB) on the
        grid of ``s2``. Names leave out the middle date: dates are the first one and one more each six days, right to two days.

    Raises
    ------
    ReadError
        If a file is missing, truncated, not of this kind, or a copy of another: files that hold classes for leaf area occur.
    GridError
        If files of a triplet are not of one size and place.
    UnitsError
        If values are no decibels, or no leaf area.

    Examples
    --------
    >>> import xsentinel as xs
    >>> triplets = xs.read_triplets("leaf_nothing_behind", "train_regular.csv", skip=True)  # doctest: +SKIP
    >>> triplets.skipped  # doctest: +SKIP
    """
    skipped: dict[str, str] = {}
    found = dict(iter_triplets(folder, table, skipped=skipped if skip else None, dates=dates, polarisations=polarisations))
    return Triplets(found, skipped)


def iter_triplets(
    folder: str | PathLike[str],
    table: str | PathLike[str] | None = None,
    *,
    skipped: MutableMapping[str, str] | None = None,
    dates: Mapping[str, Sequence[object]] | None = None,
    polarisations: Sequence[str] | None = None,
) -> Iterator[tuple[str, xr.Dataset]]:
    """Read triplets one by one, as `read_triplets` says; those with faults are put into ``skipped``, or raised if that is None."""
    if polarisations is not None and sorted(polarisations) != ["VH", "VV"]:
        raise XSentinelError(f"polarisations is {polarisations!r}; give ('VV', 'VH') or ('VH', 'VV')")
    place = Path(folder)
    for row in _rows(place, table):
        name = Path(row[0]).stem
        try:
            files = _Files(place, *row)
            name = files.name
            yield name, _read(files, (dates or {}).get(files.told.series), polarisations)
        except (ReadError, GridError, UnitsError) as err:
            if skipped is None:
                raise
            skipped[name] = str(err)


def _rows(folder: Path, table: str | PathLike[str] | None) -> list[tuple[str, str, str]]:
    """Give the names of each triplet's files."""
    if table is None:
        last = sorted(p for p in (folder / S1).glob("*.tif*") if (m := NAME.match(p.stem)) and m["date"] == "2")
        if not last:
            raise ReadError(
                f"{folder / S1} holds no file of a date t (…-2-0-row-column.tiff); give the folder that holds s1, s2 and s2-mask"
            )
        return [tuple(_of_date(p.name, k) for k in range(3)) for p in last]  # type: ignore[misc]
    path = folder / table if len(Path(table).parts) == 1 else Path(table)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file) if row][1:]
    except (OSError, UnicodeDecodeError, csv.Error) as err:
        raise ReadError(f"the table of triplets {path} cannot be read: {err}; give a CSV file with three names a row") from err
    if not rows or any(len(row) < 3 for row in rows):
        raise ReadError(f"the table of triplets {path} has {len(rows)} rows, not all of three names (t−2, t−1, t); give a CSV with a head")
    return [tuple(name.strip() for name in row[-3:]) for row in rows]  # type: ignore[misc]


def _of_date(name: str, date: int) -> str:
    stem = NAME.match(Path(name).stem)
    assert stem is not None
    return f"{stem['area']}_{stem['first']}_{stem['last']}-{date}-{stem['of']}-{stem['row']}-{stem['column']}{Path(name).suffix}"


@dataclass(frozen=True)
class _Files:
    """The files of a triplet."""

    folder: Path
    before: str
    between: str
    at: str

    def __post_init__(self) -> None:
        told = [parse_name(n) for n in self.names]
        if [t.date for t in told] != [0, 1, 2] or len({(t.series, t.row, t.column) for t in told}) > 1:
            raise ReadError(f"{', '.join(self.names)} are no triplet: measurements 0, 1 and 2 of one square; mend the table")

    @property
    def names(self) -> tuple[str, str, str]:
        """Name files in order of dates."""
        return self.before, self.between, self.at

    @cached_property
    def told(self) -> TripletName:
        """What names tell."""
        return parse_name(self.before)

    @property
    def name(self) -> str:
        """Name the triplet."""
        return f"{self.told.series}-{self.told.row}-{self.told.column}"

    def path(self, kind: str, date: int) -> Path:
        """Give one of the files."""
        return self.folder / kind / self.names[date]


def _read(files: _Files, dates: Sequence[object] | None, polarisations: Sequence[str] | None) -> xr.Dataset:
    """Read and check one triplet."""
    first, grid = _pixels(files.path(S2, 0), S2, None)
    shape = first.shape[1:]
    lai, classes = np.full((3, *shape), np.nan, np.float32), np.zeros((3, *shape), np.uint8)
    radar = np.stack([_pixels(files.path(S1, k), S1, grid)[0] for k in range(3)], 1).astype(np.float32)
    for k in range(3):
        paths = files.path(S2, k), files.path(MASK, k)
        if k == 2 and not any(p.exists() for p in paths):
            continue  # the target is kept back of what is to be predicted
        values, mask = (_pixels(p, kind, grid)[0][0] for p, kind in zip(paths, (S2, MASK), strict=True))
        _check_pair(values, mask, *paths)
        lai[k], classes[k] = values, mask
    order = _polarisations(radar, files, polarisations)
    return _label(files, dates, {"lai": lai, "SCL": classes} | dict(zip(order, radar, strict=True)), grid)


def _pixels(path: Path, kind: str, grid: Any) -> tuple[Array, Any]:
    """Read a file, (band, y, x), and its size, transform and CRS, which must be those of the grid to about a pixel."""
    import rasterio
    from rasterio.errors import RasterioError, RasterioIOError

    if not path.exists():
        raise ReadError(f"{path} is not there; the triplet needs it")
    try:
        with rasterio.open(path) as file:
            own = (file.height, file.width), file.transform, file.crs
            values, count = file.read(), file.count
    except (RasterioIOError, RasterioError) as err:
        raise ReadError(f"{path} cannot be read, it is truncated or damaged: {err}; copy it again") from err
    if count != BANDS_IN[kind]:
        raise ReadError(f"{path} has {count} bands; files in {kind} have {BANDS_IN[kind]}")
    if grid is not None and not _same_place(own, grid):
        raise GridError(f"{path} has {_where(own)}, and the first file {_where(grid)}; files of a triplet show one place")
    return values, own


def _where(grid: Any) -> str:
    (height, width), transform, _ = grid
    return f"{height} × {width} pixels at {transform[2]:.0f}, {transform[5]:.0f}"


def _same_place(one: Any, other: Any) -> bool:
    """Tell whether two grids are one but for a pixel: those of radar lie a metre beside those of S2."""
    pixel = abs(other[1][0])
    near = all(abs(a - b) <= pixel for a, b in zip(one[1][:6], other[1][:6], strict=True))
    return bool(one[0] == other[0] and near and one[2] == other[2])


def _check_pair(values: Array, mask: Array, path: Path, mask_path: Path) -> None:
    """Refuse leaf area that is none, and classes that are none."""
    if np.array_equal(values, mask):
        raise ReadError(f"{path} holds the scene classes of {mask_path}, value for value, and no leaf area; get the file again, or skip it")
    codes = {c.value for c in SCENE_CLASSES}
    strange = [v for v in np.unique(mask)[:50] if v not in codes]
    if strange:
        raise ReadError(f"{mask_path} holds {strange[0]:g}, which is no scene class of Sen2Cor (0–11); copy the file again, or skip=True")
    known = values[np.isfinite(values)]
    if known.size and (known.min() < LEAST_LAI or known.max() > MOST_LAI):
        raise UnitsError(
            f"{path} holds {known.min():g} to {known.max():g}, which is no leaf area index ({LEAST_LAI:g} to {MOST_LAI:g}); "
            f"copy the file again, or skip=True"
        )


def _polarisations(radar: Array, files: _Files, told: Sequence[str] | None) -> tuple[str, ...]:
    """Say which band is VV: as told, else the stronger one; check that they are decibels."""
    where = files.path(S1, 2)
    known = radar[np.isfinite(radar)]
    if not known.size or known.min() < LEAST_DB or known.max() > MOST_DB or (known >= 0).mean() > 0.5:
        span = f"{known.min():g} to {known.max():g}" if known.size else "nothing but gaps"
        raise UnitsError(f"{where} and the dates before hold {span}, which is no backscatter in dB; give decibels (10 · log10 of power)")
    if told is not None:
        return tuple(told)
    first, second = (float(np.nanmedian(band)) for band in radar)
    if abs(first - second) < APART_DB:
        raise ReadError(f"{where}: medians of the two bands are {first:.1f} and {second:.1f} dB, so that VV and VH cannot be told apart; "
                        f"give polarisations=")  # fmt: skip
    return ("VV", "VH") if first > second else ("VH", "VV")


def _label(files: _Files, dates: Sequence[object] | None, layers: Mapping[str, Array], grid: Any) -> xr.Dataset:
    """Put dates and coordinates on."""
    import rioxarray  # noqa: F401  (registers .rio)

    (height, width), transform, crs = grid
    times = files.told.times if dates is None else np.array([np.datetime64(str(d), "ns") for d in dates])
    if len(times) != 3:
        raise XSentinelError(f"dates of {files.told.series} are {len(times)}; give three")
    ds = xr.Dataset({name: (("time", "y", "x"), values, _attrs(name)) for name, values in layers.items()}, attrs={
        "title": files.name, "area": files.told.area, "row": files.told.row, "column": files.told.column,
        "dates": "given" if dates is not None else f"the first as the name tells, then each {STEP_DAYS} days",
    })  # fmt: skip
    y = transform[5] + transform[4] * (np.arange(height) + 0.5)
    x = transform[2] + transform[0] * (np.arange(width) + 0.5)
    placed: xr.Dataset = ds.assign_coords(time=times, y=y, x=x).rio.write_crs(crs)
    return placed


def _attrs(name: str) -> dict[str, Any]:
    if name == "lai":
        return {"long_name": "leaf area index", "standard_name": "leaf_area_index", "units": "m2 m-2"}
    if name == "SCL":
        meanings = " ".join(c.meaning for c in SCENE_CLASSES)
        return {
            "long_name": "scene classification",
            "flag_values": np.array([c.value for c in SCENE_CLASSES], np.uint8),
            "flag_meanings": meanings,
        }
    return {"long_name": BANDS[name].long_name, "units": "dB"}
