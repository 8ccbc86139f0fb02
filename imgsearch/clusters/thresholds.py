"""The score below which a member is an outlier, per cluster: order statistics of the scores, found by Spark.

The rule is ``description.outlier_thresholds``. It needs the middle of each cluster's scores and the middle of their
lower half, and the same of all scores together. A window gives those of the clusters. Counts of the high and then of
the low bits of the scores give those of the collection. No value is an estimate. The driver receives at most four rows
a cluster and 65,537 counts at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from imgsearch.clusters.description import MIN_SIZE, Spread, middle_places, outlier_thresholds

#: Scores of the whole collection are compared in steps of 2^-30; two float32 scores above 0.25 never share a step.
STEPS = 1 << 30
LOW_BITS = 15


def thresholds_of(members: DataFrame, sizes: NDArray[np.int64]) -> NDArray[np.float32]:
    """(n_clusters,) float32 of ``members`` (``cluster`` int, ``score`` float); ``sizes``: members of each cluster."""
    clusters = cluster_spreads(members, sizes)
    deviations = None if (sizes >= MIN_SIZE).any() else _deviations(members, clusters)
    return outlier_thresholds(sizes, clusters, collection_spread(members), deviations)


def cluster_spreads(members: DataFrame, sizes: NDArray[np.int64]) -> Spread:
    """Middle and spread of each cluster's scores, (n_clusters,) float64 each; NaN for an empty cluster."""
    places = np.array([middle_places(int(size)) for size in sizes], np.int64).reshape(-1, 4)
    cells = np.stack([np.repeat(np.arange(len(sizes)), 4), places.reshape(-1)], axis=1)
    cells = np.unique(cells[np.repeat(sizes > 0, 4)], axis=0).astype(np.int32)
    cells_frame = members.sparkSession.createDataFrame(pa.table({"cluster": cells[:, 0], "place": cells[:, 1]}))
    place = F.row_number().over(Window.partitionBy("cluster").orderBy("score")) - 1
    ordered = members.select("cluster", "score").withColumn("place", place)
    cells_of = F.broadcast(cells_frame)
    rows = ordered.join(cells_of, on=["cluster", "place"], how="left_semi").toArrow()  # 4 rows a cluster
    statistics = np.full((len(sizes), 4), np.nan)
    own, row_places = rows.column("cluster").to_numpy(), rows.column("place").to_numpy()
    for column in range(4):
        match = places[own, column] == row_places
        statistics[own[match], column] = rows.column("score").to_numpy()[match]
    return Spread.of_statistics(statistics.T)


def collection_spread(members: DataFrame) -> Spread:
    """Middle and spread of all scores; NaN where there are none."""
    step = F.floor(F.col("score").cast("double") * STEPS).cast("bigint")
    coarse = _histogram(members.select(F.shiftright(step, LOW_BITS).alias("value")))
    if not coarse.total:
        return Spread.of_statistics(np.full(4, np.nan))
    low, high, at_most = _neighbours(members.select(step.alias("value")), coarse, (coarse.total - 1) // 2)
    if coarse.total % 2:
        high = low
    n_lower = coarse.total // 2 if low < high else at_most
    first, second, _ = _neighbours(members.select(step.alias("value")), coarse, (n_lower - 1) // 2)
    return Spread.of_statistics(np.array([low, high, first, first if n_lower % 2 else second]) / STEPS)


class Histogram(NamedTuple):
    """``values`` (n,) int64 ascending, and how many scores have each: ``counts`` (n,) int64."""

    values: NDArray[np.int64]
    counts: NDArray[np.int64]

    @property
    def total(self) -> int:
        """How many scores there are."""
        return int(self.counts.sum())

    def at(self, place: int) -> int:
        """The value at this place, from 0, in ascending order; the greatest for a place behind the last."""
        index = int(np.searchsorted(np.cumsum(self.counts), place, side="right"))
        return int(self.values[min(index, len(self.values) - 1)])

    def below(self, value: int) -> int:
        """How many scores have a lesser value."""
        return int(self.counts[self.values < value].sum())


def _neighbours(steps: DataFrame, coarse: Histogram, place: int) -> tuple[int, int, int]:
    """The values at ``place`` and at the next place, and how many values do not exceed the first."""
    buckets = sorted({coarse.at(place), coarse.at(place + 1)})
    fine = _histogram(steps.where(F.shiftright(F.col("value"), LOW_BITS).isin(buckets)))
    before = coarse.below(buckets[0])
    value = fine.at(place - before)
    return value, fine.at(place + 1 - before), before + fine.below(value + 1)


def _histogram(values: DataFrame) -> Histogram:
    table = values.groupBy("value").count().toArrow().sort_by("value")  # a row for each value of 16 bits
    return Histogram(table.column("value").to_numpy(), table.column("count").to_numpy())


def _deviations(members: DataFrame, clusters: Spread) -> NDArray[np.float64]:
    """How far the lower half of each cluster lies below its middle; no cluster has ``MIN_SIZE`` members."""
    rows = members.select("cluster", "score").toArrow()  # fewer than MIN_SIZE rows a cluster
    own, scores = rows.column("cluster").to_numpy(), rows.column("score").to_numpy().astype(np.float64)
    order = np.lexsort((scores, own))
    groups: Sequence[NDArray[np.float64]] = np.split(scores[order], np.flatnonzero(np.diff(own[order])) + 1)
    middles = clusters.middle[np.unique(own)]
    halves = [middle - group[: (len(group) + 1) // 2] for middle, group in zip(middles, groups, strict=True)]
    return np.concatenate(halves)
