"""Training of classifiers of series, and their card."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from xsentinel.accuracy import Assessment, assess
from xsentinel.blocks.model import Model, load_model, read_network, save_model
from xsentinel.errors import XSentinelError
from xsentinel.models.card import Card, Channel, Periods
from xsentinel.models.network import Network
from xsentinel.models.networks import build_network
from xsentinel.training.classify import Classification, Labelled, descend, fresh
from xsentinel.training.crop_presets import CROP_PRESETS, CropPreset
from xsentinel.training.grow import fit_rocket, grow_trees
from xsentinel.training.options import take
from xsentinel.training.presets import find_preset
from xsentinel.training.series import Series, limits, planes, read_series, weights
from xsentinel.version import __version__

MONTHLY = Periods()

OPTIONS = {"ensemble": 1, "epochs": None, "weighted": None, "least": None} | {
    "resume": False, "processes": 1, "progress": True, "patience": None,
}  # fmt: skip


def train_crops(
    samples: xr.Dataset,
    folder: str | PathLike[str],
    *,
    preset: str | CropPreset = "ltae",
    name: str = "crops",
    seed: int = 0,
    initial: str | PathLike[str] | Model | None = None,
    resolution: float | None = None,
    periods: Periods | None = MONTHLY,
    **run: Any,
) -> Model:
    r"""Train a classifier of series on labelled samples, and save it with its card.

    With ``weighted`` the cross-entropy of class u counts :math:`n_{max}/n_u` (Weikmann et al. 2021, equation 1);
    their final training starts from those weights (``initial``) without.

    Parameters
    ----------
    samples : xarray.Dataset
        As `xsentinel.samples` makes it: ``reflectance`` (sample, time, band), float32 [1], NaN in gaps; ``label``
        (sample), uint8 with CF flags, 0 for none; if there is ``split`` (sample), only "train" is learnt from, and
        "validation" scores. They are read into memory.
    folder : path
        For ``<name>.safetensors``, ``<name>.json`` and checkpoints.
    preset : str or CropPreset
        "paper" (LSTM 200-125-100, weighted, RMSprop), "lstm", "starrnn", "msresnet", "inceptiontime", "tempcnn",
        "ltae", "forest", "boosting", "rocket"; or settings of your own.
    name : str
    seed : int
        Of first weights, batches, dropout and what scikit-learn draws.
    initial : str, path or Model, optional
        A model of the same network, bands and classes to start from, its normalisation kept; the samples may lack some
        of its classes.
    resolution : float, m, optional
        Pixel size of the cube that the samples are from; by default as `extract` wrote it, else 10.
    periods : Periods, optional
        What the dates stand for: monthly medians from January on by default; None: dates of their own.
    **run
        ``ensemble`` (1): networks trained apart whose probabilities are averaged; ``epochs``, ``weighted``: instead of
        the preset's; ``least`` (half of the dates): a pixel must have been seen at as many; ``resume`` (False);
        ``processes`` (1); ``progress`` (True); ``patience`` (None): epochs without a better loss on "validation" after
        which to stop.

    Returns
    -------
    Model

    Raises
    ------
    XSentinelError
        If the samples hold fewer than two classes, or do not fit the model to start from.

    Examples
    --------
    >>> from xsentinel.training import train_crops
    >>> model = train_crops(samples, "models", preset="ltae", name="mine")  # doctest: +SKIP
    >>> cube.s2.crops(model)  # doctest: +SKIP
    """
    chosen, options = find_preset(preset, CROP_PRESETS), take("train_crops", run, OPTIONS)
    chosen = replace(chosen, epochs=options.pop("epochs") or chosen.epochs)
    weighted = options.pop("weighted")
    chosen = chosen if weighted is None else replace(chosen, weighted=weighted)
    series, (train, held) = read_series(samples), _sides(samples)
    learnt, start = series.at(train), None if initial is None else load_model(initial)
    series, learnt = _with_classes_of(start, series), _with_classes_of(start, learnt)
    _check_start(start, series, chosen)
    channels = limits(learnt) if start is None else start.card.channels
    n_dates, least = series.values.shape[1], options.pop("least")
    least = -(-n_dates // 2) if least is None else least
    if not 1 <= least <= n_dates:
        raise XSentinelError(f"least is {least}; a pixel must have been seen at 1 … {n_dates} of the {n_dates} dates")
    pixel = float(samples.attrs.get("resolution_m", 10.0)) if resolution is None else resolution
    rough = Card(name, chosen.network, {}, channels, (), pixel, 1, 0, "Apache-2.0", n_dates, series.classes, least, periods)
    network, settings = _fit(rough, chosen, learnt, series.at(held), start, Path(folder), seed, options)
    training = {"samples": int(train.sum()), "preset": _describe(chosen), "seed": seed}
    training |= {} if start is None else {"from": start.card.name}
    card = replace(rough, settings=settings, training=training | {"xsentinel": __version__, "torch": torch.__version__})
    return save_model(network, replace(card, scores=_scores(network, card, series.at(held))), folder)


def _sides(samples: xr.Dataset) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Give which labelled samples are learnt from, and which score."""
    labelled = samples["label"].values > 0
    if "split" not in samples:
        return np.ones(int(labelled.sum()), np.bool_), np.zeros(int(labelled.sum()), np.bool_)
    side = samples["split"].values.astype(str)[labelled]
    if not (side == "train").any():
        raise XSentinelError(f"no labelled sample is of the split 'train'; found {', '.join(sorted(set(side.tolist())))}")
    return side == "train", side == "validation"


def _with_classes_of(start: Model | None, series: Series) -> Series:
    """Give series the classes of the model to start from, if they are of some of these."""
    known = () if start is None else start.card.classes
    return replace(series, classes=known) if {c.code for c in series.classes} <= {c.code for c in known} else series


def _check_start(start: Model | None, series: Series, preset: CropPreset) -> None:
    """Refuse a model to start from that is of other classes, bands, dates or network."""
    if start is None:
        return
    card = start.card
    pairs = {
        "network": (card.network, preset.network),
        "bands": (card.bands, series.bands),
        "classes": ([c.code for c in card.classes], [c.code for c in series.classes]),
        "number of dates": (card.dates, series.values.shape[1]),
    }
    other = [f"{what} {a}, not {b}" for what, (a, b) in pairs.items() if a != b]
    if other or preset.fit != "descent":
        raise XSentinelError(
            f"model {card.name} cannot be started from: it has {'; '.join(other) or 'no weights to go on from'}; "
            f"take the preset and the bands that it was trained with"
        )


def _fit(
    card: Card, preset: CropPreset, learnt: Series, held: Series, start: Model | None, out: Path, seed: int, options: dict[str, Any]
) -> tuple[Network, dict[str, Any]]:
    """Fit as the preset says; give the network and the settings that it is built with."""
    inputs = planes(learnt.values, card.channels)
    n_members = options.pop("ensemble") if start is None else start.card.settings.get("ensemble", 1)
    options.pop("ensemble", None)
    if preset.fit in ("trees", "boosting"):
        return grow_trees(inputs, learnt.places, preset, card.n_in, card.dates, card.n_out, seed)
    built = replace(card, settings=dict(preset.settings))
    if preset.fit == "rocket":
        network = build_network(built)
        fit_rocket(network, inputs, learnt.places, seed)  # type: ignore[arg-type]
        return network, dict(preset.settings)
    together = replace(built, settings=dict(preset.settings) | ({"ensemble": n_members} if n_members > 1 else {}))
    torch.manual_seed(seed)
    whole = build_network(together) if start is None else read_network(start)
    members = list(getattr(whole, "members", [whole]))
    data = Labelled(inputs, torch.from_numpy(learnt.places))
    seen = Labelled(planes(held.values, card.channels), torch.from_numpy(held.places)) if len(held.codes) else None
    for k, member in enumerate(members):
        task = Classification(member.train(), preset, data, seen, (seed, k))
        task.weights = weights(learnt.places, card.n_out) if preset.weighted else None
        descend(task, fresh(out / "checkpoints" / f"{card.name}-{k}", options["resume"]), epochs=preset.epochs, **options)
    return whole.eval(), dict(together.settings)


def _describe(preset: CropPreset) -> str:
    if preset.fit != "descent":
        return f"{preset.fit} {dict(preset.grower)}".strip(" {}")
    weighted = ", loss weighted n_max/n_u" if preset.weighted else ""
    return f"{preset.epochs} epochs, {preset.optimiser} {preset.rate:g}, batches of {preset.batch}{weighted}"


def probabilities(network: Network, channels: tuple[Channel, ...], values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Give the probability of each class, (sample, class), of series (sample, date, band), reflectance."""
    frozen = network.freeze()
    with torch.inference_mode():
        parts = [frozen.once(part)[:, :, 0, 0].softmax(1) for part in torch.split(planes(values, channels), 8192)]
        out: npt.NDArray[np.float32] = torch.cat(parts).numpy()
    return out


def assess_series(network: Network, card: Card, values: npt.NDArray[np.float32], codes: npt.NDArray[np.uint8]) -> Assessment:
    """Score a classifier on series (sample, date, band), reflectance, of known codes."""
    told = np.array([c.code for c in card.classes], np.uint8)[probabilities(network, card.channels, values).argmax(1)]
    return assess(told, codes, classes={c.code: c.name for c in card.classes}, ignore=0)


def _scores(network: Network, card: Card, held: Series) -> dict[str, Any]:
    """Score on what was held out."""
    if not len(held.codes):
        return {}
    found = assess_series(network, card, held.values, held.codes)
    scores = {"OA": found.overall_accuracy, "kappa": found.kappa, "macro F1": found.macro_f1}
    return {"validation": ", ".join([f"n {len(held.codes)}", *(f"{name} {value:.4f}" for name, value in scores.items())])}
