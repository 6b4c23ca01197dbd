"""What the shell's verbs that map classes share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from xsentinel.blocks.model import shipped_for
from xsentinel.cli.options import (
    DEVICE,
    DILATE,
    INPUTS,
    KEEP_CLOUDS,
    OUTPUT,
    OVERWRITE,
    PRECISION,
    PROGRESS,
    SAMPLES,
    SEED,
    clear,
    errors_to_usage,
    opening,
    report,
)

OPTIONS = (
    click.option("--start", help="First day of the season, such as 2018-01; that of the first date's season if not given."),
    click.option("--probabilities", is_flag=True, help="Write the probability of each class too."),
    click.option(
        "--smooth", type=click.Choice(["majority", "bayes"]), help="Smooth the map: bayes by the probabilities. Not done if not given."
    ),
    SAMPLES,
    SEED,
    PRECISION,
    DEVICE,
)
TAKEN = ("start", "probabilities", "samples", "seed", "precision", "device")
"""Options that the verb of the package has too."""


def classifying(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add arguments and options of a verb that maps classes."""
    command = errors_to_usage(command)
    named = ", ".join(shipped_for(command.__name__))
    model = click.option("--model", required=True, help=f"One that comes along ({named}); or the card (.json) or folder of your own.")
    for option in (PROGRESS, OVERWRITE, KEEP_CLOUDS, DILATE, *reversed(OPTIONS), model):
        command = option(command)
    return INPUTS(OUTPUT(opening(command)))


def map_classes(verb: str, inputs: tuple[Path, ...], output: Path, how: dict[str, Any], options: dict[str, Any]) -> None:
    """Open, mask clouds, classify by a verb of the package, smooth if asked, write."""
    from xsentinel.io.write import write

    cube, smooth = clear(inputs, how, options), options["smooth"]
    chosen = {key: options[key] for key in TAKEN}
    chosen["probabilities"] |= smooth == "bayes"
    maps = getattr(cube.s2, verb)(options["model"], **chosen)
    maps = maps.s2.smooth(smooth) if smooth else maps
    report(write(maps, output, overwrite=options["overwrite"], progress=options["progress"]))
