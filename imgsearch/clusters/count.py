"""How many clusters a collection asks for, when nobody said: until more of them stop describing images not seen.

Half of a sample places the centroids and the other half is described by them, so that splitting noise does not look
like progress. The count grows by √2 a step; the largest one whose step still lowered the held-out cost by
``LEAST_GAIN`` is chosen. On planted clusters that is the first count on the grid that holds them all. Real
collections have clusters within clusters, and there the greatest silhouette stops at two coarse heaps (measured on
six kinds of steel defects and on 81 kinds of groceries); this rule goes on to groups that somebody can name.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from imgsearch.clusters import kmeans
from imgsearch.clusters.seeding import initial_centroids
from imgsearch.vectors import Matrix

LEAST_GAIN = 0.05
"""A step of √2 (half a doubling) in the count has to lower the held-out cost by this share."""

LEAST_MEMBERS = 5
"""Rows of the placing half a cluster needs on average: the count goes no further."""


class Choice(NamedTuple):
    """The chosen ``n_clusters``, and the curve: (n_clusters, held-out mean of 1 − cosine), in order of count."""

    n_clusters: int
    curve: list[tuple[int, float]]


def choose_n_clusters(
    sample: Matrix, seed: int = 0, max_clusters: int = 1024, least_gain: float = LEAST_GAIN
) -> Choice:
    """The count for a sample (n, dim) of unit rows, a few thousand; 2 where nothing is gained at all.

    A sample holds no more than n / (2 · ``LEAST_MEMBERS``) clusters, so a choice at the end of the curve asks for a
    larger sample. Copies count once, and the order of rows does not matter. Fewer than ``4 · LEAST_MEMBERS`` distinct
    rows: one cluster, and no curve.
    """
    distinct = np.unique(sample, axis=0)
    if len(distinct) < 4 * LEAST_MEMBERS:
        return Choice(1, [])
    rng = np.random.default_rng(seed)
    training_rows, test_rows = np.array_split(distinct[rng.permutation(len(distinct))], 2)
    counts = _grid(min(max_clusters, len(training_rows) // LEAST_MEMBERS))
    curve = [(count, _test_cost(training_rows, test_rows, count, rng)) for count in counts]
    chosen = curve[0][0]
    for (_, before), (count, after) in pairwise(curve):
        if after < before * (1 - least_gain):
            chosen = count
    return Choice(chosen, curve)


def _grid(most: int) -> list[int]:
    steps = np.arange(2, 2 * np.log2(max(most, 2)) + 1)
    return sorted({min(round(2 ** (step / 2)), max(most, 2)) for step in steps})


def _test_cost(training_rows: Matrix, test_rows: Matrix, n_clusters: int, rng: np.random.Generator) -> float:
    centroids = initial_centroids(training_rows, n_clusters, rng)
    return float(1 - kmeans.assign(test_rows, centroids).scores.mean(dtype=np.float64))
