"""``vectors`` laid out by cluster, so that a search which probes few clusters reads few files.

Rows are sorted by ``cluster_id`` into files of some megabytes; Delta keeps the least and greatest ``cluster_id`` of
each file, and a filter on it skips the others. Measured in ``benchmarks/layout.py`` at 60,000 x 256 in 60 clusters, for
the 5 nearest of a query: sorted 33 % of the bytes, liquid clustering 36 %, a folder a cluster 8.5 %; all read within
noise, and 15, 14 and 60 files. Sorted is kept: folders are as many files as clusters however small these are, liquid
clustering asks for a writer protocol (7) that other tools lack, and the share falls with the number of files (a file
holds ``FILE_VECTORS``, so five clusters of a million vectors are in some 5 to 10 files of 250).

The cluster of a row is computed where the row is: a join with ``members`` would move every vector once more. Vectors
without a cluster are those that no run of ``cluster`` has seen; ``lay_out_new`` moves only them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark import Broadcast
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.clusters import kmeans
from imgsearch.clusters.blocks import usable_rows
from imgsearch.clusters.codebook import Codebook
from imgsearch.clusters.store import read_codebook
from imgsearch.errors import LAUNCHER, UserError
from imgsearch.lake.batches import Batches
from imgsearch.lake.store import TableStore
from imgsearch.projections.spaces import storage_of
from imgsearch.projections.storage import Precision, expand
from imgsearch.tables import CLUSTERS, VECTORS
from imgsearch.vectors import unpack_bytes

#: Vectors in a file: about 4 MB at 256-d. Fewer make one query's probe cheaper and a whole scan dearer.
FILE_VECTORS = 4_000
#: Larger collections have larger files: the driver holds a few hundred bytes for each.
MOST_FILES = 8_192
#: Files beyond twice the full ones that are left as they are.
FEW_FILES = 16
Sizes = NDArray[np.int64]
_CHECK = "spark.databricks.delta.replaceWhere.constraintCheck.enabled"
_DRAWS = 1 << 20


def lay_out(warehouse: TableStore, projection_id: str, codebook: Codebook, sizes: Sizes) -> int:
    """Rewrite this projection's ``vectors`` by the clusters of ``codebook``; returns the number of files.

    ``sizes`` (n_clusters,) int64: rows of each cluster, by which files are filled evenly. One commit; whoever reads
    meanwhile sees the table before or after.
    """
    return _rewrite(warehouse, projection_id, codebook, sizes, f"projection_id = '{projection_id}'")


def lay_out_new(warehouse: TableStore, projection_id: str, codebook: Codebook, sizes: Sizes) -> int:
    """Give the vectors that have no cluster yet theirs, in files of their own; returns the number of files.

    ``sizes`` (n_clusters,) int64: new rows of each cluster.
    """
    where = f"projection_id = '{projection_id}' AND cluster_id IS NULL"
    return _rewrite(warehouse, projection_id, codebook, sizes, where)


def is_scattered(warehouse: TableStore) -> bool:
    """Whether many small additions have left more than twice the files that the rows would fill."""
    n_files = int(warehouse.delta(VECTORS).detail().select("numFiles").collect()[0][0])  # one row
    return n_files > 2 * files_for(warehouse.read(VECTORS).count()) + FEW_FILES


def files_for(n_vectors: int) -> int:
    """How many files so many vectors are laid out in."""
    return min(max(1, n_vectors // FILE_VECTORS), MOST_FILES)


def codebook(warehouse: TableStore, projection_id: str, option: str) -> Codebook:
    """The centroids that ``vectors`` are laid out by. Raises ``UserError`` where ``cluster`` has not run for them."""
    where = warehouse.location
    if not warehouse.exists(CLUSTERS):
        raise UserError(f"{option} needs clusters; run `{LAUNCHER} cluster --warehouse {where}` first")
    clusters = read_codebook(warehouse, projection_id)
    laid_out = warehouse.read(VECTORS).where(F.col("projection_id") == projection_id)
    if clusters is None or laid_out.where(F.col("cluster_id").isNotNull()).select("cluster_id").first() is None:
        raise UserError(
            f"{option}: the clusters in {where} are of other vectors, or are being made; "
            f"run `{LAUNCHER} cluster --warehouse {where}` again"
        )
    return clusters


def _rewrite(warehouse: TableStore, projection_id: str, codebook: Codebook, sizes: Sizes, where: str) -> int:
    rows = warehouse.read(VECTORS).where(where)
    shared = warehouse.spark.sparkContext.broadcast(codebook)
    located = _located(rows, shared, storage_of(warehouse, projection_id))
    total = int(sizes.sum())
    n_files = files_for(total)
    firsts = pa.table(
        {"cluster_id": codebook.cluster_ids.astype(np.int32), "first": np.cumsum(sizes) - sizes, "n": sizes}
    )
    placed = located.join(F.broadcast(warehouse.spark.createDataFrame(firsts)), on="cluster_id", how="left")
    draw = F.pmod(F.xxhash64("image_id"), F.lit(_DRAWS)) / _DRAWS  # where among its cluster's rows
    place = F.coalesce(F.col("first") + F.col("n") * draw, F.lit(0.0))
    file = F.least(F.floor(place * n_files / max(total, 1)), F.lit(n_files - 1)).cast("int")
    files = placed.withColumn("file", file).repartitionById(n_files, "file")
    ordered = files.sortWithinPartitions(F.col("cluster_id").asc_nulls_first(), "image_id")
    with _rows_change_their_cluster(warehouse.spark):
        warehouse.replace(VECTORS, ordered.drop("file", "first", "n"), where=where)
    shared.destroy()
    return n_files


def _located(rows: DataFrame, codebook: Broadcast[Codebook], storage: Precision) -> DataFrame:
    """Rows of ``vectors`` with ``cluster_id`` as ``rounds.assign`` gives it; null for a vector without a direction."""
    others = [c for c in rows.columns if c not in ("cluster_id", "vector")]
    rows = rows.select(*others, "vector", F.lit(None).cast("int").alias("cluster_id"))
    return rows.mapInArrow(locate_batches(codebook, storage), rows.schema)


def locate_batches(codebook: Broadcast[Codebook], storage: Precision) -> Callable[[Batches], Batches]:
    """(…, stored vector, null) batches → (…, stored vector, cluster_id)."""

    def locate(batches: Batches) -> Batches:
        for batch in batches:
            if not len(batch):
                continue
            *others, vectors, _ = batch.columns
            rows = expand(unpack_bytes(vectors), storage)
            usable = usable_rows(rows)
            cluster_ids = np.zeros(len(rows), np.int32)
            centroid_rows = kmeans.assign(rows[usable], codebook.value.centroids).cluster_ids
            cluster_ids[usable] = codebook.value.cluster_ids[centroid_rows]
            column = pa.array(cluster_ids, pa.int32(), mask=~usable)
            yield pa.RecordBatch.from_arrays([*others, vectors, column], names=batch.schema.names)

    return locate


@contextmanager
def _rows_change_their_cluster(spark: SparkSession) -> Iterator[None]:
    """Within it, rows that replace others need not meet the condition by which those were chosen."""
    before = spark.conf.get(_CHECK, "true") or "true"
    spark.conf.set(_CHECK, "false")
    try:
        yield
    finally:
        spark.conf.set(_CHECK, before)
