"""Cluster: ``vectors`` → ``clusters`` and ``members``, by spherical k-means.

Seeds come from a sample (k-means++ and rounds on the driver), then every round is one pass: matrix products against
broadcast centroids, one partial sum a task. Members stay a frame from the assignment to the table. The driver holds the
sample, the centroids and a few numbers a cluster, whatever the number of images. The result is handed back as an MLlib
``KMeansModel`` too, whose i-th centre is the i-th row of ``clusters`` by number. A re-fit keeps the numbers of clusters
that are still there, so labels and dashboards survive it. Without one, new images are assigned to the clusters there
are at the cost of the new images, and ``drift`` says how well they fit.

What happens to what is odd: a cluster that is empty takes half of the costliest one, or is left out where nothing can
be divided (identical frames count once when centroids are placed, so they take one cluster); vectors that are zero, NaN
or not of unit length go to ``quarantine``; more clusters than images are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.clusters.blocks import in_blocks, read_sample
from imgsearch.clusters.codebook import Codebook
from imgsearch.clusters.count import LEAST_MEMBERS, Choice, choose_n_clusters
from imgsearch.clusters.drift import stretch
from imgsearch.clusters.drift_table import expected_level, level_of, record_assign, record_fit
from imgsearch.clusters.layout import Sizes, is_scattered, lay_out, lay_out_new
from imgsearch.clusters.metadata import top_metadata
from imgsearch.clusters.numbers import Lineage, stable_ids, write_events
from imgsearch.clusters.rounds import Fitted, assign, fit
from imgsearch.clusters.store import member_rows, numbered, read_codebook, rows_of, sizes_of, unseen, write_clusters
from imgsearch.clusters.thresholds import thresholds_of
from imgsearch.config import ClusterConfig
from imgsearch.errors import UserError
from imgsearch.lake.batches import sampled_share
from imgsearch.lake.mllib import kmeans_model
from imgsearch.lake.quarantine import quarantine, without_direction
from imgsearch.lake.rows import frame_of
from imgsearch.lake.runs import RunSummary, Stopwatch, exclusive, finish
from imgsearch.lake.store import TableStore
from imgsearch.projections.spaces import current_projection, gallery_of, projections_of, vectors_of
from imgsearch.tables import CLUSTER_CURVE, CLUSTERS, IMAGES, MEMBERS, VECTORS
from imgsearch.vectors import Matrix

SAMPLE = 30_000
PER_CLUSTER = 64  # the sample holds at least this many vectors a cluster, where there are as many
CHOICE_SAMPLE = 4_000
FILE_MEMBERS = 200_000

Curve = list[tuple[int, float]]


class Space(NamedTuple):
    """Where clusters are made: the warehouse, the projection and those it replaces, and the vectors' dimension."""

    warehouse: TableStore
    lineage: Lineage
    dim: int

    @property
    def projection_id(self) -> str:
        """Of the vectors that are clustered."""
        return self.lineage.projection_id


@exclusive("vectors")
def run(spark: SparkSession, config: ClusterConfig) -> RunSummary:
    """Make clusters of the current projection's vectors, or assign what is new to those there are."""
    watch = Stopwatch()
    warehouse = TableStore.open(spark, config.warehouse)
    encoder, projection = current_projection(warehouse, config.encoder)
    projection_id = projection.projection_id
    earlier = tuple(each for each in projections_of(warehouse, encoder.encoder_id) if each != projection_id)
    space = Space(warehouse, Lineage(projection_id, earlier), projection.n_components)
    codebook = None if config.refit else read_codebook(warehouse, projection_id)
    if codebook is not None and config.n_clusters in ("auto", str(len(codebook.cluster_ids))):
        return _assign_new(space, codebook, watch)
    return _fit_all(space, config, watch)


def _fit_all(space: Space, config: ClusterConfig, watch: Stopwatch) -> RunSummary:
    vectors = vectors_of(space.warehouse, space.projection_id).select("image_id", "vector")
    total = vectors.count()
    if not total:
        raise UserError("there is no vector to cluster; run compress first")
    n_sampled = SAMPLE if config.n_clusters == "auto" else max(SAMPLE, PER_CLUSTER * int(config.n_clusters))
    with persisted(in_blocks(vectors, space.dim, sampled_share("image_id", n_sampled, total, config.seed))) as blocks:
        unusable = _quarantine_unusable(space.warehouse, blocks)
        _refuse_too_few(config, total, total - unusable)
        sample = read_sample(blocks, space.dim).vectors
        n_clusters, curve, notes = _n_clusters(sample, total - unusable, config)
        fitted = fit(
            blocks, sample, n_clusters, engine=config.engine, max_iterations=config.max_iterations, seed=config.seed
        )
        sizes = _write_fit(space, blocks, fitted, [(n, cost, n == n_clusters) for n, cost in curve])
    if len(sizes) < n_clusters:
        notes.append(f"{n_clusters:,} clusters were asked for, and the images fill {len(sizes):,}")
    return finish(
        space.warehouse, "cluster", watch, rows_in=total, rows_out=int(sizes.sum()), quarantined=unusable,
        details={
            "n_clusters": len(sizes), "cost": f"{fitted.cost:.1f}", "rounds": fitted.n_rounds, "engine": config.engine,
        },
        notes=tuple(notes),
    )  # fmt: skip


def _refuse_too_few(config: ClusterConfig, total: int, usable: int) -> None:
    if config.n_clusters != "auto" and int(config.n_clusters) > usable:
        raise UserError.option(
            "n_clusters", config.n_clusters, f"there are {usable:,} images; ask for {usable:,} or fewer"
        )
    if not usable:
        raise UserError(f"none of the {total:,} vectors can be clustered (see 'quarantine'); run compress --refit")


def _write_fit(space: Space, blocks: DataFrame, fitted: Fitted, curve: list[tuple[int, float, bool]]) -> Sizes:
    """Assign all vectors and write every table; returns the size of each cluster, none of which is empty."""
    with persisted(assign(blocks, fitted.centroids)) as assigned:
        sizes = sizes_of(assigned, "cluster", np.arange(len(fitted.centroids)))
        if (sizes > 0).all():
            blocks.unpersist()
            _write_tables(space, fitted, assigned, sizes, curve)
            return sizes
    return _write_fit(space, blocks, fitted._replace(centroids=fitted.centroids[sizes > 0]), curve)


def _write_tables(
    space: Space, fitted: Fitted, assigned: DataFrame, sizes: Sizes, curve: list[tuple[int, float, bool]]
) -> None:
    """``members`` first and ``clusters`` last: until then ``read_codebook`` finds no clusters (see ``store``)."""
    warehouse, projection_id, own = space.warehouse, space.projection_id, space.lineage.is_own()
    stable, events = stable_ids(warehouse, space.lineage, assigned, len(sizes))
    codebook = Codebook(stable.astype(np.int64), fitted.centroids, thresholds_of(assigned, sizes))
    rows = member_rows(assigned, projection_id, codebook)
    warehouse.replace(MEMBERS, rows.coalesce(max(1, int(sizes.sum()) // FILE_MEMBERS)), where=own)
    lay_out(warehouse, projection_id, codebook, sizes)
    write_events(warehouse, projection_id, events)
    frame = frame_of(warehouse.spark, CLUSTER_CURVE, [(projection_id, *point) for point in curve])
    warehouse.replace(CLUSTER_CURVE, frame, where=own)
    level = expected_level(numbered(assigned, codebook, stretch=stretch(sizes)))
    record_fit(warehouse, projection_id, level)
    _keep_model(warehouse, projection_id, codebook.sorted(), fitted)
    members = rows_of(warehouse, MEMBERS, projection_id)
    metadata = top_metadata(warehouse.read(IMAGES), members)
    write_clusters(warehouse, projection_id, codebook.sorted(), metadata, own)


def _assign_new(space: Space, codebook: Codebook, watch: Stopwatch) -> RunSummary:
    """Members for the vectors that have no cluster yet; numbers, centroids and thresholds stay as the fit left them.

    ``vectors.cluster_id`` is null for what is still to do, and is filled in last: a run that was stopped is continued.
    Metadata stays that of the fit's images, since all images would have to be read for it.
    """
    warehouse, projection_id = space.warehouse, space.projection_id
    with (
        persisted(in_blocks(_without_member(space), space.dim)) as blocks,
        persisted(assign(blocks, codebook.centroids)) as assigned,
    ):
        unusable = _quarantine_unusable(warehouse, blocks)
        sizes = sizes_of(assigned, "cluster", np.arange(len(codebook.cluster_ids)))
        details, notes = _add_members(space, codebook, assigned) if sizes.any() else ({}, ())
    _describe_again(space, codebook)
    if sizes.any() and is_scattered(warehouse):
        members = rows_of(warehouse, MEMBERS, projection_id)
        lay_out(warehouse, projection_id, codebook, sizes_of(members, "cluster_id", codebook.cluster_ids))
    elif sizes.any():
        lay_out_new(warehouse, projection_id, codebook, sizes)
    n_new = int(sizes.sum())
    return finish(
        warehouse, "cluster", watch, rows_in=n_new + unusable, rows_out=n_new, quarantined=unusable,
        details={"n_clusters": len(codebook.cluster_ids), "assigned": n_new, **details}, notes=notes,
    )  # fmt: skip


def _without_member(space: Space) -> DataFrame:
    """``image_id`` and ``vector`` of what is to be assigned: as a rule the vectors that have no ``cluster_id``.

    Where more or fewer vectors lie with a cluster than there are members, rows came while clusters were made, or were
    removed, or a run was stopped before it placed what it had assigned: then the two tables are compared id by id, and
    members whose vector is gone are removed.
    """
    warehouse, projection_id = space.warehouse, space.projection_id
    members = rows_of(warehouse, MEMBERS, projection_id).select("image_id")
    stored = rows_of(warehouse, VECTORS, projection_id)
    n_members, n_placed = members.count(), stored.where(F.col("cluster_id").isNotNull()).count()
    if n_members == n_placed:
        keep = lambda rows: rows.where(F.col("cluster_id").isNull())  # noqa: E731
    else:
        listed = members.distinct().withColumn("_is_member", F.lit(True))
        todo = F.col("cluster_id").isNull() | F.col("_is_member").isNull()
        keep = lambda rows: rows.join(listed, "image_id", "left").where(todo).select(rows.columns)  # noqa: E731
    if n_members > n_placed:
        left = rows_of(warehouse, MEMBERS, projection_id).join(stored, on="image_id", how="left_semi")
        warehouse.replace(MEMBERS, left, where=f"projection_id = '{projection_id}'")
    return gallery_of(warehouse, projection_id, keep).select("image_id", "vector")


def _describe_again(space: Space, codebook: Codebook) -> None:
    """Bring ``clusters`` up to date where ``members`` has other rows than they count."""
    clusters = rows_of(space.warehouse, CLUSTERS, space.projection_id)
    n_described = clusters.agg(F.sum("size")).collect()[0][0]  # one row
    if rows_of(space.warehouse, MEMBERS, space.projection_id).count() != n_described:
        metadata = clusters.select("cluster_id", "metadata")
        write_clusters(
            space.warehouse, space.projection_id, codebook, metadata, f"projection_id = '{space.projection_id}'"
        )


def _add_members(space: Space, codebook: Codebook, assigned: DataFrame) -> tuple[dict[str, object], tuple[str, ...]]:
    """Add the rows that ``members`` does not have yet, and compare them with the fit; details and notes."""
    warehouse, projection_id = space.warehouse, space.projection_id
    stored = rows_of(warehouse, MEMBERS, projection_id)
    with persisted(unseen(member_rows(assigned, projection_id, codebook), stored)) as rows:
        level = level_of(rows)
        if level is None:  # the run before this one was stopped after it had written them
            return {}, ()
        warehouse.insert_new(MEMBERS, rows)
    drift = record_assign(warehouse, projection_id, level)
    details: dict[str, object] = {"outliers": round(level.outlier_share * level.images)}
    if drift is None:
        return details, ()
    details |= {"outlier_change": f"{drift.outlier_change:+.3f}", "score_change": f"{drift.score_change:+.4f}"}
    if drift.reason is None:
        return details, ()
    return details, (f"a re-fit is due: {drift.reason}; run cluster with --refit (numbers are kept)",)


@contextmanager
def persisted(frame: DataFrame) -> Iterator[DataFrame]:
    """``frame``, computed once and kept in memory or on the executors' disks until the end of the block."""
    frame = frame.persist(StorageLevel.MEMORY_AND_DISK)
    try:
        yield frame
    finally:
        frame.unpersist()


def _n_clusters(sample: Matrix, total: int, config: ClusterConfig) -> tuple[int, Curve, list[str]]:
    """How many clusters; the curve it was picked from, and what to say about it."""
    if config.n_clusters != "auto":
        return int(config.n_clusters), [], []
    distinct = np.unique(sample, axis=0)  # copies say nothing about how many kinds there are
    n_drawn = max(CHOICE_SAMPLE, 2 * LEAST_MEMBERS * config.max_clusters)
    drawn = np.random.default_rng(config.seed).permutation(len(distinct))[:n_drawn]
    choice = choose_n_clusters(distinct[drawn], config.seed, total, config.max_clusters, purity=config.purity)
    return choice.n_clusters, list(choice.curve), about_the_choice(choice, config, is_sampled=total > n_drawn)


def about_the_choice(choice: Choice, config: ClusterConfig, *, is_sampled: bool) -> list[str]:
    """What to say where the choice is an end of its curve."""
    if len(choice.curve) < 2 or choice.n_clusters not in (choice.curve[0][0], choice.curve[-1][0]):
        return []
    if choice.n_clusters == choice.curve[0][0]:
        return [] if config.purity else [
            f"{choice.n_clusters} clusters are the fewest that were tried; fewer may do: give --n-clusters N"
        ]  # fmt: skip
    if choice.n_clusters == config.max_clusters and not config.purity:
        return [f"{choice.n_clusters} clusters are as many as --max-clusters allows; the collection may hold more"]
    return [
        f"{choice.n_clusters} clusters are as many as a sample can tell apart; "
        "the collection may hold more: give --n-clusters N"
    ] if is_sampled else []  # fmt: skip


def _quarantine_unusable(warehouse: TableStore, blocks: DataFrame) -> int:
    """Note the vectors that have no direction; returns how many they are."""
    unusable = blocks.where(F.col("vectors").isNull()).select(F.explode("image_ids").alias("image_id"))
    n = unusable.count()
    if n:
        quarantine(warehouse, without_direction(unusable, "its vector is zero, NaN or not of unit length"), "cluster")
    return n


def _keep_model(warehouse: TableStore, projection_id: str, codebook: Codebook, fitted: Fitted) -> None:
    path = f"{warehouse.folder()}/models/kmeans/{projection_id}"
    centres = codebook.centroids.astype(float).tolist()
    kmeans_model(warehouse.spark, centres, fitted.cost, fitted.n_rounds).write().overwrite().save(path)
