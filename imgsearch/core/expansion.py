"""Query expansion: a query that takes in what it found first (αQE, Radenović, Tolias and Chum, 2018)."""

from __future__ import annotations

import numpy as np

from imgsearch.core.vectors import Matrix, unit

ALPHA = 3.0


def expand(queries: Matrix, neighbours: Matrix, scores: Matrix, alpha: float = ALPHA) -> Matrix:
    """Each query plus its neighbours, weighted by ``score ** alpha``, unit length again.

    ``queries``: (n, dim) float32 unit rows; ``neighbours``: (n, m, dim), zeros where there are fewer than m;
    ``scores``: (n, m) float32. A neighbour that scores below zero has no weight.
    """
    weights = np.clip(np.nan_to_num(scores, neginf=0.0), 0.0, None) ** np.float32(alpha)
    return unit(queries + np.einsum("nm,nmd->nd", weights, neighbours, optimize=True))
