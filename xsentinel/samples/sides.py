"""Label maps split by whole polygons: which pixels are learnt from and which score, lazily."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.blocks.pairs import count_maps
from xsentinel.errors import GridError, XSentinelError
from xsentinel.kernels.hashing import hash_many, hash_pixels, salted
from xsentinel.samples.drawing import block_numbers
from xsentinel.samples.splits import balance, check_shares

Array = npt.NDArray[Any]

STOIAN = {"train": 0.67, "test": 0.33}
"""Stoian et al. (2019), section 2.3."""


def split_polygons(
    labels: xr.Dataset | xr.DataArray, shares: Mapping[str, float] = STOIAN, *, block: float = 1000.0, seed: int = 0
) -> xr.Dataset:
    """Put each polygon of a label map on one side, the shares kept to in each class.

    Pixels of one polygon are alike, so a score by pixels that lie in polygons learnt from is too good (Stoian et al. 2019,
    section 2.3). Shares are of labelled pixels: polygons are dealt from large to small, those of about one size in an order
    drawn, each to the side that brings its classes nearest to their shares. Split tiles one by one, and shares hold in each.
    The labels are read once, block by block; the result is lazy if they are.

    Parameters
    ----------
    labels : xarray.Dataset with ``label`` and if there are any ``parcel`` (y, x), or xarray.DataArray of labels
        As `rasterise` and `from_raster` give them. Land in no parcel (0) falls to sides by squares.
    shares : mapping from name to share of labelled pixels [1]
        Sides.
    block : float, m
        Side of the squares of land that is in no parcel, at multiples of it.
    seed : int
        Of the order among polygons of about one size.

    Returns
    -------
    xarray.Dataset
        The labels, with ``side`` (y, x), uint8 with CF flags: 1 for the first side and so on, 0 without label. Its attribute
        ``missing`` says which classes a side lacks, as they have too few polygons.

    Raises
    ------
    XSentinelError
        If shares are not positive or do not add up to 1, a side has no plain name, or there are fewer polygons than sides.
    GridError
        If there is land in no parcel and the CRS is not in metres.

    Examples
    --------
    >>> label = xr.DataArray(np.array([[1, 1, 0, 2], [1, 1, 2, 2]], np.uint8), dims=("y", "x"))
    >>> parcel = xr.DataArray(np.array([[5, 5, 0, 8], [6, 6, 7, 8]]), dims=("y", "x"))
    >>> split_polygons(xr.Dataset({"label": label, "parcel": parcel}), {"train": 0.6, "test": 0.4}).side.values
    array([[1, 1, 0, 1],
           [2, 2, 2, 1]], dtype=uint8)
    """
    wanted = check_shares(shares)
    odd = [name for name in shares if not re.fullmatch(r"\w+", name)]
    if odd:
        raise XSentinelError(f"sides are named {', '.join(map(repr, odd))}; give each a name of one word")
    label = labels["label"] if isinstance(labels, xr.Dataset) else labels.rename("label")
    pieces = _pieces(label, labels["parcel"] if isinstance(labels, xr.Dataset) and "parcel" in labels else None, block)
    keys, counts, codes = _table(pieces, label)
    if len(keys) < len(wanted):
        raise XSentinelError(
            f"the labels are of {len(keys)} polygons (or squares of {block:g} m in no parcel), and {len(wanted)} sides are asked for; "
            f"give labels of more polygons, or fewer sides"
        )
    sides = balance(counts, wanted, _order(keys, counts, seed)).astype(np.uint8) + np.uint8(1)
    attrs = {
        "long_name": "side of a split by polygons",
        "flag_values": np.arange(1, len(wanted) + 1, dtype=np.uint8),
        "flag_meanings": " ".join(shares),
        "seed": seed,
        "missing": _missing(sides, counts, codes, list(shares)),
    }
    side = xr.apply_ufunc(
        partial(_look_up, keys=keys, sides=sides), pieces, dask="parallelized", output_dtypes=[np.uint8], keep_attrs=False
    )
    return (labels if isinstance(labels, xr.Dataset) else label.to_dataset()).assign(side=side.assign_attrs(attrs))


def labels_on(labels: xr.Dataset, side: str) -> xr.DataArray:
    """Give the labels of one side of a split, 0 elsewhere.

    Parameters
    ----------
    labels : xarray.Dataset
        With ``label`` and ``side`` (y, x), as `split_polygons` gives them.
    side : str

    Returns
    -------
    xarray.DataArray (y, x)
        uint8, the attributes of ``label``; lazy if the labels are.

    Raises
    ------
    XSentinelError
        If they are not split, or have no such side.

    Examples
    --------
    >>> label = xr.DataArray(np.array([[1, 1, 2, 2]] * 2, np.uint8), {"y": [0, 1]}, ("y", "x"))
    >>> split = split_polygons(xr.Dataset({"label": label, "parcel": label.y + 0 * label + 5}), {"train": 0.5, "test": 0.5})
    >>> int((labels_on(split, "test") > 0).sum())
    4
    """
    if "side" not in labels:
        raise XSentinelError("the labels have no variable 'side'; xsentinel.samples.split_polygons makes it")
    names = sides_of(labels)
    if side not in names:
        raise XSentinelError(f"the labels have no side {side!r}; they have {', '.join(names)}")
    found: xr.DataArray = labels["label"] * (labels["side"] == names[side]).astype(np.uint8)
    return found.rename("label").assign_attrs(labels["label"].attrs)


def sides_of(labels: xr.Dataset) -> dict[str, int]:
    """Give the code of each side by name, none if the labels are not split."""
    attrs = labels["side"].attrs if "side" in labels else {}
    codes = np.atleast_1d(attrs.get("flag_values", [])).tolist()
    return dict(zip(str(attrs.get("flag_meanings", "")).split(), map(int, codes), strict=True))


def _pieces(label: xr.DataArray, parcel: xr.DataArray | None, block: float) -> xr.DataArray:
    """Give what falls to a side as a whole, (y, x), int64: a hash of the parcel or the square of land; 0 without label."""
    lost = ""
    try:
        down, across = (xr.DataArray(_squares(label, d, block), dims=d) for d in ("y", "x"))
    except GridError as err:
        if parcel is None:
            raise
        down = across = xr.DataArray(np.int64(0))
        lost = str(err)
    other = np.int64(0) if parcel is None else parcel.reset_coords(drop=True).astype(np.int64)
    found: xr.DataArray = xr.apply_ufunc(
        partial(_hashed, lost=lost), label, other, down, across, dask="parallelized", output_dtypes=[np.int64], keep_attrs=False
    )
    return found.transpose("y", "x")


def _squares(label: xr.DataArray, dim: str, block: float) -> npt.NDArray[np.int64]:
    """Give the numbers of squares along one dimension."""
    if dim not in label.coords:
        raise GridError(f"the labels have no coordinate {dim}, so land in no parcel has no place; labels.assign_coords({dim}=...) gives it")
    along = label[dim].values.astype(np.float64)
    y, x = (along, np.zeros(1)) if dim == "y" else (np.zeros(1), along)
    return block_numbers(label, y, x, block)


def _hashed(label: Array, parcel: Array, down: Array, across: Array, lost: str) -> npt.NDArray[np.int64]:
    """Hash parcels, and squares where there is none; ``lost`` says why there are no squares."""
    shape = np.broadcast_shapes(label.shape, parcel.shape, down.shape, across.shape)
    label, parcel, down, across = (np.broadcast_to(a, shape).flatten() for a in (label, parcel, down, across))
    own, there = parcel != 0, label > 0
    if lost and (there & ~own).any():
        raise GridError(f"{int((there & ~own).sum())} labelled pixels lie in no parcel, and {lost}")
    keys = hash_pixels(salted(0, 11), np.where(own, parcel, down), np.where(own, 0, across))
    squares = hash_pixels(salted(0, 12), down, across)
    return np.where(there, np.where(own, keys, squares).view(np.int64), 0).reshape(shape)


def _table(pieces: xr.DataArray, label: xr.DataArray) -> tuple[Array, Array, Array]:
    """Count the pixels of each class in each piece: keys (piece,), counts (piece, class) and codes (class,)."""
    found = count_maps(pieces.data, label.transpose("y", "x").data)
    there = found.second > 0
    if not there.any():
        raise XSentinelError("there is no label at all; do the polygons lie on the cube, and are their classes in the legend?")
    keys, rows = np.unique(found.first[there], return_inverse=True)
    codes, columns = np.unique(found.second[there], return_inverse=True)
    counts = np.zeros((keys.size, codes.size), np.int64)
    np.add.at(counts, (rows, columns), found.counts[there])
    return keys, counts, codes


def _order(keys: Array, counts: Array, seed: int) -> Array:
    """Deal pieces from large to small, those of one power of two in the order of their hashes."""
    luck = hash_many(salted(seed, 13), keys, 0)
    sizes = np.floor(np.log2((counts / counts.sum(0)).max(1)))
    return np.lexsort((luck, -sizes))


def _missing(sides: Array, counts: Array, codes: Array, names: list[str]) -> str:
    """Say which classes a side lacks."""
    lacking = {name: codes[counts[sides == k].sum(0) == 0].tolist() for k, name in enumerate(names, 1)}
    return "; ".join(f"{name}: {' '.join(map(str, some))}" for name, some in lacking.items() if some)


def _look_up(pieces: Array, keys: Array, sides: Array) -> npt.NDArray[np.uint8]:
    """Give the side of each piece, 0 of none."""
    places = np.searchsorted(keys, pieces).clip(max=keys.size - 1)
    found: npt.NDArray[np.uint8] = np.where(keys[places] == pieces, sides[places], 0).astype(np.uint8)
    return found
