"""The published SL2P coefficients as records, and their folding into the tables that the kernel takes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from xsentinel.kernels.sl2p import GROUP, OUT_OF_GRID, Domain, Network

Array = npt.NDArray[np.float64]

N_COSINES = 3
"""cos(VZA), cos(SZA), cos(SAA − VAA) follow the bands."""

DIGITS = 9
"""Cells of a band that the published grids use: 2 … 10."""


@dataclass(frozen=True)
class Variable:
    """One trained network: normalise, five tanh neurons, linear, denormalise."""

    input_min: Array
    """(input,): least value of each training input."""
    input_max: Array
    """(input,)."""
    hidden_weights: Array
    """(neuron, input): of normalised inputs."""
    hidden_bias: Array
    """(neuron,)."""
    output_weights: Array
    """(neuron,)."""
    output_bias: float
    output_min: float
    """Least value of the training output, physical units."""
    output_max: float
    tolerance: float
    """How far outside [valid_min, valid_max] a value is clamped instead of kept."""
    valid_min: float
    valid_max: float


@dataclass(frozen=True, eq=False)  # one object a set: hashed by identity
class CoefficientSet:
    """All networks of one platform and resolution, with their common definition domain."""

    name: str
    """Such as S2A_20m."""
    bands: tuple[str, ...]
    """Bands in the order of the inputs."""
    variables: dict[str, Variable]
    band_min: Array
    """(band,): least reflectance inside the definition domain."""
    band_max: Array
    occupied_cells: npt.NDArray[np.int64]
    """(cell, band): the cells that the training data filled, 2 … 10."""


@dataclass(frozen=True)
class Storage:
    """How the bands are stored: reflectance = stored · scale + offset."""

    scale: tuple[float, ...]
    """One a band."""
    offset: tuple[float, ...]
    """One a band, reflectance."""


@lru_cache(maxsize=1)
def _document() -> tuple[dict[str, object], str]:
    raw = files("xsentinel.data").joinpath("sl2p.json").read_bytes()
    return json.loads(raw), hashlib.sha256(raw).hexdigest()


def coefficients_digest() -> str:
    """Give the SHA-256 of the coefficient table, for provenance."""
    return _document()[1]


def coefficients_citation() -> str:
    """Give the publication that the coefficients come from."""
    return str(_document()[0]["citation"])


def _variable(record: dict[str, object]) -> Variable:
    values = {k: np.asarray(v, np.float64) if isinstance(v, list) else v for k, v in record.items() if k != "inputs"}
    return Variable(**values)  # type: ignore[arg-type]


@lru_cache(maxsize=8)
def load_set(platform: str, resolution_m: int) -> CoefficientSet:
    """Load the coefficients of a platform at 10 or 20 m; Sentinel-2C uses those of 2B.

    Parameters
    ----------
    platform : str
        S2A, S2B or S2C.
    resolution_m : int
        10 or 20: the set of inputs, not the pixel size.
    """
    name = f"{'S2B' if platform == 'S2C' else platform}_{resolution_m}m"
    record = dict(_document()[0]["sets"][name])  # type: ignore[index]
    domain = record.pop("definition_domain")
    bands = tuple(next(iter(record.values()))["inputs"][:-N_COSINES])
    cells = np.array([[int(digit, 16) for digit in cell] for cell in domain["occupied_cells"].split()])
    return CoefficientSet(
        name,
        bands,
        {variable: _variable(figures) for variable, figures in record.items()},
        np.asarray(domain["band_min"]),
        np.asarray(domain["band_max"]),
        cells,
    )


def _fold_hidden(net: Variable, stored: Storage) -> tuple[Array, Array]:
    """Fold x* = 2 (x − min)/(max − min) − 1 and x = stored · scale + offset into weights and bias."""
    slope = 2 / (net.input_max - net.input_min)
    weights = net.hidden_weights * slope
    bias = net.hidden_bias - net.hidden_weights.sum(1) - weights @ net.input_min
    n_bands = len(stored.scale)
    bias = bias + weights[:, :n_bands] @ np.asarray(stored.offset)
    weights[:, :n_bands] *= stored.scale
    return weights, bias


def fold_network(coefficients: CoefficientSet, names: tuple[str, ...], stored: Storage, cosines: Array | None) -> Network:
    """Fold normalisation, storage and, where one value does for all pixels, the angles into the weights.

    Parameters
    ----------
    coefficients : CoefficientSet
    names : tuple of str
        Variables, in the order of the output.
    stored : Storage
        Scale and offset of each band.
    cosines : (3,) array or None
        cos(VZA), cos(SZA), cos(SAA−VAA) of all pixels; None if they come a pixel.
    """
    n_bands = len(coefficients.bands)
    n_inputs = n_bands + (N_COSINES if cosines is None else 0)
    shape = (len(names), 5, -(-n_inputs // GROUP) * GROUP)
    weights, bias = np.zeros(shape, np.float32), np.empty(shape[:2], np.float32)
    out_weights, limits = np.empty(shape[:2], np.float32), np.empty((len(names), 4), np.float32)
    for v, name in enumerate(names):
        net = coefficients.variables[name]
        hidden, hidden_bias = _fold_hidden(net, stored)
        if cosines is not None:
            hidden_bias = hidden_bias + hidden[:, n_bands:] @ cosines
        weights[v, :, :n_inputs] = hidden[:, :n_inputs]
        bias[v] = hidden_bias
        half = (net.output_max - net.output_min) / 2
        out_weights[v] = net.output_weights * half
        limits[v] = (net.output_bias + 1) * half + net.output_min, net.valid_min, net.valid_max, net.tolerance
    return Network(weights, bias, out_weights, limits)


def _half_table(cells: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.intp]]:
    """Give the distinct rows of cells numbers 1…n: the table from base-9 code to number, and each row's."""
    codes = (cells - 2) @ DIGITS ** np.arange(cells.shape[1] - 1, -1, -1)
    distinct, number = np.unique(codes, return_inverse=True)
    table = np.zeros(DIGITS ** cells.shape[1], np.int32)
    table[distinct] = np.arange(1, distinct.size + 1)
    return table, number + 1


@lru_cache(maxsize=16)
def fold_domain(coefficients: CoefficientSet, stored: Storage) -> Domain:
    """Turn the definition domain into thresholds on stored values and a bitmap of the occupied cells.

    A cell of eight digits would need 9⁸ entries; most combinations of four bands never occur, so each
    half of the bands has a table of its own and the bitmap is a few hundred rows and columns.
    """
    scale, offset = np.asarray(stored.scale), np.asarray(stored.offset)
    low, high = coefficients.band_min, coefficients.band_max
    half = len(coefficients.bands) // 2
    first, row = _half_table(coefficients.occupied_cells[:, :half])
    second, column = _half_table(coefficients.occupied_cells[:, half:])
    grid = np.full((row.max() + 1, column.max() + 1), OUT_OF_GRID, np.uint8)
    grid[row, column] = 0
    slope = 10 / (high - low)
    return Domain(
        (slope * scale).astype(np.float32),
        (1 + slope * (offset - low)).astype(np.float32),
        first * np.int32(grid.shape[1]),
        second,
        grid.ravel(),
    )
