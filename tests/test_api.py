"""The public interface as a whole: its page is up to date, names mean one thing, docstrings are whole, the shell speaks as Python does."""

from __future__ import annotations

import inspect
import re
from functools import cache

import click
import pytest

from benchmarks import api
from xsentinel.cli import main

GROUPS = api.groups()
ENTRIES = [entry for entries in GROUPS.values() for entry in entries]
FUNCTIONS = [e for e in ENTRIES if inspect.isfunction(e.thing)]
VERBS = [e for e in FUNCTIONS if re.match(r"xs\.|[dx][sa]\.s2\.", e.name)]
"""Functions and verbs; the methods of records are the others."""
COMMANDS = list(api.commands())

OLD_NAMES = {
    "out": "path of what is written, folder of what a training leaves",
    "times": "dates",
    "n_threads": "workers, processes or threads",
    "most": "limit",
    "stored": "mask_and_scale",
    "level": "confidence",
    "alpha": "confidence",
    "filename": "path",
    "verbose": "progress",
    "resolution_m": "resolution",
    "random_state": "seed",
}
"""Names that other libraries have, or that we once had → ours."""

IN_ORDER = (
    ("ds", "model", "s1", "samples", "confidence"),
    ("model", "start", "probabilities", "samples", "seed", "precision", "device"),
    ("freq", "dates", "max_gap", "memory_limit", "explain"),
    ("preset", "name", "seed", "held_out", "initial"),
    ("shares", "by", "block", "seed"),
    ("resolution", "bbox", "crs", "like", "chunks", "mask_and_scale"),
    ("layout", "pack", "scale", "overwrite", "progress"),
    ("path", "n_blocks", "progress"),
    ("freq", "device", "memory_limit"),
    ("resume", "overwrite", "verify", "client", "retries"),
    ("classes", "dilate", "erode", "shape", "mask", "probability"),
)
"""Parameters that stand in this order wherever two of them meet."""

DEFAULTS = {
    "seed": {0},
    "overwrite": {False},
    "resume": {False},
    "explain": {False},
    "device": {"cpu"},
    "precision": {"fp32"},
    "memory_limit": {None},
    "confidence": {0.95, None},  # None of forecast: no interval
    "samples": {0, 30},  # 30 of evaluate_lai: coverage is what it measures
    "progress": {False, True},  # True of jobs, which take long
    "ax": {None},
    "start": {None},
    "held_out": {0.2},
    "initial": {None},
    "ignore": {None},
    "mask_and_scale": {True},
    "pixel": {None},
}


@cache
def page() -> str:
    return api.page()


def test_the_page_is_what_the_code_says():
    assert api.PAGE.read_text() == page(), "python -m benchmarks.api writes the page anew"


def test_every_floor_of_the_contract_is_there_and_every_part_has_a_floor():
    named = {name for floor in api.floors() for name in floor}
    there = {p.stem for p in (api.ROOT / "xsentinel").iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert named == there - {"__init__", "__main__", "data"}


def test_arrows_that_are_left_out_are_ways():
    direct = api.imports()
    kept = api.drawn(direct)

    def reached(name):
        return set(kept[name]) | {far for near in kept[name] for far in reached(near)}

    assert all(direct[name] <= reached(name) for name in direct)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.name)
def test_first_sentences_are_short_and_end(entry):
    assert entry.sentence.endswith((".", "!")), entry.sentence
    assert len(entry.sentence) <= 160
    if inspect.isfunction(entry.thing):
        first = entry.sentence.split()[0].strip(",.:")
        assert first[0].isupper()
        assert not re.search(r"(?<!s)s$|(?<!Br)ing$", first), f"{first} is no imperative"
        assert first not in ("The", "A", "An", "This", "Whether", "What")


@pytest.mark.parametrize("entry", VERBS, ids=lambda e: e.name)
def test_docstrings_are_whole(entry):
    told = {title for title in ("Parameters", "Returns", "Raises", "Examples") if f"{title}\n{'-' * len(title)}" in entry.doc}
    returns = str(inspect.signature(entry.thing).return_annotation)
    wanted = {"Parameters"} if entry.parameters else set()
    if ".plot." not in entry.name:  # they all return axes, and their examples are pictures: the notebooks
        wanted |= {"Examples"} | ({"Returns"} if returns != "None" else set())
    assert wanted <= told, f"{entry.name} lacks {wanted - told}"
    words = entry.doc.split("Parameters\n", 1)[-1].split("Returns\n")[0]
    unnamed = [p.name for p in entry.parameters if not re.search(rf"\b{p.name}\b", words)]
    assert not unnamed


@pytest.mark.parametrize("entry", FUNCTIONS, ids=lambda e: e.name)
def test_names_orders_and_defaults_are_the_same_everywhere(entry):
    names = [p.name for p in entry.parameters]
    assert not {n: OLD_NAMES[n] for n in names if n in OLD_NAMES}
    for order in IN_ORDER:
        found = [n for n in names if n in order]
        assert found == [n for n in order if n in found], f"{found} of {entry.name} are in another order elsewhere"
    for p in entry.parameters:
        if p.name in DEFAULTS and p.default is not p.empty:
            assert p.default in DEFAULTS[p.name], f"{p.name}={p.default} of {entry.name}"


@pytest.mark.parametrize("entry", VERBS, ids=lambda e: e.name)
def test_what_is_no_data_is_given_by_name(entry):
    free = [p for p in entry.parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert len(free) <= 3


CALLED = {
    "mask": "ds.s2.mask_clouds",
    "convert": "ds.s2.to_zarr",
    "composite": "ds.s2.composite",
    "fill-gaps": "ds.s2.fill_gaps",
    "lai": "ds.s2.lai",
    "forecast": "ds.s2.forecast",
    "crops": "ds.s2.crops",
    "landcover": "ds.s2.landcover",
    "parcels": "ds.s2.parcels",
    "run": "Plan.run",
    "assess": "xs.accuracy.assess",
    **{f"{verb} {what}": f"xs.training.{verb}_{what}" for verb in ("train", "evaluate") for what in ("lai", "crops", "dynamics", "fusion")},
    "evaluate landcover": "xs.training.evaluate_landcover",
}
"""Command → the function that it calls."""

OWN_OPTIONS = {
    "keep_clouds": "the shell masks clouds on the way",
    "mask_clouds": "as keep_clouds",
    "variables": "*variables of biophysical, ds[[...]] of parcels",
    "variable": "a variable of a file",
    "legend": "names the reference first",
    "inputs_at": "resolution of lai, as --resolution says how INPUT is opened",
    "centres": "not coverage",
    "sza": "of angles", "vza": "of angles", "raa": "of angles",
    "interval": "of **inference of lai", "seed": "of **inference of lai", "precision": "of **inference of lai",
    "device": "of **inference of lai",
    "smooth": "the verb that follows",
    "zarr_format": "of Zarr only", "layout": "of Zarr only",
    "csv": "to_csv", "markdown": "to_markdown", "plot": "save_plot", "corners": "corner_precision",
    "explain": "Plan.explain", "probe": "Plan.explain", "report": "Report.to_html",
    "pair": "sources", "triplets": "sources", "table": "sources", "baselines": "models",
    "steps": "of the preset", "pretraining": "of the preset",
    "dilate": "of mask_clouds", "progress": "of the writer", "overwrite": "of the writer",
    **dict.fromkeys(("epochs", "ensemble", "resume", "patience", "processes", "limit"), "of **run of trainings"),
}  # fmt: skip
"""Options that the function has under no such name, and why."""


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[path for path, _ in COMMANDS])
def test_commands_tell_all_and_speak_as_python(path, command):
    assert (command.help or "").split("\n\n")[0].rstrip().endswith(".")
    options = [p for p in command.params if isinstance(p, click.Option)]
    for option in options:
        assert (option.help or "").endswith("."), f"{path} {option.opts} has no help, or it does not end"
        assert all(name.startswith("--") and "_" not in name for name in option.opts if len(name) > 2)
        if (
            option.required
            or option.is_flag
            or option.multiple
            or option.default in (None, "", ())
            or "Sentinel" in type(option.default).__name__
        ):
            continue
        assert option.show_default, f"{path} {option.opts} hides its default"
    called = next((e for e in ENTRIES if e.name == CALLED.get(path.removeprefix("xsentinel "))), None)
    if called is not None:
        known = {p.name for p in called.parameters} | set(api.OPENING) | set(OWN_OPTIONS)
        assert {o.name for o in options} <= known


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[path for path, _ in COMMANDS])
def test_examples_of_the_shell_can_be_read(path, command):
    lines = [line.split() for line in (command.epilog or "").splitlines() if line.strip().startswith("xsentinel ")]
    assert lines or "A job file" in (command.epilog or "")
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    for words in lines:
        assert words[: len(path.split())] == path.split()
        assert {word for word in words if word.startswith("-")} <= known


def test_every_command_has_a_function():
    lone = {path.removeprefix("xsentinel ") for path, _ in COMMANDS} - set(CALLED)
    assert lone == {"demo", "info", "train landcover"}  # info opens as xsentinel.open; a job file is all that train landcover takes
    assert set(CALLED.values()) <= {e.name for e in ENTRIES}


def test_one_option_says_the_same_everywhere():
    """Options that commands share by name take the same kind of value."""
    kinds = {}
    for path, command in COMMANDS:
        for option in command.params:
            if isinstance(option, click.Option):
                kinds.setdefault(option.name, {}).setdefault((option.type.name, option.multiple, option.is_flag), []).append(path)
    assert not {name: found for name, found in kinds.items() if len(found) > 1}


def test_help_shows_all_commands():
    assert isinstance(main, click.Group)
    assert all((c.get_short_help_str(200) or "").endswith(".") for c in main.commands.values())
