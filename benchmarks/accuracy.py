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


def main() -> None:
    """Print all that the data at hand allow."""
    data = Path(os.environ["XSENTINEL_DATA"])
    cases(data.parent / "sl2p")
    qvidja(data / "cubes" / "qvidja")


if __name__ == "__main__":
    main()
