"""The star schema, written table by table: facts and dimensions of one projection; every key joins.

Where a fact names an image, a cluster or a search that has left the warehouse, the dimension has a row for it
(``is_present``, ``is_current`` false), or the fact's column is null. Dimensions are made of the facts as they were
written: each is computed once, and Spark plans short chains.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from imgsearch.clusters.store import with_rank
from imgsearch.lake.store import TableStore
from imgsearch.projections.spaces import projections_of
from imgsearch.report.star_calendar import calendar
from imgsearch.report.star_carried import Carried, flat_carried, image_date
from imgsearch.report.star_facts import FACT_IMAGE
from imgsearch.report.star_files import StarFolder
from imgsearch.report.star_history import cluster_events, drift_history, first_seen
from imgsearch.report.star_quarantine import refused_files
from imgsearch.report.star_sources import fingerprint_of_rows
from imgsearch.retrieval.searches import answers_of
from imgsearch.tables import (
    CLUSTERS,
    DUPLICATES,
    EMBEDDINGS,
    IMAGE_LABELS,
    IMAGES,
    MATCHES,
    MEMBERS,
    METRICS,
    RUNS,
    SEARCHES,
)

QUALITY = ("sharpness", "brightness", "contrast", "entropy")
Tables = Mapping[str, DataFrame]


def write_star(
    warehouse: TableStore,
    folder: StarFolder,
    encoder_id: str,
    projection_id: str,
    points: pa.Table,
    search_id: str | None,
) -> dict[str, DataFrame]:
    """Write the star, but for ``dim_thumbnail``; the written tables by name.

    ``points``: ``image_id``, ``x``, ``y`` of the images on the map. ``search_id``: whose matches; the last one's unless
    given. Raises ``UserError`` for a search that is not there.
    """
    carried = flat_carried(warehouse.read(IMAGES))
    carried = carried._replace(images=carried.images.withColumn("image_date", image_date(carried)))
    is_current = F.col("projection_id") == projection_id
    facts = _facts(warehouse, carried, encoder_id, projection_id, search_id)
    written = folder.write_all({**facts, **_records(warehouse)})
    embeddings = warehouse.read(EMBEDDINGS).where((F.col("encoder_id") == encoder_id) & F.col("region").isNull())
    clusters = warehouse.read_or_empty(CLUSTERS).where(is_current).drop("centroid", "projection_id", "codebook_id")
    gone = _mentioned_images(written, clusters)
    places = warehouse.spark.createDataFrame(points)
    dimensions = {
        "fact_image": _fact_image(carried, written),
        "dim_image": _dim_image(carried, gone, written, embeddings.select("image_id", *QUALITY), places),
        "dim_cluster": _dim_cluster(clusters, written),
        "dim_label": _dim_label(written["fact_label"]),
        "dim_query": _dim_query(written["fact_match"]),
    }
    written |= folder.write_all(dimensions, {"dim_image": fingerprint_of_rows(points)})
    return {**written, "dim_date": folder.write("dim_date", calendar(written.values()))}


def _facts(
    warehouse: TableStore, carried: Carried, encoder_id: str, projection_id: str, search_id: str | None
) -> dict[str, DataFrame]:
    projections = projections_of(warehouse, encoder_id)
    members = warehouse.read_or_empty(MEMBERS).where(F.col("projection_id") == projection_id)
    files = carried.images.select("path", "source", "image_date", "n_bytes")
    return {
        "fact_member": with_rank(members).drop("projection_id", "codebook_id"),
        "fact_match": _matches(warehouse, search_id),
        "fact_label": _labels(warehouse).join(files, on="path", how="inner"),
        "fact_duplicate": warehouse.read_or_empty(DUPLICATES).join(files, on="path", how="inner"),
        "fact_quarantine": refused_files(warehouse, carried),
        "fact_cluster_event": cluster_events(warehouse, projections),
        "fact_drift": drift_history(warehouse, projection_id, projections),
    }


def _records(warehouse: TableStore) -> dict[str, DataFrame]:
    """What the warehouse notes of itself; maps as JSON."""

    def record(frame: DataFrame, *maps: str) -> DataFrame:
        return frame.withColumns(
            {**{name: F.to_json(name) for name in maps}, "started_date": F.col("started_at").cast("date")}
        )

    return {
        "fact_metric": warehouse.read_or_empty(METRICS),
        "dim_search": record(warehouse.read_or_empty(SEARCHES), "settings", "versions_read"),
        "dim_run": record(warehouse.read_or_empty(RUNS), "versions_read", "versions_written", "details"),
    }


def _labels(warehouse: TableStore) -> DataFrame:
    """``image_labels``; where no label was given, the confidence is null."""
    confidence = F.when((F.col("origin") != "none") & F.col("label").isNotNull(), F.col("confidence"))
    return warehouse.read_or_empty(IMAGE_LABELS).withColumn("confidence", confidence)


def _matches(warehouse: TableStore, search_id: str | None) -> DataFrame:
    """The matches of one search; ``search_id`` is null for one that was not noted (an older warehouse)."""
    noted = warehouse.read_or_empty(SEARCHES).select("search_id", F.lit(True).alias("_noted"))
    rows = answers_of(warehouse, MATCHES, search_id).join(F.broadcast(noted), on="search_id", how="left")
    return rows.withColumn("search_id", F.when(F.col("_noted"), F.col("search_id"))).drop("_noted")


def _image_labels(labels: DataFrame) -> DataFrame:
    """One row an image: the label of the first of its paths."""
    first = F.min_by(F.struct("label", "confidence", "origin"), "path").alias("first")
    return labels.groupBy("image_id").agg(first).select(
        "image_id",
        F.col("first.label").alias("label"),
        F.col("first.confidence").alias("label_confidence"),
        F.col("first.origin").alias("label_origin"),
    )  # fmt: skip


def _dim_image(
    carried: Carried, mentioned: DataFrame, facts: Tables, quality: DataFrame, points: DataFrame
) -> DataFrame:
    """One row a content: its first path, and ``n_paths``; then those that only other tables name."""
    same = Window.partitionBy("image_id")
    images = carried.images
    numbered = images.withColumns({"_n": F.row_number().over(same.orderBy("path")), "n_paths": F.count("*").over(same)})
    present = numbered.where("_n = 1").drop("_n", "etag").withColumn("is_present", F.lit(True))
    gone = mentioned.join(images.select("image_id"), on="image_id", how="left_anti")
    gone = gone.withColumns({"n_paths": F.lit(0).cast("bigint"), "is_present": F.lit(False)})
    members = facts["fact_member"]
    details = [
        quality,
        members.select("image_id", "cluster_id", F.col("score").alias("cluster_score"), "is_outlier"),
        _image_labels(facts["fact_label"]),
        points.select("image_id", F.col("x").alias("map_x"), F.col("y").alias("map_y")),
    ]
    both = present.unionByName(gone, allowMissingColumns=True)
    return reduce(lambda frame, part: frame.join(part, on="image_id", how="left"), details, both)


def _mentioned_images(facts: Tables, clusters: DataFrame) -> DataFrame:
    """``image_id`` and ``path`` (or null): every image that another table names."""
    duplicates = facts["fact_duplicate"]
    named = [
        facts["fact_match"].select("image_id", "path"),
        duplicates.select("image_id", "path"),
        duplicates.select("representative_id", "representative_path"),
        facts["fact_label"].select("image_id", "path"),
        facts["fact_member"].select("image_id", F.lit(None).cast("string")),
        clusters.select("medoid_id", "medoid_path"),
    ]
    rows = reduce(DataFrame.union, named).where("image_id IS NOT NULL")
    return rows.groupBy("image_id").agg(F.min("path").alias("path"))


def _dim_cluster(clusters: DataFrame, facts: Tables) -> DataFrame:
    """The clusters of the last fit, and those that only members or the history name."""
    members, events = facts["fact_member"], facts["fact_cluster_event"]
    labels = cluster_names(members, _image_labels(facts["fact_label"]))
    current = clusters.withColumns({"metadata": F.to_json("metadata"), "is_current": F.lit(True)})
    named = [
        members.select("cluster_id"),
        members.select("second_cluster_id"),
        clusters.select("nearest_cluster_id"),
        events.select("cluster_id"),
        events.select("other_cluster_id"),
    ]
    mentioned = reduce(DataFrame.union, named).where("cluster_id IS NOT NULL").distinct()
    gone = mentioned.join(current.select("cluster_id"), on="cluster_id", how="left_anti")
    both = current.unionByName(gone.withColumn("is_current", F.lit(False)), allowMissingColumns=True)
    return first_seen(both.join(labels, on="cluster_id", how="left"), events, facts["fact_drift"])


def cluster_names(members: DataFrame, labels: DataFrame) -> DataFrame:
    """``cluster_id``, ``label`` and ``label_share``: a cluster has the name that most of its labelled members have."""
    votes = members.join(labels, on="image_id", how="inner").where("label IS NOT NULL").groupBy("cluster_id", "label")
    tops = votes.count().groupBy("cluster_id")
    return tops.agg(F.max(F.struct("count", "label")).alias("top"), F.sum("count").alias("all")).select(
        "cluster_id", F.col("top.label").alias("label"), (F.col("top.count") / F.col("all")).alias("label_share")
    )


def _dim_label(labels: DataFrame) -> DataFrame:
    return labels.where("label IS NOT NULL").groupBy("label").agg(
        F.count_distinct("image_id").alias("n_images"),
        F.count("*").alias("n_files"),
        F.count_if(F.col("origin") == "person").alias("n_by_person"),
        F.avg("confidence").alias("mean_confidence"),
    )  # fmt: skip


def _dim_query(matches: DataFrame) -> DataFrame:
    return matches.groupBy("query_id").agg(
        F.min("query_path").alias("query_path"),
        F.min("search_id").alias("search_id"),
        F.count("*").alias("n_matches"),
        F.max("score").alias("best_score"),
    )


def _fact_image(carried: Carried, facts: Tables) -> DataFrame:
    """One row a file."""
    own = [c for c in IMAGES.columns if c not in FACT_IMAGE.columns]
    files = carried.images.drop(*own)
    dates = {f"{what}_date": F.col(f"{what}_at").cast("date") for what in ("modified", "ingested")}
    dates["exif_date"] = F.col("exif_time").cast("date")
    members = facts["fact_member"].select("image_id", "cluster_id", "is_outlier")
    labels = facts["fact_label"].select("path", "label")
    return files.withColumns(dates).join(members, on="image_id", how="left").join(labels, on="path", how="left")
