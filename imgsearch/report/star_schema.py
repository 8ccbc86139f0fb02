"""The star schema: flat tables for BI tools, without arrays and binaries."""

from __future__ import annotations

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
    quality = warehouse.read(EMBEDDINGS).where(F.col("encoder_id") == encoder_id).select("image_id", *QUALITY)
    ours = F.col("projection_id") == projection_id
    members = with_rank(warehouse.read_or_empty(MEMBERS).where(ours)).drop("projection_id", "codebook_id")
    labels = warehouse.read_or_empty(IMAGE_LABELS)
    first = Window.partitionBy("image_id").orderBy("path")
    one = images.withColumns(
        {"_n": F.row_number().over(first), "n_paths": F.count("*").over(Window.partitionBy("image_id"))}
    ).where("_n = 1")
    label = labels.select(
        "image_id", "label", F.col("confidence").alias("label_confidence"), F.col("origin").alias("label_origin")
    )
    dim_image = (
        one.drop("_n")
        .join(quality, on="image_id", how="left")
        .join(
            members.select("image_id", "cluster_id", F.col("score").alias("cluster_score"), "is_outlier"),
            on="image_id",
            how="left",
        )
        .join(label.dropDuplicates(["image_id"]), on="image_id", how="left")
        .join(
            points.select("image_id", F.col("x").alias("map_x"), F.col("y").alias("map_y")), on="image_id", how="left"
        )
    )
    # a cluster is called what most of its labelled members are called
    votes = (
        members.join(label.dropDuplicates(["image_id"]), on="image_id")
        .where("label IS NOT NULL")
        .groupBy("cluster_id", "label")
        .count()
    )
    names = (
        votes.groupBy("cluster_id")
        .agg(F.max(F.struct("count", "label")).alias("top"), F.sum("count").alias("all"))
        .select(
            "cluster_id", F.col("top.label").alias("label"), (F.col("top.count") / F.col("all")).alias("label_share")
        )
    )
    clusters = warehouse.read_or_empty(CLUSTERS).where(ours).drop("centroid", "projection_id", "codebook_id")
    dim_cluster = clusters.withColumn("metadata", F.to_json("metadata")).join(names, on="cluster_id", how="left")
    runs, searches = warehouse.read_or_empty(RUNS), warehouse.read_or_empty(SEARCHES)
    return {
        "dim_image": dim_image,
        "dim_cluster": dim_cluster,
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
