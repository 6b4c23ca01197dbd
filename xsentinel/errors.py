"""What can go wrong, by kind. Each message says what was found and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Real
from typing import Any


def did_you_mean(word: object, known: Iterable[object]) -> str:
    """Give words that suggest the nearest of the known names, empty where none is near.

    Examples
    --------
    >>> did_you_mean("resoluton", ["bbox", "resolution"])
    ' (did you mean resolution?)'
    """
    near = get_close_matches(str(word), [str(name) for name in known], 1)
    return f" (did you mean {near[0]}?)" if near else ""


class XSentinelError(ValueError):
    """Base of all errors that xsentinel raises on bad input."""


def check_numbers(**given: object) -> None:
    """Check that options are numbers, where they are given.

    Raises
    ------
    XSentinelError
        If one is something else, such as a text.

    Examples
    --------
    >>> check_numbers(max_gap=30, steps=None)
    """
    for name, value in given.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, Real)):
            raise XSentinelError(f"{name} is {value!r:.60}; give a number, without quotes or units")


class BandError(XSentinelError):
    """A band is missing, named twice or not known."""


class UnitsError(XSentinelError):
    """Values are not in the units that they claim, or claim none."""


class GeometryError(XSentinelError):
    """Sun and view angles or the platform of a date are missing or impossible."""


class GridError(XSentinelError):
    """Dimensions, coordinates, resolution or CRS do not fit the request."""


class SeveralGridsError(GridError):
    """Bands lie on grids of several pixel sizes, and none was asked for; ``grids`` says which lies where."""

    def __init__(self, message: str, grids: dict[float, list[str]] | None = None) -> None:
        super().__init__(message)
        self.grids = grids or {}


class TimeError(XSentinelError):
    """Dates are missing, repeated or do not match."""


class ReadError(XSentinelError, OSError):
    """A file or store cannot be read as a Sentinel-2 cube."""


class WriteError(XSentinelError, OSError):
    """A file or store cannot be written as asked."""


class StoreError(WriteError):
    """A store cannot be written at all: the disk is full, read-only or out of reach."""


class StoppedError(XSentinelError):
    """A job cannot go on, for want of workers; what is done is kept."""


class IncompleteError(XSentinelError):
    """Some blocks of a job failed; ``report`` says which."""

    def __init__(self, message: str, report: Any = None) -> None:
        super().__init__(message)
        self.report = report
