"""The series of a pixel, as a figure of bokeh."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from bokeh.models import ColumnDataSource, DatetimeTickFormatter, HoverTool, Range1d, Span
from bokeh.plotting import figure

from xsentinel.explore.figures import LEFT
from xsentinel.explore.layers import Layer, Legend
from xsentinel.lines import clear_of, observed_of, shade_of

SERIES = "#0072b2"
"""Blue of Okabe and Ito."""

THREE = ("#d55e00", "#009e73", "#0072b2")
"""Red, green and blue that the colour-blind tell apart."""


class SeriesFigure:
    """All dates of a pixel of a layer, those without data left out; hollow where clouds or a filling hide the ground."""

    def __init__(self, layer: Layer, ds: xr.Dataset, legend: Legend, heading: str, width: int) -> None:
        self.times = ds["time"].values
        self.fig = figure(
            x_axis_type="datetime", frame_width=width, frame_height=170, min_border_left=LEFT, title=heading,
            tools="xpan,xwheel_zoom,reset,save", toolbar_location="above", name="series",
        )  # fmt: skip
        self.now = Span(dimension="height", line_color="#888888", line_dash="dashed")
        self.fig.add_layout(self.now)
        self.hover = HoverTool(tooltips=[("date", "@time{%F}"), (layer.name, "@text")], formatters={"@time": "datetime"}, renderers=[])
        self.fig.add_tools(self.hover)
        draw = {"composite": self._bands, "values": self._values, "classes": self._classes}[layer.kind]
        draw(layer, ds, legend)
        self.fig.xaxis.formatter = DatetimeTickFormatter(days="%d %b %Y", months="%b %Y", years="%Y")
        self.fig.xaxis.axis_label_text_font_size = self.fig.yaxis.axis_label_text_font_size = "10px"
        self.fig.title.text_font_size = "12px"
        if self.fig.legend:
            self.fig.add_layout(self.fig.legend[0], "right")
            self.fig.legend[0].update(border_line_color=None, label_text_font_size="11px", padding=2)

    def mark(self, date: int) -> None:
        """Mark the date that the map shows."""
        self.now.location = self.times[date].astype("datetime64[ms]").astype(float)

    def nearest(self, when_ms: float) -> int:
        """Find the date nearest to a place along the axis, in milliseconds since 1970."""
        return int(np.abs(self.times.astype("datetime64[ms]").astype(float) - when_ms).argmin())

    def _line(
        self, values: npt.NDArray[np.float32], texts: list[str], colour: str, names: tuple[str, str], seen: npt.NDArray[np.bool_]
    ) -> None:
        """Draw what was seen as a line with dots, the rest as hollow dots; the names of both, '' for none, go to the legend."""
        there = np.isfinite(values)
        for picked, fill, name in zip((there & seen, there & ~seen), (colour, "#ffffff"), names, strict=True):
            if not picked.any():
                continue
            told = [texts[k] for k in np.flatnonzero(picked)]
            source = ColumnDataSource({"time": self.times[picked], "value": values[picked].astype(float), "text": told})
            named = {"legend_label": name} if name else {}
            if fill == colour:
                self.fig.line("time", "value", source=source, color=colour, line_width=1, **named)
            dots = self.fig.scatter("time", "value", source=source, line_color=colour, fill_color=fill, size=6, **named)
            self.hover.renderers = [*self.hover.renderers, dots]

    def _reach(self, *values: npt.NDArray[Any]) -> None:
        """Show the range of what is seen, whatever clouds reach."""
        known = np.concatenate([v[np.isfinite(v)] for v in values])
        if known.size:
            margin = 0.08 * float(np.ptp(known)) or 0.05
            self.fig.y_range = Range1d(float(known.min()) - margin, float(known.max()) + margin)

    def _bands(self, layer: Layer, ds: xr.Dataset, _: Legend) -> None:
        seen, hidden = _seen(ds, self.times.size)
        bands = layer.decode([ds[str(p.name)] for p in layer.parts])
        for part, values, colour in zip(layer.parts, bands, THREE, strict=True):
            self._line(values, [f"{v:.4g}" for v in values], colour, (str(part.name), ""), seen)
        if hidden and not seen.all():
            self.fig.scatter(self.times[:1], [np.nan], line_color="#555555", fill_color="#ffffff", size=6, legend_label=hidden)
        self._reach(*(b[seen] if seen.any() else b for b in bands))
        self.fig.yaxis.axis_label = "reflectance"

    def _values(self, layer: Layer, ds: xr.Dataset, _: Legend) -> None:
        (values,) = layer.decode([ds[layer.name]])
        seen, hidden = _seen(ds, values.size)
        shade, reach = shade_of(ds, layer.name, None), [values[seen] if seen.any() else values]
        texts = [f"{v:.4g}" for v in values]
        if shade is not None:
            there, (low, high) = np.isfinite(values), (np.asarray(end, float) for end in shade[:2])
            self.fig.varea(self.times[there], low[there], high[there], fill_color=SERIES, fill_alpha=0.2, legend_label=shade[2])
            reach += [low[there], high[there]]
            texts = [f"{text} ({a:.4g} … {b:.4g})" for text, a, b in zip(texts, low, high, strict=True)]
        self._line(values, texts, SERIES, ("observed" if hidden and not seen.all() else "", hidden), seen)
        self._reach(*reach)
        self.fig.yaxis.axis_label = layer.label

    def _classes(self, layer: Layer, ds: xr.Dataset, legend: Legend) -> None:
        (codes,) = layer.decode([ds[layer.name]])
        met = sorted({int(c) for c in codes})
        rows = [met.index(int(c)) for c in codes]
        data = {
            "time": self.times,
            "row": rows,
            "colour": [legend.colour(int(c)) for c in codes],
            "text": [legend.text(int(c)) for c in codes],
        }
        dots = self.fig.scatter("time", "row", source=ColumnDataSource(data), color="colour", line_color="#888888", size=9, marker="square")
        self.hover.renderers = [dots]
        self.fig.yaxis.ticker = list(range(len(met)))
        self.fig.yaxis.major_label_overrides = {k: legend.text(c) for k, c in enumerate(met)}
        self.fig.y_range = Range1d(-0.7, len(met) - 0.3)


def _seen(ds: xr.Dataset, n: int) -> tuple[npt.NDArray[np.bool_], str]:
    """Tell at which dates the ground was seen, and what the others are called; '' where nothing tells."""
    observed = observed_of(ds, None)
    if observed is not None:
        return observed, "not observed"
    clear = clear_of(ds) if "SCL" in ds else None
    return (np.ones(n, bool), "") if clear is None else (clear.values, "cloud or shadow")
