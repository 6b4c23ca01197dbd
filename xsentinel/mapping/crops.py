"""The method of Weikmann et al. (2021), whole: weak samples, weak network, reliable samples, final network, map, scores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import xarray as xr

from xsentinel import accuracy, samples
from xsentinel.bands import band_name
from xsentinel.batch.run import run
from xsentinel.blocks.model import Model, load_model, read_network
from xsentinel.composite import composite
from xsentinel.errors import ReadError, StoreError, XSentinelError
from xsentinel.io.classes import open_classes
from xsentinel.io.open import open as open_cube
from xsentinel.mapping.job import CropJob, Tile
from xsentinel.products.clouds import mask_clouds
from xsentinel.products.crops import crops
from xsentinel.seasons import season
from xsentinel.training import reliable, train_crops
from xsentinel.training.crops import MONTHLY, assess_series

T = TypeVar("T")

RASTERS = (".tif", ".tiff", ".nc", ".zarr")
"""Labels that are no polygons."""


def map_crops(job: CropJob, *, resume: bool = False, progress: bool = True) -> accuracy.Assessment:
    """Make a crop map out of images and a thematic map that may be wrong.

    Weak samples are drawn from the thematic map and a first network is trained on them, its loss weighted; of all labelled
    pixels those count as reliable that its map confirms; samples drawn from these alone train the network on, its loss
    no longer weighted; it maps the tiles. Each step writes to the folder of the job and is not done again if it is resumed.

    Parameters
    ----------
    job : CropJob
        As `read_job` reads it.
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
    >>> from xsentinel.mapping import map_crops, read_job
    >>> map_crops(read_job("job.yaml"))  # doctest: +SKIP
    """
    _claim(job, resume)
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


def _claim(job: CropJob, resume: bool) -> None:
    """Write down what the folder is of, or see that it is of this job."""
    text = json.dumps(asdict(replace(job, out=Path())), default=str, sort_keys=True)
    mark = {"job": json.loads(text), "digest": hashlib.sha256(text.encode()).hexdigest()}
    file = job.out / "job.json"
    if file.exists():
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError) as err:
            raise ReadError(f"{file} cannot be read: {err}; give another folder") from err
        if found.get("digest") != mark["digest"]:
            other = [key for key, value in mark["job"].items() if found.get("job", {}).get(key) != value]
            raise StoreError(f"{job.out} holds another job, which differs in {', '.join(other) or 'its version'}; give another folder")
        if not resume:
            raise StoreError(f"{job.out} holds this job already; resume it (--resume), or give another folder")
    job.out.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(mark, indent=1), encoding="utf-8")


class _Work:
    """The steps of a job; each gives what it made before, if it is whole."""

    def __init__(self, job: CropJob, progress: bool) -> None:
        self.job, self.progress = job, progress
        self._cubes: dict[str, xr.Dataset] = {}

    def cube(self, tile: Tile) -> xr.Dataset:
        """Give the monthly composites of a tile, lazily, and the same months for all tiles."""
        if tile.name not in self._cubes:
            cube = open_cube(tile.cube, **self.job.how)
            if self.job.mask is not None and "SCL" in cube:
                cube = mask_clouds(cube, **self.job.mask)
            bands = cube[[v for v in cube.data_vars if band_name(v) is not None]]
            self._cubes[tile.name] = composite(bands, list(season(cube, MONTHLY, 12, self.job.start)), method="median")
        return self._cubes[tile.name]

    def labels(self, tile: Tile) -> xr.Dataset:
        """Give the labels of a tile's thematic map."""
        job, grid = self.job, self.cube(tile)
        if Path(tile.labels).suffix.lower() in RASTERS:
            return samples.from_raster(open_classes(tile.labels), grid, legend=job.legend, erode=job.erode)
        if job.column is None:
            raise XSentinelError(f"tile {tile.name} has polygons ({tile.labels}); say by column which of their columns names the crop")
        return samples.rasterise(_polygons(tile.labels), grid, column=job.column, legend=job.legend, erode=job.erode)

    def samples(self, name: str, earlier: xr.Dataset | None = None) -> xr.Dataset:
        """Draw samples from each tile's labels, those that the weak map confirms if there are earlier ones, and split them."""
        path = self.job.out / f"{name}-samples.zarr"
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
        folder, done = self.job.out, self.job.out / f"{name}.json"
        return _once(
            done,
            lambda: train_crops(learnt, folder, name=name, progress=self.progress, resume=True, **given),
            lambda: load_model(done),
        )

    def map(self, tile: Tile, model: Model, name: str) -> None:
        """Map a tile, block by block; what is done of it stays."""
        run(crops(self.cube(tile), model), self._place(tile, name), resume=True, progress=self.progress)

    def _place(self, tile: Tile, name: str) -> str:
        return str(self.job.out / "maps" / f"{tile.name}-{name}.zarr")

    def _map_of(self, tile: Tile, name: str) -> xr.Dataset:
        maps: xr.Dataset = xr.open_zarr(self._place(tile, name), consolidated=False, mask_and_scale=False)
        return maps[["class", "confidence"]].assign_coords({d: self.cube(tile)[d] for d in ("y", "x")})

    def assess(self, model: Model, drawn: xr.Dataset) -> accuracy.Assessment:
        """Score a network on samples that no training has seen, and write table and picture."""
        found = assess_samples(model, on_side(drawn, "test"))
        for suffix, write in ((".csv", found.to_csv), (".md", found.to_markdown), (".png", found.save_plot)):
            write(str(self.job.out / f"assessment{suffix}"))
        return found


def assess_samples(model: Model, drawn: xr.Dataset) -> accuracy.Assessment:
    """Score a classifier on labelled samples, as `xsentinel.samples` makes them.

    Raises
    ------
    XSentinelError
        If bands or dates are not those of the model.
    """
    card = model.card
    bands = [str(b) for b in drawn["band"].values]
    missing = [band for band in card.bands if band not in bands]
    if missing or drawn.sizes["time"] != card.dates:
        raise XSentinelError(
            f"model {card.name} takes {card.dates} dates of {', '.join(card.bands)}; the samples have {drawn.sizes['time']} dates of "
            f"{', '.join(bands)}"
        )
    values = drawn["reflectance"].sel(band=list(card.bands)).values.astype(np.float32)
    return assess_series(read_network(model), card, values, drawn["label"].values)


def on_side(drawn: xr.Dataset, side: str | None = None) -> xr.Dataset:
    """Give the samples of a side; of none named, those to test on if the samples are split, else all.

    Raises
    ------
    XSentinelError
        If there are none.
    """
    if "split" not in drawn.coords:
        if side is not None:
            raise XSentinelError(f"the samples are not split, so none are of the side {side!r}; leave it out")
        return drawn
    sides = drawn["split"].values.astype(str)
    which = np.flatnonzero(sides == (side or "test"))
    if not which.size:
        raise XSentinelError(f"no sample is of the side {side or 'test'!r}; the samples are of {', '.join(sorted(set(sides.tolist())))}")
    return drawn.isel(sample=which)


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


def _polygons(path: str) -> Any:
    try:
        import geopandas
    except ImportError as err:
        raise XSentinelError("polygons need geopandas: pip install 'xsentinel[parcels]'") from err
    try:
        return geopandas.read_file(path)
    except Exception as err:  # pyogrio raises its own kinds
        raise ReadError(f"the polygons {path} cannot be read: {err}") from err
