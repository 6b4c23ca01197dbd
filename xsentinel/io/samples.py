"""The two small real cubes that come with the package."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import Literal

import xarray as xr

from xsentinel.errors import ReadError
from xsentinel.io.open import open as open_cube
from xsentinel.io.source import Chunks

SAMPLES = ("zurich", "romania")


def sample(
    name: Literal["zurich", "romania"] = "zurich",
    *,
    resolution: float | None = None,
    chunks: Chunks | Literal["auto"] = None,
    mask_and_scale: bool = True,
) -> xr.Dataset:
    """Open a small real cube that is shipped with the package.

    ``zurich``: farmland, forest, towns and cloud north of Zürich, Sentinel-2A, 2019-05-30, ten bands on
    a 10 m grid. ``romania``: two years of a forest with disturbance, 10 m bands, B8A, B11 and scene classes.
    Neither source has angles; those in the samples are nominal and say so. Contains modified Copernicus
    Sentinel data 2018–2019.

    Parameters
    ----------
    name : {"zurich", "romania"}
    resolution, chunks, mask_and_scale
        As `xsentinel.open`; in memory by default.

    Returns
    -------
    xarray.Dataset
        As `xsentinel.open` gives it: bands (time, y, x), float32 reflectance [1], and ``SCL`` if there is one.

    Raises
    ------
    ReadError
        If there is no sample of that name.

    Examples
    --------
    >>> import xsentinel as xs
    >>> xs.sample("zurich").B8A.dims
    ('time', 'y', 'x')
    """
    if name not in SAMPLES:
        raise ReadError(f"there is no sample {name!r}; the samples are {', '.join(SAMPLES)}")
    with as_file(files("xsentinel.data").joinpath(f"{name}.zarr.zip")) as path:
        return open_cube(path, resolution=resolution, chunks=chunks, mask_and_scale=mask_and_scale)
