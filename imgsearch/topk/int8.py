"""The product in int8: 12 queries x 32 gallery rows that never leave the registers.

The instruction is AVX-512 VNNI's ``vpdpbusd`` (Ice Lake and Zen 4 onwards): 64 multiply-adds, against 16 in float32.
Its sums are exact integers, so the margin of ``bounds`` is the only thing between it and the score.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

from imgsearch.compiled import compiled, cpu_features
from imgsearch.topk.bounds import (
    BIAS,
    CHUNK,
    ERROR,
    NORM,
    PREFIX_NORM,
    QUERY_TILE,
    ROW_TILE,
    STEP,
    PackedQueries,
    pack_rows,
)
from imgsearch.topk.scan import Kernel, register
from imgsearch.topk.tile import TILE_SIGNATURE, Product, tile_code

_LOWEST, _HIGHEST = -(2**31), 2**31 - 1
_ROUNDING = 2.0**-22  # δ of ``bounds``, of the norms' product: 2⁻²⁴ for the float32 score, the rest to spare


def _add(builder: Any, total: Any, row: Any, query: Any) -> Any:
    shape = ir.FunctionType(total.type, [total.type] * 3)
    dot = builder.module.declare_intrinsic("llvm.x86.avx512.vpdpbusd.512", (), shape)
    return builder.call(dot, [total, row, query])


PRODUCT = Product(
    QUERY_TILE, 16, ROW_TILE // 16, ir.IntType(32), 0, _add,
    lambda builder, total, limit: builder.icmp_signed(">=", total, limit),
)  # fmt: skip


@intrinsic
def _reach(typing_context: Any, queries: Any, rows: Any, limits: Any, masks: Any, depth: Any) -> Any:
    return TILE_SIGNATURE, tile_code(PRODUCT)


class ChunkBounds(NamedTuple):
    """Of a chunk of gallery rows: the step t, A, B (see ``bounds``), and the greatest norm, infinite where a row is not
    finite or too long."""

    step: float
    longest_prefix: float
    error: float
    norm: float


@compiled
def _memory(packed):  # type: ignore[no-untyped-def]  # compiled: typed by its arguments
    return np.zeros((CHUNK // ROW_TILE, packed.panels.shape[1], ROW_TILE, 4), np.uint8), np.empty(QUERY_TILE, np.int32)


@compiled
def _pack_chunk(packed, gallery, first, last, rows):  # type: ignore[no-untyped-def]  # compiled
    step, longest_prefix, error, norm = pack_rows(gallery, first, last, packed.prefix_dim, rows)
    return ChunkBounds(step, longest_prefix, error, norm if norm < np.inf else np.inf)


@compiled
def _set_limits(packed, thresholds, first_query, measures, limits):  # type: ignore[no-untyped-def]  # compiled
    """The integers that dot products must reach: the inequality of ``bounds``; nothing reaches an empty slot."""
    for slot in range(QUERY_TILE):
        query = first_query + slot
        limits[slot] = _HIGHEST if query >= len(thresholds) else _LOWEST
        if query < len(thresholds) and thresholds[query] != -np.inf:
            numbers = packed.numbers
            margin = _ROUNDING * numbers[query, NORM] * measures.norm + numbers[query, ERROR] * measures.longest_prefix
            margin += numbers[query, PREFIX_NORM] * measures.error
            steps = numbers[query, STEP] * measures.step
            limit = np.floor((np.float64(thresholds[query]) - margin) / steps) + numbers[query, BIAS]
            limits[slot] = np.int64(min(max(limit, np.float64(_LOWEST)), np.float64(_HIGHEST)))


register(PackedQueries, ChunkBounds, Kernel(_memory, _pack_chunk, _set_limits, _reach))


@compiled
def _try(queries, rows, limits, masks, depth):  # type: ignore[no-untyped-def]
    return _reach(queries.ctypes.data, rows.ctypes.data, limits.ctypes.data, masks.ctypes.data, depth)  # type: ignore[call-arg]


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
    expected = (dots >= limits[:, None]) @ (1 << np.arange(ROW_TILE, dtype=np.int64))
    return bool((masks == expected).all())
