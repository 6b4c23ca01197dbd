"""What has been read, as a browser draws it: colours of every cell, values to point at, words beside."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.bands import SCENE_CLASSES, scene_class_values
from xsentinel.explore.layers import MARK, NO_DATA, Legend, Limits, cloudy_of
from xsentinel.explore.reading import Reading
from xsentinel.explore.window import Axis
from xsentinel.style import channels_of

MARKED = 0.4
"""How much of the mark covers the ground."""

NOTHING = np.float32(-1e38)
"""What a browser is told where there is no value; of NaN it would say so by itself, in letters."""

LISTED = 24
"""Classes that the legend lists at most, the most frequent."""


@dataclass(frozen=True)
class Picture:
    """Cells from south to north and west to east."""

    colours: npt.NDArray[np.uint32]
    """(y, x): red, green, blue and alpha as bytes; not opaque where nothing has been read."""
    values: dict[str, npt.NDArray[Any]]
    """(y, x) each: what is said of a cell that is pointed at."""
    west: float
    """Outer edge, in units of the CRS, as those below."""
    east: float
    south: float
    north: float


def draw(reading: Reading, limits: Limits | None, legend: Legend, axes: tuple[Axis, Axis], mark: bool) -> Picture:
    """Draw what has been read."""
    rgb = reading.layer.paint(reading.arrays, limits, legend)
    if mark and reading.scl is not None:
        cloudy = cloudy_of(reading.scl)
        rgb[cloudy] = (rgb[cloudy] * (1 - MARKED) + np.array(channels_of(MARK)) * MARKED).astype(np.uint8)
    alpha = np.broadcast_to((255 * reading.done).astype(np.uint8)[:, None, None], (*rgb.shape[:2], 1))
    colours = np.concatenate([rgb, alpha], -1).view(np.uint32)[..., 0]
    told = {f"v{k}": np.where(np.isfinite(a), a, NOTHING).astype(np.float32) for k, a in enumerate(reading.arrays)}
    if reading.scl is not None:
        told["scene"] = reading.scl.astype(np.float32)
    y, x = axes
    turn = (slice(None, None, -1 if y.step < 0 else 1), slice(None, None, -1 if x.step < 0 else 1))
    (south, north), (west, east) = reading.window.y.ends(y), reading.window.x.ends(x)
    values = {name: np.ascontiguousarray(a[turn]) for name, a in told.items()}
    return Picture(np.ascontiguousarray(colours[turn]), values, west, east, south, north)


def share_text(reading: Reading) -> str:
    """Say which share of the cells is clear, by scene class; or has data."""
    if not reading.done.any():
        return ""
    if reading.scl is not None:
        seen = reading.scl[reading.done]
        return f"{_percent((~cloudy_of(seen) & (seen != 0)).mean())} clear"
    there = np.all([(a != NO_DATA) & np.isfinite(a) for a in reading.arrays], axis=0)[reading.done]
    return f"{_percent(there.mean())} with data"


def legend_html(reading: Reading, legend: Legend) -> str:
    """List the classes that are seen, with colour, words and share; the most frequent first."""
    codes, counts = np.unique(reading.arrays[0][reading.done], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    rows = [_row(legend.colour(int(codes[k])), legend.text(int(codes[k])), _percent(counts[k] / counts.sum())) for k in order[:LISTED]]
    rest = f"<div>and {order.size - LISTED} rarer</div>" if order.size > LISTED else ""
    return "".join(rows) + rest


def scene_words() -> dict[int, str]:
    """Give the words of scene classes."""
    (no_data,) = scene_class_values(["no_data"])
    return {c.value: "no data" if c.value == no_data else c.meaning.replace("_", " ") for c in SCENE_CLASSES}


def mark_html() -> str:
    """Explain the mark of clouds."""
    return _row(MARK, "cloud, shadow or fault", "")


def _row(colour: str, text: str, share: str) -> str:
    box = f"display:inline-block;width:12px;height:12px;background:{colour};border:1px solid #888;margin-right:6px;vertical-align:-1px"
    return f'<div style="margin:2px 0"><span style="{box}"></span>{escape(text)} <span style="color:#666">{share}</span></div>'


def _percent(share: float) -> str:
    return f"{100 * share:.{0 if share >= 0.01 or share == 0 else 1}f} %"
