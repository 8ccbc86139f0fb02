"""The k best of one query so far: a binary heap with the worst of them at its root.

One total order everywhere: score descending, then id ascending. A heap row is ``scores[q, :filled]`` and
``ids[q, :filled]``; the functions here are compiled into the loops that call them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from imgsearch.core.compiled import compiled
from imgsearch.core.score import score


class Heaps(NamedTuple):
    """The state of a search: (n_queries, k) float32 ``scores`` and int64 ``ids``, (n_queries,) int64 ``filled`` and
    float32 ``thresholds``: what a score must reach to matter to that query."""

    scores: NDArray[np.float32]
    ids: NDArray[np.int64]
    filled: NDArray[np.int64]
    thresholds: NDArray[np.float32]


class PairBuffer(NamedTuple):
    """Pairs found: (room,) int64 ``queries`` and ``rows``, (room,) float32 ``scores``, (1,) int64 ``found``, which may
    exceed the room; (n_queries,) float32 ``thresholds``."""

    queries: NDArray[np.int64]
    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    found: NDArray[np.int64]
    thresholds: NDArray[np.float32]


class Batch(NamedTuple):
    """Gallery rows to look at: (n, dim) float32, (n,) int64 ids, (n_queries,) int64 id each query must not find."""

    gallery: NDArray[np.float32]
    ids: NDArray[np.int64]
    exclude: NDArray[np.int64]


@compiled
def offer(scores, ids, q, filled, value, identity):  # type: ignore[no-untyped-def]  # compiled: typed by its arguments
    """Put ``(value, identity)`` into heap row ``q`` if it belongs among the best ``scores.shape[1]``; return how many
    the row holds now."""
    top_k = scores.shape[1]
    if filled < top_k:
        slot = filled
        while slot > 0:
            parent = (slot - 1) // 2
            above = scores[q, parent]
            if above < value or (above == value and ids[q, parent] > identity):
                break
            scores[q, slot] = above
            ids[q, slot] = ids[q, parent]
            slot = parent
        scores[q, slot] = value
        ids[q, slot] = identity
        return filled + 1
    worst = scores[q, 0]
    if value < worst or (value == worst and identity > ids[q, 0]):
        return filled
    slot = 0
    while True:
        child = 2 * slot + 1
        if child >= top_k:
            break
        other = child + 1
        if other < top_k and (
            scores[q, other] < scores[q, child]
            or (scores[q, other] == scores[q, child] and ids[q, other] > ids[q, child])
        ):
            child = other
        below = scores[q, child]
        if value < below or (value == below and identity > ids[q, child]):
            break
        scores[q, slot] = below
        ids[q, slot] = ids[q, child]
        slot = child
    scores[q, slot] = value
    ids[q, slot] = identity
    return filled


Found = Heaps | PairBuffer


def settle(queries: Any, batch: Batch, asked: Any, rows: Any, n: int, found: Found) -> None:
    """Score ``n`` pairs and keep what counts: for compiled callers only, chosen by the type of ``found``."""
    raise NotImplementedError("settle is called from compiled code")


@overload(settle)
def _settle(queries, batch, asked, rows, n, found):  # type: ignore[no-untyped-def]
    if found.instance_class is Heaps:
        return lambda queries, batch, asked, rows, n, found: keep_best(queries, batch, asked, rows, n, found)
    return lambda queries, batch, asked, rows, n, found: keep_all(queries, batch, asked, rows, n, found)


@compiled
def keep_best(queries, batch, asked, rows, n, heaps):  # type: ignore[no-untyped-def]  # compiled: typed by its arguments
    """Score the ``n`` pairs of query ``asked[i]`` and row ``rows[i]`` of a ``Batch``, and offer them unless
    below the query's threshold or excluded; a threshold rises to the k-th best score once its heap row is full.

    Pairs come here in bulk, because array arguments are what a compiled call costs: their references are counted.
    """
    gallery, ids, exclude = batch
    scores, heap_ids, filled, thresholds = heaps
    top_k = scores.shape[1]
    for i in range(n):
        q, row = asked[i], rows[i]
        value = score(queries, gallery, q, row)
        if not value >= thresholds[q] or ids[row] == exclude[q]:
            continue
        filled[q] = offer(scores, heap_ids, q, filled[q], value, ids[row])
        if filled[q] == top_k and scores[q, 0] > thresholds[q]:
            thresholds[q] = scores[q, 0]


@compiled
def keep_all(queries, batch, asked, rows, n, buffer):  # type: ignore[no-untyped-def]  # compiled: typed by its arguments
    """Score ``n`` pairs as above, and append those that reach their query's threshold; count all, store what fits."""
    gallery, ids, exclude = batch
    for i in range(n):
        q, row = asked[i], rows[i]
        value = score(queries, gallery, q, row)
        if not value >= buffer.thresholds[q] or ids[row] == exclude[q]:
            continue
        slot = buffer.found[0]
        buffer.found[0] = slot + 1
        if slot < len(buffer.scores):
            buffer.queries[slot], buffer.rows[slot], buffer.scores[slot] = q, row, value
