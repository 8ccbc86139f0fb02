"""Cluster: ``vectors`` → ``clusters`` and ``members``, by spherical k-means.

Seeds come from a sample (k-means++ and rounds on the driver), then every round is one pass: matrix products against
broadcast centroids, one partial sum a task. The result is handed back as an MLlib ``KMeansModel`` too. A re-fit keeps
the numbers of clusters that are still there, so labels and dashboards survive it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark import Broadcast
from pyspark.ml.clustering import KMeans
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.config import ClusterConfig
from imgsearch.core import kmeans
from imgsearch.core.choice import choose_n_clusters
from imgsearch.core.clusters import describe, match_clusters, nearest_clusters, outliers, ranks, rivals, silhouette
from imgsearch.core.vectors import Matrix, pack, unit, unpack
from imgsearch.errors import UserError
from imgsearch.lake.batches import Batches, gather, sample_rows
from imgsearch.lake.mllib import kmeans_model
from imgsearch.lake.warehouse import Warehouse
from imgsearch.stages.space import current_projection
from imgsearch.stages.summary import RunSummary, Stopwatch, finish
from imgsearch.tables import CLUSTER_CURVE, CLUSTER_EVENTS, CLUSTERS, IMAGES, MEMBERS, VECTORS

SAMPLE = 30_000
PER_CLUSTER = 64  # the sample holds at least this many vectors a cluster, where there are as many
SILHOUETTE_SAMPLE = 5_000
METADATA_VALUES = 50  # a column with more distinct values is no description of a cluster
MEMBER = "image_id string, cluster_id int, score float, second_cluster_id int, margin float, silhouette float"


class Fitted(NamedTuple):
    """``centroids`` (n_clusters, dim) float32 unit rows, the final ``cost`` Σ(1 − cosine), and the rounds it took."""

    centroids: Matrix
    cost: float
    n_rounds: int


def run(spark: SparkSession, config: ClusterConfig) -> RunSummary:
    """Fit clusters to the vectors of the current projection and replace ``clusters`` and ``members``."""
    watch = Stopwatch()
    warehouse = Warehouse.open(spark, config.warehouse)
    _, projection = current_projection(warehouse, config.encoder)
    vectors = (
        warehouse.read(VECTORS).where(F.col("projection_id") == projection.projection_id).select("image_id", "vector").persist()
    )
    try:
        total = vectors.count()
        if config.n_clusters != "auto" and int(config.n_clusters) > total:
            raise UserError.option("n_clusters", config.n_clusters, f"there are {total:,} images; ask for {total:,} or fewer")
        if not total:
            raise UserError("there is no vector to cluster; run compress first")
        sample = _sample(vectors, total, config)
        n_clusters, curve = _n_clusters(sample, config)
        fitted = fit(vectors, sample, n_clusters, config)
        members = assign(vectors, fitted.centroids).toArrow()
        _write(warehouse, projection.projection_id, fitted, members, curve)
    finally:
        vectors.unpersist()
    path = f"{warehouse.folder()}/models/kmeans/{projection.projection_id}"
    centres = fitted.centroids.astype(float).tolist()
    kmeans_model(spark, centres, fitted.cost, fitted.n_rounds).write().overwrite().save(path)
    return finish(
        warehouse, "cluster", watch, rows_in=total, rows_out=members.num_rows,
        details={
            "n_clusters": len(fitted.centroids), "cost": f"{fitted.cost:.1f}", "rounds": fitted.n_rounds, "engine": config.engine,
        },
    )  # fmt: skip


def fit(vectors: DataFrame, sample: Matrix, n_clusters: int, config: ClusterConfig) -> Fitted:
    """Centroids of ``vectors`` (``image_id``, ``vector``): seeded on ``sample``, then rounds over all, until they rest."""
    if config.engine == "mllib":
        return _fit_mllib(vectors, n_clusters, config)
    centroids = kmeans.seed(sample, n_clusters, np.random.default_rng(config.seed))
    n_rounds = 0
    for n_rounds in range(1, config.max_iterations + 1):
        total = partial_sums(vectors, centroids)
        step = kmeans.update(total, centroids)
        centroids = step.centroids
        if step.shift <= 1e-6:
            break
    last = partial_sums(vectors, centroids)
    # the centroid that is kept is the mean of the members it has, so that a score to it is a score to their mean
    centroids = np.where(last.counts[:, None] > 0, unit(last.sums.astype(np.float32)), centroids)
    return Fitted(centroids, last.cost(centroids), n_rounds)


def partial_sums(vectors: DataFrame, centroids: Matrix) -> kmeans.Partial:
    """One round over all vectors: sums and counts of the rows nearest to each centroid."""
    shared = vectors.sparkSession.sparkContext.broadcast(centroids)
    merged = gather(vectors.select("vector"), sum_batches(shared), merge_sums)
    shared.destroy()
    return kmeans.Partial.empty(*centroids.shape) if merged is None else kmeans.Partial.from_bytes(merged)


def sum_batches(centroids: Broadcast[Matrix]) -> Callable[[Batches], bytes | None]:
    """All (vector) batches of a task → serialised partial sums."""

    def add(batches: Batches) -> bytes | None:
        total = kmeans.Partial.empty(*centroids.value.shape)
        for batch in batches:
            if len(batch):
                total = total.merge(kmeans.partial(unpack(batch.column(0)), centroids.value))
        return total.to_bytes()

    return add


def merge_sums(one: bytes, other: bytes) -> bytes:
    """Sums of both."""
    return kmeans.Partial.from_bytes(one).merge(kmeans.Partial.from_bytes(other)).to_bytes()


def assign(vectors: DataFrame, centroids: Matrix) -> DataFrame:
    """``image_id``, ``vector`` → the columns of ``MEMBER``, by nearest centroid."""
    shared = vectors.sparkSession.sparkContext.broadcast(centroids)
    return vectors.select("image_id", "vector").mapInArrow(assign_batches(shared), MEMBER)


def assign_batches(centroids: Broadcast[Matrix]) -> Callable[[Batches], Batches]:
    """(image_id, vector) batches → ``MEMBER`` batches."""

    def nearest(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        matrix = centroids.value
        for batch in batches:
            rows = unpack(batch.column(1), matrix.shape[1])
            found = kmeans.assign(rows, matrix)
            if len(matrix) > 1:
                second, margins = rivals(rows, found.cluster_ids, matrix)
                shape = silhouette(rows, found.cluster_ids, matrix)
                columns = [pa.array(second, pa.int32()), pa.array(margins, pa.float32()), pa.array(shape, pa.float32())]
            else:
                columns = [pa.nulls(len(rows), t) for t in (pa.int32(), pa.float32(), pa.float32())]
            yield pa.RecordBatch.from_arrays(
                [batch.column(0), pa.array(found.cluster_ids), pa.array(found.scores), *columns],
                names=["image_id", "cluster_id", "score", "second_cluster_id", "margin", "silhouette"],
            )

    return nearest


def _fit_mllib(vectors: DataFrame, n_clusters: int, config: ClusterConfig) -> Fitted:
    floats = F.udf(lambda packed: np.frombuffer(packed, "<f4").astype(float).tolist(), "array<double>")
    frame = vectors.select(array_to_vector(floats("vector")).alias("features")).persist()
    try:
        estimator = KMeans(
            k=n_clusters, distanceMeasure="cosine", maxIter=config.max_iterations, seed=config.seed, solver="block"
        )
        model = estimator.fit(frame)
        centroids = unit(np.asarray(model.clusterCenters(), np.float32))
        return Fitted(centroids, partial_sums(vectors, centroids).cost(centroids), model.summary.numIter)
    finally:
        frame.unpersist()


def _sample(vectors: DataFrame, total: int, config: ClusterConfig) -> Matrix:
    wanted = SAMPLE if config.n_clusters == "auto" else max(SAMPLE, PER_CLUSTER * int(config.n_clusters))
    rows = sample_rows(vectors, "image_id", wanted, total, config.seed).orderBy("image_id").toArrow()
    return unpack(rows.column("vector"))


def _n_clusters(sample: Matrix, config: ClusterConfig) -> tuple[int, list[tuple[int, float]]]:
    if config.n_clusters != "auto":
        return int(config.n_clusters), []
    choice = choose_n_clusters(sample, seed=config.seed)
    return choice.n_clusters, list(choice.curve)


def _write(
    warehouse: Warehouse, projection_id: str, fitted: Fitted, members: pa.Table, curve: list[tuple[int, float]]
) -> None:
    """Number the clusters as before where they are the same ones, describe them, and replace both tables."""
    spark = warehouse.spark
    image_ids = np.array(members.column("image_id").to_pylist(), dtype="S64")
    found = members.column("cluster_id").to_numpy()
    stable = _stable_ids(warehouse, members, found, len(fitted.centroids))
    scores = members.column("score").to_numpy()
    described = describe(found, scores, image_ids, len(fitted.centroids))
    nearest, nearest_scores = nearest_clusters(fitted.centroids)
    shapes = members.column("silhouette").to_numpy(zero_copy_only=False)
    occupied = np.flatnonzero(described.size > 0)
    paths = warehouse.read(IMAGES).groupBy("image_id").agg(F.min("path").alias("medoid_path"))
    mean_shape = np.bincount(found, np.nan_to_num(shapes), len(described.size)) / np.maximum(described.size, 1)
    clusters = pa.table(
        {
            "cluster_id": pa.array(stable[occupied], pa.int32()),
            "projection_id": [projection_id] * len(occupied),
            "size": described.size[occupied],
            "medoid_id": [image_ids[i].decode() for i in described.medoid[occupied]],
            "cohesion": described.cohesion[occupied],
            "silhouette": pa.array(mean_shape[occupied], pa.float32()),
            "nearest_cluster_id": pa.array([int(stable[i]) if i >= 0 else None for i in nearest[occupied]], pa.int32()),
            "nearest_score": pa.array(nearest_scores[occupied], pa.float32(), from_pandas=True),
            "fence": described.fence[occupied],
            "centroid": pack(fitted.centroids[occupied]),
        }
    )
    second = members.column("second_cluster_id").to_numpy(zero_copy_only=False)
    rows = pa.table(
        {
            "image_id": members.column("image_id"),
            "projection_id": pa.array([projection_id] * members.num_rows),
            "cluster_id": pa.array(stable[found], pa.int32()),
            "score": scores,
            "rank": ranks(found, scores, image_ids),
            "is_outlier": outliers(found, scores, described.fence),
            "second_cluster_id": pa.array([None if s != s else int(stable[int(s)]) for s in second], pa.int32()),
            "margin": members.column("margin"),
        }
    )
    frame = spark.createDataFrame(rows).repartition(max(1, members.num_rows // 200_000))
    described_frame = spark.createDataFrame(clusters).join(
        paths.withColumnRenamed("image_id", "medoid_id"), on="medoid_id", how="left"
    )
    metadata = top_metadata(warehouse.read(IMAGES), frame)
    warehouse.replace(MEMBERS, frame)
    warehouse.replace(CLUSTERS, described_frame.join(metadata, on="cluster_id", how="left").coalesce(1))
    chosen = [(n, float(value), n == len(fitted.centroids)) for n, value in curve]
    warehouse.replace(CLUSTER_CURVE, spark.createDataFrame(chosen, "n_clusters int, criterion double, chosen boolean"))


def top_metadata(images: DataFrame, members: DataFrame) -> DataFrame:
    """``cluster_id`` and ``metadata``: for each carried column its commonest value there, as ``value (62 %)``."""
    carried = [name for name, kind in images.dtypes if name not in IMAGES.columns and kind in ("string", "date", "int", "boolean")]
    spark = images.sparkSession
    if not carried:
        return spark.createDataFrame([], "cluster_id int, metadata map<string,string>")
    rows = images.join(members.select("image_id", "cluster_id"), on="image_id", how="inner")
    long = rows.select(
        "cluster_id",
        F.explode(F.create_map(*[x for c in carried for x in (F.lit(c), F.col(f"`{c}`").cast("string"))])).alias("name", "value"),
    )
    counted = long.where(F.col("value").isNotNull()).groupBy("cluster_id", "name", "value").count()
    varied = counted.groupBy("name").agg(F.count_distinct("value").alias("n")).where(F.col("n") > METADATA_VALUES)
    best = (
        counted.join(varied, on="name", how="left_anti")
        .groupBy("cluster_id", "name")
        .agg(
            F.max(F.struct(F.col("count"), F.col("value"))).alias("top"),
            F.sum("count").alias("all"),
        )
    )
    text = F.format_string("%s (%.0f %%)", F.col("top.value"), F.col("top.count") * 100.0 / F.col("all"))
    return best.groupBy("cluster_id").agg(F.map_from_entries(F.collect_list(F.struct("name", text))).alias("metadata"))


def _stable_ids(warehouse: Warehouse, members: pa.Table, found: NDArray[np.int32], n_clusters: int) -> NDArray[np.int32]:
    """For each new cluster the number it keeps or gets; what happened goes to ``cluster_events``."""
    plain = np.arange(n_clusters, dtype=np.int32)
    if not warehouse.exists(MEMBERS):
        return plain
    old = warehouse.read(MEMBERS).select("image_id", F.col("cluster_id").alias("old"))
    new = warehouse.spark.createDataFrame(members.select(["image_id"]).append_column("new", pa.array(found)))
    both = new.join(old, on="image_id", how="inner").groupBy("old", "new").count().toArrow()
    if not both.num_rows:
        return plain
    before, after, images = (both.column(c).to_numpy() for c in ("old", "new", "count"))
    n_old = int(warehouse.read(CLUSTERS).agg(F.max("cluster_id")).first()[0]) + 1
    matching = match_clusters(np.repeat(before, images), np.repeat(after, images), n_old, n_clusters)
    events = [("kept" if new_id < n_old else "new", int(new_id), None, int(n)) for new_id, n in zip(matching.new_ids, matching.overlap, strict=True)]
    events += [("gone", int(gone), None, None) for gone in set(before.tolist()) - set(matching.new_ids.tolist())]
    events += [("split", old_id, parts, None) for old_id, parts in matching.splits]
    events += [("merge", new_id, parents, None) for new_id, parents in matching.merges]
    frame = warehouse.spark.createDataFrame(events, "event string, cluster_id int, others array<int>, images bigint")
    warehouse.append(CLUSTER_EVENTS, frame.withColumn("fitted_at", F.current_timestamp()).coalesce(1))
    return matching.new_ids
