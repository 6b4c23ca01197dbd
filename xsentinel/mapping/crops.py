"""The method of Weikmann et al. (2021), whole: weak samples, weak network, reliable samples, final network, map, scores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import xarray as xr

from xsentinel import accuracy, samples
from xsentinel.batch.run import run
from xsentinel.blocks.model import Model, load_model
from xsentinel.composite import composite
from xsentinel.errors import XSentinelError
from xsentinel.mapping.job import CropJob, Tile
from xsentinel.mapping.tiles import claim, cube_of, labels_of
from xsentinel.products.crops import crops
from xsentinel.seasons import season
from xsentinel.training import evaluate_crops, reliable, train_crops
from xsentinel.training.crops import MONTHLY

T = TypeVar("T")


def map_crops(job: CropJob, *, resume: bool = False, progress: bool = True) -> accuracy.Assessment:
    """Make a crop map out of images and a thematic map that may be wrong.

    Weak samples are drawn from the thematic map and a first network is trained on them, its loss weighted; of all labelled
    pixels those count as reliable that its map confirms; samples drawn from these alone train the network on, its loss
    no longer weighted; it maps the tiles. Each step writes to the folder of the job and is not done again if it is resumed.

    Parameters
    ----------
    job : CropJob
        As `read_crop_job` reads it.
    resume : bool
        Go on with what an earlier run of the same job left. Without it a folder that holds one is refused.
    progress : bool
        Show bars.

    Returns
    -------
    Assessment
        Of the final network on samples of the side "test", against the labels of the thematic map, right or wrong.

    Raises
    ------
    StoreError
        If the folder holds another job, or this one and `resume` is not asked for.
    XSentinelError
        As the steps do.

    Examples
    --------
    >>> from xsentinel.mapping import map_crops, read_crop_job
    >>> map_crops(read_crop_job("job.yaml"))  # doctest: +SKIP
    """
    claim(job, resume)
    work = _Work(job, progress)
    weak_samples = work.samples("weak")
    if job.reliable is None:
        final, kept = work.model("crops", weak_samples, None), weak_samples
    else:
        weak = work.model("weak", weak_samples, None)
        for tile in job.tiles:
            work.map(tile, weak, "weak")
        kept = work.samples("reliable", weak_samples)
        final = work.model("crops", kept, weak)
    if job.maps:
        for tile in job.tiles:
            work.map(tile, final, "crops")
    return work.assess(final, weak_samples)


class _Work:
    """The steps of a job; each gives what it made before, if it is whole."""

    def __init__(self, job: CropJob, progress: bool) -> None:
        self.job, self.progress = job, progress
        self._cubes: dict[str, xr.Dataset] = {}

    def cube(self, tile: Tile) -> xr.Dataset:
        """Give the monthly composites of a tile, lazily, and the same months for all tiles."""
        if tile.name not in self._cubes:
            bands = cube_of(self.job, tile)
            self._cubes[tile.name] = composite(bands, list(season(bands, MONTHLY, 12, self.job.start)), method="median")
        return self._cubes[tile.name]

    def labels(self, tile: Tile) -> xr.Dataset:
        """Give the labels of a tile's thematic map."""
        return labels_of(self.job, tile, self.cube(tile))

    def samples(self, name: str, earlier: xr.Dataset | None = None) -> xr.Dataset:
        """Draw samples from each tile's labels, those that the weak map confirms if there are earlier ones, and split them."""
        path = self.job.output / f"{name}-samples.zarr"
        return _once(path, lambda: self._drawn(path, earlier), lambda: samples.open(path))

    def _drawn(self, path: Path, earlier: xr.Dataset | None) -> None:
        parts = {}
        for tile in self.job.tiles:
            labels = self.labels(tile)
            if earlier is not None:
                labels = labels.assign(label=reliable(labels["label"], self._map_of(tile, "weak"), quantile=self.job.reliable or 0.0))
            table = self._table(labels, tile, earlier is not None)
            parts[tile.name] = samples.extract(self.cube(tile), table, progress=self.progress)
        joined = samples.concat(parts) if len(parts) > 1 else next(iter(parts.values())).assign_coords(
            tile=("sample", np.full(next(iter(parts.values())).sizes["sample"], next(iter(parts))))
        )  # fmt: skip
        sided = samples.split(joined, shares=self.job.split, seed=self.job.seed) if earlier is None else _sided(joined, earlier)
        samples.save(sided, path, overwrite=True)

    def _table(self, labels: xr.Dataset, tile: Tile, selected: bool) -> xr.Dataset:
        try:
            return samples.draw(labels, self.job.rule, seed=self.job.seed, block=self.job.block)
        except XSentinelError as err:
            if not selected:
                raise
            raise XSentinelError(
                f"tile {tile.name}: of its labels the first map confirms too few to draw from ({err}); train longer, look at "
                f"{self._place(tile, 'weak')}, or set reliable to false"
            ) from err

    def model(self, name: str, learnt: xr.Dataset, initial: Model | None) -> Model:
        """Train a network: the weak one weighted, that which goes on from it not."""
        given = dict(self.job.train)
        if initial is not None:
            given |= {"initial": initial, "weighted": False}
        elif self.job.reliable is not None:
            given |= {"weighted": True}
        folder, done = self.job.output, self.job.output / f"{name}.json"
        return _once(
            done,
            lambda: train_crops(learnt, folder, name=name, progress=self.progress, resume=True, **given),
            lambda: load_model(done),
        )

    def map(self, tile: Tile, model: Model, name: str) -> None:
        """Map a tile, block by block; what is done of it stays."""
        run(crops(self.cube(tile), model), self._place(tile, name), resume=True, progress=self.progress)

    def _place(self, tile: Tile, name: str) -> str:
        return str(self.job.output / "maps" / f"{tile.name}-{name}.zarr")

    def _map_of(self, tile: Tile, name: str) -> xr.Dataset:
        maps: xr.Dataset = xr.open_zarr(self._place(tile, name), consolidated=False, mask_and_scale=False)
        return maps[["class", "confidence"]].assign_coords({d: self.cube(tile)[d] for d in ("y", "x")})

    def assess(self, model: Model, drawn: xr.Dataset) -> accuracy.Assessment:
        """Score a network on samples that no training has seen, and write table and picture."""
        found = evaluate_crops(model, drawn, side="test")
        for suffix, write in ((".csv", found.to_csv), (".md", found.to_markdown), (".png", found.save_plot)):
            write(str(self.job.output / f"assessment{suffix}"))
        return found


def _once(mark: Path, make: Callable[[], object], read: Callable[[], T]) -> T:
    """Read what is there, else make it first; half-made is made again."""
    done = mark.with_name(f".{mark.name}.done")
    if not (done.exists() and mark.exists()):
        make()
        done.touch()
    return read()


def _sided(drawn: xr.Dataset, earlier: xr.Dataset) -> xr.Dataset:
    """Put samples on the side that their block was put on before; of new blocks, to learn from."""
    keys = list(zip(earlier["tile"].values.tolist(), earlier["block"].values.tolist(), strict=True))
    sides = dict(zip(keys, earlier["split"].values.astype(str).tolist(), strict=True))
    here = zip(drawn["tile"].values.tolist(), drawn["block"].values.tolist(), strict=True)
    return drawn.assign_coords(split=("sample", np.array([sides.get(key, "train") for key in here])))
