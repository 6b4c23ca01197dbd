"""The shell's verbs on land cover."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xsentinel.cli.classes import classifying, map_classes


@click.command()
@classifying
def landcover(inputs: tuple[Path, ...], output: Path, how: dict[str, Any], **options: Any) -> None:
    """Map land cover of INPUT by a classifier of a year's series and of what lies around each pixel.

    Clouds are masked by SCL first; single dates are brought to the equal dates, or composites, that the model takes,
    without being stored. OUTPUT holds the class with names and colours, its confidence, margin and entropy.
    """
    map_classes("landcover", inputs, output, how, options)
