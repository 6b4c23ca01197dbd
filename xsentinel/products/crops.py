"""Crop types by a trained classifier of series."""

from __future__ import annotations

from os import PathLike

import xarray as xr

from xsentinel.blocks.model import Model
from xsentinel.blocks.predict import Precision
from xsentinel.classification import map_classes


def crops(
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
    r"""Map crop types by a classifier of each pixel's series.

    The model's card says what it takes: most take twelve monthly composites, the band-wise median of what was seen of
    each month (Weikmann et al. 2021). A cube of single dates is brought to them on the way, lazily and block by block,
    without being stored; mask its clouds first. A cube of composites is taken as it is. A month that a pixel was not
    seen in stays missing and the network is told so; nothing is filled in.

    Parameters
    ----------
    ds : xarray.Dataset
        A cube: bands (time, y, x), float32 reflectance [1] with NaN gaps or uint16 as stored, clouds masked.
    model : str, path or Model
        As `xsentinel.load_model` finds it; "crops-canada" and "crops-simulated" come along.
    start : str, optional
        First day of the first period, such as "2018-01"; dates before it and after the last period are left out.
        By default all dates must lie within the periods of one season.
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
        ``class`` (y, x), uint8, CF flags with names and colours, 0 where too few dates were seen (no class has the
        code 0); ``confidence``, the probability :math:`p_1` of the class; ``margin`` :math:`p_1 - p_2`; ``entropy``
        :math:`-\sum_u p_u \ln p_u / \ln U`, from 0 to 1; all float32, NaN where there is no class. With samples
        ``mutual_information``, the part of the entropy that the samples disagree by. With probabilities
        ``probability`` (class, y, x), ``class_code`` along it; as xarray lets no variable be named as a dimension of
        another, ``class`` then is a coordinate. Lazy if the input is.

    Raises
    ------
    TimeError
        If the dates do not fit the model's periods or number of dates.
    XSentinelError
        If the model tells no classes apart, or the cube lacks what it takes.

    References
    ----------
    Weikmann, Paris & Bruzzone (2021), TimeSen2Crop, IEEE JSTARS 14, and the report on the LSTM for large-scale crop
    type mapping.

    Examples
    --------
    >>> import xsentinel as xs
    >>> days = [f"2018-{month:02}-{day:02}" for month in range(1, 13) for day in (5, 15, 25)]
    >>> scene = xs.simulate.landscape((32, 32), days, seed=9)
    >>> maps = scene.cube.s2.mask_clouds().s2.crops("crops-simulated").compute()
    >>> list(maps), bool((maps["class"] == scene.truth["class"]).mean() > 0.7)
    (['class', 'confidence', 'margin', 'entropy'], True)
    """
    return map_classes(
        ds, model, "crops", start=start, probabilities=probabilities, samples=samples, seed=seed, precision=precision, device=device
    )  # fmt: skip
