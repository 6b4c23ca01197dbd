"""Slow, obvious twins: float64, one rule a line, no folding, no tables."""

from __future__ import annotations

import json
from importlib.resources import files

import numpy as np


def published(set_name: str) -> dict:
    """Give one coefficient set as it was published."""
    return json.loads(files("xsentinel.data").joinpath("sl2p.json").read_text())["sets"][set_name]


def sl2p(set_name: str, variable: str, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute value and flags of (pixel, input) reflectances and cosines by the definition."""
    c = published(set_name)[variable]
    low, high = np.array(c["input_min"]), np.array(c["input_max"])
    normalised = 2 * (inputs - low) / (high - low) - 1
    hidden = np.tanh(normalised @ np.array(c["hidden_weights"]).T + np.array(c["hidden_bias"]))
    y = hidden @ np.array(c["output_weights"]) + c["output_bias"]
    value = 0.5 * (y + 1) * (c["output_max"] - c["output_min"]) + c["output_min"]
    flags = domain(set_name, inputs[:, : len(c["inputs"]) - 3])
    out = value.copy()
    for i, v in enumerate(value):
        if v < c["valid_min"]:
            flags[i] |= 2 if v >= c["valid_min"] - c["tolerance"] else 8
            out[i] = c["valid_min"] if v >= c["valid_min"] - c["tolerance"] else v
        if v > c["valid_max"]:
            flags[i] |= 4 if v <= c["valid_max"] + c["tolerance"] else 16
            out[i] = c["valid_max"] if v <= c["valid_max"] + c["tolerance"] else v
    missing = ~np.isfinite(inputs).all(1)
    out[missing], flags[missing] = np.nan, 0
    return out, flags


def domain(set_name: str, bands: np.ndarray) -> np.ndarray:
    """Give the domain flags of (pixel, band) reflectances by the definition."""
    d = published(set_name)["definition_domain"]
    low, high = np.array(d["band_min"]), np.array(d["band_max"])
    occupied = set(d["occupied_cells"].split())
    flags = np.zeros(len(bands), np.uint8)
    for i, x in enumerate(bands):
        if not np.isfinite(x).all():
            continue
        outside = bool(((x < low) | (x > high)).any())
        cells = np.floor(10 * (x - low) / (high - low) + 1).astype(int)
        digits = "".join(f"{c:x}" if 0 <= c < 16 else "?" for c in cells)
        off = digits not in occupied
        flags[i] = 32 * outside | 64 * off | (outside or off)
    return flags
