"""How far observations lie from what their past made likely."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.cube import grid_mapping_name, parse_dates
from xsentinel.errors import TimeError
from xsentinel.forecasting import Source, carry_on, check_doubt, chosen_bands, decoded, find_method, sort_dates
from xsentinel.version import CONVENTIONS


def anomaly(
    ds: xr.Dataset,
    model: Source = "climatology",
    *,
    since: object,
    freq: str | None = None,
    device: str = "cpu",
    memory_limit: int | str | None = None,
) -> xr.Dataset:
    r"""Score how far observations lie from what their past made likely.

    .. math:: a_b = (y_b - \hat y_b) / \sigma_b, \qquad a = \sqrt{\textstyle\frac 1 L \sum_b a_b^2}

    with the forecast :math:`\hat y` and its standard deviation from what was seen before ``since``, between its dates
    on a line. About 1 where nothing happens; 3 and more says that something did, or that a cloud was missed.

    Parameters
    ----------
    ds : xarray.Dataset
        A cube with clouds masked, as `forecast` takes it, dates before and after ``since``.
    model : str, path or Model
        As `forecast`.
    since : date
        First date that is scored.
    freq, device, memory_limit
        As `forecast`.

    Returns
    -------
    xarray.Dataset
        ``<band>_score`` and ``score`` (float32, in standard deviations) at the dates of the cube from ``since`` on.

    Raises
    ------
    TimeError
        If there are no dates before or after; else as `forecast`.

    Examples
    --------
    >>> import xsentinel as xs
    >>> cube = xs.sample("romania").s2.mask_clouds()
    >>> scores = cube.s2.anomaly("climatology", since="2019-06-01")
    >>> scores.score.dims
    ('time', 'y', 'x')
    """
    method = find_method(model, freq, device)
    ds, first = sort_dates(ds), np.datetime64(parse_dates([since])[0], "ns")
    after = ds["time"].values >= first
    if after.all() or after.sum() == 0 or (~after).sum() < 2:
        raise TimeError(f"{int((~after).sum())} dates lie before {since!s:.10} and {int(after.sum())} from it on; two and one are needed")
    check_doubt(method)
    past, seen = (chosen_bands(ds.isel(time=chosen), method) for chosen in (~after, after))
    wait = (seen[0]["time"].values - past[0]["time"].values[-1]) / method.step.to_timedelta64()
    future, _ = carry_on(past, method, max(int(np.ceil(wait[-1])), 1), ("std",), memory_limit=memory_limit)
    scores = {f"{b.name}_score": _score(b, future[str(b.name)], future[f"{b.name}_std"], wait) for b in seen}
    scores["score"] = np.sqrt(sum(s**2 for s in scores.values()) / np.float32(len(scores)))  # type: ignore[assignment]
    mapping = grid_mapping_name(ds)
    for name, score in scores.items():
        long_name = "observed minus forecast in standard deviations" if name != "score" else "root mean square of the scores of all bands"
        score.attrs = {"long_name": long_name, "units": "1", **method.said} | ({"grid_mapping": mapping} if mapping else {})
    return xr.Dataset(scores, attrs=CONVENTIONS | ds.attrs | method.said)


def _score(band: xr.DataArray, mean: xr.DataArray, std: xr.DataArray, wait: npt.NDArray[np.float64]) -> xr.DataArray:
    """Score one band at its dates, so many steps after the past each; before the first step that counts."""
    expected, doubt = _between(mean, wait), _between(std, wait)
    seen = decoded(band)
    score: xr.DataArray = seen.copy(data=((seen.variable - expected) / doubt).data)
    return score.astype(np.float32)


def _between(steps: xr.DataArray, wait: npt.NDArray[np.float64]) -> xr.Variable:
    """Interpolate on a line between steps 1, 2 and so on."""
    at = np.clip(wait - 1, 0, steps.sizes["time"] - 1)
    before = np.floor(at).astype(int)
    share = xr.Variable("time", (at - before).astype(np.float32))
    after = np.minimum(before + 1, steps.sizes["time"] - 1)
    return steps.variable.isel(time=before) * (1 - share) + steps.variable.isel(time=after) * share
