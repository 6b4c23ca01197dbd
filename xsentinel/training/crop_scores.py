"""Score classifiers of series on labelled samples."""

from __future__ import annotations

from os import PathLike

import numpy as np
import xarray as xr

from xsentinel.accuracy.record import Assessment
from xsentinel.blocks.model import Model, load_model, read_network
from xsentinel.errors import XSentinelError
from xsentinel.training.crops import assess_series


def evaluate_crops(model: str | PathLike[str] | Model, samples: xr.Dataset, *, side: str | None = None) -> Assessment:
    """Score a classifier of crop types on labelled samples that it has not learnt from.

    Parameters
    ----------
    model : str, path or Model
        As `xsentinel.load_model`.
    samples : xarray.Dataset
        As `train_crops` takes them: ``reflectance`` (sample, time, band), float32 [1], NaN in gaps; ``label`` (sample), uint8 with
        CF flags, 0 for none.
    side : str, optional
        Of samples that are split, such as "validation"; "all" takes every one. "test" if they are split and this is not given.

    Returns
    -------
    Assessment
        Producer's and user's accuracy and F1 of each class, overall accuracy, kappa and macro-F1.

    Raises
    ------
    XSentinelError
        If bands or dates are not those of the model, or no sample is of that side.

    Examples
    --------
    >>> from xsentinel import samples
    >>> from xsentinel.training import evaluate_crops
    >>> evaluate_crops("crops-canada", samples.open("canada.zarr"))  # doctest: +SKIP
    """
    found, on = load_model(model), _on_side(samples, side)
    card, bands = found.card, [str(b) for b in on["band"].values]
    missing = [band for band in card.bands if band not in bands]
    if missing or on.sizes["time"] != card.dates:
        raise XSentinelError(
            f"model {card.name} takes {card.dates} dates of {', '.join(card.bands)}; the samples have {on.sizes['time']} dates of "
            f"{', '.join(bands)}"
        )
    values = on["reflectance"].sel(band=list(card.bands)).values.astype(np.float32)
    return assess_series(read_network(found), card, values, on["label"].values)


def _on_side(samples: xr.Dataset, side: str | None) -> xr.Dataset:
    """Give the samples of a side."""
    if side == "all" or (side is None and "split" not in samples.coords):
        return samples
    if "split" not in samples.coords:
        raise XSentinelError(f"the samples are not split, so none are of the side {side!r}; leave it out")
    sides = samples["split"].values.astype(str)
    which = np.flatnonzero(sides == (side or "test"))
    if not which.size:
        raise XSentinelError(f"no sample is of the side {side or 'test'!r}; the samples are of {', '.join(sorted(set(sides.tolist())))}")
    return samples.isel(sample=which)
