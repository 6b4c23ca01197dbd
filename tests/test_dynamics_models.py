"""Networks that carry spectra on: schemes beside their formulas, shapes, gradients, ensembles, the fast rollout, cards."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xsentinel.blocks.model import read_network, save_model
from xsentinel.errors import ReadError
from xsentinel.models.card import Card, Channel, Forecast, Output
from xsentinel.models.dynamics import SCHEMES, Dynamics, State, turned
from xsentinel.models.fast_rollout import FastRollout
from xsentinel.models.networks import build_network

BANDS = ("B03", "B04", "B8A")


def network(scheme="rk4", members=2, turn=0.1, dates=2, n_bands=3, components=None, seed=0) -> Dynamics:
    torch.manual_seed(seed)
    made = Dynamics(dates * n_bands, n_bands, scheme, 7, members, dates, turn, components)
    rank = components or n_bands
    axes = torch.linalg.qr(torch.randn(n_bands, n_bands))[0][:, :rank]
    spread = torch.linspace(0.5, 2, rank)
    made.set_coordinates(torch.rand(n_bands), axes / spread, (axes * spread).T, torch.linspace(0.1, 0.3, rank))
    return made


def card_of(made: Dynamics, **more) -> Card:
    settings = {"scheme": made.scheme, "width": 7, "members": made.members, "dates": made.dates, "turn": made.turn, "components": made.rank}
    channels, outputs = tuple(Channel(b, 0.0, 0.9) for b in BANDS), tuple(Output(b, b, "1") for b in BANDS)
    given_ = {"dates": made.dates, "forecast": Forecast(5.0, {"method": "cressman"}, "", (1, 10), ((0.01,) * 3, (0.02,) * 3))} | more
    return Card("test", "dynamics", settings, channels, outputs, 20, 1, 0, "Apache-2.0", **given_)


def spectra(n=5, dates=2, n_bands=3) -> torch.Tensor:
    return torch.rand(dates, n_bands, n, generator=torch.Generator().manual_seed(1))


def slope_twin(made: Dynamics, member: int, z: np.ndarray, angle: float) -> np.ndarray:
    rule = {name: p.detach().double().numpy()[member] for name, p in made.rule.named_parameters()}
    x = np.concatenate([z, [np.cos(angle), np.sin(angle)]]) if made.turn else z
    return rule["second"] @ np.tanh(rule["first"] @ x + rule["first_bias"][:, 0]) + rule["second_bias"][:, 0]


@pytest.mark.parametrize("scheme", ["rk4", "euler"])
@pytest.mark.parametrize("turn", [0.0, 0.3])
@torch.no_grad()
def test_a_step_is_its_formula(scheme, turn):
    made, angle = network(scheme, turn=turn), 0.4
    state = made.start(spectra(), (np.cos(angle), np.sin(angle)))
    after = made.step(state)
    for member in range(2):
        for n in range(5):
            z = state.z[member, :, n].double().numpy()
            k1 = slope_twin(made, member, z, angle)
            k2 = slope_twin(made, member, z + k1 / 2, angle + turn / 2)
            k3 = slope_twin(made, member, z + k2 / 2, angle + turn / 2)
            k4 = slope_twin(made, member, z + k3, angle + turn)
            want = z + (k1 if scheme == "euler" else (k1 + 2 * k2 + 2 * k3 + k4) / 6)
            np.testing.assert_allclose(after.z[member, :, n], want, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(after.phase, (np.cos(angle + turn), np.sin(angle + turn)))


@torch.no_grad()
def test_an_lstm_is_that_of_torch():
    made = network("lstm", members=1, turn=0.0, dates=4)
    twin = torch.nn.LSTM(6, 7)
    gates = made.rule.gates[0]
    twin.weight_ih_l0.copy_(gates[:, :6])
    twin.weight_hh_l0.copy_(gates[:, 6:])
    twin.bias_ih_l0.copy_(made.rule.gates_bias[0, :, 0])
    twin.bias_hh_l0.zero_()
    x = spectra(dates=4)
    states = made.states(x)  # (date, component, series)
    hidden = twin(states.permute(0, 2, 1))[0][-1]
    want = hidden @ made.rule.out[0].T + made.rule.out_bias[0, :, 0]
    torch.testing.assert_close(made.step(made.start(x)).z[0].T, want)


@torch.no_grad()
def test_states_are_spectra_and_left_differences():
    made = network(members=1)
    x = spectra()
    torch.testing.assert_close(made.spectra(made.start(x))[0], x[-1])
    state = made.start(x).z[0]
    torch.testing.assert_close(made.synthesis.T @ (state[3:] * made.pace[:, None]), x[1] - x[0])


@pytest.mark.parametrize("scheme", ["rk4", "euler"])
@pytest.mark.parametrize("turn", [0.0, 0.2])
@torch.no_grad()
def test_the_fast_rollout_is_the_plain_one(scheme, turn):
    made, x = network(scheme, turn=turn, components=2), spectra(9)
    fast = [s.clone() for s in FastRollout(made).rollout(x, 6, (0.6, 0.8))]
    for one, other in zip(fast, made.rollout(x, 6, (0.6, 0.8)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_fast_rollout_has_no_memory():
    with pytest.raises(ValueError, match="lstm"):
        FastRollout(network("lstm", dates=3))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_parameter_learns_through_a_rollout(scheme):
    made = network(scheme, dates=3 if scheme == "lstm" else 2)
    x = spectra(dates=made.dates).requires_grad_()
    sum(s.square().mean() for s in made.rollout(x, 4)).backward()
    assert [n for n, p in made.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("scheme", SCHEMES)
@torch.no_grad()
def test_series_and_members_do_not_meet(scheme):
    made = network(scheme, members=3, dates=3 if scheme == "lstm" else 2)
    x = spectra(8, made.dates)
    whole = list(made.rollout(x, 5))[-1]
    alone = list(made.rollout(x[..., 2:3], 5))[-1]
    torch.testing.assert_close(alone[..., 0], whole[..., 2], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(whole[0], whole[1])
    image = x.permute(0, 1, 2).reshape(1, -1, 2, 4)
    torch.testing.assert_close(made(image).reshape(3, 8), next(made.rollout(x, 1)).mean(0))


@torch.no_grad()
def test_each_series_may_have_its_own_time_of_year():
    made = network(turn=0.2)
    x, angles = spectra(2), torch.tensor([0.3, 1.7])
    states = made.start(x).z
    together = made.step(State(states, (angles.cos()[None, None], angles.sin()[None, None])))
    for n, angle in enumerate(angles.tolist()):
        alone = made.step(made.start(x, (np.cos(angle), np.sin(angle))))
        torch.testing.assert_close(together.z[..., n], alone.z[..., n])


@given(st.floats(0, 7), st.floats(-4, 4))
def test_turning_adds_angles(a, b):
    np.testing.assert_allclose(turned((np.cos(a), np.sin(a)), b), (np.cos(a + b), np.sin(a + b)), atol=1e-12)


@pytest.mark.parametrize("change", [{"scheme": "verlet"}, {"members": 0}, {"dates": 1}, {"components": 4}, {"width": 0}])
def test_settings_that_make_no_sense_are_refused(change):
    settings = {"scheme": "rk4", "width": 7, "members": 1, "dates": 2, "components": 3} | change
    card = replace(card_of(network()), settings=settings, dates=settings["dates"])
    with pytest.raises(ReadError, match="cannot be built"):
        build_network(card)


def test_a_card_of_a_forecast_comes_back(tmp_path):
    made = network(members=2)
    model = save_model(made, card_of(made), tmp_path)
    again = Card.from_json(model.card.to_json())
    assert again == model.card
    assert again.forecast.errors == ((0.01,) * 3, (0.02,) * 3)
    x = spectra()
    with torch.no_grad():
        torch.testing.assert_close(next(read_network(model).rollout(x, 1)), next(made.rollout(x, 1)))
    assert pickle.loads(pickle.dumps(model)) == model


@pytest.mark.parametrize("change", [{"step_days": 0}, {"horizons": [10, 1]}, {"errors": [[0.1]]}, {"base": "astrology"}])
def test_a_damaged_forecast_is_refused(change):
    item = json.loads(card_of(network()).to_json())
    item["properties"]["xsentinel:model"]["forecast"] |= change
    with pytest.raises(ReadError, match="make no sense"):
        Card.from_json(json.dumps(item))


def test_bands_of_another_sensor_are_for_forecasts_alone():
    text = card_of(network()).to_json().replace('"B8A"', '"H101"')
    assert Card.from_json(text).bands == ("B03", "B04", "H101")
    item = json.loads(text)
    item["properties"]["xsentinel:model"]["forecast"] = None
    with pytest.raises(ReadError, match="H101"):
        Card.from_json(json.dumps(item))
