"""Methods that take the docstring of the function that they call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def borrow(function: Callable[..., Any]) -> Callable[[F], F]:
    """Give a method the docstring of the function that it calls."""

    def place(method: F) -> F:
        method.__doc__ = function.__doc__
        method.__wrapped_function__ = function  # type: ignore[attr-defined]
        return method

    return place
