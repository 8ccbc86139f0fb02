"""Dedup: copies and near-copies within a warehouse (``duplicates``), or shared by two (``leaks``).

Copies are found by hash; with ``--augment`` edited ones by views and a geometric check (``edited``). Without, crowds
are collapsed in each cluster (one pass, ``leaders``), and the leaders that are left meet the others of their cluster
and of every cluster near enough (``near``). Groups have no chains: every member reaches the threshold with its
representative (``grouping``), and what somebody said is not the same is apart (``parting``). All of it are frames: the
driver holds the centroids, and at most ``grouping.DRIVER_PAIRS`` pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from imgsearch.clusters.codebook import Codebook
from imgsearch.clusters.layout import codebook
from imgsearch.config import DedupConfig
from imgsearch.duplicates.edited import edited_groups
from imgsearch.duplicates.grouping import GROUPED_SCHEMA, groups
from imgsearch.duplicates.leaders import Leaders
from imgsearch.duplicates.near import Stage, homes, near_across, near_pairs
from imgsearch.duplicates.parting import apart, parted
from imgsearch.errors import LAUNCHER, UserError
from imgsearch.images.sources import first_paths
from imgsearch.lake.batches import Batches, sample_rows, streamed
from imgsearch.lake.csv_files import write_batches
from imgsearch.lake.owned import check_file
from imgsearch.lake.runs import RunSummary, Stopwatch, finish
from imgsearch.lake.session import n_slots
from imgsearch.lake.store import TableStore
from imgsearch.projections.projecting import compress
from imgsearch.projections.projection import Projection
from imgsearch.projections.spaces import current_projection, gallery_of
from imgsearch.retrieval.join import image_key, sole_id
from imgsearch.retrieval.probes import runs
from imgsearch.tables import CLUSTERS, DUPLICATES, EMBEDDINGS, ENCODERS, IMAGES, LEAKS, PROJECTIONS
from imgsearch.vectors import unpack

LED_SCHEMA = "image_key bigint, leader_key bigint, score float, cluster_id int, vector binary"
#: Images of the other warehouse that are named for one here.
OTHERS = 10
#: Vectors that serve as centroids where neither warehouse has clusters.
SOME_CENTROIDS = 256


def run(spark: SparkSession, config: DedupConfig) -> RunSummary:
    """Replace ``duplicates``, or with ``--against`` ``leaks``."""
    watch = Stopwatch()
    warehouse = TableStore.open(spark, config.warehouse)
    if config.output is not None:
        check_file(config.output, "representative_id" if config.against is None else "other_path")
    spec = DUPLICATES if config.against is None else LEAKS
    images = warehouse.read(IMAGES).select("image_id", "path")
    n_files = images.count()
    details: dict[str, object] = {"threshold": config.threshold}
    notes: tuple[str, ...] = ()
    if config.against is None and not warehouse.exists(PROJECTIONS):
        rows = duplicates(images, spark.createDataFrame([], GROUPED_SCHEMA))
        notes = (f"there are no vectors yet, so these are copies only; `{LAUNCHER} compress` first for near-copies",)
    else:
        record, projection = current_projection(warehouse, config.encoder)
        if config.augment is not None:
            rows = duplicates(images, edited_groups(warehouse, record, projection, images, config))
        else:
            write_rows = _duplicates if config.against is None else leaks
            rows = write_rows(warehouse, projection, images, config)
    warehouse.replace(spec, rows)
    written = warehouse.read(spec)
    counts = {row["kind"]: row["n"] for row in written.groupBy("kind").agg(F.count("*").alias("n")).collect()}
    details |= {"copies": counts.get("copy", 0), "near": counts.get("near", 0)}
    if config.augment is not None:
        details |= {"edited": counts.get("edited", 0)}
    if config.against is None:
        details |= {"groups": written.select("representative_id").distinct().count()}
    if config.output is not None:
        order = ("representative_id", "path") if config.against is None else ("path", "other_path")
        write_batches(*streamed(written.orderBy(*order)), config.output, guard=config.csv_guard)
    return finish(warehouse, "dedup", watch, rows_in=n_files, rows_out=n_files, details=details, notes=notes)


def _duplicates(warehouse: TableStore, projection: Projection, images: DataFrame, config: DedupConfig) -> DataFrame:
    vectors = gallery_of(warehouse, projection.projection_id)
    centroids = codebook(warehouse, projection.projection_id, "dedup")
    grouped = near_groups(vectors, centroids, config.threshold, warehouse.stage)
    pairs = apart(warehouse)
    if not pairs.isEmpty():
        grouped = parted(grouped, pairs, vectors, centroids, config.threshold, warehouse.stage)
    return duplicates(images, grouped)


def near_groups(vectors: DataFrame, codebook: Codebook, threshold: float, stage: Stage) -> DataFrame:
    """``grouping.GROUPED_SCHEMA``: every near-copy among ``vectors`` with its group's representative."""
    led = stage(collapse(homes(vectors, codebook), threshold), "led")
    is_leader = F.col("image_key") == F.col("leader_key")
    leaders, followers = led.where(is_leader).select("image_key", "cluster_id", "vector"), led.where(~is_leader)
    crowds = followers.groupBy(F.col("leader_key").alias("image_key")).agg((F.count("*") + 1).alias("weight"))
    pairs = stage(near_pairs(leaders, codebook, threshold, stage), "pairs")
    joined = stage(groups(pairs, crowds, stage), "joined")
    lost = joined.select(F.col("image_key").alias("leader_key"))
    settled = followers.join(lost, on="leader_key", how="left_anti").select(
        "image_key", F.col("leader_key").alias("representative_key"), "score"
    )
    grouped = settled.unionByName(joined)
    orphans = followers.join(lost, on="leader_key", how="left_semi").select("image_key", "cluster_id", "vector")
    orphans = stage(orphans, "orphans")
    if orphans.isEmpty():
        return grouped
    heads = leaders.join(joined.select("image_key"), on="image_key", how="left_anti")
    return grouped.unionByName(regrouped(orphans, heads, codebook, threshold, stage))


def regrouped(orphans: DataFrame, heads: DataFrame, codebook: Codebook, threshold: float, stage: Stage) -> DataFrame:
    """Places for vectors whose leader follows another now: the best representative in reach, else among themselves."""
    reach = near_across(orphans, heads, codebook, threshold, stage)
    best = F.max(F.struct("score", (-F.col("right_key")).alias("lowest"))).alias("best")
    placed = reach.groupBy(F.col("left_key").alias("image_key")).agg(best)
    placed = stage(
        placed.select("image_key", (-F.col("best.lowest")).alias("representative_key"), F.col("best.score")), "placed"
    )
    rest = stage(orphans.join(placed, on="image_key", how="left_anti"), "rest")
    if rest.isEmpty():
        return placed
    alike = near_pairs(rest.select("image_key", "cluster_id", "vector"), codebook, threshold, stage)
    alone = rest.select("image_key", F.lit(1).alias("weight"))
    return placed.unionByName(groups(stage(alike, "alike"), alone, stage))


def collapse(vectors: DataFrame, threshold: float) -> DataFrame:
    """Within each cluster: every vector (``near.HOME_SCHEMA``) with its leader, the columns of ``LED_SCHEMA``."""
    n_tasks = n_slots(vectors.sparkSession) * 4
    by_cluster = vectors.repartition(n_tasks, "cluster_id").sortWithinPartitions("cluster_id", "image_key")
    return by_cluster.mapInArrow(leader_batches(threshold), LED_SCHEMA)


def leader_batches(threshold: float) -> Callable[[Batches], Batches]:
    """``near.HOME_SCHEMA`` batches in order of cluster → ``LED_SCHEMA`` batches."""

    def assign_leaders(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        leaders: Leaders | None = None
        current: int | None = None
        for batch in batches:
            keys, clusters, vectors = batch.column(0).to_numpy(), batch.column(1).to_numpy(), unpack(batch.column(2))
            for start, stop in runs(clusters):
                if leaders is None or int(clusters[start]) != current:
                    leaders, current = Leaders(threshold, vectors.shape[1]), int(clusters[start])
                led = leaders.add(vectors[start:stop], keys[start:stop])
                rows = batch.slice(start, stop - start)
                columns = [
                    rows.column(0), pa.array(led.leaders), pa.array(led.scores, pa.float32()),
                    rows.column(1), rows.column(2),
                ]  # fmt: skip
                yield pa.RecordBatch.from_arrays(
                    columns, names=["image_key", "leader_key", "score", "cluster_id", "vector"]
                )

    return assign_leaders


def duplicates(images: DataFrame, grouped: DataFrame) -> DataFrame:
    """The columns of ``duplicates``: every file of every group of two or more. ``grouped``: ``GROUPED_SCHEMA``, and of
    ``edited.edited_groups`` more columns."""
    files = images.withColumn("image_key", image_key("image_id"))
    heads = files.groupBy(F.col("image_key").alias("representative_key")).agg(
        sole_id().alias("representative_id"), F.min("path").alias("representative_path")
    )
    rows = files.join(grouped, on="image_key", how="left")
    rows = rows.withColumn("representative_key", F.coalesce("representative_key", "image_key"))
    sizes = rows.groupBy("representative_key").agg(F.count("*").alias("group_size")).where(F.col("group_size") > 1)
    rows = rows.join(sizes, on="representative_key", how="inner").join(heads, on="representative_key", how="inner")
    is_head = F.col("image_id") == F.col("representative_id")
    near = F.when(F.col("is_copy"), "edited").otherwise("near") if "is_copy" in grouped.columns else F.lit("near")
    kind = F.when(~is_head, near).when(F.col("path") == F.col("representative_path"), "representative")
    return rows.withColumn("kind", kind.otherwise("copy")).withColumn("score", F.coalesce("score", F.lit(1.0)))


def leaks(warehouse: TableStore, projection: Projection, images: DataFrame, config: DedupConfig) -> DataFrame:
    """The columns of ``leaks``: files here, and what stands in the other warehouse for each."""
    other = TableStore.open(warehouse.spark, str(config.against))
    other_images = first_paths(other.read(IMAGES)).toDF("other_id", "other_path")
    gallery, centroids = other_gallery(other, projection, config)
    vectors = gallery_of(warehouse, projection.projection_id).withColumn("cluster_id", F.lit(None).cast("int"))
    centroids = centroids or some_centroids(gallery)
    own_homes, other_homes = homes(vectors, centroids), homes(gallery, centroids)
    pairs = near_across(own_homes, other_homes, centroids, config.threshold, warehouse.stage)
    place = F.row_number().over(Window.partitionBy("left_key").orderBy(F.desc("score"), "right_key"))
    pairs = pairs.withColumn("place", place).where(F.col("place") <= OTHERS)
    keyed = images.withColumn("left_key", image_key("image_id"))
    near = pairs.join(keyed, on="left_key", how="inner").join(
        other_images.withColumn("right_key", image_key("other_id")), on="right_key", how="inner"
    )
    near = near.select("path", "image_id", "other_path", "other_id", F.lit("near").alias("kind"), "score")
    copies = images.join(other_images, on=F.col("image_id") == F.col("other_id"), how="inner")
    copies = copies.select(
        "path", "image_id", "other_path", "other_id", F.lit("copy").alias("kind"), F.lit(1.0).alias("score")
    )
    return copies.unionByName(near).withColumn("other_warehouse", F.lit(other.location))


def some_centroids(vectors: DataFrame) -> Codebook:
    """Some of ``vectors`` in the place of centroids: any will do, the nearer to the vectors the less is compared."""
    total = vectors.count()
    table = sample_rows(vectors.select("image_id", "vector"), "image_id", SOME_CENTROIDS, total)
    rows = unpack(table.limit(2 * SOME_CENTROIDS).toArrow().column("vector"))
    return Codebook(np.arange(len(rows)), rows, np.full(len(rows), -1, np.float32))


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
    usable = projected.where(F.col("vector").isNotNull())
    return usable.select("image_id", F.lit(None).cast("int").alias("cluster_id"), "vector"), None
