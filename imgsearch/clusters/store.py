"""The clusters as tables: read them back, describe their members, and keep their numbers through a re-fit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.clusters.description import (
    describe,
    match_clusters,
    nearest_clusters,
    outliers,
    ranks,
    silhouette_of,
)
from imgsearch.lake.store import TableStore
from imgsearch.tables import CLUSTER_EVENTS, CLUSTERS, IMAGES, MEMBERS
from imgsearch.vectors import Matrix, pack, unpack

METADATA_VALUES = 50  # a column with more distinct values is no description of a cluster
EVENT = "event string, cluster_id int, others array<int>, images bigint"
Event = tuple[str, int, list[int] | None, int | None]


class Codebook(NamedTuple):
    """``cluster_ids`` (n,) int32 ascending, ``centroids`` (n, dim) float32 unit rows, ``fences`` (n,) float32.

    A member whose score is below its cluster's fence is an outlier. Fences and centroids are the fit's; they stay as
    they are while new images are assigned.
    """

    cluster_ids: NDArray[np.int32]
    centroids: Matrix
    fences: NDArray[np.float32]


class Members(NamedTuple):
    """n members: ``image_ids`` (n,) bytes; ``cluster`` and ``second`` (n,) int32 rows of a codebook, −1 for none;
    ``scores`` and ``margins`` (n,) float32, NaN for no margin.
    """

    image_ids: NDArray[np.bytes_]
    cluster: NDArray[np.int32]
    scores: NDArray[np.float32]
    second: NDArray[np.int32]
    margins: NDArray[np.float32]

    @classmethod
    def of_table(cls, table: pa.Table) -> Members:
        """From the columns of ``rounds.MEMBER``, in order of ``image_id``, whatever order they came in."""
        image_ids = np.array(table.column("image_id").to_pylist(), np.bytes_).reshape(-1)
        order = np.argsort(image_ids, kind="stable")
        return cls(
            image_ids[order],
            table.column("cluster").to_numpy()[order].astype(np.int32),
            table.column("score").to_numpy()[order].astype(np.float32),
            table.column("second").fill_null(-1).to_numpy()[order].astype(np.int32),
            table.column("margin").fill_null(np.nan).to_numpy()[order].astype(np.float32),
        )

    def renumbered(self, rows: NDArray[np.int32]) -> Members:
        """With row i of the codebook moved to ``rows[i]``; −1 for a row that is gone."""
        second = np.where(self.second >= 0, rows[self.second], -1)
        return self._replace(cluster=rows[self.cluster], second=second.astype(np.int32))

    def and_also(self, other: Members) -> Members:
        """Both, in order of ``image_id``."""
        order = np.argsort(np.concatenate([self.image_ids, other.image_ids]), kind="stable")
        return Members(*(np.concatenate(pair)[order] for pair in zip(self, other, strict=True)))


def read_codebook(warehouse: TableStore, projection_id: str) -> Codebook | None:
    """The clusters of this projection's vectors, or ``None`` where there are none."""
    if not warehouse.exists(CLUSTERS) or not warehouse.exists(MEMBERS):
        return None
    clusters = warehouse.read(CLUSTERS).where(F.col("projection_id") == projection_id)
    table = clusters.select("cluster_id", "centroid", "fence").orderBy("cluster_id").toArrow()
    if not table.num_rows:
        return None
    return Codebook(
        table.column("cluster_id").to_numpy().astype(np.int32),
        unpack(table.column("centroid")),
        table.column("fence").to_numpy().astype(np.float32),
    )


def read_members(vectors: DataFrame, warehouse: TableStore, projection_id: str, codebook: Codebook) -> Members | None:
    """The members there are whose vectors still stand in ``vectors`` (``image_id``).

    ``None`` where the tables do not belong together, as after a run that was stopped between two of its writes.
    """
    stored = warehouse.read(MEMBERS).where(F.col("projection_id") == projection_id)
    sizes = warehouse.read(CLUSTERS).select("cluster_id", "size").orderBy("cluster_id").toArrow()
    kept = vectors.select("image_id", F.lit(True).alias("kept"))
    table = (
        stored.join(kept, on="image_id", how="left")
        .select("image_id", "cluster_id", "score", "second_cluster_id", "margin", "kept")
        .toArrow()
    )
    row_of = np.full(int(codebook.cluster_ids.max()) + 1, -1, np.int32)
    row_of[codebook.cluster_ids] = np.arange(len(codebook.cluster_ids))
    found = table.column("cluster_id").to_numpy()
    counted = np.bincount(found, minlength=len(row_of))
    expected = np.zeros_like(counted)
    expected[: len(row_of)][sizes.column("cluster_id").to_numpy()] = sizes.column("size").to_numpy()
    if (counted != expected).any():
        return None
    second = table.column("second_cluster_id").fill_null(-1).to_numpy()
    rows = table.append_column("cluster", pa.array(row_of[found])).append_column(
        "second", pa.array(np.where(second >= 0, row_of[second], -1).astype(np.int32))
    )
    return Members.of_table(rows.filter(rows.column("kept").is_valid()))


def renumbered(centroids: Matrix, members: Members, stable: NDArray[np.int32]) -> tuple[Codebook, Members]:
    """A codebook in order of its ``stable`` numbers (n_clusters,), without clusters that have no member."""
    n_clusters = len(centroids)
    size = np.bincount(members.cluster, minlength=n_clusters)
    order = np.argsort(stable, kind="stable")
    order = order[size[order] > 0]
    rows = np.full(n_clusters, -1, np.int32)
    rows[order] = np.arange(len(order))
    moved = members.renumbered(rows)
    fences = describe(moved.cluster, moved.scores, moved.image_ids, len(order)).fence
    return Codebook(stable[order].astype(np.int32), centroids[order], fences), moved


def write_clusters(warehouse: TableStore, projection_id: str, codebook: Codebook, members: Members) -> None:
    """Describe the clusters by their members, and replace ``members`` and ``clusters``."""
    spark = warehouse.spark
    ids = codebook.cluster_ids
    described = describe(members.cluster, members.scores, members.image_ids, len(ids))
    nearest, nearest_scores = nearest_clusters(codebook.centroids)
    shapes = silhouette_of(members.scores, np.nan_to_num(members.margins))
    occupied = described.size > 0
    mean_shape = np.bincount(members.cluster, shapes, len(ids)) / np.maximum(described.size, 1)
    medoids = [members.image_ids[i].decode() if i >= 0 else None for i in described.medoid]
    clusters = pa.table(
        {
            "cluster_id": pa.array(ids, pa.int32()),
            "projection_id": [projection_id] * len(ids),
            "size": described.size,
            "medoid_id": pa.array(medoids, pa.string()),
            "cohesion": pa.array(described.cohesion, pa.float32(), from_pandas=True),
            "silhouette": pa.array(np.where(occupied, mean_shape, np.nan), pa.float32(), from_pandas=True),
            "nearest_cluster_id": pa.array([int(ids[i]) if i >= 0 else None for i in nearest], pa.int32()),
            "nearest_score": pa.array(nearest_scores, pa.float32(), from_pandas=True),
            "fence": codebook.fences,
            "centroid": pack(codebook.centroids),
        }
    )
    n = len(members.image_ids)
    rows = pa.table(
        {
            "image_id": pa.array(members.image_ids.astype(str), pa.string()),
            "projection_id": pa.array([projection_id] * n, pa.string()),
            "cluster_id": pa.array(ids[members.cluster], pa.int32()),
            "score": members.scores,
            "rank": ranks(members.cluster, members.scores, members.image_ids),
            "is_outlier": outliers(members.cluster, members.scores, codebook.fences),
            "second_cluster_id": pa.array(ids[members.second], pa.int32(), mask=members.second < 0),
            "margin": pa.array(members.margins, pa.float32(), from_pandas=True),
        }
    )
    frame = spark.createDataFrame(rows).repartition(max(1, n // 200_000))
    images = warehouse.read(IMAGES)
    named = spark.createDataFrame(clusters).join(_paths(images, medoids), on="medoid_id", how="left")
    warehouse.replace(MEMBERS, frame)
    metadata = top_metadata(images, warehouse.read(MEMBERS))
    warehouse.replace(CLUSTERS, named.join(metadata, on="cluster_id", how="left").coalesce(1))


def _paths(images: DataFrame, medoids: list[str | None]) -> DataFrame:
    wanted = images.sparkSession.createDataFrame(pa.table({"image_id": pa.array(medoids, pa.string())}))
    found = images.join(F.broadcast(wanted), on="image_id", how="left_semi")
    return F.broadcast(found.groupBy(F.col("image_id").alias("medoid_id")).agg(F.min("path").alias("medoid_path")))


def top_metadata(images: DataFrame, members: DataFrame) -> DataFrame:
    """``cluster_id`` and ``metadata``: for each carried column its commonest value there, as ``value (62 %)``.

    Of values that are equally common the greatest; a column of more than ``METADATA_VALUES`` values is left out.
    """
    carried = [
        name
        for name, kind in images.dtypes
        if name not in IMAGES.columns and kind in ("string", "date", "int", "boolean")
    ]
    spark = images.sparkSession
    if not carried:
        return spark.createDataFrame([], "cluster_id int, metadata map<string,string>")
    rows = images.join(members.select("image_id", "cluster_id"), on="image_id", how="inner")
    pairs = F.create_map(*[x for c in carried for x in (F.lit(c), F.col(f"`{c}`").cast("string"))])
    long = rows.select("cluster_id", F.explode(pairs).alias("name", "value"))
    counted = long.where(F.col("value").isNotNull()).groupBy("cluster_id", "name", "value").count()
    varied = counted.groupBy("name").agg(F.count_distinct("value").alias("n")).where(F.col("n") > METADATA_VALUES)
    best = (
        counted.join(varied, on="name", how="left_anti")
        .groupBy("cluster_id", "name")
        .agg(F.max(F.struct(F.col("count"), F.col("value"))).alias("top"), F.sum("count").alias("all"))
    )
    text = F.format_string("%s (%.0f %%)", F.col("top.value"), F.col("top.count") * 100.0 / F.col("all"))
    return best.groupBy("cluster_id").agg(F.map_from_entries(F.collect_list(F.struct("name", text))).alias("metadata"))


def stable_ids(warehouse: TableStore, members: Members, n_clusters: int) -> tuple[NDArray[np.int32], list[Event]]:
    """For each of ``n_clusters`` new clusters the number it keeps or gets, and what happened to the old ones.

    A number that was ever given is never given to another cluster.
    """
    plain = np.arange(n_clusters, dtype=np.int32)
    if not warehouse.exists(MEMBERS) or not warehouse.exists(CLUSTERS):
        return plain, []
    old = warehouse.read(MEMBERS).select("image_id", "cluster_id").toArrow()
    old_ids = np.array(old.column("image_id").to_pylist(), np.bytes_).reshape(-1)
    _, at_old, at_new = np.intersect1d(old_ids, members.image_ids, assume_unique=True, return_indices=True)
    next_id = _next_id(warehouse)
    if not len(at_old):
        return plain + np.int32(next_id), []
    before = old.column("cluster_id").to_numpy()[at_old]
    matching = match_clusters(before, members.cluster[at_new], next_id, n_clusters)
    events: list[Event] = [
        ("kept" if new_id < next_id else "new", int(new_id), None, int(n))
        for new_id, n in zip(matching.new_ids, matching.overlap, strict=True)
    ]
    gone = set(np.unique(old.column("cluster_id").to_numpy()).tolist()) - set(matching.new_ids.tolist())
    events += [("gone", int(cluster_id), None, None) for cluster_id in sorted(gone)]
    events += [("split", int(old_id), parts, None) for old_id, parts in matching.splits]
    events += [("merge", int(new_id), parents, None) for new_id, parents in matching.merges]
    return matching.new_ids, events


def write_events(warehouse: TableStore, events: list[Event]) -> None:
    """Add what a re-fit did to ``cluster_events``."""
    if events:
        frame = warehouse.spark.createDataFrame(events, EVENT).withColumn("fitted_at", F.current_timestamp())
        warehouse.append(CLUSTER_EVENTS, frame.coalesce(1))


def _next_id(warehouse: TableStore) -> int:
    """One more than any number a cluster ever had."""
    ids = warehouse.read(CLUSTERS).select("cluster_id")
    if warehouse.exists(CLUSTER_EVENTS):
        ids = ids.union(warehouse.read(CLUSTER_EVENTS).select("cluster_id"))
    return int(ids.agg(F.max("cluster_id")).collect()[0][0] or 0) + 1
