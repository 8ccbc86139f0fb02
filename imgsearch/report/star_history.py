"""The history of clusters and of drift, flat; and when each cluster was first seen."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.lake.store import TableStore
from imgsearch.tables import CLUSTER_EVENTS, DRIFT


def cluster_events(warehouse: TableStore, projections: list[str]) -> DataFrame:
    """``fact_cluster_event``: events in any of ``projections``, a row each of the others that an event names."""
    events = warehouse.read_or_empty(CLUSTER_EVENTS)
    own = events.where(F.col("projection_id").isin(projections) | F.col("projection_id").isNull())
    return own.select(
        "fitted_at",
        F.col("fitted_at").cast("date").alias("fitted_date"),
        "event",
        "cluster_id",
        F.explode_outer("others").alias("other_cluster_id"),
        "images",
    )


def drift_history(warehouse: TableStore, projection_id: str, projections: list[str]) -> DataFrame:
    """``fact_drift``: what was measured in any of ``projections``; ``is_current``: in ``projection_id``."""
    rows = warehouse.read_or_empty(DRIFT).where(F.col("projection_id").isin(projections))
    return rows.withColumns(
        {
            "measured_date": F.col("measured_at").cast("date"),
            "is_current": F.col("projection_id") == projection_id,
        }
    ).drop("projection_id")


def first_seen(clusters: DataFrame, events: DataFrame, fits: DataFrame) -> DataFrame:
    """``clusters`` with ``first_seen_at`` and ``first_seen_date``.

    A re-fit notes what is new. A first fit notes nothing: a cluster that is new in no event came with the first fit of
    its projection, or, where the history knows it already, with the first fit of all.
    """
    new = events.groupBy("cluster_id").agg(F.min(F.when(F.col("event") == "new", F.col("fitted_at"))).alias("_new"))
    is_fit = fits.where("event = 'fit'")
    firsts = is_fit.agg(
        F.min("measured_at").alias("_of_all"),
        F.min(F.when(F.col("is_current"), F.col("measured_at"))).alias("_of_this"),
    )
    known = new.withColumn("_has_events", F.lit(True))
    first_fit = F.when(F.col("_has_events"), F.col("_of_all")).otherwise(F.col("_of_this"))
    seen = clusters.join(known, on="cluster_id", how="left").crossJoin(F.broadcast(firsts))
    seen = seen.withColumn("first_seen_at", F.coalesce("_new", first_fit))
    return seen.withColumn("first_seen_date", F.col("first_seen_at").cast("date")).drop(
        "_new", "_has_events", "_of_all", "_of_this"
    )
