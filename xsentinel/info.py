"""What was understood of a cube, for a person to check."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import numpy as np
import xarray as xr

from xsentinel.bands import CLOUDY_CLASSES, scene_class_values
from xsentinel.cube import band_variables, pixel_size
from xsentinel.errors import GridError
from xsentinel.geometry import find_angles

SAMPLED = 20_000_000
"""Scene class pixels above which the clear share is taken from a regular sample."""


@dataclass(frozen=True)
class CubeInfo:
    """A cube in a dozen lines; prints as text and, in Jupyter, as a table."""

    bands: tuple[str, ...]
    """Bands, and SCL where it is there."""
    variables: tuple[str, ...]
    """Variables that are not bands."""
    dates: str
    """How many, from when to when."""
    grid: str
    """Pixels and their size."""
    crs: str
    """Name of the CRS."""
    bounds: str
    """West, south, east, north in its units."""
    platforms: str
    """Platforms and their number of dates."""
    angles: str
    """Ranges of the angles, degrees."""
    stored: str
    """Dtype, and scale and offset where undecoded."""
    chunks: str
    """Dask chunks, or that the cube is in memory."""
    memory: str
    """Size if all of it were loaded."""
    clear: str
    """Share of the pixels that the scene classes call clear."""
    notes: str
    """What was changed or left out on the way in."""

    def rows(self) -> list[tuple[str, str]]:
        """Give titles and texts, empty ones left out."""
        texts = {k: ", ".join(v) if isinstance(v, tuple) else v for k, v in vars(self).items()}
        return [(k, v) for k, v in texts.items() if v]

    def __str__(self) -> str:
        return "\n".join(f"{title:<10} {text}" for title, text in self.rows())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        body = "".join(
            f"<tr><th style='text-align:left'>{escape(k)}</th><td style='text-align:left'>{escape(v)}</td></tr>" for k, v in self.rows()
        )
        return f"<table><caption>Sentinel-2 cube</caption>{body}</table>"


def info(ds: xr.Dataset) -> CubeInfo:
    """Say what a cube holds: bands, dates, grid, CRS, geometry, clear share, memory.

    Parameters
    ----------
    ds : xarray.Dataset
        A cube, or maps made of one. Only scene classes and coordinates are read.

    Returns
    -------
    CubeInfo
        Prints as text, in Jupyter as a table.

    Examples
    --------
    >>> import xsentinel as xs
    >>> print(xs.sample("zurich").s2.info().grid)
    400 y × 500 x, pixels of 10 m
    """
    bands = band_variables(ds)
    names = (*bands, *(["SCL"] if "SCL" in ds else []))
    return CubeInfo(
        bands=names,
        variables=tuple(str(v) for v in ds.data_vars if v not in (*bands.values(), "SCL")),
        dates=_dates(ds),
        grid=_grid(ds),
        crs=_crs(ds),
        bounds=_bounds(ds),
        platforms=_platforms(ds),
        angles=_angles(ds),
        stored=_stored([ds[v] for v in bands.values()]),
        chunks=_chunks(ds),
        memory=_bytes(ds.nbytes),
        clear=_clear(ds),
        notes="; ".join(filter(None, [ds.attrs.get("notes"), _left_out(ds)])),
    )


def _left_out(ds: xr.Dataset) -> str | None:
    return f"left out: {ds.attrs['left_out']}" if "left_out" in ds.attrs else None


def _dates(ds: xr.Dataset) -> str:
    if "time" not in ds.coords:
        return "none"
    times = np.atleast_1d(ds["time"].values)
    if times.dtype.kind != "M":
        return f"{times.size}, which are no dates ({times.dtype}); ds.assign_coords(time=pandas.to_datetime(ds.time.values)) makes them so"
    if not times.size:
        return "none"
    if np.isnat(times).any():
        return f"{times.size}, {int(np.isnat(times).sum())} unknown"
    first, last = (str(t)[:10] for t in (times.min(), times.max()))
    return f"{times.size}, {first} to {last}" if times.size > 1 else first


def _grid(ds: xr.Dataset) -> str:
    shape = " × ".join(f"{ds.sizes[d]} {d}" for d in ("y", "x") if d in ds.sizes) or "no dims y and x"
    try:
        dy, dx = pixel_size(ds)
    except GridError:
        return f"{shape}, pixel size unknown"
    unit = _unit(ds)
    return (
        f"{shape}, pixels of {abs(dy):g}{unit}" if np.isclose(abs(dy), abs(dx)) else f"{shape}, pixels of {abs(dy):g} × {abs(dx):g}{unit}"
    )


def _unit(ds: xr.Dataset) -> str:
    import rioxarray  # noqa: F401  (registers .rio)

    if ds.rio.crs is None:
        return ""
    return "°" if ds.rio.crs.is_geographic else {"metre": " m"}.get(ds.rio.crs.linear_units, f" {ds.rio.crs.linear_units}")


def _crs(ds: xr.Dataset) -> str:
    import rioxarray  # noqa: F401  (registers .rio)

    crs = ds.rio.crs
    if crs is None:
        return "unknown; open(..., assume_crs='EPSG:...') tells it of a GeoTIFF, else ds.rio.write_crs('EPSG:...')"
    return str(crs.to_string()) if crs.to_epsg() is None else f"EPSG:{crs.to_epsg()}"


def _bounds(ds: xr.Dataset) -> str:
    try:
        dy, dx = pixel_size(ds)
    except GridError:
        return ""
    x, y = ds["x"].values, ds["y"].values
    edges = x.min() - abs(dx) / 2, y.min() - abs(dy) / 2, x.max() + abs(dx) / 2, y.max() + abs(dy) / 2
    return ", ".join(f"{e:.10g}" for e in edges)


def _platforms(ds: xr.Dataset) -> str:
    if "platform" not in ds.coords:
        return "unknown"
    names, counts = np.unique(np.atleast_1d(ds["platform"].values), return_counts=True)
    shown = [f"{n or 'unknown'} ({c})" if counts.size > 1 or c > 1 else str(n) for n, c in zip(names, counts, strict=True)]
    source = ds["platform"].attrs.get("source")
    return ", ".join(shown) + (f", by {source}" if source else "")


def _angles(ds: xr.Dataset) -> str:
    found = {name: angle for name, angle in find_angles(ds).items() if angle.size}
    if not found:
        return "unknown"
    source = next((a.attrs["source"] for a in found.values() if "source" in a.attrs), None)
    ranges = [f"{n} {float(a.min()):.1f}…{float(a.max()):.1f}°" if a.size > 1 else f"{n} {float(a.min()):.1f}°" for n, a in found.items()]
    return ", ".join(ranges) + (f" ({source})" if source else "")


def _stored(bands: list[xr.DataArray]) -> str:
    kinds = {
        f"{b.dtype}" + (f" · {b.attrs['scale_factor']:g} {b.attrs.get('add_offset', 0):+g}" if "scale_factor" in b.attrs else "")
        for b in bands
    }
    return ", ".join(sorted(kinds))


def _chunks(ds: xr.Dataset) -> str:
    chunks = ds.unify_chunks().chunks
    return ", ".join(f"{d} {max(c)}" + (f" ({len(c)})" if len(c) > 1 else "") for d, c in chunks.items()) or "none: in memory"


def _bytes(n: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} TB"


def _clear(ds: xr.Dataset) -> str:
    """Share of clear pixels over all dates and of the clearest date; of a sample if there are very many."""
    if "SCL" not in ds or not ds["SCL"].size:
        return "unknown: no scene classes"
    step = max(1, int(np.ceil(np.sqrt(ds["SCL"].size / SAMPLED))))
    scl = ds["SCL"].isel({d: slice(None, None, step) for d in ("y", "x") if d in ds["SCL"].dims})
    hidden = scl.isin(np.array(scene_class_values(CLOUDY_CLASSES), scl.dtype))
    share = 1 - hidden.mean([d for d in ("y", "x") if d in scl.dims]).compute()
    text = f"{100 * float(share.mean()):.0f} %" + (f" (every {step}th pixel)" if step > 1 else "")
    if share.ndim:
        good = int((share > 0.9).sum())
        text += f"; {good} of {share.size} dates above 90 %"
    return text
