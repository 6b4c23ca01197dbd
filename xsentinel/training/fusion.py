"""Training of a fusion of radar and past leaf area: its encoders apart, then all of it from end to end; and its card."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from xsentinel.blocks.model import Model, load_model, read_network, save_model
from xsentinel.errors import XSentinelError
from xsentinel.models.card import Card
from xsentinel.models.fusion import Fusion
from xsentinel.models.network import Masks, Network
from xsentinel.models.networks import build_network
from xsentinel.training.calibrate import HeldOut, calibrate
from xsentinel.training.fusion_batches import FusionBatches, channels_of
from xsentinel.training.fusion_presets import FUSION_PRESETS, FusionPreset
from xsentinel.training.fusion_scores import BASELINES, Tally, held_out_answers, looks, network_answer, pixel_answers
from xsentinel.training.fusion_series import FusionSeries, FusionSource, collect_series
from xsentinel.training.lai import LAI, SAMPLES
from xsentinel.training.loop import Regression, best_weights, fit
from xsentinel.training.options import is_mixed, take
from xsentinel.training.patches import resolution_of, split_by_place
from xsentinel.training.presets import find_preset
from xsentinel.version import __version__

CALIBRATED, SCORED = 60, 200
"""Dates of all places held out that calibration and scores look at, each once more with its past hidden."""

LOOKS = 24
"""Patches held out that are looked at between epochs."""

OPTIONS = {"resume": False, "processes": 1, "progress": True, "patience": None, "precision": "fp32", "held": None, "scores": True}


class FusionRegression(Regression):
    """The whole network with intermediate supervision, or one encoder."""

    def answers(self, inputs: Tensor, masks: Masks) -> Sequence[tuple[float, Tensor]]:
        """Give the decoder's map, and those of both encoders with the shares of the preset."""
        shares = (1.0, *cast(FusionPreset, self.preset).shares)
        found = cast(Fusion, self.network).forward_all(inputs, masks)
        return [(share, answer[:, 0]) for share, answer in zip(shares, found, strict=False)]


def train_fusion(
    sources: Mapping[str, FusionSource],
    folder: str | PathLike[str],
    *,
    preset: str | FusionPreset = "default",
    name: str = "fusion",
    seed: int = 0,
    held_out: float = 0.2,
    initial: str | PathLike[str] | Model | None = None,
    **run: Any,
) -> Model:
    r"""Train a model of leaf area index under clouds on radar and past leaf area, calibrate its intervals, and save it with its card.

    After Wang et al. (2023): each encoder learns by itself first, then all of it from end to end, with

    .. math:: L = MSE_{decoder} + 0.1\,MSE_{radar} + 0.15\,MSE_{optical}

    over pixels whose leaf area is known at the date. The past of many patches is hidden by clouds of other dates, so that cloudy pasts
    with a known outcome are not rare, which the paper names as its want.

    Parameters
    ----------
    sources : mapping from str to FusionSource
        Named places at one pixel size; a slash in a name sets its source apart from its place.
    folder : path
        For ``<name>.safetensors``, ``<name>.json`` and checkpoints.
    preset : str or FusionPreset
        "default" (thin, of each pixel's last two clear dates), "paper" (its widths and its planes); or settings of your own.
    name : str
    seed : int
        Of the split, the batches, the dropout and the first weights.
    held_out : float
        Share of the places, squares of four patches' size, for calibration and scores.
    initial : str, path or Model, optional
        A model of the same planes and widths to go on from; its encoders are then not trained apart.
    **run
        ``resume`` (False): go on from the last checkpoint in ``folder``; ``processes`` (1): of one machine, joined by Lightning's DDP;
        ``progress`` (True); ``patience`` (None): epochs of 250 steps without a better held-out distance after which to stop;
        ``precision`` ("fp32"): "bf16" for mixed precision, faster on processors that multiply in it, "auto" where they do; ``held``
        (None): sources to calibrate and to score on instead of a share of the places; ``scores`` (True): whether the card gets scores
        and a calibration.

    Returns
    -------
    Model
        Its card tells how it does on places held out, with the last clear leaf area, linear filling, multiple linear regression and a
        random forest beside it.

    Raises
    ------
    XSentinelError
        If sources lack what is needed, are of one place only, or have no date that could be learnt from.

    References
    ----------
    Wang et al. (2023), Leaf area index estimation from multi-temporal Sentinel 1 and 2 satellite data using deep learning.

    Examples
    --------
    >>> from xsentinel.training import FusionSource, train_fusion
    >>> model = train_fusion({"site/a": FusionSource(cube, radar)}, "models")  # doctest: +SKIP
    >>> cube.s2.lai(model=model, s1=radar)  # doctest: +SKIP
    """
    chosen, options = find_preset(preset, FUSION_PRESETS), take("train_fusion", run, OPTIONS)
    options["precision"] = "bf16-mixed" if is_mixed(options["precision"]) else "32-true"
    scores, train, held = options.pop("scores"), *_sides(sources, options.pop("held"), chosen, held_out, seed)
    card = _card(name, chosen, resolution_of({name: source.s2 for name, source in sources.items()}))
    torch.manual_seed(seed)
    network = cast(Fusion, build_network(card))
    start = None if initial is None else _initial(initial, card)
    parts = chosen.settings.get("parts", "both")
    stages = ("radar", "optical", "both") if parts == "both" and start is None and chosen.pretraining else (parts,)
    if start is not None:
        network.load_state_dict(start)
    for part in stages:
        _train_stage(part, network, card, chosen, train, held, Path(folder), seed, options)
    done = replace(card, training=_told(chosen, sources, train, held, seed, initial))
    return save_model(network, with_scores(done, network, train, held, seed) if scores else done, folder)


def _sides(
    sources: Mapping[str, FusionSource], held: Mapping[str, FusionSource] | None, preset: FusionPreset, share: float, seed: int
) -> tuple[list[FusionSeries], list[FusionSeries]]:
    """Give what is trained on and what is held out."""
    if held is not None:
        return collect_series(sources, preset.inputs, 10**9), collect_series(held, preset.inputs, 10**9)
    return split_by_place(collect_series(sources, preset.inputs, 2 * preset.patch), share, seed)


def _card(name: str, preset: FusionPreset, resolution_m: float) -> Card:
    settings = dict(preset.settings)
    rough = Card(name, "fusion", settings, channels_of(preset), (LAI,), resolution_m, 1, 0, "Apache-2.0", fusion=preset.inputs)
    network = build_network(rough)
    return replace(rough, stride=network.stride, radius=network.radius)


def _initial(initial: str | PathLike[str] | Model, card: Card) -> dict[str, Tensor]:
    """Give the weights to go on from, which must be of the same network."""
    given = load_model(initial)
    apart = [f for f in ("network", "settings", "channels", "fusion") if getattr(given.card, f) != getattr(card, f)]
    if apart:
        raise XSentinelError(f"model {given.card.name} has other {', '.join(apart)} than the preset; train with those of its card")
    return read_network(given).state_dict()


def _train_stage(
    part: str, network: Fusion, card: Card, preset: FusionPreset, train: Sequence[FusionSeries], held: Sequence[FusionSeries],
    folder: Path, seed: int, options: Mapping[str, Any],
) -> None:  # fmt: skip
    """Train one encoder, or all, and put what was best on places held out into the network."""
    whole = part == preset.settings.get("parts", "both")
    stage = preset if whole else replace(preset, settings=dict(preset.settings) | {"parts": part}, steps=preset.pretraining)
    torch.manual_seed(seed)
    learner = network if whole else cast(Fusion, build_network(replace(card, settings=stage.settings)))
    task = FusionRegression(learner, stage, partial(_batches, train, stage, seed), _held_looks(held, stage, seed), seed)
    where = folder / part
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice on workers and loggers
        fit(task, where, **options)
    network.load_state_dict(best_weights(where / "checkpoints"), strict=whole)


def _batches(train: Sequence[FusionSeries], preset: FusionPreset, seed: int, first: int, last: int, rank: int) -> FusionBatches:
    return FusionBatches(train, preset, seed=seed, first=first, last=last, rank=rank)


def _held_looks(held: Sequence[FusionSeries], preset: FusionPreset, seed: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Draw what is looked at between epochs: patches of places held out, as in training."""
    batches = FusionBatches(held, replace(preset, batch=LOOKS), seed=seed + 1, first=0, last=4)
    found = [batch for batch in batches if (batch[2] > 0).any()]
    if not found:
        raise XSentinelError("the places held out have no date with radar, past and target; hold out more, or give longer series")
    return found


def _told(
    preset: FusionPreset, sources: Mapping[str, FusionSource], train: Sequence[FusionSeries], held: Sequence[FusionSeries], seed: int,
    initial: Any,
) -> dict[str, Any]:  # fmt: skip
    """Say in the card what was trained on."""
    with_truth = sum(s.truth is not None for s in sources.values())
    teachers = [
        *(["of simulated land under a clear sky"] if with_truth else []),
        *(["at clear pixels"] if with_truth < len(sources) else []),
    ]
    steps = f"{preset.pretraining} of each encoder, {preset.steps} of all"
    if initial is not None:
        given = load_model(initial).card
        steps = f"{given.training.get('steps', 'some')} ({given.name}), then {preset.steps} of all"
    return {
        "teacher": f"SL2P 3.0, {' and '.join(teachers)}",
        "places": {source: f"{sum(s.source == source for s in train)} places" for source in sorted({s.source for s in train})},
        "held out": f"{len(held)} places",
        "steps": steps,
        "seed": seed,
        "xsentinel": __version__,
        "torch": torch.__version__,
    }


def with_scores(card: Card, network: Network, train: Sequence[FusionSeries], held: Sequence[FusionSeries], seed: int) -> Card:
    """Write into a card how the network does on places held out beside what it must beat, and the intervals that follow."""
    names = tuple(c.name for c in card.channels)
    if any(site.n_dropped for site in network.sites):
        found = held_out_answers(network_answer(network, card, SAMPLES), looks(held, 1, seed, _each(CALIBRATED, held)), names)
        by_source: dict[str, list[HeldOut]] = {}
        for place, h in found.items():
            by_source.setdefault(place.partition("/")[0], []).append(h)
        card = replace(card, calibration=calibrate({s: _thinned(hs, seed) for s, hs in by_source.items()}, SAMPLES))
    methods = {"this": network_answer(network, card)} | BASELINES | pixel_answers(train, names, seed)
    tally = Tally(card)
    for one, date, hidden in looks(held, 1, seed, _each(SCORED, held)):
        tally.add("", one, date, hidden, methods)
    scores: dict[str, str] = {}
    for group, rows in tally.table().groupby("group", sort=False):
        scores[f"RMSE [LAI] (R2), {group}"] = ", ".join(f"{r.method} {r.RMSE:.3f} ({r.R2:.3f})" for r in rows.itertuples())
    return replace(card, scores=scores)


def _each(dates: int, held: Sequence[FusionSeries]) -> int:
    return max(2, dates // len(held))


MOST_HELD = 200_000
"""Pixels of a place that calibration looks at."""


def _thinned(held: Sequence[HeldOut], seed: int) -> HeldOut:
    whole = [np.concatenate([getattr(h, f) for h in held]) for f in ("truth", "mean", "spread")]
    chosen = np.random.default_rng(seed).permutation(whole[0].size)[:MOST_HELD]
    return HeldOut(*(values[chosen] for values in whole))
