"""Models on disk: what is saved is loaded, what is damaged is refused, and nothing that is read is run."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import dask.base
import pytest
import torch
from safetensors.torch import load, save

from xsentinel.blocks.model import SHIPPED, Model, load_model, read_network, save_model
from xsentinel.errors import ReadError, WriteError
from xsentinel.models.card import Calibration, Card, Channel, Output
from xsentinel.models.networks import NETWORKS, build_network

CARD = Card(
    name="field<1>-v1.2",
    network="unet",
    settings={"widths": [4, 6], "dropout": [0, 0.5, 0.5]},
    channels=(Channel("B03", 0.0, 0.25), Channel("B8A", 0.0, 0.5), Channel("cos_sza", 0.0, 1.0)),
    outputs=(Output("lai", "leaf area index", "m2 m-2", "leaf_area_index", 0.0),),
    resolution_m=20,
    stride=2,
    radius=9,
    licence="Apache-2.0",
    training={"steps": 300},
    scores={"r2 on Zürich": 0.93},
    calibration=Calibration(0.1, 1.0, 0.05, ((0.5, 0.7), (0.95, 2.1)), 30),
)


def trained(card=CARD, seed=0):
    """Build the network of a card, with statistics of its own."""
    torch.manual_seed(seed)
    network = build_network(card)
    with torch.no_grad():
        for value in network.state_dict().values():
            value.add_(torch.rand(value.shape).to(value.dtype))
    return network.eval()


@pytest.fixture
def model(tmp_path) -> Model:
    """A model that was saved."""
    return save_model(trained(), CARD, tmp_path / "model")


def with_weights(model: Model, data: bytes, *, matching: bool = True) -> Model:
    """Put other bytes where the weights lie, and, if matching, their digest into the card."""
    Path(model.path).write_bytes(data)
    return Model(model.card.with_digest(hashlib.sha256(data).hexdigest()), model.path) if matching else model


@pytest.mark.parametrize(
    ("network", "settings"), [("unet", {"widths": [4, 6]}), ("unet", {"widths": [5, 6, 7], "norm": False}), ("mlp", {"widths": [8, 5]})]
)
@torch.no_grad()
def test_what_is_saved_is_read(tmp_path, network, settings):
    card = replace(CARD, network=network, settings=settings)
    before = trained(card)
    model = save_model(before, card, tmp_path / "new" / "folder")
    after = read_network(model)
    assert not after.training
    assert type(after) is type(before)
    assert {k: v.tolist() for k, v in after.state_dict().items()} == {k: v.tolist() for k, v in before.state_dict().items()}
    x = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(after(x), before(x), rtol=0, atol=0)


def test_two_files_are_written_and_the_card_has_the_digest_of_the_weights(model):
    folder = Path(model.path).parent
    assert sorted(p.name for p in folder.iterdir()) == [f"{CARD.name}.json", f"{CARD.name}.safetensors"]
    digest = hashlib.sha256(Path(model.path).read_bytes()).hexdigest()
    assert model.card == CARD.with_digest(digest)
    assert Card.from_json((folder / f"{CARD.name}.json").read_text(encoding="utf-8")) == model.card
    assert load(Path(model.path).read_bytes()).keys() == trained().state_dict().keys()


@pytest.mark.parametrize("name", ["", "field<1>-v1.2.json", "field<1>-v1.2.safetensors"])
@pytest.mark.parametrize("kind", [str, Path])
def test_a_model_is_found_by_folder_card_or_weights(model, name, kind):
    found = load_model(kind(Path(model.path).parent / name))
    assert found == model
    assert hash(found) == hash(model)
    assert read_network(found).state_dict().keys() == read_network(model).state_dict().keys()


def test_a_model_that_is_loaded_is_itself(model):
    assert load_model(model) is model


def test_loading_reads_no_weights(model):
    os.remove(model.path)
    assert load_model(Path(model.path).parent) == model


def test_saving_again_replaces_both_files(model, tmp_path):
    again = save_model(trained(), CARD, tmp_path / "model")
    assert again == model
    other = save_model(trained(seed=1), CARD, tmp_path / "model")
    assert other.card.digest != model.card.digest
    assert load_model(tmp_path / "model") == other
    read_network(other)


def test_the_training_state_of_a_network_is_left_alone(tmp_path):
    network = trained().train()
    save_model(network, CARD, tmp_path)
    assert network.training


def test_graphs_are_named_by_card_and_weights_not_by_place(model, tmp_path):
    shutil.copytree(Path(model.path).parent, tmp_path / "copy")
    copy, other = load_model(tmp_path / "copy"), save_model(trained(seed=1), CARD, tmp_path / "other")
    assert dask.base.tokenize(copy) == dask.base.tokenize(model)
    assert dask.base.tokenize(other) != dask.base.tokenize(model)


def test_a_model_says_what_it_is(model):
    text = repr(model)
    assert text.startswith("<xsentinel model field<1>-v1.2>")
    for words in ("B03, B8A, cos_sza at 20 m, each date by itself", "lai [m2 m-2]", "9 pixels around, stride 2", "Apache-2.0"):
        assert words in text
    for words in (model.path, model.card.digest[:12], "widths", "300", "r2 on Zürich", "0.93"):
        assert words in text
    assert len(text.splitlines()) == 1 + len(model.rows())


def test_a_model_says_what_it_is_in_a_notebook(model):
    html = model._repr_html_()
    assert "field&lt;1&gt;-v1.2" in html
    assert "field<1>" not in html
    for words in ("B03, B8A, cos_sza", model.card.digest[:12], "lai [m2 m-2]", "r2 on Zürich"):
        assert words in html
    assert html.count("<tr>") == html.count("</tr>") == len(model.rows())


def test_words_for_whole_scenes_and_several_dates(model):
    text = repr(Model(replace(model.card, radius=None, dates=3), model.path))
    assert "the whole scene" in text
    assert "3 dates together" in text


def test_the_package_comes_with_a_model():
    assert "lai-unet" in SHIPPED
    model = load_model("lai-unet")
    assert model.card.name == "lai-unet"
    assert model.card.network in NETWORKS
    assert [o.name for o in model.card.outputs] == ["lai"]


@pytest.mark.parametrize("name", ["lai-unet2", "somewhere/else", "model.pt", "model.ckpt"])
def test_no_such_model(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(ReadError, match=rf"{path} is not there: .* give one of {', '.join(SHIPPED)}, or the folder of a model"):
        load_model(path)


@pytest.mark.parametrize("name", ["model.pt", "model.ckpt", "model.pkl", "model"])
def test_what_is_no_model(tmp_path, name):
    path = tmp_path / name
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(ReadError, match=rf"{path} is no model: .*\.pt or \.ckpt, run code when they are read and are refused"):
        load_model(path)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_no_such_card(tmp_path, name):
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ReadError, match=rf"the model card {tmp_path}/model\.json cannot be read: .*; give one of lai-unet"):
        load_model(tmp_path / name)


def test_a_card_that_is_no_text(tmp_path):
    (tmp_path / "model.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ReadError, match=r"cannot be read: .*utf-8"):
        load_model(tmp_path)


def test_a_card_that_is_another_text(tmp_path):
    (tmp_path / "model.json").write_text('{"name": "lai"}')
    with pytest.raises(ReadError, match="no card of an xsentinel model"):
        load_model(tmp_path)


@pytest.mark.parametrize("names", [[], ["a.json", "b.json"], ["weights.safetensors"]])
def test_a_folder_of_none_or_several_cards(tmp_path, names):
    for name in names:
        (tmp_path / name).write_text("{}")
    cards = [name for name in names if name.endswith(".json")]
    with pytest.raises(ReadError, match=rf"{tmp_path} holds {len(cards)} model cards .*; name one of them") as caught:
        load_model(tmp_path)
    assert all(name in str(caught.value) for name in cards)


def test_what_a_job_leaves_beside_a_card_is_none(model):
    (Path(model.path).parent / "job.json").write_text("{}")
    assert load_model(Path(model.path).parent) == model


def test_the_weights_are_missing(model):
    os.remove(model.path)
    with pytest.raises(ReadError, match=r"weights of field<1>-v1\.2 cannot be read at .*: No such file.*; on a cluster every worker"):
        read_network(model)


def test_a_folder_where_the_weights_belong(model):
    os.remove(model.path)
    os.mkdir(model.path)
    with pytest.raises(ReadError, match="cannot be read at"):
        read_network(model)


@pytest.mark.parametrize("n_bytes", [0, 1, 8, 30, -1])
def test_truncated_weights(model, n_bytes):
    data = Path(model.path).read_bytes()[:n_bytes]
    with pytest.raises(
        ReadError, match=rf"\({len(data)} bytes, .* is not the file of its card .* truncated, damaged .*copy both files again"
    ):
        read_network(with_weights(model, data, matching=False))
    with pytest.raises(ReadError, match="do not fit unet"):
        read_network(with_weights(model, data))


@pytest.mark.parametrize("byte", [0, 7, 8, 60, 1000, -1])
@pytest.mark.parametrize("bit", [0, 3, 6])
def test_one_bit_is_wrong(model, byte, bit):
    data = bytearray(Path(model.path).read_bytes())
    data[byte] ^= 1 << bit
    with pytest.raises(ReadError):
        read_network(with_weights(model, bytes(data), matching=False))


def test_the_digest_of_another_training(model, tmp_path):
    other = save_model(trained(seed=1), CARD, tmp_path / "other")
    shutil.copy(other.path, model.path)
    with pytest.raises(
        ReadError, match=rf"sha256 {other.card.digest[:12]}….* is not the file of its card \(sha256 {model.card.digest[:12]}…"
    ):
        read_network(model)


class Trap:
    """What makes a folder when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = str(place)

    def __reduce__(self):
        return os.makedirs, (self.place, 0o777, True)


def pickled(trap: Trap, protocol: int) -> bytes:
    return pickle.dumps({"down.0.first.weight": trap}, protocol)


def saved(trap: Trap, zipped: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save({"down.0.first.weight": trap}, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def run(data: bytes) -> None:
    """Unpickle as one who trusts."""
    data = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    try:
        torch.load(io.BytesIO(data), weights_only=False)
    except (RuntimeError, pickle.UnpicklingError):
        pickle.loads(data)


PICKLES = {
    **{f"pickle, protocol {n}": lambda trap, n=n: pickled(trap, n) for n in range(pickle.HIGHEST_PROTOCOL + 1)},
    "torch": lambda trap: saved(trap, zipped=True),
    "torch before 1.6": lambda trap: saved(trap, zipped=False),
    "compressed": lambda trap: gzip.compress(pickled(trap, 4)),
}


@pytest.mark.parametrize("kind", PICKLES)
@pytest.mark.parametrize("matching", [True, False])
def test_pickled_weights_are_refused_and_not_run(model, tmp_path, kind, matching):
    place = tmp_path / "sprung"
    data = PICKLES[kind](Trap(place))
    with pytest.raises(ReadError) as caught:
        read_network(with_weights(model, data, matching=matching))
    assert not place.exists()
    assert "is a pickle" in str(caught.value) or kind in ("pickle, protocol 0", "pickle, protocol 1")
    run(data)
    assert place.is_dir(), "the trap is none: this test proves nothing"


@pytest.mark.parametrize("suffix", [".pt", ".ckpt", ".pkl"])
def test_pickled_files_are_refused_by_name(tmp_path, suffix):
    path, place = tmp_path / f"weights{suffix}", tmp_path / "sprung"
    path.write_bytes(saved(Trap(place), zipped=True))
    with pytest.raises(ReadError, match="run code when they are read and are refused"):
        load_model(path)
    assert not place.exists()


@pytest.mark.parametrize("first", [b"(", b"\x80"])
def test_weights_whose_header_begins_like_a_pickle_are_read(model, first):
    state = trained().state_dict()
    versions = (save(state, {"note": "x" * n}) for n in range(0, 260, 4))
    data = next(version for version in versions if version.startswith(first))  # the length of the header, modulo 256
    again = read_network(with_weights(model, data)).state_dict()
    assert all(torch.equal(again[key], value) for key, value in state.items())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"settings": {"widths": [4, 8], "dropout": [0, 0.5, 0.5]}}, "size mismatch"),
        ({"settings": {"widths": [4, 6, 8]}}, "Missing key"),
        ({"settings": {"widths": [4]}}, "Unexpected key"),
        ({"settings": {"widths": [4, 6], "norm": False}}, "Missing key"),
        ({"channels": CARD.channels[:2]}, "size mismatch"),
        ({"network": "mlp", "settings": {}}, "Missing key"),
    ],
)
def test_a_card_of_another_network(model, changes, words):
    with pytest.raises(ReadError, match=rf"the weights .* do not fit {changes.get('network', 'unet')} .*{words}"):
        read_network(Model(replace(model.card, **changes), model.path))


def test_a_tensor_is_missing(model):
    state = trained().state_dict()
    del state["head.bias"]
    with pytest.raises(ReadError, match=r"do not fit unet .* Missing key.*head\.bias"):
        read_network(with_weights(model, save(state)))


def test_a_network_that_this_version_does_not_know(model):
    with pytest.raises(ReadError, match=r"is a 'segformer', which this version does not know; it knows unet"):
        read_network(Model(replace(model.card, network="segformer"), model.path))


def test_settings_that_the_network_does_not_take(model):
    with pytest.raises(ReadError, match=r"unet cannot be built with \{'depth': 3\}"):
        read_network(Model(replace(model.card, settings={"depth": 3}), model.path))


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(WriteError, match=r"the model cannot be written to .*; give a folder that may be written"):
        save_model(trained(), CARD, tmp_path / "file")


def test_a_card_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    with pytest.raises((TypeError, ValueError)):
        save_model(trained(), replace(CARD, scores={"r2": object()}), tmp_path)
    assert list(tmp_path.iterdir()) == []
