"""The tables' texts: every column parses, keys are columns, comments are no columns."""

from __future__ import annotations

import re

import pytest

from imgsearch.job import JOBS
from imgsearch.tables import ALL_TABLES, IMAGES, RUNS, TableSpec

TYPES = {"STRING", "INT", "BIGINT", "FLOAT", "DOUBLE", "BOOLEAN", "TIMESTAMP", "BINARY", "ARRAY", "MAP"}


@pytest.mark.parametrize("spec", ALL_TABLES, ids=lambda s: s.name)
def test_columns_are_names_with_types(spec: TableSpec) -> None:
    columns = spec.columns
    assert columns
    assert len(set(columns)) == len(columns)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", c) for c in columns)
    assert set(spec.key) <= set(columns)
    assert "COMMENT" not in spec.schema
    assert "'" not in spec.schema
    for line in [part.strip() for part in re.split(r",(?![^<(]*[>)])", spec.schema)]:
        assert re.split(r"[ <(]", line)[1] in TYPES, line
    assert spec.job in {*JOBS, "any"}


def test_names_are_unique() -> None:
    assert len({spec.name for spec in ALL_TABLES}) == len(ALL_TABLES)


def test_commas_and_quotes_in_comments_and_types() -> None:
    spec = TableSpec("t", "a INT COMMENT 'it''s, so', b MAP<STRING, BIGINT> COMMENT 'x', c STRING", ("a",), "any")
    assert spec.columns == ("a", "b", "c")
    assert RUNS.columns[-4:] == ("versions_read", "versions_written", "details", "format_version")
    assert IMAGES.columns[0] == "image_id"
