"""The gates of an LSTM against their formulas in float64."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xsentinel.kernels.recurrent import step_lstm

UNTOUCHED = 12345


def widened(bits):
    """Read bfloat16."""
    return (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def twin(gates, bias, cell):
    enter, keep, new, out = np.split(widened(gates) + bias, 4, 1)
    cell = sigmoid(keep) * cell + sigmoid(enter) * np.tanh(new)
    return cell, sigmoid(out) * np.tanh(cell)


def case(n, units, seed, spread=3.0):
    rng = np.random.default_rng(seed)
    gates = (rng.normal(0, spread, (n, 4 * units)).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return gates, rng.normal(0, 1, 4 * units).astype(np.float32), rng.normal(0, 1, (n, units)).astype(np.float32)


@given(n=st.integers(0, 9), units=st.integers(1, 40), first=st.integers(0, 5), beside=st.integers(0, 3), seed=st.integers(0, 999))
def test_a_step_against_twin(n, units, first, beside, seed):
    gates, bias, cell = case(n, units, seed)
    expected_cell, expected = twin(gates, bias, cell)
    own, after = (np.full((n, width), UNTOUCHED, np.uint16) for width in (first + units + beside, units + beside))
    step_lstm(gates, bias, cell, own, first, after)
    np.testing.assert_allclose(cell, expected_cell, rtol=1e-5, atol=2e-6)
    hidden = own[:, first : first + units]
    # the nearest of eight significant bits: half of the last one, and what float32 adds
    assert (np.abs(widened(hidden) - expected) <= np.abs(expected) * 2.0**-8 + 2e-6).all()
    np.testing.assert_array_equal(after[:, :units], hidden)
    assert (own[:, :first] == UNTOUCHED).all()
    assert (own[:, first + units :] == UNTOUCHED).all()
    assert (after[:, units:] == UNTOUCHED).all()


def test_hidden_states_are_rounded_to_nearest():
    gates, bias, cell = case(200, 50, 1)
    expected = twin(gates, bias, cell)[1]
    own, after = np.zeros((200, 50), np.uint16), np.zeros((200, 50), np.uint16)
    step_lstm(gates, bias, cell, own, 0, after)
    error = (np.abs(widened(own)) - np.abs(expected)) / np.abs(expected)
    assert abs(error.mean()) < 2e-4  # cut off, it would be −2.8e-3


def test_far_gates_saturate():
    gates = np.full((1, 4), 0x43C8, np.uint16)  # 400
    cell = np.full((1, 1), 2, np.float32)
    own, after = np.zeros((1, 1), np.uint16), np.zeros((1, 1), np.uint16)
    step_lstm(gates, np.zeros(4, np.float32), cell, own, 0, after)
    np.testing.assert_allclose(cell, 3, atol=1e-6)
    np.testing.assert_allclose(widened(own), np.tanh(3), rtol=2.0**-8)
