"""LAI under clouds from Sentinel-1 and past LAI, after Wang et al. (2023), printed as Markdown.

``XSENTINEL_DATA=... python -m benchmarks.fusion simulated|real|competition [--out FOLDER] [--steps N] …``: table 1 of the paper with its
triplets and with each pixel's last two clear dates, on simulated land of known truth and on the real site with radar; and the samples of
the competition from end to end. All RMSE are in units of LAI; the paper's are probably of LAI / 5, on which its code trains.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import click
import numpy as np
import pandas as pd
import torch

import xsentinel as xs
from benchmarks.fusion_data import OTHER, TRAINED, simulated, source_of
from xsentinel.blocks.model import read_network
from xsentinel.models.planes import CARRIED, SEASON, TRIPLET, FusionInputs
from xsentinel.training import FusionPreset, FusionSource, train_fusion
from xsentinel.training.fusion_presets import PRESETS
from xsentinel.training.fusion_scores import BASELINES, Answer, Tally, looks, network_answer, pixel_answers
from xsentinel.training.fusion_series import FusionSeries, collect_series

Sources = Mapping[str, FusionSource]

INPUTS = FusionInputs(s1_tolerance_days=3.0)
"""Of both variants, so that both are scored at the same dates: radar within three days, dates of a triplet no more than a week apart."""

VARIANTS = {"triplet": TRIPLET + SEASON, "carried": CARRIED + SEASON}
"""The paper's planes, LAI at t−2 and t−1; and each pixel's last two clear dates with their ages."""

ROWS = {
    "S1": ("radar", False, False),
    "S1 + masks": ("radar", True, False),
    "S1 + masks + season": ("radar", True, True),
    "S2 + masks": ("optical", True, False),
    "S2 + masks + season": ("optical", True, True),
    "all": ("both", True, True),
}
"""Rows of table 1 → parts, masks, season. Ages count as masks."""

MOST = 24
"""Dates of a place that are scored."""


def preset_of(variant: str, row: str, base: FusionPreset) -> FusionPreset:
    """Give the settings of one row."""
    parts, masks, season = ROWS[row]
    planes = tuple(n for n in VARIANTS[variant] if masks or n.partition("_")[0] not in ("class", "age"))
    settings = dict(base.settings) | {"parts": parts, "use_masks": masks, "use_season": season}
    if parts == "both":
        settings = dict(base.settings)
    return replace(base, settings=settings, planes=planes, steps=base.steps if parts == "both" else base.pretraining)


def scored(methods: Mapping[str, Answer], card: object, sides: Mapping[str, list[FusionSeries]], hidden: int) -> pd.DataFrame:
    """Score methods on the test places and on other areas."""
    tally = Tally(card)  # type: ignore[arg-type]
    for area, series in sides.items():
        for one, date, mask in looks(series, hidden, 0, MOST):
            tally.add(area, one, date, mask, methods)
    return tally.table()


def ablation(
    title: str, train: Sources, test: Sources, other: Sources, held: Sources, base: FusionPreset, out: Path, **how: object
) -> None:
    """Train and score all rows of one variant after the other, printing each when it is done."""
    variant, hidden, initial = str(how["variant"]), int(how["hidden"]), how.get("initial")  # type: ignore[call-overload]
    sides = {"": collect_series(test, base.inputs, 10**9)} | ({"other area": collect_series(other, base.inputs, 10**9)} if other else {})
    fitted, done = pixel_answers(collect_series(train, base.inputs, 10**9), VARIANTS[variant]), []
    for row in ROWS:
        start, preset = perf_counter(), preset_of(variant, row, base)
        folder = out / variant if row in ("S1 + masks + season", "S2 + masks + season", "all") else out / variant / row
        model = train_fusion(train, folder, preset=preset, name=f"{variant} {row}".replace(" ", "-"), held=held, resume=True, progress=False,
                             scores=False, precision="bf16-mixed", initial=initial if row == "all" else None)  # fmt: skip
        methods = {f"{variant}: {row}": network_answer(read_network(model), model.card)}
        methods |= (BASELINES | fitted) if row == "all" else {}
        found = scored(methods, model.card, sides, hidden)
        found.to_csv(out / f"{variant}-{row}.csv", index=False)
        done.append(found)
        print(f"{title}, {variant}, {row}: {perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
        print_scores(f"{title}, {variant}", pd.concat(done), out / f"{variant}.md")
    inputs_matter(title, variant, model, sides, hidden, out)


def print_scores(title: str, table: pd.DataFrame, path: Path) -> None:
    """Print RMSE and R² of methods by group, as table 1 is laid out."""
    groups = [g for g in ("non-cloudy", "partly cloudy", "cloudy", "other area", "other area, cloudy") if g in set(table["group"])]
    lines = ["| " + " | ".join([title, *(f"{g}: RMSE | R²" for g in groups)]) + " |", "|---" + "|---:" * 2 * len(groups) + "|"]
    for method in dict.fromkeys(table["method"]):
        own = table[table["method"] == method].set_index("group")
        cells = [f"{own.RMSE[g]:.3f} | {own.R2[g]:.3f}" if g in own.index else "– | –" for g in groups]
        lines.append(f"| {method.partition(': ')[2] or method} | " + " | ".join(cells) + " |")
    n = table.groupby("group")["n"].max()
    lines.append("| pixels | " + " | ".join(f"{n[g]} | " for g in groups) + " |")
    path.write_text("\n".join(lines) + "\n")
    print("\n".join(lines) + "\n", flush=True)


def inputs_matter(title: str, variant: str, model: xs.Model, sides: Mapping[str, list[FusionSeries]], hidden: int, out: Path) -> None:
    """Print what becomes of the answers when one input is spoilt."""
    run, names = network_answer(read_network(model), model.card), [c.name for c in model.card.channels]

    def spoilt(kinds: tuple[str, ...], how: str) -> Answer:
        chosen = [k for k, n in enumerate(names) if n.partition("_")[0] in kinds]

        def answer(series: FusionSeries, date: int, sample: object, mask: object) -> np.ndarray:
            planes = sample.planes.copy()  # type: ignore[attr-defined]
            for k in chosen:
                if how == "moved":  # as it is half the place away
                    planes[k] = np.roll(planes[k], tuple(n // 2 for n in planes[k].shape), (0, 1))
                else:
                    planes[k] = series.inputs.max_age_days if names[k].startswith("age") else -planes[k] if kinds[0] == "sin" else 0
            return run(series, date, replace(sample, planes=planes), mask)  # type: ignore[type-var]

        return answer

    methods = {
        "as it is": run,
        "radar moved": spoilt(("vv", "vh"), "moved"),
        "past LAI moved": spoilt(("lai",), "moved"),
        "past LAI, masks and ages hidden": spoilt(("lai", "class", "age"), "hidden"),
        "season turned by half a year": spoilt(("sin", "cos"), "turned"),
    }
    print_scores(f"{title}, {variant}: all, inputs spoilt", scored(methods, model.card, sides, hidden), out / f"{variant}-inputs.md")


@click.group()
def main() -> None:
    """Measure fusion of Sentinel-1 and past LAI."""
    torch.set_num_threads(1)


LANDS = click.option("--lands", type=Path, default=Path("fusion_lands"), help="Folder of simulated landscapes, made if they are not there.")
OUT = click.option("--out", type=Path, default=Path("fusion_out"), help="Folder of models and tables.")


def simulated_sources(
    lands: Path,
) -> tuple[dict[str, FusionSource], dict[str, FusionSource], dict[str, FusionSource], dict[str, FusionSource]]:
    """Give training, test (the land beside it), other areas, and what is held out of training for calibration."""
    train, test, held = {}, {}, {}
    for name in TRAINED:
        land = simulated(name, lands)
        train[f"simulated/{name}"] = source_of(land, columns=slice(0, 128), rows=slice(0, 144))
        held[f"simulated/{name}"] = source_of(land, columns=slice(0, 128), rows=slice(144, 192))
        test[f"simulated/{name}"] = source_of(land, columns=slice(128, 192))
    return train, test, {f"other/{n}": source_of(simulated(n, lands)) for n in OTHER}, held


@main.command("simulated")
@LANDS
@OUT
@click.option("--variant", type=click.Choice([*VARIANTS]), multiple=True, default=("carried", "triplet"))
@click.option("--steps", type=int, default=1600)
@click.option("--pretraining", type=int, default=700)
def on_simulated(lands: Path, out: Path, variant: tuple[str, ...], steps: int, pretraining: int) -> None:
    """Table 1 on simulated land."""
    out.mkdir(parents=True, exist_ok=True)
    train, test, other, held = simulated_sources(lands)
    base = replace(PRESETS["default"], inputs=INPUTS, steps=steps, pretraining=pretraining, patch=24)
    for one in variant:
        ablation("simulated", train, test, other, held, base, out, variant=one, hidden=0)


if __name__ == "__main__":
    main()
