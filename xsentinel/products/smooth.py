"""Smoothing of class maps: a majority filter, or Bayes' rule on the probabilities of classes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.blocks.tiles import Tiling, map_tiles
from xsentinel.cube import check_dims, grid_mapping_name, nodata_code
from xsentinel.errors import BandError, GridError, UnitsError, XSentinelError
from xsentinel.inference import CLASS_LAYERS
from xsentinel.kernels.majority import check_size, smooth_majority
from xsentinel.kernels.probabilities import check_prior, describe, smooth_bayes
from xsentinel.kernels.threads import n_cores

Method = Literal["majority", "bayes"]
Variance = float | Sequence[float] | Mapping[str, float]

SIZES = {"majority": 3, "bayes": 9}
"""Methods, and the side of their window in pixels."""


def smooth(
    ds: xr.Dataset,
    method: Method = "majority",
    *,
    size: int | None = None,
    variance: Variance = 20.0,
    share: float = 0.5,
) -> xr.Dataset:
    r"""Smooth a map of classes: less salt and pepper, at the price of what is narrower than half a window.

    "majority" gives a pixel the class that has more votes in the window around it than each other class; if no
    class has, it keeps its own. "bayes" smooths ``probability`` class by class: with the logit :math:`x` of a
    pixel, and mean m and variance :math:`s^2` of the highest ``share`` of the logits in its window as prior,

    .. math:: \hat x = \frac{s^2 x + \sigma^2 m}{s^2 + \sigma^2}

    so that a pixel follows neighbours that agree, and keeps its own where they differ, as at the border of a
    field (Camara et al. 2024, as in sits; here the window ends at the edge of the scene, gaps are not filled, and
    probabilities are divided by their sum).

    Parameters
    ----------
    ds : xarray.Dataset
        ``class`` (y, x) or (time, y, x), integer codes, as of `crops`; no data is its ``_FillValue``, or 0 if that is
        none of its ``flag_values``. For "bayes" also ``probability`` with one dimension more, its classes in the
        order of ``class_code`` along it, or of ``class.flag_values``. Lazily, block by block with a halo of half a window.
    method : {"majority", "bayes"}
    size : int, pixels, optional
        Side of the window, odd; 3 for "majority", 9 for "bayes" by default.
    variance : float, sequence or mapping
        Of "bayes": :math:`\sigma^2` of logits, of all classes or one each (by name, 20 for those not named);
        greater is smoother.
    share : float
        Of "bayes": share of the window's logits, the highest, that make the prior; above 0 to 1.

    Returns
    -------
    xarray.Dataset
        The same with a smooth ``class``, nodata as it was. From "majority", ``confidence`` becomes the
        probability of the new class where the dataset has ``probability``, else NaN where the class has changed,
        as ``margin`` does; the other layers stay what the model said. From "bayes", ``probability`` (float32 [1],
        sums to 1), ``confidence``, ``margin`` and ``entropy`` (float32 [1], as of `crops`) are new.

    Raises
    ------
    BandError
        If ``class`` or ``probability`` is missing.
    GridError, UnitsError, XSentinelError
        If dims or dtypes are others, the classes of the two do not match, or an option is not possible.

    References
    ----------
    Camara et al. (2024), Bayesian inference for post-processing of remote-sensing image classification, Remote
    Sensing 16, 4572.

    Examples
    --------
    >>> import xsentinel as xs
    >>> land = xs.simulate.landscape((60, 80), ["2019-06-01"], seed=1)
    >>> noisy = land.labels(share=1, wrong=0.1).to_dataset(name="class")
    >>> noisy["class"][20, 30] = 16
    >>> int(noisy.s2.smooth(size=5)["class"][20, 30]) != 16
    True
    """
    side = _side(method, size)
    if "class" not in ds.variables:
        raise BandError(f"smooth needs a map called class; the dataset has {', '.join(map(str, ds.variables)) or 'nothing'}: rename it")
    if method == "bayes":
        return _by_probability(ds, side, variance, share)
    smoothed = smooth_map(ds["class"], size=side)
    return ds.assign({"class": smoothed.variable, **_of_new_class(ds, smoothed)})


def smooth_map(
    da: xr.DataArray,
    method: Method = "majority",
    *,
    size: int | None = None,
    variance: Variance = 20.0,
    share: float = 0.5,
) -> xr.DataArray:
    """Smooth one map of classes, or the probabilities of classes; see `smooth` of a Dataset for both at once.

    Parameters
    ----------
    da : xarray.DataArray
        For "majority" classes (y, x) or (time, y, x), integer codes, of which no data (as in `smooth`) neither
        votes nor is replaced; for "bayes" probabilities with a dimension of classes more, float [1].
    method, size, variance, share
        As `smooth`; ``variance`` by name only of a Dataset.

    Returns
    -------
    xarray.DataArray
        Classes of the same dtype, or probabilities, float32 [1], that sum to 1; lazy if the input is.

    Raises
    ------
    GridError, UnitsError, XSentinelError
        As `smooth`.

    Examples
    --------
    >>> field = xr.DataArray(np.full((5, 5), 4, np.uint8), dims=("y", "x"))
    >>> field[2, 2] = 9
    >>> int(field.s2.smooth()[2, 2])
    4
    """
    side = _side(method, size)
    if method == "bayes":
        if isinstance(variance, Mapping):
            raise XSentinelError("variance by name needs the names in class of a Dataset; give one number, or one a class in order")
        return _smooth_probability(da, side, variance, share)
    _check_map(da)
    run = partial(smooth_majority, size=side, nodata=nodata_code(da), n_threads=_threads(da))
    out = da.copy(data=map_tiles(run, da.data, Tiling(da.dtype, side // 2)))
    return out.assign_attrs(smoothing=f"majority of {side} × {side} pixels")


def _side(method: str, size: int | None) -> int:
    if method not in SIZES:
        raise XSentinelError(f"method {method!r} is not known; the methods are {', '.join(SIZES)}")
    return check_size(SIZES[method] if size is None else size)


def _threads(da: xr.DataArray) -> int:
    return n_cores() if da.chunks is None else 1


def _check_map(da: xr.DataArray) -> None:
    if not {"y", "x"} <= set(da.dims) <= {"time", "y", "x"}:
        raise GridError(f"{da.name} has dims {', '.join(map(str, da.dims))}; a map of classes has (y, x) or (time, y, x)")
    check_dims([da])
    if da.dtype.kind not in "iu":
        raise UnitsError(
            f"{da.name} holds {da.dtype}; a majority is of integer codes: open with mask_and_scale=False, or "
            f"da.fillna(0).astype('uint8').assign_attrs(_FillValue=0) if 0 is no class"
        )


def _class_dim(probability: xr.DataArray) -> Hashable:
    """Find the dimension of classes: the one that is not time, y or x."""
    rest = [d for d in probability.dims if d not in ("time", "y", "x")]
    if len(rest) != 1 or not {"y", "x"} <= set(probability.dims):
        raise GridError(f"{probability.name} has dims {', '.join(map(str, probability.dims))}; probabilities have (class, y, x)")
    if probability.dtype.kind != "f":
        raise UnitsError(f"{probability.name} holds {probability.dtype}; probabilities are floats between 0 and 1: scale them first")
    return rest[0]


def _smooth_probability(probability: xr.DataArray, side: int, variance: float | Sequence[float], share: float) -> xr.DataArray:
    """Smooth probabilities, dims in their own order."""
    dim = _class_dim(probability)
    ordered = probability.transpose(*(d for d in probability.dims if d == "time"), dim, "y", "x")
    ordered = ordered.chunk({dim: -1}) if ordered.chunks is not None else ordered
    spread = check_prior(ordered.sizes[dim], variance, share)
    run = partial(smooth_bayes, size=side, variance=spread, share=share, n_threads=_threads(probability))
    out = ordered.copy(data=map_tiles(run, ordered.data, Tiling(np.float32, side // 2)))
    said = f"bayes, {side} × {side} pixels, variance {variance}, share {share:g}"
    return out.transpose(*probability.dims).assign_attrs(smoothing=said)


def _by_probability(ds: xr.Dataset, side: int, variance: Variance, share: float) -> xr.Dataset:
    """Smooth the probabilities, and take class, confidence and entropy from them."""
    if "probability" not in ds.variables:
        raise BandError("method 'bayes' needs the probability of all classes; map with it (probabilities=True), or take method='majority'")
    old = ds["class"]
    _check_map(old)
    dim = _class_dim(ds["probability"])
    codes, names = _codes(ds, dim)
    chances = _smooth_probability(ds["probability"], side, _by_class(variance, names), share)
    lazily: Any = {"dask": "parallelized"}
    place, *layers = xr.apply_ufunc(
        describe, chances.variable, input_core_dims=[[dim]], output_core_dims=[[]] * 4,
        output_dtypes=[np.intp, np.float32, np.float32, np.float32], **lazily,
    )  # fmt: skip
    chosen = xr.apply_ufunc(_coded, place, layers[0], old.variable, kwargs={"codes": codes}, output_dtypes=[old.dtype], **lazily)
    attrs = old.attrs | {"smoothing": chances.attrs["smoothing"]}
    return ds.assign({
        # variables, as a DataArray of probabilities may have the old map of classes among its coordinates
        "probability": chances.variable,
        "class": (old.dims, chosen.transpose(*old.dims).data, attrs, old.encoding),
        **{name: _layer(ds, name, values) for name, values in zip(("confidence", "margin", "entropy"), layers, strict=True)},
    })  # fmt: skip


def _codes(ds: xr.Dataset, dim: Hashable) -> tuple[npt.NDArray[Any], list[str]]:
    """Give the codes and names of the classes in the order of their probabilities."""
    attrs, n = ds["class"].attrs, ds["probability"].sizes[dim]
    nodata = nodata_code(ds["class"])
    flags = zip(np.atleast_1d(attrs.get("flag_values", [])), str(attrs.get("flag_meanings", "")).split(), strict=False)
    names = {int(code): name for code, name in flags if code != nodata}
    codes = [int(c) for c in ds["class_code"].values] if "class_code" in ds.coords and ds["class_code"].dims == (dim,) else list(names)
    if len(codes) != n or not set(codes) <= set(names):
        raise XSentinelError(f"class has {len(names)} flag_values with names, and probability {n} classes; give one flag to each, in order")
    return np.array(codes, ds["class"].dtype), [names[code] for code in codes]


def _by_class(variance: Variance, names: Sequence[str]) -> float | Sequence[float]:
    if not isinstance(variance, Mapping):
        return variance
    unknown = [name for name in variance if name not in names]
    if unknown:
        raise XSentinelError(f"variance names {', '.join(unknown)}, which are none of the classes {', '.join(names)}; name one of these")
    return [float(variance.get(name, 20.0)) for name in names]


def _coded(place: npt.NDArray[Any], confidence: npt.NDArray[Any], old: npt.NDArray[Any], codes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Give the code of the most probable class; where there are no probabilities, what was there."""
    return np.where(np.isnan(confidence), old, codes[place])


def _layer(ds: xr.Dataset, name: str, values: xr.Variable) -> xr.Variable:
    """Put on the attributes of the layer of that name, if there is one, else its usual ones."""
    dims, mapping = ds["class"].dims, grid_mapping_name(ds)
    usual = {"long_name": CLASS_LAYERS[name], "units": "1"} | ({"grid_mapping": mapping} if mapping else {})
    said = (ds[name].attrs, ds[name].encoding) if name in ds else (usual, {})
    return xr.Variable(dims, values.transpose(*dims).data, *said)


def _of_new_class(ds: xr.Dataset, smoothed: xr.DataArray) -> dict[str, xr.Variable]:
    """Give confidence and margin, as far as they are there, for the classes that a majority chose."""
    new, layers = smoothed.variable, {}
    for name in ("confidence", "margin"):
        if name in ds:
            old = ds[name].variable
            how: Any = {"dask": "parallelized", "output_dtypes": [old.dtype]}
            layers[name] = xr.apply_ufunc(_unchanged, old, ds["class"].variable, new, **how)
    if "confidence" in ds and "probability" in ds:
        dim = _class_dim(ds["probability"])
        chances = ds["probability"].variable
        chances = chances.chunk({dim: -1}) if chances.chunks is not None else chances
        how = {"dask": "parallelized", "output_dtypes": [ds["confidence"].dtype], "kwargs": {"codes": _codes(ds, dim)[0]}}
        layers["confidence"] = xr.apply_ufunc(_chance_of, chances, new, input_core_dims=[[dim], []], **how)
    return {name: _layer(ds, name, values) for name, values in layers.items()}


def _unchanged(confidence: npt.NDArray[Any], old: npt.NDArray[Any], new: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.where(old == new, confidence, confidence.dtype.type(np.nan))


def _chance_of(probability: npt.NDArray[Any], classes: npt.NDArray[Any], codes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Give the probability of the class of each pixel; NaN where that is none of the codes."""
    order = np.argsort(codes)
    place = order[np.searchsorted(codes[order], classes).clip(0, codes.size - 1)]
    found = np.take_along_axis(probability, place[..., None], -1)[..., 0]
    return np.where(codes[place] == classes, found, found.dtype.type(np.nan))
