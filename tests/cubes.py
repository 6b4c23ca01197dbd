"""Small cubes to test with: reflectance that a field of crops might have, seeded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rioxarray  # noqa: F401  (registers .rio)
import xarray as xr

BANDS_20M = ("B03", "B04", "B05", "B06", "B07", "B8A", "B11", "B12")
BANDS_10M = ("B03", "B04", "B08")


def make_cube(
    shape: tuple[int, int, int] = (3, 21, 17),
    bands: Sequence[str] = BANDS_20M,
    *,
    stored: bool = False,
    gaps: float = 0.1,
    seed: int = 0,
) -> xr.Dataset:
    """Give a cube of (time, y, x), float32 reflectance or uint16 counts, with gaps, angles and platforms."""
    rng = np.random.default_rng(seed)
    green = rng.uniform(0, 1, shape)
    sees = {"B02": (0.08, 0.02), "B03": (0.1, 0.05), "B04": (0.15, 0.03), "B05": (0.18, 0.1), "B06": (0.2, 0.3), "B12": (0.25, 0.08)}
    cube = xr.Dataset()
    for band in bands:
        soil, leaf = sees.get(band, (0.25, 0.4))
        values = soil + (leaf - soil) * green + rng.normal(0, 0.02, shape)
        counts = np.clip(values * 10_000, 1, 65_535).round().astype(np.uint16)
        counts[rng.uniform(size=shape) < gaps] = 0
        cube[band] = ("time", "y", "x"), counts, {"scale_factor": 1e-4, "add_offset": 0.0, "_FillValue": np.uint16(0)}
    if not stored:
        cube = cube.map(lambda b: (b.where(b != 0) * np.float32(1e-4)).astype(np.float32), keep_attrs=False)
    return place(cube)


def place(cube: xr.Dataset) -> xr.Dataset:
    """Add times, a 20 m UTM grid, angles and platforms."""
    n, height, width = (cube.sizes[d] for d in ("time", "y", "x"))
    placed = cube.assign_coords(
        time=np.datetime64("2019-04-01T10:30", "ns") + np.arange(n) * np.timedelta64(5, "D"),
        y=5_000_010.0 - 20 * np.arange(height),
        x=600_010.0 + 20 * np.arange(width),
        platform=("time", np.resize(["S2A", "S2B", "S2C"], n)),
        sza=("time", np.linspace(35, 55, n, dtype=np.float32)),
        vza=("time", np.linspace(2, 10, n, dtype=np.float32)),
        raa=("time", np.linspace(20, 150, n, dtype=np.float32)),
    )
    return placed.rio.write_crs("EPSG:32632")


def npz_cube(path: Path) -> xr.Dataset:
    """Read a BigEarthNet patch: B02…B12 of three resolutions, as one Dataset on the 20 m grid of its 20 m bands."""
    size = {120: 10, 60: 20, 20: 60}
    parts: dict[int, dict[str, np.ndarray]] = {}
    with np.load(path) as patch:
        for name in patch.files:
            parts.setdefault(size[patch[name].shape[0]], {})[name] = patch[name]
    attrs = {"scale_factor": 1e-4, "add_offset": 0.0, "_FillValue": np.uint16(0)}
    cubes = []
    for step, bands in parts.items():
        n = 1200 // step
        coords = {"y": 1200 - step * (np.arange(n) + 0.5), "x": step * (np.arange(n) + 0.5)}
        variables = {b: (("time", "y", "x"), v[None], attrs if v.dtype == np.uint16 else {}) for b, v in bands.items()}
        time = np.array([path.stem.split("_")[2][:8]])
        day = np.array([f"{time[0][:4]}-{time[0][4:6]}-{time[0][6:]}"], "datetime64[ns]")
        cubes.append(xr.Dataset(variables, coords | {"time": day}).rio.write_crs("EPSG:32633"))
    import xsentinel as xs

    return xs.open(cubes, resolution=20)
