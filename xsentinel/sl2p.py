"""SL2P, the biophysical processor of SNAP, exactly, over labelled cubes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.bands import BANDS
from xsentinel.cube import Encoding, band_variables, check_reflectance, encoding_of, grid_mapping_name, select_bands
from xsentinel.errors import BandError, XSentinelError
from xsentinel.geometry import resolve_angles, resolve_platforms
from xsentinel.kernels.sl2p import OUT_OF_DOMAIN, missing_counts, missing_floats, run_sl2p
from xsentinel.kernels.sl2p_tables import (
    CoefficientSet,
    Storage,
    coefficients_citation,
    coefficients_digest,
    fold_domain,
    fold_network,
    load_set,
)
from xsentinel.kernels.threads import n_cores, over_pixels
from xsentinel.version import SOURCE, __version__

DomainRule = Literal["flag", "mask"]


@dataclass(frozen=True)
class Quantity:
    """What the attributes of a variable say."""

    long_name: str
    units: str
    standard_name: str | None = None
    """CF standard name, if there is one."""
    comment: str | None = None


DOUBTFUL_UNITS = "SNAP's own unit strings are doubtful; these follow from the range of the training data"

QUANTITIES = {
    "lai": Quantity("leaf area index", "m2 m-2", "leaf_area_index"),
    "fapar": Quantity(
        "fraction of absorbed photosynthetically active radiation",
        "1",
        "fraction_of_surface_downwelling_photosynthetic_radiative_flux_absorbed_by_vegetation",
    ),
    "fcover": Quantity("fraction of vegetation cover", "1", "vegetation_area_fraction"),
    "ccc": Quantity("canopy chlorophyll content", "ug cm-2", None, DOUBTFUL_UNITS),
    "cwc": Quantity("canopy water content", "g cm-2", None, DOUBTFUL_UNITS),
}

FLAGS = {
    1: "input_outside_definition_domain",
    2: "clamped_to_minimum",
    4: "clamped_to_maximum",
    8: "below_minimum",
    16: "above_maximum",
    32: "input_outside_min_max",
    64: "input_outside_grid",
}
"""Bits of a flag layer and their CF meanings; bit 1 is SNAP's own rule, 32 or 64."""


def estimate(
    ds: xr.Dataset,
    variables: tuple[str, ...],
    *,
    resolution: int | None = None,
    domain: DomainRule = "flag",
    angles: Mapping[str, object] | None = None,
    platform: str | Sequence[str] | None = None,
) -> xr.Dataset:
    """Estimate variables and their flags; `xsentinel.products.biophysical.biophysical` says what each means."""
    _check_rule(domain)
    sets = _coefficient_sets(_choose_resolution(ds, resolution))
    names = _check_variables(variables, sets[0])
    bands = select_bands(ds, sets[0].bands, f"SL2P ({sets[0].name[-3:]} set)", _advice(ds, sets[0]))
    dates = resolve_platforms(ds, platform)
    cosines = _cosines(resolve_angles(ds, angles))
    data = _apply(bands, _set_number(dates), cosines, _Job(sets, names, domain))
    used = sorted({sets[int(i)].name for i in np.unique(_set_number(dates))})
    return _label(dict(zip(_outputs(names), data, strict=True)), names, bands[0], used)


def _check_rule(domain: str) -> None:
    if domain not in ("flag", "mask"):
        raise XSentinelError(f"domain is {domain!r}; it is 'flag' (keep the values) or 'mask' (make them NaN)")


def _choose_resolution(ds: xr.Dataset, resolution: int | None) -> int:
    if resolution not in (None, 10, 20):
        raise XSentinelError(f"resolution is {resolution!r}; SL2P has inputs for 10 and 20 m, and works on any pixel size")
    there = [BANDS[name] for name in band_variables(ds)]
    only_10m = {"B03", "B04", "B08"} <= {b.name for b in there} and not any(b.resolution_m == 20 for b in there)
    return resolution or (10 if only_10m else 20)


def _advice(ds: xr.Dataset, coefficients: CoefficientSet) -> str:
    """Name the other set where its bands are there."""
    there, small = band_variables(ds), load_set("S2A", 10)
    fits = coefficients.name != small.name and set(small.bands) <= set(there)
    return f"; for the 10 m set ({', '.join(small.bands)}) all are there: resolution=10" if fits else ""


def _coefficient_sets(resolution: int) -> tuple[CoefficientSet, CoefficientSet]:
    return load_set("S2A", resolution), load_set("S2B", resolution)


def _set_number(platforms: xr.DataArray) -> xr.DataArray:
    return (platforms != "S2A").astype(np.int8)


def _check_variables(variables: tuple[str, ...], coefficients: CoefficientSet) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(variables)) or tuple(coefficients.variables)
    unknown = [name for name in names if name not in coefficients.variables]
    if unknown:
        raise BandError(f"SL2P {coefficients.name[-3:]} has no {', '.join(unknown)}; it has {', '.join(coefficients.variables)}")
    return names


def _cosines(angles: dict[str, xr.DataArray]) -> list[xr.DataArray]:
    order = ("vza", "sza", "raa")
    return [xr.ufuncs.cos(xr.ufuncs.deg2rad(angles[name].astype(np.float64))).astype(np.float32) for name in order]


def _outputs(names: tuple[str, ...]) -> list[str]:
    return [output for name in names for output in (name, f"{name}_flags")]


@dataclass(frozen=True)
class _Job:
    """What a block needs beside its arrays."""

    sets: tuple[CoefficientSet, CoefficientSet]
    names: tuple[str, ...]
    domain: str
    encodings: tuple[Encoding, ...] = ()
    n_threads: int = 1

    def __dask_tokenize__(self) -> tuple[object, ...]:
        return coefficients_digest(), self.sets[0].name, self.names, self.domain, self.encodings


def _apply(bands: list[xr.DataArray], set_number: xr.DataArray, cosines: list[xr.DataArray], job: _Job) -> tuple[xr.DataArray, ...]:
    """Run the kernel over numpy or dask arrays, with a time dimension or without."""
    timeless = "time" not in bands[0].dims
    bare = [b.reset_coords(drop=True).expand_dims("time") if timeless else b.reset_coords(drop=True) for b in bands]
    lazy = any(b.chunks is not None for b in bare)
    job = _Job(job.sets, job.names, job.domain, tuple(encoding_of(b) for b in bands), 1 if lazy else n_cores())
    results = xr.apply_ufunc(
        _block,
        *bare,
        set_number,
        *cosines,
        kwargs={"job": job},
        output_core_dims=[[]] * (2 * len(job.names)),
        dask="parallelized",
        output_dtypes=[np.float32, np.uint8] * len(job.names),
        keep_attrs=False,
    )
    return tuple(r.isel(time=0, drop=True) if timeless else r for r in results)


def _block(*arrays: npt.NDArray[Any], job: _Job) -> tuple[npt.NDArray[Any], ...]:
    """Do one block: bands (time, ...), set number and cosines broadcastable to them."""
    n_bands = len(job.encodings)
    bands = [_stored(a, name) for a, name in zip(arrays[:n_bands], job.sets[0].bands, strict=True)]
    shape = bands[0].shape
    set_number = np.broadcast_to(arrays[n_bands].reshape(-1), shape[0]) if shape[0] else arrays[n_bands]
    cosines = [_by_date(a, shape) for a in arrays[n_bands + 1 :]]
    n_pixels = int(np.prod(shape[1:]))
    out = np.empty((len(job.names), shape[0], n_pixels), np.float32)
    flags = np.empty(out.shape, np.uint8)
    flat = [np.ascontiguousarray(b).reshape(shape[0], n_pixels) for b in bands]
    for t in range(shape[0]):
        date = [c[t if c.shape[0] > 1 else 0] for c in cosines]
        _date([b[t] for b in flat], date, int(set_number[t]), job, (out[:, t], flags[:, t]))
    if job.domain == "mask":
        out[flags & OUT_OF_DOMAIN != 0] = np.nan
    return tuple(a[v].reshape(shape) for v in range(len(job.names)) for a in (out, flags))


def _stored(values: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """Pass uint16 as it is; bring the rest to float32, checked to be reflectance."""
    if values.dtype == np.uint16:
        return values
    check_reflectance(values, name)
    return values.astype(np.float32, copy=False)


def _by_date(cosine: npt.NDArray[np.float32], shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Bring cosines to (date or 1, 1 or pixel)."""
    full = cosine.reshape((1,) * (len(shape) - cosine.ndim) + cosine.shape)
    if all(n == 1 for n in full.shape[1:]):
        return full.reshape(full.shape[0], 1)
    return np.broadcast_to(full, (full.shape[0], *shape[1:])).reshape(full.shape[0], -1)


def _date(
    bands: list[npt.NDArray[Any]],
    cosines: list[npt.NDArray[np.float32]],
    set_number: int,
    job: _Job,
    out: tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]],
) -> None:
    """Do the pixels of one date, into out."""
    if len({b.dtype for b in bands}) > 1:
        bands = [b.astype(np.float32) for b in bands]
    coefficients = job.sets[set_number]
    stored = Storage(tuple(e.scale for e in job.encodings), tuple(e.offset for e in job.encodings))
    nodata = np.array([e.nodata for e in job.encodings], np.float32)
    one = all(c.size == 1 for c in cosines)
    common = np.array([c[0] for c in cosines], np.float64) if one else None
    network = fold_network(coefficients, job.names, stored, common)
    domain = fold_domain(coefficients, stored)
    n_pixels = bands[0].size
    rows = np.empty((0, 0), np.float32) if one else np.stack([np.broadcast_to(c, n_pixels) for c in cosines])
    missing = missing_counts if bands[0].dtype == np.uint16 else missing_floats
    arguments = (missing, tuple(bands), rows, nodata, network, domain, *out)
    over_pixels(lambda start, stop: run_sl2p(*arguments, start, stop), n_pixels, job.n_threads)


def _label(data: dict[str, xr.DataArray], names: tuple[str, ...], like: xr.DataArray, used: list[str]) -> xr.Dataset:
    """Put coordinates, CF attributes and provenance on."""
    provenance = {
        "model": "sl2p",
        "coefficient_sets": " ".join(used),
        "coefficients_digest": f"sha256:{coefficients_digest()}",
        "xsentinel_version": __version__,
    }
    mapping = grid_mapping_name(like)
    placed = {"grid_mapping": mapping} if mapping else {}
    for name in names:
        data[name].attrs = _value_attrs(name) | placed | provenance
        data[f"{name}_flags"].attrs = _flag_attrs(name) | placed
    coords = {k: c for k, c in like.coords.items() if set(c.dims) <= set(like.dims)}
    return xr.Dataset(
        {name: array.variable for name, array in data.items()},
        coords,
        SOURCE | {"references": coefficients_citation()} | provenance,
    )


def _value_attrs(name: str) -> dict[str, Any]:
    q = QUANTITIES[name]
    attrs = {"long_name": q.long_name, "standard_name": q.standard_name, "units": q.units, "comment": q.comment}
    return {k: v for k, v in attrs.items() if v} | {"ancillary_variables": f"{name}_flags"}


def _flag_attrs(name: str) -> dict[str, Any]:
    standard = QUANTITIES[name].standard_name
    attrs = {
        "long_name": f"flags of {QUANTITIES[name].long_name}",
        "flag_masks": np.array(list(FLAGS), np.uint8),
        "flag_meanings": " ".join(FLAGS.values()),
    }
    return attrs | ({"standard_name": f"{standard} status_flag"} if standard else {})
