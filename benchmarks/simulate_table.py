"""Make the table of canopy reflectance that `xs.simulate` reads: ``python -m benchmarks.simulate_table [--check]``.

Needs ``pip install prosail pyrsr --no-deps`` (PROSPECT-D and SAILh; ESA's S2-SRF 3.0). ``--check`` makes nothing:
it prints how far the table that is shipped lies from PROSAIL at random places between its nodes.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np

import xsentinel
from xsentinel.bands import TEN_BANDS
from xsentinel.kernels.canopy import soil_line
from xsentinel.simulate.table import SZA_NODES, VIEW_ZENITH, CanopyTable, lai_of, load_table

PLATFORMS = ("Sentinel-2A", "Sentinel-2B")
WAVELENGTHS = np.arange(400, 2501)
FLAT_SOILS = (0.0, 0.2, 0.5)
LAI_NODES = 12
VIEWS = ((0.0, 0.0), (VIEW_ZENITH, 0.0), (VIEW_ZENITH, 90.0), (VIEW_ZENITH, 180.0))


@dataclass(frozen=True)
class Leaf:
    """PROSPECT-D and SAILh parameters of a canopy."""

    n: float
    """Structure parameter of the leaf."""
    cab: float
    """Chlorophyll, µg cm⁻²."""
    cw: float
    """Equivalent water thickness, cm."""
    cm: float
    """Dry matter, g cm⁻²."""
    angle: float
    """Mean leaf inclination, degrees (Campbell's ellipsoid)."""
    hot: float
    """Hot spot: leaf size to canopy height."""
    brown: float = 0.0
    """Brown pigments."""


# Two structures each, between which every parcel lies. Crops keep near the ranges that SL2P was trained on (Weiss,
# Baret & Jay 2020); water, chlorophyll and dry matter were moved until bands came near those of real cubes.
CANOPIES = {
    "cereal": (Leaf(1.2, 34, 0.013, 0.0040, 72, 0.1), Leaf(1.7, 76, 0.034, 0.0065, 46, 0.4)),
    "maize": (Leaf(1.2, 38, 0.013, 0.0040, 66, 0.1), Leaf(1.7, 80, 0.030, 0.0060, 40, 0.4)),
    "rape": (Leaf(1.2, 36, 0.017, 0.0035, 62, 0.2), Leaf(1.8, 72, 0.038, 0.0060, 36, 0.5)),
    "broadleaf": (Leaf(1.3, 36, 0.016, 0.0040, 58, 0.2), Leaf(1.9, 74, 0.036, 0.0060, 32, 0.5)),
    "grass": (Leaf(1.2, 26, 0.011, 0.0045, 72, 0.05), Leaf(1.8, 66, 0.029, 0.0075, 46, 0.2)),
    "deciduous": (Leaf(1.3, 30, 0.012, 0.0060, 60, 0.2), Leaf(1.9, 64, 0.024, 0.0100, 34, 0.5)),
    "conifer": (Leaf(1.2, 34, 0.022, 0.0120, 64, 0.1, 0.05), Leaf(1.7, 64, 0.041, 0.0220, 46, 0.3, 0.2)),
    "shrub": (Leaf(1.3, 28, 0.012, 0.0060, 64, 0.1), Leaf(1.9, 60, 0.026, 0.0100, 40, 0.4)),
}
# Shares of chlorophyll and water, and brown pigments: green, turning, dead.
STATES = ((1.0, 1.0, 0.0), (0.4, 0.7, 0.35), (0.05, 0.2, 1.1))

# Ground: reflectance at some wavelengths (nm), typical values read off the figures of Kotthaus et al. (2014,
# LUMA urban library), Pope & Fry (1997) and Doxaran et al. (2002); soils are those of PROSAIL, straw is a dead leaf.
KNOTS = {
    "asphalt": ((400, 0.06), (700, 0.10), (1000, 0.12), (1600, 0.15), (2500, 0.14)),
    "concrete": ((400, 0.16), (600, 0.27), (1000, 0.33), (1600, 0.37), (2200, 0.34), (2500, 0.30)),
    "tile": ((400, 0.05), (550, 0.09), (620, 0.22), (750, 0.29), (880, 0.28), (1300, 0.38), (1700, 0.42), (2200, 0.38), (2500, 0.3)),
    "slate": ((400, 0.05), (700, 0.07), (1000, 0.09), (1600, 0.12), (2500, 0.12)),
    "metal": ((400, 0.35), (700, 0.48), (1000, 0.48), (1600, 0.47), (2500, 0.42)),
    "clear water": ((400, 0.030), (500, 0.032), (560, 0.030), (670, 0.012), (720, 0.007), (800, 0.004), (1600, 0.002), (2500, 0.001)),
    "turbid water": ((400, 0.05), (500, 0.07), (570, 0.11), (670, 0.08), (710, 0.07), (800, 0.035),
        (1000, 0.012), (1600, 0.005), (2500, 0.003)),
    "flower": ((400, 0.03), (480, 0.05), (520, 0.20), (560, 0.42), (600, 0.45), (680, 0.42),
        (740, 0.55), (900, 0.56), (1300, 0.45),
        (1450, 0.20), (1650, 0.32), (1950, 0.10), (2200, 0.18), (2500, 0.08)),
}  # fmt: skip


@cache
def responses() -> np.ndarray:
    """Read the band responses on the wavelengths of PROSAIL, (platform, band, wavelength), each summing to one."""
    from importlib.util import find_spec

    folder = Path(find_spec("pyrsr").origin).parent / "data"
    out = np.zeros((2, len(TEN_BANDS), WAVELENGTHS.size))
    for (i, platform), (j, band) in product(enumerate(PLATFORMS), enumerate(TEN_BANDS)):
        lines = (folder / platform / "MSI" / f"band_{band[1:].lstrip('0')}").read_text().splitlines()[1:]
        nm, response = np.array([line.split() for line in lines], float).T
        out[i, j] = np.interp(WAVELENGTHS, nm, response, left=0, right=0)
    return out / out.sum(-1, keepdims=True)


def leaf_spectra(leaf: Leaf, state: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Give leaf reflectance and transmittance in a state."""
    import prosail

    green, water, brown = state
    cab = leaf.cab * green
    _, reflectance, transmittance = prosail.run_prospect(
        leaf.n, cab, 0.22 * leaf.cab * (0.5 + 0.5 * green), leaf.brown + brown, leaf.cw * water, leaf.cm, ant=0.0, prospect_version="D"
    )
    return reflectance, transmittance


def canopy(
    leaf: Leaf, spectra: tuple[np.ndarray, np.ndarray], lai: float, sun: float, view: tuple[float, float], soil: np.ndarray
) -> np.ndarray:
    """Give the reflectance factor of a canopy over a soil."""
    import prosail

    return prosail.run_sail(*spectra, lai, leaf.angle, leaf.hot, sun, *view, rsoil0=soil)


def ground_spectra() -> dict[str, np.ndarray]:
    """Give ground reflectance on the wavelengths of PROSAIL."""
    from prosail.spectral_library import get_spectra

    soil = get_spectra().soil
    reflectance, transmittance = leaf_spectra(Leaf(1.9, 0.0, 0.001, 0.008, 57, 0.1, 0.6), (1.0, 1.0, 0.0))
    # a deep pile of dead leaves: Kubelka–Munk's limit of many layers
    a = (1 + reflectance**2 - transmittance**2) / (2 * reflectance)
    spectra = {"dry soil": soil.rsoil1, "wet soil": soil.rsoil2, "straw": a - np.sqrt(a**2 - 1)}
    return spectra | {name: np.interp(WAVELENGTHS, *np.array(knots).T) for name, knots in KNOTS.items()}


def make() -> CanopyTable:
    """Run PROSAIL at all nodes."""
    weights = responses().reshape(-1, WAVELENGTHS.size).T
    shape = (len(CANOPIES), len(STATES), 2, LAI_NODES, len(SZA_NODES), len(VIEWS), len(FLAT_SOILS))
    bands = np.empty((*shape, 2, len(TEN_BANDS)))
    for (c, leaves), (s, state) in product(enumerate(CANOPIES.values()), enumerate(STATES)):
        for k, leaf in enumerate(leaves):
            spectra = leaf_spectra(leaf, state)
            for (i, lai), (j, sun), (v, view), (g, soil) in product(
                enumerate(lai_of(np.linspace(0, 1, LAI_NODES))), enumerate(SZA_NODES), enumerate(VIEWS), enumerate(FLAT_SOILS)
            ):
                whole = canopy(leaf, spectra, max(lai, 1e-6), sun, view, np.full(WAVELENGTHS.size, soil))
                bands[c, s, k, i, j, v, g] = (whole @ weights).reshape(2, -1)
        print(f"{c * len(STATES) + s + 1} of {len(CANOPIES) * len(STATES)} states", flush=True)
    ground = ground_spectra()
    names, spectra = tuple(ground), np.stack(list(ground.values()))
    reflectance = (spectra @ weights).reshape(len(names), 2, -1).swapaxes(0, 1)
    lines = soil_line(bands, np.array(FLAT_SOILS))
    lines = np.moveaxis(lines, (6, 4, 5), (0, 1, 2))  # (platform, sza, view, canopy, state, structure, lai, band, 3)
    return CanopyTable(tuple(CANOPIES), names, lines.astype(np.float32), reflectance.astype(np.float32))


def check(n: int = 2000, seed: int = 0) -> np.ndarray:
    """Give table minus PROSAIL, (n, band), at random places between the nodes, over PROSAIL's own soils."""
    rng, table, ground = np.random.default_rng(seed), load_table(), ground_spectra()
    weights, out = responses(), np.empty((n, len(TEN_BANDS)))
    for i in range(n):
        c, k, s, platform = rng.integers(len(CANOPIES)), rng.integers(2), rng.integers(3), rng.integers(2)
        lai, sun, view = rng.uniform(0, 7), rng.uniform(20, 75), (rng.uniform(2, 10), rng.uniform(0, 180))
        wet, bright = rng.uniform(), rng.uniform(0.4, 1.1)
        soil = bright * ((1 - wet) * ground["dry soil"] + wet * ground["wet soil"])
        leaf = list(CANOPIES.values())[c][k]
        truth = weights[platform] @ canopy(leaf, leaf_spectra(leaf, STATES[s]), lai, sun, view, soil)
        place = (c, s / 2, float(k), lai)
        out[i] = table.reflectance(platform, (sun, *view), place, soil=weights[platform] @ soil) - truth
    return out


def main() -> None:
    """Write the table, or check it."""
    if "--check" not in sys.argv:
        make().save(Path(xsentinel.__file__).parent / "data" / "canopy.npz")
    error = check()
    print(f"{'table − PROSAIL, reflectance · 10³':<36}" + "".join(f"{b:>8}" for b in TEN_BANDS))
    for title, value in (("RMSE", np.sqrt((error**2).mean(0))), ("largest", np.abs(error).max(0))):
        print(f"  {title:<34}" + "".join(f"{1e3 * v:8.2f}" for v in value))


if __name__ == "__main__":
    main()
