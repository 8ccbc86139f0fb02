"""What clusters are like, in plain NumPy on all members at once: what the tables are compared with."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from imgsearch.clusters.description import MIN_SIZE, OUTLIER_SPREADS
from imgsearch.clusters.drift import Level


class Description(NamedTuple):
    """One entry a cluster, 0..n_clusters − 1; an empty cluster has medoid −1 and NaN."""

    size: NDArray[np.int64]
    medoid: NDArray[np.int64]
    cohesion: NDArray[np.float32]
    threshold: NDArray[np.float32]


def describe(
    cluster_ids: NDArray[np.int32], scores: NDArray[np.float32], ids: ArrayLike, n_clusters: int
) -> Description:
    """Size, position of the medoid, cohesion and outlier threshold of every cluster."""
    size, medoid = np.zeros(n_clusters, np.int64), np.full(n_clusters, -1, np.int64)
    cohesion = np.full(n_clusters, np.nan, np.float32)
    ids = np.asarray(ids)
    for cluster in range(n_clusters):
        members = np.flatnonzero(cluster_ids == cluster)
        size[cluster] = len(members)
        if len(members):
            medoid[cluster] = members[np.lexsort((ids[members], -scores[members]))[0]]
            cohesion[cluster] = scores[members].astype(np.float64).mean()
    return Description(size, medoid, cohesion, thresholds(cluster_ids, scores, n_clusters))


def thresholds(cluster_ids: NDArray[np.int32], scores: NDArray[np.float32], n_clusters: int) -> NDArray[np.float32]:
    """The rule of ``description.outlier_thresholds``, from all scores."""
    scores = np.asarray(scores, np.float64)
    middle, spread = np.full(n_clusters, np.nan), np.full(n_clusters, np.nan)
    size = np.bincount(cluster_ids, minlength=n_clusters)
    deviations = []
    for cluster in np.flatnonzero(size):
        members = np.sort(scores[cluster_ids == cluster])
        middle[cluster] = np.median(members)
        deviations.append(middle[cluster] - members[: (len(members) + 1) // 2])
        spread[cluster] = np.median(deviations[-1])
    large = size >= MIN_SIZE
    if large.any():
        spread[~large] = np.median(spread[large])
    elif deviations:
        spread[:] = np.median(np.concatenate(deviations))
    own = middle - OUTLIER_SPREADS * 1.4826 * np.maximum(spread, 1e-6)
    if not len(scores):
        return own.astype(np.float32)
    half = np.median(scores)
    below = np.median(half - scores[scores <= half])
    least = half - OUTLIER_SPREADS * 1.4826 * max(below, 1e-6)
    return np.where(size > 0, np.fmax(own, least), np.nan).astype(np.float32)


def outliers(
    cluster_ids: NDArray[np.int32], scores: NDArray[np.float32], threshold: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """(n,) mask of members whose score is below their cluster's threshold."""
    return np.asarray(scores, np.float32) < threshold[cluster_ids]


def silhouette(vectors: NDArray[np.float32], cluster_ids: NDArray[np.int32], centroids: NDArray[np.float32]) -> NDArray:
    """(n,) simplified silhouette, by a loop."""
    result = np.zeros(len(vectors))
    for i, row in enumerate(vectors):
        distances = np.maximum(1 - centroids.astype(np.float64) @ row, 0)
        a, b = distances[cluster_ids[i]], np.delete(distances, cluster_ids[i]).min()
        result[i] = (b - a) / max(a, b) if max(a, b) > 1e-6 else 0
    return result


def level(scores: NDArray[np.float32], is_outlier: NDArray[np.bool_]) -> Level:
    """Of (n,) scores and the (n,) mask of outliers."""
    wide = scores.astype(np.float64)
    return Level(len(scores), float(is_outlier.mean()), float(wide.mean()), float(wide.std()))


def expected_level(
    cluster_ids: NDArray[np.int32], scores: NDArray[np.float32], threshold: NDArray[np.float32]
) -> Level:
    """What new images of the same kind would show."""
    size = np.bincount(cluster_ids, minlength=len(threshold))
    factor = np.array([3 if m == 1 else (m + 1) / max(m - 1, 1) for m in size])
    stretched = 1 - (1 - np.asarray(scores, np.float64)) * factor[cluster_ids]
    return level(stretched, stretched < threshold[cluster_ids])
