"""Pictures that compare, and series with their interval."""

from __future__ import annotations

import numpy as np
import pytest

import xsentinel as xs
from tests.test_parcels import fields, maps


def test_scatter_says_the_scores():
    lai = maps()
    ax = lai.s2.plot.scatter(lai + np.float32(0.5))
    (text,) = (t.get_text() for t in ax.texts)
    n = int(np.isfinite(lai).sum())
    assert "RMSE 0.500" in text
    assert "bias +0.500" in text
    assert f"n {n:,}" in text
    assert ax.get_xlabel() == "reference: leaf area index [m² m⁻²]"
    counts = ax.collections[0].get_array()
    assert 0.98 * n < np.nansum(counts) <= n
    with pytest.raises(xs.GridError, match="same pixels"):
        lai.s2.plot.scatter(lai.isel(x=slice(0, 3)))
    with pytest.raises(xs.GridError, match="in common"):
        lai.s2.plot.scatter(lai * np.nan)


def test_calendar_of_clouds():
    cube = xs.sample("romania")
    ax = cube.s2.plot.calendar()
    shares = ax.collections[0].get_array() / 100
    np.testing.assert_allclose(shares, cube.s2.clear_share(), atol=1e-6)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["2018", "2019"]
    masked = cube.s2.mask_clouds().drop_vars("SCL")
    np.testing.assert_allclose(masked.s2.plot.calendar().collections[0].get_array() / 100, masked.B04.notnull().mean(("y", "x")), atol=1e-6)
    with pytest.raises(xs.TimeError, match="no dimension time"):
        cube.isel(time=0).s2.plot.calendar()
    with pytest.raises(xs.TimeError, match="nothing tells"):
        cube[["SCL"]].rename(SCL="other").s2.plot.calendar()


def test_series_of_parcels_and_pixels():
    filled = xs.sample("romania").s2.mask_clouds().s2.fill_gaps("linear")
    ax = filled.s2.plot.series("B08", pixel=(3, 4))
    lines = {line.get_label(): line.get_ydata() for line in ax.lines}
    hollow = filled.filled.values[:, 3, 4] == 1
    values = filled.B08.values[:, 3, 4]
    np.testing.assert_array_equal(lines["not observed"], values[hollow & np.isfinite(values)])
    np.testing.assert_array_equal(lines["observed"], values[~hollow])
    table = maps().s2.parcels(fields())
    ax = table.s2.plot.series("mean", parcel=5)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), table["mean"].sel(parcel=5))
    assert ax.collections[0].get_label() == "± 2 standard deviations of the pixels"
    assert "parcel 5" in ax.get_title(loc="left")
    with pytest.raises(xs.XSentinelError, match="parcel 99 is not there"):
        table.s2.plot.series("mean", parcel=99)


def test_series_with_an_interval():
    lai = maps()
    ds = lai.to_dataset().assign(lai_lower=(lai - 1).assign_attrs(confidence=0.9), lai_upper=lai + 1)
    ax = ds.s2.plot.series(pixel=(0, 1))
    assert ax.collections[0].get_label() == "90% interval"
    assert ax.get_ylabel() == "lai [m² m⁻²]"


def test_several_series_in_colours_of_their_own():
    filled = xs.sample("romania").isel(y=slice(20), x=slice(20)).s2.mask_clouds().s2.fill_gaps("linear")
    ax = filled.s2.plot.series("B08", pixel=[(3, 4), (10, 12)])
    lines = [line for line in ax.lines if line.get_linestyle() == "-"]
    for line, (row, column) in zip(lines, [(3, 4), (10, 12)], strict=True):
        values = filled.B08.values[:, row, column]
        np.testing.assert_array_equal(line.get_ydata(), values[np.isfinite(values)])
        assert line.get_label() == f"pixel {(row, column)}"
    assert len({line.get_color() for line in lines}) == 2
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["pixel (3, 4)", "pixel (10, 12)", "observed", "not observed"]
    assert ax.get_ylabel() == "B08, reflectance"
    with pytest.raises(xs.XSentinelError, match="8 series are asked for; give 1 to 7"):
        filled.s2.plot.series("B08", pixel=[(0, k) for k in range(8)])


def test_parcels_with_the_mean_of_their_interval():
    lai = maps()
    ds = lai.to_dataset().assign(lai_lower=(lai - 1).assign_attrs(confidence=0.9), lai_upper=lai + 2)
    table = ds.s2.parcels(fields(), stats=("mean", "std"))
    ax = table.s2.plot.series("lai_mean", parcel=[5, 6])
    for shade, parcel in zip(ax.collections, (5, 6), strict=True):
        (path,) = shade.get_paths()
        mean = table.lai_mean.sel(parcel=parcel).values
        assert (path.vertices[:, 1].min(), path.vertices[:, 1].max()) == pytest.approx((mean.min() - 1, mean.max() + 2), rel=1e-5)
        assert shade.get_label() == "90% interval"
    assert "2 parcels" in ax.get_title(loc="left")


def test_calendar_marks_of_near_dates_do_not_overlap():
    cube = xs.sample("romania").isel(y=slice(5), x=slice(5))
    near = cube.assign_coords(time=np.datetime64("2018-03-01", "ns") + np.arange(cube.sizes["time"]) * np.timedelta64(2, "D"))
    ax = near.s2.plot.calendar()
    ax.figure.canvas.draw()
    (dots,) = ax.collections
    (mark,) = dots.get_paths()
    wide = np.ptp(mark.vertices[:, 0]) * dots.get_transforms()[0][0, 0]
    two_days = np.diff(ax.transData.transform([(0, 0), (2, 0)])[:, 0])[0]
    assert 0.4 * two_days < wide < two_days
