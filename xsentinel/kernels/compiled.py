"""How every kernel is compiled: by numba, which is imported when the first kernel runs and not before."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])


class Compiled:
    """A function that numba compiles at its first call, or when another kernel that calls it is compiled.

    Importing numba takes as long as importing xarray, and who opens a file or draws a map needs none of it.
    Numba asks an object that it does not know for its ``_numba_type_``; with that of the dispatcher behind,
    kernels call and take one another as if the decorator were numba's own.
    """

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        self.py_func, self.options = function, options
        self.__name__, self.__doc__, self.__module__ = function.__name__, function.__doc__, function.__module__
        self.__wrapped__ = function

    @cached_property
    def dispatcher(self) -> Any:
        """Numba's dispatcher, made when first asked for."""
        import numba

        return numba.njit(**self.options)(self.py_func)

    @property
    def _numba_type_(self) -> Any:
        from numba import types

        return types.Dispatcher(self.dispatcher)

    def __call__(self, *arguments: Any) -> Any:
        """Compile for these arguments if they are the first of their types, and run."""
        return self.dispatcher(*arguments)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.dispatcher, name)

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (sys.modules[self.__module__], self.__name__)


class Intrinsic:
    """An operation that numba writes as machine instructions, likewise made when first asked for."""

    def __init__(self, define: Callable[..., Any]) -> None:
        self.define, self.__doc__ = define, define.__doc__

    @cached_property
    def _numba_type_(self) -> Any:
        from numba import extending
        from numba.core.registry import cpu_target

        made = extending.intrinsic(self.define)
        cpu_target.typing_context.refresh()
        return cpu_target.typing_context.resolve_value_type(made)


BASE = {"nogil": True, "error_model": "numpy"}
CONTRACTED = {**BASE, "fastmath": {"contract"}}


def compiled(function: Function) -> Function:
    """Compile without the GIL, with IEEE arithmetic: NaN, inf and signed zeros are respected."""
    return cast(Function, Compiled(function, BASE))


def contracted(function: Function) -> Function:
    """Compile as `compiled`, but let ``a * b + c`` round once.

    Where sums have more than one order to contract in, only for loops of a constant number of lanes:
    a remainder loop could round otherwise than the vector loop, and the answer would depend on where
    a range starts.
    """
    return cast(Function, Compiled(function, CONTRACTED))


def inlined(function: Function) -> Function:
    """Compile as `contracted`, into the functions that call it."""
    return cast(Function, Compiled(function, {**CONTRACTED, "inline": "always"}))
