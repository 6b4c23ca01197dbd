"""Landscapes with known truth, and the satellites that see them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xsentinel.simulate.daily import hapke
    from xsentinel.simulate.land import Landscape, landscape
    from xsentinel.simulate.overpass import overpasses

__all__ = ["Landscape", "hapke", "landscape", "overpasses"]

_HOMES = {"Landscape": "land", "hapke": "daily", "landscape": "land", "overpasses": "overpass"}


def __getattr__(name: str) -> Any:
    """Import a simulator when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"xsentinel.simulate.{_HOMES[name]}"), name)
