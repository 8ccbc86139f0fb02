"""How many leading coordinates to multiply: fewer are quicker, more leave fewer pairs to score one by one.

PCA puts most of a vector's length first, so a partial dot product plus the norms of the two rests (Cauchy–Schwarz)
often rules a pair out. How often depends on data and thresholds, so it is counted on a sample; the choice changes how
long a search takes, never what it finds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgsearch.vectors import Matrix

SEGMENT = 32
_QUERIES, _ROWS = 96, 192


class Costs(NamedTuple):
    """Nanoseconds on one core (measured on a Zen 4): a pair, a coordinate of a pair, a pair that must be scored."""

    pair: float
    coordinate: float
    scored: float
    quantized: bool


INT8 = Costs(pair=0.06, coordinate=0.0047, scored=90.0, quantized=True)
FLOAT32 = Costs(pair=0.06, coordinate=0.0244, scored=90.0, quantized=False)


def choose_prefix_dim(queries: Matrix, gallery: Matrix, thresholds: NDArray[np.float32], costs: Costs) -> int:
    """The cheapest number of leading coordinates for these thresholds, a multiple of ``SEGMENT`` or all of them.

    ``queries``: (n_q, dim), ``gallery``: (n, dim), ``thresholds``: (n_q,); a sample of 96 x 192 is looked at.
    """
    with np.errstate(invalid="ignore", over="ignore"):  # a row that is not finite is refused by the scan
        return _cheapest(queries, gallery, thresholds, costs)


def _cheapest(queries: Matrix, gallery: Matrix, thresholds: NDArray[np.float32], costs: Costs) -> int:
    dim = queries.shape[1]
    query_rows, rows = _spread(len(queries), _QUERIES), _spread(len(gallery), _ROWS)
    left, right, limits = queries[query_rows], gallery[rows], thresholds[query_rows][:, None]
    partial = np.zeros((len(left), len(right)), np.float32)
    left_rest, right_rest = np.square(left).sum(1), np.square(right).sum(1)
    whole = np.sqrt(left_rest), np.sqrt(right_rest)
    tops = np.abs(left).max(axis=1, initial=0), np.abs(right).max(initial=0)
    best, best_cost = dim, np.inf
    for begin in range(0, dim, SEGMENT):
        end = min(begin + SEGMENT, dim)
        a, b = left[:, begin:end], right[:, begin:end]
        partial += a @ b.T
        left_rest, right_rest = left_rest - np.square(a).sum(1), right_rest - np.square(b).sum(1)
        tails = np.sqrt(np.maximum(left_rest, 0)), np.sqrt(np.maximum(right_rest, 0))
        bound = partial + np.multiply.outer(*tails)
        if costs.quantized:  # error of rounding to a step: uniform, variance step² / 12 a coordinate
            uniform = np.sqrt(end / 12)
            steps = np.maximum(tops[0] / 127, tails[0] / 504), max(tops[1] / 127, tails[1].max(initial=0) / 254)
            bound += uniform * (steps[0] * whole[1].max(initial=0) + steps[1] * whole[0])[:, None]
        cost = costs.pair + costs.coordinate * end + costs.scored * float(np.mean(bound >= limits))
        if cost < best_cost:
            best, best_cost = end, cost
    return best


def _spread(n: int, n_taken: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, n - 1, min(n, n_taken)).astype(np.int64)) if n else np.zeros(0, np.int64)
