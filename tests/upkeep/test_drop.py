"""Dropping one encoder leaves the other whole, and nothing of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from support.warehouses import ENCODER_ID, clustered, make

from imgsearch.config import DropConfig
from imgsearch.errors import UserError
from imgsearch.lake.store import TableStore
from imgsearch.tables import ALL_TABLES, EMBEDDINGS, ENCODERS, IMAGES, MEMBERS, PROJECTIONS, QUARANTINE, VECTORS
from imgsearch.upkeep import drop


@pytest.fixture
def two_encoders(spark: SparkSession, tmp_path: Path) -> TableStore:
    """``make``'s encoder, and another of the same name with one embedding, one refusal and no projection."""
    vectors, clusters, centroids = clustered(12, 3)
    made = make(spark, tmp_path / "w", vectors, clusters, centroids)
    warehouse = TableStore.open(spark, made.location)
    other = F.lit("other-encoder").alias("encoder_id")
    warehouse.append(ENCODERS, spark.table(warehouse.name(ENCODERS)).withColumn("encoder_id", other))
    one = spark.table(warehouse.name(EMBEDDINGS)).limit(1)
    warehouse.append(EMBEDDINGS, one.withColumn("encoder_id", other))
    refused = spark.createDataFrame([("/p", "embed", "r")], "path string, stage string, reason string")
    both = refused.crossJoin(spark.table(warehouse.name(ENCODERS)).select("encoder_id"))
    rest = {"image_id": F.lit(None).cast("string"), "detail": F.lit(""), "quarantined_at": F.current_timestamp()}
    warehouse.append(QUARANTINE, both.withColumns(rest))
    return warehouse


def test_drop(spark: SparkSession, two_encoders: TableStore) -> None:
    where = two_encoders.location
    with pytest.raises(UserError, match=r"--encoder none: 2 encoders .* give one's id: an-encoder, other-encoder"):
        drop.run(spark, DropConfig(warehouse=where, encoder="none"))
    with pytest.raises(UserError, match=r"--encoder resnet50: the embeddings in .* were made by"):
        drop.run(spark, DropConfig(warehouse=where, encoder="resnet50"))

    summary = drop.run(spark, DropConfig(warehouse=where, encoder=ENCODER_ID))
    assert (summary.rows_in, summary.rows_out) == (12, 12)
    left = {spec.name: spark.table(two_encoders.name(spec)) for spec in ALL_TABLES if two_encoders.exists(spec)}
    for spec in (PROJECTIONS, VECTORS, MEMBERS):
        assert left[spec.name].count() == 0, spec.name
    for spec in (EMBEDDINGS, ENCODERS, QUARANTINE):
        assert [row["encoder_id"] for row in left[spec.name].collect()] == ["other-encoder"], spec.name
    assert left[IMAGES.name].count() == 12
