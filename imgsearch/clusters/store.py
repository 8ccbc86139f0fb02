"""The clusters as tables: ``members`` row by row, ``clusters`` from the members by aggregation.

``members`` says by ``codebook_id`` which fit its rows are of. A run that makes clusters writes ``members`` first and
``clusters`` last: as long as the two name different fits, the clusters are being made, or the run was stopped.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from imgsearch.clusters.codebook import Codebook
from imgsearch.clusters.description import nearest_clusters
from imgsearch.images.sources import first_paths
from imgsearch.lake.store import TableStore
from imgsearch.tables import CLUSTERS, IMAGES, MEMBERS, TableSpec
from imgsearch.vectors import pack, unpack

#: Sums of scores are taken in whole steps of 2^-30, so that they do not depend on the order of the rows.
STEPS = 1 << 30


def rows_of(warehouse: TableStore, spec: TableSpec, projection_id: str) -> DataFrame:
    """The rows of one projection of a table that has ``projection_id``."""
    return warehouse.read(spec).where(F.col("projection_id") == projection_id)


def read_codebook(warehouse: TableStore, projection_id: str) -> Codebook | None:
    """The clusters of this projection's vectors; ``None`` where there are none, or where ``members`` are of another
    fit, as while clusters are made and after a run that was stopped.
    """
    if not warehouse.exists(CLUSTERS) or not warehouse.exists(MEMBERS):
        return None
    clusters = rows_of(warehouse, CLUSTERS, projection_id)
    table = clusters.select("cluster_id", "centroid", "outlier_threshold").orderBy("cluster_id").toArrow()
    if not table.num_rows:
        return None
    codebook = Codebook(
        table.column("cluster_id").to_numpy().astype(np.int64),
        unpack(table.column("centroid")),
        table.column("outlier_threshold").to_numpy().astype(np.float32),
    )
    members = rows_of(warehouse, MEMBERS, projection_id)
    # Null in rows of the first release, which did not say. Files whose rows are all of the fit are skipped.
    other_fit = F.col("codebook_id") != codebook.codebook_id
    return codebook if members.where(other_fit).isEmpty() else None


def numbered(assigned: DataFrame, codebook: Codebook, **columns: NDArray[np.float64]) -> DataFrame:
    """The columns of ``rounds.MEMBER``, whose clusters are rows of ``codebook``, with ``cluster_id``,
    ``outlier_threshold`` and ``columns``: (n_clusters,) values by name.
    """
    clusters = {
        "cluster": np.arange(len(codebook.cluster_ids), dtype=np.int32),
        "cluster_id": codebook.cluster_ids.astype(np.int32),
        "outlier_threshold": codebook.thresholds,
    }
    numbers = assigned.sparkSession.createDataFrame(pa.table(clusters | columns))
    return assigned.join(F.broadcast(numbers), on="cluster", how="inner")


def member_rows(assigned: DataFrame, projection_id: str, codebook: Codebook) -> DataFrame:
    """Rows of ``members`` from the columns of ``rounds.MEMBER``, whose clusters are rows of ``codebook``."""
    rows = numbered(assigned, codebook)
    ids = {"second": np.arange(len(codebook.cluster_ids), dtype=np.int32)}
    ids["second_cluster_id"] = codebook.cluster_ids.astype(np.int32)
    second = assigned.sparkSession.createDataFrame(pa.table(ids))
    return rows.join(F.broadcast(second), on="second", how="left").select(
        "image_id",
        F.lit(projection_id).alias("projection_id"),
        "cluster_id",
        "score",
        (F.col("score") < F.col("outlier_threshold")).alias("is_outlier"),
        "second_cluster_id",
        "margin",
        F.lit(codebook.codebook_id).alias("codebook_id"),
    )


def with_rank(members: DataFrame) -> DataFrame:
    """``members`` and ``rank``: from 1, by score in each cluster; equal scores in order of id.

    ``members`` does not store it: one new image would change the ranks of others.
    """
    best_first = Window.partitionBy("projection_id", "cluster_id").orderBy(F.col("score").desc(), "image_id")
    return members.withColumn("rank", F.row_number().over(best_first))


def unseen(rows: DataFrame, stored: DataFrame) -> DataFrame:
    """The ``rows`` whose ``image_id`` is not in ``stored``, a far larger frame of which only matches are moved."""
    present = stored.select("image_id").join(rows.select("image_id"), on="image_id", how="left_semi")
    return rows.join(present, on="image_id", how="left_anti")


def write_clusters(
    warehouse: TableStore, projection_id: str, codebook: Codebook, metadata: DataFrame, where: str
) -> None:
    """Describe the clusters by the rows of ``members``, and replace the rows of ``clusters`` for which ``where`` holds.

    ``metadata``: ``cluster_id`` and ``metadata``.
    """
    members = rows_of(warehouse, MEMBERS, projection_id)
    rows = warehouse.spark.createDataFrame(_codebook_table(projection_id, codebook))
    described = described_clusters(members)
    paths = _first_paths(warehouse.read(IMAGES), described.select("medoid_id"))
    rows = rows.join(described.join(paths, on="medoid_id", how="left"), on="cluster_id", how="left")
    rows = rows.join(metadata, on="cluster_id", how="left").withColumn("size", F.coalesce("size", F.lit(0)))
    warehouse.replace(CLUSTERS, rows.coalesce(1), where=where)


def described_clusters(members: DataFrame) -> DataFrame:
    """``cluster_id``, ``size``, ``cohesion``, ``silhouette`` and ``medoid_id``: a row a cluster that has members.

    The medoid is the member with the greatest score, of equal ones that with the least id. Right after a fit the
    centroid is the normalised mean of the members: the greatest score is the greatest dot product with the mean.
    """
    best = members.groupBy("cluster_id").agg(
        F.count("*").alias("size"),
        mean(F.col("score").cast("double")).cast("float").alias("cohesion"),
        mean(silhouette()).cast("float").alias("silhouette"),
        F.max("score").alias("score"),
    )
    nearest = members.join(F.broadcast(best.select("cluster_id", "score")), on=["cluster_id", "score"], how="left_semi")
    medoids = nearest.groupBy("cluster_id").agg(F.min("image_id").alias("medoid_id"))
    return best.drop("score").join(medoids, on="cluster_id", how="left")


def silhouette() -> Column:
    """The simplified silhouette of a member by cosine distance to centroids: (b − a) / max(a, b); 0 where both are 0.

    ``a`` is the distance to its centroid, ``b`` to the second (Vendramin, Campello & Hruschka 2010). From the columns
    ``score`` and ``margin``; a member without a second cluster has 0.
    """
    near = F.greatest(1 - F.col("score").cast("double"), F.lit(0.0))
    far = F.greatest(near + F.coalesce(F.col("margin").cast("double"), F.lit(0.0)), F.lit(0.0))
    larger = F.greatest(near, far)
    return F.when(larger > 1e-6, (far - near) / larger).otherwise(0.0)


def mean(values: Column) -> Column:
    """The mean of ``values`` between −1 and 1, the same in whatever order they are added."""
    return F.sum(F.round(values * STEPS).cast("bigint")) / F.count(values) / STEPS


def sizes_of(rows: DataFrame, column: str, clusters: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n_clusters,) int64: rows whose ``column`` is each of ``clusters`` (ascending); a row a cluster is collected."""
    table = rows.groupBy(column).count().toArrow()  # one row a cluster
    sizes = np.zeros(len(clusters), np.int64)
    sizes[np.searchsorted(clusters, table.column(column).to_numpy())] = table.column("count").to_numpy()
    return sizes


def _codebook_table(projection_id: str, codebook: Codebook) -> pa.Table:
    ids = codebook.cluster_ids.astype(np.int32)
    nearest, nearest_scores = nearest_clusters(codebook.centroids)
    return pa.table(
        {
            "cluster_id": ids,
            "projection_id": [projection_id] * len(ids),
            "nearest_cluster_id": pa.array(ids[nearest], pa.int32(), mask=nearest < 0),
            "nearest_score": pa.array(nearest_scores, pa.float32(), from_pandas=True),
            "outlier_threshold": pa.array(codebook.thresholds, pa.float32(), from_pandas=True),
            "centroid": pack(codebook.centroids),
            "codebook_id": [codebook.codebook_id] * len(ids),
        }
    )


def _first_paths(images: DataFrame, medoids: DataFrame) -> DataFrame:
    ids = medoids.select(F.col("medoid_id").alias("image_id"))
    rows = images.join(F.broadcast(ids), on="image_id", how="left_semi")
    return F.broadcast(
        first_paths(rows).select(F.col("image_id").alias("medoid_id"), F.col("path").alias("medoid_path"))
    )
