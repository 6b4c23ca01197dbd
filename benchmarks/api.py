"""The public interface on one page, and which floor imports which: ``python -m benchmarks.api [--check]`` writes ``benchmarks/API.md``.

Name, parameters with their defaults, and the first sentence of each docstring; of the shell each command with its options.
The picture below them follows from the contract in ``pyproject.toml`` and from the imports that are there.
"""

from __future__ import annotations

import argparse
import inspect
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import grimp

import xsentinel as xs
from xsentinel import accessor, mapping
from xsentinel.cli import main
from xsentinel.cli.options import OPENING

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "benchmarks" / "API.md"

HEAD = """# The public interface

Written by `python -m benchmarks.api` from the code; a test compares the two. Each name with its parameters (those after `*` by
name only) and the first sentence of its docstring; `help(name)` says the rest.
"""

FACES = {
    "`Dataset.s2`": ("ds.s2", accessor.S2Dataset),
    "`DataArray.s2`": ("da.s2", accessor.S2DataArray),
    "`Dataset.s2.plot`": ("ds.s2.plot", accessor.DatasetPlot),
    "`DataArray.s2.plot`": ("da.s2.plot", accessor.DataArrayPlot),
}


@dataclass(frozen=True)
class Entry:
    """A public name."""

    name: str
    thing: Any
    """Function, class, property or constant."""
    bound: bool = False
    """Whether its first parameter is given by what it is called on."""

    @property
    def doc(self) -> str:
        """Its docstring."""
        target = self.thing if not isinstance(self.thing, property) else self.thing.fget
        if isinstance(target, Mapping):
            return f"Settings by name: {', '.join(target)}."
        return inspect.getdoc(target) or ""

    @property
    def sentence(self) -> str:
        """The first sentence, on one line."""
        first = " ".join(self.doc.split("\n\n")[0].split())
        return re.split(r"(?<=[.!?])\s+(?=[A-Z`])", first)[0]

    @property
    def parameters(self) -> list[inspect.Parameter]:
        """What a caller gives."""
        if isinstance(self.thing, property) or not callable(self.thing) or (inspect.isclass(self.thing) and not is_dataclass(self.thing)):
            return []
        return list(inspect.signature(self.thing).parameters.values())[self.bound :]

    @property
    def call(self) -> str:
        """The name as it is called."""
        listed = not isinstance(self.thing, property) and callable(self.thing) and not (
            inspect.isclass(self.thing) and len(self.parameters) > 7
        )  # fmt: skip
        return f"{self.name}({signature(self.parameters)})" if listed and not is_error(self.thing) else self.name


def is_error(thing: Any) -> bool:
    """Whether it is one of our errors."""
    return inspect.isclass(thing) and issubclass(thing, Exception)


def signature(parameters: list[inspect.Parameter]) -> str:
    """Lay parameters out with their defaults, without types."""
    words, starred = [], False
    for p in parameters:
        if p.kind is p.VAR_POSITIONAL:
            words.append(f"*{p.name}")
            starred = True
            continue
        if p.kind is p.VAR_KEYWORD:
            words.append(f"**{p.name}")
            continue
        if p.kind is p.KEYWORD_ONLY and not starred:
            words.append("*")
            starred = True
        words.append(p.name if p.default is p.empty else f"{p.name}={default(p.default)}")
    return ", ".join(words)


def default(value: Any) -> str:
    """Write a default; long ones by what they are."""
    if type(value).__name__ == "_HAS_DEFAULT_FACTORY_CLASS" or len(repr(value)) > 60:
        return "…"
    return repr(value).replace("'", '"')


def methods(name: str, cls: type) -> Iterator[Entry]:
    """Give what a class itself has in public, in its order."""
    for key, member in vars(cls).items():
        if key.startswith("_") or key in getattr(cls, "__dataclass_fields__", ()):
            continue
        if isinstance(member, classmethod):
            yield Entry(f"{name}.{key}", getattr(cls, key))
        elif inspect.isfunction(member) or isinstance(member, property):
            yield Entry(f"{name}.{key}", member, bound=True)


def of_module(module: ModuleType) -> Iterator[Entry]:
    """Give what a module names as public; of classes their methods too."""
    short = module.__name__.replace("xsentinel", "xs", 1)
    for name in module.__all__:
        thing = getattr(module, name)
        if isinstance(thing, ModuleType) or name.startswith("_"):
            continue
        yield Entry(f"{short}.{name}", thing)
        if inspect.isclass(thing) and not is_error(thing):
            yield from methods(name, thing)


def groups() -> dict[str, list[Entry]]:
    """Give all public names by where they are found."""
    found = {"`xsentinel`": list(of_module(xs))}
    found |= {title: list(methods(name, cls)) for title, (name, cls) in FACES.items()}
    places = [*(thing for name in xs.__all__ if isinstance(thing := getattr(xs, name), ModuleType)), mapping]
    return found | {f"`{module.__name__}`": list(of_module(module)) for module in places}


def commands(command: click.Command = main, path: str = "xsentinel") -> Iterator[tuple[str, click.Command]]:
    """Give each command of the shell that does something, by its path."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name in command.commands:
        yield from commands(command.commands[name], f"{path} {name}")


def shell_row(path: str, command: click.Command) -> str:
    """Write a command: its arguments, what it does, its options with defaults."""
    arguments = [p.make_metavar(click.Context(command)) for p in command.params if isinstance(p, click.Argument)]
    options = [p for p in command.params if isinstance(p, click.Option)]
    opens = {*OPENING} <= {o.name for o in options} and path != "xsentinel info"
    options = [o for o in options if not (opens and o.name in OPENING)]
    sentence = " ".join((command.help or "").split("\n\n")[0].split())
    rows = [f"`{path} {' '.join(arguments)}`  \n{sentence}", ""]
    rows += ["- how INPUT is opened: as `xsentinel info`"] if opens else []
    return "\n".join(rows + [f"- `{shown(o)}`: {o.help}" for o in options]).rstrip()


def shown(option: click.Option) -> str:
    """Write an option with what it takes and its default."""
    names = ", ".join(option.opts) + "".join(f"/{name}" for name in option.secondary_opts)
    if option.is_flag:
        return names
    taken = option.make_metavar(click.Context(main))
    given = option.to_info_dict()["default"]
    many = " …" if option.multiple and "," not in taken else ""
    plain = given if isinstance(given, (str, int, float)) else ",".join(map(str, given)) if isinstance(given, (list, tuple)) else None
    return f"{names} {taken}{many}" + (f" [{plain}]" if plain not in (None, "") else "")


def floors() -> list[list[str]]:
    """Read the floors from the contract, the highest first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(c["layers"] for c in contracts if c["type"] == "layers")
    return [[name.strip() for name in layer.split("|")] for layer in layers]


def imports() -> dict[str, set[str]]:
    """Give what each part of the package imports of the others, now or when it runs; not what only types need."""
    graph = grimp.build_graph("xsentinel", exclude_type_checking_imports=True, cache_dir=None)
    found: dict[str, set[str]] = {name: set() for floor in floors() for name in floor}
    for module in graph.modules:
        own = part(module)
        if own in found:
            found[own] |= {part(m) for m in graph.find_modules_directly_imported_by(module)} & set(found) - {own}
    return found


def part(module: str) -> str:
    """Give the part of the package that a module belongs to."""
    return module.split(".")[1] if "." in module else ""


def drawn(direct: dict[str, set[str]]) -> dict[str, set[str]]:
    """Leave out arrows that longer ways replace."""

    def reached(name: str) -> set[str]:
        return direct[name] | {far for near in direct[name] for far in reached(near)}

    return {name: {n for n in near if not any(n in reached(other) for other in near - {n})} for name, near in direct.items()}


def picture() -> str:
    """Draw floors and imports."""
    direct = imports()
    lines = ["```mermaid", "flowchart TD"]
    for number, floor in enumerate(floors()):
        lines += [f"  subgraph floor{len(floors()) - number}[ ]", "    direction LR", *(f"    {name}" for name in floor), "  end"]
    lines += [f"  {name} --> {other}" for name, others in drawn(direct).items() for other in sorted(others)]
    rows = ["| floor | part | imports |", "|---|---|---|"]
    for number, floor in enumerate(floors()):
        rows += [f"| {len(floors()) - number} | `{name}` | {', '.join(sorted(direct[name])) or 'nothing'} |" for name in floor]
    words = "Imports go down only; an arrow that a longer way replaces is left out, and stands in the table."
    return "\n".join(["## Floors", "", words, "", *lines, "```", "", *rows, ""])


def page() -> str:
    """Write the page."""
    parts = [HEAD]
    for title, entries in groups().items():
        parts.append(f"## {title}\n\n" + "\n".join(f"- `{e.call}`  \n  {e.sentence}" for e in entries) + "\n")
    parts.append("## The shell\n\n" + "\n\n".join(shell_row(*row) for row in commands()) + "\n")
    return "\n".join([*parts, picture()])


def run(args: Any) -> None:
    """Write the page, or say whether it is what stands there."""
    if not args.check:
        PAGE.write_text(page())
        return
    if PAGE.read_text() != page():
        raise SystemExit(f"{PAGE.name} is not what the code says; python -m benchmarks.api writes it anew")


def parse(arguments: list[str] | None = None, then: Callable[[Any], None] = run) -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare, and fail where they differ")
    then(parser.parse_args(arguments))


if __name__ == "__main__":
    parse()
