"""Who may enter which room: every import of the package, read from its syntax tree.

A room is a folder of ``imgsearch/`` or one of its modules. It imports only rooms of earlier groups of ``ORDER`` and,
inside a group, only itself. There are no exceptions.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
#: Groups of rooms, first to last. Rooms between brackets stand side by side and do not import each other.
ORDER = (
    ("errors",), ("causes", "compiled", "places"), ("options", "tables", "terminal", "vectors", "keys", "preflight"),
    ("short_jobs",),
    ("config", "faults"),
    ("lake", "topk"), ("images",), ("projections",), ("clusters", "encoders"), ("geometry",), ("retrieval",),
    ("labels",), ("duplicates", "report", "upkeep"), ("review",), ("pipeline",), ("api", "ml"),
    ("job", "machine", "shipping"),
    ("launcher",), ("__init__", "__main__"), ("jobs", "plantdemo"),
)  # fmt: skip
LEVEL = {room: level for level, group in enumerate(ORDER) for room in group}
#: Where a job may be called by another module than ``job.py``.
CALLERS = {"pipeline", "api", "job", "plantdemo"}
JOB_FILES = {
    "images.ingest", "encoders.embed", "projections.compress", "clusters.cluster", "labels.label", "retrieval.search",
    "retrieval.neighbours",
    "labels.calibrate", "duplicates.dedup", "labels.evaluate", "report.export", "upkeep.drop", "review.review",
}  # fmt: skip
#: Files that may import Spark (marked * in LAYOUT.md).
WITH_SPARK = {
    "lake": "lost_workers owned quarantine session store rows commits merges shared_files staging files compaction "
    "hadoop_files remote_files batches memory mllib progress runs waiting shared",
    "images": "image_names ingest carried sources source_tables inspection changes",
    "projections": "compress learning pending projecting region_vectors spaces",
    "encoders": "embed slices udf view_rows",
    "geometry": "frames",
    "clusters": "cluster blocks rounds store layout drift_table numbers metadata thresholds",
    "retrieval": "search queries conditions join matches recall group_search searches expanding id_keys frames "
    "hash_ranges neighbours neighbour_lists ahead spreading verifying region_join "
    "boxed_queries",
    "duplicates": "dedup near grouping candidates edited parting",
    "labels": "label doubts decided imports evaluate calibrate names spreading agreement retrieval_quality comparison",
    "report": "export frames findings star_schema star_carried star_calendar star_history star_quarantine star_files "
    "star_sources thumbnail_rows match_grid",
    "upkeep": "drop status",
}
SPARK = {"pyspark", "delta", "py4j"}
NETWORKS = {"torch", "torchvision", "onnx", "onnxruntime"}
#: Packages of an extra, each of one room, and only inside its functions.
LAZY = {**dict.fromkeys(NETWORKS, "encoders"), "cv2": "geometry"}


class Import(NamedTuple):
    """``module`` as it is written at ``where`` (file:line) in ``file`` (``room.name``); ``lazy`` inside a function."""

    where: str
    file: str
    module: str
    lazy: bool
    typing_only: bool

    @property
    def room(self) -> str:
        return self.file.split(".")[0]


def imports_of(source: str, where: str, file: str) -> Iterator[Import]:
    """Every import statement of a module's text."""

    def visit(node: ast.AST, lazy: bool, typing_only: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            line = f"{where}:{getattr(child, 'lineno', 0)}"
            if isinstance(child, ast.Import):
                for name in child.names:
                    yield Import(line, file, name.name, lazy, typing_only)
            elif isinstance(child, ast.ImportFrom):
                module = child.module or ""
                names = [f"{module}.{name.name}" for name in child.names]
                for name in names if module.startswith("imgsearch") else [module]:
                    yield Import(line, file, name, lazy, typing_only)
            for_types = typing_only or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
            inside = lazy or for_types or isinstance(child, ast.FunctionDef | ast.Lambda)
            yield from visit(child, inside, for_types)

    yield from visit(ast.parse(source), False, False)


def all_imports() -> list[Import]:
    imports: list[Import] = []
    for top in ("imgsearch", "jobs", "plantdemo"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            file = ".".join(parts[1:] if top == "imgsearch" else parts)
            imports += imports_of(path.read_text(), str(path.relative_to(ROOT)), file)
    return imports


def offence(entry: Import) -> str | None:
    """What is wrong with an import, in words; ``None`` where nothing is."""
    top, *rest = entry.module.split(".")
    said = f"{entry.where} imports {entry.module}"
    if entry.room not in LEVEL:
        return f"{said}: '{entry.room}' is no room of the design; add it to ORDER"
    if top == "imgsearch" and rest and rest[0] in LEVEL and rest[0] != entry.room:
        if LEVEL[rest[0]] >= LEVEL[entry.room]:
            return f"{said}: {entry.room} stands before or beside {rest[0]}"
        if ".".join(rest[:2]) in JOB_FILES and entry.room not in CALLERS:
            return f"{said}: a job is called by {', '.join(sorted(CALLERS))} only; take the part you need out of it"
    if top == "plantdemo" and entry.room != "plantdemo" and entry.file != "jobs.demo":
        return f"{said}: the demo is not installed with the package"
    if top in SPARK and not entry.typing_only:
        return _spark_offence(entry, said)
    if top in LAZY and (entry.room != LAZY[top] or not entry.lazy):
        return f"{said}: only functions of {LAZY[top]}/ import {top}; it takes seconds, or is not installed"
    return None


def _spark_offence(entry: Import, said: str) -> str | None:
    room, _, name = entry.file.partition(".")
    if room in ("pipeline", "api", "ml", "plantdemo"):
        return None
    if name in WITH_SPARK.get(room, "").split():
        return None
    if room == "__init__" and not entry.lazy:
        return f"{said}: importing imgsearch must not import Spark; import it inside the function"
    return f"{said}: {entry.file} knows no Spark"


def test_every_import_is_allowed() -> None:
    imports = all_imports()
    assert len(imports) > 300
    assert {entry.room for entry in imports} >= {"lake", "topk", "encoders", "retrieval", "plantdemo", "jobs", "job"}
    offences = [said for entry in imports if (said := offence(entry))]
    assert not offences, "\n" + "\n".join(offences)


@pytest.mark.parametrize(
    ("file", "source", "said"),
    [
        ("topk.topk", "from imgsearch.lake.files import read_local", "topk stands before or beside lake"),
        ("images.decode", "def f():\n    import pyspark.sql", "images.decode knows no Spark"),
        ("clusters.kmeans", "from imgsearch import retrieval", "clusters stands before or beside retrieval"),
        ("lake.store", "from imgsearch.images import decode", "lake stands before or beside images"),
        ("report.page", "from delta.tables import DeltaTable", "report.page knows no Spark"),
        ("tables", "import imgsearch.config", "tables stands before or beside config"),
        ("report.page", "import torch.nn", "only functions of encoders"),
        ("encoders.export", "try:\n    from torch import nn\nexcept ImportError: pass", "only functions of encoders"),
        ("geometry.check", "import cv2", "only functions of geometry"),
        ("retrieval.join", "from imgsearch.projections.compress import run", "take the part you need out of it"),
        ("encoders.embed", "def f():\n    from plantdemo.drawing.scene import picture", "the demo is not installed"),
        ("helpers.text", "from imgsearch.errors import UserError", "no room of the design"),
    ],
)
def test_offences_are_named(file: str, source: str, said: str) -> None:
    offences = [offence(entry) for entry in imports_of(source, "a.py", file)]
    assert len(offences) == 1
    assert offences[0] is not None
    assert offences[0].startswith("a.py:")
    assert said in offences[0]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("clusters.cluster", "from imgsearch.projections.spaces import vectors_of\nimport pyspark"),
        ("encoders.export", "def f():\n    import torch"),
        ("encoders.networks", "if TYPE_CHECKING:\n    import torch"),
        ("job", "if TYPE_CHECKING:\n    from pyspark.sql import SparkSession"),
        ("pipeline", "from imgsearch.images import ingest"),
    ],
)
def test_what_is_allowed_is_not_an_offence(file: str, source: str) -> None:
    assert [offence(entry) for entry in imports_of(source, "a.py", file) if offence(entry)] == []


def test_names_that_say_nothing_are_not_used() -> None:
    names = {path.stem for path in (ROOT / "imgsearch").rglob("*.py")}
    assert not names & {"utils", "helpers", "common", "misc"}
