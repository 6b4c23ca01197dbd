"""The model that comes with the package, on a tile that nothing was learnt from; and a picture of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.landcover_data import SHARE, TILES, UNSEEN, Tile, note, tiles, unseen
from benchmarks.landcover_runs import STEPS, Plan, Run, carry_out
from benchmarks.landcover_scores import class_f1, corner_ratio, placed, pooled, print_table, tested
from xsentinel.accuracy import Assessment
from xsentinel.blocks.model import Model, load_model, read_network, save_model

NAME = "landcover-simulated"

LONGER = {
    "fgunet": Plan("fgunet"),
    "fgunet-longer": Plan("fgunet", initial="fgunet", seed=1),
    NAME: Plan("fgunet", initial="fgunet-longer", seed=2, steps=3 * STEPS),
}
"""The FG-UNET that is compared, gone on from twice."""


def train(folder: Path, out: Path) -> Model:
    """Go on from the FG-UNET that is compared, score it beside the forest, and save it with its card."""
    land, tile = tiles(folder), unseen(folder)
    runs = {name: carry_out(name, plan, folder) for name, plan in {"forest": Plan("forest"), **LONGER}.items()}
    print_table("four tiles, longer", {name: known(run, land) for name, run in runs.items()})
    rows = {name: facts(tile, maps_of(tile, run.model)) for name, run in runs.items()}
    print_table("a tile that nothing is learnt from", rows)
    model, steps = runs[NAME].model, sum(plan.steps for plan in LONGER.values())
    place = f"a simulated tile at {UNSEEN[2]:g}° N that nothing was learnt from"
    scores = {f"{place}, {name}": ", ".join(f"{k} {v}" for k, v in row.items()) for name, row in rows.items() if name in (NAME, "forest")}
    latitudes = ", ".join(f"{latitude:g}" for _, latitude in TILES.values())
    data = f"xsentinel.simulate.landscape, 2018, 4 km at {latitudes}° N, {SHARE:.0%} of parcels labelled: no real land"
    training = {key: value for key, value in model.card.training.items() if key != "from"} | {"data": data, "steps in all": steps}
    card = replace(model.card, scores=scores, training=training)
    return save_model(read_network(model), card, out)


def known(run: Run, land: Mapping[str, Tile]) -> dict[str, str]:
    """Give the scores of a run on the tiles that it learnt from, on parcels held out and on the whole truth."""
    sure = pooled(run.maps, land, tested)
    edge = pooled(run.maps, land, lambda t: t.edges)
    corner = corner_ratio(run.maps, land)[0]
    overall = {"kappa": f"{sure.kappa:.3f}", "macro F1 %": f"{100 * sure.macro_f1:.1f}"}
    return overall | {"OA %, edges": f"{100 * edge.overall_accuracy:.1f}", "corners %": f"{100 * corner:.1f}"} | class_f1(run, land)


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
