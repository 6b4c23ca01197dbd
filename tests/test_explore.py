"""The interactive map: which pixels a view reads, how they are drawn, what is said of them; and a real browser."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from bokeh.events import RangesUpdate, Tap
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import colormaps

import xsentinel as xs
from tests.conftest import raise_if_dask_computes
from tests.cubes import make_cube
from xsentinel.bands import SCENE_CLASSES
from xsentinel.classes import LabelClass, flag_attrs
from xsentinel.errors import GridError, TimeError, XSentinelError
from xsentinel.explore.layers import MARK, Legend, layers_of
from xsentinel.explore.page import Page
from xsentinel.explore.picture import MARKED, NOTHING
from xsentinel.explore.reading import Reading
from xsentinel.explore.window import Axis, Run, Window, axes_of, cost, pieces, run_of
from xsentinel.style import BRIGHT, GAMMA, MISSING, channels_of

RGB = ("B04", "B03", "B02")


def image(page: Page) -> dict[str, Any]:
    """Give what the browser draws, rows from the south."""
    return {name: values[0] for name, values in page.map._image.data.items()}


def rgb(page: Page) -> np.ndarray:
    """Give the colours, rows from the north."""
    colours = image(page)["image"]
    return colours[::-1].copy().view(np.uint8).reshape(*colours.shape, 4)[..., :3]


def look(page: Page, x: tuple[float, float], y: tuple[float, float]) -> None:
    page.map.fig._trigger_event(RangesUpdate(page.map.fig, x0=x[0], x1=x[1], y0=y[0], y1=y[1]))


def click(page: Page, x: float, y: float) -> None:
    page.map.fig._trigger_event(Tap(page.map.fig, x=x, y=y))


def drawn(page: Page) -> list[dict[str, np.ndarray]]:
    """Give what the series below the map draws as points."""
    return [dict(r.data_source.data) for r in page._series.fig.renderers if type(r.glyph).__name__ == "Scatter"]


def title(page: Page) -> str:
    return page.map.fig.title.text


@pytest.fixture
def cube() -> xr.Dataset:
    """A cube of three dates with scene classes, the second the clearest."""
    cube = make_cube((3, 12, 16), bands=(*RGB, "B08"), gaps=0)
    scl = np.full((3, 12, 16), 4, np.uint8)
    scl[0, :6], scl[1, :1, :4], scl[2, :, :9] = 9, 3, 8
    attrs = {"flag_values": [c.value for c in SCENE_CLASSES], "flag_meanings": " ".join(c.meaning for c in SCENE_CLASSES)}
    return cube.assign(SCL=(("time", "y", "x"), scl, attrs))


# ---- which pixels ----------------------------------------------------------------------------------------------------


@given(
    n=st.integers(1, 3000), step=st.sampled_from([10.0, -10.0, 0.3]), n_drawn=st.integers(1, 900),
    ends=st.tuples(st.floats(-0.5, 1.5), st.floats(-0.5, 1.5)),
)  # fmt: skip
def test_a_run_covers_the_view_and_fits_the_screen(n: int, step: float, n_drawn: int, ends: tuple[float, float]) -> None:
    axis = Axis(500.0, step, n)
    low, high = sorted(axis.place(n * end) for end in ends)
    run = run_of(axis, low, high, n_drawn)
    if run is None:
        assert high <= axis.ends[0] + 1e-6 * abs(step) or low >= axis.ends[1] - 1e-6 * abs(step) or high == low
        return
    picked = list(range(n))[run.picked]
    assert len(picked) == run.n >= 1
    assert run.start % run.step == 0
    assert run.n <= 1.5 * n_drawn + 3
    west, east = run.ends(axis)
    cell = run.step * abs(step)
    assert west <= max(low, axis.ends[0]) + 0.51 * cell
    assert east >= min(high, axis.ends[1]) - 0.51 * cell
    centres = sorted(axis.place(p + 0.5) for p in picked)
    assert all(abs(west + (k + 0.5) * cell - c) <= 0.51 * cell for k, c in enumerate(centres))


@given(
    chunks=st.lists(st.integers(1, 60), min_size=1, max_size=12), step=st.integers(1, 25),
    ends=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)  # fmt: skip
def test_pieces_are_the_run_and_share_no_chunk(chunks: list[int], step: int, ends: tuple[float, float]) -> None:
    n = sum(chunks)
    start, stop = int(min(ends) * n) // step * step, max(int(max(ends) * n), int(min(ends) * n) + 1)
    run = Run(start, min(stop, n), step)
    parts = pieces(run, chunks)
    assert [p for part in parts for p in range(n)[part.picked]] == list(range(n)[run.picked])
    owner = np.repeat(np.arange(len(chunks)), chunks)
    touched = [set(owner[part.picked]) for part in parts]
    assert sum(map(len, touched)) == len(set.union(*touched))


def test_cost_is_what_a_slow_count_finds() -> None:
    layer = xr.DataArray(da.zeros((7, 100, 90), chunks=(3, (40, 40, 20), (30, 60))), dims=("time", "y", "x"))
    window = Window(Run(36, 60, 12), Run(0, 28, 7))
    rows, columns = np.repeat([0, 1, 2], [40, 40, 20])[window.y.picked], np.repeat([0, 1], [30, 60])[window.x.picked]
    area = sum([40, 40, 20][k] for k in set(rows)) * sum([30, 60][k] for k in set(columns))
    assert cost(layer, window) == 3 * area
    assert cost(layer, window, all_dates=True) == 7 * area
    assert cost(layer.compute(), window) == 2 * 4


def test_coordinates_that_are_not_regular_are_counted(cube: xr.Dataset) -> None:
    bare = cube.drop_vars(["x", "y", "spatial_ref"])
    assert axes_of(bare["B04"]) == (Axis(-0.5, -1.0, 12), Axis(0.5, 1.0, 16))
    page = bare.s2.explore().page()
    assert (image(page)["x"], image(page)["y"], image(page)["dw"], image(page)["dh"]) == (0, -12, 16, 12)
    assert not any(type(r).__name__ == "ScaleBar" for r in page.map.fig.center)


# ---- how they are drawn ----------------------------------------------------------------------------------------------


def test_true_colour_of_the_clearest_date(cube: xr.Dataset) -> None:
    page = cube.s2.explore().page()
    assert page.layer.name == "true colour"
    values = np.stack([cube[b].values[1] for b in RGB], -1)
    ground = values[~(values > BRIGHT).all(-1)]
    low, high = np.percentile(ground, (2, 98))
    expected = np.clip((values - low) / (high - low), 0, 1) ** (1 / GAMMA) * 255
    np.testing.assert_allclose(rgb(page), expected, atol=1)
    assert title(page) == "true colour (B04, B03, B02)  ·  2019-04-06  ·  98 % clear"
    assert page.map.notes.text == "every pixel (20 m)"
    got = image(page)
    assert (got["x"], got["y"], got["dw"], got["dh"]) == (600_000, 4_999_780, 320, 240)
    np.testing.assert_array_equal(got["v0"], cube["B04"].values[1, ::-1])
    assert page.map.hover.tooltips[0] == ("B04", "@v0{custom}")
    assert [type(r).__name__ for r in page.map.fig.center].count("ScaleBar") == 1


def test_colours_stay_when_the_date_changes_until_asked(cube: xr.Dataset) -> None:
    brighter = cube.assign({b: cube[b] * xr.DataArray([1.0, 1.0, 1.5], dims="time").astype(np.float32) for b in RGB})
    page = brighter.s2.explore().page()
    first = page._limits["true colour"]
    page.date.value = 2
    assert title(page).startswith("true colour (B04, B03, B02)  ·  2019-04-11  ·  44 % clear")
    assert page._limits["true colour"] == first
    page.again.clicks += 1
    assert page._limits["true colour"][1] > first[1]


def test_values_have_colours_bar_and_unit(cube: xr.Dataset) -> None:
    lai = (cube["B08"] * 8).rename("lai").assign_attrs(units="m2 m-2", long_name="leaf area index")
    lai[1, 2, 3] = np.nan
    page = lai.s2.explore(time="2019-04-06").page()
    values = lai.values[1]
    high = np.nanpercentile(values, 98)
    expected = colormaps["YlGn"](np.round(np.nan_to_num(values / high).clip(0, 1) * 255).astype(int), bytes=True)[..., :3]
    expected[2, 3] = channels_of(MISSING)
    np.testing.assert_allclose(rgb(page).astype(int), expected, atol=3)
    assert image(page)["v0"][-3, 3] == NOTHING
    assert page.map.bar.visible
    assert page.map.bar.title == "lai [m² m⁻²]"
    assert (page.map.colours.low, page.map.colours.high) == (0, pytest.approx(high))
    assert page.map._words.args["unit"] == " m² m⁻²"
    assert title(page) == "lai (leaf area index)  ·  2019-04-06  ·  99 % with data"


def test_classes_have_their_own_colours_and_a_legend() -> None:
    attrs = flag_attrs((LabelClass(3, "Winter wheat", "#e69f00"), LabelClass(7, "Maize & <co>", "#0072b2")))
    crops = xr.DataArray(np.array([[3, 3, 7], [0, 3, 9]], np.uint8), dims=("y", "x"), name="crop", attrs=attrs)
    page = crops.s2.explore().page()
    assert rgb(page).tolist() == [
        [[230, 159, 0], [230, 159, 0], [0, 114, 178]],
        [[242, 242, 242], [230, 159, 0], list(channels_of(MISSING))],
    ]
    assert not page.map.bar.visible
    assert "Winter wheat" in page.legend.object
    assert "50 %" in page.legend.object
    assert "<co>" not in page.legend.object
    assert page.map._words.args["texts"] == ["no label", "Winter wheat", "Maize co", "9"]
    click(page, 0.5, -0.5)
    assert "<b>Winter wheat</b>" in page.below[0].object


def test_flags_keep_their_colours_wherever_one_looks() -> None:
    masks = {"flag_masks": [1, 2, 4], "flag_meanings": "low high out"}
    flags = xr.DataArray(np.array([[0, 1, 2, 3]], np.uint8), dims=("y", "x"), name="flags", attrs=masks)
    legend = Legend(layers_of(flags.to_dataset())["flags"])
    forth = [legend.colour(k) for k in (3, 1, 0)]
    assert [legend.colour(k) for k in (0, 1, 3)] == forth[::-1]
    assert len({*forth, legend.colour(2)}) == 4
    assert legend.text(3) == "low + high"
    assert [legend.colour(k) for k in range(10, 30)][-1] == MISSING
    page = flags.s2.explore().page()
    assert len({tuple(colour) for colour in rgb(page)[0].tolist()}) == 4
    assert "low + high" in page.legend.object


def test_clouds_are_marked_where_asked(cube: xr.Dataset) -> None:
    page = cube.s2.explore(time=2).page()
    plain = rgb(page)
    page.mark.value = True
    marked = rgb(page)
    np.testing.assert_array_equal(marked[:, 9:], plain[:, 9:])
    np.testing.assert_allclose(marked[:, :9], plain[:, :9] * (1 - MARKED) + np.array(channels_of(MARK)) * MARKED, atol=1)
    assert "cloud" in page.legend.object
    assert image(page)["scene"][0, 0] == 8


def test_all_that_is_a_map_can_be_chosen(cube: xr.Dataset) -> None:
    stack = xr.DataArray(np.zeros((2, 12, 16), np.float32), dims=("class", "y", "x"), coords={"class": ["wheat", "maize"]})
    layers = layers_of(cube.assign(probability=stack, clear=cube["SCL"] == 4, number=("time", [1, 2, 3])))
    assert list(layers) == [
        "true colour", "false colour", "B04", "B03", "B02", "B08", "SCL", "probability: wheat", "probability: maize", "clear"
    ]  # fmt: skip
    assert layers["clear"].kind == "classes"
    assert layers["B08"].title == "B08 (near infrared)"
    for name in layers:
        cube.assign(probability=stack, clear=cube["SCL"] == 4).s2.explore(show=name).page()


# ---- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunks", [{"time": 1, "y": 5, "x": 7}, {"time": 3, "y": 12, "x": 16}])
def test_lazy_cubes_look_the_same(cube: xr.Dataset, chunks: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    stored = make_cube((3, 12, 16), bands=RGB, stored=True, gaps=0.2)
    expected = rgb(stored.s2.explore(time=1).page())
    np.testing.assert_array_equal(rgb(stored.chunk(chunks).s2.explore(time=1).page()), expected)
    layer, window = layers_of(stored.chunk(chunks))["true colour"], Window(Run(0, 12, 2), Run(3, 16, 3))
    whole = Reading(layer, window, 1).read_all()
    monkeypatch.setattr("xsentinel.explore.reading.AT_ONCE", 8)
    pieced = Reading(layer, window, 1)
    assert len(pieced.pieces()) > 1 or chunks["y"] == 12
    for piece in reversed(pieced.pieces()):
        assert not pieced.has(piece)
        pieced.read(piece)
    np.testing.assert_array_equal(whole.arrays, pieced.arrays)
    np.testing.assert_array_equal(whole.arrays[0], stored["B04"].where(stored["B04"] != 0).values[1, 1::2, 4::3] * np.float32(1e-4))


class Counted:
    """An array that says what is read of it."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.dtype, self.ndim = shape, np.dtype(np.uint16), len(shape)
        self.read: list[tuple[slice, ...]] = []

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        self.read.append(key)
        spans = [np.arange(n)[k] for n, k in zip(self.shape, key, strict=True)]
        return (1000 + spans[0][:, None, None] + spans[1][:, None] % 700 + spans[2] % 500).astype(np.uint16)

    @property
    def n_read(self) -> int:
        return sum(int(np.prod([len(range(n)[k]) for n, k in zip(self.shape, key, strict=True)])) for key in self.read)


@pytest.fixture
def big() -> tuple[xr.Dataset, Counted]:
    """A cube of 20 dates of a tile, 29 GB as stored."""
    n, source = 10_980, Counted((20, 10_980, 10_980))
    attrs = {"scale_factor": 1e-4, "add_offset": 0.0, "_FillValue": np.uint16(0)}
    band = da.from_array(source, chunks=(1, 1098, 1098), name="counted", meta=np.empty((0, 0, 0), np.uint16))
    coords = {
        "time": np.datetime64("2020-01-01", "ns") + np.arange(20) * np.timedelta64(5, "D"),
        "y": 5e6 - 10 * np.arange(n), "x": 6e5 + 10.0 * np.arange(n),
    }  # fmt: skip
    bands = {b: (("time", "y", "x"), band + np.uint16(k), attrs) for k, b in enumerate(RGB)}
    return xr.Dataset(bands, coords).rio.write_crs("EPSG:32632"), source


def test_a_cube_larger_than_memory_opens_at_once_and_reads_what_is_looked_at(big: tuple[xr.Dataset, Counted]) -> None:
    ds, source = big
    with raise_if_dask_computes():
        page = ds.s2.explore().page()
    assert source.n_read == 0
    assert "zoom in for all" in page.map.notes.text
    assert page.map.notes.text.endswith("0 % read")
    look(page, (652_000, 655_000), (4_950_000, 4_952_250))
    assert page.map.notes.text == "every pixel (10 m)"
    height, width = image(page)["image"].shape
    assert 225 <= height <= 227
    assert 300 <= width <= 302
    assert all(len(range(20)[key[0]]) == 1 for key in source.read)
    assert source.n_read <= 2 * 2 * 1098**2
    row, column = page.reading.window.y.start, page.reading.window.x.start
    np.testing.assert_allclose(image(page)["v2"][-1, 0], (1002 + row % 700 + column % 500) * 1e-4, rtol=1e-6)


@pytest.mark.parametrize(("at_once", "date"), [(1000, 1), (40, 2), (1, 0)])
def test_the_first_date_is_the_clearest_of_what_is_read_in_a_moment(
    cube: xr.Dataset, at_once: int, date: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xsentinel.explore.AT_ONCE", at_once)
    scl = np.full((3, 12, 16), 4, np.uint8)
    scl[0], scl[1, 6:, 8:12], scl[2, :6] = 9, 8, 3  # all; half of the chunk in the middle; all but it
    clouded = cube.assign(SCL=cube["SCL"].copy(data=scl)).chunk(y=6, x=8)
    assert clouded.s2.explore().page().now == date


def test_what_takes_long_is_read_in_pieces_chosen_colours_staying(big: tuple[xr.Dataset, Counted], monkeypatch: pytest.MonkeyPatch) -> None:
    small = big[0].isel(y=slice(0, 2196), x=slice(0, 1098), time=slice(0, 2))
    monkeypatch.setattr("xsentinel.explore.reading.AT_ONCE", 2_000_000)
    monkeypatch.setattr("xsentinel.explore.page.AT_ONCE", 2_000_000)
    page = small.s2.explore(width=300).page()
    assert not page.reading.done.any()
    assert (image(page)["image"].view(np.uint8)[..., 3::4] == 0).all()
    page.date.value = 1
    assert page.reading.done.all()
    whole = rgb(page)
    page.date.value = 0
    read = big[1].n_read
    page.date.value = 1
    assert big[1].n_read == read  # kept
    np.testing.assert_array_equal(rgb(page), whole)


# ---- series ----------------------------------------------------------------------------------------------------------


def test_a_click_draws_the_series_of_the_pixel(cube: xr.Dataset) -> None:
    page = cube.s2.explore(show="B08").page()
    click(page, 600_000 + 20 * 3.4, 5_000_020 - 20 * 0.7)
    assert "row 0, column 3" in page._series.fig.title.text
    (hidden,) = drawn(page)
    assert hidden["value"].tolist() == pytest.approx(cube["B08"].values[:, 0, 3].tolist())  # cloud, shadow, cloud
    click(page, 600_000 + 20 * 9.5, 5_000_020 - 20 * 0.5)
    clear, hidden = drawn(page)
    assert clear["value"].tolist() == pytest.approx(cube["B08"].values[1:, 0, 9].tolist())
    assert hidden["value"].tolist() == pytest.approx(cube["B08"].values[:1, 0, 9].tolist())
    before = page._series
    click(page, 0.0, 0.0)
    assert page._series is before


def test_series_leave_gaps_out_and_show_the_interval(cube: xr.Dataset) -> None:
    lai = (cube["B08"].drop_attrs() * 8).rename("lai").where(cube["time"] != cube["time"][1])
    ends = {"lai_lower": (lai - 1).assign_attrs(confidence=0.9), "lai_upper": lai + 1}
    page = xr.Dataset({"lai": lai, **ends}).s2.explore().page()
    click(page, 600_010, 5_000_010)
    (points,) = drawn(page)
    assert points["value"].tolist() == pytest.approx(lai.values[[0, 2], 0, 0].tolist())
    v = lai.values[0, 0, 0]
    assert points["text"][0] == f"{v:.4g} ({v - 1:.4g} … {v + 1:.4g})"
    (area,) = [r for r in page._series.fig.renderers if type(r.glyph).__name__ == "VArea"]
    np.testing.assert_allclose(area.data_source.data["y2"], lai.values[[0, 2], 0, 0] + 1, rtol=1e-6)
    assert page._series.fig.legend[0].items[0].label.value == "90% interval"
    page._series.fig._trigger_event(Tap(page._series.fig, x=lai["time"].values[2].astype("datetime64[ms]").astype(float) + 5e6, y=1.0))
    assert page.now == 2
    assert "2019-04-11" in title(page)


def test_the_series_follows_what_is_shown(cube: xr.Dataset) -> None:
    page = cube.s2.explore().page()
    click(page, 600_010, 5_000_010)
    assert page._series.fig.yaxis.axis_label == "reflectance"
    page.shown.value = "SCL"
    (points,) = drawn(page)
    assert list(points["text"]) == ["cloud high probability", "cloud shadow", "cloud medium probability"]
    assert list(points["colour"]) == ["#ffffff", "#643200", "#c0c0c0"]


def test_real_cubes_open() -> None:
    romania = xs.sample("romania")
    page = romania.s2.explore().page()
    hidden = romania["SCL"].isin([0, 1, 3, 8, 9, 10]).mean(("y", "x")).values
    assert page.now == int(hidden.argmin())
    assert page.map.fig.xaxis.axis_label == "x [m] (EPSG:3035)"
    page.steps[1].clicks += 1
    assert page.named.value == str(romania["time"].values[page.now])[:10]
    zurich = xs.sample("zurich").s2.explore(show="false colour", width=400).page()
    assert zurich.map.notes.text == "every pixel (10 m)"
    assert rgb(zurich).shape == (400, 500, 3)
    click(zurich, 473_615, 5_251_235)
    assert "B08 0.5024, B04 0.0288" in zurich.below[0].object


# ---- what is wrong ---------------------------------------------------------------------------------------------------


def test_errors_say_what_to_do(cube: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(XSentinelError, match=r"nothing to draw.*it has a"):
        xr.Dataset({"a": ("time", [1.0])}).s2.explore()
    with pytest.raises(XSentinelError, match="'lai' is not there to show; there are true colour, false colour, B04"):
        cube.s2.explore(show="lai")
    with pytest.raises(TimeError, match="the nearest of 3 dates is 2019-04-11"):
        cube.s2.explore(time="2020-01-01")
    with pytest.raises(TimeError, match="3 dates, 0 to 2"):
        cube.s2.explore(time=3)
    with pytest.raises(XSentinelError, match="two percentiles"):
        cube.s2.explore(stretch=(98, 2))
    with pytest.raises(GridError, match="dims time"):
        cube["B04"].isel(x=0, y=0).s2.explore()
    monkeypatch.setitem(sys.modules, "panel", None)
    with pytest.raises(XSentinelError, match=r'pip install "xsentinel\[explore\]"'):
        cube.s2.explore()


def test_a_chunk_that_cannot_be_read_is_told(cube: xr.Dataset) -> None:
    def broken(block: np.ndarray) -> np.ndarray:
        raise OSError("chunk 7 is truncated")

    lazy = cube["B08"].chunk(y=5)
    lazy = lazy.copy(data=da.map_blocks(broken, lazy.data, dtype=np.float32, meta=np.empty((0, 0, 0), np.float32)))
    with pytest.raises(OSError, match="chunk 7"):
        lazy.s2.explore().page()


def test_a_saved_page_needs_no_python(cube: xr.Dataset, tmp_path: Path) -> None:
    cube.s2.explore().save(tmp_path / "map.html", title="a map")
    text = (tmp_path / "map.html").read_text()
    assert "2019-04-06" in text
    assert "ScaleBar" in text


# ---- in a browser ----------------------------------------------------------------------------------------------------


@pytest.fixture
def browser() -> Iterator[Any]:
    """A real Chromium without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright, which drives a browser, is not installed")
    with playwright.sync_playwright() as driver:
        names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
        found = next(filter(None, map(shutil.which, names)), driver.chromium.executable_path)
        if not Path(found).exists():
            pytest.skip(f"no browser is found, neither {', '.join(names)} nor playwright's own")
        chromium = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def served() -> Iterator[str]:
    """Where a server shows the sample cube of Romania."""
    import panel as pn

    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    shown = xs.sample("romania").chunk(time=1, y=30).s2.explore(time="2018-05-02")  # lazy: read in threads
    server = pn.serve(shown, port=port, threaded=True, show=False, verbose=False)
    yield f"http://localhost:{port}"
    server.stop()
    server.join(10)


def test_a_browser_slides_zooms_points_and_clicks(browser: Any, served: str, tmp_path: Path) -> None:
    folder = Path(os.environ.get("XSENTINEL_ARTEFACTS") or tmp_path)
    page = browser.new_page(viewport={"width": 1150, "height": 1000})
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(served)
    page.wait_for_function("window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].get_model_by_name('map')")
    page.locator(".bk-Canvas").first.wait_for()

    def told(what: str, then: str) -> Any:
        """Wait until the map's state is as it should be, and give it."""
        page.wait_for_function(f"() => {{ const map = Bokeh.documents[0].get_model_by_name('map'); return {what} {then} }}", timeout=20_000)
        return page.evaluate(f"() => {{ const map = Bokeh.documents[0].get_model_by_name('map'); return {what} }}")

    def picture() -> bytes:
        page.wait_for_timeout(150)  # one frame of the browser
        shown: bytes = page.locator(".bk-Canvas").first.screenshot()
        return shown

    span = "map.x_range.end - map.x_range.start"
    assert told("map.title.text", ".includes('2018-05-02')").startswith("true colour (B04, B03, B02)")
    first, wide = picture(), told(span, "> 0")
    page.locator(".noUi-handle").focus()
    page.keyboard.press("ArrowRight")
    assert told("map.title.text", ".includes('2018-05-07')").endswith("0 % clear")
    second = picture()
    assert second != first
    page.get_by_text("◀", exact=True).click()
    told("map.title.text", ".includes('2018-05-02')")
    box = page.locator(".bk-Canvas").first.bounding_box()
    x, y = box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"]
    page.mouse.move(x, y)
    page.mouse.wheel(0, -600)
    assert told(span, f"< {0.8 * wide}") < 0.8 * wide
    drawn = "map.renderers[0].data_source.data.dw[0]"
    assert told(drawn, "< 780") < 780  # metres; the cube has 800
    page.mouse.click(x, y)
    page.wait_for_function("Bokeh.documents[0].get_model_by_name('series')")
    told("Bokeh.documents[0].get_model_by_name('series').title.text", ".includes('row')")
    page.mouse.move(x + 30, y + 20)
    page.get_by_text("scene:").wait_for()
    page.locator("input[type=checkbox]").check()
    page.get_by_text("cloud, shadow or fault").wait_for()
    page.locator("select").select_option(label="SCL (scene classification)")
    told("map.title.text", ".startsWith('SCL')")
    page.screenshot(path=folder / "explore.png")
    assert picture() not in (first, second)
    assert (folder / "explore.png").stat().st_size > 20_000
    assert not faults
