"""The same search with a float32 matrix product, for CPUs without int8 dot products (see ``vnni``).

A tile of queries is multiplied with a chunk of the gallery by BLAS, over the first ``lead`` coordinates; the norms of
the rest bound what is missing, as in ``quantized``, and the product's own rounding is bounded by
γ |q||g|, γ = 2 dim 2⁻²⁴ (Higham, Accuracy and Stability of Numerical Algorithms, §3.1, doubled).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgsearch.core.compiled import compiled, compiled_sums
from imgsearch.core.ranking import Batch, Found, settle
from imgsearch.core.vectors import Matrix

QUERY_TILE = 256
CHUNK = 1024
_RUN = 32
_PAIRS = 64  # pairs kept back before they are scored


class QueryNorms(NamedTuple):
    """``rests``: (n_queries,) float32, norms of what follows the ``lead`` coordinates; ``norms``: of whole rows."""

    lead: int
    rests: NDArray[np.float32]
    norms: NDArray[np.float32]


def query_norms(queries: Matrix, lead: int) -> QueryNorms:
    """What ``scan`` needs to know of (n, dim) float32 queries; rounded up."""
    return QueryNorms(lead, *_norms(queries, lead))


@compiled_sums
def _norms(rows, lead):  # type: ignore[no-untyped-def]  # compiled: typed by its arguments
    rest_norms, whole_norms = np.empty(rows.shape[0], np.float32), np.empty(rows.shape[0], np.float32)
    for r in range(rows.shape[0]):
        lead_square, rest = 0.0, 0.0
        for d in range(lead):
            x = np.float64(rows[r, d])
            lead_square += x * x
        for d in range(lead, rows.shape[1]):
            x = np.float64(rows[r, d])
            rest += x * x
        rest_norms[r] = np.sqrt(rest) * (1 + 1e-6)
        whole_norms[r] = np.sqrt(lead_square + rest) * (1 + 1e-6)
    return rest_norms, whole_norms


@compiled
def _select(queries, first_query, packed, batch, first, products, rests, slack, found):  # type: ignore[no-untyped-def]
    """Offer what may reach its query's threshold. ``products``: (queries of the tile, rows of the chunk) float32;
    ``rests``: the rows' rest norms; ``slack``: the rounding of a product, of the query's norm."""
    _, query_rests, query_norms = packed
    thresholds = found.thresholds
    n_rows, scored, n_pairs = products.shape[1], 0, 0
    pair_queries, pair_rows = np.empty(_PAIRS + _RUN, np.int64), np.empty(_PAIRS + _RUN, np.int64)
    for i in range(products.shape[0]):
        q = first_query + i
        rounding, rest = np.float32(slack * query_norms[q]), query_rests[q]
        limit = thresholds[q] - rounding
        for begin in range(0, n_rows, _RUN):
            end = min(begin + _RUN, n_rows)
            reached = 0
            for j in range(begin, end):
                reached |= products[i, j] + rest * rests[j] >= limit
            if reached != 0:
                for j in range(begin, end):
                    if products[i, j] + rest * rests[j] >= limit:
                        pair_queries[n_pairs] = q
                        pair_rows[n_pairs] = first + j
                        n_pairs += 1
            if n_pairs >= _PAIRS or (n_pairs > 0 and end == n_rows):
                settle(queries, batch, pair_queries, pair_rows, n_pairs, found)
                scored += n_pairs
                n_pairs = 0
                limit = thresholds[q] - rounding
    return scored


def scan(queries: Matrix, packed: QueryNorms, batch: Batch, start: int, stop: int, found: Found) -> int:
    """Offer rows ``start:stop`` to every query. Returns the number of pairs that had to be scored, or -1
    when a gallery row is not finite. Needs ``QUERY_TILE`` x ``CHUNK`` float32."""
    tile, lead = np.empty(QUERY_TILE * CHUNK, np.float32), packed.lead
    gamma, scored = 2.0 * queries.shape[1] * 2.0**-24 + 2.0**-21, 0
    for first in range(start, stop, CHUNK):
        rows = batch.gallery[first : min(first + CHUNK, stop)]
        rests, norms = _norms(rows, lead)
        slack = gamma * float(norms.max())
        if not np.isfinite(slack):
            return -1
        for first_query in range(0, len(queries), QUERY_TILE):
            block = queries[first_query : first_query + QUERY_TILE, :lead]
            products = tile[: len(block) * len(rows)].reshape(len(block), len(rows))
            np.matmul(block, rows[:, :lead].T, out=products)
            scored += _select(queries, first_query, packed, batch, first, products, rests, slack, found)
    return scored
