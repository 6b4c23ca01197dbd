"""Samples to learn from: label maps of polygons and rasters; pixels drawn, split and extracted as (sample, time, band)."""

from xsentinel.samples.drawing import draw, priors
from xsentinel.samples.extraction import extract
from xsentinel.samples.labels import from_raster
from xsentinel.samples.legends import Legend, legend
from xsentinel.samples.polygons import rasterise
from xsentinel.samples.rules import Equal, Proportional, Stratified
from xsentinel.samples.sides import labels_on, split_polygons
from xsentinel.samples.splits import folds, split
from xsentinel.samples.tables import concat, from_table, open, save  # noqa: A004  (samples.open reads as xsentinel.open does)

__all__ = [
    "Equal",
    "Legend",
    "Proportional",
    "Stratified",
    "concat",
    "draw",
    "extract",
    "folds",
    "from_raster",
    "from_table",
    "labels_on",
    "legend",
    "open",
    "priors",
    "rasterise",
    "save",
    "split",
    "split_polygons",
]
