"""Statistics of parcels beside exactextract and rasterstats: ``python -m benchmarks.parcels [--parcels 50000] [--dates 70] [--side 5490]``.

Peers get a share of the parcels and dates, and their time is told a parcel and date. The large run goes from Zarr, lazily, and prints
the memory that the process grew by at most. Peers: ``pip install rasterstats`` (exactextract comes with ``xsentinel[parcels]``).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import dask
import dask.array as da
import geopandas as gpd
import numpy as np
import pandas as pd
import rioxarray  # noqa: F401  (registers .rio)
import shapely
import xarray as xr
from dask.diagnostics import ProgressBar

import xsentinel as xs
from benchmarks.samples import Watch

STEP, CHUNK = 20.0, 512
STATS = {"mean": "mean", "std": "stdev", "p10": "quantile(q=0.1)", "count": "count"}


def axes(side: int) -> dict[str, np.ndarray]:
    """Give the coordinates of a square tile."""
    return {"y": 5_000_000 - STEP * (np.arange(side) + 0.5), "x": 400_000 + STEP * (np.arange(side) + 0.5)}


def make_block(block_info: dict) -> np.ndarray:
    """Give values of a block, a tenth of them missing."""
    place = block_info[None]
    rng = np.random.default_rng(place["chunk-location"])
    values = rng.random(place["chunk-shape"], np.float32) * 7
    values[values > 6.3] = np.nan
    return values


def cut(n: int, size: int) -> tuple[int, ...]:
    """Give the sizes of chunks."""
    return (*(size,) * (n // size), *((n % size,) if n % size else ()))


def make_cube(path: Path, dates: int, side: int) -> xr.DataArray:
    """Write a cube of one variable to Zarr, and open it."""
    across, along = cut(side, CHUNK), cut(dates, 10)
    data = da.map_blocks(make_block, chunks=(along, across, across), dtype=np.float32)
    coords = axes(side) | {"time": pd.date_range("2018-01-01", periods=dates, freq="5D")}
    ds = xr.Dataset({"lai": xr.DataArray(data, coords, ("time", "y", "x"))}).rio.write_crs(32631)
    ds.to_zarr(path, consolidated=False, zarr_format=3)
    return xr.open_zarr(path, consolidated=False, decode_coords="all").lai


def make_parcels(n: int, side: int) -> gpd.GeoDataFrame:
    """Give crooked fields of 1 to 12 ha, spread over the tile."""
    rng = np.random.default_rng(1)
    centre = np.c_[400_000 + rng.uniform(200, side * STEP - 200, n), 5_000_000 - rng.uniform(200, side * STEP - 200, n)]
    angle = (np.arange(8) + rng.uniform(0, 0.9, (n, 8))) * np.pi / 4
    radius = rng.uniform(60, 200, (n, 1)) * rng.uniform(0.7, 1, (n, 8))
    rings = centre[:, None] + radius[..., None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    return gpd.GeoDataFrame(geometry=shapely.polygons(rings), crs=32631)


def timed(run: Callable[[], object]) -> float:
    """Give the seconds of a second run: kernels are compiled in the first."""
    run()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def by_exactextract(values: np.ndarray, box: dict[str, float], parcels: gpd.GeoDataFrame) -> pd.DataFrame:
    """Give all dates as the bands of one call."""
    from exactextract import exact_extract
    from exactextract.raster import NumPyRasterSource

    wkt = parcels.crs.to_wkt()
    sources = [NumPyRasterSource(v, **box, nodata=np.nan, name=str(k), srs_wkt=wkt) for k, v in enumerate(values)]
    return exact_extract(sources, parcels, list(STATS.values()), output="pandas")


def by_rasterstats(values: np.ndarray, lai: xr.DataArray, parcels: gpd.GeoDataFrame) -> list[object]:
    """Give one date after the other; pixels count by their centres."""
    from rasterstats import zonal_stats

    stats = ["mean", "std", "percentile_10", "count"]
    return [zonal_stats(parcels, v, affine=lai.rio.transform(), nodata=np.nan, stats=stats) for v in values]


def beside_peers(lai: xr.DataArray, parcels: gpd.GeoDataFrame, dates: int) -> None:
    """Print the time of ours and of the peers on a part in memory, one thread."""
    window = lai.isel(time=slice(0, dates), y=slice(0, 2 * CHUNK), x=slice(0, 2 * CHUNK)).compute()
    west, north = float(window.x[0]) - STEP / 2, float(window.y[0]) + STEP / 2
    edge = 2 * CHUNK * STEP
    inside = parcels[parcels.within(shapely.box(west, north - edge, west + edge, north))].head(1000)
    box = {"xmin": west, "xmax": west + edge, "ymin": north - edge, "ymax": north}
    ours = timed(lambda: window.s2.parcels(inside, stats=tuple(STATS)))
    print(f"{len(inside)} parcels × {dates} dates in memory: xsentinel {ours:.2f} s")
    theirs = timed(lambda: by_exactextract(window.values, box, inside))
    print(f"exactextract, all dates in one call: {theirs:.2f} s, {theirs / ours:.1f} × ours")
    try:
        few = timed(lambda: by_rasterstats(window.values[:2], window, inside)) * dates / 2
        print(f"rasterstats, of two dates: {few:.2f} s, {few / ours:.1f} × ours")
    except ImportError:
        print("rasterstats: not there")


def main() -> None:
    """Print what is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parcels", type=int, default=50_000)
    parser.add_argument("--dates", type=int, default=70)
    parser.add_argument("--side", type=int, default=5490)
    asked = parser.parse_args()
    print(f"xsentinel {xs.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        lai, parcels = make_cube(Path(folder) / "cube.zarr", asked.dates, asked.side), make_parcels(asked.parcels, asked.side)
        beside_peers(lai, parcels, asked.dates)
        start = time.perf_counter()
        with Watch() as memory, ProgressBar(), dask.config.set(num_workers=2):
            found = lai.s2.parcels(parcels, stats=tuple(STATS)).compute()
        took = time.perf_counter() - start
        size = lai.nbytes / 2**30
        print(f"{asked.parcels} parcels × {asked.dates} dates of a cube of {size:.1f} GiB, from Zarr: {took:.0f} s, "
              f"{memory.peak / 2**20:.0f} MiB more memory, result {found.nbytes / 2**20:.0f} MiB")  # fmt: skip


if __name__ == "__main__":
    main()
