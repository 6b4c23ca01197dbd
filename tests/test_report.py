"""The page of evidence: figures are found where they stand, and page and README say what the suites printed."""

from __future__ import annotations

import re

import pytest

from benchmarks import report
from benchmarks.figures import apart, beside, cell, least, less, note, number, passed, ratio, seconds, seen, share, total
from benchmarks.suites import SUITES, Result, results, trim
from benchmarks.targets import ISSUES, TARGETS, Target

TIMED = """Median, two cores
  ours, ten bands                                 0.500 s     100.0 Mvalues/s     1.00 × ours  (peak 0.51 GB)
  numpy                                           9.750 s       5.1 Mvalues/s     19.5 × ours
  memory copy                                     0.110 s     450.0 Mvalues/s       22 % of the limit reached
Another, two cores
  numpy                                           1.000 s       5.1 Mvalues/s      2.0 × ours"""
TABLE = """| model | OA % | kappa |
|---|---:|---|
| **forest**, tuned | 62.1 | 0.955 (R² 0.9) |
| L-TAE | 72.5 | – |

| other | OA % |
|---|---|
| L-TAE | 1.5 |"""


def test_figures_of_benchmarks_are_those_of_their_group():
    assert seconds("Median", "ours")(TIMED) == 0.5
    assert beside("Median", "numpy")(TIMED) == 19.5
    assert beside("Another", "numpy")(TIMED) == 2.0
    assert share("Median", "memory copy")(TIMED) == 22
    assert note("Median", "ours", "peak")(TIMED) == 0.51
    assert ratio(seconds("Median", "numpy"), seconds("Median", "ours"))(TIMED) == 19.5
    assert seconds("Median", "scipy")(TIMED) is None
    assert beside("Another", "memory copy")(TIMED) is None


def test_cells_are_those_of_row_and_column():
    assert cell("^forest", "^OA")(TABLE) == 62.1
    assert cell("^forest", "kappa")(TABLE) == 0.955
    assert cell("^L-TAE", "^OA")(TABLE) == 72.5
    assert cell("^L-TAE", "^OA", "other")(TABLE) == 1.5
    assert cell("^L-TAE", "kappa")(TABLE) is None
    assert apart(cell("^L-TAE", "^OA"), cell("^forest", "^OA"))(TABLE) == pytest.approx(10.4)
    assert less(cell("^forest", "^OA"), cell("^L-TAE", "^OA"))(TABLE) == pytest.approx(100 * (1 - 62.1 / 72.5))
    assert least(cell("^L-TAE", "^OA"), cell("^L-TAE", "kappa"))(TABLE) is None


@pytest.mark.parametrize(("text", "found"), [("1,234 px", 1234), ("−0.5", -0.5), ("3.3e-4", 3.3e-4), ("≤ 12 ×", 12), ("none", None)])
def test_numbers(text, found):
    assert number(text) == found


def test_patterns_are_of_lines():
    assert seen(r"^ +b ([\d.]+)")("a 1\n  b 2.5") == 2.5
    assert seen(r"^b ([\d.]+)")("a b 2.5") is None


def test_a_proof_fails_with_one_of_its_tests():
    text = "PASSED tests/a.py::test_x 2\nPASSED tests/b.py::test_y 1"
    assert passed("tests/a.py")(text) == 2
    assert passed("tests/a.py::test_x", "tests/c.py")(text) is None
    assert passed("tests/a.py")(text + "\nFAILED tests/a.py::test_z") is None


def test_of_all_tests_proofs_and_sums_are_kept():
    lines = [
        "PASSED tests/test_parcels.py::test_x[1]",
        "PASSED tests/test_parcels.py::test_x[2]",
        "PASSED tests/test_bands.py::test_y",
        "12.50s call     tests/test_notebooks.py::test_a_notebook_runs_from_top_to_bottom[lai]",
        "4.00s call     tests/test_bands.py::test_y",
        "FAILED tests/test_bands.py::test_z - AssertionError",
        "3 passed, 1 failed in 20.5s",
    ]
    kept = "\n".join(trim(lines))
    assert kept.splitlines()[0] == "PASSED tests/test_parcels.py::test_x 2"
    assert "test_bands.py::test_y" not in kept
    assert "FAILED tests/test_bands.py::test_z" in kept
    assert total(r"^([\d.]+)s call +tests/test_notebooks")(kept) == 12.5
    assert trim(["a.py  10 1 90%", "TOTAL   100   8   92%", "5 passed in 3s"]) == ["TOTAL   100   8   92%", "5 passed in 3s"]


def test_output_of_pytest_is_its_figures():
    lines = ["....s  [100%]", "", "Median, two cores", "  ours  0.5 s", "1 skipped in", "12 passed, 1 skipped in 3 s"]
    assert trim(lines) == ["Median, two cores", "  ours  0.5 s"]
    assert trim(["printed", "", "  text", ""]) == ["printed", "", "  text"]


@pytest.mark.parametrize(
    ("asked", "figure", "said"), [("≤ 2", 2.0, "pass"), ("≤ 2", 2.1, "**short**"), ("> 0", 0.0, "**short**"), ("", 7.0, "shown")]
)
def test_verdicts(asked, figure, said):
    target = Target(2, "what", asked, "s", "sl2p", seen(r"took (\S+)"))
    result = Result("sl2p", "command", "2026-11-28", "machine", "idle", "1234", 1.0, [f"took {figure}"])
    assert report.Verdict(target, result).said == said
    assert report.Verdict(target, None).said == "not run"
    assert report.Verdict(Target(2, "what", asked, "s", "sl2p", seen("gave (.)")), result).said == "not in the output"


def test_targets_name_suites_and_issues():
    assert {t.suite for t in TARGETS} <= {s.name for s in SUITES}
    assert {t.issue for t in TARGETS} == set(ISSUES)
    assert all(not t.asked or re.fullmatch(r"[≤≥<>] [\d.e-]+", t.asked) for t in TARGETS)


@pytest.mark.parametrize("verdict", [v for v in report.verdicts(results()) if v.result], ids=lambda v: f"{v.target.suite}: {v.target.what}")
def test_every_figure_is_in_what_its_suite_printed(verdict):
    assert verdict.figure is not None


def test_page_and_readme_say_what_the_suites_printed():
    readme = (report.ROOT / "README.md").read_text()
    assert report.page(results()) == report.PAGE.read_text(), "run python -m benchmarks.report"
    assert report.front(results()) in readme, "run python -m benchmarks.report"


def test_words_that_are_no_suite(capsys):
    with pytest.raises(SystemExit):
        report.main(["slp2"])
    assert "no suite slp2" in capsys.readouterr().err
    report.main(["--list"])
    assert "sl2p" in capsys.readouterr().out
