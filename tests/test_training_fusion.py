"""Training of fusion: series, planes and what hides them, the loss, stages and resumption, baselines, scores, the shell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from click.testing import CliRunner

import xsentinel as xs
from xsentinel.blocks.model import read_network
from xsentinel.cli import main
from xsentinel.models.planes import CARRIED, SEASON, TRIPLET, FusionInputs
from xsentinel.training import FusionSource, evaluate_fusion, train_fusion
from xsentinel.training.fusion import FusionRegression
from xsentinel.training.fusion_baselines import features, last_clear, linear
from xsentinel.training.fusion_batches import FusionBatches, Hider, channels_of, normalise, sample_of
from xsentinel.training.fusion_presets import FUSION_PRESETS
from xsentinel.training.fusion_scores import Sums, network_answer
from xsentinel.training.fusion_series import FusionSeries, collect_series, read_series
from xsentinel.training.presets import find_preset

INPUTS = FusionInputs(s1_tolerance_days=3.0)
SMALL = replace(
    FUSION_PRESETS["default"], settings={"widths": [4, 6], "decoder_widths": [4, 6], "dropout": 0.3}, inputs=INPUTS, patch=16, batch=4,
    steps=6, pretraining=4,
)  # fmt: skip


@pytest.fixture(scope="module")
def land() -> xs.simulate.Landscape:
    return xs.simulate.landscape((32, 48), list(xs.simulate.overpasses("2018-05-01", "2018-06-25")), seed=4, resolution=20)


@pytest.fixture(scope="module")
def sources(land: xs.simulate.Landscape) -> dict[str, FusionSource]:
    """Two halves of a landscape, of which leaf area under clouds is known."""
    cube, radar = land.cube.compute(), land.radar.compute()
    truth = land.unclouded.s2.lai().lai.compute()
    halves = {"land/west": slice(0, 32), "land/east": slice(32, 48)}
    return {n: FusionSource(cube.isel(x=h), radar.isel(x=h), truth.isel(x=h)) for n, h in halves.items()}


@pytest.fixture(scope="module")
def series(sources: dict[str, FusionSource]) -> FusionSeries:
    return read_series("land/west", sources["land/west"], INPUTS)


def test_without_a_sky_the_ground_shows(land: xs.simulate.Landscape) -> None:
    cloudy = (land.truth.cloud > 0.9).compute()
    bare, seen = land.unclouded.compute(), land.cube.compute()
    true = land.truth.lai.compute()
    assert float(abs(bare.s2.lai().lai - true).where(cloudy).mean()) < 0.9 < float(abs(seen.s2.lai().lai - true).where(cloudy).mean())
    assert float(bare.B02.where(cloudy).max()) < 0.3 < float(seen.B02.where(cloudy).min())
    xr.testing.assert_identical(land.unclouded.isel(time=3).compute(), bare.isel(time=3))


def test_series_hold_what_sl2p_and_the_masks_say(sources: dict[str, FusionSource], series: FusionSeries) -> None:
    source = sources["land/west"]
    hidden = source.s2.SCL.isin([0, 1, 3, 7, 8, 9, 10, 11]).values
    np.testing.assert_array_equal(np.isnan(series.layers[0]), hidden)
    np.testing.assert_allclose(series.layers[0][~hidden], source.s2.s2.lai().lai.values[~hidden], atol=1e-6)
    np.testing.assert_allclose(series.target, source.truth.values.clip(0, 8))
    assert (series.layers[1][source.s2.SCL.values == 4] == 3).all()
    given = FusionSource(xr.Dataset({"lai": source.s2.s2.lai().lai, "SCL": source.s2.SCL}), source.s1)
    own = read_series("a", given, INPUTS)
    np.testing.assert_array_equal(own.layers, series.layers)
    np.testing.assert_array_equal(own.target, series.layers[0].clip(0, 8))  # without a truth, what is known is what is to be found


def test_places_are_cut_without_loss(sources: dict[str, FusionSource], series: FusionSeries) -> None:
    parts = collect_series(sources, INPUTS, 16)
    assert [p.place for p in parts] == [
        "land/west/0-0",
        "land/west/0-16",
        "land/west/16-0",
        "land/west/16-16",
        "land/east/0-0",
        "land/east/16-0",
    ]
    np.testing.assert_array_equal(np.concatenate([p.target for p in parts[:2]], 2), series.target[:, :16])


@pytest.mark.parametrize("names", [CARRIED + SEASON, TRIPLET + SEASON], ids=["carried", "triplet"])
def test_planes_of_a_window_are_those_of_the_whole_past(series: FusionSeries, names: tuple[str, ...]) -> None:
    """Against a walk over single pixels."""
    date = int(series.usable(names)[-1])
    planes = dict(zip(names, series.planes(date, names), strict=True))
    lai = series.layers[0]
    for y, x in ((0, 0), (5, 9), (31, 31)):
        if "lai_last" in planes:
            clear = [t for t in range(date) if np.isfinite(lai[t, y, x])][::-1]
            for slot, t in zip(("last", "before"), [*clear, None, None], strict=False):
                found = planes[f"lai_{slot}"][y, x], planes[f"class_{slot}"][y, x], planes[f"age_{slot}"][y, x]
                there = t is not None
                expected = (
                    (lai[t, y, x], series.layers[1, t, y, x], series.dates.days[date] - series.dates.days[t]) if there else (0, 0, 60)
                )
                np.testing.assert_allclose(found, expected, atol=1e-4)
        else:
            for k in (1, 2):
                assert planes[f"lai_t{k}"][y, x] == np.nan_to_num(lai[date - k, y, x])
                assert planes[f"vv_t{k}"][y, x] == series.layers[2, date - k, y, x]
        assert planes["vh_t0"][y, x] == series.layers[3, date, y, x]


def test_what_is_hidden_is_not_known(series: FusionSeries) -> None:
    names = CARRIED + SEASON
    date = int(series.usable(names)[-1])
    everything = np.ones((date, *series.target.shape[1:]), np.bool_)
    planes = dict(zip(names, series.planes(date, names, everything), strict=True))
    assert not planes["lai_last"].any()
    assert not planes["class_last"].any()
    assert (planes["age_last"] == 60).all()
    spared = everything.copy()
    spared[:, :8] = False
    np.testing.assert_array_equal(series.planes(date, names, spared)[:, :8], series.planes(date, names)[:, :8])
    assert (sample_of(series, date, names, everything).n_known == 0).all()
    known = np.isfinite(series.layers[0, date - 2 : date]).sum(0)
    np.testing.assert_array_equal(sample_of(series, date, names).n_known, known)
    assert np.isnan(last_clear(series, date, everything)).all()


def test_clouds_that_hide_are_those_of_real_dates(series: FusionSeries) -> None:
    drawn = Hider([series]).draw(np.random.default_rng(0), (32, 32), 4)
    hidden = np.isnan(series.layers[0])
    turned = [hidden[:, ::a, ::b] for a in (1, -1) for b in (1, -1)]
    assert any((drawn == h[t : t + 4]).all() for h in turned for t in range(len(hidden) - 3))
    assert Hider([series]).draw(np.random.default_rng(1), (50, 70), 3).shape == (3, 50, 70)


def test_batches_are_a_function_of_seed_and_number(sources: dict[str, FusionSource]) -> None:
    parts = collect_series(sources, INPUTS, 32)
    make = lambda **k: FusionBatches(parts, SMALL, **({"seed": 1, "first": 0, "last": 3} | k))  # noqa: E731
    inputs, truth, weight = next(iter(make()))
    assert inputs.shape == (4, 14, 16, 16)
    assert torch.isfinite(inputs).all()
    assert set(weight.unique().tolist()) <= {0.0, 1.0, 2.0}
    assert 0 < float(truth.max()) <= 8
    torch.testing.assert_close(next(iter(make(first=2))), list(make())[2], rtol=0, atol=0)
    for other in (make(seed=2), make(rank=1), make(first=1)):
        assert (next(iter(other))[0] - inputs).abs().max() > 0.01
    assert (
        next(iter(FusionBatches(parts, replace(SMALL, patch=40), seed=0, first=0, last=1)))[0].shape[-1] == 40
    )  # wider than the land: gaps


def test_the_loss_is_that_of_the_paper(sources: dict[str, FusionSource]) -> None:
    """Against sums over single pixels: MSE of the decoder + 0.1 of the radar's + 0.15 of the optical encoder's, heavy where cloudy."""
    from xsentinel.models.networks import build_network
    from xsentinel.training.fusion import _card

    torch.manual_seed(0)
    network = build_network(_card("a", SMALL, 20.0))
    batch = next(iter(FusionBatches(collect_series(sources, INPUTS, 32), SMALL, seed=0, first=0, last=1)))
    task = FusionRegression(network, replace(SMALL, whole=1.0), None, [], 0)  # type: ignore[arg-type]
    task.log = lambda *a, **k: None  # type: ignore[method-assign]  # (there is no trainer to log to)
    found = float(task.training_step(batch, 0).detach())
    inputs, truth, weight = (t.double().numpy() if t.dtype != torch.float32 else t.numpy() for t in batch)
    network.eval()
    network.train()
    maps = [m[:, 0].detach().numpy() for m in network.forward_all(batch[0])]
    total = 0.0
    for share, answer in zip((1.0, 0.1, 0.15), maps, strict=True):
        error = sum(w * (a - t) ** 2 for a, t, w in zip(answer.flat, truth.flat, weight.flat, strict=True) if w)
        total += share * error / weight.sum()
    assert found == pytest.approx(total, rel=1e-4)
    assert inputs.shape[1] == 14


def test_baselines_against_walks(series: FusionSeries) -> None:
    date = int(np.flatnonzero(series.whole)[len(series.times) // 3])
    lai, days = series.layers[0], series.dates.days
    last, line = last_clear(series, date), linear(series, date)
    for y, x in ((0, 0), (7, 21), (30, 4)):
        before = [t for t in range(date) if np.isfinite(lai[t, y, x])]
        after = [t for t in range(date + 1, len(days)) if np.isfinite(lai[t, y, x])]
        np.testing.assert_equal(last[y, x], lai[before[-1], y, x] if before else np.float32(np.nan))
        if before and after:
            a, b = before[-1], after[0]
            share = (days[date] - days[a]) / (days[b] - days[a])
            assert line[y, x] == pytest.approx(lai[a, y, x] + share * (lai[b, y, x] - lai[a, y, x]), abs=1e-4)
    columns = features(np.array([[[3.0]], [[-9.0]]], np.float32), ("class_last", "vv_t0"))
    np.testing.assert_array_equal(columns, [[0, 0, 0, 1, 0, 0, -9]])


def test_sums_are_scores() -> None:
    rng = np.random.default_rng(0)
    y, p = rng.uniform(0, 6, (2, 200)).astype(np.float32)
    sums = Sums()
    sums.add(y[:150], p[:150], None)
    sums.add(y[150:], p[150:], None)
    found = sums.columns()
    assert found["RMSE"] == pytest.approx(np.sqrt(np.mean((p - y) ** 2)), rel=1e-5)
    assert found["R2"] == pytest.approx(1 - ((p - y) ** 2).sum() / ((y - y.mean()) ** 2).sum(), rel=1e-4)
    assert found["bias"] == pytest.approx((p - y).mean(), rel=1e-4)
    assert (found["n"], Sums().columns()["n"]) == (200, 0)
    assert np.isnan(Sums().columns()["RMSE"])


@pytest.fixture(scope="module")
def trained(sources: dict[str, FusionSource], tmp_path_factory: pytest.TempPathFactory) -> xs.Model:
    return train_fusion(sources, tmp_path_factory.mktemp("fusion"), preset=SMALL, name="mine", progress=False)


@pytest.mark.filterwarnings("ignore")
def test_a_model_is_trained_measured_and_runs(trained: xs.Model, sources: dict[str, FusionSource]) -> None:
    card = xs.load_model(Path(trained.path).parent / "mine.json").card
    assert card == trained.card
    assert card.fusion == INPUTS
    assert [c.name for c in card.channels] == [*CARRIED, *SEASON]
    assert card.calibration is not None
    assert all(name in " ".join(card.scores.values()) for name in ("this", "last clear", "linear filling", "MLR", "RF"))
    west, east = sources["land/west"], sources["land/east"]
    maps = west.s2.s2.lai(model=trained, s1=west.s1, samples=3)
    assert (maps.source == 2).any()
    assert np.isfinite(maps.lai.values[maps.source.values > 0]).all()
    table = evaluate_fusion(trained, {"west": west}, other={"east": east}, train={"west": west}, samples=3, hidden=1, limit=3)
    assert set(table.method) == {"mine", "last clear", "linear filling", "MLR", "RF"}
    assert {"cloudy", "all", "other area"} <= set(table.group)
    own = table[table.method == "mine"].set_index("group")
    assert own.n["all"] == own.n.reindex(["cloudy", "partly cloudy", "non-cloudy"]).fillna(0).sum()
    assert own["coverage 95 %"][own.n > 0].between(0, 1).all()


@pytest.mark.filterwarnings("ignore")
def test_training_and_product_see_the_same(trained: xs.Model, sources: dict[str, FusionSource], series: FusionSeries) -> None:
    """What is scored is what cube.s2.lai gives, pixel for pixel."""
    source = sources["land/west"]
    maps = source.s2.s2.lai(model=trained, s1=source.s1)
    answer, names = network_answer(read_network(trained), trained.card), tuple(c.name for c in trained.card.channels)
    for date in series.usable(names)[-3:]:
        found = answer(series, int(date), sample_of(series, int(date), names), None)
        fused = (maps.source[int(date)] == 2).values
        assert fused.any()
        np.testing.assert_allclose(found[fused], maps.lai.values[int(date)][fused], atol=2e-4)


@pytest.mark.filterwarnings("ignore")
def test_a_resumed_run_ends_where_an_undisturbed_one_does(
    trained: xs.Model, sources: dict[str, FusionSource], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xsentinel.training.loop.STEPS_AN_EPOCH", 2)
    how = {"preset": SMALL, "name": "mine", "progress": False, "scores": False}
    whole = train_fusion(sources, tmp_path / "whole", **how)
    original = FusionRegression.training_step

    def stop(self: FusionRegression, batch: object, i: int) -> torch.Tensor:
        if self.preset.steps == SMALL.steps and self.global_step == 4:
            raise KeyboardInterrupt
        return original(self, batch, i)  # type: ignore[arg-type]

    with monkeypatch.context() as broken:
        broken.setattr(FusionRegression, "training_step", stop)
        with pytest.raises(BaseException):  # noqa: B017, PT011  (Lightning turns an interrupt into its own exit)
            train_fusion(sources, tmp_path / "broken", **how)
    resumed = train_fusion(sources, tmp_path / "broken", resume=True, **how)
    assert resumed.card.digest == whole.card.digest
    assert train_fusion(sources, tmp_path / "other", seed=1, **how).card.digest != whole.card.digest


@pytest.mark.filterwarnings("ignore")
def test_going_on_and_single_encoders(trained: xs.Model, sources: dict[str, FusionSource], tmp_path: Path) -> None:
    how = {"progress": False, "scores": False}
    further = train_fusion(sources, tmp_path / "on", preset=SMALL, initial=trained, **how)
    assert further.card.training["steps"] == "4 of each encoder, 6 of all (mine), then 6 of all"
    assert further.card.digest != trained.card.digest
    with pytest.raises(xs.XSentinelError, match="mine has other settings than the preset"):
        train_fusion(
            sources, tmp_path, preset=replace(SMALL, settings={"widths": [4, 4], "decoder_widths": [4, 4]}), initial=trained, **how
        )
    alone = replace(SMALL, settings={"widths": [4, 6], "parts": "optical", "dropout": 0.0}, planes=TRIPLET + SEASON)
    encoder = train_fusion(sources, tmp_path / "alone", preset=alone, **how)
    assert set(read_network(encoder).encoders) == {"optical"}
    assert encoder.card.calibration is None


def test_presets_are_the_papers() -> None:
    paper = FUSION_PRESETS["paper"]
    assert (paper.batch, paper.rate, paper.optimiser, paper.loss, paper.shares) == (32, 1e-3, "decayed", "mse", (0.1, 0.15))
    assert paper.settings["widths"] == [32, 64, 128]
    assert paper.settings["decoder_widths"] == [64, 128, 256]
    task = FusionRegression(torch.nn.Conv2d(1, 1, 1), replace(paper, steps=9), None, [], 0)  # type: ignore[arg-type]
    found = task.configure_optimizers()
    rates = []
    for _ in range(9):
        rates.append(found["optimizer"].param_groups[0]["lr"])
        found["optimizer"].step()
        found["lr_scheduler"]["scheduler"].step()
    np.testing.assert_allclose(rates, [1e-3] * 3 + [2e-4] * 3 + [4e-5] * 3)
    with pytest.raises(xs.XSentinelError, match="preset 'best' is not known; the presets are default, paper"):
        find_preset("best", FUSION_PRESETS)


def test_bad_requests_are_named(sources: dict[str, FusionSource], tmp_path: Path) -> None:
    west = sources["land/west"]
    with pytest.raises(xs.XSentinelError, match="train_fusion has no epochs; it takes resume"):
        train_fusion(sources, tmp_path, epochs=3)
    with pytest.raises(xs.BandError, match="source a: s2 has no SCL"):
        read_series("a", replace(west, s2=west.s2.drop_vars("SCL")), INPUTS)
    with pytest.raises(xs.BandError, match=r"source a: .*VH"):
        read_series("a", replace(west, s1=west.s1[["VV"]]), INPUTS)
    with pytest.raises(xs.GridError, match=r"source a: s1 .*differ in size"):
        read_series("a", replace(west, s1=west.s1.isel(x=slice(3))), INPUTS)
    with pytest.raises(xs.GridError, match="source a: truth has"):
        read_series("a", replace(west, truth=west.truth.isel(time=slice(2))), INPUTS)
    blind = replace(west, truth=west.truth * np.nan)
    with pytest.raises(xs.XSentinelError, match="none of 1 sources has a date with a target"):
        train_fusion({"a": blind}, tmp_path, preset=SMALL)
    with pytest.raises(xs.XSentinelError, match="is no fusion of radar and past leaf area; evaluate_lai measures it"):
        evaluate_fusion("lai-unet", sources)


@pytest.mark.filterwarnings("ignore")
def test_the_shell_trains_and_measures(sources: dict[str, FusionSource], tmp_path: Path) -> None:
    pairs = []
    for name, source in sources.items():
        side = name.rpartition("/")[2]
        source.s2.s2.to_zarr(tmp_path / f"{side}.zarr")
        source.s1.s2.to_zarr(tmp_path / f"{side}_s1.zarr")
        pairs += ["--pair", str(tmp_path / f"{side}.zarr"), str(tmp_path / f"{side}_s1.zarr")]
    pair = pairs[:3]
    train = ["train", "fusion", str(tmp_path / "models"), *pairs, "--steps", "2", "--pretraining", "2", "--no-progress"]
    done = CliRunner().invoke(main, train)
    assert done.exit_code == 0, done.output
    assert "<xsentinel model fusion>" in done.output
    measured = CliRunner().invoke(
        main, ["evaluate", "fusion", str(tmp_path / "models" / "fusion.json"), *pair, "--csv", str(tmp_path / "a.csv"), "--limit", "2"]
    )
    assert measured.exit_code == 0, measured.output
    assert "last clear" in measured.output
    assert (tmp_path / "a.csv").exists()
    refused = CliRunner().invoke(main, ["train", "fusion", str(tmp_path / "models"), "--no-progress"])
    assert refused.exit_code == 2
    assert "give at least one source" in refused.output


def test_the_normalisation_is_that_of_the_predictor() -> None:
    channels = channels_of(SMALL)
    planes = np.full((1, len(channels), 2, 2), 0.5, np.float32)
    planes[0, :, 1, 1] = np.nan
    found = normalise(planes, channels)
    low, high = np.array([c.low for c in channels]), np.array([c.high for c in channels])
    np.testing.assert_allclose(found[0, :, 0, 0], (0.5 - low) / (high - low), rtol=1e-5)
    assert not found[0, :, 1, 1].any()


@pytest.mark.filterwarnings("ignore")
def test_the_shipped_model_beats_the_last_clear_date_under_clouds(data: Path) -> None:
    """At the real site's dates after those that it was trained on."""
    folder = data / "cubes" / "worldcereal" / "00002806639B424A"
    cube = xs.open(folder, resolution=20, chunks=None)
    radar = xs.open(next(folder.glob("S1_*.nc")), like=cube).compute()
    clear = cube.s2.lai().lai.where(~cube.SCL.isin([0, 1, 3, 7, 8, 9, 10, 11]))
    later = FusionSource(cube, radar, clear.where(cube.time >= np.datetime64("2018-07-01")))
    table = evaluate_fusion("lai-fusion", {"site": later}, samples=3).set_index(["method", "group"])
    assert table.RMSE["lai-fusion", "cloudy"] < 0.8 * table.RMSE["last clear", "cloudy"]
    assert table.RMSE["lai-fusion", "all"] < table.RMSE["last clear", "all"]
    assert 0.85 < table["coverage 95 %"]["lai-fusion", "all"] < 1
