"""Dedup: copies and near-copies within a warehouse (``duplicates``), or shared by two (``leaks``).

Copies are found by hash. Then crowds are collapsed within each cluster (one pass, ``leaders``), and the leaders that
are left are searched against each other, in blocks, by the same product as any search, visiting only clusters that
can hold a row within the threshold. Groups have no chains: every member reaches the threshold with its representative.
What the driver holds is one block of vectors and the pairs found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from imgsearch.clusters.codebook import Codebook
from imgsearch.clusters.layout import codebook
from imgsearch.config import DedupConfig
from imgsearch.duplicates.leaders import Leaders, near_clusters
from imgsearch.duplicates.pairs import Pairs, group
from imgsearch.errors import LAUNCHER, UserError
from imgsearch.keys import order_keys
from imgsearch.lake.batches import Batches
from imgsearch.lake.csv_files import write_file
from imgsearch.lake.runs import RunSummary, Stopwatch, finish
from imgsearch.lake.session import n_slots
from imgsearch.lake.store import TableStore
from imgsearch.projections.projecting import compress
from imgsearch.projections.projection import Projection
from imgsearch.projections.spaces import current_projection, gallery_of
from imgsearch.retrieval.join import image_key, search
from imgsearch.retrieval.probes import UNCLUSTERED, stretches
from imgsearch.tables import CLUSTERS, DUPLICATES, EMBEDDINGS, ENCODERS, IMAGES, LEAKS
from imgsearch.vectors import Ids, Matrix, unpack

LED = "image_key bigint, leader_key bigint, score float"
#: Vectors that the driver holds and broadcasts at once: 50 MB at 256-d.
BLOCK = 50_000
#: Neighbours of one leader that are looked at. Leaders of a cluster are no neighbours of each other, so they are few.
NEIGHBOURS = 32
OTHERS = 10


class Grouped(NamedTuple):
    """Near-copies: ``keys`` follow ``representatives`` with ``scores``; (n,) each, no representative is a key."""

    keys: Ids
    representatives: Ids
    scores: np.ndarray


def run(spark: SparkSession, config: DedupConfig) -> RunSummary:
    """Replace ``duplicates``, or with ``--against`` ``leaks``."""
    watch = Stopwatch()
    warehouse = TableStore.open(spark, config.warehouse)
    _, projection = current_projection(warehouse, config.encoder)
    images = warehouse.read(IMAGES).select("image_id", "path")
    n_files = images.count()
    details: dict[str, object] = {"threshold": config.threshold}
    if config.against is not None:
        rows = leaks(warehouse, projection, images, config)
        spec = LEAKS
    else:
        grouped = near_groups(warehouse, projection, config.threshold)
        rows = duplicates(images, grouped)
        spec = DUPLICATES
    warehouse.replace(spec, rows)
    written = warehouse.read(spec)
    counts = {row["kind"]: row["n"] for row in written.groupBy("kind").agg(F.count("*").alias("n")).collect()}
    details |= {"copies": counts.get("copy", 0), "near": counts.get("near", 0)}
    if config.against is None:
        details |= {"groups": written.select("representative_id").distinct().count()}
    if config.output is not None:
        order = ("representative_id", "path") if config.against is None else ("path", "other_path")
        write_file(written.orderBy(*order).toArrow(), config.output)
    return finish(warehouse, "dedup", watch, rows_in=n_files, rows_out=n_files, details=details)


def near_groups(warehouse: TableStore, projection: Projection, threshold: float) -> Grouped:
    """Near-copies among the vectors of this projection, each with its group's representative."""
    book = codebook(warehouse, projection.projection_id, "dedup")
    vectors = gallery_of(warehouse, projection.projection_id)
    led = collapse(vectors, threshold).persist()
    try:
        followers = led.where(F.col("image_key") != F.col("leader_key")).toArrow()
    finally:
        led.unpersist()
    keys, leader_keys = followers.column("image_key").to_numpy(), followers.column("leader_key").to_numpy()
    scores = followers.column("score").to_numpy()
    leaders = without(vectors, keys)
    pairs = leader_pairs(leaders, book, threshold)
    if not len(pairs.left):
        return Grouped(keys, leader_keys, scores)
    names = np.unique(np.concatenate([pairs.left, pairs.right]))
    rows = Pairs(np.searchsorted(names, pairs.left), np.searchsorted(names, pairs.right), pairs.scores)
    crowd, sizes = np.unique(leader_keys, return_counts=True)
    weights = np.ones(len(names), np.int64)
    place = np.searchsorted(names, crowd)
    known = (place < len(names)) & (names[np.minimum(place, len(names) - 1)] == crowd)
    weights[place[known]] += sizes[known]
    groups = group(len(names), rows, weights)
    moved = groups.representative != np.arange(len(names))
    joined = Grouped(names[moved], names[groups.representative[moved]], groups.scores[moved])
    orphaned = np.isin(leader_keys, joined.keys)
    kept = Grouped(keys[~orphaned], leader_keys[~orphaned], scores[~orphaned])
    found = [kept, joined]
    if orphaned.any():
        gone = np.concatenate([kept.keys, joined.keys, keys[orphaned]])
        found.append(regrouped(vectors, keys[orphaned], without(vectors, gone), book, threshold))
    return Grouped(*(np.concatenate([part[i] for part in found]) for i in range(3)))


def collapse(vectors: DataFrame, threshold: float) -> DataFrame:
    """Level one, within each cluster: every vector with its leader, the columns of ``LED``."""
    spark = vectors.sparkSession
    by_cluster = vectors.repartition(n_slots(spark) * 4, "cluster_id").sortWithinPartitions("cluster_id", "image_id")
    return by_cluster.select("image_id", "vector", "cluster_id").mapInArrow(lead_batches(threshold), LED)


def lead_batches(threshold: float) -> Callable[[Batches], Batches]:
    """(image_id, vector, cluster_id) batches in order of cluster → ``LED`` batches."""

    def lead(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        leaders: Leaders | None = None
        current: int | None = None
        for batch in batches:
            vectors, keys = unpack(batch.column(1)), order_keys(batch.column(0))
            clusters = batch.column(2).fill_null(UNCLUSTERED).to_numpy().astype(np.int64)
            for start, stop in stretches(clusters):
                if leaders is None or int(clusters[start]) != current:
                    leaders, current = Leaders(threshold, vectors.shape[1]), int(clusters[start])
                led = leaders.add(vectors[start:stop], keys[start:stop])
                columns = [pa.array(keys[start:stop]), pa.array(led.leaders), pa.array(led.scores, pa.float32())]
                yield pa.RecordBatch.from_arrays(columns, names=["image_key", "leader_key", "score"])

    return lead


def leader_pairs(leaders: DataFrame, book: Codebook, threshold: float) -> Pairs:
    """Level two: the pairs of leaders at or above the threshold, block by block."""
    found: list[Pairs] = []
    for keys, vectors in blocks(leaders):
        nearest = near_clusters(vectors, book.centroids, book.cluster_ids, threshold, onward=True)
        rows = search(vectors, leaders, NEIGHBOURS, own=keys, min_score=threshold, nearest=nearest).toArrow()
        mine, other = keys[rows.column("query_row").to_numpy()], rows.column("image_key").to_numpy()
        found.append(Pairs(np.minimum(mine, other), np.maximum(mine, other), rows.column("score").to_numpy()))
    if not found:
        return Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
    left, right, scores = (np.concatenate(parts) for parts in zip(*found, strict=True))
    _, once = np.unique(np.stack([left, right], axis=1), axis=0, return_index=True)
    return Pairs(left[once], right[once], scores[once])


def blocks(vectors: DataFrame) -> Iterator[tuple[Ids, Matrix]]:
    """(keys, vectors) of at most about ``BLOCK`` rows at a time, clusters that lie together in one block."""
    sizes = vectors.groupBy("cluster_id").count().orderBy("cluster_id").collect()
    bins: list[tuple[list[int | None], int]] = []
    for row in sizes:
        if bins and bins[-1][1] + row["count"] <= BLOCK:
            bins[-1] = ([*bins[-1][0], row["cluster_id"]], bins[-1][1] + row["count"])
        else:
            bins.append(([row["cluster_id"]], row["count"]))
    for clusters, size in bins:
        numbers = [c for c in clusters if c is not None]
        inside = F.col("cluster_id").between(min(numbers), max(numbers)) if numbers else F.lit(False)
        if None in clusters:
            inside = inside | F.col("cluster_id").isNull()
        n_parts = -(-size // BLOCK)
        for part in range(n_parts):
            rows = vectors.where(inside)
            if n_parts > 1:
                rows = rows.where(F.pmod(F.xxhash64("image_id"), F.lit(n_parts)) == part)
            table = rows.select("image_id", "vector").toArrow().sort_by("image_id")
            if table.num_rows:
                yield order_keys(table.column("image_id")), unpack(table.column("vector"))


def regrouped(vectors: DataFrame, keys: Ids, representatives: DataFrame, book: Codebook, threshold: float) -> Grouped:
    """Places for vectors whose leader follows another now: the best representative in reach, else among themselves."""
    found: list[Grouped] = []
    for block_keys, rows in blocks(only(vectors, keys)):
        nearest = near_clusters(rows, book.centroids, book.cluster_ids, threshold, onward=False)
        best = search(rows, representatives, 1, min_score=threshold, nearest=nearest).toArrow()
        placed = best.column("query_row").to_numpy()
        found.append(Grouped(block_keys[placed], best.column("image_key").to_numpy(), best.column("score").to_numpy()))
        left = np.setdiff1d(np.arange(len(block_keys)), placed)
        led = Leaders(threshold, rows.shape[1]).add(rows[left], block_keys[left])
        follows = led.leaders != block_keys[left]
        found.append(Grouped(block_keys[left][follows], led.leaders[follows], led.scores[follows]))
    return Grouped(*(np.concatenate([part[i] for part in found]) for i in range(3)))


def duplicates(images: DataFrame, grouped: Grouped) -> DataFrame:
    """The columns of ``duplicates``: every file of every group of two or more."""
    spark = images.sparkSession
    table = pa.table(
        {
            "image_key": pa.array(grouped.keys, pa.int64()),
            "representative_key": pa.array(grouped.representatives, pa.int64()),
            "score": pa.array(grouped.scores, pa.float32()),
        }
    )
    near = spark.createDataFrame(table)
    files = images.withColumn("image_key", image_key("image_id"))
    heads = files.groupBy(F.col("image_key").alias("representative_key")).agg(
        F.first("image_id").alias("representative_id"), F.min("path").alias("representative_path")
    )
    rows = files.join(near, on="image_key", how="left")
    rows = rows.withColumn("representative_key", F.coalesce("representative_key", "image_key"))
    rows = rows.join(heads, on="representative_key", how="inner")
    is_head = F.col("image_id") == F.col("representative_id")
    kind = F.when(~is_head, "near").when(F.col("path") == F.col("representative_path"), "representative")
    rows = rows.withColumn("kind", kind.otherwise("copy")).withColumn("score", F.coalesce("score", F.lit(1.0)))
    size = F.count("*").over(Window.partitionBy("representative_id"))
    return rows.withColumn("group_size", size).where(F.col("group_size") > 1)


def leaks(warehouse: TableStore, projection: Projection, images: DataFrame, config: DedupConfig) -> DataFrame:
    """The columns of ``leaks``: files here, and what stands in the other warehouse for each."""
    spark = warehouse.spark
    other = TableStore.open(spark, str(config.against))
    there = other.read(IMAGES).groupBy("image_id").agg(F.min("path").alias("other_path"))
    there = there.withColumnRenamed("image_id", "other_id")
    gallery, book = other_gallery(other, projection, config)
    found: list[pa.Table] = []
    for keys, vectors in blocks(gallery_of(warehouse, projection.projection_id)):
        nearest = None
        if book is not None:
            nearest = near_clusters(vectors, book.centroids, book.cluster_ids, config.threshold, onward=False)
        rows = search(vectors, gallery, OTHERS, min_score=config.threshold, own=keys, nearest=nearest).toArrow()
        mine = pa.array(keys[rows.column("query_row").to_numpy()], pa.int64())
        found.append(
            pa.table({"image_key": mine, "other_key": rows.column("image_key"), "score": rows.column("score")})
        )
    columns = pa.schema([("image_key", pa.int64()), ("other_key", pa.int64()), ("score", pa.float32())])
    pairs = spark.createDataFrame(pa.concat_tables(found) if found else columns.empty_table())
    keyed = images.withColumn("image_key", image_key("image_id"))
    near = pairs.join(keyed, on="image_key", how="inner").join(
        there.withColumn("other_key", image_key("other_id")), on="other_key", how="inner"
    )
    near = near.select("path", "image_id", "other_path", "other_id", F.lit("near").alias("kind"), "score")
    copies = images.join(there, on=F.col("image_id") == F.col("other_id"), how="inner")
    copies = copies.select(
        "path", "image_id", "other_path", "other_id", F.lit("copy").alias("kind"), F.lit(1.0).alias("score")
    )
    return copies.unionByName(near).withColumn("other_warehouse", F.lit(other.location))


def other_gallery(other: TableStore, projection: Projection, config: DedupConfig) -> tuple[DataFrame, Codebook | None]:
    """The other warehouse's images in this projection. Raises ``UserError`` where another encoder made them."""
    made = [row["encoder_id"] for row in other.read(ENCODERS).select("encoder_id").collect()]
    if projection.encoder_id not in made:
        raise UserError(
            f"--against {config.against}: its embeddings were made by {', '.join(made) or 'no encoder'}, these by "
            f"{projection.encoder_id}: vectors of two encoders are never compared; "
            f"run `{LAUNCHER} embed` there with the same encoder"
        )
    vectors = gallery_of(other, projection.projection_id)
    if vectors.select("image_id").first() is not None:
        has_clusters = other.exists(CLUSTERS) and vectors.where(F.col("cluster_id").isNotNull()).first() is not None
        return vectors, codebook(other, projection.projection_id, "dedup") if has_clusters else None
    embeddings = other.read(EMBEDDINGS).where(F.col("encoder_id") == projection.encoder_id)
    projected = compress(embeddings.select("image_id", "embedding"), projection)
    return projected.where(F.col("vector").isNotNull()), None


def without(vectors: DataFrame, keys: Ids) -> DataFrame:
    """The rows whose key is not among ``keys``."""
    return _by_key(vectors, keys, "left_anti")


def only(vectors: DataFrame, keys: Ids) -> DataFrame:
    """The rows whose key is among ``keys``."""
    return _by_key(vectors, keys, "left_semi")


def _by_key(vectors: DataFrame, keys: Ids, how: str) -> DataFrame:
    sought = vectors.sparkSession.createDataFrame(pa.table({"_key": pa.array(keys, pa.int64())}))
    return vectors.join(F.broadcast(sought), on=image_key("image_id") == F.col("_key"), how=how)
