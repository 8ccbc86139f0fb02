"""A grid of matches whose images came in a table: their bytes are in the warehouse, their paths are nowhere."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
from pyspark.sql import SparkSession

from imgsearch.lake.store import TableStore
from imgsearch.report.match_grid import grid_of_frame
from imgsearch.tables import CONTENTS


def test_bytes_of_the_warehouse_and_files_that_changed(spark: SparkSession, tmp_path: Path, draw) -> None:
    contents = [draw(tmp_path / f"{i}.png", i).read_bytes() for i in range(3)]
    ids = [hashlib.sha256(content).hexdigest() for content in contents]
    store = TableStore.open(spark, str(tmp_path / "w"), create=True)
    store.replace(CONTENTS, spark.createDataFrame(pa.table({"image_id": ids[:2], "content": contents[:2]})))
    draw(tmp_path / "2.png", 9)  # no longer the picture that was searched
    columns = {
        "query_id": [ids[0]] * 2 + ["by vector"], "query_path": ["row 1", "row 1", None], "rank": [1, 2, 1],
        "image_id": [ids[1], ids[2], ids[1]], "path": ["row 2", str(tmp_path / "2.png"), "row 2"],
        "score": [0.9, 0.8, 0.7],
    }  # fmt: skip
    matches = spark.createDataFrame(pa.table(columns))
    grid = grid_of_frame(matches, 10, 10, store)
    shown = [[(cell.path, cell.thumbnail is not None) for cell in row] for row in grid.rows]
    assert shown == [
        [("by vector", False), ("row 2", True)],
        [("row 1", True), ("row 2", True), (str(tmp_path / "2.png"), False)],
    ]
    few = grid_of_frame(matches, 1, 1, store)
    assert [len(row) for row in few.rows] == [2]
    assert "n_queries=… shows more" in few.note
