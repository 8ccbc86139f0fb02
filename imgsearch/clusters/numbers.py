"""Cluster numbers that outlive a re-fit: old and new clusters matched by the images they share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.clusters.description import Matching, match_clusters
from imgsearch.lake.rows import frame_of
from imgsearch.lake.store import TableStore
from imgsearch.tables import CLUSTER_EVENTS, CLUSTERS, MEMBERS

Event = tuple[str, int, list[int] | None, int | None]


class Lineage(NamedTuple):
    """The projection whose vectors are clustered, and earlier projections of its encoder whose clusters it replaces."""

    projection_id: str
    earlier: tuple[str, ...]

    def is_own(self) -> str:
        """SQL condition on ``projection_id``: rows of any of them, and of the first release, which did not say."""
        ids = ", ".join(repr(each) for each in (self.projection_id, *self.earlier))
        return f"(projection_id IN ({ids}) OR projection_id IS NULL)"


def stable_ids(
    warehouse: TableStore, lineage: Lineage, members: DataFrame, n_clusters: int
) -> tuple[NDArray[np.int32], list[Event]]:
    """For each of ``n_clusters`` new clusters the number it keeps or gets, and what happened to the old ones.

    ``members``: ``image_id`` and ``cluster`` (row of the new centroids). A number that was ever given to a cluster of
    this lineage is never given to another one. The driver receives one count for each pair of an old and a new cluster
    that share an image.
    """
    plain = np.arange(n_clusters, dtype=np.int32)
    if not warehouse.exists(MEMBERS) or not warehouse.exists(CLUSTERS):
        return plain, []
    old = _old_members(warehouse, lineage)
    next_id = _next_id(warehouse, lineage)
    if old is None:
        return plain + np.int32(next_id), []
    shared = old.join(members.select("image_id", "cluster"), on="image_id", how="inner")
    cells = shared.groupBy("cluster_id", "cluster").count().toArrow()  # at most n_old x n_new
    old_ids = np.array(sorted(row[0] for row in old.select("cluster_id").distinct().collect()), np.int32)
    if not cells.num_rows:
        return plain + np.int32(next_id), []
    overlap = np.zeros((len(old_ids), n_clusters), np.int64)
    rows = np.searchsorted(old_ids, cells.column("cluster_id").to_numpy())
    overlap[rows, cells.column("cluster").to_numpy()] = cells.column("count").to_numpy()
    matching = match_clusters(overlap, old_ids, next_id)
    return matching.new_ids, events_of(matching, old_ids, next_id)


def events_of(matching: Matching, old_ids: NDArray[np.int32], next_id: int) -> list[Event]:
    """What a re-fit did: clusters kept, new and gone, splits and merges."""
    events: list[Event] = [
        ("kept" if new_id < next_id else "new", int(new_id), None, int(n))
        for new_id, n in zip(matching.new_ids, matching.overlap, strict=True)
    ]
    events += [("gone", int(cluster_id), None, None) for cluster_id in np.setdiff1d(old_ids, matching.new_ids)]
    events += [("split", int(old_id), parts, None) for old_id, parts in matching.splits]
    events += [("merge", int(new_id), parents, None) for new_id, parents in matching.merges]
    return events


def write_events(warehouse: TableStore, projection_id: str, events: list[Event]) -> None:
    """Add what a re-fit did to ``cluster_events``."""
    if events:
        frame = frame_of(warehouse.spark, CLUSTER_EVENTS, events, CLUSTER_EVENTS.columns[2:])
        now = {"fitted_at": F.current_timestamp(), "projection_id": F.lit(projection_id)}
        warehouse.append(CLUSTER_EVENTS, frame.withColumns(now))


def _old_members(warehouse: TableStore, lineage: Lineage) -> DataFrame | None:
    """Members of this projection's clusters, or else of the earlier one that has the most; ``None`` for none."""
    members = warehouse.read(MEMBERS).where(lineage.is_own())
    sizes = {row[0]: row[1] for row in members.groupBy("projection_id").count().collect()}  # a row a projection
    if not sizes:
        return None
    chosen = lineage.projection_id if lineage.projection_id in sizes else max(sizes, key=lambda each: sizes[each])
    return members.where(F.col("projection_id") == chosen).select("image_id", "cluster_id")


def _next_id(warehouse: TableStore, lineage: Lineage) -> int:
    """One more than any number that a cluster of this lineage ever had."""
    ids = [warehouse.read(spec).where(lineage.is_own()).select("cluster_id") for spec in (CLUSTERS, MEMBERS)]
    if warehouse.exists(CLUSTER_EVENTS):
        ids.append(warehouse.read(CLUSTER_EVENTS).where(lineage.is_own()).select("cluster_id"))
    greatest = [each.agg(F.max("cluster_id")).collect()[0][0] for each in ids]  # one row each
    return max((int(each) + 1 for each in greatest if each is not None), default=0)
