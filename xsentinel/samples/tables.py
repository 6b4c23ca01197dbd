"""Samples as labelled Datasets (sample, time, band): put together, read from tables, joined, saved and opened."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from xsentinel.bands import band_name
from xsentinel.classes import classes_of
from xsentinel.errors import BandError, ReadError, TimeError, WriteError, XSentinelError
from xsentinel.samples.legends import Legend

Array = npt.NDArray[Any]

VALUES = "reflectance"
"""The variable of series."""
CHUNK = 4096
"""Samples a chunk in a store."""


def assemble(values: Any, table: xr.Dataset, axes: Mapping[str, Any], name: str = VALUES) -> xr.Dataset:
    """Put series (sample, time, band) beside what a table says of each sample."""
    known = table.reset_coords(drop=False) if table.coords else table
    coords = {n: v.variable for n, v in known.data_vars.items()}
    attrs = {"long_name": "surface reflectance", "units": "1"} if name == VALUES else {"long_name": name, "units": "1"}
    out = xr.Dataset({name: (("sample", "time", "band"), values, attrs)}, coords | dict(axes), dict(table.attrs))
    for variable in out.variables.values():
        variable.encoding = {}
    return out


def from_table(
    frame: pd.DataFrame,
    *,
    bands: Mapping[str, str],
    sample: str,
    time: str,
    label: str,
    legend: Legend,
    scale: float = 1.0,
    nodata: float | None = None,
    coords: Mapping[str, str] | None = None,
) -> xr.Dataset:
    """Make samples of a table that has a row for each sample and date.

    Parameters
    ----------
    frame : pandas.DataFrame
        In any order; a sample need not have all dates, what is missing is NaN.
    bands : mapping from band to column
        Values; names of bands, their aliases or names of one's own, such as "NDVI".
    sample, time, label : str
        Columns: what samples are told apart by, dates, source values.
    legend : Legend
        Samples of dropped sources are left out.
    scale : float
        Value a count.
    nodata : float, optional
        Count of no data, besides NaN.
    coords : mapping from coordinate to column, optional
        What else to keep, the same at all dates of a sample: {"block": "h3_cell", "x": "lon", "y": "lat"}.

    Returns
    -------
    xarray.Dataset
        ``reflectance`` (sample, time, band), float32, NaN for gaps; coordinates ``label`` (uint8, CF flags), ``time``, ``band``,
        ``id`` (sample) and those asked for. Sorted by ``id``.

    Raises
    ------
    BandError
        If two names mean one band.
    TimeError
        If a sample has two rows of one date.
    XSentinelError
        If columns are missing, the legend does not know a value, or a label or coordinate changes within a sample.

    Examples
    --------
    >>> from xsentinel import samples
    >>> frame = pd.DataFrame({"id": ["a", "a", "b"], "date": ["2017-01", "2017-02", "2017-02"], "crop": [1, 1, 2]})
    >>> frame["n"] = [3000, 65535, 2000]
    >>> legend = samples.legend({"Maize": [1], "Rye": [2]})
    >>> made = from_table(frame, bands={"nir": "n"}, sample="id", time="date", label="crop", legend=legend, scale=1e-4, nodata=65535)
    >>> made.reflectance.values[:, :, 0]
    array([[0.3, nan], [nan, 0.2]], dtype=float32)
    >>> made.band.values.tolist(), made.label.values.tolist()
    (['B08'], [1, 2])
    """
    extra = dict(coords or {})
    _check_columns(frame, [sample, time, label, *bands.values(), *extra.values()])
    names = [band_name(band) or band for band in bands]
    if len(set(names)) < len(names):
        raise BandError(f"the columns of bands {', '.join(bands)} mean {', '.join(names)}; give each band once")
    codes = legend.encode(frame[label].to_numpy(), f"column {label!r}")
    rows = frame[codes > 0]
    who, ids = pd.factorize(rows[sample], sort=True)
    when, times = pd.factorize(pd.to_datetime(rows[time]), sort=True)
    _check_once(who, when, ids, times)
    values = np.full((len(ids), len(times), len(names)), np.nan, np.float32)
    values[who, when] = _decoded(rows[list(bands.values())].to_numpy(np.float64), scale, nodata)
    own = {n: ("sample", _constant(rows[c].to_numpy(), who, ids, c)) for n, c in extra.items()}
    first = _constant(codes[codes > 0], who, ids, label)
    table = xr.Dataset({"label": ("sample", first, legend.attrs)}, {"id": ("sample", _plain(np.asarray(ids)))} | own)
    return assemble(values, table, {"time": pd.DatetimeIndex(times).as_unit("ns"), "band": names})


def _check_columns(frame: pd.DataFrame, names: list[str]) -> None:
    missing = [n for n in dict.fromkeys(names) if n not in frame]
    if missing:
        raise XSentinelError(f"the table has no column {', '.join(missing)}; it has {', '.join(map(str, frame.columns))}")


def _check_once(who: Array, when: Array, ids: Any, times: Any) -> None:
    pairs = pd.DataFrame({"who": who, "when": when})
    twice = pairs[pairs.duplicated()]
    if len(twice):
        raise TimeError(
            f"{len(twice)} rows repeat a date of their sample, such as {times[twice.when.iloc[0]]} of {ids[twice.who.iloc[0]]}; "
            f"keep one of each: frame.drop_duplicates([...])"
        )


def _decoded(counts: npt.NDArray[np.float64], scale: float, nodata: float | None) -> npt.NDArray[np.float32]:
    values = (counts * scale).astype(np.float32)
    if nodata is not None:
        values[counts == nodata] = np.nan
    return values


def _constant(values: Array, who: Array, ids: Any, column: str) -> Array:
    """Give the one value of each sample."""
    first = np.unique(who, return_index=True)[1]
    one = values[first]
    changed = np.flatnonzero(pd.Series(values != one[who]).to_numpy())
    if changed.size:
        raise XSentinelError(f"column {column!r} changes within sample {ids[who[changed[0]]]}; it must be the same at all its dates")
    return _plain(one)


def _plain(values: Array) -> Array:
    return values.astype(str) if values.dtype == object else values


def concat(parts: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Join samples of several cubes, such as tiles with monthly composites of the same dates.

    Parameters
    ----------
    parts : mapping from name to xarray.Dataset
        Samples with the same times, bands and classes.

    Returns
    -------
    xarray.Dataset
        All samples, with a coordinate ``tile`` (sample); blocks and parcels of different tiles are different to `split`.
        Coordinates that not all have, and CRS that differ, are left out.

    Raises
    ------
    XSentinelError
        If there are none, or times, bands or classes differ.

    Examples
    --------
    >>> from xsentinel import samples
    >>> frame = pd.DataFrame({"id": [1, 2], "date": "2017-01", "crop": [1, 1], "n": [0.3, 0.2]})
    >>> legend = samples.legend({"Maize": [1]})
    >>> part = samples.from_table(frame, bands={"B08": "n"}, sample="id", time="date", label="crop", legend=legend)
    >>> concat({"33UUP": part, "33UVP": part}).tile.values.tolist()
    ['33UUP', '33UUP', '33UVP', '33UVP']
    """
    if not parts:
        raise XSentinelError("there are no samples to join; give {'33UUP': samples, ...}")
    first_name, first = next(iter(parts.items()))
    for name, part in parts.items():
        for what in ("time", "band"):
            if not np.array_equal(first[what].values, part[what].values):
                raise XSentinelError(
                    f"{first_name} and {name} differ in {what}: {first[what].size} and {part[what].size} of them, "
                    f"from {first[what].values[0]} and {part[what].values[0]} on; "
                    f"bring them to the same first, such as by cube.s2.composite('MS') of the same months"
                )
        if classes_of(first["label"].attrs) != classes_of(part["label"].attrs):
            raise XSentinelError(f"{first_name} and {name} have different classes; label both by one legend")
    common = [c for c in first.coords if all(c in p.coords for p in parts.values())]
    same = [c for c in common if "sample" in first[c].dims or all(first[c].identical(p[c]) for p in parts.values())]
    tiled = [
        p.drop_vars([c for c in p.coords if c not in same]).assign_coords(tile=("sample", [n] * p.sizes["sample"]))
        for n, p in parts.items()
    ]
    joined: xr.Dataset = xr.concat(
        tiled, "sample", data_vars="minimal", coords="minimal", compat="override", join="override", combine_attrs="drop_conflicts"
    )
    joined["label"].attrs = first["label"].attrs
    return joined


def save(samples: xr.Dataset, path: str | PathLike[str], *, overwrite: bool = False) -> None:
    """Write samples to a Zarr store, or to a NetCDF file if the name ends in .nc.

    Parameters
    ----------
    samples : xarray.Dataset
        Of `extract`, `from_table`, `concat`, `split`; or a table of `draw`.
    path : path
        Folder of the store, or file.
    overwrite : bool
        Whether what stands there is replaced.

    Raises
    ------
    WriteError
        If something stands there and is not to be replaced.

    Examples
    --------
    >>> import tempfile
    >>> table = xr.Dataset({"label": ("sample", [1, 2])})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(table, f"{folder}/table.nc")
    ...     open(f"{folder}/table.nc").label.values.tolist()
    [1, 2]
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise WriteError(f"{path} exists; give another name, or overwrite=True to replace it")
    if path.is_dir() and not (path / "zarr.json").is_file():
        raise WriteError(f"{path} is a folder but no Zarr store, so it is not replaced; give another name, or remove it yourself")
    ready = _storable(samples)
    partial = path.with_name(f".writing-{path.name}")  # what stands there may be what is being read
    try:
        if path.suffix == ".nc":
            ready.to_netcdf(partial)
        else:
            ready.to_zarr(partial, mode="w", consolidated=False)
    except BaseException:
        _remove(partial)
        raise
    _remove(path)
    partial.replace(path)


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _storable(samples: xr.Dataset) -> xr.Dataset:
    """Write text as variable-length strings, and cut samples into chunks."""
    text = {v: samples[v].astype(object) for v in samples.variables if samples[v].dtype.kind in "UT"}
    ready = samples.assign({v: t for v, t in text.items() if v in samples.data_vars})
    ready = ready.assign_coords({v: t for v, t in text.items() if v in samples.coords})
    for name, variable in ready.variables.items():
        variable.encoding = {}
        if variable.dtype == object:
            ready[name].encoding["dtype"] = str
    return ready


def save_in_parts(
    parts: Iterable[tuple[Array, Array]], shape: tuple[int, int, int], table: xr.Dataset, axes: Mapping[str, Any], path: str | PathLike[str]
) -> None:
    """Write series to a store as they come: an empty variable first, then the samples of each part."""
    import dask.array as da
    import zarr

    if Path(path).exists():
        raise WriteError(f"{path} exists; give another name, or remove it")
    chunks = (min(CHUNK, max(shape[0], 1)), *shape[1:])
    empty = da.full(shape, np.nan, np.float32, chunks=chunks)
    ready = _storable(assemble(empty, table, axes))
    ready.to_zarr(path, mode="w", consolidated=False, compute=False, encoding={VALUES: {"chunks": chunks, "fill_value": np.nan}})
    store: Any = zarr.open_group(str(path), mode="r+")[VALUES]
    for members, values in parts:
        store.oindex[members] = values


def open(path: str | PathLike[str]) -> xr.Dataset:  # noqa: A001  (samples.open reads as xsentinel.open does)
    """Open samples that `save` or ``extract(path=...)`` wrote, lazily.

    Parameters
    ----------
    path : path
        Zarr store, or NetCDF file (.nc).

    Returns
    -------
    xarray.Dataset
        As it was saved.

    Raises
    ------
    ReadError
        If it cannot be read as samples.

    Examples
    --------
    >>> open("nothing.zarr")
    Traceback (most recent call last):
    xsentinel.errors.ReadError: nothing.zarr is not there; samples.save and samples.extract(path=...) write samples
    """
    if not Path(path).exists():
        raise ReadError(f"{path} is not there; samples.save and samples.extract(path=...) write samples")
    is_file = Path(path).suffix == ".nc"
    ds = xr.open_dataset(path, chunks={}) if is_file else xr.open_zarr(path, consolidated=False)
    if "sample" not in ds.sizes:
        raise ReadError(
            f"{path} holds no samples: its dimensions are {', '.join(map(str, ds.sizes)) or 'none'}; xsentinel.open opens cubes"
        )
    for variable in ds.variables.values():
        if "flag_values" in variable.attrs:
            variable.attrs["flag_values"] = np.atleast_1d(variable.attrs["flag_values"]).astype(np.uint8)
    # numpy gives none of its own text kinds for another by astype
    text = {n: (v.dims, np.array(v.values.tolist(), str), v.attrs) for n, v in ds.coords.items() if v.dtype.kind in "OT"}
    return ds.assign_coords(text)
