"""Crowds collapsed as they come: one pass in which every vector finds a leader within reach, or becomes one.

What a crowd of n near-identical frames costs is n products with its leader, not n²/2 pairs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgsearch.duplicates.pairs import group, pairs_above
from imgsearch.topk.topk import RunningTopK
from imgsearch.vectors import Matrix

Ids = NDArray[np.int64]
_CHUNK = 1_024


class Led(NamedTuple):
    """For every row given: ``leaders`` (n,) int64, the id of its leader (its own, if it leads), and ``scores`` (n,)."""

    leaders: Ids
    scores: NDArray[np.float32]


class Leaders:
    """The leaders so far. Memory: at most ``most`` vectors, and half a million pairs while a chunk is looked at."""

    def __init__(self, threshold: float, dim: int, most: int = 20_000) -> None:
        """``threshold``: the score that a row must reach with its leader."""
        self._threshold, self._most = threshold, most
        self._vectors, self._ids = np.empty((0, dim), np.float32), np.empty(0, np.int64)

    def add(self, vectors: Matrix, ids: Ids) -> Led:
        """Find leaders for more rows: (n, dim) float32 unit rows, (n,) int64 ids.

        A row joins the leader that it scores best with. With more than ``most`` leaders the old ones are let go, after
        which a row may lead that one of those could have led: nothing is wrong then, only less is collapsed.
        """
        parts = [self._add(vectors[i : i + _CHUNK], ids[i : i + _CHUNK]) for i in range(0, len(ids), _CHUNK)]
        if not parts:
            return Led(np.empty(0, np.int64), np.empty(0, np.float32))
        return Led(np.concatenate([p.leaders for p in parts]), np.concatenate([p.scores for p in parts]))

    def _add(self, vectors: Matrix, ids: Ids) -> Led:
        leaders, scores = ids.copy(), np.ones(len(ids), np.float32)
        free = np.ones(len(ids), bool)
        if len(self._ids):
            best = RunningTopK(vectors, 1)
            best.update(self._vectors, np.arange(len(self._ids)), min_score=self._threshold)
            found, score = (column[:, 0] for column in best.result())
            joined = (found >= 0) & (score >= self._threshold)
            leaders[joined], scores[joined] = self._ids[found[joined]], score[joined]
            free = ~joined
        rows = np.flatnonzero(free)
        mine = vectors[rows]
        numbers = np.arange(len(rows))
        groups = group(len(rows), pairs_above(mine, numbers, mine, numbers, self._threshold))
        leaders[rows], scores[rows] = ids[rows[groups.representative]], groups.scores
        new = rows[groups.representative == numbers]
        if len(self._ids) + len(new) > self._most:
            self._vectors, self._ids = self._vectors[:0], self._ids[:0]
        self._vectors = np.concatenate([self._vectors, vectors[new]])
        self._ids = np.concatenate([self._ids, ids[new]])
        return Led(leaders, scores)


def near_clusters(vectors: Matrix, centroids: Matrix, cluster_ids: Ids, threshold: float, onward: bool) -> Ids:
    """(n, most visits) int64, −1 where there are fewer: every cluster that could hold a row within ``threshold``.

    Proof: if the angle between a and b is at most t, and b lies with the centroid nearest to it, then by the triangle
    inequality the angle of a to b's centroid is at most that of a to its own nearest one, plus 2 t.

    ``onward``: only a row's own cluster and those of higher number, so that of two rows one visits the other.
    """
    reach = np.float32(2 * np.arccos(min(1.0, threshold)) + 2e-3)
    order = np.argsort(cluster_ids)
    cluster_ids, centroids = cluster_ids[order], centroids[order]
    found: list[Ids] = []
    for start in range(0, len(vectors), 4_096):
        angles = np.arccos(np.clip(vectors[start : start + 4_096] @ centroids.T, -1, 1))
        visit = angles <= angles.min(axis=1, keepdims=True) + reach
        if onward:
            visit &= cluster_ids >= cluster_ids[angles.argmin(axis=1)][:, None]
        width = int(visit.sum(axis=1).max(initial=1))
        first = np.argsort(~visit, axis=1, kind="stable")[:, :width]
        found.append(np.where(np.take_along_axis(visit, first, 1), cluster_ids[first], -1))
    if not found:
        return np.empty((0, 1), np.int64)
    widest = max(part.shape[1] for part in found)
    return np.concatenate([np.pad(p, ((0, 0), (0, widest - p.shape[1])), constant_values=-1) for p in found])
