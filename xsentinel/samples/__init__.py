"""Samples to learn from: labels of polygons and rasters, drawn, split and extracted."""
