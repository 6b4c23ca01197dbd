"""Cards: what is written is read, what a hand has damaged is refused."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from xsentinel.bands import BANDS
from xsentinel.errors import ReadError
from xsentinel.models.card import FORMAT, GEOMETRY, INDICES, Calibration, Card, Channel, Output

DIGEST = "0123456789abcdef" * 4
CALIBRATION = Calibration(
    floor=0.1, spread=1.5, level=0.05, quantiles=((0.5, 0.7), (0.9, 1.7), (0.95, 2.1)), samples=30, coverage={"zurich": 0.94}
)
CARD = Card(
    name="lai-test",
    network="unet",
    settings={"widths": [4, 8], "dropout": [0, 0.5, 0.5]},
    channels=(
        Channel("B03", 0.0, 0.25),
        Channel("B8A", 0.01, 0.5),
        Channel("B11", -0.02, 0.4),
        Channel("cos_sza", 0.2, 1.0),
        Channel("s2b", 0.0, 1.0, 0.0),
    ),
    outputs=(Output("lai", "leaf area index", "m2 m-2", "leaf_area_index", 0.0), Output("fapar", "absorbed share", "1", maximum=1.0)),
    resolution_m=20,
    stride=2,
    radius=9,
    licence="Apache-2.0",
    training={"steps": 300, "sources": ["a", "b"]},
    scores={"r2": 0.9, "été": "–"},
    digest=DIGEST,
)


def damaged(**changes) -> str:
    """Give the text of the card with fields of its record changed, or removed where the change is an ellipsis."""
    item = json.loads(CARD.to_json())
    record = item["properties"]["xsentinel:model"] | changes
    item["properties"]["xsentinel:model"] = {key: value for key, value in record.items() if value is not ...}
    return json.dumps(item)


def damaged_channel(**changes) -> str:
    """Give the text of the card with its last channel changed."""
    channels = json.loads(CARD.to_json())["properties"]["xsentinel:model"]["channels"]
    return damaged(channels=[*channels[:-1], channels[-1] | changes])


@pytest.mark.parametrize("calibration", [None, CALIBRATION])
@pytest.mark.parametrize("radius", [None, 0, 9])
def test_a_card_is_read_as_it_was_written(calibration, radius):
    card = replace(CARD, calibration=calibration, radius=radius, dates=3)
    again = Card.from_json(card.to_json())
    assert again == card
    assert hash(again) == hash(card)
    assert again.to_json() == card.to_json()


NUMBERS = st.floats(-1e3, 1e3)
CHANNELS = st.lists(st.sampled_from([*BANDS, *GEOMETRY]), min_size=1, max_size=8, unique=True)


@given(CHANNELS, st.data())
def test_any_normalisation_survives_to_the_last_bit(names, data):
    lows = [data.draw(NUMBERS) for _ in names]
    spans = [data.draw(st.floats(1e-3, 1e3)) for _ in names]
    defaults = [data.draw(st.none() | NUMBERS) for _ in names]
    channels = tuple(Channel(n, low, low + s, d) for n, low, s, d in zip(names, lows, spans, defaults, strict=True))
    assert Card.from_json(replace(CARD, channels=channels).to_json()).channels == channels


def test_the_text_is_a_stac_item_of_the_model_extension():
    item = json.loads(CARD.to_json())
    assert (item["type"], item["stac_version"], item["id"]) == ("Feature", "1.1.0", "lai-test")
    assert {"geometry", "properties", "links", "assets", "stac_extensions"} <= set(item)
    assert [url.split("/")[3] for url in item["stac_extensions"]] == ["mlm", "file"]
    properties = item["properties"]
    assert properties["license"] == "Apache-2.0"
    assert properties["datetime"] is None
    assert properties["start_datetime"] < properties["end_datetime"]
    assert properties["mlm:name"] == "lai-test"
    assert properties["mlm:architecture"] == "unet"
    assert properties["mlm:framework"] == "PyTorch"
    assert properties["mlm:hyperparameters"] == CARD.settings


def test_the_item_says_what_goes_in_and_comes_out():
    properties = json.loads(CARD.to_json())["properties"]
    (found,) = properties["mlm:input"]
    assert found["bands"] == ["B03", "B8A", "B11"]
    assert [(s["type"], s["minimum"], s["maximum"]) for s in found["value_scaling"]] == [("min-max", c.low, c.high) for c in CARD.channels]
    assert found["input"]["shape"] == [-1, 5, -1, -1]
    assert len(found["input"]["dim_order"]) == 4
    assert found["input"]["data_type"] == "float32"
    assert "20 m" in found["description"]
    assert "cos_sza, s2b" in found["description"]
    assert [o["name"] for o in properties["mlm:output"]] == ["lai", "fapar"]
    assert "m2 m-2" in properties["mlm:output"][0]["description"]


def test_the_item_names_its_weights_by_digest():
    (asset,) = json.loads(CARD.to_json())["assets"].values()
    assert asset["href"] == "lai-test.safetensors"
    assert asset["file:checksum"] == "1220" + DIGEST
    assert {"mlm:model", "mlm:weights"} <= set(asset["roles"])
    assert json.loads(CARD.with_digest("f" * 64).to_json())["assets"]["model"]["file:checksum"] == "1220" + "f" * 64


@pytest.mark.parametrize(
    ("radius", "stride", "halo"), [(None, 4, None), (0, 1, 0), (0, 8, 0), (2, 1, 2), (9, 2, 10), (23, 4, 24), (51, 8, 56), (8, 8, 8)]
)
def test_the_halo_is_the_radius_rounded_up_to_the_stride(radius, stride, halo):
    assert replace(CARD, radius=radius, stride=stride).halo == halo


@pytest.mark.parametrize(("dates", "n_in"), [(1, 5), (2, 8), (12, 38)])
def test_bands_are_counted_once_a_date_and_geometry_once(dates, n_in):
    card = replace(CARD, dates=dates)
    assert card.n_in == n_in
    assert json.loads(card.to_json())["properties"]["mlm:input"][0]["input"]["shape"][1] == n_in


def test_bands_and_geometry_are_told_apart():
    assert CARD.bands == ("B03", "B8A", "B11")
    assert [c.name for c in CARD.geometry] == ["cos_sza", "s2b"]
    assert CARD.with_digest("f" * 64) == replace(CARD, digest="f" * 64)


@pytest.mark.parametrize(
    "text", ["", "{", "no json", "null", "3", "[]", "[1]", '"properties"', "{}", '{"properties": null}', '{"properties": {}}']
)
def test_what_is_no_card(text):
    with pytest.raises(ReadError, match=r"no card of an xsentinel model .* give the \.json that lies beside its \.safetensors"):
        Card.from_json(text)


@pytest.mark.parametrize("record", [None, 3, "unet", [], ["format"]])
def test_a_record_that_is_no_record(record):
    with pytest.raises(ReadError):
        Card.from_json(json.dumps({"properties": {"xsentinel:model": record}}))


@pytest.mark.parametrize("found", [None, ..., "xsentinel model 2", 1])
def test_another_format(found):
    with pytest.raises(ReadError, match=rf"has the format {None if found is ... else found!r}, and this version reads {FORMAT!r}"):
        Card.from_json(damaged(format=found))


REQUIRED = ("name", "network", "settings", "channels", "outputs", "resolution_m", "stride", "radius", "licence")


@pytest.mark.parametrize("name", REQUIRED)
def test_a_field_is_missing(name):
    with pytest.raises(ReadError, match=rf"incomplete or damaged: .*{name}.*; save the model again"):
        Card.from_json(damaged(**{name: ...}))


@pytest.mark.parametrize("name", sorted({f.name for f in fields(Card)} - set(REQUIRED)))
def test_the_other_fields_may_be_missing(name):
    assert replace(Card.from_json(damaged(**{name: ...})), **{name: getattr(CARD, name)}) == CARD


@pytest.mark.parametrize(
    "changes",
    [
        {"channels": 3},
        {"channels": [3]},
        {"channels": [{"name": "B03"}]},
        {"channels": [{"name": "B03", "low": 0, "high": 1, "mean": 0.5}]},
        {"outputs": [{"name": "lai"}]},
        {"calibration": {"floor": 1}},
        {"calibration": [1]},
        {"calibration": {"floor": 1, "spread": 1, "level": 1, "samples": 30, "quantiles": [["high", 1]]}},
    ],
)
def test_a_part_is_damaged(changes):
    with pytest.raises(ReadError, match=r"incomplete or damaged: .*; save the model again"):
        Card.from_json(damaged(**changes))


@pytest.mark.parametrize(
    ("low", "high"), [(1.0, 1.0), (2.0, 1.0), (float("nan"), 1.0), (0.0, float("nan")), (float("-inf"), 1.0), (0.0, float("inf"))]
)
def test_a_normalisation_that_cannot_be(low, high):
    with pytest.raises(ReadError, match=r"lai-test: the normalisation of s2b is not low < high; save the model again"):
        Card.from_json(damaged_channel(low=low, high=high))


@pytest.mark.parametrize("name", ["B13", "b03", "ndvi", ""])
def test_a_channel_that_nobody_knows(name):
    with pytest.raises(ReadError, match=rf"lai-test takes {name}, which is neither a band nor one of {', '.join([*INDICES, *GEOMETRY])}"):
        Card.from_json(damaged_channel(name=name))


@pytest.mark.parametrize(
    "changes", [{"outputs": []}, {"stride": 0}, {"stride": -2}, {"dates": 0}, {"resolution_m": float("nan")}, {"resolution_m": 1e999}]
)
def test_numbers_that_make_no_sense(changes):
    with pytest.raises(ReadError, match="lai-test: outputs, stride, dates or resolution make no sense; save the model again"):
        Card.from_json(damaged(**changes))


@pytest.mark.parametrize(
    "changes", [{"stride": "2"}, {"stride": None}, {"radius": "9"}, {"dates": "1"}, {"resolution_m": None}, {"resolution_m": "20 m"}]
)
def test_a_word_where_a_number_belongs(changes):
    with pytest.raises(ReadError):
        Card.from_json(damaged(**changes))


@pytest.mark.parametrize("changes", [{"low": "0"}, {"high": None}, {"name": ["B03"]}])
def test_a_channel_of_other_types(changes):
    with pytest.raises(ReadError):
        Card.from_json(damaged_channel(**changes))


@pytest.mark.parametrize(
    ("confidence", "expected"), [(0.5, 0.7), (0.9, 1.7), (0.95, 2.1), (0.7, 1.2), (0.6, 0.95), (0.925, 1.9), (0.1, 0.7), (0.99, 2.1)]
)
def test_quantiles_lie_on_lines_between_those_calibrated(confidence, expected):
    q = CALIBRATION.quantile(confidence)
    assert type(q) is float
    assert q == pytest.approx(expected, rel=1e-12)


@given(st.floats(0, 8), st.floats(0, 3), st.sampled_from([0.5, 0.9, 0.95]))
def test_half_width_is_its_formula(mean, spread, confidence):
    expected = dict(CALIBRATION.quantiles)[confidence] * np.hypot(np.hypot(0.1, 1.5 * spread), 0.05 * mean)
    assert CALIBRATION.half_width(mean, spread, confidence) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_half_width_keeps_precision_and_labels(kind):
    rng = np.random.default_rng(0)
    mean, spread = rng.uniform(0, 6, (2, 5, 7)).astype(kind)
    mean[1, 2] = np.nan
    width = CALIBRATION.half_width(mean, spread, 0.9)
    assert width.dtype == kind
    np.testing.assert_allclose(
        width, 1.7 * np.sqrt(0.1**2 + (1.5 * spread) ** 2 + (0.05 * mean) ** 2), rtol=1e-6 if kind == np.float32 else 1e-12
    )
    assert np.isnan(width[1, 2])
    labelled = CALIBRATION.half_width(
        *(xr.DataArray(v, dims=("y", "x"), coords={"x": np.arange(7)}) for v in (mean, spread)), confidence=0.9
    )
    assert isinstance(labelled, xr.DataArray)
    assert labelled.dtype == kind
    assert labelled.dims == ("y", "x")
    np.testing.assert_array_equal(labelled.values, width)
    np.testing.assert_array_equal(labelled["x"], np.arange(7))
