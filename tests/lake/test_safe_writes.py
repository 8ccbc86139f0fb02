"""Writes beside a second writer: conflicts are Delta's own, made by a second session while the first one writes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.errors import UserError
from imgsearch.lake import commits, store
from imgsearch.lake.runs import Stopwatch, finish
from imgsearch.lake.store import TableStore
from imgsearch.tables import CLUSTERS, EMBEDDINGS, IMAGES, METRICS, RUNS, VECTORS

METRIC = "metric string, k int, value double"


@pytest.fixture
def warehouse(spark: SparkSession, tmp_path: Path) -> TableStore:
    return TableStore.open(spark, str(tmp_path / "w"), create=True)


def other(warehouse: TableStore) -> TableStore:
    """The same warehouse in a second session."""
    return TableStore.open(warehouse.spark.newSession(), warehouse.location, create=True)


def embeddings(spark: SparkSession, *ids: str) -> DataFrame:
    rows = [(i, "e", bytearray(4)) for i in ids]
    return spark.createDataFrame(rows, "image_id string, encoder_id string, embedding binary")


def ids_of(warehouse: TableStore) -> list[str]:
    return sorted(row["image_id"] for row in warehouse.read(EMBEDDINGS).collect())


def slowly(frame: DataFrame, seconds: float = 3.0) -> DataFrame:
    """``frame``, computed in one task that takes its time."""

    def wait(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        time.sleep(seconds)
        yield from batches

    return frame.coalesce(1).mapInArrow(wait, frame.schema)


def together(*calls: Callable[[], object]) -> None:
    """Call all at once; raise what one of them raises."""
    errors: list[BaseException] = []

    def guarded(call: Callable[[], object]) -> None:
        try:
            call()
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=guarded, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.fixture(params=["turns", "conflicts"])
def keeping_apart(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways in which two writers are kept apart: by turns (a local disk), by Delta's conflicts (all others)."""
    if request.param == "conflicts":
        monkeypatch.setattr(store, "local_path", lambda *_: None)
    return str(request.param)


def test_new_rows_are_inserted_once(spark: SparkSession, warehouse: TableStore) -> None:
    warehouse.insert_new(EMBEDDINGS, embeddings(spark, "a", "b", "a"))
    warehouse.insert_new(EMBEDDINGS, embeddings(spark, "b", "c"))
    regions = embeddings(spark, "a", "a").withColumn("region", F.lit("0,0,10,10"))
    warehouse.insert_new(EMBEDDINGS, regions)
    assert ids_of(warehouse) == ["a", "a", "b", "c"]
    assert warehouse.versions_written == {"embeddings": 2}


def test_two_that_insert_the_same_rows(warehouse: TableStore, keeping_apart: str) -> None:
    writers = [other(warehouse) for _ in range(3)]

    def insert(writer: TableStore) -> None:
        for start in range(3):
            rows = embeddings(writer.spark, *(f"{i}" for i in range(start, 5)))
            writer.insert_new(EMBEDDINGS, slowly(rows, 0.2))

    together(*(lambda w=w: insert(w) for w in writers))  # type: ignore[misc]
    assert ids_of(warehouse) == [str(i) for i in range(5)]


def test_what_is_inserted_while_a_part_is_rewritten_is_kept(warehouse: TableStore, keeping_apart: str) -> None:
    warehouse.insert_new(EMBEDDINGS, embeddings(warehouse.spark, "a", "b"))
    second = other(warehouse)
    rows = slowly(warehouse.read(EMBEDDINGS).withColumn("sharpness", F.lit(0.5)))
    second.insert_new(EMBEDDINGS, embeddings(second.spark, "c"))  # after the frame was made, before it is written

    def insert() -> None:
        time.sleep(1.0)
        second.insert_new(EMBEDDINGS, embeddings(second.spark, "d"))

    together(lambda: warehouse.replace(EMBEDDINGS, rows, where="encoder_id = 'e'"), insert)
    assert ids_of(warehouse) == ["a", "b", "c", "d"]
    found = {row["image_id"]: row["sharpness"] for row in warehouse.read(EMBEDDINGS).collect()}
    assert (found["a"], found["c"]) == (0.5, 0.5)


def test_two_that_make_a_table(warehouse: TableStore, keeping_apart: str) -> None:
    def image(name: str, column: str) -> DataFrame:
        rows = [(name, f"/{name}", "s", "x")]
        return warehouse.spark.createDataFrame(rows, f"image_id string, path string, source string, {column} string")

    first, second = other(warehouse), other(warehouse)
    together(
        lambda: first.merge(IMAGES, slowly(image("a", "site"), 1.0)),
        lambda: second.merge(IMAGES, slowly(image("b", "plant"), 1.0)),
    )
    found = {(r["path"], r["site"], r["plant"]) for r in warehouse.read(IMAGES).collect()}
    assert found == {("/a", "x", None), ("/b", None, "x")}


def test_a_version_is_that_of_the_own_commit(warehouse: TableStore, monkeypatch: pytest.MonkeyPatch) -> None:
    row = warehouse.spark.createDataFrame([("a", 1, 1.0)], METRIC)
    second = other(warehouse)
    commit = commits.commit

    def then_another(*args: object) -> int | None:
        version = commit(*args)  # type: ignore[arg-type]
        second.append(METRICS, second.spark.createDataFrame([("b", 1, 1.0)], METRIC))
        return version

    warehouse.append(METRICS, row)
    with monkeypatch.context() as patch:
        patch.setattr(
            store, "commit", lambda *args: then_another(*args) if args[0] is warehouse.spark else commit(*args)
        )
        warehouse.append(METRICS, row)
    assert warehouse.version(METRICS) == 2
    assert (warehouse.versions_written["metrics"], second.versions_written["metrics"]) == (1, 2)
    warehouse.merge(METRICS, row)  # changes nothing
    assert warehouse.versions_written["metrics"] == 1


def test_a_writer_that_is_always_second_is_told_so(warehouse: TableStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "ATTEMPTS", 2)
    monkeypatch.setattr(store, "local_path", lambda *_: None)
    warehouse.insert_new(EMBEDDINGS, embeddings(warehouse.spark, "a"))
    second = other(warehouse)
    save, count = TableStore._save, iter(range(100))

    def beaten(self: TableStore, spec: object, rows: DataFrame, *args: object) -> None:
        def disturb() -> None:
            time.sleep(1.0)
            second.insert_new(EMBEDDINGS, embeddings(second.spark, f"x{next(count)}"))

        together(lambda: save(self, spec, slowly(rows), *args), disturb)  # type: ignore[arg-type]

    monkeypatch.setattr(TableStore, "_save", beaten)
    with pytest.raises(UserError, match=r"^table 'embeddings': another writer changed it 2 times.*same command again"):
        warehouse.replace(EMBEDDINGS, warehouse.read(EMBEDDINGS), where="encoder_id = 'e'")
    assert ids_of(warehouse) == ["a", "x0", "x1"]


def test_staged_rows_are_computed_once_and_removed(spark: SparkSession, warehouse: TableStore) -> None:
    counted = spark.sparkContext.accumulator(0)

    def count(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            counted.add(len(batch))
            yield batch

    rows = embeddings(spark, "a", "b").mapInArrow(count, "image_id string, encoder_id string, embedding binary")
    staging = Path(warehouse.location) / "_staging"
    with warehouse.staged(rows, "slice") as kept:
        warehouse.insert_new(EMBEDDINGS, kept)
        assert kept.count() == 2
        assert kept.dtypes == rows.dtypes
        assert len(list(staging.glob("*/slice-1/part-*"))) >= 1
    assert not list(staging.glob("*/slice-1"))
    kept = warehouse.stage(rows, "other")
    assert sorted(r["image_id"] for r in kept.collect()) == ["a", "b"]
    assert counted.value == 4
    finish(warehouse, "embed", Stopwatch(), rows_in=2, rows_out=2)
    assert os.listdir(staging) == []
    assert warehouse.read(RUNS).first()["format_version"] == 2


def test_what_a_dead_run_staged_is_removed_and_a_live_one_keeps_its_own(warehouse: TableStore) -> None:
    staging = Path(warehouse.location) / "_staging"
    dead = "d" * 32
    (staging / dead / "slice-1").mkdir(parents=True)
    (staging / "of another program").mkdir()
    live = other(warehouse)
    live.stage(live.spark.range(3), "rows")
    assert dead not in os.listdir(staging)
    kept = warehouse.stage(warehouse.spark.range(4), "rows")
    assert len(os.listdir(staging)) == 3
    live.close()
    assert kept.count() == 4
    warehouse.close()
    assert os.listdir(staging) == ["of another program"]
    assert not [name for name in os.listdir(Path(warehouse.location) / "_leases") if name.startswith("run-")]


@pytest.mark.parametrize("name", ["back`tick", "with space", "quo'te", "ünï%20"])
def test_places_with_odd_names(spark: SparkSession, tmp_path: Path, name: str) -> None:
    warehouse = TableStore.open(spark, str(tmp_path / name), create=True)
    row = spark.createDataFrame([("a", 1, 1.0)], METRIC)
    warehouse.merge(METRICS, row)
    warehouse.merge(METRICS, row.withColumn("value", F.lit(2.0)))
    warehouse.insert_new(METRICS, row)
    written = TableStore.open(spark, str(tmp_path / name)).read(METRICS)
    assert [(r["metric"], r["k"], r["value"]) for r in written.collect()] == [("a", 1, 2.0)]
    assert warehouse.stage(row, "rows").count() == 1


def test_columns_that_an_older_table_lacks(spark: SparkSession, warehouse: TableStore) -> None:
    old = "cluster_id int, projection_id string, size bigint, fence float, centroid binary"
    spark.createDataFrame([(1, "p", 3, 0.25, bytearray(4))], old).write.format("delta").save(
        f"{warehouse.location}/clusters"
    )
    row = warehouse.read(CLUSTERS).first()
    assert (row["outlier_threshold"], row["medoid_id"], row["cluster_id"]) == (0.25, None, 1)
    assert "fence" not in warehouse.read(CLUSTERS).columns
    ddl = "image_id string, projection_id string, vector binary"
    spark.createDataFrame([("a", "p", bytearray(4))], ddl).write.format("delta").save(f"{warehouse.location}/vectors")
    fresh = spark.createDataFrame([("a", "p", bytearray(4)), ("b", "p", bytearray(4))], ddl)
    warehouse.insert_new(VECTORS, fresh)  # the region of the key is null on both sides
    warehouse.merge(VECTORS, fresh)
    assert sorted((r["image_id"], r["region"]) for r in warehouse.read(VECTORS).collect()) == [("a", None), ("b", None)]
    spark.range(2).withColumnRenamed("id", "image_id").write.format("delta").save(f"{warehouse.location}/embeddings")
    with pytest.raises(UserError, match=r"'embeddings' lacks \['encoder_id', 'embedding'\] \(it has \['image_id'\]\)"):
        warehouse.read(EMBEDDINGS)
