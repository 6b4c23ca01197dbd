"""Clouds marked, band combinations, maps side by side: what is drawn, on which scale, and what is read for it."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import xsentinel as xs
from tests.cubes import make_cube
from xsentinel.classes import LabelClass, flag_attrs, palette
from xsentinel.plot import beside
from xsentinel.plot.marks import MARKS, TINT, overlay
from xsentinel.style import MISSING, channels_of

RGB = ("B04", "B03", "B02")


def title(ax: Any) -> str:
    return ax.get_title(loc="left").replace("\n", " ")


def drawn(ax: Any, k: int = 0) -> np.ndarray:
    return np.ma.filled(np.ma.asarray(ax.images[k].get_array()).astype(float), np.nan)


def watched(ds: xr.Dataset) -> tuple[xr.Dataset, list[int]]:
    """Give a lazy copy, a chunk a date, and the dates of the chunks that are read."""
    read: list[int] = []

    def look(block: np.ndarray, block_info: Any = None) -> np.ndarray:
        read.append(block_info[0]["array-location"][0][0])
        return block

    def lazy(a: xr.DataArray) -> xr.DataArray:
        data = da.from_array(a.values, chunks=(1, *a.shape[1:]))
        return a.copy(data=data.map_blocks(look, dtype=a.dtype, meta=np.empty((0, 0, 0), a.dtype)))

    return ds.assign({v: lazy(a) for v, a in ds.data_vars.items()}), read


@pytest.fixture
def cube() -> xr.Dataset:
    made = make_cube((4, 12, 16), bands=("B08", "B8A", "B11", "B12", *RGB), gaps=0)
    scl = np.full((4, 12, 16), 4, np.uint8)
    scl[1, :6] = 9
    scl[1, 2:5, 3:9] = 8
    scl[1, 8:, :4], scl[1, 8:, 8:12], scl[1, 6:8, 8:] = 3, 11, 10
    return made.assign(SCL=(("time", "y", "x"), scl))


# ---- combinations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "bands"),
    [
        ("true", ("B04", "B03", "B02")),
        ("False Color", ("B08", "B04", "B03")),
        ("swir", ("B12", "B8A", "B04")),
        ("agriculture", ("B11", "B08", "B02")),
    ],
)
def test_combinations_by_name(cube: xr.Dataset, name: str, bands: tuple[str, ...]) -> None:
    named, listed = (cube.s2.plot.rgb(bands=b, time=0, ax=Figure().subplots()) for b in (name, bands))
    np.testing.assert_array_equal(drawn(named), drawn(listed))
    assert f"({' '.join(bands)})  2019-04-01" in title(named)
    one_nir = cube.drop_vars("B08").s2.plot.rgb(bands=name, time=0, ax=Figure().subplots())
    assert ("B8A" in title(one_nir)) == bool({"B08", "B8A"} & set(bands))


def test_invisible_light_is_stretched_band_by_band(cube: xr.Dataset) -> None:
    bands = ("B08", "B04", "B03")
    ax = cube.s2.plot.rgb(bands=bands, time=0, stretch=(5, 95), ax=Figure().subplots())
    for k, band in enumerate(bands):
        values = cube[band].values[0]
        low, high = np.percentile(values, (5, 95))
        np.testing.assert_allclose(drawn(ax)[..., k], np.clip((values - low) / (high - low), 0, 1) ** (1 / 1.4), atol=1e-5)


def test_unknown_combination(cube: xr.Dataset) -> None:
    with pytest.raises(xs.XSentinelError, match="bands is 'infrared'; name one of 'true colour', 'false colour'"):
        cube.s2.plot.rgb(bands="infrared")
    with pytest.raises(xs.BandError, match="shortwave infrared needs B12, B8A, B04; missing: B12"):
        cube.drop_vars(["B11", "B12"]).s2.plot.rgb(bands="swir")
    assert "B11 B8A B04" in cube.drop_vars("B12").s2.plot.rgb(bands="swir").get_title(loc="left")


# ---- clouds ----------------------------------------------------------------------------------------------------------


def slow_overlay(codes: np.ndarray) -> np.ndarray:
    """Mark pixel by pixel: opaque where a neighbour is not of the same mark, tinted elsewhere."""
    of = {8: 0, 9: 0, 10: 1, 3: 2, 11: 3}
    kinds = np.vectorize(lambda c: of.get(int(c), -1))(codes)
    out = np.zeros((*codes.shape, 4))
    for y, x in np.argwhere(kinds >= 0):
        near = [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
        inside = all(kinds[p] == kinds[y, x] for p in near if 0 <= p[0] < codes.shape[0] and 0 <= p[1] < codes.shape[1])
        out[y, x] = (*(c / 255 for c in channels_of(MARKS[kinds[y, x]].colour)), TINT if inside else 1)
    return out


def test_marks_are_outlined_and_tinted() -> None:
    codes = np.random.default_rng(0).choice([0, 3, 4, 8, 9, 10, 11], (30, 40), p=[0.02, 0.1, 0.4, 0.2, 0.2, 0.04, 0.04])
    codes[5:15, 5:20], codes[20:28, 10:30], codes[0:4, :10] = 9, 3, 8
    np.testing.assert_allclose(overlay(codes), slow_overlay(codes), atol=1e-6)


def test_clouds_are_marked_over_the_picture(cube: xr.Dataset) -> None:
    lazy, read = watched(cube)
    ax = lazy.s2.plot.rgb(time=1, clouds=True, ax=Figure().subplots())
    assert set(read) == {1}
    plain = cube.s2.plot.rgb(time=1, ax=Figure().subplots())
    np.testing.assert_array_equal(drawn(ax), drawn(plain))
    np.testing.assert_allclose(drawn(ax, 1), overlay(cube.SCL.values[1]), atol=1e-6)
    assert ax.images[1].get_extent() == ax.images[0].get_extent()
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [
        "cloud, 50 %",
        "thin cirrus, 8 %",
        "cloud shadow, 8 %",
        "snow or ice, 8 %",
    ]
    assert [to_hex(p.get_facecolor()) for p in ax.get_legend().get_patches()] == [m.colour for m in MARKS]


def test_no_scene_classes_to_mark(cube: xr.Dataset) -> None:
    with pytest.raises(xs.BandError, match=r"marks what the scene classes SCL tell; the dataset has .*B04.* Add SCL"):
        cube.drop_vars("SCL").s2.plot.rgb(clouds=True)


def test_what_bands_share_is_read_once(cube: xr.Dataset) -> None:
    lazy, read = watched(cube[[*RGB, "SCL"]])
    lazy.s2.mask_clouds().s2.plot.rgb(time=1, ax=Figure().subplots())
    assert read == [1] * 4  # three bands and the scene classes that mask them


# ---- uncertainty -----------------------------------------------------------------------------------------------------


@pytest.fixture
def estimate() -> xr.Dataset:
    lai = make_cube((3, 10, 12), bands=("B04",), gaps=0.1).B04.rename("lai").assign_attrs(long_name="leaf area index", units="m2 m-2")
    beside_it = {"lai_std": lai * 0.1, "lai_lower": lai - 0.5, "lai_upper": lai + lai}
    made = lai.to_dataset().assign({k: a.assign_attrs(lai.attrs) for k, a in beside_it.items()})
    made["lai_lower"].attrs |= {"long_name": "lower end of the 90% interval", "confidence": 0.9}
    return made


def test_uncertainty_beside_the_estimate(estimate: xr.Dataset) -> None:
    lazy, read = watched(estimate)
    axes = lazy.s2.plot.uncertainty("lai", time="2019-04-06")
    assert set(read) == {1}
    one = estimate.isel(time=1)
    for ax, values in zip(axes, (one.lai, one.lai_std, one.lai_upper - one.lai_lower), strict=True):
        np.testing.assert_allclose(drawn(ax), values, rtol=1e-6)
        assert ax.images[0].norm.vmin == 0
        assert ax.images[0].colorbar.ax.get_ylabel().endswith("[m² m⁻²]")
        assert ax.images[0].get_extent() == axes[0].images[0].get_extent()
    assert [title(ax) for ax in axes[::2]] == ["leaf area index  2019-04-06", "width of the 90% interval  2019-04-06"]
    assert [ax.images[0].get_cmap().name for ax in axes] == ["YlGn", "magma", "magma"]
    axes[0].set_xlim(600_050, 600_100)
    assert axes[2].get_xlim() == (600_050, 600_100)  # they zoom together


def test_uncertainty_takes_what_is_there(estimate: xr.Dataset) -> None:
    given = Figure().subplots(1, 2)
    found = estimate[["lai_std", "lai"]].s2.plot.uncertainty(axes=given)
    assert list(found) == list(given)
    assert title(found[0]).startswith("leaf area index")
    with pytest.raises(xs.XSentinelError, match="axes has 2; 3 maps are drawn: lai, lai_std, lai_width"):
        estimate.s2.plot.uncertainty(axes=given)
    with pytest.raises(
        xs.XSentinelError, match=r"no lai with lai_std, or lai_lower and lai_upper.*the dataset has lai\. Estimates get them"
    ):
        estimate[["lai"]].s2.plot.uncertainty("lai")
    with pytest.raises(xs.XSentinelError, match="no <variable> with"):
        estimate[["lai"]].s2.plot.uncertainty()
    with pytest.raises(xs.TimeError, match="time 7 is not there"):
        estimate.s2.plot.uncertainty(time=7)


# ---- classes ---------------------------------------------------------------------------------------------------------


def class_map(n: int, colours: bool = True) -> xr.Dataset:
    names = ["winter cereal", "grassland", "conifer forest", "urban diffuse"]
    attrs = flag_attrs(tuple(LabelClass(k + 1, f"{names[k % 4]} {k}", c) for k, c in enumerate(palette(n))), "land cover")
    codes = np.arange(400, dtype=np.uint8).reshape(20, 20) % (n + 1)
    kept = {k: v for k, v in attrs.items() if colours or k != "flag_colors"}
    maps = xr.Dataset({"class": (("y", "x"), codes, kept), "confidence": (("y", "x"), 0.3 + codes.astype(np.float32) / n / 2)})
    placed = make_cube((1, 20, 20), bands=("B04",))
    return maps.assign_coords(y=placed.y, x=placed.x).rio.write_crs(32632)


@pytest.mark.parametrize("colours", [True, False])
def test_many_classes_have_each_a_colour_and_confidence_beside(colours: bool) -> None:
    maps = class_map(17, colours)
    axes = maps.s2.plot.classes()
    codes = maps["class"].values
    (image,) = axes[0].images
    painted = image.cmap(image.norm(drawn(axes[0])))
    wanted = dict(enumerate(palette(17), 1)) | {0: MISSING}
    assert all(to_hex(painted[y, x]) == wanted[codes[y, x]] for y, x in np.ndindex(codes.shape))
    entries = {
        t.get_text().rsplit(",", 1)[0]: to_hex(p.get_facecolor())
        for t, p in zip(axes[0].get_legend().get_texts(), axes[0].get_legend().get_patches(), strict=True)
    }
    assert len(entries) == 18
    assert entries["conifer forest 14"] == palette(17)[14]
    assert entries["no label"] == MISSING
    np.testing.assert_array_equal(drawn(axes[1]), maps.confidence)
    assert (axes[1].images[0].norm.vmin, axes[1].images[0].norm.vmax) == (0, 1)
    axes[0].figure.canvas.draw()
    legend, frame = axes[0].get_legend().get_window_extent(), axes[0].figure.bbox
    assert frame.x0 <= legend.x0 < legend.x1 <= frame.x1  # nothing is cut off
    assert not legend.overlaps(axes[1].get_tightbbox())
    assert axes[0].get_window_extent().width > 0.75 * frame.width / 2  # nor the map small under its legend


def test_classes_by_name_and_what_is_refused(cube: xr.Dataset) -> None:
    scl = cube.assign(SCL=xs.sample("romania").SCL.isel(time=slice(4), y=slice(12), x=slice(16)).reset_coords(drop=True).variable)
    (ax,) = scl.s2.plot.classes("SCL", time=1)
    assert title(ax).startswith("scene classification")
    with pytest.raises(xs.XSentinelError, match="a map with flag_values is not there to draw; maps of classes in the dataset: none"):
        cube.s2.plot.classes()
    with pytest.raises(xs.XSentinelError, match="crops with flag_values is not there to draw; maps of classes in the dataset: class"):
        class_map(3).s2.plot.classes("crops")


# ---- before and after ------------------------------------------------------------------------------------------------


@pytest.fixture
def monthly(cube: xr.Dataset) -> xr.Dataset:
    return cube.drop_vars("SCL").s2.composite(["2019-04-01", "2019-04-11T10:30", "2019-04-20"])


def colours(cube: xr.Dataset, k: int, limits: tuple[float, float]) -> np.ndarray:
    image = np.stack([cube[b].values[k] for b in RGB], -1)
    return np.clip((image - limits[0]) / (limits[1] - limits[0]), 0, 1) ** (1 / 1.4)


def test_before_and_after_share_the_stretch_of_the_composite(cube: xr.Dataset, monthly: xr.Dataset) -> None:
    lazy, read = watched(cube)
    after, made = watched(monthly)
    axes = lazy.s2.plot.before_after(after, time="2019-04")
    assert (set(read), set(made)) == ({0, 1}, {0})
    limits = np.percentile(np.stack([monthly[b].values[0] for b in RGB]), (2, 98))
    for ax, (ds, k) in zip(axes, [(cube, 0), (cube, 1), (monthly, 0)], strict=True):
        np.testing.assert_allclose(drawn(ax), colours(ds, k, limits), atol=1e-5)
    assert [title(ax) for ax in axes] == [
        "2019-04-01, 100 % clear",
        "2019-04-06, 33 % clear",
        "median of 2 dates, 2019-04-01 to 2019-04-11 true colour (B04 B03 B02)",
    ]


def test_which_dates_are_drawn_before(cube: xr.Dataset, monthly: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def titles(after: xr.Dataset, time: Any) -> list[str]:
        return [title(ax) for ax in cube.s2.plot.before_after(after, time=time)]

    assert titles(monthly, "2019-04-16")[0] == "2019-04-16, 100 % clear"
    assert len(titles(monthly, "2019-04-16")) == 2
    assert [t[:10] for t in titles(monthly, -1)] == ["2019-04-11", "2019-04-16", "median of "]
    assert len(titles(monthly, None)) == 3
    masked = cube.s2.mask_clouds()
    assert titles(masked.drop_vars("SCL"), "2019-04-06")[1] == "2019-04-06, after  true colour (B04 B03 B02)"
    whole = cube.s2.composite("YS", method="mean")
    monkeypatch.setattr(beside, "BEFORE", 2)
    assert [t[:10] for t in titles(whole, "2019")[:-1]] == ["2019-04-01", "2019-04-16"]
    assert titles(whole, "2019")[-1].startswith("mean of 4 dates (2 drawn), 2019-01-01 to 2019-12-31")


def test_before_and_after_that_do_not_belong_together(cube: xr.Dataset, monthly: xr.Dataset) -> None:
    early = cube.isel(time=slice(2)).s2.composite(["2019-04-01", "2019-04-10"])
    with pytest.raises(xs.TimeError, match=r"date 2019-04-16 has nothing on the other side: .* give a time that both have"):
        cube.s2.plot.before_after(early, time="2019-04-16")
    other = monthly.assign_coords(time=monthly.time + np.timedelta64(400, "D"), period_end=monthly.period_end + np.timedelta64(400, "D"))
    with pytest.raises(xs.TimeError, match="period 2020-05-05 has nothing on the other side"):
        cube.s2.plot.before_after(other, time=0)
    with pytest.raises(xs.TimeError, match="the cube after has no dimension time"):
        cube.s2.plot.before_after(monthly.isel(time=0))
    with pytest.raises(xs.TimeError, match="nearest of 4 dates"):
        cube.s2.plot.before_after(monthly, time="2019-07-01")
