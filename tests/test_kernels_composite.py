"""Compositing kernels against slow, obvious twins, then laws."""

from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xsentinel.errors import GridError, TimeError, UnitsError
from xsentinel.kernels.choice import compose_best, compose_medoid
from xsentinel.kernels.composite import compose_mean, compose_median
from xsentinel.kernels.geomedian import compose_deviations, compose_geomedian
from xsentinel.kernels.selection import median_network, middle_rows, sorting_network

SCALE, OFFSET = 1e-4, -0.1
GROUPS = np.array([0, 0, 2, 1, 0, -1, 2, 0, 2, 0, 2, 2])  # group 1 has one date, group 3 none, date 5 is not used
N_GROUPS = 4
BANDS = {"median": compose_median, "mean": compose_mean}
LAWS = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def sample_cube(dtype, n_bands=3, n_times=GROUPS.size, n_pixels=611, share=0.4, seed=0):
    """Stored values with gaps and many ties, (band, time, pixel)."""
    rng = np.random.default_rng(seed)
    stored = rng.integers(1001, 1400, (n_bands, n_times, n_pixels))
    gap = rng.random((n_times, n_pixels)) < share
    gap[:, :7] = True
    gap[:, 7:14] = False
    if dtype == np.uint16:
        return np.where(gap, 0, stored).astype(np.uint16)
    return np.where(gap, np.nan, stored).astype(np.float32)


def reflectance(stored):
    """Reflectance in float64, NaN in gaps."""
    gap = np.isnan(stored) if stored.dtype == np.float32 else stored == 0
    return np.where(gap, np.nan, stored.astype(float) * SCALE + OFFSET)


def valid_spectra(cube, group, pixel):
    """Dates valid in all bands, and their spectra (date, band)."""
    dates = [t for t in np.flatnonzero(group) if not np.isnan(cube[:, t, pixel]).any()]
    return dates, cube[:, dates, pixel].T


def twin_reduce(name, values):
    """Reduce a list of floats."""
    if not len(values):
        return np.nan
    ordered = sorted(values)
    n = len(ordered)
    return sum(ordered) / n if name == "mean" else (ordered[(n - 1) // 2] + ordered[n // 2]) / 2


@pytest.mark.parametrize("n_rows", range(1, 13))
def test_networks_by_the_zero_one_principle(n_rows):
    for bits in product((0, 1), repeat=n_rows):
        rows = list(bits)
        for i, j in sorting_network(n_rows):
            rows[i], rows[j] = min(rows[i], rows[j]), max(rows[i], rows[j])
        assert rows == sorted(bits)
        rows = list(bits)
        for i, j, use in median_network(n_rows):
            small, large = min(rows[i], rows[j]), max(rows[i], rows[j])
            rows[i], rows[j] = small if use & 1 else 9, large if use & 2 else 9
        assert all(rows[k] == sorted(bits)[k] for k in middle_rows(n_rows))


@pytest.mark.parametrize("dtype", [np.float32, np.uint16])
@pytest.mark.parametrize("name", BANDS)
def test_band_against_twin(name, dtype):
    stored = sample_cube(dtype)[0]
    result = BANDS[name](stored, GROUPS, N_GROUPS, scale=SCALE, offset=OFFSET, n_threads=2)
    values = reflectance(stored)
    for group in range(N_GROUPS):
        series = values[group == GROUPS].T
        valid = [s[~np.isnan(s)] for s in series]
        expected = [twin_reduce(name, v) for v in valid]
        np.testing.assert_allclose(result.values[group], expected, rtol=0, atol=2e-7)
        assert result.n_obs[group].tolist() == [len(v) for v in valid]
    assert result.values.dtype == np.float32
    assert result.n_obs.dtype == np.uint16


@pytest.mark.parametrize("n_times", [1, 2, 3, 4, 5, 8, 17, 73])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_median_of_any_number_of_dates_is_exact(n_times, share):
    rng = np.random.default_rng(n_times)
    values = rng.normal(size=(n_times, 200)).astype(np.float32)
    values[rng.random(values.shape) < share] = np.nan
    result = compose_median(values, np.zeros(n_times, int), 1)
    has_data = ~np.isnan(values).all(axis=0)
    assert np.isnan(result.values[0, ~has_data]).all()
    np.testing.assert_array_equal(result.values[0, has_data], np.nanmedian(values[:, has_data], axis=0))


def test_extreme_values_are_values():
    stored = np.array([[65535, 1, 65535], [65535, 0, 1], [1, 0, 0]], np.uint16)
    assert compose_median(stored, [0, 0, 0], 1).values.tolist() == [[65535.0, 1.0, 32768.0]]
    values = np.array([[np.inf, -np.inf], [np.inf, np.nan], [1, np.nan]], np.float32)
    assert compose_median(values, [0, 0, 0], 1).values.tolist() == [[np.inf, -np.inf]]


def test_given_nodata_of_float32():
    values = np.array([[-9999.0], [3.0], [np.nan]], np.float32)
    for compose in BANDS.values():
        result = compose(values, [0, 0, 0], 1, nodata=-9999)
        assert (result.values.item(), result.n_obs.item()) == (3.0, 1)


@pytest.mark.parametrize("dtype", [np.float32, np.uint16])
def test_medoid_against_twin(dtype):
    stored = sample_cube(dtype, n_pixels=300)
    cube = reflectance(stored)
    result = compose_medoid(tuple(stored), GROUPS, N_GROUPS, scale=SCALE, offset=OFFSET)
    for group, pixel in product(range(N_GROUPS), range(300)):
        dates, spectra = valid_spectra(cube, group == GROUPS, pixel)
        assert result.n_obs[group, pixel] == len(dates)
        if not dates:
            assert result.date[group, pixel] == -1
            assert np.isnan(result.values[:, group, pixel]).all()
            continue
        totals = [sum(np.linalg.norm(x - y) for y in spectra) for x in spectra]
        chosen = dates.index(result.date[group, pixel])
        assert totals[chosen] <= min(totals) + 1e-6
        np.testing.assert_allclose(result.values[:, group, pixel], spectra[chosen], atol=1e-7)


@pytest.mark.parametrize("highest", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.uint16])
def test_best_against_twin(dtype, highest):
    stored = sample_cube(dtype, n_pixels=300)
    stored[1, 4, ::3] = 0 if dtype == np.uint16 else np.nan  # a gap in one band is a gap
    score = np.random.default_rng(1).integers(0, 5, stored[0].shape).astype(np.float32)
    score[3::5, ::2] = np.nan
    cube = reflectance(stored)
    result = compose_best(stored, score, GROUPS, N_GROUPS, highest=highest, scale=SCALE, offset=OFFSET, n_threads=2)
    for group, pixel in product(range(N_GROUPS), range(300)):
        dates, _ = valid_spectra(cube, group == GROUPS, pixel)
        dates = [t for t in dates if not np.isnan(score[t, pixel])]
        assert result.n_obs[group, pixel] == len(dates)
        if not dates:
            assert result.date[group, pixel] == -1
            continue
        best = (max if highest else min)(dates, key=lambda t: score[t, pixel])
        assert result.date[group, pixel] == best
        np.testing.assert_allclose(result.values[:, group, pixel], cube[:, best, pixel], atol=1e-7)


def sum_of_distances(spectra, point):
    """Sum of Euclidean distances."""
    return np.linalg.norm(spectra - point, axis=1).sum()


def twin_geomedian(spectra):
    """Damped Newton in float64, from each side of every spectrum; the best of all and of the spectra."""
    best = min(spectra, key=lambda x: sum_of_distances(spectra, x))
    if len(spectra) <= 2:
        return spectra.mean(axis=0)
    for start in (spectra.mean(axis=0), *(0.98 * spectra + 0.02 * spectra.mean(axis=0))):
        point = start
        for _ in range(25):
            away = point - spectra
            distance = np.maximum(np.linalg.norm(away, axis=1), 1e-12)
            unit = away / distance[:, None]
            curvature = (np.eye(len(point)) - unit[:, :, None] * unit[:, None, :]) / distance[:, None, None]
            move = np.linalg.lstsq(curvature.sum(axis=0), unit.sum(axis=0), rcond=None)[0]
            factors = 0.5 ** np.arange(20)
            point = min([point, *(point - f * move for f in factors)], key=lambda x: sum_of_distances(spectra, x))
        best = min(best, point, key=lambda x: sum_of_distances(spectra, x))
    return best


def varied_cube(n_times, n_pixels, n_bands=4, seed=0):
    """Reflectance whose dates differ mostly in brightness, as clouds and seasons make them."""
    rng = np.random.default_rng(seed)
    base = rng.uniform(0.05, 0.4, (n_bands, 1, n_pixels))
    bright = rng.lognormal(0, 0.3, (1, n_times, n_pixels))
    cube = (base * bright + rng.normal(0, 0.02, (n_bands, n_times, n_pixels))).astype(np.float32)
    cube[:, rng.random((n_times, n_pixels)) < 0.5] = np.nan
    return cube


@pytest.mark.parametrize("n_times", [1, 2, 3, 6, 16, 17, 40])
def test_geomedian_against_twin(n_times):
    cube = varied_cube(n_times, 30, seed=n_times)
    result = compose_geomedian(cube, np.zeros(n_times, int), 1, tolerance=1e-6)
    for pixel in range(30):
        dates, spectra = valid_spectra(cube.astype(float), np.ones(n_times, bool), pixel)
        assert result.n_obs[0, pixel] == len(dates)
        point = result.values[:, 0, pixel].astype(float)
        if not dates:
            assert np.isnan(point).all()
            continue
        expected = twin_geomedian(spectra)
        # spectra almost in line leave a flat valley: there the sum of distances is the sharper measure
        np.testing.assert_allclose(point, expected, atol=3e-4)
        assert sum_of_distances(spectra, point) <= sum_of_distances(spectra, expected) + 1e-7


def test_geomedian_of_coinciding_dates():
    x, y = np.array([0.1, 0.2, 0.3]), np.array([0.4, 0.1, 0.2])
    for dates, expected in (([x, x, x], x), ([x, x, y], x), ([y, x, y, x, y], y), ([x, x, y, y], (x + y) / 2)):
        cube = np.stack(dates, axis=1)[:, :, None].astype(np.float32)
        result = compose_geomedian(cube, np.zeros(len(dates), int), 1)
        np.testing.assert_allclose(result.values.ravel(), expected, atol=1e-6)


def test_geomedian_where_the_start_is_a_spectrum_of_a_symmetric_set():
    cross = np.array([[0.5, 0.5], [0.6, 0.5], [0.4, 0.5], [0.5, 0.6], [0.5, 0.4]], np.float32).T[:, :, None]
    result = compose_geomedian(np.ascontiguousarray(cross), np.zeros(5, int), 1)
    np.testing.assert_allclose(result.values.ravel(), [0.5, 0.5], atol=1e-6)


@pytest.mark.parametrize("n_times", [1, 7, 20])
def test_deviations_against_twin(n_times):
    cube = varied_cube(n_times, 60, seed=n_times)
    groups = np.zeros(n_times, int)
    median = compose_geomedian(cube, groups, 2).values
    result = compose_deviations(cube, median, groups)
    assert all(np.isnan(layer[1]).all() for layer in result)
    for pixel in range(60):
        dates, x = valid_spectra(cube.astype(float), np.ones(n_times, bool), pixel)
        m = median[:, 0, pixel].astype(float)
        if not dates:
            assert all(np.isnan(layer[0, pixel]) for layer in result)
            continue
        cosine = (x @ m) / np.sqrt((x**2).sum(axis=1) * (m**2).sum())
        expected = 1 - cosine, np.linalg.norm(x - m, axis=1), abs(x - m).sum(axis=1) / abs(x + m).sum(axis=1)
        for layer, distances in zip(result, expected, strict=True):
            np.testing.assert_allclose(layer[0, pixel], np.median(distances), atol=2e-6)


def every_layer(cube, groups=GROUPS, n_groups=N_GROUPS, n_threads=1):
    """All results of all methods, as one list of arrays."""
    score = np.where(np.isnan(cube[0]), np.nan, -cube[1] + 0.5).astype(np.float32)
    geomedian = compose_geomedian(tuple(cube), groups, n_groups, n_threads=n_threads)
    return [
        *compose_median(cube[0], groups, n_groups, n_threads=n_threads),
        *compose_mean(cube[0], groups, n_groups, n_threads=n_threads),
        *compose_medoid(tuple(cube), groups, n_groups, n_threads=n_threads),
        *compose_best(tuple(cube), score, groups, n_groups, n_threads=n_threads),
        *geomedian,
        *compose_deviations(tuple(cube), geomedian.values, groups, n_threads=n_threads),
    ]


@LAWS
@given(cut=st.integers(0, 1500), seed=st.integers(0, 99), long=st.booleans())
def test_split_of_pixels_changes_no_bit(cut, seed, long):
    groups = np.zeros(18, int) if long else GROUPS
    cube = varied_cube(groups.size, 1500, n_bands=3, seed=seed)
    whole = every_layer(cube, groups)
    parts = [every_layer(np.ascontiguousarray(p), groups) for p in np.split(cube, [cut], axis=2) if p.shape[2]]
    for one, *some in zip(whole, *parts, strict=True):
        np.testing.assert_array_equal(one, np.concatenate(some, axis=-1))


def test_threads_change_no_bit():
    cube = varied_cube(GROUPS.size, 3000)
    for one, two in zip(every_layer(cube), every_layer(cube, n_threads=3), strict=True):
        np.testing.assert_array_equal(one, two)


@LAWS
@given(order=st.permutations(range(GROUPS.size)), seed=st.integers(0, 99))
def test_order_of_dates_is_irrelevant(order, seed):
    cube = varied_cube(GROUPS.size, 64, n_bands=3, seed=seed)
    other = np.ascontiguousarray(cube[:, order])
    ours, theirs = compose_median(cube[0], GROUPS, 4), compose_median(other[0], GROUPS[order], 4)
    np.testing.assert_array_equal(ours.values, theirs.values)
    np.testing.assert_array_equal(ours.n_obs, theirs.n_obs)
    for compose, atol in ((compose_mean, 1e-6), (compose_geomedian, 1e-3)):
        bands = (cube[0], other[0]) if compose is compose_mean else (cube, other)
        ours, theirs = compose(bands[0], GROUPS, 4).values, compose(bands[1], GROUPS[order], 4).values
        np.testing.assert_allclose(ours, theirs, atol=atol)


@LAWS
@given(seed=st.integers(0, 999), dtype=st.sampled_from([np.float32, np.uint16]), share=st.floats(0, 1))
def test_composites_lie_between_min_and_max_and_count_all(seed, dtype, share):
    stored = sample_cube(dtype, n_bands=2, n_pixels=50, share=share, seed=seed)
    values = np.nan_to_num(reflectance(stored), nan=np.inf)
    results = [compose(stored[0], GROUPS, N_GROUPS, scale=SCALE, offset=OFFSET).values[None] for compose in BANDS.values()]
    results += [compose(stored, GROUPS, N_GROUPS, scale=SCALE, offset=OFFSET).values for compose in (compose_medoid, compose_geomedian)]
    n_obs = compose_median(stored[0], GROUPS, N_GROUPS).n_obs
    assert n_obs.sum() == np.isfinite(values[0][GROUPS >= 0]).sum()
    for result, group in product(results, range(3)):
        inside = values[: len(result), group == GROUPS]
        least, greatest = inside.min(axis=1), np.where(np.isinf(inside), -np.inf, inside).max(axis=1)
        seen = n_obs[group] > 0
        assert (np.isnan(result[:, group]) == ~seen).all()
        assert (result[:, group][:, seen] >= least[:, seen] - 1e-6).all()
        assert (result[:, group][:, seen] <= greatest[:, seen] + 1e-6).all()


@LAWS
@given(power=st.integers(-8, 8), seed=st.integers(0, 99))
def test_scaling_scales_the_composite(power, seed):
    cube, factor = varied_cube(GROUPS.size, 64, n_bands=3, seed=seed), np.float32(2.0**power)
    for name, compose in BANDS.items():
        plain, scaled = compose(cube[0], GROUPS, 4).values, compose(cube[0] * factor, GROUPS, 4).values
        np.testing.assert_array_equal(plain * factor, scaled, err_msg=name)
        np.testing.assert_array_equal(compose(cube[0], GROUPS, 4, scale=float(factor)).values, scaled)
    np.testing.assert_array_equal(compose_medoid(cube, GROUPS, 4).date, compose_medoid(cube * factor, GROUPS, 4).date)
    plain = compose_geomedian(cube, GROUPS, 4, tolerance=1e-6).values
    scaled = compose_geomedian(cube * factor, GROUPS, 4, tolerance=1e-6 * float(factor)).values
    np.testing.assert_allclose(plain, scaled / factor, atol=1e-3)


def test_input_is_left_alone():
    cube = varied_cube(GROUPS.size, 600)
    before = cube.copy()
    every_layer(cube)
    np.testing.assert_array_equal(cube, before)


@pytest.mark.parametrize(
    ("values", "groups", "error", "words"),
    [
        (np.zeros((3, 4)), [0, 0, 0], UnitsError, "float64"),
        (np.zeros((3, 4, 5), np.float32), [0, 0, 0], GridError, "C-contiguous"),
        (np.zeros((4, 3), np.float32).T, [0, 0, 0], GridError, "ascontiguousarray"),
        (np.zeros((3, 4), np.float32), [0.0, 0, 0], TimeError, "3 integers"),
        (np.zeros((3, 4), np.float32), [0, 0], TimeError, "3 integers"),
        (np.zeros((3, 4), np.float32), [0, 0, 2], TimeError, "found 0 to 2"),
    ],
)
def test_errors_say_what_is_wrong(values, groups, error, words):
    with pytest.raises(error, match=words):
        compose_median(values, groups, 2)


def test_errors_of_several_bands():
    band, groups = np.zeros((3, 4), np.float32), [0, 0, 0]
    with pytest.raises(GridError, match="of one shape"):
        compose_medoid([band, band[:, :2].copy()], groups, 1)
    with pytest.raises(GridError, match="one score a date and pixel"):
        compose_best([band], band[:2], groups, 1)
    with pytest.raises(GridError, match=r"geomedian must be \(band, group, pixel\) \(1, 1, 4\)"):
        compose_deviations([band], np.zeros((2, 1, 4), np.float32), groups)


@pytest.mark.parametrize("nodata", [-1, 0.5, 65536])
def test_nodata_that_uint16_cannot_hold(nodata):
    with pytest.raises(UnitsError, match=r"give a whole number from 0 to 65535"):
        compose_median(np.zeros((1, 1), np.uint16), [0], 1, nodata=nodata)
