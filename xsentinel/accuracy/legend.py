"""What the codes of maps mean: names from CF flags, and which pixels say nothing."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from xsentinel.cube import nodata_code
from xsentinel.errors import GridError, XSentinelError

Labels = Any
"""A DataArray, a Dataset with ``class``, or an array, list or Series of labels."""
Ignore = Any
"""A code or name, or several."""
Classes = Mapping[Any, str] | Sequence[Any] | None

MAP_NAMES = ("class", "label")
"""Variables of a Dataset that are taken as its map of classes."""
MOST = 1000
"""Classes that a map may have; more are measured values."""


def map_of(labels: Labels) -> xr.DataArray:
    """Give the map in what is given; of a Dataset its ``class``.

    Raises
    ------
    XSentinelError
        If a Dataset has no map of classes.
    """
    if isinstance(labels, xr.DataArray):
        return labels
    if isinstance(labels, str | PathLike):
        raise XSentinelError(
            f"{str(labels)!r} is a path, and maps are compared once they are open: xsentinel.open({str(labels)!r}), or another map by "
            f"rioxarray.open_rasterio; in the shell, xsentinel assess MAP REFERENCE takes paths"
        )
    if isinstance(labels, xr.Dataset):
        found = next((name for name in MAP_NAMES if name in labels.variables and labels[name].ndim > 1), None)
        if found is None:
            raise XSentinelError(f"the dataset has no map called class; it has {', '.join(map(str, labels.data_vars))}: give one of them")
        return labels[found]
    values = labels.to_numpy() if isinstance(labels, pd.Series | pd.Categorical | pd.Index) else np.asarray(labels)
    if values.ndim != 1:
        raise XSentinelError(f"labels have the shape {values.shape}; give a DataArray, or one dimension of labels")
    return xr.DataArray(values, dims="sample")


def one_map(layer: xr.DataArray) -> xr.DataArray:
    """Leave out a time of length 1, which a map read from a file may have."""
    return layer.isel(time=0, drop=True) if layer.sizes.get("time") == 1 else layer


def flags_of(layer: xr.DataArray) -> dict[int, str]:
    """Give names by code from the CF attributes flag_values and flag_meanings, nodata left out; empty if there are none.

    Raises
    ------
    XSentinelError
        If there are not as many names as codes, or a name stands twice.

    Examples
    --------
    >>> flags_of(xr.DataArray([1], attrs={"flag_values": [1, 2], "flag_meanings": "maize winter_wheat"}))
    {1: 'maize', 2: 'winter wheat'}
    """
    values = layer.attrs.get("flag_values")
    if values is None or "flag_meanings" not in layer.attrs:
        return {}
    codes = [int(v) for v in (values.replace(",", " ").split() if isinstance(values, str) else np.atleast_1d(values))]
    names = str(layer.attrs["flag_meanings"]).split()
    if len(names) != len(codes):
        raise XSentinelError(
            f"{layer.name} has {len(codes)} flag_values and {len(names)} flag_meanings; give a word without spaces to each"
        )
    if len(set(names)) < len(names):
        raise XSentinelError(f"{layer.name} gives one name to several codes ({' '.join(names)}); give each its own, or recode the map")
    nodata = nodata_code(layer)
    return {code: name.replace("_", " ") for code, name in zip(codes, names, strict=True) if code != nodata}


def merged_flags(first: xr.DataArray, second: xr.DataArray) -> tuple[dict[int, str], dict[int, int]]:
    """Give the names of two maps together, by code, and which codes of the second are others there.

    Classes of one name are one class, whatever their codes and capitals: it has the first map's code. A class that the
    second map alone has keeps its code, or gets a new one where the first means something else by it.

    Raises
    ------
    XSentinelError
        If codes mean different things and no name is the same.

    Examples
    --------
    >>> flags = [{"flag_values": v, "flag_meanings": m} for v, m in (([1, 2], "maize wheat"), ([1, 3], "Wheat oats"))]
    >>> merged_flags(*(xr.DataArray([1], attrs=f) for f in flags))
    ({1: 'maize', 2: 'wheat', 3: 'oats'}, {1: 2, 2: 4})
    """
    own, other = flags_of(first), flags_of(second)
    by_name = {name.casefold(): code for code, name in own.items()}
    clash = next((code for code in other if own.get(code, other[code]).casefold() != other[code].casefold()), None)
    if clash is not None and not any(name.casefold() in by_name for name in other.values()):
        raise XSentinelError(
            f"code {clash} is {own[clash]!r} in {first.name} and {other[clash]!r} in {second.name}, and no class has the same name in both "
            f"({', '.join(own.values())}; {', '.join(other.values())}): name the classes of one map as those of the other (flag_meanings)"
        )
    recoded, free = {}, max([*own, *other], default=0) + 1
    for code, name in other.items():
        recoded[code] = by_name.get(name.casefold(), code if code not in own else free)
        free += recoded[code] == free
    both = {recoded[code]: name for code, name in other.items()} | own
    moved = {code: new for code, new in recoded.items() if new != code}
    unnamed = (
        {code: free + k for k, code in enumerate(own.keys() - other.keys())} if moved else {}
    )  # where the second has them, they mean nothing
    return {code: both[code] for code in sorted(both)}, moved | unnamed


def recode(values: npt.NDArray[Any], codes: Mapping[int, int]) -> npt.NDArray[Any]:
    """Give codes of the second map as those that both are named by."""
    out = values.astype(np.int64) if codes and values.dtype.kind in "iub" else values.copy() if codes else values
    for code, new in codes.items():
        out[values == code] = new
    return out


def numbered(first: xr.DataArray, second: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray, dict[int, Hashable]]:
    """Give two layers as numbers, with what the numbers stand for where they were words.

    Raises
    ------
    XSentinelError
        If one holds words and the other numbers.
    """
    if all(layer.dtype.kind in "iubf" for layer in (first, second)):
        return first, second, {}
    if any(layer.dtype.kind in "iubf" for layer in (first, second)):
        raise XSentinelError(f"{first.name} holds {first.dtype} and {second.name} {second.dtype}; give both as numbers, or both as words")
    words = [layer.values.astype(object) for layer in (first, second)]
    found = sorted({w for values in words for w in values[~pd.isna(values)]}, key=str)
    places = {word: i for i, word in enumerate(found)}
    codes = [np.array([places.get(w, -1) if not pd.isna(w) else -1 for w in values.ravel()], np.int64) for values in words]
    done = [layer.copy(data=c.reshape(layer.shape)) for layer, c in zip((first, second), codes, strict=True)]
    for layer in done:
        layer.attrs = {"_FillValue": -1}
    return done[0], done[1], dict(enumerate(found))


def check_same_grid(first: xr.DataArray, second: xr.DataArray) -> xr.DataArray:
    """Give the second layer with its dims in the order of the first's, a time of length 1 brought to the first's.

    Raises
    ------
    GridError
        If dims, sizes, coordinates or CRS differ, or there are more than three dims.
    """
    if "time" not in first.dims:
        second = one_map(second)
    elif first.sizes["time"] == 1 and "time" not in second.dims:
        second = second.expand_dims("time")
    sizes = [", ".join(f"{d} {n}" for d, n in layer.sizes.items()) for layer in (first, second)]
    if dict(first.sizes) != dict(second.sizes) or first.ndim > 3:
        raise GridError(f"the maps have {sizes[0]} and {sizes[1]}; both must have the same of time, y, x: select, or reproject_match")
    for dim in first.dims:
        if dim in first.coords and dim in second.coords and not _same(first[dim].values, second[dim].values):
            ends = [f"{layer[dim].values[0]} to {layer[dim].values[-1]}" for layer in (first, second)]
            raise GridError(
                f"the maps' coordinate {dim!r} runs from {ends[0]} and from {ends[1]}, or differs between: bring one onto the "
                f"other's pixels, such as reference.rio.reproject_match(predicted) with nearest resampling"
            )
    _check_crs(first, second)
    return second.transpose(*first.dims)


def _same(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    if one.dtype.kind == "f" and other.dtype.kind == "f" and one.size > 1:
        return bool(np.allclose(one, other, rtol=0, atol=1e-3 * abs(float(one[1] - one[0]))))
    return bool(np.array_equal(one, other))


def _check_crs(first: xr.DataArray, second: xr.DataArray) -> None:
    if "y" not in first.dims:
        return
    import rioxarray  # noqa: F401  (registers .rio)

    crs = [layer.rio.crs for layer in (first, second)]
    if None not in crs and crs[0] != crs[1]:
        raise GridError(f"the maps are in {crs[0].to_string():.40} and {crs[1].to_string():.40}; reproject one to the other's CRS")


def ignored_codes(ignore: Ignore, names: Mapping[int, Hashable]) -> list[Any]:
    """Give the codes that are to be left out."""
    if ignore is None:
        return []
    several = [ignore] if isinstance(ignore, str) or np.ndim(ignore) == 0 else list(ignore)
    by_name = {str(name): code for code, name in names.items()}
    return [by_name.get(str(one), one if not isinstance(one, str) else None) for one in several]


def silent_codes(layer: xr.DataArray, ignore: Sequence[Any]) -> list[float]:
    """Give the codes of a layer that say nothing: its nodata, and what is to be ignored."""
    return [code for code in (nodata_code(layer), *ignore) if code is not None]


def missing(values: npt.NDArray[Any], silent: Sequence[float]) -> npt.NDArray[np.bool_]:
    """Tell which values say nothing: NaN and silent codes."""
    gone: npt.NDArray[np.bool_] = np.isin(values, np.asarray(silent)) | (values != values)
    return gone


def legend(found: npt.NDArray[Any], flags: Mapping[int, Hashable], classes: Classes) -> dict[int, str]:
    """Give the classes of an assessment, names by code in order.

    Parameters
    ----------
    found : numpy.ndarray
        Codes that occur.
    flags : mapping
        Names by code, as far as they are known.
    classes : mapping, sequence or None
        What the caller asks for: names by code, or codes or names in order; None takes the classes that occur.

    Raises
    ------
    XSentinelError
        If a code occurs that is no class, or there are too many to be classes.
    """
    if (found != np.round(found)).any() or found.size > MOST:
        raise XSentinelError(
            f"these hold {found.size} different values such as {found[0]:g}, which are no codes of classes; give maps of classes"
        )
    known = _asked(classes, flags) if classes is not None else dict(flags) or {int(c): int(c) for c in found}
    strange = [int(c) for c in found if int(c) not in known]
    if strange:
        raise XSentinelError(
            f"{', '.join(str(flags.get(c, c)) for c in strange[:10])} occurs and is none of the classes "
            f"{', '.join(map(str, known.values()))}; name it in classes=, or leave it out by ignore={strange[:10]}"
        )
    occur = {int(c) for c in found}
    return {code: str(name) for code, name in known.items() if classes is not None or code in occur}


def _asked(classes: Mapping[Any, str] | Sequence[Any], flags: Mapping[int, Hashable]) -> dict[int, Hashable]:
    """Understand the classes that were asked for, by code or by name."""
    by_name = {str(name): code for code, name in flags.items()}
    by_name = {name.replace(" ", "_"): code for name, code in by_name.items()} | by_name
    chosen: dict[int, Hashable] = {}
    for label in classes:
        code = by_name.get(str(label), label)
        if not isinstance(code, int | np.integer):
            raise XSentinelError(
                f"class {label!r} is not known; the maps have {', '.join(map(str, flags.values())) or 'codes without names'}"
            )
        chosen[int(code)] = classes[label] if isinstance(classes, Mapping) else flags.get(int(code), code)
    return chosen
