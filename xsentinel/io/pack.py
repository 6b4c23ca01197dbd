"""Floats as scaled 16-bit integers: half the bytes, and nothing lost without a word."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.bands import BANDS, BASELINE_4_OFFSET, SCALE_FACTOR
from xsentinel.errors import WriteError

Pack = Literal["uint16", "int16"]

SCALES = {"lai": 1e-3, "fapar": 1e-4, "fcover": 1e-4, "ccc": 0.02, "cwc": 1e-5, "VV": 2e-3, "VH": 2e-3}
"""Value a count of what is no reflectance; of angles 0.01, of what has no unit 1e-4."""


def pack_floats(ds: xr.Dataset, pack: Pack | None, scale: float | Mapping[str, float] | None = None) -> xr.Dataset:
    """Turn float variables to integers with scale_factor, add_offset and _FillValue as attributes.

    Parameters
    ----------
    ds : xarray.Dataset
    pack : {"uint16", "int16"}, optional
        uint16 has no data 0; of reflectance 0 stands for −0.1, so that negative values are kept. int16 has no
        data −32768 and no offset. None leaves floats.
    scale : float or mapping, optional
        Value a count, for all variables or by name; 1e-4 for reflectance, 1e-3 for LAI if not given.

    Raises
    ------
    WriteError
        If a variable has no scale; and when computed, if a value does not fit.
    """
    if pack is None:
        if scale is not None:
            raise WriteError(f"scale is {scale}, but pack is not given; scale is of packed integers: pack='int16'")
        return ds
    if pack not in get_args(Pack):
        raise WriteError(f"pack is {pack!r}; it is one of {', '.join(get_args(Pack))}, or None for floats as they are")
    floats = [str(v) for v in ds.data_vars if ds[v].dtype.kind == "f"]
    return ds.assign({v: _packed(ds[v], pack, _scale(ds[v], v, scale)) for v in floats})


def _scale(values: xr.DataArray, name: str, given: float | Mapping[str, float] | None) -> float:
    told = given.get(name) if isinstance(given, Mapping) else given
    unit = str(values.attrs.get("units", ""))
    default = SCALE_FACTOR if unit == "1" or name in BANDS else 0.01 if unit.startswith("degree") else None
    base = re.sub("_(std|lower|upper)$", "", name)  # the spread of a variable has its scale
    scale = told if told is not None else SCALES.get(base, default)
    if scale is None or not np.isfinite(scale) or scale <= 0:
        raise WriteError(f"{name} has no scale to be packed with (found {scale}); give it: scale={{'{name}': 0.001}}, in its unit a count")
    return float(scale)


def _packed(values: xr.DataArray, pack: Pack, scale: float) -> xr.DataArray:
    optical = str(values.name) in BANDS and not BANDS[str(values.name)].is_radar
    offset = BASELINE_4_OFFSET if pack == "uint16" and optical else 0.0
    nodata = 0 if pack == "uint16" else -32768
    function = partial(_count, name=str(values.name), pack=pack, scale=scale, offset=offset)
    out: xr.DataArray = xr.apply_ufunc(function, values, dask="parallelized", output_dtypes=[np.dtype(pack)], keep_attrs=True)
    return out.assign_attrs(scale_factor=scale, add_offset=offset, _FillValue=np.dtype(pack).type(nodata))


def _count(values: npt.NDArray[Any], name: str, pack: Pack, scale: float, offset: float) -> npt.NDArray[Any]:
    """Round to counts; refuse what does not fit."""
    limits = np.iinfo(pack)
    counts = np.rint((values.astype(np.float64) - offset) / scale)
    bad = (counts < limits.min + 1) | (counts > limits.max)
    if bad.any():
        value = values[bad][0]
        low, high = ((n * scale + offset) for n in (limits.min + 1, limits.max))
        raise WriteError(
            f"{name} has {int(bad.sum())} values such as {value:g} in a block, and {pack} with scale {scale:g} holds {low:g} to {high:g}; "
            f"give a larger scale=, another pack=, or none to write floats"
        )
    return np.where(np.isnan(values), limits.min if pack == "int16" else 0, counts).astype(pack)
