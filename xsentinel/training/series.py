"""Labelled series as tensors: the samples of a Dataset, normalised, gaps told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr
from torch import Tensor

from xsentinel.classes import LabelClass, classes_of
from xsentinel.errors import BandError, XSentinelError
from xsentinel.models.card import GEOMETRY, Channel

VALUES = "reflectance"
"""Variable of a Dataset of samples: (sample, time, band), float32, NaN in gaps."""


@dataclass(frozen=True)
class Series:
    """Samples in memory."""

    values: npt.NDArray[np.float32]
    """(sample, date, band), reflectance, NaN in gaps."""
    codes: npt.NDArray[np.uint8]
    """(sample,): code of the class, 0 for none."""
    classes: tuple[LabelClass, ...]
    """Of which there are samples."""
    bands: tuple[str, ...]

    @property
    def places(self) -> npt.NDArray[np.int64]:
        """Place of each sample's class in the row of classes."""
        return np.searchsorted([c.code for c in self.classes], self.codes).astype(np.int64)

    def at(self, which: npt.NDArray[np.bool_]) -> Series:
        """Give some of the samples, the classes as they are."""
        return Series(self.values[which], self.codes[which], self.classes, self.bands)


def read_series(samples: xr.Dataset) -> Series:
    """Read a Dataset of samples, as `xsentinel.samples` makes it; unlabelled ones are left out.

    Raises
    ------
    XSentinelError
        If it is no such Dataset, or holds fewer than two classes.
    BandError
        If a band stands for geometry.
    """
    missing = [name for name in (VALUES, "label") if name not in samples]
    if missing or samples[VALUES].dims != ("sample", "time", "band"):
        raise XSentinelError(
            f"samples hold {VALUES} (sample, time, band) and label (sample); found {dict(samples.sizes)} with "
            f"{', '.join(map(str, samples.variables))}; xsentinel.samples.extract and from_table make them"
        )
    bands = tuple(map(str, samples["band"].values))
    odd = [band for band in bands if band in GEOMETRY]
    if odd:
        raise BandError(f"{', '.join(odd)} are no bands of a series; drop them")
    codes = samples["label"].values.astype(np.uint8)
    there = codes > 0
    classes = tuple(c for c in classes_of(samples["label"].attrs) if c.code in set(codes.tolist()))
    unknown = sorted(set(codes[there].tolist()) - {c.code for c in classes})
    if unknown or len(classes) < 2:
        raise XSentinelError(
            f"samples are of {len(classes)} known classes, and of unknown codes {unknown}; give two classes or more, each in flag_values"
        )
    order = tuple(sorted(classes, key=lambda c: c.code))
    return Series(samples[VALUES].values.astype(np.float32)[there], codes[there], order, bands)


def limits(series: Series) -> tuple[Channel, ...]:
    """Give the channels of series, brought to mean 0 and standard deviation 1 over all that was seen.

    Raises
    ------
    XSentinelError
        If a band shows nothing.
    """
    flat = series.values.reshape(-1, len(series.bands)).astype(np.float64)
    seen = np.isfinite(flat)
    blind = [band for k, band in enumerate(series.bands) if not seen[:, k].any()]
    if blind:
        raise XSentinelError(f"no sample shows {', '.join(blind)}; drop the band")
    mean = np.nanmean(flat, 0)
    spread = np.maximum(np.nanstd(flat, 0), 1e-6)
    return tuple(Channel(band, float(m), float(m + s)) for band, m, s in zip(series.bands, mean, spread, strict=True))


def planes(values: npt.NDArray[np.float32], channels: tuple[Channel, ...]) -> Tensor:
    """Bring series to a network's inputs, (sample, date × plane, 1, 1), as the predictor does."""
    low = np.array([c.low for c in channels], np.float32)
    width = np.array([c.high - c.low for c in channels], np.float32)
    seen = np.isfinite(values).all(2, keepdims=True)
    scaled = np.where(seen, (values - low) / width, np.float32(0))
    out = np.concatenate([scaled, seen.astype(np.float32)], 2).astype(np.float32)
    return torch.from_numpy(out.reshape(len(out), -1, 1, 1))


def weights(places: npt.NDArray[np.int64], n_classes: int) -> Tensor:
    """Give Weikmann's weight of each class in the loss: n_max / n_u."""
    counts = np.bincount(places, minlength=n_classes)
    return torch.from_numpy((counts.max() / np.maximum(counts, 1)).astype(np.float32))
