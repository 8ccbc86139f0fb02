"""What people write never becomes SQL: every string that is put together and read as SQL has its parts named here.

A new one fails this test until its function stands in ``PARTS`` with what goes into the string. Names of columns go
through ``lake.identifiers``; what the user wrote as a condition goes through ``retrieval.conditions`` alone.
"""

from __future__ import annotations

import ast
import itertools
import re
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "imgsearch"
READ_AS_SQL = {"sql", "expr", "selectExpr", "forName", "parseExpression"}
#: The text around what is put in: a comparison, or a word of SQL.
SQL = re.compile(r"(?:=|<>|<|>)\s*'$|\b(?:IN|BETWEEN|SELECT|CREATE|DESCRIBE|ALTER|WHERE)\b")
PROJECTION = "projection_id: hexadecimal, ours"
#: file:function → what the strings are made of.
PARTS = {
    "clusters/cluster.py:_without_member": PROJECTION,
    "clusters/cluster.py:_describe_again": PROJECTION,
    "clusters/layout.py:lay_out": PROJECTION,
    "clusters/layout.py:lay_out_new": PROJECTION,
    "clusters/numbers.py:is_own": PROJECTION,
    "labels/calibrate.py:write_calibration": PROJECTION,
    "labels/doubts.py:write_conflicts": PROJECTION,
    "labels/evaluate.py:run": "a metric's name, a constant",
    "lake/store.py:open": "quoted",
    "lake/store.py:folder": "quoted",
    "lake/store.py:delta": "quoted",
    "lake/store.py:_add_columns": "quoted, and columns of tables.py",
    "projections/compress.py:_write_vectors": PROJECTION,
    "projections/region_vectors.py:write_region_vectors": PROJECTION,
    "projections/spaces.py:keep_projection": PROJECTION,
    "retrieval/conditions.py:_check_parsed": "what the user wrote: parsed only",
    "retrieval/join.py:probed_rows": "numbers",
    "retrieval/search.py:_write_recall": "a metric's name, a constant",
    "retrieval/searches.py:write_answers": "search_id: ours, or by config.SearchConfig letters, digits, '.', '_', '-'",
    "retrieval/searches.py:record_search": "search_id, as above",
}


def put_together() -> dict[str, list[str]]:
    """file:function → the strings in it that are SQL and no literals."""
    found: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        source = path.read_text()
        if "pyspark" in source:
            _walk(ast.parse(source), f"{path.relative_to(PACKAGE)}:", "module", found)
    return found


def _walk(node: ast.AST, file: str, function: str, found: dict[str, list[str]]) -> None:
    for child in ast.iter_child_nodes(node):
        inside = child.name if isinstance(child, ast.FunctionDef) else function
        if isinstance(child, ast.JoinedStr) and _is_sql(child):
            found.setdefault(file + inside, []).append(ast.unparse(child))
        if isinstance(child, ast.Call) and isinstance(child.func, ast.Attribute) and child.func.attr in READ_AS_SQL:
            texts = [
                ast.unparse(a) for a in child.args if isinstance(a, ast.JoinedStr | ast.Name | ast.BinOp | ast.Call)
            ]
            if texts:
                found.setdefault(file + inside, []).extend(texts)
        if not isinstance(child, ast.Raise):  # what is said to people
            _walk(child, file, inside, found)


def _is_sql(string: ast.JoinedStr) -> bool:
    parts = [part.value if isinstance(part, ast.Constant) else None for part in string.values]
    before = [text for text, following in itertools.pairwise(parts) if text is not None and following is None]
    return any(SQL.search(str(text)) for text in before)


def test_every_sql_string_has_its_parts_named() -> None:
    unsaid = {place: texts for place, texts in put_together().items() if place not in PARTS}
    assert not unsaid


def test_names_are_quoted_in_one_place() -> None:
    """An f-string that puts backticks around a name by itself forgets those in the name."""
    by_hand = [
        f"{path.relative_to(PACKAGE)}: {ast.unparse(node)}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and any(re.search(r"^f['\"].*`\{[^}]*\}`", ast.unparse(a)) for a in node.args)
        if isinstance(node.func, ast.Attribute) and node.func.attr not in {"append", "option"}
    ]
    assert not by_hand


def test_no_part_is_named_of_what_is_gone() -> None:
    assert sorted(PARTS.keys() - put_together().keys()) == []
