"""The record of an assessment: scores, tables, files, a picture."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from xsentinel.accuracy.figure import Normalise, draw_confusion, new_figure
from xsentinel.accuracy.strata import AreaEstimates
from xsentinel.errors import WriteError, XSentinelError
from xsentinel.kernels.confusion import Scores, kappa, overall_accuracy, score_classes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Table = Literal["scores", "confusion", "areas"]


@dataclass(frozen=True, eq=False)
class Assessment:
    """How a map agrees with a reference; prints as the field's table of producer's and user's accuracy.

    A score that nothing tells is NaN and printed as a dash: user's accuracy of a class that is never mapped,
    producer's accuracy and F1 of one that the reference has not. The F1 of a class that is never found is 0.
    """

    confusion: pd.DataFrame
    """Counts, reference × predicted."""
    n_left_out: int
    """Pixels or samples without data, or ignored, in either."""
    areas: AreaEstimates | None = None
    """Estimates for the whole map, if mapped areas were given."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(self.confusion.index)

    @property
    def n(self) -> int:
        """Pixels or samples that are compared."""
        return int(self.confusion.to_numpy().sum())

    @property
    def scores(self) -> pd.DataFrame:
        """By class: producers_accuracy, users_accuracy, f1 (0 … 1) and support, the count of the reference."""
        return pd.DataFrame(self._scores._asdict(), index=pd.Index(self.classes, name="class"))

    @property
    def _scores(self) -> Scores:
        return score_classes(self.confusion.to_numpy())

    @property
    def overall_accuracy(self) -> float:
        """Share that is right."""
        return overall_accuracy(self.confusion.to_numpy())

    @property
    def kappa(self) -> float:
        """Cohen's kappa."""
        return kappa(self.confusion.to_numpy())

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the classes that occur in the reference."""
        return float(np.mean(self._scores.f1[self._scores.support > 0]))

    @property
    def weighted_f1(self) -> float:
        """Mean F1 weighted by support."""
        found = self._scores
        there = found.support > 0
        return float(np.average(found.f1[there], weights=found.support[there]))

    def table(self) -> pd.DataFrame:
        """Give PA%, UA% and F1% of each class, and the overall accuracy in the middle of a last row.

        The form of table 1 of Weikmann et al., unrounded; NaN where nothing says.
        """
        columns = ("producers_accuracy", "users_accuracy", "f1")
        table = (100 * self.scores[list(columns)]).set_axis(["PA%", "UA%", "F1%"], axis=1)
        table.loc["OA%"] = [np.nan, 100 * self.overall_accuracy, np.nan]
        return table

    def rows(self, table: Table = "scores") -> list[list[str]]:
        """Give a table as text: the scores by class and, in the middle column, overall; the counts; or the areas."""
        if table == "areas":
            return self._areas().rows()
        if table == "confusion":
            counts = [[str(name), *map(str, row)] for name, row in zip(self.classes, self.confusion.to_numpy().tolist(), strict=True)]
            return [["reference \\ predicted", *self.classes], *counts]
        if table != "scores":
            raise XSentinelError(f"table is {table!r}; give 'scores', 'confusion' or 'areas'")
        body = [
            [str(name), *("–" if np.isnan(v) else f"{100 * v:.2f}" for v in row[:3]), str(int(row[3]))]
            for name, row in zip(self.classes, self.scores.to_numpy(np.float64), strict=True)
        ]
        overall = {"OA%": self.overall_accuracy, "macro F1%": self.macro_f1, "weighted F1%": self.weighted_f1}
        lines = {key: f"{100 * value:.2f}" for key, value in overall.items()}
        lines = {"OA%": lines.pop("OA%"), "kappa": "–" if np.isnan(self.kappa) else f"{self.kappa:.3f}", **lines}
        return [["class", "PA%", "UA%", "F1%", "samples"], *body, *([key, "", text, "", ""] for key, text in lines.items())]

    def _areas(self) -> AreaEstimates:
        if self.areas is None:
            raise XSentinelError("areas were not estimated; assess(..., areas=) takes the mapped area of each class, or the map")
        return self.areas

    def to_csv(self, path: str | PathLike[str], table: Table = "scores") -> None:
        """Write a table as CSV, numbers unrounded: `table`, the counts, or the estimates of areas.

        Raises
        ------
        WriteError
            If the file cannot be written.
        XSentinelError
            If there are no areas.
        """
        if table not in ("scores", "confusion", "areas"):
            raise XSentinelError(f"table is {table!r}; give 'scores', 'confusion' or 'areas'")
        frame = self.confusion if table == "confusion" else self.table() if table == "scores" else self._areas().classes
        _write(path, frame.to_csv(lineterminator="\n"))

    def to_markdown(self, path: str | PathLike[str] | None = None, table: Table = "scores") -> str:
        """Give a table as Markdown, and write it if there is a path.

        Raises
        ------
        WriteError
            If the file cannot be written.
        """
        head, *body = [[cell.replace("|", "\\|") for cell in row] for row in self.rows(table)]
        rule = ["---", *["---:"] * (len(head) - 1)]
        text = "".join(f"| {' | '.join(row)} |\n" for row in (head, rule, *body))
        if path is not None:
            _write(path, text)
        return text

    def plot(self, *, normalise: Normalise = "reference", ax: Axes | None = None) -> Axes:
        """Draw the confusion matrix.

        Parameters
        ----------
        normalise : "reference", "predicted", "all" or None
            What the shares in colour and per cent are of: each class of the reference (the diagonal is the
            producer's accuracy), each mapped class (user's accuracy), all; None colours by counts.
        ax : matplotlib Axes, optional

        Returns
        -------
        matplotlib Axes
        """
        title = f"OA {100 * self.overall_accuracy:.1f} %, kappa {self.kappa:.2f}, n = {self.n:,}"
        return draw_confusion(self.confusion, normalise, ax, title)

    def save_plot(self, path: str | PathLike[str], *, normalise: Normalise = "reference") -> None:
        """Draw the confusion matrix to a file, whose suffix says which kind.

        Raises
        ------
        WriteError
            If the file cannot be written, or its suffix is not known.
        """
        figure = new_figure(len(self.classes))
        self.plot(normalise=normalise, ax=figure.subplots())
        try:
            figure.savefig(path, dpi=150)
        except (OSError, ValueError) as err:
            raise WriteError(f"{path} cannot be written: {err}; give a .png, .pdf or .svg in a folder that may be written") from err

    @property
    def title(self) -> str:
        """What was compared, in a line."""
        left = f", {self.n_left_out} left out" if self.n_left_out else ""
        return f"Assessment of {self.n} samples, {len(self.classes)} classes{left}"

    def __str__(self) -> str:
        lines = [self.title, *_aligned(self.rows())]
        if self.areas is not None:
            lines += ["", f"Estimates for the whole map, ± at {self.areas.confidence:.0%} confidence", *_aligned(self.areas.rows())]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        tables = [(self.title, self.rows())]
        if self.areas is not None:
            tables.append((f"Estimates for the whole map, ± at {self.areas.confidence:.0%} confidence", self.areas.rows()))
        return "".join(_html(title, rows) for title, rows in tables)


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]).rstrip() for row in rows]


def _html(title: str, rows: list[list[str]]) -> str:
    head, *body = rows
    top = "".join(f"<th>{escape(c)}</th>" for c in head)
    rest = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in body)
    return f"<table><caption>{escape(title)}</caption><tr>{top}</tr>{rest}</table>"


def _write(path: str | PathLike[str], text: str) -> None:
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as err:
        raise WriteError(
            f"{path} cannot be written: {err.strerror or err}; give a file in a folder that is there and may be written"
        ) from err
