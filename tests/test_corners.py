"""Corners of maps: geometry against a slow twin, what keeps and what loses corners, what is refused."""

from __future__ import annotations

import math
import sys
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import xsentinel as xs
from tests.test_accuracy import FLAGS, make_map
from tests.test_cli import shell
from xsentinel.accuracy import corner_precision, corners
from xsentinel.errors import GridError, XSentinelError
from xsentinel.kernels.corners import find_corners, match_points

ANGLES = (30.0, 120.0)


def brute_corners(segments: np.ndarray, distance: float) -> list[tuple[float, float, float]]:
    """Every end against every other segment, in plain numbers; corners not yet merged."""
    found = []
    for i, s in enumerate(segments.tolist()):
        for tip, tail in ((s[:2], s[2:]), (s[2:], s[:2])):
            for j, (ax, ay, bx, by) in enumerate(segments.tolist()):
                if i == j:
                    continue
                t = ((tip[0] - ax) * (bx - ax) + (tip[1] - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2)
                t = min(max(t, 0.0), 1.0)
                if math.dist(tip, (ax + t * (bx - ax), ay + t * (by - ay))) > distance:
                    continue
                near, far = ((ax, ay), (bx, by))
                if math.dist(tip, far) < math.dist(tip, near):
                    near, far = far, near
                one = math.atan2(tail[1] - tip[1], tail[0] - tip[0])
                two = math.atan2(far[1] - near[1], far[0] - near[0])
                angle = abs(math.degrees(math.remainder(one - two, math.tau)))
                if math.dist(tip, near) > distance:
                    angle = min(angle, 180 - angle)
                if not ANGLES[0] <= angle <= ANGLES[1]:
                    continue
                matrix = np.array([[math.cos(one), -math.cos(two)], [math.sin(one), -math.sin(two)]])
                along = np.linalg.solve(matrix, np.subtract(near, tip))[0]
                found.append((tip[0] + along * math.cos(one), tip[1] + along * math.sin(one), angle))
    return found


def brute_merge(found: list[tuple[float, float, float]], distance: float) -> np.ndarray:
    """Groups that grow until nothing is near."""
    left, out = list(found), []
    while left:
        group, grown = [left.pop()], True
        while grown:
            near = [p for p in left if any(math.dist(p[:2], q[:2]) <= distance for q in group)]
            left, grown = [p for p in left if p not in near], bool(near)
            group += near
        out.append((*np.mean(group, 0)[:2], min(p[2] for p in group)))
    return np.array(sorted(out, key=lambda p: (-p[1], p[0]))).reshape(-1, 3)


@pytest.mark.parametrize(("n", "side"), [(0, 10.0), (1, 10.0), (2, 3.0), (12, 20.0), (60, 60.0), (200, 150.0)])
def test_corners_of_segments_are_those_of_the_slow_twin(n: int, side: float) -> None:
    rng = np.random.default_rng(n)
    segments = rng.uniform(0, side, (n, 4))
    for distance in (0.5, 2.0):
        wanted = brute_merge(brute_corners(segments, distance), distance)
        np.testing.assert_allclose(find_corners(segments, distance, ANGLES), wanted, atol=1e-9)


@pytest.mark.parametrize("turn", [0.0, 90.0, 33.0])
@pytest.mark.parametrize(("other", "angle"), [
    ((0.5, 0.5, 0.5, 9.0), 90.0),  # an end that lies near
    ((0.5, -6.0, 0.5, 9.0), 90.0),  # on the side of a segment
    ((0.0, 0.0, 9.0, 9.0), 45.0),
    ((0.0, 0.0, -9.0, 9.0), None),  # 135 degrees: a bend
    ((-9.0, 0.5, -0.5, 0.5), None),  # goes on
    ((0.0, 1.0, 9.0, 1.0), None),  # the other side of a strip
    ((0.0, 3.0, 0.0, 9.0), None),  # too far
])  # fmt: skip
def test_what_makes_a_corner(other: tuple[float, ...], angle: float | None, turn: float) -> None:
    c, s = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    segments = (np.array([[1.0, 0.0, 12.0, 0.0], other]).reshape(-1, 2) @ np.array([[c, s], [-s, c]])).reshape(-1, 4)
    found = find_corners(segments, 2.0, ANGLES)
    assert np.allclose(found[:, 2], [] if angle is None else [angle])
    if angle == 90:
        np.testing.assert_allclose(found[0, :2], [0.5 * c, 0.5 * s], atol=1e-12)


POINTS = hnp.arrays(np.float64, st.tuples(st.integers(0, 5), st.just(2)), elements=st.integers(0, 8).map(float))


@given(first=POINTS, second=POINTS, radius=st.sampled_from([0.5, 1.0, 2.5]))
@settings(deadline=None)
def test_pairs_are_near_of_one_kind_and_as_many_as_can_be(first: np.ndarray, second: np.ndarray, radius: float) -> None:
    pairs = match_points(first, second, radius)
    used = pairs[pairs >= 0]
    assert len(set(used.tolist())) == len(used)
    assert all(np.linalg.norm(first[i] - second[k]) <= radius for i, k in enumerate(pairs) if k >= 0)
    near = np.linalg.norm(first[:, None] - second, axis=2) <= radius
    if len(first) > len(second):
        near = near.T
    best = max(sum(near[i, k] for i, k in enumerate(order)) for order in permutations(range(near.shape[1]), near.shape[0]))
    assert len(used) == best


@pytest.fixture(scope="module")
def truth() -> xr.DataArray:
    return xs.simulate.landscape((160, 200), ["2018-06-01"], seed=1, latitude=46.0).truth["class"].compute()


def with_values(layer: xr.DataArray, values: np.ndarray) -> xr.DataArray:
    return layer.copy(data=np.ascontiguousarray(values))


def test_a_map_has_its_own_corners_and_the_names_of_classes_do_not_matter(truth: xr.DataArray) -> None:
    itself = corner_precision(truth, truth)
    assert len(itself.reference) > 80
    assert (itself.ratio, itself.map_ratio) == (1.0, 1.0)
    renamed = xr.where(truth == 0, 0, 200 - truth.astype(np.int32)).assign_coords(truth.coords)
    assert corner_precision(renamed, truth).ratio == 1.0
    lazy = corner_precision(truth.chunk({"y": 37, "x": 50}).to_dataset(name="class"), truth)
    assert lazy.reference.equals(itself.reference)


def test_smooth_maps_lose_corners(truth: xr.DataArray) -> None:
    ratios = [corner_precision(truth.s2.smooth(size=size), truth).ratio for size in (3, 5, 9)]
    assert 1 > ratios[0] > ratios[1] > ratios[2] > 0.1


def test_a_shift_beyond_the_radius_leaves_what_chance_finds(truth: xr.DataArray) -> None:
    near, far = (corner_precision(with_values(truth, np.roll(truth.values, n, 1)), truth) for n in (1, 15))
    assert near.ratio > 0.7
    assert 0.5 * far.chance < far.ratio < 2 * far.chance < 0.35


def test_corners_stay_where_the_map_is_turned(truth: xr.DataArray) -> None:
    flat = xr.DataArray(truth.values, {d: np.arange(n, dtype=float) for d, n in truth.sizes.items()}, ("y", "x"))
    turned = xr.DataArray(np.rot90(truth.values).copy(), {"y": np.arange(200, dtype=float), "x": np.arange(160, dtype=float)}, ("y", "x"))
    first, second = corners(flat), corners(turned)
    moved = np.column_stack([199 - second["y"], second["x"]])
    pairs = match_points(first[["x", "y"]].to_numpy(), moved, 1.5)
    assert (pairs >= 0).mean() > 0.9
    assert abs(len(second) - len(first)) < 0.1 * len(first)


def test_places_are_in_units_of_the_crs_whichever_way_rows_run() -> None:
    codes = np.zeros((60, 70), np.uint8)
    codes[20:40, 15:50] = 3
    layer = make_map(codes)  # 0 is a class: no flags
    found = corners(layer)
    west, east = layer["x"].values[15] - 10, layer["x"].values[49] + 10
    north, south = layer["y"].values[20] + 10, layer["y"].values[39] - 10
    wanted = [[west, north], [east, north], [west, south], [east, south]]
    np.testing.assert_allclose(found[["x", "y"]], wanted, atol=5)
    np.testing.assert_allclose(found["angle"], 90, atol=1)
    upward = corners(layer.isel(y=slice(None, None, -1)))
    np.testing.assert_allclose(upward[["x", "y"]], found[["x", "y"]], atol=5)


def test_where_nothing_is_known_no_corner_is_told() -> None:
    codes = np.ones((80, 90), np.uint8)
    codes[10:40, 10:40] = 2
    whole, holed = make_map(codes, **FLAGS), codes.copy()
    holed[30:70, 30:80] = 0
    part = corner_precision(make_map(holed, **FLAGS), whole)
    assert (len(corners(whole)), len(part.reference), part.ratio, len(part.mapped)) == (4, 3, 1.0, 3)
    assert part.area == pytest.approx((80 * 90 - 40 * 50) * 400)
    # the same pixels ignored by name
    flagged = make_map(np.where(holed == 0, 3, holed).astype(np.uint8), **FLAGS)
    assert len(corner_precision(flagged, whole, ignore=3).reference) == 3
    none = corner_precision(make_map(np.ones((40, 40), np.uint8)), make_map(np.ones((40, 40), np.uint8)))
    assert np.isnan([none.ratio, none.map_ratio]).all()
    assert "no corners" in str(none)


def test_wider_angles_and_radii_find_more(truth: xr.DataArray) -> None:
    assert len(corners(truth, angles=(30, 150))) > len(corners(truth)) > len(corners(truth, angles=(60, 100)))
    mapped = truth.s2.smooth(size=5)
    ratios = [corner_precision(mapped, truth, radius=r).ratio for r in (10, 20, 40)]
    assert ratios[0] < ratios[1] < ratios[2]


@pytest.mark.parametrize(("options", "word"), [
    ({"radius": 0.0}, "radius is 0.0"), ({"distance": -1.0}, "distance is -1.0"), ({"angles": (90, 30)}, "angles is"),
    ({"angles": (0, 30)}, "angles is"), ({"radius": float("nan")}, "radius is nan"),
])  # fmt: skip
def test_what_is_out_of_range_is_refused(truth: xr.DataArray, options: dict[str, object], word: str) -> None:
    with pytest.raises(XSentinelError, match=word):
        corner_precision(truth, truth, **options)  # type: ignore[arg-type]


def test_other_grids_are_refused(truth: xr.DataArray) -> None:
    with pytest.raises(GridError, match="reproject_match"):
        corner_precision(truth, truth.assign_coords(x=truth["x"] + 5))
    with pytest.raises(GridError, match="select a date"):
        corners(truth.expand_dims(time=2))


def test_without_opencv_it_is_told_what_to_install(truth: xr.DataArray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(XSentinelError, match=r"pip install 'xsentinel\[corners\]'"):
        corners(truth)


@pytest.fixture
def ax() -> Axes:
    return Figure().subplots()


def test_corners_are_drawn_where_they_are(truth: xr.DataArray, ax: Axes) -> None:
    smooth, found = truth.s2.smooth(size=5), corner_precision(truth.s2.smooth(size=5), truth)
    smooth.s2.plot.corners(truth, ax=ax)
    kept, lost = (line.get_xydata() for line in ax.get_lines()[-2:])
    at = found.reference[["x", "y"]].to_numpy()
    np.testing.assert_allclose(np.asarray(kept), at[found.reference["found"]])
    np.testing.assert_allclose(np.asarray(lost), at[~found.reference["found"]])
    assert f"{len(kept)} of {len(at)} corners" in ax.get_title(loc="left")
    alone = truth.s2.plot.corners(ax=Figure().subplots())
    assert f"{len(at)} corners" in alone.get_title(loc="left")


def test_the_shell_tells_corners(truth: xr.DataArray, tmp_path: Path) -> None:
    paths = [tmp_path / "map.tif", tmp_path / "truth.tif"]
    maps = truth.s2.smooth(size=5), truth
    for layer, path in zip(maps, paths, strict=True):
        layer.to_dataset(name="class").s2.to_cog(path)
    told = shell("assess", *paths, "--corners").stdout
    assert told.endswith(f"corners: {corner_precision(*maps)}\n")
