"""What a job computes: a lazy Dataset, or a function of a cube that is applied to one window of it after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from types import CodeType
from typing import Any, Protocol

import numpy as np
import xarray as xr

from xsentinel.batch.steps import Steps
from xsentinel.blocks.cut import Window, cut
from xsentinel.errors import GridError, XSentinelError

PROBE = 64
"""Pixels along a side of the window by which the form of a result is found out."""

PLANE = ("y", "x")

Function = Callable[[xr.Dataset], xr.Dataset]


@dataclass(frozen=True, eq=False)
class Part:
    """One window of a result, not yet computed; picklable."""

    source: xr.Dataset
    """A window of a lazy result, or of a cube with the halo around it."""
    function: Function | None = None
    """None if the source is the result."""
    keep: Window | None = None
    """Of the function's answer."""

    def lazy(self) -> xr.Dataset:
        """Give the window's result, lazily if the source is.

        Raises
        ------
        XSentinelError
            If the function gives no Dataset.
        GridError
            If it changes the grid.
        """
        if self.function is None:
            return self.source
        whole = self.function(_joined(self.source))
        if not isinstance(whole, xr.Dataset):
            raise XSentinelError(f"the function gave {type(whole).__name__}; it must give a Dataset: .to_dataset() or ds[['lai']]")
        _check_grid(whole, self.source)
        return whole.isel(self.keep)


class Expression(Protocol):
    """Something that can be computed for any window of its result."""

    @property
    def result(self) -> xr.Dataset:
        """The whole result's form: names, dims, dtypes, coordinates, attributes; its values are not looked at."""

    @property
    def halo(self) -> int:
        """Pixels around a window that are read beside it; 0 where the graph itself brings them."""

    @property
    def stride(self) -> int:
        """Windows start at its multiples along y and x."""

    @property
    def chunks(self) -> dict[str, tuple[int, ...]]:
        """Chunks along y and x of what windows are cut from, empty if it is in memory."""

    def part(self, region: Window) -> Part:
        """Give what a window of the result needs, with a small graph."""

    def pixel_bytes(self) -> int:
        """Estimate the bytes that one pixel of a block holds in memory."""

    def source_bytes(self) -> int:
        """Give the bytes of the inputs, as stored."""

    def fingerprint(self) -> dict[str, str]:
        """Say what it computes from what, so that another is told apart."""


@dataclass(frozen=True, eq=False)
class Lazy:
    """A lazy Dataset, computed window by window."""

    result: xr.Dataset

    @property
    def halo(self) -> int:
        """None: its graph brings what its windows need."""
        return 0

    @property
    def stride(self) -> int:
        """One: its own chunks say how it is computed."""
        return 1

    @property
    def chunks(self) -> dict[str, tuple[int, ...]]:
        """Those of the result."""
        return _chunks(self.result)

    def part(self, region: Window) -> Part:
        """Cut the window out of the graph."""
        return Part(cut(self.result, region))

    def pixel_bytes(self) -> int:
        """Count results twice, and as much for what they are made of: the graph does not tell."""
        return 4 * _bytes_a_pixel(self.result)

    def source_bytes(self) -> int:
        """Give none: the graph does not tell."""
        return 0

    def fingerprint(self) -> dict[str, str]:
        """Take dask's names of the arrays, which tell graphs and their sources apart."""
        from dask.base import tokenize

        return {"expression": "a lazy Dataset", "inputs": tokenize({str(n): _token(v) for n, v in self.result.variables.items()})}


def _token(variable: xr.Variable) -> object:
    return variable.data.name if variable.chunks is not None else np.asarray(variable.values)


@dataclass(frozen=True, eq=False)
class Windowed:
    """A function of a cube, applied to windows with their halo; no graph of the whole is ever made."""

    source: xr.Dataset
    function: Function
    halo: int
    """Pixels around a window that its result depends on; a multiple of the stride."""
    stride: int
    result: xr.Dataset

    @classmethod
    def of(cls, source: xr.Dataset, function: Function, halo: int | None, stride: int = 1) -> Windowed:
        """Find out the form of the result from a small window.

        Raises
        ------
        XSentinelError
            If the function's halo is not known.
        GridError
            If it changes the grid.
        """
        if isinstance(function, Steps):
            halo, stride = function.halo(source) if halo is None else halo, function.stride()
        if halo is None or halo < 0:
            raise XSentinelError(
                f"halo is {halo}, and the function's neighbourhood is not known; say how many pixels around a pixel its result depends "
                f"on: halo=0 where each stands alone, dilate / pixel size for mask_clouds, card.halo for a network"
            )
        padded = -(-halo // stride) * stride
        bare = cls(source, function, padded, stride, source)
        sides = {d: slice(0, min(source.sizes[d], PROBE)) for d in PLANE}
        return cls(source, function, padded, stride, _enlarged(bare.part(sides).lazy(), source))

    @property
    def chunks(self) -> dict[str, tuple[int, ...]]:
        """Those of the cube."""
        return _chunks(self.source)

    def part(self, region: Window) -> Part:
        """Cut the window and its halo out of the cube."""
        read, keep = {}, {}
        for d in PLANE:
            n = self.source.sizes[d]
            start, stop, _ = region.get(d, slice(None)).indices(n)
            read[d] = slice(max(start - self.halo, 0), min(stop + self.halo, n))
            keep[d] = slice(start - read[d].start, stop - read[d].start)
        return Part(cut(self.source, read), self.function, keep)

    def pixel_bytes(self) -> int:
        """Count inputs twice, as they are read and as they are reduced, and results twice."""
        return 2 * _bytes_a_pixel(self.source) + 2 * _bytes_a_pixel(self.result)

    def source_bytes(self) -> int:
        """Give the bytes of the cube in memory."""
        return sum(v.nbytes for v in self._inputs())

    def _inputs(self) -> list[xr.DataArray]:
        return [v for v in self.source.data_vars.values() if set(PLANE) <= set(v.dims)]

    def fingerprint(self) -> dict[str, str]:
        """Take the function's steps or code, and dask's names of the cube's arrays."""
        inputs = Lazy(self.source).fingerprint()["inputs"]
        return {"expression": _told(self.function), "inputs": inputs, "halo": str(self.halo)}


def _joined(part: xr.Dataset) -> xr.Dataset:
    """Make one chunk along y and x, as a window is a block: what needs neighbours then has them."""
    return part.chunk(dict.fromkeys(PLANE, -1)) if _chunks(part) else part


def _chunks(ds: xr.Dataset) -> dict[str, tuple[int, ...]]:
    """Give the chunks of the first lazy variable along y and x; where others are cut otherwise, ``ds.chunks`` raises."""
    lazy = (v for v in ds.variables.values() if v.chunks is not None and set(PLANE) <= set(v.dims))
    first = next(lazy, None)
    return {} if first is None else {d: first.chunksizes[d] for d in PLANE}


def _check_grid(whole: xr.Dataset, part: xr.Dataset) -> None:
    for d in PLANE:
        if whole.sizes.get(d) != part.sizes[d] or (d in part.coords and not whole[d].equals(part[d])):
            raise GridError(
                f"the expression turns {part.sizes[d]} pixels along {d} into {whole.sizes.get(d, 'none')} or moves them; open the cube "
                f"at the resolution of the result, and give an expression that keeps its pixels"
            )


def _bytes_a_pixel(ds: xr.Dataset) -> int:
    n = max(1, ds.sizes["y"] * ds.sizes["x"])
    return sum(v.nbytes for v in ds.variables.values() if set(PLANE) <= set(v.dims)) // n


def _enlarged(small: xr.Dataset, source: xr.Dataset) -> xr.Dataset:
    """Give a result's form for the whole from that of a window: pixels of the source, all else as it is."""
    import dask.array as da

    def whole(variable: xr.Variable) -> xr.Variable:
        shape = tuple(source.sizes[d] if d in PLANE else n for d, n in variable.sizes.items())
        return xr.Variable(variable.dims, da.empty(shape, dtype=variable.dtype, chunks=shape), variable.attrs, variable.encoding)

    planes = {n: whole(v) for n, v in small.variables.items() if set(PLANE) <= set(v.dims)}
    rest = small.drop_vars([n for n, v in small.variables.items() if set(PLANE) & set(v.dims)])
    axes = {d: source[d] for d in PLANE if d in source.coords}
    out = rest.assign_coords(axes | {n: v for n, v in planes.items() if n in small.coords})
    return out.assign({n: v for n, v in planes.items() if n not in small.coords})[list(small.data_vars)]


def _told(function: Function) -> str:
    """Tell a function from another by what it does: its steps, or a digest of its code."""
    if isinstance(function, Steps):
        return function.told()
    from dask.base import tokenize

    code = getattr(function, "__code__", None)
    if code is None:
        return f"{type(function).__name__} {tokenize(function)}"
    closed = [c.cell_contents for c in (getattr(function, "__closure__", None) or ())]
    values = tokenize(_code(code), closed, getattr(function, "__defaults__", None))
    return f"{getattr(function, '__qualname__', 'function')} {values}"


def _code(code: CodeType) -> str:
    """Give a digest of bytecode, names and constants, of inner functions too."""
    # sets are written in an order that changes from process to process
    plain = (sorted(map(repr, c)) if isinstance(c, frozenset) else c for c in code.co_consts)
    constants = [_code(c) if isinstance(c, CodeType) else repr(c) for c in plain]
    return sha256(code.co_code + repr((code.co_names, constants)).encode()).hexdigest()[:16]


def as_expression(expression: Any, source: Any, halo: int | None) -> Expression:
    """Understand what a user gave: a lazy Dataset, a function, or a list of steps.

    Raises
    ------
    XSentinelError
        If it is none of these, or a function comes without its cube.
    """
    if isinstance(expression, xr.DataArray):
        expression = expression.to_dataset(name="map" if expression.name is None else expression.name)
    if isinstance(expression, xr.Dataset):
        if source is not None:
            raise XSentinelError("leave source= out: a lazy Dataset has its sources in it; source= is the cube of a function, or of steps")
        if not set(PLANE) <= set(expression.dims):
            raise GridError(f"the expression has the dims {', '.join(map(str, expression.dims))}; a job's result has y and x")
        return Lazy(expression)
    function = expression if callable(expression) else Steps.of(expression)
    if not isinstance(source, xr.Dataset):
        raise XSentinelError(f"a function needs the cube that it is applied to; give source=, a Dataset (found {type(source).__name__})")
    return Windowed.of(source, function, halo)
