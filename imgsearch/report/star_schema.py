"""The star schema: flat tables for BI tools, without arrays and binaries."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from imgsearch.clusters.store import with_rank
from imgsearch.lake.store import TableStore
from imgsearch.retrieval.searches import answers_of
from imgsearch.tables import (
    CLUSTERS,
    EMBEDDINGS,
    IMAGE_LABELS,
    IMAGES,
    MATCHES,
    MEMBERS,
    METRICS,
    QUARANTINE,
    RUNS,
    SEARCHES,
)

QUALITY = ("sharpness", "brightness", "contrast", "entropy")


def flat_tables(
    warehouse: TableStore, encoder_id: str, projection_id: str, points: DataFrame, search_id: str | None
) -> dict[str, DataFrame]:
    """``dim_image``, ``dim_cluster``, ``fact_member``, ``fact_match`` and what stands beside them.

    ``dim_image`` has one row per content (its first path, ``n_paths`` in all); ``image_path`` has every path;
    ``fact_match`` has the matches of one search: the last, or the one named.
    """
    images = warehouse.read(IMAGES)
    is_current = F.col("projection_id") == projection_id
    members = with_rank(warehouse.read_or_empty(MEMBERS).where(is_current)).drop("projection_id", "codebook_id")
    labels = _labels(warehouse)
    details = [
        warehouse.read(EMBEDDINGS).where(F.col("encoder_id") == encoder_id).select("image_id", *QUALITY),
        members.select("image_id", "cluster_id", F.col("score").alias("cluster_score"), "is_outlier"),
        labels,
        points.select("image_id", F.col("x").alias("map_x"), F.col("y").alias("map_y")),
    ]
    clusters = warehouse.read_or_empty(CLUSTERS).where(is_current).drop("centroid", "projection_id", "codebook_id")
    names = cluster_names(members, labels)
    runs, searches = warehouse.read_or_empty(RUNS), warehouse.read_or_empty(SEARCHES)
    return {
        "dim_image": reduce(
            lambda frame, part: frame.join(part, on="image_id", how="left"), details, _one_path(images)
        ),
        "dim_cluster": clusters.withColumn("metadata", F.to_json("metadata")).join(names, on="cluster_id", how="left"),
        "image_path": images.select(
            "image_id", "path", "source", *(c for c in images.columns if c not in IMAGES.columns)
        ),
        "fact_member": members,
        "fact_match": answers_of(warehouse, MATCHES, search_id),
        "searches": searches.withColumns({c: F.to_json(c) for c in ("settings", "versions_read")}),
        "quarantine": warehouse.read_or_empty(QUARANTINE),
        "metrics": warehouse.read_or_empty(METRICS),
        "runs": runs.withColumns({c: F.to_json(c) for c in ("versions_read", "versions_written", "details")}),
    }


def _one_path(images: DataFrame) -> DataFrame:
    """One row per content: its first path, and ``n_paths``."""
    same = Window.partitionBy("image_id")
    numbered = images.withColumns({"_n": F.row_number().over(same.orderBy("path")), "n_paths": F.count("*").over(same)})
    return numbered.where("_n = 1").drop("_n")


def _labels(warehouse: TableStore) -> DataFrame:
    """``image_id``, ``label``, ``label_confidence``, ``label_origin``: one row an image."""
    labels = warehouse.read_or_empty(IMAGE_LABELS).select(
        "image_id", "label", F.col("confidence").alias("label_confidence"), F.col("origin").alias("label_origin")
    )
    return labels.dropDuplicates(["image_id"])


def cluster_names(members: DataFrame, labels: DataFrame) -> DataFrame:
    """``cluster_id``, ``label`` and ``label_share``: a cluster has the name that most of its labelled members have."""
    votes = members.join(labels, on="image_id", how="inner").where("label IS NOT NULL").groupBy("cluster_id", "label")
    tops = votes.count().groupBy("cluster_id")
    return tops.agg(F.max(F.struct("count", "label")).alias("top"), F.sum("count").alias("all")).select(
        "cluster_id", F.col("top.label").alias("label"), (F.col("top.count") / F.col("all")).alias("label_share")
    )
