"""What `info` says of cubes, line by line, as text and as HTML."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xsentinel as xs
from tests.cubes import make_cube
from xsentinel import info as info_module


def rows(ds: xr.Dataset) -> dict[str, str]:
    return dict(ds.s2.info().rows())


def test_zurich_sample_in_full() -> None:
    assert rows(xs.sample("zurich")) == {
        "bands": "B02, B03, B04, B05, B06, B07, B08, B8A, B11, B12",
        "dates": "2019-05-30",
        "grid": "400 y × 500 x, pixels of 10 m",
        "crs": "EPSG:32632",
        "bounds": "472480, 5249810, 477480, 5253810",
        "platforms": "S2A, by file name",
        "angles": "sza 27.0°, vza 5.0°, raa 100.0° (nominal: the source has no angles)",
        "stored": "float32",
        "chunks": "none: in memory",
        "memory": "8.01 MB",
        "clear": "unknown: no scene classes",
    }


def test_romania_sample() -> None:
    cube = xs.sample("romania", chunks="auto")
    found = rows(cube)
    assert found["bands"] == "B02, B03, B04, B08, SCL"
    assert found["dates"] == f"66, {str(cube.time.values[0])[:10]} to {str(cube.time.values[-1])[:10]}"
    clear = ~np.isin(cube.SCL.values, (0, 1, 3, 8, 9, 10))
    good = int((clear.mean((1, 2)) > 0.9).sum())
    assert found["clear"] == f"{100 * clear.mean():.0f} %; {good} of 66 dates above 90 %"
    n_a = int((cube.platform == "S2A").sum())
    assert found["platforms"].startswith(f"S2A ({n_a}), S2B ({66 - n_a}), by ")
    assert found["chunks"] == "time 66, y 80, x 80"


def test_worldcereal_says_what_was_left_out(data: Path) -> None:
    found = rows(xs.open(data / "cubes" / "worldcereal" / "00002806639B424A", resolution=20))
    assert found["notes"].startswith("left out: OUTPUT_POLY")
    assert found["dates"] == "118, 2017-08-04 to 2018-11-27"
    assert found["angles"].endswith("(googleearthengine)")


def test_qvidja_names_other_variables(data: Path) -> None:
    found = rows(xs.open(sorted((data / "cubes" / "qvidja").glob("*.nc"))[0]))
    assert found["variables"] == "productid, assetid, system_index, ndvi, lai, fapar"
    assert found["platforms"] == "S2A (15), S2B (22), by variable productid"


class Cells(HTMLParser):
    """The texts of a table's cells."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.open_tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open_tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open_tags[-1] in ("th", "td"):
            self.texts.append(data)


def test_text_and_html_say_the_same_and_html_is_escaped() -> None:
    cube = make_cube((2, 4, 4)).assign_attrs(notes="<script>alert(1)</script> & more").assign(odd=((), 1))
    found = cube.s2.info()
    html = found._repr_html_()
    assert "<script>" not in html
    cells = Cells()
    cells.feed(html)
    assert cells.open_tags == []
    assert dict(zip(cells.texts[::2], cells.texts[1::2], strict=True)) == dict(found.rows())
    assert str(found) == repr(found) == "\n".join(f"{k:<10} {v}" for k, v in found.rows())


def test_counts_chunks_and_several_dates() -> None:
    cube = make_cube((3, 21, 17), stored=True)
    cube = cube.assign(B03=cube.B03.assign_attrs(add_offset=-0.1)).chunk(time=1, y=10)
    found = rows(cube)
    assert found["stored"] == "uint16 · 0.0001 +0, uint16 · 0.0001 -0.1"
    assert found["chunks"] == "time 1 (3), y 10 (3), x 17"
    assert found["dates"] == "3, 2019-04-01 to 2019-04-11"
    assert found["platforms"] == "S2A (1), S2B (1), S2C (1)"
    assert found["angles"] == "sza 35.0…55.0°, vza 2.0…10.0°, raa 20.0…150.0°"
    assert found["bounds"] == "600000, 4999600, 600340, 5000020"
    uneven = cube.assign(B04=cube.B04.chunk(y=7))
    assert rows(uneven)["chunks"].startswith("time 1 (3), y ")


def in_degrees(cube: xr.Dataset) -> xr.Dataset:
    return cube.assign_coords(x=8 + 2e-4 * np.arange(6), y=47 - 2e-4 * np.arange(4)).rio.write_crs(4326)


@pytest.mark.parametrize(
    ("change", "title", "text"),
    [
        (lambda c: c.drop_vars("time"), "dates", "none"),
        (lambda c: c.isel(time=slice(0)).drop_vars("platform"), "dates", "none"),
        (lambda c: c.assign_coords(time=np.array(["2019-01-01", "NaT"], "M8[ns]")), "dates", "2, 1 unknown"),
        (lambda c: c.drop_vars("spatial_ref"), "crs", "unknown; open(..., assume_crs='EPSG:...') tells it of a "
         "GeoTIFF, else ds.rio.write_crs('EPSG:...')"),
        (lambda c: c.drop_vars("spatial_ref"), "grid", "4 y × 6 x, pixels of 20"),
        (lambda c: c.isel(y=[0], x=[0]), "grid", "1 y × 1 x, pixel size unknown"),
        (lambda c: c.mean(("y", "x")), "grid", "no dims y and x, pixel size unknown"),
        (lambda c: c.assign_coords(x=600_000.0 + 40 * np.arange(6)), "grid", "4 y × 6 x, pixels of 20 × 40 m"),
        (in_degrees, "grid", "4 y × 6 x, pixels of 0.0002°"),
        (lambda c: c.rio.write_crs(2263), "grid", "4 y × 6 x, pixels of 20 US survey foot"),
        (lambda c: c.rio.write_crs("+proj=laea +lat_0=50 +lon_0=9 +ellps=WGS84"), "crs", "PROJCS["),
        (lambda c: c.drop_vars("platform"), "platforms", "unknown"),
        (lambda c: c.assign_coords(platform=("time", ["S2A", ""])), "platforms", "unknown (1), S2A (1)"),
        (lambda c: c.assign_coords(platform="S2B"), "platforms", "S2B"),
        (lambda c: c.drop_vars(["sza", "vza", "raa"]), "angles", "unknown"),
        (lambda c: c[[]].assign(lai=c.B03), "variables", "lai"),
    ],
)  # fmt: skip
def test_every_branch(change: object, title: str, text: str) -> None:
    found = rows(change(make_cube((2, 4, 6))))  # type: ignore[operator]
    assert found[title].startswith(text)
    assert text.endswith("[") or found[title] == text


def test_one_pixel_has_no_bounds() -> None:
    assert "bounds" not in rows(make_cube((1, 1, 1)))


def test_clear_share_of_very_large_cubes_is_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    scl = np.full((2, 8, 8), 4, np.uint8)
    scl[0, ::2, ::2] = 9  # just the pixels of the sample
    cube = make_cube((2, 8, 8)).assign(SCL=(("time", "y", "x"), scl))
    assert rows(cube)["clear"] == "88 %; 1 of 2 dates above 90 %"
    monkeypatch.setattr(info_module, "SAMPLED", 32)
    assert rows(cube)["clear"] == "50 % (every 2th pixel); 1 of 2 dates above 90 %"
    assert rows(cube.isel(time=1))["clear"] == "100 % (every 2th pixel)"


def test_memory_in_units_that_fit() -> None:
    texts = [info_module._bytes(n) for n in (0, 999, 1000, 2.5e6, 3e9, 4e12, 5e15)]
    assert texts == ["0 B", "999 B", "1 kB", "2.5 MB", "3 GB", "4 TB", "5e+03 TB"]


def test_input_is_unchanged_and_stays_lazy() -> None:
    cube = xs.sample("romania", chunks="auto")
    before = cube.copy(deep=True)
    cube.s2.info()
    assert cube.identical(before)
    assert cube.B02.chunks is not None
    assert cube.SCL.chunks is not None
