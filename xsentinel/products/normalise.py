"""Bands brought to a common range by statistics of their values."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.bands import BANDS
from xsentinel.blocks.reduce import Reduction, reduce_blocks
from xsentinel.cube import (
    Encoding,
    band_variables,
    check_reflectance,
    encoding_of,
    grid_mapping_name,
    select_bands,
)
from xsentinel.errors import BandError, XSentinelError, check_numbers
from xsentinel.kernels.scale import standardise
from xsentinel.kernels.tally import SKETCH_ERROR, Summary, Tally, add_tallies, join_summaries, summarise, tally
from xsentinel.kernels.threads import n_cores
from xsentinel.statistics import METHODS, BandStatistics, Source, Statistics
from xsentinel.version import __version__

Method = Literal["percentile", "minmax", "zscore", "albughdadi", "stoian"]
Array = npt.NDArray[Any]

STOIAN = (3.0, 97.0)
ENDS = (0.0, 100.0)
CLIPPED = ("percentile", "stoian")


def statistics(ds: xr.Dataset, *, lower: float = 2, upper: float = 98, method: Method = "percentile") -> Statistics:
    """Compute statistics of every band over a whole cube, however large, in one pass.

    Values of 16-bit integers are counted one by one as stored, so their percentiles are exact: those of
    ``numpy.percentile`` of all valid values. Floats are counted in intervals of relative width 2⁻¹¹, so theirs
    have a relative error of at most 2⁻¹² = 0.024 %, which the record states. Counts add up: chunks, their order,
    threads and workers change no bit. A lazy cube is computed, all bands together, block by block.

    Parameters
    ----------
    ds : xarray.Dataset
        A cube: bands (time, y, x), reflectance or integers with ``scale_factor``; radar in dB. Gaps are left out.
    lower, upper : float, percent
        Percentiles, for the methods that take them.
    method : {"percentile", "minmax", "zscore", "albughdadi", "stoian"}
        What low and high are: percentiles of all values; the least and the greatest value; percentiles for
        information beside mean and standard deviation; the least lower and the greatest upper percentile of
        the images, one a date; the 3rd and 97th percentiles.

    Returns
    -------
    Statistics
        By band name; saves to JSON.

    Raises
    ------
    BandError
        If there is no band, or one has no valid value.
    UnitsError
        If integers have no ``scale_factor`` or floats are no reflectance.
    XSentinelError
        If the method is unknown or does not take the percentiles.

    References
    ----------
    M. Albughdadi et al. (2020), on leaf area index by U-Nets; A. Stoian et al. (2019), Land cover maps production
    with high resolution satellite image time series and convolutional neural networks, Remote Sensing 11, 1986.

    Examples
    --------
    >>> import xsentinel as xs
    >>> stats = statistics(xs.sample("zurich", mask_and_scale=False), lower=1, upper=99)
    >>> round(stats["B04"].low, 4), stats["B04"].error
    (..., 0.0)
    """
    asked = _percentiles(method, lower, upper)
    names = list(band_variables(ds))
    if not names:
        raise BandError(f"statistics need bands; the dataset has {', '.join(map(str, ds.data_vars)) or 'no variable'}")
    bands = [b if "time" in b.dims else b.expand_dims("time") for b in select_bands(ds, names, "statistics")]
    encodings = [encoding_of(b) for b in bands]
    exact_ends = asked == ENDS
    reductions = [_reduction(encoding, asked, exact_ends, method == "albughdadi") for encoding in encodings]
    parts = reduce_blocks([b.data for b in bands], reductions)
    by_band = {
        str(band.name): _band_statistics(band, encoding, join_summaries(found), exact_ends)
        for band, encoding, found in zip(bands, encodings, parts, strict=True)
    }
    shown = (float(lower), float(upper)) if method == "zscore" else asked
    return Statistics(by_band, method, *shown, method in CLIPPED, _source(ds, bands[0]))


def _percentiles(method: str, lower: float, upper: float) -> tuple[float, float]:
    """Give the percentiles that a method takes, given or its own."""
    if method not in METHODS:
        raise XSentinelError(f"method is {method!r}; give one of {', '.join(METHODS)}")
    check_numbers(lower=lower, upper=upper)
    if not 0 <= lower < upper <= 100:
        raise XSentinelError(f"lower is {lower} and upper {upper}; give percentages with 0 <= lower < upper <= 100")
    own = {"stoian": STOIAN, "minmax": ENDS, "zscore": (2.0, 98.0)}.get(method)
    if own is None:
        return float(lower), float(upper)
    if (lower, upper) not in ((2, 98), own):
        raise XSentinelError(f"method {method!r} takes no percentiles, found {lower} and {upper}; method='percentile' does")
    return own


def _reduction(encoding: Encoding, asked: tuple[float, float], extremes: bool, by_date: bool) -> Reduction:
    count = partial(_count, nodata=encoding.nodata, extremes=extremes)
    return Reduction(count, add_tallies, partial(_finish, asked=asked), by_date)


def _count(block: Array, n_threads: int, nodata: float, extremes: bool) -> Tally:
    return tally(block, nodata, extremes=extremes, n_threads=n_threads)


def _finish(found: Tally, asked: tuple[float, float]) -> Summary:
    return summarise(found, *asked)


def _band_statistics(band: xr.DataArray, encoding: Encoding, found: Summary, exact_ends: bool) -> BandStatistics:
    """Bring a summary of stored values to physical ones."""
    name = str(band.name)
    if found.n == 0:
        raise BandError(f"{name} has no valid value: all of {band.size} are gaps; check the mask and the selection, or drop the band")
    low, high, mean, minimum, maximum = (
        v * encoding.scale + encoding.offset for v in (found.low, found.high, found.mean, found.minimum, found.maximum)
    )
    if not BANDS[name].is_radar:
        check_reflectance(np.array([low, mean, high]), name)
    error = 0.0 if band.dtype.kind in "iu" or exact_ends else SKETCH_ERROR
    return BandStatistics(low, high, mean, found.std * abs(encoding.scale), minimum, maximum, found.n, error)


def _source(ds: xr.Dataset, band: xr.DataArray) -> Source:
    """Say what the statistics are of."""
    start = end = None
    if "time" in band.coords and band["time"].dtype.kind == "M":
        times = np.atleast_1d(band["time"].values).astype("datetime64[D]")
        start, end = str(times.min()), str(times.max())
    return Source(start, end, band.sizes["time"], _crs(ds), __version__)


def _crs(ds: xr.Dataset) -> str | None:
    import rioxarray  # noqa: F401  (registers .rio)

    crs = ds.rio.crs
    if crs is None:
        return None
    return str(crs.to_string()) if crs.to_epsg() is None else f"EPSG:{crs.to_epsg()}"


def normalise(
    ds: xr.Dataset,
    stats: Statistics | None = None,
    *,
    lower: float = 2,
    upper: float = 98,
    method: Method = "percentile",
    clip: bool | None = None,
) -> xr.Dataset:
    """Bring every band to a common range: (x - low) / (high - low), or (x - mean) / std.

    With statistics given, a lazy cube stays lazy; without, they are computed from the cube itself first.

    Parameters
    ----------
    ds : xarray.Dataset
        A cube: bands (time, y, x), reflectance or integers with ``scale_factor``; radar in dB.
    stats : Statistics, optional
        Of this cube or another, such as the one that a model was trained on; by default of this cube.
    lower, upper, method
        As in `statistics`, where none are given.
    clip : bool, optional
        Whether what lies beyond low and high becomes 0 and 1; by default True for "percentile" and "stoian",
        False for the others. Not for "zscore".

    Returns
    -------
    xarray.Dataset
        The cube with float32 bands [1], NaN where there was a gap; all else unchanged.

    Raises
    ------
    BandError
        If the cube has not the bands of the statistics, or a band is constant.
    UnitsError
        If values are not in the units of the statistics.
    XSentinelError
        If statistics are given and also how to compute them, or if z-scores are to be clipped.

    Examples
    --------
    >>> import xsentinel as xs
    >>> scaled = normalise(xs.sample("zurich"))
    >>> float(scaled.B08.min()), float(scaled.B08.max())
    (0.0, 1.0)
    """
    if stats is None:
        stats = statistics(ds, lower=lower, upper=upper, method=method)
    elif (lower, upper, method) != (2, 98, "percentile"):
        raise XSentinelError("stats are given and so are lower, upper or method; statistics have theirs: give one or the other")
    if clip and stats.method == "zscore":
        raise XSentinelError("clip=True is for methods that scale to 0 and 1; leave it out for z-scores")
    stats.check(ds)
    there = band_variables(ds)
    unknown = [name for name in there if name not in stats.bands]
    if unknown:
        raise BandError(
            f"the statistics have {', '.join(stats.bands)}, but the cube also has {', '.join(unknown)}; "
            f"drop these, ds.drop_vars({[str(there[n]) for n in unknown]}), or compute statistics of all"
        )
    clipped = stats.clip if clip is None else clip
    mapping = grid_mapping_name(ds)
    return ds.assign({there[name]: _normalised(ds[there[name]].rename(name), stats, clipped, mapping) for name in stats.bands})


def _normalised(band: xr.DataArray, stats: Statistics, clip: bool, mapping: str | None) -> xr.DataArray:
    """Normalise one band and say how."""
    name = str(band.name)
    shift, width = stats.transform(name)
    encoding = encoding_of(band)
    result: xr.DataArray = xr.apply_ufunc(
        _block,
        band,
        kwargs={
            "checked": None if BANDS[name].is_radar or band.chunks is None else name,
            "encoding": (encoding.scale, encoding.offset, encoding.nodata),
            "transform": (shift, width, clip),
            "n_threads": 1 if band.chunks is not None else n_cores(),
        },
        dask="parallelized",
        output_dtypes=[np.float32],
        keep_attrs=False,
    )
    # repr: the digits make the same numbers again
    formula = f"(x - {float(shift)!r}) / {float(width)!r}"
    said = f"{stats.method}, lower {stats.lower:g}, upper {stats.upper:g}: {formula}{', clipped to 0 and 1' if clip else ''}"
    kept = {"grid_mapping": mapping} if mapping else {}
    result.attrs = {"long_name": band.attrs.get("long_name", BANDS[name].long_name), "units": "1", "normalisation": said} | kept
    return result


def _block(
    values: Array, checked: str | None, encoding: tuple[float, float, float], transform: tuple[float, float, bool], n_threads: int
) -> npt.NDArray[np.float32]:
    """Normalise one block; of a lazy cube, floats of the named band are checked to be reflectance only here."""
    if checked is not None:
        check_reflectance(values, checked)
    shift, width, clip = transform
    return standardise(values, encoding, shift, width, clip=clip, n_threads=n_threads)
