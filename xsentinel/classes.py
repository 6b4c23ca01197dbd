"""Facts of labelled maps: classes, their colours and the CF attributes that say so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from xsentinel.errors import XSentinelError

NO_LABEL = 0
"""Code of a pixel without a label: never a class."""

MAX_CLASSES = 255
"""Codes 1 … 255 fit uint8."""

SAFE_COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#000000", "#777777")
"""Okabe & Ito (2008), with a grey: nine colours that the colour-blind tell apart."""

MUTED_COLOURS = ("#332288", "#88ccee", "#44aa99", "#117733", "#999933", "#ddcc77", "#cc6677", "#882255", "#aa4499")
"""The muted scheme of Tol (2021), for classes beyond the ninth."""


@dataclass(frozen=True)
class LabelClass:
    """One class of a labelled map."""

    code: int
    """Value in the map, 1 … 255."""
    name: str
    """As a person reads it."""
    colour: str
    """#rrggbb."""

    def __post_init__(self) -> None:
        if not 1 <= self.code <= MAX_CLASSES:
            raise XSentinelError(f"class {self.name!r} has the code {self.code}; codes are 1 … {MAX_CLASSES}, and 0 means no label")
        if not self.meaning:
            raise XSentinelError(f"class {self.code} is named {self.name!r}; a name has at least a letter or a figure")
        if not re.fullmatch("#[0-9a-fA-F]{6}", self.colour):
            raise XSentinelError(f"class {self.name!r} has the colour {self.colour!r}; write it as #e69f00")

    @property
    def meaning(self) -> str:
        """CF flag meaning: the name as one word."""
        return re.sub(r"[^\w.+@-]+|_+", "_", self.name).strip("_")


def palette(n: int) -> tuple[str, ...]:
    """Give n distinct colours, the first 18 chosen for the colour-blind, more as lighter and darker shades of them.

    Examples
    --------
    >>> palette(3)
    ('#e69f00', '#56b4e9', '#009e73')
    """
    base = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in (*SAFE_COLOURS, *MUTED_COLOURS)])
    mixes = [(0, 0.0), *((end, share) for share in (0.4, 0.6, 0.25, 0.5, 0.7, 0.15, 0.33, 0.55) for end in (255, 0))]
    shades = [shade for end, share in mixes for shade in (base + (end - base) * share).astype(int).tolist()]
    colours = dict.fromkeys("#{:02x}{:02x}{:02x}".format(*shade) for shade in shades)
    return tuple(colours)[:n]


def flag_attrs(classes: tuple[LabelClass, ...], long_name: str = "class") -> dict[str, Any]:
    """Give the CF attributes of a map of classes: flag_values, flag_meanings, flag_colors; the same for maps and labels.

    Raises
    ------
    XSentinelError
        If two classes have one code or one meaning.

    Examples
    --------
    >>> flag_attrs((LabelClass(1, "Winter wheat", "#e69f00"), LabelClass(2, "Maize", "#56b4e9")))["flag_meanings"]
    'Winter_wheat Maize'
    """
    for kind, values in (("code", [str(c.code) for c in classes]), ("meaning", [c.meaning for c in classes])):
        repeated = sorted({v for v in values if values.count(v) > 1})
        if repeated:
            raise XSentinelError(f"the {kind} {', '.join(repeated)} stands for more than one class; give each its own")
    return {
        "long_name": long_name,
        "flag_values": np.array([c.code for c in classes], np.uint8),
        "flag_meanings": " ".join(c.meaning for c in classes),
        "flag_colors": " ".join(c.colour for c in classes),
    }


def classes_of(attrs: Mapping[Any, Any]) -> tuple[LabelClass, ...]:
    """Read the classes back from CF attributes, 0 left out; names are the meanings with spaces for underscores.

    Raises
    ------
    XSentinelError
        If there are no flag_values and flag_meanings, or not as many of them.

    Examples
    --------
    >>> classes_of({"flag_values": [0, 1], "flag_meanings": "none bare_soil", "flag_colors": "#ffffff #c8b49b"})
    (LabelClass(code=1, name='bare soil', colour='#c8b49b'),)
    """
    values = [int(v) for v in np.atleast_1d(attrs.get("flag_values", []))]
    meanings = str(attrs.get("flag_meanings", "")).split()
    if not values or len(values) != len(meanings):
        raise XSentinelError(
            f"the classes are not known: {len(values)} flag_values and {len(meanings)} flag_meanings in the attributes; "
            f"label maps come from xsentinel.samples.rasterise and from_raster, or take attributes from xsentinel.classes.flag_attrs"
        )
    told = str(attrs.get("flag_colors", "")).split()
    colours = told if len(told) == len(values) else palette(len(values))
    rows = zip(values, meanings, colours, strict=True)
    return tuple(LabelClass(v, m.replace("_", " "), c) for v, m, c in rows if v != NO_LABEL)
