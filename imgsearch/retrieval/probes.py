"""Which clusters a query probes, and its best rows there: a search that leaves most of the gallery unread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from imgsearch.topk.ranking import Batch, Best, empty_best, score_rows
from imgsearch.topk.topk import RunningTopK, TopK, in_order
from imgsearch.vectors import Ids, Matrix

UNCLUSTERED = -1  # a row that no cluster has yet: every query looks at it
SAFETY = 2.33  # standard errors: a sample as lucky as that is one in a hundred
FEW_PAIRS = 30_000  # of a run: below it scoring each costs less than packing rows and queries for a product


class Probes(NamedTuple):
    """For each cluster the queries that probe it.

    ``cluster_ids``: (n_clusters,) int64, ascending; ``rows[starts[i]:starts[i + 1]]`` are the queries of cluster ``i``.
    """

    cluster_ids: Ids
    starts: Ids
    rows: Ids

    def of(self, cluster_id: int) -> Ids:
        """Rows of the queries that probe ``cluster_id``, ascending."""
        at = int(np.searchsorted(self.cluster_ids, cluster_id))
        if at == len(self.cluster_ids) or self.cluster_ids[at] != cluster_id:
            return self.rows[:0]
        return self.rows[self.starts[at] : self.starts[at + 1]]


def nearest_clusters(queries: Matrix, centroids: Matrix, cluster_ids: Ids, nprobe: int) -> Ids:
    """(n_queries, min(nprobe, n_clusters)) int64: the clusters whose centroids score best, best first, then lowest id.

    ``queries``: (n_queries, dim), ``centroids``: (n_clusters, dim), both float32 unit rows.
    """
    order = np.argsort(cluster_ids)
    cluster_ids, centroids = cluster_ids[order], centroids[order]
    n_probed = min(nprobe, len(cluster_ids))
    nearest = np.empty((len(queries), n_probed), np.int64)
    for start in range(0, len(queries), 4096):
        scores = queries[start : start + 4096] @ centroids.T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :n_probed]
        nearest[start : start + 4096] = cluster_ids[best]
    return nearest


def probes_of(nearest: Ids) -> Probes:
    """The queries of each cluster. ``nearest``: (n_queries, nprobe) cluster ids; negative ones are left out."""
    query_rows = np.repeat(np.arange(len(nearest), dtype=np.int64), nearest.shape[1])
    clusters = nearest.reshape(-1)
    query_rows, clusters = query_rows[clusters >= 0], clusters[clusters >= 0]
    order = np.lexsort((query_rows, clusters))
    cluster_ids, first = np.unique(clusters[order], return_index=True)
    return Probes(cluster_ids, np.append(first, len(order)).astype(np.int64), query_rows[order])


def ranges(cluster_ids: Ids, most: int = 16) -> list[tuple[int, int]]:
    """The fewest intervals that hold ``cluster_ids``, at most ``most``: beyond that the narrowest gaps are closed.

    >>> ranges(np.array([7, 1, 2, 3, 9]))
    [(1, 3), (7, 7), (9, 9)]
    >>> ranges(np.array([7, 1, 2, 3, 9]), most=2)
    [(1, 3), (7, 9)]
    """
    ids = np.unique(cluster_ids)
    if not len(ids):
        return []
    gaps = np.diff(ids)
    widest = np.sort(np.argsort(-gaps, kind="stable")[: max(0, most - 1)])
    cuts = widest[gaps[widest] > 1]
    firsts, lasts = np.append(ids[0], ids[cuts + 1]), np.append(ids[cuts], ids[-1])
    return [(int(a), int(b)) for a, b in zip(firsts, lasts, strict=True)]


def choose_nprobe(queries: Ids, places: Ids, recall: float, n_clusters: int) -> int:
    """The fewest clusters to probe so that ``recall`` of the true neighbours is in them, for other queries too.

    For true neighbours of sample queries: ``queries`` (n,) int64, whose they are; ``places`` (n,) int64, where their
    cluster stands in that query's order of clusters, from 0; -1 for neighbours that every query sees. What must reach
    ``recall`` is the sample's mean less ``SAFETY`` standard errors, so that a lucky sample seldom promises too much.
    """
    if not len(places):
        return n_clusters
    names, rows = np.unique(queries, return_inverse=True)
    counts = np.zeros((len(names), n_clusters + 1))
    np.add.at(counts, (rows, places + 1), 1)
    shares = counts.cumsum(axis=1) / counts.sum(axis=1, keepdims=True)
    doubt = shares.std(axis=0, ddof=1) / np.sqrt(len(names)) if len(names) > 1 else 0.0
    reached = shares.mean(axis=0) - SAFETY * doubt >= recall
    return max(1, int(np.argmax(reached))) if reached.any() else n_clusters


def recall_at_k(answers: Sequence[Sequence[int]], truth: Sequence[Sequence[int]]) -> float:
    """``ann_recall_at_k``: the share of true neighbours that were found, mean over queries that have any.

    >>> recall_at_k([[1, 2], [5, 6]], [[1, 3], [5, 6]])
    0.75
    """
    shares = [len(set(f) & set(t)) / len(t) for f, t in zip(answers, truth, strict=True) if t]
    return float(np.mean(shares)) if shares else 1.0


class ProbedTopK:
    """The k best gallery rows of every query among the clusters it probes. Memory: 18 bytes a query and k."""

    def __init__(self, queries: Matrix, top_k: int, probes: Probes) -> None:
        """``queries``: (n_queries, dim) float32 unit rows."""
        self._queries, self._probes = np.ascontiguousarray(queries, np.float32), probes
        self._best = empty_best(len(queries), top_k)
        self._everyone, self._nobody = np.arange(len(queries)), np.full(len(queries), -1, np.int64)
        self.n_pairs = 0
        """Pairs of a query and a row that were looked at."""

    def update(
        self, gallery: Matrix, ids: Ids, clusters: Ids, exclude: Ids | None = None, min_score: float = -np.inf
    ) -> None:
        """Look at more rows. ``clusters``: (n,) int64, ``UNCLUSTERED`` for none; the rest as ``RunningTopK.update``.

        Rows of one cluster should stand together: every run of equal clusters is a product of its own.
        """
        np.maximum(self._best.thresholds, np.float32(min_score), out=self._best.thresholds)
        batch = Batch(np.ascontiguousarray(gallery, np.float32), ids, self._nobody if exclude is None else exclude)
        for start, stop in runs(clusters):
            cluster = int(clusters[start])
            rows = self._everyone if cluster == UNCLUSTERED else self._probes.of(cluster)
            self.n_pairs += len(rows) * (stop - start)
            if len(rows) * (stop - start) > FEW_PAIRS:
                self._multiply(batch, rows, start, stop)
            elif len(rows):
                score_rows(self._queries, batch, rows, start, stop, self._best)

    def result(self) -> TopK:
        """What stands now."""
        return in_order(self._best)

    def _multiply(self, batch: Batch, rows: Ids, start: int, stop: int) -> None:
        best = self._best
        part = Best(best.top_k, best.scores[rows], best.ids[rows], best.filled[rows], best.thresholds[rows])
        running = RunningTopK(self._queries[rows], best.top_k, best=part)
        running.update(batch.gallery[start:stop], batch.ids[start:stop], batch.exclude[rows])
        best.scores[rows], best.ids[rows] = part.scores, part.ids
        best.filled[rows], best.thresholds[rows] = part.filled, part.thresholds


def runs(values: Ids) -> Iterator[tuple[int, int]]:
    """(start, stop) of every run of equal values.

    >>> list(runs(np.array([4, 4, 2, 4])))
    [(0, 2), (2, 3), (3, 4)]
    """
    if not len(values):
        return
    edges = np.flatnonzero(np.diff(values)) + 1
    yield from zip(np.append(0, edges).tolist(), np.append(edges, len(values)).tolist(), strict=True)


RECALL_METRIC = "ann_recall_at_k"
