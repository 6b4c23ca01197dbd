"""Trained models on disk: a card and its weights, read without running anything that is in them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from xsentinel.errors import ReadError, WriteError, did_you_mean
from xsentinel.models.card import Card
from xsentinel.models.networks import build_network

if TYPE_CHECKING:
    from xsentinel.models.network import Network

SHIPPED = {
    "lai-unet": "U-Net of Albughdadi et al. (2020), thinner, with angles and platform as inputs",
    "lai-fusion": "LAI under clouds from Sentinel-1 and each pixel's last two clear dates, after Wang et al. (2023), thinner",
    "crops-simulated": "17 classes of simulated landscapes from 12 monthly composites, for trying out",
    "landcover-simulated": "FG-UNET of Stoian et al. (2019), 17 classes of simulated landscapes from 33 equal dates, for trying out",
    "crops-canada": "seven crops of Canada from 12 monthly composites of a calendar year",
}
"""Models that come with the package → what they are."""

SHORT = {"unet": "lai-unet", "fusion": "lai-fusion"}
"""Short names of models of leaf area index."""

PICKLES = (b"\x80", b"PK", b"(", b"\x1f\x8b")
"""How pickles, torch's zip files of them, and compressed ones begin."""


@dataclass(frozen=True)
class Model:
    """A trained model: what its card says, and where its weights lie.

    Examples
    --------
    >>> import xsentinel as xs
    >>> xs.load_model("lai-unet").card.outputs[0].units
    'm2 m-2'
    """

    card: Card
    path: str
    """File of the weights; on a cluster every worker must be able to read it."""

    def __dask_tokenize__(self) -> tuple[str, ...]:
        return type(self).__name__, self.card.to_json()

    def rows(self) -> list[tuple[str, str]]:
        """Say what a person wants to know of it."""
        card = self.card
        rows = [
            ("network", f"{card.network} {dict(card.settings)}"),
            ("inputs", f"{', '.join(c.name for c in card.channels)} at {card.resolution_m:g} m, {_dates(card.dates)}"),
            ("classes", ", ".join(f"{c.code} {c.name}" for c in card.classes))
            if card.classes
            else ("outputs", ", ".join(f"{o.name} [{o.units}]" for o in card.outputs)),
            ("receptive field", "the whole scene" if card.radius is None else f"{card.radius} pixels around, stride {card.stride}"),
            ("weights", f"{self.path} (sha256 {card.digest[:12]}…)"),
            ("licence", card.licence),
        ]
        return rows + [(name, str(value)) for source in (card.training, card.scores) for name, value in source.items()]

    def __repr__(self) -> str:
        return "\n".join([f"<xsentinel model {self.card.name}>", *(f"  {name:<16} {value}" for name, value in self.rows())])

    def _repr_html_(self) -> str:
        body = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in self.rows())
        return f"<table><caption>{escape(self.card.name)}</caption>{body}</table>"


def _dates(n: int) -> str:
    return "each date by itself" if n == 1 else f"{n} dates together"


def load_model(model: str | PathLike[str] | Model) -> Model:
    """Find a model: one that comes with the package by its name, or one that was trained and saved.

    Only the card is read; the weights are when the model first runs, and never by unpickling.

    Parameters
    ----------
    model : str, path or Model
        "lai-unet" ("unet" for short), "lai-fusion" ("fusion"), "crops-canada", "crops-simulated", "landcover-simulated"; or the
        .json card or .safetensors file of a model, or the folder that holds them.

    Returns
    -------
    Model

    Raises
    ------
    ReadError
        If there is no such model, or its card is damaged.

    Examples
    --------
    >>> load_model("lai-unet").card.bands
    ('B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B11', 'B12')
    """
    return find_model(model, "")


def find_model(model: str | PathLike[str] | Model, task: str) -> Model:
    """Find a model as `load_model` does; of a wrong name say those of its task, "lai", "crops" or "landcover", or all.

    Raises
    ------
    ReadError
        As `load_model`.
    """
    if isinstance(model, Model):
        return model
    name = SHORT.get(str(model), str(model))
    shipped = name in SHIPPED
    card_path = Path(str(files("xsentinel.data") / "models" / f"{name}.json")) if shipped else _find_card(Path(name), task)
    try:
        card = Card.from_json(card_path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as err:
        raise ReadError(f"the model card {card_path} cannot be read: {err}; {_known(task)}") from err
    return Model(card, str(card_path.with_suffix(".safetensors")))


def shipped_for(task: str) -> list[str]:
    """Name the models that come with the package for a task.

    Examples
    --------
    >>> shipped_for("crops")
    ['crops-simulated', 'crops-canada']
    """
    return [name for name in SHIPPED if name.startswith(task)]


def _known(task: str) -> str:
    return f"give one of {', '.join(shipped_for(task))}, or the folder of a model that was saved"


def _find_card(path: Path, task: str) -> Path:
    """Find the card of a path that a user gave."""
    if path.is_dir():
        every = sorted(path.glob("*.json"))
        cards = [card for card in every if card.with_suffix(".safetensors").exists()] or every  # a job's files may lie beside
        if len(cards) != 1:
            raise ReadError(f"{path} holds {len(cards)} model cards (.json); name one of them: {[c.name for c in cards]}")
        return cards[0]
    if path.suffix in (".json", ".safetensors"):
        return path.with_suffix(".json")
    if path.name == str(path) and not path.suffix and not path.exists():
        near = did_you_mean(path, [*shipped_for(task), *(short for short, name in SHORT.items() if name.startswith(task))])
        raise ReadError(f"there is no model {str(path)!r}{near}; {_known(task)}")
    what = "is no model" if path.exists() else "is not there"
    raise ReadError(
        f"{path} {what}: a model is a .safetensors file with a .json card beside it (pickled weights, .pt or .ckpt, run code "
        f"when they are read and are refused); {_known(task)}"
    )


def read_network(model: Model) -> Network:
    """Read the weights of a model, checked against its card.

    Raises
    ------
    ReadError
        If the file is missing, truncated, pickled, not the one of the card, or of another network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    data = _weights(model)
    network = build_network(model.card)
    try:
        network.load_state_dict(load(data))
    except (SafetensorError, RuntimeError, ValueError, KeyError) as err:
        _refuse_pickle(model, data)
        reason, settings = " ".join(str(err).split())[:200], dict(model.card.settings)
        raise ReadError(
            f"the weights {model.path} do not fit {model.card.network} {settings}: {reason}; copy card and weights of one model"
        ) from err
    return network.eval()


def _weights(model: Model) -> bytes:
    """Read the bytes, and say what is wrong with them."""
    card = model.card
    try:
        data = Path(model.path).read_bytes()
    except OSError as err:
        raise ReadError(
            f"the weights of {card.name} cannot be read at {model.path}: {err.strerror}; on a cluster every worker needs them there"
        ) from err
    digest = hashlib.sha256(data).hexdigest()
    if digest != card.digest:
        _refuse_pickle(model, data)
        raise ReadError(
            f"{model.path} ({len(data)} bytes, sha256 {digest[:12]}…) is not the file of its card (sha256 {card.digest[:12]}…): "
            f"it is truncated, damaged or of another training; copy both files again"
        )
    return data


def _refuse_pickle(model: Model, data: bytes) -> None:
    """Say of a file that is no safetensors if it looks like a pickle; it is not read as one."""
    if data.startswith(PICKLES):
        raise ReadError(
            f"{model.path} is a pickle, which can run code when it is read; nothing of it was run. Save the weights as "
            f"safetensors, with safetensors.torch.save_file"
        )


def save_model(network: Network, card: Card, folder: str | PathLike[str]) -> Model:
    """Write the weights of a network, and its card with their digest, into a folder.

    Parameters
    ----------
    network : Network
    card : Card
        Its name names the files.
    folder : path
        Made if it is not there; files of the same name are replaced.

    Raises
    ------
    WriteError
        If they cannot be written.
    """
    from safetensors.torch import save

    data = save({name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()})
    done = card.with_digest(hashlib.sha256(data).hexdigest())
    weights, text = Path(folder) / f"{card.name}.safetensors", done.to_json()
    try:
        weights.parent.mkdir(parents=True, exist_ok=True)
        weights.with_suffix(".json").write_text(text, encoding="utf-8")
        weights.write_bytes(data)
    except OSError as err:
        raise WriteError(f"the model cannot be written to {weights}: {err.strerror}; give a folder that may be written") from err
    return Model(done, str(weights))
