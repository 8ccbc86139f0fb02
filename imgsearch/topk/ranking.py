"""The k best of one query so far: a buffer with room for more than k, cut back when it is full.

One total order everywhere: score descending, then id ascending. A row is ``scores[q, :filled]`` and its ids likewise,
in no order. When it is full, the k best are moved to its front (Hoare's selection), the rest is forgotten, and the
k-th score becomes the threshold: a few steps a candidate whatever k is, where a heap takes log k. The functions here
are compiled into the loops that call them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from imgsearch.compiled import compiled
from imgsearch.topk.score import score


class Best(NamedTuple):
    """The state of a search: (n_queries, room) float32 ``scores`` and int64 ``ids``, (n_queries,) int64 ``filled`` and
    float32 ``thresholds``: what a score must reach to matter to that query."""

    top_k: int
    scores: NDArray[np.float32]
    ids: NDArray[np.int64]
    filled: NDArray[np.int64]
    thresholds: NDArray[np.float32]


def empty_best(n_queries: int, top_k: int) -> Best:
    """The state before the first row: room for half as many again as are wanted, so that cuts are few."""
    room = top_k + max(4, top_k // 2)
    return Best(
        top_k,
        np.full((n_queries, room), -np.inf, np.float32),
        np.full((n_queries, room), -1, np.int64),
        np.zeros(n_queries, np.int64),
        np.full(n_queries, -np.inf, np.float32),
    )


class PairBuffer(NamedTuple):
    """Pairs found: (room,) int64 ``queries`` and ``rows``, (room,) float32 ``scores``, (1,) int64 ``n_found``, which
    may exceed the room; (n_queries,) float32 ``thresholds``."""

    queries: NDArray[np.int64]
    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    n_found: NDArray[np.int64]
    thresholds: NDArray[np.float32]


class Batch(NamedTuple):
    """Gallery rows to look at: (n, dim) float32, (n,) int64 ids, (n_queries,) int64 id each query must not find."""

    gallery: NDArray[np.float32]
    ids: NDArray[np.int64]
    exclude: NDArray[np.int64]


@compiled
def _swap(scores, ids, q, i, j):  # type: ignore[no-untyped-def]
    scores[q, i], scores[q, j] = scores[q, j], scores[q, i]
    ids[q, i], ids[q, j] = ids[q, j], ids[q, i]


@compiled
def _before(score, identity, other_score, other_identity):  # type: ignore[no-untyped-def]
    return score > other_score or (score == other_score and identity < other_identity)


@compiled
def select_top(scores, ids, q, filled, top_k):  # type: ignore[no-untyped-def]  # compiled: typed by its arguments
    """Move the best ``top_k`` of row ``q``'s first ``filled`` entries to its front, the worst of them last."""
    low, high, last = 0, filled - 1, top_k - 1
    while low < high:
        middle = (low + high) // 2
        if _before(scores[q, middle], ids[q, middle], scores[q, low], ids[q, low]):
            _swap(scores, ids, q, low, middle)
        if _before(scores[q, high], ids[q, high], scores[q, low], ids[q, low]):
            _swap(scores, ids, q, low, high)
        if _before(scores[q, high], ids[q, high], scores[q, middle], ids[q, middle]):
            _swap(scores, ids, q, middle, high)
        pivot_score, pivot = scores[q, middle], ids[q, middle]
        left, right = low, high
        while left <= right:
            while _before(scores[q, left], ids[q, left], pivot_score, pivot):
                left += 1
            while _before(pivot_score, pivot, scores[q, right], ids[q, right]):
                right -= 1
            if left <= right:
                _swap(scores, ids, q, left, right)
                left, right = left + 1, right - 1
        if last <= right:
            high = right
        elif last >= left:
            low = left
        else:
            break


def score_pairs(queries: Any, batch: Batch, query_rows: Any, rows: Any, n: int, target: Best | PairBuffer) -> None:
    """Score ``n`` pairs and keep what counts: for compiled callers only, chosen by the type of ``target``."""
    raise NotImplementedError("score_pairs is called from compiled code")


@overload(score_pairs)
def _score_pairs(queries, batch, query_rows, rows, n, target):  # type: ignore[no-untyped-def]
    if target.instance_class is Best:
        return lambda queries, batch, query_rows, rows, n, target: add_best(queries, batch, query_rows, rows, n, target)
    return lambda queries, batch, query_rows, rows, n, target: add_all(queries, batch, query_rows, rows, n, target)


@compiled
def add_best(queries, batch, query_rows, rows, n, best):  # type: ignore[no-untyped-def]  # compiled: typed by its arguments
    """Score the ``n`` pairs of query ``asked[i]`` and row ``rows[i]`` of a ``Batch``, and keep them unless
    below the query's threshold or excluded; a threshold rises to the k-th best score when its row is full.

    Pairs come here in bulk, because array arguments are what a compiled call costs: their references are counted.
    """
    gallery, ids, exclude = batch
    top_k, scores, best_ids, filled, thresholds = best
    for i in range(n):
        q, row = query_rows[i], rows[i]
        value = score(queries, gallery, q, row)
        if not value >= thresholds[q] or ids[row] == exclude[q]:
            continue
        slot = filled[q]
        scores[q, slot], best_ids[q, slot] = value, ids[row]
        filled[q] = slot + 1
        if slot + 1 == scores.shape[1]:
            select_top(scores, best_ids, q, slot + 1, top_k)
            filled[q] = top_k
            thresholds[q] = max(thresholds[q], scores[q, top_k - 1])


@compiled
def score_rows(queries, batch, query_rows, start, stop, best):  # type: ignore[no-untyped-def]  # compiled: typed by its arguments
    """Rows ``start:stop`` to the queries ``query_rows``, pair by pair: where they are few, packing would cost more."""
    n = stop - start
    rows, again = np.arange(start, stop), np.empty(n, np.int64)
    for i in range(len(query_rows)):
        again[:] = query_rows[i]
        add_best(queries, batch, again, rows, n, best)


@compiled
def select_all(best):  # type: ignore[no-untyped-def]  # compiled: typed by its arguments
    """Forget what is not among the best ``top_k`` of its row, for every query of a ``Best``."""
    for q in range(len(best.filled)):
        if best.filled[q] > best.top_k:
            select_top(best.scores, best.ids, q, best.filled[q], best.top_k)
            best.filled[q] = best.top_k


@compiled
def add_all(queries, batch, query_rows, rows, n, buffer):  # type: ignore[no-untyped-def]  # compiled: typed by its arguments
    """Score ``n`` pairs as above, and append those that reach their query's threshold; count all, store what fits."""
    gallery, ids, exclude = batch
    for i in range(n):
        q, row = query_rows[i], rows[i]
        value = score(queries, gallery, q, row)
        if not value >= buffer.thresholds[q] or ids[row] == exclude[q]:
            continue
        slot = buffer.n_found[0]
        buffer.n_found[0] = slot + 1
        if slot < len(buffer.scores):
            buffer.queries[slot], buffer.rows[slot], buffer.scores[slot] = q, row, value
