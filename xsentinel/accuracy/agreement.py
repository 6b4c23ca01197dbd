"""How well two series of parcels agree, a row for each kind of parcel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from xsentinel.errors import GridError, XSentinelError
from xsentinel.kernels.scores import agreement as scored

SCORES = ("correlation", "mse", "r2", "distance")


def agreement(reference: xr.DataArray, estimate: xr.DataArray, *, by: str | None = None, by_date: bool = True) -> pd.DataFrame:
    r"""Score an estimate against a reference, parcel by parcel, and average over parcels of a kind (Albughdadi et al. 2020, table 9).

    Of each parcel's dates: Pearson's r, the mean squared difference, :math:`R^2 = 1 - \sum (p-y)^2 / \sum (y-\bar y)^2` and the mean
    distance :math:`|p-y|`; a parcel with fewer than two dates in both has none and is left out of the means.

    Parameters
    ----------
    reference, estimate : xarray.DataArray (parcel, time)
        Such as ``sl2p.s2.parcels(fields)["mean"]`` and the same of a network's map.
    by : str, optional
        Coordinate of parcels that names their kind, such as "crop"; all are of one kind if not given.
    by_date : bool
        Add the mean distance at each date.

    Returns
    -------
    pandas.DataFrame
        A row for each kind, in order, and "all" last: ``parcels`` (number), ``correlation``, ``mse``, ``r2``, ``distance`` (in the
        units of the values), and by choice a column for each date.

    Raises
    ------
    GridError
        If the two are not of the same parcels and dates.
    XSentinelError
        If there is no such coordinate.

    References
    ----------
    Albughdadi et al. (2020), hal-02551143.

    Examples
    --------
    >>> times = pd.to_datetime(["2020-05-01", "2020-06-01", "2020-07-01"])
    >>> coords = {"parcel": [1, 2], "time": times, "crop": ("parcel", ["maize", "rye"])}
    >>> truth = xr.DataArray([[1.0, 2, 3], [3, 2, 1]], coords, ("parcel", "time"))
    >>> agreement(truth, truth + [0, 0, 0.5], by="crop", by_date=False).round(2)
           parcels  correlation   mse    r2  distance
    maize        1         0.99  0.08  0.88      0.17
    rye          1         0.98  0.08  0.88      0.17
    all          2         0.99  0.08  0.88      0.17
    """
    first, second = _alike(reference, estimate)
    if by is not None and by not in reference.coords:
        raise XSentinelError(f"parcels have no {by!r}; they have {', '.join(map(str, reference.coords))}")
    rows = [scored(y, p) for y, p in zip(first, second, strict=True)]
    table = pd.DataFrame([{name: getattr(row, name) for name in SCORES} for row in rows])
    if by_date and "time" in reference.coords:
        table[[str(t)[:10] for t in reference["time"].values]] = np.abs(second - first)
    kinds: Any = np.full(len(table), "all") if by is None else reference[by].values
    means = table.groupby(kinds, sort=True).mean()
    means.insert(0, "parcels", table.groupby(kinds, sort=True).size())
    total = pd.DataFrame([{"parcels": len(table)} | table.mean().to_dict()], index=["all"])
    return total if by is None else pd.concat([means, total])


def _alike(reference: xr.DataArray, estimate: xr.DataArray) -> tuple[Any, Any]:
    """Give both as (parcel, time), checked to be of the same."""
    for data in (reference, estimate):
        if set(data.dims) != {"parcel", "time"}:
            raise GridError(
                f"{data.name} has dims {', '.join(map(str, data.dims))}; agreement takes (parcel, time), as .s2.parcels() gives"
            )
    other = [d for d in ("parcel", "time") if not np.array_equal(reference[d].values, estimate[d].values)]
    if other:
        raise GridError(f"reference and estimate are not of the same {' and '.join(other)}; give both the same polygons and dates")
    first, second = (d.transpose("parcel", "time").values.astype(np.float64) for d in (reference, estimate))
    return first, second
