"""Land cover by a trained classifier of series and their neighbourhood."""

from __future__ import annotations

from os import PathLike

import xarray as xr

from xsentinel.blocks.model import Model
from xsentinel.blocks.predict import Precision
from xsentinel.classification import map_classes


def landcover(
    ds: xr.Dataset,
    model: str | PathLike[str] | Model,
    *,
    start: str | None = None,
    probabilities: bool = False,
    samples: int = 0,
    seed: int = 0,
    precision: Precision = "fp32",
    device: str = "cpu",
) -> xr.Dataset:
    r"""Map land cover by a classifier of a year's series and of what lies around each pixel.

    The model's card says what it takes. That of Stoian et al. (2019) takes 33 equal dates of a year, gaps filled
    linearly: a cube of single dates is brought to them on the way, lazily and block by block, without being stored;
    mask its clouds first. A cube that has the dates already is taken as it is. Indices among the inputs (NDVI, NDWI,
    brightness) are computed where the cube does not have them. Any classifier runs, of composites too.

    Parameters
    ----------
    ds : xarray.Dataset
        A cube: bands (time, y, x), float32 reflectance [1] with NaN gaps or uint16 as stored, clouds masked.
    model : str, path or Model
        As `xsentinel.load_model` finds it; "landcover-simulated" comes along, of no real land.
    start : str, optional
        First day of the season, such as "2018-01-01"; dates before it and after its end are left out. By default all
        dates must lie within one season.
    probabilities : bool
        Whether the probability of each class comes too.
    samples : int
        Monte Carlo samples of the network's dropout, whose probabilities are averaged; 0: one pass, nothing dropped.
    seed : int
        Of the samples.
    precision : {"fp32", "bf16", "auto"}
        As `lai`.
    device : str
        As `lai`.

    Returns
    -------
    xarray.Dataset
        ``class`` (y, x), uint8, CF flags with names and colours, 0 where nothing was seen (no class has the code 0);
        ``confidence``, ``margin`` and ``entropy``, float32 [1], NaN where there is no class; with samples
        ``mutual_information``, with probabilities ``probability`` (class, y, x): all as of `crops`. Lazy if the input is.

    Raises
    ------
    TimeError
        If the dates do not fit the model's season, periods or number of dates.
    BandError
        If the cube lacks a band.
    XSentinelError
        If the model tells no classes apart.

    References
    ----------
    Stoian, Poulain, Inglada, Poughon & Derksen (2019), Land Cover Maps Production with High Resolution Satellite Image
    Time Series and Convolutional Neural Networks, Remote Sensing 11, 1986.

    Examples
    --------
    >>> import xsentinel as xs
    >>> days = [f"2018-{month:02}-{day:02}" for month in range(1, 13) for day in (5, 15, 25)]
    >>> scene = xs.simulate.landscape((32, 32), days, seed=9)
    >>> list(scene.cube.s2.mask_clouds().s2.landcover("crops-simulated"))
    ['class', 'confidence', 'margin', 'entropy']
    """
    return map_classes(
        ds, model, "land cover", start=start, probabilities=probabilities, samples=samples, seed=seed, precision=precision, device=device
    )  # fmt: skip
