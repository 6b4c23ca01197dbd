"""Training of dynamics: series from cubes, losses, learning, going on after a stop, hindcasts, scores, the shell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from click.testing import CliRunner

import xsentinel as xs
from tests.cubes import make_cube
from xsentinel.blocks.model import load_model
from xsentinel.blocks.rollout import start_series
from xsentinel.cli import main
from xsentinel.kernels.cressman import fill_cressman
from xsentinel.models.card import Forecast
from xsentinel.models.dynamics import Dynamics
from xsentinel.training import evaluate_dynamics, train_dynamics
from xsentinel.training.dynamics import set_coordinates
from xsentinel.training.dynamics_loop import Learner, States
from xsentinel.training.dynamics_presets import DYNAMICS_PRESETS, DynamicsPreset, Stage
from xsentinel.training.dynamics_series import class_pixels, make_series, split_series

BANDS = ("B04", "B8A")
QUICK = DynamicsPreset(width=16, stages=(Stage(1, 60, batch=32), Stage(4, 20, rate=1e-3, batch=16, noise=0.01)))


def seasons(years=3, shape=(6, 5), step=5, noise=0.005, gaps=0.3, seed=0) -> xr.Dataset:
    """Give a cube whose pixels swing once a year, each by an amplitude of its own."""
    rng = np.random.default_rng(seed)
    time = np.datetime64("2017-01-01", "ns") + np.arange(0, 365 * years, step) * np.timedelta64(1, "D")
    angle = 2 * np.pi * np.arange(0, 365 * years, step) / 365.2425
    gain = rng.uniform(0.6, 1.4, shape)
    cube = make_cube((time.size, *shape), BANDS, gaps=0).assign_coords(time=time)
    hidden = rng.uniform(size=(time.size, *shape)) < gaps
    for band, mean, swing in (("B04", 0.1, -0.05), ("B8A", 0.3, 0.12)):
        values = mean + swing * np.cos(angle)[:, None, None] * gain + rng.normal(0, noise, hidden.shape)
        cube[band] = ("time", "y", "x"), np.where(hidden, np.nan, values).astype(np.float32)
    return cube


@pytest.fixture(scope="module")
def cube() -> xr.Dataset:
    return seasons()


def state_of(preset: DynamicsPreset) -> Forecast:
    return Forecast(preset.step_days, dict(preset.filling), preset.base)


def test_class_pixels_and_their_neighbours(cube):
    mask = xr.zeros_like(cube.B04[0], bool).drop_vars("time")
    mask[2, 3] = mask[0, 0] = True
    grown = class_pixels(cube, mask)
    want = np.zeros((6, 5), bool)
    for y, x in [(2, 3), (1, 3), (3, 3), (2, 2), (2, 4), (0, 0), (1, 0), (0, 1)]:
        want[y, x] = True
    np.testing.assert_array_equal(grown, want)
    np.testing.assert_array_equal(class_pixels(cube.assign(forest=mask), "forest", neighbours=False), mask)
    assert class_pixels(cube).all()


def test_class_pixels_of_polygons(cube):
    import geopandas as gpd
    from shapely.geometry import box

    x, y = cube.x.values, cube.y.values
    field = gpd.GeoDataFrame(geometry=[box(x[1] - 9, y[3] - 9, x[2] + 9, y[2] + 9)], crs="EPSG:32632")
    want = np.zeros((6, 5), bool)
    want[2:4, 1:3] = True
    for polygons in (field, field.to_crs("EPSG:4326")):
        np.testing.assert_array_equal(class_pixels(cube, polygons, neighbours=False), want)
    with pytest.raises(xs.XSentinelError, match="no pixel in the cube"):
        class_pixels(cube, gpd.GeoDataFrame(geometry=[box(0, 0, 1, 1)], crs="EPSG:32632"))


@pytest.mark.parametrize("bad", ["forest", np.ones((2, 2), bool)])
def test_a_mask_that_does_not_fit(cube, bad):
    with pytest.raises(xs.XSentinelError, match=r"no variable of the cube|\(2, 2\) pixels"):
        class_pixels(cube, bad if isinstance(bad, str) else xr.DataArray(bad, dims=("y", "x")))


def test_series_are_filled_with_hindsight_and_started_without(cube):
    late = cube.isel(time=slice(0, 60))
    preset = replace(QUICK, causal=True)
    series = make_series(late, BANDS, state_of(preset), class_pixels(late), 100, 0)
    values = np.stack([late[b].values.reshape(60, -1) for b in BANDS], 1)
    t = series.dates
    np.testing.assert_allclose(series.filled, fill_cressman(values.reshape(60, -1), t, t).reshape(values.shape), rtol=1e-5)
    for k in (7, 30):  # what comes later does not count
        changed = values.copy()
        changed[k + 1 :] = 9
        told = start_series(changed, t, t[k : k + 1], 2, state_of(preset))[0]
        np.testing.assert_array_equal(told, series.known[k])
    np.testing.assert_array_equal(series.observed, values)
    assert series.high == pytest.approx(np.nanmax(series.filled))
    hindsight = make_series(late, BANDS, state_of(preset), class_pixels(late), 100, 0, causal=False)
    np.testing.assert_array_equal(hindsight.known[1:, 0], hindsight.filled[:-1])
    assert make_series(late, BANDS, state_of(preset), class_pixels(late), 7, 0).filled.shape[2] == 7


def test_starts_from_a_base_shrink_with_age():
    forecast = Forecast(5.0, {}, "climatology")
    t = np.arange(0.0, 50, 5)
    values = np.full((10, 1, 1), np.nan, np.float32)
    values[2] = 0.1
    told = start_series(values, t, np.array([10.0, 20.0, 45.0]), 2, forecast)[:, 1, 0, 0]
    weights = np.exp(-0.5 * (np.array([0, 10, 35]) / 10) ** 2)
    np.testing.assert_allclose(told, 0.1 * weights / (weights + 0.3), rtol=1e-5)


def test_held_out_series_are_others(cube):
    series = make_series(cube, BANDS, state_of(QUICK), class_pixels(cube), 100, 0, causal=False)
    train, held = split_series({"a": series}, 0.2, 0)
    assert (train["a"].filled.shape[2], held["a"].filled.shape[2]) == (24, 6)
    together = np.concatenate([train["a"].filled, held["a"].filled], 2)
    np.testing.assert_array_equal(np.sort(together, 2), np.sort(series.filled, 2))


def learner(cube, preset, seed=0):
    torch.manual_seed(seed)
    series = make_series(cube, BANDS, state_of(preset), class_pixels(cube), 100, 0, preset.causal)
    network = Dynamics(preset.dates * 2, 2, preset.scheme, preset.width, preset.members, preset.dates, preset.turn)
    set_coordinates(network, [series], series.high, (preset.floor, preset.pace_floor))
    return Learner(network, States.of(network, [series], series.high), preset, seed)


def test_coordinates_make_states_of_spread_one(cube):
    made = learner(cube, replace(QUICK, floor=1e-6, pace_floor=1e-6))
    states = made.states.truth[made.states.truth.isfinite().all(2)]
    np.testing.assert_allclose(states.std(0), 1, rtol=0.05)
    np.testing.assert_allclose(states[:, :2].mean(0), 0, atol=0.05)


def test_a_loss_is_the_mean_square_of_what_was_missed(cube):
    made = learner(cube, QUICK)
    made.generator.manual_seed(5)
    loss = made.loss(Stage(2, 1, batch=8, decay=1.0), 1)
    made.generator.manual_seed(5)
    places = made.states.starts[torch.randint(len(made.states.starts), (1, 8), generator=made.generator)]
    state, total = made.start(places, 0.0), 0.0
    for q in (1, 2):
        state = made.network.step(state)
        missed = [
            (state.z[0, :, n] - made.states.truth[i, t + q]).square()
            for n, (i, t) in enumerate(places[0])
            if t + q < made.states.truth.shape[1] and made.states.truth[i, t + q].isfinite().all()
        ]
        total = total + torch.stack(missed).mean() / q
    torch.testing.assert_close(loss, total / 1.5)


@pytest.mark.parametrize("more", [{"energy": 1.0}, {"period": 3, "period_weight": 1.0}])
def test_constraints_add_to_the_loss_and_have_a_gradient(cube, more):
    plain, bound = learner(cube, QUICK), learner(cube, replace(QUICK, **more))
    stage = Stage(2, 1, batch=8)
    one, other = plain.loss(stage, 0), bound.loss(stage, 0)
    assert other > one
    (other - one.detach()).backward()
    assert all(p.grad.isfinite().all() for p in bound.network.parameters())


@pytest.mark.parametrize("scheme", ["rk4", "euler", "lstm"])
def test_learning_beats_standing_still(cube, tmp_path, scheme):
    preset = replace(QUICK, scheme=scheme, dates=6 if scheme == "lstm" else 2, season=True, stages=(Stage(1, 400, batch=64),))
    model = train_dynamics({"a": cube}, tmp_path, preset=preset, until="2019-01-01", progress=False)
    assert model.card.forecast.horizons[0] == 1
    assert model.card.training["series"] == {"a": 24}
    table = evaluate_dynamics([model, "persistence"], {"a": cube}, since="2019-01-01", horizons=(8, 20))
    learnt, still = (table[table.model == m].RMSE.to_numpy() for m in ("dynamics", "persistence"))
    assert (learnt[1] < still[1]).all()
    assert (table.diverged == 0).all()


def test_the_recommended_preset_is_not_worse_than_climatology(tmp_path):
    cube = seasons(4, (5, 5), noise=0.01)
    preset = replace(DYNAMICS_PRESETS["default"], members=2, stages=(Stage(1, 100), Stage(8, 40, rate=1e-3, batch=32)))
    model = train_dynamics({"a": cube}, tmp_path, preset=preset, until="2020-01-01", progress=False)
    table = evaluate_dynamics([model, "climatology"], {"a": cube}, since="2020-01-01", horizons=(6, 73))
    learnt, usual = (table[table.model == m].RMSE.to_numpy() for m in ("dynamics", "climatology"))
    assert (learnt < 1.15 * usual).all()
    assert (table.coverage > 0.8).all()


def test_a_training_goes_on_to_the_same_end(cube, tmp_path, monkeypatch):
    from xsentinel.training import dynamics_loop

    monkeypatch.setattr(dynamics_loop, "KEEP_EVERY", 10)
    whole = train_dynamics({"a": cube}, tmp_path / "whole", preset=QUICK, progress=False)
    again = train_dynamics({"a": cube}, tmp_path / "again", preset=QUICK, progress=False)
    assert whole.card.digest == again.card.digest
    calls = 0
    real = Learner.loss

    def stopping(self, stage, step):
        nonlocal calls
        calls += 1
        if calls == 66:
            raise KeyboardInterrupt
        return real(self, stage, step)

    monkeypatch.setattr(Learner, "loss", stopping)
    with pytest.raises(KeyboardInterrupt):
        train_dynamics({"a": cube}, tmp_path / "part", preset=QUICK, progress=False)
    monkeypatch.setattr(Learner, "loss", real)
    resumed = train_dynamics({"a": cube}, tmp_path / "part", preset=QUICK, progress=False, resume=True)
    assert resumed.card.digest == whole.card.digest
    other = replace(QUICK, stages=QUICK.stages[:1])
    with pytest.raises(xs.ReadError, match="of other stages"):
        train_dynamics({"a": cube}, tmp_path / "part", preset=other, progress=False, resume=True)
    (tmp_path / "part" / "checkpoints" / "rk4.ckpt").write_bytes(b"PK nothing")
    with pytest.raises(xs.ReadError, match="cannot be gone on from"):
        train_dynamics({"a": cube}, tmp_path / "part", preset=QUICK, progress=False, resume=True)


def test_scores_are_those_of_numpy(cube):
    table = evaluate_dynamics(["persistence"], {"a": cube}, since="2019-06-01", horizons=(1, 2, 30), exact=True)
    past, after = cube.sel(time=slice(None, "2019-05-31")), cube.sel(time=slice("2019-06-01", None))
    last = {b: np.array([[s[np.isfinite(s)][-1] for s in row] for row in past[b].values.transpose(1, 2, 0)]) for b in BANDS}
    for row, k in zip(table.itertuples(), (0, 1, 29), strict=True):
        apart = np.stack([last[b] - after[b][k].values for b in BANDS])
        assert pytest.approx(1e3 * np.sqrt(np.nanmean(apart**2)), rel=1e-4) == row.RMSE
        assert row.n == np.isfinite(apart).all(0).sum()
    two = evaluate_dynamics(["persistence"], {"a": cube}, since=["2019-06-01", "2019-07-01"], horizons=(1,))
    assert two.n[0] > table.n[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c, f: train_dynamics({"a": c}, f, preset="best"), "'best' is not known; the presets are default"),
        (lambda c, f: train_dynamics({"a": c}, f, speed=3), "train_dynamics has no speed"),
        (lambda c, f: train_dynamics({"a": c, "b": c.drop_vars("B04")}, f, preset=QUICK), "same bands in all cubes"),
        (lambda c, f: train_dynamics({"a": c}, f, preset=QUICK, until="2017-01-02"), "1 dates lie before"),
        (lambda c, f: train_dynamics({"a": c.isel(time=slice(2))}, f, preset=QUICK), "need four at the least"),
        (lambda c, f: train_dynamics({"a": c * np.nan}, f, preset=QUICK), "no valid pixel"),
        (lambda c, f: evaluate_dynamics([], {"a": c}, since="2019-01-01"), "there are 0 models"),
        (lambda c, f: evaluate_dynamics(["persistence"], {"a": c}, since="2019-01-01", horizons=(3, 1)), "rising"),
        (lambda c, f: evaluate_dynamics(["persistence"], {"a": c}, since="2029-01-01"), "0 from it on"),
    ],
)
def test_bad_input_is_named(call, message, cube, tmp_path):
    with pytest.raises(xs.XSentinelError, match=message):
        call(cube, tmp_path)


def test_presets_are_found():
    for name in DYNAMICS_PRESETS:
        preset = DYNAMICS_PRESETS[name]
        assert preset.step_days == 5
        assert preset.turn == (pytest.approx(2 * np.pi * 5 / 365.2425) if preset.season else 0)


def test_the_shell_trains_evaluates_and_forecasts(cube, tmp_path: Path, monkeypatch):
    monkeypatch.setitem(DYNAMICS_PRESETS, "paper", QUICK)
    cube.s2.to_zarr(tmp_path / "cube.zarr")

    def shell(*arguments: object) -> str:
        done = CliRunner().invoke(main, [str(a) for a in arguments])
        assert done.exit_code == 0, done.output
        return done.output

    said = shell("train", "dynamics", tmp_path / "cube.zarr", tmp_path / "m", "--preset", "paper", "--until", "2019-01-01", "--no-progress")
    assert "rk4" in said
    table = shell("evaluate", "dynamics", tmp_path / "m" / "dynamics.json", tmp_path / "cube.zarr", "--since", "2019-01-01")
    assert all(word in table for word in ("RMSE", "SAE", "dynamics", "climatology", "koopman", "37–73"))
    model = tmp_path / "m" / "dynamics.json"
    out = tmp_path / "future.zarr"
    shell("forecast", tmp_path / "cube.zarr", out, "--model", model, "--steps", 5, "--confidence", 0.9, "--keep-clouds", "--no-progress")
    future = xs.open(out, chunks=None)
    want = xs.open(tmp_path / "cube.zarr", chunks=None).s2.forecast(load_model(model), steps=5, confidence=0.9)
    np.testing.assert_allclose(future.B8A, want.B8A, rtol=1e-5)
    assert {"B8A_lower", "forecast_flags"} <= set(future)
    wrong = CliRunner().invoke(main, ["forecast", str(tmp_path / "cube.zarr"), str(out), "--model", "prophet", "--keep-clouds"])
    assert wrong.exit_code == 2
    assert "'prophet' is not known" in wrong.output
