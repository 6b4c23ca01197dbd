"""A cube in motion: one frame a date, read one at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.errors import TimeError, WriteError, XSentinelError
from xsentinel.plot.colour import check_stretch, colour_layers, image_of, limits_of
from xsentinel.plot.dates import date_text, loaded
from xsentinel.plot.flags import draw_codes, places_of
from xsentinel.plot.marks import draw_marks, overlay, scene_layer
from xsentinel.plot.place import colour_bar, entitle, finish, legend_below, show, thin
from xsentinel.style import MISSING, flag_colours, flag_text, palette_of, quantity_of, stretched, value_limits, values_of

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

LOG = logging.getLogger("xsentinel")

SIDE = 600
"""Pixels along a side of a frame at most; larger maps are thinned."""

EMBEDDED_MB = 1000
"""Size of a player at most; matplotlib's own limit of 20 MB leaves out the last dates of a long series."""

LOOKED_AT = 12
"""Dates, spread over all, that the scale of all frames is taken from."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Film:
    """What is drawn of each date."""

    layers: list[xr.DataArray]
    """(time, y, x) each, thinned."""
    start: Callable[[Axes], list[AxesImage]]
    """Draw images without pixels, with scale and legend."""
    paint: Callable[[list[xr.DataArray]], list[Array]]
    """Loaded layers of a date → the pixels of the images."""
    words: str
    """For the title."""


def animate(
    ds: xr.Dataset,
    path: str | PathLike[str] | None = None,
    *,
    variable: str | None = None,
    bands: str | Sequence[str] = "true colour",
    stretch: tuple[float, float] = (2.0, 98.0),
    clouds: bool = False,
    least: float = 0.0,
    fps: float = 4.0,
    progress: bool = False,
    ax: Axes | None = None,
    **style: Any,
) -> FuncAnimation | str:
    """Animate a cube over time, as a colour composite or by a variable, all dates on one scale.

    Frames are read one at a time, when they are drawn, and thinned to 600 pixels a side; before that at most 12 dates spread
    over the cube are looked at for the scale, none if ``vmin`` and ``vmax`` are given.

    Parameters
    ----------
    ds : xarray.Dataset
        A cube or maps (time, y, x).
    path : path, optional
        Where to write: ``.gif``, ``.html`` (a player with its pictures, of one file) or ``.mp4`` (by ffmpeg).
    variable : str, optional
        Measures or classes to draw instead of a colour composite.
    bands : str or sequence of three str
        As `rgb`.
    stretch : (float, float)
        As `rgb`, over the dates looked at.
    clouds : bool
        As `rgb`: mark clouds, shadow and snow.
    least : float, share of 1
        Leave out dates that show less than this share of the pixels; all dates are then read once before. Cloudy dates of
        a cube that is not masked go by ``ds.s2.drop_cloudy()``.
    fps : float
        Frames a second.
    progress : bool
        Show a bar while a file is written.
    ax : matplotlib Axes, optional
        To draw on; of a new figure outside pyplot, which no notebook shows twice, if not given.
    **style
        As `map`: ``vmin``, ``vmax``, ``cmap``; of colour composites ``vmin`` and ``vmax`` are the reflectance that becomes
        black and white.

    Returns
    -------
    matplotlib.animation.FuncAnimation or str
        Shown as a player by notebooks, and by ``HTML(animation.to_jshtml())``; keep it in a name while it plays. With a
        path the path of what was written.

    Raises
    ------
    BandError, TimeError, GridError, XSentinelError
        If a band, the variable or times are not there, or no date shows enough.
    WriteError
        If the file cannot be written, its suffix is not known, or ffmpeg is not there.

    Examples
    --------
    >>> import xsentinel as xs
    >>> moving = animate(xs.sample("romania").isel(time=slice(3)), clouds=True)
    >>> len(list(moving.new_frame_seq()))
    3
    >>> player = moving.to_jshtml()
    """
    if variable is not None and (clouds or bands != "true colour"):
        raise XSentinelError(f"variable={variable!r} animates a map; bands and clouds are of colour composites: give one or the other")
    if variable is None:
        film = _of_colours(ds, bands, stretch, clouds, style)
    elif variable in ds:
        film = _of_map(ds[variable], style)
    else:
        raise XSentinelError(
            f"variable {variable!r} is not there to animate; the dataset has {', '.join(map(str, ds.data_vars)) or 'none'}"
        )
    return _played(film, path, least, fps, progress, ax)


def animate_map(
    da: xr.DataArray,
    path: str | PathLike[str] | None = None,
    *,
    least: float = 0.0,
    fps: float = 4.0,
    progress: bool = False,
    ax: Axes | None = None,
    **style: Any,
) -> FuncAnimation | str:
    """Animate a map over time, all dates on one scale.

    Parameters
    ----------
    da : xarray.DataArray (time, y, x)
        Measures or classes.
    path, least, fps, progress, ax, **style
        As `animate` of a Dataset.

    Returns
    -------
    matplotlib.animation.FuncAnimation or str
        As `animate` of a Dataset.

    Raises
    ------
    TimeError, GridError, XSentinelError, WriteError
        As `animate` of a Dataset.
    """
    return _played(_of_map(da, style), path, least, fps, progress, ax)


def _of_colours(ds: xr.Dataset, bands: str | Sequence[str], stretch: tuple[float, float], clouds: bool, style: dict[str, Any]) -> _Film:
    check_stretch(stretch)
    other = sorted(set(style) - {"vmin", "vmax"})
    if other:
        raise XSentinelError(
            f"{', '.join(other)} has no meaning for a colour composite, which takes vmin and vmax; name a variable to draw"
        )
    layers, words = colour_layers(ds, bands, SIDE)
    layers += [scene_layer(ds, SIDE)] if clouds else []
    _check(layers)
    limits = _given(style) or _from(layers[:3], lambda parts: limits_of(image_of(parts).reshape(-1, 1, 3), stretch, parts))

    def start(ax: Axes) -> list[AxesImage]:
        images = [show(ax, np.zeros((*_shape(layers[0]), 3), np.float32), layers[0])]
        return images + ([draw_marks(ax, xr.zeros_like(layers[3].isel(time=0)).compute(), shares=False)] if clouds else [])

    def paint(parts: list[xr.DataArray]) -> list[Array]:
        return [stretched(image_of(parts[:3]), *limits), *(overlay(scl.values) for scl in parts[3:])]

    return _Film(layers, start, paint, words)


def _of_map(da: xr.DataArray, style: dict[str, Any]) -> _Film:
    layer, words = thin(da, SIDE), str(da.attrs.get("long_name", da.name))
    _check([layer])
    if "flag_masks" in da.attrs:
        raise XSentinelError(f"{da.name} holds bits, whose combinations have no fixed colours; animate one: (ds.{da.name} & 1) > 0")
    if "flag_values" in da.attrs:
        return _of_classes(layer, words)
    low, high = _given(style) or _from([layer], lambda parts: value_limits(str(da.name), values_of(parts[0])))
    look = {"cmap": palette_of(str(da.name)), **style, "vmin": low, "vmax": high}

    def start(ax: Axes) -> list[AxesImage]:
        image = show(ax, np.full(_shape(layer), np.nan, np.float32), layer, **look)
        image.set_cmap(image.cmap.with_extremes(bad=MISSING))
        colour_bar(ax, image, quantity_of(layer), "both")
        return [image]

    return _Film([layer], start, lambda parts: [values_of(parts[0])], words)


def _of_classes(layer: xr.DataArray, words: str) -> _Film:
    codes = np.atleast_1d(layer.attrs["flag_values"])
    colours = [*flag_colours(layer, codes), MISSING]

    def start(ax: Axes) -> list[AxesImage]:
        image = draw_codes(ax, xr.zeros_like(layer.isel(time=0)).compute(), codes, colours)
        legend_below(ax, list(zip(colours, [flag_text(layer, int(k)) for k in codes], strict=False)))
        return [image]

    return _Film([layer], start, lambda parts: [places_of(parts[0].values, codes)], words)


def _check(layers: list[xr.DataArray]) -> None:
    """Check that there are dates to animate over."""
    for layer in layers:
        if "time" not in layer.dims:
            raise TimeError(f"{layer.name} has dims {', '.join(map(str, layer.dims))} and no time to animate over; plot.map draws one map")
    if not layers[0].sizes["time"]:
        raise TimeError("the cube has no dates to animate")


def _shape(layer: xr.DataArray) -> tuple[int, int]:
    return layer.sizes["y"], layer.sizes["x"]


def _given(style: dict[str, Any]) -> tuple[float, float] | None:
    """Give the scale that the caller fixed, None if there is none."""
    given = [style.get(end) for end in ("vmin", "vmax")]
    if any(g is None for g in given) and any(g is not None for g in given):
        raise XSentinelError(f"vmin is {given[0]} and vmax {given[1]}; give both, or none to take them from the dates")
    return None if given[0] is None else (float(given[0]), float(given[1]))  # type: ignore[arg-type]


def _from(layers: list[xr.DataArray], limits: Callable[[list[xr.DataArray]], tuple[float, float]]) -> tuple[float, float]:
    """Take the scale from some dates, spread over all."""
    n = layers[0].sizes["time"]
    some = np.unique(np.linspace(0, n - 1, min(LOOKED_AT, n)).round().astype(int))
    return limits(loaded([layer.isel(time=some) for layer in layers]))


def _kept(layer: xr.DataArray, least: float) -> Array:
    """Give the dates that show enough."""
    n = layer.sizes["time"]
    if not 0 <= least <= 1:
        raise XSentinelError(f"least is {least:g}; it is a share between 0 and 1, such as 0.1")
    if least == 0:
        return np.arange(n)
    missing = 0 if "flag_values" in layer.attrs else layer.attrs.get("_FillValue", np.nan)
    share = (layer.notnull() & (layer != missing)).mean(("y", "x")).values
    found = np.flatnonzero(share >= least)
    if not found.size:
        raise TimeError(
            f"none of {n} dates shows {100 * least:g} % of the pixels, the best {100 * share.max():.1f} %; give a smaller least"
        )
    LOG.info("animation of %d frames; %d of %d dates show less than %g %% and are left out", found.size, n - found.size, n, 100 * least)
    return found


def _played(film: _Film, path: Any, least: float, fps: float, progress: bool, ax: Axes | None) -> FuncAnimation | str:
    """Make the animation, and the file if one is asked for."""
    from matplotlib.animation import FuncAnimation
    from matplotlib.figure import Figure

    write = None if path is None else _writer(fspath(path), fps)
    dates = _kept(film.layers[0], least)
    ax = Figure(figsize=(7, 6), layout="constrained").subplots() if ax is None else ax
    images = film.start(ax)
    finish(ax, film.layers[0], _title(film, dates, 0))

    def update(k: int) -> list[Any]:
        parts = loaded([layer.isel(time=dates[k]) for layer in film.layers])
        for image, pixels in zip(images, film.paint(parts), strict=True):
            image.set_data(pixels)
        entitle(ax, _title(film, dates, k))
        return images

    figure = ax.get_figure(root=True)
    assert figure is not None
    moving = FuncAnimation(figure, update, frames=len(dates), init_func=lambda: images, interval=1000 / fps, cache_frame_data=False)
    moving._repr_html_ = partial(_player, moving)  # type: ignore[method-assign] # notebooks ask for it, and by default get nothing
    return moving if write is None else _written(moving, fspath(path), write, len(dates), progress)


def _player(moving: FuncAnimation) -> str:
    """Give a player of all frames as HTML."""
    import matplotlib as mpl

    with mpl.rc_context({"animation.embed_limit": EMBEDDED_MB}):
        return str(moving.to_jshtml())


def _title(film: _Film, dates: Array, k: int) -> str:
    """Give what is drawn, its date, and where it stands among the frames."""
    n, total = len(dates), film.layers[0].sizes["time"]
    left_out = f"; {total - n} dates left out" if n < total else ""
    return f"{film.words}  {date_text(film.layers[0].isel(time=dates[k]))}  ({k + 1} of {n}{left_out})"


def _writer(path: str, fps: float) -> Any:
    """Give what writes a file of this suffix."""
    from matplotlib import animation

    suffix = Path(path).suffix.lower()
    if suffix == ".gif":
        return animation.PillowWriter(fps=fps)  # type: ignore[arg-type]
    if suffix == ".html":
        return animation.HTMLWriter(fps=fps, embed_frames=True, embed_limit=EMBEDDED_MB)  # type: ignore[arg-type]
    if suffix != ".mp4":
        raise WriteError(f"{path} has the suffix {suffix or 'none'}; an animation is written as .gif, .html or .mp4")
    if not animation.writers.is_available("ffmpeg"):
        raise WriteError(f"{path} needs ffmpeg, which is not on the path; install it (conda install ffmpeg), or write .gif or .html")
    return animation.FFMpegWriter(fps=fps)  # type: ignore[arg-type]


def _written(moving: FuncAnimation, path: str, writer: Any, n: int, progress: bool) -> str:
    from tqdm.auto import tqdm

    try:
        with tqdm(total=n, unit="frame", disable=not progress) as bar:
            moving.save(path, writer=writer, progress_callback=lambda *_: bar.update() and None)
    except OSError as err:
        raise WriteError(f"{path} cannot be written: {err}; give a file in a folder that may be written") from err
    return path
