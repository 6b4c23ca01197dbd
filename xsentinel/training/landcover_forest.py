"""Random forests of land cover: on the series of labelled pixels, or on what a trained network finds there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr
from torch import Tensor

from xsentinel.errors import XSentinelError
from xsentinel.models.card import Card
from xsentinel.models.fgforest import FGForest
from xsentinel.models.fgunet import FGUNet
from xsentinel.models.network import Network
from xsentinel.models.networks import build_network
from xsentinel.samples import Equal, draw
from xsentinel.training.grow import grow_trees
from xsentinel.training.landcover_batches import Cutter
from xsentinel.training.landcover_presets import LandcoverPreset
from xsentinel.training.places import Draw

WINDOW = 64
"""Pixels along what is read at a time, without margins."""


@dataclass(frozen=True)
class Pixels:
    """Labelled pixels of a tile."""

    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]


def drawn_pixels(labels: Sequence[xr.DataArray], per_class: int, seed: int) -> list[Pixels]:
    """Draw as many pixels of each class, from each tile its share; by their hashes, whatever the chunks."""
    each, out = max(1, per_class // len(labels)), []
    for label in labels:
        if not bool((label > 0).any()):
            out.append(Pixels(np.empty(0, np.int64), np.empty(0, np.int64)))
            continue
        grid = label.assign_coords(y=("y", np.arange(label.sizes["y"])), x=("x", np.arange(label.sizes["x"])))
        table = draw(grid.rio.write_crs(32631), Equal(each), seed=seed)
        out.append(Pixels(table["y"].values.astype(np.int64), table["x"].values.astype(np.int64)))
    return out


def grow_forest(cutter: Cutter, pixels: Sequence[Pixels], preset: LandcoverPreset, seed: int) -> tuple[Network, Card]:
    """Grow trees on the series of pixels; give the forest and its card, which knows missing dates apart."""
    card = cutter.card
    values, places = _gather(cutter, pixels, None)
    series = values.reshape(len(values), card.dates, -1)
    whole = replace(card, least_dates=card.dates)
    inputs = torch.cat([series, series.new_ones(*series.shape[:2], 1)], 2).reshape(len(series), -1, 1, 1)
    forest, settings = grow_trees(inputs, places, preset, whole.n_in, card.dates, card.n_out, seed)
    return forest, replace(whole, settings=settings)


def grow_on_features(
    cutter: Cutter, pixels: Sequence[Pixels], trained: Network, preset: LandcoverPreset, seed: int
) -> tuple[Network, Card]:
    """Grow trees on what a trained network finds at pixels, in place of its linear layer."""
    if not isinstance(trained, FGUNet):
        raise XSentinelError("features are those of an FG-UNET, a U-Net or an MLP of land cover; give such a model as initial")
    card = cutter.card
    values, places = _gather(cutter, pixels, trained.eval())
    series = torch.cat([values.reshape(len(values), trained.groups, -1), values.new_ones(len(values), trained.groups, 1)], 2)
    planes = trained.body.n_features + 1
    forest, settings = grow_trees(
        series.reshape(len(series), -1, 1, 1), places, preset, trained.groups * planes, trained.groups, card.n_out, seed
    )
    done = replace(card, network="fgforest", settings=dict(card.settings) | settings)
    network = cast(FGForest, build_network(done))
    network.body.load_state_dict(trained.body.state_dict())
    network.forest.load_state_dict(forest.state_dict())
    return network, done


def _gather(cutter: Cutter, pixels: Sequence[Pixels], network: FGUNet | None) -> tuple[Tensor, npt.NDArray[np.int64]]:
    """Give inputs of pixels, or what a network finds there, (pixel, feature), and the places of their classes."""
    stride = 1 if network is None else network.stride
    margin = 0 if network is None else -(-network.body.radius // stride) * stride
    found: list[Tensor] = []
    places = []
    for tile, own in enumerate(pixels):
        shape = cutter.sources[tile].tile.shape
        side = min(WINDOW + 2 * margin, *(n // stride * stride for n in shape))
        windows = np.stack([_begin(own.rows, shape[0], side, margin), _begin(own.columns, shape[1], side, margin)], 1)
        corners, numbers = np.unique(windows, axis=0, return_inverse=True)
        order = np.argsort(numbers.ravel(), kind="stable")
        ends = np.cumsum(np.bincount(numbers.ravel(), minlength=len(corners)))[:-1]
        for corner, inside in zip(corners, np.split(order, ends), strict=True):
            planes, classes = replace(cutter, side=side).cut(Draw(tile, int(corner[0]), int(corner[1]), 0))
            rows, columns = own.rows[inside] - corner[0], own.columns[inside] - corner[1]
            found.append(_at(planes, network)[torch.from_numpy(rows), torch.from_numpy(columns)])
            places.append(classes[rows, columns])
    known = np.concatenate(places)
    return torch.cat(found)[torch.from_numpy(known >= 0)], known[known >= 0]


def _begin(at: npt.NDArray[np.int64], n: int, side: int, margin: int) -> npt.NDArray[np.int64]:
    """Give where the windows begin that pixels are read in: their squares with margins, kept inside the tile."""
    return np.clip(at // WINDOW * WINDOW - margin, 0, n - side)


def _at(planes: npt.NDArray[np.float32], network: FGUNet | None) -> Tensor:
    """Give (y, x, feature) of a window."""
    x = torch.from_numpy(planes)
    if network is None:
        return x
    with torch.inference_mode():
        out: Tensor = network.features(x.permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    return out
