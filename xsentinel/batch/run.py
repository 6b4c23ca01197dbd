"""`plan` and `run`: any lazy expression over a cube of any size to a finished store."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import PathLike
from time import perf_counter
from typing import Any

import xarray as xr

from xsentinel.batch.engines import Engine, engine_for
from xsentinel.batch.expression import Expression, Lazy, Windowed, as_expression
from xsentinel.batch.job import JOB, Form, Job, check_same
from xsentinel.batch.plan import BLOCKS_A_WORKER, SHARE, Need, plan_blocks
from xsentinel.batch.progress import Bar, Lines, Silent, progress, resident_bytes
from xsentinel.batch.report import Report
from xsentinel.batch.store import Ledger, Record, Store, as_store, digest_of
from xsentinel.blocks.series import default_memory_limit
from xsentinel.errors import IncompleteError, ReadError, StoreError, WriteError, XSentinelError
from xsentinel.io.pack import Pack
from xsentinel.io.zarr_layout import Layout, check_layout
from xsentinel.kernels.threads import n_cores

AHEAD = 1
"""Blocks that are handed over before a worker is free, so that none waits for the next."""

LOOK_EVERY_S = 1.0
"""Seconds after which waiting looks up, so that Ctrl-C is heard."""


@dataclass(frozen=True, eq=False)
class Plan:
    """A job that is ready to run."""

    job: Job
    workers: int
    """Threads, where no cluster is given."""
    memory_limit: int
    """Bytes."""
    probed: float | None = None
    """Seconds that a block took to compute, if one was tried."""

    @property
    def block_bytes(self) -> int:
        """Estimate the memory of one block in work."""
        halo = self.job.expression.halo if isinstance(self.job.expression, Windowed) else 0
        height, width = (min(s + 2 * halo, n) for s, n in zip(self.job.blocks.side, self.job.blocks.shape, strict=True))
        return height * width * self.job.expression.pixel_bytes()

    def rows(self) -> list[tuple[str, str]]:
        """Say what is going to be done."""
        job, blocks = self.job, self.job.blocks
        halo = job.expression.halo if isinstance(job.expression, Windowed) else None
        source, result = job.expression.source_bytes(), sum(job.template[v].nbytes for v in job.variables)
        shard = f", shards of {blocks.shard}²" if blocks.shard != blocks.pixels else ""
        at_once = f"about {self.block_bytes / 1e6:.0f} MB a block, {self.workers} at a time, of {self.memory_limit / 1e9:.2f} GB allowed"
        rows = [
            ("store", job.store.url),
            ("writes", ", ".join(f"{v} {dict(job.template[v].sizes)}" for v in job.variables).replace("'", "")),
            ("blocks", f"{len(blocks)} of {blocks.side[0]} × {blocks.side[1]} pixels, chunks of {blocks.pixels}²{shard}"),
            ("halo", "as the graph says" if halo is None else f"{halo} pixels"),
            ("bytes in", "as the graph says" if not source else f"{source / 1e9:.2f} GB"),
            ("bytes out", f"{result / 1e9:.2f} GB before compression"),
            ("memory", at_once),
        ]
        if self.probed is not None:
            total = self.probed * len(blocks) / self.workers
            rows.append(("time", f"{self.probed:.2f} s a block when tried, so about {total:.0f} s on {self.workers} threads"))
        return rows

    def __repr__(self) -> str:
        return "\n".join(["<xsentinel job>", *(f"  {name:<10}{value}" for name, value in self.rows())])

    def explain(self, *, probe: bool = False) -> str:
        """Say what is going to be done: blocks, bytes in and out, memory.

        Parameters
        ----------
        probe : bool
            Compute the middle block, write nothing, and estimate the time of all.
        """
        if not probe:
            return repr(self)
        task = self.job.task(len(self.job.blocks) // 2)
        task.values()  # compiles what is compiled once
        start = perf_counter()
        task.values()
        return repr(Plan(self.job, self.workers, self.memory_limit, perf_counter() - start))

    def run(
        self,
        *,
        resume: bool = False,
        overwrite: bool = False,
        verify: bool = False,
        client: Any = None,
        resources: dict[str, float] | None = None,
        retries: int = 2,
        only: Iterable[int] | None = None,
        progress: bool = True,
    ) -> Report:
        """Run the job.

        Parameters
        ----------
        resume : bool
            Go on with what an earlier run of the same job began, its finished blocks skipped; begin if there is nothing.
        overwrite : bool
            Remove what stands at the store, and begin anew.
        verify : bool
            Read the blocks that earlier runs finished, and do those again whose bytes are not what was written.
        client : distributed.Client or str, optional
            A cluster, or the address of its scheduler; threads of this process if not given. The store, sources and
            models must be in reach of the workers.
        resources : dict, optional
            That a worker must have for a block, such as ``{"GPU": 1}``.
        retries : int
            Times that a block is tried again before it is given up.
        only : iterable of int, optional
            Numbers of the blocks to run, of 0 … n − 1; the rest can be run later by ``resume``.
        progress : bool
            Show how far the job is.

        Returns
        -------
        Report

        Raises
        ------
        WriteError
            If something else stands at the store, or it cannot be written.
        IncompleteError
            If blocks failed: with the report as its attribute ``report``.
        """
        start = perf_counter()
        job, records = _begun(self.job, resume, overwrite)
        report = Report(job, skipped=records)
        if verify and records:
            report.damaged = damaged_blocks(job.store, job.variables, job.blocks.region, records)
            for index in report.damaged:
                Ledger(job.store).clear(index)
                report.skipped.pop(index)
        wanted = range(len(job.blocks)) if only is None else _checked(only, len(job.blocks))
        todo = [i for i in wanted if i not in report.skipped]
        with engine_for(client, self.workers, resources) as engine, _progress(job, report, todo, progress) as bar:
            report.where = engine.where
            try:
                _run_blocks(report, todo, engine, retries, bar)
            finally:
                report.seconds = perf_counter() - start
        if report.failed:
            raise IncompleteError(_incomplete(report), report)
        return report


def _progress(job: Job, report: Report, todo: list[int], show: bool) -> Any:
    return progress(len(report.skipped) + len(todo), len(report.skipped), show and bool(todo))


def _begun(job: Job, resume: bool, overwrite: bool) -> tuple[Job, dict[int, Record]]:
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
            return job, ledger.read()
        if job.store.attribute(JOB) != job.token:  # else it was stopped before its ledger was whole
            raise WriteError(
                f"{job.store.url} has no ledger of this job, so it cannot be resumed; give another store, or overwrite=True (--overwrite)"
            )
    if job.store.exists():
        job.store.remove()
    job.begin()
    return job, {}


def _checked(only: Iterable[int], n: int) -> list[int]:
    wanted = sorted(set(only))
    if wanted and not 0 <= wanted[0] <= wanted[-1] < n:
        raise XSentinelError(f"only has blocks from {wanted[0]} to {wanted[-1]}, and there are 0 to {n - 1}")
    return wanted


def _run_blocks(report: Report, todo: Iterable[int], engine: Engine, retries: int, bar: Lines | Bar | Silent) -> None:
    """Keep a few blocks in work until all are done or given up."""
    waiting, tries, pending = deque(todo), Counter[int](), dict[Any, int]()
    try:
        while waiting or pending:
            while waiting and len(pending) < engine.n_workers + AHEAD:
                index = waiting.popleft()
                pending[engine.submit(report.job.task(index))] = index
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


def _incomplete(report: Report) -> str:
    index, why = min(report.failed.items())
    return (
        f"{len(report.failed)} of {len(report.job.blocks)} blocks of {report.job.store.url} failed, such as {index} "
        f"({_place(report.job, index)}): {why}; the rest is done: mend the cause and run again with resume=True (--resume)"
    )


def _place(job: Job, index: int) -> str:
    return ", ".join(f"{d} {s.start}…{s.stop}" for d, s in job.blocks.region(index).items())


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


def plan(
    expression: Any,
    store: str | PathLike[str] | Store,
    *,
    source: xr.Dataset | None = None,
    halo: int | None = None,
    block: int | None = None,
    layout: Layout | None = None,
    pack: Pack | None = None,
    scale: float | Mapping[str, float] | None = None,
    workers: int | None = None,
    memory_limit: int | None = None,
) -> Plan:
    """Plan a job: how an expression is cut into blocks that fit into memory. Nothing is computed or written.

    Parameters
    ----------
    expression : Dataset, DataArray, callable or list of steps
        A lazy result, whose graph is cut window by window; or a function of a cube, Dataset → Dataset on the
        same pixels, that is applied to windows of ``source``, so that no graph of the whole is ever made: this is
        how cubes of any size run. Steps are verbs as data: ``[{"mask_clouds": {"dilate": 60}}, {"lai": {"model": "unet"}}]``.
    store : path, URL or Store
        Of the Zarr store (format 3) to write: a folder, or what fsspec knows (s3://bucket/lai.zarr); a `Store` has the
        options of its file system too.
    source : Dataset, optional
        The cube of a function or of steps.
    halo : int, optional
        Pixels around a pixel that a function's result depends on. Of steps it is known.
    block : int, optional
        Pixels of a block along a side; the largest that fit into memory if not given.
    layout : {"series", "map"}, optional
        Of the store, as `to_zarr`; chunks of one date and 512² pixels if not given.
    pack, scale
        As `to_zarr`.
    workers : int, optional
        Blocks at a time; as many as there are cores if not given.
    memory_limit : int, optional
        Bytes that the process may come near; half of the machine's if not given.

    Returns
    -------
    Plan
        ``.explain()`` says what is going to be done, ``.run()`` does it.

    Raises
    ------
    XSentinelError
        If the expression is none, or its halo is not known.
    GridError
        If it changes the grid, or not even one small block fits into memory.

    Examples
    --------
    >>> import xsentinel as xs
    >>> cube = xs.sample("zurich", chunks="auto")
    >>> job = plan([{"lai": {}}], "lai.zarr", source=cube, block=256, workers=2)
    >>> len(job.job.blocks)
    4
    """
    check_layout(layout)
    made = as_expression(expression, source, halo)
    n = n_cores() if workers is None else workers
    if n < 1:
        raise XSentinelError(f"workers is {workers}; give 1 or more")
    limit = default_memory_limit() if memory_limit is None else int(memory_limit)
    shape = made.result.sizes["y"], made.result.sizes["x"]
    budget = int(SHARE * limit / (n + AHEAD))
    blocks = plan_blocks(shape, _need(made), budget, BLOCKS_A_WORKER * n, layout, block)
    return Plan(Job(made, as_store(store), blocks, Form(layout, pack, scale)), n, limit)


def _need(expression: Expression) -> Need:
    halo = expression.halo if isinstance(expression, Windowed) else 0
    chunks = (1, 1)
    if isinstance(expression, Lazy):
        sizes = expression.result.chunksizes
        chunks = (max(sizes.get("y", (1,))), max(sizes.get("x", (1,))))
    return Need(expression.pixel_bytes(), halo, expression.stride, chunks)


def run(
    expression: Any,
    store: str | PathLike[str] | Store,
    *,
    resume: bool = False,
    overwrite: bool = False,
    verify: bool = False,
    client: Any = None,
    progress: bool = True,
    retries: int = 2,
    **options: Any,
) -> Report:
    """Turn a lazy expression over a cube of any size into a finished store: block by block, restartable, verified.

    The store holds a ledger: a block is marked when all of its bytes are written, so a job that is killed at any
    moment goes on by ``resume=True`` to the same bytes as one that is not.

    Parameters
    ----------
    expression, store
        As `plan`.
    resume, overwrite, verify, client, progress, retries
        As `Plan.run`.
    **options
        ``source``, ``halo``, ``block``, ``layout``, ``pack``, ``scale``, ``workers`` and ``memory_limit`` of `plan`.

    Returns
    -------
    Report
        Blocks, time, throughput, share of valid values; ``.to_html()`` with a quicklook.

    Raises
    ------
    WriteError
        If something else stands at the store, or it cannot be written.
    IncompleteError
        If blocks failed; the rest is done.

    Examples
    --------
    >>> import tempfile, xsentinel as xs
    >>> cube = xs.sample("zurich", chunks="auto")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first = run(cube.s2.lai(), f"{folder}/lai.zarr", progress=False)
    ...     again = run(cube.s2.lai(), f"{folder}/lai.zarr", resume=True, progress=False)
    ...     len(first.records), len(again.records), list(xs.open(f"{folder}/lai.zarr").data_vars)
    (1, 0, ['lai', 'lai_flags'])
    """
    planned = plan(expression, store, **options)
    return planned.run(resume=resume, overwrite=overwrite, verify=verify, client=client, progress=progress, retries=retries)


def verify(store: str | PathLike[str] | Store) -> list[int]:
    """Read every finished block of a store that a job wrote, and list those whose bytes are not what was written.

    Parameters
    ----------
    store : path, URL or Store

    Returns
    -------
    list of int
        Numbers of damaged blocks; run the job again with ``resume=True, verify=True`` to mend them.

    Raises
    ------
    ReadError
        If the store was not written by a job.
    """
    target = as_store(store)
    ledger = Ledger(target)
    blocks, variables = ledger.geometry()
    return damaged_blocks(target, variables, blocks.region, ledger.read())
