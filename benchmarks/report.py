"""One page of evidence: every target of every issue, its figure, its peer, and whether it passes.

python -m benchmarks.report --list               # the suites, and what each takes
python -m benchmarks.report SUITE ...            # run these, keep what they print, write the page
python -m benchmarks.report all                  # all of them: most of a day
python -m benchmarks.report                      # write the page from what the suites printed last

The page is ``benchmarks/REPORT.md``; the table "Measured" in README is written from the same figures.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.suites import ROOT, SUITES, Result, Suite, carry_out, results
from benchmarks.targets import ISSUES, TARGETS, Target

PAGE = Path(__file__).with_name("REPORT.md")
START, END = "<!-- measured -->", "<!-- /measured -->"


@dataclass(frozen=True)
class Verdict:
    """A target beside what was reached."""

    target: Target
    result: Result | None

    @cached_property
    def figure(self) -> float | None:
        """What the suite's output holds, or None if it was not run or does not hold it."""
        return self.target.find("\n".join(self.result.output)) if self.result else None

    @property
    def said(self) -> str:
        """Say what came out: pass, short, shown (where nothing was asked), or why there is no figure."""
        if self.result is None:
            return "not run"
        if self.figure is None:
            return "not in the output"
        return "shown" if not self.target.asked else "pass" if self.target.passes(self.figure) else "**short**"

    @property
    def reached(self) -> str:
        """Write the figure with its unit."""
        return "–" if self.figure is None else f"{self.figure:.4g} {self.target.unit}".strip()


def verdicts(known: Mapping[str, Result]) -> list[Verdict]:
    """Set each target beside what its suite printed."""
    return [Verdict(t, known.get(t.suite)) for t in TARGETS]


def table(rows: Sequence[Sequence[str]], heads: Sequence[str]) -> Iterator[str]:
    """Write a Markdown table."""
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def page(known: Mapping[str, Result]) -> str:
    """Write the whole page."""
    return "\n".join([*opening(known), *by_issue(known), *outputs(known)]) + "\n"


def opening(known: Mapping[str, Result]) -> Iterator[str]:
    """Write title, how to make the page again, and the count of passes an issue."""
    yield "# Evidence\n"
    yield "Written by `python -m benchmarks.report` from what the suites printed; `python -m benchmarks.report SUITE` runs one again."
    yield "Absolute times drift on shared machines, ratios carry over. **short** means that the figure misses what was asked.\n"
    found = verdicts(known)
    rows = []
    for issue, title in ISSUES.items():
        said = [v.said for v in found if v.target.issue == issue]
        missing = sum(s.startswith("not") for s in said)
        rows.append([title, *(str(said.count(s)) for s in ("pass", "**short**", "shown")), str(missing)])
    yield from table(rows, ("part", "pass", "short", "shown, nothing asked", "no figure"))


def by_issue(known: Mapping[str, Result]) -> Iterator[str]:
    """Write a table of targets for each issue."""
    for issue, title in ISSUES.items():
        yield f"## {title}\n"
        rows = [
            [v.target.what, v.target.asked or "–", v.reached, v.said, f"[{v.target.suite}](#{v.target.suite})"]
            for v in verdicts(known)
            if v.target.issue == issue
        ]
        yield from table(rows, ("what", "asked", "reached", "", "suite"))


def outputs(known: Mapping[str, Result]) -> Iterator[str]:
    """Write what each suite printed, with where and when."""
    yield "# What the suites printed\n"
    for suite in SUITES:
        yield f"## {suite.name}\n"
        yield f"{suite.what[0].upper()}{suite.what[1:]}: `{typed(suite)}`\n"
        result = known.get(suite.name)
        yield from printed(result) if result else ["Not run yet.\n"]


def typed(suite: Suite) -> str:
    """Give a suite's command as one types it."""
    command = suite.command if suite.command.startswith("pytest") else f"python -m {suite.command}"
    return f"XSENTINEL_DATA=… {command}" if suite.data else command


def printed(result: Result) -> Iterator[str]:
    """Write one result: Markdown as it is, other output as code."""
    took = "" if result.seconds is None else f", in {result.seconds:.0f} s"
    yield f"{result.date}, {result.version}, {result.machine}; before the start {result.load}{took}. {result.note}".rstrip() + "\n"
    markdown = any(line.startswith("|---") for line in result.output)
    yield "\n".join(result.output) if markdown else "\n".join(["```text", *result.output, "```"])
    yield ""


def front(known: Mapping[str, Result]) -> str:
    """Write README's table: the targets that say what a reader asks first."""
    rows, base = [], ""
    for v in verdicts(known):
        base = base if v.target.what.startswith("…") else re.split(" beside |: ", v.target.what)[0]
        if v.target.front:
            named = re.sub(r"^…(?! beside| of)", f"{base},", v.target.what).replace("…", base)
            rows.append([named, v.target.asked or "–", v.reached, v.said, f"`{v.target.suite}`"])
    return "\n".join([START, *table(rows, ("what", "asked", "reached", "", "suite")), END])


def write(known: Mapping[str, Result]) -> None:
    """Write the page, and README's table."""
    PAGE.write_text(page(known))
    readme = ROOT / "README.md"
    text = readme.read_text()
    if START in text:
        readme.write_text(re.sub(f"{START}.*?{END}", lambda _: front(known), text, flags=re.S))


def main(words: Sequence[str] | None = None) -> None:
    """Run the suites that are named, then write the page."""
    parser = argparse.ArgumentParser("benchmarks.report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help="one or more of --list, or all")
    parser.add_argument("--list", action="store_true", help="print the suites, and about how long each takes")
    told = parser.parse_args(words)
    if told.list:
        for suite in SUITES:
            print(f"{suite.name:<20}{suite.minutes:4d} min  {suite.what}" + (f" (peers: pip install {suite.peers})" if suite.peers else ""))
        return
    if unknown := set(told.suites) - {"all", *(s.name for s in SUITES)}:
        parser.error(f"there is no suite {', '.join(sorted(unknown))}; --list names them")
    for suite in SUITES:
        if suite.name in told.suites or "all" in told.suites:
            carry_out(suite)
    write(results())
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
