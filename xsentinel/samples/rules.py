"""How many samples of each class: rules of the pixels that there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from xsentinel.errors import XSentinelError

Counts = npt.NDArray[np.int64]


class Rule(Protocol):
    """What says how many samples of each class are wished for."""

    def wish(self, pixels: Counts) -> Counts:
        """Give the number of samples of each class, (class) → (class), before it is capped by what is there."""


@dataclass(frozen=True)
class Proportional:
    """As many of each class as its share of all labelled pixels asks for, n in all."""

    n: int
    """Samples in all."""

    def wish(self, pixels: Counts) -> Counts:
        """Share n by largest remainders.

        Examples
        --------
        >>> Proportional(10).wish(np.array([700, 250, 50, 0]))
        array([7, 3, 0, 0])
        """
        exact = self.n * _shares(pixels)
        floor = np.floor(exact).astype(np.int64)
        short = min(self.n, int(pixels.sum())) - int(floor.sum())
        floor[np.argsort(floor - exact, kind="stable")[: max(short, 0)]] += 1
        return floor


@dataclass(frozen=True)
class Equal:
    """As many of each class."""

    n: int
    """Samples a class."""

    def wish(self, pixels: Counts) -> Counts:
        """Give n to each class that is there.

        Examples
        --------
        >>> Equal(10).wish(np.array([700, 5, 0]))
        array([10, 10,  0])
        """
        return np.where(pixels > 0, self.n, 0).astype(np.int64)


@dataclass(frozen=True)
class Stratified:
    """n_u = a · p_u + b, with one pair of constants for the most present classes and one for the others (Weikmann et al.).

    p_u is the share of class u among labelled pixels; b guarantees a minimum a class, and a below the number of pixels
    mitigates the imbalance. Classes are most present from the quantile of all p_u on; the paper does not say on which side
    one right on it falls.
    """

    a_most: float
    """Slope of the most present classes, samples."""
    b_most: float
    """Samples that each of them gets at least."""
    a_least: float
    """Slope of the least present classes, samples."""
    b_least: float
    """Samples that each of them gets at least."""
    quantile: float = 0.65
    """Of the shares, where the two groups part."""

    def __post_init__(self) -> None:
        if not 0 <= self.quantile <= 1:
            raise XSentinelError(f"quantile is {self.quantile}; it is between 0 and 1, 0.65 in the paper")

    def wish(self, pixels: Counts) -> Counts:
        """Apply the rule to the shares of classes that are there.

        Examples
        --------
        >>> Stratified(1000, 100, 2000, 50).wish(np.array([700, 250, 50, 0]))
        array([800, 550, 150,   0])
        """
        shares, there = _shares(pixels), pixels > 0
        most = shares >= np.quantile(shares[there], self.quantile)
        wished = np.where(most, self.a_most * shares + self.b_most, self.a_least * shares + self.b_least)
        return np.where(there, np.maximum(np.floor(wished + 0.5), 0), 0).astype(np.int64)


def _shares(pixels: Counts) -> npt.NDArray[np.float64]:
    """Give the prior probabilities of classes."""
    check_any(pixels)
    return np.asarray(pixels / pixels.sum(), np.float64)


def check_any(pixels: Counts) -> None:
    """Check that there is a pixel with a label.

    Raises
    ------
    XSentinelError
        If there is none.
    """
    if not pixels.sum():
        raise XSentinelError(
            "no pixel has a label; check the legend, the erosion and that polygons lie on the cube (their counts are in attrs)"
        )
