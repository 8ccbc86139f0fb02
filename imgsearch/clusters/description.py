"""What a cluster is like: its medoid, how tight it is, which members do not belong, and what became of it.

All functions take arrays of members: ``cluster_ids`` (n,) int, ``scores`` (n,) cosine to the own centroid, and where
needed ``vectors`` (n, dim) float32 unit rows. Ids break ties, so answers do not depend on the order of rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

from imgsearch.vectors import Matrix

OUTLIER_FENCE = 3.0
"""A member is an outlier below ``median − fence × 1.4826 × MAD`` of its cluster's scores (MAD below the median).

At 3, 2 to 4 % of two real sets' images are marked, and those whose label is not their cluster's commonest 2.5 to 10
times as often as the others; of the images of one set, assigned to the clusters of the other, 99 % or more."""

MIN_SIZE = 12
"""Smaller clusters borrow the collection's typical spread: their own is too uncertain."""


class Description(NamedTuple):
    """One entry a cluster, in order of ``cluster_id`` 0..n_clusters − 1; an empty cluster has medoid −1 and NaN.

    ``size`` int64; ``medoid`` int64, the position of the member nearest to the cluster's mean; ``cohesion`` float32,
    mean cosine of members to the centroid; ``fence`` float32, the score below which a member is an outlier.
    """

    size: NDArray[np.int64]
    medoid: NDArray[np.int64]
    cohesion: NDArray[np.float32]
    fence: NDArray[np.float32]


def describe(
    cluster_ids: NDArray[np.int32], scores: NDArray[np.float32], ids: ArrayLike, n_clusters: int
) -> Description:
    """Size, medoid, cohesion and fence of every cluster.

    With ``scores`` against the centroid as the normalised mean of the members, the greatest score is the greatest dot
    product with the mean, so the medoid needs no vectors. Equal scores: the lesser id.
    """
    scores = np.asarray(scores, np.float32)
    size = np.bincount(cluster_ids, minlength=n_clusters).astype(np.int64)
    order = np.lexsort((np.asarray(ids), -scores, cluster_ids))
    first = np.searchsorted(np.asarray(cluster_ids)[order], np.arange(n_clusters))
    medoid = np.where(size > 0, order[np.minimum(first, len(order) - 1)] if len(order) else -1, -1)
    total = np.bincount(cluster_ids, weights=scores.astype(np.float64), minlength=n_clusters)
    cohesion = np.divide(total, size, out=np.full(n_clusters, np.nan), where=size > 0)
    fence = fences(cluster_ids, scores, n_clusters)
    return Description(size, medoid.astype(np.int64), cohesion.astype(np.float32), fence)


def ranks(cluster_ids: NDArray[np.int32], scores: NDArray[np.float32], ids: ArrayLike) -> NDArray[np.int32]:
    """(n,) int32: 1 for the member nearest to its centroid, and so on; equal scores in order of id."""
    order = np.lexsort((np.asarray(ids), -np.asarray(scores, np.float32), cluster_ids))
    sorted_ids = np.asarray(cluster_ids)[order]
    result = np.empty(len(order), np.int32)
    result[order] = np.arange(len(order)) - np.searchsorted(sorted_ids, sorted_ids) + 1
    return result


def fences(
    cluster_ids: NDArray[np.int32], scores: NDArray[np.float32], n_clusters: int,
    fence: float = OUTLIER_FENCE, min_size: int = MIN_SIZE,
) -> NDArray[np.float32]:  # fmt: skip
    """(n_clusters,) float32 score below which a member is an outlier; NaN for an empty cluster.

    ``median − fence × 1.4826 × spread``, where spread is the median distance below the median of the members under it
    (scores lean to the left, and only that side matters). Clusters under ``min_size`` take the median spread of the
    larger ones, or of all members about their own medians where none is larger. No fence is lower than that of the
    whole collection's scores, so a heap of strangers that resemble nothing is found although none stands out in it.
    """
    order = np.lexsort((scores, cluster_ids))
    bounds = np.searchsorted(np.asarray(cluster_ids)[order], np.arange(n_clusters + 1))
    ascending = np.asarray(scores, np.float64)[order]
    middle = np.full(n_clusters, np.nan)
    spread = np.full(n_clusters, np.nan)
    below: list[NDArray[np.float64]] = []
    for cluster in range(n_clusters):
        members = ascending[bounds[cluster] : bounds[cluster + 1]]
        if len(members):
            middle[cluster] = np.median(members)
            lower = middle[cluster] - members[: (len(members) + 1) // 2]
            spread[cluster] = np.median(lower)
            below.append(lower)
    size = np.diff(bounds)
    large = size >= min_size
    if large.any():
        spread[~large] = np.median(spread[large])
    elif below:
        spread[:] = np.median(np.concatenate(below))
    own = middle - fence * 1.4826 * np.maximum(spread, 1e-6)
    return np.fmax(own, np.where(size > 0, _collection_fence(ascending, fence), np.nan)).astype(np.float32)


def _collection_fence(scores: NDArray[np.float64], fence: float) -> float:
    if not len(scores):
        return np.nan
    middle = np.median(scores)
    return float(middle - fence * 1.4826 * max(np.median(middle - scores[scores <= middle]), 1e-6))


def outliers(
    cluster_ids: NDArray[np.int32], scores: NDArray[np.float32], fence: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """(n,) mask of members whose score is below their cluster's ``fence`` (n_clusters,)."""
    return np.asarray(scores, np.float32) < fence[cluster_ids]


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


def silhouette(vectors: Matrix, cluster_ids: NDArray[np.int32], centroids: Matrix) -> NDArray[np.float32]:
    """(n,) simplified silhouette by cosine distance to centroids: (b − a) / max(a, b), −1..1; 0 where both are 0.

    ``a`` is the distance to the own centroid, ``b`` to the nearest other (Vendramin, Campello & Hruschka 2010).
    """
    own = np.einsum("ij,ij->i", vectors, centroids[cluster_ids])
    return silhouette_of(own, rivals(vectors, cluster_ids, centroids).margins)


def silhouette_of(scores: NDArray[np.float32], margins: NDArray[np.float32]) -> NDArray[np.float32]:
    """As ``silhouette``, from what is known already: the ``scores`` to the own centroid and the ``margins``."""
    near = np.maximum(1 - scores, 0)
    far = np.maximum(near + margins, 0)
    larger = np.maximum(near, far)
    return np.divide(far - near, larger, out=np.zeros_like(larger), where=larger > 1e-6).astype(np.float32)


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
    old_assign: NDArray[np.int32], new_assign: NDArray[np.int32], n_old: int, n_new: int, share: float = 0.2
) -> Matching:
    """Stable ids for new clusters: the one-to-one matching with old ones that keeps the most images (Hungarian).

    ``old_assign`` and ``new_assign`` (n,): clusters of the same images before and after. A new cluster that shares no
    image with its match, or has none, gets a fresh id from ``n_old`` on. Overlap is what the matching maximises
    (Kuhn 1955); ``share`` is the part of an old cluster that counts as a split or a merge.
    """
    overlap = np.zeros((n_old, n_new), np.int64)
    np.add.at(overlap, (np.asarray(old_assign), np.asarray(new_assign)), 1)
    rows, columns = linear_sum_assignment(overlap, maximize=True)
    new_ids = np.full(n_new, -1, np.int32)
    kept = overlap[rows, columns] > 0
    new_ids[columns[kept]] = rows[kept]
    shared = np.where(new_ids >= 0, overlap[new_ids, np.arange(n_new)], 0)
    fresh = new_ids < 0
    new_ids[fresh] = n_old + np.arange(fresh.sum())
    large = (overlap > 0) & (overlap >= share * overlap.sum(axis=1, keepdims=True))
    splits = [(old, sorted(new_ids[large[old]].tolist())) for old in range(n_old) if large[old].sum() > 1]
    parents = [np.flatnonzero(large[:, new]).tolist() for new in range(n_new)]
    merges = [(int(new_ids[new]), parents[new]) for new in range(n_new) if len(parents[new]) > 1]
    return Matching(new_ids, shared, splits, sorted(merges))
