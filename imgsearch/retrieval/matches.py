"""The join's rows with names: what ``matches`` and ``group_matches`` hold."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.lake.identifiers import quoted_part
from imgsearch.retrieval.join import image_key, sole_id
from imgsearch.retrieval.queries import QueryBatch
from imgsearch.tables import BOX


def named_matches(ranked: DataFrame, queries: QueryBatch, images: DataFrame, threshold: float | None) -> DataFrame:
    """``join.search``'s rows with names in place of numbers: the columns of ``matches``.

    Those of ``BOX`` are among them where ``ranked`` has them (``region_join.with_boxes``).
    """
    match = F.lit(None).cast("boolean") if threshold is None else F.col("score") >= F.lit(threshold).cast("float")
    inliers = F.col("inliers") if "inliers" in ranked.columns else F.lit(None).cast("int")
    return _named(ranked, queries, images).select(
        "query_id", "query_path", "rank", "image_id", "path", "score", match.alias("is_match"),
        inliers.alias("inliers"), *(name for name in BOX if name in ranked.columns),
    )  # fmt: skip


def named_groups(support: DataFrame, queries: QueryBatch, images: DataFrame, column: str) -> DataFrame:
    """``groups.SUPPORT`` with names: the columns of ``group_matches``. A path is one of the group's own."""
    spark = support.sparkSession
    value = F.col(quoted_part(column)).cast("string").alias("group_value")
    paths = images.groupBy(image_key("image_id").alias("image_key"), value)
    named = paths.agg(sole_id().alias("image_id"), F.min("path").alias("path"))
    return (
        support.join(F.broadcast(_numbered(spark, queries)), on="query_row", how="inner")
        .join(named, on=["image_key", "group_value"], how="inner")
        .withColumn("group_column", F.lit(column))
    )


def _named(ranked: DataFrame, queries: QueryBatch, images: DataFrame) -> DataFrame:
    spark = ranked.sparkSession
    keyed = images.withColumn("image_key", image_key("image_id"))
    some = keyed.join(ranked.select("image_key").distinct(), on="image_key", how="left_semi")
    named = some.groupBy("image_key").agg(sole_id().alias("image_id"), F.min("path").alias("path"))
    return ranked.join(F.broadcast(_numbered(spark, queries)), on="query_row", how="inner").join(
        named, on="image_key", how="inner"
    )


def _numbered(spark: SparkSession, queries: QueryBatch) -> DataFrame:
    """``query_row``, ``query_id``, ``query_path``."""
    return spark.createDataFrame(
        pa.table(
            {
                "query_row": np.arange(len(queries.ids), dtype=np.int32),
                "query_id": pa.array(queries.ids, pa.string()),
                "query_path": pa.array(queries.paths, pa.string()),
            }
        )
    )
