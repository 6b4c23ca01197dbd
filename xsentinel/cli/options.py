"""What commands share: how INPUT is opened, how OUTPUT is written, how errors are told."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import click

import xsentinel as xs
from xsentinel.errors import XSentinelError

KEYWORD = r"""(?<!\w\()\b(?P<name>[a-z]\w*)=(?P<value>'[^']*'|"[^"]*"|\[[^\]]*\]|[\w.+-]*+(?![(<{\[]))(?: \(--[\w-]+\))?"""
"""A parameter with its value in a message, and the flag where that is named beside it; not the first one of a call in Python."""

FILE = click.Path(path_type=Path, dir_okay=False)


class Source(click.Path):
    """What xsentinel.open reads: a path, or a URL, which is left as it stands."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a word of the command line."""
        return value if "://" in str(value) else super().convert(value, param, ctx)


SOURCE = Source(path_type=Path)
INPUTS = click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=SOURCE)
OUTPUT = click.argument("output", type=click.Path(path_type=Path))
FOLDER = click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace what stands at OUTPUT.")
DILATE = click.option("--dilate", type=float, default=0.0, show_default=True, help="Metres by which to widen what is masked.")
MEMORY_LIMIT = click.option(
    "--memory-limit", metavar="SIZE", help="Memory that blocks in work may come near, 8GB say; half of it if not given."
)
EXPLAIN = click.option("--explain", is_flag=True, help="Print the plan of blocks first.")
KEEP_CLOUDS = click.option("--keep-clouds", is_flag=True, help="Do not mask by SCL first.")
PROGRESS = click.option("--progress/--no-progress", default=True, show_default=True, help="Show a progress bar.")
SAMPLES = click.option("--samples", type=int, default=0, show_default=True, help="Monte Carlo samples of a network's dropout; 0: one pass.")
SEED = click.option("--seed", type=int, default=0, show_default=True, help="Of what is drawn at random.")
DEVICE = click.option("--device", default="cpu", show_default=True, help="Of a network: cpu, cuda, cuda:1.")
PRECISION = click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16", "auto"]),
    default="fp32",
    show_default=True,
    help="Of a network; auto: bf16 where the processor or card multiplies in it.",
)
HELD_OUT = click.option("--held-out", type=float, default=0.2, show_default=True, help="Share of places, or series, to measure errors on.")
PATIENCE = click.option("--patience", type=int, help="Epochs without a better score on what is held out after which to stop.")
PROCESSES = click.option("--processes", type=int, default=1, show_default=True, help="Processes on this machine that share the work.")
RESUME = click.option("--resume", is_flag=True, help="Go on with what an earlier run left.")
CSV = click.option("--csv", type=FILE, help="Write the table there too.")
MARKDOWN = click.option("--markdown", type=FILE, help="Write the table as Markdown there too.")
PLOT = click.option("--plot", type=FILE, help="Draw the confusion matrix to this picture (.png, .pdf, .svg).")


def many(*names: str, choices: Sequence[str] | None = None, default: tuple[str, ...] = (), **told: Any) -> Callable[..., Any]:
    """Give an option that takes several names, by commas or by being repeated."""

    def separate(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
        words = tuple(word.strip() for text in given for word in text.split(",") if word.strip())
        odd = [word for word in words if choices is not None and word not in choices]
        if odd:
            raise click.BadParameter(f"{', '.join(odd)} is none of {', '.join(choices or ())}", context, option)
        return words

    shown = ",".join(default) or False
    return click.option(*names, multiple=True, default=default, show_default=shown, metavar="TEXT,...", callback=separate, **told)


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
        type=SOURCE,
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
    many("--bands", help="Of GeoTIFFs that do not name them: the bands in the order of the file, B02,B03,B04 say."),
    many("--time", help="Of GeoTIFFs that do not tell it: the date, of a folder one for all files or one for each."),
    click.option("--assume-crs", help="Of GeoTIFFs that have none: the CRS that they are in, such as EPSG:32632."),
)
"""How INPUT is opened."""

OPENING = ("resolution", "bbox", "crs", "like", "resampling", "harmonise", "bands", "time", "assume_crs")
"""Their names."""


def opening(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of how INPUT is opened, which reach the command as one mapping, ``how``."""

    @wraps(command)
    def gathered(*args: Any, **kwargs: Any) -> Any:
        given = {name: kwargs.pop(name) for name in OPENING}
        return command(*args, how={name: None if value == () else value for name, value in given.items()}, **kwargs)

    for option in reversed(HOW):
        gathered = option(gathered)
    return gathered


def errors_to_usage(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn our errors into one line on standard error, in the words of the shell, and exit status 2."""

    @wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except XSentinelError as err:
            options = [p for p in click.get_current_context().command.params if isinstance(p, click.Option)]
            raise click.UsageError(in_shell(str(err), options)) from err

    return guarded


def in_shell(message: str, options: Sequence[click.Option]) -> str:
    """Write what a message says of parameters as a command's options: overwrite=True as --overwrite, start='2018' as --start 2018."""
    flags = {str(o.name): o for o in options}

    def translated(match: re.Match[str]) -> str:
        option, value = flags.get(match["name"]), match["value"]
        if option is None:
            return match[0]
        flag = max(option.opts, key=len)
        if option.is_flag:
            return flag if value != "False" or not option.secondary_opts else option.secondary_opts[0]
        plain = re.sub(r"['\"\s]", "", value.strip("[]"))
        return f"{flag} {plain}".rstrip()

    told = re.sub(KEYWORD, translated, message)
    return re.sub(r"(?:xsentinel\.)?open\(\.\.\., (--[^()]*)\)", r"\1", told)


def opened(inputs: Any, how: dict[str, Any]) -> Any:
    """Open as a command was asked to."""
    given = {name: value for name, value in how.items() if value is not None}
    return xs.open(inputs, **given | ({"like": xs.open(how["like"])} if how["like"] else {}))


def clear(inputs: tuple[Path, ...], how: dict[str, Any], options: dict[str, Any]) -> Any:
    """Open, and mask clouds unless they are to be kept."""
    cube = opened(list(inputs), how)
    return cube if options["keep_clouds"] else cube.s2.mask_clouds(dilate=options["dilate"])


def named_cubes(inputs: tuple[Path | str, ...], how: dict[str, Any], keep_clouds: bool) -> dict[str, Any]:
    """Open each input as a cube of its own, named by its file; clouds are masked where there are scene classes."""
    cubes: dict[str, Any] = {}
    for path in inputs:
        cube = opened(path, how)
        stem = Path(path).stem
        name = stem if stem not in cubes else str(path)
        cubes[name] = cube if keep_clouds or "SCL" not in cube else cube.s2.mask_clouds()
    return cubes


def examples(*lines: str) -> str:
    """Give lines to be shown below a command's help, each as it stands."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])  # \b keeps click from filling them


def tell_scores(found: Any, csv: Path | None, markdown: Path | None, plot: Path | None) -> None:
    """Print an assessment, and write it to the files that are asked for."""
    click.echo(str(found))
    for path, write in ((csv, found.to_csv), (markdown, found.to_markdown), (plot, found.save_plot)):
        if path:
            write(path)
    report([str(path) for path in (csv, markdown, plot) if path])


def tell_table(table: Any, csv: Path | None, digits: str, index: bool = False) -> None:
    """Print a table, and write it to the file that is asked for."""
    click.echo((table.T if index else table).to_string(index=index, float_format=lambda v: f"{v:{digits}}"))
    if csv:
        table.to_csv(csv, index=index)
        report([str(csv)])


def report(files: list[str]) -> None:
    """Say what was written."""
    for file in files:
        click.echo(f"wrote {file}")
