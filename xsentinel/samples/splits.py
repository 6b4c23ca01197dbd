"""Samples to train on and to test on, by whole blocks of land or whole parcels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.errors import XSentinelError
from xsentinel.kernels.hashing import hash_many, salted
from xsentinel.samples.drawing import block_numbers

By = Literal["block", "parcel", "sample"]
Array = npt.NDArray[Any]
THIRDS = {"train": 0.6, "validation": 0.2, "test": 0.2}


def split(
    samples: xr.Dataset,
    shares: Mapping[str, float] = THIRDS,
    *,
    by: By = "block",
    block: float | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Put each sample on one side: whole blocks of land, or whole parcels, fall to one.

    Groups are taken in the order of how much of a class they hold, and each goes where it brings the classes nearest to the
    shares asked for; then groups move so that each class is on each side, where it has groups enough.

    Parameters
    ----------
    samples : xarray.Dataset
        With ``label`` (sample) and, as `by` says, ``block``, ``parcel`` or neither; of `draw`, `extract` or `from_table`.
    shares : mapping from name to share of samples [1]
        Sides.
    by : {"block", "parcel", "sample"}
        What falls to one side as a whole. Samples in no parcel (0) are each by themselves.
    block : float, m, optional
        Side of the blocks, if others than those that the samples have.
    seed : int
        Of the order among equals.

    Returns
    -------
    xarray.Dataset
        The samples, with a coordinate ``split`` (sample), text.

    Raises
    ------
    XSentinelError
        If shares are not positive or do not add up to 1, what `by` names is not there, or there are fewer groups than sides.

    Examples
    --------
    >>> table = xr.Dataset({"label": ("sample", [1, 1, 1, 2, 2])}, {"block": ("sample", [7, 7, 8, 7, 8])})
    >>> split(table, shares={"train": 0.6, "test": 0.4}).split.values.tolist()
    ['train', 'train', 'test', 'train', 'test']
    """
    sides = _sides(samples, by, check_shares(shares), block, seed)
    text = np.array(list(shares))[sides]
    return samples.assign_coords(split=("sample", text, {"long_name": f"side of a split by {by}, seed {seed}"}))


def check_shares(shares: Mapping[str, float]) -> Array:
    """Give shares as an array.

    Raises
    ------
    XSentinelError
        If they are not positive or do not add up to 1.
    """
    wanted = np.array(list(shares.values()), np.float64)
    if not len(wanted) or (wanted <= 0).any() or abs(wanted.sum() - 1) > 1e-6:
        raise XSentinelError(f"shares are {dict(shares)}; give positive ones that add up to 1")
    return wanted


def folds(samples: xr.Dataset, n: int, *, by: By = "block", block: float | None = None, seed: int = 0) -> xr.Dataset:
    """Deal samples into n folds for cross-validation, as `split` with n equal shares.

    Parameters
    ----------
    samples, by, block, seed
        As for `split`.
    n : int
        Folds, 2 or more.

    Returns
    -------
    xarray.Dataset
        The samples, with a coordinate ``fold`` (sample), int16, 0 … n − 1.

    Raises
    ------
    XSentinelError
        As `split`.

    Examples
    --------
    >>> table = xr.Dataset({"label": ("sample", [1, 1, 2, 2])})
    >>> sorted(folds(table, 2, by="sample").fold.values.tolist())
    [0, 0, 1, 1]
    """
    if n < 2:
        raise XSentinelError(f"{n} folds; give 2 or more")
    sides = _sides(samples, by, np.full(n, 1 / n), block, seed)
    return samples.assign_coords(fold=("sample", sides.astype(np.int16), {"long_name": f"fold by {by}, seed {seed}"}))


def _sides(samples: xr.Dataset, by: str, shares: Array, block: float | None, seed: int) -> Array:
    """Give the side of each sample (n)."""
    labels = np.unique(samples["label"].values, return_inverse=True)[1]
    if by == "sample":
        return _deal(labels, shares, seed)
    names, members = np.unique(_groups(samples, by, block), axis=0, return_inverse=True)
    if len(names) < len(shares):
        raise XSentinelError(
            f"the samples are of {len(names)} {by}s, and {len(shares)} sides are asked for; "
            f"give fewer sides, smaller blocks (block=...), or by='sample', which leaves neighbours on different sides"
        )
    counts = np.zeros((len(names), labels.max() + 1), np.int64)
    np.add.at(counts, (members.ravel(), labels), 1)
    luck = hash_many(salted(seed, 2), np.arange(len(names)), 0)
    weightiest = (counts / counts.sum(0)).max(1).round(12)
    return balance(counts, shares, np.lexsort((luck, -weightiest)))[members.ravel()]


def balance(counts: Array, shares: Array, order: Array) -> Array:
    """Give each group a side, so that classes come near their shares and each class is on each side that it can be on.

    Parameters
    ----------
    counts : (group, class), int64
    shares : (side,), float64
    order : (group,), int
        In which groups are dealt: those first that weigh most.
    """
    return _spread(_assigned(counts, shares, order), counts, len(shares))


def _groups(samples: xr.Dataset, by: str, block: float | None) -> Array:
    """Give what each sample falls with, (n, 1 … 3) integers; tiles apart from one another."""
    if by not in get_args(By):
        raise XSentinelError(f"by is {by!r}; give 'block', 'parcel' or 'sample'")
    if by == "block" and block is not None:
        own = block_numbers(samples, samples["y"].values, samples["x"].values, block)
    elif by not in samples:
        there = ", ".join(map(str, samples.coords)) or "none"
        raise XSentinelError(f"the samples have no {by!r} to split by; their coordinates are {there}: give another `by`")
    else:
        own = np.unique(samples[by].values, return_inverse=True)[1] if samples[by].dtype.kind not in "iu" else samples[by].values
    columns = [own.astype(np.int64)]
    if by == "parcel" and samples["parcel"].dtype.kind in "iu":
        columns.append(np.where(columns[0] == 0, np.arange(own.size), -1))
    if "tile" in samples:
        columns.append(np.unique(samples["tile"].values, return_inverse=True)[1])
    return np.stack(columns, 1)


def _deal(labels: Array, shares: Array, seed: int) -> Array:
    """Deal the samples of each class by their shares, in the order of their hashes."""
    luck = hash_many(salted(seed, 3), np.arange(labels.size), 0)
    order = np.lexsort((luck, labels))
    ends = np.cumsum(shares)
    sides = np.empty(labels.size, np.int64)
    for members in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        cuts = np.round(ends * members.size).astype(int)[:-1]
        for side, part in enumerate(np.split(members, cuts)):
            sides[part] = side
    return sides


def _assigned(counts: Array, shares: Array, order: Array) -> Array:
    """Give each group in turn the side that brings the classes nearest to their shares.

    Least squares of (what a side has of a class − what it should have) / all there is of the class.
    """
    parts = counts / counts.sum(0)
    gone = np.zeros((len(shares), counts.shape[1]))
    sides = np.empty(len(counts), np.int64)
    for group in order:
        part = parts[group]
        excess = (part * (2 * (gone - shares[:, None]) + part)).sum(1)
        # between sides that are as good, the one that lacks most
        sides[group] = side = np.lexsort((gone.sum(1) - shares * counts.shape[1], excess.round(12)))[0]
        gone[side] += part
    return sides


def _spread(sides: Array, counts: Array, n_sides: int) -> Array:
    """Move groups so that each class is on each side, where that takes it from no other; the smallest that will do."""
    there = counts > 0
    held = np.stack([there[sides == side].sum(0) for side in range(n_sides)])
    sizes = counts.sum(1)
    for label in np.argsort(there.sum(0), kind="stable"):
        for side in np.flatnonzero(held[:, label] == 0):
            able = there[:, label] & (held[sides] - there >= np.minimum(held[sides], 1)).all(1)
            if able.any():
                group = np.flatnonzero(able)[np.argmin(sizes[able])]
                held[sides[group]] -= there[group]
                held[side] += there[group]
                sides[group] = side
    return sides
