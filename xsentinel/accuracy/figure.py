"""A confusion matrix as a picture; matplotlib stays outside until drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from xsentinel.errors import XSentinelError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Normalise = Literal["reference", "predicted", "all"] | None

WORDS = {"reference": "share of the reference class", "predicted": "share of the mapped class", "all": "share of all samples"}

PALETTE = "Blues"
"""One hue from light to dark: read alike by all, and in print."""


def draw_confusion(confusion: pd.DataFrame, normalise: Normalise, ax: Axes | None, title: str) -> Axes:
    """Draw counts and shares, reference downwards, predicted to the right.

    Raises
    ------
    XSentinelError
        If normalise is not known.
    """
    if normalise not in (*WORDS, None):
        raise XSentinelError(f"normalise is {normalise!r}; give 'reference', 'predicted', 'all' or None")
    counts, n = confusion.to_numpy(), len(confusion)
    values = _shares(counts, normalise)
    top = 1.0 if normalise in ("reference", "predicted") else float(np.nanmax(values, initial=0)) or 1.0
    ax = _axes(ax, n)
    image = ax.imshow(values, cmap=PALETTE, vmin=0, vmax=top)
    image.set_cmap(image.cmap.with_extremes(bad="#e8e8e8"))
    _write_cells(ax, counts, values, normalise is not None, top)
    ax.set_xticks(range(n), [str(c) for c in confusion.columns], rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(n), [str(c) for c in confusion.index])
    ax.set_xlabel("predicted")
    ax.set_ylabel("reference")
    ax.set_xticks(np.arange(n + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(n + 1) - 0.5, minor=True)
    ax.grid(which="minor", color="white", linewidth=0.8)
    ax.tick_params(which="both", length=0)
    ax.set_title(title, fontsize="medium", loc="left")
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.8, pad=0.02)
    bar.set_label(WORDS.get(str(normalise), "count"))
    return ax


def _shares(counts: npt.NDArray[Any], normalise: Normalise) -> npt.NDArray[np.float64]:
    """Give what is coloured; NaN where a class has no counts to share."""
    if normalise is None:
        return counts.astype(np.float64)
    sums = {"reference": counts.sum(1, keepdims=True), "predicted": counts.sum(0, keepdims=True), "all": counts.sum(keepdims=True)}
    with np.errstate(invalid="ignore"):
        shares: npt.NDArray[np.float64] = counts / sums[normalise]
    return shares


def _side(n: int) -> tuple[float, float]:
    """Give width and height in inches for n classes."""
    side = float(np.clip(0.62 * n + 2.5, 4.5, 16))
    return side + 1, side


def _axes(ax: Axes | None, n: int) -> Axes:
    if ax is not None:
        return ax
    from matplotlib import pyplot as plt

    return plt.subplots(figsize=_side(n), layout="constrained")[1]


def new_figure(n: int) -> Figure:
    """Give a figure for n classes that no window shows and nothing needs to close."""
    from matplotlib.figure import Figure

    return Figure(figsize=_side(n), layout="constrained")


def _write_cells(ax: Axes, counts: npt.NDArray[Any], values: npt.NDArray[np.float64], shares: bool, top: float) -> None:
    """Write counts, with per cents below them; cells without counts stay empty."""
    cell = ax.bbox.width / ax.figure.dpi * 72 / len(counts)
    size = float(np.clip(cell / 5, 4, 9))
    for i, j in np.argwhere(counts > 0):
        share = f"{100 * values[i, j]:.0f}" if values[i, j] >= 0.005 else "<1"
        text = _short(int(counts[i, j])) + (f"\n{share} %" if shares else "")
        ax.text(j, i, text, ha="center", va="center", fontsize=size, color="white" if values[i, j] > 0.55 * top else "#202020")


def _short(count: int) -> str:
    """Write a count in at most five characters.

    Examples
    --------
    >>> _short(9_999), _short(123_456), _short(30_140_100)
    ('9999', '123k', '30.1M')
    """
    if count < 10_000:
        return str(count)
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= 0.9995 * size:
            scaled = count / size
            return f"{scaled:.{1 if scaled < 99.95 else 0}f}{letter}"
    return str(count)
