"""Landscapes with known truth, as ordinary cubes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from xsentinel.bands import BANDS, PLATFORMS, SCALE_FACTOR, SCENE_CLASSES, TEN_BANDS
from xsentinel.classes import flag_attrs
from xsentinel.errors import GridError, XSentinelError
from xsentinel.geometry import with_angle_attrs
from xsentinel.simulate.labels import Labelling, draw_labels
from xsentinel.simulate.nomenclature import CLASSES
from xsentinel.simulate.overpass import Overpass, plan, read_dates
from xsentinel.simulate.parcels import outlines
from xsentinel.simulate.radar import POLARISATIONS, backscatter, radar_times
from xsentinel.simulate.scene import Scene, classes_seen, observe, true_class, true_cloud, true_lai, true_parcel, true_shadow
from xsentinel.version import __version__

SOURCE = f"xsentinel.simulate {__version__}"

if TYPE_CHECKING:
    import geopandas as gpd

CHUNKS = {"time": 12, "y": 256, "x": 256}
"""Sizes of chunks: 16 MB of counts of ten bands. Fewer dates lay the land out more often, more of them cost more than
is needed where one date is looked at."""

MERIDIAN, ZONE = 3.0, 31
"""Degrees east of the scenes, and the UTM zone that has it in its middle."""

LARGEST = 300_000
"""Pixels of 10 m along a side that places are numbered for."""

Generator = Callable[[Scene, range, range, range], npt.NDArray[Any]]


@dataclass(frozen=True)
class Landscape:
    """A simulated landscape: what satellites see of it, and what is there."""

    cube: xr.Dataset
    """Bands (time, y, x) and ``SCL``, as a Level-2A product has them."""
    truth: xr.Dataset
    """``lai``, ``cloud`` and ``shadow`` (time, y, x), ``class`` and ``parcel`` (y, x)."""
    grid: Grid = field(repr=False)
    """What both follow from."""

    @property
    def radar(self) -> xr.Dataset:
        """Give what Sentinel-1 sees every six days of the period: ``VV`` and ``VH`` (time, y, x), float32, dB; lazy."""
        times = radar_times(self.grid.scene.overs[0].time, self.grid.scene.overs[-1].time)
        scene = replace(self.grid.scene, overs=plan(times, self.grid.scene.latitude))
        grid = replace(self.grid, scene=scene)
        values = grid.stacks(backscatter, len(POLARISATIONS), np.float32)
        ds = xr.Dataset(attrs={"title": "simulated backscatter", "source": SOURCE})
        for k, name in enumerate(POLARISATIONS):
            ds[name] = ("time", "y", "x"), values[k], {"long_name": BANDS[name].long_name, "units": "dB"}
        return _on_grid(ds, grid)

    @property
    def unclouded(self) -> xr.Dataset:
        """Give the bands as they were without clouds, shadows and haze, all else the same: what is to be found under them; lazy."""
        return _cube(self.grid, mask_and_scale=True, sky=False).drop_vars("SCL")

    def labels(self, *, share: float = 0.1, wrong: float = 0.0, outdated: float = 0.0, eroded: float = 0.0, seed: int = 0) -> xr.DataArray:
        """Give labels such as one gets: of few parcels, eroded, some wrong.

        Parameters
        ----------
        share : float
            Of parcels that are labelled, 0 … 1; land that is in no parcel counts by blocks.
        wrong : float
            Of labels that name any other class, 0 … 1.
        outdated : float
            Of labels of fields that name a crop drawn anew, as that of a year before, 0 … 1.
        eroded : float
            Metres along the borders of parcels that are left without label.
        seed : int
            Of what is drawn.

        Returns
        -------
        xarray.DataArray (y, x)
            uint8, codes of ``truth["class"]``, 0 where there is no label; lazy.

        Raises
        ------
        XSentinelError
            If a share is not between 0 and 1, or metres are negative.
        """
        if eroded < 0:
            raise XSentinelError(f"eroded is {eroded!r} m; give 0 or more")
        how = Labelling(share, wrong, outdated, int(np.ceil(eroded / self.grid.scene.resolution)), seed)
        labels = self.truth["class"].copy(data=self.grid.maps(partial(draw_labels, how=how), np.uint8))
        return labels.rename("label").assign_attrs(long_name="label, 0 where there is none")

    def parcels(self) -> gpd.GeoDataFrame:
        """Give parcels as polygons, traced along pixels; computes the maps of parcels and classes.

        Returns
        -------
        geopandas.GeoDataFrame
            ``parcel``, ``class`` (code), ``class_name`` and ``geometry``, in the CRS of the cube.

        Raises
        ------
        XSentinelError
            If geopandas is not there.
        """
        return outlines(self.truth[["parcel", "class"]].compute())


def landscape(
    shape: tuple[int, int],
    dates: str | Sequence[object],
    *,
    seed: int = 0,
    resolution: int = 10,
    latitude: float = 50.0,
    chunks: Mapping[str, int] | None = None,
    mask_and_scale: bool = True,
) -> Landscape:
    """Simulate a landscape and what Sentinel-2 sees of it, lazily.

    Fields, forests, rivers, roads and towns are drawn at 3 m and mixed in pixels of 10 m. Each parcel's leaf area
    follows double logistics that vary by parcel and year, and by latitude. Reflectance is that of PROSAIL, from a
    table made with the band responses of Sentinel-2A and B, over soil with moisture. Then come clouds, their
    shadows, haze, point spread, noise and counts. Every value is a function of the seed, its place and its date
    alone, so that it is the same to the bit for any chunking, and a larger scene holds the smaller one.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of pixels.
    dates : str or sequence
        A year, seen from two overlapping orbits ("2018"), or dates; see `overpasses`. The platform follows from
        the day's place in the repeat cycle.
    seed : int
        Of everything, 0 … 2³² − 1.
    resolution : {10, 20}
        Metres a pixel. At 10 m the 20 m bands are repeated, as `xsentinel.open` does.
    latitude : float
        Degrees north, −60 … 65: sun, season, weather and what is grown follow it.
    chunks : mapping, optional
        Chunk sizes along ``time``, ``y``, ``x``; by default 12 dates of 256 × 256
        pixels. A band of a block is made with the nine others.
    mask_and_scale : bool
        Whether bands are float32 reflectance. If False, they are uint16 counts with ``scale_factor``, as stored.

    Returns
    -------
    Landscape
        ``cube``: B02 … B12 (time, y, x), float32 reflectance [1] without gaps; ``SCL`` (uint8) with the errors of a
        classifier; coordinates ``platform``, ``sza``, ``vza``, ``raa``, ``saa``, ``vaa`` (time), degrees; UTM.
        ``truth``: ``lai`` (float32, m² m⁻²), ``cloud`` and ``shadow`` (float32, opacity 0 … 1), ``class`` (uint8, CF
        flags; of the largest cover of a pixel), ``parcel`` (int64, 0 where there is none).

    Raises
    ------
    GridError
        If the shape, resolution or latitude is out of range.
    TimeError
        If a date cannot be read or stands twice.
    XSentinelError
        If the seed is out of range.

    References
    ----------
    Jacquemoud et al. (2009), Remote Sensing of Environment 113, S56–S66 (PROSAIL). Stoian et al. (2019), Remote
    Sensing 11, 1986, and Weikmann et al. (2021) for the nomenclature.

    Examples
    --------
    >>> import xsentinel as xs
    >>> scene = xs.simulate.landscape((64, 48), ["2018-05-05", "2018-06-22"], seed=1, resolution=20)
    >>> dict(scene.cube.sizes), scene.cube.B04.dtype.name
    ({'time': 2, 'y': 64, 'x': 48}, 'float32')
    >>> list(scene.truth)
    ['lai', 'cloud', 'shadow', 'class', 'parcel']
    """
    _check(shape, seed, resolution, latitude)
    scene = Scene(seed, latitude, resolution, plan(read_dates(dates, seed), latitude))
    grid = Grid(scene, shape, _chunking(chunks, (len(scene.overs), *shape)))
    return Landscape(_cube(grid, mask_and_scale), _truth(grid), grid)


def _check(shape: Sequence[object], seed: object, resolution: object, latitude: float) -> None:
    """Check what a scene is asked to be."""
    if not isinstance(resolution, int) or resolution not in (10, 20):
        raise GridError(f"resolution is {resolution!r} m; a landscape is made at 10 or 20 m: xr.Dataset.coarsen makes it coarser")
    limit = LARGEST * 10 // resolution
    if len(shape) != 2 or not all(isinstance(n, int | np.integer) and 0 < n <= limit for n in shape):
        raise GridError(f"shape is {shape!r}; give rows and columns, whole numbers from 1 to {limit}")
    if not -60 <= latitude <= 65:
        raise GridError(
            f"latitude is {latitude!r}; give degrees north between -60 and 65, where fields are green and the sun is up all year"
        )
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise XSentinelError(f"seed is {seed!r}; give a whole number from 0 to 4294967295")


def _chunking(chunks: Mapping[str, int] | None, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Give chunk sizes along time, y, x."""
    unknown = set(chunks or ()) - {"time", "y", "x"}
    if unknown:
        raise GridError(f"chunks has {', '.join(sorted(map(str, unknown)))}; it takes sizes along time, y and x")
    asked = CHUNKS | dict(chunks or {})
    return tuple(n if asked[d] == -1 else min(n, asked[d]) for d, n in zip(("time", "y", "x"), sizes, strict=True))


@dataclass(frozen=True)
class Grid:
    """A scene cut into blocks."""

    scene: Scene
    shape: tuple[int, int]
    chunks: tuple[int, ...]

    def indices(self) -> list[Any]:
        """Give the numbers of dates, rows and columns as dask arrays that broadcast to (time, y, x)."""
        import dask.array as da

        sizes = (len(self.scene.overs), *self.shape)
        along = [da.arange(n, chunks=c, dtype=np.int64) for n, c in zip(sizes, self.chunks, strict=True)]
        return [a[tuple(slice(None) if d == k else None for d in range(3))] for k, a in enumerate(along)]

    def cubes(self, generate: Generator, dtype: Any) -> Any:
        """Give what a generator makes, (time, y, x)."""
        import dask.array as da

        run = partial(_over_dates, scene=self.scene, generate=generate)
        arrays = self.indices()
        sizes = tuple(a.chunks[d] for d, a in enumerate(arrays))
        return da.map_blocks(run, *arrays, dtype=dtype, chunks=sizes, meta=np.empty((0, 0, 0), dtype))

    def stacks(self, generate: Generator, n: int, dtype: Any) -> Any:
        """Give what a generator makes of n layers at once, (layer, time, y, x)."""
        import dask.array as da

        arrays, run = self.indices(), partial(_over_dates, scene=self.scene, generate=generate)
        sizes = ((n,), *(a.chunks[d] for d, a in enumerate(arrays)))
        return da.map_blocks(run, *arrays, dtype=dtype, chunks=sizes, new_axis=0, meta=np.empty((0,) * 4, dtype))

    def maps(self, generate: Callable[[Scene, range, range], npt.NDArray[Any]], dtype: Any) -> Any:
        """Give what a generator makes of the land, (y, x)."""
        import dask.array as da

        _, rows, columns = self.indices()
        run = partial(_over_land, scene=self.scene, generate=generate)
        sizes = (rows.chunks[1], columns.chunks[2])
        return da.map_blocks(run, rows[0], columns[0], dtype=dtype, chunks=sizes, meta=np.empty((0, 0), dtype))


def _as_range(numbers: npt.NDArray[Any]) -> range:
    flat = numbers.ravel()
    return range(int(flat[0]), int(flat[-1]) + 1)


def _over_dates(times: Any, rows: Any, columns: Any, *, scene: Scene, generate: Generator) -> npt.NDArray[Any]:
    """Generate a block of dates."""
    return generate(scene, _as_range(times), _as_range(rows), _as_range(columns))


def _over_land(rows: Any, columns: Any, *, scene: Scene, generate: Callable[[Scene, range, range], npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Generate a block of what does not change."""
    return generate(scene, _as_range(rows), _as_range(columns))


def _cube(grid: Grid, mask_and_scale: bool, sky: bool = True) -> xr.Dataset:
    """Give bands and scene classification."""
    counts = grid.stacks(partial(observe, sky=sky), len(TEN_BANDS), np.uint16)
    cube = xr.Dataset(attrs={"title": "simulated landscape", "source": SOURCE, "seed": grid.scene.seed})
    for k, name in enumerate(TEN_BANDS):
        attrs: dict[str, Any] = {"long_name": BANDS[name].long_name, "standard_name": "surface_bidirectional_reflectance", "units": "1"}
        values = counts[k]
        if not mask_and_scale:
            attrs |= {"scale_factor": SCALE_FACTOR, "add_offset": 0.0, "_FillValue": np.uint16(0)}
        else:
            values = values * np.float32(SCALE_FACTOR)
        cube[name] = ("time", "y", "x"), values, attrs
    cube["SCL"] = ("time", "y", "x"), grid.cubes(classes_seen, np.uint8), _scl_attrs()
    return _placed(cube, grid)


def _scl_attrs() -> dict[str, Any]:
    codes = np.array([c.value for c in SCENE_CLASSES], np.uint8)
    return {"long_name": "scene classification", "flag_values": codes, "flag_meanings": " ".join(c.meaning for c in SCENE_CLASSES)}


def _truth(grid: Grid) -> xr.Dataset:
    """Give what is there."""
    truth = xr.Dataset(attrs={"title": "truth of a simulated landscape", "source": SOURCE, "seed": grid.scene.seed})
    layers = {
        "lai": (true_lai, "leaf area index", {"standard_name": "leaf_area_index", "units": "m2 m-2"}),
        "cloud": (true_cloud, "opacity of clouds", {"units": "1"}),
        "shadow": (true_shadow, "opacity of the clouds before the sun", {"units": "1"}),
    }
    for name, (generate, long_name, attrs) in layers.items():
        truth[name] = ("time", "y", "x"), grid.cubes(generate, np.float32), {"long_name": long_name, **attrs}
    truth["class"] = ("y", "x"), grid.maps(true_class, np.uint8), class_attrs()
    truth["parcel"] = ("y", "x"), grid.maps(true_parcel, np.int64), {"long_name": "parcel, 0 where there is none"}
    return _placed(truth, grid)


def class_attrs() -> dict[str, Any]:
    """Give the CF attributes of a map of classes."""
    return flag_attrs(CLASSES, "land cover")


def _on_grid(ds: xr.Dataset, grid: Grid) -> xr.Dataset:
    """Add times, coordinates and CRS."""
    import rioxarray  # noqa: F401  (registers .rio)

    overs, size = grid.scene.overs, float(grid.scene.resolution)
    north, east = _origin(grid.scene.latitude)
    ds = ds.assign_coords(
        time=pd.DatetimeIndex([o.time for o in overs]).as_unit("ns"),
        y=north - size * (np.arange(grid.shape[0]) + 0.5),
        x=east + size * (np.arange(grid.shape[1]) + 0.5),
    )
    placed: xr.Dataset = ds.rio.write_crs(f"EPSG:{_utm(grid.scene.latitude)}")
    return placed


def _placed(ds: xr.Dataset, grid: Grid) -> xr.Dataset:
    """Add coordinates, CRS, platforms and angles."""
    overs = grid.scene.overs
    ds = _on_grid(ds, grid).assign_coords(platform=("time", np.array([PLATFORMS[o.platform] for o in overs])))
    return ds.assign_coords({name: _angle(name, values) for name, values in _angles(overs).items()})


def _utm(latitude: float) -> int:
    return (32600 if latitude >= 0 else 32700) + ZONE


def _angles(overs: Sequence[Overpass]) -> dict[str, list[float]]:
    columns = zip(*((*o.angles, *o.azimuths) for o in overs), strict=True)
    return {name: list(values) for name, values in zip(("sza", "vza", "raa", "saa", "vaa"), columns, strict=True)}


def _angle(name: str, values: list[float]) -> xr.DataArray:
    return with_angle_attrs(xr.DataArray(values, dims="time"), name)


def _origin(latitude: float) -> tuple[float, float]:
    """Give northing and easting (m) of a scene's upper left corner, on whole pixels of 60 m."""
    from pyproj import Transformer

    east, north = Transformer.from_crs("EPSG:4326", f"EPSG:{_utm(latitude)}", always_xy=True).transform(MERIDIAN, latitude)
    return float(np.round(north / 60) * 60), float(np.round(east / 60) * 60)
