"""The parsers of metadata, fed with broken XML: they give records or our own error, nothing else."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import xsentinel as xs
from tests.products import Spec, product_xml, tile_xml
from xsentinel.io.safe_metadata import ProductFacts, TileFacts, parse_product, parse_tile

PRODUCT = product_xml(Spec(offset=-1000), ["GRANULE/a/IMG_DATA/R20m/T_B02_20m"]).encode()
TILE = tile_xml(Spec(), (120, 120)).encode()
JUNK = st.one_of(
    st.binary(max_size=12),
    st.text(max_size=12).map(str.encode),
    st.sampled_from([b"<", b">", b"&", b"NaN", b"inf", b"-1e999", b"</Zenith>", b'"', b"\x00", b"&lt;", b"<!DOCTYPE a>", b"1e400", b""]),
)


@st.composite
def mutated(draw: st.DrawFn, source: bytes) -> bytes:
    """Cut out, double and replace a few stretches."""
    text = source
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        stop = min(len(text), start + draw(st.integers(0, 60)))
        text = text[:start] + draw(st.one_of(JUNK, st.just(text[start:stop] * 2))) + text[stop:]
    return text


@st.composite
def renumbered(draw: st.DrawFn, source: bytes) -> bytes:
    """Replace what stands between two tags, so that the XML stays well formed."""
    places = [i for i in range(len(source)) if source[i : i + 1] == b">" and source[i + 1 : i + 2] not in (b"<", b"")]
    start = draw(st.sampled_from(places)) + 1
    stop = source.index(b"<", start)
    value = draw(st.one_of(st.floats(), st.integers(), st.text("0123456789.-eNaNT:Z ", max_size=30)))
    return source[:start] + str(value).encode() + source[stop:]


def check_product(text: bytes) -> None:
    try:
        facts = parse_product(text, "fuzz")
    except xs.ReadError:
        return
    assert isinstance(facts, ProductFacts)
    assert facts.platform in ("S2A", "S2B", "S2C")
    assert facts.quantification >= 1
    assert not np.isnat(facts.time)
    assert all(abs(v) <= 5000 for _, v in facts.offsets or ())


def check_tile(text: bytes) -> None:
    try:
        facts = parse_tile(text, "fuzz")
    except xs.ReadError:
        return
    assert isinstance(facts, TileFacts)
    assert 32600 <= facts.epsg < 32800
    assert all(0 < n <= 20_000 for _, shape in facts.shapes for n in shape)
    if facts.angles is not None:
        known = facts.angles.view_zenith[np.isfinite(facts.angles.view_zenith)]
        assert ((known >= 0) & (known <= 90)).all()


@given(mutated(PRODUCT))
def test_broken_product_metadata(text: bytes) -> None:
    check_product(text)


@given(renumbered(PRODUCT))
def test_product_metadata_of_other_values(text: bytes) -> None:
    check_product(text)


@given(mutated(TILE))
def test_broken_granule_metadata(text: bytes) -> None:
    check_tile(text)


@given(renumbered(TILE))
def test_granule_metadata_of_other_values(text: bytes) -> None:
    check_tile(text)


@given(st.binary(max_size=200))
def test_no_metadata_at_all(text: bytes) -> None:
    check_product(text)
    check_tile(text)
