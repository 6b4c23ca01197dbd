"""The facts of the sensor: bands, scene classes, platforms and the names that catalogues give them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from xsentinel.errors import BandError


@dataclass(frozen=True)
class Band:
    """One band of the MultiSpectral Instrument, or a polarisation of Sentinel-1."""

    name: str
    """Name in a cube: B01 … B12, B8A, VV, VH."""
    centre_nm: float
    """Central wavelength of Sentinel-2A, nm; 0 for radar."""
    resolution_m: int
    """Native ground sampling distance, m."""
    long_name: str
    """What it sees, for CF attributes."""
    aliases: tuple[str, ...] = ()
    """Other names, lower case, understood on the way in and never written."""
    spyndex: str = ""
    """Name in the formulas of the spyndex library, '' if none."""

    @property
    def is_radar(self) -> bool:
        """Whether values are backscatter in dB instead of reflectance."""
        return self.centre_nm == 0


# Centres: ESA, Sentinel-2 Spectral Responses (S2-SRF) v3.1, S2A. Aliases: EO common names of STAC as
# used by Earth Search v0 and v1, Planetary Computer, EOPF and Google Earth Engine.
BANDS = {
    b.name: b
    for b in (
        Band("B01", 442.7, 60, "coastal aerosol", ("coastal", "coastal_aerosol", "aerosol"), "A"),
        Band("B02", 492.7, 10, "blue", ("blue",), "B"),
        Band("B03", 559.8, 10, "green", ("green",), "G"),
        Band("B04", 664.6, 10, "red", ("red",), "R"),
        Band("B05", 704.1, 20, "red edge 1", ("rededge1", "rededge_1", "red_edge_1", "rededge071", "re1"), "RE1"),
        Band("B06", 740.5, 20, "red edge 2", ("rededge2", "rededge_2", "red_edge_2", "rededge075", "re2"), "RE2"),
        Band("B07", 782.8, 20, "red edge 3", ("rededge3", "rededge_3", "red_edge_3", "rededge078", "re3"), "RE3"),
        Band("B08", 832.8, 10, "near infrared", ("nir", "nir_1"), "N"),
        Band("B8A", 864.7, 20, "narrow near infrared", ("nir08", "nir_2", "narrow_nir", "b08a"), "N2"),
        Band("B09", 945.1, 60, "water vapour", ("nir09", "water_vapor", "water_vapour"), "WV"),
        Band("B10", 1373.5, 60, "cirrus", ("cirrus",)),
        Band("B11", 1613.7, 20, "shortwave infrared 1", ("swir16", "swir_1", "swir1"), "S1"),
        Band("B12", 2202.4, 20, "shortwave infrared 2", ("swir22", "swir_2", "swir2"), "S2"),
        Band("VV", 0, 10, "backscatter, vertical transmit, vertical receive", spyndex="VV"),
        Band("VH", 0, 10, "backscatter, vertical transmit, horizontal receive", spyndex="VH"),
    )
}


TEN_BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
"""Those of 10 and 20 m, in the order of their wavelengths."""


@dataclass(frozen=True)
class SceneClass:
    """One class of the scene classification layer (SCL)."""

    value: int
    """Code in the layer."""
    meaning: str
    """CF flag meaning: one word."""
    colour: str
    """Colour of the Sen2Cor legend."""


SCENE_CLASSES = (
    SceneClass(0, "no_data", "#000000"),
    SceneClass(1, "saturated_or_defective", "#ff0000"),
    SceneClass(2, "dark_area", "#2f2f2f"),
    SceneClass(3, "cloud_shadow", "#643200"),
    SceneClass(4, "vegetation", "#00a000"),
    SceneClass(5, "not_vegetated", "#ffe65a"),
    SceneClass(6, "water", "#0000ff"),
    SceneClass(7, "unclassified", "#808080"),
    SceneClass(8, "cloud_medium_probability", "#c0c0c0"),
    SceneClass(9, "cloud_high_probability", "#ffffff"),
    SceneClass(10, "thin_cirrus", "#64c8ff"),
    SceneClass(11, "snow_or_ice", "#ff96ff"),
)

CLOUDY_CLASSES = (
    "no_data",
    "saturated_or_defective",
    "cloud_shadow",
    "cloud_medium_probability",
    "cloud_high_probability",
    "thin_cirrus",
)
"""Scene classes that hide the ground."""

PLATFORMS = ("S2A", "S2B", "S2C")

SCALE_FACTOR = 1e-4
"""Reflectance a count of an integer Level-2A product (QUANTIFICATION_VALUE 10000)."""

BASELINE_4_OFFSET = -0.1
"""Reflectance added since processing baseline 04.00 (BOA_ADD_OFFSET −1000)."""

MAX_REFLECTANCE = 10.0
"""No 16-bit product reaches it (65535 · 1e-4 = 6.55); what lies above is in other units."""


def _keys() -> dict[str, str]:
    keys = {}
    for band in BANDS.values():
        short = re.sub(r"^B0", "B", band.name)
        for key in (band.name, short, *band.aliases):
            keys[key.lower()] = band.name
    return keys


_KEYS = _keys()


def band_name(name: object) -> str | None:
    """Give the band that a name or alias means, None if it means no band.

    Examples
    --------
    >>> band_name("b02"), band_name("B2"), band_name("nir08"), band_name("elevation")
    ('B02', 'B02', 'B8A', None)
    """
    return _KEYS.get(str(name).strip().lower())


def known_band(name: object) -> Band:
    """Give the band of a name or alias, or say which names there are.

    Raises
    ------
    BandError
        If the name is of no band.
    """
    found = band_name(name)
    if found is None:
        raise BandError(f"{name!r} is not a band; the bands are {', '.join(BANDS)}, or an alias such as 'red' or 'nir08'")
    return BANDS[found]


def scene_class_values(meanings: tuple[str | int, ...] | list[str | int]) -> tuple[int, ...]:
    """Turn scene class names or codes into codes.

    Raises
    ------
    BandError
        If a name or a code is of no scene class.
    """
    by_meaning = {c.meaning: c.value for c in SCENE_CLASSES}
    codes = []
    for meaning in meanings:
        code = by_meaning.get(meaning) if isinstance(meaning, str) else meaning
        if code is None or code not in by_meaning.values():
            raise BandError(f"{meaning!r} is not a scene class; the classes are {', '.join(by_meaning)} (0–11)")
        codes.append(int(code))
    return tuple(codes)


def platform_name(text: object) -> str | None:
    """Give S2A, S2B or S2C out of a platform's or a product's name, None if it holds none.

    Examples
    --------
    >>> platform_name("sentinel-2b"), platform_name("S2A_MSIL2A_20190530T103031"), platform_name("LC08")
    ('S2B', 'S2A', None)
    """
    match = re.search(r"(?:^|[^a-z])s(?:entinel)?[-_ ]?2([abc])(?![a-z0-9])", str(text).lower())
    return f"S2{match.group(1).upper()}" if match else None
