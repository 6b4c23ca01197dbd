"""McNemar's test of two maps over one reference."""

from __future__ import annotations

from dataclasses import dataclass

FEW = 25
"""Samples that only one map has right, below which the exact test is taken."""


@dataclass(frozen=True)
class McNemar:
    """Whether two maps are right equally often.

    Examples
    --------
    >>> round(McNemar(n=1000, first_only=60, second_only=40).p_value, 4)
    0.0574
    """

    n: int
    """Samples."""
    first_only: int
    """Samples that only the first map has right."""
    second_only: int
    """Samples that only the second map has right."""

    @property
    def exact(self) -> bool:
        """Whether the p-value is of the exact binomial test."""
        return self.first_only + self.second_only < FEW

    @property
    def statistic(self) -> float:
        """Chi-squared with continuity correction, 1 degree of freedom; NaN if the maps differ nowhere."""
        apart, both = abs(self.first_only - self.second_only), self.first_only + self.second_only
        return max(apart - 1, 0) ** 2 / both if both else float("nan")

    @property
    def p_value(self) -> float:
        """Probability of such a difference, or a greater one, if both maps were right equally often; two-sided."""
        from scipy.special import bdtr, chdtrc

        both = self.first_only + self.second_only
        if self.exact:
            return min(1.0, 2 * float(bdtr(min(self.first_only, self.second_only), both, 0.5)))
        return float(chdtrc(1, self.statistic))

    def __str__(self) -> str:
        rule = "exact" if self.exact else f"chi2 = {self.statistic:.2f}"
        return (
            f"McNemar's test over {self.n} samples: only the first is right {self.first_only} times, only the second "
            f"{self.second_only} times, p = {self.p_value:.3g} ({rule})"
        )

    __repr__ = __str__
