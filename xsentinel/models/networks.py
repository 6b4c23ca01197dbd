"""The table of networks: a new one is a file of its own and a row here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from xsentinel.errors import ReadError
from xsentinel.models.card import Card

if TYPE_CHECKING:
    from xsentinel.models.network import Network

NETWORKS = {
    "unet": "UNet",
    "mlp": "MLP",
    "lstm": "LSTM",
    "starrnn": "StarRNN",
    "msresnet": "MSResNet",
    "inceptiontime": "InceptionTime",
    "tempcnn": "TempCNN",
    "ltae": "LTAE",
    "forest": "Forest",
    "rocket": "Rocket",
    "fgunet": "FGUNet",
    "fglstm": "FGLSTM",
    "tsfgunet": "TSFGUNet",
    "fgforest": "FGForest",
}
"""Name in a card, which is the name of the module → class."""

FORECASTERS = {"dynamics": "Dynamics"}
"""The same of networks whose outputs are their inputs, a step later."""


def build_network(card: Card) -> Network:
    """Build the network of a card, with weights not yet trained.

    Raises
    ------
    ReadError
        If the network is not in the table or does not take these settings.
    """
    known = FORECASTERS if card.forecast else NETWORKS
    if card.network not in known:
        raise ReadError(f"model {card.name} is a {card.network!r}, which this version does not know; it knows {', '.join(known)}")
    try:
        if any(width < 1 for width in card.settings.get("widths", (1,))):
            raise ValueError("widths must be positive")
        return _build(card, **card.settings)
    except (TypeError, ValueError, RuntimeError, IndexError) as err:
        raise ReadError(f"model {card.name}: {card.network} cannot be built with {dict(card.settings)}: {err}") from err


def _build(card: Card, ensemble: int = 1, **settings: Any) -> Network:
    """Build one network, or several whose probabilities are averaged."""
    kind: Any = getattr(import_module(f"xsentinel.models.{card.network}"), (NETWORKS | FORECASTERS)[card.network])
    together = {"dates": card.dates} if kind.is_of_series else {}
    networks = [kind(card.n_in, card.n_out, **together, **settings) for _ in range(ensemble)]
    if ensemble == 1:
        return networks[0]  # type: ignore[no-any-return]
    from xsentinel.models.ensemble import Ensemble

    return Ensemble(networks)
