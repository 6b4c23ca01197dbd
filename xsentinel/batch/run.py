"""`plan` and `run`: any lazy expression over a cube of any size to a finished store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from os import PathLike
from time import perf_counter
from typing import Any

import xarray as xr

from xsentinel.batch.engines import engine_for
from xsentinel.batch.expression import PLANE, Expression, as_expression
from xsentinel.batch.job import Form, Job
from xsentinel.batch.plan import BLOCKS_A_WORKER, SHARE, Need, plan_blocks, times_read
from xsentinel.batch.progress import progress as progress_of
from xsentinel.batch.report import Report
from xsentinel.batch.runner import begun, checked, damaged_blocks, incomplete, run_blocks
from xsentinel.batch.store import Ledger, Store, as_store
from xsentinel.blocks.series import allowed_bytes
from xsentinel.errors import IncompleteError, XSentinelError
from xsentinel.io.pack import Pack
from xsentinel.io.zarr_layout import Layout, check_layout
from xsentinel.kernels.threads import n_cores


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
        halo = self.job.expression.halo
        height, width = (min(s + 2 * halo, n) for s, n in zip(self.job.blocks.side, self.job.blocks.shape, strict=True))
        return height * width * self.job.expression.pixel_bytes()

    def rows(self) -> list[tuple[str, str]]:
        """Say what is going to be done."""
        job, blocks = self.job, self.job.blocks
        source, result = job.expression.source_bytes(), sum(job.template[v].nbytes for v in job.variables)
        shard = f", shards of {blocks.shard}²" if blocks.shard != blocks.pixels else ""
        at_once = f"about {self.block_bytes / 1e6:.0f} MB a block, {self.workers} at a time, of {self.memory_limit / 1e9:.2f} GB allowed"
        rows = [
            ("store", job.store.url),
            ("writes", ", ".join(f"{v} {dict(job.template[v].sizes)}" for v in job.variables).replace("'", "")),
            ("blocks", f"{len(blocks)} of {blocks.side[0]} × {blocks.side[1]} pixels, chunks of {blocks.pixels}²{shard}"),
            ("halo", f"{job.expression.halo} pixels" if source else "as the graph says"),
            ("bytes in", f"{source / 1e9:.2f} GB{self._read_again()}" if source else "as the graph says"),
            ("bytes out", f"{result / 1e9:.2f} GB before compression"),
            ("memory", at_once),
        ]
        if self.probed is not None:
            total = self.probed * len(blocks) / self.workers
            rows.append(("time", f"{self.probed:.2f} s a block when tried, so about {total:.0f} s on {self.workers} threads"))
        return rows

    def _read_again(self) -> str:
        """Say how much of the source is read more than once, as its chunks are."""
        expression, blocks = self.job.expression, self.job.blocks
        chunks = expression.chunks
        if not chunks:
            return ""
        times = prod(times_read(chunks[d], side, expression.halo) for d, side in zip(PLANE, blocks.side, strict=True))
        return f", read {times:.1f} times, as chunks of {max(chunks['y'])} × {max(chunks['x'])} meet the blocks and their halos"

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
        job, records = begun(self.job, resume, overwrite)
        report = Report(job, skipped=records)
        if verify and records:
            report.damaged = damaged_blocks(job.store, job.variables, job.blocks.region, records)
            for index in report.damaged:
                Ledger(job.store).clear(index)
                report.skipped.pop(index)
        wanted = range(len(job.blocks)) if only is None else checked(only, len(job.blocks))
        todo = [i for i in wanted if i not in report.skipped]
        n_done, show = len(report.skipped), progress and bool(todo)
        with engine_for(client, self.workers, resources) as engine, progress_of(n_done + len(todo), n_done, show) as bar:
            report.where = engine.where
            try:
                run_blocks(report, todo, engine, retries, bar)
            finally:
                report.seconds = perf_counter() - start
        if client is not None:
            job.store.tidy()  # of workers that were killed
        if report.failed:
            raise IncompleteError(incomplete(report), report)
        return report


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
    memory_limit: int | str | None = None,
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
    memory_limit : int or str, optional
        What the process may come near: bytes, or a text such as "8GB"; half of the machine's memory if not given.

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
    limit = allowed_bytes(memory_limit)
    shape = made.result.sizes["y"], made.result.sizes["x"]
    budget = int(SHARE * limit / n)
    blocks = plan_blocks(shape, _need(made), budget, BLOCKS_A_WORKER * n, layout, block)
    return Plan(Job(made, as_store(store), blocks, Form(layout, pack, scale)), n, limit)


def _need(expression: Expression) -> Need:
    # of a lazy result, whole chunks are computed in any case; of a cube, chunks are cut to the window and its halo
    chunks = expression.chunks if not expression.source_bytes() else {}
    return Need(expression.pixel_bytes(), expression.halo, expression.stride, tuple(max(chunks.get(d, (1,))) for d in PLANE))  # type: ignore[arg-type]


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
        Blocks, time, throughput, share of valid values; ``.to_html(path)`` writes them as a page with a quicklook.

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

    Examples
    --------
    >>> import tempfile, xsentinel as xs
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = run(xs.sample("zurich", chunks="auto").s2.lai(), f"{folder}/lai.zarr", progress=False)
    ...     verify(f"{folder}/lai.zarr")
    []
    """
    target = as_store(store)
    ledger = Ledger(target)
    blocks, variables = ledger.geometry()
    return damaged_blocks(target, variables, blocks.region, ledger.read())
