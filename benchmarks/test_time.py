"""Series of 73 dates, half missing: medians, geomedians, filling and percentiles beside their peers and a memory copy.

Peers (``pip install bottleneck whittaker-eilers geomad``) that are slow get fewer pixels; ratios are per value.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import xarray as xr

from benchmarks.common import SERIES, SMALL_SERIES, Series, copy_bytes
from xsentinel.kernels.composite import compose_median
from xsentinel.kernels.gapfill import fill_cressman, fill_linear, fill_savgol, fill_whittaker
from xsentinel.kernels.geomedian import compose_geomedian
from xsentinel.kernels.histogram import histogram_uint16, percentiles_of_counts
from xsentinel.kernels.threads import n_cores

DATES = np.datetime64("2021-01-03", "ns") + np.arange(Series.n_times) * np.timedelta64(5, "D")
MONTH = DATES.astype("datetime64[M]").astype(int) % 12
DAYS = 5.0 * np.arange(Series.n_times)
MEDIAN, MEDIAN_COUNTS, GEOMEDIAN = "Monthly median, float32", "Monthly median, uint16", "Monthly geomedian, ten bands"
FILL, SMOOTH, PERCENTILES = "Linear filling", "Whittaker, lambda 100", "Percentiles 2 and 98, uint16"


@pytest.fixture(scope="session")
def series(pytestconfig: pytest.Config) -> Series:
    """Ten bands of 1024² when measuring, a few pixels when only run as tests."""
    return SERIES if pytestconfig.getoption("benchmark_enable") else SMALL_SERIES


@cache
def band(n_pixels: int, dtype: str, seed: int = 0) -> np.ndarray:
    """Give (time, pixel) values, half of them gaps."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 10_000, (Series.n_times, n_pixels), dtype=np.uint16)
    counts[rng.random(counts.shape, dtype=np.float32) < 0.5] = 0
    if dtype == "uint16":
        return counts
    values = counts.astype(np.float32)
    values *= np.float32(1e-4)
    values[counts == 0] = np.nan
    return values


@cache
def spectra(n_pixels: int) -> tuple[np.ndarray, ...]:
    """Give ten bands whose dates differ in brightness and noise and are missing in all bands or none."""
    rng = np.random.default_rng(0)
    shape = (Series.n_times, n_pixels)
    gap, bright = rng.random(shape) < 0.5, np.exp(rng.normal(0, 0.15, shape))
    levels = [rng.uniform(0.05, 0.4, n_pixels) * bright + rng.normal(0, 0.02, shape) for _ in range(10)]
    return tuple(np.where(gap, np.nan, level).astype(np.float32) for level in levels)


def measure(benchmark: Any, group: str, what: str, role: str, values: int, run: Callable[[], Any], rounds: int = 7) -> Any:
    benchmark.group = f"{group}, {Series.n_times} dates, {n_cores()} cores"
    benchmark.extra_info.update({"what": what, "role": role, "values": values})
    return benchmark.pedantic(run, rounds=rounds, warmup_rounds=1)


def in_halves(function: Callable[[slice], Any], n: int) -> list[Any]:
    edges = np.linspace(0, n, n_cores() + 1).astype(int)
    with ThreadPoolExecutor(n_cores()) as pool:
        return list(pool.map(function, [slice(a, b) for a, b in pairwise(edges)]))


def copy(values: np.ndarray) -> Callable[[], None]:
    return partial(copy_bytes, values.reshape(-1), np.zeros(values.size, values.dtype))


def each_band(function: Callable[[np.ndarray], Any], values: np.ndarray, n_bands: int) -> Callable[[], Any]:
    """Do as many bands as a cube has; one after the other, as large ones leave nothing of each other in cache."""
    return lambda: [function(values) for _ in range(n_bands)][-1]


# Median


@pytest.mark.parametrize(("dtype", "group"), [("float32", MEDIAN), ("uint16", MEDIAN_COUNTS)])
def test_median(benchmark: Any, series: Series, dtype: str, group: str) -> None:
    values = band(series.pixels, dtype)
    run = each_band(lambda v: compose_median(v, MONTH, 12, n_threads=n_cores()), values, series.n_bands)
    measure(benchmark, group, f"xsentinel, {series.n_bands} bands", "ours", series.n_bands * values.size, run)


@pytest.mark.parametrize(("dtype", "group"), [("float32", MEDIAN), ("uint16", MEDIAN_COUNTS)])
def test_median_copy(benchmark: Any, series: Series, dtype: str, group: str) -> None:
    values = band(series.pixels, dtype)
    measure(benchmark, group, "memory copy of the input", "limit", values.size, copy(values))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_median_bottleneck(benchmark: Any, series: Series) -> None:
    bottleneck = pytest.importorskip("bottleneck")
    values = band(series.some_pixels, "float32")
    edges = np.searchsorted(MONTH, range(13))

    def months(part: slice) -> list[np.ndarray]:
        return [bottleneck.nanmedian(values[a:b, part], axis=0) for a, b in pairwise(edges)]

    parts = measure(
        benchmark, MEDIAN, "bottleneck a month, as many threads", "peer", values.size, lambda: in_halves(months, values.shape[1]), 3
    )
    ours = compose_median(values, MONTH, 12).values
    np.testing.assert_allclose(np.concatenate([np.stack(p) for p in parts], 1), ours, rtol=1e-6)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("accelerated", [False, True])
def test_median_xarray(benchmark: Any, series: Series, accelerated: bool) -> None:
    if accelerated:
        pytest.importorskip("bottleneck")
    values = band(series.few_pixels, "float32")
    side = int(np.sqrt(series.few_pixels))
    cube = xr.DataArray(values[:, : side * side].reshape(-1, side, side), {"time": DATES}, ("time", "y", "x"))
    what = f"xarray groupby, {'with' if accelerated else 'without'} bottleneck"

    def run() -> xr.DataArray:
        with xr.set_options(use_bottleneck=accelerated):
            return cube.groupby("time.month").median()

    measure(benchmark, MEDIAN, what, "peer", cube.size, run, 3)


# Geomedian


def test_geomedian(benchmark: Any, series: Series) -> None:
    bands = spectra(series.few_pixels)
    run = partial(compose_geomedian, bands, MONTH, 12, n_threads=n_cores())
    measure(benchmark, GEOMEDIAN, "xsentinel, tolerance 1e-6", "ours", 10 * bands[0].size, run, 3)


@pytest.mark.parametrize("eps", [1e-4, 1e-6])
def test_geomedian_geomad(benchmark: Any, series: Series, eps: float) -> None:
    geomad = pytest.importorskip("geomad")
    bands = np.stack(spectra(series.few_pixels))
    side = 1 << (series.few_pixels.bit_length() // 2)
    months = [np.ascontiguousarray(bands[:, g == MONTH].transpose(2, 0, 1)).reshape(side, -1, 10, (g == MONTH).sum()) for g in range(12)]

    def run() -> list[np.ndarray]:
        return [geomad.nangeomedian_pcm(m, num_threads=n_cores(), eps=eps, maxiters=1000, nocheck=True) for m in months]

    theirs = measure(benchmark, GEOMEDIAN, f"geomad (odc-algo's engine), eps {eps:g}", "peer", bands.size, run, 2)
    ours = compose_geomedian(list(bands), MONTH, 12)
    for month, their in enumerate(theirs):
        unique = ours.n_obs[month] > 2  # of two dates every point between is a median
        apart = np.abs(their.reshape(-1, 10).T - ours.values[:, month])[:, unique]
        assert np.quantile(apart, 0.99) < (1e-4 if eps < 1e-5 else 3e-3)


# Filling


def test_linear(benchmark: Any, series: Series) -> None:
    values = band(series.pixels, "float32")
    run = each_band(lambda v: fill_linear(v, DAYS, DAYS, n_threads=n_cores()), values, series.n_bands)
    measure(benchmark, FILL, f"xsentinel, {series.n_bands} bands, new memory", "ours", series.n_bands * values.size, run)


def test_linear_counts(benchmark: Any, series: Series) -> None:
    values = band(series.pixels, "uint16")
    run = each_band(lambda v: fill_linear(v, DAYS, DAYS, nodata=0, scale=1e-4, n_threads=n_cores()), values, series.n_bands)
    measure(benchmark, FILL, f"xsentinel, {series.n_bands} bands of uint16, new memory", "", series.n_bands * values.size, run)


def test_linear_copy(benchmark: Any, series: Series) -> None:
    values = band(series.pixels, "float32")
    measure(benchmark, FILL, "memory copy, memory there", "limit", values.size, copy(values))


def test_linear_xarray(benchmark: Any, series: Series) -> None:
    values = band(series.few_pixels, "float32")
    cube = xr.DataArray(values, {"time": DATES}, ("time", "pixel"))
    theirs = measure(benchmark, FILL, "xarray interpolate_na", "peer", values.size, partial(cube.interpolate_na, "time"), 2)
    np.testing.assert_allclose(fill_linear(values, DAYS, DAYS), theirs, rtol=1e-5)


@pytest.mark.parametrize("fill", [fill_cressman, fill_savgol], ids=lambda f: f.__name__)
def test_other_fillings(benchmark: Any, series: Series, fill: Callable[..., np.ndarray]) -> None:
    values = band(series.some_pixels, "float32")
    measure(benchmark, FILL, f"xsentinel, {fill.__name__}", "", values.size, lambda: fill(values, DAYS, DAYS, n_threads=n_cores()), 3)


# Whittaker


def test_whittaker(benchmark: Any, series: Series) -> None:
    values = band(series.some_pixels, "float32")
    run = partial(fill_whittaker, values, DAYS, DAYS, lmbda=100.0, extrapolate="nearest", n_threads=n_cores())
    measure(benchmark, SMOOTH, "xsentinel, gaps of each pixel's own", "ours", values.size, run)


@pytest.mark.parametrize("shared", [False, True])
def test_whittaker_eilers(benchmark: Any, series: Series, shared: bool) -> None:
    peer = pytest.importorskip("whittaker_eilers")
    values = band(series.few_pixels, "float32")[:, : max(series.few_pixels // 4, 16)]
    seen = ~np.isnan(values)
    rows, weights = np.nan_to_num(values).T.tolist(), seen.T.astype(float).tolist()

    def smooth(part: slice) -> list[Any]:
        one = peer.WhittakerSmoother(lmbda=100.0, order=2, data_length=len(DAYS), x_input=DAYS.tolist(), weights=[1.0] * len(DAYS))
        out = []
        for row, weight in zip(rows[part], weights[part], strict=True):
            if not shared:
                one.update_weights(weight)
            out.append(one.smooth(row))
        return out

    what = f"whittaker-eilers, {'one factorisation for all, no gaps' if shared else 'own gaps'}"
    parts = measure(benchmark, SMOOTH, what, "peer", values.size, lambda: in_halves(smooth, len(rows)), 3)
    if not shared:
        theirs = np.array([row for part in parts for row in part]).T
        ours = fill_whittaker(values, DAYS, DAYS, lmbda=100.0, extrapolate="nearest")
        inside = (np.cumsum(seen, 0) > 0) & (np.cumsum(seen[::-1], 0)[::-1] > 0)
        np.testing.assert_allclose(ours[inside], theirs[inside], atol=1e-5)


# Percentiles


def test_percentiles(benchmark: Any, series: Series) -> None:
    values = band(series.pixels, "uint16")

    def run() -> np.ndarray:
        return np.asarray(percentiles_of_counts(histogram_uint16(values, n_threads=n_cores()), [2, 98]))

    ours = measure(benchmark, PERCENTILES, "xsentinel, exact", "ours", values.size, run)
    some = values[:, :: max(1, series.pixels // 4096)]
    exact = percentiles_of_counts(histogram_uint16(np.ascontiguousarray(some)), [2, 98])
    np.testing.assert_array_equal(exact, np.percentile(some[some > 0], [2, 98]))
    assert ours.shape == (2,)


def test_percentiles_xarray(benchmark: Any, series: Series) -> None:
    values = band(series.some_pixels, "float32")
    cube = xr.DataArray(values, dims=("time", "pixel"))
    measure(benchmark, PERCENTILES, "xarray quantile of float32 with NaN", "peer", values.size, partial(cube.quantile, [0.02, 0.98]), 2)
