"""The house: floors, sizes, a light import, faces that match what they call."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import xsentinel
from xsentinel import accessor

SOURCES = sorted(Path(xsentinel.__file__).parent.rglob("*.py"))
ROOT = Path(xsentinel.__file__).parents[1]


def test_import_is_light():
    heavy = ("torch", "rasterio", "matplotlib", "distributed", "numba", "spyndex", "panel", "bokeh")
    code = f"import sys, xsentinel; print(*[m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def functions(tree: ast.AST):
    return [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def body_lines(node: ast.FunctionDef) -> int:
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_modules_and_functions_are_small(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    long = {f.name: body_lines(f) for f in functions(ast.parse(text)) if body_lines(f) > 40}
    assert not long


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_nothing_is_called_utils(path):
    assert path.stem not in ("utils", "helpers", "misc", "tools", "common")


FACES = [
    (cls, name, member)
    for cls in (accessor.S2Dataset, accessor.S2DataArray, accessor.DatasetPlot, accessor.DataArrayPlot)
    for name, member in vars(cls).items()
    if hasattr(member, "__wrapped_function__")
]


@pytest.mark.parametrize(("cls", "name", "method"), FACES, ids=lambda v: getattr(v, "__name__", v))
def test_a_verb_has_the_signature_and_words_of_its_function(cls, name, method):
    function = method.__wrapped_function__
    parameters = list(inspect.signature(function).parameters.values())[1:]
    own = list(inspect.signature(method).parameters.values())[1:]
    assert [(p.name, p.kind, p.default) for p in own] == [(p.name, p.kind, p.default) for p in parameters]
    assert method.__doc__ == function.__doc__


def test_every_verb_is_bound():
    public = {n for cls in (accessor.S2Dataset, accessor.S2DataArray) for n in vars(cls) if not n.startswith("_")}
    assert public >= {"info", "lai", "mask_clouds", "normalise", "composite", "fill_gaps", "index", "plot", "to_zarr", "to_cog"}
    assert len(FACES) >= 10


def test_faces_list_their_verbs_and_say_where_others_live():
    cube = xsentinel.sample("romania").isel(time=slice(2))
    assert repr(cube.s2).startswith(".s2 of a Dataset: plot, info, mask_clouds") or "mask_clouds, " in repr(cube.s2)
    assert "phenology" in repr(cube.B04.s2)
    with pytest.raises(AttributeError, match=r"\.s2\.phenology is a verb of DataArrays: ds\['lai'\]\.s2\.phenology"):
        cube.s2.phenology()
    with pytest.raises(AttributeError, match=r"is a verb of Datasets: da\.to_dataset\(\)\.s2\.lai"):
        cube.B04.s2.lai()
    with pytest.raises(AttributeError, match=r"has no 'mask_cloud' \(did you mean mask_clouds"):
        cube.s2.mask_cloud()
    assert not hasattr(cube.s2, "_repr_html_")


@pytest.mark.parametrize("name", xsentinel.__all__)
def test_public_names_are_there_and_documented(name):
    thing = getattr(xsentinel, name)
    assert isinstance(thing, str) or (thing.__doc__ or "").strip()


def test_links_of_readme_lead_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text())
    assert len(links) > 20
    assert not [link for link in links if not link.startswith("http") and not (ROOT / link).exists()]


def test_readme_is_what_ci_runs():
    readme, run = (ROOT / "README.md").read_text(), (ROOT / ".ci" / "run").read_text()
    assert '<!-- test-command -->\n```sh\npip install -e ".[dev]" && pytest' in readme
    assert "test-command" in run
