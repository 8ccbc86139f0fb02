"""The search kernel in float32, for every CPU: a tile's product stays in registers and is compared at once.

Same plan as ``vnni``, with fused multiply-adds on vectors as wide as the CPU has them. Rows are packed coordinate by
coordinate; after the ``lead`` first ones comes one more, the norm of the rest, so that the tile's dot products are
upper bounds (Cauchy–Schwarz, see ``quantized``). Their rounding is at most γ |q||g| with γ = n 2⁻²⁴ / (1 − n 2⁻²⁴) over
n = lead + 1 coordinates (Higham, Accuracy and Stability of Numerical Algorithms, §3.1); twice that is allowed for.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from imgsearch.compiled import compiled, compiled_sums, cpu_features
from imgsearch.topk.bounds import LONGEST
from imgsearch.topk.ranking import settle
from imgsearch.vectors import Matrix


def _tile() -> tuple[int, int, int]:
    """Lanes of a register, registers of rows, queries: as many sums as there are registers, less those for operands."""
    features = cpu_features()
    if "avx512f" in features:
        return 16, 2, 12
    if "avx" in features:
        return 8, 2, 6
    return 4, 3, 8  # NEON: 32 registers of 4


LANES, REGISTERS, QUERY_TILE = _tile()
ROW_TILE = LANES * REGISTERS
CHUNK = ROW_TILE * 12
_PAIRS = 128  # pairs kept back before they are scored


class QueryPanels(NamedTuple):
    """``panels``: (tiles, lead + 1, QUERY_TILE) float32, ``norms``: (n_queries,) float64."""

    lead: int
    panels: NDArray[np.float32]
    norms: NDArray[np.float64]


def panels_of(queries: Matrix, lead: int) -> QueryPanels:
    """Pack (n, dim) float32 queries, ``4 n (lead + 1)`` bytes. Raises ``ValueError`` when a row is not finite."""
    n = len(queries)
    panels = np.zeros((-(-n // QUERY_TILE), lead + 1, QUERY_TILE), np.float32)
    norms = np.empty(n, np.float64)
    _pack(queries, 0, n, lead, panels, norms)
    broken = np.flatnonzero(~(norms < LONGEST))
    if len(broken):
        raise ValueError(f"query row {broken[0]} is not finite, or too long")
    return QueryPanels(lead, panels, norms)


@compiled_sums
def _pack(source, start, stop, lead, panels, norms):  # type: ignore[no-untyped-def]  # compiled: typed by its arguments
    width = panels.shape[2]
    for r in range(start, stop):
        tile, slot = (r - start) // width, (r - start) % width
        lead_square, rest = 0.0, 0.0
        for d in range(lead):
            lead_square += np.float64(source[r, d]) * np.float64(source[r, d])
        for d in range(lead, source.shape[1]):
            rest += np.float64(source[r, d]) * np.float64(source[r, d])
        for d in range(lead):
            panels[tile, d, slot] = source[r, d]
        panels[tile, lead, slot] = np.sqrt(rest) * (1 + 1e-6)
        norms[r - start] = np.sqrt(lead_square + rest) * (1 + 1e-6)


@intrinsic
def _reach(typing_context: Any, queries: Any, rows: Any, limits: Any, masks: Any, depth: Any) -> Any:
    """One tile: addresses of its packed queries and rows, float32 limits, uint32 masks to write; ``depth`` ≥ 1.

    Bit ``r`` of ``masks[q]`` is set where the dot product of query q and row r is at least ``limits[q]``. Returns the
    masks' union.
    """
    signature = types.uint32(types.intp, types.intp, types.intp, types.intp, types.intp)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        queries, rows, limits, masks, depth = args
        word, long, pointer, single = ir.IntType(32), ir.IntType(64), ir.PointerType(), ir.FloatType()
        vector = ir.VectorType(single, LANES)
        zeros, undefined = ir.Constant(vector, [0.0] * LANES), ir.Constant(vector, ir.Undefined)
        first = ir.Constant(ir.VectorType(word, LANES), [0] * LANES)
        shape = ir.FunctionType(vector, [vector] * 3)
        multiply_add = builder.module.declare_intrinsic(f"llvm.fmuladd.v{LANES}f32", (), shape)

        def at(base: Any, offset: int, kind: Any) -> Any:
            place = builder.inttoptr(builder.add(base, long(offset)), pointer)
            return builder.load(place, typ=kind, align=4)

        def spread(scalar: Any) -> Any:
            return builder.shuffle_vector(builder.insert_element(undefined, scalar, word(0)), undefined, first)

        before = builder.basic_block
        loop, done = builder.append_basic_block("depth"), builder.append_basic_block("depth.done")
        builder.branch(loop)
        builder.position_at_end(loop)
        step = builder.phi(long)
        sums = [builder.phi(vector) for _ in range(QUERY_TILE * REGISTERS)]
        query_place = builder.add(queries, builder.mul(step, long(4 * QUERY_TILE)))
        row_place = builder.add(rows, builder.mul(step, long(4 * ROW_TILE)))
        row_vectors = [at(row_place, 4 * LANES * v, vector) for v in range(REGISTERS)]
        grown = []
        for q in range(QUERY_TILE):
            query_vector = spread(at(query_place, 4 * q, single))
            grown += [
                builder.call(multiply_add, [query_vector, row_vectors[v], sums[q * REGISTERS + v]])
                for v in range(REGISTERS)
            ]
        following = builder.add(step, long(1))
        step.add_incoming(long(0), before)
        step.add_incoming(following, loop)
        for old, new in zip(sums, grown, strict=True):
            old.add_incoming(zeros, before)
            old.add_incoming(new, loop)
        builder.cbranch(builder.icmp_signed("<", following, depth), loop, done)

        builder.position_at_end(done)
        union = word(0)
        for q in range(QUERY_TILE):
            limit, mask = spread(at(limits, 4 * q, single)), word(0)
            for v in range(REGISTERS):
                reached = builder.fcmp_ordered(">=", grown[q * REGISTERS + v], limit)
                bits = builder.zext(builder.bitcast(reached, ir.IntType(LANES)), word)
                mask = builder.or_(mask, builder.shl(bits, word(LANES * v)))
            builder.store(mask, builder.inttoptr(builder.add(masks, long(4 * q)), pointer), align=4)
            union = builder.or_(union, mask)
        return union

    return signature, codegen


@compiled
def _limit(threshold, query_norm, row_norm, gamma):  # type: ignore[no-untyped-def]  # compiled: typed by its arguments
    """What a bound must reach: the threshold less the rounding of products, of this comparison, and of underflow."""
    needed = np.float64(threshold) - gamma * query_norm * row_norm - 2.0**-22 * abs(np.float64(threshold)) - 1e-37
    return np.float32(needed) if threshold != -np.inf else np.float32(-np.inf)


@compiled
def scan(queries, packed, batch, start, stop, found):  # type: ignore[no-untyped-def]  # compiled: typed by its arguments
    """Offer rows ``start:stop`` to every query. Returns the number of pairs that had to be scored, or -1 when a gallery
    row is not finite. Needs ``4 CHUNK (lead + 1)`` bytes."""
    lead, panels, query_norms = packed
    thresholds, gallery = found.thresholds, batch.gallery
    depth = lead + 1
    gamma = 2 * (depth + 8) * 2.0**-24
    rows, norms = np.zeros((CHUNK // ROW_TILE, depth, ROW_TILE), np.float32), np.empty(CHUNK, np.float64)
    limits, masks = np.empty(QUERY_TILE, np.float32), np.empty(QUERY_TILE, np.uint32)
    room = _PAIRS + QUERY_TILE * ROW_TILE
    pair_queries, pair_rows = np.empty(room, np.int64), np.empty(room, np.int64)
    query_place, row_place = panels.ctypes.data, rows.ctypes.data
    limit_place, mask_place = limits.ctypes.data, masks.ctypes.data
    n_queries, scored = len(queries), 0
    for first in range(start, stop, CHUNK):
        last = min(first + CHUNK, stop)
        _pack(gallery, first, last, lead, rows, norms)
        norm = 0.0
        for r in range(last - first):
            if not norms[r] < LONGEST:
                return -1
            norm = max(norm, norms[r])
        n_row_tiles = (last - first + ROW_TILE - 1) // ROW_TILE
        for query_tile in range(panels.shape[0]):
            first_query = query_tile * QUERY_TILE
            n_tile = min(QUERY_TILE, n_queries - first_query)
            limits[:] = np.inf
            for i in range(n_tile):
                limits[i] = _limit(thresholds[first_query + i], query_norms[first_query + i], norm, gamma)
            n_pairs = 0
            for row_tile in range(n_row_tiles):
                union = _reach(
                    query_place + query_tile * depth * QUERY_TILE * 4,
                    row_place + row_tile * depth * ROW_TILE * 4,
                    limit_place,
                    mask_place,
                    depth,
                )
                if union != 0:
                    for i in range(n_tile):
                        mask = masks[i]
                        row = first + row_tile * ROW_TILE
                        while mask != 0:
                            if mask & np.uint32(1) and row < last:
                                pair_queries[n_pairs] = first_query + i
                                pair_rows[n_pairs] = row
                                n_pairs += 1
                            mask >>= np.uint32(1)
                            row += 1
                if n_pairs >= _PAIRS or (n_pairs > 0 and row_tile == n_row_tiles - 1):
                    settle(queries, batch, pair_queries, pair_rows, n_pairs, found)
                    scored += n_pairs
                    n_pairs = 0
                    for i in range(n_tile):
                        limits[i] = _limit(thresholds[first_query + i], query_norms[first_query + i], norm, gamma)
    return scored
