"""Land cover by networks that see neighbours, and by forests that do not: ``python -m benchmarks.landcover WHAT``.

After Stoian et al. (2019): four simulated tiles of 4 km of known truth, 30 % of parcels labelled, a third of these held out. Tiles,
models, maps are kept in ``--folder``; what is there is not done again.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping
from pathlib import Path

import dask
import torch

from benchmarks.landcover_data import TILES, Tile, default_folder, note, tiles
from benchmarks.landcover_real import real
from benchmarks.landcover_runs import REFERENCES, SMALL, SMALL_STEPS, Plan, Run, carry_out
from benchmarks.landcover_scores import Maps, class_f1, costs, placed, pooled, print_table, scores, tested
from benchmarks.landcover_ship import draw, train

MAIN = {
    "forest": Plan("forest"),
    "fgunet": Plan("fgunet"),
    "unet": Plan("unet"),
    "mlp": Plan("mlp"),
    "features": Plan("features", initial="fgunet"),
}
"""What is compared on equal terms."""

INDICES = {"fgunet-indices": Plan("fgunet", indices=("NDVI", "NDWI", "brightness"))}

CORNER = 160
"""Pixels along the corner of a tile that networks with a memory map."""

MEMORY = {
    "fgunet-small": Plan("fgunet", steps=SMALL_STEPS, changed=SMALL, side=CORNER),
    "lstm": Plan("lstm", steps=SMALL_STEPS, changed=SMALL, side=CORNER),
    "tsfgunet": Plan("tsfgunet", steps=SMALL_STEPS, changed=SMALL, side=CORNER),
}

PARTS = {f"forest-part{k}": Plan("forest", part=k) for k in range(REFERENCES)}

LEFT_OUT = ("far north",)
"""Tiles that are left out in turn."""


def away(tile: str) -> dict[str, Plan]:
    """Give the plans of a tile that is left out, then gives few labels."""
    others, key = tuple(n for n in TILES if n != tile), tile.replace(" ", "-")
    network = f"fgunet-without-{key}"
    return {
        f"forest-without-{key}": Plan("forest", others, mapped=(tile,)),
        network: Plan("fgunet", others, mapped=(tile,)),
        f"forest-few-{key}": Plan("forest", others, few=tile, mapped=(tile,)),
        f"fgunet-tuned-{key}": Plan("fgunet", (), few=tile, mapped=(tile,), initial=network, steps=60, changed={"rate": 5e-4}),
        f"features-few-{key}": Plan("features", others, few=tile, mapped=(tile,), initial=network),
    }


def references(folder: Path) -> list[Maps]:
    """Give the maps of forests on parts of the labels."""
    return [carry_out(name, plan, folder).maps for name, plan in PARTS.items()]


def table(folder: Path) -> None:
    """Print all methods side by side."""
    land, runs = tiles(folder), {name: carry_out(name, plan, folder) for name, plan in MAIN.items()}
    others, rows, f1 = references(folder), {}, {}
    for name, run in runs.items():
        rows[name], f1[name] = scores(run, land, others) | costs(run), class_f1(run, land)
        note(name, rows[name], f1[name])
    smooth = {n: placed(land[n], codes).s2.smooth().values for n, codes in runs["forest"].maps.items()}
    rows["forest, 3 × 3 majority"] = scores(_held("forest", smooth, folder), land, others)
    print_table("four tiles together", rows)
    print_table("F1 %", f1)


def _held(name: str, maps: Maps, folder: Path) -> Run:
    """Give a run whose maps are in memory."""
    run = Run(name, {"mapped": list(maps)}, folder)
    run.__dict__["maps"] = maps
    return run


def findings(folder: Path) -> None:
    """Print the paper's findings, one by one, as they come out here."""
    land = tiles(folder)
    memory(folder, land)
    for tile in LEFT_OUT:
        left_out(folder, land, tile)
    indices(folder, land)


def indices(folder: Path, land: Mapping[str, Tile]) -> None:
    """Print whether NDVI, NDWI and brightness help."""
    plans = {"fgunet": MAIN["fgunet"]} | INDICES
    rows = {}
    for name, plan in plans.items():
        run = carry_out(name, plan, folder)
        sure = pooled(run.maps, land, tested)
        rows[name] = {"kappa": f"{sure.kappa:.3f}", "macro F1 %": f"{100 * sure.macro_f1:.1f}"} | class_f1(run, land) | costs(run)
    print_table("indices as further channels", rows)


def left_out(folder: Path, land: Mapping[str, Tile], tile: str) -> None:
    """Print what is lost on a tile that is not learnt from, and what a few of its labels give back."""
    rows = {}
    for name, plan in {"forest": MAIN["forest"], "fgunet": MAIN["fgunet"]}.items():
        rows[f"{name}, all tiles"] = _row({tile: carry_out(name, plan, folder).maps[tile]}, land)
    for name, plan in away(tile).items():
        run = carry_out(name, plan, folder)
        rows[name] = _row(run.maps, land) | {"training, CPU s": costs(run)["training, CPU s"]}
        note(name, rows[name])
    print_table(f"on the tile {tile}", rows)


def _row(maps: Maps, land: Mapping[str, Tile]) -> dict[str, str]:
    sure = pooled(maps, land, tested)
    dense = pooled(maps, land, lambda t: t.truth).overall_accuracy
    return {"kappa": f"{sure.kappa:.3f}", "macro F1 %": f"{100 * sure.macro_f1:.1f}", "OA %, all pixels": f"{100 * dense:.1f}"}


def memory(folder: Path, land: Mapping[str, Tile]) -> None:
    """Print what layers with a memory give for what they cost, all networks by as many small steps."""
    rows = {}
    for name, plan in MEMORY.items():
        run = carry_out(name, plan, folder)
        rows[name] = _row(run.maps, land) | costs(run)
        note(name, rows[name])
    print_table(f"{SMALL_STEPS} steps of {SMALL['batch']} patches of {SMALL['patch']}², corners of {CORNER}²", rows)


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.landcover", description=__doc__)
    parser.add_argument("what", nargs="+", choices=["table", "findings", "real", "train", "draw"])
    parser.add_argument("--folder", type=Path, default=default_folder(), help="Of tiles, models and maps.")
    parser.add_argument("--out", type=Path, default=Path("models"), help="Of train: folder of the model.")
    parser.add_argument("--picture", type=Path, default=Path("landcover.png"), help="Of draw.")
    parser.add_argument("--threads", type=int, default=1)
    told = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(told.threads)
    todo = {
        "table": lambda: table(told.folder),
        "findings": lambda: findings(told.folder),
        "real": real,
        "train": lambda: train(told.folder, told.out),
        "draw": lambda: draw(told.folder, told.picture),
    }
    with dask.config.set(num_workers=told.threads):
        for what in told.what:
            todo[what]()


if __name__ == "__main__":
    main()
