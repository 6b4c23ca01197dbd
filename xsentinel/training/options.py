"""What the trainings ask of their options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xsentinel.errors import XSentinelError

PRECISIONS = ("fp32", "bf16", "auto")


def take(function: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Give the options of a training: those that are given, else its own.

    Raises
    ------
    XSentinelError
        If one is not known.

    Examples
    --------
    >>> take("train_lai", {"resume": True}, {"resume": False, "limit": 4000})
    {'resume': True, 'limit': 4000}
    """
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise XSentinelError(f"{function} has no {', '.join(unknown)}; it takes {', '.join(known)}")
    return {**known, **given}


def is_mixed(precision: str) -> bool:
    """Tell whether a training multiplies in bfloat16: "bf16", or "auto" where the processor or a card can.

    Raises
    ------
    XSentinelError
        If the precision is not known.

    Examples
    --------
    >>> is_mixed("bf16"), is_mixed("fp32")
    (True, False)
    """
    import torch

    from xsentinel.models.convolution import has_bf16_units

    if precision not in PRECISIONS:
        raise XSentinelError(f"precision is {precision!r}; it is 'fp32', 'bf16' or 'auto'")
    return precision == "bf16" or (precision == "auto" and (torch.cuda.is_available() or has_bf16_units()))
