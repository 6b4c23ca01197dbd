"""The table of bands and the names that mean them."""

from __future__ import annotations

import pytest

from xsentinel.bands import BANDS, band_name, known_band, platform_name, scene_class_values
from xsentinel.errors import BandError


@pytest.mark.parametrize("band", BANDS)
def test_a_band_is_meant_by_its_name_in_any_case_and_short(band):
    forms = {band, band.lower(), band.upper(), f" {band} ", band.replace("B0", "B"), band.replace("B0", "b")}
    assert {band_name(form) for form in forms} == {band}


@pytest.mark.parametrize(
    ("alias", "band"),
    [("coastal", "B01"), ("blue", "B02"), ("Red", "B04"), ("rededge1", "B05"), ("nir", "B08"), ("nir08", "B8A"), ("B8a", "B8A"),
     ("nir09", "B09"), ("swir16", "B11"), ("swir22", "B12"), ("vv", "VV")],
)  # fmt: skip
def test_aliases_of_catalogues(alias, band):
    assert band_name(alias) == band


@pytest.mark.parametrize("name", ["B13", "B", "lai", "", "SCL", "B8B", "band", 3, None])
def test_what_is_no_band(name):
    assert band_name(name) is None


def test_no_alias_means_two_bands():
    seen = [a for b in BANDS.values() for a in (b.name.lower(), *b.aliases)]
    assert len(seen) == len(set(seen))
    assert all(a == a.lower() for a in seen)


def test_unknown_band_says_which_there_are():
    with pytest.raises(BandError, match=r"'B13' is not a band; the bands are B01, .*VH"):
        known_band("B13")


@pytest.mark.parametrize(
    ("text", "platform"),
    [("S2A_MSIL2A_20190530T103031_N0212_R108_T32TMT_20190530T132519.SAFE", "S2A"), ("Sentinel-2B", "S2B"), ("sentinel-2c", "S2C"),
     ("SENTINEL 2A", "S2A"), ("T32TMT_20190530", None), ("S2D", None), ("XS2AX", None), ("", None)],
)  # fmt: skip
def test_platform_of_a_name(text, platform):
    assert platform_name(text) == platform


def test_scene_classes_by_name_and_code():
    assert scene_class_values(["cloud_shadow", 9, "snow_or_ice"]) == (3, 9, 11)
    with pytest.raises(BandError, match="'fog' is not a scene class; the classes are no_data"):
        scene_class_values(["fog"])
    with pytest.raises(BandError, match="12 is not a scene class"):
        scene_class_values([12])
