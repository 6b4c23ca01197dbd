"""How a fusion does beside its baselines: where the dates before were clear, where they were cloudy, and in other areas."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from xsentinel.blocks.model import Model, load_model, read_network
from xsentinel.blocks.predict import moments
from xsentinel.errors import XSentinelError
from xsentinel.models.card import Card
from xsentinel.models.network import Network, draw_masks
from xsentinel.training.calibrate import HeldOut
from xsentinel.training.fusion_baselines import Regressor, answer_pixels, fit_pixels, last_clear, linear
from xsentinel.training.fusion_batches import Bool, Hider, Sample, normalise, sample_of
from xsentinel.training.fusion_series import FusionSeries, FusionSource, collect_series

Float32 = npt.NDArray[np.float32]

GROUPS = {"non-cloudy": 2, "partly cloudy": 1, "cloudy": 0}
"""Name → how many of the two dates before showed a pixel."""

Answer = Callable[[FusionSeries, int, Sample, Bool | None], Float32]
"""(series, date, what a network is given, what is hidden) → (y, x)."""

HIDDEN_DATES = 6
"""The last dates before, some of which clouds of others hide."""


def evaluate_fusion(
    model: str | PathLike[str] | Model,
    sources: Mapping[str, FusionSource],
    *,
    other: Mapping[str, FusionSource] | None = None,
    train: Mapping[str, FusionSource] | None = None,
    samples: int = 0,
    hidden: int = 0,
    limit: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure a model, and what it must beat beside it, at dates that have a whole triplet.

    Parameters
    ----------
    model : str, path or Model
    sources : mapping from str to FusionSource
        Places as it was trained on, at other dates or beside them.
    other : mapping from str to FusionSource, optional
        Other areas, a group of their own.
    train : mapping from str to FusionSource, optional
        What multiple linear regression and the random forest are fitted to; without it they are left out.
    samples : int
        Monte Carlo samples; 0: one pass. With them there is the coverage of the 95 % predictive interval.
    hidden : int
        How often each date is looked at once more with its past hidden by clouds of other dates, where few dates are cloudy and clear at
        the same time, as in real series.
    limit : int, optional
        Dates of a place at the most, evenly spaced.
    seed : int
        Of what is hidden, and of the forest.

    Returns
    -------
    pandas.DataFrame
        A row for each group (non-cloudy: both dates before showed the pixel; partly cloudy: one; cloudy: neither; all; other area, and
        that cloudy) and method: RMSE and bias [LAI], R², pixels. Methods are scored on the pixels that the model answers; those of which
        a baseline says nothing are left out of its own row and counted in ``n``.

    Raises
    ------
    XSentinelError
        If the model takes other planes, or nothing can be measured.

    Examples
    --------
    >>> evaluate_fusion("lai-fusion", {"site": FusionSource(s2, s1)})  # doctest: +SKIP
    """
    found = load_model(model)
    inputs, names = found.card.fusion, tuple(c.name for c in found.card.channels)
    if inputs is None:
        raise XSentinelError(f"model {found.card.name} is no fusion of radar and past leaf area; evaluate_lai measures it")
    methods = {found.card.name: network_answer(read_network(found), found.card, samples)} | BASELINES
    if train:
        methods |= pixel_answers(collect_series(train, inputs, 10**9), names, seed)
    tally = Tally(found.card)
    for area, places in (("", sources), ("other area", other or {})):
        if places:
            series = collect_series(places, inputs, 10**9)
            for one, date, mask in looks(series, hidden, seed, limit):
                tally.add(area, one, date, mask, methods)
    return tally.table()


def looks(
    series: Sequence[FusionSeries], hidden: int, seed: int, limit: int | None = None
) -> Iterator[tuple[FusionSeries, int, Bool | None]]:
    """Give each date that has a whole triplet and a target as it is, and so many times with its past hidden."""
    rng, hider = np.random.default_rng(seed), Hider(series)
    for one in series:
        dates = np.flatnonzero(one.whole & np.isfinite(one.target).any((1, 2)))
        if limit is not None and dates.size > limit:
            dates = dates[np.linspace(0, dates.size - 1, limit).round().astype(int)]
        for date in dates:
            yield one, int(date), None
            for _ in range(hidden):
                yield one, int(date), hider.draw(rng, one.target.shape[1:], HIDDEN_DATES)


def network_answer(network: Network, card: Card, samples: int = 0) -> Answer:
    """Give a network as a method; with samples their mean, and their spread behind it."""
    frozen = network.eval().freeze()
    sampler = frozen.sampler([draw_masks(network.sites, 0, s) for s in range(samples)]) if samples else None

    def run(series: FusionSeries, date: int, sample: Sample, hidden: Bool | None) -> Float32:
        height, width = sample.target.shape
        more = [(0, 0), (0, -height % network.stride), (0, -width % network.stride)]
        inputs = normalise(np.pad(sample.planes, more, constant_values=np.nan)[None], card.channels)
        with torch.inference_mode():
            planes = moments(sampler(inputs)) if sampler else frozen.once(inputs)
        out = planes[0, :, :height, :width].numpy().astype(np.float32)
        out[0] = out[0].clip(card.outputs[0].minimum, card.outputs[0].maximum)
        return np.where(np.isfinite(sample.planes[0]), out if samples else out[0], np.float32(np.nan))

    return run


BASELINES: dict[str, Answer] = {
    "last clear": lambda series, date, sample, hidden: last_clear(series, date, hidden),
    "linear filling": lambda series, date, sample, hidden: linear(series, date, hidden),
}
"""Linear filling sees the dates after, too."""


def pixel_answers(series: Sequence[FusionSeries], names: Sequence[str], seed: int = 0) -> dict[str, Answer]:
    """Fit the regressions of single pixels, and give them as methods."""
    fitted = fit_pixels(series, names, seed=seed)

    def method(regressor: Regressor) -> Answer:
        return lambda series, date, sample, hidden: answer_pixels(regressor, sample.planes, names)

    return {name: method(regressor) for name, regressor in fitted.items()}


@dataclass
class Sums:
    """What scores follow from."""

    n: int = 0
    values: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(5))
    """Of reference, its square, error, its square, and pixels within the interval."""

    def add(self, reference: Float32, answer: Float32, inside: Bool | None) -> None:
        """Add pixels."""
        y, e = reference.astype(np.float64), answer.astype(np.float64) - reference
        self.n += y.size
        self.values += [y.sum(), (y * y).sum(), e.sum(), (e * e).sum(), np.nan if inside is None else inside.sum()]

    def columns(self) -> dict[str, float]:
        """Give the scores."""
        y, yy, e, ee, inside = self.values / max(self.n, 1)
        spread = yy - y * y
        nothing = not self.n
        return {
            "RMSE": float("nan") if nothing else float(ee**0.5),
            "R2": float("nan") if nothing or spread <= 0 else float(1 - ee / spread),
            "bias": float("nan") if nothing else float(e),
            "coverage 95 %": float("nan") if nothing else float(inside),
            "n": self.n,
        }


class Tally:
    """Sums of errors by group and method.

    Parameters
    ----------
    card : Card
        Of the model, with its planes and its calibration.
    """

    def __init__(self, card: Card) -> None:
        self.card, self.names = card, tuple(c.name for c in card.channels)
        self.sums: dict[tuple[str, str], Sums] = {}

    def add(self, area: str, series: FusionSeries, date: int, hidden: Bool | None, methods: Mapping[str, Answer]) -> None:
        """Add one look at a date."""
        sample = sample_of(series, date, self.names, hidden)
        there = np.isfinite(sample.target) & np.isfinite(sample.planes[0])
        if not there.any():
            return
        groups = {name: there & (sample.n_known == n) for name, n in GROUPS.items()} | {"all": there}
        if area:
            groups = {area: there, f"{area}, cloudy": groups["cloudy"]}
        for method, answer in methods.items():
            found = answer(series, date, sample, hidden)
            inside = None
            if found.ndim == 3:
                mean, spread = found
                found = mean
                inside = self._inside(sample.target, mean, spread)
            for group, where in groups.items():
                both = where & np.isfinite(found)
                sums = self.sums.setdefault((group, method), Sums())
                sums.add(sample.target[both], found[both], None if inside is None else inside[both])

    def _inside(self, target: Float32, mean: Float32, spread: Float32) -> Bool | None:
        calibration = self.card.calibration
        if calibration is None:
            return None
        inside: Bool = np.abs(target - mean) <= calibration.half_width(mean, spread, 0.95)
        return inside

    def table(self) -> pd.DataFrame:
        """Give the table.

        Raises
        ------
        XSentinelError
            If there is nothing in it.
        """
        if not self.sums:
            raise XSentinelError(
                "no date has a whole triplet with radar and a target: t−2, t−1 and t within the days that the model allows; "
                "give longer series"
            )
        order = [*GROUPS, "all", "other area", "other area, cloudy"]
        rows = [
            {"group": g, "method": m} | sums.columns() for (g, m), sums in sorted(self.sums.items(), key=lambda i: order.index(i[0][0]))
        ]
        return pd.DataFrame(rows)


def held_out_answers(answer: Answer, looked: Iterator[tuple[FusionSeries, int, Bool | None]], names: Sequence[str]) -> dict[str, HeldOut]:
    """Run samples over places held out; give the pixels with a target, by place."""
    found: dict[str, list[HeldOut]] = {}
    for series, date, hidden in looked:
        sample = sample_of(series, date, names, hidden)
        there = np.isfinite(sample.target) & np.isfinite(sample.planes[0])
        mean, spread = answer(series, date, sample, hidden)
        found.setdefault(series.place, []).append(HeldOut(sample.target[there], mean[there], spread[there]))
    return {
        place: HeldOut(*(np.concatenate([getattr(h, f) for h in held]) for f in ("truth", "mean", "spread")))
        for place, held in found.items()
    }
