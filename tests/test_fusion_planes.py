"""The planes of a date, against a walk over single pixels."""

from __future__ import annotations

import numpy as np
import pytest

from xsentinel.blocks.fusion import Dates, Past
from xsentinel.models.planes import CARRIED, FUSION, SEASON, TRIPLET, FusionInputs, limits_of
from xsentinel.triplets import triplets

DAYS = np.array([0.0, 5, 10, 15, 40, 45, 50, 120])
SHAPE = (3, 4)


def layers(seed=0, gaps=0.4, radar_gaps=0.1):
    """Give random layers of all dates with gaps."""
    rng = np.random.default_rng(seed)
    shape = (len(DAYS), *SHAPE)
    clear = rng.uniform(size=shape) > gaps
    lai = np.where(clear, rng.uniform(0, 6, shape), np.nan)
    classes = np.where(clear, rng.choice([1, 3, 4, 5], shape), rng.choice([0, 2], shape))
    radar = np.where(rng.uniform(size=(2, *shape)) > radar_gaps, rng.uniform(-25, -5, (2, *shape)), np.nan)
    return np.stack([lai, classes, *radar]).astype(np.float32)


def past_of(inputs=FusionInputs(), **options):  # noqa: B008  (frozen)
    return Past(layers(**options), Dates(DAYS, triplets(DAYS, inputs.max_gap_days)), inputs)


def slow_slots(lai, t, inputs):
    """Give the date of each slot for one pixel, None where there is none."""
    near = [t > k and DAYS[t - k] - DAYS[t - k - 1] <= inputs.max_gap_days for k in (0, 1)]
    clear = [k for k in range(t - 1, -1, -1) if not np.isnan(lai[k])][:2]
    last, before = ([k if DAYS[t] - DAYS[k] <= inputs.max_age_days else None for k in clear] + [None, None])[:2]
    return {"t0": t, "t1": t - 1 if near[0] else None, "t2": t - 2 if near[0] and near[1] else None, "last": last, "before": before}


def slow_pixel(values, t, names, inputs):
    """Give the planes of one pixel (layer, time), None where the network cannot be run."""
    lai, classes, vv, vh = values
    slots = slow_slots(lai, t, inputs)
    wanted = list(dict.fromkeys(n.split("_")[1] for n in names))
    for slot in {"t0", *(s for s in wanted if s.startswith("t"))}:
        if slots[slot] is None or np.isnan(vv[slots[slot]]) or np.isnan(vh[slots[slot]]):
            return None
    known = [s for s in wanted if s != "t0" and slots[s] is not None and not np.isnan(lai[slots[s]])]
    if len(known) < inputs.least_observations:
        return None
    out = []
    for name in names:
        quantity, slot = name.split("_")
        there = slots[slot]
        if quantity == "age":
            out.append(inputs.max_age_days if there is None else DAYS[t] - DAYS[there])
        elif quantity in ("vv", "vh"):
            series = vv if quantity == "vv" else vh
            out.append(series[t] if there is None or np.isnan(series[there]) else series[there])
        else:
            value = np.nan if there is None else {"lai": lai, "class": classes}[quantity][there]
            out.append(0 if np.isnan(value) else value)
    return np.array(out, np.float32)


@pytest.mark.parametrize("names", [TRIPLET, CARRIED, ("vv_t0", "lai_last"), ("class_t0", "lai_t1", "age_t1", "vh_before"), tuple(FUSION)])
@pytest.mark.parametrize("inputs", [FusionInputs(), FusionInputs(30, 20, 1, 1), FusionInputs(1e9, 1e9, 1, 2)])
def test_planes_are_those_of_each_pixel(names, inputs):
    past = past_of(inputs)
    ran = 0
    for t in range(len(DAYS)):
        planes = past.planes(t, names)
        assert planes.dtype == np.float32
        assert planes.shape == (len(names), *SHAPE)
        for place in np.ndindex(SHAPE):
            expected = slow_pixel(past.layers[(slice(None), slice(None), *place)], t, names, inputs)
            if expected is None:
                assert np.isnan(planes[(0, *place)])
            else:
                np.testing.assert_array_equal(planes[(slice(None), *place)], expected)
                ran += 1
    slots = {n.split("_")[1] for n in names} - {"t0"}
    assert (ran > 0) == (len(slots) >= inputs.least_observations)
    assert ran < len(DAYS) * 12


@pytest.mark.parametrize("names", [TRIPLET, CARRIED])
def test_what_comes_later_changes_nothing(names):
    past = past_of(FusionInputs(30, 60))
    later = Past(past.layers.copy(), past.dates, past.inputs)
    later.layers[:, 6:] = 1
    later.layers[0, 5], later.layers[1, 5] = 9, 3  # neither does leaf area of the date itself
    np.testing.assert_array_equal(later.planes(5, names), past.planes(5, names))
    assert not np.array_equal(later.planes(6, names), past.planes(6, names), equal_nan=True)


def test_planes_come_in_the_order_asked_for():
    past = past_of(radar_gaps=0)
    one, two = past.planes(2, TRIPLET), past.planes(2, TRIPLET[::-1])
    np.testing.assert_array_equal(one, two[::-1])


def test_every_plane_has_limits():
    for name in (*FUSION, *SEASON):
        low, high = limits_of(name, FusionInputs())
        assert low < high
    assert "lai_t0" not in FUSION
    assert set(TRIPLET) | set(CARRIED) <= set(FUSION)
