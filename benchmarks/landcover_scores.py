"""Scores of maps of land cover whose truth is known: on tested parcels as one could, and where one could not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import xarray as xr

import xsentinel as xs
from benchmarks.landcover_data import TEXTURED, Tile
from benchmarks.landcover_runs import Run
from xsentinel.accuracy import Assessment
from xsentinel.simulate.nomenclature import CLASSES

NAMES = {c.code: c.name.replace("_", " ") for c in CLASSES}

Maps = Mapping[str, np.ndarray]


def placed(tile: Tile, codes: np.ndarray) -> xr.DataArray:
    """Give a map on the pixels of a tile, or of its corner."""
    there = tile.truth.isel(y=slice(codes.shape[0]), x=slice(codes.shape[1]))
    return there.copy(data=codes).rename("class")


def pooled(maps: Maps, land: Mapping[str, Tile], reference: Callable[[Tile], xr.DataArray]) -> Assessment:
    """Assess the maps of all tiles together; reference pixels of 0 are left out."""
    found = []
    for name, codes in maps.items():
        told = placed(land[name], codes)
        truth = reference(land[name]).isel(y=slice(codes.shape[0]), x=slice(codes.shape[1]))
        found.append(xs.accuracy.assess(told, truth, classes=NAMES, ignore=0))
    return Assessment(sum(r.confusion for r in found[1:]) + found[0].confusion, sum(r.n_left_out for r in found))


def tested(tile: Tile) -> xr.DataArray:
    """Give the labels of tested parcels."""
    return tile.tested


def corner_ratio(maps: Maps, land: Mapping[str, Tile], references: Sequence[Maps] | None = None) -> tuple[float, float]:
    """Give mean and standard deviation, over references, of the share of their corners found again; of the truth without."""
    ratios = []
    for other in references if references is not None else [{n: land[n].truth.values for n in maps}]:
        found = there = 0
        for name, codes in maps.items():
            shape = codes.shape
            result = xs.accuracy.corner_precision(placed(land[name], codes), placed(land[name], other[name][: shape[0], : shape[1]]))
            found, there = found + int(result.reference["found"].sum()), there + len(result.reference)
        ratios.append(found / max(there, 1))
    return float(np.mean(ratios)), float(np.std(ratios))


def scores(run: Run, land: Mapping[str, Tile], references: Sequence[Maps]) -> dict[str, str]:
    """Give the row of a run in the large table."""
    maps = {n: codes for n, codes in run.maps.items() if n in land}
    sure = pooled(maps, land, tested)
    each = {f"kappa {n}": f"{pooled({n: codes}, land, tested).kappa:.3f}" for n, codes in maps.items()}
    mean, spread = corner_ratio(maps, land, references)
    return {
        **each,
        "kappa": f"{sure.kappa:.3f}",
        "macro F1 %": f"{100 * sure.macro_f1:.1f}",
        "OA %, all pixels": f"{100 * pooled(maps, land, lambda t: t.truth).overall_accuracy:.1f}",
        "OA %, edges": f"{100 * pooled(maps, land, lambda t: t.edges).overall_accuracy:.1f}",
        "corners of truth %": f"{100 * corner_ratio(maps, land)[0]:.1f}",
        "corners of forests %": f"{100 * mean:.1f} ± {100 * spread:.1f}",
    }


def costs(run: Run) -> dict[str, str]:
    """Give what a run took."""
    facts = run.facts
    network = "forest" not in run.name and run.name != "features"
    return {
        "parameters": f"{facts['parameters']:,}" if network else f"{facts['bytes'] / 1e6:.1f} MB",
        "steps": str(facts["steps"]) if network else "–",
        "training, CPU s": f"{facts['train_s']:.0f}",
        "Mpx/s of a core": f"{facts['mpx_s']:.3f}",
    }


def class_f1(run: Run, land: Mapping[str, Tile], classes: Sequence[str] = TEXTURED) -> dict[str, str]:
    """Give the F1 of classes on tested parcels, per cent."""
    f1 = pooled(run.maps, land, tested).scores["f1"]
    return {name: f"{100 * f1[name]:.1f}" if np.isfinite(f1[name]) else "–" for name in classes}


def print_table(title: str, rows: Mapping[str, Mapping[str, str]]) -> None:
    """Print a Markdown table."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    body = [[name, *(row.get(column, "–") for column in columns)] for name, row in rows.items()]
    for cells in ([title, *columns], ["---", *["---:"] * len(columns)], *body):
        print(f"| {' | '.join(cells)} |", flush=True)
    print(flush=True)
