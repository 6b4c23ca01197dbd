"""What a job did: a table, and a page with a quicklook."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass, field
from html import escape
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.batch.job import THUMB, Job, thumbnail
from xsentinel.batch.store import Record
from xsentinel.blocks.cut import Window
from xsentinel.errors import ReadError

READ_AGAIN = 256
"""Blocks of earlier runs that are read for the quicklook at the most."""


@dataclass(eq=False)
class Report:
    """What a job did, and what is missing."""

    job: Job
    where: str = ""
    """Which engine ran it."""
    seconds: float = 0.0
    skipped: dict[int, Record] = field(default_factory=dict)
    """Blocks that an earlier run had finished."""
    records: dict[int, Record] = field(default_factory=dict)
    """Blocks that this run finished."""
    failed: dict[int, str] = field(default_factory=dict)
    """Blocks that were given up → why."""
    damaged: list[int] = field(default_factory=list)
    """Blocks whose bytes were not those that had been written; done again if the job resumed."""
    retried: int = 0
    peak_bytes: int = 0
    """Largest resident memory of this process that was seen after a block."""
    thumbnails: dict[int, npt.NDArray[np.float32]] = field(default_factory=dict)

    @property
    def missing(self) -> list[int]:
        """Blocks that neither this nor an earlier run finished."""
        return [i for i in range(len(self.job.blocks)) if i not in self.records and i not in self.skipped]

    def summary(self) -> dict[str, Any]:
        """Give all figures as plain numbers and text."""
        n_bytes = sum(r.n_bytes for r in self.records.values())
        pixels = sum(_pixels(self.job.blocks.region(i)) for i in self.records)
        everything = {**self.skipped, **self.records}
        weights = [_pixels(self.job.blocks.region(i)) for i in everything]
        shares = [r.valid for r in everything.values()]
        return {
            "store": self.job.store.url,
            "engine": self.where,
            "blocks": len(self.job.blocks),
            "done": len(self.records),
            "skipped": len(self.skipped),
            "missing": len(self.missing),
            "retried": self.retried,
            "damaged": self.damaged,
            "failed": {str(i): why for i, why in sorted(self.failed.items())},
            "seconds": round(self.seconds, 2),
            "seconds_a_block": round(float(np.median([r.seconds for r in self.records.values()])), 3) if self.records else None,
            "pixels_a_second": round(pixels / self.seconds) if self.seconds else None,
            "bytes_written": n_bytes,
            "clear_share": round(float(np.average(shares, weights=weights)), 4) if shares else None,
            "peak_memory_bytes": self.peak_bytes,
            "fingerprint": self.job.fingerprint,
        }

    def rows(self) -> list[tuple[str, str]]:
        """Say it in words."""
        s = self.summary()
        rows = [
            ("store", s["store"]),
            ("blocks", f"{s['done']} done, {s['skipped']} done before, {s['missing']} missing, of {s['blocks']}"),
            ("time", f"{s['seconds']:.1f} s on {s['engine']}" + (f", {s['seconds_a_block']:.2f} s a block" if self.records else "")),
        ]
        if self.records:
            rows.append(("throughput", f"{s['pixels_a_second'] / 1e6:.2f} Mpixels/s, {s['bytes_written'] / 1e6:.0f} MB written"))
        if s["clear_share"] is not None:
            rows.append(("valid", f"{100 * s['clear_share']:.1f} % of {self.job.variables[0]}"))
        rows.append(("memory", f"{self.peak_bytes / 1e9:.2f} GB resident at the most"))
        if self.retried:
            rows.append(("retried", f"{self.retried} blocks"))
        if self.damaged:
            rows.append(("damaged", f"blocks {_list(self.damaged)}"))
        return rows + [(f"block {i}", why) for i, why in sorted(self.failed.items())[:10]]

    def __repr__(self) -> str:
        return "\n".join(["<xsentinel job report>", *(f"  {name:<12}{value}" for name, value in self.rows())])

    def _repr_html_(self) -> str:
        body = "".join(f"<tr><th>{escape(n)}</th><td>{escape(str(v))}</td></tr>" for n, v in self.rows())
        return f"<table>{body}</table>"

    def to_json(self, path: str | PathLike[str]) -> None:
        """Write all figures as JSON."""
        Path(path).write_text(json.dumps(self.summary(), indent=1) + "\n", encoding="utf-8")

    def to_html(self, path: str | PathLike[str]) -> None:
        """Write a page with the figures and a quicklook."""
        picture = b64encode(_png(self.quicklook())).decode()
        name = escape(self.job.variables[0])
        page = (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(self.job.store.url)}</title>'
            "<style>body{font:15px/1.5 sans-serif;margin:2em;max-width:60em}th{text-align:left;padding-right:1.5em;vertical-align:top}"
            "img{image-rendering:pixelated;width:100%;max-width:40em}</style></head><body>"
            f"<h1>{escape(self.job.store.url)}</h1>{self._repr_html_()}<h2>{name}</h2>"
            f'<img alt="quicklook of {name}" src="data:image/png;base64,{picture}"></body></html>\n'
        )
        Path(path).write_text(page, encoding="utf-8")

    def quicklook(self) -> npt.NDArray[np.float32]:
        """Put the blocks' thumbnails together: the first variable's first date, (y, x), NaN where a block is missing."""
        blocks = self.job.blocks
        step = max(1, -(-max(min(s, n) for s, n in zip(blocks.side, blocks.shape, strict=True)) // THUMB))
        height, width = (-(-side // step) for side in blocks.side)
        out = np.full((blocks.counts[0] * height, blocks.counts[1] * width), np.nan, np.float32)
        for index in self.thumbnails.keys() | set(list(self.skipped)[:READ_AGAIN]):
            row, column = divmod(index, blocks.counts[1])
            part = self._thumbnail(index)
            part = part[:height, :width]
            out[row * height : row * height + part.shape[0], column * width : column * width + part.shape[1]] = part
        before = [(n - 1) * side for n, side in zip(blocks.counts, blocks.side, strict=True)]
        ends = [-(-(n - b) // step) for n, b in zip(blocks.shape, before, strict=True)]
        return out[: (blocks.counts[0] - 1) * height + ends[0], : (blocks.counts[1] - 1) * width + ends[1]]

    def _thumbnail(self, index: int) -> npt.NDArray[np.float32]:
        if index in self.thumbnails:
            return self.thumbnails[index]
        first = self.job.variables[0]
        try:
            return thumbnail(self.job.store.read([first], self.job.blocks.region(index) | {"time": slice(0, 1)})[first])
        except ReadError:
            return np.full((1, 1), np.nan, np.float32)


def _pixels(region: Window) -> int:
    return int(np.prod([s.stop - s.start for s in region.values()]))


def _list(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:20])) + (f" and {len(numbers) - 20} more" if len(numbers) > 20 else "")


def _png(values: npt.NDArray[np.float32]) -> bytes:
    import matplotlib as mpl
    from matplotlib.image import imsave

    known = values[np.isfinite(values)]
    low, high = np.percentile(known, [2, 98]) if known.size else (0.0, 1.0)
    scaled = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    colours: Any = mpl.colormaps["viridis"](np.ma.masked_invalid(scaled))
    colours[~np.isfinite(values)] = 1
    file = BytesIO()
    imsave(file, colours, format="png")
    return file.getvalue()
