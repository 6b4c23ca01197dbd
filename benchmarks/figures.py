"""Find figures in what a suite printed: a cell of a Markdown table, a row of a benchmark, or a pattern."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

Find = Callable[[str], float | None]


def number(text: str) -> float | None:
    """Read the first number of a text; "1,234" is one, "·" and "×" are not."""
    found = re.search(r"[-−+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?", text)
    return float(found[0].replace(",", "").replace("−", "-")) if found else None


def seen(pattern: str) -> Find:
    """Find the group of a pattern, of its alternatives the one that is there; lines are told apart."""

    def find(text: str) -> float | None:
        found = re.search(pattern, text, re.M)
        return number(next(g for g in found.groups() if g is not None)) if found else None

    return find


def cell(row: str, column: str, table: str = "") -> Find:
    """Find a cell by patterns of its row's first cell and of its column's head; of the table whose head holds a pattern."""

    def find(text: str) -> float | None:
        heads: list[str] = []
        for line in text.splitlines():
            cells = [c.strip().strip("*") for c in line.strip().strip("|").split("|")] if line.startswith("|") else []
            if not cells:
                heads = []
            elif not heads:
                heads = cells if re.search(table, line) else ["-"]
            elif re.search(row, cells[0]):
                k = next((k for k, head in enumerate(heads) if k and re.search(column, head)), None)
                if k is not None and k < len(cells):
                    return number(cells[k])
        return None

    return find


def _row(group: str, what: str, end: str) -> Find:
    """Find a figure in the row of a benchmark, within the group whose heading begins so."""

    def find(text: str) -> float | None:
        inside = False
        for line in text.splitlines():
            if not line.startswith("  "):
                inside = line.startswith(group)
            elif inside and line.strip().startswith(what) and (found := re.search(end, line.partition(what)[2])):
                return number(found[1])
        return None

    return find


def seconds(group: str, what: str) -> Find:
    """Find the median of a benchmark."""
    return _row(group, what, r"([\d.]+) s ")


def beside(group: str, what: str) -> Find:
    """Find how many times ours a peer takes, a pixel or value each."""
    return _row(group, what, r"([\d.]+) × ours")


def share(group: str, what: str) -> Find:
    """Find what share of a limit we reach, per cent."""
    return _row(group, what, r"([\d.]+) % of the limit")


def note(group: str, what: str, name: str) -> Find:
    """Find a figure that a benchmark notes beside its time, such as its peak of memory."""
    return _row(group, what, rf"{name} ([\d.]+)")


def both(reckon: Callable[[float, float], float], first: Find, second: Find) -> Find:
    """Reckon with two figures."""

    def find(text: str) -> float | None:
        a, b = first(text), second(text)
        return None if a is None or b is None else reckon(a, b)

    return find


def reckoned(reckon: Callable[[float], float], found: Find) -> Find:
    """Reckon with one figure."""
    return both(lambda a, _: reckon(a), found, found)


def either(first: Find, second: Find) -> Find:
    """Find a figure in what a command prints, or in what README kept of an earlier run."""

    def find(text: str) -> float | None:
        found = first(text)
        return second(text) if found is None else found

    return find


ratio = partial(both, lambda a, b: a / b)
less = partial(both, lambda a, b: 100 * (1 - a / b))
"""How much less the first is, per cent of the second."""
apart = partial(both, lambda a, b: a - b)


def greatest(*finds: Find) -> Find:
    """Take the greatest of several figures; all must be there."""

    def find(text: str) -> float | None:
        found = [f(text) for f in finds]
        return None if None in found else max(f for f in found if f is not None)

    return find


def least(*finds: Find) -> Find:
    """Take the least of several figures; all must be there."""

    def find(text: str) -> float | None:
        found = [f(text) for f in finds]
        return None if None in found else min(f for f in found if f is not None)

    return find


def passed(*tests: str) -> Find:
    """Count the tests that passed whose names begin so; None if one of them failed or none ran."""

    def find(text: str) -> float | None:
        lines = [line.split(" ") for line in text.splitlines() if re.match("PASSED|FAILED|ERROR", line)]
        of = [(word, rest) for word, name, *rest in lines if name.startswith(tests)]
        every = all(any(name.startswith(t) for _, name, *_ in lines) for t in tests)
        failed = any(word != "PASSED" for word, _ in of)
        return float(sum(int(rest[0]) if rest else 1 for _, rest in of)) if of and every and not failed else None

    return find


def total(pattern: str) -> Find:
    """Add the groups of all lines that hold a pattern."""

    def find(text: str) -> float | None:
        found = [float(value) for value in re.findall(pattern, text, re.M)]
        return sum(found) if found else None

    return find
