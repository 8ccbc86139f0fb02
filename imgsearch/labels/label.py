"""Label: what people said of clusters and of single images (``labels``) → ``image_labels``, with a confidence each."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.clusters.layout import codebook
from imgsearch.config import LabelConfig
from imgsearch.errors import LAUNCHER, UserError
from imgsearch.images.image_names import csv_frame
from imgsearch.labels.confidence import LEAST_NAMES
from imgsearch.labels.decided import decided_names
from imgsearch.labels.doubts import (
    Judged,
    judge,
    least_confidence,
    write_conflicts,
    write_next,
    write_reliability,
)
from imgsearch.labels.imports import add_names
from imgsearch.labels.names import Names, read_names
from imgsearch.labels.spreading import read_ballot, votes
from imgsearch.lake.runs import RunSummary, Stopwatch, finish
from imgsearch.lake.store import TableStore
from imgsearch.projections.spaces import current_projection, gallery_of
from imgsearch.tables import IMAGE_LABELS, IMAGES


def run(spark: SparkSession, config: LabelConfig) -> RunSummary:
    """Spread the names that stand in ``labels`` and replace ``image_labels``: one row for each row of ``images``.

    With ``config.labels`` the names in that CSV are added to ``labels`` first. ``conflicts``, ``label_next`` and the
    ``confidence_`` rows of ``metrics`` are made anew.
    """
    watch = Stopwatch()
    warehouse = TableStore.open(spark, config.warehouse)
    _, projection = current_projection(warehouse, config.encoder)
    projection_id = projection.projection_id
    clusters = codebook(warehouse, projection_id, "label")
    names = _names(warehouse, projection_id, clusters.cluster_ids.tolist(), config)
    judged = judge(read_ballot(warehouse, projection_id, clusters, names))
    spread = warehouse.stage(_votes(warehouse, projection_id, names, judged), "votes")
    threshold = least_confidence(spread, judged, config.min_confidence, config.target_precision)
    images = warehouse.read(IMAGES).select("image_id", "path")
    warehouse.replace(IMAGE_LABELS, labelled(images, names, spread, threshold))
    write_reliability(warehouse, judged.table)
    n_conflicts = write_conflicts(warehouse, projection_id, judged)
    write_next(warehouse, projection_id, spread)
    written = warehouse.read(IMAGE_LABELS)
    counts = {r["origin"]: r["count"] for r in written.groupBy("origin").count().collect()}  # a row an origin
    details: dict[str, object] = {"names": _n_names(names)}
    details |= {name: counts.get(name, 0) for name in ("person", "vote", "cluster", "none")}
    details |= {"conflicts": n_conflicts, "threshold": f"{threshold:.3f}"}
    measured, notes = _trust(judged)
    return finish(
        warehouse, "label", watch, rows_in=images.count(), rows_out=sum(counts.values()), details=details | measured,
        notes=notes,
    )  # fmt: skip


def _trust(judged: Judged) -> tuple[dict[str, object], tuple[str, ...]]:
    """What to say of the confidence."""
    n = len(judged.ballot.ids)
    if judged.table is None:
        return {}, (
            f"confidence is the share of the vote, not measured: {n} images and medoids are named, and {LEAST_NAMES} "
            "are needed to say how often such votes are right ('label_next' lists the best to name)",
        )
    return {"measured_on": int(judged.table.names.sum()), "ece": f"{judged.table.ece:.3f}"}, ()


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


def _votes(warehouse: TableStore, projection_id: str, names: Names, judged: Judged) -> DataFrame:
    """``spreading.VOTE`` rows of every vector whose image has no name of its own."""
    own = names.of_image.select("image_id")
    vectors = gallery_of(warehouse, projection_id, lambda rows: rows.join(own, on="image_id", how="left_anti"))
    return votes(vectors, judged.ballot)


def labelled(images: DataFrame, names: Names, spread: DataFrame, threshold: float) -> DataFrame:
    """The columns of ``image_labels``: a person's own name before a spread one, and none below ``threshold``.

    An image that a person took out of its cluster gets no spread name, nor a runner-up.
    """
    if names.without is not None:
        spread = spread.join(names.without, on="image_id", how="left_anti")
    own = names.of_image.select("image_id", F.col("label").alias("own"))
    rows = images.select("image_id", "path").join(spread.drop("cluster_id", "nearest"), on="image_id", how="left")
    is_own, is_sure = F.col("own").isNotNull(), F.col("label").isNotNull() & (F.col("confidence") >= F.lit(threshold))
    return rows.join(own, on="image_id", how="left").select(
        "image_id",
        "path",
        F.coalesce("own", F.when(is_sure, F.col("label"))).alias("label"),
        F.when(is_own, F.lit(1.0)).when(is_sure, F.col("confidence")).cast("float").alias("confidence"),
        F.when(is_own, F.lit("person")).when(is_sure, F.col("origin")).otherwise(F.lit("none")).alias("origin"),
        F.when(is_sure, F.col("runner_up")).otherwise(F.col("label")).alias("runner_up"),
        "voters",
    )


def _n_names(names: Names) -> int:
    words = names.of_image.select("label").distinct()
    own = names.of_image.sparkSession.createDataFrame([(w,) for w in set(names.of_cluster.values())], "label string")
    return words.union(own).distinct().count()
