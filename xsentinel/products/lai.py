"""Leaf area index, by SL2P or by a trained network with its uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, Literal, TypedDict, Unpack

import numpy as np
import xarray as xr

from xsentinel.blocks.model import SHORT, Model, load_model
from xsentinel.blocks.predict import Execution, Precision
from xsentinel.errors import XSentinelError, check_numbers, did_you_mean
from xsentinel.fusion import SOURCES, fuse, gather
from xsentinel.inference import Sampling, infer, provenance
from xsentinel.models.card import Calibration, Card
from xsentinel.sl2p import DomainRule, estimate
from xsentinel.version import SOURCE

Interval = Literal["predictive", "mean"]

WANG = "Wang et al. (2023), Leaf area index estimation from multi-temporal Sentinel 1 and 2 satellite data using deep learning"


class Inference(TypedDict, total=False):
    """Options of networks; SL2P takes none of them."""

    interval: Interval
    seed: int
    precision: Precision
    device: str


@dataclass(frozen=True)
class IntervalRule:
    """Which interval is asked for."""

    kind: Interval = "predictive"
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if self.kind not in ("predictive", "mean"):
            raise XSentinelError(
                f"interval is {self.kind!r}; it is 'predictive' (where SL2P's answer lies) or 'mean' (how well the mean of the "
                f"samples is known)"
            )
        check_numbers(confidence=self.confidence)
        if not 0 < self.confidence < 1:
            raise XSentinelError(f"confidence is {self.confidence:g}; it is a share between 0 and 1, such as 0.95")


def lai(
    ds: xr.Dataset,
    model: str | PathLike[str] | Model = "sl2p",
    *,
    s1: xr.Dataset | None = None,
    samples: int = 0,
    confidence: float = 0.95,
    resolution: int | None = None,
    domain: DomainRule = "flag",
    angles: Mapping[str, object] | None = None,
    platform: str | Sequence[str] | None = None,
    **inference: Unpack[Inference],
) -> xr.Dataset:
    r"""Estimate leaf area index.

    Half the one-sided green leaf area per ground area of the whole canopy. By default by the neural network
    of the SNAP biophysical processor (SL2P), which overestimates above LAI 4 over crops and underestimates
    forest (Fernandes et al. 2023). ``model="unet"`` runs a U-Net that learnt SL2P's answers (Albughdadi et
    al. 2020, but thinner, and with angles and platform as inputs, on which SL2P's answer depends); its Monte
    Carlo dropout gives the uncertainty of the model.

    With ``samples`` T > 0 each channel mask, a function of seed and sample alone, is one network; of their
    answers the mean :math:`\bar y` and the standard deviation :math:`\sigma` are kept. Two intervals:

    .. math:: \text{predictive: } \bar y \pm q\,\sqrt{a^2 + (b\sigma)^2 + (c\bar y)^2}, \qquad
              \text{mean: } \bar y \pm t_{T-1,\,(1+\gamma)/2}\;\sigma/\sqrt{T}

    ``model="fusion"`` maps every date of a series: SL2P's answer where the date is clear, and where clouds hide the
    ground that of a network that sees Sentinel-1 (``s1``) and past leaf area (Wang et al. 2023). Where SCL says
    no data, defective, cloud, shadow or cirrus, or the bands are NaN, a pixel is hidden; grow the mask before by
    ``cube.s2.mask_clouds(dilate=60)``. Nothing after a date is used for it, so that the latest date is as good as
    any, and a map does not change when the series goes on. What the network does not know is the next clear
    date: where that is at hand, `fill_gaps` on leaf area may come nearer.

    *predictive* holds SL2P's answer with the confidence asked for, as calibrated on places that the network
    was not trained on (its coverage stands on the card). *mean* says how well T samples fix their own mean,
    two-sided (t = 2.045 for T = 30 and 95 %; the paper's 1.699 is the one-sided point). Neither knows SL2P's
    own error.

    Parameters
    ----------
    ds : xarray.Dataset
        A cube: bands (time, y, x), float32 reflectance [1] or uint16 as stored with ``scale_factor``;
        any of the dims may be missing. For SL2P see `biophysical`. For networks the bands, pixel size and
        angles of their card: ``unet`` takes B02 … B8A, B11, B12 at 20 m, ``platform`` and ``sza``, and where
        there are any ``vza`` and ``raa``. ``fusion`` takes what SL2P takes, ``SCL`` and dates.
    model : {"sl2p", "unet", "fusion"}, path or Model
        The estimator: a name, or a model of your own as `xsentinel.load_model` finds it.
    s1 : xarray.Dataset, optional
        Of ``fusion``: ``VV`` and ``VH`` (time, y, x), backscatter in dB, at dates of its own on the grid of the cube,
        as ``xsentinel.open(path, like=cube)`` gives. Each date takes the nearest pass within the days that the
        model's card allows; ``radar_time`` tells which.
    samples : int
        Monte Carlo samples; 0 makes one pass with nothing dropped. SL2P has none.
    confidence : float
        Of the interval, between 0 and 1.
    resolution, domain
        Of SL2P, also where it is part of ``fusion``, as `biophysical`.
    angles, platform
        As `biophysical`, where the cube does not tell; they go before what it tells.
    **inference
        Of networks only. ``interval``: "predictive" (default) or "mean"; ``seed``: of the masks, 0;
        ``precision``: "fp32" (default), "bf16" or "auto" (bfloat16 where the device multiplies in it, else
        fp32; the attribute ``precision`` says which it was); ``device``: "cpu" (default), "cuda", "cuda:1".

    Returns
    -------
    xarray.Dataset
        ``lai`` (float32, m² m⁻², NaN where an input is missing); lazy if the input is, on the same grid with
        the same coordinates. From SL2P with ``lai_flags`` (uint8, see `biophysical`); with samples > 0 with
        ``lai_std``, ``lai_lower`` and ``lai_upper`` (float32, m² m⁻²). Networks keep to 0 … 8, as SL2P's
        training data do. From ``fusion`` in the order of time, with ``source`` (uint8: 0 none, 1 observed, 2 fused),
        ``days_to_observation`` (float32, days since the pixel was clear, 0 where it is, NaN before it ever was) and
        the coordinate ``radar_time``; of samples only where it is fused.

    Raises
    ------
    XSentinelError
        As `biophysical`; or if the model is not known, does not fit the cube, or is asked for what it has not.
    BandError, GridError, TimeError, UnitsError
        If ``s1`` lacks VV or VH, lies on another grid, has no date near those of the cube, or is power.

    References
    ----------
    Albughdadi et al. (2020), Towards a massive Sentinel-2 LAI time-series production using 2-D convolutional
    networks, hal-02551143. Fernandes et al. (2023), Remote Sensing of Environment 292.
    Wang et al. (2023), Leaf area index estimation from multi-temporal Sentinel 1 and 2 satellite data using deep
    learning.

    Examples
    --------
    >>> import xsentinel as xs
    >>> cube = xs.sample("zurich", resolution=20)
    >>> round(float(cube.s2.lai().lai.median()), 1)
    1.9
    >>> maps = cube.s2.lai(model="unet", samples=30, confidence=0.95)
    >>> list(maps)
    ['lai', 'lai_std', 'lai_lower', 'lai_upper']
    >>> round(float(maps.lai.median()), 1)
    1.9
    """
    _check_names(inference)
    teacher: dict[str, Any] = {"resolution": resolution, "domain": domain, "angles": angles, "platform": platform}
    if isinstance(model, str) and model == "sl2p":
        _refuse("SL2P gives one answer and its flags", {"samples": samples or None, "s1": s1, **inference}, "model='unet'")
        return estimate(ds, ("lai",), **teacher)
    found = _find(model)
    how = _How(
        IntervalRule(inference.get("interval", "predictive"), confidence),
        Sampling(samples, inference.get("seed", 0)),
        Execution(inference.get("device", "cpu"), inference.get("precision", "fp32")),
    )
    if samples:
        _calibration(found.card, how.rule)
    if found.card.fusion is not None:
        return _under_clouds(ds, s1, found, how, teacher)
    given = {"resolution": resolution, "domain": None if domain == "flag" else domain, "s1": s1}
    _refuse("a network takes the inputs of its card", given, "model='sl2p', or for s1 model='fusion'")
    maps = infer(ds, found, how.sampling, how.execution, angles, platform)
    if samples:
        maps |= _interval(maps, found.card, how.rule, samples)
    return xr.Dataset(maps, attrs=_scene_attrs() | provenance(found, how.sampling, how.execution))


@dataclass(frozen=True)
class _How:
    """How a network is run, and what is made of its samples."""

    rule: IntervalRule
    sampling: Sampling
    execution: Execution


def _under_clouds(ds: xr.Dataset, s1: xr.Dataset | None, model: Model, how: _How, teacher: Mapping[str, Any]) -> xr.Dataset:
    """Give SL2P's answer where a date is clear, and the network's where it is not."""
    card = model.card
    if s1 is None or card.fusion is None:
        raise XSentinelError(
            f"model {card.name} sees radar where clouds hide the ground; give it: lai(model=..., s1=xsentinel.open(path, like=ds))"
        )
    if "time" in ds.indexes and not ds.indexes["time"].is_monotonic_increasing:
        ds = ds.sortby("time")
    seen = estimate(ds, ("lai",), **teacher)
    given = gather(ds, seen["lai"], s1, card.fusion)
    maps = fuse(ds, given, model, how.sampling, how.execution, angles=teacher["angles"], platform=teacher["platform"])
    if how.sampling.samples:
        maps |= _interval(maps, card, how.rule, how.sampling.samples)
    maps["lai"] = maps["lai"].assign_attrs(_joined_attrs(maps, seen))
    maps["source"] = _source(maps["lai"], maps["days_to_observation"])
    radar_time = ("time", given.radar_times, {"long_name": "time of the radar of each date"})
    attrs = _scene_attrs() | provenance(model, how.sampling, how.execution) | {"source": "Copernicus Sentinel-1 SAR and Sentinel-2 MSI"}
    attrs["references"] = f"{WANG}; {seen.attrs['references']}"
    order = sorted(maps, key=lambda name: not name.startswith("lai"))
    return xr.Dataset({name: maps[name] for name in order}, attrs=attrs).assign_coords(radar_time=radar_time)


def _joined_attrs(maps: Mapping[str, xr.DataArray], seen: xr.Dataset) -> dict[str, Any]:
    """Give the attributes of observed and fused leaf area together."""
    used = {k: seen["lai"].attrs[k] for k in ("coefficient_sets", "coefficients_digest")}
    layers = "source days_to_observation"
    spread = maps["lai"].attrs.get("ancillary_variables")
    comment = "SL2P where the date is clear, else by radar at the date and leaf area before it; nothing after the date is used"
    return used | {"ancillary_variables": f"{layers} {spread}" if spread else layers, "comment": comment}


def _source(lai: xr.DataArray, days: xr.DataArray) -> xr.DataArray:
    """Give where each value comes from, uint8."""
    codes = np.arange(len(SOURCES), dtype=np.uint8)
    mapping = {k: v for k, v in days.attrs.items() if k == "grid_mapping"}
    source: xr.DataArray = xr.where(days == 0, codes[1], lai.notnull().astype(np.uint8) * codes[2]).astype(np.uint8).rename("source")
    source.attrs = {"long_name": "where leaf area index comes from", "flag_values": codes, "flag_meanings": " ".join(SOURCES)} | mapping
    return source


OPTIONS = ("model", "s1", "samples", "confidence", "resolution", "domain", "angles", "platform", *Inference.__annotations__)


def _check_names(inference: Mapping[str, object]) -> None:
    """Refuse options that nothing takes: a misspelt one would be passed over, and a job run without what it asks for."""
    for name in inference.keys() - Inference.__annotations__.keys():
        raise XSentinelError(f"lai has no option {name!r}{did_you_mean(name, OPTIONS)}; it takes {', '.join(OPTIONS)}")


def _refuse(why: str, given: Mapping[str, object], instead: str) -> None:
    """Refuse options that an estimator does not have, instead of passing over them."""
    names = [name for name, value in given.items() if value is not None]
    if names:
        raise XSentinelError(f"{', '.join(names)} cannot be given here: {why}; leave out, or take {instead}")


def _find(model: str | PathLike[str] | Model) -> Model:
    """Find a model, and check that it estimates LAI."""
    if isinstance(model, str) and "/" not in model and "." not in model and model not in (*SHORT, *SHORT.values()):
        raise XSentinelError(
            f"model {model!r} is not known; the models for lai are 'sl2p', {', '.join(map(repr, SHORT))}, or the path of one of your own"
        )
    found = load_model(model)
    if "lai" not in [output.name for output in found.card.outputs]:
        estimated = ", ".join(o.name for o in found.card.outputs) or "classes"
        raise XSentinelError(
            f"model {found.card.name} estimates {estimated}, not lai; the models for lai are 'sl2p', {', '.join(map(repr, SHORT))}"
        )
    return found


def _calibration(card: Card, rule: IntervalRule) -> Calibration | None:
    """Give what a predictive interval needs, None for that of the mean."""
    if rule.kind == "mean":
        return None
    if card.calibration is None:
        raise XSentinelError(f"model {card.name} was not calibrated, so it has no predictive interval; take interval='mean'")
    levels = [level for level, _ in card.calibration.quantiles]
    if not levels[0] <= rule.confidence <= levels[-1]:
        raise XSentinelError(
            f"confidence is {rule.confidence:g}; model {card.name} was calibrated from {levels[0]:g} to {levels[-1]:g}: take one between"
        )
    return card.calibration


def _interval(maps: Mapping[str, xr.DataArray], card: Card, rule: IntervalRule, samples: int) -> dict[str, xr.DataArray]:
    """Give the lower and the upper end of the interval."""
    from scipy.special import stdtrit

    mean, spread, calibration = maps["lai"], maps["lai_std"], _calibration(card, rule)
    if calibration is None:
        half = spread * float(stdtrit(samples - 1, (1 + rule.confidence) / 2) / samples**0.5)
    else:
        half = calibration.half_width(mean, spread, rule.confidence)
    output = next(o for o in card.outputs if o.name == "lai")
    ends = {"lai_lower": mean - half, "lai_upper": mean + half}
    words = {"predictive": "interval that holds the answer of SL2P", "mean": "confidence interval of the mean of the samples"}[rule.kind]
    for name, end in ends.items():
        shared = {k: v for k, v in mean.attrs.items() if k not in ("long_name", "standard_name")}
        side = name.rpartition("_")[2]
        end.attrs = {"long_name": f"{side} end of the {rule.confidence:.0%} {words}"} | shared
        end.attrs |= {"interval": rule.kind, "confidence": rule.confidence}
    mean.attrs["ancillary_variables"] = "lai_std lai_lower lai_upper"
    return {name: end.clip(output.minimum, output.maximum, keep_attrs=True).rename(name) for name, end in ends.items()}


def _scene_attrs() -> dict[str, str]:
    return SOURCE | {"references": "Albughdadi et al. (2020), hal-02551143"}
