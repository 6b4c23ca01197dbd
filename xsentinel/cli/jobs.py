"""The shell's verb on large jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xsentinel.batch.jobfile import JobFile, read_jobfile
from xsentinel.cli.options import FILE, OVERWRITE, PROGRESS, RESUME, errors_to_usage, many
from xsentinel.errors import IncompleteError, XSentinelError

JOB_EXAMPLE = """\b
A job file:
  input: products/            # or a list; what xsentinel.open reads
  open: {resolution: 20}      # its options
  steps:
    - mask_clouds: {dilate: 60}
    - composite: {freq: MS, method: median}
    - lai: {model: unet, samples: 30}
  output: lai.zarr            # a folder, or a URL such as s3://bucket/lai.zarr
  options: {memory_limit: 8GB, layout: map}
\b
Instead of input and output, tiles: table.csv, with these two as columns, runs a job a row.
"""


@click.command(epilog=JOB_EXAMPLE)
@click.argument("job", type=click.Path(path_type=Path, dir_okay=False))
@RESUME
@OVERWRITE
@click.option("--verify", is_flag=True, help="Read finished blocks, and do those again whose bytes are not what was written.")
@click.option("--explain", is_flag=True, help="Print blocks, bytes and memory, and run nothing.")
@click.option("--probe", is_flag=True, help="With --explain: compute one block to estimate the time.")
@click.option("--client", metavar="ADDRESS", help="Address of a dask scheduler whose workers run the blocks, tcp://host:8786 say.")
@many("--resources", help="What a worker must have for a block, such as GPU=1.")
@click.option("--retries", type=int, default=2, show_default=True, help="Times that a block is tried again.")
@click.option("--report", type=FILE, help="Write a report there: .html with a quicklook, or .json.")
@PROGRESS
@errors_to_usage
def run(job: Path, explain: bool, probe: bool, report: Path | None, **options: Any) -> None:
    """Run JOB, a YAML file, block by block in bounded memory.

    A run that was stopped or killed goes on with --resume, to the same bytes. Blocks that fail are tried again,
    then listed, and the rest goes on; the exit status is 1 if any is missing, 130 after Ctrl-C.
    """
    if report is not None and report.suffix not in (".html", ".json"):
        raise XSentinelError(f"--report is {report}; end it in .html or .json")
    file = read_jobfile(job)
    if explain:
        for source, output in file.pairs:
            click.echo(file.plan(source, output).explain(probe=probe))
        return
    missing = [output for source, output in file.pairs if not _run_one(file, source, output, report, options)]
    if missing:
        click.echo(
            f"{len(missing)} of {len(file.pairs)} stores are not complete: {', '.join(missing)}; --resume goes on with them", err=True
        )
        raise click.exceptions.Exit(1)


def _resources(told: tuple[str, ...]) -> dict[str, float] | None:
    pairs = [t.partition("=") for t in told]
    try:
        return {name: float(number) for name, _, number in pairs} or None
    except ValueError as err:
        raise XSentinelError(f"--resources is {', '.join(told)}; give a name and a number, GPU=1") from err


def _run_one(file: JobFile, source: Any, output: str, path: Path | None, options: dict[str, Any]) -> bool:
    """Run one job; tell whether nothing is missing. Of several, one that cannot be run does not stop the others."""
    named = {k: options[k] for k in ("resume", "overwrite", "verify", "retries", "progress")}
    named |= {"client": options["client"], "resources": _resources(options["resources"])}
    try:
        report = file.plan(source, output).run(**named)
    except IncompleteError as err:
        report = err.report
    except KeyboardInterrupt:
        click.echo(f"stopped; what is done stands in {output}: run again with --resume", err=True)
        raise click.exceptions.Exit(130) from None
    except XSentinelError as err:
        if len(file.pairs) == 1:
            raise
        click.echo(f"{output}: {err}", err=True)
        return False
    click.echo(repr(report))
    if path is not None:
        named_path = path if len(file.pairs) == 1 else path.with_stem(f"{path.stem}-{Path(output).stem}")
        (report.to_html if path.suffix == ".html" else report.to_json)(named_path)
    return not report.missing
