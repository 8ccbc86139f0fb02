"""The product that never leaves the registers: 12 queries x 32 gallery rows in int8, compared with a limit at once.

The instruction is AVX-512 VNNI's ``vpdpbusd`` (Ice Lake and Zen 4 onwards): 64 multiply-adds, against 16 in float32.
Its sums are exact integers, so the margin of ``quantized`` is the only thing between it and the score.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from imgsearch.compiled import compiled, cpu_features
from imgsearch.topk.bounds import BIAS, CHUNK, ERROR, LEAD_NORM, NORM, QUERY_TILE, ROW_TILE, STEP, pack_rows
from imgsearch.topk.ranking import settle

_VECTORS = ROW_TILE // 16
_LOWEST, _HIGHEST = -(2**31), 2**31 - 1
_PAIRS = 128  # pairs kept back before they are scored
_ROUNDING = 2.0**-22  # δ of ``quantized``, of the norms' product: 2⁻²⁴ for the float32 score, the rest to spare


@intrinsic
def _reach(typing_context: Any, queries: Any, rows: Any, limits: Any, masks: Any, groups: Any) -> Any:
    """One tile: addresses of its packed queries and rows, 12 int32 limits, 12 uint32 masks to write; ``groups`` ≥ 1.

    Bit ``r`` of ``masks[q]`` is set where the dot product of query q and row r is at least ``limits[q]``. Returns the
    masks' union.
    """
    signature = types.uint32(types.intp, types.intp, types.intp, types.intp, types.intp)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        queries, rows, limits, masks, groups = args
        half, word, long, pointer = ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.PointerType()
        vector = ir.VectorType(word, 16)
        zeros, undefined = ir.Constant(vector, [0] * 16), ir.Constant(vector, ir.Undefined)
        dot = builder.module.declare_intrinsic(
            "llvm.x86.avx512.vpdpbusd.512", (), ir.FunctionType(vector, [vector] * 3)
        )

        def at(base: Any, offset: int, kind: Any) -> Any:
            place = builder.inttoptr(builder.add(base, long(offset)), pointer)
            return builder.load(place, typ=kind, align=4)

        def spread(scalar: Any) -> Any:
            return builder.shuffle_vector(builder.insert_element(undefined, scalar, word(0)), undefined, zeros)

        before = builder.basic_block
        loop, done = builder.append_basic_block("groups"), builder.append_basic_block("groups.done")
        builder.branch(loop)
        builder.position_at_end(loop)
        group = builder.phi(long)
        sums = [builder.phi(vector) for _ in range(QUERY_TILE * _VECTORS)]
        query_place = builder.add(queries, builder.mul(group, long(4 * QUERY_TILE)))
        row_place = builder.add(rows, builder.mul(group, long(4 * ROW_TILE)))
        row_vectors = [at(row_place, 64 * v, vector) for v in range(_VECTORS)]
        grown = []
        for q in range(QUERY_TILE):
            query_vector = spread(at(query_place, 4 * q, word))
            grown += [
                builder.call(dot, [sums[q * _VECTORS + v], row_vectors[v], query_vector]) for v in range(_VECTORS)
            ]
        following = builder.add(group, long(1))
        group.add_incoming(long(0), before)
        group.add_incoming(following, loop)
        for old, new in zip(sums, grown, strict=True):
            old.add_incoming(zeros, before)
            old.add_incoming(new, loop)
        builder.cbranch(builder.icmp_signed("<", following, groups), loop, done)

        builder.position_at_end(done)
        union = word(0)
        for q in range(QUERY_TILE):
            limit, mask = spread(at(limits, 4 * q, word)), word(0)
            for v in range(_VECTORS):
                bits = builder.bitcast(builder.icmp_signed(">=", grown[q * _VECTORS + v], limit), half)
                mask = builder.or_(mask, builder.shl(builder.zext(bits, word), word(16 * v)))
            builder.store(mask, builder.inttoptr(builder.add(masks, long(4 * q)), pointer), align=4)
            union = builder.or_(union, mask)
        return union

    return signature, codegen


@intrinsic
def _lowest_bit(typing_context: Any, mask: Any) -> Any:
    """Index of the lowest set bit of a uint32 that has one."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.zext(builder.cttz(args[0], ir.Constant(ir.IntType(1), 1)), ir.IntType(64))

    return types.intp(types.uint32), codegen


@compiled
def _limit(numbers, q, thresholds, step, kept, lost, norm):  # type: ignore[no-untyped-def]  # compiled
    """The integer that query ``q``'s dot product with a row must reach: the inequality of ``quantized``."""
    threshold = np.float64(thresholds[q])
    if threshold == -np.inf:
        return _LOWEST
    needed = threshold - _ROUNDING * numbers[q, NORM] * norm - numbers[q, ERROR] * kept - numbers[q, LEAD_NORM] * lost
    limit = np.floor(needed / (numbers[q, STEP] * step)) + numbers[q, BIAS]
    return np.int64(min(max(limit, np.float64(_LOWEST)), np.float64(_HIGHEST)))


@compiled
def scan(queries, packed, batch, start, stop, found):  # type: ignore[no-untyped-def]  # compiled
    """Offer rows ``start:stop`` to every query. Returns the number of pairs that had to be scored, or -1
    when a gallery row is not finite. Needs ``CHUNK`` x (lead + 4) bytes."""
    lead, query_bytes, numbers = packed
    thresholds, gallery = found.thresholds, batch.gallery
    groups = query_bytes.shape[1]
    rows = np.zeros((CHUNK // ROW_TILE, groups, ROW_TILE, 4), np.uint8)
    limits, masks = np.empty(QUERY_TILE, np.int32), np.empty(QUERY_TILE, np.uint32)
    pair_queries, pair_rows = (
        np.empty(_PAIRS + QUERY_TILE * ROW_TILE, np.int64),
        np.empty(_PAIRS + QUERY_TILE * ROW_TILE, np.int64),
    )
    query_place, row_place = query_bytes.ctypes.data, rows.ctypes.data
    limit_place, mask_place = limits.ctypes.data, masks.ctypes.data
    n_queries, scored = len(queries), 0
    for first in range(start, stop, CHUNK):
        last = min(first + CHUNK, stop)
        step, kept, lost, norm = pack_rows(gallery, first, last, lead, rows)
        if not norm < np.inf:
            return -1
        n_row_tiles = (last - first + ROW_TILE - 1) // ROW_TILE
        for query_tile in range(query_bytes.shape[0]):
            first_query = query_tile * QUERY_TILE
            n_tile = min(QUERY_TILE, n_queries - first_query)
            limits[:] = _HIGHEST
            for i in range(n_tile):
                limits[i] = _limit(numbers, first_query + i, thresholds, step, kept, lost, norm)
            n_pairs = 0
            for row_tile in range(n_row_tiles):
                union = _reach(
                    query_place + query_tile * groups * QUERY_TILE * 4,
                    row_place + row_tile * groups * ROW_TILE * 4,
                    limit_place,
                    mask_place,
                    groups,
                )
                if union != 0:
                    for i in range(n_tile):
                        mask = masks[i]
                        while mask != 0:
                            row = first + row_tile * ROW_TILE + _lowest_bit(mask)
                            mask &= mask - np.uint32(1)
                            if row < last:
                                pair_queries[n_pairs] = first_query + i
                                pair_rows[n_pairs] = row
                                n_pairs += 1
                if n_pairs >= _PAIRS or (n_pairs > 0 and row_tile == n_row_tiles - 1):
                    settle(queries, batch, pair_queries, pair_rows, n_pairs, found)
                    scored += n_pairs
                    n_pairs = 0
                    for i in range(n_tile):
                        limits[i] = _limit(numbers, first_query + i, thresholds, step, kept, lost, norm)
    return scored


@compiled
def _try(queries, rows, limits, masks, groups):  # type: ignore[no-untyped-def]
    return _reach(queries.ctypes.data, rows.ctypes.data, limits.ctypes.data, masks.ctypes.data, groups)


@lru_cache(maxsize=1)
def supported() -> bool:
    """Whether this CPU has the instruction and the compiler uses it rightly: one tile is compared with NumPy."""
    if not {"avx512f", "avx512bw", "avx512vnni"} <= cpu_features():
        return False
    rng = np.random.default_rng(0)
    queries = rng.integers(-127, 128, (8, QUERY_TILE, 4)).astype(np.int8)
    rows = rng.integers(0, 256, (8, ROW_TILE, 4)).astype(np.uint8)
    dots = np.einsum("gqb,grb->qr", queries.astype(np.int64), rows.astype(np.int64))
    limits = np.sort(dots, axis=1)[:, ROW_TILE // 2].astype(np.int32)
    masks = np.zeros(QUERY_TILE, np.uint32)
    try:
        _try(queries, rows, limits, masks, 8)
    except Exception:
        return False
    wanted = (dots >= limits[:, None]) @ (1 << np.arange(ROW_TILE, dtype=np.int64))
    return bool((masks == wanted).all())
