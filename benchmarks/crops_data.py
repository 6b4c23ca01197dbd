"""Real crop series as samples: monthly composites of Canadian fields, and the UCR archive's "Crop"."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from xsentinel import samples

NODATA = 65535
BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B11", "B12")


def folder() -> Path:
    """Give the folder of real crop data."""
    return Path(os.environ["XSENTINEL_DATA"]) / "crops"


def canada(least: int = 50) -> xr.Dataset:
    """Give 12 calendar months of 2017 of nine bands, classes of at least so many samples, blocks of H3 cells (about 100 km).

    Time stamps of the table are local midnights in UTC (2016-12-31T23:00 is the first of January), so half a day is added
    before months are taken. Crop type 0, unknown, is dropped; other classes are those of the WorldCereal legend.
    """
    frame = pd.read_parquet(folder() / "canada_monthly" / "train.parquet")
    month = (frame["timestamp"] + pd.Timedelta(hours=12)).dt.to_period("M").dt.to_timestamp()
    frame = frame.assign(month=month)[month.dt.year == 2017]
    names = pd.read_csv(folder() / "canada_monthly" / "croptype_legend.csv").set_index("croptype")["name"]
    counts = frame.groupby("sample_id")["CROPTYPE_LABEL"].first().value_counts()
    kept = sorted(code for code, n in counts.items() if n >= least and code != 0)
    legend = samples.legend({str(names.get(code, f"type {code}")): [code] for code in kept}, other="drop")
    return samples.from_table(
        frame,
        bands={b: f"S2-L2A-{b}" for b in BANDS},
        sample="sample_id",
        time="month",
        label="CROPTYPE_LABEL",
        legend=legend,
        scale=1e-4,
        nodata=NODATA,
        coords={"block": "h3_l3_cell", "x": "lon", "y": "lat"},
    )


def ucr() -> xr.Dataset:
    """Give UCR "Crop": one index at 46 dates, 24 classes; its dates are not told, so every eighth day of a year stands for them."""
    table = np.loadtxt(folder() / "ucr_crop" / "Crop_TRAIN_full.tsv", dtype=np.float64)
    n, n_dates = len(table), table.shape[1] - 1
    days = pd.date_range("2006-01-01", periods=n_dates, freq="8D")
    frame = pd.DataFrame(
        {
            "sample": np.repeat(np.arange(n), n_dates),
            "day": np.tile(days, n),
            "class": np.repeat(table[:, 0].astype(int), n_dates),
            "NDVI": table[:, 1:].ravel(),
        }
    )
    legend = samples.legend({f"class {k}": [k] for k in sorted(set(frame["class"]))})
    return samples.from_table(frame, bands={"NDVI": "NDVI"}, sample="sample", time="day", label="class", legend=legend)
