"""The warehouse: the tables' types and comments, merges that change nothing twice, versions, catalogs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from imgsearch.errors import UserError
from imgsearch.lake.store import TableStore, read_any
from imgsearch.places import absolute
from imgsearch.tables import ALL_TABLES, IMAGE_LABELS, IMAGES, MATCHES, METRICS, QUARANTINE, VECTORS


@pytest.fixture
def warehouse(spark: SparkSession, tmp_path: Path) -> TableStore:
    return TableStore.open(spark, str(tmp_path / "w"), create=True)


def test_empty_tables_have_the_columns_of_their_text(spark: SparkSession, warehouse: TableStore) -> None:
    for spec in ALL_TABLES:
        frame = warehouse.read_or_empty(spec)
        assert tuple(frame.columns) == spec.columns, spec.name
        assert frame.isEmpty()
    assert not warehouse.versions_read


def test_write_then_read(spark: SparkSession, warehouse: TableStore, tmp_path: Path) -> None:
    rows = spark.createDataFrame([("a", 1, 0.5)], "metric string, k bigint, value float")  # wider and narrower types
    warehouse.replace(METRICS, rows)
    assert warehouse.read(METRICS).dtypes == [
        ("metric", "string"), ("k", "int"), ("value", "double"), ("error", "double"),
    ]  # fmt: skip
    warehouse.append(METRICS, spark.createDataFrame([(0.25, None, "b")], "value double, k int, metric string"))
    again = TableStore.open(spark, str(tmp_path / "w"))
    assert sorted(map(tuple, again.read(METRICS).collect())) == [("a", 1, 0.5, None), ("b", None, 0.25, None)]
    assert again.versions_read == {"metrics": 1}
    assert warehouse.versions_written == {"metrics": 1}
    assert again.read(METRICS).schema["k"].metadata["comment"].startswith("null for metrics without a cut")
    warehouse.replace(METRICS, spark.createDataFrame([("c", 1, 1.0)], "metric string, k int, value double"))
    assert [r["metric"] for r in again.read(METRICS).collect()] == ["c"]
    assert again.version(METRICS) == again.delta(METRICS).history(1).first()["version"] == 2


def test_part_of_a_table_is_replaced(spark: SparkSession, warehouse: TableStore) -> None:
    def vectors(*rows: tuple[str, str]) -> object:
        return spark.createDataFrame([(*row, bytearray(b"\0\0\0\0")) for row in rows], VECTORS_DDL)

    warehouse.replace(VECTORS, vectors(("i", "p"), ("j", "p")), where="projection_id = 'p'")
    warehouse.replace(VECTORS, vectors(("i", "q")), where="projection_id = 'q'")
    warehouse.replace(VECTORS, vectors(("k", "p")), where="projection_id = 'p'")
    found = {(r["image_id"], r["projection_id"]) for r in warehouse.read(VECTORS).collect()}
    assert found == {("k", "p"), ("i", "q")}


VECTORS_DDL = "image_id string, projection_id string, vector binary"
QUARANTINED = (
    "path string, image_id string, stage string, encoder_id string, reason string, detail string, "
    "quarantined_at timestamp"
)


def refused(spark: SparkSession, *rows: tuple[str, str | None, str | None]) -> object:
    """(path, encoder_id, reason) → rows of ``quarantine``, quarantined now."""
    now = datetime.now(UTC)
    full = [(path, None, "ingest", encoder, reason, "why", now) for path, encoder, reason in rows]
    return spark.createDataFrame(full, QUARANTINED)


def test_merge_inserts_updates_deletes_and_leaves_alone(spark: SparkSession, warehouse: TableStore) -> None:
    no_reason = F.col("s.reason").isNull()
    warehouse.merge(QUARANTINE, refused(spark, ("a", None, "x"), ("b", "e", "y"), ("c", None, None)), delete=no_reason)
    before = {r["path"]: r for r in warehouse.read(QUARANTINE).collect()}
    assert set(before) == {"a", "b"}
    warehouse.merge(QUARANTINE, refused(spark, ("a", None, "x"), ("b", "e", "z"), ("b", None, "w")), delete=no_reason)
    after = {(r["path"], r["encoder_id"]): r for r in warehouse.read(QUARANTINE).collect()}
    assert {k: r["reason"] for k, r in after.items()} == {("a", None): "x", ("b", "e"): "z", ("b", None): "w"}
    assert after["a", None]["quarantined_at"] == before["a"]["quarantined_at"]  # unchanged rows are left alone
    assert after["b", "e"]["quarantined_at"] > before["b"]["quarantined_at"]
    warehouse.merge(QUARANTINE, refused(spark, ("a", None, None), ("n", None, None)), delete=no_reason)
    assert {r["path"] for r in warehouse.read(QUARANTINE).collect()} == {"b"}


def test_the_same_merge_twice_adds_no_file(spark: SparkSession, warehouse: TableStore) -> None:
    warehouse.merge(QUARANTINE, refused(spark, ("a", None, "x"), ("b", None, "y")))
    files = sorted(warehouse.read(QUARANTINE).inputFiles())
    warehouse.merge(QUARANTINE, refused(spark, ("a", None, "x"), ("b", None, "y")))
    assert sorted(warehouse.read(QUARANTINE).inputFiles()) == files


def test_merge_without_update_keeps_what_is_there(spark: SparkSession, warehouse: TableStore) -> None:
    ddl = "metric string, k int, value double"
    warehouse.merge(METRICS, spark.createDataFrame([("a", 1, 1.0)], ddl))
    warehouse.merge(METRICS, spark.createDataFrame([("a", 1, 2.0), ("a", None, 3.0)], ddl), update=False)
    assert {(r["k"], r["value"]) for r in warehouse.read(METRICS).collect()} == {(1, 1.0), (None, 3.0)}


def images(spark: SparkSession, rows: list[tuple], extra: str = "") -> object:  # type: ignore[type-arg]
    ddl = "image_id string, path string, source string, format string, width int, height int, n_bytes bigint, " \
          "modified_at timestamp, ingested_at timestamp"  # fmt: skip
    full = [(i, p, "s", "PNG", 1, 1, 1, None, None, *more) for i, p, *more in rows]
    return spark.createDataFrame(full, f"{ddl}, {extra}" if extra else ddl)


def test_an_open_table_carries_more_columns_as_they_come(spark: SparkSession, warehouse: TableStore) -> None:
    warehouse.merge(IMAGES, images(spark, [("i", "/a", "A")], "site string"))
    warehouse.merge(IMAGES, images(spark, [("j", "/b", 3)], "a_b int"))
    warehouse.merge(IMAGES, images(spark, [("i", "/a", "B", 7)], "site string, a_b int"))
    found = {r["path"]: (r["site"], r["a_b"]) for r in warehouse.read(IMAGES).collect()}
    assert found == {"/a": ("B", 7), "/b": (None, 3)}
    with pytest.raises(UserError, match=r"table 'images' cannot take these columns.*rename or cast"):
        warehouse.merge(IMAGES, images(spark, [("k", "/c", [1])], "site array<int>"))
    assert warehouse.read(IMAGES).count() == 2


def test_tables_that_are_not_open_take_no_more_columns(spark: SparkSession, warehouse: TableStore) -> None:
    frame = spark.createDataFrame([("a", 1, 1.0, "x")], "metric string, k int, value double, site string")
    warehouse.replace(METRICS, frame)
    assert tuple(warehouse.read(METRICS).columns) == METRICS.columns


def test_a_null_where_none_may_be_is_refused(spark: SparkSession, warehouse: TableStore) -> None:
    warehouse.replace(METRICS, spark.createDataFrame([("a", 1, 1.0)], "metric string, k int, value double"))
    schema = "query_id string, query_path string, rank int, image_id string, path string, score float"
    warehouse.replace(MATCHES, spark.createDataFrame([("q", None, 1, "i", None, 0.5)], schema))
    assert warehouse.read(MATCHES).count() == 1


def test_missing_things_are_named_with_the_next_step(
    spark: SparkSession, warehouse: TableStore, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"no such folder; run `./spark-submit.sh ingest`"):
        TableStore.open(spark, str(tmp_path / "none"))
    with pytest.raises(
        UserError, match=r"there is no table 'vectors' in .*run `./spark-submit.sh compress --warehouse"
    ):
        warehouse.read(VECTORS)
    spark.range(3).write.format("delta").save(f"{warehouse.location}/{IMAGE_LABELS.name}")
    with pytest.raises(UserError, match=r"'image_labels' lacks \['image_id', .*it has \['id'\]"):
        warehouse.read(IMAGE_LABELS)


def test_a_table_of_another_program_is_not_written_over(spark: SparkSession, warehouse: TableStore) -> None:
    theirs = spark.createDataFrame([(1, "a")], "id int, name string")
    theirs.write.format("delta").save(f"{warehouse.location}/metrics")
    rows = spark.createDataFrame([("a", 1, 0.5)], "metric string, k int, value double")
    for write in (warehouse.replace, warehouse.append, warehouse.insert_new, warehouse.merge):
        with pytest.raises(UserError, match=r"its table 'metrics' is not imgsearch's \(no column metric"):
            write(METRICS, rows)
    held = spark.read.format("delta").load(f"{warehouse.location}/metrics")
    assert [tuple(row) for row in held.collect()] == [(1, "a")]


def test_a_warehouse_in_a_catalog(spark: SparkSession) -> None:
    location = "spark_catalog.photos"
    with pytest.raises(UserError, match=r"no such schema; run `./spark-submit.sh ingest`"):
        TableStore.open(spark, location)
    warehouse = TableStore.open(spark, location, create=True)
    try:
        assert not warehouse.exists(METRICS)
        ddl = "metric string, k int, value double"
        warehouse.merge(METRICS, spark.createDataFrame([("a", 1, 1.0)], ddl))
        warehouse.merge(METRICS, spark.createDataFrame([("a", 1, 2.0)], ddl))
        warehouse.append(METRICS, spark.createDataFrame([("b", 1, 2.0)], ddl))
        again = TableStore.open(spark, location)
        assert {(r["metric"], r["value"]) for r in again.read(METRICS).collect()} == {("a", 2.0), ("b", 2.0)}
        assert again.versions_read == {"metrics": 2}
        assert again.version(METRICS) == again.delta(METRICS).history(1).first()["version"]
        assert spark.table("spark_catalog.photos.metrics").count() == 2
        assert again.folder().endswith("photos.db")
        assert read_any(spark, "spark_catalog.photos.metrics") is not None
        assert read_any(spark, "spark_catalog.photos.none") is None
    finally:
        spark.sql("DROP SCHEMA spark_catalog.photos CASCADE")


def test_a_catalog_that_spark_does_not_know(spark: SparkSession) -> None:
    with pytest.raises(UserError, match=r"Spark knows no catalog 'my'.*use spark_catalog.photos, or give a path"):
        TableStore.open(spark, "my.photos", create=True)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [("/a/b", "/a/b"), ("s3a://bucket/w/", "s3a://bucket/w"), ("file:/a/b", "file:/a/b"), ("hdfs:///x", "hdfs:///x")],
)
def test_places_are_absolute(given: str, wanted: str) -> None:
    assert absolute(given) == wanted


def test_relative_places_and_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert absolute("w") == str(tmp_path / "w")
    assert absolute("~/w") == str(tmp_path / "home" / "w")
