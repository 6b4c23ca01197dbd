"""Geometric precision of maps of classes: whether the corners of one map are those of another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from xsentinel.accuracy.legend import Ignore, check_same_grid, flags_of, ignored_codes, map_of, missing, one_map, silent_codes
from xsentinel.cube import pixel_size
from xsentinel.errors import GridError, XSentinelError
from xsentinel.kernels.corners import find_corners, match_points

SCALE = 0.8
"""Of the detector, as its authors have it: what steps along pixels make of a slanting line is smoothed away first."""

ANGLES = (30.0, 120.0)
"""Degrees between which two segments make a sharp corner. Below are both sides of a narrow strip; above, a border that bends."""

DISTANCE, RADIUS = 2.0, 3.0
"""Pixels: between an end and the segment that it meets, and between corners that are the same."""


@dataclass(frozen=True, eq=False)
class CornerPrecision:
    """The corners of a reference that a map has too."""

    reference: pd.DataFrame
    """Corners of the reference: ``x``, ``y`` (units of the CRS), ``angle`` (degrees), ``found`` (bool)."""
    mapped: pd.DataFrame
    """Corners of the map: the same, ``found`` where it is one of the reference."""
    radius: float
    """Within which corners are the same, units of the CRS."""
    area: float
    """Of the pixels where both maps have data, square units of the CRS."""

    @property
    def ratio(self) -> float:
        """Share of the reference's corners that are found again, the score of Stoian et al.; NaN without any."""
        return _share(self.reference)

    @property
    def map_ratio(self) -> float:
        """Share of the map's corners that are in the reference; NaN without any."""
        return _share(self.mapped)

    @property
    def chance(self) -> float:
        """Share that would be found if the map's corners lay anywhere: 1 − exp(−π r² n / area)."""
        return float(-np.expm1(-np.pi * self.radius**2 * len(self.mapped) / self.area))

    def __str__(self) -> str:
        if not len(self.reference):
            return f"the reference has no corners; the map has {len(self.mapped)}"
        return (
            f"{int(self.reference['found'].sum())} of {len(self.reference)} corners found again within {self.radius:g}: "
            f"{100 * self.ratio:.1f} % (by chance {100 * self.chance:.1f} %); the map has {len(self.mapped)}"
        )

    __repr__ = __str__


def _share(table: pd.DataFrame) -> float:
    return float(table["found"].mean()) if len(table) else float("nan")


def corners(
    labels: xr.DataArray | xr.Dataset,
    *,
    distance: float | None = None,
    angles: tuple[float, float] = ANGLES,
    ignore: Ignore = None,
) -> pd.DataFrame:
    """Find the sharp corners between the classes of a map.

    A line segment detector (von Gioi et al. 2012) runs over the map of each class by itself, and the segments of all
    classes are put together. A corner is where the end of one segment lies near another and both make a sharp angle;
    corners as near to one another are one.

    Parameters
    ----------
    labels : xarray.DataArray (y, x), or Dataset with ``class``
        Map of codes; it is loaded.
    distance : float, optional
        Between an end and the segment that it meets, units of the CRS; two pixels by default.
    angles : (float, float)
        Degrees that the angle at a corner lies between. 90 is a right angle, 180 a straight line that goes on.
    ignore : code or name, or a sequence of them, optional
        Without data, as NaN and ``_FillValue`` are; corners beside pixels without data are left out.

    Returns
    -------
    pandas.DataFrame
        ``x``, ``y`` (units of the CRS) and ``angle`` (degrees), float64, from north to south.

    Raises
    ------
    GridError
        If there are other dims than y and x, or coordinates are not regular.
    XSentinelError
        If OpenCV is not installed, or a distance or an angle is out of range.

    Notes
    -----
    The detector takes a segment that is unlikely to be there by chance in an image of this size: the corners of a part
    of a map are not quite those of the whole. Compare maps of one place.

    References
    ----------
    Stoian et al. (2019), Remote Sensing 11, 1986, section 4.3, which gives neither distance nor angle; von Gioi et al.
    (2012), LSD: a line segment detector, Image Processing On Line 2.

    Examples
    --------
    >>> import numpy as np, xarray as xr, xsentinel as xs
    >>> codes = np.ones((60, 60), np.uint8)
    >>> codes[15:45, 20:50] = 2
    >>> place = {"y": 595.0 - 10 * np.arange(60), "x": 5.0 + 10 * np.arange(60)}
    >>> found = xs.accuracy.corners(xr.DataArray(codes, place, ("y", "x")))
    >>> found.round(-1).astype(int).to_numpy().tolist()
    [[200, 450, 90], [500, 450, 90], [200, 150, 90], [500, 150, 90]]
    """
    layer = _layer(labels)
    gone = _silent(layer, ignore)
    return _clear_of(gone, layer, _corners(layer, gone, _length(distance, DISTANCE, layer, "distance"), angles))


def corner_precision(
    labels: xr.DataArray | xr.Dataset,
    reference: xr.DataArray | xr.Dataset,
    *,
    radius: float | None = None,
    distance: float | None = None,
    angles: tuple[float, float] = ANGLES,
    ignore: Ignore = None,
) -> CornerPrecision:
    """Tell which corners of a reference a map has too: whether it keeps the geometry or smooths it.

    The reference may be the truth, or the map of a classifier of pixels: that is noisy, but keeps corners. A corner of
    the map and one of the reference within the radius are the same, one to one, as many as can be: many corners in one
    place, as in a noisy map, find one corner and not all around it.

    Parameters
    ----------
    labels, reference : xarray.DataArray (y, x), or Dataset with ``class``
        Maps of codes on the same pixels, which need not be of the same classes; they are loaded.
    radius : float, optional
        Units of the CRS; three pixels by default.
    distance, angles, ignore
        As `corners`. Corners beside pixels without data in either map are left out.

    Returns
    -------
    CornerPrecision

    Raises
    ------
    GridError
        If the maps are not on the same pixels.
    XSentinelError
        As `corners`.

    References
    ----------
    Stoian et al. (2019), Remote Sensing 11, 1986, sections 4.3 and 5.4.

    Examples
    --------
    >>> import xsentinel as xs
    >>> truth = xs.simulate.landscape((96, 96), ["2018-06-01"], seed=1).truth["class"]
    >>> smooth = truth.s2.smooth(size=5)
    >>> [round(xs.accuracy.corner_precision(m, truth).ratio, 1) for m in (truth, smooth)]
    [1.0, 0.5]
    """
    mapped, truth = _layer(labels), _layer(reference)
    truth = check_same_grid(mapped, truth)
    gone = [_silent(layer, ignore) for layer in (mapped, truth)]
    nowhere, length = gone[0] | gone[1], _length(distance, DISTANCE, mapped, "distance")
    tables = [_clear_of(nowhere, m, _corners(m, g, length, angles)) for m, g in zip((mapped, truth), gone, strict=True)]
    reach = _length(radius, RADIUS, mapped, "radius")
    pairs = match_points(tables[1][["x", "y"]].to_numpy(), tables[0][["x", "y"]].to_numpy(), reach)
    found = np.isin(np.arange(len(tables[0])), pairs)
    area = float((~nowhere).sum()) * abs(np.prod(pixel_size(mapped)))
    return CornerPrecision(tables[1].assign(found=pairs >= 0), tables[0].assign(found=found), reach, float(area))


def _layer(labels: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Give a map (y, x), loaded."""
    layer = one_map(map_of(labels))
    if set(layer.dims) != {"y", "x"}:
        raise GridError(f"{layer.name} has dims {', '.join(map(str, layer.dims))}; corners are of one map (y, x): select a date")
    return layer.transpose("y", "x").compute()


def _silent(layer: xr.DataArray, ignore: Ignore) -> npt.NDArray[np.bool_]:
    return missing(layer.values, silent_codes(layer, ignored_codes(ignore, {**flags_of(layer)})))


def _length(given: float | None, pixels: float, layer: xr.DataArray, name: str) -> float:
    """Give a length in units of the CRS."""
    length = pixels * max(abs(step) for step in pixel_size(layer)) if given is None else float(given)
    if not 0 < length < np.inf:
        raise XSentinelError(f"{name} is {given!r}; give a length above 0 in units of the CRS, such as 30 for 30 m")
    return length


def _corners(layer: xr.DataArray, gone: npt.NDArray[np.bool_], distance: float, angles: tuple[float, float]) -> pd.DataFrame:
    """Find all corners of a map."""
    if not 0 < angles[0] < angles[1] < 180:
        raise XSentinelError(f"angles is {angles}; give two that rise between 0 and 180 degrees, such as {ANGLES}")
    codes = np.unique(layer.values[~gone])
    found = [_segments((layer.values == code) & ~gone) for code in codes]
    segments = np.concatenate([np.empty((0, 4)), *found])
    for axis, dim in enumerate(("x", "y")):
        start, step = float(layer[dim].values[0]), pixel_size(layer)[1 - axis]
        segments[:, axis::2] = start + step * segments[:, axis::2]
    return pd.DataFrame(find_corners(segments, distance, angles), columns=["x", "y", "angle"])


def _segments(inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Detect the straight parts of a class's border: (segment, 4), x, y, x, y in pixels, 0 in the middle of the first."""
    try:
        import cv2
    except ImportError as err:
        raise XSentinelError("corners are found by OpenCV, which is not installed: pip install 'xsentinel[corners]'") from err
    detector: Any = cv2.createLineSegmentDetector(cv2.LSD_REFINE_ADV, SCALE)
    lines = detector.detect(inside.astype(np.uint8) * 255)[0]
    if lines is None:
        return np.empty((0, 4))
    # OpenCV counts from the middle of the first pixel of the smaller image
    segments = np.asarray(lines, np.float64).reshape(-1, 4) + (0.5 / SCALE - 0.5)
    kept: npt.NDArray[np.float64] = segments[(segments[:, :2] != segments[:, 2:]).any(1)]
    return kept


def _clear_of(gone: npt.NDArray[np.bool_], layer: xr.DataArray, table: pd.DataFrame) -> pd.DataFrame:
    """Leave out corners within two pixels of what has no data."""
    from scipy.ndimage import maximum_filter

    if not gone.any():
        return table
    wide = maximum_filter(gone, int(2 * DISTANCE + 1))
    places = [
        np.clip(np.rint((table[d] - float(layer[d].values[0])) / s).astype(int), 0, layer.sizes[d] - 1)
        for d, s in zip(("y", "x"), pixel_size(layer), strict=True)
    ]
    kept: pd.DataFrame = table[~wide[tuple(places)]].reset_index(drop=True)
    return kept
