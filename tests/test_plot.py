"""What is drawn: pixels, colours, places and words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib import colormaps
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, to_hex, to_rgb
from matplotlib.figure import Figure

import xsentinel as xs
from tests.conftest import raise_if_dask_computes
from tests.cubes import make_cube
from xsentinel import plot as plot_module
from xsentinel.bands import SCENE_CLASSES
from xsentinel.plot import place

RGB = ("B04", "B03", "B02")


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    """No figure and no setting outlives a test."""
    settings = dict(mpl.rcParams)
    assert plt.get_fignums() == []
    yield
    plt.close("all")
    assert dict(mpl.rcParams) == settings


@pytest.fixture
def ax() -> Axes:
    return Figure().subplots()


@pytest.fixture
def cube() -> xr.Dataset:
    return make_cube((3, 12, 16), bands=RGB, gaps=0)


def title(ax: Axes) -> str:
    return ax.get_title(loc="left").replace("\n", " ")


def drawn(ax: Axes) -> np.ndarray:
    (image,) = ax.images
    return np.ma.filled(np.ma.asarray(image.get_array()).astype(float), np.nan)


def bar_label(ax: Axes) -> str:
    (bar,) = [a for a in ax.figure.axes if a is not ax]
    return bar.get_ylabel()


def labels(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


# ---- colour composites -----------------------------------------------------------------------------------------------


def test_rgb_stretches_all_bands_alike(cube: xr.Dataset, ax: Axes) -> None:
    assert cube.s2.plot.rgb(time=1, stretch=(5, 95), ax=ax) is ax
    image = np.stack([cube[b].values[1] for b in RGB], -1)
    low, high = np.percentile(image, (5, 95))
    np.testing.assert_allclose(drawn(ax), np.clip((image - low) / (high - low), 0, 1) ** (1 / 1.4), atol=1e-5)
    assert title(ax) == "true colour (B04 B03 B02)  2019-04-06"
    assert ax.images[0].get_extent() == [600_000, 600_320, 4_999_780, 5_000_020]
    assert ax.images[0].origin == "upper"
    assert list(ax.get_xticks()) == []


def test_rgb_of_other_bands_and_of_counts(ax: Axes) -> None:
    stored = make_cube((1, 8, 8), bands=("B08", *RGB), stored=True, gaps=0.2, seed=4)
    stored.s2.plot.rgb(bands=("B08", "B04", "B03"), ax=ax)
    decoded = Figure().subplots()
    xs.open(stored).s2.plot.rgb(bands=("B08", "B04", "B03"), ax=decoded)
    np.testing.assert_array_equal(drawn(ax), drawn(decoded))
    assert title(ax).startswith("B08 B04 B03")


def test_missing_pixels_are_grey(cube: xr.Dataset, ax: Axes) -> None:
    cube.B03[0, 2, 3] = np.nan
    cube.s2.plot.rgb(time=0, ax=ax)
    np.testing.assert_allclose(drawn(ax)[2, 3], to_rgb(plot_module.MISSING))
    empty = Figure().subplots()
    (cube * np.nan).s2.plot.rgb(time=0, ax=empty)
    np.testing.assert_allclose(drawn(empty), np.broadcast_to(to_rgb(plot_module.MISSING), (12, 16, 3)))


def test_clouds_do_not_darken_the_ground(cube: xr.Dataset, ax: Axes) -> None:
    cube = cube.isel(time=0)
    cloudy = cube.copy(deep=True)
    for band in RGB:
        cloudy[band][:4] = 0.8
    cloudy.s2.plot.rgb(ax=ax)
    ground = np.stack([cloudy[b].values[4:] for b in RGB], -1)
    low, high = np.percentile(ground, (2, 98))
    np.testing.assert_allclose(drawn(ax)[4:], np.clip((ground - low) / (high - low), 0, 1) ** (1 / 1.4), atol=1e-5)
    assert (drawn(ax)[:4] == 1).all()
    mostly = Figure().subplots()
    for band in RGB:
        cloudy[band][:9] = np.linspace(0.5, 0.9, 16)
    cloudy.s2.plot.rgb(ax=mostly)
    assert 0.2 < drawn(mostly)[0, 8, 0] < 0.95  # where all is cloud, the clouds are shown


def test_which_date_is_drawn(cube: xr.Dataset) -> None:
    def shown(ds: xr.Dataset, time: Any = None) -> str:
        return title(ds.s2.plot.rgb(time=time, ax=Figure().subplots())).removeprefix("true colour (B04 B03 B02)").strip()

    gappy = cube.copy(deep=True)
    gappy.B04[0, :6], gappy.B04[2, :2] = np.nan, np.nan
    assert shown(gappy) == "2019-04-06 (most data of 3 dates)"
    scl = np.full((3, 12, 16), 4, np.uint8)
    scl[0], scl[1], scl[2, 0] = 9, 11, 3
    assert shown(gappy.assign(SCL=(("time", "y", "x"), scl))) == "2019-04-11 (clearest of 3 dates)"
    assert shown(cube.isel(time=[0])) == "2019-04-01"
    assert shown(cube.isel(time=2)) == "2019-04-11"
    assert shown(cube, -1) == shown(cube, np.int64(2)) == "2019-04-11"
    for same in ("2019-04-06", "2019-04-06T10:30", cube.time[1].values, cube.indexes["time"][1]):
        assert shown(cube, same) == "2019-04-06"
    assert shown(cube, "2019-04") == "2019-04-01"
    assert shown(cube.drop_vars("time"), 1) == ""
    assert shown(cube.isel(time=[0]).assign_coords(time=np.array(["NaT"], "M8[ns]"))) == ""


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"time": 3}, xs.TimeError, "time 3 is not there; the cube has 3 dates, 0 to 2"),
        ({"time": "2019-04-09"}, xs.TimeError, "'2019-04-09' is not there; the nearest of 3 dates is 2019-04-11"),
        ({"time": "spring"}, xs.TimeError, "'spring' is no date; write it as 2019-05-30, or give an index"),
        ({"bands": ("B04", "B03")}, xs.XSentinelError, "bands has 2 names; a colour composite takes three"),
        ({"bands": ("B08", "B04", "B03")}, xs.BandError, "a colour composite needs B08, B04, B03; missing: B08"),
        ({"stretch": (98, 2)}, xs.XSentinelError, r"stretch is \(98, 2\); it is two percentiles that rise from 0 to 100"),
        ({"stretch": (-1, 98)}, xs.XSentinelError, "two percentiles"),
    ],
)
def test_rgb_refusals(cube: xr.Dataset, options: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        cube.s2.plot.rgb(**options)
    assert plt.get_fignums() == []  # nothing half drawn is left


def test_date_of_a_cube_without_times(cube: xr.Dataset) -> None:
    with pytest.raises(xs.TimeError, match=r"the cube has no times.*give an index, 0 to 2"):
        cube.drop_vars("time").s2.plot.rgb(time="2019-04-01")


# ---- maps ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def maps() -> xr.Dataset:
    return make_cube((2, 30, 40)).s2.lai()


def test_map_has_unit_title_place_and_colours(maps: xr.Dataset, ax: Axes) -> None:
    maps.s2.plot.map("lai", time=0, ax=ax)
    np.testing.assert_array_equal(drawn(ax), maps.lai[0])
    assert title(ax) == "leaf area index  2019-04-01"
    assert bar_label(ax) == "lai [m² m⁻²]"
    (image,) = ax.images
    assert image.get_extent() == [600_000, 600_800, 4_999_420, 5_000_020]
    assert image.get_cmap().name == "YlGn"
    assert to_hex(image.get_cmap()(np.ma.masked_all(1))[0]) == plot_module.MISSING
    assert image.norm.vmin == 0
    assert image.norm.vmax == pytest.approx(np.nanpercentile(maps.lai[0], 98))


def test_map_of_ascending_y_stands_upright(maps: xr.Dataset, ax: Axes) -> None:
    turned = maps.isel(y=slice(None, None, -1))
    turned.lai.s2.plot.map(time=0, ax=ax)
    (image,) = ax.images
    assert image.origin == "lower"
    assert image.get_extent() == [600_000, 600_800, 4_999_420, 5_000_020]
    np.testing.assert_array_equal(drawn(ax)[::-1], maps.lai[0])


def test_map_takes_the_first_float_variable(maps: xr.Dataset, ax: Axes) -> None:
    maps[["lai_flags", "lai"]].s2.plot.map(time=1, ax=ax)
    np.testing.assert_array_equal(drawn(ax), maps.lai[1])
    with pytest.raises(xs.XSentinelError, match="variable 'lia' is not there to draw; the dataset has lai, lai_flags"):
        maps.s2.plot.map("lia")
    with pytest.raises(xs.XSentinelError, match="the dataset has lai_flags"):
        maps[["lai_flags"]].s2.plot.map()


def test_style_is_the_callers(maps: xr.Dataset, ax: Axes) -> None:
    mine = colormaps["magma"].copy()
    bad = mine(np.ma.masked_all(1))
    maps.lai.s2.plot.map(time=0, ax=ax, cmap=mine, vmin=1, vmax=3, alpha=0.5)
    (image,) = ax.images
    assert (image.norm.vmin, image.norm.vmax, image.get_alpha()) == (1, 3, 0.5)
    assert image.get_cmap().name == "magma"
    np.testing.assert_array_equal(mine(np.ma.masked_all(1)), bad)  # theirs is not changed
    other = Figure().subplots()
    maps.lai.s2.plot.map(time=0, ax=other, norm=LogNorm(0.1, 10))
    assert isinstance(other.images[0].norm, LogNorm)


@pytest.mark.parametrize(("limits", "extend"), [((0, 4), "neither"), ((1, 4), "min"), ((0, 2), "max"), ((1, 2), "both")])
def test_colour_bar_says_that_values_lie_beyond(limits: tuple[float, float], extend: str, ax: Axes) -> None:
    values = xr.DataArray([[0.0, 1.5], [3.0, np.nan]], dims=("y", "x"), name="lai")
    values.s2.plot.map(ax=ax, vmin=limits[0], vmax=limits[1])
    assert ax.images[0].colorbar.extend == extend


@pytest.mark.parametrize(
    ("name", "values", "low", "units", "label"),
    [
        ("lai", [-0.5, 1, 2], 0, "m2 m-2", "lai [m² m⁻²]"),
        ("height", [-5.0, 1, 2], np.percentile([-5, 1, 2], 2), "m", "height [m]"),
        ("b", [0.1, 0.2, 0.3], 0, "1", "b"),
        ("empty", [np.nan] * 3, 0, "", "empty"),
    ],
)
def test_default_limits_and_units(name: str, values: list[float], low: float, units: str, label: str, ax: Axes) -> None:
    xr.DataArray([values], dims=("y", "x"), name=name, attrs={"units": units}).s2.plot.map(ax=ax)
    assert ax.images[0].norm.vmin == pytest.approx(low)
    assert ax.images[0].norm.vmax > low
    assert bar_label(ax) == label


def test_counts_are_drawn_as_reflectance(ax: Axes) -> None:
    cube = make_cube((1, 6, 6), stored=True)
    cube.B03.s2.plot.map(ax=ax)
    np.testing.assert_allclose(drawn(ax), np.where(cube.B03[0] == 0, np.nan, cube.B03[0] * 1e-4), atol=1e-7)


def test_other_dims_are_refused(maps: xr.Dataset) -> None:
    for wrong in (maps.lai.expand_dims(model=2), maps.lai.mean("x")):
        with pytest.raises(xs.GridError, match=r"lai has dims .*a map has \(time, y, x\) or \(y, x\)"):
            wrong.s2.plot.map()


def test_new_figures_are_pyplots_and_lazy_input_stays_lazy(cube: xr.Dataset) -> None:
    lazy = cube.chunk(time=1)
    timeless = lazy.isel(time=0)
    for ds in (lazy, timeless):
        ax = ds.s2.plot.rgb()
        assert plt.gcf() is ax.figure
        ds.B04.s2.plot.map()
        assert all(v.chunks is not None for v in ds.data_vars.values())
    with raise_if_dask_computes(), pytest.raises(AssertionError, match="dask computed"):
        timeless.s2.plot.rgb()


def test_large_maps_are_thinned(monkeypatch: pytest.MonkeyPatch, maps: xr.Dataset, ax: Axes) -> None:
    monkeypatch.setattr(place, "DRAWN", 20)
    maps.lai.s2.plot.map(time=0, ax=ax)
    np.testing.assert_array_equal(drawn(ax), maps.lai[0, ::2, ::2])


# ---- flags and classes -----------------------------------------------------------------------------------------------


def flags(values: list[list[int]], **attrs: Any) -> xr.DataArray:
    known = {"flag_masks": np.array([1, 2, 4], np.uint8), "flag_meanings": "too_dark too_bright no_sun", "long_name": "flags of it"}
    return xr.DataArray(np.array(values, np.uint8), dims=("y", "x"), name="it_flags", attrs=known | attrs)


def test_flags_have_a_legend_most_frequent_first(ax: Axes) -> None:
    layer = flags([[3, 3, 3, 3], [0, 0, 0, 4], [3, 3, 3, 3]])
    layer.s2.plot.map(ax=ax)
    assert labels(ax) == ["too dark + too bright, 67 %", "none, 25 %", "no sun, 8 %"]
    assert title(ax) == "flags of it"
    patches = ax.get_legend().get_patches()
    assert to_hex(patches[1].get_facecolor()) == "#f2f2f2"  # nothing to say is light, wherever it stands
    (image,) = ax.images
    painted = image.cmap(image.norm(drawn(ax)))
    for (y, x), patch in (((0, 0), 0), ((1, 0), 1), ((1, 3), 2)):
        np.testing.assert_allclose(painted[y, x], patches[patch].get_facecolor())
    assert [a for a in ax.figure.axes if a is not ax] == []  # a legend instead of a colour bar


def test_rare_combinations_share_one_entry(ax: Axes) -> None:
    codes = np.repeat(np.arange(12), np.arange(12, 0, -1))
    masks = np.array([1, 2, 4, 8], np.uint8)
    layer = flags([[int(c) for c in codes]], flag_masks=masks, flag_meanings="a b c d")
    layer.s2.plot.map(ax=ax)
    assert len(labels(ax)) == plot_module.LEGEND + 1
    assert labels(ax)[-1] == f"3 rarer combinations, {100 * 6 / 78:.0f} %"
    assert np.isfinite(drawn(ax)).all()


def test_scene_classes_have_the_colours_of_sen2cor(ax: Axes) -> None:
    cube = xs.sample("romania")
    cube.s2.plot.map("SCL", ax=ax)
    assert "most data of 66 dates" in title(ax)
    found = {p.get_label().split(",")[0]: to_hex(p.get_facecolor()) for p in ax.get_legend().get_patches()}
    legend = {c.meaning.replace("_", " "): c.colour for c in SCENE_CLASSES}
    assert found
    assert found.items() <= legend.items()


def test_flag_layers_of_several_dates_show_the_first(maps: xr.Dataset, ax: Axes) -> None:
    maps.lai_flags.s2.plot.map(ax=ax)
    assert title(ax) == "flags of leaf area index  2019-04-01 (first of 2 dates)"
    assert any(label.startswith("none") for label in labels(ax))


def test_legend_leaves_room_for_the_map(maps: xr.Dataset) -> None:
    ax = maps.lai_flags.s2.plot.map()
    ax.figure.canvas.draw()
    box = ax.get_position()
    assert min(box.width, box.height) > 0.3


# ---- scale bar -------------------------------------------------------------------------------------------------------


def bar_of(ax: Axes) -> tuple[str, float] | None:
    if not ax.texts:
        return None
    west, east = ax.lines[-1].get_xdata()
    return ax.texts[0].get_text(), float(east - west)


def test_scale_bar_has_a_round_length(maps: xr.Dataset, ax: Axes) -> None:
    maps.lai.s2.plot.map(time=0, ax=ax)
    assert bar_of(ax) == ("200 m", 200)
    wide = Figure().subplots()
    stretched = maps.lai.isel(time=0).assign_coords(x=600_000 + 300.0 * np.arange(40), y=-300.0 * np.arange(30))
    stretched.s2.plot.map(ax=wide)
    assert bar_of(wide) == ("2 km", 2000)
    feet = Figure().subplots()
    maps.lai.isel(time=0).rio.write_crs(2263).s2.plot.map(ax=feet)
    text, length = bar_of(feet) or ("", 0)
    assert text == "50 m"
    assert length == pytest.approx(50 / 0.3048006, rel=1e-5)


def test_no_scale_bar_where_metres_are_not_known(maps: xr.Dataset) -> None:
    layer = maps.lai.isel(time=0)
    degrees = layer.assign_coords(x=8 + 0.1 * np.arange(40), y=47 - 0.1 * np.arange(30)).rio.write_crs(4326)
    for unknown in (layer.drop_vars("spatial_ref"), degrees, layer.isel(y=[0])):
        ax = Figure().subplots()
        unknown.s2.plot.map(ax=ax)
        assert bar_of(ax) is None


# ---- words -----------------------------------------------------------------------------------------------------------


def test_long_titles_break_where_they_must(maps: xr.Dataset) -> None:
    long = maps.lai.assign_attrs(long_name="standard deviation of leaf area index over Monte Carlo dropout")
    ax = long.s2.plot.map(ax=plt.subplots(figsize=(4, 4), layout="constrained")[1])
    assert ax.get_title(loc="left").splitlines()[-1] == "2019-04-01 (most data of 2 dates)"
    ax.figure.canvas.draw()
    for text in (ax._left_title, ax.images[0].colorbar.ax.yaxis.label):
        box = text.get_window_extent()
        assert -0.1 <= box.x0 < box.x1 <= ax.figure.bbox.x1 + 0.1


def test_colour_bar_is_as_high_as_the_map(maps: xr.Dataset) -> None:
    for shape in ({"y": slice(10)}, {"x": slice(10)}):
        ax = maps.lai.isel(time=0, **shape).s2.plot.map(vmin=-9, vmax=99)  # without arrows
        ax.figure.canvas.draw()
        bar = ax.images[0].colorbar.ax
        assert bar.get_window_extent().height == pytest.approx(ax.get_window_extent().height, rel=0.01)


def test_order_of_dims_does_not_matter(maps: xr.Dataset, ax: Axes) -> None:
    maps.lai.transpose("x", "time", "y").s2.plot.map(time=0, ax=ax)
    np.testing.assert_array_equal(drawn(ax), maps.lai[0])
