"""The grid that a cube is asked for: resolution, box, CRS, or that of another cube."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import xarray as xr

from xsentinel.bands import BANDS
from xsentinel.cube import pixel_size
from xsentinel.errors import GridError

Bounds = tuple[float, float, float, float]
"""West, south, east, north."""

TELL_CRS = "tell it: open(..., assume_crs='EPSG:...') of a GeoTIFF, else ds.rio.write_crs('EPSG:...')"

METHODS = ("nearest", "bilinear", "cubic", "average", "mode")

KINDS = ("reflectance", "radar", "classes", "probability", "angles")
"""Kinds of variables, each resampled in its own way."""

DEFAULT_METHODS = {"reflectance": "bilinear", "radar": "bilinear", "classes": "nearest", "probability": "nearest", "angles": "bilinear"}

EDGE = 1e-6
"""Share of a pixel by which a box may miss an edge."""


@dataclass(frozen=True, eq=False)
class Request:
    """What was asked for; all None for the grid that the data have."""

    resolution: float | None = None
    """Pixel size in units of the CRS."""
    bounds: Bounds | None = None
    bounds_crs: Any = None
    """CRS of the bounds; None for that of the data."""
    crs: Any = None
    like: xr.Dataset | None = None
    """A cube whose pixels are to be matched."""
    methods: Mapping[str, str] | None = None
    """Resampling by kind or variable."""

    def method(self, name: str) -> str:
        """Give how a variable is resampled to finer pixels or another CRS."""
        given = self.methods or {}
        return given.get(name, given.get(kind_of(name), DEFAULT_METHODS[kind_of(name)]))


def kind_of(name: str) -> str:
    """Give the kind of a variable by its name."""
    if name in BANDS:
        return "radar" if BANDS[name].is_radar else "reflectance"
    if name.upper() in ("CLD", "SNW"):
        return "probability"
    return "angles" if name in ("sza", "vza", "raa", "saa", "vaa") else "classes"


def make_request(
    resolution: float | None,
    bbox: Sequence[float] | None,
    crs: Any,
    like: xr.Dataset | xr.DataArray | None,
    resampling: str | Mapping[str, str] | None,
) -> Request:
    """Check what was asked for.

    Raises
    ------
    GridError
        If a box, CRS, resolution or method is none, or ``like`` comes with another request.
    """
    methods = _methods(resampling)
    if like is not None:
        return _like(like, {"resolution": resolution, "bbox": bbox, "crs": crs}, methods)
    if resolution is not None and not _is_size(resolution):
        raise GridError(f"resolution is {resolution!r}; it is a pixel size in metres, such as 10 or 20")
    bounds = None if bbox is None else _bounds(bbox)
    degrees = bounds is not None and max(map(abs, bounds[::2])) <= 180 and max(map(abs, bounds[1::2])) <= 90
    return Request(resolution, bounds, read_crs("EPSG:4326") if degrees else None, None if crs is None else read_crs(crs), None, methods)


def _is_size(value: Any) -> bool:
    return isinstance(value, Real) and 0 < float(value) < np.inf


def _methods(resampling: str | Mapping[str, str] | None) -> Mapping[str, str]:
    given = {"reflectance": resampling, "radar": resampling} if isinstance(resampling, str) else dict(resampling or {})
    for key, method in given.items():
        if method not in METHODS or key not in (*KINDS, *BANDS, "SCL", "CLD", "SNW"):
            raise GridError(
                f"resampling has {key!r}: {method!r}; it is one of {', '.join(METHODS)}, for all bands or for each of {', '.join(KINDS)} "
                f"(or a band): resampling={{'reflectance': 'cubic', 'classes': 'nearest'}}"
            )
    if given.get("classes", "nearest") not in ("nearest", "mode"):
        raise GridError(f"classes cannot be resampled by {given['classes']!r}, which would make up classes; take nearest or mode")
    return given


def _bounds(bbox: Sequence[float]) -> Bounds:
    numbers = np.asarray(bbox, np.float64) if np.size(bbox) == 4 else np.full(4, np.nan)
    west, south, east, north = (float(n) for n in numbers)
    if not np.isfinite(numbers).all() or west >= east or south >= north:
        raise GridError(f"bbox is {tuple(np.ravel(bbox).tolist())}; it is (west, south, east, north), each west < east and south < north")
    return west, south, east, north


def read_crs(crs: Any) -> Any:
    """Read a CRS in any form that PROJ knows.

    Raises
    ------
    GridError
        If it is none.
    """
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    try:
        return CRS.from_user_input(crs)
    except (CRSError, ValueError, TypeError) as err:
        raise GridError(f"{str(crs)[:60]!r} is no CRS that PROJ knows ({err}); give a code such as 'EPSG:32632'") from err


def _like(like: xr.Dataset | xr.DataArray, others: dict[str, Any], methods: Mapping[str, str]) -> Request:
    import rioxarray  # noqa: F401  (registers .rio)

    if given := [name for name, value in others.items() if value is not None]:
        raise GridError(f"like= gives the grid, and so does {', '.join(given)}=; leave one of them out")
    cube = like if isinstance(like, xr.Dataset) else like.to_dataset(name="like")
    if cube.rio.crs is None:
        raise GridError(f"the cube given by like= has no CRS; {TELL_CRS}")
    dy, dx = pixel_size(cube)
    if not np.isclose(abs(dy), abs(dx), rtol=1e-6):
        raise GridError(f"the cube given by like= has pixels of {abs(dy):g} by {abs(dx):g}; they must be square")
    x, y = cube["x"].values, cube["y"].values
    half = abs(dx) / 2
    bounds = (float(x.min()) - half, float(y.min()) - half, float(x.max()) + half, float(y.max()) + half)
    return Request(abs(dx), bounds, cube.rio.crs, cube.rio.crs, cube[["y", "x"]].drop_attrs(), methods)


def geobox_of_like(request: Request) -> Any:
    """Give the grid of the cube whose pixels are to be matched."""
    from affine import Affine
    from odc.geo.geobox import GeoBox

    assert request.like is not None
    dy, dx = pixel_size(request.like)
    y, x = request.like["y"].values, request.like["x"].values
    affine = Affine(dx, 0, float(x[0]) - dx / 2, 0, dy, float(y[0]) - dy / 2)
    return GeoBox((y.size, x.size), affine, request.crs.to_wkt())


def bounds_in(request: Request, crs: Any) -> Bounds | None:
    """Give the bounds asked for in another CRS, enclosing them.

    Raises
    ------
    GridError
        If the box has no place in that CRS, or the data have no CRS.
    """
    from rasterio.errors import RasterioError
    from rasterio.warp import transform_bounds

    source = request.bounds_crs or request.crs
    if request.bounds is None or (source is None and crs is None):
        return request.bounds
    if crs is None:
        raise GridError(f"the data have no CRS, so a box in degrees cannot be found in them; {TELL_CRS}")
    if source is None or source == crs:
        return request.bounds
    try:
        found = transform_bounds(source, crs, *request.bounds, densify_pts=21)
    except (RasterioError, ValueError) as err:
        raise GridError(f"bbox {request.bounds} cannot be brought to {crs} ({err}); give it in degrees or in the CRS asked for") from err
    if not np.isfinite(found).all():
        raise GridError(f"bbox {request.bounds} has no place in {crs}; give it in degrees or in the CRS asked for")
    west, south, east, north = found
    return west, south, east, north


def crop(parts: list[xr.Dataset], bounds: Bounds, resolution: float | None = None, margin: int = 0) -> list[xr.Dataset]:
    """Cut parts to a box, widened to whole pixels of the coarsest, or of ``resolution``, and by ``margin`` of these.

    Raises
    ------
    GridError
        If the box lies outside, or the data have no coordinates.
    """
    sizes = [pixel_size(p) for p in parts]
    coarsest = max(*(abs(dx) for _, dx in sizes), resolution or 0)
    (dy, dx), first = sizes[0], parts[0]
    anchor = float(first["x"][0]) - dx / 2, float(first["y"][0]) - dy / 2
    low = [np.floor((b - a) / coarsest + EDGE) - margin for b, a in zip(bounds[:2], anchor, strict=True)]
    high = [np.ceil((b - a) / coarsest - EDGE) + margin for b, a in zip(bounds[2:], anchor, strict=True)]
    box = [a + n * coarsest for a, n in zip(anchor * 2, (*low, *high), strict=True)]
    return [_cut(p, (box[0], box[1], box[2], box[3])) for p in parts]


def _cut(part: xr.Dataset, box: Bounds) -> xr.Dataset:
    wanted = {}
    for d, low, high in (("x", box[0], box[2]), ("y", box[1], box[3])):
        inside = np.nonzero((part[d].values > low) & (part[d].values < high))[0]
        if not inside.size:
            own = sorted((float(part[d][0]), float(part[d][-1])))
            raise GridError(
                f"bbox lies outside the data: {d} from {low:.10g} to {high:.10g}, and the data's from {own[0]:.10g} to {own[1]:.10g}; "
                f"give (west, south, east, north) in degrees or in the CRS of the data"
            )
        wanted[d] = slice(int(inside[0]), int(inside[-1]) + 1)
    return part.isel(wanted)
