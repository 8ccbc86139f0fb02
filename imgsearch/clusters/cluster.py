"""Cluster: ``vectors`` → ``clusters`` and ``members``, by spherical k-means.

Seeds come from a sample (k-means++ and rounds on the driver), then every round is one pass: matrix products against
broadcast centroids, one partial sum a task. The result is handed back as an MLlib ``KMeansModel`` too, whose i-th
centre is the i-th row of ``clusters`` by number. A re-fit keeps the numbers of clusters that are still there, so labels
and dashboards survive it; without one, new images are assigned to the clusters there are, and ``drift`` says how well
they fit.

What happens to what is odd: a cluster that is empty takes half of the costliest one, or is left out where nothing can
be divided (identical frames count once when centroids are placed, so they take one cluster); vectors that are zero, NaN
or not of unit length go to ``quarantine``; more clusters than images are refused.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.clusters.blocks import in_blocks, read_sample, sampled_share
from imgsearch.clusters.count import choose_n_clusters
from imgsearch.clusters.description import outliers
from imgsearch.clusters.drift import expected_level, level
from imgsearch.clusters.drift_table import record_assign, record_fit
from imgsearch.clusters.layout import lay_out
from imgsearch.clusters.rounds import Fitted, assign, fit
from imgsearch.clusters.store import (
    Codebook,
    Members,
    read_codebook,
    read_members,
    renumbered,
    stable_ids,
    write_clusters,
    write_events,
)
from imgsearch.config import ClusterConfig
from imgsearch.errors import UserError
from imgsearch.lake.mllib import kmeans_model
from imgsearch.lake.runs import RunSummary, Stopwatch, finish
from imgsearch.lake.store import TableStore
from imgsearch.projections.spaces import current_projection, vectors_of
from imgsearch.tables import CLUSTER_CURVE, QUARANTINE
from imgsearch.vectors import Matrix

SAMPLE = 30_000
PER_CLUSTER = 64  # the sample holds at least this many vectors a cluster, where there are as many
CHOICE_SAMPLE = 4_000

Curve = list[tuple[int, float]]


def run(spark: SparkSession, config: ClusterConfig) -> RunSummary:
    """Make clusters of the current projection's vectors, or assign what is new to those there are."""
    watch = Stopwatch()
    warehouse = TableStore.open(spark, config.warehouse)
    _, projection = current_projection(warehouse, config.encoder)
    vectors = vectors_of(warehouse, projection.projection_id).select("image_id", "vector")
    codebook = None if config.refit else read_codebook(warehouse, projection.projection_id)
    if codebook is not None and config.n_clusters in ("auto", str(len(codebook.cluster_ids))):
        members = read_members(vectors, warehouse, projection.projection_id, codebook)
        if members is not None:
            return _assign_new(warehouse, projection.projection_id, vectors, codebook, members, watch)
    return _fit_all(warehouse, projection.projection_id, projection.n_components, vectors, config, watch)


def _fit_all(
    warehouse: TableStore, projection_id: str, dim: int, vectors: DataFrame, config: ClusterConfig, watch: Stopwatch
) -> RunSummary:
    total = vectors.count()
    if not total:
        raise UserError("there is no vector to cluster; run compress first")
    wanted = SAMPLE if config.n_clusters == "auto" else max(SAMPLE, PER_CLUSTER * int(config.n_clusters))
    blocks = in_blocks(vectors, dim, sampled_share(wanted, total, config.seed)).persist()
    try:
        unusable = _quarantine_unusable(warehouse, blocks)
        usable = total - unusable
        if config.n_clusters != "auto" and int(config.n_clusters) > usable:
            raise UserError.option(
                "n_clusters", config.n_clusters, f"there are {usable:,} images; ask for {usable:,} or fewer"
            )
        if not usable:
            raise UserError(f"none of the {total:,} vectors can be clustered (see 'quarantine'); run compress --refit")
        sample = read_sample(blocks, dim).vectors
        n_clusters, curve, notes = _n_clusters(sample, usable, config)
        fitted = fit(
            blocks, sample, n_clusters, engine=config.engine, max_iterations=config.max_iterations, seed=config.seed
        )
        members = Members.of_table(assign(blocks, fitted.centroids).toArrow())
    finally:
        blocks.unpersist()
    stable, events = stable_ids(warehouse, members, len(fitted.centroids))
    codebook, members = renumbered(fitted.centroids, members, stable)
    write_clusters(warehouse, projection_id, codebook, members)
    write_events(warehouse, events)
    chosen = [(n, float(value), n == n_clusters) for n, value in curve]
    frame = warehouse.spark.createDataFrame(chosen, "n_clusters int, criterion double, chosen boolean")
    warehouse.replace(CLUSTER_CURVE, frame.coalesce(1))
    record_fit(warehouse, projection_id, expected_level(members.cluster, members.scores, codebook.fences))
    lay_out(warehouse, projection_id)
    _keep_model(warehouse, projection_id, codebook, fitted)
    if len(codebook.cluster_ids) < n_clusters:
        notes.append(f"{n_clusters:,} clusters were asked for, and the images fill {len(codebook.cluster_ids):,}")
    return finish(
        warehouse,
        "cluster",
        watch,
        rows_in=total,
        rows_out=len(members.image_ids),
        quarantined=unusable,
        details={
            "n_clusters": len(codebook.cluster_ids),
            "cost": f"{fitted.cost:.1f}",
            "rounds": fitted.n_rounds,
            "engine": config.engine,
        },
        notes=tuple(notes),
    )


def _assign_new(
    warehouse: TableStore,
    projection_id: str,
    vectors: DataFrame,
    codebook: Codebook,
    members: Members,
    watch: Stopwatch,
) -> RunSummary:
    """Members for the vectors that have no cluster yet; numbers, centroids and fences stay as the fit left them."""
    known = warehouse.spark.createDataFrame(
        pa.table({"image_id": pa.array(members.image_ids.astype(str), pa.string())})
    )
    new = vectors.join(known, on="image_id", how="left_anti")
    blocks = in_blocks(new, codebook.centroids.shape[1]).persist()
    try:
        unusable = _quarantine_unusable(warehouse, blocks)
        added = Members.of_table(assign(blocks, codebook.centroids).toArrow())
    finally:
        blocks.unpersist()
    n_added = len(added.image_ids)
    details: dict[str, object] = {"n_clusters": len(codebook.cluster_ids), "assigned": n_added}
    notes: list[str] = []
    if n_added:
        write_clusters(warehouse, projection_id, codebook, members.and_also(added))
        is_outlier = outliers(added.cluster, added.scores, codebook.fences)
        found = record_assign(warehouse, projection_id, level(added.scores, is_outlier))
        details["outliers"] = int(is_outlier.sum())
        if found is not None:
            details |= {"outlier_change": f"{found.outlier_change:+.3f}", "score_change": f"{found.score_change:+.4f}"}
            if found.reason:
                notes.append(f"a re-fit is due: {found.reason}; run cluster with --refit (numbers are kept)")
    return finish(
        warehouse,
        "cluster",
        watch,
        rows_in=n_added + unusable,
        rows_out=n_added,
        quarantined=unusable,
        details=details,
        notes=tuple(notes),
    )


def _n_clusters(sample: Matrix, total: int, config: ClusterConfig) -> tuple[int, Curve, list[str]]:
    """How many clusters; the curve it was picked from, and what to say about it."""
    if config.n_clusters != "auto":
        return int(config.n_clusters), [], []
    distinct = np.unique(sample, axis=0)  # copies say nothing about how many kinds there are
    drawn = np.random.default_rng(config.seed).permutation(len(distinct))[:CHOICE_SAMPLE]
    choice = choose_n_clusters(distinct[drawn], seed=config.seed)
    notes = []
    if choice.curve and choice.n_clusters == choice.curve[-1][0] and total > CHOICE_SAMPLE:
        notes.append(
            f"{choice.n_clusters} clusters are as many as a sample of {CHOICE_SAMPLE:,} can tell apart; "
            "the collection may hold more: give --n-clusters N"
        )
    return choice.n_clusters, list(choice.curve), notes


def _quarantine_unusable(warehouse: TableStore, blocks: DataFrame) -> int:
    """Note the vectors that have no direction; returns how many they are."""
    unusable = blocks.where(F.col("vectors").isNull()).select(F.explode("image_ids").alias("image_id"))
    n = unusable.count()
    if n:
        rows = unusable.select(
            F.col("image_id").alias("path"), "image_id", F.lit("cluster").alias("stage"),
            F.lit(None).cast("string").alias("encoder_id"), F.lit("no_direction").alias("reason"),
            F.lit("its vector is zero, NaN or not of unit length").alias("detail"),
            F.current_timestamp().alias("quarantined_at"),
        )  # fmt: skip
        warehouse.merge(QUARANTINE, rows)
    return n


def _keep_model(warehouse: TableStore, projection_id: str, codebook: Codebook, fitted: Fitted) -> None:
    path = f"{warehouse.folder()}/models/kmeans/{projection_id}"
    centres = codebook.centroids.astype(float).tolist()
    kmeans_model(warehouse.spark, centres, fitted.cost, fitted.n_rounds).write().overwrite().save(path)
