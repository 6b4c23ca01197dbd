"""Spectral indices by the field's names: formulas of the spyndex library, bands of our table."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.bands import BANDS
from xsentinel.cube import Encoding, check_reflectance, encoding_of, grid_mapping_name, select_bands
from xsentinel.errors import BandError, XSentinelError
from xsentinel.kernels.scale import decode
from xsentinel.kernels.threads import n_cores, over_pixels
from xsentinel.version import CONVENTIONS, __version__

BAND_OF = {b.spyndex: b.name for b in BANDS.values() if b.spyndex}
"""Bands by their names in formulas: B → B02, N → B08, …"""

GRAIN = 1 << 16
"""Pixels at a time, so that the terms of a formula stay in the cache."""

OPERATIONS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
}
"""All that a formula may do."""

Step = str | float | tuple[str, int]
"""A symbol, a number, or an operation (its name, how many values it takes)."""


@dataclass(frozen=True)
class Index:
    """A spectral index: a formula over bands and constants."""

    name: str
    """As written in the literature."""
    long_name: str
    formula: str
    """Python arithmetic over `inputs`."""
    inputs: tuple[str, ...]
    """Bands (B, G, R, N, …), constants (L, g, …), wavelengths (lambdaN, …) and kernels (kNR, …) in the formula."""
    references: str
    """Where it was published."""

    @property
    def kernels(self) -> tuple[str, ...]:
        """Inputs that are kernels of two others: kNR is k(N, R)."""
        return tuple(i for i in self.inputs if len(i) == 3 and i[0] == "k" and i[1:].isupper())

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands of a cube that the formula or its kernels need, in the order of the table."""
        symbols = {*self.inputs, *(symbol for kernel in self.kernels for symbol in kernel[1:])}
        return tuple(band for symbol, band in BAND_OF.items() if symbol in symbols)

    @property
    def constants(self) -> tuple[str, ...]:
        """Inputs that are numbers, and may be given."""
        of_kernels = [s for k in self.kernels for s in k[1:] if s not in BAND_OF] + (["sigma"] if self.kernels else [])
        others = [i for i in self.inputs if i not in BAND_OF and i not in self.kernels]
        return tuple(dict.fromkeys([*others, *of_kernels]))


TEN_BANDS = ("B", "G", "R", "RE1", "RE2", "RE3", "N", "N2", "S1", "S2")

OWN = {
    "brightness": Index(
        "brightness",
        "mean of the ten bands of 10 and 20 m",
        f"({'+'.join(TEN_BANDS)})/10.0",
        TEN_BANDS,
        "Stoian et al. 2019, Remote Sensing 11(17), 1986, section 3.2.5",
    ),
}
"""Indices that spyndex does not have."""


def index(ds: xr.Dataset, *names: str, **constants: float) -> xr.Dataset:
    """Compute spectral indices by name, in one pass over the bands.

    The names, formulas and constants are those of the library spyndex (Awesome Spectral Indices,
    Montero et al. 2023): NDVI, EVI, NDWI (McFeeters, green and near infrared), NDMI, NBR and more than
    two hundred others; and ``brightness``, the mean of the ten bands of 10 and 20 m (Stoian et al. 2019).

    Parameters
    ----------
    ds : xarray.Dataset
        A cube: bands (time, y, x), float32 reflectance [1], or integers as stored with ``scale_factor``,
        which are decoded first; any of the dims may be missing. For radar indices VV and VH in dB, which
        enter the formulas as linear power.
    *names : str
        Indices; upper and lower case are the same unless two names differ by nothing else.
    **constants : float
        Of the formulas, in place of those of spyndex, such as ``L=0.5``. Wavelengths (``lambdaN``, nm) are
        by default those of the band table. ``sigma`` of kernel indices (kNDVI, …) is by default the mean
        of the kernel's two bands, pixel by pixel (Camps-Valls et al. 2021): kNDVI = tanh(NDVI²).

    Returns
    -------
    xarray.Dataset
        One variable an index, float32 [1], NaN where a band is or where the formula has no finite value;
        lazy if the input is, on the same grid with the same coordinates. Its attributes tell formula,
        bands, constants and reference.

    Raises
    ------
    XSentinelError
        If an index is not known, none is named, or a constant is missing, not a number, of no index or
        a divisor of zero.
    BandError
        If a band that an index needs is missing.
    UnitsError
        If values are not reflectance.

    Examples
    --------
    >>> import xsentinel as xs
    >>> cube = xs.sample("romania")
    >>> maps = index(cube, "NDVI", "SAVI", L=0.5)
    >>> maps.NDVI.dtype, maps.SAVI.attrs["constants"]
    (dtype('float32'), 'L=0.5')
    >>> maps.NDVI.attrs["formula"], maps.NDVI.attrs["bands"]
    ('(N-R)/(N+R)', 'R=B04 N=B08')
    """
    if not names:
        raise XSentinelError(f"index needs the name of at least one index, such as 'NDVI'; {_how_to_list()}")
    found = list({i.name: i for i in map(find_index, names)}.values())
    values = {i.name: _constant_values(i, constants) for i in found}
    _check_all_used(found, constants)
    bands = {b.name: b for i in found for b in _bands(ds, i)}
    terms = tuple(Term(i, tuple(values[i.name].items()), steps(i.formula)) for i in found)
    for term in terms:
        _check_constants_divide(term)
    return _label(_apply(list(bands.values()), terms), terms, next(iter(bands.values())))


@dataclass(frozen=True)
class Term:
    """An index and the constants that it is computed with."""

    index: Index
    constants: tuple[tuple[str, float], ...]
    steps: tuple[Step, ...]
    """The formula, operations after their values: parsed once, as `ast.parse` in many threads at a time fails on Python 3.11."""


@cache
def _table() -> dict[str, Index]:
    """Give all indices by name."""
    import spyndex  # type: ignore[import-untyped]  # takes 0.1 s: only when an index is asked for

    theirs = {n: Index(n, i.long_name, i.formula, tuple(i.bands), i.reference) for n, i in spyndex.indices.items()}
    return theirs | OWN


@cache
def _defaults() -> dict[str, tuple[str, float | None]]:
    """Give the description and the default of each constant; ``sigma`` has none, as it follows the bands."""
    import spyndex

    theirs = {n: (c.description, c.default) for n, c in spyndex.constants.items() if n != "sigma"}
    return theirs | {f"lambda{s}": ("central wavelength, nm", BANDS[b].centre_nm) for s, b in BAND_OF.items()}


def steps(formula: str) -> tuple[Step, ...]:
    """Take a formula apart, operations after their values; nothing but arithmetic gets through.

    Raises
    ------
    XSentinelError
        If the formula is more than arithmetic over symbols and numbers.

    Examples
    --------
    >>> steps("(N-R)/2.0")
    ('N', 'R', ('sub', 2), 2.0, ('truediv', 2))
    """
    return _steps(ast.parse(formula, mode="eval").body)


def _steps(node: ast.expr) -> tuple[Step, ...]:
    match node:
        case ast.BinOp(left, op, right) if type(op) in OPERATIONS:
            return (*_steps(left), *_steps(right), (OPERATIONS[type(op)].__name__, 2))
        case ast.UnaryOp(op, operand) if type(op) in OPERATIONS:
            return (*_steps(operand), (OPERATIONS[type(op)].__name__, 1))
        case ast.Name(name):
            return (name,)
        case ast.Constant(int() | float() as value):
            return (value,)
    raise XSentinelError(f"a formula has {ast.unparse(node)!r}, which is not arithmetic over bands and constants")


def _how_to_list() -> str:
    return "list(spyndex.indices) names them all (https://github.com/awesome-spectral-indices), beside 'brightness'"


def find_index(name: str) -> Index:
    """Give the index of a name.

    Raises
    ------
    XSentinelError
        If there is none of that name, or several that differ in case only.
    """
    table = _table()
    alike = [n for n in table if n.lower() == str(name).lower()]
    if name in table or len(alike) == 1:
        return table[name if name in table else alike[0]]
    by_lower = {n.lower(): n for n in table}
    turned = [n for n in table if sorted(n.lower()) == sorted(str(name).lower())]  # two letters the wrong way round
    close = alike or list(dict.fromkeys([*turned, *(by_lower[n] for n in get_close_matches(str(name).lower(), by_lower, 5))]))
    meant = f"; did you mean {' or '.join(close)}?" if close else ";"
    raise XSentinelError(f"{name!r} is not a spectral index{meant} {_how_to_list()}")


def _constant_values(i: Index, given: Mapping[str, float]) -> dict[str, float]:
    """Give the value of each constant of an index, those given before the defaults."""
    values = {}
    for name in i.constants:
        description, value = _defaults().get(name, ("", None))
        value = given.get(name, value)
        if value is None and name == "sigma":
            continue
        if value is None and name not in _defaults():
            raise BandError(f"{i.name} needs {name}, which no band of Sentinel-1 or Sentinel-2 is ({i.formula}); take another index")
        if value is None:
            raise XSentinelError(f"{i.name} needs {name} ({description}), which has no default: give {name}=...")
        if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
            raise XSentinelError(f"{name} is {value!r}; a constant is one number")
        values[name] = float(value)
    return values


def _check_all_used(found: Sequence[Index], given: Mapping[str, float]) -> None:
    unused = [name for name in given if not any(name in i.constants for i in found)]
    if unused:
        takes = ", ".join(f"{i.name} takes {', '.join(i.constants) or 'none'}" for i in found)
        raise XSentinelError(f"{', '.join(unused)} is not a constant of the indices asked for; {takes}")


def _check_constants_divide(term: Term) -> None:
    """Try a pixel: of constants alone, Python's division by zero raises where that of arrays does not."""
    try:
        with np.errstate(all="ignore"):
            _compute(term, dict.fromkeys(BAND_OF, np.float32(0.5)))
    except ZeroDivisionError as err:
        found = ", ".join(f"{n}={v:g}" for n, v in term.constants)
        raise XSentinelError(f"{term.index.name} divides by zero with {found} ({term.index.formula}); give other constants") from err


def _bands(ds: xr.Dataset, i: Index) -> list[xr.DataArray]:
    """Give the bands that an index needs, or say which is missing."""
    stand_in = "; where B8A is to stand for B08, ds.rename(B8A='B08')" if "B08" in i.bands and "B8A" not in i.bands else ""
    return select_bands(ds, i.bands, f"index {i.name}", stand_in)


@dataclass(frozen=True)
class _Job:
    """What a block needs beside its arrays."""

    terms: tuple[Term, ...]
    bands: tuple[str, ...]
    encodings: tuple[Encoding, ...]
    n_threads: int = 1


def _apply(bands: list[xr.DataArray], terms: tuple[Term, ...]) -> list[xr.DataArray]:
    """Compute the indices over numpy or dask arrays."""
    bare = [b.reset_coords(drop=True) for b in bands]
    lazy = any(b.chunks is not None for b in bare)
    job = _Job(terms, tuple(str(b.name) for b in bare), tuple(map(encoding_of, bare)), 1 if lazy else n_cores())
    results = xr.apply_ufunc(
        _block,
        *bare,
        kwargs={"job": job},
        output_core_dims=[[]] * len(terms),
        dask="parallelized",
        output_dtypes=[np.float32] * len(terms),
        keep_attrs=False,
    )
    return list(results) if len(terms) > 1 else [results]


def _block(*arrays: npt.NDArray[Any], job: _Job) -> npt.NDArray[np.float32] | tuple[npt.NDArray[np.float32], ...]:
    """Do one block, in ranges of pixels that stay in the cache."""
    shape = arrays[0].shape
    flat = [np.ascontiguousarray(a).reshape(-1) for a in arrays]
    for values, name in zip(arrays, job.bands, strict=True):
        if not BANDS[name].is_radar:
            check_reflectance(values, name)
    out = [np.empty(flat[0].shape, np.float32) for _ in job.terms]

    def run(start: int, stop: int) -> None:
        with np.errstate(all="ignore"):
            for at in range(start, stop, GRAIN):
                here = slice(at, min(at + GRAIN, stop))
                values = _symbols([a[here] for a in flat], job)
                for term, result in zip(job.terms, out, strict=True):
                    found = _compute(term, values)
                    np.add(found, found * 0, out=result[here])  # infinite · 0 is NaN

    over_pixels(run, flat[0].size, job.n_threads)
    done = tuple(a.reshape(shape) for a in out)
    return done if len(done) > 1 else done[0]


def _symbols(arrays: list[npt.NDArray[Any]], job: _Job) -> dict[str, Any]:
    """Bring stored values to float32 reflectance or linear power, by their names in formulas."""
    values: dict[str, Any] = {}
    for array, name, e in zip(arrays, job.bands, job.encodings, strict=True):
        plain = array.dtype.kind == "f" and e.scale == 1 and e.offset == 0 and np.isnan(e.nodata)
        decoded = array.astype(np.float32, copy=False) if plain else decode(array, e.scale, e.offset, e.nodata)
        values[BANDS[name].spyndex] = np.float32(10) ** (decoded / np.float32(10)) if BANDS[name].is_radar else decoded
    return values


def _compute(term: Term, values: Mapping[str, Any]) -> Any:
    inputs = {**values, **dict(term.constants)}
    inputs |= {k: _kernel(k, inputs) for k in term.index.kernels}
    return _evaluate(term.steps, inputs)


def _kernel(name: str, values: Mapping[str, Any]) -> Any:
    """Compute the RBF kernel k(a, b) = exp(−(a − b)² / 2σ²), name being k, a, b."""
    a, b = (values[symbol] for symbol in name[1:])
    sigma = values.get("sigma", (a + b) * 0.5)
    return np.exp((a - b) ** 2 / (sigma**2 * -2.0))


def _evaluate(steps: Sequence[Step], values: Mapping[str, Any]) -> Any:
    """Compute a formula; constants are Python numbers, so float32 arrays stay float32."""
    stack: list[Any] = []
    for step in steps:
        if isinstance(step, tuple):
            name, n = step
            stack[-n:] = [getattr(operator, name)(*stack[-n:])]
        else:
            stack.append(values[step] if isinstance(step, str) else step)
    return stack.pop()


def _label(data: Sequence[xr.DataArray], terms: Sequence[Term], like: xr.DataArray) -> xr.Dataset:
    """Put coordinates, CF attributes and provenance on."""
    mapping = grid_mapping_name(like)
    maps = {}
    for values, term in zip(data, terms, strict=True):
        values.attrs = _attrs(term) | ({"grid_mapping": mapping} if mapping else {})
        maps[term.index.name] = values.variable
    coords = {k: c for k, c in like.coords.items() if set(c.dims) <= set(like.dims)}
    return xr.Dataset(maps, coords, CONVENTIONS | {"xsentinel_version": __version__})


def _attrs(term: Term) -> dict[str, str]:
    i = term.index
    spelt = {spyndex: band for spyndex, band in BAND_OF.items() if band in i.bands}
    attrs = {
        "long_name": i.long_name,
        "units": "1",
        "formula": i.formula,
        "bands": " ".join(f"{s}={b}" for s, b in spelt.items()),
        "constants": " ".join(f"{n}={v:g}" for n, v in term.constants),
        "references": i.references,
    }
    return {k: v for k, v in attrs.items() if v}
