"""Who runs the blocks: threads of this process, or the workers of a dask cluster. A few at a time, never all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Protocol

from xsentinel.batch.job import Done, Job, run_block, run_or_find
from xsentinel.errors import StoppedError

PATIENCE_S = 60.0
"""Seconds without any worker after which a cluster is given up: those that were killed are back by then, if anybody starts them."""


class Engine(Protocol):
    """Runs blocks."""

    n_workers: int
    where: str
    """In words."""

    def submit(self, job: Job, index: int) -> Any:
        """Hand over a block; give its future."""

    def wait(self, pending: Iterable[Any], seconds: float) -> set[Any]:
        """Wait until at least one is finished, or so many seconds; give those that are."""

    def result(self, future: Any) -> Done:
        """Give what a task left, or raise what it raised."""

    def drop(self, pending: Iterable[Any]) -> None:
        """Take back what has not begun."""


class Threads:
    """Threads of this process, one a block."""

    def __init__(self, n_workers: int) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self.n_workers, self.where = n_workers, f"{n_workers} threads"
        self.pool = ThreadPoolExecutor(n_workers, thread_name_prefix="xsentinel")

    def submit(self, job: Job, index: int) -> Any:
        """Hand over a block, whose graph its own thread cuts."""
        return self.pool.submit(run_block, job, index)

    def wait(self, pending: Iterable[Any], seconds: float) -> set[Any]:
        """Wait for the first."""
        from concurrent.futures import FIRST_COMPLETED, wait

        return set(wait(pending, seconds, FIRST_COMPLETED).done)

    def result(self, future: Any) -> Done:
        """Give what a task left."""
        done: Done = future.result()
        return done

    def drop(self, pending: Iterable[Any]) -> None:
        """Take back what has not begun, and wait for what has: a thread cannot be stopped."""
        for future in pending:
            future.cancel()

    def close(self) -> None:
        """Wait for all threads."""
        self.pool.shutdown(wait=True, cancel_futures=True)


class Cluster:
    """Workers of a dask.distributed scheduler."""

    def __init__(self, client: Any, resources: dict[str, float] | None) -> None:
        self.client, self.resources = client, resources
        threads = client.nthreads()
        self.n_workers = max(1, sum(threads.values()))
        self.where = f"{self.n_workers} threads of {len(threads)} workers, dashboard {client.dashboard_link}"
        self.n_sent, self.manned = 0, monotonic()

    def submit(self, job: Job, index: int) -> Any:
        """Hand over a block's task under a name of its own, so that a retry is run again."""
        self.n_sent, task = self.n_sent + 1, job.task(index)
        key = f"xsentinel-block-{task.index}-{self.n_sent}-{task.store.url}"
        return self.client.submit(run_or_find, task, pure=False, key=key, resources=self.resources)

    def wait(self, pending: Iterable[Any], seconds: float) -> set[Any]:
        """Wait for the first."""
        from distributed import TimeoutError as NotYet
        from distributed import wait

        try:
            return set(wait(list(pending), timeout=seconds, return_when="FIRST_COMPLETED").done)  # type: ignore[no-untyped-call]
        except NotYet:
            self._check_workers()
            return set()

    def _check_workers(self) -> None:
        """Give up where no worker has been left for a while: waiting would never end."""
        now = monotonic()
        if self.client.scheduler_info(n_workers=-1)["workers"]:
            self.manned = now
        elif now - self.manned > PATIENCE_S:
            told = f"the cluster has had no worker for {PATIENCE_S:.0f} s"
            raise StoppedError(f"{told}; start some, then run again with resume=True (--resume)")

    def result(self, future: Any) -> Done:
        """Give what a task left."""
        done: Done = future.result()
        return done

    def drop(self, pending: Iterable[Any]) -> None:
        """Take back all."""
        self.client.cancel(list(pending))


@contextmanager
def engine_for(client: Any, workers: int, resources: dict[str, float] | None) -> Iterator[Engine]:
    """Give threads, or the cluster of a client or of a scheduler's address.

    Parameters
    ----------
    client : distributed.Client, str or None
    workers : int
        Threads, if there is no client.
    resources : dict, optional
        That a worker must have for a block: ``{"GPU": 1}``.
    """
    if client is None:
        threads = Threads(workers)
        try:
            yield threads
        finally:
            threads.close()
    elif isinstance(client, str):
        from distributed import Client

        with Client(client) as own:  # type: ignore[no-untyped-call]
            yield Cluster(own, resources)
    else:
        yield Cluster(client, resources)
