"""Names spread over all vectors: votes are counted where the vectors are, and the named images come to them.

At most ``MOST_VOTERS`` named images are broadcast. Of more names a sample votes that has every name of every cluster
before a second image of any: names near each other say the same thing. Each vector is read once.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pyspark import Broadcast
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from imgsearch.clusters.blocks import usable_rows
from imgsearch.clusters.codebook import Codebook
from imgsearch.labels.ballot import Ballot, ballot, counted
from imgsearch.labels.names import Names
from imgsearch.lake.batches import Batches
from imgsearch.lake.store import TableStore
from imgsearch.projections.spaces import gallery_of
from imgsearch.tables import CLUSTERS
from imgsearch.vectors import unpack

#: Named images that are broadcast: 51 MB at 256-d.
MOST_VOTERS = 50_000
VOTE = (
    "image_id string, cluster_id int, label string, confidence float, origin string, runner_up string, "
    "voters array<string>, nearest float"
)


def read_ballot(warehouse: TableStore, projection_id: str, codebook: Codebook, names: Names) -> Ballot:
    """Who votes: a sample of the images that people named, and the medoids of the clusters that they named."""
    medoids = _medoids(warehouse, projection_id, names)
    own = names.of_image.select("image_id", "label", F.lit(True).alias("is_own"))
    spark = warehouse.spark
    rows = [(m, names.of_cluster[c], False) for c, m in sorted(medoids.items())]
    of_medoid = spark.createDataFrame(rows, "image_id string, label string, is_own boolean")
    unnamed = of_medoid.dropDuplicates(["image_id"]).join(own.select("image_id"), on="image_id", how="left_anti")
    if names.without is not None:
        unnamed = unnamed.join(names.without, on="image_id", how="left_anti")
    named = own.unionByName(unnamed)
    columns = ("image_id", "cluster_id", "label", "is_own", "vector")
    voters = gallery_of(
        warehouse, projection_id, lambda frame: frame.join(named, on="image_id", how="inner").select(*columns)
    )
    if own.count() + len(rows) > MOST_VOTERS:
        voters = _sampled(voters, MOST_VOTERS)
    table = voters.toArrow().sort_by("image_id")  # MOST_VOTERS rows
    return ballot(table, codebook, names.of_cluster, medoids, names.junk)


def _medoids(warehouse: TableStore, projection_id: str, names: Names) -> dict[int, str]:
    """The medoids of the named clusters."""
    clusters = warehouse.read(CLUSTERS).where(F.col("projection_id") == projection_id)
    rows = clusters.where(F.col("medoid_id").isNotNull()).select("cluster_id", "medoid_id").collect()  # one a cluster
    return {row["cluster_id"]: row["medoid_id"] for row in rows if row["cluster_id"] in names.of_cluster}


def _sampled(voters: DataFrame, at_most: int) -> DataFrame:
    """At most so many rows; the first of each name in each cluster, then the second of each, and so on."""
    of_name = Window.partitionBy("cluster_id", "label").orderBy(F.xxhash64("image_id"), "image_id")
    numbered = voters.withColumn("_turn", F.row_number().over(of_name))
    return numbered.orderBy("_turn", F.xxhash64("image_id"), "image_id").limit(at_most).drop("_turn")


def votes(vectors: DataFrame, ballot: Ballot) -> DataFrame:
    """The columns of ``VOTE`` for ``vectors`` (``image_id``, ``cluster_id``, ``vector``); null label: no voter at all.

    No rows for images of clusters that are junk.
    """
    shared = vectors.sparkSession.sparkContext.broadcast(ballot)
    return vectors.select("image_id", "cluster_id", "vector").mapInArrow(vote_batches(shared), VOTE)


def vote_batches(ballot: Broadcast[Ballot]) -> Callable[[Batches], Batches]:
    """(image_id, cluster_id, vector) batches → ``VOTE`` batches."""

    def count(batches: Batches) -> Batches:
        for batch in batches:
            if len(batch):
                vectors = unpack(batch.column(2))
                vectors = np.where(usable_rows(vectors)[:, None], vectors, np.float32(0))  # no direction: no voter
                clusters = batch.column(1).fill_null(-1).to_numpy().astype(np.int64)
                yield counted(ballot.value, batch.column(0), clusters, vectors)

    return count
