"""The shell's verbs on cubes: parse, call one function, write."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

import xsentinel as xs
from xsentinel.cli.options import (
    DILATE,
    EXPLAIN,
    INPUTS,
    KEEP_CLOUDS,
    MEMORY_LIMIT,
    OUTPUT,
    OVERWRITE,
    PROGRESS,
    SAMPLES,
    clear,
    errors_to_usage,
    examples,
    many,
    opened,
    opening,
    report,
)
from xsentinel.errors import SeveralGridsError, XSentinelError
from xsentinel.info import CubeInfo
from xsentinel.io.write import write


@click.command(epilog=examples("xsentinel demo", "xsentinel demo pictures"))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("xsentinel-demo"))
@errors_to_usage
def demo(folder: Path) -> None:
    """Map the two shipped scenes into FOLDER.

    Computes leaf area index with flags, writes it as Zarr and Cloud-Optimised GeoTIFF, draws a picture
    and prints a table. FOLDER is ./xsentinel-demo if not given; files of an earlier demo are replaced.
    """
    from xsentinel.demo import run

    click.echo(run(folder))


@click.command(epilog=examples("xsentinel info S2A_MSIL2A_20190530T103031.SAFE --resolution 20"))
@INPUTS
@opening
@click.option("--html", is_flag=True, help="Print an HTML table.")
@errors_to_usage
def info(inputs: tuple[Path, ...], how: dict[str, Any], html: bool) -> None:
    """Say what was understood of INPUT.

    Bands, dates, grid, CRS, platforms, angles, how it is stored, clear share and size. Of bands on several grids
    these are told, and the rest at 20 m, or the coarsest, unless --resolution says otherwise.
    """
    try:
        found = opened(list(inputs), how).s2.info()
    except SeveralGridsError as err:
        found = _of_several_grids(inputs, how, err)
    click.echo(found._repr_html_() if html else str(found))


def _of_several_grids(inputs: tuple[Path, ...], how: dict[str, Any], err: SeveralGridsError) -> CubeInfo:
    """Describe bands on several grids: each grid, and the cube that they make at one of them."""
    size = 20.0 if 20.0 in err.grids else max(err.grids)
    found: CubeInfo = opened(list(inputs), how | {"resolution": size}).s2.info()
    grids = "; ".join(f"{own:g} m: {', '.join(names)}" for own, names in err.grids.items())
    return replace(found, grid=f"several, so say --resolution 10, 20 …: {grids}; brought to {size:g} m: {found.grid}")


@click.command(
    epilog=examples(
        "xsentinel convert S2A_MSIL2A_20190530T103031.SAFE cube.zarr --resolution 20",
        "xsentinel convert products/ cube.zarr --resolution 10 --bbox 8.1 47.2 8.3 47.4 --layout series --pack uint16",
        "xsentinel convert items.json cube.nc --like map.tif",
    )
)
@INPUTS
@OUTPUT
@opening
@click.option("--layout", type=click.Choice(["series", "map"]), help="Of .zarr: cut for reading pixels through time, or maps of a date.")
@click.option("--zarr-format", type=click.Choice(["3", "2"]), help="Of .zarr; 3 if not given.")
@click.option("--pack", type=click.Choice(["uint16", "int16"]), help="Write floats as scaled integers, half the bytes.")
@click.option("--scale", type=float, help="Value a packed count; 0.0001 for reflectance if not given.")
@OVERWRITE
@PROGRESS
@errors_to_usage
def convert(inputs: tuple[Path, ...], output: Path, how: dict[str, Any], **options: Any) -> None:
    """Write INPUT, whatever its form, to OUTPUT as one cube.

    Products (.SAFE, .zip), STAC items (.json), EOPF and other Zarr, NetCDF and GeoTIFF become float32 reflectance
    on one grid, offsets taken out, with angles and platform.
    """
    zarr = {"layout": options["layout"], "zarr_format": options["zarr_format"] and int(options["zarr_format"])}
    given = {k: v for k, v in zarr.items() if v is not None}
    if given and output.suffix.lower() != ".zarr":
        raise XSentinelError(f"--{next(iter(given)).replace('_', '-')} is of Zarr stores, and {output} is none; end it in .zarr")
    chosen = {k: options[k] for k in ("overwrite", "progress", "pack", "scale")}
    report(write(opened(list(inputs), how), output, **chosen, **given))


@click.command(
    epilog=examples(
        "xsentinel mask cube.zarr clear.zarr --dilate 60",
        "xsentinel mask cube.zarr clear.zarr --classes cloud_high_probability,cloud_shadow --erode 20 --dilate 80",
    )
)
@INPUTS
@OUTPUT
@opening
@many("--classes", help="Scene classes to mask, by name or code (0–11), instead of the usual six.")
@DILATE
@click.option("--erode", type=float, default=0.0, show_default=True, help="Metres by which specks are shrunk away first.")
@click.option("--probability", type=float, help="Mask also where the cloud probability (CLD) is greater than so many per cent.")
@OVERWRITE
@PROGRESS
@errors_to_usage
def mask(inputs: tuple[Path, ...], output: Path, how: dict[str, Any], classes: tuple[str, ...], **options: Any) -> None:
    """Write INPUT to OUTPUT without clouds.

    Pixels that the scene classes (SCL) call no data, saturated, cloud shadow, cloud or thin cirrus become
    no data. OUTPUT holds float32 reflectance.
    """
    chosen = {"classes": [int(c) if c.isdigit() else c for c in classes]} if classes else {}
    cube = opened(list(inputs), how)
    masked = cube.s2.mask_clouds(**{key: options[key] for key in ("dilate", "erode", "probability")}, **chosen)
    report(write(masked, output, overwrite=options["overwrite"], progress=options["progress"]))


@click.command(
    epilog=examples(
        "xsentinel composite cube.zarr months.zarr",
        "xsentinel composite cube.zarr seasons.tif --freq QS-DEC --method geomedian --dilate 60",
    )
)
@INPUTS
@OUTPUT
@opening
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
@MEMORY_LIMIT
@EXPLAIN
@OVERWRITE
@PROGRESS
@errors_to_usage
def composite(inputs: tuple[Path, ...], output: Path, how: dict[str, Any], freq: str, method: Any, **options: Any) -> None:
    """Reduce the dates of each month, or other period, of INPUT to one cloud-free image.

    Clouds are masked by SCL first. OUTPUT holds the bands, n_obs (the observations of each pixel) and the
    method's extras.
    """
    cube = clear(inputs, how, options)
    out = cube.s2.composite(freq, method=method, memory_limit=options["memory_limit"], explain=options["explain"])
    report(write(out, output, overwrite=options["overwrite"], progress=options["progress"]))


@click.command(
    "fill-gaps",
    epilog=examples(
        "xsentinel fill-gaps cube.zarr series.zarr --freq 5D --max-gap 60",
        "xsentinel fill-gaps cube.zarr smooth.zarr --method whittaker --memory-limit 4GB",
    ),
)
@INPUTS
@OUTPUT
@opening
@click.option(
    "--method",
    type=click.Choice(["linear", "nearest", "cressman", "whittaker", "savgol"]),
    default="linear",
    show_default=True,
    help="Lines between observations, the nearest one, weights by distance in time, a smoother, or polynomials in a window.",
)
@click.option("--freq", help="Regular dates, such as 5D; the cube's own if not given.")
@click.option("--max-gap", type=float, help="Days between two observations beyond which the gap stays.")
@click.option("--extrapolate", is_flag=True, help="Hold the first and the last observation beyond them.")
@DILATE
@KEEP_CLOUDS
@MEMORY_LIMIT
@EXPLAIN
@OVERWRITE
@PROGRESS
@errors_to_usage
def fill_gaps(inputs: tuple[Path, ...], output: Path, how: dict[str, Any], method: Any, freq: str | None, **options: Any) -> None:
    """Fill the gaps of INPUT in time, at its own or at regular dates.

    Clouds are masked by SCL first. OUTPUT holds the bands, what was filled, and the days to the nearest
    observation.
    """
    cube = clear(inputs, how, options)
    out = cube.s2.fill_gaps(
        method,
        freq=freq,
        max_gap=options["max_gap"],
        extrapolate="nearest" if options["extrapolate"] else False,
        memory_limit=options["memory_limit"],
        explain=options["explain"],
    )
    report(write(out, output, overwrite=options["overwrite"], progress=options["progress"]))


@click.command(
    epilog=examples(
        "xsentinel lai cube.zarr lai.zarr",
        "xsentinel lai S2A_20190530.tif lai.tif --resolution 20 --sza 27 --vza 5 --raa 100",
        "xsentinel lai S2_10m.nc S2_20m.nc out.zarr --resolution 20 -v lai,fapar --mask-clouds",
        "xsentinel lai cube.zarr lai.zarr --resolution 20 --model unet --samples 30",
        "xsentinel lai cube.zarr lai.zarr --model fusion --s1 radar.zarr",
    )
)
@INPUTS
@OUTPUT
@opening
@many(
    "-v",
    "--variables",
    choices=("lai", "fapar", "fcover", "ccc", "cwc"),
    default=("lai",),
    help="What to map: lai, fapar, fcover, ccc, cwc.",
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
    help="sl2p; unet, a network that learnt its LAI; fusion, which maps it under clouds from --s1 and the past; or the card (.json) or "
    "folder of a model of your own.",
)
@click.option(
    "--s1",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="Sentinel-1 VV and VH of the same time, whatever xsentinel.open reads; brought to the grid of INPUT; may be repeated.",
)
@SAMPLES
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
def lai(inputs: tuple[Path, ...], output: Path, how: dict[str, Any], variables: tuple[str, ...], **options: Any) -> None:
    """Map leaf area index by SL2P or a network.

    Writes the maps of INPUT and their flags to OUTPUT; -v fapar and the like map other variables. With
    --samples a network's maps come with their standard deviation and interval. --model fusion maps every date:
    SL2P where it is clear, and radar with past LAI where it is not; source says which.
    """
    cube = opened(list(inputs), how)
    if options["mask_clouds"]:
        cube = cube.s2.mask_clouds()
    angles = {name: options[name] for name in ("sza", "vza", "raa") if options[name] is not None}
    bands_at = int(options["inputs_at"]) if options["inputs_at"] else None
    inputs_of = {"resolution": bands_at, "domain": options["domain"], "angles": angles, "platform": options["platform"]}
    s1 = xs.open(list(options["s1"]), like=cube) if options["s1"] else None
    if options["model"] == "sl2p" and not options["samples"] and s1 is None:
        maps = cube.s2.biophysical(*variables, **inputs_of)
    elif set(variables) == {"lai"}:
        network = {k: options[k] for k in ("interval", "seed", "precision", "device") if options[k] is not None}
        sampled = {"samples": options["samples"], "confidence": options["confidence"]}
        maps = cube.s2.lai(model=options["model"], s1=s1, **sampled, **inputs_of, **network)
    else:
        raise XSentinelError(f"--model {options['model']} maps lai only; take --model sl2p for {', '.join(variables)}")
    report(write(maps, output, overwrite=options["overwrite"], progress=options["progress"]))
