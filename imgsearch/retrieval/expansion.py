"""Query expansion: a query that takes in what it found first (αQE, Radenović, Tolias and Chum, 2018)."""

from __future__ import annotations

import numpy as np

from imgsearch.topk.topk import RunningTopK, TopK
from imgsearch.vectors import Ids, Matrix, unit

ALPHA = 3.0
_BLOCK = 2_048


def expand(queries: Matrix, neighbours: Matrix, scores: Matrix, alpha: float = ALPHA) -> Matrix:
    """Each query plus its neighbours, weighted by ``score ** alpha``, unit length again.

    ``queries``: (n, dim) float32 unit rows; ``neighbours``: (n, m, dim), zeros where there are fewer than m;
    ``scores``: (n, m) float32. A neighbour that scores below zero has no weight.
    """
    weights = np.clip(np.nan_to_num(scores, neginf=0.0), 0.0, None) ** np.float32(alpha)
    return unit(queries + np.einsum("nm,nmd->nd", weights, neighbours, optimize=True))


def expand_each(vectors: Matrix, m: int, rows: Ids | None = None) -> Matrix:
    """The queries of a leave-one-out test: ``vectors[rows]`` (all, if not given), each with its ``m`` nearest others.

    ``vectors``: (n, dim) float32 unit rows; ``rows``: (k,) int64. Returns (k, dim). Raises ``ValueError`` unless
    1 ≤ ``m`` < n.
    """
    n = len(vectors)
    if not 1 <= m < n:
        raise ValueError(f"{m} neighbours among {n} vectors")
    rows = np.arange(n) if rows is None else rows
    expanded = np.empty((len(rows), vectors.shape[1]), np.float32)
    for start in range(0, len(rows), _BLOCK):
        own = rows[start : start + _BLOCK]
        ids, scores = nearest_others(vectors, m, own)
        expanded[start : start + _BLOCK] = expand(vectors[own], vectors[ids], scores)
    return expanded


def nearest_others(vectors: Matrix, k: int, rows: Ids) -> TopK:
    """The ``k`` best others of ``vectors[rows]`` among ``vectors`` (n, dim), by row number; ``rows``: (m,) int64."""
    ids, scores = np.empty((len(rows), k), np.int64), np.empty((len(rows), k), np.float32)
    for start in range(0, len(rows), _BLOCK):
        part = slice(start, start + _BLOCK)
        running = RunningTopK(vectors[rows[part]], k)
        running.update(vectors, np.arange(len(vectors)), exclude=rows[part])
        ids[part], scores[part] = running.result()
    return TopK(ids, scores)
