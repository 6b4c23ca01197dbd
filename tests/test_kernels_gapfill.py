"""Gap filling against numpy, pandas, scipy and the definitions written out; and its laws."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.signal import savgol_filter
from scipy.sparse.linalg import spsolve

from xsentinel.errors import GridError, TimeError, UnitsError, XSentinelError
from xsentinel.kernels import gapfill
from xsentinel.kernels.linear import join_neighbours, linear_row
from xsentinel.kernels.series import (
    BLOCK,
    load_float32,
    prepare_dates,
    prepare_decoding,
    prepare_limits,
    stream_row,
)
from xsentinel.kernels.threads import over_pixels

FILLS = {
    "linear": (gapfill.fill_linear, {}),
    "nearest": (gapfill.fill_nearest, {}),
    "gaussian": (gapfill.fill_cressman, {}),
    "cressman": (gapfill.fill_cressman, {"weights": "cressman", "radius": 25.0}),
    "whittaker": (gapfill.fill_whittaker, {"lmbda": 1000.0}),
    "envelope": (gapfill.fill_whittaker, {"lmbda": 1000.0, "envelope": 0.9}),
    "savgol": (gapfill.fill_savgol, {"window": 5}),
}
DATES = np.cumsum([0, 5, 5, 3, 2, 5, 10, 5, 5, 25, 5, 5, 1, 4, 5, 5, 5, 5, 40, 5]).astype(float)
REGULAR = np.arange(20) * 5.0


def make_values(t, n_pixels=70, share=0.5, seed=0):
    """Series (time, pixel), float32, with gaps; the first ones are the awkward cases."""
    rng = np.random.default_rng(seed)
    y = rng.random((len(t), n_pixels), dtype=np.float32)
    y[rng.random(y.shape) < share] = np.nan
    y[:, 0] = np.nan
    y[:, 1] = 0.25
    y[1:, 2], y[:1, 2] = np.nan, 0.5
    y[:-1, 3], y[-1:, 3] = np.nan, 0.5
    y[:, 4] = np.nan
    y[len(t) // 2 : len(t) // 2 + 1, 4] = 0.5
    y[1:-1, 5] = np.nan
    return y


def dates_for(name):
    return REGULAR if name == "savgol" else DATES


def fill(name, values, t_in, t_out, **options):
    function, defaults = FILLS[name]
    return function(values, t_in, t_out, **(defaults | options))


def limited(smooth, y, t_in, t_out, max_gap=np.inf, extrapolate=False):
    """Apply the rules on gaps and ends to one series of a slow twin."""
    t = t_in[~np.isnan(y)]
    out = np.full(len(t_out), np.nan)
    for j, now in enumerate(t_out):
        before, after = t[t <= now], t[t >= now]
        if len(before) and len(after):
            if before[-1] == now or after[0] - before[-1] <= max_gap:
                out[j] = smooth[j]
        elif len(t) and extrapolate and min(abs(t - now)) <= max_gap:
            out[j] = smooth[j]
    return out


def twin_linear(y, t_in, t_out):
    ok = ~np.isnan(y)
    return np.interp(t_out, t_in[ok], y[ok]) if ok.any() else np.full(len(t_out), np.nan)


def twin_nearest(y, t_in, t_out):
    ok = ~np.isnan(y)
    return [y[ok][np.argmin(abs(t_in[ok] - now))] if ok.any() else np.nan for now in t_out]


def twin_cressman(y, t_in, t_out, weight):
    ok = ~np.isnan(y)
    if not ok.any():
        return np.full(len(t_out), np.nan)
    out = np.empty(len(t_out))
    for j, now in enumerate(t_out):
        w = weight(now - t_in[ok])
        out[j] = (w * y[ok]).sum() / w.sum() if w.sum() > 0 else np.nan
        if now in t_in[ok]:
            out[j] = y[ok][t_in[ok] == now][0]
    ends = t_in[ok][[0, -1]]
    out[t_out < ends[0]], out[t_out > ends[1]] = y[ok][0], y[ok][-1]
    return out


def gauss(d, radius=10.0):
    w = np.exp(-0.5 * (d / radius) ** 2)
    return np.where(w < 1e-6, 0, w)


def inverse(d, radius=25.0):
    return np.maximum(radius**2 - d**2, 0) / (radius**2 + d**2)


def second_differences(x):
    n = len(x)
    first = sparse.diags(1 / np.diff(x)) @ sparse.diags([-1.0, 1.0], [0, 1], shape=(n - 1, n))
    return sparse.diags(1 / (x[2:] - x[:-2])) @ sparse.diags([-1.0, 1.0], [0, 1], shape=(n - 2, n - 1)) @ first


def twin_whittaker(y, t_in, t_out, lmbda=1000.0, envelope=None):
    x = np.union1d(t_in, t_out)
    value, weight = np.zeros(len(x)), np.zeros(len(x))
    at = np.searchsorted(x, t_in)
    value[at], weight[at] = np.nan_to_num(y), ~np.isnan(y)
    if weight.sum() < 2:
        return np.full(len(t_out), np.nanmax(y) if weight.any() else np.nan)
    d, observed = second_differences(x), weight > 0
    for _ in range(1 if envelope is None else 11):
        z = spsolve((sparse.diags(weight) + lmbda * d.T @ d).tocsc(), weight * value)
        new = weight if envelope is None else observed * np.where(value > z, envelope, 1 - envelope)
        if (new == weight).all():
            break
        weight = new
    ends = np.flatnonzero(observed)[[0, -1]]
    z[: ends[0]], z[ends[1] :] = z[ends[0]], z[ends[1]]
    return z[np.searchsorted(x, t_out)]


def twin_savgol(y, t_in, t_out, window=5, polyorder=2):
    filled = twin_linear(y, t_in, t_out)
    return filled if np.isnan(filled).any() else savgol_filter(filled, window, polyorder)


TWINS = {
    "linear": twin_linear,
    "nearest": twin_nearest,
    "gaussian": lambda *a: twin_cressman(*a, gauss),
    "cressman": lambda *a: twin_cressman(*a, inverse),
    "whittaker": twin_whittaker,
    "envelope": lambda *a: twin_whittaker(*a, envelope=0.9),
    "savgol": twin_savgol,
}


@pytest.mark.parametrize("grid", ["same", "other"])
@pytest.mark.parametrize("limits", [{}, {"max_gap": 12.0}, {"extrapolate": "nearest"}, {"max_gap": 12.0, "extrapolate": "nearest"}])
@pytest.mark.parametrize("name", FILLS)
def test_fill_equals_slow_twin(name, limits, grid):
    t_in = dates_for(name)
    t_out = t_in if grid == "same" else np.arange(-10.0, t_in[-1] + 21, 5)
    y = make_values(t_in)
    found = fill(name, y, t_in, t_out, **limits)
    for k in range(y.shape[1]):
        wanted = limited(TWINS[name](y[:, k].astype(float), t_in, t_out), y[:, k], t_in, t_out, **limits)
        np.testing.assert_allclose(found[:, k], wanted, rtol=2e-6, atol=2e-6, err_msg=f"pixel {k}")
    assert found.dtype == np.float32


def test_linear_equals_pandas():
    y = make_values(DATES)
    wanted = pd.DataFrame(y, index=DATES).interpolate(method="index", limit_area="inside")
    np.testing.assert_allclose(gapfill.fill_linear(y, DATES, DATES), wanted, rtol=1e-6)


@pytest.mark.parametrize("lmbda", [0.1, 100.0, 1e4, 1e7])
@pytest.mark.parametrize("penalty", ["days", "steps"])
def test_whittaker_is_accurate_at_any_lambda(lmbda, penalty):
    """Daily dates of a year, nine in ten missing: float32 throughout was off by 7e-3 here."""
    t = np.arange(365.0)
    y = make_values(t, 20, 0.9)
    found = gapfill.fill_whittaker(y, t, t, lmbda=lmbda, penalty=penalty)
    for k in range(5, 20):
        z = twin_whittaker(y[:, k].astype(float), t, t, lmbda * (1 if penalty == "days" else 4))
        wanted = limited(z, y[:, k], t, t)
        np.testing.assert_allclose(found[:, k], wanted, atol=1e-5)


@pytest.mark.parametrize("name", FILLS)
def test_uint16_equals_decoded_float32(name):
    t = dates_for(name)
    stored = np.random.default_rng(1).integers(1, 12000, (len(t), 40)).astype(np.uint16)
    stored[np.random.default_rng(2).random(stored.shape) < 0.5] = 0
    scale, offset = 1e-4, -0.1
    decoded = np.where(stored == 0, np.nan, stored * np.float32(scale) + np.float32(offset)).astype(np.float32)
    found = fill(name, stored, t, t, nodata=0, scale=scale, offset=offset)
    np.testing.assert_allclose(found, fill(name, decoded, t, t), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n_in", [0, 1, 2, 3])
@pytest.mark.parametrize("name", [n for n in FILLS if n != "savgol"])
def test_few_dates(name, n_in):
    t, y = np.arange(n_in) * 10.0, np.full((n_in, 3), 0.5, np.float32)
    t_out = np.array([0.0, 5.0, 10.0, 15.0, 20.0])
    inside = t_out <= (t[-1] if n_in else -1)
    found = fill(name, y, t, t_out)
    np.testing.assert_allclose(found, np.where(inside, np.float32(0.5), np.nan)[:, None].repeat(3, 1), rtol=1e-5)
    held = fill(name, y, t, t_out, extrapolate="nearest")
    np.testing.assert_allclose(held, np.full((5, 3), 0.5 if n_in else np.nan), rtol=1e-5)


def test_savgol_needs_a_regular_long_enough_grid():
    y = make_values(DATES)
    with pytest.raises(TimeError, match="needs equal ones"):
        gapfill.fill_savgol(y, DATES, DATES)
    with pytest.raises(TimeError, match="shorten the window"):
        gapfill.fill_savgol(y, DATES, REGULAR[:5], window=7)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"t_in": DATES[::-1]}, TimeError, "increase strictly"),
        ({"t_in": np.r_[DATES[:-1], DATES[-2]]}, TimeError, "merge those of the same day"),
        ({"t_in": DATES[:-1]}, GridError, "time comes first"),
        ({"max_gap": -1.0}, XSentinelError, "max_gap"),
        ({"extrapolate": "linear"}, XSentinelError, "extrapolate"),
        ({"scale": 1e-4}, UnitsError, "uint16 only"),
        ({"values": np.zeros((20, 2))}, UnitsError, "float64"),
        ({"n_threads": 0}, XSentinelError, "n_threads"),
    ],
)
def test_bad_input_is_named(options, error, message):
    arguments = {"values": make_values(DATES), "t_in": DATES, "t_out": DATES} | options
    with pytest.raises(error, match=message):
        gapfill.fill_linear(**arguments)


def test_layers():
    y = make_values(DATES)
    t_out = np.union1d(DATES, np.arange(-10.0, 200, 7))
    days = np.full((len(t_out), y.shape[1]), np.nan)
    filled = np.ones(days.shape)
    for k in range(y.shape[1]):
        t = DATES[~np.isnan(y[:, k])]
        if len(t):
            days[:, k] = abs(t_out[:, None] - t).min(axis=1)
            filled[:, k] = days[:, k] > 0
    for source in (y, ~np.isnan(y), np.nan_to_num(y * 1e4).astype(np.uint16)):
        nodata = 0 if source.dtype == np.uint16 else None
        np.testing.assert_array_equal(gapfill.days_to_observation(source, DATES, t_out, nodata=nodata), days)
        flags = gapfill.flag_filled(source, DATES, t_out, nodata=nodata)
        np.testing.assert_array_equal(flags, filled)
        assert flags.dtype == np.uint8


def test_shapes_and_strides():
    y = make_values(DATES, 3 * 4 * 5).reshape(-1, 3, 4, 5)
    wanted = gapfill.fill_linear(y, DATES, DATES)
    assert wanted.shape == y.shape
    turned = np.asfortranarray(y)
    np.testing.assert_array_equal(gapfill.fill_linear(turned, DATES, DATES), wanted)
    np.testing.assert_array_equal(gapfill.fill_linear(y[..., ::2], DATES, DATES), wanted[..., ::2])
    assert gapfill.fill_linear(y[:, :0], DATES, DATES).shape == (20, 0, 4, 5)


SERIES = {"seed": st.integers(0, 2**16), "share": st.floats(0, 1), "n_in": st.integers(5, 30)}


def random_series(seed, share, n_in, name, n_pixels=33):
    rng = np.random.default_rng(seed)
    t = np.arange(n_in) * 5.0 if name == "savgol" else np.cumsum(rng.integers(1, 20, n_in)) + 17_000.0
    y = rng.normal(0.3, 0.5, (n_in, n_pixels)).astype(np.float32)
    y[rng.random(y.shape) < share] = np.nan
    return y, t


@pytest.mark.parametrize("name", FILLS)
@given(**SERIES)
@settings(max_examples=20, deadline=None)
def test_valid_dates_stay_to_the_bit(name, seed, share, n_in):
    y, t = random_series(seed, share, n_in, name)
    y[0, 0], y[1, 0] = -0.0, 0.0
    kept = {} if name in ("linear", "nearest") else {"keep_valid": True}
    found = fill(name, y, t, t, extrapolate="nearest", **kept)
    valid = ~np.isnan(y)
    np.testing.assert_array_equal(found[valid].view(np.uint32), y[valid].view(np.uint32))


@given(**SERIES)
@settings(max_examples=30, deadline=None)
def test_linear_lies_between_its_neighbours(seed, share, n_in):
    y, t = random_series(seed, share, n_in, "linear")
    t_out = np.linspace(t[0], t[-1], 77)
    found = gapfill.fill_linear(y, t, t_out)
    for k in range(y.shape[1]):
        ok = np.flatnonzero(~np.isnan(y[:, k]))
        for a, b in pairwise(ok):
            part = found[(t_out >= t[a]) & (t_out <= t[b]), k]
            low, high = sorted((y[a, k], y[b, k]))
            assert ((part >= low) & (part <= high)).all()


@pytest.mark.parametrize("name", FILLS)
@given(cuts=st.lists(st.integers(0, 1200), max_size=3), n_threads=st.integers(1, 3))
@settings(max_examples=6, deadline=None)
def test_split_of_pixels_is_irrelevant_to_the_bit(name, cuts, n_threads):
    y, t = random_series(3, 0.5, 20, name, 1200)
    whole = fill(name, y, t, t)
    np.testing.assert_array_equal(fill(name, y, t, t, n_threads=n_threads), whole)
    bounds = sorted({0, 1200, *cuts})
    parts = [fill(name, y[:, a:b], t, t) for a, b in pairwise(bounds)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_ranges_write_their_own_part_only():
    y, t = random_series(3, 0.5, 20, "linear", 1200)
    dates, out = prepare_dates(t, t), np.full(y.shape, 7, np.float32)
    options = (linear_row, stream_row, prepare_limits(None, False))
    join_neighbours(load_float32, y, prepare_decoding(y.dtype, None, 1, 0), dates.table(), *options, out, 100, 1003)
    assert (out[:, :100] == 7).all()
    assert (out[:, 1003:] == 7).all()
    np.testing.assert_array_equal(out[:, 100:1003], gapfill.fill_linear(y, t, t)[:, 100:1003])


@pytest.mark.parametrize("name", FILLS)
@given(**SERIES, power=st.integers(-8, 8))
@settings(max_examples=10, deadline=None)
def test_scaling_by_a_power_of_two_is_exact(name, seed, share, n_in, power):
    y, t = random_series(seed, share, n_in, name)
    factor = np.float32(2.0**power)
    np.testing.assert_array_equal(fill(name, y * factor, t, t), fill(name, y, t, t) * factor)


@pytest.mark.parametrize("name", FILLS)
@given(**SERIES)
@settings(max_examples=10, deadline=None)
def test_constants_and_the_origin_of_time(name, seed, share, n_in):
    y, t = random_series(seed, share, n_in, name)
    found = fill(name, np.where(np.isnan(y), y, np.float32(0.7)), t, t)
    np.testing.assert_allclose(found[~np.isnan(found)], 0.7, rtol=1e-5)
    np.testing.assert_array_equal(fill(name, y, t + 1000, t + 1000), fill(name, y, t, t))


def test_ranges_cover_everything_once():
    for size in (0, 1, BLOCK, 10 * BLOCK + 1):
        for n_threads in (1, 2, 5):
            seen = np.zeros(size, int)

            def mark(start, stop, seen=seen):
                seen[start:stop] += 1

            over_pixels(mark, size, n_threads, step=BLOCK)
            assert (seen == 1).all()


@pytest.mark.parametrize("lmbda", [0.1, 100.0, 1e4])
@pytest.mark.parametrize("penalty", ["days", "steps"])
def test_whittaker_equals_the_package(lmbda, penalty):
    peer = pytest.importorskip("whittaker_eilers")
    y = make_values(DATES, 40)
    found = gapfill.fill_whittaker(y, DATES, DATES, lmbda=lmbda, penalty=penalty)
    dates = {"x_input": DATES.tolist()} if penalty == "days" else {}
    for k in range(5, 40):
        weights = (~np.isnan(y[:, k])).astype(float).tolist()
        smoother = peer.WhittakerSmoother(lmbda=lmbda, order=2, data_length=len(DATES), weights=weights, **dates)
        z = np.array(smoother.smooth(np.nan_to_num(y[:, k]).astype(float).tolist()))
        np.testing.assert_allclose(found[:, k], limited(z, y[:, k], DATES, DATES), atol=1e-5)
