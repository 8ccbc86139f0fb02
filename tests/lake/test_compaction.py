"""A table that grows by a few rows a run has a bounded number of files, and the rows it had."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from imgsearch.lake import compaction
from imgsearch.lake.compaction import n_small_files, tidy
from imgsearch.lake.runs import Stopwatch, finish
from imgsearch.lake.store import TableStore
from imgsearch.tables import RUNS


def test_many_small_runs_leave_few_files(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "EVERY", 4)
    monkeypatch.setattr(compaction, "MANY", 5)
    warehouse = TableStore.open(spark, str(tmp_path), create=True)
    n_files = []
    for i in range(10):
        finish(warehouse, f"job {i}", Stopwatch(), rows_in=i, rows_out=i)
        n_files.append(warehouse.delta(RUNS).detail().first()["numFiles"])
    assert max(n_files) < 10
    assert n_files[-1] <= 5
    rows = {row["job"]: row["rows_in"] for row in warehouse.read(RUNS).collect()}
    assert rows == {f"job {i}": i for i in range(10)}
    assert spark.conf.get("spark.databricks.delta.optimize.minFileSize", None) is None
    monkeypatch.setattr(compaction, "DEFAULT_SIZES", (1, 2))  # no file is small now
    assert n_small_files(warehouse, RUNS) == 0
    assert tidy(warehouse) == []
