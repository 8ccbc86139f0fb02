"""The graph of reciprocal neighbours: two images are joined where each is among the nearest of the other.

Made of lists of nearest neighbours (the table ``neighbours``). A list says whom an image is near to; that the other
agrees is what tells a thing's pictures from an image that is near to everything.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgsearch.retrieval.expansion import nearest_others
from imgsearch.topk.topk import TopK, merge
from imgsearch.vectors import Ids, Matrix

NOBODY = -1
#: Of each list so many neighbours count.
DEGREE = 10
#: Weight of an edge: the cosine to this power.
POWER = 3.0
_BLOCK = 2_048


class Lists(NamedTuple):
    """Nearest neighbours of n images: ``keys`` (n,) int64, ascending; ``neighbours`` (n, k) int64 keys, best first,
    ``NOBODY`` where there are fewer; ``scores`` (n, k) float32 cosines."""

    keys: Ids
    neighbours: Ids
    scores: Matrix

    @classmethod
    def empty(cls, k: int) -> Lists:
        """Of no image."""
        return cls(np.empty(0, np.int64), np.empty((0, k), np.int64), np.empty((0, k), np.float32))

    def joined(self, other: Lists) -> Lists:
        """Both, of different images with equally long lists."""
        keys = np.concatenate([self.keys, other.keys])
        order = np.argsort(keys, kind="stable")
        return Lists(
            keys[order],
            np.concatenate([self.neighbours, other.neighbours])[order],
            np.concatenate([self.scores, other.scores])[order],
        )


class Graph(NamedTuple):
    """``keys`` (n,) int64, ascending, of the images whose lists there are; ``neighbours`` (n, k) int64 keys;
    ``rows`` (n, k) int64, where ``keys`` has that neighbour, or ``NOBODY`` where it has no list here or does not agree;
    ``weights`` (n, k) float64, the cosine to the power ``POWER``."""

    keys: Ids
    neighbours: Ids
    rows: Ids
    weights: NDArray[np.float64]

    def rows_of(self, keys: Ids) -> Ids:
        """Where ``keys`` of any shape stand in this graph; ``NOBODY`` where there is no list of one."""
        if not len(self.keys):
            return np.full(keys.shape, NOBODY)
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[places] == keys, places, NOBODY)

    def is_listed(self, keys: Ids) -> NDArray[np.bool_]:
        """Whether there is a list of each of ``keys``."""
        return np.asarray(self.rows_of(keys) != NOBODY)


def weight(scores: Matrix) -> NDArray[np.float64]:
    """Cosines → weights; none below 0."""
    return np.clip(scores.astype(np.float64), 0.0, None) ** POWER


def reciprocal(lists: Lists, degree: int = DEGREE) -> Graph:
    """The graph of ``lists``, of whose neighbours the first ``degree`` count."""
    keys, neighbours = lists.keys, np.ascontiguousarray(lists.neighbours[:, :degree])
    graph = Graph(keys, neighbours, neighbours, weight(lists.scores[:, :degree]))
    places = graph.rows_of(neighbours)
    rows = np.full(places.shape, NOBODY)
    for start in range(0, len(keys), _BLOCK):
        part = places[start : start + _BLOCK]
        own = np.arange(start, start + len(part))
        agrees = (places[part] == own[:, None, None]).any(axis=2) & (part != NOBODY)
        rows[start : start + _BLOCK] = np.where(agrees, part, NOBODY)
    return graph._replace(rows=rows)


def merged(lists: TopK, candidates: TopK, k: int) -> TopK:
    """The best ``k`` of both for each of n images; a neighbour that both have counts once."""
    repeated = (candidates.ids[:, :, None] == lists.ids[:, None, :]).any(axis=2)
    others = TopK(np.where(repeated, NOBODY, candidates.ids), np.where(repeated, -np.inf, candidates.scores))
    return merge([lists, TopK(others.ids, others.scores.astype(np.float32))], k)


def lists_of(vectors: Matrix, k: int) -> Lists:
    """The ``k`` nearest others of each of ``vectors`` (n, dim), float32 unit rows; keys are row numbers."""
    rows = np.arange(len(vectors))
    return Lists(rows, *nearest_others(vectors, k, rows))
