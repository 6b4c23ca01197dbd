"""The map and the series of a pixel, as figures of bokeh."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from bokeh.models import (
    BoxZoomTool,
    ColorBar,
    ColumnDataSource,
    CustomJSHover,
    HoverTool,
    LinearColorMapper,
    NumeralTickFormatter,
    Range1d,
    ScaleBar,
    Title,
)
from bokeh.plotting import figure

from xsentinel.explore.layers import Layer, Legend, Limits, ramp
from xsentinel.explore.picture import Picture, scene_words
from xsentinel.explore.window import Axis

WORDS = """
if (value < -1e37) return "no data";
const k = codes.indexOf(Math.round(value));
if (codes.length > 0) return k < 0 ? String(value) : texts[k];
return String(Number(value.toPrecision(4))) + unit;
"""
"""Says a value in words, in the browser."""

SERIES = "#0072b2"
"""Blue of Okabe and Ito."""

THREE = ("#d55e00", "#009e73", "#0072b2")
"""Red, green and blue that the colour-blind tell apart."""


LEFT = 75
"""Pixels left of the frames, so that map and series stand in line."""


class MapFigure:
    """A map in the cube's own coordinates, equal along both axes."""

    def __init__(self, axes: tuple[Axis, Axis], place: str, metres: float | None, width: int) -> None:
        (south, north), (west, east) = (axis.ends for axis in axes)
        height = int(np.clip(width * (north - south) / (east - west), 0.5 * width, 0.85 * width))
        unit = max((east - west) / width, (north - south) / height)
        self.view = (
            ((west + east - unit * width) / 2, (west + east + unit * width) / 2),
            (
                (south + north - unit * height) / 2,
                (south + north + unit * height) / 2,
            ),
        )
        """From west to east and south to north."""
        self.shape = (height, width)
        """Of the frame, in pixels of the screen."""
        finest = 8 * abs(axes[1].step) / width
        self.fig = figure(
            x_range=_range(*self.view[0], finest * width), y_range=_range(*self.view[1], finest * height),
            frame_width=width, frame_height=height, min_border_left=LEFT, background_fill_color="#f2f2f2",
            tools="pan,wheel_zoom,reset,save", active_scroll="wheel_zoom", toolbar_location="above", name="map",
        )  # fmt: skip
        self.fig.add_tools(BoxZoomTool(match_aspect=True))
        self.notes = Title(text=" ", text_font_style="normal", text_font_size="11px", text_color="#555555")
        self.fig.add_layout(self.notes, "below")
        self._image = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        glyph = self.fig.image_rgba("image", x="x", y="y", dw="dw", dh="dh", source=self._image)
        self._pin = ColumnDataSource({"x": [], "y": []})
        self.fig.scatter("x", "y", source=self._pin, marker="circle_cross", size=14, line_color="#000000", fill_color=None, line_width=2)
        self._words = CustomJSHover(args={"codes": [], "texts": [], "unit": ""}, code=WORDS)
        scenes = scene_words()
        self._scene = CustomJSHover(args={"codes": list(scenes), "texts": list(scenes.values()), "unit": ""}, code=WORDS)
        self.hover = HoverTool(renderers=[glyph], tooltips=[], formatters={"@scene": self._scene})
        self.fig.add_tools(self.hover)
        self.colours = LinearColorMapper(palette=["#ffffff"], low=0, high=1)
        self.bar = ColorBar(color_mapper=self.colours, title="", title_standoff=8, title_text_font_style="normal", width=14, visible=False)
        self.fig.add_layout(self.bar, "right")
        self._dress(place, metres)

    def _dress(self, place: str, metres: float | None) -> None:
        self._places = "{0,0}" if metres is not None else "{0.[00000]}"
        for axis, name in ((self.fig.xaxis, "x"), (self.fig.yaxis, "y")):
            axis.formatter = NumeralTickFormatter(format="0,0" if metres is not None else "0.[00000]")
            axis.axis_label = f"{name} {place}"
            axis.axis_label_text_font_size = axis.major_label_text_font_size = "10px"
            axis.ticker.desired_num_ticks = 4
        self.fig.grid.visible = False
        self.fig.title.text_font_size = "14px"
        if metres is not None:
            bar = ScaleBar(
                range=self.fig.x_range, unit="m", location="bottom_left", label_location="above", bar_line_width=3,
                background_fill_alpha=0.8, padding=6, border_line_color=None,
            )  # fmt: skip
            self.fig.add_layout(bar)

    def show(self, picture: Picture) -> None:
        """Put a picture in the place of that before."""
        self._image.data = {
            "image": [picture.colours], "x": [picture.west], "y": [picture.south], "dw": [picture.east - picture.west],
            "dh": [picture.north - picture.south], **{name: [values] for name, values in picture.values.items()},
        }  # fmt: skip

    def clear(self) -> None:
        """Show nothing, where the view is beside the cube."""
        self._image.data = {name: [] for name in self._image.data}

    def label(self, layer: Layer, limits: Limits | None, legend: Legend, codes: Sequence[int], scene: bool) -> None:
        """Say what the colours mean, in the bar and where one points."""
        composite, classes = layer.kind == "composite", layer.kind == "classes"
        names = [str(part.name) for part in layer.parts] if composite else ["class" if classes else layer.name]
        unit = layer.label.removeprefix(layer.name).strip(" []")
        self._words.args = {"codes": list(codes), "texts": [legend.text(c) for c in codes], "unit": f" {unit}" if unit else ""}
        tips = [(name, f"@v{k}{{custom}}") for k, name in enumerate(names)]
        self.hover.formatters = {"@scene": self._scene, **{f"@v{k}": self._words for k in range(len(names))}}
        scenes = [("scene", "@scene{custom}")] if scene and layer.name != "SCL" else []
        self.hover.tooltips = [*tips, *scenes, ("x, y", f"$x{self._places}, $y{self._places}")]
        self.bar.visible = layer.kind == "values" and limits is not None
        if limits is not None and layer.kind == "values":
            self.colours.update(palette=ramp(layer.name), low=limits[0], high=limits[1])
            self.bar.title = layer.label

    def pin(self, x: float, y: float) -> None:
        """Mark a place."""
        self._pin.data = {"x": [x], "y": [y]}


def _range(low: float, high: float, least: float) -> Range1d:
    """Give a range that is not zoomed in beyond a few pixels of the cube, nor far away from it."""
    return Range1d(low, high, min_interval=min(least, high - low), max_interval=4 * (high - low))
