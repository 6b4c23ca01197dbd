"""A window of a lazy Dataset, with a graph that holds no more than the window needs."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import xarray as xr

Window = Mapping[str, slice]
"""Where along each dimension, whole pixels; dimensions that are not named are whole."""


def cut(ds: xr.Dataset, window: Window) -> xr.Dataset:
    """Select a window of a Dataset, its dask graphs cut down to what the window needs.

    ``isel`` keeps the whole graph behind it, which of a cube of a million chunks takes longer to look through
    than a block takes to compute.

    Parameters
    ----------
    ds : xarray.Dataset
        Lazy or in memory.
    window : mapping of str to slice
        Without steps.

    Examples
    --------
    >>> import xsentinel as xs
    >>> cube = xs.sample("zurich").chunk(y=50, x=50)
    >>> small = cut(cube, {"y": slice(60, 70), "x": slice(0, 20)})
    >>> small.sizes["x"], len(dict(small.B03.__dask_graph__())) < len(dict(cube.B03.__dask_graph__()))
    (20, True)
    """
    lazy = [n for n, v in ds.variables.items() if v.chunks is not None]
    there = {d: s for d, s in window.items() if d in ds.dims}
    eager = ds.drop_vars(lazy)
    out = eager.isel({d: s for d, s in there.items() if d in eager.dims})
    parts = {n: _cut_variable(ds.variables[n], there) for n in lazy}
    coords = {n: v for n, v in parts.items() if n in ds.coords}
    return out.assign_coords(coords).assign({n: v for n, v in parts.items() if n not in coords})[list(ds.data_vars)]


def _cut_variable(variable: xr.Variable, window: Window) -> xr.Variable:
    slices = tuple(window.get(str(d), slice(None)) for d in variable.dims)
    return xr.Variable(variable.dims, cut_array(variable.data, slices), variable.attrs, variable.encoding)


def cut_array(array: Any, slices: tuple[slice, ...]) -> Any:
    """Select a window of a dask array, its graph cut down to the chunks that the window touches.

    Parameters
    ----------
    array : dask.array.Array
    slices : tuple of slice
        One a dimension, without steps.
    """
    import dask.array as da
    from dask.base import tokenize

    spans = [_chunk_span(chunks, s) for chunks, s in zip(array.chunks, slices, strict=True)]
    places = list(product(*(range(first, last) for first, last, _ in spans)))
    graph = dict(array.dask.cull([(array.name, *place) for place in places]))
    name = f"cut-{tokenize(array.name, slices)}"
    origin = [first for first, _, _ in spans]
    # a flat graph: culled layers no longer know one another by name
    graph |= {(name, *(i - first for i, first in zip(p, origin, strict=True))): (array.name, *p) for p in places}
    chunks = tuple(c[first:last] for c, (first, last, _) in zip(array.chunks, spans, strict=True))
    small = da.Array(graph, name, chunks, meta=array._meta)
    return small[tuple(slice(start, start + _length(s, n)) for (_, _, start), s, n in zip(spans, slices, array.shape, strict=True))]


def _chunk_span(chunks: tuple[int, ...], window: slice) -> tuple[int, int, int]:
    """Give the first chunk that a window touches, the one after the last, and where in the first it begins."""
    edges = np.concatenate([[0], np.cumsum(chunks)])
    start, stop, _ = window.indices(int(edges[-1]))
    first = max(int(np.searchsorted(edges, start, "right")) - 1, 0)
    last = max(int(np.searchsorted(edges, stop, "left")), first + 1)
    return first, min(last, len(chunks)), start - int(edges[first])


def _length(window: slice, n: int) -> int:
    start, stop, _ = window.indices(n)
    return stop - start
