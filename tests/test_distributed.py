"""The same values from two worker processes of dask.distributed as from this one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import xarray as xr

import xsentinel  # noqa: F401  (registers .s2)
from tests.cubes import make_cube
from tests.networks import TEN_BANDS

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def client() -> Iterator[object]:
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit="2GB") as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore:Sending large graph:UserWarning")
def test_workers_change_no_bit(client: object) -> None:
    cube = make_cube((9, 24, 30), stored=True)
    lazy = cube.chunk({"time": 5, "y": 13, "x": 30})
    xr.testing.assert_identical(lazy.s2.lai().compute(), cube.s2.lai())
    xr.testing.assert_identical(lazy.s2.composite("MS", method="median").compute(), cube.s2.composite("MS", method="median"))
    bands = make_cube((2, 50, 60), TEN_BANDS, stored=True)
    network = bands.chunk({"time": 1, "y": 25, "x": 60}).s2.lai(model="unet", samples=3).compute()
    xr.testing.assert_allclose(network, bands.s2.lai(model="unet", samples=3), atol=1e-5)
    mine, theirs = cube.s2.statistics(), lazy.s2.statistics()
    assert mine.by_band == theirs.by_band
