"""Gathering mergeable parts: the same value whatever the partitioning, and none for no rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from imgsearch.lake import batches
from imgsearch.lake.batches import gather, sample_rows, streamed
from imgsearch.lake.csv_files import write_batches

Reduce, Merge = Callable[[Iterator[pa.RecordBatch]], bytes | None], Callable[[bytes, bytes], bytes]


@pytest.fixture
def parts() -> tuple[Reduce, Merge]:
    """Count and sum, and how two merge. Local functions travel to the workers whole; this module does not."""

    def count_and_sum(rows: Iterator[pa.RecordBatch]) -> bytes | None:
        n = total = 0
        for batch in rows:
            n, total = n + len(batch), total + sum(batch.column(0).to_pylist())
        return json.dumps([n, total]).encode() if n else None

    def add(one: bytes, other: bytes) -> bytes:
        return json.dumps([a + b for a, b in zip(json.loads(one), json.loads(other), strict=True)]).encode()

    return count_and_sum, add


@pytest.mark.parametrize("n_partitions", [1, 2, 7])
def test_any_partitioning_gives_the_same(spark: SparkSession, n_partitions: int, parts: tuple[Reduce, Merge]) -> None:
    frame = spark.range(0, 100, numPartitions=n_partitions)
    assert json.loads(gather(frame, *parts) or b"") == [100, 4950]


def test_parts_are_merged_on_the_executors_first(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, parts: tuple[Reduce, Merge]
) -> None:
    monkeypatch.setattr(batches, "n_slots", lambda spark: 20)
    assert json.loads(gather(spark.range(0, 100, numPartitions=30), *parts) or b"") == [100, 4950]


def test_no_rows_are_no_value(spark: SparkSession, parts: tuple[Reduce, Merge]) -> None:
    assert gather(spark.range(0), *parts) is None
    assert gather(spark.range(10).where("id < 0"), *parts) is None


def test_a_sample_does_not_depend_on_the_partitioning(spark: SparkSession) -> None:
    frame = spark.range(2000).select(F.col("id").cast("string").alias("name"))
    one = {r["name"] for r in sample_rows(frame.repartition(1), "name", 200, 2000, seed=3).collect()}
    two = {r["name"] for r in sample_rows(frame.repartition(3), "name", 200, 2000, seed=3).collect()}
    assert one == two
    assert 130 < len(one) < 270
    assert {r["name"] for r in sample_rows(frame, "name", 200, 2000, seed=4).collect()} != one
    assert sample_rows(frame, "name", 2000, 2000) is frame


@pytest.mark.parametrize("name", ["m.csv", "m.parquet"])
def test_a_frame_is_written_in_its_order_a_partition_at_a_time(spark: SparkSession, tmp_path: Path, name: str) -> None:
    frame = spark.range(1000, numPartitions=7).selectExpr("id", "concat('x,', id) AS text", "IF(id > 9, 1, NULL) AS n")
    write_batches(*streamed(frame.orderBy("text")), str(tmp_path / name))
    table = pacsv.read_csv(tmp_path / name) if name.endswith("csv") else pq.read_table(tmp_path / name)
    assert table.column("text").to_pylist() == sorted(f"x,{i}" for i in range(1000))
    assert table.column("n").null_count == 10
    write_batches(*streamed(frame.where("id < 0")), str(tmp_path / name))
    empty = pacsv.read_csv(tmp_path / name) if name.endswith("csv") else pq.read_table(tmp_path / name)
    assert (empty.num_rows, empty.column_names) == (0, ["id", "text", "n"])
    assert [p.name for p in tmp_path.iterdir()] == [name]
