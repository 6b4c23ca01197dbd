"""Animations: which frames there are, what is in them, what is read for them, what is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib.animation import FuncAnimation
from matplotlib.figure import Figure
from PIL import Image

import xsentinel as xs
from tests.cubes import make_cube
from tests.test_plot_beside import drawn, title, watched
from xsentinel.plot import animation
from xsentinel.plot.marks import overlay
from xsentinel.style import MISSING, channels_of

RGB = ("B04", "B03", "B02")


@pytest.fixture
def cube() -> xr.Dataset:
    made = make_cube((4, 12, 16), bands=RGB, gaps=0)
    scl = np.full((4, 12, 16), 4, np.uint8)
    scl[2, :5] = 9
    return made.assign(SCL=(("time", "y", "x"), scl))


def played(moving: Any) -> list[list[np.ndarray]]:
    """Give the pixels of each image of each frame."""
    (ax,) = moving._fig.axes
    frames = []
    for k in moving.new_frame_seq():
        moving._func(k)
        frames.append([drawn(ax, i) for i in range(len(ax.images))])
    moving._draw_was_started = True
    return frames


def test_frames_of_colours_have_one_scale_and_are_read_one_at_a_time(cube: xr.Dataset) -> None:
    lazy, read = watched(cube)
    moving = lazy.s2.plot.animate(clouds=True, vmin=0.02, vmax=0.2)
    assert isinstance(moving, FuncAnimation)
    assert read == []  # the scale is given, so nothing is looked at before
    (ax,) = moving._fig.axes
    for k in range(4):
        moving._func(k)
        assert set(read) == {k}
        assert len(read) == 4  # three bands and the scene classes, once each
        read.clear()
        image = np.stack([cube[b].values[k] for b in RGB], -1)
        np.testing.assert_allclose(drawn(ax), np.clip((image - 0.02) / 0.18, 0, 1) ** (1 / 1.4), atol=1e-5)
        np.testing.assert_allclose(drawn(ax, 1), overlay(cube.SCL.values[k]), atol=1e-6)
        day = str(cube.time.values[k])[:10]
        assert title(ax) == f"true colour (B04 B03 B02)  {day}  ({k + 1} of 4)"
    moving._draw_was_started = True


def test_scale_is_taken_from_dates_spread_over_all(cube: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(animation, "LOOKED_AT", 2)
    lazy, read = watched(cube)
    moving = lazy.s2.plot.animate(variable="B03")
    assert set(read) == {0, 3}
    (ax,) = moving._fig.axes
    low, high = np.percentile(cube.B03.values[[0, 3]], (2, 98))
    assert (ax.images[0].norm.vmin, ax.images[0].norm.vmax) == pytest.approx((min(low, 0), high))
    for (frame,), values in zip(played(moving), cube.B03.values, strict=True):
        np.testing.assert_array_equal(frame, values)
    assert (ax.images[0].norm.vmin, ax.images[0].norm.vmax) == pytest.approx((min(low, 0), high))
    assert ax.images[0].colorbar.ax.get_ylabel() == "B03, reflectance"


def test_dates_that_show_too_little_are_left_out(cube: xr.Dataset, caplog: pytest.LogCaptureFixture) -> None:
    gappy = cube.copy(deep=True)
    gappy.B03[1], gappy.B03[3, :10] = np.nan, np.nan
    with caplog.at_level("INFO", "xsentinel"):
        moving = gappy.B03.s2.plot.animate(least=0.2)
    assert "animation of 2 frames; 2 of 4 dates show less than 20 %" in caplog.text
    np.testing.assert_array_equal([f for (f,) in played(moving)], gappy.B03.values[[0, 2]])
    (ax,) = moving._fig.axes
    assert title(ax) == "B03  2019-04-11  (2 of 2; 2 dates left out)"
    assert len(played(gappy.B03.s2.plot.animate())) == 4
    with pytest.raises(xs.TimeError, match=r"none of 4 dates shows 50 % of the pixels, the best 0\.0 %; give a smaller least"):
        (gappy * np.nan).s2.plot.animate(variable="B03", least=0.5)


def test_missing_pixels_are_grey_and_large_maps_thinned(cube: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(animation, "SIDE", 8)
    cube.B03[0, 2, 4] = np.nan
    (frame,), *_ = played(cube.s2.plot.animate())
    assert frame.shape == (6, 8, 3)
    np.testing.assert_allclose(frame[1, 2] * 255, channels_of(MISSING), atol=1e-3)


def test_classes_keep_their_colours(cube: xr.Dataset) -> None:
    scl = cube.SCL.assign_attrs(xs.sample("romania").SCL.attrs)
    moving = scl.s2.plot.animate()
    for (frame,), values in zip(played(moving), scl.values, strict=True):
        np.testing.assert_array_equal(frame, values)  # the codes 0 to 11 are their places
    (ax,) = moving._fig.axes
    assert len(ax.get_legend().get_texts()) == 12


@pytest.mark.parametrize("suffix", [".gif", ".html"])
def test_files(cube: xr.Dataset, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / f"cube{suffix}"
    lazy, read = watched(cube[list(RGB)].isel(time=slice(3)))
    assert lazy.s2.plot.animate(path, fps=2, progress=True, vmin=0, vmax=0.2, ax=Figure(figsize=(3, 2.5), dpi=50).subplots()) == str(path)
    assert sorted(read) == sorted([0, 1, 2] * 3)  # each band of each date once
    assert "3/3" in capsys.readouterr().err
    if suffix == ".gif":
        with Image.open(path) as picture:
            assert picture.n_frames == 3
            assert picture.info["duration"] == 500
    else:
        assert path.read_text().count("data:image/png;base64") == 3


def test_long_players_are_whole(cube: xr.Dataset) -> None:
    with mpl.rc_context({"animation.embed_limit": 0.01}):
        moving = cube.B04.s2.plot.animate(ax=Figure(figsize=(3, 3), dpi=60).subplots())
        assert moving._repr_html_().count("data:image/png;base64") == 4


def test_notebooks_show_a_player(cube: xr.Dataset) -> None:
    moving = cube.isel(time=slice(2)).B04.s2.plot.animate(ax=Figure(figsize=(2, 2), dpi=40).subplots())
    assert "<video" not in moving._repr_html_()
    assert moving._repr_html_().count("data:image/png;base64") == 2


def test_refusals(cube: xr.Dataset, tmp_path: Path) -> None:
    def refused(kind: type[Exception], match: str, **options: Any) -> None:
        with pytest.raises(kind, match=match):
            cube.s2.plot.animate(**options)

    refused(xs.WriteError, "has the suffix .avi; an animation is written as .gif, .html or .mp4", path="cube.avi")
    with mpl.rc_context({"animation.ffmpeg_path": str(tmp_path / "none")}):
        refused(xs.WriteError, r"cube.mp4 needs ffmpeg, which is not on the path; install it .* write .gif or .html", path="cube.mp4")
    refused(xs.WriteError, "cannot be written: .* give a file in a folder", path=tmp_path / "nowhere" / "cube.gif")
    refused(xs.XSentinelError, "variable 'lai' is not there to animate; the dataset has B04", variable="lai")
    refused(xs.XSentinelError, "cmap has no meaning for a colour composite", cmap="magma")
    refused(xs.XSentinelError, "vmin is 0 and vmax None; give both", vmin=0)
    refused(xs.XSentinelError, "least is 2; it is a share", least=2)
    refused(xs.XSentinelError, "bands and clouds are of colour composites", variable="B04", clouds=True)
    with pytest.raises(xs.GridError, match=r"B04 has dims time; a map has \(time, y, x\)"):
        cube.mean(("y", "x")).B04.s2.plot.animate()
    with pytest.raises(xs.TimeError, match="B04 has dims y, x and no time to animate over"):
        cube.isel(time=0).s2.plot.animate(variable="B04")
    with pytest.raises(xs.TimeError, match="no dates to animate"):
        cube.isel(time=[]).s2.plot.animate(variable="B04")
    bits = cube.SCL.assign_attrs(flag_masks=np.array([1, 2], np.uint8), flag_meanings="a b")
    with pytest.raises(xs.XSentinelError, match="SCL holds bits"):
        bits.s2.plot.animate()
