"""One run of the Zarr-to-Zarr job: prints seconds (compilation left out) and peak memory as JSON."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import xarray as xr

import xsentinel as xs


def lai(source: str, target: str) -> None:
    """Do what a user does."""
    xs.open(source).s2.lai().s2.to_zarr(target)


def unet(source: str, target: str) -> None:
    """Do the same with the network."""
    xs.open(source, mask_and_scale=False).s2.lai(model="unet").s2.to_zarr(target)


def unet_sampled(source: str, target: str) -> None:
    """Do the same with its uncertainty."""
    xs.open(source, mask_and_scale=False).s2.lai(model="unet", samples=30).s2.to_zarr(target)


def crops(source: str, target: str) -> None:
    """Composite single dates by months and map crops, by the model that lies beside the cube; nothing else is stored."""
    xs.open(source, mask_and_scale=False).s2.crops(Path(source).with_name("model"), precision="auto").s2.to_zarr(target)


def bare(source: str, target: str) -> None:
    """Read every input chunk and write constant outputs of the same shape, chunks, dtypes and codecs."""
    raw = xr.open_dataset(source, engine="zarr", chunks={}, mask_and_scale=False, consolidated=False)
    bands = [raw[b].data for b in raw.data_vars]

    def outputs(*blocks: np.ndarray) -> np.ndarray:
        # as many bytes that compress as LAI does: of the first bands, as float32
        return (blocks[0] * np.float32(1e-4) + blocks[1] * np.float32(1e-3)).astype(np.float32)

    value = xr.apply_ufunc(outputs, *(raw[b] for b in raw.data_vars), dask="parallelized", output_dtypes=[np.float32])
    flags = xr.apply_ufunc(
        lambda b: (b > 900).astype(np.uint8), raw[next(iter(raw.data_vars))], dask="parallelized", output_dtypes=[np.uint8]
    )
    assert bands
    xr.Dataset({"lai": value.variable, "lai_flags": flags.variable}, raw.coords).s2.to_zarr(target)


def peak_memory_gb() -> float:
    """Read the high-water mark of resident memory; getrusage would give that of the process that started this one."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1e6


def warm(kind: str, source: str) -> None:
    """Compile what the job runs."""
    if kind == "crops":
        corner = xs.open(source, mask_and_scale=False).isel(y=slice(0, 16), x=slice(0, 16))
        corner.s2.crops(Path(source).with_name("model"), precision="auto").compute()
        return
    xs.sample("zurich").s2.lai()
    xs.sample("zurich", mask_and_scale=False, chunks="auto").s2.lai().compute()
    if kind.startswith("unet"):
        xs.sample("zurich", mask_and_scale=False).isel(y=slice(None, None, 2), x=slice(None, None, 2)).s2.lai(model="unet", samples=2)


def main(kind: str, source: str, target: str) -> None:
    """Run once; compile on a small sample first."""
    warm(kind, source)
    start = time.perf_counter()
    {"lai": lai, "unet": unet, "unet_sampled": unet_sampled, "bare": bare, "crops": crops}[kind](source, target)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "peak_gb": peak_memory_gb()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
