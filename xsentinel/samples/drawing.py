"""Priors of classes, and pixels drawn at random from label maps of any size, the same for any chunking."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise, product
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.blocks.reduce import Reduction, reduce_blocks
from xsentinel.classes import LabelClass, classes_of, flag_attrs
from xsentinel.cube import pixel_size
from xsentinel.errors import GridError, XSentinelError
from xsentinel.kernels.hashing import hash_pixels, salted
from xsentinel.samples.rules import Rule, check_any

Array = npt.NDArray[Any]
Columns = dict[str, Array]

BATCH = 64
"""Blocks that are computed before what they gave is merged."""

PLACES = 1_000_000
"""Blocks from west to east that a block number leaves room for."""


def priors(labels: xr.Dataset | xr.DataArray) -> xr.Dataset:
    """Count the pixels of each class, block by block.

    Parameters
    ----------
    labels : xarray.Dataset with ``label``, or xarray.DataArray (y, x)
        uint8 with CF flags.

    Returns
    -------
    xarray.Dataset
        ``pixels`` (class), int64, and ``share`` (class), float64 [1], of all pixels with a label; ``code`` (class), uint8.

    Raises
    ------
    XSentinelError
        If the classes are not known from attributes, or a code occurs that is none of them.

    Examples
    --------
    >>> labels = xr.DataArray(np.array([[1, 1, 0], [2, 1, 0]], np.uint8), dims=("y", "x"))
    >>> labels.attrs = flag_attrs((LabelClass(1, "Maize", "#e69f00"), LabelClass(2, "Rye", "#56b4e9")))
    >>> priors(labels).pixels.values
    array([3, 1])
    """
    label = _label_of(labels)
    classes = classes_of(label.attrs)
    data = label.transpose("y", "x").data
    ((histogram,),) = reduce_blocks([data[None]], [Reduction(_histogram, sum, lambda part: part)])
    strange = np.setdiff1d(np.flatnonzero(histogram), [0, *(c.code for c in classes)])
    if strange.size:
        raise XSentinelError(f"codes {', '.join(map(str, strange))} occur in the labels and are in none of their flag_values; use a legend")
    pixels = np.array([histogram[c.code] for c in classes], np.int64)
    out = xr.Dataset(
        {
            "pixels": ("class", pixels, {"long_name": "labelled pixels", "units": "1"}),
            "share": ("class", pixels / max(int(pixels.sum()), 1), {"long_name": "prior probability", "units": "1"}),
        },
        {"class": [c.name for c in classes], "code": ("class", np.array([c.code for c in classes], np.uint8), flag_attrs(classes))},
    )
    return out


def _histogram(block: Array, _: int) -> Array:
    if block.dtype != np.uint8:
        raise XSentinelError(f"labels are {block.dtype}; they are uint8, as rasterise and from_raster give them")
    return np.bincount(block.ravel(), minlength=256)


def _label_of(labels: xr.Dataset | xr.DataArray) -> xr.DataArray:
    if isinstance(labels, xr.DataArray):
        return labels
    if "label" not in labels:
        raise XSentinelError(f"the labels have no variable 'label'; they have {', '.join(map(str, labels.data_vars)) or 'none'}")
    return labels["label"]


def draw(labels: xr.Dataset | xr.DataArray, rule: Rule, *, block: float = 1000.0, seed: int = 0) -> xr.Dataset:
    """Draw pixels of each class at random: those with the least hash of seed and place.

    So a pixel's luck depends on its place on the map alone, not on chunks, order or the size of the map; what is drawn
    by a rule that asks for less is part of what is drawn by one that asks for more. Labels are read twice, block by block.

    Parameters
    ----------
    labels : xarray.Dataset with ``label`` and if wanted ``parcel``, or xarray.DataArray (y, x)
        Of any size; as `rasterise` and `from_raster` give them.
    rule : Proportional, Equal or Stratified
        How many of each class; capped by the pixels that there are.
    block : float, m
        Side of the squares of land, at its multiples, that ``block`` numbers.
    seed : int
        Of what is drawn.

    Returns
    -------
    xarray.Dataset
        ``label`` (sample), uint8 with CF flags; coordinates (sample): ``x``, ``y`` (centre of the pixel), ``block`` (int64) and
        ``parcel`` (int64) if the labels have it. Sorted by block, then from north to south. Attributes say the rule, the seed, and
        which classes had fewer pixels than were wished for (``short_classes``, with what they had of the wish).

    Raises
    ------
    XSentinelError
        As `priors`; or if there is no label at all.
    GridError
        If pixels have no regular coordinates, or no CRS in metres.

    Examples
    --------
    >>> import rioxarray
    >>> from xsentinel import samples
    >>> labels = xr.DataArray(np.ones((50, 50), np.uint8), {"y": 990 - 20.0 * np.arange(50), "x": 10 + 20.0 * np.arange(50)}, ("y", "x"))
    >>> labels = labels.rio.write_crs(32632).assign_attrs(flag_attrs((LabelClass(1, "Maize", "#e69f00"),)))
    >>> table = draw(labels, samples.Equal(5), block=500)
    >>> table.sizes["sample"], sorted(set(table.block.values.tolist()))
    (5, [1, 1000000, 1000001])
    """
    label = _label_of(labels).transpose("y", "x")
    if not {"y", "x"} <= set(label.coords):
        raise GridError("the labels have no coordinates y and x, so samples have no place; labels.assign_coords(y=..., x=...) gives them")
    found = priors(label)
    check_any(found.pixels.values)
    wished = rule.wish(found.pixels.values)
    counts = np.minimum(wished, found.pixels.values)
    classes = classes_of(label.attrs)
    limits = np.zeros(256, np.int64)
    limits[[c.code for c in classes]] = counts
    maps = {"label": label} | (
        {"parcel": labels["parcel"].transpose("y", "x")} if isinstance(labels, xr.Dataset) and "parcel" in labels else {}
    )
    lot = Lot(limits, _ceilings(limits, found), salted(seed, 1))
    drawn = _least(maps, lot)
    if drawn["label"].size < limits.sum():  # once in a thousand million draws
        drawn = _least(maps, replace(lot, ceilings=np.full(256, np.iinfo(np.uint64).max)))
    short = " ".join(f"{c.meaning}:{n}/{w}" for c, n, w in zip(classes, counts, wished, strict=True) if n < w)
    table = _table(drawn, label, classes, block)
    return table.assign_attrs(rule=repr(rule), seed=seed, block_m=float(block), short_classes=short)


@dataclass(frozen=True)
class Lot:
    """What decides whether a pixel is drawn."""

    limits: npt.NDArray[np.int64]
    """Pixels wanted of each code (256)."""
    ceilings: npt.NDArray[np.uint64]
    """Hash of each code (256) that those wanted lie below, all but surely: spares sorting the others."""
    seed: np.uint64
    """Of the hash."""


@dataclass(frozen=True)
class Walk:
    """Numbers of rows and columns on the grid of all multiples of the pixel size: maps that overlap number pixels alike."""

    row: int
    """Of the first pixel."""
    column: int
    """Of the first pixel."""
    down: int
    """To the next row: 1 or −1."""
    across: int
    """To the next column: 1 or −1."""


def walk_of(obj: xr.Dataset | xr.DataArray) -> Walk:
    """Read the numbers of a map's pixels from its coordinates."""
    steps = pixel_size(obj)
    # a thousandth of a pixel more, as pixels whose centres are multiples of their size would fall to either side
    first = (int(np.floor(float(obj[d][0]) / abs(step) + 1e-3)) for d, step in zip(("y", "x"), steps, strict=True))
    return Walk(*first, *(int(np.sign(step)) for step in steps))


def _ceilings(limits: Array, found: xr.Dataset) -> npt.NDArray[np.uint64]:
    """Give the hash below which there are more pixels than wanted, but for six standard deviations."""
    out = np.zeros(256, np.uint64)
    for code, pixels in zip(found.code.values.tolist(), found.pixels.values.tolist(), strict=True):
        n = int(limits[code])
        share = min((n + 6 * n**0.5 + 10) / pixels, 1.0) if pixels else 0.0
        out[code] = min(int(share * 2.0**64), 2**64 - 1)
    return out


def _least(maps: dict[str, xr.DataArray], lot: Lot) -> Columns:
    """Give the pixels of least hash of each class, merged as blocks are done."""
    first = maps["label"]
    walk = walk_of(first)
    if first.chunks is None:
        return _candidates({k: np.asarray(v.data) for k, v in maps.items()}, lot, (0, 0), walk)
    from dask.base import compute
    from dask.delayed import delayed

    sizes = first.chunks
    edges = [list(pairwise(np.concatenate([[0], np.cumsum(s)]).tolist())) for s in sizes]
    blocks = {k: v.chunk(dict(zip(("y", "x"), sizes, strict=True))).data.to_delayed() for k, v in maps.items()}
    task, best = delayed(_candidates), None
    places = list(product(range(len(sizes[0])), range(len(sizes[1]))))
    for some in (places[k : k + BATCH] for k in range(0, len(places), BATCH)):
        tasks = [task({k: b[i, j] for k, b in blocks.items()}, lot, (edges[0][i][0], edges[1][j][0]), walk) for i, j in some]
        best = _merged([*compute(*tasks), *([] if best is None else [best])], lot.limits)
    assert best is not None
    return best


def _candidates(maps: dict[str, Array], lot: Lot, corner: tuple[int, int], walk: Walk) -> Columns:
    """Give those pixels of a block that may be among the least of all."""
    label = maps["label"]
    rows, columns = np.nonzero(lot.limits[label] > 0)
    y, x = rows + corner[0], columns + corner[1]
    luck = hash_pixels(lot.seed, walk.row + walk.down * y, walk.column + walk.across * x)
    near = luck <= lot.ceilings[label[rows, columns]]
    rows, columns = rows[near], columns[near]
    found = {"luck": luck[near], "row": y[near], "column": x[near], "label": label[rows, columns]}
    return _merged([found | ({"parcel": maps["parcel"][rows, columns].astype(np.int64)} if "parcel" in maps else {})], lot.limits)


def _merged(parts: list[Columns], limits: Array) -> Columns:
    """Join parts and keep the least of each class."""
    joined = {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
    order = np.lexsort((joined["column"], joined["row"], joined["luck"], joined["label"]))
    sorted_labels = joined["label"][order]
    starts = np.searchsorted(sorted_labels, np.arange(256))
    keep = order[np.arange(order.size) - starts[sorted_labels] < limits[sorted_labels]]
    return {k: v[keep] for k, v in joined.items()}


def _table(drawn: Columns, label: xr.DataArray, classes: tuple[LabelClass, ...], block: float) -> xr.Dataset:
    """Label the columns of what was drawn."""
    y, x = label["y"].values[drawn["row"]], label["x"].values[drawn["column"]]
    squares = block_numbers(label, y, x, block)
    order = np.lexsort((drawn["column"], drawn["row"], squares))
    coords: dict[str, Any] = {
        "x": ("sample", x[order], dict(label["x"].attrs)),
        "y": ("sample", y[order], dict(label["y"].attrs)),
        "block": ("sample", squares[order], {"long_name": "square of land"}),
    }
    if "parcel" in drawn:
        coords["parcel"] = ("sample", drawn["parcel"][order], {"long_name": "parcel, 0 where there is none"})
    table = xr.Dataset({"label": ("sample", drawn["label"][order], flag_attrs(classes))}, coords)
    return table.assign_coords({"spatial_ref": label["spatial_ref"]} if "spatial_ref" in label.coords else {})


def block_numbers(grid: xr.DataArray | xr.Dataset, y: Array, x: Array, block: float) -> npt.NDArray[np.int64]:
    """Give the number of the square of land that each place lies in: a million times its row from south, and its column.

    Raises
    ------
    GridError
        If the CRS is not in metres, or squares are too small to be numbered.
    """
    import rioxarray  # noqa: F401  (registers .rio)

    crs = grid.rio.crs
    if crs is None or crs.is_geographic or crs.linear_units not in ("metre", "meter", "m"):
        raise GridError(
            f"blocks are in metres, and the CRS {'is unknown' if crs is None else f'{crs.to_string():.40} is not'}; "
            f"draw samples on the grid of a cube in metres, such as one in its UTM zone"
        )
    if not block > 0:
        raise GridError(f"block is {block} m; give more than 0")
    down, across = np.floor(y / block).astype(np.int64), np.floor(x / block).astype(np.int64)
    if np.abs(across).max(initial=0) >= PLACES // 2:
        raise GridError(f"blocks of {block:g} m are too small to be numbered; give {np.abs(x).max() / PLACES * 2:.0f} m or more")
    return down * PLACES + across
