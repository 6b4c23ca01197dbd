"""LAI under clouds from Sentinel-1 and past LAI, after Wang et al. (2023), printed as Markdown.

``XSENTINEL_DATA=... python -m benchmarks.fusion simulated|real|competition|ship|rescore [--out FOLDER] …``: table 1 of the paper
with its triplets and with each pixel's last two clear dates, on simulated land of known truth and on the real site with radar; the
samples of the competition from end to end; and the shipped model. All RMSE are in units of LAI; the paper's are probably of LAI / 5,
on which its code trains.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from time import perf_counter

import click
import numpy as np
import pandas as pd
import torch
import xarray as xr

import xsentinel as xs
from benchmarks.fusion_data import DATA, OTHER, TRAINED, real_sources, simulated, source_of
from xsentinel.blocks.model import read_network
from xsentinel.blocks.predict import Execution
from xsentinel.fusion import fuse, gather
from xsentinel.inference import Sampling
from xsentinel.io.triplets import read_triplets
from xsentinel.models.planes import CARRIED, SEASON, TRIPLET, FusionInputs
from xsentinel.training import FusionPreset, FusionSource, train_fusion
from xsentinel.training.fusion import SAMPLES
from xsentinel.training.fusion_presets import FUSION_PRESETS
from xsentinel.training.fusion_scores import BASELINES, Answer, Tally, looks, network_answer, pixel_answers
from xsentinel.training.fusion_series import FusionSeries, collect_series

Sources = Mapping[str, FusionSource]

INPUTS = FusionInputs(s1_tolerance_days=3.0)
"""Of both variants, so that both are scored at the same dates: radar within three days, dates of a triplet no more than a week apart."""

PLAIN = replace(FUSION_PRESETS["default"], inputs=INPUTS, radar_jitter=(0.0, 0.0), scaling=0.0)
"""Settings of the tables: land is taken as it is."""

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


def scored(
    methods: Mapping[str, Answer], card: object, sides: Mapping[str, list[FusionSeries]], hidden: int, most: int = MOST
) -> pd.DataFrame:
    """Score methods on the test places and on other areas."""
    tally = Tally(card)  # type: ignore[arg-type]
    for area, series in sides.items():
        for one, date, mask in looks(series, hidden, 0, most):
            tally.add(area, one, date, mask, methods)
    return tally.table()


def ablation(
    title: str, train: Sources, test: list[FusionSeries], other: Sources, held: Sources, base: FusionPreset, out: Path,
    variant: str, hidden: int,
) -> None:  # fmt: skip
    """Train and score all rows of one variant after the other, printing each when it is done."""
    sides = {"": test} | ({"other area": collect_series(other, base.inputs, 10**9)} if other else {})
    fitted, done = pixel_answers(collect_series(train, base.inputs, 10**9), VARIANTS[variant]), []
    for row in ROWS:
        start, preset = perf_counter(), preset_of(variant, row, base)
        folder = out / variant if row in ("S1 + masks + season", "S2 + masks + season", "all") else out / variant / row
        how = {"preset": preset, "name": f"{variant} {row}".replace(" ", "-"), "held": held}
        model = train_fusion(train, folder, **how, resume=True, progress=False, scores=False, precision="bf16")  # type: ignore[arg-type]
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
    base = replace(PLAIN, steps=steps, pretraining=pretraining, patch=24)
    for one in variant:
        ablation("simulated", train, collect_series(test, INPUTS, 10**9), other, held, base, out, variant=one, hidden=0)


SPLIT = "2018-07-01"
"""Dates from here on are tested on where the split is by time."""

SMALL = {"widths": [8, 16], "decoder_widths": [8, 16]}
"""Channels of a network that is trained on the real site alone, 32² pixels."""


def real_split(by: str) -> tuple[Sources, Sources, list[FusionSeries]]:
    """Give what is trained on, what is held out of it for the choice of weights, and what is tested: another half, or later dates."""
    ((name, whole),) = real_sources().items()
    rows = slice(0, 16) if by == "place" else slice(None)
    before = slice(None) if by == "place" else slice(None, SPLIT)
    part = [FusionSource(whole.s2.isel(y=rows, x=columns).sel(time=before), whole.s1.isel(y=rows, x=columns))
            for columns in (slice(0, 24), slice(24, 32))]  # fmt: skip
    (series,) = collect_series({name: whole}, INPUTS, 10**9)
    if by == "place":
        return {name: part[0]}, {name: part[1]}, [series.cut(slice(16, 32), slice(None))]
    later = np.array(series.times) >= SPLIT
    return {name: part[0]}, {name: part[1]}, [replace(series, target=np.where(later[:, None, None], series.target, np.float32(np.nan)))]


@main.command("real")
@OUT
@click.option("--initial", type=click.Path(exists=True), help="A model of simulated land with each pixel's last two clear dates.")
@click.option("--steps", type=int, default=400)
@click.option("--hidden", type=int, default=3, help="Looks at each date more, its past hidden by clouds of other dates.")
def on_real(out: Path, initial: str | None, steps: int, hidden: int) -> None:
    """Table 1 on the real site: trained on it, and on simulated land with and without going on here."""
    base = replace(PLAIN, settings=SMALL, patch=16, batch=32, steps=steps, pretraining=steps)
    for by in ("place", "time"):
        train, held, test = real_split(by)
        for variant in VARIANTS:
            folder = out / by
            folder.mkdir(parents=True, exist_ok=True)
            ablation(f"real, by {by}", train, test, {}, held, base, folder, variant=variant, hidden=hidden)
        if initial:
            carried_over(by, xs.load_model(initial), train, held, test, out / by, hidden)


def carried_over(by: str, model: xs.Model, train: Sources, held: Sources, test: list[FusionSeries], out: Path, hidden: int) -> None:
    """Score a model of simulated land as it is, and after going on with the real site."""
    done = []
    base = replace(PLAIN, settings=dict(model.card.settings), patch=16, batch=32, rate=5e-4)
    for label, steps in (
        ("simulated land", 0),
        ("simulated land, then here, 100 steps", 100),
        ("simulated land, then here, 300 steps", 300),
    ):
        found = model
        if steps:
            found = train_fusion(train, out / f"on{steps}", preset=replace(base, steps=steps), name="on", held=held, initial=model,
                                 progress=False, scores=False)  # fmt: skip
        done.append(scored({label: network_answer(read_network(found), found.card)}, found.card, {"": test}, hidden))
        print_scores(f"real, by {by}", pd.concat(done), out / "carried-over.md")


@main.command("ship")
@LANDS
@OUT
@click.option("--initial", type=click.Path(exists=True), help="A model of the same planes and widths to go on from.")
@click.option("--steps", type=int, default=1000)
@click.option("--rate", type=float, default=2e-3)
def ship(lands: Path, out: Path, initial: str | None, steps: int, rate: float) -> None:
    """Train ``lai-fusion``: from carried-all of ``simulated`` on, with the real site before its test dates; the shipped went on twice."""
    train, _, _, held = simulated_sources(lands)
    real, held_real, _ = real_split("time")
    ((name, part),) = real.items()
    for top, left in product((0, 16), (0, 12)):
        square = {"y": slice(top, top + 16), "x": slice(left, left + 12)}
        train[f"{name}/{top}-{left}"] = FusionSource(part.s2.isel(square), part.s1.isel(square))
    preset = replace(FUSION_PRESETS["default"], inputs=INPUTS, steps=steps, patch=24, rate=rate)
    print(train_fusion(train, out, preset=preset, name="lai-fusion", held=held | held_real, resume=True, progress=False, initial=initial,
                       precision="bf16"), flush=True)  # fmt: skip


@main.command("rescore")
@click.argument("model")
@LANDS
@OUT
@click.option("--where", type=click.Choice(["simulated", "real"]), multiple=True, default=("simulated", "real"))
def rescore(model: str, lands: Path, out: Path, where: tuple[str, ...]) -> None:
    """Measure a trained model on the land beside what it was trained on, on other areas, and at the real site's later dates."""
    out.mkdir(parents=True, exist_ok=True)
    found = xs.load_model(model)
    run, names = network_answer(read_network(found), found.card, SAMPLES), tuple(c.name for c in found.card.channels)
    if "real" in where:
        train, _, test = real_split("time")
        fitted = pixel_answers(collect_series(train, INPUTS, 10**9), names)
        report(found, {"": test}, run, fitted, "real, later dates as they were", out, 0, 10**6)
        report(found, {"": test}, run, fitted, "real, later dates, pasts hidden", out, 6, 10**6)
    if "simulated" in where:
        sources, beside, other, _ = simulated_sources(lands)
        sides = {"": collect_series(beside, INPUTS, 10**9), "other area": collect_series(other, INPUTS, 10**9)}
        report(found, sides, run, pixel_answers(collect_series(sources, INPUTS, 10**9), names), "simulated", out, 0, 6)


def report(
    model: xs.Model,
    sides: Mapping[str, list[FusionSeries]],
    run: Answer,
    fitted: Mapping[str, Answer],
    title: str,
    out: Path,
    hidden: int,
    most: int = MOST,
) -> None:
    """Print the scores of a model beside all that it must beat, and how often its intervals hold."""
    table = scored({model.card.name: run} | BASELINES | fitted, model.card, sides, hidden, most)
    print_scores(title, table, out / f"{title}.md")
    own = table[table["method"] == model.card.name].set_index("group")["coverage 95 %"]
    print(f"{title}: the 95 % interval holds " + ", ".join(f"{share:.1%} ({group})" for group, share in own.items()) + "\n", flush=True)


@main.command("competition")
@OUT
@click.option("--model", default="lai-fusion", show_default=True)
def on_competition(out: Path, model: str) -> None:
    """Read the samples of the competition, and map what can be mapped, from end to end."""
    out.mkdir(parents=True, exist_ok=True)
    read = read_triplets(DATA / "s1s2_lai" / "leaf_nothing_behind", skip=True)
    print(read)
    for name, triplet in read.found.items():
        cube, radar = at_20m(triplet)
        found = xs.load_model(model)
        given = gather(cube, cube["lai"], radar, found.card.fusion)
        maps = fuse(cube, given, found, Sampling(30), Execution())
        share = float(maps["lai"].isel(time=2).notnull().mean())
        apart = float(np.abs(maps["lai"].isel(time=2) - cube["lai"].isel(time=1)).mean())
        print(f"{name}: t mapped at {share:.0%} of the pixels, mean |LAI(t) − LAI(t−1)| {apart:.3f}, "
              f"mean sigma {float(maps['lai_std'].isel(time=2).mean()):.3f}")  # fmt: skip
        draw(name, cube, radar, maps, out / f"{name}.png")


def at_20m(triplet: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """Bring a triplet of 10 m to the 20 m that models are trained at: radar as power."""
    two = {"y": 2, "x": 2}
    power = (10 ** (triplet[["VV", "VH"]] / 10)).coarsen(two).mean()
    radar = (10 * np.log10(power)).map(lambda band: band.astype(np.float32).assign_attrs(units="dB"))
    cube = triplet[["lai"]].coarsen(two).mean().assign(SCL=triplet["SCL"].coarsen(two).max().astype(np.uint8))
    return cube, radar


DATES = ("t−2", "t−1", "t")


def draw(name: str, cube: xr.Dataset, radar: xr.Dataset, maps: Mapping[str, xr.DataArray], path: Path) -> None:
    """Draw what went in and what came out."""
    import matplotlib.pyplot as plt

    panels = [(cube["lai"].isel(time=k), f"LAI, {DATES[k]}", "YlGn", (0, 5)) for k in (0, 1)]
    panels += [
        (maps["lai"].isel(time=2), "LAI at t, fused", "YlGn", (0, 5)),
        (maps["lai_std"].isel(time=2), "its spread over samples", "magma", (0, 0.6)),
    ]
    panels += [(radar["VH"].isel(time=k), f"VH [dB], {DATES[k]}", "gray", (-25, -10)) for k in range(3)] + [
        (cube["SCL"].isel(time=1), f"SCL, {DATES[1]}", "tab20", (0, 11))
    ]
    figure, axes = plt.subplots(2, 4, figsize=(16, 8), layout="constrained")
    for axis, (values, title, colours, limits) in zip(axes.flat, panels, strict=True):
        image = axis.imshow(values, cmap=colours, vmin=limits[0], vmax=limits[1])
        axis.set(title=title, xticks=[], yticks=[])
        figure.colorbar(image, ax=axis, shrink=0.8)
    figure.suptitle(name)
    figure.savefig(path, dpi=70)
    plt.close(figure)
    print(f"drew {path}")


if __name__ == "__main__":
    main()
