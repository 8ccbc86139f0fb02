"""The graph of reciprocal neighbours: two images are joined where each is among the nearest of the other.

Made of lists of nearest neighbours (the table ``neighbours``). A list says whom an image is near to; that the other
agrees is what tells a thing's pictures from an image that is near to everything.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from imgsearch.retrieval.expansion import nearest_others
from imgsearch.topk.topk import NOBODY, TopK, merge
from imgsearch.vectors import Ids, Matrix

UNSEEN, NO_LIST = -2, -3
#: Of each list so many neighbours count.
DEGREE = 10


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

    def some(self, keys: Ids) -> Lists:
        """The lists of ``keys`` (m,), ascending; an empty one for an image that has none here."""
        lists = Lists(
            keys,
            np.full((len(keys), self.neighbours.shape[1]), NOBODY),
            np.zeros((len(keys), self.scores.shape[1]), np.float32),
        )
        if len(self.keys):
            rows = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
            there = np.flatnonzero(self.keys[rows] == keys)
            lists.neighbours[there], lists.scores[there] = self.neighbours[rows[there]], self.scores[rows[there]]
        return lists

    def covering(self, keys: Ids) -> Lists:
        """These, and an empty list for each of ``keys`` (any shape) that has none."""
        missing = np.setdiff1d(keys, self.keys)
        missing = missing[missing != NOBODY]
        return self.joined(self.some(missing)) if len(missing) else self

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
    """``keys`` (n,) int64, ascending, of the images whose lists there are; ``neighbours`` (n, k) int64 keys; ``scores``
    (n, k) float32; ``rows`` (n, k) int64, where ``keys`` has that neighbour: ``NOBODY`` where it does not agree,
    ``NO_LIST`` where it has no list here, ``UNSEEN`` until a walk comes by and looks it up."""

    keys: Ids
    neighbours: Ids
    scores: Matrix
    rows: Ids

    def rows_of(self, keys: Ids) -> Ids:
        """Where ``keys`` of any shape stand in this graph; ``NOBODY`` where there is no list of one."""
        if not len(self.keys):
            return np.full(keys.shape, NOBODY)
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[places] == keys, places, NOBODY)


def reciprocal(lists: Lists, degree: int = DEGREE) -> Graph:
    """The graph of ``lists``, of whose neighbours the first ``degree`` count."""
    neighbours = np.ascontiguousarray(lists.neighbours[:, :degree])
    scores = np.ascontiguousarray(lists.scores[:, :degree])
    return Graph(lists.keys, neighbours, scores, np.full(neighbours.shape, UNSEEN))


def merged(lists: TopK, candidates: TopK, k: int) -> TopK:
    """The best ``k`` of both for each of n images; a neighbour that both have counts once."""
    repeated = (candidates.ids[:, :, None] == lists.ids[:, None, :]).any(axis=2)
    others = TopK(np.where(repeated, NOBODY, candidates.ids), np.where(repeated, -np.inf, candidates.scores))
    return merge([lists, TopK(others.ids, others.scores.astype(np.float32))], k)


def lists_of(vectors: Matrix, k: int) -> Lists:
    """The ``k`` nearest others of each of ``vectors`` (n, dim), float32 unit rows; keys are row numbers."""
    rows = np.arange(len(vectors))
    return Lists(rows, *nearest_others(vectors, k, rows))
