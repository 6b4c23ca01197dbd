"""Training of LAI models on SL2P's answers, and their card."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from xsentinel.blocks.model import Model, save_model
from xsentinel.blocks.predict import moments
from xsentinel.kernels.scores import agreement, rank_correlation
from xsentinel.models.card import Card, Output
from xsentinel.models.network import Network, draw_masks
from xsentinel.models.networks import build_network
from xsentinel.training.batches import OUTSIDE, LaiBatches, channels_of, real_batches
from xsentinel.training.calibrate import HeldOut, calibrate
from xsentinel.training.lai_presets import LAI_PRESETS, LaiPreset
from xsentinel.training.loop import Regression, best_weights, fit
from xsentinel.training.options import take
from xsentinel.training.patches import Patch, band_limits, collect, describe, pixel_limits, resolution_of, split_by_place
from xsentinel.training.presets import find_preset
from xsentinel.training.teacher import in_range
from xsentinel.version import __version__

Float32 = npt.NDArray[np.float32]

LAI = Output("lai", "leaf area index", "m2 m-2", "leaf_area_index", 0.0, 8.0)
SAMPLES = 30
"""Monte Carlo samples of the calibration, as many as in the paper."""

OPTIONS = {"resume": False, "processes": 1, "progress": True, "patience": None, "limit": 4000}


def train_lai(
    cubes: Mapping[str, xr.Dataset],
    folder: str | PathLike[str],
    *,
    preset: str | LaiPreset = "default",
    name: str = "lai",
    seed: int = 0,
    held_out: float = 0.2,
    spectra: Float32 | None = None,
    **run: Any,
) -> Model:
    """Train a model of leaf area index on SL2P's answers, calibrate its intervals, and save it with its card.

    SL2P labels on the fly, so that varied spectra, angles and platforms make an unlimited training set out of
    a few hundred real patches. Places are held out for the calibration and the scores.

    Parameters
    ----------
    cubes : mapping from str to xarray.Dataset
        Named cubes at one pixel size, clouds masked; a slash in a name sets its source apart from its place.
    folder : path
        For ``<name>.safetensors``, ``<name>.json`` and checkpoints.
    preset : str or LaiPreset
        "default", "paper" or "mlp", or settings of your own.
    name : str
    seed : int
        Of the split, the batches, the dropout and the first weights.
    held_out : float
        Share of the places of each source, for calibration and scores.
    spectra : (spectrum, band), float32, optional
        Reflectance of more spectra, in the order of the preset's bands, such as those of simulated canopies.
    **run
        ``resume`` (False): go on from the last checkpoint in ``folder``; ``processes`` (1): of one machine, joined by
        Lightning's DDP; ``progress`` (True); ``patience`` (None): epochs of 250 steps without a better held-out
        distance after which to stop; ``limit`` (4000): patches in memory.

    Returns
    -------
    Model

    Raises
    ------
    XSentinelError
        If the cubes lack bands, are of one place only, or show too little.

    Examples
    --------
    >>> from xsentinel.training import train_lai
    >>> model = train_lai({"a": cube_a, "b": cube_b}, "models", name="mine")  # doctest: +SKIP
    >>> cube_a.s2.lai(model=model)  # doctest: +SKIP
    """
    chosen, options = find_preset(preset, LAI_PRESETS), take("train_lai", run, OPTIONS)
    patches = collect(cubes, chosen.bands, chosen.patch, options.pop("limit"), seed)
    train, held = split_by_place(patches, held_out, seed)
    channels = channels_of(chosen, _limits(train, chosen))
    torch.manual_seed(seed)
    card = _card(name, chosen, channels, resolution_of(cubes))
    network = build_network(card)
    batches = partial(_batches, train, channels, chosen, seed, spectra)
    looks = [batch.tensors(channels, OUTSIDE) for _, batch in real_batches(held)]
    task = Regression(network, chosen, batches, [look for look in looks if look[2].any()], seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice on workers and loggers
        fit(task, Path(folder), **options)
    network.load_state_dict(best_weights(Path(folder) / "checkpoints"))
    training = {"teacher": "SL2P 3.0", "patches": describe(train), "held out": describe(held), "steps": chosen.steps, "seed": seed}
    done = replace(card, training=training | {"xsentinel": __version__, "torch": torch.__version__})
    return save_model(network, with_scores(done, network, held), folder)


def _limits(patches: Sequence[Patch], preset: LaiPreset) -> tuple[tuple[float, float], ...]:
    if preset.limits == "paper":
        return band_limits(patches)
    return pixel_limits(patches, lambda bands: in_range(bands, preset.bands))


def _batches(
    train: Sequence[Patch], channels: Any, preset: LaiPreset, seed: int, spectra: Float32 | None, first: int, last: int, rank: int
) -> LaiBatches:
    return LaiBatches(train, channels, preset, seed=seed, first=first, last=last, rank=rank, spectra=spectra)


def _card(name: str, preset: LaiPreset, channels: Any, resolution_m: float) -> Card:
    rough = Card(name, preset.network, dict(preset.settings), channels, (LAI,), resolution_m, 1, 0, "Apache-2.0")
    network = build_network(rough)
    return replace(rough, stride=network.stride, radius=network.radius)


def with_scores(card: Card, network: Network, held: Sequence[Patch]) -> Card:
    """Write into a card how the network does on places held out, and the intervals that follow."""
    network.eval()
    places = answers(network, card, held)
    truth, mean = (np.concatenate([getattr(h, f) for h in places.values()]) for f in ("truth", "mean"))
    found = agreement(truth, mean)
    scores: dict[str, Any] = {"held out": f"r {found.correlation:.4f}, R2 {found.r2:.4f}, distance {found.distance:.4f}, n {found.n}"}
    if any(site.n_dropped for site in network.sites):
        spread = np.concatenate([h.spread for h in places.values()])
        scores["rank correlation of spread and error"] = round(rank_correlation(spread, np.abs(truth - mean)), 3)
        by_source: dict[str, list[HeldOut]] = {}
        for place, h in places.items():
            by_source.setdefault(place.partition("/")[0], []).append(h)
        card = replace(card, calibration=calibrate({s: _joined(hs) for s, hs in by_source.items()}, SAMPLES))
    return replace(card, scores=scores)


def _joined(held: Sequence[HeldOut]) -> HeldOut:
    return HeldOut(*(np.concatenate([getattr(h, f) for h in held]) for f in ("truth", "mean", "spread")))


def answers(network: Network, card: Card, patches: Sequence[Patch], samples: int = SAMPLES) -> dict[str, HeldOut]:
    """Run Monte Carlo dropout over patches as they are; give the pixels within SL2P's domain (min–max), by place."""
    frozen = network.freeze()
    drops = any(site.n_dropped for site in network.sites)
    sampler = frozen.sampler([draw_masks(network.sites, 0, s) for s in range(samples if drops else 1)])
    found: dict[str, list[HeldOut]] = {}
    for patch, batch in real_batches(patches):
        inputs, truth, counts = batch.tensors(card.channels, OUTSIDE)
        with torch.inference_mode():
            planes = moments(sampler(inputs))
        mean, spread = (planes[:, k].clamp(min=0 if k else LAI.minimum, max=LAI.maximum)[counts].numpy() for k in (0, 1))
        found.setdefault(patch.place, []).append(HeldOut(truth[counts].numpy(), mean, spread))
    return {place: _joined(held) for place, held in found.items()}
