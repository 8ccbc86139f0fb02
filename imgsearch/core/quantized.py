"""Rows as small integers, and how much a score can hide behind them: upper bounds on dot products.

Only the first ``lead`` coordinates are kept, as whole multiples of a step; what is lost is bounded, not estimated.
With q = s·q̂ + e on the leading coordinates and q' the rest, and likewise g = t·ĝ + f and g' for a gallery row,
Cauchy and Schwarz give, for any rounding whatsoever,

    q·g = s t q̂·ĝ + e·tĝ + q_lead·f + q'·g'
        ≤ s t (q̂·ĝ + Q·T) + |e| A + |q_lead| B        Q = ⌈|q'|/s⌉, T = ⌈|g'|/t⌉

where A ≥ |tĝ| and B ≥ |f| for every row of the chunk. The bracket is one integer dot product: T is a byte more in the
gallery row, Q is spread over four bytes of the query. A pair can reach a threshold θ only if

    q̂·ĝ + Q·T ≥ (θ − δ − |e| A − |q_lead| B) / (s t)

δ covers the rounding of the float32 score (2⁻²⁴ of the norms' product) and of the float64 arithmetic here. The norms
are measured on the rows at hand and rounded up, so nothing is assumed about the data: unit length is not needed either.
Gallery bytes are unsigned (ĝ + 128), as VNNI wants them; 128·Σq̂ is the query's ``bias``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgsearch.core.compiled import compiled_sums
from imgsearch.core.vectors import Matrix

QUERY_TILE = 12
ROW_TILE = 32
CHUNK = 1024
_UP = 1 + 1e-9


class PackedQueries(NamedTuple):
    """Queries as bytes in the order the kernel reads them, and the float64 norms that the bound needs.

    ``bytes``: (tiles, groups, QUERY_TILE, 4) int8; ``numbers``: (n_queries, 5) float64, see the columns below.
    """

    lead: int
    bytes: NDArray[np.int8]
    numbers: NDArray[np.float64]


STEP, BIAS, ERROR, LEAD_NORM, NORM = range(5)


def groups_of(lead: int, dim: int) -> int:
    """Groups of four bytes a row takes: the leading coordinates, and one group for the norm of the rest."""
    return -(-lead // 4) + (1 if lead < dim else 0)


def pack_queries(queries: Matrix, lead: int) -> PackedQueries:
    """(n, dim) float32 → the first ``lead`` coordinates as int8, with measured errors. ``n * lead`` bytes.

    Raises ``ValueError`` when a row is not finite.
    """
    n, dim = queries.shape
    packed = np.zeros((-(-n // QUERY_TILE), groups_of(lead, dim), QUERY_TILE, 4), np.int8)
    numbers = np.zeros((n, 5), np.float64)
    _pack_queries(queries, lead, packed, numbers)
    if not np.isfinite(numbers).all():
        raise ValueError(f"query row {int(np.flatnonzero(~np.isfinite(numbers).all(axis=1))[0])} is not finite")
    return PackedQueries(lead, packed, numbers)


@compiled_sums
def _pack_queries(queries, lead, packed, numbers):  # type: ignore[no-untyped-def]  # compiled: typed by its arguments
    n, dim = queries.shape
    for q in range(n):
        largest, rest, lead_square = 0.0, 0.0, 0.0
        for d in range(lead):
            x = np.float64(queries[q, d])
            largest = max(largest, abs(x))
            lead_square += x * x
        for d in range(lead, dim):
            x = np.float64(queries[q, d])
            rest += x * x
        numbers[q, NORM] = np.sqrt(lead_square + rest) * _UP
        if not numbers[q, NORM] < np.inf:
            continue
        rest = np.sqrt(rest) * _UP
        step = max(largest / 127, rest / 504)
        if step < 1e-30:
            step = 1.0
        tile, slot = q // QUERY_TILE, q % QUERY_TILE
        bias, error = 0, 0.0
        for d in range(lead):
            x = np.float64(queries[q, d])
            rounded = min(max(np.rint(x / step), -127.0), 127.0)
            packed[tile, d // 4, slot, d % 4] = np.int8(rounded)
            bias += 128 * np.int64(rounded)
            x -= step * rounded
            error += x * x
        if lead < dim:
            whole = np.int64(np.ceil(rest / step))
            for part in range(4):
                packed[tile, -1, slot, part] = np.int8((whole + part) // 4)
        numbers[q, STEP] = step
        numbers[q, BIAS] = bias
        numbers[q, ERROR] = np.sqrt(error) * _UP
        numbers[q, LEAD_NORM] = np.sqrt(lead_square) * _UP


@compiled_sums
def pack_rows(gallery, start, stop, lead, packed):  # type: ignore[no-untyped-def]  # compiled: typed by its arguments
    """Pack gallery rows ``start:stop`` into ``packed``, (tiles, groups, ROW_TILE, 4) uint8.

    Returns the step t, A, B and the greatest norm of a row; a norm that is not finite tells that a row is not.
    """
    dim = gallery.shape[1]
    rests = np.empty(stop - start, np.float64)
    largest, largest_rest, largest_norm = 0.0, 0.0, 0.0
    for r in range(start, stop):
        top, rest, square = np.float32(0.0), 0.0, 0.0
        for d in range(lead):
            x = gallery[r, d]
            top = max(top, abs(x))
            square += np.float64(x) * np.float64(x)
        for d in range(lead, dim):
            x = np.float64(gallery[r, d])
            rest += x * x
        norm = np.sqrt(square + rest) * _UP
        if not norm < np.inf:  # x - x == 0, as isfinite tests it, is folded away when sums are re-ordered
            return 1.0, 0.0, 0.0, norm
        rests[r - start] = np.sqrt(rest) * _UP
        largest = max(largest, np.float64(top))
        largest_rest = max(largest_rest, rests[r - start])
        largest_norm = max(largest_norm, norm)
    step = max(largest / 127, largest_rest / 254)
    if step < 1e-30:
        step = 1.0
    inverse = 1 / step
    row_bytes = np.full(-(-lead // 4) * 4, 128, np.uint8)
    row_groups = row_bytes.view(np.uint32)
    words = packed.view(np.uint32)
    kept, lost = 0.0, 0.0
    for r in range(start, stop):
        error, square = 0.0, 0.0
        for d in range(lead):
            x = np.float64(gallery[r, d])
            rounded = min(max(np.rint(x * inverse), -127.0), 127.0)
            row_bytes[d] = np.uint8(np.int32(rounded) + 128)
            x -= step * rounded
            error += x * x
            square += (step * rounded) * (step * rounded)
        tile, slot = (r - start) // ROW_TILE, (r - start) % ROW_TILE
        for group in range(row_groups.shape[0]):
            words[tile, group, slot, 0] = row_groups[group]
        if lead < dim:
            whole = np.uint32(min(np.ceil(rests[r - start] * inverse), 255.0))
            words[tile, row_groups.shape[0], slot, 0] = whole * np.uint32(0x01010101)
        kept = max(kept, square)
        lost = max(lost, error)
    return step, np.sqrt(kept) * _UP, np.sqrt(lost) * _UP, largest_norm
