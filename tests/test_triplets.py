"""Which dates belong together, against looking at all."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xsentinel.triplets import days_of, pair, season_of, triplets

DAYS = st.lists(st.integers(0, 60 * 24), max_size=9).map(lambda hours: np.datetime64("2018-05-01", "h") + np.array(hours, "timedelta64[h]"))


@given(DAYS.filter(len), DAYS, st.integers(0, 12))
def test_each_date_gets_the_nearest_radar(optical, radar, tolerance):
    found = pair(optical, radar, tolerance)
    for k, date in enumerate(optical):
        apart = {abs(int(r.astype("datetime64[D]").astype(int) - date.astype("datetime64[D]").astype(int))) for r in radar}
        if not apart or min(apart) > tolerance:
            assert found.index[k] == -1
            assert np.isnan(found.apart[k])
        else:
            chosen = radar[found.index[k]].astype("datetime64[D]").astype(int) - date.astype("datetime64[D]").astype(int)
            assert abs(chosen) == min(apart)
            assert found.apart[k] == chosen


def test_the_earlier_of_two_as_near():
    optical, radar = np.array(["2018-05-05T10:30"], "datetime64[ns]"), np.array(["2018-05-06T05:50", "2018-05-04T17:20"], "datetime64[ns]")
    assert pair(optical, radar, 1).index.tolist() == [1]


@given(st.lists(st.integers(1, 20), min_size=1, max_size=12), st.integers(1, 20))
def test_triplets_are_three_dates_in_a_row(gaps, limit):
    days = np.cumsum(gaps).astype(np.float64)
    for t, (one, two) in enumerate(triplets(days, limit)):
        assert one == (t - 1 if t and gaps[t] <= limit else -1)
        assert two == (t - 2 if one >= 1 and gaps[t - 1] <= limit else -1)


@given(st.dates(min_value=np.datetime64("2015-01-01").item(), max_value=np.datetime64("2030-12-31").item()))
def test_the_season_goes_round_once_a_year(date):
    (sine,), (cosine,) = season_of(np.array([date], "datetime64[ns]"))
    angle = np.arctan2(sine, cosine) / (2 * np.pi) % 1
    assert abs(angle - (date.timetuple().tm_yday - 1) / 365.25) % 1 < 1e-5 or angle > 1 - 1e-5
    assert abs(sine**2 + cosine**2 - 1) < 1e-6


def test_days_since_a_date():
    times = np.array(["2018-05-03T12", "2018-05-05"], "datetime64[s]")
    assert days_of(times).tolist() == [0, 1.5]
    assert days_of(times, np.datetime64("2018-05-01")).tolist() == [2.5, 4]
