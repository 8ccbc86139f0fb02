"""How many clusters a collection asks for, when nobody said.

Of the counts between √n / 2 and what a person can review, the one with the least

    ln(mean of 1 − cosine to the nearest centroid) + k · ln(m) / m        of k clusters of m distinct vectors, a sample

is chosen: Schwarz's criterion (1978) for clusters that share one spread, a coordinate and a vector, as Pelleg and Moore
("X-means", 2000) apply it to k-means. It falls while clusters describe the collection and rises where they only divide
it, so the optimum lies inside. On planted clusters it is the first count on the grid that holds them all. The greatest
silhouette stops at a few coarse heaps on real photographs.

For purity the rule is another: half of the sample places centroids, the other half is measured, and the largest count
is taken whose step of √2 still lowered that distance by ``LEAST_GAIN``. That goes on to many small groups.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from imgsearch.clusters import kmeans
from imgsearch.clusters.seeding import initial_centroids
from imgsearch.vectors import Matrix

#: For purity, a step of √2 (half a doubling) in the count has to lower the held-out distance by this share.
LEAST_GAIN = 0.05
#: Rows of half of the sample that a cluster needs on average: the count goes no further.
LEAST_MEMBERS = 5
#: Clusters that a person looks through in half an hour at six seconds each.
MOST_CLUSTERS = 300
MOST_PURE = 1024


class Choice(NamedTuple):
    """The chosen ``n_clusters``, and the curve: (n_clusters, criterion), in order of count; the least is chosen.

    For purity the criterion is the held-out mean of 1 − cosine, and the choice the last whose step lowered it much.
    """

    n_clusters: int
    curve: list[tuple[int, float]]


def choose_n_clusters(
    sample: Matrix,
    seed: int = 0,
    n_images: int | None = None,
    max_clusters: int = MOST_CLUSTERS,
    *,
    purity: bool = False,
) -> Choice:
    """The count for a sample (n, dim) of unit rows, a few thousand, of a collection of ``n_images`` (default: n).

    A sample holds no more than n / (2 · ``LEAST_MEMBERS``) clusters. Copies count once, and the order of rows does not
    matter. Fewer than ``4 · LEAST_MEMBERS`` distinct rows: one cluster, and no curve.
    """
    distinct = np.unique(sample, axis=0)
    if len(distinct) < 4 * LEAST_MEMBERS:
        return Choice(1, [])
    rng = np.random.default_rng(seed)
    rows = distinct[rng.permutation(len(distinct))]
    most = min(MOST_PURE if purity else max_clusters, len(rows) // (2 * LEAST_MEMBERS))
    if purity:
        return _for_purity(rows, counts_between(2, most), rng)
    counts = counts_between(np.sqrt(len(sample) if n_images is None else n_images) / 2, most)
    price = np.log(len(rows)) / len(rows)
    criterion = [float(np.log(max(_cost(rows, rows, count, rng), 1e-6)) + count * price) for count in counts]
    return Choice(counts[int(np.argmin(criterion))], list(zip(counts, criterion, strict=True)))


def _for_purity(rows: Matrix, counts: list[int], rng: np.random.Generator) -> Choice:
    training_rows, test_rows = np.array_split(rows, 2)
    curve = [(count, _cost(training_rows, test_rows, count, rng)) for count in counts]
    paid = [count for (_, before), (count, after) in pairwise(curve) if after < before * (1 - LEAST_GAIN)]
    return Choice(paid[-1] if paid else counts[0], curve)


def counts_between(least: float, most: int) -> list[int]:
    """The counts to try: by √2 from ``least``, and ``most``. Where ``least`` is not below it: from a quarter of it.

    >>> counts_between(10, 35), counts_between(900, 40), counts_between(2, 2)
    ([10, 14, 20, 28, 35], [10, 14, 20, 28, 40], [2])
    """
    first = max(least if least < most else most / 4, 2.0)
    steps = np.arange(max(2 * np.log2(max(most, 2) / first), 0))
    return sorted({min(round(first * 2 ** (step / 2)), most) for step in steps} | {max(most, 2)})


def _cost(training_rows: Matrix, measured: Matrix, n_clusters: int, rng: np.random.Generator) -> float:
    centroids = initial_centroids(training_rows, n_clusters, rng)
    return float(1 - kmeans.assign(measured, centroids).scores.mean(dtype=np.float64))
