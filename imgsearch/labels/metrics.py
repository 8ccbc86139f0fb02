"""Retrieval and cluster quality against labels; every function names its denominator.

Retrieval is leave one out: each image asks all the others. Ranking is by cosine, descending, equal scores in order of
position. An image is relevant when its label is the query's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from imgsearch.vectors import Matrix

_BLOCK = 512


class Retrieval(NamedTuple):
    """Per query, (n,) float64, NaN where the query has no relevant image: see the three functions of these names."""

    precision_at_k: NDArray[np.float64]
    hit_rate_at_k: NDArray[np.float64]
    average_precision: NDArray[np.float64]


def codes(labels: ArrayLike) -> NDArray[np.int64]:
    """(n,) labels of any kind → integers from 0."""
    return np.unique(np.asarray(labels), return_inverse=True)[1]


def retrieval(vectors: Matrix, labels: ArrayLike, top_k: int, queries: Matrix | None = None) -> Retrieval:
    """Leave-one-out retrieval of ``vectors`` (n, dim) unit rows with ``labels`` (n,), in blocks of queries.

    ``queries``: (n, dim), what image i asks with where that is not its own vector (an expanded query, say).
    Time grows with n²·(dim + log n): about 20,000 images are comfortable. Raises ``ValueError`` unless
    1 ≤ ``top_k`` < n and there is a label for each row.
    """
    classes = codes(labels)
    n = len(vectors)
    if len(classes) != n or not 1 <= top_k < n:
        raise ValueError(f"top_k {top_k} with {n} vectors and {len(classes)} labels")
    asked = vectors if queries is None else queries
    relevant_total = np.bincount(classes)[classes] - 1
    result = Retrieval(*(np.full(n, np.nan) for _ in Retrieval._fields))
    for start in range(0, n, _BLOCK):
        scores = asked[start : start + _BLOCK] @ vectors.T
        own = np.arange(len(scores))
        rows = start + own
        scores[own, rows] = -np.inf
        ranking = np.argsort(-scores, axis=1, kind="stable")[:, :-1]
        relevant = classes[ranking] == classes[rows, None]
        answers = (
            precision_at_k(relevant, top_k),
            hit_rate_at_k(relevant, top_k),
            average_precision(relevant, relevant_total[rows]),
        )
        alone = relevant_total[rows] == 0
        for values, answer in zip(result, answers, strict=True):
            values[rows] = np.where(alone, np.nan, answer)
    return result


def precision_at_k(relevant: NDArray[np.bool_], top_k: int) -> NDArray[np.float64]:
    """Share of the first ``top_k`` results that are relevant: divided by ``top_k``, even if fewer images are relevant.

    ``relevant``: (n_queries, n_results), best first.

    >>> precision_at_k(np.array([[True, False, True, True]]), 2).tolist()
    [0.5]
    """
    return np.asarray(relevant[:, :top_k].sum(axis=1) / top_k)


def hit_rate_at_k(relevant: NDArray[np.bool_], top_k: int) -> NDArray[np.float64]:
    """1 where at least one of the first ``top_k`` results is relevant, else 0."""
    return np.asarray(relevant[:, :top_k].any(axis=1).astype(np.float64))


def average_precision(relevant: NDArray[np.bool_], n_relevant: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean of the precision at each relevant result, over *all* relevant images (``n_relevant``), found or not.

    With the full ranking this is the average precision of TREC and of Oxford/Paris without the trapezoid; 0 where
    nothing is relevant.

    >>> average_precision(np.array([[True, False, True]]), np.array([2])).round(3).tolist()
    [0.833]
    """
    positions = np.arange(1, relevant.shape[1] + 1)
    precisions = np.cumsum(relevant, axis=1) / positions
    return (precisions * relevant).sum(axis=1) / np.maximum(n_relevant, 1)


def purity(cluster_ids: ArrayLike, labels: ArrayLike) -> float:
    """Share of images whose label is the commonest of their cluster. Grows with the number of clusters.

    >>> purity([0, 0, 0, 1], ["a", "a", "b", "b"])
    0.75
    """
    clusters, classes = codes(cluster_ids), codes(labels)
    if len(clusters) != len(classes) or not len(clusters):
        raise ValueError(f"{len(clusters)} cluster ids and {len(classes)} labels")
    table = np.zeros((clusters.max() + 1, classes.max() + 1), np.int64)
    np.add.at(table, (clusters, classes), 1)
    return float(table.max(axis=1).sum() / len(clusters))


def nmi(cluster_ids: ArrayLike, labels: ArrayLike) -> float:
    """Normalised mutual information, divided by the arithmetic mean of the two entropies (scikit-learn's default)."""
    from sklearn.metrics import normalized_mutual_info_score  # a second; executors have no scikit-learn

    return float(normalized_mutual_info_score(codes(labels), codes(cluster_ids)))
