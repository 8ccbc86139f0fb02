"""How many clusters: the number whose clusters are the most clear-cut, on a sample."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from imgsearch.core import kmeans
from imgsearch.core.clusters import silhouette
from imgsearch.core.vectors import Matrix

SAMPLE = 4_000


class Choice(NamedTuple):
    """The number chosen, and the curve it was read from: (n_clusters, mean simplified silhouette)."""

    n_clusters: int
    curve: list[tuple[int, float]]


def choose_n_clusters(sample: Matrix, seed: int = 0) -> Choice:
    """The candidate with the greatest mean simplified silhouette (Vendramin et al. 2010); ties to the smaller.

    ``sample``: (n, dim) float32 unit rows; at most ``SAMPLE`` of them are used. Candidates grow by about a quarter from 2 to
    n / 8 (no more than 256). Fewer than four rows: one cluster.
    """
    n = len(sample)
    if n < 4:
        return Choice(1, [])
    rng = np.random.default_rng(seed)
    rows = sample if n <= SAMPLE else sample[np.sort(rng.choice(n, SAMPLE, replace=False))]
    largest = max(2, min(len(rows) // 8, 256))
    candidates = sorted({round(2 * 1.25**i) for i in range(32) if round(2 * 1.25**i) <= largest})
    curve = []
    for n_clusters in candidates:
        centroids = kmeans.seed(rows, n_clusters, np.random.default_rng(seed), n_starts=1, n_rounds=5)
        if len(centroids) < 2:
            return Choice(1, curve)
        found = kmeans.assign(rows, centroids)
        curve.append((n_clusters, float(silhouette(rows, found.cluster_ids, centroids).mean())))
    best = max(curve, key=lambda point: (round(point[1], 6), -point[0]))
    return Choice(best[0], curve)
