"""Benchmarks of a group are set beside one another: seconds, ratio to ours, share of the limit."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest

from benchmarks.common import SMALL, TILE, Layout


@pytest.fixture(scope="session")
def layout(pytestconfig: pytest.Config) -> Layout:
    """A whole tile when measuring, a small scene when only run as tests."""
    return TILE if pytestconfig.getoption("benchmark_enable") else SMALL


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print, for each group, each contender's median beside that of the one whose role is 'ours'."""
    session = getattr(config, "_benchmarksession", None)
    groups: dict[str, list[Any]] = defaultdict(list)
    for bench in session.benchmarks if session else ():
        if bench.has_error or not bench.stats.data:
            continue
        groups[bench.group].append(bench)
    for group, benches in groups.items():
        ours = next((b for b in benches if b.extra_info.get("role") == "ours"), None)
        if ours is None:
            continue
        terminalreporter.write_line(f"\n{group}")
        for bench in benches:
            terminalreporter.write_line(_line(bench, ours))


def _line(bench: Any, best: Any) -> str:
    """Write seconds, rate, and the time beside ours: for the same number of pixels or values."""
    seconds, info = bench.stats.median, bench.extra_info
    unit = next((u for u in ("pixels", "values") if u in info), None)
    rate = f"{info[unit] / seconds / 1e6:9.1f} M{unit}/s" if unit else " " * 15
    ours = best.stats.median * (info[unit] / best.extra_info[unit] if unit else 1)
    beside = {"peer": f"{seconds / ours:8.1f} × ours", "limit": f"{100 * seconds / ours:7.0f} % of the limit reached"}
    rest = ", ".join(f"{k} {v}" for k, v in info.items() if k not in ("role", "pixels", "values", "what"))
    text = f"  {info.get('what', bench.name):<44}{seconds:9.3f} s {rate} {beside.get(info.get('role'), f'{seconds / ours:8.2f} × ours')}"
    return text + (f"  ({rest})" if rest else "")
