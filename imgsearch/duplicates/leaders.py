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
_SLACK = 2e-3  # by which rounding can make another centroid the nearest


class Assigned(NamedTuple):
    """For every row given: ``leaders`` (n,) int64, the id of its leader (its own, if it leads), and ``scores`` (n,)."""

    leaders: Ids
    scores: NDArray[np.float32]


class Leaders:
    """The leaders so far. Memory: at most ``most`` vectors, and half a million pairs while a chunk is looked at."""

    def __init__(self, threshold: float, dim: int, most: int = 20_000) -> None:
        """``threshold``: the score that a row must reach with its leader."""
        self._threshold, self._most = threshold, most
        self._vectors, self._ids = np.empty((0, dim), np.float32), np.empty(0, np.int64)

    def add(self, vectors: Matrix, ids: Ids) -> Assigned:
        """Find leaders for more rows: (n, dim) float32 unit rows, (n,) int64 ids.

        A row joins the leader that it scores best with. With more than ``most`` leaders the old ones are let go, after
        which a row may lead that one of those could have led: nothing is wrong then, only less is collapsed.
        """
        parts = [self._add(vectors[i : i + _CHUNK], ids[i : i + _CHUNK]) for i in range(0, len(ids), _CHUNK)]
        if not parts:
            return Assigned(np.empty(0, np.int64), np.empty(0, np.float32))
        return Assigned(np.concatenate([p.leaders for p in parts]), np.concatenate([p.scores for p in parts]))

    def _add(self, vectors: Matrix, ids: Ids) -> Assigned:
        leaders, scores = ids.copy(), np.ones(len(ids), np.float32)
        free = np.ones(len(ids), bool)
        if len(self._ids):
            best = RunningTopK(vectors, 1)
            best.update(self._vectors, np.arange(len(self._ids)), min_score=self._threshold)
            nearest, score = (column[:, 0] for column in best.result())
            joined = (nearest >= 0) & (score >= self._threshold)
            leaders[joined], scores[joined] = self._ids[nearest[joined]], score[joined]
            free = ~joined
        rows = np.flatnonzero(free)
        unled = vectors[rows]
        numbers = np.arange(len(rows))
        groups = group(len(rows), pairs_above(unled, numbers, unled, numbers, self._threshold))
        leaders[rows], scores[rows] = ids[rows[groups.representative]], groups.scores
        new = rows[groups.representative == numbers]
        if len(self._ids) + len(new) > self._most:
            self._vectors, self._ids = self._vectors[:0], self._ids[:0]
        self._vectors = np.concatenate([self._vectors, vectors[new]])
        self._ids = np.concatenate([self._ids, ids[new]])
        return Assigned(leaders, scores)


def near_clusters(vectors: Matrix, centroids: Matrix, threshold: float) -> NDArray[np.bool_]:
    """(n, n_clusters) bool: the clusters that could hold a row within ``threshold`` (a cosine above 0).

    Proof: let b lie in the cluster of c, so that no other centroid is nearer to b, and let d be the centroid nearest to
    a. Then b is on c's side of the plane between c and d: b · w ≥ 0 with w = (c − d) / |c − d|. If the angle between a
    and b is at most t, that of a to w is at most 90° + t, so a · w ≥ −sin t, which is a · d − a · c ≤ sin t |c − d|.
    """
    reach = np.float32(np.sqrt(max(0.0, 1 - threshold**2)))
    distances = np.sqrt(np.clip(2 - 2 * (centroids @ centroids.T), 0, None))
    scores = vectors @ centroids.T
    nearest = scores.argmax(axis=1)
    lag = np.take_along_axis(scores, nearest[:, None], 1) - scores
    near: NDArray[np.bool_] = lag <= reach * distances[nearest] + np.float32(_SLACK)
    return near
