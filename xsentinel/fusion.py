"""Leaf area under clouds over labelled cubes: radar brought to the cube's dates, the network run where nothing was seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from xsentinel.bands import CLOUDY_CLASSES, SCENE_CLASSES, scene_class_values
from xsentinel.blocks.fusion import LAYERS, Dates, Fuser
from xsentinel.blocks.model import Model
from xsentinel.blocks.predict import Execution
from xsentinel.blocks.series import contiguous_in_time, plan_cube
from xsentinel.cube import STORAGE_ATTRS, Encoding, check_times, encoding_of, grid_mapping_name, select_bands
from xsentinel.errors import GridError, TimeError, UnitsError, XSentinelError
from xsentinel.inference import Sampling, check_pixels, geometry_plane, label, plane_values, provenance, run
from xsentinel.models.planes import MASK_CLASSES, FusionInputs
from xsentinel.triplets import Pairs, days_of, pair, triplets

SOURCES = ("none", "observed", "fused")
"""Where a value comes from, by code."""

POLARISATIONS = ("VV", "VH")

SHADOW, ASSUMED = MASK_CLASSES.index("cloud_shadow"), MASK_CLASSES.index("vegetation")


@dataclass(frozen=True)
class Inputs:
    """What a network of radar and past leaf area is run on: layers of all dates of a cube, and how its dates belong together."""

    layers: list[xr.DataArray]
    """`LAYERS`, (time, y, x), float32, in the order of time."""
    dates: Dates
    pairs: Pairs
    """Which radar is that of each date."""
    radar_times: np.ndarray[Any, np.dtype[np.datetime64]]
    """(time,): when it was; NaT where there is none."""
    assumed: str = ""
    """What the cube does not tell."""


def gather(cube: xr.Dataset, lai: xr.DataArray, s1: xr.Dataset, inputs: FusionInputs) -> Inputs:
    """Bring leaf area, classes of the mask and radar together, on the dates of a cube; lazy if they are.

    Parameters
    ----------
    cube : xarray.Dataset
        With ``SCL`` (time, y, x), if it has any: leaf area of a pixel that it calls no data, defective, cloud, shadow or cirrus counts as
        not known. Without, leaf area is known where it is no NaN, and its class is taken to be vegetation.
    lai : xarray.DataArray (time, y, x), float32, m² m⁻²
        On the grid and dates of the cube.
    s1 : xarray.Dataset
        ``VV`` and ``VH`` (time, y, x), dB, on the grid of the cube, at dates of their own.
    inputs : FusionInputs
        How dates are chosen.

    Returns
    -------
    Inputs

    Raises
    ------
    BandError, GridError, TimeError, UnitsError
        If the radar does not fit the cube.
    """
    if "time" not in cube.dims or "time" not in cube.coords:
        raise TimeError("a network of radar and past leaf area needs dates before each; the cube has no dimension time with a coordinate")
    check_times(cube)
    radar = _radar(s1, lai)
    if not cube.indexes["time"].is_monotonic_increasing:
        raise TimeError("the dates of the cube are not in order, so that nothing tells what was before; ds.sortby('time')")
    times = cube["time"].values
    pairs = pair(times, radar[0]["time"].values, inputs.s1_tolerance_days)
    if (pairs.index < 0).all():
        raise TimeError(_far(times, radar[0]["time"].values, inputs.s1_tolerance_days))
    known, classes, assumed = _classes(cube, lai)
    on_dates = [_at(band, pairs, lai) for band in radar]
    days = days_of(times)
    radar_times = np.where(pairs.index < 0, np.datetime64("NaT"), radar[0]["time"].values[pairs.index])
    layers = [layer.rename(name) for layer, name in zip((known, classes, *on_dates), LAYERS, strict=True)]
    return Inputs(layers, Dates(days, triplets(days, inputs.max_gap_days)), pairs, radar_times, assumed)


def _far(times: Any, radar: Any, tolerance: float) -> str:
    spans = " and ".join(f"{name} from {t.min():%Y-%m-%d} to {t.max():%Y-%m-%d}" for name, t in _indexes(cube=times, s1=radar).items())
    return f"no date of s1 is within {tolerance:g} days of one of the cube ({spans}); give the radar of the cube's dates"


def _indexes(**times: Any) -> dict[str, Any]:
    import pandas as pd

    return {name: pd.DatetimeIndex(t) for name, t in times.items()}


def _radar(s1: xr.Dataset, lai: xr.DataArray) -> list[xr.DataArray]:
    """Give VV and VH, float32, dB, checked to lie on the grid of the cube."""
    if not isinstance(s1, xr.Dataset):
        raise XSentinelError(f"s1 is a {type(s1).__name__}; give a Dataset with VV and VH (time, y, x), dB, such as xsentinel.open gives")
    bands = select_bands(s1, POLARISATIONS, "the radar, s1,")
    if "time" not in bands[0].dims or "time" not in bands[0].coords:
        raise TimeError("s1 has no dimension time with a coordinate, so that nothing tells when it was; s1.expand_dims(time=[...])")
    _check_grid(s1, lai)
    return [_decoded(band) for band in bands]


def _check_grid(s1: xr.Dataset, lai: xr.DataArray) -> None:
    """Check that radar lies on the cube's grid."""
    import rioxarray  # noqa: F401  (registers .rio)

    how = "bring it there: xsentinel.open(s1, like=cube)"
    if s1.rio.crs is not None and lai.rio.crs is not None and s1.rio.crs != lai.rio.crs:
        raise GridError(f"s1 is in {s1.rio.crs.to_string():.40} and the cube in {lai.rio.crs.to_string():.40}; {how}")
    for dim in ("y", "x"):
        if s1.sizes[dim] != lai.sizes[dim]:
            found = " and ".join(f"{name} ({o.sizes['y']} × {o.sizes['x']})" for name, o in (("s1", s1), ("the cube", lai)))
            raise GridError(f"{found} differ in size (y × x); {how}")
        if dim not in s1.coords or dim not in lai.coords:
            continue
        own, other = lai[dim].values, s1[dim].values
        step = abs(own[-1] - own[0]) / max(own.size - 1, 1) or 1.0
        if not np.allclose(own, other, rtol=0, atol=step / 100):
            raise GridError(f"{dim} of s1 runs from {other[0]} to {other[-1]} and that of the cube from {own[0]} to {own[-1]}; {how}")


def _decoded(band: xr.DataArray) -> xr.DataArray:
    """Give decibels as float32."""
    if band.attrs.get("backscatter") == "power" or str(band.attrs.get("units", "dB")).lower() in ("1", "power", "linear"):
        raise UnitsError(f"{band.name} of s1 is power by its attributes; give decibels: 10 * np.log10(s1.{band.name})")
    code = encoding_of(band)
    kept = {k: v for k, v in band.attrs.items() if k not in STORAGE_ATTRS}
    if band.dtype.kind in "iu":
        band = band.where(band != code.nodata).astype(np.float32) * np.float32(code.scale) + np.float32(code.offset)
    return band.astype(np.float32).assign_attrs(kept)


def _at(band: xr.DataArray, pairs: Pairs, lai: xr.DataArray) -> xr.DataArray:
    """Give radar at the dates of the cube, NaN where there is none."""
    chosen = band.isel(time=np.maximum(pairs.index, 0)).reset_coords(drop=True).drop_vars("time")
    chosen = chosen.where(xr.DataArray(pairs.index >= 0, dims="time"))
    return chosen.assign_coords({d: lai[d] for d in ("time", "y", "x") if d in lai.coords}).astype(np.float32)


def _classes(cube: xr.Dataset, lai: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray, str]:
    """Give leaf area where it is known, NaN elsewhere; the class of the mask; and what was assumed."""
    if "SCL" not in cube:
        classes = lai.notnull().astype(np.float32) * np.float32(ASSUMED)
        return lai, classes, "class of the mask = vegetation where there is leaf area: the cube has no SCL"
    scl = cube["SCL"].reset_coords(drop=True)
    scl = (scl.fillna(0) if scl.dtype.kind == "f" else scl).astype(np.uint8)
    known = lai.where(~scl.isin(np.array(scene_class_values(CLOUDY_CLASSES), np.uint8)))
    coded = xr.apply_ufunc(_coded, scl, known, dask="parallelized", output_dtypes=[np.float32])
    return known, coded, ""


def _coded(scl: Any, known: Any) -> Any:
    """Give the classes of a block: hidden where leaf area is not known, but for shadow, which hides it by itself."""
    table = np.zeros(256, np.float32)
    for scene_class in SCENE_CLASSES:
        if scene_class.meaning in MASK_CLASSES:
            table[scene_class.value] = MASK_CLASSES.index(scene_class.meaning)
    classes = table[scl]
    return np.where(np.isnan(known) & (classes != SHADOW), np.float32(0), classes)


def fuse(
    cube: xr.Dataset,
    given: Inputs,
    model: Model,
    sampling: Sampling,
    execution: Execution,
    *,
    angles: Mapping[str, object] | None = None,
    platform: object = None,
    everywhere: bool = False,
) -> dict[str, xr.DataArray]:
    """Run a network of radar and past leaf area over a cube; labelled, lazy if the cube is.

    Parameters
    ----------
    cube : xarray.Dataset
        Where planes beside those of the inputs come from, in the order of time.
    given : Inputs
        As `gather` makes them.
    model : Model
        One whose card tells how it chooses dates.
    sampling : Sampling
    execution : Execution
    angles, platform
        As `xsentinel.inference.infer`.
    everywhere : bool
        Whether the network answers also where leaf area is known, which it is not told of: to compare the two.

    Returns
    -------
    dict
        Each output of the card (time, y, x), float32: leaf area where it is known, unless the network answers everywhere, and NaN where the
        network cannot be run; with ``_std`` of it if sampled, NaN where it was not run; and ``days_to_observation``, float32, since leaf
        area was last known, 0 where it is, NaN before it ever was.

    Raises
    ------
    GridError, XSentinelError
        If the cube does not fit the model.
    """
    card = model.card
    if card.fusion is None or "lai" not in [output.name for output in card.outputs]:
        raise XSentinelError(
            f"model {card.name} takes no radar and past leaf area: its card says {', '.join(card.bands)}; give one of train_fusion"
        )
    check_pixels(cube, card)
    sampling.check()
    execution.check()
    beside = {c.name: geometry_plane(c, cube, angles, platform) for c in card.geometry}
    make = partial(_fuser, model, sampling, execution, given.dates, everywhere)
    layers = contiguous_in_time(given.layers, plan_cube(given.layers, given.layers[0].sizes["time"]))
    data = run(make, card, layers, [plane_values(c, beside[c.name]) for c in card.geometry])
    said = provenance(model, sampling, execution) | _said(given, card.fusion)
    maps = label(data, given.layers, card, said, bool(sampling.samples))
    mapping = grid_mapping_name(given.layers[0])
    attrs = {"long_name": "time since the pixel was last observed", "units": "day"} | ({"grid_mapping": mapping} if mapping else {})
    like = given.layers[0]
    maps["days_to_observation"] = xr.DataArray(data[:, -1], like.coords, like.dims, "days_to_observation", attrs)
    return maps


def _fuser(
    model: Model, sampling: Sampling, execution: Execution, dates: Dates, everywhere: bool, *, encodings: Any, n_threads: int
) -> Fuser:
    """Make the predictor; its planes are in their own units, however the layers are stored."""
    codes = (Encoding(),) * len(model.card.bands)
    return Fuser(model, codes, sampling.samples, sampling.seed, execution, n_threads, dates=dates, everywhere=everywhere)


def _said(given: Inputs, inputs: FusionInputs) -> dict[str, Any]:
    """Say how dates were chosen, for the attributes."""
    without = int((given.pairs.index < 0).sum())
    said = {"s1_tolerance_days": inputs.s1_tolerance_days, "dates_without_s1": without}
    return said | ({"assumed": given.assumed} if given.assumed else {})
