"""Every notebook runs and answers its question by public names alone, and what it shows is from one whole run."""

from __future__ import annotations

import ast
import json
import re
from importlib import import_module
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import xsentinel

NOTEBOOKS = sorted((Path(xsentinel.__file__).parents[1] / "notebooks").glob("*.ipynb"))

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def cells_of(path: Path, kind: str = "code") -> list[dict]:
    return [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == kind]


@each_notebook
def test_a_notebook_runs_from_top_to_bottom(path):
    cells = cells_of(path)
    assert [c["execution_count"] for c in cells] == list(range(1, len(cells) + 1))
    names: dict[str, object] = {}
    for cell in cells:
        exec("".join(cell["source"]), names)
    plt.close("all")


@each_notebook
def test_a_notebook_asks_one_question_in_short_cells_and_asserts_the_answer(path):
    sources = ["".join(c["source"]) for c in cells_of(path)]
    title, _, rest = "".join(cells_of(path, "markdown")[0]["source"]).partition("\n")
    assert title.startswith("# ")
    assert title.endswith("?")
    assert "Here" in rest  # what the reader will have
    assert len(sources) <= 12
    assert max(len(source.splitlines()) for source in sources) <= 12
    assert any(isinstance(line, ast.Assert) for line in ast.parse(sources[-1]).body)
    assert "http" not in "".join(sources)


@each_notebook
def test_a_notebook_uses_public_names(path):
    tree = ast.parse("\n".join("".join(c["source"]) for c in cells_of(path)))
    hidden = [n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and n.attr.startswith("_")]
    assert not hidden
    for line in ast.walk(tree):
        if isinstance(line, ast.ImportFrom) and str(line.module).startswith("xsentinel"):
            assert {name.name for name in line.names} <= set(import_module(line.module).__all__)
        if isinstance(line, ast.Import):
            assert not [name.name for name in line.names if name.name.startswith("xsentinel.")]


@each_notebook
def test_a_notebook_keeps_figures_and_no_complaints(path):
    outputs = [output for cell in cells_of(path) for output in cell["outputs"]]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert {output["output_type"] for output in outputs} <= {"stream", "display_data", "execute_result"}
    assert {output.get("name", "stdout") for output in outputs} == {"stdout"}
    texts = ["".join(output.get("text", output.get("data", {}).get("text/plain", ""))) for output in outputs]
    assert not [text for text in texts if re.search(r"(?:^|[\s'\"(=])/\w+/", text)]  # paths of a machine


def test_what_readme_says_runs_as_it_stands(tmp_path, monkeypatch):
    readme = (Path(xsentinel.__file__).parents[1] / "README.md").read_text()
    block = readme.partition("this runs as it stands")[2].partition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(block.replace("(64, 64)", "(48, 48)"), names)
    plt.close("all")
    assert (tmp_path / "seasons.csv").read_text().startswith("parcel,year,")
    assert names["cover"].sizes == {"y": 48, "x": 48}
