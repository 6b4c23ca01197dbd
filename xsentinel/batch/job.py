"""A planned job: an expression, its blocks, the store; what is written before the first block and what each block does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.batch.expression import PLANE, Expression, Part
from xsentinel.batch.plan import Blocks, encoding_for
from xsentinel.batch.store import Ledger, Record, Store, digest_of, writing
from xsentinel.errors import GridError, WriteError
from xsentinel.io.pack import Pack, pack_floats
from xsentinel.io.write import portable
from xsentinel.io.zarr_layout import Layout, geo_attrs, with_gdal_crs
from xsentinel.version import __version__

JOB = "xsentinel_job"
"""Attribute of the store: which job wrote it."""

THUMB = 24
"""Pixels along a side of a block's thumbnail at the most."""


@dataclass(frozen=True)
class Form:
    """How results are stored."""

    layout: Layout | None = None
    pack: Pack | None = None
    scale: float | Mapping[str, float] | None = None


@dataclass(frozen=True, eq=False)
class Done:
    """What a block left behind."""

    index: int
    record: Record
    thumbnail: npt.NDArray[np.float32]
    """A few pixels of the first variable's first date, (y, x)."""


@dataclass(frozen=True, eq=False)
class Task:
    """One block, ready to run anywhere; picklable."""

    index: int
    region: dict[str, slice]
    part: Part
    store: Store
    variables: tuple[str, ...]
    form: Form

    def values(self) -> dict[str, npt.NDArray[Any]]:
        """Compute the block, in this thread."""
        ds = pack_floats(self.part.lazy(), self.form.pack, self.form.scale)
        wanted = ds.reset_coords([v for v in self.variables if v in ds.coords])[list(self.variables)]
        computed = wanted.compute(scheduler="synchronous")
        return {name: np.ascontiguousarray(computed[name].values) for name in self.variables}

    def run(self) -> Done:
        """Compute, write, and then mark as finished."""
        start = perf_counter()
        values = self.values()
        self.store.write(values, self.region)
        first = values[self.variables[0]]
        n_bytes = sum(v.nbytes for v in values.values())
        record = Record(digest_of(values), perf_counter() - start, _valid(first, self.form), n_bytes)
        Ledger(self.store).mark(self.index, record)
        return Done(self.index, record, thumbnail(first))


def _valid(values: npt.NDArray[Any], form: Form) -> float:
    nodata = -32768 if form.pack == "int16" else 0
    return float(np.isfinite(values).mean()) if values.dtype.kind == "f" else float((values != nodata).mean())


def thumbnail(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Take every n-th pixel of the first date."""
    plane = values.reshape(-1, *values.shape[-2:])[0]
    step = max(1, -(-max(plane.shape) // THUMB))
    small: npt.NDArray[np.float32] = plane[::step, ::step].astype(np.float32)
    return small


def run_or_find(task: Task) -> Done:
    """Run a task unless it is done: what workers are sent, as a cluster runs again what a lost worker had finished."""
    record = Ledger(task.store).find(task.index)
    return task.run() if record is None else Done(task.index, record, np.full((1, 1), np.nan, np.float32))


@dataclass(frozen=True, eq=False)
class Job:
    """An expression, cut into blocks, and the store that they are written to."""

    expression: Expression
    store: Store
    blocks: Blocks
    form: Form

    @cached_property
    def template(self) -> xr.Dataset:
        """The store's content but for the values of its blocks."""
        ready = portable(pack_floats(self.expression.result, self.form.pack, self.form.scale))
        if lost := [str(n) for n, v in ready.data_vars.items() if not set(PLANE) <= set(v.dims)]:
            raise GridError(f"{', '.join(lost)} of the expression has no y and x, so it is of no block; compute it apart and drop it here")
        return with_gdal_crs(ready.assign_attrs(geo_attrs(ready)))

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """Names of what is written block by block: variables, and coordinates that have a value a pixel."""
        coords = [str(n) for n, c in self.template.coords.items() if set(PLANE) <= set(c.dims)]
        return (*map(str, self.template.data_vars), *coords)

    def task(self, index: int) -> Task:
        """Give one block, ready to run."""
        region = self.blocks.region(index)
        return Task(index, region, self.expression.part(region), self.store, self.variables, self.form)

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """What the job computes, from what, into what: equal for equal bytes, but for the blocks that it is cut into."""
        template = self.template
        digests = {str(v.attrs["weights_digest"]) for v in template.data_vars.values() if "weights_digest" in v.attrs}
        outputs = {n: f"{template[n].dtype} {dict(template[n].sizes)}" for n in self.variables}
        return {
            "xsentinel": __version__,
            **self.expression.fingerprint(),
            "models": ", ".join(sorted(digests)) or "none",
            "outputs": {k: v.replace("'", "") for k, v in outputs.items()},
            "packed": f"{self.form.pack} {self.form.scale}",
            "layout": str(self.form.layout),
            "blocks": self.blocks.told,
        }

    def with_blocks_of(self, fingerprint: Mapping[str, Any]) -> Job:
        """Give the job cut as one that was begun, so that another memory limit does not matter."""
        return replace(self, blocks=Blocks.of(self.blocks.shape, fingerprint["blocks"]))

    def begin(self) -> None:
        """Write coordinates, empty arrays and the ledger; the ledger's fingerprint last, so that it speaks of a whole.

        Raises
        ------
        StoreError
            If the store cannot be written.
        """
        template = self.template.assign_attrs({JOB: self.token})
        single = {n: _whole(template[n]) for n in self.variables}
        whole = template.assign_coords({n: v for n, v in single.items() if n in template.coords})
        whole = whole.assign({n: v for n, v in single.items() if n in template.data_vars})
        encoding = self._encoding()
        with self.store.appearing() as store, writing(self.store.url):
            whole.to_zarr(store.open(), mode="w", zarr_format=3, encoding=encoding, compute=False, consolidated=False)
            Ledger(store).create(self.fingerprint, self.blocks, self.variables)

    @cached_property
    def token(self) -> str:
        """Give a digest of what the job computes, which the store has as its attribute."""
        return sha256(json.dumps({k: v for k, v in self.fingerprint.items() if k != "blocks"}, sort_keys=True).encode()).hexdigest()[:16]

    def _encoding(self) -> dict[str, dict[str, Any]]:
        out: dict[str, dict[str, Any]] = {}
        for name in self.variables:
            values = self.template[name]
            out[name] = dict(encoding_for({str(d): n for d, n in values.sizes.items()}, self.blocks, self.form.layout))
            if values.dtype.kind == "f":
                out[name]["fill_value"] = np.nan  # what a missing block reads as
            elif "_FillValue" in values.attrs:
                out[name]["fill_value"] = values.attrs["_FillValue"]
        return out


def _whole(values: xr.DataArray) -> xr.Variable:
    """Give a variable's form with one chunk, of which nothing is computed."""
    import dask.array as da

    return xr.Variable(values.dims, da.empty(values.shape, dtype=values.dtype, chunks=values.shape), values.attrs)


def run_block(job: Job, index: int) -> Done:
    """Run a block: what threads are given."""
    return job.task(index).run()


TOLD_APART = {
    "xsentinel": "the versions of xsentinel",
    "expression": "the steps",
    "inputs": "the data that it reads",
    "models": "the weights of the models",
    "outputs": "the variables or their sizes",
    "packed": "pack and scale",
    "layout": "the layouts",
}
"""What a job is told apart by → in words."""


def check_same(job: Job, found: Mapping[str, Any]) -> None:
    """Check that a store was begun by the same job.

    Raises
    ------
    WriteError
        If it was not, with what differs.
    """
    ours = job.fingerprint
    differing = [k for k in ours if ours[k] != found.get(k)]
    if differing:
        told = "; ".join(f"{k}: {_short(found.get(k))} there, {_short(ours[k])} now" for k in differing)
        words = ", ".join(TOLD_APART.get(k, k) for k in differing)
        raise WriteError(
            f"{job.store.url} holds blocks of another job: {words} differ; give another store, or overwrite=True (--overwrite) to begin "
            f"anew ({told})"
        )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
