"""The shell: parse, call one function, write."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

import xsentinel as xs
from xsentinel.errors import XSentinelError
from xsentinel.io.write import write

INPUTS = click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=click.Path(path_type=Path))
OUTPUT = click.argument("output", type=click.Path(path_type=Path))
RESOLUTION = click.option("--resolution", type=float, help="Pixel size in metres to bring all bands to; needed where they differ.")
OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace what stands at OUTPUT.")
DILATE = click.option("--dilate", type=float, default=0.0, show_default=True, help="Metres by which to widen what is masked.")
MEMORY = click.option("--memory", type=float, help="Gigabytes that the blocks in work may come near; half of the machine's by default.")
EXPLAIN = click.option("--explain", is_flag=True, help="Print the plan of blocks first.")
KEEP_CLOUDS = click.option("--keep-clouds", is_flag=True, help="Do not mask by SCL first.")
PROGRESS = click.option("--progress/--no-progress", default=True, show_default=True, help="Show a progress bar.")

LAI_EXAMPLES = """\b
Examples:
  xsentinel lai cube.zarr lai.zarr
  xsentinel lai S2A_20190530.tif lai.tif --resolution 20 --sza 27 --vza 5 --raa 100
  xsentinel lai S2_10m.nc S2_20m.nc out.zarr --resolution 20 -v lai -v fapar --mask-clouds
  xsentinel lai cube.zarr lai.zarr --resolution 20 --model unet --samples 30
"""
"""The line of \\b keeps click from filling the lines."""


def errors_to_usage(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn our errors into one line on standard error and exit status 2."""

    @wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except XSentinelError as err:
            raise click.UsageError(str(err)) from err

    return guarded


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(xs.__version__, prog_name="xsentinel")
def main() -> None:
    """Sentinel-2 cubes to maps of leaf area index, with flags and provenance.

    INPUT is what xsentinel.open reads: a Zarr store, a NetCDF file, a GeoTIFF, or a folder of NetCDF files
    or GeoTIFFs; several, such as a 10 m and a 20 m file, are joined. OUTPUT is written by its suffix:
    .zarr, .tif (one Cloud-Optimised GeoTIFF a variable, a band a date) or .nc.
    """


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("xsentinel-demo"))
@errors_to_usage
def demo(folder: Path) -> None:
    """Map the two shipped scenes into FOLDER.

    Computes leaf area index with flags, writes it as Zarr and Cloud-Optimised GeoTIFF, draws a picture
    and prints a table. FOLDER is ./xsentinel-demo if not given; files of an earlier demo are replaced.
    """
    from xsentinel.demo import run

    click.echo(run(folder))


@main.command()
@INPUTS
@RESOLUTION
@click.option("--html", is_flag=True, help="Print an HTML table.")
@errors_to_usage
def info(inputs: tuple[Path, ...], resolution: float | None, html: bool) -> None:
    """Say what was understood of INPUT.

    Bands, dates, grid, CRS, platforms, angles, how it is stored, clear share and size.
    """
    found = xs.open(list(inputs), resolution=resolution).s2.info()
    click.echo(found._repr_html_() if html else str(found))


@main.command()
@INPUTS
@OUTPUT
@RESOLUTION
@click.option(
    "--class", "classes", multiple=True, help="Scene class to mask, by name or code (0–11), instead of the usual six; may be repeated."
)
@DILATE
@click.option("--probability", type=float, help="Mask also where the cloud probability (CLD) is greater than so many per cent.")
@OVERWRITE
@PROGRESS
@errors_to_usage
def mask(inputs: tuple[Path, ...], output: Path, resolution: float | None, classes: tuple[str, ...], **options: Any) -> None:
    """Write INPUT to OUTPUT without clouds.

    Pixels that the scene classes (SCL) call no data, saturated, cloud shadow, cloud or thin cirrus become
    no data. OUTPUT holds float32 reflectance.
    """
    chosen = {"classes": [int(c) if c.isdigit() else c for c in classes]} if classes else {}
    cube = xs.open(list(inputs), resolution=resolution)
    masked = cube.s2.mask_clouds(dilate=options["dilate"], probability=options["probability"], **chosen)
    _report(write(masked, output, overwrite=options["overwrite"], progress=options["progress"]))


@main.command()
@INPUTS
@OUTPUT
@RESOLUTION
@click.option("--freq", default="MS", show_default=True, help="Periods: MS months, QS-DEC seasons, 10D ten days, YS years.")
@click.option(
    "--method",
    type=click.Choice(["median", "mean", "geomedian", "medoid", "max", "best"]),
    default="median",
    show_default=True,
    help="max takes the greenest date, best the one far from clouds and haze.",
)
@DILATE
@KEEP_CLOUDS
@MEMORY
@EXPLAIN
@OVERWRITE
@PROGRESS
@errors_to_usage
def composite(inputs: tuple[Path, ...], output: Path, resolution: float | None, freq: str, method: Any, **options: Any) -> None:
    """Reduce the dates of each month, or other period, of INPUT to one cloud-free image.

    Clouds are masked by SCL first. OUTPUT holds the bands, n_obs (the observations of each pixel) and the
    method's extras.
    """
    cube = _clear(inputs, resolution, options)
    out = cube.s2.composite(freq, method=method, memory_limit=_bytes(options["memory"]), explain=options["explain"])
    _report(write(out, output, overwrite=options["overwrite"], progress=options["progress"]))


@main.command("fill-gaps")
@INPUTS
@OUTPUT
@RESOLUTION
@click.option(
    "--method",
    type=click.Choice(["linear", "nearest", "cressman", "whittaker", "savgol"]),
    default="linear",
    show_default=True,
)
@click.option("--freq", help="Regular dates, such as 5D; the cube's own if not given.")
@click.option("--max-gap", type=float, help="Days between two observations beyond which the gap stays.")
@click.option("--extrapolate", is_flag=True, help="Hold the first and the last observation beyond them.")
@DILATE
@KEEP_CLOUDS
@MEMORY
@EXPLAIN
@OVERWRITE
@PROGRESS
@errors_to_usage
def fill_gaps(inputs: tuple[Path, ...], output: Path, resolution: float | None, method: Any, freq: str | None, **options: Any) -> None:
    """Fill the gaps of INPUT in time, at its own or at regular dates.

    Clouds are masked by SCL first. OUTPUT holds the bands, what was filled, and the days to the nearest
    observation.
    """
    cube = _clear(inputs, resolution, options)
    out = cube.s2.fill_gaps(
        method,
        freq=freq,
        max_gap=options["max_gap"],
        extrapolate="nearest" if options["extrapolate"] else False,
        memory_limit=_bytes(options["memory"]),
        explain=options["explain"],
    )
    _report(write(out, output, overwrite=options["overwrite"], progress=options["progress"]))


def _clear(inputs: tuple[Path, ...], resolution: float | None, options: dict[str, Any]) -> Any:
    cube = xs.open(list(inputs), resolution=resolution)
    return cube if options["keep_clouds"] else cube.s2.mask_clouds(dilate=options["dilate"])


def _bytes(gigabytes: float | None) -> int | None:
    return None if gigabytes is None else int(gigabytes * 1e9)


@main.command(epilog=LAI_EXAMPLES)
@INPUTS
@OUTPUT
@RESOLUTION
@click.option(
    "-v",
    "--variable",
    "variables",
    multiple=True,
    default=("lai",),
    show_default=True,
    type=click.Choice(["lai", "fapar", "fcover", "ccc", "cwc"]),
    help="What to map; may be repeated.",
)
@click.option(
    "--inputs-at",
    type=click.Choice(["10", "20"]),
    help="SL2P's set of input bands, that of 10 m or of 20 m; by the bands that are there if not given.",
)
@click.option(
    "--model",
    default="sl2p",
    show_default=True,
    help="sl2p; unet, a network that learnt its LAI; or the card (.json) or folder of a model of your own.",
)
@click.option("--samples", type=int, default=0, show_default=True, help="Monte Carlo samples of a network's dropout, for its uncertainty.")
@click.option("--confidence", type=float, default=0.95, show_default=True, help="Of the interval, if there are samples.")
@click.option("--interval", type=click.Choice(["predictive", "mean"]), help="Where SL2P's answer lies, or the mean of the samples.")
@click.option("--seed", type=int, help="Of the samples; 0 if not given.")
@click.option("--precision", type=click.Choice(["fp32", "bf16", "auto"]), help="Of a network; fp32 if not given.")
@click.option("--device", help="Of a network: cpu, cuda, cuda:1; cpu if not given.")
@click.option("--mask-clouds/--keep-clouds", default=False, show_default=True, help="Leave out clouds and shadows by SCL first.")
@click.option(
    "--domain",
    type=click.Choice(["flag", "mask"]),
    default="flag",
    show_default=True,
    help="Inputs outside the definition domain: flag their results, or leave them out.",
)
@click.option("--sza", type=float, help="Sun zenith angle of all dates, degrees; instead of those of INPUT, if any.")
@click.option("--vza", type=float, help="View zenith angle of all dates, degrees; instead of those of INPUT, if any.")
@click.option("--raa", type=float, help="Sun–view relative azimuth of all dates, degrees; instead of those of INPUT, if any.")
@click.option("--platform", type=click.Choice(["S2A", "S2B", "S2C"]), help="Of all dates; instead of what INPUT tells, if anything.")
@OVERWRITE
@PROGRESS
@errors_to_usage
def lai(inputs: tuple[Path, ...], output: Path, resolution: float | None, variables: tuple[str, ...], **options: Any) -> None:
    """Map leaf area index by SL2P or a network.

    Writes the maps of INPUT and their flags to OUTPUT; -v fapar and the like map other variables. With
    --samples a network's maps come with their standard deviation and interval.
    """
    cube = xs.open(list(inputs), resolution=resolution)
    if options["mask_clouds"]:
        cube = cube.s2.mask_clouds()
    angles = {name: options[name] for name in ("sza", "vza", "raa") if options[name] is not None}
    bands_at = int(options["inputs_at"]) if options["inputs_at"] else None
    inputs_of = {"resolution": bands_at, "domain": options["domain"], "angles": angles, "platform": options["platform"]}
    if options["model"] == "sl2p" and not options["samples"]:
        maps = cube.s2.biophysical(*variables, **inputs_of)
    elif set(variables) == {"lai"}:
        network = {k: options[k] for k in ("interval", "seed", "precision", "device") if options[k] is not None}
        maps = cube.s2.lai(model=options["model"], samples=options["samples"], confidence=options["confidence"], **inputs_of, **network)
    else:
        raise XSentinelError(f"--model {options['model']} maps lai only; take --model sl2p for {', '.join(variables)}")
    _report(write(maps, output, overwrite=options["overwrite"], progress=options["progress"]))


def _report(files: list[str]) -> None:
    for file in files:
        click.echo(f"wrote {file}")


@main.group()
def train() -> None:
    """Train models; needs the extra xsentinel[train]."""


@train.command("lai")
@INPUTS
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@RESOLUTION
@click.option("--preset", default="default", show_default=True, help="default; paper (Albughdadi et al. 2020); or mlp, their baseline.")
@click.option("--name", default="lai", show_default=True, help="Of the model and its files.")
@click.option("--steps", type=int, help="Batches; as many as the preset says if not given.")
@click.option("--spectra", type=click.Path(path_type=Path, dir_okay=False), help="CSV of more spectra: a column of reflectance a band.")
@click.option("--held-out", type=float, default=0.2, show_default=True, help="Share of places for calibration and scores.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--patience", type=int, help="Stop after so many looks (each 250 steps) at the held-out places without a better one.")
@click.option("--processes", type=int, default=1, show_default=True, help="Processes on this machine that share the work.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in FOLDER.")
@KEEP_CLOUDS
@PROGRESS
@errors_to_usage
def train_lai(inputs: tuple[Path, ...], folder: Path, resolution: float | None, preset: str, **options: Any) -> None:
    """Train a network for LAI on SL2P's answers.

    Each INPUT is a cube of its own. Writes the weights (.safetensors), their card (.json) and checkpoints to
    FOLDER; xsentinel lai --model FOLDER runs the model.
    """
    from dataclasses import replace

    from xsentinel.training import train_lai as run
    from xsentinel.training.presets import get_preset
    from xsentinel.training.spectra import read_spectra

    chosen = get_preset(preset)
    chosen = replace(chosen, steps=options["steps"] or chosen.steps)
    spectra = read_spectra(options["spectra"], chosen.bands) if options["spectra"] else None
    named = ("name", "seed", "held_out", "patience", "processes", "resume", "progress")
    model = run(_cubes(inputs, resolution, options), folder, preset=chosen, spectra=spectra, **{key: options[key] for key in named})
    click.echo(repr(model))


@main.group()
def evaluate() -> None:
    """Measure models."""


@evaluate.command("lai")
@click.argument("model")
@INPUTS
@RESOLUTION
@click.option("--samples", type=int, default=30, show_default=True, help="Monte Carlo samples; 0: one pass only.")
@click.option(
    "--domain",
    type=click.Choice(["range", "grid", "any"]),
    default="range",
    show_default=True,
    help="Pixels that count: inputs within SL2P's min–max, also on its grid (SNAP's rule), or all.",
)
@click.option("--by-date/--whole", default=True, show_default=True, help="A row a date before that of each cube.")
@click.option("--csv", type=click.Path(path_type=Path, dir_okay=False), help="Write the table there too.")
@KEEP_CLOUDS
@errors_to_usage
def evaluate_lai(model: str, inputs: tuple[Path, ...], resolution: float | None, csv: Path | None, **options: Any) -> None:
    """Compare MODEL with SL2P on each INPUT, clouds masked by SCL.

    MODEL is unet, or the card or folder of a model of your own. Prints correlation, average distance, MSE
    and R2 (tables 4 to 6 of Albughdadi et al. 2020), the interval of the mean and sigma over the samples, the
    coverage of the 95 % predictive interval, the rank correlation of sigma and error, and the seconds of a pass.
    """
    from xsentinel.products.lai import MODELS
    from xsentinel.training.evaluate import evaluate_lai as run

    cubes = _cubes(inputs, resolution, options)
    table = run(MODELS.get(model, model), cubes, samples=options["samples"], domain=options["domain"], by_date=options["by_date"])
    click.echo(table.to_string(index=False, float_format=lambda v: f"{v:.4f}"))
    if csv:
        table.to_csv(csv, index=False)
        click.echo(f"wrote {csv}")


def _cubes(inputs: tuple[Path, ...], resolution: float | None, options: dict[str, Any]) -> dict[str, Any]:
    """Open each input as a cube of its own, named by its file."""
    cubes = {}
    for path in inputs:
        cube = xs.open(path, resolution=resolution)
        name = path.stem if path.stem not in cubes else str(path)
        cubes[name] = cube if options["keep_clouds"] or "SCL" not in cube else cube.s2.mask_clouds()
    return cubes
