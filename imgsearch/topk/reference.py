"""Exact top-k in plain NumPy: the definition that the compiled scans are tested against, bit by bit.

It multiplies every pair in float64 and sorts every score; memory: some 300 bytes a pair.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imgsearch.topk.topk import TopK
from imgsearch.vectors import Matrix

LANES = 16


def scores(queries: Matrix, gallery: Matrix) -> Matrix:
    """(n_queries, dim) and (n, dim) float32 → (n_queries, n) float32, summed in the order that ``score`` defines."""
    left, right = queries.astype(np.float64)[:, None, :], gallery.astype(np.float64)[None, :, :]
    whole = queries.shape[1] // LANES * LANES
    lanes = np.zeros((len(queries), len(gallery), LANES))
    for first in range(0, whole, LANES):
        lanes += left[..., first : first + LANES] * right[..., first : first + LANES]
    while lanes.shape[2] > 1:
        half = lanes.shape[2] // 2
        lanes = lanes[..., :half] + lanes[..., half:]
    total = lanes[..., 0]
    for d in range(whole, queries.shape[1]):
        total = total + left[..., d] * right[..., d]
    return total.astype(np.float32)


def top_k(queries: Matrix, gallery: Matrix, ids: NDArray[np.int64], k: int) -> TopK:
    """The ``k`` ids with the greatest scores, for every query: score descending, then id ascending.

    ``ids``: (n,) int64 of the gallery's rows. Slots without a row have id -1 and score -inf.
    """
    product = scores(queries, gallery)
    order = np.lexsort((np.broadcast_to(ids, product.shape), -product), axis=1)[:, :k]
    missing = ((0, 0), (0, k - order.shape[1]))
    best = np.take_along_axis(product, order, axis=1)
    return TopK(np.pad(ids[order], missing, constant_values=-1), np.pad(best, missing, constant_values=-np.inf))
