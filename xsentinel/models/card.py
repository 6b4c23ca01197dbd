"""What is known of a trained model: a record that is read before any weight is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date
from math import isfinite
from typing import Any

import numpy as np

from xsentinel.bands import BANDS
from xsentinel.classes import LabelClass
from xsentinel.errors import ReadError
from xsentinel.models.planes import FUSION, FusionInputs
from xsentinel.models.stac import lay_out

FORMAT = "xsentinel model 1"
GEOMETRY = {
    "cos_sza": "cosine of the sun zenith angle",
    "cos_vza": "cosine of the view zenith angle",
    "cos_raa": "cosine of the relative azimuth",
    "s2b": "1 where SL2P takes the coefficients of Sentinel-2B (S2B and S2C), 0 where those of 2A",
    "sin_day": "sine of the day of the year",
    "cos_day": "cosine of the day of the year",
}
"""Planes beside the bands that a network may take, constant over a date or not."""
INDICES = {
    "NDVI": "normalised difference vegetation index",
    "NDWI": "normalised difference water index",
    "brightness": "mean of the ten bands of 10 and 20 m",
}
"""Indices that a network may take as a band is: a variable of the cube of this name, computed if it is not there."""


@dataclass(frozen=True)
class Channel:
    """One input plane of a network, and its normalisation: ``low`` becomes 0 and ``high`` 1, nothing is clipped."""

    name: str
    """A band, a row of `INDICES`, of `xsentinel.models.planes.FUSION`, or of `GEOMETRY`."""
    low: float
    """Reflectance [1], radar dB, cosine, or what the tables say."""
    high: float
    """In the same unit."""
    default: float | None = None
    """What counts where the cube does not tell; None: it must tell. The attributes of a map name what was not told."""

    @property
    def is_band(self) -> bool:
        """Whether it is a band of the cube, or an index of bands; of a model that forecasts, also a band of another sensor's."""
        return self.name not in GEOMETRY


@dataclass(frozen=True)
class Output:
    """One quantity that a network estimates."""

    name: str
    """Name of the variable."""
    long_name: str
    units: str
    standard_name: str | None = None
    """CF standard name, if there is one."""
    minimum: float | None = None
    """What lies below is set to it."""
    maximum: float | None = None
    """What lies above is set to it."""


@dataclass(frozen=True)
class Periods:
    """What each of several dates stands for: the composite of a period."""

    freq: str = "MS"
    """As pandas names it: MS, calendar months."""
    method: str = "median"
    """Of the composites."""
    first_month: int = 1
    """Calendar month of the first period; of another, and the model was trained on other seasons."""


@dataclass(frozen=True)
class EqualDates:
    """What each of several dates stands for: a day, the same days in every season, to which single dates are brought.

    The season is cut into as many equal parts as there are dates; each date is the middle of its part, in whole days.
    """

    first: str = "01-01"
    """Month and day that the season begins at."""
    span_days: int = 365
    """Days of the season."""
    method: str = "linear"
    """Of filling gaps; before the first observation and after the last its value is held."""
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Of the method."""

    def days(self, n: int) -> tuple[int, ...]:
        """Give n dates as days after the first of the season.

        Examples
        --------
        >>> EqualDates().days(33)[:3], EqualDates().days(33)[-1]
        ((5, 16, 27), 359)
        """
        return tuple(self.span_days * (2 * k + 1) // (2 * n) for k in range(n))


@dataclass(frozen=True)
class Calibration:
    r"""How far the truth lies from the estimate, learnt from places that the network was not trained on.

    The half-width of an interval that holds the share ``confidence`` of answers is
    :math:`q\,\sqrt{a^2 + (b\sigma)^2 + (c\,\bar y)^2}` with q from ``quantiles``.
    """

    floor: float
    """a, in units of the output."""
    spread: float
    """b, of the standard deviation over Monte Carlo samples."""
    level: float
    """c, of the estimate itself."""
    quantiles: tuple[tuple[float, float], ...]
    """(confidence, q), rising; from the empirical quantiles of the scaled errors (conformal prediction)."""
    samples: int
    """Monte Carlo samples that it was learnt with."""
    coverage: Mapping[str, float] = field(default_factory=dict, hash=False)
    """Source held out → share of its pixels that the 95 % interval held."""

    def quantile(self, confidence: float) -> float:
        """Give q, between the confidences that were calibrated on a line."""
        levels, quantiles = zip(*self.quantiles, strict=True)
        return float(np.interp(confidence, levels, quantiles))

    def scale(self, mean: Any, spread: Any) -> Any:
        """Give what q is multiplied by, of arrays of any kind, in their own precision."""
        return ((self.spread * spread) ** 2 + (self.level * mean) ** 2 + self.floor**2) ** 0.5

    def half_width(self, mean: Any, spread: Any, confidence: float) -> Any:
        """Give half the width of the interval that holds a share of the answers."""
        return self.quantile(confidence) * self.scale(mean, spread)


@dataclass(frozen=True)
class Forecast:
    """How a network that carries a series on in time is started, and how far off it was."""

    step_days: float
    """Between two dates of the network."""
    filling: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """``method`` and options of the kernel that brings a series to regular dates."""
    base: str = ""
    """"climatology": what is carried on is how far a series is from its own mean of other years around the same day."""
    horizons: tuple[int, ...] = ()
    """Steps ahead at which errors were measured, rising."""
    errors: tuple[tuple[float, ...], ...] = ()
    """RMSE [1] of each band at each horizon, on series that the network was not trained on."""


@dataclass(frozen=True)
class Card:
    """A trained model, without its weights.

    Saves as the JSON of a STAC item with the Machine Learning Model extension.
    """

    name: str
    network: str
    """A row of `xsentinel.models.networks.NETWORKS`."""
    settings: Mapping[str, Any] = field(hash=False)
    """What the network is built with: widths, dropout …"""
    channels: tuple[Channel, ...]
    """Inputs in order, bands before geometry; with several dates, the bands of the first date come first."""
    outputs: tuple[Output, ...]
    resolution_m: float
    """Pixel size that it was trained at."""
    stride: int
    """Blocks start at its multiples."""
    radius: int | None
    """Pixels around one that its value may depend on; None if all do."""
    licence: str
    dates: int = 1
    """1: each date by itself; more: that many dates together give one map."""
    classes: tuple[LabelClass, ...] = ()
    """What it tells apart, in the order of its answers; empty: it estimates quantities, its outputs."""
    least_dates: int | None = None
    """Of several dates, as many as a pixel must have been seen at; what was seen is told to the network by one more
    plane a date. None: at all of them."""
    periods: Periods | None = None
    """Of several dates: that they are composites of periods."""
    equal_dates: EqualDates | None = None
    """Of several dates: that they are equal dates of a season. With neither they are dates of their own, which are not checked."""
    training: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Data, teacher, steps, seed, versions."""
    scores: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """How it does on places not trained on, with the baselines beside it."""
    calibration: Calibration | None = None
    forecast: Forecast | None = None
    """Of a network whose outputs are its inputs, a step later."""
    fusion: FusionInputs | None = None
    """Of a network of radar and past leaf area: how the dates of its planes are chosen."""
    digest: str = ""
    """SHA-256 of the file of weights."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands in order."""
        return tuple(c.name for c in self.channels if c.is_band)

    @property
    def geometry(self) -> tuple[Channel, ...]:
        """The planes that are no bands, in order behind them."""
        return tuple(c for c in self.channels if not c.is_band)

    @property
    def halo(self) -> int | None:
        """Radius rounded up to the stride."""
        return None if self.radius is None else -(-self.radius // self.stride) * self.stride

    @property
    def n_in(self) -> int:
        """Planes that the network takes."""
        return self.dates * self.planes + len(self.geometry)

    @property
    def planes(self) -> int:
        """Planes of a date: the bands, and where dates may be missing whether it was seen."""
        return len(self.bands) + (self.least_dates is not None)

    @property
    def n_out(self) -> int:
        """Planes that the network gives."""
        return len(self.classes) or len(self.outputs)

    def with_digest(self, digest: str) -> Card:
        """Give the same card for these weights."""
        return replace(self, digest=digest)

    def to_json(self) -> str:
        """Write the card as JSON text, which `from_json` reads."""
        return json.dumps(lay_out(self, {"format": FORMAT} | asdict(self)), indent=1, allow_nan=False, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Card:
        """Read the text of `to_json`.

        Raises
        ------
        ReadError
            If it is no such text, or says what cannot be.
        """
        try:
            item = json.loads(text)
            record = item["properties"]["xsentinel:model"]
        except (json.JSONDecodeError, KeyError, TypeError) as err:
            raise ReadError(f"this is no card of an xsentinel model ({err!r}); give the .json that lies beside its .safetensors") from err
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            found = repr(record.get("format")) if isinstance(record, dict) else type(record).__name__
            raise ReadError(
                f"this card has the format {found}, and this version reads {FORMAT!r}; use the version that wrote it, or train again"
            )
        try:
            card = _card(cls, record)
            _check(card)
            hash(card)  # a list where a number should be comes to light here
        except ReadError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as err:
            raise ReadError(f"this model card is incomplete or damaged: {err}; save the model again") from err
        return card


def _card(cls: type[Card], record: Mapping[str, Any]) -> Card:
    read = {f.name: record[f.name] for f in fields(cls) if f.name in record}
    read["channels"] = tuple(Channel(**c) for c in record["channels"])
    read["outputs"] = tuple(Output(**o) for o in record["outputs"])
    read["classes"] = tuple(LabelClass(**c) for c in record.get("classes", ()))
    if record.get("periods"):
        read["periods"] = Periods(**record["periods"])
    if record.get("equal_dates"):
        read["equal_dates"] = EqualDates(**record["equal_dates"])
    if record.get("calibration"):
        found = record["calibration"]
        read["calibration"] = Calibration(**found | {"quantiles": tuple((float(c), float(q)) for c, q in found["quantiles"])})
    if record.get("forecast"):
        found = record["forecast"]
        known = {"horizons": tuple(found.get("horizons", ())), "errors": tuple(tuple(e) for e in found.get("errors", ()))}
        read["forecast"] = Forecast(**found | known)
    if record.get("fusion"):
        read["fusion"] = FusionInputs(**record["fusion"])
    return cls(**read)


def _check(card: Card) -> None:
    """Refuse what a hand may have written into a card."""
    wrong = [c.name for c in card.channels if not (isfinite(c.low) and isfinite(c.high) and c.high > c.low)]
    if wrong:
        raise ReadError(f"model {card.name}: the normalisation of {', '.join(wrong)} is not low < high; save the model again")
    if card.forecast is None:
        _check_channels(card)
    if card.radius is not None and card.radius < 0:
        raise ReadError(f"model {card.name}: a radius of {card.radius} makes no sense; save the model again")
    if not card.n_out or card.stride < 1 or card.dates < 1 or not isfinite(card.resolution_m):
        raise ReadError(f"model {card.name}: outputs, stride, dates or resolution make no sense; save the model again")
    if card.least_dates is not None and (card.geometry or not 1 <= card.least_dates <= card.dates or card.dates == 1):
        raise ReadError(f"model {card.name}: at least {card.least_dates} of {card.dates} dates makes no sense; save the model again")
    if card.equal_dates is not None:
        _check_dates(card, card.equal_dates)
    codes = [c.code for c in card.classes]
    if len(set(codes)) < len(codes) or (codes and (len(codes) < 2 or min(codes) < 1 or max(codes) > 255)):
        raise ReadError(f"model {card.name}: codes of classes are {codes}; give two or more, all different, from 1 to 255")
    if card.forecast is not None:
        _check_forecast(card, card.forecast)


def _check_dates(card: Card, equal: EqualDates) -> None:
    try:
        date.fromisoformat(f"2001-{equal.first}")  # the 29th of February begins no season
    except (ValueError, TypeError) as err:
        raise ReadError(f"model {card.name}: its season begins at {equal.first!r}; write month and day, such as '01-01'") from err
    if card.periods is not None or not 2 <= card.dates <= equal.span_days or not isinstance(equal.method, str):
        what = f"{card.dates} dates in {equal.span_days} days" + ("" if card.periods is None else ", and periods too,")
        raise ReadError(f"model {card.name}: {what} make no sense; save the model again")


def _check_channels(card: Card) -> None:
    beside = ([*INDICES] if card.fusion is None else [*FUSION]) + [*GEOMETRY]
    unknown = [c.name for c in card.channels if c.name not in beside and (card.fusion is not None or c.name not in BANDS)]
    if unknown:
        what = "neither a band nor one of" if card.fusion is None else "none of"
        raise ReadError(f"model {card.name} takes {', '.join(unknown)}, which is {what} {', '.join(beside)}")
    if card.fusion is not None and (card.dates > 1 or card.classes or not card.bands or not card.fusion.is_possible):
        raise ReadError(f"model {card.name}: the inputs of its fusion make no sense; save the model again")


def _check_forecast(card: Card, forecast: Forecast) -> None:
    shapes = len(forecast.errors) == len(forecast.horizons) and all(len(e) == len(card.outputs) for e in forecast.errors)
    shapes = shapes and len(card.outputs) == len(card.bands) and list(forecast.horizons) == sorted(forecast.horizons)
    if not shapes or not forecast.step_days > 0 or forecast.base not in ("", "climatology"):
        raise ReadError(f"model {card.name}: step, horizons or errors of its forecast make no sense; save the model again")
