"""What a cluster is like: which members do not belong, which cluster is next to it, and what became of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgsearch.vectors import Matrix

OUTLIER_SPREADS = 3.0
"""A member is an outlier below ``median − OUTLIER_FENCE × 1.4826 × MAD`` of its cluster's scores (MAD below it).

At 3, 2 to 4 % of two real sets' images are marked, and those whose label is not their cluster's commonest 2.5 to 10
times as often as the others; of the images of one set, assigned to the clusters of the other, 99 % or more."""

MIN_SIZE = 12
"""Smaller clusters borrow the collection's typical spread: their own is too uncertain."""


class Spread(NamedTuple):
    """``middle``: the median of some scores; ``spread``: the median distance below it of their lower half."""

    middle: NDArray[np.float64]
    spread: NDArray[np.float64]

    @classmethod
    def of_statistics(cls, scores: NDArray[np.float64]) -> Spread:
        """From the scores (4, ...) at the four ``middle_places``."""
        middle = (scores[0] + scores[1]) / 2
        return cls(middle, ((middle - scores[2]) + (middle - scores[3])) / 2)


def middle_places(size: int) -> tuple[int, int, int, int]:
    """Places from 0, in ascending order of ``size`` scores: the two in the middle, and those of the lower half.

    >>> middle_places(4), middle_places(5)
    ((1, 2, 0, 1), (2, 2, 1, 1))
    """
    lower = (size + 1) // 2
    return (size - 1) // 2, size // 2, (lower - 1) // 2, lower // 2


def outlier_thresholds(
    sizes: NDArray[np.int64], clusters: Spread, collection: Spread, deviations: NDArray[np.float64] | None = None
) -> NDArray[np.float32]:
    """(n_clusters,) float32 score below which a member is an outlier; NaN for an empty cluster.

    ``median − OUTLIER_FENCE × 1.4826 × spread``, where spread is the median distance below the median of the members
    under it (scores lean to the left, and only that side matters). Clusters under ``MIN_SIZE`` take the median spread
    of the larger ones. Where no cluster is larger, all take the median of ``deviations``: of all members of the lower
    halves about their own medians. No threshold is lower than that of the whole collection's scores, so a heap of
    strangers that resemble nothing is found although none stands out in it.
    """
    large = sizes >= MIN_SIZE
    typical = np.median(clusters.spread[large]) if large.any() else np.nan
    if deviations is not None and len(deviations):
        typical = np.median(deviations)
    spread = np.where(large, clusters.spread, typical)
    own = _threshold(clusters.middle, spread)
    return np.where(sizes > 0, np.fmax(own, _threshold(*collection)), np.nan).astype(np.float32)


def _threshold(middle: NDArray[np.float64], spread: NDArray[np.float64]) -> NDArray[np.float64]:
    return middle - OUTLIER_SPREADS * 1.4826 * np.maximum(spread, 1e-6)


class Rivals(NamedTuple):
    """``cluster_ids`` (n,) int32 of the second-best cluster, ``margins`` (n,) float32: best score − second-best."""

    cluster_ids: NDArray[np.int32]
    margins: NDArray[np.float32]


def rivals(vectors: Matrix, cluster_ids: NDArray[np.int32], centroids: Matrix) -> Rivals:
    """The best cluster but its own for each row. Raises ``ValueError`` for fewer than two centroids."""
    if len(centroids) < 2:
        raise ValueError("a second-best cluster needs at least two clusters")
    scores = vectors @ centroids.T
    rows = np.arange(len(vectors))
    own = scores[rows, cluster_ids].copy()
    scores[rows, cluster_ids] = -np.inf
    second = scores.argmax(axis=1)
    return Rivals(second.astype(np.int32), own - scores[rows, second])


def nearest_clusters(centroids: Matrix) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """For each centroid the nearest other one, and the cosine to it. A single cluster has none: −1 and NaN."""
    if len(centroids) < 2:
        return np.full(len(centroids), -1, np.int32), np.full(len(centroids), np.nan, np.float32)
    scores = centroids @ centroids.T
    np.fill_diagonal(scores, -np.inf)
    nearest = scores.argmax(axis=1)
    return nearest.astype(np.int32), scores[np.arange(len(centroids)), nearest].astype(np.float32)


class Matching(NamedTuple):
    """``new_ids``: for each new cluster the stable id it gets; ``overlap``: images it shares with that old cluster.

    ``splits``: (old id, stable ids that each hold a fifth of it or more); ``merges``: (stable id, old ids that each
    gave it a fifth of theirs or more); only where there are two or more.
    """

    new_ids: NDArray[np.int32]
    overlap: NDArray[np.int64]
    splits: list[tuple[int, list[int]]]
    merges: list[tuple[int, list[int]]]


def match_clusters(
    overlap: NDArray[np.int64], old_ids: NDArray[np.int32], next_id: int, share: float = 0.2
) -> Matching:
    """Stable ids for new clusters: the one-to-one matching with old ones that keeps the most images (Hungarian).

    ``overlap`` (n_old, n_new): images in both; ``old_ids`` (n_old,): the numbers of the old clusters, ascending. A new
    cluster that shares no image with its match, or has none, gets a fresh number from ``next_id`` on. Overlap is what
    the matching maximises (Kuhn 1955); ``share`` is the part of an old cluster that counts as a split or a merge.
    """
    from scipy.optimize import linear_sum_assignment  # executors have no SciPy

    rows, columns = linear_sum_assignment(overlap, maximize=True)
    n_new = overlap.shape[1]
    new_ids, shared = np.full(n_new, -1, np.int32), np.zeros(n_new, np.int64)
    common = overlap[rows, columns] > 0
    new_ids[columns[common]] = old_ids[rows[common]]
    shared[columns[common]] = overlap[rows, columns][common]
    fresh = new_ids < 0
    new_ids[fresh] = next_id + np.arange(fresh.sum())
    large = (overlap > 0) & (overlap >= share * overlap.sum(axis=1, keepdims=True))
    splits = [(int(old), sorted(new_ids[parts].tolist())) for old, parts in zip(old_ids, large, strict=True)]
    merges = [(int(new), old_ids[parts].tolist()) for new, parts in zip(new_ids, large.T, strict=True)]
    return Matching(new_ids, shared, [s for s in splits if len(s[1]) > 1], sorted(m for m in merges if len(m[1]) > 1))
