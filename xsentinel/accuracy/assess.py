"""`assess`: a map against a reference, lazily counted; `compare`: two maps against one."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from xsentinel.accuracy.hectares import areas as mapped_areas
from xsentinel.accuracy.legend import (
    Classes,
    Ignore,
    Labels,
    check_same_grid,
    flags_of,
    ignored_codes,
    legend,
    map_of,
    merged_flags,
    missing,
    numbered,
    recode,
    silent_codes,
)
from xsentinel.accuracy.mcnemar import McNemar
from xsentinel.accuracy.record import Assessment
from xsentinel.accuracy.strata import estimate_areas
from xsentinel.blocks.pairs import count_maps
from xsentinel.errors import XSentinelError, check_numbers
from xsentinel.kernels.confusion import Pairs


def assess(
    predicted: Labels,
    reference: Labels,
    *,
    classes: Classes = None,
    areas: Any = None,
    confidence: float = 0.95,
    ignore: Ignore = None,
) -> Assessment:
    """Assess a map of classes against a reference.

    Counts which class is mapped where the reference has which, and scores that: producer's and user's accuracy
    and F1 of each class, overall accuracy, Cohen's kappa, macro- and weighted F1. A pixel or sample where either
    says nothing is left out and counted in ``n_left_out``: NaN, the ``_FillValue`` of a map, ``ignore``, and 0 of
    a map whose ``flag_values`` do not name it. Of maps without flags and of labels 0 is a class like others.

    Parameters
    ----------
    predicted, reference : xarray.DataArray (time, y, x) or (y, x), Dataset with ``class``, or 1-D labels
        Maps of codes on the same pixels, named by ``flag_values`` and ``flag_meanings``; where both have names, classes
        of one name are one, whatever their codes. Lazy ones are counted block by block. Or as many labels, numbers or
        words, as there are samples.
    classes : mapping or sequence, optional
        Names by code (codes of one name become one class), or codes or names in order: all classes, those that do
        not occur too. By default those that occur, by the flags of both maps. Codes are those of the predicted map.
    areas : mapping, Series or DataArray, optional
        Mapped area of each class by name or code (hectares, or any unit such as pixels), or the map itself: adds
        the estimates of Olofsson et al. (2014) as ``areas``. The reference must then be a random sample within
        each mapped class (stratified random, simple random or systematic); of a sample drawn otherwise, or of
        neighbouring pixels, they are not right.
    confidence : float
        Of their intervals, between 0 and 1.
    ignore : code or name, or a sequence of them, optional
        Left out where either map has it, such as 0 of a reference in which it means that there is no label.

    Returns
    -------
    Assessment

    Raises
    ------
    GridError
        If the maps are not on the same pixels.
    XSentinelError
        If a code occurs that is none of the classes, codes mean different things and no name is the same, nothing is
        left to compare, or a mapped class has no sample.

    References
    ----------
    Congalton (1991), Remote Sensing of Environment 37; Cohen (1960), Educational and Psychological Measurement
    20; Olofsson et al. (2014), Remote Sensing of Environment 148.

    Examples
    --------
    >>> import xsentinel as xs
    >>> land = xs.simulate.landscape((60, 80), ["2019-06-01"], seed=1)
    >>> result = xs.accuracy.assess(land.labels(share=0.5, wrong=0.1), land.truth)
    >>> result.overall_accuracy > 0.8, result.n + result.n_left_out
    (True, 4800)
    >>> xs.accuracy.assess(["maize", "wheat", "maize"], ["maize", "wheat", "wheat"])
    Assessment of 3 samples, 2 classes
    class           PA%     UA%     F1%  samples
    maize        100.00   50.00   66.67        1
    wheat         50.00  100.00   66.67        2
    OA%                   66.67
    kappa                 0.400
    macro F1%             66.67
    weighted F1%          66.67
    """
    check_numbers(confidence=confidence)
    if not 0 < confidence < 1:
        raise XSentinelError(f"confidence is {confidence!r}; it is a share between 0 and 1, such as 0.95")
    both = _prepare(predicted, reference)
    names, pairs = both.names, count_maps(both.mapped.data, both.truth.data)
    gone = _gone(pairs.first, pairs.second, both.silent(ignore))
    kept = Pairs(pairs.first[~gone], recode(pairs.second[~gone], both.codes), pairs.counts[~gone])
    if not kept.counts.size:
        raise XSentinelError(
            f"nothing is left to compare: of {int(pairs.counts.sum())} pixels or samples each is without data or "
            f"ignored in either map; ignore less, or give maps that overlap"
        )
    named = names | dict(classes) if isinstance(classes, Mapping) else names
    strata = {} if areas is None else _strata(areas, named, ignore)
    known = legend(np.unique(np.concatenate([kept.first, kept.second, [*strata]])), names, classes)
    confusion = _matrix(kept, known)
    estimated = None
    if areas is not None:
        sizes = pd.Series([strata.get(code, 0.0) for code in known], list(known.values())).groupby(level=0, sort=False).sum()
        estimated = estimate_areas(confusion, sizes, confidence, "ha" if isinstance(areas, xr.DataArray | xr.Dataset) else "")
    return Assessment(confusion, int(pairs.counts[gone].sum()), estimated)


@dataclass(frozen=True)
class _Both:
    """Two layers of numbers on one grid."""

    mapped: xr.DataArray
    truth: xr.DataArray
    names: dict[int, Hashable]
    """What the numbers mean: those of the map, and those of the truth once they are recoded."""
    codes: dict[int, int]
    """Codes of the truth → the map's for the same class."""
    is_words: bool = False

    def silent(self, ignore: Ignore) -> list[list[float]]:
        """Give the codes of each that say nothing, as each has them."""
        own = [self.names if self.is_words else flags_of(layer) or self.names for layer in (self.mapped, self.truth)]
        return [silent_codes(m, ignored_codes(ignore, n)) for m, n in zip((self.mapped, self.truth), own, strict=True)]


def _prepare(predicted: Labels, reference: Labels) -> _Both:
    """Give two layers of numbers on one grid, and what the numbers mean."""
    mapped, truth = map_of(predicted), map_of(reference)
    mapped, truth = (m.rename(role if m.name is None else m.name) for m, role in ((mapped, "predicted"), (truth, "reference")))
    truth = check_same_grid(mapped, truth)
    flags, codes = merged_flags(mapped, truth)
    mapped, truth, words = numbered(mapped, truth)
    return _Both(mapped, truth, words, {}, True) if words else _Both(mapped, truth, {**flags}, codes)


def _gone(mapped: npt.NDArray[Any], truth: npt.NDArray[Any], silent: list[list[float]]) -> npt.NDArray[np.bool_]:
    return missing(mapped, silent[0]) | missing(truth, silent[1])


def _matrix(pairs: Pairs, known: Mapping[Any, str]) -> pd.DataFrame:
    """Put counts of pairs into a table, reference × predicted."""
    names = list(dict.fromkeys(known.values()))
    places = {code: names.index(name) for code, name in known.items()}
    columns, rows = ([places[int(code)] for code in codes] for codes in pairs[:2])
    table = np.zeros((len(names), len(names)), np.int64)
    np.add.at(table, (rows, columns), pairs.counts)
    return pd.DataFrame(table, pd.Index(names, name="reference"), pd.Index(names, name="predicted"))


def _strata(areas: Any, names: Mapping[int, Hashable], ignore: Ignore) -> dict[int, float]:
    """Give the mapped area of each class by code, those that are not mapped left out."""
    given = mapped_areas(areas, ignore=ignore) if isinstance(areas, xr.DataArray | xr.Dataset) else areas
    if not isinstance(given, Mapping | pd.Series):
        raise XSentinelError(f"areas is a {type(areas).__name__}; give a mapping from class to its mapped area, or the map itself")
    by_name = {str(key): code for code, name in list(names.items())[::-1] for key in (code, name)}
    strata: dict[int, float] = {}
    for key, value in given.items():
        text = str(key) if str(key) in by_name else str(key).replace("_", " ")
        code = by_name.get(text, key if isinstance(key, int | np.integer) and not names else None)
        if not 0 <= float(value) < np.inf:
            raise XSentinelError(f"areas gives {value!r} to {key!r}; a mapped area is 0 or more")
        if code is None and value > 0:
            raise XSentinelError(
                f"areas names {key!r}, which neither map nor reference has; they have {', '.join(map(str, names.values())) or 'only codes'}"
            )
        if code is not None and value > 0:
            strata[int(code)] = float(value)
    return strata


def compare(first: Labels, second: Labels, reference: Labels, *, ignore: Ignore = None) -> McNemar:
    r"""Compare two maps over one reference by McNemar's test.

    Of the samples that only the first map has right (b) and that only the second has (c),

    .. math:: \chi^2 = (|b - c| - 1)^2 / (b + c)

    with continuity correction and one degree of freedom; of fewer than 25 such samples, the exact binomial test.
    It takes samples as independent: of neighbouring pixels it finds differences where there are none.

    Parameters
    ----------
    first, second, reference : as in `assess`
        On the same pixels, or of the same samples, in the same codes.
    ignore : code or name, or a sequence of them, optional
        Left out where any of the three has it.

    Returns
    -------
    McNemar

    Raises
    ------
    GridError, XSentinelError
        As `assess`.

    References
    ----------
    McNemar (1947), Psychometrika 12; Foody (2004), Photogrammetric Engineering and Remote Sensing 70.

    Examples
    --------
    >>> import xsentinel as xs
    >>> xs.accuracy.compare([1, 1, 1, 2, 2, 2], [1, 2, 2, 1, 1, 2], [1, 1, 1, 2, 2, 2])
    McNemar's test over 6 samples: only the first is right 4 times, only the second 0 times, p = 0.125 (exact)
    """
    right = [_right(labels, reference, ignore) for labels in (first, second)]
    pairs = count_maps(*right)
    table = np.zeros((3, 3), np.int64)
    table[pairs.first, pairs.second] = pairs.counts
    return McNemar(int(table[:2, :2].sum()), int(table[1, 0]), int(table[0, 1]))


def _right(labels: Labels, reference: Labels, ignore: Ignore) -> Any:
    """Tell where a map is right: 1 or 0, and 2 where it or the reference says nothing; uint8, lazy if one is."""
    both = _prepare(labels, reference)
    judged: xr.Variable = xr.apply_ufunc(
        partial(_judge, silent=both.silent(ignore), codes=both.codes),
        both.mapped.variable,
        both.truth.variable,
        dask="parallelized",
        output_dtypes=[np.uint8],
    )
    return judged.data


def _judge(mapped: npt.NDArray[Any], truth: npt.NDArray[Any], silent: list[list[float]], codes: Mapping[int, int]) -> npt.NDArray[np.uint8]:
    return np.where(_gone(mapped, truth, silent), 2, mapped == recode(truth, codes)).astype(np.uint8)
