"""Facts of labelled maps: codes, colours and CF attributes that read back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xsentinel.classes import LabelClass, classes_of, flag_attrs, palette
from xsentinel.errors import XSentinelError

NAMES = st.text(st.sampled_from("abcXYZ019-. &,"), min_size=1).filter(lambda s: any(c.isalnum() for c in s))


@pytest.mark.parametrize("n", [0, 1, 9, 18, 40, 255])
def test_colours_are_distinct_and_stay_as_classes_are_added(n):
    assert len(set(palette(n))) == n
    assert palette(255)[:n] == palette(n)


@given(st.lists(NAMES, min_size=1, max_size=30, unique_by=lambda s: LabelClass(1, s, "#000000").meaning))
def test_classes_read_back_from_attributes(names):
    classes = tuple(LabelClass(k, n, c) for k, (n, c) in enumerate(zip(names, palette(len(names)), strict=True), start=1))
    attrs = flag_attrs(classes)
    again = classes_of(attrs)
    assert [(c.code, c.meaning, c.colour) for c in again] == [(c.code, c.meaning, c.colour) for c in classes]
    back = flag_attrs(again)
    assert back["flag_meanings"] == attrs["flag_meanings"]
    np.testing.assert_array_equal(back["flag_values"], attrs["flag_values"])


def test_no_label_is_no_class():
    assert [c.code for c in classes_of({"flag_values": [0, 7], "flag_meanings": "none maize"})] == [7]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LabelClass(0, "Maize", "#000000"), "0 means no label"),
        (lambda: LabelClass(256, "Maize", "#000000"), "codes are 1 … 255"),
        (lambda: LabelClass(1, " &", "#000000"), "a letter or a figure"),
        (lambda: LabelClass(1, "Maize", "yellow"), "write it as"),
        (lambda: flag_attrs((LabelClass(1, "Maize", "#000000"), LabelClass(1, "Rye", "#000001"))), "the code 1 stands for more"),
        (lambda: flag_attrs((LabelClass(1, "a b", "#000000"), LabelClass(2, "a_b", "#000001"))), "the meaning a_b stands for more"),
        (lambda: classes_of({}), "0 flag_values and 0 flag_meanings"),
    ],
)
def test_impossible_classes_are_refused(make, message):
    with pytest.raises(XSentinelError, match=message):
        make()
