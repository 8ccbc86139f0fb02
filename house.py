"""The measures of the house: lengths of functions and files, circles of imports. ``make lint`` prints and checks them.

    python house.py

A function is as long as its text from ``def`` to its last line, docstring included; an inner function counts by itself
too. A circle is a set of modules that import each other, lazily or not.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent
FOLDERS = ("imgsearch", "jobs", "plantdemo")
LONGEST_FUNCTION = 40
LONG_FUNCTION, LONG_FUNCTIONS_SHARE = 25, 0.10
LONG_FILE, LONG_FILES = 300, 3


class Length(NamedTuple):
    """How many lines something has, and where it stands."""

    lines: int
    place: str


class Module(NamedTuple):
    """A module by its dotted name, with its syntax tree."""

    name: str
    path: str
    lines: int
    tree: ast.Module


def modules() -> list[Module]:
    """Every module of ``FOLDERS``."""
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    return [_module(path.relative_to(ROOT), path.read_text(encoding="utf-8")) for path in paths]


def _module(path: Path, text: str) -> Module:
    name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    return Module(name, str(path), text.count("\n"), ast.parse(text))


def functions(module: Module) -> Iterator[Length]:
    """Length of every function of a module."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Length((node.end_lineno or node.lineno) - node.lineno + 1, f"{module.path}:{node.lineno} {node.name}")


def imported(module: Module, names: frozenset[str]) -> set[str]:
    """The modules among ``names`` that a module imports, but for what only its annotations need."""
    typing_only = {id(child) for node in ast.walk(module.tree) if _is_typing_only(node) for child in ast.walk(node)}
    targets: set[str] = set()
    for node in ast.walk(module.tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            targets |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            targets |= {name if name in names else node.module for name in inner}
    return targets & names - {module.name}


def _is_typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def circle(code: Iterable[Module]) -> list[str]:
    """The modules of one circle, empty where there is none."""
    code = list(code)
    names = frozenset(module.name for module in code)
    try:
        TopologicalSorter({module.name: imported(module, names) for module in code}).prepare()
    except CycleError as e:
        return list(e.args[1])
    return []


def main() -> int:
    """Print the figures; 1 where one is above its bound."""
    code = modules()
    lengths = sorted((length for module in code for length in functions(module)), reverse=True)
    longest = [length for length in lengths if length.lines > LONGEST_FUNCTION]
    n_long = sum(length.lines > LONG_FUNCTION for length in lengths)
    files = [Length(module.lines, module.path) for module in code if module.lines > LONG_FILE]
    loop = circle(code)
    print(f"{sum(module.lines for module in code):,} lines in {len(code)} files, {len(lengths):,} functions")
    print(f"functions above {LONGEST_FUNCTION} lines: {len(longest)} (at most 0)")
    print(f"functions above {LONG_FUNCTION} lines: {n_long} (at most {int(LONG_FUNCTIONS_SHARE * len(lengths))})")
    print(f"files above {LONG_FILE} lines: {len(files)} (at most {LONG_FILES})")
    print(f"circles of imports: {int(bool(loop))} (at most 0)")
    offences = [f"{length.lines} lines: {length.place}" for length in longest]
    offences += [f"{length.lines} lines: {length.place}" for length in files if len(files) > LONG_FILES]
    offences += [f"circle: {' -> '.join(loop)}"] if loop else []
    print("\n".join(offences), file=sys.stderr, end="\n" if offences else "")
    return int(bool(offences) or n_long > LONG_FUNCTIONS_SHARE * len(lengths))


if __name__ == "__main__":
    sys.exit(main())
