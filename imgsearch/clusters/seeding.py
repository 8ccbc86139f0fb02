"""Where k-means starts: centroids placed on a sample by greedy k-means++."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from imgsearch.clusters.kmeans import CHUNK, TIE, checked, fit, n_threads
from imgsearch.compiled import compiled_sums
from imgsearch.vectors import Matrix


def initial_centroids(
    sample: Matrix, n_clusters: int, rng: np.random.Generator, n_starts: int | None = None, n_rounds: int = 10
) -> Matrix:
    """Centroids (≤ n_clusters, dim) from a sample (n, dim) of unit rows: greedy k-means++, then rounds on the sample.

    Greedy k-means++ draws about 2 + log(n_clusters) candidates a step and keeps the one that lowers the cost most
    (Arthur & Vassilvitskii, "k-means++: the advantages of careful seeding", 2007). The best of ``n_starts`` by cost
    after their rounds is kept: two, or one from 256 clusters on, where starts differ little and cost much. Copies
    count once in the choice of centroids, so ten thousand identical frames take one cluster; with fewer distinct rows
    than clusters each distinct row is a centroid and fewer come back. The order of the sample's rows does not matter.

    Raises ``ValueError`` for an empty sample, settings below one, or rows that ``assign`` refuses.
    """
    if n_starts is None:
        n_starts = 2 if n_clusters < 256 else 1
    for name, value in (("n_clusters", n_clusters), ("n_starts", n_starts)):
        if value < 1:
            raise ValueError(f"{name} {value}: must be at least 1")
    sample = checked(np.asarray(sample, np.float32), sample.shape[1])
    if not len(sample):
        raise ValueError("cannot place centroids without a sample")
    distinct, weights = np.unique(sample, axis=0, return_counts=True)
    if len(distinct) <= n_clusters:
        return distinct
    starts = [_plus_plus(distinct, weights.astype(np.float64), n_clusters, rng) for _ in range(n_starts)]
    fits = [fit([sample], centroids, n_rounds) for centroids in starts]
    return min(fits, key=lambda result: result.costs[-1]).centroids


def _plus_plus(rows: Matrix, weights: NDArray[np.float64], n_clusters: int, rng: np.random.Generator) -> Matrix:
    n_candidates = 4 * max(1, round((2 + np.log(n_clusters)) / 4))
    chosen = [int(rng.choice(len(rows), p=weights / weights.sum()))]
    distance = 1 - rows @ rows[chosen[0]]
    distance[distance < TIE] = 0
    nearer = np.empty((n_candidates, len(rows)), np.float32)
    chunks = [slice(start, start + CHUNK) for start in range(0, len(rows), CHUNK)]
    costs = np.empty((len(chunks), n_candidates))

    def sweep(number: int) -> None:
        part = chunks[number]
        _try_candidates(rows[part], weights[part], distance[part], candidates, TIE, nearer[:, part], costs[number])

    with ThreadPoolExecutor(n_threads()) as threads:
        while len(chosen) < n_clusters:
            cumulative = np.cumsum(distance * weights)
            if cumulative[-1] <= 0:
                break
            drawn = np.searchsorted(cumulative, rng.random(n_candidates) * cumulative[-1], side="right")
            drawn = np.minimum(drawn, len(rows) - 1)
            candidates = rows[drawn]
            list(threads.map(sweep, range(len(chunks))))
            winner = int(costs.sum(axis=0).argmin())
            distance = nearer[winner].copy()
            chosen.append(int(drawn[winner]))
    return rows[chosen]


@compiled_sums
def _try_candidates(rows, weights, distance, candidates, tie, nearer, costs):  # type: ignore[no-untyped-def]
    # four candidates a sweep: a row is read once for all, and four sums in flight hide the latency of the additions
    nought = np.float32(0)
    for i in range(rows.shape[0]):
        row = rows[i]
        for c in range(0, candidates.shape[0], 4):
            first, second, third, fourth = nought, nought, nought, nought
            for j in range(row.shape[0]):
                value = row[j]
                first += value * candidates[c, j]
                second += value * candidates[c + 1, j]
                third += value * candidates[c + 2, j]
                fourth += value * candidates[c + 3, j]
            nearer[c, i], nearer[c + 1, i], nearer[c + 2, i], nearer[c + 3, i] = first, second, third, fourth
    for c in range(candidates.shape[0]):
        total = 0.0
        for i in range(rows.shape[0]):
            away = np.float32(1) - nearer[c, i]
            away = min(nought if away < tie else away, distance[i])
            nearer[c, i] = away
            total += away * weights[i]
        costs[c] = total
