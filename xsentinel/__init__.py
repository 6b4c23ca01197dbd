"""Sentinel-2 cubes to maps of leaf area index, land cover and crops, on xarray and dask.

``xsentinel.open`` reads, ``Dataset.s2`` works, ``Dataset.s2.plot`` shows::

    import xsentinel as xs

    cube = xs.sample("zurich")
    maps = cube.s2.lai()
    maps.s2.plot.map("lai")
"""

from xsentinel import accessor as _accessor  # noqa: F401  (registers .s2)
from xsentinel import accuracy, batch, samples, simulate, training
from xsentinel.batch import plan, run
from xsentinel.blocks.model import Model, load_model
from xsentinel.errors import (
    BandError,
    GeometryError,
    GridError,
    IncompleteError,
    ReadError,
    StoppedError,
    StoreError,
    TimeError,
    UnitsError,
    WriteError,
    XSentinelError,
)
from xsentinel.io.open import open  # noqa: A004  (xsentinel.open reads as xarray.open_dataset does)
from xsentinel.io.samples import sample
from xsentinel.io.triplets import read_triplets
from xsentinel.statistics import Statistics
from xsentinel.version import __version__

__all__ = [
    "BandError",
    "GeometryError",
    "GridError",
    "IncompleteError",
    "Model",
    "ReadError",
    "Statistics",
    "StoppedError",
    "StoreError",
    "TimeError",
    "UnitsError",
    "WriteError",
    "XSentinelError",
    "__version__",
    "accuracy",
    "batch",
    "load_model",
    "open",
    "plan",
    "read_triplets",
    "run",
    "sample",
    "samples",
    "simulate",
    "training",
]
