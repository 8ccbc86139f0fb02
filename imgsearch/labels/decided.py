"""What stands of the table ``labels``, for ``label``: names of clusters on the driver, names of images as a frame."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.labels.decisions import Decision, anchored, fold, standing
from imgsearch.labels.names import Names
from imgsearch.lake.store import TableStore
from imgsearch.tables import LABELS, MEMBERS


def decided_names(warehouse: TableStore, projection_id: str, cluster_ids: list[int]) -> Names:
    """The names that stand for the clusters ``cluster_ids`` of a projection, and for single images."""
    rows = warehouse.read_or_empty(LABELS)
    undos = [Decision.of_row(row.asDict()) for row in rows.where("action = 'undo'").collect()]  # one a person's undo
    undone = {undo.undoes for undo in standing(undos) if undo.undoes is not None}
    decisions = [d for d in _of_clusters(rows) if d.label_id not in undone]
    state = fold(anchored(decisions, _clusters_of(warehouse, projection_id, decisions), projection_id))
    of_cluster = {c: label for c in cluster_ids if (label := state.label(c)) is not None}
    last = _last_word(rows, undone)
    named = last.where(F.col("label").isNotNull())
    junk = frozenset(c for c in cluster_ids if state.status(c) == "junk")
    return Names(of_cluster, named, last.where(F.col("label").isNull()).select("image_id"), junk)


def _of_clusters(rows: DataFrame) -> list[Decision]:
    """A row for each time that somebody, or a CSV, said something of a cluster."""
    return [Decision.of_row(row.asDict()) for row in rows.where("kind = 'cluster' AND action <> 'undo'").collect()]


def _clusters_of(warehouse: TableStore, projection_id: str, decisions: list[Decision]) -> dict[str, int]:
    """Where the medoids lie now of clusters that another projection had."""
    medoids = {d.medoid_id for d in decisions if d.projection_id not in (None, projection_id) and d.medoid_id}
    if not medoids:
        return {}
    frame = warehouse.spark.createDataFrame([(m,) for m in sorted(medoids)], "image_id string")
    members = warehouse.read(MEMBERS).where(F.col("projection_id") == projection_id)
    rows = members.join(F.broadcast(frame), on="image_id", how="left_semi").select("image_id", "cluster_id").collect()
    return {row["image_id"]: row["cluster_id"] for row in rows}


def _last_word(rows: DataFrame, undone: set[str]) -> DataFrame:
    """``image_id`` and ``label`` (null: it was dropped or split off without a name), a row an image."""
    changes = rows.where("kind IN ('part', 'image') AND action <> 'undo'")
    if undone:
        gone = rows.sparkSession.createDataFrame([(i,) for i in sorted(undone)], "label_id string")
        changes = changes.join(F.broadcast(gone), on="label_id", how="left_anti")
    each = changes.select(
        F.explode("image_ids").alias("image_id"), F.struct("made_at", "label_id", "label").alias("change")
    )
    last = each.groupBy("image_id").agg(F.max("change").alias("last"))
    return last.select("image_id", F.col("last.label").alias("label"))
