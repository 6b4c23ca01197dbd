"""Jobs as files: YAML with an input, steps and an output, or a table of inputs and outputs."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from xsentinel.batch.run import Plan, plan
from xsentinel.batch.steps import Steps, wrong_kinds
from xsentinel.errors import ReadError, did_you_mean
from xsentinel.io.open import OPTIONS as OPEN_OPTIONS
from xsentinel.io.open import open as open_cube
from xsentinel.io.told import Telling

KEYS = ("input", "open", "steps", "output", "tiles", "options")

OPENING = tuple(name for name in (*OPEN_OPTIONS, *Telling.__annotations__) if name != "like")
"""Of `xsentinel.open`."""

OPTIONS = ("block", "layout", "pack", "scale", "workers", "memory_limit")
"""Of `plan`."""


@dataclass(frozen=True)
class JobFile:
    """What a job file asks for."""

    path: Path
    pairs: tuple[tuple[Any, str], ...]
    """Input and output of each cube."""
    how: Mapping[str, Any]
    """How inputs are opened."""
    steps: Steps
    options: Mapping[str, Any]
    """Of `plan`."""

    def plan(self, source: Any, output: str) -> Plan:
        """Open one input and plan its job.

        Raises
        ------
        ReadError
            If an option has a value of the wrong kind.
        XSentinelError
            As `xsentinel.open` and `plan`.
        """
        with wrong_kinds(f"{self.path}: open", self.how):
            cube = open_cube(source, **self.how)
        with wrong_kinds(f"{self.path}: options", self.options):
            return plan(self.steps, output, source=cube, **self.options)


def read_jobfile(path: str | PathLike[str]) -> JobFile:
    """Read a job file.

    ::

        input: products/            # or a list; what xsentinel.open reads
        open: {resolution: 20}      # its options
        steps:
          - mask_clouds: {dilate: 60}
          - composite: {freq: MS}
          - lai: {model: unet, samples: 30}
        output: lai.zarr            # a folder or URL
        options: {memory_limit: 8GB, layout: map}
        # tiles: tiles.csv          # instead of input and output: a table with these two columns

    Inputs may be products, stores, or files of STAC items. Relative paths are those of the folder that the file, or
    the table, lies in.

    Raises
    ------
    ReadError
        If it is no such file.
    XSentinelError
        If a step is none.
    """
    file = Path(path)
    found = load_mapping(file, "xsentinel run --help")
    if set(found) - set(KEYS):
        odd = sorted(map(str, set(found) - set(KEYS)))
        raise ReadError(f"{file} has {', '.join(odd)}; a job file has {', '.join(KEYS)}{did_you_mean(odd[0], KEYS)}")
    how, options = found.get("open") or {}, found.get("options") or {}
    check_keys(f"{file}: open", how, OPENING)
    check_keys(f"{file}: options", options, OPTIONS)
    return JobFile(file, _pairs(file, found), how, Steps.of(found.get("steps") or []), options)


def check_keys(what: str, found: Any, known: Sequence[str]) -> None:
    """Check that something is a mapping of known names.

    Raises
    ------
    ReadError
        If it is not.
    """
    if not isinstance(found, Mapping):
        raise ReadError(f"{what} is {found!r:.80}; it is a mapping of {', '.join(known)}: {{name: value}}")
    odd = [key for key in found if key not in known]
    if odd:
        raise ReadError(f"{what} has {odd[0]!r}{did_you_mean(odd[0], known)}; it may have {', '.join(known)}")


def load_mapping(file: Path, advice: str) -> Mapping[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises
    ------
    ReadError
        If it cannot be read or holds anything else.
    """
    import yaml

    if not file.exists():
        raise ReadError(f"the job file {file} does not exist (looked in {Path.cwd()}); check the name; {advice} shows what one holds")
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as err:
        raise ReadError(f"{file} cannot be read as YAML: {' '.join(str(err).split())}; see {advice} for what a job file holds") from err
    if not isinstance(found, Mapping):
        raise ReadError(f"{file} has {found!r:.60}; see {advice} for what a job file holds")
    return found


def _pairs(file: Path, found: Mapping[str, Any]) -> tuple[tuple[Any, str], ...]:
    """Give each input with its output."""
    given = {"input", "output", "tiles"} & set(found)
    whole = given == {"input", "output"}
    if not whole and given != {"tiles"}:
        raise ReadError(f"{file} needs input and output, or tiles, a table that has them as columns; give one of the two")
    if whole:
        return (_apart(placed(file, found["input"]), str(placed(file, found["output"]))),)
    table = Path(placed(file, found["tiles"]))
    try:
        with table.open(newline="", encoding="utf-8") as rows:
            pairs = [(row["input"], row["output"]) for row in csv.DictReader(rows)]
    except (OSError, KeyError, UnicodeDecodeError) as err:
        raise ReadError(f"{table} cannot be read as a table with the columns input and output: {err!r}; give a CSV file") from err
    outputs = [output for _, output in pairs]
    if not pairs or len(set(outputs)) < len(outputs):
        raise ReadError(f"{table} has {'no rows' if not pairs else 'an output more than once'}; give each input an output of its own")
    return tuple(_apart(placed(table, i), str(placed(table, o))) for i, o in pairs)


def _apart(source: Any, output: str) -> tuple[Any, str]:
    """Check that a job does not write over what it reads."""
    if output in (source if isinstance(source, list) else [source]):
        raise ReadError(f"{output} is both input and output, so the job would write over what it reads; give another output")
    return source, output


def placed(file: Path, told: Any) -> Any:
    """Read relative paths from the folder of the file; leave URLs alone."""
    if isinstance(told, list):
        return [placed(file, one) for one in told]
    text = str(told)
    return text if "://" in text else str(file.parent / Path(text).expanduser())
