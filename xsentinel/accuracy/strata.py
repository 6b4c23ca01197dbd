"""Areas of classes and accuracies of a map, estimated from a random sample within each mapped class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from xsentinel.errors import XSentinelError
from xsentinel.kernels.stratified import Estimates, estimate_strata


@dataclass(frozen=True, eq=False)
class AreaEstimates:
    """What a sample says of the whole map (Olofsson et al. 2014)."""

    matrix: pd.DataFrame
    """Reference × predicted, estimated share of the area in each cell; columns sum to the mapped shares."""
    classes: pd.DataFrame
    """By class: ``mapped`` area; ``area`` by the reference, ``users_accuracy`` and ``producers_accuracy``, each with
    ``_se``, ``_lower`` and ``_upper``: standard error and confidence interval, cut to what is possible."""
    overall_accuracy: float
    """Share of the area that is mapped right."""
    overall_accuracy_se: float
    """Its standard error."""
    confidence: float
    """Of the intervals."""
    unit: str
    """Of the areas: ha if they are of a map, else as given."""

    @property
    def quantile(self) -> float:
        """Standard errors that an interval reaches to each side: 1.96 for 95 %."""
        return _quantile(self.confidence)

    @property
    def overall_accuracy_interval(self) -> tuple[float, float]:
        """Confidence interval of the overall accuracy, cut to 0 … 1."""
        half = self.quantile * self.overall_accuracy_se
        return max(self.overall_accuracy - half, 0.0), min(self.overall_accuracy + half, 1.0)

    def rows(self) -> list[list[str]]:
        """Give the table as text: class, mapped and estimated area, user's and producer's accuracy, each ±."""
        z, unit = self.quantile, f" [{self.unit}]" if self.unit else ""
        head = ["class", f"mapped{unit}", f"area{unit}", "±", "UA%", "±", "PA%", "±"]
        digits = 0 if self.classes["mapped"].sum() > 1e4 else 2
        shown = (("area", 1.0, digits), ("users_accuracy", 100.0, 1), ("producers_accuracy", 100.0, 1))
        body = []
        for name, row in self.classes.iterrows():
            pairs = [(_text(scale * row[key], d), _text(scale * z * row[f"{key}_se"], d)) for key, scale, d in shown]
            body.append([str(name), _text(row["mapped"], digits), *(text for pair in pairs for text in pair)])
        overall = [_text(100 * v, 1) for v in (self.overall_accuracy, z * self.overall_accuracy_se)]
        return [head, *body, ["OA%", "", "", "", *overall, "", ""]]


def _text(value: float, digits: int) -> str:
    return "–" if np.isnan(value) else f"{value:.{digits}f}"


def _quantile(confidence: float) -> float:
    from scipy.special import ndtri

    return float(ndtri((1 + confidence) / 2))


def estimate_areas(confusion: pd.DataFrame, mapped: pd.Series[float], confidence: float, unit: str) -> AreaEstimates:
    """Estimate by the formulas of `estimate_strata`.

    Raises
    ------
    XSentinelError
        If a class is mapped but has no sample, or has samples but no mapped area.
    """
    counts, sizes = confusion.to_numpy().T, mapped.to_numpy(np.float64)
    for wrong, what in (
        ((counts.sum(1) == 0) & (sizes > 0), "is mapped but has no sample where it is; merge it with another class, or sample it"),
        ((counts.sum(1) > 0) & (sizes == 0), "is predicted in the sample but has no mapped area; give that of all classes"),
    ):
        if wrong.any():
            raise XSentinelError(f"class {', '.join(confusion.columns[wrong])} {what}")
    found = estimate_strata(counts, sizes)
    total = float(sizes.sum())
    table = pd.DataFrame({"mapped": sizes}, index=pd.Index(confusion.columns, name="class"))
    for name, scale, top in (("area", total, total), ("users_accuracy", 1.0, 1.0), ("producers_accuracy", 1.0, 1.0)):
        table = table.join(_column(found, name, scale, top, _quantile(confidence)).set_index(table.index))
    matrix = pd.DataFrame(found.matrix.T, confusion.index, confusion.columns)
    return AreaEstimates(matrix, table, found.overall_accuracy, found.overall_accuracy_se, confidence, unit)


def _column(found: Estimates, name: str, scale: float, top: float, z: float) -> pd.DataFrame:
    """Give an estimate with its standard error and interval."""
    value, se = (getattr(found, key) * scale for key in (name, f"{name}_se"))
    ends = {f"{name}_lower": np.clip(value - z * se, 0, top), f"{name}_upper": np.clip(value + z * se, 0, top)}
    return pd.DataFrame({name: value, f"{name}_se": se, **ends})
