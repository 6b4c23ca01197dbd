"""`forecast`, `anomaly` and `bridge_gaps` as products: labels, laziness, classes, intervals, bad input, divergence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import xarray as xr

import xsentinel as xs
from tests.conftest import raise_if_dask_computes
from tests.cubes import make_cube
from xsentinel.blocks.model import Model, save_model
from xsentinel.blocks.rollout import fill_series, phase_at, regular_dates
from xsentinel.kernels.forecast import BASELINES
from xsentinel.models.card import Card, Channel, Forecast, Output
from xsentinel.models.dynamics import Dynamics

BANDS = ("B03", "B04", "B8A")


def a_model(folder: Path, name: str = "rk4", gain: float = 0.02, **change) -> Model:
    """Save dynamics with random weights, that go slowly."""
    settings = {"scheme": "rk4", "width": 9, "members": 3, "dates": 2, "turn": 0.08, "components": 3} | change.pop("settings", {})
    forecast = Forecast(5.0, {"method": "cressman", "radius": 10.0}, "", (1, 10), ((0.01,) * 3, (0.03,) * 3))
    forecast = replace(forecast, **change)
    torch.manual_seed(2)
    network = Dynamics(settings["dates"] * 3, 3, **settings)
    for p in network.parameters():
        p.data.mul_(gain ** (1 / 2))
    channels, outputs = tuple(Channel(b, 0.0, 0.8) for b in BANDS), tuple(Output(b, f"reflectance of {b}", "1") for b in BANDS)
    card = Card(name, "dynamics", settings, channels, outputs, 20, 1, 0, "Apache-2.0", dates=settings["dates"], forecast=forecast)
    return save_model(network, card, folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return a_model(tmp_path_factory.mktemp("dynamics"))


@pytest.fixture(scope="module")
def cube() -> xr.Dataset:
    return make_cube((30, 7, 6), BANDS)


def of(method, model):
    return model if method == "model" else method


METHODS = ["model", *BASELINES]


@pytest.mark.parametrize("method", METHODS)
def test_labels_and_provenance(method, model, cube):
    before = cube.copy(deep=True)
    future = cube.s2.forecast(of(method, model), steps=4, spread=True, confidence=0.9)
    xr.testing.assert_identical(cube, before)
    assert list(future) == [*BANDS, *(f"{b}_{e}" for e in ("std", "lower", "upper") for b in BANDS), "forecast_flags"]
    assert {future[v].dtype for v in future} == {np.dtype(np.float32), np.dtype(np.uint8)}
    assert (np.diff(future.time.values) == np.timedelta64(5, "D")).all()
    assert future.time.values[0] - cube.time.values[-1] == np.timedelta64(5, "D")
    assert future.forecast_reference_time.values == cube.time.values[-1]
    assert future.rio.crs == cube.rio.crs
    assert "platform" not in future.coords
    assert future.attrs["model"] == ("rk4" if method == "model" else method)
    assert future.B04.attrs["units"] == "1"
    assert future.B04.attrs["grid_mapping"] == "spatial_ref"
    assert future.B04.attrs["ancillary_variables"] == "forecast_flags B04_std B04_lower B04_upper"
    assert future.B04_lower.attrs["long_name"] == "lower end of the 90% interval of forecast reflectance of B04"
    np.testing.assert_allclose(future.B04_upper - future.B04, 1.6448536 * future.B04_std, atol=1e-6)
    np.testing.assert_allclose(future.B04 - future.B04_lower, 1.6448536 * future.B04_std, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("chunks", [{"time": 7, "y": 3, "x": 4}, {"time": 30, "y": 7, "x": 1}])
def test_dask_equals_numpy(method, model, stored, chunks):
    cube = make_cube((30, 7, 6), BANDS, stored=stored)
    whole = cube.s2.forecast(of(method, model), steps=5, spread=True)
    with raise_if_dask_computes():
        lazy = cube.chunk(chunks).s2.forecast(of(method, model), steps=5, spread=True)
    assert all(v.chunks for v in lazy.data_vars.values())
    xr.testing.assert_allclose(lazy.compute(), whole, atol=2e-4)
    assert lazy.B04.attrs == whole.B04.attrs
    np.testing.assert_array_equal(lazy.forecast_flags, whole.forecast_flags)


def test_a_model_is_a_fill_and_a_rollout(model, cube):
    from xsentinel.blocks.model import read_network

    future = cube.s2.forecast(model, steps=6, spread=True)
    days = (cube.time.values - np.datetime64("1970-01-01", "ns")) / np.timedelta64(1, "D")
    network = read_network(model)
    for y, x in [(0, 0), (3, 5)]:
        series = np.stack([cube[b].values[:, y, x] for b in BANDS], 1)[..., None]
        held = replace(model.card.forecast, filling={"method": "cressman", "extrapolate": "nearest"})
        start = fill_series(series, days, regular_dates(days[-1], 5.0, 2), held)
        with torch.no_grad():
            steps = torch.stack(list(network.rollout(torch.from_numpy(start) / 0.8, 6, phase_at(days[-1])))).numpy() * 0.8
        for k, b in enumerate(BANDS):
            np.testing.assert_allclose(future[b][:, y, x], steps[:, :, k, 0].mean(1), rtol=1e-4, atol=1e-5)
            error = np.interp(np.arange(1, 7), [1, 10], [0.01, 0.03])
            np.testing.assert_allclose(future[f"{b}_std"][:, y, x], np.hypot(steps[:, :, k, 0].std(1, ddof=1), error), rtol=1e-3)


def test_differences_from_the_climatology_start_and_end_at_it(tmp_path):
    rng, t = np.random.default_rng(0), np.arange("2016-01-01", "2020-01-01", 8, "datetime64[D]").astype("datetime64[ns]")
    season = 0.3 + 0.1 * np.cos(2 * np.pi * np.arange(t.size) * 8 / 365.2425)
    cube = xr.Dataset({b: (("time", "y", "x"), (season[:, None, None] + rng.normal(0, 0.01, (1, 2, 2))).astype(np.float32)) for b in BANDS})
    cube = cube.assign_coords(time=t)
    still = a_model(tmp_path, "still", gain=0.0, base="climatology")
    future, usual = cube.s2.forecast(still, steps=73), cube.s2.forecast("climatology", steps=73)
    for b in BANDS:
        assert abs(future[b] - usual[b]).max() < 0.01  # no difference at the start, and none comes of it
    shifted = cube.copy()
    shifted["B8A"] = cube.B8A + (cube.time > np.datetime64("2019-12-01")) * np.float32(0.1)
    moved = shifted.s2.forecast(still, steps=73)
    assert float((moved.B8A - future.B8A)[0].min()) > 0.05


def test_classes(model, cube):
    by = xr.DataArray(np.repeat([3, 8], 21).reshape(7, 6), dims=("y", "x"))
    future = cube.s2.forecast(model, steps=4, by=by)
    assert future.B04.dims == ("time", "class")
    assert future["class"].values.tolist() == [3, 8]
    assert "x" not in future.coords
    mean = (
        cube[list(BANDS)].where(by == 8).mean(("y", "x"))[list(BANDS)].expand_dims(y=1, x=1).transpose("time", "y", "x").astype(np.float32)
    )
    np.testing.assert_allclose(future.B04.sel({"class": 8}), mean.s2.forecast(model, steps=4).B04[:, 0, 0], atol=1e-5)
    lazy = cube.assign(crop=by).chunk({"y": 3}).s2.forecast(model, steps=4, by="crop")
    np.testing.assert_allclose(lazy.B04, future.B04, atol=1e-5)


def test_gaps_at_the_end_are_flagged(model, cube):
    hidden = cube.map(lambda b: b.where((b.time < b.time[10]) | (b.x > 600_020)) if b.dtype.kind == "f" else b)
    future = hidden.s2.forecast(model, steps=3)
    lost = (cube.x <= 600_020).values
    assert (future.forecast_flags[..., lost] == 1).all()
    assert future.B04[..., lost].isnull().all()
    assert (future.forecast_flags[..., ~lost] == 0).all()
    assert future.B04[..., ~lost].notnull().all()


def test_what_diverges_is_nan_and_flagged(tmp_path, cube):
    wild = a_model(tmp_path, "wild", gain=1e4)
    future = cube.s2.forecast(wild, steps=40, spread=True)
    flags = future.forecast_flags
    assert (flags[-1] == 2).all()
    assert (flags.astype(int).diff("time") >= 0).all()
    for b in BANDS:
        assert future[b].where(flags != 0).isnull().all()
        assert future[f"{b}_std"].where(flags != 0).isnull().all()
        assert not (abs(future[b]) > 2).any()


def test_irregular_and_unsorted_dates(model, cube):
    order = np.random.default_rng(0).permutation(30)
    kept = cube.isel(time=[k for k in range(30) if k % 4])
    xr.testing.assert_allclose(cube.isel(time=order).s2.forecast(model, steps=3), cube.s2.forecast(model, steps=3))
    assert kept.s2.forecast(model, steps=3).B04.notnull().any()


def test_series_of_any_sensor():
    series = xs.simulate.hapke((2, 2), days=2).reflectance.to_dataset("band")
    future = series.s2.forecast("koopman", steps=48, freq="30min")
    assert list(future)[:2] == ["H001", "H002"]
    truth = xs.simulate.hapke((2, 2), days=3).reflectance.to_dataset("band").isel(time=slice(96, None))
    assert float(abs(future.H100 - truth.H100).max()) < 0.05
    assert (future.time.values == truth.time.values).all()


@pytest.mark.parametrize("method", ["climatology", "model"])
def test_anomalies_are_distances_in_standard_deviations(method, model, cube):
    hit = cube.copy()
    hit["B8A"] = cube.B8A.where(~((cube.time > cube.time[26]) & (cube.x > 600_050)), cube.B8A + 0.6)
    with raise_if_dask_computes():
        lazy = hit.chunk({"time": 11, "y": 4}).s2.anomaly(of(method, model), since=str(cube.time.values[20]))
    scores = hit.s2.anomaly(of(method, model), since=str(cube.time.values[20]))
    xr.testing.assert_allclose(lazy.compute(), scores, rtol=1e-2)
    assert list(scores) == [*(f"{b}_score" for b in BANDS), "score"]
    assert scores.sizes["time"] == 10
    assert (scores.time.values == cube.time.values[20:]).all()
    future = cube.isel(time=slice(20)).s2.forecast(of(method, model), steps=10, spread=True)
    want = (hit.B8A[20:].values - future.B8A.values) / future.B8A_std.values  # the dates are five days apart, as the steps
    np.testing.assert_allclose(scores.B8A_score, want, rtol=1e-3)
    np.testing.assert_allclose(scores.score, np.sqrt(sum(scores[f"{b}_score"] ** 2 for b in BANDS) / 3), rtol=1e-5)
    changed = scores.score.isel(time=slice(7, None))
    assert float(changed.where(cube.x > 600_050).median()) > 2 * float(changed.where(cube.x <= 600_050).median())


def wave_cube() -> xr.Dataset:
    t = np.arange("2018-01-01", "2020-01-01", 5, "datetime64[D]").astype("datetime64[ns]")
    wave = 0.3 + 0.1 * np.cos(2 * np.pi * np.arange(t.size) * 5 / 365.2425 + np.linspace(0, 1, 6)[:, None])
    series = wave.T.reshape(-1, 2, 3).astype(np.float32)
    return xr.Dataset({b: (("time", "y", "x"), series * g) for b, g in zip(BANDS, (1, 0.5, 1.5), strict=True)}, {"time": t})


def test_a_bridge_follows_the_season_where_a_line_cannot(model):
    cube = wave_cube()
    hidden = cube.where((cube.time < np.datetime64("2019-03-01")) | (cube.time > np.datetime64("2019-07-15")))
    bridged, line = hidden.s2.bridge_gaps("harmonic"), hidden.s2.fill_gaps("linear")
    assert (bridged.time.values == cube.time.values).all()
    inside = (cube.time >= np.datetime64("2019-03-01")) & (cube.time <= np.datetime64("2019-07-15"))
    assert ((bridged.bridged == 1) == inside).all()
    assert float(abs(bridged.B03 - cube.B03).max()) < 0.003
    assert float(abs(line.B03 - cube.B03).max()) > 0.02
    np.testing.assert_array_equal(bridged.B03.where(~inside), cube.B03.where(~inside))
    by_model = hidden.s2.bridge_gaps(model)
    assert by_model.B03.notnull().all()
    jump = abs(by_model.B03.diff("time")).max()
    assert float(jump) < 0.1  # it meets both ends
    xr.testing.assert_allclose(hidden.chunk({"y": 1}).s2.bridge_gaps(model).compute(), by_model, atol=1e-5)


def test_a_bridge_has_ends_and_short_gaps_are_lines():
    cube = wave_cube()
    hidden = cube.where((cube.time > cube.time[3]) & (cube.time < cube.time[140]) & (cube.time != cube.time[50]))
    bridged = hidden.s2.bridge_gaps("climatology")
    assert bridged.B04[:4].isnull().all()
    assert bridged.B04[140:].isnull().all()
    assert (bridged.bridged == 0).all()
    np.testing.assert_allclose(bridged.B04[50], (cube.B04[49] + cube.B04[51]) / 2, rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda c, m: c.s2.forecast("prophet"), xs.XSentinelError, "'prophet' is not known; give 'persistence', 'climatology'"),
        (lambda c, m: c.s2.forecast(m, steps=0), xs.XSentinelError, "steps is 0"),
        (lambda c, m: c.s2.forecast(m, confidence=95), xs.XSentinelError, "a share between 0 and 1"),
        (lambda c, m: c.s2.forecast(m, freq="10D"), xs.TimeError, "steps of 5 days"),
        (lambda c, m: c.s2.forecast("harmonic", freq="MS"), xs.TimeError, "no fixed step"),
        (lambda c, m: c.s2.forecast("harmonic", freq="-5D"), xs.TimeError, "goes forward"),
        (lambda c, m: c.drop_vars("B8A").s2.forecast(m), xs.BandError, "missing: B8A"),
        (lambda c, m: c.isel(time=0).s2.forecast(m), xs.TimeError, "needs the past"),
        (lambda c, m: c.assign_coords(time=c.time.values[[0, *range(29)]]).s2.forecast(m), xs.TimeError, "more than once"),
        (lambda c, m: c.transpose("y", "x", "time").s2.forecast(m), xs.GridError, "transpose"),
        (lambda c, m: c.s2.forecast("lai-unet"), xs.ReadError, "carries nothing on"),
        (lambda c, m: c.s2.forecast(m, by="crop"), xs.XSentinelError, "no variable of the cube"),
        (lambda c, m: c.s2.forecast(m, by=c.sza), xs.XSentinelError, "classes are a map"),
        (lambda c, m: c.s2.normalise().s2.forecast(m), xs.XSentinelError, "normalised already"),
        (lambda c, m: c.s2.anomaly(m, since="2030-01-01"), xs.TimeError, "0 from it on"),
        (lambda c, m: c.s2.anomaly(m, since="2000-01-01"), xs.TimeError, "0 dates lie before"),
        (lambda c, m: c.s2.bridge_gaps("persistence"), xs.XSentinelError, "cannot start in the middle"),
        (lambda c, m: c.s2.bridge_gaps(m, max_gap=-1), xs.XSentinelError, "max_gap is -1"),
    ],
)
def test_bad_input_is_named(call, error, message, model, cube):
    with pytest.raises(error, match=message):
        call(cube, model)


def test_a_spread_that_is_not_known_is_refused(tmp_path, cube):
    lone = a_model(tmp_path, "lone", settings={"members": 1}, horizons=(), errors=())
    assert cube.s2.forecast(lone, steps=2).B04.notnull().any()
    with pytest.raises(xs.XSentinelError, match="has no spread"):
        cube.s2.forecast(lone, confidence=0.9)


def test_plots(model, cube, tmp_path):
    future = cube.s2.forecast(model, steps=10, confidence=0.9)
    ax = cube.s2.plot.spectra(pixel=(2, 3), future=future)
    assert len(ax.lines) == 6
    assert ax.get_ylabel() == "reflectance"
    ax.figure.savefig(tmp_path / "spectra.png")
    regular = cube.s2.fill_gaps(freq="5D")
    ax = regular.s2.plot.phase("B8A", others={"rk4": future})
    x, y = ax.lines[0].get_data()
    np.testing.assert_allclose(y, np.diff(regular.B8A.mean(("y", "x"))), atol=1e-6)
    assert x.size == regular.sizes["time"] - 1
    plt.close("all")
    with pytest.raises(xs.XSentinelError, match="cannot be drawn"):
        cube.s2.plot.phase("B99")
    with pytest.raises(xs.XSentinelError, match=r"pixel \(90, 0\)"):
        cube.s2.plot.spectra(pixel=(90, 0))
    assert plt.get_fignums() == []
