"""Rows as small integers, and how much a score can hide behind them: upper bounds on dot products.

Only the first ``prefix_dim`` coordinates are packed, as whole multiples of a step; what is lost is bounded exactly.
With q = s·q̂ + e on the leading coordinates and q' the rest, and likewise g = t·ĝ + f and g' for a gallery row,
Cauchy and Schwarz give, for any rounding whatsoever,

    q·g = s t q̂·ĝ + e·tĝ + q_prefix·f + q'·g'
        ≤ s t (q̂·ĝ + Q·T) + |e| A + |q_prefix| B        Q = ⌈|q'|/s⌉, T = ⌈|g'|/t⌉

where A ≥ |tĝ| and B ≥ |f| for every row of the chunk. The bracket is one integer dot product: T is a byte more in the
gallery row, Q is spread over four bytes of the query. A pair can reach a threshold θ only if

    q̂·ĝ + Q·T ≥ (θ − δ − |e| A − |q_prefix| B) / (s t)

δ covers the rounding of the float32 score (2⁻²⁴ of the norms' product) and of the float64 arithmetic here. The norms
are measured on the rows at hand and rounded up, so nothing is assumed about the data: unit length is not needed either.
Gallery bytes are unsigned (ĝ + 128), as VNNI wants them; 128·Σq̂ is the query's ``bias``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgsearch.compiled import compiled_sums
from imgsearch.vectors import Matrix

QUERY_TILE = 12
ROW_TILE = 32
CHUNK = 1024
LONGEST = 1e15
"""The longest row that may be searched: beyond, float32 squares could overflow."""
_UP = 1 + 1e-9
_UNDERFLOW = 1e-20  # √(dim · 2⁻¹⁴⁹), and to spare


class PackedQueries(NamedTuple):
    """Queries as bytes in the order the kernel reads them, and the float64 norms that the bound needs.

    ``panels``: (tiles, groups, QUERY_TILE, 4) int8; ``numbers``: (n_queries, 5) float64, see the columns below.
    """

    prefix_dim: int
    panels: NDArray[np.int8]
    numbers: NDArray[np.float64]


STEP, BIAS, ERROR, PREFIX_NORM, NORM = range(5)


def groups_of(prefix_dim: int, dim: int) -> int:
    """Groups of four bytes a row takes: the leading coordinates, and one group for the norm of the rest."""
    return -(-prefix_dim // 4) + (1 if prefix_dim < dim else 0)


def pack_queries(queries: Matrix, prefix_dim: int) -> PackedQueries:
    """(n, dim) float32 → the first ``prefix_dim`` coordinates as int8, with measured errors. ``n * prefix_dim`` bytes.

    Raises ``ValueError`` when a row is not finite.
    """
    n, dim = queries.shape
    packed = np.zeros((-(-n // QUERY_TILE), groups_of(prefix_dim, dim), QUERY_TILE, 4), np.int8)
    numbers = np.zeros((n, 5), np.float64)
    _pack_queries(queries, prefix_dim, packed, numbers)
    broken = np.flatnonzero(~(numbers[:, NORM] < LONGEST))
    if len(broken):
        raise ValueError(f"query row {broken[0]} is not finite, or too long")
    return PackedQueries(prefix_dim, packed, numbers)


@compiled_sums
def _pack_queries(queries, prefix_dim, packed, numbers):  # type: ignore[no-untyped-def]  # compiled: typed by its arguments
    n, dim = queries.shape
    words = packed.view(np.int32)
    coordinates = np.zeros(-(-prefix_dim // 4) * 4, np.int8)
    four = coordinates.view(np.int32)
    last = np.empty(4, np.int8)
    for q in range(n):
        largest, prefix_norm, rest, norm = _measure(queries, q, prefix_dim)
        numbers[q, NORM] = norm
        if not norm < LONGEST:
            continue
        step = _step(largest / 127, rest / 504)
        numbers[q, ERROR], numbers[q, BIAS] = _round(queries, q, prefix_dim, step, prefix_norm, coordinates)
        numbers[q, STEP], numbers[q, PREFIX_NORM] = step, prefix_norm
        tile, slot = q // QUERY_TILE, q % QUERY_TILE
        for group in range(four.shape[0]):
            words[tile, group, slot, 0] = four[group]
        if prefix_dim < dim:
            whole = np.int64(np.ceil(rest / step))
            for part in range(4):
                last[part] = (whole + part) // 4
            words[tile, four.shape[0], slot, 0] = last.view(np.int32)[0]


@compiled_sums
def pack_rows(gallery, start, stop, prefix_dim, packed):  # type: ignore[no-untyped-def]  # compiled: typed by its arguments
    """Pack gallery rows ``start:stop`` into ``packed``, (tiles, groups, ROW_TILE, 4) uint8.

    Returns the step t, A, B and the greatest norm of a row; a norm that is not finite tells that a row is not.
    """
    dim = gallery.shape[1]
    rests, prefix_norms = np.empty(stop - start, np.float64), np.empty(stop - start, np.float64)
    largest, largest_rest, largest_norm = 0.0, 0.0, 0.0
    for r in range(start, stop):
        top, prefix_norm, rest, norm = _measure(gallery, r, prefix_dim)
        if not norm < LONGEST:
            return 1.0, 0.0, 0.0, norm
        rests[r - start], prefix_norms[r - start] = rest, prefix_norm
        largest, largest_rest, largest_norm = max(largest, top), max(largest_rest, rest), max(largest_norm, norm)
    step = _step(largest / 127, largest_rest / 254)
    coordinates = np.zeros(-(-prefix_dim // 4) * 4, np.int8)
    four = coordinates.view(np.uint32)
    words = packed.view(np.uint32)
    longest, error_bound = 0.0, 0.0
    for r in range(start, stop):
        error, _ = _round(gallery, r, prefix_dim, step, prefix_norms[r - start], coordinates)
        error_bound, longest = max(error_bound, error), max(longest, prefix_norms[r - start] + error)
        tile, slot = (r - start) // ROW_TILE, (r - start) % ROW_TILE
        for group in range(four.shape[0]):
            words[tile, group, slot, 0] = four[group] ^ np.uint32(0x80808080)  # ĝ + 128, unsigned
        if prefix_dim < dim:
            whole = np.uint32(np.ceil(rests[r - start] / step))
            words[tile, four.shape[0], slot, 0] = whole * np.uint32(0x01010101)
    return step, longest, error_bound, largest_norm


@compiled_sums
def _measure(rows, r, prefix_dim):  # type: ignore[no-untyped-def]
    """Greatest magnitude of a leading coordinate; norms of the leading ones, the rest and the whole row (infinite if
    it is too long), rounded up."""
    bits = rows.view(np.int32)
    top, prefix_square, rest = np.int32(0), 0.0, 0.0
    for d in range(prefix_dim):
        top = max(top, bits[r, d] & np.int32(0x7FFFFFFF))  # as integers, magnitudes of floats keep their order
        prefix_square += np.float64(rows[r, d]) * np.float64(rows[r, d])
    for d in range(prefix_dim, rows.shape[1]):
        rest += np.float64(rows[r, d]) * np.float64(rows[r, d])
    largest = np.float64(np.int32(top).view(np.float32))
    norm = np.sqrt(prefix_square + rest) * _UP
    return largest, np.sqrt(prefix_square) * _UP, np.sqrt(rest) * _UP, norm if norm < LONGEST else np.inf


@compiled_sums
def _round(rows, r, prefix_dim, step, prefix_norm, coordinates):  # type: ignore[no-untyped-def]
    """Write the multiples of ``step`` nearest to the leading coordinates; return the norm of what is lost, rounded up,
    and 128 times the multiples' sum. The arithmetic is float32: its rounding (2⁻²³ of the norm) is added, and what
    squares lose by underflow."""
    short, inverse = np.float32(step), np.float32(1 / step)
    error, total = np.float32(0), np.int32(0)
    for d in range(prefix_dim):
        x = rows[r, d]
        multiple = np.rint(x * inverse)
        left = x - short * multiple
        error += left * left
        whole = np.int32(multiple)
        total += whole
        coordinates[d] = np.int8(whole)
    rounding = 2.0**-22 * prefix_norm + _UNDERFLOW
    return np.sqrt(np.float64(error)) * (1 + prefix_dim * 2.0**-23) + rounding, 128 * np.int64(total)


@compiled_sums
def _step(least, other):  # type: ignore[no-untyped-def]
    """The greater of what is wanted, as a float32 value a little above it; 1 where there is nothing to divide."""
    step = np.float64(np.float32(max(least, other) * (1 + 1e-6)))
    return step if step > 1e-30 else 1.0
