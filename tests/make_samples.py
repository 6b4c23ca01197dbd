"""Make the two sample cubes of the package from the real scenes under XSENTINEL_DATA.

Run as ``python tests/make_samples.py xsentinel/data``. It needs the whole scenes, which are not in the
repository; it is kept to say exactly what the samples hold.
"""

from __future__ import annotations

import os
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import xarray as xr
from zarr.codecs import BloscCodec

import xsentinel as xs
from xsentinel.io.write import portable

ATTRIBUTION = "contains modified Copernicus Sentinel data 2015-2021"
NOMINAL = "nominal: the source has no angles"


def zurich(data: Path) -> xr.Dataset:
    """Crop 4 km by 5 km, ten bands at 10 m; angles nominal."""
    scene = xs.open(next((data / "lai_scenes" / "zurich").glob("*.tif")), mask_and_scale=False, chunks=None)
    crop = scene.isel(y=slice(368, 768), x=slice(0, 500))
    angles = {name: ("time", np.array([v], np.float32), {"source": NOMINAL}) for name, v in (("sza", 27), ("vza", 5), ("raa", 100))}
    source = "Sentinel-2A L2A 2019-05-30 T32TMT, bands resampled to 10 m; from eodal 0.2.1"
    return crop.assign_coords(angles).assign_attrs(title="Zurich", source=source, attribution=ATTRIBUTION)


def romania(data: Path) -> xr.Dataset:
    """Take two years of the 10 m bands; platform by the ten-day cycle, sun by the overpass, view nominal."""
    cube = xs.open(data / "cubes" / "romania" / "sentinel2_cube_subset_romania_10m.nc", mask_and_scale=False, chunks=None)
    times = cube.indexes["time"]
    days = (times - times[0]).days.to_numpy()
    only_a = np.unique(days[times < "2017-03-07"] % 10)
    is_a, is_b = np.isin(days % 10, only_a), np.isin((days + 5) % 10, only_a)
    if (is_a & is_b).any() or not (is_a | is_b).all():
        raise SystemExit("the ten-day cycle does not tell the platforms apart")
    sza, saa = sun(times.to_numpy() + np.timedelta64(570, "m"), 45.3, 24.9)
    coords = {
        "platform": ("time", np.where(is_a, "S2A", "S2B"), {"source": "ten-day cycle of the dates before Sentinel-2B flew"}),
        "sza": ("time", sza.astype("f4"), {"source": "nominal: sun at 09:30 UTC"}),
        "vza": ("time", np.full(times.size, 5, "f4"), {"source": NOMINAL}),
        "raa": ("time", np.abs((saa - 105 + 180) % 360 - 180).astype("f4"), {"source": "nominal: view azimuth 105"}),
    }
    cube = cube.drop_vars(["platform", "sza", "vza", "raa"], errors="ignore").assign_coords(coords)
    source = "Sentinel-2 L2A 2018-2019, forest in Romania with disturbance; from nrt 0.1.0 (EUPL-1.2)"
    part = cube.sel(time=slice("2018-01-01", "2019-12-31")).isel(y=slice(0, 80), x=slice(0, 80))
    return part.assign_attrs(title="Romania", source=source, attribution=ATTRIBUTION)


def sun(times: np.ndarray, latitude: float, longitude: float) -> tuple[np.ndarray, np.ndarray]:
    """Give sun zenith and azimuth in degrees, to half a degree (Astronomical Almanac, low precision)."""
    d = (times - np.datetime64("2000-01-01T12:00")) / np.timedelta64(1, "D")
    g, q = np.deg2rad(357.529 + 0.98560028 * d), 280.459 + 0.98564736 * d
    ecliptic = np.deg2rad(q + 1.915 * np.sin(g) + 0.020 * np.sin(2 * g))
    tilt = np.deg2rad(23.439 - 3.6e-7 * d)
    declination = np.arcsin(np.sin(tilt) * np.sin(ecliptic))
    ascension = np.arctan2(np.cos(tilt) * np.sin(ecliptic), np.cos(ecliptic))
    hour = np.deg2rad((18.697374558 + 24.06570982441908 * d) % 24 * 15 + longitude) - ascension
    phi = np.deg2rad(latitude)
    zenith = np.arccos(np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(hour))
    azimuth = np.arctan2(-np.sin(hour), np.tan(declination) * np.cos(phi) - np.sin(phi) * np.cos(hour))
    return np.rad2deg(zenith), np.rad2deg(azimuth) % 360


def save(cube: xr.Dataset, path: Path) -> None:
    """Write a zipped Zarr, densely packed, the same bytes every time."""
    packed = {"compressors": [BloscCodec(cname="zstd", clevel=9, shuffle="bitshuffle")]}
    cube = portable(cube)
    encoding = {str(v): packed | {"chunks": cube[v].shape} for v in cube.data_vars}
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path, "w") as archive:
        cube.to_zarr(folder, mode="w", zarr_format=3, encoding=encoding, consolidated=False)
        for file in sorted(p for p in Path(folder).rglob("*") if p.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), date_time=(2020, 1, 1, 0, 0, 0))
            archive.writestr(entry, file.read_bytes())


if __name__ == "__main__":
    source, target = Path(os.environ["XSENTINEL_DATA"]), Path(sys.argv[1])
    for name, make in (("zurich", zurich), ("romania", romania)):
        save(make(source), target / f"{name}.zarr.zip")
