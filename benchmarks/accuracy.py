"""Accuracy on real data, printed: ``XSENTINEL_DATA=... python -m benchmarks.accuracy``."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

import xsentinel as xs
from xsentinel.geometry import NEEDED
from xsentinel.kernels.sl2p_tables import Variable

BANDS = ("B03", "B04", "B05", "B06", "B07", "B8A", "B11", "B12")


def cases(folder: Path) -> None:
    """Print the largest error of each file of published test cases, in float32."""
    print("SL2P test cases: largest absolute error")
    for path in sorted(folder.glob("cases_*.csv")):
        _, platform, size, variable = path.stem.split("_")
        table = pd.read_csv(path)
        bands = {b: (("time", "y", "x"), table[b].to_numpy(np.float32)[None, None]) for b in table if b.startswith("B")}
        angles = {a: (("time", "y", "x"), np.rad2deg(np.arccos(table[f"cos_{a}"].to_numpy()))[None, None]) for a in NEEDED}
        maps = xr.Dataset(bands, angles | {"platform": platform}).s2.biophysical(variable, resolution=int(size[:-1]))
        error = np.abs(maps[variable].values.ravel() - table[variable].to_numpy()).max()
        print(f"  {platform} {size} {variable:<7} {len(table):5d} cases  {error:.2e}")


def older_coefficients() -> Variable | None:
    """Read the LAI network of version 2.1 from satellitetools, None where that is not installed."""
    try:
        folder = files("satellitetools.biophys") / "snap-auxdata" / "biophysical" / "2_1" / "LAI"
    except ModuleNotFoundError:
        return None

    def read(name: str) -> np.ndarray:
        return np.loadtxt(str(folder / f"LAI_{name}"), delimiter=",")

    normal, denormal, extreme = read("Normalisation"), read("Denormalisation"), read("ExtremeCases")
    hidden, output = read("Weights_Layer1_Neurons"), read("Weights_Layer2_Neurons").ravel()
    return Variable(
        normal[:, 0], normal[:, 1], hidden, read("Weights_Layer1_Bias"), output, float(read("Weights_Layer2_Bias")), *denormal, *extreme
    )


def plain_network(net: Variable, cube: xr.Dataset) -> np.ndarray:
    """Evaluate a network in float64 by its definition, neither clamped nor flagged."""
    cosines = [np.cos(np.deg2rad(cube[a].astype(float))).broadcast_like(cube.B03) for a in ("vza", "sza", "raa")]
    x = np.stack([*(cube[b].values.astype(float) for b in BANDS), *cosines], -1)
    normalised = 2 * (x - net.input_min) / (net.input_max - net.input_min) - 1
    y = np.tanh(normalised @ net.hidden_weights.T + net.hidden_bias) @ net.output_weights + net.output_bias
    return 0.5 * (y + 1) * (net.output_max - net.output_min) + net.output_min


def qvidja(folder: Path) -> None:
    """Explain the difference to the LAI in the qvidja files: their coefficients, and their dropped minimum."""
    old = older_coefficients()
    print("qvidja: LAI of four fields against the LAI in the files (coefficients 2.1)")
    for path in sorted(folder.glob("*.nc")):
        cube = xs.open(path, chunks=None)
        theirs, ours = cube.lai.values, cube.s2.lai().lai.values
        both = np.isfinite(theirs) & np.isfinite(ours)
        d = (ours - theirs)[both]
        rmse = np.sqrt((d**2).mean())
        line = f"  {path.stem[:7]}  {both.sum():6d} pixels  ours (3.0): mean {d.mean():+.3f}, rmse {rmse:.3f}, max {np.abs(d).max():.3f}"
        if old is not None:
            inner = both & (theirs > old.valid_min) & (theirs < old.valid_max)  # they clamp at both
            e = (plain_network(old, cube) - old.output_min - theirs)[inner]
            line += f"; with 2.1 and without their dropped minimum of {old.output_min:.1e}: max {np.abs(e).max():.1e}"
        print(line)


FILLINGS: dict[str, dict[str, object]] = {
    "linear": {},
    "nearest": {},
    "cressman": {},
    "cressman, own weights": {"weights": "cressman", "radius": 20.0},
    "whittaker, lambda 100": {"lmbda": 100.0},
    "whittaker, lambda 1e4": {"lmbda": 1e4},
}


def hidden_dates(cube: xr.Dataset, name: str) -> None:
    """Hide a tenth of the clear observations, date by date in tiles of 8 × 8 pixels, and find them again."""
    bands = [b for b in cube.data_vars if b != "SCL"]
    clear = cube.s2.mask_clouds()[bands]
    tiles = [-(-n // 8) for n in clear[bands[0]].shape[1:]]
    draw = np.random.default_rng(0).uniform(size=(cube.sizes["time"], *tiles)) < 0.1
    hide = draw.repeat(8, 1).repeat(8, 2)[:, : cube.sizes["y"], : cube.sizes["x"]]
    seen, truth = clear.where(~hide), clear.where(hide)
    print(f"{name}: {int(truth[bands[0]].notnull().sum())} hidden observations; RMSE (median absolute error) of reflectance · 10³")
    print(f"  {'':<24}" + "".join(f"{b:>14}" for b in bands))
    for title, options in FILLINGS.items():
        found = seen.s2.fill_gaps(title.split(",")[0], extrapolate="nearest", layers=False, **options)
        print(f"  {title:<24}" + "".join(_errors(found[b] - truth[b]) for b in bands))
    print(f"  {'mean of all dates':<24}" + "".join(_errors(seen[b].mean("time") - truth[b]) for b in bands))


def _errors(d: xr.DataArray) -> str:
    rmse, middle = 1e3 * float(np.sqrt((d**2).mean())), 1e3 * float(abs(d).median())
    return f"{f'{rmse:.0f} ({middle:.1f})':>14}"


def gap_filling(data: Path) -> None:
    """Print the errors of each method on each band of the real cubes."""
    hidden_dates(xs.open(data / "cubes" / "worldcereal" / "00002806639B424A", resolution=20, chunks=None), "WorldCereal, Belgium")
    hidden_dates(xs.open(data / "cubes" / "romania", resolution=20, chunks=None), "Romania, forest")


def main() -> None:
    """Print all that the data at hand allow."""
    data = Path(os.environ["XSENTINEL_DATA"])
    cases(data.parent / "sl2p")
    qvidja(data / "cubes" / "qvidja")
    gap_filling(data)


if __name__ == "__main__":
    main()
