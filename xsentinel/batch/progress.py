"""How far a job is: a bar in a terminal or notebook, lines in a log."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

LOG = logging.getLogger("xsentinel")

LINE_EVERY_S = 10.0
"""Seconds between lines of a log."""


def resident_bytes() -> int:
    """Give the resident memory of this process, bytes; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    import resource

    return pages * resource.getpagesize()


class Lines:
    """A line now and then, on standard error or wherever the logger of xsentinel writes."""

    def __init__(self, total: int, first: int) -> None:
        self.total, self.done, self.first, self.start, self.last = total, first, first, monotonic(), 0.0

    def step(self, note: str) -> None:
        """Count a block."""
        self.done += 1
        now = monotonic()
        if now - self.last < LINE_EVERY_S and self.done < self.total:
            return
        self.last = now
        rate = (self.done - self.first) / max(now - self.start, 1e-9)
        left = (self.total - self.done) / rate
        text = f"{self.done} of {self.total} blocks, {rate:.2f} a second, {left:.0f} s left, {note}"
        if LOG.isEnabledFor(logging.INFO):
            LOG.info(text)
        else:
            print(text, file=sys.stderr, flush=True)  # noqa: T201  (who asked for progress and set no logger up)


class Bar:
    """A bar of tqdm's, in a terminal or a notebook."""

    def __init__(self, bar: Any) -> None:
        self.bar = bar

    def step(self, note: str) -> None:
        """Count a block."""
        self.bar.set_postfix_str(note, refresh=False)
        self.bar.update()


class Silent:
    """Nothing."""

    def step(self, note: str) -> None:
        """Count nothing."""


@contextmanager
def progress(total: int, first: int, show: bool) -> Iterator[Lines | Bar | Silent]:
    """Show how many of ``total`` blocks are done, ``first`` of them before."""
    if not show:
        yield Silent()
    elif sys.stderr.isatty() or "ipykernel" in sys.modules:
        from tqdm.auto import tqdm

        with tqdm(total=total, initial=first, unit="block", smoothing=0.1) as bar:
            yield Bar(bar)
    else:
        yield Lines(total, first)
