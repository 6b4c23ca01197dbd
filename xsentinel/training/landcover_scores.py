"""How well land cover is told, tile by tile, on polygons that were not learnt from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from xsentinel.accuracy import Assessment, assess
from xsentinel.blocks.model import Model, load_model
from xsentinel.blocks.predict import Execution, Precision
from xsentinel.classes import classes_of
from xsentinel.classification import map_classes
from xsentinel.errors import XSentinelError
from xsentinel.inference import Sampling, classify
from xsentinel.kernels.confusion import kappa, overall_accuracy, score_classes
from xsentinel.samples.sides import labels_on, sides_of
from xsentinel.training.landcover_tiles import Ready


def evaluate_landcover(
    model: str | PathLike[str] | Model,
    tiles: Mapping[str, tuple[xr.Dataset, xr.Dataset | xr.DataArray]],
    *,
    side: str = "test",
    start: str | None = None,
    precision: Precision = "fp32",
    device: str = "cpu",
) -> pd.DataFrame:
    """Map tiles by a model and score the maps on labels that it has not learnt from.

    Parameters
    ----------
    model : str, path or Model
    tiles : mapping from name to (cube, labels)
        As of `train_landcover`. Of labels that are split one side counts, of others all.
    side : str
        Such as "test"; "all" of every label.
    start : str, optional
        First day of the season, as of `landcover`.
    precision, device
        As `landcover`.

    Returns
    -------
    pandas.DataFrame
        A row a tile and one for all pixels together: ``n`` (labelled pixels), ``OA``, ``kappa``, ``macro F1`` and the F1 of
        each class by name [1]; NaN of a class that does not occur. Classes that the model does not know are missed.

    Raises
    ------
    XSentinelError
        If no tile has a label on that side, or as the model's mapping does.

    Examples
    --------
    >>> from xsentinel.training import evaluate_landcover
    >>> evaluate_landcover("models/landcover.json", {"west": (cube, labels)})  # doctest: +SKIP
    """
    found = load_model(model)
    mapped = partial(map_classes, model=found, what="land cover", start=start, precision=precision, device=device)
    maps = {n: mapped(cube)["class"] for n, (cube, _) in tiles.items()}
    return scores_of(found, {n: (maps[n], _on(labels, side)) for n, (_, labels) in tiles.items()})


def _on(labels: xr.Dataset | xr.DataArray, side: str) -> xr.DataArray:
    if isinstance(labels, xr.DataArray):
        return labels
    return labels_on(labels, side) if sides_of(labels) and side != "all" else labels["label"]


def scores_of(model: Model, pairs: Mapping[str, tuple[xr.DataArray, xr.DataArray]]) -> pd.DataFrame:
    """Score maps against labels, each (y, x), 0 where there is none; a row each, and one for all."""
    names = _names(model, [known for _, known in pairs.values()])
    counts = {name: _confusion(told, known, names) for name, (told, known) in pairs.items()}
    there = {name: found for name, found in counts.items() if found.sum()}
    if not there:
        raise XSentinelError("no tile has labelled pixels to score on; split labels with a side 'test', or give whole ones")
    rows = there | {"all": np.sum(list(there.values()), 0)}
    return pd.DataFrame([_row(found, list(names.values())) for found in rows.values()], index=pd.Index(list(rows), name="tile"))


def _names(model: Model, labels: Sequence[xr.DataArray]) -> dict[int, str]:
    """Give the classes of a model, and those of labels that it does not know: it misses them all."""
    own = [c for label in labels if "flag_values" in label.attrs for c in classes_of(label.attrs)]
    found = {c.code: c.name for c in own} | {c.code: c.name for c in model.card.classes}
    return dict(sorted(found.items()))


def _confusion(told: xr.DataArray, known: xr.DataArray, names: Mapping[int, str]) -> np.ndarray[Any, Any]:
    """Count (reference, predicted)."""
    if not bool((known > 0).any()):
        return np.zeros((len(names), len(names)), np.int64)
    known = known.drop_vars([c for c in known.coords if c not in ("y", "x")]).assign_coords(
        {d: told[d] for d in ("y", "x") if d in told.coords}
    )
    found: Assessment = assess(told.drop_attrs(), known.drop_attrs(), classes=names, ignore=0)
    return found.confusion.to_numpy()


def _row(counts: np.ndarray[Any, Any], names: Sequence[str]) -> dict[str, float]:
    f1 = score_classes(counts).f1
    whole = {"n": int(counts.sum()), "OA": overall_accuracy(counts), "kappa": kappa(counts), "macro F1": float(np.nanmean(f1))}
    return whole | dict(zip(names, f1.tolist(), strict=True))


def score_tiles(model: Model, ready: Sequence[Ready]) -> dict[str, Any]:
    """Give what a card says of a model on the side "test" of the tiles that it was trained with."""
    pairs = {}
    for tile in ready:
        if "test" in sides_of(tile.labels):
            cube = xr.Dataset({str(b.name): b for b in tile.bands})
            pairs[tile.name] = classify(cube, model, Sampling(), Execution())["class"], labels_on(tile.labels, "test")
    if not pairs:
        return {}
    try:
        table = scores_of(model, pairs)
    except XSentinelError:  # nothing to score on is no error here
        return {}
    return {
        f"test {tile}": f"n {row['n']:.0f}, OA {row['OA']:.4f}, kappa {row['kappa']:.4f}, macro F1 {row['macro F1']:.4f}"
        for tile, row in table.iterrows()
    }
