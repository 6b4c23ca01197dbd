"""Batches of labelled patches, cut out of tiles while the network learns from those before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xsentinel.blocks.predict import scaling
from xsentinel.kernels.channels import fill_channels
from xsentinel.models.card import Card
from xsentinel.training.places import Draw, turned
from xsentinel.training.tiles import Tile

Array = npt.NDArray[Any]
Batch = tuple[Tensor, Tensor]
T = TypeVar("T")

NO_CLASS = -1
"""Place of a pixel that counts for nothing."""


@dataclass(frozen=True, eq=False)
class Source:
    """A tile with its labels, to cut patches from."""

    tile: Tile
    labels: Tile
    """One band of one date: codes, 0 where nothing is learnt."""


@dataclass(frozen=True, eq=False)
class Cutter:
    """Cuts patches as a network takes them: normalised by its card, gaps 0, labels as places of classes."""

    sources: Sequence[Source]
    card: Card
    side: int
    """Pixels along a patch."""

    def __call__(self, draws: Sequence[Draw]) -> Batch:
        """Give inputs (patch, channel, y, x), float32, channels innermost in memory, and places (patch, y, x), int64."""
        inputs = np.empty((len(draws), self.side, self.side, self.card.n_in), np.float32)
        places = np.empty((len(draws), self.side, self.side), np.int64)
        for k, draw in enumerate(draws):
            planes, own = self.cut(draw)
            inputs[k], places[k] = turned(planes, draw.symmetry), turned(own, draw.symmetry)
        return torch.from_numpy(inputs).permute(0, 3, 1, 2), torch.from_numpy(places)

    def cut(self, draw: Draw) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Give one patch as it lies: (y, x, channel) and places (y, x)."""
        source = self.sources[draw.tile]
        stored = source.tile.cut(draw.row, draw.column, self.side)
        planes = np.empty((self.side, self.side, self.card.n_in), np.float32)
        valid = np.ones((self.side, self.side), np.bool_)
        nothing = np.empty((0, self.side, self.side), np.float32)
        whole = stored.reshape(-1, self.side, self.side)
        fill_channels(whole, *scaling(self.card, source.tile.encodings), nothing, planes, valid)
        codes = source.labels.cut(draw.row, draw.column, self.side)[0, 0]
        return planes, np.where(valid, self.places[codes], NO_CLASS)

    @property
    def places(self) -> npt.NDArray[np.int64]:
        """Place of each code among the classes, (256,)."""
        table = np.full(256, NO_CLASS, np.int64)
        table[[c.code for c in self.card.classes]] = np.arange(len(self.card.classes))
        return table


class Ahead(Generic[T]):
    """Makes what will be asked for while what was asked for is used: a few at a time, by threads, in order.

    Parameters
    ----------
    make : callable
        Number → what is to be made.
    end : int
        Numbers from it on are never asked for.
    depth : int
        How many are made or wait beyond the one that is used.
    threads : int
        0: each is made when it is asked for.
    """

    def __init__(self, make: Callable[[int], T], end: int, depth: int = 4, threads: int = 2) -> None:
        self.make, self.end, self.depth = make, end, depth
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="patches") if threads else None
        self.waiting: dict[int, Future[T]] = {}

    def between(self, first: int, last: int) -> Iterator[T]:
        """Give those of numbers first … last − 1, in order; what comes after last is begun already."""
        for number in range(first, last):
            if self.pool is None:
                yield self.make(number)
                continue
            for wanted in range(number, min(number + self.depth + 1, self.end)):
                if wanted not in self.waiting:
                    self.waiting[wanted] = self.pool.submit(self.make, wanted)
            yield self.waiting.pop(number).result()

    def close(self) -> None:
        """Stop; nothing that waits is made."""
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)


class Epoch(Generic[T]):
    """Some of what is made ahead, of a length that is known, as Lightning takes its batches."""

    def __init__(self, ahead: Ahead[T], first: int, last: int) -> None:
        self.ahead, self.first, self.last = ahead, first, last

    def __len__(self) -> int:
        return self.last - self.first

    def __iter__(self) -> Iterator[T]:
        return self.ahead.between(self.first, self.last)
