"""The interactive map: opening a year of a whole tile without reading it, and what one turn of the wheel costs."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import rioxarray  # noqa: F401  (registers .rio)
import xarray as xr
from bokeh.events import RangesUpdate

import xsentinel as xs

N, DATES, CHUNK = 10_980, 73, 1098
"""A tile at 10 m every five days."""


@pytest.fixture(scope="module")
def year() -> xr.Dataset:
    """Give counts that are made when they are read."""
    counts = da.random.default_rng(0).integers(500, 4000, (DATES, N, N), chunks=(1, CHUNK, CHUNK), dtype=np.uint16)
    attrs = {"scale_factor": 1e-4, "add_offset": 0.0, "_FillValue": np.uint16(0)}
    coords = {
        "time": np.datetime64("2020-01-01", "ns") + 5 * np.arange(DATES) * np.timedelta64(1, "D"),
        "y": 5e6 - 10.0 * np.arange(N), "x": 6e5 + 10.0 * np.arange(N),
    }  # fmt: skip
    return xr.Dataset(dict.fromkeys(("B04", "B03", "B02"), (("time", "y", "x"), counts, attrs)), coords).rio.write_crs("EPSG:32632")


def test_opening(benchmark, year):
    benchmark.group = "explore: a tile at 10 m, 73 dates"
    page = benchmark.pedantic(lambda: year.s2.explore().page(), rounds=3, warmup_rounds=1)
    assert not page.reading.done.any()
    benchmark.extra_info |= {"what": "opened, nothing read", "role": "ours", "gigabytes as stored": round(year.nbytes / 1e9, 1)}


def test_zooming(benchmark):
    benchmark.group = "explore: the sample scene"
    page = xs.sample("zurich").s2.explore().page()
    low, high = page.map.view[0]
    shares = iter(np.linspace(0, 0.4, 200))

    def turn():
        cut = next(shares) * (high - low)
        page.map.fig._trigger_event(RangesUpdate(page.map.fig, x0=low + cut, x1=high - cut, y0=page.map.view[1][0], y1=page.map.view[1][1]))

    benchmark.extra_info |= {"what": "one step of the wheel", "role": "ours"}
    benchmark.pedantic(turn, rounds=20, warmup_rounds=1)
    assert page.reading.done.all()
