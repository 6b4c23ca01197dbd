"""The suites of evidence: which command prints it, how long it takes, and what it printed last.

A suite's output is kept as it was printed, in ``benchmarks/results/NAME.json``, with the machine, its load and the commit.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from benchmarks.proofs import FILES
from xsentinel.kernels.threads import n_cores

RESULTS = Path(__file__).with_name("results")
ROOT = Path(__file__).parents[1]


PROVING = rf"PASSED tests/(?:{'|'.join(map(re.escape, FILES))})"
"""Lines of tests that prove a claim."""

SUMS = r"FAILED|ERROR|[\d.]+s call +tests/test_notebooks.py::test_a_notebook_runs|\d+ passed|\d+ failed"
"""Lines of a run of tests that are kept beside these."""


@dataclass(frozen=True)
class Suite:
    """A command of this repository that prints figures."""

    name: str
    what: str
    """One line on what it measures."""
    command: str
    """As typed after ``python -m``."""
    minutes: int
    """What it took on two cores, about."""
    peers: str = ""
    """What ``pip install`` brings the peers; those that are not there are left out of the output."""
    data: bool = False
    """Whether it needs the folder named by XSENTINEL_DATA."""


def timed(module: str) -> str:
    """Give the command of a module of pytest-benchmark."""
    return f"pytest benchmarks/{module}.py --benchmark-enable --benchmark-quiet -q -p no:cacheprovider"


ALL_TESTS = "pytest -n auto --dist loadfile -q -p no:cacheprovider"

SUITES = (
    Suite(
        "tests", "all tests, and those that prove what no figure shows", f"{ALL_TESTS} -rA --show-capture=no --durations=0", 12, data=True
    ),
    Suite(
        "coverage",
        "lines that the tests go through; what numba compiles is not traced, and left out",
        f"{ALL_TESTS} --cov=xsentinel --cov-report=term",
        15,
        data=True,
    ),
    Suite("sl2p", "SL2P on a whole tile, and from Zarr to Zarr", timed("test_sl2p"), 5, "satellitetools earthengine-api xmltodict"),
    Suite("time", "medians, geomedians, filling and percentiles of series", timed("test_time"), 6, "bottleneck whittaker-eilers geomad"),
    Suite("inference", "the U-Net over a whole tile, with samples, and from Zarr to Zarr", timed("test_inference"), 15),
    Suite("inference-bf16", "the U-Net over a whole tile in bfloat16 and float32", timed("test_inference") + " -k test_bf16", 2),
    Suite("reading", "a date from JPEG 2000, and a hundred products opened", timed("test_reading"), 6, "odc-stac", data=True),
    Suite("smooth", "smoothing of class maps, and their assessment", timed("test_smooth"), 3, "scikit-image"),
    Suite("crops-speed", "classifiers of series over a map", timed("test_crops"), 15, "scikit-learn"),
    Suite("landcover-speed", "FG-UNET over a map", timed("test_landcover") + " --benchmark-timer=time.process_time", 10),
    Suite("fusion-speed", "LAI under clouds over a series", timed("test_fusion"), 4),
    Suite("accuracy", "SL2P's test cases, the qvidja fields, hidden observations", "benchmarks.accuracy", 2, data=True),
    Suite("lai-unet", "the shipped U-Net against SL2P on each source", "benchmarks.lai_model rescore lai-unet", 10, data=True),
    Suite(
        "lai-left-out",
        "the U-Net without a source, on that source",
        "benchmarks.lai_model train FOLDER --steps 4000 --leave-out SOURCE",
        60,
        data=True,
    ),
    Suite("platforms", "SL2P's answers for S2A and S2B on the same pixels", "benchmarks.lai_model platforms", 2, data=True),
    Suite("batch", "large jobs: planning, overhead, memory, two workers, Europe on paper", "benchmarks.batch", 8),
    Suite("batch-tile", "a full tile from simulated land to packed maps by xsentinel run", "benchmarks.batch tile", 8),
    Suite("scale", "virtual cubes of 6, 20 and 58 GB through the temporal chain", "benchmarks.scale", 5),
    Suite("samples", "samples drawn from and extracted out of a large cube", "benchmarks.samples", 2),
    Suite("parcels", "statistics of parcels beside exactextract and rasterstats", "benchmarks.parcels --side 2745", 5, "rasterstats"),
    Suite("phenology", "seasons by a fitted curve", "benchmarks.phenology --side 32 --seeds 2 --few 100", 5, data=True),
    Suite("explore-speed", "opening and zooming the interactive map", timed("test_explore"), 1),
    Suite("simulate", "simulated landscapes beside real cubes", "benchmarks.simulate", 8, data=True),
    Suite("simulate-table", "the table of canopies against PROSAIL", "benchmarks.simulate_table --check", 5, "prosail pyrsr --no-deps"),
    Suite("crops-canada", "classifiers of real crop series, five folds", "benchmarks.crops canada", 60, data=True),
    Suite("crops-ucr", 'TempCNN on UCR "Crop", five folds', "benchmarks.crops ucr tempcnn", 60, data=True),
    Suite("crops-findings", "Weikmann's Table 1 on simulated tiles", "benchmarks.crops_simulated findings", 30),
    Suite("crops-reliable", "what reliable samples give back", "benchmarks.crops_simulated reliable", 30),
    Suite(
        "landcover",
        "Stoian's networks and forests on simulated and real land",
        "benchmarks.landcover table findings train real",
        90,
        data=True,
    ),
    Suite(
        "landcover-pipeline",
        "training from Zarr and from memory",
        "benchmarks.landcover_pipeline --side 512 --rounds 1 --epochs 3 --steps 2",
        10,
    ),
    Suite(
        "landcover-scaling", "training by one process and two", "benchmarks.landcover_pipeline --scaling --side 512 --epochs 3 --steps 1", 5
    ),
    Suite("fusion", "Table 1 of Wang et al. on simulated land", "benchmarks.fusion simulated --steps 1600 --pretraining 700", 120),
    Suite("fusion-real", "the fusion trained on the real site alone", "benchmarks.fusion real --steps 250", 30, data=True),
    Suite("fusion-shipped", "the shipped fusion model under clouds", "benchmarks.fusion rescore lai-fusion", 10, data=True),
    Suite("dynamics", "Table 1 of Estopinan et al. on Hapke's spectra", "benchmarks.dynamics table", 15),
    Suite("dynamics-real", "forecasts of real series by model and baseline", "benchmarks.dynamics real", 20, data=True),
    Suite("dynamics-gaps", "long gaps of the forest bridged", "benchmarks.dynamics gaps", 10, data=True),
    Suite("dynamics-speed", "a million pixels rolled out", "benchmarks.dynamics speed", 3),
)


@dataclass(frozen=True)
class Result:
    """What a suite printed, and where."""

    suite: str
    command: str
    date: str
    machine: str
    load: str
    """Processes that ran at the start, beside ours, of all cores; crowded machines tell ratios, not times."""
    version: str
    seconds: float | None
    output: list[str]
    note: str = ""


def machine() -> str:
    """Name the processor, its cores, and whether it multiplies bfloat16."""
    told = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    name = re.search(r"model name\s*: (.*)", told)
    units = next((f", {u.upper()}" for u in ("amx_bf16", "avx512_bf16") if u in told), ", no units for bfloat16")
    return f"{n_cores()} cores of {name[1] if name else 'a processor'}{units}"


def load() -> str:
    """Tell how busy the machine was in the last minute."""
    return f"{os.getloadavg()[0]:.1f} of {n_cores()} cores busy" if hasattr(os, "getloadavg") else "not known"


def version() -> str:
    """Name the commit, with "+" where files differ from it."""
    done = subprocess.run(["git", "describe", "--always", "--dirty=+"], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "not a clone"


def carry_out(suite: Suite) -> Result:
    """Run a suite, print its output as it comes, and keep it."""
    before, start = load(), perf_counter()
    command = [sys.executable, "-m", *shlex.split(suite.command)]
    lines = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line.rstrip())
    if process.returncode:
        raise SystemExit(f"{suite.name} ended with {process.returncode}; nothing was kept of it")
    result = Result(
        suite.name,
        suite.command,
        f"{datetime.now(UTC):%Y-%m-%d}",
        machine(),
        before,
        version(),
        round(perf_counter() - start, 1),
        trim(lines),
    )
    save(result)
    return result


def trim(lines: list[str]) -> list[str]:
    """Keep figures: of benchmarks their groups, of tests what proves a claim, how long notebooks took, and the sums."""
    if any(line.startswith("PASSED") for line in lines):
        proofs = Counter(line.partition(" - ")[0].partition("[")[0] for line in lines if re.match(PROVING, line))
        sums = [line for line in lines if re.match(SUMS, line)]
        return [*(f"{name} {n}" for name, n in sorted(proofs.items())), *sums]
    if any(line.startswith("TOTAL ") for line in lines):
        return [line for line in lines if re.match(r"TOTAL |FAILED|ERROR|\d+ passed|\d+ failed", line)]
    noise = re.compile(r"^[.sxF]+\s+\[|^=+|^\d+ (passed|skipped)|^SKIPPED|^$|^-+ generated")
    kept = [line for line in lines if not noise.match(line)] if any(re.search(r"\d+ passed", line) for line in lines) else lines
    while kept and not kept[-1]:
        kept = kept[:-1]
    return kept


def save(result: Result) -> None:
    """Keep what a suite printed."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{result.suite}.json").write_text(json.dumps(asdict(result), indent=1, ensure_ascii=False) + "\n")


def results() -> dict[str, Result]:
    """Read what the suites printed last, in their order."""
    kept = {s.name: RESULTS / f"{s.name}.json" for s in SUITES}
    return {name: Result(**json.loads(path.read_text())) for name, path in kept.items() if path.exists()}
