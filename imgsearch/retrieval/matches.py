"""The join's rows with names: what ``matches`` and ``group_matches`` hold; and the join for notebooks."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.errors import UserError
from imgsearch.retrieval.join import NO_SCORE, image_key, search, sole_id
from imgsearch.retrieval.queries import Asked
from imgsearch.vectors import unpack


def find(
    queries: DataFrame,
    gallery: DataFrame,
    top_k: int = 10,
    *,
    min_score: float | None = None,
    exclude_self: bool = False,
) -> DataFrame:
    """The join from a notebook: frames in, frame out.

    ``queries`` and ``gallery`` have ``image_id`` (sha-256 hex) and ``vector`` (packed float32, unit length), such as
    rows of ``vectors``. Returns ``query_id``, ``rank`` (from 1), ``image_id``, ``score``. Raises ``UserError``.
    """
    for name, frame in (("queries", queries), ("gallery", gallery)):
        missing = [c for c in ("image_id", "vector") if c not in frame.columns]
        if missing:
            raise UserError(
                f"search: {name} lacks {missing} (it has {frame.columns}); give rows of the table 'vectors'"
            )
    if top_k < 1:
        raise UserError(f"search: top_k {top_k}: must be at least 1")
    spark = gallery.sparkSession
    table = queries.select("image_id", "vector").orderBy("image_id").toArrow()
    first = gallery.select("vector").first()
    if not table.num_rows or first is None:
        return spark.createDataFrame([], "query_id string, rank int, image_id string, score float")
    dim = len(first["vector"]) // 4
    try:
        vectors = unpack(table.column("vector"), dim)
    except ValueError as e:
        raise UserError(
            f"search: queries have {e}, the dimension of the gallery; project both with one projection"
        ) from e
    asked = Asked(table.column("image_id").to_pylist(), [None] * table.num_rows, vectors, table.num_rows)
    found = search(
        vectors, gallery, top_k,
        own=asked.own if exclude_self else None, min_score=NO_SCORE if min_score is None else min_score,
    )  # fmt: skip
    keyed = gallery.select("image_id", image_key("image_id").alias("image_key"))
    some = keyed.join(found.select("image_key").distinct(), on="image_key", how="left_semi")
    named = some.groupBy("image_key").agg(sole_id().alias("image_id"))
    return (
        found.join(F.broadcast(_numbered(spark, asked)), on="query_row", how="inner")
        .join(named, on="image_key", how="inner")
        .select("query_id", "rank", "image_id", "score")
    )


def named_matches(found: DataFrame, asked: Asked, images: DataFrame, threshold: float | None) -> DataFrame:
    """``join.search``'s rows with names in place of numbers: the columns of ``matches``."""
    match = F.lit(None).cast("boolean") if threshold is None else F.col("score") >= F.lit(threshold).cast("float")
    return _named(found, asked, images).select(
        "query_id", "query_path", "rank", "image_id", "path", "score", match.alias("is_match")
    )


def named_groups(support: DataFrame, asked: Asked, images: DataFrame, column: str) -> DataFrame:
    """``groups.SUPPORT`` with names: the columns of ``group_matches``. A path is one of the group's own."""
    spark = support.sparkSession
    value = F.col(f"`{column}`").cast("string").alias("group_value")
    paths = images.groupBy(image_key("image_id").alias("image_key"), value)
    named = paths.agg(sole_id().alias("image_id"), F.min("path").alias("path"))
    return (
        support.join(F.broadcast(_numbered(spark, asked)), on="query_row", how="inner")
        .join(named, on=["image_key", "group_value"], how="inner")
        .withColumn("group_column", F.lit(column))
    )


def _named(found: DataFrame, asked: Asked, images: DataFrame) -> DataFrame:
    spark = found.sparkSession
    keyed = images.withColumn("image_key", image_key("image_id"))
    some = keyed.join(found.select("image_key").distinct(), on="image_key", how="left_semi")
    named = some.groupBy("image_key").agg(sole_id().alias("image_id"), F.min("path").alias("path"))
    return found.join(F.broadcast(_numbered(spark, asked)), on="query_row", how="inner").join(
        named, on="image_key", how="inner"
    )


def _numbered(spark: SparkSession, asked: Asked) -> DataFrame:
    """``query_row``, ``query_id``, ``query_path``."""
    return spark.createDataFrame(
        pa.table(
            {
                "query_row": np.arange(len(asked.ids), dtype=np.int32),
                "query_id": pa.array(asked.ids, pa.string()),
                "query_path": pa.array(asked.paths, pa.string()),
            }
        )
    )
