"""What faces share: methods that take the docstring of the function that they call, and words for those that are not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NoReturn, TypeVar

from xsentinel.errors import did_you_mean

F = TypeVar("F", bound=Callable[..., Any])


def borrow(function: Callable[..., Any]) -> Callable[[F], F]:
    """Give a method the docstring of the function that it calls."""

    def place(method: F) -> F:
        method.__doc__ = function.__doc__
        method.__wrapped_function__ = function  # type: ignore[attr-defined]
        return method

    return place


class Verbs:
    """What `.s2` is on each kind of object: it lists its verbs, and says where a verb lives that it has not."""

    kinds: ClassVar[dict[str, type[Verbs]]] = {}
    """Kinds of objects that have verbs, in the order they are made."""

    def __init_subclass__(cls, kind: str, **rest: object) -> None:
        super().__init_subclass__(**rest)
        Verbs.kinds[kind] = cls

    @classmethod
    def names(cls) -> list[str]:
        """Give the verbs, in their order."""
        return [name for name in vars(cls) if not name.startswith("_")]

    def __repr__(self) -> str:
        kind = next(k for k, cls in Verbs.kinds.items() if cls is type(self))
        return f".s2 of a {kind}: {', '.join(self.names())}; help({'ds' if kind == 'Dataset' else 'da'}.s2.{self.names()[-1]}) explains one"

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(name)
        others = [kind for kind, cls in Verbs.kinds.items() if name in cls.names()]
        if others:
            how = "ds['lai'].s2" if others[0] == "DataArray" else "da.to_dataset().s2"
            raise AttributeError(f".s2.{name} is a verb of {others[0]}s: {how}.{name}(...)")
        raise AttributeError(f".s2 has no {name!r}{did_you_mean(name, self.names())}; it has {', '.join(self.names())}")
