"""How a job runs: begun or taken up, a few blocks in work at a time, failures tried again and listed."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from xsentinel.batch.engines import Engine
from xsentinel.batch.job import JOB, Job, check_same
from xsentinel.batch.progress import Bar, Lines, Silent, resident_bytes
from xsentinel.batch.report import Report
from xsentinel.batch.store import Ledger, Record, Store, digest_of, in_words
from xsentinel.errors import ReadError, StoreError, WriteError, XSentinelError
from xsentinel.kernels.threads import n_cores

AHEAD = 1
"""Blocks that are handed over before a worker is free, so that none waits for the next."""

LOOK_EVERY_S = 1.0
"""Seconds after which waiting looks up, so that Ctrl-C is heard."""


def begun(job: Job, resume: bool, overwrite: bool) -> tuple[Job, dict[int, Record]]:
    """Begin, or find what was begun; give the job as it was cut, and the finished blocks."""
    ledger = Ledger(job.store)
    if job.store.exists() and not overwrite:
        found = ledger.fingerprint()
        if not resume:
            what = "an unfinished or finished job; resume=True (--resume) goes on with it" if found else "something"
            raise WriteError(f"{job.store.url} holds {what}; overwrite=True (--overwrite) begins anew")
        if found is not None:
            job = job.with_blocks_of(found)
            check_same(job, found)
            job.store.tidy()
            return job, ledger.read()
        if job.store.attribute(JOB) != job.token:  # else it was stopped before its ledger was whole
            raise WriteError(
                f"{job.store.url} has no ledger of this job, so it cannot be resumed; give another store, or overwrite=True (--overwrite)"
            )
    if job.store.exists():
        job.store.remove()
    job.begin()
    return job, {}


def checked(only: Iterable[int], n: int) -> list[int]:
    """Check the numbers of blocks, and sort them."""
    wanted = sorted(set(only))
    if wanted and not 0 <= wanted[0] <= wanted[-1] < n:
        raise XSentinelError(f"only has blocks from {wanted[0]} to {wanted[-1]}, and there are 0 to {n - 1}; give numbers of these")
    return wanted


def run_blocks(report: Report, todo: Iterable[int], engine: Engine, retries: int, bar: Lines | Bar | Silent) -> None:
    """Keep a few blocks in work until all are done or given up."""
    waiting, tries, pending = deque(todo), Counter[int](), dict[Any, int]()
    try:
        while waiting or pending:
            while waiting and len(pending) < engine.n_workers + AHEAD:
                index = waiting.popleft()
                pending[engine.submit(report.job, index)] = index
            for future in engine.wait(pending, LOOK_EVERY_S):
                _settle(report, pending.pop(future), future, engine, waiting, tries, retries)
                bar.step(f"{report.peak_bytes / 1e9:.2f} GB" + (f", {len(report.failed)} failed" if report.failed else ""))
    finally:
        engine.drop(pending)


def _settle(report: Report, index: int, future: Any, engine: Engine, waiting: deque[int], tries: Counter[int], retries: int) -> None:
    """Note what became of a block; try it again if it may be."""
    try:
        done = engine.result(future)
    except StoreError:
        raise
    except Exception as err:  # whatever the expression raises
        tries[index] += 1
        if tries[index] <= retries:
            report.retried += 1
            waiting.append(index)
        else:
            report.failed[index] = f"{type(err).__name__}: {err}"
        return
    report.records[index] = done.record
    report.thumbnails[index] = done.thumbnail
    report.peak_bytes = max(report.peak_bytes, resident_bytes())


def incomplete(report: Report) -> str:
    """Say which blocks failed and what to do."""
    index, why = min(report.failed.items())
    return (
        f"{len(report.failed)} of {len(report.job.blocks)} blocks of {report.job.store.url} failed, such as {index} "
        f"({in_words(report.job.blocks.region(index))}): {why}; the rest is done: mend the cause and run again with resume=True (--resume)"
    )


def damaged_blocks(
    store: Store, variables: Iterable[str], region: Callable[[int], Mapping[str, slice]], records: Mapping[int, Record]
) -> list[int]:
    """Read finished blocks, and list those whose bytes are not what was written."""
    names = list(variables)

    def is_damaged(index: int) -> bool:
        try:
            return digest_of(store.read(names, region(index))) != records[index].digest
        except ReadError:
            return True

    with ThreadPoolExecutor(n_cores()) as pool:
        return [i for i, bad in zip(records, pool.map(is_damaged, records), strict=True) if bad]
