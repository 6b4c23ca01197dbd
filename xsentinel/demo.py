"""The demo: the shipped scenes through the main job, with files, a picture and a table to show for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from xsentinel.bands import CLOUDY_CLASSES
from xsentinel.errors import WriteError
from xsentinel.io.cog import to_cog
from xsentinel.io.place import progress_bar
from xsentinel.io.samples import sample
from xsentinel.io.write import to_zarr
from xsentinel.kernels.scores import agreement
from xsentinel.kernels.sl2p import OUT_OF_DOMAIN, OUT_OF_RANGE
from xsentinel.plot import map_array, rgb
from xsentinel.products.clouds import mask_clouds
from xsentinel.products.lai import lai

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SAMPLES = 30
"""Monte Carlo samples, as many as in the paper."""


@dataclass(frozen=True)
class Row:
    """One line of the demo's table."""

    scene: str
    dates: int
    pixels: int
    """A date."""
    clear: str
    """Share of the pixels that are seen, per cent."""
    median: float
    """LAI."""
    spread: tuple[float, float]
    """5th and 95th percentile of LAI."""
    in_domain: float
    """Share of the seen pixels whose input is inside the definition domain, per cent."""
    seconds: float


def run(folder: Path) -> str:
    """Read, mask, map, write and draw into a folder; give the text to print."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise WriteError(f"{folder} cannot be made: {err}; name another folder: xsentinel demo FOLDER") from err
    rows, maps = [], {}
    cubes = {"zurich": sample("zurich", chunks="auto"), "romania": mask_clouds(sample("romania", chunks="auto"))}
    for name, cube in cubes.items():
        print(f"{name}: leaf area index of {cube.sizes['time']} date(s)")
        start = perf_counter()
        with progress_bar(True):
            maps[name] = lai(cube).compute()
        rows.append(_row(name, maps[name], cube, perf_counter() - start))
    learnt, compared = _uncertainty(folder)
    files = [*_write(maps, folder), _draw(cubes, maps, folder / "demo.png"), *learnt]
    return "\n".join(["", _table(rows), "", compared, "", "Files:", *(f"  {f}" for f in files), "", NEXT])


NEXT = """Try next:
  xsentinel info YOUR_CUBE                 what xsentinel understands of your data
  xsentinel lai YOUR_CUBE lai.zarr         its leaf area index
  xsentinel lai YOUR_CUBE lai.zarr --resolution 20 --model unet --samples 30    the same with its uncertainty
  python -c "import xsentinel as xs; print(xs.sample('zurich').s2.info())\""""


def _row(name: str, maps: xr.Dataset, cube: xr.Dataset, seconds: float) -> Row:
    values = maps["lai"].values
    seen = np.isfinite(values)
    inside = (maps["lai_flags"].values & OUT_OF_DOMAIN) == 0
    low, median, high = np.percentile(values[seen & inside], (5, 50, 95))
    clear = f"{100 * seen.mean():.0f} %" if "SCL" in cube else "no SCL"
    shape = cube.sizes
    return Row(name, shape["time"], shape["y"] * shape["x"], clear, median, (low, high), 100 * inside[seen].mean(), seconds)


def _table(rows: list[Row]) -> str:
    head = f"{'scene':<10}{'dates':>6}{'pixels':>9}{'seen':>8}{'LAI median':>12}{'5–95 %':>13}{'in domain':>11}{'seconds':>9}"
    body = [
        f"{r.scene:<10}{r.dates:>6}{r.pixels:>9}{r.clear:>8}{r.median:>12.2f}{f'{r.spread[0]:.2f}–{r.spread[1]:.2f}':>13}"
        f"{f'{r.in_domain:.0f} %':>11}{r.seconds:>9.2f}"
        for r in rows
    ]
    note = f"LAI of pixels inside the definition domain; masked by SCL: {', '.join(CLOUDY_CLASSES).replace('_', ' ')}"
    return "\n".join([head, *body, note])


def _write(maps: dict[str, xr.Dataset], folder: Path) -> list[str]:
    stores = []
    for name, result in maps.items():
        store = folder / f"{name}_lai.zarr"
        to_zarr(result, store, overwrite=True)
        stores.append(str(store))
    return stores + to_cog(maps["zurich"], folder / "zurich_lai.tif", overwrite=True)


def _draw(cubes: dict[str, xr.Dataset], maps: dict[str, xr.Dataset], path: Path) -> str:
    """Draw true colour, LAI, flags and the two years of the forest on one sheet."""
    from matplotlib.figure import Figure

    sheet = Figure(figsize=(14, 10), layout="constrained", dpi=110)
    axes = sheet.subplots(2, 2)
    lai_map = _inside_range(maps["zurich"])
    rgb(cubes["zurich"], ax=axes[0, 0]).set_title("True colour, Zürich lowlands, Sentinel-2A, 2019-05-30", loc="left")
    map_array(lai_map, ax=axes[0, 1], vmax=6.0).set_title("Leaf area index; grey: a band outside SL2P's range, mostly cloud", loc="left")
    series = _series(maps["romania"])
    best = str(series["time"].values[int(series.median(("y", "x")).values.argmax())])
    rgb(cubes["romania"], ax=axes[1, 0], time=best).set_title(f"True colour, Romanian forest, {best[:10]}", loc="left")
    _draw_series(series, axes[1, 1])
    sheet.savefig(path)
    return str(path)


def _uncertainty(folder: Path) -> tuple[list[str], str]:
    """Map the Zürich scene at 20 m by the U-Net with its uncertainty, beside SL2P; give files and a line that compares them."""
    cube = sample("zurich", resolution=20, chunks="auto")
    print(f"zurich at 20 m: the same by a U-Net, {SAMPLES} Monte Carlo samples")
    start = perf_counter()
    with progress_bar(True):
        learnt = lai(cube, model="unet", samples=SAMPLES).compute()
    seconds = perf_counter() - start
    teacher = _inside_range(lai(cube).compute())
    store = folder / "zurich_lai_unet.zarr"
    to_zarr(learnt, store, overwrite=True)
    found = agreement(teacher.values, learnt["lai"].values)
    seen = np.isfinite(teacher.values)
    held = ((teacher >= learnt["lai_lower"]) & (teacher <= learnt["lai_upper"])).values[seen].mean()
    line = (
        f"U-Net beside SL2P, Zürich at 20 m: r {found.correlation:.4f}, mean distance {found.distance:.3f} LAI; its 95 % interval holds "
        f"{100 * held:.0f} % of SL2P's answers; {seconds:.2f} s"
    )
    return [str(store), _draw_uncertainty(teacher, learnt, folder / "uncertainty.png")], line


def _draw_uncertainty(teacher: xr.DataArray, learnt: xr.Dataset, path: Path) -> str:
    """Draw SL2P's LAI, the U-Net's, and half the width of its interval."""
    from matplotlib.figure import Figure

    sheet = Figure(figsize=(18, 5.4), layout="constrained", dpi=110)
    axes = sheet.subplots(1, 3)
    half = ((learnt["lai_upper"] - learnt["lai_lower"]) / 2).where(teacher.notnull())
    half = half.rename("lai_half_width").assign_attrs(long_name="half the width of the 95 % interval", units="m2 m-2")
    kept = learnt["lai"].where(teacher.notnull()).assign_attrs(learnt["lai"].attrs)
    map_array(teacher, ax=axes[0], vmin=0.0, vmax=6.0).set_title("SL2P, 20 m", loc="left")
    map_array(kept, ax=axes[1], vmin=0.0, vmax=6.0).set_title(f"U-Net, mean of {SAMPLES} samples", loc="left")
    map_array(half, ax=axes[2], vmin=0.0).set_title("Where SL2P's answer lies: ± half of the U-Net's 95 % interval", loc="left")
    sheet.savefig(path)
    return str(path)


def _inside_range(maps: xr.Dataset) -> xr.DataArray:
    """Leave out pixels with a band outside min–max; the grid's bit is set on too many good ones."""
    return maps["lai"].where((maps["lai_flags"] & OUT_OF_RANGE) == 0).assign_attrs(maps["lai"].attrs)


def _series(maps: xr.Dataset) -> xr.DataArray:
    """Select the dates that show at least half of the pixels."""
    values = _inside_range(maps)
    return values.sel(time=values.notnull().mean(("y", "x")) > 0.5)


def _draw_series(series: xr.DataArray, ax: Axes) -> None:
    """Draw median and quartiles of each date."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    low, middle, high = (series.quantile(q, ("y", "x")) for q in (0.25, 0.5, 0.75))
    times = series["time"].values
    ax.fill_between(times, low.values, high.values, color="#a6d96a", alpha=0.5, label="quartiles of the pixels")
    ax.plot(times, middle.values, "o-", color="#1a6b34", markersize=4, linewidth=1, label="median")
    ax.xaxis.set_major_formatter(ConciseDateFormatter(AutoDateLocator()))
    ax.set_ylabel("leaf area index [m² m⁻²]")
    ax.set_ylim(0)
    ax.grid(alpha=0.3)
    ax.legend(frameon=False, loc="upper left")
    ax.set_title(f"Two years of the forest: its {times.size} clear dates", loc="left")
