"""The page: a map, what it shows and when, and the series of the pixel that was clicked."""

from __future__ import annotations

import time as clock
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any

import panel as pn
import xarray as xr

from xsentinel.explore.chart import SeriesFigure
from xsentinel.explore.figures import MapFigure
from xsentinel.explore.layers import Layer, Legend, Limits
from xsentinel.explore.picture import draw, legend_html, mark_html, share_text
from xsentinel.explore.reading import AT_ONCE, Reading, pixel_of
from xsentinel.explore.turns import Act, Turns
from xsentinel.explore.window import Axis, Run, Window, axes_of, cost, middle, run_of

STILL = 0.15
"""Seconds that a view must stand still before its pixels are read."""

KEPT = 12
"""Readings that are kept, so that going back to a date or a layer reads nothing."""

OFTEN = 0.7
"""Seconds between two pictures of what is read in pieces."""


@dataclass(frozen=True)
class Content:
    """What is explored."""

    ds: xr.Dataset
    """Its variables."""
    layers: dict[str, Layer]
    """What can be shown of it."""
    scl: xr.DataArray | None
    """Scene classes of the same pixels."""
    place: str
    """The CRS and the unit of the coordinates, in words."""
    metres: float | None
    """Metres a unit of the coordinates, None where they are none."""
    show: str
    """Layer that is shown first."""
    date: int
    """Date that is shown first."""
    stretch: Limits
    """Percentiles of composites."""
    width: int
    """Of the map, in pixels of the screen."""

    @property
    def times(self) -> list[str]:
        """Dates, to the minute where two are of one day; none where there are no dates."""
        if "time" not in self.ds.dims:
            return []
        if "time" not in self.ds.coords:
            return [f"number {k}" for k in range(self.ds.sizes["time"])]
        texts = [str(t) for t in self.ds["time"].values]
        days = [t[:10] for t in texts]
        return days if len(set(days)) == len(days) else [t[:16].replace("T", " ") for t in texts]


class Page:
    """One view of the content, with its own state."""

    def __init__(self, content: Content) -> None:
        self.content = content
        some = next(iter(content.layers.values())).parts[0]
        self.axes: tuple[Axis, Axis] = axes_of(some)
        self.map = MapFigure(self.axes, content.place, content.metres, content.width)
        self.reading: Reading | None = None
        """What the map shows."""
        self._view = self.map.view
        self._limits: dict[str, Limits] = {}
        self._legends: dict[str, Legend] = {name: Legend(layer) for name, layer in content.layers.items()}
        self._kept: dict[tuple[str, Window, int], Reading] = {}
        self._begun = False
        self._ticket = 0
        self._pixel: tuple[int, int] | None = None
        self._series: SeriesFigure | None = None
        self._turns = Turns(self.map.fig)
        self._build()
        self.map.fig.on_event("rangesupdate", self._moved)
        self.map.fig.on_event("tap", self._clicked)
        self.map.fig.on_change("inner_width", lambda attr, old, new: self._opened())
        self._turns.note()
        self.refresh(opening=True)
        self._opened()

    def _build(self) -> None:
        names, times = {layer.title: name for name, layer in self.content.layers.items()}, self.content.times
        self.shown = pn.widgets.Select(label="Show", options=names, value=self.content.show, width=260)
        many = len(times) > 1
        self.date = pn.widgets.IntSlider(end=max(len(times) - 1, 1), value=self.content.date, show_value=False, width=300)
        self.named = pn.widgets.StaticText(label="Date", margin=(0, 10))
        self.steps = [pn.widgets.Button(label=sign, width=40, align="end", visible=many) for sign in ("◀", "▶")]
        self.mark = pn.widgets.Checkbox(label="Mark clouds", align="end", visible=self.content.scl is not None)
        self.again = pn.widgets.Button(label="Colours of this view", width=150, align="end")
        self.legend = pn.pane.HTML("", width=230, styles={"font-size": "12px"})
        self.below = pn.Column(pn.pane.HTML(self._hint(), styles={"color": "#555555"}))
        for step, button in zip((-1, 1), self.steps, strict=True):
            button.on_click(partial(self._step, step))
        for widget in (self.shown, self.date, self.mark):
            widget.param.watch(self._changed, "value")
        self.again.on_click(lambda _: self._recolour())
        self.plot = pn.pane.Bokeh(self.map.fig)
        controls = pn.Row(self.shown, pn.Column(self.named, self.date, visible=many), *self.steps, self.mark, self.again)
        self.view = pn.Column(controls, pn.Row(self.plot, self.legend), self.below)
        self._turns.view = self.view
        self._name_date()

    def _hint(self) -> str:
        return "Click a pixel for its series in time." if len(self.content.times) > 1 else "Click a pixel for what it holds."

    @property
    def layer(self) -> Layer:
        """The layer that is shown."""
        return self.content.layers[self.shown.value]

    @property
    def now(self) -> int:
        """The date that is shown, counted from 0."""
        return int(self.date.value or 0)

    def _step(self, step: int, _: Any) -> None:
        self.date.value = min(max(self.now + step, 0), len(self.content.times) - 1)

    def _moved(self, event: Any) -> None:
        self._turns.note()
        self._view = (event.x0, event.x1), (event.y0, event.y1)
        self._later()

    def _changed(self, event: Any) -> None:
        self._turns.note()
        if event.obj is self.date:
            self._name_date()
        if event.obj is self.shown and self._pixel is not None:
            self._ask(self._pixel)
        self._later()

    def _name_date(self) -> None:
        self.named.value = self.content.times[self.now] if self.content.times else ""

    def _later(self) -> None:
        self._ticket += 1
        ticket = self._ticket
        self._turns.after(STILL, lambda: self.refresh() if ticket == self._ticket else None)

    def _opened(self) -> None:
        """Go on reading what was too much to wait for, once something runs beside."""
        self._turns.note()
        if self._turns.waits and self.reading is not None and not self.reading.done.all() and not self._begun:
            self._begun = True
            self._later()

    def finish(self) -> None:
        """Read all of the view now, however long it takes."""
        if self.reading is not None and not self.reading.done.all():
            self._ticket += 1
            self._colour_by_sample(self.reading)
            self._put(self.reading.read_all())

    def _recolour(self) -> None:
        self._limits.pop(self.layer.name, None)
        self._turns.note()
        self._later()

    def window(self) -> Window | None:
        """Give what is to be read for the view; None where it lies beside the cube."""
        (west, east), (south, north) = self._view
        height, width = self.map.shape
        y, x = run_of(self.axes[0], south, north, height), run_of(self.axes[1], west, east, width)
        return Window(y, x) if y is not None and x is not None else None

    def refresh(self, opening: bool = False) -> None:
        """Read and draw what the view shows: at once where that is little, else in pieces beside."""
        self._ticket += 1
        ticket, window = self._ticket, self.window()
        if window is None:
            self.map.clear()
            return self._turns.send()
        key = self.layer.name, window, self.now
        reading = self._kept.get(key) or Reading(self.layer, window, self.now, self.content.scl)
        self._kept = {key: reading, **{k: r for k, r in self._kept.items() if k != key and r.done.all()}}
        for old in list(self._kept)[KEPT:]:
            del self._kept[old]
        if reading.done.all():
            self._put(reading)
        elif reading.cost <= AT_ONCE and not (reading.lazy and self._turns.waits):
            self._guarded(lambda: self._put(reading.read_all()))
        elif opening:
            self._put(reading)
        else:
            self._say("reading …")
            self._turns.beside(lambda soon: self._read_in_pieces(ticket, reading, soon))
        if self._series is not None:
            self._series.mark(self.now)
        self._turns.send()

    def _read_in_pieces(self, ticket: int, reading: Reading, soon: Callable[[Act], None]) -> None:
        """Read piece after piece in a thread, drawn now and then, until all is read or something else is looked at."""
        shown, parts = -OFTEN, reading.pieces()
        try:
            if len(parts) > 1:
                self._colour_by_sample(reading)
            for piece in parts:
                if ticket != self._ticket:
                    return
                if not reading.has(piece):
                    reading.read(piece)
                if clock.monotonic() - shown > OFTEN or reading.done.all():
                    shown = clock.monotonic()
                    soon(lambda: self._put(reading) if ticket == self._ticket else None)
        except Exception as err:  # a page has no other place to say so
            text = _words_of(err)
            soon(lambda: self._say(text))

    def _colour_by_sample(self, reading: Reading) -> None:
        """Choose colours by the chunk in the middle, so that they do not change while the rest is read."""
        layer = reading.layer
        if layer.name not in self._limits and layer.kind != "classes":
            sample = middle(layer.parts[0], self.axes, max(self.map.shape))
            found = layer.limits(Reading(layer, sample, self.now).read_all().arrays, self.content.stretch)
            if found is not None:
                self._limits[layer.name] = found

    def _put(self, reading: Reading) -> None:
        """Draw what has been read."""
        self.reading, layer, legend = reading, reading.layer, self._legends[reading.layer.name]
        if layer.name not in self._limits and reading.done.all():
            found = layer.limits(reading.arrays, self.content.stretch)
            if found is not None:
                self._limits[layer.name] = found
        limits = self._limits.get(layer.name)
        self.map.show(draw(reading, limits, legend, self.axes, self.mark.value))
        codes = sorted({int(c) for c in reading.arrays[0].ravel().tolist()}) if layer.kind == "classes" else []
        self.map.label(layer, limits, legend, codes, reading.scl is not None)
        classes = legend_html(reading, legend) if layer.kind == "classes" else ""
        self.legend.object = (mark_html() if self.mark.value else "") + classes
        self._head(reading)

    def _head(self, reading: Reading) -> None:
        date = self.content.times[self.now] if self.content.times else ""
        self.map.fig.title.text = "  ·  ".join(t for t in (reading.layer.title, date, share_text(reading)) if t)
        step, size = reading.window.x.step, abs(self.axes[1].step)
        unit = " m" if self.content.metres == 1 else ""
        note = f"every pixel ({size:g}{unit})" if step == 1 else f"one pixel of {step} × {step} ({size:g}{unit} each): zoom in for all"
        self._say(note if reading.done.all() else f"{note}; {100 * reading.done.mean():.0f} % read")

    def _say(self, text: str) -> None:
        self.map.notes.text = text

    def _guarded(self, act: Act) -> None:
        try:
            act()
        except Exception as err:
            if self._turns.view is None or self.map.fig.document is None:
                raise  # whoever makes the page hears of it
            self._say(_words_of(err))

    def _clicked(self, event: Any) -> None:
        self._turns.note()
        row, column = (int(axis.position(place) // 1) for axis, place in zip(self.axes, (event.y, event.x), strict=True))
        if not (0 <= row < self.axes[0].n and 0 <= column < self.axes[1].n):
            return
        self.map.pin(self.axes[1].place(column + 0.5), self.axes[0].place(row + 0.5))
        self._ask((row, column))
        self._turns.send()

    def _ask(self, pixel: tuple[int, int]) -> None:
        """Read a pixel of the layer that is shown: at once where that is little, else beside."""
        self._pixel, layer = pixel, self.layer
        (row, column), dates = pixel, pixel_of(self.content.ds, layer)
        wanted = dates.isel(y=row, x=column, drop=True)
        one = Window(Run(row, row + 1, 1), Run(column, column + 1, 1))
        total = sum(cost(part, one, all_dates=True) for part in dates.data_vars.values())
        if total <= AT_ONCE and not (dates.chunks and self._turns.waits):
            self._guarded(lambda: self._tell(layer, wanted.compute(), pixel))
        else:
            self.below[:] = [pn.pane.HTML("reading the pixel …")]
            self._turns.beside(lambda soon: self._read_pixel(layer, wanted, pixel, soon))

    def _read_pixel(self, layer: Layer, wanted: xr.Dataset, pixel: tuple[int, int], soon: Callable[[Act], None]) -> None:
        try:
            found = wanted.compute()
            soon(lambda: self._tell(layer, found, pixel) if (pixel, layer.name) == (self._pixel, self.layer.name) else None)
        except Exception as err:
            text = _words_of(err)
            soon(lambda: self._say(text))

    def _tell(self, layer: Layer, found: xr.Dataset, pixel: tuple[int, int]) -> None:
        """Show the series of a pixel below the map, or what it holds where there are no dates."""
        y, x = (axis.place(i + 0.5) for axis, i in zip(self.axes, pixel, strict=True))
        heading = f"{layer.title}  ·  row {pixel[0]}, column {pixel[1]}  ·  x {x:,.10g}, y {y:,.10g}"
        legend = self._legends[layer.name]
        n = layer.parts[0].sizes.get("time", 1)
        if n == 1 or "time" not in found.coords:
            found = found.isel(time=min(self.now, n - 1)) if "time" in found.dims else found
            self.below[:] = [pn.pane.HTML(f"<b>{escape(_held(layer, found, legend))}</b>  ·  {escape(heading)}")]
            return
        self._series = SeriesFigure(layer, found, legend, heading, self.content.width)
        self._series.mark(self.now)
        self._series.fig.on_event("tap", self._chosen)
        self.below[:] = [pn.pane.Bokeh(self._series.fig)]

    def _chosen(self, event: Any) -> None:
        if self._series is not None:
            self.date.value = self._series.nearest(event.x)


def _held(layer: Layer, found: xr.Dataset, legend: Legend) -> str:
    """Say what a pixel holds."""
    values = [v.item() for v in layer.decode([found[str(p.name)] for p in layer.parts])]
    if layer.kind == "classes":
        return legend.text(values[0])
    return ", ".join(f"{p.name} {v:.4g}" if v == v else f"{p.name} no data" for p, v in zip(layer.parts, values, strict=True))


def _words_of(err: Exception) -> str:
    return f"cannot be read: {type(err).__name__}: {err}"[:300]
