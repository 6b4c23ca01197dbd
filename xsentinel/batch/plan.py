"""How a job is cut into blocks: sizes from the chunks of the store, the halo and the memory limit. Ints only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import lcm, prod

from xsentinel.errors import GridError
from xsentinel.io.zarr_layout import LAYOUTS, Cut, Layout

SHARE = 0.6
"""Of the memory limit that the blocks in work take by estimate; what the estimate misses needs the rest."""

CHUNK = Cut(1, 512, 512)
"""Chunks of the store where no layout is asked for."""

LEAST_CHUNK = 64
"""Pixels along a side below which chunks are not cut further."""

LARGEST_SIDE = 4096
"""Pixels along a side beyond which a block gains nothing."""

BLOCKS_A_WORKER = 4
"""Blocks at the least, where the scene is large enough, so that workers end at about the same time."""


@dataclass(frozen=True)
class Need:
    """What a block needs."""

    pixel_bytes: int
    """Bytes in memory a pixel of the window."""
    halo: int = 0
    stride: int = 1
    chunks: tuple[int, int] = (1, 1)
    """Chunks of a lazy result along y and x; blocks are multiples of them where they can be."""


@dataclass(frozen=True)
class Blocks:
    """A regular grid of blocks over y and x."""

    shape: tuple[int, int]
    """Pixels of the scene."""
    side: tuple[int, int]
    """Pixels of a block."""
    pixels: int
    """Pixels of a chunk of the store along y and x."""
    shard: int
    """Pixels of a shard; that of a chunk if there are no shards."""

    @property
    def counts(self) -> tuple[int, int]:
        """Blocks along y and x."""
        return -(-self.shape[0] // self.side[0]), -(-self.shape[1] // self.side[1])

    def __len__(self) -> int:
        return prod(self.counts)

    @property
    def told(self) -> str:
        """Give the sizes that a ledger keeps: of a block, chunk and shard."""
        return f"{self.side[0]} {self.pixels} {self.shard}"

    @classmethod
    def of(cls, shape: tuple[int, int], told: str) -> Blocks:
        """Read what ``told`` gave.

        Examples
        --------
        >>> Blocks.of((100, 90), Blocks((100, 90), (64, 64), 32, 64).told)
        Blocks(shape=(100, 90), side=(64, 64), pixels=32, shard=64)
        """
        side, pixels, shard = map(int, told.split())
        return cls(shape, (side, side), pixels, shard)

    def region(self, index: int) -> dict[str, slice]:
        """Give where a block lies.

        Examples
        --------
        >>> Blocks((100, 90), (64, 64), 64, 64).region(3)
        {'y': slice(64, 100, None), 'x': slice(64, 90, None)}
        """
        places = divmod(index, self.counts[1])
        found = ((p * s, min((p + 1) * s, n)) for p, s, n in zip(places, self.side, self.shape, strict=True))
        return dict(zip(("y", "x"), (slice(*span) for span in found), strict=True))


def plan_blocks(
    shape: tuple[int, int], need: Need, budget: int, least_blocks: int, layout: Layout | None = None, side: int | None = None
) -> Blocks:
    """Choose the largest blocks that fit.

    Blocks are multiples of the store's shards, or chunks, of the stride and, where that is not too large, of the
    chunks of a lazy result. Chunks are halved where even one of them is too large.

    Parameters
    ----------
    shape : (int, int)
        Pixels of the scene.
    need : Need
    budget : int
        Bytes that one block may take.
    least_blocks : int
        Blocks are not made larger than what gives so many.
    layout : {"series", "map"}, optional
        Of the store.
    side : int, optional
        Pixels of a block, if they are given.

    Raises
    ------
    GridError
        If even the smallest block does not fit, or the side given is no multiple.

    Examples
    --------
    >>> plan_blocks((5490, 5490), Need(pixel_bytes=1500, halo=10, stride=2), 2_000_000_000, 8)
    Blocks(shape=(5490, 5490), side=(1024, 1024), pixels=512, shard=512)
    """
    cut = CHUNK if layout is None else LAYOUTS[layout]
    if side is not None:
        return _given(shape, need, cut, side)
    pixels = cut.pixels
    while _bytes(need, _base(pixels, need)) > budget and pixels > LEAST_CHUNK:
        pixels //= 2
    base = _base(pixels, need)
    if _bytes(need, base) > budget:
        raise GridError(
            f"one block of {base} × {base} pixels takes about {_bytes(need, base) / 1e6:.0f} MB, and {budget / 1e6:.0f} MB are allowed; "
            f"raise memory_limit, take fewer workers, or select fewer dates or bands"
        )
    side = base
    while side + base <= LARGEST_SIDE and _bytes(need, side + base) <= budget and _count(shape, side + base) >= least_blocks:
        side += base
    return _settled(shape, side, pixels, cut)


def _settled(shape: tuple[int, int], side: int, pixels: int, cut: Cut) -> Blocks:
    """Make shards as large as they may be and blocks whole multiples of them."""
    fitting = (n for n in range(min(cut.shard_pixels, side), 0, -1) if side % n == 0 and n % pixels == 0)
    shard = next(fitting, pixels)
    return Blocks(shape, (side, side), pixels, shard)


def _given(shape: tuple[int, int], need: Need, cut: Cut, side: int) -> Blocks:
    halves = (cut.pixels >> n for n in range(cut.pixels.bit_length()))
    pixels = next((p for p in halves if p >= LEAST_CHUNK and side > 0 and side % p == 0), side if 0 < side <= cut.pixels else 0)
    if not pixels or side % need.stride:
        raise GridError(f"block is {side}; give a multiple of {lcm(LEAST_CHUNK, need.stride)} pixels, or at most {cut.pixels}")
    return _settled(shape, side, pixels, cut)


def _base(pixels: int, need: Need) -> int:
    base = lcm(pixels, need.stride)
    own = lcm(base, *need.chunks)
    return own if own <= LARGEST_SIDE // 2 else base


def _bytes(need: Need, side: int) -> int:
    return (side + 2 * need.halo) ** 2 * need.pixel_bytes


def _count(shape: tuple[int, int], side: int) -> int:
    return -(-shape[0] // side) * -(-shape[1] // side)


def times_read(chunks: Sequence[int], side: int, halo: int) -> float:
    """Give how often the chunks of a source are read along one dimension, as blocks and their halos touch them whole.

    Examples
    --------
    >>> times_read((512, 512), side=256, halo=2)
    3.0
    """
    edges = list(accumulate(chunks, initial=0))
    total, read = edges[-1], 0
    for start in range(0, total, side):
        low, high = max(start - halo, 0), min(start + side + halo, total)
        read += sum(b - a for a, b in pairwise(edges) if a < high and b > low)
    return read / total


def encoding_for(sizes: Mapping[str, int], blocks: Blocks, layout: Layout | None) -> dict[str, tuple[int, ...]]:
    """Give chunks, and shards if there are any, of a variable with the dims and sizes given.

    Examples
    --------
    >>> encoding_for({"time": 12, "y": 5490, "x": 5490}, Blocks((5490, 5490), (1024, 1024), 512, 512), None)
    {'chunks': (1, 512, 512)}
    """
    dates = (CHUNK if layout is None else LAYOUTS[layout]).dates
    chunks = {d: blocks.pixels if d in ("y", "x") else min(dates, n) if d == "time" else n for d, n in sizes.items()}
    if blocks.shard == blocks.pixels:
        return {"chunks": tuple(chunks.values())}
    shards = tuple(blocks.shard if d in ("y", "x") else chunks[d] for d in sizes)
    return {"chunks": tuple(chunks.values()), "shards": shards}
