"""Corners where line segments meet, and the corners of two maps that are the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

WIDER = 1.2
"""Times the distance: how far the nearest of points set every distance along a segment may lie, √1.25 and some more."""


def find_corners(segments: Floats, distance: float, angles: tuple[float, float]) -> Floats:
    """Find where the end of one segment lies near another segment, at a sharp angle.

    Seen from there one ray runs along the first segment to its other end. A second runs along the other segment from
    its end, if one lies as near, else to the side that makes the sharper angle. The corner is where both lines cross.
    Corners nearer to one another than the distance, directly or by others between them, are one: their mean, with the
    sharpest angle.

    Parameters
    ----------
    segments : (segment, 4), float64
        x, y of one end and of the other, of a length above 0.
    distance : float
        In the same unit.
    angles : (float, float)
        Degrees that the angle lies between.

    Returns
    -------
    (corner, 3), float64
        x, y and angle in degrees, from top left on, by y and then x.
    """
    ends, others = near_pairs(segments, distance)
    tips, tails = segments.reshape(-1, 2)[ends], segments.reshape(-1, 2)[ends ^ 1]
    other = segments[others].reshape(-1, 2, 2)
    gaps = np.linalg.norm(other - tips[:, None], axis=2)
    first = np.where(gaps[:, :1] <= gaps[:, 1:], 0, 1)[:, 0]
    rows = np.arange(len(ends))
    along = tails - tips
    across = other[rows, 1 - first] - other[rows, first]
    degrees = _angle(along, across)
    open_end = gaps.min(axis=1, initial=np.inf) <= distance
    degrees = np.where(open_end, degrees, np.minimum(degrees, 180 - degrees))
    sharp = (degrees >= angles[0]) & (degrees <= angles[1])
    places = _crossing(tips[sharp], along[sharp], other[sharp, 0], across[sharp])
    return _merged(places, degrees[sharp], distance)


def near_pairs(segments: Floats, distance: float) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Give pairs of an end and another segment that is no farther: numbers of ends (two a segment) and of segments."""
    from scipy.spatial import cKDTree

    steps = np.ceil(_lengths(segments) / distance).astype(np.intp) + 1
    owner = np.repeat(np.arange(len(segments)), steps)
    place = (np.arange(steps.sum()) - np.repeat(np.cumsum(steps) - steps, steps)) / np.repeat(np.maximum(steps - 1, 1), steps)
    points = segments[owner, :2] + place[:, None] * (segments[owner, 2:] - segments[owner, :2])
    tips = segments.reshape(-1, 2)
    near = cKDTree(tips).sparse_distance_matrix(cKDTree(points), WIDER * distance, output_type="coo_matrix")
    pairs = np.unique(np.column_stack([near.row, owner[near.col]]).reshape(-1, 2), axis=0)
    pairs = pairs[pairs[:, 0] // 2 != pairs[:, 1]]
    close = _gap(tips[pairs[:, 0]], segments[pairs[:, 1]]) <= distance
    return pairs[close, 0], pairs[close, 1]


def _lengths(segments: Floats) -> Floats:
    lengths: Floats = np.linalg.norm(segments[:, 2:] - segments[:, :2], axis=1)
    return lengths


def _gap(points: Floats, segments: Floats) -> Floats:
    """Give the distance of each point from its segment."""
    start, along = segments[:, :2], segments[:, 2:] - segments[:, :2]
    place = ((points - start) * along).sum(1) / (along**2).sum(1)
    gaps: Floats = np.linalg.norm(points - start - np.clip(place, 0, 1)[:, None] * along, axis=1)
    return gaps


def _cross(u: Floats, v: Floats) -> Floats:
    out: Floats = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    return out


def _angle(u: Floats, v: Floats) -> Floats:
    """Give the angle between rays, degrees from 0 to 180."""
    degrees: Floats = np.rad2deg(np.arctan2(np.abs(_cross(u, v)), (u * v).sum(1)))
    return degrees


def _crossing(p: Floats, u: Floats, q: Floats, v: Floats) -> Floats:
    """Give where lines through p along u and through q along v cross."""
    places: Floats = p + (_cross(q - p, v) / _cross(u, v))[:, None] * u
    return places


def _merged(places: Floats, degrees: Floats, distance: float) -> Floats:
    """Make one corner of those that are near one another."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    if not len(places):
        return np.empty((0, 3))
    pairs = cKDTree(places).query_pairs(distance, output_type="ndarray")
    graph = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(places),) * 2)
    n, group = connected_components(graph, directed=False)
    count = np.bincount(group)
    x, y = (np.bincount(group, column) / count for column in places.T)
    sharpest = np.full(n, np.inf)
    np.minimum.at(sharpest, group, degrees)
    out = np.column_stack([x, y, sharpest])
    return out[np.lexsort((x, -y))]


def match_points(first: Floats, second: Floats, radius: float) -> npt.NDArray[np.intp]:
    """Pair points with points within a radius, one to one, as many as can be.

    Returns
    -------
    (first,), intp
        Which of the second each of the first is paired with; −1: none.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching
    from scipy.spatial import cKDTree

    if not len(first) or not len(second):
        return np.full(len(first), -1)
    near: Any = cKDTree(first).query_ball_tree(cKDTree(second), radius)
    ends = np.cumsum([0, *map(len, near)])
    columns = np.array([k for row in near for k in row], np.int32)
    graph = csr_array((np.ones(len(columns)), columns, ends.astype(np.int32)), shape=(len(first), len(second)))
    pairs: npt.NDArray[np.intp] = maximum_bipartite_matching(graph, perm_type="column").astype(np.intp)
    return pairs
