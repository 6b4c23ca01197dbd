"""Comparator networks that bring the middle of n values to known rows.

A comparator ``(i, j)``, i < j, leaves the smaller of two rows in row i and the larger in row j. The same list
of comparators serves every pixel, hence a loop over contiguous pixels holds no branch and vectorises.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt


def sorting_network(n_rows: int) -> list[tuple[int, int]]:
    """List the comparators of Batcher's odd-even merge sort.

    Parameters
    ----------
    n_rows : int
        Number of rows to sort; any number, not only powers of two.

    Returns
    -------
    list of (int, int)
        Comparators in the order to apply them.

    References
    ----------
    K. E. Batcher (1968), Sorting networks and their applications; D. E. Knuth, The Art of Computer
    Programming 3, 5.2.2, algorithm M.

    Examples
    --------
    >>> sorting_network(3)
    [(0, 2), (0, 1), (1, 2)]
    """
    top = 1 << max(n_rows - 1, 0).bit_length() >> 1
    return [pair for p in _halves(top) for pair in _merge_pass(n_rows, top, p)]


def _halves(top: int) -> Iterator[int]:
    """Yield top, top/2, ... 1."""
    while top:
        yield top
        top >>= 1


def _merge_pass(n_rows: int, top: int, p: int) -> Iterator[tuple[int, int]]:
    """Yield the comparators of Knuth's steps M2 to M5 for one p."""
    offset, step, distance = 0, top, p
    while True:
        yield from ((i, i + distance) for i in range(n_rows - distance) if i & p == offset)
        if step == p:
            return
        distance, step, offset = step - p, step >> 1, p


def middle_rows(n_rows: int) -> tuple[int, int]:
    """Return the two rows that hold the median once gaps are balanced.

    Gaps are filled in turn with the greatest and the least value, the first with the greatest. The valid values
    then lie around the middle of all rows: an odd number of them has its median in one row, an even number in
    the mean of both.

    Parameters
    ----------
    n_rows : int
        Number of dates, at least 1.

    Returns
    -------
    low, high : int
        Rows of the lower and the upper median of an even number of valid values.

    Examples
    --------
    >>> middle_rows(6), middle_rows(7)
    ((2, 3), (2, 3))
    """
    return max((n_rows - 1) // 2 - (n_rows % 2), 0), n_rows // 2


@lru_cache(maxsize=512)
def median_network(n_rows: int) -> npt.NDArray[np.int64]:
    """Return the comparators that bring the median of n rows to ``middle_rows``.

    Comparators of which no result reaches the middle are dropped, and those with one useful result say which.

    Parameters
    ----------
    n_rows : int
        Number of dates, at least 1.

    Returns
    -------
    numpy.ndarray (comparator, 3), int64
        Row of the smaller, row of the larger, and which of the two is used later: 1 smaller, 2 larger, 3 both.
    """
    needed = set(middle_rows(n_rows))
    kept: list[tuple[int, int, int]] = []
    for i, j in reversed(sorting_network(n_rows)):
        use = (i in needed) + 2 * (j in needed)
        if use:
            kept.append((i, j, use))
            needed |= {i, j}
    return np.array(kept[::-1], dtype=np.int64).reshape(-1, 3)


@lru_cache(maxsize=64)
def highest_network(n_rows: int, n_highest: int) -> npt.NDArray[np.int64]:
    """Return the comparators that bring the highest of n rows to the last rows, in no order among them.

    Comparators between two rows that both end among the highest, or both below, are dropped from the end on.

    Parameters
    ----------
    n_rows, n_highest : int
        Number of rows, and of those that are wanted.

    Returns
    -------
    numpy.ndarray (comparator, 3), int64
        Row of the smaller, row of the larger, and which of the two is used later: 1 smaller, 2 larger, 3 both.

    Examples
    --------
    >>> highest_network(3, 2)
    array([[0, 2, 3], [0, 1, 2]])
    """
    role = {row: "high" if row >= n_rows - n_highest else "low" for row in range(n_rows)}
    kept: list[tuple[int, int, int]] = []
    for i, j in reversed(sorting_network(n_rows)):
        if role[i] == role[j] != "exact":
            continue
        kept.append((i, j, (role[i] != "low") + 2 * (role[j] != "low")))
        role[i] = role[j] = "exact"
    return np.array(kept[::-1], dtype=np.int64).reshape(-1, 3)
