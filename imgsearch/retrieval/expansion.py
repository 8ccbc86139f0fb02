"""Query expansion: a query that takes in what it found first (αQE, Radenović, Tolias and Chum, 2018)."""

from __future__ import annotations

import numpy as np

from imgsearch.topk.topk import RunningTopK
from imgsearch.vectors import Matrix, unit

ALPHA = 3.0
_BLOCK = 2_048


def expand(queries: Matrix, neighbours: Matrix, scores: Matrix, alpha: float = ALPHA) -> Matrix:
    """Each query plus its neighbours, weighted by ``score ** alpha``, unit length again.

    ``queries``: (n, dim) float32 unit rows; ``neighbours``: (n, m, dim), zeros where there are fewer than m;
    ``scores``: (n, m) float32. A neighbour that scores below zero has no weight.
    """
    weights = np.clip(np.nan_to_num(scores, neginf=0.0), 0.0, None) ** np.float32(alpha)
    return unit(queries + np.einsum("nm,nmd->nd", weights, neighbours, optimize=True))


def expand_each(vectors: Matrix, m: int) -> Matrix:
    """Every one of ``vectors`` (n, dim) expanded with its ``m`` nearest others: the queries of a leave-one-out test.

    Raises ``ValueError`` unless 1 ≤ ``m`` < n.
    """
    n = len(vectors)
    if not 1 <= m < n:
        raise ValueError(f"{m} neighbours among {n} vectors")
    found = np.empty_like(vectors)
    for start in range(0, n, _BLOCK):
        queries = vectors[start : start + _BLOCK]
        running = RunningTopK(queries, m)
        running.update(vectors, np.arange(n), exclude=np.arange(start, start + len(queries)))
        ids, scores = running.result()
        found[start : start + _BLOCK] = expand(queries, vectors[ids], scores)
    return found
