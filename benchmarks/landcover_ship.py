"""The model that comes with the package, on a tile that nothing was learnt from; and a picture of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.landcover_data import SHARE, TILES, UNSEEN, Tile, note, unseen
from benchmarks.landcover_runs import STEPS, Plan, carry_out
from benchmarks.landcover_scores import corner_ratio, placed, pooled, print_table
from xsentinel.accuracy import Assessment
from xsentinel.blocks.model import Model, load_model, read_network, save_model

NAME = "landcover-simulated"

SHIPPED = Plan("fgunet", initial="fgunet", seed=1)
"""Twice the steps of those that are compared."""


def train(folder: Path, out: Path) -> Model:
    """Go on from the FG-UNET that is compared, score it beside the forest, and save it with its card."""
    carry_out("fgunet", Plan("fgunet"), folder)
    model = carry_out(NAME, SHIPPED, folder).model
    tile = unseen(folder)
    rows = {name: facts(tile, maps_of(tile, load_model(folder / "models" / f"{name}.json"))) for name in (NAME, "fgunet", "forest")}
    print_table("a tile that nothing is learnt from", rows)
    place = f"a simulated tile at {UNSEEN[2]:g}° N that nothing was learnt from"
    scores = {f"{place}, {name}": ", ".join(f"{k} {v}" for k, v in row.items()) for name, row in rows.items() if name != "fgunet"}
    latitudes = ", ".join(f"{latitude:g}" for _, latitude in TILES.values())
    data = f"xsentinel.simulate.landscape, 2018, 4 km at {latitudes}° N, {SHARE:.0%} of parcels labelled: no real land"
    card = replace(model.card, scores=scores, training=model.card.training | {"data": data, "steps in all": 2 * STEPS})
    return save_model(read_network(model), card, out)


def maps_of(tile: Tile, model: Model) -> np.ndarray:
    """Map a tile."""
    codes: np.ndarray = tile.cube.s2.landcover(model, precision="bf16")["class"].values
    return codes


def facts(tile: Tile, codes: np.ndarray) -> dict[str, str]:
    """Give the scores of a map against the whole truth of a tile."""
    land, maps = {tile.name: tile}, {tile.name: codes}
    whole: Assessment = pooled(maps, land, lambda t: t.truth)
    edge = pooled(maps, land, lambda t: t.edges)
    return {
        "kappa": f"{whole.kappa:.3f}",
        "OA %": f"{100 * whole.overall_accuracy:.1f}",
        "macro F1 %": f"{100 * whole.macro_f1:.1f}",
        "OA %, edges": f"{100 * edge.overall_accuracy:.1f}",
        "corners %": f"{100 * corner_ratio(maps, land)[0]:.1f}",
    }


def draw(folder: Path, out: Path, side: int = 200) -> None:
    """Draw what is seen, what is there, and both maps, of a corner of the tile that nothing is learnt from."""
    from matplotlib.figure import Figure

    tile = unseen(folder)
    window = {"y": slice(0, side), "x": slice(0, side)}
    figure = Figure(figsize=(15, 15), layout="constrained")
    axes = figure.subplots(2, 2).ravel()
    tile.cube.isel(window).s2.plot.rgb(time="2018-07", ax=axes[0])
    tile.truth.isel(window).s2.plot.corners(ax=axes[1])
    for ax, name in zip(axes[2:], (NAME, "forest"), strict=True):
        told = placed(tile, maps_of(tile, load_model(folder / "models" / f"{name}.json"))).isel(window)
        told.attrs["long_name"] = name
        told.s2.plot.corners(tile.truth.isel(window), ax=ax)
    for ax in axes[1:]:
        ax.get_legend().set_visible(ax is axes[1])
    figure.savefig(out, dpi=80)
    note(f"drew {out}")
