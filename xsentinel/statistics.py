"""Statistics of the bands of a cube: a small record that travels with a model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from html import escape
from math import isfinite
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xsentinel.bands import BANDS, MAX_REFLECTANCE
from xsentinel.cube import check_reflectance, encoding_of, select_bands
from xsentinel.errors import BandError, ReadError, UnitsError, WriteError, XSentinelError

METHODS = ("percentile", "minmax", "zscore", "albughdadi", "stoian")
FORMAT = "xsentinel statistics 1"
FAR = 50
"""Times low and high that the median of a band may lie away; only other units reach there."""
SAMPLE = 1 << 16
"""Values of a band that `Statistics.check` looks at."""


@dataclass(frozen=True)
class BandStatistics:
    """What is known of the values of one band; reflectance [1], radar dB."""

    low: float
    """What becomes 0 (under zscore for information: the lower percentile)."""
    high: float
    """What becomes 1 (under zscore for information: the upper percentile)."""
    mean: float
    """Mean of all valid values."""
    std: float
    """Population standard deviation (ddof 0) of all valid values."""
    minimum: float
    """Smallest valid value."""
    maximum: float
    """Largest valid value."""
    n: int
    """Number of valid values."""
    error: float
    """Relative error of low, high and the ends, at most; mean and deviation are off by no more than one value may be."""


@dataclass(frozen=True)
class Source:
    """What the statistics were computed from."""

    start: str | None
    """First date, ISO; None without time."""
    end: str | None
    """Last date, ISO; None without time."""
    n_dates: int
    """Number of dates."""
    crs: str | None
    """CRS of the cube, None if unknown."""
    xsentinel_version: str
    """Version that computed them."""


@dataclass(frozen=True)
class Statistics:
    """Statistics by band name, and the rule that makes a normalisation of them.

    Saves to JSON, and is checked against the cube it is applied to.

    Examples
    --------
    >>> import xsentinel as xs
    >>> from xsentinel.products.normalise import statistics
    >>> stats = statistics(xs.sample("zurich")[["B04", "B08"]])
    >>> stats
    Statistics by percentile, 2 to 98, clipped, of 1 date (2019-05-30), EPSG:32632
    band      low    high    mean     std  minimum  maximum       n  error
    B04    ...
    B08    ...
    >>> Statistics.from_json(stats.to_json()) == stats
    True
    """

    by_band: Mapping[str, BandStatistics] = field(hash=False)
    """Statistics of each band, by name, in the order of the sensor."""
    method: str
    """percentile, minmax, zscore, albughdadi or stoian."""
    lower: float
    """Percentile of ``low``."""
    upper: float
    """Percentile of ``high``."""
    clip: bool
    """Whether what lies beyond low and high becomes 0 and 1."""
    source: Source
    """What they were computed from."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise XSentinelError(f"method is {self.method!r}; give one of {', '.join(METHODS)}")

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands."""
        return tuple(self.by_band)

    def __getitem__(self, band: str) -> BandStatistics:
        """Give the statistics of a band by its name."""
        if band not in self.by_band:
            raise BandError(f"the statistics have no {band}; they have {', '.join(self.bands)}")
        return self.by_band[band]

    def transform(self, band: str) -> tuple[float, float]:
        """Give shift and width of a band: normalised = (value - shift) / width.

        Raises
        ------
        BandError
            If the band is unknown, or constant, so that the width is 0.
        """
        entry = self[band]
        shift, width = (entry.mean, entry.std) if self.method == "zscore" else (entry.low, entry.high - entry.low)
        # the width is used as float32: what that cannot tell from 0 is 0
        if not np.float32(width) > 0:
            said = f"a standard deviation of {entry.std:g}" if self.method == "zscore" else f"low = high = {entry.low:g}"
            raise BandError(f"{band} is constant: {said} of {entry.n} values; there is nothing to normalise: drop the band")
        return shift, width

    def check(self, ds: xr.Dataset) -> None:
        """Check that a cube has the bands, in the units of these statistics, not normalised before.

        Of bands in memory a sample of values is looked at; of lazy ones only what is known without computing.

        Raises
        ------
        BandError
            If a band is missing.
        UnitsError
            If a band was normalised before or its values lie far from the statistics.
        """
        bands = select_bands(ds, self.bands, "a cube for these statistics", ", or compute statistics of its own")
        for band in bands:
            _check_band(band, self.by_band[str(band.name)])

    def to_json(self) -> str:
        """Give the record as JSON text, which `from_json` reads."""
        head = {"format": FORMAT, "method": self.method, "lower": self.lower, "upper": self.upper, "clip": self.clip}
        body = {"source": asdict(self.source), "bands": {name: asdict(entry) for name, entry in self.by_band.items()}}
        return json.dumps(head | body, indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Statistics:
        """Read the text of `to_json`.

        Raises
        ------
        ReadError
            If it is no such text.
        """
        try:
            record = json.loads(text)
        except json.JSONDecodeError as err:
            raise ReadError(f"these statistics are no JSON: {err}; give the text of Statistics.to_json()") from err
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            found = repr(record.get("format")) if isinstance(record, dict) else type(record).__name__
            raise ReadError(f"this JSON is not of statistics: its format is {found}, not {FORMAT!r}; give the text of Statistics.to_json()")
        try:
            by_band = {str(name): BandStatistics(**entry) for name, entry in record["bands"].items()}
            read = cls(by_band, record["method"], record["lower"], record["upper"], record["clip"], Source(**record["source"]))
        except (KeyError, TypeError, AttributeError) as err:
            raise ReadError(f"these statistics are incomplete: {err}; save them again with Statistics.save") from err
        _check_numbers(by_band)
        return read

    def save(self, path: str | PathLike[str]) -> None:
        """Write the record to a JSON file.

        Raises
        ------
        WriteError
            If it cannot be written.
        """
        try:
            Path(path).write_text(self.to_json() + "\n", encoding="utf-8")
        except OSError as err:
            raise WriteError(f"{path} cannot be written: {err.strerror}; give a path in a folder that exists and may be written") from err

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Statistics:
        """Read the record from a JSON file.

        Raises
        ------
        ReadError
            If it cannot be read or is no such record.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as err:
            raise ReadError(f"{path} cannot be read: {err}; give a file that Statistics.save wrote") from err
        return cls.from_json(text)

    @property
    def rule(self) -> str:
        """Method, percentiles and clipping in words."""
        asked = f", {self.lower:g} to {self.upper:g}" if self.method in ("percentile", "albughdadi", "stoian") else ""
        return f"{self.method}{asked}{', clipped' if self.clip else ''}"

    @property
    def title(self) -> str:
        """What the statistics are, in a line."""
        s = self.source
        days = f" ({s.start})" if s.start == s.end and s.start else f" ({s.start} to {s.end})" if s.start else ""
        return f"Statistics by {self.rule}, of {s.n_dates} date{'' if s.n_dates == 1 else 's'}{days}, {s.crs or 'CRS unknown'}"

    def rows(self) -> list[list[str]]:
        """Give the table: a head, and a row a band."""
        names = [f.name for f in fields(BandStatistics)]
        return [["band", *names]] + [[band, *(_number(getattr(e, name)) for name in names)] for band, e in self.by_band.items()]

    def __repr__(self) -> str:
        rows = self.rows()
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = ["  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]) for row in rows]
        return "\n".join([self.title, *lines])

    def _repr_html_(self) -> str:
        head, *body = self.rows()
        top = "".join(f"<th>{escape(c)}</th>" for c in head)
        rest = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in body)
        return f"<table><caption>{escape(self.title)}</caption><tr>{top}</tr>{rest}</table>"


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def _check_numbers(by_band: Mapping[str, BandStatistics]) -> None:
    """Refuse a record whose numbers are no numbers: a hand may have written it."""
    for band, entry in by_band.items():
        for name, value in asdict(entry).items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
                raise ReadError(f"{name} of {band} is {value!r} in these statistics, which is no finite number; save them again")


def _check_band(band: xr.DataArray, entry: BandStatistics) -> None:
    """Check what is known of a band without computing, and a sample of its values if it is in memory."""
    name, encoding = str(band.name), encoding_of(band)
    if "normalisation" in band.attrs:
        raise UnitsError(f"{name} is normalised already ({band.attrs['normalisation']}); apply statistics to the cube as it was before")
    if not BANDS[name].is_radar and entry.high > MAX_REFLECTANCE:
        raise UnitsError(
            f"the statistics of {name} reach from {entry.low:g} to {entry.high:g}, which is not reflectance, as the cube is; "
            f"compute them from a cube with scale_factor, or divide them by 10000"
        )
    if band.chunks is None:
        stored = _sample(band.values)
        valid = stored[np.isfinite(stored) & (stored != encoding.nodata)]
        _check_values(valid.astype(np.float32) * np.float32(encoding.scale) + np.float32(encoding.offset), name, entry)


def _sample(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Take every so many-th value along each dimension."""
    step = max(1, int(np.ceil((values.size / SAMPLE) ** (1 / max(values.ndim, 1)))))
    return values[(slice(None, None, step),) * values.ndim]


def _check_values(sample: np.ndarray[Any, Any], name: str, entry: BandStatistics) -> None:
    """Check valid values of a band to be in the units of its statistics."""
    if sample.size == 0:
        return
    if not BANDS[name].is_radar:
        check_reflectance(sample, name)
    elif (sample.min() >= 0 > entry.high) or (sample.max() < 0 <= entry.low):
        raise UnitsError(
            f"{name} lies between {sample.min():g} and {sample.max():g}, but its statistics between {entry.low:g} and {entry.high:g}: "
            f"one is linear power, the other dB; convert the cube: 10 · log10(power)"
        )
    middle, reach = float(np.median(sample)), FAR * max(entry.high - entry.low, abs(entry.low), abs(entry.high))
    if not entry.low - reach <= middle <= entry.high + reach:
        raise UnitsError(
            f"{name} has a median of {middle:g}, far from its statistics, {entry.low:g} to {entry.high:g}; "
            f"bring the cube to their units, or compute statistics of its own"
        )
