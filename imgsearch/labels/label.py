"""Label: what people said of clusters and of single images (``labels``) → ``image_labels``, with a confidence each."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.clusters.codebook import Codebook
from imgsearch.clusters.layout import codebook
from imgsearch.config import LabelConfig
from imgsearch.errors import LAUNCHER, UserError
from imgsearch.images.image_names import csv_frame
from imgsearch.labels.decided import decided_names
from imgsearch.labels.imports import add_names
from imgsearch.labels.names import Names, read_names
from imgsearch.labels.spreading import ballots, votes
from imgsearch.lake.runs import RunSummary, Stopwatch, finish
from imgsearch.lake.store import TableStore
from imgsearch.projections.spaces import current_projection, gallery_of
from imgsearch.tables import IMAGE_LABELS, IMAGES


def run(spark: SparkSession, config: LabelConfig) -> RunSummary:
    """Spread the names that stand in ``labels`` and replace ``image_labels``: one row for each row of ``images``.

    With ``config.labels`` the names in that CSV are added to ``labels`` first.
    """
    watch = Stopwatch()
    warehouse = TableStore.open(spark, config.warehouse)
    _, projection = current_projection(warehouse, config.encoder)
    clusters = codebook(warehouse, projection.projection_id, "label")
    names = _names(warehouse, projection.projection_id, clusters.cluster_ids.tolist(), config)
    spread_names = _spread(warehouse, projection.projection_id, clusters, names, config.min_confidence)
    images = warehouse.read(IMAGES).select("image_id", "path")
    warehouse.replace(IMAGE_LABELS, labelled(images, names, spread_names))
    written = warehouse.read(IMAGE_LABELS)
    counts = {r["origin"]: r["count"] for r in written.groupBy("origin").count().collect()}  # a row an origin
    n_images, n_names = images.count(), _n_names(names)
    return finish(
        warehouse, "label", watch, rows_in=n_images, rows_out=sum(counts.values()),
        details={"names": n_names, **{name: counts.get(name, 0) for name in ("person", "vote", "cluster", "none")}},
    )  # fmt: skip


def _names(warehouse: TableStore, projection_id: str, cluster_ids: list[int], config: LabelConfig) -> Names:
    """What stands, after the names of a CSV were added. Raises ``UserError`` where nothing has a name."""
    present = decided_names(warehouse, projection_id, cluster_ids)
    if config.labels is not None:
        rows = csv_frame(warehouse, config.labels, "labels", ["label"])
        add_names(warehouse, projection_id, read_names(warehouse, rows, config.labels, cluster_ids), present)
        present = decided_names(warehouse, projection_id, cluster_ids)
    if not present.of_cluster and present.of_image.isEmpty():
        raise UserError(
            f"nothing in {warehouse.location} has a name yet; name clusters on the page of "
            f"`{LAUNCHER} review --warehouse {warehouse.location}`, or give --labels FILE.csv"
        )
    staged = warehouse.stage(present.of_image, "names-of-images")
    return present._replace(of_image=staged)


def _spread(
    warehouse: TableStore, projection_id: str, clusters: Codebook, names: Names, min_confidence: float
) -> DataFrame:
    """``spreading.VOTE`` rows of every vector that has a cluster."""
    of_image = names.of_image.select("image_id")
    named = gallery_of(
        warehouse,
        projection_id,
        lambda rows: rows.where(F.col("cluster_id").isNotNull()).join(of_image, on="image_id", how="left_semi"),
    )
    named = warehouse.stage(named.join(names.of_image, on="image_id", how="inner"), "named")
    parts = []
    for share, ballot in ballots(named, clusters, names.of_cluster, min_confidence):
        vectors = gallery_of(warehouse, projection_id, share.rows)
        parts.append(warehouse.stage(votes(vectors, ballot), "votes"))
    return reduce(DataFrame.unionByName, parts)


def labelled(images: DataFrame, names: Names, spread_names: DataFrame) -> DataFrame:
    """``image_id``, ``path``, ``label``, ``confidence``, ``origin``: a person's own name before a spread one.

    An image that a person took out of its cluster gets no spread name.
    """
    if names.without is not None:
        spread_names = spread_names.join(names.without, on="image_id", how="left_anti")
    own = names.of_image.select("image_id", F.col("label").alias("own"))
    rows = images.select("image_id", "path").join(spread_names, on="image_id", how="left")
    named = F.col("own").isNotNull()
    return rows.join(own, on="image_id", how="left").select(
        "image_id",
        "path",
        F.coalesce("own", "label").alias("label"),
        F.when(named, F.lit(1.0)).otherwise(F.coalesce("confidence", F.lit(0.0))).cast("float").alias("confidence"),
        F.when(named, F.lit("person")).otherwise(F.coalesce("origin", F.lit("none"))).alias("origin"),
    )


def _n_names(names: Names) -> int:
    words = names.of_image.select("label").distinct()
    own = names.of_image.sparkSession.createDataFrame([(w,) for w in set(names.of_cluster.values())], "label string")
    return words.union(own).distinct().count()
