"""Spectra from a table, as more texture to train on."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

import numpy as np
import numpy.typing as npt
import pandas as pd

from xsentinel.bands import MAX_REFLECTANCE, band_name
from xsentinel.errors import BandError, ReadError, UnitsError


def read_spectra(path: str | PathLike[str], bands: Sequence[str]) -> npt.NDArray[np.float32]:
    """Read (spectrum, band), reflectance, from a CSV file with a column a band.

    Raises
    ------
    ReadError
        If the file cannot be read.
    BandError
        If a band has no column.
    UnitsError
        If values are no reflectance.
    """
    try:
        table = pd.read_csv(path)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as err:
        raise ReadError(f"{path} cannot be read as a table of spectra: {err}; give a CSV file with a column a band") from err
    columns = {band_name(c): c for c in table.columns}
    missing = [band for band in bands if band not in columns]
    if missing:
        raise BandError(f"{path} has no column of {', '.join(missing)}; it has {', '.join(map(str, table.columns))}")
    values: npt.NDArray[np.float32] = table[[columns[band] for band in bands]].apply(pd.to_numeric, errors="coerce").to_numpy(np.float32)
    if not np.isfinite(values).all() or values.max(initial=0) > MAX_REFLECTANCE:
        raise UnitsError(
            f"{path} holds values that are no reflectance between 0 and 1, up to {np.nanmax(values):g}; divide counts by 10000"
        )
    return values
