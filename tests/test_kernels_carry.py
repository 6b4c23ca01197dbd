"""The kernels that carry clear dates on, against walks over single pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from xsentinel.kernels.carry import carry, days_since, take_dates

NAN = float("nan")


def carried(values, days, max_age):
    last, before = np.full(values.shape, 99, np.int16), np.full(values.shape, 99, np.int16)
    carry(values, np.asarray(days, np.float64), float(max_age), last, before)
    return last, before


def slow(values, days, max_age):
    """Look back from each date of each pixel."""
    out = np.full((2, *values.shape), -1, np.int16)
    for t in range(values.shape[0]):
        for p in range(values.shape[1]):
            clear = [k for k in range(t - 1, -1, -1) if not np.isnan(values[k, p])][:2]
            for slot, k in enumerate(clear):
                if days[t] - days[k] <= max_age:
                    out[slot, t, p] = k
    return out


SERIES = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        arrays(np.float32, (n, 7), elements=st.sampled_from([NAN, 0.0, 1.5])),
        st.lists(st.integers(1, 400).map(lambda n: n / 10), min_size=n, max_size=n).map(lambda gaps: np.cumsum(gaps)),
        st.sampled_from([0, 1.0, 12.5, 60, 1e9]),
    )
)


@given(SERIES)
def test_carry_looks_back(series):
    values, days, max_age = series
    np.testing.assert_array_equal(carried(values, days, max_age), slow(values, days, max_age))


@given(SERIES)
def test_laws_of_carry(series):
    values, days, max_age = series
    last, before = carried(values, days, max_age)
    dates = np.arange(len(days))[:, None]
    assert (last < dates).all()
    assert (before <= last).all()
    assert ((before < last) | (last == -1)).all()
    for slot in (last, before):
        rows, columns = np.nonzero(slot >= 0)
        assert not np.isnan(values[slot[rows, columns], columns]).any()
        assert (days[rows] - days[slot[rows, columns]] <= max_age).all()
    later = values.copy()
    later[-1] = 1  # what is seen at a date changes nothing up to it
    np.testing.assert_array_equal(carried(later, days, max_age), (last, before))


def test_the_age_allowed_is_included():
    values = np.array([[1], [NAN], [NAN]], np.float32)
    last, _ = carried(values, [0, 60, 60.1], 60)
    assert last[:, 0].tolist() == [-1, 0, -1]


def test_an_old_date_comes_not_back_behind_a_new_one():
    values = np.array([[1], [1], [NAN]], np.float32)
    last, before = carried(values, [0, 50, 100], 60)
    assert (last[2, 0], before[2, 0]) == (1, -1)


@given(
    arrays(np.float32, (5, 3, 4), elements=st.sampled_from([NAN, -3.0, 0.0, 2.0])), arrays(np.int16, (3, 4), elements=st.integers(-1, 4))
)
def test_take_dates_takes_or_stands_in(values, dates):
    otherwise, out = np.arange(12, dtype=np.float32).reshape(3, 4), np.empty((3, 4), np.float32)
    take_dates(values, dates, otherwise, out)
    for place in np.ndindex(3, 4):
        value = values[(dates[place], *place)] if dates[place] >= 0 else NAN
        assert out[place] == (otherwise[place] if np.isnan(value) else value)
    views, part = np.empty((3, 8), np.float32), np.empty((5, 6, 8), np.float32)
    part[:, ::2, ::2] = values
    take_dates(part[:, ::2, ::2], dates, otherwise, views[:, 1::2])
    np.testing.assert_array_equal(views[:, 1::2], out)


@given(SERIES)
def test_days_since_the_last_date(series):
    values, days, _ = series
    since = np.empty(values.shape, np.float32)
    days_since(values, days, since)
    for (t, p), found in np.ndenumerate(since):
        clear = [days[k] for k in range(t + 1) if not np.isnan(values[k, p])]
        assert np.isnan(found) if not clear else found == np.float32(days[t] - clear[-1])


@pytest.mark.parametrize("n_times", [1, 3])
def test_no_pixels(n_times):
    last, before = carried(np.empty((n_times, 0), np.float32), np.arange(n_times), 5)
    assert last.shape == before.shape == (n_times, 0)
