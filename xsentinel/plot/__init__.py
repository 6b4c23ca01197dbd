"""Pictures behind ``.s2.plot``; matplotlib stays outside until drawn."""

from xsentinel.plot.animation import animate, animate_map
from xsentinel.plot.beside import before_after, classes, uncertainty
from xsentinel.plot.colour import rgb
from xsentinel.plot.compare import calendar, scatter
from xsentinel.plot.corners import map_corners
from xsentinel.plot.curves import phase, series, spectra
from xsentinel.plot.maps import map_array, map_variable
from xsentinel.plot.place import DRAWN
from xsentinel.style import LEGEND, MISSING

__all__ = [
    "DRAWN",
    "LEGEND",
    "MISSING",
    "animate",
    "animate_map",
    "before_after",
    "calendar",
    "classes",
    "map_array",
    "map_corners",
    "map_variable",
    "phase",
    "rgb",
    "scatter",
    "series",
    "spectra",
    "uncertainty",
]
