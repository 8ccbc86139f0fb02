"""What a table of the star is computed from, as a fingerprint: an export leaves alone what has not changed."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from py4j.protocol import Py4JError
from pyspark.sql import DataFrame

#: The fingerprints of an export's tables, beside them. Removed before a table is written, written when all are.
SOURCES_FILE = ".imgsearch-sources.json"
UNKNOWN = "unknown"


def fingerprint(frame: DataFrame, settings: str, driver_rows: str | None = None) -> str | None:
    """Of the version of every Delta table and the name of every file that ``frame`` reads, of its schema and of
    ``settings``. ``None`` where it reads anything else, unless ``driver_rows`` is a fingerprint of that.

    Data files are never written over under their names, so equal fingerprints are equal rows.
    """
    try:
        sources = sorted(_sources(frame))
    except Py4JError:
        return None
    if UNKNOWN in sources and driver_rows is None:
        return None
    parts = json.dumps([settings, driver_rows, frame.schema.json(), sources])
    return hashlib.sha256(parts.encode()).hexdigest()


def fingerprint_of_rows(table: pa.Table) -> str:
    """Of rows that the driver holds."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()


def _sources(frame: DataFrame) -> Iterator[str]:
    leaves = frame._jdf.queryExecution().analyzed().collectLeaves()
    for at in range(leaves.size()):
        leaf = leaves.apply(at)
        kind = leaf.getClass().getSimpleName()
        if kind == "LocalRelation" and leaf.data().isEmpty():
            yield "nothing"
        elif kind == "LogicalRelation":
            yield from _of_files(leaf.relation().location())
        elif kind != "OneRowRelation":
            yield UNKNOWN


def _of_files(location: Any) -> Iterator[str]:
    if location.getClass().getSimpleName().startswith("TahoeLog"):
        snapshot = location.snapshotAtAnalysis()
        yield f"{location.path()}@{snapshot.version()} {snapshot.metadata().id()}"
    else:
        yield from location.inputFiles()
