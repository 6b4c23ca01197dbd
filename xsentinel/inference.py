"""A model over a labelled cube: labels off, blocks through the network, labels on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from xsentinel.blocks.decide import DECIDED, SAMPLED
from xsentinel.blocks.model import Model
from xsentinel.blocks.predict import Execution, Predictor, Together
from xsentinel.blocks.tiles import Tiling, map_trimming
from xsentinel.classes import flag_attrs
from xsentinel.cube import encoding_of, grid_mapping_name, pixel_size, select_bands
from xsentinel.errors import BandError, GridError, TimeError, UnitsError, XSentinelError, check_numbers
from xsentinel.geometry import find_angles, resolve_angles, resolve_platforms
from xsentinel.kernels.threads import n_cores
from xsentinel.models.card import INDICES, Card, Channel, Output
from xsentinel.models.planes import SEASON
from xsentinel.triplets import season_of
from xsentinel.version import __version__

LEAST_HALOS = 16
"""Halos that the side of a chunk holds at the least: with fewer, margins are more than a quarter of the work."""

LEAST_HALOS_OF_SERIES = 4
"""The same where a block holds all dates: then memory says how large it can be."""

CLASS_LAYERS = {
    "confidence": "probability of the class",
    "margin": "probability of the class less that of the next",
    "entropy": "entropy of the probabilities, of the greatest possible",
    "mutual_information": "what the samples of dropout disagree by: entropy of the mean less mean of the entropies",
}
"""What a classifier's maps show beside the class."""


@dataclass(frozen=True)
class Sampling:
    """How Monte Carlo dropout is run."""

    samples: int = 0
    """0: one pass, nothing dropped."""
    seed: int = 0

    def check(self) -> None:
        """Refuse what cannot be sampled.

        Raises
        ------
        XSentinelError
            If the number of samples is 1 or below 0.
        """
        check_numbers(samples=self.samples, seed=self.seed)
        if self.samples < 0 or self.samples == 1:
            raise XSentinelError(f"samples is {self.samples}; give 0 for one pass without dropout, or 2 or more (30 in the paper)")
        if self.samples and not 0 <= self.seed < 2**63:
            raise XSentinelError(f"seed is {self.seed}; give a whole number from 0 to 2⁶³ − 1")


def infer(
    ds: xr.Dataset,
    model: Model,
    sampling: Sampling,
    execution: Execution,
    angles: Mapping[str, object] | None = None,
    platform: object = None,
) -> dict[str, xr.DataArray]:
    """Run a model over a cube; give ``<output>`` and, if sampled, ``<output>_std``, labelled, lazy if the cube is.

    Parameters
    ----------
    ds : xarray.Dataset
        Bands (time, y, x); time may be missing for a model that takes each date by itself.
    model : Model
    sampling : Sampling
    execution : Execution
    angles : mapping, optional
        ``sza``, ``vza``, ``raa`` in degrees, where the model takes them and the cube has none.
    platform : str or sequence of str, optional
        S2A, S2B or S2C, where the model asks for it and the cube does not tell.

    Raises
    ------
    BandError, GridError, TimeError, UnitsError, GeometryError
        If the cube does not fit the model.
    """
    card = model.card
    bands = _inputs(ds, model, sampling, execution)
    planes = {channel.name: geometry_plane(channel, ds, angles, platform) for channel in card.geometry}
    make = partial(Predictor, model, samples=sampling.samples, seed=sampling.seed, execution=execution)
    data = run(make, card, bands, [plane_values(c, planes[c.name]) for c in card.geometry])
    assumed = ", ".join(f"{c.name} = {c.default:g}" for c in card.geometry if planes[c.name] is None)
    said = provenance(model, sampling, execution) | ({"assumed": f"{assumed}: the cube does not tell"} if assumed else {})
    return label(data, bands, card, said, bool(sampling.samples))


def classify(
    ds: xr.Dataset, model: Model, sampling: Sampling, execution: Execution, probabilities: bool = False
) -> dict[str, xr.DataArray]:
    """Run a classifier over a cube; give its maps, labelled, lazy if the cube is.

    Parameters
    ----------
    ds : xarray.Dataset
        Bands (time, y, x), as many dates as the model takes.
    model : Model
        One whose card has classes.
    sampling : Sampling
    execution : Execution
    probabilities : bool
        Whether ``probability`` (class, y, x) comes too.

    Returns
    -------
    dict
        ``class`` (uint8, codes of the card, 0 where too little was seen), and float32, NaN there: ``confidence``,
        ``margin``, ``entropy``, and if sampled ``mutual_information``.

    Raises
    ------
    XSentinelError, BandError, GridError, TimeError, UnitsError
        If the cube does not fit the model.
    """
    card = model.card
    if not card.classes:
        raise XSentinelError(
            f"model {card.name} estimates {', '.join(o.name for o in card.outputs)} and tells no classes apart; give a classifier"
        )
    bands = _inputs(ds, model, sampling, execution)
    planes = [plane_values(c, geometry_plane(c, ds, None, None)) for c in card.geometry]
    make = partial(Predictor, model, samples=sampling.samples, seed=sampling.seed, execution=execution, probabilities=probabilities)
    data = run(make, card, bands, planes)
    like = bands[0].isel(time=-1, drop=True) if "time" in bands[0].dims else bands[0]
    mapping = grid_mapping_name(bands[0])
    shared = provenance(model, sampling, execution) | ({"grid_mapping": mapping} if mapping else {})
    return _class_maps(data[0], like, card, shared, bool(sampling.samples))


def _class_maps(data: Any, like: xr.DataArray, card: Card, shared: dict[str, Any], sampled: bool) -> dict[str, xr.DataArray]:
    """Put labels on the planes of a classifier."""
    names = [*DECIDED, *(SAMPLED if sampled else ())]
    coords = {k: c for k, c in like.coords.items() if set(c.dims) <= set(like.dims)}
    maps = {}
    for k, name in enumerate(names[1:], 1):
        maps[name] = xr.DataArray(data[k], coords, like.dims, name, {"long_name": CLASS_LAYERS[name], "units": "1"} | shared)
    codes = np.array([0, *(c.code for c in card.classes)], np.uint8)
    attrs = flag_attrs(card.classes) | {"ancillary_variables": " ".join(names[1:])} | shared
    places = data[0] + np.float32(1)
    coded = _take(codes, places)
    found = {"class": xr.DataArray(coded, coords, like.dims, "class", attrs)} | maps
    if data.shape[0] > len(names):
        along = {"class_code": ("class", codes[1:], flag_attrs(card.classes))}
        said = {"long_name": "probability", "units": "1"} | shared
        found["probability"] = xr.DataArray(data[len(names) :], coords | along, ("class", *like.dims), "probability", said)
    return found


def _take(codes: Any, places: Any) -> Any:
    """Give codes at places, 0 where the place is NaN; lazily of lazy places."""
    if isinstance(places, np.ndarray):
        return codes[np.nan_to_num(places, nan=0).astype(np.intp)]
    return places.map_blocks(partial(_take, codes), dtype=codes.dtype, meta=np.empty((0,) * places.ndim, codes.dtype))


def _inputs(ds: xr.Dataset, model: Model, sampling: Sampling, execution: Execution) -> list[xr.DataArray]:
    """Give the bands that a model takes, in order, everything checked that can be before anything runs."""
    card = model.card
    indices = [name for name in card.bands if name in INDICES]
    names = [name for name in card.bands if name not in indices]
    bands = select_bands(ds, names, f"model {card.name}") if names else []
    missing = [name for name in indices if name not in ds]
    if missing:
        raise BandError(f"model {card.name} takes {', '.join(missing)} as a variable of the cube: ds.merge(ds.s2.index({missing[0]!r}))")
    by_name = {str(b.name): b for b in bands} | {name: ds[name] for name in indices}
    chosen = [by_name[name] for name in card.bands]
    _check(chosen, ds, model)
    sampling.check()
    execution.check()
    return chosen


def _check(bands: list[xr.DataArray], ds: xr.Dataset, model: Model) -> None:
    """Check dates, pixel size and that the bands are reflectance as it is."""
    card = model.card
    n_dates = bands[0].sizes.get("time", 1)
    if card.dates > 1 and n_dates != card.dates:
        raise TimeError(
            f"model {card.name} takes {card.dates} dates together and the cube has {n_dates}; select them, or make as many equal "
            f"steps with fill_gaps(dates=...)"
        )
    for band in bands:
        if "normalisation" in band.attrs:
            raise UnitsError(
                f"{band.name} is normalised already ({band.attrs['normalisation']}); model {card.name} normalises by itself: "
                f"give it the reflectance"
            )
    check_pixels(ds, card)


def check_pixels(ds: xr.Dataset, card: Card) -> None:
    """Check pixel size.

    Raises
    ------
    GridError
        If it is not that of the model.
    """
    if not all(d in ds.coords and ds.sizes[d] > 1 for d in ("y", "x")):
        return  # nothing says how large a pixel is
    dy, dx = (abs(step) for step in pixel_size(ds))
    if not (np.isclose(dy, card.resolution_m, rtol=0.01) and np.isclose(dx, card.resolution_m, rtol=0.01)):
        raise GridError(
            f"model {card.name} was trained at {card.resolution_m:g} m, and the pixels are {dy:g} × {dx:g} (y, x, in units of the CRS); "
            f"open the cube at its resolution: xsentinel.open(..., resolution={card.resolution_m:g})"
        )


def geometry_plane(channel: Channel, ds: xr.Dataset, angles: Mapping[str, object] | None, platform: object) -> xr.DataArray | None:
    """Give a plane beside the bands, None where the cube does not tell and the card has a default."""
    if channel.name == "s2b":
        return (resolve_platforms(ds, platform) != "S2A").astype(np.float32)
    if channel.name in SEASON:
        return _season(channel, ds)
    name = channel.name.removeprefix("cos_")
    if channel.default is not None and name not in (find_angles(ds) | dict(angles or {})):
        return None
    angle = resolve_angles(ds, angles, (name,))[name]
    cosine: xr.DataArray = xr.ufuncs.cos(xr.ufuncs.deg2rad(angle.astype(np.float64))).astype(np.float32)
    return cosine


def _season(channel: Channel, ds: xr.Dataset) -> xr.DataArray:
    if "time" not in ds.coords:
        raise TimeError(
            f"the model takes {channel.name}, and the dataset has no coordinate time; give its dates: ds.assign_coords(time=...)"
        )
    return xr.DataArray(season_of(np.atleast_1d(ds["time"].values))[SEASON.index(channel.name)], dims="time")


def plane_values(channel: Channel, plane: xr.DataArray | None) -> xr.DataArray:
    """Give a plane, or the card's default for it."""
    return xr.DataArray(np.float32(channel.default or 0)) if plane is None else plane


def run(make: Callable[..., Predictor], card: Card, bands: list[xr.DataArray], planes: list[xr.DataArray]) -> Any:
    """Give (map, plane, y, x), numpy or dask as the bands; ``make`` gives the predictor for how they are stored, and its threads."""
    halo, of_series = card.halo, card.dates > 1 or card.fusion is not None
    bare = _one_dtype([_with_time(b.reset_coords(drop=True)) for b in bands])
    stored, lazy = _stack(bare, of_series, halo is None)
    n_maps = stored.shape[0] if card.dates == 1 else 1
    predictor = make(encodings=tuple(encoding_of(b) for b in bare), n_threads=1 if lazy else n_cores())
    leading = (-1 if card.dates == 1 else 1, predictor.n_planes)
    least = (LEAST_HALOS if card.fusion is None else LEAST_HALOS_OF_SERIES) * (halo or 0)
    tiling = Tiling(np.float32, halo or 0, stride=card.stride, least=least, leading=leading)
    return map_trimming(predictor, [stored, *(_plane(p, n_maps) for p in planes)], tiling)


def _stack(bands: list[xr.DataArray], all_dates: bool, all_pixels: bool) -> tuple[Any, bool]:
    """Put bands together, as (time, band, y, x), and say whether that is lazy: one chunk of bands, and of what must not be cut."""
    if all(b.chunks is None for b in bands):
        return Together(tuple(b.values for b in bands)), False
    import dask.array as da

    stored = da.stack([da.asarray(b.data) for b in bands], 1)
    whole = {1: -1} | ({0: -1} if all_dates else {}) | ({2: -1, 3: -1} if all_pixels else {})
    return stored.rechunk(whole), True


def _with_time(array: xr.DataArray) -> xr.DataArray:
    return array if "time" in array.dims else array.expand_dims("time")


def _one_dtype(bands: list[xr.DataArray]) -> list[xr.DataArray]:
    """Keep uint16 where all bands are; decode and bring to float32 otherwise."""
    if all(b.dtype == np.uint16 for b in bands):
        return bands
    done = []
    for band in bands:
        code = encoding_of(band)
        if band.dtype.kind in "iu":
            band = band.where(band != code.nodata).astype(np.float32) * np.float32(code.scale) + np.float32(code.offset)
        done.append(band.astype(np.float32).drop_attrs())
    return done


def _plane(values: xr.DataArray, n_maps: int) -> Any:
    """Bring a plane to (map, 1, y or 1, x or 1); of several dates together the mean counts."""
    full = _with_time(values.reset_coords(drop=True))
    if n_maps == 1 and full.sizes["time"] > 1:
        full = full.mean("time", keepdims=True)
    for dim in ("y", "x"):
        full = full if dim in full.dims else full.expand_dims(dim)
    data = full.transpose("time", "y", "x").data[:, None]
    return np.broadcast_to(data, (n_maps, *data.shape[1:])) if isinstance(data, np.ndarray) else data


def label(data: Any, bands: list[xr.DataArray], card: Card, said: dict[str, Any], sampled: bool) -> dict[str, xr.DataArray]:
    """Put names, coordinates, CF attributes and provenance on."""
    like = bands[0] if card.dates == 1 or "time" not in bands[0].dims else bands[0].isel(time=-1, drop=True)
    mapping = grid_mapping_name(bands[0])
    shared = said | ({"grid_mapping": mapping} if mapping else {})
    coords = {k: c for k, c in like.coords.items() if set(c.dims) <= set(like.dims)}
    maps = {}
    for k, output in enumerate(card.outputs):
        names = {output.name: k} | ({f"{output.name}_std": k + len(card.outputs)} if sampled else {})
        for name, plane in names.items():
            values = data[:, plane] if "time" in like.dims else data[0, plane]
            maps[name] = xr.DataArray(values, coords, like.dims, name, _attrs(output, name != output.name) | shared)
    return maps


def _attrs(output: Output, spread: bool) -> dict[str, Any]:
    """Give the CF attributes of an output, or of its standard deviation."""
    if not spread:
        attrs = {"long_name": output.long_name, "standard_name": output.standard_name, "units": output.units}
        return {k: v for k, v in attrs.items() if v}
    words = {"long_name": f"standard deviation of {output.long_name} over Monte Carlo dropout", "units": output.units}
    return words | ({"standard_name": f"{output.standard_name} standard_error"} if output.standard_name else {})


def provenance(model: Model, sampling: Sampling, execution: Execution) -> dict[str, Any]:
    """Say what a map was made with, for its attributes."""
    sampled = {"samples": sampling.samples, "seed": sampling.seed} if sampling.samples else {}
    return {
        "model": model.card.name,
        "weights_digest": f"sha256:{model.card.digest}",
        "precision": "bf16" if execution.is_bf16 else "fp32",
        "xsentinel_version": __version__,
    } | sampled
