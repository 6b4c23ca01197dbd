"""Assessments against scikit-learn, published tables and their own laws; what is left out, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401  (registers .rio)
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import binomtest
from sklearn import metrics

import xsentinel as xs
from tests.conftest import raise_if_dask_computes
from xsentinel.errors import GridError, WriteError, XSentinelError

LABELS = st.integers(1, 60).flatmap(lambda n: st.tuples(*[hnp.arrays(np.uint8, n, elements=st.integers(0, 4))] * 2))

# Olofsson et al. (2014), section 5: map × reference; deforestation, forest gain, stable forest, stable non-forest
NAMES = ["deforestation", "forest gain", "stable forest", "stable non-forest"]
COUNTS = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
MAPPED = np.array([200_000, 150_000, 3_200_000, 6_450_000])


def samples(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spread a matrix, predicted × reference, into codes of samples."""
    i, j = np.indices(counts.shape)
    return np.repeat(i.ravel(), counts.ravel()), np.repeat(j.ravel(), counts.ravel())


def make_map(values: np.ndarray, **attrs: object) -> xr.DataArray:
    height, width = values.shape[-2:]
    coords = {"y": 5_000_010.0 - 20 * np.arange(height), "x": 600_010.0 + 20 * np.arange(width)}
    layer = xr.DataArray(values, coords, ("time", "y", "x")[-values.ndim :], "class", attrs)
    return layer.rio.write_crs("EPSG:32632")


FLAGS = {"flag_values": np.array([1, 2, 3], np.uint8), "flag_meanings": "maize winter_wheat grassland"}


@pytest.fixture
def maps() -> tuple[xr.DataArray, xr.DataArray]:
    rng = np.random.default_rng(0)
    truth = rng.integers(1, 4, (37, 53)).astype(np.uint8)
    mapped = np.where(rng.random(truth.shape) < 0.7, truth, rng.integers(1, 4, truth.shape)).astype(np.uint8)
    return make_map(mapped, **FLAGS), make_map(truth, **FLAGS)


# ---- scores ----------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:A single label was found:UserWarning")
@given(LABELS)
def test_scores_are_those_of_scikit_learn(labels: tuple[np.ndarray, np.ndarray]) -> None:
    predicted, reference = labels
    found = xs.accuracy.assess(predicted, reference)
    codes = np.union1d(predicted, reference)
    assert found.classes == tuple(map(str, codes))
    np.testing.assert_array_equal(found.confusion, metrics.confusion_matrix(reference, predicted, labels=codes))
    assert found.n == found.confusion.to_numpy().sum() == reference.size
    args = reference, predicted
    np.testing.assert_allclose(found.overall_accuracy, metrics.accuracy_score(*args))
    if codes.size > 1:
        np.testing.assert_allclose(found.kappa, metrics.cohen_kappa_score(*args), atol=1e-12)
    else:
        assert np.isnan(found.kappa)
    theirs = metrics.precision_recall_fscore_support(*args, labels=codes, zero_division=np.nan)
    ua, pa, f1, support = theirs
    np.testing.assert_allclose(found.scores["users_accuracy"], ua)
    np.testing.assert_allclose(found.scores["producers_accuracy"], pa)
    np.testing.assert_allclose(found.scores["f1"], np.where(support > 0, f1, np.nan))
    np.testing.assert_array_equal(found.scores["support"], support)
    present = np.unique(reference)
    np.testing.assert_allclose(found.macro_f1, metrics.f1_score(*args, labels=present, average="macro", zero_division=0))
    np.testing.assert_allclose(found.weighted_f1, metrics.f1_score(*args, labels=present, average="weighted", zero_division=0))


def test_empty_classes_are_nan_and_not_zero() -> None:
    found = xs.accuracy.assess([1, 1, 3, 4], [1, 1, 1, 5], classes=[1, 2, 3, 4, 5])
    scores = found.scores
    assert scores.loc["2"].isna().tolist() == [True, True, True, False]  # nowhere
    assert np.isnan(scores.loc["3", "producers_accuracy"])  # mapped, not in the reference
    assert np.isnan(scores.loc["3", "f1"])
    assert scores.loc["3", "users_accuracy"] == 0
    assert np.isnan(scores.loc["5", "users_accuracy"])  # in the reference, never mapped
    assert scores.loc["5", "f1"] == 0
    assert found.macro_f1 == pytest.approx((0.8 + 0) / 2)
    assert found.rows()[2] == ["2", "–", "–", "–", "0"]


# ---- maps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunks", [{"y": 10, "x": 53}, {"y": 7, "x": 11}, {"y": 37, "x": -1}])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_lazy_maps_count_alike(maps: tuple[xr.DataArray, xr.DataArray], chunks: dict[str, int], dtype: type) -> None:
    mapped, truth = (m.astype(dtype) for m in maps)
    wanted = metrics.confusion_matrix(truth.values.ravel(), mapped.values.ravel())
    for pair in ((mapped.chunk(chunks), truth.chunk({"y": 9})), (mapped, truth.chunk(chunks)), (mapped.chunk(chunks), truth)):
        found = xs.accuracy.assess(*pair)
        np.testing.assert_array_equal(found.confusion, wanted)
        assert found.classes == ("maize", "winter wheat", "grassland")
    assert xs.accuracy.areas(mapped.chunk(chunks)).equals(xs.accuracy.areas(mapped))


def test_dates_and_order_of_dims(maps: tuple[xr.DataArray, xr.DataArray]) -> None:
    mapped, truth = (xr.concat([m, m.roll(x=1)], "time") for m in maps)
    found = xs.accuracy.assess(mapped.chunk({"time": 1, "y": 8}), truth.transpose("x", "time", "y"))
    np.testing.assert_array_equal(found.confusion, metrics.confusion_matrix(truth.values.ravel(), mapped.values.ravel()))


def test_nodata_is_what_is_said_to_be() -> None:
    mapped = make_map(np.array([[0, 1, 1, 2, 9]], np.uint8).repeat(2, 0))
    truth = make_map(np.array([[0, 1, 0, 2, 1]], np.uint8).repeat(2, 0))
    plain = xs.accuracy.assess(mapped, truth)
    assert plain.classes == ("0", "1", "2", "9")  # 0 is a class like others
    assert plain.n_left_out == 0
    by_attribute = xs.accuracy.assess(mapped.assign_attrs(_FillValue=9), truth.assign_attrs(_FillValue=0))
    ignored = xs.accuracy.assess(mapped, truth, ignore=[0, 9])
    assert (by_attribute.n, by_attribute.n_left_out) == (ignored.n, ignored.n_left_out) == (4, 6)
    assert by_attribute.classes == ignored.classes == ("1", "2")
    encoded = truth.astype(np.float32).where(truth != 0)
    encoded.encoding["_FillValue"] = 0
    assert xs.accuracy.assess(mapped.assign_attrs(_FillValue=9), encoded).n_left_out == 6
    named = truth.assign_attrs(flag_values=[0, 1, 2], flag_meanings="unknown maize wheat")
    assert xs.accuracy.assess(named, named, ignore="unknown").n_left_out == 4


def test_words_and_gaps_among_them() -> None:
    predicted = pd.Series(["maize", "wheat", None, "rye", "maize"])
    reference = np.array(["maize", "maize", "maize", "rye", "other"])
    found = xs.accuracy.assess(predicted, reference, ignore="other")
    assert (found.n, found.n_left_out) == (3, 2)
    assert found.confusion.loc["maize", "wheat"] == 1
    assert found.overall_accuracy == pytest.approx(2 / 3)


def test_classes_in_order_named_and_joined() -> None:
    predicted, reference = [1, 2, 3, 3], [2, 2, 3, 1]
    joined = xs.accuracy.assess(predicted, reference, classes={3: "maize", 1: "cereal", 2: "cereal"}, areas={1: 5, 2: 5, 3: 10})
    assert joined.classes == ("maize", "cereal")
    assert joined.confusion.to_numpy().tolist() == [[1, 0], [1, 2]]
    assert joined.areas is not None
    assert joined.areas.classes["mapped"].tolist() == [10, 10]
    land = make_map(np.array([[1, 3], [3, 3]], np.uint8), **FLAGS)
    assert xs.accuracy.assess(land, land, classes=["grassland", "winter_wheat", "maize"]).classes == ("grassland", "winter wheat", "maize")
    assert xs.accuracy.assess(land, land).classes == ("maize", "grassland")


def test_a_simulated_landscape(maps: tuple[xr.DataArray, xr.DataArray]) -> None:
    land = xs.simulate.landscape((90, 120), ["2019-06-01"], seed=3, chunks={"y": 40, "x": 50})
    labels = land.labels(share=0.6, wrong=0.2)
    found = xs.accuracy.assess(labels, land.truth)  # 0 is none of the flags: no label
    right = (labels == land.truth["class"]).values[labels.values > 0]
    assert found.overall_accuracy == pytest.approx(right.mean())
    assert found.n_left_out == (labels.values == 0).sum()
    with pytest.raises(XSentinelError, match=r"0 occurs and is none of the classes.*ignore=\[0\]"):
        xs.accuracy.assess(labels.assign_attrs(_FillValue=255), land.truth)


def test_areas_of_a_map() -> None:
    values = np.array([[1, 1, 2], [0, 3, 3]], np.uint8)
    layer = make_map(values, **FLAGS, _FillValue=np.uint8(0))
    pixel = 20 * 20 / 10_000
    found = xs.accuracy.areas(layer)
    assert found.to_dict() == pytest.approx({"maize": 2 * pixel, "winter wheat": pixel, "grassland": 2 * pixel})
    assert xs.accuracy.areas(layer.to_dataset(), ignore="grassland").sum() == pytest.approx(3 * pixel)
    with pytest.raises(GridError, match="in degrees"):
        xs.accuracy.areas(layer.drop_vars("spatial_ref").rio.write_crs("EPSG:4326"))
    with pytest.raises(GridError, match="select a date"):
        xs.accuracy.areas(layer.expand_dims(time=2))
    xr.testing.assert_equal(xs.accuracy.areas(layer.expand_dims("time")).to_xarray(), found.to_xarray())


# ---- estimates of areas ----------------------------------------------------------------------------------------------


def test_olofsson_2014() -> None:
    predicted, reference = samples(COUNTS)
    found = xs.accuracy.assess(predicted, reference, classes=dict(enumerate(NAMES)), areas=dict(zip(NAMES, MAPPED, strict=True)))
    assert found.n == 640
    areas = found.areas
    assert areas is not None
    table = areas.classes
    # as published, to the digits there; areas in pixels, of 0.09 ha
    assert f"{areas.overall_accuracy:.2f} ± {1.96 * areas.overall_accuracy_se:.2f}" == "0.95 ± 0.02"
    assert table["users_accuracy"].round(2).tolist() == [0.88, 0.73, 0.93, 0.96]
    assert (1.96 * table["users_accuracy_se"]).round(2).tolist() == [0.07, 0.10, 0.04, 0.02]
    assert table["producers_accuracy"].round(2).tolist() == [0.75, 0.85, 0.93, 0.96]
    assert round(table.loc["deforestation", "area"]) == 235_086
    assert round(1.96 * table.loc["deforestation", "area_se"]) == 68_418
    assert round(0.09 * table.loc["deforestation", "area"]) == 21_158
    assert areas.matrix.to_numpy().round(4)[0].tolist() == [0.0176, 0, 0.0019, 0.0040]


def by_loops(n: np.ndarray, mapped: np.ndarray) -> dict[str, np.ndarray]:
    """Equations 1 to 11 of Olofsson et al. (2014), one by one."""
    q = len(n)
    w = [a / mapped.sum() for a in mapped]
    total = [sum(row) for row in n]
    p = [[w[i] * n[i][j] / total[i] for j in range(q)] for i in range(q)]
    o = sum(p[i][i] for i in range(q))
    u = [p[i][i] / sum(p[i]) for i in range(q)]
    columns = [sum(p[i][j] for i in range(q)) for j in range(q)]
    producers = [p[j][j] / columns[j] for j in range(q)]
    v_o = sum(w[i] ** 2 * u[i] * (1 - u[i]) / (total[i] - 1) for i in range(q))
    v_u = [u[i] * (1 - u[i]) / (total[i] - 1) for i in range(q)]
    v_p = []
    for j in range(q):
        pixels = sum(mapped[i] / total[i] * n[i][j] for i in range(q))
        own = mapped[j] ** 2 * (1 - producers[j]) ** 2 * u[j] * (1 - u[j]) / (total[j] - 1)
        other = sum(mapped[i] ** 2 * n[i][j] / total[i] * (1 - n[i][j] / total[i]) / (total[i] - 1) for i in range(q) if i != j)
        v_p.append((own + producers[j] ** 2 * other) / pixels**2)
    s_a = [sum((w[i] * p[i][j] - p[i][j] ** 2) / (total[i] - 1) for i in range(q)) ** 0.5 for j in range(q)]
    return {
        "overall": np.array([o, v_o**0.5]),
        "users_accuracy": np.array(u),
        "users_accuracy_se": np.sqrt(v_u),
        "producers_accuracy": np.array(producers),
        "producers_accuracy_se": np.sqrt(v_p),
        "area": np.array(columns) * mapped.sum(),
        "area_se": np.array(s_a) * mapped.sum(),
    }


@given(hnp.arrays(np.int64, (3, 3), elements=st.integers(1, 40)), st.lists(st.integers(1, 10_000), min_size=3, max_size=3))
def test_estimates_are_the_published_formulas(counts: np.ndarray, mapped: list[int]) -> None:
    predicted, reference = samples(counts)
    areas = xs.accuracy.assess(predicted, reference, areas=dict(enumerate(mapped))).areas
    assert areas is not None
    wanted = by_loops(counts, np.array(mapped))
    np.testing.assert_allclose([areas.overall_accuracy, areas.overall_accuracy_se], wanted.pop("overall"))
    for name, values in wanted.items():
        np.testing.assert_allclose(areas.classes[name], values, err_msg=name, atol=1e-12)
    assert areas.matrix.to_numpy().sum() == pytest.approx(1)
    assert areas.classes["area"].sum() == pytest.approx(sum(mapped))
    np.testing.assert_allclose(areas.matrix.sum(axis=0) * sum(mapped), mapped)
    for name in ("area", "users_accuracy", "producers_accuracy"):
        low, value, high = (areas.classes[f"{name}{end}"] for end in ("_lower", "", "_upper"))
        assert ((low <= value + 1e-9) & (value <= high + 1e-9)).all()


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    truth = rng.choice(3, 60_000, p=[0.1, 0.3, 0.6])
    mapped = np.where(rng.random(truth.size) < 0.85, truth, rng.choice(3, truth.size))
    inside = np.zeros(3)
    for _ in range(200):
        chosen = np.concatenate([rng.choice(np.flatnonzero(mapped == k), 80, replace=False) for k in range(3)])
        areas = xs.accuracy.assess(mapped[chosen], truth[chosen], areas=dict(enumerate(np.bincount(mapped)))).areas
        assert areas is not None
        inside += (areas.classes["area_lower"] <= np.bincount(truth)) & (np.bincount(truth) <= areas.classes["area_upper"])
    assert (np.abs(inside / 200 - 0.95) < 0.05).all()


def test_areas_of_the_map_itself(maps: tuple[xr.DataArray, xr.DataArray]) -> None:
    mapped, truth = maps
    rng = np.random.default_rng(0)
    sampled = truth.where(rng.random(truth.shape) < 0.2)
    found = xs.accuracy.assess(mapped, sampled, areas=mapped, confidence=0.9)
    assert found.areas is not None
    assert found.areas.unit == "ha"
    assert found.areas.quantile == pytest.approx(1.6449, abs=1e-4)
    assert found.areas.classes["mapped"].tolist() == xs.accuracy.areas(mapped).tolist()
    low, high = found.areas.overall_accuracy_interval
    assert low < (mapped == truth).values.mean() < high
    assert "± at 90% confidence" in str(found)
    assert "mapped [ha]" in found.to_markdown(table="areas")


def test_impossible_areas() -> None:
    predicted, reference = [1, 1, 2, 2], [1, 2, 2, 2]
    with pytest.raises(XSentinelError, match="has no sample"):
        xs.accuracy.assess(predicted, reference, areas={1: 5, 2: 5, 3: 5}, classes=[1, 2, 3])
    with pytest.raises(XSentinelError, match="2 is predicted in the sample but has no mapped area"):
        xs.accuracy.assess(predicted, reference, areas={1: 5})
    with pytest.raises(XSentinelError, match="areas gives -1"):
        xs.accuracy.assess(predicted, reference, areas={1: -1, 2: 3})
    with pytest.raises(XSentinelError, match="areas names 'oats'"):
        xs.accuracy.assess(["rye", "rye"], ["rye", "rye"], areas={"rye": 1, "oats": 3})
    with pytest.raises(XSentinelError, match="areas is a int"):
        xs.accuracy.assess(predicted, reference, areas=3)
    with pytest.raises(XSentinelError, match="confidence is 95"):
        xs.accuracy.assess(predicted, reference, confidence=95)
    once = xs.accuracy.assess([1, 2, 2], [1, 2, 2], areas={1: 5, 2: 5}).areas
    assert once is not None
    assert np.isnan(once.overall_accuracy_se)  # one sample tells no spread


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_maps_that_do_not_fit(maps: tuple[xr.DataArray, xr.DataArray]) -> None:
    mapped, truth = maps
    with pytest.raises(GridError, match="the maps have y 37, x 53 and y 36, x 53"):
        xs.accuracy.assess(mapped, truth.isel(y=slice(1, None)))
    with pytest.raises(GridError, match="coordinate 'x' runs from"):
        xs.accuracy.assess(mapped, truth.assign_coords(x=truth.x + 20))
    with pytest.raises(GridError, match="EPSG:32633"):
        xs.accuracy.assess(mapped, truth.rio.write_crs("EPSG:32633"))
    xs.accuracy.assess(mapped, truth.assign_coords(x=truth.x + 1e-6))
    with pytest.raises(XSentinelError, match="code 1 is 'maize' in class and 'beet' in class, and no class has the same name"):
        xs.accuracy.assess(mapped, truth.assign_attrs(flag_meanings="beet rye meadow"))
    with pytest.raises(XSentinelError, match="5 occurs and is none of the classes"):  # 3, which the truth does not name
        xs.accuracy.assess(mapped, truth.assign_attrs(flag_values=[1, 2, 4]))
    with pytest.raises(XSentinelError, match="3 flag_values and 2 flag_meanings"):
        xs.accuracy.assess(mapped.assign_attrs(flag_meanings="one two"), truth)
    with pytest.raises(XSentinelError, match="gives one name to several codes"):
        xs.accuracy.assess(mapped.assign_attrs(flag_meanings="one two two"), truth)
    with pytest.raises(XSentinelError, match="no codes"):
        xs.accuracy.assess(make_map(np.array([[0.5]])), make_map(np.array([[1.0]])))
    with pytest.raises(XSentinelError, match="nothing is left"):
        xs.accuracy.assess(mapped, truth, ignore=[1, 2, 3])
    with pytest.raises(XSentinelError, match="no map called class; it has lai"):
        xs.accuracy.assess(xr.Dataset({"lai": mapped}), truth)
    with pytest.raises(XSentinelError, match="both as words"):
        xs.accuracy.assess(["1", "2"], [1, 2])
    with pytest.raises(XSentinelError, match=r"shape \(2, 2\)"):
        xs.accuracy.assess(np.ones((2, 2)), np.ones((2, 2)))
    with pytest.raises(XSentinelError, match="'oats' is not known"):
        xs.accuracy.assess(mapped, truth, classes=["oats"])
    with pytest.raises(XSentinelError, match="grassland occurs and is none of the classes"):
        xs.accuracy.assess(mapped, truth, classes=["maize", "winter_wheat"])


# ---- tables and files ------------------------------------------------------------------------------------------------


def test_table_is_that_of_the_paper(maps: tuple[xr.DataArray, xr.DataArray], tmp_path: Path) -> None:
    found = xs.accuracy.assess(*maps)
    table = found.table()
    assert list(table.columns) == ["PA%", "UA%", "F1%"]
    assert table.index.tolist() == ["maize", "winter wheat", "grassland", "OA%"]
    assert table.loc["OA%", "UA%"] == 100 * found.overall_accuracy
    assert table.loc["OA%"].isna().sum() == 2
    np.testing.assert_allclose(table["PA%"][:3], 100 * found.scores["producers_accuracy"])
    found.to_csv(tmp_path / "scores.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "scores.csv", index_col=0), table)
    found.to_csv(tmp_path / "counts.csv", "confusion")
    assert pd.read_csv(tmp_path / "counts.csv", index_col=0).to_numpy().tolist() == found.confusion.to_numpy().tolist()
    text = found.to_markdown(tmp_path / "scores.md")
    assert (tmp_path / "scores.md").read_text() == text
    assert text.splitlines()[:2] == ["| class | PA% | UA% | F1% | samples |", "| --- | ---: | ---: | ---: | ---: |"]
    assert text.splitlines()[5].startswith("| OA% | ")
    assert "<td>winter wheat</td>" in found._repr_html_()
    assert repr(found).splitlines()[0] == "Assessment of 1961 samples, 3 classes"
    with pytest.raises(WriteError, match="cannot be written"):
        found.to_csv(tmp_path / "nowhere" / "scores.csv")
    with pytest.raises(XSentinelError, match="areas were not estimated"):
        found.to_csv(tmp_path / "areas.csv", "areas")
    with pytest.raises(XSentinelError, match="table is 'all'"):
        found.to_markdown(table="all")


def test_html_and_markdown_escape() -> None:
    found = xs.accuracy.assess(["a|b", "<i>"], ["a|b", "<i>"], areas={"a|b": 1, "<i>": 2})
    assert "a\\|b" in found.to_markdown()
    assert "&lt;i&gt;" in found._repr_html_()
    assert "<i>" not in found._repr_html_()


# ---- comparison ------------------------------------------------------------------------------------------------------


@given(LABELS, st.integers(0, 2**16))
def test_mcnemar_counts(labels: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    first, reference = labels
    second = np.random.default_rng(seed).integers(0, 5, first.size)
    found = xs.accuracy.compare(first, second, reference, ignore=0)
    kept = (first != 0) & (second != 0) & (reference != 0)
    b = int(((first == reference) & (second != reference))[kept].sum())
    c = int(((second == reference) & (first != reference))[kept].sum())
    assert (found.n, found.first_only, found.second_only) == (kept.sum(), b, c)
    if 0 < b + c < 25:
        assert found.exact
        assert found.p_value == pytest.approx(binomtest(b, b + c).pvalue)
    mirrored = xs.accuracy.compare(second, first, reference, ignore=0)
    assert mirrored.p_value == found.p_value


def test_mcnemar_of_lazy_maps(maps: tuple[xr.DataArray, xr.DataArray]) -> None:
    mapped, truth = maps
    worse = mapped.where(np.random.default_rng(2).random(mapped.shape) < 0.8, 1).astype(np.uint8)
    found = xs.accuracy.compare(mapped.chunk({"y": 10}), worse.chunk({"x": 20}), truth)
    assert found == xs.accuracy.compare(mapped, worse, truth)
    assert found.first_only > found.second_only
    assert found.p_value < 1e-3
    assert not found.exact
    chi2 = (abs(found.first_only - found.second_only) - 1) ** 2 / (found.first_only + found.second_only)
    assert found.statistic == pytest.approx(chi2)
    assert "chi2" in str(found)


# ---- the picture -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("normalise", "axis"), [("reference", 1), ("predicted", 0), ("all", None), (None, None)])
def test_plot_shows_shares_and_counts(maps: tuple[xr.DataArray, xr.DataArray], normalise: str | None, axis: int | None) -> None:
    from matplotlib.figure import Figure

    found = xs.accuracy.assess(*maps)
    ax = found.plot(normalise=normalise, ax=Figure().subplots())
    counts = found.confusion.to_numpy()
    wanted = counts / counts.sum(axis, keepdims=True) if normalise else counts
    np.testing.assert_allclose(ax.images[0].get_array(), wanted)
    assert [t.get_text() for t in ax.get_yticklabels()] == list(found.classes)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted", "reference")
    assert ax.texts[0].get_text().splitlines()[0] == str(counts[0, 0])
    assert len(ax.texts) == (counts > 0).sum()
    assert f"OA {100 * found.overall_accuracy:.1f} %" in ax.get_title(loc="left")


def test_plot_refuses_other_words(maps: tuple[xr.DataArray, xr.DataArray]) -> None:
    with pytest.raises(XSentinelError, match="normalise is 'rows'"):
        xs.accuracy.assess(*maps).plot(normalise="rows")


def test_nothing_is_computed_but_counts(maps: tuple[xr.DataArray, xr.DataArray]) -> None:
    from xsentinel.accuracy.assess import _prepare

    with raise_if_dask_computes():
        _prepare(*(m.chunk({"y": 10}) for m in maps))
