"""Cloud masks: from scene classes, a probability or a mask of one's own, grown by metres; clear shares of dates."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

import numpy as np
import xarray as xr

from xsentinel.bands import BANDS, CLOUDY_CLASSES, scene_class_values
from xsentinel.blocks.grow import STILL, Part, grow
from xsentinel.blocks.pixels import map_pixels
from xsentinel.cube import DIMS, band_variables, check_dims, pixel_m
from xsentinel.errors import BandError, GridError, TimeError, UnitsError, XSentinelError, check_numbers
from xsentinel.kernels.mask import hide, is_one_of
from xsentinel.kernels.morphology import Shape as Shape  # the faces name it

Classes = Sequence[str | int] | str | int
Dilation = float | Mapping[str | int, float]
Mask = xr.DataArray | str | None

NO_DATA, SATURATED = scene_class_values(("no_data", "saturated_or_defective"))

PROBABILITY_NAMES = ("cld", "msk_cldprb", "cloud_probability")
"""Variables that hold cloud probability, lower case."""


def mask_clouds(
    ds: xr.Dataset,
    *,
    classes: Classes = CLOUDY_CLASSES,
    dilate: Dilation = 0,
    erode: float = 0,
    shape: Shape = "disk",
    mask: Mask = None,
    probability: float | None = None,
) -> xr.Dataset:
    """Make pixels NaN where the ground is hidden: by scene class, or a mask, or cloud probability.

    What any of the three hides is hidden. Then specks are removed (``erode``) and the rest grows
    (``dilate``), as cloud borders are thin and shadows are missed.

    Parameters
    ----------
    ds : xarray.Dataset
        A cube: bands (time, y, x), float32 reflectance [1] or integers as stored; ``SCL`` (time, y, x), uint8.
    classes : sequence of str or int, or one of them
        Scene classes to hide, by CF meaning or code; by default no data, saturated or defective, cloud
        shadow, clouds of medium and high probability and thin cirrus. ``()`` hides by the other masks
        alone; only then SCL need not be there.
    dilate : float or mapping, metres
        Hide also what lies within this distance (between pixel centres; less than a pixel adds nothing).
        One number holds for all that is hidden but no data, which is no cloud. A mapping gives metres for
        scene classes, ``"mask"`` and ``"probability"``, and 0 for what it does not name:
        ``{"cloud_high_probability": 100, "cloud_shadow": 60}``.
    erode : float, metres
        First keep only what is hidden to this distance all around, so that specks narrower than twice this
        vanish. What remains has lost as much at its border, which ``dilate`` should give back: a cloud
        grows by dilate − erode. What is eroded is the union of all that is hidden, but for no data and
        saturated or defective pixels, which are never uncovered. Beyond the scene all counts as hidden.
    shape : {"disk", "square"}
        Of the neighbourhood: Euclidean distance, or that along y and x, whichever is longer.
    mask : xarray.DataArray or str, optional
        Booleans, true where hidden, on the cube's grid, or the name of such a variable: (time, y, x),
        (y, x) for all dates, or (time) for whole dates. Codes of other programs become booleans by
        ``mask > 0`` (s2cloudless, OmniCloudMask).
    probability : float, per cent, optional
        Hide where the cloud probability ``CLD`` (also MSK_CLDPRB, cloud_probability; per cent, or a share
        if its ``units`` are "1") is greater; not where it is missing.

    Returns
    -------
    xarray.Dataset
        The cube with NaN in float bands, ``_FillValue`` in integer bands, where the mask holds; ``SCL``,
        radar, which sees through clouds, and all else unchanged. Lazy if the input is, with the same
        values for any chunks.

    Raises
    ------
    BandError
        If there is no SCL, mask, cloud probability or band, or a class is not known.
    GridError
        If metres are asked for without a CRS in metres and regular square pixels, or the mask is on another grid.
    UnitsError
        If an integer band has no ``_FillValue`` to write, or the mask is not of booleans.
    XSentinelError
        If metres, shape or probability are not possible.

    Examples
    --------
    >>> import xsentinel as xs
    >>> cube = xs.sample("romania")
    >>> bool(cube.B04.notnull().mean() > cube.s2.mask_clouds().B04.notnull().mean())
    True
    >>> wide = mask_clouds(cube, dilate={"cloud_high_probability": 100, "cloud_shadow": 60})
    >>> bool(cube.s2.mask_clouds().B04.notnull().mean() > wide.B04.notnull().mean())
    True
    """
    bands = band_variables(ds)
    names = [variable for name, variable in bands.items() if not BANDS[name].is_radar]
    if not bands:
        raise BandError(f"mask_clouds needs bands to mask; the dataset has {_names(ds)}. Mask these by your own: ds.where(clear)")
    hidden = _hidden(ds, names, _rules(classes, dilate, erode, shape, mask, probability))
    return ds.assign({name: _masked(ds[name], hidden) for name in names})


def clear_share(
    ds: xr.Dataset,
    *,
    classes: Classes = CLOUDY_CLASSES,
    dilate: Dilation = 0,
    erode: float = 0,
    shape: Shape = "disk",
    mask: Mask = None,
    probability: float | None = None,
) -> xr.DataArray:
    """Give the share of pixels of each date that `mask_clouds` leaves.

    Of all pixels of the cube, those outside the swath too, which are hidden as class no data; to count
    within the swath only, divide by the share with ``classes="no_data"``. Gaps that only the bands
    have, not the scene classes, are not counted.

    Parameters
    ----------
    ds : xarray.Dataset
        A cube; bands are not read and need not be there.
    classes, dilate, erode, shape, mask, probability
        As `mask_clouds`.

    Returns
    -------
    xarray.DataArray (time), float32 [1]
        Between 0 and 1; lazy if the input is. Without time, one number.

    Raises
    ------
    XSentinelError
        As `mask_clouds`.

    Examples
    --------
    >>> import xsentinel as xs
    >>> share = clear_share(xs.sample("romania"))
    >>> share.dims, int((share > 0.9).sum())
    (('time',), 29)
    """
    rules = _rules(classes, dilate, erode, shape, mask, probability)
    share = (1 - _hidden_share(ds, rules)).astype(np.float32).rename("clear_share")
    return share.assign_attrs(long_name="share of clear pixels", units="1", comment="of all pixels, those outside the swath too")


def drop_cloudy(
    ds: xr.Dataset,
    *,
    max: float = 0.5,  # noqa: A002  (drop_cloudy(max=0.5) reads as it is meant)
    classes: Classes = CLOUDY_CLASSES,
    dilate: Dilation = 0,
    erode: float = 0,
    shape: Shape = "disk",
    mask: Mask = None,
    probability: float | None = None,
) -> xr.Dataset:
    """Keep the dates of which at most a given share is hidden.

    The dates to keep must be known at once: on a lazy cube this computes the masks, in one pass over the
    scene classes (or what else they come from) and none over the bands. The dates kept are not masked;
    `mask_clouds` does.

    Parameters
    ----------
    ds : xarray.Dataset
        A cube with time.
    max : float
        Greatest share of hidden pixels, of all pixels as in `clear_share`, 0…1.
    classes, dilate, erode, shape, mask, probability
        As `mask_clouds`.

    Returns
    -------
    xarray.Dataset
        The cube at the dates kept; ``attrs["notes"]`` tells how many were dropped.

    Raises
    ------
    TimeError
        If there is no time or no date is left.
    XSentinelError
        If max is no share, or as `mask_clouds`.

    Examples
    --------
    >>> import xsentinel as xs
    >>> clear = drop_cloudy(xs.sample("romania"), max=0.1)
    >>> clear.sizes["time"], clear.attrs["notes"]
    (29, 'drop_cloudy dropped 37 of 66 dates, more than 10 % hidden')
    """
    check_numbers(max=max)
    if not 0 <= max <= 1:
        raise XSentinelError(f"max is {max!r}; it is the greatest share of hidden pixels, between 0 and 1, such as 0.5")
    if "time" not in ds.dims:
        raise TimeError("drop_cloudy chooses among dates; the dataset has no dimension time")
    share = _hidden_share(ds, _rules(classes, dilate, erode, shape, mask, probability)).compute()
    keep = np.flatnonzero(share.values <= max)
    if not keep.size:
        raise TimeError(
            f"none of the {share.size} dates has at most {100 * max:g} % hidden; the least is {100 * float(share.min()):.4g} %, "
            f"at {share['time'].values[share.values.argmin()]!s:.10}: raise max, or look at clear_share"
        )
    kept = ds.isel(time=keep)
    if keep.size == share.size:
        return kept
    note = f"drop_cloudy dropped {share.size - keep.size} of {share.size} dates, more than {100 * max:g} % hidden"
    return kept.assign_attrs(notes="; ".join(filter(None, [ds.attrs.get("notes"), note])))


@dataclass(frozen=True)
class _Rules:
    """What hides a pixel, and how far around it; checked."""

    metres: Mapping[str | int, float]
    """Dilation of each source: codes of scene classes, "mask", "probability"."""
    erode: float
    shape: Shape
    mask: Mask
    probability: float | None

    @property
    def codes(self) -> list[int]:
        return [s for s in self.metres if isinstance(s, int)]


def _rules(classes: Classes, dilate: Dilation, erode: float, shape: Shape, mask: Mask, probability: float | None) -> _Rules:
    """Check the options."""
    if shape not in ("disk", "square"):
        raise XSentinelError(f"shape is {shape!r}; give 'disk' or 'square'")
    check_numbers(probability=probability)
    if probability is not None and (not 0 <= probability <= 100 or 0 < probability < 1):
        raise XSentinelError(f"probability is {probability!r}; it is in per cent, 0 or 1 to 100, such as 40")
    codes = scene_class_values((classes,) if isinstance(classes, str | int) else tuple(classes))
    others = [k for k, given in {"mask": mask, "probability": probability}.items() if given is not None]
    metres = _metres((*codes, *others), dilate)
    return _Rules(metres, _distance("erode", erode), shape, mask, probability)


def _metres(sources: tuple[str | int, ...], dilate: Dilation) -> dict[str | int, float]:
    """Give the dilation of each source of the mask."""
    if not isinstance(dilate, Mapping):
        all_but_no_data = _distance("dilate", dilate)
        return {s: 0.0 if s == NO_DATA else all_but_no_data for s in sources}
    metres = dict.fromkeys(sources, 0.0)
    for name, value in dilate.items():
        source = name if name in ("mask", "probability") else scene_class_values((name,))[0]
        if source not in metres:
            raise XSentinelError(f"dilate names {name!r}, which is not among what is hidden: give it, by classes=, mask= or probability=")
        if metres[source] and metres[source] != value:
            raise XSentinelError(f"dilate names {name!r} twice, with {metres[source]:g} and {value} m; give one")
        metres[source] = _distance(f"dilate[{name!r}]", value)
    return metres


def _distance(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating) or not 0 <= value < np.inf:
        raise XSentinelError(f"{name} is {value!r}; give metres, 0 or more")
    return float(value)


def _names(ds: xr.Dataset) -> str:
    return ", ".join(map(str, ds.data_vars)) or "no variable"


def _hidden_share(ds: xr.Dataset, rules: _Rules) -> xr.DataArray:
    """Give the share of hidden pixels (time), float64: counts are whole, so any chunks give the same."""
    hidden = _hidden(ds, [], rules)
    spatial = [d for d in ("y", "x") if d in hidden.dims]
    share = hidden.sum(spatial) / int(np.prod([hidden.sizes[d] for d in spatial]))
    if "time" in ds.dims and "time" not in share.dims:
        share = share.expand_dims(time=ds.sizes["time"])
    return share.assign_coords({k: c for k, c in ds.coords.items() if set(c.dims) <= {"time"}})


def _hidden(ds: xr.Dataset, names: Sequence[Hashable], rules: _Rules) -> xr.DataArray:
    """Give where the ground is hidden: bool, with those of time, y, x that the masks have, without coordinates."""
    parts = _parts(ds, names, rules)
    moves = rules.erode or any(part.distance for part in parts)
    return grow(parts, rules.erode, rules.shape, pixel_m(ds, "dilate and erode") if moves else 1.0) if parts else xr.DataArray(False)


def _parts(ds: xr.Dataset, names: Sequence[Hashable], rules: _Rules) -> dict[Part, xr.DataArray]:
    """Give the parts of the mask, joined where they grow and shrink alike; all on the grid of the named bands."""
    used = [*names, *_class_variable(ds, rules), *([] if rules.probability is None else [_probability_variable(ds)])]
    if used:
        check_dims([ds[v] for v in used])
    codes: dict[Part, list[int]] = {}
    for code in rules.codes:
        codes.setdefault(Part(rules.metres[code], code in (NO_DATA, SATURATED)), []).append(code)
    masks = [(part, _of_classes(ds, alike)) for part, alike in codes.items()]
    if rules.mask is not None:
        given = _given_mask(ds, rules.mask)
        masks.append((Part(rules.metres["mask"], False) if "y" in given.dims else STILL, given))
    if rules.probability is not None:
        masks.append((Part(rules.metres["probability"], False), _probable(ds, rules.probability)))
    return {part: reduce(or_, [mask for other, mask in masks if other == part]) for part, _ in masks}


def _class_variable(ds: xr.Dataset, rules: _Rules) -> list[str]:
    if rules.codes and "SCL" not in ds:
        raise BandError(
            f"the cloud mask needs the scene classification SCL; the dataset has {_names(ds)}. Open it with the bands, "
            f"or hide by another mask alone: classes=(), mask=hidden; or by your own: ds.where(clear)"
        )
    return ["SCL"] if rules.codes else []


def _of_classes(ds: xr.Dataset, codes: list[int]) -> xr.DataArray:
    scl = ds["SCL"].fillna(0) if ds["SCL"].dtype.kind == "f" else ds["SCL"]  # NaN: what xarray makes of class 0, no data
    if scl.dtype == np.uint8:
        return _bare(map_pixels(is_one_of, scl, dtype=np.bool_, codes=tuple(codes)))
    return _bare(scl.isin(np.array(codes, scl.dtype)))


def _bare(values: xr.DataArray) -> xr.DataArray:
    """Take coordinates and attributes off."""
    return xr.DataArray(values.variable).drop_attrs()


def _given_mask(ds: xr.Dataset, mask: xr.DataArray | str) -> xr.DataArray:
    """Check the user's mask to be booleans on the cube's grid."""
    if isinstance(mask, str):
        if mask not in ds:
            raise BandError(f"mask {mask!r} is no variable of the dataset, which has {_names(ds)}; give one of them, or a DataArray")
        mask = ds[mask]
    if not isinstance(mask, xr.DataArray):
        raise XSentinelError(f"mask is a {type(mask).__name__}; give an xarray.DataArray with the cube's dims, or a variable's name")
    if mask.dtype != np.bool_:
        raise UnitsError(f"mask holds {mask.dtype}; give booleans, true where hidden: mask > 0, mask.isin([1, 2, 3]), probability > 0.4")
    if ("y" in mask.dims) != ("x" in mask.dims) or not all(d in DIMS and mask.sizes[d] == ds.sizes.get(d) for d in mask.dims):
        here = {d: ds.sizes[d] for d in DIMS if d in ds.sizes}
        raise GridError(f"mask is {dict(mask.sizes)} and the cube {here}; give the mask (time, y, x), (y, x) or (time) on the cube's grid")
    for dim in (str(d) for d in mask.dims if d in mask.coords and d in ds.coords):
        _check_same_places(ds, mask, dim)
    return _bare(mask)


def _check_same_places(ds: xr.Dataset, mask: xr.DataArray, dim: str) -> None:
    own, other = ds[dim].values, mask[dim].values
    if np.array_equal(own, other) or (dim != "time" and np.allclose(own, other, rtol=1e-9, atol=0)):
        return
    error = TimeError if dim == "time" else GridError
    raise error(
        f"the mask's coordinate {dim!r} runs from {other[0]} to {other[-1]}, the cube's from {own[0]} to {own[-1]}, or differs between: "
        f"bring the mask onto the cube's, such as mask.sel({dim}=ds.{dim}) or mask.rio.reproject_match(ds)"
    )


def _probability_variable(ds: xr.Dataset) -> Hashable:
    found = [v for v in ds.data_vars if str(v).lower() in PROBABILITY_NAMES]
    if len(found) != 1:
        what = f"both {found[0]!r} and {found[1]!r}; drop one of them" if found else f"{_names(ds)}; open it too, or give your own by mask="
        raise BandError(f"probability needs the cloud probability CLD (or MSK_CLDPRB, cloud_probability); the dataset has {what}")
    return found[0]


def _probable(ds: xr.Dataset, probability: float) -> xr.DataArray:
    """Give where the cloud probability, stored or decoded, is greater than a threshold in per cent."""
    values = ds[_probability_variable(ds)]
    attrs = values.attrs
    threshold = probability / 100 if attrs.get("units") == "1" else probability
    stored = round((threshold - float(attrs.get("add_offset", 0))) / float(attrs.get("scale_factor", 1)), 6)
    greater = values > (np.floor(stored).astype(int).item() if values.dtype.kind in "iu" else stored)
    nodata = attrs.get("_FillValue", attrs.get("missing_value"))
    return _bare(greater if nodata is None else greater & (values != nodata))


def _masked(band: xr.DataArray, hidden: xr.DataArray) -> xr.DataArray:
    """Give the band without what is hidden, with dtype and attributes as they are."""
    fill = np.nan if band.dtype.kind == "f" else band.attrs.get("_FillValue", band.attrs.get("missing_value"))
    if fill is None:
        raise UnitsError(
            f"{band.name} holds integers without _FillValue, so nothing can stand for what is masked; assign_attrs(_FillValue=0)"
        )
    return map_pixels(hide, band, hidden, dtype=band.dtype, fill=fill).transpose(*band.dims)
