"""Every figure that an issue asked for: what, how much, and where in a suite's output it stands."""

from __future__ import annotations

import operator
from dataclasses import dataclass

from benchmarks.figures import (
    Find,
    apart,
    beside,
    both,
    cell,
    either,
    greatest,
    least,
    less,
    note,
    number,
    passed,
    ratio,
    reckoned,
    seconds,
    seen,
    share,
    total,
)
from benchmarks.proofs import PROOFS

ISSUES = {
    2: "SL2P and the cube",
    3: "Time: medians, filling, statistics",
    4: "Networks over cubes, and the U-Net of leaf area",
    5: "Reading products",
    6: "Large jobs",
    7: "Simulated landscapes",
    8: "Crop types",
    9: "Land cover",
    10: "Leaf area under clouds",
    11: "Forecasts of spectra",
    12: "For people: fields, pictures, notebooks, tests",
}
"""Parts of the package, by the issue that set their targets."""

SIGNS = {"≤": operator.le, "≥": operator.ge, "<": operator.lt, ">": operator.gt}


@dataclass(frozen=True)
class Target:
    """What an issue asks for, and where the figure is found."""

    issue: int
    what: str
    asked: str
    """A bound such as "≤ 0.3"; empty where a figure is only to be shown."""
    unit: str
    suite: str
    find: Find
    front: bool = False
    """Whether README's table has it."""

    def passes(self, figure: float) -> bool:
        """Hold a figure against what was asked."""
        bound = number(self.asked)
        assert bound is not None
        return bool(SIGNS[self.asked[0]](figure, bound))


TILE, JOB = "SL2P, one 20 m tile", "SL2P LAI, one 20 m tile, Zarr to Zarr"
CASE = r"^  S2[AB] 20m {} +\d+ cases +(\S+)"
MEDIAN, COUNTS, GEO, FILL, WHIT, PCT = (
    "Monthly median, float32",
    "Monthly median, uint16",
    "Monthly geomedian",
    "Linear filling",
    "Whittaker",
    "Percentiles",
)
UNET, SAMPLES, UNET_JOB = "U-Net LAI, one 20 m tile, ten", "U-Net LAI with 30", "U-Net LAI, one 20 m tile, Zarr to Zarr"
JP2 = "one date of nine bands"
BF16 = "U-Net LAI, one 20 m tile, bf16"
LSTM = "LSTM 200-125-100"
FG = "FG-UNET"
CLOUDS = "LAI under clouds"
CLOUDY, ELSEWHERE = r"^cloudy(: RMSE)?$", r"^other area, cloudy(: RMSE)?$"
NATURAL = "^real, natural clouds|^cloudy"
OURS = "ours|carried"
"""Heads of tables on each pixel's last two clear dates, as README and the command have them."""
FROM_ZARR, FROM_MEMORY = seen(r"([\d.]+) patches a second, from memory"), seen(r"a second, from memory ([\d.]+)")
LATER, LATER_LAST = seen(r"and ([\d.]+) against [\d.]+ on later"), seen(r"and [\d.]+ against ([\d.]+) on later")
HORIZON = r"\S+ \(\S+\) +"


SL2P = (
    Target(2, "SL2P test cases, LAI: largest error", "≤ 4e-4", "", "accuracy", seen(CASE.format("lai")), True),
    Target(2, "SL2P test cases, fAPAR: largest error", "≤ 2.5e-4", "", "accuracy", seen(CASE.format("fapar"))),
    Target(2, "SL2P test cases, fCover: largest error", "≤ 2.5e-4", "", "accuracy", seen(CASE.format("fcover"))),
    Target(2, "SL2P test cases, chlorophyll: largest error", "≤ 0.12", "µg cm⁻²", "accuracy", seen(CASE.format("ccc"))),
    Target(2, "SL2P kernel, LAI with flags, one 20 m tile", "≤ 0.3", "s", "sl2p", seconds(TILE, "xsentinel kernel, lai"), True),
    Target(2, "… beside vectorised numpy", "≥ 10", "×", "sl2p", beside(TILE, "numpy")),
    Target(2, "… beside satellitetools", "≥ 80", "×", "sl2p", beside(TILE, "satellitetools"), True),
    Target(2, "… of the speed of a memory copy", "", "%", "sl2p", share(TILE, "memory copy")),
    Target(
        2,
        "all five variables with flags, beside LAI alone",
        "≤ 4",
        "×",
        "sl2p",
        ratio(seconds(TILE, "xsentinel kernel, all five"), seconds(TILE, "xsentinel kernel, lai")),
    ),
    Target(
        2,
        "Zarr to Zarr, beside only reading and writing",
        "≤ 1.5",
        "×",
        "sl2p",
        ratio(seconds(JOB, "open → lai"), seconds(JOB, "read inputs")),
        True,
    ),
    Target(2, "… peak memory", "≤ 1.5", "GB", "sl2p", note(JOB, "open → lai", "peak")),
)

TIME = (
    Target(3, "monthly median beside xarray groupby", "≥ 100", "×", "time", beside(MEDIAN, "xarray groupby, without bottleneck"), True),
    Target(3, "… beside xarray groupby with bottleneck", "", "×", "time", beside(MEDIAN, "xarray groupby, with bottleneck")),
    Target(3, "… beside bottleneck a month, same cores", "≥ 5", "×", "time", beside(MEDIAN, "bottleneck a month"), True),
    Target(3, "… of the speed of a memory copy", "", "%", "time", share(MEDIAN, "memory copy")),
    Target(3, "… the same from uint16", "", "%", "time", share(COUNTS, "memory copy")),
    Target(3, "linear filling beside xarray interpolate_na", "≥ 150", "×", "time", beside(FILL, "xarray interpolate_na"), True),
    Target(3, "… of the speed of a memory copy", "≥ 25", "%", "time", share(FILL, "memory copy")),
    Target(
        3,
        "Whittaker, gaps of each pixel's own, beside whittaker-eilers",
        "≥ 8",
        "×",
        "time",
        beside(WHIT, "whittaker-eilers, own gaps"),
        True,
    ),
    Target(3, "… beside its one factorisation for all", "≥ 8", "×", "time", beside(WHIT, "whittaker-eilers, one")),
    Target(
        3,
        "geomedian beside geomad (odc-algo's engine), eps 1e-4",
        "≥ 2",
        "×",
        "time",
        beside(GEO, "geomad (odc-algo's engine), eps 0.0001"),
        True,
    ),
    Target(3, "… at eps 1e-6", "≥ 2", "×", "time", beside(GEO, "geomad (odc-algo's engine), eps 1e-06")),
    Target(3, "exact percentiles beside xarray quantile", "≥ 20", "×", "time", beside(PCT, "xarray quantile"), True),
    Target(
        3,
        "58 GB through mask, statistics, composite, filling: peak memory",
        "≤ 2",
        "GB",
        "scale",
        seen(r"^ +5\d\.\d GB.*peak ([\d.]+) GB|^\| 57.9 GB .* ([\d.]+) GB"),
        True,
    ),
    Target(
        3,
        "… seconds a GB, beside those of 6 GB",
        "≤ 1.1",
        "×",
        "scale",
        either(
            ratio(seen(r"^ +[56]\.\d GB.*?([\d.]+) GB/s"), seen(r"^ +5\d\.\d GB.*?([\d.]+) GB/s")),
            both(lambda a, b: b / 57.9 / (a / 6.4), cell("^6.4 GB", "seconds"), cell("^57.9 GB", "seconds")),
        ),
    ),
)

NETWORKS = (
    Target(4, "`lai-unet`, places held out, against SL2P: R²", "≥ 0.995", "", "lai-left-out", cell("places held out", "^R²")),
    Target(4, "… mean distance", "≤ 0.05", "LAI", "lai-left-out", cell("places held out", "mean distance"), True),
    Target(
        4,
        "a source left out of training, the worst of three: r",
        "≥ 0.998",
        "",
        "lai-left-out",
        least(*(cell(f"without {s}", "^r$") for s in ("BigEarthNet", "WorldCereal", "Zürich"))),
    ),
    Target(
        4,
        "… R²",
        "≥ 0.995",
        "",
        "lai-left-out",
        least(*(cell(f"without {s}", "^R²") for s in ("BigEarthNet", "WorldCereal", "Zürich"))),
        True,
    ),
    Target(
        4,
        "… mean distance",
        "≤ 0.05",
        "LAI",
        "lai-left-out",
        greatest(*(cell(f"without {s}", "mean distance") for s in ("BigEarthNet", "WorldCereal", "Zürich"))),
    ),
    Target(
        4,
        "… coverage of the 95 % interval, the least",
        "≥ 93",
        "%",
        "lai-left-out",
        least(*(cell(f"without {s}", "interval holds") for s in ("BigEarthNet", "WorldCereal", "Zürich"))),
    ),
    Target(
        4,
        "… coverage, the greatest",
        "≤ 97",
        "%",
        "lai-left-out",
        greatest(*(cell(f"without {s}", "interval holds") for s in ("BigEarthNet", "WorldCereal", "Zürich"))),
    ),
    Target(
        4,
        "U-Net LAI, one 20 m tile, fp32",
        "≤ 16",
        "s",
        "inference",
        either(seconds(UNET, "cube.s2.lai"), cell(r"lai\(model=.unet.\)", "^seconds")),
        True,
    ),
    Target(
        4,
        "… of the bare network at its best window",
        "≥ 90",
        "%",
        "inference",
        either(share(UNET, "bare folded network"), cell("the bare network", "^beside")),
    ),
    Target(
        4,
        "… beside the plain torch module at its best window",
        "",
        "×",
        "inference",
        either(beside(UNET, "plain torch module"), cell("plain torch module", "^beside")),
    ),
    Target(
        4,
        "… share of pixels that are halo",
        "≤ 15",
        "%",
        "inference",
        either(note(UNET, "cube.s2.lai", "halos"), seen(r"halos (\d+) % of the pixels")),
    ),
    Target(4, "… in bf16", "≤ 8", "s", "inference-bf16", seconds(BF16, "bf16")),
    Target(
        4,
        "30 Monte Carlo samples beside one pass",
        "≤ 12",
        "×",
        "inference",
        either(ratio(seconds(SAMPLES, "30 samples"), seconds(SAMPLES, "one pass")), cell("^30 Monte", "^beside")),
        True,
    ),
    Target(
        4,
        "Zarr to Zarr with 30 samples: peak memory",
        "≤ 3",
        "GB",
        "inference",
        either(note(UNET_JOB, "open → lai(model=unet, samples=30)", "peak"), seen(r"peak memory [\d.]+; ([\d.]+) GB")),
    ),
)

READING = (
    Target(5, "one date from JPEG 2000, beside rasterio alone: of its speed", "≥ 87", "%", "reading", share(JP2, "rasterio"), True),
    Target(5, "odc-stac beside ours", "", "×", "reading", beside(JP2, "odc-stac"), True),
    Target(5, "a hundred products opened lazily", "< 5", "s", "reading", seconds("opening 100 dates", "xs.open"), True),
)

JOBS = (
    Target(6, "a virtual cube of 1 TB planned", "≤ 2", "s", "batch", seen(r"TB planned in ([\d.]+) s|LAI: planning \| ([\d.]+) s"), True),
    Target(6, "… memory", "≤ 300", "MB", "batch", seen(r"TB planned in .* with (\d+) MB|LAI: planning \| .*, (\d+) MB")),
    Target(
        6,
        "… a hundredth of its blocks run: peak memory",
        "≤ 2",
        "GB",
        "batch",
        seen(r"spread over the scene(?:: .*peak| \|) ([\d.]+) GB"),
        True,
    ),
    Target(
        6,
        "overhead of the runner beside a bare loop, median of five",
        "≤ 5",
        "%",
        "batch",
        either(seen(r"median of five: (\S+) %"), reckoned(lambda a: 100 * (a - 1), seen(r"its time, median ([\d.]+)"))),
    ),
    Target(6, "two worker processes beside one", "≥ 1.8", "×", "batch", seen(r"(?:two are|only computes \|) ([\d.]+) ×"), True),
    Target(
        6,
        "a full tile of six dates, mask to packed U-Net maps, 10 samples",
        "",
        "s",
        "batch-tile",
        seen(r'(?:"seconds": |run` \| )([\d.]+)'),
    ),
)

SIMULATED = (
    Target(7, "1024² × 73 dates × ten bands simulated", "≤ 90", "s", "simulate", seen(r"^  all[^\n]*?([\d.]+)$|to (\d+) s in six runs")),
    Target(
        7,
        "SL2P against true LAI, clear fields: RMSE (published theory 0.89)",
        "",
        "LAI",
        "simulate",
        seen(r"(?:fields +RMSE|clear fields: RMSE.*?\|) ([\d.]+)"),
        True,
    ),
    Target(
        7,
        "table of canopies against PROSAIL: largest RMSE of a band",
        "",
        "· 10³",
        "simulate-table",
        either(seen(r"RMSE[^\n|]*?([\d.]+)$"), reckoned(lambda a: 1000 * a, seen(r"RMSE; largest \| [\d.]+ to ([\d.]+)"))),
    ),
)

CROPS = (
    Target(
        8,
        "Canada, seven crops, folds by H3 cell: macro-F1 of the default above a tuned forest",
        "≥ 2",
        "points",
        "crops-canada",
        apart(cell("^L-TAE", "^macro-F1 %$"), cell("forest, tuned", "^macro-F1 %$")),
        True,
    ),
    Target(8, "… overall accuracy of the default", "", "%", "crops-canada", cell("^L-TAE", "^OA %$"), True),
    Target(8, "… of the paper's LSTM as the paper trains it", "", "%", "crops-canada", cell("as the paper trains it", "^OA %$")),
    Target(
        8,
        'UCR "Crop", TempCNN, five folds (hidden test asked)',
        "≥ 76",
        "%",
        "crops-ucr",
        seen(r"TempCNN OA ([\d.]+) %|TempCNN \| ([\d.]+)"),
        True,
    ),
    Target(
        8,
        "12 composites instead of the whole series: loss of accuracy",
        "",
        "points",
        "crops-findings",
        apart(cell("^whole series", "^OA %"), cell("12 composites", "^OA %")),
    ),
    Target(8, "20 % wrong labels, after selection", "", "%", "crops-reliable", seen(r"^\| 20 %[^|]*\| [\d.]+ → ([\d.]+)")),
    Target(
        8,
        "LSTM 200-125-100, fp32: of the bare network",
        "≥ 90",
        "%",
        "crops-speed",
        either(share(f"{LSTM}, one core, fp32", "bare network"), cell("^LSTM 200.*fp32", "bare network")),
    ),
    Target(
        8,
        "LSTM 200-125-100, bf16: of the bare network",
        "≥ 90",
        "%",
        "crops-speed",
        either(share(f"{LSTM}, one core, bf16", "bare network"), cell("^LSTM.*bf16", "bare network")),
    ),
    Target(
        8,
        "random forest of 500 trees: scikit-learn beside ours",
        "",
        "×",
        "crops-speed",
        either(beside("Forest", "scikit-learn"), seen(r"scikit-learn 116: ([\d.]+) ×")),
    ),
)

LANDCOVER = (
    Target(9, "FG-UNET (shipped), held-out parcels: kappa", "", "", "landcover", cell("landcover-simulated`: FG", "^kappa"), True),
    Target(9, "random forest on the same parcels: kappa", "", "", "landcover", cell("^random forest", "^kappa"), True),
    Target(
        9,
        "FG-UNET above U-Net at edges",
        "≥ 0",
        "points",
        "landcover",
        apart(cell("^FG-UNET$", "edges"), cell("^U-Net$", "edges")),
    ),
    Target(
        9,
        "training from Zarr beside training from memory",
        "≥ 0.9",
        "×",
        "landcover-pipeline",
        either(
            seen(r"ratio of the best: ([\d.]+)"), ratio(seen(r"([\d.]+) patches a second, from"), seen(r"a second, from memory ([\d.]+)"))
        ),
        True,
    ),
    Target(9, "two processes beside one", "", "×", "landcover-scaling", seen(r"([\d.]+) times (?:as many|one)")),
    Target(
        9,
        "FG-UNET over a map, fp32, beside the bare module",
        "",
        "×",
        "landcover-speed",
        either(beside(f"{FG}, fp32", "plain torch module"), seen(r"([\d.]+) and [\d.]+ times as fast")),
        True,
    ),
    Target(
        9, "… bf16", "", "×", "landcover-speed", either(beside(f"{FG}, bf16", "plain torch module"), seen(r"and ([\d.]+) times as fast"))
    ),
)

FUSION = (
    Target(
        10,
        "simulated, cloudy: RMSE below the last clear LAI",
        "≥ 25",
        "%",
        "fusion",
        less(cell("^all$", CLOUDY, OURS), cell("^last clear", CLOUDY, OURS)),
        True,
    ),
    Target(10, "… on other areas", "≥ 25", "%", "fusion", less(cell("^all$", ELSEWHERE, OURS), cell("^last clear", ELSEWHERE, OURS))),
    Target(
        10,
        "real site, later dates, cloudy: RMSE below the last clear LAI",
        "> 0",
        "%",
        "fusion-shipped",
        less(cell("lai-fusion", NATURAL), cell("last clear", NATURAL)),
        True,
    ),
    Target(
        10,
        "trained on the real site alone, held-out land: RMSE below the last clear LAI",
        "> 0",
        "%",
        "fusion-real",
        less(seen(r"RMSE is ([\d.]+) against"), seen(r"RMSE is [\d.]+ against ([\d.]+)")),
    ),
    Target(
        10,
        "… later dates",
        "> 0",
        "%",
        "fusion-real",
        less(LATER, LATER_LAST),
    ),
    Target(
        10,
        "over a series: of the bare network",
        "≥ 90",
        "%",
        "fusion-speed",
        either(share(CLOUDS, "bare folded network"), seen(r"\((\d+) to \d+ %\)")),
    ),
)

DYNAMICS = (
    *(
        Target(
            11,
            f"RK4, RMSE · 10³ at t + {h} (Table 1 of the paper)",
            f"≤ {asked}",
            "",
            "dynamics",
            seen(rf"^RK4, one step +{HORIZON * k}(\S+) \("),
            h == 36,
        )
        for k, (h, asked) in enumerate(((12, 0.45), (24, 3.01), (36, 2.33), (120, 33.6)), 1)
    ),
    Target(11, "… training", "≤ 600", "s", "dynamics", seen(r"^RK4, one step.* (\d+) s")),
    Target(11, "RK4 with rollouts: diverged by t + 1000", "≤ 0", "%", "dynamics", seen(r"^RK4, rollouts .*diverged (\d+)%")),
    Target(
        11,
        "a million pixels, 73 steps: of matrix products",
        "≥ 40",
        "%",
        "dynamics-speed",
        seen(r"2 threads: .* ([\d.]+)% of matrix|([\d.]+) % of matrix"),
        True,
    ),
)

FIELDS = (
    Target(
        12, "1000 fields × 70 dates: exactextract alone beside ours", "", "×", "parcels", seen(r"^exactextract.*?([\d.]+) × ours"), True
    ),
    Target(12, "… rasterstats beside ours", "", "×", "parcels", seen(r"^rasterstats.*?([\d.]+) × ours")),
    Target(12, "50,000 fields × 70 dates from Zarr: more memory", "", "MiB", "parcels", seen(r"from Zarr: .*?(\d+) MiB more")),
)

SUITE = (
    Target(12, "the test suite on two cores", "≤ 600", "s", "tests", seen(r"\d+ passed.* in ([\d.]+)s"), True),
    Target(12, "… of it all notebooks", "≤ 480", "s", "tests", total(r"^([\d.]+)s call +tests/test_notebooks")),
    Target(12, "lines that the tests go through, kernels left out", "≥ 92", "%", "coverage", seen(r"^TOTAL .* (\d+)%"), True),
    Target(12, "double logistic: scipy's curve_fit beside ours", "", "×", "phenology", seen(r"curve_fit.*?([\d.]+) ×"), True),
    Target(
        12, "a cube of 73 dates of 10980² opened for looking, nothing read", "", "s", "explore-speed", seconds("explore: a tile", "opened")
    ),
)

PROVEN = tuple(
    Target(issue, claim, "≥ 1", "tests passed", "tests", passed(*(f"tests/{t}" for t in tests))) for issue, claim, tests in PROOFS
)

TARGETS = (*SL2P, *TIME, *NETWORKS, *READING, *JOBS, *SIMULATED, *CROPS, *LANDCOVER, *FUSION, *DYNAMICS, *FIELDS, *SUITE, *PROVEN)
