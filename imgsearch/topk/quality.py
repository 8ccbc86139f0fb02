"""How good a ranking is against labels; every function names its denominator.

Retrieval is leave one out: each image asks all the others. Ranking is by cosine, descending, equal scores in order of
position. An image is relevant when its label is the query's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from imgsearch.vectors import Ids, Matrix

_BLOCK = 512


class Retrieval(NamedTuple):
    """Per query, NaN where it has no relevant image: ``precision_at_k`` and ``hit_rate_at_k`` (n, n_cuts) float64,
    ``average_precision`` (n,) float64; see the three functions of these names."""

    precision_at_k: NDArray[np.float64]
    hit_rate_at_k: NDArray[np.float64]
    average_precision: NDArray[np.float64]


def codes(labels: ArrayLike) -> NDArray[np.int64]:
    """(n,) labels of any kind → integers from 0."""
    return np.unique(np.asarray(labels), return_inverse=True)[1]


def retrieval(
    vectors: Matrix,
    labels: ArrayLike,
    cuts: Sequence[int],
    queries: Matrix | None = None,
    rows: Ids | None = None,
    ahead: Ids | None = None,
) -> Retrieval:
    """Leave-one-out retrieval among ``vectors`` (n, dim) unit rows with ``labels`` (n,), in blocks of queries.

    ``rows``: (m,) int64, the images that ask (all, if not given). ``queries``: (m, dim), what they ask with where that
    is not their own vector (an expanded query, say). ``ahead``: (m, c) int64 rows that come before all others, in this
    order, −1 for none. One ranking serves all ``cuts``. Time grows with m·n·(dim + log n). Raises ``ValueError`` unless
    every cut is from 1 to n - 1 and there is a label for each row.
    """
    classes = codes(labels)
    n = len(vectors)
    if len(classes) != n or not cuts or not all(1 <= cut < n for cut in cuts):
        raise ValueError(f"cuts {list(cuts)} with {n} vectors and {len(classes)} labels")
    asking = np.arange(n) if rows is None else rows
    n_relevant = np.bincount(classes)[classes] - 1
    parts = []
    for start in range(0, len(asking), _BLOCK):
        own = asking[start : start + _BLOCK]
        scores = (vectors[own] if queries is None else queries[start : start + _BLOCK]) @ vectors.T
        if ahead is not None:
            _put_ahead(scores, ahead[start : start + _BLOCK])
        scores[np.arange(len(own)), own] = -np.inf
        ranking = np.argsort(-scores, axis=1, kind="stable")[:, :-1]
        part = _of_ranking(classes[ranking] == classes[own, None], n_relevant[own], cuts)
        parts.append(part)
    return Retrieval(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def _put_ahead(scores: Matrix, ahead: Ids) -> None:
    """Give the rows of ``ahead`` (m, c) scores above every cosine, in their order."""
    at, places = np.nonzero(ahead >= 0)
    scores[at, ahead[at, places]] = 2.0 + ahead.shape[1] - places


def _of_ranking(relevant: NDArray[np.bool_], n_relevant: Ids, cuts: Sequence[int]) -> Retrieval:
    result = Retrieval(
        np.stack([precision_at_k(relevant, cut) for cut in cuts], axis=1),
        np.stack([hit_rate_at_k(relevant, cut) for cut in cuts], axis=1),
        average_precision(relevant, n_relevant),
    )
    for values in result:
        values[n_relevant == 0] = np.nan
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
