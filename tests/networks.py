"""Models with random weights, saved as a trained one is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from xsentinel.blocks.model import Model, save_model
from xsentinel.models.card import Calibration, Card, Channel, Output
from xsentinel.models.networks import build_network
from xsentinel.models.planes import SEASON, FusionInputs, limits_of
from xsentinel.training.batches import GEOMETRY

TEN_BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
LAI = Output("lai", "leaf area index", "m2 m-2", "leaf_area_index", 0.0, 8.0)
CALIBRATION = Calibration(0.05, 1.5, 0.02, ((0.5, 0.7), (0.9, 1.6), (0.95, 2.0), (0.99, 3.0)), 30)


def as_if_trained(net: torch.nn.Module) -> None:
    """Give normalisation statistics far from 0 and 1."""
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, 0, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.3, 1)
            torch.nn.init.uniform_(module.weight, 0.8, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.2)


def random_model(
    folder: Path,
    *,
    name: str = "random",
    network: str = "unet",
    settings: dict[str, Any] | None = None,
    bands: Sequence[str] = TEN_BANDS,
    geometry: Sequence[Channel] = GEOMETRY,
    **card: Any,
) -> Model:
    """Save a network with random weights and statistics, whose answers lie well inside its limits."""
    settings = {"widths": [6, 9, 12], "dropout": [0.0, 0.3, 0.5, 0.5, 0.4]} if settings is None else settings
    channels = (*(Channel(band, 0.0, 0.4) for band in bands), *geometry)
    wanted = {"calibration": CALIBRATION, "outputs": (LAI,)} | card
    draft = Card(name, network, settings, channels, resolution_m=20, stride=1, radius=0, licence="Apache-2.0", **wanted)
    torch.manual_seed(1)
    net = build_network(draft)
    as_if_trained(net)
    torch.nn.init.normal_(net.head.weight, 0, 3)  # type: ignore[union-attr,arg-type]
    torch.nn.init.constant_(net.head.bias, 3.0)  # type: ignore[union-attr,arg-type]
    done = Card(name, network, settings, channels, resolution_m=20, stride=net.stride, radius=net.radius, licence="Apache-2.0", **wanted)
    return save_model(net, done, folder)


def fusion_model(
    folder: Path,
    names: Sequence[str],
    inputs: FusionInputs = FusionInputs(max_gap_days=20, s1_tolerance_days=3),  # noqa: B008  (frozen)
    *,
    name: str = "fused",
    settings: dict[str, Any] | None = None,
    **card: Any,
) -> Model:
    """Save a network of radar and past leaf area with random weights, whose answers vary within its limits."""
    channels = tuple(Channel(n, *limits_of(n, inputs)) for n in (*names, *SEASON))
    settings = {"widths": [6], "decoder_widths": [8], "dropout": 0.4} if settings is None else settings
    wanted = {"calibration": CALIBRATION, "outputs": (LAI,), "resolution_m": 20} | card
    draft = Card(name, "fusion", settings, channels, stride=1, radius=0, licence="Apache-2.0", fusion=inputs, **wanted)
    torch.manual_seed(1)
    net = build_network(draft)
    as_if_trained(net)
    for head in (m for m in net.modules() if isinstance(m, torch.nn.Conv2d) and m.out_channels == 1 and m.kernel_size == (1, 1)):
        torch.nn.init.normal_(head.weight, 0, 0.5)
        torch.nn.init.constant_(head.bias, 0.6)
    return save_model(net, replace(draft, stride=net.stride, radius=net.radius), folder)
