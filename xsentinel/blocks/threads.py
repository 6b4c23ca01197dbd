"""Who owns the threads: blocks and windows run side by side, and each network runs on one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar

T = TypeVar("T")


class _OneThread:
    """Torch's own number of threads, put aside while any block runs and put back after the last."""

    def __init__(self) -> None:
        self.lock, self.inside, self.before = Lock(), 0, 1

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Run torch on the calling thread alone."""
        import torch

        with self.lock:
            if self.inside == 0:
                self.before = torch.get_num_threads()
            self.inside += 1
            torch.set_num_threads(1)
        try:
            yield
        finally:
            with self.lock:
                self.inside -= 1
                torch.set_num_threads(self.before)


one_torch_thread = _OneThread()


def on_threads(run: Callable[[T], object], items: Iterable[T], n_threads: int) -> None:
    """Call run(item) for each item, on n_threads threads, torch on one in each; in the calling thread if it is 1."""

    def alone(item: T) -> None:
        with one_torch_thread():
            run(item)

    if n_threads == 1:
        for item in items:
            alone(item)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        for done in [pool.submit(alone, item) for item in items]:
            done.result()
