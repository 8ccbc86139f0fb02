"""Who may enter which room: every import of the package, read from its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
CONTRACT = {"errors", "tables", "config"}
#: A room and the rooms of ours that it may enter; its own is always open.
OPEN = {
    "errors": set(),
    "tables": set(),
    "config": {"errors"},
    "core": CONTRACT,
    "lake": CONTRACT,
    "report": CONTRACT,
    "drawing": CONTRACT,
    "stages": {"core", "lake", "report", "drawing"} | CONTRACT,
    "job": {"stages", "lake"} | CONTRACT,
    "__init__": {"stages", "lake"} | CONTRACT,
    "jobs": {"job", "stages"} | CONTRACT,
}
WITH_SPARK = {"lake", "stages", "job", "__init__"}
SPARK = {"pyspark", "delta", "py4j"}


class Import(NamedTuple):
    """``module`` as it is written at ``where`` (file:line); ``lazy`` inside a function or under TYPE_CHECKING."""

    where: str
    room: str
    module: str
    lazy: bool


def imports_of(source: str, where: str, room: str) -> Iterator[Import]:
    """Every import statement of a module's text."""

    def visit(node: ast.AST, lazy: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for name in child.names:
                    yield Import(f"{where}:{child.lineno}", room, name.name, lazy)
            elif isinstance(child, ast.ImportFrom):
                module = child.module or ""
                if child.level or module == "imgsearch":
                    for name in child.names:
                        yield Import(f"{where}:{child.lineno}", room, f"imgsearch.{name.name}", lazy)
                else:
                    yield Import(f"{where}:{child.lineno}", room, module, lazy)
            typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            yield from visit(child, lazy or typing_only or isinstance(child, ast.FunctionDef | ast.Lambda))

    yield from visit(ast.parse(source), False)


def all_imports() -> list[Import]:
    found = []
    for path in sorted([*(ROOT / "imgsearch").rglob("*.py"), *(ROOT / "jobs").glob("*.py")]):
        parts = path.relative_to(ROOT).with_suffix("").parts
        room = parts[1] if parts[0] == "imgsearch" else "jobs"
        found += imports_of(path.read_text(), str(path.relative_to(ROOT)), room)
    return found


def offence(found: Import) -> str | None:
    """What is wrong with an import, in words; ``None`` where nothing is."""
    top, *rest = found.module.split(".")
    said = f"{found.where} imports {found.module}"
    if top == "imgsearch" and rest:
        entered = rest[0]
        allowed = OPEN.get(found.room)
        if allowed is None:
            return f"{said}: '{found.room}' is no room of the design; add it to OPEN with what it may import"
        if entered != found.room and entered not in allowed:
            return f"{said}: {found.room} may not import {entered} (only {', '.join(sorted(allowed)) or 'nothing'})"
    if top in SPARK and found.room not in WITH_SPARK:
        return f"{said}: {found.room} knows no Spark"
    if top in SPARK and found.room == "__init__" and not found.lazy:
        return f"{said}: importing imgsearch must not import Spark; import it inside the function"
    if top == "torch" and not found.lazy:
        return f"{said}: torch takes seconds to import; import it inside the function that needs it"
    return None


def test_every_import_is_allowed() -> None:
    found = all_imports()
    assert len(found) > 300
    assert {i.room for i in found} >= {"core", "lake", "stages", "report", "drawing", "jobs", "job", "config"}
    offences = [said for i in found if (said := offence(i))]
    assert not offences, "\n" + "\n".join(offences)


@pytest.mark.parametrize(
    ("room", "source", "said"),
    [
        ("core", "from imgsearch.lake.files import read_local", "core may not import lake"),
        ("core", "def f():\n    import pyspark.sql", "core knows no Spark"),
        ("core", "from imgsearch import stages", "core may not import stages"),
        ("lake", "from imgsearch.core import images", "lake may not import core"),
        ("report", "from delta.tables import DeltaTable", "report knows no Spark"),
        ("drawing", "if TYPE_CHECKING:\n    from pyspark import Broadcast", "drawing knows no Spark"),
        ("config", "import imgsearch.tables", "config may not import tables"),
        ("stages", "import torch.nn", "torch takes seconds"),
        ("stages", "try:\n    from torch import nn\nexcept ImportError: pass", "torch takes seconds"),
        ("jobs", "from imgsearch.lake.session import build_session", "jobs may not import lake"),
        ("helpers", "from imgsearch.errors import UserError", "no room of the design"),
    ],
)
def test_offences_are_named(room: str, source: str, said: str) -> None:
    offences = [offence(i) for i in imports_of(source, "a.py", room)]
    assert len(offences) == 1
    assert offences[0] is not None
    assert offences[0].startswith("a.py:")
    assert said in offences[0]


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("stages", "from imgsearch.core import kmeans"),
        ("core", "def f():\n    import torch"),
        ("core", "if TYPE_CHECKING:\n    import torch"),
        ("core", "import numpy\nfrom imgsearch.core.keys import order_keys\nfrom imgsearch.errors import UserError"),
    ],
)
def test_what_is_allowed_is_not_an_offence(room: str, source: str) -> None:
    assert [offence(i) for i in imports_of(source, "a.py", room) if offence(i)] == []


def test_names_that_say_nothing_are_not_used() -> None:
    names = {path.stem for path in (ROOT / "imgsearch").rglob("*.py")}
    assert not names & {"utils", "helpers", "common", "misc"}
