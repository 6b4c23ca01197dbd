"""The legend: which classes there are, and which values of a source belong to each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from xsentinel.classes import MAX_CLASSES, NO_LABEL, LabelClass, flag_attrs, palette
from xsentinel.errors import XSentinelError

ANY = "*"
"""Source that stands in a table for all values that are not there."""
DROP = "drop"
SHOWN = 10
"""Unknown values that an error lists at most."""


@dataclass(frozen=True)
class Legend:
    """Classes 1 … n and the source values that are aggregated to each."""

    classes: tuple[LabelClass, ...]
    """In the order of their codes, 1 … n."""
    sources: tuple[tuple[str, int], ...]
    """Source value as text, and code of its class; 0 where it is dropped."""
    other: int | None = None
    """Code of all other values: 0 drops them, None makes them an error."""

    def __post_init__(self) -> None:
        if [c.code for c in self.classes] != list(range(1, len(self.classes) + 1)):
            raise XSentinelError(f"the codes of classes are {[c.code for c in self.classes]}; they are 1, 2, 3 … without gaps")
        values = [source for source, _ in self.sources]
        repeated = sorted({v for v in values if values.count(v) > 1})
        if repeated:
            raise XSentinelError(f"source values {', '.join(repeated)} stand for more than one class; keep one of each")
        flag_attrs(self.classes)

    @property
    def attrs(self) -> dict[str, Any]:
        """CF attributes of a map of these classes."""
        return flag_attrs(self.classes)

    @cached_property
    def _codes(self) -> dict[str, int]:
        return dict(self.sources)

    def encode(self, values: npt.ArrayLike, what: str = "the source") -> npt.NDArray[np.uint8]:
        """Give the class code of each source value; NaN, None, and 0 where the table says nothing of it, are no label.

        Parameters
        ----------
        values : array of numbers or text, any shape
        what : str
            Named in errors.

        Returns
        -------
        numpy.ndarray, uint8, of the same shape

        Raises
        ------
        XSentinelError
            If values are not in the table and `other` is None; they are listed.

        Examples
        --------
        >>> legend({"Cereals": [1100, 1500], "Maize": [1200]}).encode([1200, 1500, 0, 1100])
        array([2, 1, 0, 1], dtype=uint8)
        """
        given = np.asarray(values)
        places, own = pd.factorize(given.ravel())  # NaN and None get -1
        keys = [as_text(value) for value in own.tolist()]
        unknown = sorted({k for k in keys if k not in self._codes and k != "0"}, key=_rank)
        if unknown and self.other is None:
            more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
            raise XSentinelError(
                f"{what} has values that the legend does not know: {', '.join(unknown[:SHOWN])}{more}; "
                f"add them to its table, or give it other='drop' or other='Name of a class'"
            )
        codes = [self._codes.get(k, 0 if k == "0" else self.other or 0) for k in keys]
        found: npt.NDArray[np.uint8] = np.array([*codes, NO_LABEL], np.uint8)[places].reshape(given.shape)
        return found

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Write the table as CSV: source, class (its code, 0 for dropped), name, colour; `legend` reads it back."""
        rows = [*self.sources, *([] if self.other is None else [(ANY, self.other)])]
        by_code = {c.code: c for c in self.classes}
        unused = [("", c.code) for c in self.classes if c.code not in dict(rows).values()]
        frame = pd.DataFrame([*rows, *unused], columns=["source", "class"])
        frame["name"] = [by_code[k].name if k else "" for k in frame["class"]]
        frame["colour"] = [by_code[k].colour if k else "" for k in frame["class"]]
        frame.to_csv(path, index=False)


def legend(table: Mapping[Any, Any] | pd.DataFrame | str | PathLike[str], *, other: str | None = None) -> Legend:
    """Make a legend of a table that says which source values belong to which class.

    Parameters
    ----------
    table : mapping, pandas.DataFrame or path of a CSV
        {"Maize": [1200], "Cereals": [1100, 1500], None: [9998]}, with None for what is dropped; or columns ``source`` and
        ``class``, and if wanted ``name`` and ``colour`` (#rrggbb). Classes are numbered as they appear, unless ``class``
        holds the numbers 1 … n beside a column ``name``; class 0 or empty drops a source, and the source "*" stands
        for all others. Values are compared as text, 1200 and "1200" and 1200.0 being one.
    other : str, optional
        "drop", or the name of the class that all other values belong to; by default they are an error.

    Returns
    -------
    Legend

    Raises
    ------
    XSentinelError
        If columns or classes are missing, a source stands for two classes, or a class has two names or colours.

    Examples
    --------
    >>> legend({"Maize": [1200], "Winter wheat": [1110]}, other="drop").classes[1]
    LabelClass(code=2, name='Winter wheat', colour='#56b4e9')
    """
    frame = _frame(table)
    if other is not None:
        extra = {"source": [ANY], "class": ["" if other == DROP else _class_named(frame, other)], "name": ["" if other == DROP else other]}
        frame = pd.concat([frame[frame["source"] != ANY], pd.DataFrame(extra)], ignore_index=True).fillna("")
    classes, codes = _classes(frame)
    pairs = [(source, codes.get(key, NO_LABEL)) for source, key in zip(frame["source"], frame["class"], strict=True)]
    rest = [code for source, code in pairs if source == ANY]
    return Legend(classes, tuple(dict.fromkeys((s, c) for s, c in pairs if s not in (ANY, ""))), rest[0] if rest else None)


def _frame(table: Any) -> pd.DataFrame:
    """Bring a table of any form to columns of text: source, class, name, colour; empty where nothing is said."""
    if isinstance(table, Mapping):
        pairs = [(value, name) for name, values in table.items() for value in np.atleast_1d(values).tolist()]
        frame = pd.DataFrame({"source": [p[0] for p in pairs], "class": [p[1] for p in pairs]}, dtype=object)
    else:
        frame = table if isinstance(table, pd.DataFrame) else pd.read_csv(table, dtype=str, keep_default_na=False)
    missing = [c for c in ("source", "class") if c not in frame]
    if missing:
        raise XSentinelError(
            f"the table of the legend has no column {', '.join(missing)}; it has {', '.join(map(str, frame.columns))}: "
            f"give source and class, and if wanted name and colour"
        )
    text = pd.DataFrame({c: [as_text(v) for v in frame[c]] if c in frame else "" for c in ("source", "class", "name", "colour")})
    text.loc[text["class"].isin(["0", "0.0"]), "class"] = ""
    text["name"] = text["name"].where(text["name"] != "", text["class"])
    return text


def _class_named(frame: pd.DataFrame, name: str) -> str:
    """Give the key of a class that is there by its name; of a new one the next number, where classes are numbers."""
    there = frame.loc[frame["name"] == name, "class"]
    if len(there):
        return str(there.iloc[0])
    keys = set(frame["class"]) - {""}
    return str(len(keys) + 1) if keys and all(k.isdigit() for k in keys) else name


def _classes(frame: pd.DataFrame) -> tuple[tuple[LabelClass, ...], dict[str, int]]:
    """Give the classes of a table, numbered, and the code of each key."""
    named = frame[frame["class"] != ""]
    keys = list(dict.fromkeys(named["class"]))
    if not 1 <= len(keys) <= MAX_CLASSES:
        raise XSentinelError(f"the legend has {len(keys)} classes; give 1 … {MAX_CLASSES}")
    if sorted(keys) == sorted(str(k) for k in range(1, len(keys) + 1)):
        keys.sort(key=int)
    colours, classes = palette(len(keys)), []
    for code, key in enumerate(keys, start=1):
        rows = named[named["class"] == key]
        facts = {c: sorted(set(rows[c]) - {""}) for c in ("name", "colour")}
        for what, found in facts.items():
            if len(found) > 1:
                raise XSentinelError(f"class {key} has more than one {what}: {', '.join(found)}; give it one")
        classes.append(LabelClass(code, facts["name"][0], facts["colour"][0] if facts["colour"] else colours[code - 1]))
    return tuple(classes), {key: code for code, key in enumerate(keys, start=1)}


def as_text(value: Any) -> str:
    """Write a source value as text, whole numbers without a point; '' for none."""
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return ""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def _rank(key: str) -> tuple[bool, float, str]:
    """Sort numbers as numbers, before text."""
    digits = key.lstrip("-").isdigit()
    return not digits, float(key) if digits else 0.0, key
