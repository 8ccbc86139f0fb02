"""``vectors`` laid out by cluster, so that a search which visits few clusters reads few files.

Rows are sorted by ``cluster_id`` into files of some megabytes; Delta keeps the least and greatest ``cluster_id`` of
each file, and a filter on it skips the others. Measured in ``benchmarks/layout.py`` at 60,000 x 256 in 60 clusters, for
the 5 nearest of a query: sorted 33 % of the bytes, liquid clustering 36 %, a folder a cluster 8.5 %; all read within
noise, and 15, 14 and 60 files. Sorted is kept: folders are as many files as clusters however small these are, liquid
clustering asks for a writer protocol (7) that other tools lack, and the share falls with the number of files (a file
holds ``FILE_VECTORS``, so five clusters of a million vectors are in some 5 to 10 files of 250).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from pyspark.sql import functions as F

from imgsearch.errors import LAUNCHER, UserError
from imgsearch.lake.store import TableStore
from imgsearch.tables import CLUSTERS, MEMBERS, VECTORS
from imgsearch.vectors import Ids, Matrix, unpack

#: Vectors in a file: about 4 MB at 256-d. Fewer make one query's visit cheaper and a whole scan dearer.
FILE_VECTORS = 4_000


class Codebook(NamedTuple):
    """``cluster_ids`` (n_clusters,) int64 and ``centroids`` (n_clusters, dim) float32 unit rows."""

    cluster_ids: Ids
    centroids: Matrix


def lay_out(warehouse: TableStore, projection_id: str) -> int:
    """Rewrite this projection's ``vectors`` by the clusters of ``members``; returns the number of files.

    One commit; whoever reads meanwhile sees the table before or after.
    """
    vectors = warehouse.read(VECTORS).where(F.col("projection_id") == projection_id).drop("cluster_id")
    members = warehouse.read(MEMBERS).where(F.col("projection_id") == projection_id).select("image_id", "cluster_id")
    n_files = max(1, members.count() // FILE_VECTORS)
    rows = vectors.join(members, on="image_id", how="left")
    ordered = rows.repartitionByRange(n_files, F.col("cluster_id").asc_nulls_first(), "image_id")
    ordered = ordered.sortWithinPartitions(F.col("cluster_id").asc_nulls_first(), "image_id")
    warehouse.replace(VECTORS, ordered, where=f"projection_id = '{projection_id}'")
    return n_files


def codebook(warehouse: TableStore, projection_id: str, option: str) -> Codebook:
    """The centroids that ``vectors`` are laid out by. Raises ``UserError`` where ``cluster`` has not run for them."""
    where = warehouse.location
    if not warehouse.exists(CLUSTERS):
        raise UserError(f"{option} needs clusters; run `{LAUNCHER} cluster --warehouse {where}` first")
    clusters = warehouse.read(CLUSTERS).where(F.col("projection_id") == projection_id)
    table = clusters.select("cluster_id", "centroid").orderBy("cluster_id").toArrow()
    laid_out = warehouse.read(VECTORS).where(F.col("projection_id") == projection_id)
    if not table.num_rows or laid_out.where(F.col("cluster_id").isNotNull()).select("cluster_id").first() is None:
        raise UserError(
            f"{option}: the clusters in {where} are of other vectors; "
            f"run `{LAUNCHER} cluster --warehouse {where}` again"
        )
    return Codebook(table.column("cluster_id").to_numpy().astype(np.int64), unpack(table.column("centroid")))
