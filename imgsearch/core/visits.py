"""Which clusters a query visits, and the best rows found there: search that leaves most of the gallery unread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgsearch.core.topk import RunningTopK, TopK, merge
from imgsearch.core.vectors import Matrix

Ids = NDArray[np.int64]
UNCLUSTERED = -1  # a row that no cluster has yet: every query looks at it


class Visits(NamedTuple):
    """For each cluster the queries that visit it.

    ``cluster_ids``: (n_clusters,) int64, ascending; ``rows[starts[i]:starts[i + 1]]`` are the queries of cluster ``i``.
    """

    cluster_ids: Ids
    starts: Ids
    rows: Ids

    def of(self, cluster_id: int) -> Ids:
        """Rows of the queries that visit ``cluster_id``, ascending."""
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
    wanted = min(nprobe, len(cluster_ids))
    found = np.empty((len(queries), wanted), np.int64)
    for start in range(0, len(queries), 4096):
        scores = queries[start : start + 4096] @ centroids.T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :wanted]
        found[start : start + 4096] = cluster_ids[best]
    return found


def visits(nearest: Ids) -> Visits:
    """The clusters' visitors. ``nearest``: (n_queries, nprobe) cluster ids; negative ones are nobody's."""
    queries = np.repeat(np.arange(len(nearest), dtype=np.int64), nearest.shape[1])
    clusters = nearest.reshape(-1)
    queries, clusters = queries[clusters >= 0], clusters[clusters >= 0]
    order = np.lexsort((queries, clusters))
    cluster_ids, first = np.unique(clusters[order], return_index=True)
    return Visits(cluster_ids, np.append(first, len(order)).astype(np.int64), queries[order])


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


def choose_nprobe(places: Ids, recall: float, n_clusters: int) -> int:
    """The fewest clusters to visit so that ``recall`` of the true neighbours is in them.

    ``places``: (n,) int64, for true neighbours of sample queries, where their cluster stands in their query's order of
    clusters, from 0; -1 for neighbours that every query sees.
    """
    if not len(places):
        return n_clusters
    reached = np.cumsum(np.bincount(places + 1, minlength=n_clusters + 1)) / len(places)
    return max(1, min(n_clusters, int(np.argmax(reached >= recall)) if (reached >= recall).any() else n_clusters))


def recall_at_k(found: Sequence[Sequence[int]], truth: Sequence[Sequence[int]]) -> float:
    """``ann_recall_at_k``: the share of true neighbours that were found, mean over queries that have any.

    >>> recall_at_k([[1, 2], [5, 6]], [[1, 3], [5, 6]])
    0.75
    """
    shares = [len(set(f) & set(t)) / len(t) for f, t in zip(found, truth, strict=True) if t]
    return float(np.mean(shares)) if shares else 1.0


class VisitingTopK:
    """The k best gallery rows of every query among the clusters it visits. Memory: 12 bytes a query and k."""

    def __init__(self, queries: Matrix, top_k: int, visited: Visits) -> None:
        """``queries``: (n_queries, dim) float32 unit rows."""
        self._queries, self._top_k, self._visited = queries, top_k, visited
        self._ids = np.full((len(queries), top_k), -1, np.int64)
        self._scores = np.full((len(queries), top_k), -np.inf, np.float32)
        self._everyone = np.arange(len(queries))
        self.n_pairs = 0
        """Pairs of a query and a row that were looked at."""

    def update(
        self, gallery: Matrix, ids: Ids, clusters: Ids, exclude: Ids | None = None, min_score: float = -np.inf
    ) -> None:
        """Look at more rows. ``clusters``: (n,) int64, ``UNCLUSTERED`` for none; the rest as ``RunningTopK.update``.

        Rows of one cluster should stand together: every stretch of equal clusters is a product of its own.
        """
        for start, stop in stretches(clusters):
            cluster = int(clusters[start])
            rows = self._everyone if cluster == UNCLUSTERED else self._visited.of(cluster)
            if not len(rows):
                continue
            self.n_pairs += len(rows) * (stop - start)
            part = RunningTopK(self._queries[rows], min(self._top_k, stop - start))
            least = np.maximum(self._scores[rows, -1], np.float32(min_score))
            part.update(gallery[start:stop], ids[start:stop], None if exclude is None else exclude[rows], least)
            best = merge([TopK(self._ids[rows], self._scores[rows]), part.result()], self._top_k)
            self._ids[rows], self._scores[rows] = best

    def result(self) -> TopK:
        """What stands now."""
        return TopK(self._ids, self._scores)


def stretches(values: Ids) -> Iterator[tuple[int, int]]:
    """(start, stop) of every run of equal values.

    >>> list(stretches(np.array([4, 4, 2, 4])))
    [(0, 2), (2, 3), (3, 4)]
    """
    if not len(values):
        return
    edges = np.flatnonzero(np.diff(values)) + 1
    yield from zip(np.append(0, edges).tolist(), np.append(edges, len(values)).tolist(), strict=True)
