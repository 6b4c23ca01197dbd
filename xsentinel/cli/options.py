"""What commands share: how INPUT is opened, how OUTPUT is written, how errors are told."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

import xsentinel as xs
from xsentinel.errors import XSentinelError

INPUTS = click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=click.Path(path_type=Path))
OUTPUT = click.argument("output", type=click.Path(path_type=Path))
OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace what stands at OUTPUT.")
DILATE = click.option("--dilate", type=float, default=0.0, show_default=True, help="Metres by which to widen what is masked.")
MEMORY = click.option("--memory", type=float, help="Gigabytes that the blocks in work may come near; half of the machine's by default.")
EXPLAIN = click.option("--explain", is_flag=True, help="Print the plan of blocks first.")
KEEP_CLOUDS = click.option("--keep-clouds", is_flag=True, help="Do not mask by SCL first.")
PROGRESS = click.option("--progress/--no-progress", default=True, show_default=True, help="Show a progress bar.")

HOW = (
    click.option("--resolution", type=float, help="Pixel size in metres to bring all bands to; needed where they differ."),
    click.option(
        "--bbox",
        type=float,
        nargs=4,
        metavar="WEST SOUTH EAST NORTH",
        help="Box to read: in degrees if it can be that, else in --crs, or in the CRS of INPUT.",
    ),
    click.option("--crs", help="CRS to bring INPUT to, such as EPSG:32632; needed for products of several UTM zones."),
    click.option(
        "--like",
        type=click.Path(path_type=Path),
        help="A cube or map whose very pixels are to be matched, instead of --resolution, --bbox and --crs.",
    ),
    click.option("--resampling", type=click.Choice(["bilinear", "cubic", "nearest"]), help="How bands go finer or to another CRS."),
    click.option(
        "--harmonise",
        type=click.Choice(["auto", "offset", "none"]),
        default="auto",
        show_default=True,
        help="The offset of -1000 counts since baseline 04.00: by metadata, held against the pixels; in any case; or never.",
    ),
)
"""How INPUT is opened."""


def opening(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of how INPUT is opened, which reach the command as one mapping, ``how``."""

    @wraps(command)
    def gathered(*args: Any, resolution: Any, bbox: Any, crs: Any, like: Any, resampling: Any, harmonise: Any, **kwargs: Any) -> Any:
        how = {"resolution": resolution, "bbox": bbox or None, "crs": crs, "resampling": resampling, "harmonise": harmonise}
        return command(*args, how=how | {"like": like}, **kwargs)

    for option in reversed(HOW):
        gathered = option(gathered)
    return gathered


def errors_to_usage(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn our errors into one line on standard error and exit status 2."""

    @wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except XSentinelError as err:
            raise click.UsageError(str(err)) from err

    return guarded


def opened(inputs: list[Path] | Path, how: dict[str, Any]) -> Any:
    """Open as a command was asked to."""
    return xs.open(inputs, **how | {"like": None if how["like"] is None else xs.open(how["like"])})


def clear(inputs: tuple[Path, ...], how: dict[str, Any], options: dict[str, Any]) -> Any:
    """Open, and mask clouds unless they are to be kept."""
    cube = opened(list(inputs), how)
    return cube if options["keep_clouds"] else cube.s2.mask_clouds(dilate=options["dilate"])


def n_bytes(gigabytes: float | None) -> int | None:
    """Give bytes of gigabytes."""
    return None if gigabytes is None else int(gigabytes * 1e9)


def report(files: list[str]) -> None:
    """Say what was written."""
    for file in files:
        click.echo(f"wrote {file}")
