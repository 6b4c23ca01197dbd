"""The card of a model as a STAC item with the Machine Learning Model extension."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xsentinel.models.card import Card, Output

MLM = "https://stac-extensions.github.io/mlm/v1.4.0/schema.json"
MULTIHASH_SHA256 = "1220"
"""What stands before a SHA-256 in a STAC checksum."""


def lay_out(card: Card, record: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a card out as a STAC item; the record is what it is read from again."""
    properties = {
        "datetime": None,
        "start_datetime": "2015-06-23T00:00:00Z",
        "end_datetime": "9999-12-31T00:00:00Z",
        "license": card.licence,
        "mlm:name": card.name,
        "mlm:architecture": card.network,
        "mlm:framework": "PyTorch",
        "mlm:pretrained": True,
        "mlm:tasks": [_task(card)],
        "mlm:hyperparameters": dict(card.settings),
        "mlm:input": [_input(card)],
        "mlm:output": [_classes(card)] if card.classes else [_output(o) for o in card.outputs],
        "xsentinel:model": record,
    }
    weights = {
        "href": f"{card.name}.safetensors",
        "type": "application/octet-stream; application=safetensors",
        "title": "weights",
        "roles": ["mlm:model", "mlm:weights"],
        "mlm:artifact_type": "safetensors",
        "file:checksum": MULTIHASH_SHA256 + card.digest,
    }
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [MLM, "https://stac-extensions.github.io/file/v2.1.0/schema.json"],
        "id": card.name,
        "geometry": None,
        "properties": properties,
        "links": [],
        "assets": {"model": weights},
    }


def _names(card: Card) -> str:
    return ", ".join(c.name for c in card.geometry) or "nothing"


def _task(card: Card) -> str:
    if not card.classes:
        return "regression"
    return "classification" if card.radius == 0 else "semantic-segmentation"


def _input(card: Card) -> dict[str, Any]:
    return {
        "name": "channels",
        "bands": list(card.bands),
        "input": {"shape": [-1, card.n_in, -1, -1], "dim_order": ["batch", "channel", "height", "width"], "data_type": "float32"},
        "value_scaling": [{"type": "min-max", "minimum": c.low, "maximum": c.high} for c in card.channels],
        "resize_type": None,
        "description": f"reflectance at {card.resolution_m:g} m, then {_names(card)}; gaps are 0 after scaling" + _seen(card),
    }


def _seen(card: Card) -> str:
    return "" if card.least_dates is None else "; behind the bands of each date a plane that is 1 where it was seen"


def _classes(card: Card) -> dict[str, Any]:
    """Lay the classes out as the STAC extension for classifications does."""
    classes = [{"value": c.code, "name": c.name, "color_hint": c.colour.lstrip("#")} for c in card.classes]
    shape = {"shape": [-1, len(classes), -1, -1], "dim_order": ["batch", "class", "height", "width"], "data_type": "float32"}
    return {"name": "class", "tasks": [_task(card)], "result": shape, "classification:classes": classes}


def _output(output: Output) -> dict[str, Any]:
    shape = {"shape": [-1, 1, -1, -1], "dim_order": ["batch", "channel", "height", "width"], "data_type": "float32"}
    return {"name": output.name, "tasks": ["regression"], "result": shape, "description": f"{output.long_name} [{output.units}]"}
