"""How many clusters a collection asks for, when nobody said: until more of them stop describing images not seen.

Half of a sample places the centroids and the other half is described by them, so that splitting noise does not look
like progress. The count grows by √2 a step; the largest one whose step still lowered the held-out cost by
``LEAST_GAIN`` is chosen. On planted clusters that is the first count on the grid that holds them all. Real
collections have clusters within clusters, and there the silhouette (in the curve, for people) peaks at two or three
coarse heaps; this rule goes on to the groups that somebody can name.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from imgsearch.core import clusters, kmeans
from imgsearch.core.vectors import Matrix

LEAST_GAIN = 0.05
"""A step of √2 (half a doubling) in the count has to lower the held-out cost by this share."""

LEAST_MEMBERS = 5
"""Rows of the placing half a cluster needs on average: the count goes no further."""


class Trial(NamedTuple):
    """One point of the curve: ``cost`` is the held-out mean of 1 − cosine, ``silhouette`` the held-out mean."""

    n_clusters: int
    cost: float
    silhouette: float


class Choice(NamedTuple):
    """The chosen ``n_clusters`` and the ``curve`` it was chosen from, in order of count."""

    n_clusters: int
    curve: list[Trial]


def choose_n_clusters(
    sample: Matrix, rng: np.random.Generator, max_clusters: int = 1024, least_gain: float = LEAST_GAIN
) -> Choice:
    """The count for a sample (n, dim) of unit rows, a few thousand; 2 where nothing is gained at all.

    A sample holds no more than n / (2 · ``LEAST_MEMBERS``) clusters, so a choice at the end of the curve asks for a
    larger sample. Copies count once. Raises ``ValueError`` for fewer than ``4 · LEAST_MEMBERS`` distinct rows.
    """
    distinct = np.unique(sample, axis=0)
    if len(distinct) < 4 * LEAST_MEMBERS:
        raise ValueError(
            f"{len(distinct)} distinct vectors: give n_clusters, or a sample of {4 * LEAST_MEMBERS} or more"
        )
    halves = np.array_split(distinct[rng.permutation(len(distinct))], 2)
    curve = [_trial(halves[0], halves[1], n, rng) for n in _grid(min(max_clusters, len(halves[0]) // LEAST_MEMBERS))]
    chosen = curve[0]
    for before, after in pairwise(curve):
        if after.cost < before.cost * (1 - least_gain):
            chosen = after
    return Choice(chosen.n_clusters, curve)


def _grid(most: int) -> list[int]:
    steps = np.arange(2, 2 * np.log2(max(most, 2)) + 1)
    return sorted({min(round(2 ** (step / 2)), max(most, 2)) for step in steps})


def _trial(placing: Matrix, held_out: Matrix, n_clusters: int, rng: np.random.Generator) -> Trial:
    centroids = kmeans.seed(placing, n_clusters, rng)
    cluster_ids, scores = kmeans.assign(held_out, centroids)
    silhouette = clusters.silhouette(held_out, cluster_ids, centroids)
    return Trial(n_clusters, float(1 - scores.mean(dtype=np.float64)), float(silhouette.mean(dtype=np.float64)))
