"""Maps of classes: a classifier over a cube that is brought to what it takes."""

from __future__ import annotations

from os import PathLike

import xarray as xr

from xsentinel.blocks.model import Model, find_model
from xsentinel.blocks.predict import Execution, Precision
from xsentinel.errors import XSentinelError
from xsentinel.inference import Sampling, classify, provenance
from xsentinel.seasons import prepare
from xsentinel.version import SOURCE


def map_classes(
    ds: xr.Dataset,
    model: str | PathLike[str] | Model,
    what: str,
    *,
    start: str | None = None,
    probabilities: bool = False,
    samples: int = 0,
    seed: int = 0,
    precision: Precision = "fp32",
    device: str = "cpu",
) -> xr.Dataset:
    """Map the classes of any classifier; what `crops` and `landcover` share, whose parameters these are.

    Parameters
    ----------
    what : str
        What is mapped, for errors.

    Raises
    ------
    TimeError
        If the dates do not fit the model's.
    XSentinelError
        If the model tells no classes apart, or the cube lacks what it takes.
    """
    found = find_model(model, what.replace(" ", ""))
    if not found.card.classes:
        raise XSentinelError(
            f"model {found.card.name} estimates {', '.join(o.name for o in found.card.outputs)} and maps no {what}; give a classifier"
        )
    sampling, execution = Sampling(samples, seed), Execution(device, precision)
    sampling.check()
    maps = classify(prepare(ds, found.card, start), found, sampling, execution, probabilities)
    return xr.Dataset(maps, attrs=SOURCE | provenance(found, sampling, execution))
