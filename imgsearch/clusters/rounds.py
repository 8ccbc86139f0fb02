"""Rounds of k-means over all vectors: matrix products against broadcast centroids, one partial sum a task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
from pyspark import Broadcast
from pyspark.ml.clustering import KMeans
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.clusters import kmeans
from imgsearch.clusters.blocks import matrix_of
from imgsearch.clusters.description import rivals
from imgsearch.clusters.seeding import initial_centroids
from imgsearch.lake.batches import Batches, gather
from imgsearch.lake.session import n_slots
from imgsearch.vectors import Matrix, double_lists, unit

MEMBER_SCHEMA = "image_id string, cluster int, score float, second int, margin float"


class Fitted(NamedTuple):
    """``centroids`` (n_clusters, dim) float32 unit rows, the final ``cost`` Σ(1 − cosine), and the rounds it took.

    Every centroid is the mean of the members it has, so that a score to it is a score to their mean, and every one has
    a member: ``n_clusters`` may be fewer than asked for.
    """

    centroids: Matrix
    cost: float
    n_rounds: int


def fit(
    blocks: DataFrame,
    sample: Matrix,
    n_clusters: int,
    *,
    engine: Literal["blocked", "mllib"] = "blocked",
    max_iterations: int = 20,
    seed: int = 7,
) -> Fitted:
    """Centroids of all vectors in ``blocks``: seeded on ``sample`` (n, dim), then rounds over all until they rest."""
    if engine == "mllib":
        centroids, n_rounds = _fit_mllib(blocks, sample.shape[1], n_clusters, max_iterations, seed)
    else:
        centroids = initial_centroids(sample, n_clusters, np.random.default_rng(seed))
        costs: list[float] = []
        for _ in range(max_iterations):
            total = partial_sums(blocks, centroids)
            step = kmeans.update(total, centroids)
            costs.append(step.cost)
            centroids = step.centroids
            if kmeans.at_rest(step, costs, total):
                break
        n_rounds = len(costs)
    last = partial_sums(blocks, centroids)
    filled = last.counts > 0
    means = unit(last.sums[filled].astype(np.float32))
    centres = np.where(means.any(axis=1, keepdims=True), means, centroids[filled])  # members that cancel have no mean
    return Fitted(centres, kmeans.Partial(last.sums[filled], last.counts[filled]).cost(centres), n_rounds)


def partial_sums(blocks: DataFrame, centroids: Matrix) -> kmeans.Partial:
    """One round over all vectors: sums and counts of the rows nearest to each centroid."""
    spark = blocks.sparkSession
    shared = spark.sparkContext.broadcast(centroids)
    rows = blocks.where(F.col("vectors").isNotNull()).select("vectors")
    merged = gather(rows, sum_blocks(shared), merge_sums, n_partitions=n_slots(spark))
    shared.destroy()
    return kmeans.Partial.empty(*centroids.shape) if merged is None else kmeans.Partial.from_bytes(merged)


def sum_blocks(centroids: Broadcast[Matrix]) -> Callable[[Batches], bytes | None]:
    """All (vectors) blocks of a task → serialised partial sums."""

    def add(batches: Batches) -> bytes | None:
        dim = centroids.value.shape[1]
        rows = (matrix_of(block, dim) for batch in batches for block in batch.column(0))
        return kmeans.partial_of(rows, centroids.value).to_bytes()

    return add


def merge_sums(one: bytes, other: bytes) -> bytes:
    """Sums of both."""
    return kmeans.Partial.from_bytes(one).merge(kmeans.Partial.from_bytes(other)).to_bytes()


def assign(blocks: DataFrame, centroids: Matrix) -> DataFrame:
    """Blocks → ``MEMBER_SCHEMA``: the nearest centroid and the second nearest (null where there is only one)."""
    shared = blocks.sparkSession.sparkContext.broadcast(centroids)
    usable = blocks.where(F.col("vectors").isNotNull())
    return usable.select("image_ids", "vectors").mapInArrow(assign_blocks(shared), MEMBER_SCHEMA)


def assign_blocks(centroids: Broadcast[Matrix]) -> Callable[[Batches], Batches]:
    """(image_ids, vectors) blocks → ``MEMBER_SCHEMA`` batches."""

    def nearest(batches: Batches) -> Batches:
        for batch in batches:
            for image_ids, block in zip(batch.column(0), batch.column(1), strict=True):
                yield _members(image_ids.values, matrix_of(block, centroids.value.shape[1]), centroids.value)

    return nearest


def _members(image_ids: pa.Array, rows: Matrix, centroids: Matrix) -> pa.RecordBatch:
    own = kmeans.assign(rows, centroids).cluster_ids
    scores = _scores(rows, centroids[own])
    if len(centroids) > 1:
        second = rivals(rows, own, centroids).cluster_ids
        margins = scores - _scores(rows, centroids[second])
        rest = [pa.array(second, pa.int32()), pa.array(margins.astype(np.float32))]
    else:
        rest = [pa.nulls(len(rows), pa.int32()), pa.nulls(len(rows), pa.float32())]
    return pa.RecordBatch.from_arrays(
        [image_ids, pa.array(own, pa.int32()), pa.array(scores.astype(np.float32)), *rest],
        names=["image_id", "cluster", "score", "second", "margin"],
    )


def _scores(rows: Matrix, centroids: Matrix) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Cosines in float64, so that copies of an image score alike in whatever block they stand."""
    return np.einsum("ij,ij->i", rows, centroids, dtype=np.float64)


def _fit_mllib(blocks: DataFrame, dim: int, n_clusters: int, max_iterations: int, seed: int) -> tuple[Matrix, int]:
    usable = blocks.where(F.col("vectors").isNotNull()).select("vectors")
    floats = usable.mapInArrow(row_lists(dim), "row array<double>")
    frame = floats.select(array_to_vector(F.col("row")).alias("features")).persist()
    try:
        estimator = KMeans(k=n_clusters, distanceMeasure="cosine", maxIter=max_iterations, seed=seed, solver="block")
        model = estimator.fit(frame)
        return unit(np.asarray(model.clusterCenters(), np.float32)), model.summary.numIter
    finally:
        frame.unpersist()


def row_lists(dim: int) -> Callable[[Batches], Batches]:
    """(vectors) blocks → one list of float64 a vector, as MLlib takes them."""

    def spread(batches: Batches) -> Batches:
        for batch in batches:
            for block in batch.column(0):
                yield pa.RecordBatch.from_arrays([double_lists(matrix_of(block, dim))], names=["row"])

    return spread
